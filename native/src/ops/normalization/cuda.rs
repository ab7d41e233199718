//! Batch norm on CUDA; the kernels are in normalization.cu.

use super::*;
use crate::cuda::{Scratch as DeviceScratch, gpu};
use crate::dtype::Compute;
use crate::ops::lines::{Lines, Part};
use crate::ops::map::cuda::suffix;
use crate::ops::reduce;
use crate::ops::walk::cuda::Walked;

const THREADS: u32 = 256;
/// Positions of a channel that a block takes at least, and a thread where it has a channel of its own.
const PIECE: usize = 8192;
const RUN: usize = 64;

/// A vector of the channels; absent where it is empty.
fn vector<'a>(call: &Call, o: &'a Operand, channels: usize) -> Outcome<Part<'a>> {
    if o.dims() == [0] && channels != 0 {
        return Ok(Part::NONE);
    }
    call.require(o.dims() == [channels], || {
        format!(
            "{channels} channels, but an operand has dims {:?}",
            o.dims()
        )
    })?;
    Ok(Part::of(o))
}

/// The channels of x, of a compute type of floats, and that type.
fn checked(call: &Call, x: &Operand) -> Outcome<(usize, Compute)> {
    let compute = x.dtype.compute();
    call.require(x.ndim >= 2 && compute != Compute::I64, || {
        format!("{} of dims {:?}", x.dtype.name(), x.dims())
    })?;
    Ok((x.dims()[1], compute))
}

/// Room for the coefficients of the channels.
fn coefficients(call: &Call, channels: usize, compute: Compute) -> Outcome<(DeviceScratch, DType)> {
    let dtype = if compute == Compute::F64 {
        DType::F64
    } else {
        DType::F32
    };
    let bytes = 4 * channels * dtype.size();
    Ok((DeviceScratch::new(gpu(call.device)?, bytes)?, dtype))
}

/// y = a u + b (x - m) + c
fn affine(
    call: &Call,
    (y, x, u): (&Operand, &Operand, Option<&Operand>),
    (of, dtype): &(DeviceScratch, DType),
) -> Outcome {
    call.require(
        [Some(y), u].iter().flatten().all(|o| o.dims() == x.dims()),
        || format!("operands of dims {:?} and {:?}", y.dims(), x.dims()),
    )?;
    let channels = x.dims()[1];
    let parts = [
        Part::of(y),
        Part::of(x),
        Part::at(of.address(), *dtype, &[0, 1]),
        u.map_or(Part::NONE, Part::of),
    ];
    let walked = Walked::new(call, x.dims(), &parts, &[channels as i64])?;
    walked.launch(call, ("batch_norm_affine", suffix(dtype.compute())))
}

/// Runs a kernel with a thread for each channel.
fn by_channel(
    call: &Call,
    kernel: &'static str,
    (channels, compute): (usize, Compute),
    parts: &[Part],
    numbers: &[f64],
) -> Outcome {
    if channels == 0 {
        return Ok(());
    }
    let mut lines = Lines::new(call, &[channels], |_| true, parts)?;
    lines.numbers[..numbers.len()].copy_from_slice(numbers);
    let blocks = channels.div_ceil(THREADS as usize);
    lines.launch_in(call, kernel, compute, blocks, THREADS)
}

pub fn train(call: &Call) -> Outcome {
    call.require(call.scalars().len() == 2, || {
        "no ReLU and no dropout in the pass on CUDA".into()
    })?;
    let [y, mean, variance, running_mean, running_variance] = call.outs() else {
        unreachable!()
    };
    let [x, weight, bias] = call.ins() else {
        unreachable!()
    };
    let (channels, compute) = checked(call, x)?;
    check_statistics(call, x, [mean, variance])?;
    let sums = ("reduce_mean", "join_mean");
    reduce::cuda::over(call, compute, sums, (mean, x, None), &[])?;
    let deviations = ("reduce_variance", "join_variance");
    let operands = (variance, x, Some(mean));
    reduce::cuda::over(call, compute, deviations, operands, &[0.0, 0.0])?;
    let of = coefficients(call, channels, compute)?;
    let parts = [
        Part::at(mean.ptr as u64, DType::F64, &[1]),
        Part::at(variance.ptr as u64, DType::F64, &[1]),
        vector(call, running_mean, channels)?,
        vector(call, running_variance, channels)?,
        vector(call, weight, channels)?,
        vector(call, bias, channels)?,
        Part::at(of.0.address(), of.1, &[1]),
    ];
    let count = (x.numel() / channels.max(1)) as f64;
    let numbers = [call.float(0), call.float(1), count / (count - 1.0)];
    by_channel(
        call,
        "batch_norm_state",
        (channels, compute),
        &parts,
        &numbers,
    )?;
    affine(call, (y, x, None), &of)
}

