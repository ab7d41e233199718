// Grouping by key: a radix sort that keeps the order of equal keys, six bits at a time, and the runs of equal keys. No block
// waits for another: each pass counts digits by tiles, one block sums the counts up, then every tile knows its places.
#include "grouping/grouping.cuh"

using namespace toro;

namespace {

constexpr int DIGITS = 64;

// Mirrors Arguments in grouping.rs.
struct Grouping {
  int64_t n, tiles;
  int32_t shift, is_first;
  uint64_t limit;
  const uint64_t* keys;
  uint64_t* keys_out;
  const uint32_t* order;
  uint32_t* order_out;
  int64_t* counts;  // (DIGITS, tiles) while sorting, else (tiles)
  uint32_t* starts;
  int64_t* count;
};
static_assert(sizeof(Grouping) == 88, "as in grouping.rs");

DEVICE int digit_of(const Grouping& a, uint64_t key) { return (int)(key >> a.shift) & (DIGITS - 1); }

// A group begins at place i.
DEVICE bool is_head(const Grouping& a, int64_t i) {
  return i < a.n && a.keys[i] < a.limit && (i == 0 || a.keys[i] != a.keys[i - 1]);
}

// Each thread's counters of a tile, digit by digit, with a gap that spreads them over the banks.
constexpr int COUNTERS = DIGITS * GROUP_THREADS;
DEVICE int counter_at(int i) { return i + i / DIGITS * 2; }

// Mirrors Scan in grouping.rs.
struct Scan {
  int64_t* x;
  int64_t n;
};

}  // namespace

// How often each digit occurs in each tile.
KERNEL(group_count, GROUP_THREADS, const __grid_constant__ Grouping a) {
  __shared__ int counts[DIGITS];
  for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
    if (threadIdx.x < DIGITS) counts[threadIdx.x] = 0;
    __syncthreads();
    for (int j = 0; j < EACH; j++) {
      int64_t i = tile * TILE + j * GROUP_THREADS + threadIdx.x;
      if (i < a.n) atomicAdd(&counts[digit_of(a, a.keys[i])], 1);
    }
    __syncthreads();
    if (threadIdx.x < DIGITS) a.counts[threadIdx.x * a.tiles + tile] = counts[threadIdx.x];
    // The next tile's counts begin at zero.
    __syncthreads();
  }
}

// Replaces each of n numbers by the sum of those before it; the sum of all goes behind them. One block.
KERNEL(group_scan, GROUP_THREADS, const __grid_constant__ Scan a) {
  int64_t before = 0;
  for (int64_t first = 0; first < a.n; first += TILE) {
    int64_t own[EACH], sum = 0, all;
    int64_t from = first + threadIdx.x * EACH;
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      own[j] = from + j < a.n ? a.x[from + j] : 0;
      sum += own[j];
    }
    int64_t at = before + scan_block(sum, &all);
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      if (from + j < a.n) a.x[from + j] = at;
      at += own[j];
    }
    before += all;
  }
  if (threadIdx.x == 0) a.x[a.n] = before;
}

// Puts each key and its place where its digit belongs, behind equal digits that come before it.
KERNEL(group_scatter, GROUP_THREADS, const __grid_constant__ Grouping a) {
  __shared__ uint16_t counters[COUNTERS + COUNTERS / DIGITS * 2];
  __shared__ int firsts[DIGITS];
  for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
    for (int d = 0; d < DIGITS; d++) counters[counter_at(d * GROUP_THREADS + threadIdx.x)] = 0;
    __syncthreads();
    int64_t from = tile * TILE + threadIdx.x * EACH;
    for (int j = 0; j < EACH; j++) {
      if (from + j < a.n) counters[counter_at(digit_of(a, a.keys[from + j]) * GROUP_THREADS + threadIdx.x)]++;
    }
    __syncthreads();
    int sum = 0, all;
    for (int i = 0; i < DIGITS; i++) sum += counters[counter_at(threadIdx.x * DIGITS + i)];
    int at = scan_block(sum, &all);
    for (int i = 0; i < DIGITS; i++) {
      int place = counter_at(threadIdx.x * DIGITS + i), own = counters[place];
      counters[place] = (uint16_t)at;
      at += own;
    }
    __syncthreads();
    if (threadIdx.x < DIGITS) firsts[threadIdx.x] = counters[counter_at(threadIdx.x * GROUP_THREADS)];
    __syncthreads();
    for (int j = 0; j < EACH; j++) {
      if (from + j >= a.n) break;
      uint64_t key = a.keys[from + j];
      int digit = digit_of(a, key), place = counter_at(digit * GROUP_THREADS + threadIdx.x);
      int64_t to = a.counts[digit * a.tiles + tile] + counters[place]++ - firsts[digit];
      a.keys_out[to] = key;
      a.order_out[to] = a.is_first ? (uint32_t)(from + j) : a.order[from + j];
    }
    __syncthreads();
  }
}

// How many groups begin in each tile.
KERNEL(group_heads, GROUP_THREADS, const __grid_constant__ Grouping a) {
  for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
    int heads = 0, all;
    for (int j = 0; j < EACH; j++) heads += is_head(a, tile * TILE + threadIdx.x * EACH + j);
    scan_block(heads, &all);
    if (threadIdx.x == 0) a.counts[tile] = all;
  }
}

// Where each group begins, where the last one ends, and how many there are.
KERNEL(group_starts, GROUP_THREADS, const __grid_constant__ Grouping a) {
  if (a.n == 0 && thread_number() == 0) a.starts[0] = (uint32_t)(*a.count = 0);
  for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
    int64_t from = tile * TILE + threadIdx.x * EACH;
    int heads = 0, all;
    for (int j = 0; j < EACH; j++) heads += is_head(a, from + j);
    int64_t group = a.counts[tile] + scan_block(heads, &all);
    for (int j = 0; j < EACH; j++) {
      int64_t i = from + j;
      if (i >= a.n) break;
      if (is_head(a, i)) a.starts[group++] = (uint32_t)i;
      bool counts = a.keys[i] < a.limit, is_end = counts ? i == a.n - 1 : i == 0 || a.keys[i - 1] < a.limit;
      if (is_end) {
        a.starts[group] = (uint32_t)(counts ? a.n : i);
        *a.count = group;
      }
    }
  }
}
