//! Elementwise arithmetic, comparison, logic and mathematical functions: one line an op.
//! Comparisons compute 0 or 1 in the compute type; the output's dtype (bool) does the rest.
//! Operands of one op are tensors of any strides and dtypes, or numbers; the engine is map.rs.

use crate::instruction::{Call, Row, Scalar};
use crate::math::*;
use crate::ops::map::{self, Map};

#[inline(always)]
fn one<T: From<u8>>(condition: bool) -> T {
    T::from(u8::from(condition))
}

/// 1 for any byte but 0.
#[inline(always)]
fn truth(x: u8) -> u8 {
    u8::from(x != 0)
}

mod c {
    unsafe extern "C" {
        // The C library's, which Rust's standard library links anyway but does not offer.
        pub safe fn erf(x: f64) -> f64;
        pub safe fn erfc(x: f64) -> f64;
        pub safe fn lgamma(x: f64) -> f64;
    }
}
use c::lgamma;
pub use c::{erf as erf_f64, erfc as erfc_f64};

#[inline(always)]
fn merge(a: u64, b: u64, first: bool) -> u64 {
    let mask = 0u64.wrapping_sub(u64::from(first));
    a & mask | b & !mask
}

/// Power by squaring, wrapping; a negative exponent leaves only the inverses of 1 and -1.
#[inline(always)]
fn pow_i64(base: i64, exponent: i64) -> i64 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 if exponent % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let (mut result, mut square, mut left) = (1i64, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        left >>= 1;
    }
    result
}

/// The inverse of erf: rational start (P. J. Acklam's regions, as PyTorch has them), two Newton steps.
fn erfinv_f64(y: f64) -> f64 {
    if y.abs() >= 1.0 {
        let limit = if y.abs() == 1.0 {
            f64::INFINITY
        } else {
            f64::NAN
        };
        return limit.copysign(y);
    }
    let sum = |c: &[f64], x: f64| c.iter().rev().fold(0.0, |s, c| s * x + c);
    let mut x = if y.abs() <= 0.7 {
        let z = y * y;
        let num = sum(&[0.886226899, -1.645349621, 0.914624893, -0.140543331], z);
        let den = sum(
            &[1.0, -2.118377725, 1.442710462, -0.329097515, 0.012229801],
            z,
        );
        y * num / den
    } else {
        let z = (-((1.0 - y.abs()) / 2.0).ln()).sqrt();
        let num = sum(&[-1.970840454, -1.624906493, 3.429567803, 1.641345311], z);
        let den = sum(&[1.0, 3.543889200, 1.637067800], z);
        (num / den).copysign(y)
    };
    for _ in 0..2 {
        x -= (erf_f64(x) - y) / (std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp());
    }
    x
}

/// √(a² + b²): in float64 neither overflows nor vanishes.
#[inline(always)]
fn hypot_f32(a: f32, b: f32) -> f32 {
    let (x, y) = (f64::from(a), f64::from(b));
    let length = (x * x + y * y).sqrt() as f32;
    if a.is_infinite() || b.is_infinite() {
        f32::INFINITY
    } else {
        length
    }
}

/// log(eᵃ + eᵇ) without overflow.
#[inline(always)]
fn logaddexp_f32(a: f32, b: f32) -> f32 {
    let top = if a > b || a.is_nan() { a } else { b };
    let sum = top + log1p_f32(exp_f32(-(a - b).abs()));
    if a == b && a.is_infinite() { a } else { sum }
}

fn logaddexp_f64(a: f64, b: f64) -> f64 {
    let top = if a > b || a.is_nan() { a } else { b };
    let sum = top + (-(a - b).abs()).exp().ln_1p();
    if a == b && a.is_infinite() { a } else { sum }
}

