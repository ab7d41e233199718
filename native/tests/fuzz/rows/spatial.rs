//! Convolutions, pools, planes brought to another size, planes read at points.

use super::{COMPUTED, FLOATS};
use crate::Generate;
use crate::build::{Bench, Instruction};
use crate::random::Random;
use toro::dtype::{DTYPES, DType};
use toro::instruction::Row;

pub fn generator(name: &str) -> Option<Generate> {
    Some(match name {
        "conv" => |row, r, b| conv(row, r, b, 0),
        "conv_input_grad" => |row, r, b| conv(row, r, b, 1),
        "conv_weight_grad" => |row, r, b| conv(row, r, b, 2),
        "max_pool" => max_pool,
        "avg_pool" => |row, r, b| avg_pool(row, r, b, false),
        "avg_pool_grad" => |row, r, b| avg_pool(row, r, b, true),
        "resample" => |row, r, b| resample(row, r, b, false),
        "resample_grad" => |row, r, b| resample(row, r, b, true),
        "grid_sample" => |row, r, b| grid_sample(row, r, b, false),
        "grid_sample_grad" => |row, r, b| grid_sample(row, r, b, true),
        _ => return None,
    })
}

/// A size that is now and then none at all.
fn size(r: &mut Random, most: usize) -> usize {
    if r.one_in(40) { 0 } else { r.range(1, most) }
}

/// A number that is now and then far too large.
fn step(r: &mut Random, least: usize, most: usize) -> usize {
    if r.one_in(60) {
        r.pick(&[1 << 20, 1 << 31, 1 << 45])
    } else {
        r.range(least, most)
    }
}

/// The product that is asked for takes the other two as inputs: 0 the output, 1 the input's gradient, 2 the weight's.
fn conv(_: &Row, r: &mut Random, b: &mut Bench, which: usize) -> Instruction {
    let d = r.range(1, 3);
    let groups = if r.one_in(2) { 1 } else { r.range(1, 5) };
    let (ins, outs) = (
        if r.one_in(3) { 1 } else { size(r, 5) },
        if r.one_in(3) { 1 } else { size(r, 20) },
    );
    let batch = size(r, 4);
    let mut scalars = vec![groups as f64];
    let mut x = vec![batch, groups * ins];
    let mut w = vec![groups * outs, ins];
    let mut y = vec![batch, groups * outs];
    for _ in 0..d {
        let (n, k) = (
            size(r, [40, 14, 7][d - 1]),
            if r.one_in(3) { 1 } else { size(r, 4) },
        );
        let (stride, padding, dilation) = (
            if r.one_in(2) { 1 } else { step(r, 1, 5) },
            if r.one_in(2) { 0 } else { step(r, 0, 4) },
            if r.one_in(2) { 1 } else { step(r, 1, 4) },
        );
        let room = (n + 2 * padding).saturating_sub(dilation * k.saturating_sub(1) + 1);
        // Any size of the output will do.
        let out = if r.one_in(8) {
            size(r, 9)
        } else {
            (room / stride + 1).min(60)
        };
        x.push(n);
        w.push(k);
        y.push(out);
        scalars.extend([stride as f64, padding as f64, dilation as f64]);
    }
    let types: &[DType] = if r.one_in(5) { &DTYPES[4..] } else { &FLOATS };
    let all = [&y, &x, &w];
    let order = [[0, 1, 2], [1, 0, 2], [2, 0, 1]][which];
    let mut operands = Vec::new();
    for (i, &at) in order.iter().enumerate() {
        let dtype = r.pick(types);
        operands.push(if i == 0 {
            b.output(dtype, all[at], r)
        } else {
            b.input(dtype, all[at], r)
        });
    }
    if which < 2 && r.one_in(2) {
        let dtype = r.pick(types);
        let channels = [y[1], x[1]][which];
        operands.push(b.input(dtype, &[channels], r));
    }
    Instruction::new(operands, &scalars)
}

