//! Batch normalisation: per channel, over batch and positions, any strides. Statistics come from moments.rs in
//! float64; here are the affine pass over the elements and the two sums of the backward pass. Where
//! channels lie next to each other vectors span channels, else they span positions. A ReLU and a dropout behind the norm
//! are done in the same pass, and undone in the backward's. Layer norm is in layer_norm.rs.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::moments;
use super::nest::{Nest, Place};
use super::random::Dropping;
use super::real::Real;
use super::reduction::Deviation;
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::memory::Scratch;
use crate::{bail, pool, simd, with_real};

mod cuda;

/// Channels or positions worked at a time.
const WIDTH: usize = 256;
const GRAIN: usize = 32 * 1024;

/// Which of the operands of a pass the elements of x are.
const X: usize = 1;

/// How K operands (N, C, …) of one shape are walked.
struct Layout<const K: usize> {
    channels: usize,
    across: [isize; K],
    positions: Nest<K>,
    /// Vectors span channels.
    by_channels: bool,
}

impl<const K: usize> Layout<K> {
    fn new(name: &str, operands: [&Operand; K]) -> Outcome<Layout<K>> {
        let dims = operands[0].dims();
        if dims.len() < 2 || operands.iter().any(|o| o.dims() != dims) {
            bail!("{name}: operands of dims {:?}", operands.map(|o| o.dims()));
        }
        let positions = Nest::beside(operands, 1);
        let across: [isize; K] = core::array::from_fn(|k| operands[k].strides()[1]);
        let (_, along) = positions.inner();
        let by_channels = positions.ndim == 0 || across[X].unsigned_abs() < along[X].unsigned_abs();
        Ok(Layout {
            channels: dims[1],
            across,
            positions,
            by_channels,
        })
    }

    /// Positions per task and the number of such pieces.
    fn pieces(&self) -> (usize, usize) {
        let per_channel = if self.by_channels { self.channels } else { 1 };
        let length = GRAIN.div_ceil(per_channel.max(1)).next_multiple_of(64);
        (length, self.positions.numel.div_ceil(length))
    }
}

simd! {
    /// `y[j] = a[j] u[j] + b[j] (x[j] - m[j]) + c[j]`; without u the first term is left out.
    unsafe fn affine_row<C: Real>(y: *mut C, u: *const C, x: *const C, coefficients: *const C, room: usize, n: usize) {
        // SAFETY: the caller gives n elements of each, and four rows of n coefficients `room` apart.
        unsafe {
            let (m, a, b, c) = (coefficients, coefficients.add(room), coefficients.add(2 * room), coefficients.add(3 * room));
            if u.is_null() {
                for j in 0..n { *y.add(j) = (*x.add(j) - *m.add(j)) * *b.add(j) + *c.add(j); }
            } else {
                for j in 0..n { *y.add(j) = *a.add(j) * *u.add(j) + (*x.add(j) - *m.add(j)) * *b.add(j) + *c.add(j); }
            }
        }
    }
}

simd! {
    /// The same with one channel's coefficients.
    unsafe fn affine_run<C: Real>(y: *mut C, u: *const C, x: *const C, coefficients: *const C, room: usize, n: usize) {
        // SAFETY: the caller gives n elements of each, and four coefficients `room` apart.
        unsafe {
            let (m, a, b, c) = (*coefficients, *coefficients.add(room), *coefficients.add(2 * room), *coefficients.add(3 * room));
            if u.is_null() {
                for j in 0..n { *y.add(j) = (*x.add(j) - m) * b + c; }
            } else {
                for j in 0..n { *y.add(j) = a * *u.add(j) + (*x.add(j) - m) * b + c; }
            }
        }
    }
}

/// The gradient through a dropout and a ReLU whose result is y.
#[inline(always)]
fn gated<C: Real>(g: C, y: C, scale: C) -> C {
    let passed = g * scale;
    if y <= C::ZERO { C::ZERO } else { passed }
}

/// Element j of g, of operands g and x, or behind the gate of the third.
#[inline(always)]
unsafe fn gradient<const K: usize, C: Real>(operands: &[*const C; K], j: usize, scale: C) -> C {
    // SAFETY: the caller's promise: there are more than j elements of each.
    unsafe {
        let g = *operands[0].add(j);
        if K == 2 {
            g
        } else {
            gated(g, *operands[K - 1].add(j), scale)
        }
    }
}

