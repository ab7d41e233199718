//! Products of bfloat16 matrices with sums in float32: tiles of AMX where the processor has them, else dot products of
//! pairs (`vdpbf16ps`).
//!
//! Both read the same packed operands, in blocks of 32 along the depth, zero where a matrix ends. A comes in strips of 16
//! rows, (⌈M/16⌉, ⌈K/32⌉, 16, 32); B in panels of 32 columns, (⌈N/32⌉, ⌈K/32⌉, 2, 16, 16, 2): two tiles side by side, in
//! which the two elements of a pair along the depth lie together. Dot products take tiles of A in pairs too, as those of
//! an A that is stored by columns are packed fastest.

#[cfg(target_arch = "x86_64")]
mod x86;

use super::copies::Copies;
use super::finish::Finish;
use super::pack::Buffer;
use super::{Elem, Failure, Mat, MatMut, run};
use crate::math::f32_to_bf16;
use crate::pool::Shared;
use crate::simd;

/// Rows of a tile of A, and columns of a tile of B.
pub const TILE: usize = 16;
/// Depth of a tile.
pub const DEEP: usize = 32;
/// Elements of a tile.
pub const AREA: usize = TILE * DEEP;
/// Columns of a panel of B.
pub const WIDTH: usize = 2 * TILE;
/// Rows that one task packs and keeps at hand; by `matmul bfloat16 2048` of the benchmark.
const BLOCK_ROWS: usize = 256;
/// Most tiles along the depth that are multiplied at a time: a panel of them stays in the first-level cache.
const BLOCKS: usize = 8;
/// Blocks of rows, and tasks, at least: threads that begin late or are held up are evened out by the others.
const ROW_TASKS: usize = 8;
const TASKS: usize = 16;

/// Whether [`multiply`] takes it: both operands in bfloat16, more than a vector, and a processor that has the means.
pub fn suits(c: &MatMut, a: &Mat, b: &Mat) -> bool {
    a.elem == Elem::Bf16
        && b.elem == Elem::Bf16
        && c.elem != Elem::F64
        && c.rows > 1
        && c.cols > 1
        && a.cols > 1
        && (simd::has_amx() || simd::has_avx512_bf16())
}

/// What one call of a kernel multiplies: one or two strips of A, `strip` elements apart, with a panel of B.
pub struct Block {
    pub a: *const u16,
    pub in_pairs: bool,
    pub strip: usize,
    pub strips: usize,
    pub b: *const u16,
    /// Along the depth.
    pub blocks: usize,
    /// (16 · strips, 32), rows `stride` apart: set, or added to where it is not the `first` along the depth.
    pub sums: *mut f32,
    pub stride: usize,
    pub first: bool,
}

/// The kernels, and what a thread does before and after it uses them.
#[derive(Clone, Copy)]
pub struct Kernel {
    pub begin: unsafe fn(),
    /// Whether A may be in pairs.
    pub takes_pairs: bool,
    pub block: unsafe fn(&Block),
    pub end: unsafe fn(),
}

pub fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    return if simd::has_amx() { TILES } else { DOTS };
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no kernel for bfloat16")
}

#[cfg(target_arch = "x86_64")]
const TILES: Kernel = Kernel {
    begin: x86::configure,
    takes_pairs: false,
    block: x86::tiles,
    end: x86::release,
};

#[cfg(target_arch = "x86_64")]
const DOTS: Kernel = Kernel {
    begin: nothing,
    takes_pairs: true,
    block: x86::dots,
    end: nothing,
};

#[cfg(target_arch = "x86_64")]
unsafe fn nothing() {}

/// Whether A is packed in pairs: where it is stored by columns, and the kernel takes that.
pub fn takes_pairs(a: &Mat) -> bool {
    a.rs == 1 && a.cs != 1 && kernel().takes_pairs
}

/// C = alpha · A · B + beta · C with its epilogue.
///
/// # Safety
/// As for `gemm`; [`suits`] was asked.
pub unsafe fn multiply(c: &MatMut, a: &Mat, b: &Mat, finish: &Finish<f32>) -> Result<(), String> {
    // A task packs its own rows of A, all share B, and what one core has packed is slow to reach another: A is the
    // greater one.
    if c.cols > c.rows && finish.is_bare() && c.elem != Elem::F16 {
        let (c, a, b) = (c.transposed(), b.transposed(), a.transposed());
        // SAFETY: as promised by the caller; transposing changes no element.
        return unsafe { by_rows(&c, &a, &b, finish) };
    }
    // SAFETY: as above.
    unsafe { by_rows(c, a, b, finish) }
}

