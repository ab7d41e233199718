//! The caching allocator: blocks are kept for reuse, since fresh memory costs ten times a reused block, under a budget
//! that makes running out an error before a page is touched.

use super::HANDLES;
use crate::fault::{Fault, Outcome};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Blocks from this size on are mapped by themselves, aligned for huge pages.
const HUGE: usize = 2 << 20;
const ALIGN: usize = 64;
/// Blocks from this size up to `HUGE` are cut from mapped arenas and stay there: malloc would map and unmap each, and
/// fresh pages cost ten times the op that writes them.
const MEDIUM: usize = 64 << 10;
const ARENA: usize = 32 << 20;
/// A block is out of the caches when so many bytes were handed out since it was: a usual last-level cache.
const AWAY: u64 = 32 << 20;

/// Free blocks of one size class. The one freed last is taken first, so what lies lowest is used least.
struct Class {
    blocks: Vec<Free>,
    /// The fewest that there were since the last trim: that many were not needed.
    idle: usize,
    /// Blocks cut from arenas whose pages went back to the system.
    cold: Vec<usize>,
}

/// A free block, and how many bytes had been handed out by the time that it was, which is when it was written.
#[derive(Clone, Copy)]
struct Free {
    address: usize,
    taken: u64,
}

/// A block in use.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub address: *mut u8,
    /// As `Free` has it.
    pub taken: u64,
    /// Whether it was used so long ago that no cache holds it.
    pub is_cold: bool,
}

/// Free blocks by size class: eight classes to a doubling, so at most an eighth is wasted.
struct Cache {
    classes: Vec<Class>,
    live: usize,
    cached: usize,
    peak: usize,
    budget: usize,
    /// Bytes handed out so far.
    taken: u64,
    planned: Planned,
}

/// Failures that a test asked for: `after` allocations pass, then `count` in a row fail.
#[derive(Clone, Copy)]
struct Planned {
    after: u64,
    count: u64,
}

impl Planned {
    const NONE: Planned = Planned { after: 0, count: 0 };

    /// Whether this allocation is one of them.
    fn strikes(&mut self) -> bool {
        if self.count == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.count -= 1;
        true
    }
}

static CACHE: Mutex<Cache> = Mutex::new(Cache {
    classes: Vec::new(),
    live: 0,
    cached: 0,
    peak: 0,
    budget: 0,
    taken: 0,
    planned: Planned::NONE,
});

/// The class of a size and the bytes that a block of the class has.
pub(crate) fn class_of(bytes: usize) -> (usize, usize) {
    let units = bytes.max(1).div_ceil(ALIGN);
    if units <= 8 {
        return (units, units * ALIGN);
    }
    let log = (usize::BITS - 1 - (units - 1).leading_zeros()) as usize;
    let step = 1usize << (log - 3);
    let rounded = units.div_ceil(step) * step;
    (log * 8 + rounded / step, rounded * ALIGN)
}

/// Where the newest arena has room yet.
struct Arena {
    next: usize,
    end: usize,
}

static ARENAS: Mutex<Arena> = Mutex::new(Arena { next: 0, end: 0 });

fn from_arena(size: usize) -> *mut u8 {
    let size = size.next_multiple_of(4096);
    let mut arena = ARENAS.lock().unwrap_or_else(|e| e.into_inner());
    if arena.end - arena.next < size {
        let fresh = map_huge(ARENA);
        if fresh.is_null() {
            return fresh;
        }
        // What the last arena had left is given up: at most one block's size in 32 MiB.
        *arena = Arena {
            next: fresh as usize,
            end: fresh as usize + ARENA,
        };
    }
    let address = arena.next;
    arena.next += size;
    address as *mut u8
}

fn raw_allocate(size: usize) -> *mut u8 {
    if (MEDIUM..HUGE).contains(&size) {
        return from_arena(size);
    }
    if size < HUGE {
        // SAFETY: the layout is non-zero and its alignment a power of two.
        return unsafe {
            std::alloc::alloc(std::alloc::Layout::from_size_align_unchecked(size, ALIGN))
        };
    }
    map_huge(size)
}

