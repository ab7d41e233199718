//! Elementwise instructions on CUDA: the index space of map.rs becomes the argument of one kernel, whose name is the
//! row's with the compute type. The kernels are in `<family>.cu` beside each family, their engine in map.cuh.

use super::{MOST, Space};
use crate::cuda::{self, Shape};
use crate::device::Device;
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Scalar};

/// As in map.cuh.
const THREADS: u32 = 256;
const PACK: usize = 4;

const DENSE: i32 = 1;
const STRIDED: i32 = 2;
const CONSTANT: i32 = 3;
const ROWS: i32 = 4;
const ALIKE: i32 = 5;

/// What a kernel is given; mirrors Map in map.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arguments {
    numel: i64,
    ndim: i16,
    is_narrow: i16,
    is_packed: i32,
    modes: [i32; MOST],
    dtypes: [i32; MOST],
    pointers: [u64; MOST],
    constants: [u64; MOST],
    scalars: [u64; MOST],
    dims: [i64; MAX_DIMS],
    strides: [[i64; MAX_DIMS]; MOST],
}
const _: () = assert!(size_of::<Arguments>() == 784);

/// A number as kernels of a compute type read it: float64 bits or an int64's.
pub fn bits(scalar: Scalar, compute: Compute) -> u64 {
    match compute {
        Compute::I64 => scalar.int() as u64,
        _ => scalar.float().to_bits(),
    }
}

/// The number that an operand in place is.
pub fn number(o: &Operand) -> Scalar {
    // SAFETY: a number's address is that of eight bytes in the call's own memory.
    let bits = unsafe { o.ptr.cast::<u64>().read() };
    if o.dtype == crate::dtype::DType::I64 {
        Scalar::Int(bits as i64)
    } else {
        Scalar::Float(f64::from_bits(bits))
    }
}

/// What the kernels of a compute type are called by.
pub fn suffix(compute: Compute) -> &'static str {
    match compute {
        Compute::F32 => "_f32",
        Compute::F64 => "_f64",
        Compute::I64 => "_i64",
    }
}

/// Runs an elementwise instruction: the kernel `map_` and the row's name.
pub fn run(call: &Call, kernel: &'static str) -> Outcome {
    let compute = call.dtype(0)?.compute();
    let mut scalars = [0; MOST];
    for (to, &scalar) in scalars.iter_mut().zip(&call.scalars()[1..]) {
        *to = bits(scalar, compute);
    }
    let operands = call.all();
    let space = Space::new(call.name, operands)?;
    launch(call.device, (kernel, compute), &space, operands, scalars)
}

/// Runs an elementwise instruction without scalars whose kernel may raise the alarm: it is given that and the opcode.
pub fn run_with_alarm(call: &Call, kernel: &'static str) -> Outcome {
    let alarm = cuda::gpu(call.device)?.alarm();
    let scalars = [alarm, u64::from(call.opcode), 0, 0];
    let (compute, operands) = (call.dtype(0)?.compute(), call.all());
    let space = Space::new(call.name, operands)?;
    launch(call.device, (kernel, compute), &space, operands, scalars)
}

/// Whether four elements of a type are brought at once.
pub fn packs(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::Bf16 | DType::Bool)
}

fn lies_on_packs(o: &Operand) -> bool {
    (o.ptr as usize).is_multiple_of(PACK * o.dtype.size())
}

/// How an operand's packs of four neighbouring elements lie.
fn mode(space: &Space, k: usize, o: &Operand) -> i32 {
    if space.is_dense(k) {
        return DENSE;
    }
    let Some(last) = space.ndim.checked_sub(1) else {
        return STRIDED;
    };
    let (width, strides) = (space.dims[last], &space.strides[k][..=last]);
    let is_multiple = |&stride: &isize| stride % PACK as isize == 0;
    if space.is_constant(k) {
        return ALIKE;
    }
    match strides[last] {
        _ if !width.is_multiple_of(PACK) => STRIDED,
        0 => ALIKE,
        1 if packs(o.dtype) && lies_on_packs(o) && strides[..last].iter().all(is_multiple) => ROWS,
        _ => STRIDED,
    }
}

/// Runs a kernel of map.cuh over operands in an index space of theirs, the output first; the scalars are bits.
pub fn launch(
    device: Device,
    (kernel, compute): (&'static str, Compute),
    space: &Space,
    operands: &[Operand],
    scalars: [u64; MOST],
) -> Outcome {
    if space.numel == 0 {
        return Ok(());
    }
    let mut a = Arguments {
        numel: space.numel as i64,
        ndim: space.ndim as i16,
        is_narrow: i16::from(space.numel < 1 << 31),
        is_packed: i32::from(compute == Compute::F32),
        modes: [0; MOST],
        dtypes: [0; MOST],
        pointers: [0; MOST],
        constants: [0; MOST],
        scalars,
        dims: space.dims.map(|d| d as i64),
        strides: space.strides.map(|s| s.map(|x| x as i64)),
    };
    for (k, o) in operands.iter().enumerate() {
        a.dtypes[k] = o.dtype as i32;
        if o.is_number() {
            a.modes[k] = CONSTANT;
            a.constants[k] = bits(number(o), compute);
            continue;
        }
        a.pointers[k] = o.ptr as u64;
        a.modes[k] = mode(space, k, o);
        let is_packed = match a.modes[k] {
            DENSE => packs(o.dtype) && lies_on_packs(o),
            ROWS => true,
            ALIKE => k > 0,
            _ => false,
        };
        a.is_packed &= i32::from(is_packed);
    }
    let is_one_kind = |o: &Operand| {
        matches!(o.dtype, DType::F16 | DType::Bf16)
            && o.dtype == operands[0].dtype
            && (o.ptr as usize).is_multiple_of(16)
    };
    let (mut modes, mut all) = (a.modes[..operands.len()].iter(), operands.iter());
    if a.is_packed == 1 && modes.all(|&mode| mode == DENSE) && all.all(is_one_kind) {
        a.is_packed = 2;
    }
    let gpu = cuda::gpu(device)?;
    let at_once = PACK * a.is_packed.max(1) as usize;
    let blocks = cuda::blocks_for(space.numel, THREADS as usize * at_once, gpu);
    let shape = Shape::line(blocks, THREADS);
    // SAFETY: the argument mirrors the kernels'; every operand was checked and is held.
    unsafe { gpu.launch((kernel, suffix(compute)), shape, &a) }
}
