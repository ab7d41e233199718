//! Buffers for packed operands, and the packing: any strides and float type in, kernel layout in the compute type out.

use super::kernel::{A_COLUMN, A_STRIDE, DEPTH, Kernels, kernels_f32, kernels_f64};
use super::{Elem, Mat};
use crate::math::{bf16_to_f32, bf16_to_f32_slice, f16_to_f32, f16_to_f32_slice};
use crate::simd;
use crate::simd::{Level, level};
use crate::stream::prefetch_bytes;
use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::{Add, AddAssign, Mul, Sub};

/// Memory for `T`s, aligned to cache lines; goes back to its thread when dropped.
pub struct Buffer {
    ptr: *mut u8,
    bytes: usize,
}

/// Buffers above this size are given back to the system after use.
const KEEP_BYTES: usize = 64 << 20;
const ALIGN: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

impl Buffer {
    /// Room for `count` elements, contents undefined.
    pub fn take<T>(count: usize) -> Result<Buffer, String> {
        let bytes = count.checked_mul(size_of::<T>()).map(|n| n.max(ALIGN));
        let bytes = bytes.ok_or_else(|| "Matrix product is too large".to_string())?;
        let free = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            let fit = free.iter().position(|buffer| buffer.bytes >= bytes);
            // None fits: let one too small go, so that a thread does not collect them.
            if fit.is_none() && free.len() >= 4 {
                drop(free.pop())
            }
            fit.map(|i| free.swap_remove(i))
        });
        if let Ok(Some(buffer)) = free {
            return Ok(buffer);
        }
        let layout = Layout::from_size_align(bytes, ALIGN).map_err(|e| e.to_string())?;
        // SAFETY: the size is not zero.
        let ptr = unsafe { alloc(layout) };
        if ptr.is_null() {
            return Err(format!("No memory for {bytes} bytes of packed matrices"));
        }
        Ok(Buffer { ptr, bytes })
    }

    pub fn get<T>(&self) -> *mut T {
        self.ptr.cast()
    }

    /// Hands the memory back for the next product on this thread.
    pub fn give_back(self) {
        if self.bytes <= KEEP_BYTES {
            // While the thread ends there is no list any more; then the buffer is just dropped.
            let _ = FREE.try_with(|free| free.borrow_mut().push(self));
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `take` with this size and alignment.
        unsafe {
            dealloc(
                self.ptr,
                Layout::from_size_align_unchecked(self.bytes, ALIGN),
            )
        }
    }
}

/// A type products are computed in.
pub trait Float:
    Copy
    + Send
    + Sync
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + AddAssign
    + 'static
{
    const ELEM: Elem;
    const ZERO: Self;
    const ONE: Self;
    fn from_f64(x: f64) -> Self;
    fn from_f32(x: f32) -> Self;
    fn to_f32(self) -> f32;
    fn to_f64(self) -> f64;
    fn kernels() -> &'static Kernels<Self>;
    /// `to[i · stride + j] = lines[j][i]` for i below `count` and all eight j.
    ///
    /// # Safety
    /// Each line has `count` elements, `to` room for the result.
    unsafe fn transpose(lines: &[*const Self; 8], count: usize, to: *mut Self, stride: usize);
    /// # Safety
    /// `from` has `count` elements of 2 bytes, `to` room for as many.
    unsafe fn widen(from: *const u16, bf16: bool, to: *mut Self, count: usize);
}

impl Float for f32 {
    const ELEM: Elem = Elem::F32;
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn from_f32(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn kernels() -> &'static Kernels<f32> {
        kernels_f32(level())
    }
    unsafe fn transpose(lines: &[*const f32; 8], count: usize, to: *mut f32, stride: usize) {
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if level() >= Level::Avx2 {
            done = count / 8 * 8;
            // SAFETY: the level has AVX2; the caller gives the addresses.
            unsafe { transpose_avx2(lines, done, to, stride) };
        }
        // SAFETY: as promised by the caller.
        unsafe { transpose_plain(lines, done, count, to, stride) };
    }
    unsafe fn widen(from: *const u16, bf16: bool, to: *mut f32, count: usize) {
        // SAFETY: as promised by the caller.
        let (from, to) = unsafe {
            (
                std::slice::from_raw_parts(from, count),
                std::slice::from_raw_parts_mut(to, count),
            )
        };
        if bf16 {
            bf16_to_f32_slice(from, to)
        } else {
            f16_to_f32_slice(from, to)
        }
    }
}

