//! The norm of all gradients together, and scaling, clamping or unscaling them in place: one instruction each.
//! Scalar 0 of `grad_norm` and `grad_scale` says how many gradients are dense; the rest are row-sparse and come in
//! pairs of values (N, D) and count, of which only the rows in use matter.

use super::{GRAIN, Real, apart};
use crate::dtype::{DType, Element, Number};
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::ops::embedding::{used, with_float};
use crate::ops::map::Shared;
use crate::{pool, simd};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A run of gradient elements: its operand and how many of its elements count.
struct Run {
    operand: usize,
    numel: usize,
}

/// A gradient: its operand, and where it comes by rows that of the count of rows in use.
pub(super) struct Part {
    pub operand: usize,
    pub count: Option<usize>,
}

/// The gradients among the operands from `first` on.
fn parts(call: &Call, first: usize, dense: usize) -> Outcome<Vec<Part>> {
    let operands = call.all();
    let rest = operands.len() - first;
    call.require(dense <= rest && (rest - dense).is_multiple_of(2), || {
        format!("{dense} dense gradients among {rest} operands")
    })?;
    let mut parts = Vec::with_capacity(rest);
    for operand in first..first + dense {
        parts.push(Part {
            operand,
            count: None,
        });
    }
    for operand in (first + dense..operands.len()).step_by(2) {
        let values = &operands[operand];
        call.require(values.ndim == 2, || {
            format!("row values have dims {:?}, not two", values.dims())
        })?;
        parts.push(Part {
            operand,
            count: Some(operand + 1),
        });
    }
    for p in &parts {
        let o = &operands[p.operand];
        call.require(o.dtype.is_float() && o.is_contiguous(), || {
            format!("operand {} is not a dense float tensor", p.operand)
        })?;
    }
    Ok(parts)
}

/// How many elements of each gradient count, which is read from memory where it comes by rows.
fn runs(call: &Call, parts: &[Part]) -> Outcome<Vec<Run>> {
    let operands = call.all();
    let run = |p: &Part| {
        let o = &operands[p.operand];
        Ok(Run {
            operand: p.operand,
            numel: match p.count {
                None => o.numel(),
                Some(count) => used(call, &operands[count], o.dims()[0])? * o.dims()[1],
            },
        })
    };
    parts.iter().map(run).collect()
}

/// Calls `body(part, from, n)` for every chunk of every part, in parallel; the chunk's number comes first.
fn chunked(parts: &[Run], body: &(dyn Fn(usize, &Run, usize, usize) + Sync)) -> usize {
    let mut starts = Vec::with_capacity(parts.len() + 1);
    let mut chunks = 0;
    for p in parts {
        starts.push(chunks);
        chunks += p.numel.div_ceil(GRAIN);
    }
    pool::parallel(chunks, &|chunk| {
        let i = starts.partition_point(|&s| s <= chunk) - 1;
        let from = (chunk - starts[i]) * GRAIN;
        body(chunk, &parts[i], from, GRAIN.min(parts[i].numel - from));
    });
    chunks
}

const LANES: usize = 32;

/// What is summed over elements for a norm of order p.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Zero,
    One,
    Two,
    Most,
    Least,
    Any(f64),
}

impl Order {
    fn of(p: f64) -> Order {
        match p {
            0.0 => Order::Zero,
            1.0 => Order::One,
            2.0 => Order::Two,
            f64::INFINITY => Order::Most,
            f64::NEG_INFINITY => Order::Least,
            p => Order::Any(p),
        }
    }

    fn start(self) -> f64 {
        if self == Order::Least {
            f64::INFINITY
        } else {
            0.0
        }
    }

    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            // A NaN stays.
            Order::Most => {
                if b > a || b.is_nan() {
                    b
                } else {
                    a
                }
            }
            Order::Least => {
                if b < a || b.is_nan() {
                    b
                } else {
                    a
                }
            }
            _ => a + b,
        }
    }

    /// One element's share.
    #[inline(always)]
    fn share(self, x: f64) -> f64 {
        match self {
            Order::Zero => f64::from(u8::from(x != 0.0)),
            Order::One | Order::Most | Order::Least => x.abs(),
            Order::Two => x * x,
            Order::Any(p) => x.abs().powf(p),
        }
    }

    fn finish(self, sum: f64) -> f64 {
        match self {
            Order::Two => sum.sqrt(),
            Order::Any(p) => sum.powf(1.0 / p),
            _ => sum,
        }
    }
}

