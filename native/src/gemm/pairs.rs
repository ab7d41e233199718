//! Products of bfloat16 operands that are packed already, with sums in float32, on the calling thread alone: what
//! block.rs is for other types. Operands lie as bf16.rs says, and are read in whole tiles: so are the sums.

use super::Mat;
use super::bf16::{AREA, Block, DEEP, TILE, WIDTH, kernel, pack_a, pack_b, takes_pairs};
use crate::math::f32_to_bf16;
use crate::simd;

/// Whether the processor has the means.
pub fn are_there() -> bool {
    simd::has_avx512_bf16()
}

/// Rows and columns that sums take.
pub fn padded(rows: usize, columns: usize) -> (usize, usize) {
    (rows.next_multiple_of(TILE), columns.next_multiple_of(WIDTH))
}

/// Elements that packed A takes.
pub fn rows_room(rows: usize, depth: usize) -> usize {
    rows.div_ceil(TILE) * depth.div_ceil(DEEP) * AREA
}

/// Elements that packed B takes.
pub fn columns_room(columns: usize, depth: usize) -> usize {
    columns.div_ceil(WIDTH) * depth.div_ceil(DEEP) * 2 * AREA
}

/// What a thread does before it multiplies. Until [`end`] it must not use AMX for anything else.
///
/// # Safety
/// The processor has the means; so below.
pub unsafe fn begin() {
    unsafe { (kernel().begin)() }
}

/// # Safety
/// As above.
pub unsafe fn end() {
    unsafe { (kernel().end)() }
}

/// A as a product reads it.
#[derive(Clone, Copy)]
pub struct Strips {
    pub ptr: *const u16,
    pub in_pairs: bool,
}

/// Packs a whole matrix of bfloat16 as A.
///
/// # Safety
/// The matrix exists; `to` has [`rows_room`].
pub unsafe fn pack_rows(a: &Mat, to: *mut u16) -> Strips {
    let in_pairs = takes_pairs(a);
    // SAFETY: as promised by the caller.
    unsafe { pack_a(a, 0, a.rows, a.cols.div_ceil(DEEP), in_pairs, to) };
    Strips { ptr: to, in_pairs }
}

/// Packs a whole matrix of bfloat16 as B.
///
/// # Safety
/// The matrix exists; `to` has [`columns_room`].
pub unsafe fn pack_columns(b: &Mat, to: *mut u16) {
    let blocks = b.rows.div_ceil(DEEP);
    for p in 0..b.cols.div_ceil(WIDTH) {
        // SAFETY: a panel of the matrix, and its place in the packed one.
        unsafe { pack_b(b, p * WIDTH, blocks, to.add(p * blocks * 2 * AREA)) };
    }
}

/// Sums, with rows `stride` apart.
#[derive(Clone, Copy)]
pub struct Sums {
    pub at: *mut f32,
    pub stride: usize,
}

/// Rounds (rows, columns) to bfloat16 and packs them as A.
///
/// # Safety
/// Every element of the rows in whole tiles may be read; `to` has [`rows_room`].
pub unsafe fn round_rows(from: Sums, (rows, columns): (usize, usize), to: *mut u16) -> Strips {
    let blocks = columns.div_ceil(DEEP);
    for i in 0..rows {
        for k in 0..blocks {
            // SAFETY: the caller's promise.
            unsafe {
                let from = from.at.add(i * from.stride + k * DEEP);
                let to = to.add((i / TILE * blocks + k) * AREA + i % TILE * DEEP);
                round_line(from, to);
                let inside = DEEP.min(columns - k * DEEP);
                to.add(inside).write_bytes(0, DEEP - inside);
            }
        }
    }
    Strips {
        ptr: to,
        in_pairs: false,
    }
}

/// Rounds (rows, columns) to bfloat16 and packs them as B: pairs are of two rows.
///
/// # Safety
/// Every element of the columns in whole tiles may be read; `to` has [`columns_room`].
pub unsafe fn round_columns(from: Sums, (rows, columns): (usize, usize), to: *mut u16) {
    let blocks = rows.div_ceil(DEEP);
    for p in 0..columns.div_ceil(WIDTH) {
        for k in 0..blocks {
            for pair in 0..TILE {
                // SAFETY: the caller's promise.
                unsafe {
                    let to = to.add((p * blocks + k) * 2 * AREA + pair * DEEP);
                    let row = k * DEEP + 2 * pair;
                    let low = from.at.add(row * from.stride + p * WIDTH);
                    for half in 0..2 {
                        let to = to.add(half * AREA);
                        let low = low.add(half * TILE);
                        if row + 1 < rows {
                            round_pairs(low, low.add(from.stride), to);
                        } else {
                            to.write_bytes(0, DEEP);
                            for j in 0..if row < rows { TILE } else { 0 } {
                                *to.add(2 * j) = f32_to_bf16(*low.add(j));
                            }
                        }
                        let left = columns.saturating_sub(p * WIDTH + half * TILE);
                        let inside = 2 * left.min(TILE);
                        to.add(inside).write_bytes(0, DEEP - inside);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{round_line, round_pairs};
#[cfg(not(target_arch = "x86_64"))]
unsafe fn round_line(_: *const f32, _: *mut u16) {
    unreachable!("no kernel for bfloat16")
}
#[cfg(not(target_arch = "x86_64"))]
unsafe fn round_pairs(_: *const f32, _: *const f32, _: *mut u16) {
    unreachable!("no kernel for bfloat16")
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    /// 32 elements.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub unsafe fn round_line(from: *const f32, to: *mut u16) {
        // SAFETY: the caller gives the elements, and room for them.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16)));
            let both = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to.cast(), both);
        }
    }

    /// 16 elements of a row and of the next one, side by side.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub unsafe fn round_pairs(low: *const f32, high: *const f32, to: *mut u16) {
        // SAFETY: as above.
        unsafe {
            let round = |from| {
                let half =
                    transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(from)));
                _mm512_cvtepu16_epi32(half)
            };
            let both = _mm512_or_si512(round(low), _mm512_slli_epi32::<16>(round(high)));
            _mm512_storeu_si512(to.cast(), both);
        }
    }
}

/// B as a product reads it.
#[derive(Clone, Copy)]
pub struct Panels {
    pub ptr: *const u16,
    /// Its depth, of which a product may use the beginning.
    pub depth: usize,
}

/// C = A · B, or C += A · B where it is not the `first`; C in whole tiles. Without depth nothing is written.
///
/// # Safety
/// A and B are packed in these sizes, C exists and overlaps neither; between [`begin`] and [`end`].
pub unsafe fn multiply(
    (rows, columns, depth): (usize, usize, usize),
    a: Strips,
    b: Panels,
    c: Sums,
    first: bool,
) {
    let kernel = kernel();
    let (strips, blocks) = (rows.div_ceil(TILE), depth.div_ceil(DEEP));
    if blocks == 0 {
        return;
    }
    let panel = b.depth.div_ceil(DEEP) * 2 * AREA;
    for p in 0..columns.div_ceil(WIDTH) {
        for s in (0..strips).step_by(2) {
            // SAFETY: as promised by the caller.
            unsafe {
                (kernel.block)(&Block {
                    a: a.ptr.add(s * blocks * AREA),
                    in_pairs: a.in_pairs,
                    strip: blocks * AREA,
                    strips: 2.min(strips - s),
                    b: b.ptr.add(p * panel),
                    blocks,
                    sums: c.at.add(s * TILE * c.stride + p * WIDTH),
                    stride: c.stride,
                    first,
                });
            }
        }
    }
}
