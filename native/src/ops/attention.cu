// Scaled dot product attention in tiles, forward and backward: the kernels of attention.rs, for any sizes, strides and
// dtypes. A block of 256 threads takes a tile of queries past the keys, tile by tile, or the other way round; scores never
// leave it. What it sums, at most 128 columns of an output, stays in registers: wider heads are shared by several blocks,
// each of which finds the scores anew. Source: Dao et al. 2022, arXiv 2205.14135.
#include "attention/attention.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 256, DEPTH = 16, COLUMNS = 128;

// A thread takes R × R scores of a tile of SIDE × SIDE, and R rows by 8 columns of what is summed: numbers y + 16 i and x + 16 j.
template <class C> constexpr int R = sizeof(C) == 4 ? 4 : 2;
template <class C> constexpr int SIDE = 16 * R<C>;

// Shared memory of a block.
template <class C> struct Room {
  // Operands of a product, 16 deep; of the second product B is as wide as what is summed.
  C a[DEPTH][SIDE<C> + 1];
  C b[DEPTH][COLUMNS + 1];
  // Weights of scores, [depth][row].
  C weights[SIDE<C>][SIDE<C> + 1];
};

// scores[i][j] = Σ_d a(y + 16 i, d) b(x + 16 j, d) of some rows of matrices.
template <class C> DEVICE void score(Room<C>& room, const Rows& a, int64_t a_count, const Rows& b, int64_t b_count, int64_t depths, C (&scores)[R<C>][R<C>]) {
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
  for (int i = 0; i < R<C>; i++) {
#pragma unroll
    for (int j = 0; j < R<C>; j++) scores[i][j] = (C)0;
  }
  for (int64_t from = 0; from < depths; from += DEPTH) {
    __syncthreads();
#pragma unroll
    for (int s = 0; s < R<C>; s++) {
      int r = threadIdx.x / DEPTH + s * 16, l = threadIdx.x % DEPTH;
      bool is_deep = from + l < depths;
      room.a[l][r] = is_deep && r < a_count ? a.get<C>(r, from + l) : (C)0;
      room.b[l][r] = is_deep && r < b_count ? b.get<C>(r, from + l) : (C)0;
    }
    __syncthreads();
#pragma unroll 4
    for (int l = 0; l < DEPTH; l++) {
      C u[R<C>], v[R<C>];
#pragma unroll
      for (int i = 0; i < R<C>; i++) {
        u[i] = room.a[l][y + 16 * i];
        v[i] = room.b[l][x + 16 * i];
      }
#pragma unroll
      for (int i = 0; i < R<C>; i++) {
#pragma unroll
        for (int j = 0; j < R<C>; j++) scores[i][j] += u[i] * v[j];
      }
    }
  }
}

// sums[i][j] += Σ_l weights[l][y + 16 i] b(l, x + 16 j) with `depths` rows of b and `columns` of its columns.
template <class C> DEVICE void accumulate(Room<C>& room, const Rows& b, int64_t depths, int64_t columns, C (&sums)[R<C>][8]) {
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  for (int64_t from = 0; from < depths; from += DEPTH) {
    __syncthreads();
#pragma unroll 4
    for (int s = 0; s < DEPTH * COLUMNS / THREADS; s++) {
      int t = threadIdx.x + s * THREADS, l = t / COLUMNS, j = t % COLUMNS;
      room.b[l][j] = from + l < depths && j < columns ? b.get<C>(from + l, j) : (C)0;
    }
    __syncthreads();
#pragma unroll 2
    for (int l = 0; l < DEPTH; l++) {
      C u[R<C>], v[8];
#pragma unroll
      for (int i = 0; i < R<C>; i++) u[i] = room.weights[from + l][y + 16 * i];
#pragma unroll
      for (int j = 0; j < 8; j++) v[j] = room.b[l][x + 16 * j];
#pragma unroll
      for (int i = 0; i < R<C>; i++) {
#pragma unroll
        for (int j = 0; j < 8; j++) sums[i][j] += u[i] * v[j];
      }
    }
  }
}

// A value of the 16 threads that share a row of scores, joined.
template <class C, class F> DEVICE C join_row(C x, F join) {
#pragma unroll
  for (int with = 8; with > 0; with /= 2) x = join(x, __shfl_xor_sync(ALL, x, with, 16));
  return x;
}

// Scaled and masked, with what lies outside of the tile shut out.
template <class C> DEVICE C masked(const Attention& p, const Rows& mask, int64_t query, int64_t key, int r, int c, C score) {
  int64_t i = query + r, j = key + c;
  if (i >= p.queries || j >= p.keys || (p.causal && j > i)) return (C)-INFINITY;
  return with_mask<C>(mask, r, c, score * (C)p.scale);
}

