//! Order: `sort`, `topk`, `kthvalue`. Values become keys, unsigned integers in whose order NaN comes last and -0 equals
//! +0; a key with its place in the slice makes every order total, so that sorting is stable and the same for any
//! number of threads.

pub mod cuda;
mod long;

use crate::dtype::{Bf16, Bool, DType, Element, F16};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::ops::map::Shared;
use crate::ops::walk::Walk;
use crate::{bail, pool, simd, stream, with_dtype};
use std::sync::Mutex;

pub const ROWS: &[Row] = &[
    Row {
        name: "sort",
        outs: 2,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: sort,
        cuda: Some(cuda::sort),
    },
    Row {
        name: "topk",
        outs: 2,
        ins: (1, 1),
        scalars: (3, 3),
        alias: false,
        run: topk,
        cuda: Some(cuda::topk),
    },
    Row {
        name: "kthvalue",
        outs: 2,
        ins: (1, 1),
        scalars: (2, 2),
        alias: false,
        run: kthvalue,
        cuda: Some(cuda::kthvalue),
    },
];

/// Slices from this length on are sorted by all threads.
const PARALLEL: usize = 256 * 1024;
const CHUNK: usize = 64 * 1024;
/// The highest bits in which keys differ divide a long slice: of float32 the sign, the exponent and two more.
const TOP_BITS: u32 = 11;
/// From here on a radix sort beats comparisons (1,024 pairs: 12 µs against 25).
const RADIX: usize = 1024;
/// Keys made at a time.
const BLOCK: usize = 64;
/// Elements of slices that a thread takes at a time.
const GRAIN: usize = 16 * 1024;
/// Elements side by side that are compared at once, and how many of them below each other make a group.
const ACROSS: usize = 16;
const DOWN: usize = 16;
/// Groups for each element that is wanted, at least, for their least elements to leave out most of a slice.
const GROUPS_FOR_ONE: usize = 4;

/// What orders elements of a type.
pub trait Keyed: Element {
    type Key: Key;
    fn key(self) -> Self::Key;
}

/// An unsigned integer of 32 or 64 bits.
pub trait Key: Copy + Ord + Send + Sync + Default + 'static {
    const BYTES: usize;
    const GREATEST: Self;
    fn flipped(self) -> Self;
    fn byte(self, i: usize) -> usize;
    /// The bits from `low` on, as many as there are buckets for.
    fn bits_from(self, low: u32) -> usize;
    /// Adds to `bits` those in which two keys differ.
    fn note_differing(self, other: Self, bits: &mut u64);
}
macro_rules! key {
    ($($t:ty),*) => { $(
        impl Key for $t {
            const BYTES: usize = size_of::<$t>();
            const GREATEST: $t = <$t>::MAX;
            #[inline(always)] fn flipped(self) -> Self { !self }
            #[inline(always)] fn byte(self, i: usize) -> usize { (self >> (8 * i)) as usize & 255 }
            #[inline(always)] fn bits_from(self, low: u32) -> usize { (self >> low) as usize & ((1 << TOP_BITS) - 1) }
            #[inline(always)] fn note_differing(self, other: Self, bits: &mut u64) { *bits |= u64::from(self ^ other) }
        }
    )* };
}
key!(u32, u64);

#[inline(always)]
fn key32(x: f32) -> u32 {
    // Adding 0 makes +0 of -0.
    let b = (x + 0.0).to_bits();
    if x.is_nan() {
        u32::MAX
    } else if b >> 31 == 1 {
        !b
    } else {
        b | 1 << 31
    }
}

macro_rules! keyed {
    ($($t:ty, $key:ty, $x:ident => $value:expr);*) => { $(
        impl Keyed for $t {
            type Key = $key;
            #[inline(always)] fn key(self) -> $key { let $x = self; $value }
        }
    )* };
}
keyed!(
    f32, u32, x => key32(x);
    F16, u32, x => key32(x.to_f32());
    Bf16, u32, x => key32(x.to_f32());
    f64, u64, x => {
        let b = (x + 0.0).to_bits();
        if x.is_nan() { u64::MAX } else if b >> 63 == 1 { !b } else { b | 1 << 63 }
    };
    i64, u64, x => x as u64 ^ 1 << 63;
    i32, u32, x => x as u32 ^ 1 << 31;
    i16, u32, x => i32::from(x) as u32 ^ 1 << 31;
    i8, u32, x => i32::from(x) as u32 ^ 1 << 31;
    u8, u32, x => u32::from(x);
    Bool, u32, x => u32::from(x.0 != 0)
);

