//! Factorisations of batches of matrices: LU, Cholesky, QR, triangular systems, symmetric eigenvalues, singular values.
//! Operands are contiguous, matrices are their last two dims, row-major; each matrix is one job of the pool. The direct
//! ones follow LAPACK's conventions (row interchanges, signs of reflectors); the iterative ones are nalgebra's.

// Rows and columns are walked by number, several arrays at once.
#![allow(clippy::needless_range_loop)]

mod cuda;

use crate::bail;
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::pool;
use core::sync::atomic::{AtomicUsize, Ordering};
use nalgebra::{DMatrix, RealField, SymmetricEigen};

/// A float type that factorisations compute in.
trait Field: RealField + Copy + Send + Sync {
    const DTYPE: DType;
    fn wide(self) -> f64;
    fn of(x: f64) -> Self;
}
impl Field for f32 {
    const DTYPE: DType = DType::F32;
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn of(x: f64) -> f32 {
        x as f32
    }
}
impl Field for f64 {
    const DTYPE: DType = DType::F64;
    fn wide(self) -> f64 {
        self
    }
    fn of(x: f64) -> f64 {
        x
    }
}

/// Runs `$body` with `$T` bound to the dtype of the first input, float32 or float64.
macro_rules! with_field {
    ($call:expr, $T:ident => $body:expr) => {
        match $call.ins()[0].dtype {
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            other => bail!(
                "{}: it takes float32 and float64, not {other:?}",
                $call.name
            ),
        }
    };
}

/// An operand's last `tail` dims are one item of a batch.
#[derive(Clone, Copy)]
struct Items {
    address: usize,
    length: usize,
}

impl Items {
    /// # Safety
    /// `i` is an item of the batch, `T` the operand's type, and no other task has the item.
    unsafe fn get<'a, T>(self, i: usize) -> &'a mut [T] {
        let ptr = self.address as *mut T;
        if self.length == 0 {
            return &mut [];
        }
        // SAFETY: the operand was checked to hold `length` elements of each item side by side.
        unsafe { core::slice::from_raw_parts_mut(ptr.add(i * self.length), self.length) }
    }
}

/// Checks an operand's last dims, its dtype and that it lies without gaps, and gives its items and the leading dims.
fn items<'a>(
    call: &Call,
    o: &'a Operand,
    dtype: DType,
    tail: &[usize],
) -> Outcome<(Items, &'a [usize])> {
    let dims = o.dims();
    let lead = dims.len().checked_sub(tail.len()).map(|n| dims.split_at(n));
    let Some((lead, rest)) = lead.filter(|(_, rest)| *rest == tail) else {
        bail!(
            "{}: an operand has dims {dims:?}, which do not end in {tail:?}",
            call.name
        );
    };
    let _ = rest;
    call.require(o.dtype == dtype, || {
        format!("an operand is {:?}, not {dtype:?}", o.dtype)
    })?;
    call.require(o.numel() == 0 || o.is_contiguous(), || {
        "an operand has gaps".into()
    })?;
    let length = tail.iter().product();
    Ok((
        Items {
            address: o.ptr as usize,
            length,
        },
        lead,
    ))
}

/// The rows and columns of an input's matrices.
fn matrix(call: &Call, i: usize) -> Outcome<(usize, usize)> {
    match call.ins()[i].dims() {
        [.., m, n] => Ok((*m, *n)),
        other => bail!("{}: input {i} has dims {other:?}, no matrices", call.name),
    }
}

/// The number of items of a batch, the same for all operands.
fn batch(call: &Call, leads: &[&[usize]]) -> Outcome<usize> {
    call.require(leads.iter().all(|lead| *lead == leads[0]), || {
        "the batches differ".into()
    })?;
    Ok(leads[0].iter().product())
}

/// About how many operations a task should have at least.
const GRAIN: usize = 16 * 1024;

fn each(count: usize, cost: usize, body: &(dyn Fn(usize) + Sync)) {
    pool::parallel_ranges(count, (GRAIN / cost.max(1)).max(1), &|range| {
        for i in range {
            body(i);
        }
    });
}

/// A flag among the scalars.
fn flag(call: &Call, i: usize) -> bool {
    call.float(i) != 0.0
}

