//! Reading and writing by indices and masks, and counts by value.

use super::FLOATS;
use crate::Generate;
use crate::build::{Bench, Instruction, Operand, immediate};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "index" => |_, r, b| index(r, b, false),
        "index_put" => |_, r, b| index(r, b, true),
        "embedding" => embedding,
        "take" => take,
        "gather" => gather,
        "scatter" => |_, r, b| scatter(r, b, false),
        "scatter_reduce" => |_, r, b| scatter(r, b, true),
        "nonzero_count" => |_, r, b| counted(r, b, &DTYPES),
        "nonzero" => nonzero,
        "masked_select" => masked_select,
        "masked_scatter" => masked_scatter,
        "repeat_count" => |_, r, b| counted(r, b, &DTYPES[4..9]),
        "repeat" => repeat,
        "bincount_size" => bincount_size,
        "bincount" => bincount,
        "histc" => histc,
        _ => return None,
    })
}

const NUMBERS: [DType; 2] = [DType::I64, DType::I32];

/// Some dims of x are indexed by operands of one shape, which takes their place.
fn index(r: &mut Random, b: &mut Bench, put: bool) -> Instruction {
    let dims = r.dims((1, 4), 800);
    let indexed: Vec<usize> = (0..dims.len()).filter(|_| r.one_in(2)).collect();
    let indexed = if indexed.is_empty() {
        vec![r.below(dims.len())]
    } else {
        indexed
    };
    let shape = if indexed.iter().any(|&d| dims[d] == 0) {
        vec![0]
    } else {
        r.dims((0, 2), 40)
    };
    let free: Vec<usize> = (0..dims.len())
        .filter(|d| !indexed.contains(d))
        .map(|d| dims[d])
        .collect();
    let at = r.range(0, free.len());
    let other = [&free[..at], &shape[..], &free[at..]].concat();
    let dtype = r.pick(&DTYPES);
    let mut operands = Vec::new();
    if put {
        operands.push(b.output(dtype, &dims, r));
        operands.push(if r.one_in(4) {
            immediate(r)
        } else {
            b.input(dtype, &other, r)
        });
    } else {
        operands.push(b.output(dtype, &other, r));
        operands.push(b.input(dtype, &dims, r));
    }
    for &d in &indexed {
        let number = r.pick(&NUMBERS);
        operands.push(b.whole(number, &shape, -(dims[d] as i64), dims[d] as i64, r));
    }
    let mut scalars = if put {
        vec![r.below(2) as f64, r.unit() * 2.0]
    } else {
        vec![]
    };
    scalars.extend([1.0, at as f64]);
    scalars.extend(indexed.iter().map(|&d| d as f64));
    Instruction::new(operands, &scalars)
}

fn embedding(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let mut weight = r.dims((1, 3), 800);
    weight[0] = weight[0].max(1);
    let shape = r.dims((0, 2), 40);
    let dtype = r.pick(&DTYPES);
    let out = [&shape[..], &weight[1..]].concat();
    let operands = vec![
        b.output(dtype, &out, r),
        b.input(dtype, &weight, r),
        b.indices(&shape, 0, weight[0] as i64, r),
    ];
    Instruction::new(operands, &[])
}

fn take(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims: Vec<usize> = r.dims((0, 3), 300).iter().map(|&n| n.max(1)).collect();
    let n = dims.iter().product::<usize>() as i64;
    let shape = r.dims((0, 3), 100);
    let dtype = r.pick(&DTYPES);
    let operands = vec![
        b.output(dtype, &shape, r),
        b.input(dtype, &dims, r),
        b.indices(&shape, -n, n, r),
    ];
    Instruction::new(operands, &[])
}

/// A tensor, a dim, and the shape of indices along it.
fn along(r: &mut Random) -> (Vec<usize>, usize, Vec<usize>) {
    let dims: Vec<usize> = r.dims((1, 4), 800).iter().map(|&n| n.max(1)).collect();
    let dim = r.below(dims.len());
    let shape = dims
        .iter()
        .enumerate()
        .map(|(d, &n)| if d == dim { r.below(9) } else { r.range(0, n) })
        .collect();
    (dims, dim, shape)
}

