//! Tensors made of patterns: sequences, triangles, one-hot rows.

use crate::bail;
use crate::dtype::{Compute, Element};
use crate::fault::{Fault, Outcome};
use crate::instruction::{Call, Operand, Row};
use crate::ops::map::{self, Shared, Space};
use crate::{pool, with_dtype};
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const GRAIN: usize = 16 * 1024;
const CHUNK: usize = 512;

/// Fills the output with a function of the logical index, in the compute type `C`.
fn fill_by<C: crate::dtype::Number>(call: &Call, value: impl Fn(usize) -> C + Sync) -> Outcome {
    let outs = call.outs();
    let space = Space::new(call.name, outs)?;
    let shared = Shared(outs);
    pool::parallel_ranges(space.numel, GRAIN, &|range| {
        let mut part = [C::default(); CHUNK];
        for from in range.clone().step_by(CHUNK) {
            let n = CHUNK.min(range.end - from);
            for (i, x) in part[..n].iter_mut().enumerate() {
                *x = value(from + i);
            }
            // SAFETY: `part` has n values, the output was checked.
            unsafe { map::store::<C>(&space, 0, shared.get(0), from, n, part.as_ptr()) };
        }
    });
    Ok(())
}

/// out[i] = start + i · step. Integers exactly, floats computed in float64.
fn arange(call: &Call) -> Outcome {
    if call.outs()[0].dtype.compute() == Compute::I64 {
        let (start, step) = (call.int(0), call.int(1));
        return fill_by::<i64>(call, |i| start.wrapping_add(step.wrapping_mul(i as i64)));
    }
    let (start, step) = (call.float(0), call.float(1));
    fill_by::<f64>(call, |i| start + step * i as f64)
}

/// `steps` numbers from start to end, both included, computed from the nearer end; with a base, its powers.
fn linspace(call: &Call) -> Outcome {
    let (start, end, base) = (call.float(0), call.float(1), call.float(2));
    let steps = call.outs()[0].numel();
    let step = if steps > 1 {
        (end - start) / (steps - 1) as f64
    } else {
        0.0
    };
    let value = move |i: usize| {
        let x = if i < steps / 2 || steps == 1 {
            start + step * i as f64
        } else {
            end - step * (steps - 1 - i) as f64
        };
        if base == 0.0 { x } else { base.powf(x) }
    };
    fill_by::<f64>(call, value)
}

/// Zeroes what lies above (or below) a diagonal of each matrix of a contiguous (…, M, N) tensor in place.
/// Scalars: the diagonal, and 1 to keep what lies on and above it, 0 to keep what lies on and below it.
fn triangle(call: &Call) -> Outcome {
    let out = &call.outs()[0];
    let (diagonal, upper) = (call.int(0), call.int(1) != 0);
    let [.., m, n] = *out.dims() else {
        bail!("{}: the tensor has {} dims, below 2", call.name, out.ndim)
    };
    call.require(out.is_contiguous(), || {
        "the tensor must be contiguous".into()
    })?;
    let shared = Shared(call.outs());
    let rows = out.numel().checked_div(n).unwrap_or(0);
    with_dtype!(out.dtype, E => pool::parallel_ranges(rows, GRAIN.div_ceil(n.max(1)), &|range| {
        for row in range {
            let bound = (row % m) as i64;
            // Below: columns past the diagonal go. Above: columns before it go.
            let cut = |x: i64| x.clamp(0, n as i64) as usize;
            let (from, to) = if upper { (0, cut(bound.saturating_add(diagonal))) } else { (cut(bound.saturating_add(diagonal).saturating_add(1)), n) };
            // SAFETY: the columns lie inside the row, the row inside the contiguous tensor.
            let part = unsafe { core::slice::from_raw_parts_mut(shared.get(0).ptr.cast::<E>().add(row * n + from), to - from) };
            part.fill(E::from_i64(0));
        }
    }));
    Ok(())
}

/// The classes that an output of one-hot rows has for an index.
fn rows_of(call: &Call, out: &Operand, index: &Operand) -> Outcome<usize> {
    let Some((&classes, lead)) = out.dims().split_last() else {
        bail!("{}: the output has no dims", call.name)
    };
    call.require(lead == index.dims() && out.is_contiguous(), || {
        format!(
            "index {:?} does not fit the output {:?}",
            index.dims(),
            out.dims()
        )
    })?;
    call.require(index.dtype.compute() == Compute::I64, || {
        format!("the index is {}", index.dtype.name())
    })?;
    Ok(classes)
}

