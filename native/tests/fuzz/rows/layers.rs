//! Matrix products, norms with their gradients, cross entropy.

use super::FLOATS;
use crate::Generate;
use crate::build::{Bench, Instruction, Operand};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "matmul" => matmul,
        "linear_dynamic" => linear_dynamic,
        "fold_norm" => fold_norm,
        "layer_norm" => layer_norm,
        "layer_norm_grad" => layer_norm_grad,
        "batch_norm" => batch_norm,
        "batch_norm_eval" => batch_norm_eval,
        "batch_norm_grad" => batch_norm_grad,
        "probability_cross_entropy" => probability_cross_entropy,
        "cross_entropy" => cross_entropy,
        "cross_entropy_grad" => cross_entropy_grad,
        _ => return None,
    })
}

fn matmul(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let batch = r.dims((0, 2), 8);
    let side = |r: &mut Random| {
        if r.one_in(30) {
            r.range(60, 200)
        } else {
            r.below(20)
        }
    };
    let (m, k, n) = (side(r), side(r), side(r));
    let of = |rows: usize, columns: usize| [&batch[..], &[rows, columns]].concat();
    if r.one_in(5) {
        let dtypes = &DTYPES[4..];
        let (x, y, z) = (r.pick(dtypes), r.pick(dtypes), r.pick(dtypes));
        let operands = vec![
            b.output(x, &of(m, n), r),
            b.input(y, &of(m, k), r),
            b.input(z, &of(k, n), r),
        ];
        return Instruction::new(operands, &[1.0, 0.0, 0.0]);
    }
    let (x, y, z) = (r.pick(&FLOATS), r.pick(&FLOATS), r.pick(&FLOATS));
    let mut operands = vec![
        b.output(x, &of(m, n), r),
        b.input(y, &of(m, k), r),
        b.input(z, &of(k, n), r),
    ];
    if r.one_in(3) {
        let dtype = r.pick(&FLOATS);
        operands.push(b.input(dtype, &[n], r));
    }
    let (alpha, beta) = (r.pick(&[1.0, 0.5]), r.pick(&[0.0, 1.0, 0.5]));
    Instruction::new(operands, &[alpha, beta, r.below(2) as f64])
}

fn linear_dynamic(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let side = |r: &mut Random| {
        if r.one_in(20) {
            r.range(60, 300)
        } else {
            r.below(40)
        }
    };
    let (m, k, n) = (side(r), side(r), side(r));
    let packed = [n.div_ceil(16), k.div_ceil(4), 16, 4];
    let mut operands = vec![
        b.dense(DType::F32, &[m, n], r),
        b.input(DType::F32, &[m, k], r),
        b.dense(DType::I8, &packed, r),
        b.dense(DType::F32, &[n], r),
        b.dense(DType::I32, &[n], r),
    ];
    if r.one_in(2) {
        operands.push(b.dense(DType::F32, &[n], r));
    }
    Instruction::new(operands, &[r.below(2) as f64])
}

fn fold_norm(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let n = r.below(200);
    let to = r.pick(&FLOATS);
    let mut operands = vec![b.output(to, &[n], r), b.output(to, &[n], r)];
    for must in [true, true, false, false, false] {
        let given = must || r.one_in(2);
        operands.push(optional(n, given, r, b));
    }
    Instruction::new(operands, &[1e-5])
}

/// The type that a float type is computed in.
fn compute(dtype: DType) -> DType {
    if dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}

/// A vector of n elements, or an empty one.
fn optional(n: usize, given: bool, r: &mut Random, b: &mut Bench) -> Operand {
    parameter(&[n], given, r, b)
}

/// An operand of these dims, or an empty one.
fn parameter(dims: &[usize], given: bool, r: &mut Random, b: &mut Bench) -> Operand {
    let dtype = r.pick(&FLOATS);
    b.input(dtype, if given { dims } else { &[0] }, r)
}

/// The same for an output.
fn wanted(dims: &[usize], r: &mut Random, b: &mut Bench) -> Operand {
    let dtype = r.pick(&FLOATS);
    let none = r.one_in(3);
    b.output(dtype, if none { &[0] } else { dims }, r)
}

/// Dims, how many of the last make a row, and how many rows there are.
fn rows(r: &mut Random) -> (Vec<usize>, usize, usize) {
    let dims = r.dims((1, 4), 2000);
    let last = r.range(1, dims.len());
    let rows = dims[..dims.len() - last].iter().product();
    (dims, last, rows)
}

fn layer_norm(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (dims, last, rows) = rows(r);
    let row = dims[dims.len() - last..].to_vec();
    let (x, y) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let weighted = r.one_in(2);
    let biased = weighted && r.one_in(2);
    let operands = vec![
        b.output(y, &dims, r),
        b.dense(compute(x), &[rows], r),
        b.dense(compute(x), &[rows], r),
        b.input(x, &dims, r),
        parameter(&row, weighted, r, b),
        parameter(&row, biased, r, b),
    ];
    Instruction::new(operands, &[last as f64, 1e-5, r.below(2) as f64])
}

