// The engine of reductions, the counterpart of reduce.rs: kept and reduced loops of any strides. One thread, one warp or
// one block of 256 takes an output; where outputs are few, the reduced loop is cut into pieces (grid y) whose totals a second
// kernel joins. How many take part depends on the shape only, and so does the order in which they are joined.
//
// A kind has a Lane, what a thread sums 64 elements in, and a Total, what those sums are joined in: float32 sums go through
// float32 for 64 elements and are joined in float64, as on the CPU.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int REDUCE_THREADS = 256;
constexpr int REDUCE_WARPS = REDUCE_THREADS / 32;
constexpr int RUN = 64;

// Mirrors Arguments in reduce/cuda.rs.
struct Reduce {
  int64_t outs, count, piece;
  int32_t pieces, lanes;
  int32_t kept_ndim, reduced_ndim;
  int32_t x_dtype, out_dtype;
  const void* x;
  const double* aux;
  void* out;
  void* totals;
  double parameters[2];
  int64_t kept_sizes[MAX_DIMS];
  int64_t kept_strides[MAX_DIMS][3];
  int64_t reduced_sizes[MAX_DIMS];
  int64_t reduced_strides[MAX_DIMS];
};
static_assert(sizeof(Reduce) == 864, "as in reduce/cuda.rs");

struct Places { int64_t out, x, aux; };

DEVICE Places kept_places(const Reduce& a, int64_t i) {
  Places p = {0, 0, 0};
#pragma unroll 1
  for (int d = a.kept_ndim - 1; d >= 0; d--) {
    int64_t size = a.kept_sizes[d], rest = i / size, at = i - rest * size;
    p.out += at * a.kept_strides[d][0];
    p.x += at * a.kept_strides[d][1];
    p.aux += at * a.kept_strides[d][2];
    i = rest;
  }
  return p;
}

DEVICE int64_t reduced_place(const Reduce& a, int64_t i) {
  int64_t offset = 0;
#pragma unroll 1
  for (int d = a.reduced_ndim - 1; d > 0; d--) {
    int64_t size = a.reduced_sizes[d], rest = i / size;
    offset += (i - rest * size) * a.reduced_strides[d];
    i = rest;
  }
  return offset + i * a.reduced_strides[0];
}

// The total over all threads that take one output, in each of them. Every thread of the block must call it.
template <class K> DEVICE typename K::Total gather_total(const K& kind, typename K::Total total, int lanes) {
  if (lanes == 1) return total;
#pragma unroll
  for (int with = 16; with > 0; with /= 2) total = kind.merge(total, __shfl_xor_sync(ALL, total, with));
  if (lanes == 32) return total;
  __shared__ typename K::Total parts[REDUCE_WARPS];
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = total;
  __syncthreads();
  total = parts[0];
#pragma unroll
  for (int w = 1; w < REDUCE_WARPS; w++) total = kind.merge(total, parts[w]);
  return total;
}

// Block of 256 threads; grid x over outputs, y over pieces.
template <class C, class K> DEVICE void reduce(const Reduce& a) {
  K kind(a);
  int per_block = REDUCE_THREADS / a.lanes, lane = threadIdx.x % a.lanes;
  int64_t from = blockIdx.y * a.piece;
  int64_t end = from + a.piece < a.count ? from + a.piece : a.count;
  for (int64_t first = (int64_t)blockIdx.x * per_block; first < a.outs; first += (int64_t)gridDim.x * per_block) {
    int64_t o = first + threadIdx.x / a.lanes;
    bool is_there = o < a.outs;
    Places places = kept_places(a, is_there ? o : 0);
    auto total = kind.zero();
    if (is_there) {
      double aux = a.aux ? a.aux[places.aux] : 0.0;
      auto sum = kind.start();
      int taken = 0;
      for (int64_t i = from + lane; i < end; i += a.lanes) {
        sum = kind.step(sum, load<C>(a.x, a.x_dtype, places.x + reduced_place(a, i)), aux);
        if (++taken == RUN) {
          total = kind.join(total, sum);
          sum = kind.start();
          taken = 0;
        }
      }
      total = kind.join(total, sum);
    }
    total = gather_total(kind, total, a.lanes);
    if (is_there && lane == 0) {
      if (a.pieces == 1) store(a.out, a.out_dtype, places.out, kind.finish(total, a.count));
      else ((typename K::Total*)a.totals)[blockIdx.y * a.outs + o] = total;
    }
    // The next outputs' totals go where these are still being read.
    if (a.lanes > 32) __syncthreads();
  }
}

// Joins the pieces of each output, one thread each.
template <class K> DEVICE void join_pieces(const Reduce& a) {
  K kind(a);
  for (int64_t o = thread_number(); o < a.outs; o += thread_count()) {
    auto total = kind.zero();
    for (int p = 0; p < a.pieces; p++) total = kind.merge(total, ((const typename K::Total*)a.totals)[p * a.outs + o]);
    store(a.out, a.out_dtype, kept_places(a, o).out, kind.finish(total, a.count));
  }
}

}  // namespace toro

// The two kernels of a kind in one compute type.
#define REDUCE_KERNELS(name, type, suffix, Kind)                                                         \
  KERNEL(reduce_##name##_##suffix, toro::REDUCE_THREADS, const __grid_constant__ toro::Reduce a) {       \
    toro::reduce<type, Kind<type>>(a);                                                                   \
  }                                                                                                      \
  KERNEL(join_##name##_##suffix, toro::REDUCE_THREADS, const __grid_constant__ toro::Reduce a) {         \
    toro::join_pieces<Kind<type>>(a);                                                                    \
  }
#define REDUCE_real(name, Kind) REDUCE_KERNELS(name, float, f32, Kind) REDUCE_KERNELS(name, double, f64, Kind)
#define REDUCE_all(name, Kind) REDUCE_real(name, Kind) REDUCE_KERNELS(name, int64_t, i64, Kind)
