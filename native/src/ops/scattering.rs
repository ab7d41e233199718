//! One index per element along one dim: `gather` reads, `scatter` writes, `scatter_reduce` combines.
//! Elements that meet in one place are taken in the order of the data, whatever the number of threads.

use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::ops::indexing::{
    Fence, GRAIN, Summed, check_index_dtype, check_indices, fixed_value, inside,
};
use crate::ops::map::Shared;
use crate::ops::walk::Walk;
use crate::{bail, pool, with_bits, with_dtype};

pub mod cuda;

pub const ROWS: &[Row] = &[
    Row {
        name: "gather",
        outs: 1,
        ins: (2, 2),
        scalars: (1, 1),
        alias: false,
        run: gather,
        cuda: Some(cuda::gather),
    },
    Row {
        name: "scatter",
        outs: 1,
        ins: (2, 2),
        scalars: (1, 1),
        alias: false,
        run: scatter,
        cuda: Some(cuda::scatter),
    },
    Row {
        name: "scatter_reduce",
        outs: 1,
        ins: (2, 2),
        scalars: (3, 3),
        alias: false,
        run: scatter_reduce,
        cuda: Some(cuda::scatter_reduce),
    },
];

/// Indices looked up together.
const BATCH: usize = 128;
/// From so many elements for each thread on it pays that several look through all indices for their share of places.
const SHARE: usize = 256 * 1024;

/// Rows that are done together at least where they are many: they may lie side by side, and then share cache lines.
const BESIDE: usize = 64;
const MANY_ROWS: usize = 8 * BESIDE;

/// The dim, when x has it and is as large as the indices in all others.
fn dim_of(call: &Call, x: &Operand, idx: &Operand) -> Outcome<usize> {
    let dim = call.count(0)?;
    let fits = x.ndim == idx.ndim
        && dim < x.ndim
        && (0..x.ndim).all(|d| d == dim || idx.dims()[d] <= x.dims()[d]);
    if !fits {
        bail!(
            "{}: dim {dim} of {:?} by indices {:?}",
            call.name,
            x.dims(),
            idx.dims()
        );
    }
    Ok(dim)
}

/// Strides with that of one dim taken out.
fn without(strides: &[isize], dim: usize) -> [isize; MAX_DIMS] {
    let mut kept = [0; MAX_DIMS];
    kept[..strides.len()].copy_from_slice(strides);
    kept[dim] = 0;
    kept
}

/// A run of indices from `i` on, each of which stands for the element that lies so many strides behind one from `x` on.
struct Line {
    x: isize,
    xs: isize,
    i: isize,
    is: isize,
    stride: isize,
}

impl Line {
    /// Where the elements lie; or the number of the first index outside the dim.
    ///
    /// # Safety
    /// The indices exist.
    unsafe fn places<I: Copy + Into<i64>>(
        &self,
        idx: *const I,
        size: usize,
        places: &mut [isize],
    ) -> Option<usize> {
        // SAFETY: the caller's promise.
        let index = |j: usize| unsafe { *idx.offset(self.i + j as isize * self.is) }.into();
        let mut all = true;
        for (j, place) in places.iter_mut().enumerate() {
            let i: i64 = index(j);
            all &= (i as u64) < size as u64;
            *place = self.x + j as isize * self.xs + (i as isize).wrapping_mul(self.stride);
        }
        if all {
            return None;
        }
        (0..places.len()).find(|&j| inside(index(j), size).is_none())
    }
}

