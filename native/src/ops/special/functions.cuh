// Special functions of double: what native/src/math/special.rs has, in the same order and by the same series. float goes
// through them too. None is inlined: ptxas takes the number of kernels times their size.
#pragma once
#include "device.cuh"

#define SPECIAL static __device__ __noinline__

namespace toro {
namespace special {

constexpr double PI = 3.14159265358979323846;
constexpr double QUARTER_PI = 0.78539816339744830962;
constexpr double LN_2 = 0.69314718055994530942;
constexpr double ROOT_2 = 1.41421356237309504880;
constexpr double EULER = 0.57721566490153286061;

DEVICE bool is_infinite(double x) { return fabs(x) == (double)INFINITY; }
DEVICE double fraction(double x) { return x - trunc(x); }

// ---- gamma and its relatives

SPECIAL double digamma(double x) {
  if (x == 0.0) return copysign((double)INFINITY, -x);
  double sum = 0.0;
  if (x < 0.0) {
    if (x == trunc(x)) return (double)NAN;
    // The fraction first: π x itself would lose it for large x.
    sum = -PI / tan(PI * fraction(x));
    x = 1.0 - x;
  }
  for (; x < 10.0; x += 1.0) sum -= 1.0 / x;
  if (x == (double)INFINITY) return x;
  double z = 1.0 / (x * x);
  double series =
      z * (1.0 / 12.0 -
           z * (1.0 / 120.0 - z * (1.0 / 252.0 - z * (1.0 / 240.0 - z * (1.0 / 132.0 - z * (691.0 / 32760.0))))));
  return sum + log(x) - 0.5 / x - series;
}

// B₂ₖ / (2k)! for k = 1…12, in Euler and Maclaurin's formula.
DEVICE double bernoulli(int k) {
  switch (k) {
    case 0: return 1.0 / 12.0;
    case 1: return -1.0 / 720.0;
    case 2: return 1.0 / 30240.0;
    case 3: return -1.0 / 1209600.0;
    case 4: return 1.0 / 47900160.0;
    case 5: return -691.0 / 1307674368000.0;
    case 6: return 1.0 / 74724249600.0;
    case 7: return -3617.0 / 10670622842880000.0;
    case 8: return 43867.0 / 5109094217170944000.0;
    case 9: return -174611.0 / 802857662698291200000.0;
    case 10: return 77683.0 / 14101100039391805440000.0;
    default: return -236364091.0 / 1693824136731743669452800000.0;
  }
}

SPECIAL double zeta(double s, double q) {
  if (s == 1.0) return (double)INFINITY;
  if (!(s >= 1.0) || q != q) return (double)NAN;
  if (q <= 0.0) {
    if (q == floor(q)) return (double)INFINITY;
    if (s != floor(s)) return (double)NAN;
  }
  double sum = pow(q, -s), a = q;
  for (int steps = 0; steps < 10 || (a <= 10.0 && steps < 10000); steps++) {
    a += 1.0;
    double term = pow(a, -s);
    sum += term;
    if (fabs(term) < fabs(sum) * 1e-17 && a > 0.0) return sum;
  }
  double power = pow(a, -s);
  sum += power * a / (s - 1.0) - 0.5 * power;
  double factor = s, term = power / a;
#pragma unroll 1
  for (int k = 0; k < 12; k++) {
    double part = bernoulli(k) * factor * term;
    sum += part;
    if (fabs(part) < fabs(sum) * 1e-17) break;
    double j = 2.0 * k;
    factor *= (s + j + 1.0) * (s + j + 2.0);
    term /= a * a;
  }
  return sum;
}

SPECIAL double polygamma(double n, double x) {
  if (n == 0.0) return digamma(x);
  if (n == 1.0 && x < 0.5) {
    // ζ's terms at small x are one large square; the reflection keeps negative arguments exact.
    double part = PI / sin(PI * fraction(x));
    return part * part - zeta(2.0, 1.0 - x);
  }
  double sign = fmod(n, 2.0) == 0.0 ? -1.0 : 1.0;
  return sign * exp(lgamma(n + 1.0)) * zeta(n + 1.0, x);
}

// xᵃ e⁻ˣ / Γ(a + 1)
SPECIAL double gamma_factor(double a, double x) {
  if (fabs(a - x) < 0.4 * a && a > 50.0) {
    // a log x - x - log Γ(a + 1) with what cancels taken out.
    double d = (x - a) / a, z = 1.0 / (a * a);
    double stirling = (1.0 / 12.0 - z * (1.0 / 360.0 - z / 1260.0)) / a;
    return exp(a * (log1p(d) - d) - stirling) / sqrt(2.0 * PI * a);
  }
  return exp(a * log(x) - x - lgamma(a + 1.0));
}

// P(a, x) by its series: Σ xᵏ / ((a + 1) … (a + k)).
SPECIAL double gamma_series(double a, double x) {
  double sum = 1.0, term = 1.0, k = a;
  for (int i = 0; i < 100000; i++) {
    k += 1.0;
    term *= x / k;
    sum += term;
    if (term < sum * 1e-17) break;
  }
  return gamma_factor(a, x) * sum;
}

DEVICE double not_zero(double x) { return fabs(x) < 1e-300 ? 1e-300 : x; }

// Q(a, x) by Legendre's continued fraction, after Lentz.
SPECIAL double gamma_fraction(double a, double x) {
  double b = x + 1.0 - a, c = 1e300, d = 1.0 / (b == 0.0 ? 1e-300 : b), h = d;
  for (int k = 1; k < 100000; k++) {
    double i = k, an = -i * (i - a);
    b += 2.0;
    d = 1.0 / not_zero(an * d + b);
    c = not_zero(b + an / c);
    double step = d * c;
    h *= step;
    if (fabs(step - 1.0) < 1e-16) break;
  }
  return gamma_factor(a, x) * a * h;
}

// P(a, x), or Q(a, x) = 1 - P(a, x).
SPECIAL double incomplete_gamma(double a, double x, bool is_upper) {
  if (!(a >= 0.0) || !(x >= 0.0)) return (double)NAN;
  double all = is_upper ? 0.0 : 1.0;
  if (a == 0.0) return x > 0.0 ? all : (double)NAN;
  if (x == 0.0) return 1.0 - all;
  if (is_infinite(a)) return is_infinite(x) ? (double)NAN : 1.0 - all;
  if (is_infinite(x)) return all;
  bool is_lower_found = x < a + 1.0;
  double found = is_lower_found ? gamma_series(a, x) : gamma_fraction(a, x);
  return is_lower_found != is_upper ? found : 1.0 - found;
}

// ---- Bessel functions

// e^(-|x|) Iₙ(x) for n of 0 or 1: the power series, whose terms are all positive, up to 25, then the asymptotic one.
SPECIAL double bessel_i_scaled(double n, double x) {
  double z = fabs(x), sign = n == 1.0 ? (x != x ? x : copysign(1.0, x)) : 1.0;
  double term = 1.0, sum = 1.0;
  if (z <= 25.0) {
    double q = z * z / 4.0;
    for (int i = 1; i < 200; i++) {
      double k = i;
      term *= q / (k * (k + n));
      sum += term;
      if (term < sum * 1e-17) break;
    }
    return sign * (n == 1.0 ? z / 2.0 : 1.0) * sum * exp(-z);
  }
  if (is_infinite(z)) return 0.0 * sign;
  for (int i = 1; i < 40; i++) {
    double k = i, odd = 2.0 * k - 1.0;
    double next = term * (odd * odd - 4.0 * n * n) / (8.0 * k * z);
    if (fabs(next) > fabs(term) || fabs(next) < 1e-17) break;
    term = next;
    sum += term;
  }
  return sign * sum / sqrt(2.0 * PI * z);
}

// Iₙ, without an early overflow.
SPECIAL double bessel_i(double n, double x) {
  if (is_infinite(x)) return n == 1.0 ? x : (double)INFINITY;
  double half = exp(fabs(x) / 2.0);
  return bessel_i_scaled(n, x) * half * half;
}

// ∫₀^∞ exp(-x (cosh t - 1)) cosh(νt) dt = eˣ K_ν(x), by the trapezoidal rule, which converges exponentially here.
SPECIAL double bessel_k_integral(double order, double x) {
  double h = 0.125, sum = 0.5;
  for (int k = 1; k < 400; k++) {
    double t = h * k;
    // 2 sinh²(t/2) = cosh t - 1 without cancellation.
    double s = sinh(t / 2.0);
    double part = exp(-2.0 * x * s * s) * cosh(order * t);
    sum += part;
    if (part < sum * 1e-17) break;
  }
  return h * sum;
}

// eˣ Kₙ(x) for n of 0 or 1.
SPECIAL double bessel_k_scaled(double n, double x) {
  if (x == 0.0) return (double)INFINITY;
  if (!(x >= 0.0)) return (double)NAN;
  if (x >= 1.0) return bessel_k_integral(n, x);
  double q = x * x / 4.0, term = 1.0, harmonic = 0.0, sum = n == 0.0 ? 0.0 : 1.0 - 2.0 * EULER;
  for (int i = 1; i < 30; i++) {
    double k = i;
    term *= q / (k * (k + n));
    harmonic += 1.0 / k;
    sum += term * (n == 0.0 ? harmonic : 2.0 * harmonic + 1.0 / (k + 1.0) - 2.0 * EULER);
  }
  if (n == 0.0) return (sum - (log(x / 2.0) + EULER) * bessel_i(0.0, x)) * exp(x);
  return (1.0 / x + log(x / 2.0) * bessel_i(1.0, x) - x / 4.0 * sum) * exp(x);
}

// The Airy function Ai: its Maclaurin series near 0, K of order ⅓ above, the oscillating asymptotic series below.
SPECIAL double airy_ai(double x) {
  if (x != x || is_infinite(x)) return x > 0.0 ? 0.0 : (double)NAN;
  double root = fabs(x), zeta = 2.0 / 3.0 * root * sqrt(root);
  if (x > 1.5) return sqrt(x / 3.0) / PI * bessel_k_integral(1.0 / 3.0, zeta) * exp(-zeta);
  if (x > -8.0) {
    double cube = x * x * x, f = 1.0, g = x, a = 1.0, b = x;
    for (int i = 1; i < 80; i++) {
      double k = 3.0 * i;
      a *= cube / (k * (k - 1.0));
      b *= cube / (k * (k + 1.0));
      f += a;
      g += b;
    }
    return 0.3550280538878172 * f - 0.2588194037928068 * g;
  }
  // Σ uₖ (±i ζ)⁻ᵏ, its real and imaginary parts.
  double even = 1.0, odd = 0.0, u = 1.0;
  for (int k = 1; k < 30; k++) {
    double n = k;
    double next = u * (6.0 * n - 5.0) * (6.0 * n - 3.0) * (6.0 * n - 1.0) / (216.0 * n * (2.0 * n - 1.0) * zeta);
    if (next > u || next < 1e-17) break;
    u = next;
    double part = k / 2 % 2 == 0 ? u : -u;
    if (k % 2 == 0) even += part;
    else odd += part;
  }
  double phase = zeta - QUARTER_PI;
  return (cos(phase) * even + sin(phase) * odd) / (sqrt(PI) * sqrt(sqrt(-x)));
}

SPECIAL double bessel_j(int n, double x) { return is_infinite(x) ? 0.0 : n == 0 ? j0(x) : j1(x); }

// NaN below 0.
SPECIAL double bessel_y(int n, double x) {
  if (!(x >= 0.0)) return (double)NAN;
  if (x == 0.0) return (double)-INFINITY;
  return is_infinite(x) ? 0.0 : n == 0 ? y0(x) : y1(x);
}

SPECIAL double spherical_bessel_j0(double x) { return is_infinite(x) ? 0.0 : x == 0.0 ? 1.0 : sin(x) / x; }

// ---- the normal distribution

// exp(x²) erfc(x) without overflow where x is large.
SPECIAL double scaled_erfc(double x) {
  if (x < 25.0) return exp(x * x) * erfc(x);
  double z = 0.5 / (x * x);
  return (1.0 - z * (1.0 - z * (3.0 - z * 15.0))) / (x * sqrt(PI));
}

SPECIAL double ndtr(double x) { return 0.5 * erfc(-x / ROOT_2); }

// Its logarithm, exact far below 0.
SPECIAL double log_ndtr(double x) {
  if (x < -1.0) return log(0.5 * scaled_erfc(-x / ROOT_2)) - 0.5 * x * x;
  return log1p(-0.5 * erfc(x / ROOT_2));
}

// Its inverse: a rational start (Hastings), then Halley's steps.
SPECIAL double ndtri(double p) {
  if (!(p >= 0.0 && p <= 1.0)) return (double)NAN;
  if (p == 0.0 || p == 1.0) return p == 0.0 ? (double)-INFINITY : (double)INFINITY;
  bool is_low = p < 0.5;
  double tail = is_low ? p : 1.0 - p, t = sqrt(-2.0 * log(tail));
  double start = (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  double x = start - t;
  for (int i = 0; i < 3; i++) {
    double u = (ndtr(x) - tail) * sqrt(2.0 * PI) * exp(0.5 * x * x);
    x -= u / (1.0 + x * u / 2.0);
  }
  return is_low ? x : -x;
}

// ---- entropy and logarithms

DEVICE double entr(double x) { return x != x ? x : x > 0.0 ? -x * log(x) : x == 0.0 ? 0.0 : (double)-INFINITY; }
DEVICE double xlog1py(double x, double y) { return y != y ? y : x == 0.0 ? 0.0 : x * log1p(y); }
// log₂(2ᵃ + 2ᵇ) without overflow.
SPECIAL double logaddexp2(double a, double b) {
  if (a == b && is_infinite(a)) return a;
  double top = a > b || a != a ? a : b;
  return top + log1p(exp2(-fabs(a - b))) / LN_2;
}

// log(x / (1 - x)), x kept in [eps, 1 - eps] where eps is not negative.
template <class C> DEVICE C logit(C x, C eps) {
  C z = eps < (C)0 || x != x ? x : x < eps ? eps : x > (C)1 - eps ? (C)1 - eps : x;
  return log(z / ((C)1 - z));
}
template <class C> DEVICE C sinc(C x) {
  C turn = (C)PI * x;
  return x == (C)0 ? (C)1 : sin(turn) / turn;
}

// ---- orthogonal polynomials

// The most steps of a recurrence; beyond them the value is NaN.
constexpr double MOST_STEPS = 100000.0;

// Of degree n by their recurrences. Kinds: Chebyshev's T, U, V, W, then those shifted to [0, 1], Hermite's H and He,
// Laguerre's L, Legendre's P.
SPECIAL double polynomial(int kind, double x, double degree) {
  double n = trunc(degree);
  if (n < 0.0) return 0.0;
  if (x != x || n != n) return (double)NAN;
  if (kind >= 4 && kind < 8) {
    kind -= 4;
    x = 2.0 * x - 1.0;
  }
  if (kind < 4 && fabs(x) < 1.0 && n > 8.0) {
    double angle = acos(x), half = angle / 2.0;
    switch (kind) {
      case 0: return cos(n * angle);
      case 1: return sin((n + 1.0) * angle) / sin(angle);
      case 2: return cos((n + 0.5) * angle) / cos(half);
      default: return sin((n + 0.5) * angle) / sin(half);
    }
  }
  if (n > MOST_STEPS) return (double)NAN;
  if (n == 0.0) return 1.0;
  double p = 1.0, q;
  switch (kind) {
    case 0: case 9: case 11: q = x; break;
    case 1: case 8: q = 2.0 * x; break;
    case 2: q = 2.0 * x - 1.0; break;
    case 3: q = 2.0 * x + 1.0; break;
    default: q = 1.0 - x;
  }
  for (double k = 1.0; k < n && q == q; k += 1.0) {
    double next;
    switch (kind) {
      case 8: next = 2.0 * x * q - 2.0 * k * p; break;
      case 9: next = x * q - k * p; break;
      case 10: next = ((2.0 * k + 1.0 - x) * q - k * p) / (k + 1.0); break;
      case 11: next = ((2.0 * k + 1.0) * x * q - k * p) / (k + 1.0); break;
      default: next = 2.0 * x * q - p;
    }
    p = q;
    q = next;
  }
  return q;
}

// ---- integers and bits

SPECIAL int64_t gcd(int64_t x, int64_t y) {
  uint64_t a = x < 0 ? 0 - (uint64_t)x : (uint64_t)x, b = y < 0 ? 0 - (uint64_t)y : (uint64_t)y;
  while (b != 0) {
    uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return (int64_t)a;
}
// 0 where either number is.
DEVICE int64_t lcm(int64_t a, int64_t b) {
  int64_t d = gcd(a, b);
  if (d == 0) return 0;
  int64_t product = wrap_mul(a / d, b);
  return product < 0 ? wrap_sub((int64_t)0, product) : product;
}

// The mantissa in [0.5, 1) of x = m · 2ᵉ, or e.
DEVICE double mantissa(double x) {
  int e;
  return x == 0.0 || x != x || is_infinite(x) ? x : frexp(x, &e);
}
DEVICE double exponent(double x) {
  int e = 0;
  if (x != 0.0 && x == x && !is_infinite(x)) frexp(x, &e);
  return (double)e;
}

// The bits of the next number after a towards b of a format whose bits of a, below a sign bit, are given; a is not b.
DEVICE uint64_t next_bits(double a, double b, uint64_t bits, uint64_t sign) {
  if (a == 0.0) return b < 0.0 ? sign | 1 : 1;
  return (a < b) == (a > 0.0) ? bits + 1 : bits - 1;
}
DEVICE double next_after(double a, double b, double) {
  if (a != a || b != b) return a + b;
  if (a == b) return b;
  return __longlong_as_double((long long)next_bits(a, b, (uint64_t)__double_as_longlong(a), (uint64_t)1 << 63));
}
// The format: 1 is bfloat16 and 2 float16, whose steps are wider.
DEVICE float next_after(float a, float b, float format) {
  if (a != a || b != b) return a + b;
  if (a == b) return b;
  if (format == 1.0f) return bfloat_to_float((uint16_t)next_bits(a, b, float_to_bfloat(a), 1 << 15));
  if (format == 2.0f) return half_to_float((uint16_t)next_bits(a, b, float_to_half(a), 1 << 15));
  return __uint_as_float((unsigned)next_bits(a, b, __float_as_uint(a), (uint64_t)1 << 31));
}

}  // namespace special
}  // namespace toro
