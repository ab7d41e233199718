//! Matrix products on the CPU: C = alpha · A · B + beta · C for any strides, with an optional bias and ReLU.
//! Here: the operands, the choice of a path, blocking and the split among threads. Every element of C is summed in an
//! order that depends on the shape only, so results are the same bits for any number of threads.

mod kernel;
mod pack;
#[cfg(test)]
mod tests;
mod thin;

use crate::math::{f32_to_bf16, f32_to_f16};
use crate::pool;
use kernel::{A_STRIDE, DEPTH, Kernels, Tile};
use pack::{Buffer, Float, copy_line, pack_a, pack_b};
use std::sync::atomic::{AtomicBool, Ordering};

pub use thin::gemm_i64;

/// Element types of a float product. Computed in float64 if C is, else in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    F32,
    F64,
    Bf16,
    F16,
}

impl Elem {
    pub const fn size(self) -> usize {
        match self {
            Elem::F64 => 8,
            Elem::F32 => 4,
            Elem::Bf16 | Elem::F16 => 2,
        }
    }
}

/// A matrix that is read: element (i, j) is `i · rs + j · cs` elements from `ptr`. Strides may be zero or negative.
#[derive(Clone, Copy, Debug)]
pub struct Mat {
    pub ptr: *const u8,
    pub elem: Elem,
    pub rows: usize,
    pub cols: usize,
    pub rs: isize,
    pub cs: isize,
}

// SAFETY: an address; who multiplies answers for it.
unsafe impl Send for Mat {}
// SAFETY: as above.
unsafe impl Sync for Mat {}

impl Mat {
    pub fn transposed(self) -> Mat {
        Mat {
            rows: self.cols,
            cols: self.rows,
            rs: self.cs,
            cs: self.rs,
            ..self
        }
    }

    /// The address of element (i, j).
    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> *const u8 {
        let elements = i as isize * self.rs + j as isize * self.cs;
        self.ptr
            .wrapping_offset(elements * self.elem.size() as isize)
    }

    fn shifted(self, elements: isize) -> Mat {
        Mat {
            ptr: self
                .ptr
                .wrapping_offset(elements * self.elem.size() as isize),
            ..self
        }
    }
}

/// A matrix that is written; its elements must be distinct places.
#[derive(Clone, Copy, Debug)]
pub struct MatMut {
    pub ptr: *mut u8,
    pub elem: Elem,
    pub rows: usize,
    pub cols: usize,
    pub rs: isize,
    pub cs: isize,
}

// SAFETY: an address; who multiplies answers for it.
unsafe impl Send for MatMut {}
// SAFETY: as above.
unsafe impl Sync for MatMut {}

impl MatMut {
    pub fn transposed(self) -> MatMut {
        MatMut {
            rows: self.cols,
            cols: self.rows,
            rs: self.cs,
            cs: self.rs,
            ..self
        }
    }

    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> *mut u8 {
        let elements = i as isize * self.rs + j as isize * self.cs;
        self.ptr
            .wrapping_offset(elements * self.elem.size() as isize)
    }

    fn shifted(self, elements: isize) -> MatMut {
        MatMut {
            ptr: self
                .ptr
                .wrapping_offset(elements * self.elem.size() as isize),
            ..self
        }
    }
}

/// What is done with a product before it is written: `relu(alpha · A·B + beta · C + bias)`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub alpha: f64,
    /// With 0, C is not read.
    pub beta: f64,
    /// Added to every row: a (1, N) matrix.
    pub bias: Option<Mat>,
    pub relu: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            alpha: 1.0,
            beta: 0.0,
            bias: None,
            relu: false,
        }
    }
}

