// The engine of reductions, the counterpart of reduce.rs: kept and reduced loops of any strides. One thread, one warp or
// one block of 256 takes an output; where outputs are few, the reduced loop is cut into pieces (grid y) whose totals a second
// kernel joins. How many take part depends on the shape only, and so does the order in which they are joined.
// Where four elements of the reduced loop are neighbours a thread reads them at once (ALONG); where four outputs' are, it takes
// the four outputs, and eight threads share their rows (ACROSS).
//
// A kind has a Lane, what a thread sums 64 elements in, and a Total, what those sums are joined in: float32 sums go through
// float32 for 64 elements and are joined in float64, as on the CPU.
#pragma once
#include "device.cuh"

namespace toro {

constexpr int REDUCE_THREADS = 256;
constexpr int REDUCE_WARPS = REDUCE_THREADS / 32;
constexpr int RUN = 64;

enum Way : int { SINGLE, ALONG, ACROSS };
// Outputs that a block has side by side where a thread takes four, and threads below each other.
constexpr int BESIDE = 32, BELOW = REDUCE_THREADS / BESIDE;

// Mirrors Arguments in reduce/cuda.rs.
struct Reduce {
  int64_t outs, count, piece;
  int32_t pieces, lanes;
  int32_t kept_ndim, reduced_ndim;
  int32_t x_dtype, out_dtype;
  int32_t way, unused;
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
static_assert(sizeof(Reduce) == 872, "as in reduce/cuda.rs");

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

// Only for its type.
template <class K> const K& some();

// What a thread has summed, 64 elements at a time.
template <class K> struct Running {
  decltype(some<K>().start()) sum;
  typename K::Total total;
  int taken;
  explicit DEVICE Running(const K& kind) : sum(kind.start()), total(kind.zero()), taken(0) {}
  template <class C> DEVICE void take(const K& kind, C x, double aux) { sum = kind.step(sum, x, aux); }
  // So many more have been taken.
  DEVICE void count(const K& kind, int n) {
    if ((taken += n) < RUN) return;
    end(kind);
    sum = kind.start();
    taken = 0;
  }
  DEVICE void end(const K& kind) { total = kind.join(total, sum); }
};

// Four outputs a thread, each eighth row of a piece. Grid x over 128 outputs, y over pieces.
template <class K> DEVICE void reduce_across(const Reduce& a) {
  __shared__ typename K::Total parts[BELOW][BESIDE * 4];
  K kind(a);
  int beside = threadIdx.x % BESIDE, below = threadIdx.x / BESIDE;
  int64_t from = blockIdx.y * a.piece, end = from + a.piece < a.count ? from + a.piece : a.count;
  for (int64_t strip = (int64_t)blockIdx.x * BESIDE * 4; strip < a.outs; strip += (int64_t)gridDim.x * BESIDE * 4) {
    int64_t o = strip + beside * 4;
    if (o < a.outs) {
      int64_t start = kept_places(a, o).x;
      Running<K> running[4] = {Running<K>(kind), Running<K>(kind), Running<K>(kind), Running<K>(kind)};
      constexpr int WAYS = 4;
      for (int64_t i = from + below; i < end; i += WAYS * BELOW) {
        Quad raw[WAYS];
#pragma unroll
        for (int w = 0; w < WAYS; w++) if (i + w * BELOW < end) raw[w] = load_quad(a.x, a.x_dtype, start + reduced_place(a, i + w * BELOW));
#pragma unroll
        for (int w = 0; w < WAYS; w++) {
          if (i + w * BELOW >= end) break;
          float x[4];
          floats_of(raw[w], a.x_dtype, x);
#pragma unroll
          for (int j = 0; j < 4; j++) running[j].take(kind, x[j], 0.0);
        }
#pragma unroll
        for (int j = 0; j < 4; j++) running[j].count(kind, WAYS);
      }
#pragma unroll
      for (int j = 0; j < 4; j++) {
        running[j].end(kind);
        parts[below][beside * 4 + j] = running[j].total;
      }
    }
    __syncthreads();
    if (threadIdx.x < BESIDE * 4 && strip + threadIdx.x < a.outs) {
      auto total = parts[0][threadIdx.x];
      for (int k = 1; k < BELOW; k++) total = kind.merge(total, parts[k][threadIdx.x]);
      int64_t out = strip + threadIdx.x;
      if (a.pieces == 1) store(a.out, a.out_dtype, kept_places(a, out).out, kind.finish(total, a.count));
      else ((typename K::Total*)a.totals)[blockIdx.y * a.outs + out] = total;
    }
    // Before anybody writes the parts again.
    __syncthreads();
  }
}

// Block of 256 threads; grid x over outputs, y over pieces.
template <class C, class K> DEVICE void reduce(const Reduce& a) {
  if constexpr (sizeof(C) == 4) if (a.way == ACROSS) return reduce_across<K>(a);
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
      Running<K> running(kind);
      int64_t i = from + lane;
      if constexpr (sizeof(C) == 4) if (a.way == ALONG) {
        constexpr int WAYS = 4;
        int64_t whole = from + ((end - from) & ~(int64_t)3), step = a.lanes * 4;
        for (int64_t at = from + lane * 4; at < whole; at += WAYS * step) {
          Quad raw[WAYS];
#pragma unroll
          for (int w = 0; w < WAYS; w++) if (at + w * step < whole) raw[w] = load_quad(a.x, a.x_dtype, places.x + at + w * step);
#pragma unroll
          for (int w = 0; w < WAYS; w++) {
            if (at + w * step >= whole) break;
            float x[4];
            floats_of(raw[w], a.x_dtype, x);
#pragma unroll
            for (int j = 0; j < 4; j++) running.take(kind, x[j], aux);
            running.count(kind, 4);
          }
        }
        i = whole + lane;
      }
      for (; i < end; i += a.lanes) {
        running.take(kind, load<C>(a.x, a.x_dtype, places.x + reduced_place(a, i)), aux);
        running.count(kind, 1);
      }
      running.end(kind);
      total = running.total;
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

// Joins the pieces of each output, one warp each.
template <class K> DEVICE void join_pieces(const Reduce& a) {
  K kind(a);
  for (int64_t o = thread_number() / 32; o < a.outs; o += thread_count() / 32) {
    auto total = kind.zero();
    for (int p = threadIdx.x % 32; p < a.pieces; p += 32) total = kind.merge(total, ((const typename K::Total*)a.totals)[p * a.outs + o]);
    total = gather_total(kind, total, 32);
    if (threadIdx.x % 32 == 0) store(a.out, a.out_dtype, kept_places(a, o).out, kind.finish(total, a.count));
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
