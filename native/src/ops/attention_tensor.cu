// Attention of 16-bit floats by tensor cores, forward and backward, for heads of at most 128: the counterpart of attention.cu.
// A block of 4 warps owns 64 rows, 16 to a warp, and takes tiles of the other side past them through two stages of shared
// memory. Forward and the queries' gradient own queries and pass keys; the gradients of keys and values own keys and pass
// queries: scores then come out turned, so that in each case they are, as they lie in registers, the left factor of the
// product behind them. Sums are in float32, and nothing depends on time.
// Source: Dao 2023, arXiv 2307.08691.
#include "attention/attention.cuh"
#include "matmul/mma.cuh"

using namespace toro;

namespace {

constexpr int WARPS = 4, OWN = 16 * WARPS;
constexpr float LOG2E = 1.4426950408889634f;

// Elements from one row of a tile in shared memory to the next, so that 8 rows lie in different banks.
template <int WIDTH> constexpr int PITCH = WIDTH + 8;

// ROWS rows of an operand of which `count` are there, each of so many columns; zeros for the rest.
template <int ROWS, int WIDTH> DEVICE void fetch_rows(uint16_t* tile, const Rows& o, int64_t count, int64_t columns, bool is_aligned) {
  const uint16_t* data = (const uint16_t*)o.data;
  if (is_aligned) {
#pragma unroll
    for (int s = 0; s < ROWS * WIDTH / 8 / MMA_THREADS; s++) {
      int t = threadIdx.x + s * MMA_THREADS, r = t / (WIDTH / 8), c = t % (WIDTH / 8) * 8;
      int bytes = r >= count || c >= columns ? 0 : columns - c < 8 ? (int)(columns - c) * 2 : 16;
      copy_async(tile + r * PITCH<WIDTH> + c, bytes ? data + r * o.row + c : data, bytes);
    }
    return;
  }
#pragma unroll 4
  for (int t = threadIdx.x; t < ROWS * WIDTH; t += MMA_THREADS) {
    int r = t / WIDTH, c = t % WIDTH;
    tile[r * PITCH<WIDTH> + c] = r < count && c < columns ? data[r * o.row + c * o.column] : (uint16_t)0;
  }
}

// scores (16 own rows, N others) = own othersᵀ over `width` columns.
template <class T, int N, int WIDTH> DEVICE void score(float (&scores)[N / 8][4], const uint16_t* own, const uint16_t* others, int64_t width) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int j = 0; j < N / 8; j++) {
#pragma unroll
    for (int i = 0; i < 4; i++) scores[j][i] = 0.0f;
  }
#pragma unroll
  for (int l = 0; l < WIDTH; l += 16) {
    if (l >= width) break;
    uint32_t u[4];
    load_matrices(u, own + lane % 16 * PITCH<WIDTH> + l + lane / 16 * 8);
#pragma unroll
    for (int j = 0; j < N / 16; j++) {
      uint32_t v[4];
      load_matrices(v, others + (j * 16 + lane % 8 + lane / 16 * 8) * PITCH<WIDTH> + l + lane / 8 % 2 * 8);
      mma<T>(scores[2 * j], u, v[0], v[1]);
      mma<T>(scores[2 * j + 1], u, v[2], v[3]);
    }
  }
}

// sums (16 own rows, width) += weights (16, N) others (N, width).
template <class T, int N, int WIDTH>
DEVICE void accumulate(float (&sums)[WIDTH / 8][4], const float (&weights)[N / 8][4], const uint16_t* others, int64_t width) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int l = 0; l < N / 16; l++) {
    uint32_t u[4] = {pack<T>(weights[2 * l][0], weights[2 * l][1]), pack<T>(weights[2 * l][2], weights[2 * l][3]),
                     pack<T>(weights[2 * l + 1][0], weights[2 * l + 1][1]), pack<T>(weights[2 * l + 1][2], weights[2 * l + 1][3])};
#pragma unroll
    for (int j = 0; j < WIDTH / 16; j++) {
      if (j * 16 >= width) break;
      uint32_t v[4];
      load_matrices_turned(v, others + (l * 16 + lane % 16) * PITCH<WIDTH> + j * 16 + lane / 16 * 8);
      mma<T>(sums[2 * j], u, v[0], v[1]);
      mma<T>(sums[2 * j + 1], u, v[2], v[3]);
    }
  }
}

// Number i of a lane's four scores of 8 columns: its row and column.
DEVICE int row_in(int i) { return threadIdx.x % 32 / 4 + i / 2 * 8; }
DEVICE int column_in(int i) { return threadIdx.x % 4 * 2 + i % 2; }

