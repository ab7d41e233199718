//! Chains of elementwise ops.

use super::FLOATS;
use crate::Generate;
use crate::build::{Bench, Instruction};
use crate::random::Random;
use toro::instruction::Row;
use toro::ops;

pub fn generator(name: &str) -> Option<Generate> {
    (name == "fused").then_some(fused as Generate)
}

/// Ops of one to three operands, and one with numbers beside them.
const STEPS: [&str; 10] = [
    "add", "mul", "div", "maximum", "exp", "relu", "tanh", "sin", "clamp", "elu",
];

fn fused(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dtype = r.pick(&FLOATS);
    let n = if r.one_in(50) {
        r.range(30_000, 70_000)
    } else {
        r.below(2000)
    };
    let leaves = r.range(1, 8);
    let mut operands = vec![b.dense(dtype, &[n], r)];
    for _ in 0..leaves {
        operands.push(if r.one_in(4) {
            b.place(dtype, &[n], &[0], r)
        } else {
            b.dense(dtype, &[n], r)
        });
    }
    let steps = r.range(1, 8);
    let mut scalars = vec![steps as f64];
    for step in 0..steps {
        let name = r.pick(&STEPS);
        let opcode = ops::table().iter().position(|row| row.name == name);
        let row = &ops::table()[opcode.expect("a row of this name")];
        scalars.extend([opcode.unwrap_or(0) as f64, row.ins.0 as f64]);
        for _ in 0..row.ins.0 {
            if r.one_in(5) {
                scalars.extend([-1.0, (r.unit() - 0.5) * 8.0]);
            } else {
                scalars.push(r.below(leaves + step) as f64);
            }
        }
        let numbers = row.scalars.0 - 1;
        scalars.push(numbers as f64);
        scalars.extend((0..numbers).map(|_| r.unit()));
    }
    Instruction::new(operands, &scalars)
}