/// Functions that only differ in their number type.
macro_rules! both {
    ($($t:ident),*) => { $(
        pub mod $t {
            #[inline(always)]
            pub fn maximum(a: $t, b: $t) -> $t { if a > b || a.is_nan() { a } else { b } }
            #[inline(always)]
            pub fn minimum(a: $t, b: $t) -> $t { if a < b || a.is_nan() { a } else { b } }
            #[inline(always)]
            pub fn fmax(a: $t, b: $t) -> $t { if a >= b || b.is_nan() { a } else { b } }
            #[inline(always)]
            pub fn fmin(a: $t, b: $t) -> $t { if a <= b || b.is_nan() { a } else { b } }
            #[inline(always)]
            pub fn sign(x: $t) -> $t { if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 } }
            /// The remainder with the divisor's sign, as Python's `%`, of that with the dividend's.
            #[inline(always)]
            pub fn remainder(_: $t, b: $t, r: $t) -> $t {
                if r != 0.0 && (b < 0.0) != (r < 0.0) { r + b } else { r }
            }
            /// The quotient rounded down, exact where `(a / b).floor()` is off by a rounding; as Python's `//`. `r` is
            /// the remainder with the dividend's sign.
            #[inline(always)]
            pub fn div_floor(a: $t, b: $t, r: $t) -> $t {
                let mut quotient = (a - r) / b;
                if r != 0.0 && (b < 0.0) != (r < 0.0) { quotient -= 1.0; }
                let floor = quotient.floor();
                let near = if quotient - floor > 0.5 { floor + 1.0 } else { floor };
                let value = if quotient == 0.0 { (0.0 as $t).copysign(a / b) } else { near };
                if b == 0.0 { a / b } else { value }
            }
            /// Rounded to `digits` decimals, a half to even.
            #[inline(always)]
            pub fn round_decimals(x: $t, digits: i32) -> $t {
                let ten = (10.0 as $t).powi(digits.abs());
                if digits < 0 { (x / ten).round_ties_even() * ten } else { (x * ten).round_ties_even() / ten }
            }
        }
    )* };
}
mod of {
    both!(f32, f64);
}
use of::{f32 as single, f64 as double};

