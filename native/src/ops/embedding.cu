// Rows of tables: gathering them, sums of gradients by row, bags. The kernels of embedding.rs and embedding_bag.rs. Rows of a
// batch are grouped by their number (grouping.cuh), so that each row is written by one thread a column, in the batch's order.
#include "grouping/few.cuh"
#include "lines/lines.cuh"

using namespace toro;

namespace {

// Row numbers, int64 or int32. Mirrors Numbers in embedding/cuda.rs.
struct Numbers {
  const void* data;
  int64_t n;
  int32_t dtype, unused;
};
DEVICE int64_t row_at(const Numbers& a, int64_t i) {
  return a.dtype == I64 ? ((const int64_t*)a.data)[i] : ((const int32_t*)a.data)[i];
}

// Where an error goes.
struct Notice {
  Alarm* alarm;
  uint32_t opcode, unused;
};
// Whether a row is one of `rows`; another one is noted.
DEVICE bool is_row(const Notice& notice, int64_t row, int64_t rows) {
  if (row >= 0 && row < rows) return true;
  raise(notice.alarm, notice.opcode, row, rows);
  return false;
}

// Rows in use, at most as many as there is room for.
DEVICE int64_t used(const int64_t* count, int64_t room) {
  int64_t n = *count;
  return n < 0 ? 0 : n < room ? n : room;
}

// out[b] = table[numbers[b]] in units of 1 to 16 bytes; steps are in units too.
struct Gather {
  Notice notice;
  Numbers numbers;
  void* out;
  const void* table;
  int64_t rows, zero_row;
  int64_t units, row_step, unit_step;  // of a row
  int32_t unit, unused;
};
static_assert(sizeof(Gather) == 104, "as in embedding/cuda.rs");

struct alignas(16) Wide { uint64_t x[2]; };
template <class U> DEVICE void gather_units(const Gather& a) {
  int64_t all = a.numbers.n * a.units;
  for (int64_t i = thread_number(); i < all; i += thread_count()) {
    int64_t b = i / a.units, unit = i - b * a.units, row = row_at(a.numbers, b);
    U x = {};
    if (is_row(a.notice, row, a.rows) && row != a.zero_row) x = ((const U*)a.table)[row * a.row_step + unit * a.unit_step];
    ((U*)a.out)[i] = x;
  }
}

// The keys of a batch's rows, then those of the rows in use of a second list: rows that count for nothing have key `rows`.
struct RowKeys {
  Notice notice;
  Numbers first, second;
  const int64_t *first_count, *second_count;  // null where all of a list counts
  int64_t rows, padding;
  uint64_t* keys;
};
static_assert(sizeof(RowKeys) == 104, "as in embedding/cuda.rs");

DEVICE uint64_t key_of(const RowKeys& a, int64_t i) {
  bool is_first = i < a.first.n;
  int64_t at = is_first ? i : i - a.first.n;
  const int64_t* count = is_first ? a.first_count : a.second_count;
  if (count && at >= *count) return (uint64_t)a.rows;
  int64_t row = is_first ? row_at(a.first, at) : row_at(a.second, at);
  return is_row(a.notice, row, a.rows) && row != a.padding ? (uint64_t)row : (uint64_t)a.rows;
}

// The same for few rows, which are grouped at once. Mirrors RowGroups in embedding/cuda.rs.
struct RowGroups {
  RowKeys keys;
  Few few;
};
static_assert(sizeof(RowGroups) == 160, "as in embedding/cuda.rs");

// The distinct rows of groups, how many there are, and the sum of the values of each.
struct RowSums {
  Groups groups;
  int64_t* rows_out;
  int64_t* count_out;
  void* out;  // (room, d)
  int64_t room, d;
  const void *first, *second;  // values of the first and of the second list
  int64_t first_n, row_step, column_step, second_step;
  int32_t dtype, is_mean;
};
static_assert(sizeof(RowSums) == 128, "as in embedding/cuda.rs");

template <class C> DEVICE C value_of(const RowSums& a, uint32_t place, int64_t column) {
  int64_t at = place;
  const void* from = a.first;
  if (at < a.first_n) at = at * a.row_step + column * a.column_step;
  else {
    from = a.second;
    at = (at - a.first_n) * a.second_step + column;
  }
  if constexpr (sizeof(C) == 4) if (a.dtype == F32) return (C)((const float*)from)[at];
  return load<C>(from, a.dtype, at);
}

// A thread takes a column of a row. Four values are under way at a time; they are added in order.
template <class C> DEVICE void sum_rows(const RowSums& a) {
  int64_t all = used(a.groups.count, a.room) * a.d;
  for (int64_t i = thread_number(); i < all; i += thread_count()) {
    int64_t group = i / a.d, column = i - group * a.d;
    uint32_t at = a.groups.starts[group], end = a.groups.starts[group + 1];
    if (column == 0) a.rows_out[group] = (int64_t)a.groups.keys[at];
    C scale = (C)(a.is_mean ? 1.0 / (double)(end - at) : 1.0);
    C sum = value_of<C>(a, a.groups.order[at++], column);
    for (; at + 4 <= end; at += 4) {
      uint32_t place[4];
      C x[4];
#pragma unroll
      for (int j = 0; j < 4; j++) place[j] = a.groups.order[at + j];
#pragma unroll
      for (int j = 0; j < 4; j++) x[j] = value_of<C>(a, place[j], column);
#pragma unroll
      for (int j = 0; j < 4; j++) sum += x[j];
    }
    for (; at < end; at++) sum += value_of<C>(a, a.groups.order[at], column);
    store<C>(a.out, a.dtype, i, sum * scale);
  }
  if (thread_number() == 0) {
    *a.count_out = used(a.groups.count, a.room);
    // Rows without columns have numbers all the same.
    if (a.d == 0) for (int64_t g = 0; g < *a.count_out; g++) a.rows_out[g] = (int64_t)a.groups.keys[a.groups.starts[g]];
  }
}

// table[numbers[i]] += values[i] for the rows in use, which differ.
struct AddRows {
  Notice notice;
  Numbers numbers;
  void* table;
  const void* values;
  const int64_t* count;
  int64_t rows, d;
  int32_t dtype, unused;
};
static_assert(sizeof(AddRows) == 88, "as in embedding/cuda.rs");

template <class C> DEVICE void add_rows(const AddRows& a) {
  int64_t all = used(a.count, a.numbers.n) * a.d;
  for (int64_t i = thread_number(); i < all; i += thread_count()) {
    int64_t b = i / a.d, row = row_at(a.numbers, b);
    if (!is_row(a.notice, row, a.rows)) continue;
    int64_t to = row * a.d + (i - b * a.d);
    store<C>(a.table, a.dtype, to, load<C>(a.table, a.dtype, to) + load<C>(a.values, a.dtype, i));
  }
}

// Rescales each row of groups to a norm of at most `most`. A block takes a row.
struct LimitRows {
  Groups groups;
  void* table;
  int64_t d;
  double most, order;
  int32_t dtype, unused;
};
static_assert(sizeof(LimitRows) == 72, "as in embedding/cuda.rs");

// Bags of rows: sums, means, or greatest elements with the rows that they come from.
struct Bags {
  Notice notice;
  Numbers numbers, starts;
  void* out;
  int64_t* which;  // null but for the greatest
  const void *table, *weights;
  int64_t rows, d, row_step, column_step, padding;
  int32_t dtype, mode;
};
static_assert(sizeof(Bags) == 144, "as in embedding/cuda.rs");
enum BagMode : int { BAG_SUM, BAG_MEAN, BAG_MAX };

template <class C> DEVICE void bag_rows(const Bags& a) {
  for (int64_t i = thread_number(); i < a.starts.n * a.d; i += thread_count()) {
    int64_t bag = i / a.d, column = i - bag * a.d;
    int64_t start = row_at(a.starts, bag), end = bag + 1 < a.starts.n ? row_at(a.starts, bag + 1) : a.numbers.n;
    if ((bag == 0 && start != 0) || start < 0 || start > end || end > a.numbers.n) {
      raise(a.notice.alarm, a.notice.opcode, start, a.numbers.n);
      end = start;
    }
    C sum = (C)0;
    int64_t from = -1, count = 0;
    for (int64_t m = start; m < end; m++) {
      int64_t row = row_at(a.numbers, m);
      if (!is_row(a.notice, row, a.rows) || row == a.padding) continue;
      C x = load<C>(a.table, a.dtype, row * a.row_step + column * a.column_step);
      if (a.mode == BAG_MAX) {
        if (count == 0 || x > sum) {
          sum = x;
          from = row;
        }
      } else {
        sum += a.weights ? load<C>(a.weights, a.dtype, m) * x : x;
      }
      count++;
    }
    if (a.mode == BAG_MEAN) sum *= (C)(1.0 / (double)(count > 0 ? count : 1));
    store<C>(a.out, a.dtype, i, sum);
    if (a.which) a.which[i] = from;
  }
}

}  // namespace

