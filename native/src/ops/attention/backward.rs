//! The gradient of attention, block by block: with P the weights of a block of queries by keys, found again from the
//! saved log-sum-exp, and `delta` the sum of `g · out` over each query's row,
//! `gv += Pᵀ g`, `dS = P ∘ (g vᵀ - delta)`, `gq += scale · dS k`, `gk += scale · dSᵀ q`.
//! Where there are enough heads, one task does all of a head of keys; else tasks of query blocks find gq and tasks of
//! key blocks gk and gv, which costs two products more and keeps every thread busy.

use super::*;
use crate::dtype::Number;
use crate::memory::Scratch;
use crate::stream::prefetch_bytes;

/// Keys of a block of the backward pass: the depth that the micro-kernels are made for.
const BACK_KEYS: usize = 2 * KEYS;

/// Rows of a head lie apart, where the hardware does not look ahead: that many before it is read, one is fetched.
const ROWS_AHEAD: isize = 8;

/// What one task computes: of item `item`, the gradients that a range of queries and of keys give.
struct Task {
    item: usize,
    groups: Range<usize>,
    queries: Range<usize>,
    keys: Range<usize>,
    for_queries: bool,
    for_keys: bool,
}

simd! {
    unsafe fn inner<C: Real>(a: *const C, b: *const C, n: usize) -> C {
        let mut lanes = [C::ZERO; LANES];
        let whole = n / LANES * LANES;
        let mut i = 0;
        // SAFETY: the caller gives n elements of each.
        unsafe {
            while i < whole {
                for l in 0..LANES { lanes[l] += *a.add(i + l) * *b.add(i + l); }
                i += LANES;
            }
            while i < n {
                lanes[0] += *a.add(i) * *b.add(i);
                i += 1;
            }
        }
        let mut total = C::ZERO;
        for l in 0..LANES { total += lanes[l]; }
        total
    }
}

/// All operands, and what is known of them.
struct Pass<'a, P: Products> {
    s: Shape<9>,
    q: Of<'a>,
    k: Of<'a>,
    v: Of<'a>,
    g: Of<'a>,
    out: Of<'a>,
    mask: Of<'a>,
    gq: Of<'a>,
    gk: Of<'a>,
    gv: Of<'a>,
    lse: pool::Shared<P::C>,
    delta: pool::Shared<P::C>,
    scale: P::C,
    causal: bool,
}

