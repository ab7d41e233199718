//! Random tensors. Every number depends on (seed, offset, logical index) alone: the same bits for any strides, any
//! number of threads and any level of instructions. The streams are random.rs's; scalars 0 and 1 are seed and offset.

use crate::bail;
mod cuda;

use crate::dtype::{Compute, DType, Number};
use crate::fault::{Fault, Outcome};
use crate::instruction::{Call, Operand, Row};
use crate::ops::map::{self, CHUNK, STREAMED, Shared, Space};
use crate::ops::real::Real;
use crate::random::*;
use crate::{pool, simd, stream};

/// A multiple of the streams' blocks, as STREAMED is, so that no block is made twice.
const GRAIN: usize = 16 * 1024;

/// The stream that an instruction draws from.
fn stream(call: &Call) -> (u64, u64) {
    (call.int(0) as u64, call.int(1) as u64)
}

/// Fills the output by chunks: `make(chunk, first)` gives the elements from logical index `first` on.
fn fill<C: Number>(call: &Call, make: impl Fn(&mut [C], u64) + Sync) -> Outcome {
    let outs = call.outs();
    let space = Space::new(call.name, outs)?;
    let (shared, streams) = (Shared(outs), space.streams(&outs[0]));
    pool::parallel_ranges(space.numel, GRAIN, &|range| {
        let mut part = [C::default(); STREAMED];
        for from in range.clone().step_by(STREAMED) {
            let n = STREAMED.min(range.end - from);
            make(&mut part[..n], from as u64);
            put(&space, shared.get(0), from, &part[..n], streams);
        }
        if streams {
            stream::fence();
        }
    });
    Ok(())
}

/// Stores a chunk of a checked output.
fn put<C: Number>(space: &Space, out: &Operand, from: usize, part: &[C], streams: bool) {
    // SAFETY: `part` has as many values, at most a chunk; what streams is dense.
    unsafe {
        if streams {
            map::stream_out::<C>(out, from, part.len(), part.as_ptr(), core::iter::empty());
        } else {
            map::store::<C>(space, 0, out, from, part.len(), part.as_ptr());
        }
    }
}

/// Steps between 0 and 1 that an element of this type can show, where they are fewer than the stream's: a number
/// between the last and 1 would round up to 1.
fn steps(dtype: DType) -> Option<f32> {
    match dtype {
        DType::Bf16 => Some(256.0),
        DType::F16 => Some(2048.0),
        _ => None,
    }
}

simd! {
    /// x = low + span · x
    fn spread_f32(x: &mut [f32], low: f32, span: f32) {
        for x in x.iter_mut() { *x = low + span * *x; }
    }
}
simd! {
    /// Cuts numbers from 0 to 1 to so many steps, a power of two.
    fn cut(x: &mut [f32], steps: f32) {
        let step = 1.0 / steps;
        for x in x.iter_mut() { *x = (*x * steps) as i32 as f32 * step; }
    }
}
simd! {
    fn spread_f64(x: &mut [f64], low: f64, span: f64) {
        for x in x.iter_mut() { *x = low + span * *x; }
    }
}

/// Uniform in [low, high). Scalars: low, high.
fn uniform(call: &Call) -> Outcome {
    let ((seed, offset), low, high) = (stream(call), call.float(2), call.float(3));
    let dtype = call.outs()[0].dtype;
    match dtype.compute() {
        Compute::F32 => fill::<f32>(call, |x, first| {
            fill_uniform_f32(x, seed, offset, first);
            if let Some(steps) = steps(dtype) {
                cut(x, steps);
            }
            spread_f32(x, low as f32, (high - low) as f32);
        }),
        Compute::F64 => fill::<f64>(call, |x, first| {
            fill_uniform_f64(x, seed, offset, first);
            spread_f64(x, low, high - low);
        }),
        Compute::I64 => bail!("{}: the output is {}", call.name, dtype.name()),
    }
}

/// Normal. Scalars: mean, standard deviation.
fn normal(call: &Call) -> Outcome {
    let ((seed, offset), mean, deviation) = (stream(call), call.float(2), call.float(3));
    let dtype = call.outs()[0].dtype;
    match dtype.compute() {
        Compute::F32 => fill::<f32>(call, |x, first| {
            fill_normal_f32(x, seed, offset, first);
            spread_f32(x, mean as f32, deviation as f32);
        }),
        Compute::F64 => fill::<f64>(call, |x, first| {
            fill_normal_f64(x, seed, offset, first);
            spread_f64(x, mean, deviation);
        }),
        Compute::I64 => bail!("{}: the output is {}", call.name, dtype.name()),
    }
}

