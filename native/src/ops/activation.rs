//! Activations and the kernels of their gradients, one line each. A gradient takes g, the gradient of the output, and
//! x, the input (y where the output serves better).

use crate::lanes::Lanes;
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
fn gelu_slope<V: Lanes>(x: V) -> V {
    let density = exp(x * x * V::all(-0.5)) * V::all(SQRT_1_BY_2PI as f32);
    x.mul_add(density, normal_cdf(x))
}

fn gelu_slope_f64(x: f64) -> f64 {
    normal_cdf_f64(x) + x * (x * x * -0.5).exp() * SQRT_1_BY_2PI
}

/// d/dx of the GELU by tanh
#[inline(always)]
fn gelu_tanh_slope<V: Lanes>(x: V) -> V {
    let (one, half) = (V::all(1.0), V::all(0.5));
    let cube = V::all(CUBE as f32) * x * x;
    let t = tanh(V::all(SQRT_2_BY_PI as f32) * cube.mul_add(x, x));
    let inner = V::all(SQRT_2_BY_PI as f32) * (one + V::all(3.0) * cube);
    half * (one + t) + half * x * (one - t * t) * inner
}

fn gelu_tanh_slope_f64(x: f64) -> f64 {
    let t = (SQRT_2_BY_PI * (x + CUBE * x * x * x)).tanh();
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SQRT_2_BY_PI * (1.0 + 3.0 * CUBE * x * x)
}

fn silu_slope_f64(x: f64) -> f64 {
    let s = sigmoid_f64(x);
    s * (1.0 + x * (1.0 - s))
}

fn mish_slope_f64(x: f64) -> f64 {
    let t = softplus_f64(x).tanh();
    t + x * sigmoid_f64(x) * (1.0 - t * t)
}

/// Functions that only differ in their number type.
macro_rules! both {
    ($($t:ident: $exp:expr, $expm1:expr);*) => { $(
        pub mod $t {
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
            pub fn hardswish_slope(x: $t) -> $t {
                if x <= -3.0 { 0.0 } else if x < 3.0 { x / 3.0 + 0.5 } else { 1.0 }
            }
        }
    )* };
}
mod of {
    both!(
        f32: crate::math::exp_f32, crate::math::expm1_f32;
        f64: f64::exp, f64::exp_m1
    );
}
use of::{f32 as single, f64 as double};

/// The value, but NaN where x is -∞.
#[inline(always)]
fn unless_lowest<V: Lanes>(x: V, value: V) -> V {
    V::select(x.equals(V::all(f32::NEG_INFINITY)), V::all(f32::NAN), value)
}

/// d/dx of x sigmoid(x)
#[inline(always)]
fn silu_slope<V: Lanes>(x: V) -> V {
    let (one, s) = (V::all(1.0), sigmoid(x));
    s * (one + x * (one - s))
}

/// d/dx of x tanh(softplus(x))
#[inline(always)]
fn mish_slope<V: Lanes>(x: V) -> V {
    let t = tanh(softplus(x));
    t + x * sigmoid(x) * (V::all(1.0) - t * t)
}

crate::maps! {
    relu [x] (p; 0) {
        lanes: V::select(x.lt(V::all(0.0)), V::all(0.0), x);
        f64: if x < 0.0 { 0.0 } else { x };
        i64: x.max(0)
    }
    // Less than the least number is what is not above 0.
    relu_grad [g, y] (p; 0) {
        lanes: V::select(y.lt(V::all(f32::from_bits(1))), V::all(0.0), g);
        f64: if y <= 0.0 { 0.0 } else { g } }
    sigmoid [x] (p; 0) { lanes: sigmoid(x); f64: sigmoid_f64(x) }
    sigmoid_grad [g, y] (p; 0) { lanes: g * (V::all(1.0) - y) * y; f64: g * (1.0 - y) * y }
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
    gelu [x] (p; 0) { lanes: gelu(x) * V::all(2.0) * V::all(0.5) + x * V::all(0.0); f64: x * normal_cdf_f64(x) }
    gelu_grad [g, x] (p; 0) { lanes: g * gelu_slope(x); f64: g * gelu_slope_f64(x) }
    gelu_tanh [x] (p; 0) {
        lanes: unless_lowest(x, gelu_tanh(x));
        f64: 0.5 * x * (1.0 + (SQRT_2_BY_PI * (x + CUBE * x * x * x)).tanh())
    }
    gelu_tanh_grad [g, x] (p; 0) { lanes: g * gelu_tanh_slope(x); f64: g * gelu_tanh_slope_f64(x) }
    silu [x] (p; 0) { lanes: unless_lowest(x, silu(x)); f64: x * sigmoid_f64(x) }
    silu_grad [g, x] (p; 0) { lanes: g * silu_slope(x); f64: g * silu_slope_f64(x) }
    mish [x] (p; 0) { lanes: x * tanh(softplus(x)); f64: x * softplus_f64(x).tanh() }
    mish_grad [g, x] (p; 0) { lanes: g * mish_slope(x); f64: g * mish_slope_f64(x) }
    /// Scalars: beta, threshold.
    softplus [x] (p; 2) {
        lanes: V::select(p[1].lt(x * p[0]), x, softplus(x * p[0]) / p[0]);
        f64: if x * p[0].float() > p[1].float() { x } else { softplus_f64(x * p[0].float()) / p[0].float() }
    }
    softplus_grad [g, x] (p; 2) {
        lanes: g * V::select(p[1].lt(x * p[0]), V::all(1.0), sigmoid(x * p[0]));
        f64: g * if x * p[0].float() > p[1].float() { 1.0 } else { sigmoid_f64(x * p[0].float()) }
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
    logsigmoid [x] (p; 0) { lanes: -softplus(-x); f64: -softplus_f64(-x) }
    logsigmoid_grad [g, x] (p; 0) { lanes: g * sigmoid(-x); f64: g * sigmoid_f64(-x) }
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
    tanhshrink [x] (p; 0) { lanes: x - tanh(x); f64: x - x.tanh() }
    tanhshrink_grad [g, x] (p; 0) {
        lanes: g * tanh(x) * tanh(x);
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
    glu [a, b] (p; 0) { lanes: a * sigmoid(b); f64: a * sigmoid_f64(b) }
    /// Its gradient for b.
    glu_grad [g, a, b] (p; 0) {
        lanes: g * a * sigmoid(b) * (V::all(1.0) - sigmoid(b));
        f64: g * a * sigmoid_f64(b) * (1.0 - sigmoid_f64(b))
    }
}
