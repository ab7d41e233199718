// Products of 16-bit floats by tensor cores, summed in float32: C (m, n) = Σ_l A(i, l) B(j, l), lines being rows of A and
// columns of B as in tile.cuh. A block takes a tile of C, a warp 64 × 64 of it. Tiles of both operands, 32 deep, pass through
// shared memory in four stages: while one is multiplied, three are on their way.
//
// Who brings an operand says `deep`, whether neighbouring depths rather than lines lie close; `copies`, whether asynchronous
// copies do all of it; `bring(place)` brings the next tile to a place in shared memory. `Copier` brings matrices by 16 bytes,
// `Gatherer` any function of (line, depth) element by element: its operand has `along`, `line`, `depth` as in tile.cuh and
// `find(line, depth)`, the place of the element in its data or -1 for 0.
#pragma once
#include "tile.cuh"

namespace toro {

constexpr int MMA_DEPTH = 32, MMA_STAGES = 4, WARP_TILE = 64;

// A block's tile, by warps along rows and columns.
template <int WARPS_M, int WARPS_N> struct Form {
  static constexpr int warps_n = WARPS_N, threads = 32 * WARPS_M * WARPS_N;
  static constexpr int m = WARP_TILE * WARPS_M, n = WARP_TILE * WARPS_N;
  // Bytes of one stage's tile of A, of a stage, of all.
  static constexpr uint32_t a_bytes = m * MMA_DEPTH * 2, stage = (m + n) * MMA_DEPTH * 2, shared = stage * MMA_STAGES;
};
// 64 KiB of shared memory: processors with twice as much have two blocks, one of which multiplies while the other ends. On an
// H100 nothing was quicker at all sizes: tiles of 128 × 256 gained 1 to 12 % at 8192 cubed with 144 KiB and lost as much at 4096.
using Square = Form<2, 2>;
// Attention's blocks are of as many threads.
constexpr int MMA_THREADS = Square::threads;

// Two elements, the first in the low half.
template <class T> DEVICE uint32_t pack(float low, float high);
template <> DEVICE uint32_t pack<bfloat_t>(float low, float high) { return floats_to_bfloats(low, high); }
template <> DEVICE uint32_t pack<half_t>(float low, float high) { return floats_to_halves(low, high); }

template <class T> DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <> DEVICE void mma<bfloat_t>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { mma_bfloat(c, a, b0, b1); }
template <> DEVICE void mma<half_t>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { mma_half(c, a, b0, b1); }

// A tile of an operand in shared memory: `LINES` × 32 in rows of neighbours, whose chunks of 16 bytes stand in an order that
// differs by row, so that any 8 rows of which ldmatrix reads a chunk each lie in different banks.
template <int LINES, bool DEEP> struct Tile {
  static constexpr int ROWS = DEEP ? LINES : MMA_DEPTH, CHUNKS = (DEEP ? MMA_DEPTH : LINES) / 8, PITCH = CHUNKS * 16;
  static DEVICE uint32_t place(int row, int chunk) {
    int key = CHUNKS >= 8 ? row & 7 : row >> 1 & 3;
    return (uint32_t)(row * PITCH + (chunk ^ key) * 16);
  }
};

// How many of 8 elements there are, in bytes, if so many are left.
DEVICE int chunk_bytes(int left) { return left >= 8 ? 16 : left > 0 ? left * 2 : 0; }

// Brings a matrix of which 8 neighbours lie on 16 bytes everywhere. Lines and depths are fewer than 2^31 by 1024 and more.
// After the last tile it brings zeros.
template <class F, int LINES, bool DEEP> struct Copier {
  static constexpr bool deep = DEEP, copies = true;
  using T = Tile<LINES, DEEP>;
  // A thread copies one chunk of every so many rows.
  static constexpr int STEP = F::threads / T::CHUNKS, COUNT = T::ROWS / STEP;
  static_assert(T::ROWS % STEP == 0 && STEP % 8 == 0, "all threads have as many, in one order of chunks");
  const uint16_t* at;
  // Elements from one of its rows to the next, and from tile to tile.
  int64_t step, advance;
  uint32_t own;
  // How many depths are left from its first on. Deep: bit s says that its row s is a line. Wide: the bytes of lines in its chunk.
  int left, lines;

  DEVICE Copier(const uint16_t* data, int64_t pitch, int line_count, int first, int depths) {
    int row = threadIdx.x / T::CHUNKS, chunk = threadIdx.x % T::CHUNKS;
    own = T::place(row, chunk);
    step = STEP * pitch;
    if constexpr (DEEP) {
      at = data + (first + row) * pitch + chunk * 8;
      advance = MMA_DEPTH;
      left = depths - chunk * 8;
      lines = 0;
#pragma unroll
      for (int s = 0; s < COUNT; s++) lines |= (first + row + s * STEP < line_count) << s;
    } else {
      at = data + row * pitch + first + chunk * 8;
      advance = MMA_DEPTH * pitch;
      left = depths - row;
      lines = chunk_bytes(line_count - first - chunk * 8);
    }
  }
  DEVICE void bring(uint32_t tile) {
    int depth_bytes = DEEP ? chunk_bytes(left) : 0;
#pragma unroll
    for (int s = 0; s < COUNT; s++) {
      int bytes = DEEP ? (lines >> s & 1 ? depth_bytes : 0) : s * STEP < left ? lines : 0;
      copy_async(tile + own + s * STEP * T::PITCH, at + s * step, bytes);
    }
    at += advance;
    left -= MMA_DEPTH;
  }
};

// Brings an operand element by element. What a warp's lanes share of lines and depths they work out for each other.
template <class F, int LINES, class Operand> struct Gatherer {
  static constexpr bool deep = Operand::along, copies = false;
  using T = Tile<LINES, deep>;
  static_assert(LINES == F::threads, "a thread has one line where lines lie close");
  const Operand& o;
  int64_t lines, first, depths, from;

  // Depths from … depths.
  DEVICE Gatherer(const Operand& o, int64_t lines, int64_t first, int64_t depths, int64_t from)
      : o(o), lines(lines), first(first), depths(depths), from(from) {}
  DEVICE void bring(uint32_t place) {
    if (from < depths) gather(place);
    from += MMA_DEPTH;
  }
  DEVICE void gather(uint32_t place) const {
    SHARED(unsigned char, room);
    unsigned char* tile = room + (place - shared_place(room));
    const uint16_t* data = (const uint16_t*)o.data;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    auto put = [&](int row, int column, int64_t place) {
      *(uint16_t*)(tile + T::place(row, column / 8) + column % 8 * 2) = place < 0 ? (uint16_t)0 : data[place];
    };
    if constexpr (deep) {
      // A warp takes 32 lines, as many apart as there are warps, a lane one depth.
      constexpr int WARPS = F::threads / 32;
      auto mine = o.line(first + lane * WARPS + warp);
      auto depth = o.depth(from + lane);
      bool is_deep = from + lane < depths;
#pragma unroll 8
      for (int s = 0; s < 32; s++) {
        int i = s * WARPS + warp;
        auto line = hand_round(mine, s);
        put(i, lane, is_deep && first + i < lines ? o.find(line, depth) : -1);
      }
    } else {
      int i = threadIdx.x;
      auto line = o.line(first + i);
      auto mine = o.depth(from + lane);
      bool is_line = first + i < lines;
#pragma unroll 8
      for (int l = 0; l < MMA_DEPTH; l++) {
        auto depth = hand_round(mine, l);
        put(l, i, is_line && from + l < depths ? o.find(line, depth) : -1);
      }
    }
  }
};

// Brings a matrix one way or the other.
template <class Copier, class Gatherer> struct Either {
  static constexpr bool deep = Copier::deep, copies = false;
  bool is_copied;
  Copier copier;
  Gatherer gatherer;
  DEVICE void bring(uint32_t place) {
    if (is_copied) copier.bring(place);
    else gatherer.bring(place);
  }
};

// Where a lane reads what its warp multiplies, 16 lines by 16 depths at a time.
template <int LINES, bool DEEP, bool IS_B> struct Reader {
  using T = Tile<LINES, DEEP>;
  uint32_t own;
  DEVICE explicit Reader(int line) {
    int low = threadIdx.x % 8, first = threadIdx.x / 8 % 2, second = threadIdx.x / 16 % 2;
    // ldmatrix hands four matrices out in the order that mma has for A: lines, then depths; for B: depths, then lines.
    int lines = IS_B ? second : first, depths = IS_B ? first : second;
    if constexpr (DEEP) own = T::place(line + lines * 8 + low, depths);
    else own = T::place(depths * 8 + low, line / 8 + lines);
  }
  // Lines from 16 i, depths from 16 l on. Two chunks further is another bit of the place: tiles lie on 128 bytes, i and l < 4.
  DEVICE void load(uint32_t (&m)[4], uint32_t tile, int i, int l) const {
    uint32_t across = (uint32_t)(DEEP ? l : i) * 32, down = (uint32_t)(DEEP ? i : l) * 16 * T::PITCH;
    uint32_t at = ((tile + own) ^ across) + down;
    if constexpr (DEEP) load_matrices(m, at);
    else load_matrices_turned(m, at);
  }
};

// A warp's sums: 4 blocks of 16 rows by 8 of 8 columns, as mma hands them out.
using Sums = float[4][8][4];

// Sums the products of a tile over so many depths.
template <class T, class F, class A, class B> DEVICE void mma_sum(A& a, B& b, int64_t depths, Sums& sums) {
  SHARED(unsigned char, room);
  uint32_t base = shared_place(room), reading = base, filling = base + (MMA_STAGES - 1) * F::stage;
  int warp = threadIdx.x / 32;
  Reader<F::m, A::deep, false> read_a(warp / F::warps_n * WARP_TILE);
  Reader<F::n, B::deep, true> read_b(warp % F::warps_n * WARP_TILE);
  int tiles = depths > 0 ? (int)((depths + MMA_DEPTH - 1) / MMA_DEPTH) : 0;
  auto after = [&](uint32_t stage) { return stage + F::stage == base + F::shared ? base : stage + F::stage; };
  auto bring = [&](uint32_t stage) {
    a.bring(stage);
    b.bring(stage + F::a_bytes);
    copy_group();
  };
  // The next tile is there, and all have done with the one before.
  auto wait = [&] {
    copy_wait<MMA_STAGES - 2>();
    __syncthreads();
  };
  auto load = [&](uint32_t (&u)[4][4], uint32_t (&v)[4][4], int l) {
#pragma unroll
    for (int j = 0; j < 4; j++) read_b.load(v[j], reading + F::a_bytes, j, l);
#pragma unroll
    for (int i = 0; i < 4; i++) read_a.load(u[i], reading, i, l);
  };
  auto multiply = [&](const uint32_t (&u)[4][4], const uint32_t (&v)[4][4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
      for (int t = 0; t < 8; t++) {
        // There and back, so that every product shares an operand with the one before.
        int j = i % 2 ? 7 - t : t;
        mma<T>(sums[i][j], u[i], v[j / 2][j % 2 * 2], v[j / 2][j % 2 * 2 + 1]);
      }
    }
  };
  for (int s = 0; s < MMA_STAGES - 1; s++) bring(base + s * F::stage);
  if constexpr (A::copies && B::copies) {
    // What is multiplied next is loaded while this is multiplied; after the last tile that is nothing which counts.
    uint32_t u[2][4][4], v[2][4][4];
    wait();
    load(u[0], v[0], 0);
#pragma unroll 1
    for (; tiles > 0; tiles--) {
      load(u[1], v[1], 1);
      // Into the stage that all left one tile ago.
      bring(filling);
      filling = after(filling);
      multiply(u[0], v[0]);
      wait();
      reading = after(reading);
      load(u[0], v[0], 0);
      multiply(u[1], v[1]);
    }
  } else {
    // Gathering needs the registers.
#pragma unroll 1
    for (; tiles > 0; tiles--) {
      wait();
      bring(filling);
      filling = after(filling);
#pragma unroll
      for (int l = 0; l < 2; l++) {
        uint32_t u[4][4], v[4][4];
        load(u, v, l);
        multiply(u, v);
      }
      reading = after(reading);
    }
  }
  // Before shared memory is used again.
  copy_wait<0>();
  __syncthreads();
}

// Calls end(i, j, sum) for every element of the tile at (row, column). Sums pass through shared memory, 64 rows at a time, so
// that neighbouring threads have neighbouring columns, and a thread always the same one.
template <class F, class End> DEVICE void mma_end(int64_t m, int64_t n, int64_t row, int64_t column, const Sums& sums, const End& end) {
  SHARED(float, room);
  static_assert(F::threads == F::n && WARP_TILE * F::n * 4 <= F::shared, "a thread has a column, and rows have room");
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  // Rows in turn have their columns in another order, so that a warp's sums go to different banks.
  auto place = [&](int r, int c) { return room + r * F::n + (c ^ (r & 7) * 8); };
  // Of a tile at the right edge threads share the columns that there are.
  int width = F::n;
  while (width > 8 && width / 2 >= n - column) width /= 2;
  int c = threadIdx.x & (width - 1), step = F::threads / width;
  int64_t height = m - row;
#pragma unroll 1
  for (int band = 0; band < F::m / WARP_TILE; band++) {
    if (warp / F::warps_n == band) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 8; j++) {
#pragma unroll
          for (int half = 0; half < 2; half++) {
            float* to = place(i * 16 + half * 8 + lane / 4, warp % F::warps_n * WARP_TILE + j * 8 + lane % 4 * 2);
            to[0] = sums[i][j][half * 2];
            to[1] = sums[i][j][half * 2 + 1];
          }
        }
      }
    }
    __syncthreads();
    if (column + c < n) {
#pragma unroll 1
      for (int r = threadIdx.x / width; r < WARP_TILE && band * WARP_TILE + r < height; r += step) {
        end(row + band * WARP_TILE + r, column + c, *place(r, c));
      }
    }
    __syncthreads();
  }
}

}  // namespace toro