fn gather(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (dims, dim, shape) = along(r);
    let dtype = r.pick(&DTYPES);
    let number = r.pick(&NUMBERS);
    let operands = vec![
        b.output(dtype, &shape, r),
        b.input(dtype, &dims, r),
        b.whole(number, &shape, 0, dims[dim] as i64, r),
    ];
    Instruction::new(operands, &[dim as f64])
}

fn scatter(r: &mut Random, b: &mut Bench, reduce: bool) -> Instruction {
    let (dims, dim, shape) = along(r);
    let dtype = r.pick(&DTYPES);
    let number = r.pick(&NUMBERS);
    let operands = vec![
        b.output(dtype, &dims, r),
        if r.one_in(4) {
            immediate(r)
        } else {
            b.input(dtype, &shape, r)
        },
        b.whole(number, &shape, 0, dims[dim] as i64, r),
    ];
    let mut scalars = vec![dim as f64];
    if reduce {
        scalars.extend([r.below(5) as f64, r.below(2) as f64]);
    }
    Instruction::new(operands, &scalars)
}

fn counted(r: &mut Random, b: &mut Bench, dtypes: &[DType]) -> Instruction {
    let dims = r.dims((0, 4), 800);
    let dtype = r.pick(dtypes);
    let shape: &[usize] = if r.one_in(2) { &[] } else { &[1] };
    Instruction::new(
        vec![b.dense(DType::I64, shape, r), b.input(dtype, &dims, r)],
        &[],
    )
}

/// A mask of 0 and 1, and how many are 1.
fn mask(dims: &[usize], r: &mut Random, b: &mut Bench) -> (Operand, usize) {
    let n: usize = dims.iter().product();
    let values: Vec<i64> = (0..n).map(|_| r.below(2) as i64).collect();
    let dtype = r.pick(&[DType::Bool, DType::U8, DType::I64]);
    (
        b.given(dtype, dims, &values, r),
        values.iter().filter(|&&x| x != 0).count(),
    )
}

fn nonzero(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 800);
    let (mask, count) = mask(&dims, r, b);
    Instruction::new(
        vec![b.output(DType::I64, &[count, dims.len()], r), mask],
        &[],
    )
}

fn masked_select(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 800);
    let (mask, count) = mask(&dims, r, b);
    let dtype = r.pick(&DTYPES);
    Instruction::new(
        vec![b.output(dtype, &[count], r), b.input(dtype, &dims, r), mask],
        &[],
    )
}

fn masked_scatter(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 800);
    let (mask, count) = mask(&dims, r, b);
    let dtype = r.pick(&DTYPES);
    let source = [count + r.below(4)];
    Instruction::new(
        vec![b.output(dtype, &dims, r), mask, b.input(dtype, &source, r)],
        &[],
    )
}

fn repeat(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let repeats: Vec<i64> = (0..r.below(20)).map(|_| r.below(5) as i64).collect();
    let total = repeats.iter().sum::<i64>() as usize;
    let operands = vec![b.output(DType::I64, &[total], r), b.numbers(&repeats, r)];
    Instruction::new(operands, &[])
}

fn bincount_size(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let n = r.below(50);
    let operands = vec![b.dense(DType::I64, &[], r), b.indices(&[n], 0, 9, r)];
    Instruction::new(operands, &[r.below(20) as f64])
}

fn bincount(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let n = r.below(50);
    let weighted = r.one_in(2);
    let to = if weighted {
        r.pick(&FLOATS)
    } else {
        DType::I64
    };
    let bins = r.range(9, 14);
    let mut operands = vec![b.output(to, &[bins], r), b.indices(&[n], 0, 9, r)];
    if weighted {
        let dtype = r.pick(&DTYPES);
        operands.push(b.input(dtype, &[n], r));
    }
    Instruction::new(operands, &[])
}

fn histc(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 3), 800);
    let (from, to) = (r.pick(&DTYPES), r.pick(&DTYPES));
    let bins = r.range(1, 20);
    let operands = vec![b.output(to, &[bins], r), b.input(from, &dims, r)];
    Instruction::new(operands, &[-1.0 - r.unit(), 1.0 + r.unit()])
}
