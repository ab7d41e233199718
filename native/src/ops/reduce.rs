//! The engine of reductions. The output has the input's dims with size 1 where the input is reduced, so an
//! instruction needs no list of dims. Loops are split into kept and reduced ones; where the reduced loop is the
//! innermost in memory a reduction runs along vectors (`row`), else it runs in many columns at once (`column`).
//! Sums of float32 go through vector lanes for at most `BLOCK` elements and are joined in float64. What is joined in
//! which order depends on the shape only.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::nest::{Nest, Place};
use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand};
use crate::memory::Scratch;
use crate::{bail, pool, simd};
use core::mem::MaybeUninit;

pub mod cuda;

/// One kind of reduction over values of C.
pub trait Reduce<C: Number>: Copy + Sync {
    /// What a vector lane holds.
    type Lane: Copy;
    /// What blocks are joined in.
    type Total: Copy + Send;
    type Out: Number;
    /// Whether `step` reads a float64 of the output's own (a mean, say): the instruction's second input.
    const AUX: bool = false;
    fn start(&self) -> Self::Lane;
    fn step(&self, lane: Self::Lane, x: C, aux: f64) -> Self::Lane;
    fn zero(&self) -> Self::Total;
    fn join(&self, total: Self::Total, lane: Self::Lane) -> Self::Total;
    fn merge(&self, a: Self::Total, b: Self::Total) -> Self::Total;
    fn finish(&self, total: Self::Total, count: usize) -> Self::Out;
}

const LANES: usize = 32;
/// Elements that go through the lanes before they are joined.
const BLOCK: usize = 2048;
/// Columns that are reduced side by side.
pub const WIDTH: usize = 256;
/// Rows that a column's lane takes before it is joined.
const ROWS: usize = 64;
/// Elements that one task should have at least.
const GRAIN: usize = 32 * 1024;
/// Columns of a task at most where they are read row by row.
const COLUMNS: usize = 4096;
/// Tasks of a reduction to few outputs, at most.
const TASKS: usize = 64;

/// Kept loops (output, input, aux) and reduced loops (input) of a reduction.
pub struct Plan {
    pub kept: Nest<3>,
    pub reduced: Nest<1>,
}

impl Plan {
    /// `ordered` keeps the reduced loops in the order of the dims, for those who count positions.
    pub fn new(
        name: &str,
        out: &Operand,
        x: &Operand,
        aux: Option<&Operand>,
        ordered: bool,
    ) -> Outcome<Plan> {
        let n = x.ndim;
        if out.ndim != n || aux.is_some_and(|a| a.dims() != out.dims() || a.dtype != DType::F64) {
            bail!(
                "{name}: the output has dims {:?} for an input of {:?}",
                out.dims(),
                x.dims()
            );
        }
        let mut kept = [(0, [0; 3]); MAX_DIMS];
        let mut reduced = [(0, [0; 1]); MAX_DIMS];
        let (mut k, mut r) = (0, 0);
        for d in 0..n {
            let size = x.dims()[d];
            if out.dims()[d] == size {
                kept[k] = (
                    size,
                    [
                        out.strides()[d],
                        x.strides()[d],
                        aux.map_or(0, |a| a.strides()[d]),
                    ],
                );
                k += 1;
            } else if out.dims()[d] == 1 {
                reduced[r] = (size, [x.strides()[d]]);
                r += 1;
            } else {
                bail!(
                    "{name}: the output has dims {:?} for an input of {:?}",
                    out.dims(),
                    x.dims()
                );
            }
        }
        kept[..k].sort_by_key(|l| core::cmp::Reverse(l.1[1].unsigned_abs()));
        if !ordered {
            reduced[..r].sort_by_key(|l| core::cmp::Reverse(l.1[0].unsigned_abs()));
        }
        Ok(Plan {
            kept: Nest::new(&kept[..k]),
            reduced: Nest::new(&reduced[..r]),
        })
    }

    /// Whether columns side by side are the quicker way.
    pub fn by_columns(&self) -> bool {
        let (width, strides) = self.kept.inner();
        let (_, [along]) = self.reduced.inner();
        let across = strides[1].unsigned_abs();
        width >= 8
            && across != 0
            && (across < along.unsigned_abs() || (self.reduced.numel <= 16 && width >= 32))
    }

