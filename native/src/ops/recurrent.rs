//! One direction of one recurrent layer over a whole sequence. What the input gives the gates was computed for all
//! steps in one product; here each step adds what the state gives, and applies the cell (recurrent/cell.rs). Weights are
//! packed once, the state stays packed from step to step, and tasks are blocks of rows that go through all steps, or each
//! step's blocks of units by blocks of rows. Backward (recurrent/backward.rs) goes the steps in the other order.
//!
//! Shapes: T steps, B sequences, H units, G gates. Row operands are (T, B, X), or (N, X) for sequences of several
//! lengths: then `sizes` (T) says how many of the sequences have a step t, and their rows follow each other.

// Loops over lanes by number are what LLVM vectorises best.
#![allow(clippy::needless_range_loop)]

mod backward;
mod cell;
mod cuda;
mod lstm;

use super::attention::Computed;
use super::nest::Place;
use super::real::Real;
use crate::bail;
use crate::cuda::transfer;
use crate::device::Device;
use crate::dtype::DType;
use crate::fault::{Fault, Outcome};
use crate::gemm::block::{
    Panels, Strips, columns_room, multiply, pack_columns, panel_width, rows_room, window,
};
use crate::gemm::{A_STRIDE, Buffer, DEPTH, Failure, run};
use crate::instruction::{Call, Operand, Row};
use crate::memory::Scratch;
use crate::pool::{self, Shared};
use crate::with_real;
use cell::Cell;
pub use lstm::Lstm;

/// Rows of a task at most: whole strips of the micro-kernels.
const MOST_ROWS: usize = 56;
/// Rows of blocks that go apart, where there are enough.
const USUAL_ROWS: usize = 24;
/// Rows of such blocks at least.
const LEAST_ROWS: usize = 8;
/// Blocks that the units are cut into at most.
const BLOCKS: usize = 8;
/// Units of a block at least.
const LEAST_UNITS: usize = 64;

/// Which rows each step has.
struct Steps {
    /// Sequences that have step t.
    sizes: Vec<usize>,
    /// Rows before step t, where rows follow each other.
    starts: Vec<usize>,
    batch: usize,
    reverse: bool,
}

impl Steps {
    /// From the dims of an output, whose storage bounds them, and the operand `sizes`, which is (0) where every sequence
    /// has every step.
    fn new(
        call: &Call,
        x: &Operand,
        sizes: &Operand,
        batch: usize,
        reverse: bool,
    ) -> Outcome<Steps> {
        let sizes: Vec<usize> = if x.ndim == 3 {
            call.require(sizes.dims() == [0] && x.dims()[1] == batch, || {
                format!(
                    "{:?} steps of a batch of {batch} with sizes {:?}",
                    x.dims(),
                    sizes.dims()
                )
            })?;
            vec![batch; x.dims()[0]]
        } else {
            let plain = x.ndim == 2
                && sizes.ndim == 1
                && sizes.dtype == DType::I64
                && sizes.is_contiguous();
            call.require(plain, || {
                format!(
                    "{:?} rows with sizes {:?} of {}",
                    x.dims(),
                    sizes.dims(),
                    sizes.dtype.name()
                )
            })?;
            // On a device they are waited for: how many rows a step has decides what is launched.
            let mut given = vec![0i64; sizes.numel()];
            let (to, from) = (
                (Device::CPU, given.as_mut_ptr().cast()),
                (call.device, sizes.ptr.cast_const()),
            );
            // SAFETY: a dense vector of int64, and room for it.
            unsafe { transfer(to, from, given.len() * 8)? };
            let falling = given.windows(2).all(|pair| pair[0] >= pair[1]);
            let ends = given.first().is_none_or(|&n| n == batch as i64)
                && given.last().is_none_or(|&n| n > 0);
            call.require(falling && ends, || {
                format!("sizes must fall from {batch} and stay above 0")
            })?;
            given.iter().map(|&n| n as usize).collect()
        };
        let mut starts = Vec::with_capacity(sizes.len());
        let mut rows = 0usize;
        for &n in &sizes {
            starts.push(rows);
            rows = rows.saturating_add(n);
        }
        call.require(x.ndim == 3 || x.dims()[0] == rows, || {
            format!("{:?} rows, sizes sum to {rows}", x.dims())
        })?;
        Ok(Steps {
            sizes,
            starts,
            batch,
            reverse,
        })
    }

    fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Whether every sequence has every step.
    fn are_even(&self) -> bool {
        self.sizes.iter().all(|&n| n == self.batch)
    }

    /// The step that is the i-th to be computed.
    fn step(&self, i: usize) -> usize {
        if self.reverse {
            self.count() - 1 - i
        } else {
            i
        }
    }

    /// The step before the i-th for a row; None where the row starts there.
    fn before(&self, i: usize, row: usize) -> Option<usize> {
        let before = self.step(i.checked_sub(1)?);
        (row < self.sizes[before]).then_some(before)
    }
}

/// A row operand of the compute type with adjacent columns.
#[derive(Clone, Copy)]
struct Rows<'a, C> {
    ptr: Shared<C>,
    time: isize,
    row: isize,
    starts: Option<&'a [usize]>,
}

impl<'a, C: Real> Rows<'a, C> {
    fn new(
        call: &Call,
        o: &Operand,
        steps: &'a Steps,
        width: usize,
        what: &str,
    ) -> Outcome<Rows<'a, C>> {
        let n = o.ndim;
        let total = steps.sizes.iter().sum::<usize>();
        let fits = match o.dims() {
            [t, b, w] => {
                *t == steps.count()
                    && *b == steps.batch
                    && steps.sizes.iter().all(|s| s == b)
                    && *w == width
            }
            [rows, w] => *rows == total && *w == width,
            _ => false,
        };
        call.require(
            fits && o.dtype == C::DTYPE && (o.strides()[n - 1] == 1 || width <= 1),
            || {
                format!(
                    "{what} has dims {:?} of {}, strides {:?}",
                    o.dims(),
                    o.dtype.name(),
                    o.strides()
                )
            },
        )?;
        let s = o.strides();
        Ok(Rows {
            ptr: Shared(o.ptr.cast()),
            time: if n == 3 { s[0] } else { 0 },
            row: s[n - 2],
            starts: (n == 2).then_some(&steps.starts),
        })
    }

    /// The address of a row at a step.
    #[inline(always)]
    fn at(&self, step: usize, row: usize) -> *mut C {
        let row = row + self.starts.map_or(0, |starts| starts[step]);
        self.ptr
            .get()
            .wrapping_offset(step as isize * self.time + row as isize * self.row)
    }
}

/// An operand (B, H) as rows in a scratch area; (0) gives nothing.
fn state<C: Computed>(call: &Call, o: &Operand, batch: usize, units: usize) -> Outcome<Scratch> {
    if o.dims() == [0] {
        return Scratch::new::<C>(0);
    }
    expect_state::<C>(call, o, batch, units)?;
    let scratch = Scratch::new::<C>(batch * units)?;
    for r in 0..batch {
        let (rs, cs) = (o.strides()[0], o.strides()[1]);
        // SAFETY: a checked row, and room for it.
        unsafe {
            Place::of(o).gather(
                r as isize * rs,
                cs,
                scratch.as_ptr::<C>().add(r * units),
                units,
            )
        };
    }
    Ok(scratch)
}

fn expect_state<C: Computed>(call: &Call, o: &Operand, batch: usize, units: usize) -> Outcome {
    call.require(o.dims() == [batch, units] && o.dtype == C::DTYPE, || {
        format!(
            "a state of dims {:?} of {}, not ({batch}, {units})",
            o.dims(),
            o.dtype.name()
        )
    })
}

/// The place of a unit of row r in a packed state of `batch` rows.
#[inline(always)]
fn packed_at(batch: usize, row: usize, unit: usize) -> usize {
    unit / DEPTH * batch * A_STRIDE + row * A_STRIDE + unit % DEPTH
}

/// Writes `values` into a packed state; they may cross from one block of columns into the next.
unsafe fn put_packed<C: Copy>(
    packed: *mut C,
    batch: usize,
    row: usize,
    unit: usize,
    values: *const C,
    n: usize,
) {
    let mut i = 0;
    while i < n {
        let part = (DEPTH - (unit + i) % DEPTH).min(n - i);
        // SAFETY: as `packed_at` says; the caller gives n values.
        unsafe {
            core::ptr::copy_nonoverlapping(
                values.add(i),
                packed.add(packed_at(batch, row, unit + i)),
                part,
            );
        }
        i += part;
    }
}

/// Blocks of units and of rows that a step's tasks are.
struct Blocks {
    units: usize,
    batch: usize,
    /// Units and rows of a block.
    width: usize,
    height: usize,
    /// Rows have all their units in one block, which goes its own way through the steps.
    apart: bool,
}

