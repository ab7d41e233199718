//! Running reductions along one dim: cumsum, cumprod, logcumsumexp, cummax and cummin with places.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use super::nest::{Nest, Place};
use super::real::Real;
use super::reduction::is_nan;
use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Row};
use crate::memory::Scratch;
use crate::{pool, with_compute, with_real};

const GRAIN: usize = 16 * 1024;

/// Walks the lines along the dim of scalar 1: each is brought in, changed by `body` (which may fill places), stored.
fn lines<C: Number, const K: usize>(
    call: &Call,
    body: &(dyn Fn(&mut [C], &mut [i64]) + Sync),
) -> Outcome {
    let all = call.all();
    let (dims, d) = (all[0].dims(), call.count(1)?);
    call.require(
        all.len() == K && all.iter().all(|o| o.dims() == dims),
        || "the operands differ in shape".into(),
    )?;
    call.require(d < dims.len().max(1), || {
        format!("dim {d} of {} dims", dims.len())
    })?;
    call.require(K == 2 || all[1].dtype == DType::I64, || {
        "places must be int64".into()
    })?;
    let mut others = [(0, [0isize; K]); MAX_DIMS];
    let mut m = 0;
    for i in (0..dims.len()).filter(|&i| i != d) {
        others[m] = (dims[i], core::array::from_fn(|k| all[k].strides()[i]));
        m += 1;
    }
    let outer = Nest::<K>::new(&others[..m]);
    let n = dims.get(d).copied().unwrap_or(1);
    let along: [isize; K] = core::array::from_fn(|k| {
        if dims.is_empty() {
            1
        } else {
            all[k].strides()[d]
        }
    });
    if n == 0 || outer.numel == 0 {
        return Ok(());
    }
    let places: [Place; K] = core::array::from_fn(|k| Place::of(&all[k]));
    let grain = GRAIN.div_ceil(n);
    let tasks = outer.numel.div_ceil(grain);
    let (values, indices) = (
        Scratch::new::<C>(tasks * n)?,
        Scratch::new::<i64>(if K == 3 { tasks * n } else { 0 })?,
    );
    let values = Place {
        ptr: values.as_ptr(),
        dtype: C::DTYPE,
    };
    let indices = Place {
        ptr: indices.as_ptr(),
        dtype: DType::I64,
    };
    pool::parallel_ranges(outer.numel, grain, &|range| {
        let task = (range.start / grain * n) as isize;
        // SAFETY: n elements of this task's own in each area.
        let (line, which) = unsafe {
            let line: *mut C = values.at(task).cast();
            let which: *mut i64 = if K == 3 {
                indices.at(task).cast()
            } else {
                core::ptr::NonNull::dangling().as_ptr()
            };
            core::ptr::write_bytes(line, 0, n);
            core::ptr::write_bytes(which, 0, if K == 3 { n } else { 0 });
            (
                core::slice::from_raw_parts_mut(line, n),
                core::slice::from_raw_parts_mut(which, if K == 3 { n } else { 0 }),
            )
        };
        outer.runs(range.start, range.len(), |offset, stride, _, length| {
            for i in 0..length as isize {
                let at = |k: usize| offset[k] + i * stride[k];
                // SAFETY: lines of n checked elements.
                unsafe {
                    places[K - 1].gather(at(K - 1), along[K - 1], line.as_mut_ptr(), n);
                    body(line, which);
                    places[0].scatter(at(0), along[0], line.as_ptr(), n);
                    if K == 3 {
                        places[1].scatter(at(1), along[1], which.as_ptr(), n);
                    }
                }
            }
        });
    });
    Ok(())
}

/// Adds or multiplies with a wider running value where the compute type is float32.
trait Running: Number {
    fn sums(line: &mut [Self]);
    fn products(line: &mut [Self]);
}

macro_rules! running {
    ($($c:ty, $wide:ty, $add:expr, $mul:expr);*) => { $(
        impl Running for $c {
            fn sums(line: &mut [$c]) {
                let mut total = 0 as $wide;
                for x in line { total = $add(total, *x as $wide); *x = total as $c; }
            }
            fn products(line: &mut [$c]) {
                let mut total = 1 as $wide;
                for x in line { total = $mul(total, *x as $wide); *x = total as $c; }
            }
        }
    )* };
}
running!(
    f32, f64, |a: f64, b| a + b, |a: f64, b| a * b;
    f64, f64, |a: f64, b| a + b, |a: f64, b| a * b;
    i64, i64, i64::wrapping_add, i64::wrapping_mul
);

/// The gradient of one line: of the first input and the second, where there is one.
type LineGradient = dyn Fn(&[f64], &[f64], &mut [f64]) + Sync;

