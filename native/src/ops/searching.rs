//! Searching in what is sorted: `searchsorted`, `isin`, and groups of equal rows for `unique`.

mod cuda;

use crate::dtype::{Compute, DType, Element, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::ops::indexing::GRAIN;
use crate::ops::map::Shared;
use crate::ops::sorting::Keyed;
use crate::ops::walk::Walk;
use crate::{bail, pool, with_compute, with_dtype};

pub const ROWS: &[Row] = &[
    Row {
        name: "searchsorted",
        outs: 1,
        ins: (2, 3),
        scalars: (1, 1),
        alias: false,
        run: searchsorted,
        cuda: Some(cuda::searchsorted),
    },
    Row {
        name: "isin",
        outs: 1,
        ins: (2, 2),
        scalars: (2, 2),
        alias: false,
        run: isin,
        cuda: Some(cuda::isin),
    },
    Row {
        name: "sort_rows",
        outs: 1,
        ins: (1, 1),
        scalars: (0, 0),
        alias: false,
        run: sort_rows,
        cuda: Some(cuda::sort_rows),
    },
    Row {
        name: "unique_count",
        outs: 1,
        ins: (2, 2),
        scalars: (0, 0),
        alias: false,
        run: unique_count,
        cuda: Some(cuda::unique_count),
    },
    Row {
        name: "unique",
        outs: 3,
        ins: (2, 2),
        scalars: (0, 0),
        alias: false,
        run: unique,
        cuda: Some(cuda::unique),
    },
];

/// The first place from 0 to n at which `before` does not hold any more.
#[inline(always)]
fn first_not(n: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let mid = (low + high) / 2;
        if before(mid) {
            low = mid + 1
        } else {
            high = mid
        }
    }
    low
}

/// Where a search finds its sequences: strides along the dims of the output, and what lies along a sequence.
struct Search {
    along: Vec<isize>,
    order: Vec<isize>,
    place: Vec<isize>,
    length: usize,
    step: isize,
    order_step: isize,
    compute: Compute,
}

impl Search {
    fn new(call: &Call) -> Outcome<Search> {
        let (out, seq, values, sorter) = (
            &call.outs()[0],
            &call.ins()[0],
            &call.ins()[1],
            call.ins().get(2),
        );
        let number = values.ndim == 0;
        let leading = seq.ndim == 1
            || (seq.ndim == out.ndim && seq.dims()[..seq.ndim - 1] == out.dims()[..out.ndim - 1]);
        let sorted = sorter.is_none_or(|s| s.dims() == seq.dims() && s.dtype == DType::I64);
        if seq.ndim == 0
            || !leading
            || !sorted
            || (!number && values.dims() != out.dims())
            || !matches!(out.dtype, DType::I64 | DType::I32)
        {
            bail!(
                "searchsorted: {:?} in {:?} into {} {:?}",
                values.dims(),
                seq.dims(),
                out.dtype.name(),
                out.dims()
            );
        }
        // The sequence's leading strides, stretched over the last dim of the values.
        let zeros = vec![0isize; out.ndim];
        let lead = |o: &Operand| match (seq.ndim == 1, out.ndim) {
            (true, _) | (_, 0) => zeros.clone(),
            (false, m) => o.strides()[..m - 1].iter().copied().chain([0]).collect(),
        };
        let compute = if number {
            wider(values.dtype.compute(), seq.dtype.compute())
        } else {
            seq.dtype.compute()
        };
        Ok(Search {
            along: lead(seq),
            order: sorter.map_or(zeros.clone(), lead),
            place: if number {
                zeros.clone()
            } else {
                values.strides().to_vec()
            },
            length: seq.dims()[seq.ndim - 1],
            step: seq.strides()[seq.ndim - 1],
            order_step: sorter.map_or(0, |s| s.strides()[seq.ndim - 1]),
            compute,
        })
    }
}