simd! {
    /// `s[j] += g[j]`, `t[j] += g[j] (x[j] - m[j])` for rows of g and x, one after the other, that lie `apart`; of three
    /// operands g passes the gate of the third.
    unsafe fn sums_rows<const K: usize, C: Real>(from: [*const C; K], apart: [isize; K], rows: usize, scale: C, m: *const C, s: *mut C, t: *mut C, n: usize) {
        const TOGETHER: usize = 4;
        let mut r = 0;
        while r < rows {
            let together = if r + TOGETHER <= rows { TOGETHER } else { 1 };
            // SAFETY: the caller gives rows of n elements of each operand, and n of the others.
            unsafe {
                let at: [[*const C; K]; TOGETHER] = core::array::from_fn(|i| {
                    let row = if i < together { r + i } else { r } as isize;
                    core::array::from_fn(|k| from[k].offset(row * apart[k]))
                });
                if together == TOGETHER {
                    for j in 0..n {
                        let (mut a, mut b, m) = (*s.add(j), *t.add(j), *m.add(j));
                        for row in &at {
                            let v = gradient(row, j, scale);
                            a += v;
                            b += v * (*row[X].add(j) - m);
                        }
                        *s.add(j) = a;
                        *t.add(j) = b;
                    }
                } else {
                    for j in 0..n {
                        let v = gradient(&at[0], j, scale);
                        *s.add(j) += v;
                        *t.add(j) += v * (*at[0][X].add(j) - *m.add(j));
                    }
                }
            }
            r += together;
        }
    }
}

simd! {
    /// `(Σ g, Σ g (x - m))` of one channel.
    unsafe fn sums_run<C: Real>(g: *const C, x: *const C, m: C, n: usize) -> (f64, f64) {
        const LANES: usize = 16;
        let (mut s, mut t) = ([C::ZERO; LANES], [C::ZERO; LANES]);
        let whole = n / LANES * LANES;
        // SAFETY: the caller gives n elements of each.
        unsafe {
            let mut i = 0;
            while i < whole {
                for l in 0..LANES {
                    let v = *g.add(i + l);
                    s[l] += v;
                    t[l] += v * (*x.add(i + l) - m);
                }
                i += LANES;
            }
            while i < n {
                let v = *g.add(i);
                s[0] += v;
                t[0] += v * (*x.add(i) - m);
                i += 1;
            }
        }
        let (s, t) = (simd::lanes(s), simd::lanes(t));
        let (mut a, mut b) = (0.0, 0.0);
        for l in 0..LANES {
            a += s[l].to_f64();
            b += t[l].to_f64();
        }
        (a, b)
    }
}

simd! {
    /// `to = scale g` where y is above 0, else 0: the gradient through a dropout and a ReLU whose result is y.
    unsafe fn gate<C: Real>(to: *mut C, g: *const C, y: *const C, scale: C, n: usize) {
        // SAFETY: the caller gives n elements of each.
        unsafe {
            for j in 0..n {
                *to.add(j) = gated(*g.add(j), *y.add(j), scale);
            }
        }
    }
}

simd! {
    fn relu<C: Real>(x: &mut [C]) {
        for x in x.iter_mut() { *x = if *x < C::ZERO { C::ZERO } else { *x }; }
    }
}

/// What follows the norm within its pass: a ReLU and, with a chance above 0, a dropout.
#[derive(Clone, Copy)]
struct Ending {
    dropping: Option<Dropping>,
}

impl Ending {
    /// Of n finished results, of which the first is element `first` of the output.
    ///
    /// # Safety
    /// `y` has n elements that nobody else uses.
    unsafe fn finish<C: Real>(self, y: *mut C, first: u64, n: usize) {
        // SAFETY: the caller's promise.
        let y = unsafe { core::slice::from_raw_parts_mut(y, n) };
        relu(y);
        if let Some(dropping) = self.dropping {
            dropping.drop_from(y, first);
        }
    }
}

/// Where a row or run of an operand can be read in the compute type: in place, or brought into a buffer.
#[inline(always)]
unsafe fn readable<C: Real>(
    place: Place,
    offset: isize,
    stride: isize,
    buffer: *mut C,
    n: usize,
) -> *const C {
    if place.dtype == C::DTYPE && (stride == 1 || n == 1) {
        return place.at(offset).cast();
    }
    // SAFETY: checked elements, and a buffer with room for n.
    unsafe { place.gather(offset, stride, buffer, n) };
    buffer
}

