//! How often values occur: `bincount` and `histc`. Each thread counts a part by itself.

use super::{integers, one_int64};
use crate::dtype::{DType, Element};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::memory::Scratch;
use crate::ops::map::Shared;
use crate::ops::walk::{Address, Walk};
use crate::{bail, pool, simd, with_dtype};
use core::sync::atomic::{AtomicBool, Ordering};

/// Elements that one thread counts by itself at least, and for each bin; and into how many parts at most.
const COUNTED: usize = 16 * 1024;
const COUNTED_FOR_BIN: usize = 4;
const PARTS: usize = 16;

/// How many of `n` elements fall into each bin: `count(from, length, counts)` adds those of a part.
fn tally(
    n: usize,
    bins: usize,
    count: &(dyn Fn(usize, usize, &mut [u64]) + Sync),
) -> Outcome<Scratch> {
    let part = COUNTED.max(COUNTED_FOR_BIN * bins).max(n.div_ceil(PARTS));
    let parts = n.div_ceil(part).max(1);
    let mut scratch = Scratch::new::<u64>(parts * bins)?;
    let all = Address::<u64>::new(scratch.as_ptr());
    pool::parallel(parts, &|i| {
        // SAFETY: this part's counts.
        let counts = unsafe { core::slice::from_raw_parts_mut(all.at((i * bins) as isize), bins) };
        counts.fill(0);
        count(i * part, part.min(n - i * part), counts);
    });
    // SAFETY: numbers, with this room.
    let counts: &mut [u64] = unsafe { scratch.slice(parts * bins) };
    let (sums, rest) = counts.split_at_mut(bins);
    for more in rest.chunks_exact(bins.max(1)) {
        for (sum, &count) in sums.iter_mut().zip(more) {
            *sum += count;
        }
    }
    Ok(scratch)
}

/// Writes counts to an output of one dim.
fn put_counts(out: &Operand, mut counts: Scratch) {
    let n = out.dims()[0];
    // SAFETY: `tally` made at least these; i lies inside out.
    unsafe {
        for (i, &count) in counts.slice::<u64>(n).iter().enumerate() {
            with_dtype!(out.dtype, E => *out.ptr.cast::<E>().offset(i as isize * out.strides()[0]) = E::from_f64(count as f64));
        }
    }
}

simd! {
    /// The least and the largest of n numbers so many elements apart.
    unsafe fn span<E: Element>(x: *const E, stride: isize, n: usize) -> (i64, i64) {
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for i in 0..n as isize {
            // SAFETY: the caller gives the elements.
            let x = unsafe { *x.offset(i * stride) }.to_i64();
            least = least.min(x);
            most = most.max(x);
        }
        (least, most)
    }
}

/// out = the largest value and 1, at least the scalar; -1 when a value is negative.
pub fn bincount_size(call: &Call) -> Outcome {
    let (out, x) = (one_int64(call)?, &call.ins()[0]);
    let mut size = call.count(0)? as i64;
    let mut negative = false;
    let walk = Walk::<1>::new(x.dims(), [x.strides()]);
    walk.runs(0, walk.numel, |[o], [s], n| {
        // SAFETY: the walk stays inside x.
        let (least, most) = unsafe {
            with_dtype!(x.dtype, E => {
                let from = x.ptr.cast::<E>().offset(o).cast_const();
                if s == 1 { span(from, 1, n) } else { span(from, s, n) }
            })
        };
        negative |= n > 0 && least < 0;
        size = size.max(most.saturating_add(1));
    });
    // SAFETY: one int64, checked.
    unsafe { *out = if negative { -1 } else { size } };
    Ok(())
}

pub fn check_bincount(call: &Call) -> Outcome {
    let (out, x, weights) = (&call.outs()[0], &call.ins()[0], call.ins().get(1));
    let fits = out.ndim == 1 && weights.is_none_or(|w| w.dims() == x.dims()) && x.ndim == 1;
    if !fits
        || (weights.is_none() && out.dtype != DType::I64)
        || (weights.is_some() && !out.dtype.is_float())
    {
        bail!(
            "bincount: {:?} into {} {:?}",
            x.dims(),
            out.dtype.name(),
            out.dims()
        );
    }
    Ok(())
}

