//! A copy between devices: the only op whose operands may lie on different ones. Both are dense and of one dtype.
//! The scalar says whether nobody waits for a copy between a device and pinned memory.

use crate::cuda;
use crate::fault::Outcome;
use crate::instruction::{Call, Row};

/// The decoder lets this row's operands lie apart.
pub const NAME: &str = "transfer";

fn transfer(call: &Call) -> Outcome {
    let ([to], [from]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let fits = to.dtype == from.dtype
        && to.dims() == from.dims()
        && to.is_contiguous()
        && from.is_contiguous()
        && !from.is_number();
    call.require(fits, || {
        format!(
            "cannot copy {} {:?} to {} {:?}: both must be dense and alike",
            from.dtype.name(),
            from.dims(),
            to.dtype.name(),
            to.dims()
        )
    })?;
    let bytes = to.numel() * to.dtype.size();
    let (to, from) = ((to.device, to.ptr), (from.device, from.ptr.cast_const()));
    // SAFETY: both operands were checked, are held, and have so many bytes.
    unsafe {
        if call.float(0) != 0.0 {
            cuda::transfer_later(to, from, bytes)
        } else {
            cuda::transfer(to, from, bytes)
        }
    }
}

pub const ROWS: &[Row] = &[Row {
    name: NAME,
    outs: 1,
    ins: (1, 1),
    scalars: (1, 1),
    alias: false,
    run: transfer,
    cuda: Some(transfer),
}];
