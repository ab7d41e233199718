//! The general product: packing, blocking for the caches, the split into tasks, and the loops over tiles.

use super::copies::Copies;
use super::finish::Finish;
use super::kernel::{A_COLUMN, A_STRIDE, DEPTH, Kernels, Tile};
use super::pack::{Buffer, Float, pack_a, pack_b, pack_turned};
use super::{Failure, Mat, MatMut, PARALLEL_WORK, run};
use crate::pool;

/// Tasks a large product is cut into at least, so that threads can even out.
const TASKS: usize = 8;
/// Multiply-adds that are worth a task.
const TASK_WORK: usize = 1024 * 1024;
/// Panels that are packed by one task from rows of B.
const PANELS_AT_ONCE: usize = 4;
/// Multiply-adds in whose time one element is packed, where threads share it.
const PACK_WORK: usize = 32;
/// Rows of A that are packed at once: with DEPTH, a quarter of a second-level cache. B comes from the third level, or
/// from memory, once for each block.
const BLOCK_ROWS: usize = 224;
/// Rows for which B is walked at least, where tasks can be cut along columns instead; and the panels of B for which A is
/// packed at least.
const LEAST_ROWS: usize = 56;
const LEAST_PANELS: usize = 4;
/// Panels of one task at most: its part of C, which each block of the depth reads and writes again, then stays in the
/// second-level cache.
const MOST_PANELS: usize = 24;
/// Elements of packed B that are walked for one block of A: a third of a second-level cache in float32.
const BLOCK_B: usize = 96 * 1024;
/// Elements of a B that is read in place for a block of rows.
const SMALL_B: usize = 64 * 1024;
/// Elements of B that are packed at once.
const CHUNK_B: usize = 8 * 1024 * 1024;

/// The general path. B is packed in panels two registers wide, unless it can be read in place and packing would not
/// pay; each task packs its rows of A block by block and runs tiles over its part of C.
pub unsafe fn by_tiles<T: Float>(
    c: MatMut,
    a: Mat,
    b: Mat,
    finish: &Finish<T>,
) -> Result<(), String> {
    let kernels = T::kernels();
    let width = 2 * kernels.lanes;
    // Of two matrices that are stored along the depth's other side, tasks pack parts of the greater one for themselves.
    let by_columns = a.rs == 1 && a.cs != 1 && b.cs == 1 && c.cols > c.rows;
    let (c, a, b) = if by_columns && finish.is_bare() && c.elem == T::ELEM && a.cols >= DEPTH {
        (c.transposed(), b.transposed(), a.transposed())
    } else {
        (c, a, b)
    };
    // Packing reads and writes B once more: not worth it for a few rows. And what one core has packed is slow to reach
    // another, which costs a small product half of its speed on two threads.
    let few = c.rows <= 4 * kernels.rows || c.rows <= BLOCK_ROWS && b.rows * b.cols <= SMALL_B;
    let in_place = b.elem == T::ELEM && b.cs == 1 && few;
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
    let groups = (panels - packed_from).div_ceil(PANELS_AT_ONCE);
    let bytes = (panels - packed_from) * width * depth * size_of::<T>();
    let copies = Copies::new(m, groups * depth.div_ceil(DEPTH), bytes);
    let shared = if copies.is_some() { 0 } else { bytes };
    let packed = Buffer::take::<u8>(shared)?;
    let to = pool::Shared(packed.get::<T>());
    // Rows of B that lie in many pages are read a few panels wide.
    let at_once = if b.cs == 1 { PANELS_AT_ONCE } else { 1 };
    let work_to_pack = panels * width * depth * PACK_WORK;
    let packing = if copies.is_some() {
        0
    } else {
        (panels - packed_from).div_ceil(at_once)
    };
    run(packing, work_to_pack, &|p| {
        let p = p * at_once;
        let column = (packed_from + p) * width;
        let count = (at_once * width).min(columns - column);
        // SAFETY: panels are disjoint parts of the buffer, and lie inside B.
        unsafe {
            pack_b(
                b,
                first + column,
                count,
                width,
                to.get().add(p * width * depth),
            )
        };
    });

    let (row_blocks, column_blocks) = blocks(m, panels, work);
    let task_panels = panels.div_ceil(column_blocks);
    let column_blocks = panels.div_ceil(task_panels);

    let direct = c.cs == 1 && c.elem == T::ELEM;
    let failed = Failure::default();
    run(row_blocks * column_blocks, work, &|task| {
        let (block, part) = (task / column_blocks, task % column_blocks);
        // Blocks of nearly the same height: their number is even, and two threads have the same to do.
        let row = block * m / row_blocks;
        let region = Region {
            row,
            rows: (block + 1) * m / row_blocks - row,
            first_panel: part * task_panels,
            panels: task_panels.min(panels - part * task_panels),
            columns,
        };
        let own = match copies.as_ref().map(Copies::begin::<T>).transpose() {
            Ok(own) => own,
            Err(message) => return failed.note(Err(message)),
        };
        // SAFETY: regions of tasks are disjoint; panel addresses are those packed above or here, or full ones inside B.
        failed.note(unsafe {
            region.run(c, a, first, finish, kernels, direct, &|panel, k| {
                if panel < packed_from {
                    return (b.at(k, first + panel * width).cast::<T>(), b.rs);
                }
                let panel = panel - packed_from;
                let from = own.unwrap_or(to.get());
                if let Some(copies) = &copies {
                    let group = panel / PANELS_AT_ONCE;
                    copies.pack(k / DEPTH * groups + group, || {
                        let slice = Mat {
                            ptr: b.at(k, 0),
                            rows: DEPTH.min(depth - k),
                            ..*b
                        };
                        let begin = group * PANELS_AT_ONCE;
                        for p in begin..(panels - packed_from).min(begin + PANELS_AT_ONCE) {
                            let column = (packed_from + p) * width;
                            let count = width.min(columns - column);
                            let to = from.add(p * width * depth + k * width);
                            pack_b(&slice, first + column, count, width, to);
                        }
                    });
                }
                let at = from.add(panel * width * depth + k * width);
                (at.cast_const(), width as isize)
            })
        });
    });
    packed.give_back();
    failed.result()
}

