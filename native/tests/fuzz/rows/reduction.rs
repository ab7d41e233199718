//! Reductions: the output has size 1 where the input is reduced.

use crate::Generate;
use crate::build::{Bench, Instruction};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "sum" | "mean" => reduce,
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

/// One output and one input, or two with a float64 of the output's dims; the compute type, then plain numbers.
fn reduce(row: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (dims, kept) = reduced(r);
    let compute = r.pick(&[DType::F32, DType::F64, DType::I64]);
    let (from, to) = (r.pick(&DTYPES), r.pick(&DTYPES));
    let mut operands = vec![b.output(to, &kept, r), b.input(from, &dims, r)];
    if row.ins.1 > 1 {
        operands.push(b.input(DType::F64, &kept, r));
    }
    let mut scalars = vec![f64::from(compute as u8)];
    scalars.extend((1..row.scalars.1).map(|_| r.below(4) as f64));
    Instruction::new(operands, &scalars)
}
