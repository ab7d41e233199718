// Lines that are cut into pieces where they are few and long, or taken by one thread each where they lie side by side:
// what scans and extremes with places walk. No block waits for another: what pieces come to is joined by a kernel of its own.
#pragma once
#include "lines.cuh"
#include "scan_block.cuh"

namespace toro {

// Mirrors Pieces in lines.rs.
struct Pieces {
  Lines lines;
  int64_t piece;   // elements of a line in a piece
  int32_t pieces;  // of each line
  int32_t alone;   // whether a thread takes a line
  void* totals;    // of each piece of each line
  double* spare;   // a float64 for each element, where the kernel asks for it
};
static_assert(sizeof(Pieces) == 2568, "as in lines.rs");

// The element of operand k that lies i places along a line.
template <class C> DEVICE C get(const Pieces& a, int k, int64_t start, int64_t i) { return get<C>(a.lines, k, start, i); }

// What scan_block gives, of the threads before this one only, where the join of all values up to it is known.
template <class T> DEVICE T before_in_block(T up_to, T zero) {
  __shared__ T last[LINE_THREADS / 32];
  int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  T before = shift_up(up_to, 1);
  if (lane == 31) last[warp] = up_to;
  __syncthreads();
  if (lane == 0) before = warp == 0 ? zero : last[warp - 1];
  __syncthreads();
  return before;
}

}  // namespace toro
