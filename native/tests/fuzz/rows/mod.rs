//! A generator of right instructions for each row of the opcode table: elementwise rows by their form, the others by
//! name, one file per family.

mod creation;
mod embedding;
mod fused;
mod indexing;
mod joining;
mod layers;
mod linalg;
mod optim;
mod reduction;
mod searching;
mod sequences;
mod spatial;

use crate::Generate;
use crate::build::{Bench, Instruction, immediate};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

/// The generator of a row.
pub fn generator(row: &Row) -> Option<Generate> {
    let families = [
        creation::generator,
        embedding::generator,
        fused::generator,
        indexing::generator,
        joining::generator,
        layers::generator,
        linalg::generator,
        optim::generator,
        reduction::generator,
        searching::generator,
        sequences::generator,
        spatial::generator,
    ];
    families
        .iter()
        .find_map(|family| family(row.name))
        .or_else(|| is_map(row).then_some(map as Generate))
}

/// The types that kernels compute in.
pub const COMPUTED: [DType; 3] = [DType::F32, DType::F64, DType::I64];
pub const FLOATS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::Bf16];

/// Elementwise rows: one output that may be an input, up to three inputs, the compute type and some numbers.
fn is_map(row: &Row) -> bool {
    row.alias
        && row.outs == 1
        && row.ins.0 == row.ins.1
        && row.ins.1 <= 3
        && row.scalars.0 == row.scalars.1
        && row.scalars.0 >= 1
}

fn map(row: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 5), 3000);
    // Bits are those of integers; of the others all compute in floats, and most but not all in integers.
    let bits = row.name.starts_with("bitwise")
        || row.name.starts_with("shift")
        || matches!(row.name, "gcd" | "lcm");
    let compute = if bits || r.one_in(8) {
        DType::I64
    } else {
        r.pick(&[DType::F32, DType::F64])
    };
    let any = |r: &mut Random| {
        if r.one_in(2) {
            compute
        } else {
            r.pick(&DTYPES)
        }
    };
    let mut operands = vec![{
        let dtype = any(r);
        b.output(dtype, &dims, r)
    }];
    for i in 0..row.ins.1 {
        operands.push(match r.below(8) {
            0 => immediate(r),
            // In place.
            1 if i == 0 => operands[0].clone(),
            _ => {
                let dtype = any(r);
                b.input(dtype, &dims, r)
            }
        });
    }
    let mut made = Instruction::new(operands, &[f64::from(compute as u8)]);
    for _ in 1..row.scalars.1 {
        let x = (r.unit() - 0.5) * 6.0;
        made.scalars.push(match r.below(4) {
            0 => crate::build::Scalar::Int(r.below(9) as i64 - 4),
            1 => b.cell(x, r),
            _ => crate::build::Scalar::Float(x),
        });
    }
    made
}
