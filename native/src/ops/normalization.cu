// Batch norm: the kernels of normalization.rs. A line is a channel; coefficients of the channels lie side by side in the
// compute type, four rows of them: m, a, b, c of y = a u + b (x - m) + c.
#include "lines/lines.cuh"
#include "walk/walk.cuh"

using namespace toro;

namespace {

// One channel a thread. Operands: mean, variance (of the batch in float64, or running), the running ones to be moved,
// weight, bias, coefficients. Numbers: eps, momentum, n / (n - 1).
template <class C> DEVICE void batch_norm_state(const Lines& a) {
  for (int64_t c = thread_number(); c < a.length; c += thread_count()) {
    double mean = get<double>(a, 0, 0, c), variance = get<double>(a, 1, 0, c), momentum = a.numbers[1];
    for (int which = 0; which < 2; which++) {
      if (!has(a, 2 + which)) continue;
      double fresh = which == 0 ? mean : variance * a.numbers[2];
      put<double>(a, 2 + which, 0, c, (1.0 - momentum) * get<double>(a, 2 + which, 0, c) + momentum * fresh);
    }
    double weight = has(a, 4) ? get<double>(a, 4, 0, c) : 1.0, bias = has(a, 5) ? get<double>(a, 5, 0, c) : 0.0;
    C* coefficients = (C*)a.lines[6].data;
    coefficients[c] = (C)mean;
    coefficients[a.length + c] = (C)0;
    coefficients[2 * a.length + c] = (C)(weight / sqrt(variance + a.numbers[0]));
    coefficients[3 * a.length + c] = (C)bias;
  }
}

// Operands: y, x, coefficients (by channel), u. Scalar: channels.
template <class C> DEVICE void batch_norm_affine(const Walk& a) {
  int64_t channels = a.scalars[0];
  const C* coefficients = (const C*)a.data[2];
  for (int64_t i = thread_number(); i < a.numel; i += thread_count()) {
    auto at = offsets_of<4>(a, i);
    const C* own = coefficients + at.at[2];
    C y = (load<C>(a.data[1], a.dtypes[1], at.at[1]) - own[0]) * own[2 * channels] + own[3 * channels];
    if (a.data[3]) y += own[channels] * load<C>(a.data[3], a.dtypes[3], at.at[3]);
    store<C>(a.data[0], a.dtypes[0], at.at[0], y);
  }
}

// Σ g and Σ g (x - mean) of each channel and piece of its positions, (pieces, 2, channels) in float64. Operands: g, x, mean,
// sums. Numbers: positions of a piece, pieces, whether a thread takes a channel rather than a block.
template <class C> DEVICE void batch_norm_sums(const Lines& a) {
  int64_t length = (int64_t)a.numbers[0], pieces = (int64_t)a.numbers[1];
  bool is_alone = a.numbers[2] != 0.0;
  int64_t per_block = is_alone ? blockDim.x : 1, step = is_alone ? 1 : blockDim.x, lane = is_alone ? 0 : threadIdx.x;
  int64_t blocks = (a.count + per_block - 1) / per_block * pieces;
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    int64_t piece = block % pieces, c = block / pieces * per_block + (is_alone ? threadIdx.x : 0);
    double s = 0.0, t = 0.0;
    if (c < a.count) {
      int64_t of_g = line_start(a, 0, c), of_x = line_start(a, 1, c);
      C mean = (C)load<double>(a.lines[2].data, a.lines[2].dtype, line_start(a, 2, c));
      int64_t end = (piece + 1) * length < a.length ? (piece + 1) * length : a.length;
      for (int64_t i = piece * length + lane; i < end; i += step) {
        C g = get<C>(a, 0, of_g, i);
        s += (double)g;
        t += (double)(g * (get<C>(a, 1, of_x, i) - mean));
      }
    }
    if (!is_alone) {
      s = sum_block(s);
      t = sum_block(t);
    }
    if (lane == 0 && c < a.count) {
      double* sums = (double*)a.lines[3].data + piece * 2 * a.count;
      sums[c] = s;
      sums[a.count + c] = t;
    }
  }
}

// One channel a thread: gradients of weight and bias, and the coefficients of gx. Operands: variance, weight, gradients of
// weight and bias, sums, mean, coefficients. Numbers: eps, whether statistics are x's own, elements of a channel, pieces.
template <class C> DEVICE void batch_norm_join(const Lines& a) {
  int64_t channels = a.length, pieces = (int64_t)a.numbers[3];
  for (int64_t c = thread_number(); c < channels; c += thread_count()) {
    double s = 0.0, t = 0.0;
    for (int64_t p = 0; p < pieces; p++) {
      const double* sums = (const double*)a.lines[4].data + p * 2 * channels;
      s += sums[c];
      t += sums[channels + c];
    }
    double rstd = 1.0 / sqrt(get<double>(a, 0, 0, c) + a.numbers[0]), count = a.numbers[2];
    double scale = (has(a, 1) ? get<double>(a, 1, 0, c) : 1.0) * rstd;
    if (has(a, 2)) put<double>(a, 2, 0, c, t * rstd);
    if (has(a, 3)) put<double>(a, 3, 0, c, s);
    bool is_own = a.numbers[1] != 0.0;
    C* coefficients = (C*)a.lines[6].data;
    coefficients[c] = (C)get<double>(a, 5, 0, c);
    coefficients[channels + c] = (C)scale;
    coefficients[2 * channels + c] = is_own ? (C)(-scale * t * rstd * rstd / count) : (C)0;
    coefficients[3 * channels + c] = is_own ? (C)(-scale * s / count) : (C)0;
  }
}

// What a norm in evaluation comes to behind a product: folding.rs. Operands: scale, shift, mean, var, weight, bias, the
// product's own bias. Number: eps.
template <class C> DEVICE void fold_norm(const Lines& a) {
  for (int64_t c = thread_number(); c < a.length; c += thread_count()) {
    auto at = [&](int k, double other) { return has(a, k) ? (double)get<C>(a, k, 0, c) : other; };
    double scale = at(4, 1.0) / sqrt(at(3, 1.0) + a.numbers[0]);
    put<C>(a, 0, 0, c, (C)scale);
    put<C>(a, 1, 0, c, (C)((at(6, 0.0) - at(2, 0.0)) * scale + at(5, 0.0)));
  }
}

}  // namespace

LINES_KERNEL(batch_norm_state, batch_norm_state)
LINES_KERNEL(batch_norm_sums, batch_norm_sums)
LINES_KERNEL(batch_norm_join, batch_norm_join)
LINES_KERNEL(fold_norm, fold_norm)
KERNEL(batch_norm_affine_f32, WALK_THREADS, const __grid_constant__ Walk a) { batch_norm_affine<float>(a); }
KERNEL(batch_norm_affine_f64, WALK_THREADS, const __grid_constant__ Walk a) { batch_norm_affine<double>(a); }
