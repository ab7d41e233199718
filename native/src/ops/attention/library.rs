//! Which attentions cuDNN takes, and as what. Its statistics are those of the own kernels, so that each may go backward from
//! what the other gave.

use super::*;
use crate::cuda::{
    self, Address, Attention, AttentionGradients, AttentionPlaces, Lie, Operands, Type,
};

/// Queries and keys come in whole tiles: lengths that vary, as those of prompts do, would each cost a plan.
const TILE: usize = 64;
/// The widest head that the library has kernels for, on some device.
const WIDEST: usize = 256;
/// Rows and heads begin on so many elements, tensors on as many bytes as those take.
const STEP: usize = 8;
const ALIGNMENT: usize = 16;

/// An operand by its place in the shape's batch, and whether its rows are keys.
type Part<'a> = (usize, &'a Operand, bool);

/// How heads lie; None where elements share a place, columns are no neighbours, or rows do not begin on 16 bytes. A dim of one
/// element gets the stride that it has where nothing lies between.
fn lie<const K: usize>(s: &Shape<K>, (at, o, of_keys): Part) -> Option<Lie> {
    let (row, column) = along(o);
    let (rows, groups, group) = if of_keys {
        (s.keys, 1, 0)
    } else {
        (s.queries, s.groups, group_stride(o))
    };
    let size = |d: usize| s.batch.sizes[d] as isize;
    let stride = |d: usize| s.batch.strides[d][at];
    let groups = groups as isize;
    // With one loop over the batch groups are the heads, else the inner loop and they together.
    let ((heads, mut head), (batches, mut batch)) = match s.batch.ndim {
        0 => ((groups, group), (1, 0)),
        1 => ((groups, group), (size(0), stride(0))),
        2 if groups == 1 => ((size(1), stride(1)), (size(0), stride(0))),
        2 if stride(1) == group * groups => ((size(1) * groups, group), (size(0), stride(0))),
        _ => return None,
    };
    if heads == 1 {
        head = rows as isize * row;
    }
    if batches == 1 {
        batch = heads * head;
    }
    let steps = [batch, head, row]
        .iter()
        .all(|&n| n > 0 && n % STEP as isize == 0);
    let begins = (o.ptr as usize).is_multiple_of(ALIGNMENT);
    (column == 1 && steps && begins).then_some(Lie {
        batch: batch as i64,
        head: head as i64,
        row: row as i64,
    })
}

/// The attention as cuDNN takes it; None for what it does not. A mask is the own kernels': what the library gives for a query
/// that sees no key is not said.
fn describe<const K: usize>(
    call: &Call,
    s: &Shape<K>,
    mask: &Operand,
    all: &Operands<Part>,
) -> Option<Attention> {
    let kind = match all.q.1.dtype {
        DType::F16 => Type::F16,
        DType::Bf16 => Type::Bf16,
        _ => return None,
    };
    let whole = |rows: usize| rows > 0 && rows.is_multiple_of(TILE);
    let wide = |columns: usize| (1..=WIDEST).contains(&columns) && columns.is_multiple_of(STEP);
    let fits = mask.ndim <= 1
        && s.batch.numel > 0
        && s.groups > 0
        && [s.queries, s.keys].into_iter().all(whole)
        && [s.head, s.value].into_iter().all(wide);
    if !fits {
        return None;
    }
    let of = |part: Part| (part.1.dtype == all.q.1.dtype).then(|| lie(s, part))?;
    let (inner, outer) = match s.batch.ndim {
        2 => (s.batch.sizes[1], s.batch.sizes[0]),
        _ => (1, s.batch.numel),
    };
    Some(Attention {
        kind,
        batch: outer as i64,
        heads: (inner * s.groups) as i64,
        key_heads: inner as i64,
        queries: s.queries as i64,
        keys: s.keys as i64,
        head: s.head as i64,
        value: s.value as i64,
        causal: call.float(1) != 0.0,
        lie: Operands {
            q: of(all.q)?,
            k: of(all.k)?,
            v: of(all.v)?,
            out: of(all.out)?,
            gradients: match &all.gradients {
                None => None,
                Some(gradients) => Some(AttentionGradients {
                    g: of(gradients.g)?,
                    gq: of(gradients.gq)?,
                    gk: of(gradients.gk)?,
                    gv: of(gradients.gv)?,
                }),
            },
        },
    })
}

/// Has cuDNN attend if it is there and takes it; else the own kernels do.
pub fn run<const K: usize>(
    call: &Call,
    s: &Shape<K>,
    (lse, mask): (&Operand, &Operand),
    all: &Operands<Part>,
) -> Outcome<bool> {
    let Some(attention) = describe(call, s, mask, all) else {
        return Ok(false);
    };
    let address = |part: Part| part.1.ptr as Address;
    let places = AttentionPlaces {
        at: Operands {
            q: address(all.q),
            k: address(all.k),
            v: address(all.v),
            out: address(all.out),
            gradients: all.gradients.as_ref().map(|gradients| AttentionGradients {
                g: address(gradients.g),
                gq: address(gradients.gq),
                gk: address(gradients.gk),
                gv: address(gradients.gv),
            }),
        },
        lse: lse.ptr as Address,
        scale: call.float(0) as f32,
    };
    // SAFETY: every operand was checked and is held; the attention describes how they lie.
    unsafe { cuda::gpu(call.device)?.attend(&attention, &places) }
}