/// out[…, c] = 1 where c is the class that index […] names, else 0. Buffers: out (…, C) contiguous, index (…).
fn one_hot(call: &Call) -> Outcome {
    let (out, index) = (&call.outs()[0], &call.ins()[0]);
    let classes = rows_of(call, out, index)?;
    let ins = call.ins();
    let space = Space::new(call.name, ins)?;
    let (shared, to) = (Shared(ins), Shared(call.outs()));
    let (wrong, example) = (AtomicBool::new(false), AtomicI64::new(0));
    with_dtype!(out.dtype, E => pool::parallel_ranges(space.numel, GRAIN.div_ceil(classes.max(1)), &|range| {
        let mut part = [0i64; CHUNK];
        for from in range.clone().step_by(CHUNK) {
            let n = CHUNK.min(range.end - from);
            // SAFETY: the buffer has room for n; the operand was checked.
            unsafe { map::load::<i64>(&space, 0, shared.get(0), from, n, part.as_mut_ptr()) };
            for (i, &class) in part[..n].iter().enumerate() {
                // SAFETY: row from + i of the contiguous output has `classes` elements.
                let row = unsafe { core::slice::from_raw_parts_mut(to.get(0).ptr.cast::<E>().add((from + i) * classes), classes) };
                row.fill(E::from_i64(0));
                match row.get_mut(usize::try_from(class).unwrap_or(usize::MAX)) {
                    Some(x) => *x = E::from_i64(1),
                    None => {
                        example.store(class, Ordering::Relaxed);
                        wrong.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }));
    if wrong.into_inner() {
        let class = example.into_inner();
        return Err(Fault::Index(format!(
            "Cannot oneHot: class {class} is out of range for {classes} classes"
        )));
    }
    Ok(())
}

/// The forms on CUDA; the kernels are in creation.cu.
mod cuda {
    use super::*;
    use crate::ops::map::cuda::{bits, launch};

    fn over_output(call: &Call, kernel: &'static str, compute: Compute) -> Outcome {
        let mut scalars = [0; 4];
        for (to, &scalar) in scalars.iter_mut().zip(call.scalars()) {
            *to = bits(scalar, compute);
        }
        let space = Space::new(call.name, call.outs())?;
        launch(call.device, (kernel, compute), &space, call.outs(), scalars)
    }

    pub fn arange(call: &Call) -> Outcome {
        let compute = match call.outs()[0].dtype.compute() {
            Compute::I64 => Compute::I64,
            _ => Compute::F64,
        };
        over_output(call, "pattern_arange", compute)
    }

    pub fn linspace(call: &Call) -> Outcome {
        over_output(call, "pattern_linspace", Compute::F64)
    }

    pub fn triangle(call: &Call) -> Outcome {
        let out = &call.outs()[0];
        let [.., m, n] = *out.dims() else {
            bail!("{}: the tensor has {} dims, below 2", call.name, out.ndim)
        };
        let scalars = [m as u64, n as u64, call.int(0) as u64, call.int(1) as u64];
        let operands = [out.clone(), out.clone()];
        let space = Space::new(call.name, &operands)?;
        let kernel = ("pattern_triangle", out.dtype.compute());
        launch(call.device, kernel, &space, &operands, scalars)
    }

    pub fn one_hot(call: &Call) -> Outcome {
        let (out, index) = (&call.outs()[0], &call.ins()[0]);
        let classes = rows_of(call, out, index)?;
        let mut along = [0; crate::instruction::MAX_DIMS];
        along[..index.ndim].copy_from_slice(index.strides());
        let strides = [out.strides(), &along[..out.ndim]];
        let space = Space::over(out.dims(), strides.into_iter());
        let alarm = crate::cuda::gpu(call.device)?.alarm();
        let scalars = [classes as u64, alarm, u64::from(call.opcode), 0];
        let operands = [out.clone(), index.clone()];
        let kernel = ("pattern_one_hot", Compute::I64);
        launch(call.device, kernel, &space, &operands, scalars)
    }
}

/// One output, so many inputs and scalars.
const fn row(
    name: &'static str,
    ins: usize,
    scalars: usize,
    run: fn(&Call) -> Outcome,
    cuda: fn(&Call) -> Outcome,
) -> Row {
    Row {
        name,
        outs: 1,
        ins: (ins, ins),
        scalars: (scalars, scalars),
        alias: false,
        run,
        cuda: Some(cuda),
    }
}

pub const ROWS: &[Row] = &[
    row("arange", 0, 2, arange, cuda::arange),
    row("linspace", 0, 3, linspace, cuda::linspace),
    row("triangle", 0, 2, triangle, cuda::triangle),
    row("one_hot", 1, 0, one_hot, cuda::one_hot),
];
