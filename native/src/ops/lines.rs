//! What kernels that work line by line are given on CUDA; mirrors Lines in lines/lines.cuh.

use super::map::cuda::{packs, suffix};
use super::nest::Nest;
use crate::cuda::{self, Shape};
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand};

/// As in lines.cuh.
pub const OPERANDS: usize = 8;
pub const THREADS: u32 = 256;
/// Elements that a thread keeps of a line.
const KEPT: usize = 16;

#[repr(C)]
#[derive(Clone, Copy)]
struct Line {
    data: u64,
    dtype: i32,
    is_packed: i32,
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

/// Whether the lines of operand k lie dense, each on a multiple of the bytes of four elements.
fn is_packed(part: &Part, k: usize, outer: &Nest<OPERANDS>, inner: &Nest<OPERANDS>) -> bool {
    let is_line = inner.ndim == 1 && inner.strides[0][k] == 1;
    let starts = &outer.strides[..outer.ndim];
    packs(part.dtype)
        && is_line
        && part.address.is_multiple_of(4 * part.dtype.size() as u64)
        && starts.iter().all(|strides| strides[k] % 4 == 0)
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
            is_packed: parts
                .get(k)
                .map_or(0, |p| i32::from(is_packed(p, k, &outer, &inner))),
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

    /// Threads of a block that takes a line.
    pub fn threads(&self) -> u32 {
        let most = self.length().div_ceil(KEPT).next_power_of_two();
        most.clamp(32, THREADS as usize) as u32
    }

    /// Whether the operands of these numbers, as far as they are there, lie packed, in whole fours.
    fn is_packed(&self, rows: &[usize]) -> bool {
        let mut lines = rows.iter().map(|&k| &self.lines[k]);
        self.length % 4 == 0 && lines.all(|line| line.data == 0 || line.is_packed != 0)
    }

    /// Runs a kernel with a block for each line, as far as the device has room. `rows` are the operands that it reads and
    /// writes as whole lines; where they are packed its form for that runs.
    pub fn launch_rows(
        &self,
        call: &Call,
        kernel: &'static str,
        compute: Compute,
        rows: &[usize],
    ) -> Outcome {
        let shape = (self.count(), self.threads());
        self.launch_rows_in(call, (kernel, compute), rows, shape)
    }

    /// As `launch_rows`, with so many blocks of so many threads.
    pub fn launch_rows_in(
        &self,
        call: &Call,
        (kernel, compute): (&'static str, Compute),
        rows: &[usize],
        shape: (usize, u32),
    ) -> Outcome {
        let packed = compute == Compute::F32 && self.is_packed(rows);
        let form = if packed { "_packed" } else { suffix(compute) };
        launch(call, (kernel, form), shape, self)
    }

    /// Runs a kernel with a block for each line, as far as the device has room.
    pub fn launch(&self, call: &Call, kernel: &'static str, compute: Compute) -> Outcome {
        self.launch_in(call, kernel, compute, self.count(), self.threads())
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
        launch(call, (kernel, suffix(compute)), (blocks, threads), self)
    }
}

/// Runs a kernel with so many blocks, as far as the device has room, on what it takes.
fn launch<T: Copy>(
    call: &Call,
    kernel: (&'static str, &'static str),
    (blocks, threads): (usize, u32),
    what: &T,
) -> Outcome {
    let gpu = cuda::gpu(call.device)?;
    let shape = Shape::line(cuda::blocks_for(blocks, 1, gpu), threads);
    // SAFETY: mirrors the kernels'; every operand was checked and is held.
    unsafe { gpu.launch(kernel, shape, what) }
}

/// As in pieces.cuh: no total of a piece takes more bytes.
const TOTAL: usize = 16;
/// Lines from which on the device is busy without cutting them.
const MANY: usize = 256;
/// Elements that a piece has at least.
const PIECE: usize = 8192;
/// Pieces of a line at most.
const PIECES: usize = 512;
/// Lines from which on a thread each keeps the device busy.
const CROWD: usize = 1024;
/// Shorter lines are a thread's work.
const TINY: usize = 16;

/// Lines that are cut into pieces where they are few and long, or taken by one thread each where they lie side by side;
/// mirrors Pieces in lines/pieces.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pieces {
    lines: Lines,
    piece: i64,
    pieces: i32,
    alone: i32,
    /// Memory for what pieces come to, if there are several: `totals_bytes`.
    pub totals: u64,
    /// A float64 for each element, where the kernel asks for it.
    pub spare: u64,
}
const _: () = assert!(size_of::<Pieces>() == 2568);

impl Pieces {
    /// Cut by the shape only; `input` is the operand that is read.
    pub fn new(lines: Lines, input: usize) -> Pieces {
        let (count, length) = (lines.count(), lines.length().max(1));
        let pieces = if count >= MANY {
            1
        } else {
            length.div_ceil(PIECE).min(PIECES)
        };
        let piece = length.div_ceil(pieces);
        let operand = &lines.lines[input];
        let innermost = |strides: &[i64], ndim: i32| strides[(ndim as usize).saturating_sub(1)];
        let across = innermost(&operand.outer, lines.outer_ndim).unsigned_abs();
        let along = innermost(&operand.inner, lines.inner_ndim).unsigned_abs();
        let alone = count >= CROWD && (length <= TINY || (across != 0 && across < along));
        Pieces {
            lines,
            piece: piece as i64,
            pieces: length.div_ceil(piece) as i32,
            alone: i32::from(alone),
            totals: 0,
            spare: 0,
        }
    }

    /// Not cut, a block for each line.
    pub fn whole(lines: Lines) -> Pieces {
        Pieces {
            lines,
            piece: lines.length,
            pieces: 1,
            alone: 0,
            totals: 0,
            spare: 0,
        }
    }

    /// Bytes that `totals` must have; none where no line is cut.
    pub fn totals_bytes(&self) -> usize {
        if self.pieces > 1 {
            self.lines.count() * self.pieces as usize * TOTAL
        } else {
            0
        }
    }

    /// Runs a kernel with a block for each piece, of at most so many threads, or a thread for each line.
    pub fn launch(
        &self,
        call: &Call,
        kernel: &'static str,
        compute: Compute,
        threads: u32,
    ) -> Outcome {
        if self.alone != 0 {
            return self.launch_alone(call, kernel, compute);
        }
        let blocks = self.lines.count() * self.pieces as usize;
        self.launch_in(call, kernel, compute, blocks, threads)
    }

    /// Runs a kernel with a thread for each line.
    pub fn launch_alone(&self, call: &Call, kernel: &'static str, compute: Compute) -> Outcome {
        let blocks = self.lines.count().div_ceil(THREADS as usize);
        self.launch_in(call, kernel, compute, blocks, THREADS)
    }

    fn launch_in(
        &self,
        call: &Call,
        kernel: &'static str,
        compute: Compute,
        blocks: usize,
        threads: u32,
    ) -> Outcome {
        launch(call, (kernel, suffix(compute)), (blocks, threads), self)
    }
}
