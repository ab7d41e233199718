//! Logarithms.

use super::exponential::{LN2_HIGH, LN2_LOW};
use crate::lanes::Lanes;
use std::f32::consts::LN_2;

/// ln(1 + f) - f for f in -¼ … ½
#[inline(always)]
fn log_tail<V: Lanes>(f: V) -> V {
    let q = f.polynomial([
        5.560_667e-2,
        -1.220_675_3e-1,
        1.499_981_4e-1,
        -1.680_734_6e-1,
        1.997_438_5e-1,
        -2.499_400_7e-1,
        3.333_361_7e-1,
        -5.000_005_4e-1,
    ]);
    f * f * q
}

/// ln(1 + f) + e · ln 2
#[inline(always)]
fn log_of<V: Lanes>(f: V, e: V) -> V {
    let low = e.mul_add(V::all(LN2_LOW), log_tail(f));
    e.mul_add(V::all(LN2_HIGH), f + low)
}

/// ln x
#[inline(always)]
pub fn log<V: Lanes>(x: V) -> V {
    let (m, e) = x.split();
    log_of(m - V::all(1.0), e)
}

/// log₂ x
#[inline(always)]
pub fn log2<V: Lanes>(x: V) -> V {
    const REST: f32 = 0.442_695_04; // log₂ e - 1
    let (m, e) = x.split();
    let f = m - V::all(1.0);
    let tail = log_tail(f);
    let low = f.mul_add(V::all(REST), tail.mul_add(V::all(REST), tail));
    // f + e loses nothing where it cancels.
    low + (f + e)
}

/// log₁₀ x
#[inline(always)]
pub fn log10<V: Lanes>(x: V) -> V {
    // In two parts each; the first of log₁₀ 2 has so few bits that its product with an exponent is exact.
    const TWO: (f32, f32) = (3.007_812_5e-1, 2.487_456_6e-4);
    const E: (f32, f32) = (std::f32::consts::LOG10_E, -1.0103050e-08);
    let (m, e) = x.split();
    let f = m - V::all(1.0);
    let low = f.mul_add(V::all(E.1), log_tail(f) * V::all(E.0));
    let low = e.mul_add(V::all(TWO.1), low);
    // Whichever cancels is added first.
    let far = f.fused(V::all(E.0), e * V::all(TWO.0)) + low;
    V::select(e.equals(V::all(0.0)), f.fused(V::all(E.0), low), far)
}

/// ln(1 + x)
#[inline(always)]
pub fn log1p<V: Lanes>(x: V) -> V {
    let one = V::all(1.0);
    let u = x + one;
    // 1 + x = m · 2ᵉ with m in ¾ … 1½, up to a rounding; m - 1 comes from x itself.
    let e = (u * V::all(2.0 / 3.0)).exponent() + one;
    let power = one.scale(-e);
    let f = x.mul_add(power, power - one);
    V::at_limits::<true>(log_of(f, e), u).copysign(x)
}

/// artanh x = ½ ln((1 + x) / (1 - x))
#[inline(always)]
pub fn atanh<V: Lanes>(x: V) -> V {
    const SQRT_2: f32 = std::f32::consts::SQRT_2;
    let one = V::all(1.0);
    let t = x.abs();
    let rest = one - t;
    // About √2 (1 - t) / (1 + t): the quotient is near 2ᵉ.
    let e = -(rest * t.mul_add(V::all(-0.5 * SQRT_2), V::all(SQRT_2))).exponent();
    let power = V::power(e);
    let top = t.fused(one + power, one - power);
    let w = top / t.fused(one - power, one + power);
    let z = w * w;
    let q = z.polynomial([
        1.233_466_2e-1,
        1.423_162_5e-1,
        2.000_093_2e-1,
        3.333_332_8e-1,
    ]);
    let value = e.mul_add(V::all(0.5 * LN_2), (w * z).mul_add(q, w));
    V::at_limits::<false>(value, rest).copysign(x)
}
