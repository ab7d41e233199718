//! Attention on CUDA: the kernels of attention.cu.

use super::library;
use super::*;
use crate::cuda::{self, AttentionGradients, Operands, Scratch};
use crate::ops::map::cuda::suffix;
use crate::ops::matmul::cuda::MMA_THREADS;

/// As in attention.cu.
const THREADS: u32 = 256;
const COLUMNS: usize = 128;
/// The most that the grid has along y.
const MOST: usize = 65_535;

/// An operand's number in attention.cuh.
#[derive(Clone, Copy)]
enum Part {
    Q,
    K,
    V,
    Out,
    G,
    Gq,
    Gk,
    Gv,
    Mask,
}
const PARTS: usize = 9;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attended {
    data: u64,
    group: i64,
    row: i64,
    column: i64,
    batch: [i64; MAX_DIMS],
    dtype: i32,
    unused: i32,
}

/// What a kernel is given; mirrors Attention in attention.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    items: i64,
    groups: i64,
    queries: i64,
    keys: i64,
    head: i64,
    value: i64,
    scale: f64,
    causal: i32,
    batch_ndim: i32,
    batch_sizes: [i64; MAX_DIMS],
    parts: [Attended; PARTS],
    lse: u64,
    delta: u64,
    aligned: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Arguments>() == 1728);

/// The kernels for tensor cores: of heads up to so many columns, with the suffix of the element type.
struct Tensor {
    width: usize,
    suffix: &'static str,
}

impl Tensor {
    /// Where all factors are floats of the same 16 bits, and heads are not too wide.
    fn of<const K: usize>(s: &Shape<K>, factors: &[&Operand]) -> Option<Tensor> {
        let suffix = match factors[0].dtype {
            DType::F16 => "half",
            DType::Bf16 => "bfloat",
            _ => return None,
        };
        let widest = s.head.max(s.value);
        let fits =
            factors.iter().all(|o| o.dtype == factors[0].dtype) && s.value > 0 && widest <= 128;
        fits.then_some(Tensor {
            width: if widest <= 64 { 64 } else { 128 },
            suffix,
        })
    }

    /// Runs a kernel of 64 rows a block with tiles of so many rows in shared memory.
    fn launch(
        &self,
        call: &Call,
        a: &Arguments,
        stem: [&'static str; 2],
        (rows, heads, tiles): (usize, usize, usize),
    ) -> Outcome {
        if rows == 0 || heads == 0 {
            return Ok(());
        }
        let shape = crate::cuda::Shape {
            grid: [rows.div_ceil(64) as u32, heads.min(MOST) as u32, 1],
            threads: MMA_THREADS,
            shared: tiles * (self.width + 8) * 2,
        };
        let stem = stem[usize::from(self.width > 64)];
        // SAFETY: mirrors the kernels'; every operand was checked and is held.
        unsafe { cuda::gpu(call.device)?.launch((stem, self.suffix), shape, a) }
    }
}

/// Whether rows of an operand can be read by 16 bytes.
fn is_aligned(o: &Operand) -> bool {
    let (_, column) = along(o);
    let others = o.strides()[..o.ndim - 1].iter().zip(o.dims());
    column == 1
        && (o.ptr as usize).is_multiple_of(16)
        && others.into_iter().all(|(&s, &n)| n == 1 || s % 8 == 0)
}

impl Arguments {
    /// `parts` name the operands in the order of the shape's batch.
    fn new<const K: usize>(
        call: &Call,
        s: &Shape<K>,
        parts: [(Part, &Operand); K],
        lse: &Operand,
    ) -> Arguments {
        let mut a = Arguments {
            items: s.batch.numel as i64,
            groups: s.groups as i64,
            queries: s.queries as i64,
            keys: s.keys as i64,
            head: s.head as i64,
            value: s.value as i64,
            scale: call.float(0),
            causal: i32::from(call.float(1) != 0.0),
            batch_ndim: s.batch.ndim as i32,
            batch_sizes: s.batch.sizes.map(|n| n as i64),
            parts: [Attended::default(); PARTS],
            lse: lse.ptr as u64,
            delta: 0,
            aligned: 0,
            unused: 0,
        };
        for (at, (part, o)) in parts.into_iter().enumerate() {
            if matches!(part, Part::Mask) && o.ndim <= 1 {
                continue;
            }
            let of_keys = matches!(part, Part::K | Part::V | Part::Gk | Part::Gv);
            let (row, column) = along(o);
            a.aligned |= i32::from(is_aligned(o)) << part as i32;
            a.parts[part as usize] = Attended {
                data: o.ptr as u64,
                group: if of_keys { 0 } else { group_stride(o) as i64 },
                row: row as i64,
                column: column as i64,
                batch: s.batch.strides.map(|strides| strides[at] as i64),
                dtype: o.dtype as i32,
                unused: 0,
            };
        }
        a
    }

