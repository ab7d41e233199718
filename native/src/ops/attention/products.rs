//! How the blocks of attention are multiplied: in the type that all is computed in, or, where everything is bfloat16 and
//! the processor has dot products of it, in those, with weights rounded to bfloat16 as the other operands are.

use super::Computed;
use crate::dtype::DType;
use crate::gemm::block::{self, Strips};
use crate::gemm::{A_STRIDE, Mat, pairs};
use crate::instruction::Operand;
use crate::ops::real::Real;
use core::marker::PhantomData;

/// Queries that bfloat16 pays for: fewer are padded to a tile.
const LEAST_QUERIES: usize = 8;

/// Rooms, and pointers to packed operands, are in elements of C, whatever is kept there. Sums have rows of a given
/// stride; scores, and what follows from them, of `A_STRIDE`.
pub trait Products {
    type C: Computed;
    /// Packed A, as it is multiplied.
    type Strips: Copy;
    /// Queries of a block at most: whole strips of every level's micro-kernels, or nearly so.
    const QUERIES: usize;
    /// The rows and columns that sums take.
    fn padded(rows: usize, columns: usize) -> (usize, usize);
    fn rows_room(rows: usize, depth: usize) -> usize;
    fn columns_room(columns: usize, depth: usize) -> usize;
    /// Rooms that scores take as operands.
    fn scores_room(rows: usize, columns: usize) -> usize;

    /// Before a thread multiplies, and after it.
    ///
    /// # Safety
    /// The processor has what the products take; so below.
    unsafe fn begin();
    /// # Safety
    /// As above.
    unsafe fn end();

    /// # Safety
    /// The matrix exists; `to` has the room; so below.
    unsafe fn pack_rows(a: &Mat, to: *mut Self::C) -> Self::Strips;
    /// # Safety
    /// As above.
    unsafe fn pack_columns(b: &Mat, to: *mut Self::C);

    /// C = A · B or, unless `first`, C += A · B. B was packed with a depth of its own, of which the beginning is used.
    ///
    /// # Safety
    /// The operands are packed so, and the padded C exists.
    unsafe fn multiply(
        size: (usize, usize, usize),
        a: Self::Strips,
        b: (*const Self::C, usize),
        c: (*mut Self::C, usize),
        first: bool,
    );
    /// The same with scores (rows, depth) as A.
    ///
    /// # Safety
    /// As above; `room` is that of scores.
    unsafe fn multiply_scores(
        size: (usize, usize, usize),
        scores: *mut Self::C,
        room: *mut Self::C,
        b: (*const Self::C, usize),
        c: (*mut Self::C, usize),
        first: bool,
    );
    /// C += A · B with scores (depth, columns) as B; rows of C are `A_STRIDE` apart.
    ///
    /// # Safety
    /// As above.
    unsafe fn multiply_by_scores(
        size: (usize, usize, usize),
        a: Self::Strips,
        scores: *mut Self::C,
        room: *mut Self::C,
        c: *mut Self::C,
    );
}

/// Products in C.
pub struct Plain<C>(PhantomData<C>);

impl<C: Computed> Products for Plain<C> {
    type C = C;
    type Strips = *const C;
    const QUERIES: usize = 112;
    fn padded(rows: usize, columns: usize) -> (usize, usize) {
        (rows, columns)
    }
    fn rows_room(rows: usize, depth: usize) -> usize {
        block::rows_room(rows, depth)
    }
    fn columns_room(columns: usize, depth: usize) -> usize {
        block::columns_room::<C>(columns, depth)
    }
    fn scores_room(_: usize, _: usize) -> usize {
        0
    }
    unsafe fn begin() {}
    unsafe fn end() {}
    unsafe fn pack_rows(a: &Mat, to: *mut C) -> *const C {
        // SAFETY: as promised by the caller; so below.
        unsafe { block::pack_rows(a, to) };
        to
    }
    unsafe fn pack_columns(b: &Mat, to: *mut C) {
        unsafe { block::pack_columns(b, to) }
    }
    unsafe fn multiply(
        size: (usize, usize, usize),
        a: *const C,
        (b, depth): (*const C, usize),
        c: (*mut C, usize),
        first: bool,
    ) {
        unsafe { plain(size, a, block::Panels::packed(b, depth), c, first) }
    }
    unsafe fn multiply_scores(
        size: (usize, usize, usize),
        scores: *mut C,
        _: *mut C,
        b: (*const C, usize),
        c: (*mut C, usize),
        first: bool,
    ) {
        unsafe { Self::multiply(size, scores, b, c, first) }
    }
    unsafe fn multiply_by_scores(
        size: (usize, usize, usize),
        a: *const C,
        scores: *mut C,
        _: *mut C,
        c: *mut C,
    ) {
        unsafe { plain(size, a, block::Panels::rows(scores), (c, A_STRIDE), false) }
    }
}

