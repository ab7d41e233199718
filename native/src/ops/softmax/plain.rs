//! Lines of exponentials by loops that LLVM vectorises.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use crate::ops::real::Real;
use crate::simd;

const LANES: usize = 16;
/// Elements whose sum stays in lanes of the compute type.
const BLOCK: usize = 1024;

simd! {
    /// The greatest of n elements; NaN is passed over.
    ///
    /// # Safety
    /// There are n elements.
    pub unsafe fn max<C: Real>(x: *const C, n: usize) -> C {
        let mut lanes = [C::LOWEST; LANES];
        let whole = n / LANES * LANES;
        let mut i = 0;
        // SAFETY: the caller gives n elements.
        unsafe {
            while i < whole {
                for l in 0..LANES {
                    let v = *x.add(i + l);
                    lanes[l] = if v > lanes[l] { v } else { lanes[l] };
                }
                i += LANES;
            }
            while i < n {
                let v = *x.add(i);
                lanes[0] = if v > lanes[0] { v } else { lanes[0] };
                i += 1;
            }
        }
        let lanes = simd::lanes(lanes);
        let mut most = lanes[0];
        for l in 1..LANES {
            most = if lanes[l] > most { lanes[l] } else { most };
        }
        most
    }
}

simd! {
    /// `Σ exp(x - most)` in float64; `y`, when it is not null, gets the exponentials.
    ///
    /// # Safety
    /// There are n elements of each.
    pub unsafe fn exp_sum<C: Real>(x: *const C, y: *mut C, n: usize, most: C) -> f64 {
        let mut total = 0.0;
        let mut from = 0;
        while from < n {
            let size = if n - from < BLOCK { n - from } else { BLOCK };
            let mut lanes = [C::ZERO; LANES];
            let whole = size / LANES * LANES;
            let mut i = 0;
            // SAFETY: the caller gives n elements of each.
            unsafe {
                if y.is_null() {
                    while i < whole {
                        for l in 0..LANES {
                            lanes[l] += (*x.add(from + i + l) - most).exp();
                        }
                        i += LANES;
                    }
                } else {
                    while i < whole {
                        for l in 0..LANES {
                            let e = (*x.add(from + i + l) - most).exp();
                            *y.add(from + i + l) = e;
                            lanes[l] += e;
                        }
                        i += LANES;
                    }
                }
                let mut l = 0;
                while i < size {
                    let e = (*x.add(from + i) - most).exp();
                    if !y.is_null() { *y.add(from + i) = e; }
                    lanes[l] += e;
                    l += 1;
                    i += 1;
                }
            }
            let lanes = simd::lanes(lanes);
            for l in 0..LANES {
                total += lanes[l].to_f64();
            }
            from += size;
        }
        total
    }
}

simd! {
    /// Softmax, or its logarithm.
    pub unsafe fn softmax<C: Real>(x: *const C, y: *mut C, n: usize, log: bool) {
        // SAFETY: the caller gives n elements of each.
        unsafe {
            let most = max::<C>(x, n);
            let total = exp_sum::<C>(x, if log { core::ptr::null_mut() } else { y }, n, most);
            if log {
                let rest = C::of(total.ln());
                for i in 0..n { *y.add(i) = (*x.add(i) - most) - rest; }
            } else {
                let scale = C::of(1.0 / total);
                for i in 0..n { *y.add(i) = *y.add(i) * scale; }
            }
        }
    }
}

simd! {
    /// Softmax: `gx = y (g - Σ g y)`; its logarithm: `gx = g - exp(y) Σ g`.
    pub unsafe fn softmax_grad<C: Real>(g: *const C, y: *const C, gx: *mut C, n: usize, log: bool) {
        let mut total = 0.0;
        let mut from = 0;
        // SAFETY: the caller gives n elements of each.
        unsafe {
            while from < n {
                let size = if n - from < BLOCK { n - from } else { BLOCK };
                let mut lanes = [C::ZERO; LANES];
                let whole = size / LANES * LANES;
                let mut i = 0;
                while i < whole {
                    for l in 0..LANES {
                        let at = from + i + l;
                        lanes[l] += if log { *g.add(at) } else { *g.add(at) * *y.add(at) };
                    }
                    i += LANES;
                }
                let mut l = 0;
                while i < size {
                    let at = from + i;
                    lanes[l] += if log { *g.add(at) } else { *g.add(at) * *y.add(at) };
                    l += 1;
                    i += 1;
                }
                let lanes = simd::lanes(lanes);
                for l in 0..LANES {
                    total += lanes[l].to_f64();
                }
                from += size;
            }
            let sum = C::of(total);
            if log {
                for i in 0..n { *gx.add(i) = *g.add(i) - (*y.add(i)).exp() * sum; }
            } else {
                for i in 0..n { *gx.add(i) = *y.add(i) * (*g.add(i) - sum); }
            }
        }
    }
}

simd! {
    /// `gx = a exp(x - lse) - b`
    pub unsafe fn spread<C: Real>(x: *const C, gx: *mut C, n: usize, lse: C, a: C, b: C) {
        // SAFETY: the caller gives n elements of each.
        unsafe { for i in 0..n { *gx.add(i) = (*x.add(i) - lse).exp() * a - b; } }
    }
}
