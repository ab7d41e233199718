// Order: the kernels of sorting.rs and of the orders of rows in searching.rs. Elements become keys, unsigned integers in
// whose order NaN comes last and -0 equals +0; a key goes with the element's place in its slice, so that every order is total.
//
// Where few elements are asked for, or slices are short, tiles of 2,048 are sorted in shared memory and each keeps its first
// ones, level by level until one tile is left. Else keys are sorted by radix.cu.
#include "lines/pieces.cuh"

using namespace toro;

namespace {

constexpr int SORT_TILE = 2048;

// Mirrors Sort in sorting/cuda.rs.
struct Sort {
  Lines lines;         // operands values (or nothing), indices, x, whose slices are the lines
  int64_t first_slice; // of those that are sorted in this launch
  int64_t slices;
  int64_t length;      // elements of each slice at this level
  int64_t tiles;       // of each slice
  int64_t keep;        // of each tile, or of each slice in what is stored
  int64_t from;        // the first place in the order that is stored
  const void* keys;    // of each slice, or null: x is read
  void* sorted_keys;
  const uint32_t* places;
  uint32_t* sorted_places;
  int32_t is_descending, unused;
};
static_assert(sizeof(Sort) == 2624, "as in sorting/cuda.rs");

template <class U> DEVICE U float_key(U bits, U infinity) {
  constexpr U SIGN = (U)((U)1 << (sizeof(U) * 8 - 1));
  if ((U)(bits & (U)~SIGN) > infinity) return (U)~(U)0;
  if (bits == SIGN) return SIGN;
  return bits & SIGN ? (U)~bits : (U)(bits | SIGN);
}

// The key of element i, as wide as the element.
template <class K> __device__ __noinline__ K key_of(const void* p, int dtype, int64_t i, bool is_descending) {
  K key;
  if constexpr (sizeof(K) == 8) {
    uint64_t bits = ((const uint64_t*)p)[i];
    key = dtype == F64 ? float_key<uint64_t>(bits, 0x7ff0000000000000ull) : bits ^ (uint64_t)1 << 63;
    return is_descending ? ~key : key;
  } else {
    K mask = 0xffffffffu;
    switch (dtype) {
      case F32: key = float_key<uint32_t>(((const uint32_t*)p)[i], 0x7f800000u); break;
      case I32: key = ((const uint32_t*)p)[i] ^ 0x80000000u; break;
      case F16: key = float_key<uint16_t>(((const uint16_t*)p)[i], 0x7c00), mask = 0xffff; break;
      case BF16: key = float_key<uint16_t>(((const uint16_t*)p)[i], 0x7f80), mask = 0xffff; break;
      case I16: key = ((const uint16_t*)p)[i] ^ 0x8000u, mask = 0xffff; break;
      case I8: key = ((const uint8_t*)p)[i] ^ 0x80u, mask = 0xff; break;
      case U8: key = ((const uint8_t*)p)[i], mask = 0xff; break;
      default: key = ((const uint8_t*)p)[i] != 0, mask = 0xff;
    }
    return is_descending ? ~key & mask : key;
  }
}

template <class K> DEVICE K key_at(const Sort& a, int64_t start, int64_t i) {
  return key_of<K>(a.lines.lines[2].data, a.lines.lines[2].dtype, start + inner_place(a.lines, 2, i), a.is_descending);
}

// Copies an element's bits.
DEVICE void move(void* to, int64_t i, const void* from, int64_t j, int dtype) {
  switch (dtype) {
    case F64: case I64: ((uint64_t*)to)[i] = ((const uint64_t*)from)[j]; break;
    case F32: case I32: ((uint32_t*)to)[i] = ((const uint32_t*)from)[j]; break;
    case F16: case BF16: case I16: ((uint16_t*)to)[i] = ((const uint16_t*)from)[j]; break;
    default: ((uint8_t*)to)[i] = ((const uint8_t*)from)[j];
  }
}

// ---- tiles in shared memory

// Sorts each tile (Batcher's bitonic network) and keeps its first elements. Any number of threads.
template <class K> DEVICE void sort_tiles(const Sort& a) {
  __shared__ K keys[SORT_TILE];
  __shared__ uint32_t places[SORT_TILE];
  int64_t last = a.length - (a.tiles - 1) * SORT_TILE;
  int64_t kept = (a.tiles - 1) * a.keep + (last < a.keep ? last : a.keep);
  for (int64_t b = blockIdx.x; b < a.slices * a.tiles; b += gridDim.x) {
    int64_t slice = b / a.tiles, tile = b % a.tiles, begin = tile * SORT_TILE;
    int n = (int)(tile + 1 == a.tiles ? last : SORT_TILE), width = 32;
    while (width < n) width *= 2;
    int64_t start = line_start(a.lines, 2, a.first_slice + slice);
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
      int64_t at = begin + i, in = slice * a.length + at;
      bool is_there = i < n;
      keys[i] = !is_there ? (K)~(K)0 : a.keys ? ((const K*)a.keys)[in] : key_at<K>(a, start, at);
      places[i] = !is_there ? 0xffffffffu : a.keys ? a.places[in] : (uint32_t)at;
    }
    __syncthreads();
    for (int size = 2; size <= width; size *= 2) {
      for (int step = size / 2; step > 0; step /= 2) {
        for (int t = threadIdx.x; t < width / 2; t += blockDim.x) {
          int i = 2 * t - (t & (step - 1)), j = i + step;
          bool is_up = (i & size) == 0, is_less = keys[j] < keys[i] || (keys[j] == keys[i] && places[j] < places[i]);
          if (is_less != is_up) continue;
          K key = keys[i];
          uint32_t place = places[i];
          keys[i] = keys[j], places[i] = places[j];
          keys[j] = key, places[j] = place;
        }
        __syncthreads();
      }
    }
    for (int64_t i = threadIdx.x; i < n && i < a.keep; i += blockDim.x) {
      int64_t to = slice * kept + tile * a.keep + i;
      ((K*)a.sorted_keys)[to] = keys[i];
      a.sorted_places[to] = places[i];
    }
    // Before the next tile comes in.
    __syncthreads();
  }
}

