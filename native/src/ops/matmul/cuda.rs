//! Matrix products on CUDA: the kernel of matmul.cu.

use super::matrix;
use crate::bail;
use crate::cuda::{self, Shape};
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand};
use crate::ops::map::cuda::suffix;
use crate::ops::nest::Nest;

/// As in matmul.cu.
const THREADS: u32 = 256;
const TILE: usize = 64;
/// As in mma.cuh.
pub const MMA_THREADS: u32 = 128;
pub const MMA_TILE: usize = 128;
pub const MMA_SHARED: usize = 4 * (128 + 128) * 32 * 2;
/// The most that the grid has along y and z.
const MOST: usize = 65_535;
/// Rows, columns and depths that tensor cores' kernels can count in int32, tiles past the end included.
const MOST_COUNTED: usize = i32::MAX as usize - 1024;

/// What a kernel is given; mirrors Product in matmul.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    m: i64,
    n: i64,
    k: i64,
    c: [i64; 2],
    a: [i64; 2],
    b: [i64; 2],
    bias_stride: i64,
    scale_stride: i64,
    a_data: u64,
    b_data: u64,
    bias: u64,
    scale: u64,
    c_data: u64,
    a_dtype: i32,
    b_dtype: i32,
    c_dtype: i32,
    bias_dtype: i32,
    scale_dtype: i32,
    relu: i32,
    batch_ndim: i32,
    aligned: i32,
    alpha: f64,
    beta: f64,
    batch: i64,
    batch_sizes: [i64; MAX_DIMS],
    batch_strides: [[i64; 3]; MAX_DIMS],
}
const _: () = assert!(size_of::<Arguments>() == 696);

/// Runs a product whose dims were checked; the batch's strides are those of C, A and B.
pub fn run(call: &Call, batch: &Nest<3>) -> Outcome {
    let (c, a, b) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let ((m, n, crs, ccs), (_, k, ars, acs), (.., brs, bcs)) = (matrix(c), matrix(a), matrix(b));
    let floats = [c, a, b].iter().filter(|o| o.dtype.is_float()).count();
    call.require(floats == 0 || floats == 3, || {
        "integers and floats are mixed".into()
    })?;
    let compute = c.dtype.compute();
    let column = |at: usize, what: &str| -> Outcome<Option<&Operand>> {
        let found = call.ins().get(at);
        if let Some(x) = found
            && (x.dims() != [n] || !x.dtype.is_float())
        {
            bail!("{}: a {what} of dims {:?}", call.name, x.dims());
        }
        Ok(found)
    };
    let (bias, scale) = (column(2, "bias")?, column(3, "scale")?);
    let address = |o: Option<&Operand>| o.map_or(0, |o| o.ptr as u64);
    let stride = |o: Option<&Operand>| o.map_or(0, |o| o.strides()[0] as i64);
    let dtype = |o: Option<&Operand>| o.map_or(0, |o| o.dtype as i32);
    let mut arguments = Arguments {
        m: m as i64,
        n: n as i64,
        k: k as i64,
        c: [crs as i64, ccs as i64],
        a: [ars as i64, acs as i64],
        b: [brs as i64, bcs as i64],
        bias_stride: stride(bias),
        scale_stride: stride(scale),
        a_data: a.ptr as u64,
        b_data: b.ptr as u64,
        bias: address(bias),
        scale: address(scale),
        c_data: c.ptr as u64,
        a_dtype: a.dtype as i32,
        b_dtype: b.dtype as i32,
        c_dtype: c.dtype as i32,
        bias_dtype: dtype(bias),
        scale_dtype: dtype(scale),
        relu: i32::from(call.float(2) != 0.0),
        batch_ndim: batch.ndim as i32,
        aligned: 0,
        alpha: call.float(0),
        beta: call.float(1),
        batch: batch.numel as i64,
        batch_sizes: batch.sizes.map(|s| s as i64),
        batch_strides: batch.strides.map(|s| s.map(|x| x as i64)),
    };
    let plain = arguments.alpha == 1.0 && arguments.beta == 0.0 && arguments.relu == 0;
    call.require(
        compute != Compute::I64 || (plain && call.ins().len() == 2),
        || "a product of integers takes no factors, bias or ReLU".into(),
    )?;
    let is_countable = [m, n, k].iter().all(|&size| size <= MOST_COUNTED);
    if let Some(stem) = tensor_kernels(a.dtype, b.dtype).filter(|_| is_countable) {
        let (of_a, of_b) = (
            Reading::new(a, (ars, acs), batch, 1),
            Reading::new(b, (bcs, brs), batch, 2),
        );
        let starts = batch.strides[..batch.ndim].iter().map(|s| s[0]);
        let is_plain = c.dtype == a.dtype
            && arguments.beta == 0.0
            && scale.is_none()
            && bias.is_none_or(|x| x.dtype == a.dtype || x.dtype == DType::F32)
            && ccs == 1
            && starts.chain([crs, n as isize]).all(is_whole)
            && (c.ptr as usize).is_multiple_of(16);
        arguments.aligned =
            i32::from(of_a.aligned) | i32::from(of_b.aligned) << 1 | i32::from(is_plain) << 2;
        let tiles = m.div_ceil(MMA_TILE).saturating_mul(n.div_ceil(MMA_TILE));
        call.require(tiles <= i32::MAX as usize, || {
            format!("{m} × {n} elements are more than a kernel can count")
        })?;
        let shape = Shape {
            grid: [tiles as u32, 1, batch.numel.min(MOST) as u32],
            threads: MMA_THREADS,
            shared: MMA_SHARED,
        };
        let form = form_of(&of_a, &of_b);
        // SAFETY: as below.
        return unsafe { cuda::gpu(call.device)?.launch((stem, form), shape, &arguments) };
    }
    let rows = m.div_ceil(TILE);
    call.require(rows <= MOST, || {
        format!("{m} rows are more than a kernel can count")
    })?;
    let shape = Shape {
        grid: [
            n.div_ceil(TILE) as u32,
            rows as u32,
            batch.numel.min(MOST) as u32,
        ],
        threads: THREADS,
        shared: 0,
    };
    // SAFETY: the argument mirrors the kernel's; every operand was checked and is held.
    unsafe { cuda::gpu(call.device)?.launch(("matmul", suffix(compute)), shape, &arguments) }
}

