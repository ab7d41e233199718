// What the words of CUDA C++ mean when g++ compiles kernels for the CPU. A block runs on one OS thread; its CUDA threads
// are fibers, switched only where one waits: at a barrier or in a warp operation (scheduler.cpp).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <math.h>
#include <type_traits>
#include <utility>

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

// One CUDA thread.
struct Thread {
  uint3 index, block, block_size, grid_size;
  int number, lane, warp, state;
  void* fiber;
  void* shared;
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
