//! QR by Householder's reflectors, in LAPACK's form: H = I - tau v vᵀ, where v is 1 at its own row and zero above.
//!
//! faer applies blocks of them as I - V T⁻¹ Vᵀ, where T is upper triangular: 1 / tau on the diagonal, above it what Vᵀ V
//! has there.

use super::{Columns, Field, batch, items, matrix, with_field, with_stack};
use crate::bail;
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::ops::dense::each;
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj,
};
use faer::linalg::matmul::matmul;
use faer::linalg::qr::no_pivoting::factor::{
    QrParams, qr_in_place, qr_in_place_scratch, recommended_block_size,
};
use faer::{Accum, Conj, Par, Spec};

/// Matrices of so many elements are reduced one reflector at a time: blocks would take three times as long.
const SMALL: usize = 1024;

/// a (…, M, N) → r and reflectors (…, M, N), tau (…, K)
pub fn geqrf(call: &Call) -> Outcome {
    let (m, n) = matrix(call, 0)?;
    let k = m.min(n);
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[m, n])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[m, n])?;
        let (tau, lt) = items(call, &call.outs()[1], T::DTYPE, &[k])?;
        let count = batch(call, &[la, lo, lt])?;
        let params = Spec::<QrParams, T>::default();
        let size = recommended_block_size::<T>(m, n).clamp(1, k.max(1));
        each(count, m * n * n, &|i| {
            if k == 0 {
                return Ok(());
            }
            // SAFETY: one task has item i of each.
            let (a, out, tau) = unsafe { (a.get::<T>(i), out.get::<T>(i), tau.get::<T>(i)) };
            if m * n <= SMALL {
                out.copy_from_slice(a);
                reduce_small(out, (m, n), tau);
                return Ok(());
            }
            let mut x = Columns::from(m, n, |r, c| a[r * n + c])?;
            let mut factors = Columns::zeros(size, k)?;
            with_stack(qr_in_place_scratch::<T>(m, n, size, Par::Seq, params), |stack| {
                qr_in_place(x.as_mut(), factors.as_mut(), Par::Seq, stack, params);
            })?;
            x.write(out, |_, _, x| x);
            for (j, tau) in tau.iter_mut().enumerate() {
                *tau = T::ONE / factors.at(j % size, j);
            }
            Ok(())
        })
    })
}

/// v (…, M, N), tau (…, K) → the first C columns of the product of reflectors, (…, M, C)
pub fn orgqr(call: &Call) -> Outcome {
    let (m, n) = matrix(call, 0)?;
    let Some(&k) = call.ins()[1].dims().last() else {
        bail!("orgqr: the factors have no dim");
    };
    let c = call.outs()[0].dims().last().copied().unwrap_or(0);
    call.require(k <= n && k <= m && c <= m && (c >= k || m == 0), || {
        format!("{k} reflectors of {n} columns and {m} rows, {c} columns of the result")
    })?;
    with_field!(call, T => {
        let (v, lv) = items(call, &call.ins()[0], T::DTYPE, &[m, n])?;
        let (tau, lt) = items(call, &call.ins()[1], T::DTYPE, &[k])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[m, c])?;
        let count = batch(call, &[lv, lt, lo])?;
        let size = recommended_block_size::<T>(m, k).clamp(1, k.max(1));
        each(count, m * c * k, &|i| {
            // SAFETY: one task has item i of each.
            let (v, tau, out) = unsafe { (v.get::<T>(i), tau.get::<T>(i), out.get::<T>(i)) };
            if m * c <= SMALL {
                expand_small((v, n), tau, out, (m, c));
                return Ok(());
            }
            let one = |r: usize, c: usize| if r == c { T::ONE } else { T::ZERO };
            let mut q = Columns::from(m, c, one)?;
            if k > 0 {
                let below = |r: usize, c: usize| if r > c { v[r * n + c] } else { one(r, c) };
                let basis = Columns::from(m, k, below)?;
                let factors = factors_of(&basis, tau, size)?;
                let needs = apply_block_householder_sequence_on_the_left_in_place_scratch::<T>(m, size, c);
                with_stack(needs, |stack| {
                    apply_block_householder_sequence_on_the_left_in_place_with_conj(
                        basis.as_ref(), factors.as_ref(), Conj::No, q.as_mut(), Par::Seq, stack,
                    );
                })?;
            }
            q.write(out, |_, _, x| x);
            Ok(())
        })
    })
}