impl Float for f64 {
    const ELEM: Elem = Elem::F64;
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn from_f32(x: f32) -> f64 {
        f64::from(x)
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    fn kernels() -> &'static Kernels<f64> {
        kernels_f64(level())
    }
    unsafe fn transpose(lines: &[*const f64; 8], count: usize, to: *mut f64, stride: usize) {
        // SAFETY: as promised by the caller.
        unsafe { transpose_plain(lines, 0, count, to, stride) };
    }
    unsafe fn widen(from: *const u16, bf16: bool, to: *mut f64, count: usize) {
        for i in 0..count {
            // SAFETY: as promised by the caller.
            unsafe {
                let x = *from.add(i);
                *to.add(i) = f64::from(if bf16 { bf16_to_f32(x) } else { f16_to_f32(x) });
            }
        }
    }
}

unsafe fn transpose_plain<T: Copy>(
    lines: &[*const T; 8],
    first: usize,
    count: usize,
    to: *mut T,
    stride: usize,
) {
    for i in first..count {
        for (j, line) in lines.iter().enumerate() {
            // SAFETY: as promised to `Float::transpose`.
            unsafe { *to.add(i * stride + j) = *line.add(i) };
        }
    }
}

/// Blocks of 8 × 8: three rounds of interleaving pairs, quadruples and halves.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn transpose_avx2(lines: &[*const f32; 8], count: usize, to: *mut f32, stride: usize) {
    use std::arch::x86_64::*;
    for i in (0..count).step_by(8) {
        // SAFETY: as promised to `Float::transpose`; i + 8 <= count.
        unsafe {
            let x: [__m256; 8] = std::array::from_fn(|j| _mm256_loadu_ps(lines[j].add(i)));
            let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (p0, p1) = pair(x[0], x[1]);
            let (p2, p3) = pair(x[2], x[3]);
            let (p4, p5) = pair(x[4], x[5]);
            let (p6, p7) = pair(x[6], x[7]);
            let quad = |a, b| {
                (
                    _mm256_shuffle_ps::<0x44>(a, b),
                    _mm256_shuffle_ps::<0xee>(a, b),
                )
            };
            let (q0, q1) = quad(p0, p2);
            let (q2, q3) = quad(p1, p3);
            let (q4, q5) = quad(p4, p6);
            let (q6, q7) = quad(p5, p7);
            for (r, (a, b)) in [(q0, q4), (q1, q5), (q2, q6), (q3, q7)]
                .into_iter()
                .enumerate()
            {
                _mm256_storeu_ps(
                    to.add((i + r) * stride),
                    _mm256_permute2f128_ps::<0x20>(a, b),
                );
                _mm256_storeu_ps(
                    to.add((i + r + 4) * stride),
                    _mm256_permute2f128_ps::<0x31>(a, b),
                );
            }
        }
    }
}

/// N elements.
#[inline(always)]
unsafe fn copy_part<const N: usize, T: Copy>(from: *const T, to: *mut T) {
    // SAFETY: the caller gives the elements.
    unsafe {
        let part = from.cast::<[T; N]>().read_unaligned();
        to.cast::<[T; N]>().write_unaligned(part);
    }
}

/// `width` elements in parts, the last of which may reach back over the one before.
///
/// # Safety
/// The elements exist, and what is read is not written.
#[inline(always)]
pub unsafe fn copy_row<T: Copy>(from: *const T, to: *mut T, width: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut j = 0;
        while j + 16 <= width {
            copy_part::<16, T>(from.add(j), to.add(j));
            j += 16;
        }
        let back = |n: usize| (from.add(width - n), to.add(width - n));
        match width {
            _ if j == width => {}
            16.. => {
                let (from, to) = back(16);
                copy_part::<16, T>(from, to);
            }
            8.. => {
                copy_part::<8, T>(from, to);
                let (from, to) = back(8);
                copy_part::<8, T>(from, to);
            }
            4.. => {
                copy_part::<4, T>(from, to);
                let (from, to) = back(4);
                copy_part::<4, T>(from, to);
            }
            _ => {
                for j in 0..width {
                    *to.add(j) = *from.add(j);
                }
            }
        }
    }
}