unsafe fn by_rows(c: &MatMut, a: &Mat, b: &Mat, finish: &Finish<f32>) -> Result<(), String> {
    let (m, n, blocks) = (c.rows, c.cols, a.cols.div_ceil(DEEP));
    let work = m * n * a.cols / 8;
    let panels = n.div_ceil(WIDTH);
    let panel = blocks * 2 * AREA;
    let copies = Copies::new(m, panels, 2 * panels * panel);
    let shared = if copies.is_some() { 0 } else { panels };
    let packed = Buffer::take::<u16>(shared * panel)?;
    let to = Shared(packed.get::<u16>());
    run(shared, panels * panel, &|p| {
        // SAFETY: panels are disjoint parts of the buffer, and lie inside B.
        unsafe { pack_b(b, p * WIDTH, blocks, to.get().add(p * panel)) };
    });

    let rows = m
        .div_ceil(ROW_TASKS)
        .next_multiple_of(2 * TILE)
        .min(BLOCK_ROWS);
    let row_blocks = m.div_ceil(rows);
    let task_panels = panels.div_ceil(TASKS.div_ceil(row_blocks));
    let column_blocks = panels.div_ceil(task_panels);
    let deep = blocks.div_ceil(blocks.div_ceil(BLOCKS));
    let kernel = kernel();
    let in_pairs = takes_pairs(a);
    let failed = Failure::default();
    run(row_blocks * column_blocks, work, &|task| {
        let (row, first) = (
            task / column_blocks * rows,
            task % column_blocks * task_panels,
        );
        let rows = rows.min(m - row);
        let strips = rows.div_ceil(TILE);
        let strip = blocks * AREA;
        // Sums of one panel stand before the strips of A.
        let sums = strips * TILE * WIDTH;
        let own = copies.as_ref().map(Copies::begin::<u16>).transpose();
        let buffer = Buffer::take::<u16>(2 * sums + strips * strip);
        let (Ok(own), Ok(buffer)) = (own, buffer) else {
            return failed.note(Err(String::new()));
        };
        let packed_b = own.unwrap_or(to.get());
        // SAFETY: the buffer has room for both; regions of tasks are disjoint parts of C.
        unsafe {
            let total = buffer.get::<f32>();
            let packed_a = buffer.get::<u16>().add(2 * sums);
            pack_a(a, row, rows, blocks, in_pairs, packed_a);
            (kernel.begin)();
            for p in first..panels.min(first + task_panels) {
                if let Some(copies) = &copies {
                    copies.pack(p, || {
                        pack_b(b, p * WIDTH, blocks, packed_b.add(p * panel));
                    });
                }
                for k in (0..blocks).step_by(deep) {
                    for s in (0..strips).step_by(2) {
                        (kernel.block)(&Block {
                            a: packed_a.add(s * strip + k * AREA),
                            in_pairs,
                            strip,
                            strips: 2.min(strips - s),
                            b: packed_b.add(p * panel + k * 2 * AREA),
                            blocks: deep.min(blocks - k),
                            sums: total.add(s * TILE * WIDTH),
                            stride: WIDTH,
                            first: k == 0,
                        });
                    }
                }
                let columns = WIDTH.min(n - p * WIDTH);
                write(finish, total, c, (row, rows), (p * WIDTH, columns));
            }
            (kernel.end)();
        }
        buffer.give_back();
    });
    packed.give_back();
    failed.result()
}

