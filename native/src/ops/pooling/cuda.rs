//! Pools on CUDA: the kernels of pooling.cu.

use super::Form;
use crate::cuda::{self, Shape};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::map::cuda::suffix;
use crate::ops::view::View;

/// As in pooling.cu.
const THREADS: u32 = 256;

/// What a kernel is given; mirrors Pool in pooling.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    numel: i64,
    divisor: i64,
    size: [i64; 3],
    stride: [i64; 3],
    padding: [i64; 3],
    dilation: [i64; 3],
    x: View<4>,
    y: View<4>,
    places: View<4>,
    include: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Arguments>() == 360);

/// Runs a kernel with a thread for each element of the output. `means` are whether padding counts, and the divisor.
fn launch(
    call: &Call,
    kernel: &'static str,
    form: &Form,
    (x, y, places): (&Operand, &Operand, Option<&Operand>),
    means: (bool, i64),
) -> Outcome {
    let out = &call.outs()[0];
    if out.numel() == 0 {
        return Ok(());
    }
    let wide = |sizes: [usize; 3]| sizes.map(|n| n as i64);
    let arguments = Arguments {
        numel: out.numel() as i64,
        divisor: means.1,
        size: wide(form.size),
        stride: wide(form.stride),
        padding: wide(form.padding),
        dilation: wide(form.dilation),
        x: View::of(x, 1),
        y: View::of(y, 1),
        places: places.map_or(View::NONE, |o| View::of(o, 1)),
        include: i32::from(means.0),
        unused: 0,
    };
    let gpu = cuda::gpu(call.device)?;
    let blocks = cuda::blocks_for(out.numel(), THREADS as usize, gpu);
    let name = (kernel, suffix(out.dtype.compute()));
    // SAFETY: the argument mirrors the kernel's; every operand was checked and is held.
    unsafe { gpu.launch(name, Shape::line(blocks, THREADS), &arguments) }
}

pub fn max_pool(call: &Call) -> Outcome {
    let (x, y, places) = (&call.ins()[0], &call.outs()[0], &call.outs()[1]);
    let form = Form::new(call, 0, x, y)?;
    form.check_max(call, x, y, places)?;
    launch(call, "max_pool", &form, (x, y, Some(places)), (false, 0))
}

pub fn avg_pool(call: &Call) -> Outcome {
    let (x, y) = (&call.ins()[0], &call.outs()[0]);
    let form = Form::new(call, 2, x, y)?;
    form.check_mean(call, x, y)?;
    let means = (call.float(0) != 0.0, call.int(1));
    launch(call, "avg_pool", &form, (x, y, None), means)
}

pub fn avg_pool_grad(call: &Call) -> Outcome {
    let (x, y) = (&call.outs()[0], &call.ins()[0]);
    let form = Form::new(call, 2, x, y)?;
    let means = (call.float(0) != 0.0, call.int(1));
    launch(call, "avg_pool_grad", &form, (x, y, None), means)
}
