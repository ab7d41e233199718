//! Reductions: sum, mean, prod, extremes, norms, deviations, logic. Scalar 0 of each row is the dtype to compute in.
//! Extremes with their positions are in extreme.rs, deviations in moments.rs.

use super::reduce::{self, Reduce};
use crate::dtype::{Element, Number};
use crate::instruction::Row;
use crate::with_compute;

/// Writes out `Reduce` for compute types that differ in their lanes only.
macro_rules! reduce {
    ($kind:ident: [$($c:ty => $lane:ty, $total:ty, $out:ty);*];
        start $start:expr; step |$s:ident, $l:ident, $x:ident, $aux:ident| $step:expr;
        zero $zero:expr; join |$j:ident, $t:ident, $k:ident| $join:expr; merge |$a:ident, $b:ident| $merge:expr;
        finish |$f:ident, $v:ident, $n:ident| $finish:expr; aux $reads:expr
    ) => { $(
        impl Reduce<$c> for $kind {
            type Lane = $lane;
            type Total = $total;
            type Out = $out;
            const AUX: bool = $reads;
            #[inline(always)]
            fn start(&self) -> $lane { $start as $lane }
            #[inline(always)]
            #[allow(clippy::unnecessary_cast)]
            fn step(&self, $l: $lane, $x: $c, $aux: f64) -> $lane { let ($s, _) = (self, $aux); $step }
            #[inline(always)]
            fn zero(&self) -> $total { $zero as $total }
            #[inline(always)]
            #[allow(clippy::unnecessary_cast)]
            fn join(&self, $t: $total, $k: $lane) -> $total { let ($j, $k) = (self, $k as $total); $join }
            #[inline(always)]
            fn merge(&self, $a: $total, $b: $total) -> $total { $merge }
            #[inline(always)]
            #[allow(clippy::unnecessary_cast)]
            fn finish(&self, $v: $total, $n: usize) -> $out { let ($f, _) = (self, $n); $finish }
        }
    )* };
}

/// `Σ x`, or the mean.
#[derive(Clone, Copy)]
pub struct Sum {
    pub mean: bool,
}
reduce! { Sum: [f32 => f32, f64, f64; f64 => f64, f64, f64];
    start 0.0; step |_s, l, x, _a| l + x; zero 0.0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |f, v, n| if f.mean { v / n as f64 } else { v }; aux false
}
reduce! { Sum: [i64 => i64, i64, i64];
    start 0; step |_s, l, x, _a| l.wrapping_add(x); zero 0; join |_j, t, k| t.wrapping_add(k); merge |a, b| a.wrapping_add(b);
    finish |_f, v, _n| v; aux false
}

/// `Σ x` over what is no NaN.
#[derive(Clone, Copy)]
struct NanSum;
reduce! { NanSum: [f32 => f32, f64, f64; f64 => f64, f64, f64];
    start 0.0; step |_s, l, x, _a| if x.is_nan() { l } else { l + x }; zero 0.0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |_f, v, _n| v; aux false
}
reduce! { NanSum: [i64 => i64, i64, i64];
    start 0; step |_s, l, x, _a| l.wrapping_add(x); zero 0; join |_j, t, k| t.wrapping_add(k); merge |a, b| a.wrapping_add(b);
    finish |_f, v, _n| v; aux false
}

/// `Π x`
#[derive(Clone, Copy)]
struct Prod;
reduce! { Prod: [f32 => f64, f64, f64; f64 => f64, f64, f64];
    start 1.0; step |_s, l, x, _a| l * x as f64; zero 1.0; join |_j, t, k| t * k; merge |a, b| a * b;
    finish |_f, v, _n| v; aux false
}
reduce! { Prod: [i64 => i64, i64, i64];
    start 1; step |_s, l, x, _a| l.wrapping_mul(x); zero 1; join |_j, t, k| t.wrapping_mul(k); merge |a, b| a.wrapping_mul(b);
    finish |_f, v, _n| v; aux false
}

/// The greatest element; NaN wins.
#[derive(Clone, Copy)]
pub struct Max;
/// The least element; NaN wins.
#[derive(Clone, Copy)]
pub struct Min;

