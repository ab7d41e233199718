// Planes brought to another size, one dim after another: the kernel of resampling.rs. Lists made on the CPU say for each
// place along the dim which places of the input it sums, and their weights; a thread takes one element of the output.
#include "view/view.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 256;

// Mirrors Arguments in resampling/cuda.rs.
struct Resample {
  int64_t numel;
  // The list of place o is starts[o] … starts[o + 1] of places and weights (of the compute type).
  const int64_t* starts;
  const int32_t* places;
  const void* weights;
  View<4> to, from;
  int32_t dim, unused;
};
static_assert(sizeof(Resample) == 200, "as in resampling/cuda.rs");

template <class C> DEVICE void resample(const Resample& p) {
  for (int64_t i = thread_number(); i < p.numel; i += thread_count()) {
    int64_t at[4], start = 0, step = 0, o = 0;
    index_of(p.to, i, at);
#pragma unroll
    for (int d = 0; d < 4; d++) {
      if (d == p.dim) {
        o = at[d];
        step = p.from.strides[d];
      } else {
        start += at[d] * p.from.strides[d];
      }
    }
    C sum = (C)0;
    int64_t first = p.starts[o], end = p.starts[o + 1];
    for (int64_t e = first; e < end; e++) {
      C x = load_quick<C>(p.from.data, p.from.dtype, start + p.places[e] * step);
      C part = wrap_mul(((const C*)p.weights)[e], x);
      sum = e == first ? part : wrap_add(sum, part);
    }
    store_quick<C>(p.to.data, p.to.dtype, place_of(p.to, at), sum);
  }
}

}  // namespace

KERNEL(resample_f32, THREADS, const __grid_constant__ Resample p) { resample<float>(p); }
KERNEL(resample_f64, THREADS, const __grid_constant__ Resample p) { resample<double>(p); }
KERNEL(resample_i64, THREADS, const __grid_constant__ Resample p) { resample<int64_t>(p); }
