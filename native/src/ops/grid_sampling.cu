// Planes read at given points, forward and backward: the kernels of grid_sampling.rs. Along each dim a point takes a few
// taps; two dims are three of which the first has one tap. The gradient of x gathers: what points take is grouped by the
// element of the plane, so that sums do not depend on time.
#include "grouping/grouping.cuh"
#include "view/view.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 256;
// Channels that a thread takes.
constexpr int CHANNELS = 16;
constexpr int64_t OUTSIDE = -1;

enum Interpolation : int { LINEAR, NEAREST, CUBIC };
enum Padding : int { ZEROS, BORDER, REFLECTION };

// Mirrors Arguments in grid_sampling/cuda.rs. x and gx are (N, C, S, S, S), y (N, C, O, O, O), grid and ggrid
// (N, O, O, O, d) with the last dim of x first.
struct Sample {
  int64_t batch, channels, plane, points;
  // Of which sample the groups are.
  int64_t sample;
  int32_t mode, padding, align, d;
  View<5> y, x, grid, gx, ggrid;
  // Of that sample: the taps (points, 3, 4); for each way in which a point takes one of its first, second and third taps
  // the element of the plane, or, outside, how many there are; these ways grouped by element.
  void* taps;
  uint64_t* keys;
  Groups groups;
};
static_assert(sizeof(Sample) == 584, "as in grid_sampling/cuda.rs");

// One element that a point takes along a dim, with the weight and its slope by the coordinate.
template <class C> struct Tap {
  C weight, slope;
  int64_t place;
};

// Loops over taps are not unrolled: with 64 copies of what they do nvcc does not come to an end for sm_100 and sm_120.
DEVICE int taps_of(const Sample& p, int d) { return d == 0 && p.d == 2 ? 1 : p.mode == LINEAR ? 2 : p.mode == NEAREST ? 1 : 4; }

// A coordinate brought inside; its slope too.
DEVICE double bring_inside(const Sample& p, double x, int64_t size, double* slope) {
  double n = (double)size;
  *slope = 1.0;
  if (p.padding == ZEROS) return x;
  if (p.padding == REFLECTION) {
    double low = p.align ? 0.0 : -0.5, span = p.align ? n - 1.0 : n;
    if (span == 0.0) {
      *slope = 0.0;
      return 0.0;
    }
    x -= low;
    if (x < 0.0) {
      x = -x;
      *slope = -1.0;
    }
    double turns = floor(x / span), rest = fmod(x, span);
    if (fmod(turns, 2.0) == 0.0) {
      x = rest + low;
    } else {
      x = span - rest + low;
      *slope = -*slope;
    }
  }
  if (x > 0.0 && x < n - 1.0) return x;
  *slope = 0.0;
  // NaN goes to 0 too.
  return x >= n - 1.0 ? n - 1.0 : 0.0;
}

template <class C> DEVICE Tap<C> tap(int64_t size, double place, double weight, double slope) {
  bool held = place >= 0.0 && place < (double)size;
  return {(C)weight, (C)slope, held ? (int64_t)place : OUTSIDE};
}

// The taps of a point along dim d of x (of three). Source of the cubic weights: Keys 1981, with a = -0.75.
template <class C> DEVICE void find_taps(const Sample& p, int d, C coordinate, Tap<C> (&taps)[4]) {
  int64_t size = p.x.dims[2 + d];
  double n = (double)size, c = (double)coordinate;
  double x = p.align ? (c + 1.0) / 2.0 * (n - 1.0) : ((c + 1.0) * n - 1.0) / 2.0;
  double scale = p.align ? (n - 1.0) / 2.0 : n / 2.0, slope;
  // As PyTorch's, in the type of the tensor.
  x = (double)(C)x;
  if (p.mode == LINEAR) {
    x = bring_inside(p, x, size, &slope);
    double first = floor(x), t = x - first;
    taps[0] = tap<C>(size, first, 1.0 - t, -slope * scale);
    taps[1] = tap<C>(size, first + 1.0, t, slope * scale);
  } else if (p.mode == NEAREST) {
    taps[0] = tap<C>(size, rint(bring_inside(p, x, size, &slope)), 1.0, 0.0);
  } else {
    double first = floor(x), t = x - first;
    auto near = [](double u) { return (1.25 * u - 2.25) * u * u + 1.0; };
    auto far = [](double u) { return ((-0.75 * u + 3.75) * u - 6.0) * u + 3.0; };
    auto near_slope = [](double u) { return (3.75 * u - 4.5) * u; };
    auto far_slope = [](double u) { return (-2.25 * u + 7.5) * u - 6.0; };
    double weights[4] = {far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)};
    double slopes[4] = {far_slope(t + 1.0), near_slope(t), -near_slope(1.0 - t), -far_slope(2.0 - t)};
#pragma unroll
    for (int i = 0; i < 4; i++) {
      double place = bring_inside(p, first + i - 1.0, size, &slope);
      taps[i] = tap<C>(size, p.padding == ZEROS ? place : trunc(place), weights[i], slopes[i] * scale);
    }
  }
}

