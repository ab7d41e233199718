//! The transforms of tiles, results and windows, on as many of them as a register has lanes.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::{LANES, PLACES};
use crate::gemm::{A_STRIDE, Float};
use crate::simd;

/// Lines that are transposed together.
const EIGHT: usize = 8;

#[inline(always)]
unsafe fn read<const N: usize, T: Copy>(from: *const T) -> [T; N] {
    // SAFETY: the caller gives N elements.
    unsafe { from.cast::<[T; N]>().read_unaligned() }
}

/// Zero where x is finite, else NaN.
#[inline(always)]
fn nought<T: Float>(x: T) -> T {
    T::ZERO * x
}

simd! {
    /// `even[j] = x[start + 2 j]`, `odd[j] = x[start + 2 j + 1]` for j below `count`; zero outside of x.
    pub unsafe fn split<T: Float>(x: *const T, width: usize, start: isize, even: *mut T, odd: *mut T, count: usize) {
        const N: usize = 16;
        // SAFETY: as promised by the caller; positions are looked at where they may lie outside.
        unsafe {
            let one = |j: usize| {
                for (to, shift) in [(even, 0), (odd, 1)] {
                    let at = start + 2 * j as isize + shift;
                    let inside = at >= 0 && at < width as isize;
                    *to.add(j) = if inside { *x.offset(at) } else { T::ZERO };
                }
                // Gathers of one or two lanes, which LLVM would make, can take hundreds of cycles where the addresses of
                // the others are in no page.
                simd::step();
            };
            // From here on, and below there, both lie inside.
            let first = (((-start).max(0) + 1) / 2) as usize;
            let end = ((width as isize - start).max(0) / 2) as usize;
            let (first, end) = (first.min(count), end.min(count));
            (0..first).for_each(one);
            let mut j = first;
            while j < end {
                // The last ones once more rather than one by one.
                if j + N > end {
                    if end - first < N {
                        break;
                    }
                    j = end - N;
                }
                let both: [[T; 2]; N] = read(x.offset(start + 2 * j as isize).cast());
                let (mut a, mut b) = ([T::ZERO; N], [T::ZERO; N]);
                for l in 0..N {
                    a[l] = both[l][0];
                    b[l] = both[l][1];
                }
                even.add(j).cast::<[T; N]>().write_unaligned(a);
                odd.add(j).cast::<[T; N]>().write_unaligned(b);
                j += N;
            }
            (j..count).for_each(one);
        }
    }
}

/// `(a - c, b + c, c - b, b - d)`: the transform of a tile along one dim.
#[inline(always)]
fn tile<const N: usize, T: Float>(a: [T; N], b: [T; N], c: [T; N], d: [T; N]) -> [[T; N]; 4] {
    let mut to = [[T::ZERO; N]; 4];
    for l in 0..N {
        to[0][l] = a[l] - c[l];
        to[1][l] = b[l] + c[l];
        to[2][l] = c[l] - b[l];
        to[3][l] = b[l] - d[l];
    }
    to
}

simd! {
    /// The transforms of `count` tiles, from four rows in even columns and, `half` elements on, odd ones.
    pub unsafe fn load_tiles<const N: usize, T: Float>(rows: [*const T; 4], half: usize, count: usize, to: *mut T, place: usize) {
        // SAFETY: the caller gives the elements.
        unsafe {
            for t in (0..count).step_by(N) {
                let mut columns = [[[T::ZERO; N]; 4]; 4];
                for (column, shift) in columns.iter_mut().zip([0, half, 1, half + 1]) {
                    let at = t + shift;
                    *column = tile(read(rows[0].add(at)), read(rows[1].add(at)), read(rows[2].add(at)), read(rows[3].add(at)));
                }
                for i in 0..4 {
                    let row = tile(columns[0][i], columns[1][i], columns[2][i], columns[3][i]);
                    for j in 0..4 {
                        to.add((4 * i + j) * place + t).cast::<[T; N]>().write_unaligned(row[j]);
                    }
                }
            }
        }
    }
}

