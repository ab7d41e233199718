//! Planes read at given points: x (N, C, S…), grid (N, O…, d) with coordinates from -1 to 1, the last dim of x first
//! → y (N, C, O…), for d = 2 and 3. Along each dim a point is a weighted sum of a few elements; weights and their slopes
//! are worked out once for a sample and serve all its channels.

mod cuda;

use super::dense::{self, Input, Output};
use super::resampling::cubic;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::memory::Scratch;
use crate::ops::real::Real;
use crate::pool::{self, Shared};
use crate::with_real;

const LINEAR: usize = 0;
const NEAREST: usize = 1;
const CUBIC: usize = 2;
const ZEROS: usize = 0;
const BORDER: usize = 1;
const LARGEST: usize = 1 << 31;

/// One element that a point takes along a dim: none for one outside, with the weight and its slope by the coordinate.
#[derive(Clone, Copy)]
struct Tap<C> {
    place: u32,
    weight: C,
    slope: C,
}

const OUTSIDE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Form {
    mode: usize,
    padding: usize,
    align: bool,
}

impl Form {
    fn taps(self) -> usize {
        [2, 1, 4][self.mode]
    }

    /// A coordinate brought inside, and its slope.
    fn inside(self, x: f64, size: usize) -> (f64, f64) {
        let n = size as f64;
        if self.padding == ZEROS {
            return (x, 1.0);
        }
        let (mut x, mut slope) = (x, 1.0);
        if self.padding != BORDER {
            let (low, span) = if self.align {
                (0.0, n - 1.0)
            } else {
                (-0.5, n)
            };
            if span == 0.0 {
                return (0.0, 0.0);
            }
            x -= low;
            if x < 0.0 {
                (x, slope) = (-x, -1.0);
            }
            let (turns, rest) = ((x / span).floor(), x % span);
            if turns % 2.0 == 0.0 {
                x = rest + low;
            } else {
                (x, slope) = (span - rest + low, -slope);
            }
        }
        if x > 0.0 && x < n - 1.0 {
            (x, slope)
        } else if x >= n - 1.0 {
            (n - 1.0, 0.0)
        } else {
            // NaN too.
            (0.0, 0.0)
        }
    }

    /// The taps of a point with coordinate c along a dim.
    fn at<C: Real>(self, c: C, size: usize, taps: &mut [Tap<C>]) {
        let (n, c) = (size as f64, c.to_f64());
        let (x, scale) = if self.align {
            ((c + 1.0) / 2.0 * (n - 1.0), (n - 1.0) / 2.0)
        } else {
            (((c + 1.0) * n - 1.0) / 2.0, n / 2.0)
        };
        // As PyTorch's, in the type of the tensor.
        let x = C::of(x).to_f64();
        let put = |tap: &mut Tap<C>, place: f64, weight: f64, slope: f64| {
            let held = place >= 0.0 && place < n;
            *tap = Tap {
                place: if held { place as u32 } else { OUTSIDE },
                weight: C::of(weight),
                slope: C::of(slope),
            };
        };
        match self.mode {
            LINEAR => {
                let (x, slope) = self.inside(x, size);
                let first = x.floor();
                let t = x - first;
                put(&mut taps[0], first, 1.0 - t, -slope * scale);
                put(&mut taps[1], first + 1.0, t, slope * scale);
            }
            NEAREST => {
                let (x, _) = self.inside(x, size);
                put(&mut taps[0], x.round_ties_even(), 1.0, 0.0);
            }
            _ => {
                let first = x.floor();
                let t = x - first;
                let slopes = cubic_slopes(t);
                for (i, weight) in cubic(t).into_iter().enumerate() {
                    let (place, _) = self.inside(first + i as f64 - 1.0, size);
                    let place = if self.padding == ZEROS {
                        place
                    } else {
                        place.trunc()
                    };
                    put(&mut taps[i], place, weight, slopes[i] * scale);
                }
            }
        }
    }
}

/// The slopes of `cubic`'s weights by t.
fn cubic_slopes(t: f64) -> [f64; 4] {
    let near = |x: f64| (3.75 * x - 4.5) * x;
    let far = |x: f64| (-2.25 * x + 7.5) * x - 6.0;
    [far(t + 1.0), near(t), -near(1.0 - t), -far(2.0 - t)]
}

/// Sizes and form of a call.
struct Geometry {
    form: Form,
    batch: usize,
    channels: usize,
    /// Of a plane of x; two dims are three of which the first has size 1.
    input: [usize; 3],
    /// Elements of a plane of x, and of y.
    plane: usize,
    points: usize,
    d: usize,
}

