// Functions of numbers that several elementwise kernels use, as pointwise.rs and activation.rs have them.
#pragma once
#include "device.cuh"

namespace toro {

DEVICE float absolute(float x) { return fabsf(x); }
DEVICE double absolute(double x) { return fabs(x); }
DEVICE int64_t absolute(int64_t x) { return x < 0 ? wrap_sub((int64_t)0, x) : x; }

template <class C> DEVICE C sign(C x) { return x > (C)0 ? (C)1 : x < (C)0 ? (C)-1 : (C)0; }
// NaN wins.
template <class C> DEVICE C maximum(C a, C b) { return a > b || is_nan(a) ? a : b; }
template <class C> DEVICE C minimum(C a, C b) { return a < b || is_nan(a) ? a : b; }

// Power by squaring, wrapping; a negative exponent leaves only the inverses of 1 and -1.
DEVICE int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  uint64_t result = 1, square = (uint64_t)base;
  for (uint64_t left = (uint64_t)exponent; left > 0; left >>= 1) {
    if (left & 1) result *= square;
    square *= square;
  }
  return (int64_t)result;
}

// A divisor that is 0 raises the alarm, which comes as an op's scalars with the opcode.
DEVICE int64_t divisor(int64_t b, int64_t alarm, int64_t opcode) {
  if (b == 0) raise_for(DIVISION_BY_ZERO, (Alarm*)alarm, (unsigned)opcode, 0, 0);
  return b;
}
// Quotient towards zero and rest; nothing for a divisor of 0. The least number over -1 wraps.
DEVICE int64_t quotient(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? wrap_sub((int64_t)0, a) : a / b; }
DEVICE int64_t rest(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }

// The remainder with the divisor's sign, as Python's %.
template <class C> DEVICE C remainder_of(C a, C b) {
  C r = fmod(a, b);
  return r != (C)0 && (b < (C)0) != (r < (C)0) ? r + b : r;
}
template <> DEVICE int64_t remainder_of(int64_t a, int64_t b) {
  int64_t r = rest(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// The quotient rounded down, exact where floor(a / b) is off by a rounding; as Python's //.
template <class C> __device__ __noinline__ C div_floor(C a, C b) {
  if (b == (C)0) return a / b;
  C r = fmod(a, b), q = (a - r) / b;
  if (r != (C)0 && (b < (C)0) != (r < (C)0)) q -= (C)1;
  if (q == (C)0) return copysign((C)0, a / b);
  C down = floor(q);
  return q - down > (C)0.5 ? down + (C)1 : down;
}
template <> DEVICE int64_t div_floor(int64_t a, int64_t b) {
  int64_t r = rest(a, b);
  return quotient(a, b) - (r != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

// Rounded to `digits` decimals, a half to even.
template <class C> DEVICE C round_decimals(C x, C digits) {
  C ten = (C)1;
  for (int i = 0; i < (int)absolute(digits); i++) ten *= (C)10;
  return digits < (C)0 ? rint(x / ten) * ten : rint(x * ten) / ten;
}

template <class C> DEVICE C sigmoid(C x) {
  C e = exp(-absolute(x));
  return (x < (C)0 ? e : (C)1) / ((C)1 + e);
}
// log(1 + exp x) without overflow.
template <class C> DEVICE C softplus(C x) { return (x > (C)0 ? x : (C)0) + log1p(exp(-absolute(x))); }

// log(exp a + exp b) without overflow.
template <class C> DEVICE C logaddexp(C a, C b) {
  if (a == b && absolute(a) == (C)INFINITY) return a;
  C top = a > b || is_nan(a) ? a : b;
  return top + log1p(exp(-absolute(a - b)));
}

// The inverse of erf: a rational start (P. J. Acklam's regions), two Newton steps.
DEVICE double inverse_erf(double y) {
  double m = fabs(y);
  if (m >= 1.0) return copysign(m == 1.0 ? (double)INFINITY : (double)NAN, y);
  double x;
  if (m <= 0.7) {
    double z = y * y;
    double num = ((-0.140543331 * z + 0.914624893) * z - 1.645349621) * z + 0.886226899;
    double den = (((0.012229801 * z - 0.329097515) * z + 1.442710462) * z - 2.118377725) * z + 1.0;
    x = y * num / den;
  } else {
    double z = sqrt(-log((1.0 - m) / 2.0));
    double num = ((1.641345311 * z + 3.429567803) * z - 1.624906493) * z - 1.970840454;
    double den = (1.637067800 * z + 3.543889200) * z + 1.0;
    x = copysign(num / den, y);
  }
  for (int i = 0; i < 2; i++) x -= (erf(x) - y) / (1.1283791670955126 * exp(-x * x));
  return x;
}

}  // namespace toro