// ---- for a sort by radix

// Keys and places of all elements, in an order that is already there (of one slice) or that in which they lie.
template <class K> DEVICE void sort_keys(const Sort& a) {
  for (int64_t i = thread_number(); i < a.slices * a.length; i += thread_count()) {
    int64_t slice = i / a.length, at = a.places ? a.places[i] : i - slice * a.length;
    ((K*)a.sorted_keys)[i] = key_at<K>(a, line_start(a.lines, 2, a.first_slice + slice), at);
    a.sorted_places[i] = (uint32_t)at;
  }
}

// ---- results

// The elements from..from + keep of each slice's order become values and indices; without places the order is that in which
// they lie.
DEVICE void sort_store(const Sort& a) {
  const Line* lines = a.lines.lines;
  for (int64_t i = thread_number(); i < a.slices * a.keep; i += thread_count()) {
    int64_t slice = i / a.keep, rank = i - slice * a.keep, line = a.first_slice + slice;
    int64_t at = a.places ? (int64_t)a.places[slice * a.length + a.from + rank] : rank;
    int64_t to = line_start(a.lines, 1, line) + inner_place(a.lines, 1, rank);
    ((int64_t*)lines[1].data)[to] = at;
    if (!has(a.lines, 0)) continue;
    int64_t value = line_start(a.lines, 0, line) + inner_place(a.lines, 0, rank);
    move(lines[0].data, value, lines[2].data, line_start(a.lines, 2, line) + inner_place(a.lines, 2, at), lines[2].dtype);
  }
}

}  // namespace

#define SORT_KERNELS(name)                                                                                            \
  KERNEL(name##_u32, LINE_THREADS, const __grid_constant__ Sort a) { name<uint32_t>(a); }                             \
  KERNEL(name##_u64, LINE_THREADS, const __grid_constant__ Sort a) { name<uint64_t>(a); }
SORT_KERNELS(sort_tiles)
SORT_KERNELS(sort_keys)
KERNEL(sort_store_all, LINE_THREADS, const __grid_constant__ Sort a) { sort_store(a); }