impl Geometry {
    fn new(call: &Call, x: &Operand, grid: &Operand, y: &Operand) -> Outcome<Geometry> {
        let n = x.ndim;
        let (mode, padding) = (call.count(0)?, call.count(1)?);
        let fits = (4..=5).contains(&n)
            && y.ndim == n
            && grid.ndim == n
            && x.dims()[..2] == y.dims()[..2]
            && grid.dims()[0] == x.dims()[0]
            && grid.dims()[1..n - 1] == y.dims()[2..]
            && grid.dims()[n - 1] == n - 2
            && mode <= CUBIC
            && padding <= 2
            && x.dims()[2..].iter().all(|&n| n < LARGEST);
        call.require(fits, || {
            format!("dims {:?} at {:?} to {:?}", x.dims(), grid.dims(), y.dims())
        })?;
        let mut input = [1; 3];
        input[5 - n..].copy_from_slice(&x.dims()[2..]);
        Ok(Geometry {
            form: Form {
                mode,
                padding,
                align: call.float(2) != 0.0,
            },
            batch: x.dims()[0],
            channels: x.dims()[1],
            input,
            plane: input.iter().product(),
            points: y.dims()[2..].iter().product(),
            d: n - 2,
        })
    }

    /// Which gradients are wanted, those of x and of the grid: one of dims (0) is not.
    fn gradients(
        &self,
        call: &Call,
        gx: &Operand,
        ggrid: &Operand,
        x: &Operand,
        grid: &Operand,
    ) -> Outcome<(bool, bool)> {
        let (to_x, to_grid) = (gx.dims() != [0], ggrid.dims() != [0]);
        let fits = (!to_x || gx.dims() == x.dims()) && (!to_grid || ggrid.dims() == grid.dims());
        call.require(fits, || {
            format!("gradients of dims {:?} and {:?}", gx.dims(), ggrid.dims())
        })?;
        Ok((to_x, to_grid))
    }

    /// The taps of all points of a sample: for each point `taps` for each dim, the first dim first.
    fn table<C: Real>(&self, grid: &[C]) -> Outcome<Scratch> {
        let taps = self.form.taps();
        let size = taps * self.d;
        let table = Scratch::new::<Tap<C>>(self.points.saturating_mul(size))?;
        let to = Shared(table.as_ptr::<Tap<C>>());
        pool::parallel_ranges(self.points, 4096, &|range| {
            for point in range {
                // SAFETY: this point's own taps.
                let all = unsafe {
                    let to = to.get().add(point * size);
                    to.write_bytes(0, size);
                    core::slice::from_raw_parts_mut(to, size)
                };
                for d in 0..self.d {
                    let c = grid[point * self.d + (self.d - 1 - d)];
                    let size = self.input[3 - self.d + d];
                    self.form.at(c, size, &mut all[d * taps..][..taps]);
                }
            }
        });
        Ok(table)
    }

    /// Calls `f(place in the plane, the tap of each dim)` for the elements that a point takes.
    #[inline(always)]
    fn each<C: Real>(&self, taps: &[Tap<C>], mut f: impl FnMut(usize, [Tap<C>; 3])) {
        let t = self.form.taps();
        let one = [Tap {
            place: 0,
            weight: C::ONE,
            slope: C::ZERO,
        }];
        let (first, rest) = if self.d == 3 {
            taps.split_at(t)
        } else {
            (&one[..], taps)
        };
        let (second, third) = rest.split_at(t);
        for &a in first.iter().filter(|tap| tap.place != OUTSIDE) {
            for &b in second.iter().filter(|tap| tap.place != OUTSIDE) {
                for &c in third.iter().filter(|tap| tap.place != OUTSIDE) {
                    let row = a.place as usize * self.input[1] + b.place as usize;
                    f(row * self.input[2] + c.place as usize, [a, b, c]);
                }
            }
        }
    }
}