// The rows of a warp's sums to an operand, each times a factor of its row's.
template <int WIDTH, class F>
DEVICE void put_rows(const Rows& to, int64_t count, int64_t columns, const float (&sums)[WIDTH / 8][4], F factor) {
  int warp = threadIdx.x / 32;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    int r = warp * 16 + row_in(i);
    if (r >= count) continue;
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++) {
      int c = j * 8 + column_in(i);
      if (c < columns) to.put<float>(r, c, sums[j][i] * factor(i));
    }
  }
}

// The score of a query and a key of a tile, scaled and masked.
DEVICE float masked(const Attention& p, const Rows& mask, int64_t query, int64_t key, int q, int k, float score) {
  int64_t i = query + q, j = key + k;
  if (i >= p.queries || j >= p.keys || (p.causal && j > i)) return -INFINITY;
  return with_mask<float>(mask, q, k, score * (float)p.scale);
}

DEVICE bool reads_by_16(const Attention& p, int part) { return (p.aligned >> part & 1) != 0; }

DEVICE int64_t at_most(int64_t x, int64_t most) { return x < most ? x : most; }

// ---- forward

template <class T, int WIDTH> DEVICE void attention(const Attention& p) {
  constexpr int N = 64;
  SHARED(uint16_t, room);
  uint16_t* q_tile = room;
  auto k_tile = [&](int64_t t) { return room + (OWN + t % 2 * 2 * N) * PITCH<WIDTH>; };
  auto v_tile = [&](int64_t t) { return k_tile(t) + N * PITCH<WIDTH>; };
  int warp = threadIdx.x / 32;
  int64_t query = (int64_t)blockIdx.x * OWN, rows = at_most(p.queries - query, OWN);
  for (int64_t z = blockIdx.y; z < p.items * p.groups; z += gridDim.y) {
    Head h = find_head(p, z);
    int64_t keys = p.causal ? at_most(query + rows, p.keys) : p.keys, tiles = (keys + N - 1) / N;
    auto fetch = [&](int64_t t) {
      if (t < tiles) {
        int64_t key = t * N, count = at_most(keys - key, N);
        fetch_rows<N, WIDTH>(k_tile(t), rows_of(p, K, h, key, 0), count, p.head, reads_by_16(p, K));
        fetch_rows<N, WIDTH>(v_tile(t), rows_of(p, V, h, key, 0), count, p.value, reads_by_16(p, V));
      }
      copy_group();
    };
    fetch_rows<OWN, WIDTH>(q_tile, rows_of(p, Q, h, query, 0), rows, p.head, reads_by_16(p, Q));
    fetch(0);
    float most[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f}, sums[WIDTH / 8][4] = {};
#pragma unroll 1
    for (int64_t t = 0; t < tiles; t++) {
      copy_wait<0>();
      __syncthreads();
      fetch(t + 1);
      Rows mask = mask_of(p, h, query, t * N);
      float scores[N / 8][4];
      score<T, N, WIDTH>(scores, q_tile + warp * 16 * PITCH<WIDTH>, k_tile(t), p.head);
      float now[2] = {most[0], most[1]};
#pragma unroll
      for (int j = 0; j < N / 8; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          float x = masked(p, mask, query, t * N, warp * 16 + row_in(i), j * 8 + column_in(i), scores[j][i]);
          scores[j][i] = x;
          now[i / 2] = x > now[i / 2] ? x : now[i / 2];
        }
      }
      float shift[2], scale[2];
#pragma unroll
      for (int r = 0; r < 2; r++) {
        // The four lanes that share a row.
#pragma unroll
        for (int with = 1; with < 4; with *= 2) now[r] = fmaxf(now[r], __shfl_xor_sync(ALL, now[r], with));
        // A query that has seen no key yet has nothing to be rescaled; -∞ - -∞ must not arise.
        shift[r] = now[r] == -INFINITY ? 0.0f : now[r] * LOG2E;
        scale[r] = exp2f(most[r] * LOG2E - shift[r]);
        most[r] = now[r];
        total[r] *= scale[r];
      }
#pragma unroll
      for (int j = 0; j < N / 8; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          scores[j][i] = exp2f(scores[j][i] * LOG2E - shift[i / 2]);
          total[i / 2] += scores[j][i];
        }
      }
#pragma unroll
      for (int j = 0; j < WIDTH / 8; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) sums[j][i] *= scale[i / 2];
      }
      accumulate<T, N, WIDTH>(sums, scores, v_tile(t), p.value);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
