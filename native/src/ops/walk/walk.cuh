// The engine of kernels that move elements by index, the counterpart of walk.rs: an index space, and up to five operands
// of any strides and dtypes in it. A thread takes one place of the space; neighbouring threads take neighbouring places.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int WALK_THREADS = 256;
constexpr int WALK_OPERANDS = 5;

// Mirrors Walked in walk/cuda.rs.
struct Walk {
  int64_t numel;
  int32_t ndim;
  uint32_t opcode;
  Alarm* alarm;
  void* data[WALK_OPERANDS];  // null where the operand is absent
  int32_t dtypes[WALK_OPERANDS], unused;
  int64_t scalars[8];
  int64_t dims[MAX_DIMS];
  int64_t strides[WALK_OPERANDS][MAX_DIMS];
};
static_assert(sizeof(Walk) == 920, "as in walk/cuda.rs");

template <int K> struct Offsets { int64_t at[K]; };

template <int K, class I> DEVICE Offsets<K> divided_offsets(const Walk& a, I i) {
  Offsets<K> offsets = {};
#pragma unroll 1
  for (int d = a.ndim - 1; d >= 0; d--) {
    I size = (I)a.dims[d], rest = i / size;
    int64_t at = (int64_t)(i - rest * size);
#pragma unroll
    for (int k = 0; k < K; k++) offsets.at[k] += at * a.strides[k][d];
    i = rest;
  }
  return offsets;
}

// Where place i of the space lies in the first K operands, in elements.
template <int K> DEVICE Offsets<K> offsets_of(const Walk& a, int64_t i) {
  return a.numel < (int64_t)1 << 31 ? divided_offsets<K>(a, (uint32_t)i) : divided_offsets<K>(a, (uint64_t)i);
}

DEVICE int size_of(int dtype) {
  return dtype == F64 || dtype == I64 ? 8 : dtype == F32 || dtype == I32 ? 4 : dtype == F16 || dtype == BF16 || dtype == I16 ? 2 : 1;
}

// Copies element j of one array to element i of another, both of one dtype, bit by bit.
DEVICE void move_element(void* to, int64_t i, const void* from, int64_t j, int size) {
  switch (size) {
    case 1: ((uint8_t*)to)[i] = ((const uint8_t*)from)[j]; break;
    case 2: ((uint16_t*)to)[i] = ((const uint16_t*)from)[j]; break;
    case 4: ((uint32_t*)to)[i] = ((const uint32_t*)from)[j]; break;
    default: ((uint64_t*)to)[i] = ((const uint64_t*)from)[j];
  }
}

// An integer of an operand.
DEVICE int64_t integer(const Walk& a, int k, int64_t at) { return load<int64_t>(a.data[k], a.dtypes[k], at); }

// A number that an instruction holds: bits of a float64 for float kernels, of an int64 for integer ones.
template <class C> DEVICE C number_of(int64_t bits) { return (C)__longlong_as_double(bits); }
template <> DEVICE int64_t number_of(int64_t bits) { return bits; }

}  // namespace toro
