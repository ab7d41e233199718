//! Extremes with their positions along the reduced dims: `max` and `min` over a dim, `argmax` and `argmin`. The first
//! of equal elements wins, and NaN wins over every number.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::nest::Place;
use super::reduce::Plan;
use super::reduction::is_nan;
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

simd! {
    /// The extreme of n > 0 elements, without its place.
    unsafe fn block_extreme<C: Number>(x: *const C, n: usize, greatest: bool) -> C {
        const LANES: usize = 16;
        // SAFETY: the caller gives n elements.
        unsafe {
            let mut lanes = [*x; LANES];
            let whole = n / LANES * LANES;
            let mut i = 0;
            if greatest {
                while i < whole {
                    for l in 0..LANES { let v = *x.add(i + l); lanes[l] = if v > lanes[l] || is_nan(v) { v } else { lanes[l] }; }
                    i += LANES;
                }
            } else {
                while i < whole {
                    for l in 0..LANES { let v = *x.add(i + l); lanes[l] = if v < lanes[l] || is_nan(v) { v } else { lanes[l] }; }
                    i += LANES;
                }
            }
            while i < n {
                let v = *x.add(i);
                lanes[0] = if beats(v, lanes[0], greatest) { v } else { lanes[0] };
                i += 1;
            }
            let mut best = lanes[0];
            for l in 1..LANES {
                best = if beats(lanes[l], best, greatest) { lanes[l] } else { best };
            }
            best
        }
    }
}

simd! {
    /// Keeps the better of each column's best and x, with its place.
    unsafe fn row_extreme<C: Number>(x: *const C, best: *mut C, place: *mut i64, at: i64, n: usize, greatest: bool) {
        // SAFETY: the caller gives n elements of each.
        unsafe {
            for j in 0..n {
                let (v, b) = (*x.add(j), *best.add(j));
                let better = beats(v, b, greatest);
                *best.add(j) = if better { v } else { b };
                *place.add(j) = if better { at } else { *place.add(j) };
            }
        }
    }
}

/// Writes places into `indices` and, where given, extremes into `values` of the same dims and strides.
fn run<C: Number>(
    call: &Call,
    values: Option<&Operand>,
    indices: &Operand,
    greatest: bool,
) -> Outcome {
    let x = &call.ins()[0];
    if indices.dtype != DType::I64
        || values.is_some_and(|v| v.dims() != indices.dims() || v.strides() != indices.strides())
    {
        bail!("{}: values and indices differ in layout", call.name);
    }
    let plan = Plan::new(call.name, indices, x, None, true)?;
    let count = plan.reduced.numel;
    call.require(count > 0 || plan.kept.numel == 0, || {
        "nothing to choose from".into()
    })?;
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
                            by_columns(
                                x,
                                &plan,
                                here[1],
                                stride[1],
                                &mut best[..width],
                                &mut places,
                                greatest,
                            );
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

unsafe fn along<C: Number>(x: Place, plan: &Plan, offset: isize, greatest: bool) -> (C, i64) {
    let mut buffer = [C::default(); BLOCK];
    let mut best: Option<(C, i64)> = None;
    plan.reduced
        .runs(0, plan.reduced.numel, |[o], [s], at, length| {
            for from in (0..length).step_by(BLOCK) {
                let n = BLOCK.min(length - from);
                let start = offset + o + from as isize * s;
                // SAFETY: checked elements; the buffer has room for a block.
                let block = unsafe {
                    if x.dtype == C::DTYPE && (s == 1 || n == 1) {
                        core::slice::from_raw_parts(x.at(start).cast::<C>(), n)
                    } else {
                        x.gather(start, s, buffer.as_mut_ptr(), n);
                        &buffer[..n]
                    }
                };
                // SAFETY: n elements.
                let value = unsafe { block_extreme::<C>(block.as_ptr(), n, greatest) };
                if best.is_none_or(|(b, _)| beats(value, b, greatest)) {
                    let place = block
                        .iter()
                        .position(|&v| v == value || (is_nan(v) && is_nan(value)))
                        .unwrap_or(0);
                    best = Some((block[place], (at + from + place) as i64));
                }
            }
        });
    best.unwrap_or_default()
}

unsafe fn by_columns<C: Number>(
    x: Place,
    plan: &Plan,
    offset: isize,
    stride: isize,
    best: &mut [C],
    places: &mut [i64; WIDTH],
    greatest: bool,
) {
    let n = best.len();
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
                        row_extreme::<C>(
                            row,
                            best.as_mut_ptr(),
                            places.as_mut_ptr(),
                            (at + i) as i64,
                            n,
                            greatest,
                        );
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
    },
    Row {
        name: "arg_extreme",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_compute!(call.dtype(0)?.compute(), C => run::<C>(call, None, &call.outs()[0], call.float(1) != 0.0)),
    },
];
