// Pools over the last one to three dims: the kernels of pooling.rs. A thread takes one element of the output, and finds its
// window, or the windows that it lies in, from their sizes; sums go in the order of the CPU's.
#include "view/view.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 256;

// Mirrors Arguments in pooling/cuda.rs. x is (B, S, S, S), y and places (B, O, O, O).
struct Pool {
  int64_t numel, divisor;
  int64_t size[3], stride[3], padding[3], dilation[3];
  View<4> x, y, places;
  int32_t include, unused;
};
static_assert(sizeof(Pool) == 360, "as in pooling/cuda.rs");

// The part of a window that lies inside of the dim, and its size with what lies in the padding.
struct Window { int64_t from, to, whole; };

DEVICE int64_t least_of(int64_t a, int64_t b) { return a < b ? a : b; }
DEVICE int64_t most_of(int64_t a, int64_t b) { return a > b ? a : b; }

DEVICE Window window_of(const Pool& p, int d, int64_t o) {
  int64_t n = p.x.dims[1 + d], count = p.y.dims[1 + d], size = p.size[d], dilation = p.dilation[d];
  if (size == 0) {
    int64_t from = o * n / count, to = ((o + 1) * n + count - 1) / count;
    return {from, to, to - from};
  }
  int64_t start = o * p.stride[d] - p.padding[d], end = start + (size - 1) * dilation + 1;
  // The first element inside that is a multiple of the dilation away.
  int64_t from = start + (most_of(-start, 0) + dilation - 1) / dilation * dilation;
  return {least_of(from, n), least_of(most_of(end, 0), n), most_of(least_of(end, n + p.padding[d]) - start, 0)};
}

// Calls f(place in the plane, place in memory) for each element of a window of x.
template <class F> DEVICE void inside(const Pool& p, int64_t start, const Window (&w)[3], F f) {
  for (int64_t a = w[0].from; a < w[0].to; a += p.dilation[0]) {
    for (int64_t b = w[1].from; b < w[1].to; b += p.dilation[1]) {
      int64_t row = (a * p.x.dims[2] + b) * p.x.dims[3];
      int64_t at = start + a * p.x.strides[1] + b * p.x.strides[2];
      for (int64_t c = w[2].from; c < w[2].to; c += p.dilation[2]) f(row + c, at + c * p.x.strides[3]);
    }
  }
}

template <class C> DEVICE C least() {
  if constexpr ((C)0.5 != (C)0) return (C)-INFINITY;
  else return INT64_MIN;
}

template <class C> DEVICE void max_pool(const Pool& p) {
  for (int64_t i = thread_number(); i < p.numel; i += thread_count()) {
    int64_t at[4];
    index_of(p.y, i, at);
    Window w[3];
#pragma unroll
    for (int d = 0; d < 3; d++) w[d] = window_of(p, d, at[1 + d]);
    int64_t place = (w[0].from * p.x.dims[2] + w[1].from) * p.x.dims[3] + w[2].from;
    C most = least<C>();
    inside(p, at[0] * p.x.strides[0], w, [&](int64_t here, int64_t from) {
      C value = load_quick<C>(p.x.data, p.x.dtype, from);
      if (value > most || is_nan(value)) {
        most = value;
        place = here;
      }
    });
    store<C>(p.y.data, p.y.dtype, place_of(p.y, at), most);
    store<int64_t>(p.places.data, p.places.dtype, place_of(p.places, at), place);
  }
}

DEVICE float over(float sum, int64_t count) { return sum / (float)count; }
DEVICE double over(double sum, int64_t count) { return sum / (double)count; }
DEVICE int64_t over(int64_t sum, int64_t count) {
  // Windows without elements sum to 0; the least number by -1 stays, as on the CPU.
  return count == 0 ? 0 : count == -1 ? wrap_sub((int64_t)0, sum) : sum / count;
}

// What a window's sum is divided by.
DEVICE int64_t count_of(const Pool& p, const Window (&w)[3]) {
  if (p.divisor != 0) return p.divisor;
  int64_t count = 1;
#pragma unroll
  for (int d = 0; d < 3; d++) count *= p.include ? w[d].whole : most_of(w[d].to - w[d].from, 0);
  return count;
}

template <class C> DEVICE void avg_pool(const Pool& p) {
  for (int64_t i = thread_number(); i < p.numel; i += thread_count()) {
    int64_t at[4];
    index_of(p.y, i, at);
    Window w[3];
#pragma unroll
    for (int d = 0; d < 3; d++) w[d] = window_of(p, d, at[1 + d]);
    C sum = (C)0;
    inside(p, at[0] * p.x.strides[0], w, [&](int64_t, int64_t from) {
      sum = wrap_add(sum, load_quick<C>(p.x.data, p.x.dtype, from));
    });
    store<C>(p.y.data, p.y.dtype, place_of(p.y, at), over(sum, count_of(p, w)));
  }
}

// The windows of a dim that may hold position i of x: from `from` to below `to`.
DEVICE Window windows_around(const Pool& p, int d, int64_t i) {
  int64_t n = p.x.dims[1 + d], count = p.y.dims[1 + d], stride = p.stride[d];
  if (p.size[d] == 0) return {i * count / n, least_of(((i + 1) * count + n - 1) / n, count), 0};
  if (stride == 0) return {0, count, 0};
  int64_t last = i + p.padding[d], first = last - (p.size[d] - 1) * p.dilation[d];
  return {first <= 0 ? 0 : (first + stride - 1) / stride, least_of(last / stride + 1, count), 0};
}

DEVICE bool holds(const Pool& p, int d, const Window& w, int64_t i) {
  return w.from <= i && i < w.to && (i - w.from) % p.dilation[d] == 0;
}

// gx in x from g in y: each element gathers from the windows that it lies in.
template <class C> DEVICE void avg_pool_grad(const Pool& p) {
  for (int64_t i = thread_number(); i < p.numel; i += thread_count()) {
    int64_t at[4];
    index_of(p.x, i, at);
    Window around[3], w[3];
#pragma unroll
    for (int d = 0; d < 3; d++) around[d] = windows_around(p, d, at[1 + d]);
    C sum = (C)0;
    for (int64_t a = around[0].from; a < around[0].to; a++) {
      w[0] = window_of(p, 0, a);
      if (!holds(p, 0, w[0], at[1])) continue;
      for (int64_t b = around[1].from; b < around[1].to; b++) {
        w[1] = window_of(p, 1, b);
        if (!holds(p, 1, w[1], at[2])) continue;
        int64_t from = at[0] * p.y.strides[0] + a * p.y.strides[1] + b * p.y.strides[2];
        for (int64_t c = around[2].from; c < around[2].to; c++) {
          w[2] = window_of(p, 2, c);
          if (!holds(p, 2, w[2], at[3])) continue;
          C g = load_quick<C>(p.y.data, p.y.dtype, from + c * p.y.strides[3]);
          sum = wrap_add(sum, over(g, count_of(p, w)));
        }
      }
    }
    store<C>(p.x.data, p.x.dtype, place_of(p.x, at), sum);
  }
}

}  // namespace

#define POOLS(name)                                                                \
  KERNEL(name##_f32, THREADS, const __grid_constant__ Pool p) { name<float>(p); }  \
  KERNEL(name##_f64, THREADS, const __grid_constant__ Pool p) { name<double>(p); } \
  KERNEL(name##_i64, THREADS, const __grid_constant__ Pool p) { name<int64_t>(p); }
POOLS(max_pool)
POOLS(avg_pool)
POOLS(avg_pool_grad)
