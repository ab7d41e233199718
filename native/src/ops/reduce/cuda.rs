//! Reductions on CUDA: the loops of reduce.rs become the argument of one kernel, `reduce_` and the row's name with the
//! compute type; where outputs are few a second one, `join_…`, joins what pieces came to. Kernels: reduce.cuh.

use super::Plan;
use crate::cuda::{self, Scratch, Shape};
use crate::dtype::Compute;
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand};
use crate::ops::map::cuda::{packs, suffix};

/// As in reduce.cuh.
const THREADS: usize = 256;
const STRIP: usize = 128;
/// Elements that a block of 256 should have at least before a reduction is cut.
const PIECE: usize = 8192;
/// Outputs from which on the device is busy without cutting.
const MANY: usize = 1024;

/// What a kernel is given; mirrors Reduce in reduce.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    outs: i64,
    count: i64,
    piece: i64,
    pieces: i32,
    lanes: i32,
    kept_ndim: i32,
    reduced_ndim: i32,
    x_dtype: i32,
    out_dtype: i32,
    way: Way,
    unused: i32,
    x: u64,
    aux: u64,
    out: u64,
    totals: u64,
    parameters: [f64; 2],
    kept_sizes: [i64; MAX_DIMS],
    kept_strides: [[i64; 3]; MAX_DIMS],
    reduced_sizes: [i64; MAX_DIMS],
    reduced_strides: [i64; MAX_DIMS],
}
const _: () = assert!(size_of::<Arguments>() == 872);

/// Which elements a thread takes at once, as in reduce.cuh.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Single,
    Along,
    Across,
}

impl Way {
    fn of(plan: &Plan, x: &Operand, compute: Compute, has_aux: bool) -> Way {
        let quads = packs(x.dtype)
            && (x.ptr as usize).is_multiple_of(4 * x.dtype.size())
            && compute == Compute::F32;
        if !quads {
            return Way::Single;
        }
        let is_multiple = |stride: isize| stride % 4 == 0;
        let kept = &plan.kept.strides[..plan.kept.ndim];
        let reduced = &plan.reduced.strides[..plan.reduced.ndim];
        if let [[1]] = reduced
            && kept.iter().all(|s| is_multiple(s[1]))
        {
            return Way::Along;
        }
        let (width, strides) = plan.kept.inner();
        let outer = &kept[..kept.len().saturating_sub(1)];
        let is_across = !has_aux
            && strides[1] == 1
            && width.is_multiple_of(4)
            && outer.iter().all(|s| is_multiple(s[1]))
            && reduced.iter().all(|&[s]| is_multiple(s));
        if is_across { Way::Across } else { Way::Single }
    }
}

/// Threads that take one output, and pieces that the reduced loop is cut into; by the shape only.
fn share(plan: &Plan, way: Way) -> (usize, usize) {
    let (outs, count) = (plan.kept.numel, plan.reduced.numel);
    if way == Way::Across {
        let blocks = outs.div_ceil(STRIP);
        return (1, (MANY / blocks).clamp(1, count.div_ceil(64).max(1)));
    }
    let lanes = if plan.by_columns() || count < 16 {
        1
    } else if count < 512 || outs > 64 * 1024 {
        32
    } else {
        THREADS
    };
    let least = PIECE * lanes / THREADS;
    let pieces = if outs * lanes >= MANY * THREADS / 4 {
        1
    } else {
        count.div_ceil(least.max(64)).clamp(1, MANY)
    };
    (lanes, pieces)
}

/// Runs a reducing instruction; `reduce` and `join` are the names of its kernels without the type.
pub fn run(call: &Call, reduce: &'static str, join: &'static str) -> Outcome {
    let (out, ins) = (&call.outs()[0], call.ins());
    let parameters: Vec<f64> = call.scalars()[1..].iter().map(|s| s.float()).collect();
    over(
        call,
        call.dtype(0)?.compute(),
        (reduce, join),
        (out, &ins[0], ins.get(1)),
        &parameters,
    )
}

/// Reduces an operand into the dims of size 1 of another; the third, where there is one, has a float64 for each output.
pub fn over(
    call: &Call,
    compute: Compute,
    (reduce, join): (&'static str, &'static str),
    (out, x, aux): (&Operand, &Operand, Option<&Operand>),
    parameters: &[f64],
) -> Outcome {
    let plan = Plan::new(call.name, out, x, aux, false)?;
    let (outs, count) = (plan.kept.numel, plan.reduced.numel);
    if outs == 0 {
        return Ok(());
    }
    let gpu = cuda::gpu(call.device)?;
    let way = Way::of(&plan, x, compute, aux.is_some());
    let (lanes, pieces) = share(&plan, way);
    // Pieces begin on fours.
    let piece = count.div_ceil(pieces).max(1).next_multiple_of(4);
    let pieces = count.div_ceil(piece).max(1);
    let scratch = Scratch::new(gpu, if pieces > 1 { outs * pieces * 8 } else { 0 })?;
    let mut a = Arguments {
        outs: outs as i64,
        count: count as i64,
        piece: piece as i64,
        pieces: pieces as i32,
        lanes: lanes as i32,
        kept_ndim: plan.kept.ndim as i32,
        reduced_ndim: plan.reduced.ndim as i32,
        x_dtype: x.dtype as i32,
        out_dtype: out.dtype as i32,
        way,
        unused: 0,
        x: x.ptr as u64,
        aux: aux.map_or(0, |aux| aux.ptr as u64),
        out: out.ptr as u64,
        totals: scratch.address(),
        parameters: [0.0; 2],
        kept_sizes: plan.kept.sizes.map(|s| s as i64),
        kept_strides: plan.kept.strides.map(|s| s.map(|x| x as i64)),
        reduced_sizes: plan.reduced.sizes.map(|s| s as i64),
        reduced_strides: plan.reduced.strides.map(|[s]| s as i64),
    };
    for (to, &parameter) in a.parameters.iter_mut().zip(parameters) {
        *to = parameter;
    }
    let per_block = if way == Way::Across {
        STRIP
    } else {
        THREADS / lanes
    };
    let blocks = cuda::blocks_for(outs, per_block, gpu);
    let shape = Shape {
        grid: [blocks as u32, pieces as u32, 1],
        threads: THREADS as u32,
        shared: 0,
    };
    // SAFETY: the argument mirrors the kernels'; every operand was checked and is held; the totals have room for
    // every piece of every output.
    unsafe {
        gpu.launch((reduce, suffix(compute)), shape, &a)?;
        if pieces > 1 {
            let blocks = cuda::blocks_for(outs, THREADS / 32, gpu);
            gpu.launch(
                (join, suffix(compute)),
                Shape::line(blocks, THREADS as u32),
                &a,
            )?;
        }
    }
    Ok(())
}
