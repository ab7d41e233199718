//! Products of which one factor is never stored as a whole, as the patches of a convolution: its rows overlap in memory,
//! and are read there, or packed piece by piece where they are used. The other factor is packed once for many products.

use super::kernel::{A_STRIDE, DEPTH, Tile};
use super::pack::{Buffer, Float, pack_a, pack_b};
use super::{Mat, PARALLEL_WORK};
use crate::pool::{self, Shared};

/// Columns and rows of C that are best done at a time: what they need stays in the second-level cache.
pub const COLUMNS: usize = 384;
pub const ROWS: usize = 112;

fn too_large() -> String {
    "Matrix product is too large".into()
}

/// A (M, K) in blocks of `DEPTH` columns one behind the other, each (M, A_STRIDE).
pub struct Left<T> {
    buffer: Buffer,
    pub rows: usize,
    pub depth: usize,
    kind: core::marker::PhantomData<T>,
}

// SAFETY: read only after it was made.
unsafe impl<T: Float> Sync for Left<T> {}

impl<T: Float> Left<T> {
    /// # Safety
    /// Every element of the matrix exists.
    pub unsafe fn new(a: &Mat) -> Result<Left<T>, String> {
        let blocks = a.cols.div_ceil(DEPTH);
        let size = blocks
            .checked_mul(A_STRIDE)
            .and_then(|n| n.checked_mul(a.rows));
        let buffer = Buffer::take::<T>(size.ok_or_else(too_large)?)?;
        let to = Shared(buffer.get::<T>());
        let pieces = a.rows.div_ceil(DEPTH);
        let pack = |task: usize| {
            let (block, row) = (task / pieces, task % pieces * DEPTH);
            let (k, rows) = (block * DEPTH, DEPTH.min(a.rows - row));
            // SAFETY: inside the matrix and this task's part of the buffer.
            unsafe {
                let to = to.get().add((block * a.rows + row) * A_STRIDE);
                pack_a(a, row, rows, k, DEPTH.min(a.cols - k), to);
            }
        };
        pool::parallel(pieces * blocks, &pack);
        Ok(Left {
            buffer,
            rows: a.rows,
            depth: a.cols,
            kind: core::marker::PhantomData,
        })
    }

    pub fn give_back(self) {
        self.buffer.give_back();
    }
}

/// Elements past the last that a product of `columns` may read.
pub const SLACK: usize = 32;

/// `c[i · stride + j] = Σ a[i, k] b[offsets[k] + j]` for the rows `first..first + rows` of A, i counted from `first`, and
/// j below `columns`. A has some depth, and an offset for each of its columns.
///
/// # Safety
/// The rows of A exist; b has `SLACK` elements more than are used; c has room, and nobody else touches it meanwhile.
#[allow(clippy::too_many_arguments)]
pub unsafe fn by_offsets<T: Float>(
    a: &Left<T>,
    first: usize,
    rows: usize,
    b: *const T,
    offsets: &[usize],
    columns: usize,
    c: *mut T,
    stride: usize,
) {
    let kernels = T::kernels();
    let width = 2 * kernels.lanes;
    let strips = rows.div_ceil(kernels.rows);
    for k in (0..a.depth).step_by(DEPTH) {
        let offsets = &offsets[k..a.depth.min(k + DEPTH)];
        let beta = if k > 0 { T::ONE } else { T::ZERO };
        let mut i = 0;
        for strip in 0..strips {
            let height = (rows - i) / (strips - strip);
            for j in (0..columns).step_by(width) {
                let count = width.min(columns - j);
                // SAFETY: as promised by the caller; the level has the kernels' instructions.
                unsafe {
                    let row = k / DEPTH * a.rows + first + i;
                    let tile = Tile {
                        a: a.buffer.get::<T>().add(row * A_STRIDE).cast_const(),
                        b: b.add(j),
                        b_stride: 0,
                        depth: offsets.len(),
                        c: c.add(i * stride + j),
                        c_stride: stride as isize,
                        columns: count,
                        alpha: T::ONE,
                        beta,
                    };
                    let registers = count.div_ceil(kernels.lanes);
                    let kernel = kernels.tiles_at[2 * (height - 1) + registers - 1];
                    kernel(&tile, offsets.as_ptr(), beta == T::ZERO);
                }
            }
            i += height;
        }
    }
}

