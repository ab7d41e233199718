// One step of one direction of a recurrent layer, forward and backward: the kernels of recurrent.rs, launched once for each
// step. A block of 256 threads takes 32 rows of the batch by 32 units with all their gates: what the state gives the gates
// is a product whose tiles pass through shared memory, and the cell follows while the gates are in registers.
#include "device.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 256, WIDTH = 32, DEPTH = 16, ROWS = WIDTH * WIDTH / THREADS;

enum Cell : int { TANH, RELU, LSTM, GRU };

// Rows of some operand at a step; in elements of the compute type, adjacent columns.
struct Rows {
  void* data;
  int64_t stride;
};
template <class C> DEVICE C* row_of(const Rows& o, int64_t row) { return (C*)o.data + row * o.stride; }

// A state (B, H), or null.
struct State {
  void* data;
  int64_t row, column;
};
template <class C> DEVICE C& state(const State& s, int64_t row, int64_t unit) { return ((C*)s.data)[row * s.row + unit * s.column]; }

// Mirrors Step in recurrent/cuda.rs.
struct Step {
  // Rows of this step; rows that have the step before it, the others begin from the first state.
  int64_t rows, begun;
  int64_t batch, units;
  Rows x, y, keep, cells;
  Rows y_before, cells_before;
  State h0, c0, hn, cn, w;
  const void* bias;
  int64_t bias_stride;
  int32_t cell, unused;
};
static_assert(sizeof(Step) == 272, "as in recurrent/cuda.rs");

