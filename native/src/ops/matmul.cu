// Matrix products, any strides and dtypes: the counterpart of matmul.rs. Products of two bfloat16 or two float16 matrices go
// to tensor cores. Grid x over columns, y over rows of tiles, z over the batch; for tensor cores x over all tiles.
#include "matmul/mma.cuh"

using namespace toro;

namespace {

// Mirrors Arguments in matmul/cuda.rs.
struct Product {
  int64_t m, n, k;
  // Row and column strides.
  int64_t c[2], a[2], b[2];
  int64_t bias_stride, scale_stride;
  const void *a_data, *b_data, *bias, *scale;
  void* c_data;
  int32_t a_dtype, b_dtype, c_dtype, bias_dtype, scale_dtype;
  int32_t relu, batch_ndim;
  // For tensor cores: 1 where A, 2 where B can be read by 16 bytes.
  int32_t aligned;
  double alpha, beta;
  int64_t batch;
  int64_t batch_sizes[MAX_DIMS];
  // Of C, A and B.
  int64_t batch_strides[MAX_DIMS][3];
};
static_assert(sizeof(Product) == 696, "as in matmul/cuda.rs");

// A matrix by its strides.
struct Strided {
  const void* data;
  int64_t line_stride, depth_stride;
  int dtype;
  bool along;
  DEVICE int64_t line(int64_t i) const { return i * line_stride; }
  DEVICE int64_t depth(int64_t l) const { return l * depth_stride; }
  template <class C> DEVICE C get(int64_t line, int64_t depth) const { return load_quick<C>(data, dtype, line + depth); }
};

// Where a batch's matrices begin in C, A and B.
DEVICE void find_batch(const Product& p, int64_t z, int64_t (&at)[3]) {
  at[0] = at[1] = at[2] = 0;
  for (int d = p.batch_ndim - 1; d >= 0; d--) {
    int64_t size = p.batch_sizes[d], i = z % size;
    z /= size;
#pragma unroll
    for (int k = 0; k < 3; k++) at[k] += i * p.batch_strides[d][k];
  }
}

// What is done to a sum on its way to C.
template <class C> DEVICE C ended(const Product& p, int64_t at, int64_t column, C value) {
  if constexpr ((C)0.5 != (C)0) {
    value = value * (C)p.alpha;
    if (p.beta != 0.0) value += (C)p.beta * load<C>(p.c_data, p.c_dtype, at);
    if (p.scale) value *= load<C>(p.scale, p.scale_dtype, column * p.scale_stride);
    if (p.bias) value += load<C>(p.bias, p.bias_dtype, column * p.bias_stride);
    if (p.relu && value < (C)0) value = (C)0;
  }
  return value;
}

template <class C> DEVICE void product(const Product& p) {
  int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
  for (int64_t z = blockIdx.z; z < p.batch; z += gridDim.z) {
    int64_t at[3];
    find_batch(p, z, at);
    Strided a{p.a_data, p.a[0], p.a[1], p.a_dtype, p.a[1] == 1}, b{p.b_data, p.b[1], p.b[0], p.b_dtype, p.b[0] == 1};
    a.data = element(a.data, a.dtype, at[1]);
    b.data = element(b.data, b.dtype, at[2]);
    tile_product<C>(p.m, p.n, 0, p.k, row, column, a, b, [&](int64_t i, int64_t j, C sum) {
      int64_t to = at[0] + i * p.c[0] + j * p.c[1];
      store_quick<C>(p.c_data, p.c_dtype, to, ended(p, to, j, sum));
    });
  }
}

// A matrix of 16-bit floats for tensor cores.
template <bool ALONG> struct Strided16 {
  static constexpr bool along = ALONG;
  const uint16_t* data;
  int64_t line_stride, depth_stride;
  // Whether 8 neighbours lie on 16 bytes.
  bool is_aligned;
  DEVICE int64_t line(int64_t i) const { return i * line_stride; }
  DEVICE int64_t depth(int64_t l) const { return l * depth_stride; }
  DEVICE int64_t find(int64_t line, int64_t depth) const { return line + depth; }
};

// How many of 8 neighbours from `at` on there are, in bytes.
DEVICE int bytes_from(int64_t at, int64_t count) { return at >= count ? 0 : count - at < 8 ? (int)(count - at) * 2 : 16; }

template <bool ALONG>
DEVICE void fetch_tile(uint16_t* tile, const Strided16<ALONG>& o, int64_t lines, int64_t first, int64_t depths, int64_t from) {
  if (!o.is_aligned) return toro::fetch_tile<Strided16<ALONG>>(tile, o, lines, first, depths, from);
#pragma unroll
  for (int s = 0; s < MMA_TILE * MMA_DEPTH / 8 / MMA_THREADS; s++) {
    int t = threadIdx.x + s * MMA_THREADS;
    if constexpr (ALONG) {
      int i = t / (MMA_DEPTH / 8), l = t % (MMA_DEPTH / 8) * 8;
      int bytes = first + i < lines ? bytes_from(from + l, depths) : 0;
      copy_async(tile + i * DEEP_PITCH + l, bytes ? o.data + (first + i) * o.line_stride + from + l : o.data, bytes);
    } else {
      int l = t / (MMA_TILE / 8), i = t % (MMA_TILE / 8) * 8;
      int bytes = from + l < depths ? bytes_from(first + i, lines) : 0;
      copy_async(tile + l * WIDE_PITCH + i, bytes ? o.data + (from + l) * o.depth_stride + first + i : o.data, bytes);
    }
  }
}

// Tiles go in bands of 8 rows, so that blocks at work together share what they read.
DEVICE void find_tile(const Product& p, int64_t* row, int64_t* column) {
  constexpr int64_t BAND = 8;
  int64_t rows = (p.m + MMA_TILE - 1) / MMA_TILE, columns = (p.n + MMA_TILE - 1) / MMA_TILE;
  int64_t band = blockIdx.x / (BAND * columns), rest = blockIdx.x % (BAND * columns);
  int64_t height = rows - band * BAND < BAND ? rows - band * BAND : BAND;
  *row = (band * BAND + rest % height) * MMA_TILE;
  *column = rest / height * MMA_TILE;
}

template <class T, bool A_ALONG, bool B_ALONG> DEVICE void product16(const Product& p) {
  int64_t row, column;
  find_tile(p, &row, &column);
  for (int64_t z = blockIdx.z; z < p.batch; z += gridDim.z) {
    int64_t at[3];
    find_batch(p, z, at);
    Strided16<A_ALONG> a{(const uint16_t*)p.a_data + at[1], p.a[0], p.a[1], (p.aligned & 1) != 0};
    Strided16<B_ALONG> b{(const uint16_t*)p.b_data + at[2], p.b[1], p.b[0], (p.aligned & 2) != 0};
    mma_product<T>(p.m, p.n, 0, p.k, row, column, a, b, [&](int64_t i, int64_t j, float sum) {
      int64_t to = at[0] + i * p.c[0] + j * p.c[1];
      store_quick<float>(p.c_data, p.c_dtype, to, ended(p, to, j, sum));
    });
  }
}

}  // namespace

KERNEL(matmul_f32, TILE_THREADS, const __grid_constant__ Product p) { product<float>(p); }
KERNEL(matmul_f64, TILE_THREADS, const __grid_constant__ Product p) { product<double>(p); }
KERNEL(matmul_i64, TILE_THREADS, const __grid_constant__ Product p) { product<int64_t>(p); }

// Named by whether neighbouring depths of A and B (deep) or their lines (wide) lie close.
#define PRODUCTS_16(name, type)                                                                                       \
  KERNEL(name##_deep_deep, MMA_THREADS, const __grid_constant__ Product p) { product16<type, true, true>(p); }        \
  KERNEL(name##_deep_wide, MMA_THREADS, const __grid_constant__ Product p) { product16<type, true, false>(p); }       \
  KERNEL(name##_wide_deep, MMA_THREADS, const __grid_constant__ Product p) { product16<type, false, true>(p); }       \
  KERNEL(name##_wide_wide, MMA_THREADS, const __grid_constant__ Product p) { product16<type, false, false>(p); }
PRODUCTS_16(matmul_bfloat, bfloat_t)
PRODUCTS_16(matmul_half, half_t)
