//! Sine, cosine and tangent, reduced and evaluated in float64: nearly always correctly rounded.

use super::{ROUND_F64, polynomial_f64};

/// Largest |x| for which [`sin_f32`], [`cos_f32`] and [`tan_f32`] hold.
pub const TRIG_LIMIT: f32 = 268_435_456.0;

/// x = r + n · π/2 with |r| up to π/4, as (r, n mod 4).
#[inline(always)]
fn reduce(x: f32) -> (f64, u32) {
    // π/2 in 25 + 53 bits: n · HIGH is exact for |x| up to TRIG_LIMIT.
    const HIGH: f64 = 1.570_796_310_901_641_845_70;
    const LOW: f64 = 1.589_325_477_352_819_669_16e-8;
    let x = f64::from(x);
    let rounded = x * std::f64::consts::FRAC_2_PI + ROUND_F64;
    let n = rounded - ROUND_F64;
    (x - n * HIGH - n * LOW, rounded.to_bits() as u32)
}

/// sin and cos of |r| up to π/4, to float32 accuracy (coefficients: FreeBSD msun k_sinf and k_cosf).
#[inline(always)]
fn sin_cos_near_zero(r: f64) -> (f64, f64) {
    let z = r * r;
    let sin = polynomial_f64(
        z,
        [
            2.718_311_493_989_822_190_64e-6,
            -1.983_932_609_120_093_700_57e-4,
            8.333_329_385_889_463_175_6e-3,
            -1.666_666_664_162_654_235_95e-1,
            1.0,
        ],
    ) * r;
    let cos = polynomial_f64(
        z,
        [
            2.439_044_879_627_740_901_0e-5,
            -1.388_676_377_460_992_949_7e-3,
            4.166_662_332_373_906_318_94e-2,
            -4.999_999_970_013_112_258_17e-1,
            1.0,
        ],
    );
    (sin, cos)
}

/// sin x for |x| up to [`TRIG_LIMIT`]; beyond it take [`sin_slice`].
#[inline(always)]
pub fn sin_f32(x: f32) -> f32 {
    let (r, n) = reduce(x);
    let (sin, cos) = sin_cos_near_zero(r);
    let value = if n & 1 == 0 { sin } else { cos } as f32;
    let value = f32::from_bits(value.to_bits() ^ (n & 2) << 30);
    if x == 0.0 { x } else { value }
}

/// cos x for |x| up to [`TRIG_LIMIT`]; beyond it take [`cos_slice`].
#[inline(always)]
pub fn cos_f32(x: f32) -> f32 {
    let (r, n) = reduce(x);
    let (sin, cos) = sin_cos_near_zero(r);
    let value = if n & 1 == 0 { cos } else { sin } as f32;
    f32::from_bits(value.to_bits() ^ (n.wrapping_add(1) & 2) << 30)
}

/// tan x for |x| up to [`TRIG_LIMIT`]; beyond it take [`tan_slice`].
#[inline(always)]
pub fn tan_f32(x: f32) -> f32 {
    let (r, n) = reduce(x);
    let (sin, cos) = sin_cos_near_zero(r);
    let value = if n & 1 == 0 { sin / cos } else { -cos / sin };
    if x == 0.0 { x } else { value as f32 }
}

macro_rules! trig_slice {
    ($name:ident, $fast:ident, $exact:expr, $line:literal) => {
        #[doc = $line]
        /// for any x: the few arguments past [`TRIG_LIMIT`] are looked for block by block and done one by one.
        pub fn $name(x: &[f32], y: &mut [f32]) {
            $crate::simd! {
                fn block(x: &[f32], y: &mut [f32]) -> bool {
                    let mut outside = 0u32;
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = $fast(x);
                        outside |= u32::from(x.abs() > TRIG_LIMIT);
                    }
                    outside != 0
                }
            }
            for (x, y) in x.chunks(1024).zip(y.chunks_mut(1024)) {
                if block(x, y) {
                    for (y, &x) in y.iter_mut().zip(x).filter(|(_, x)| x.abs() > TRIG_LIMIT) {
                        *y = $exact(f64::from(x)) as f32;
                    }
                }
            }
        }
    };
}

trig_slice!(sin_slice, sin_f32, f64::sin, "y = sin x");
trig_slice!(cos_slice, cos_f32, f64::cos, "y = cos x");
trig_slice!(tan_slice, tan_f32, f64::tan, "y = tan x");
