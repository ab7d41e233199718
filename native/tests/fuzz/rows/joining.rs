//! Joining, padding and sums of overlapping views.

use super::FLOATS;
use crate::Generate;
use crate::build::{Bench, Instruction, immediate};
use crate::random::Random;
use toro::dtype::DTYPES;
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "cat" => cat,
        "pad" => pad,
        "pad_backward" => pad_backward,
        "strided_sum" => strided_sum,
        _ => return None,
    })
}

fn cat(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let mut dims = r.dims((1, 4), 1000);
    let dim = r.below(dims.len());
    let sizes: Vec<usize> = (0..r.range(1, 5)).map(|_| r.below(6)).collect();
    dims[dim] = sizes.iter().sum();
    let dtype = r.pick(&DTYPES);
    let mut operands = vec![b.output(dtype, &dims, r)];
    for n in sizes {
        dims[dim] = n;
        let dtype = if r.one_in(3) { r.pick(&DTYPES) } else { dtype };
        operands.push(b.input(dtype, &dims, r));
    }
    Instruction::new(operands, &[dim as f64])
}

/// A mode, and pads that each dim can take.
fn pads(inner: &[usize], r: &mut Random) -> (Vec<f64>, Vec<usize>) {
    let mode = r.below(4);
    let mut scalars = vec![mode as f64];
    let mut outer = Vec::new();
    for &n in inner {
        let most = match mode {
            0 => 4,
            1 => n.saturating_sub(1).min(4),
            2 => {
                if n > 0 {
                    4
                } else {
                    0
                }
            }
            _ => n.min(4),
        };
        let (left, right) = if r.one_in(2) {
            (0, 0)
        } else {
            (r.range(0, most), r.range(0, most))
        };
        scalars.extend([left as f64, right as f64]);
        outer.push(n + left + right);
    }
    (scalars, outer)
}

fn pad(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let inner = r.dims((0, 4), 800);
    let (scalars, outer) = pads(&inner, r);
    let dtype = r.pick(&DTYPES);
    Instruction::new(
        vec![
            b.output(dtype, &outer, r),
            b.input(dtype, &inner, r),
            immediate(r),
        ],
        &scalars,
    )
}

fn pad_backward(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let inner = r.dims((0, 4), 800);
    let (scalars, outer) = pads(&inner, r);
    let dtype = r.pick(&FLOATS);
    Instruction::new(
        vec![b.output(dtype, &inner, r), b.input(dtype, &outer, r)],
        &scalars,
    )
}

fn strided_sum(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 500);
    let dtype = r.pick(&FLOATS);
    let offset = r.below(4);
    let mut scalars = vec![offset as f64];
    let mut reach = offset;
    for &d in &dims {
        let stride = r.below(5);
        scalars.push(stride as f64);
        reach += stride * d.saturating_sub(1);
    }
    let n = reach + 1 + r.below(4);
    Instruction::new(
        vec![b.dense(dtype, &[n], r), b.input(dtype, &dims, r)],
        &scalars,
    )
}
