// One index per element along one dim: the kernels of scattering.rs. Writes go by groups of equal places (grouping.cuh): what
// meets in a place is taken in the order of the data, and long groups are shared out over a block.
#include "grouping/grouping.cuh"
#include "walk/walk.cuh"

using namespace toro;

namespace {

// Operands of the space: x without the dim, source. Scalars: size and stride of x's dim, how elements are combined, whether
// with x's own value too, the number that stands for all elements of the source.
struct Scatter {
  Walk space;
  Groups groups;
};
static_assert(sizeof(Scatter) == 952, "as in scattering.rs");

// By the numbers of scattering.rs.
enum Mode : int { SUM, PROD, MEAN, AMAX, AMIN, LAST };

// Groups of more elements than this are taken by a block.
constexpr uint32_t LONG = 256;

template <class C> DEVICE C combine(int mode, C a, C b) {
  switch (mode) {
    case SUM:
    case MEAN: return wrap_add(a, b);
    case PROD: return wrap_mul(a, b);
    // A NaN stays.
    case AMAX: return is_nan(a) || (!is_nan(b) && a >= b) ? a : b;
    case AMIN: return is_nan(a) || (!is_nan(b) && a <= b) ? a : b;
    default: return b;
  }
}

DEVICE float mean_of(float sum, int64_t n) { return sum / (float)n; }
DEVICE double mean_of(double sum, int64_t n) { return sum / (double)n; }
// Rounded down.
DEVICE int64_t mean_of(int64_t sum, int64_t n) { return sum / n - (sum % n < 0 ? 1 : 0); }

template <class C> struct Place {
  const Scatter& a;
  uint32_t from, end;

  DEVICE Place(const Scatter& a, int64_t group) : a(a), from(a.groups.starts[group]), end(a.groups.starts[group + 1]) {}

  DEVICE C value(uint32_t m) const {
    const Walk& s = a.space;
    if (!s.data[1]) return number_of<C>(s.scalars[4]);
    return load<C>(s.data[1], s.dtypes[1], offsets_of<2>(s, a.groups.order[m]).at[1]);
  }

  DEVICE void finish(C total) const {
    const Walk& s = a.space;
    int mode = (int)s.scalars[2];
    bool owns = s.scalars[3] != 0;
    int64_t place = (int64_t)(a.groups.keys[from] % (uint64_t)s.scalars[0]);
    int64_t to = offsets_of<1>(s, a.groups.order[from]).at[0] + place * s.scalars[1];
    if (owns) total = combine(mode, load<C>(s.data[0], s.dtypes[0], to), total);
    if (mode == MEAN) total = mean_of(total, (int64_t)(end - from) + owns);
    store<C>(s.data[0], s.dtypes[0], to, total);
  }
};

template <class C> DEVICE void scatter(const Scatter& a) {
  int mode = (int)a.space.scalars[2];
  int64_t groups = *a.groups.count;
  for (int64_t g = thread_number(); g < groups; g += thread_count()) {
    Place<C> place(a, g);
    if (mode != LAST && place.end - place.from > LONG) continue;
    uint32_t m = mode == LAST ? place.end - 1 : place.from;
    C total = place.value(m);
    while (++m < place.end) total = combine(mode, total, place.value(m));
    place.finish(total);
  }
}

// The groups that the first kernel has left out. A block looks at as many groups as it has threads.
template <class C> DEVICE void scatter_long(const Scatter& a) {
  __shared__ int is_long[GROUP_THREADS];
  __shared__ C parts[GROUP_THREADS];
  int mode = (int)a.space.scalars[2];
  int64_t groups = *a.groups.count;
  for (int64_t first = (int64_t)blockIdx.x * GROUP_THREADS; first < groups; first += (int64_t)gridDim.x * GROUP_THREADS) {
    int64_t own = first + threadIdx.x;
    is_long[threadIdx.x] = own < groups && a.groups.starts[own + 1] - a.groups.starts[own] > LONG;
    __syncthreads();
    for (int g = 0; g < GROUP_THREADS; g++) {
      if (!is_long[g]) continue;
      Place<C> place(a, first + g);
      // There are more elements than threads.
      uint32_t m = place.from + threadIdx.x;
      C total = place.value(m);
      while ((m += GROUP_THREADS) < place.end) total = combine(mode, total, place.value(m));
      parts[threadIdx.x] = total;
      __syncthreads();
      for (int with = GROUP_THREADS / 2; with > 0; with /= 2) {
        if ((int)threadIdx.x < with) parts[threadIdx.x] = combine(mode, parts[threadIdx.x], parts[threadIdx.x + with]);
        __syncthreads();
      }
      if (threadIdx.x == 0) place.finish(parts[0]);
      // Before anybody writes the parts again.
      __syncthreads();
    }
    __syncthreads();
  }
}

}  // namespace

// Operands: out, x without the dim, indices. Scalars: size and stride of x's dim.
KERNEL(gather, WALK_THREADS, const __grid_constant__ Walk a) {
  int size = size_of(a.dtypes[0]);
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    auto at = offsets_of<3>(a, i);
    int64_t index = integer(a, 2, at.at[2]);
    if (index < 0 || index >= a.scalars[0]) raise(a.alarm, a.opcode, index, a.scalars[0]);
    else move_element(a.data[0], at.at[0], a.data[1], at.at[1] + index * a.scalars[1], size);
  }
}

// The keys of places: row times the dim's size, and the index. Operands: indices, keys. Scalars: the dim's size in x and
// in the indices, elements of the indices behind the dim, the key of none.
KERNEL(scatter_keys, WALK_THREADS, const __grid_constant__ Walk a) {
  int64_t size = a.scalars[0], length = a.scalars[1], inner = a.scalars[2];
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    int64_t index = integer(a, 0, offsets_of<1>(a, i).at[0]), row = i / (length * inner) * inner + i % inner;
    bool is_inside = index >= 0 && index < size;
    if (!is_inside) raise(a.alarm, a.opcode, index, size);
    ((uint64_t*)a.data[1])[i] = (uint64_t)(is_inside ? row * size + index : a.scalars[3]);
  }
}

KERNEL(scatter_f32, GROUP_THREADS, const __grid_constant__ Scatter a) { scatter<float>(a); }
KERNEL(scatter_f64, GROUP_THREADS, const __grid_constant__ Scatter a) { scatter<double>(a); }
KERNEL(scatter_i64, GROUP_THREADS, const __grid_constant__ Scatter a) { scatter<int64_t>(a); }
KERNEL(scatter_long_f32, GROUP_THREADS, const __grid_constant__ Scatter a) { scatter_long<float>(a); }
KERNEL(scatter_long_f64, GROUP_THREADS, const __grid_constant__ Scatter a) { scatter_long<double>(a); }
KERNEL(scatter_long_i64, GROUP_THREADS, const __grid_constant__ Scatter a) { scatter_long<int64_t>(a); }