pub fn eval(call: &Call) -> Outcome {
    let (y, [x, mean, variance, weight, bias]) = (&call.outs()[0], call.ins()) else {
        unreachable!()
    };
    let (channels, compute) = checked(call, x)?;
    let of = coefficients(call, channels, compute)?;
    let parts = [
        vector(call, mean, channels)?,
        vector(call, variance, channels)?,
        Part::NONE,
        Part::NONE,
        vector(call, weight, channels)?,
        vector(call, bias, channels)?,
        Part::at(of.0.address(), of.1, &[1]),
    ];
    let numbers = [call.float(0)];
    by_channel(
        call,
        "batch_norm_state",
        (channels, compute),
        &parts,
        &numbers,
    )?;
    affine(call, (y, x, None), &of)
}

pub fn backward(call: &Call) -> Outcome {
    call.require(call.scalars().len() == 2, || {
        "no ReLU and no dropout in the pass on CUDA".into()
    })?;
    let ([gx, gw, gb], [g, x, mean, variance, weight]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let (channels, compute) = checked(call, x)?;
    call.require(g.dims() == x.dims(), || {
        format!("operands of dims {:?} and {:?}", g.dims(), x.dims())
    })?;
    let count = x.numel() / channels.max(1);
    // Where channels are neighbours in memory neighbouring threads take a channel each.
    let layout = Layout::new(call.name, [g, x])?;
    let is_alone = layout.by_channels && channels >= 32;
    let (per_block, least) = if is_alone {
        (THREADS as usize, RUN)
    } else {
        (1, PIECE)
    };
    let pieces = count.div_ceil(least).clamp(1, 1024);
    let length = count.div_ceil(pieces).max(1);
    let pieces = count.div_ceil(length).max(1);
    let sums = DeviceScratch::new(gpu(call.device)?, pieces * 2 * channels * 8)?;
    let along: [isize; 2] = [0, mean.strides().first().copied().unwrap_or(0)];
    vector(call, mean, channels)?;
    let parts = [
        Part::of(g),
        Part::of(x),
        Part::with(mean, &along),
        Part::at(sums.address(), DType::F64, &[]),
    ];
    let mut lines = Lines::new(call, x.dims(), |d| d != 1, &parts)?;
    lines.numbers[..3].copy_from_slice(&[
        length as f64,
        pieces as f64,
        f64::from(u8::from(is_alone)),
    ]);
    let blocks = channels.div_ceil(per_block) * pieces;
    if blocks > 0 {
        lines.launch_in(call, "batch_norm_sums", compute, blocks, THREADS)?;
    }
    let of = coefficients(call, channels, compute)?;
    let parts = [
        vector(call, variance, channels)?,
        vector(call, weight, channels)?,
        vector(call, gw, channels)?,
        vector(call, gb, channels)?,
        Part::at(sums.address(), DType::F64, &[]),
        Part::of(mean),
        Part::at(of.0.address(), of.1, &[1]),
    ];
    let numbers = [
        call.float(0),
        f64::from(u8::from(call.float(1) != 0.0)),
        count as f64,
        pieces as f64,
    ];
    by_channel(
        call,
        "batch_norm_join",
        (channels, compute),
        &parts,
        &numbers,
    )?;
    if gx.dims() == [0] {
        return Ok(());
    }
    affine(call, (gx, x, Some(g)), &of)
}
