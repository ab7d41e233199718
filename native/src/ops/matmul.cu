// Matrix products, any strides and dtypes: the counterpart of matmul.rs. A block of 256 threads takes a tile of 64 × 64 of C,
// a thread 4 × 4 of it; tiles of A (64 × 16) and B (16 × 64) pass through shared memory in the compute type. Grid x over
// columns, y over rows of tiles, z over the batch. No tensor cores yet: right first.
#include "device.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 256, TILE = 64, DEPTH = 16, PER_THREAD = 4;

// Mirrors Arguments in matmul/cuda.rs.
struct Product {
  int64_t m, n, k;
  // Row and column strides.
  int64_t c[2], a[2], b[2];
  int64_t bias_stride, scale_stride;
  const void *a_data, *b_data, *bias, *scale;
  void* c_data;
  int32_t a_dtype, b_dtype, c_dtype, bias_dtype, scale_dtype;
  int32_t relu, batch_ndim, unused;
  double alpha, beta;
  int64_t batch;
  int64_t batch_sizes[MAX_DIMS];
  // Of C, A and B.
  int64_t batch_strides[MAX_DIMS][3];
};
static_assert(sizeof(Product) == 696, "as in matmul/cuda.rs");

template <class C> DEVICE void product(const Product& p) {
  // A column more than the tile has, so that columns do not all lie in one bank.
  __shared__ C a_tile[DEPTH][TILE + 1];
  __shared__ C b_tile[DEPTH][TILE + 1];
  int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
  int x = threadIdx.x % 16, y = threadIdx.x / 16;
  for (int64_t z = blockIdx.z; z < p.batch; z += gridDim.z) {
    int64_t c_at = 0, a_at = 0, b_at = 0, rest = z;
    for (int d = p.batch_ndim - 1; d >= 0; d--) {
      int64_t size = p.batch_sizes[d], i = rest % size;
      rest /= size;
      c_at += i * p.batch_strides[d][0];
      a_at += i * p.batch_strides[d][1];
      b_at += i * p.batch_strides[d][2];
    }
    C sums[PER_THREAD][PER_THREAD] = {};
    for (int64_t from = 0; from < p.k; from += DEPTH) {
#pragma unroll 1
      for (int t = threadIdx.x; t < TILE * DEPTH; t += THREADS) {
        // Neighbouring threads read along the dim that lies close in memory.
        int i = p.a[1] == 1 ? t / DEPTH : t % TILE, l = p.a[1] == 1 ? t % DEPTH : t / TILE;
        bool is_inside = row + i < p.m && from + l < p.k;
        a_tile[l][i] = is_inside ? load<C>(p.a_data, p.a_dtype, a_at + (row + i) * p.a[0] + (from + l) * p.a[1]) : (C)0;
        int j = p.b[1] == 1 ? t % TILE : t / DEPTH, h = p.b[1] == 1 ? t / TILE : t % DEPTH;
        is_inside = column + j < p.n && from + h < p.k;
        b_tile[h][j] = is_inside ? load<C>(p.b_data, p.b_dtype, b_at + (from + h) * p.b[0] + (column + j) * p.b[1]) : (C)0;
      }
      __syncthreads();
#pragma unroll 4
      for (int l = 0; l < DEPTH; l++) {
        C u[PER_THREAD], v[PER_THREAD];
#pragma unroll
        for (int i = 0; i < PER_THREAD; i++) {
          u[i] = a_tile[l][y + 16 * i];
          v[i] = b_tile[l][x + 16 * i];
        }
#pragma unroll
        for (int i = 0; i < PER_THREAD; i++) {
#pragma unroll
          for (int j = 0; j < PER_THREAD; j++) sums[i][j] = wrap_add(sums[i][j], wrap_mul(u[i], v[j]));
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
#pragma unroll
      for (int j = 0; j < PER_THREAD; j++) {
        int64_t r = row + y + 16 * i, q = column + x + 16 * j;
        if (r >= p.m || q >= p.n) continue;
        int64_t at = c_at + r * p.c[0] + q * p.c[1];
        C value = sums[i][j];
        if constexpr ((C)0.5 != (C)0) {
          value = value * (C)p.alpha;
          if (p.beta != 0.0) value += (C)p.beta * load<C>(p.c_data, p.c_dtype, at);
          if (p.scale) value *= load<C>(p.scale, p.scale_dtype, q * p.scale_stride);
          if (p.bias) value += load<C>(p.bias, p.bias_dtype, q * p.bias_stride);
          if (p.relu && value < (C)0) value = (C)0;
        }
        store<C>(p.c_data, p.c_dtype, at, value);
      }
    }
  }
}

}  // namespace

KERNEL(matmul_f32, THREADS, const __grid_constant__ Product p) { product<float>(p); }
KERNEL(matmul_f64, THREADS, const __grid_constant__ Product p) { product<double>(p); }
KERNEL(matmul_i64, THREADS, const __grid_constant__ Product p) { product<int64_t>(p); }
