//! Products of operands that are packed already, on the calling thread alone: what fused kernels (attention, recurrent
//! nets) are made of. A rows lie `A_STRIDE` apart in blocks of `DEPTH` columns; B lies in panels two registers wide.

use super::kernel::{A_STRIDE, DEPTH, Tile};
use super::pack::{Float, pack_a, pack_b};
use super::{Elem, Mat};
use crate::dtype::DType;
use crate::instruction::Operand;

/// Columns of B side by side: two registers.
pub fn panel_width<T: Float>() -> usize {
    2 * T::kernels().lanes
}

/// Panels that so many columns take.
pub fn panels<T: Float>(columns: usize) -> usize {
    columns.div_ceil(panel_width::<T>())
}

/// Elements that packed A takes.
pub fn rows_room(rows: usize, depth: usize) -> usize {
    rows * A_STRIDE * depth.div_ceil(DEPTH)
}

/// Elements that packed B takes.
pub fn columns_room<T: Float>(columns: usize, depth: usize) -> usize {
    panels::<T>(columns) * panel_width::<T>() * depth
}

/// A as a product reads it: the next `DEPTH` columns begin `step` elements on.
#[derive(Clone, Copy)]
pub struct Strips<T> {
    pub ptr: *const T,
    pub step: usize,
}

impl<T> Strips<T> {
    /// What [`pack_rows`] wrote of so many rows.
    pub fn packed(ptr: *const T, rows: usize) -> Strips<T> {
        Strips {
            ptr,
            step: rows * A_STRIDE,
        }
    }
}

/// B as a product reads it: the panel `p` begins `p · step` elements on, its rows lie `stride` apart.
#[derive(Clone, Copy)]
pub struct Panels<T> {
    pub ptr: *const T,
    pub step: usize,
    pub stride: usize,
}

impl<T: Float> Panels<T> {
    /// What [`pack_columns`] wrote.
    pub fn packed(ptr: *const T, depth: usize) -> Panels<T> {
        let width = panel_width::<T>();
        Panels {
            ptr,
            step: width * depth,
            stride: width,
        }
    }

    /// A block with rows `A_STRIDE` apart; whole registers past its last column are read, and not used.
    pub fn rows(ptr: *const T) -> Panels<T> {
        Panels {
            ptr,
            step: panel_width::<T>(),
            stride: A_STRIDE,
        }
    }
}

/// The float type of a dtype.
pub fn elem(dtype: DType) -> Option<Elem> {
    match dtype {
        DType::F32 => Some(Elem::F32),
        DType::F64 => Some(Elem::F64),
        DType::F16 => Some(Elem::F16),
        DType::Bf16 => Some(Elem::Bf16),
        _ => None,
    }
}

/// `rows` by `cols` elements of an operand of a float type, from `offset` elements on.
pub fn window(
    o: &Operand,
    offset: isize,
    (rows, cols): (usize, usize),
    (rs, cs): (isize, isize),
) -> Mat {
    Mat {
        ptr: o
            .ptr
            .wrapping_offset(offset * o.dtype.size() as isize)
            .cast_const(),
        elem: elem(o.dtype).unwrap_or(Elem::F32),
        rows,
        cols,
        rs,
        cs,
    }
}

/// Packs a whole matrix as A.
///
/// # Safety
/// The matrix exists; `to` has [`rows_room`].
pub unsafe fn pack_rows<T: Float>(a: &Mat, to: *mut T) {
    for k in (0..a.cols).step_by(DEPTH) {
        for i in (0..a.rows).step_by(DEPTH) {
            let (rows, depth) = (DEPTH.min(a.rows - i), DEPTH.min(a.cols - k));
            // SAFETY: a block of the matrix, and its place in the packed one.
            unsafe {
                pack_a(
                    a,
                    i,
                    rows,
                    k,
                    depth,
                    to.add(k / DEPTH * a.rows * A_STRIDE + i * A_STRIDE),
                )
            };
        }
    }
}

/// Packs a whole matrix as B.
///
/// # Safety
/// The matrix exists; `to` has [`columns_room`].
pub unsafe fn pack_columns<T: Float>(b: &Mat, to: *mut T) {
    let width = panel_width::<T>();
    for j in (0..b.cols).step_by(width) {
        // SAFETY: a panel of the matrix, and its place in the packed one.
        unsafe { pack_b(b, j, width.min(b.cols - j), width, to.add(j * b.rows)) };
    }
}

/// C = alpha · A · B + beta · C; the rows of C lie `c_stride` apart, its columns are adjacent.
///
/// # Safety
/// A and B are packed in these sizes, C exists and overlaps neither.
pub unsafe fn multiply<T: Float>(
    (rows, columns, depth): (usize, usize, usize),
    a: Strips<T>,
    b: Panels<T>,
    (c, c_stride): (*mut T, isize),
    (alpha, beta): (T, T),
) {
    let kernels = T::kernels();
    let width = 2 * kernels.lanes;
    let strips = rows.div_ceil(kernels.rows);
    for k in (0..depth).step_by(DEPTH) {
        let beta = if k == 0 { beta } else { T::ONE };
        for panel in 0..columns.div_ceil(width) {
            let count = width.min(columns - panel * width);
            let registers = count.div_ceil(kernels.lanes);
            let mut i = 0;
            for strip in 0..strips {
                let height = (rows - i) / (strips - strip);
                // SAFETY: as promised by the caller; the level has the kernels' instructions.
                unsafe {
                    let tile = Tile {
                        a: a.ptr.add(k / DEPTH * a.step + i * A_STRIDE),
                        b: b.ptr.add(panel * b.step + k * b.stride),
                        b_stride: b.stride as isize,
                        depth: DEPTH.min(depth - k),
                        c: c.offset(i as isize * c_stride).add(panel * width),
                        c_stride,
                        columns: count,
                        alpha,
                        beta,
                    };
                    kernels.tiles[2 * (height - 1) + registers - 1](&tile, beta == T::ZERO);
                }
                i += height;
            }
        }
    }
}
