// Operands by dims and strides, for kernels that walk planes; mirrors View in view.rs.
#pragma once
#include "device.cuh"

namespace toro {

template <int D> struct View {
  void* data;
  int32_t dtype, unused;
  int64_t dims[D], strides[D];
};

// The index of element i, counted row by row.
template <int D> DEVICE void index_of(const View<D>& v, int64_t i, int64_t (&at)[D]) {
#pragma unroll
  for (int d = D - 1; d > 0; d--) {
    int64_t rest = i / v.dims[d];
    at[d] = i - rest * v.dims[d];
    i = rest;
  }
  at[0] = i;
}

// Where the element of an index lies, in elements.
template <int D> DEVICE int64_t place_of(const View<D>& v, const int64_t (&at)[D]) {
  int64_t place = 0;
#pragma unroll
  for (int d = 0; d < D; d++) place += at[d] * v.strides[d];
  return place;
}

}  // namespace toro
