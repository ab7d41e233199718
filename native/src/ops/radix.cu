// A sort by radix, byte by byte from the lowest, of slices of unsigned keys that each go with a place: the kernels of radix.rs.
// One counts the bytes of each tile, one joins the counts, one places the elements; equal keys stay in the order in which
// they lie, and no block waits for another.
#include "lines/scan_block.cuh"

using namespace toro;

namespace {

constexpr int THREADS = SCAN_THREADS;
constexpr int TILE = 4096;
constexpr int BUCKETS = 256;
constexpr int FEW = 16;  // tiles
constexpr int WARPS = THREADS / 32;
static_assert(THREADS == BUCKETS, "a thread takes a bucket");

// Mirrors Arguments in radix.rs.
struct Radix {
  int64_t slices;
  int64_t length;  // of each slice
  int64_t tiles;   // of each slice
  const void* keys;
  void* sorted_keys;
  const uint32_t* places;  // or null: where elements lie in their slice
  uint32_t* sorted_places;
  uint32_t* counts;  // slices, buckets, tiles
  uint32_t* totals;  // slices, buckets
  int32_t byte, unused;
};
static_assert(sizeof(Radix) == 80, "as in radix.rs");

template <class K> DEVICE int byte_of(const Radix& a, K key) { return (int)(key >> a.byte * 8 & 255); }

// How often each byte occurs in each tile.
template <class K> DEVICE void radix_count(const Radix& a) {
  __shared__ uint32_t counts[BUCKETS];
  for (int64_t b = blockIdx.x; b < a.slices * a.tiles; b += gridDim.x) {
    int64_t slice = b / a.tiles, tile = b % a.tiles, begin = tile * TILE;
    int64_t end = begin + TILE < a.length ? begin + TILE : a.length;
    counts[threadIdx.x] = 0;
    __syncthreads();
    const K* keys = (const K*)a.keys + slice * a.length;
    for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) atomicAdd(&counts[byte_of(a, keys[i])], 1u);
    __syncthreads();
    a.counts[(slice * BUCKETS + threadIdx.x) * a.tiles + tile] = counts[threadIdx.x];
  }
}

DEVICE int64_t sum_of(int64_t a, int64_t b) { return a + b; }

// The counts of a byte become those of the tiles before. A block takes one byte of one slice or, of few tiles, each of its
// threads does.
DEVICE void radix_offsets(const Radix& a) {
  if (a.tiles <= FEW) {
    for (int64_t row = thread_number(); row < a.slices * BUCKETS; row += thread_count()) {
      uint32_t before = 0;
      for (int64_t i = row * a.tiles; i < (row + 1) * a.tiles; i++) {
        uint32_t own = a.counts[i];
        a.counts[i] = before;
        before += own;
      }
      a.totals[row] = before;
    }
    return;
  }
  for (int64_t row = blockIdx.x; row < a.slices * BUCKETS; row += gridDim.x) {
    uint32_t* counts = a.counts + row * a.tiles;
    int64_t before = 0;
    for (int64_t tile = 0; tile < a.tiles; tile += THREADS) {
      int64_t i = tile + threadIdx.x, own = i < a.tiles ? counts[i] : 0, all;
      int64_t up_to = scan_block(own, (int64_t)0, sum_of, &all);
      if (i < a.tiles) counts[i] = (uint32_t)(before + up_to - own);
      before += all;
    }
    if (threadIdx.x == 0) a.totals[row] = (uint32_t)before;
  }
}

// Places the elements of each tile behind those of the tiles before, byte by byte. A warp takes a run of the tile, 32
// elements at a time; how many of the same byte lanes before it have, a lane learns by votes.
template <class K> DEVICE void radix_place(const Radix& a) {
  __shared__ uint32_t next[WARPS][BUCKETS];
  int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  for (int64_t b = blockIdx.x; b < a.slices * a.tiles; b += gridDim.x) {
    int64_t slice = b / a.tiles, tile = b % a.tiles;
    int64_t begin = tile * TILE + warp * (TILE / WARPS);
    int64_t end = begin + TILE / WARPS < a.length ? begin + TILE / WARPS : a.length;
    const K* keys = (const K*)a.keys + slice * a.length;
    for (int i = lane; i < BUCKETS; i += 32) next[warp][i] = 0;
    __syncwarp();
    for (int64_t i = begin + lane; i < end; i += 32) atomicAdd(&next[warp][byte_of(a, keys[i])], 1u);
    int64_t all, own = a.totals[slice * BUCKETS + threadIdx.x];
    int64_t at = scan_block(own, (int64_t)0, sum_of, &all) - own + a.counts[(slice * BUCKETS + threadIdx.x) * a.tiles + tile];
    for (int w = 0; w < WARPS; w++) {
      uint32_t count = next[w][threadIdx.x];
      next[w][threadIdx.x] = (uint32_t)at;
      at += count;
    }
    __syncthreads();
    for (int64_t first = begin; first < end; first += 32) {
      int64_t i = first + lane;
      bool is_there = i < end;
      K key = is_there ? keys[i] : (K)0;
      int digit = byte_of(a, key);
      unsigned same = __ballot_sync(ALL, is_there);
#pragma unroll
      for (int bit = 0; bit < 8; bit++) {
        unsigned votes = __ballot_sync(ALL, digit >> bit & 1);
        same &= digit >> bit & 1 ? votes : ~votes;
      }
      uint32_t to = next[warp][digit] + __popc(same & ((1u << lane) - 1));
      __syncwarp();
      if (is_there) {
        if (lane == __ffs((int)same) - 1) next[warp][digit] += __popc(same);
        ((K*)a.sorted_keys)[slice * a.length + to] = key;
        a.sorted_places[slice * a.length + to] = a.places ? a.places[slice * a.length + i] : (uint32_t)i;
      }
      __syncwarp();
    }
    // Before the next tile's counts come in.
    __syncthreads();
  }
}

}  // namespace

#define RADIX_KERNELS(name)                                                                   \
  KERNEL(name##_u32, THREADS, const __grid_constant__ Radix a) { name<uint32_t>(a); }         \
  KERNEL(name##_u64, THREADS, const __grid_constant__ Radix a) { name<uint64_t>(a); }
RADIX_KERNELS(radix_count)
RADIX_KERNELS(radix_place)
KERNEL(radix_offsets_all, THREADS, const __grid_constant__ Radix a) { radix_offsets(a); }