/// Sums (rows, WIDTH) to C, at once where they only need rounding or a bias.
unsafe fn write(
    finish: &Finish<f32>,
    sums: *mut f32,
    c: &MatMut,
    (row, rows): (usize, usize),
    (column, columns): (usize, usize),
) {
    // SAFETY: inside C and the sums.
    unsafe {
        if c.rs == 1 && c.cs != 1 && finish.is_bare() && c.elem != Elem::F16 {
            return write_turned(sums, c, (row, rows), (column, columns));
        }
        let ending = finish.ending;
        let is_plain = finish.alpha == 1.0
            && finish.beta == 0.0
            && c.cs == 1
            && ending.scale.is_null()
            && (ending.bias.is_null() || !ending.by_row);
        if !is_plain || columns < WIDTH {
            for i in 0..rows {
                finish.row(sums.add(i * WIDTH), c, row + i, column, columns);
            }
            return;
        }
        let zeros = [0f32; WIDTH];
        let bias = if ending.bias.is_null() {
            zeros.as_ptr()
        } else {
            ending.bias.add(column)
        };
        let least = if ending.relu { 0.0 } else { f32::NEG_INFINITY };
        for i in 0..rows {
            let (from, to) = (sums.add(i * WIDTH).cast(), c.at(row + i, column));
            match c.elem {
                Elem::F32 => write_f32(from, bias.cast(), least, to.cast()),
                Elem::Bf16 => write_bf16(from, bias.cast(), least, to.cast()),
                _ => finish.row(from.cast(), c, row + i, column, columns),
            }
        }
    }
}

/// The same to a C that is stored by columns.
unsafe fn write_turned(
    sums: *const f32,
    c: &MatMut,
    (row, rows): (usize, usize),
    (column, columns): (usize, usize),
) {
    let mut turned = [0f32; AREA / 2];
    for i in (0..rows).step_by(TILE) {
        for j in (0..columns).step_by(TILE) {
            let (high, wide) = (TILE.min(rows - i), TILE.min(columns - j));
            // SAFETY: inside C and the sums, which have whole tiles.
            unsafe {
                let from = sums.add(i * WIDTH + j).cast();
                transpose_pairs(from, 2 * WIDTH as isize, turned.as_mut_ptr().cast());
                for (l, line) in turned.chunks_exact(TILE).enumerate().take(wide) {
                    let to = c.at(row + i, column + j + l);
                    if c.elem == Elem::F32 {
                        std::ptr::copy_nonoverlapping(line.as_ptr(), to.cast(), high);
                    } else {
                        round(line.as_ptr().cast(), to.cast(), high);
                    }
                }
            }
        }
    }
}

simd! {
    unsafe fn round(line: *const [f32; TILE], to: *mut u16, count: usize) {
        // SAFETY: the caller gives the line, and room for the first elements of it.
        unsafe {
            let all: [u16; TILE] = core::array::from_fn(|i| f32_to_bf16((*line)[i]));
            if count == TILE {
                to.cast::<[u16; TILE]>().write_unaligned(all);
            } else {
                std::ptr::copy_nonoverlapping(all.as_ptr(), to, count);
            }
        }
    }
}

simd! {
    unsafe fn write_f32(sums: *const [f32; WIDTH], bias: *const [f32; WIDTH], least: f32, to: *mut f32) {
        // SAFETY: the caller gives WIDTH elements of each.
        unsafe {
            for j in 0..WIDTH {
                let x = (*sums)[j] + (*bias)[j];
                // NaN stays.
                *to.add(j) = if x < least { least } else { x };
            }
        }
    }
}

simd! {
    unsafe fn write_bf16(sums: *const [f32; WIDTH], bias: *const [f32; WIDTH], least: f32, to: *mut u16) {
        // SAFETY: the caller gives WIDTH elements of each.
        unsafe {
            for j in 0..WIDTH {
                let x = (*sums)[j] + (*bias)[j];
                *to.add(j) = f32_to_bf16(if x < least { least } else { x });
            }
        }
    }
}

/// Element (i, j), or zero outside.
unsafe fn element(x: &Mat, i: usize, j: usize) -> u16 {
    if i < x.rows && j < x.cols {
        // SAFETY: inside the matrix.
        unsafe { x.at(i, j).cast::<u16>().read_unaligned() }
    } else {
        0
    }
}

/// How much of a block (16, 32) from (row, column) on lies inside the matrix.
fn part(x: &Mat, row: usize, column: usize) -> (usize, usize) {
    let left = |size: usize, at: usize| size.saturating_sub(at);
    (TILE.min(left(x.rows, row)), DEEP.min(left(x.cols, column)))
}

