//! Scaled dot product attention in tiles: `out = softmax(scale · q kᵀ + mask) v`, with no matrix of queries by keys.
//! A task takes a block of queries past the keys block by block; the greatest score and the sum of exponentials of each
//! query are kept up to date, and what was summed before is rescaled. Backward (attention/backward.rs) computes the
//! scores of a block anew from the saved log-sum-exp. Blocks depend on the shape only, never on the threads.
//! Source: Dao et al. 2022, arXiv 2205.14135; Milakov and Gimelshein 2018, arXiv 1805.02867.
//!
//! Shapes, with N any batch dims, G query heads to each head of keys, T queries, S keys, D and E sizes of a head:
//! q (N, G, T, D), k (N, S, D), v (N, S, E), mask (N, G, T, S) or (0), out (N, G, T, E), lse (N, G, T).

// Loops over lanes by number are what LLVM vectorises best.
#![allow(clippy::needless_range_loop)]

mod backward;
mod cuda;
mod library;
mod products;
mod weights;

use self::products::{Pairs, Plain, Products};
use self::weights::{Scores, Slopes, Statistics, Weighed};
use super::nest::{Nest, Place};
use super::real::Real;
use super::recurrent::Lstm;
use crate::dtype::DType;
use crate::fault::{Fault, Outcome};
use crate::gemm::block::window;
use crate::gemm::{A_STRIDE, Buffer, Failure, Float};
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::{pool, simd, with_real};
use core::ops::Range;

/// Keys of a block of the forward pass: strips and panels of this depth share the first-level cache.
const KEYS: usize = 128;
/// Elements that a task packs of keys and values for all its queries; of more than that each block of queries packs
/// its own.
const KEPT: usize = 1 << 20;
/// Tasks that a pass is cut into at least where that is possible.
const TASKS: usize = 16;
const LANES: usize = 16;

/// The types that attention and recurrent nets are computed in.
pub trait Computed: Float + Real + Weighed + Lstm {}
impl Computed for f32 {}
impl Computed for f64 {}

/// The sizes that all operands agree on, and the batch as one loop over the first K of them.
struct Shape<const K: usize> {
    batch: Nest<K>,
    groups: usize,
    queries: usize,
    keys: usize,
    head: usize,
    value: usize,
}

/// Of how many dims an operand's last ones are its own; those before are the batch.
const OWN_OF_QUERIES: usize = 3;
const OWN_OF_KEYS: usize = 2;

impl<const K: usize> Shape<K> {
    /// `all` are the operands whose batch is looped over, each with the count of its own dims; the first three are the
    /// queries, keys and values. One of dims (0) is absent.
    fn new(call: &Call, all: [(&Operand, usize); K]) -> Outcome<Shape<K>> {
        let (q, k, v) = (all[0].0, all[1].0, all[2].0);
        let fits = q.ndim >= 3 && k.ndim + 1 == q.ndim && v.ndim == k.ndim;
        let wrong = || {
            format!(
                "queries {:?}, keys {:?}, values {:?}",
                q.dims(),
                k.dims(),
                v.dims()
            )
        };
        call.require(fits, wrong)?;
        let n = q.ndim - OWN_OF_QUERIES;
        let batch = &q.dims()[..n];
        let (own, keys, values) = (&q.dims()[n..], &k.dims()[n..], &v.dims()[n..]);
        let floats = all
            .iter()
            .all(|(o, _)| o.dtype.is_float() || o.dtype == DType::Bool);
        call.require(
            keys[1] == own[2] && keys[0] == values[0] && own[2] > 0 && floats,
            wrong,
        )?;
        let mut loops = [(0, [0isize; K]); MAX_DIMS];
        for (at, &(o, dims)) in all.iter().enumerate() {
            if o.dims() == [0] && (o.ndim != n + dims || n + dims == 1) {
                continue;
            }
            call.require(o.ndim == n + dims && o.dims()[..n] == *batch, || {
                format!("operand of dims {:?} for the batch {batch:?}", o.dims())
            })?;
            for d in 0..n {
                loops[d].1[at] = o.strides()[d];
            }
        }
        for d in 0..n {
            loops[d].0 = batch[d];
        }
        Ok(Shape {
            batch: Nest::new(&loops[..n]),
            groups: own[0],
            queries: own[1],
            keys: keys[0],
            head: own[2],
            value: values[1],
        })
    }

    /// Where item `i` of the batch begins in each operand.
    fn offsets(&self, i: usize) -> [isize; K] {
        let mut at = [0; K];
        self.batch.runs(i, 1, |o, _, _, _| at = o);
        at
    }

