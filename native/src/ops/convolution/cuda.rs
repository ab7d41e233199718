//! Convolutions on CUDA: cuDNN's where it takes them (library.rs), else the kernels of convolution.cu.

use super::{Geometry, compute, library};
use crate::bail;
use crate::cuda::{self, Pass, Scratch, Shape};
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::map::cuda::suffix;
use crate::ops::matmul::cuda::{MMA_SHARED, MMA_THREADS, MMA_TILE};
use crate::ops::view::View;

/// As in matmul/tile.cuh.
const THREADS: u32 = 256;
const TILE: usize = 64;
/// The most that the grid has along y and z.
const MOST: usize = 65_535;
/// Depths that are worth a block of their own.
const PART: usize = 512;

/// What a kernel is given; mirrors Conv in convolution.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    batch: i64,
    groups: i64,
    ins: i64,
    outs: i64,
    input: [i64; 3],
    output: [i64; 3],
    kernel: [i64; 3],
    stride: [i64; 3],
    padding: [i64; 3],
    dilation: [i64; 3],
    x: View<5>,
    w: View<5>,
    y: View<5>,
    bias: u64,
    bias_stride: i64,
    bias_dtype: i32,
    w_is_dense: i32,
    parts: i64,
    sums: u64,
}
const _: () = assert!(size_of::<Arguments>() == 504);

/// Operands in the roles that they have in the forward pass, and a bias of so many channels.
pub struct Roles<'a> {
    pub x: &'a Operand,
    pub w: &'a Operand,
    pub y: &'a Operand,
    pub bias: Option<&'a Operand>,
}

impl Roles<'_> {
    /// The argument, and how rows, columns and depths of the product go by geometry.
    fn arguments(&self, call: &Call, g: &Geometry, channels: usize) -> Outcome<Arguments> {
        // Places along a dim are summed in int32.
        let reach = |d: usize| {
            let window = g.kernel[d].saturating_mul(g.dilation[d]);
            let last = g.output[d].saturating_mul(g.stride[d]);
            g.input[d]
                .max(last)
                .max(window)
                .saturating_add(g.padding[d])
        };
        call.require((0..3).all(|d| reach(d) < 1 << 30), || {
            format!("sizes past 2^30: {g:?}")
        })?;
        if let Some(bias) = self.bias
            && (bias.dims() != [channels] || bias.dtype.is_float() != self.x.dtype.is_float())
        {
            bail!(
                "{}: a bias of dims {:?} and dtype {} for {channels} channels",
                call.name,
                bias.dims(),
                bias.dtype.name()
            );
        }
        let wide = |sizes: [usize; 3]| sizes.map(|n| n as i64);
        let mut step = 1isize;
        let (dims, strides) = (self.w.dims(), self.w.strides());
        let mut is_dense = true;
        for d in (1..dims.len()).rev() {
            is_dense &= dims[d] == 1 || strides[d] == step;
            step *= dims[d] as isize;
        }
        Ok(Arguments {
            batch: g.batch as i64,
            groups: g.groups as i64,
            ins: g.ins as i64,
            outs: g.outs as i64,
            input: wide(g.input),
            output: wide(g.output),
            kernel: wide(g.kernel),
            stride: wide(g.stride),
            padding: wide(g.padding),
            dilation: wide(g.dilation),
            x: View::of(self.x, 2),
            w: View::of(self.w, 2),
            y: View::of(self.y, 2),
            bias: self.bias.map_or(0, |o| o.ptr as u64),
            bias_stride: self.bias.map_or(0, |o| o.strides()[0] as i64),
            bias_dtype: self.bias.map_or(0, |o| o.dtype as i32),
            w_is_dense: i32::from(is_dense),
            parts: 1,
            sums: 0,
        })
    }
}

