//! Products of int8 weights with float rows that are quantised on the way: y (M, N) = x (M, K) · wᵀ + b.
//!
//! A row of x becomes q (K) in 0..=255 by its own scale and zero point, `x ≈ scale · (q - zero)`, so that a row's result
//! does not depend on what else is in the batch. Sums of q · w are exact in int32, the same integers at every SIMD level;
//! `y = (Σ q w - zero · Σ w) · (scale · scale_w) + b` is written as each tile ends.
//!
//! Weights come packed: panels of 16 outputs, in them quads of 4 inputs, one quad of each output beside the next, which
//! is what `vpdpbusd` multiplies: (⌈N/16⌉, ⌈K/4⌉, 16, 4), zero where K or N ends.

use super::pack::Buffer;
use super::{Failure, run};
use crate::pool::Shared;
use crate::simd;

/// Outputs in a panel of packed weights.
pub const PANEL: usize = 16;
/// Inputs that one dot instruction multiplies.
pub const QUAD: usize = 4;
/// Inputs for which 255 · 128 · K cannot leave int32.
pub const MAX_DEPTH: usize = 65_536;

/// Rows and panels of a tile: 24 sums, four weights and a broadcast quad fill 29 of 32 registers.
const ROWS: usize = 6;
const PANELS: usize = 4;
/// Rows that one task quantises: with a depth of 256 a quarter of a first-level cache.
const BLOCK_ROWS: usize = 48;
const TASKS: usize = 8;

/// The sums of a tile: row r, panel p, output j at `r · 64 + p · 16 + j`.
type Sums = [i32; ROWS * PANELS * PANEL];

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

/// What sums a tile: `rows` rows of q, `stride` bytes apart, with `panels` panels of weights, `panel` bytes apart.
type Kernel = unsafe fn(
    q: *const u8,
    stride: usize,
    rows: usize,
    w: *const i8,
    panel: usize,
    panels: usize,
    quads: usize,
    sums: &mut Sums,
);

fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        if simd::has_vnni() {
            return x86::vnni;
        }
        if simd::level() >= simd::Level::Avx2 {
            return x86::avx2;
        }
    }
    portable
}

