//! Masks and counts on CUDA; the kernels are in masking.cu.

use super::counts::{check_bincount, checked_bins};
use super::*;
use crate::cuda::{Scratch as DeviceScratch, gpu};
use crate::dtype::Compute;
use crate::ops::grouping::{Groups, Keys, TILE, scan};
use crate::ops::lines::Part;
use crate::ops::map::Space;
use crate::ops::map::cuda::launch as launch_map;
use crate::ops::scattering::SUM;
use crate::ops::scattering::cuda::{Combination, combine};
use crate::ops::walk::cuda::{Walked, launch, launch_in};

#[repr(C)]
#[derive(Clone, Copy)]
struct Chosen {
    space: Walked,
    other: Walked,
    starts: u64,
    room: i64,
}
const _: () = assert!(size_of::<Chosen>() == 1856);

/// Counts what is chosen by tiles: the argument of the kernels that take it from there.
fn chosen(
    call: &Call,
    space: Walked,
    other: Walked,
    room: usize,
) -> Outcome<(DeviceScratch, Chosen)> {
    let (gpu, tiles) = (gpu(call.device)?, space.numel().div_ceil(TILE));
    let starts = DeviceScratch::new(gpu, (tiles + 1) * 8)?;
    let a = Chosen {
        space,
        other,
        starts: starts.address(),
        room: room as i64,
    };
    launch_in(call, ("mask_count", ""), tiles, &a)?;
    scan(gpu, starts.address(), tiles)?;
    Ok((starts, a))
}

pub fn nonzero_count(call: &Call) -> Outcome {
    one_int64(call)?;
    let (out, mask) = (&call.outs()[0], &call.ins()[0]);
    let space = Walked::new(call, mask.dims(), &[Part::of(mask)], &[])?;
    let (_starts, a) = chosen(call, space, space, 0)?;
    let tiles = space.numel().div_ceil(TILE) as u64;
    let gpu = gpu(call.device)?;
    // SAFETY: one int64 behind the tiles' counts, into a checked output of one.
    unsafe { gpu.copy(out.ptr as u64, a.starts + tiles * 8, 8) }
}

