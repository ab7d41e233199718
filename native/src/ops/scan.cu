// Running reductions along one dim: the kernels of scan.rs. A line that is alone on the device is cut into pieces: a first
// kernel finds what each piece comes to, a second joins those of the pieces before, a third runs along the pieces. Lines
// side by side are taken by a thread each. Sums and products of float32 run in float64, as on the CPU.
#include "lines/pieces.cuh"

using namespace toro;

namespace {

// Elements that a thread joins by itself.
constexpr int RUN = 4;
constexpr int TILE = LINE_THREADS * RUN;

template <class C> struct Wide { using type = double; };
template <> struct Wide<int64_t> { using type = int64_t; };

// A kind has a State: `zero` joins to nothing, `of` an element at a place of its line, and `write` stores what a state is worth.
// The result is operand 0, the input the last one.
template <class C> struct Sums {
  using State = typename Wide<C>::type;
  static constexpr int INPUT = 1;
  explicit DEVICE Sums(const Pieces&) {}
  DEVICE State zero() const { return 0; }
  DEVICE State of(C x, int64_t) const { return (State)x; }
  DEVICE State join(State a, State b) const { return wrap_add(a, b); }
  DEVICE void write(const Pieces& a, const int64_t* to, int64_t i, State s) const { put<C>(a.lines, 0, to[0], i, (C)s); }
};
template <class C> struct Products {
  using State = typename Wide<C>::type;
  static constexpr int INPUT = 1;
  explicit DEVICE Products(const Pieces&) {}
  DEVICE State zero() const { return 1; }
  DEVICE State of(C x, int64_t) const { return (State)x; }
  DEVICE State join(State a, State b) const { return wrap_mul(a, b); }
  DEVICE void write(const Pieces& a, const int64_t* to, int64_t i, State s) const { put<C>(a.lines, 0, to[0], i, (C)s); }
};

// The greatest element so far, and the sum of exp(x - greatest); a NaN makes the sum NaN.
template <class C> struct LogSums {
  using State = Two<double, double>;
  static constexpr int INPUT = 1;
  explicit DEVICE LogSums(const Pieces&) {}
  DEVICE State zero() const { return {(double)-INFINITY, 0.0}; }
  DEVICE State of(C element, int64_t) const {
    double x = (double)element;
    if (x != x) return {(double)-INFINITY, x};
    return {x, x == (double)-INFINITY ? 0.0 : 1.0};
  }
  static DEVICE double scaled(State s, double most) { return s.first == most ? s.second : s.second * exp(s.first - most); }
  DEVICE State join(State a, State b) const {
    double most = a.first > b.first ? a.first : b.first;
    return {most, scaled(a, most) + scaled(b, most)};
  }
  DEVICE void write(const Pieces& a, const int64_t* to, int64_t i, State s) const {
    bool is_end = s.second == s.second && (s.second == 0.0 || s.first == (double)INFINITY);
    put<C>(a.lines, 0, to[0], i, (C)(is_end ? s.first : s.first + log(s.second)));
  }
};

// The greatest element so far (number 0) or the least, and its place: the last of equal ones; NaN stays once met.
template <class C> struct Extremes {
  using State = Two<C, int64_t>;
  static constexpr int INPUT = 2;
  bool is_greatest;
  explicit DEVICE Extremes(const Pieces& a) : is_greatest(a.lines.numbers[0] != 0.0) {}
  DEVICE State zero() const { return {(C)0, -1}; }
  DEVICE State of(C x, int64_t i) const { return {x, i}; }
  DEVICE State join(State a, State b) const {
    if (a.second < 0 || is_nan(b.first)) return b.second < 0 ? a : b;
    if (b.second < 0 || is_nan(a.first)) return a;
    return (is_greatest ? b.first >= a.first : b.first <= a.first) ? b : a;
  }
  DEVICE void write(const Pieces& a, const int64_t* to, int64_t i, State s) const {
    put<C>(a.lines, 0, to[0], i, s.first);
    put<int64_t>(a.lines, 1, to[1], i, s.second);
  }
};

// What elements first .. of a thread's run come to; those from `end` on join to nothing.
template <class C, class K> DEVICE typename K::State run_of(const K& kind, const Pieces& a, int64_t from, int64_t first, int64_t end) {
  auto state = kind.zero();
  for (int64_t i = first; i < first + RUN && i < end; i++) {
    state = kind.join(state, kind.of(get<C>(a, K::INPUT, from, i), i));
  }
  return state;
}

// What each piece of each line comes to.
template <class C, class K> DEVICE void scan_totals(const Pieces& a) {
  K kind(a);
  auto join = [&](typename K::State x, typename K::State y) { return kind.join(x, y); };
  for (int64_t b = blockIdx.x; b < a.lines.count * a.pieces; b += gridDim.x) {
    int64_t from = line_start(a.lines, K::INPUT, b / a.pieces);
    int64_t begin = b % a.pieces * a.piece, end = begin + a.piece < a.lines.length ? begin + a.piece : a.lines.length;
    auto total = kind.zero();
    for (int64_t tile = begin; tile < end; tile += TILE) {
      typename K::State all;
      scan_block(run_of<C>(kind, a, from, tile + threadIdx.x * RUN, end), kind.zero(), join, &all);
      total = kind.join(total, all);
    }
    if (threadIdx.x == 0) ((typename K::State*)a.totals)[b] = total;
  }
}

// What the pieces before each one come to, in its place.
template <class K> DEVICE void scan_join(const Pieces& a) {
  K kind(a);
  for (int64_t line = thread_number(); line < a.lines.count; line += thread_count()) {
    auto* totals = (typename K::State*)a.totals + line * a.pieces;
    auto before = kind.zero();
    for (int p = 0; p < a.pieces; p++) {
      auto own = totals[p];
      totals[p] = before;
      before = kind.join(before, own);
    }
  }
}

template <class C, class K> DEVICE void scan(const Pieces& a) {
  K kind(a);
  if (a.alone) {
    for (int64_t line = thread_number(); line < a.lines.count; line += thread_count()) {
      int64_t from = line_start(a.lines, K::INPUT, line);
      int64_t to[2] = {line_start(a.lines, 0, line), line_start(a.lines, 1, line)};
      auto state = kind.zero();
      for (int64_t i = 0; i < a.lines.length; i++) {
        state = kind.join(state, kind.of(get<C>(a, K::INPUT, from, i), i));
        kind.write(a, to, i, state);
      }
    }
    return;
  }
  auto join = [&](typename K::State x, typename K::State y) { return kind.join(x, y); };
  for (int64_t b = blockIdx.x; b < a.lines.count * a.pieces; b += gridDim.x) {
    int64_t line = b / a.pieces, from = line_start(a.lines, K::INPUT, line);
    int64_t to[2] = {line_start(a.lines, 0, line), line_start(a.lines, 1, line)};
    int64_t begin = b % a.pieces * a.piece, end = begin + a.piece < a.lines.length ? begin + a.piece : a.lines.length;
    auto before = a.pieces > 1 ? ((const typename K::State*)a.totals)[b] : kind.zero();
    for (int64_t tile = begin; tile < end; tile += TILE) {
      int64_t first = tile + threadIdx.x * RUN;
      typename K::State all;
      auto up_to = scan_block(run_of<C>(kind, a, from, first, end), kind.zero(), join, &all);
      auto state = kind.join(before, before_in_block(up_to, kind.zero()));
      for (int64_t i = first; i < first + RUN && i < end; i++) {
        state = kind.join(state, kind.of(get<C>(a, K::INPUT, from, i), i));
        kind.write(a, to, i, state);
      }
      before = kind.join(before, all);
    }
  }
}

// ---- gradients of products, a block for each line; in float64, as on the CPU

DEVICE double times(double a, double b) { return a * b; }
DEVICE double plus(double a, double b) { return a + b; }

// Runs along a line forwards or backwards: `element` gives what is joined at a place, `write` gets the place and what came
// before it, its own left out. Returns what the whole line comes to.
template <class T, class E, class J, class W>
DEVICE T along(int64_t n, bool is_reverse, T zero, E element, J join, W write) {
  T before = zero;
  for (int64_t tile = 0; tile < n; tile += LINE_THREADS) {
    int64_t at = tile + threadIdx.x, i = is_reverse ? n - 1 - at : at;
    T all, up_to = scan_block(at < n ? element(i) : zero, zero, join, &all);
    T own = join(before, before_in_block(up_to, zero));
    if (at < n) write(i, own);
    before = join(before, all);
  }
  return before;
}

// Its barriers also let a thread read what others wrote before.
DEVICE bool has_zero(const Pieces& a, int k, int64_t from) {
  double zeros = 0.0;
  for (int64_t i = threadIdx.x; i < a.lines.length; i += LINE_THREADS) zeros += get<double>(a, k, from, i) == 0.0;
  return sum_block(zeros) > 0.0;
}

// For each element the product of all others; by division where none is 0, so that NaN spreads as in PyTorch.
// Operands: out, x.
DEVICE void prod_others(const Pieces& a) {
  int64_t n = a.lines.length;
  for (int64_t line = blockIdx.x; line < a.lines.count; line += gridDim.x) {
    int64_t to = line_start(a.lines, 0, line), from = line_start(a.lines, 1, line);
    double* before = a.spare + line * n;
    auto x = [&](int64_t i) { return get<double>(a, 1, from, i); };
    double total = along(n, false, 1.0, x, times, [&](int64_t i, double product) { before[i] = product; });
    if (!has_zero(a, 1, from)) {
      for (int64_t i = threadIdx.x; i < n; i += LINE_THREADS) put<double>(a.lines, 0, to, i, total / x(i));
      continue;
    }
    along(n, true, 1.0, x, times, [&](int64_t i, double after) { put<double>(a.lines, 0, to, i, before[i] * after); });
  }
}

// The gradient of cumprod: gx_i = Σ_(k ≥ i) g_k y_k / x_i where no x is 0, else P_i S_i with the product P before i and
// S_i = g_i + x_(i+1) S_(i+1). Operands: gx, g, x.
DEVICE void cumprod_grad(const Pieces& a) {
  int64_t n = a.lines.length;
  for (int64_t line = blockIdx.x; line < a.lines.count; line += gridDim.x) {
    int64_t to = line_start(a.lines, 0, line), of_g = line_start(a.lines, 1, line), from = line_start(a.lines, 2, line);
    double* before = a.spare + line * n;
    auto x = [&](int64_t i) { return get<double>(a, 2, from, i); };
    auto g = [&](int64_t i) { return get<double>(a, 1, of_g, i); };
    along(n, false, 1.0, x, times, [&](int64_t i, double product) { before[i] = product; });
    if (!has_zero(a, 2, from)) {
      auto share = [&](int64_t i) { return g(i) * before[i] * x(i); };
      along(n, true, 0.0, share, plus, [&](int64_t i, double sum) { put<double>(a.lines, 0, to, i, (sum + share(i)) / x(i)); });
      continue;
    }
    // s -> first + second s, from the end of the line on; of two, the one that is met first is the inner one.
    using Step = Two<double, double>;
    auto step = [&](int64_t i) { return Step{g(i), i + 1 < n ? x(i + 1) : 0.0}; };
    auto join = [](Step inner, Step outer) { return Step{outer.first + outer.second * inner.first, outer.second * inner.second}; };
    along(n, true, Step{0.0, 1.0}, step, join, [&](int64_t i, Step rest) {
      double after = i + 1 < n ? g(i) + x(i + 1) * rest.first : g(i);
      put<double>(a.lines, 0, to, i, before[i] * after);
    });
  }
}

}  // namespace