/// Walks lines of one or two inputs and writes a third of their own: out, then the inputs, in float64.
fn gradients<const K: usize>(call: &Call, body: &LineGradient) -> Outcome {
    let all = call.all();
    let (dims, d) = (all[0].dims(), call.count(1)?);
    call.require(
        all.len() == K && all.iter().all(|o| o.dims() == dims),
        || "the operands differ in shape".into(),
    )?;
    call.require(d < dims.len().max(1), || {
        format!("dim {d} of {} dims", dims.len())
    })?;
    let mut others = [(0, [0isize; K]); MAX_DIMS];
    let mut m = 0;
    for i in (0..dims.len()).filter(|&i| i != d) {
        others[m] = (dims[i], core::array::from_fn(|k| all[k].strides()[i]));
        m += 1;
    }
    let outer = Nest::<K>::new(&others[..m]);
    let n = dims.get(d).copied().unwrap_or(1);
    let along: [isize; K] = core::array::from_fn(|k| {
        if dims.is_empty() {
            1
        } else {
            all[k].strides()[d]
        }
    });
    if n == 0 || outer.numel == 0 {
        return Ok(());
    }
    let places: [Place; K] = core::array::from_fn(|k| Place::of(&all[k]));
    let grain = GRAIN.div_ceil(n);
    let scratch = Scratch::new::<f64>(outer.numel.div_ceil(grain) * K * n)?;
    let base = Place {
        ptr: scratch.as_ptr(),
        dtype: DType::F64,
    };
    pool::parallel_ranges(outer.numel, grain, &|range| {
        // SAFETY: K lines of this task's own, zeroed before they are read.
        let area = unsafe {
            let area: *mut f64 = base.at((range.start / grain * K * n) as isize).cast();
            core::ptr::write_bytes(area, 0, K * n);
            core::slice::from_raw_parts_mut(area, K * n)
        };
        let (to, from) = area.split_at_mut(n);
        outer.runs(range.start, range.len(), |offset, stride, _, length| {
            for i in 0..length as isize {
                for k in 1..K {
                    let line = &mut from[(k - 1) * n..k * n];
                    // SAFETY: a line of n checked elements.
                    unsafe {
                        places[k].gather(offset[k] + i * stride[k], along[k], line.as_mut_ptr(), n)
                    };
                }
                let (first, rest) = from.split_at(n);
                body(first, if K == 3 { rest } else { first }, to);
                // SAFETY: as above.
                unsafe { places[0].scatter(offset[0] + i * stride[0], along[0], to.as_ptr(), n) };
            }
        });
    });
    Ok(())
}

/// For each element the product of all others; by division where none is 0, so that NaN spreads as in PyTorch.
fn others(x: &[f64], out: &mut [f64]) {
    if !x.contains(&0.0) {
        let total: f64 = x.iter().product();
        out.iter_mut().zip(x).for_each(|(o, &v)| *o = total / v);
        return;
    }
    let mut before = 1.0;
    for (o, &v) in out.iter_mut().zip(x) {
        *o = before;
        before *= v;
    }
    let mut after = 1.0;
    for (o, &v) in out.iter_mut().zip(x).rev() {
        *o *= after;
        after *= v;
    }
}

/// The gradient of cumprod: `gx_i = Σ_(k ≥ i) g_k y_k / x_i` where no x is 0, else `P_i S_i` with the product P before i
/// and `S_i = g_i + x_(i+1) S_(i+1)`.
fn products_back(g: &[f64], x: &[f64], out: &mut [f64]) {
    if !x.contains(&0.0) {
        let mut product = 1.0;
        for ((o, &v), &g) in out.iter_mut().zip(x).zip(g) {
            product *= v;
            *o = g * product;
        }
        let mut sum = 0.0;
        for (o, &v) in out.iter_mut().zip(x).rev() {
            sum += *o;
            *o = sum / v;
        }
        return;
    }
    let mut before = 1.0;
    for (o, &v) in out.iter_mut().zip(x) {
        *o = before;
        before *= v;
    }
    let mut after = 0.0;
    for i in (0..x.len()).rev() {
        after = g[i]
            + if i + 1 < x.len() {
                x[i + 1] * after
            } else {
                0.0
            };
        out[i] *= after;
    }
}

fn extremes<C: Number>(line: &mut [C], places: &mut [i64], greatest: bool) {
    let (mut best, mut place) = (line[0], 0);
    for (i, (x, p)) in line.iter_mut().zip(places).enumerate() {
        // The last of equal elements is named, and NaN stays once met.
        let wins = if greatest { *x >= best } else { *x <= best };
        if is_nan(*x) || (wins && !is_nan(best)) {
            (best, place) = (*x, i as i64);
        }
        (*x, *p) = (best, place);
    }
}

fn log_sums<C: Real>(line: &mut [C]) {
    let (mut most, mut total) = (f64::NEG_INFINITY, 0.0f64);
    for x in line {
        let v = x.to_f64();
        if v > most {
            total = total * (most - v).exp() + 1.0;
            most = v;
        } else if v != f64::NEG_INFINITY {
            total += (v - most).exp();
        }
        *x = C::of(if most == f64::NEG_INFINITY && total == 0.0 {
            most
        } else {
            most + total.ln()
        });
        if most == f64::INFINITY && !total.is_nan() {
            *x = C::of(most);
        }
    }
}

/// Scalars: the dtype to compute in, the dim.
pub const ROWS: &[Row] = &[
    Row {
        name: "cumsum",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_compute!(call.dtype(0)?.compute(), C => lines::<C, 2>(call, &|line, _| C::sums(line))),
    },
    Row {
        name: "cumprod",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_compute!(call.dtype(0)?.compute(), C => lines::<C, 2>(call, &|line, _| C::products(line))),
    },
    Row {
        name: "logcumsumexp",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_real!(call.name, call.dtype(0)?.compute(), C => lines::<C, 2>(call, &|line, _| log_sums(line))),
    },
    Row {
        name: "cum_extreme",
        outs: 2,
        ins: (1, 1),
        scalars: (3, 3),
        alias: false,
        run: |call| {
            let greatest = call.float(2) != 0.0;
            with_compute!(call.dtype(0)?.compute(), C => lines::<C, 3>(call, &|line, places| extremes(line, places, greatest)))
        },
    },
    Row {
        name: "prod_others",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| gradients::<2>(call, &|x, _, out| others(x, out)),
    },
    Row {
        name: "cumprod_grad",
        outs: 1,
        ins: (2, 2),
        scalars: (2, 2),
        alias: false,
        run: |call| gradients::<3>(call, &|g, x, out| products_back(g, x, out)),
    },
];
