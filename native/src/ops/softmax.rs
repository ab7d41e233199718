//! Softmax and its logarithm over one dim, forward and backward. Lines that lie along memory are worked one by one;
//! lines that lie across it are brought in as tiles of `TILE` lines side by side, so that vectors span lines.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

pub mod line;
mod plain;

use self::line::{Lines, Soft};
use super::lines::{self, Part};
use super::nest::{Nest, Place};
use super::real::Real;
use crate::dtype::Compute;
use crate::fault::Outcome;
use crate::gemm::{Buffer, Failure};
use crate::instruction::{Call, Row};
use crate::{pool, simd, stream, with_real};

/// Lines side by side: 256 bytes of float32, for less of a row is slow to read.
const TILE: usize = 64;
const GRAIN: usize = 16 * 1024;

simd! {
    /// Softmax or its logarithm of W lines of n elements side by side, in place; rows lie TILE apart.
    unsafe fn tile<const W: usize, C: Real>(x: *mut C, n: usize, log: bool) {
        let mut most = [C::LOWEST; W];
        let mut total = [C::ZERO; W];
        // SAFETY: the caller gives n rows of TILE elements.
        unsafe {
            for i in 0..n {
                let x = x.add(i * TILE);
                for l in 0..W {
                    let v = *x.add(l);
                    most[l] = if v > most[l] { v } else { most[l] };
                }
                simd::step();
            }
            for i in 0..n {
                let x = x.add(i * TILE);
                for l in 0..W {
                    let d = *x.add(l) - most[l];
                    let e = d.exp();
                    *x.add(l) = if log { d } else { e };
                    total[l] += e;
                }
                simd::step();
            }
            for l in 0..W {
                total[l] = if log { total[l].ln() } else { C::ONE / total[l] };
            }
            for i in 0..n {
                let x = x.add(i * TILE);
                for l in 0..W {
                    let v = *x.add(l);
                    *x.add(l) = if log { v - total[l] } else { v * total[l] };
                }
                simd::step();
            }
        }
    }
}

simd! {
    /// Their gradient for W lines side by side; the result takes the place of g.
    unsafe fn tile_backward<const W: usize, C: Real>(g: *mut C, y: *const C, n: usize, log: bool) {
        let mut total = [C::ZERO; W];
        // SAFETY: the caller gives n rows of TILE elements of each.
        unsafe {
            for i in 0..n {
                let (g, y) = (g.add(i * TILE), y.add(i * TILE));
                for l in 0..W {
                    total[l] += if log { *g.add(l) } else { *g.add(l) * *y.add(l) };
                }
                simd::step();
            }
            for i in 0..n {
                let (g, y) = (g.add(i * TILE), y.add(i * TILE));
                for l in 0..W {
                    let (a, b) = (*g.add(l), *y.add(l));
                    *g.add(l) = if log { a - b.exp() * total[l] } else { b * (a - total[l]) };
                }
                simd::step();
            }
        }
    }
}

/// One tile: areas of the input (of g and y), rows TILE apart, of which w lanes are in use and the others zero.
///
/// # Safety
/// The areas have n rows.
unsafe fn tile_of<C: Real>(areas: &[*mut C], n: usize, w: usize, log: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        match (areas, w) {
            (&[x], ..=16) => tile::<16, C>(x, n, log),
            (&[x], ..=32) => tile::<32, C>(x, n, log),
            (&[x], _) => tile::<TILE, C>(x, n, log),
            (&[g, y, ..], ..=16) => tile_backward::<16, C>(g, y, n, log),
            (&[g, y, ..], ..=32) => tile_backward::<32, C>(g, y, n, log),
            (&[g, y, ..], _) => tile_backward::<TILE, C>(g, y, n, log),
            (&[], _) => {}
        }
    }
}