unsafe fn plain<C: Computed>(
    size: (usize, usize, usize),
    a: *const C,
    b: block::Panels<C>,
    (c, stride): (*mut C, usize),
    first: bool,
) {
    let (zero, one) = (<C as Real>::ZERO, <C as Real>::ONE);
    let beta = if first { zero } else { one };
    let a = Strips::packed(a, size.0);
    // SAFETY: as promised by the caller.
    unsafe { block::multiply(size, a, b, (c, stride as isize), (one, beta)) }
}

/// Dot products of pairs of bfloat16.
pub struct Pairs;

impl Pairs {
    /// Whether it takes these operands, which must be all of one call that are multiplied.
    pub fn suit(operands: &[&Operand], queries: &Operand) -> bool {
        let rows = queries.dims().iter().rev().nth(1);
        operands.iter().all(|o| o.dtype == DType::Bf16)
            && rows.is_some_and(|&rows| rows >= LEAST_QUERIES)
            && pairs::are_there()
    }
}

fn sums((at, stride): (*mut f32, usize)) -> pairs::Sums {
    pairs::Sums { at, stride }
}

fn panels((ptr, depth): (*const f32, usize)) -> pairs::Panels {
    pairs::Panels {
        ptr: ptr.cast(),
        depth,
    }
}

impl Products for Pairs {
    type C = f32;
    type Strips = pairs::Strips;
    const QUERIES: usize = 128;
    fn padded(rows: usize, columns: usize) -> (usize, usize) {
        pairs::padded(rows, columns)
    }
    fn rows_room(rows: usize, depth: usize) -> usize {
        pairs::rows_room(rows, depth) / 2
    }
    fn columns_room(columns: usize, depth: usize) -> usize {
        pairs::columns_room(columns, depth) / 2
    }
    fn scores_room(rows: usize, columns: usize) -> usize {
        Self::rows_room(rows, columns).max(Self::columns_room(columns, rows))
    }
    unsafe fn begin() {
        // SAFETY: as promised by the caller; so below.
        unsafe { pairs::begin() }
    }
    unsafe fn end() {
        unsafe { pairs::end() }
    }
    unsafe fn pack_rows(a: &Mat, to: *mut f32) -> pairs::Strips {
        unsafe { pairs::pack_rows(a, to.cast()) }
    }
    unsafe fn pack_columns(b: &Mat, to: *mut f32) {
        unsafe { pairs::pack_columns(b, to.cast()) }
    }
    unsafe fn multiply(
        size: (usize, usize, usize),
        a: pairs::Strips,
        b: (*const f32, usize),
        c: (*mut f32, usize),
        first: bool,
    ) {
        unsafe { pairs::multiply(size, a, panels(b), sums(c), first) }
    }
    unsafe fn multiply_scores(
        size: (usize, usize, usize),
        scores: *mut f32,
        room: *mut f32,
        b: (*const f32, usize),
        c: (*mut f32, usize),
        first: bool,
    ) {
        unsafe {
            let a = pairs::round_rows(sums((scores, A_STRIDE)), (size.0, size.2), room.cast());
            Self::multiply(size, a, b, c, first);
        }
    }
    unsafe fn multiply_by_scores(
        size: (usize, usize, usize),
        a: pairs::Strips,
        scores: *mut f32,
        room: *mut f32,
        c: *mut f32,
    ) {
        unsafe {
            pairs::round_columns(sums((scores, A_STRIDE)), (size.2, size.1), room.cast());
            Self::multiply(size, a, (room, size.2), (c, A_STRIDE), false);
        }
    }
}
