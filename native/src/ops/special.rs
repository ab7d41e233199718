//! Elementwise special functions: one line an op, the functions themselves in math/special.rs. All are computed in
//! float64; float32 only rounds the result.

use crate::math::special::*;
use crate::math::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, log_f32};

fn next_f32(a: f32, b: f32, dtype: f64) -> f32 {
    if a.is_nan() || b.is_nan() {
        return a + b;
    }
    let (wide, to) = (f64::from(a), f64::from(b));
    let step = |bits: u64, sign: u64| next_after(wide, to, bits, sign, a == 0.0);
    match dtype {
        1.0 => step(u64::from(f32_to_bf16(a)), 1 << 15).map_or(b, |bits| bf16_to_f32(bits as u16)),
        2.0 => step(u64::from(f32_to_f16(a)), 1 << 15).map_or(b, |bits| f16_to_f32(bits as u16)),
        _ => step(u64::from(a.to_bits()), 1 << 31).map_or(b, |bits| f32::from_bits(bits as u32)),
    }
}

fn next_f64(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return a + b;
    }
    next_after(a, b, a.to_bits(), 1 << 63, a == 0.0).map_or(b, f64::from_bits)
}

/// log(x / (1 - x)), x kept in [eps, 1 - eps] where eps is not negative.
fn logit_f64(x: f64, eps: f64) -> f64 {
    let z = if eps < 0.0 || x.is_nan() {
        x
    } else if x < eps {
        eps
    } else if x > 1.0 - eps {
        1.0 - eps
    } else {
        x
    };
    (z / (1.0 - z)).ln()
}

fn logit_f32(x: f32, eps: f32) -> f32 {
    let z = if eps < 0.0 || x.is_nan() {
        x
    } else if x < eps {
        eps
    } else if x > 1.0 - eps {
        1.0 - eps
    } else {
        x
    };
    log_f32(z / (1.0 - z))
}

fn sinc_f64(x: f64) -> f64 {
    let turn = std::f64::consts::PI * x;
    if x == 0.0 { 1.0 } else { turn.sin() / turn }
}

fn sinc_f32(x: f32) -> f32 {
    let turn = std::f32::consts::PI * x;
    if x == 0.0 { 1.0 } else { turn.sin() / turn }
}

crate::maps! {
    digamma [x] (p; 0) { f32: digamma(f64::from(x)) as f32; f64: digamma(x) }
    /// The derivative of digamma of order p[0].
    polygamma [x] (p; 1) { f32: polygamma(p[0].float(), f64::from(x)) as f32; f64: polygamma(p[0].float(), x) }
    zeta [s, q] (p; 0) { f32: zeta(f64::from(s), f64::from(q)) as f32; f64: zeta(s, q) }
    igamma [a, x] (p; 0) { f32: igamma(f64::from(a), f64::from(x)) as f32; f64: igamma(a, x) }
    igammac [a, x] (p; 0) { f32: igammac(f64::from(a), f64::from(x)) as f32; f64: igammac(a, x) }
    i0 [x] (p; 0) { f32: i0(f64::from(x)) as f32; f64: i0(x) }
    i0e [x] (p; 0) { f32: i0e(f64::from(x)) as f32; f64: i0e(x) }
    i1 [x] (p; 0) { f32: i1(f64::from(x)) as f32; f64: i1(x) }
    i1e [x] (p; 0) { f32: i1e(f64::from(x)) as f32; f64: i1e(x) }
    modified_bessel_k0 [x] (p; 0) {
        f32: (k0e(f64::from(x)) * (-f64::from(x)).exp()) as f32;
        f64: k0e(x) * (-x).exp()
    }
    modified_bessel_k1 [x] (p; 0) {
        f32: (k1e(f64::from(x)) * (-f64::from(x)).exp()) as f32;
        f64: k1e(x) * (-x).exp()
    }
    scaled_modified_bessel_k0 [x] (p; 0) { f32: k0e(f64::from(x)) as f32; f64: k0e(x) }
    scaled_modified_bessel_k1 [x] (p; 0) { f32: k1e(f64::from(x)) as f32; f64: k1e(x) }
    bessel_j0 [x] (p; 0) { f32: bessel_j0(f64::from(x)) as f32; f64: bessel_j0(x) }
    bessel_j1 [x] (p; 0) { f32: bessel_j1(f64::from(x)) as f32; f64: bessel_j1(x) }
    bessel_y0 [x] (p; 0) { f32: bessel_y0(f64::from(x)) as f32; f64: bessel_y0(x) }
    bessel_y1 [x] (p; 0) { f32: bessel_y1(f64::from(x)) as f32; f64: bessel_y1(x) }
    spherical_bessel_j0 [x] (p; 0) { f32: spherical_bessel_j0(f64::from(x)) as f32; f64: spherical_bessel_j0(x) }
    airy_ai [x] (p; 0) { f32: airy_ai(f64::from(x)) as f32; f64: airy_ai(x) }
    /// The orthogonal polynomial of kind p[0] and degree n.
    polynomial [x, n] (p; 1) {
        f32: polynomial(p[0].float() as usize, f64::from(x), f64::from(n)) as f32;
        f64: polynomial(p[0].float() as usize, x, n)
    }
    erfcx [x] (p; 0) { f32: erfcx(f64::from(x)) as f32; f64: erfcx(x) }
    ndtr [x] (p; 0) { f32: ndtr(f64::from(x)) as f32; f64: ndtr(x) }
    ndtri [x] (p; 0) { f32: ndtri(f64::from(x)) as f32; f64: ndtri(x) }
    log_ndtr [x] (p; 0) { f32: log_ndtr(f64::from(x)) as f32; f64: log_ndtr(x) }
    entr [x] (p; 0) { f32: entr(f64::from(x)) as f32; f64: entr(x) }
    sinc [x] (p; 0) { f32: sinc_f32(x); f64: sinc_f64(x) }
    /// log(x / (1 - x)) of x kept p[0] away from 0 and 1; a negative p[0] keeps nothing.
    logit [x] (p; 1) { f32: logit_f32(x, p[0].float() as f32); f64: logit_f64(x, p[0].float()) }
    xlog1py [x, y] (p; 0) { f32: xlog1py(f64::from(x), f64::from(y)) as f32; f64: xlog1py(x, y) }
    logaddexp2 [a, b] (p; 0) { f32: logaddexp2(f64::from(a), f64::from(b)) as f32; f64: logaddexp2(a, b) }
    /// 0 below 0, 1 above, the second operand at 0
    heaviside [x, v] (p; 0) {
        f32: if x.is_nan() { x } else if x == 0.0 { v } else if x > 0.0 { 1.0 } else { 0.0 };
        f64: if x.is_nan() { x } else if x == 0.0 { v } else if x > 0.0 { 1.0 } else { 0.0 };
        i64: if x == 0 { v } else { i64::from(x > 0) }
    }
    gcd [a, b] (p; 0) { i64: gcd(a, b) }
    lcm [a, b] (p; 0) { i64: lcm(a, b) }
    /// The next number after a towards b; p[0] is 1 in bfloat16 and 2 in float16, whose steps are wider.
    nextafter [a, b] (p; 1) { f32: next_f32(a, b, p[0].float()); f64: next_f64(a, b) }
    frexp_mantissa [x] (p; 0) { f32: frexp(f64::from(x)).0 as f32; f64: frexp(x).0 }
    frexp_exponent [x] (p; 0) { f32: frexp(f64::from(x)).1 as f32; f64: f64::from(frexp(x).1) }
}