/// B (K, N) in panels of full depth.
pub struct Right<T> {
    buffer: Buffer,
    depth: usize,
    columns: usize,
    kind: core::marker::PhantomData<T>,
}

// SAFETY: read only while it is shared.
unsafe impl<T: Float> Sync for Right<T> {}

impl<T: Float> Right<T> {
    /// Room for matrices of this size.
    pub fn new(depth: usize, columns: usize) -> Result<Right<T>, String> {
        let width = 2 * T::kernels().lanes;
        let size = columns
            .div_ceil(width)
            .checked_mul(width)
            .and_then(|n| n.checked_mul(depth));
        Ok(Right {
            buffer: Buffer::take::<T>(size.ok_or_else(too_large)?)?,
            depth,
            columns,
            kind: core::marker::PhantomData,
        })
    }

    /// Takes the elements of a matrix of this size.
    ///
    /// # Safety
    /// Every element of the matrix exists.
    pub unsafe fn pack(&mut self, b: &Mat) {
        let width = 2 * T::kernels().lanes;
        let to = Shared(self.buffer.get::<T>());
        let depth = self.depth;
        let pack = |p: usize| {
            let count = width.min(b.cols - p * width);
            // SAFETY: panels are disjoint parts of the buffer.
            unsafe { pack_b(b, p * width, count, width, to.get().add(p * width * depth)) };
        };
        let panels = self.columns.div_ceil(width);
        if self.columns * depth < PARALLEL_WORK / 16 {
            (0..panels).for_each(pack);
        } else {
            pool::parallel(panels, &pack);
        }
    }

    pub fn give_back(self) {
        self.buffer.give_back();
    }
}

/// `c[i · N + j] += Σ a[i, k] b[k, j]` for some rows; `fill(k, depth, i, to)` writes `a[i, k + l]` to `to[l]`,
/// and may write up to 16 elements more.
///
/// # Safety
/// c has room for `rows · N` elements that nobody else touches meanwhile.
pub unsafe fn by_strips<T: Float>(
    b: &Right<T>,
    rows: usize,
    c: *mut T,
    fill: &dyn Fn(usize, usize, usize, *mut T),
) -> Result<(), String> {
    let kernels = T::kernels();
    let width = 2 * kernels.lanes;
    let panels = b.columns.div_ceil(width);
    let strips = rows.div_ceil(kernels.rows);
    let buffer = Buffer::take::<T>(rows * A_STRIDE)?;
    let packed = buffer.get::<T>();
    // SAFETY: as promised by the caller; rows lie inside the buffer, panels inside B.
    unsafe {
        for k in (0..b.depth).step_by(DEPTH) {
            let depth = DEPTH.min(b.depth - k);
            for i in 0..rows {
                fill(k, depth, i, packed.add(i * A_STRIDE));
            }
            let mut i = 0;
            for strip in 0..strips {
                let height = (rows - i) / (strips - strip);
                for p in 0..panels {
                    let count = width.min(b.columns - p * width);
                    let tile = Tile {
                        a: packed.add(i * A_STRIDE).cast_const(),
                        b: b.buffer
                            .get::<T>()
                            .add((p * b.depth + k) * width)
                            .cast_const(),
                        b_stride: width as isize,
                        depth,
                        c: c.add(i * b.columns + p * width),
                        c_stride: b.columns as isize,
                        columns: count,
                        alpha: T::ONE,
                        beta: T::ONE,
                    };
                    let registers = count.div_ceil(kernels.lanes);
                    kernels.tiles[2 * (height - 1) + registers - 1](&tile, false);
                }
                i += height;
            }
        }
    }
    buffer.give_back();
    Ok(())
}
