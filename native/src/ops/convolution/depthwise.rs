//! Convolutions with one channel per group: each plane of x is laid out as a field, and sums stay in registers over all
//! taps.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::super::dense::{self, Input};
use super::field::Field;
use super::{Geometry, direct, memory};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::gemm::{Buffer, Float};
use crate::pool::Shared;
use crate::simd;
use crate::simd::Level;

/// Elements of one register of sums.
const PART: usize = 16;
/// Where the row of each position of a grid begins in a field, row by row.
fn starts(grid: [usize; 3], field: &Field) -> impl Iterator<Item = usize> {
    let ([deep, wide, _], height) = (field.pitch(), grid[1]);
    (0..grid[0] * height).map(move |r| r / height * deep + r % height * wide)
}

/// Whether these kernels take it.
pub fn suits(g: &Geometry) -> bool {
    g.ins == 1 && g.outs <= 4
}

/// Rows that are summed together: chains of sums that do not wait for each other.
const ROWS: usize = 4;

/// `y[r · n + j] = start + Σ w[t] x[starts[r] + taps[t] + j]` for R rows and `count` of the P elements from j on.
#[inline(always)]
unsafe fn sum_part<const R: usize, const P: usize, T: Float>(
    y: *mut T,
    n: usize,
    x: [*const T; R],
    taps: &[usize],
    w: *const T,
    start: T,
) {
    // SAFETY: as promised to `sum_rows`.
    unsafe {
        let mut sums = [[start; P]; R];
        for (t, &at) in taps.iter().enumerate() {
            let factor = *w.add(t);
            for r in 0..R {
                let from = x[r].add(at).cast::<[T; P]>().read_unaligned();
                for l in 0..P {
                    sums[r][l] += factor * from[l];
                }
            }
        }
        for r in 0..R {
            y.add(r * n).cast::<[T; P]>().write_unaligned(sums[r]);
        }
    }
}

/// The same for whole rows of n of at least P, or none: the last part may reach back over the one before.
#[inline(always)]
unsafe fn sum_parts<const R: usize, const P: usize, T: Float>(
    y: *mut T,
    x: [*const T; R],
    taps: &[usize],
    w: *const T,
    start: T,
    n: usize,
) {
    let mut j = 0;
    while j < n {
        let at = j.min(n - P);
        // SAFETY: as promised to `sum_rows`.
        unsafe { sum_part::<R, P, T>(y.add(at), n, x.map(|x| x.add(at)), taps, w, start) };
        j += P;
    }
}

/// The same for rows of any n.
#[inline(always)]
unsafe fn sum_some<const R: usize, T: Float>(
    y: *mut T,
    x: [*const T; R],
    taps: &[usize],
    w: *const T,
    start: T,
    n: usize,
) {
    const HALF: usize = PART / 2;
    const QUARTER: usize = PART / 4;
    // SAFETY: as promised to `sum_rows`.
    unsafe {
        match n {
            PART.. => sum_parts::<R, PART, T>(y, x, taps, w, start, n),
            HALF.. => sum_parts::<R, HALF, T>(y, x, taps, w, start, n),
            QUARTER.. => sum_parts::<R, QUARTER, T>(y, x, taps, w, start, n),
            _ => sum_parts::<R, 1, T>(y, x, taps, w, start, n),
        }
    }
}

simd! {
    /// `y[r · n + j] = start + Σ w[t] x[starts[r] + taps[t] + j]` for all starts and j below n.
    unsafe fn sum_rows<T: Float>(y: *mut T, x: *const T, starts: &[usize], taps: &[usize], w: *const T, start: T, n: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            let mut r = 0;
            while r + ROWS <= starts.len() {
                let rows = core::array::from_fn(|i| x.add(starts[r + i]));
                sum_some::<ROWS, T>(y.add(r * n), rows, taps, w, start, n);
                r += ROWS;
            }
            while r < starts.len() {
                sum_some::<1, T>(y.add(r * n), [x.add(starts[r])], taps, w, start, n);
                r += 1;
            }
        }
    }
}

simd! {
    /// `x[taps[t] + j] += w[t] g[j]` for j below n and all taps.
    unsafe fn spread_row<T: Float>(x: *mut T, g: *const T, taps: &[usize], w: *const T, n: usize) {
        // SAFETY: the caller gives the elements.
        unsafe {
            for (t, &at) in taps.iter().enumerate() {
                let (to, factor) = (x.add(at), *w.add(t));
                for j in 0..n {
                    *to.add(j) += factor * *g.add(j);
                }
            }
        }
    }
}

/// `parts[t][l] += g[l] x[taps[t] + l]` for l below P and the first N taps.
///
/// # Safety
/// The elements exist.
#[inline(always)]
unsafe fn add_products<const P: usize, const N: usize, T: Float>(
    parts: &mut [[T; P]; N],
    g: *const T,
    x: *const T,
    taps: &[usize; N],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let g = g.cast::<[T; P]>().read_unaligned();
        for t in 0..N {
            let x = simd::apart(x.add(taps[t]).cast::<[T; P]>().read_unaligned());
            for l in 0..P {
                parts[t][l] += g[l] * x[l];
            }
        }
    }
}