crate::maps! {
    /// A copy, with conversion where the dtypes differ.
    copy [x] (p; 0) { f32: x; f64: x; i64: x }
    /// The same number everywhere.
    fill [] (p; 1) { f32: p[0].float() as f32; f64: p[0].float(); i64: p[0].int() }
    add [a, b] (p; 0) { lanes: a + b; f64: a + b; i64: a.wrapping_add(b); bits: a.wrapping_add(b) }
    sub [a, b] (p; 0) { lanes: a - b; f64: a - b; i64: a.wrapping_sub(b); bits: a.wrapping_sub(b) }
    mul [a, b] (p; 0) { lanes: a * b; f64: a * b; i64: a.wrapping_mul(b); bits: a.wrapping_mul(b) }
    div [a, b] (p; 0) { lanes: a / b; f64: a / b }
    eq [a, b] (p; 0) { f32: one::<f32>(a == b); f64: one::<f64>(a == b); i64: i64::from(a == b) }
    exp [x] (p; 0) { lanes: exp(x); f64: x.exp() }

    /// a + scalar · b
    add_scaled [a, b] (p; 1) {
        lanes: a + b * p[0];
        f64: a + b * p[0].float();
        i64: a.wrapping_add(b.wrapping_mul(p[0].int()))
    }
    ne [a, b] (p; 0) { f32: one::<f32>(a != b); f64: one::<f64>(a != b); i64: i64::from(a != b) }
    lt [a, b] (p; 0) { f32: one::<f32>(a < b); f64: one::<f64>(a < b); i64: i64::from(a < b) }
    le [a, b] (p; 0) { f32: one::<f32>(a <= b); f64: one::<f64>(a <= b); i64: i64::from(a <= b) }
    gt [a, b] (p; 0) { f32: one::<f32>(a > b); f64: one::<f64>(a > b); i64: i64::from(a > b) }
    ge [a, b] (p; 0) { f32: one::<f32>(a >= b); f64: one::<f64>(a >= b); i64: i64::from(a >= b) }
    neg [x] (p; 0) { lanes: -x; f64: -x; i64: x.wrapping_neg() }
    abs [x] (p; 0) { lanes: x.abs(); f64: x.abs(); i64: x.wrapping_abs() }
    sign [x] (p; 0) { f32: single::sign(x); f64: double::sign(x); i64: x.signum() }
    reciprocal [x] (p; 0) { f32: 1.0 / x; f64: 1.0 / x }
    sqrt [x] (p; 0) { lanes: x.sqrt(); f64: x.sqrt() }
    rsqrt [x] (p; 0) { f32: rsqrt_f32(x); f64: 1.0 / x.sqrt() }
    square [x] (p; 0) { lanes: x * x; f64: x * x; i64: x.wrapping_mul(x) }
    pow [a, b] (p; 0) { f32: pow_f32(a, b); f64: a.powf(b); i64: pow_i64(a, b) }
    maximum [a, b] (p; 0) { f32: single::maximum(a, b); f64: double::maximum(a, b); i64: a.max(b) }
    minimum [a, b] (p; 0) { f32: single::minimum(a, b); f64: double::minimum(a, b); i64: a.min(b) }
    fmax [a, b] (p; 0) { f32: single::fmax(a, b); f64: double::fmax(a, b); i64: a.max(b) }
    fmin [a, b] (p; 0) { f32: single::fmin(a, b); f64: double::fmin(a, b); i64: a.min(b) }
    /// condition ? a : b, by their bits: LLVM would load from the one or the other.
    select [c, a, b] (p; 0) {
        f32: f32::from_bits(merge(a.to_bits().into(), b.to_bits().into(), c != 0.0) as u32);
        f64: f64::from_bits(merge(a.to_bits(), b.to_bits(), c != 0.0));
        i64: merge(a as u64, b as u64, c != 0) as i64
    }
    /// min(max(x, low), high)
    clamp [x, low, high] (p; 0) {
        f32: single::minimum(single::maximum(x, low), high);
        f64: double::minimum(double::maximum(x, low), high);
        i64: x.max(low).min(high)
    }
    /// Passes g where low < x < high.
    clamp_grad [g, x] (p; 2) {
        f32: if x > p[0].float() as f32 && x < p[1].float() as f32 { g } else { 0.0 };
        f64: if x > p[0].float() && x < p[1].float() { g } else { 0.0 }
    }
    log [x] (p; 0) { lanes: log(x); f64: x.ln() }
    log2 [x] (p; 0) { lanes: log2(x); f64: x.log2() }
    log10 [x] (p; 0) { lanes: log10(x); f64: x.log10() }
    log1p [x] (p; 0) { lanes: log1p(x); f64: x.ln_1p() }
    exp2 [x] (p; 0) { lanes: exp2(x); f64: x.exp2() }
    expm1 [x] (p; 0) { lanes: expm1(x); f64: x.exp_m1() }
    asin [x] (p; 0) { lanes: asin(x); f64: x.asin() }
    acos [x] (p; 0) { lanes: acos(x); f64: x.acos() }
    atan [x] (p; 0) { lanes: atan(x); f64: x.atan() }
    sinh [x] (p; 0) { f32: sinh_f32(x); f64: x.sinh() }
    cosh [x] (p; 0) { f32: cosh_f32(x); f64: x.cosh() }
    tanh [x] (p; 0) { lanes: tanh(x); f64: x.tanh() }
    asinh [x] (p; 0) { f32: asinh_f32(x); f64: x.asinh() }
    acosh [x] (p; 0) { f32: acosh_f32(x); f64: x.acosh() }
    atanh [x] (p; 0) { lanes: atanh(x); f64: x.atanh() }
    erf [x] (p; 0) { lanes: erf(x); f64: erf_f64(x) }
    erfc [x] (p; 0) { lanes: erfc(x); f64: erfc_f64(x) }
    erfinv [x] (p; 0) { lanes: erfinv(x); f64: erfinv_f64(x) }
    lgamma [x] (p; 0) { f32: lgamma(f64::from(x)) as f32; f64: lgamma(x) }
    floor [x] (p; 0) { f32: x.floor(); f64: x.floor() }
    ceil [x] (p; 0) { f32: x.ceil(); f64: x.ceil() }
    trunc [x] (p; 0) { f32: x.trunc(); f64: x.trunc() }
    frac [x] (p; 0) { f32: x - x.trunc(); f64: x - x.trunc() }
    /// To the nearest integer, a half to even.
    round [x] (p; 0) { f32: x.round_ties_even(); f64: x.round_ties_even() }
    round_decimals [x] (p; 1) {
        f32: single::round_decimals(x, p[0].float() as i32);
        f64: double::round_decimals(x, p[0].float() as i32)
    }
    isnan [x] (p; 0) { f32: one::<f32>(x.is_nan()); f64: one::<f64>(x.is_nan()); i64: 0 }
    isinf [x] (p; 0) { f32: one::<f32>(x.is_infinite()); f64: one::<f64>(x.is_infinite()); i64: 0 }
    isfinite [x] (p; 0) { f32: one::<f32>(x.is_finite()); f64: one::<f64>(x.is_finite()); i64: 1 }
    signbit [x] (p; 0) {
        f32: one::<f32>(x.is_sign_negative());
        f64: one::<f64>(x.is_sign_negative());
        i64: i64::from(x < 0)
    }
    /// NaN, ∞ and -∞ replaced by three numbers.
    nan_to_num [x] (p; 3) {
        f32: if x.is_nan() { p[0].float() as f32 } else if x == f32::INFINITY { p[1].float() as f32 }
            else if x == f32::NEG_INFINITY { p[2].float() as f32 } else { x };
        f64: if x.is_nan() { p[0].float() } else if x == f64::INFINITY { p[1].float() }
            else if x == f64::NEG_INFINITY { p[2].float() } else { x };
        i64: x
    }
    logical_not [x] (p; 0) { f32: one::<f32>(x == 0.0); f64: one::<f64>(x == 0.0); i64: i64::from(x == 0); truths: u8::from(x == 0) }
    logical_and [a, b] (p; 0) {
        f32: one::<f32>(a != 0.0 && b != 0.0);
        f64: one::<f64>(a != 0.0 && b != 0.0);
        i64: i64::from(a != 0 && b != 0);
        truths: truth(a) & truth(b)
    }
    logical_or [a, b] (p; 0) {
        f32: one::<f32>(a != 0.0 || b != 0.0);
        f64: one::<f64>(a != 0.0 || b != 0.0);
        i64: i64::from(a != 0 || b != 0);
        truths: truth(a) | truth(b)
    }
    logical_xor [a, b] (p; 0) {
        f32: one::<f32>((a != 0.0) != (b != 0.0));
        f64: one::<f64>((a != 0.0) != (b != 0.0));
        i64: i64::from((a != 0) != (b != 0));
        truths: truth(a) ^ truth(b)
    }
    bitwise_not [x] (p; 0) { i64: !x; bits: !x }
    bitwise_and [a, b] (p; 0) { i64: a & b; bits: a & b; truths: truth(a) & truth(b) }
    bitwise_or [a, b] (p; 0) { i64: a | b; bits: a | b; truths: truth(a) | truth(b) }
    bitwise_xor [a, b] (p; 0) { i64: a ^ b; bits: a ^ b; truths: truth(a) ^ truth(b) }
    /// A shift by less than 0 or by the width and more leaves 0; the store cuts to the width.
    shift_left [a, b] (p; 0) { i64: if (0..64).contains(&b) { a << b } else { 0 } }
    /// A shift by less than 0 or by the width and more leaves the sign.
    shift_right [a, b] (p; 0) { i64: a >> (if (0..64).contains(&b) { b } else { 63 }) }
    atan2 [a, b] (p; 0) { f32: atan2_f32(a, b); f64: a.atan2(b) }
    hypot [a, b] (p; 0) { f32: hypot_f32(a, b); f64: a.hypot(b) }
    copysign [a, b] (p; 0) { f32: a.copysign(b); f64: a.copysign(b) }
    logaddexp [a, b] (p; 0) { f32: logaddexp_f32(a, b); f64: logaddexp_f64(a, b) }
    /// x log y, 0 where x is 0 and y a number
    xlogy [x, y] (p; 0) {
        f32: if y.is_nan() { y } else if x == 0.0 { 0.0 } else { x * log_f32(y) };
        f64: if y.is_nan() { y } else if x == 0.0 { 0.0 } else { x * y.ln() }
    }
    /// a + w (b - a), from the nearer end
    lerp [a, b, w] (p; 0) {
        f32: if w.abs() < 0.5 { a + w * (b - a) } else { b - (b - a) * (1.0 - w) };
        f64: if w.abs() < 0.5 { a + w * (b - a) } else { b - (b - a) * (1.0 - w) }
    }
    /// x + scalar · a · b
    addcmul [x, a, b] (p; 1) {
        lanes: x + p[0] * a * b;
        f64: x + p[0].float() * a * b;
        i64: x.wrapping_add(p[0].int().wrapping_mul(a).wrapping_mul(b))
    }
    /// x + scalar · a / b
    addcdiv [x, a, b] (p; 1) {
        f32: x + p[0].float() as f32 * a / b;
        f64: x + p[0].float() * a / b
    }
    /// The gradient of sqrt: g / 2y
    sqrt_grad [g, y] (p; 0) { f32: g / (y * 2.0); f64: g / (y * 2.0) }
    /// The gradient of rsqrt: -g y³ / 2
    rsqrt_grad [g, y] (p; 0) { f32: g * -0.5 * (y * y * y); f64: g * -0.5 * (y * y * y) }
    /// The gradient of tanh: g (1 - y²)
    tanh_grad [g, y] (p; 0) { lanes: g * (V::all(1.0) - y * y); f64: g * (1.0 - y * y) }
    /// The gradient of abs: g sign(x)
    abs_grad [g, x] (p; 0) { f32: g * single::sign(x); f64: g * double::sign(x) }
    /// The gradient of a / b for b: -g y / b
    div_grad [g, y, b] (p; 0) { f32: -g * (y / b); f64: -g * (y / b) }
}

