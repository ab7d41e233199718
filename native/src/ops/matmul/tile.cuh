// Products by tiles, for operands that are any function of (line, depth): C (m, n) = Σ_l A(i, l) B(j, l), lines being rows
// of A and columns of B. A block of 256 threads takes a tile of 64 × 64, a thread 4 × 4 of it; tiles of A and B (16 deep)
// pass through shared memory in the compute type.
//
// An operand says `along`, whether neighbouring depths rather than lines lie close in memory; `line(i)` and `depth(l)`, what
// is to be known of each; `get<C>(line, depth)`, the element. `hand_round` gives what one lane knows of a line or depth to all.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int TILE_THREADS = 256, TILE = 64, TILE_DEPTH = 16, PER_THREAD = 4;

DEVICE int64_t hand_round(int64_t x, int lane) { return __shfl_sync(ALL, x, lane); }

template <class C, class Operand>
DEVICE void fill_tile(C (*tile)[TILE + 1], const Operand& o, int64_t lines, int64_t first, int64_t depths, int64_t from) {
  constexpr int STEPS = TILE * TILE_DEPTH / TILE_THREADS;
  if (o.along) {
    int l = threadIdx.x % TILE_DEPTH;
    auto depth = o.depth(from + l);
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
      int i = threadIdx.x / TILE_DEPTH + s * (TILE / STEPS);
      tile[l][i] = first + i < lines && from + l < depths ? o.template get<C>(o.line(first + i), depth) : (C)0;
    }
  } else {
    int i = threadIdx.x % TILE;
    auto line = o.line(first + i);
    // The lanes work out the depths for each other.
    auto mine = o.depth(from + threadIdx.x % TILE_DEPTH);
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
      int l = threadIdx.x / TILE + s * (TILE_DEPTH / STEPS);
      auto depth = hand_round(mine, l);
      tile[l][i] = first + i < lines && from + l < depths ? o.template get<C>(line, depth) : (C)0;
    }
  }
}

// Calls end(i, j, sum) for every element of the tile at (row, column), summed over depths from … depths.
template <class C, class A, class B, class End>
DEVICE void tile_product(int64_t m, int64_t n, int64_t from, int64_t depths, int64_t row, int64_t column, const A& a, const B& b,
                         const End& end) {
  // A column more than the tile has, so that columns do not all lie in one bank.
  __shared__ C a_tile[TILE_DEPTH][TILE + 1];
  __shared__ C b_tile[TILE_DEPTH][TILE + 1];
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  C sums[PER_THREAD][PER_THREAD] = {};
  for (; from < depths; from += TILE_DEPTH) {
    fill_tile(a_tile, a, m, row, depths, from);
    fill_tile(b_tile, b, n, column, depths, from);
    __syncthreads();
#pragma unroll 4
    for (int l = 0; l < TILE_DEPTH; l++) {
      C u[PER_THREAD], v[PER_THREAD];
#pragma unroll
      for (int i = 0; i < PER_THREAD; i++) {
        u[i] = a_tile[l][y + 16 * i];
        v[i] = b_tile[l][x + 16 * i];
      }
#pragma unroll
      for (int i = 0; i < PER_THREAD; i++) {
#pragma unroll
        for (int j = 0; j < PER_THREAD; j++) sums[i][j] = wrap_add(sums[i][j], wrap_mul(u[i], v[j]));
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < PER_THREAD; i++) {
#pragma unroll
    for (int j = 0; j < PER_THREAD; j++) {
      int64_t r = row + y + 16 * i, q = column + x + 16 * j;
      if (r < m && q < n) end(r, q, sums[i][j]);
    }
  }
}

}  // namespace toro