#pragma unroll
      for (int with = 1; with < 4; with *= 2) total[r] += __shfl_xor_sync(ALL, total[r], with);
      int row = warp * 16 + row_in(2 * r);
      if (row < rows && threadIdx.x % 4 == 0) {
        ((float*)p.lse)[h.number * p.queries + query + row] = total[r] == 0.0f ? INFINITY : most[r] + logf(total[r]);
      }
    }
    put_rows<WIDTH>(rows_of(p, OUT, h, query, 0), rows, p.value, sums, [&](int i) { return total[i / 2] == 0.0f ? 0.0f : 1.0f / total[i / 2]; });
    // Before the tiles are used again.
    copy_wait<0>();
    __syncthreads();
  }
}

// ---- gq = scale dS k

template <class T, int WIDTH> DEVICE void attention_grad_q(const Attention& p) {
  constexpr int N = 64;
  SHARED(uint16_t, room);
  uint16_t *q_tile = room, *g_tile = room + OWN * PITCH<WIDTH>;
  auto k_tile = [&](int64_t t) { return room + (2 * OWN + t % 2 * 2 * N) * PITCH<WIDTH>; };
  auto v_tile = [&](int64_t t) { return k_tile(t) + N * PITCH<WIDTH>; };
  int warp = threadIdx.x / 32;
  int64_t query = (int64_t)blockIdx.x * OWN, rows = at_most(p.queries - query, OWN);
  for (int64_t z = blockIdx.y; z < p.items * p.groups; z += gridDim.y) {
    Head h = find_head(p, z);
    int64_t keys = p.causal ? at_most(query + rows, p.keys) : p.keys, tiles = (keys + N - 1) / N;
    auto fetch = [&](int64_t t) {
      if (t < tiles) {
        int64_t key = t * N, count = at_most(keys - key, N);
        fetch_rows<N, WIDTH>(k_tile(t), rows_of(p, K, h, key, 0), count, p.head, reads_by_16(p, K));
        fetch_rows<N, WIDTH>(v_tile(t), rows_of(p, V, h, key, 0), count, p.value, reads_by_16(p, V));
      }
      copy_group();
    };
    fetch_rows<OWN, WIDTH>(q_tile, rows_of(p, Q, h, query, 0), rows, p.head, reads_by_16(p, Q));
    fetch_rows<OWN, WIDTH>(g_tile, rows_of(p, G, h, query, 0), rows, p.value, reads_by_16(p, G));
    fetch(0);
    float lse[2], delta[2], sums[WIDTH / 8][4] = {};
#pragma unroll
    for (int r = 0; r < 2; r++) {
      int row = warp * 16 + row_in(2 * r);
      int64_t at = h.number * p.queries + query + row;
      lse[r] = row < rows ? ((const float*)p.lse)[at] * LOG2E : INFINITY;
      delta[r] = row < rows ? ((const float*)p.delta)[at] : 0.0f;
    }
#pragma unroll 1
    for (int64_t t = 0; t < tiles; t++) {
      copy_wait<0>();
      __syncthreads();
      fetch(t + 1);
      Rows mask = mask_of(p, h, query, t * N);
      float scores[N / 8][4], slopes[N / 8][4];
      score<T, N, WIDTH>(scores, q_tile + warp * 16 * PITCH<WIDTH>, k_tile(t), p.head);
      score<T, N, WIDTH>(slopes, g_tile + warp * 16 * PITCH<WIDTH>, v_tile(t), p.value);
#pragma unroll
      for (int j = 0; j < N / 8; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          float x = masked(p, mask, query, t * N, warp * 16 + row_in(i), j * 8 + column_in(i), scores[j][i]);
          slopes[j][i] = exp2f(x * LOG2E - lse[i / 2]) * (slopes[j][i] - delta[i / 2]);
        }
      }
      accumulate<T, N, WIDTH>(sums, slopes, k_tile(t), p.head);
    }
    put_rows<WIDTH>(rows_of(p, GQ, h, query, 0), rows, p.head, sums, [&](int) { return (float)p.scale; });
    copy_wait<0>();
    __syncthreads();
  }
}

// ---- gk = scale dSᵀ q, gv = Pᵀ g, over all groups of queries

