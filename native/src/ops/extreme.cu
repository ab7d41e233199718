// Extremes with their places: the kernels of extreme.rs. The first of equal elements wins, and NaN wins over every number.
// A block takes a line, or a thread where lines lie side by side; where lines are few each is cut into pieces whose extremes
// a second kernel joins.
#include "lines/pieces.cuh"

using namespace toro;

namespace {

// Operands: values (or nothing), places, x. Number 0: whether the greatest is wanted.
template <class C> struct Best {
  C value;
  int64_t place;  // -1: nothing yet
};

template <class C> DEVICE Best<C> better(Best<C> a, Best<C> b, bool is_greatest) {
  if (a.place < 0) return b;
  if (b.place < 0) return a;
  bool is_first = a.place < b.place;
  if (is_nan(a.value) || is_nan(b.value)) {
    if (is_nan(a.value) && is_nan(b.value)) return is_first ? a : b;
    return is_nan(a.value) ? a : b;
  }
  if (a.value == b.value) return is_first ? a : b;
  return (a.value > b.value) == is_greatest ? a : b;
}

// The best of all threads, in thread 0.
template <class C> DEVICE Best<C> best_of_block(Best<C> best, bool is_greatest) {
  __shared__ Best<C> parts[LINE_THREADS / 32];
#pragma unroll
  for (int by = 16; by > 0; by /= 2) {
    Best<C> other = {__shfl_xor_sync(ALL, best.value, by), __shfl_xor_sync(ALL, best.place, by)};
    best = better(best, other, is_greatest);
  }
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < (int)blockDim.x / 32; w++) best = better(best, parts[w], is_greatest);
  }
  // Before anybody writes the parts again.
  __syncthreads();
  return best;
}

template <class C> DEVICE void keep(const Pieces& a, int64_t line, Best<C> best) {
  if (has(a.lines, 0)) put<C>(a.lines, 0, line_start(a.lines, 0, line), 0, best.value);
  put<int64_t>(a.lines, 1, line_start(a.lines, 1, line), 0, best.place);
}

template <class C> DEVICE void extreme(const Pieces& a) {
  bool is_greatest = a.lines.numbers[0] != 0.0;
  int64_t step = a.alone ? 1 : blockDim.x;
  int64_t first = a.alone ? thread_number() : blockIdx.x, stride = a.alone ? thread_count() : gridDim.x;
  for (int64_t b = first; b < a.lines.count * a.pieces; b += stride) {
    int64_t line = b / a.pieces, from = line_start(a.lines, 2, line);
    int64_t begin = b % a.pieces * a.piece, end = begin + a.piece < a.lines.length ? begin + a.piece : a.lines.length;
    Best<C> best = {(C)0, -1};
    for (int64_t i = begin + (a.alone ? 0 : threadIdx.x); i < end; i += step) {
      best = better(best, {get<C>(a, 2, from, i), i}, is_greatest);
    }
    if (!a.alone) best = best_of_block(best, is_greatest);
    if (!a.alone && threadIdx.x != 0) continue;
    if (a.pieces == 1) keep(a, line, best);
    else ((Best<C>*)a.totals)[b] = best;
  }
}

// Joins the pieces of each line, a thread for each.
template <class C> DEVICE void extreme_join(const Pieces& a) {
  for (int64_t line = thread_number(); line < a.lines.count; line += thread_count()) {
    const auto* parts = (const Best<C>*)a.totals + line * a.pieces;
    Best<C> best = parts[0];
    for (int p = 1; p < a.pieces; p++) best = better(best, parts[p], a.lines.numbers[0] != 0.0);
    keep(a, line, best);
  }
}

}  // namespace

#define EXTREME(type, suffix)                                                                                        \
  KERNEL(extreme_##suffix, LINE_THREADS, const __grid_constant__ Pieces a) { extreme<type>(a); }                     \
  KERNEL(extreme_join_##suffix, LINE_THREADS, const __grid_constant__ Pieces a) { extreme_join<type>(a); }
EXTREME(float, f32)
EXTREME(double, f64)
EXTREME(int64_t, i64)