/// out int64 or int32 (…, V) = where each value (…, V), or the one number, belongs in sequences sorted along their
/// last dim, (…, S) or (S). Inputs: sequence, values, and the order that sorts the sequence. Scalar: 1 to go behind
/// equal ones.
fn searchsorted(call: &Call) -> Outcome {
    let (out, seq) = (&call.outs()[0], &call.ins()[0]);
    let search = Search::new(call)?;
    let right = call.count(0)? == 1;
    let (n, step, order_step) = (search.length, search.step, search.order_step);
    let walk = Walk::<4>::new(
        out.dims(),
        [out.strides(), &search.place, &search.along, &search.order],
    );
    let shared = Shared(call.all());
    let failed = core::sync::atomic::AtomicBool::new(false);
    with_compute!(search.compute, C => with_dtype!(seq.dtype, S => {
        let read = |o: isize| with_dtype!(shared.get(2).dtype, V => {
            // SAFETY: the walk stays inside the values.
            C::load(unsafe { *shared.get(2).ptr.cast::<V>().offset(o) })
        });
        pool::parallel_ranges(walk.numel, GRAIN / 16, &|range| walk.runs(range.start, range.len(), |[o, v, s, p], [os, vs, ss, ps], length| {
            for i in 0..length as isize {
                let value: C = read(v + i * vs);
                let at = |j: usize| {
                    let mut j = j as isize;
                    if sorter_present(&shared) {
                        // SAFETY: the sorter has the sequence's dims.
                        let k = unsafe { *shared.get(3).ptr.cast::<i64>().offset(p + i * ps + j * order_step) };
                        if k < 0 || k >= n as i64 {
                            failed.store(true, core::sync::atomic::Ordering::Relaxed);
                            return value;
                        }
                        j = k as isize;
                    }
                    // SAFETY: j lies inside the last dim of the sequence.
                    C::load(unsafe { *shared.get(1).ptr.cast::<S>().offset(s + i * ss + j * step) })
                };
                // Written so that a NaN among the sequence or the values goes where PyTorch puts it.
                let found = first_not(n, |j| if right { !gt(at(j), value) } else { !ge(at(j), value) });
                let to = shared.get(0);
                // SAFETY: the walk stays inside the output.
                unsafe {
                    if to.dtype == DType::I64 {
                        *to.ptr.cast::<i64>().offset(o + i * os) = found as i64;
                    } else {
                        *to.ptr.cast::<i32>().offset(o + i * os) = found as i32;
                    }
                }
            }
        }));
    }));
    call.require(!failed.into_inner(), || {
        format!("the sorter holds an index outside 0 to {n}")
    })
}

/// A number is compared as a float unless both are integers.
fn wider(a: Compute, b: Compute) -> Compute {
    if a == b || b == Compute::F64 {
        b
    } else {
        Compute::F64
    }
}

fn sorter_present(shared: &Shared) -> bool {
    shared.0.len() == 4
}

#[inline(always)]
fn gt<C: PartialOrd>(a: C, b: C) -> bool {
    a > b
}
#[inline(always)]
fn ge<C: PartialOrd>(a: C, b: C) -> bool {
    a >= b
}

/// The operands of `isin`: out, elements, sorted numbers.
fn among(call: &Call) -> Outcome<(&Operand, &Operand, &Operand)> {
    let (out, x, test) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    if out.dtype != DType::Bool || out.dims() != x.dims() || test.ndim != 1 {
        bail!(
            "isin: {:?} among {:?} into {} {:?}",
            x.dims(),
            test.dims(),
            out.dtype.name(),
            out.dims()
        );
    }
    Ok((out, x, test))
}

/// out bool = whether each element occurs among sorted numbers (M). Scalars: the dtype to compare in, 1 to invert.
fn isin(call: &Call) -> Outcome {
    let (out, x, test) = among(call)?;
    let (compute, invert) = (call.dtype(0)?.compute(), call.count(1)? == 1);
    let (n, step) = (test.dims()[0], test.strides()[0]);
    let walk = Walk::<2>::new(x.dims(), [out.strides(), x.strides()]);
    let shared = Shared(call.all());
    let (xd, td) = (x.dtype, test.dtype);
    with_compute!(compute, C => {
        let at = |j: usize| with_dtype!(td, T => {
            // SAFETY: j lies inside the numbers.
            C::load(unsafe { *shared.get(2).ptr.cast::<T>().offset(j as isize * step) })
        });
        pool::parallel_ranges(walk.numel, GRAIN / 8, &|range| with_dtype!(xd, E => {
            walk.runs(range.start, range.len(), |[o, x], [os, xs], length| for i in 0..length as isize {
                // SAFETY: the walk stays inside both.
                unsafe {
                    let value = C::load(*shared.get(1).ptr.cast::<E>().offset(x + i * xs));
                    let place = first_not(n, |j| at(j) < value);
                    let found = place < n && at(place) == value;
                    *shared.get(0).ptr.offset(o + i * os) = u8::from(found != invert);
                }
            });
        }));
    });
    Ok(())
}

/// x as rows (N, W), or an error.
fn rows(call: &Call, x: &Operand) -> Outcome<(usize, usize)> {
    match x.dims() {
        &[n, w] => Ok((n, w)),
        dims => bail!("{}: rows of {dims:?}", call.name),
    }
}

/// Rows and columns of x, where `out` has room for an order of the rows.
fn rows_into(call: &Call, out: &Operand, x: &Operand) -> Outcome<(usize, usize)> {
    let (n, w) = rows(call, x)?;
    if out.dtype != DType::I64 || out.dims() != [n] {
        bail!(
            "sort_rows: {n} rows into {} {:?}",
            out.dtype.name(),
            out.dims()
        );
    }
    Ok((n, w))
}

