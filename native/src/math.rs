//! Elementary functions of one float32, written without branches so that LLVM vectorises them inside `simd!` bodies.
//! Each is within 2 ulp of the exact value unless its line says otherwise, over all of float32 with infinities, NaN
//! and denormals, and gives the same bits at every level: products and sums are rounded one by one, never fused.
//! Steps that would lose accuracy in float32 (argument reduction, large exponents) are taken in float64.

// Coefficients are printed to the last digit of their fit, not to that of their type.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

mod activation;
mod half;
mod inverse;
pub mod special;
#[cfg(test)]
mod tests;
mod trigonometry;

pub use activation::{erf_f32, gelu_f32, gelu_tanh_f32, normal_cdf_f32, sigmoid_f32, silu_f32};
pub use activation::{softplus_f32, tanh_f32};
pub use half::{bf16_to_f32, bf16_to_f32_slice, f16_to_f32, f16_to_f32_slice};
pub use half::{f32_to_bf16, f32_to_bf16_slice, f32_to_f16, f32_to_f16_slice};
pub use inverse::{acos_f32, acosh_f32, asin_f32, asinh_f32, atan_f32, atan2_f32, atanh_f32};
pub use inverse::{cosh_f32, erfinv_f32, sinh_f32};

pub use trigonometry::{TRIG_LIMIT, cos_f32, cos_slice, sin_f32, sin_slice, tan_f32, tan_slice};

use std::f32::consts::{LN_2, LOG2_E};

/// ln 2 in two parts; the first has so few bits that its product with an exponent is exact.
const LN2_HIGH: f32 = 0.693_359_375;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding 1.5 · 2²³ rounds to the nearest integer and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;
const ROUND_F64: f64 = 6_755_399_441_055_744.0;

/// Sum of c[i] · xⁱ by Horner's rule; `c` has the highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = c[0];
    let mut i = 1;
    while i < N {
        sum = sum * x + c[i];
        i += 1;
    }
    sum
}

#[inline(always)]
fn polynomial_f64<const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut sum = c[0];
    let mut i = 1;
    while i < N {
        sum = sum * x + c[i];
        i += 1;
    }
    sum
}

/// eʳ · 2ⁿ for |r| up to 0.347, to 2⁻³⁶ of its value; n is what `rounded` holds beside `ROUND_F64`.
#[inline(always)]
fn exp_scaled(r: f64, rounded: f64) -> f64 {
    // Taylor to r⁹.
    let p = polynomial_f64(
        r,
        [
            1.0 / 362_880.0,
            1.0 / 40_320.0,
            1.0 / 5_040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
            1.0,
            1.0,
        ],
    );
    p * f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52)
}

/// Like `f32::clamp`, but plain compares: two instructions, and NaN stays.
#[inline(always)]
fn limit(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// exp(high + low) as (p, s, t) with p in [0.7, 1.42] and s, t powers of two: the value is p · s · t. Two factors,
/// because 2ⁿ itself may be out of range where the result is denormal or infinite.
#[inline(always)]
fn exp_parts(high: f32, low: f32) -> (f32, f32, f32) {
    let x = limit(high, -150.0, 89.0);
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW + low;
    let p = expm1_near_zero(r) + 1.0;
    let (s, t) = two_powers((rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32));
    (p, s, t)
}

/// 2ⁿ as a product of two floats, for n in -252..=254.
#[inline(always)]
fn two_powers(n: i32) -> (f32, f32) {
    let half = n >> 1;
    let other = n.wrapping_sub(half);
    let power = |k: i32| f32::from_bits((k.wrapping_add(127) as u32) << 23);
    (power(half), power(other))
}

/// exp(r) - 1 for |r| up to 0.35 (coefficients: Cephes expf, S. Moshier).
#[inline(always)]
fn expm1_near_zero(r: f32) -> f32 {
    let q = polynomial(
        r,
        [
            1.987_569_15e-4,
            1.398_199_95e-3,
            8.333_451_9e-3,
            4.166_579_6e-2,
            1.666_666_55e-1,
            5.000_000_1e-1,
        ],
    );
    r * r * q + r
}

/// eˣ
#[inline(always)]
pub fn exp_f32(x: f32) -> f32 {
    let (p, s, t) = exp_parts(x, 0.0);
    p * s * t
}

/// 2ˣ
#[inline(always)]
pub fn exp2_f32(x: f32) -> f32 {
    let x = limit(x, -160.0, 129.0);
    let rounded = x + ROUND;
    let r = (x - (rounded - ROUND)) * LN_2;
    let (s, t) = two_powers((rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32));
    (expm1_near_zero(r) + 1.0) * s * t
}

/// eˣ - 1
#[inline(always)]
pub fn expm1_f32(x: f32) -> f32 {
    let clamped = limit(x, -17.5, 89.0);
    let rounded = clamped * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let e = expm1_near_zero(r);
    // Half the power, since 2¹²⁸ is no float.
    let power = (rounded.to_bits() as i32)
        .wrapping_sub(ROUND.to_bits() as i32)
        .wrapping_add(126);
    let half = f32::from_bits((power as u32) << 23);
    let scaled = (e * half + (half - 0.5)) * 2.0;
    let near = if n == 0.0 { e } else { scaled };
    if x == 0.0 { x } else { near }
}

/// x = m · 2ᵉ with m in [√½, √2), as (m - 1, e), for finite x > 0.
#[inline(always)]
fn split(x: f32) -> (f32, f32) {
    let denormal = x < f32::MIN_POSITIVE;
    let scaled = if denormal { x * 8_388_608.0 } else { x };
    let bits = scaled.to_bits().wrapping_sub(SQRT_HALF);
    let e = (bits as i32) >> 23;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF));
    (m - 1.0, e as f32 - if denormal { 23.0 } else { 0.0 })
}

