// Few things, which one block groups in one launch. Threads keep keys and places in registers and hand them on through shared
// memory, byte by byte from the lowest; equal keys stay in the order in which they lie, as radix.cu keeps them.
#pragma once
#include "grouping.cuh"

namespace toro {

constexpr int FEW_THREADS = 1024;
constexpr int FEW_EACH = 8;             // things of a thread
constexpr int FEW_RUN = 32 * FEW_EACH;  // of a warp, which takes 32 neighbours at a time
constexpr int BUCKETS = 256;

// Mirrors Few in grouping.rs: n things, of which those with a key below the limit get groups. There are enough warps, and
// for each of them 4 bytes of shared memory a bucket and one more, 6 a thing; 4 a bucket beside.
struct Few {
  int64_t n;
  uint64_t limit;  // below 2^32 - 1
  int64_t bytes;   // of a key
  uint64_t* keys;
  uint32_t *order, *starts;
  int64_t* count;
};

// As group_heads, group_scan and group_starts behind a sort; key_of(i) is at most the limit.
template <class F> DEVICE void make_groups(const Few& a, F key_of) {
  SHARED(uint32_t, keys);  // (things)
  int warps = blockDim.x / 32, lane = threadIdx.x & 31, warp = threadIdx.x / 32;
  uint32_t* counts = keys + warps * FEW_RUN;  // (warps, buckets)
  uint32_t* totals = counts + warps * BUCKETS;
  uint32_t* heads = totals + BUCKETS;            // (warps)
  uint16_t* places = (uint16_t*)(heads + warps);  // (things)
  uint32_t *own = counts + warp * BUCKETS, limit = (uint32_t)a.limit;
  int n = (int)a.n, first = warp * FEW_RUN + lane;
  uint32_t key[FEW_EACH], rank[FEW_EACH];
  uint16_t place[FEW_EACH];
#pragma unroll
  for (int j = 0; j < FEW_EACH; j++) {
    int i = first + 32 * j;
    // What is beyond the last one stays behind it.
    key[j] = i < n ? key_of(i) : 0xffffffffu;
    place[j] = (uint16_t)i;
  }
  for (int byte = 0; byte < (int)a.bytes; byte++) {
    for (int b = lane; b < BUCKETS; b += 32) own[b] = 0;
    __syncwarp();
    // How many of the same byte lie before each thing in the warp's run.
#pragma unroll
    for (int j = 0; j < FEW_EACH; j++) {
      int digit = key[j] >> byte * 8 & 255;
      unsigned same = ALL;
#pragma unroll
      for (int bit = 0; bit < 8; bit++) {
        unsigned votes = __ballot_sync(ALL, digit >> bit & 1);
        same &= digit >> bit & 1 ? votes : ~votes;
      }
      int before = __popc(same & ((1u << lane) - 1));
      rank[j] = own[digit] + before;
      __syncwarp();
      if (before == 0) own[digit] += __popc(same);
      __syncwarp();
    }
    __syncthreads();
    // In the runs before, then those of lower bytes.
    for (int b = threadIdx.x; b < BUCKETS; b += blockDim.x) {
      uint32_t sum = 0;
      for (int w = 0; w < warps; w++) {
        uint32_t count = counts[w * BUCKETS + b];
        counts[w * BUCKETS + b] = sum;
        sum += count;
      }
      totals[b] = sum;
    }
    __syncthreads();
    if (warp == 0) {
      int count[BUCKETS / 32], sum = 0;
#pragma unroll
      for (int b = 0; b < BUCKETS / 32; b++) sum += count[b] = (int)totals[lane * (BUCKETS / 32) + b];
      int at = sum;
#pragma unroll
      for (int by = 1; by < 32; by *= 2) {
        int before = __shfl_up_sync(ALL, at, by);
        if (lane >= by) at += before;
      }
      at -= sum;
#pragma unroll
      for (int b = 0; b < BUCKETS / 32; b++) {
        totals[lane * (BUCKETS / 32) + b] = (uint32_t)at;
        at += count[b];
      }
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < FEW_EACH; j++) {
      int digit = key[j] >> byte * 8 & 255;
      uint32_t to = totals[digit] + own[digit] + rank[j];
      keys[to] = key[j];
      places[to] = place[j];
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < FEW_EACH; j++) {
      key[j] = keys[first + 32 * j];
      place[j] = places[first + 32 * j];
    }
  }
  unsigned begins[FEW_EACH];
  uint32_t group = 0;
#pragma unroll
  for (int j = 0; j < FEW_EACH; j++) {
    int i = first + 32 * j;
    begins[j] = __ballot_sync(ALL, i < n && key[j] < limit && (i == 0 || key[j] != keys[i - 1]));
    group += __popc(begins[j]);
  }
  if (lane == 0) heads[warp] = group;
  __syncthreads();
  group = 0;
  for (int w = 0; w < warp; w++) group += heads[w];
#pragma unroll
  for (int j = 0; j < FEW_EACH; j++) {
    int i = first + 32 * j;
    // With the one that begins here.
    uint32_t groups = group + __popc(begins[j] & ((2u << lane) - 1));
    group += __popc(begins[j]);
    if (i >= n) continue;
    a.keys[i] = key[j];
    a.order[i] = place[j];
    if (begins[j] >> lane & 1) a.starts[groups - 1] = (uint32_t)i;
    bool counts = key[j] < limit, is_end = counts ? i == n - 1 : i == 0 || keys[i - 1] < limit;
    if (is_end) {
      a.starts[groups] = (uint32_t)(counts ? n : i);
      *a.count = groups;
    }
  }
  if (n == 0 && threadIdx.x == 0) a.starts[0] = (uint32_t)(*a.count = 0);
}

}  // namespace toro