// All taps of a point.
template <class C> DEVICE void find_all(const Sample& p, int64_t n, int64_t point, Tap<C> (&taps)[3][4]) {
  int64_t at[5] = {n, 0, 0, 0, 0};
#pragma unroll
  for (int d = 3; d > 0; d--) {
    at[d] = point % p.y.dims[1 + d];
    point /= p.y.dims[1 + d];
  }
  taps[0][0] = {(C)1, (C)0, 0};
#pragma unroll 1
  for (int d = 3 - p.d; d < 3; d++) {
    at[4] = 2 - d;
    find_taps(p, d, load<C>(p.grid.data, p.grid.dtype, place_of(p.grid, at)), taps[d]);
  }
}

// Calls f(place in memory less the start, taps) for the elements that a point takes.
template <class C, class F> DEVICE void each(const Sample& p, const View<5>& x, const Tap<C> (&taps)[3][4], F f) {
#pragma unroll 1
  for (int i = 0; i < taps_of(p, 0); i++) {
    const Tap<C>& a = taps[0][i];
    if (a.place == OUTSIDE) continue;
#pragma unroll 1
    for (int j = 0; j < taps_of(p, 1); j++) {
      const Tap<C>& b = taps[1][j];
      if (b.place == OUTSIDE) continue;
#pragma unroll 1
      for (int k = 0; k < taps_of(p, 2); k++) {
        const Tap<C>& c = taps[2][k];
        if (c.place == OUTSIDE) continue;
        f(a.place * x.strides[2] + b.place * x.strides[3] + c.place * x.strides[4], a, b, c);
      }
    }
  }
}

// Where element `point` of a plane of (O, O, O) lies, less the start.
DEVICE int64_t point_place(const View<5>& y, int64_t point) {
  int64_t c = point % y.dims[4], rest = point / y.dims[4];
  return rest / y.dims[3] * y.strides[2] + rest % y.dims[3] * y.strides[3] + c * y.strides[4];
}

template <class C> DEVICE void grid_sample(const Sample& p) {
  int64_t chunks = (p.channels + CHANNELS - 1) / CHANNELS;
  for (int64_t i = thread_number(); i < p.batch * chunks * p.points; i += thread_count()) {
    int64_t point = i % p.points, rest = i / p.points, n = rest / chunks, first = rest % chunks * CHANNELS;
    Tap<C> taps[3][4];
    find_all(p, n, point, taps);
    int64_t to = n * p.y.strides[0] + point_place(p.y, point), end = first + CHANNELS < p.channels ? first + CHANNELS : p.channels;
    for (int64_t channel = first; channel < end; channel++) {
      int64_t from = n * p.x.strides[0] + channel * p.x.strides[1];
      C sum = (C)0;
      each(p, p.x, taps, [&](int64_t place, const Tap<C>& a, const Tap<C>& b, const Tap<C>& c) {
        sum += a.weight * b.weight * c.weight * load_quick<C>(p.x.data, p.x.dtype, from + place);
      });
      store_quick<C>(p.y.data, p.y.dtype, to + channel * p.y.strides[1], sum);
    }
  }
}

// The gradient of the coordinates; y is its gradient here and below.
template <class C> DEVICE void grid_sample_slopes(const Sample& p) {
  for (int64_t i = thread_number(); i < p.batch * p.points; i += thread_count()) {
    int64_t point = i % p.points, n = i / p.points;
    Tap<C> taps[3][4];
    find_all(p, n, point, taps);
    int64_t from_y = n * p.y.strides[0] + point_place(p.y, point), from_x = n * p.x.strides[0];
    C total[3] = {(C)0, (C)0, (C)0};
    each(p, p.x, taps, [&](int64_t place, const Tap<C>& a, const Tap<C>& b, const Tap<C>& c) {
      C sum = (C)0;
      for (int64_t channel = 0; channel < p.channels; channel++) {
        C g = load_quick<C>(p.y.data, p.y.dtype, from_y + channel * p.y.strides[1]);
        sum += g * load_quick<C>(p.x.data, p.x.dtype, from_x + channel * p.x.strides[1] + place);
      }
      total[0] += sum * a.weight * b.weight * c.slope;
      total[1] += sum * a.weight * b.slope * c.weight;
      total[2] += sum * a.slope * b.weight * c.weight;
    });
    int64_t at[5] = {n, 0, 0, 0, 0}, rest = point;
#pragma unroll
    for (int d = 3; d > 0; d--) {
      at[d] = rest % p.y.dims[1 + d];
      rest /= p.y.dims[1 + d];
    }
#pragma unroll
    for (int d = 0; d < 3; d++) {
      at[4] = d;
      if (d < p.d) store<C>(p.ggrid.data, p.ggrid.dtype, place_of(p.ggrid, at), total[d]);
    }
  }
}

