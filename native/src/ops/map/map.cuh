// The engine of elementwise kernels, the counterpart of map.rs: up to three inputs of any strides and dtypes, one
// output. A thread takes four neighbouring elements at a time; operands that lie dense are read and written 16 bytes (of
// 4-byte types; 8 of 2-byte types) at once, others through a switch on their dtype. Any number of blocks of any size does: the
// grid strides over the elements.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int MAP_THREADS = 256;
// Elements that a thread takes at a time: 16 bytes of the compute type.
template <class C> constexpr int PACK = 16 / sizeof(C);

enum Mode : int {
  ABSENT,
  DENSE,     // element i lies at i, the first one on 16 bytes
  STRIDED,   // where dims and strides say
  CONSTANT,  // one number for all elements, in `constants`
};

// Mirrors Arguments in map/cuda.rs.
struct Map {
  int64_t numel;
  int32_t ndim;
  // Whether the count of elements fits 32 bits.
  int32_t is_narrow;
  int32_t modes[4], dtypes[4];
  void* pointers[4];
  uint64_t constants[4];
  uint64_t scalars[4];
  int64_t dims[MAX_DIMS];
  int64_t strides[4][MAX_DIMS];
};
static_assert(sizeof(Map) == 784, "as in map/cuda.rs");

template <class C> struct Bits;
template <> struct Bits<float> { static DEVICE float of(uint64_t b) { return (float)__longlong_as_double((long long)b); } };
template <> struct Bits<double> { static DEVICE double of(uint64_t b) { return __longlong_as_double((long long)b); } };
template <> struct Bits<int64_t> { static DEVICE int64_t of(uint64_t b) { return (int64_t)b; } };

// The op's own scalars: float64 bits for float kernels, int64 bits for integer ones.
struct Scalars {
  const Map& a;
  template <class C> DEVICE C get(int i) const { return Bits<C>::of(a.scalars[i]); }
};

// A thread's elements of one operand.
template <class C> struct Pack { C x[PACK<C>]; };
struct alignas(8) Pack16 { uint16_t x[PACK<float>]; };
struct alignas(16) Pack32 { float x[PACK<float>]; };

template <class I> DEVICE int64_t offset_of(const Map& a, int k, I i) {
  int64_t offset = 0;
#pragma unroll 1
  for (int d = a.ndim - 1; d >= 0; d--) {
    I size = (I)a.dims[d], rest = i / size;
    offset += (int64_t)(i - rest * size) * a.strides[k][d];
    i = rest;
  }
  return offset;
}

// Where element i of an operand lies, in elements.
DEVICE int64_t locate(const Map& a, int k, int64_t i) {
  if (a.modes[k] == DENSE) return i;
  return a.is_narrow ? offset_of<uint32_t>(a, k, (uint32_t)i) : offset_of<uint64_t>(a, k, (uint64_t)i);
}

// Brings elements first .. first + count of operand k. What is fetched and stored is no part of the kernels themselves,
// which so stay small: nvcc takes their number times their size.
template <class C> __device__ __noinline__ Pack<C> fetch(const Map& a, int k, int64_t first, int count) {
  Pack<C> pack = {};
  const void* p = a.pointers[k];
  int dtype = a.dtypes[k], mode = a.modes[k];
  if (mode == CONSTANT) {
    C x = Bits<C>::of(a.constants[k]);
#pragma unroll
    for (int j = 0; j < PACK<C>; j++) pack.x[j] = x;
    return pack;
  }
  if constexpr (sizeof(C) == 4) if (mode == DENSE && count == PACK<C>) {
    if (dtype == F32) {
      Pack32 v = *(const Pack32*)((const float*)p + first);
#pragma unroll
      for (int j = 0; j < PACK<C>; j++) pack.x[j] = (C)v.x[j];
      return pack;
    }
    if (dtype == BF16 || dtype == F16) {
      Pack16 v = *(const Pack16*)((const uint16_t*)p + first);
#pragma unroll
      for (int j = 0; j < PACK<C>; j++) pack.x[j] = (C)(dtype == BF16 ? bfloat_to_float(v.x[j]) : half_to_float(v.x[j]));
      return pack;
    }
  }
#pragma unroll 1
  for (int j = 0; j < PACK<C>; j++) {
    // Past the end the last element stands in.
    int64_t i = first + (j < count ? j : count - 1);
    C x = load<C>(p, dtype, locate(a, k, i));
    // By a choice rather than an index, so that the pack stays in registers.
#pragma unroll
    for (int l = 0; l < PACK<C>; l++) pack.x[l] = j == l ? x : pack.x[l];
  }
  return pack;
}

