//! Products of int8 weights with float rows that are quantised on the way: y (M, N) = x (M, K) · wᵀ + b.
//!
//! A row of x becomes q (K) in 0..=255 by its own scale and zero point, `x ≈ scale · (q - zero)`, so that a row's result
//! does not depend on what else is in the batch. Sums of q · w are exact in int32, the same integers at every SIMD level;
//! `y = (Σ q w - zero · Σ w) · (scale · scale_w) + b` is written as each tile ends.
//!
//! Weights come packed: panels of 16 outputs, in them quads of 4 inputs, one quad of each output beside the next, which
//! is what `vpdpbusd` multiplies: (⌈N/16⌉, ⌈K/4⌉, 16, 4), zero where K or N ends. Sixteen quads of a panel are a tile of
//! AMX as well.

mod kernels;

use super::pack::Buffer;
use super::{Failure, run};
use crate::pool::Shared;
use crate::simd;
use kernels::{Block, Kernel, Sums, kernel};

/// Outputs in a panel of packed weights.
pub const PANEL: usize = 16;
/// Inputs that one dot instruction multiplies.
pub const QUAD: usize = 4;
/// Inputs for which 255 · 128 · K cannot leave int32.
pub const MAX_DEPTH: usize = 65_536;

/// Bytes of a quantised row are zero up to a multiple of this, the depth of a tile of AMX.
const DEEP: usize = 64;
/// Most rows that one task quantises: with a depth of 256 a third of a first-level cache.
const BLOCK_ROWS: usize = 64;
const TASKS: usize = 8;

/// Operands of one product; every pointer is to contiguous elements but x, which has strides in elements.
#[derive(Clone, Copy)]
pub struct Product {
    pub rows: usize,
    pub outputs: usize,
    pub depth: usize,
    pub x: *const f32,
    pub x_strides: (isize, isize),
    pub weights: *const i8,
    /// Of each output.
    pub scales: *const f32,
    /// Of each output: the sum of its weights.
    pub sums: *const i32,
    /// Of each output, or null.
    pub bias: *const f32,
    /// Negative results become 0.
    pub relu: bool,
    pub y: *mut f32,
}

// SAFETY: addresses; who multiplies answers for them.
unsafe impl Sync for Product {}

/// Elements whose extremes are kept side by side.
const LANES: usize = 32;

/// How a row was quantised.
#[derive(Clone, Copy)]
struct Scale {
    scale: f32,
    zero: i32,
}

simd! {
    /// The least and the greatest of a row and 0; None where an element is not finite.
    unsafe fn bounds(x: *const f32, n: usize) -> Option<(f32, f32)> {
        let (mut low, mut high, mut bits) = ([0f32; LANES], [0f32; LANES], [0i32; LANES]);
        let whole = n / LANES * LANES;
        let mut i = 0;
        // SAFETY: the caller gives n elements.
        unsafe {
            while i < whole {
                for l in 0..LANES {
                    let v = *x.add(i + l);
                    low[l] = if v < low[l] { v } else { low[l] };
                    high[l] = if v > high[l] { v } else { high[l] };
                    let magnitude = (v.to_bits() & 0x7fff_ffff) as i32;
                    bits[l] = if magnitude > bits[l] { magnitude } else { bits[l] };
                }
                i += LANES;
            }
            while i < n {
                let v = *x.add(i);
                low[0] = if v < low[0] { v } else { low[0] };
                high[0] = if v > high[0] { v } else { high[0] };
                let magnitude = (v.to_bits() & 0x7fff_ffff) as i32;
                bits[0] = if magnitude > bits[0] { magnitude } else { bits[0] };
                i += 1;
            }
        }
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                low[l] = if low[l + half] < low[l] { low[l + half] } else { low[l] };
                high[l] = if high[l + half] > high[l] { high[l + half] } else { high[l] };
                bits[l] = if bits[l + half] > bits[l] { bits[l + half] } else { bits[l] };
            }
            half /= 2;
        }
        if bits[0] < 0x7f80_0000 { Some((low[0], high[0])) } else { None }
    }
}

