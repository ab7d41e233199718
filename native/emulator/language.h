// What the words of CUDA C++ mean when g++ compiles kernels for the CPU. A block runs on one OS thread; its CUDA threads
// are fibers, switched only where one waits: at a barrier or in a warp operation (scheduler.cpp).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <math.h>
#include <type_traits>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define __grid_constant__
// One OS thread runs all blocks, so statics are a block's own; sanitizers put red zones around them. Without a sanitizer
// they are the library's only thread-local memory, which makes them easy to fill with NaN.
#ifdef EMULATOR_SANITIZED
#define __shared__ static
#else
#define __shared__ static thread_local
#endif
#define __launch_bounds__(...)

struct uint3 { unsigned x, y, z; };

namespace emulator {

// A copy that a thread asked for, not done before somebody waits for its group.
struct LateCopy {
  void* to;
  const void* from;
  int bytes, group;
};

// One CUDA thread.
struct Thread {
  uint3 index, block, block_size, grid_size;
  int number, lane, warp, state;
  void* fiber;
  void* shared;
  std::vector<LateCopy> copies;
  int groups;
};
extern __attribute__((visibility("hidden"))) Thread* current;

constexpr int SLOT = 64;  // bytes that a lane may hand to a warp operation
using Slots = unsigned char (*)[SLOT];
using Completer = void (*)(Slots in, Slots out, uint32_t lanes);

// Every lane of the mask hands in n bytes; the last to arrive runs the completer once, and all get what came out.
Slots warp_operation(uint32_t mask, const void* value, int n, Completer complete, const char* what, int line);
void barrier(const char* what, int line);
[[noreturn]] void fail(const char* format, ...);

inline void exchange(Slots in, Slots out, uint32_t lanes) {
  for (int l = 0; l < 32; l++) {
    if (lanes >> l & 1) memcpy(out[l], in[l], SLOT);
    // What a lane that takes no part is asked for is undefined: NaN shows it.
    else memset(out[l], 0xff, SLOT);
  }
}
template <class T> T pick(Slots out, int lane) {
  T x;
  memcpy((void*)&x, out[lane & 31], sizeof x);
  return x;
}

// A kernel as the driver finds it: its name, how it is called, the size of its one parameter.
struct Kernel {
  const char* name;
  void (*call)(const void* parameter);
  unsigned long bytes;
  unsigned threads;
  Kernel* next;
};
extern __attribute__((visibility("hidden"))) Kernel* kernels;

template <auto F> struct Caller;
template <class A, void (*F)(A)> struct Caller<F> {
  static constexpr unsigned long bytes = sizeof(A);
  static void call(const void* parameter) {
    alignas(16) unsigned char copy[sizeof(A)];
    memcpy(copy, parameter, sizeof(A));
    F(*(std::remove_cv_t<A>*)copy);
  }
};
struct Registration {
  Kernel kernel;
  Registration(Kernel k) : kernel(k) {
    kernel.next = kernels;
    kernels = &kernel;
  }
  Registration(const Registration&) = delete;
};

}  // namespace emulator

