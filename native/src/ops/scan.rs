//! Running reductions along one dim: cumsum, cumprod, logcumsumexp, cummax and cummin with places.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

pub mod cuda;

use super::nest::{Nest, Place};
use super::real::Real;
use super::reduction::is_nan;
use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, Row};
use crate::memory::Scratch;
use crate::{pool, simd, stream, with_compute, with_real};
use core::marker::PhantomData;

const GRAIN: usize = 16 * 1024;
/// Neighbours of a line that are joined at once.
const LANES: usize = 8;
/// Lines that are worked side by side, and elements of a line that are brought in at a time.
const WIDTH: usize = 1024;

/// Lines of n elements along the dim of scalar 1 of K operands of one shape.
struct Lines<const K: usize> {
    outer: Nest<K>,
    n: usize,
    along: [isize; K],
    places: [Place; K],
}

impl<const K: usize> Lines<K> {
    fn new(call: &Call) -> Outcome<Lines<K>> {
        let all = call.all();
        let (dims, d) = (all[0].dims(), call.count(1)?);
        call.require(
            all.len() == K && all.iter().all(|o| o.dims() == dims),
            || "the operands differ in shape".into(),
        )?;
        call.require(d < dims.len().max(1), || {
            format!("dim {d} of {} dims", dims.len())
        })?;
        let outer = Nest::<K>::beside(core::array::from_fn(|k| &all[k]), d);
        let n = dims.get(d).copied().unwrap_or(1);
        let along: [isize; K] = core::array::from_fn(|k| {
            if dims.is_empty() {
                1
            } else {
                all[k].strides()[d]
            }
        });
        Ok(Lines {
            outer,
            n,
            along,
            places: core::array::from_fn(|k| Place::of(&all[k])),
        })
    }
}

