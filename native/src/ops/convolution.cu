// Convolutions over 1 to 3 dims and the two products of their backward pass: the kernels of convolution.rs. Each is a product
// whose operands are read where they lie, with no patch matrix: lines and depths are channels with taps, or images with
// positions. Grid x over columns, y over rows of tiles, z over groups and, for the weight's gradient, parts of the depth,
// whose sums a second kernel joins in order.
#include "matmul/mma.cuh"
#include "matmul/tile.cuh"
#include "view/view.cuh"

using namespace toro;

namespace {

// Mirrors Arguments in convolution/cuda.rs. x is (N, C, S, S, S), y (N, O, P, P, P), w (O, C / groups, K, K, K).
struct Conv {
  int64_t batch, groups;
  // Channels of x and y in a group.
  int64_t ins, outs;
  int64_t input[3], output[3], kernel[3], stride[3], padding[3], dilation[3];
  View<5> x, w, y;
  const void* bias;
  int64_t bias_stride;
  int32_t bias_dtype;
  // Whether w has no gaps within its output channels.
  int32_t w_is_dense;
  // The weight's gradient: in how many parts the depth is summed, and the sums (parts, elements of w).
  int64_t parts;
  void* sums;
};
static_assert(sizeof(Conv) == 504, "as in convolution/cuda.rs");

// A place along three dims, with an offset in elements beside it.
struct Place {
  int64_t offset;
  int at[3];
};

DEVICE Place hand_round(const Place& p, int lane) {
  return {__shfl_sync(ALL, p.offset, lane), {__shfl_sync(ALL, p.at[0], lane), __shfl_sync(ALL, p.at[1], lane), __shfl_sync(ALL, p.at[2], lane)}};
}

DEVICE void split(int64_t i, const int64_t (&sizes)[3], int (&at)[3], int64_t* rest) {
#pragma unroll
  for (int d = 2; d >= 0; d--) {
    int64_t q = i / sizes[d];
    at[d] = (int)(i - q * sizes[d]);
    i = q;
  }
  *rest = i;
}

// Image and position of y, as the first place of x that its window sees.
DEVICE Place window_place(const Conv& p, int64_t i, int64_t image_stride) {
  Place place;
  int64_t image;
  split(i, p.output, place.at, &image);
#pragma unroll
  for (int d = 0; d < 3; d++) place.at[d] = (int)(place.at[d] * p.stride[d] - p.padding[d]);
  place.offset = image * image_stride;
  return place;
}

// Channel and tap, as the places of x from the first one on.
DEVICE Place tap_place(const Conv& p, int64_t i, int64_t channel_stride) {
  Place place;
  int64_t channel;
  split(i, p.kernel, place.at, &channel);
#pragma unroll
  for (int d = 0; d < 3; d++) place.at[d] = (int)(place.at[d] * p.dilation[d]);
  place.offset = channel * channel_stride;
  return place;
}

// x as its windows see it: 0 outside. `BY_WINDOW`: lines are windows and depths taps, else the other way round.
template <bool BY_WINDOW> struct Patches {
  const Conv& p;
  const void* data;
  // Positions lie closer than channels.
  static constexpr bool along = !BY_WINDOW;
  DEVICE Place window(int64_t i) const { return window_place(p, i, p.x.strides[0]); }
  DEVICE Place tap(int64_t i) const { return tap_place(p, i, p.x.strides[1]); }
  DEVICE Place line(int64_t i) const { return BY_WINDOW ? window(i) : tap(i); }
  DEVICE Place depth(int64_t i) const { return BY_WINDOW ? tap(i) : window(i); }
  DEVICE int64_t find(const Place& a, const Place& b) const {
    int64_t offset = a.offset + b.offset;
#pragma unroll
    for (int d = 0; d < 3; d++) {
      int at = a.at[d] + b.at[d];
      if ((unsigned)at >= (unsigned)p.input[d]) return -1;
      offset += at * p.x.strides[2 + d];
    }
    return offset;
  }
  template <class C> DEVICE C get(const Place& a, const Place& b) const {
    int64_t offset = find(a, b);
    return offset < 0 ? (C)0 : load_quick<C>(data, p.x.dtype, offset);
  }
};

// y as an element of x sees it: lines are images with places of x, depths channels with taps.
struct Backwards {
  const Conv& p;
  const void* data;
  static constexpr bool along = false;
  DEVICE Place line(int64_t i) const {
    Place place;
    int64_t image;
    split(i, p.input, place.at, &image);
#pragma unroll
    for (int d = 0; d < 3; d++) place.at[d] += (int)p.padding[d];
    place.offset = image * p.y.strides[0];
    return place;
  }
  DEVICE Place depth(int64_t i) const { return tap_place(p, i, p.y.strides[1]); }
  DEVICE int64_t find(const Place& a, const Place& b) const {
    int64_t offset = a.offset + b.offset;
#pragma unroll
    for (int d = 0; d < 3; d++) {
      int at = a.at[d] - b.at[d], stride = (int)p.stride[d];
      if (at < 0) return -1;
      if (stride > 1) {
        if (at % stride != 0) return -1;
        at /= stride;
      }
      if (at >= (int)p.output[d]) return -1;
      offset += at * p.y.strides[2 + d];
    }
    return offset;
  }
  template <class C> DEVICE C get(const Place& a, const Place& b) const {
    int64_t offset = find(a, b);
    return offset < 0 ? (C)0 : load_quick<C>(data, p.y.dtype, offset);
  }
};

// w by output channels and, along the depth, input channels with taps.
struct Weights {
  const Conv& p;
  const void* data;
  static constexpr bool along = true;
  DEVICE int64_t line(int64_t i) const { return i * p.w.strides[0]; }
  DEVICE int64_t depth(int64_t l) const {
    if (p.w_is_dense) return l;
    int at[3];
    int64_t channel;
    split(l, p.kernel, at, &channel);
    return channel * p.w.strides[1] + at[0] * p.w.strides[2] + at[1] * p.w.strides[3] + at[2] * p.w.strides[4];
  }
  DEVICE int64_t find(int64_t a, int64_t b) const { return a + b; }
  template <class C> DEVICE C get(int64_t a, int64_t b) const { return load_quick<C>(data, p.w.dtype, a + b); }
};

// w by input channels and, along the depth, output channels with taps.
struct TurnedWeights {
  const Conv& p;
  const void* data;
  static constexpr bool along = true;
  DEVICE int64_t line(int64_t i) const { return i * p.w.strides[1]; }
  DEVICE int64_t depth(int64_t l) const {
    int at[3];
    int64_t channel;
    split(l, p.kernel, at, &channel);
    return channel * p.w.strides[0] + at[0] * p.w.strides[2] + at[1] * p.w.strides[3] + at[2] * p.w.strides[4];
  }
  DEVICE int64_t find(int64_t a, int64_t b) const { return a + b; }
  template <class C> DEVICE C get(int64_t a, int64_t b) const { return load_quick<C>(data, p.w.dtype, a + b); }
};

// y by channels and, along the depth, images with positions.
struct Planes {
  const Conv& p;
  const void* data;
  static constexpr bool along = true;
  DEVICE int64_t line(int64_t i) const { return i * p.y.strides[1]; }
  DEVICE int64_t depth(int64_t l) const {
    int at[3];
    int64_t image;
    split(l, p.output, at, &image);
    return image * p.y.strides[0] + at[0] * p.y.strides[2] + at[1] * p.y.strides[3] + at[2] * p.y.strides[4];
  }
  DEVICE int64_t find(int64_t a, int64_t b) const { return a + b; }
  template <class C> DEVICE C get(int64_t a, int64_t b) const { return load_quick<C>(data, p.y.dtype, a + b); }
};

DEVICE int64_t product_of(const int64_t (&sizes)[3]) { return sizes[0] * sizes[1] * sizes[2]; }

// An operand from channel `at` of dim d on.
DEVICE const void* from_channel(const View<5>& v, int d, int64_t at) { return element(v.data, v.dtype, at * v.strides[d]); }

// Where element (channel, image with position) of x or y lies.
DEVICE int64_t plane_place(const View<5>& v, const int64_t (&sizes)[3], int64_t channel, int64_t i) {
  int at[3];
  int64_t image;
  split(i, sizes, at, &image);
  return image * v.strides[0] + channel * v.strides[1] + at[0] * v.strides[2] + at[1] * v.strides[3] + at[2] * v.strides[4];
}

template <class C> DEVICE C with_bias(const Conv& p, int64_t channel, C value) {
  return p.bias ? wrap_add(value, load<C>(p.bias, p.bias_dtype, channel * p.bias_stride)) : value;
}

// The three products by what multiplies: `multiply(m, n, from, depths, a, b, end)`.
template <class C, class M> DEVICE void conv(const Conv& p, M multiply) {
  int64_t taps = product_of(p.kernel);
  for (int64_t g = blockIdx.z; g < p.groups; g += gridDim.z) {
    Weights a{p, from_channel(p.w, 0, g * p.outs)};
    Patches<true> b{p, from_channel(p.x, 1, g * p.ins)};
    multiply(p.outs, p.batch * product_of(p.output), 0, p.ins * taps, a, b, [&](int64_t i, int64_t j, C sum) {
      int64_t channel = g * p.outs + i;
      store_quick<C>(p.y.data, p.y.dtype, plane_place(p.y, p.output, channel, j), with_bias(p, channel, sum));
    });
  }
}

template <class C, class M> DEVICE void conv_input_grad(const Conv& p, M multiply) {
  int64_t taps = product_of(p.kernel);
  for (int64_t g = blockIdx.z; g < p.groups; g += gridDim.z) {
    TurnedWeights a{p, from_channel(p.w, 0, g * p.outs)};
    Backwards b{p, from_channel(p.y, 1, g * p.outs)};
    multiply(p.ins, p.batch * product_of(p.input), 0, p.outs * taps, a, b, [&](int64_t i, int64_t j, C sum) {
      int64_t channel = g * p.ins + i;
      store_quick<C>(p.x.data, p.x.dtype, plane_place(p.x, p.input, channel, j), with_bias(p, channel, sum));
    });
  }
}

// Where element (output channel, input channel with tap) of the gradient of w lies.
DEVICE int64_t weight_place(const Conv& p, int64_t channel, int64_t i) {
  int at[3];
  int64_t in;
  split(i, p.kernel, at, &in);
  return channel * p.w.strides[0] + in * p.w.strides[1] + at[0] * p.w.strides[2] + at[1] * p.w.strides[3] + at[2] * p.w.strides[4];
}

template <class C, class M> DEVICE void conv_weight_grad(const Conv& p, M multiply) {
  int64_t columns = p.ins * product_of(p.kernel), depths = p.batch * product_of(p.output);
  int64_t part = (depths + p.parts - 1) / p.parts;
  for (int64_t z = blockIdx.z; z < p.groups * p.parts; z += gridDim.z) {
    int64_t g = z / p.parts, from = z % p.parts * part, to = from + part < depths ? from + part : depths;
    Planes a{p, from_channel(p.y, 1, g * p.outs)};
    Patches<false> b{p, from_channel(p.x, 1, g * p.ins)};
    multiply(p.outs, columns, from, to, a, b, [&](int64_t i, int64_t j, C sum) {
      int64_t channel = g * p.outs + i;
      if (p.parts == 1) store_quick<C>(p.w.data, p.w.dtype, weight_place(p, channel, j), sum);
      else ((C*)p.sums)[(z % p.parts * p.groups * p.outs + channel) * columns + j] = sum;
    });
  }
}

// Joins the parts of the gradient of w.
template <class C> DEVICE void conv_join(const Conv& p) {
  int64_t columns = p.ins * product_of(p.kernel), count = p.groups * p.outs * columns;
  for (int64_t i = thread_number(); i < count; i += thread_count()) {
    C total = (C)0;
    for (int64_t part = 0; part < p.parts; part++) total = wrap_add(total, ((const C*)p.sums)[part * count + i]);
    store_quick<C>(p.w.data, p.w.dtype, weight_place(p, i / columns, i % columns), total);
  }
}

// Products in the compute type.
template <class C> struct Tiles {
  template <class A, class B, class End>
  DEVICE void operator()(int64_t m, int64_t n, int64_t from, int64_t depths, const A& a, const B& b, const End& end) const {
    tile_product<C>(m, n, from, depths, (int64_t)blockIdx.y * TILE, (int64_t)blockIdx.x * TILE, a, b, end);
  }
};

// Products of 16-bit floats by tensor cores.
template <class T> struct Mma {
  template <class A, class B, class End>
  DEVICE void operator()(int64_t m, int64_t n, int64_t from, int64_t depths, const A& a, const B& b, const End& end) const {
    int64_t row = (int64_t)blockIdx.y * Square::m, column = (int64_t)blockIdx.x * Square::n;
    Gatherer<Square, Square::m, A> bring_a(a, m, row, depths, from);
    Gatherer<Square, Square::n, B> bring_b(b, n, column, depths, from);
    Sums sums = {};
    mma_sum<T, Square>(bring_a, bring_b, depths - from, sums);
    mma_end<Square>(m, n, row, column, sums, end);
  }
};

}  // namespace

