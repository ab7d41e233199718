//! The LSTM cell, for the rows of a task at a time: float32 by lanes, in which a row's gates never leave the registers, and
//! float64, and what has no lanes, row by row through arrays.

// Loops over lanes by number are what LLVM vectorises best.
#![allow(clippy::needless_range_loop)]

use super::super::real::Real;
use super::cell::{LANES, load, store};
use super::put_packed;
use crate::gemm::{A_STRIDE, DEPTH};
use crate::lanes::{self, Job, Lanes};
use crate::math;
use crate::simd;

/// Of a row: what the state and the input give the gates, the cell before and its next one, the state, and the kept gates.
#[derive(Clone, Copy)]
pub struct Row<C> {
    pub a: *mut C,
    pub x: *const C,
    pub c: *const C,
    pub c_next: *mut C,
    pub h: *mut C,
    pub keep: *mut C,
}

/// Of a row: the kept gates, the cell now and before, the state before and where it is noted, the gradients of the output, the
/// state and the cell, and of the gates.
#[derive(Clone, Copy)]
pub struct BackRow<C> {
    pub keep: *const C,
    pub c: *const C,
    pub c_before: *const C,
    pub h: *const C,
    pub before: *mut C,
    pub g: *const C,
    pub dh: *mut C,
    pub dc: *mut C,
    pub da: *mut C,
}

/// What rows have in common: n units of `units` from `unit` on, and the packed rows of `batch` sequences, from `row` on, that
/// the next step multiplies.
#[derive(Clone, Copy)]
pub struct Units<C> {
    pub n: usize,
    pub units: usize,
    pub unit: usize,
    pub packed: *mut C,
    pub batch: usize,
    pub row: usize,
}

/// The types that have the cell.
pub trait Lstm: Real {
    /// Gates i, f, g, o lie n apart in `a`, `units` apart in `x` and `keep`, and are functions of the sums of a and x:
    /// `c' = f c + i g`, `h = o tanh(c')`; h is packed too.
    ///
    /// # Safety
    /// Every row has n elements of each; so below.
    unsafe fn forward(rows: &[Row<Self>], of: Units<Self>) {
        unsafe { forward::<Self>(rows, of) }
    }

    /// Kept gates lie `units` apart, those of `da` too: gradients of i, f, g, o, which are packed too; dh becomes 0, dc
    /// what the step before gets.
    ///
    /// # Safety
    /// As above.
    unsafe fn backward(rows: &[BackRow<Self>], of: Units<Self>) {
        unsafe { backward::<Self>(rows, of) }
    }
}

impl Lstm for f64 {}

impl Lstm for f32 {
    unsafe fn forward(rows: &[Row<f32>], of: Units<f32>) {
        unsafe { lanes::dispatch(Forward { rows, of }) }
    }

    unsafe fn backward(rows: &[BackRow<f32>], of: Units<f32>) {
        unsafe { lanes::dispatch(Backward { rows, of }) }
    }
}

/// `count` lanes for the packed row r, from a unit on: they may cross from one block of columns into the next.
#[inline(always)]
unsafe fn put<V: Lanes>(of: &Units<f32>, r: usize, unit: usize, x: V, count: usize) {
    // SAFETY: as `put_packed` says.
    unsafe {
        if unit % DEPTH + count <= DEPTH {
            let block = unit / DEPTH * of.batch + of.row + r;
            let to = of.packed.add(block * A_STRIDE + unit % DEPTH);
            x.store_some(to, count);
        } else {
            let numbers = x.numbers();
            put_packed(
                of.packed,
                of.batch,
                of.row + r,
                unit,
                numbers.as_ptr(),
                count,
            );
        }
    }
}

/// `count` lanes from the k-th number on.
#[inline(always)]
unsafe fn load_at<V: Lanes>(from: *const f32, k: usize, count: usize) -> V {
    // SAFETY: the caller has as many numbers.
    unsafe { V::load_some(from.add(k), count, 0.0) }
}

struct Forward<'a> {
    rows: &'a [Row<f32>],
    of: Units<f32>,
}