    /// Outputs per task, and the length and number of the pieces of the reduced loops.
    fn split(&self) -> (usize, usize, usize) {
        let (outs, count) = (self.kept.numel, self.reduced.numel);
        if outs.saturating_mul(count) <= 2 * GRAIN {
            return (outs.max(1), count, 1);
        }
        let (wide, _) = self.kept.inner();
        if self.by_columns() && wide > WIDTH && count > 2 * ROWS {
            // Rows wider than a block of columns are one task's: pieces of them that lie far apart are not what a
            // processor fetches ahead, and lines beside them that it does fetch are another task's.
            let group = wide.div_ceil(wide.div_ceil(COLUMNS));
            if outs.div_ceil(group) >= 16 {
                return (group, count, 1);
            }
            let of = |elements: usize| (elements / group).max(2 * ROWS);
            let length = count.div_ceil(TASKS).clamp(of(2 * GRAIN), of(8 * GRAIN));
            let length = length.next_multiple_of(ROWS);
            return (group, length, count.div_ceil(length));
        }
        let grain = GRAIN
            .div_ceil(count.max(1))
            .next_multiple_of(if self.by_columns() { WIDTH } else { 16 });
        let tasks = outs.div_ceil(grain);
        if tasks >= 8 {
            return (grain, count, 1);
        }
        let least = (GRAIN / outs.clamp(1, grain)).max(ROWS);
        let pieces = count.div_ceil(least).clamp(1, TASKS);
        let length = count.div_ceil(pieces).next_multiple_of(ROWS);
        (grain, length, count.div_ceil(length).max(1))
    }
}

/// Runs a reducing instruction: one output; the input, and the aux where the kind reads one.
pub fn run<C: Number, R: Reduce<C>>(call: &Call, kind: R) -> Outcome {
    if R::AUX != (call.ins().len() > 1) {
        bail!("{}: {} inputs", call.name, call.ins().len());
    }
    over::<C, R>(
        call.name,
        &call.outs()[0],
        &call.ins()[0],
        call.ins().get(1),
        kind,
    )
}

/// Reduces x into the dims of size 1 of an output.
pub fn over<C: Number, R: Reduce<C>>(
    name: &str,
    out: &Operand,
    x: &Operand,
    aux: Option<&Operand>,
    kind: R,
) -> Outcome {
    let plan = Plan::new(name, out, x, aux, false)?;
    let task = Task::<C, R> {
        plan: &plan,
        kind,
        out: Place::of(out),
        x: Place::of(x),
        aux: aux.map(Place::of),
        _c: core::marker::PhantomData,
    };
    drive(&plan, &task)
}

/// What [`drive`] asks of a reduction.
pub trait Work: Sync {
    type Total: Copy + Send;
    fn zero(&self) -> Self::Total;
    fn merge(&self, a: Self::Total, b: Self::Total) -> Self::Total;
    /// Reduces the steps `start..start + count` for the outputs `from..from + n`.
    fn reduce(&self, from: usize, n: usize, start: usize, count: usize, sink: Sink<Self::Total>);
    /// Writes the outputs of neighbouring totals: the first one's offsets, and their strides.
    fn store(&self, offset: [isize; 3], stride: [isize; 3], totals: &[Self::Total]);
}

/// Shares a reduction among threads: by outputs, and where these are few, by pieces that are merged in order.
pub fn drive<W: Work>(plan: &Plan, work: &W) -> Outcome {
    let (group, length, pieces) = plan.split();
    let (outs, count) = (plan.kept.numel, plan.reduced.numel);
    if pieces == 1 {
        pool::parallel_spans(outs, group, &|range| {
            work.reduce(
                range.start,
                range.len(),
                0,
                count,
                &mut |offset, stride, _, totals| work.store(offset, stride, totals),
            );
        });
        return Ok(());
    }
    let scratch = Scratch::new::<W::Total>(outs * pieces)?;
    let table = Table(scratch.as_ptr::<W::Total>());
    let groups = outs.div_ceil(group);
    pool::parallel(groups * pieces, &|i| {
        let (from, piece) = (i % groups * group, i / groups);
        let (start, n) = (piece * length, group.min(outs - from));
        work.reduce(
            from,
            n,
            start,
            length.min(count - start),
            &mut |_, _, at, totals| {
                // SAFETY: outputs from..from + n of this piece are this task's.
                let to = unsafe {
                    core::slice::from_raw_parts_mut(
                        table.at(piece * outs + from + at),
                        totals.len(),
                    )
                };
                to.copy_from_slice(totals);
            },
        );
    });
    pool::parallel_ranges(outs, GRAIN.div_ceil(pieces), &|range| {
        let (from, n) = (range.start, range.len());
        plan.kept.runs(from, n, |offset, stride, at, length| {
            for first in (0..length).step_by(WIDTH) {
                let mut totals = [work.zero(); WIDTH];
                let totals = &mut totals[..WIDTH.min(length - first)];
                for piece in 0..pieces {
                    let row = table.at(piece * outs + from + at + first);
                    for (i, total) in totals.iter_mut().enumerate() {
                        // SAFETY: every total was written above.
                        *total = work.merge(*total, unsafe { *row.add(i) });
                    }
                }
                let here = core::array::from_fn(|k| offset[k] + first as isize * stride[k]);
                work.store(here, stride, totals);
            }
        });
    });
    Ok(())
}