/// An element's key and its place in the slice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(C)]
struct Pair<K> {
    key: K,
    at: u32,
}

/// The slices of an operand along a dim, and where they lie in the outputs.
struct Slices {
    walk: Walk<3>,
    length: usize,
    /// Along the dim: strides of values, indices and input.
    steps: [isize; 3],
}

impl Slices {
    /// The outputs have the input's dims but for `dim`, where both have `wanted`.
    fn new(call: &Call, dim: usize, wanted: usize) -> Outcome<Slices> {
        let (values, indices, x) = (&call.outs()[0], &call.outs()[1], &call.ins()[0]);
        let fits = |o: &Operand| {
            o.ndim == x.ndim
                && (0..x.ndim).all(|d| o.dims()[d] == if d == dim { wanted } else { x.dims()[d] })
        };
        if dim >= x.ndim
            || !fits(values)
            || !fits(indices)
            || values.dtype != x.dtype
            || indices.dtype != DType::I64
        {
            bail!(
                "{}: dim {dim} of {:?} into {:?} and {:?}",
                call.name,
                x.dims(),
                values.dims(),
                indices.dims()
            );
        }
        let length = x.dims()[dim];
        if length > u32::MAX as usize {
            bail!(
                "{}: {length} elements along dim {dim}, the most is 2^32 - 1",
                call.name
            );
        }
        let mut dims = [1usize; MAX_DIMS];
        dims[..x.ndim].copy_from_slice(x.dims());
        dims[dim] = 1;
        let walk = Walk::new(
            &dims[..x.ndim],
            [values.strides(), indices.strides(), x.strides()],
        );
        Ok(Slices {
            walk,
            length,
            steps: [
                values.strides()[dim],
                indices.strides()[dim],
                x.strides()[dim],
            ],
        })
    }
}

/// Keys of elements `from..from + out.len()` of a slice.
///
/// # Safety
/// They lie inside the operand.
#[inline(always)]
unsafe fn load<E: Keyed>(
    x: *const E,
    step: isize,
    from: usize,
    flip: bool,
    out: &mut [Pair<E::Key>],
) {
    for (i, pair) in out.iter_mut().enumerate() {
        let at = from + i;
        // SAFETY: the caller's promise.
        let key = unsafe { *x.offset(at as isize * step) }.key();
        *pair = Pair {
            key: if flip { key.flipped() } else { key },
            at: at as u32,
        };
    }
}

/// Writes pairs as elements of the outputs.
///
/// # Safety
/// The places lie inside the outputs, the pairs' inside the slice.
#[inline(always)]
unsafe fn store<E: Copy, K: Copy>(
    pairs: &[Pair<K>],
    from: usize,
    x: (*const E, isize),
    values: (*mut E, isize),
    indices: (*mut i64, isize),
) {
    for (i, pair) in pairs.iter().enumerate() {
        let to = (from + i) as isize;
        // The places are in no order: each waits for memory unless it is asked for early.
        if let Some(later) = pairs.get(i + 32) {
            stream::prefetch(x.0.wrapping_offset(later.at as isize * x.1));
        }
        // SAFETY: the caller's promise.
        unsafe {
            *values.0.offset(to * values.1) = *x.0.offset(pair.at as isize * x.1);
            *indices.0.offset(to * indices.1) = i64::from(pair.at);
        }
    }
}

