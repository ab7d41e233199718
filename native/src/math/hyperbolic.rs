//! atan2 and what else is evaluated in float64, which keeps each within 1 ulp: hyperbolic functions, two of their inverses.

use super::{ROUND_F64, artanh_by, exp_scaled, polynomial_f64};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, LOG2_E, PI};

/// arctan of 0 to 1 (coefficients: Cephes atanf).
#[inline(always)]
fn atan_to_one(t: f64) -> f64 {
    const TAN_EIGHTH: f64 = 0.414_213_562_373_095;
    let is_far = t > TAN_EIGHTH;
    let u = if is_far { (t - 1.0) / (t + 1.0) } else { t };
    let z = u * u;
    let p = polynomial_f64(
        z,
        [
            8.053_744_495_38e-2,
            -1.387_768_560_32e-1,
            1.997_771_064_78e-1,
            -3.333_294_915_39e-1,
        ],
    );
    let value = u * z * p + u;
    if is_far { value + FRAC_PI_4 } else { value }
}

/// The angle of (x, y), as C's `atan2`
#[inline(always)]
pub fn atan2_f32(y: f32, x: f32) -> f32 {
    let (a, b) = (f64::from(y).abs(), f64::from(x).abs());
    let (small, large) = if a > b { (b, a) } else { (a, b) };
    let ratio = small / large;
    // Both infinite, or both zero.
    let ratio = if small == f64::INFINITY { 1.0 } else { ratio };
    let ratio = if large == 0.0 { 0.0 } else { ratio };
    let value = atan_to_one(ratio);
    let value = if a > b { FRAC_PI_2 - value } else { value };
    let value = if x.to_bits() >> 31 == 1 {
        PI - value
    } else {
        value
    };
    let value = (value as f32).copysign(y);
    if x.is_nan() || y.is_nan() {
        f32::NAN
    } else {
        value
    }
}

/// ln(1 + u) for u from 0 on, to 2⁻⁴⁴ of its value.
#[inline(always)]
fn log1p(u: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let w = 1.0 + u;
    let bits = w.to_bits().wrapping_sub(SQRT_HALF);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    // Arithmetic shift of the high word: AVX2 has none for 64-bit lanes.
    let e = f64::from(((bits >> 32) as i32) >> 20);
    // ln m = 2 artanh(s): where m is 1 + u, from u itself, which 1 + u may have rounded.
    let is_near = u < 0.414;
    let s = (if is_near { u } else { m - 1.0 }) / (if is_near { u + 2.0 } else { m + 1.0 });
    let series = artanh_by(s);
    2.0 * s * series + if is_near { 0.0 } else { e * LN_2 }
}

/// arsinh x
#[inline(always)]
pub fn asinh_f32(x: f32) -> f32 {
    let t = f64::from(x).abs();
    let value = log1p(t + t * t / (1.0 + (1.0 + t * t).sqrt()));
    let value = (value as f32).copysign(x);
    if x == 0.0 || x.abs() == f32::INFINITY || x.is_nan() {
        x
    } else {
        value
    }
}

/// arcosh x
#[inline(always)]
pub fn acosh_f32(x: f32) -> f32 {
    let y = f64::from(x);
    let u = y - 1.0;
    let value = log1p(u + (u * (y + 1.0)).sqrt()) as f32;
    let value = if x == f32::INFINITY { x } else { value };
    if x >= 1.0 { value } else { f32::NAN }
}

/// eˣ for 0 to 100, to 2⁻³⁶ of its value.
#[inline(always)]
fn exp(x: f64) -> f64 {
    let x = if x > 100.0 { 100.0 } else { x };
    let rounded = x * LOG2_E + ROUND_F64;
    exp_scaled(x - (rounded - ROUND_F64) * LN_2, rounded)
}

/// sinh x
#[inline(always)]
pub fn sinh_f32(x: f32) -> f32 {
    let y = f64::from(x);
    let t = y.abs();
    let e = exp(t);
    let far = 0.5 * (e - 1.0 / e);
    let z = t * t;
    let near = t + t * polynomial_f64(
        z,
        [1.0 / 362_880.0, 1.0 / 5_040.0, 1.0 / 120.0, 1.0 / 6.0, 0.0],
    );
    let value = (if t < 0.5 { near } else { far } as f32).copysign(x);
    if x == 0.0 || x.is_nan() { x } else { value }
}

/// cosh x
#[inline(always)]
pub fn cosh_f32(x: f32) -> f32 {
    let e = exp(f64::from(x).abs());
    let value = (0.5 * (e + 1.0 / e)) as f32;
    if x.is_nan() { x } else { value }
}
