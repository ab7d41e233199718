// Layers with int8 weights: the kernels of quantized.rs. Rows of x become bytes by a scale and a zero point of their own, sums
// of products of bytes are exact in int32, and the last step has no fused multiply-add: the same bits as on the CPU.
#include "lines/lines.cuh"

using namespace toro;

namespace {

constexpr int PANEL = 16;  // outputs in a panel of packed weights
constexpr int QUAD = 4;    // inputs that lie side by side in it

// Mirrors Arguments in quantized/cuda.rs.
struct Quantized {
  const float* x;         // (M, K)
  const int* weights;     // (⌈N/16⌉, ⌈K/4⌉, 16), four int8 each
  const float* scales;    // (N)
  const int* sums;        // (N), of the weights of each output
  const float* bias;      // (N) or null
  float* y;               // (M, N)
  int* bytes;             // (M, ⌈K/4⌉), four bytes less 128 each
  float* row_scales;      // (M)
  int* row_zeros;         // (M)
  int64_t rows, outputs, depth, row_step, column_step;
  int32_t is_relu, unused;
};
static_assert(sizeof(Quantized) == 120, "as in quantized/cuda.rs");

DEVICE float least(float a, float b) { return b < a ? b : a; }
DEVICE float most(float a, float b) { return b > a ? b : a; }

}  // namespace

// A block of 256 threads takes a row. A row with an element that is not finite gets the scale NaN.
KERNEL(quantise_rows_all, LINE_THREADS, const __grid_constant__ Quantized a) {
  int64_t quads = (a.depth + QUAD - 1) / QUAD;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const float* x = a.x + row * a.row_step;
    float low = 0.0f, high = 0.0f, stray = 0.0f;
    for (int64_t i = threadIdx.x; i < a.depth; i += LINE_THREADS) {
      float v = x[i * a.column_step];
      low = least(low, v);
      high = most(high, v);
      if (!(fabsf(v) < INFINITY)) stray = 1.0f;
    }
    low = join_block(low, least);
    high = join_block(high, most);
    bool is_finite = join_block(stray, most) == 0.0f;
    float scale = (float)(((double)high - (double)low) / 255.0);
    // Rows of zeros and of the smallest numbers: PyTorch takes the same scale.
    if (scale == 0.0f || 1.0f / scale == INFINITY) scale = 0.1f;
    int zero = (int)most(0.0f, least(rintf(-low / scale), 255.0f));
    float inverse = 1.0f / scale;
    if (threadIdx.x == 0) {
      a.row_scales[row] = is_finite ? scale : NAN;
      a.row_zeros[row] = is_finite ? zero : 0;
    }
    for (int64_t q = threadIdx.x; q < quads; q += LINE_THREADS) {
      unsigned four = 0;
      for (int l = 0; l < QUAD; l++) {
        int64_t i = q * QUAD + l;
        int byte = 0;
        if (i < a.depth && is_finite) byte = (int)rintf(__fmul_rn(x[i * a.column_step], inverse)) + zero;
        byte = byte < 0 ? 0 : byte > 255 ? 255 : byte;
        // Less 128, so that both factors are signed.
        four |= (unsigned)((byte - 128) & 255) << 8 * l;
      }
      a.bytes[row * quads + q] = (int)four;
    }
  }
}

// A block of 256 takes 16 rows by the 16 outputs of a panel.
KERNEL(linear_dynamic_all, LINE_THREADS, const __grid_constant__ Quantized a) {
  int64_t quads = (a.depth + QUAD - 1) / QUAD, panels = (a.outputs + PANEL - 1) / PANEL;
  int column = threadIdx.x % PANEL;
  for (int64_t b = blockIdx.x; b < panels * ((a.rows + PANEL - 1) / PANEL); b += gridDim.x) {
    int64_t panel = b % panels, row = b / panels * PANEL + threadIdx.x / PANEL, j = panel * PANEL + column;
    if (row >= a.rows || j >= a.outputs) continue;
    const int* weights = a.weights + panel * quads * PANEL + column;
    const int* bytes = a.bytes + row * quads;
    int sum = 0;
    for (int64_t q = 0; q < quads; q++) sum = __dp4a(bytes[q], weights[q * PANEL], sum);
    int total = sum + (128 - a.row_zeros[row]) * a.sums[j];
    float y = __fmul_rn((float)total, __fmul_rn(a.row_scales[row], a.scales[j]));
    if (a.bias) y = __fadd_rn(y, a.bias[j]);
    a.y[row * a.outputs + j] = a.is_relu && y < 0.0f ? 0.0f : y;
  }
}