/// `(a, a + b, a - b, -b)`: that of two results along one dim.
#[inline(always)]
fn spread<const N: usize, T: Float>(a: [T; N], b: [T; N]) -> [[T; N]; 4] {
    let mut to = [[T::ZERO; N]; 4];
    for l in 0..N {
        to[0][l] = a[l];
        to[1][l] = a[l] + b[l];
        to[2][l] = a[l] - b[l];
        to[3][l] = T::ZERO - b[l];
    }
    to
}

simd! {
    /// The transforms of four results of `count` tiles each, from the first two of the rows.
    pub unsafe fn load_results<const N: usize, T: Float>(rows: [*const T; 4], half: usize, count: usize, to: *mut T, place: usize) {
        // SAFETY: the caller gives the elements.
        unsafe {
            for t in (0..count).step_by(N) {
                let even = spread(read(rows[0].add(t)), read(rows[1].add(t)));
                let odd = spread(read(rows[0].add(half + t)), read(rows[1].add(half + t)));
                for i in 0..4 {
                    let row = spread(even[i], odd[i]);
                    for j in 0..4 {
                        to.add((4 * i + j) * place + t).cast::<[T; N]>().write_unaligned(row[j]);
                    }
                }
            }
        }
    }
}

/// `(a + b + c, b - c - d)`: the results of a tile along one dim.
#[inline(always)]
fn pair<const N: usize, T: Float>(a: [T; N], b: [T; N], c: [T; N], d: [T; N]) -> [[T; N]; 2] {
    let mut to = [[T::ZERO; N]; 2];
    for l in 0..N {
        to[0][l] = a[l] + (b[l] + c[l]);
        to[1][l] = (b[l] - c[l]) - d[l];
    }
    to
}

simd! {
    /// The results of `count` tiles, each plus `start`: the first `columns` of a row, and as many `below` elements on, if
    /// there is such a row. Whether all are finite.
    pub unsafe fn store_tiles<const N: usize, T: Float>(from: *const T, place: usize, count: usize, to: *mut T, below: Option<usize>, columns: usize, start: T) -> bool {
        let mut rest = [T::ZERO; N];
        // SAFETY: the caller gives the elements.
        unsafe {
            let mut t = 0;
            while t < count {
                // The last ones once more rather than in part.
                if t + N > count && count >= N && columns == 2 * count {
                    t = count - N;
                }
                let mut sums = [[[T::ZERO; N]; 2]; 4];
                for (j, sums) in sums.iter_mut().enumerate() {
                    let at = from.add(j * place + t);
                    *sums = pair(read(at), read(at.add(4 * place)), read(at.add(8 * place)), read(at.add(12 * place)));
                }
                for (row, shift) in [Some(0), below].into_iter().flatten().enumerate() {
                    let both = pair(sums[0][row], sums[1][row], sums[2][row], sums[3][row]);
                    let mut out = [[T::ZERO; 2]; N];
                    for l in 0..N {
                        out[l] = [both[0][l] + start, both[1][l] + start];
                    }
                    let to = to.add(shift + 2 * t);
                    let here = columns - 2 * t;
                    if here >= 2 * N {
                        for l in 0..N {
                            rest[l] += nought(out[l][0]) + nought(out[l][1]);
                        }
                        to.cast::<[[T; 2]; N]>().write_unaligned(out);
                    } else {
                        let flat = out.as_flattened();
                        for l in 0..here {
                            rest[l / 2] += nought(flat[l]);
                            *to.add(l) = flat[l];
                            simd::step();
                        }
                    }
                }
                t += N;
            }
        }
        rest.iter().all(|&x| x == T::ZERO)
    }
}

/// `(a, (a + b + c) / 2, (a - b + c) / 2, c)`: the transform of a window along one dim.
#[inline(always)]
fn window<T: Float>(a: [T; LANES], b: [T; LANES], c: [T; LANES]) -> [[T; LANES]; 4] {
    let half = T::from_f64(0.5);
    let mut to = [[T::ZERO; LANES]; 4];
    for l in 0..LANES {
        let ends = a[l] + c[l];
        to[0][l] = a[l];
        to[1][l] = half * (ends + b[l]);
        to[2][l] = half * (ends - b[l]);
        to[3][l] = c[l];
    }
    to
}

