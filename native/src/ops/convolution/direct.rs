//! Convolutions as products of the weight and of patches that are read where they lie: in a field (field.rs) the patches
//! of neighbouring positions are neighbours, so a product needs only an offset for each channel and tap. The input
//! gradient is the same product over the fields of g: one for each phase of the strides, so that no zeros are multiplied.

use super::super::dense::{self, Input};
use super::field::Field;
use super::{Geometry, memory};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::gemm::{
    Float, Mat,
    indirect::{COLUMNS, Left, ROWS, Right, SLACK, by_offsets, by_strips},
};
use crate::memory::Scratch;
use crate::pool::{self, Shared};

/// Parts that a product is cut into at least, so that threads can even out.
const TASKS: usize = 8;
/// Products that cost about as much as one unit of `dense::each`'s work.
const LIKE: usize = 8;
/// Elements of the fields of images that are done together.
const TOGETHER: usize = 16 << 20;

/// A product of weights and patches for each image and group.
struct Product<'a, T> {
    field: &'a Field,
    /// Positions of the product.
    grid: [usize; 3],
    /// (rows, channels · taps) for each group.
    left: Vec<Left<T>>,
    /// For each column of these: where its element of the patch lies.
    offsets: Vec<usize>,
    /// Channels that a field is made for, in each group.
    channels: usize,
}

/// Where a product goes.
struct Target<'a, T> {
    out: Shared<T>,
    /// Of a plane.
    dims: [usize; 3],
    /// Position 0 in the plane, and the step to the next.
    first: [usize; 3],
    step: [usize; 3],
    bias: Option<&'a Input<T>>,
}

/// The fields of `count` planes from `planes` on; each has room to be read past its end.
fn fields<T: Float>(field: &Field, planes: Shared<T>, size: usize, count: usize, to: Shared<T>) {
    let each = field.size();
    pool::parallel_ranges(count, (32 * 1024 / each.max(1)).max(1), &|range| {
        for i in range {
            // SAFETY: this task's plane and field.
            unsafe {
                field.load(
                    planes.get().add(i * size).cast_const(),
                    to.get().add(i * each),
                )
            };
        }
    });
}

impl<'a, T: Float + Number> Product<'a, T> {
    /// `weights(group)` are the matrices, `taps` the taps of the field in their columns.
    fn new(
        field: &'a Field,
        grid: [usize; 3],
        channels: usize,
        weights: impl Iterator<Item = Mat>,
    ) -> Outcome<Self> {
        let left = weights
            .map(|m| {
                // SAFETY: callers give matrices inside the weights.
                unsafe { Left::new(&m) }.map_err(memory)
            })
            .collect::<Outcome<Vec<Left<T>>>>()?;
        let size = field.size();
        let offsets = (0..channels)
            .flat_map(|c| field.taps.iter().map(move |tap| c * size + tap))
            .collect();
        Ok(Product {
            field,
            grid,
            left,
            offsets,
            channels,
        })
    }

    /// Multiplies for all images; `planes` are the input's, of `size` elements.
    fn run(&self, planes: *const T, size: usize, batch: usize, target: &Target<T>) -> Outcome {
        let planes = Shared(planes.cast_mut());
        let image = self.left.len() * self.channels;
        let together = (TOGETHER / (image * self.field.size()).max(1)).clamp(1, batch);
        let room = (together * image)
            .checked_mul(self.field.size())
            .and_then(|n| n.checked_add(SLACK))
            .unwrap_or(usize::MAX);
        let area = Scratch::new::<T>(room)?;
        let at = Shared(area.as_ptr::<T>());
        // SAFETY: the end of the area; read, though what comes of it is not used.
        unsafe { core::slice::from_raw_parts_mut(at.get().add(room - SLACK), SLACK) }.fill(T::ZERO);
        for from in (0..batch).step_by(together) {
            let images = together.min(batch - from);
            // SAFETY: the images from `from` on.
            let planes = Shared(unsafe { planes.get().add(from * image * size) });
            fields(self.field, planes, size, images * image, at);
            self.multiply(at, from * self.left.len(), images * self.left.len(), target)?;
        }
        Ok(())
    }

