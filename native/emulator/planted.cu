// Kernels with planted bugs, each beside its right form (`right` is 1): what the emulator and the sanitizers are for must
// be found by them, and nothing else. Each is run as one block of n threads by planted.cpp and shall copy data to out;
// tests/cuda/planted_test.ts says what has to catch which.
#include "device.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 64;

// Mirrors Plant in planted.cpp. data and out have n elements, extra one that is 0 at first.
struct Plant {
  const float* data;
  float* out;
  float* extra;
  int n, right;
};

struct alignas(16) Four { float x, y, z, w; };

}  // namespace

// ---- places

KERNEL(global_read, THREADS, Plant p) {
  int t = threadIdx.x;
  p.out[t] = p.right ? p.data[t] : p.data[t + 1] - 1;
}

KERNEL(global_write, THREADS, Plant p) {
  int t = threadIdx.x;
  p.out[p.right ? t : t + 1] = p.data[t];
}

KERNEL(declared_shared_write, THREADS, Plant p) {
  __shared__ float tile[THREADS];
  int t = threadIdx.x;
  tile[p.right ? t : t + 1] = p.data[t];
  __syncthreads();
  p.out[t] = tile[t];
}

KERNEL(declared_shared_read, THREADS, Plant p) {
  __shared__ float tile[THREADS];
  int t = threadIdx.x;
  tile[t] = p.data[t];
  __syncthreads();
  p.out[t] = p.right ? tile[t] : tile[t + 1] - 1;
}

KERNEL(shared_write, THREADS, Plant p) {
  SHARED(float, tile);
  int t = threadIdx.x;
  tile[p.right ? t : t + 1] = p.data[t];
  __syncthreads();
  p.out[t] = tile[t];
}

KERNEL(shared_read, THREADS, Plant p) {
  SHARED(float, tile);
  int t = threadIdx.x;
  tile[t] = p.data[t];
  __syncthreads();
  p.out[t] = p.right ? tile[t] : tile[t + 1] - 1;
}

KERNEL(local_index, THREADS, Plant p) {
  float four[4] = {};
  int t = threadIdx.x;
  four[p.right ? t % 4 : t] = p.data[t];
  p.out[t] = p.data[t] + 0 * four[1];
}

KERNEL(vector_load, THREADS, Plant p) {
  int t = threadIdx.x;
  p.out[t] = p.data[t];
  if (t == 0) *p.extra = ((const Four*)(p.data + (p.right ? 0 : 1)))->x;
}

// ---- numbers

KERNEL(sum_of_ints, THREADS, Plant p) {
  int t = threadIdx.x, big = INT32_MAX - (p.right ? 1000 : 0);
  if (t == p.n - 1) *p.extra = (float)(big + t);
  p.out[t] = p.data[t];
}

KERNEL(shift, THREADS, Plant p) {
  int t = threadIdx.x, by = p.right ? 3 : 32 + t;
  if (t == 0) *p.extra = (float)(1 << by);
  p.out[t] = p.data[t];
}

KERNEL(division, THREADS, Plant p) {
  int t = threadIdx.x;
  if (t == 0) *p.extra = (float)(p.n / p.right);
  p.out[t] = p.data[t];
}

KERNEL(float_to_int, THREADS, Plant p) {
  int t = threadIdx.x;
  if (t == 0) *p.extra = (float)(int)(p.right ? 1e3f : 1e20f + *p.extra);
  p.out[t] = p.data[t];
}

// ---- waiting

KERNEL(barrier_left_out, THREADS, Plant p) {
  __shared__ float tile[THREADS];
  int t = threadIdx.x;
  tile[t] = p.data[t];
  if (p.right) __syncthreads();
  float x = tile[p.n - 1 - t];
  p.out[p.n - 1 - t] = x;
}

KERNEL(sum_without_atomic, THREADS, Plant p) {
  int t = threadIdx.x;
  if (p.right) atomicAdd(p.extra, 1.0f);
  else *p.extra += 1.0f;
  p.out[t] = p.data[t];
}

KERNEL(two_barriers, THREADS, Plant p) {
  int t = threadIdx.x;
  if (p.right || t % 2 == 0) __syncthreads();
  else {
    p.out[t] = 0;
    __syncthreads();
  }
  p.out[t] = p.data[t];
}

KERNEL(barrier_against_shuffle, THREADS, Plant p) {
  int t = threadIdx.x;
  float x = p.data[t];
  if (p.right || t % 32 < 16) x = __shfl_sync(ALL, x, t % 32);
  else __syncthreads();
  p.out[t] = x;
}

KERNEL(two_warp_operations, THREADS, Plant p) {
  int t = threadIdx.x;
  float x = p.data[t];
  if (p.right || t % 2 == 0) x = __shfl_sync(ALL, x, t % 32);
  else __syncwarp(ALL);
  p.out[t] = x;
}

KERNEL(lane_outside_its_mask, THREADS, Plant p) {
  int t = threadIdx.x;
  p.out[t] = __shfl_sync(p.right ? ALL : 0xffffu, p.data[t], t % 32);
}

KERNEL(places_by_order, THREADS, Plant p) {
  int t = threadIdx.x;
  int place = (int)atomicAdd(p.extra, 1.0f);
  p.out[p.right ? t : place] = p.data[t];
}

// Launched as n blocks of one thread.
KERNEL(block_needs_block, THREADS, Plant p) {
  int b = blockIdx.x;
  p.out[b] = p.right || b == 0 ? p.data[b] : p.out[b - 1] + 1;
}

// ---- what nobody wrote

KERNEL(declared_shared_unwritten, THREADS, Plant p) {
  __shared__ float tile[THREADS];
  int t = threadIdx.x;
  if (p.right) tile[t] = 0;
  p.out[t] = p.data[t] + tile[t];
}

KERNEL(shared_unwritten, THREADS, Plant p) {
  SHARED(float, tile);
  int t = threadIdx.x;
  if (p.right) tile[t] = 0;
  p.out[t] = p.data[t] + tile[t];
}

KERNEL(output_unwritten, THREADS, Plant p) {
  int t = threadIdx.x;
  if (p.right || t % 2 == 0) p.out[t] = p.data[t];
}

// ---- tensor cores and copies beside the thread; 16 threads copy the 64 elements

KERNEL(shared_copy_not_waited_for, THREADS, Plant p) {
  SHARED(float, tile);
  int t = threadIdx.x;
  if (t < THREADS / 4) copy_async(tile + t * 4, p.data + t * 4, 16);
  copy_group();
  if (p.right) copy_wait<0>();
  __syncthreads();
  p.out[t] = tile[t];
}

KERNEL(shared_copy_off_its_place, THREADS, Plant p) {
  SHARED(float, tile);
  int t = threadIdx.x;
  if (t < THREADS / 4) copy_async(tile + t * 4 + (p.right ? 0 : 1), p.data + t * 4, 16);
  copy_group();
  copy_wait<0>();
  __syncthreads();
  p.out[t] = tile[t];
}

KERNEL(half_a_warp_of_mma, THREADS, Plant p) {
  float c[4] = {p.data[threadIdx.x], 0, 0, 0};
  const uint32_t a[4] = {};
  if (!p.right && threadIdx.x % 32 < 16) return;
  mma_bfloat(c, a, 0, 0);
  p.out[threadIdx.x] = c[0];
}

// ---- right itself: what goes wrong is how the host uses it

KERNEL(copy_data, THREADS, Plant p) { p.out[threadIdx.x] = p.data[threadIdx.x]; }
