//! Factorisations: batches of matrices without gaps, in float32 or float64.

use crate::Generate;
use crate::build::{Bench, Instruction};
use crate::random::Random;
use toro::dtype::DType;
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "lu" => |_, r, b| {
            factor(
                r,
                b,
                false,
                |m, n| vec![vec![m, n], vec![m.min(n)], vec![]],
                &[DType::I32; 2],
                0,
            )
        },
        "cholesky" => |_, r, b| {
            factor(
                r,
                b,
                true,
                |m, n| vec![vec![m, n], vec![]],
                &[DType::I32],
                1,
            )
        },
        "geqrf" => |_, r, b| factor(r, b, false, |m, n| vec![vec![m, n], vec![m.min(n)]], &[], 0),
        "eigh" => |_, r, b| factor(r, b, true, |m, n| vec![vec![n], vec![m, n]], &[], 1),
        "svd" => svd,
        "solve_triangular" => solve_triangular,
        "orgqr" => orgqr,
        _ => return None,
    })
}

fn batch(r: &mut Random) -> Vec<usize> {
    r.dims((0, 3), 8)
}

fn joined(batch: &[usize], tail: &[usize]) -> Vec<usize> {
    [batch, tail].concat()
}

/// One input of matrices; outputs by their last dims, of the input's dtype or, at the end, of others.
fn factor(
    r: &mut Random,
    b: &mut Bench,
    square: bool,
    tails: fn(usize, usize) -> Vec<Vec<usize>>,
    last: &[DType],
    scalars: usize,
) -> Instruction {
    let dtype = r.pick(&[DType::F32, DType::F64]);
    let (batch, m, k) = (batch(r), r.below(7), r.below(7));
    let n = if square { m } else { k };
    let tails = tails(m, n);
    let own = tails.len() - last.len();
    let mut operands = Vec::new();
    for (i, tail) in tails.iter().enumerate() {
        let kind = if i < own { dtype } else { last[i - own] };
        operands.push(b.dense(kind, &joined(&batch, tail), r));
    }
    operands.push(b.dense(dtype, &joined(&batch, &[m, n]), r));
    let flags: Vec<f64> = (0..scalars).map(|_| r.below(2) as f64).collect();
    Instruction::new(operands, &flags)
}

fn svd(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dtype = r.pick(&[DType::F32, DType::F64]);
    let (batch, m, n) = (batch(r), r.below(7), r.below(7));
    let (k, full) = (m.min(n), r.one_in(2));
    let (c, rows) = if full { (m, n) } else { (k, k) };
    let tails: [&[usize]; 4] = [&[m, c], &[k], &[rows, n], &[m, n]];
    let operands = tails.map(|tail| b.dense(dtype, &joined(&batch, tail), r));
    Instruction::new(operands.to_vec(), &[f64::from(u8::from(full))])
}

fn solve_triangular(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dtype = r.pick(&[DType::F32, DType::F64]);
    let (batch, n, k) = (batch(r), r.below(7), r.below(7));
    let tails: [&[usize]; 3] = [&[n, k], &[n, n], &[n, k]];
    let operands = tails.map(|tail| b.dense(dtype, &joined(&batch, tail), r));
    Instruction::new(operands.to_vec(), &[r.below(2) as f64, r.below(2) as f64])
}

fn orgqr(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dtype = r.pick(&[DType::F32, DType::F64]);
    let (batch, m) = (batch(r), r.below(7));
    let n = r.below(m + 1);
    let k = r.below(n + 1);
    let c = k + r.below(m - k + 1);
    let tails: [&[usize]; 3] = [&[m, c], &[m, n], &[k]];
    let operands = tails.map(|tail| b.dense(dtype, &joined(&batch, tail), r));
    Instruction::new(operands.to_vec(), &[])
}