/// out (n) int64 = how often each number occurs in x, or float64 or float32 = the sum of its weights.
pub fn bincount(call: &Call) -> Outcome {
    check_bincount(call)?;
    let (out, x, weights) = (&call.outs()[0], &call.ins()[0], call.ins().get(1));
    let n = out.dims()[0];
    let outside = || format!("a value lies outside 0 to {n}");
    let Some(w) = weights else {
        let fits = AtomicBool::new(true);
        let walk = Walk::<1>::new(x.dims(), [x.strides()]);
        let shared = Shared(core::slice::from_ref(x));
        let counts = tally(walk.numel, n, &|from, length, counts| {
            let x = shared.get(0);
            let mut good = true;
            with_dtype!(x.dtype, E => walk.runs(from, length, |[o], [s], n| for i in 0..n as isize {
                // SAFETY: the walk stays inside x.
                let value = unsafe { *x.ptr.cast::<E>().offset(o + i * s) }.to_i64();
                match counts.get_mut(value as usize) {
                    Some(count) if value >= 0 => *count += 1,
                    _ => good = false,
                }
            }));
            if !good {
                fits.store(false, Ordering::Relaxed);
            }
        })?;
        put_counts(out, counts);
        return call.require(fits.into_inner(), outside);
    };
    let mut scratch = Scratch::new::<f64>(n)?;
    // SAFETY: numbers, with this room.
    let sums: &mut [f64] = unsafe { scratch.slice(n) };
    sums.fill(0.0);
    let (mut at, mut fits) = (0isize, true);
    let value = |i: isize| {
        // SAFETY: weights are as many as the values.
        with_dtype!(w.dtype, E => unsafe { *w.ptr.cast::<E>().offset(i * w.strides()[0]) }.to_f64())
    };
    integers(x, |i| {
        match sums.get_mut(i as usize) {
            Some(sum) if i >= 0 => *sum += value(at),
            _ => fits = false,
        }
        at += 1;
    });
    for (i, &sum) in sums.iter().enumerate() {
        // SAFETY: i lies inside out.
        with_dtype!(out.dtype, E => unsafe { *out.ptr.cast::<E>().offset(i as isize * out.strides()[0]) = E::from_f64(sum) });
    }
    call.require(fits, outside)
}

/// The ends of a histogram, checked.
pub fn checked_bins(call: &Call) -> Outcome<(f64, f64)> {
    let out = &call.outs()[0];
    let (low, high) = (call.float(0), call.float(1));
    if out.ndim != 1
        || !(1..i32::MAX as usize).contains(&out.dims()[0])
        || !low.is_finite()
        || !high.is_finite()
        || low >= high
    {
        bail!("histc: bins {:?} from {low} to {high}", out.dims());
    }
    Ok((low, high))
}

/// out (bins) = how many elements of x fall into each of so many equal bins from scalar 0 to scalar 1; the last
/// bin takes its upper end too. What lies outside, and NaN, counts nowhere.
pub fn histc(call: &Call) -> Outcome {
    let (low, high) = checked_bins(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let n = out.dims()[0];
    let walk = Walk::<1>::new(x.dims(), [x.strides()]);
    let shared = Shared(core::slice::from_ref(x));
    let counts = tally(walk.numel, n, &|from, length, counts| {
        let x = shared.get(0);
        let mut places = [0u32; TOGETHER];
        walk.runs(from, length, |[o], [s], length| {
            for at in (0..length).step_by(TOGETHER) {
                let places = &mut places[..TOGETHER.min(length - at)];
                let first = o + at as isize * s;
                // SAFETY: the walk stays inside x.
                unsafe {
                    match x.dtype {
                        // The arithmetic is done in the tensor's precision, as PyTorch's bins are.
                        DType::F64 => bins_f64(x.ptr.cast::<f64>().offset(first), s, low, high, n, places),
                        _ => with_dtype!(x.dtype, E => {
                            bins_f32(x.ptr.cast::<E>().offset(first), s, low as f32, high as f32, n, places)
                        }),
                    }
                }
                for &place in places.iter() {
                    if let Some(count) = counts.get_mut(place as usize) {
                        *count += 1;
                    }
                }
            }
        });
    })?;
    put_counts(out, counts);
    Ok(())
}

/// Elements whose bins are found before they are counted.
const TOGETHER: usize = 256;

macro_rules! bins {
    ($name:ident, $t:ty, $to:ident) => {
        simd! {
            /// The bin of each of some elements so far apart; none has the number `u32::MAX`.
            unsafe fn $name<E: Element>(x: *const E, stride: isize, low: $t, high: $t, bins: usize, places: &mut [u32]) {
                let last = bins as i32 - 1;
                for (i, place) in places.iter_mut().enumerate() {
                    // SAFETY: the caller gives the elements.
                    let x = unsafe { *x.offset(i as isize * stride) }.$to();
                    let is_inside = x >= low && x <= high;
                    let bin = (x - low) * bins as $t / (high - low);
                    // Where the ends are too far apart, or too close, for the type, no number comes of it: the first bin.
                    *place = if is_inside { (bin as i32).clamp(0, last) as u32 } else { u32::MAX };
                }
            }
        }
    };
}
bins!(bins_f32, f32, to_f32);
bins!(bins_f64, f64, to_f64);