/// The kernels that multiply two matrices of these types by tensor cores.
fn tensor_kernels(a: DType, b: DType) -> Option<&'static str> {
    match (a, b) {
        (DType::Bf16, DType::Bf16) => Some("matmul_bfloat"),
        (DType::F16, DType::F16) => Some("matmul_half"),
        _ => None,
    }
}

/// How a kernel's name ends: by whether either operand must be gathered element by element, and whether they are deep.
fn form_of(a: &Reading, b: &Reading) -> &'static str {
    match (a.aligned && b.aligned, a.deep, b.deep) {
        (true, true, true) => "_deep_deep",
        (true, true, false) => "_deep_wide",
        (true, false, true) => "_wide_deep",
        (true, false, false) => "_wide_wide",
        (false, true, true) => "_gathered_deep_deep",
        (false, true, false) => "_gathered_deep_wide",
        (false, false, true) => "_gathered_wide_deep",
        (false, false, false) => "_gathered_wide_wide",
    }
}

/// Whether steps of so many elements of 16 bits keep to 16 bytes.
fn is_whole(stride: isize) -> bool {
    stride % 8 == 0
}

/// How tensor cores' kernels read a matrix of lines by depths.
struct Reading {
    /// Neighbouring depths rather than lines lie close.
    deep: bool,
    /// Eight of them lie on 16 bytes, everywhere.
    aligned: bool,
}

impl Reading {
    fn new(o: &Operand, (line, depth): (isize, isize), batch: &Nest<3>, k: usize) -> Reading {
        let deep = depth.unsigned_abs() <= line.unsigned_abs();
        let (near, far) = if deep { (depth, line) } else { (line, depth) };
        let starts = batch.strides[..batch.ndim].iter().map(|s| s[k]);
        let aligned = near == 1
            && is_whole(far)
            && starts.into_iter().all(is_whole)
            && (o.ptr as usize).is_multiple_of(16);
        Reading { deep, aligned }
    }
}