const SQRT_HALF: u32 = 0x3f35_04f3;

/// log(1 + f) - f for f in [√½ - 1, √2 - 1) (coefficients: Cephes logf).
#[inline(always)]
fn log_tail(f: f32) -> f32 {
    let p = polynomial(
        f,
        [
            7.037_683_6e-2,
            -1.151_461_0e-1,
            1.167_699_87e-1,
            -1.242_014_08e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333_1e-1,
        ],
    );
    f * f * (f * p) - f * f * 0.5
}

/// Puts in what a logarithm to any base is at 0, infinity, NaN and below zero.
#[inline(always)]
fn log_limits(x: f32, value: f32) -> f32 {
    let value = if x < f32::INFINITY { value } else { x };
    let value = if x < 0.0 { f32::NAN } else { value };
    if x == 0.0 { f32::NEG_INFINITY } else { value }
}

/// ln x
#[inline(always)]
pub fn log_f32(x: f32) -> f32 {
    let (f, e) = split(x);
    let tail = log_tail(f) + e * LN2_LOW;
    log_limits(x, f + tail + e * LN2_HIGH)
}

/// log₂ x
#[inline(always)]
pub fn log2_f32(x: f32) -> f32 {
    const REST: f32 = 0.442_695_04; // log₂ e - 1
    let (f, e) = split(x);
    let tail = log_tail(f);
    log_limits(x, tail * REST + f * REST + tail + f + e)
}

/// log₁₀ x
#[inline(always)]
pub fn log10_f32(x: f32) -> f32 {
    // log₁₀ 2 and log₁₀ e in two parts each, the first short.
    const TWO: (f32, f32) = (3.007_812_5e-1, 2.487_456_64e-4);
    const E: (f32, f32) = (4.335_937_5e-1, 7.007_319_0e-4);
    let (f, e) = split(x);
    let tail = log_tail(f);
    log_limits(
        x,
        (f + tail) * E.1 + e * TWO.1 + tail * E.0 + f * E.0 + e * TWO.0,
    )
}

/// ln(1 + x)
#[inline(always)]
pub fn log1p_f32(x: f32) -> f32 {
    let u = 1.0 + x;
    let (f, e) = split(u);
    // What rounding 1 + x has lost.
    let lost = if x > 1.0 {
        1.0 - (u - x)
    } else {
        x - (u - 1.0)
    };
    let tail = log_tail(f) + (e * LN2_LOW + lost / u);
    let value = log_limits(u, f + tail + e * LN2_HIGH);
    if x == 0.0 { x } else { value }
}

/// √x
#[inline(always)]
pub fn sqrt_f32(x: f32) -> f32 {
    x.sqrt()
}

/// 1 / √x
#[inline(always)]
pub fn rsqrt_f32(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// xʸ, as C's `pow`: 1 for y = 0 or x = 1, NaN for x < 0 and a y that is no integer
#[inline(always)]
pub fn pow_f32(x: f32, y: f32) -> f32 {
    // |x| = m · 2ᵉ in float64, where no float32 is denormal.
    const SQRT_HALF_F64: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = f64::from(x.abs()).to_bits().wrapping_sub(SQRT_HALF_F64);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF_F64));
    // Arithmetic shift of the high word: AVX2 has none for 64-bit lanes.
    let e = f64::from(((bits >> 32) as i32) >> 20);
    // log₂ m = 2/ln 2 · artanh(s), |s| up to 0.172: the series to s¹⁵ is good to 2⁻⁴⁴.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = polynomial_f64(
        z,
        [
            1.0 / 15.0,
            1.0 / 13.0,
            1.0 / 11.0,
            1.0 / 9.0,
            1.0 / 7.0,
            1.0 / 5.0,
            1.0 / 3.0,
            1.0,
        ],
    );
    let log2 = e + s * series * (2.0 * std::f64::consts::LOG2_E);
    let log2 = if x == 0.0 { f64::NEG_INFINITY } else { log2 };
    let log2 = if x.abs() == f32::INFINITY {
        f64::INFINITY
    } else {
        log2
    };

    let product = f64::from(y) * log2;
    let product = if product < -200.0 { -200.0 } else { product };
    let product = if product > 200.0 { 200.0 } else { product };
    let rounded = product + ROUND_F64;
    let r = (product - (rounded - ROUND_F64)) * std::f64::consts::LN_2;
    let size = exp_scaled(r, rounded) as f32;

    // y is an integer, and odd, by what rounding to one and to a multiple of two does to it.
    let t = y.abs();
    let integer = t >= 8_388_608.0 || (t + 8_388_608.0) - 8_388_608.0 == t;
    let half = t * 0.5;
    let odd = integer && t < 16_777_216.0 && (half + 8_388_608.0) - 8_388_608.0 != half;
    let negative = x.to_bits() >> 31 == 1;
    let signed = if negative && odd { -size } else { size };
    let value = if x < 0.0 && !integer && x != f32::NEG_INFINITY {
        f32::NAN
    } else {
        signed
    };
    let value = if x.is_nan() || y.is_nan() {
        f32::NAN
    } else {
        value
    };
    // ±1 to an infinite power, and anything to the power 0.
    let value = if t == f32::INFINITY && x == -1.0 {
        1.0
    } else {
        value
    };
    if y == 0.0 || x == 1.0 { 1.0 } else { value }
}