/// An anonymous mapping, aligned for huge pages.
fn map_huge(size: usize) -> *mut u8 {
    // SAFETY: an anonymous mapping, trimmed to a huge-page boundary on both sides.
    unsafe {
        let padded = size + HUGE;
        let base = libc::mmap(
            core::ptr::null_mut(),
            padded,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if base == libc::MAP_FAILED {
            return core::ptr::null_mut();
        }
        let start = base as usize;
        let aligned = start.next_multiple_of(HUGE);
        if aligned > start {
            libc::munmap(base, aligned - start);
        }
        let end = aligned + size.next_multiple_of(4096);
        if start + padded > end {
            libc::munmap(end as *mut _, start + padded - end);
        }
        libc::madvise(aligned as *mut _, size, libc::MADV_HUGEPAGE);
        aligned as *mut u8
    }
}

/// Gives a block's memory back to the system. One that is cut from an arena keeps its address.
fn raw_free(address: usize, size: usize) {
    // SAFETY: the block came from `raw_allocate` with this size. Blocks of arenas begin and end on pages of their own.
    unsafe {
        if size < MEDIUM {
            std::alloc::dealloc(
                address as *mut u8,
                std::alloc::Layout::from_size_align_unchecked(size, ALIGN),
            );
        } else if size < HUGE {
            libc::madvise(
                address as *mut _,
                size.next_multiple_of(4096),
                libc::MADV_DONTNEED,
            );
        } else {
            libc::munmap(address as *mut _, size.next_multiple_of(4096));
        }
    }
}

impl Cache {
    fn hand_out(&mut self, address: *mut u8, size: usize, is_cold: bool) -> Block {
        self.live += size;
        self.peak = self.peak.max(self.live);
        self.taken += size as u64;
        Block {
            address,
            taken: self.taken,
            is_cold,
        }
    }

    /// Gives free blocks back to the system: all, or those that were not needed since the last time.
    fn trim(&mut self, all: bool) {
        for (number, class) in self.classes.iter_mut().enumerate() {
            let Some(size) = class_size(number) else {
                continue;
            };
            let count = if all { class.blocks.len() } else { class.idle };
            for Free { address, .. } in class.blocks.drain(..count) {
                self.cached -= size;
                raw_free(address, size);
                if (MEDIUM..HUGE).contains(&size) {
                    class.cold.push(address);
                }
            }
            class.idle = class.blocks.len();
        }
    }
}

fn class_size(class: usize) -> Option<usize> {
    if class <= 8 {
        return Some(class * ALIGN);
    }
    // A class number is log * 8 + q with q in 9..=16, so undo both.
    let log = (class - 9) / 8;
    let q = class - log * 8;
    (log >= 3).then(|| (q << (log - 3)) * ALIGN)
}

pub(super) fn take(bytes: usize) -> Outcome<Block> {
    take_from(bytes, true)
}

/// A block; only where it `is_budgeted` may the budget refuse it.
pub(super) fn take_from(bytes: usize, is_budgeted: bool) -> Outcome<Block> {
    if bytes == 0 {
        return Ok(Block {
            address: ALIGN as *mut u8,
            taken: 0,
            is_cold: false,
        });
    }
    let (class, size) = class_of(bytes);
    let mut cache = CACHE.lock().unwrap_or_else(|e| e.into_inner());
    if cache.budget == 0 {
        cache.budget = default_budget();
    }
    if is_budgeted && cache.planned.strikes() {
        return Err(Fault::OutOfMemory(format!(
            "Cannot allocate {bytes} bytes: a test asked for this failure"
        )));
    }
    if let Some(class) = cache.classes.get_mut(class)
        && let Some(Free { address, taken }) = class.blocks.pop()
    {
        class.idle = class.idle.min(class.blocks.len());
        cache.cached -= size;
        let is_cold = cache.taken - taken >= AWAY;
        return Ok(cache.hand_out(address as *mut u8, size, is_cold));
    }
    if cache.live + cache.cached + size > cache.budget {
        cache.trim(true);
    }
    let address = if is_budgeted && cache.live + size > cache.budget {
        core::ptr::null_mut()
    } else {
        match cache.classes.get_mut(class).and_then(|c| c.cold.pop()) {
            Some(address) => address as *mut u8,
            None => raw_allocate(size),
        }
    };
    if address.is_null() {
        return Err(Fault::OutOfMemory(format!(
            "Cannot allocate {bytes} bytes: {} live, {} cached and {} peak bytes of a budget of {}",
            cache.live, cache.cached, cache.peak, cache.budget
        )));
    }
    // The system has just cleared the pages, or will when they are written.
    Ok(cache.hand_out(address, size, false))
}

/// Takes a block back that was handed out when so many bytes had been `taken`.
pub(super) fn give(address: *mut u8, bytes: usize, taken: u64) {
    if bytes == 0 {
        return;
    }
    let (class, size) = class_of(bytes);
    let mut cache = CACHE.lock().unwrap_or_else(|e| e.into_inner());
    if cache.classes.len() <= class {
        cache.classes.resize_with(class + 1, || Class {
            blocks: Vec::new(),
            idle: 0,
            cold: Vec::new(),
        });
    }
    cache.live -= size;
    cache.cached += size;
    cache.classes[class].blocks.push(Free {
        address: address as usize,
        taken,
    });
}

/// Scratch memory from the same allocator and budget, given back when dropped.
pub struct Scratch {
    block: Block,
    bytes: usize,
}

impl Scratch {
    /// Room for `count` elements of T, not initialised.
    pub fn new<T: Copy>(count: usize) -> Outcome<Scratch> {
        let bytes = count
            .checked_mul(size_of::<T>())
            .ok_or_else(|| Fault::OutOfMemory(format!("Cannot allocate {count} elements")))?;
        Ok(Scratch {
            block: take(bytes)?,
            bytes,
        })
    }

    pub fn as_ptr<T>(&self) -> *mut T {
        self.block.address.cast()
    }

    /// The memory as a slice of plain numbers.
    ///
    /// # Safety
    /// T must be a type for which any bit pattern is valid, and the scratch must have room for `count`.
    pub unsafe fn slice<T: Copy>(&mut self, count: usize) -> &mut [T] {
        assert!(count * size_of::<T>() <= self.bytes);
        // SAFETY: aligned to 64 bytes, long enough, exclusively ours.
        unsafe { core::slice::from_raw_parts_mut(self.block.address.cast(), count) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        give(self.block.address, self.bytes, self.block.taken);
    }
}

/// 90 % of the smaller of physical memory and the control group's limit.
fn default_budget() -> usize {
    // SAFETY: sysconf has no preconditions.
    let physical = unsafe {
        libc::sysconf(libc::_SC_PHYS_PAGES) as f64 * libc::sysconf(libc::_SC_PAGESIZE) as f64
    };
    let limit = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .filter_map(|path| {
        std::fs::read_to_string(path)
            .ok()?
            .trim()
            .parse::<f64>()
            .ok()
    })
    .fold(physical, f64::min);
    (limit * 0.9) as usize
}

/// Figures for `memory()`.
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    pub live: usize,
    pub cached: usize,
    pub peak: usize,
    pub budget: usize,
    pub handles: usize,
}

pub fn stats() -> Stats {
    let mut cache = CACHE.lock().unwrap_or_else(|e| e.into_inner());
    if cache.budget == 0 {
        cache.budget = default_budget();
    }
    Stats {
        live: cache.live,
        cached: cache.cached,
        peak: cache.peak,
        budget: cache.budget,
        handles: HANDLES.load(Ordering::Relaxed),
    }
}

pub fn set_budget(bytes: usize) {
    CACHE.lock().unwrap_or_else(|e| e.into_inner()).budget = bytes.max(1);
}

/// Gives cached blocks back to the system; malloc would keep the small ones.
pub fn empty_cache() {
    CACHE.lock().unwrap_or_else(|e| e.into_inner()).trim(true);
    // SAFETY: malloc_trim has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives those back that were not needed since the last call.
pub fn trim_cache() {
    CACHE.lock().unwrap_or_else(|e| e.into_inner()).trim(false);
}

/// Forgets the highest mark, so that the next one is of what follows.
pub fn reset_peak() {
    let mut cache = CACHE.lock().unwrap_or_else(|e| e.into_inner());
    cache.peak = cache.live;
}

/// Failures for tests: how many allocations pass first, and how many then fail in a row. What is `None` stays.
pub fn plan_failures(after: Option<u64>, count: Option<u64>) {
    let mut cache = CACHE.lock().unwrap_or_else(|e| e.into_inner());
    cache.planned.after = after.unwrap_or(cache.planned.after);
    cache.planned.count = count.unwrap_or(cache.planned.count);
}

/// How many allocations pass before the planned failures, and how many of these are still to come.
pub fn planned_failures() -> (u64, u64) {
    let planned = CACHE.lock().unwrap_or_else(|e| e.into_inner()).planned;
    (planned.after, planned.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_an_eighth_and_invert() {
        for bytes in (1..200_000).chain([1 << 20, (1 << 20) + 1, 3 << 30, (1 << 40) + 12345]) {
            let (class, size) = class_of(bytes);
            assert!(
                size >= bytes && (size - bytes) <= bytes / 8 + ALIGN,
                "{bytes} → {size}"
            );
            assert_eq!(class_size(class), Some(size), "class {class} of {bytes}");
        }
    }

    #[test]
    fn planned_failures_strike_where_they_were_asked_for() {
        let mut planned = Planned { after: 2, count: 2 };
        let struck: Vec<bool> = (0..6).map(|_| planned.strikes()).collect();
        assert_eq!(struck, [false, false, true, true, false, false]);
        assert!(!{ Planned::NONE }.strikes());
    }

    /// A cache of its own, so that tests beside it do not disturb the counts.
    fn cache_of(size: usize, count: usize) -> Cache {
        let (number, size) = class_of(size);
        let mut cache = Cache {
            classes: Vec::new(),
            live: 0,
            cached: size * count,
            peak: 0,
            budget: 0,
            taken: 0,
            planned: Planned::NONE,
        };
        cache.classes.resize_with(number + 1, || Class {
            blocks: Vec::new(),
            idle: 0,
            cold: Vec::new(),
        });
        cache.classes[number].blocks = (0..count)
            .map(|_| Free {
                address: raw_allocate(size) as usize,
                taken: 0,
            })
            .collect();
        cache.classes[number].idle = count;
        cache
    }

    #[test]
    fn a_trim_gives_back_what_was_not_needed_since_the_last() {
        for bytes in [1024, 256 << 10, 4 << 20] {
            let mut cache = cache_of(bytes, 5);
            let (number, size) = class_of(bytes);
            // Two of five were in use at once at some time.
            cache.classes[number].idle = 3;
            cache.trim(false);
            assert_eq!(cache.classes[number].blocks.len(), 2, "{bytes}");
            assert_eq!(cache.cached, 2 * size);
            // None since: the rest goes the next time.
            cache.trim(false);
            assert_eq!((cache.cached, cache.classes[number].blocks.len()), (0, 0));
            let is_cut = (MEDIUM..HUGE).contains(&size);
            assert_eq!(cache.classes[number].cold.len(), if is_cut { 5 } else { 0 });
            for &address in &cache.classes[number].cold {
                // SAFETY: the address is mapped still, and its pages read as zeros until they are written.
                unsafe {
                    let last = (address as *mut u8).add(size - 1);
                    assert_eq!(*last, 0);
                    *last = 1;
                }
            }
        }
    }
}
