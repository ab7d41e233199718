// Grouping by key: the runs of equal keys, which radix.cu has put in order. No block waits for another: each counts the runs
// that begin in its tile, one block sums the counts up, then every tile knows where its own go. Few keys one block orders too.
#include "grouping/few.cuh"

using namespace toro;

namespace {

// Mirrors Arguments in grouping.rs.
struct Grouping {
  int64_t n, tiles;
  uint64_t limit;
  const uint64_t* keys;
  int64_t* counts;  // (tiles)
  uint32_t* starts;
  int64_t* count;
};
static_assert(sizeof(Grouping) == 56, "as in grouping.rs");

// A group begins at place i.
DEVICE bool is_head(const Grouping& a, int64_t i) {
  return i < a.n && a.keys[i] < a.limit && (i == 0 || a.keys[i] != a.keys[i - 1]);
}

// Mirrors Scan in grouping.rs.
struct Scan {
  int64_t* x;
  int64_t n;
};

}  // namespace

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

// All of it at once, for few. One block.
KERNEL(group_few, FEW_THREADS, const __grid_constant__ Few a) {
  make_groups(a, [&](int i) { return (uint32_t)a.keys[i]; });
}
