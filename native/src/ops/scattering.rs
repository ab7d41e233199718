//! One index per element along one dim: `gather` reads, `scatter` writes, `scatter_reduce` combines.
//! Elements that meet in one place are taken in the order of the data, whatever the number of threads.

use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::ops::indexing::{
    Fence, GRAIN, Summed, check_index_dtype, check_indices, fixed_value, index_at, inside,
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
        with_bits!(dtype, B => {
            let (to, from, idx) = (shared.get(0).ptr.cast::<B>(), shared.get(1).ptr.cast::<B>(), shared.get(2));
            let mut at = range.start;
            walk.runs(range.start, range.len(), |[o, x, i], [os, xs, is], length| {
            // Places first, elements after: a loop of loads alone keeps more of them under way.
            let mut places = [0isize; BATCH];
            for begin in (0..length).step_by(BATCH) {
                let n = BATCH.min(length - begin);
                for (j, place) in places.iter_mut().enumerate().take(n) {
                    let j = (begin + j) as isize;
                    // SAFETY: walks stay inside their operands.
                    let found = inside(unsafe { index_at(idx, i + j * is) }, size);
                    *place = match found {
                        Some(index) => x + j * xs + index as isize * stride,
                        None => {
                            fence.hit(at + j as usize);
                            x + j * xs
                        }
                    };
                }
                for (j, &place) in places.iter().enumerate().take(n) {
                    // SAFETY: the index was found inside the dim, or the dim's first element stands for it; a dim
                    // without elements has no place that is read, as every index was refused.
                    unsafe {
                        if size > 0 {
                            *to.offset(o + (begin + j) as isize * os) = *from.offset(place);
                        }
                    }
                }
            }
            at += length;
        });
        })
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
        let height = (GRAIN / length.max(1)).clamp(1, 4096);
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
        mut visit: impl FnMut(usize, usize, isize, isize),
    ) {
        if self.rows.ndim == 0 {
            for j in 0..self.length as isize {
                // SAFETY: j stays inside the dim.
                if let Some(place) = inside(unsafe { index_at(idx, j * self.steps[1]) }, self.size)
                    && place >= low
                    && place < high
                {
                    visit(0, place, 0, j * self.steps[0]);
                }
            }
            return;
        }
        for j in 0..self.length as isize {
            let mut r = 0;
            self.rows.runs(row, rows, |[x, v, i], [xs, vs, is], n| {
                for k in 0..n as isize {
                    // SAFETY: the walk and j stay inside the dims of the indices.
                    let found = inside(
                        unsafe { index_at(idx, i + k * is + j * self.steps[1]) },
                        self.size,
                    );
                    if let Some(place) = found
                        && place >= low
                        && place < high
                    {
                        visit(
                            r + k as usize,
                            place,
                            x + k * xs,
                            v + k * vs + j * self.steps[0],
                        );
                    }
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
        // SAFETY: every offset stays inside its operand; places of different rows or shares differ.
        unsafe {
            plan.visit(shared.get(2), row, rows, low, high, |_, place, x0, v| {
                let value = number.unwrap_or_else(|| *source.ptr.cast::<E>().offset(v));
                *x.offset(x0 + place as isize * plan.stride) = value;
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
            let value = |v: isize| number.unwrap_or_else(|| C::load(unsafe { *source.ptr.cast::<E>().offset(v) }));
            if direct {
                // SAFETY: as above.
                unsafe {
                    plan.visit(shared.get(2), row, rows, low, high, |_, place, x0, v| {
                        let to = x.offset(x0 + place as isize * plan.stride);
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
                        let mine = C::load(*x.offset(x0 + place as isize * plan.stride));
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
                                *x.offset(x0 + k * xs + place as isize * plan.stride) = total.store();
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
