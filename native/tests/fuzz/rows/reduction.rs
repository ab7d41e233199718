//! Reductions, extremes with their places, running sums, softmax: the output has size 1 where the input is reduced.

use super::{COMPUTED, FLOATS};
use crate::Generate;
use crate::build::{Bench, Instruction};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "sum" | "mean" | "nansum" | "prod" | "amax" | "amin" | "any" | "all" | "count_nonzero" => {
            |row, r, b| reduce(row, r, b, &COMPUTED)
        }
        "norm" | "norm1" | "norm2" | "norm_most" | "norm_least" | "variance" | "sum_exp" => {
            |row, r, b| reduce(row, r, b, &COMPUTED[..2])
        }
        "extreme" => extreme,
        "arg_extreme" => arg_extreme,
        "cumsum" | "cumprod" => |row, r, b| scan(row, r, b, &COMPUTED),
        "prod_others" => |row, r, b| scan(row, r, b, &COMPUTED[..2]),
        "cumprod_grad" => cumprod_grad,
        "logcumsumexp" => |row, r, b| scan(row, r, b, &COMPUTED[..2]),
        "cum_extreme" => cum_extreme,
        "softmax" | "softmax_grad" => softmax,
        _ => return None,
    })
}

/// An input and what is left of its dims.
pub fn reduced(r: &mut Random) -> (Vec<usize>, Vec<usize>) {
    let dims = r.dims((0, 5), 3000);
    let kept = dims
        .iter()
        .map(|&n| if r.one_in(2) { 1 } else { n })
        .collect();
    (dims, kept)
}

/// One output and one input, or two of either with a float64 of the output's dims; the compute type, then plain numbers.
fn reduce(row: &Row, r: &mut Random, b: &mut Bench, types: &[DType]) -> Instruction {
    let (mut dims, mut kept) = reduced(r);
    // Extremes of nothing do not exist, so that empty reductions are asked for less often.
    if !r.one_in(4) {
        dims.iter_mut().for_each(|n| *n = (*n).max(1));
        kept.iter_mut().for_each(|n| *n = (*n).max(1));
    }
    let compute = r.pick(types);
    let (from, to) = (r.pick(&DTYPES), r.pick(&DTYPES));
    let mut operands = vec![b.output(to, &kept, r)];
    if row.outs > 1 {
        operands.push(b.output(DType::F64, &kept, r));
    }
    operands.push(b.input(from, &dims, r));
    if row.ins.1 > 1 {
        operands.push(b.input(DType::F64, &kept, r));
    }
    let mut scalars = vec![f64::from(compute as u8)];
    scalars.extend((1..row.scalars.1).map(|_| r.below(4) as f64));
    Instruction::new(operands, &scalars)
}

/// Dims of a reduction that leaves something to choose from.
fn full(r: &mut Random) -> (Vec<usize>, Vec<usize>) {
    let (mut dims, mut kept) = reduced(r);
    dims.iter_mut().for_each(|n| *n = (*n).max(1));
    kept.iter_mut().for_each(|n| *n = (*n).max(1));
    (dims, kept)
}

fn extreme(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (dims, kept) = full(r);
    let (compute, dtype) = (r.pick(&COMPUTED), r.pick(&DTYPES));
    let operands = vec![
        b.dense(dtype, &kept, r),
        b.dense(DType::I64, &kept, r),
        b.input(dtype, &dims, r),
    ];
    Instruction::new(operands, &[f64::from(compute as u8), r.below(2) as f64])
}

fn arg_extreme(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (dims, kept) = full(r);
    let (compute, dtype) = (r.pick(&COMPUTED), r.pick(&DTYPES));
    let operands = vec![b.output(DType::I64, &kept, r), b.input(dtype, &dims, r)];
    Instruction::new(operands, &[f64::from(compute as u8), r.below(2) as f64])
}

fn scan(_: &Row, r: &mut Random, b: &mut Bench, types: &[DType]) -> Instruction {
    let dims = r.dims((0, 5), 3000);
    let (from, to) = (r.pick(&DTYPES), r.pick(&DTYPES));
    let dim = r.below(dims.len()) as f64;
    let operands = vec![b.output(to, &dims, r), b.input(from, &dims, r)];
    Instruction::new(operands, &[f64::from(r.pick(types) as u8), dim])
}

fn cumprod_grad(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 5), 3000);
    let dim = r.below(dims.len()) as f64;
    let (g, x, to) = (r.pick(&FLOATS), r.pick(&FLOATS), r.pick(&FLOATS));
    let operands = vec![
        b.output(to, &dims, r),
        b.input(g, &dims, r),
        b.input(x, &dims, r),
    ];
    Instruction::new(operands, &[f64::from(DType::F64 as u8), dim])
}

fn cum_extreme(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 5), 3000);
    let (from, to) = (r.pick(&DTYPES), r.pick(&DTYPES));
    let dim = r.below(dims.len()) as f64;
    let operands = vec![
        b.output(to, &dims, r),
        b.output(DType::I64, &dims, r),
        b.input(from, &dims, r),
    ];
    let compute = f64::from(r.pick(&COMPUTED) as u8);
    Instruction::new(operands, &[compute, dim, r.below(2) as f64])
}

/// Along a dim, with or without the logarithm.
fn softmax(row: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 5), 3000);
    let dim = r.below(dims.len()) as f64;
    let dtype = r.pick(&FLOATS);
    let mut operands = vec![b.output(dtype, &dims, r)];
    for _ in 0..row.ins.1 {
        operands.push(b.input(dtype, &dims, r));
    }
    Instruction::new(operands, &[dim, r.below(2) as f64])
}