/// Output first, then the inputs, all of one shape; scalar 0 the dim, scalar 1 whether it is the logarithm.
fn run<C: Soft, const K: usize>(call: &Call) -> Outcome {
    let all = call.all();
    let dims = all[0].dims();
    call.require(all.iter().all(|o| o.dims() == dims), || {
        "the operands differ in shape".into()
    })?;
    let (d, log) = (call.count(0)?, call.float(1) != 0.0);
    call.require(d < dims.len().max(1), || {
        format!("dim {d} of {} dims", dims.len())
    })?;
    let lines = Nest::<K>::beside(core::array::from_fn(|k| &all[k]), d);
    let (n, along): (usize, [isize; K]) = if dims.is_empty() {
        (1, [1; K])
    } else {
        (dims[d], core::array::from_fn(|k| all[k].strides()[d]))
    };
    if n == 0 || lines.numel == 0 {
        return Ok(());
    }
    let places: [Place; K] = core::array::from_fn(|k| Place::of(&all[k]));
    let (_, across) = lines.inner();
    let tiles = lines.inner().0 >= TILE / 4
        && along[1].unsigned_abs() > across[1].unsigned_abs()
        && across[1] != 0;
    let grain = GRAIN.div_ceil(n).next_multiple_of(TILE);
    let direct: [bool; K] =
        core::array::from_fn(|k| places[k].dtype == C::DTYPE && (along[k] == 1 || n == 1));
    let streams = !tiles && direct[0] && stream::pays_buffered(&all[0]);
    // Room for the tile or the lines of a task.
    let room = if tiles {
        n * TILE
    } else if direct.iter().all(|&d| d) {
        0
    } else {
        n
    };
    let failed = Failure::default();
    pool::parallel_ranges(lines.numel, grain, &|range| {
        let buffer = match Buffer::take::<C>(room * if tiles { K - 1 } else { K }) {
            Ok(buffer) => buffer,
            Err(text) => return failed.note(Err(text)),
        };
        let areas: [*mut C; K] = core::array::from_fn(|k| buffer.get::<C>().wrapping_add(k * room));
        lines.runs(range.start, range.len(), |offset, stride, _, length| {
            let mut at = 0;
            while at < length {
                let here: [isize; K] =
                    core::array::from_fn(|k| offset[k] + at as isize * stride[k]);
                if tiles {
                    let w = TILE.min(length - at);
                    // SAFETY: n rows of w checked elements; each area has n rows of TILE.
                    unsafe {
                        for k in 1..K {
                            for i in 0..n {
                                let row = areas[k - 1].add(i * TILE);
                                places[k].gather(
                                    here[k] + i as isize * along[k],
                                    stride[k],
                                    row,
                                    w,
                                );
                                for l in w..TILE {
                                    *row.add(l) = C::ZERO;
                                }
                            }
                        }
                        tile_of(&areas[..K - 1], n, w, log);
                        for i in 0..n {
                            places[0].scatter(
                                here[0] + i as isize * along[0],
                                stride[0],
                                areas[0].add(i * TILE).cast_const(),
                                w,
                            );
                        }
                    }
                    at += w;
                    continue;
                }
                // What is read and written where it lies goes line after line.
                let count = if direct.iter().all(|&d| d) {
                    length - at
                } else {
                    1
                };
                // SAFETY: lines of n checked elements; each area has room for one.
                unsafe {
                    let mut ends = areas;
                    for k in 0..K {
                        if direct[k] {
                            ends[k] = places[k].at(here[k]).cast();
                        } else if k > 0 {
                            places[k].gather(here[k], along[k], areas[k], n);
                        }
                    }
                    let ([g, y], out) = ([ends[1], ends[K - 1]].map(<*mut C>::cast_const), ends[0]);
                    let (steps, out_step) = ([stride[1], stride[K - 1]], stride[0]);
                    if K == 2 {
                        let lines = Lines {
                            ins: [g],
                            steps: [steps[0]],
                            out,
                            out_step,
                            n,
                            count,
                        };
                        C::softmax(lines, log, streams);
                    } else {
                        let lines = Lines {
                            ins: [g, y],
                            steps,
                            out,
                            out_step,
                            n,
                            count,
                        };
                        C::softmax_grad(lines, log, streams);
                    }
                    if !direct[0] {
                        places[0].scatter(here[0], along[0], areas[0].cast_const(), n);
                    }
                }
                at += count;
            }
        });
        if streams {
            stream::fence();
        }
        buffer.give_back();
    });
    Ok(failed.result()?)
}

/// The forms on CUDA; the kernels are in softmax.cu.
fn on_cuda(call: &Call, kernel: &'static str, typed: usize) -> Outcome {
    let all = call.all();
    let dims = all[0].dims();
    call.require(all.iter().all(|o| o.dims() == dims), || {
        "the operands differ in shape".into()
    })?;
    let d = call.count(0)?;
    call.require(d < dims.len().max(1), || {
        format!("dim {d} of {} dims", dims.len())
    })?;
    let compute = all[typed].dtype.compute();
    call.require(compute != Compute::I64, || "it takes floats only".into())?;
    let parts: Vec<Part> = all.iter().map(Part::of).collect();
    let mut lines = lines::Lines::new(call, dims, |i| i == d, &parts)?;
    lines.numbers[0] = call.float(1);
    if lines.count() == 0 || lines.length() == 0 {
        return Ok(());
    }
    let rows = [0, 1, 2];
    lines.launch_rows(call, kernel, compute, &rows[..all.len()])
}

pub const ROWS: &[Row] = &[
    Row {
        name: "softmax",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_real!(call.name, call.outs()[0].dtype.compute(), C => run::<C, 2>(call)),
        cuda: Some(|call| on_cuda(call, "softmax", 0)),
    },
    Row {
        name: "softmax_grad",
        outs: 1,
        ins: (2, 2),
        scalars: (2, 2),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[1].dtype.compute(), C => run::<C, 3>(call)),
        cuda: Some(|call| on_cuda(call, "softmax_grad", 2)),
    },
];
