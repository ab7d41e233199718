//! Walks several strided operands through one index space, for kernels that move elements rather than compute:
//! dims merge wherever every operand allows it, and the innermost runs are handed out.

use crate::instruction::MAX_DIMS;
use crate::ops::map::STREAMED;
use crate::stream;

pub mod cuda;

/// An index space and K sets of strides through it.
#[derive(Clone)]
pub struct Walk<const K: usize> {
    pub ndim: usize,
    pub dims: [usize; MAX_DIMS],
    pub strides: [[isize; MAX_DIMS]; K],
    pub numel: usize,
}

// K arrays side by side, at one place of each: an index says it best.
#[allow(clippy::needless_range_loop)]
impl<const K: usize> Walk<K> {
    /// Every set of strides has as many entries as `dims`, at most `MAX_DIMS`.
    pub fn new(dims: &[usize], strides: [&[isize]; K]) -> Walk<K> {
        let mut w = Walk {
            ndim: 0,
            dims: [1; MAX_DIMS],
            strides: [[0; MAX_DIMS]; K],
            numel: dims.iter().product(),
        };
        for d in (0..dims.len()).rev() {
            if dims[d] == 1 {
                continue;
            }
            let last = w.ndim.wrapping_sub(1);
            let merges = w.ndim > 0
                && (0..K).all(|k| strides[k][d] == w.strides[k][last] * w.dims[last] as isize);
            if merges {
                w.dims[last] *= dims[d];
            } else {
                w.dims[w.ndim] = dims[d];
                for k in 0..K {
                    w.strides[k][w.ndim] = strides[k][d];
                }
                w.ndim += 1;
            }
        }
        w.dims[..w.ndim].reverse();
        for k in 0..K {
            w.strides[k][..w.ndim].reverse();
        }
        w
    }

    /// Where the flat element `at` lies for each set of strides.
    pub fn offsets(&self, at: usize) -> [isize; K] {
        let mut offsets = [0isize; K];
        let mut rest = at;
        for d in (0..self.ndim).rev() {
            let i = (rest % self.dims[d]) as isize;
            rest /= self.dims[d];
            for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
                *offset += i * strides[d];
            }
        }
        offsets
    }

    /// Calls `run(offsets, strides, length)` for each innermost run of the flat elements `from..from + n`, in order.
    #[inline(always)]
    pub fn runs(&self, from: usize, n: usize, mut run: impl FnMut([isize; K], [isize; K], usize)) {
        if n == 0 {
            return;
        }
        if self.ndim == 0 {
            return run([0; K], [0; K], n);
        }
        let mut index = [0usize; MAX_DIMS];
        let mut offsets = [0isize; K];
        let mut rest = from;
        for d in (0..self.ndim).rev() {
            index[d] = rest % self.dims[d];
            rest /= self.dims[d];
            for k in 0..K {
                offsets[k] += index[d] as isize * self.strides[k][d];
            }
        }
        let last = self.ndim - 1;
        let inner: [isize; K] = core::array::from_fn(|k| self.strides[k][last]);
        let mut left = n;
        loop {
            let length = (self.dims[last] - index[last]).min(left);
            run(offsets, inner, length);
            left -= length;
            if left == 0 {
                return;
            }
            // Only the first run starts inside a row; step to the next row.
            for k in 0..K {
                offsets[k] -= index[last] as isize * inner[k];
            }
            index[last] = 0;
            let mut d = last;
            while d > 0 {
                d -= 1;
                index[d] += 1;
                for k in 0..K {
                    offsets[k] += self.strides[k][d];
                }
                if index[d] < self.dims[d] {
                    break;
                }
                for k in 0..K {
                    offsets[k] -= self.dims[d] as isize * self.strides[k][d];
                }
                index[d] = 0;
            }
        }
    }
}

/// `to[i * ts] = from[i * fs]` for n elements.
///
/// # Safety
/// Every element reached lies inside its storage, and the two runs do not overlap.
#[inline(always)]
pub unsafe fn move_run<T: Copy>(from: *const T, fs: isize, to: *mut T, ts: isize, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if fs == 1 && ts == 1 {
            core::ptr::copy_nonoverlapping(from, to, n);
        } else if fs == 0 && ts == 1 && n > 0 {
            let x = *from;
            for i in 0..n {
                *to.add(i) = x;
            }
        } else {
            for i in 0..n as isize {
                *to.offset(i * ts) = *from.offset(i * fs);
            }
        }
    }
}

/// As `move_run`; long runs go past the caches, so a `stream::fence` must follow.
///
/// # Safety
/// As for `move_run`.
#[inline(always)]
pub unsafe fn stream_run<T: Copy>(from: *const T, fs: isize, to: *mut T, ts: isize, n: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if fs == 1 && ts == 1 {
            stream::copy(from.cast(), to.cast(), n * size_of::<T>());
        } else if fs == 0 && ts == 1 && n > 0 {
            let same = [*from; STREAMED];
            for at in (0..n).step_by(STREAMED) {
                let bytes = (n - at).min(STREAMED) * size_of::<T>();
                stream::copy(same.as_ptr().cast(), to.add(at).cast(), bytes);
            }
        } else {
            move_run(from, fs, to, ts, n);
        }
    }
}

/// An address that threads share; each writes its own elements only.
#[derive(Clone, Copy)]
pub struct Address<T>(*mut T);
// SAFETY: kernels hand disjoint elements to different threads.
unsafe impl<T> Sync for Address<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Address<T> {}

impl<T> Address<T> {
    pub fn new(address: *mut u8) -> Address<T> {
        Address(address.cast())
    }

    /// The element `offset` elements on.
    ///
    /// # Safety
    /// It lies inside the same storage.
    #[inline(always)]
    pub unsafe fn at(self, offset: isize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.offset(offset) }
    }
}

/// Runs `$body` with `$T` bound to an unsigned integer as wide as an element of `$dtype`: for moving bits about.
#[macro_export]
macro_rules! with_bits {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_visit_every_element_in_order() {
        // A transposed operand beside a dense one, started in the middle.
        let w = Walk::<2>::new(&[3, 1, 4], [&[4, 4, 1], &[1, 9, 3]]);
        assert_eq!(w.ndim, 2);
        for (from, n) in [(0, 12), (5, 6), (11, 1), (3, 0)] {
            let mut seen = Vec::new();
            w.runs(from, n, |o, s, length| {
                for i in 0..length as isize {
                    seen.push([o[0] + i * s[0], o[1] + i * s[1]]);
                }
            });
            let wanted: Vec<_> = (from..from + n).map(|i| w.offsets(i)).collect();
            assert_eq!(seen, wanted);
            assert!(wanted.iter().zip(from..).all(|(o, i)| o[0] == i as isize));
        }
        // Dense everywhere: one dim.
        assert_eq!(Walk::<1>::new(&[3, 4, 5], [&[20, 5, 1]]).ndim, 1);
    }
}