/// A block (16, 32) of `x` from (row, column) on to `to`, zero outside the matrix. `x` may be B transposed: a tile of B in
/// pairs is the transpose of this one in pairs.
unsafe fn block_of_rows(x: &Mat, row: usize, column: usize, to: *mut u16) {
    let is_whole = row + TILE <= x.rows && column + DEEP <= x.cols;
    // SAFETY: inside the matrix where it is whole; room for a tile.
    unsafe {
        if is_whole && x.cs == 1 {
            for i in 0..TILE {
                std::ptr::copy_nonoverlapping(x.at(row + i, column).cast(), to.add(i * DEEP), DEEP);
            }
        } else if x.cs == 1 {
            let (rows, columns) = part(x, row, column);
            to.write_bytes(0, AREA);
            for i in 0..rows {
                let from = x.at(row + i, column).cast();
                std::ptr::copy_nonoverlapping(from, to.add(i * DEEP), columns);
            }
        } else {
            for i in 0..TILE {
                for j in 0..DEEP {
                    *to.add(i * DEEP + j) = element(x, row + i, column + j);
                }
            }
        }
    }
}

/// Pairs of a block (16, 32) of `x`, transposed: (16 pairs, 16 rows, 2).
unsafe fn block_of_pairs(x: &Mat, row: usize, column: usize, to: *mut u16) {
    let is_whole = row + TILE <= x.rows && column + DEEP <= x.cols;
    // SAFETY: as above.
    unsafe {
        if is_whole && x.rs == 1 {
            interleave(x.at(row, column).cast(), x.cs, to, None);
        } else if x.rs == 1 {
            let (rows, columns) = part(x, row, column);
            let mut lines = [0u16; AREA];
            for j in 0..columns {
                let from = x.at(row, column + j).cast();
                std::ptr::copy_nonoverlapping(from, lines.as_mut_ptr().add(j * TILE), rows);
            }
            interleave(lines.as_ptr(), TILE as isize, to, None);
        } else if is_whole && x.cs == 1 {
            transpose_pairs(x.at(row, column).cast(), x.rs, to);
        } else {
            let mut rows = [0u16; AREA];
            block_of_rows(x, row, column, rows.as_mut_ptr());
            transpose_pairs(rows.as_ptr(), DEEP as isize, to);
        }
    }
}

/// `rows` rows of A, its whole depth, in strips; in pairs only if [`takes_pairs`].
///
/// # Safety
/// The rows exist, and there is room for the strips.
pub unsafe fn pack_a(
    a: &Mat,
    row: usize,
    rows: usize,
    blocks: usize,
    in_pairs: bool,
    to: *mut u16,
) {
    let a = &Mat {
        rows: row + rows,
        ..*a
    };
    let strips = rows.div_ceil(TILE);
    // As A lies: strips of columns that stand apart are parts of the same lines.
    if a.cs == 1 {
        for s in 0..strips {
            for k in 0..blocks {
                // SAFETY: the caller gives room for the strips; outside the matrix nothing is read; so below.
                unsafe {
                    let to = to.add((s * blocks + k) * AREA);
                    block_of_rows(a, row + s * TILE, k * DEEP, to);
                }
            }
        }
        return;
    }
    for k in 0..blocks {
        let mut s = 0;
        while s < strips {
            let (row, column) = (row + s * TILE, k * DEEP);
            unsafe {
                let to = to.add((s * blocks + k) * AREA);
                let next = to.wrapping_add(blocks * AREA);
                if in_pairs && row + 2 * TILE <= a.rows && column + DEEP <= a.cols {
                    interleave(a.at(row, column).cast(), a.cs, to, Some(next));
                    s += 1;
                } else if in_pairs {
                    block_of_pairs(a, row, column, to);
                } else if a.rs == 1 {
                    let mut pairs = [0u16; AREA];
                    block_of_pairs(a, row, column, pairs.as_mut_ptr());
                    transpose_pairs(pairs.as_ptr(), DEEP as isize, to);
                } else {
                    block_of_rows(a, row, column, to);
                }
            }
            s += 1;
        }
    }
}