/// sin, cos and tan: their fast forms hold for arguments that are not huge, so whole slices go through math.rs.
macro_rules! trig {
    ($($name:ident: $slice:ident),*) => {
        $( mod $name {
            use super::*;
            /// # Safety
            /// As [`map::Kernel`]: n elements of each operand; the output is none of the inputs.
            unsafe fn single<const STREAMED: bool>(ins: [*const f32; 3], out: *mut f32, n: usize, _: &[Scalar]) {
                // SAFETY: the engine hands in n elements of each, which do not overlap.
                unsafe { $slice::<STREAMED>(ins[0], out, n) };
            }
            /// # Safety
            /// As above.
            unsafe fn double(ins: [*const f64; 3], out: *mut f64, n: usize, _: &[Scalar]) {
                for i in 0..n {
                    // SAFETY: the engine hands in n elements of each.
                    unsafe { *out.add(i) = (*ins[0].add(i)).$name() };
                }
            }
            pub static MAP: Map = Map {
                f32: Some(single::<false>),
                streamed: Some(single::<true>),
                f64: Some(double),
                i64: None,
                bits: None,
                truths: None,
            };
        } )*
        /// The kernels of `TRIG` by name.
        pub static TRIG_MAPS: &[(&str, &Map)] = &[$((stringify!($name), &$name::MAP)),*];
        pub const TRIG: &[Row] = &[$(
            Row { name: stringify!($name), outs: 1, ins: (1, 1), scalars: (1, 1), alias: true, run: |call| map::run(call, &$name::MAP), cuda: Some(|call| map::cuda::run(call, concat!("map_", stringify!($name)))) }
        ),*];
    };
}
trig!(sin: sin_slice, cos: cos_slice, tan: tan_slice);

