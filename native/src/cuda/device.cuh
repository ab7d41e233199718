// The device layer: the only header that kernels include. nvcc reads it as it stands; for the emulator, which compiles
// the same .cu files for the CPU, native/emulator/language.h says what a kernel's words mean there. Kernels have no
// inline assembly of their own, take one struct by value each, and never wait for another block.
#pragma once

#ifdef TORO_EMULATOR
#include "language.h"
#else
#include <math.h>
#include <stdint.h>
// KERNEL(name, threads, parameters…): at most so many threads in a block.
#define KERNEL(name, threads, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
// For kernels that ptxas would rather let spill than have fewer blocks on a processor. On sm_80 and sm_90 it needs neither.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ != 800 && __CUDA_ARCH__ != 900
#define WIDE_KERNEL(name, threads, ...) extern "C" __global__ void __launch_bounds__(threads, 1) name(__VA_ARGS__)
#else
#define WIDE_KERNEL KERNEL
#endif
#define SHARED(type, name) extern __shared__ __align__(128) unsigned char name##_bytes[]; type* name = (type*)name##_bytes

__device__ __forceinline__ float half_to_float(uint16_t h) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
}
__device__ __forceinline__ uint16_t float_to_half(float x) {
  uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
}
__device__ __forceinline__ uint16_t float_to_bfloat(float x) {
  uint16_t b;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(b) : "f"(x));
  return b;
}
// Two at once, the first in the low half.
__device__ __forceinline__ uint32_t floats_to_halves(float low, float high) {
  uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
__device__ __forceinline__ uint32_t floats_to_bfloats(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
// A place in shared memory as 32 bits, which is all that its instructions take.
__device__ __forceinline__ uint32_t shared_place(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// ---- tensor cores: products of 16 × 16 by 16 × 8 by the lanes of a warp, which hold their parts as PTX's m16n8k16 says

// c += a b
__device__ __forceinline__ void mma_bfloat(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_half(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Four matrices of 8 × 8 elements of 16 bits out of shared memory: lane l gives the address of row l % 8 of matrix l / 8, on
// 16 bytes, and gets columns 2 (l % 4) and the next of row l / 4 of each; turned: rows 2 (l % 4) and the next of column l / 4.
__device__ __forceinline__ void load_matrices(uint32_t (&m)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_matrices_turned(uint32_t (&m)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_matrices(uint32_t (&m)[4], const void* row) { load_matrices(m, shared_place(row)); }
__device__ __forceinline__ void load_matrices_turned(uint32_t (&m)[4], const void* row) { load_matrices_turned(m, shared_place(row)); }

// ---- copies into shared memory that run beside the thread, in groups; both places on 16 bytes

// 16 bytes of which the first so many come from memory, the rest are zeros; with 0 bytes the address is not looked at.
__device__ __forceinline__ void copy_async(uint32_t shared, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void copy_async(void* shared, const void* from, int bytes) { copy_async(shared_place(shared), from, bytes); }
// Ends a group.
__device__ __forceinline__ void copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most so many groups of the thread are under way.
template <int N> __device__ __forceinline__ void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
#endif

#define DEVICE __device__ __forceinline__

namespace toro {

constexpr int MAX_DIMS = 16;
constexpr unsigned ALL = 0xffffffffu;

// Element types by the numbers of native/src/dtype.rs.
enum DType : int { F32, F64, F16, BF16, I64, I32, I16, I8, U8, BOOL };

struct half_t { uint16_t bits; };
struct bfloat_t { uint16_t bits; };
struct bool_t { uint8_t bits; };

DEVICE float bfloat_to_float(uint16_t b) { return __uint_as_float((unsigned)b << 16); }

// ---- conversion between element types and the three types that kernels compute in: float, double, int64_t

// To an integer as the CPU does it: towards zero, held at the ends, NaN to 0.
template <class F> DEVICE int64_t to_int64(F x) {
  if (x != x) return 0;
  if (x >= (F)9223372036854775808.0) return INT64_MAX;
  if (x <= (F)-9223372036854775808.0) return INT64_MIN;
  return (int64_t)x;
}

// A plain number as another plain type; floats become narrow integers by way of int64, so that they wrap as on the CPU.
template <class To, class From> DEVICE To number(From x) {
  constexpr bool from_float = (From)0.5 != (From)0, to_float = (To)0.5 != (To)0;
  if constexpr (from_float && !to_float) return (To)to_int64(x);
  else return (To)x;
}

// An element as it lies in memory: what it is worth, and the element that is worth so much.
template <class E> struct Element {
  template <class C> static DEVICE C value(E x) { return number<C>(x); }
  template <class C> static DEVICE E of(C x) { return number<E>(x); }
};
template <> struct Element<half_t> {
  template <class C> static DEVICE C value(half_t x) { return number<C>(half_to_float(x.bits)); }
  template <class C> static DEVICE half_t of(C x) { return {float_to_half((float)x)}; }
};
template <> struct Element<bfloat_t> {
  template <class C> static DEVICE C value(bfloat_t x) { return number<C>(bfloat_to_float(x.bits)); }
  template <class C> static DEVICE bfloat_t of(C x) { return {float_to_bfloat((float)x)}; }
};
template <> struct Element<bool_t> {
  template <class C> static DEVICE C value(bool_t x) { return x.bits != 0 ? (C)1 : (C)0; }
  template <class C> static DEVICE bool_t of(C x) { return {(uint8_t)(x != (C)0)}; }
};

template <class C, class E> DEVICE C load_as(const void* p, int64_t i) { return Element<E>::template value<C>(((const E*)p)[i]); }
template <class C, class E> DEVICE void store_as(void* p, int64_t i, C x) { ((E*)p)[i] = Element<E>::of(x); }

// Element i of an array of any type. Not inlined: a switch at every load would make kernels large and slow to compile.
template <class C> __device__ __noinline__ C load(const void* p, int dtype, int64_t i) {
  switch (dtype) {
    case F32: return load_as<C, float>(p, i);
    case F64: return load_as<C, double>(p, i);
    case F16: return load_as<C, half_t>(p, i);
    case BF16: return load_as<C, bfloat_t>(p, i);
    case I64: return load_as<C, int64_t>(p, i);
    case I32: return load_as<C, int32_t>(p, i);
    case I16: return load_as<C, int16_t>(p, i);
    case I8: return load_as<C, int8_t>(p, i);
    case U8: return load_as<C, uint8_t>(p, i);
    default: return load_as<C, bool_t>(p, i);
  }
}
template <class C> __device__ __noinline__ void store(void* p, int dtype, int64_t i, C x) {
  switch (dtype) {
    case F32: store_as<C, float>(p, i, x); break;
    case F64: store_as<C, double>(p, i, x); break;
    case F16: store_as<C, half_t>(p, i, x); break;
    case BF16: store_as<C, bfloat_t>(p, i, x); break;
    case I64: store_as<C, int64_t>(p, i, x); break;
    case I32: store_as<C, int32_t>(p, i, x); break;
    case I16: store_as<C, int16_t>(p, i, x); break;
    case I8: store_as<C, int8_t>(p, i, x); break;
    case U8: store_as<C, uint8_t>(p, i, x); break;
    default: store_as<C, bool_t>(p, i, x);
  }
}

// The address of element i.
DEVICE const void* element(const void* p, int dtype, int64_t i) {
  int bytes = dtype == F64 || dtype == I64 ? 8 : dtype == F32 || dtype == I32 ? 4 : dtype == F16 || dtype == BF16 || dtype == I16 ? 2 : 1;
  return (const char*)p + i * bytes;
}

template <class C> struct Own;
template <> struct Own<float> { static constexpr int DTYPE = F32; };
template <> struct Own<double> { static constexpr int DTYPE = F64; };
template <> struct Own<int64_t> { static constexpr int DTYPE = I64; };

// As above, without a call where the element is of the compute type.
template <class C> DEVICE C load_quick(const void* p, int dtype, int64_t i) {
  return dtype == Own<C>::DTYPE ? ((const C*)p)[i] : load<C>(p, dtype, i);
}
template <class C> DEVICE void store_quick(void* p, int dtype, int64_t i, C x) {
  if (dtype == Own<C>::DTYPE) ((C*)p)[i] = x;
  else store<C>(p, dtype, i, x);
}

// ---- four neighbouring elements at once, of float32, 16-bit floats or bool; the first lies on a multiple of their bytes

// As they lie in memory, in as many words as they fill.
struct alignas(16) Quad { uint32_t words[4]; };
struct alignas(8) HalfQuad { uint32_t words[2]; };

DEVICE Quad load_quad(const void* p, int dtype, int64_t i) {
  Quad q = {};
  if (dtype == F32) {
    q = *(const Quad*)((const float*)p + i);
  } else if (dtype == BOOL) {
    q.words[0] = *(const uint32_t*)((const uint8_t*)p + i);
  } else {
    HalfQuad h = *(const HalfQuad*)((const uint16_t*)p + i);
    q.words[0] = h.words[0];
    q.words[1] = h.words[1];
  }
  return q;
}
DEVICE void floats_of(const Quad& q, int dtype, float (&x)[4]) {
  if (dtype == F32) {
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = __uint_as_float(q.words[j]);
  } else if (dtype == BOOL) {
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = (q.words[0] >> 8 * j & 255u) != 0u ? 1.0f : 0.0f;
  } else if (dtype == BF16) {
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = __uint_as_float(j % 2 == 0 ? q.words[j / 2] << 16 : q.words[j / 2] & 0xffff0000u);
  } else {
#pragma unroll
    for (int j = 0; j < 4; j++) x[j] = half_to_float((uint16_t)(q.words[j / 2] >> 16 * (j % 2)));
  }
}
DEVICE HalfQuad half_quad_of(const float (&x)[4], int dtype) {
  if (dtype == BF16) return {{floats_to_bfloats(x[0], x[1]), floats_to_bfloats(x[2], x[3])}};
  return {{floats_to_halves(x[0], x[1]), floats_to_halves(x[2], x[3])}};
}
DEVICE void store_quad(void* p, int dtype, int64_t i, const float (&x)[4]) {
  if (dtype == F32) {
    *(Quad*)((float*)p + i) = {{__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3])}};
  } else if (dtype == BOOL) {
    uint32_t low = (x[0] != 0.0f ? 1u : 0u) | (x[1] != 0.0f ? 256u : 0u), high = (x[2] != 0.0f ? 1u : 0u) | (x[3] != 0.0f ? 256u : 0u);
    *(uint32_t*)((uint8_t*)p + i) = low | high << 16;
  } else {
    *(HalfQuad*)((uint16_t*)p + i) = half_quad_of(x, dtype);
  }
}

// ---- arithmetic that wraps for integers, as the CPU's does

DEVICE float wrap_add(float a, float b) { return a + b; }
DEVICE double wrap_add(double a, double b) { return a + b; }
DEVICE int64_t wrap_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
DEVICE float wrap_sub(float a, float b) { return a - b; }
DEVICE double wrap_sub(double a, double b) { return a - b; }
DEVICE int64_t wrap_sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
DEVICE float wrap_mul(float a, float b) { return a * b; }
DEVICE double wrap_mul(double a, double b) { return a * b; }
DEVICE int64_t wrap_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

template <class C> DEVICE bool is_nan(C x) { return x != x; }

// ---- alarms

// What a note says, by the numbers of cuda/gpu.rs.
enum Reason : unsigned { OUT_OF_RANGE = 1, DIVISION_BY_ZERO, NO_PROBABILITY, BAD_WEIGHTS, FEW_WEIGHTS };

// Mirrors Alarm in cuda/gpu.rs: pinned memory of the process.
struct Alarm {
  unsigned reason;
  unsigned opcode;
  int64_t value;
  int64_t bound;
};

// Notes that data break a rule; the first note stays.
DEVICE void raise_for(Reason reason, Alarm* alarm, unsigned opcode, int64_t value, int64_t bound) {
  if (atomicCAS(&alarm->reason, 0u, (unsigned)reason) == 0u) {
    alarm->opcode = opcode;
    alarm->value = value;
    alarm->bound = bound;
  }
}
// Notes that an index breaks its bound.
DEVICE void raise(Alarm* alarm, unsigned opcode, int64_t value, int64_t bound) {
  raise_for(OUT_OF_RANGE, alarm, opcode, value, bound);
}

// The thread's number in the grid, and how many threads there are.
DEVICE int64_t thread_number() { return (int64_t)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE int64_t thread_count() { return (int64_t)gridDim.x * blockDim.x; }

}  // namespace toro