simd! {
    /// The transforms of windows in so many rows and columns, `steps` apart; zero for the lanes past the last column.
    pub unsafe fn load_windows<T: Float>(from: *const T, steps: (usize, usize), size: (usize, usize), turned: bool, to: *mut T, place: usize) {
        let (rows, count) = size;
        let none = [T::ZERO; 9];
        // SAFETY: the caller gives the elements.
        unsafe {
            for row in 0..rows {
                let mut taps = [[T::ZERO; LANES]; 9];
                for l in (0..count).step_by(EIGHT) {
                    let mut lines = [(&raw const none).cast::<T>(); EIGHT];
                    for (i, line) in lines.iter_mut().enumerate().take(count - l) {
                        *line = from.add(row * steps.0 + (l + i) * steps.1);
                    }
                    T::transpose(&lines, 9, (&raw mut taps).cast::<T>().add(l), LANES);
                }
                if turned {
                    taps.reverse();
                }
                let mut columns = [[[T::ZERO; LANES]; 4]; 3];
                for (j, column) in columns.iter_mut().enumerate() {
                    *column = window(taps[j], taps[3 + j], taps[6 + j]);
                }
                for i in 0..4 {
                    let row_of = window(columns[0][i], columns[1][i], columns[2][i]);
                    for j in 0..4 {
                        to.add((4 * i + j) * place + row * A_STRIDE).cast::<[T; LANES]>().write_unaligned(row_of[j]);
                    }
                }
            }
        }
    }
}

/// `(a + (b + c) / 2, (b - c) / 2, (b + c) / 2 + d)`: of sums over tiles along one dim, the gradient of a window.
#[inline(always)]
fn gather<T: Float>(a: [T; LANES], b: [T; LANES], c: [T; LANES], d: [T; LANES]) -> [[T; LANES]; 3] {
    let half = T::from_f64(0.5);
    let mut to = [[T::ZERO; LANES]; 3];
    for l in 0..LANES {
        let middle = half * (b[l] + c[l]);
        to[0][l] = a[l] + middle;
        to[1][l] = half * (b[l] - c[l]);
        to[2][l] = middle + d[l];
    }
    to
}

simd! {
    /// The gradients of `count` windows from the sums of all places. Whether all are finite.
    pub unsafe fn store_windows<T: Float>(from: *const T, place: usize, count: usize, to: *mut T) -> bool {
        let mut rest = [T::ZERO; LANES];
        // SAFETY: the caller gives the elements.
        unsafe {
            for i in (0..count).step_by(LANES) {
                let here = LANES.min(count - i);
                let mut sums = [[T::ZERO; LANES]; PLACES];
                for (p, sums) in sums.iter_mut().enumerate() {
                    let from = from.add(p * place + i);
                    if here == LANES {
                        *sums = read(from);
                    } else {
                        for l in 0..here {
                            sums[l] = *from.add(l);
                            simd::step();
                        }
                    }
                }
                let mut columns = [[[T::ZERO; LANES]; 3]; 4];
                for (j, column) in columns.iter_mut().enumerate() {
                    *column = gather(sums[j], sums[4 + j], sums[8 + j], sums[12 + j]);
                }
                let mut taps = [[T::ZERO; LANES]; 9];
                for r in 0..3 {
                    let row = gather(columns[0][r], columns[1][r], columns[2][r], columns[3][r]);
                    for c in 0..3 {
                        taps[3 * r + c] = row[c];
                        for l in 0..LANES {
                            rest[l] += nought(row[c][l]);
                        }
                    }
                }
                for l in 0..here {
                    for t in 0..9 {
                        *to.add((i + l) * 9 + t) = taps[t][l];
                    }
                    simd::step();
                }
            }
        }
        rest.iter().all(|&x| x == T::ZERO)
    }
}
