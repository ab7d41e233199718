//! Stores past the caches. A plain store to a line that no cache holds reads the line first and throws another out; a
//! non-temporal one does neither. That pays for outputs which no cache would keep until they are read.

use crate::instruction::Operand;
use crate::lanes::{self, Job, Lanes};
use crate::simd::{self, Level};

/// Smaller outputs (bytes) go through the caches, where the next op finds them: half of a usual last-level cache.
const LEAST: usize = 16 << 20;
/// The same where no cache holds the output's memory, so that a plain store would read it first.
const LEAST_COLD: usize = 8 << 20;

/// Whether an output should be written past the caches as it is read or computed.
pub fn pays(out: &Operand) -> bool {
    is_streamed_from(if out.is_cold { LEAST_COLD } else { LEAST }, out)
}

/// Whether an output should be written past the caches where that takes a buffer, from which it is copied.
pub fn pays_buffered(out: &Operand) -> bool {
    is_streamed_from(LEAST, out)
}

fn is_streamed_from(least: usize, out: &Operand) -> bool {
    // One number alone, as the portable level has it, cannot be.
    out.numel() * out.dtype.size() >= least && simd::level() != Level::Portable
}

/// Copies past the caches. Other threads see the bytes only after a [`fence`] of this one.
///
/// # Safety
/// So many bytes can be read and written, and the two do not overlap.
pub unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: as promised by the caller.
    unsafe { copy_ahead(from, to, bytes, &[]) }
}

/// What is read next, brought into the cache while something is written: an address, and how many bytes of it belong
/// to a line of the output. It need not be an address of memory at all.
pub type Ahead = (*const u8, usize);

/// As [`copy`], with reading ahead: the processor's own prefetching ends with each chunk, and begins anew with the next.
///
/// # Safety
/// As for [`copy`].
pub unsafe fn copy_ahead(from: *const u8, to: *mut u8, bytes: usize, ahead: &[Ahead]) {
    let rows = Rows {
        from,
        to,
        steps: (0, 0),
        bytes,
        rows: 1,
        ahead,
    };
    // SAFETY: as promised by the caller.
    unsafe { lanes::dispatch(rows) }
}

/// As [`copy`] for so many rows, whose first bytes lie `steps` bytes apart on each side.
///
/// # Safety
/// As for [`copy`], for each of them.
pub unsafe fn copy_rows(
    from: *const u8,
    to: *mut u8,
    steps: (isize, isize),
    bytes: usize,
    rows: usize,
) {
    let rows = Rows {
        from,
        to,
        steps,
        bytes,
        rows,
        ahead: &[],
    };
    // SAFETY: as promised by the caller.
    unsafe { lanes::dispatch(rows) }
}

struct Rows<'a> {
    from: *const u8,
    to: *mut u8,
    steps: (isize, isize),
    bytes: usize,
    rows: usize,
    ahead: &'a [Ahead],
}

impl Job for Rows<'_> {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        for row in 0..self.rows as isize {
            // SAFETY: the caller's promise.
            unsafe {
                let (from, to) = (
                    self.from.offset(row * self.steps.0),
                    self.to.offset(row * self.steps.1),
                );
                self.row::<V>(from, to);
            }
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    unsafe fn row<V: Lanes>(&self, from: *const u8, to: *mut u8) {
        // SAFETY: the caller gives `bytes` of each; whole lines are aligned.
        unsafe {
            if V::COUNT == 1 {
                return core::ptr::copy_nonoverlapping(from, to, self.bytes);
            }
            // Whole lines are streamed: parts of one would go out one by one.
            let head = to.align_offset(64).min(self.bytes);
            let end = head + (self.bytes - head) / 64 * 64;
            if head > 0 {
                core::ptr::copy_nonoverlapping(from, to, head);
            }
            let mut at = head;
            while at < end {
                for &(next, size) in self.ahead {
                    let mut line = 0;
                    while line < size {
                        prefetch(next.wrapping_add(at / 64 * size + line));
                        line += 64;
                    }
                }
                let (from, to) = (from.add(at).cast::<f32>(), to.add(at).cast::<f32>());
                let mut k = 0;
                while k < 16 {
                    V::load(from.add(k)).stream(to.add(k));
                    k += V::COUNT;
                }
                at += 64;
            }
            if end < self.bytes {
                core::ptr::copy_nonoverlapping(from.add(end), to.add(end), self.bytes - end);
            }
        }
    }
}

/// Brings a line into the cache. It need not be an address of memory.
#[inline(always)]
pub fn prefetch<T>(from: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch touches nothing, and SSE is always there.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(from.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Brings so many bytes into the cache, line by line.
#[inline(always)]
pub fn prefetch_bytes(from: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        prefetch(from.wrapping_add(line));
    }
}

/// Makes what this thread has streamed visible to whom it hands its work on: a release store does not.
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it touches no memory, and SSE2 is always there.
    unsafe {
        core::arch::x86_64::_mm_sfence()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_alignment_and_length_is_copied() {
        let from: Vec<u8> = (0..600u32).map(|i| (i * 7 + 1) as u8).collect();
        for start in 0..70 {
            for bytes in [0, 1, 15, 16, 63, 64, 65, 128, 200, 450] {
                let mut to = vec![0u8; 600];
                // SAFETY: both have at least 70 + 450 bytes.
                unsafe { copy(from.as_ptr().add(3), to.as_mut_ptr().add(start), bytes) };
                fence();
                assert_eq!(to[start..start + bytes], from[3..3 + bytes]);
                assert!(
                    to[..start]
                        .iter()
                        .chain(&to[start + bytes..])
                        .all(|&b| b == 0)
                );
            }
        }
    }
}
