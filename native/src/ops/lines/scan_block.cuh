// Values of the threads of a block, joined in the threads' order.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int SCAN_THREADS = 256;

// ---- what threads of a warp hand on, scalars and pairs alike

DEVICE float shift_up(float x, int by) { return __shfl_up_sync(ALL, x, by); }
DEVICE double shift_up(double x, int by) { return __shfl_up_sync(ALL, x, by); }
DEVICE int shift_up(int x, int by) { return __shfl_up_sync(ALL, x, by); }
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
  __shared__ T parts[SCAN_THREADS / 32];
  int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    T before = shift_up(x, by);
    if (lane >= by) x = join(before, x);
  }
  if (lane == 31) parts[warp] = x;
  __syncthreads();
  T before = zero, total = zero;
  for (int w = 0; w < SCAN_THREADS / 32; w++) {
    if (w == warp) before = total;
    total = join(total, parts[w]);
  }
  // Before anybody writes the parts again.
  __syncthreads();
  *all = total;
  return join(before, x);
}

}  // namespace toro