/// How a product runs: its kernels' suffix, a tile's side, a block's threads and shared memory.
struct Way(&'static str, usize, u32, usize);

impl Way {
    /// By tensor cores where both factors are floats of the same 16 bits.
    fn of(call: &Call, compute: Compute) -> Way {
        let (a, b) = (call.ins()[0].dtype, call.ins()[1].dtype);
        match (a, b) {
            (DType::Bf16, DType::Bf16) => Way("_bfloat", MMA_TILE, MMA_THREADS, MMA_SHARED),
            (DType::F16, DType::F16) => Way("_half", MMA_TILE, MMA_THREADS, MMA_SHARED),
            _ => Way(suffix(compute), TILE, THREADS, 0),
        }
    }
}

fn launch(
    call: &Call,
    kernel: &'static str,
    &Way(suffix, tile, threads, shared): &Way,
    (rows, columns, depth): (usize, usize, usize),
    arguments: &Arguments,
) -> Outcome {
    let rows = rows.div_ceil(tile);
    let columns = columns.div_ceil(tile);
    call.require(rows <= MOST && columns <= i32::MAX as usize, || {
        "it is more than a kernel can count".into()
    })?;
    let shape = Shape {
        grid: [columns as u32, rows as u32, depth.min(MOST) as u32],
        threads,
        shared,
    };
    // SAFETY: the argument mirrors the kernel's; every operand was checked and is held.
    unsafe { cuda::gpu(call.device)?.launch((kernel, suffix), shape, arguments) }
}

pub fn conv(call: &Call) -> Outcome {
    let kind = compute(call)?;
    let (y, x, w) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let bias = call.ins().get(2);
    let g = Geometry::of(call, x, w, y)?;
    let roles = Roles { x, w, y, bias };
    let arguments = roles.arguments(call, &g, g.outs * g.groups)?;
    if y.numel() == 0 || library::run(call, Pass::Forward, &g, &roles)? {
        return Ok(());
    }
    let sizes = (g.outs, g.batch * g.positions(), g.groups);
    launch(call, "conv", &Way::of(call, kind), sizes, &arguments)
}

pub fn conv_input_grad(call: &Call) -> Outcome {
    let kind = compute(call)?;
    let (x, y, w) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let bias = call.ins().get(2);
    let g = Geometry::of(call, x, w, y)?;
    let roles = Roles { x, w, y, bias };
    let arguments = roles.arguments(call, &g, g.ins * g.groups)?;
    if x.numel() == 0 || library::run(call, Pass::Data, &g, &roles)? {
        return Ok(());
    }
    let sizes = (g.ins, g.batch * g.places(), g.groups);
    launch(
        call,
        "conv_input_grad",
        &Way::of(call, kind),
        sizes,
        &arguments,
    )
}

pub fn conv_weight_grad(call: &Call) -> Outcome {
    let kind = compute(call)?;
    let (w, y, x) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let g = Geometry::of(call, x, w, y)?;
    let bias = None;
    let roles = Roles { x, w, y, bias };
    let mut arguments = roles.arguments(call, &g, 0)?;
    if w.numel() == 0 || library::run(call, Pass::Filter, &g, &roles)? {
        return Ok(());
    }
    let gpu = cuda::gpu(call.device)?;
    let columns = g.ins * g.taps();
    // The depth is cut so that the device has work for every processor.
    let way = Way::of(call, kind);
    let tiles = g.outs.div_ceil(way.1) * columns.div_ceil(way.1) * g.groups;
    let wanted = (2 * gpu.facts.processors as usize).div_ceil(tiles);
    let parts = (g.batch * g.positions()).div_ceil(PART).clamp(1, wanted);
    let bytes = if parts > 1 {
        parts * w.numel() * if kind == Compute::F32 { 4 } else { 8 }
    } else {
        0
    };
    let sums = Scratch::new(gpu, bytes)?;
    (arguments.parts, arguments.sums) = (parts as i64, sums.address());
    let sizes = (g.outs, columns, g.groups * parts);
    launch(call, "conv_weight_grad", &way, sizes, &arguments)?;
    if parts == 1 {
        return Ok(());
    }
    let blocks = cuda::blocks_for(w.numel(), THREADS as usize, gpu);
    let name = ("conv_join", suffix(kind));
    // SAFETY: as above; the sums are held until the kernel is in the stream, behind which their memory is used again.
    unsafe { gpu.launch(name, Shape::line(blocks, THREADS), &arguments) }
}