/// Any processor.
///
/// # Safety
/// `rows` rows of `quads` quads, `panels` panels of as many.
#[allow(clippy::too_many_arguments)]
unsafe fn portable(
    q: *const u8,
    stride: usize,
    rows: usize,
    w: *const i8,
    panel: usize,
    panels: usize,
    quads: usize,
    sums: &mut Sums,
) {
    for r in 0..rows {
        for p in 0..panels {
            let mut total = [0i32; PANEL];
            for k in 0..quads {
                // SAFETY: inside what the caller gives.
                let (x, w) = unsafe {
                    (
                        q.add(r * stride + k * QUAD).cast::<[u8; QUAD]>().read(),
                        w.add(p * panel + k * QUAD * PANEL)
                            .cast::<[[i8; QUAD]; PANEL]>()
                            .read(),
                    )
                };
                for (total, w) in total.iter_mut().zip(&w) {
                    for (&x, &w) in x.iter().zip(w) {
                        *total += i32::from(x) * i32::from(w);
                    }
                }
            }
            sums[(r * PANELS + p) * PANEL..][..PANEL].copy_from_slice(&total);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PANEL, PANELS, QUAD, ROWS, Sums};
    use std::arch::x86_64::*;

    /// # Safety
    /// As for `portable`, on a processor with AVX-512 VNNI.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn vnni(
        q: *const u8,
        stride: usize,
        rows: usize,
        w: *const i8,
        panel: usize,
        panels: usize,
        quads: usize,
        sums: &mut Sums,
    ) {
        macro_rules! pick {
            ($($r:literal)*) => {
                match (rows, panels) {
                    // SAFETY: as promised by the caller.
                    $(($r, PANELS) => unsafe { vnni_tile::<$r, PANELS>(q, stride, w, panel, quads, sums) },)*
                    // SAFETY: as above.
                    $(($r, 1) => unsafe { vnni_tile::<$r, 1>(q, stride, w, panel, quads, sums) },)*
                    _ => unreachable!("a tile of {rows} rows and {panels} panels"),
                }
            };
        }
        pick!(1 2 3 4 5 6);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn vnni_tile<const R: usize, const P: usize>(
        q: *const u8,
        stride: usize,
        w: *const i8,
        panel: usize,
        quads: usize,
        sums: &mut Sums,
    ) {
        let mut total = [[_mm512_setzero_si512(); P]; R];
        // SAFETY: as promised by the caller of `vnni`.
        unsafe {
            for k in 0..quads {
                let mut weights = [_mm512_setzero_si512(); P];
                for (p, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_loadu_si512(w.add(p * panel + k * QUAD * PANEL).cast());
                }
                for (r, total) in total.iter_mut().enumerate() {
                    let quad = q.add(r * stride + k * QUAD).cast::<i32>().read_unaligned();
                    let quad = _mm512_set1_epi32(quad);
                    for (total, &weights) in total.iter_mut().zip(&weights) {
                        *total = _mm512_dpbusd_epi32(*total, quad, weights);
                    }
                }
            }
            for (r, total) in total.iter().enumerate() {
                for (p, &total) in total.iter().enumerate() {
                    let to = sums.as_mut_ptr().add((r * PANELS + p) * PANEL);
                    _mm512_storeu_si512(to.cast(), total);
                }
            }
        }
    }

    /// # Safety
    /// As for `portable`, on a processor with AVX2.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn avx2(
        q: *const u8,
        stride: usize,
        rows: usize,
        w: *const i8,
        panel: usize,
        panels: usize,
        quads: usize,
        sums: &mut Sums,
    ) {
        debug_assert!(rows <= ROWS);
        for p in 0..panels {
            for r in (0..rows).step_by(2) {
                // SAFETY: as promised by the caller.
                unsafe {
                    let (q, w) = (q.add(r * stride), w.add(p * panel));
                    let to = &mut sums[(r * PANELS + p) * PANEL..];
                    if rows - r > 1 {
                        avx2_tile::<2>(q, stride, w, quads, to);
                    } else {
                        avx2_tile::<1>(q, stride, w, quads, to);
                    }
                }
            }
        }
    }

    /// Pairs are multiplied as int16: the int8 form (`vpmaddubsw`) would saturate.
    #[target_feature(enable = "avx2")]
    unsafe fn avx2_tile<const R: usize>(
        q: *const u8,
        stride: usize,
        w: *const i8,
        quads: usize,
        sums: &mut [i32],
    ) {
        // Four registers of four outputs for each row, of each two halves of a quad.
        let mut total = [[_mm256_setzero_si256(); R]; 4];
        // SAFETY: as promised by the caller of `avx2`.
        unsafe {
            for k in 0..quads {
                let mut quad = [_mm256_setzero_si256(); R];
                for (r, quad) in quad.iter_mut().enumerate() {
                    let bytes = q.add(r * stride + k * QUAD).cast::<i32>().read_unaligned();
                    *quad = _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes));
                }
                for (c, total) in total.iter_mut().enumerate() {
                    let at = w.add((k * PANEL + c * 4) * QUAD);
                    let weights = _mm256_cvtepi8_epi16(_mm_loadu_si128(at.cast()));
                    for (total, &quad) in total.iter_mut().zip(&quad) {
                        *total = _mm256_add_epi32(*total, _mm256_madd_epi16(quad, weights));
                    }
                }
            }
            for (c, total) in total.iter().enumerate() {
                for (r, &total) in total.iter().enumerate() {
                    let mut halves = [0i32; 8];
                    _mm256_storeu_si256(halves.as_mut_ptr().cast(), total);
                    for j in 0..4 {
                        sums[r * PANELS * PANEL + c * 4 + j] = halves[2 * j] + halves[2 * j + 1];
                    }
                }
            }
        }
    }
}