impl Blocks {
    /// Results do not depend on the blocks. Rows go apart where that gives the threads as much to do: pieces of rows are
    /// read and written at half the speed, since processors also fetch what lies beside them, which is another task's.
    fn new<C: Computed>(units: usize, steps: &Steps) -> Blocks {
        let (batch, panel, threads) = (steps.batch, panel_width::<C>(), pool::threads());
        let width = units.div_ceil(BLOCKS).max(LEAST_UNITS.min(units));
        let by_units = Blocks {
            units,
            batch,
            width: width.next_multiple_of(panel),
            height: batch.div_ceil(batch.div_ceil(MOST_ROWS)),
            apart: false,
        };
        let even = 1 << (batch / USUAL_ROWS).max(2).ilog2();
        let blocks = threads.min(batch / LEAST_ROWS).max(even);
        let as_many = blocks >= threads.min(by_units.tasks());
        if batch < 2 * LEAST_ROWS || !steps.are_even() || !as_many {
            return by_units;
        }
        Blocks {
            width: units,
            height: batch.div_ceil(blocks),
            apart: true,
            ..by_units
        }
    }

    fn tasks(&self) -> usize {
        self.columns() * self.batch.div_ceil(self.height)
    }

    fn columns(&self) -> usize {
        self.units.div_ceil(self.width)
    }

    /// Calls `body(i, task)` for all tasks of the steps i, in the order given; a step's work is `work(i)` multiply-adds.
    fn walk(
        &self,
        order: impl Iterator<Item = usize> + Clone + Sync,
        work: impl Fn(usize) -> usize,
        body: impl Fn(usize, usize) + Sync,
    ) {
        let tasks = self.tasks();
        if self.apart {
            let total = order.clone().map(work).sum();
            run(tasks, total, &|task| {
                order.clone().for_each(|i| body(i, task));
            });
        } else {
            order.for_each(|i| run(tasks, work(i), &|task| body(i, task)));
        }
    }

    /// First unit, count of units, first row, count of rows below `rows`.
    fn of(&self, task: usize, rows: usize) -> (usize, usize, usize, usize) {
        let (unit, row) = (
            task % self.columns() * self.width,
            task / self.columns() * self.height,
        );
        let count = rows.saturating_sub(row).min(self.height);
        (unit, self.width.min(self.units - unit), row, count)
    }
}

/// The cell, the sequences, the units and the steps of a call, whose rows are those of `rows`.
fn begin<C: Computed>(
    call: &Call,
    [h0, w, rows, sizes]: [&Operand; 4],
) -> Outcome<(Cell, usize, Steps)> {
    let cell = Cell::from(call)?;
    let (batch, units) = match *h0.dims() {
        [b, h] => (b, h),
        _ => bail!("{}: a state of dims {:?}", call.name, h0.dims()),
    };
    call.require(batch > 0 && units > 0 && h0.dtype == C::DTYPE, || {
        format!("a state of dims {:?} of {}", h0.dims(), h0.dtype.name())
    })?;
    let steps = Steps::new(call, rows, sizes, batch, call.float(1) != 0.0)?;
    call.require(
        w.dims() == [cell.gates() * units, units] && w.dtype == C::DTYPE,
        || format!("weights of dims {:?} for {units} units", w.dims()),
    )?;
    Ok((cell, units, steps))
}

/// The row operands of the forward pass.
struct Forward<'a, C> {
    x: Rows<'a, C>,
    y: Rows<'a, C>,
    kept: Option<Rows<'a, C>>,
    cells: Option<Rows<'a, C>>,
}

