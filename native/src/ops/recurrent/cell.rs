//! The cells: what a row's gates make of its state, for a run of units, forward and backward. Chunks of lanes go through
//! arrays, so that vectors do not depend on which of the many addresses might overlap.

use super::super::real::Real;
use crate::bail;
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::simd;

/// A kind of cell; its number is scalar 0 of the instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    Tanh,
    Relu,
    Lstm,
    Gru,
}

impl Cell {
    pub fn from(call: &Call) -> Outcome<Cell> {
        Ok(match call.count(0)? {
            0 => Cell::Tanh,
            1 => Cell::Relu,
            2 => Cell::Lstm,
            3 => Cell::Gru,
            n => bail!("{}: cell {n} is none of the four", call.name),
        })
    }

    /// Gates of a unit.
    pub fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// Numbers that are kept of a unit for backward, beside its state: the gates, and of a GRU what its state gave n.
    pub fn kept(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 0,
            Cell::Lstm | Cell::Gru => 4,
        }
    }
}

pub const LANES: usize = 16;

#[inline(always)]
pub unsafe fn load<C: Real>(p: *const C, n: usize) -> [C; LANES] {
    let mut out = [C::ZERO; LANES];
    // SAFETY: the caller gives n elements.
    unsafe {
        if n == LANES {
            for l in 0..LANES {
                out[l] = *p.add(l);
            }
        } else {
            for l in 0..n {
                out[l] = *p.add(l);
            }
        }
    }
    out
}

#[inline(always)]
pub unsafe fn store<C: Real>(p: *mut C, n: usize, x: [C; LANES]) {
    // SAFETY: the caller gives n elements.
    unsafe {
        if n == LANES {
            for l in 0..LANES {
                *p.add(l) = x[l];
            }
        } else {
            for l in 0..n {
                *p.add(l) = x[l];
            }
        }
    }
}

/// `h = tanh(a)` or `max(a, 0)`.
///
/// # Safety
/// There are n elements of each; so below.
pub unsafe fn simple<C: Real>(a: *const C, h: *mut C, n: usize, relu: bool) {
    unsafe {
        if !relu {
            return C::tanh_all(a, h, n);
        }
        for i in 0..n {
            // NaN stays.
            let x = *a.add(i);
            *h.add(i) = if x < C::ZERO { C::ZERO } else { x };
        }
    }
}

/// Sums of r and z, and what the state gives n, lie n apart in `a`; `xn` is what the input gives it:
/// `n = tanh(xn + r a₂)`, `h' = n + z (h - n)`. Kept are r, z, n, a₂, `units` apart.
///
/// # Safety
/// As above.
pub unsafe fn gru<C: Real>(
    a: *const C,
    xn: *const C,
    h: *const C,
    h_next: *mut C,
    keep: *mut C,
    units: usize,
    n: usize,
) {
    unsafe {
        C::sigmoid_all(a, keep, n);
        C::sigmoid_all(a.add(n), keep.add(units), n);
        let (given, sums) = (a.add(2 * n), keep.add(3 * units));
        new_sums::<C>(keep.cast_const(), given, xn, sums, n);
        C::tanh_all(sums.cast_const(), keep.add(2 * units), n);
        sums.copy_from_nonoverlapping(given, n);
        next_state::<C>(keep.cast_const(), h, h_next, units, n);
    }
}

simd! {
    /// `sums = x + r given`
    unsafe fn new_sums<C: Real>(r: *const C, given: *const C, x: *const C, sums: *mut C, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (r, given) = (load::<C>(r.add(k), m), load::<C>(given.add(k), m));
                let mut x = load::<C>(x.add(k), m);
                for l in 0..LANES { x[l] += r[l] * given[l]; }
                store(sums.add(k), m, x);
            }
            k += LANES;
        }
    }
}

simd! {
    /// `h' = n + z (h - n)`
    unsafe fn next_state<C: Real>(keep: *const C, h: *const C, h_next: *mut C, units: usize, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (z, new) = (load::<C>(keep.add(units + k), m), load::<C>(keep.add(2 * units + k), m));
                let mut h = load::<C>(h.add(k), m);
                for l in 0..LANES { h[l] = new[l] + z[l] * (h[l] - new[l]); }
                store(h_next.add(k), m, h);
            }
            k += LANES;
        }
    }
}

simd! {
    /// `da = dh (1 - h²)` or `dh` where h is above 0; dh becomes 0.
    pub unsafe fn simple_back<C: Real>(h: *const C, g: *const C, dh: *mut C, da: *mut C, n: usize, relu: bool) {
        let mut i = 0;
        while i < n {
            let m = if n - i < LANES { n - i } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (h, g, d) = (load::<C>(h.add(i), m), load::<C>(g.add(i), m), load::<C>(dh.add(i), m));
                let mut x = [C::ZERO; LANES];
                for l in 0..LANES {
                    let d = d[l] + g[l];
                    x[l] = if relu { if h[l] > C::ZERO { d } else { C::ZERO } } else { d * (C::ONE - h[l] * h[l]) };
                }
                store(da.add(i), m, x);
                store(dh.add(i), m, [C::ZERO; LANES]);
            }
            i += LANES;
        }
    }
}

simd! {
    /// Gradients of what the input (`dx`) and the state (`da`) gave r, z, n, `units` apart; dh becomes what goes straight
    /// to the state before.
    pub unsafe fn gru_back<C: Real>(keep: *const C, h: *const C, g: *const C, dh: *mut C, dx: *mut C, da: *mut C, units: usize, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (r, z) = (load::<C>(keep.add(k), m), load::<C>(keep.add(units + k), m));
                let (new, given) = (load::<C>(keep.add(2 * units + k), m), load::<C>(keep.add(3 * units + k), m));
                let (h, up, mut d) = (load::<C>(h.add(k), m), load::<C>(g.add(k), m), load::<C>(dh.add(k), m));
                let (mut a, mut b, mut e, mut q) = ([C::ZERO; LANES], [C::ZERO; LANES], [C::ZERO; LANES], [C::ZERO; LANES]);
                for l in 0..LANES {
                    let dh = d[l] + up[l];
                    e[l] = dh * (C::ONE - z[l]) * (C::ONE - new[l] * new[l]);
                    b[l] = dh * (h[l] - new[l]) * z[l] * (C::ONE - z[l]);
                    a[l] = e[l] * given[l] * r[l] * (C::ONE - r[l]);
                    q[l] = e[l] * r[l];
                    d[l] = dh * z[l];
                }
                for to in [dx, da] {
                    store(to.add(k), m, a);
                    store(to.add(units + k), m, b);
                }
                store(dx.add(2 * units + k), m, e);
                store(da.add(2 * units + k), m, q);
                store(dh.add(k), m, d);
            }
            k += LANES;
        }
    }
}
