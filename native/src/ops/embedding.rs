//! Embedding: gathering rows of a table, and gradients that exist only for the rows a batch has read.
//! Row-sparse sums are three buffers: row numbers idx [N] in ascending order, their values [N, D], and how many of the
//! N are in use, count [1]. The order in which values are summed depends on the batch only, never on the threads.

use crate::dtype::{DType, Element, Number};
use crate::fault::{Fault, Outcome};
use crate::instruction::{Call, Operand, Row};
use crate::memory::Scratch;
use crate::ops::map::Shared;
use crate::{bail, pool, simd, stream};

/// Runs `$body` with `$E` bound to the float type `$dtype` and `$C` to the type it is computed in.
macro_rules! with_float {
    ($dtype:expr, $E:ident, $C:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F32 => {
                type $E = f32;
                type $C = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $E = f64;
                type $C = f64;
                $body
            }
            $crate::dtype::DType::F16 => {
                type $E = $crate::dtype::F16;
                type $C = f32;
                $body
            }
            $crate::dtype::DType::Bf16 => {
                type $E = $crate::dtype::Bf16;
                type $C = f32;
                $body
            }
            _ => unreachable!("kernels check for float types first"),
        }
    };
}
pub(crate) use with_float;

pub(super) mod cuda;

pub const ROWS: &[Row] = &[
    Row {
        name: "gather_rows",
        outs: 1,
        ins: (2, 2),
        scalars: (1, 1),
        alias: false,
        run: gather,
        cuda: Some(cuda::gather),
    },
    Row {
        name: "sum_rows",
        outs: 3,
        ins: (2, 2),
        scalars: (3, 3),
        alias: false,
        run: sum,
        cuda: Some(cuda::sum),
    },
    Row {
        name: "add_rows",
        outs: 1,
        ins: (3, 3),
        scalars: (0, 0),
        alias: false,
        run: add,
        cuda: Some(cuda::add),
    },
    Row {
        name: "merge_rows",
        outs: 3,
        ins: (6, 6),
        scalars: (0, 0),
        alias: false,
        run: merge,
        cuda: Some(cuda::merge),
    },
    Row {
        name: "limit_rows",
        outs: 1,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: limit,
        cuda: Some(cuda::limit),
    },
];

/// Bytes that one thread moves at a time.
const GRAIN: usize = 64 * 1024;

/// Rows to a chunk, so that a chunk moves about `GRAIN` bytes.
fn rows_per_chunk(row_bytes: usize) -> usize {
    (GRAIN / row_bytes.max(1)).clamp(1, 4096)
}

/// A list of row numbers, int64 or int32, dense.
#[derive(Clone, Copy)]
pub struct Indices<'a> {
    o: Shared<'a>,
    at: usize,
    pub len: usize,
}

