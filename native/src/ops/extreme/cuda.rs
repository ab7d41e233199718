//! Extremes with their places on CUDA; the kernels are in extreme.cu.

use super::plan_of;
use crate::cuda::{self, Scratch};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::lines::{Lines, Part, Pieces};

pub fn extreme(call: &Call) -> Outcome {
    let [values, indices] = call.outs() else {
        unreachable!()
    };
    run(call, Some(values), indices)
}

pub fn arg_extreme(call: &Call) -> Outcome {
    run(call, None, &call.outs()[0])
}

fn run(call: &Call, values: Option<&Operand>, indices: &Operand) -> Outcome {
    let (x, compute) = (&call.ins()[0], call.dtype(0)?.compute());
    if plan_of(call, values, indices)?.kept.numel == 0 {
        return Ok(());
    }
    let parts = [
        values.map_or(Part::NONE, Part::of),
        Part::of(indices),
        Part::of(x),
    ];
    let is_reduced = |d: usize| indices.dims()[d] != x.dims()[d];
    let mut lines = Lines::new(call, x.dims(), is_reduced, &parts)?;
    lines.numbers[0] = call.float(1);
    let threads = lines.threads();
    let mut pieces = Pieces::new(lines, 2);
    let totals = Scratch::new(cuda::gpu(call.device)?, pieces.totals_bytes())?;
    pieces.totals = totals.address();
    pieces.launch(call, "extreme", compute, threads)?;
    if totals.address() != 0 {
        pieces.launch_alone(call, "extreme_join", compute)?;
    }
    Ok(())
}
