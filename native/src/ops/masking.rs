//! What a mask or a count decides: `nonzero`, `masked_select` and `masked_scatter`, repeats, counts by value.
//! Sizes that depend on data are found by one instruction (…_count) and used by the next.

use crate::dtype::{DType, Element};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::ops::map::Shared;
use crate::ops::walk::{Address, Walk};
use crate::{bail, pool, simd, with_bits, with_dtype};
use core::sync::atomic::{AtomicBool, Ordering};

mod cuda;

pub const ROWS: &[Row] = &[
    Row {
        name: "nonzero_count",
        outs: 1,
        ins: (1, 1),
        scalars: (0, 0),
        alias: false,
        run: nonzero_count,
        cuda: Some(cuda::nonzero_count),
    },
    Row {
        name: "nonzero",
        outs: 1,
        ins: (1, 1),
        scalars: (0, 0),
        alias: false,
        run: nonzero,
        cuda: Some(cuda::nonzero),
    },
    Row {
        name: "masked_select",
        outs: 1,
        ins: (2, 2),
        scalars: (0, 0),
        alias: false,
        run: masked_select,
        cuda: Some(cuda::masked_select),
    },
    Row {
        name: "masked_scatter",
        outs: 1,
        ins: (2, 2),
        scalars: (0, 0),
        alias: false,
        run: masked_scatter,
        cuda: Some(cuda::masked_scatter),
    },
    Row {
        name: "repeat_count",
        outs: 1,
        ins: (1, 1),
        scalars: (0, 0),
        alias: false,
        run: repeat_count,
        cuda: Some(cuda::repeat_count),
    },
    Row {
        name: "repeat",
        outs: 1,
        ins: (1, 1),
        scalars: (0, 0),
        alias: false,
        run: repeat,
        cuda: Some(cuda::repeat),
    },
    Row {
        name: "bincount_size",
        outs: 1,
        ins: (1, 1),
        scalars: (1, 1),
        alias: false,
        run: bincount_size,
        cuda: Some(cuda::bincount_size),
    },
    Row {
        name: "bincount",
        outs: 1,
        ins: (1, 2),
        scalars: (0, 0),
        alias: false,
        run: bincount,
        cuda: Some(cuda::bincount),
    },
    Row {
        name: "histc",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: histc,
        cuda: Some(cuda::histc),
    },
];

/// Elements of a mask that are counted together.
const BLOCK: usize = 32 * 1024;

/// Calls `visit(flat, offsets…)` for each element of the walk's flat range whose mask (the first set of strides) is
/// not zero.
#[inline(always)]
fn chosen<const K: usize>(
    mask: &Operand,
    walk: &Walk<K>,
    from: usize,
    n: usize,
    mut visit: impl FnMut(usize, [isize; K]),
) {
    with_dtype!(mask.dtype, E => {
        let mask = mask.ptr.cast::<E>();
        let mut at = from;
        walk.runs(from, n, |offsets, steps, length| {
            for i in 0..length as isize {
                // SAFETY: the walk stays inside the mask.
                if unsafe { *mask.offset(offsets[0] + i * steps[0]) }.to_f64() != 0.0 {
                    visit(at + i as usize, core::array::from_fn(|k| offsets[k] + i * steps[k]));
                }
            }
            at += length;
        });
    });
}

/// How many elements of each block are chosen, as running sums: block i begins at entry i, the last is the total.
fn starts(mask: &Operand) -> Outcome<Scratch> {
    let walk = Walk::<1>::new(mask.dims(), [mask.strides()]);
    let blocks = walk.numel.div_ceil(BLOCK);
    let mut scratch = Scratch::new::<usize>(blocks + 1)?;
    let counts = Address::<usize>::new(scratch.as_ptr());
    let shared = Shared(core::slice::from_ref(mask));
    pool::parallel(blocks, &|b| {
        let mut count = 0;
        chosen(
            shared.get(0),
            &walk,
            b * BLOCK,
            BLOCK.min(walk.numel - b * BLOCK),
            |_, _| count += 1,
        );
        // SAFETY: one entry for each block.
        unsafe { *counts.at(b as isize) = count };
    });
    // SAFETY: numbers, with this room; every entry but the last was written.
    let counts: &mut [usize] = unsafe { scratch.slice(blocks + 1) };
    let mut sum = 0;
    for count in counts.iter_mut().take(blocks) {
        let n = *count;
        *count = sum;
        sum += n;
    }
    counts[blocks] = sum;
    Ok(scratch)
}

fn start(starts: &Scratch, block: usize) -> usize {
    // SAFETY: `starts` has an entry for each block and one for the total.
    unsafe { *starts.as_ptr::<usize>().add(block) }
}

fn one_int64(call: &Call) -> Outcome<*mut i64> {
    let out = &call.outs()[0];
    if out.dtype != DType::I64 || out.numel() != 1 {
        bail!(
            "{}: the count goes into one int64, not into {} {:?}",
            call.name,
            out.dtype.name(),
            out.dims()
        );
    }
    Ok(out.ptr.cast())
}

