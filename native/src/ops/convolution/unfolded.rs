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
const ELEMENT_CYCLES: f64 = 2.0;
/// Those that direct.rs takes to read a weight anew for each image.
const WEIGHT_CYCLES: f64 = 0.25;
/// Those that direct.rs takes to lay out a position of a channel where positions are not side by side.
const APART_CYCLES: f64 = 8.0;
/// Elements of the patches that are written out at a time.
const TOGETHER: usize = 4 << 20;

/// Whether writing out the patches takes less time than it saves.
pub fn suits(g: &Geometry) -> bool {
    // The positions of an image in a field, with what lies between rows.
    let along = |d: usize| g.output[d] + (g.kernel[d] - 1) * g.dilation[d] / g.stride[d];
    let span = (g.output[0] * along(1) * along(2)).saturating_sub(along(2) - g.output[2]);
    let (outs, positions) = (g.outs as f64, g.positions() as f64);
    let apart = if g.stride[2] > 1 {
        positions / g.taps() as f64
    } else {
        0.0
    };
    let direct = outs * (span.div_ceil(LANES) as f64 + WEIGHT_CYCLES) + APART_CYCLES * apart;
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

/// A plane of x with what the windows read around it, and where they read it.
struct Frame<'a> {
    g: &'a Geometry,
    dims: [usize; 3],
    /// Where each tap reads for the first position, and how far from there for each position.
    taps: Vec<usize>,
    positions: Vec<u32>,
    /// Whether windows read x alone; its planes are frames then.
    is_bare: bool,
}

impl Frame<'_> {
    fn new(g: &Geometry) -> Frame<'_> {
        let reach: [usize; 3] = core::array::from_fn(|d| {
            g.output[d].saturating_sub(1) * g.stride[d] + (g.kernel[d] - 1) * g.dilation[d] + 1
        });
        let is_bare = (0..3).all(|d| g.padding[d] == 0 && reach[d] <= g.input[d]);
        let dims = if is_bare { g.input } else { reach };
        let all = |counts: [usize; 3], steps: [usize; 3]| {
            let along = move |d: usize| (0..counts[d]).map(move |i| i * steps[d]);
            along(0).flat_map(move |z| {
                along(1).flat_map(move |y| along(2).map(move |x| (z * dims[1] + y) * dims[2] + x))
            })
        };
        Frame {
            g,
            dims,
            taps: all(g.kernel, g.dilation).collect(),
            positions: all(g.output, g.stride).map(|at| at as u32).collect(),
            is_bare,
        }
    }

    fn size(&self) -> usize {
        self.dims.iter().product()
    }

    /// A frame of zeros; None where planes are frames.
    fn room<T: Float + Number>(&self) -> Outcome<Option<Scratch>> {
        if self.is_bare {
            return Ok(None);
        }
        let room = Scratch::new::<T>(self.size())?;
        // SAFETY: room for so many elements.
        unsafe { core::slice::from_raw_parts_mut(room.as_ptr::<T>(), self.size()).fill(T::ZERO) };
        Ok(Some(room))
    }

    /// Calls `f(inside, row, n)` for each row of x that lies in the frame: n elements from `row` of x on, which are those
    /// from `inside` of the frame on.
    fn rows(&self, mut f: impl FnMut(usize, usize, usize)) {
        let (pad, input) = (self.g.padding, self.g.input);
        let within = |d: usize| pad[d].min(self.dims[d])..(pad[d] + input[d]).min(self.dims[d]);
        for z in within(0) {
            for y in within(1) {
                let row = ((z - pad[0]) * input[1] + y - pad[1]) * input[2];
                f(
                    (z * self.dims[1] + y) * self.dims[2] + within(2).start,
                    row,
                    within(2).len(),
                );
            }
        }
    }
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

    /// Writes out the patches of x.
    fn unfold<T: Float + Number>(&self, x: *const T, to: Shared<T>) -> Outcome {
        let (g, columns, taps) = (self.g, self.columns(), self.g.taps());
        let x = Shared(x.cast_mut());
        let frame = Frame::new(g);
        dense::each(g.ins, taps * columns, &|channel| {
            let framed = frame.room::<T>()?;
            for (i, image) in self.images.clone().enumerate() {
                let plane = (image * g.groups + self.group) * g.ins + channel;
                // SAFETY: elements of this plane; columns of the rows that are this task's.
                unsafe {
                    let mut plane = x.get().add(plane * g.places());
                    if let Some(framed) = &framed {
                        let to = framed.as_ptr::<T>();
                        frame.rows(|inside, row, n| {
                            to.add(inside).copy_from_nonoverlapping(plane.add(row), n);
                        });
                        plane = to;
                    }
                    let row = to.get().add(channel * taps * columns + i * g.positions());
                    for (tap, &first) in frame.taps.iter().enumerate() {
                        let (row, from) = (row.add(tap * columns), plane.add(first));
                        for (j, &at) in frame.positions.iter().enumerate() {
                            *row.add(j) = *from.add(at as usize);
                        }
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
        let frame = Frame::new(g);
        dense::each(g.ins, taps * columns, &|channel| {
            let own = self.group * g.ins + channel;
            let start = bias.map_or(T::ZERO, |bias| bias.all()[own]);
            let framed = frame.room::<T>()?;
            for (i, image) in self.images.clone().enumerate() {
                // SAFETY: this plane is the task's; rows of the patches.
                unsafe {
                    let plane = gx.get().add((image * g.groups * g.ins + own) * g.places());
                    let (sums, size) = match &framed {
                        Some(framed) => (framed.as_ptr(), frame.size()),
                        None => (plane, g.places()),
                    };
                    core::slice::from_raw_parts_mut(sums, size).fill(start);
                    let row = from.get().add(channel * taps * columns + i * g.positions());
                    for (tap, &first) in frame.taps.iter().enumerate() {
                        let (row, to) = (row.add(tap * columns), sums.add(first));
                        for (j, &at) in frame.positions.iter().enumerate() {
                            *to.add(at as usize) += *row.add(j);
                        }
                    }
                    if framed.is_some() {
                        // What no window reaches has the bias alone.
                        core::slice::from_raw_parts_mut(plane, g.places()).fill(start);
                        frame.rows(|inside, row, n| {
                            plane.add(row).copy_from_nonoverlapping(sums.add(inside), n);
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