    /// The products of some pairs of image and group, whose fields are given.
    fn multiply(&self, from: Shared<T>, pair: usize, pairs: usize, target: &Target<T>) -> Outcome {
        let rows = self.left[0].rows;
        let pitch = self.field.pitch();
        // Positions lie one behind the other in a field, with gaps whose sums are not used.
        let span = 1 + (0..3).map(|d| (self.grid[d] - 1) * pitch[d]).sum::<usize>();
        let work = span.saturating_mul(rows * self.offsets.len()) / LIKE;
        // Small ones are not worth cutting.
        let tasks = if work.saturating_mul(pairs) < dense::GRAIN {
            1
        } else {
            TASKS
        };
        let column_tasks = tasks.div_ceil(pairs * rows.div_ceil(ROWS));
        let columns = span
            .div_ceil(column_tasks)
            .next_multiple_of(SLACK)
            .min(COLUMNS);
        let column_blocks = span.div_ceil(columns);
        let row_blocks = tasks
            .div_ceil(pairs * column_blocks)
            .min(rows.div_ceil(28))
            .max(rows.div_ceil(ROWS));
        let block = rows.div_ceil(row_blocks);
        let row_blocks = rows.div_ceil(block);
        let image = self.channels * self.field.size();
        let plane = target.dims.iter().product::<usize>();
        let count = column_blocks * row_blocks;
        dense::each(pairs * count, work / count, &|task| {
            let (rest, column) = (task / column_blocks, task % column_blocks * columns);
            let (own, row) = (rest / row_blocks, rest % row_blocks * block);
            let (n, count) = (columns.min(span - column), block.min(rows - row));
            let group = (pair + own) % self.left.len();
            let sums = Scratch::new::<T>(count * n)?;
            let sums: *mut T = sums.as_ptr();
            // SAFETY: the field of this pair; rows and positions of the output are this task's.
            unsafe {
                let b = from.get().add(own * image + column).cast_const();
                by_offsets(&self.left[group], row, count, b, &self.offsets, n, sums, n);
                let first = (pair + own) * rows + row;
                let out = target.out.get().add(first * plane);
                self.rows(column, n, |from, length, place| {
                    let here = |d: usize| target.first[d] + place[d] * target.step[d];
                    let at = (here(0) * target.dims[1] + here(1)) * target.dims[2] + here(2);
                    for i in 0..count {
                        let bias = target
                            .bias
                            .map_or(T::ZERO, |bias| bias.all()[group * rows + row + i]);
                        let (from, to) = (sums.add(i * n + from), out.add(i * plane + at));
                        if target.step[2] == 1 {
                            for j in 0..length {
                                *to.add(j) = *from.add(j) + bias;
                            }
                        } else {
                            for j in 0..length {
                                *to.add(j * target.step[2]) = *from.add(j) + bias;
                            }
                        }
                    }
                });
            }
            Ok(())
        })
    }

    /// Calls `f(from, count, position)` for the runs of positions among `n` columns from `column` on, `from` counted from
    /// there.
    fn rows(&self, column: usize, n: usize, mut f: impl FnMut(usize, usize, [usize; 3])) {
        let [deep, wide, _] = self.field.pitch();
        let mut at = column;
        while at < column + n {
            let place = [at / deep, at % deep / wide, at % wide];
            let next = at - place[2] + wide;
            if place[1] < self.grid[1] && place[2] < self.grid[2] {
                let end = (at - place[2] + self.grid[2]).min(column + n);
                f(at - column, end - at, place);
            }
            at = next;
        }
    }

    fn give_back(self) {
        self.left.into_iter().for_each(Left::give_back);
    }
}

/// The field of x for the forward pass.
pub fn forward_field(g: &Geometry) -> Option<Field> {
    let mut offsets = Vec::new();
    for a in 0..g.kernel[0] {
        for b in 0..g.kernel[1] {
            for c in 0..g.kernel[2] {
                let k = [a, b, c];
                offsets.push(core::array::from_fn(|d| {
                    (k[d] * g.dilation[d]) as isize - g.padding[d] as isize
                }));
            }
        }
    }
    Field::new(g.output, g.input, g.stride, &offsets)
}

