//! Products that packing would only slow down: a vector times a matrix, a few rows against rows, nothing at all, and
//! integers.

use super::finish::Finish;
use super::kernel::{DOTS_WIDE, Dots};
use super::pack::{Buffer, Float, copy_line};
use super::{Mat, MatMut, run};
use crate::pool::Shared;
use crate::simd;
use crate::stream::prefetch;

/// Columns of one task: wide enough for long reads from the rows of B, and at least four tasks; by shape only.
fn columns_per_task(n: usize) -> usize {
    n.div_ceil(4).clamp(64, 1024).next_multiple_of(16)
}

/// K = 0: C = beta · C with its epilogue.
pub unsafe fn no_product<T: Float>(c: &MatMut, finish: &Finish<T>) -> Result<(), String> {
    let zeros = [T::ZERO; 256];
    for i in 0..c.rows {
        for j in (0..c.cols).step_by(zeros.len()) {
            // SAFETY: inside C.
            unsafe { finish.row(zeros.as_ptr(), c, i, j, zeros.len().min(c.cols - j)) };
        }
    }
    Ok(())
}

/// Few rows, and both operands contiguous along the depth, as in `x · Wᵀ`: transposing B would cost more than using it.
pub fn prefers_dots<T: Float>(c: &MatMut, a: &Mat, b: &Mat) -> bool {
    let along = |stride: isize, length: usize| stride == 1 || length == 1;
    c.rows <= 8
        && a.elem == T::ELEM
        && b.elem == T::ELEM
        && along(a.cs, a.cols)
        && along(b.rs, b.rows)
        && a.cols >= 32
}

/// Columns that are finished together.
const SPAN: usize = 32;

pub unsafe fn by_dots<T: Float>(
    c: &MatMut,
    a: &Mat,
    b: &Mat,
    finish: &Finish<T>,
) -> Result<(), String> {
    let kernels = T::kernels();
    let (m, n, depth) = (c.rows, c.cols, a.cols);
    let step = columns_per_task(n);
    run(n.div_ceil(step), m * n * depth, &|task| {
        let last = n.min((task + 1) * step);
        for i in (0..m).step_by(4) {
            let rows = 4.min(m - i);
            for start in (task * step..last).step_by(SPAN) {
                let count = SPAN.min(last - start);
                let mut out = [T::ZERO; 4 * SPAN];
                // SAFETY: rows and columns lie inside the matrices; the level has the kernels' instructions.
                unsafe {
                    let mut j = 0;
                    while j < count {
                        let wide = count - j >= DOTS_WIDE;
                        let dots = Dots {
                            a: a.at(i, 0).cast(),
                            a_stride: a.rs,
                            b: b.at(0, start + j).cast(),
                            b_stride: b.cs,
                            depth,
                            out: out.as_mut_ptr().add(j),
                            out_stride: SPAN,
                        };
                        (if wide {
                            kernels.dots_wide
                        } else {
                            kernels.dots_one
                        })[rows - 1](&dots);
                        j += if wide { DOTS_WIDE } else { 1 };
                    }
                    for r in 0..rows {
                        finish.row(out.as_ptr().add(r * SPAN), c, i + r, start, count);
                    }
                }
            }
        }
    });
    Ok(())
}

/// One row times a B stored by rows.
pub fn prefers_rows<T: Float>(c: &MatMut, _a: &Mat, b: &Mat) -> bool {
    c.rows == 1 && b.elem == T::ELEM && b.cs == 1
}

/// y += a[0] · b[0] + … + a[3] · b[3]
#[inline(always)]
fn add_four<T: Float>(a: [T; 4], [b0, b1, b2, b3]: [&[T]; 4], y: &mut [T]) {
    for ((((y, &b0), &b1), &b2), &b3) in y.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
        *y += a[0] * b0 + a[1] * b1 + (a[2] * b2 + a[3] * b3);
    }
}

simd! {
    /// y += Σ a[k] · b[k], where b[k] are `count` elements from `b + k · stride`; four rows of B at a time.
    unsafe fn add_rows<T: Float>(a: *const T, depth: usize, b: *const T, stride: isize, y: *mut T, count: usize) {
        // SAFETY: the caller gives the addresses; y overlaps neither a nor b.
        unsafe {
            let y = std::slice::from_raw_parts_mut(y, count);
            let row = |k: usize| std::slice::from_raw_parts(b.wrapping_offset(k as isize * stride), count);
            let mut k = 0;
            while k + 4 <= depth {
                let four = [*a.add(k), *a.add(k + 1), *a.add(k + 2), *a.add(k + 3)];
                let rows = [row(k), row(k + 1), row(k + 2), row(k + 3)];
                for from in (0..count).step_by(BLOCK) {
                    let end = if count - from < BLOCK { count } else { from + BLOCK };
                    // Rows are often a page or more apart, where the hardware does not look ahead.
                    for next in k + 4..depth.min(k + 8) {
                        let next = b.wrapping_offset(next as isize * stride);
                        for j in (from..end).step_by(64 / size_of::<T>()) {
                            prefetch(next.wrapping_add(j));
                        }
                    }
                    let parts = [&rows[0][from..end], &rows[1][from..end], &rows[2][from..end], &rows[3][from..end]];
                    add_four(four, parts, &mut y[from..end]);
                }
                k += 4;
            }
            while k < depth {
                let (x, b) = (*a.add(k), row(k));
                for j in 0..count {
                    y[j] += x * b[j];
                }
                k += 1;
            }
        }
    }
}