// ---- LU -----------------------------------------------------------------------------------------

/// In place by rows with the largest pivot of each column; `pivots[k]` is the row that k was exchanged with, from 1.
/// Gives the first zero pivot, from 1, or 0.
fn lu_of<T: Field>(a: &mut [T], m: usize, n: usize, pivots: &mut [i32]) -> i32 {
    let mut info = 0;
    for k in 0..m.min(n) {
        let mut p = k;
        for i in k + 1..m {
            if a[i * n + k].abs() > a[p * n + k].abs() {
                p = i;
            }
        }
        pivots[k] = p as i32 + 1;
        if p != k {
            for j in 0..n {
                a.swap(k * n + j, p * n + j);
            }
        }
        let pivot = a[k * n + k];
        if pivot == T::zero() {
            if info == 0 {
                info = k as i32 + 1;
            }
            continue;
        }
        let (head, tail) = a.split_at_mut((k + 1) * n);
        let row = &head[k * n + k + 1..];
        for below in tail.chunks_exact_mut(n) {
            let factor = below[k] / pivot;
            below[k] = factor;
            if factor != T::zero() {
                for (x, y) in below[k + 1..].iter_mut().zip(row) {
                    *x -= factor * *y;
                }
            }
        }
    }
    info
}

/// a (…, M, N) → lu (…, M, N), pivots int32 (…, K), info int32 (…)
fn lu(call: &Call) -> Outcome {
    let (m, n) = matrix(call, 0)?;
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[m, n])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[m, n])?;
        let (pivots, lp) = items(call, &call.outs()[1], DType::I32, &[m.min(n)])?;
        let (info, li) = items(call, &call.outs()[2], DType::I32, &[])?;
        let count = batch(call, &[la, lo, lp, li])?;
        each(count, m * n * m.min(n), &|i| {
            // SAFETY: one task has item i of each.
            unsafe {
                out.get::<T>(i).copy_from_slice(a.get::<T>(i));
                info.get::<i32>(i)[0] = lu_of(out.get::<T>(i), m, n, pivots.get::<i32>(i));
            }
        });
    });
    Ok(())
}

// ---- triangular systems -------------------------------------------------------------------------

fn solve_lower<T: Field>(a: &[T], x: &mut [T], n: usize, k: usize, unit: bool) {
    for i in 0..n {
        let (done, rest) = x.split_at_mut(i * k);
        let row = &mut rest[..k];
        for j in 0..i {
            let factor = a[i * n + j];
            for (r, d) in row.iter_mut().zip(&done[j * k..(j + 1) * k]) {
                *r -= factor * *d;
            }
        }
        if !unit {
            let pivot = a[i * n + i];
            row.iter_mut().for_each(|r| *r /= pivot);
        }
    }
}

fn solve_upper<T: Field>(a: &[T], x: &mut [T], n: usize, k: usize, unit: bool) {
    for i in (0..n).rev() {
        let (head, done) = x.split_at_mut((i + 1) * k);
        let row = &mut head[i * k..];
        for j in i + 1..n {
            let factor = a[i * n + j];
            for (r, d) in row.iter_mut().zip(&done[(j - i - 1) * k..(j - i) * k]) {
                *r -= factor * *d;
            }
        }
        if !unit {
            let pivot = a[i * n + i];
            row.iter_mut().for_each(|r| *r /= pivot);
        }
    }
}

/// a (…, N, N), b (…, N, K) → x (…, N, K) with a x = b; scalars: upper, ones on the diagonal. The other triangle of a is
/// not read.
fn solve_triangular(call: &Call) -> Outcome {
    let (n, k) = matrix(call, 1)?;
    let (upper, unit) = (flag(call, 0), flag(call, 1));
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[n, n])?;
        let (b, lb) = items(call, &call.ins()[1], T::DTYPE, &[n, k])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[n, k])?;
        let count = batch(call, &[la, lb, lo])?;
        each(count, n * n * k, &|i| {
            // SAFETY: one task has item i of each.
            unsafe {
                let x = out.get::<T>(i);
                x.copy_from_slice(b.get::<T>(i));
                let solve = if upper { solve_upper } else { solve_lower };
                if k > 0 {
                    solve(a.get::<T>(i), x, n, k, unit);
                }
            }
        });
    });
    Ok(())
}

