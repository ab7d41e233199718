//! Attention, recurrent layers and bags of rows.

use super::FLOATS;
use crate::Generate;
use crate::build::{Bench, Instruction, Operand};
use crate::random::Random;
use toro::dtype::DType;
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "attention" => attention,
        "attention_grad" => attention_grad,
        "recurrent" => recurrent,
        "recurrent_grad" => recurrent_grad,
        "bag_rows" => bag_rows,
        _ => return None,
    })
}

fn compute(dtype: DType) -> DType {
    if dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}

/// Sizes of attention: batch dims, groups, queries, keys, head, value.
struct Sizes {
    batch: Vec<usize>,
    own: [usize; 5],
}

impl Sizes {
    fn new(r: &mut Random) -> Sizes {
        let side = |r: &mut Random| match r.below(12) {
            0 => 0,
            1 => r.range(100, 300),
            _ => r.range(1, 40),
        };
        Sizes {
            batch: (0..r.below(3))
                .map(|_| if r.one_in(20) { 0 } else { r.range(1, 3) })
                .collect(),
            own: [
                r.range(1, 3),
                side(r),
                side(r),
                if r.one_in(20) {
                    r.range(250, 300)
                } else {
                    r.range(1, 20)
                },
                if r.one_in(20) { 0 } else { r.range(1, 40) },
            ],
        }
    }

    fn of(&self, which: &[usize]) -> Vec<usize> {
        let own = which.iter().map(|&i| self.own[i]);
        self.batch.iter().copied().chain(own).collect()
    }

    fn mask(&self, r: &mut Random, b: &mut Bench) -> Operand {
        let dtype = r.pick(&[DType::Bool, DType::F32, DType::F64, DType::Bf16]);
        let dims = if r.one_in(2) {
            vec![0]
        } else {
            self.of(&[0, 1, 2])
        };
        b.input(dtype, &dims, r)
    }
}

fn attention(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let s = Sizes::new(r);
    let dtype = r.pick(&FLOATS);
    let statistics = s.of(&[0, 1]).iter().product();
    let operands = vec![
        b.output(dtype, &s.of(&[0, 1, 4]), r),
        b.dense(compute(dtype), &[statistics], r),
        b.input(dtype, &s.of(&[0, 1, 3]), r),
        b.input(dtype, &s.of(&[2, 3]), r),
        b.input(dtype, &s.of(&[2, 4]), r),
        s.mask(r, b),
    ];
    Instruction::new(operands, &[r.unit(), r.below(2) as f64])
}

fn attention_grad(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let s = Sizes::new(r);
    let dtype = r.pick(&FLOATS);
    let statistics = s.of(&[0, 1]).iter().product();
    let mut operands = Vec::new();
    for which in [&[0, 1, 3][..], &[2, 3], &[2, 4]] {
        operands.push(b.output(dtype, &s.of(which), r));
    }
    for which in [&[0, 1, 4][..], &[0, 1, 3], &[2, 3], &[2, 4], &[0, 1, 4]] {
        operands.push(b.input(dtype, &s.of(which), r));
    }
    operands.push(b.dense(compute(dtype), &[statistics], r));
    operands.push(s.mask(r, b));
    Instruction::new(operands, &[r.unit(), r.below(2) as f64])
}

/// A recurrent layer's cell, gates, kept numbers, units and steps.
struct Layer {
    cell: usize,
    units: usize,
    batch: usize,
    steps: usize,
    sizes: Option<Vec<i64>>,
    dtype: DType,
}

impl Layer {
    fn new(r: &mut Random) -> Layer {
        let batch = if r.one_in(10) {
            r.range(50, 130)
        } else {
            r.range(1, 9)
        };
        let steps = r.below(6);
        let sizes = r.one_in(2).then(|| {
            let mut sizes: Vec<i64> = (0..steps)
                .map(|_| r.range(1, batch.max(1)) as i64)
                .collect();
            sizes.sort_by_key(|&n| -n);
            if let Some(first) = sizes.first_mut() {
                *first = batch as i64;
            }
            sizes
        });
        Layer {
            cell: r.below(4),
            units: if r.one_in(10) {
                r.range(60, 300)
            } else {
                r.range(1, 20)
            },
            batch,
            steps,
            sizes,
            dtype: r.pick(&[DType::F32, DType::F64]),
        }
    }

