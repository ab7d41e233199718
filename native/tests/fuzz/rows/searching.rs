//! Sorting, selecting and searching.

use crate::Generate;
use crate::build::{Bench, Instruction, Operand, immediate};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "sort" => sort,
        "topk" => topk,
        "kthvalue" => kthvalue,
        "searchsorted" => searchsorted,
        "isin" => isin,
        "sort_rows" => sort_rows,
        "unique_count" => |_, r, b| grouped(r, b, false),
        "unique" => |_, r, b| grouped(r, b, true),
        _ => return None,
    })
}

/// Outputs and input of a selection of `wanted` elements (or all of them) along a dim.
fn selection(r: &mut Random, b: &mut Bench, wanted: Option<usize>) -> (Vec<Operand>, usize, usize) {
    let mut dims = r.dims((1, 4), 3000);
    if r.one_in(60) {
        dims = vec![r.range(1000, 3000), 2];
    }
    let dim = r.below(dims.len());
    let n = dims[dim].max(1);
    dims[dim] = n;
    let k = wanted.unwrap_or_else(|| r.range(1, n));
    let mut out = dims.clone();
    out[dim] = k.min(n);
    let dtype = r.pick(&DTYPES);
    let operands = vec![
        b.output(dtype, &out, r),
        b.output(DType::I64, &out, r),
        b.input(dtype, &dims, r),
    ];
    (operands, dim, n)
}

fn sort(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (operands, dim, _) = selection(r, b, Some(usize::MAX));
    Instruction::new(operands, &[dim as f64, r.below(2) as f64])
}

fn topk(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (operands, dim, _) = selection(r, b, None);
    let flags = [r.below(2) as f64, r.below(2) as f64];
    Instruction::new(operands, &[dim as f64, flags[0], flags[1]])
}

fn kthvalue(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (operands, dim, n) = selection(r, b, Some(1));
    Instruction::new(operands, &[dim as f64, r.range(1, n) as f64])
}

fn searchsorted(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let lead = r.dims((0, 2), 20);
    let (n, v) = (r.below(20), r.below(20));
    let dtype = r.pick(&DTYPES);
    let flat = r.one_in(2);
    let sequence = if flat {
        vec![n]
    } else {
        [&lead[..], &[n]].concat()
    };
    let out = [&lead[..], &[v]].concat();
    let to = r.pick(&[DType::I64, DType::I32]);
    let mut operands = vec![b.output(to, &out, r), b.input(dtype, &sequence, r)];
    operands.push(if r.one_in(4) {
        immediate(r)
    } else {
        b.input(dtype, &out, r)
    });
    if r.one_in(3) {
        operands.push(b.indices(&sequence, 0, n.max(1) as i64, r));
    }
    Instruction::new(operands, &[r.below(2) as f64])
}

fn isin(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dims = r.dims((0, 4), 800);
    let (x, y) = (r.pick(&DTYPES), r.pick(&DTYPES));
    let operands = vec![
        b.output(DType::Bool, &dims, r),
        b.input(x, &dims, r),
        b.input(y, &[r.below(20)], r),
    ];
    let compute = r.pick(&super::COMPUTED);
    Instruction::new(operands, &[f64::from(compute as u8), r.below(2) as f64])
}

fn sort_rows(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, w) = (r.below(40), r.below(5));
    let dtype = r.pick(&DTYPES);
    Instruction::new(
        vec![b.output(DType::I64, &[n], r), b.input(dtype, &[n, w], r)],
        &[],
    )
}

/// Rows of small numbers, the order that sorts them, and room for their groups.
fn grouped(r: &mut Random, b: &mut Bench, fill: bool) -> Instruction {
    let (n, w) = (r.below(30), r.range(1, 3));
    let values: Vec<i64> = (0..n * w).map(|_| r.below(3) as i64).collect();
    let row = |i: i64| &values[i as usize * w..(i as usize + 1) * w];
    let mut order: Vec<i64> = (0..n as i64).collect();
    order.sort_by_key(|&i| row(i));
    let groups = order.chunk_by(|&x, &y| row(x) == row(y)).count();
    let dtype = r.pick(&[DType::I64, DType::U8, DType::I32]);
    let mut operands = if fill {
        vec![
            b.output(DType::I64, &[groups], r),
            b.output(DType::I64, &[n], r),
            b.output(DType::I64, &[groups], r),
        ]
    } else {
        vec![b.dense(DType::I64, &[], r)]
    };
    operands.extend([b.given(dtype, &[n, w], &values, r), b.numbers(&order, r)]);
    Instruction::new(operands, &[])
}