/// `y = a u + b (x - m) + c` with coefficients per channel: rows m, a, b, c of `channels` each. Operands y, x, then where
/// there is a first term u, then the gate that u passes with its scale. An ending needs a contiguous y of type C.
fn affine<C: Real, const K: usize>(
    name: &str,
    operands: [&Operand; K],
    coefficients: &[C],
    ending: Option<Ending>,
    scale: C,
) -> Outcome {
    let layout = Layout::new(name, operands)?;
    let places = operands.map(Place::of);
    let (length, pieces) = layout.pieces();
    let channels = layout.channels;
    let blocks = if layout.by_channels { 1 } else { channels };
    let coefficients = Place {
        ptr: coefficients.as_ptr().cast_mut().cast(),
        dtype: C::DTYPE,
    };
    // One task of several short channels: a channel of few positions is not worth a task.
    let together = (GRAIN / layout.positions.numel.clamp(1, GRAIN)).max(1);
    let together = if layout.by_channels { 1 } else { together };
    let tasks = blocks.div_ceil(together);
    pool::parallel(tasks * pieces, &|task| {
        let (first, piece) = (task % tasks * together, task / tasks);
        let (from, n) = (
            piece * length,
            length.min(layout.positions.numel - piece * length),
        );
        let mut buffers = [[C::ZERO; WIDTH]; 4];
        let mut work =
            |offset: [isize; K], stride: [isize; K], n: usize, channel: usize, row: bool| {
                let [to, x, u, gates] = &mut buffers;
                // SAFETY: n checked elements of each operand, rooms of WIDTH; coefficients of every channel.
                unsafe {
                    let read = |k: usize, room: &mut [C; WIDTH]| {
                        readable(places[k], offset[k], stride[k], room.as_mut_ptr(), n)
                    };
                    let x = read(X, x);
                    let u = match K {
                        2 => core::ptr::null(),
                        3 => read(2, u),
                        _ => {
                            let (g, y) = (read(2, u), read(3, gates));
                            gate(u.as_mut_ptr(), g, y, scale, n);
                            u.as_ptr()
                        }
                    };
                    let direct = places[0].dtype == C::DTYPE && (stride[0] == 1 || n == 1);
                    let y = if direct {
                        places[0].at(offset[0]).cast()
                    } else {
                        to.as_mut_ptr()
                    };
                    let of = coefficients.at(channel as isize).cast::<C>().cast_const();
                    if row {
                        affine_row::<C>(y, u, x, of, channels, n);
                    } else {
                        affine_run::<C>(y, u, x, of, channels, n);
                    }
                    if let Some(ending) = ending {
                        ending.finish(y, offset[0] as u64, n);
                    }
                    if !direct {
                        places[0].scatter(offset[0], stride[0], y.cast_const(), n);
                    }
                }
            };
        for channel in first..if layout.by_channels {
            1
        } else {
            blocks.min(first + together)
        } {
            layout.positions.runs(from, n, |offset, stride, _, run| {
                if layout.by_channels {
                    for i in 0..run {
                        for c in (0..channels).step_by(WIDTH) {
                            let here = core::array::from_fn(|k| {
                                offset[k] + i as isize * stride[k] + c as isize * layout.across[k]
                            });
                            work(here, layout.across, WIDTH.min(channels - c), c, true);
                        }
                    }
                } else {
                    for i in (0..run).step_by(WIDTH) {
                        let here = core::array::from_fn(|k| {
                            offset[k] + i as isize * stride[k] + channel as isize * layout.across[k]
                        });
                        work(here, stride, WIDTH.min(run - i), channel, false);
                    }
                }
            });
        }
    });
    Ok(())
}

