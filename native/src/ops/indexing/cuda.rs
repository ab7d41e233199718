//! Indexing on CUDA; the kernels are in indexing.cu.

use super::*;
use crate::cuda::Scratch as DeviceScratch;
use crate::ops::grouping::{Groups, Keys, View};
use crate::ops::lines::Part;
use crate::ops::map::cuda::{bits, suffix};
use crate::ops::walk::cuda::{Pair, Walked, launch, tensor_or_number};

/// Row-major strides of the dims, in `room`.
fn dense<'a>(dims: &[usize], room: &'a mut [isize; MAX_DIMS]) -> &'a [isize] {
    let mut step = 1;
    for d in (0..dims.len()).rev() {
        room[d] = step;
        step *= dims[d] as isize;
    }
    &room[..dims.len()]
}

/// Where each element of the indices leads in x; with keys, a number for each such place too, below the product of the
/// indexed dims' sizes, which is given.
fn places(
    call: &Call,
    x: &Operand,
    indices: &[Operand],
    layout: &Layout,
    keys: Option<&Keys>,
) -> Outcome<(DeviceScratch, u64)> {
    let count = indices[0].numel();
    let scratch = DeviceScratch::new(crate::cuda::gpu(call.device)?, count * 8)?;
    let sizes = || layout.dims.iter().map(|&d| x.dims()[d]);
    let limit = sizes().try_fold(1u64, |a, size| a.checked_mul(size as u64));
    let limit = limit.filter(|&l| l < 1 << 62);
    call.require(limit.is_some(), || format!("dims {:?}", x.dims()))?;
    let limit = limit.unwrap_or(0);
    let mut step: i64 = sizes().product::<usize>() as i64;
    for (j, idx) in indices.iter().enumerate() {
        check_index_dtype(call, idx)?;
        let d = layout.dims[j];
        let size = x.dims()[d] as i64;
        step = if size == 0 { 0 } else { step / size };
        let mut room = [0; MAX_DIMS];
        let dense = dense(idx.dims(), &mut room);
        let parts = [
            Part::at(scratch.address(), DType::I64, dense),
            Part::of(idx),
            keys.map_or(Part::NONE, |k| Part::at(k.address(), DType::I64, dense)),
        ];
        let scalars = [
            size,
            x.strides()[d] as i64,
            i64::from(layout.wraps),
            i64::from(j == 0),
            step,
            limit as i64,
        ];
        Walked::new(call, idx.dims(), &parts, &scalars)?.launch(call, ("index_places", ""))?;
    }
    Ok((scratch, limit))
}

pub fn index(call: &Call) -> Outcome {
    let layout = checked_index(call)?;
    let (out, x, indices) = (&call.outs()[0], &call.ins()[0], &call.ins()[1..]);
    let shape = Shape::new(call, x, out, indices, &layout)?;
    let (places, _) = places(call, x, indices, &layout, None)?;
    let parts = [
        Part::with(out, &shape.other[..shape.n]),
        Part::with(x, &shape.x[..shape.n]),
        Part::at(places.address(), DType::I64, &shape.flat[..shape.n]),
    ];
    Walked::new(call, &shape.dims[..shape.n], &parts, &[])?.launch(call, ("index_get", ""))
}

pub fn take(call: &Call) -> Outcome {
    checked_take(call)?;
    let (out, x, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let space = Walked::new(call, idx.dims(), &[Part::of(out), Part::of(idx)], &[])?;
    let all = Walked::new(call, x.dims(), &[Part::of(x)], &[])?;
    launch(call, ("take", ""), space.numel(), &Pair(space, all))
}

#[repr(C)]
#[derive(Clone, Copy)]
struct IndexPut {
    space: Walked,
    groups: View,
    places: u64,
}
const _: () = assert!(size_of::<IndexPut>() == 960);

pub fn index_put(call: &Call) -> Outcome {
    let (layout, accumulate) = checked_put(call)?;
    let (x, values, indices) = (&call.outs()[0], &call.ins()[0], &call.ins()[1..]);
    let shape = Shape::new(call, x, values, indices, &layout)?;
    let count = indices[0].numel();
    let keys = Keys::new(call, count)?;
    let (places, limit) = places(call, x, indices, &layout, Some(&keys))?;
    let width: usize = shape.dims[shape.split..shape.n].iter().product();
    let all: usize = shape.dims[..shape.n].iter().product();
    if all == 0 {
        return Ok(());
    }
    let groups = Groups::new(call, keys, limit)?;
    let compute = x.dtype.compute();
    let (part, number) = tensor_or_number(values, compute);
    let parts = [
        Part::with(x, &shape.x[..shape.n]),
        if values.is_number() {
            part
        } else {
            Part::with(values, &shape.other[..shape.n])
        },
    ];
    let scalars = [
        bits(call.scalars()[1], compute) as i64,
        number,
        i64::from(accumulate),
        count as i64,
        width as i64,
    ];
    let a = IndexPut {
        space: Walked::new(call, &shape.dims[..shape.n], &parts, &scalars)?,
        groups: groups.view(),
        places: places.address(),
    };
    launch(call, ("index_put", suffix(compute)), all, &a)
}