KERNEL(gather_rows, GROUP_THREADS, const __grid_constant__ Gather a) {
  switch (a.unit) {
    case 1: gather_units<uint8_t>(a); break;
    case 2: gather_units<uint16_t>(a); break;
    case 4: gather_units<uint32_t>(a); break;
    case 8: gather_units<uint64_t>(a); break;
    default: gather_units<Wide>(a);
  }
}

KERNEL(row_keys, GROUP_THREADS, const __grid_constant__ RowKeys a) {
  for (int64_t i = thread_number(); i < a.first.n + a.second.n; i += thread_count()) a.keys[i] = key_of(a, i);
}
KERNEL(row_groups, FEW_THREADS, const __grid_constant__ RowGroups a) {
  make_groups(a.few, [&](int i) { return (uint32_t)key_of(a.keys, i); });
}

KERNEL(sum_rows_f32, GROUP_THREADS, const __grid_constant__ RowSums a) { sum_rows<float>(a); }
KERNEL(sum_rows_f64, GROUP_THREADS, const __grid_constant__ RowSums a) { sum_rows<double>(a); }
KERNEL(add_rows_f32, GROUP_THREADS, const __grid_constant__ AddRows a) { add_rows<float>(a); }
KERNEL(add_rows_f64, GROUP_THREADS, const __grid_constant__ AddRows a) { add_rows<double>(a); }
KERNEL(bag_rows_f32, GROUP_THREADS, const __grid_constant__ Bags a) { bag_rows<float>(a); }
KERNEL(bag_rows_f64, GROUP_THREADS, const __grid_constant__ Bags a) { bag_rows<double>(a); }

KERNEL(limit_rows, GROUP_THREADS, const __grid_constant__ LimitRows a) {
  bool is_most = a.order == INFINITY;
  int64_t rows = *a.groups.count;
  for (int64_t group = blockIdx.x; group < rows; group += gridDim.x) {
    int64_t first = (int64_t)a.groups.keys[a.groups.starts[group]] * a.d;
    double norm = 0.0;
    for (int64_t c = threadIdx.x; c < a.d; c += blockDim.x) {
      double x = fabs(load<double>(a.table, a.dtype, first + c));
      if (is_most) norm = x > norm ? x : norm;
      else norm += a.order == 2.0 ? x * x : pow(x, a.order);
    }
    norm = is_most ? max_block(norm) : sum_block(norm);
    if (!is_most) norm = a.order == 2.0 ? sqrt(norm) : pow(norm, 1.0 / a.order);
    if (!(norm > a.most)) continue;
    double scale = a.most / (norm + 1e-7);
    for (int64_t c = threadIdx.x; c < a.d; c += blockDim.x) {
      store<double>(a.table, a.dtype, first + c, load<double>(a.table, a.dtype, first + c) * scale);
    }
  }
}
