//! A nest of loops over K operands at once: what reductions, scans and normalisations walk.

// Loops over lanes by number are what LLVM vectorises best, and several arrays advance in one of them.
#![allow(clippy::needless_range_loop)]

use crate::dtype::{Element, Number};
use crate::instruction::{MAX_DIMS, Operand};
use crate::{simd, with_dtype};
use core::any::TypeId;

/// Loops from the outermost to the innermost, neighbours merged where every operand allows it.
#[derive(Clone, Copy)]
pub struct Nest<const K: usize> {
    pub ndim: usize,
    pub sizes: [usize; MAX_DIMS],
    pub strides: [[isize; K]; MAX_DIMS],
    pub numel: usize,
}

impl<const K: usize> Nest<K> {
    /// Over the dims of operands of one shape, but for `d`.
    pub fn beside(operands: [&Operand; K], d: usize) -> Nest<K> {
        let dims = operands[0].dims();
        let mut loops = [(0, [0isize; K]); MAX_DIMS];
        let mut m = 0;
        for i in (0..dims.len()).filter(|&i| i != d) {
            loops[m] = (dims[i], operands.map(|o| o.strides()[i]));
            m += 1;
        }
        Nest::new(&loops[..m])
    }

    /// Takes the loops outermost first.
    pub fn new(loops: &[(usize, [isize; K])]) -> Nest<K> {
        let mut nest = Nest {
            ndim: 0,
            sizes: [1; MAX_DIMS],
            strides: [[0; K]; MAX_DIMS],
            numel: 1,
        };
        for &(size, strides) in loops {
            nest.numel *= size;
            if size == 1 {
                continue;
            }
            let last = nest.ndim.wrapping_sub(1);
            let merges = nest.ndim > 0
                && (0..K).all(|k| nest.strides[last][k] == strides[k] * size as isize);
            if merges {
                nest.sizes[last] *= size;
                nest.strides[last] = strides;
            } else {
                nest.sizes[nest.ndim] = size;
                nest.strides[nest.ndim] = strides;
                nest.ndim += 1;
            }
        }
        nest
    }

    /// Size and strides of the innermost loop; one step of nothing when there is none.
    pub fn inner(&self) -> (usize, [isize; K]) {
        if self.ndim == 0 {
            (1, [0; K])
        } else {
            (self.sizes[self.ndim - 1], self.strides[self.ndim - 1])
        }
    }

    /// Calls `run(offsets, strides, at, length)` for each innermost run of the flat steps `from..from + n`.
    #[inline(always)]
    pub fn runs(
        &self,
        from: usize,
        n: usize,
        mut run: impl FnMut([isize; K], [isize; K], usize, usize),
    ) {
        if n == 0 {
            return;
        }
        if self.ndim == 0 {
            return run([0; K], [0; K], 0, n);
        }
        let last = self.ndim - 1;
        let mut index = [0usize; MAX_DIMS];
        let mut offset = [0isize; K];
        let mut rest = from;
        for d in (0..self.ndim).rev() {
            index[d] = rest % self.sizes[d];
            rest /= self.sizes[d];
            for k in 0..K {
                offset[k] += index[d] as isize * self.strides[d][k];
            }
        }
        let mut at = 0;
        loop {
            let length = (self.sizes[last] - index[last]).min(n - at);
            run(offset, self.strides[last], at, length);
            at += length;
            if at == n {
                return;
            }
            // Only the first run starts inside a row; step to the next row.
            for k in 0..K {
                offset[k] -= index[last] as isize * self.strides[last][k];
            }
            index[last] = 0;
            let mut d = last;
            while d > 0 {
                d -= 1;
                index[d] += 1;
                for k in 0..K {
                    offset[k] += self.strides[d][k];
                }
                if index[d] < self.sizes[d] {
                    break;
                }
                for k in 0..K {
                    offset[k] -= self.sizes[d] as isize * self.strides[d][k];
                }
                index[d] = 0;
            }
        }
    }
}