/// C (M, N) = alpha · A (M, K) · B (K, N) + beta · C. Err if the shapes do not agree or there is no memory to pack.
///
/// # Safety
/// Every element of the matrices exists; nobody else writes A, B, or touches C, meanwhile; C overlaps neither.
pub unsafe fn gemm(c: MatMut, a: Mat, b: Mat, options: Options) -> Result<(), String> {
    check_shapes(&c, &a, &b, &options)?;
    // SAFETY: as promised by the caller.
    unsafe {
        if c.elem == Elem::F64 {
            multiply::<f64>(c, a, b, options)
        } else {
            multiply::<f32>(c, a, b, options)
        }
    }
}

/// `count` products of one shape; `offsets(i)` says by how many elements C, A and B of the i-th are shifted.
///
/// # Safety
/// As for [`gemm`], for each product; no two may write the same element.
pub unsafe fn gemm_batched(
    count: usize,
    offsets: &(dyn Fn(usize) -> (isize, isize, isize) + Sync),
    c: MatMut,
    a: Mat,
    b: Mat,
    options: Options,
) -> Result<(), String> {
    check_shapes(&c, &a, &b, &options)?;
    let one = |i: usize| {
        let (oc, oa, ob) = offsets(i);
        // SAFETY: as promised by the caller.
        unsafe { gemm(c.shifted(oc), a.shifted(oa), b.shifted(ob), options) }
    };
    let work = c.rows * c.cols * a.cols.max(1);
    if count <= 1 || work >= SHARED_WORK {
        return (0..count).try_for_each(one);
    }
    // Small ones: whole products are handed out; inside one, the pool is busy and it runs on its thread alone.
    let failed = Failure::default();
    let body = |range: std::ops::Range<usize>| failed.note(range.into_iter().try_for_each(one));
    pool::parallel_ranges(count, (PARALLEL_WORK / work.max(1)).max(1), &body);
    failed.result()
}

/// From this many multiply-adds on a product is shared among threads: about 10 µs of one core.
const PARALLEL_WORK: usize = 512 * 1024;
/// From this many on it keeps all threads busy by itself.
const SHARED_WORK: usize = 8 * 1024 * 1024;
/// Tiles of work a large product is cut into at least, so that threads can even out.
const TASKS: usize = 8;
/// Rows of A that are packed at once: with DEPTH, about a tenth of a second-level cache.
const BLOCK_ROWS: usize = 112;
/// Elements of packed B that are walked for one block of A: a third of a second-level cache in float32.
const BLOCK_B: usize = 96 * 1024;
/// Elements of B that are packed at once.
const CHUNK_B: usize = 8 * 1024 * 1024;

/// Remembers that some task had no memory.
#[derive(Default)]
struct Failure(AtomicBool);

