// Lines that are cut into pieces where they are few and long, or taken by one thread each where they lie side by side:
// what scans and extremes with places walk. No block waits for another: what pieces come to is joined by a kernel of its own.
#pragma once
#include "lines.cuh"

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

// ---- what threads of a warp hand on, scalars and pairs alike

DEVICE float shift_up(float x, int by) { return __shfl_up_sync(ALL, x, by); }
DEVICE double shift_up(double x, int by) { return __shfl_up_sync(ALL, x, by); }
DEVICE int64_t shift_up(int64_t x, int by) { return __shfl_up_sync(ALL, x, by); }

// Two numbers that are joined as one.
template <class A, class B> struct Two {
  A first;
  B second;
};
template <class A, class B> DEVICE Two<A, B> shift_up(Two<A, B> x, int by) {
  return {shift_up(x.first, by), shift_up(x.second, by)};
}

// The values of all threads before this one and its own, joined in their order; `all` gets those of the whole block.
// `zero` joins to nothing. Every thread of a block of 256 must call it.
template <class T, class F> DEVICE T scan_block(T x, T zero, F join, T* all) {
  __shared__ T parts[LINE_THREADS / 32];
  int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    T before = shift_up(x, by);
    if (lane >= by) x = join(before, x);
  }
  if (lane == 31) parts[warp] = x;
  __syncthreads();
  T before = zero, total = zero;
  for (int w = 0; w < LINE_THREADS / 32; w++) {
    if (w == warp) before = total;
    total = join(total, parts[w]);
  }
  // Before anybody writes the parts again.
  __syncthreads();
  *all = total;
  return join(before, x);
}
// The same of the threads before this one only, where the join of all values up to it is known.
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