    /// Queries of one block: fewer where whole blocks would leave threads idle, or where later ones see more keys.
    fn block<P: Products>(&self, causal: bool) -> usize {
        let heads = self.batch.numel * self.groups;
        let mut rows = if causal { P::QUERIES / 2 } else { P::QUERIES };
        while rows > P::QUERIES / 4 && heads * self.queries.div_ceil(rows) < TASKS {
            rows /= 2;
        }
        rows
    }
}

/// Fails unless an operand has these dims.
fn expect(call: &Call, o: &Operand, dims: &[usize], what: &str) -> Outcome {
    call.require(o.dims() == dims, || {
        format!("{what} has dims {:?}, not {dims:?}", o.dims())
    })
}

/// Fails unless an operand is a dense vector of the compute type with so many elements.
fn expect_statistics<C: Real>(call: &Call, o: &Operand, count: usize, what: &str) -> Outcome {
    call.require(
        o.dtype == C::DTYPE && o.is_contiguous() && o.numel() == count,
        || format!("{what} has dims {:?} of {}", o.dims(), o.dtype.name()),
    )
}

/// Last two strides.
fn along(o: &Operand) -> (isize, isize) {
    let s = o.strides();
    (s[o.ndim - 2], s[o.ndim - 1])
}

/// The stride of a query operand's dim of groups.
fn group_stride(o: &Operand) -> isize {
    o.strides()[o.ndim - 3]
}

/// A block of scores to be masked: `rows` queries from `query`, `count` keys from `key`.
struct Block {
    query: usize,
    rows: usize,
    key: usize,
    count: usize,
}

/// Adds a mask to a block of scores, or, where it is bool, shuts out keys where it is false; shuts out later keys where
/// attention is causal. The mask is absent, or given with where it begins and the group whose part is meant. What is
/// given is to be multiplied by its scale yet: a positive one, where no mask was added to multiples.
unsafe fn mask_scores<C: Computed>(
    scores: *mut C,
    at: &Block,
    (mask, begin, group): (&Operand, isize, isize),
    causal: bool,
    scale: C,
) -> Scores<C> {
    let mask = (mask.ndim > 1).then(|| {
        let from = begin + group * group_stride(mask);
        (Place::of(mask), from, along(mask))
    });
    let causal = causal && at.key + at.count > at.query;
    let is_pending = mask.is_none() && scale > <C as Real>::ZERO;
    let mut line = [<C as Real>::ZERO; 2 * KEYS];
    for r in 0..at.rows {
        // SAFETY: row r of the block; the mask's elements were checked; a block has at most 2 · KEYS keys.
        unsafe {
            let row = core::slice::from_raw_parts_mut(scores.add(r * A_STRIDE), at.count);
            if !is_pending {
                row.iter_mut().for_each(|x| *x = *x * scale);
            }
            if let Some((place, offset, (rs, cs))) = mask {
                let from = offset + (at.query + r) as isize * rs + at.key as isize * cs;
                place.gather(from, cs, line.as_mut_ptr(), at.count);
                add_mask(
                    row.as_mut_ptr(),
                    line.as_ptr(),
                    at.count,
                    place.dtype == DType::Bool,
                );
            }
            if causal {
                let seen = (at.query + r + 1).saturating_sub(at.key).min(at.count);
                row[seen..].fill(<C as Real>::LOWEST);
            }
        }
    }
    Scores {
        at: scores,
        rows: at.rows,
        n: at.count,
        scale: if is_pending { scale } else { <C as Real>::ONE },
    }
}

simd! {
    unsafe fn add_mask<C: Real>(row: *mut C, mask: *const C, n: usize, keep: bool) {
        // SAFETY: the caller gives n elements of each.
        unsafe {
            if keep {
                for i in 0..n {
                    let x = *row.add(i);
                    *row.add(i) = if *mask.add(i) == C::ZERO { C::LOWEST } else { x };
                }
            } else {
                for i in 0..n { *row.add(i) = *row.add(i) + *mask.add(i); }
            }
        }
    }
}

/// What a mask must be like: that of every query and key, or absent.
fn expect_mask<const K: usize>(call: &Call, q: &Operand, mask: &Operand, s: &Shape<K>) -> Outcome {
    if mask.ndim <= 1 {
        return Ok(());
    }
    let batch = &q.dims()[..q.ndim - OWN_OF_QUERIES];
    let dims = [batch, &[s.groups, s.queries, s.keys]].concat();
    expect(call, mask, &dims, "the mask")
}

