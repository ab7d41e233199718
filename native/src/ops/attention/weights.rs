//! Scores to weights, row by row: float32 by lanes, float64 and what has no lanes by loops that LLVM vectorises.

use super::{A_STRIDE, LANES};
use crate::lanes::{self, Job, Lanes, MOST};
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
    /// Positive: what they are multiplied by.
    pub scale: C,
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

/// What weights' gradients come from: that of the values, rows like those of the scores, and for each query its
/// log-sum-exp and delta.
#[derive(Clone, Copy)]
pub struct Slopes<C> {
    pub dp: *mut C,
    pub lse: *const C,
    pub delta: *const C,
    pub by: C,
}

pub trait Weighed: Real {
    /// Scores to exponentials over their query's greatest score so far; the statistics follow it.
    ///
    /// # Safety
    /// The rows and their statistics exist; so below.
    unsafe fn exponentials(scores: Scores<Self>, of: Statistics<Self>) {
        unsafe { exponentials::<Self>(scores, of) }
    }

    /// `p = exp(scale · s - lse)` in place of the scores; `ds = by · p (dp - delta)` in place of dp.
    ///
    /// # Safety
    /// As above.
    unsafe fn weights(scores: Scores<Self>, of: Slopes<Self>) {
        unsafe { weights::<Self>(scores, of) }
    }
}

impl Weighed for f64 {}

impl Weighed for f32 {
    unsafe fn exponentials(scores: Scores<f32>, of: Statistics<f32>) {
        unsafe { lanes::dispatch(Exponentials { scores, of }) }
    }

    unsafe fn weights(scores: Scores<f32>, of: Slopes<f32>) {
        unsafe { lanes::dispatch(Weights { scores, of }) }
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
            for first in (0..scores.rows).step_by(V::COUNT) {
                let count = V::COUNT.min(scores.rows - first);
                some_exponentials::<V>(scores, of, first, count);
            }
        }
    }
}

/// Some rows, no more than COUNT: their statistics are lanes.
#[inline(always)]
unsafe fn some_exponentials<V: Lanes>(
    scores: Scores<f32>,
    of: Statistics<f32>,
    first: usize,
    count: usize,
) {
    // SAFETY: the caller gives the rows and their statistics.
    unsafe {
        let row = |r: usize| scores.at.add((first + r) * A_STRIDE);
        let mut here = [f32::NEG_INFINITY; MOST];
        for (r, here) in here.iter_mut().enumerate().take(count) {
            *here = most_of::<V>(row(r), scores.n) * scores.scale;
        }
        let by = V::all(scores.scale);
        let most = of.most.add(first);
        let before = V::load_some(most, count, f32::NEG_INFINITY);
        let now = before.at_least(V::load(here.as_ptr()));
        now.store_some(most, count);
        // A query that has seen no key yet has nothing to be rescaled; -∞ - -∞ must not arise.
        let none = V::all(f32::NEG_INFINITY);
        let shift = V::select(now.equals(none), V::all(0.0), now);
        let scale = math::exp(before - shift);
        let (shifts, scales, before) = (shift.numbers(), scale.numbers(), before.numbers());
        let mut added = [0.0f32; MOST];
        for r in 0..count {
            let (row, low) = (row(r), V::all(-shifts[r]));
            added[r] = sum_of::<V>(
                scores.n,
                #[inline(always)]
                |at, count| {
                    let x = V::load_some(row.add(at), count, f32::NEG_INFINITY);
                    let e = math::exp(x.mul_add(by, low));
                    e.store_some(row.add(at), count);
                    e
                },
            ) as f32;
            if scales[r] != 1.0 && before[r] != f32::NEG_INFINITY {
                let (sums, by) = (of.sums.add((first + r) * of.width), V::all(scales[r]));
                lanes::produce::<V, false>(
                    sums,
                    of.width,
                    #[inline(always)]
                    |at, count| V::load_some(sums.add(at), count, 0.0) * by,
                );
            }
        }
        let total = of.total.add(first);
        let sum = V::load_some(total, count, 0.0).mul_add(scale, V::load(added.as_ptr()));
        sum.store_some(total, count);
    }
}

struct Weights {
    scores: Scores<f32>,
    of: Slopes<f32>,
}

impl Job for Weights {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        let Weights { scores, of } = self;
        // SAFETY: the caller's promise.
        unsafe {
            if V::COUNT == 1 {
                return weights::<f32>(scores, of);
            }
            let (scale, by) = (V::all(scores.scale), V::all(of.by));
            for r in 0..scores.rows {
                let (s, dp) = (scores.at.add(r * A_STRIDE), of.dp.add(r * A_STRIDE));
                let (l, d) = (V::all(-*of.lse.add(r)), V::all(*of.delta.add(r)));
                lanes::produce::<V, false>(
                    dp,
                    scores.n,
                    #[inline(always)]
                    |at, count| {
                        let p = math::exp(V::load_some(s.add(at), count, 0.0).mul_add(scale, l));
                        p.store_some(s.add(at), count);
                        p * by * (V::load_some(dp.add(at), count, 0.0) - d)
                    },
                );
            }
        }
    }
}

simd! {
    unsafe fn exponentials<C: Real>(scores: Scores<C>, of: Statistics<C>) {
        let Scores { at: s, rows, n, scale: by } = scores;
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
                for l in 0..LANES { now = if lanes[l] * by > now { lanes[l] * by } else { now }; }
                // A query that has seen no key yet has nothing to be rescaled; -∞ - -∞ must not arise.
                let shift = if now == C::LOWEST { C::ZERO } else { now };
                let mut added = [C::ZERO; LANES];
                let mut i = 0;
                while i < whole {
                    for l in 0..LANES {
                        let e = (*row.add(i + l) * by - shift).exp();
                        *row.add(i + l) = e;
                        added[l] += e;
                    }
                    i += LANES;
                }
                while i < n {
                    let e = (*row.add(i) * by - shift).exp();
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
    unsafe fn weights<C: Real>(scores: Scores<C>, of: Slopes<C>) {
        let Scores { at: s, rows, n, scale } = scores;
        for r in 0..rows {
            // SAFETY: the caller gives rows of n elements, A_STRIDE apart, and their statistics.
            unsafe {
                let (s, dp) = (s.add(r * A_STRIDE), of.dp.add(r * A_STRIDE));
                let (l, d) = (*of.lse.add(r), *of.delta.add(r));
                for i in 0..n {
                    let p = (*s.add(i) * scale - l).exp();
                    *s.add(i) = p;
                    *dp.add(i) = p * of.by * (*dp.add(i) - d);
                }
            }
        }
    }
}
