// Layer norm and root-mean-square norm over the last dims, forward and backward: the kernels of layer_norm.rs. A block takes
// a row; the parameters' gradients are summed down columns, in pieces of rows that a second kernel joins.
#include "lines/lines.cuh"

using namespace toro;

namespace {

// Operands y, x, mean, rstd (of each row), weight, bias (of each column, or absent). Numbers: eps, whether the mean is left.
template <class C, bool PACKED> DEVICE void layer_norm(const Lines& a) {
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t to = line_start(a, 0, line), from = line_start(a, 1, line);
    Row<C, PACKED, 1> row{a, {1}, {from}};
    row.keep();
    C mean = (C)0;
    if (a.numbers[1] == 0.0) mean = (C)(sum_block(row.sum([](const C (&x)[1][WIDE<C>], int j) { return x[0][j]; })) / (double)a.length);
    double squares = row.sum([&](const C (&x)[1][WIDE<C>], int j) {
      C d = x[0][j] - mean;
      return d * d;
    });
    C rstd = (C)(1.0 / sqrt(sum_block(squares) / (double)a.length + a.numbers[0]));
    if (threadIdx.x == 0) {
      ((C*)a.lines[2].data)[line] = mean;
      ((C*)a.lines[3].data)[line] = rstd;
    }
    Row<C, PACKED, 2> affine{a, {4, 5}, {0, 0}, {(C)1, (C)0}};
    row.each([&](int64_t i, int count, const C (&x)[1][WIDE<C>]) {
      C of[2][WIDE<C>], y[WIDE<C>];
      affine.fetch(i, of);
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) y[j] = (x[0][j] - mean) * rstd * of[0][j] + of[1][j];
      put_wide<C, PACKED>(a, 0, to, i, count, y);
    });
  }
}

// gx = (g w - s - h t) rstd with s the mean of g w, t that of g w h. Operands gx, g, x, mean, rstd, weight.
template <class C, bool PACKED> DEVICE void layer_norm_grad(const Lines& a) {
  bool is_rms = a.numbers[1] != 0.0;
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t to = line_start(a, 0, line), of_g = line_start(a, 1, line), from = line_start(a, 2, line);
    C mean = ((const C*)a.lines[3].data)[line], rstd = ((const C*)a.lines[4].data)[line];
    Row<C, PACKED, 2> row{a, {1, 2}, {of_g, from}};
    row.keep();
    Row<C, PACKED, 1> weight{a, {5}, {0}, {(C)1}};
    double s = 0.0, t = 0.0;
    row.each([&](int64_t i, int count, const C (&x)[2][WIDE<C>]) {
      C w[1][WIDE<C>], own_s = (C)0, own_t = (C)0;
      weight.fetch(i, w);
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) {
        if (j >= count) break;
        C d = x[0][j] * w[0][j];
        own_s += d;
        own_t += d * ((x[1][j] - mean) * rstd);
      }
      s += (double)own_s;
      t += (double)own_t;
    });
    s = sum_block(s);
    t = sum_block(t);
    C left = is_rms ? (C)0 : (C)(s / (double)a.length), slope = (C)(t / (double)a.length);
    row.each([&](int64_t i, int count, const C (&x)[2][WIDE<C>]) {
      C w[1][WIDE<C>], y[WIDE<C>];
      weight.fetch(i, w);
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) y[j] = (x[0][j] * w[0][j] - left - (x[1][j] - mean) * rstd * slope) * rstd;
      put_wide<C, PACKED>(a, 0, to, i, count, y);
    });
  }
}

// Σ g h and Σ g of each column over a piece of the rows. Operands: absent, g, x, mean, rstd, absent, sums (pieces, 2, n) in
// float64. Numbers: rows of a piece, at 2; 3: pieces. A block of 32 × 8 threads takes 128 columns of a piece, a thread four of
// them (of float64 one after another) in each eighth row; what they come to is joined in order.
constexpr int BESIDE = 32, BELOW = LINE_THREADS / BESIDE;
template <class C, bool PACKED> DEVICE void layer_norm_columns(const Lines& a) {
  __shared__ double parts[2][BELOW][BESIDE * 4];
  int64_t rows = (int64_t)a.numbers[2], pieces = (int64_t)a.numbers[3], strips = (a.length + BESIDE * 4 - 1) / (BESIDE * 4);
  int beside = threadIdx.x % BESIDE, below = threadIdx.x / BESIDE;
  for (int64_t block = blockIdx.x; block < pieces * strips; block += gridDim.x) {
    int64_t piece = block / strips, strip = block % strips * BESIDE * 4;
    int64_t end = (piece + 1) * rows < a.count ? (piece + 1) * rows : a.count;
    for (int first = 0; first < BESIDE * 4; first += BESIDE * WIDE<C>) {
      int mine = first + beside * WIDE<C>;
      double weight[WIDE<C>] = {}, bias[WIDE<C>] = {};
      if (strip + mine < a.length) {
#pragma unroll 2
        for (int64_t line = piece * rows + below; line < end; line += BELOW) {
          Row<C, PACKED, 2> row{a, {1, 2}, {line_start(a, 1, line), line_start(a, 2, line)}};
          C mean = ((const C*)a.lines[3].data)[line], rstd = ((const C*)a.lines[4].data)[line], x[2][WIDE<C>];
          row.fetch(strip + mine, x);
#pragma unroll
          for (int j = 0; j < WIDE<C>; j++) {
            weight[j] += (double)(x[0][j] * ((x[1][j] - mean) * rstd));
            bias[j] += (double)x[0][j];
          }
        }
      }
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) {
        parts[0][below][mine + j] = weight[j];
        parts[1][below][mine + j] = bias[j];
      }
    }
    __syncthreads();
    int which = threadIdx.x / (BESIDE * 4), of = threadIdx.x % (BESIDE * 4);
    int64_t column = strip + of;
    double total = 0.0;
    for (int k = 0; k < BELOW; k++) total += parts[which][k][of];
    if (column < a.length) ((double*)a.lines[6].data)[(piece * 2 + which) * a.length + column] = total;
    // Before anybody writes the parts again.
    __syncthreads();
  }
}
static_assert(LINE_THREADS == 2 * BESIDE * 4, "a thread joins one column of one sum");

// Joins the pieces, a warp for each column. Operands 0 and 1: the gradients of weight and bias (n), or absent; 6: the sums.
// Number 3: pieces.
template <class C> DEVICE void layer_norm_join(const Lines& a) {
  int64_t pieces = (int64_t)a.numbers[3];
  const double* sums = (const double*)a.lines[6].data;
  for (int64_t i = thread_number() / 32; i < a.length; i += thread_count() / 32) {
    for (int which = 0; which < 2; which++) {
      if (!has(a, which)) continue;
      double total = 0.0;
      for (int64_t piece = threadIdx.x % 32; piece < pieces; piece += 32) total += sums[(piece * 2 + which) * a.length + i];
#pragma unroll
      for (int with = 16; with > 0; with /= 2) total += __shfl_xor_sync(ALL, total, with);
      if (threadIdx.x % 32 == 0) put<double>(a, which, 0, i, total);
    }
  }
}

}  // namespace

ROWS_KERNEL(layer_norm, layer_norm)
ROWS_KERNEL(layer_norm_grad, layer_norm_grad)
ROWS_KERNEL(layer_norm_columns, layer_norm_columns)
LINES_KERNEL(layer_norm_join, layer_norm_join)