/// `(Σ g, Σ g (x - mean))` per channel. Operands g, x, and where there is one the gate that g passes with its scale.
fn sums<C: Real, const K: usize>(
    name: &str,
    operands: [&Operand; K],
    mean: &[f64],
    scale: C,
) -> Outcome<Vec<(f64, f64)>> {
    let layout = Layout::new(name, operands)?;
    let places = operands.map(Place::of);
    let (length, pieces) = layout.pieces();
    let channels = layout.channels;
    let blocks = if layout.by_channels { 1 } else { channels };
    // Rows that are read where they lie.
    let direct = K == 2
        && places
            .iter()
            .zip(layout.across)
            .all(|(p, stride)| p.dtype == C::DTYPE && stride == 1);
    let table = Scratch::new::<(f64, f64)>(pieces * channels)?;
    let partial = Place {
        ptr: table.as_ptr(),
        dtype: DType::F64,
    };
    pool::parallel(blocks * pieces, &|task| {
        let (block, piece) = (task % blocks, task / blocks);
        let (from, n) = (
            piece * length,
            length.min(layout.positions.numel - piece * length),
        );
        let mut buffers = [[C::ZERO; WIDTH]; K];
        // SAFETY: callers give n checked elements of each operand, at most WIDTH.
        let mut read = |at: [isize; K], stride: [isize; K], n: usize| -> [*const C; K] {
            core::array::from_fn(|k| unsafe {
                readable(places[k], at[k], stride[k], buffers[k].as_mut_ptr(), n)
            })
        };
        let put = |channel: usize, value: (f64, f64)| {
            // SAFETY: this task's own entries of the table.
            unsafe {
                *partial
                    .at(2 * (piece * channels + channel) as isize)
                    .cast::<(f64, f64)>() = value
            };
        };
        if !layout.by_channels {
            let mut total = (0.0, 0.0);
            layout.positions.runs(from, n, |offset, stride, _, run| {
                for i in (0..run).step_by(WIDTH) {
                    let at = core::array::from_fn(|k| {
                        offset[k] + i as isize * stride[k] + block as isize * layout.across[k]
                    });
                    let w = WIDTH.min(run - i);
                    let from = read(at, stride, w);
                    let mut passed = [C::ZERO; WIDTH];
                    // SAFETY: w elements of each.
                    let (s, t) = unsafe {
                        let mut g = from[0];
                        if K == 3 {
                            gate(passed.as_mut_ptr(), g, from[K - 1], scale, w);
                            g = passed.as_ptr();
                        }
                        sums_run::<C>(g, from[X], C::of(mean[block]), w)
                    };
                    total = (total.0 + s, total.1 + t);
                }
            });
            put(block, total);
            return;
        }
        // Rows of several blocks are one task's: another thread would wait for the lines that this one's processor
        // fetches ahead.
        for first in (0..channels).step_by(WIDTH) {
            let w = WIDTH.min(channels - first);
            let mut m = [C::ZERO; WIDTH];
            for (to, &from) in m.iter_mut().zip(&mean[first..first + w]) {
                *to = C::of(from);
            }
            let (mut s, mut t) = ([C::ZERO; WIDTH], [C::ZERO; WIDTH]);
            let (mut totals, mut taken) = ([(0.0, 0.0); WIDTH], 0);
            layout.positions.runs(from, n, |offset, stride, _, run| {
                let mut i = 0;
                while i < run {
                    let at = core::array::from_fn(|k| {
                        offset[k] + i as isize * stride[k] + first as isize * layout.across[k]
                    });
                    let rows = if direct { (64 - taken).min(run - i) } else { 1 };
                    let from = read(at, layout.across, w);
                    // SAFETY: rows of w elements of each operand, w of the others.
                    unsafe {
                        let (m, s, t) = (m.as_ptr(), s.as_mut_ptr(), t.as_mut_ptr());
                        sums_rows::<K, C>(from, stride, rows, scale, m, s, t, w)
                    };
                    i += rows;
                    taken += rows;
                    if taken == 64 {
                        for j in 0..w {
                            totals[j] = (totals[j].0 + s[j].to_f64(), totals[j].1 + t[j].to_f64());
                        }
                        (s, t, taken) = ([C::ZERO; WIDTH], [C::ZERO; WIDTH], 0);
                    }
                }
            });
            for j in 0..w {
                put(
                    first + j,
                    (totals[j].0 + s[j].to_f64(), totals[j].1 + t[j].to_f64()),
                );
            }
        }
    });
    Ok((0..channels)
        .map(|c| {
            (0..pieces).fold((0.0, 0.0), |(a, b), piece| {
                // SAFETY: every entry was written above.
                let (s, t) = unsafe { *table.as_ptr::<(f64, f64)>().add(piece * channels + c) };
                (a + s, b + t)
            })
        })
        .collect())
}