template <class C> DEVICE void attention(const Attention& p) {
  __shared__ Room<C> room;
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  int64_t chunks = (p.value + COLUMNS - 1) / COLUMNS, query = (int64_t)blockIdx.x * SIDE<C>;
  // A head of values without columns still has a log-sum-exp.
  if (chunks == 0) chunks = 1;
  int64_t rows = p.queries - query < SIDE<C> ? p.queries - query : SIDE<C>;
  for (int64_t z = blockIdx.y; z < p.items * p.groups * chunks; z += gridDim.y) {
    int64_t chunk = z % chunks * COLUMNS, columns = p.value - chunk < COLUMNS ? p.value - chunk : COLUMNS;
    Head h = find_head(p, z / chunks);
    Rows q = rows_of(p, Q, h, query, 0);
    int64_t keys = p.causal && query + rows < p.keys ? query + rows : p.keys;
    C most[R<C>], total[R<C>], sums[R<C>][8] = {};
#pragma unroll
    for (int i = 0; i < R<C>; i++) {
      most[i] = (C)-INFINITY;
      total[i] = (C)0;
    }
    for (int64_t key = 0; key < keys; key += SIDE<C>) {
      int64_t count = keys - key < SIDE<C> ? keys - key : SIDE<C>;
      Rows mask = mask_of(p, h, query, key);
      C scores[R<C>][R<C>];
      score(room, q, rows, rows_of(p, K, h, key, 0), count, p.head, scores);
#pragma unroll
      for (int i = 0; i < R<C>; i++) {
        C now = most[i];
#pragma unroll
        for (int j = 0; j < R<C>; j++) {
          scores[i][j] = masked(p, mask, query, key, y + 16 * i, x + 16 * j, scores[i][j]);
          now = scores[i][j] > now ? scores[i][j] : now;
        }
        now = join_row(now, [](C a, C b) { return b > a ? b : a; });
        // A query that has seen no key yet has nothing to be rescaled; -∞ - -∞ must not arise.
        C shift = now == (C)-INFINITY ? (C)0 : now, scale = exp(most[i] - shift), sum = (C)0;
#pragma unroll
        for (int j = 0; j < R<C>; j++) {
          C weight = exp(scores[i][j] - shift);
          sum += weight;
          room.weights[x + 16 * j][y + 16 * i] = weight;
        }
        total[i] = total[i] * scale + join_row(sum, [](C a, C b) { return a + b; });
        most[i] = now;
#pragma unroll
        for (int j = 0; j < 8; j++) sums[i][j] *= scale;
      }
      accumulate(room, rows_of(p, V, h, key, chunk), count, columns, sums);
    }
    Rows out = rows_of(p, OUT, h, query, chunk);
#pragma unroll
    for (int i = 0; i < R<C>; i++) {
      int64_t r = y + 16 * i;
      if (r >= rows) continue;
      bool none = total[i] == (C)0;
      if (x == 0 && chunk == 0) ((C*)p.lse)[h.number * p.queries + query + r] = none ? (C)INFINITY : most[i] + (C)log(total[i]);
#pragma unroll
      for (int j = 0; j < 8; j++) {
        if (x + 16 * j < columns) out.put<C>(r, x + 16 * j, none ? (C)0 : sums[i][j] / total[i]);
      }
    }
  }
}

// delta = Σ g · out of each query.
template <class C> DEVICE void attention_delta(const Attention& p) {
  for (int64_t i = thread_number(); i < p.items * p.groups * p.queries; i += thread_count()) {
    Head h = find_head(p, i / p.queries);
    Rows g = rows_of(p, G, h, i % p.queries, 0), out = rows_of(p, OUT, h, i % p.queries, 0);
    C sum = (C)0;
    for (int64_t e = 0; e < p.value; e++) sum += g.get<C>(0, e) * out.get<C>(0, e);
    ((C*)p.delta)[i] = sum;
  }
}

// Weights of a tile of scores, found again from the log-sum-exp, and, where asked for, their gradient in their place; into
// shared memory with queries as rows or, `BY_KEY`, as depths.
template <class C, bool BY_KEY, bool SLOPES>
DEVICE void weigh(Room<C>& room, const Attention& p, const Head& h, int64_t query, int64_t rows, int64_t key, int64_t count) {
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  Rows mask = mask_of(p, h, query, key);
  C scores[R<C>][R<C>], slopes[R<C>][R<C>];
  score(room, rows_of(p, Q, h, query, 0), rows, rows_of(p, K, h, key, 0), count, p.head, scores);
  if constexpr (SLOPES) score(room, rows_of(p, G, h, query, 0), rows, rows_of(p, V, h, key, 0), count, p.value, slopes);
#pragma unroll
  for (int i = 0; i < R<C>; i++) {
    int64_t at = query + y + 16 * i, line = h.number * p.queries + (at < p.queries ? at : p.queries - 1);
    C lse = ((const C*)p.lse)[line], delta = SLOPES ? ((const C*)p.delta)[line] : (C)0;
#pragma unroll
    for (int j = 0; j < R<C>; j++) {
      C weight = exp(masked(p, mask, query, key, y + 16 * i, x + 16 * j, scores[i][j]) - lse);
      if constexpr (SLOPES) weight *= slopes[i][j] - delta;
      if (at >= p.queries) weight = (C)0;
      if constexpr (BY_KEY) room.weights[y + 16 * i][x + 16 * j] = weight;
      else room.weights[x + 16 * j][y + 16 * i] = weight;
    }
  }
}

