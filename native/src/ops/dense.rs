//! Operands as contiguous arrays of a compute type: in place where they are that already, else by way of a scratch copy.
//! For kernels that walk windows of planes, where strides would cost more than one copy.

use super::nest::{Nest, Place};
use crate::dtype::Number;
use crate::fault::{Fault, Outcome};
use crate::instruction::{MAX_DIMS, Operand};
use crate::memory::Scratch;
use crate::pool;
use std::sync::Mutex;

/// Units of work that are worth a task.
pub const GRAIN: usize = 32 * 1024;

fn nest(o: &Operand) -> Nest<1> {
    let mut loops = [(0, [0isize; 1]); MAX_DIMS];
    for (to, (&size, &stride)) in loops.iter_mut().zip(o.dims().iter().zip(o.strides())) {
        *to = (size, [stride]);
    }
    Nest::new(&loops[..o.ndim])
}

/// Elements that are read.
pub struct Input<C> {
    ptr: *const C,
    count: usize,
    _copy: Option<Scratch>,
}

// SAFETY: read only.
unsafe impl<C: Sync> Sync for Input<C> {}

impl<C: Number> Input<C> {
    pub fn of(o: &Operand) -> Outcome<Input<C>> {
        let count = o.numel();
        if o.dtype == C::DTYPE && (o.is_contiguous() || count == 0) {
            return Ok(Input {
                ptr: o.ptr.cast(),
                count,
                _copy: None,
            });
        }
        let copy = Scratch::new::<C>(count)?;
        let to = Place {
            ptr: copy.as_ptr(),
            dtype: C::DTYPE,
        };
        let (from, walk) = (Place::of(o), nest(o));
        pool::parallel_ranges(count, GRAIN, &|range| {
            let start = range.start;
            walk.runs(start, range.len(), |[offset], [stride], at, n| {
                // SAFETY: checked elements into this task's part of the copy.
                unsafe {
                    let to = to.at((start + at) as isize).cast::<C>();
                    from.gather(offset, stride, to, n);
                }
            });
        });
        Ok(Input {
            ptr: to.ptr.cast(),
            count,
            _copy: Some(copy),
        })
    }

    pub fn all(&self) -> &[C] {
        // SAFETY: `count` elements, initialised and aligned.
        unsafe { core::slice::from_raw_parts(self.ptr, self.count) }
    }

    pub fn ptr(&self) -> *const C {
        self.ptr
    }
}

/// Elements that are written, or summed into; [`Output::finish`] puts them in their places.
pub struct Output<C> {
    ptr: *mut C,
    count: usize,
    copy: Option<Scratch>,
}

// SAFETY: threads write disjoint elements, as kernels promise at [`Output::part`].
unsafe impl<C: Sync> Sync for Output<C> {}

impl<C: Number> Output<C> {
    /// Room for the elements of an operand, contents undefined.
    pub fn of(o: &Operand) -> Outcome<Output<C>> {
        let count = o.numel();
        if o.dtype == C::DTYPE && (o.is_contiguous() || count == 0) {
            return Ok(Output {
                ptr: o.ptr.cast(),
                count,
                copy: None,
            });
        }
        let copy = Scratch::new::<C>(count)?;
        Ok(Output {
            ptr: copy.as_ptr(),
            count,
            copy: Some(copy),
        })
    }

    pub fn ptr(&self) -> *mut C {
        self.ptr
    }

    /// Elements `start..start + n`, to be filled.
    ///
    /// # Safety
    /// They exist, and no other thread uses them meanwhile.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, start: usize, n: usize) -> &mut [C] {
        debug_assert!(start + n <= self.count);
        // SAFETY: as promised by the caller; any bits are a number.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.add(start), n) }
    }

    /// Writes the elements to the operand, converted.
    pub fn finish(self, o: &Operand) {
        if self.copy.is_none() {
            return;
        }
        let from = Place {
            ptr: self.ptr.cast(),
            dtype: C::DTYPE,
        };
        let (to, walk) = (Place::of(o), nest(o));
        pool::parallel_ranges(self.count, GRAIN, &|range| {
            let start = range.start;
            walk.runs(start, range.len(), |[offset], [stride], at, n| {
                // SAFETY: this task's elements of both.
                unsafe {
                    let from = from.at((start + at) as isize).cast::<C>();
                    to.scatter(offset, stride, from.cast_const(), n);
                }
            });
        });
    }
}

/// Runs `body` on every number below `count`, in tasks of about `GRAIN` units of work when one takes `work`; the first
/// fault is the result.
pub fn each(count: usize, work: usize, body: &(dyn Fn(usize) -> Outcome + Sync)) -> Outcome {
    let fault: Mutex<Option<Fault>> = Mutex::new(None);
    pool::parallel_ranges(count, (GRAIN / work.max(1)).max(1), &|range| {
        for i in range {
            if let Err(found) = body(i) {
                fault
                    .lock()
                    .unwrap_or_else(|e| e.into_inner())
                    .get_or_insert(found);
            }
        }
    });
    match fault.into_inner().unwrap_or_else(|e| e.into_inner()) {
        Some(found) => Err(found),
        None => Ok(()),
    }
}