/// Whether x takes the place of l; `x != x` only for NaN, which stays once it is there.
macro_rules! extreme {
    ($kind:ident, $op:tt, $($c:ty: $start:expr);*) => { $(
        reduce! { $kind: [$c => $c, $c, $c];
            start $start;
            step |_s, l, x, _a| if x $op l || is_nan(x) { x } else { l };
            zero $start;
            join |_j, t, k| if k $op t || is_nan(k) { k } else { t };
            merge |a, b| if b $op a || is_nan(b) { b } else { a };
            finish |_f, v, _n| v; aux false
        }
    )* };
}
extreme!(Max, >, f32: f32::NEG_INFINITY; f64: f64::NEG_INFINITY; i64: i64::MIN);
extreme!(Min, <, f32: f32::INFINITY; f64: f64::INFINITY; i64: i64::MAX);

#[inline(always)]
#[allow(clippy::eq_op)]
pub fn is_nan<C: PartialOrd + Copy>(x: C) -> bool {
    x != x
}

/// Whether any element is not zero.
#[derive(Clone, Copy)]
struct Any;
reduce! { Any: [f32 => f32, i64, i64; f64 => f64, i64, i64; i64 => i64, i64, i64];
    start 0; step |_s, l, x, _a| if x.to_f64() != 0.0 { 1 as _ } else { l }; zero 0; join |_j, t, k| t | k; merge |a, b| a | b;
    finish |_f, v, _n| v; aux false
}

/// Whether no element is zero.
#[derive(Clone, Copy)]
struct All;
reduce! { All: [f32 => f32, i64, i64; f64 => f64, i64, i64; i64 => i64, i64, i64];
    start 1; step |_s, l, x, _a| if x.to_f64() == 0.0 { 0 as _ } else { l }; zero 1; join |_j, t, k| t & k; merge |a, b| a & b;
    finish |_f, v, _n| v; aux false
}

#[inline(always)]
fn next<C: Number>(x: C) -> C {
    x + C::load(1i64)
}

/// How many elements are not zero.
#[derive(Clone, Copy)]
struct Count;
reduce! { Count: [f32 => f32, i64, i64; f64 => f64, i64, i64; i64 => i64, i64, i64];
    start 0; step |_s, l, x, _a| if x.to_f64() != 0.0 { next(l) } else { l }; zero 0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |_f, v, _n| v; aux false
}

/// `|x|^p`, by products where p is 3 or 4.
#[inline(always)]
fn power(x: f64, p: f64) -> f64 {
    let x = x.abs();
    if p == 3.0 {
        x * x * x
    } else if p == 4.0 {
        (x * x) * (x * x)
    } else {
        x.powf(p)
    }
}

/// `(Σ |x|^p)^(1/p)`
#[derive(Clone, Copy)]
struct Norm {
    p: f64,
}
reduce! { Norm: [f32 => f64, f64, f64; f64 => f64, f64, f64];
    start 0.0; step |s, l, x, _a| l + power(x as f64, s.p); zero 0.0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |f, v, _n| v.powf(1.0 / f.p); aux false
}
#[derive(Clone, Copy)]
struct Norm2;
// Squares of float32 overflow in float32, as PyTorch's do: what clips gradients looks for that.
reduce! { Norm2: [f32 => f32, f64, f64; f64 => f64, f64, f64];
    start 0.0; step |_s, l, x, _a| l + x * x; zero 0.0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |_f, v, _n| v.sqrt(); aux false
}
#[derive(Clone, Copy)]
struct Norm1;
reduce! { Norm1: [f32 => f32, f64, f64; f64 => f64, f64, f64];
    start 0.0; step |_s, l, x, _a| l + x.abs(); zero 0.0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |_f, v, _n| v; aux false
}
#[derive(Clone, Copy)]
struct NormMost;
reduce! { NormMost: [f32 => f32, f32, f32; f64 => f64, f64, f64];
    start 0.0;
    step |_s, l, x, _a| if x.abs() > l || is_nan(x) { x.abs() } else { l };
    zero 0.0;
    join |_j, t, k| if k > t || is_nan(k) { k } else { t };
    merge |a, b| if b > a || is_nan(b) { b } else { a };
    finish |_f, v, _n| v; aux false
}
#[derive(Clone, Copy)]
struct NormLeast;
reduce! { NormLeast: [f32 => f32, f32, f32; f64 => f64, f64, f64];
    start f32::INFINITY;
    step |_s, l, x, _a| if x.abs() < l || is_nan(x) { x.abs() } else { l };
    zero f32::INFINITY;
    join |_j, t, k| if k < t || is_nan(k) { k } else { t };
    merge |a, b| if b < a || is_nan(b) { b } else { a };
    finish |_f, v, _n| v; aux false
}

