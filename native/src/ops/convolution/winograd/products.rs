//! Results from tiles and windows: those of a block of tiles after the other, each from products that stay in the
//! second-level cache.

use super::transforms::{load_windows, store_tiles};
use super::{Geometry, Grid, Kind, LANES, PLACES, Place, Planes, WIDEST, memory};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::gemm::block::{self, Panels, Strips, panel_width, rows_room};
use crate::gemm::{A_STRIDE, Buffer, DEPTH, Float};
use crate::memory::Scratch;
use crate::ops::dense::{self, Input};
use crate::pool::{self, Shared};
use crate::simd;
use crate::simd::Level;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

/// Tasks at least, so that threads can even out, and rows of a result that one has at least.
const TASKS: usize = 8;
const ROWS: usize = 64;
/// Bytes of a task's transformed tiles and of their products, about: both stay in the second-level cache.
const TILES_BYTES: usize = 512 << 10;
const PRODUCTS_BYTES: usize = 256 << 10;

/// Windows of 3 × 3 from one channel to another: so many elements apart, turned around or not.
struct Windows<T> {
    ptr: Shared<T>,
    group: usize,
    /// Between channels of the result, and between those that are summed over.
    row: usize,
    depth: usize,
    turned: bool,
}

/// Channels of a group of the result, and its planes.
struct Target<'a, T> {
    ptr: Shared<T>,
    rows: usize,
    size: [usize; 2],
    bias: Option<&'a Input<T>>,
}

/// What is done together.
struct Cut {
    /// Runs of tiles.
    runs: usize,
    /// Elements between the rows of matrices with their tiles as columns.
    stride: usize,
    /// Rows of the result in a task, and whose products are made together.
    part: usize,
    block: usize,
}

