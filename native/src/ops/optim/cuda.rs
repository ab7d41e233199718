//! Optimiser steps on CUDA; the kernels are in optim.cu. Hyperparameters and step counts stay in the process's memory:
//! what a step needs of them is read here, when it is launched.

use super::norm::Part as Run;
use super::*;
use crate::cuda::{self, Scratch, Shape};
use crate::dtype::Compute;
use crate::ops::embedding::Indices;
use crate::ops::embedding::cuda::count_at;
use crate::ops::map::cuda::suffix;
use crate::ops::walk::cuda::{launch, launch_in};

/// Elements that a block takes at a time.
const CHUNK: usize = 4096;

#[repr(C)]
#[derive(Clone, Copy)]
struct Set {
    p: u64,
    g: u64,
    states: [u64; 3],
    numel: i64,
    first_chunk: i64,
    dtype: i32,
    unused: i32,
    factors: [f64; 8],
}
const _: () = assert!(size_of::<Set>() == 128);

impl Set {
    const NONE: Set = Set {
        p: 0,
        g: 0,
        states: [0; 3],
        numel: 0,
        first_chunk: 0,
        dtype: 0,
        unused: 0,
        factors: [0.0; 8],
    };
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Step {
    sets: u64,
    count: i64,
    chunks: i64,
    chunk: i64,
    kind: i32,
    flags: i32,
}
const _: () = assert!(size_of::<Step>() == 40);

/// So many sets a launch takes along by itself.
const FEW: usize = 31;

#[repr(C)]
#[derive(Clone, Copy)]
struct FewStep {
    step: Step,
    sets: [Set; FEW],
}
const _: () = assert!(size_of::<FewStep>() == 4008);

/// A copy of a table in device memory.
fn uploaded<T: Copy>(call: &Call, table: &[T]) -> Outcome<Scratch> {
    let gpu = cuda::gpu(call.device)?;
    let bytes = size_of_val(table);
    let scratch = Scratch::new(gpu, bytes)?;
    if bytes > 0 {
        // SAFETY: plain numbers, into scratch memory of this size; the driver stages them before it returns.
        unsafe { gpu.upload(scratch.address(), table.as_ptr().cast(), bytes)? };
    }
    Ok(scratch)
}

/// The addresses of states from an operand on, as many as the rule has.
fn states(operands: &[Operand]) -> [u64; 3] {
    core::array::from_fn(|i| operands.get(i).map_or(0, |o| o.ptr as u64))
}

pub fn dense(call: &Call) -> Outcome {
    let Dense {
        which,
        per,
        factors,
    } = checked(call)?;
    let mut chunks = 0;
    let mut sets = Vec::with_capacity(factors.len());
    for (of, factors) in call.all()[2..].chunks(per).zip(factors) {
        let numel = of[0].numel();
        if numel == 0 {
            continue;
        }
        sets.push(Set {
            p: of[0].ptr as u64,
            g: of[1].ptr as u64,
            states: states(&of[2..]),
            numel: numel as i64,
            first_chunk: chunks as i64,
            dtype: of[0].dtype as i32,
            unused: 0,
            factors,
        });
        chunks += numel.div_ceil(CHUNK);
    }
    let mut step = Step {
        sets: 0,
        count: sets.len() as i64,
        chunks: chunks as i64,
        chunk: CHUNK as i64,
        kind: which.kind as i32,
        flags: which.flags as i32,
    };
    let is_there = |compute| {
        let is_double = compute == Compute::F64;
        sets.iter()
            .any(|s| (s.dtype == DType::F64 as i32) == is_double)
    };
    let computes = [Compute::F32, Compute::F64]
        .into_iter()
        .filter(|&c| is_there(c));
    if sets.len() <= FEW {
        let mut few = FewStep {
            step,
            sets: [Set::NONE; FEW],
        };
        few.sets[..sets.len()].copy_from_slice(&sets);
        for compute in computes {
            launch_in(call, ("optim_few", suffix(compute)), chunks, &few)?;
        }
        return Ok(());
    }
    let table = uploaded(call, &sets)?;
    step.sets = table.address();
    for compute in computes {
        launch_in(call, ("optim_step", suffix(compute)), chunks, &step)?;
    }
    Ok(())
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RowsStep {
    p: u64,
    states: [u64; 3],
    numbers: u64,
    values: u64,
    count: u64,
    alarm: u64,
    rows: i64,
    d: i64,
    room: i64,
    opcode: u32,
    number_dtype: i32,
    dtype: i32,
    kind: i32,
    flags: i32,
    unused: i32,
    factors: [f64; 8],
}
const _: () = assert!(size_of::<RowsStep>() == 176);

pub fn rows(call: &Call) -> Outcome {
    let (which, n, d) = rows::checked(call)?;
    let operands = call.all();
    let room = Indices::new(call, operands, 1)?.len;
    let a = RowsStep {
        p: operands[0].ptr as u64,
        states: states(&operands[6..]),
        numbers: operands[1].ptr as u64,
        values: operands[2].ptr as u64,
        count: count_at(call, &operands[3])?,
        alarm: cuda::gpu(call.device)?.alarm(),
        rows: n as i64,
        d: d as i64,
        room: room as i64,
        opcode: call.opcode,
        number_dtype: operands[1].dtype as i32,
        dtype: operands[0].dtype as i32,
        kind: which.kind as i32,
        flags: which.flags as i32,
        unused: 0,
        factors: rows::factors(call, which)?,
    };
    let kernel = ("rows_step", suffix(operands[0].dtype.compute()));
    launch(call, kernel, room * d, &a)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Lazy {
    p: u64,
    states: [u64; 3],
    reached: u64,
    ring: u64,
    numbers: u64,
    values: u64,
    count: u64,
    alarm: u64,
    rows: i64,
    d: i64,
    room: i64,
    first: i64,
    swept: i64,
    steps: i64,
    opcode: u32,
    before: u32,
    until: u32,
    number_dtype: i32,
    dtype: i32,
    kind: i32,
    flags: i32,
    is_forever: i32,
    is_idle: i32,
    unused: i32,
    factors: [f64; 8],
}
const _: () = assert!(size_of::<Lazy>() == 232);

impl Lazy {
    /// What the three forms have in common: the table at operand 0, where rows and ring lie, where states begin.
    fn of(
        call: &Call,
        which: Which,
        [rows, ring, states_at]: [usize; 3],
        before: u32,
    ) -> Outcome<Lazy> {
        let operands = call.all();
        let table = &operands[0];
        let (has, is_sgd) = (|flag| which.has(flag), which.kind == Kind::Sgd);
        Ok(Lazy {
            p: table.ptr as u64,
            states: states(&operands[states_at..]),
            reached: operands[rows].ptr as u64,
            ring: operands[ring].ptr as u64,
            numbers: 0,
            values: 0,
            count: 0,
            alarm: cuda::gpu(call.device)?.alarm(),
            rows: table.dims()[0] as i64,
            d: table.dims()[1] as i64,
            room: 0,
            first: 0,
            swept: 0,
            steps: operands[ring].dims()[0] as i64,
            opcode: call.opcode,
            before,
            until: 0,
            number_dtype: 0,
            dtype: table.dtype as i32,
            kind: which.kind as i32,
            flags: which.flags as i32,
            is_forever: i32::from(if is_sgd {
                has(MOMENTUM) && has(DECAY)
            } else {
                has(L2)
            }),
            is_idle: i32::from(is_sgd && !has(MOMENTUM) && !has(DECAY)),
            unused: 0,
            factors: [0.0; 8],
        })
    }

    fn numbered(mut self, call: &Call, at: usize) -> Outcome<Lazy> {
        let o = &call.all()[at];
        self.room = Indices::new(call, call.all(), at)?.len as i64;
        (self.numbers, self.number_dtype) = (o.ptr as u64, o.dtype as i32);
        Ok(self)
    }

    /// Runs a kernel with a warp for each row.
    fn launch(&self, call: &Call, kernel: &'static str, rows: i64) -> Outcome {
        let suffix = suffix(call.all()[0].dtype.compute());
        launch(call, (kernel, suffix), rows as usize * 32, self)
    }
}

pub fn lazy_step(call: &Call) -> Outcome {
    let lazy::Checked { which, before, .. } = lazy::checked_step(call)?;
    let operands = call.all();
    let mut a = Lazy::of(call, which, [4, 5, 8], before)?.numbered(call, 1)?;
    if a.is_idle == 0 {
        let (rows, half) = (a.rows as usize, a.steps as usize / 2);
        let (first, end) = lazy::share(rows, half, before);
        (a.first, a.swept) = (first as i64, (end - first) as i64);
    }
    a.values = operands[2].ptr as u64;
    a.count = count_at(call, &operands[3])?;
    (a.until, a.factors) = lazy::started(call, which, before)?;
    // Without rows too, for the ring's sake.
    a.launch(call, "lazy_step", (a.swept + a.room).max(1))
}

pub fn lazy_read(call: &Call) -> Outcome {
    let lazy::Checked { which, before, .. } = lazy::checked_read(call)?;
    let a = Lazy::of(call, which, [2, 3, 5], before)?.numbered(call, 1)?;
    if a.is_idle != 0 {
        return Ok(());
    }
    a.launch(call, "lazy_read", a.room)
}

pub fn lazy_sweep(call: &Call) -> Outcome {
    let lazy::Checked { which, before, .. } = lazy::checked_sweep(call)?;
    let mut a = Lazy::of(call, which, [1, 2, 4], before)?;
    if a.is_idle != 0 {
        return Ok(());
    }
    a.room = a.rows;
    a.launch(call, "lazy_sweep", a.room)
}

// ---- gradients together

#[repr(C)]
#[derive(Clone, Copy)]
struct Part {
    data: u64,
    count: u64,
    numel: i64,
    d: i64,
    first_chunk: i64,
    dtype: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Part>() == 48);

#[repr(C)]
#[derive(Clone, Copy)]
struct Parts {
    parts: u64,
    count: i64,
    chunks: i64,
    chunk: i64,
    sums: u64,
    out: u64,
    by: u64,
    order: f64,
    most: f64,
    out_dtype: i32,
    by_dtype: i32,
}
const _: () = assert!(size_of::<Parts>() == 80);

/// The table of gradients, and the argument that names it.
fn table(call: &Call, runs: &[Run]) -> Outcome<(Scratch, Parts)> {
    let operands = call.all();
    let mut chunks = 0;
    let mut parts = Vec::with_capacity(runs.len());
    for run in runs {
        let o = &operands[run.operand];
        let d = o.dims().last().copied().unwrap_or(1);
        parts.push(Part {
            data: o.ptr as u64,
            count: match run.count {
                Some(at) if d > 0 => count_at(call, &operands[at])?,
                _ => 0,
            },
            numel: o.numel() as i64,
            d: d as i64,
            first_chunk: chunks as i64,
            dtype: o.dtype as i32,
            unused: 0,
        });
        chunks += o.numel().div_ceil(CHUNK);
    }
    let scratch = uploaded(call, &parts)?;
    let argument = Parts {
        parts: scratch.address(),
        count: parts.len() as i64,
        chunks: chunks as i64,
        chunk: CHUNK as i64,
        sums: 0,
        out: 0,
        by: 0,
        order: 0.0,
        most: 0.0,
        out_dtype: 0,
        by_dtype: 0,
    };
    Ok((scratch, argument))
}

pub fn norm(call: &Call) -> Outcome {
    let (runs, order) = norm::checked_norm(call)?;
    let out = &call.all()[0];
    let (_table, mut a) = table(call, &runs)?;
    let gpu = cuda::gpu(call.device)?;
    let sums = Scratch::new(gpu, (a.chunks + a.count) as usize * 8)?;
    (a.sums, a.order) = (sums.address(), order);
    (a.out, a.out_dtype) = (out.ptr as u64, out.dtype as i32);
    launch_in(call, ("grad_norm_chunks", ""), a.chunks as usize, &a)?;
    launch_in(call, ("grad_norm_parts", ""), a.count as usize, &a)?;
    // SAFETY: mirrors the kernel's parameter; every operand was checked and is held.
    unsafe { gpu.launch(("grad_norm_total", ""), Shape::line(1, 256), &a) }
}

pub fn scale(call: &Call) -> Outcome {
    let (runs, most) = norm::checked_scale(call)?;
    let by = &call.all()[0];
    let (_table, mut a) = table(call, &runs)?;
    (a.by, a.by_dtype, a.most) = (by.ptr as u64, by.dtype as i32, most);
    launch_in(call, ("grad_scale", ""), a.chunks as usize, &a)
}

pub fn clamp(call: &Call) -> Outcome {
    let (runs, most) = norm::checked_clamp(call)?;
    let (_table, mut a) = table(call, &runs)?;
    a.most = most;
    launch_in(call, ("grad_clamp", ""), a.chunks as usize, &a)
}

pub fn unscale(call: &Call) -> Outcome {
    let runs = norm::checked_unscale(call)?;
    let (out, by) = (&call.all()[0], &call.all()[1]);
    let (_table, mut a) = table(call, &runs)?;
    (a.out, a.by, a.by_dtype) = (out.ptr as u64, by.ptr as u64, by.dtype as i32);
    launch_in(call, ("grad_unscale", ""), a.chunks as usize, &a)
}
