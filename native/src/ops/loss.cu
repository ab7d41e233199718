// Losses: the elementwise ones of loss.rs with their gradients, one line an op in the same order. Gradients with respect
// to x; the upstream gradient g is scaled by p(0).
#include "lines/lines.cuh"
#include "map/functions.cuh"
#include "map/map.cuh"

using namespace toro;

namespace {

template <class C> DEVICE C slope_sign(C x) { return x > (C)0 ? (C)1 : x < (C)0 ? (C)-1 : x * (C)0; }
template <class C> DEVICE C smooth(C d, C beta) {
  C a = absolute(d);
  return a < beta ? (C)0.5 * a * a / beta : a - (C)0.5 * beta;
}
template <class C> DEVICE C smooth_slope(C d, C beta) { return absolute(d) < beta ? d / beta : slope_sign(d); }
template <class C> DEVICE C huber(C d, C delta) {
  C a = absolute(d);
  return a <= delta ? (C)0.5 * a * a : delta * (a - (C)0.5 * delta);
}
template <class C> DEVICE C huber_slope(C d, C delta) { return absolute(d) <= delta ? d : slope_sign(d) * delta; }
// A logarithm that ends at -100, as PyTorch's binary cross entropy has it.
template <class C> DEVICE C held(C x) { return x < (C)-100 ? (C)-100 : x; }
template <class C> DEVICE C bce(C x, C t) { return (t - (C)1) * held(log1p(-x)) - t * held(log(x)); }
// Scalars: the alarm, which is raised where x is no probability, and the opcode.
template <class C> DEVICE void bce_checked(const Map& a) {
  map<C, 2>(a, [&](C x, C t) {
    if (!(x >= (C)0 && x <= (C)1)) raise_for(NO_PROBABILITY, (Alarm*)a.scalars[0], (unsigned)a.scalars[1], 0, 0);
    return bce(x, t);
  });
}
template <class C> DEVICE C bce_slope(C x, C t) {
  C v = ((C)1 - x) * x;
  return (x - t) / (v < (C)1e-12 ? (C)1e-12 : v);
}
// (1 - t) x + (1 + (w - 1) t) (log(1 + exp -|x|) + max(-x, 0))
template <class C> DEVICE C bce_logits(C x, C t, C w) {
  C rest = log1p(exp(-absolute(x))) + (x < (C)0 ? -x : (C)0);
  return ((C)1 - t) * x + ((C)1 + (w - (C)1) * t) * rest;
}

}  // namespace

MAP_real(2, mse_loss, (x, t), (x - t) * (x - t))
MAP_real(3, mse_loss_grad, (g, x, t), (C)2 * (x - t) * g * p(0))
MAP_real(2, l1_loss, (x, t), absolute(x - t))
MAP_real(3, l1_loss_grad, (g, x, t), slope_sign(x - t) * g * p(0))
MAP_real(2, smooth_l1_loss, (x, t), smooth(x - t, p(0)))
MAP_real(3, smooth_l1_loss_grad, (g, x, t), smooth_slope(x - t, p(1)) * g * p(0))
MAP_real(2, huber_loss, (x, t), huber(x - t, p(0)))
MAP_real(3, huber_loss_grad, (g, x, t), huber_slope(x - t, p(1)) * g * p(0))
KERNEL(map_binary_cross_entropy_f32, MAP_THREADS, const __grid_constant__ Map a) { bce_checked<float>(a); }
KERNEL(map_binary_cross_entropy_f64, MAP_THREADS, const __grid_constant__ Map a) { bce_checked<double>(a); }
MAP_real(3, binary_cross_entropy_grad, (g, x, t), bce_slope(x, t) * g * p(0))
MAP_real(2, bce_with_logits, (x, t), bce_logits(x, t, (C)1))
MAP_real(3, bce_with_logits_grad, (g, x, t), (sigmoid(x) - t) * g * p(0))
MAP_real(3, bce_with_logits_weighted, (x, t, w), bce_logits(x, t, w))

// ---- cross entropy over classes. Numbers: reduction (0 none, 1 mean, 2 sum), ignored target, label smoothing, whether the
// input holds log-probabilities already. A target out of range raises the alarm.