simd! {
    /// `q = clamp(round(x / scale) + zero, 0, 255)`, halves to even.
    unsafe fn quantise(x: *const f32, q: *mut u8, n: usize, inverse: f32, zero: i32) {
        // Adding 1.5 · 2²³ leaves the rounded number in the low bits of the sum.
        const MAGIC: f32 = 12_582_912.0;
        let shift = zero - MAGIC.to_bits() as i32;
        // SAFETY: the caller gives n elements of each.
        unsafe {
            for i in 0..n {
                let number = (*x.add(i) * inverse + MAGIC).to_bits() as i32 + shift;
                let number = if number < 0 { 0 } else { number };
                *q.add(i) = (if number > 255 { 255 } else { number }) as u8;
            }
        }
    }
}

/// Quantises a row of `n` elements to `q`; a row that is not finite gives NaN.
unsafe fn quantise_row(x: *const f32, q: *mut u8, n: usize) -> Scale {
    // SAFETY: as promised by the caller.
    unsafe {
        let Some((low, high)) = bounds(x, n) else {
            q.write_bytes(0, n);
            return Scale {
                scale: f32::NAN,
                zero: 0,
            };
        };
        let mut scale = ((f64::from(high) - f64::from(low)) / 255.0) as f32;
        // Rows of zeros and of the smallest numbers: PyTorch takes the same scale.
        if scale == 0.0 || (1.0 / scale).is_infinite() {
            scale = 0.1;
        }
        let zero = (-low / scale).round_ties_even().clamp(0.0, 255.0) as i32;
        quantise(x, q, n, 1.0 / scale, zero);
        Scale { scale, zero }
    }
}

simd! {
    /// `y = (sums - zero · wsums) · (scale · scales) + bias` for n outputs, negative results as 0 where asked.
    unsafe fn finish(
        sums: *const i32, wsums: *const i32, scales: *const f32, bias: *const f32, y: *mut f32, n: usize, scale: f32, zero: i32,
        relu: bool
    ) {
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        // SAFETY: the caller gives n elements of each that is not null.
        unsafe {
            if bias.is_null() {
                for j in 0..n {
                    let sum = (*sums.add(j)).wrapping_sub(zero.wrapping_mul(*wsums.add(j)));
                    let x = sum as f32 * (scale * *scales.add(j));
                    *y.add(j) = if x < least { least } else { x };
                }
            } else {
                for j in 0..n {
                    let sum = (*sums.add(j)).wrapping_sub(zero.wrapping_mul(*wsums.add(j)));
                    let x = sum as f32 * (scale * *scales.add(j)) + *bias.add(j);
                    *y.add(j) = if x < least { least } else { x };
                }
            }
        }
    }
}

/// The product. Err if there is no memory to quantise rows in.
///
/// # Safety
/// Every element exists, depth is at most `MAX_DEPTH`, y overlaps nothing else and is touched by nobody meanwhile.
pub unsafe fn linear(product: Product) -> Result<(), String> {
    // SAFETY: as promised by the caller.
    unsafe { linear_by(kernel(product.rows), product) }
}

unsafe fn linear_by(kernel: Kernel, product: Product) -> Result<(), String> {
    let Product { rows, outputs, .. } = product;
    if rows == 0 || outputs == 0 {
        return Ok(());
    }
    // A multiply-add takes an eighth of the time that one of floats takes.
    let work = rows * outputs * product.depth.max(1) / 8;
    let groups = outputs.div_ceil(PANEL * kernel.panels);
    let block = rows.div_ceil(TASKS).next_multiple_of(kernel.rows);
    let block = block.min(BLOCK_ROWS / kernel.rows * kernel.rows);
    let row_blocks = rows.div_ceil(block);
    let share = groups.div_ceil(TASKS.div_ceil(row_blocks));
    let parts = groups.div_ceil(share);
    let failed = Failure::default();
    run(row_blocks * parts, work, &|task| {
        let (row, part) = (task / parts * block, task % parts);
        let rows = block.min(rows - row);
        let groups = part * share..groups.min((part + 1) * share);
        // SAFETY: tasks have their own rows and outputs of y.
        failed.note(unsafe { region(&product, row, rows, groups, kernel) });
    });
    failed.result()
}

