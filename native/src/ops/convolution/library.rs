//! Which convolutions cuDNN takes, and as what. One dim is told to it as two, of which the first has size 1.

use super::Geometry;
use super::cuda::Roles;
use crate::cuda::{self, Address, Convolution, Pass, Sizes, Tensors, Type};
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::matmul::tf32;

/// Every tensor must begin on so many bytes.
const ALIGNMENT: Address = 16;

fn kind(dtype: DType) -> Option<Type> {
    Some(match dtype {
        DType::F32 => Type::F32,
        DType::F64 => Type::F64,
        DType::F16 => Type::F16,
        DType::Bf16 => Type::Bf16,
        _ => return None,
    })
}

/// Two numbers and those of the last dims.
fn sizes(first: usize, second: usize, of: &[usize]) -> Option<Sizes> {
    let mut sizes = [1; 5];
    for (to, &n) in sizes.iter_mut().zip([first, second].iter().chain(of)) {
        *to = i32::try_from(n).ok().filter(|&n| n > 0)?;
    }
    let all = sizes.iter().try_fold(1i32, |a, &n| a.checked_mul(n));
    all.map(|_| sizes)
}

/// Strides for sizes of so many dims; None where elements share a place, or lie too far apart. A dim of one element gets the
/// stride that it has where nothing lies between.
fn strides(o: &Operand, sizes: &Sizes, rank: usize) -> Option<Sizes> {
    let mut strides = [1; 5];
    let mut step = 1i32;
    for d in (0..rank).rev() {
        // The dims that are told beyond the operand's own stand behind the channels.
        let own = if d < 2 {
            Some(d)
        } else {
            (d + o.ndim).checked_sub(rank).filter(|&d| d >= 2)
        };
        strides[d] = match own {
            Some(own) if sizes[d] > 1 => i32::try_from(o.strides()[own]).ok()?,
            _ => step,
        };
        step = strides[d].checked_mul(sizes[d])?;
    }
    let mut order: Vec<usize> = (0..rank).filter(|&d| sizes[d] > 1).collect();
    order.sort_by_key(|&d| strides[d]);
    let mut reach = 1;
    for d in order {
        if strides[d] < reach {
            return None;
        }
        reach = strides[d].checked_mul(sizes[d])?;
    }
    Some(strides)
}

/// Whether y has as many positions as windows of x have room: an output's padding may go beyond.
fn is_full(g: &Geometry) -> bool {
    (0..3).all(|d| {
        let window = (g.kernel[d] - 1) * g.dilation[d] + 1;
        let room = g.input[d] + 2 * g.padding[d];
        room >= window && (room - window) / g.stride[d] + 1 == g.output[d]
    })
}

/// The convolution as cuDNN takes it; None for what it does not.
fn describe(pass: Pass, g: &Geometry, roles: &Roles) -> Option<Convolution> {
    let Roles { x, w, y, bias } = roles;
    let fits = x.dtype == w.dtype
        && x.dtype == y.dtype
        && w.is_contiguous()
        && bias.is_none_or(|b| b.dtype == x.dtype && b.is_contiguous());
    let rank = x.ndim.max(4);
    let last = 5 - rank;
    let (ins, outs) = (g.ins * g.groups, g.outs * g.groups);
    let (to_x, to_y) = (
        sizes(g.batch, ins, &g.input[last..])?,
        sizes(g.batch, outs, &g.output[last..])?,
    );
    let to_w = sizes(outs, g.ins, &g.kernel[last..])?;
    if !fits || !is_full(g) {
        return None;
    }
    let numbers = |of: &[usize; 3]| -> Option<[i32; 3]> {
        let mut numbers = [0; 3];
        for (to, &n) in numbers.iter_mut().zip(&of[last..]) {
            *to = i32::try_from(n).ok()?;
        }
        Some(numbers)
    };
    Some(Convolution {
        pass,
        kind: kind(x.dtype)?,
        rank,
        x: to_x,
        x_strides: strides(x, &to_x, rank)?,
        w: to_w,
        y: to_y,
        y_strides: strides(y, &to_y, rank)?,
        stride: numbers(&g.stride)?,
        padding: numbers(&g.padding)?,
        dilation: numbers(&g.dilation)?,
        groups: i32::try_from(g.groups).ok()?,
        bias: bias.is_some(),
        tf32: tf32(None),
    })
}

/// Has cuDNN convolve if it is there and takes it; else the own kernels do.
pub fn run(call: &Call, pass: Pass, g: &Geometry, roles: &Roles) -> Outcome<bool> {
    let address = |o: &Operand| o.ptr as Address;
    let tensors = Tensors {
        x: address(roles.x),
        w: address(roles.w),
        y: address(roles.y),
        bias: roles.bias.map_or(0, address),
    };
    let places = [tensors.x, tensors.w, tensors.y, tensors.bias];
    if places.iter().any(|place| place % ALIGNMENT != 0) {
        return Ok(false);
    }
    let Some(convolution) = describe(pass, g, roles) else {
        return Ok(false);
    };
    // SAFETY: every operand was checked and is held; the convolution describes how they lie.
    unsafe { cuda::gpu(call.device)?.convolve(&convolution, &tensors) }
}