/// What products of rows and N taps have come to so far, by the place of an element in a register: whole ones, and the
/// halves, quarters and single elements that are left of a row behind those.
#[derive(Clone)]
#[repr(C)]
struct Parts<const N: usize, T> {
    wholes: [[T; PART]; N],
    halves: [[T; PART / 2]; N],
    quarters: [[T; PART / 4]; N],
    ones: [[T; 1]; N],
}

impl<const N: usize, T: Float> Parts<N, T> {
    const NONE: Parts<N, T> = Parts {
        wholes: [[T::ZERO; PART]; N],
        halves: [[T::ZERO; PART / 2]; N],
        quarters: [[T::ZERO; PART / 4]; N],
        ones: [[T::ZERO; 1]; N],
    };

    /// The sum of tap t.
    fn sum(&self, t: usize) -> T {
        let Parts {
            wholes,
            halves,
            quarters,
            ones,
        } = self;
        let all = wholes[t].iter().chain(&halves[t]);
        let mut sum = T::ZERO;
        for &x in all.chain(&quarters[t]).chain(&ones[t]) {
            sum += x;
        }
        sum
    }
}

simd! {
    /// Adds `g[r, j] x[starts[r] + taps[t] + j]` of all rows r of n elements and the first N taps to the parts. Elements past
    /// a row must not count, even where x is not finite there.
    unsafe fn dot_rows<const N: usize, T: Float>(g: *const T, x: *const T, starts: &[usize], taps: &[usize], n: usize, sums: &mut Parts<N, T>) {
        let Some(taps) = taps.first_chunk::<N>() else { return };
        let Parts { mut wholes, mut halves, mut quarters, mut ones } = sums.clone();
        // SAFETY: as promised by the caller.
        unsafe {
            for (r, &start) in starts.iter().enumerate() {
                let (g, x) = (g.add(r * n), x.add(start));
                let mut j = 0;
                while j + PART <= n {
                    add_products(&mut wholes, g.add(j), x.add(j), taps);
                    j += PART;
                }
                if j + PART / 2 <= n {
                    add_products(&mut halves, g.add(j), x.add(j), taps);
                    j += PART / 2;
                }
                if j + PART / 4 <= n {
                    add_products(&mut quarters, g.add(j), x.add(j), taps);
                    j += PART / 4;
                }
                while j < n {
                    add_products(&mut ones, g.add(j), x.add(j), taps);
                    j += 1;
                }
            }
        }
        *sums = Parts { wholes, halves, quarters, ones };
    }
}

/// A product for each group and each of its `outs` outputs.
pub struct Sums<'a, T> {
    pub groups: usize,
    pub outs: usize,
    pub grid: [usize; 3],
    /// Elements of a plane that is read.
    pub plane: usize,
    pub field: &'a Field,
    /// For each output of each group the weights of the field's taps.
    pub weights: *const T,
    pub bias: Option<&'a Input<T>>,
}

impl<T: Float + Number> Sums<'_, T> {
    /// `y[image, group, m, p] = bias + Σ w[group, m, t] x[image, group, what tap t reads at p]`
    pub fn run(&self, batch: usize, y: *mut T, x: *const T) -> Outcome {
        let (field, outs, taps) = (self.field, self.outs, self.field.taps.len());
        let positions: usize = self.grid.iter().product();
        let (y, x) = (Shared(y), Shared(x.cast_mut()));
        let weights = Shared(self.weights.cast_mut());
        let (groups, grid, plane, bias) = (self.groups, self.grid, self.plane, self.bias);
        let work = field.size() + positions * outs * taps / 8;
        let starts: Vec<usize> = starts(grid, field).collect();
        dense::each(batch * groups, work, &|i| {
            let buffer = Buffer::take::<T>(field.size()).map_err(memory)?;
            let padded: *mut T = buffer.get();
            // SAFETY: one plane of x, and the planes of y that it makes.
            unsafe {
                field.load(x.get().add(i * plane), padded);
                for m in 0..outs {
                    let channel = i % groups * outs + m;
                    let start = bias.map_or(T::ZERO, |bias| bias.all()[channel]);
                    let to = y.get().add((i * outs + m) * positions);
                    let w = weights.get().add(channel * taps);
                    sum_rows(to, padded, &starts, &field.taps, w, start, grid[2]);
                }
            }
            buffer.give_back();
            Ok(())
        })
    }
}