#define CONVOLUTIONS(name)                                                                             \
  KERNEL(name##_f32, TILE_THREADS, const __grid_constant__ Conv p) { name<float>(p, Tiles<float>{}); } \
  KERNEL(name##_f64, TILE_THREADS, const __grid_constant__ Conv p) { name<double>(p, Tiles<double>{}); } \
  KERNEL(name##_i64, TILE_THREADS, const __grid_constant__ Conv p) { name<int64_t>(p, Tiles<int64_t>{}); }
#define CONVOLUTIONS_16(name)                                                                                  \
  KERNEL(name##_bfloat, Square::threads, const __grid_constant__ Conv p) { name<float>(p, Mma<bfloat_t>{}); }      \
  KERNEL(name##_half, Square::threads, const __grid_constant__ Conv p) { name<float>(p, Mma<half_t>{}); }
CONVOLUTIONS(conv)
CONVOLUTIONS(conv_input_grad)
CONVOLUTIONS(conv_weight_grad)
CONVOLUTIONS_16(conv)
CONVOLUTIONS_16(conv_input_grad)
CONVOLUTIONS_16(conv_weight_grad)
KERNEL(conv_join_f32, TILE_THREADS, const __grid_constant__ Conv p) { conv_join<float>(p); }
KERNEL(conv_join_f64, TILE_THREADS, const __grid_constant__ Conv p) { conv_join<double>(p); }
KERNEL(conv_join_i64, TILE_THREADS, const __grid_constant__ Conv p) { conv_join<int64_t>(p); }