simd! {
    /// `to[i · to_step + j] = from[i · step + j]` for i below `rows` and j below `width`: short rows, which a call for each
    /// would take long for.
    ///
    /// # Safety
    /// All those elements exist, and no other thread's are written.
    pub unsafe fn copy_rows<T: Copy>(from: *const T, step: isize, to: *mut T, to_step: isize, rows: usize, width: usize) {
        for i in 0..rows as isize {
            // SAFETY: the caller gives the elements.
            unsafe { copy_row(from.wrapping_offset(i * step), to.wrapping_offset(i * to_step), width) };
        }
    }
}

/// `to[i] = from[i · step]` for i below `count`, converted.
///
/// # Safety
/// All those elements exist, and `to` has room.
pub unsafe fn copy_line<T: Float>(
    from: *const u8,
    elem: Elem,
    step: isize,
    to: *mut T,
    count: usize,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        if step == 1 {
            match elem {
                e if e == T::ELEM => {
                    return std::ptr::copy_nonoverlapping(from.cast::<T>(), to, count);
                }
                Elem::Bf16 | Elem::F16 => {
                    return T::widen(from.cast(), elem == Elem::Bf16, to, count);
                }
                _ => {}
            }
        }
        let at = |i: usize| i as isize * step;
        match elem {
            Elem::F32 => {
                (0..count).for_each(|i| *to.add(i) = T::from_f32(*from.cast::<f32>().offset(at(i))))
            }
            Elem::F64 => {
                (0..count).for_each(|i| *to.add(i) = T::from_f64(*from.cast::<f64>().offset(at(i))))
            }
            Elem::Bf16 => {
                (0..count).for_each(|i| {
                    *to.add(i) = T::from_f32(bf16_to_f32(*from.cast::<u16>().offset(at(i))))
                });
            }
            Elem::F16 => {
                (0..count).for_each(|i| {
                    *to.add(i) = T::from_f32(f16_to_f32(*from.cast::<u16>().offset(at(i))))
                });
            }
        }
    }
}

/// Eight lines of up to `DEPTH` elements where the source cannot be read in place. Not cleared: that would cost more
/// than packing a small matrix.
struct Staging<T>(MaybeUninit<[[T; DEPTH]; 8]>);

impl<T: Float> Staging<T> {
    fn new() -> Self {
        Staging(MaybeUninit::uninit())
    }

    /// The lines from (row, column) on, adjacent along columns, as pointers to `count` contiguous elements each;
    /// those past `used` repeat the first.
    unsafe fn lines(
        &mut self,
        x: &Mat,
        row: usize,
        column: usize,
        used: usize,
        count: usize,
    ) -> [*const T; 8] {
        let own = self.0.as_mut_ptr().cast::<T>();
        let mut lines = [own.cast_const(); 8];
        for (j, line) in lines.iter_mut().enumerate().take(used) {
            // SAFETY: the caller stays inside the matrix; count is at most DEPTH.
            unsafe {
                let from = x.at(row, column + j);
                if x.elem == T::ELEM && x.rs == 1 {
                    *line = from.cast();
                } else {
                    let to = own.add(j * DEPTH);
                    copy_line(from, x.elem, x.rs, to, count);
                    *line = to;
                }
            }
        }
        let first = lines[0];
        lines[used..].fill(first);
        lines
    }
}

/// Rows `row..row + rows` and depth `k..k + depth` of A to `to[i · A_STRIDE + l]`. At most `DEPTH` rows.
///
/// # Safety
/// The block lies inside `a`; `to` has room for `rows · A_STRIDE` elements.
pub unsafe fn pack_a<T: Float>(
    a: &Mat,
    row: usize,
    rows: usize,
    k: usize,
    depth: usize,
    to: *mut T,
) {
    // SAFETY: as promised by the caller; a store of eight past `depth` ends inside A_STRIDE.
    unsafe {
        if a.rs == 1 && a.cs != 1 && rows > 1 {
            let mut staging = Staging::new();
            for l in (0..depth).step_by(8) {
                let lines = staging.lines(a, row, k + l, 8.min(depth - l), rows);
                T::transpose(&lines, rows, to.add(l), A_STRIDE);
            }
        } else if a.elem == T::ELEM && a.cs == 1 {
            copy_rows::<T>(
                a.at(row, k).cast(),
                a.rs,
                to,
                A_STRIDE as isize,
                rows,
                depth,
            );
        } else {
            for i in 0..rows {
                copy_line(a.at(row + i, k), a.elem, a.cs, to.add(i * A_STRIDE), depth);
            }
        }
    }
}

