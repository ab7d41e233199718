//! Long slices, sorted by all threads.

use super::{CHUNK, Key, PARALLEL, Pair, TOP_BITS, sort_pairs};
use crate::fault::Outcome;
use crate::memory::Scratch;
use crate::ops::walk::Address;
use crate::pool;
use core::sync::atomic::{AtomicU64, Ordering};

/// Most parts of a long slice, each with its counts.
const PARTS: usize = 64;
/// Pieces that the highest bits leave are joined up to this size.
const PIECE: usize = 4096;

/// The parts of a long slice that threads count and place, with their counts of `buckets` each.
struct Parts<K> {
    n: usize,
    part: usize,
    buckets: usize,
    counts: Address<u32>,
    _keys: core::marker::PhantomData<K>,
}

impl<K: Key> Parts<K> {
    /// With the room that their counts are in.
    fn new(n: usize, buckets: usize) -> Outcome<(Parts<K>, Scratch)> {
        let part = CHUNK.max(n.div_ceil(PARTS));
        let room = Scratch::new::<u32>(n.div_ceil(part) * buckets)?;
        let parts = Parts {
            n,
            part,
            buckets,
            counts: Address::new(room.as_ptr::<u8>()),
            _keys: core::marker::PhantomData,
        };
        Ok((parts, room))
    }

    fn count(&self) -> usize {
        self.n.div_ceil(self.part)
    }

    /// # Safety
    /// Nobody else uses the counts of that part.
    #[allow(clippy::mut_from_ref)]
    unsafe fn counts(&self, p: usize) -> &mut [u32] {
        // SAFETY: as promised by the caller; there is room for each part's counts.
        unsafe {
            let first = self.counts.at((p * self.buckets) as isize);
            core::slice::from_raw_parts_mut(first, self.buckets)
        }
    }

    /// Counts the pairs by bucket; then the counts become places, and what begins where is told bucket by bucket.
    ///
    /// # Safety
    /// There are n pairs.
    unsafe fn places(
        &self,
        from: Address<Pair<K>>,
        bucket: impl Fn(K) -> usize + Sync,
        mut begins: impl FnMut(usize),
    ) {
        pool::parallel(self.count(), &|p| {
            // SAFETY: each part's own pairs and counts; so below.
            unsafe {
                let counts = self.counts(p);
                counts.fill(0);
                for pair in self.pairs(from, p) {
                    counts[bucket(pair.key)] += 1;
                }
            }
        });
        let mut sum = 0;
        for b in 0..self.buckets {
            begins(sum as usize);
            for p in 0..self.count() {
                // SAFETY: the threads are done.
                let count = unsafe { &mut self.counts(p)[b] };
                sum += core::mem::replace(count, sum);
            }
        }
    }

    /// # Safety
    /// There are n pairs.
    unsafe fn pairs<'a>(&self, from: Address<Pair<K>>, p: usize) -> &'a [Pair<K>] {
        let start = p * self.part;
        // SAFETY: the caller's promise.
        unsafe {
            let first = from.at(start as isize).cast_const();
            core::slice::from_raw_parts(first, self.part.min(self.n - start))
        }
    }

    /// Puts the pairs where `places` has found that they belong.
    ///
    /// # Safety
    /// There are n pairs in each, and the places are theirs.
    unsafe fn place(
        &self,
        from: Address<Pair<K>>,
        to: Address<Pair<K>>,
        bucket: impl Fn(K) -> usize + Sync,
    ) {
        pool::parallel(self.count(), &|p| {
            // SAFETY: the counts of all parts add up to n, so every place lies in the buffer and is taken once.
            unsafe {
                let places = self.counts(p);
                for pair in self.pairs(from, p) {
                    let place = &mut places[bucket(pair.key)];
                    *to.at(*place as isize) = *pair;
                    *place += 1;
                }
            }
        });
    }
}

