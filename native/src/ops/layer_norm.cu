// Layer norm and root-mean-square norm over the last dims, forward and backward: the kernels of layer_norm.rs. A block takes
// a row; the parameters' gradients are summed down columns, in pieces of rows that a second kernel joins.
#include "lines/lines.cuh"

using namespace toro;

namespace {

template <class C> DEVICE C h(const Lines& a, int64_t from, int64_t i, C mean, C rstd) { return (get<C>(a, 2, from, i) - mean) * rstd; }

// Operands y, x, mean, rstd (of each row), weight, bias (of each column, or absent). Numbers: eps, whether the mean is left.
template <class C> DEVICE void layer_norm(const Lines& a) {
  for (int64_t row = blockIdx.x; row < a.count; row += gridDim.x) {
    int64_t to = line_start(a, 0, row), from = line_start(a, 1, row);
    double sum = 0.0, squares = 0.0;
    C mean = (C)0;
    if (a.numbers[1] == 0.0) {
      for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) sum += get<double>(a, 1, from, i);
      mean = (C)(sum_block(sum) / (double)a.length);
    }
    for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
      C d = get<C>(a, 1, from, i) - mean;
      squares += (double)(d * d);
    }
    C rstd = (C)(1.0 / sqrt(sum_block(squares) / (double)a.length + a.numbers[0]));
    if (threadIdx.x == 0) {
      ((C*)a.lines[2].data)[row] = mean;
      ((C*)a.lines[3].data)[row] = rstd;
    }
    for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
      C y = (get<C>(a, 1, from, i) - mean) * rstd;
      if (has(a, 4)) y *= get<C>(a, 4, 0, i);
      if (has(a, 5)) y += get<C>(a, 5, 0, i);
      put<C>(a, 0, to, i, y);
    }
  }
}

// gx = (g w - s - h t) rstd with s the mean of g w, t that of g w h. Operands gx, g, x, mean, rstd, weight.
template <class C> DEVICE void layer_norm_grad(const Lines& a) {
  bool is_rms = a.numbers[1] != 0.0;
  for (int64_t row = blockIdx.x; row < a.count; row += gridDim.x) {
    int64_t to = line_start(a, 0, row), of_g = line_start(a, 1, row), from = line_start(a, 2, row);
    C mean = ((const C*)a.lines[3].data)[row], rstd = ((const C*)a.lines[4].data)[row];
    double s = 0.0, t = 0.0;
    for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
      C d = get<C>(a, 1, of_g, i) * (has(a, 5) ? get<C>(a, 5, 0, i) : (C)1);
      s += (double)d;
      t += (double)(d * h<C>(a, from, i, mean, rstd));
    }
    s = sum_block(s);
    t = sum_block(t);
    C left = is_rms ? (C)0 : (C)(s / (double)a.length), slope = (C)(t / (double)a.length);
    for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
      C d = get<C>(a, 1, of_g, i) * (has(a, 5) ? get<C>(a, 5, 0, i) : (C)1);
      put<C>(a, 0, to, i, (d - left - h<C>(a, from, i, mean, rstd) * slope) * rstd);
    }
  }
}

// Σ g h and Σ g of each column over a piece of the rows. Operands: absent, g, x, mean, rstd, absent, sums (pieces, 2, n) in
// float64. Number 2: rows of a piece; a thread takes one column of one piece.
template <class C> DEVICE void layer_norm_columns(const Lines& a) {
  int64_t rows = (int64_t)a.numbers[2], pieces = (a.count + rows - 1) / rows;
  for (int64_t at = thread_number(); at < pieces * a.length; at += thread_count()) {
    int64_t piece = at / a.length, i = at % a.length;
    int64_t end = (piece + 1) * rows < a.count ? (piece + 1) * rows : a.count;
    double weight = 0.0, bias = 0.0;
    for (int64_t row = piece * rows; row < end; row++) {
      C g = get<C>(a, 1, line_start(a, 1, row), i);
      C mean = ((const C*)a.lines[3].data)[row], rstd = ((const C*)a.lines[4].data)[row];
      weight += (double)(g * h<C>(a, line_start(a, 2, row), i, mean, rstd));
      bias += (double)g;
    }
    double* sums = (double*)a.lines[6].data + piece * 2 * a.length;
    sums[i] = weight;
    sums[a.length + i] = bias;
  }
}

// Joins the pieces. Operands 0 and 1: the gradients of weight and bias (n), or absent; 6: the sums. Number 2: pieces.
template <class C> DEVICE void layer_norm_join(const Lines& a) {
  int64_t pieces = (int64_t)a.numbers[2];
  const double* sums = (const double*)a.lines[6].data;
  for (int64_t i = thread_number(); i < a.length; i += thread_count()) {
    for (int which = 0; which < 2; which++) {
      if (!has(a, which)) continue;
      double total = 0.0;
      for (int64_t piece = 0; piece < pieces; piece++) total += sums[(piece * 2 + which) * a.length + i];
      put<double>(a, which, 0, i, total);
    }
  }
}

}  // namespace

LINES_KERNEL(layer_norm, layer_norm)
LINES_KERNEL(layer_norm_grad, layer_norm_grad)
LINES_KERNEL(layer_norm_columns, layer_norm_columns)
LINES_KERNEL(layer_norm_join, layer_norm_join)