/// The same of an A of `T`s that is stored by columns, in strips of these heights: of each, column l to
/// `to[l · A_COLUMN]`, and `depth · A_COLUMN` elements on the next one.
///
/// # Safety
/// As for [`pack_a`]; no strip is higher than `A_COLUMN`, and `to` has room for them.
pub unsafe fn pack_turned<T: Float>(
    a: &Mat,
    row: usize,
    heights: impl Iterator<Item = usize> + Clone,
    k: usize,
    depth: usize,
    to: *mut T,
) {
    // Columns may lie in a page each: so many at a time are read for all strips.
    for l in (0..depth).step_by(ROWS_AT_ONCE) {
        let columns = ROWS_AT_ONCE.min(depth - l);
        let (mut row, mut to) = (row, to.wrapping_add(l * A_COLUMN));
        for height in heights.clone() {
            // SAFETY: as promised by the caller.
            unsafe {
                let from = a.at(row, k + l).cast();
                copy_rows::<T>(from, a.cs, to, A_COLUMN as isize, columns, height);
            }
            row += height;
            to = to.wrapping_add(depth * A_COLUMN);
        }
    }
}

/// Rows of B that are packed for all panels before the next ones are.
const ROWS_AT_ONCE: usize = 32;

/// Columns `column..column + columns` of B, its whole depth, in panels of `width` columns, one behind the other: to
/// `to[k · width + j]` of each; columns that the last has too many are zero. More than one panel needs B's rows dense.
///
/// # Safety
/// The columns lie inside `b`; `width` is a multiple of 8 or `b` is read along rows; `to` has `b.rows · width` places
/// for each panel.
pub unsafe fn pack_b<T: Float>(b: &Mat, column: usize, columns: usize, width: usize, to: *mut T) {
    // SAFETY: as promised by the caller.
    unsafe {
        if b.rs == 1 && b.cs != 1 && width.is_multiple_of(8) {
            let mut staging = Staging::new();
            for k in (0..b.rows).step_by(DEPTH) {
                let count = DEPTH.min(b.rows - k);
                for j in (0..columns).step_by(8) {
                    let lines = staging.lines(b, k, column + j, 8.min(columns - j), count);
                    T::transpose(&lines, count, to.add(k * width + j), width);
                }
            }
        } else if b.elem == T::ELEM && b.cs == 1 {
            // Rows may lie in a page each: so many at a time are read for all panels.
            for k in (0..b.rows).step_by(ROWS_AT_ONCE) {
                let rows = ROWS_AT_ONCE.min(b.rows - k);
                let ahead = ROWS_AT_ONCE.min(b.rows - k - rows);
                for row in k + rows..k + rows + ahead {
                    prefetch_bytes(b.at(row, column), columns * size_of::<T>());
                }
                for j in (0..columns).step_by(width) {
                    let from = b.at(k, column + j).cast();
                    let (to, count) = (to.add(j * b.rows + k * width), width.min(columns - j));
                    copy_rows::<T>(from, b.rs, to, width as isize, rows, count);
                }
            }
        } else {
            for k in 0..b.rows {
                for j in (0..columns).step_by(width) {
                    let to = to.add(j * b.rows + k * width);
                    let count = width.min(columns - j);
                    copy_line(b.at(k, column + j), b.elem, b.cs, to, count);
                }
            }
        }
        let ragged = columns % width;
        if ragged > 0 {
            let to = to.add((columns - ragged) * b.rows);
            for k in 0..b.rows {
                for j in ragged..width {
                    *to.add(k * width + j) = T::ZERO;
                }
            }
        }
    }
}