/// Sorts pairs by key, keeping the order of equal ones; `spare` has the same length.
fn sort_pairs<K: Key>(pairs: &mut [Pair<K>], spare: &mut [Pair<K>]) {
    if pairs.len() < RADIX {
        pairs.sort_unstable();
        return;
    }
    let mut counts = [[0usize; 256]; 8];
    for pair in pairs.iter() {
        for (i, count) in counts.iter_mut().enumerate().take(K::BYTES) {
            count[pair.key.byte(i)] += 1;
        }
    }
    let (mut from, mut to) = (pairs, spare);
    let mut swaps = 0;
    for (i, count) in counts.iter_mut().enumerate().take(K::BYTES) {
        // All in one bucket: this byte changes nothing.
        if count.contains(&from.len()) {
            continue;
        }
        let mut sum = 0;
        for n in count.iter_mut() {
            sum += core::mem::replace(n, sum);
        }
        for pair in from.iter() {
            let slot = &mut count[pair.key.byte(i)];
            to[*slot] = *pair;
            *slot += 1;
        }
        core::mem::swap(&mut from, &mut to);
        swaps += 1;
    }
    if swaps % 2 == 1 {
        to.copy_from_slice(from);
    }
}

/// values, indices = x sorted along a dim. Scalars: dim, 1 for descending. NaN counts as the largest.
fn sort(call: &Call) -> Outcome {
    let x = &call.ins()[0];
    let (dim, flip) = (call.count(0)?, call.count(1)? == 1);
    let slices = Slices::new(call, dim, x.dims().get(dim).copied().unwrap_or(0))?;
    let (n, count) = (slices.length, slices.walk.numel);
    if n == 0 || count == 0 {
        return Ok(());
    }
    let shared = Shared(call.all());
    let failed = Mutex::new(Ok(()));
    with_dtype!(x.dtype, E => {
        type P = Pair<<E as Keyed>::Key>;
        let one = |slice: usize, pairs: &mut [P], spare: &mut [P]| -> Outcome {
            let [v, i, o] = slices.walk.offsets(slice);
            let [vs, is, xs] = slices.steps;
            // SAFETY: the slice lies inside its operands.
            let x = || unsafe { (shared.get(2).ptr.cast::<E>().offset(o).cast_const(), xs) };
            // SAFETY: as above; pieces of the slice are written by one thread each.
            let keep = |pairs: &[P], from: usize| unsafe {
                let values = shared.get(0).ptr.cast::<E>().offset(v);
                let indices = shared.get(1).ptr.cast::<i64>().offset(i);
                store(pairs, from, x(), (values, vs), (indices, is));
            };
            if n < PARALLEL {
                // SAFETY: as above.
                unsafe { load::<E>(x().0, xs, 0, flip, pairs) };
                sort_pairs(pairs, spare);
                keep(pairs, 0);
                return Ok(());
            }
            // SAFETY: as above.
            pool::parallel_slices(pairs, CHUNK, &|from, pairs| unsafe { load::<E>(x().0, xs, from, flip, pairs) });
            long::sort(pairs, spare)?;
            let pairs: &[P] = pairs;
            pool::parallel_ranges(n, CHUNK, &|range| keep(&pairs[range.clone()], range.start));
            Ok(())
        };
        let height = if n >= PARALLEL { count } else { (GRAIN / n).max(1) };
        pool::parallel_ranges(count, height, &|range| {
            let made = Scratch::new::<P>(n).and_then(|a| Ok((a, Scratch::new::<P>(n)?)));
            let done = match made {
                // SAFETY: pairs of numbers, written before they are read.
                Ok((mut a, mut b)) => range.into_iter().try_for_each(|slice| unsafe { one(slice, a.slice(n), b.slice(n)) }),
                Err(fault) => Err(fault),
            };
            if done.is_err() {
                *failed.lock().unwrap_or_else(|e| e.into_inner()) = done;
            }
        });
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner())
}

simd! {
    /// Keys of n elements, and the least of them.
    unsafe fn keys_of<E: Keyed>(x: *const E, step: isize, flip: bool, out: *mut E::Key, n: usize) -> E::Key {
        // SAFETY: the caller gives n elements and room for as many keys.
        unsafe {
            let first = (*x).key();
            let mut least = if flip { first.flipped() } else { first };
            if step == 1 {
                for i in 0..n {
                    let key = (*x.add(i)).key();
                    let key = if flip { key.flipped() } else { key };
                    *out.add(i) = key;
                    least = if key < least { key } else { least };
                }
            } else {
                for i in 0..n {
                    let key = (*x.offset(i as isize * step)).key();
                    let key = if flip { key.flipped() } else { key };
                    *out.add(i) = key;
                    least = if key < least { key } else { least };
                }
            }
            least
        }
    }
}

/// The k least of the pairs that are offered, in room for a few times as many: equal ones may come without end.
struct Least<K> {
    k: usize,
    room: usize,
    kept: Vec<Pair<K>>,
    /// What is above it is not among them.
    bar: Option<Pair<K>>,
}

impl<K: Key> Least<K> {
    /// For no more than `most` offers.
    fn new(k: usize, most: usize) -> Least<K> {
        let room = (2 * k).max(256).min(most);
        Least {
            k,
            room,
            kept: Vec::with_capacity(room),
            bar: None,
        }
    }

    #[inline(always)]
    fn offer(&mut self, pair: Pair<K>) {
        if self.bar.is_some_and(|bar| pair > bar) {
            return;
        }
        self.kept.push(pair);
        // When the room is used up, only the k least stay; what is above the largest of them never comes in again.
        if self.kept.len() == self.room && self.room > self.k {
            let (_, &mut largest, _) = self.kept.select_nth_unstable(self.k - 1);
            self.bar = Some(largest);
            self.kept.truncate(self.k);
        }
    }

    fn found(mut self) -> Vec<Pair<K>> {
        if self.kept.len() > self.k {
            self.kept.select_nth_unstable(self.k - 1);
            self.kept.truncate(self.k);
        }
        self.kept
    }
}

/// The k least pairs of elements `from..to` of a slice, in no order.
///
/// # Safety
/// They lie inside the operand.
unsafe fn least<E: Keyed>(
    x: *const E,
    step: isize,
    from: usize,
    to: usize,
    flip: bool,
    k: usize,
) -> Vec<Pair<E::Key>> {
    if step == 1 {
        // SAFETY: the caller's promise.
        if let Some(kept) = unsafe { least_by_groups::<E>(x, from, to, flip, k) } {
            return kept;
        }
    }
    let mut least = Least::new(k, to - from);
    let mut keys = [E::Key::default(); BLOCK];
    for block in (from..to).step_by(BLOCK) {
        let n = BLOCK.min(to - block);
        // SAFETY: the caller's promise; the buffer has room for a block.
        let smallest = unsafe {
            keys_of::<E>(
                x.offset(block as isize * step),
                step,
                flip,
                keys.as_mut_ptr(),
                n,
            )
        };
        // Most blocks of a long slice hold nothing of interest.
        if least.bar.is_some_and(|bar| smallest > bar.key) {
            continue;
        }
        for (i, &key) in keys.iter().enumerate().take(n) {
            let at = (block + i) as u32;
            least.offer(Pair { key, at });
        }
    }
    least.found()
}

/// Numbers to be written; None where there is no memory for them.
fn numbers<T: Clone + Default>(count: usize) -> Option<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(count).ok()?;
    all.resize(count, T::default());
    Some(all)
}

