//! Layers with int8 weights whose inputs are quantised as they come. The kernel is gemm's.

mod cuda;

use crate::dtype::DType;
use crate::fault::{Fault, Outcome};
use crate::gemm::int8::{MAX_DEPTH, PANEL, Product, QUAD, linear};
use crate::instruction::{Call, Operand, Row};

/// Output y (M, N); inputs x (M, K) of any strides, packed weights (⌈N/16⌉, ⌈K/4⌉, 16, 4), their scales (N) and sums (N)
/// and perhaps a bias (N). All float32 but the weights, int8, and their sums, int32. Scalar: whether negative results
/// become 0.
fn linear_dynamic(call: &Call) -> Outcome {
    // SAFETY: every operand was checked against its storage and its dims, and the output overlaps no input.
    unsafe { linear(product_of(call)?) }.map_err(Fault::OutOfMemory)
}

/// The product that a call asks for, where its operands fit each other.
fn product_of(call: &Call) -> Outcome<Product> {
    let (y, ins) = (&call.outs()[0], call.ins());
    let (x, weights, scales, sums) = (&ins[0], &ins[1], &ins[2], &ins[3]);
    let bias = ins.get(4);
    let is = |o: &Operand, dtype: DType, dims: &[usize]| o.dtype == dtype && o.dims() == dims;
    let plain = |o: &Operand, dtype: DType, dims: &[usize]| is(o, dtype, dims) && o.is_contiguous();
    let fits = x.ndim == 2 && y.ndim == 2 && {
        let ([rows, depth], n) = ([x.dims()[0], x.dims()[1]], y.dims()[1]);
        let packed = [n.div_ceil(PANEL), depth.div_ceil(QUAD), PANEL, QUAD];
        depth <= MAX_DEPTH
            && x.dtype == DType::F32
            && plain(y, DType::F32, &[rows, n])
            && plain(weights, DType::I8, &packed)
            && plain(scales, DType::F32, &[n])
            && plain(sums, DType::I32, &[n])
            && bias.is_none_or(|bias| plain(bias, DType::F32, &[n]))
    };
    call.require(fits, || {
        format!(
            "dims {:?} by packed {:?} into {:?}",
            x.dims(),
            weights.dims(),
            y.dims()
        )
    })?;
    Ok(Product {
        rows: x.dims()[0],
        outputs: y.dims()[1],
        depth: x.dims()[1],
        x: x.ptr.cast(),
        x_strides: (x.strides()[0], x.strides()[1]),
        weights: weights.ptr.cast(),
        scales: scales.ptr.cast(),
        sums: sums.ptr.cast(),
        bias: bias.map_or(core::ptr::null(), |bias| bias.ptr.cast()),
        relu: call.float(0) != 0.0,
        y: y.ptr.cast(),
    })
}

pub const ROWS: &[Row] = &[Row {
    name: "linear_dynamic",
    outs: 1,
    ins: (4, 5),
    scalars: (1, 1),
    alias: false,
    run: linear_dynamic,
    cuda: Some(cuda::linear_dynamic),
}];
