//! Operands by dims and strides, as CUDA kernels that walk planes are given them; mirrors View in view/view.cuh.

use crate::instruction::Operand;

/// An operand of up to D dims: the first ones in front, the others behind, dims of size 1 between them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View<const D: usize> {
    data: u64,
    dtype: i32,
    unused: i32,
    dims: [i64; D],
    strides: [i64; D],
}

impl<const D: usize> View<D> {
    /// No operand.
    pub const NONE: View<D> = View {
        data: 0,
        dtype: 0,
        unused: 0,
        dims: [1; D],
        strides: [0; D],
    };

    /// `lead` dims stay in front; the operand has at most D.
    pub fn of(o: &Operand, lead: usize) -> View<D> {
        let mut view = View::NONE;
        (view.data, view.dtype) = (o.ptr as u64, o.dtype as i32);
        for d in 0..o.ndim {
            let to = if d < lead { d } else { d + D - o.ndim };
            view.dims[to] = o.dims()[d] as i64;
            view.strides[to] = o.strides()[d] as i64;
        }
        view
    }

    /// Memory of a kernel's own without gaps.
    pub fn dense(address: u64, dtype: crate::dtype::DType, dims: [i64; D]) -> View<D> {
        let mut view = View {
            data: address,
            dtype: dtype as i32,
            dims,
            ..View::NONE
        };
        let mut step = 1;
        for d in (0..D).rev() {
            view.strides[d] = step;
            step *= dims[d];
        }
        view
    }

    pub fn dims(&self) -> [i64; D] {
        self.dims
    }

    pub fn numel(&self) -> i64 {
        self.dims.iter().product()
    }
}
