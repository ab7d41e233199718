//! Lazy tables: only rows with a gradient are updated in a step; the others are brought up to date, step by step and
//! to the same bits as a dense update would, when somebody reads them.
//!
//! table p and its states m, v, x are (N, D). rows (N, 2), int32: the step that a row has reached, and the step after
//! which its momentum counts as gone (m becomes zero, and what follows is the rule's quiet form). ring (R, 8), R a power
//! of two: the factors of step t lie in row t mod R. Every step also sweeps N / (R / 2) rows, so that none ever lags
//! by more steps than the ring holds, and no single step pays for all.

use super::{Factors, HYPER, Lazy, MAXIMIZE, Real, Which, apart, counter, hyper, with_rule};
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::embedding::{Indices, used};
use crate::ops::map::Shared;
use crate::{pool, simd, stream};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Rows that one thread takes at a time: a row costs from 20 ns to some microseconds.
const CHUNK: usize = 16;
/// Columns that are worked on at a time.
const WIDTH: usize = 64;
/// Steps are counted in 31 bits here.
const MOST_STEPS: f64 = 2_147_483_000.0;

/// The columns of one row, or a stretch of them.
type At<C> = [*mut C; 4];

/// A stretch of columns, read as one. Only whole stretches are ever read or written, so that all of them live in
/// registers while steps go by.
#[inline(always)]
unsafe fn load<C: Real>(from: *const C) -> [C; WIDTH] {
    // SAFETY: the caller hands in WIDTH elements.
    unsafe { *from.cast() }
}

#[inline(always)]
unsafe fn store<C: Real>(x: [C; WIDTH], to: *mut C) {
    // SAFETY: as in `load`.
    unsafe { *to.cast() = x }
}

/// How far a row is to be brought: from step `from` to step `to`; its momentum is gone after step `until`.
#[derive(Clone, Copy)]
struct Span {
    from: u32,
    until: u32,
    to: u32,
}

simd! {
    /// Brings a row to step `to`; then, where there is a gradient g, one step with it under the factors `k`.
    unsafe fn advance<C: Real, K: Lazy<C>>(at: At<C>, d: usize, ring: *const Factors<C>, mask: usize, span: Span, g: *const C,
        k: &Factors<C>, sign: C) {
        let Span { from, until, to } = span;
        let drift = to.min(until).max(from);
        let mut ends = [[C::default(); WIDTH]; 5];
        let mut column = 0;
        while column < d {
            let n = WIDTH.min(d - column);
            // SAFETY: the caller hands in d columns of each tensor that the rule has, and a ring of mask + 1 rows.
            unsafe {
                let mut places = [at[0], at[1], at[2], at[3], g.cast_mut()].map(|a| if a.is_null() { a } else { a.add(column) });
                let whole = places;
                if n < WIDTH {
                    // The last columns are worked on in a buffer, padded by zeros, by the same code.
                    for i in 0..5 {
                        if !places[i].is_null() {
                            core::ptr::copy_nonoverlapping(places[i], ends[i].as_mut_ptr(), n);
                            places[i] = ends[i].as_mut_ptr();
                        }
                    }
                }
                let [p, m, v, x, g] = places;
                let mut ps = load(p);
                let mut ms = if K::M { load(m) } else { [C::default(); WIDTH] };
                let mut vs = if K::V { load(v) } else { [C::default(); WIDTH] };
                let mut xs = if K::X { load(x) } else { [C::default(); WIDTH] };
                let mut s = from;
                while s < drift {
                    s += 1;
                    let k = *ring.add(s as usize & mask);
                    for i in 0..WIDTH {
                        K::step(&k, &mut ps[i], &mut ms[i], &mut vs[i], &mut xs[i], C::default());
                    }
                }
                if K::M && drift == until && from < until {
                    ms = [C::default(); WIDTH];
                }
                while s < to {
                    s += 1;
                    let k = *ring.add(s as usize & mask);
                    for i in 0..WIDTH {
                        K::quiet(&k, &mut ps[i], &mut vs[i]);
                    }
                }
                if !g.is_null() {
                    let gs = load(g);
                    for i in 0..WIDTH {
                        K::step(k, &mut ps[i], &mut ms[i], &mut vs[i], &mut xs[i], gs[i] * sign);
                    }
                }
                store(ps, p);
                if K::M { store(ms, m); }
                if K::V { store(vs, v); }
                if K::X { store(xs, x); }
                if n < WIDTH {
                    for i in 0..4 {
                        if !whole[i].is_null() {
                            core::ptr::copy_nonoverlapping(places[i], whole[i], n);
                        }
                    }
                }
            }
            column += n;
        }
    }
}

