//! Pools over the last one to three dims: x (B, S…) → y (B, O…), each element of y made of one window. A window of size
//! 0 in a dim means that its windows cut the dim into equal parts (adaptive pools). The gradient of a maximum is a
//! scatter by its indices and needs no row here.

mod cuda;

use super::dense::{self, Input, Output};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::with_compute;

/// Sizes up to here keep every position inside an int64.
const LARGEST: usize = 1 << 31;

/// The part of a window that lies inside of the dim, and its size with what lies in the padding.
#[derive(Clone, Copy, Default)]
struct Window {
    from: usize,
    to: usize,
    whole: usize,
}

/// The sizes of a pool; of fewer than three dims the first have one window of one element.
struct Form {
    /// Of x, and of y.
    input: [usize; 3],
    output: [usize; 3],
    /// Of a window; 0 where windows cut the dim into equal parts.
    size: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
}

impl Form {
    /// Scalars from `first` on: window, stride, padding and dilation of each dim. Dims of x are (B, S…), of y (B, O…).
    fn new(call: &Call, first: usize, x: &Operand, y: &Operand) -> Outcome<Form> {
        let d = x.ndim.wrapping_sub(1);
        let fits = (1..=3).contains(&d)
            && y.ndim == x.ndim
            && x.dims()[0] == y.dims()[0]
            && call.scalars().len() == first + 4 * d;
        let sizes = || format!("dims {:?} and {:?}", x.dims(), y.dims());
        call.require(fits, sizes)?;
        let mut form = Form {
            input: [1; 3],
            output: [1; 3],
            size: [1; 3],
            stride: [1; 3],
            padding: [0; 3],
            dilation: [1; 3],
        };
        for i in 0..d {
            let (at, to) = (first + 4 * i, 3 - d + i);
            form.input[to] = x.dims()[1 + i];
            form.output[to] = y.dims()[1 + i];
            form.size[to] = call.count(at)?;
            form.stride[to] = call.count(at + 1)?;
            form.padding[to] = call.count(at + 2)?;
            form.dilation[to] = call.count(at + 3)?;
            let small = [
                form.input,
                form.output,
                form.size,
                form.stride,
                form.padding,
                form.dilation,
            ]
            .iter()
            .all(|sizes| sizes[to] < LARGEST);
            call.require(small && form.dilation[to] > 0, sizes)?;
        }
        Ok(form)
    }

    /// What a maximum needs: places for each, and something to take it of.
    fn check_max(&self, call: &Call, x: &Operand, y: &Operand, places: &Operand) -> Outcome {
        call.require(places.dims() == y.dims(), || {
            format!("places of dims {:?} for {:?}", places.dims(), y.dims())
        })?;
        call.require(x.numel() > 0 || y.numel() == 0, || {
            "no elements to take a maximum of".into()
        })
    }

    fn check_mean(&self, call: &Call, x: &Operand, y: &Operand) -> Outcome {
        call.require(x.numel() > 0 || y.numel() == 0, || {
            "no elements to take a mean of".into()
        })
    }

    fn window(&self, d: usize, o: usize) -> Window {
        let (n, count, size) = (self.input[d], self.output[d], self.size[d]);
        let (padding, dilation) = (self.padding[d], self.dilation[d]);
        if size == 0 {
            let (from, to) = (o * n / count, ((o + 1) * n).div_ceil(count));
            return Window {
                from,
                to,
                whole: to - from,
            };
        }
        let start = (o * self.stride[d]) as isize - padding as isize;
        let end = start + ((size - 1) * dilation) as isize + 1;
        // The first element inside that is a multiple of the dilation away.
        let steps = (-start).max(0).unsigned_abs().div_ceil(dilation);
        let from = (start + (steps * dilation) as isize) as usize;
        let padded = end.min((n + padding) as isize) - start;
        Window {
            from: from.min(n),
            to: (end.max(0) as usize).min(n),
            whole: padded.max(0) as usize,
        }
    }