/// Walks the lines along the dim of scalar 1: each is brought in, changed by `body` (which may fill places), stored.
fn lines<C: Number, const K: usize>(
    call: &Call,
    body: &(dyn Fn(&mut [C], &mut [i64]) + Sync),
) -> Outcome {
    let Lines {
        outer,
        n,
        along,
        places,
    } = Lines::<K>::new(call)?;
    call.require(K == 2 || places[1].dtype == DType::I64, || {
        "places must be int64".into()
    })?;
    if n == 0 || outer.numel == 0 {
        return Ok(());
    }
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

/// A running sum or product, in a wider type where the compute type is float32.
trait Running: Sync {
    type Value: Number;
    type Wide: Copy;
    const START: Self::Wide;
    fn widen(x: Self::Value) -> Self::Wide;
    fn narrow(x: Self::Wide) -> Self::Value;
    fn join(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// As `along`, for as many of n elements as there is a hand-written form for: how many, and their last.
    ///
    /// # Safety
    /// There are n elements of each.
    unsafe fn head(
        _x: *const Self::Value,
        _out: *mut Self::Value,
        _n: usize,
        before: Self::Wide,
    ) -> (usize, Self::Wide) {
        (0, before)
    }
}

struct Sums<C>(PhantomData<C>);
struct Products<C>(PhantomData<C>);

macro_rules! running {
    ($($kind:ident<$c:ty>: $wide:ty, $start:literal, |$a:ident, $b:ident| $join:expr $(, $head:path)?);*) => { $(
        impl Running for $kind<$c> {
            type Value = $c;
            type Wide = $wide;
            const START: $wide = $start as $wide;
            #[inline(always)]
            fn widen(x: $c) -> $wide { x as $wide }
            #[inline(always)]
            fn narrow(x: $wide) -> $c { x as $c }
            #[inline(always)]
            fn join($a: $wide, $b: $wide) -> $wide { $join }
            $(unsafe fn head(x: *const $c, out: *mut $c, n: usize, before: $wide) -> (usize, $wide) {
                // SAFETY: as promised by the caller.
                unsafe { $head(x, out, n, before) }
            })?
        }
    )* };
}
running!(
    Sums<f32>: f64, 0, |a, b| a + b, sums_head;
    Sums<f64>: f64, 0, |a, b| a + b;
    Sums<i64>: i64, 0, |a, b| a.wrapping_add(b);
    Products<f32>: f64, 1, |a, b| a * b;
    Products<f64>: f64, 1, |a, b| a * b;
    Products<i64>: i64, 1, |a, b| a.wrapping_mul(b)
);

simd! {
    /// Running values of n neighbours on top of `before`; gives the last. Eight at a time are joined with those one,
    /// two and four places before, so that only one operation waits for the eight before. `out` may be `x`.
    unsafe fn along<R: Running>(x: *const R::Value, out: *mut R::Value, n: usize, before: R::Wide) -> R::Wide {
        let mut before = before;
        let whole = n / LANES * LANES;
        // SAFETY: the caller gives n elements of each.
        unsafe {
            let mut i = 0;
            while i < whole {
                let mut v: [R::Wide; LANES] = core::array::from_fn(|l| R::widen(*x.add(i + l)));
                for step in [1, 2, 4] {
                    let w: [R::Wide; LANES] =
                        core::array::from_fn(|l| if l < step { R::START } else { v[l - step] });
                    for l in 0..LANES { v[l] = R::join(w[l], v[l]); }
                }
                for l in 0..LANES { *out.add(i + l) = R::narrow(R::join(before, v[l])); }
                before = R::join(before, v[LANES - 1]);
                i += LANES;
            }
            while i < n {
                before = R::join(before, R::widen(*x.add(i)));
                *out.add(i) = R::narrow(before);
                i += 1;
            }
        }
        before
    }
}

simd! {
    /// One step of `n` lines side by side.
    unsafe fn across<R: Running>(x: *const R::Value, out: *mut R::Value, n: usize, totals: &mut [R::Wide; WIDTH]) {
        for l in 0..if n < WIDTH { n } else { WIDTH } {
            // SAFETY: the caller gives n elements of each.
            unsafe {
                totals[l] = R::join(totals[l], R::widen(*x.add(l)));
                *out.add(l) = R::narrow(totals[l]);
            }
        }
    }
}

/// Eights of float32 with AVX-512: what LLVM makes of `along` is three times slower.
///
/// # Safety
/// There are n elements of each.
unsafe fn sums_head(x: *const f32, out: *mut f32, n: usize, before: f64) -> (usize, f64) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::*;

        #[target_feature(enable = "avx512f")]
        unsafe fn eights(x: *const f32, out: *mut f32, n: usize, before: f64) -> f64 {
            // Zeros that LLVM does not know: else it makes `vexpandpd` of `valignq`, with which AMD's fourth generation
            // takes 30 cycles for eight.
            let zeros = core::hint::black_box(_mm512_setzero_si512());
            let last = _mm512_set1_epi64(7);
            let mut before = _mm512_set1_pd(before);
            for i in (0..n).step_by(LANES) {
                // SAFETY: the caller gives n elements, a multiple of eight.
                let mut v = _mm512_cvtps_pd(unsafe { _mm256_loadu_ps(x.add(i)) });
                let bits = _mm512_castpd_si512(v);
                v = _mm512_add_pd(
                    _mm512_castsi512_pd(_mm512_alignr_epi64::<7>(bits, zeros)),
                    v,
                );
                let bits = _mm512_castpd_si512(v);
                v = _mm512_add_pd(
                    _mm512_castsi512_pd(_mm512_alignr_epi64::<6>(bits, zeros)),
                    v,
                );
                let bits = _mm512_castpd_si512(v);
                v = _mm512_add_pd(
                    _mm512_castsi512_pd(_mm512_alignr_epi64::<4>(bits, zeros)),
                    v,
                );
                let sums = _mm512_cvtpd_ps(_mm512_add_pd(before, v));
                // SAFETY: as above.
                unsafe { _mm256_storeu_ps(out.add(i), sums) };
                before = _mm512_add_pd(before, _mm512_permutexvar_pd(last, v));
            }
            _mm512_cvtsd_f64(before)
        }

        if simd::level() == simd::Level::Avx512 {
            let whole = n / LANES * LANES;
            // SAFETY: the level says what the processor has; the rest is the caller's promise.
            return (whole, unsafe { eights(x, out, whole, before) });
        }
    }
    (0, before)
}

/// Running values of n neighbours on top of `before`; gives the last. `out` may be `x`.
///
/// # Safety
/// There are n elements of each.
unsafe fn line<R: Running>(
    x: *const R::Value,
    out: *mut R::Value,
    n: usize,
    before: R::Wide,
) -> R::Wide {
    // SAFETY: as promised by the caller.
    unsafe {
        let (head, before) = R::head(x, out, n, before);
        along::<R>(x.add(head), out.add(head), n - head, before)
    }
}