/// Into how many blocks of rows and of columns a product of `m` rows is cut; by its shape only.
fn blocks(m: usize, panels: usize, work: usize) -> (usize, usize) {
    let least = m.div_ceil(BLOCK_ROWS);
    if work < PARALLEL_WORK {
        return (least, 1);
    }
    let tasks = (work / TASK_WORK).clamp(2, TASKS);
    let rows = least.max(tasks.min(m / LEAST_ROWS)).max(1);
    let columns = tasks.div_ceil(rows).min(panels / LEAST_PANELS);
    let columns = columns.max(panels.div_ceil(MOST_PANELS));
    if (rows * columns).is_multiple_of(2) || m < 2 {
        (rows, columns)
    } else {
        (rows + 1, columns)
    }
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
        let strips = self.rows.div_ceil(kernels.rows);
        // Strips of nearly the same height: 16 rows are 8 + 8, not 14 + 2.
        let heights = (0..strips).scan(0, |done, strip| {
            let height = (self.rows - *done) / (strips - strip);
            *done += height;
            Some(height)
        });
        let turned = a.rs == 1 && a.cs != 1 && a.elem == T::ELEM;
        let room = if turned {
            strips * DEPTH * A_COLUMN
        } else {
            self.rows * A_STRIDE
        };
        let buffer = Buffer::take::<T>(room + aside)?;
        let packed_a = buffer.get::<T>();
        let tiles = if turned {
            kernels.turned
        } else {
            kernels.tiles
        };
        // SAFETY: all addresses stay inside C, the buffer, A, or the panel; the level has the kernels' instructions.
        unsafe {
            let (out, out_stride) = if direct {
                (c.at(self.row, first + left).cast::<T>(), c.rs)
            } else {
                (packed_a.add(room), columns as isize)
            };
            let group = (BLOCK_B / DEPTH / width).max(1);
            for k in (0..depth).step_by(DEPTH) {
                let block = DEPTH.min(depth - k);
                if turned {
                    pack_turned(a, self.row, heights.clone(), k, block, packed_a);
                } else {
                    pack_a(a, self.row, self.rows, k, block, packed_a);
                }
                let (alpha, beta) = match (direct, k) {
                    (true, 0) => (finish.alpha, finish.beta),
                    (true, _) => (finish.alpha, T::ONE),
                    (false, 0) => (T::ONE, T::ZERO),
                    (false, _) => (T::ONE, T::ONE),
                };
                let ends = direct && k + block == depth && !finish.ending.is_none();
                for start in (0..self.panels).step_by(group) {
                    let mut i = 0;
                    for (strip, height) in heights.clone().enumerate() {
                        let from_a = packed_a.add(if turned {
                            strip * block * A_COLUMN
                        } else {
                            i * A_STRIDE
                        });
                        for panel in start..self.panels.min(start + group) {
                            let count = width.min(columns - panel * width);
                            let (from, stride) = panel_at(self.first_panel + panel, k);
                            let tile = Tile {
                                a: from_a,
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
                            tiles[2 * (height - 1) + registers - 1](&tile, beta == T::ZERO);
                            if ends {
                                let column = first + left + panel * width;
                                let ending = finish.ending_at(self.row + i, column);
                                (kernels.end)(&tile, height, &ending);
                            }
                        }
                        i += height;
                    }
                }
            }
            if !direct {
                let stored_by_columns =
                    c.rs == 1 && c.cs > 0 && c.elem == T::ELEM && finish.is_bare();
                let eights = if stored_by_columns {
                    self.rows / 8 * 8
                } else {
                    0
                };
                for i in (0..eights).step_by(8) {
                    let lines = std::array::from_fn(|l| out.add((i + l) * columns).cast_const());
                    let to = c.at(self.row + i, first + left).cast();
                    T::transpose(&lines, columns, to, c.cs as usize);
                }
                for i in eights..self.rows {
                    finish.row(out.add(i * columns), c, self.row + i, first + left, columns);
                }
            }
        }
        buffer.give_back();
        Ok(())
    }
}
