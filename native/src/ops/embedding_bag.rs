//! Bags of rows of a table, reduced as they are read: sums, weighted sums, means and greatest elements. No row is copied
//! aside. Gradients of sums and means are row-sparse sums (embedding.rs); those of greatest elements go by `which`.

use super::embedding::{Indices, with_float};
use crate::bail;
use crate::dtype::{DType, Element, Number};
use crate::fault::{Fault, Outcome};
use crate::instruction::{Call, Row};
use crate::ops::map::Shared;
use crate::{pool, simd};

/// Columns that are reduced at a time, in buffers on the stack.
const BLOCK: usize = 256;
/// Elements that one thread reads at a time, at least.
const GRAIN: usize = 16 * 1024;

const MEAN: usize = 1;
const MAX: usize = 2;

simd! {
    /// `acc += w x`
    unsafe fn add_scaled<E: Element, C: Number>(x: *const E, stride: isize, w: C, acc: *mut C, n: usize) {
        // SAFETY: the caller gives n elements of each.
        unsafe {
            if stride == 1 {
                for i in 0..n { *acc.add(i) = *acc.add(i) + w * C::load(*x.add(i)); }
            } else {
                for i in 0..n { *acc.add(i) = *acc.add(i) + w * C::load(*x.offset(i as isize * stride)); }
            }
        }
    }
}

simd! {
    /// The greatest element so far, and the row that it came from; with `first` there is none yet.
    unsafe fn keep_greatest<E: Element, C: Number>(x: *const E, stride: isize, row: i64, acc: *mut C, which: *mut i64, n: usize, first: bool) {
        for i in 0..n {
            // SAFETY: the caller gives n elements of each.
            unsafe {
                let v = C::load(*x.offset(i as isize * stride));
                if first || v > *acc.add(i) {
                    *acc.add(i) = v;
                    *which.add(i) = row;
                }
            }
        }
    }
}

/// The mode, whether there are weights, and N of a table of which bags are read, checked.
fn checked(call: &Call) -> Outcome<(usize, bool, usize)> {
    let operands = call.all();
    let [out, which, table, _, _, weights] = operands else {
        bail!("bag_rows: takes 6 operands")
    };
    let (&[bags, d], &[n, columns]) = (out.dims(), table.dims()) else {
        bail!(
            "bag_rows: the output has dims {:?}, the table {:?}",
            out.dims(),
            table.dims()
        )
    };
    let mode = call.count(0)?;
    let numbers = Indices::new(call, operands, 3)?;
    let starts = Indices::new(call, operands, 4)?;
    let weighted = weights.dims() != [0];
    call.require(
        d == columns
            && starts.len == bags
            && out.dtype == table.dtype
            && table.dtype.is_float()
            && out.is_contiguous(),
        || {
            format!(
                "{bags} bags of {d} {} from {} starts and rows of {columns} {}",
                out.dtype.name(),
                starts.len,
                table.dtype.name()
            )
        },
    )?;
    call.require(
        !weighted
            || weights.dtype == table.dtype
                && weights.is_contiguous()
                && weights.numel() == numbers.len,
        || {
            format!(
                "weights of dims {:?} for {} numbers",
                weights.dims(),
                numbers.len
            )
        },
    )?;
    let follows = mode == MAX;
    call.require(
        mode <= MAX
            && (!follows
                || which.dtype == DType::I64
                    && which.is_contiguous()
                    && which.dims() == out.dims()),
        || format!("mode {mode} with dims {:?} for row numbers", which.dims()),
    )?;
    Ok((mode, weighted, n))
}

