//! Extremes with their positions along the reduced dims: `max` and `min` over a dim, `argmax` and `argmin`. The first
//! of equal elements wins, and NaN wins over every number.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

mod cuda;

use super::nest::Place;
use super::reduce::{self, Plan};
use super::reduction::{Max, Min, is_nan};
use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::{bail, pool, simd, with_compute};

const BLOCK: usize = 1024;
const WIDTH: usize = 128;
const GRAIN: usize = 32 * 1024;

#[inline(always)]
fn beats<C: Number>(x: C, best: C, greatest: bool) -> bool {
    let wins = if greatest { x > best } else { x < best };
    (wins || is_nan(x)) && !is_nan(best)
}

/// A type whose extremes the engine of reductions finds.
trait Extreme: Number {
    /// The extreme of n > 0 elements, without its place.
    ///
    /// # Safety
    /// There are n elements.
    unsafe fn of(x: *const Self, n: usize, greatest: bool) -> Self;
}

macro_rules! extreme {
    ($($c:ty),*) => { $(
        impl Extreme for $c {
            unsafe fn of(x: *const $c, n: usize, greatest: bool) -> $c {
                // SAFETY: as promised by the caller.
                unsafe {
                    if greatest { reduce::row(&Max, x, n, 0.0) } else { reduce::row(&Min, x, n, 0.0) }
                }
            }
        }
    )* };
}
extreme!(f32, f64, i64);

simd! {
    /// Where the first of n elements lies that is `value`, or NaN if that is.
    unsafe fn find<C: Number>(x: *const C, n: usize, value: C) -> usize {
        const STEP: usize = 64;
        let nan = is_nan(value);
        let mut from = 0;
        // SAFETY: the caller gives n elements.
        unsafe {
            while from + STEP <= n {
                // No branch within a step, so that it is a few vectors.
                let mut found = false;
                for l in 0..STEP {
                    let v = *x.add(from + l);
                    found |= (v == value) | (nan & is_nan(v));
                }
                if found { break; }
                from += STEP;
            }
            while from < n && *x.add(from) != value && !(nan & is_nan(*x.add(from))) { from += 1; }
        }
        from
    }
}

simd! {
    /// Keeps the better of each column's best and x, with its place.
    unsafe fn row_extreme<const GREATEST: usize, C: Number>(x: *const C, best: &mut [C; WIDTH], place: &mut [i64; WIDTH], at: i64, n: usize) {
        for j in 0..if n < WIDTH { n } else { WIDTH } {
            // SAFETY: the caller gives n elements.
            let (v, b) = (unsafe { *x.add(j) }, best[j]);
            let wins = if GREATEST == 1 { v > b } else { v < b };
            let better = (wins | is_nan(v)) & !is_nan(b);
            best[j] = if better { v } else { b };
            place[j] = if better { at } else { place[j] };
        }
    }
}

/// The loops of a call whose operands fit each other.
fn plan_of(call: &Call, values: Option<&Operand>, indices: &Operand) -> Outcome<Plan> {
    if indices.dtype != DType::I64
        || values.is_some_and(|v| v.dims() != indices.dims() || v.strides() != indices.strides())
    {
        bail!("{}: values and indices differ in layout", call.name);
    }
    let plan = Plan::new(call.name, indices, &call.ins()[0], None, true)?;
    call.require(plan.reduced.numel > 0 || plan.kept.numel == 0, || {
        "nothing to choose from".into()
    })?;
    Ok(plan)
}

