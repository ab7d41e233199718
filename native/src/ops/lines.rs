//! What kernels that work line by line are given on CUDA; mirrors Lines in lines/lines.cuh.

use super::map::cuda::suffix;
use super::nest::Nest;
use crate::cuda::{self, Shape};
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand};

/// As in lines.cuh.
pub const OPERANDS: usize = 8;
const THREADS: u32 = 256;
/// Lines up to this length are taken by one warp.
const SHORT: usize = 256;

#[repr(C)]
#[derive(Clone, Copy)]
struct Line {
    data: u64,
    dtype: i32,
    unused: i32,
    outer: [i64; MAX_DIMS],
    inner: [i64; MAX_DIMS],
}

/// The argument of a kernel.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Lines {
    count: i64,
    length: i64,
    outer_ndim: i32,
    inner_ndim: i32,
    opcode: u32,
    unused: u32,
    alarm: u64,
    pub numbers: [f64; 8],
    outer_sizes: [i64; MAX_DIMS],
    inner_sizes: [i64; MAX_DIMS],
    lines: [Line; OPERANDS],
}
const _: () = assert!(size_of::<Lines>() == 2536);

/// One operand: where it is, and its strides along the dims of the lines' index space; none are 0.
pub struct Part<'a> {
    pub(super) address: u64,
    pub(super) dtype: DType,
    pub(super) strides: &'a [isize],
}

impl<'a> Part<'a> {
    /// An operand that has all the dims.
    pub fn of(o: &'a Operand) -> Part<'a> {
        Part::with(o, o.strides())
    }

    /// An operand with strides of its own along the first dims; along the others it stays in place.
    pub fn with(o: &'a Operand, strides: &'a [isize]) -> Part<'a> {
        Part {
            address: o.ptr as u64,
            dtype: o.dtype,
            strides,
        }
    }

    /// Memory of the kernel's own.
    pub fn at(address: u64, dtype: DType, strides: &'a [isize]) -> Part<'a> {
        Part {
            address,
            dtype,
            strides,
        }
    }

    /// An operand that is not there.
    pub const NONE: Part<'static> = Part {
        address: 0,
        dtype: DType::F32,
        strides: &[],
    };
}

impl Lines {
    /// Lines along the dims for which `is_inner` says so.
    pub fn new(
        call: &Call,
        dims: &[usize],
        is_inner: impl Fn(usize) -> bool,
        parts: &[Part],
    ) -> Outcome<Lines> {
        let strides = |d: usize| {
            core::array::from_fn(|k| {
                parts
                    .get(k)
                    .map_or(0, |p| p.strides.get(d).copied().unwrap_or(0))
            })
        };
        let nest = |wanted: bool| -> Nest<OPERANDS> {
            let mut loops = [(0, [0isize; OPERANDS]); MAX_DIMS];
            let mut n = 0;
            for d in (0..dims.len()).filter(|&d| is_inner(d) == wanted) {
                loops[n] = (dims[d], strides(d));
                n += 1;
            }
            Nest::new(&loops[..n])
        };
        let (outer, inner) = (nest(false), nest(true));
        let along = |nest: &Nest<OPERANDS>, k: usize| nest.strides.map(|s| s[k] as i64);
        let lines = core::array::from_fn(|k| Line {
            data: parts.get(k).map_or(0, |p| p.address),
            dtype: parts.get(k).map_or(0, |p| p.dtype as i32),
            unused: 0,
            outer: along(&outer, k),
            inner: along(&inner, k),
        });
        Ok(Lines {
            count: outer.numel as i64,
            length: inner.numel as i64,
            outer_ndim: outer.ndim as i32,
            inner_ndim: inner.ndim as i32,
            opcode: call.opcode,
            unused: 0,
            alarm: cuda::gpu(call.device)?.alarm(),
            numbers: [0.0; 8],
            outer_sizes: outer.sizes.map(|s| s as i64),
            inner_sizes: inner.sizes.map(|s| s as i64),
            lines,
        })
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    pub fn length(&self) -> usize {
        self.length as usize
    }

    /// Runs a kernel with a block for each line, as far as the device has room.
    pub fn launch(&self, call: &Call, kernel: &'static str, compute: Compute) -> Outcome {
        let threads = if self.length() <= SHORT { 32 } else { THREADS };
        self.launch_in(call, kernel, compute, self.count(), threads)
    }

    /// Runs a kernel with so many blocks of so many threads, as far as the device has room.
    pub fn launch_in(
        &self,
        call: &Call,
        kernel: &'static str,
        compute: Compute,
        blocks: usize,
        threads: u32,
    ) -> Outcome {
        let gpu = cuda::gpu(call.device)?;
        let shape = Shape::line(cuda::blocks_for(blocks, 1, gpu), threads);
        // SAFETY: mirrors the kernels'; every operand was checked and is held.
        unsafe { gpu.launch((kernel, suffix(compute)), shape, self) }
    }
}
