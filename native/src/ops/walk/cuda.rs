//! What kernels that move elements by index are given on CUDA; mirrors Walk in walk.cuh.

use crate::cuda::{self, Shape};
use crate::dtype::Compute;
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand};
use crate::ops::lines::Part;
use crate::ops::map::cuda::{bits, number};
use crate::ops::nest::Nest;

/// As in walk.cuh.
pub const OPERANDS: usize = 5;
pub const THREADS: u32 = 256;

/// An index space and operands in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Walked {
    numel: i64,
    ndim: i32,
    opcode: u32,
    alarm: u64,
    data: [u64; OPERANDS],
    dtypes: [i32; OPERANDS],
    unused: i32,
    pub scalars: [i64; 8],
    dims: [i64; MAX_DIMS],
    strides: [[i64; MAX_DIMS]; OPERANDS],
}
const _: () = assert!(size_of::<Walked>() == 920);

impl Walked {
    /// The space of these dims, neighbours merged where every operand allows it.
    pub fn new(call: &Call, dims: &[usize], parts: &[Part], scalars: &[i64]) -> Outcome<Walked> {
        let mut loops = [(0, [0isize; OPERANDS]); MAX_DIMS];
        for (d, l) in loops[..dims.len()].iter_mut().enumerate() {
            *l = (dims[d], core::array::from_fn(|k| stride(parts, k, d)));
        }
        let nest = Nest::<OPERANDS>::new(&loops[..dims.len()]);
        let mut walked = Walked::bare(call, parts, scalars)?;
        walked.numel = nest.numel as i64;
        walked.ndim = nest.ndim as i32;
        walked.dims = nest.sizes.map(|s| s as i64);
        walked.strides = core::array::from_fn(|k| nest.strides.map(|s| s[k] as i64));
        Ok(walked)
    }

    /// The same with every dim kept, for kernels that tell places by them.
    pub fn with_all_dims(call: &Call, dims: &[usize], parts: &[Part]) -> Outcome<Walked> {
        let mut walked = Walked::bare(call, parts, &[])?;
        walked.numel = dims.iter().product::<usize>() as i64;
        walked.ndim = dims.len() as i32;
        for (d, &size) in dims.iter().enumerate() {
            walked.dims[d] = size as i64;
            for k in 0..OPERANDS {
                walked.strides[k][d] = stride(parts, k, d) as i64;
            }
        }
        Ok(walked)
    }

    fn bare(call: &Call, parts: &[Part], scalars: &[i64]) -> Outcome<Walked> {
        let mut walked = Walked {
            numel: 0,
            ndim: 0,
            opcode: call.opcode,
            alarm: cuda::gpu(call.device)?.alarm(),
            data: core::array::from_fn(|k| parts.get(k).map_or(0, |p| p.address)),
            dtypes: core::array::from_fn(|k| parts.get(k).map_or(0, |p| p.dtype as i32)),
            unused: 0,
            scalars: [0; 8],
            dims: [1; MAX_DIMS],
            strides: [[0; MAX_DIMS]; OPERANDS],
        };
        walked.scalars[..scalars.len()].copy_from_slice(scalars);
        Ok(walked)
    }

    pub fn numel(&self) -> usize {
        self.numel as usize
    }

    /// Runs a kernel with a thread for each place.
    pub fn launch(&self, call: &Call, kernel: (&'static str, &'static str)) -> Outcome {
        launch(call, kernel, self.numel(), self)
    }
}

fn stride(parts: &[Part], k: usize, d: usize) -> isize {
    parts
        .get(k)
        .map_or(0, |p| p.strides.get(d).copied().unwrap_or(0))
}

/// Two spaces, for kernels that count through both.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pair(pub Walked, pub Walked);

/// Runs a kernel with a thread for each of so many things, as far as the device has room.
pub fn launch<A: Copy>(
    call: &Call,
    kernel: (&'static str, &'static str),
    things: usize,
    arguments: &A,
) -> Outcome {
    launch_in(call, kernel, things.div_ceil(THREADS as usize), arguments)
}

/// Runs a kernel with so many blocks, as far as the device has room; with none where there is nothing to do.
pub fn launch_in<A: Copy>(
    call: &Call,
    kernel: (&'static str, &'static str),
    blocks: usize,
    arguments: &A,
) -> Outcome {
    if blocks == 0 {
        return Ok(());
    }
    let gpu = cuda::gpu(call.device)?;
    let shape = Shape::line(cuda::blocks_for(blocks, 1, gpu), THREADS);
    // SAFETY: callers hand in the struct that mirrors the kernel's parameter; every operand was checked and is held.
    unsafe { gpu.launch(kernel, shape, arguments) }
}

/// A tensor, or a number that the instruction holds: the part (absent for a number) and the number's bits.
pub fn tensor_or_number(o: &Operand, compute: Compute) -> (Part<'_>, i64) {
    if o.is_number() {
        (Part::NONE, bits(number(o), compute) as i64)
    } else {
        (Part::of(o), 0)
    }
}
