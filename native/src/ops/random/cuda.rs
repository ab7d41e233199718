//! Random tensors on CUDA; the kernels are in random.cu.

use super::*;
use crate::cuda::{self as device, Scratch, Shape};
use crate::ops::lines::{Lines, Part, THREADS};
use crate::ops::map::cuda::launch;
use crate::ops::{scan, sorting};

fn run(call: &Call, kernel: &'static str, compute: Compute, own: [u64; 2]) -> Outcome {
    let operands = call.all();
    let space = Space::new(call.name, operands)?;
    let (seed, offset) = stream(call);
    let scalars = [seed, offset, own[0], own[1]];
    launch(call.device, (kernel, compute), &space, operands, scalars)
}

/// In the compute type of the output, which must be a float one.
fn in_float(call: &Call, kernel: &'static str, own: [u64; 2]) -> Outcome {
    let dtype = call.outs()[0].dtype;
    call.require(dtype.is_float(), || {
        format!("the output is {}", dtype.name())
    })?;
    run(call, kernel, dtype.compute(), own)
}

/// The op's own scalars as float64 bits.
fn floats(call: &Call) -> [u64; 2] {
    let own = &call.scalars()[2..];
    core::array::from_fn(|i| own.get(i).map_or(0, |s| s.float().to_bits()))
}

pub fn uniform(call: &Call) -> Outcome {
    in_float(call, "random_uniform", floats(call))
}
pub fn normal(call: &Call) -> Outcome {
    in_float(call, "random_normal", floats(call))
}
pub fn exponential(call: &Call) -> Outcome {
    run(call, "random_exponential", Compute::F64, floats(call))
}
pub fn randint(call: &Call) -> Outcome {
    let own = [call.int(2) as u64, call.int(3) as u64];
    run(call, "random_randint", Compute::I64, own)
}
pub fn bernoulli(call: &Call) -> Outcome {
    let limit = (call.float(2) * 4_294_967_296.0) as u64;
    run(call, "random_bernoulli", Compute::F32, [limit, 0])
}
pub fn bernoulli_of(call: &Call) -> Outcome {
    run(call, "random_bernoulli_of", Compute::F64, [0; 2])
}
pub fn dropout(call: &Call) -> Outcome {
    let Dropping { limit, scale, .. } = Dropping::new(call.float(2), stream(call));
    in_float(call, "random_dropout", [u64::from(limit), scale.to_bits()])
}

/// What kernels are given; mirrors Shuffle in random.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Shuffle {
    out: u64,
    owners: u64,
    done: u64,
    left: u64,
    n: i64,
    round: i64,
    stream: [u64; 2],
}
const _: () = assert!(size_of::<Shuffle>() == 64);

pub fn randperm(call: &Call) -> Outcome {
    let (seed, offset) = stream(call);
    let out = &call.outs()[0];
    require_whole(call, out)?;
    let n = out.numel();
    call.require(n < u32::MAX as usize, || {
        format!("{n} elements are too many to be shuffled")
    })?;
    if n == 0 {
        return Ok(());
    }
    let gpu = device::gpu(call.device)?;
    let memory = Scratch::new(gpu, (n + 1) * 8 + n)?;
    let owners = memory.address() + 8;
    let mut arguments = Shuffle {
        out: out.ptr as u64,
        owners,
        done: owners + (n * 8) as u64,
        left: memory.address(),
        n: n as i64,
        round: 0,
        stream: [seed, offset],
    };
    let all = Shape::line(device::blocks_for(n, THREADS as usize, gpu), THREADS);
    let run = |kernel: &'static str, shape: Shape, arguments: &Shuffle| {
        // SAFETY: mirrors the kernels'; the output was checked and is held, the memory has room for n of each.
        unsafe { gpu.launch((kernel, ""), shape, arguments) }
    };
    run("shuffle_start", all, &arguments)?;
    // Measured on orders of up to 10⁷: the longest chain of swaps that wait for each other is 58.
    let rounds = n.min(2 * (usize::BITS - n.leading_zeros()) as usize + 16);
    for round in (0..rounds).rev() {
        arguments.round = round as i64;
        run("shuffle_reserve", all, &arguments)?;
        run("shuffle_swap", all, &arguments)?;
    }
    run("shuffle_rest", Shape::line(1, 32), &arguments)
}

/// What kernels are given; mirrors Draws in random.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Draws {
    lines: Lines,
    sums: u64,
    out: u64,
    samples: i64,
    stream: [u64; 2],
    with_replacement: i64,
}
const _: () = assert!(size_of::<Draws>() == 2584);

pub fn multinomial(call: &Call) -> Outcome {
    let (seed, offset) = stream(call);
    let (out, weights) = (&call.outs()[0], &call.ins()[0]);
    let [rows, k, n] = sizes_of(call)?;
    require_whole(call, out)?;
    let with_replacement = call.int(2) != 0;
    call.require(k > 0 && (with_replacement || n <= k), || {
        format!("{n} samples of {k} weights")
    })?;
    if rows == 0 {
        return Ok(());
    }
    let gpu = device::gpu(call.device)?;
    let memory = Scratch::new(gpu, rows * k * 8)?;
    let strides = [k as isize, 1];
    let dims = [rows, k];
    let own = || Part::at(memory.address(), DType::F64, &strides);
    let lines = Lines::new(call, &dims, |d| d == 1, &[own(), Part::of(weights)])?;
    let arguments = Draws {
        sums: memory.address(),
        out: out.ptr as u64,
        samples: n as i64,
        stream: [seed, offset],
        with_replacement: i64::from(with_replacement),
        lines,
    };
    let run = |kernel: &'static str, blocks: usize| {
        let shape = Shape::line(device::blocks_for(blocks, 1, gpu), THREADS);
        // SAFETY: mirrors the kernels'; operands were checked and are held, the memory has room for all weights.
        unsafe { gpu.launch((kernel, ""), shape, &arguments) }
    };
    run("multinomial_times", rows)?;
    if with_replacement {
        scan::cuda::running_sums(call, memory.address(), DType::F64, dims)?;
        return run("multinomial_draw", (rows * n).div_ceil(THREADS as usize));
    }
    let order = [Part::NONE, Part::of(out), own()];
    let lines = Lines::new(call, &dims, |d| d == 1, &order)?;
    sorting::cuda::first_places(call, lines, DType::F64, n)
}