simd! {
    /// The least keys of groups: group l of block b has element l of each of its `DOWN` rows of `ACROSS` elements.
    unsafe fn least_of_groups<E: Keyed>(x: *const E, flip: bool, rows: usize, out: &mut [[E::Key; ACROSS]]) {
        for (b, least) in out.iter_mut().enumerate() {
            let mut keys = [E::Key::GREATEST; ACROSS];
            for r in b * DOWN..rows.min((b + 1) * DOWN) {
                for (l, least) in keys.iter_mut().enumerate() {
                    // SAFETY: the caller gives so many rows.
                    let key = unsafe { (*x.add(r * ACROSS + l)).key() };
                    let key = if flip { key.flipped() } else { key };
                    *least = if key < *least { key } else { *least };
                }
            }
            *least = keys;
        }
    }
}

/// As [`least`] for elements side by side: k groups have a least element that is no more than the k-th least of all groups',
/// so nothing above that one is among the k least of all. None where there are too few
/// groups, or no memory for what is known of them.
///
/// # Safety
/// As for `least`.
unsafe fn least_by_groups<E: Keyed>(
    x: *const E,
    from: usize,
    to: usize,
    flip: bool,
    k: usize,
) -> Option<Vec<Pair<E::Key>>> {
    let rows = (to - from) / ACROSS;
    let blocks = rows.div_ceil(DOWN);
    if blocks * ACROSS < GROUPS_FOR_ONE * k {
        return None;
    }
    let mut groups = numbers::<[E::Key; ACROSS]>(blocks)?;
    // SAFETY: rows inside the slice.
    unsafe { least_of_groups::<E>(x.add(from), flip, rows, &mut groups) };
    let mut order = numbers::<E::Key>(blocks * ACROSS)?;
    order.copy_from_slice(groups.as_flattened());
    let (_, &mut bar, _) = order.select_nth_unstable(k - 1);
    let mut least = Least::new(k, to - from);
    let mut keep = |at: usize| {
        // SAFETY: the caller gives these elements.
        let key = unsafe { (*x.add(at)).key() };
        let key = if flip { key.flipped() } else { key };
        if key <= bar {
            least.offer(Pair { key, at: at as u32 });
        }
    };
    // Their numbers are written without a branch, each over the last one that did not count.
    let mut found = numbers::<u32>(blocks * ACROSS)?;
    let mut count = 0;
    for (group, &key) in groups.as_flattened().iter().enumerate() {
        found[count] = group as u32;
        count += usize::from(key <= bar);
    }
    for &group in &found[..count] {
        let (b, l) = (group as usize / ACROSS, group as usize % ACROSS);
        let block = b * DOWN..rows.min((b + 1) * DOWN);
        block.for_each(|row| keep(from + row * ACROSS + l));
    }
    (from + rows * ACROSS..to).for_each(keep);
    Some(least.found())
}