template <class T, int WIDTH, int N> DEVICE void attention_grad_k(const Attention& p) {
  SHARED(uint16_t, room);
  __shared__ float lse[2][N], delta[2][N];
  uint16_t *k_tile = room, *v_tile = room + OWN * PITCH<WIDTH>;
  auto q_tile = [&](int64_t t) { return room + (2 * OWN + t % 2 * 2 * N) * PITCH<WIDTH>; };
  auto g_tile = [&](int64_t t) { return q_tile(t) + N * PITCH<WIDTH>; };
  int warp = threadIdx.x / 32;
  int64_t key = (int64_t)blockIdx.x * OWN, rows = at_most(p.keys - key, OWN);
  // Of a causal block, the first tile with a query that sees one of its keys.
  int64_t first = p.causal ? key / N : 0, each = (p.queries + N - 1) / N - first;
  if (each < 0) each = 0;
  for (int64_t z = blockIdx.y; z < p.items; z += gridDim.y) {
    // Tiles of all groups in a row.
    int64_t tiles = each * p.groups;
    auto head_of = [&](int64_t t) { return find_head(p, z * p.groups + t / each); };
    auto query_of = [&](int64_t t) { return (first + t % each) * N; };
    auto fetch = [&](int64_t t) {
      if (t < tiles) {
        Head h = head_of(t);
        int64_t query = query_of(t), count = at_most(p.queries - query, N);
        fetch_rows<N, WIDTH>(q_tile(t), rows_of(p, Q, h, query, 0), count, p.head, reads_by_16(p, Q));
        fetch_rows<N, WIDTH>(g_tile(t), rows_of(p, G, h, query, 0), count, p.value, reads_by_16(p, G));
        for (int i = threadIdx.x; i < N; i += MMA_THREADS) {
          int64_t at = h.number * p.queries + query + i;
          lse[t % 2][i] = i < count ? ((const float*)p.lse)[at] * LOG2E : INFINITY;
          delta[t % 2][i] = i < count ? ((const float*)p.delta)[at] : 0.0f;
        }
      }
      copy_group();
    };
    Head any = find_head(p, z * p.groups);
    fetch_rows<OWN, WIDTH>(k_tile, rows_of(p, K, any, key, 0), rows, p.head, reads_by_16(p, K));
    fetch_rows<OWN, WIDTH>(v_tile, rows_of(p, V, any, key, 0), rows, p.value, reads_by_16(p, V));
    fetch(0);
    float of_k[WIDTH / 8][4] = {}, of_v[WIDTH / 8][4] = {};
#pragma unroll 1
    for (int64_t t = 0; t < tiles; t++) {
      copy_wait<0>();
      __syncthreads();
      fetch(t + 1);
      int64_t query = query_of(t);
      Rows mask = mask_of(p, head_of(t), query, key);
      float weights[N / 8][4], slopes[N / 8][4];
      score<T, N, WIDTH>(weights, k_tile + warp * 16 * PITCH<WIDTH>, q_tile(t), p.head);
      score<T, N, WIDTH>(slopes, v_tile + warp * 16 * PITCH<WIDTH>, g_tile(t), p.value);
#pragma unroll
      for (int j = 0; j < N / 8; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          int q = j * 8 + column_in(i), k = warp * 16 + row_in(i);
          float x = masked(p, mask, query, key, q, k, weights[j][i]);
          weights[j][i] = exp2f(x * LOG2E - lse[t % 2][q]);
          slopes[j][i] = weights[j][i] * (slopes[j][i] - delta[t % 2][q]);
        }
      }
      accumulate<T, N, WIDTH>(of_v, weights, g_tile(t), p.value);
      accumulate<T, N, WIDTH>(of_k, slopes, q_tile(t), p.head);
    }
    put_rows<WIDTH>(rows_of(p, GK, any, key, 0), rows, p.head, of_k, [&](int) { return (float)p.scale; });
    put_rows<WIDTH>(rows_of(p, GV, any, key, 0), rows, p.value, of_v, [](int) { return 1.0f; });
    copy_wait<0>();
    __syncthreads();
  }
}

}  // namespace

// Heads of at most 64 and of at most 128; of these the last pass takes 32 queries at a time, so that its sums stay in registers.
#define ATTENTION_16(type, suffix)                                                                                                       \
  KERNEL(attention_64_##suffix, MMA_THREADS, const __grid_constant__ Attention p) { attention<type, 64>(p); }                            \
  KERNEL(attention_128_##suffix, MMA_THREADS, const __grid_constant__ Attention p) { attention<type, 128>(p); }                          \
  KERNEL(attention_grad_q_64_##suffix, MMA_THREADS, const __grid_constant__ Attention p) { attention_grad_q<type, 64>(p); }              \
  KERNEL(attention_grad_q_128_##suffix, MMA_THREADS, const __grid_constant__ Attention p) { attention_grad_q<type, 128>(p); }            \
  KERNEL(attention_grad_k_64_##suffix, MMA_THREADS, const __grid_constant__ Attention p) { attention_grad_k<type, 64, 64>(p); }          \
  KERNEL(attention_grad_k_128_##suffix, MMA_THREADS, const __grid_constant__ Attention p) { attention_grad_k<type, 128, 32>(p); }
ATTENTION_16(bfloat_t, bfloat)
ATTENTION_16(half_t, half)
