//! LU with row interchanges, Cholesky's factors and triangular systems.

use super::{Columns, Field, batch, flag, items, matrix, with_field, with_stack};
use crate::bail;
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::ops::dense::each;
use crate::pool::{self, Shared};
use core::ptr::swap_nonoverlapping;
use faer::linalg::cholesky::llt::factor::{
    LltError, LltParams, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_unit_lower_triangular_in_place,
    solve_unit_upper_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Accum, MatMut, MatRef, Par, Spec};

/// Columns that one task solves or updates at a time. What they come to does not depend on who does it.
const COLUMNS: usize = 64;
/// Columns that are factored one after the other.
const NARROW: usize = 8;

/// A matrix by rows, `stride` elements apart, of which tasks have their own columns.
#[derive(Clone, Copy)]
struct Rows<T> {
    start: Shared<T>,
    stride: usize,
}

impl<T: Field> Rows<T> {
    fn place(self, i: usize, j: usize) -> *mut T {
        self.start.get().wrapping_add(i * self.stride + j)
    }

    /// # Safety
    /// The elements exist, and nobody writes them meanwhile.
    unsafe fn part<'a>(self, (i, m): (usize, usize), (j, n): (usize, usize)) -> MatRef<'a, T> {
        // SAFETY: as promised by the caller.
        unsafe { MatRef::from_raw_parts(self.place(i, j), m, n, self.stride as isize, 1) }
    }

    /// # Safety
    /// The elements exist, and nobody else touches them meanwhile.
    unsafe fn part_mut<'a>(self, (i, m): (usize, usize), (j, n): (usize, usize)) -> MatMut<'a, T> {
        // SAFETY: as promised by the caller.
        unsafe { MatMut::from_raw_parts_mut(self.place(i, j), m, n, self.stride as isize, 1) }
    }
}

// ---- LU -----------------------------------------------------------------------------------------

/// Factors columns `first..first + count` from row `first` on, one after the other, each by its largest element;
/// `pivots[k]` is the row that k was exchanged with, from 1. Rows are exchanged in these columns only. A column without
/// a pivot is left as it is. Gives the first of them, from 1, or 0.
unsafe fn narrow_lu<T: Field>(
    a: Rows<T>,
    m: usize,
    first: usize,
    count: usize,
    pivots: &mut [i32],
) -> i32 {
    let (mut info, end) = (0, first + count);
    for (k, taken) in pivots.iter_mut().enumerate().take(end).skip(first) {
        // SAFETY: rows and columns of the matrix, which the caller has for itself.
        unsafe {
            let mut p = k;
            for i in k + 1..m {
                if (*a.place(i, k)).size() > (*a.place(p, k)).size() {
                    p = i;
                }
            }
            *taken = p as i32 + 1;
            if p != k {
                swap_nonoverlapping(a.place(k, first), a.place(p, first), count);
            }
            let pivot = *a.place(k, k);
            if pivot == T::ZERO {
                info = if info == 0 { k as i32 + 1 } else { info };
                continue;
            }
            for i in k + 1..m {
                let factor = *a.place(i, k) / pivot;
                *a.place(i, k) = factor;
                for j in k + 1..end {
                    *a.place(i, j) = *a.place(i, j) - factor * *a.place(k, j);
                }
            }
        }
    }
    info
}

/// Exchanges rows `first..end` with those that `pivots` names, in some columns.
unsafe fn exchange<T: Field>(
    a: Rows<T>,
    pivots: &[i32],
    (first, end): (usize, usize),
    (from, count): (usize, usize),
) {
    for (k, &pivot) in pivots.iter().enumerate().take(end).skip(first) {
        let p = pivot as usize - 1;
        if p != k {
            // SAFETY: rows of the matrix, which the caller has for itself.
            unsafe { swap_nonoverlapping(a.place(k, from), a.place(p, from), count) };
        }
    }
}

/// Columns `first..first + count` from row `first` on, by halves: the left one, what it does to the right one, the right
/// one.
unsafe fn lu_of<T: Field>(
    a: Rows<T>,
    m: usize,
    first: usize,
    count: usize,
    pivots: &mut [i32],
) -> i32 {
    if count <= NARROW || first + NARROW >= m {
        // SAFETY: as promised by the caller.
        return unsafe { narrow_lu(a, m, first, count, pivots) };
    }
    let left = (count / 2).next_multiple_of(NARROW).min(m - first);
    let (middle, right) = (first + left, count - left);
    // SAFETY: as promised by the caller; tasks have their own columns.
    unsafe {
        let info = lu_of(a, m, first, left, pivots);
        let known = &*pivots;
        let body = |chunk: usize| {
            let from = middle + chunk * COLUMNS;
            let columns = (from, COLUMNS.min(first + count - from));
            exchange(a, known, (first, middle), columns);
            let mut top = a.part_mut((first, left), columns);
            solve_unit_lower_triangular_in_place(
                a.part((first, left), (first, left)),
                top.as_mut(),
                Par::Seq,
            );
            if m > middle {
                let below = (middle, m - middle);
                let (lower, target) = (a.part(below, (first, left)), a.part_mut(below, columns));
                matmul(target, Accum::Add, lower, top.as_ref(), -T::ONE, Par::Seq);
            }
        };
        let chunks = right.div_ceil(COLUMNS);
        if chunks > 1 {
            pool::parallel(chunks, &body);
        } else {
            (0..chunks).for_each(body);
        }
        if m == middle {
            return info;
        }
        let other = lu_of(a, m, middle, right, pivots);
        exchange(a, pivots, (middle, m.min(middle + right)), (first, left));
        if info == 0 { other } else { info }
    }
}

