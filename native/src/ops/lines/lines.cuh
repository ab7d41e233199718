// Kernels that work line by line: softmax, norms, cross entropy. A block takes one line (of the inner loops) after another
// (of the outer loops) for up to eight operands of any strides and dtypes; 32 to 256 threads, by the length of a line. A thread
// takes four neighbours at a time, and keeps the first sixteen float32 numbers that it takes of a line.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int LINE_THREADS = 256;
constexpr int OPERANDS = 8;

struct Line {
  void* data;  // null where the operand is absent
  int32_t dtype;
  // Whether lines lie dense, each on a multiple of the bytes of four elements.
  int32_t is_packed;
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

// ---- neighbours of a line: four float32 numbers, float64 ones singly

template <class C> constexpr int WIDE = sizeof(C) == 4 ? 4 : 1;
template <class C> struct Neighbours { C x[WIDE<C>]; };

// Elements i … i + count - 1 of a line.
template <class C> __device__ __noinline__ Neighbours<C> get_each(const Lines& a, int k, int64_t start, int64_t i, int count) {
  Neighbours<C> wide = {};
#pragma unroll 1
  for (int j = 0; j < count; j++) {
    C x = get<C>(a, k, start, i + j);
    // By a choice rather than an index, so that they stay in registers.
#pragma unroll
    for (int l = 0; l < WIDE<C>; l++) wide.x[l] = j == l ? x : wide.x[l];
  }
  return wide;
}
template <class C> __device__ __noinline__ void put_each(const Lines& a, int k, int64_t start, int64_t i, int count, Neighbours<C> wide) {
#pragma unroll 1
  for (int j = 0; j < count; j++) {
    C x = wide.x[0];
#pragma unroll
    for (int l = 1; l < WIDE<C>; l++) x = j == l ? wide.x[l] : x;
    put<C>(a, k, start, i + j, x);
  }
}

// How many of those from i on the line has.
template <class C, bool PACKED> DEVICE int count_from(const Lines& a, int64_t i) {
  return !PACKED && a.length - i < WIDE<C> ? (int)(a.length - i) : WIDE<C>;
}

// PACKED says that all operands that are taken as rows lie packed, in whole fours: kernels of their own, which need half the
// registers.

template <class C, bool PACKED> DEVICE void put_wide(const Lines& a, int k, int64_t start, int64_t i, int count, const C (&x)[WIDE<C>]) {
  if constexpr (PACKED) return store_quad(a.lines[k].data, a.lines[k].dtype, start + i, x);
  if constexpr (sizeof(C) == 4) if (a.lines[k].is_packed && count == 4) return store_quad(a.lines[k].data, a.lines[k].dtype, start + i, x);
  Neighbours<C> wide;
#pragma unroll
  for (int j = 0; j < WIDE<C>; j++) wide.x[j] = x[j];
  put_each<C>(a, k, start, i, count, wide);
}

// The neighbours of N operands of a line that a thread takes: the first K times stay in registers from `keep` on, the others
// are fetched anew each time; with K = 0 all are, several at once, for what takes one pass. An operand that is absent has the same
// number everywhere.
template <class C> constexpr int KEPT = sizeof(C) == 4 ? 4 : 2;
template <class C, bool PACKED, int N, int K = KEPT<C>> struct Row {
  const Lines& a;
  int operands[N];
  int64_t starts[N];
  C absent[N];
  C kept[K > 0 ? K : 1][N][WIDE<C>];

  DEVICE int64_t place(int which) const { return ((int64_t)which * blockDim.x + threadIdx.x) * WIDE<C>; }
  DEVICE void fetch(int64_t i, C (&x)[N][WIDE<C>]) const {
    [[maybe_unused]] int count = count_from<C, PACKED>(a, i);
#pragma unroll
    for (int n = 0; n < N; n++) {
      const Line& line = a.lines[operands[n]];
      if (!line.data) {
#pragma unroll
        for (int j = 0; j < WIDE<C>; j++) x[n][j] = absent[n];
        continue;
      }
      if constexpr (sizeof(C) == 4) if (PACKED || (line.is_packed && count == 4)) {
        floats_of(load_quad(line.data, line.dtype, starts[n] + i), line.dtype, x[n]);
        continue;
      }
      if constexpr (PACKED) continue;
      Neighbours<C> wide = get_each<C>(a, operands[n], starts[n], i, count);
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) x[n][j] = wide.x[j];
    }
  }
  // Brings M times neighbours, all under way at once.
  template <int M> DEVICE void bring(int first, C (&some)[M][N][WIDE<C>]) const {
#pragma unroll
    for (int w = 0; w < M; w++) if (place(first + w) < a.length) fetch(place(first + w), some[w]);
  }
  DEVICE void keep() { if constexpr (K > 0) bring(0, kept); }
  template <int M, class F> DEVICE void visit(int first, const C (&some)[M][N][WIDE<C>], F& f) const {
#pragma unroll
    for (int w = 0; w < M; w++) {
      if (place(first + w) < a.length) f(place(first + w), count_from<C, PACKED>(a, place(first + w)), some[w]);
    }
  }
  // Calls f(i, count, neighbours of the operands) for each place.
  template <class F> DEVICE void each(F f) const {
    if constexpr (K > 0) visit(0, kept, f);
    // Beside those that are kept there are registers for one more.
    constexpr int M = K > 0 ? 1 : PACKED ? 4 : 2;
#pragma unroll 1
    for (int first = K; place(first) < a.length; first += M) {
      C some[M][N][WIDE<C>];
      bring(first, some);
      visit(first, some, f);
    }
  }
  // The thread's sum of f(neighbours of the operands, number within them): of neighbours in the compute type, the rest in
  // float64.
  template <class F> DEVICE double sum(F f) const {
    double total = 0.0;
    each([&](int64_t, int count, const C (&x)[N][WIDE<C>]) {
      C some = (C)0;
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) if (j < count) some += f(x, j);
      total += (double)some;
    });
    return total;
  }
  // Writes f(neighbours of the operands, number within them, column) to operand k.
  template <class F> DEVICE void write(int k, int64_t start, F f) const {
    each([&](int64_t i, int count, const C (&x)[N][WIDE<C>]) {
      C y[WIDE<C>];
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) y[j] = f(x, j, i + j);
      put_wide<C, PACKED>(a, k, start, i, count, y);
    });
  }
};

