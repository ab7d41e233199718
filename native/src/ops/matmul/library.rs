//! Which products cuBLASLt takes, and as what. It wants columns of neighbours, so the product is told to it turned round:
//! the transpose of C = A · B, which lies column by column where C lies row by row, is Bᵀ · Aᵀ.

use super::matrix;
use crate::cuda::{self, Gpu, LtMatrix, LtPlaces, LtProduct, LtType};
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::nest::Nest;

/// Whether float32 products may be rounded to TF32.
static TF32: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// Reads or sets whether float32 products may be rounded to TF32.
pub fn tf32(set: Option<bool>) -> bool {
    use core::sync::atomic::Ordering::Relaxed;
    if let Some(allowed) = set {
        TF32.store(allowed, Relaxed);
    }
    TF32.load(Relaxed)
}

fn kind(dtype: DType) -> Option<LtType> {
    Some(match dtype {
        DType::F32 => LtType::F32,
        DType::F64 => LtType::F64,
        DType::F16 => LtType::F16,
        DType::Bf16 => LtType::Bf16,
        _ => return None,
    })
}

/// An operand as a matrix of the turned product: its rows are the operand's columns. None where neither lie side by side.
fn turned(o: &Operand, batch_stride: isize, transposable: bool) -> Option<LtMatrix> {
    let (rows, columns, rs, cs) = matrix(o);
    // A dim of one element may have any stride.
    let (transposed, leading, least) = if cs == 1 || columns == 1 && rs >= 1 {
        (
            false,
            if rows == 1 { columns as isize } else { rs },
            columns,
        )
    } else if transposable && (rs == 1 || rows == 1 && cs >= 1) {
        (true, if columns == 1 { rows as isize } else { cs }, rows)
    } else {
        return None;
    };
    if leading < least as isize || leading > i32::MAX as isize || batch_stride < 0 {
        return None;
    }
    let bytes = (o.ptr as usize)
        | (leading as usize * o.dtype.size())
        | (batch_stride as usize * o.dtype.size());
    Some(LtMatrix {
        kind: kind(o.dtype)?,
        transposed,
        leading: leading as i64,
        batch_stride: batch_stride as i64,
        alignment: 1 << bytes.trailing_zeros().min(8),
    })
}

/// The product as cuBLASLt takes it; None for what it does not.
fn describe(call: &Call, batch: &Nest<3>) -> Option<LtProduct> {
    let (c, a, b) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let ((m, n, ..), (_, k, ..)) = (matrix(c), matrix(a));
    // A scale of columns is no epilogue; nor is a batch of several strides one of its own.
    let fits = call.ins().len() <= 3
        && batch.ndim <= 1
        && a.dtype == b.dtype
        && (c.dtype == a.dtype || (c.dtype == DType::F32 && a.dtype.size() == 2))
        && [m, n, k, batch.numel]
            .iter()
            .all(|&x| 0 < x && x <= i32::MAX as usize);
    if !fits {
        return None;
    }
    let (_, [oc, oa, ob]) = batch.inner();
    let bias = match call.ins().get(2) {
        None => None,
        Some(bias)
            if bias.dtype == c.dtype
                && bias.dims() == [n]
                && (n == 1 || bias.strides()[0] == 1) =>
        {
            Some(kind(bias.dtype)?)
        }
        Some(_) => return None,
    };
    Some(LtProduct {
        m: n,
        n: m,
        k,
        batch: batch.numel,
        a: turned(b, ob, true)?,
        b: turned(a, oa, true)?,
        d: turned(c, oc, false)?,
        bias,
        relu: call.float(2) != 0.0,
        tf32: tf32(None),
    })
}

/// Has cuBLASLt compute the product if it is there and takes it; else the own kernels do.
pub fn run(call: &Call, batch: &Nest<3>) -> Outcome<bool> {
    let gpu: &Gpu = cuda::gpu(call.device)?;
    let Some(product) = describe(call, batch) else {
        return Ok(false);
    };
    let places = LtPlaces {
        a: call.ins()[1].ptr as cuda::Address,
        b: call.ins()[0].ptr as cuda::Address,
        d: call.outs()[0].ptr as cuda::Address,
        bias: call
            .ins()
            .get(2)
            .map_or(0, |bias| bias.ptr as cuda::Address),
    };
    // SAFETY: every operand was checked and is held; the product describes how they lie.
    unsafe { gpu.multiply(&product, places, (call.float(0), call.float(1))) }
}