/// Columns `column..column + WIDTH` of B, its whole depth, as a panel.
///
/// # Safety
/// The columns exist, and there is room for the panel.
pub unsafe fn pack_b(b: &Mat, column: usize, blocks: usize, to: *mut u16) {
    let columns = b.transposed();
    for k in 0..blocks {
        if b.cs == 1 && column + WIDTH <= b.cols && (k + 1) * DEEP <= b.rows {
            // SAFETY: whole tiles of B, and room for them.
            unsafe {
                let rows = b.at(k * DEEP, column).cast();
                let to = to.add(2 * k * AREA);
                interleave(rows, b.rs, to, Some(to.add(AREA)));
            }
            continue;
        }
        for half in 0..2 {
            // SAFETY: the caller gives room for the panel; outside the matrix nothing is read.
            unsafe {
                let to = to.add((2 * k + half) * AREA);
                block_of_pairs(&columns, column + half * TILE, k * DEEP, to);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{interleave, transpose_pairs};
#[cfg(not(target_arch = "x86_64"))]
unsafe fn interleave(_: *const u16, _: isize, _: *mut u16, _: Option<*mut u16>) {
    unreachable!("no kernel for bfloat16")
}
#[cfg(not(target_arch = "x86_64"))]
unsafe fn transpose_pairs(_: *const u16, _: isize, _: *mut u16) {
    unreachable!("no kernel for bfloat16")
}

#[cfg(target_arch = "x86_64")]
pub use x86::{configure, release};

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn both_kernels_give_plain_sums() {
        let _turn = simd::turn();
        let kernels = [(simd::has_avx512_bf16(), DOTS), (simd::has_amx(), TILES)];
        // Eighths up to 4: every product and sum is exact.
        let number = |i: usize| ((i * 37 + i / 11) % 64) as f32 / 8.0 - 4.0;
        for (strips, blocks) in [(1, 1), (2, 1), (1, 3), (2, 5)] {
            let a: Vec<f32> = (0..strips * blocks * AREA).map(number).collect();
            let b: Vec<f32> = (0..blocks * 2 * AREA).map(|i| number(i + 5)).collect();
            let at_a = |i: usize, k: usize| {
                a[(i / TILE * blocks + k / DEEP) * AREA + i % TILE * DEEP + k % DEEP]
            };
            let at_b = |k: usize, j: usize| {
                let tile = k / DEEP * 2 + j / TILE;
                b[tile * AREA + k % DEEP / 2 * DEEP + j % TILE * 2 + k % 2]
            };
            let plain: Vec<f32> = (0..strips * TILE * WIDTH)
                .map(|i| {
                    (0..blocks * DEEP)
                        .map(|k| at_a(i / WIDTH, k) * at_b(k, i % WIDTH))
                        .sum()
                })
                .collect();
            let round = |x: &[f32]| x.iter().map(|&x| f32_to_bf16(x)).collect::<Vec<u16>>();
            let (a, b) = (round(&a), round(&b));
            let mut turned = a.clone();
            for (tile, to) in a.chunks(AREA).zip(turned.chunks_mut(AREA)) {
                for i in 0..AREA {
                    to[i % DEEP / 2 * DEEP + i / DEEP * 2 + i % 2] = tile[i];
                }
            }
            let cases = [(true, false), (false, false), (true, true), (false, true)];
            for (_, kernel) in kernels.iter().filter(|(is_there, _)| *is_there) {
                for (first, in_pairs) in cases {
                    if in_pairs && !kernel.takes_pairs {
                        continue;
                    }
                    let mut sums = vec![1.0f32; plain.len()];
                    // SAFETY: packed operands of these sizes, and room for the sums.
                    unsafe {
                        (kernel.begin)();
                        (kernel.block)(&Block {
                            a: if in_pairs { &turned } else { &a }.as_ptr(),
                            in_pairs,
                            strip: blocks * AREA,
                            strips,
                            b: b.as_ptr(),
                            blocks,
                            sums: sums.as_mut_ptr(),
                            stride: WIDTH,
                            first,
                        });
                        (kernel.end)();
                    }
                    let before = if first { 0.0 } else { 1.0 };
                    assert!(
                        sums.iter()
                            .zip(&plain)
                            .all(|(sum, plain)| *sum == plain + before)
                    );
                }
            }
        }
    }
}
