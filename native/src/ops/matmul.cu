// Matrix products, any strides and dtypes: the counterpart of matmul.rs. Products of two bfloat16 or two float16 matrices go
// to tensor cores. Grid x over columns, y over rows of tiles, z over the batch;
// for tensor cores x over all tiles.
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
  // For tensor cores: 1 where A, 2 where B can be read by 16 bytes, 4 where C is of their type, can be written so, and takes
  // but alpha, a bias of this type or float32, and ReLU.
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
  DEVICE int64_t line(int64_t i) const { return i * line_stride; }
  DEVICE int64_t depth(int64_t l) const { return l * depth_stride; }
  DEVICE int64_t find(int64_t line, int64_t depth) const { return line + depth; }
  // From one row of neighbours to the next.
  DEVICE int64_t pitch() const { return ALONG ? line_stride : depth_stride; }
};

// Tiles go in bands of about 2048 rows, so that blocks at work together share what they read.
template <class F> DEVICE void find_tile(const Product& p, int* row, int* column) {
  constexpr int BAND = 2048 / F::m;
  int rows = ((int)p.m + F::m - 1) / F::m, columns = ((int)p.n + F::n - 1) / F::n, number = (int)blockIdx.x;
  int band = number / (BAND * columns), rest = number % (BAND * columns);
  int height = rows - band * BAND < BAND ? rows - band * BAND : BAND;
  *row = (band * BAND + rest % height) * F::m;
  *column = rest / height * F::n;
}

// A quad of lanes has 8 neighbouring columns of a row in pairs, of each of 4 blocks of columns: after two exchanges each lane
// has all 8 of one block.
DEVICE void turn_quad(uint32_t (&x)[4]) {
#pragma unroll
  for (int bit = 1; bit <= 2; bit *= 2) {
    bool is_upper = (threadIdx.x & bit) != 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (i & bit) continue;
      uint32_t got = __shfl_xor_sync(ALL, is_upper ? x[i] : x[i | bit], bit);
      if (is_upper) x[i] = got;
      else x[i | bit] = got;
    }
  }
}

// Writes a tile by 16 bytes where C allows it.
template <class T, class F> DEVICE void write(const Product& p, uint16_t* to, int row, int column, const Sums& sums) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  row += warp / F::warps_n * WARP_TILE + lane / 4;
  column += warp % F::warps_n * WARP_TILE;
  float alpha = (float)p.alpha, bias[8][2] = {};
  if (p.bias) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int q = 0; q < 2; q++) {
        int64_t c = column + j * 8 + lane % 4 * 2 + q;
        if (c >= p.n) continue;
        c *= p.bias_stride;
        bias[j][q] = p.bias_dtype == F32 ? ((const float*)p.bias)[c] : Element<T>::template value<float>(((const T*)p.bias)[c]);
      }
    }
  }
  bool has_bias = p.bias != nullptr, relu = p.relu != 0;
  auto ended = [&](float sum, float bias) {
    float x = sum * alpha;
    if (has_bias) x += bias;
    return relu && x < 0 ? 0.0f : x;
  };
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      int r = row + i * 16 + half * 8;
      uint16_t* line = to + r * p.c[0];
#pragma unroll
      for (int j = 0; j < 8; j += 4) {
        uint32_t x[4];
#pragma unroll
        for (int q = 0; q < 4; q++) {
          const float* pair = &sums[i][j + q][half * 2];
          x[q] = pack<T>(ended(pair[0], bias[j + q][0]), ended(pair[1], bias[j + q][1]));
        }
        turn_quad(x);
        int c = column + (j + lane % 4) * 8;
        if (r < p.m && c < p.n) *(Quad*)(line + c) = Quad{{x[0], x[1], x[2], x[3]}};
      }
    }
  }
}

// `GATHERED`: not both of A and B can be read by 16 bytes.
template <class T, class F, bool A_DEEP, bool B_DEEP, bool GATHERED> DEVICE void product16(const Product& p) {
  int row, column;
  find_tile<F>(p, &row, &column);
  for (int64_t z = blockIdx.z; z < p.batch; z += gridDim.z) {
    int64_t at[3];
    find_batch(p, z, at);
    using A = Strided16<A_DEEP>;
    using B = Strided16<B_DEEP>;
    A a{(const uint16_t*)p.a_data + at[1], p.a[0], p.a[1]};
    B b{(const uint16_t*)p.b_data + at[2], p.b[1], p.b[0]};
    Copier<F, F::m, A_DEEP> copy_a(a.data, a.pitch(), (int)p.m, row, (int)p.k);
    Copier<F, F::n, B_DEEP> copy_b(b.data, b.pitch(), (int)p.n, column, (int)p.k);
    Sums sums = {};
    if constexpr (GATHERED) {
      using GatherA = Gatherer<F, F::m, A>;
      using GatherB = Gatherer<F, F::n, B>;
      Either<decltype(copy_a), GatherA> of_a{(p.aligned & 1) != 0, copy_a, GatherA(a, p.m, row, p.k, 0)};
      Either<decltype(copy_b), GatherB> of_b{(p.aligned & 2) != 0, copy_b, GatherB(b, p.n, column, p.k, 0)};
      mma_sum<T, F>(of_a, of_b, p.k, sums);
    } else {
      mma_sum<T, F>(copy_a, copy_b, p.k, sums);
    }
    if (p.aligned & 4) {
      write<T, F>(p, (uint16_t*)p.c_data + at[0], row, column, sums);
    } else {
      mma_end<F>(p.m, p.n, row, column, sums, [&](int64_t i, int64_t j, float sum) {
        int64_t to = at[0] + i * p.c[0] + j * p.c[1];
        store_quick<float>(p.c_data, p.c_dtype, to, ended(p, to, j, sum));
      });
    }
  }
}

}  // namespace

KERNEL(matmul_f32, TILE_THREADS, const __grid_constant__ Product p) { product<float>(p); }
KERNEL(matmul_f64, TILE_THREADS, const __grid_constant__ Product p) { product<double>(p); }
KERNEL(matmul_i64, TILE_THREADS, const __grid_constant__ Product p) { product<int64_t>(p); }

// Named by form, and by whether neighbouring depths of A and B (deep) or their lines (wide) lie close.
#define PRODUCT_16(name, type, form, a_deep, b_deep, gathered) \
  KERNEL(name, form::threads, const __grid_constant__ Product p) { product16<type, form, a_deep, b_deep, gathered>(p); }
#define PRODUCTS_16(name, type, form, gathered)                     \
  PRODUCT_16(name##_deep_deep, type, form, true, true, gathered)    \
  PRODUCT_16(name##_deep_wide, type, form, true, false, gathered)   \
  PRODUCT_16(name##_wide_deep, type, form, false, true, gathered)   \
  PRODUCT_16(name##_wide_wide, type, form, false, false, gathered)
PRODUCTS_16(matmul_bfloat, bfloat_t, Square, false)
PRODUCTS_16(matmul_bfloat_gathered, bfloat_t, Square, true)
PRODUCTS_16(matmul_half, half_t, Square, false)
PRODUCTS_16(matmul_half_gathered, half_t, Square, true)
