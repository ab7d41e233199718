// Reading and writing by tensors of indices: the kernels of indexing.rs. Where each element of the indices leads is worked
// out first (places); writes go by groups of equal places (grouping.cuh), in the order of the data.
#include "grouping/grouping.cuh"
#include "walk/walk.cuh"

using namespace toro;

namespace {

// Stands for the place of an index that is out of range.
constexpr int64_t NOWHERE = INT64_MIN;

// Mirrors Take in indexing/cuda.rs.
struct Take { Walk space, x; };

// Operands of the space: x, values. Scalars: alpha, the number that stands for all values, whether values are added, how
// many elements the indices have (B) and what lies behind them (W): the space is (…, B, W).
struct IndexPut {
  Walk space;
  Groups groups;
  const int64_t* places;
};
static_assert(sizeof(IndexPut) == 960, "as in indexing/cuda.rs");

template <class C> DEVICE void index_put(const IndexPut& a) {
  const Walk& s = a.space;
  C alpha = number_of<C>(s.scalars[0]), number = number_of<C>(s.scalars[1]);
  bool adds = s.scalars[2] != 0;
  int64_t b = s.scalars[3], width = s.scalars[4], groups = *a.groups.count, all = s.numel / (b * width) * groups * width;
  for (int64_t i = thread_number(); i < all; i += thread_count()) {
    int64_t at = i % width, rest = i / width, group = rest % groups, before = rest / groups;
    uint32_t from = a.groups.starts[group], end = a.groups.starts[group + 1];
    // Of values that are not added the last one stays.
    if (!adds) from = end - 1;
    int64_t to = 0;
    C total = (C)0;
    for (uint32_t m = from; m < end; m++) {
      int64_t member = a.groups.order[m];
      auto [places] = offsets_of<2>(s, (before * b + member) * width + at);
      C value = s.data[1] ? load<C>(s.data[1], s.dtypes[1], places[1]) : number;
      if (m == from) {
        to = places[0] + a.places[member];
        if (adds) total = load<C>(s.data[0], s.dtypes[0], to);
      }
      total = adds ? wrap_add(total, wrap_mul(alpha, value)) : value;
    }
    store<C>(s.data[0], s.dtypes[0], to, total);
  }
}

}  // namespace

// One indexed dim. Operands: places, indices, numbers (uint64, or absent). Scalars: size and stride of the dim, whether
// indices count from the end, whether it is the first dim, the step of the numbers, and what stands for none of them.
KERNEL(index_places, WALK_THREADS, const __grid_constant__ Walk a) {
  int64_t size = a.scalars[0];
  bool is_first = a.scalars[3] != 0;
  int64_t* places = (int64_t*)a.data[0];
  uint64_t* numbers = (uint64_t*)a.data[2];
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    auto at = offsets_of<3>(a, i);
    int64_t given = integer(a, 1, at.at[1]), index = given < 0 && a.scalars[2] != 0 ? given + size : given;
    bool is_inside = index >= 0 && index < size;
    if (!is_inside) raise(a.alarm, a.opcode, given, size);
    int64_t before = is_first ? 0 : places[at.at[0]];
    is_inside &= before != NOWHERE;
    places[at.at[0]] = is_inside ? before + index * a.scalars[1] : NOWHERE;
    if (numbers) numbers[at.at[2]] = is_inside ? (is_first ? 0 : numbers[at.at[2]]) + (uint64_t)(index * a.scalars[4]) : (uint64_t)a.scalars[5];
  }
}

// Operands: out, x, places.
KERNEL(index_get, WALK_THREADS, const __grid_constant__ Walk a) {
  int size = size_of(a.dtypes[0]);
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    auto at = offsets_of<3>(a, i);
    int64_t place = ((const int64_t*)a.data[2])[at.at[2]];
    if (place != NOWHERE) move_element(a.data[0], at.at[0], a.data[1], at.at[1] + place, size);
  }
}

// Operands of the space: out, indices.
KERNEL(take, WALK_THREADS, const __grid_constant__ Take a) {
  int size = size_of(a.x.dtypes[0]);
  for (int64_t i = thread_number(); i < a.space.numel; i += thread_count()) {
    auto at = offsets_of<2>(a.space, i);
    int64_t given = integer(a.space, 1, at.at[1]), index = given < 0 ? given + a.x.numel : given;
    if (index < 0 || index >= a.x.numel) raise(a.space.alarm, a.space.opcode, given, a.x.numel);
    else move_element(a.space.data[0], at.at[0], a.x.data[0], offsets_of<1>(a.x, index).at[0], size);
  }
}

KERNEL(index_put_f32, GROUP_THREADS, const __grid_constant__ IndexPut a) { index_put<float>(a); }
KERNEL(index_put_f64, GROUP_THREADS, const __grid_constant__ IndexPut a) { index_put<double>(a); }
KERNEL(index_put_i64, GROUP_THREADS, const __grid_constant__ IndexPut a) { index_put<int64_t>(a); }
