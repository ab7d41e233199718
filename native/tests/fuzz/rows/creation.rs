//! Patterns and random numbers.

use super::FLOATS;
use crate::Generate;
use crate::build::{Bench, Instruction, Scalar};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "arange" | "linspace" => sequence,
        "triangle" => triangle,
        "one_hot" => one_hot,
        "uniform" | "normal" | "exponential" => |row, r, b| drawn(row, r, b, &FLOATS),
        "randint" | "bernoulli" => |row, r, b| drawn(row, r, b, &DTYPES),
        "bernoulli_of" | "dropout" => transformed,
        "randperm" => randperm,
        "multinomial" => multinomial,
        "transfer" => transfer,
        _ => return None,
    })
}

fn sequence(row: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let n = r.below(200);
    let dtype = r.pick(&DTYPES);
    let scalars: Vec<f64> = (0..row.scalars.1)
        .map(|_| r.below(9) as f64 - 3.0)
        .collect();
    Instruction::new(vec![b.output(dtype, &[n], r)], &scalars)
}

fn triangle(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((2, 4), 2000);
    let dtype = r.pick(&DTYPES);
    let diagonal = r.pick(&[0.0, 1.0, -1.0, 5.0, -7.0, 1e18]);
    Instruction::new(
        vec![b.dense(dtype, &dims, r)],
        &[diagonal, r.below(2) as f64],
    )
}

fn one_hot(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let mut dims = r.dims((0, 3), 300);
    let classes = r.range(1, 9);
    let number = r.pick(&[DType::I64, DType::I32, DType::U8]);
    let index = b.whole(number, &dims, 0, classes as i64, r);
    dims.push(classes);
    let dtype = r.pick(&DTYPES);
    Instruction::new(vec![b.dense(dtype, &dims, r), index], &[])
}

fn transfer(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 2000);
    let dtype = r.pick(&DTYPES);
    Instruction::new(
        vec![b.dense(dtype, &dims, r), b.dense(dtype, &dims, r)],
        &[r.below(2) as f64],
    )
}

/// Seed and offset, then numbers from 0 to 3.
fn stream(row: &Row, r: &mut Random) -> Vec<Scalar> {
    let mut scalars = vec![
        Scalar::Int(r.next() as i64),
        Scalar::Int(r.below(1 << 20) as i64),
    ];
    scalars.extend((2..row.scalars.1).map(|_| Scalar::Float(r.unit() * 3.0)));
    scalars
}

fn drawn(row: &Row, r: &mut Random, b: &mut Bench, dtypes: &[DType]) -> Instruction {
    let dims = r.dims((0, 4), 4000);
    let dtype = r.pick(dtypes);
    Instruction {
        operands: vec![b.output(dtype, &dims, r)],
        scalars: stream(row, r),
    }
}

fn transformed(row: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 4000);
    let (from, to) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let operands = vec![b.output(to, &dims, r), b.input(from, &dims, r)];
    Instruction {
        operands,
        scalars: stream(row, r),
    }
}

fn randperm(row: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let n = r.below(3000);
    Instruction {
        operands: vec![b.dense(DType::I64, &[n], r)],
        scalars: stream(row, r),
    }
}

fn multinomial(row: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (rows, classes) = (r.range(1, 4), r.range(1, 20));
    let replacement = r.one_in(2);
    let n = if replacement {
        r.below(30)
    } else {
        r.range(0, classes)
    };
    let weights: Vec<i64> = (0..rows * classes).map(|_| r.range(1, 9) as i64).collect();
    let operands = vec![
        b.dense(DType::I64, &[rows, n], r),
        b.given(DType::I64, &[rows, classes], &weights, r),
    ];
    let mut scalars = stream(row, r);
    scalars[2] = Scalar::Float(f64::from(u8::from(replacement)));
    Instruction { operands, scalars }
}