/// Checks a call of `forward`; the batch is that of q, k, v, out, mask.
fn check<C: Real>(call: &Call) -> Outcome<Shape<5>> {
    let ([out, lse], [q, k, v, mask]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let s = Shape::<5>::new(
        call,
        [
            (q, OWN_OF_QUERIES),
            (k, OWN_OF_KEYS),
            (v, OWN_OF_KEYS),
            (out, OWN_OF_QUERIES),
            (mask, OWN_OF_QUERIES),
        ],
    )?;
    let n = q.ndim - OWN_OF_QUERIES;
    expect(
        call,
        out,
        &[&q.dims()[..n], &[s.groups, s.queries, s.value]].concat(),
        "the output",
    )?;
    expect_mask(call, q, mask, &s)?;
    let heads = s.batch.numel * s.groups;
    expect_statistics::<C>(call, lse, heads * s.queries, "the log-sum-exp")?;
    Ok(s)
}

/// All operands, and what is known of them.
struct Forward<'a, P: Products> {
    s: Shape<5>,
    q: Of<'a>,
    k: Of<'a>,
    v: Of<'a>,
    out: Of<'a>,
    mask: Of<'a>,
    lse: pool::Shared<P::C>,
    scale: P::C,
    causal: bool,
}

/// Outputs out, lse; inputs q, k, v, mask. Scalars: scale, whether query i sees keys up to i only.
/// A query that sees no key gives zeros, and +∞ as its log-sum-exp, so that backward finds no weight there.
fn forward<P: Products>(call: &Call) -> Outcome {
    let ([out, lse], [q, k, v, mask]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let pass = Forward::<P> {
        s: check::<P::C>(call)?,
        q: Of(q),
        k: Of(k),
        v: Of(v),
        out: Of(out),
        mask: Of(mask),
        lse: pool::Shared(lse.ptr.cast::<P::C>()),
        scale: P::C::of(call.float(0)),
        causal: call.float(1) != 0.0,
    };
    let s = &pass.s;
    let heads = s.batch.numel * s.groups;
    if heads == 0 || s.queries == 0 {
        return Ok(());
    }
    let block = s.block::<P>(pass.causal);
    let blocks = s.queries.div_ceil(block);
    // A task packs keys and values for all its blocks of queries.
    let wanted = TASKS.max(4 * pool::threads());
    let parts = wanted.div_ceil(heads).min(blocks);
    let failed = Failure::default();
    pool::parallel(heads * parts, &|task| {
        let (head, part) = (task / parts, task % parts);
        let end = s.queries.min((part + 1) * blocks / parts * block);
        failed.note(pass.run(head, part * blocks / parts * block..end, block));
    });
    failed.result().map_err(Fault::OutOfMemory)
}

impl<P: Products> Forward<'_, P> {
    /// How many keys some queries from `query` on see.
    fn seen(&self, query: usize, rows: usize) -> usize {
        if self.causal {
            self.s.keys.min(query + rows)
        } else {
            self.s.keys
        }
    }

    /// Some queries of a head, `block` at a time.
    fn run(&self, head: usize, queries: Range<usize>, block: usize) -> Result<(), String> {
        let s = &self.s;
        let (item, group) = (head / s.groups, (head % s.groups) as isize);
        let [oq, ok, ov, oo, om] = s.offsets(item);
        let all = self.seen(queries.start, queries.len());
        let depth = KEYS.min(all.max(1));
        let rows = block.min(queries.len());
        let (padded, width) = P::padded(rows, s.value);
        let (room_q, room_s) = (P::rows_room(rows, s.head), padded * A_STRIDE);
        let (room_k, room_v) = (
            P::columns_room(depth, s.head),
            P::columns_room(s.value, depth),
        );
        let blocks = all.div_ceil(KEYS);
        let is_kept = (room_k + room_v).saturating_mul(blocks) <= KEPT;
        let places = if is_kept { blocks.max(1) } else { 1 };
        let room_w = P::scores_room(rows, depth);
        let room =
            room_q + room_s + room_w + places * (room_k + room_v) + padded * width + 2 * rows;
        let buffer = Buffer::take::<P::C>(room)?;
        // SAFETY: parts of the buffer one behind the other; windows of checked operands; the rows of `out` and `lse`
        // belong to this task.
        unsafe {
            let packed_q = buffer.get::<P::C>();
            let scores = packed_q.add(room_q);
            let as_operand = scores.add(room_s);
            let packed = as_operand.add(room_w);
            let sums = packed.add(places * (room_k + room_v));
            let most = sums.add(padded * width);
            let of = Statistics {
                most,
                total: most.add(rows),
                sums,
                width,
            };
            let place = |key: usize| {
                let k = packed.add(if is_kept { key / KEYS } else { 0 } * (room_k + room_v));
                (k, k.add(room_k))
            };
            let pack = |key: usize| {
                let (count, (to_k, to_v)) = (KEYS.min(all - key), place(key));
                let ((rk, ck), (rv, cv)) = (along(&self.k), along(&self.v));
                let (from_k, from_v) = (ok + key as isize * rk, ov + key as isize * rv);
                P::pack_columns(&window(&self.k, from_k, (s.head, count), (ck, rk)), to_k);
                P::pack_columns(&window(&self.v, from_v, (count, s.value), (rv, cv)), to_v);
            };
            P::begin();
            if is_kept {
                (0..all).step_by(KEYS).for_each(pack);
            }
            for query in queries.clone().step_by(block) {
                let rows = block.min(queries.end - query);
                let (zero, lowest) = (<P::C as Real>::ZERO, <P::C as Real>::LOWEST);
                core::slice::from_raw_parts_mut(of.most, rows).fill(lowest);
                core::slice::from_raw_parts_mut(of.total, rows).fill(zero);
                core::slice::from_raw_parts_mut(sums, padded * width).fill(zero);
                let (rq, cq) = along(&self.q);
                let from = oq + group * group_stride(&self.q) + query as isize * rq;
                let q = P::pack_rows(&window(&self.q, from, (rows, s.head), (rq, cq)), packed_q);
                let keys = self.seen(query, rows);
                for key in (0..keys).step_by(KEYS) {
                    let count = KEYS.min(keys - key);
                    if !is_kept {
                        pack(key);
                    }
                    let (packed_k, packed_v) = place(key);
                    P::multiply(
                        (rows, count, s.head),
                        q,
                        (packed_k, s.head),
                        (scores, A_STRIDE),
                        true,
                    );
                    let mask = (&*self.mask, om, group);
                    let at = Block {
                        query,
                        rows,
                        key,
                        count,
                    };
                    let block = mask_scores(scores, &at, mask, self.causal, self.scale);
                    P::C::exponentials(block, of);
                    P::multiply_scores(
                        (rows, s.value, count),
                        scores,
                        as_operand,
                        // Of the keys that were packed these queries may see the first ones.
                        (packed_v, KEYS.min(all - key)),
                        (sums, width),
                        false,
                    );
                }
                let to = oo + group * group_stride(&self.out) + query as isize * along(&self.out).0;
                self.write(of, rows, to, head * s.queries + query);
            }
            P::end();
        }
        buffer.give_back();
        Ok(())
    }

    /// Writes the results of a block of queries, whose first row lies at `to`, and their log-sum-exp from `at` on.
    ///
    /// # Safety
    /// The rows of `out` and `lse` exist and are this task's.
    unsafe fn write(&self, of: Statistics<P::C>, rows: usize, to: isize, at: usize) {
        let ((ro, co), width) = (along(&self.out), self.s.value);
        for r in 0..rows {
            // SAFETY: the caller's promise; there are statistics of each row.
            unsafe {
                let (most, total) = (*of.most.add(r), *of.total.add(r));
                let none = total == <P::C as Real>::ZERO;
                let scale = if none {
                    total
                } else {
                    <P::C as Real>::ONE / total
                };
                let row = core::slice::from_raw_parts_mut(of.sums.add(r * of.width), width);
                row.iter_mut().for_each(|x| *x = *x * scale);
                Place::of(&self.out).scatter(to + r as isize * ro, co, row.as_ptr(), width);
                *self.lse.get().add(at + r) = if none {
                    -<P::C as Real>::LOWEST
                } else {
                    most + total.ln()
                };
            }
        }
    }
}

