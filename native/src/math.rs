//! Elementary functions of float32. Most are written once for vectors of any instruction set (lanes.rs), without branches;
//! each is within 2 ulp of the exact value unless its line says otherwise, over all of float32 with infinities, NaN and
//! denormals. AVX2 and AVX-512 fuse products with sums and give the same bits; the portable level rounds them one by
//! one, keeps the same bounds, and may differ in the last bits.

// Coefficients are printed to the last digit of their fit, not to that of their type.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

mod error_function;
mod exponential;
mod half;
mod hyperbolic;
mod logarithm;
pub mod special;
#[cfg(test)]
mod tests;
mod trigonometry;

pub use error_function::{erf, erfc, erfinv, gelu, normal_cdf};
pub use exponential::{exp, exp2, expm1, gelu_tanh, sigmoid, silu, softplus, tanh};
pub use half::{bf16_to_f32, bf16_to_f32_slice, f16_to_f32, f16_to_f32_slice};
pub use half::{f32_to_bf16, f32_to_bf16_slice, f32_to_f16, f32_to_f16_slice};
pub use hyperbolic::{acosh_f32, asinh_f32, atan2_f32, cosh_f32, sinh_f32};
pub use logarithm::{atanh, log, log1p, log2, log10};
pub use trigonometry::{TRIG_LIMIT, acos, asin, atan, cos, sin, tan};
pub use trigonometry::{cos_slice, sin_slice, tan_slice};

const ROUND_F64: f64 = 6_755_399_441_055_744.0;

/// Sum of c[i] · xⁱ by Horner's rule; `c` has the highest power first.
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

/// artanh(s) / s for |s| up to 0.172, to s¹⁵: good to 2⁻⁴⁴.
#[inline(always)]
fn artanh_by(s: f64) -> f64 {
    polynomial_f64(
        s * s,
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
    )
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

/// The functions of one number, for kernels that LLVM vectorises itself.
macro_rules! singles {
    ($($name:ident: $function:ident),*) => { $(
        #[inline(always)]
        pub fn $name(x: f32) -> f32 {
            $function(x)
        }
    )* };
}
singles!(exp_f32: exp, log_f32: log, log1p_f32: log1p, expm1_f32: expm1, tanh_f32: tanh, sigmoid_f32: sigmoid);

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
    // log₂ m = 2/ln 2 · artanh(s)
    let s = (m - 1.0) / (m + 1.0);
    let series = artanh_by(s);
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