// ---- Cholesky -----------------------------------------------------------------------------------

/// The lower factor of the lower triangle of `a`, in place; gives the order of the first minor that is not positive.
fn cholesky_of<T: Field>(a: &mut [T], n: usize) -> i32 {
    for i in 0..n {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &above[j * n..j * n + j + 1];
            let mut sum = row[j];
            for t in 0..j {
                sum -= row[t] * other[t];
            }
            row[j] = sum / other[j];
        }
        let mut sum = row[i];
        for t in 0..i {
            sum -= row[t] * row[t];
        }
        if sum <= T::zero() || sum.wide().is_nan() {
            return i as i32 + 1;
        }
        row[i] = sum.sqrt();
        row[i + 1..].fill(T::zero());
    }
    0
}

/// a (…, N, N) → l (…, N, N), info int32 (…); scalar: whether the upper triangle is read. The factor is a lower one.
fn cholesky(call: &Call) -> Outcome {
    let (n, _) = matrix(call, 0)?;
    let upper = flag(call, 0);
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[n, n])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[n, n])?;
        let (info, li) = items(call, &call.outs()[1], DType::I32, &[])?;
        let count = batch(call, &[la, lo, li])?;
        each(count, n * n * n, &|i| {
            // SAFETY: one task has item i of each.
            unsafe {
                let (l, given) = (out.get::<T>(i), a.get::<T>(i));
                for r in 0..n {
                    for c in 0..n {
                        l[r * n + c] = if upper { given[c * n + r] } else { given[r * n + c] };
                    }
                }
                info.get::<i32>(i)[0] = cholesky_of(l, n);
            }
        });
    });
    Ok(())
}

// ---- QR -----------------------------------------------------------------------------------------

/// Subtracts tau v (vᵀ a) from columns `from..n` of rows `k..m`, where v is 1 at row k and `column` below.
fn reflect<T: Field>(
    a: &mut [T],
    n: usize,
    rows: (usize, usize),
    from: usize,
    tau: T,
    column: &[T],
    sums: &mut [T],
) {
    let (k, m) = rows;
    if tau == T::zero() || from >= n {
        return;
    }
    let sums = &mut sums[..n - from];
    sums.copy_from_slice(&a[k * n + from..k * n + n]);
    for i in k + 1..m {
        let v = column[i - k - 1];
        for (s, x) in sums.iter_mut().zip(&a[i * n + from..i * n + n]) {
            *s += v * *x;
        }
    }
    for i in k..m {
        let v = if i == k { tau } else { tau * column[i - k - 1] };
        for (x, s) in a[i * n + from..i * n + n].iter_mut().zip(sums.iter()) {
            *x -= v * *s;
        }
    }
}

/// Householder's reduction in place: R above the diagonal, the reflectors below it, their factors in `tau`.
fn geqrf_of<T: Field>(a: &mut [T], m: usize, n: usize, tau: &mut [T]) {
    let (mut column, mut sums) = (vec![T::zero(); m], vec![T::zero(); n]);
    for k in 0..m.min(n) {
        let alpha = a[k * n + k].wide();
        let below: f64 = (k + 1..m).map(|i| a[i * n + k].wide().powi(2)).sum();
        if below == 0.0 {
            tau[k] = T::zero();
            continue;
        }
        let beta = -(alpha * alpha + below).sqrt().copysign(alpha);
        tau[k] = T::of((beta - alpha) / beta);
        let scale = 1.0 / (alpha - beta);
        for i in k + 1..m {
            column[i - k - 1] = T::of(a[i * n + k].wide() * scale);
            a[i * n + k] = column[i - k - 1];
        }
        a[k * n + k] = T::of(beta);
        reflect(a, n, (k, m), k + 1, tau[k], &column, &mut sums);
    }
}

