//! What a mask or a count decides: `nonzero`, `masked_select` and `masked_scatter`, repeats, counts by value.
//! Sizes that depend on data are found by one instruction (…_count) and used by the next.

use crate::dtype::{DType, Element};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::ops::map::Shared;
use crate::ops::walk::{Address, Walk};
use crate::{bail, pool, with_bits, with_dtype};
use counts::{bincount, bincount_size, histc};

mod counts;
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
