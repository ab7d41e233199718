//! Reductions: sum, mean, prod, extremes, norms, variance, logic; and extremes with their positions.
//! Scalar 0 of each is the dtype to compute in.

use super::reduce::{self, Reduce};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::instruction::{Call, Row};
use crate::{bail, with_compute};

/// `Σ x`, or the mean.
#[derive(Clone, Copy)]
struct Sum {
    mean: bool,
}

macro_rules! sum {
    ($($c:ty, $total:ty);*) => { $(
        impl Reduce<$c> for Sum {
            type Lane = $c;
            type Total = $total;
            type Out = $total;
            #[inline(always)]
            fn start(&self) -> $c { 0.0 }
            #[inline(always)]
            fn step(&self, lane: $c, x: $c, _: f64) -> $c { lane + x }
            #[inline(always)]
            fn zero(&self) -> $total { 0.0 }
            #[inline(always)]
            fn join(&self, total: $total, lane: $c) -> $total { total + <$total>::from(lane) }
            #[inline(always)]
            fn merge(&self, a: $total, b: $total) -> $total { a + b }
            #[inline(always)]
            fn finish(&self, total: $total, count: usize) -> $total { if self.mean { total / count as f64 } else { total } }
        }
    )* };
}
sum!(f32, f64; f64, f64);

impl Reduce<i64> for Sum {
    type Lane = i64;
    type Total = i64;
    type Out = i64;
    #[inline(always)]
    fn start(&self) -> i64 {
        0
    }
    #[inline(always)]
    fn step(&self, lane: i64, x: i64, _: f64) -> i64 {
        lane.wrapping_add(x)
    }
    #[inline(always)]
    fn zero(&self) -> i64 {
        0
    }
    #[inline(always)]
    fn join(&self, total: i64, lane: i64) -> i64 {
        total.wrapping_add(lane)
    }
    #[inline(always)]
    fn merge(&self, a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn finish(&self, total: i64, _: usize) -> i64 {
        total
    }
}

/// A row of one output and one input whose kind is the same for all compute types.
macro_rules! reduction {
    ($name:literal, $ins:literal, $scalars:literal, |$call:ident| $kind:expr) => {
        Row {
            name: $name,
            outs: 1,
            ins: ($ins, $ins),
            scalars: (1 + $scalars, 1 + $scalars),
            alias: false,
            run: |$call| {
                let kind = $kind;
                with_compute!($call.dtype(0)?.compute(), C => reduce::run::<C, _>($call, kind))
            },
        }
    };
}

pub const ROWS: &[Row] = &[
    reduction!("sum", 1, 0, |call| Sum { mean: false }),
    reduction!("mean", 1, 0, |call| Sum { mean: true }),
];
