//! Layer norm and root-mean-square norm over the last dims: x (R, C) as rows, any strides; forward and backward.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::nest::{Nest, Place};
use super::real::Real;
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::{bail, pool, simd, with_real};

const LANES: usize = 16;
/// Elements whose sum stays in lanes of the compute type.
const BLOCK: usize = 1024;
const GRAIN: usize = 32 * 1024;

/// Rows of K operands of one shape, and the loops inside a row.
struct Rows<const K: usize> {
    rows: Nest<K>,
    within: Nest<K>,
    places: [Place; K],
    direct: [bool; K],
}

impl<const K: usize> Rows<K> {
    /// The last `last` dims make a row.
    fn new<C: Real>(name: &str, operands: [&Operand; K], last: usize) -> Outcome<Rows<K>> {
        let dims = operands[0].dims();
        if last > dims.len() || operands.iter().any(|o| o.dims() != dims) {
            bail!(
                "{name}: the last {last} dims of {:?}",
                operands.map(|o| o.dims())
            );
        }
        let mut loops = [(0, [0isize; K]); MAX_DIMS];
        for (d, l) in loops[..dims.len()].iter_mut().enumerate() {
            *l = (dims[d], core::array::from_fn(|k| operands[k].strides()[d]));
        }
        let (outer, inner) = loops[..dims.len()].split_at(dims.len() - last);
        let within = Nest::new(inner);
        let dense = |k: usize| within.ndim == 0 || (within.ndim == 1 && within.strides[0][k] == 1);
        let direct = core::array::from_fn(|k| operands[k].dtype == C::DTYPE && dense(k));
        Ok(Rows {
            rows: Nest::new(outer),
            within,
            places: operands.map(Place::of),
            direct,
        })
    }

    /// A row of operand k in the compute type: in place, or brought into the buffer.
    unsafe fn read<C: Real>(&self, k: usize, offset: isize, buffer: *mut C) -> *const C {
        if self.direct[k] {
            return self.places[k].at(offset).cast();
        }
        self.within.runs(0, self.within.numel, |o, s, at, n| {
            // SAFETY: checked elements, and a buffer with room for a row.
            unsafe { self.places[k].gather(offset + o[k], s[k], buffer.add(at), n) };
        });
        buffer
    }

    unsafe fn write<C: Real>(&self, k: usize, offset: isize, row: *const C) {
        self.within.runs(0, self.within.numel, |o, s, at, n| {
            // SAFETY: checked elements of an output, and a full row.
            unsafe { self.places[k].scatter(offset + o[k], s[k], row.add(at), n) };
        });
    }
}

simd! {
    /// `Σ (x - m)^p` for p = 1 or 2.
    unsafe fn moment<C: Real>(x: *const C, n: usize, m: C, square: bool) -> f64 {
        let mut total = 0.0;
        let mut from = 0;
        // SAFETY: the caller gives n elements.
        unsafe {
            while from < n {
                let size = if n - from < BLOCK { n - from } else { BLOCK };
                let mut lanes = [C::ZERO; LANES];
                let whole = size / LANES * LANES;
                let mut i = 0;
                while i < whole {
                    for l in 0..LANES {
                        let d = *x.add(from + i + l) - m;
                        lanes[l] += if square { d * d } else { d };
                    }
                    i += LANES;
                }
                let mut l = 0;
                while i < size {
                    let d = *x.add(from + i) - m;
                    lanes[l] += if square { d * d } else { d };
                    l += 1;
                    i += 1;
                }
                let lanes = simd::lanes(lanes);
                for l in 0..LANES { total += lanes[l].to_f64(); }
                from += size;
            }
        }
        total
    }
}

simd! {
    /// `y = (x - m) r w + b`, w and b optional.
    unsafe fn normalise<C: Real>(x: *const C, y: *mut C, w: *const C, b: *const C, n: usize, m: C, r: C) {
        // SAFETY: the caller gives n elements of each that is not null.
        unsafe {
            if w.is_null() {
                for i in 0..n { *y.add(i) = (*x.add(i) - m) * r; }
            } else if b.is_null() {
                for i in 0..n { *y.add(i) = (*x.add(i) - m) * r * *w.add(i); }
            } else {
                for i in 0..n { *y.add(i) = (*x.add(i) - m) * r * *w.add(i) + *b.add(i); }
            }
        }
    }
}

