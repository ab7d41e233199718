// Softmax and its logarithm over the lines of one dim, forward and backward: the kernels of softmax.rs. Maxima and sums are
// taken by the block; sums in float64.
#include "lines/lines.cuh"

using namespace toro;

namespace {

// Operands y, x. Number 0: whether it is the logarithm.
template <class C> DEVICE void softmax(const Lines& a) {
  bool is_log = a.numbers[0] != 0.0;
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t to = line_start(a, 0, line), from = line_start(a, 1, line);
    C most = line_max<C>(a, 1, from);
    double total = line_exp<C>(a, 1, from, most);
    C rest = (C)log(total), scale = (C)(1.0 / total);
    for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
      C d = get<C>(a, 1, from, i) - most;
      put<C>(a, 0, to, i, is_log ? d - rest : exp(d) * scale);
    }
  }
}

// gx = y (g - Σ g y), and of the logarithm gx = g - exp(y) Σ g. Operands gx, g, y.
template <class C> DEVICE void softmax_grad(const Lines& a) {
  bool is_log = a.numbers[0] != 0.0;
  for (int64_t line = blockIdx.x; line < a.count; line += gridDim.x) {
    int64_t to = line_start(a, 0, line), of_g = line_start(a, 1, line), of_y = line_start(a, 2, line);
    double total = 0.0;
    for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
      C g = get<C>(a, 1, of_g, i);
      total += (double)(is_log ? g : g * get<C>(a, 2, of_y, i));
    }
    C sum = (C)sum_block(total);
    for (int64_t i = threadIdx.x; i < a.length; i += blockDim.x) {
      C g = get<C>(a, 1, of_g, i), y = get<C>(a, 2, of_y, i);
      put<C>(a, 0, to, i, is_log ? g - exp(y) * sum : y * (g - sum));
    }
  }
}

}  // namespace

LINES_KERNEL(softmax, softmax)
LINES_KERNEL(softmax_grad, softmax_grad)