/// Divisions with a rounding. Integers have no quotient by zero, so their divisors are looked through first.
pub mod division {
    use super::*;
    use crate::bail;
    use crate::dtype::Compute;
    use crate::fault::Outcome;
    use core::sync::atomic::{AtomicBool, Ordering};

    /// `action` is what the op is called in TypeScript.
    fn run(call: &Call, map: &Map, action: &str) -> Outcome {
        if call.dtype(0)?.compute() == Compute::I64 {
            let divisors = &call.ins()[1..];
            let space = map::Space::new(call.name, divisors)?;
            let zero = AtomicBool::new(false);
            let shared = map::Shared(divisors);
            crate::pool::parallel_ranges(space.numel, 16 * 1024, &|range| {
                let mut part = [1i64; 512];
                for from in range.clone().step_by(512) {
                    let n = 512.min(range.end - from);
                    // SAFETY: the buffer has room for n, the operand was checked.
                    unsafe {
                        map::load::<i64>(&space, 0, shared.get(0), from, n, part.as_mut_ptr())
                    };
                    if part[..n].contains(&0) {
                        zero.store(true, Ordering::Relaxed);
                    }
                }
            });
            if zero.load(Ordering::Relaxed) {
                bail!("Cannot {action}: an integer was divided by zero");
            }
        }
        map::run(call, map)
    }

    /// What is made of two numbers and the remainder with the dividend's sign: itself, that with the divisor's sign, or
    /// the quotient rounded down.
    const OF_DIVIDEND: usize = 0;
    const OF_DIVISOR: usize = 1;
    const FLOOR: usize = 2;

    #[inline(always)]
    fn finished<const KIND: usize>(a: f32, b: f32, r: f32) -> f32 {
        match KIND {
            OF_DIVIDEND => r,
            OF_DIVISOR => single::remainder(a, b, r),
            _ => single::div_floor(a, b, r),
        }
    }

    /// Quotients below this have their whole part right when they are rounded to float64: two float32 that do not divide
    /// differ from the nearest multiple by more.
    const NEAR: f64 = (1 << 24) as f64;

    crate::simd! {
        /// By a division in float64. Says whether all quotients were small enough, and numbers.
        unsafe fn quick<const KIND: usize>(ins: [*const f32; 3], out: *mut f32, n: usize) -> bool {
            let mut all = true;
            for i in 0..n {
                // SAFETY: the caller gives n elements of each.
                unsafe {
                    let (a, b) = (*ins[0].add(i), *ins[1].add(i));
                    let (x, y) = (f64::from(a), f64::from(b));
                    let whole = (x / y).trunc();
                    all &= (whole.abs() < NEAR) & (y.abs() < f64::INFINITY);
                    let r = ((x - whole * y) as f32).copysign(a);
                    *out.add(i) = finished::<KIND>(a, b, r);
                }
            }
            all
        }
    }