    /// Every window; the lists are as long as the dims of y.
    fn windows(&self) -> Windows {
        Windows {
            dims: core::array::from_fn(|d| {
                (0..self.output[d]).map(|o| self.window(d, o)).collect()
            }),
            step: self.dilation,
            input: self.input,
        }
    }
}

/// The windows of each dim.
struct Windows {
    dims: [Vec<Window>; 3],
    step: [usize; 3],
    input: [usize; 3],
}

impl Windows {
    /// Elements of x in a plane.
    fn plane(&self) -> usize {
        self.input.iter().product()
    }

    /// Calls `f(place in y, windows)` for each window of a plane.
    #[inline(always)]
    fn each(&self, mut f: impl FnMut(usize, [Window; 3])) {
        let mut at = 0;
        for &a in &self.dims[0] {
            for &b in &self.dims[1] {
                for &c in &self.dims[2] {
                    f(at, [a, b, c]);
                    at += 1;
                }
            }
        }
    }

    /// Calls `f(place in x)` for each element of a window.
    #[inline(always)]
    fn inside(&self, [a, b, c]: [Window; 3], mut f: impl FnMut(usize)) {
        for z in (a.from..a.to).step_by(self.step[0]) {
            for y in (b.from..b.to).step_by(self.step[1]) {
                let row = (z * self.input[1] + y) * self.input[2];
                for x in (c.from..c.to).step_by(self.step[2]) {
                    f(row + x);
                }
            }
        }
    }
}

/// What a maximum begins with.
trait Least: Number {
    const LEAST: Self;
}

impl Least for f32 {
    const LEAST: f32 = f32::NEG_INFINITY;
}

impl Least for f64 {
    const LEAST: f64 = f64::NEG_INFINITY;
}

impl Least for i64 {
    const LEAST: i64 = i64::MIN;
}

/// Outputs y and the place of each maximum in its plane (int64); NaN counts as the greatest. Scalars: four a dim.
fn max_pool<C: Least>(call: &Call) -> Outcome {
    let (x, y, places) = (&call.ins()[0], &call.outs()[0], &call.outs()[1]);
    let form = Form::new(call, 0, x, y)?;
    form.check_max(call, x, y, places)?;
    if y.numel() == 0 {
        return Ok(());
    }
    let windows = form.windows();
    let from = Input::<C>::of(x)?;
    let (to, to_places) = (Output::<C>::of(y)?, Output::<i64>::of(places)?);
    let (plane, count) = (windows.plane(), y.numel() / y.dims()[0]);
    dense::each(x.dims()[0], plane + 4 * count, &|i| {
        let from = &from.all()[i * plane..][..plane];
        // SAFETY: the planes of this task.
        let (to, at) = unsafe { (to.part(i * count, count), to_places.part(i * count, count)) };
        windows.each(|o, window| {
            let first = window.map(|w| w.from);
            let mut place = (first[0] * windows.input[1] + first[1]) * windows.input[2] + first[2];
            let mut most = C::LEAST;
            windows.inside(window, |i| {
                let value = from[i];
                #[allow(clippy::eq_op)]
                if value > most || value != value {
                    (most, place) = (value, i);
                }
            });
            (to[o], at[o]) = (most, place as i64);
        });
        Ok(())
    })?;
    to.finish(y);
    to_places.finish(places);
    Ok(())
}

/// A number that can be divided by a count; integers towards zero.
trait Mean: Number {
    fn over(self, count: i64) -> Self;
}

impl Mean for f32 {
    #[inline(always)]
    fn over(self, count: i64) -> f32 {
        self / count as f32
    }
}

impl Mean for f64 {
    #[inline(always)]
    fn over(self, count: i64) -> f64 {
        self / count as f64
    }
}

