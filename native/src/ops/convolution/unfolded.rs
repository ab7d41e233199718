//! Convolutions with few positions in an image as one product for all images. Patches are written out as columns of a
//! matrix, so that a weight is read once for all of them, and no lane of a register is left without a position.

use super::super::dense::{self, Input};
use super::{Geometry, memory};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::gemm::{self, Float, Mat, MatMut, Options};
use crate::memory::Scratch;
use crate::pool::Shared;
use core::ops::Range;

/// Lanes of a register that direct.rs fills with positions.
const LANES: usize = 16;
/// Cycles, about, that writing out an element of a patch takes, and packing it for the product.
const ELEMENT_CYCLES: f64 = 3.0;
/// Those that direct.rs takes to read a weight anew for each image.
const WEIGHT_CYCLES: f64 = 0.25;
/// Elements of the patches that are written out at a time.
const TOGETHER: usize = 4 << 20;

/// Whether writing out the patches takes less time than it saves.
pub fn suits(g: &Geometry) -> bool {
    // The positions of an image in a field, with what lies between rows.
    let along = |d: usize| g.output[d] + (g.kernel[d] - 1) * g.dilation[d] / g.stride[d];
    let span = (g.output[0] * along(1) * along(2)).saturating_sub(along(2) - g.output[2]);
    let (outs, positions) = (g.outs as f64, g.positions() as f64);
    let direct = outs * (span.div_ceil(LANES) as f64 + WEIGHT_CYCLES);
    let unfolded = outs * positions / LANES as f64 * 1.05 + ELEMENT_CYCLES * positions;
    g.batch > 1 && unfolded < direct
}

/// The images of a group that are done together: their patches (channels · taps, images · positions) and the planes of
/// y (outs, images · positions).
struct Block<'a> {
    g: &'a Geometry,
    group: usize,
    images: Range<usize>,
}

/// Calls `f` for each group and the blocks of its images.
fn blocks(g: &Geometry, mut f: impl FnMut(&Block) -> Outcome) -> Outcome {
    let each = g.ins * g.taps() * g.positions();
    let together = (TOGETHER / each.max(1)).clamp(1, g.batch);
    for group in 0..g.groups {
        for first in (0..g.batch).step_by(together) {
            let images = first..g.batch.min(first + together);
            f(&Block { g, group, images })?;
        }
    }
    Ok(())
}

fn matrix<T: Float>(ptr: *const T, [rows, cols]: [usize; 2], [rs, cs]: [usize; 2]) -> Mat {
    Mat {
        ptr: ptr.cast(),
        elem: T::ELEM,
        rows,
        cols,
        rs: rs as isize,
        cs: cs as isize,
    }
}

fn multiply<T: Float>(to: *mut T, a: Mat, b: Mat, beta: f64) -> Outcome {
    let c = MatMut {
        ptr: to.cast(),
        elem: T::ELEM,
        rows: a.rows,
        cols: b.cols,
        rs: b.cols as isize,
        cs: 1,
    };
    let options = Options {
        beta,
        ..Options::default()
    };
    // SAFETY: callers give whole matrices that do not overlap.
    unsafe { gemm::gemm(c, a, b, options) }.map_err(memory)
}

