//! The exponential functions and what is made of them.

use super::logarithm::log1p;
use crate::lanes::{Lanes, ROUND};
use std::f32::consts::LOG2_E;

/// ln 2 in two parts; the first has so few bits that its product with an exponent is exact.
pub const LN2_HIGH: f32 = 0.693_145_75;
pub const LN2_LOW: f32 = 1.428_606_8e-6;

/// eʳ for |r| up to 0.347
pub const EXP: [f32; 7] = [
    1.393_954e-3,
    8.369_002e-3,
    4.166_641_5e-2,
    1.666_651_8e-1,
    0.5,
    1.0,
    1.0,
];
/// The same of -r, without the 1.
const EXP_MINUS: [f32; 6] = [
    1.393_954e-3,
    -8.369_002e-3,
    4.166_641_5e-2,
    -1.666_651_8e-1,
    0.5,
    -1.0,
];

/// x = r + n · ln 2 with |r| up to 0.347, as (n, r)
#[inline(always)]
fn reduce<V: Lanes>(x: V) -> (V, V) {
    let n = x.mul_add(V::all(LOG2_E), V::all(ROUND)) - V::all(ROUND);
    let r = n.mul_add(V::all(-LN2_HIGH), x);
    (n, n.mul_add(V::all(-LN2_LOW), r))
}

/// eˣ
#[inline(always)]
pub fn exp<V: Lanes>(x: V) -> V {
    let (n, r) = reduce(x.at_least(V::all(-104.0)).at_most(V::all(89.0)));
    r.polynomial(EXP).scale(n)
}

/// 2ˣ
#[inline(always)]
pub fn exp2<V: Lanes>(x: V) -> V {
    let x = x.at_least(V::all(-151.0)).at_most(V::all(129.0));
    let n = (x + V::all(ROUND)) - V::all(ROUND);
    let p = (x - n).polynomial([
        1.546_330_2e-4,
        1.339_141_9e-3,
        9.618_062e-3,
        5.550_359e-2,
        2.402_265e-1,
        6.931_472e-1,
        1.0,
    ]);
    p.scale(n)
}

/// eʳ - 1 for |r| up to 0.347
#[inline(always)]
fn expm1_near_zero<V: Lanes>(r: V) -> V {
    let q = r.polynomial([
        1.394_066_3e-3,
        8.366_597e-3,
        4.166_640_3e-2,
        1.666_654_3e-1,
        0.5,
    ]);
    (r * r).mul_add(q, r)
}

/// eˣ - 1
#[inline(always)]
pub fn expm1<V: Lanes>(x: V) -> V {
    let (n, r) = reduce(x.at_least(V::all(-17.5)).at_most(V::all(89.0)));
    let e = expm1_near_zero(r);
    // Half the power, since 2¹²⁸ is no float.
    let half = V::power(n - V::all(1.0));
    let value = e.mul_add(half, half - V::all(0.5));
    (value + value).copysign(x)
}

/// tanh x = e / (e + 2) with e = e²ˣ - 1
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let one = V::all(1.0);
    let t = x.abs().at_most(V::all(9.02));
    let (n, r) = reduce(t + t);
    let power = V::power(n);
    let (part, base) = (expm1_near_zero(r) * power, power - one);
    let e = part + base;
    let far = e / (e + V::all(2.0));
    // The same as ½e - ½e · far, where rounding the quotient counts less.
    let half = e * V::all(0.5);
    let mut near = (-half).mul_add(far, half);
    if V::COUNT == 1 {
        // Without fused steps what the sum has lost counts too; the slope there is ½ (1 - far)².
        let (lost, rest) = (part - (e - base), one - far);
        near = near + lost * V::all(0.5) * rest * rest;
    }
    V::select(e.lt(one), near, far).copysign(x)
}

/// 2ⁿ + e⁻ʳ. What adding 1 to a small power loses is added later.
#[inline(always)]
fn power_and_exp<V: Lanes>(n: V, r: V) -> V {
    let one = V::all(1.0);
    let power = V::power(n.at_least(V::all(-40.0)));
    let sum = power + one;
    let lost = power - (sum - one);
    r.polynomial(EXP_MINUS).mul_add(r, lost) + sum
}

/// sigmoid x = 2ⁿ / d, as (n, d): the power comes last, so that x · (tiny) does not pass through a denormal.
#[inline(always)]
fn sigmoid_parts<V: Lanes>(x: V) -> (V, V) {
    let (n, r) = reduce(x.at_least(V::all(-112.0)).at_most(V::all(20.0)));
    (n, power_and_exp(n, r))
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
pub fn sigmoid<V: Lanes>(x: V) -> V {
    let (n, d) = sigmoid_parts(x);
    (V::all(1.0) / d).scale(n)
}

/// x · sigmoid(x)
#[inline(always)]
pub fn silu<V: Lanes>(x: V) -> V {
    let (n, d) = sigmoid_parts(x);
    (x.at_least(V::all(-112.0)) / d).scale(n)
}

/// ln(1 + eˣ)
#[inline(always)]
pub fn softplus<V: Lanes>(x: V) -> V {
    x.at_least(V::all(0.0)) + log1p(exp(-x.abs()))
}

/// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), GELU by tanh
#[inline(always)]
pub fn gelu_tanh<V: Lanes>(x: V) -> V {
    // = x · sigmoid(x (a + b x²)); its argument in two parts, for exp turns its error into a relative one.
    const A: f64 = 1.595_769_121_605_730_711_8;
    const B: f64 = A * 0.044_715;
    let parts = |x: f64| {
        let high = x as f32;
        (V::all(high), V::all((x - f64::from(high)) as f32))
    };
    let ((a, a_low), (b, b_low)) = (parts(A), parts(B));
    let w = x.at_least(V::all(-12.0)).at_most(V::all(8.0));
    let square = w * w;
    let square_low = w.fused(w, -square);
    let bend = b * square;
    let bend_low = b.mul_add(square_low, b_low.mul_add(square, b.fused(square, -bend)));
    let (high, low) = (bend.at_least(a), bend.at_most(a));
    let factor = high + low;
    let factor_low = (low - (factor - high)) + (bend_low + a_low);
    let y = w * factor;
    let y_low = w.mul_add(factor_low, w.fused(factor, -y));
    let (n, r) = reduce(y);
    (x.at_least(V::all(-12.0)) / power_and_exp(n, r + y_low)).scale(n)
}
