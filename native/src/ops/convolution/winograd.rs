//! Windows of 3 × 3 at steps of 1 with 4/9 of the multiplications: Winograd's F(2 × 2, 3 × 3), as in Lavin and Gray, "Fast
//! Algorithms for Convolutional Neural Networks" (2016). Four neighbouring results come from a tile of 4 × 4 numbers: tile
//! and window are transformed by sums, the 16 places of the transforms are multiplied, channel by channel, and a
//! transform of the products gives the results. The products of one place are a matrix product over channels.
//!
//! float32 is off as much as by direct sums at 64 channels and 1.7 times as much at 512. Numbers of a tile that a window
//! does not have are in no term of its result. Of infinities differences are taken, so where any result is not finite, all
//! is done by direct.rs.

mod products;
mod sums;
mod transforms;

use super::{Geometry, memory};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::gemm::{Buffer, Float};
use crate::pool::Shared;
use crate::simd;
use crate::simd::Level;
use core::ops::Range;
use transforms::{load_results, load_tiles, split};

pub use products::{forward, input_grad};
pub use sums::weight_grad;

/// Places of a transformed tile.
const PLACES: usize = 16;
/// Elements of a wide register, and between what shall not share cache sets.
const LANES: usize = 16;
/// Tiles side by side at most.
const WIDEST: usize = 128;
/// Cycles, about, in which a kernel multiplies one channel by another for a tile, and for four results directly.
const TILE_CYCLES: f64 = 1.0;
const DIRECT_CYCLES: f64 = 2.5;
/// To transform a window where all of them stay in a cache, and where they do not, and a tile of a channel there or back.
const WINDOW_CYCLES: f64 = 30.0;
const FAR_WINDOW_CYCLES: f64 = 80.0;
const TRANSFORM_CYCLES: f64 = 11.0;
/// Bytes of the transformed windows that stay.
const NEAR: usize = 4 << 20;

/// Whether a convolution can be made here, and should be.
pub fn suits(g: &Geometry) -> bool {
    fits(g) && pays(g)
}

/// Whether it can be made.
pub fn fits(g: &Geometry) -> bool {
    let plain = |d: usize| {
        g.padding[d] <= 2 && g.output[d] + 2 == g.input[d] + 2 * g.padding[d] && g.output[d] > 0
    };
    g.kernel == [1, 3, 3]
        && g.stride == [1; 3]
        && g.dilation == [1; 3]
        && g.padding[0] == 0
        && g.input[0] == 1
        && g.output[0] == 1
        && plain(1)
        && plain(2)
}

/// Whether the transforms cost less than they save.
fn pays(g: &Geometry) -> bool {
    let (tall, wide) = (g.output[1].div_ceil(2), g.output[2].div_ceil(2));
    let rows = (g.batch * tall) as f64;
    // Tiles that lanes are filled up with are transformed too.
    let (tiles, lanes) = (
        rows * wide as f64,
        rows * wide.next_multiple_of(LANES) as f64,
    );
    let (ins, outs) = (g.ins as f64, g.outs as f64);
    let direct = ins * outs * (g.batch * g.positions()) as f64 / 4.0 * DIRECT_CYCLES;
    let near = PLACES * g.ins * g.outs * size_of::<f32>() < NEAR;
    let window = if near {
        WINDOW_CYCLES
    } else {
        FAR_WINDOW_CYCLES
    };
    let products = ins * outs * (tiles * TILE_CYCLES + window);
    products + (ins + outs) * lanes * TRANSFORM_CYCLES < direct
}

/// How the tiles of all images are numbered: in runs of `side` along a row, one below the other.
struct Grid {
    /// Rows of tiles, and tiles in a row, of a plane.
    tall: usize,
    wide: usize,
    /// Tiles of a run; the last of a row may have fewer that are used.
    side: usize,
    /// Runs along a row, and of all images.
    along: usize,
    runs: usize,
}

/// Where a run is.
struct Place {
    image: usize,
    /// In tiles.
    row: usize,
    column: usize,
}