/// A table and what is kept of it, checked to belong together.
struct Table<'a> {
    shared: Shared<'a>,
    /// Where p, m, v and x lie among the operands, as far as the rule has them.
    places: [Option<usize>; 4],
    rows: usize,
    ring: usize,
    n: usize,
    d: usize,
    steps: usize,
    dtype: DType,
    bad: AtomicBool,
}

impl<'a> Table<'a> {
    fn new(
        call: &'a Call,
        which: Which,
        p: usize,
        rows: usize,
        ring: usize,
        states: usize,
    ) -> Outcome<Table<'a>> {
        let operands = call.all();
        call.require(operands.len() == states + which.states(), || {
            format!(
                "{} operands where the rule has {} states",
                operands.len(),
                which.states()
            )
        })?;
        let table = &operands[p];
        let [n, d] = *table.dims() else {
            crate::bail!(
                "{}: the table has dims {:?}, not two",
                call.name,
                table.dims()
            )
        };
        let dtype = table.dtype;
        call.require(matches!(dtype, DType::F32 | DType::F64), || {
            format!("the table is {}, not float32 or float64", dtype.name())
        })?;
        call.require(
            operands[states..]
                .iter()
                .all(|o| o.dims() == [n, d] && o.dtype == dtype),
            || "a state differs from the table in dims or dtype".into(),
        )?;
        let (r, f) = (&operands[rows], &operands[ring]);
        call.require(r.dtype == DType::I32 && r.dims() == [n, 2], || {
            format!("rows' steps have dims {:?} for {n} rows", r.dims())
        })?;
        let steps = f.dims().first().copied().unwrap_or(0);
        call.require(
            f.dims() == [steps, 8] && steps.is_power_of_two() && steps >= 2 && f.dtype == dtype,
            || {
                format!(
                    "the ring has dims {:?} and dtype {}",
                    f.dims(),
                    f.dtype.name()
                )
            },
        )?;
        let places = core::array::from_fn(|k| {
            if k == 0 {
                Some(p)
            } else {
                (k <= which.states()).then_some(states + k - 1)
            }
        });
        Ok(Table {
            shared: Shared(operands),
            places,
            rows,
            ring,
            n,
            d,
            steps,
            dtype,
            bad: AtomicBool::new(false),
        })
    }

    /// The step that a row has reached, and its last one with momentum.
    #[inline(always)]
    fn counters(&self, row: usize) -> (&AtomicU32, &AtomicU32) {
        let base = self.shared.get(self.rows).ptr.cast::<AtomicU32>();
        // SAFETY: rows are below n, and the counters are dense int32, aligned to their size.
        unsafe { (&*base.add(2 * row), &*base.add(2 * row + 1)) }
    }

    #[inline(always)]
    fn at<C: Real>(&self, row: usize) -> At<C> {
        self.places.map(|k| {
            k.map_or(core::ptr::null_mut(), |k| {
                self.shared
                    .get(k)
                    .ptr
                    .cast::<C>()
                    .wrapping_add(row * self.d)
            })
        })
    }

    /// Asks for a row's counters.
    #[inline(always)]
    fn expect_counters(&self, row: usize) {
        stream::prefetch_bytes(self.shared.get(self.rows).ptr.wrapping_add(8 * row), 8);
    }

    /// Asks for a row's values.
    #[inline(always)]
    fn expect<C: Real, K: Lazy<C>>(&self, row: usize) {
        let bytes = (self.d * size_of::<C>()).min(1024);
        let [p, m, v, x] = self.at::<C>(row);
        stream::prefetch_bytes(p.cast_const().cast(), bytes);
        if K::M {
            stream::prefetch_bytes(m.cast_const().cast(), bytes);
        }
        if K::V {
            stream::prefetch_bytes(v.cast_const().cast(), bytes);
        }
        if K::X {
            stream::prefetch_bytes(x.cast_const().cast(), bytes);
        }
    }

    /// Brings a row to step `to`. Whoever moves the counter does the work; a row asked for twice is done once.
    #[inline(always)]
    fn catch_up<C: Real, K: Lazy<C>>(&self, row: usize, to: u32) {
        let (reached, until) = self.counters(row);
        let from = reached.swap(to, Relaxed);
        if from == to {
            return;
        }
        if !self.follows(from, to) {
            return;
        }
        let until = if K::FOREVER {
            u32::MAX
        } else {
            until.load(Relaxed)
        };
        let ring = self.shared.get(self.ring).ptr.cast::<Factors<C>>();
        // SAFETY: the row is inside the table, the ring has `steps` rows, and this thread alone has the row.
        unsafe {
            let none = [C::default(); 8];
            let span = Span { from, until, to };
            advance::<C, K>(
                self.at(row),
                self.d,
                ring,
                self.steps - 1,
                span,
                core::ptr::null(),
                &none,
                C::default(),
            );
        }
    }

    /// Whether the ring still holds the steps between.
    #[inline(always)]
    fn follows(&self, from: u32, to: u32) -> bool {
        let fits = to >= from && ((to - from) as usize) < self.steps;
        if !fits {
            self.bad.store(true, Relaxed);
        }
        fits
    }

    /// Brings the rows of a range to step `to`.
    fn sweep<C: Real, K: Lazy<C>>(&self, range: core::ops::Range<usize>, to: u32) {
        pool::parallel_ranges(range.len(), CHUNK, &|part| {
            for i in part.clone() {
                let row = range.start + i;
                if i + 1 < part.end && self.counters(row + 1).0.load(Relaxed) != to {
                    self.expect::<C, K>(row + 1);
                }
                self.catch_up::<C, K>(row, to);
            }
        });
    }

    fn outcome(&self, call: &Call) -> Outcome {
        call.require(!self.bad.load(Relaxed), || {
            format!(
                "a row lags by more than the {} steps that are kept",
                self.steps
            )
        })
    }
}

