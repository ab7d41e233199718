// Products of 16-bit floats by tensor cores, summed in float32, for the operands of tile.cuh. A block of 4 warps takes a tile of
// 128 × 128, a warp 64 × 64 of it. Tiles of both operands, 32 deep, pass through shared memory in four stages: while one is
// multiplied, three are on their way. Lines of shared memory are 16 bytes longer than what they hold, so that the 8 rows that
// ldmatrix reads at once lie in different banks.
//
// An operand has `along`, `line`, `depth` as there; `find(line, depth)`, the place of the element in its data or -1 for 0; and
// may have a way of its own into shared memory (`fetch_tile`).
#pragma once
#include "tile.cuh"

namespace toro {

constexpr int MMA_THREADS = 128, MMA_TILE = 128, MMA_DEPTH = 32, MMA_STAGES = 4;
// Elements from one line of a stage to the next where depths are neighbours, and where lines are.
constexpr int DEEP_PITCH = MMA_DEPTH + 8, WIDE_PITCH = MMA_TILE + 8;
// Elements of one stage of one operand.
constexpr int MMA_ROOM = MMA_TILE * DEEP_PITCH;
static_assert(MMA_ROOM >= MMA_DEPTH * WIDE_PITCH, "both forms fit");

template <class T> DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <> DEVICE void mma<bfloat_t>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { mma_bfloat(c, a, b0, b1); }
template <> DEVICE void mma<half_t>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) { mma_half(c, a, b0, b1); }

// Brings a tile of an operand element by element. What a warp's lanes share of lines and depths they work out for each other.
template <class Operand>
DEVICE void fetch_tile(uint16_t* tile, const Operand& o, int64_t lines, int64_t first, int64_t depths, int64_t from) {
  const uint16_t* data = (const uint16_t*)o.data;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if constexpr (Operand::along) {
    // A warp takes 32 lines, 4 apart, a lane one depth.
    auto mine = o.line(first + lane * 4 + warp);
    auto depth = o.depth(from + lane);
    bool is_deep = from + lane < depths;
#pragma unroll 8
    for (int s = 0; s < MMA_TILE / 4; s++) {
      int i = s * 4 + warp;
      auto line = hand_round(mine, s);
      int64_t place = is_deep && first + i < lines ? o.find(line, depth) : -1;
      tile[i * DEEP_PITCH + lane] = place < 0 ? (uint16_t)0 : data[place];
    }
  } else {
    // A thread takes one line.
    int i = threadIdx.x;
    auto line = o.line(first + i);
    auto mine = o.depth(from + lane);
    bool is_line = first + i < lines;
#pragma unroll 8
    for (int l = 0; l < MMA_DEPTH; l++) {
      auto depth = hand_round(mine, l);
      int64_t place = is_line && from + l < depths ? o.find(line, depth) : -1;
      tile[l * WIDE_PITCH + i] = place < 0 ? (uint16_t)0 : data[place];
    }
  }
}

// The parts of A that a warp multiplies: 16 lines from `line` on, 16 depths from `depth` on.
template <bool ALONG> DEVICE void load_lines(uint32_t (&m)[4], const uint16_t* tile, int line, int depth) {
  int lane = threadIdx.x % 32, i = line + lane % 16, l = depth + lane / 16 * 8;
  if constexpr (ALONG) load_matrices(m, tile + i * DEEP_PITCH + l);
  else load_matrices_turned(m, tile + (depth + lane % 8 + lane / 16 * 8) * WIDE_PITCH + line + lane / 8 % 2 * 8);
}
// The parts of B: two of 8 lines from `line` on, each with 16 depths.
template <bool ALONG> DEVICE void load_columns(uint32_t (&m)[4], const uint16_t* tile, int line, int depth) {
  int lane = threadIdx.x % 32;
  if constexpr (ALONG) load_matrices(m, tile + (line + lane % 8 + lane / 16 * 8) * DEEP_PITCH + depth + lane / 8 % 2 * 8);
  else load_matrices_turned(m, tile + (depth + lane % 16) * WIDE_PITCH + line + lane / 16 * 8);
}

// Calls end(i, j, sum) for every element of the tile at (row, column), summed over depths from … depths; neighbouring
// columns of a thread follow each other.
template <class T, class A, class B, class End>
DEVICE void mma_product(int64_t m, int64_t n, int64_t from, int64_t depths, int64_t row, int64_t column, const A& a, const B& b,
                        const End& end) {
  SHARED(uint16_t, room);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int warp_row = warp / 2 * 64, warp_column = warp % 2 * 64;
  float sums[4][8][4] = {};
  int64_t tiles = depths > from ? (depths - from + MMA_DEPTH - 1) / MMA_DEPTH : 0;
  auto stage = [&](int64_t tile) { return room + tile % MMA_STAGES * 2 * MMA_ROOM; };
  auto fetch = [&](int64_t tile) {
    if (tile < tiles) {
      fetch_tile(stage(tile), a, m, row, depths, from + tile * MMA_DEPTH);
      fetch_tile(stage(tile) + MMA_ROOM, b, n, column, depths, from + tile * MMA_DEPTH);
    }
    copy_group();
  };
#pragma unroll 1
  for (int tile = 0; tile < MMA_STAGES - 1; tile++) fetch(tile);
#pragma unroll 1
  for (int64_t tile = 0; tile < tiles; tile++) {
    copy_wait<MMA_STAGES - 2>();
    __syncthreads();
    // Into the stage that all have just left.
    fetch(tile + MMA_STAGES - 1);
    const uint16_t *a_tile = stage(tile), *b_tile = a_tile + MMA_ROOM;
#pragma unroll
    for (int l = 0; l < MMA_DEPTH; l += 16) {
      uint32_t u[4][4];
#pragma unroll
      for (int i = 0; i < 4; i++) load_lines<A::along>(u[i], a_tile, warp_row + i * 16, l);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        uint32_t v[4];
        load_columns<B::along>(v, b_tile, warp_column + j * 16, l);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          mma<T>(sums[i][2 * j], u[i], v[0], v[1]);
          mma<T>(sums[i][2 * j + 1], u[i], v[2], v[3]);
        }
      }
    }
  }
  // Before the stages are used again.
  copy_wait<0>();
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int64_t r = row + warp_row + i * 16 + half * 8 + lane / 4;
      if (r >= m) continue;
#pragma unroll
      for (int j = 0; j < 8; j++) {
        int64_t q = column + warp_column + j * 8 + lane % 4 * 2;
        if (q < n) end(r, q, sums[i][j][half * 2]);
        if (q + 1 < n) end(r, q + 1, sums[i][j][half * 2 + 1]);
      }
    }
  }
}

}  // namespace toro