impl Job for Forward<'_> {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        let Forward { rows, of } = self;
        let Units { n, units, unit, .. } = of;
        // SAFETY: the caller's promise.
        unsafe {
            if V::COUNT == 1 {
                return forward::<f32>(rows, of);
            }
            for (r, row) in rows.iter().enumerate() {
                for k in (0..n).step_by(V::COUNT) {
                    let count = V::COUNT.min(n - k);
                    let mut sums = [V::all(0.0); 4];
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let (a, x) = (row.a.add(i * n + k), row.x.add(i * units + k));
                        *sum = V::load_some(a, count, 0.0) + V::load_some(x, count, 0.0);
                    }
                    let [i, f, g, o] = sums;
                    let (i, f, o) = (math::sigmoid(i), math::sigmoid(f), math::sigmoid(o));
                    let g = math::tanh(g);
                    for (at, gate) in [i, f, g, o].into_iter().enumerate() {
                        gate.store_some(row.keep.add(at * units + k), count);
                    }
                    let c = V::load_some(row.c.add(k), count, 0.0);
                    let next = f.mul_add(c, i * g);
                    next.store_some(row.c_next.add(k), count);
                    let h = o * math::tanh(next);
                    h.store_some(row.h.add(k), count);
                    put(&of, r, unit + k, h, count);
                }
            }
        }
    }
}

struct Backward<'a> {
    rows: &'a [BackRow<f32>],
    of: Units<f32>,
}

impl Job for Backward<'_> {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        let Backward { rows, of } = self;
        let Units { n, units, unit, .. } = of;
        // SAFETY: the caller's promise.
        unsafe {
            if V::COUNT == 1 {
                return backward::<f32>(rows, of);
            }
            let one = V::all(1.0);
            for (r, row) in rows.iter().enumerate() {
                for k in (0..n).step_by(V::COUNT) {
                    let count = V::COUNT.min(n - k);
                    let mut kept = [V::all(0.0); 4];
                    for (i, kept) in kept.iter_mut().enumerate() {
                        *kept = load_at::<V>(row.keep.add(i * units), k, count);
                    }
                    let [i, f, g, o] = kept;
                    let h = load_at::<V>(row.h, k, count);
                    h.store_some(row.before.add(k), count);
                    let t = math::tanh(load_at::<V>(row.c, k, count));
                    let dh = load_at::<V>(row.dh, k, count) + load_at::<V>(row.g, k, count);
                    let dc = (dh * o).mul_add(one - t * t, load_at(row.dc, k, count));
                    let before = load_at::<V>(row.c_before, k, count);
                    let slopes = [
                        dc * g * i * (one - i),
                        dc * before * f * (one - f),
                        dc * i * (one - g * g),
                        dh * t * o * (one - o),
                    ];
                    for (at, slope) in slopes.into_iter().enumerate() {
                        slope.store_some(row.da.add(at * units + k), count);
                        put(&of, r, at * units + unit + k, slope, count);
                    }
                    (dc * f).store_some(row.dc.add(k), count);
                    V::all(0.0).store_some(row.dh.add(k), count);
                }
            }
        }
    }
}

unsafe fn forward<C: Real>(rows: &[Row<C>], of: Units<C>) {
    let Units { n, units, .. } = of;
    for (r, row) in rows.iter().enumerate() {
        // SAFETY: the caller gives n elements of each.
        unsafe {
            for gate in 0..4 {
                for k in 0..n {
                    *row.a.add(gate * n + k) += *row.x.add(gate * units + k);
                }
            }
            lstm::<C>(row.a, row.c, row.c_next, row.h, row.keep, units, n);
            put_packed(of.packed, of.batch, of.row + r, of.unit, row.h, n);
        }
    }
}

unsafe fn backward<C: Real>(rows: &[BackRow<C>], of: Units<C>) {
    let Units { n, units, .. } = of;
    for (r, row) in rows.iter().enumerate() {
        // SAFETY: the caller gives n elements of each.
        unsafe {
            let &BackRow {
                keep,
                c,
                c_before,
                g,
                dh,
                dc,
                da,
                ..
            } = row;
            lstm_back::<C>(keep, c, c_before, g, dh, dc, da, units, n);
            row.before.copy_from_nonoverlapping(row.h, n);
            for gate in 0..4 {
                let (from, unit) = (da.add(gate * units), gate * units + of.unit);
                put_packed(of.packed, of.batch, of.row + r, unit, from, n);
            }
        }
    }
}