/// Some rows of y, and of them groups of as many panels as the kernel takes.
unsafe fn region(
    product: &Product,
    row: usize,
    rows: usize,
    groups: std::ops::Range<usize>,
    kernel: Kernel,
) -> Result<(), String> {
    let &Product { outputs, depth, .. } = product;
    let quads = depth.div_ceil(QUAD);
    let (stride, panel) = (depth.next_multiple_of(DEEP), quads * QUAD * PANEL);
    let aside = Buffer::take::<f32>(depth)?;
    // Whole strips of a tile are read, whatever is in their last rows.
    let quantised = Buffer::take::<u8>(rows.next_multiple_of(kernel.rows) * stride)?;
    let (line, q) = (aside.get::<f32>(), Shared(quantised.get::<u8>()));
    let mut scales = [Scale {
        scale: 0.0,
        zero: 0,
    }; BLOCK_ROWS];
    let panels = outputs.div_ceil(PANEL);
    // SAFETY: rows of x and y, weights and vectors as the caller vouches for them; buffers with room for what is written.
    unsafe {
        for (i, scale) in scales[..rows].iter_mut().enumerate() {
            let (rs, cs) = product.x_strides;
            let mut x = product.x.wrapping_offset((row + i) as isize * rs);
            if cs != 1 {
                for k in 0..depth {
                    *line.add(k) = *x.wrapping_offset(k as isize * cs);
                }
                x = line;
            }
            let to = q.get().add(i * stride);
            *scale = quantise_row(x, to, depth);
            // What follows the weights is not always zero.
            to.add(depth).write_bytes(0, stride - depth);
        }
        let end = product.weights.add(panels * panel);
        let mut sums: Sums = [0; 1024];
        (kernel.begin)();
        for group in groups {
            let first = group * kernel.panels;
            let count = kernel.panels.min(panels - first);
            // A group that is not full is summed panel by panel.
            let step = if count == kernel.panels { count } else { 1 };
            for i in (0..rows).step_by(kernel.rows) {
                let height = kernel.rows.min(rows - i);
                for at in (first..first + count).step_by(step) {
                    let block = Block {
                        q: q.get().add(i * stride),
                        stride,
                        rows: height,
                        w: product.weights.add(at * panel),
                        panel,
                        panels: step,
                        quads,
                        end,
                    };
                    (kernel.sum)(&block, &mut sums);
                    let column = at * PANEL;
                    let bias = if product.bias.is_null() {
                        product.bias
                    } else {
                        product.bias.add(column)
                    };
                    for r in 0..height {
                        finish(
                            sums.as_ptr().add(r * step * PANEL),
                            product.sums.add(column),
                            product.scales.add(column),
                            bias,
                            product.y.add((row + i + r) * outputs + column),
                            (step * PANEL).min(outputs - column),
                            scales[i + r].scale,
                            scales[i + r].zero,
                            product.relu,
                        );
                    }
                }
            }
        }
        (kernel.end)();
    }
    aside.give_back();
    quantised.give_back();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::kernels::all;
    use super::*;
    use crate::simd::turn;

    struct Case {
        x: Vec<f32>,
        weights: Vec<i8>,
        packed: Vec<i8>,
        scales: Vec<f32>,
        sums: Vec<i32>,
        bias: Vec<f32>,
    }

    /// Numbers of all sizes, extremes among the weights.
    fn case(rows: usize, depth: usize, outputs: usize) -> Case {
        let mut state = 7u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let x = (0..rows * depth)
            .map(|_| draw() as f32 / 4e6 - 1.3)
            .collect();
        let weights: Vec<i8> = (0..outputs * depth)
            .map(|i| {
                if i % 5 == 0 {
                    -128
                } else {
                    (draw() % 256) as u8 as i8
                }
            })
            .collect();
        let quads = depth.div_ceil(QUAD);
        let mut packed = vec![0i8; outputs.div_ceil(PANEL) * quads * QUAD * PANEL];
        for n in 0..outputs {
            for k in 0..depth {
                let quad = (n / PANEL * quads + k / QUAD) * PANEL + n % PANEL;
                packed[quad * QUAD + k % QUAD] = weights[n * depth + k];
            }
        }
        let of = |n: usize| weights[n * depth..(n + 1) * depth].iter();
        Case {
            sums: (0..outputs)
                .map(|n| of(n).map(|&w| i32::from(w)).sum())
                .collect(),
            scales: (0..outputs).map(|n| 0.01 + n as f32 / 1000.0).collect(),
            bias: (0..outputs).map(|n| n as f32 - 3.0).collect(),
            x,
            weights,
            packed,
        }
    }

    fn product(
        kernel: Kernel,
        c: &Case,
        (rows, depth, outputs): (usize, usize, usize),
        relu: bool,
    ) -> Vec<f32> {
        let mut y = vec![f32::NAN; rows * outputs];
        let product = Product {
            rows,
            outputs,
            depth,
            x: c.x.as_ptr(),
            x_strides: (depth as isize, 1),
            weights: c.packed.as_ptr(),
            scales: c.scales.as_ptr(),
            sums: c.sums.as_ptr(),
            bias: c.bias.as_ptr(),
            relu,
            y: y.as_mut_ptr(),
        };
        // SAFETY: vectors of these sizes.
        unsafe { linear_by(kernel, product).unwrap() };
        y
    }

    #[test]
    fn every_kernel_gives_the_numbers_of_plain_sums() {
        let _turn = turn();
        for (rows, depth, outputs) in [
            (1, 1, 1),
            (7, 30, 17),
            (13, 256, 70),
            (40, 64, 33),
            (100, 129, 128),
        ] {
            let c = case(rows, depth, outputs);
            let mut expected = Vec::new();
            for i in 0..rows {
                let mut q = vec![0u8; depth];
                // SAFETY: a row, and room for it.
                let s = unsafe { quantise_row(c.x[i * depth..].as_ptr(), q.as_mut_ptr(), depth) };
                for (&x, &q) in c.x[i * depth..].iter().zip(&q) {
                    assert!((x - s.scale * (i32::from(q) - s.zero) as f32).abs() <= 0.51 * s.scale);
                }
                for n in 0..outputs {
                    let w = c.weights[n * depth..].iter().map(|&w| i64::from(w));
                    let sum: i64 = q
                        .iter()
                        .zip(w)
                        .map(|(&q, w)| (i64::from(q) - i64::from(s.zero)) * w)
                        .sum();
                    expected.push(sum as f32 * (s.scale * c.scales[n]) + c.bias[n]);
                }
            }
            for (i, kernel) in all().into_iter().enumerate() {
                let shape = (rows, depth, outputs);
                assert_eq!(product(kernel, &c, shape, false), expected, "kernel {i}");
                let kept: Vec<f32> = expected.iter().map(|x| x.max(0.0)).collect();
                assert_eq!(product(kernel, &c, shape, true), kept, "kernel {i}");
            }
        }
    }

    #[test]
    fn rows_of_zeros_give_the_bias_and_rows_that_are_not_finite_give_nan() {
        let _turn = turn();
        let mut c = case(4, 40, 5);
        c.x[..40].fill(0.0);
        c.x[40..80].fill(f32::from_bits(1));
        c.x[90] = f32::NAN;
        c.x[130] = f32::INFINITY;
        for kernel in all() {
            let y = product(kernel, &c, (4, 40, 5), false);
            assert_eq!(y[..5], c.bias[..]);
            assert_eq!(y[5..10], c.bias[..]);
            assert!(y[10..].iter().all(|y| y.is_nan()));
        }
    }
}