impl<'a, C: Computed> Forward<'a, C> {
    fn new(call: &Call, cell: Cell, units: usize, steps: &'a Steps) -> Outcome<Forward<'a, C>> {
        let ([y, hn, cn, gates, cells], [x, _, c0, _, b, _]) = (call.outs(), call.ins()) else {
            unreachable!()
        };
        let batch = steps.batch;
        expect_state::<C>(call, hn, batch, units)?;
        if cell == Cell::Lstm {
            expect_state::<C>(call, c0, batch, units)?;
            expect_state::<C>(call, cn, batch, units)?;
        }
        call.require(
            b.dims() == [0] || b.dims() == [units] && b.dtype == C::DTYPE,
            || format!("a bias of dims {:?} for {units} units", b.dims()),
        )?;
        let rows = |o, width, what| Rows::<C>::new(call, o, steps, width, what);
        Ok(Forward {
            x: rows(x, cell.gates() * units, "the input")?,
            y: rows(y, units, "the output")?,
            kept: match cell.kept() {
                0 => None,
                n => Some(rows(gates, n * units, "the kept gates")?),
            },
            cells: match cell {
                Cell::Lstm => Some(rows(cells, units, "the kept cells")?),
                _ => None,
            },
        })
    }
}

/// Outputs y (rows, H), hn (B, H), cn (B, H), gates (rows, S·H), cells (rows, H); inputs x (rows, G·H), h0 (B, H), c0 (B, H),
/// w (G·H, H), b (H), sizes. A cell without something has (0) in its place; S is what the cell keeps of each unit.
/// Scalars: the cell, whether the steps go from the last to the first.
fn forward<C: Computed>(call: &Call) -> Outcome {
    let ([out, hn, cn, ..], [_, h0, c0, w, b, sizes]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let (cell, units, steps) = begin::<C>(call, [h0, w, out, sizes])?;
    let Forward { x, y, kept, cells } = Forward::<C>::new(call, cell, units, &steps)?;
    let (batch, g) = (steps.batch, cell.gates());
    let first_h = state::<C>(call, h0, batch, units)?;
    let first_c = match cell {
        Cell::Lstm => state::<C>(call, c0, batch, units)?,
        _ => Scratch::new::<C>(0)?,
    };
    let bias = bias::<C>(b, units);
    let (h0, c0) = (Shared(first_h.as_ptr::<C>()), Shared(first_c.as_ptr::<C>()));
    // The last state of a row: where its last step left it, or the first.
    let last_of = |all: Rows<C>, first: Shared<C>, r: usize| {
        let i = (0..steps.count())
            .rev()
            .find(|&i| r < steps.sizes[steps.step(i)]);
        i.map_or(first.get().wrapping_add(r * units), |i| {
            all.at(steps.step(i), r)
        })
    };
    let finish = || {
        copy_states::<C>(hn, batch, units, |r| last_of(y, h0, r));
        if let Some(cells) = cells {
            copy_states::<C>(cn, batch, units, |r| last_of(cells, c0, r));
        }
    };
    if steps.count() == 0 {
        finish();
        return Ok(());
    }
    let blocks = Blocks::new::<C>(units, &steps);
    let room = columns_room::<C>(blocks.width, units);
    let packed_w = Scratch::new::<C>(blocks.columns() * g * room)?;
    let weights = Shared(packed_w.as_ptr::<C>());
    let (rs, cs) = (w.strides()[0], w.strides()[1]);
    for j in 0..blocks.columns() {
        for gate in 0..g {
            let unit = j * blocks.width;
            let count = blocks.width.min(units - unit);
            let from = window(
                w,
                (gate * units + unit) as isize * rs,
                (units, count),
                (cs, rs),
            );
            // SAFETY: a window of the checked weights, and the room for it.
            unsafe { pack_columns(&from, weights.get().add((j * g + gate) * room)) };
        }
    }
    // The state, packed, of the step before and of this one; a row that has not begun keeps its first state in both.
    let size = rows_room(batch, units);
    let states = Scratch::new::<C>(2 * size)?;
    let states = Shared(states.as_ptr::<C>());
    for half in 0..2 {
        for r in 0..batch {
            // SAFETY: inside the scratch areas.
            unsafe {
                let to = states.get().add(half * size);
                put_packed(to, batch, r, 0, h0.get().add(r * units), units);
            }
        }
    }
    let failed = Failure::default();
    let body = |i: usize, task: usize| {
        let step = steps.step(i);
        let (unit, width, row, count) = blocks.of(task, steps.sizes[step]);
        if count == 0 {
            return;
        }
        let line = g * width;
        let Ok(buffer) = Buffer::take::<C>(count * line + units) else {
            return failed.note(Err("No memory for gates".into()));
        };
        // SAFETY: rows and units of this task only; `local` has room for its gates.
        unsafe {
            let local = buffer.get::<C>();
            let (from, to) = (
                states.get().add(i % 2 * size),
                states.get().add((i + 1) % 2 * size),
            );
            // What the input gives an LSTM its cell adds.
            let adds = cell != Cell::Lstm;
            for r in 0..if adds { count } else { 0 } {
                let source = x.at(step, row + r);
                for gate in 0..g {
                    let to = local.add(r * line + gate * width);
                    let from = if cell == Cell::Gru && gate == 2 {
                        bias.as_ptr().add(unit)
                    } else {
                        source.add(gate * units + unit).cast_const()
                    };
                    core::ptr::copy_nonoverlapping(from, to, width);
                }
            }
            let start = if adds {
                <C as Real>::ONE
            } else {
                <C as Real>::ZERO
            };
            for gate in 0..g {
                let j = unit / blocks.width;
                multiply(
                    (count, width, units),
                    Strips {
                        ptr: from.add(row * A_STRIDE).cast_const(),
                        step: batch * A_STRIDE,
                    },
                    Panels::packed(weights.get().add((j * g + gate) * room), units),
                    (local.add(gate * width), line as isize),
                    (<C as Real>::ONE, start),
                );
            }
            if let Some(cells) = cells {
                let rows: [_; MOST_ROWS] = core::array::from_fn(|r| {
                    // Those past the last one are not used.
                    let r = row + r.min(count - 1);
                    let before = steps.before(i, r);
                    let c = before.map_or(c0.get().wrapping_add(r * units), |t| cells.at(t, r));
                    let keep = kept.map_or(core::ptr::null_mut(), |k| k.at(step, r).add(unit));
                    lstm::Row {
                        a: local.add((r - row) * line),
                        x: x.at(step, r).add(unit),
                        c: c.add(unit),
                        c_next: cells.at(step, r).add(unit),
                        h: y.at(step, r).add(unit),
                        keep,
                    }
                });
                let of = lstm::Units {
                    n: width,
                    units,
                    unit,
                    packed: to,
                    batch,
                    row,
                };
                C::forward(&rows[..count], of);
                return buffer.give_back();
            }
            for r in 0..count {
                let before = steps.before(i, row + r);
                let line = local.add(r * line);
                let out = y.at(step, row + r).add(unit);
                let h = before.map_or(h0.get().wrapping_add((row + r) * units), |t| {
                    y.at(t, row + r)
                });
                let keep = kept.map(|k| k.at(step, row + r).add(unit));
                match cell {
                    Cell::Tanh | Cell::Relu => {
                        cell::simple::<C>(line, out, width, cell == Cell::Relu)
                    }
                    _ => {
                        let xn = x.at(step, row + r).add(2 * units + unit);
                        cell::gru::<C>(
                            line,
                            xn,
                            h.add(unit),
                            out,
                            keep.unwrap_or(out),
                            units,
                            width,
                        );
                    }
                }
                put_packed(to, batch, row + r, unit, out.cast_const(), width);
            }
        }
        buffer.give_back();
    };
    let work = |i| steps.sizes[steps.step(i)] * g * units * units;
    blocks.walk(0..steps.count(), work, body);
    failed.result().map_err(Fault::OutOfMemory)?;
    finish();
    Ok(())
}

/// The bias of the new gate of a GRU; zeros where there is none.
fn bias<C: Computed>(b: &Operand, units: usize) -> Vec<C> {
    let mut out = vec![<C as Real>::ZERO; units];
    if b.dims() != [0] {
        // SAFETY: a vector that was checked.
        unsafe { Place::of(b).gather(0, b.strides()[0], out.as_mut_ptr(), units) };
    }
    out
}

/// Writes rows of states to an operand (B, H).
fn copy_states<C: Computed>(
    to: &Operand,
    batch: usize,
    units: usize,
    from: impl Fn(usize) -> *mut C,
) {
    let (rs, cs) = (to.strides()[0], to.strides()[1]);
    for r in 0..batch {
        // SAFETY: a checked row, and one of as many elements.
        unsafe { Place::of(to).scatter(r as isize * rs, cs, from(r).cast_const(), units) };
    }
}

pub const ROWS: &[Row] = &[
    Row {
        name: "recurrent",
        outs: 5,
        ins: (6, 6),
        scalars: (2, 2),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => forward::<C>(call)),
        cuda: Some(
            |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => cuda::forward::<C>(call)),
        ),
    },
    Row {
        name: "recurrent_grad",
        outs: 5,
        ins: (10, 10),
        scalars: (2, 2),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => backward::backward::<C>(call)),
        cuda: Some(
            |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => cuda::backward::<C>(call)),
        ),
    },
];