impl Grid {
    /// Of results in planes of this size.
    fn new(batch: usize, [high, wide]: [usize; 2]) -> Grid {
        let (tall, wide) = (high.div_ceil(2), wide.div_ceil(2));
        let along = wide.div_ceil(WIDEST);
        Grid {
            tall,
            wide,
            side: wide.div_ceil(along),
            along,
            runs: batch * along * tall,
        }
    }

    fn place(&self, run: usize) -> Place {
        let rest = run / self.tall;
        Place {
            image: rest / self.along,
            row: run % self.tall,
            column: rest % self.along * self.side,
        }
    }
}

/// What is transformed: tiles that windows are laid on, or the four results of each.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tiles,
    Results,
}

/// The planes of an operand.
struct Planes<T> {
    ptr: Shared<T>,
    kind: Kind,
    groups: usize,
    /// Of a group.
    channels: usize,
    size: [usize; 2],
    /// Zeros before them.
    pad: [usize; 2],
}

impl<T: Float + Number> Planes<T> {
    /// Lays out what some channels of a group have in some runs: for each place a matrix (channels, tiles), with `steps`
    /// between rows and between places. Up to a register is written past a row.
    ///
    /// # Safety
    /// The planes exist, and there is room.
    unsafe fn transform(
        &self,
        grid: &Grid,
        (group, channels): (usize, Range<usize>),
        runs: Range<usize>,
        to: *mut T,
        steps: (usize, usize),
    ) -> Outcome {
        // Four rows of a plane in even and odd columns; what is read past the last of a run is not used.
        let half = grid.side.next_multiple_of(LANES) + 2 * LANES;
        let lines = Buffer::take::<T>(8 * half).map_err(memory)?;
        let lines_at = |row: usize| lines.get::<T>().wrapping_add(row % 4 * 2 * half);
        // SAFETY: the room just taken, and as promised by the caller.
        unsafe {
            core::slice::from_raw_parts_mut(lines.get::<T>(), 8 * half).fill(T::ZERO);
            for (i, channel) in channels.enumerate() {
                let mut above = None;
                for (j, run) in runs.clone().enumerate() {
                    let Place { image, row, column } = grid.place(run);
                    let plane = (image * self.groups + group) * self.channels + channel;
                    let plane = self.ptr.get().add(plane * self.size[0] * self.size[1]);
                    let rows = match self.kind {
                        Kind::Results => 0..2,
                        // Two rows of a tile are those of the tile above.
                        Kind::Tiles if row > 0 && above == Some((image, column)) => 2..4,
                        Kind::Tiles => 0..4,
                    };
                    above = Some((image, column));
                    for row in rows.map(|r| 2 * row + r) {
                        let (even, odd) = (lines_at(row), lines_at(row).add(half));
                        let (y, count) = (row.wrapping_sub(self.pad[0]), grid.side + 1);
                        if y < self.size[0] {
                            let start = 2 * column as isize - self.pad[1] as isize;
                            let line = plane.add(y * self.size[1]).cast_const();
                            split(line, self.size[1], start, even, odd, count);
                        } else {
                            core::slice::from_raw_parts_mut(even, count).fill(T::ZERO);
                            core::slice::from_raw_parts_mut(odd, count).fill(T::ZERO);
                        }
                    }
                    let rows: [_; 4] = core::array::from_fn(|r| lines_at(2 * row + r).cast_const());
                    let to = to.add(i * steps.0 + j * grid.side);
                    let (side, step) = (grid.side, steps.1);
                    match (self.kind, simd::level()) {
                        (Kind::Tiles, Level::Avx512) => {
                            load_tiles::<16, T>(rows, half, side, to, step);
                        }
                        (Kind::Tiles, _) => load_tiles::<8, T>(rows, half, side, to, step),
                        (Kind::Results, Level::Avx512) => {
                            load_results::<16, T>(rows, half, side, to, step);
                        }
                        (Kind::Results, _) => load_results::<8, T>(rows, half, side, to, step),
                    }
                }
            }
        }
        lines.give_back();
        Ok(())
    }
}
