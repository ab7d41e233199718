//! Joining and padding on CUDA; the kernels are in joining.cu.

use super::*;
use crate::ops::grouping::{Groups, Keys};
use crate::ops::lines::Part;
use crate::ops::map::cuda::launch as launch_map;
use crate::ops::scattering::cuda::{Combination, combine};
use crate::ops::walk::cuda::{Walked, launch};

/// Each input is copied into its window.
pub fn cat(call: &Call) -> Outcome {
    for (x, window) in windows(call)? {
        let compute = converting(x, &window).compute();
        let pair = [window, x.clone()];
        let space = Space::new(call.name, &pair)?;
        launch_map(call.device, ("map_copy", compute), &space, &pair, [0; 4])?;
    }
    Ok(())
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Padding {
    numel: i64,
    ndim: i32,
    mode: i32,
    dtype: i32,
    value_dtype: i32,
    out: u64,
    x: u64,
    value: u64,
    bits: u64,
    left: [i64; MAX_DIMS],
    right: [i64; MAX_DIMS],
    inner_dims: [i64; MAX_DIMS],
    outer_dims: [i64; MAX_DIMS],
    inner_strides: [i64; MAX_DIMS],
    outer_strides: [i64; MAX_DIMS],
}
const _: () = assert!(size_of::<Padding>() == 824);

impl Padding {
    fn new(
        call: &Call,
        [inner, outer]: [&Operand; 2],
        [out, x]: [&Operand; 2],
    ) -> Outcome<Padding> {
        let (mode, left) = geometry(call, inner, outer)?;
        let n = inner.ndim;
        let of = |values: &dyn Fn(usize) -> i64| -> [i64; MAX_DIMS] {
            core::array::from_fn(|d| if d < n { values(d) } else { 0 })
        };
        Ok(Padding {
            numel: out.numel() as i64,
            ndim: n as i32,
            mode: mode as i32,
            dtype: out.dtype as i32,
            value_dtype: 0,
            out: out.ptr as u64,
            x: x.ptr as u64,
            value: 0,
            bits: 0,
            left: left.map(|l| l as i64),
            right: of(&|d| call.float(2 + 2 * d) as i64),
            inner_dims: of(&|d| inner.dims()[d] as i64),
            outer_dims: of(&|d| outer.dims()[d] as i64),
            inner_strides: of(&|d| inner.strides()[d] as i64),
            outer_strides: of(&|d| outer.strides()[d] as i64),
        })
    }
}

pub fn pad(call: &Call) -> Outcome {
    let out = &call.outs()[0];
    let (x, value) = (&call.ins()[0], &call.ins()[1]);
    let mut a = Padding::new(call, [x, out], [out, x])?;
    check_pad(out, x, value)?;
    if value.is_number() {
        a.bits = constant(value, out.dtype)?;
    } else {
        (a.value, a.value_dtype) = (value.ptr as u64, value.dtype as i32);
    }
    launch(call, ("pad", ""), out.numel(), &a)
}

pub fn pad_backward(call: &Call) -> Outcome {
    let (gx, g) = (&call.outs()[0], &call.ins()[0]);
    let a = Padding::new(call, [gx, g], [gx, g])?;
    check_pad_backward(gx, g)?;
    launch(call, ("pad_backward", ""), gx.numel(), &a)
}

pub fn strided_sum(call: &Call) -> Outcome {
    let (offset, strides) = checked_strides(call)?;
    let (out, g) = (&call.outs()[0], &call.ins()[0]);
    let (compute, n) = (out.dtype.compute(), out.numel());
    let zeros = [out.clone()];
    let space = Space::new(call.name, &zeros)?;
    launch_map(call.device, ("map_fill", compute), &space, &zeros, [0; 4])?;
    if g.numel() == 0 {
        return Ok(());
    }
    let keys = Keys::new(call, g.numel())?;
    let parts = [
        Part::at(0, g.dtype, &strides[..g.ndim]),
        Part::at(keys.address(), DType::I64, &[]),
    ];
    let walked = Walked::new(call, g.dims(), &parts, &[offset as i64])?;
    walked.launch(call, ("strided_keys", ""))?;
    let groups = Groups::new(call, keys, n as u64)?;
    let parts = [Part::with(out, &[]), Part::of(g)];
    let sum = Combination {
        mode: crate::ops::scattering::SUM,
        owns: false,
    };
    combine(call, compute, (g.dims(), parts, 0), (n, 1), &groups, sum)
}