/// Outputs out (B, D), which (B, D) int64 or (0); inputs table (N, D), numbers (M), starts (B) int64, weights (M) of the
/// table's type or (0). Scalars: 0 sum, 1 mean, 2 greatest; the row that is passed over, or -1. A bag ends where the
/// next begins, the last at M; one without rows gives zeros.
fn bag(call: &Call) -> Outcome {
    let (mode, weighted, n) = checked(call)?;
    let operands = call.all();
    let (table, padding, follows) = (&operands[2], call.int(1), mode == MAX);
    let (bags, d) = (operands[0].dims()[0], operands[0].dims()[1]);
    let numbers = Indices::new(call, operands, 3)?;
    let starts = Indices::new(call, operands, 4)?;
    numbers.check_for("embeddingBag", numbers.len, n)?;
    for i in 0..bags {
        let (start, next) = (
            starts.get(i),
            if i + 1 < bags {
                starts.get(i + 1)
            } else {
                numbers.len as i64
            },
        );
        if (i == 0 && start != 0) || start > next || start < 0 {
            return Err(Fault::Index(format!(
                "Cannot embeddingBag: offset {start} at position {i} of {} numbers: offsets begin at 0 and do not fall",
                numbers.len
            )));
        }
    }
    let per_bag = numbers.len.div_ceil(bags.max(1)).max(1) * d.max(1);
    let shared = Shared(operands);
    let (step, stride) = (table.strides()[0], table.strides()[1]);
    with_float!(table.dtype, E, C => pool::parallel_ranges(bags, GRAIN.div_ceil(per_bag), &|range| {
        let mut acc = [C::default(); BLOCK];
        let mut rows = [-1i64; BLOCK];
        for i in range {
            let end = if i + 1 < bags { starts.get(i + 1) } else { numbers.len as i64 } as usize;
            let members = starts.get(i) as usize..end;
            let count = members.clone().filter(|&m| numbers.get(m) != padding).count();
            for from in (0..d).step_by(BLOCK) {
                let width = BLOCK.min(d - from);
                acc.fill(C::default());
                rows.fill(-1);
                let mut first = true;
                for m in members.clone() {
                    let row = numbers.get(m);
                    if row == padding {
                        continue;
                    }
                    // SAFETY: the row and the columns lie inside the checked table, m inside the weights.
                    unsafe {
                        let x = shared.get(2).ptr.cast::<E>().offset(row as isize * step + from as isize * stride);
                        if follows {
                            keep_greatest::<E, C>(x, stride, row, acc.as_mut_ptr(), rows.as_mut_ptr(), width, first);
                        } else {
                            let w = if weighted { C::load(*shared.get(5).ptr.cast::<E>().add(m)) } else { C::load(1.0f64) };
                            add_scaled::<E, C>(x, stride, w, acc.as_mut_ptr(), width);
                        }
                    }
                    first = false;
                }
                let scale = C::load(if mode == MEAN { 1.0 / count.max(1) as f64 } else { 1.0f64 });
                // SAFETY: a row of the dense output; each bag belongs to one task.
                unsafe {
                    let to = shared.get(0).ptr.cast::<E>().add(i * d + from);
                    for (c, &x) in acc[..width].iter().enumerate() {
                        *to.add(c) = (x * scale).store();
                    }
                    if follows {
                        let to = shared.get(1).ptr.cast::<i64>().add(i * d + from);
                        core::ptr::copy_nonoverlapping(rows.as_ptr(), to, width);
                    }
                }
            }
        }
    }));
    Ok(())
}

pub const ROWS: &[Row] = &[Row {
    name: "bag_rows",
    outs: 2,
    ins: (4, 4),
    scalars: (2, 2),
    alias: false,
    run: bag,
    cuda: Some(cuda::bag),
}];

/// The form on CUDA; the kernel is in embedding.cu.
mod cuda {
    use super::*;
    use crate::ops::embedding::cuda::{Notice, Numbers};
    use crate::ops::map::cuda::suffix;
    use crate::ops::walk::cuda::launch;

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Bags {
        notice: Notice,
        numbers: Numbers,
        starts: Numbers,
        out: u64,
        which: u64,
        table: u64,
        weights: u64,
        rows: i64,
        d: i64,
        row_step: i64,
        column_step: i64,
        padding: i64,
        dtype: i32,
        mode: i32,
    }
    const _: () = assert!(size_of::<Bags>() == 144);

    pub fn bag(call: &Call) -> Outcome {
        let (mode, weighted, rows) = checked(call)?;
        let [out, which, table, _, _, weights] = call.all() else {
            unreachable!()
        };
        let address =
            |o: &crate::instruction::Operand, there: bool| if there { o.ptr as u64 } else { 0 };
        let a = Bags {
            notice: Notice::of(call)?,
            numbers: Numbers::new(call, 3)?,
            starts: Numbers::new(call, 4)?,
            out: out.ptr as u64,
            which: address(which, mode == MAX),
            table: table.ptr as u64,
            weights: address(weights, weighted),
            rows: rows as i64,
            d: out.dims()[1] as i64,
            row_step: table.strides()[0] as i64,
            column_step: table.strides()[1] as i64,
            padding: call.int(1),
            dtype: out.dtype as i32,
            mode: mode as i32,
        };
        launch(
            call,
            ("bag_rows", suffix(out.dtype.compute())),
            out.numel(),
            &a,
        )
    }
}