/// The step count that scalar 2 names, as what rows are brought to.
fn step_of(call: &Call, steps: &Operand) -> Outcome<u32> {
    let t = counter(call, steps, 2)?;
    // SAFETY: `counter` checked the address.
    let t = unsafe { *t };
    call.require((0.0..MOST_STEPS).contains(&t) && t.fract() == 0.0, || {
        format!("the step count is {t}")
    })?;
    Ok(t as u32)
}

/// Runs `$body` with `$C` bound to the table's type.
macro_rules! with_table {
    ($table:expr, $C:ident => $body:expr) => {
        if $table.dtype == DType::F64 {
            type $C = f64;
            $body
        } else {
            type $C = f32;
            $body
        }
    };
}

/// A checked step: the rule, the table, and the step before this one.
pub(super) struct Checked<'a> {
    pub which: Which,
    table: Table<'a>,
    pub before: u32,
}

pub(super) fn checked_step(call: &Call) -> Outcome<Checked<'_>> {
    let which = Which::lazy(call)?;
    let operands = call.all();
    let table = Table::new(call, which, 0, 4, 5, 8)?;
    // Written: the table, rows, the ring, step counts and states.
    apart(call, |i| matches!(i, 0 | 4 | 5 | 6) || i >= 8)?;
    let (idx, values) = (Indices::new(call, operands, 1)?, &operands[2]);
    call.require(
        values.dims() == [idx.len, table.d] && values.dtype == table.dtype,
        || {
            format!(
                "gradient rows have dims {:?} for {} numbers and rows of {}",
                values.dims(),
                idx.len,
                table.d
            )
        },
    )?;
    Ok(Checked {
        which,
        table,
        before: step_of(call, &operands[6])?,
    })
}

/// The rows whose turn it is to be brought up to date, from one on to before another: all of them within half a ring.
pub(super) fn share(rows: usize, half: usize, before: u32) -> (usize, usize) {
    let share = rows.div_ceil(half);
    let first = (before as usize % half) * share;
    (first.min(rows), (first + share).min(rows))
}

/// Counts a step; gives the step after which momentum is gone of rows with a gradient, and the step's factors.
pub(super) fn started(call: &Call, which: Which, before: u32) -> Outcome<(u32, [f64; 8])> {
    let h: [f64; HYPER] = hyper(call, &call.all()[7])?;
    let t = before + 1;
    let replay = h[HYPER - 1];
    let until = if replay < f64::from(u32::MAX - t) {
        t + replay.max(1.0) as u32
    } else {
        u32::MAX
    };
    // SAFETY: `counter` checks the address.
    unsafe { *counter(call, &call.all()[6], 2)? = f64::from(t) };
    Ok((until, which.factors(&h, f64::from(t))))
}