/// Partial totals that threads write, each its own.
struct Table<T>(*mut T);
// SAFETY: disjoint elements are written by different threads and read after all are done.
unsafe impl<T: Send> Sync for Table<T> {}
impl<T> Table<T> {
    fn at(&self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

struct Task<'a, C, R> {
    plan: &'a Plan,
    kind: R,
    out: Place,
    x: Place,
    aux: Option<Place>,
    _c: core::marker::PhantomData<fn(C)>,
}

/// Takes totals of neighbouring outputs: the first one's offsets, their strides, its number in the task, the totals.
pub type Sink<'a, T> = &'a mut dyn FnMut([isize; 3], [isize; 3], usize, &[T]);

impl<C: Number, R: Reduce<C>> Work for Task<'_, C, R> {
    type Total = R::Total;

    fn zero(&self) -> R::Total {
        self.kind.zero()
    }

    fn merge(&self, a: R::Total, b: R::Total) -> R::Total {
        self.kind.merge(a, b)
    }

    fn store(&self, offset: [isize; 3], stride: [isize; 3], totals: &[R::Total]) {
        let mut values = [const { MaybeUninit::<R::Out>::uninit() }; WIDTH];
        for (i, part) in totals.chunks(WIDTH).enumerate() {
            for (value, &total) in values.iter_mut().zip(part) {
                value.write(self.kind.finish(total, self.plan.reduced.numel));
            }
            // SAFETY: the values were just written; the outputs are this task's.
            unsafe {
                self.out.scatter(
                    offset[0] + (i * WIDTH) as isize * stride[0],
                    stride[0],
                    values.as_ptr().cast::<R::Out>(),
                    part.len(),
                )
            };
        }
    }

    fn reduce(&self, from: usize, n: usize, start: usize, count: usize, sink: Sink<R::Total>) {
        let columns = self.plan.by_columns();
        self.plan.kept.runs(from, n, |offset, stride, at, length| {
            for first in (0..length).step_by(WIDTH) {
                let width = WIDTH.min(length - first);
                let here: [isize; 3] =
                    core::array::from_fn(|k| offset[k] + first as isize * stride[k]);
                let mut totals = [self.kind.zero(); WIDTH];
                if columns {
                    self.columns(here, stride, width, start, count, &mut totals);
                } else {
                    for (i, total) in totals[..width].iter_mut().enumerate() {
                        *total = self.row(
                            here[1] + i as isize * stride[1],
                            here[2] + i as isize * stride[2],
                            start,
                            count,
                        );
                    }
                }
                sink(here, stride, at + first, &totals[..width]);
            }
        });
    }
}

