//! The gradient of the windows: where four results and the tile that they came from are transformed alike, their products,
//! summed over tiles, are that of the transformed window.

use super::transforms::store_windows;
use super::{Geometry, Grid, Kind, LANES, PLACES, Planes, memory};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::gemm::block::{self, Panels, Strips, panel_width};
use crate::gemm::{A_STRIDE, Buffer, DEPTH, Float};
use crate::memory::Scratch;
use crate::ops::dense;
use crate::pool::{self, Shared};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

/// Channels that are transformed, and rows of a sum, in one task.
const CHANNELS: usize = 8;
const ROWS: usize = 128;
/// Bytes of factors that all threads make before they multiply them, about.
const BYTES: usize = 4 << 20;

/// The factors of a block of tiles, no more than a kernel takes at a time: for each place the results (outs, tiles) as a
/// left one, then for each place the tiles (tiles, ins) as a right one.
struct Factors<T> {
    area: Shared<T>,
    left: usize,
    right: usize,
}

impl<T: Float> Factors<T> {
    unsafe fn left(&self, block: usize, place: usize) -> *mut T {
        let at = block * PLACES * (self.left + self.right) + place * self.left;
        // SAFETY: a block and a place of the area.
        unsafe { self.area.get().add(at) }
    }

    unsafe fn right(&self, block: usize, place: usize) -> *mut T {
        // SAFETY: as above.
        unsafe { self.left(block, PLACES).add(place * self.right) }
    }
}

/// Whether it was done: false where a gradient is not finite, or panels are narrower than what is transposed at a time.
pub fn weight_grad<T: Float + Number>(
    g: &Geometry,
    gw: *mut T,
    y: *const T,
    x: *const T,
) -> Outcome<bool> {
    let width = panel_width::<T>();
    if !width.is_multiple_of(CHANNELS) {
        return Ok(false);
    }
    let (ins, outs) = (g.ins, g.outs);
    let results = Planes {
        ptr: Shared(y.cast_mut()),
        kind: Kind::Results,
        groups: g.groups,
        channels: outs,
        size: [g.output[1], g.output[2]],
        pad: [0; 2],
    };
    let tiles = Planes {
        ptr: Shared(x.cast_mut()),
        kind: Kind::Tiles,
        groups: g.groups,
        channels: ins,
        size: [g.input[1], g.input[2]],
        pad: [g.padding[1], g.padding[2]],
    };
    let grid = Grid::new(g.batch, results.size);
    let runs = (DEPTH / grid.side).min(grid.runs);
    let blocks = grid.runs.div_ceil(runs);
    let left = outs * A_STRIDE + LANES;
    let right = ins.next_multiple_of(width) * runs * grid.side + LANES;
    let size = PLACES * (left + right);
    let together = (BYTES / (size * size_of::<T>())).clamp(1, blocks);
    let area = Scratch::new::<T>(together * size)?;
    let factors = Factors {
        area: Shared(area.as_ptr::<T>()),
        left,
        right,
    };
    let sums = Scratch::new::<T>(PLACES * outs * ins)?;
    let sums = Shared(sums.as_ptr::<T>());
    let (lefts, rights) = (outs.div_ceil(CHANNELS), ins.div_ceil(width));
    let rows = outs.div_ceil(outs.div_ceil(ROWS));
    let parts = outs.div_ceil(rows);
    let good = AtomicBool::new(true);
    for group in 0..g.groups {
        for first in (0..blocks).step_by(together) {
            let count = together.min(blocks - first);
            let block = |number: usize| {
                let from = (first + number) * runs;
                from..grid.runs.min(from + runs)
            };
            let work = CHANNELS * runs * grid.side * PLACES;
            dense::each(count * (lefts + rights), work, &|task| {
                let (number, part) = (task / (lefts + rights), task % (lefts + rights));
                // SAFETY: this task's rows or columns of the factors.
                unsafe {
                    if part < lefts {
                        let channels = part * CHANNELS..outs.min((part + 1) * CHANNELS);
                        let to = factors.left(number, 0).add(channels.start * A_STRIDE);
                        let steps = (A_STRIDE, factors.left);
                        results.transform(&grid, (group, channels), block(number), to, steps)
                    } else {
                        // A whole panel: two threads that write parts of the same lines wait for each other.
                        let first = (part - lefts) * width;
                        let (to, step) = (factors.right(number, 0), factors.right);
                        (first..first + width)
                            .step_by(CHANNELS)
                            .try_for_each(|first| {
                                transpose(&tiles, &grid, (group, first), block(number), to, step)
                            })
                    }
                }
            })?;
            let work = rows.saturating_mul(ins * count * runs * grid.side) / 8;
            dense::each(PLACES * parts, work, &|task| {
                let (place, row) = (task / parts, task % parts * rows);
                for number in 0..count {
                    let depth = block(number).len() * grid.side;
                    let start = if first + number == 0 { T::ZERO } else { T::ONE };
                    // SAFETY: the factors of this place, and this task's rows of its sums.
                    unsafe {
                        let a = Strips {
                            ptr: factors.left(number, place).add(row * A_STRIDE).cast_const(),
                            step: 0,
                        };
                        let b = Panels::packed(factors.right(number, place).cast_const(), depth);
                        let c = sums.get().add((place * outs + row) * ins);
                        let size = (rows.min(outs - row), ins, depth);
                        block::multiply(size, a, b, (c, ins as isize), (T::ONE, start));
                    }
                }
                Ok(())
            })?;
        }
        let gw = Shared(gw.wrapping_add(group * outs * ins * 9));
        let grain = (dense::GRAIN / (ins * PLACES)).max(1);
        pool::parallel_ranges(outs, grain, &|range| {
            // SAFETY: these rows of the sums and of the result.
            let finite = unsafe {
                let from = sums.get().add(range.start * ins).cast_const();
                let to = gw.get().add(range.start * ins * 9);
                store_windows(from, outs * ins, range.len() * ins, to)
            };
            if !finite {
                good.store(false, Ordering::Relaxed);
            }
        });
    }
    Ok(good.into_inner())
}

/// The tiles of a few channels as columns of right factors, `step` elements apart.
unsafe fn transpose<T: Float + Number>(
    tiles: &Planes<T>,
    grid: &Grid,
    (group, first): (usize, usize),
    runs: Range<usize>,
    to: *mut T,
    step: usize,
) -> Outcome {
    let (width, depth) = (panel_width::<T>(), runs.len() * grid.side);
    let channels = first.min(tiles.channels)..tiles.channels.min(first + CHANNELS);
    let room = CHANNELS * A_STRIDE + LANES;
    let rows = Buffer::take::<T>(PLACES * room).map_err(memory)?;
    // SAFETY: as promised by the caller; a block has no more tiles than `A_STRIDE` has room for.
    unsafe {
        let from = rows.get::<T>();
        if channels.len() < CHANNELS {
            // Columns that fill a panel up.
            core::slice::from_raw_parts_mut(from, PLACES * room).fill(T::ZERO);
        }
        tiles.transform(grid, (group, channels), runs, from, (A_STRIDE, room))?;
        let to = to.add(first / width * width * depth + first % width);
        for place in 0..PLACES {
            let line = |i: usize| from.add(place * room + i * A_STRIDE).cast_const();
            T::transpose(
                &core::array::from_fn(line),
                depth,
                to.add(place * step),
                width,
            );
        }
    }
    rows.give_back();
    Ok(())
}