DEVICE float sigmoid(float x) {
  float e = exp(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
DEVICE double sigmoid(double x) {
  double e = exp(-fabs(x));
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

// Brings 16 columns from `from` on of 32 rows into shared memory: tile[l][r] = get(r, from + l).
template <class C, class F> DEVICE void fill(C (*tile)[WIDTH + 1], int64_t from, int64_t depths, F get) {
#pragma unroll
  for (int s = 0; s < WIDTH * DEPTH / THREADS; s++) {
    int t = threadIdx.x + s * THREADS, r = t / DEPTH, l = t % DEPTH;
    tile[l][r] = from + l < depths ? get(r, from + l) : (C)0;
  }
}

template <class C> DEVICE C state_before(const Step& p, int64_t row, int64_t unit) {
  return row < p.begun ? row_of<C>(p.y_before, row)[unit] : state<C>(p.h0, row, unit);
}

// GATES of each unit; the kernel of a cell.
template <class C, int GATES> DEVICE void step(const Step& p) {
  __shared__ C h_tile[DEPTH][WIDTH + 1];
  __shared__ C w_tile[GATES][DEPTH][WIDTH + 1];
  int64_t first_unit = (int64_t)blockIdx.x * WIDTH, first_row = (int64_t)blockIdx.y * WIDTH;
  int x = threadIdx.x % WIDTH, y = threadIdx.x / WIDTH;
  int64_t unit = first_unit + x;
  C sums[ROWS][GATES] = {};
  for (int64_t from = 0; from < p.units; from += DEPTH) {
    fill(h_tile, from, p.units, [&](int r, int64_t k) {
      return first_row + r < p.rows ? state_before<C>(p, first_row + r, k) : (C)0;
    });
#pragma unroll
    for (int gate = 0; gate < GATES; gate++) {
      fill(w_tile[gate], from, p.units, [&](int u, int64_t k) {
        return first_unit + u < p.units ? state<C>(p.w, gate * p.units + first_unit + u, k) : (C)0;
      });
    }
    __syncthreads();
#pragma unroll 4
    for (int l = 0; l < DEPTH; l++) {
#pragma unroll
      for (int gate = 0; gate < GATES; gate++) {
        C w = w_tile[gate][l][x];
#pragma unroll
        for (int i = 0; i < ROWS; i++) sums[i][gate] += h_tile[l][y + i * (WIDTH / ROWS)] * w;
      }
    }
    __syncthreads();
  }
  if (unit >= p.units) return;
#pragma unroll
  for (int i = 0; i < ROWS; i++) {
    int64_t row = first_row + y + i * (WIDTH / ROWS);
    if (row >= p.rows) continue;
    const C* given = row_of<C>(p.x, row) + unit;
    C h;
    if constexpr (GATES == 1) {
      C a = given[0] + sums[i][0];
      // NaN stays.
      h = p.cell == RELU ? (a < (C)0 ? (C)0 : a) : (C)tanh(a);
    } else if constexpr (GATES == 4) {
      C in = sigmoid(given[0] + sums[i][0]), forget = sigmoid(given[p.units] + sums[i][1]);
      C added = tanh(given[2 * p.units] + sums[i][2]), out = sigmoid(given[3 * p.units] + sums[i][3]);
      C c = forget * (row < p.begun ? row_of<C>(p.cells_before, row)[unit] : state<C>(p.c0, row, unit)) + in * added;
      h = out * (C)tanh(c);
      C* keep = row_of<C>(p.keep, row) + unit;
      keep[0] = in;
      keep[p.units] = forget;
      keep[2 * p.units] = added;
      keep[3 * p.units] = out;
      row_of<C>(p.cells, row)[unit] = c;
      state<C>(p.cn, row, unit) = c;
    } else {
      C reset = sigmoid(given[0] + sums[i][0]), update = sigmoid(given[p.units] + sums[i][1]);
      C from_state = sums[i][2] + (p.bias ? ((const C*)p.bias)[unit * p.bias_stride] : (C)0);
      C added = tanh(given[2 * p.units] + reset * from_state);
      h = added + update * (state_before<C>(p, row, unit) - added);
      C* keep = row_of<C>(p.keep, row) + unit;
      keep[0] = reset;
      keep[p.units] = update;
      keep[2 * p.units] = added;
      keep[3 * p.units] = from_state;
    }
    row_of<C>(p.y, row)[unit] = h;
    state<C>(p.hn, row, unit) = h;
  }
}

// Mirrors Back in recurrent/cuda.rs.
struct Back {
  // Rows of this step, rows that have the step before it, rows of the step that came after.
  int64_t rows, begun, after_rows;
  int64_t batch, units;
  // The gates' gradients of the step that came after.
  Rows after;
  Rows gx, ga, before, gy, y, keep, cells, y_before, cells_before;
  // The gradients of the states, which go from step to step.
  State dh, dc;
  State h0, c0, w;
  // After the first step: where the gradients of the first states go.
  State gh0, gc0;
  int32_t cell, is_last;
};
static_assert(sizeof(Back) == 376, "as in recurrent/cuda.rs");

// First brings the gradient of the units' state out of the gates' gradients of the step that came after, then finds
// those of this step.
template <class C, int GATES> DEVICE void step_grad(const Back& p) {
  __shared__ C a_tile[DEPTH][WIDTH + 1];
  __shared__ C w_tile[DEPTH][WIDTH + 1];
  int64_t first_unit = (int64_t)blockIdx.x * WIDTH, first_row = (int64_t)blockIdx.y * WIDTH;
  int x = threadIdx.x % WIDTH, y = threadIdx.x / WIDTH;
  int64_t unit = first_unit + x, depths = first_row < p.after_rows ? GATES * p.units : 0;
  C sums[ROWS] = {};
  for (int64_t from = 0; from < depths; from += DEPTH) {
    fill(a_tile, from, depths, [&](int r, int64_t k) {
      return first_row + r < p.after_rows ? row_of<C>(p.after, first_row + r)[k] : (C)0;
    });
    fill(w_tile, from, depths, [&](int u, int64_t k) {
      return first_unit + u < p.units ? state<C>(p.w, k, first_unit + u) : (C)0;
    });
    __syncthreads();
#pragma unroll 4
    for (int l = 0; l < DEPTH; l++) {
      C w = w_tile[l][x];
#pragma unroll
      for (int i = 0; i < ROWS; i++) sums[i] += a_tile[l][y + i * (WIDTH / ROWS)] * w;
    }
    __syncthreads();
  }
  if (unit >= p.units) return;
#pragma unroll
  for (int i = 0; i < ROWS; i++) {
    int64_t row = first_row + y + i * (WIDTH / ROWS);
    if (row >= p.batch) continue;
    C& dh = state<C>(p.dh, row, unit);
    C up = dh + sums[i];
    if (p.is_last) {
      state<C>(p.gh0, row, unit) = up;
      if constexpr (GATES == 4) state<C>(p.gc0, row, unit) = state<C>(p.dc, row, unit);
      continue;
    }
    if (row >= p.rows) {
      dh = up;
      continue;
    }
    up += row_of<C>(p.gy, row)[unit];
    bool has_begun = row < p.begun;
    C h_before = has_begun ? row_of<C>(p.y_before, row)[unit] : state<C>(p.h0, row, unit);
    const C* keep = row_of<C>(p.keep, row) + unit;
    C* gx = row_of<C>(p.gx, row) + unit;
    int64_t n = p.units;
    row_of<C>(p.before, row)[unit] = h_before;
    if constexpr (GATES == 1) {
      C h = keep[0];
      gx[0] = p.cell == RELU ? (h > (C)0 ? up : (C)0) : up * ((C)1 - h * h);
      dh = (C)0;
    } else if constexpr (GATES == 4) {
      C in = keep[0], forget = keep[n], added = keep[2 * n], out = keep[3 * n];
      C t = tanh(row_of<C>(p.cells, row)[unit]);
      C c_before = has_begun ? row_of<C>(p.cells_before, row)[unit] : state<C>(p.c0, row, unit);
      C& dc = state<C>(p.dc, row, unit);
      C d = dc + up * out * ((C)1 - t * t);
      gx[0] = d * added * in * ((C)1 - in);
      gx[n] = d * c_before * forget * ((C)1 - forget);
      gx[2 * n] = d * in * ((C)1 - added * added);
      gx[3 * n] = up * t * out * ((C)1 - out);
      dc = d * forget;
      dh = (C)0;
    } else {
      C reset = keep[0], update = keep[n], added = keep[2 * n], from_state = keep[3 * n];
      C* ga = row_of<C>(p.ga, row) + unit;
      C d = up * ((C)1 - update) * ((C)1 - added * added);
      ga[0] = gx[0] = d * from_state * reset * ((C)1 - reset);
      ga[n] = gx[n] = up * (h_before - added) * update * ((C)1 - update);
      gx[2 * n] = d;
      ga[2 * n] = d * reset;
      dh = up * update;
    }
  }
}

// Mirrors Copy in recurrent/cuda.rs.
struct Copy {
  int64_t rows, units;
  State to, from;
};
static_assert(sizeof(Copy) == 64, "as in recurrent/cuda.rs");

template <class C> DEVICE void copy_state(const Copy& p) {
  for (int64_t i = thread_number(); i < p.rows * p.units; i += thread_count()) {
    state<C>(p.to, i / p.units, i % p.units) = state<C>(p.from, i / p.units, i % p.units);
  }
}

}  // namespace

#define CELLS(gates)                                                                                                   \
  KERNEL(recurrent_##gates##_f32, THREADS, const __grid_constant__ Step p) { step<float, gates>(p); }                  \
  KERNEL(recurrent_##gates##_f64, THREADS, const __grid_constant__ Step p) { step<double, gates>(p); }                 \
  KERNEL(recurrent_grad_##gates##_f32, THREADS, const __grid_constant__ Back p) { step_grad<float, gates>(p); }        \
  KERNEL(recurrent_grad_##gates##_f64, THREADS, const __grid_constant__ Back p) { step_grad<double, gates>(p); }
CELLS(1)
CELLS(3)
CELLS(4)
KERNEL(recurrent_copy_f32, THREADS, const __grid_constant__ Copy p) { copy_state<float>(p); }
KERNEL(recurrent_copy_f64, THREADS, const __grid_constant__ Copy p) { copy_state<double>(p); }
