//! What a batch norm in evaluation comes to behind a product: one factor and one summand for each column.

use super::dense::{Input, Output};
use super::lines::{Lines, Part};
use super::real::Real;
use crate::dtype::Compute;
use crate::fault::Outcome;
use crate::instruction::{Call, Row};
use crate::with_real;

/// How many columns there are, checked.
fn columns(call: &Call) -> Outcome<usize> {
    let (scale, shift) = (&call.outs()[0], &call.outs()[1]);
    let n = scale.numel();
    let fits = scale.ndim == 1
        && shift.dims() == [n]
        && call.ins()[..2].iter().all(|o| o.dims() == [n])
        && call.ins()[2..]
            .iter()
            .all(|o| o.dims() == [n] || o.numel() == 0);
    call.require(fits, || {
        let dims: Vec<_> = call.ins().iter().map(|o| o.dims()).collect();
        format!("columns of dims {dims:?} into {:?}", scale.dims())
    })?;
    Ok(n)
}

/// Outputs scale (C) and shift (C) with `(y + b - mean) / sqrt(var + eps) · weight + bias = scale · y + shift`; inputs mean
/// (C), var (C), weight, bias and the product's own bias b, each of those three (C) or without elements. Scalar: eps.
fn fold_norm<C: Real>(call: &Call) -> Outcome {
    let n = columns(call)?;
    let (scale, shift) = (&call.outs()[0], &call.outs()[1]);
    let (to_scale, to_shift) = (Output::<C>::of(scale)?, Output::<C>::of(shift)?);
    let [mean, var, weight, bias, own] = [0, 1, 2, 3, 4].map(|i| Input::<C>::of(&call.ins()[i]));
    let (mean, var, weight, bias, own) = (mean?, var?, weight?, bias?, own?);
    let at = |x: &Input<C>, i: usize, other: f64| x.all().get(i).map_or(other, |x| x.to_f64());
    let eps = call.float(0);
    // SAFETY: all elements of both outputs, on this thread alone.
    let (scales, shifts) = unsafe { (to_scale.part(0, n), to_shift.part(0, n)) };
    for (i, (scale, shift)) in scales.iter_mut().zip(shifts).enumerate() {
        let s = at(&weight, i, 1.0) / (at(&var, i, 1.0) + eps).sqrt();
        *scale = C::of(s);
        *shift = C::of((at(&own, i, 0.0) - at(&mean, i, 0.0)) * s + at(&bias, i, 0.0));
    }
    to_scale.finish(scale);
    to_shift.finish(shift);
    Ok(())
}

/// The same on CUDA; the kernel is in normalization.cu.
fn fold_norm_on_cuda(call: &Call) -> Outcome {
    let n = columns(call)?;
    let compute = call.outs()[0].dtype.compute();
    call.require(compute != Compute::I64, || "it takes floats only".into())?;
    let parts: Vec<Part> = (call.all().iter())
        .map(|o| {
            if o.numel() == 0 {
                Part::NONE
            } else {
                Part::of(o)
            }
        })
        .collect();
    let mut lines = Lines::new(call, &[n], |_| true, &parts)?;
    lines.numbers[0] = call.float(0);
    if n == 0 {
        return Ok(());
    }
    lines.launch_in(
        call,
        "fold_norm",
        compute,
        n.div_ceil(THREADS),
        THREADS as u32,
    )
}

/// Threads of a block on CUDA.
const THREADS: usize = 256;

pub const ROWS: &[Row] = &[Row {
    name: "fold_norm",
    outs: 2,
    ins: (5, 5),
    scalars: (1, 1),
    alias: false,
    run: |call| with_real!(call.name, call.outs()[0].dtype.compute(), C => fold_norm::<C>(call)),
    cuda: Some(fold_norm_on_cuda),
}];