simd! {
    /// `(Σ g w, Σ g w h)` with h = (x - m) r, and the row's share `gw += g h`, `gb += g`.
    unsafe fn row_sums<C: Real>(g: *const C, x: *const C, w: *const C, gw: *mut C, gb: *mut C, n: usize, m: C, r: C) -> (f64, f64) {
        let mut totals = (0.0, 0.0);
        let mut from = 0;
        // SAFETY: the caller gives n elements of each that is not null.
        unsafe {
            if !gw.is_null() {
                for i in 0..n {
                    *gw.add(i) += *g.add(i) * ((*x.add(i) - m) * r);
                    *gb.add(i) += *g.add(i);
                }
            }
            while from < n {
                let size = if n - from < BLOCK { n - from } else { BLOCK };
                let (mut s, mut t) = ([C::ZERO; LANES], [C::ZERO; LANES]);
                let whole = size / LANES * LANES;
                let mut i = 0;
                while i < whole {
                    for l in 0..LANES {
                        let at = from + i + l;
                        let d = if w.is_null() { *g.add(at) } else { *g.add(at) * *w.add(at) };
                        s[l] += d;
                        t[l] += d * ((*x.add(at) - m) * r);
                    }
                    i += LANES;
                }
                let mut l = 0;
                while i < size {
                    let at = from + i;
                    let d = if w.is_null() { *g.add(at) } else { *g.add(at) * *w.add(at) };
                    s[l] += d;
                    t[l] += d * ((*x.add(at) - m) * r);
                    l += 1;
                    i += 1;
                }
                let (s, t) = (simd::lanes(s), simd::lanes(t));
                for l in 0..LANES {
                    totals.0 += s[l].to_f64();
                    totals.1 += t[l].to_f64();
                }
                from += size;
            }
        }
        totals
    }
}

simd! {
    /// `gx = r (g w - s - h t)`
    unsafe fn row_gradient<C: Real>(g: *const C, x: *const C, w: *const C, gx: *mut C, n: usize, m: C, r: C, s: C, t: C) {
        // SAFETY: the caller gives n elements of each that is not null.
        unsafe {
            if w.is_null() {
                for i in 0..n { *gx.add(i) = (*g.add(i) - s - (*x.add(i) - m) * r * t) * r; }
            } else {
                for i in 0..n { *gx.add(i) = (*g.add(i) * *w.add(i) - s - (*x.add(i) - m) * r * t) * r; }
            }
        }
    }
}

/// A parameter of a row's dims in the compute type; empty when the operand is.
fn parameter<C: Real>(name: &str, o: &Operand, x: &Operand, last: usize) -> Outcome<Vec<C>> {
    let dims = &x.dims()[x.ndim - last..];
    if o.dims() == [0] && dims != [0] {
        return Ok(Vec::new());
    }
    if o.dims() != dims {
        bail!(
            "{name}: a parameter of dims {:?} for rows of {dims:?}",
            o.dims()
        );
    }
    let mut loops = [(0, [0isize; 1]); MAX_DIMS];
    for (d, l) in loops[..last].iter_mut().enumerate() {
        *l = (dims[d], [o.strides()[d]]);
    }
    let nest = Nest::<1>::new(&loops[..last]);
    let mut out = vec![C::ZERO; nest.numel];
    nest.runs(0, nest.numel, |[offset], [stride], at, n| {
        // SAFETY: checked elements into a vector with room for all.
        unsafe { Place::of(o).gather(offset, stride, out.as_mut_ptr().add(at), n) };
    });
    Ok(out)
}

fn pointer<C>(x: &[C]) -> *const C {
    if x.is_empty() {
        core::ptr::null()
    } else {
        x.as_ptr()
    }
}

/// Per-row statistics that threads write or read: a contiguous operand of the compute type.
fn statistics<C: Real>(name: &str, o: &Operand, rows: usize) -> Outcome<Place> {
    if o.dims() != [rows] || o.dtype != C::DTYPE || !o.is_contiguous() {
        bail!("{name}: statistics of dims {:?} for {rows} rows", o.dims());
    }
    Ok(Place::of(o))
}