/// The first `c` columns of the product of reflectors (the columns of `v`, (m, n)) into `q` (m, c).
fn orgqr_of<T: Field>(v: &[T], tau: &[T], q: &mut [T], (m, n, c): (usize, usize, usize)) {
    let (mut column, mut sums) = (vec![T::zero(); m], vec![T::zero(); c]);
    q.fill(T::zero());
    for i in 0..m.min(c) {
        q[i * c + i] = T::one();
    }
    for k in (0..tau.len()).rev() {
        for i in k + 1..m {
            column[i - k - 1] = v[i * n + k];
        }
        reflect(q, c, (k, m), 0, tau[k], &column, &mut sums);
    }
}

/// a (…, M, N) → r and reflectors (…, M, N), tau (…, K)
fn geqrf(call: &Call) -> Outcome {
    let (m, n) = matrix(call, 0)?;
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[m, n])?;
        let (out, lo) = items(call, &call.outs()[0], T::DTYPE, &[m, n])?;
        let (tau, lt) = items(call, &call.outs()[1], T::DTYPE, &[m.min(n)])?;
        let count = batch(call, &[la, lo, lt])?;
        each(count, m * n * n, &|i| {
            // SAFETY: one task has item i of each.
            unsafe {
                let x = out.get::<T>(i);
                x.copy_from_slice(a.get::<T>(i));
                geqrf_of(x, m, n, tau.get::<T>(i));
            }
        });
    });
    Ok(())
}

/// v (…, M, N), tau (…, K) → the first C columns of the product of reflectors, (…, M, C)
fn orgqr(call: &Call) -> Outcome {
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
        each(count, m * c * k, &|i| {
            // SAFETY: one task has item i of each.
            unsafe { orgqr_of(v.get::<T>(i), tau.get::<T>(i), out.get::<T>(i), (m, n, c)) }
        });
    });
    Ok(())
}

// ---- eigenvalues and singular values ------------------------------------------------------------

/// Steps of the iterations for one matrix before they give up.
const MOST_STEPS: usize = 100_000;

/// What went wrong in a batch, by the number of the matrix plus one; 0 is nothing.
#[derive(Default)]
struct Trouble {
    infinite: AtomicUsize,
    endless: AtomicUsize,
}

impl Trouble {
    fn report(&self, call: &Call) -> Outcome {
        if self.infinite.load(Ordering::Relaxed) > 0 {
            bail!(
                "Cannot {}: the matrix has elements that are not finite",
                call.name
            );
        }
        if self.endless.load(Ordering::Relaxed) > 0 {
            bail!("Cannot {}: the iteration did not converge", call.name);
        }
        Ok(())
    }
}

/// a (…, N, N) → eigenvalues (…, N), ascending, eigenvectors (…, N, N) as columns; scalar: which triangle is read.
fn eigh(call: &Call) -> Outcome {
    let (n, _) = matrix(call, 0)?;
    let upper = flag(call, 0);
    let trouble = Trouble::default();
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[n, n])?;
        let (values, lw) = items(call, &call.outs()[0], T::DTYPE, &[n])?;
        let (vectors, lv) = items(call, &call.outs()[1], T::DTYPE, &[n, n])?;
        let count = batch(call, &[la, lw, lv])?;
        each(count, 8 * n * n * n, &|i| {
            // SAFETY: one task has item i of each.
            let (a, values, vectors) = unsafe { (a.get::<T>(i), values.get::<T>(i), vectors.get::<T>(i)) };
            if n == 0 {
                return;
            }
            let at = |r: usize, c: usize| if (r < c) == upper { a[r * n + c] } else { a[c * n + r] };
            let m = DMatrix::from_fn(n, n, |r, c| if r == c { a[r * n + r].wide() } else { at(r, c).wide() });
            if m.iter().any(|x| !x.is_finite()) {
                trouble.infinite.store(i + 1, Ordering::Relaxed);
                return;
            }
            let Some(eigen) = SymmetricEigen::try_new(m, f64::EPSILON, MOST_STEPS) else {
                trouble.endless.store(i + 1, Ordering::Relaxed);
                return;
            };
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&x, &y| eigen.eigenvalues[x].total_cmp(&eigen.eigenvalues[y]));
            for (c, &from) in order.iter().enumerate() {
                values[c] = T::of(eigen.eigenvalues[from]);
                for r in 0..n {
                    vectors[r * n + c] = T::of(eigen.eigenvectors[(r, from)]);
                }
            }
        });
    });
    trouble.report(call)
}

