//! Scores to weights, row by row: float32 by lanes, float64 and what has no lanes by loops that LLVM vectorises.

use super::{A_STRIDE, LANES};
use crate::lanes::{self, Job, Lanes};
use crate::math;
use crate::ops::real::Real;
use crate::ops::softmax::line::{most_of, sum_of};
use crate::simd;

/// A block's scores: rows of n, A_STRIDE apart.
#[derive(Clone, Copy)]
pub struct Scores<C> {
    pub at: *mut C,
    pub rows: usize,
    pub n: usize,
}

/// What is known of the queries of a block: their greatest scores so far, the sums of their exponentials over those, and
/// rows of `width` sums of values.
#[derive(Clone, Copy)]
pub struct Statistics<C> {
    pub most: *mut C,
    pub total: *mut C,
    pub sums: *mut C,
    pub width: usize,
}

pub trait Weighed: Real {
    /// Scores to exponentials over their query's greatest score so far; the statistics follow it.
    ///
    /// # Safety
    /// The rows and their statistics exist; so below.
    unsafe fn exponentials(scores: Scores<Self>, of: Statistics<Self>) {
        unsafe { exponentials::<Self>(scores, of) }
    }

    /// `p = exp(s - lse)` in place of the scores; `ds = p (dp - delta)` in place of dp.
    ///
    /// # Safety
    /// As above; dp lies like the scores, and each query has its lse and delta.
    unsafe fn weights(scores: Scores<Self>, dp: *mut Self, lse: *const Self, delta: *const Self) {
        unsafe { weights::<Self>(scores, dp, lse, delta) }
    }
}

impl Weighed for f64 {}

impl Weighed for f32 {
    unsafe fn exponentials(scores: Scores<f32>, of: Statistics<f32>) {
        unsafe { lanes::dispatch(Exponentials { scores, of }) }
    }

    unsafe fn weights(scores: Scores<f32>, dp: *mut f32, lse: *const f32, delta: *const f32) {
        let job = Weights {
            scores,
            dp,
            lse,
            delta,
        };
        unsafe { lanes::dispatch(job) }
    }
}

struct Exponentials {
    scores: Scores<f32>,
    of: Statistics<f32>,
}

impl Job for Exponentials {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        let Exponentials { scores, of } = self;
        // SAFETY: the caller's promise.
        unsafe {
            if V::COUNT == 1 {
                return exponentials::<f32>(scores, of);
            }
            for r in 0..scores.rows {
                let row = scores.at.add(r * A_STRIDE);
                let (before, here) = (*of.most.add(r), most_of::<V>(row, scores.n));
                let now = if here > before { here } else { before };
                // A query that has seen no key yet has nothing to be rescaled; -∞ - -∞ must not arise.
                let shift = if now == f32::NEG_INFINITY { 0.0 } else { now };
                let high = V::all(shift);
                let sum = sum_of::<V>(
                    scores.n,
                    #[inline(always)]
                    |at, count| {
                        let x = V::load_some(row.add(at), count, f32::NEG_INFINITY);
                        let e = math::exp(x - high);
                        e.store_some(row.add(at), count);
                        e
                    },
                );
                let scale = math::exp_f32(before - shift);
                *of.total.add(r) = *of.total.add(r) * scale + sum as f32;
                *of.most.add(r) = now;
                if scale != 1.0 {
                    let (sums, by) = (of.sums.add(r * of.width), V::all(scale));
                    lanes::produce::<V, false>(
                        sums,
                        of.width,
                        #[inline(always)]
                        |at, count| V::load_some(sums.add(at), count, 0.0) * by,
                    );
                }
            }
        }
    }
}

struct Weights {
    scores: Scores<f32>,
    dp: *mut f32,
    lse: *const f32,
    delta: *const f32,
}

impl Job for Weights {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        let Weights {
            scores,
            dp,
            lse,
            delta,
        } = self;
        // SAFETY: the caller's promise.
        unsafe {
            if V::COUNT == 1 {
                return weights::<f32>(scores, dp, lse, delta);
            }
            for r in 0..scores.rows {
                let (s, dp) = (scores.at.add(r * A_STRIDE), dp.add(r * A_STRIDE));
                let (l, d) = (V::all(*lse.add(r)), V::all(*delta.add(r)));
                lanes::produce::<V, false>(
                    dp,
                    scores.n,
                    #[inline(always)]
                    |at, count| {
                        let p = math::exp(V::load_some(s.add(at), count, 0.0) - l);
                        p.store_some(s.add(at), count);
                        p * (V::load_some(dp.add(at), count, 0.0) - d)
                    },
                );
            }
        }
    }
}

simd! {
    unsafe fn exponentials<C: Real>(scores: Scores<C>, of: Statistics<C>) {
        let Scores { at: s, rows, n } = scores;
        let Statistics { most, total, sums, width } = of;
        let whole = n / LANES * LANES;
        for r in 0..rows {
            // SAFETY: the caller gives rows of n scores, their statistics, and rows of `width` sums.
            unsafe {
                let row = s.add(r * A_STRIDE);
                let mut lanes = [C::LOWEST; LANES];
                let mut i = 0;
                while i < whole {
                    for l in 0..LANES {
                        let v = *row.add(i + l);
                        lanes[l] = if v > lanes[l] { v } else { lanes[l] };
                    }
                    i += LANES;
                }
                while i < n {
                    let v = *row.add(i);
                    lanes[0] = if v > lanes[0] { v } else { lanes[0] };
                    i += 1;
                }
                let before = *most.add(r);
                let mut now = before;
                for l in 0..LANES { now = if lanes[l] > now { lanes[l] } else { now }; }
                // A query that has seen no key yet has nothing to be rescaled; -∞ - -∞ must not arise.
                let shift = if now == C::LOWEST { C::ZERO } else { now };
                let mut added = [C::ZERO; LANES];
                let mut i = 0;
                while i < whole {
                    for l in 0..LANES {
                        let e = (*row.add(i + l) - shift).exp();
                        *row.add(i + l) = e;
                        added[l] += e;
                    }
                    i += LANES;
                }
                while i < n {
                    let e = (*row.add(i) - shift).exp();
                    *row.add(i) = e;
                    added[0] += e;
                    i += 1;
                }
                let mut sum = C::ZERO;
                for l in 0..LANES { sum += added[l]; }
                let scale = (before - shift).exp();
                *total.add(r) = *total.add(r) * scale + sum;
                *most.add(r) = now;
                if scale != C::ONE {
                    let sums = sums.add(r * width);
                    for i in 0..width { *sums.add(i) = *sums.add(i) * scale; }
                }
            }
        }
    }
}

simd! {
    unsafe fn weights<C: Real>(scores: Scores<C>, dp: *mut C, lse: *const C, delta: *const C) {
        let Scores { at: s, rows, n } = scores;
        for r in 0..rows {
            // SAFETY: the caller gives rows of n elements, A_STRIDE apart, and their statistics.
            unsafe {
                let (s, dp) = (s.add(r * A_STRIDE), dp.add(r * A_STRIDE));
                let (l, d) = (*lse.add(r), *delta.add(r));
                for i in 0..n {
                    let p = (*s.add(i) - l).exp();
                    *s.add(i) = p;
                    *dp.add(i) = p * (*dp.add(i) - d);
                }
            }
        }
    }
}