/// From float32 to integers where every number has an int32: for that every level has an instruction. Whether it was done.
///
/// # Safety
/// There are n elements, and room for as many.
#[inline(always)]
unsafe fn store_small_integers<C: Number, E: Element>(x: *const C, to: *mut E, n: usize) -> bool {
    const BOUND: f32 = (1u32 << 31) as f32;
    let of = TypeId::of::<E>();
    let is_integer = of == TypeId::of::<i64>()
        || of == TypeId::of::<i32>()
        || of == TypeId::of::<i16>()
        || of == TypeId::of::<i8>()
        || of == TypeId::of::<u8>();
    if TypeId::of::<C>() != TypeId::of::<f32>() || !is_integer {
        return false;
    }
    let x = x.cast::<f32>();
    // SAFETY: the caller gives the elements, which are float32; an int32 has each.
    unsafe {
        let mut outside = 0u32;
        for i in 0..n {
            let is_small = (*x.add(i)).abs() < BOUND;
            outside |= u32::from(!is_small);
        }
        if outside == 0 {
            for i in 0..n {
                *to.add(i) = E::from_i64(i64::from((*x.add(i)).to_int_unchecked::<i32>()));
            }
        }
        outside == 0
    }
}

simd! {
    /// `out[i] = from[i * stride]`, converted.
    ///
    /// # Safety
    /// The elements exist, and there is room for them.
    pub unsafe fn gather_run<E: Element, C: Number>(from: *const E, stride: isize, out: *mut C, n: usize) {
        // SAFETY: the caller checked that every element lies inside its storage.
        unsafe {
            if stride == 1 {
                for i in 0..n { *out.add(i) = C::load(*from.add(i)); }
            } else if stride == 0 && n > 0 {
                core::slice::from_raw_parts_mut(out, n).fill(C::load(*from));
            } else {
                for i in 0..n { *out.add(i) = C::load(*from.offset(i as isize * stride)); }
            }
        }
    }
}

simd! {
    /// `to[i * stride] = x[i]`, converted.
    ///
    /// # Safety
    /// The elements exist, and there is room for them.
    pub unsafe fn scatter_run<E: Element, C: Number>(x: *const C, to: *mut E, stride: isize, n: usize) {
        // SAFETY: as in `gather_run`.
        unsafe {
            if stride == 1 && store_small_integers(x, to, n) {
                return;
            }
            if stride == 1 {
                for i in 0..n { *to.add(i) = (*x.add(i)).store(); }
            } else {
                for i in 0..n { *to.offset(i as isize * stride) = (*x.add(i)).store(); }
            }
        }
    }
}

/// An address in a storage with its element type; threads share it and write disjoint elements.
#[derive(Clone, Copy)]
pub struct Place {
    pub ptr: *mut u8,
    pub dtype: crate::dtype::DType,
}

// SAFETY: an address in a held storage; who writes through it writes elements of its own only.
unsafe impl Sync for Place {}
// SAFETY: as above.
unsafe impl Send for Place {}

impl Place {
    pub fn of(o: &crate::instruction::Operand) -> Place {
        Place {
            ptr: o.ptr,
            dtype: o.dtype,
        }
    }

    /// The address of the element `offset` elements on.
    #[inline(always)]
    pub fn at(self, offset: isize) -> *mut u8 {
        self.ptr
            .wrapping_offset(offset * self.dtype.size() as isize)
    }

    /// Brings n elements from `offset` on into `out`.
    ///
    /// # Safety
    /// The elements exist and `out` has room for n.
    #[inline]
    pub unsafe fn gather<C: Number>(self, offset: isize, stride: isize, out: *mut C, n: usize) {
        // SAFETY: as promised by the caller.
        with_dtype!(self.dtype, E => unsafe { gather_run::<E, C>(self.at(offset).cast(), stride, out, n) });
    }

    /// Stores n values from `offset` on.
    ///
    /// # Safety
    /// The elements exist, are no other thread's, and `x` has n values.
    #[inline]
    pub unsafe fn scatter<C: Number>(self, offset: isize, stride: isize, x: *const C, n: usize) {
        // SAFETY: as promised by the caller.
        with_dtype!(self.dtype, E => unsafe { scatter_run::<E, C>(x, self.at(offset).cast(), stride, n) });
    }
}