/// Running sums or products. Lines along memory are worked one by one, lines across it side by side.
fn run<R: Running>(call: &Call) -> Outcome {
    let lines = Lines::<2>::new(call)?;
    let (n, [to, from]) = (lines.n, lines.places);
    let [os, xs] = lines.along;
    if n == 0 || lines.outer.numel == 0 {
        return Ok(());
    }
    let dense = |k: usize| lines.places[k].dtype == R::Value::DTYPE;
    let streams = stream::pays_buffered(&call.outs()[0]);
    let (width, [oa, xa]) = lines.outer.inner();
    if width >= LANES && xa.unsigned_abs() < xs.unsigned_abs() {
        let grain = GRAIN.div_ceil(n).next_multiple_of(WIDTH);
        pool::parallel_ranges(lines.outer.numel, grain, &|range| {
            lines
                .outer
                .runs(range.start, range.len(), |[o, x], _, _, length| {
                    for first in (0..length).step_by(WIDTH) {
                        let w = WIDTH.min(length - first);
                        let mut totals = [R::START; WIDTH];
                        let mut row = [R::Value::default(); WIDTH];
                        for i in 0..n as isize {
                            let x = x + first as isize * xa + i * xs;
                            let o = o + first as isize * oa + i * os;
                            // SAFETY: w checked elements of each; the row has room for them.
                            unsafe {
                                let source = if dense(1) && xa == 1 {
                                    from.at(x).cast::<R::Value>().cast_const()
                                } else {
                                    from.gather(x, xa, row.as_mut_ptr(), w);
                                    row.as_ptr()
                                };
                                if dense(0) && oa == 1 && !streams {
                                    across::<R>(source, to.at(o).cast(), w, &mut totals);
                                    continue;
                                }
                                across::<R>(source, row.as_mut_ptr(), w, &mut totals);
                                put(to, o, oa, &row[..w], streams);
                            }
                        }
                    }
                });
            if streams {
                stream::fence();
            }
        });
        return Ok(());
    }
    pool::parallel_ranges(lines.outer.numel, GRAIN.div_ceil(n), &|range| {
        let mut row = [R::Value::default(); WIDTH];
        lines
            .outer
            .runs(range.start, range.len(), |offset, stride, _, length| {
                for i in 0..length as isize {
                    let [o, x] = core::array::from_fn(|k| offset[k] + i * stride[k]);
                    let mut before = R::START;
                    for first in (0..n).step_by(WIDTH) {
                        let w = WIDTH.min(n - first);
                        let (x, o) = (x + first as isize * xs, o + first as isize * os);
                        // SAFETY: as above.
                        unsafe {
                            let source = if dense(1) && xs == 1 {
                                from.at(x).cast::<R::Value>().cast_const()
                            } else {
                                from.gather(x, xs, row.as_mut_ptr(), w);
                                row.as_ptr()
                            };
                            if dense(0) && os == 1 && !streams {
                                before = line::<R>(source, to.at(o).cast(), w, before);
                                continue;
                            }
                            before = line::<R>(source, row.as_mut_ptr(), w, before);
                            put(to, o, os, &row[..w], streams);
                        }
                    }
                }
            });
        if streams {
            stream::fence();
        }
    });
    Ok(())
}

/// Stores values; past the caches where they may, and a `stream::fence` follows.
///
/// # Safety
/// The elements exist and are no other thread's.
unsafe fn put<C: Number>(to: Place, offset: isize, stride: isize, values: &[C], streams: bool) {
    // SAFETY: as promised by the caller.
    unsafe {
        if streams && stride == 1 && to.dtype == C::DTYPE {
            stream::copy(values.as_ptr().cast(), to.at(offset), size_of_val(values));
        } else {
            to.scatter(offset, stride, values.as_ptr(), values.len());
        }
    }
}

/// The gradient of one line: of the first input and the second, where there is one.
type LineGradient = dyn Fn(&[f64], &[f64], &mut [f64]) + Sync;

/// Walks lines of one or two inputs and writes a third of their own: out, then the inputs, in float64.
fn gradients<const K: usize>(call: &Call, body: &LineGradient) -> Outcome {
    let Lines {
        outer,
        n,
        along,
        places,
    } = Lines::<K>::new(call)?;
    if n == 0 || outer.numel == 0 {
        return Ok(());
    }
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
        } else if v == most && v == f64::INFINITY {
            total += 1.0;
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
        run: |call| with_compute!(call.dtype(0)?.compute(), C => run::<Sums<C>>(call)),
        cuda: Some(cuda::cumsum),
    },
    Row {
        name: "cumprod",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_compute!(call.dtype(0)?.compute(), C => run::<Products<C>>(call)),
        cuda: Some(cuda::cumprod),
    },
    Row {
        name: "logcumsumexp",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| with_real!(call.name, call.dtype(0)?.compute(), C => lines::<C, 2>(call, &|line, _| log_sums(line))),
        cuda: Some(cuda::logcumsumexp),
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
        cuda: Some(cuda::cum_extreme),
    },
    Row {
        name: "prod_others",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: |call| gradients::<2>(call, &|x, _, out| others(x, out)),
        cuda: Some(cuda::prod_others),
    },
    Row {
        name: "cumprod_grad",
        outs: 1,
        ins: (2, 2),
        scalars: (2, 2),
        alias: false,
        run: |call| gradients::<3>(call, &|g, x, out| products_back(g, x, out)),
        cuda: Some(cuda::cumprod_grad),
    },
];
