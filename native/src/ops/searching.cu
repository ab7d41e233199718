// Searching in what is sorted, and groups of equal rows: the kernels of searching.rs.
#include "lines/lines.cuh"

using namespace toro;

namespace {

// The first place from 0 to n at which `before` does not hold any more.
template <class F> DEVICE int64_t first_not(int64_t n, F before) {
  int64_t low = 0, high = n;
  while (low < high) {
    int64_t mid = (low + high) / 2;
    if (before(mid)) low = mid + 1;
    else high = mid;
  }
  return low;
}

template <class C> DEVICE C number_of(double bits) {
  if constexpr ((C)0.5 != (C)0) return (C)bits;
  else return (C)__double_as_longlong(bits);
}

// One line of all values. Operands: out, values (or nothing), the sequence of each value, and the order that sorts it (or
// nothing). Numbers: the sequence's length and step, the order's step, whether to go behind equal ones, the one value
// where there are none (of integers its bits).
template <class C> DEVICE void searchsorted(const Lines& a) {
  int64_t n = (int64_t)a.numbers[0], step = (int64_t)a.numbers[1], order_step = (int64_t)a.numbers[2];
  bool is_right = a.numbers[3] != 0.0;
  for (int64_t i = thread_number(); i < a.length; i += thread_count()) {
    C value = has(a, 1) ? get<C>(a, 1, 0, i) : number_of<C>(a.numbers[4]);
    int64_t start = inner_place(a, 2, i), order = inner_place(a, 3, i);
    auto at = [&](int64_t j) {
      if (has(a, 3)) {
        int64_t k = ((const int64_t*)a.lines[3].data)[order + j * order_step];
        if (k < 0 || k >= n) {
          raise(a.alarm, a.opcode, k, n);
          return value;
        }
        j = k;
      }
      return load<C>(a.lines[2].data, a.lines[2].dtype, start + j * step);
    };
    // Written so that a NaN among the sequence or the values goes where PyTorch puts it.
    int64_t found = first_not(n, [&](int64_t j) { return is_right ? !(at(j) > value) : !(at(j) >= value); });
    put<int64_t>(a, 0, 0, i, found);
  }
}

// One line of all elements. Operands: out, x, and sorted numbers. Numbers: their count and step, whether to invert.
template <class C> DEVICE void isin(const Lines& a) {
  int64_t n = (int64_t)a.numbers[0], step = (int64_t)a.numbers[1];
  bool is_inverse = a.numbers[2] != 0.0;
  for (int64_t i = thread_number(); i < a.length; i += thread_count()) {
    C value = get<C>(a, 1, 0, i);
    auto at = [&](int64_t j) { return load<C>(a.lines[2].data, a.lines[2].dtype, j * step); };
    int64_t place = first_not(n, [&](int64_t j) { return at(j) < value; });
    bool is_found = place < n && at(place) == value;
    put<int64_t>(a, 0, 0, i, is_found != is_inverse);
  }
}

// ---- groups of equal rows, which lie side by side in an order

// Mirrors Groups in searching/cuda.rs.
struct Groups {
  const void* x;
  const int64_t* order;
  int64_t* number;  // of each row in the order: whether it begins a group, and once these are summed its group, from 1
  int64_t* starts;  // of each group
  int64_t *firsts, *inverse, *counts;
  int64_t order_step, first_step, inverse_step, count_step;
  int64_t rows, width, row_step, column_step;
  int64_t groups;   // as many as there is room for
  Alarm* alarm;
  uint32_t opcode;
  int32_t dtype;
};
static_assert(sizeof(Groups) == 144, "as in searching/cuda.rs");

DEVICE int64_t row_at(const Groups& a, int64_t i) {
  int64_t row = a.order[i * a.order_step];
  if (row >= 0 && row < a.rows) return row;
  raise(a.alarm, a.opcode, row, a.rows);
  return 0;
}

// A NaN equals nothing, so it is always a value of its own.
template <class C> DEVICE bool are_equal(const Groups& a, int64_t p, int64_t q) {
  for (int64_t c = 0; c < a.width; c++) {
    int64_t at = c * a.column_step;
    if (!(load<C>(a.x, a.dtype, p * a.row_step + at) == load<C>(a.x, a.dtype, q * a.row_step + at))) return false;
  }
  return true;
}

template <class C> DEVICE void group_starts(const Groups& a) {
  for (int64_t i = thread_number(); i < a.rows; i += thread_count()) {
    a.number[i] = i == 0 || !are_equal<C>(a, row_at(a, i - 1), row_at(a, i));
  }
}

}  // namespace

LINES_KERNEL(searchsorted, searchsorted)
KERNEL(searchsorted_i64, LINE_THREADS, const __grid_constant__ Lines a) { searchsorted<int64_t>(a); }
LINES_KERNEL(isin, isin)
KERNEL(isin_i64, LINE_THREADS, const __grid_constant__ Lines a) { isin<int64_t>(a); }
KERNEL(group_starts_f64, LINE_THREADS, const __grid_constant__ Groups a) { group_starts<double>(a); }
KERNEL(group_starts_i64, LINE_THREADS, const __grid_constant__ Groups a) { group_starts<int64_t>(a); }

// How many groups there are.
KERNEL(group_count_all, LINE_THREADS, const __grid_constant__ Groups a) {
  if (thread_number() == 0) a.counts[0] = a.rows > 0 ? a.number[a.rows - 1] : 0;
}

// The group of each row, and where each group begins.
KERNEL(group_members_all, LINE_THREADS, const __grid_constant__ Groups a) {
  for (int64_t i = thread_number(); i < a.rows; i += thread_count()) {
    int64_t group = a.number[i] - 1, row = row_at(a, i);
    if (group >= a.groups) continue;
    a.inverse[row * a.inverse_step] = group;
    if (i > 0 && a.number[i - 1] == group + 1) continue;
    a.firsts[group * a.first_step] = row;
    a.starts[group] = i;
  }
}

// The size of each group. A number of groups that is not what the outputs have room for raises the alarm.
KERNEL(group_sizes_all, LINE_THREADS, const __grid_constant__ Groups a) {
  int64_t found = a.rows > 0 ? a.number[a.rows - 1] : 0;
  if (thread_number() == 0 && found != a.groups) raise(a.alarm, a.opcode, found, a.groups);
  for (int64_t g = thread_number(); g < a.groups && g < found; g += thread_count()) {
    int64_t end = g + 1 < found && g + 1 < a.groups ? a.starts[g + 1] : a.rows;
    a.counts[g * a.count_step] = end - a.starts[g];
  }
}