/// A matrix of float64 as its columns, each one a slice of the vector.
struct Columns {
    data: Vec<f64>,
    length: usize,
}

impl Columns {
    fn zeros(length: usize, count: usize) -> Columns {
        Columns {
            data: vec![0.0; length * count],
            length,
        }
    }

    fn column(&self, i: usize) -> &[f64] {
        &self.data[i * self.length..(i + 1) * self.length]
    }

    fn column_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.data[i * self.length..(i + 1) * self.length]
    }

    /// Columns p < q turned by an angle of cosine c and sine s.
    fn turn(&mut self, p: usize, q: usize, c: f64, s: f64) {
        let (head, tail) = self.data.split_at_mut(q * self.length);
        let left = &mut head[p * self.length..(p + 1) * self.length];
        for (x, y) in left.iter_mut().zip(&mut tail[..self.length]) {
            (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
        }
    }

    /// As many orthonormal columns as are asked for, of which the first `k` are given ones.
    fn completed(self, k: usize, count: usize) -> Columns {
        let m = self.length;
        let mut rows = vec![0.0; m * k];
        for j in 0..k {
            for i in 0..m {
                rows[i * k + j] = self.data[j * m + i];
            }
        }
        let mut tau = vec![0.0; k];
        geqrf_of(&mut rows, m, k, &mut tau);
        let mut whole = vec![0.0; m * count];
        orgqr_of(&rows, &tau, &mut whole, (m, k, count));
        let mut out = Columns::zeros(m, count);
        out.data[..m * k].copy_from_slice(&self.data[..m * k]);
        for j in k..count {
            for i in 0..m {
                out.data[j * m + i] = whole[i * count + j];
            }
        }
        out
    }
}

/// Singular values, descending, with left and right vectors of an (m, n) matrix with m >= n, `left` of them on the left.
///
/// One-sided Jacobi rotations (Hestenes) on the triangle of a QR factorisation: they find small singular values to full
/// relative accuracy. nalgebra's own SVD is not used: of 20,000 random matrices it got four of rank one wrong.
fn jacobi(a: Vec<f64>, m: usize, n: usize, left: usize) -> Option<(Columns, Vec<f64>, Columns)> {
    let (mut packed, mut tau) = (a, vec![0.0; n]);
    geqrf_of(&mut packed, m, n, &mut tau);
    // The columns of Rᵀ, and those of the product of all rotations.
    let (mut w, mut v) = (Columns::zeros(n, n), Columns::zeros(n, n));
    for j in 0..n {
        w.column_mut(j)[j..].copy_from_slice(&packed[j * n + j..(j + 1) * n]);
        v.column_mut(j)[j] = 1.0;
    }
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(a, b)| a * b).sum() };
    let total: f64 = w.data.iter().map(|x| x * x).sum();
    let negligible = total * f64::EPSILON * f64::EPSILON;
    let mut settled = false;
    for _ in 0..60 {
        settled = true;
        for p in 0..n {
            for q in p + 1..n {
                let (x, y) = (w.column(p), w.column(q));
                let (alpha, beta, gamma) = (dot(x, x), dot(y, y), dot(x, y));
                let small = gamma.abs() <= f64::EPSILON * n as f64 * (alpha * beta).sqrt();
                if small || alpha <= negligible || beta <= negligible {
                    continue;
                }
                settled = false;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                w.turn(p, q, cosine, cosine * tangent);
                v.turn(p, q, cosine, cosine * tangent);
            }
        }
        if settled {
            break;
        }
    }
    if !settled {
        return None;
    }
    let norms: Vec<f64> = (0..n)
        .map(|j| dot(w.column(j), w.column(j)).sqrt())
        .collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&x, &y| norms[y].total_cmp(&norms[x]));
    let values: Vec<f64> = order.iter().map(|&j| norms[j]).collect();
    // Columns that are nothing but rounding have no direction: they are replaced by what is missing to a basis.
    let rank = values.iter().filter(|&&s| s * s > negligible).count();
    let (mut right, mut rotated) = (Columns::zeros(n, n), Columns::zeros(m, n));
    for (to, &from) in order.iter().enumerate() {
        if to < rank {
            let scale = 1.0 / norms[from];
            for (x, y) in right.column_mut(to).iter_mut().zip(w.column(from)) {
                *x = y * scale;
            }
        }
        rotated.column_mut(to)[..n].copy_from_slice(v.column(from));
    }
    let right = right.completed(rank, n);
    // Q times the left vectors of R: the reflectors, applied one after the other.
    let mut rows = vec![0.0; m * n];
    for j in 0..n {
        for i in 0..n {
            rows[i * n + j] = rotated.data[j * m + i];
        }
    }
    let (mut column, mut sums) = (vec![0.0; m], vec![0.0; n]);
    for k in (0..n).rev() {
        for i in k + 1..m {
            column[i - k - 1] = packed[i * n + k];
        }
        reflect(&mut rows, n, (k, m), 0, tau[k], &column, &mut sums);
    }
    for j in 0..n {
        for i in 0..m {
            rotated.data[j * m + i] = rows[i * n + j];
        }
    }
    let rotated = if left > n {
        rotated.completed(n, left)
    } else {
        rotated
    };
    Some((rotated, values, right))
}

