//! Eigenvalues of symmetric matrices and singular values. Both compute in float64: faer's results in float32 are off by
//! thousands of its units where a matrix of a hundred rows has a low rank, LAPACK's by fifty.

use super::{Columns, Field, batch, flag, items, matrix, with_field, with_stack};
use crate::bail;
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::ops::dense::each;
use faer::diag::DiagMut;
use faer::linalg::evd::{
    ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch,
};
use faer::linalg::svd::{ComputeSvdVectors, SvdParams, svd_scratch};
use faer::{Par, Spec};

/// The power of two that brings the largest of some numbers into 0.5 … 2, so that neither squares overflow nor small
/// numbers are taken for zero. Fails where one is not finite.
fn scale_of<T: Field>(name: &str, a: impl Iterator<Item = T>) -> Outcome<f64> {
    let largest = a.fold(0f64, |most, x| {
        let x = x.wide().abs();
        if x > most || x.is_nan() { x } else { most }
    });
    if !largest.is_finite() {
        bail!("Cannot {name}: the matrix has elements that are not finite");
    }
    let exponent = (largest.to_bits() >> 52) as i64;
    Ok(f64::from_bits(
        ((2046 - exponent).clamp(1, 2046) as u64) << 52,
    ))
}

/// a (…, N, N) → eigenvalues (…, N), ascending, eigenvectors (…, N, N) as columns, or (…, N, 0) where nobody asks for
/// them; scalar: which triangle is read.
pub fn eigh(call: &Call) -> Outcome {
    let ((n, _), name) = (matrix(call, 0)?, call.name);
    let upper = flag(call, 0);
    let wants = call.outs()[1].dims().last() == Some(&n);
    let columns = if wants { n } else { 0 };
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[n, n])?;
        let (values, lw) = items(call, &call.outs()[0], T::DTYPE, &[n])?;
        let (vectors, lv) = items(call, &call.outs()[1], T::DTYPE, &[n, columns])?;
        let count = batch(call, &[la, lw, lv])?;
        let params = Spec::<SelfAdjointEvdParams, f64>::default();
        let which = if wants { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
        each(count, 8 * n * n * n, &|i| {
            // SAFETY: one task has item i of each.
            let (a, values, vectors) = unsafe { (a.get::<T>(i), values.get::<T>(i), vectors.get::<T>(i)) };
            if n == 0 {
                return Ok(());
            }
            let at = |r: usize, c: usize| if (r < c) == upper { a[r * n + c] } else { a[c * n + r] };
            let read = (0..n * n).map(|p| at(p / n, p % n));
            let scale = scale_of(name, read)?;
            let m = Columns::from(n, n, |r, c| at(r, c).wide() * scale)?;
            let mut w = Columns::zeros(n, 1)?;
            let mut v = Columns::<f64>::zeros(n, columns)?;
            let done = with_stack(self_adjoint_evd_scratch::<f64>(n, which, Par::Seq, params), |stack| {
                let w = DiagMut::from_slice_mut(w.column_mut(0));
                let v = wants.then(|| v.as_mut());
                self_adjoint_evd(m.as_ref(), w, v, Par::Seq, stack, params)
            })?;
            if done.is_err() {
                bail!("Cannot {name}: the iteration did not converge");
            }
            for (r, to) in values.iter_mut().enumerate() {
                *to = T::of(w.at(r, 0) / scale);
            }
            v.write(vectors, |_, _, x| T::of(x));
            Ok(())
        })
    })
}

/// a (…, M, N) → u (…, M, C), s (…, K), vh (…, R, N), s descending: thin with C = R = K, full with C = M and R = N,
/// values alone with C = R = 0.
pub fn svd(call: &Call) -> Outcome {
    let ((m, n), name) = (matrix(call, 0)?, call.name);
    let k = m.min(n);
    let wants = k == 0 || call.outs()[0].dims().last() != Some(&0);
    let (c, r, which) = match (wants, flag(call, 0)) {
        (false, _) => (0, 0, ComputeSvdVectors::No),
        (true, false) => (k, k, ComputeSvdVectors::Thin),
        (true, true) => (m, n, ComputeSvdVectors::Full),
    };
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[m, n])?;
        let (u, lu) = items(call, &call.outs()[0], T::DTYPE, &[m, c])?;
        let (s, ls) = items(call, &call.outs()[1], T::DTYPE, &[k])?;
        let (vh, lv) = items(call, &call.outs()[2], T::DTYPE, &[r, n])?;
        let count = batch(call, &[la, lu, ls, lv])?;
        let params = Spec::<SvdParams, f64>::default();
        each(count, 16 * m * n * k.max(1), &|i| {
            // SAFETY: one task has item i of each.
            let (a, u, s, vh) = unsafe { (a.get::<T>(i), u.get::<T>(i), s.get::<T>(i), vh.get::<T>(i)) };
            let scale = scale_of(name, a.iter().copied())?;
            let x = Columns::from(m, n, |r, c| a[r * n + c].wide() * scale)?;
            let (mut left, mut right) = (Columns::<f64>::zeros(m, c)?, Columns::<f64>::zeros(n, r)?);
            let mut values = Columns::zeros(k, 1)?;
            let done = with_stack(svd_scratch::<f64>(m, n, which, which, Par::Seq, params), |stack| {
                let values = DiagMut::from_slice_mut(values.column_mut(0));
                let (left, right) = (wants.then(|| left.as_mut()), wants.then(|| right.as_mut()));
                faer::linalg::svd::svd(x.as_ref(), values, left, right, Par::Seq, stack, params)
            })?;
            if done.is_err() {
                bail!("Cannot {name}: the iteration did not converge");
            }
            for (p, to) in s.iter_mut().enumerate() {
                *to = T::of(values.at(p, 0) / scale);
            }
            left.write(u, |_, _, x| T::of(x));
            for (p, to) in vh.iter_mut().enumerate() {
                *to = T::of(right.at(p % n, p / n));
            }
            Ok(())
        })
    })
}