/// Exponential. Scalar: the rate.
fn exponential(call: &Call) -> Outcome {
    let ((seed, offset), rate) = (stream(call), call.float(2));
    fill::<f64>(call, |x, first| {
        fill_uniform_f64(x, seed, offset, first);
        for x in x {
            *x = -(1.0 - *x).ln() / rate;
        }
    })
}

simd! {
    /// 64-bit words; `first` is a multiple of 32.
    fn fill_u64(out: &mut [u64], seed: u64, offset: u64, first: u64) {
        for (b, part) in out.chunks_mut(BLOCK / 2).enumerate() {
            let words = philox_block(seed, offset, first / (BLOCK as u64 / 2) + b as u64);
            for (i, x) in part.iter_mut().enumerate() {
                let at = i / 16 * 32 + i % 16;
                *x = u64::from(words[at]) | u64::from(words[at + 16]) << 32;
            }
        }
    }
}

/// A whole number in 0..range from 64 random bits; 0 stands for 2⁶⁴.
fn below(range: u64, bits: u64) -> u64 {
    if range == 0 {
        bits
    } else {
        ((u128::from(bits) * u128::from(range)) >> 64) as u64
    }
}

simd! {
    /// low + `below(range, bits)` for a range of 32 bits: the product's upper half without its lower one.
    fn below_narrow(x: &mut [i64], bits: &[u64], low: i64, range: u32) {
        let range = u64::from(range);
        for (x, &b) in x.iter_mut().zip(bits) {
            let number = ((b >> 32) * range + (((b & 0xffff_ffff) * range) >> 32)) >> 32;
            *x = low.wrapping_add(number as i64);
        }
    }
}

/// Whole numbers from `low` on. Scalars: low, how many there are.
fn randint(call: &Call) -> Outcome {
    let ((seed, offset), low, range) = (stream(call), call.int(2), call.int(3) as u64);
    fill::<i64>(call, |x, first| {
        let mut bits = [0u64; CHUNK];
        fill_u64(&mut bits[..x.len()], seed, offset, first);
        match u32::try_from(range) {
            Ok(range) if range > 0 => below_narrow(x, &bits, low, range),
            _ => {
                for (x, &b) in x.iter_mut().zip(&bits) {
                    *x = low.wrapping_add(below(range, b) as i64);
                }
            }
        }
    })
}

simd! {
    /// 1 where the word is below the limit, else 0.
    fn ones_below(x: &mut [f32], words: &[u32], limit: u64) {
        for (x, &w) in x.iter_mut().zip(words) {
            *x = if u64::from(w) < limit { 1.0 } else { 0.0 };
        }
    }
}

/// 1 with probability p, else 0. Scalar: p.
fn bernoulli(call: &Call) -> Outcome {
    let (seed, offset) = stream(call);
    let limit = (call.float(2) * 4_294_967_296.0) as u64;
    fill::<f32>(call, |x, first| {
        let mut words = [0u32; CHUNK];
        fill_words(&mut words[..x.len()], seed, offset, first);
        ones_below(x, &words, limit);
    })
}

/// Runs `make(chunk, first)` on chunks of the input, brought into `C`, and stores them in the output.
fn transform<C: Number>(call: &Call, make: impl Fn(&mut [C], u64) + Sync) -> Outcome {
    let all = call.all();
    let space = Space::new(call.name, all)?;
    let shared = Shared(all);
    let streams = space.streams(&all[0]) && !all[1].overlaps(&all[0]);
    pool::parallel_ranges(space.numel, GRAIN, &|range| {
        let mut part = [C::default(); STREAMED];
        for from in range.clone().step_by(STREAMED) {
            let n = STREAMED.min(range.end - from);
            // SAFETY: `part` has room for n values, both operands were checked.
            unsafe { map::load::<C>(&space, 1, shared.get(1), from, n, part.as_mut_ptr()) };
            make(&mut part[..n], from as u64);
            put(&space, shared.get(0), from, &part[..n], streams);
        }
        if streams {
            stream::fence();
        }
    });
    Ok(())
}

