//! A plane laid out so that every tap of a window reads contiguous elements: with the zeros around it, and split by the
//! phases of the strides, so that the elements that one tap reads at neighbouring positions are neighbours.

use crate::gemm::{Float, copy_row};
use crate::simd;

/// Elements of a field at most.
const LARGEST: usize = 1 << 26;

/// How a plane is laid out: for each phase of the three strides its places, (depth, height, width).
pub struct Field {
    /// Of the plane.
    plane: [usize; 3],
    /// Zeros in front of it.
    lead: [usize; 3],
    stride: [usize; 3],
    /// Places of a phase along each dim.
    places: [usize; 3],
    /// Where each tap reads, seen from where its position is.
    pub taps: Vec<usize>,
}

impl Field {
    /// For positions on a grid that read at `position · stride + offset` for each of the offsets. None where it would be
    /// much larger than the plane, as for very wide windows.
    pub fn new(
        grid: [usize; 3],
        plane: [usize; 3],
        stride: [usize; 3],
        offsets: &[[isize; 3]],
    ) -> Option<Field> {
        let mut field = Field {
            plane,
            lead: [0; 3],
            stride,
            places: [1; 3],
            taps: Vec::new(),
        };
        let mut size = 1usize;
        for d in 0..3 {
            let least = offsets.iter().map(|o| o[d]).min()?;
            let most = offsets.iter().map(|o| o[d]).max()?;
            field.lead[d] = (-least).max(0) as usize;
            let end = ((grid[d] - 1) * stride[d]) as isize + most + field.lead[d] as isize + 1;
            field.places[d] = (end.max(1) as usize).div_ceil(stride[d]);
            size = size.checked_mul(field.places[d].checked_mul(stride[d])?)?;
        }
        if size > LARGEST {
            return None;
        }
        field.taps = offsets
            .iter()
            .map(|offset| {
                let at: [usize; 3] =
                    core::array::from_fn(|d| (offset[d] + field.lead[d] as isize) as usize);
                field.element(at)
            })
            .collect();
        Some(field)
    }

    pub fn size(&self) -> usize {
        (0..3).map(|d| self.places[d] * self.stride[d]).product()
    }

    /// Elements from a position to the next one along each dim.
    pub fn pitch(&self) -> [usize; 3] {
        [self.places[1] * self.places[2], self.places[2], 1]
    }

    /// Where the element at these coordinates, zeros counted, is.
    fn element(&self, at: [usize; 3]) -> usize {
        let phase = |d: usize| at[d] % self.stride[d];
        let place = |d: usize| at[d] / self.stride[d];
        let block = (phase(0) * self.stride[1] + phase(1)) * self.stride[2] + phase(2);
        ((block * self.places[0] + place(0)) * self.places[1] + place(1)) * self.places[2]
            + place(2)
    }

    /// Calls `f(element of the field, element of the plane, step in the plane, count)` for all elements of the plane that
    /// some window may read.
    #[inline(always)]
    fn rows(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let s = self.stride[2];
        let held = |d: usize| {
            let end = self.places[d] * self.stride[d];
            self.plane[d].min(end.saturating_sub(self.lead[d]))
        };
        for z in 0..held(0) {
            for y in 0..held(1) {
                let row = (z * self.plane[1] + y) * self.plane[2];
                for x in 0..s.min(held(2)) {
                    let here = self.element([z + self.lead[0], y + self.lead[1], x + self.lead[2]]);
                    f(here, row + x, s, (held(2) - x).div_ceil(s));
                }
            }
        }
    }

    /// Lays a plane out.
    ///
    /// # Safety
    /// x is a plane, and `to` has room for `size` elements.
    pub unsafe fn load<T: Float>(&self, x: *const T, to: *mut T) {
        // SAFETY: as promised by the caller.
        unsafe {
            if self.stride[2] == 1 && self.stride[1] == 1 && self.stride[0] == 1 {
                return load_dense(self, x, to);
            }
            core::slice::from_raw_parts_mut(to, self.size()).fill(T::ZERO);
            self.rows(|here, at, step, n| {
                for i in 0..n {
                    *to.add(here + i) = *x.add(at + i * step);
                }
            });
        }
    }

    /// The plane of a field; zero where no window reads.
    ///
    /// # Safety
    /// As in `load`.
    pub unsafe fn unload<T: Float>(&self, from: *const T, x: *mut T) {
        // SAFETY: as promised by the caller.
        unsafe {
            let size = self.plane.iter().product();
            core::slice::from_raw_parts_mut(x, size).fill(T::ZERO);
            self.rows(|here, at, step, n| {
                for i in 0..n {
                    *x.add(at + i * step) = *from.add(here + i);
                }
            });
        }
    }
}

simd! {
    /// Without strides rows follow each other, with zeros between them.
    unsafe fn load_dense<T: Float>(field: &Field, x: *const T, to: *mut T) {
        const N: usize = 16;
        let (mut done, size) = (0, field.size());
        // SAFETY: as in `load`.
        unsafe {
            field.rows(|here, at, _, n| {
                if here - done <= N && done + N <= size {
                    // What else it reaches is written next.
                    to.add(done).cast::<[T; N]>().write_unaligned([T::ZERO; N]);
                } else {
                    core::slice::from_raw_parts_mut(to.add(done), here - done).fill(T::ZERO);
                }
                copy_row(x.add(at), to.add(here), n);
                done = here + n;
            });
            core::slice::from_raw_parts_mut(to.add(done), size - done).fill(T::ZERO);
        }
    }
}
