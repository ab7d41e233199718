// Kernels that work line by line: softmax, norms, cross entropy. A block takes one line (of the inner loops) after another
// (of the outer loops) for up to eight operands of any strides and dtypes; 32 threads where lines are short, else 256.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int LINE_THREADS = 256;
constexpr int OPERANDS = 8;

struct Line {
  void* data;  // null where the operand is absent
  int32_t dtype, unused;
  int64_t outer[MAX_DIMS], inner[MAX_DIMS];
};

// Mirrors Lines in lines.rs.
struct Lines {
  int64_t count, length;
  int32_t outer_ndim, inner_ndim;
  uint32_t opcode, unused;
  Alarm* alarm;
  double numbers[8];
  int64_t outer_sizes[MAX_DIMS], inner_sizes[MAX_DIMS];
  Line lines[OPERANDS];
};
static_assert(sizeof(Lines) == 2536, "as in lines.rs");

// Where a line of an operand begins.
[[maybe_unused]] static __device__ __noinline__ int64_t line_start(const Lines& a, int k, int64_t line) {
  int64_t offset = 0;
#pragma unroll 1
  for (int d = a.outer_ndim - 1; d >= 0; d--) {
    int64_t size = a.outer_sizes[d], rest = line / size;
    offset += (line - rest * size) * a.lines[k].outer[d];
    line = rest;
  }
  return offset;
}

DEVICE int64_t inner_place(const Lines& a, int k, int64_t i) {
  int64_t offset = 0;
#pragma unroll 1
  for (int d = a.inner_ndim - 1; d > 0; d--) {
    int64_t size = a.inner_sizes[d], rest = i / size;
    offset += (i - rest * size) * a.lines[k].inner[d];
    i = rest;
  }
  return offset + i * a.lines[k].inner[0];
}

template <class C> DEVICE C get(const Lines& a, int k, int64_t start, int64_t i) {
  return load<C>(a.lines[k].data, a.lines[k].dtype, start + inner_place(a, k, i));
}
template <class C> DEVICE void put(const Lines& a, int k, int64_t start, int64_t i, C x) {
  store<C>(a.lines[k].data, a.lines[k].dtype, start + inner_place(a, k, i), x);
}
DEVICE bool has(const Lines& a, int k) { return a.lines[k].data != nullptr; }

// Joins a value of every thread of the block, in an order that does not depend on time; every thread gets what comes out.
template <class T, class F> DEVICE T join_block(T x, F join) {
#pragma unroll
  for (int with = 16; with > 0; with /= 2) x = join(x, __shfl_xor_sync(ALL, x, with));
  if (blockDim.x == 32) return x;
  __shared__ T parts[LINE_THREADS / 32];
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = parts[0];
  for (int w = 1; w < (int)blockDim.x / 32; w++) x = join(x, parts[w]);
  // Before anybody writes the parts again.
  __syncthreads();
  return x;
}
template <class T> DEVICE T sum_block(T x) {
  return join_block(x, [](T a, T b) { return a + b; });
}
// NaN is passed over.
template <class C> DEVICE C max_block(C x) {
  return join_block(x, [](C a, C b) { return b > a ? b : a; });
}

// The greatest element of a line; NaN is passed over.
template <class C> DEVICE C line_max(const Lines& a, int k, int64_t start) {
  C most = (C)-INFINITY;
  for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
    C x = get<C>(a, k, start, i);
    most = x > most ? x : most;
  }
  return max_block(most);
}
// The sum of exp(x - most) over a line.
template <class C> DEVICE double line_exp(const Lines& a, int k, int64_t start, C most) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) sum += (double)exp(get<C>(a, k, start, i) - most);
  return sum_block(sum);
}

}  // namespace toro

// A kernel in both float types; the body sees the lines as `a`, the compute type as C.
#define LINES_KERNEL(name, function)                                                                     \
  KERNEL(name##_f32, toro::LINE_THREADS, const __grid_constant__ toro::Lines a) { function<float>(a); }  \
  KERNEL(name##_f64, toro::LINE_THREADS, const __grid_constant__ toro::Lines a) { function<double>(a); }