template <class C> __device__ __noinline__ void put(const Map& a, int64_t first, int count, Pack<C> pack) {
  void* p = a.pointers[0];
  int dtype = a.dtypes[0];
  if constexpr (sizeof(C) == 4) if (a.modes[0] == DENSE && count == PACK<C>) {
    if (dtype == F32) {
      Pack32 v;
#pragma unroll
      for (int j = 0; j < PACK<C>; j++) v.x[j] = (float)pack.x[j];
      *(Pack32*)((float*)p + first) = v;
      return;
    }
    if (dtype == BF16 || dtype == F16) {
      Pack16 v;
#pragma unroll
      for (int j = 0; j < PACK<C>; j++) v.x[j] = dtype == BF16 ? float_to_bfloat((float)pack.x[j]) : float_to_half((float)pack.x[j]);
      *(Pack16*)((uint16_t*)p + first) = v;
      return;
    }
  }
#pragma unroll 1
  for (int j = 0; j < count; j++) {
    C x = pack.x[0];
#pragma unroll
    for (int l = 1; l < PACK<C>; l++) x = j == l ? pack.x[l] : x;
    store<C>(p, dtype, locate(a, 0, first + j), x);
  }
}

// out[i] = f(i, a[i], b[i], c[i]) with N inputs.
template <class C, int N, class F> DEVICE void map_by_index(const Map& a, F f) {
  int64_t step = thread_count() * PACK<C>;
  for (int64_t first = thread_number() * PACK<C>; first < a.numel; first += step) {
    int count = (int)(a.numel - first < PACK<C> ? a.numel - first : PACK<C>);
    Pack<C> x, y, z, out;
    if constexpr (N > 0) x = fetch<C>(a, 1, first, count);
    if constexpr (N > 1) y = fetch<C>(a, 2, first, count);
    if constexpr (N > 2) z = fetch<C>(a, 3, first, count);
    auto one = [&](int j) {
      if constexpr (N == 0) return f(first + j);
      else if constexpr (N == 1) return f(first + j, x.x[j]);
      else if constexpr (N == 2) return f(first + j, x.x[j], y.x[j]);
      else return f(first + j, x.x[j], y.x[j], z.x[j]);
    };
#pragma unroll
    for (int j = 0; j < PACK<C>; j++) out.x[j] = one(j);
    put<C>(a, first, count, out);
  }
}

template <class C, int N, class F> DEVICE void map(const Map& a, F f) {
  map_by_index<C, N>(a, [&](int64_t, auto... x) { return f(x...); });
}

}  // namespace toro

// One kernel of an op in one compute type. `value` sees the inputs by the names given, the compute type as C, and the op's
// scalars by p(i).
#define MAP_KERNEL(name, type, suffix, N, parameters, value)                        \
  KERNEL(map_##name##_##suffix, toro::MAP_THREADS, const __grid_constant__ toro::Map a) { \
    using C = type;                                                                 \
    toro::Scalars scalars{a};                                                       \
    [[maybe_unused]] auto p = [&](int i) { return scalars.get<C>(i); };              \
    toro::map<C, N>(a, [&] parameters -> C { return (C)(value); });                 \
  }

#define PARAMETERS_0() ()
#define PARAMETERS_1(x) (C x)
#define PARAMETERS_2(x, y) (C x, C y)
#define PARAMETERS_3(x, y, z) (C x, C y, C z)

// MAP_f32(arity, name, (inputs), value), and so for f64, i64; MAP_real stands for both float types, MAP_all for all three.
#define MAP_f32(N, name, inputs, value) MAP_KERNEL(name, float, f32, N, PARAMETERS_##N inputs, value)
#define MAP_f64(N, name, inputs, value) MAP_KERNEL(name, double, f64, N, PARAMETERS_##N inputs, value)
#define MAP_i64(N, name, inputs, value) MAP_KERNEL(name, int64_t, i64, N, PARAMETERS_##N inputs, value)
#define MAP_real(N, name, inputs, value) MAP_f32(N, name, inputs, value) MAP_f64(N, name, inputs, value)
#define MAP_all(N, name, inputs, value) MAP_real(N, name, inputs, value) MAP_i64(N, name, inputs, value)