impl Failure {
    fn note(&self, result: Result<(), String>) {
        if result.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn result(&self) -> Result<(), String> {
        if self.0.load(Ordering::Relaxed) {
            Err("No memory to pack matrices".into())
        } else {
            Ok(())
        }
    }
}

fn check_shapes(c: &MatMut, a: &Mat, b: &Mat, options: &Options) -> Result<(), String> {
    let bias_fits = options
        .bias
        .is_none_or(|bias| bias.rows == 1 && bias.cols == c.cols);
    if a.cols == b.rows && c.rows == a.rows && c.cols == b.cols && bias_fits {
        return Ok(());
    }
    Err(format!(
        "Cannot multiply ({}, {}) by ({}, {}) into ({}, {})",
        a.rows, a.cols, b.rows, b.cols, c.rows, c.cols
    ))
}

/// Runs the tasks, on the pool if they are worth it.
fn run(tasks: usize, work: usize, body: &(dyn Fn(usize) + Sync)) {
    if work < PARALLEL_WORK {
        (0..tasks).for_each(body)
    } else {
        pool::parallel(tasks, body)
    }
}

/// Options in the compute type, with the bias at hand and possibly along the rows of a transposed problem.
struct Finish<T> {
    alpha: T,
    beta: T,
    bias: *const T,
    bias_by_row: bool,
    relu: bool,
}

// SAFETY: the bias is read only, and outlives the product.
unsafe impl<T> Sync for Finish<T> {}

impl<T: Float> Finish<T> {
    /// c = relu(alpha · x + beta · c + bias) for `n` elements of row `i` from column `j`; x is contiguous and may be c.
    unsafe fn row(&self, x: *const T, c: &MatMut, i: usize, j: usize, n: usize) {
        // SAFETY: the caller stays inside both.
        unsafe {
            let mut line = [T::ZERO; 64];
            for start in (0..n).step_by(64) {
                let part = 64.min(n - start);
                let line = &mut line[..part];
                line.copy_from_slice(std::slice::from_raw_parts(x.add(start), part));
                let to = c.at(i, j + start);
                if self.alpha != T::ONE {
                    line.iter_mut().for_each(|x| *x = *x * self.alpha);
                }
                if self.beta != T::ZERO {
                    let mut old = [T::ZERO; 64];
                    copy_line(to, c.elem, c.cs, old.as_mut_ptr(), part);
                    line.iter_mut()
                        .zip(&old)
                        .for_each(|(x, &old)| *x += self.beta * old);
                }
                if !self.bias.is_null() && self.bias_by_row {
                    let bias = *self.bias.add(i);
                    line.iter_mut().for_each(|x| *x += bias);
                } else if !self.bias.is_null() {
                    let bias = std::slice::from_raw_parts(self.bias.add(j + start), part);
                    line.iter_mut().zip(bias).for_each(|(x, &bias)| *x += bias);
                }
                if self.relu {
                    // NaN stays.
                    line.iter_mut()
                        .for_each(|x| *x = if *x < T::ZERO { T::ZERO } else { *x });
                }
                write_line(line, to, c.elem, c.cs);
            }
        }
    }