impl Mean for i64 {
    #[inline(always)]
    fn over(self, count: i64) -> i64 {
        // Windows without elements, of which the sum is 0.
        if count == 0 {
            0
        } else {
            self.wrapping_div(count)
        }
    }
}

/// What a window's sum is divided by.
fn count_of(window: &[Window; 3], include: bool, divisor: i64) -> i64 {
    if divisor != 0 {
        return divisor;
    }
    let count = |w: &Window| {
        if include {
            w.whole
        } else {
            w.to.saturating_sub(w.from)
        }
    };
    window.iter().map(count).product::<usize>() as i64
}

/// Scalars: whether padding counts, a divisor instead of the count or 0, then four a dim.
fn avg_pool<C: Mean>(call: &Call) -> Outcome {
    let (x, y) = (&call.ins()[0], &call.outs()[0]);
    let form = Form::new(call, 2, x, y)?;
    form.check_mean(call, x, y)?;
    let (include, divisor) = (call.float(0) != 0.0, call.int(1));
    if y.numel() == 0 {
        return Ok(());
    }
    let windows = form.windows();
    let from = Input::<C>::of(x)?;
    let to = Output::<C>::of(y)?;
    let (plane, count) = (windows.plane(), y.numel() / y.dims()[0]);
    dense::each(x.dims()[0], plane + 4 * count, &|i| {
        let from = &from.all()[i * plane..][..plane];
        // SAFETY: the plane of this task.
        let to = unsafe { to.part(i * count, count) };
        windows.each(|o, window| {
            let mut sum = C::default();
            windows.inside(window, |i| sum = sum + from[i]);
            to[o] = sum.over(count_of(&window, include, divisor));
        });
        Ok(())
    })?;
    to.finish(y);
    Ok(())
}

/// gx from g, with the scalars of `avg_pool`.
fn avg_pool_grad<C: Mean>(call: &Call) -> Outcome {
    let (x, y) = (&call.outs()[0], &call.ins()[0]);
    let form = Form::new(call, 2, x, y)?;
    let (include, divisor) = (call.float(0) != 0.0, call.int(1));
    if x.numel() == 0 {
        return Ok(());
    }
    // Before the lists of windows, which are as long as its dims: those could be stretched.
    let from = Input::<C>::of(y)?;
    let windows = (y.numel() > 0).then(|| form.windows());
    let to = Output::<C>::of(x)?;
    let (plane, count) = (x.numel() / x.dims()[0], y.numel() / x.dims()[0]);
    dense::each(x.dims()[0], plane + 4 * count, &|i| {
        let from = &from.all()[i * count..][..count];
        // SAFETY: the plane of this task.
        let to = unsafe { to.part(i * plane, plane) };
        to.fill(C::default());
        if let Some(windows) = &windows {
            windows.each(|o, window| {
                let part = from[o].over(count_of(&window, include, divisor));
                windows.inside(window, |i| to[i] = to[i] + part);
            });
        }
        Ok(())
    })?;
    to.finish(x);
    Ok(())
}

pub const ROWS: &[Row] = &[
    Row {
        name: "max_pool",
        outs: 2,
        ins: (1, 1),
        scalars: (4, 12),
        alias: false,
        run: |call| with_compute!(call.ins()[0].dtype.compute(), C => max_pool::<C>(call)),
        cuda: Some(cuda::max_pool),
    },
    Row {
        name: "avg_pool",
        outs: 1,
        ins: (1, 1),
        scalars: (6, 14),
        alias: false,
        run: |call| with_compute!(call.outs()[0].dtype.compute(), C => avg_pool::<C>(call)),
        cuda: Some(cuda::avg_pool),
    },
    Row {
        name: "avg_pool_grad",
        outs: 1,
        ins: (1, 1),
        scalars: (6, 14),
        alias: false,
        run: |call| with_compute!(call.outs()[0].dtype.compute(), C => avg_pool_grad::<C>(call)),
        cuda: Some(cuda::avg_pool_grad),
    },
];
