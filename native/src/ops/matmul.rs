//! Matrix products: `C (…, M, N) = scale (N) · (alpha · A (…, M, K) · B (…, K, N) + beta · C) + bias (N)`, perhaps with
//! negative results as 0; any strides, batch dims of stride 0 where an operand is broadcast. The kernels are gemm's; here batches are laid out for it.

use super::nest::{Nest, Place};
use crate::bail;
use crate::fault::{Fault, Outcome};
use crate::gemm::block::elem;
use crate::gemm::{Elem, Mat, MatMut, Options, gemm, gemm_batched, gemm_i64};
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;

pub mod cuda;
mod library;

pub use library::tf32;

/// The last two dims of an operand: (rows, columns, row stride, column stride).
fn matrix(o: &Operand) -> (usize, usize, isize, isize) {
    let (d, s, n) = (o.dims(), o.strides(), o.ndim);
    (d[n - 2], d[n - 1], s[n - 2], s[n - 1])
}

fn mat(o: &Operand, elem: Elem) -> Mat {
    let (rows, cols, rs, cs) = matrix(o);
    Mat {
        ptr: o.ptr,
        elem,
        rows,
        cols,
        rs,
        cs,
    }
}

/// Checks the dims of a product; the loops over its batch, with strides of C, A and B.
fn batch_of(call: &Call) -> Outcome<Nest<3>> {
    let (c, a, b) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let n = c.ndim;
    let fits = n >= 2 && a.ndim == n && b.ndim == n && {
        let ((m, w, ..), (am, ak, ..), (bk, bn, ..)) = (matrix(c), matrix(a), matrix(b));
        let batch = |o: &Operand| o.dims()[..n - 2] == c.dims()[..n - 2];
        m == am && w == bn && ak == bk && batch(a) && batch(b)
    };
    call.require(fits, || {
        format!("dims {:?} by {:?} into {:?}", a.dims(), b.dims(), c.dims())
    })?;
    let mut loops = [(0, [0isize; 3]); MAX_DIMS];
    for (d, l) in loops[..n - 2].iter_mut().enumerate() {
        *l = (
            c.dims()[d],
            [c.strides()[d], a.strides()[d], b.strides()[d]],
        );
    }
    Ok(Nest::new(&loops[..n - 2]))
}

fn on_cuda(call: &Call) -> Outcome {
    let batch = batch_of(call)?;
    if call.outs()[0].numel() == 0 {
        return Ok(());
    }
    if library::run(call, &batch)? {
        return Ok(());
    }
    cuda::run(call, &batch)
}

fn matmul(call: &Call) -> Outcome {
    let (c, a, b) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let batch = batch_of(call)?;
    if c.numel() == 0 {
        return Ok(());
    }
    let (Some(ce), Some(ae), Some(be)) = (elem(c.dtype), elem(a.dtype), elem(b.dtype)) else {
        return integers(call, c, a, b, &batch);
    };
    let columns = |at: usize, what: &str| {
        let Some(x) = call.ins().get(at) else {
            return Ok(None);
        };
        let Some(e) = elem(x.dtype).filter(|_| x.dims() == [matrix(c).1]) else {
            bail!(
                "{}: a {what} of dims {:?} and dtype {}",
                call.name,
                x.dims(),
                x.dtype.name()
            );
        };
        Ok(Some(Mat {
            ptr: x.ptr,
            elem: e,
            rows: 1,
            cols: x.dims()[0],
            rs: 0,
            cs: x.strides()[0],
        }))
    };
    let options = Options {
        alpha: call.float(0),
        beta: call.float(1),
        bias: columns(2, "bias")?,
        scale: columns(3, "scale")?,
        relu: call.float(2) != 0.0,
    };
    let (rows, cols, rs, cs) = matrix(c);
    let mut c = MatMut {
        ptr: c.ptr,
        elem: ce,
        rows,
        cols,
        rs,
        cs,
    };
    let (mut a, b) = (mat(a, ae), mat(b, be));
    let (count, [oc, oa, ob]) = batch.inner();
    // A batch times one matrix is one product with more rows.
    let tall = batch.ndim == 1 && ob == 0 && oc == rs * rows as isize && oa == a.rs * rows as isize;
    if tall {
        c.rows *= count;
        a.rows *= count;
    }
    // SAFETY: every operand was checked against its storage, and the output overlaps no input.
    let result = unsafe {
        if tall || batch.numel == 1 {
            gemm(c, a, b, options)
        } else {
            let offsets = |i: usize| {
                let mut at = [0; 3];
                batch.runs(i, 1, |o, _, _, _| at = o);
                (at[0], at[1], at[2])
            };
            gemm_batched(batch.numel, &offsets, c, a, b, options)
        }
    };
    result.map_err(Fault::OutOfMemory)
}

/// Products of integers, in int64, wrapping.
fn integers(call: &Call, c: &Operand, a: &Operand, b: &Operand, batch: &Nest<3>) -> Outcome {
    let plain = call.float(0) == 1.0
        && call.float(1) == 0.0
        && call.float(2) == 0.0
        && call.ins().len() == 2;
    call.require(
        plain && ![c, a, b].iter().any(|o| o.dtype.is_float()),
        || "integers and floats are mixed".into(),
    )?;
    let ((m, n, crs, ccs), (_, k, ars, acs), (.., brs, bcs)) = (matrix(c), matrix(a), matrix(b));
    let (sc, sa, sb) = (
        Scratch::new::<i64>(m * n)?,
        Scratch::new::<i64>(m * k)?,
        Scratch::new::<i64>(k * n)?,
    );
    let mut result = Ok(());
    batch.runs(0, batch.numel, |offset, stride, _, length| {
        for i in 0..length as isize {
            let at = |o: usize| offset[o] + i * stride[o];
            // SAFETY: rows of checked operands; the scratch areas hold whole matrices.
            unsafe {
                let (pc, pa, pb) = (sc.as_ptr::<i64>(), sa.as_ptr::<i64>(), sb.as_ptr::<i64>());
                for r in 0..m {
                    Place::of(a).gather(at(1) + r as isize * ars, acs, pa.add(r * k), k);
                }
                for r in 0..k {
                    Place::of(b).gather(at(2) + r as isize * brs, bcs, pb.add(r * n), n);
                }
                if let Err(text) =
                    gemm_i64((m, n, k), pc, (pa, (k as isize, 1)), (pb, (n as isize, 1)))
                {
                    result = Err(Fault::OutOfMemory(text));
                }
                for r in 0..m {
                    Place::of(c).scatter(
                        at(0) + r as isize * crs,
                        ccs,
                        pc.add(r * n).cast_const(),
                        n,
                    );
                }
            }
        }
    });
    result
}

pub const ROWS: &[Row] = &[Row {
    name: "matmul",
    outs: 1,
    ins: (2, 4),
    scalars: (3, 3),
    alias: false,
    run: matmul,
    cuda: Some(on_cuda),
}];
