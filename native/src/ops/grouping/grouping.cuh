// What belongs together by key: keys in order, each with the place it came from, and where the runs of equal keys begin.
// The kernels that make it are in grouping.cu.
#pragma once
#include "../lines/scan_block.cuh"

namespace toro {

constexpr int GROUP_THREADS = SCAN_THREADS;
constexpr int TILE = 2048;  // things that a block takes at a time
constexpr int EACH = TILE / GROUP_THREADS;

// Mirrors View in grouping.rs: `count` groups; group g has the places order[starts[g]] … order[starts[g + 1] - 1], which
// ascend, and the key keys[starts[g]].
struct Groups {
  const uint64_t* keys;
  const uint32_t* order;
  const uint32_t* starts;
  const int64_t* count;
};

// The sum of x over the threads before this one, and that over all. Every thread of a block of 256 must call it.
template <class T> DEVICE T scan_block(T x, T* total) {
  return scan_block(x, (T)0, [](T a, T b) { return a + b; }, total) - x;
}

}  // namespace toro