/// a (…, M, N) → u (…, M, C), s (…, K), vh (…, R, N), s descending: thin with C = R = K, full with C = M and R = N.
fn svd(call: &Call) -> Outcome {
    let (m, n) = matrix(call, 0)?;
    let k = m.min(n);
    let full = flag(call, 0);
    let (c, r) = if full { (m, n) } else { (k, k) };
    let trouble = Trouble::default();
    with_field!(call, T => {
        let (a, la) = items(call, &call.ins()[0], T::DTYPE, &[m, n])?;
        let (u, lu) = items(call, &call.outs()[0], T::DTYPE, &[m, c])?;
        let (s, ls) = items(call, &call.outs()[1], T::DTYPE, &[k])?;
        let (vh, lv) = items(call, &call.outs()[2], T::DTYPE, &[r, n])?;
        let count = batch(call, &[la, lu, ls, lv])?;
        each(count, 16 * m * n * k.max(1), &|i| {
            // SAFETY: one task has item i of each.
            let (a, u, s, vh) = unsafe { (a.get::<T>(i), u.get::<T>(i), s.get::<T>(i), vh.get::<T>(i)) };
            if a.iter().any(|x| !x.wide().is_finite()) {
                trouble.infinite.store(i + 1, Ordering::Relaxed);
                return;
            }
            // A wide matrix is taken as its transpose, whose left vectors are the right ones.
            let tall = m >= n;
            let (rows, columns) = if tall { (m, n) } else { (n, m) };
            let wide = (0..m * n)
                .map(|at| {
                    let (x, y) = (at / columns.max(1), at % columns.max(1));
                    if tall { a[x * n + y].wide() } else { a[y * n + x].wide() }
                })
                .collect();
            let Some((left, values, right)) = jacobi(wide, rows, columns, if tall { c } else { r }) else {
                trouble.endless.store(i + 1, Ordering::Relaxed);
                return;
            };
            let (us, vs) = if tall { (left, right) } else { (right, left) };
            for (to, &from) in s.iter_mut().zip(&values) {
                *to = T::of(from);
            }
            for row in 0..m {
                for col in 0..c {
                    u[row * c + col] = T::of(us.column(col)[row]);
                }
            }
            for row in 0..r {
                for col in 0..n {
                    vh[row * n + col] = T::of(vs.column(row)[col]);
                }
            }
        });
    });
    trouble.report(call)
}

const fn row(
    name: &'static str,
    outs: usize,
    ins: usize,
    scalars: usize,
    run: fn(&Call) -> Outcome,
) -> Row {
    Row {
        name,
        outs,
        ins: (ins, ins),
        scalars: (scalars, scalars),
        alias: false,
        run,
        cuda: Some(cuda::on_host),
    }
}

pub const ROWS: &[Row] = &[
    row("lu", 3, 1, 0, lu),
    row("solve_triangular", 1, 2, 2, solve_triangular),
    row("cholesky", 2, 1, 1, cholesky),
    row("geqrf", 2, 1, 0, geqrf),
    row("orgqr", 1, 2, 0, orgqr),
    row("eigh", 2, 1, 1, eigh),
    row("svd", 3, 1, 1, svd),
];