/// values, indices (…, k, …) = the k largest or smallest of x along a dim. Scalars: dim, 1 for largest, 1 for sorted.
fn topk(call: &Call) -> Outcome {
    let (dim, flip, sorted) = (call.count(0)?, call.count(1)? == 1, call.count(2)? == 1);
    let k = call.outs()[0].dims().get(dim).copied().unwrap_or(0);
    let slices = Slices::new(call, dim, k)?;
    let (n, count) = (slices.length, slices.walk.numel);
    if k > n {
        bail!("topk: {k} of {n} elements");
    }
    if k == 0 || count == 0 {
        return Ok(());
    }
    let shared = Shared(call.all());
    with_dtype!(call.ins()[0].dtype, E => {
        let finish = |slice: usize, mut kept: Vec<Pair<<E as Keyed>::Key>>| {
            if sorted {
                kept.sort_unstable();
            }
            let (values, indices, x) = (shared.get(0).ptr.cast::<E>(), shared.get(1).ptr.cast::<i64>(), shared.get(2).ptr.cast::<E>());
            let [v, i, o] = slices.walk.offsets(slice);
            let [vs, is, xs] = slices.steps;
            // SAFETY: the slice lies inside its operands, and exactly k pairs are kept.
            unsafe { store(&kept, 0, (x.offset(o), xs), (values.offset(v), vs), (indices.offset(i), is)) };
        };
        let find = |slice: usize, from: usize, to: usize| {
            let [_, _, o] = slices.walk.offsets(slice);
            // SAFETY: the slice lies inside the input.
            unsafe { least::<E>(shared.get(2).ptr.cast::<E>().offset(o), slices.steps[2], from, to, flip, k) }
        };
        let chunks = n.div_ceil(CHUNK);
        if chunks > 1 && count < 4 && k * chunks < n / 2 {
            for slice in 0..count {
                let found = Mutex::new(Vec::new());
                pool::parallel(chunks, &|c| {
                    let part = find(slice, c * CHUNK, n.min((c + 1) * CHUNK));
                    found.lock().unwrap_or_else(|e| e.into_inner()).extend(part);
                });
                let mut kept = found.into_inner().unwrap_or_else(|e| e.into_inner());
                // The order is total, so it does not matter who came first.
                kept.select_nth_unstable(k - 1);
                kept.truncate(k);
                if !sorted {
                    kept.sort_unstable();
                }
                finish(slice, kept);
            }
        } else {
            pool::parallel_ranges(count, (GRAIN / n).max(1), &|range| range.for_each(|slice| finish(slice, find(slice, 0, n))));
        }
    });
    Ok(())
}