/// Scalars: mode, padding, whether corners align.
fn grid_sample<C: Real>(call: &Call) -> Outcome {
    let (y, x, grid) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let g = Geometry::new(call, x, grid, y)?;
    if y.numel() == 0 {
        return Ok(());
    }
    call.require(g.plane > 0, || "no elements to read".into())?;
    let (from, points) = (Input::<C>::of(x)?, Input::<C>::of(grid)?);
    let to = Output::<C>::of(y)?;
    let size = g.form.taps() * g.d;
    for n in 0..g.batch {
        let table = g.table(&points.all()[n * g.points * g.d..][..g.points * g.d])?;
        let taps = Shared(table.as_ptr::<Tap<C>>());
        dense::each(g.channels, 8 * g.points, &|c| {
            let i = n * g.channels + c;
            let plane = &from.all()[i * g.plane..][..g.plane];
            // SAFETY: this task's plane; the table has taps for every point.
            unsafe {
                for (p, to) in to.part(i * g.points, g.points).iter_mut().enumerate() {
                    let taps = core::slice::from_raw_parts(taps.get().add(p * size), size);
                    let mut sum = C::ZERO;
                    g.each(taps, |at, [a, b, c]| {
                        sum += a.weight * b.weight * c.weight * plane[at];
                    });
                    *to = sum;
                }
            }
            Ok(())
        })?;
    }
    to.finish(y);
    Ok(())
}

/// Outputs gx and the gradient of the grid, of which either may be empty, from g, x and grid.
fn grid_sample_grad<C: Real>(call: &Call) -> Outcome {
    let [gx, ggrid] = call.outs() else {
        unreachable!()
    };
    let [y, x, grid] = call.ins() else {
        unreachable!()
    };
    let g = Geometry::new(call, x, grid, y)?;
    let (to_x, to_grid) = g.gradients(call, gx, ggrid, x, grid)?;
    let (sums, slopes) = (Output::<C>::of(gx)?, Output::<C>::of(ggrid)?);
    // SAFETY: all elements of both.
    unsafe {
        sums.part(0, gx.numel()).fill(C::ZERO);
        slopes.part(0, ggrid.numel()).fill(C::ZERO);
    }
    if y.numel() > 0 && g.plane > 0 {
        let (up, from, points) = (
            Input::<C>::of(y)?,
            Input::<C>::of(x)?,
            Input::<C>::of(grid)?,
        );
        let size = g.form.taps() * g.d;
        for n in 0..g.batch {
            let table = g.table(&points.all()[n * g.points * g.d..][..g.points * g.d])?;
            let taps = Shared(table.as_ptr::<Tap<C>>());
            // SAFETY: the table has taps for every point.
            let taps_of =
                |p: usize| unsafe { core::slice::from_raw_parts(taps.get().add(p * size), size) };
            if to_x {
                dense::each(g.channels, 8 * g.points + g.plane, &|c| {
                    let i = n * g.channels + c;
                    let up = &up.all()[i * g.points..][..g.points];
                    // SAFETY: this task's plane.
                    let to = unsafe { sums.part(i * g.plane, g.plane) };
                    for (p, &up) in up.iter().enumerate() {
                        g.each(taps_of(p), |at, [a, b, c]| {
                            to[at] += a.weight * b.weight * c.weight * up;
                        });
                    }
                    Ok(())
                })?;
            }
            if to_grid {
                dense::each(g.points, 8 * g.channels, &|p| {
                    let mut total = [C::ZERO; 3];
                    g.each(taps_of(p), |at, [a, b, c]| {
                        let mut sum = C::ZERO;
                        for channel in 0..g.channels {
                            let i = n * g.channels + channel;
                            sum += up.all()[i * g.points + p] * from.all()[i * g.plane + at];
                        }
                        // The last dim of x comes first in the grid.
                        total[0] += sum * a.weight * b.weight * c.slope;
                        total[1] += sum * a.weight * b.slope * c.weight;
                        total[2] += sum * a.slope * b.weight * c.weight;
                    });
                    // SAFETY: this point's own coordinates.
                    let to = unsafe { slopes.part((n * g.points + p) * g.d, g.d) };
                    to.copy_from_slice(&total[..g.d]);
                    Ok(())
                })?;
            }
        }
    }
    sums.finish(gx);
    slopes.finish(ggrid);
    Ok(())
}

pub const ROWS: &[Row] = &[
    Row {
        name: "grid_sample",
        outs: 1,
        ins: (2, 2),
        scalars: (3, 3),
        alias: false,
        run: |call| with_real!(call.name, call.outs()[0].dtype.compute(), C => grid_sample::<C>(call)),
        cuda: Some(cuda::grid_sample),
    },
    Row {
        name: "grid_sample_grad",
        outs: 2,
        ins: (3, 3),
        scalars: (3, 3),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[1].dtype.compute(), C => grid_sample_grad::<C>(call)),
        cuda: Some(cuda::grid_sample_grad),
    },
];
