// Padding and its gradient, and where elements under other strides lie: the kernels of joining.rs.
#include "walk/walk.cuh"

using namespace toro;

namespace {

enum PadMode : int { CONSTANT, REFLECT, REPLICATE, CIRCULAR };

// `inner` is what is padded, `outer` the padded; in elements. Mirrors Padding in joining/cuda.rs.
struct Padding {
  int64_t numel;  // of what is written
  int32_t ndim, mode, dtype, value_dtype;
  void* out;
  const void *x, *value;  // the constant, where it lies in device memory
  uint64_t bits;          // else this
  int64_t left[MAX_DIMS], right[MAX_DIMS];
  int64_t inner_dims[MAX_DIMS], outer_dims[MAX_DIMS];
  int64_t inner_strides[MAX_DIMS], outer_strides[MAX_DIMS];
};
static_assert(sizeof(Padding) == 824, "as in joining/cuda.rs");

// Which element of a dim of size n stands at place i, which may lie outside; -1 is the constant.
DEVICE int64_t source(int mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  switch (mode) {
    case CONSTANT: return -1;
    case REFLECT: return i < 0 ? -i : 2 * (n - 1) - i;
    case REPLICATE: return i < 0 ? 0 : n - 1;
    default: return i < 0 ? i + n : i - n;
  }
}

// How many places may take element i of a dim, and the k-th of them in the padded dim; -1 where there is none.
DEVICE int64_t places_of(const Padding& a, int d, int64_t i) {
  int64_t left = a.left[d], right = a.right[d];
  if (a.mode == CONSTANT || (left == 0 && right == 0)) return 1;
  if (a.mode != REPLICATE) return 3;
  return 1 + (i == 0 && left > 0 ? left : 0) + (i == a.inner_dims[d] - 1 && right > 0 ? right : 0);
}
DEVICE int64_t place_of(const Padding& a, int d, int64_t i, int64_t k) {
  int64_t n = a.inner_dims[d], left = a.left[d], at = i;
  if (k > 0) {
    if (a.mode == REFLECT) {
      // An end is its own mirror image.
      if (i == (k == 1 ? 0 : n - 1)) return -1;
      at = k == 1 ? -i : 2 * (n - 1) - i;
    } else if (a.mode == REPLICATE) {
      at = i == 0 && left > 0 && k <= left ? -k : n - 1 + k - (i == 0 && left > 0 ? left : 0);
    } else {
      at = k == 1 ? i - n : i + n;
    }
  }
  at += left;
  return at >= 0 && at < a.outer_dims[d] ? at : -1;
}

}  // namespace

KERNEL(pad, WALK_THREADS, const __grid_constant__ Padding a) {
  int size = size_of(a.dtype);
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    int64_t rest = i, to = 0, from = 0;
    bool is_filled = true;
#pragma unroll 1
    for (int d = a.ndim - 1; d >= 0; d--) {
      int64_t next = rest / a.outer_dims[d], at = rest - next * a.outer_dims[d];
      rest = next;
      to += at * a.outer_strides[d];
      int64_t s = source(a.mode, at - a.left[d], a.inner_dims[d]);
      is_filled &= s >= 0;
      from += s * a.inner_strides[d];
    }
    if (is_filled) move_element(a.out, to, a.x, from, size);
    else if (!a.value) move_element(a.out, to, &a.bits, 0, size);
    else if (a.value_dtype == F64) store<double>(a.out, a.dtype, to, *(const double*)a.value);
    else store<int64_t>(a.out, a.dtype, to, *(const int64_t*)a.value);
  }
}

// For each element of x the sum of the gradients of the places that took it, in float64.
KERNEL(pad_backward, WALK_THREADS, const __grid_constant__ Padding a) {
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    int64_t index[MAX_DIMS], rest = i, to = 0, places = 1;
    for (int d = a.ndim - 1; d >= 0; d--) {
      int64_t next = rest / a.inner_dims[d];
      index[d] = rest - next * a.inner_dims[d];
      rest = next;
      to += index[d] * a.inner_strides[d];
      places *= places_of(a, d, index[d]);
    }
    double sum = 0.0;
    for (int64_t p = 0; p < places; p++) {
      int64_t left = p, from = 0;
      bool is_there = true;
      for (int d = a.ndim - 1; d >= 0; d--) {
        int64_t count = places_of(a, d, index[d]), place = place_of(a, d, index[d], left % count);
        left /= count;
        is_there &= place >= 0;
        from += place * a.outer_strides[d];
      }
      if (is_there) sum += load<double>(a.x, a.dtype, from);
    }
    store<double>(a.out, a.dtype, to, sum);
  }
}

// The keys of the places on which elements lie under other strides. Operands: those strides, keys. Scalar: the first place.
KERNEL(strided_keys, WALK_THREADS, const __grid_constant__ Walk a) {
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    ((uint64_t*)a.data[1])[i] = (uint64_t)(a.scalars[0] + offsets_of<1>(a, i).at[0]);
  }
}