impl Block<'_> {
    fn depth(&self) -> usize {
        self.g.ins * self.g.taps()
    }

    fn columns(&self) -> usize {
        self.images.len() * self.g.positions()
    }

    /// Room for the patches, and the matrix that they are.
    fn patches<T: Float + Number>(&self) -> Outcome<(Scratch, Mat)> {
        let (depth, columns) = (self.depth(), self.columns());
        let room = Scratch::new::<T>(depth * columns)?;
        let all = matrix::<T>(room.as_ptr(), [depth, columns], [columns, 1]);
        Ok((room, all))
    }

    /// Room for the planes of y, and the matrix that they are.
    fn beside<T: Float + Number>(&self) -> Outcome<(Scratch, Mat)> {
        let (outs, columns) = (self.g.outs, self.columns());
        let room = Scratch::new::<T>(outs * columns)?;
        let all = matrix::<T>(room.as_ptr(), [outs, columns], [columns, 1]);
        Ok((room, all))
    }

    /// The weights of the group, (outs, channels · taps), or transposed.
    fn weights<T: Float>(&self, w: *const T, transposed: bool) -> Mat {
        let (outs, depth) = (self.g.outs, self.depth());
        let w = w.wrapping_add(self.group * outs * depth);
        if transposed {
            matrix(w, [depth, outs], [1, depth])
        } else {
            matrix(w, [outs, depth], [depth, 1])
        }
    }

    /// Calls `f(column, place, range)` for each run of positions along the last dim, `column` its first: those in `range`
    /// of it read x with this tap from `place` on, a stride apart. The rest of the run reads what is outside.
    fn runs(&self, tap: usize, mut f: impl FnMut(usize, usize, Range<usize>)) {
        let Geometry {
            kernel,
            input,
            output,
            stride,
            padding,
            dilation,
            ..
        } = *self.g;
        let tap = [
            tap / kernel[2] / kernel[1],
            tap / kernel[2] % kernel[1],
            tap % kernel[2],
        ];
        // How far along a dim x is read at position 0, and the positions that read it at all.
        let start: [isize; 3] =
            core::array::from_fn(|d| (tap[d] * dilation[d]) as isize - padding[d] as isize);
        let inside: [Range<usize>; 3] = core::array::from_fn(|d| {
            let first = (-start[d]).max(0) as usize;
            let behind = (input[d] as isize - start[d]).max(0) as usize;
            let first = first.div_ceil(stride[d]).min(output[d]);
            first..behind.div_ceil(stride[d]).clamp(first, output[d])
        });
        let at = |d: usize, i: usize| (start[d] + (i * stride[d]) as isize) as usize;
        for z in 0..output[0] {
            for y in 0..output[1] {
                let column = (z * output[1] + y) * output[2];
                if inside[0].contains(&z) && inside[1].contains(&y) && !inside[2].is_empty() {
                    let row = (at(0, z) * input[1] + at(1, y)) * input[2];
                    f(column, row + at(2, inside[2].start), inside[2].clone());
                } else {
                    f(column, 0, 0..0);
                }
            }
        }
    }

    /// Writes out the patches of x.
    fn unfold<T: Float + Number>(&self, x: *const T, to: Shared<T>) -> Outcome {
        let (g, columns, taps) = (self.g, self.columns(), self.g.taps());
        let x = Shared(x.cast_mut());
        dense::each(g.ins, taps * columns, &|channel| {
            for tap in 0..taps {
                for (i, image) in self.images.clone().enumerate() {
                    let plane = (image * g.groups + self.group) * g.ins + channel;
                    // SAFETY: elements of this plane; columns of the rows that are this task's.
                    unsafe {
                        let plane = x.get().add(plane * g.places());
                        let row = to.get().add((channel * taps + tap) * columns);
                        let row = row.add(i * g.positions());
                        self.runs(tap, |column, place, range| {
                            let run = core::slice::from_raw_parts_mut(row.add(column), g.output[2]);
                            run[..range.start].fill(T::ZERO);
                            run[range.end..].fill(T::ZERO);
                            let run = &mut run[range];
                            if g.stride[2] == 1 {
                                plane
                                    .add(place)
                                    .copy_to_nonoverlapping(run.as_mut_ptr(), run.len());
                            } else {
                                for (j, to) in run.iter_mut().enumerate() {
                                    *to = *plane.add(place + j * g.stride[2]);
                                }
                            }
                        });
                    }
                }
            }
            Ok(())
        })
    }

    /// Adds up the patches of gx, which begins at its bias.
    fn fold<T: Float + Number>(
        &self,
        from: Shared<T>,
        gx: *mut T,
        bias: Option<&Input<T>>,
    ) -> Outcome {
        let (g, columns, taps) = (self.g, self.columns(), self.g.taps());
        let gx = Shared(gx);
        dense::each(g.ins, taps * columns, &|channel| {
            let own = self.group * g.ins + channel;
            let start = bias.map_or(T::ZERO, |bias| bias.all()[own]);
            for (i, image) in self.images.clone().enumerate() {
                // SAFETY: this plane is the task's; rows of the patches.
                unsafe {
                    let plane = gx.get().add((image * g.groups * g.ins + own) * g.places());
                    core::slice::from_raw_parts_mut(plane, g.places()).fill(start);
                    for tap in 0..taps {
                        let row = from.get().add((channel * taps + tap) * columns);
                        let row = row.add(i * g.positions());
                        self.runs(tap, |column, place, range| {
                            let row = row.add(column + range.start);
                            for j in 0..range.len() {
                                *plane.add(place + j * g.stride[2]) += *row.add(j);
                            }
                        });
                    }
                }
            }
            Ok(())
        })
    }

    /// The planes of y beside each other, or back with a bias.
    fn planes<T: Float + Number>(
        &self,
        y: *mut T,
        beside: Shared<T>,
        back: bool,
        bias: Option<&Input<T>>,
    ) -> Outcome {
        let (g, columns, positions) = (self.g, self.columns(), self.g.positions());
        let y = Shared(y);
        dense::each(g.outs, columns, &|o| {
            let own = self.group * g.outs + o;
            let start = bias.map_or(T::ZERO, |bias| bias.all()[own]);
            for (i, image) in self.images.clone().enumerate() {
                // SAFETY: this channel's planes and row are the task's.
                unsafe {
                    let plane = y.get().add((image * g.groups * g.outs + own) * positions);
                    let row = beside.get().add(o * columns + i * positions);
                    if back {
                        for j in 0..positions {
                            *plane.add(j) = *row.add(j) + start;
                        }
                    } else {
                        row.copy_from_nonoverlapping(plane, positions);
                    }
                }
            }
            Ok(())
        })
    }
}