impl<C: Number, R: Reduce<C>> Task<'_, C, R> {
    fn aux_at(&self, offset: isize) -> f64 {
        // SAFETY: aux is a checked float64 operand with the output's dims.
        self.aux
            .map_or(0.0, |a| unsafe { *a.at(offset).cast::<f64>() })
    }

    fn row(&self, offset: isize, aux: isize, start: usize, count: usize) -> R::Total {
        let aux = self.aux_at(aux);
        let (inner, [stride]) = self.plan.reduced.inner();
        let mut total = self.kind.zero();
        if self.x.dtype == C::DTYPE
            && (stride == 1 || inner == 1)
            && (inner >= 64 || self.plan.reduced.ndim <= 1)
        {
            self.plan.reduced.runs(start, count, |[o], _, _, length| {
                for at in (0..length).step_by(BLOCK) {
                    let x = self.x.at(offset + o + at as isize).cast::<C>();
                    // SAFETY: a run of checked elements.
                    total = self.kind.merge(total, unsafe {
                        row::<C, R>(&self.kind, x, BLOCK.min(length - at), aux)
                    });
                }
            });
            return total;
        }
        let mut buffer = [const { MaybeUninit::<C>::uninit() }; BLOCK];
        for at in (0..count).step_by(BLOCK) {
            let n = BLOCK.min(count - at);
            self.plan
                .reduced
                .runs(start + at, n, |[o], [s], to, length| {
                    // SAFETY: checked elements into a buffer with room for n.
                    unsafe {
                        self.x.gather(
                            offset + o,
                            s,
                            buffer.as_mut_ptr().cast::<C>().add(to),
                            length,
                        )
                    };
                });
            // SAFETY: n elements were just written.
            total = self.kind.merge(total, unsafe {
                row::<C, R>(&self.kind, buffer.as_ptr().cast(), n, aux)
            });
        }
        total
    }

    fn columns(
        &self,
        offset: [isize; 3],
        stride: [isize; 3],
        width: usize,
        start: usize,
        count: usize,
        totals: &mut [R::Total; WIDTH],
    ) {
        let mut aux = [0.0; WIDTH];
        if R::AUX {
            for (i, a) in aux[..width].iter_mut().enumerate() {
                *a = self.aux_at(offset[2] + i as isize * stride[2]);
            }
        }
        let direct = self.x.dtype == C::DTYPE && stride[1] == 1;
        let mut buffer = [const { MaybeUninit::<[C; WIDTH]>::uninit() }; 4];
        let mut lanes = [self.kind.start(); WIDTH];
        let mut taken = 0;
        self.plan.reduced.runs(start, count, |[o], [s], _, length| {
            let mut at = 0;
            while at < length {
                let rows = (ROWS - taken)
                    .min(length - at)
                    .min(if direct { ROWS } else { 4 });
                let first = offset[1] + o + at as isize * s;
                // SAFETY: rows of `width` checked elements each; the buffer holds four of them.
                unsafe {
                    if direct {
                        column::<C, R>(
                            &self.kind,
                            lanes.as_mut_ptr(),
                            self.x.at(first).cast(),
                            s,
                            rows,
                            width,
                            aux.as_ptr(),
                        );
                    } else {
                        let rows_of: *mut C = buffer.as_mut_ptr().cast();
                        for i in 0..rows {
                            self.x.gather(
                                first + i as isize * s,
                                stride[1],
                                rows_of.add(i * WIDTH),
                                width,
                            );
                        }
                        column::<C, R>(
                            &self.kind,
                            lanes.as_mut_ptr(),
                            rows_of,
                            WIDTH as isize,
                            rows,
                            width,
                            aux.as_ptr(),
                        );
                    }
                }
                at += rows;
                taken += rows;
                if taken == ROWS {
                    self.flush(&mut lanes, totals, width);
                    taken = 0;
                }
            }
        });
        if taken > 0 {
            self.flush(&mut lanes, totals, width);
        }
    }

    fn flush(&self, lanes: &mut [R::Lane; WIDTH], totals: &mut [R::Total; WIDTH], width: usize) {
        for (lane, total) in lanes[..width].iter_mut().zip(totals) {
            *total = self.kind.join(*total, *lane);
            *lane = self.kind.start();
        }
    }
}

simd! {
    /// n neighbouring elements through the lanes, joined as a tree.
    ///
    /// # Safety
    /// There are n elements.
    pub unsafe fn row<C: Number, R: Reduce<C>>(kind: &R, x: *const C, n: usize, aux: f64) -> R::Total {
        let mut lanes = [kind.start(); LANES];
        let whole = n / LANES;
        for i in 0..whole {
            for l in 0..LANES {
                // SAFETY: the caller gives n elements.
                lanes[l] = kind.step(lanes[l], unsafe { *x.add(i * LANES + l) }, aux);
            }
            simd::step();
        }
        for l in 0..n - whole * LANES {
            // SAFETY: as above.
            lanes[l] = kind.step(lanes[l], unsafe { *x.add(whole * LANES + l) }, aux);
        }
        let lanes = simd::lanes(lanes);
        let mut totals = [kind.zero(); LANES];
        for l in 0..LANES {
            totals[l] = kind.join(totals[l], lanes[l]);
        }
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                totals[l] = kind.merge(totals[l], totals[l + half]);
            }
            half /= 2;
        }
        totals[0]
    }
}

simd! {
    /// `width` columns of `rows` rows, `stride` elements apart, into one lane each.
    unsafe fn column<C: Number, R: Reduce<C>>(kind: &R, lanes: *mut R::Lane, x: *const C, stride: isize, rows: usize, width: usize, aux: *const f64) {
        // SAFETY: the caller gives rows of `width` elements and as many lanes.
        unsafe {
            let mut r = 0;
            while r + 4 <= rows {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| x.offset((r + i) as isize * stride));
                for j in 0..width {
                    let of = if R::AUX { *aux.add(j) } else { 0.0 };
                    let lane = kind.step(kind.step(*lanes.add(j), *a.add(j), of), *b.add(j), of);
                    *lanes.add(j) = kind.step(kind.step(lane, *c.add(j), of), *d.add(j), of);
                }
                r += 4;
            }
            while r < rows {
                let a = x.offset(r as isize * stride);
                for j in 0..width {
                    let of = if R::AUX { *aux.add(j) } else { 0.0 };
                    *lanes.add(j) = kind.step(*lanes.add(j), *a.add(j), of);
                }
                r += 1;
            }
        }
    }
}