/// The dim of a `gather`, checked.
fn checked_gather(call: &Call) -> Outcome<usize> {
    let (out, x, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let dim = dim_of(call, x, idx)?;
    check_index_dtype(call, idx)?;
    if out.dtype != x.dtype || out.dims() != idx.dims() {
        bail!(
            "gather: {:?} by {:?} into {:?}",
            x.dims(),
            idx.dims(),
            out.dims()
        );
    }
    Ok(dim)
}

/// out (I) = x at [i₀, …, index, …]. Inputs: x, indices (I). Scalar: dim.
fn gather(call: &Call) -> Outcome {
    let dim = checked_gather(call)?;
    let (out, x, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let rest = without(x.strides(), dim);
    let walk = Walk::<3>::new(idx.dims(), [out.strides(), &rest[..x.ndim], idx.strides()]);
    let (size, stride, dtype) = (x.dims()[dim], x.strides()[dim], x.dtype);
    let fence = Fence::default();
    let shared = Shared(call.all());
    pool::parallel_ranges(walk.numel, GRAIN, &|range| {
        let (o, idx) = (shared.get(0), shared.get(2));
        let mut at = range.start;
        walk.runs(
            range.start,
            range.len(),
            |[o_at, x, i], [os, xs, is], length| {
                // Places first, elements after: a loop of loads alone keeps more of them under way.
                let mut places = [0isize; BATCH];
                for begin in (0..length).step_by(BATCH) {
                    let places = &mut places[..BATCH.min(length - begin)];
                    let first = begin as isize;
                    let line = Line {
                        x: x + first * xs,
                        xs,
                        i: i + first * is,
                        is,
                        stride,
                    };
                    // SAFETY: walks stay inside their operands; every place is that of an index inside the dim.
                    unsafe {
                        let bad = if idx.dtype == DType::I64 {
                            line.places::<i64>(idx.ptr.cast(), size, places)
                        } else {
                            line.places::<i32>(idx.ptr.cast(), size, places)
                        };
                        if let Some(bad) = bad {
                            return fence.hit(at + begin + bad);
                        }
                        with_bits!(dtype, B => {
                            let to = o.ptr.cast::<B>().offset(o_at + first * os);
                            let from = shared.get(1).ptr.cast::<B>();
                            for (j, &place) in places.iter().enumerate() {
                                *to.offset(j as isize * os) = *from.offset(place);
                            }
                        })
                    }
                }
                at += length;
            },
        );
    });
    fence.close(call.name, idx, dim, size)
}

/// What the writing kernels share: rows are all positions of the indices but for the dim itself.
struct Plan {
    /// Strides of x, of the source and of the indices.
    rows: Walk<3>,
    /// Indices along the dim, and their strides in the source and in the indices.
    length: usize,
    steps: [isize; 2],
    /// The dim in x.
    size: usize,
    stride: isize,
    /// Rows that a thread does at a time, and the shares of the dim's places when there are few rows.
    height: usize,
    parts: usize,
}

/// Whether one number stands for all elements of the source.
fn is_number(call: &Call) -> bool {
    let (source, idx) = (&call.ins()[0], &call.ins()[1]);
    source.ndim == 0 && matches!(source.dtype, DType::F64 | DType::I64) && idx.ndim > 0
}

/// The dim along which is written, checked.
fn checked_scatter(call: &Call) -> Outcome<usize> {
    let (x, source, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let dim = dim_of(call, x, idx)?;
    check_index_dtype(call, idx)?;
    if !is_number(call) && (source.dtype != x.dtype || source.dims() != idx.dims()) {
        bail!(
            "{}: {} {:?} by {:?} into {}",
            call.name,
            source.dtype.name(),
            source.dims(),
            idx.dims(),
            x.dtype.name()
        );
    }
    Ok(dim)
}

impl Plan {
    fn new(call: &Call) -> Outcome<Plan> {
        let (x, source, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
        let (dim, number) = (checked_scatter(call)?, is_number(call));
        check_indices(call, idx, dim, x.dims()[dim])?;
        let mut dims = [1usize; MAX_DIMS];
        dims[..idx.ndim].copy_from_slice(idx.dims());
        let length = dims[dim];
        dims[dim] = 1;
        let mut values = [0isize; MAX_DIMS];
        if !number {
            values[..idx.ndim].copy_from_slice(source.strides());
        }
        let n = idx.ndim;
        let rows = Walk::new(&dims[..n], [x.strides(), &values[..n], idx.strides()]);
        let mut height = (GRAIN / length.max(1)).clamp(1, 4096);
        if rows.numel >= MANY_ROWS {
            height = height.max(BESIDE);
        }
        let single = rows.numel <= height;
        // Which share an index falls into is a branch that nobody can predict: with few threads it costs more than
        // it brings.
        let threads = if pool::threads() >= 4 {
            pool::threads()
        } else {
            1
        };
        let parts = if single {
            threads.min((rows.numel * length).div_ceil(SHARE)).max(1)
        } else {
            1
        };
        Ok(Plan {
            rows,
            length,
            steps: [values[dim], idx.strides()[dim]],
            size: x.dims()[dim],
            stride: x.strides()[dim],
            height,
            parts,
        })
    }

    /// Calls `body(first row, rows, first place, end of places)` on the pool's threads.
    fn parallel(&self, body: &(dyn Fn(usize, usize, usize, usize) + Sync)) {
        if self.length == 0 {
            return;
        }
        pool::parallel(self.rows.numel.div_ceil(self.height) * self.parts, &|job| {
            let (row, part) = (job / self.parts * self.height, job % self.parts);
            let share = self.size.div_ceil(self.parts);
            let (low, high) = (part * share, ((part + 1) * share).min(self.size));
            body(row, self.height.min(self.rows.numel - row), low, high);
        });
    }

    /// Calls `visit(row, place, offset of x's row, offset in the source)` for every index of the rows that leads to
    /// low..high, in order along the dim.
    ///
    /// # Safety
    /// `idx` is the operand of indices that the plan was made with.
    #[inline(always)]
    unsafe fn visit(
        &self,
        idx: &Operand,
        row: usize,
        rows: usize,
        low: usize,
        high: usize,
        visit: impl FnMut(usize, usize, isize, isize),
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            if idx.dtype == DType::I64 {
                self.visit_as::<i64>(idx.ptr.cast(), (row, rows), (low, high), visit)
            } else {
                self.visit_as::<i32>(idx.ptr.cast(), (row, rows), (low, high), visit)
            }
        }
    }

    #[inline(always)]
    unsafe fn visit_as<I: Copy + Into<i64>>(
        &self,
        idx: *const I,
        (row, rows): (usize, usize),
        (low, high): (usize, usize),
        mut visit: impl FnMut(usize, usize, isize, isize),
    ) {
        // Copied, for what is written may lie anywhere as far as LLVM knows.
        let (length, [value_step, step], size) = (self.length as isize, self.steps, self.size);
        let mut one = |row: usize, x: isize, value: isize, at: isize| {
            // SAFETY: the callers below stay inside the dims of the indices.
            let found = inside(unsafe { *idx.offset(at) }.into(), size);
            if let Some(place) = found
                && place >= low
                && place < high
            {
                visit(row, place, x, value);
            }
        };
        if self.rows.ndim == 0 {
            for j in 0..length {
                one(0, 0, j * value_step, j * step);
            }
            return;
        }
        // The loop over what lies side by side in the indices is the inner one.
        let across = self.rows.strides[2][self.rows.ndim - 1];
        if step.unsigned_abs() < across.unsigned_abs() {
            let mut r = 0;
            self.rows.runs(row, rows, |[x, v, i], [xs, vs, is], n| {
                for k in 0..n as isize {
                    let (x, v, i) = (x + k * xs, v + k * vs, i + k * is);
                    for j in 0..length {
                        one(r + k as usize, x, v + j * value_step, i + j * step);
                    }
                }
                r += n;
            });
            return;
        }
        for j in 0..length {
            let mut r = 0;
            self.rows.runs(row, rows, |[x, v, i], [xs, vs, is], n| {
                for k in 0..n as isize {
                    let (v, i) = (v + k * vs + j * value_step, i + k * is + j * step);
                    one(r + k as usize, x + k * xs, v, i);
                }
                r += n;
            });
        }
    }
}

/// x (the output, in place) at [i₀, …, index, …] = source. Inputs: source (I) or a number, indices (I). Scalar: dim.
fn scatter(call: &Call) -> Outcome {
    let plan = Plan::new(call)?;
    let shared = Shared(call.all());
    let fixed = call.ins()[0].ndim == 0 && call.ins()[1].ndim > 0;
    with_dtype!(call.outs()[0].dtype, E => plan.parallel(&|row, rows, low, high| {
        let (x, source) = (shared.get(0).ptr.cast::<E>(), shared.get(1));
        let number: Option<E> = fixed.then(|| fixed_value::<E>(source));
        let (stride, source) = (plan.stride, source.ptr.cast::<E>().cast_const());
        // SAFETY: every offset stays inside its operand; places of different rows or shares differ.
        unsafe {
            plan.visit(shared.get(2), row, rows, low, high, |_, place, x0, v| {
                *x.offset(x0 + place as isize * stride) = number.unwrap_or_else(|| *source.offset(v));
            });
        }
    }));
    Ok(())
}

pub const SUM: usize = 0;
const PROD: usize = 1;
const MEAN: usize = 2;
const AMAX: usize = 3;
const AMIN: usize = 4;

/// `a` combined with `b`; a NaN stays.
#[inline(always)]
fn combine<C: Number>(mode: usize, a: C, b: C) -> C {
    let nan = |x: C| x.partial_cmp(&x).is_none();
    match mode {
        SUM | MEAN => a + b,
        PROD => a * b,
        AMAX => {
            if nan(a) || (!nan(b) && a >= b) {
                a
            } else {
                b
            }
        }
        _ => {
            if nan(a) || (!nan(b) && a <= b) {
                a
            } else {
                b
            }
        }
    }
}

/// How elements are combined, and whether with x's own value too.
fn checked_mode(call: &Call) -> Outcome<(usize, bool)> {
    let mode = call.count(1)?;
    if mode > AMIN {
        bail!("scatter_reduce: mode {mode}");
    }
    Ok((mode, call.count(2)? == 1))
}

/// As `scatter`, but what meets in a place is combined. Scalars: dim, mode, 1 to combine with x's own value too.
fn scatter_reduce(call: &Call) -> Outcome {
    let plan = Plan::new(call)?;
    let (mode, own) = checked_mode(call)?;
    let x = &call.outs()[0];
    let fixed = call.ins()[0].ndim == 0 && call.ins()[1].ndim > 0;
    let shared = Shared(call.all());
    let failed = std::sync::Mutex::new(Ok(()));
    with_dtype!(x.dtype, E => {
        type C = <E as Summed>::Sum;
        // Where the element type is the one to compute in, places are combined where they lie.
        let direct = own && mode != MEAN && <C as Number>::DTYPE == x.dtype;
        plan.parallel(&|row, rows, low, high| {
            let (x, source) = (shared.get(0).ptr.cast::<E>(), shared.get(1));
            let number: Option<C> = fixed.then(|| fixed_value::<C>(source));
            // SAFETY: every offset stays inside its operand; places of different rows or shares differ.
            let (stride, source) = (plan.stride, source.ptr.cast::<E>().cast_const());
            let value = |v: isize| number.unwrap_or_else(|| C::load(unsafe { *source.offset(v) }));
            // The usual one, without the choice of a mode and of a number for each element.
            if direct && mode == SUM && !fixed {
                // SAFETY: as above.
                unsafe {
                    plan.visit(shared.get(2), row, rows, low, high, |_, place, x0, v| {
                        let to = x.offset(x0 + place as isize * stride);
                        *to = (C::load(*to) + C::load(*source.offset(v))).store();
                    });
                }
                return;
            }
            if direct {
                // SAFETY: as above.
                unsafe {
                    plan.visit(shared.get(2), row, rows, low, high, |_, place, x0, v| {
                        let to = x.offset(x0 + place as isize * stride);
                        *to = combine::<C>(mode, C::load(*to), value(v)).store();
                    });
                }
                return;
            }
            let width = high.saturating_sub(low);
            let made = Scratch::new::<C>(rows * width).and_then(|a| Ok((a, Scratch::new::<u32>(rows * width)?)));
            let (mut sums, mut counts) = match made {
                Ok(pair) => pair,
                Err(fault) => {
                    *failed.lock().unwrap_or_else(|e| e.into_inner()) = Err(fault);
                    return;
                }
            };
            // SAFETY: numbers, with room for rows * width; offsets as above.
            unsafe {
                let sums: &mut [C] = sums.slice(rows * width);
                let counts: &mut [u32] = counts.slice(rows * width);
                counts.fill(0);
                plan.visit(shared.get(2), row, rows, low, high, |r, place, x0, v| {
                    let at = r * width + place - low;
                    if counts[at] == 0 {
                        let first = value(v);
                        let mine = C::load(*x.offset(x0 + place as isize * stride));
                        sums[at] = if own { combine::<C>(mode, mine, first) } else { first };
                    } else {
                        sums[at] = combine::<C>(mode, sums[at], value(v));
                    }
                    counts[at] += 1;
                });
                let mut r = 0;
                plan.rows.runs(row, rows, |[x0, _, _], [xs, _, _], n| {
                    for k in 0..n as isize {
                        for place in low..high {
                            let at = (r + k as usize) * width + place - low;
                            let count = counts[at] + u32::from(own);
                            if counts[at] > 0 {
                                let total = if mode == MEAN { divided::<C>(sums[at], count) } else { sums[at] };
                                *x.offset(x0 + k * xs + place as isize * stride) = total.store();
                            }
                        }
                    }
                    r += n;
                });
            }
        });
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner())
}

/// A mean; of integers, rounded down.
fn divided<C: Number>(sum: C, count: u32) -> C {
    match C::DTYPE {
        DType::I64 => C::load(sum.store::<i64>().div_euclid(i64::from(count))),
        DType::F32 => C::load(sum.store::<f32>() / count as f32),
        _ => C::load(sum.store::<f64>() / f64::from(count)),
    }
}
