//! Mean and variance over dims. Types up to float32 are read once: deviations from each output's first element are
//! summed with their squares in float64, where they are exact, and where the squares of all deviations are at least
//! that of the first element's from the mean, so what cancels in `Σd² - (Σd)²/n` is at most n times the result's
//! rounding. float64 has no wider type, and is read twice.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::nest::Place;
use super::reduce::{self, Plan, Reduce, Sink, WIDTH, Work};
use super::reduction::{Deviation, Sum};
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::{bail, simd};
use core::mem::MaybeUninit;

const LANES: usize = 32;
/// Elements brought into the first-level cache at a time.
const BLOCK: usize = 2048;

/// Writes `Σ(x - mean)² / (n - correction)`, or its root, and the mean in float64, of the same dims.
pub fn over(
    name: &str,
    compute: Compute,
    [out, mean]: [&Operand; 2],
    x: &Operand,
    kind: Deviation,
) -> Outcome {
    match compute {
        Compute::F32 => {
            let plan = Plan::new(name, out, x, Some(mean), false)?;
            let task = Task {
                plan: &plan,
                kind,
                out: Place::of(out),
                mean: Place::of(mean),
                x: Place::of(x),
            };
            reduce::drive(&plan, &task)
        }
        Compute::F64 => {
            reduce::over::<f64, _>(name, mean, x, None, Sum { mean: true })?;
            reduce::over::<f64, _>(name, out, x, Some(mean), kind)
        }
        Compute::I64 => bail!("{name}: it takes floats only"),
    }
}

/// Sums of deviations from an output's first element, and of their squares.
type Sums = (f64, f64);

struct Task<'a> {
    plan: &'a Plan,
    kind: Deviation,
    out: Place,
    mean: Place,
    x: Place,
}

impl Task<'_> {
    /// The first elements of neighbouring outputs, where there are any.
    fn pivots(&self, offset: isize, stride: isize, pivots: &mut [f64]) {
        if self.plan.reduced.numel > 0 {
            // SAFETY: the reduced loops begin at each output's own offset.
            unsafe {
                self.x
                    .gather(offset, stride, pivots.as_mut_ptr(), pivots.len())
            };
        }
    }

    fn row(&self, offset: isize, start: usize, count: usize) -> Sums {
        let mut pivot = [0.0];
        self.pivots(offset, 1, &mut pivot);
        let mut total = (0.0, 0.0);
        let mut buffer = [const { MaybeUninit::<f32>::uninit() }; BLOCK];
        self.plan.reduced.runs(start, count, |[o], [s], _, length| {
            for at in (0..length).step_by(BLOCK) {
                let n = BLOCK.min(length - at);
                let from = offset + o + at as isize * s;
                // SAFETY: n checked elements; the buffer has room for a block.
                let (a, b) = unsafe {
                    let block = if self.x.dtype == DType::F32 && (s == 1 || n == 1) {
                        self.x.at(from).cast::<f32>().cast_const()
                    } else {
                        self.x.gather(from, s, buffer.as_mut_ptr().cast::<f32>(), n);
                        buffer.as_ptr().cast()
                    };
                    row(block, n, pivot[0])
                };
                total = (total.0 + a, total.1 + b);
            }
        });
        total
    }

    fn columns(
        &self,
        offset: isize,
        stride: isize,
        start: usize,
        count: usize,
        totals: &mut [Sums],
    ) {
        let width = totals.len();
        let mut pivots = [0.0; WIDTH];
        self.pivots(offset, stride, &mut pivots[..width]);
        let (mut sums, mut squares) = ([0.0; WIDTH], [0.0; WIDTH]);
        let direct = self.x.dtype == DType::F32 && stride == 1;
        let mut buffer = [const { MaybeUninit::<[f32; WIDTH]>::uninit() }; 4];
        self.plan.reduced.runs(start, count, |[o], [s], _, length| {
            let most = if direct { length.max(1) } else { 4 };
            for at in (0..length).step_by(most) {
                let rows = most.min(length - at);
                let first = offset + o + at as isize * s;
                // SAFETY: rows of `width` checked elements each; the buffer holds four of them.
                unsafe {
                    let (block, s) = if direct {
                        (self.x.at(first).cast::<f32>().cast_const(), s)
                    } else {
                        let to: *mut f32 = buffer.as_mut_ptr().cast();
                        for i in 0..rows {
                            let from = first + i as isize * s;
                            self.x.gather(from, stride, to.add(i * WIDTH), width);
                        }
                        (to.cast_const(), WIDTH as isize)
                    };
                    columns(block, s, rows, width, &pivots, &mut sums, &mut squares);
                }
            }
        });
        for (i, total) in totals.iter_mut().enumerate() {
            *total = (sums[i], squares[i]);
        }
    }
}

