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

const LANES: usize = 16;

#[inline(always)]
unsafe fn load<C: Real>(p: *const C, n: usize) -> [C; LANES] {
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
unsafe fn store<C: Real>(p: *mut C, n: usize, x: [C; LANES]) {
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

simd! {
    /// `h = tanh(a)` or `max(a, 0)`.
    pub unsafe fn simple<C: Real>(a: *const C, h: *mut C, n: usize, relu: bool) {
        let mut i = 0;
        while i < n {
            let m = if n - i < LANES { n - i } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let mut x = load::<C>(a.add(i), m);
                for l in 0..LANES {
                    // NaN stays.
                    x[l] = if relu { if x[l] < C::ZERO { C::ZERO } else { x[l] } } else { x[l].tanh() };
                }
                store(h.add(i), m, x);
            }
            i += LANES;
        }
    }
}

simd! {
    /// Gates i, f, g, o lie n apart in `a` and `units` apart in `keep`: `c' = f c + i g`, `h = o tanh(c')`.
    pub unsafe fn lstm<C: Real>(a: *const C, c: *const C, c_next: *mut C, h: *mut C, keep: *mut C, units: usize, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (mut i, mut f) = (load::<C>(a.add(k), m), load::<C>(a.add(n + k), m));
                let (mut g, mut o) = (load::<C>(a.add(2 * n + k), m), load::<C>(a.add(3 * n + k), m));
                let mut c = load::<C>(c.add(k), m);
                let mut y = [C::ZERO; LANES];
                for l in 0..LANES {
                    i[l] = i[l].sigmoid();
                    f[l] = f[l].sigmoid();
                    g[l] = g[l].tanh();
                    o[l] = o[l].sigmoid();
                    c[l] = f[l] * c[l] + i[l] * g[l];
                    y[l] = o[l] * c[l].tanh();
                }
                store(keep.add(k), m, i);
                store(keep.add(units + k), m, f);
                store(keep.add(2 * units + k), m, g);
                store(keep.add(3 * units + k), m, o);
                store(c_next.add(k), m, c);
                store(h.add(k), m, y);
            }
            k += LANES;
        }
    }
}

simd! {
    /// Sums of r and z, and what the state gives n, lie n apart in `a`; `xn` is what the input gives it:
    /// `n = tanh(xn + r a₂)`, `h' = n + z (h - n)`. Kept are r, z, n, a₂, `units` apart.
    pub unsafe fn gru<C: Real>(a: *const C, xn: *const C, h: *const C, h_next: *mut C, keep: *mut C, units: usize, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (mut r, mut z) = (load::<C>(a.add(k), m), load::<C>(a.add(n + k), m));
                let (given, x) = (load::<C>(a.add(2 * n + k), m), load::<C>(xn.add(k), m));
                let h = load::<C>(h.add(k), m);
                let (mut new, mut y) = ([C::ZERO; LANES], [C::ZERO; LANES]);
                for l in 0..LANES {
                    r[l] = r[l].sigmoid();
                    z[l] = z[l].sigmoid();
                    new[l] = (x[l] + r[l] * given[l]).tanh();
                    y[l] = new[l] + z[l] * (h[l] - new[l]);
                }
                store(keep.add(k), m, r);
                store(keep.add(units + k), m, z);
                store(keep.add(2 * units + k), m, new);
                store(keep.add(3 * units + k), m, given);
                store(h_next.add(k), m, y);
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
    /// Kept gates lie `units` apart, those of `da` too: gradients of i, f, g, o; dh becomes 0, dc what the step before gets.
    pub unsafe fn lstm_back<C: Real>(keep: *const C, c: *const C, c_before: *const C, g: *const C, dh: *mut C, dc: *mut C, da: *mut C, units: usize, n: usize) {
        let mut k = 0;
        while k < n {
            let m = if n - k < LANES { n - k } else { LANES };
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let (i, f) = (load::<C>(keep.add(k), m), load::<C>(keep.add(units + k), m));
                let (w, o) = (load::<C>(keep.add(2 * units + k), m), load::<C>(keep.add(3 * units + k), m));
                let (c, before) = (load::<C>(c.add(k), m), load::<C>(c_before.add(k), m));
                let (up, h, mut d) = (load::<C>(g.add(k), m), load::<C>(dh.add(k), m), load::<C>(dc.add(k), m));
                let (mut a, mut b, mut e, mut q) = ([C::ZERO; LANES], [C::ZERO; LANES], [C::ZERO; LANES], [C::ZERO; LANES]);
                for l in 0..LANES {
                    let (t, dh) = (c[l].tanh(), h[l] + up[l]);
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