// The greatest element of a line, and the sum of exp(x - greatest); NaN is passed over by the one and stays in the other.
template <class C> struct Exponentials {
  C most;
  double sum;
};
template <class C, bool PACKED, int K> DEVICE Exponentials<C> exponentials(const Row<C, PACKED, 1, K>& row) {
  C most = (C)-INFINITY;
  double sum = 0.0;
  row.each([&](int64_t, int count, const C (&x)[1][WIDE<C>]) {
    C now = most, some = (C)0;
#pragma unroll
    for (int j = 0; j < WIDE<C>; j++) if (j < count && x[0][j] > now) now = x[0][j];
    if (now > most) {
      // What was summed so far is nothing where the greatest was -∞.
      sum *= (double)exp(most - now);
      most = now;
    }
    // -∞ - -∞ must not arise while a greater one may come.
    C shift = most == (C)-INFINITY ? (C)0 : most;
#pragma unroll
    for (int j = 0; j < WIDE<C>; j++) if (j < count) some += exp(x[0][j] - shift);
    sum += (double)some;
  });
  C all = max_block(most);
  // A line of nothing but -∞ has no exponentials: NaN.
  return {all, sum_block(sum * (double)exp(most - all))};
}

}  // namespace toro

// A kernel in both float types; the body sees the lines as `a`, the compute type as C.
#define LINES_KERNEL(name, function)                                                                     \
  KERNEL(name##_f32, toro::LINE_THREADS, const __grid_constant__ toro::Lines a) { function<float>(a); }  \
  KERNEL(name##_f64, toro::LINE_THREADS, const __grid_constant__ toro::Lines a) { function<double>(a); }
// As above for bodies that also have a form in which all lines are packed.
#define ROWS_KERNEL(name, function)                                                                             \
  KERNEL(name##_f32, toro::LINE_THREADS, const __grid_constant__ toro::Lines a) { function<float, false>(a); }  \
  KERNEL(name##_f64, toro::LINE_THREADS, const __grid_constant__ toro::Lines a) { function<double, false>(a); } \
  KERNEL(name##_packed, toro::LINE_THREADS, const __grid_constant__ toro::Lines a) { function<float, true>(a); }
