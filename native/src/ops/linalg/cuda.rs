//! Factorisations of matrices that lie on a CUDA device: the CPU does the work, between a copy each way.

use crate::cuda::{self, Address};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::memory::Scratch;

fn bytes_of(o: &Operand) -> usize {
    o.numel() * o.dtype.size()
}

pub fn on_host(call: &Call) -> Outcome {
    let all = call.all();
    call.require(
        all.iter().all(|o| o.numel() == 0 || o.is_contiguous()),
        || "an operand has gaps".into(),
    )?;
    let areas = all
        .iter()
        .map(|o| Scratch::new::<u8>(bytes_of(o)))
        .collect::<Outcome<Vec<Scratch>>>()?;
    let gpu = cuda::gpu(call.device)?;
    let outs = call.outs().len();
    for (o, area) in all.iter().zip(&areas).skip(outs) {
        // SAFETY: a contiguous operand that is held, and as many bytes of our own.
        unsafe { gpu.download(area.as_ptr(), o.ptr as Address, bytes_of(o))? };
    }
    let row = &crate::ops::table()[call.opcode as usize];
    (row.run)(&call.on_host(|i| areas[i].as_ptr()))?;
    for (o, area) in all.iter().zip(&areas).take(outs) {
        // SAFETY: as above, the other way round.
        unsafe { gpu.upload(o.ptr as Address, area.as_ptr(), bytes_of(o))? };
    }
    Ok(())
}