/// Checks a call of `backward`; the batch is that of q, k, v, g, out, mask, gq, gk, gv.
pub fn check<C: Real>(call: &Call) -> Outcome<Shape<9>> {
    let ([gq, gk, gv], [g, q, k, v, out, lse, mask]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let (of_queries, of_keys) = (OWN_OF_QUERIES, OWN_OF_KEYS);
    let s = Shape::<9>::new(
        call,
        [
            (q, of_queries),
            (k, of_keys),
            (v, of_keys),
            (g, of_queries),
            (out, of_queries),
            (mask, of_queries),
            (gq, of_queries),
            (gk, of_keys),
            (gv, of_keys),
        ],
    )?;
    let n = q.ndim - OWN_OF_QUERIES;
    let wide = [&q.dims()[..n], &[s.groups, s.queries, s.value]].concat();
    expect(call, g, &wide, "the gradient")?;
    expect(call, out, &wide, "the result")?;
    expect(call, gq, q.dims(), "the queries' gradient")?;
    expect(call, gk, k.dims(), "the keys' gradient")?;
    expect(call, gv, v.dims(), "the values' gradient")?;
    expect_mask(call, q, mask, &s)?;
    let heads = s.batch.numel * s.groups;
    expect_statistics::<C>(call, lse, heads * s.queries, "the log-sum-exp")?;
    Ok(s)
}

/// Outputs gq, gk, gv; inputs g, q, k, v, out, lse, mask. Scalars as forward.
pub fn backward<P: Products>(call: &Call) -> Outcome {
    let ([gq, gk, gv], [g, q, k, v, out, lse, mask]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let s = check::<P::C>(call)?;
    let heads = s.batch.numel * s.groups;
    let delta = Scratch::new::<P::C>(heads * s.queries)?;
    let pass = Pass::<P> {
        q: Of(q),
        k: Of(k),
        v: Of(v),
        g: Of(g),
        out: Of(out),
        mask: Of(mask),
        gq: Of(gq),
        gk: Of(gk),
        gv: Of(gv),
        lse: pool::Shared(lse.ptr.cast()),
        delta: pool::Shared(delta.as_ptr()),
        scale: P::C::of(call.float(0)),
        causal: call.float(1) != 0.0,
        s,
    };
    let s = &pass.s;
    let failed = Failure::default();
    let block = s.block::<P>(pass.causal);
    pool::parallel_ranges(
        heads * s.queries,
        block.max(1024 / s.value.max(1)),
        &|range| failed.note(pass.deltas(range)),
    );
    let whole = |item: usize| Task {
        item,
        groups: 0..s.groups,
        queries: 0..s.queries,
        keys: 0..s.keys,
        for_queries: true,
        for_keys: true,
    };
    if s.batch.numel >= TASKS / 2 {
        pool::parallel(s.batch.numel, &|item| failed.note(pass.run(&whole(item))));
    } else {
        let blocks = s.queries.div_ceil(block);
        pool::parallel(heads * blocks, &|task| {
            let (head, query) = (task / blocks, task % blocks * block);
            let group = head % s.groups;
            failed.note(pass.run(&Task {
                groups: group..group + 1,
                queries: query..s.queries.min(query + block),
                for_keys: false,
                ..whole(head / s.groups)
            }));
        });
        let blocks = s.keys.div_ceil(BACK_KEYS);
        pool::parallel(s.batch.numel * blocks, &|task| {
            let key = task % blocks * BACK_KEYS;
            failed.note(pass.run(&Task {
                keys: key..s.keys.min(key + BACK_KEYS),
                for_queries: false,
                ..whole(task / blocks)
            }));
        });
    }
    failed.result().map_err(Fault::OutOfMemory)
}

impl<P: Products> Pass<'_, P> {
    /// `delta` of some of all rows, counted head by head.
    fn deltas(&self, range: Range<usize>) -> Result<(), String> {
        let s = &self.s;
        let buffer = Buffer::take::<P::C>(2 * s.value)?;
        let (a, b) = (
            buffer.get::<P::C>(),
            buffer.get::<P::C>().wrapping_add(s.value),
        );
        for at in range {
            let (head, query) = (at / s.queries, (at % s.queries) as isize);
            let offsets = s.offsets(head / s.groups);
            let group = (head % s.groups) as isize;
            // SAFETY: rows of checked operands; each row of delta is written once.
            unsafe {
                for (o, offset, to) in [(self.g, offsets[3], a), (self.out, offsets[4], b)] {
                    let (rs, cs) = along(&o);
                    let from = offset + group * group_stride(&o) + query * rs;
                    let bytes = if cs == 1 { s.value * o.dtype.size() } else { 0 };
                    prefetch_bytes(Place::of(&o).at(from + ROWS_AHEAD * rs), bytes);
                    Place::of(&o).gather(from, cs, to, s.value);
                }
                *self.delta.get().add(at) = inner::<P::C>(a, b, s.value);
            }
        }
        buffer.give_back();
        Ok(())
    }

    fn run(&self, task: &Task) -> Result<(), String> {
        let s = &self.s;
        let zero = <P::C as Real>::ZERO;
        let block = s.block::<P>(self.causal).min(task.queries.len().max(1));
        let [oq, ok, ov, og, _, om, ogq, ogk, ogv] = s.offsets(task.item);
        let width = BACK_KEYS.min(task.keys.len().max(1));
        let (d, e) = (s.head, s.value);
        // gq is summed where it lies if it is a plain array of C.
        let direct = self.gq.dtype == P::C::DTYPE && along(&self.gq).1 == 1;
        let aside = task.for_queries && !direct;
        let (rows_of_block, _) = P::padded(block, 0);
        let (rows_of_group, columns_of_gq) = P::padded(task.queries.len(), d);
        let (rows_of_gk, _) = P::padded(d, 0);
        let (rows_of_gv, _) = P::padded(e, 0);
        let room_of_keys = (rows_of_gk + rows_of_gv) * A_STRIDE;
        let room_aside = if aside {
            task.groups.len() * rows_of_group * columns_of_gq
        } else {
            0
        };
        let rooms = [
            P::rows_room(block, d),                             // q
            P::rows_room(block, e),                             // g
            P::rows_room(d, block).max(P::rows_room(e, block)), // qᵀ or gᵀ
            rows_of_block * A_STRIDE,                           // scores
            rows_of_block * A_STRIDE,                           // their gradient
            P::scores_room(block, width),                       // one of them as an operand
            P::columns_room(width, d).max(width * d),           // kᵀ, then rows of gk
            P::columns_room(width, e).max(width * e),           // vᵀ, then rows of gv
            P::columns_room(d, width),                          // k
            room_of_keys,                                       // gkᵀ, gvᵀ
            room_aside,
        ];
        let buffer = Buffer::take::<P::C>(rooms.iter().sum())?;
        let mut parts = [buffer.get::<P::C>(); 11];
        for i in 1..parts.len() {
            parts[i] = parts[i - 1].wrapping_add(rooms[i - 1]);
        }
        let [
            packed_q,
            packed_g,
            turned,
            scores,
            slopes,
            as_operand,
            packed_kt,
            packed_vt,
            packed_k,
            gkt,
            gq_aside,
        ] = parts;
        let gvt = gkt.wrapping_add(rows_of_gk * A_STRIDE);
        // Row `query` of the sums of gq of a group.
        let gq_row = |group: usize, query: usize| {
            if aside {
                let at = (group - task.groups.start) * rows_of_group + query - task.queries.start;
                return (gq_aside.wrapping_add(at * columns_of_gq), columns_of_gq);
            }
            let stride = along(&self.gq).0;
            let from = ogq + group as isize * group_stride(&self.gq) + query as isize * stride;
            (Place::of(&self.gq).at(from).cast::<P::C>(), stride as usize)
        };
        // SAFETY: parts of the buffer, sized above; windows of checked operands; what is written belongs to this task.
        unsafe {
            P::begin();
            if task.for_queries {
                if aside {
                    core::slice::from_raw_parts_mut(gq_aside, room_aside).fill(zero);
                } else {
                    for group in task.groups.clone() {
                        for query in task.queries.clone() {
                            core::slice::from_raw_parts_mut(gq_row(group, query).0, d).fill(zero);
                        }
                    }
                }
            }
            for key in task.keys.clone().step_by(BACK_KEYS) {
                let whole = BACK_KEYS.min(task.keys.end - key);
                let ((rk, ck), (rv, cv)) = (along(&self.k), along(&self.v));
                let (from_k, from_v) = (ok + key as isize * rk, ov + key as isize * rv);
                P::pack_columns(&window(&self.k, from_k, (d, whole), (ck, rk)), packed_kt);
                P::pack_columns(&window(&self.v, from_v, (e, whole), (cv, rv)), packed_vt);
                if task.for_queries {
                    P::pack_columns(&window(&self.k, from_k, (whole, d), (rk, ck)), packed_k);
                }
                if task.for_keys {
                    core::slice::from_raw_parts_mut(gkt, room_of_keys).fill(zero);
                }
                for group in task.groups.clone() {
                    for query in task.queries.clone().step_by(block) {
                        let rows = block.min(task.queries.end - query);
                        // Of a causal block, the keys that its last query sees.
                        let count = if self.causal {
                            whole.min((query + rows).saturating_sub(key))
                        } else {
                            whole
                        };
                        if count == 0 {
                            continue;
                        }
                        let of = |o: &Operand, offset: isize, columns: usize| {
                            let (rs, cs) = along(o);
                            let from =
                                offset + group as isize * group_stride(o) + query as isize * rs;
                            window(o, from, (rows, columns), (rs, cs))
                        };
                        let (q, g) = (of(&self.q, oq, d), of(&self.g, og, e));
                        for (m, packed, columns, depth, to) in [
                            (&q, packed_q, packed_kt, d, scores),
                            (&g, packed_g, packed_vt, e, slopes),
                        ] {
                            let packed = P::pack_rows(m, packed);
                            let size = (rows, count, depth);
                            P::multiply(size, packed, (columns, depth), (to, A_STRIDE), true);
                        }
                        if e == 0 {
                            for r in 0..rows {
                                core::slice::from_raw_parts_mut(slopes.add(r * A_STRIDE), count)
                                    .fill(zero);
                            }
                        }
                        let mask = (&*self.mask, om, group as isize);
                        let at = Block {
                            query,
                            rows,
                            key,
                            count,
                        };
                        let block = mask_scores(scores, &at, mask, self.causal, self.scale);
                        let at = (task.item * s.groups + group) * s.queries + query;
                        let of = Slopes {
                            dp: slopes,
                            lse: self.lse.get().add(at),
                            delta: self.delta.get().add(at),
                            by: self.scale,
                        };
                        P::C::weights(block, of);
                        if task.for_queries {
                            P::multiply_scores(
                                (rows, d, count),
                                slopes,
                                as_operand,
                                (packed_k, whole),
                                gq_row(group, query),
                                false,
                            );
                        }
                        if task.for_keys {
                            for (m, from, to) in [(g, scores, gvt), (q, slopes, gkt)] {
                                let turned = P::pack_rows(&m.transposed(), turned);
                                let size = (m.cols, count, rows);
                                P::multiply_by_scores(size, turned, from, as_operand, to);
                            }
                        }
                    }
                }
                if task.for_keys {
                    for (o, offset, from, columns, free) in [
                        (&self.gk, ogk, gkt, d, packed_kt),
                        (&self.gv, ogv, gvt, e, packed_vt),
                    ] {
                        let (rs, cs) = along(o);
                        let line = |c: usize| from.add(c * A_STRIDE).cast_const();
                        let to = |c: usize| offset + key as isize * rs + c as isize * cs;
                        let eights = if cs == 1 && rs > 0 {
                            columns / 8 * 8
                        } else {
                            0
                        };
                        // Rows of other types are made from rows of C; packed keys are not needed any more.
                        let (rows, stride) = if o.dtype == P::C::DTYPE {
                            (Place::of(o).at(to(0)).cast::<P::C>(), rs as usize)
                        } else {
                            (free, eights)
                        };
                        for c in (0..eights).step_by(8) {
                            let lines = core::array::from_fn(|i| line(c + i));
                            P::C::transpose(&lines, whole, rows.wrapping_add(c), stride);
                        }
                        if o.dtype != P::C::DTYPE && eights > 0 {
                            for r in 0..whole {
                                let from = rows.wrapping_add(r * eights);
                                Place::of(o).scatter(to(0) + r as isize * rs, 1, from, eights);
                            }
                        }
                        for c in eights..columns {
                            Place::of(o).scatter(to(c), rs, line(c), whole);
                        }
                    }
                }
            }
            if aside {
                let (rs, cs) = along(&self.gq);
                for group in task.groups.clone() {
                    for query in task.queries.clone() {
                        let to =
                            ogq + group as isize * group_stride(&self.gq) + query as isize * rs;
                        Place::of(&self.gq).scatter(to, cs, gq_row(group, query).0.cast_const(), d);
                    }
                }
            }
            P::end();
        }
        buffer.give_back();
        Ok(())
    }
}