/// 1 with the probability that the input gives, else 0.
fn bernoulli_of(call: &Call) -> Outcome {
    let (seed, offset) = stream(call);
    transform::<f64>(call, |x, first| {
        let mut draws = [0.0; CHUNK];
        fill_uniform_f64(&mut draws[..x.len()], seed, offset, first);
        for (x, &u) in x.iter_mut().zip(&draws) {
            *x = if u < *x { 1.0 } else { 0.0 };
        }
    })
}

simd! {
    /// x times scale where the word is at least the limit, else 0.
    fn keep<C: Real>(x: &mut [C], words: &[u32], limit: u32, scale: C) {
        for (x, &w) in x.iter_mut().zip(words) {
            let kept = *x * scale;
            *x = if w >= limit { kept } else { C::ZERO };
        }
    }
}

/// A dropout of one stream: the word from which on elements are kept, and what they are multiplied by.
#[derive(Clone, Copy)]
pub struct Dropping {
    seed: u64,
    offset: u64,
    limit: u32,
    scale: f64,
}

impl Dropping {
    pub fn new(p: f64, (seed, offset): (u64, u64)) -> Dropping {
        Dropping {
            seed,
            offset,
            // The cast saturates: for p = 1 one word in 2³² is kept, and is multiplied by 0.
            limit: (p * 4_294_967_296.0) as u32,
            scale: if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 },
        }
    }

    /// Drops elements `first..first + x.len()` of a tensor, at most a chunk.
    pub fn drop_from<C: Real>(self, x: &mut [C], first: u64) {
        let mut words = [0u32; CHUNK];
        let words = &mut words[..x.len()];
        fill_words(words, self.seed, self.offset, first);
        keep(x, words, self.limit, C::of(self.scale));
    }
}

/// Zero with probability p, else the input over 1 - p. Scalar: p. Its gradient is itself with the same stream.
fn dropout(call: &Call) -> Outcome {
    let (dropping, dtype) = (
        Dropping::new(call.float(2), stream(call)),
        call.outs()[0].dtype,
    );
    match dtype.compute() {
        Compute::F32 => transform::<f32>(call, |x, first| dropping.drop_from(x, first)),
        Compute::F64 => transform::<f64>(call, |x, first| dropping.drop_from(x, first)),
        Compute::I64 => bail!("{}: the output is {}", call.name, dtype.name()),
    }
}

fn require_whole(call: &Call, o: &Operand) -> Outcome {
    call.require(o.dtype == DType::I64 && o.is_contiguous(), || {
        "the output must be contiguous int64".into()
    })
}

/// The elements of a contiguous int64 operand.
fn whole<'a>(call: &Call, o: &Operand) -> Outcome<&'a mut [i64]> {
    require_whole(call, o)?;
    // SAFETY: checked, contiguous and held for the time of the call; nobody else writes it.
    Ok(unsafe { core::slice::from_raw_parts_mut(o.ptr.cast(), o.numel()) })
}

/// A random order of 0..n (Fisher and Yates), on one thread.
fn randperm(call: &Call) -> Outcome {
    let (seed, offset) = stream(call);
    let out = whole(call, &call.outs()[0])?;
    for (i, x) in out.iter_mut().enumerate() {
        *x = i as i64;
    }
    let mut bits = [0u64; CHUNK];
    for i in 0..out.len() {
        if i % CHUNK == 0 {
            fill_u64(&mut bits, seed, offset, i as u64);
        }
        let j = i + below((out.len() - i) as u64, bits[i % CHUNK]) as usize;
        out.swap(i, j);
    }
    Ok(())
}

/// Rows, classes and samples of a call of `multinomial`.
fn sizes_of(call: &Call) -> Outcome<[usize; 3]> {
    let (&[rows, k], &[out_rows, n]) = (call.ins()[0].dims(), call.outs()[0].dims()) else {
        bail!("{}: weights and output must have 2 dims", call.name)
    };
    call.require(rows == out_rows, || {
        format!("{rows} rows of weights, {out_rows} of output")
    })?;
    Ok([rows, k, n])
}

