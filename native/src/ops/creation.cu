// Tensors made of patterns: the kernels of creation.rs, over the elements of the output.
#include "map/functions.cuh"
#include "map/map.cuh"

using namespace toro;

#define PATTERN_KERNEL(name, type, suffix, N, parameters, value)                \
  KERNEL(pattern_##name##_##suffix, MAP_THREADS, const __grid_constant__ Map a) { \
    using C = type;                                                             \
    Scalars scalars{a};                                                         \
    [[maybe_unused]] auto p = [&](int i) { return scalars.get<C>(i); };         \
    map_by_index<C, N>(a, [&] parameters -> C { return (C)(value); });          \
  }

namespace {

// Computed from the nearer end; with a base, its power.
DEVICE double linspace(int64_t i, int64_t steps, double start, double end, double base) {
  double step = steps > 1 ? (end - start) / (double)(steps - 1) : 0.0;
  double x = i < steps / 2 || steps == 1 ? start + step * (double)i : end - step * (double)(steps - 1 - i);
  return base == 0.0 ? x : pow(base, x);
}
// Whether element i of matrices of m rows and n columns lies on the side of a diagonal that goes.
DEVICE bool is_cut(int64_t i, int64_t m, int64_t n, int64_t diagonal, bool upper) {
  int64_t row = i / n % m, column = i % n;
  return upper ? column - row < diagonal : column - row > diagonal;
}

}  // namespace

PATTERN_KERNEL(arange, int64_t, i64, 0, (int64_t i), wrap_add(p(0), wrap_mul(p(1), i)))
PATTERN_KERNEL(arange, double, f64, 0, (int64_t i), p(0) + p(1) * (double)i)
PATTERN_KERNEL(linspace, double, f64, 0, (int64_t i), linspace(i, a.numel, p(0), p(1), p(2)))
// The input is the output; scalars as int64: rows, columns, the diagonal, whether what lies below it goes.
#define TRIANGLE(type, suffix) \
  PATTERN_KERNEL(triangle, type, suffix, 1, (int64_t i, type x), \
                 is_cut(i, (int64_t)a.scalars[0], (int64_t)a.scalars[1], (int64_t)a.scalars[2], a.scalars[3] != 0) ? (type)0 : x)
TRIANGLE(float, f32)
TRIANGLE(double, f64)
TRIANGLE(int64_t, i64)

// The input is the class of each row of `classes` elements: scalars classes, the alarm, the opcode.
KERNEL(pattern_one_hot_i64, MAP_THREADS, const __grid_constant__ Map a) {
  int64_t classes = (int64_t)a.scalars[0];
  map_by_index<int64_t, 1>(a, [&](int64_t i, int64_t own) -> int64_t {
    if (own < 0 || own >= classes) raise((Alarm*)a.scalars[1], (unsigned)a.scalars[2], own, classes);
    return i % classes == own;
  });
}