namespace {

// Operands: loss of each row (float64, or the output itself), logsumexp, target, logits, weight of each row (float64), weights
// of classes.
template <class C, bool PACKED> DEVICE void cross_entropy(const Lines& a) {
  int64_t ignored = (int64_t)a.numbers[1], classes = a.length;
  double smoothing = a.numbers[2];
  bool is_log = a.numbers[3] != 0.0;
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t from = line_start(a, 3, line);
    int64_t target = load<int64_t>(a.lines[2].data, a.lines[2].dtype, line_start(a, 2, line));
    Row<C, PACKED, 1, 0> row{a, {3}, {from}};
    C most = (C)0;
    double log_sum = 0.0;
    if (!is_log) {
      auto of = exponentials(row);
      most = of.most;
      log_sum = log(of.sum);
    }
    bool is_inside = target >= 0 && target < classes, counts = target != ignored && is_inside;
    double all = 0.0;
    if (smoothing != 0.0) {
      row.each([&](int64_t c, int count, const C (&x)[1][WIDE<C>]) {
        for (int j = 0; j < count; j++) {
          double w = has(a, 5) ? get<double>(a, 5, 0, c + j) : 1.0;
          all += ((double)most - (double)x[0][j] + log_sum) * w;
        }
      });
      all = sum_block(all);
    }
    if (threadIdx.x == 0) {
      if (target != ignored && !is_inside) raise(a.alarm, a.opcode, target, classes);
      double weight = !counts ? 0.0 : has(a, 5) ? get<double>(a, 5, 0, target) : 1.0;
      double value = 0.0;
      if (counts) {
        value = (1.0 - smoothing) * weight * ((double)most - get<double>(a, 3, from, target) + log_sum);
        if (smoothing != 0.0) value += smoothing / (double)classes * all;
      }
      store<double>(a.lines[0].data, a.lines[0].dtype, line_start(a, 0, line), value);
      store<double>(a.lines[1].data, a.lines[1].dtype, line_start(a, 1, line), (double)most + log_sum);
      store<double>(a.lines[4].data, a.lines[4].dtype, line_start(a, 4, line), weight);
    }
  }
}

// One block: the sum or mean of the rows, and the sum of their weights. Operands: loss, norm, losses and weights of the rows.
template <class C> DEVICE void cross_entropy_total(const Lines& a) {
  double value = 0.0, weight = 0.0;
  for (int64_t row = threadIdx.x; row < a.length; row += blockDim.x) {
    value += get<double>(a, 2, 0, row);
    weight += get<double>(a, 3, 0, row);
  }
  value = sum_block(value);
  weight = sum_block(weight);
  if (threadIdx.x != 0) return;
  store<double>(a.lines[1].data, a.lines[1].dtype, 0, weight);
  if (has(a, 0)) store<double>(a.lines[0].data, a.lines[0].dtype, 0, a.numbers[0] == 1.0 ? value / weight : value);
}

// Operands: gx, g, logits, target, logsumexp, norm, weights of classes.
template <class C, bool PACKED> DEVICE void cross_entropy_grad(const Lines& a) {
  int64_t ignored = (int64_t)a.numbers[1], classes = a.length;
  double smoothing = a.numbers[2];
  bool is_log = a.numbers[3] != 0.0;
  double scale = a.numbers[0] == 1.0 ? 1.0 / load<double>(a.lines[5].data, a.lines[5].dtype, 0) : 1.0;
  double total = (double)classes;
  if (has(a, 6) && smoothing != 0.0) {
    total = 0.0;
    for (int64_t c = threadIdx.x; c < classes; c += blockDim.x) total += get<double>(a, 6, 0, c);
    total = sum_block(total);
  }
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t to = line_start(a, 0, line), from = line_start(a, 2, line);
    int64_t target = load<int64_t>(a.lines[3].data, a.lines[3].dtype, line_start(a, 3, line));
    bool is_inside = target >= 0 && target < classes, counts = target != ignored && is_inside;
    if (threadIdx.x == 0 && target != ignored && !is_inside) raise(a.alarm, a.opcode, target, classes);
    double up = load<double>(a.lines[1].data, a.lines[1].dtype, line_start(a, 1, line)) * scale;
    C lse = load<C>(a.lines[4].data, a.lines[4].dtype, line_start(a, 4, line));
    double weight = counts && has(a, 6) ? get<double>(a, 6, 0, target) : 1.0;
    double main = (1.0 - smoothing) * weight, each = smoothing / (double)classes;
    C factor = (C)(is_log ? 0.0 : up * (main + each * total));
    C same = (C)(up * each), own = (C)(up * main);
    bool is_weighted = has(a, 6) && each != 0.0;
    Row<C, PACKED, 1, 0> row{a, {2}, {from}};
    row.each([&](int64_t c, int count, const C (&x)[1][WIDE<C>]) {
      // The target among the neighbours, if it is.
      int hit = target >= c && target < c + WIDE<C> ? (int)(target - c) : -1;
      C y[WIDE<C>];
#pragma unroll
      for (int j = 0; j < WIDE<C>; j++) {
        C less = is_weighted && j < count ? (C)(up * each * get<double>(a, 6, 0, c + j)) : same;
        C value = (is_log ? (C)0 : exp(x[0][j] - lse) * factor) - (j == hit ? less + own : less);
        y[j] = counts ? value : (C)0;
      }
      put_wide<C, PACKED>(a, 0, to, c, count, y);
    });
  }
}

}  // namespace

ROWS_KERNEL(cross_entropy, cross_entropy)
LINES_KERNEL(cross_entropy_total, cross_entropy_total)
ROWS_KERNEL(cross_entropy_grad, cross_entropy_grad)