/// The triangles T of blocks of `size` reflectors beside each other.
fn factors_of<T: Field>(basis: &Columns<T>, tau: &[T], size: usize) -> Outcome<Columns<T>> {
    let (m, k) = (basis.rows, tau.len());
    let mut factors = Columns::zeros(size, k)?;
    for first in (0..k).step_by(size) {
        let width = size.min(k - first);
        let block = basis.as_ref().submatrix(first, first, m - first, width);
        let target = factors.as_mut().submatrix_mut(0, first, width, width);
        matmul(
            target,
            Accum::Replace,
            block.transpose(),
            block,
            T::ONE,
            Par::Seq,
        );
        for j in 0..width {
            // A reflector that does nothing has a tau of zero, and an infinite factor.
            factors.column_mut(first + j)[j] = T::ONE / tau[first + j];
        }
    }
    Ok(factors)
}

// ---- small matrices -----------------------------------------------------------------------------

/// A reflector: its factor, the row where its vector is 1, and what the vector has below.
struct Reflector<'a, T> {
    tau: T,
    row: usize,
    below: &'a [T],
}

impl<T: Field> Reflector<'_, T> {
    /// Subtracts tau v (vᵀ a) from columns `from..n` of a matrix by rows.
    fn apply(&self, a: &mut [T], n: usize, from: usize, sums: &mut [T; SMALL]) {
        if self.tau == T::ZERO || from >= n {
            return;
        }
        let sums = &mut sums[..n - from];
        sums.copy_from_slice(&a[self.row * n + from..(self.row + 1) * n]);
        let rows = || (self.row + 1..).zip(self.below);
        for (i, &v) in rows() {
            for (s, x) in sums.iter_mut().zip(&a[i * n + from..(i + 1) * n]) {
                *s += v * *x;
            }
        }
        let mut subtract = |i: usize, factor: T| {
            for (x, s) in a[i * n + from..(i + 1) * n].iter_mut().zip(&*sums) {
                *x -= factor * *s;
            }
        };
        subtract(self.row, self.tau);
        for (i, &v) in rows() {
            subtract(i, self.tau * v);
        }
    }
}

/// As `geqrf`, in place.
fn reduce_small<T: Field>(a: &mut [T], (m, n): (usize, usize), tau: &mut [T]) {
    let (mut column, mut sums) = ([T::ZERO; SMALL], [T::ZERO; SMALL]);
    for (k, tau) in tau.iter_mut().enumerate() {
        let alpha = a[k * n + k].wide();
        let below: f64 = (k + 1..m).map(|i| a[i * n + k].wide().powi(2)).sum();
        *tau = T::ZERO;
        if below == 0.0 {
            continue;
        }
        let beta = -(alpha * alpha + below).sqrt().copysign(alpha);
        *tau = T::of((beta - alpha) / beta);
        let scale = 1.0 / (alpha - beta);
        let column = &mut column[..m - k - 1];
        for (v, i) in column.iter_mut().zip(k + 1..) {
            *v = T::of(a[i * n + k].wide() * scale);
            a[i * n + k] = *v;
        }
        a[k * n + k] = T::of(beta);
        let reflector = Reflector {
            tau: *tau,
            row: k,
            below: column,
        };
        reflector.apply(a, n, k + 1, &mut sums);
    }
}

/// As `orgqr`, of reflectors `n` elements apart.
fn expand_small<T: Field>((v, n): (&[T], usize), tau: &[T], q: &mut [T], (m, c): (usize, usize)) {
    let (mut column, mut sums) = ([T::ZERO; SMALL], [T::ZERO; SMALL]);
    q.fill(T::ZERO);
    for i in 0..m.min(c) {
        q[i * c + i] = T::ONE;
    }
    for (k, &tau) in tau.iter().enumerate().rev() {
        let column = &mut column[..m - k - 1];
        for (to, i) in column.iter_mut().zip(k + 1..) {
            *to = v[i * n + k];
        }
        let reflector = Reflector {
            tau,
            row: k,
            below: column,
        };
        reflector.apply(q, c, 0, &mut sums);
    }
}