/// Draws classes by their weights. Buffers: weights (R, K), out (R, N) int64. Scalar: 1 with replacement.
/// Without, each class runs a race of exponential times and the first N win (Efraimidis and Spirakis 2006).
fn multinomial(call: &Call) -> Outcome {
    let (seed, offset) = stream(call);
    let replacement = call.int(2) != 0;
    let (out, weights) = (&call.outs()[0], &call.ins()[0]);
    let [rows, k, n] = sizes_of(call)?;
    let drawn = whole(call, out)?;
    let space = Space::new(call.name, call.ins())?;
    let mut p: Vec<f64> = Vec::new();
    let mut race: Vec<(f64, usize)> = Vec::new();
    let room = |_| Fault::OutOfMemory(format!("Cannot multinomial: no memory for {k} weights"));
    p.try_reserve(k).map_err(room)?;
    race.try_reserve(k).map_err(room)?;
    p.resize(k, 0.0);
    for row in 0..rows {
        // SAFETY: `p` has room for the row's k weights.
        unsafe { map::load::<f64>(&space, 0, weights, row * k, k, p.as_mut_ptr()) };
        let sum: f64 = p.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) || p.iter().any(|w| *w < 0.0) {
            bail!(
                "Cannot multinomial: the weights of row {row} must be finite, not negative, and not all zero"
            );
        }
        let out = &mut drawn[row * n..(row + 1) * n];
        if replacement {
            let mut so_far = 0.0;
            for w in &mut p {
                so_far += *w;
                *w = so_far;
            }
            let last = p.iter().position(|w| *w == so_far).unwrap_or(k - 1);
            let mut u = [0.0; CHUNK];
            for (c, part) in out.chunks_mut(CHUNK).enumerate() {
                fill_uniform_f64(
                    &mut u[..part.len()],
                    seed,
                    offset,
                    (row * n + c * CHUNK) as u64,
                );
                for (x, u) in part.iter_mut().zip(&u) {
                    *x = p.partition_point(|w| *w <= u * so_far).min(last) as i64;
                }
            }
        } else {
            race.clear();
            let mut u = [0.0; CHUNK];
            for (c, part) in p.chunks(CHUNK).enumerate() {
                fill_uniform_f64(
                    &mut u[..part.len()],
                    seed,
                    offset,
                    (row * k + c * CHUNK) as u64,
                );
                let times = part
                    .iter()
                    .zip(&u)
                    .enumerate()
                    .filter(|(_, (w, _))| **w > 0.0);
                race.extend(times.map(|(i, (w, u))| (-(1.0 - u).ln() / w, c * CHUNK + i)));
            }
            if race.len() < n {
                bail!(
                    "Cannot multinomial: row {row} has {} weights above zero for {n} samples without replacement",
                    race.len()
                );
            }
            race.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (x, (_, class)) in out.iter_mut().zip(&race) {
                *x = *class as i64;
            }
        }
    }
    Ok(())
}

/// One output, so many inputs, and scalars beside seed and offset.
const fn row(
    name: &'static str,
    ins: usize,
    scalars: usize,
    alias: bool,
    run: fn(&Call) -> Outcome,
    cuda: Option<fn(&Call) -> Outcome>,
) -> Row {
    Row {
        name,
        outs: 1,
        ins: (ins, ins),
        scalars: (2 + scalars, 2 + scalars),
        alias,
        run,
        cuda,
    }
}

pub const ROWS: &[Row] = &[
    row("uniform", 0, 2, false, uniform, Some(cuda::uniform)),
    row("normal", 0, 2, false, normal, Some(cuda::normal)),
    row(
        "exponential",
        0,
        1,
        false,
        exponential,
        Some(cuda::exponential),
    ),
    row("randint", 0, 2, false, randint, Some(cuda::randint)),
    row("bernoulli", 0, 1, false, bernoulli, Some(cuda::bernoulli)),
    row(
        "bernoulli_of",
        1,
        0,
        true,
        bernoulli_of,
        Some(cuda::bernoulli_of),
    ),
    row("dropout", 1, 1, true, dropout, Some(cuda::dropout)),
    row("randperm", 0, 0, false, randperm, Some(cuda::randperm)),
    row(
        "multinomial",
        1,
        1,
        false,
        multinomial,
        Some(cuda::multinomial),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_ranges_draw_what_wide_arithmetic_draws() {
        let mut bits = [0u64; CHUNK];
        fill_u64(&mut bits, 9, 4, 0);
        (bits[0], bits[1]) = (u64::MAX, 0);
        for range in [1, 2, 3, 1000, 1 << 31, u32::MAX] {
            let mut drawn = [0i64; CHUNK];
            below_narrow(&mut drawn, &bits, -5, range);
            for (&x, &b) in drawn.iter().zip(&bits) {
                assert_eq!(x, below(u64::from(range), b) as i64 - 5);
            }
        }
    }
}