impl Work for Task<'_> {
    type Total = Sums;

    fn zero(&self) -> Sums {
        (0.0, 0.0)
    }

    fn merge(&self, a: Sums, b: Sums) -> Sums {
        (a.0 + b.0, a.1 + b.1)
    }

    fn reduce(&self, from: usize, n: usize, start: usize, count: usize, sink: Sink<Sums>) {
        let by_columns = self.plan.by_columns();
        self.plan.kept.runs(from, n, |offset, stride, at, length| {
            for first in (0..length).step_by(WIDTH) {
                let width = WIDTH.min(length - first);
                let here = core::array::from_fn(|k| offset[k] + first as isize * stride[k]);
                let mut totals = [(0.0, 0.0); WIDTH];
                if by_columns {
                    self.columns(here[1], stride[1], start, count, &mut totals[..width]);
                } else {
                    for (i, total) in totals[..width].iter_mut().enumerate() {
                        *total = self.row(here[1] + i as isize * stride[1], start, count);
                    }
                }
                sink(here, stride, at + first, &totals[..width]);
            }
        });
    }

    fn store(&self, offset: [isize; 3], stride: [isize; 3], totals: &[Sums]) {
        let count = self.plan.reduced.numel;
        let (mut means, mut deviations) = ([0.0; WIDTH], [0.0; WIDTH]);
        for (i, part) in totals.chunks(WIDTH).enumerate() {
            let n = part.len();
            let here: [isize; 3] =
                core::array::from_fn(|k| offset[k] + (i * WIDTH) as isize * stride[k]);
            self.pivots(here[1], stride[1], &mut means[..n]);
            for ((mean, deviation), &(sum, squares)) in
                means.iter_mut().zip(&mut deviations).zip(part)
            {
                let shift = sum / count as f64;
                *mean += shift;
                // Below zero by rounding only; NaN stays.
                let rest = squares - sum * shift;
                let rest = if rest < 0.0 { 0.0 } else { rest };
                *deviation = Reduce::<f64>::finish(&self.kind, rest, count);
            }
            // SAFETY: checked outputs of this task's own.
            unsafe {
                self.mean.scatter(here[2], stride[2], means.as_ptr(), n);
                self.out.scatter(here[0], stride[0], deviations.as_ptr(), n);
            }
        }
    }
}

simd! {
    /// `(Σ(x - pivot), Σ(x - pivot)²)` of n neighbouring elements.
    unsafe fn row(x: *const f32, n: usize, pivot: f64) -> Sums {
        let (mut sums, mut squares) = ([0.0f64; LANES], [0.0f64; LANES]);
        let whole = n / LANES * LANES;
        let mut i = 0;
        while i < whole {
            for l in 0..LANES {
                // SAFETY: the caller gives n elements; so below.
                let d = f64::from(unsafe { *x.add(i + l) }) - pivot;
                sums[l] += d;
                squares[l] += d * d;
            }
            i += LANES;
        }
        for l in 0..n - whole {
            // SAFETY: as above.
            let d = f64::from(unsafe { *x.add(whole + l) }) - pivot;
            sums[l] += d;
            squares[l] += d * d;
        }
        let (sums, squares) = (simd::lanes(sums), simd::lanes(squares));
        let mut total = (0.0, 0.0);
        for l in 0..LANES {
            total.0 += sums[l];
            total.1 += squares[l];
        }
        total
    }
}

simd! {
    /// The same for `width` columns of `rows` rows, `stride` elements apart, on top of what the sums are.
    unsafe fn columns(x: *const f32, stride: isize, rows: usize, width: usize, pivots: &[f64; WIDTH], sums: &mut [f64; WIDTH], squares: &mut [f64; WIDTH]) {
        let width = width.min(WIDTH);
        // SAFETY: the caller gives rows of `width` elements.
        unsafe {
            let mut r = 0;
            while r + 4 <= rows {
                let rows = [0, 1, 2, 3].map(|i| x.offset((r + i) as isize * stride));
                for j in 0..width {
                    let pivot = pivots[j];
                    let [a, b, c, d] = rows.map(|row| f64::from(*row.add(j)) - pivot);
                    sums[j] += (a + b) + (c + d);
                    squares[j] += (a * a + b * b) + (c * c + d * d);
                }
                r += 4;
            }
            while r < rows {
                let row = x.offset(r as isize * stride);
                for j in 0..width {
                    let d = f64::from(*row.add(j)) - pivots[j];
                    sums[j] += d;
                    squares[j] += d * d;
                }
                r += 1;
            }
        }
    }
}

/// Outputs: the deviation, the mean in float64. Scalars: the dtype to compute in, the correction, whether the root is
/// wanted.
pub const ROWS: &[Row] = &[Row {
    name: "variance",
    outs: 2,
    ins: (1, 1),
    scalars: (3, 3),
    alias: false,
    run: |call: &Call| {
        let [out, mean] = call.outs() else {
            unreachable!()
        };
        let kind = Deviation {
            correction: call.float(1),
            root: call.float(2) != 0.0,
        };
        let compute = call.dtype(0)?.compute();
        over(call.name, compute, [out, mean], &call.ins()[0], kind)
    },
    cuda: Some(|call| {
        let ([out, mean], x) = (call.outs(), &call.ins()[0]) else {
            unreachable!()
        };
        let (compute, parameters) = (call.dtype(0)?.compute(), [call.float(1), call.float(2)]);
        let sums = ("reduce_mean", "join_mean");
        super::reduce::cuda::over(call, compute, sums, (mean, x, None), &[])?;
        let deviations = ("reduce_variance", "join_variance");
        super::reduce::cuda::over(call, compute, deviations, (out, x, Some(mean)), &parameters)
    }),
}];