/// Outputs y, mean (R), rstd (R); inputs x, weight, bias ((C), or empty). Scalars: dims of a row, eps, whether the
/// mean is left alone (root-mean-square norm).
fn forward<C: Real>(call: &Call) -> Outcome {
    let ([y, mean, rstd], [x, weight, bias]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let (eps, rms) = (call.float(1), call.float(2) != 0.0);
    let last = call.count(0)?;
    let layout = Rows::<2>::new::<C>(call.name, [y, x], last)?;
    let (rows, n) = (layout.rows.numel, layout.within.numel);
    let (w, b) = (
        parameter::<C>(call.name, weight, x, last)?,
        parameter::<C>(call.name, bias, x, last)?,
    );
    call.require(b.is_empty() || !w.is_empty(), || {
        "a bias without a weight".into()
    })?;
    let (mean, rstd) = (
        statistics::<C>(call.name, mean, rows)?,
        statistics::<C>(call.name, rstd, rows)?,
    );
    if n == 0 {
        return Ok(());
    }
    let grain = GRAIN.div_ceil(n);
    let all_direct = layout.direct == [true; 2];
    let scratch = Scratch::new::<C>(if all_direct {
        0
    } else {
        rows.div_ceil(grain) * 2 * n
    })?;
    let base = Place {
        ptr: scratch.as_ptr(),
        dtype: C::DTYPE,
    };
    pool::parallel_ranges(rows, grain, &|range| {
        let buffer = if all_direct {
            base.at(0).cast()
        } else {
            base.at((range.start / grain * 2 * n) as isize).cast::<C>()
        };
        layout
            .rows
            .runs(range.start, range.len(), |offset, stride, at, length| {
                for i in 0..length {
                    let [oy, ox] = core::array::from_fn(|k| offset[k] + i as isize * stride[k]);
                    let row = (range.start + at + i) as isize;
                    // SAFETY: rows of n checked elements; buffers of this task's own with room for two.
                    unsafe {
                        let px = layout.read(1, ox, buffer);
                        let m = if rms {
                            0.0
                        } else {
                            moment::<C>(px, n, C::ZERO, false) / n as f64
                        };
                        let m = C::of(m);
                        let r = C::of(1.0 / (moment::<C>(px, n, m, true) / n as f64 + eps).sqrt());
                        *mean.at(row).cast() = m;
                        *rstd.at(row).cast() = r;
                        let py = if layout.direct[0] {
                            layout.places[0].at(oy).cast()
                        } else {
                            buffer.add(n)
                        };
                        normalise::<C>(px, py, pointer(&w), pointer(&b), n, m, r);
                        if !layout.direct[0] {
                            layout.write(0, oy, py.cast_const());
                        }
                    }
                }
            });
    });
    Ok(())
}

/// Outputs gx, gweight (C), gbias (C) (each may be empty); inputs g, x, mean, rstd, weight. Scalars: dims of a row,
/// whether the mean was left alone.
fn backward<C: Real>(call: &Call) -> Outcome {
    let ([gx, gw, gb], [g, x, mean, rstd, weight]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let (last, rms) = (call.count(0)?, call.float(1) != 0.0);
    let wanted = gx.dims() != [0] || x.numel() == 0;
    let layout = Rows::<3>::new::<C>(call.name, [if wanted { gx } else { x }, g, x], last)?;
    let (rows, n) = (layout.rows.numel, layout.within.numel);
    let w = parameter::<C>(call.name, weight, x, last)?;
    let (mean, rstd) = (
        statistics::<C>(call.name, mean, rows)?,
        statistics::<C>(call.name, rstd, rows)?,
    );
    let parameters = [gw, gb].iter().any(|o| o.dims() != [0]);
    for o in [gw, gb] {
        call.require(o.dims() == [0] || o.dims() == [n], || {
            format!("a gradient of dims {:?}", o.dims())
        })?;
    }
    if n == 0 {
        return Ok(());
    }
    // At most 32 partial sums of the parameters' gradients, whatever the number of threads.
    let grain = GRAIN.div_ceil(n).max(rows.div_ceil(32));
    let tasks = rows.div_ceil(grain);
    let scratch = Scratch::new::<C>(tasks * 5 * n)?;
    let base = Place {
        ptr: scratch.as_ptr(),
        dtype: C::DTYPE,
    };
    pool::parallel_ranges(rows, grain, &|range| {
        let buffer = base.at((range.start / grain * 5 * n) as isize).cast::<C>();
        // SAFETY: five rows of this task's own.
        let (sw, sb) = unsafe { (buffer.add(3 * n), buffer.add(4 * n)) };
        for i in 0..2 * n {
            // SAFETY: as above.
            unsafe { *sw.add(i) = C::ZERO };
        }
        layout
            .rows
            .runs(range.start, range.len(), |offset, stride, at, length| {
                for i in 0..length {
                    let [oy, og, ox] = core::array::from_fn(|k| offset[k] + i as isize * stride[k]);
                    let row = (range.start + at + i) as isize;
                    // SAFETY: rows of n checked elements; buffers of this task's own.
                    unsafe {
                        let (pg, px) = (
                            layout.read(1, og, buffer),
                            layout.read(2, ox, buffer.add(n)),
                        );
                        let (m, r) = (*mean.at(row).cast::<C>(), *rstd.at(row).cast::<C>());
                        let (sw, sb) = if parameters {
                            (sw, sb)
                        } else {
                            (core::ptr::null_mut(), core::ptr::null_mut())
                        };
                        let (s, t) = row_sums::<C>(pg, px, pointer(&w), sw, sb, n, m, r);
                        if !wanted {
                            continue;
                        }
                        let s = if rms { C::ZERO } else { C::of(s / n as f64) };
                        let py = if layout.direct[0] {
                            layout.places[0].at(oy).cast()
                        } else {
                            buffer.add(2 * n)
                        };
                        row_gradient::<C>(pg, px, pointer(&w), py, n, m, r, s, C::of(t / n as f64));
                        if !layout.direct[0] {
                            layout.write(0, oy, py.cast_const());
                        }
                    }
                }
            });
    });
    for (which, out) in [gw, gb]
        .into_iter()
        .enumerate()
        .filter(|(_, o)| o.dims() != [0])
    {
        let mut total = vec![0.0f64; n];
        for task in 0..tasks {
            for (i, t) in total.iter_mut().enumerate() {
                // SAFETY: every task filled its rows.
                *t +=
                    unsafe { *scratch.as_ptr::<C>().add((task * 5 + 3 + which) * n + i) }.to_f64();
            }
        }
        // SAFETY: a checked output of n elements.
        unsafe { Place::of(out).scatter(0, out.strides()[0], total.as_ptr(), n) };
    }
    Ok(())
}

/// The forms on CUDA; the kernels are in layer_norm.cu.
mod cuda {
    use super::*;
    use crate::cuda::Scratch;
    use crate::dtype::{Compute, DType};
    use crate::ops::lines::{Lines, Part};

    const THREADS: u32 = 256;
    /// Columns that a block sums, as in layer_norm.cu.
    const STRIP: usize = 128;
    /// Blocks that sum columns, some, and rows that each has at least.
    const BLOCKS: usize = 1024;
    const ROWS_OF_PIECE: usize = 32;

    /// A parameter or gradient of a row's dims, which are the last of `dims`; absent where it is empty.
    fn along<'a>(
        call: &Call,
        o: &'a Operand,
        dims: &[usize],
        last: usize,
        strides: &'a mut [isize; MAX_DIMS],
    ) -> Outcome<Part<'a>> {
        let lead = dims.len() - last;
        if o.dims() == [0] && dims[lead..] != [0] {
            return Ok(Part::NONE);
        }
        call.require(o.dims() == &dims[lead..], || {
            format!(
                "a parameter of dims {:?} for rows of {:?}",
                o.dims(),
                &dims[lead..]
            )
        })?;
        strides[lead..dims.len()].copy_from_slice(o.strides());
        Ok(Part::with(o, &strides[..dims.len()]))
    }

    fn check(
        call: &Call,
        operands: &[&Operand],
        statistics: [&Operand; 2],
    ) -> Outcome<(usize, Compute)> {
        let (last, dims, compute) = (
            call.count(0)?,
            operands[0].dims(),
            operands[0].dtype.compute(),
        );
        let alike = last <= dims.len() && operands.iter().all(|o| o.dims() == dims);
        call.require(alike && compute != Compute::I64, || {
            format!("the last {last} dims of {dims:?}")
        })?;
        let rows: usize = dims[..dims.len() - last].iter().product();
        for o in statistics {
            let fits = o.dims() == [rows] && o.dtype.compute() == compute && o.is_contiguous();
            call.require(fits && o.dtype.size() >= 4, || {
                format!("statistics of dims {:?} for {rows} rows", o.dims())
            })?;
        }
        Ok((last, compute))
    }

    pub fn forward(call: &Call) -> Outcome {
        let ([y, mean, rstd], [x, weight, bias]) = (call.outs(), call.ins()) else {
            unreachable!()
        };
        let (last, compute) = check(call, &[x, y], [mean, rstd])?;
        let lead = x.ndim - last;
        let (mut of_weight, mut of_bias) = ([0; MAX_DIMS], [0; MAX_DIMS]);
        let parts = [
            Part::of(y),
            Part::of(x),
            Part::with(mean, &[]),
            Part::with(rstd, &[]),
            along(call, weight, x.dims(), last, &mut of_weight)?,
            along(call, bias, x.dims(), last, &mut of_bias)?,
        ];
        let mut lines = Lines::new(call, x.dims(), |d| d >= lead, &parts)?;
        lines.numbers[..2].copy_from_slice(&[call.float(1), call.float(2)]);
        if lines.count() == 0 || lines.length() == 0 {
            return Ok(());
        }
        lines.launch_rows(call, "layer_norm", compute, &[0, 1, 4, 5])
    }

    pub fn backward(call: &Call) -> Outcome {
        let ([gx, gw, gb], [g, x, mean, rstd, weight]) = (call.outs(), call.ins()) else {
            unreachable!()
        };
        let wanted = gx.dims() != [0] || x.numel() == 0;
        let (last, compute) = check(call, &[x, g, if wanted { gx } else { x }], [mean, rstd])?;
        let lead = x.ndim - last;
        let mut of_weight = [0; MAX_DIMS];
        let part = along(call, weight, x.dims(), last, &mut of_weight)?;
        let parts = [
            if wanted { Part::of(gx) } else { Part::NONE },
            Part::of(g),
            Part::of(x),
            Part::with(mean, &[]),
            Part::with(rstd, &[]),
            part,
        ];
        let mut lines = Lines::new(call, x.dims(), |d| d >= lead, &parts)?;
        lines.numbers[1] = call.float(1);
        let (rows, n) = (lines.count(), lines.length());
        if n == 0 {
            return Ok(());
        }
        if wanted && rows > 0 {
            lines.launch_rows(call, "layer_norm_grad", compute, &[0, 1, 2, 5])?;
        }
        let gradients = [gw, gb];
        if gradients.iter().all(|o| o.dims() == [0]) {
            return Ok(());
        }
        for o in gradients {
            call.require(o.dims() == [0] || o.dims() == [n], || {
                format!("a gradient of dims {:?}", o.dims())
            })?;
        }
        // As many blocks as keep a device busy, of at least some rows each; by the shape only.
        let strips = n.div_ceil(STRIP);
        let pieces = (BLOCKS / strips).clamp(1, rows.div_ceil(ROWS_OF_PIECE).max(1));
        let piece = rows.div_ceil(pieces).max(1);
        let pieces = rows.div_ceil(piece);
        let scratch = Scratch::new(crate::cuda::gpu(call.device)?, pieces * 2 * n * 8)?;
        let sums = || Part::at(scratch.address(), DType::F64, &[]);
        let parts = [
            Part::NONE,
            Part::of(g),
            Part::of(x),
            Part::with(mean, &[]),
            Part::with(rstd, &[]),
            Part::NONE,
            sums(),
        ];
        let mut lines = Lines::new(call, x.dims(), |d| d >= lead, &parts)?;
        lines.numbers[2..4].copy_from_slice(&[piece as f64, pieces as f64]);
        if rows > 0 {
            let kernel = ("layer_norm_columns", compute);
            lines.launch_rows_in(call, kernel, &[1, 2], (pieces * strips, THREADS))?;
        }
        let to = |o| {
            if Operand::dims(o) == [0] {
                Part::NONE
            } else {
                Part::of(o)
            }
        };
        let parts = [
            to(gw),
            to(gb),
            Part::NONE,
            Part::NONE,
            Part::NONE,
            Part::NONE,
            sums(),
        ];
        let mut lines = Lines::new(call, &[n], |_| true, &parts)?;
        lines.numbers[3] = pieces as f64;
        let blocks = n.div_ceil(THREADS as usize / 32);
        lines.launch_in(call, "layer_norm_join", compute, blocks, THREADS)
    }
}

pub const ROWS: &[Row] = &[
    Row {
        name: "layer_norm",
        outs: 3,
        ins: (3, 3),
        scalars: (3, 3),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => forward::<C>(call)),
        cuda: Some(cuda::forward),
    },
    Row {
        name: "layer_norm_grad",
        outs: 3,
        ins: (5, 5),
        scalars: (2, 2),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[1].dtype.compute(), C => backward::<C>(call)),
        cuda: Some(cuda::backward),
    },
];
