//! Layers with int8 weights on CUDA; the kernels are in quantized.cu.

use super::product_of;
use crate::cuda::{self, Scratch, Shape};
use crate::fault::Outcome;
use crate::gemm::int8::{PANEL, QUAD};
use crate::instruction::Call;

const THREADS: u32 = 256;

/// What kernels are given; mirrors Quantized in quantized.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    weights: u64,
    scales: u64,
    sums: u64,
    bias: u64,
    y: u64,
    bytes: u64,
    row_scales: u64,
    row_zeros: u64,
    rows: i64,
    outputs: i64,
    depth: i64,
    row_step: i64,
    column_step: i64,
    is_relu: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Arguments>() == 120);

pub fn linear_dynamic(call: &Call) -> Outcome {
    let product = product_of(call)?;
    let (rows, outputs) = (product.rows, product.outputs);
    if rows == 0 || outputs == 0 {
        return Ok(());
    }
    let gpu = cuda::gpu(call.device)?;
    let row_bytes = product.depth.div_ceil(QUAD) * QUAD;
    let memory = Scratch::new(gpu, rows * (row_bytes + 8))?;
    let row_scales = memory.address() + (rows * row_bytes) as u64;
    let arguments = Arguments {
        x: product.x as u64,
        weights: product.weights as u64,
        scales: product.scales as u64,
        sums: product.sums as u64,
        bias: product.bias as u64,
        y: product.y as u64,
        bytes: memory.address(),
        row_scales,
        row_zeros: row_scales + (rows * 4) as u64,
        rows: rows as i64,
        outputs: outputs as i64,
        depth: product.depth as i64,
        row_step: product.x_strides.0 as i64,
        column_step: product.x_strides.1 as i64,
        is_relu: i32::from(product.relu),
        unused: 0,
    };
    let tiles = outputs.div_ceil(PANEL) * rows.div_ceil(PANEL);
    for (kernel, blocks) in [("quantise_rows", rows), ("linear_dynamic", tiles)] {
        let shape = Shape::line(cuda::blocks_for(blocks, 1, gpu), THREADS);
        // SAFETY: mirrors the kernels'; every operand was checked and is held, the memory has room for all rows.
        unsafe { gpu.launch((kernel, "_all"), shape, &arguments)? };
    }
    Ok(())
}