/// The values of an operand of one dim, in float64; `other` for each where the operand is empty.
fn values(name: &str, o: &Operand, channels: usize, other: f64) -> Outcome<Vec<f64>> {
    if o.dims() == [0] && channels != 0 {
        return Ok(vec![other; channels]);
    }
    if o.dims() != [channels] {
        bail!(
            "{name}: {channels} channels, but an operand has dims {:?}",
            o.dims()
        );
    }
    let mut out = vec![0.0f64; channels];
    // SAFETY: a checked operand of so many elements.
    unsafe { Place::of(o).gather(0, o.strides()[0], out.as_mut_ptr(), channels) };
    Ok(out)
}

fn put(o: &Operand, x: &[f64]) {
    // SAFETY: callers have checked that the operand has as many elements in its one dim.
    unsafe { Place::of(o).scatter(0, o.strides()[0], x.as_ptr(), x.len()) };
}

/// Fails unless statistics are float64 (1, C, 1…) for x (N, C, …).
fn check_statistics(call: &Call, x: &Operand, statistics: [&Operand; 2]) -> Outcome {
    for o in statistics {
        let fits = x.ndim >= 2
            && o.ndim == x.ndim
            && o.dtype == DType::F64
            && o.is_contiguous()
            && o.numel() == x.dims()[1]
            && o.dims()[1] == x.dims()[1];
        call.require(fits, || format!("statistics of dims {:?}", o.dims()))?;
    }
    Ok(())
}

/// Outputs y, mean and variance (float64, (1, C, 1…)), running mean, running variance (both written in place, or
/// empty); inputs x, weight, bias (either may be empty). Scalars: eps, momentum; with a ReLU and a dropout behind the norm
/// the dropout's chance, seed and offset.
fn train<C: Real>(call: &Call) -> Outcome {
    let [y, mean, variance, running_mean, running_variance] = call.outs() else {
        unreachable!()
    };
    let [x, weight, bias] = call.ins() else {
        unreachable!()
    };
    check_statistics(call, x, [mean, variance])?;
    let channels = x.dims()[1];
    let kind = Deviation {
        correction: 0.0,
        root: false,
    };
    moments::over(call.name, x.dtype.compute(), [variance, mean], x, kind)?;
    // SAFETY: contiguous float64 outputs of so many elements, written just now.
    let (m, v) = unsafe {
        (
            core::slice::from_raw_parts(mean.ptr.cast::<f64>(), channels),
            core::slice::from_raw_parts(variance.ptr.cast::<f64>(), channels),
        )
    };
    let count = (x.numel() / channels.max(1)) as f64;
    let momentum = call.float(1);
    for (running, fresh, scale) in [
        (running_mean, m, 1.0),
        (running_variance, v, count / (count - 1.0)),
    ] {
        if running.dims() != [0] {
            let mut old = values(call.name, running, channels, 0.0)?;
            for (o, f) in old.iter_mut().zip(fresh) {
                *o = (1.0 - momentum) * *o + momentum * f * scale;
            }
            put(running, &old);
        }
    }
    let ending = match call.scalars() {
        [_, _] => None,
        [_, _, chance, seed, offset] => {
            call.require(y.is_contiguous() && y.dtype == C::DTYPE, || {
                "a result before a ReLU must be contiguous".into()
            })?;
            let (chance, stream) = (chance.float(), (seed.int() as u64, offset.int() as u64));
            call.require((0.0..1.0).contains(&chance), || {
                format!("a chance of {chance}")
            })?;
            let dropping = (chance > 0.0).then(|| Dropping::new(chance, stream));
            Some(Ending { dropping })
        }
        _ => bail!("{}: 3 or 4 scalars", call.name),
    };
    forward::<C>(call.name, y, x, [m, v], weight, bias, call.float(0), ending)
}