/// How many bits there are up to the highest one in which keys differ.
fn highest_differing<K: Key>(pairs: &[Pair<K>]) -> u32 {
    let bits = AtomicU64::new(0);
    pool::parallel_ranges(pairs.len(), CHUNK, &|range| {
        let mut own = 0;
        for pair in &pairs[range] {
            pair.key.note_differing(pairs[0].key, &mut own);
        }
        bits.fetch_or(own, Ordering::Relaxed);
    });
    u64::BITS - bits.into_inner().leading_zeros()
}

/// Sorts one long slice with all threads, keeping the order of equal keys: by the highest bits in which keys
/// differ into pieces that a second-level cache holds, and then those by the rest. Where most keys agree in their highest bits, byte by byte.
pub fn sort<K: Key>(pairs: &mut [Pair<K>], spare: &mut [Pair<K>]) -> Outcome {
    let n = pairs.len();
    let (parts, _room) = Parts::<K>::new(n, 1 << TOP_BITS)?;
    let from = Address::<Pair<K>>::new(pairs.as_mut_ptr().cast());
    let to = Address::<Pair<K>>::new(spare.as_mut_ptr().cast());
    let low = highest_differing(pairs).saturating_sub(TOP_BITS);
    let top = |key: K| key.bits_from(low);
    let mut begins = Vec::with_capacity((1 << TOP_BITS) + 1);
    // SAFETY: both have n pairs.
    unsafe { parts.places(from, top, |at| begins.push(at)) };
    begins.push(n);
    let largest = begins.windows(2).map(|b| b[1] - b[0]).max().unwrap_or(0);
    if largest > (n / 4).max(PARALLEL / 2) {
        return sort_by_bytes(pairs, spare);
    }
    // SAFETY: as above.
    unsafe { parts.place(from, to, top) };
    // Neighbouring buckets together, so that none is too small for a radix sort.
    let mut pieces = vec![0];
    for &end in &begins[1..] {
        if end - pieces[pieces.len() - 1] >= PIECE || end == n {
            pieces.push(end);
        }
    }
    pool::parallel(pieces.len() - 1, &|i| {
        let (start, size) = (pieces[i], pieces[i + 1] - pieces[i]);
        // SAFETY: pieces are disjoint, and belong to one thread each.
        unsafe {
            let sorted = core::slice::from_raw_parts_mut(to.at(start as isize), size);
            let out = core::slice::from_raw_parts_mut(from.at(start as isize), size);
            sort_pairs(sorted, out);
            out.copy_from_slice(sorted);
        }
    });
    Ok(())
}

/// Sorts one long slice with all threads, keeping the order of equal keys: byte by byte, where each part counts and then
/// places its own pairs behind those of the parts before it.
fn sort_by_bytes<K: Key>(pairs: &mut [Pair<K>], spare: &mut [Pair<K>]) -> Outcome {
    let n = pairs.len();
    let (parts, _room) = Parts::<K>::new(n, 256)?;
    let mut from = Address::<Pair<K>>::new(pairs.as_mut_ptr().cast());
    let mut to = Address::<Pair<K>>::new(spare.as_mut_ptr().cast());
    let mut passes = 0;
    for byte in 0..K::BYTES {
        let (mut largest, mut last) = (0, 0);
        // SAFETY: both have n pairs; so below.
        unsafe {
            parts.places(
                from,
                |key| key.byte(byte),
                |at| {
                    largest = largest.max(at - last);
                    last = at;
                },
            )
        };
        // All in one bucket: this byte changes nothing.
        if largest.max(n - last) == n {
            continue;
        }
        unsafe { parts.place(from, to, |key| key.byte(byte)) };
        core::mem::swap(&mut from, &mut to);
        passes += 1;
    }
    if passes % 2 == 1 {
        pool::parallel_slices(pairs, parts.part, &|start, pairs| {
            pairs.copy_from_slice(&spare[start..start + pairs.len()]);
        });
    }
    Ok(())
}