pub fn forward<T: Float + Number>(
    g: &Geometry,
    field: &Field,
    y: *mut T,
    x: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome {
    let depth = g.ins * g.taps();
    let weights = (0..g.groups).map(|group| Mat {
        ptr: w.wrapping_add(group * g.outs * depth).cast(),
        elem: T::ELEM,
        rows: g.outs,
        cols: depth,
        rs: depth as isize,
        cs: 1,
    });
    let product = Product::new(field, g.output, g.ins, weights)?;
    let target = Target {
        out: Shared(y),
        dims: g.output,
        first: [0; 3],
        step: [1; 3],
        bias,
    };
    product.run(x, g.places(), g.batch, &target)?;
    product.give_back();
    Ok(())
}

/// The positions of x whose readings share taps: one in `stride` along each dim.
pub struct Phase {
    first: [usize; 3],
    grid: [usize; 3],
    /// The taps that these positions have, by their numbers in the kernel.
    pub taps: Vec<usize>,
    pub field: Field,
}

/// None where a field would be too large.
pub fn phases(g: &Geometry) -> Option<Vec<Phase>> {
    // Along a dim, tap k of position i reads g at (i + padding - k · dilation) / stride, if that is whole. So positions
    // fall into phases, at most as many as there are taps, each with the taps (and their readings) of its first position.
    let along = |d: usize| {
        let s = g.stride[d] as isize;
        let mut all: Vec<(usize, Vec<(usize, isize)>)> = Vec::new();
        for k in 0..g.kernel[d] {
            let at = (k * g.dilation[d]) as isize - g.padding[d] as isize;
            let first = at.rem_euclid(s) as usize;
            let reading = (first as isize - at) / s;
            match all.iter_mut().find(|phase| phase.0 == first) {
                Some(phase) => phase.1.push((k, reading)),
                None if first < g.input[d] => all.push((first, vec![(k, reading)])),
                None => {}
            }
        }
        all
    };
    let (deep, high, wide) = (along(0), along(1), along(2));
    let mut phases = Vec::with_capacity(deep.len() * high.len() * wide.len());
    for (a, deep) in &deep {
        for (b, high) in &high {
            for (c, wide) in &wide {
                let first = [*a, *b, *c];
                let (mut taps, mut offsets) = (Vec::new(), Vec::new());
                for (i, z) in deep {
                    for (j, y) in high {
                        for (k, x) in wide {
                            taps.push((i * g.kernel[1] + j) * g.kernel[2] + k);
                            offsets.push([*z, *y, *x]);
                        }
                    }
                }
                let grid = core::array::from_fn(|d| (g.input[d] - first[d]).div_ceil(g.stride[d]));
                phases.push(Phase {
                    first,
                    grid,
                    taps,
                    field: Field::new(grid, g.output, [1; 3], &offsets)?,
                });
            }
        }
    }
    Some(phases)
}

/// Whether it could be done: false where a field would be too large.
pub fn input_grad<T: Float + Number>(
    g: &Geometry,
    gx: *mut T,
    y: *const T,
    w: *const T,
    bias: Option<&Input<T>>,
) -> Outcome<bool> {
    let Some(phases) = phases(g) else {
        return Ok(false);
    };
    let reached: usize = phases
        .iter()
        .map(|p| p.grid.iter().product::<usize>())
        .sum();
    if reached < g.places() {
        g.fill(gx, g.ins, g.places(), bias);
    }
    let taps = g.taps();
    for phase in &phases {
        // The weights of these taps: (ins, outs · taps) for each group.
        let n = phase.taps.len();
        let depth = g.outs * n;
        let scratch = Scratch::new::<T>(g.groups * g.ins * depth)?;
        let packed = Shared(scratch.as_ptr::<T>());
        let w = Shared(w.cast_mut());
        pool::parallel_ranges(g.groups * g.ins, (32 * 1024 / depth).max(1), &|range| {
            for row in range {
                let (group, c) = (row / g.ins, row % g.ins);
                for o in 0..g.outs {
                    // SAFETY: this row of the scratch, and elements of the weight.
                    unsafe {
                        let from = w.get().add(((group * g.outs + o) * g.ins + c) * taps);
                        let to = packed.get().add(row * depth + o * n);
                        for (i, &t) in phase.taps.iter().enumerate() {
                            *to.add(i) = *from.add(t);
                        }
                    }
                }
            }
        });
        let weights = (0..g.groups).map(|group| Mat {
            ptr: packed.get().wrapping_add(group * g.ins * depth).cast(),
            elem: T::ELEM,
            rows: g.ins,
            cols: depth,
            rs: depth as isize,
            cs: 1,
        });
        let product = Product::new(&phase.field, phase.grid, g.outs, weights)?;
        let target = Target {
            out: Shared(gx),
            dims: g.input,
            first: phase.first,
            step: g.stride,
            bias,
        };
        product.run(y, g.positions(), g.batch, &target)?;
        product.give_back();
    }
    Ok(true)
}

/// `to[i] = from[i]` for i below n; up to 15 elements more are read and written.
#[inline(always)]
unsafe fn take<T: Copy>(from: *const T, to: *mut T, n: usize) {
    // SAFETY: the caller gives the elements.
    unsafe {
        for i in (0..n).step_by(16) {
            let part = from.add(i).cast::<[T; 16]>().read_unaligned();
            to.add(i).cast::<[T; 16]>().write_unaligned(part);
        }
    }
}

pub fn weight_grad<T: Float + Number>(
    g: &Geometry,
    field: &Field,
    gw: *mut T,
    y: *const T,
    x: *const T,
) -> Outcome {
    let (rows, positions, size) = (g.ins * g.taps(), g.positions(), field.size());
    let (x, y, gw) = (Shared(x.cast_mut()), Shared(y.cast_mut()), Shared(gw));
    let block = rows
        .div_ceil(TASKS)
        .next_multiple_of(T::kernels().rows)
        .min(ROWS);
    let pitch = field.pitch();
    // Groups run side by side; inside of one, blocks of rows do when the pool is free.
    let work = g.outs.saturating_mul(positions) / LIKE;
    dense::each(g.groups, (g.batch * rows).saturating_mul(work), &|group| {
        let area = Scratch::new::<T>(g.ins * size + SLACK)?;
        let area = Shared(area.as_ptr::<T>());
        // (channels · taps, outs): the transposed gradient.
        let sums = Scratch::new::<T>(rows * g.outs)?;
        let sums = Shared(sums.as_ptr::<T>());
        // SAFETY: the group's own sums, fields and weights; blocks have rows of their own.
        unsafe {
            core::slice::from_raw_parts_mut(sums.get(), rows * g.outs).fill(T::ZERO);
            core::slice::from_raw_parts_mut(area.get().add(g.ins * size), SLACK).fill(T::ZERO);
            let mut right = Right::<T>::new(positions, g.outs).map_err(memory)?;
            for image in 0..g.batch {
                let pair = image * g.groups + group;
                let planes = Shared(x.get().add(pair * g.ins * g.places()));
                fields(field, planes, g.places(), g.ins, area);
                right.pack(&Mat {
                    ptr: y.get().add(pair * g.outs * positions).cast(),
                    elem: T::ELEM,
                    rows: positions,
                    cols: g.outs,
                    rs: 1,
                    cs: positions as isize,
                });
                dense::each(rows.div_ceil(block), block.saturating_mul(work), &|task| {
                    let first = task * block;
                    let fill = |k: usize, depth: usize, i: usize, to: *mut T| {
                        let (channel, tap) = (
                            (first + i) / field.taps.len(),
                            (first + i) % field.taps.len(),
                        );
                        let from = area.get().add(channel * size + field.taps[tap]);
                        let mut place = [
                            k / g.output[2] / g.output[1],
                            k / g.output[2] % g.output[1],
                            k % g.output[2],
                        ];
                        let mut at = 0;
                        while at < depth {
                            let n = (g.output[2] - place[2]).min(depth - at);
                            let here = place[0] * pitch[0] + place[1] * pitch[1] + place[2];
                            take(from.add(here).cast_const(), to.add(at), n);
                            at += n;
                            place[2] = 0;
                            place[1] += 1;
                            if place[1] == g.output[1] {
                                place[1] = 0;
                                place[0] += 1;
                            }
                        }
                    };
                    let to = sums.get().add(first * g.outs);
                    by_strips(&right, block.min(rows - first), to, &fill).map_err(memory)
                })?;
            }
            right.give_back();
            let to = Shared(gw.get().add(group * g.outs * rows));
            pool::parallel(g.outs.div_ceil(16), &|part| {
                for r in 0..rows {
                    for o in part * 16..g.outs.min(part * 16 + 16) {
                        *to.get().add(o * rows + r) = *sums.get().add(r * g.outs + o);
                    }
                }
            });
        }
        Ok(())
    })
}