simd! {
    /// Sum of squares in 32 lanes, joined in one order at every level.
    unsafe fn squares<E: Element>(x: *const E, n: usize) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let whole = n - n % LANES;
        // SAFETY: the caller hands in n elements.
        unsafe {
            let mut i = 0;
            while i < whole {
                for (l, sum) in lanes.iter_mut().enumerate() {
                    let y = (*x.add(i + l)).to_f64();
                    *sum += y * y;
                }
                i += LANES;
            }
            for (l, sum) in lanes.iter_mut().enumerate().take(n - whole) {
                let y = (*x.add(whole + l)).to_f64();
                *sum += y * y;
            }
        }
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width { lanes[l] += lanes[l + width]; }
            width /= 2;
        }
        lanes[0]
    }
}

/// The gradients and the order of a norm, checked.
pub(super) fn checked_norm(call: &Call) -> Outcome<(Vec<Part>, f64)> {
    let out = &call.all()[0];
    call.require(out.numel() == 1 && out.dtype.is_float(), || {
        "the norm is not one float".into()
    })?;
    Ok((parts(call, 1, call.count(0)?)?, call.float(1)))
}

/// The norm of the norms of all gradients. out: one element; scalars: how many are dense, the order.
pub(super) fn norm(call: &Call) -> Outcome {
    let (parts, order) = checked_norm(call)?;
    let (parts, order) = (runs(call, &parts)?, Order::of(order));
    let operands = call.all();
    let out = &operands[0];
    let total: usize = parts.iter().map(|p| p.numel.div_ceil(GRAIN)).sum();
    let mut partial = vec![0.0f64; total];
    let sums = pool::Shared(partial.as_mut_ptr());
    let shared = Shared(operands);
    chunked(&parts, &|chunk, part, from, n| {
        let o = shared.get(part.operand);
        let sum = with_float!(o.dtype, E, _C => {
            let x = o.ptr.cast::<E>().wrapping_add(from);
            if order == Order::Two {
                // SAFETY: n elements lie there.
                unsafe { squares::<E>(x, n) }
            } else {
                // SAFETY: as above.
                let x = unsafe { core::slice::from_raw_parts(x, n) };
                x.iter().fold(order.start(), |a, x| order.join(a, order.share(x.to_f64())))
            }
        });
        // SAFETY: each chunk has its own place.
        unsafe { *sums.get().add(chunk) = sum };
    });
    let mut at = 0;
    let mut all = order.start();
    for p in &parts {
        let chunks = p.numel.div_ceil(GRAIN);
        let sum = partial[at..at + chunks]
            .iter()
            .fold(order.start(), |a, &b| order.join(a, b));
        at += chunks;
        // Each tensor's norm is a value of its dtype, as in PyTorch, except that squares are not rounded on the way.
        let norm = order.finish(sum);
        all = order.join(
            all,
            if order == Order::Two {
                sum
            } else {
                order.share(norm)
            },
        );
    }
    let all = if parts.is_empty() {
        0.0
    } else {
        order.finish(all)
    };
    // SAFETY: one element of the dtype lies there.
    with_float!(out.dtype, E, _C => unsafe { *out.ptr.cast::<E>() = E::from_f64(all) });
    Ok(())
}

simd! {
    unsafe fn multiply<E: Element, C: Real>(x: *mut E, n: usize, by: C) {
        // SAFETY: the caller hands in n elements.
        unsafe { for i in 0..n { *x.add(i) = (C::load(*x.add(i)) * by).store(); } }
    }
}

/// The gradients that are scaled and their greatest norm, checked.
pub(super) fn checked_scale(call: &Call) -> Outcome<(Vec<Part>, f64)> {
    let norm = &call.all()[0];
    call.require(norm.numel() == 1 && norm.dtype.is_float(), || {
        "the norm is not one float".into()
    })?;
    let dense = call.count(0)?;
    apart(call, |i| i > 0 && (i <= dense || (i - dense) % 2 == 1))?;
    Ok((parts(call, 1, dense)?, call.float(1)))
}