simd! {
    /// `y = (sums - zero · wsums) · (scale · scales) + bias` for n outputs.
    unsafe fn finish(
        sums: *const i32, wsums: *const i32, scales: *const f32, bias: *const f32, y: *mut f32, n: usize, scale: f32, zero: i32
    ) {
        // SAFETY: the caller gives n elements of each that is not null.
        unsafe {
            if bias.is_null() {
                for j in 0..n {
                    let sum = (*sums.add(j)).wrapping_sub(zero.wrapping_mul(*wsums.add(j)));
                    *y.add(j) = sum as f32 * (scale * *scales.add(j));
                }
            } else {
                for j in 0..n {
                    let sum = (*sums.add(j)).wrapping_sub(zero.wrapping_mul(*wsums.add(j)));
                    *y.add(j) = sum as f32 * (scale * *scales.add(j)) + *bias.add(j);
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
    let Product { rows, outputs, .. } = product;
    if rows == 0 || outputs == 0 {
        return Ok(());
    }
    // A multiply-add takes an eighth of the time that one of floats takes.
    let work = rows * outputs * product.depth.max(1) / 8;
    let groups = outputs.div_ceil(PANEL * PANELS);
    let block = (rows.div_ceil(TASKS).div_ceil(ROWS) * ROWS).min(BLOCK_ROWS);
    let row_blocks = rows.div_ceil(block);
    let share = groups.div_ceil(TASKS.div_ceil(row_blocks));
    let parts = groups.div_ceil(share);
    let failed = Failure::default();
    let kernel = kernel();
    run(row_blocks * parts, work, &|task| {
        let (row, part) = (task / parts * block, task % parts);
        let rows = block.min(rows - row);
        let groups = part * share..groups.min((part + 1) * share);
        // SAFETY: tasks have their own rows and outputs of y.
        failed.note(unsafe { region(&product, row, rows, groups, kernel) });
    });
    failed.result()
}

/// Some rows of y, and of them groups of `PANELS` panels.
unsafe fn region(
    product: &Product,
    row: usize,
    rows: usize,
    groups: std::ops::Range<usize>,
    kernel: Kernel,
) -> Result<(), String> {
    let &Product { outputs, depth, .. } = product;
    let quads = depth.div_ceil(QUAD);
    let (stride, panel) = (quads * QUAD, quads * QUAD * PANEL);
    let aside = Buffer::take::<f32>(depth)?;
    let quantised = Buffer::take::<u8>(rows * stride)?;
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
            // Weights are zero there, but the bytes must be some number.
            to.add(depth).write_bytes(0, stride - depth);
        }
        let mut sums: Sums = [0; ROWS * PANELS * PANEL];
        for group in groups {
            let first = group * PANELS;
            let count = PANELS.min(panels - first);
            // A group that is not full is summed panel by panel.
            let step = if count == PANELS { PANELS } else { 1 };
            for i in (0..rows).step_by(ROWS) {
                let height = ROWS.min(rows - i);
                for at in (first..first + count).step_by(step) {
                    let (from, w) = (q.get().add(i * stride), product.weights.add(at * panel));
                    kernel(from, stride, height, w, panel, step, quads, &mut sums);
                    let column = at * PANEL;
                    let bias = if product.bias.is_null() {
                        product.bias
                    } else {
                        product.bias.add(column)
                    };
                    for r in 0..height {
                        finish(
                            sums.as_ptr().add(r * PANELS * PANEL),
                            product.sums.add(column),
                            product.scales.add(column),
                            bias,
                            product.y.add((row + i + r) * outputs + column),
                            (step * PANEL).min(outputs - column),
                            scales[i + r].scale,
                            scales[i + r].zero,
                        );
                    }
                }
            }
        }
    }
    aside.give_back();
    quantised.give_back();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, force, level, turn};

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

    fn product(c: &Case, rows: usize, depth: usize, outputs: usize) -> Vec<f32> {
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
            y: y.as_mut_ptr(),
        };
        // SAFETY: vectors of these sizes.
        unsafe { linear(product).unwrap() };
        y
    }

    #[test]
    fn every_level_gives_the_numbers_of_plain_sums() {
        let _turn = turn();
        let before = level();
        for (rows, depth, outputs) in [(1, 1, 1), (7, 30, 17), (13, 256, 70), (100, 129, 128)] {
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
            for level in [Level::Portable, Level::Avx2, Level::Avx512] {
                if force(level) {
                    assert_eq!(product(&c, rows, depth, outputs), expected, "{level:?}");
                }
            }
        }
        assert!(force(before));
    }

    #[test]
    fn rows_of_zeros_give_the_bias_and_rows_that_are_not_finite_give_nan() {
        let _turn = turn();
        let mut c = case(4, 40, 5);
        c.x[..40].fill(0.0);
        c.x[40..80].fill(f32::from_bits(1));
        c.x[90] = f32::NAN;
        c.x[130] = f32::INFINITY;
        let y = product(&c, 4, 40, 5);
        assert_eq!(y[..5], c.bias[..]);
        assert_eq!(y[5..10], c.bias[..]);
        assert!(y[10..].iter().all(|y| y.is_nan()));
    }
}