// gq = scale dS k: a block takes a tile of queries and 128 columns.
template <class C> DEVICE void attention_grad_q(const Attention& p) {
  __shared__ Room<C> room;
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  int64_t chunks = (p.head + COLUMNS - 1) / COLUMNS, query = (int64_t)blockIdx.x * SIDE<C>;
  int64_t rows = p.queries - query < SIDE<C> ? p.queries - query : SIDE<C>;
  for (int64_t z = blockIdx.y; z < p.items * p.groups * chunks; z += gridDim.y) {
    int64_t chunk = z % chunks * COLUMNS, columns = p.head - chunk < COLUMNS ? p.head - chunk : COLUMNS;
    Head h = find_head(p, z / chunks);
    int64_t keys = p.causal && query + rows < p.keys ? query + rows : p.keys;
    C sums[R<C>][8] = {};
    for (int64_t key = 0; key < keys; key += SIDE<C>) {
      int64_t count = keys - key < SIDE<C> ? keys - key : SIDE<C>;
      weigh<C, false, true>(room, p, h, query, rows, key, count);
      accumulate(room, rows_of(p, K, h, key, chunk), count, columns, sums);
    }
    Rows to = rows_of(p, GQ, h, query, chunk);
#pragma unroll
    for (int i = 0; i < R<C>; i++) {
#pragma unroll
      for (int j = 0; j < 8; j++) {
        if (y + 16 * i < rows && x + 16 * j < columns) to.put<C>(y + 16 * i, x + 16 * j, sums[i][j] * (C)p.scale);
      }
    }
  }
}

// gk = scale dSᵀ q, or gv = Pᵀ g: a block takes a tile of keys and 128 columns, over all groups of queries.
template <class C, bool OF_KEYS> DEVICE void attention_grad_keys(const Attention& p) {
  __shared__ Room<C> room;
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  int64_t width = OF_KEYS ? p.head : p.value, chunks = (width + COLUMNS - 1) / COLUMNS, key = (int64_t)blockIdx.x * SIDE<C>;
  int64_t count = p.keys - key < SIDE<C> ? p.keys - key : SIDE<C>;
  for (int64_t z = blockIdx.y; z < p.items * chunks; z += gridDim.y) {
    int64_t chunk = z % chunks * COLUMNS, columns = width - chunk < COLUMNS ? width - chunk : COLUMNS;
    C sums[R<C>][8] = {};
    for (int64_t group = 0; group < p.groups; group++) {
      Head h = find_head(p, z / chunks * p.groups + group);
      // Of a causal block, the first query that sees one of its keys.
      for (int64_t query = p.causal ? key : 0; query < p.queries; query += SIDE<C>) {
        int64_t rows = p.queries - query < SIDE<C> ? p.queries - query : SIDE<C>;
        weigh<C, true, OF_KEYS>(room, p, h, query, rows, key, count);
        accumulate(room, rows_of(p, OF_KEYS ? Q : G, h, query, chunk), rows, columns, sums);
      }
    }
    Rows to = rows_of(p, OF_KEYS ? GK : GV, find_head(p, z / chunks * p.groups), key, chunk);
#pragma unroll
    for (int i = 0; i < R<C>; i++) {
#pragma unroll
      for (int j = 0; j < 8; j++) {
        if (y + 16 * i < count && x + 16 * j < columns) {
          to.put<C>(y + 16 * i, x + 16 * j, OF_KEYS ? sums[i][j] * (C)p.scale : sums[i][j]);
        }
      }
    }
  }
}

}  // namespace

#define ATTENTION(name)                                                                  \
  WIDE_KERNEL(name##_f32, THREADS, const __grid_constant__ Attention p) { name<float>(p); }   \
  WIDE_KERNEL(name##_f64, THREADS, const __grid_constant__ Attention p) { name<double>(p); }
ATTENTION(attention)
ATTENTION(attention_delta)
ATTENTION(attention_grad_q)
WIDE_KERNEL(attention_grad_k_f32, THREADS, const __grid_constant__ Attention p) { attention_grad_keys<float, true>(p); }
WIDE_KERNEL(attention_grad_k_f64, THREADS, const __grid_constant__ Attention p) { attention_grad_keys<double, true>(p); }
WIDE_KERNEL(attention_grad_v_f32, THREADS, const __grid_constant__ Attention p) { attention_grad_keys<float, false>(p); }
WIDE_KERNEL(attention_grad_v_f64, THREADS, const __grid_constant__ Attention p) { attention_grad_keys<double, false>(p); }
