//! Activations and the kernels of their gradients, one line each. A gradient takes g, the gradient of the output, and
//! x, the input (y where the output serves better).

use crate::math::*;
use crate::ops::pointwise::erf_f64;

fn softplus_f64(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid_f64(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// Φ(x), the standard normal distribution function.
fn normal_cdf_f64(x: f64) -> f64 {
    0.5 * (1.0 + erf_f64(x * std::f64::consts::FRAC_1_SQRT_2))
}

const SQRT_2_BY_PI: f64 = 0.797_884_560_802_865_4;
const SQRT_1_BY_2PI: f64 = 0.398_942_280_401_432_7;
const CUBE: f64 = 0.044_715;

/// d/dx of x Φ(x)
#[inline(always)]
fn gelu_slope_f32(x: f32) -> f32 {
    normal_cdf_f32(x) + x * exp_f32(x * x * -0.5) * SQRT_1_BY_2PI as f32
}

fn gelu_slope_f64(x: f64) -> f64 {
    normal_cdf_f64(x) + x * (x * x * -0.5).exp() * SQRT_1_BY_2PI
}

/// d/dx of the GELU by tanh
#[inline(always)]
fn gelu_tanh_slope_f32(x: f32) -> f32 {
    let t = tanh_f32(SQRT_2_BY_PI as f32 * (x + CUBE as f32 * x * x * x));
    let inner = SQRT_2_BY_PI as f32 * (1.0 + 3.0 * CUBE as f32 * x * x);
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
}

fn gelu_tanh_slope_f64(x: f64) -> f64 {
    let t = (SQRT_2_BY_PI * (x + CUBE * x * x * x)).tanh();
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SQRT_2_BY_PI * (1.0 + 3.0 * CUBE * x * x)
}

/// Functions that only differ in their number type.
macro_rules! both {
    ($($t:ident: $exp:expr, $expm1:expr, $softplus:expr, $sigmoid:expr, $tanh:expr);*) => { $(
        pub mod $t {
            use super::super::*;
            #[inline(always)]
            pub fn limit(x: $t, low: $t, high: $t) -> $t {
                let x = if x < low { low } else { x };
                if x > high { high } else { x }
            }
            #[inline(always)]
            pub fn elu(x: $t, alpha: $t, scale: $t, input_scale: $t) -> $t {
                if x > 0.0 { x * scale } else { $expm1(x * input_scale) * (alpha * scale) }
            }
            #[inline(always)]
            pub fn elu_slope(x: $t, alpha: $t, scale: $t, input_scale: $t) -> $t {
                if x <= 0.0 { $exp(x * input_scale) * (alpha * scale * input_scale) } else { scale }
            }
            #[inline(always)]
            pub fn softplus(x: $t, beta: $t, threshold: $t) -> $t {
                if x * beta > threshold { x } else { $softplus(x * beta) / beta }
            }
            #[inline(always)]
            pub fn softplus_slope(x: $t, beta: $t, threshold: $t) -> $t {
                if x * beta > threshold { 1.0 } else { $sigmoid(x * beta) }
            }
            #[inline(always)]
            pub fn mish_slope(x: $t) -> $t {
                let t = $tanh($softplus(x));
                t + x * $sigmoid(x) * (1.0 - t * t)
            }
            #[inline(always)]
            pub fn silu_slope(x: $t) -> $t {
                let s = $sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }
            #[inline(always)]
            pub fn hardswish_slope(x: $t) -> $t {
                if x <= -3.0 { 0.0 } else if x < 3.0 { x / 3.0 + 0.5 } else { 1.0 }
            }
        }
    )* };
}
mod of {
    both!(
        f32: exp_f32, expm1_f32, softplus_f32, sigmoid_f32, tanh_f32;
        f64: f64::exp, f64::exp_m1, softplus_f64, sigmoid_f64, f64::tanh
    );
}
use of::{f32 as single, f64 as double};

/// NaN for -∞, else the value.
#[inline(always)]
fn unless_lowest(x: f32, value: f32) -> f32 {
    if x == f32::NEG_INFINITY {
        f32::NAN
    } else {
        value
    }
}

crate::maps! {
    relu [x] (p; 0) {
        f32: if x < 0.0 { 0.0 } else { x };
        f64: if x < 0.0 { 0.0 } else { x };
        i64: x.max(0)
    }
    relu_grad [g, y] (p; 0) { f32: if y <= 0.0 { 0.0 } else { g }; f64: if y <= 0.0 { 0.0 } else { g } }
    sigmoid [x] (p; 0) { f32: sigmoid_f32(x); f64: sigmoid_f64(x) }
    sigmoid_grad [g, y] (p; 0) { f32: g * (1.0 - y) * y; f64: g * (1.0 - y) * y }
    /// Scalar: the slope below 0.
    leaky_relu [x] (p; 1) {
        f32: if x > 0.0 { x } else { x * p[0].float() as f32 };
        f64: if x > 0.0 { x } else { x * p[0].float() }
    }
    leaky_relu_grad [g, x] (p; 1) {
        f32: if x > 0.0 { g } else { g * p[0].float() as f32 };
        f64: if x > 0.0 { g } else { g * p[0].float() }
    }
    /// scale · (x, or alpha (exp(input_scale x) - 1) below 0). Scalars: alpha, scale, input_scale.
    elu [x] (p; 3) {
        f32: single::elu(x, p[0].float() as f32, p[1].float() as f32, p[2].float() as f32);
        f64: double::elu(x, p[0].float(), p[1].float(), p[2].float())
    }
    elu_grad [g, x] (p; 3) {
        f32: g * single::elu_slope(x, p[0].float() as f32, p[1].float() as f32, p[2].float() as f32);
        f64: g * double::elu_slope(x, p[0].float(), p[1].float(), p[2].float())
    }
    /// NaN at ±∞ in float32, as in PyTorch, which multiplies infinity by 0 there and x by 2 first; so for those below.
    gelu [x] (p; 0) { f32: gelu_f32(x) * 2.0 * 0.5 + x * 0.0; f64: x * normal_cdf_f64(x) }
    gelu_grad [g, x] (p; 0) { f32: g * gelu_slope_f32(x); f64: g * gelu_slope_f64(x) }
    gelu_tanh [x] (p; 0) {
        f32: unless_lowest(x, gelu_tanh_f32(x));
        f64: 0.5 * x * (1.0 + (SQRT_2_BY_PI * (x + CUBE * x * x * x)).tanh())
    }
    gelu_tanh_grad [g, x] (p; 0) { f32: g * gelu_tanh_slope_f32(x); f64: g * gelu_tanh_slope_f64(x) }
    silu [x] (p; 0) { f32: unless_lowest(x, silu_f32(x)); f64: x * sigmoid_f64(x) }
    silu_grad [g, x] (p; 0) { f32: g * single::silu_slope(x); f64: g * double::silu_slope(x) }
    mish [x] (p; 0) { f32: x * tanh_f32(softplus_f32(x)); f64: x * softplus_f64(x).tanh() }
    mish_grad [g, x] (p; 0) { f32: g * single::mish_slope(x); f64: g * double::mish_slope(x) }
    /// Scalars: beta, threshold.
    softplus [x] (p; 2) {
        f32: single::softplus(x, p[0].float() as f32, p[1].float() as f32);
        f64: double::softplus(x, p[0].float(), p[1].float())
    }
    softplus_grad [g, x] (p; 2) {
        f32: g * single::softplus_slope(x, p[0].float() as f32, p[1].float() as f32);
        f64: g * double::softplus_slope(x, p[0].float(), p[1].float())
    }
    softsign [x] (p; 0) { f32: x / (1.0 + x.abs()); f64: x / (1.0 + x.abs()) }
    softsign_grad [g, x] (p; 0) {
        f32: g / ((1.0 + x.abs()) * (1.0 + x.abs())) + x * 0.0;
        f64: g / ((1.0 + x.abs()) * (1.0 + x.abs())) + x * 0.0
    }
    /// Scalars: least and most.
    hardtanh [x] (p; 2) {
        f32: single::limit(x, p[0].float() as f32, p[1].float() as f32);
        f64: double::limit(x, p[0].float(), p[1].float());
        i64: x.max(p[0].int()).min(p[1].int())
    }
    hardtanh_grad [g, x] (p; 2) {
        f32: if x > p[0].float() as f32 && x < p[1].float() as f32 { g } else { 0.0 };
        f64: if x > p[0].float() && x < p[1].float() { g } else { 0.0 }
    }
    hardsigmoid [x] (p; 0) {
        f32: single::limit(x + 3.0, 0.0, 6.0) / 6.0;
        f64: double::limit(x + 3.0, 0.0, 6.0) / 6.0
    }
    hardsigmoid_grad [g, x] (p; 0) {
        f32: if x > -3.0 && x < 3.0 { g / 6.0 } else { 0.0 };
        f64: if x > -3.0 && x < 3.0 { g / 6.0 } else { 0.0 }
    }
    hardswish [x] (p; 0) {
        f32: x * single::limit(x + 3.0, 0.0, 6.0) / 6.0;
        f64: x * double::limit(x + 3.0, 0.0, 6.0) / 6.0
    }
    hardswish_grad [g, x] (p; 0) { f32: g * single::hardswish_slope(x); f64: g * double::hardswish_slope(x) }
    /// log sigmoid(x)
    logsigmoid [x] (p; 0) { f32: -softplus_f32(-x); f64: -softplus_f64(-x) }
    logsigmoid_grad [g, x] (p; 0) { f32: g * sigmoid_f32(-x); f64: g * sigmoid_f64(-x) }
    /// Scalars: the threshold, and what takes the place of values up to it.
    threshold [x] (p; 2) {
        f32: if x <= p[0].float() as f32 { p[1].float() as f32 } else { x };
        f64: if x <= p[0].float() { p[1].float() } else { x };
        i64: if x <= p[0].int() { p[1].int() } else { x }
    }
    threshold_grad [g, x] (p; 1) {
        f32: if x <= p[0].float() as f32 { 0.0 } else { g };
        f64: if x <= p[0].float() { 0.0 } else { g }
    }
    tanhshrink [x] (p; 0) { f32: x - tanh_f32(x); f64: x - x.tanh() }
    tanhshrink_grad [g, x] (p; 0) {
        f32: g * tanh_f32(x) * tanh_f32(x);
        f64: g * x.tanh() * x.tanh()
    }
    /// Scalar: what is cut off on each side of 0.
    hardshrink [x] (p; 1) {
        f32: if x.abs() <= p[0].float() as f32 { 0.0 } else { x };
        f64: if x.abs() <= p[0].float() { 0.0 } else { x }
    }
    softshrink [x] (p; 1) {
        f32: if x > p[0].float() as f32 { x - p[0].float() as f32 }
            else if x < -p[0].float() as f32 { x + p[0].float() as f32 } else { x * 0.0 };
        f64: if x > p[0].float() { x - p[0].float() } else if x < -p[0].float() { x + p[0].float() } else { x * 0.0 }
    }
    /// The gradient of both shrinks.
    shrink_grad [g, x] (p; 1) {
        f32: if x.abs() <= p[0].float() as f32 { 0.0 } else { g };
        f64: if x.abs() <= p[0].float() { 0.0 } else { g }
    }
    prelu [x, w] (p; 0) { f32: if x > 0.0 { x } else { x * w }; f64: if x > 0.0 { x } else { x * w } }
    prelu_grad [g, x, w] (p; 0) { f32: if x > 0.0 { g } else { g * w }; f64: if x > 0.0 { g } else { g * w } }
    /// The gradient for the slope, before it is summed.
    prelu_grad_weight [g, x] (p; 0) { f32: if x > 0.0 { 0.0 } else { g * x }; f64: if x > 0.0 { 0.0 } else { g * x } }
    /// a · sigmoid(b)
    glu [a, b] (p; 0) { f32: a * sigmoid_f32(b); f64: a * sigmoid_f64(b) }
    /// Its gradient for b.
    glu_grad [g, a, b] (p; 0) {
        f32: g * a * sigmoid_f32(b) * (1.0 - sigmoid_f32(b));
        f64: g * a * sigmoid_f64(b) * (1.0 - sigmoid_f64(b))
    }
}