    fn gates(&self) -> usize {
        [1, 1, 4, 3][self.cell]
    }

    fn kept(&self) -> usize {
        [0, 0, 4, 4][self.cell]
    }

    fn dims(&self, width: usize) -> Vec<usize> {
        match &self.sizes {
            Some(sizes) => vec![sizes.iter().sum::<i64>() as usize, width],
            None => vec![self.steps, self.batch, width],
        }
    }

    fn rows(&self, width: usize, r: &mut Random, b: &mut Bench) -> Operand {
        b.dense(self.dtype, &self.dims(width), r)
    }

    /// Rows of something that a cell may not have.
    fn optional(&self, times: usize, r: &mut Random, b: &mut Bench) -> Operand {
        if times == 0 {
            return b.dense(self.dtype, &[0], r);
        }
        self.rows(times * self.units, r, b)
    }

    fn state(&self, given: bool, r: &mut Random, b: &mut Bench) -> Operand {
        if given {
            b.output(self.dtype, &[self.batch, self.units], r)
        } else {
            b.dense(self.dtype, &[0], r)
        }
    }

    fn weight(&self, r: &mut Random, b: &mut Bench) -> Operand {
        b.input(self.dtype, &[self.gates() * self.units, self.units], r)
    }

    fn lengths(&self, r: &mut Random, b: &mut Bench) -> Operand {
        b.numbers(self.sizes.as_deref().unwrap_or(&[]), r)
    }

    fn is_lstm(&self) -> bool {
        self.cell == 2
    }
}

fn recurrent(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let l = Layer::new(r);
    let biased = r.one_in(2);
    let operands = vec![
        l.rows(l.units, r, b),
        l.state(true, r, b),
        l.state(l.is_lstm(), r, b),
        l.optional(l.kept(), r, b),
        l.optional(usize::from(l.is_lstm()), r, b),
        l.rows(l.gates() * l.units, r, b),
        l.state(true, r, b),
        l.state(l.is_lstm(), r, b),
        l.weight(r, b),
        b.input(l.dtype, &[if biased { l.units } else { 0 }], r),
        l.lengths(r, b),
    ];
    Instruction::new(operands, &[l.cell as f64, r.below(2) as f64])
}

fn recurrent_grad(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let l = Layer::new(r);
    let gru = l.cell == 3;
    let operands = vec![
        l.rows(l.gates() * l.units, r, b),
        l.optional(if gru { 3 } else { 0 }, r, b),
        l.rows(l.units, r, b),
        l.state(true, r, b),
        l.state(l.is_lstm(), r, b),
        l.rows(l.units, r, b),
        l.state(true, r, b),
        l.state(l.is_lstm(), r, b),
        l.rows(l.units, r, b),
        l.optional(l.kept(), r, b),
        l.optional(usize::from(l.is_lstm()), r, b),
        l.state(true, r, b),
        l.state(l.is_lstm(), r, b),
        l.weight(r, b),
        l.lengths(r, b),
    ];
    Instruction::new(operands, &[l.cell as f64, r.below(2) as f64])
}

fn bag_rows(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (n, d, m, bags) = (r.range(1, 20), r.range(1, 300), r.below(30), r.below(8));
    let (dtype, mode) = (r.pick(&FLOATS), r.below(3));
    let mut starts: Vec<i64> = (0..bags).map(|_| r.below(m + 1) as i64).collect();
    starts.sort_unstable();
    if let Some(first) = starts.first_mut() {
        *first = if r.one_in(60) { 1 } else { 0 };
    }
    let weighted = mode == 0 && r.one_in(2);
    let follows = if mode == 2 { vec![bags, d] } else { vec![0] };
    let operands = vec![
        b.dense(dtype, &[bags, d], r),
        b.dense(DType::I64, &follows, r),
        b.input(dtype, &[n, d], r),
        b.indices(&[m], 0, n as i64, r),
        b.numbers(&starts, r),
        b.dense(dtype, &[if weighted { m } else { 0 }], r),
    ];
    Instruction::new(operands, &[mode as f64, r.pick(&[-1.0, 0.0, 3.0])])
}
