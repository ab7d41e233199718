// What a mask or a count decides: the kernels of masking.rs. Elements are counted by tiles, one block sums the counts up
// (group_scan), and every tile then knows where its own go.
#include "grouping/grouping.cuh"
#include "walk/walk.cuh"

using namespace toro;

namespace {

// Operands of the space: the mask first. `starts`: how many are chosen before each tile, and in all.
struct Chosen {
  Walk space, other;
  int64_t* starts;
  int64_t room;  // how many there may be
};
static_assert(sizeof(Chosen) == 1856, "as in masking/cuda.rs");

DEVICE int64_t tiles_of(int64_t n) { return (n + TILE - 1) / TILE; }

template <class M> DEVICE bool is_set_as(const Walk& a, int64_t at) { return load<M>(a.data[0], a.dtypes[0], at) != (M)0; }
DEVICE bool is_set(const Walk& a, int64_t at) {
  return a.dtypes[0] <= BF16 ? is_set_as<double>(a, at) : is_set_as<int64_t>(a, at);
}

// Calls visit(flat, offsets, number) for each chosen element; numbers count them in order.
template <int K, class F> DEVICE void for_chosen(const Chosen& a, F visit) {
  const Walk& s = a.space;
  for (int64_t tile = blockIdx.x; tile < tiles_of(s.numel); tile += gridDim.x) {
    int64_t first = tile * TILE + threadIdx.x * EACH;
    unsigned chosen = 0;
    for (int j = 0; j < EACH; j++) {
      if (first + j < s.numel && is_set(s, offsets_of<1>(s, first + j).at[0])) chosen |= 1u << j;
    }
    int all, before = scan_block(__popc(chosen), &all);
    int64_t number = a.starts[tile] + before;
    for (int j = 0; j < EACH; j++) {
      if (chosen >> j & 1u) {
        // Beyond the room nothing is written: the mask was another when it was counted.
        if (number < a.room) visit(first + j, offsets_of<K>(s, first + j), number);
        number++;
      }
    }
  }
  int64_t total = a.starts[tiles_of(s.numel)];
  if (total > a.room && thread_number() == 0) raise(s.alarm, s.opcode, total, a.room);
}

// Operands: a count (int64), integers; scalars as each kernel says. `sums` are int64 of the kernels' own.
struct Counting {
  Walk space;
  int64_t* sums;
};
static_assert(sizeof(Counting) == 928, "as in masking/cuda.rs");

}  // namespace

// How many elements of each tile are chosen.
KERNEL(mask_count, GROUP_THREADS, const __grid_constant__ Chosen a) {
  for (int64_t tile = blockIdx.x; tile < tiles_of(a.space.numel); tile += gridDim.x) {
    int count = 0, all;
    for (int j = 0; j < EACH; j++) {
      int64_t i = tile * TILE + j * GROUP_THREADS + threadIdx.x;
      count += i < a.space.numel && is_set(a.space, offsets_of<1>(a.space, i).at[0]);
    }
    scan_block(count, &all);
    if (threadIdx.x == 0) a.starts[tile] = all;
  }
}

// Places of the chosen; `other`: the mask's own dims, and strides of the output (n, dims) in its first two.
KERNEL(nonzero, GROUP_THREADS, const __grid_constant__ Chosen a) {
  const Walk& x = a.other;
  for_chosen<1>(a, [&](int64_t flat, Offsets<1>, int64_t number) {
    for (int d = x.ndim - 1; d >= 0; d--) {
      int64_t rest = flat / x.dims[d];
      ((int64_t*)x.data[0])[number * x.scalars[0] + d * x.scalars[1]] = flat - rest * x.dims[d];
      flat = rest;
    }
  });
}

// Operands: mask, x; `other`: the output.
KERNEL(masked_select, GROUP_THREADS, const __grid_constant__ Chosen a) {
  int size = size_of(a.space.dtypes[1]);
  for_chosen<2>(a, [&](int64_t, Offsets<2> at, int64_t number) {
    move_element(a.other.data[0], offsets_of<1>(a.other, number).at[0], a.space.data[1], at.at[1], size);
  });
}

// Operands: mask, x; `other`: the source.
KERNEL(masked_scatter, GROUP_THREADS, const __grid_constant__ Chosen a) {
  int size = size_of(a.space.dtypes[1]);
  for_chosen<2>(a, [&](int64_t, Offsets<2> at, int64_t number) {
    move_element(a.space.data[1], at.at[1], a.other.data[0], offsets_of<1>(a.other, number).at[0], size);
  });
}

// ---- counts

// The sum of each tile's integers, and 1 behind all tiles where one is negative. Operands: integers. Scalar: tiles.
KERNEL(repeat_sums, GROUP_THREADS, const __grid_constant__ Counting a) {
  int64_t tiles = tiles_of(a.space.numel);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    int64_t sum = 0, all;
    for (int j = 0; j < EACH; j++) {
      int64_t i = tile * TILE + j * GROUP_THREADS + threadIdx.x;
      int64_t x = i < a.space.numel ? integer(a.space, 0, offsets_of<1>(a.space, i).at[0]) : 0;
      if (x < 0) atomicExch((unsigned*)&a.sums[tiles + 1], 1u);
      sum = wrap_add(sum, x);
    }
    scan_block(sum, &all);
    if (threadIdx.x == 0) a.sums[tile] = all;
  }
}