/// out int64 (N) = the order that sorts the rows of x (N, W), first element first; equal rows keep their order.
fn sort_rows(call: &Call) -> Outcome {
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    let (n, w) = rows_into(call, out, x)?;
    let [rs, cs] = [x.strides()[0], x.strides()[1]];
    let mut order: Vec<usize> = (0..n).collect();
    with_dtype!(x.dtype, E => {
        // SAFETY: rows and columns inside x.
        let key = |r: usize, c: usize| unsafe { *x.ptr.cast::<E>().offset(r as isize * rs + c as isize * cs) }.key();
        order.sort_by(|&a, &b| (0..w).map(|c| key(a, c)).cmp((0..w).map(|c| key(b, c))));
    });
    for (i, &row) in order.iter().enumerate() {
        // SAFETY: i lies inside out.
        unsafe { *out.ptr.cast::<i64>().offset(i as isize * out.strides()[0]) = row as i64 };
    }
    Ok(())
}

/// Rows and columns of x, where `order` has a place for each row.
fn rows_in_order(call: &Call, x: &Operand, order: &Operand) -> Outcome<(usize, usize)> {
    let (n, w) = rows(call, x)?;
    if order.dtype != DType::I64 || order.dims() != [n] {
        bail!(
            "{}: {n} rows in an order {} {:?}",
            call.name,
            order.dtype.name(),
            order.dims()
        );
    }
    Ok((n, w))
}

/// Calls `visit(i, row, whether it differs from the row before)` for the rows of x (N, W) in an order (N).
fn groups(
    call: &Call,
    x: &Operand,
    order: &Operand,
    mut visit: impl FnMut(usize, i64, bool),
) -> Outcome {
    let (n, w) = rows_in_order(call, x, order)?;
    let [rs, cs] = [x.strides()[0], x.strides()[1]];
    let x_is_float = x.dtype.is_float();
    with_dtype!(x.dtype, E => {
        let mut before: Option<i64> = None;
        for i in 0..n {
            // SAFETY: i lies inside the order.
            let row = unsafe { *order.ptr.cast::<i64>().offset(i as isize * order.strides()[0]) };
            if row < 0 || row >= n as i64 {
                bail!("{}: the order holds {row}, outside 0 to {n}", call.name);
            }
            // A NaN equals nothing, so it is always a value of its own.
            // SAFETY: rows and columns inside x.
            let same = |a: i64, b: i64| (0..w as isize).all(|c| unsafe {
                let x = x.ptr.cast::<E>();
                let (p, q) = (*x.offset(a as isize * rs + c * cs), *x.offset(b as isize * rs + c * cs));
                if x_is_float { p.to_f64() == q.to_f64() } else { p.to_i64() == q.to_i64() }
            });
            visit(i, row, before.is_none_or(|b| !same(b, row)));
            before = Some(row);
        }
    });
    Ok(())
}

fn room_for_count(call: &Call) -> Outcome<&Operand> {
    let out = &call.outs()[0];
    if out.dtype != DType::I64 || out.numel() != 1 {
        bail!("unique_count: into {} {:?}", out.dtype.name(), out.dims());
    }
    Ok(out)
}

/// out = how many different rows x has, in an order in which equal ones are neighbours.
fn unique_count(call: &Call) -> Outcome {
    let out = room_for_count(call)?;
    let mut count = 0i64;
    groups(call, &call.ins()[0], &call.ins()[1], |_, _, new| {
        count += i64::from(new)
    })?;
    // SAFETY: one int64, checked.
    unsafe { *out.ptr.cast::<i64>() = count };
    Ok(())
}

fn room_for_groups(call: &Call) -> Outcome<[&Operand; 3]> {
    let [firsts, inverse, counts] = call.outs() else {
        bail!("unique: three outputs")
    };
    let n = rows(call, &call.ins()[0])?.0;
    let fits = call
        .outs()
        .iter()
        .all(|o| o.dtype == DType::I64 && o.ndim == 1);
    if !fits || inverse.dims() != [n] || counts.dims() != firsts.dims() {
        bail!(
            "unique: into {:?}, {:?} and {:?}",
            firsts.dims(),
            inverse.dims(),
            counts.dims()
        );
    }
    Ok([firsts, inverse, counts])
}

/// firsts (M), inverse (N), counts (M), all int64 = the first row of each group, the group of each row, its size.
fn unique(call: &Call) -> Outcome {
    let [firsts, inverse, counts] = room_for_groups(call)?;
    let m = firsts.numel();
    // SAFETY: below, places are checked against the outputs' only dim.
    let put = |o: &Operand, at: usize, value: i64| unsafe {
        *o.ptr.cast::<i64>().offset(at as isize * o.strides()[0]) = value
    };
    let (mut group, mut size) = (0usize, 0i64);
    groups(call, &call.ins()[0], &call.ins()[1], |_, row, new| {
        if new {
            group += 1;
            size = 0;
        }
        size += 1;
        if group <= m {
            if new {
                put(firsts, group - 1, row);
            }
            put(inverse, row as usize, group as i64 - 1);
            put(counts, group - 1, size);
        }
    })?;
    call.require(group == m, || {
        format!("{group} groups, the outputs have room for {m}")
    })
}