impl<'a> Indices<'a> {
    /// Operand `at` of `operands` as row numbers.
    pub fn new(call: &Call, operands: &'a [Operand], at: usize) -> Outcome<Indices<'a>> {
        let o = &operands[at];
        call.require(matches!(o.dtype, DType::I64 | DType::I32), || {
            format!("row numbers are {}, not int64 or int32", o.dtype.name())
        })?;
        call.require(o.is_contiguous(), || {
            "row numbers are not contiguous".into()
        })?;
        Ok(Indices {
            o: Shared(operands),
            at,
            len: o.numel(),
        })
    }

    #[inline(always)]
    pub fn get(&self, i: usize) -> i64 {
        debug_assert!(i < self.len);
        let o = self.o.get(self.at);
        // SAFETY: `i` is below the count of dense elements.
        unsafe {
            if o.dtype == DType::I64 {
                *o.ptr.cast::<i64>().add(i)
            } else {
                i64::from(*o.ptr.cast::<i32>().add(i))
            }
        }
    }

    /// Fails at the first number outside a table of `rows` rows.
    pub fn check(&self, count: usize, rows: usize) -> Outcome {
        self.check_for("embedding", count, rows)
    }

    /// The same, with the name of the op that the text speaks of.
    pub fn check_for(&self, op: &str, count: usize, rows: usize) -> Outcome {
        for i in 0..count {
            let row = self.get(i);
            if row < 0 || row as u64 >= rows as u64 {
                return Err(Fault::Index(format!(
                    "Cannot {op}: index {row} at position {i} is out of range for a table of {rows} rows"
                )));
            }
        }
        Ok(())
    }
}

/// The number of rows in use, read from its one-element operand, checked against the room.
pub fn used(call: &Call, count: &Operand, room: usize) -> Outcome<usize> {
    call.require(count.dtype == DType::I64 && count.numel() == 1, || {
        "the count is not one int64".into()
    })?;
    // SAFETY: one int64 lies there.
    let n = unsafe { *count.ptr.cast::<i64>() };
    if n < 0 || n as u64 > room as u64 {
        bail!(
            "{}: {n} rows are said to be in use, there is room for {room}",
            call.name
        );
    }
    Ok(n as usize)
}

fn matrix(call: &Call, o: &Operand, what: &str) -> Outcome<(usize, usize)> {
    match *o.dims() {
        [n, d] => Ok((n, d)),
        _ => bail!("{}: {what} has dims {:?}, not two", call.name, o.dims()),
    }
}

fn dense_matrix(call: &Call, o: &Operand, what: &str) -> Outcome<(usize, usize)> {
    call.require(o.is_contiguous(), || format!("{what} is not contiguous"))?;
    matrix(call, o, what)
}

/// B, N and D of a gather, checked.
fn gathered(call: &Call) -> Outcome<(usize, usize, usize)> {
    let operands = call.all();
    let (out, table) = (&operands[0], &operands[1]);
    let (b, d) = dense_matrix(call, out, "the output")?;
    let (n, columns) = matrix(call, table, "the table")?;
    let idx = Indices::new(call, operands, 2)?;
    call.require(
        d == columns && idx.len == b && out.dtype == table.dtype,
        || {
            format!(
                "{b} rows of {d} {} from {} numbers and rows of {columns} {}",
                out.dtype.name(),
                idx.len,
                table.dtype.name()
            )
        },
    )?;
    Ok((b, n, d))
}

/// out[b] = table[idx[b]]; out (B, D) dense, table (N, D) of any strides, idx (B). Scalar: the row that reads as
/// zeros, or -1.
fn gather(call: &Call) -> Outcome {
    let operands = call.all();
    let (out, table) = (&operands[0], &operands[1]);
    let (b, n, d) = gathered(call)?;
    let idx = Indices::new(call, operands, 2)?;
    idx.check(b, n)?;
    let zero = call.int(0);
    let (size, bytes) = (out.dtype.size(), d * out.dtype.size());
    let (step, stride) = (
        table.strides()[0] * size as isize,
        table.strides()[1] * size as isize,
    );
    let dense = table.strides()[1] == 1 || d <= 1;
    let streams = dense && bytes.is_multiple_of(64) && stream::pays(out);
    let shared = Shared(operands);
    pool::parallel_ranges(b, rows_per_chunk(bytes), &|range| {
        let (out, table) = (shared.get(0).ptr, shared.get(1).ptr);
        for i in range.clone() {
            let row = idx.get(i);
            // SAFETY: the row was checked; offsets stay inside the checked operands.
            unsafe {
                let (to, from) = (out.add(i * bytes), table.offset(row as isize * step));
                if i + 4 < range.end && dense {
                    stream::prefetch_bytes(
                        table.offset(idx.get(i + 4) as isize * step),
                        bytes.min(1024),
                    );
                }
                if row == zero {
                    core::ptr::write_bytes(to, 0, bytes);
                } else if streams {
                    stream::copy(from, to, bytes);
                } else if dense {
                    core::ptr::copy_nonoverlapping(from, to, bytes);
                } else {
                    for c in 0..d {
                        core::ptr::copy_nonoverlapping(
                            from.offset(c as isize * stride),
                            to.add(c * size),
                            size,
                        );
                    }
                }
            }
        }
        if streams {
            stream::fence();
        }
    });
    Ok(())
}

simd! {
    /// acc[c] = x[c * stride] or acc[c] += x[c * stride], in the compute type.
    unsafe fn take_in<E: Element, C: Number>(x: *const E, stride: isize, acc: *mut C, d: usize, first: bool) {
        // SAFETY: the caller hands in d elements of each.
        unsafe {
            if first && stride == 1 {
                for c in 0..d { *acc.add(c) = C::load(*x.add(c)); }
            } else if first {
                for c in 0..d { *acc.add(c) = C::load(*x.offset(c as isize * stride)); }
            } else if stride == 1 {
                for c in 0..d { *acc.add(c) = *acc.add(c) + C::load(*x.add(c)); }
            } else {
                for c in 0..d { *acc.add(c) = *acc.add(c) + C::load(*x.offset(c as isize * stride)); }
            }
        }
    }
}

simd! {
    /// out[c] = acc[c] * scale, in the element type.
    unsafe fn put_out<E: Element, C: Number>(acc: *const C, out: *mut E, d: usize, scale: C) {
        // SAFETY: the caller hands in d elements of each.
        unsafe { for c in 0..d { *out.add(c) = (*acc.add(c) * scale).store(); } }
    }
}

/// Columns that are summed at a time, in a buffer on the stack.
const BLOCK: usize = 256;

/// Room for rows, D, B and the table's rows of a sum, checked.
fn summed(call: &Call) -> Outcome<(usize, usize, usize, usize)> {
    let operands = call.all();
    let [idx_out, values, count, _, g] = operands else {
        bail!("sum_rows: takes 5 operands")
    };
    let (room, d) = dense_matrix(call, values, "the values")?;
    let (b, columns) = matrix(call, g, "the gradient")?;
    let read = Indices::new(call, operands, 3)?;
    let n = call.count(0)?;
    call.require(
        d == columns && read.len == b && values.dtype == g.dtype && g.dtype.is_float(),
        || {
            format!(
                "{b} rows of {columns} {} and {} numbers cannot give rows of {d} {}",
                g.dtype.name(),
                read.len,
                values.dtype.name()
            )
        },
    )?;
    call.require(
        idx_out.dtype == DType::I64
            && idx_out.is_contiguous()
            && idx_out.numel() == room
            && room >= b.min(n),
        || format!("room for {room} rows is too little for {b}"),
    )?;
    call.require(count.dtype == DType::I64 && count.numel() == 1, || {
        "the count is not one int64".into()
    })?;
    call.require(b < 1 << 32 && n <= 1 << 32, || {
        format!("{b} numbers of {n} rows are too many")
    })?;
    Ok((room, d, b, n))
}

/// The gradient of a gather: each distinct row's values are summed in the order in which the batch has them.
/// outs idx (N), values (N, D), count (1); ins the batch's row numbers (B), g (B, D) of any strides; N at least the
/// smaller of B and the table's rows. Scalars: rows of the table, the row that gets nothing (or -1), and whether each
/// sum is divided by how often its row was read.
fn sum(call: &Call) -> Outcome {
    let (_, d, b, n) = summed(call)?;
    let operands = call.all();
    let [idx_out, _, count, _, g] = operands else {
        unreachable!()
    };
    let read = Indices::new(call, operands, 3)?;
    let (padding, mean) = (call.int(1), call.int(2) != 0);
    read.check(b, n)?;
    // Sorting (row, position) as one number groups the rows and keeps the batch's order inside each.
    let mut scratch = Scratch::new::<u64>(b)?;
    // SAFETY: u64 takes any bits; there is room for b.
    let keys: &mut [u64] = unsafe { scratch.slice(b) };
    let mut m = 0;
    for i in 0..b {
        let row = read.get(i);
        if row != padding {
            keys[m] = (row as u64) << 32 | i as u64;
            m += 1;
        }
    }
    let keys = &mut keys[..m];
    keys.sort_unstable();
    let mut starts = Scratch::new::<u32>(m + 1)?;
    // SAFETY: u32 takes any bits; there is room.
    let starts: &mut [u32] = unsafe { starts.slice(m + 1) };
    let mut distinct = 0;
    for i in 0..m {
        if i == 0 || keys[i] >> 32 != keys[i - 1] >> 32 {
            starts[distinct] = i as u32;
            distinct += 1;
        }
    }
    starts[distinct] = m as u32;
    // SAFETY: `idx_out` has room for min(b, n) rows and `count` for one number; both are dense int64.
    unsafe {
        for (s, &start) in starts[..distinct].iter().enumerate() {
            *idx_out.ptr.cast::<i64>().add(s) = (keys[start as usize] >> 32) as i64;
        }
        *count.ptr.cast::<i64>() = distinct as i64;
    }
    let (keys, starts, shared) = (&*keys, &*starts, Shared(operands));
    let (step, stride) = (g.strides()[0], g.strides()[1]);
    with_float!(g.dtype, E, C => {
        pool::parallel_ranges(distinct, rows_per_chunk(d * size_of::<E>()), &|range| {
            let mut acc = [C::default(); BLOCK];
            for s in range {
                let members = &keys[starts[s] as usize..starts[s + 1] as usize];
                let scale = if mean { 1.0 / members.len() as f64 } else { 1.0 };
                for from in (0..d).step_by(BLOCK) {
                    let width = BLOCK.min(d - from);
                    for (k, &key) in members.iter().enumerate() {
                        let i = (key & 0xffff_ffff) as isize;
                        // SAFETY: position i and the columns lie inside the checked gradient.
                        unsafe {
                            let x = shared.get(4).ptr.cast::<E>().offset(i * step + from as isize * stride);
                            take_in::<E, C>(x, stride, acc.as_mut_ptr(), width, k == 0);
                        }
                    }
                    // SAFETY: row s lies inside the values; each row belongs to one chunk.
                    unsafe {
                        let out = shared.get(1).ptr.cast::<E>().add(s * d + from);
                        put_out::<E, C>(acc.as_ptr(), out, width, C::load(scale));
                    }
                }
            }
        });
    });
    Ok(())
}

/// N and D of an addition of rows, checked.
fn added(call: &Call) -> Outcome<(usize, usize)> {
    let operands = call.all();
    let [table, _, values, _] = operands else {
        bail!("add_rows: takes 4 operands")
    };
    let (n, d) = dense_matrix(call, table, "the table")?;
    let (room, columns) = dense_matrix(call, values, "the values")?;
    let idx = Indices::new(call, operands, 1)?;
    call.require(
        d == columns && idx.len == room && values.dtype == table.dtype && table.dtype.is_float(),
        || {
            format!(
                "rows of {columns} {} cannot be added to rows of {d} {}",
                values.dtype.name(),
                table.dtype.name()
            )
        },
    )?;
    Ok((n, d))
}

/// table[idx[i]] += values[i] for the rows in use. out table (N, D) dense; ins idx (R), values (R, D), count (1).
fn add(call: &Call) -> Outcome {
    let operands = call.all();
    let (n, d) = added(call)?;
    let (table, idx) = (&operands[0], Indices::new(call, operands, 1)?);
    let rows = used(call, &operands[3], idx.len)?;
    idx.check(rows, n)?;
    call.require((1..rows).all(|i| idx.get(i - 1) < idx.get(i)), || {
        "row numbers do not ascend".into()
    })?;
    let shared = Shared(operands);
    with_float!(table.dtype, E, C => {
        pool::parallel_ranges(rows, rows_per_chunk(d * size_of::<E>()), &|range| {
            for i in range {
                // SAFETY: rows were checked and differ, so each is written by one thread.
                unsafe {
                    let to = shared.get(0).ptr.cast::<E>().add(idx.get(i) as usize * d);
                    sum_into::<E, C>(to, shared.get(2).ptr.cast::<E>().add(i * d), to, d);
                }
            }
        });
    });
    Ok(())
}

simd! {
    /// out[c] = a[c] + b[c]; out may be a or b.
    unsafe fn sum_into<E: Element, C: Number>(a: *const E, b: *const E, out: *mut E, d: usize) {
        // SAFETY: the caller hands in d elements of each.
        unsafe { for c in 0..d { *out.add(c) = (C::load(*a.add(c)) + C::load(*b.add(c))).store(); } }
    }
}

/// Room for rows and D of a merge, checked.
fn merged(call: &Call) -> Outcome<(usize, usize)> {
    let operands = call.all();
    let [idx_out, values, count, _, va, _, _, vb, _] = operands else {
        bail!("merge_rows: takes 9 operands")
    };
    let (room, d) = dense_matrix(call, values, "the values")?;
    let (room_a, da) = dense_matrix(call, va, "the first values")?;
    let (room_b, db) = dense_matrix(call, vb, "the second values")?;
    let (a, b) = (
        Indices::new(call, operands, 3)?,
        Indices::new(call, operands, 6)?,
    );
    let dtype = values.dtype;
    call.require(
        da == d && db == d && va.dtype == dtype && vb.dtype == dtype && dtype.is_float(),
        || {
            format!(
                "rows of {da} {} and {db} {} cannot make rows of {d} {}",
                va.dtype.name(),
                vb.dtype.name(),
                dtype.name()
            )
        },
    )?;
    call.require(a.len == room_a && b.len == room_b, || {
        "values and row numbers differ in count".into()
    })?;
    call.require(
        idx_out.dtype == DType::I64 && idx_out.is_contiguous() && idx_out.numel() == room,
        || "no room for row numbers".into(),
    )?;
    call.require(count.dtype == DType::I64 && count.numel() == 1, || {
        "the count is not one int64".into()
    })?;
    Ok((room, d))
}

/// The sum of two row-sparse sums. outs idx (N), values (N, D), count (1); ins the same of a and of b.
fn merge(call: &Call) -> Outcome {
    let (room, d) = merged(call)?;
    let operands = call.all();
    let [idx_out, values, count, _, _, ca, _, _, cb] = operands else {
        unreachable!()
    };
    let dtype = values.dtype;
    let (a, b) = (
        Indices::new(call, operands, 3)?,
        Indices::new(call, operands, 6)?,
    );
    let (na, nb) = (used(call, ca, a.len)?, used(call, cb, b.len)?);
    // Where each row of the result comes from: its place in a and in b, NONE where it has none.
    const NONE: u32 = u32::MAX;
    let mut scratch = Scratch::new::<[u32; 2]>(na + nb)?;
    // SAFETY: plain numbers; there is room.
    let sources: &mut [[u32; 2]] = unsafe { scratch.slice(na + nb) };
    let (mut i, mut j, mut m) = (0, 0, 0);
    while i < na || j < nb {
        let x = if i < na { a.get(i) } else { i64::MAX };
        let y = if j < nb { b.get(j) } else { i64::MAX };
        call.require(m < room, || format!("room for {room} rows is too little"))?;
        sources[m] = [
            if x <= y && i < na { i as u32 } else { NONE },
            if y <= x && j < nb { j as u32 } else { NONE },
        ];
        // SAFETY: m is below the room.
        unsafe { *idx_out.ptr.cast::<i64>().add(m) = x.min(y) };
        i += usize::from(sources[m][0] != NONE);
        j += usize::from(sources[m][1] != NONE);
        m += 1;
    }
    // SAFETY: one dense int64.
    unsafe { *count.ptr.cast::<i64>() = m as i64 };
    let (sources, shared) = (&*sources, Shared(operands));
    with_float!(dtype, E, C => {
        pool::parallel_ranges(m, rows_per_chunk(d * size_of::<E>()), &|range| {
            for r in range {
                let row = |k: usize, i: u32| shared.get(k).ptr.cast::<E>().wrapping_add(i as usize * d);
                let out = row(1, r as u32);
                // SAFETY: places in a, b and the result are below their rooms.
                unsafe {
                    match sources[r] {
                        [x, NONE] => core::ptr::copy_nonoverlapping(row(4, x), out, d),
                        [NONE, y] => core::ptr::copy_nonoverlapping(row(7, y), out, d),
                        [x, y] => sum_into::<E, C>(row(4, x), row(7, y), out, d),
                    }
                }
            }
        });
    });
    Ok(())
}

/// N and D of a table whose rows are limited, checked.
fn limited(call: &Call) -> Outcome<(usize, usize)> {
    let table = &call.all()[0];
    call.require(table.dtype.is_float(), || {
        format!("the table is {}, not a float type", table.dtype.name())
    })?;
    dense_matrix(call, table, "the table")
}

/// Rescales the rows that a batch reads to a norm of at most `most`. out table (N, D) dense; ins row numbers (B).
/// Scalars: most, and the norm's order.
fn limit(call: &Call) -> Outcome {
    let (n, d) = limited(call)?;
    let operands = call.all();
    let table = &operands[0];
    let idx = Indices::new(call, operands, 1)?;
    idx.check(idx.len, n)?;
    let (most, order) = (call.float(0), call.float(1));
    let mut rows: Vec<i64> = (0..idx.len).map(|i| idx.get(i)).collect();
    rows.sort_unstable();
    rows.dedup();
    let (rows, shared) = (&rows, Shared(operands));
    with_float!(table.dtype, E, _C => pool::parallel_ranges(rows.len(), rows_per_chunk(d * size_of::<E>()), &|range| {
        for &row in &rows[range] {
            // SAFETY: rows were checked and differ.
            let row = unsafe { core::slice::from_raw_parts_mut(shared.get(0).ptr.cast::<E>().add(row as usize * d), d) };
            let norm = if order == f64::INFINITY {
                row.iter().fold(0.0f64, |a, x| a.max(x.to_f64().abs()))
            } else if order == 2.0 {
                row.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>().sqrt()
            } else {
                row.iter().map(|x| x.to_f64().abs().powf(order)).sum::<f64>().powf(1.0 / order)
            };
            if norm > most {
                let scale = most / (norm + 1e-7);
                row.iter_mut().for_each(|x| *x = E::from_f64(x.to_f64() * scale));
            }
        }
    }));
    Ok(())
}