pub fn forward<T: Float + Number>(
    g: &Geometry,
    field: &Field,
    y: *mut T,
    x: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome {
    let sums = Sums {
        groups: g.groups,
        outs: g.outs,
        grid: g.output,
        plane: g.places(),
        field,
        weights: w,
        bias,
    };
    sums.run(g.batch, y, x)
}

/// Whether it could be done: strides other than 1 go the way back over the field of x, which takes no bias.
pub fn input_grad<T: Float + Number>(
    g: &Geometry,
    gx: *mut T,
    y: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome<bool> {
    if g.stride == [1; 3] && g.outs == 1 {
        // One phase with every tap.
        let phases = direct::phases(g);
        let Some([phase]) = phases.as_deref() else {
            return Ok(false);
        };
        let sums = Sums {
            groups: g.groups,
            outs: 1,
            grid: g.input,
            plane: g.positions(),
            field: &phase.field,
            weights: w,
            bias,
        };
        return sums.run(g.batch, gx, y).map(|()| true);
    }
    match direct::forward_field(g) {
        Some(field) if bias.is_none() => spread(g, &field, gx, y, w).map(|()| true),
        _ => Ok(false),
    }
}

fn spread<T: Float + Number>(
    g: &Geometry,
    field: &Field,
    gx: *mut T,
    y: *const T,
    w: *const T,
) -> Outcome {
    let room = field.size();
    let (places, positions, taps) = (g.places(), g.positions(), g.taps());
    let (gx, y, w) = (Shared(gx), Shared(y.cast_mut()), Shared(w.cast_mut()));
    let work = room + positions * g.outs * taps / 8;
    dense::each(g.batch * g.groups, work, &|i| {
        let buffer = Buffer::take::<T>(room).map_err(memory)?;
        let padded: *mut T = buffer.get();
        // SAFETY: one plane of gx, and the planes of the gradient that it comes from.
        unsafe {
            core::slice::from_raw_parts_mut(padded, room).fill(T::ZERO);
            for m in 0..g.outs {
                let mut from = y.get().add((i * g.outs + m) * positions);
                let w = w.get().add((i % g.groups * g.outs + m) * taps);
                for row in starts(g.output, field) {
                    spread_row(padded.add(row), from, &field.taps, w, g.output[2]);
                    from = from.add(g.output[2]);
                }
            }
            let to = gx.get().add(i * places);
            field.unload(padded, to);
        }
        buffer.give_back();
        Ok(())
    })
}

pub fn weight_grad<T: Float + Number>(
    g: &Geometry,
    field: &Field,
    gw: *mut T,
    y: *const T,
    x: *const T,
) -> Outcome {
    let room = field.size();
    let (places, positions, taps) = (g.places(), g.positions(), g.taps());
    let (gw, y, x) = (Shared(gw), Shared(y.cast_mut()), Shared(x.cast_mut()));
    let starts: Vec<usize> = starts(g.output, field).collect();
    let work = g.batch * (room + positions * g.outs * taps / 8);
    dense::each(g.groups, work, &|group| {
        let buffer = Buffer::take::<T>(room).map_err(memory)?;
        let padded: *mut T = buffer.get();
        // Nine taps are a kernel of 3 x 3, and as many as wide registers hold sums of; others are made of rows of three.
        let nines = if simd::level() == Level::Avx512 {
            taps / 9
        } else {
            0
        };
        let rest = taps - 9 * nines;
        let (threes, singles) = (rest / 3, rest % 3);
        let mut by_nine = vec![Parts::<9, T>::NONE; g.outs * nines];
        let mut by_three = vec![Parts::<3, T>::NONE; g.outs * threes];
        let mut single = vec![Parts::<1, T>::NONE; g.outs * singles];
        // SAFETY: the planes of this group, and its own weights.
        unsafe {
            for image in 0..g.batch {
                let i = image * g.groups + group;
                field.load(x.get().add(i * places), padded);
                for m in 0..g.outs {
                    let from = y.get().add((i * g.outs + m) * positions).cast_const();
                    let (x, n) = (padded.cast_const(), g.output[2]);
                    for k in 0..nines {
                        let taps = &field.taps[9 * k..];
                        dot_rows(from, x, &starts, taps, n, &mut by_nine[m * nines + k]);
                    }
                    for k in 0..threes {
                        let taps = &field.taps[9 * nines + 3 * k..];
                        dot_rows(from, x, &starts, taps, n, &mut by_three[m * threes + k]);
                    }
                    for k in 0..singles {
                        let taps = &field.taps[taps - singles + k..];
                        dot_rows(from, x, &starts, taps, n, &mut single[m * singles + k]);
                    }
                }
            }
            for m in 0..g.outs {
                for t in 0..taps {
                    let sum = if t < 9 * nines {
                        by_nine[m * nines + t / 9].sum(t % 9)
                    } else if t < taps - singles {
                        let t = t - 9 * nines;
                        by_three[m * threes + t / 3].sum(t % 3)
                    } else {
                        single[m * singles + t - (taps - singles)].sum(0)
                    };
                    *gw.get().add((group * g.outs + m) * taps + t) = sum;
                }
            }
        }
        buffer.give_back();
        Ok(())
    })
}
