//! Optimiser steps, dense and lazy, and the norm of gradients.

use super::FLOATS;
use super::embedding::sparse;
use crate::Generate;
use crate::build::{Bench, Instruction, Operand};
use crate::random::Random;
use toro::dtype::DType;
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "optim_step" => step,
        "grad_norm" => norm,
        "grad_scale" => scale,
        "grad_clamp" => clamp,
        "grad_unscale" => unscale,
        "rows_step" => rows_step,
        "lazy_step" => lazy_step,
        "lazy_read" => lazy_read,
        "lazy_sweep" => lazy_sweep,
        _ => return None,
    })
}

/// Kind and flags of an update rule, and how many states it keeps.
fn rule(r: &mut Random) -> (f64, f64, usize) {
    let adam = r.one_in(2);
    let flags = r.below(64);
    let states = if adam {
        2 + usize::from(flags & 4 != 0)
    } else {
        usize::from(flags & 8 != 0)
    };
    (f64::from(u8::from(!adam)), flags as f64, states)
}

/// Kind and flags of any update rule, how many states it keeps, and how many counters of its own.
fn any_rule(r: &mut Random) -> (f64, f64, usize, usize) {
    let kind = r.below(12);
    if kind < 2 {
        let (kind, flags, states) = rule(r);
        return (kind, flags, states, 0);
    }
    let flags = if kind == 10 { r.below(2) } else { r.below(128) };
    let states = match kind {
        2 => 1 + usize::from(flags & 8 != 0) + usize::from(flags & 64 != 0),
        3 | 9 => 1,
        _ => 2,
    };
    let own = match kind {
        6 => 1,
        9 => 2,
        _ => 0,
    };
    (kind as f64, flags as f64, states, own)
}

fn hyper(r: &mut Random, b: &mut Bench) -> Operand {
    let replay = r.pick(&[2.0, 158.0, 1e300]);
    b.cells(&[r.unit(), 0.9, 0.99, 1e-8, r.unit() * 0.1, replay], r)
}

fn step(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (kind, flags, states, own) = any_rule(r);
    let count = r.range(1, 4);
    let steps: Vec<f64> = (0..count * (1 + own)).map(|_| r.below(20) as f64).collect();
    let mut operands = vec![b.cells(&steps, r), hyper(r, b)];
    let mut scalars = vec![kind, flags];
    for i in 0..count {
        let dims = r.dims((0, 3), 2000);
        let dtype = r.pick(&FLOATS);
        for _ in 0..2 + states {
            operands.push(b.dense(dtype, &dims, r));
        }
        scalars.push(i as f64);
    }
    Instruction::new(operands, &scalars)
}

fn rows_step(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, d) = (r.range(1, 20), r.below(90));
    let dtype = r.pick(&FLOATS);
    let (kind, states) = r.pick(&[(3.0, 1), (10.0, 2)]);
    let table = b.dense(dtype, &[n, d], r);
    let [idx, values, count] = sparse(n, d, dtype, r, b);
    let steps = b.cells(&[r.below(20) as f64], r);
    let mut operands = vec![table, idx, values, count, steps, hyper(r, b)];
    operands.extend((0..states).map(|_| b.dense(dtype, &[n, d], r)));
    Instruction::new(operands, &[kind, r.below(2) as f64, 0.0])
}

fn unscale(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let mut operands = vec![b.dense(DType::F32, &[], r)];
    let dtype = r.pick(&FLOATS);
    operands.push(b.dense(dtype, &[], r));
    let dense = gradients(&mut operands, r, b);
    Instruction::new(operands, &[dense])
}

/// Dense gradients, then row-sparse ones as values and counts; says how many are dense.
fn gradients(operands: &mut Vec<Operand>, r: &mut Random, b: &mut Bench) -> f64 {
    let dense = r.below(4);
    for _ in 0..dense {
        let dims = r.dims((0, 3), 2000);
        let dtype = r.pick(&FLOATS);
        operands.push(b.dense(dtype, &dims, r));
    }
    for _ in 0..r.below(3) {
        let (n, d) = (r.range(1, 20), r.below(40));
        let dtype = r.pick(&FLOATS);
        let [_, values, count] = sparse(n, d, dtype, r, b);
        operands.extend([values, count]);
    }
    dense as f64
}

fn norm(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dtype = r.pick(&FLOATS);
    let mut operands = vec![b.dense(dtype, &[], r)];
    let dense = gradients(&mut operands, r, b);
    let order = r.pick(&[2.0, 1.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 3.0]);
    Instruction::new(operands, &[dense, order])
}

fn scale(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let dtype = r.pick(&FLOATS);
    let mut operands = vec![b.dense(dtype, &[], r)];
    let dense = gradients(&mut operands, r, b);
    Instruction::new(operands, &[dense, r.unit() * 2.0])
}

fn clamp(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let mut operands = Vec::new();
    for _ in 0..r.below(4) {
        let dims = r.dims((0, 3), 2000);
        let dtype = r.pick(&FLOATS);
        operands.push(b.dense(dtype, &dims, r));
    }
    Instruction::new(operands, &[r.unit() * 2.0])
}

/// A table with its states, and what is kept of its rows, at step `t`.
struct Lazy {
    n: usize,
    d: usize,
    dtype: DType,
    table: Operand,
    rows: Operand,
    ring: Operand,
    steps: Operand,
    states: Vec<Operand>,
    scalars: [f64; 3],
}

fn lazy(r: &mut Random, b: &mut Bench) -> Lazy {
    let (kind, flags, states) = rule(r);
    let (n, d) = (r.range(1, 20), r.below(90));
    let dtype = r.pick(&[DType::F32, DType::F64]);
    let length = r.pick(&[2usize, 16, 64]);
    let t = r.below(1000);
    // A row lags by less than the ring holds.
    let rows: Vec<i64> = (0..n)
        .flat_map(|_| {
            let reached = t - r.below(length).min(t);
            [reached as i64, (reached + r.below(30)) as i64]
        })
        .collect();
    let ring = b.dense(dtype, &[length, 8], r);
    Lazy {
        n,
        d,
        dtype,
        table: b.dense(dtype, &[n, d], r),
        rows: b.given(DType::I32, &[n, 2], &rows, r),
        ring,
        steps: b.cells(&[t as f64], r),
        states: (0..states).map(|_| b.dense(dtype, &[n, d], r)).collect(),
        scalars: [kind, flags, 0.0],
    }
}

fn lazy_step(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let l = lazy(r, b);
    let [idx, values, count] = sparse(l.n, l.d, l.dtype, r, b);
    let mut operands = vec![
        l.table,
        idx,
        values,
        count,
        l.rows,
        l.ring,
        l.steps,
        hyper(r, b),
    ];
    operands.extend(l.states);
    Instruction::new(operands, &l.scalars)
}

fn lazy_read(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let l = lazy(r, b);
    let batch = r.below(20);
    let idx = b.indices(&[batch], 0, l.n as i64, r);
    let mut operands = vec![l.table, idx, l.rows, l.ring, l.steps];
    operands.extend(l.states);
    Instruction::new(operands, &l.scalars)
}

fn lazy_sweep(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let l = lazy(r, b);
    let mut operands = vec![l.table, l.rows, l.ring, l.steps];
    operands.extend(l.states);
    Instruction::new(operands, &l.scalars)
}