fn layer_norm_grad(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (dims, last, rows) = rows(r);
    let row = dims[dims.len() - last..].to_vec();
    let (x, g) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let none = r.one_in(4);
    let gx = if none {
        b.output(x, &[0], r)
    } else {
        b.output(x, &dims, r)
    };
    let weighted = r.one_in(2);
    let operands = vec![
        gx,
        wanted(&row, r, b),
        wanted(&row, r, b),
        b.input(g, &dims, r),
        b.input(x, &dims, r),
        b.dense(compute(x), &[rows], r),
        b.dense(compute(x), &[rows], r),
        parameter(&row, weighted, r, b),
    ];
    Instruction::new(operands, &[last as f64, r.below(2) as f64])
}

fn batch_norm(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims: Vec<usize> = r.dims((2, 5), 2000).iter().map(|&n| n.max(1)).collect();
    let c = dims[1];
    let channels: Vec<usize> = (0..dims.len())
        .map(|d| if d == 1 { c } else { 1 })
        .collect();
    let (x, y) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let (running, weighted, biased) = (r.one_in(2), r.one_in(2), r.one_in(2));
    let statistics = |r: &mut Random, b: &mut Bench, given: bool| {
        let dtype = r.pick(&FLOATS);
        b.output(dtype, &[if given { c } else { 0 }], r)
    };
    let operands = vec![
        b.output(y, &dims, r),
        b.dense(DType::F64, &channels, r),
        b.dense(DType::F64, &channels, r),
        statistics(r, b, running),
        statistics(r, b, running),
        b.input(x, &dims, r),
        optional(c, weighted, r, b),
        optional(c, biased, r, b),
    ];
    let ending = [r.pick(&[0.0, 0.3, 1.0]), r.below(9) as f64, 3.0];
    let scalars = [&[1e-5, 0.1][..], &ending[..if r.one_in(3) { 3 } else { 0 }]].concat();
    Instruction::new(operands, &scalars)
}

fn batch_norm_eval(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((2, 5), 2000);
    let (x, y) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let (weighted, biased) = (r.one_in(2), r.one_in(2));
    let operands = vec![
        b.output(y, &dims, r),
        b.input(x, &dims, r),
        optional(dims[1], true, r, b),
        optional(dims[1], true, r, b),
        optional(dims[1], weighted, r, b),
        optional(dims[1], biased, r, b),
    ];
    Instruction::new(operands, &[1e-5])
}

fn batch_norm_grad(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims: Vec<usize> = r.dims((2, 5), 2000).iter().map(|&n| n.max(1)).collect();
    let (x, g) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let none = r.one_in(4);
    let gx = if none {
        b.output(x, &[0], r)
    } else {
        b.output(x, &dims, r)
    };
    let weighted = r.one_in(2);
    let mut operands = vec![
        gx,
        wanted(&dims[1..2], r, b),
        wanted(&dims[1..2], r, b),
        b.input(g, &dims, r),
        b.input(x, &dims, r),
        optional(dims[1], true, r, b),
        optional(dims[1], true, r, b),
        optional(dims[1], weighted, r, b),
    ];
    let mut scalars = vec![1e-5, r.below(2) as f64];
    if r.one_in(3) {
        operands.push(b.input(g, &dims, r));
        scalars.push(1.25);
    }
    Instruction::new(operands, &scalars)
}

/// Rows of targets and how many classes there are.
fn targets(r: &mut Random) -> (Vec<usize>, usize) {
    let classes = if r.one_in(10) {
        r.range(20, 600)
    } else {
        r.range(1, 9)
    };
    (r.dims((0, 3), 300), classes)
}

fn options(reduction: usize, r: &mut Random) -> [f64; 4] {
    [
        reduction as f64,
        r.pick(&[-100.0, 0.0]),
        r.pick(&[0.0, 0.1]),
        r.below(2) as f64,
    ]
}

fn probability_cross_entropy(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 800);
    let (y, t) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let operands = vec![
        b.output(y, &dims, r),
        b.whole(DType::U8, &dims, 0, 2, r),
        b.input(t, &dims, r),
    ];
    Instruction::new(operands, &[f64::from(compute(y) as u8)])
}

fn cross_entropy(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (rows, classes) = targets(r);
    let dims = [&rows[..], &[classes]].concat();
    let reduction = r.below(3);
    let x = r.pick(&FLOATS);
    let weighted = r.one_in(3);
    let operands = vec![
        if reduction == 0 {
            b.dense(x, &rows, r)
        } else {
            b.dense(x, &[], r)
        },
        b.dense(compute(x), &rows, r),
        b.dense(DType::F64, &[], r),
        b.input(x, &dims, r),
        b.indices(&rows, 0, classes as i64, r),
        optional(classes, weighted, r, b),
    ];
    let scalars = options(reduction, r);
    Instruction::new(operands, &scalars)
}

fn cross_entropy_grad(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (rows, classes) = targets(r);
    let dims = [&rows[..], &[classes]].concat();
    let reduction = r.below(3);
    let (x, g) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let weighted = r.one_in(3);
    let operands = vec![
        b.output(x, &dims, r),
        b.input(g, &rows, r),
        b.input(x, &dims, r),
        b.indices(&rows, 0, classes as i64, r),
        b.dense(compute(x), &rows, r),
        b.dense(DType::F64, &[], r),
        optional(classes, weighted, r, b),
    ];
    let scalars = options(reduction, r);
    Instruction::new(operands, &scalars)
}