/// Multiplies all gradients by min(1, most / (norm + 1e-6)). ins: the norm, then gradients. Scalars: how many are
/// dense, most. Where the factor is 1 nothing is touched.
pub(super) fn scale(call: &Call) -> Outcome {
    let (parts, most) = checked_scale(call)?;
    let parts = runs(call, &parts)?;
    let operands = call.all();
    let norm = &operands[0];
    // As PyTorch computes it: in the norm's type, by a reciprocal.
    // SAFETY: one element lies there.
    let factor = with_float!(norm.dtype, E, C => {
        let n = unsafe { C::load(*norm.ptr.cast::<E>()) };
        (C::of(1.0) / (n + C::of(1e-6)) * C::of(most)).to_f64()
    });
    if factor >= 1.0 {
        return Ok(());
    }
    let shared = Shared(operands);
    chunked(&parts, &|_, part, from, n| {
        let o = shared.get(part.operand);
        // SAFETY: n elements lie there, and no two chunks share one.
        with_float!(o.dtype, E, C => unsafe { multiply::<E, C>(o.ptr.cast::<E>().wrapping_add(from), n, C::of(factor)) });
    });
    Ok(())
}

simd! {
    unsafe fn limit<E: Element, C: Real>(x: *mut E, n: usize, most: C) {
        // SAFETY: the caller hands in n elements.
        unsafe {
            for i in 0..n {
                let y = C::load(*x.add(i));
                let y = if y > most { most } else { y };
                let y = if y < -most { -most } else { y };
                *x.add(i) = y.store();
            }
        }
    }
}

/// The gradients that are clamped and the bound, checked.
pub(super) fn checked_clamp(call: &Call) -> Outcome<(Vec<Part>, f64)> {
    apart(call, |_| true)?;
    Ok((parts(call, 0, call.all().len())?, call.float(0)))
}

/// Clamps all gradients, which are dense, to [-most, most]. Scalar: most.
pub(super) fn clamp(call: &Call) -> Outcome {
    let (parts, most) = checked_clamp(call)?;
    let parts = runs(call, &parts)?;
    let shared = Shared(call.all());
    chunked(&parts, &|_, part, from, n| {
        let o = shared.get(part.operand);
        // SAFETY: n elements lie there, and no two chunks share one.
        with_float!(o.dtype, E, C => unsafe { limit::<E, C>(o.ptr.cast::<E>().wrapping_add(from), n, C::of(most)) });
    });
    Ok(())
}

simd! {
    /// Multiplies n elements; whether all of them were finite.
    unsafe fn unscaled<E: Element, C: Real>(x: *mut E, n: usize, by: C) -> bool {
        let mut sum = C::default();
        // SAFETY: the caller hands in n elements.
        unsafe {
            for i in 0..n {
                let y = C::load(*x.add(i));
                // Zero for a finite number, NaN for any other.
                sum = sum + y * C::default();
                *x.add(i) = (y * by).store();
            }
        }
        sum == C::default()
    }
}

/// The gradients that are unscaled, checked.
pub(super) fn checked_unscale(call: &Call) -> Outcome<Vec<Part>> {
    let operands = call.all();
    let found = &operands[0];
    call.require(found.numel() == 1 && found.dtype == DType::F32, || {
        "the mark is not one float32".into()
    })?;
    call.require(
        operands[1].numel() == 1 && operands[1].dtype.is_float(),
        || "the factor is not one float".into(),
    )?;
    let dense = call.count(0)?;
    apart(call, |i| {
        i == 0 || (i > 1 && (i < 2 + dense || (i - dense) % 2 == 0))
    })?;
    parts(call, 2, dense)
}

/// Multiplies all gradients by a factor and notes whether any element was infinite or NaN before. out: a float32 that
/// becomes 1 where one was and else stays; ins: the factor, then gradients. Scalar: how many are dense.
pub(super) fn unscale(call: &Call) -> Outcome {
    let parts = runs(call, &checked_unscale(call)?)?;
    let operands = call.all();
    let found = &operands[0];
    // SAFETY: one element lies there.
    let by =
        with_float!(operands[1].dtype, E, _C => unsafe { (*operands[1].ptr.cast::<E>()).to_f64() });
    let (shared, bad) = (Shared(operands), AtomicBool::new(false));
    chunked(&parts, &|_, part, from, n| {
        let o = shared.get(part.operand);
        // SAFETY: n elements lie there, and no two chunks share one.
        let fine = with_float!(o.dtype, E, C => unsafe { unscaled::<E, C>(o.ptr.cast::<E>().wrapping_add(from), n, C::of(by)) });
        if !fine {
            bad.store(true, Relaxed);
        }
    });
    if bad.load(Relaxed) {
        // SAFETY: one float32 lies there.
        unsafe { *found.ptr.cast::<f32>() = 1.0 };
    }
    Ok(())
}