/// Dims of x and of y and the numbers of their windows; 0 in the first of them now and then.
fn windows(r: &mut Random) -> (Vec<usize>, Vec<usize>, Vec<[usize; 4]>) {
    let d = r.range(1, 3);
    let planes = size(r, 5);
    let (mut x, mut y, mut numbers) = (vec![planes], vec![planes], Vec::new());
    for _ in 0..d {
        let (n, k) = (size(r, [200, 20, 8][d - 1]), size(r, 5));
        let (stride, padding, dilation) = (
            step(r, 1, 4),
            if r.one_in(2) { 0 } else { step(r, 0, 4) },
            if r.one_in(2) { 1 } else { step(r, 1, 4) },
        );
        let room = (n + 2 * padding).saturating_sub(dilation * k.saturating_sub(1) + 1);
        x.push(n);
        y.push(if r.one_in(8) {
            size(r, 9)
        } else {
            (room / stride + 1).min(200)
        });
        numbers.push([k, stride, padding, dilation]);
    }
    (x, y, numbers)
}

fn max_pool(_: &Row, r: &mut Random, b: &mut Bench) -> Instruction {
    let (x, y, numbers) = windows(r);
    let dtype = r.pick(&DTYPES);
    let operands = vec![
        b.output(dtype, &y, r),
        b.output(DType::I64, &y, r),
        b.input(dtype, &x, r),
    ];
    let scalars: Vec<f64> = numbers.iter().flatten().map(|&n| n as f64).collect();
    Instruction::new(operands, &scalars)
}

fn avg_pool(_: &Row, r: &mut Random, b: &mut Bench, back: bool) -> Instruction {
    let (x, y, numbers) = windows(r);
    let (from, to) = (r.pick(&FLOATS), r.pick(&FLOATS));
    let operands = if back {
        vec![b.output(to, &x, r), b.input(from, &y, r)]
    } else {
        vec![b.output(to, &y, r), b.input(from, &x, r)]
    };
    let mut scalars = vec![r.below(2) as f64, r.pick(&[0.0, 0.0, 3.0, -2.0])];
    scalars.extend(numbers.iter().flatten().map(|&n| n as f64));
    Instruction::new(operands, &scalars)
}

fn resample(_: &Row, r: &mut Random, b: &mut Bench, back: bool) -> Instruction {
    let d = r.range(1, 3);
    let planes = size(r, 4);
    let mode = r.below(4);
    let smooth = mode >= 2 && r.one_in(3);
    let (mut x, mut y) = (vec![planes], vec![planes]);
    let mut scalars = vec![mode as f64, r.below(2) as f64, f64::from(u8::from(smooth))];
    for _ in 0..d {
        let most = [100, 20, 7][d - 1];
        x.push(size(r, most));
        y.push(size(r, most));
        scalars.push(r.pick(&[0.0, 0.0, 2.0, 0.3, 1e8, 1e-8]));
    }
    let any = if mode < 2 { &COMPUTED[..] } else { &FLOATS };
    let (from, to) = (r.pick(any), r.pick(any));
    let (input, output) = if back { (&y, &x) } else { (&x, &y) };
    let operands = vec![b.output(to, output, r), b.input(from, input, r)];
    Instruction::new(operands, &scalars)
}

fn grid_sample(_: &Row, r: &mut Random, b: &mut Bench, back: bool) -> Instruction {
    let d = r.range(2, 3);
    let (batch, channels) = (size(r, 4), size(r, 4));
    let (mut x, mut y, mut grid) = (vec![batch, channels], vec![batch, channels], vec![batch]);
    for _ in 0..d {
        let (n, m) = (size(r, 8), size(r, 6));
        x.push(n);
        y.push(m);
        grid.push(m);
    }
    grid.push(d);
    let mode = r.below(if d == 2 { 3 } else { 2 });
    let scalars = [mode as f64, r.below(3) as f64, r.below(2) as f64];
    let dtype = |r: &mut Random| r.pick(&FLOATS);
    let (p, q, s) = (dtype(r), dtype(r), dtype(r));
    let operands = if back {
        let (no_x, no_grid) = (r.one_in(4), r.one_in(4));
        vec![
            b.output(p, if no_x { &[0] } else { &x }, r),
            b.output(q, if no_grid { &[0] } else { &grid }, r),
            b.input(s, &y, r),
            b.input(p, &x, r),
            b.input(q, &grid, r),
        ]
    } else {
        vec![b.output(p, &y, r), b.input(q, &x, r), b.input(s, &grid, r)]
    };
    Instruction::new(operands, &scalars)
}
