//! Grid sampling on CUDA: the kernels of grid_sampling.cu. The gradient of x goes sample by sample, what
//! points take grouped by the element of the plane.

use super::Geometry;
use crate::cuda::{self, Scratch, Shape};
use crate::dtype::Compute;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::grouping::{self, Groups, Keys};
use crate::ops::map::cuda::suffix;
use crate::ops::view::View;

/// As in grid_sampling.cu.
const THREADS: u32 = 256;
const CHANNELS: usize = 16;
/// Taps that are kept of a point.
const TAPS: usize = 12;

/// What a kernel is given; mirrors Sample in grid_sampling.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    batch: i64,
    channels: i64,
    plane: i64,
    points: i64,
    sample: i64,
    mode: i32,
    padding: i32,
    align: i32,
    d: i32,
    y: View<5>,
    x: View<5>,
    grid: View<5>,
    gx: View<5>,
    ggrid: View<5>,
    taps: u64,
    keys: u64,
    groups: grouping::View,
}
const _: () = assert!(size_of::<Arguments>() == 584);

impl Arguments {
    fn new(g: &Geometry, y: &Operand, x: &Operand, grid: &Operand) -> Arguments {
        Arguments {
            batch: g.batch as i64,
            channels: g.channels as i64,
            plane: g.plane as i64,
            points: g.points as i64,
            sample: 0,
            mode: g.form.mode as i32,
            padding: g.form.padding as i32,
            align: i32::from(g.form.align),
            d: g.d as i32,
            y: View::of(y, 2),
            x: View::of(x, 2),
            grid: View::of(grid, 1),
            gx: View::NONE,
            ggrid: View::NONE,
            taps: 0,
            keys: 0,
            groups: grouping::View::default(),
        }
    }

    /// Runs a kernel with a thread for each of so many things.
    fn launch(&self, call: &Call, name: (&'static str, &'static str), things: usize) -> Outcome {
        let gpu = cuda::gpu(call.device)?;
        let blocks = cuda::blocks_for(things, THREADS as usize, gpu);
        // SAFETY: mirrors the kernels'; every operand was checked and is held.
        unsafe { gpu.launch(name, Shape::line(blocks, THREADS), self) }
    }
}

fn compute_of(call: &Call, o: &Operand) -> Outcome<Compute> {
    let compute = o.dtype.compute();
    let floats = call.all().iter().all(|o| o.dtype.is_float());
    call.require(floats, || "it takes floats only".into())?;
    Ok(compute)
}

pub fn grid_sample(call: &Call) -> Outcome {
    let (y, x, grid) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let compute = compute_of(call, y)?;
    let g = Geometry::new(call, x, grid, y)?;
    if y.numel() == 0 {
        return Ok(());
    }
    call.require(g.plane > 0, || "no elements to read".into())?;
    let things = g.batch * g.channels.div_ceil(CHANNELS) * g.points;
    Arguments::new(&g, y, x, grid).launch(call, ("grid_sample", suffix(compute)), things)
}

pub fn grid_sample_grad(call: &Call) -> Outcome {
    let ([gx, ggrid], [y, x, grid]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let compute = compute_of(call, x)?;
    let g = Geometry::new(call, x, grid, y)?;
    let (to_x, to_grid) = g.gradients(call, gx, ggrid, x, grid)?;
    let mut a = Arguments::new(&g, y, x, grid);
    let of = |stem: &'static str| (stem, suffix(compute));
    if to_grid && ggrid.numel() > 0 {
        a.ggrid = View::of(ggrid, 1);
        a.launch(call, of("grid_sample_slopes"), g.batch * g.points)?;
    }
    if !to_x || gx.numel() == 0 {
        return Ok(());
    }
    a.gx = View::of(gx, 2);
    let ways = g.points.saturating_mul(g.form.taps().pow(g.d as u32));
    let gpu = cuda::gpu(call.device)?;
    let size = if compute == Compute::F64 { 24 } else { 16 };
    let taps = Scratch::new(gpu, g.points * TAPS * size)?;
    a.taps = taps.address();
    let chunks = g.channels.div_ceil(CHANNELS);
    for sample in 0..g.batch {
        a.sample = sample as i64;
        let keys = Keys::new(call, ways)?;
        a.keys = keys.address();
        let things = g.points.max(g.channels * g.plane);
        a.launch(call, of("grid_sample_taps"), things)?;
        let groups = Groups::new(call, keys, g.plane as u64)?;
        a.groups = groups.view();
        let things = chunks * ways.min(g.plane);
        a.launch(call, of("grid_sample_gather"), things)?;
    }
    Ok(())
}