// ---- the gradient of x, sample by sample

DEVICE int ways_of(const Sample& p) { return taps_of(p, 0) * taps_of(p, 1) * taps_of(p, 2); }

// Notes the taps of every point and what they are of; sets the sample's gradient to 0, for elements that nobody takes.
template <class C> DEVICE void grid_sample_taps(const Sample& p) {
  for (int64_t i = thread_number(); i < p.channels * p.plane; i += thread_count()) {
    int64_t to = p.sample * p.gx.strides[0] + i / p.plane * p.gx.strides[1] + point_place(p.gx, i % p.plane);
    store_quick<C>(p.gx.data, p.gx.dtype, to, (C)0);
  }
  for (int64_t point = thread_number(); point < p.points; point += thread_count()) {
    Tap<C> taps[3][4];
    find_all(p, p.sample, point, taps);
    Tap<C>* kept = (Tap<C>*)p.taps + point * 12;
    uint64_t* key = p.keys + point * ways_of(p);
    for (int d = 0; d < 3; d++) {
#pragma unroll 1
      for (int t = 0; t < taps_of(p, d); t++) kept[d * 4 + t] = taps[d][t];
    }
#pragma unroll 1
    for (int i = 0; i < taps_of(p, 0); i++) {
#pragma unroll 1
      for (int j = 0; j < taps_of(p, 1); j++) {
#pragma unroll 1
        for (int k = 0; k < taps_of(p, 2); k++) {
          int64_t a = taps[0][i].place, b = taps[1][j].place, c = taps[2][k].place;
          bool is_outside = a == OUTSIDE || b == OUTSIDE || c == OUTSIDE;
          *key++ = is_outside ? (uint64_t)p.plane : (uint64_t)((a * p.x.dims[3] + b) * p.x.dims[4] + c);
        }
      }
    }
  }
}

template <class C> DEVICE void grid_sample_gather(const Sample& p) {
  const Groups& groups = p.groups;
  int64_t count = *groups.count, chunks = (p.channels + CHANNELS - 1) / CHANNELS;
  int ways = ways_of(p), second = taps_of(p, 1), third = taps_of(p, 2);
  for (int64_t i = thread_number(); i < chunks * count; i += thread_count()) {
    int64_t group = i % count, first = i / count * CHANNELS;
    int64_t end = first + CHANNELS < p.channels ? first + CHANNELS : p.channels;
    uint32_t from = groups.starts[group], to = groups.starts[group + 1];
    int64_t place = p.sample * p.gx.strides[0] + point_place(p.gx, (int64_t)groups.keys[from]);
    for (int64_t channel = first; channel < end; channel++) {
      int64_t start = p.sample * p.y.strides[0] + channel * p.y.strides[1];
      C sum = (C)0;
      for (uint32_t e = from; e < to; e++) {
        int64_t point = groups.order[e] / ways;
        int way = (int)(groups.order[e] % ways);
        const Tap<C>* taps = (const Tap<C>*)p.taps + point * 12;
        C weight = taps[way / third / second].weight * taps[4 + way / third % second].weight * taps[8 + way % third].weight;
        sum += weight * load_quick<C>(p.y.data, p.y.dtype, start + point_place(p.y, point));
      }
      store_quick<C>(p.gx.data, p.gx.dtype, place + channel * p.gx.strides[1], sum);
    }
  }
}

}  // namespace

#define SAMPLES(name)                                                                \
  WIDE_KERNEL(name##_f32, THREADS, const __grid_constant__ Sample p) { name<float>(p); }  \
  WIDE_KERNEL(name##_f64, THREADS, const __grid_constant__ Sample p) { name<double>(p); }
SAMPLES(grid_sample)
SAMPLES(grid_sample_slopes)
SAMPLES(grid_sample_taps)
SAMPLES(grid_sample_gather)