/// `Σ (x - aux)² / (n - correction)`, or its root, where aux is the mean. What is narrower than float64 goes through
/// moments.rs.
#[derive(Clone, Copy)]
pub struct Deviation {
    pub correction: f64,
    pub root: bool,
}
reduce! { Deviation: [f64 => f64, f64, f64];
    start 0.0; step |_s, l, x, a| { let d = x - a; l + d * d }; zero 0.0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |f, v, n| {
        let left = n as f64 - f.correction;
        let variance = v / if left > 0.0 { left } else { 0.0 };
        if f.root { variance.sqrt() } else { variance }
    }; aux true
}

/// `Σ exp(x - aux)`, where aux is the maximum.
#[derive(Clone, Copy)]
struct SumExp;
reduce! { SumExp: [f32 => f32, f64, f64; f64 => f64, f64, f64];
    start 0.0; step |_s, l, x, a| l + Exp::exp_less(x, a); zero 0.0; join |_j, t, k| t + k; merge |a, b| a + b;
    finish |_f, v, _n| v; aux true
}

/// `exp(self - x)`
trait Exp {
    fn exp_less(self, x: f64) -> Self;
}
impl Exp for f32 {
    #[inline(always)]
    fn exp_less(self, x: f64) -> f32 {
        crate::math::exp_f32(self - x as f32)
    }
}
impl Exp for f64 {
    #[inline(always)]
    fn exp_less(self, x: f64) -> f64 {
        (self - x).exp()
    }
}

/// A row of one output whose kind is the same for the listed compute types.
macro_rules! row {
    ($name:literal, $ins:literal, $scalars:literal, $with:ident, |$call:ident| $kind:expr) => {
        Row {
            name: $name,
            outs: 1,
            ins: ($ins, $ins),
            scalars: (1 + $scalars, 1 + $scalars),
            alias: false,
            run: |$call| {
                let kind = $kind;
                row!(@ $with, $call, kind)
            }, cuda: Some(|$call| {
                reduce::cuda::run($call, concat!("reduce_", $name), concat!("join_", $name))
            }),
        }
    };
    (@ all, $call:ident, $kind:ident) => {
        with_compute!($call.dtype(0)?.compute(), C => reduce::run::<C, _>($call, $kind))
    };
    (@ real, $call:ident, $kind:ident) => {
        crate::with_real!($call.name, $call.dtype(0)?.compute(), C => reduce::run::<C, _>($call, $kind))
    };
}

pub const ROWS: &[Row] = &[
    row!("sum", 1, 0, all, |call| Sum { mean: false }),
    row!("mean", 1, 0, all, |call| Sum { mean: true }),
    row!("nansum", 1, 0, all, |call| NanSum),
    row!("prod", 1, 0, all, |call| Prod),
    row!("amax", 1, 0, all, |call| Max),
    row!("amin", 1, 0, all, |call| Min),
    row!("any", 1, 0, all, |call| Any),
    row!("all", 1, 0, all, |call| All),
    row!("count_nonzero", 1, 0, all, |call| Count),
    row!("norm", 1, 1, real, |call| Norm { p: call.float(1) }),
    row!("norm1", 1, 0, real, |call| Norm1),
    row!("norm2", 1, 0, real, |call| Norm2),
    row!("norm_most", 1, 0, real, |call| NormMost),
    row!("norm_least", 1, 0, real, |call| NormLeast),
    row!("sum_exp", 2, 0, real, |call| SumExp),
];