/// Columns whose next rows are asked for at a time.
const BLOCK: usize = 256;

/// From this many elements on B does not fit the caches, and is best read from one end to the other.
const LARGE_B: usize = 1 << 20;
/// Parts the depth is then cut into.
const PARTS: usize = 8;

pub unsafe fn by_rows<T: Float>(
    c: &MatMut,
    a: &Mat,
    b: &Mat,
    finish: &Finish<T>,
) -> Result<(), String> {
    let (n, depth) = (c.cols, a.cols);
    let parts = if n * depth >= LARGE_B && depth >= 16 * PARTS {
        PARTS
    } else {
        1
    };
    let buffer = Buffer::take::<T>(depth + if parts > 1 { parts * n } else { 0 })?;
    let x = Shared(buffer.get::<T>());
    // SAFETY: A has `depth` columns, and the buffer begins with as many places.
    unsafe { copy_line(a.ptr, a.elem, a.cs, x.get(), depth) };
    let step = columns_per_task(n);
    if parts > 1 {
        // SAFETY: behind x there is room for a partial sum of C per part; each task has its rows of B.
        unsafe {
            let sums = Shared(x.get().add(depth));
            let rows = depth.div_ceil(parts);
            run(parts, n * depth, &|part| {
                let (k, own) = (part * rows, sums.get().add(part * n));
                std::slice::from_raw_parts_mut(own, n).fill(T::ZERO);
                let rows = rows.min(depth.saturating_sub(k));
                for j in (0..n).step_by(4096) {
                    let from = b.at(k, j).cast();
                    add_rows(
                        x.get().add(k).cast_const(),
                        rows,
                        from,
                        b.rs,
                        own.add(j),
                        4096.min(n - j),
                    );
                }
            });
            run(n.div_ceil(step), n * parts, &|task| {
                let (first, count) = (task * step, step.min(n - task * step));
                let total = std::slice::from_raw_parts_mut(sums.get().add(first), count);
                for part in 1..parts {
                    let more = std::slice::from_raw_parts(sums.get().add(part * n + first), count);
                    total
                        .iter_mut()
                        .zip(more)
                        .for_each(|(total, &x)| *total += x);
                }
                finish.row(total.as_ptr(), c, 0, first, count);
            });
        }
    } else {
        run(n.div_ceil(step), n * depth, &|task| {
            let (first, count) = (task * step, step.min(n - task * step));
            let mut sums = [T::ZERO; 1024];
            // SAFETY: columns inside B and C; step is at most 1024.
            unsafe {
                add_rows(
                    x.get().cast_const(),
                    depth,
                    b.at(0, first).cast(),
                    b.rs,
                    sums.as_mut_ptr(),
                    count,
                );
                finish.row(sums.as_ptr(), c, 0, first, count);
            }
        });
    }
    buffer.give_back();
    Ok(())
}

simd! {
    /// y += a · b, wrapping around as PyTorch's integers do.
    fn add_scaled(a: i64, b: &[i64], y: &mut [i64]) {
        for (y, &b) in y.iter_mut().zip(b) {
            *y = y.wrapping_add(a.wrapping_mul(b));
        }
    }
}

/// C (M, N) = A (M, K) · B (K, N) in int64, C contiguous; strides of A and B as (row, column). Wraps on overflow.
///
/// # Safety
/// Every element exists; C overlaps neither operand and is touched by nobody else.
pub unsafe fn gemm_i64(
    (m, n, k): (usize, usize, usize),
    c: *mut i64,
    (a, a_strides): (*const i64, (isize, isize)),
    (b, b_strides): (*const i64, (isize, isize)),
) -> Result<(), String> {
    let packed = if b_strides.1 == 1 || n <= 1 {
        None
    } else {
        Some(Buffer::take::<i64>(n * k)?)
    };
    let at = |i: usize, j: usize, strides: (isize, isize)| {
        i as isize * strides.0 + j as isize * strides.1
    };
    let (rows, row_stride) = match &packed {
        None => (b, b_strides.0),
        Some(buffer) => {
            let to = buffer.get::<i64>();
            for i in 0..k {
                for j in 0..n {
                    // SAFETY: inside B and the buffer.
                    unsafe { *to.add(i * n + j) = *b.offset(at(i, j, b_strides)) };
                }
            }
            (to.cast_const(), n as isize)
        }
    };
    let (c, a, rows) = (Shared(c), Shared(a.cast_mut()), Shared(rows.cast_mut()));
    run(m, m * n * k, &|i| {
        // SAFETY: row i of C belongs to this task; the rows of B are contiguous.
        unsafe {
            let y = std::slice::from_raw_parts_mut(c.get().add(i * n), n);
            y.fill(0);
            for l in 0..k {
                let row = std::slice::from_raw_parts(
                    rows.get().offset(l as isize * row_stride).cast_const(),
                    n,
                );
                add_scaled(*a.get().offset(at(i, l, a_strides)), row, y);
            }
        }
    });
    if let Some(buffer) = packed {
        buffer.give_back();
    }
    Ok(())
}