#define KERNEL(name, threads, ...)                                                                       \
  extern "C" void name(__VA_ARGS__);                                                                     \
  static emulator::Registration registration_##name{                                                     \
      {#name, emulator::Caller<&name>::call, emulator::Caller<&name>::bytes, threads, nullptr}};         \
  extern "C" void name(__VA_ARGS__)
#define WIDE_KERNEL KERNEL
#define SHARED(type, name) type* name = (type*)emulator::current->shared

#define threadIdx (emulator::current->index)
#define blockIdx (emulator::current->block)
#define blockDim (emulator::current->block_size)
#define gridDim (emulator::current->grid_size)

// ---- waiting and warp operations; the place in the source tells apart calls that must not meet

inline void __syncthreads(int line = __builtin_LINE()) { emulator::barrier("__syncthreads", line); }
inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE()) {
  int nothing = 0;
  emulator::warp_operation(mask, &nothing, sizeof nothing, emulator::exchange, "__syncwarp", line);
}
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T> T __shfl_sync(unsigned mask, T x, int from, int width = 32, int line = __builtin_LINE()) {
  auto out = emulator::warp_operation(mask, &x, sizeof x, emulator::exchange, "__shfl_sync", line);
  int lane = emulator::current->lane;
  return emulator::pick<T>(out, (lane & ~(width - 1)) | (from & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T x, int with, int width = 32, int line = __builtin_LINE()) {
  auto out = emulator::warp_operation(mask, &x, sizeof x, emulator::exchange, "__shfl_xor_sync", line);
  int lane = emulator::current->lane, from = lane ^ with;
  return emulator::pick<T>(out, from / width > lane / width ? lane : from);
}
template <class T> T __shfl_down_sync(unsigned mask, T x, int by, int width = 32, int line = __builtin_LINE()) {
  auto out = emulator::warp_operation(mask, &x, sizeof x, emulator::exchange, "__shfl_down_sync", line);
  int lane = emulator::current->lane;
  return emulator::pick<T>(out, lane % width + by < width ? lane + by : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T x, int by, int width = 32, int line = __builtin_LINE()) {
  auto out = emulator::warp_operation(mask, &x, sizeof x, emulator::exchange, "__shfl_up_sync", line);
  int lane = emulator::current->lane;
  return emulator::pick<T>(out, lane % width - by >= 0 ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int holds, int line = __builtin_LINE()) {
  holds = holds != 0;
  auto vote = [](emulator::Slots in, emulator::Slots out, uint32_t lanes) {
    unsigned votes = 0;
    for (int l = 0; l < 32; l++) votes |= (lanes >> l & 1) && in[l][0] ? 1u << l : 0u;
    for (int l = 0; l < 32; l++) memcpy(out[l], &votes, sizeof votes);
  };
  return emulator::pick<unsigned>(emulator::warp_operation(mask, &holds, sizeof holds, vote, "__ballot_sync", line), 0);
}
inline int __any_sync(unsigned mask, int holds, int line = __builtin_LINE()) { return __ballot_sync(mask, holds, line) != 0; }
inline int __all_sync(unsigned mask, int holds, int line = __builtin_LINE()) { return __ballot_sync(mask, !holds, line) == 0; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }

// ---- atomics: real ones, which the thread sanitizer knows

namespace emulator {
template <int N> struct Word;
template <> struct Word<4> { using type = uint32_t; };
template <> struct Word<8> { using type = uint64_t; };
template <class T, class F> T modify(T* p, F f) {
  using U = typename Word<sizeof(T)>::type;
  U before = __atomic_load_n((U*)p, __ATOMIC_RELAXED), after;
  T x, y;
  do {
    memcpy(&x, &before, sizeof x);
    y = f(x);
    memcpy(&after, &y, sizeof y);
  } while (!__atomic_compare_exchange_n((U*)p, &before, after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return x;
}
}  // namespace emulator
template <class T> T atomicAdd(T* p, std::common_type_t<T> x) { return emulator::modify(p, [=](T a) { return (T)(a + x); }); }
template <class T> T atomicMax(T* p, std::common_type_t<T> x) { return emulator::modify(p, [=](T a) { return a > x ? a : x; }); }
template <class T> T atomicMin(T* p, std::common_type_t<T> x) { return emulator::modify(p, [=](T a) { return a < x ? a : x; }); }
template <class T> T atomicExch(T* p, std::common_type_t<T> x) { return emulator::modify(p, [=](T) { return x; }); }
template <class T> T atomicCAS(T* p, std::common_type_t<T> was, std::common_type_t<T> x) {
  return emulator::modify(p, [=](T a) { return a == was ? x : a; });
}

// ---- numbers

inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
inline double __longlong_as_double(long long u) { double f; memcpy(&f, &u, 8); return f; }
inline long long __double_as_longlong(double f) { long long u; memcpy(&u, &f, 8); return u; }
// The sum of c and the products of four signed bytes.
inline int __dp4a(int a, int b, int c) {
  for (int l = 0; l < 32; l += 8) c += (int8_t)((unsigned)a >> l) * (int8_t)((unsigned)b >> l);
  return c;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
template <class T> T __ldg(const T* p) { return *p; }

// Half precision as device.cuh has it from PTX: rounded to nearest, a half to even.
inline float half_to_float(uint16_t h) {
  _Float16 x;
  memcpy(&x, &h, 2);
  return (float)x;
}
inline uint16_t float_to_half(float f) {
  _Float16 x = (_Float16)f;
  uint16_t h;
  memcpy(&h, &x, 2);
  return h;
}
inline uint16_t float_to_bfloat(float f) {
  unsigned u = __float_as_uint(f);
  return f != f ? 0x7fff : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
inline uint32_t floats_to_halves(float low, float high) { return float_to_half(low) | (uint32_t)float_to_half(high) << 16; }
inline uint32_t floats_to_bfloats(float low, float high) { return float_to_bfloat(low) | (uint32_t)float_to_bfloat(high) << 16; }

// Places in shared memory count from where the block's begins.
inline uint32_t shared_place(const void* p) { return (uint32_t)((const char*)p - (const char*)emulator::current->shared); }
inline void* shared_pointer(uint32_t place) { return (char*)emulator::current->shared + place; }

// ---- tensor cores, as device.cuh says: the last lane to come does the whole warp's product

namespace emulator {

struct Fragments {
  float c[4];
  uint32_t a[4], b[2];
};
inline void demand_warp(uint32_t lanes, const char* what) {
  if (lanes != ~0u) fail("%s without all lanes of the warp: %08x", what, lanes);
}
template <float (*VALUE)(uint16_t)> void multiply_fragments(Slots in, Slots out, uint32_t lanes) {
  demand_warp(lanes, "mma");
  float a[16][16], b[16][8], c[16][8];
  auto pair = [](uint32_t word, float* first, int step) {
    first[0] = VALUE((uint16_t)word);
    first[step] = VALUE((uint16_t)(word >> 16));
  };
  for (int l = 0; l < 32; l++) {
    Fragments f;
    memcpy(&f, in[l], sizeof f);
    int g = l / 4, t = 2 * (l % 4);
    for (int i = 0; i < 4; i++) {
      pair(f.a[i], &a[g + i % 2 * 8][t + i / 2 * 8], 1);
      c[g + i / 2 * 8][t + i % 2] = f.c[i];
    }
    for (int i = 0; i < 2; i++) pair(f.b[i], &b[t + i * 8][g], 8);
  }
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < 8; j++) {
      float sum = c[i][j];
      for (int k = 0; k < 16; k++) sum += a[i][k] * b[k][j];
      c[i][j] = sum;
    }
  }
  for (int l = 0; l < 32; l++) {
    float own[4];
    for (int i = 0; i < 4; i++) own[i] = c[l / 4 + i / 2 * 8][2 * (l % 4) + i % 2];
    memcpy(out[l], own, sizeof own);
  }
}
template <bool TURNED> void gather_matrices(Slots in, Slots out, uint32_t lanes) {
  demand_warp(lanes, "ldmatrix");
  for (int q = 0; q < 4; q++) {
    uint16_t rows[8][8];
    for (int r = 0; r < 8; r++) {
      const void* row;
      memcpy(&row, in[q * 8 + r], sizeof row);
      if ((uintptr_t)row % 16 != 0) fail("ldmatrix: the row of lane %d does not lie on 16 bytes", q * 8 + r);
      memcpy(rows[r], row, 16);
    }
    for (int l = 0; l < 32; l++) {
      int g = l / 4, t = 2 * (l % 4);
      uint32_t word = TURNED ? rows[t][g] | (uint32_t)rows[t + 1][g] << 16 : rows[g][t] | (uint32_t)rows[g][t + 1] << 16;
      memcpy(out[l] + q * 4, &word, 4);
    }
  }
}
inline float bfloat_value(uint16_t b) { return __uint_as_float((unsigned)b << 16); }
inline float half_value(uint16_t h) { return half_to_float(h); }
template <float (*VALUE)(uint16_t)> void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, int line) {
  Fragments f{{c[0], c[1], c[2], c[3]}, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  auto out = warp_operation(~0u, &f, sizeof f, multiply_fragments<VALUE>, "mma", line);
  memcpy(c, out[current->lane], sizeof c);
}

}  // namespace emulator

inline void mma_bfloat(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, int line = __builtin_LINE()) {
  emulator::mma<emulator::bfloat_value>(c, a, b0, b1, line);
}
inline void mma_half(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, int line = __builtin_LINE()) {
  emulator::mma<emulator::half_value>(c, a, b0, b1, line);
}
inline void load_matrices(uint32_t (&m)[4], const void* row, int line = __builtin_LINE()) {
  auto out = emulator::warp_operation(~0u, &row, sizeof row, emulator::gather_matrices<false>, "ldmatrix", line);
  memcpy(m, out[emulator::current->lane], sizeof m);
}
inline void load_matrices_turned(uint32_t (&m)[4], const void* row, int line = __builtin_LINE()) {
  auto out = emulator::warp_operation(~0u, &row, sizeof row, emulator::gather_matrices<true>, "ldmatrix", line);
  memcpy(m, out[emulator::current->lane], sizeof m);
}
inline void load_matrices(uint32_t (&m)[4], uint32_t row, int line = __builtin_LINE()) { load_matrices(m, shared_pointer(row), line); }
inline void load_matrices_turned(uint32_t (&m)[4], uint32_t row, int line = __builtin_LINE()) {
  load_matrices_turned(m, shared_pointer(row), line);
}

// ---- copies into shared memory: done as late as may be, so that who does not wait reads NaN

inline void copy_async(void* shared, const void* from, int bytes) {
  if ((uintptr_t)shared % 16 != 0 || (uintptr_t)from % 16 != 0) emulator::fail("cp.async: a place does not lie on 16 bytes");
  if (bytes < 0 || bytes > 16) emulator::fail("cp.async of %d bytes", bytes);
  emulator::current->copies.push_back({shared, from, bytes, emulator::current->groups});
}
inline void copy_async(uint32_t shared, const void* from, int bytes) { copy_async(shared_pointer(shared), from, bytes); }
inline void copy_group() { emulator::current->groups++; }
template <int N> void copy_wait() {
  emulator::Thread& t = *emulator::current;
  size_t done = 0;
  for (; done < t.copies.size() && t.copies[done].group < t.groups - N; done++) {
    const emulator::LateCopy& c = t.copies[done];
    // In plain assignments, which the sanitizers watch.
    for (int i = 0; i < 16; i++) ((unsigned char*)c.to)[i] = i < c.bytes ? ((const unsigned char*)c.from)[i] : 0;
  }
  t.copies.erase(t.copies.begin(), t.copies.begin() + (long)done);
}
