//! The error function, the normal distribution and the activations made of exponentials.

use super::{exp_f32, exp_parts, limit, log1p_f32, polynomial};

/// tanh x
#[inline(always)]
pub fn tanh_f32(x: f32) -> f32 {
    let t = x.abs();
    // Coefficients: Cephes tanhf.
    let z = x * x;
    let p = polynomial(
        z,
        [
            -5.704_988_7e-3,
            2.063_908_88e-2,
            -5.373_971_6e-2,
            1.333_144_22e-1,
            -3.333_328_2e-1,
        ],
    );
    let near = x * z * p + x;
    let far = (1.0 - 2.0 / (exp_f32(2.0 * t) + 1.0)).copysign(x);
    if t < 0.625 { near } else { far }
}

/// 1 / (1 + e⁻ˣ), within 2.5 ulp
#[inline(always)]
pub fn sigmoid_f32(x: f32) -> f32 {
    let e = exp_f32(-x.abs());
    let top = if x < 0.0 { e } else { 1.0 };
    top / (1.0 + e)
}

/// x · sigmoid(x), within 3 ulp
#[inline(always)]
pub fn silu_f32(x: f32) -> f32 {
    scaled_sigmoid(x, x, 0.0)
}

/// x · sigmoid(high + low). The last power of two comes last, so that x · (tiny) does not pass through a denormal.
#[inline(always)]
fn scaled_sigmoid(x: f32, high: f32, low: f32) -> f32 {
    let sign = if high < 0.0 { 1.0 } else { -1.0 };
    let (p, s, t) = exp_parts(high * sign, low * sign);
    let e = p * s;
    let (top, last) = if high < 0.0 { (e, t) } else { (1.0, 1.0) };
    // Past -1000 the product is zero anyway, and must not become -∞ · 0 or large · tiny.
    limit(x, -1000.0, f32::INFINITY) * (top / (1.0 + e * t)) * last
}

/// ln(1 + eˣ), within 3 ulp
#[inline(always)]
pub fn softplus_f32(x: f32) -> f32 {
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + log1p_f32(exp_f32(-x.abs()))
}

/// erf x (coefficients: N. Juffa's erff, 2-clause BSD)
#[inline(always)]
pub fn erf_f32(x: f32) -> f32 {
    let t = x.abs();
    let s = x * x;
    let near = x * polynomial(
        s,
        [
            -5.967_617_03e-4,
            4.991_194_23e-3,
            -2.676_813_49e-2,
            1.128_199_25e-1,
            -3.761_253_36e-1,
            1.283_791_66e-1,
        ],
    ) + x;
    let t = limit(t, 0.0, 10.0);
    let q = polynomial(
        t,
        [
            -1.728_534_70e-5,
            3.831_971_26e-4,
            -3.883_964_38e-3,
            2.425_462_19e-2,
            -1.067_778_77e-1,
            -6.348_466_87e-1,
            -1.287_175_12e-1,
        ],
    ) * t
        - t;
    let far = (1.0 - exp_f32(q)).copysign(x);
    if x.abs() > 0.927_734_375 { far } else { near }
}

/// The standard normal distribution at -|x|, less its last factor, a power of two: (p, t), value p · t.
#[inline(always)]
fn normal_tail_parts(x: f32) -> (f32, f32) {
    // Φ(-t) = exp(-t²/2) · u · P(½ - u), u = 1 / (1 + 0.3 t): a weighted fit on [0, 15], relative error 4e-9;
    // centred so that rounding costs little more than the fit.
    let t = limit(x.abs(), 0.0, 18.0);
    let u = 1.0 / (1.0 + 0.3 * t);
    let p = polynomial(0.5 - u, TAIL);
    // t² without rounding: the square of its upper twelve bits is exact, and the rest is small.
    let top = f32::from_bits(t.to_bits() & 0xffff_f000);
    let (e, s, last) = exp_parts(top * top * -0.5, (t - top) * (t + top) * -0.5);
    (e * s * (p * u), last)
}

const TAIL: [f32; 10] = [
    0.0206286997,
    0.019635854,
    -0.0359164316,
    -0.0364608635,
    0.0775515823,
    0.0290565248,
    -0.222082684,
    0.34619884,
    -0.329158971,
    0.221970613,
];

/// Φ(x), the standard normal distribution function, within 6 ulp
#[inline(always)]
pub fn normal_cdf_f32(x: f32) -> f32 {
    let (p, last) = normal_tail_parts(x);
    let tail = p * last;
    let value = if x < 0.0 { tail } else { 1.0 - tail };
    if x.is_nan() { x } else { value }
}

/// x · Φ(x), the exact GELU, within 6 ulp, also where 1 + erf would cancel
#[inline(always)]
pub fn gelu_f32(x: f32) -> f32 {
    let (p, last) = normal_tail_parts(x);
    // The tail is zero past ±18; the limits keep large · tiny and ∞ · 0 away.
    let near = limit(x, -1000.0, 1000.0);
    let negative = near * p * last;
    let positive = x - near * (p * last);
    if x < 0.0 { negative } else { positive }
}

/// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), GELU by tanh, within 4 ulp
#[inline(always)]
pub fn gelu_tanh_f32(x: f32) -> f32 {
    // = x · sigmoid(2 √(2/π) (x + 0.044715 x³)); the argument in float64, for exp turns its error into a relative one.
    let w = f64::from(limit(x, -30.0, 30.0));
    let u = w * (1.595_769_121_605_730_711_8 + w * w * (1.595_769_121_605_730_711_8 * 0.044_715));
    let high = u as f32;
    scaled_sigmoid(x, high, (u - f64::from(high)) as f32)
}