/// Whether it was done: false where a result is not finite.
pub fn forward<T: Float + Number>(
    g: &Geometry,
    y: *mut T,
    x: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome<bool> {
    let from = Planes {
        ptr: Shared(x.cast_mut()),
        kind: Kind::Tiles,
        groups: g.groups,
        channels: g.ins,
        size: [g.input[1], g.input[2]],
        pad: [g.padding[1], g.padding[2]],
    };
    let windows = Windows {
        ptr: Shared(w.cast_mut()),
        group: g.outs * g.ins * 9,
        row: g.ins * 9,
        depth: 9,
        turned: false,
    };
    let to = Target {
        ptr: Shared(y),
        rows: g.outs,
        size: [g.output[1], g.output[2]],
        bias,
    };
    run(g.batch, &from, &windows, &to)
}

/// The same for gx from g (as y): a convolution with the windows turned around.
pub fn input_grad<T: Float + Number>(
    g: &Geometry,
    gx: *mut T,
    y: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome<bool> {
    let from = Planes {
        ptr: Shared(y.cast_mut()),
        kind: Kind::Tiles,
        groups: g.groups,
        channels: g.outs,
        size: [g.output[1], g.output[2]],
        pad: [2 - g.padding[1], 2 - g.padding[2]],
    };
    let windows = Windows {
        ptr: Shared(w.cast_mut()),
        group: g.outs * g.ins * 9,
        row: 9,
        depth: g.ins * 9,
        turned: true,
    };
    let to = Target {
        ptr: Shared(gx),
        rows: g.ins,
        size: [g.input[1], g.input[2]],
        bias,
    };
    run(g.batch, &from, &windows, &to)
}

impl Cut {
    fn new<T: Float>(grid: &Grid, groups: usize, rows: usize, depth: usize) -> Cut {
        let tiles = TILES_BYTES / (PLACES * depth * size_of::<T>());
        let tiles = tiles.clamp(panel_width::<T>(), WIDEST);
        let most = (tiles / grid.side).clamp(1, grid.runs);
        // All tasks about the same.
        let runs = grid.runs.div_ceil(grid.runs.div_ceil(most));
        let tasks = groups * grid.runs.div_ceil(runs);
        let part = rows.div_ceil(TASKS.div_ceil(tasks).min(rows.div_ceil(ROWS)));
        // An odd number of cache lines, so that rows do not share cache sets.
        let line = 64 / size_of::<T>();
        let stride = ((runs * grid.side).div_ceil(line) | 1) * line;
        let kernel = T::kernels().rows;
        let most = PRODUCTS_BYTES / (PLACES * stride * size_of::<T>());
        let most = (most / kernel).max(1) * kernel;
        Cut {
            runs,
            stride,
            part,
            block: part.div_ceil(part.div_ceil(most)),
        }
    }

    /// Elements of a matrix with so many rows.
    fn room(&self, rows: usize) -> usize {
        rows * self.stride + LANES
    }
}

fn run<T: Float + Number>(
    batch: usize,
    from: &Planes<T>,
    windows: &Windows<T>,
    to: &Target<T>,
) -> Outcome<bool> {
    let grid = Grid::new(batch, to.size);
    let (groups, rows, depth) = (from.groups, to.rows, from.channels);
    let cut = Cut::new::<T>(&grid, groups, rows, depth);
    let room = rows_room(rows, depth) + LANES;
    let weights = Scratch::new::<T>(groups * PLACES * room)?;
    let weights = Shared(weights.as_ptr::<T>());
    windows.transform(groups, rows, depth, weights, room);
    let (blocks, parts) = (grid.runs.div_ceil(cut.runs), rows.div_ceil(cut.part));
    let work = PLACES * cut.runs * grid.side * cut.part;
    let good = AtomicBool::new(true);
    let task = |task: usize| {
        let (group, rest) = (task / (blocks * parts), task % (blocks * parts));
        let (first, part) = (rest / parts * cut.runs, rest % parts * cut.part);
        let runs = first..grid.runs.min(first + cut.runs);
        let (room_of_tiles, room_of_products) = (cut.room(depth), cut.room(cut.block));
        let tiles = Buffer::take::<T>(PLACES * room_of_tiles).map_err(memory)?;
        let products = Buffer::take::<T>(PLACES * room_of_products).map_err(memory)?;
        // SAFETY: the planes of this group; the task's own results and buffers.
        unsafe {
            let steps = (cut.stride, room_of_tiles);
            from.transform(&grid, (group, 0..depth), runs.clone(), tiles.get(), steps)?;
            for row in (part..rows.min(part + cut.part)).step_by(cut.block) {
                let count = cut.block.min(rows.min(part + cut.part) - row);
                for place in 0..PLACES {
                    let a = weights.get().add((group * PLACES + place) * room);
                    let b = tiles.get::<T>().add(place * room_of_tiles);
                    let c = products.get::<T>().add(place * room_of_products);
                    let a = Strips {
                        ptr: a.add(row * A_STRIDE).cast_const(),
                        step: rows * A_STRIDE,
                    };
                    let b = Panels {
                        ptr: b.cast_const(),
                        step: panel_width::<T>(),
                        stride: cut.stride,
                    };
                    let size = (count, runs.len() * grid.side, depth);
                    block::multiply(size, a, b, (c, cut.stride as isize), (T::ONE, T::ZERO));
                }
                for i in 0..count {
                    let channel = group * rows + row + i;
                    let from = products.get::<T>().add(i * cut.stride).cast_const();
                    if !to.store(
                        &grid,
                        groups * rows,
                        channel,
                        runs.clone(),
                        from,
                        room_of_products,
                    ) {
                        good.store(false, Ordering::Relaxed);
                    }
                }
            }
        }
        tiles.give_back();
        products.give_back();
        Ok(())
    };
    dense::each(
        groups * blocks * parts,
        work.saturating_mul(depth) / 8,
        &task,
    )?;
    Ok(good.into_inner())
}

impl<T: Float + Number> Windows<T> {
    /// For each group and place a matrix (rows, depth), packed as the left factor of a product, `room` elements apart.
    fn transform(&self, groups: usize, rows: usize, depth: usize, to: Shared<T>, room: usize) {
        let parts = depth.div_ceil(LANES);
        let grain = (dense::GRAIN / (rows * LANES * 9)).max(1);
        pool::parallel_ranges(groups * parts, grain, &|range| {
            for i in range {
                let (group, k) = (i / parts, i % parts * LANES);
                // SAFETY: windows of the weight, and columns of this task's.
                unsafe {
                    let to = to.get().add(group * PLACES * room);
                    let to = to.add(k / DEPTH * rows * A_STRIDE + k % DEPTH);
                    let from = self.ptr.get().add(group * self.group + k * self.depth);
                    let steps = (self.row, self.depth);
                    let size = (rows, LANES.min(depth - k));
                    load_windows(from.cast_const(), steps, size, self.turned, to, room);
                }
            }
        });
    }
}

impl<T: Float + Number> Target<'_, T> {
    /// Writes what one of `channels` has in some runs from its products, matrices `step` apart. Whether all is finite.
    unsafe fn store(
        &self,
        grid: &Grid,
        channels: usize,
        channel: usize,
        runs: Range<usize>,
        from: *const T,
        step: usize,
    ) -> bool {
        let start = self.bias.map_or(T::ZERO, |bias| bias.all()[channel]);
        let mut good = true;
        for (i, run) in runs.enumerate() {
            let Place { image, row, column } = grid.place(run);
            // SAFETY: the caller gives the products, and the results are its own.
            unsafe {
                let line = (image * channels + channel) * self.size[0] + 2 * row;
                let to = self.ptr.get().add(line * self.size[1] + 2 * column);
                let below = (2 * row + 1 < self.size[0]).then_some(self.size[1]);
                let tiles = grid.side.min(grid.wide - column);
                let columns = (self.size[1] - 2 * column).min(2 * tiles);
                let from = from.add(i * grid.side);
                good &= if simd::level() == Level::Avx512 {
                    store_tiles::<16, T>(from, step, tiles, to, below, columns, start)
                } else {
                    store_tiles::<8, T>(from, step, tiles, to, below, columns, start)
                };
            }
        }
        good
    }
}
