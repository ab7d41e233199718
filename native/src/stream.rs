//! Stores past the caches. A plain store to a line that no cache holds reads the line first and throws another out; a
//! non-temporal one does neither. That pays for outputs which no cache would keep until they are read.

/// Smaller outputs (bytes) go through the caches, where the next op finds them: half of a usual last-level cache.
const LEAST: usize = 16 << 20;

/// Whether an output of so many bytes should be written by [`copy`].
pub fn pays(bytes: usize) -> bool {
    cfg!(target_arch = "x86_64") && bytes >= LEAST
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
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise; streamed stores are aligned to 16 bytes behind the head, SSE2 is always there, and a
    // prefetch touches nothing.
    unsafe {
        use core::arch::x86_64::{
            __m128i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm_stream_si128,
        };
        // Whole lines are streamed: parts of one would go out one by one.
        let head = to.align_offset(64).min(bytes);
        let end = head + (bytes - head) / 64 * 64;
        core::ptr::copy_nonoverlapping(from, to, head);
        let mut at = head;
        while at < end {
            for &(next, size) in ahead {
                for line in (0..size).step_by(64) {
                    let place = next.wrapping_add(at / 64 * size + line);
                    _mm_prefetch(place.cast(), _MM_HINT_T0);
                }
            }
            let line: [__m128i; 4] =
                core::array::from_fn(|i| _mm_loadu_si128(from.add(at + 16 * i).cast()));
            for (i, part) in line.into_iter().enumerate() {
                _mm_stream_si128(to.add(at + 16 * i).cast(), part);
            }
            at += 64;
        }
        core::ptr::copy_nonoverlapping(from.add(end), to.add(end), bytes - end);
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        let _ = ahead;
        core::ptr::copy_nonoverlapping(from, to, bytes)
    };
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