    fn only_scales(&self) -> bool {
        self.bias.is_null() && !self.relu
    }
}

unsafe fn write_line<T: Float>(line: &[T], to: *mut u8, elem: Elem, step: isize) {
    let at = |i: usize| i as isize * step;
    // SAFETY: the caller gives line.len() places.
    unsafe {
        if step == 1 && elem == T::ELEM {
            return std::ptr::copy_nonoverlapping(line.as_ptr(), to.cast(), line.len());
        }
        for (i, x) in line.iter().enumerate() {
            match elem {
                Elem::F32 => *to.cast::<f32>().offset(at(i)) = x.to_f32(),
                Elem::F64 => *to.cast::<f64>().offset(at(i)) = x.to_f64(),
                Elem::Bf16 => *to.cast::<u16>().offset(at(i)) = f32_to_bf16(x.to_f32()),
                Elem::F16 => *to.cast::<u16>().offset(at(i)) = f32_to_f16(x.to_f32()),
            }
        }
    }
}

unsafe fn multiply<T: Float>(c: MatMut, a: Mat, b: Mat, options: Options) -> Result<(), String> {
    if c.rows == 0 || c.cols == 0 {
        return Ok(());
    }
    let mut finish = Finish {
        alpha: T::from_f64(options.alpha),
        beta: T::from_f64(options.beta),
        bias: std::ptr::null(),
        bias_by_row: false,
        relu: options.relu,
    };
    let mut bias_buffer = None;
    if let Some(bias) = options.bias {
        if bias.elem == T::ELEM && bias.cs == 1 {
            finish.bias = bias.ptr.cast();
        } else {
            let buffer = bias_buffer.insert(Buffer::take::<T>(bias.cols)?);
            // SAFETY: the bias has that many elements, and so has the buffer.
            unsafe { copy_line::<T>(bias.ptr, bias.elem, bias.cs, buffer.get(), bias.cols) };
            finish.bias = buffer.get();
        }
    }
    // A column, or a C stored by columns: the transposed product has contiguous rows.
    let (c, a, b) =
        if c.cols == 1 && c.rows > 1 || c.cs != 1 && c.rs == 1 && c.cols > 1 && c.rows > 1 {
            finish.bias_by_row = true;
            (c.transposed(), b.transposed(), a.transposed())
        } else {
            (c, a, b)
        };
    // SAFETY: as promised by the caller of `gemm`; transposing changes no element.
    let result = unsafe {
        if a.cols == 0 || options.alpha == 0.0 {
            thin::no_product(&c, &finish)
        } else if thin::prefers_dots::<T>(&c, &a, &b) {
            thin::by_dots(&c, &a, &b, &finish)
        } else if thin::prefers_rows::<T>(&c, &a, &b) {
            thin::by_rows(&c, &a, &b, &finish)
        } else {
            by_tiles(c, a, b, &finish)
        }
    };
    if let Some(buffer) = bias_buffer {
        buffer.give_back();
    }
    result
}

/// The general path. B is packed in panels two registers wide, unless it can be read in place and packing would not
/// pay; each task packs its rows of A block by block and runs tiles over its part of C.
unsafe fn by_tiles<T: Float>(c: MatMut, a: Mat, b: Mat, finish: &Finish<T>) -> Result<(), String> {
    let kernels = T::kernels();
    let width = 2 * kernels.lanes;
    // Packing reads and writes B once more: not worth it for a few rows.
    let in_place = b.elem == T::ELEM && b.cs == 1 && c.rows <= 4 * kernels.rows;
    let chunk = if in_place {
        c.cols
    } else {
        (CHUNK_B / a.cols / width).max(1) * width
    };
    for first in (0..c.cols).step_by(chunk) {
        let columns = chunk.min(c.cols - first);
        // SAFETY: inside the matrices that the caller vouches for.
        unsafe { by_tiles_chunk(&c, &a, &b, finish, kernels, in_place, first, columns)? };
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
unsafe fn by_tiles_chunk<T: Float>(
    c: &MatMut,
    a: &Mat,
    b: &Mat,
    finish: &Finish<T>,
    kernels: &Kernels<T>,
    in_place: bool,
    first: usize,
    columns: usize,
) -> Result<(), String> {
    let (m, depth) = (a.rows, a.cols);
    let width = 2 * kernels.lanes;
    let panels = columns.div_ceil(width);
    let work = m * columns * depth;

    // In place, only a ragged last panel is packed.
    let packed_from = if in_place { columns / width } else { 0 };
    let packed = Buffer::take::<T>((panels - packed_from) * width * depth)?;
    let to = pool::Shared(packed.get::<T>());
    run(panels - packed_from, panels * width * depth * 8, &|p| {
        let panel = packed_from + p;
        let count = width.min(columns - panel * width);
        // SAFETY: panels are disjoint parts of the buffer, and lie inside B.
        unsafe {
            pack_b(
                b,
                first + panel * width,
                count,
                width,
                to.get().add(p * width * depth),
            )
        };
    });

    let largest = BLOCK_ROWS / kernels.rows * kernels.rows;
    let rows = if work < PARALLEL_WORK {
        m
    } else {
        m.div_ceil(TASKS)
    };
    let rows = (rows.div_ceil(kernels.rows) * kernels.rows).min(largest);
    let row_blocks = m.div_ceil(rows);
    let column_blocks = if work < PARALLEL_WORK {
        1
    } else {
        TASKS.div_ceil(row_blocks)
    };
    let task_panels = panels.div_ceil(column_blocks);
    let column_blocks = panels.div_ceil(task_panels);

    let direct = c.cs == 1 && c.elem == T::ELEM;
    let failed = Failure::default();
    run(row_blocks * column_blocks, work, &|task| {
        let (block, part) = (task / column_blocks, task % column_blocks);
        let row = block * rows;
        let region = Region {
            row,
            rows: rows.min(m - row),
            first_panel: part * task_panels,
            panels: task_panels.min(panels - part * task_panels),
            columns,
        };
        // SAFETY: regions of tasks are disjoint; panel addresses are those packed above, or full ones inside B.
        failed.note(unsafe {
            region.run(c, a, first, finish, kernels, direct, &|panel, k| {
                if panel < packed_from {
                    (b.at(k, first + panel * width).cast::<T>(), b.rs)
                } else {
                    (
                        to.get()
                            .add((panel - packed_from) * width * depth + k * width)
                            .cast_const(),
                        width as isize,
                    )
                }
            })
        });
    });
    packed.give_back();
    failed.result()
}

/// What one task computes: `rows` rows of C, and its columns in `panels` panels.
struct Region {
    row: usize,
    rows: usize,
    first_panel: usize,
    panels: usize,
    /// Of the whole chunk.
    columns: usize,
}

impl Region {
    #[allow(clippy::too_many_arguments)]
    unsafe fn run<T: Float>(
        &self,
        c: &MatMut,
        a: &Mat,
        first: usize,
        finish: &Finish<T>,
        kernels: &Kernels<T>,
        direct: bool,
        panel_at: &dyn Fn(usize, usize) -> (*const T, isize),
    ) -> Result<(), String> {
        let width = 2 * kernels.lanes;
        let depth = a.cols;
        let left = self.first_panel * width;
        let columns = (self.columns - left).min(self.panels * width);
        // Where C is no plain array of T, the region is summed aside.
        let aside = if direct { 0 } else { self.rows * columns };
        let buffer = Buffer::take::<T>(self.rows * A_STRIDE + aside)?;
        let packed_a = buffer.get::<T>();
        // SAFETY: all addresses stay inside C, the buffer, A, or the panel; the level has the kernels' instructions.
        unsafe {
            let (out, out_stride) = if direct {
                (c.at(self.row, first + left).cast::<T>(), c.rs)
            } else {
                (packed_a.add(self.rows * A_STRIDE), columns as isize)
            };
            let group = (BLOCK_B / DEPTH / width).max(1);
            let strips = self.rows.div_ceil(kernels.rows);
            for k in (0..depth).step_by(DEPTH) {
                let block = DEPTH.min(depth - k);
                pack_a(a, self.row, self.rows, k, block, packed_a);
                let (alpha, beta) = match (direct, k) {
                    (true, 0) => (finish.alpha, finish.beta),
                    (true, _) => (finish.alpha, T::ONE),
                    (false, 0) => (T::ONE, T::ZERO),
                    (false, _) => (T::ONE, T::ONE),
                };
                for start in (0..self.panels).step_by(group) {
                    // Strips of nearly the same height: 16 rows are 8 + 8, not 14 + 2.
                    let mut i = 0;
                    for strip in 0..strips {
                        let height = (self.rows - i) / (strips - strip);
                        for panel in start..self.panels.min(start + group) {
                            let count = width.min(columns - panel * width);
                            let (from, stride) = panel_at(self.first_panel + panel, k);
                            let tile = Tile {
                                a: packed_a.add(i * A_STRIDE),
                                b: from,
                                b_stride: stride,
                                depth: block,
                                c: out.offset(i as isize * out_stride).add(panel * width),
                                c_stride: out_stride,
                                columns: count,
                                alpha,
                                beta,
                            };
                            let registers = count.div_ceil(kernels.lanes);
                            kernels.tiles[2 * (height - 1) + registers - 1](&tile, beta == T::ZERO);
                        }
                        i += height;
                    }
                }
            }
            if !direct {
                for i in 0..self.rows {
                    finish.row(out.add(i * columns), c, self.row + i, first + left, columns);
                }
            } else if !finish.only_scales() {
                let last = Finish {
                    alpha: T::ONE,
                    beta: T::ZERO,
                    ..*finish
                };
                for i in 0..self.rows {
                    last.row(
                        out.offset(i as isize * out_stride),
                        c,
                        self.row + i,
                        first + left,
                        columns,
                    );
                }
            }
        }
        buffer.give_back();
        Ok(())
    }
}