pub fn nonzero(call: &Call) -> Outcome {
    check_nonzero(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let space = Walked::new(call, x.dims(), &[Part::of(x)], &[])?;
    let mut other = Walked::with_all_dims(call, x.dims(), &[Part::with(out, &[])])?;
    other.scalars[..2].copy_from_slice(&[out.strides()[0] as i64, out.strides()[1] as i64]);
    let (_starts, a) = chosen(call, space, other, out.dims()[0])?;
    launch_in(call, ("nonzero", ""), space.numel().div_ceil(TILE), &a)
}

pub fn masked_select(call: &Call) -> Outcome {
    check_select(call)?;
    let (out, x, mask) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let space = Walked::new(call, x.dims(), &[Part::of(mask), Part::of(x)], &[])?;
    let other = Walked::new(call, out.dims(), &[Part::of(out)], &[])?;
    let (_starts, a) = chosen(call, space, other, out.numel())?;
    launch_in(
        call,
        ("masked_select", ""),
        space.numel().div_ceil(TILE),
        &a,
    )
}

pub fn masked_scatter(call: &Call) -> Outcome {
    check_scatter(call)?;
    let (x, mask, source) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let space = Walked::new(call, x.dims(), &[Part::of(mask), Part::of(x)], &[])?;
    let other = Walked::new(call, source.dims(), &[Part::of(source)], &[])?;
    let (_starts, a) = chosen(call, space, other, source.numel())?;
    launch_in(
        call,
        ("masked_scatter", ""),
        space.numel().div_ceil(TILE),
        &a,
    )
}

// ---- counts

#[repr(C)]
#[derive(Clone, Copy)]
struct Counting {
    space: Walked,
    sums: u64,
}
const _: () = assert!(size_of::<Counting>() == 928);

/// The integers of an operand, the output, and so many int64 of the kernels' own, all zero.
fn counting(
    call: &Call,
    (out, x): (&Operand, &Operand),
    sums: usize,
    scalars: &[i64],
) -> Outcome<(DeviceScratch, Counting)> {
    let scratch = DeviceScratch::new(gpu(call.device)?, sums * 8)?;
    zero(call, scratch.address(), sums)?;
    let parts = [Part::of(x), Part::with(out, &[])];
    let space = Walked::new(call, x.dims(), &parts, scalars)?;
    let sums = scratch.address();
    Ok((scratch, Counting { space, sums }))
}

/// Makes n int64 zeros.
fn zero(call: &Call, address: u64, n: usize) -> Outcome {
    let whole = Operand::device_run(address, call.device, DType::I64, n);
    fill(call, &whole)
}

fn fill(call: &Call, o: &Operand) -> Outcome {
    let space = Space::over(o.dims(), [o.strides()].into_iter());
    let kernel = ("map_fill", o.dtype.compute());
    launch_map(
        call.device,
        kernel,
        &space,
        core::slice::from_ref(o),
        [0; 4],
    )
}

/// Copies n int64 of a kernel's own into an output of one dim.
fn put(call: &Call, out: &Operand, sums: u64) -> Outcome {
    let from = Operand::device_run(sums, call.device, DType::I64, out.numel());
    let pair = [out.clone(), from];
    let space = Space::new(call.name, &pair)?;
    launch_map(
        call.device,
        ("map_copy", Compute::I64),
        &space,
        &pair,
        [0; 4],
    )
}

pub fn repeat_count(call: &Call) -> Outcome {
    one_int64(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let tiles = x.numel().div_ceil(TILE);
    let (_sums, a) = counting(call, (out, x), tiles + 2, &[])?;
    launch_in(call, ("repeat_sums", ""), tiles, &a)?;
    scan(gpu(call.device)?, a.sums, tiles)?;
    launch(call, ("repeat_total", ""), 1, &a)
}

pub fn repeat(call: &Call) -> Outcome {
    check_repeat(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let (n, tiles) = (x.numel(), x.numel().div_ceil(TILE));
    let scalars = [out.dims()[0] as i64, out.strides()[0] as i64];
    let (_sums, a) = counting(call, (out, x), tiles + 2 + n, &scalars)?;
    launch_in(call, ("repeat_sums", ""), tiles, &a)?;
    scan(gpu(call.device)?, a.sums, tiles)?;
    launch_in(call, ("repeat_ends", ""), tiles, &a)?;
    launch(call, ("repeat_fill", ""), out.numel().max(1), &a)
}

pub fn bincount_size(call: &Call) -> Outcome {
    one_int64(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let (_sums, a) = counting(call, (out, x), 2, &[call.count(0)? as i64])?;
    launch(call, ("bincount_most", ""), x.numel(), &a)?;
    launch(call, ("bincount_size", ""), 1, &a)
}

pub fn bincount(call: &Call) -> Outcome {
    check_bincount(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let n = out.dims()[0];
    let Some(weights) = call.ins().get(1) else {
        let (_sums, a) = counting(call, (out, x), n, &[n as i64])?;
        launch(call, ("bincount", ""), x.numel(), &a)?;
        return put(call, out, a.sums);
    };
    fill(call, out)?;
    let keys = Keys::new(call, x.numel())?;
    let parts = [Part::of(x), Part::at(keys.address(), DType::I64, &[])];
    let a = Counting {
        space: Walked::new(call, x.dims(), &parts, &[n as i64])?,
        sums: 0,
    };
    launch(call, ("bincount_keys", ""), x.numel(), &a)?;
    let groups = Groups::new(call, keys, n as u64)?;
    let parts = [Part::with(out, &[]), Part::of(weights)];
    let sum = Combination {
        mode: SUM,
        owns: false,
    };
    let space = (x.dims(), parts, 0);
    combine(
        call,
        Compute::F64,
        space,
        (n, out.strides()[0]),
        &groups,
        sum,
    )
}

pub fn histc(call: &Call) -> Outcome {
    let (low, high) = checked_bins(call)?;
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let n = out.dims()[0];
    let scalars = [n as i64, low.to_bits() as i64, high.to_bits() as i64];
    let (_sums, a) = counting(call, (out, x), n, &scalars)?;
    launch(call, ("histc", ""), x.numel(), &a)?;
    put(call, out, a.sums)
}
