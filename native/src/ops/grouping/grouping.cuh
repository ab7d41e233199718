// What belongs together by key: keys in order, each with the place it came from, and where the runs of equal keys begin.
// The kernels that make it are in grouping.cu.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int GROUP_THREADS = 256;
constexpr int TILE = 2048;  // things that a block takes at a time
constexpr int EACH = TILE / GROUP_THREADS;

// Mirrors View in grouping.rs: `count` groups; group g has the places order[starts[g]] … order[starts[g + 1] - 1], which
// ascend, and the key keys[starts[g]].
struct Groups {
  const uint64_t* keys;
  const uint32_t* order;
  const uint32_t* starts;
  const int64_t* count;
};

// The sum of x over the threads before this one, and that over all; a block of 256 threads. Every thread must call it.
template <class T> DEVICE T scan_block(T x, T* total) {
  __shared__ T sums[GROUP_THREADS / 32];
  T sum = x;
  int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    T other = __shfl_up_sync(ALL, sum, by);
    if (lane >= by) sum += other;
  }
  if (lane == 31) sums[warp] = sum;
  __syncthreads();
  T before = 0, all = 0;
  for (int w = 0; w < GROUP_THREADS / 32; w++) {
    if (w < warp) before += sums[w];
    all += sums[w];
  }
  // Before anybody writes the sums again.
  __syncthreads();
  *total = all;
  return before + sum - x;
}

}  // namespace toro
