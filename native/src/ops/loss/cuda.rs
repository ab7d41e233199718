//! Cross entropy on CUDA; the kernels are in loss.cu.

use super::*;
use crate::cuda::Scratch;
use crate::dtype::Compute;
use crate::ops::lines::{Lines, Part};

/// Weights of the classes, one stride along the last dim; absent where there are none.
fn weights<'a>(
    call: &Call,
    o: &'a Operand,
    strides: &'a mut [isize; MAX_DIMS],
    logits: &Operand,
) -> Outcome<Part<'a>> {
    let classes = logits.dims()[logits.ndim - 1];
    if o.dims() == [0] && classes != 0 {
        return Ok(Part::NONE);
    }
    call.require(o.dims() == [classes], || {
        format!("weights of dims {:?} for {classes} classes", o.dims())
    })?;
    strides[logits.ndim - 1] = o.strides()[0];
    Ok(Part::with(o, &strides[..logits.ndim]))
}

fn numbers(call: &Call, lines: &mut Lines) {
    for (to, scalar) in lines.numbers.iter_mut().zip(call.scalars()) {
        *to = scalar.float();
    }
}

fn compute_of(call: &Call, logits: &Operand) -> Outcome<Compute> {
    let compute = logits.dtype.compute();
    call.require(compute != Compute::I64, || "it takes floats only".into())?;
    Ok(compute)
}

pub fn forward(call: &Call) -> Outcome {
    let ([loss, lse, norm], [logits, target, weight]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let each = Options::of(call)?.reduction == 0;
    let (rows, _) = rows_of(call, [lse, target, logits], logits)?;
    let compute = compute_of(call, logits)?;
    let lead = &logits.dims()[..logits.ndim - 1];
    let fits = target.dtype == DType::I64
        && norm.dtype == DType::F64
        && norm.ndim == 0
        && (if each {
            loss.dims() == lead
        } else {
            loss.ndim == 0
        });
    call.require(fits, || {
        format!("outputs {:?} and {:?}", loss.dims(), norm.dims())
    })?;
    // Losses and weights of the rows, side by side.
    let scratch = Scratch::new(crate::cuda::gpu(call.device)?, rows.numel * 16)?;
    let mut dense = [0isize; MAX_DIMS];
    let mut step = 1;
    for d in (0..lead.len()).rev() {
        dense[d] = step;
        step *= lead[d] as isize;
    }
    let dense = &dense[..lead.len()];
    let (values, counts) = (scratch.address(), scratch.address() + rows.numel as u64 * 8);
    let mut along = [0; MAX_DIMS];
    let parts = [
        if each {
            Part::of(loss)
        } else {
            Part::at(values, DType::F64, dense)
        },
        Part::of(lse),
        Part::of(target),
        Part::of(logits),
        Part::at(counts, DType::F64, dense),
        weights(call, weight, &mut along, logits)?,
    ];
    let last = logits.ndim - 1;
    let mut lines = Lines::new(call, logits.dims(), |d| d == last, &parts)?;
    numbers(call, &mut lines);
    if lines.count() > 0 {
        lines.launch_rows(call, "cross_entropy", compute, &[3])?;
    }
    let total = [
        if each { Part::NONE } else { Part::of(loss) },
        Part::of(norm),
        Part::at(values, DType::F64, if each { &[0] } else { &[1] }),
        Part::at(counts, DType::F64, &[1]),
    ];
    let mut lines = Lines::new(call, &[rows.numel], |_| true, &total)?;
    numbers(call, &mut lines);
    lines.launch(call, "cross_entropy_total", compute)
}

pub fn backward(call: &Call) -> Outcome {
    let (gx, [g, logits, target, lse, norm, weight]) = (&call.outs()[0], call.ins()) else {
        unreachable!()
    };
    rows_of(call, [gx, g, logits, target, lse], logits)?;
    let compute = compute_of(call, logits)?;
    call.require(
        gx.dims() == logits.dims() && target.dtype == DType::I64 && norm.ndim == 0,
        || misfit(gx, logits),
    )?;
    let last = logits.ndim - 1;
    let mut along = [0; MAX_DIMS];
    let parts = [
        Part::of(gx),
        Part::with(g, &g.strides()[..last]),
        Part::of(logits),
        Part::with(target, &target.strides()[..last]),
        Part::with(lse, &lse.strides()[..last]),
        Part::of(norm),
        weights(call, weight, &mut along, logits)?,
    ];
    let mut lines = Lines::new(call, logits.dims(), |d| d == last, &parts)?;
    numbers(call, &mut lines);
    if lines.count() == 0 || lines.length() == 0 {
        return Ok(());
    }
    lines.launch_rows(call, "cross_entropy_grad", compute, &[0, 2])
}
