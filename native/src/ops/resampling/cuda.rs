//! Resampling on CUDA: the kernel of resampling.cu, once for each dim. The tables are the CPU's; the gradient's are the
//! same turned round, so that its elements gather too.

use super::{Plan, Table};
use crate::cuda::{self, Scratch, Shape};
use crate::dtype::Number;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::map::cuda::suffix;
use crate::ops::view::View;
use crate::with_compute;

/// As in resampling.cu.
const THREADS: u32 = 256;

/// What the kernel is given; mirrors Resample in resampling.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    numel: i64,
    starts: u64,
    places: u64,
    weights: u64,
    to: View<4>,
    from: View<4>,
    dim: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Arguments>() == 200);

/// For each place along a dim of the output, which places of the input it sums and their weights.
struct Lists<C> {
    starts: Vec<i64>,
    places: Vec<i32>,
    weights: Vec<C>,
}

impl<C: Number> Lists<C> {
    /// `back`: from places of y to those of x, each list in the order of y.
    fn new(t: Table<C>, back: bool) -> Lists<C> {
        let narrow = |place: usize| place as i32;
        if !back {
            return Lists {
                starts: (0..=t.output).map(|o| (o * t.taps) as i64).collect(),
                places: t.places.into_iter().map(narrow).collect(),
                weights: t.weights,
            };
        }
        let mut starts = vec![0i64; t.input + 1];
        for &place in &t.places {
            starts[place + 1] += 1;
        }
        for i in 0..t.input {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut places = vec![0; t.places.len()];
        let mut weights = vec![C::default(); t.places.len()];
        for (entry, (&place, &weight)) in t.places.iter().zip(&t.weights).enumerate() {
            let to = next[place] as usize;
            next[place] += 1;
            places[to] = narrow(entry / t.taps);
            weights[to] = weight;
        }
        Lists {
            starts,
            places,
            weights,
        }
    }
}

/// Copies a list to the device.
fn uploaded<T>(gpu: &'static cuda::Gpu, list: &[T]) -> Outcome<Scratch> {
    let bytes = size_of_val(list);
    let scratch = Scratch::new(gpu, bytes)?;
    if bytes > 0 {
        // SAFETY: the list's bytes, into as many of its own.
        unsafe { gpu.upload(scratch.address(), list.as_ptr().cast(), bytes)? };
    }
    Ok(scratch)
}

fn run<C: Number>(call: &Call, small: &Operand, large: &Operand, back: bool) -> Outcome {
    let plan = Plan::new(call, C::COMPUTE, small, large)?;
    let (out, input) = (&call.outs()[0], &call.ins()[0]);
    if out.numel() == 0 {
        return Ok(());
    }
    let gpu = cuda::gpu(call.device)?;
    let d = plan.input.len();
    let sizes = if back { &plan.input } else { &plan.output };
    let mut from = View::of(input, 1);
    let mut held = None;
    for (step, &i) in plan.order(back).iter().enumerate() {
        let lists = Lists::new(plan.table::<C>(i), back);
        let (starts, places, weights) = (
            uploaded(gpu, &lists.starts)?,
            uploaded(gpu, &lists.places)?,
            uploaded(gpu, &lists.weights)?,
        );
        let dim = 4 - d + i;
        let mut dims = from.dims();
        dims[dim] = sizes[i] as i64;
        let numel: i64 = dims.iter().product();
        // What lies between two dims is kept in the compute type.
        let next = if step + 1 < d {
            Some(Scratch::new(gpu, numel as usize * size_of::<C>())?)
        } else {
            None
        };
        let to = match &next {
            Some(area) => View::dense(area.address(), C::DTYPE, dims),
            None => View::of(out, 1),
        };
        let arguments = Arguments {
            numel,
            starts: starts.address(),
            places: places.address(),
            weights: weights.address(),
            to,
            from,
            dim: dim as i32,
            unused: 0,
        };
        let blocks = cuda::blocks_for(numel as usize, THREADS as usize, gpu);
        let name = ("resample", suffix(C::COMPUTE));
        // SAFETY: the argument mirrors the kernel's; operands were checked and are held, as are the lists.
        unsafe { gpu.launch(name, Shape::line(blocks, THREADS), &arguments)? };
        (from, held) = (to, next);
    }
    drop(held);
    Ok(())
}

pub fn resample(call: &Call) -> Outcome {
    let (y, x) = (&call.outs()[0], &call.ins()[0]);
    with_compute!(y.dtype.compute(), C => run::<C>(call, x, y, false))
}

pub fn resample_grad(call: &Call) -> Outcome {
    let (x, y) = (&call.outs()[0], &call.ins()[0]);
    with_compute!(x.dtype.compute(), C => run::<C>(call, x, y, true))
}