pub fn forward<T: Float + Number>(
    g: &Geometry,
    y: *mut T,
    x: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome {
    blocks(g, |block| {
        let (patches, right) = block.patches::<T>()?;
        let (beside, _) = block.beside::<T>()?;
        block.unfold(x, Shared(patches.as_ptr()))?;
        multiply::<T>(beside.as_ptr(), block.weights(w, false), right, 0.0)?;
        block.planes(y, Shared(beside.as_ptr()), true, bias)
    })
}

pub fn input_grad<T: Float + Number>(
    g: &Geometry,
    gx: *mut T,
    y: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome {
    blocks(g, |block| {
        let (patches, _) = block.patches::<T>()?;
        let (beside, right) = block.beside::<T>()?;
        block.planes(y.cast_mut(), Shared(beside.as_ptr()), false, None)?;
        multiply::<T>(patches.as_ptr(), block.weights(w, true), right, 0.0)?;
        block.fold(Shared(patches.as_ptr()), gx, bias)
    })
}

pub fn weight_grad<T: Float + Number>(
    g: &Geometry,
    gw: *mut T,
    y: *const T,
    x: *const T,
) -> Outcome {
    blocks(g, |block| {
        let (patches, right) = block.patches::<T>()?;
        let (beside, left) = block.beside::<T>()?;
        block.planes(y.cast_mut(), Shared(beside.as_ptr()), false, None)?;
        block.unfold(x, Shared(patches.as_ptr()))?;
        let to = gw.wrapping_add(block.group * g.outs * block.depth());
        let beta = if block.images.start > 0 { 1.0 } else { 0.0 };
        multiply::<T>(to, left, right.transposed(), beta)
    })
}