/// One step. out: table; ins: row numbers, values and count of the gradient, rows, ring, step counts,
/// hyperparameters, states. Scalars: kind, flags, the step count's index.
pub(super) fn step(call: &Call) -> Outcome {
    let Checked {
        which,
        table,
        before,
    } = checked_step(call)?;
    let operands = call.all();
    let idx = Indices::new(call, operands, 1)?;
    let count = used(call, &operands[3], idx.len)?;
    idx.check(count, table.n)?;
    call.require((1..count).all(|i| idx.get(i - 1) < idx.get(i)), || {
        "row numbers do not ascend".into()
    })?;
    let (until, factors) = started(call, which, before)?;
    let t = before + 1;
    let sign = if which.has(MAXIMIZE) { -1.0 } else { 1.0 };
    with_table!(table, C => {
        let factors: Factors<C> = factors.map(C::of);
        with_rule!(which, K => {
            if !<K as Lazy<C>>::IDLE {
                let (first, end) = share(table.n, table.steps / 2, before);
                table.sweep::<C, K>(first..end, before);
            }
            let ring = operands[5].ptr.cast::<Factors<C>>();
            // SAFETY: the ring has `steps` rows.
            unsafe { *ring.add(t as usize & (table.steps - 1)) = factors };
            let ring = pool::Shared(ring);
            pool::parallel_ranges(count, CHUNK, &|part| {
                for i in part.clone() {
                    let row = idx.get(i) as usize;
                    if i + 4 < part.end {
                        table.expect_counters(idx.get(i + 4) as usize);
                    }
                    if i + 1 < part.end {
                        table.expect::<C, K>(idx.get(i + 1) as usize);
                    }
                    let (reached, last) = table.counters(row);
                    let from = if <K as Lazy<C>>::IDLE { before } else { reached.load(Relaxed) };
                    if !table.follows(from, before) {
                        continue;
                    }
                    let gone = if <K as Lazy<C>>::FOREVER { u32::MAX } else { last.load(Relaxed) };
                    // SAFETY: row numbers were checked and differ, so this thread alone has the row; row i of the
                    // values and the ring's rows lie inside.
                    unsafe {
                        let g = table.shared.get(2).ptr.cast::<C>().add(i * table.d);
                        let span = Span { from, until: gone, to: before };
                        advance::<C, K>(table.at(row), table.d, ring.get(), table.steps - 1, span, g, &factors, C::of(sign));
                    }
                    reached.store(t, Relaxed);
                    last.store(until, Relaxed);
                }
            });
        });
    });
    table.outcome(call)
}

pub(super) fn checked_read(call: &Call) -> Outcome<Checked<'_>> {
    let which = Which::lazy(call)?;
    let table = Table::new(call, which, 0, 2, 3, 5)?;
    apart(call, |i| matches!(i, 0 | 2) || i >= 5)?;
    Ok(Checked {
        which,
        table,
        before: step_of(call, &call.all()[4])?,
    })
}

/// Brings the rows that a batch reads up to date. out: table; ins: row numbers, rows, ring, step counts, states.
/// Scalars as in `step`.
pub(super) fn read(call: &Call) -> Outcome {
    let Checked {
        which,
        table,
        before: to,
    } = checked_read(call)?;
    let idx = Indices::new(call, call.all(), 1)?;
    idx.check(idx.len, table.n)?;
    with_table!(table, C => with_rule!(which, K => {
        if !<K as Lazy<C>>::IDLE {
            pool::parallel_ranges(idx.len, CHUNK, &|part| {
                for i in part.clone() {
                    if i + 4 < part.end {
                        table.expect_counters(idx.get(i + 4) as usize);
                    }
                    if i + 1 < part.end {
                        table.expect::<C, K>(idx.get(i + 1) as usize);
                    }
                    table.catch_up::<C, K>(idx.get(i) as usize, to);
                }
            });
        }
    }));
    table.outcome(call)
}

pub(super) fn checked_sweep(call: &Call) -> Outcome<Checked<'_>> {
    let which = Which::lazy(call)?;
    let table = Table::new(call, which, 0, 1, 2, 4)?;
    apart(call, |i| matches!(i, 0 | 1) || i >= 4)?;
    Ok(Checked {
        which,
        table,
        before: step_of(call, &call.all()[3])?,
    })
}

/// Brings every row up to date. out: table, or a stretch of its rows; ins: their rows, ring, step counts, states.
/// Scalars as in `step`.
pub(super) fn sweep(call: &Call) -> Outcome {
    let Checked {
        which,
        table,
        before: to,
    } = checked_sweep(call)?;
    with_table!(table, C => with_rule!(which, K => {
        if !<K as Lazy<C>>::IDLE {
            table.sweep::<C, K>(0..table.n, to);
        }
    }));
    table.outcome(call)
}