#[allow(clippy::too_many_arguments)]
fn forward<C: Real>(
    name: &str,
    y: &Operand,
    x: &Operand,
    [mean, variance]: [&[f64]; 2],
    weight: &Operand,
    bias: &Operand,
    eps: f64,
    ending: Option<Ending>,
) -> Outcome {
    let channels = mean.len();
    let (w, b) = (
        values(name, weight, channels, 1.0)?,
        values(name, bias, channels, 0.0)?,
    );
    let mut coefficients = vec![C::ZERO; 4 * channels];
    for c in 0..channels {
        coefficients[c] = C::of(mean[c]);
        coefficients[2 * channels + c] = C::of(w[c] / (variance[c] + eps).sqrt());
        coefficients[3 * channels + c] = C::of(b[c]);
    }
    affine(name, [y, x], &coefficients, ending, C::ONE)
}

/// Output y; inputs x, mean, variance (each (C)), weight, bias (either may be empty). Scalar: eps.
fn eval<C: Real>(call: &Call) -> Outcome {
    let (y, [x, mean, variance, weight, bias]) = (&call.outs()[0], call.ins()) else {
        unreachable!()
    };
    call.require(x.ndim >= 2, || "dims".into())?;
    let channels = x.dims()[1];
    let (m, v) = (
        values(call.name, mean, channels, 0.0)?,
        values(call.name, variance, channels, 1.0)?,
    );
    let eps = call.float(0);
    forward::<C>(call.name, y, x, [&m, &v], weight, bias, eps, None)
}

/// Outputs gx, gweight, gbias (each may be empty); inputs g, x, mean, variance, weight (may be empty), and the result
/// where a ReLU and a dropout followed. Scalars: eps, whether the statistics are those of x itself, and with a result
/// what the dropout multiplied by.
fn backward<C: Real>(call: &Call) -> Outcome {
    let ([gx, gw, gb], [g, x, mean, variance, weight, after @ ..]) = (call.outs(), call.ins())
    else {
        unreachable!()
    };
    call.require(after.len() + 2 == call.scalars().len(), || {
        "a result and a factor go together".into()
    })?;
    call.require(x.ndim >= 2, || "dims".into())?;
    let channels = x.dims()[1];
    let (m, v) = (
        values(call.name, mean, channels, 0.0)?,
        values(call.name, variance, channels, 1.0)?,
    );
    let w = values(call.name, weight, channels, 1.0)?;
    let (eps, training) = (call.float(0), call.float(1) != 0.0);
    let scale = C::of(if after.is_empty() { 1.0 } else { call.float(2) });
    let sums = match after {
        [] => sums(call.name, [g, x], &m, scale)?,
        [y, ..] => sums(call.name, [g, x, y], &m, scale)?,
    };
    let rstd: Vec<f64> = v.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    for (out, value) in [(gw, 0), (gb, 1)] {
        if out.dims() == [0] {
            continue;
        }
        call.require(out.dims() == [channels], || {
            format!("a gradient of dims {:?}", out.dims())
        })?;
        let of = |c: usize| {
            if value == 0 {
                sums[c].1 * rstd[c]
            } else {
                sums[c].0
            }
        };
        put(out, &(0..channels).map(of).collect::<Vec<f64>>());
    }
    if gx.dims() == [0] {
        return Ok(());
    }
    let count = (x.numel() / channels.max(1)) as f64;
    let mut coefficients = vec![C::ZERO; 4 * channels];
    for c in 0..channels {
        let a = w[c] * rstd[c];
        coefficients[c] = C::of(m[c]);
        coefficients[channels + c] = C::of(a);
        if training {
            coefficients[2 * channels + c] = C::of(-a * sums[c].1 * rstd[c] * rstd[c] / count);
            coefficients[3 * channels + c] = C::of(-a * sums[c].0 / count);
        }
    }
    match after {
        [] => affine(call.name, [gx, x, g], &coefficients, None, scale),
        [y, ..] => affine(call.name, [gx, x, g, y], &coefficients, None, scale),
    }
}

pub const ROWS: &[Row] = &[
    Row {
        name: "batch_norm",
        outs: 5,
        ins: (3, 3),
        scalars: (2, 5),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => train::<C>(call)),
        cuda: Some(cuda::train),
    },
    Row {
        name: "batch_norm_eval",
        outs: 1,
        ins: (5, 5),
        scalars: (1, 1),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => eval::<C>(call)),
        cuda: Some(cuda::eval),
    },
    Row {
        name: "batch_norm_grad",
        outs: 3,
        ins: (5, 6),
        scalars: (2, 3),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[1].dtype.compute(), C => backward::<C>(call)),
        cuda: Some(cuda::backward),
    },
];
