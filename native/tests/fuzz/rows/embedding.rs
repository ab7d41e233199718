//! Rows of embedding tables and row-sparse sums: ascending row numbers, values, and how many are in use.

use super::FLOATS;
use crate::Generate;
use crate::build::{Bench, Instruction, Operand};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "gather_rows" => gather,
        "sum_rows" => sum,
        "add_rows" => add,
        "merge_rows" => merge,
        "limit_rows" => limit,
        _ => return None,
    })
}

/// Ascending row numbers below n (R), values (R, D), count (1) with at most R in use.
pub fn sparse(n: usize, d: usize, dtype: DType, r: &mut Random, b: &mut Bench) -> [Operand; 3] {
    let room = r.range(1, n.clamp(1, 9));
    let mut numbers: Vec<i64> = (0..n as i64).collect();
    while numbers.len() > room {
        numbers.remove(r.below(numbers.len()));
    }
    let used = r.below(numbers.len() + 1);
    numbers.resize(room, 0);
    [
        b.numbers(&numbers, r),
        b.dense(dtype, &[room, d], r),
        b.numbers(&[used as i64], r),
    ]
}

fn gather(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, d, batch) = (r.range(1, 20), r.below(40), r.below(30));
    let dtype = r.pick(&DTYPES);
    let number = r.pick(&[DType::I64, DType::I32]);
    let operands = vec![
        b.dense(dtype, &[batch, d], r),
        b.input(dtype, &[n, d], r),
        b.whole(number, &[batch], 0, n as i64, r),
    ];
    Instruction::new(operands, &[r.pick(&[-1.0, 0.0, 3.0])])
}

fn sum(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, d, batch) = (r.range(1, 20), r.below(300), r.below(30));
    let dtype = r.pick(&FLOATS);
    let room = batch.min(n) + r.below(3);
    let operands = vec![
        b.dense(DType::I64, &[room], r),
        b.dense(dtype, &[room, d], r),
        b.dense(DType::I64, &[1], r),
        b.indices(&[batch], 0, n as i64, r),
        b.input(dtype, &[batch, d], r),
    ];
    let padding = r.pick(&[-1.0, 0.0]);
    Instruction::new(operands, &[n as f64, padding, r.below(2) as f64])
}

fn add(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, d) = (r.range(1, 20), r.below(40));
    let dtype = r.pick(&FLOATS);
    let mut operands = vec![b.dense(dtype, &[n, d], r)];
    operands.extend(sparse(n, d, dtype, r, b));
    Instruction::new(operands, &[])
}

fn merge(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, d) = (r.range(1, 20), r.below(40));
    let dtype = r.pick(&FLOATS);
    let (one, other) = (sparse(n, d, dtype, r, b), sparse(n, d, dtype, r, b));
    let room = 20;
    let mut operands = vec![
        b.dense(DType::I64, &[room], r),
        b.dense(dtype, &[room, d], r),
        b.dense(DType::I64, &[1], r),
    ];
    operands.extend(one);
    operands.extend(other);
    Instruction::new(operands, &[])
}

fn limit(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, d, batch) = (r.range(1, 20), r.below(40), r.below(20));
    let dtype = r.pick(&FLOATS);
    let operands = vec![
        b.dense(dtype, &[n, d], r),
        b.indices(&[batch], 0, n as i64, r),
    ];
    Instruction::new(
        operands,
        &[r.unit() * 3.0, r.pick(&[2.0, 1.0, f64::INFINITY, 3.5])],
    )
}