/// value, index (…, 1, …) = the k-th smallest of x along a dim. Scalars: dim, k from 1 on.
fn kthvalue(call: &Call) -> Outcome {
    let (dim, k) = (call.count(0)?, call.count(1)?);
    let slices = Slices::new(call, dim, 1)?;
    let (n, count) = (slices.length, slices.walk.numel);
    if k == 0 || k > n {
        bail!("kthvalue: number {k} of {n} elements");
    }
    let shared = Shared(call.all());
    let failed = Mutex::new(Ok(()));
    with_dtype!(call.ins()[0].dtype, E => {
        type P = Pair<<E as Keyed>::Key>;
        let one = |slice: usize, pairs: &mut [P]| {
            let (values, indices, x) = (shared.get(0).ptr.cast::<E>(), shared.get(1).ptr.cast::<i64>(), shared.get(2).ptr.cast::<E>());
            let [v, i, o] = slices.walk.offsets(slice);
            // SAFETY: the slice lies inside its operands.
            unsafe {
                load::<E>(x.offset(o), slices.steps[2], 0, false, pairs);
                let (_, &mut found, _) = pairs.select_nth_unstable(k - 1);
                store(&[found], 0, (x.offset(o), slices.steps[2]), (values.offset(v), 0), (indices.offset(i), 0));
            }
        };
        pool::parallel_ranges(count, (GRAIN / n).max(1), &|range| match Scratch::new::<P>(n) {
            // SAFETY: pairs of numbers, written before they are read.
            Ok(mut pairs) => range.for_each(|slice| one(slice, unsafe { pairs.slice(n) })),
            Err(fault) => *failed.lock().unwrap_or_else(|e| e.into_inner()) = Err(fault),
        });
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_slices_are_sorted_and_equal_keys_keep_their_order() {
        for n in [PARALLEL, 3 * CHUNK + 17, CHUNK + 1, RADIX, 5] {
            let mut pairs: Vec<Pair<u32>> = (0..n as u32)
                .map(|at| Pair {
                    key: at.wrapping_mul(2_654_435_761) >> 17,
                    at,
                })
                .collect();
            let mut wanted = pairs.clone();
            wanted.sort();
            let mut spare = pairs.clone();
            long::sort(&mut pairs, &mut spare).unwrap();
            assert!(pairs == wanted, "{n} pairs");
        }
    }

    #[test]
    fn groups_find_the_least_elements_of_all() {
        let _turn = simd::turn();
        // Few values stand for many elements each; some are NaN.
        let number = |i: usize, values: usize| match (i * 7919 + i / 13) % values {
            0 if values < 1000 => f32::NAN,
            v => v as f32 - values as f32 / 2.0,
        };
        for (n, values) in [
            (100, 7),
            (256, 5000),
            (3665, 5000),
            (4111, 3),
            (4096, 50),
            (5000, 1),
        ] {
            let x: Vec<f32> = (0..n).map(|i| number(i, values)).collect();
            for (from, flip) in [(0, false), (0, true), (17, true)] {
                let mut wanted: Vec<Pair<u32>> = (from..n)
                    .map(|at| Pair {
                        key: if flip { !x[at].key() } else { x[at].key() },
                        at: at as u32,
                    })
                    .collect();
                wanted.sort();
                for k in [1, 2, 10, 60, n / 2] {
                    // SAFETY: elements of x.
                    let found = unsafe { least_by_groups(x.as_ptr(), from, n, flip, k) };
                    let groups = ((n - from) / ACROSS).div_ceil(DOWN) * ACROSS;
                    assert_eq!(found.is_none(), groups < GROUPS_FOR_ONE * k, "{n}, {k}");
                    let Some(mut found) = found else { continue };
                    found.sort();
                    assert!(found == wanted[..k], "{k} of {n} with {values} values");
                }
            }
        }
    }

    #[test]
    fn keys_order_floats_with_nan_last() {
        let order = [
            f32::NEG_INFINITY,
            -1.5,
            -f32::MIN_POSITIVE,
            0.0,
            1e-40,
            2.0,
            f32::INFINITY,
            f32::NAN,
        ];
        assert!(order.windows(2).all(|w| w[0].key() < w[1].key()));
        assert_eq!((-0.0f32).key(), 0.0f32.key());
        assert_eq!((-f64::NAN).key(), u64::MAX);
        assert!((-1i8).key() < 0i8.key() && i64::MIN.key() < i64::MAX.key());
    }
}
