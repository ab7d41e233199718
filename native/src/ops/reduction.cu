// Reductions: the kinds of reduction.rs. Their engine is reduce/reduce.cuh.
#include "map/functions.cuh"
#include "reduce/reduce.cuh"

using namespace toro;

namespace {

// float64 for floats, int64 for integers.
template <class C> struct Wide { using type = double; };
template <> struct Wide<int64_t> { using type = int64_t; };

template <class C, bool MEAN, bool SKIP> struct Summing {
  using Total = typename Wide<C>::type;
  explicit DEVICE Summing(const Reduce&) {}
  DEVICE C start() const { return 0; }
  DEVICE Total zero() const { return 0; }
  DEVICE C step(C sum, C x, double) const { return SKIP && is_nan(x) ? sum : wrap_add(sum, x); }
  DEVICE Total join(Total total, C sum) const { return wrap_add(total, (Total)sum); }
  DEVICE Total merge(Total a, Total b) const { return wrap_add(a, b); }
  DEVICE Total finish(Total total, int64_t n) const { return MEAN ? total / (Total)n : total; }
};
template <class C> using Sum = Summing<C, false, false>;
template <class C> using Mean = Summing<C, true, false>;
template <class C> using NanSum = Summing<C, false, true>;

template <class C> struct Prod {
  using Total = typename Wide<C>::type;
  explicit DEVICE Prod(const Reduce&) {}
  DEVICE Total start() const { return 1; }
  DEVICE Total zero() const { return 1; }
  DEVICE Total step(Total product, C x, double) const { return wrap_mul(product, (Total)x); }
  DEVICE Total join(Total total, Total product) const { return wrap_mul(total, product); }
  DEVICE Total merge(Total a, Total b) const { return wrap_mul(a, b); }
  DEVICE Total finish(Total total, int64_t) const { return total; }
};

template <class C> struct Ends {
  static DEVICE C least() { return (C)-INFINITY; }
  static DEVICE C most() { return (C)INFINITY; }
};
template <> struct Ends<int64_t> {
  static DEVICE int64_t least() { return INT64_MIN; }
  static DEVICE int64_t most() { return INT64_MAX; }
};

// The greatest or the least element, or of their absolute values; NaN wins.
template <class C, bool GREATEST, bool ABSOLUTE> struct Extreme {
  using Total = C;
  explicit DEVICE Extreme(const Reduce&) {}
  DEVICE C start() const { return zero(); }
  DEVICE C zero() const { return !GREATEST ? Ends<C>::most() : ABSOLUTE ? (C)0 : Ends<C>::least(); }
  DEVICE C pick(C best, C x) const { return (GREATEST ? x > best : x < best) || is_nan(x) ? x : best; }
  DEVICE C step(C best, C x, double) const { return pick(best, ABSOLUTE ? absolute(x) : x); }
  DEVICE C join(C total, C best) const { return pick(total, best); }
  DEVICE C merge(C a, C b) const { return pick(a, b); }
  DEVICE C finish(C total, int64_t) const { return total; }
};
template <class C> using Max = Extreme<C, true, false>;
template <class C> using Min = Extreme<C, false, false>;
template <class C> using NormMost = Extreme<C, true, true>;
template <class C> using NormLeast = Extreme<C, false, true>;

template <class C> struct Any {
  using Total = int64_t;
  explicit DEVICE Any(const Reduce&) {}
  DEVICE int64_t start() const { return 0; }
  DEVICE int64_t zero() const { return 0; }
  DEVICE int64_t step(int64_t any, C x, double) const { return x != (C)0 ? 1 : any; }
  DEVICE int64_t join(int64_t a, int64_t b) const { return a | b; }
  DEVICE int64_t merge(int64_t a, int64_t b) const { return a | b; }
  DEVICE int64_t finish(int64_t total, int64_t) const { return total; }
};
template <class C> struct All {
  using Total = int64_t;
  explicit DEVICE All(const Reduce&) {}
  DEVICE int64_t start() const { return 1; }
  DEVICE int64_t zero() const { return 1; }
  DEVICE int64_t step(int64_t all, C x, double) const { return x == (C)0 ? 0 : all; }
  DEVICE int64_t join(int64_t a, int64_t b) const { return a & b; }
  DEVICE int64_t merge(int64_t a, int64_t b) const { return a & b; }
  DEVICE int64_t finish(int64_t total, int64_t) const { return total; }
};
template <class C> struct Count {
  using Total = int64_t;
  explicit DEVICE Count(const Reduce&) {}
  DEVICE int64_t start() const { return 0; }
  DEVICE int64_t zero() const { return 0; }
  DEVICE int64_t step(int64_t count, C x, double) const { return count + (x != (C)0); }
  DEVICE int64_t join(int64_t a, int64_t b) const { return a + b; }
  DEVICE int64_t merge(int64_t a, int64_t b) const { return a + b; }
  DEVICE int64_t finish(int64_t total, int64_t) const { return total; }
};

// What is summed in float64 and finished in its own way.
template <class C> struct InDouble {
  using Total = double;
  DEVICE double start() const { return 0; }
  DEVICE double zero() const { return 0; }
  DEVICE double join(double a, double b) const { return a + b; }
  DEVICE double merge(double a, double b) const { return a + b; }
};
template <class C> struct Norm : InDouble<C> {
  double p;
  explicit DEVICE Norm(const Reduce& a) : p(a.parameters[0]) {}
  DEVICE double step(double sum, C x, double) const { return sum + pow(fabs((double)x), p); }
  DEVICE double finish(double total, int64_t) const { return pow(total, 1.0 / p); }
};
// (x - aux)² over n - correction, or its root.
template <class C> struct Deviation : InDouble<C> {
  double correction;
  bool is_root;
  explicit DEVICE Deviation(const Reduce& a) : correction(a.parameters[0]), is_root(a.parameters[1] != 0.0) {}
  DEVICE double step(double sum, C x, double aux) const {
    double d = (double)x - aux;
    return sum + d * d;
  }
  DEVICE double finish(double total, int64_t n) const {
    double left = (double)n - correction, variance = total / (left > 0.0 ? left : 0.0);
    return is_root ? sqrt(variance) : variance;
  }
};

// Squares of float32 overflow in float32, as on the CPU.
template <class C, int ORDER> struct Power {
  using Total = double;
  explicit DEVICE Power(const Reduce&) {}
  DEVICE C start() const { return 0; }
  DEVICE double zero() const { return 0; }
  DEVICE C step(C sum, C x, double) const { return sum + (ORDER == 2 ? x * x : absolute(x)); }
  DEVICE double join(double total, C sum) const { return total + (double)sum; }
  DEVICE double merge(double a, double b) const { return a + b; }
  DEVICE double finish(double total, int64_t) const { return ORDER == 2 ? sqrt(total) : total; }
};
template <class C> using Norm1 = Power<C, 1>;
template <class C> using Norm2 = Power<C, 2>;

template <class C> struct SumExp {
  using Total = double;
  explicit DEVICE SumExp(const Reduce&) {}
  DEVICE C start() const { return 0; }
  DEVICE double zero() const { return 0; }
  DEVICE C step(C sum, C x, double most) const { return sum + exp(x - (C)most); }
  DEVICE double join(double total, C sum) const { return total + (double)sum; }
  DEVICE double merge(double a, double b) const { return a + b; }
  DEVICE double finish(double total, int64_t) const { return total; }
};

}  // namespace

REDUCE_all(sum, Sum)
// Integers have no mean: their sum comes out, as on the CPU.
REDUCE_real(mean, Mean)
REDUCE_KERNELS(mean, int64_t, i64, Sum)
REDUCE_all(nansum, NanSum)
REDUCE_all(prod, Prod)
REDUCE_all(amax, Max)
REDUCE_all(amin, Min)
REDUCE_all(any, Any)
REDUCE_all(all, All)
REDUCE_all(count_nonzero, Count)
REDUCE_real(norm, Norm)
REDUCE_real(norm1, Norm1)
REDUCE_real(norm2, Norm2)
REDUCE_real(norm_most, NormMost)
REDUCE_real(norm_least, NormLeast)
REDUCE_real(variance, Deviation)
REDUCE_real(sum_exp, SumExp)