/// An operand that tasks share: addresses of a held storage, of which each writes its own elements.
#[derive(Clone, Copy)]
struct Of<'a>(&'a Operand);
impl core::ops::Deref for Of<'_> {
    type Target = Operand;
    fn deref(&self) -> &Operand {
        self.0
    }
}
// SAFETY: as said above.
unsafe impl Sync for Of<'_> {}
// SAFETY: as above.
unsafe impl Send for Of<'_> {}

pub const ROWS: &[Row] = &[
    Row {
        name: "attention",
        outs: 2,
        ins: (4, 4),
        scalars: (2, 2),
        alias: false,
        run: |call| {
            let [q, k, v, _] = call.ins() else {
                unreachable!()
            };
            if Pairs::suit(&[q, k, v], q) {
                return forward::<Pairs>(call);
            }
            with_real!(call.name, q.dtype.compute(), C => forward::<Plain<C>>(call))
        },
        cuda: Some(
            |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => cuda::forward::<C>(call)),
        ),
    },
    Row {
        name: "attention_grad",
        outs: 3,
        ins: (7, 7),
        scalars: (2, 2),
        alias: false,
        run: |call| {
            let [g, q, k, v, ..] = call.ins() else {
                unreachable!()
            };
            if Pairs::suit(&[g, q, k, v], q) {
                return backward::backward::<Pairs>(call);
            }
            with_real!(call.name, q.dtype.compute(), C => backward::backward::<Plain<C>>(call))
        },
        cuda: Some(
            |call| with_real!(call.name, call.ins()[1].dtype.compute(), C => cuda::backward::<C>(call)),
        ),
    },
];