/// Gates i, f, g, o lie n apart in `a` and `units` apart in `keep`: `c' = f c + i g`, `h = o tanh(c')`.
///
/// # Safety
/// As above.
unsafe fn lstm<C: Real>(
    a: *const C,
    c: *const C,
    c_next: *mut C,
    h: *mut C,
    keep: *mut C,
    units: usize,
    n: usize,
) {
    unsafe {
        for gate in 0..4 {
            let (a, keep) = (a.add(gate * n), keep.add(gate * units));
            if gate == 2 {
                C::tanh_all(a, keep, n);
            } else {
                C::sigmoid_all(a, keep, n);
            }
        }
        next_cell::<C>(keep.cast_const(), c, c_next, units, n);
        C::tanh_all(c_next.cast_const(), h, n);
        times::<C>(keep.add(3 * units).cast_const(), h, n);
    }
}

simd! {
    /// `c' = f c + i g`
    unsafe fn next_cell<C: Real>(keep: *const C, c: *const C, c_next: *mut C, units: usize, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (i, f) = (load::<C>(keep.add(k), m), load::<C>(keep.add(units + k), m));
                let (g, mut c) = (load::<C>(keep.add(2 * units + k), m), load::<C>(c.add(k), m));
                for l in 0..LANES { c[l] = f[l] * c[l] + i[l] * g[l]; }
                store(c_next.add(k), m, c);
            }
            k += LANES;
        }
    }
}

simd! {
    /// `y = x y`
    unsafe fn times<C: Real>(x: *const C, y: *mut C, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (x, mut v) = (load::<C>(x.add(k), m), load::<C>(y.add(k), m));
                for l in 0..LANES { v[l] = x[l] * v[l]; }
                store(y.add(k), m, v);
            }
            k += LANES;
        }
    }
}

/// Kept gates lie `units` apart, those of `da` too: gradients of i, f, g, o; dh becomes 0, dc what the step before gets.
///
/// # Safety
/// As above.
#[allow(clippy::too_many_arguments)]
unsafe fn lstm_back<C: Real>(
    keep: *const C,
    c: *const C,
    c_before: *const C,
    g: *const C,
    dh: *mut C,
    dc: *mut C,
    da: *mut C,
    units: usize,
    n: usize,
) {
    unsafe {
        C::tanh_all(c, da, n);
        lstm_gates::<C>(keep, c_before, g, dh, dc, da, units, n);
    }
}

simd! {
    /// The same where `da` begins with tanh(c).
    unsafe fn lstm_gates<C: Real>(keep: *const C, c_before: *const C, g: *const C, dh: *mut C, dc: *mut C, da: *mut C, units: usize, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (i, f) = (load::<C>(keep.add(k), m), load::<C>(keep.add(units + k), m));
                let (w, o) = (load::<C>(keep.add(2 * units + k), m), load::<C>(keep.add(3 * units + k), m));
                let (t, before) = (load::<C>(da.add(k), m), load::<C>(c_before.add(k), m));
                let (up, h, mut d) = (load::<C>(g.add(k), m), load::<C>(dh.add(k), m), load::<C>(dc.add(k), m));
                let (mut a, mut b, mut e, mut q) = ([C::ZERO; LANES], [C::ZERO; LANES], [C::ZERO; LANES], [C::ZERO; LANES]);
                for l in 0..LANES {
                    let (t, dh) = (t[l], h[l] + up[l]);
                    let dc = d[l] + dh * o[l] * (C::ONE - t * t);
                    a[l] = dc * w[l] * i[l] * (C::ONE - i[l]);
                    b[l] = dc * before[l] * f[l] * (C::ONE - f[l]);
                    e[l] = dc * i[l] * (C::ONE - w[l] * w[l]);
                    q[l] = dh * t * o[l] * (C::ONE - o[l]);
                    d[l] = dc * f[l];
                }
                store(da.add(k), m, a);
                store(da.add(units + k), m, b);
                store(da.add(2 * units + k), m, e);
                store(da.add(3 * units + k), m, q);
                store(dc.add(k), m, d);
                store(dh.add(k), m, [C::ZERO; LANES]);
            }
            k += LANES;
        }
    }
}
