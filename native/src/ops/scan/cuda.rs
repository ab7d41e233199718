//! Running reductions on CUDA; the kernels are in scan.cu.

use crate::cuda::{self, Scratch};
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::lines::{Lines, Part, Pieces, THREADS};

/// The names of a kind's kernels: along pieces, what pieces come to, what the pieces before come to.
type Kernels = [&'static str; 3];
const SUMS: Kernels = ["scan_cumsum", "totals_cumsum", "before_cumsum"];
const PRODUCTS: Kernels = ["scan_cumprod", "totals_cumprod", "before_cumprod"];
const LOG_SUMS: Kernels = [
    "scan_logcumsumexp",
    "totals_logcumsumexp",
    "before_logcumsumexp",
];
const EXTREMES: Kernels = [
    "scan_cum_extreme",
    "totals_cum_extreme",
    "before_cum_extreme",
];

pub fn cumsum(call: &Call) -> Outcome {
    run::<2>(call, SUMS)
}

pub fn cumprod(call: &Call) -> Outcome {
    run::<2>(call, PRODUCTS)
}

pub fn logcumsumexp(call: &Call) -> Outcome {
    call.require(call.dtype(0)?.compute() != Compute::I64, || {
        "it takes floats only".into()
    })?;
    run::<2>(call, LOG_SUMS)
}

pub fn cum_extreme(call: &Call) -> Outcome {
    call.require(call.outs()[1].dtype == DType::I64, || {
        "places must be int64".into()
    })?;
    run::<3>(call, EXTREMES)
}

/// The call's operands as lines along its dim, or nothing where they have no elements.
fn lines_of<const K: usize>(call: &Call) -> Outcome<Option<Lines>> {
    super::Lines::<K>::new(call)?;
    let (all, d) = (call.all(), call.count(1)?);
    let parts: [Part; K] = core::array::from_fn(|k| Part::of(&all[k]));
    let lines = Lines::new(call, all[0].dims(), |i| i == d, &parts)?;
    Ok((lines.count() > 0 && lines.length() > 0).then_some(lines))
}

fn run<const K: usize>(call: &Call, kernels: Kernels) -> Outcome {
    let Some(mut lines) = lines_of::<K>(call)? else {
        return Ok(());
    };
    lines.numbers[0] = call.scalars().get(2).map_or(0.0, |s| s.float());
    over(call, kernels, lines, K - 1, call.dtype(0)?.compute())
}

fn over(call: &Call, kernels: Kernels, lines: Lines, input: usize, compute: Compute) -> Outcome {
    let mut pieces = Pieces::new(lines, input);
    let totals = Scratch::new(cuda::gpu(call.device)?, pieces.totals_bytes())?;
    pieces.totals = totals.address();
    let [along, total, before] = kernels;
    if totals.address() != 0 {
        pieces.launch(call, total, compute, THREADS)?;
        pieces.launch_alone(call, before, compute)?;
    }
    pieces.launch(call, along, compute, THREADS)
}

/// Running sums of rows of int64 or float64 in memory of the device, in place; there are some.
pub fn running_sums(
    call: &Call,
    numbers: cuda::Address,
    dtype: DType,
    dims: [usize; 2],
) -> Outcome {
    let strides = [dims[1] as isize, 1];
    let part = || Part::at(numbers, dtype, &strides);
    let lines = Lines::new(call, &dims, |d| d == 1, &[part(), part()])?;
    over(call, SUMS, lines, 1, dtype.compute())
}

pub fn prod_others(call: &Call) -> Outcome {
    gradient::<2>(call, "prod_others")
}

pub fn cumprod_grad(call: &Call) -> Outcome {
    gradient::<3>(call, "cumprod_grad")
}

/// A block takes a line, with a float64 of its own for each element.
fn gradient<const K: usize>(call: &Call, kernel: &'static str) -> Outcome {
    let Some(lines) = lines_of::<K>(call)? else {
        return Ok(());
    };
    let elements = call.all().first().map_or(0, Operand::numel);
    let spare = Scratch::new(cuda::gpu(call.device)?, elements * 8)?;
    let mut pieces = Pieces::whole(lines);
    pieces.spare = spare.address();
    pieces.launch(call, kernel, Compute::F64, THREADS)
}
