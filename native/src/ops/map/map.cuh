// The engine of elementwise kernels, the counterpart of map.rs: up to three inputs of any strides and dtypes, one
// output. A thread takes packs of neighbouring elements. Where every operand's packs lie side by side (`is_packed`) they
// are read and written at once, 16 bytes of float32; others go through a switch on their dtype. Any number of blocks of any
// size does: the grid strides over the elements.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int MAP_THREADS = 256;
// Whether 16-bit floats are taken by eights: not around functions of many calls, where registers would spill.
#ifdef MAP_OF_CALLS
constexpr bool EIGHTS = false;
#else
constexpr bool EIGHTS = true;
#endif
// Elements that a thread takes at a time: 16 bytes of the compute type.
template <class C> constexpr int PACK = 16 / sizeof(C);

enum Mode : int {
  ABSENT,
  DENSE,     // element i lies at i
  STRIDED,   // where dims and strides say
  CONSTANT,  // one number for all elements, in `constants`
  ROWS,      // as strided, but the four of a pack are neighbours, on a multiple of their bytes
  ALIKE,     // as strided, but the four of a pack are the same one
};

// Mirrors Arguments in map/cuda.rs.
struct Map {
  int64_t numel;
  int16_t ndim;
  // Whether the count of elements fits 32 bits.
  int16_t is_narrow;
  // Whether float32 kernels may take the operands by packs: 2 where all are dense, of one 16-bit type and on 16 bytes.
  int32_t is_packed;
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
#pragma unroll 1
  for (int j = 0; j < count; j++) {
    C x = pack.x[0];
#pragma unroll
    for (int l = 1; l < PACK<C>; l++) x = j == l ? pack.x[l] : x;
    store<C>(p, dtype, locate(a, 0, first + j), x);
  }
}

// One pack of out[i] = f(i, a[i], b[i], c[i]) with N inputs.
template <class C, int N, class F> DEVICE void map_pack(const Map& a, int64_t first, int count, F f) {
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

// Where a pack of an operand begins.
DEVICE int64_t pack_place(const Map& a, int k, int64_t first) { return a.modes[k] == DENSE ? first : locate(a, k, first); }

// A pack of operand k as it lies in memory.
DEVICE Quad bring(const Map& a, int k, int64_t first) {
  if (a.modes[k] == CONSTANT) return {};
  int64_t place = pack_place(a, k, first);
  if (a.modes[k] == ALIKE) return {{__float_as_uint(load<float>(a.pointers[k], a.dtypes[k], place))}};
  return load_quad(a.pointers[k], a.dtypes[k], place);
}
DEVICE void numbers_of(const Map& a, int k, const Quad& q, float (&x)[4]) {
  if (a.modes[k] == CONSTANT || a.modes[k] == ALIKE) {
    float one = a.modes[k] == ALIKE ? __uint_as_float(q.words[0]) : Bits<float>::of(a.constants[k]);
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = one;
  } else {
    floats_of(q, a.dtypes[k], x);
  }
}

// As below where operands lie packed: while a pack is computed the thread's next one is on its way.
template <int N, class F> DEVICE void map_packed(const Map& a, F f) {
  constexpr int INPUTS = N > 0 ? N : 1;
  int64_t whole = a.numel & ~(int64_t)3, step = thread_count() * 4, first = thread_number() * 4;
  Quad now[INPUTS] = {}, next[INPUTS] = {};
#pragma unroll
  for (int k = 0; k < N; k++) if (first < whole) now[k] = bring(a, k + 1, first);
#pragma unroll 1
  for (; first < whole; first += step) {
#pragma unroll
    for (int k = 0; k < N; k++) if (first + step < whole) next[k] = bring(a, k + 1, first + step);
    float x[INPUTS][4], out[4];
#pragma unroll
    for (int k = 0; k < N; k++) numbers_of(a, k + 1, now[k], x[k]);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if constexpr (N == 0) out[j] = f(first + j);
      else if constexpr (N == 1) out[j] = f(first + j, x[0][j]);
      else if constexpr (N == 2) out[j] = f(first + j, x[0][j], x[1][j]);
      else out[j] = f(first + j, x[0][j], x[1][j], x[2][j]);
    }
    store_quad(a.pointers[0], a.dtypes[0], pack_place(a, 0, first), out);
#pragma unroll
    for (int k = 0; k < N; k++) now[k] = next[k];
  }
  if (whole < a.numel && thread_number() == 0) map_pack<float, N>(a, whole, (int)(a.numel - whole), f);
}

// As above where all operands are dense and of one 16-bit type: eight elements at a time, computed four by four.
template <int N, class F> DEVICE void map_packed16(const Map& a, F f) {
  constexpr int INPUTS = N > 0 ? N : 1;
  int64_t whole = a.numel & ~(int64_t)7, step = thread_count() * 8, first = thread_number() * 8;
  int dtype = a.dtypes[0];
#pragma unroll 1
  for (; first < whole; first += step) {
    Quad in[INPUTS] = {}, out = {};
#pragma unroll
    for (int k = 0; k < N; k++) in[k] = *(const Quad*)((const uint16_t*)a.pointers[k + 1] + first);
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
      float x[INPUTS][4], y[4];
#pragma unroll
      for (int k = 0; k < N; k++) floats_of(in[k], dtype, x[k]);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if constexpr (N == 0) y[j] = f(first + half * 4 + j);
        else if constexpr (N == 1) y[j] = f(first + half * 4 + j, x[0][j]);
        else if constexpr (N == 2) y[j] = f(first + half * 4 + j, x[0][j], x[1][j]);
        else y[j] = f(first + half * 4 + j, x[0][j], x[1][j], x[2][j]);
      }
      HalfQuad h = half_quad_of(y, dtype);
#pragma unroll
      for (int w = 0; w < 2; w++) {
        out.words[w] = out.words[w + 2];
        out.words[w + 2] = h.words[w];
#pragma unroll
        for (int k = 0; k < N; k++) in[k].words[w] = in[k].words[w + 2];
      }
    }
    *(Quad*)((uint16_t*)a.pointers[0] + first) = out;
  }
  if (thread_number() == 0) {
    for (int64_t i = whole; i < a.numel; i += 4) map_pack<float, N>(a, i, (int)(a.numel - i < 4 ? a.numel - i : 4), f);
  }
}

// out[i] = f(i, a[i], b[i], c[i]) with N inputs.
template <class C, int N, class F> DEVICE void map_by_index(const Map& a, F f) {
  if constexpr (sizeof(C) == 4) {
    if constexpr (EIGHTS) if (a.is_packed == 2) return map_packed16<N>(a, f);
    if (a.is_packed) return map_packed<N>(a, f);
  }
  int64_t step = thread_count() * PACK<C>;
  for (int64_t first = thread_number() * PACK<C>; first < a.numel; first += step) {
    map_pack<C, N>(a, first, (int)(a.numel - first < PACK<C> ? a.numel - first : PACK<C>), f);
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
