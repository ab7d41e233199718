// What the kernels of attention are given, and how their operands are found.
#pragma once
#include "device.cuh"

namespace toro {

enum Part : int { Q, K, V, OUT, G, GQ, GK, GV, MASK, PARTS };

struct Attended {
  void* data;
  // Of groups (0 for keys and values), of rows, of columns.
  int64_t group, row, column;
  int64_t batch[MAX_DIMS];
  int32_t dtype, unused;
};

// Mirrors Arguments in attention/cuda.rs.
struct Attention {
  // Items of the batch, groups of query heads to each head of keys; sizes of a head.
  int64_t items, groups, queries, keys, head, value;
  double scale;
  int32_t causal, batch_ndim;
  int64_t batch_sizes[MAX_DIMS];
  Attended parts[PARTS];
  // Of each query, in the compute type.
  void *lse, *delta;
  // A bit for each operand whose rows can be read by 16 bytes.
  int32_t aligned, unused;
};
static_assert(sizeof(Attention) == 1728, "as in attention/cuda.rs");

// One head of queries, with where its operands begin.
struct Head {
  int64_t number, group, item;
};

DEVICE Head find_head(const Attention& p, int64_t number) { return {number, number % p.groups, number / p.groups}; }

// Where an item of the batch begins in an operand.
static __device__ __noinline__ int64_t item_start(const Attention& p, int part, int64_t item) {
  int64_t start = 0;
#pragma unroll 1
  for (int d = p.batch_ndim - 1; d >= 0; d--) {
    int64_t size = p.batch_sizes[d], rest = item / size;
    start += (item - rest * size) * p.parts[part].batch[d];
    item = rest;
  }
  return start;
}

// Rows of an operand from some row and column on.
struct Rows {
  const void* data;
  int64_t row, column;
  int dtype;
  template <class C> DEVICE C get(int64_t r, int64_t c) const { return load_quick<C>(data, dtype, r * row + c * column); }
  template <class C> DEVICE void put(int64_t r, int64_t c, C x) const { store_quick<C>((void*)data, dtype, r * row + c * column, x); }
};

DEVICE Rows rows_of(const Attention& p, int part, const Head& h, int64_t row, int64_t column) {
  const Attended& o = p.parts[part];
  int64_t start = item_start(p, part, h.item) + h.group * o.group + row * o.row + column * o.column;
  return {element(o.data, o.dtype, start), o.row, o.column, o.dtype};
}

// A score of row r and column c of a tile, with its mask: added, or, where the mask is bool, shut out where it is false.
template <class C> DEVICE C with_mask(const Rows& mask, int64_t r, int64_t c, C score) {
  if (!mask.data) return score;
  C x = mask.get<C>(r, c);
  if (mask.dtype == BOOL) return x == (C)0 ? (C)-INFINITY : score;
  return score + x;
}

// The mask of a tile of scores, or nothing.
DEVICE Rows mask_of(const Attention& p, const Head& h, int64_t query, int64_t key) {
  return p.parts[MASK].data ? rows_of(p, MASK, h, query, key) : Rows{};
}

}  // namespace toro