// The three kernels of a kind in one compute type.
#define SCAN_KERNELS(name, type, suffix, Kind)                                                                             \
  KERNEL(scan_##name##_##suffix, LINE_THREADS, const __grid_constant__ Pieces a) { scan<type, Kind<type>>(a); }            \
  KERNEL(totals_##name##_##suffix, LINE_THREADS, const __grid_constant__ Pieces a) { scan_totals<type, Kind<type>>(a); }   \
  KERNEL(before_##name##_##suffix, LINE_THREADS, const __grid_constant__ Pieces a) { scan_join<Kind<type>>(a); }
#define SCAN_real(name, Kind) SCAN_KERNELS(name, float, f32, Kind) SCAN_KERNELS(name, double, f64, Kind)
#define SCAN_all(name, Kind) SCAN_real(name, Kind) SCAN_KERNELS(name, int64_t, i64, Kind)

SCAN_all(cumsum, Sums)
SCAN_all(cumprod, Products)
SCAN_real(logcumsumexp, LogSums)
SCAN_all(cum_extreme, Extremes)
KERNEL(prod_others_f64, LINE_THREADS, const __grid_constant__ Pieces a) { prod_others(a); }
KERNEL(cumprod_grad_f64, LINE_THREADS, const __grid_constant__ Pieces a) { cumprod_grad(a); }