    /// Runs a kernel with blocks for so many rows and, of each item, heads of so many columns.
    fn launch<C: Real>(
        &self,
        call: &Call,
        kernel: &'static str,
        rows: usize,
        heads: usize,
        columns: usize,
    ) -> Outcome {
        // Rows of a block, as SIDE in attention.cu.
        let side = if size_of::<C>() == 4 { 64 } else { 32 };
        let count = heads.saturating_mul(columns.div_ceil(COLUMNS).max(1));
        if rows == 0 || count == 0 {
            return Ok(());
        }
        let shape = crate::cuda::Shape {
            grid: [rows.div_ceil(side) as u32, count.min(MOST) as u32, 1],
            threads: THREADS,
            shared: 0,
        };
        let name = (kernel, suffix(C::COMPUTE));
        // SAFETY: mirrors the kernels'; every operand was checked and is held.
        unsafe { cuda::gpu(call.device)?.launch(name, shape, self) }
    }
}

pub fn forward<C: Computed>(call: &Call) -> Outcome {
    let ([out, lse], [q, k, v, mask]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let s = check::<C>(call)?;
    let parts = [
        (Part::Q, q),
        (Part::K, k),
        (Part::V, v),
        (Part::Out, out),
        (Part::Mask, mask),
    ];
    let all = Operands {
        q: (0, q, false),
        k: (1, k, true),
        v: (2, v, true),
        out: (3, out, false),
        gradients: None,
    };
    if library::run(call, &s, (lse, mask), &all)? {
        return Ok(());
    }
    let heads = s.batch.numel * s.groups;
    let a = Arguments::new(call, &s, parts, lse);
    if let Some(tensor) = Tensor::of(&s, &[q, k, v]) {
        let stem = ["attention_64_", "attention_128_"];
        return tensor.launch(call, &a, stem, (s.queries, heads, 5 * 64));
    }
    a.launch::<C>(call, "attention", s.queries, heads, s.value)
}

pub fn backward<C: Computed>(call: &Call) -> Outcome {
    let ([gq, gk, gv], [g, q, k, v, out, lse, mask]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let s = backward::check::<C>(call)?;
    let parts = [
        (Part::Q, q),
        (Part::K, k),
        (Part::V, v),
        (Part::G, g),
        (Part::Out, out),
        (Part::Mask, mask),
        (Part::Gq, gq),
        (Part::Gk, gk),
        (Part::Gv, gv),
    ];
    let all = Operands {
        q: (0, q, false),
        k: (1, k, true),
        v: (2, v, true),
        out: (4, out, false),
        gradients: Some(AttentionGradients {
            g: (3, g, false),
            gq: (6, gq, false),
            gk: (7, gk, true),
            gv: (8, gv, true),
        }),
    };
    if library::run(call, &s, (lse, mask), &all)? {
        return Ok(());
    }
    let mut a = Arguments::new(call, &s, parts, lse);
    let gpu = cuda::gpu(call.device)?;
    let heads = s.batch.numel * s.groups;
    let delta = Scratch::new(gpu, heads * s.queries * size_of::<C>())?;
    a.delta = delta.address();
    if heads * s.queries > 0 {
        let blocks = cuda::blocks_for(heads * s.queries, THREADS as usize, gpu);
        let name = ("attention_delta", suffix(C::COMPUTE));
        // SAFETY: as above.
        unsafe { gpu.launch(name, cuda::Shape::line(blocks, THREADS), &a)? };
    }
    if let Some(tensor) = Tensor::of(&s, &[q, k, v, g]) {
        let stem = ["attention_grad_q_64_", "attention_grad_q_128_"];
        tensor.launch(call, &a, stem, (s.queries, heads, 6 * 64))?;
        let stem = ["attention_grad_k_64_", "attention_grad_k_128_"];
        let tiles = if tensor.width > 64 { 4 * 64 } else { 6 * 64 };
        return tensor.launch(call, &a, stem, (s.keys, s.batch.numel, tiles));
    }
    // Without columns there is nothing to write.
    a.launch::<C>(call, "attention_grad_q", s.queries, heads, s.head)?;
    a.launch::<C>(call, "attention_grad_k", s.keys, s.batch.numel, s.head)?;
    if s.value > 0 {
        a.launch::<C>(call, "attention_grad_v", s.keys, s.batch.numel, s.value)?;
    }
    Ok(())
}
