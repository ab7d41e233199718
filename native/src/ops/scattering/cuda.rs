//! Gather and scatter on CUDA; the kernels are in scattering.cu.

use super::*;
use crate::dtype::Compute;
use crate::ops::grouping::{Groups, Keys, View};
use crate::ops::lines::Part;
use crate::ops::map::cuda::suffix;
use crate::ops::walk::cuda::{Walked, launch, tensor_or_number};

/// From so many elements on a group is a block's work.
const LONG: usize = 256;
/// The last element stays: beside the modes of `scatter_reduce`.
const LAST: usize = 5;

pub fn gather(call: &Call) -> Outcome {
    let dim = checked_gather(call)?;
    let (out, x, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let rest = without(x.strides(), dim);
    let parts = [Part::of(out), Part::with(x, &rest[..x.ndim]), Part::of(idx)];
    let scalars = [x.dims()[dim] as i64, x.strides()[dim] as i64];
    Walked::new(call, idx.dims(), &parts, &scalars)?.launch(call, ("gather", ""))
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Scatter {
    space: Walked,
    groups: View,
}
const _: () = assert!(size_of::<Scatter>() == 952);

/// What meets in a place of a tensor, and how it is combined.
pub struct Combination {
    pub mode: usize,
    /// With what is there, too.
    pub owns: bool,
}

/// Combines elements of `source` by groups whose key, within the dim's size, is their place along a dim of `size` and
/// `stride`; `parts` are x without the dim, and the source.
pub fn combine(
    call: &Call,
    compute: Compute,
    (dims, parts, number): (&[usize], [Part; 2], i64),
    (size, stride): (usize, isize),
    groups: &Groups,
    combination: Combination,
) -> Outcome {
    let scalars = [
        size as i64,
        stride as i64,
        combination.mode as i64,
        i64::from(combination.owns),
        number,
    ];
    let a = Scatter {
        space: Walked::new(call, dims, &parts, &scalars)?,
        groups: groups.view(),
    };
    let n = a.space.numel();
    launch(call, ("scatter", suffix(compute)), n, &a)?;
    if n <= LONG || combination.mode == LAST {
        return Ok(());
    }
    launch(call, ("scatter_long", suffix(compute)), n, &a)
}

fn run(call: &Call, combination: Combination) -> Outcome {
    let dim = checked_scatter(call)?;
    let (x, source, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let mut dims = [1usize; MAX_DIMS];
    dims[..idx.ndim].copy_from_slice(idx.dims());
    let n = idx.numel();
    if n == 0 {
        return Ok(());
    }
    // A tensor without dims is one place.
    let (size, stride) = if x.ndim == 0 {
        (1, 0)
    } else {
        (x.dims()[dim], x.strides()[dim])
    };
    let inner: usize = dims[dim + 1..].iter().product();
    let limit = (n / dims[dim]) as u64 * size as u64;
    let keys = Keys::new(call, n)?;
    let parts = [Part::of(idx), Part::at(keys.address(), DType::I64, &[])];
    let scalars = [size as i64, dims[dim] as i64, inner as i64, limit as i64];
    Walked::new(call, idx.dims(), &parts, &scalars)?.launch(call, ("scatter_keys", ""))?;
    let groups = Groups::new(call, keys, limit)?;
    let compute = x.dtype.compute();
    let (part, number) = tensor_or_number(source, compute);
    let rest = without(x.strides(), dim);
    let parts = [Part::with(x, &rest[..x.ndim]), part];
    let space = (idx.dims(), parts, number);
    combine(call, compute, space, (size, stride), &groups, combination)
}

pub fn scatter(call: &Call) -> Outcome {
    let last = Combination {
        mode: LAST,
        owns: false,
    };
    run(call, last)
}

pub fn scatter_reduce(call: &Call) -> Outcome {
    let (mode, owns) = checked_mode(call)?;
    run(call, Combination { mode, owns })
}
