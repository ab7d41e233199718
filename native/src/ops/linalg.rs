//! Factorisations of batches of matrices: LU, Cholesky, QR, triangular systems, symmetric eigenvalues, singular values.
//! Operands are contiguous, matrices are their last two dims, row-major; each matrix is one job of the pool. What they
//! give follows LAPACK's conventions: row interchanges, signs of reflectors. The work is faer's, on the thread that calls
//! it, so that results do not depend on the number of threads; matrices go to it by columns, as it likes them.

mod cuda;
mod reflectors;
mod spectra;
mod systems;

use crate::bail;
use crate::dtype::DType;
use crate::fault::{Fault, Outcome};
use crate::gemm::Buffer;
use crate::instruction::{Call, Operand, Row};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Add, Div, Mul, Sub};
use faer::dyn_stack::{MemStack, StackReq};
use faer::traits::RealField;
use faer::{MatMut, MatRef};

/// A float type that factorisations compute in.
trait Field:
    RealField
    + Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    const DTYPE: DType;
    const ZERO: Self;
    const ONE: Self;
    fn wide(self) -> f64;
    fn of(x: f64) -> Self;
    fn size(self) -> Self;
}

macro_rules! field {
    ($T:ident, $dtype:ident) => {
        impl Field for $T {
            const DTYPE: DType = DType::$dtype;
            const ZERO: $T = 0.0;
            const ONE: $T = 1.0;
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn of(x: f64) -> $T {
                x as $T
            }
            fn size(self) -> $T {
                self.abs()
            }
        }
    };
}
field!(f32, F32);
field!(f64, F64);

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
use with_field;

/// An operand's last `tail` dims are one item of a batch.
#[derive(Clone, Copy)]
struct Items {
    address: usize,
    length: usize,
}

impl Items {
    /// Where item `i` begins.
    fn start<T>(self, i: usize) -> *mut T {
        (self.address as *mut T).wrapping_add(i * self.length)
    }

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

/// A flag among the scalars.
fn flag(call: &Call, i: usize) -> bool {
    call.float(i) != 0.0
}

/// Memory that its thread keeps for the next job.
struct Area(Option<Buffer>);

impl Area {
    fn take<T>(count: usize) -> Outcome<Area> {
        let buffer = Buffer::take::<T>(count).map_err(Fault::OutOfMemory)?;
        Ok(Area(Some(buffer)))
    }

    fn get<T>(&self) -> *mut T {
        self.0.as_ref().map_or(core::ptr::null_mut(), Buffer::get)
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            buffer.give_back();
        }
    }
}

/// Matrices are turned in squares of so many rows, so that neither order of their elements misses the caches.
const SIDE: usize = 16;

/// A matrix by columns in memory of its own.
struct Columns<T> {
    area: Area,
    rows: usize,
    columns: usize,
    of: PhantomData<T>,
}

impl<T: Field> Columns<T> {
    fn zeros(rows: usize, columns: usize) -> Outcome<Columns<T>> {
        Columns::from(rows, columns, |_, _| T::ZERO)
    }

    /// A matrix whose element (i, j) is `at(i, j)`.
    fn from(rows: usize, columns: usize, at: impl Fn(usize, usize) -> T) -> Outcome<Columns<T>> {
        let area = Area::take::<T>(rows * columns)?;
        for first in (0..columns).step_by(SIDE) {
            for top in (0..rows).step_by(SIDE) {
                for j in first..columns.min(first + SIDE) {
                    for i in top..rows.min(top + SIDE) {
                        // SAFETY: inside the area.
                        unsafe { area.get::<T>().add(j * rows + i).write(at(i, j)) };
                    }
                }
            }
        }
        Ok(Columns {
            area,
            rows,
            columns,
            of: PhantomData,
        })
    }

    fn column_mut(&mut self, j: usize) -> &mut [T] {
        assert!(j < self.columns);
        // SAFETY: a column of elements that were set when it was made, borrowed as this is.
        unsafe {
            let start = self.area.get::<T>().add(j * self.rows);
            core::slice::from_raw_parts_mut(start, self.rows)
        }
    }

    fn at(&self, i: usize, j: usize) -> T {
        assert!(i < self.rows && j < self.columns);
        // SAFETY: inside the matrix, and set when it was made.
        unsafe { *self.area.get::<T>().add(j * self.rows + i) }
    }

    fn as_ref(&self) -> MatRef<'_, T> {
        let (start, stride) = (self.area.get::<T>(), self.rows as isize);
        // SAFETY: that many elements by columns, borrowed as this is.
        unsafe { MatRef::from_raw_parts(start, self.rows, self.columns, 1, stride) }
    }

    fn as_mut(&mut self) -> MatMut<'_, T> {
        let (start, stride) = (self.area.get::<T>(), self.rows as isize);
        // SAFETY: as above, borrowed for writing.
        unsafe { MatMut::from_raw_parts_mut(start, self.rows, self.columns, 1, stride) }
    }

    /// Writes it by rows, each element through `f` of its place and what it is.
    fn write<U>(&self, to: &mut [U], f: impl Fn(usize, usize, T) -> U) {
        assert!(to.len() == self.rows * self.columns);
        for top in (0..self.rows).step_by(SIDE) {
            for first in (0..self.columns).step_by(SIDE) {
                for i in top..self.rows.min(top + SIDE) {
                    for j in first..self.columns.min(first + SIDE) {
                        to[i * self.columns + j] = f(i, j, self.at(i, j));
                    }
                }
            }
        }
    }
}

/// Runs faer with as much memory aside as it says it needs.
fn with_stack<R>(needs: StackReq, run: impl FnOnce(&mut MemStack) -> R) -> Outcome<R> {
    let bytes = needs.unaligned_bytes_required();
    let area = Area::take::<u8>(bytes)?;
    // SAFETY: bytes that need not be set, of an area that is ours.
    let bytes = unsafe { core::slice::from_raw_parts_mut(area.get::<MaybeUninit<u8>>(), bytes) };
    Ok(run(MemStack::new(bytes)))
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
    row("lu", 3, 1, 0, systems::lu),
    row("solve_triangular", 1, 2, 2, systems::solve_triangular),
    row("cholesky", 2, 1, 1, systems::cholesky),
    row("geqrf", 2, 1, 0, reflectors::geqrf),
    row("orgqr", 1, 2, 0, reflectors::orgqr),
    row("eigh", 2, 1, 1, spectra::eigh),
    row("svd", 3, 1, 1, spectra::svd),
];