/// Writes places into `indices` and, where given, extremes into `values` of the same dims and strides.
fn run<C: Extreme>(
    call: &Call,
    values: Option<&Operand>,
    indices: &Operand,
    greatest: bool,
) -> Outcome {
    let x = &call.ins()[0];
    let plan = plan_of(call, values, indices)?;
    let count = plan.reduced.numel;
    let (x, to) = (Place::of(x), Place::of(indices));
    let values = values.map(Place::of);
    let columns = plan.kept.inner().0 >= 8
        && plan.kept.inner().1[1].unsigned_abs() < plan.reduced.inner().1[0].unsigned_abs();
    let grain = GRAIN
        .div_ceil(count.max(1))
        .next_multiple_of(if columns { WIDTH } else { 1 });
    pool::parallel_ranges(plan.kept.numel, grain, &|range| {
        plan.kept
            .runs(range.start, range.len(), |offset, stride, _, length| {
                for first in (0..length).step_by(WIDTH) {
                    let width = WIDTH.min(length - first);
                    let here: [isize; 3] =
                        core::array::from_fn(|k| offset[k] + first as isize * stride[k]);
                    let (mut best, mut places) = ([C::default(); WIDTH], [0i64; WIDTH]);
                    // SAFETY: checked elements; buffers with room for them.
                    unsafe {
                        if columns {
                            let way = if greatest {
                                by_columns::<1, C>
                            } else {
                                by_columns::<0, C>
                            };
                            way(x, &plan, here[1], stride[1], width, &mut best, &mut places);
                        } else {
                            for i in 0..width {
                                (best[i], places[i]) = along::<C>(
                                    x,
                                    &plan,
                                    here[1] + i as isize * stride[1],
                                    greatest,
                                );
                            }
                        }
                        to.scatter(here[0], stride[0], places.as_ptr(), width);
                        if let Some(values) = values {
                            values.scatter(here[0], stride[0], best.as_ptr(), width);
                        }
                    }
                }
            });
    });
    Ok(())
}

unsafe fn along<C: Extreme>(x: Place, plan: &Plan, offset: isize, greatest: bool) -> (C, i64) {
    let mut buffer = [C::default(); BLOCK];
    let mut block = |start: isize, stride: isize, n: usize| {
        // SAFETY: checked elements; the buffer has room for a block.
        unsafe {
            if x.dtype == C::DTYPE && (stride == 1 || n == 1) {
                return x.at(start).cast::<C>().cast_const();
            }
            x.gather(start, stride, buffer.as_mut_ptr(), n);
        }
        buffer.as_ptr()
    };
    // The best so far, and its block.
    let mut best: Option<(C, isize, isize, usize, usize)> = None;
    plan.reduced
        .runs(0, plan.reduced.numel, |[o], [s], at, length| {
            for from in (0..length).step_by(BLOCK) {
                let n = BLOCK.min(length - from);
                let start = offset + o + from as isize * s;
                // SAFETY: n elements.
                let value = unsafe { C::of(block(start, s, n), n, greatest) };
                if best.is_none_or(|(b, ..)| beats(value, b, greatest)) {
                    best = Some((value, start, s, n, at + from));
                }
            }
        });
    let Some((value, start, stride, n, at)) = best else {
        return Default::default();
    };
    let block = block(start, stride, n);
    // SAFETY: n elements.
    unsafe {
        let place = find::<C>(block, n, value).min(n - 1);
        (*block.add(place), (at + place) as i64)
    }
}

unsafe fn by_columns<const GREATEST: usize, C: Number>(
    x: Place,
    plan: &Plan,
    offset: isize,
    stride: isize,
    n: usize,
    best: &mut [C; WIDTH],
    places: &mut [i64; WIDTH],
) {
    let mut buffer = [C::default(); WIDTH];
    plan.reduced
        .runs(0, plan.reduced.numel, |[o], [s], at, length| {
            for i in 0..length {
                let start = offset + o + i as isize * s;
                // SAFETY: n checked elements; buffers with room for them.
                unsafe {
                    let row = if x.dtype == C::DTYPE && stride == 1 {
                        x.at(start).cast::<C>().cast_const()
                    } else {
                        x.gather(start, stride, buffer.as_mut_ptr(), n);
                        buffer.as_ptr()
                    };
                    if at + i == 0 {
                        core::ptr::copy_nonoverlapping(row, best.as_mut_ptr(), n);
                    } else {
                        row_extreme::<GREATEST, C>(row, best, places, (at + i) as i64, n);
                    }
                }
            }
        });
}

/// Scalars: the dtype to compute in, and whether the greatest is wanted.
pub const ROWS: &[Row] = &[
    Row {
        name: "extreme",
        outs: 2,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| {
            let [values, indices] = call.outs() else {
                unreachable!()
            };
            with_compute!(call.dtype(0)?.compute(), C => run::<C>(call, Some(values), indices, call.float(1) != 0.0))
        },
        cuda: Some(cuda::extreme),
    },
    Row {
        name: "arg_extreme",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_compute!(call.dtype(0)?.compute(), C => run::<C>(call, None, &call.outs()[0], call.float(1) != 0.0)),
        cuda: Some(cuda::arg_extreme),
    },
];