// out = what the sums come to, or -1. Operand 1: out.
KERNEL(repeat_total, GROUP_THREADS, const __grid_constant__ Counting a) {
  int64_t tiles = tiles_of(a.space.numel);
  if (thread_number() == 0) *(int64_t*)a.space.data[1] = *(unsigned*)&a.sums[tiles + 1] ? -1 : a.sums[tiles];
}

// Where each number's repeats end, behind the tiles' sums.
KERNEL(repeat_ends, GROUP_THREADS, const __grid_constant__ Counting a) {
  int64_t tiles = tiles_of(a.space.numel);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    int64_t first = tile * TILE + threadIdx.x * EACH, own[EACH], sum = 0, all;
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      own[j] = first + j < a.space.numel ? integer(a.space, 0, offsets_of<1>(a.space, first + j).at[0]) : 0;
      sum = wrap_add(sum, own[j]);
    }
    int64_t at = wrap_add(a.sums[tile], scan_block(sum, &all));
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      at = wrap_add(at, own[j]);
      if (first + j < a.space.numel) a.sums[tiles + 2 + first + j] = at;
    }
  }
}

// out[i] = the number in whose repeats i lies. Operand 1: out; scalars: its size and stride.
KERNEL(repeat_fill, GROUP_THREADS, const __grid_constant__ Counting a) {
  int64_t n = a.space.numel, room = a.space.scalars[0];
  const int64_t* ends = a.sums + tiles_of(n) + 2;
  if (thread_number() == 0 && (n == 0 ? 0 : ends[n - 1]) != room) raise(a.space.alarm, a.space.opcode, n == 0 ? 0 : ends[n - 1], room);
  for (int64_t i = thread_number(); i < room; i += thread_count()) {
    int64_t low = 0, high = n;
    while (low < high) {
      int64_t middle = (low + high) / 2;
      if (ends[middle] <= i) low = middle + 1;
      else high = middle;
    }
    ((int64_t*)a.space.data[1])[i * a.space.scalars[1]] = low;
  }
}

// The largest value and 1 in sums[0], whether one is negative in sums[1].
KERNEL(bincount_most, GROUP_THREADS, const __grid_constant__ Counting a) {
  for (int64_t i = thread_number(); i < a.space.numel; i += thread_count()) {
    int64_t x = integer(a.space, 0, offsets_of<1>(a.space, i).at[0]);
    if (x < 0) atomicExch((unsigned*)&a.sums[1], 1u);
    else atomicMax((long long*)a.sums, (long long)(x == INT64_MAX ? x : x + 1));
  }
}
// Operand 1: out. Scalar: the least size.
KERNEL(bincount_size, GROUP_THREADS, const __grid_constant__ Counting a) {
  if (thread_number() > 0) return;
  int64_t least = a.space.scalars[0], most = a.sums[0];
  *(int64_t*)a.space.data[1] = *(unsigned*)&a.sums[1] ? -1 : most > least ? most : least;
}

// How often each number below scalar 0 occurs.
KERNEL(bincount, GROUP_THREADS, const __grid_constant__ Counting a) {
  int64_t n = a.space.scalars[0];
  for (int64_t i = thread_number(); i < a.space.numel; i += thread_count()) {
    int64_t x = integer(a.space, 0, offsets_of<1>(a.space, i).at[0]);
    if (x < 0 || x >= n) raise(a.space.alarm, a.space.opcode, x, n);
    else atomicAdd((unsigned long long*)&a.sums[x], 1ull);
  }
}
// The keys of numbers, for weighted counts. Operand 1: keys.
KERNEL(bincount_keys, GROUP_THREADS, const __grid_constant__ Counting a) {
  int64_t n = a.space.scalars[0];
  for (int64_t i = thread_number(); i < a.space.numel; i += thread_count()) {
    int64_t x = integer(a.space, 0, offsets_of<1>(a.space, i).at[0]);
    if (x < 0 || x >= n) {
      raise(a.space.alarm, a.space.opcode, x, n);
      x = n;
    }
    ((uint64_t*)a.space.data[1])[i] = (uint64_t)x;
  }
}

// How many elements fall into each of so many bins (scalar 0) between two float64 (scalars 1 and 2), in the tensor's
// precision.
KERNEL(histc, GROUP_THREADS, const __grid_constant__ Counting a) {
  int64_t n = a.space.scalars[0];
  double low = number_of<double>(a.space.scalars[1]), high = number_of<double>(a.space.scalars[2]);
  bool is_double = a.space.dtypes[0] == F64;
  for (int64_t i = thread_number(); i < a.space.numel; i += thread_count()) {
    double x = load<double>(a.space.data[0], a.space.dtypes[0], offsets_of<1>(a.space, i).at[0]);
    if (!(x >= low && x <= high)) continue;
    int64_t bin = is_double ? (int64_t)((x - low) * (double)n / (high - low))
                            : (int64_t)(__fmul_rn((float)x - (float)low, (float)n) / ((float)high - (float)low));
    atomicAdd((unsigned long long*)&a.sums[bin < n ? bin : n - 1], 1ull);
  }
}