/// out = how many elements are not zero.
fn nonzero_count(call: &Call) -> Outcome {
    let (out, mask) = (one_int64(call)?, &call.ins()[0]);
    let starts = starts(mask)?;
    // SAFETY: one int64, checked.
    unsafe { *out = start(&starts, mask.numel().div_ceil(BLOCK)) as i64 };
    Ok(())
}

fn total_is(call: &Call, mask: &Operand, starts: &Scratch, wanted: usize) -> Outcome {
    let total = start(starts, mask.numel().div_ceil(BLOCK));
    if total != wanted {
        bail!(
            "{}: {total} elements are chosen, the output has room for {wanted}",
            call.name
        );
    }
    Ok(())
}

fn check_nonzero(call: &Call) -> Outcome {
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    if out.dtype != DType::I64 || out.ndim != 2 || out.dims()[1] != x.ndim {
        bail!(
            "nonzero: places of {:?} into {} {:?}",
            x.dims(),
            out.dtype.name(),
            out.dims()
        );
    }
    Ok(())
}

/// out int64 (n, dims) = the places of the elements that are not zero, in order.
fn nonzero(call: &Call) -> Outcome {
    check_nonzero(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let starts = starts(x)?;
    total_is(call, x, &starts, out.dims()[0])?;
    let walk = Walk::<1>::new(x.dims(), [x.strides()]);
    let shared = Shared(call.all());
    let starts = Address::<usize>::new(starts.as_ptr());
    let n = walk.numel;
    pool::parallel(n.div_ceil(BLOCK), &|b| {
        let (out, x) = (shared.get(0), shared.get(1));
        // SAFETY: one entry for each block; it says which rows of out are this block's.
        let row = unsafe { *starts.at(b as isize) } as isize;
        let range = (b * BLOCK, BLOCK.min(n - b * BLOCK));
        // SAFETY: the total was checked.
        unsafe {
            match x.ndim {
                1 => places::<1>(x, &walk, range, out, row),
                2 => places::<2>(x, &walk, range, out, row),
                3 => places::<3>(x, &walk, range, out, row),
                4 => places::<4>(x, &walk, range, out, row),
                _ => places::<MAX_DIMS>(x, &walk, range, out, row),
            }
        }
    });
    Ok(())
}

/// Writes the places of what is chosen of a range into the rows of `out` from `row` on; of no more than N dims.
///
/// # Safety
/// Those rows exist.
unsafe fn places<const N: usize>(
    x: &Operand,
    walk: &Walk<1>,
    (from, length): (usize, usize),
    out: &Operand,
    mut row: isize,
) {
    let (dims, ndim) = (x.dims(), if N < MAX_DIMS { N } else { x.ndim });
    let (to, [step, across]) = (out.ptr.cast::<i64>(), [out.strides()[0], out.strides()[1]]);
    // Where the line of the last dim that is looked at begins, and its place: divided once for a line.
    let wide = dims.last().copied().unwrap_or(1);
    let (mut line, mut place) = (from.wrapping_sub(wide), [0i64; N]);
    chosen(x, walk, from, length, |flat, _| {
        if flat.wrapping_sub(line) >= wide {
            line = flat / wide * wide;
            let mut rest = flat / wide;
            for d in (0..ndim.saturating_sub(1)).rev() {
                place[d] = (rest % dims[d]) as i64;
                rest /= dims[d];
            }
        }
        if ndim > 0 {
            place[ndim - 1] = (flat - line) as i64;
        }
        for (d, &i) in place.iter().enumerate().take(ndim) {
            // SAFETY: the caller's promise.
            unsafe { *to.offset(row * step + d as isize * across) = i };
        }
        row += 1;
    });
}

fn check_select(call: &Call) -> Outcome {
    let (out, x, mask) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    if out.dtype != x.dtype || out.ndim != 1 || x.dims() != mask.dims() {
        bail!(
            "masked_select: {:?} by {:?} into {:?}",
            x.dims(),
            mask.dims(),
            out.dims()
        );
    }
    Ok(())
}

/// out (n) = the elements of x where the mask is set. Inputs of one shape.
fn masked_select(call: &Call) -> Outcome {
    check_select(call)?;
    let (out, x, mask) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let starts = starts(mask)?;
    total_is(call, mask, &starts, out.dims()[0])?;
    let walk = Walk::<2>::new(x.dims(), [mask.strides(), x.strides()]);
    let shared = Shared(call.all());
    let starts = Address::<usize>::new(starts.as_ptr());
    let (n, dtype) = (walk.numel, x.dtype);
    pool::parallel(n.div_ceil(BLOCK), &|b| {
        let (out, x, mask) = (shared.get(0), shared.get(1), shared.get(2));
        // SAFETY: as in `nonzero`.
        let mut at = unsafe { *starts.at(b as isize) } as isize;
        with_bits!(dtype, B => chosen(mask, &walk, b * BLOCK, BLOCK.min(n - b * BLOCK), |_, [_, from]| {
            // SAFETY: the walk stays inside x, `at` inside out.
            unsafe { *out.ptr.cast::<B>().offset(at * out.strides()[0]) = *x.ptr.cast::<B>().offset(from) };
            at += 1;
        }));
    });
    Ok(())
}

fn check_scatter(call: &Call) -> Outcome {
    let (x, mask, source) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    if source.dtype != x.dtype || x.dims() != mask.dims() {
        bail!(
            "masked_scatter: {:?} by {:?} into {:?}",
            source.dims(),
            mask.dims(),
            x.dims()
        );
    }
    Ok(())
}

/// x (the output, in place) where the mask is set = the elements of the source, one after the other.
fn masked_scatter(call: &Call) -> Outcome {
    check_scatter(call)?;
    let (x, mask, source) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let starts = starts(mask)?;
    let total = start(&starts, mask.numel().div_ceil(BLOCK));
    if total > source.numel() {
        bail!(
            "Cannot maskedScatter: the mask chooses {total} elements, the source has {}",
            source.numel()
        );
    }
    let walk = Walk::<2>::new(x.dims(), [mask.strides(), x.strides()]);
    let values = Walk::<1>::new(source.dims(), [source.strides()]);
    let shared = Shared(call.all());
    let starts = Address::<usize>::new(starts.as_ptr());
    let (n, dtype) = (walk.numel, x.dtype);
    pool::parallel(n.div_ceil(BLOCK), &|b| {
        let (x, mask, source) = (shared.get(0), shared.get(1), shared.get(2));
        // SAFETY: as in `nonzero`.
        let mut at = unsafe { *starts.at(b as isize) };
        with_bits!(dtype, B => chosen(mask, &walk, b * BLOCK, BLOCK.min(n - b * BLOCK), |_, [_, to]| {
            let [from] = values.offsets(at);
            // SAFETY: the walk stays inside x, `at` below the source's count.
            unsafe { *x.ptr.cast::<B>().offset(to) = *source.ptr.cast::<B>().offset(from) };
            at += 1;
        }));
    });
    Ok(())
}

// ---- counts ---------------------------------------------------------------------------------

/// Every element of an operand of integers, in order.
fn integers(x: &Operand, mut visit: impl FnMut(i64)) {
    let walk = Walk::<1>::new(x.dims(), [x.strides()]);
    with_dtype!(x.dtype, E => walk.runs(0, walk.numel, |[o], [s], n| for i in 0..n as isize {
        // SAFETY: the walk stays inside x.
        visit(unsafe { *x.ptr.cast::<E>().offset(o + i * s) }.to_i64());
    }));
}

/// out = the sum of the repeats, or -1 when one is negative.
fn repeat_count(call: &Call) -> Outcome {
    let (out, repeats) = (one_int64(call)?, &call.ins()[0]);
    let (mut sum, mut negative) = (0i64, false);
    integers(repeats, |n| {
        negative |= n < 0;
        sum = sum.saturating_add(n);
    });
    // SAFETY: one int64, checked.
    unsafe { *out = if negative { -1 } else { sum } };
    Ok(())
}

fn check_repeat(call: &Call) -> Outcome {
    let (out, repeats) = (&call.outs()[0], &call.ins()[0]);
    if out.dtype != DType::I64 || out.ndim != 1 || repeats.ndim != 1 {
        bail!(
            "repeat: {:?} into {} {:?}",
            repeats.dims(),
            out.dtype.name(),
            out.dims()
        );
    }
    Ok(())
}

/// out int64 (n) = each number i from 0 on, repeats[i] times.
fn repeat(call: &Call) -> Outcome {
    check_repeat(call)?;
    let (out, repeats) = (&call.outs()[0], &call.ins()[0]);
    let (n, stride) = (out.dims()[0], out.strides()[0]);
    let (mut at, mut i, mut fits) = (0usize, 0i64, true);
    integers(repeats, |count| {
        fits &= count >= 0 && count as usize <= n - at;
        if fits {
            for _ in 0..count {
                // SAFETY: `at` stays below n.
                unsafe { *out.ptr.cast::<i64>().offset(at as isize * stride) = i };
                at += 1;
            }
        }
        i += 1;
    });
    call.require(fits && at == n, || {
        format!("the repeats fill {at} of {n} places")
    })
}

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
fn bincount_size(call: &Call) -> Outcome {
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

fn check_bincount(call: &Call) -> Outcome {
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
fn bincount(call: &Call) -> Outcome {
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
fn checked_bins(call: &Call) -> Outcome<(f64, f64)> {
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
fn histc(call: &Call) -> Outcome {
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
                    // SAFETY: what lies inside has a bin from 0 to `bins`.
                    let bin = unsafe { (if is_inside { bin } else { 0.0 }).to_int_unchecked::<i32>() };
                    *place = if is_inside { bin.min(last) as u32 } else { u32::MAX };
                }
            }
        }
    };
}
bins!(bins_f32, f32, to_f32);
bins!(bins_f64, f64, to_f64);