    /// # Safety
    /// There are n elements of two inputs and of the output, which overlaps neither.
    unsafe fn by_remainder<const KIND: usize>(ins: [*const f32; 3], out: *mut f32, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if quick::<KIND>(ins, out, n) {
                return;
            }
            for i in 0..n {
                let (a, b) = (*ins[0].add(i), *ins[1].add(i));
                *out.add(i) = finished::<KIND>(a, b, a % b);
            }
        }
    }

    mod kernels {
        use super::super::double;
        use super::{FLOOR, OF_DIVIDEND, OF_DIVISOR, by_remainder};
        crate::maps! {
            div_floor [a, b] (p; 0) {
                by: by_remainder::<FLOOR>;
                f64: double::div_floor(a, b, a % b);
                i64: if b == 0 { 0 } else {
                    a.wrapping_div(b) - i64::from(a.wrapping_rem(b) != 0 && (a < 0) != (b < 0))
                }
            }
            div_trunc [a, b] (p; 0) {
                f32: (a / b).trunc();
                f64: (a / b).trunc();
                i64: if b == 0 { 0 } else { a.wrapping_div(b) }
            }
            remainder [a, b] (p; 0) {
                by: by_remainder::<OF_DIVISOR>;
                f64: double::remainder(a, b, a % b);
                i64: if b == 0 { 0 } else {
                    let r = a.wrapping_rem(b);
                    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
                }
            }
            fmod [a, b] (p; 0) {
                by: by_remainder::<OF_DIVIDEND>;
                f64: a % b;
                i64: if b == 0 { 0 } else { a.wrapping_rem(b) }
            }
        }
    }

    #[cfg(test)]
    #[test]
    fn remainders_are_those_of_the_processor_to_the_bit() {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as u32
        };
        for round in 0..64 {
            // Any bits; numbers of like size; multiples and what lies beside them.
            let pairs: Vec<(f32, f32)> = (0..1000)
                .map(|_| {
                    let (a, b) = (f32::from_bits(next() << 1), f32::from_bits(next() << 1));
                    let (x, y) = (next() as f32 / 3e4 - 3e4, next() as f32 / 1e8 - 10.0);
                    let near =
                        f32::from_bits((y * (next() % 4000) as f32).to_bits() + next() % 3 - 1);
                    match round % 4 {
                        0 => (a, b),
                        1 => (x, y),
                        _ => (near, y),
                    }
                })
                .chain([
                    (-4.0, 2.0),
                    (4.0, -0.5),
                    (0.0, 3.0),
                    (-0.0, 3.0),
                    (1e-42, 3e-45),
                ])
                .collect();
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let mut out = vec![0f32; a.len()];
            let ins = [a.as_ptr(), b.as_ptr(), core::ptr::null()];
            // SAFETY: so many elements of each.
            unsafe { by_remainder::<OF_DIVIDEND>(ins, out.as_mut_ptr(), out.len()) };
            for ((a, b), r) in pairs.iter().zip(&out) {
                let expected = a % b;
                assert!(
                    r.to_bits() == expected.to_bits() || r.is_nan() && expected.is_nan(),
                    "{a:e} % {b:e} is {expected:e}, not {r:e}"
                );
            }
        }
    }

    const fn row(i: usize, run: fn(&Call) -> Outcome, cuda: fn(&Call) -> Outcome) -> Row {
        Row {
            run,
            cuda: Some(cuda),
            ..kernels::ROWS[i]
        }
    }

    pub const ROWS: &[Row] = &[
        row(
            0,
            |call| run(call, kernels::MAPS[0].1, "floorDivide"),
            |call| map::cuda::run_with_alarm(call, "map_div_floor"),
        ),
        row(
            1,
            |call| run(call, kernels::MAPS[1].1, "div with roundingMode trunc"),
            |call| map::cuda::run_with_alarm(call, "map_div_trunc"),
        ),
        row(
            2,
            |call| run(call, kernels::MAPS[2].1, "remainder"),
            |call| map::cuda::run_with_alarm(call, "map_remainder"),
        ),
        row(
            3,
            |call| run(call, kernels::MAPS[3].1, "fmod"),
            |call| map::cuda::run_with_alarm(call, "map_fmod"),
        ),
    ];
}
