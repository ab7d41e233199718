// Softmax and its logarithm over the lines of one dim, forward and backward: the kernels of softmax.rs. Maxima and sums are
// taken by the block; sums in float64.
#include "lines/lines.cuh"

using namespace toro;

namespace {

// Operands y, x. Number 0: whether it is the logarithm.
template <class C, bool PACKED> DEVICE void softmax(const Lines& a) {
  bool is_log = a.numbers[0] != 0.0;
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t to = line_start(a, 0, line), from = line_start(a, 1, line);
    Row<C, PACKED, 1> row{a, {1}, {from}};
    row.keep();
    auto [most, total] = exponentials(row);
    C first = most, rest = (C)log(total), scale = (C)(1.0 / total);
    row.write(0, to, [&](const C (&x)[1][WIDE<C>], int j, int64_t) {
      C d = x[0][j] - first;
      return is_log ? d - rest : exp(d) * scale;
    });
  }
}

// gx = y (g - Σ g y), and of the logarithm gx = g - exp(y) Σ g. Operands gx, g, y.
template <class C, bool PACKED> DEVICE void softmax_grad(const Lines& a) {
  bool is_log = a.numbers[0] != 0.0;
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t to = line_start(a, 0, line), of_g = line_start(a, 1, line), of_y = line_start(a, 2, line);
    Row<C, PACKED, 2> row{a, {1, 2}, {of_g, of_y}};
    row.keep();
    C sum = (C)sum_block(row.sum([&](const C (&x)[2][WIDE<C>], int j) { return is_log ? x[0][j] : x[0][j] * x[1][j]; }));
    row.write(0, to, [&](const C (&x)[2][WIDE<C>], int j, int64_t) {
      C g = x[0][j], y = x[1][j];
      return is_log ? g - exp(y) * sum : y * (g - sum);
    });
  }
}

}  // namespace

ROWS_KERNEL(softmax, softmax)
ROWS_KERNEL(softmax_grad, softmax_grad)