/// a (…, M, N) → lu (…, M, N), pivots int32 (…, K), info int32 (…)
pub fn lu(call: &Call) -> Outcome {
    let (m, n) = matrix(call, 0)?;
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[m, n])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[m, n])?;
        let (pivots, lp) = items(call, &call.outs()[1], DType::I32, &[m.min(n)])?;
        let (info, li) = items(call, &call.outs()[2], DType::I32, &[])?;
        let count = batch(call, &[la, lo, lp, li])?;
        each(count, m * n * m.min(n), &|i| {
            // SAFETY: one task has item i of each.
            unsafe {
                let lu = out.get::<T>(i);
                lu.copy_from_slice(a.get::<T>(i));
                let rows = Rows { start: Shared(lu.as_mut_ptr()), stride: n };
                info.get::<i32>(i)[0] = lu_of(rows, m, 0, n, pivots.get::<i32>(i));
            }
            Ok(())
        })
    })
}

// ---- triangular systems -------------------------------------------------------------------------

/// a (…, N, N), b (…, N, K) → x (…, N, K) with a x = b; scalars: upper, ones on the diagonal. The other triangle of a is
/// not read.
pub fn solve_triangular(call: &Call) -> Outcome {
    let (n, k) = matrix(call, 1)?;
    let (upper, unit) = (flag(call, 0), flag(call, 1));
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[n, n])?;
        let (b, lb) = items(call, &call.ins()[1], T::DTYPE, &[n, k])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[n, k])?;
        let count = batch(call, &[la, lb, lo])?;
        let solve = match (upper, unit) {
            (false, false) => solve_lower_triangular_in_place::<T, T, usize, usize>,
            (false, true) => solve_unit_lower_triangular_in_place,
            (true, false) => solve_upper_triangular_in_place,
            (true, true) => solve_unit_upper_triangular_in_place,
        };
        // A matrix's columns in parts, which are tasks of their own.
        let parts = k.div_ceil(COLUMNS);
        each(count * parts, n * n * k.min(COLUMNS), &|task| {
            let (i, from) = (task / parts, task % parts * COLUMNS);
            let columns = (from, COLUMNS.min(k - from));
            // SAFETY: one task has these columns of item i.
            unsafe {
                let rows = |start: *mut T, stride| Rows { start: Shared(start), stride };
                let (b, x) = (rows(b.start(i), k), rows(out.start(i), k));
                for r in 0..n {
                    x.place(r, from).copy_from_nonoverlapping(b.place(r, from), columns.1);
                }
                let triangle = rows(a.start(i), n).part((0, n), (0, n));
                solve(triangle, x.part_mut((0, n), columns), Par::Seq);
            }
            Ok(())
        })
    })
}

// ---- Cholesky -----------------------------------------------------------------------------------

/// a (…, N, N) → l (…, N, N), info int32 (…), the order of the first minor that is not positive; scalar: whether the
/// upper triangle is read. The factor is a lower one.
pub fn cholesky(call: &Call) -> Outcome {
    let (n, _) = matrix(call, 0)?;
    let upper = flag(call, 0);
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[n, n])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[n, n])?;
        let (info, li) = items(call, &call.outs()[1], DType::I32, &[])?;
        let count = batch(call, &[la, lo, li])?;
        let params = Spec::<LltParams, T>::default();
        each(count, n * n * n, &|i| {
            // SAFETY: one task has item i of each.
            let (a, l, info) = unsafe { (a.get::<T>(i), out.get::<T>(i), info.get::<i32>(i)) };
            let at = |r: usize, c: usize| if upper { a[c * n + r] } else { a[r * n + c] };
            let mut factor = Columns::from(n, n, at)?;
            let done = with_stack(cholesky_in_place_scratch::<T>(n, Par::Seq, params), |stack| {
                cholesky_in_place(factor.as_mut(), Default::default(), Par::Seq, stack, params)
            })?;
            info[0] = match done {
                Ok(_) => 0,
                Err(LltError::NonPositivePivot { index }) => index as i32 + 1,
            };
            factor.write(l, |r, c, x| if c > r { T::ZERO } else { x });
            Ok(())
        })
    })
}
