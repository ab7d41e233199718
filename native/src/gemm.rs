//! Matrix products on the CPU: C = alpha · A · B + beta · C for any strides, with an optional scale and bias of each
//! column and ReLU.
//! Here: the operands and the choice of a path. Every element of C is summed in an
//! order that depends on the shape only, so results are the same bits for any number of threads.

mod bf16;
pub mod block;
mod copies;
mod finish;
pub mod indirect;
pub mod int8;
mod kernel;
mod lanes;
mod pack;
pub mod pairs;
#[cfg(test)]
mod tests;
mod thin;
mod tiles;

use crate::pool;
use finish::Finish;
use kernel::Ending;
use pack::copy_line;
use std::sync::atomic::{AtomicBool, Ordering};

pub use kernel::{A_STRIDE, DEPTH};
pub use pack::{Buffer, Float, copy_row, copy_rows};
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

/// What is done with a product before it is written: `relu(scale · (alpha · A·B + beta · C) + bias)`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub alpha: f64,
    /// With 0, C is not read.
    pub beta: f64,
    /// Added to every row: a (1, N) matrix.
    pub bias: Option<Mat>,
    /// What every row is multiplied by before the bias is added: a (1, N) matrix, of no use without a bias.
    pub scale: Option<Mat>,
    pub relu: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            alpha: 1.0,
            beta: 0.0,
            bias: None,
            scale: None,
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
    let threads = pool::threads();
    let are_even = count >= 4 * threads || count.is_multiple_of(threads);
    if count <= 1 || work >= SHARED_WORK && !are_even {
        return (0..count).try_for_each(one);
    }
    // Whole products are handed out; inside one, the pool is busy and it runs on its thread alone, so that what it packs
    // stays with its core.
    let failed = Failure::default();
    let body = |range: std::ops::Range<usize>| failed.note(range.into_iter().try_for_each(one));
    pool::parallel_ranges(count, (PARALLEL_WORK / work.max(1)).max(1), &body);
    failed.result()
}

/// From this many multiply-adds on a product is shared among threads: about 10 µs of one core.
const PARALLEL_WORK: usize = 512 * 1024;
/// From this many on it keeps all threads busy by itself.
const SHARED_WORK: usize = 8 * 1024 * 1024;

/// Remembers that some task had no memory.
#[derive(Default)]
pub struct Failure(AtomicBool);

impl Failure {
    pub fn note(&self, result: Result<(), String>) {
        if result.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    pub fn result(&self) -> Result<(), String> {
        if self.0.load(Ordering::Relaxed) {
            Err("No memory to pack matrices".into())
        } else {
            Ok(())
        }
    }
}

fn check_shapes(c: &MatMut, a: &Mat, b: &Mat, options: &Options) -> Result<(), String> {
    let fits = |x: Option<Mat>| x.is_none_or(|x| x.rows == 1 && x.cols == c.cols);
    let columns_fit = fits(options.bias)
        && fits(options.scale)
        && (options.scale.is_none() || options.bias.is_some());
    if a.cols == b.rows && c.rows == a.rows && c.cols == b.cols && columns_fit {
        return Ok(());
    }
    Err(format!(
        "Cannot multiply ({}, {}) by ({}, {}) into ({}, {})",
        a.rows, a.cols, b.rows, b.cols, c.rows, c.cols
    ))
}

/// Runs the tasks, on the pool if they are worth it.
pub fn run(tasks: usize, work: usize, body: &(dyn Fn(usize) + Sync)) {
    if work < PARALLEL_WORK {
        (0..tasks).for_each(body)
    } else {
        pool::parallel(tasks, body)
    }
}

/// A (1, N) matrix as contiguous elements of the compute type.
struct Line<T> {
    ptr: *const T,
    copy: Option<Buffer>,
}

impl<T: Float> Line<T> {
    fn of(x: Mat) -> Result<Line<T>, String> {
        if x.elem == T::ELEM && x.cs == 1 {
            return Ok(Line {
                ptr: x.ptr.cast(),
                copy: None,
            });
        }
        let copy = Buffer::take::<T>(x.cols)?;
        // SAFETY: the matrix has that many elements, and so has the buffer.
        unsafe { copy_line::<T>(x.ptr, x.elem, x.cs, copy.get(), x.cols) };
        Ok(Line {
            ptr: copy.get(),
            copy: Some(copy),
        })
    }
}

unsafe fn multiply<T: Float>(c: MatMut, a: Mat, b: Mat, options: Options) -> Result<(), String> {
    if c.rows == 0 || c.cols == 0 {
        return Ok(());
    }
    let bias = options.bias.map(Line::of).transpose()?;
    let scale = options.scale.map(Line::of).transpose()?;
    let start = |line: &Option<Line<T>>| line.as_ref().map_or(std::ptr::null(), |line| line.ptr);
    let mut finish = Finish {
        alpha: T::from_f64(options.alpha),
        beta: T::from_f64(options.beta),
        ending: Ending {
            scale: start(&scale),
            bias: start(&bias),
            by_row: false,
            relu: options.relu,
        },
    };
    // A column, or a C stored by columns: the transposed product has contiguous rows.
    let (c, a, b) =
        if c.cols == 1 && c.rows > 1 || c.cs != 1 && c.rs == 1 && c.cols > 1 && c.rows > 1 {
            finish.ending.by_row = true;
            (c.transposed(), b.transposed(), a.transposed())
        } else {
            (c, a, b)
        };
    let single = (&finish as &dyn std::any::Any).downcast_ref::<Finish<f32>>();
    // SAFETY: as promised by the caller of `gemm`; transposing changes no element.
    let result = unsafe {
        if a.cols == 0 || options.alpha == 0.0 {
            thin::no_product(&c, &finish)
        } else if let Some(finish) = single
            && bf16::suits(&c, &a, &b)
        {
            bf16::multiply(&c, &a, &b, finish)
        } else if thin::prefers_dots::<T>(&c, &a, &b) {
            thin::by_dots(&c, &a, &b, &finish)
        } else if thin::prefers_rows::<T>(&c, &a, &b) {
            thin::by_rows(&c, &a, &b, &finish)
        } else {
            tiles::by_tiles(c, a, b, &finish)
        }
    };
    [bias, scale]
        .into_iter()
        .flatten()
        .filter_map(|line| line.copy)
        .for_each(Buffer::give_back);
    result
}
