//! Storages: a table of handles with generations and owners over a caching allocator with a budget.
//! A handle is `generation * 2^24 + index`, an integer that a double holds exactly.

use crate::bail;
use crate::device::Device;
use crate::fault::{Fault, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

const INDEX_BITS: u32 = 24;
const CHUNK: usize = 4096;
const CHUNKS: usize = (1 << INDEX_BITS) / CHUNK;
/// Blocks from this size on are mapped by themselves, aligned for huge pages.
const HUGE: usize = 2 << 20;
const ALIGN: usize = 64;
/// Blocks from this size up to `HUGE` are cut from mapped arenas and stay there: malloc would map and unmap each, and
/// fresh pages cost ten times the op that writes them.
const MEDIUM: usize = 64 << 10;
const ARENA: usize = 32 << 20;

/// `state` packs generation (28 bits), a doomed flag and the count of running calls that use it.
const DOOMED: u64 = 1 << 31;
const LIVE: u64 = 1 << 30;
/// The memory is lent by a `Lender`.
const LENT: u64 = 1 << 29;
const USERS: u64 = LENT - 1;

struct Slot {
    state: AtomicU64,
    address: AtomicUsize,
    bytes: AtomicUsize,
    owner: AtomicU32,
    device: AtomicU32,
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            state: AtomicU64::new(0),
            address: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            owner: AtomicU32::new(0),
            device: AtomicU32::new(0),
        }
    }
}

/// The table never moves: chunks of slots appear once and stay, so look-ups take no lock.
static TABLE: [OnceLock<Box<[Slot; CHUNK]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];
static FREE: Mutex<FreeList> = Mutex::new(FreeList {
    indices: Vec::new(),
    made: 0,
});
static HANDLES: AtomicUsize = AtomicUsize::new(0);

/// Who lends a storage memory that is not the allocator's.
pub trait Lender: Send + Sync {
    /// Why the memory is no longer what it was.
    fn loss(&self) -> Option<String>;
    /// One more storage of the same memory.
    fn storage(self: Arc<Self>, owner: u32, at: usize, bytes: usize) -> Result<f64, String>;
}

/// The lenders by slot.
static LENDERS: Mutex<BTreeMap<usize, Arc<dyn Lender>>> = Mutex::new(BTreeMap::new());
/// How often lent memory turned out to be lost.
pub static LOSSES: AtomicU32 = AtomicU32::new(0);

fn lenders() -> MutexGuard<'static, BTreeMap<usize, Arc<dyn Lender>>> {
    LENDERS.lock().unwrap_or_else(|e| e.into_inner())
}

/// What to say of lent memory that was lost.
pub fn loss() -> String {
    let loss = lenders().values().find_map(|lender| lender.loss());
    loss.unwrap_or_else(|| "Cannot use what was mapped: the file was cut short meanwhile".into())
}

struct FreeList {
    indices: Vec<u32>,
    made: u32,
}

fn slot(index: usize) -> Option<&'static Slot> {
    TABLE
        .get(index / CHUNK)?
        .get()
        .map(|chunk| &chunk[index % CHUNK])
}

/// A storage that a running call holds; it cannot be freed under the call.
pub struct Held {
    index: usize,
    pub address: *mut u8,
    pub bytes: usize,
    pub device: Device,
    lent: bool,
}

impl Held {
    /// Whether the memory is a `Lender`'s.
    pub fn is_lent(&self) -> bool {
        self.lent
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(slot) = slot(self.index) {
            let before = slot.state.fetch_sub(1, Ordering::AcqRel);
            if before & DOOMED != 0 && before & USERS == 1 {
                reclaim(self.index, slot);
            }
        }
    }
}

fn split(handle: f64) -> Option<(usize, u64)> {
    // The cast saturates, so a NaN, a fraction or a negative number does not survive the way back.
    let bits = handle as u64;
    if bits as f64 != handle || bits >= 1 << 52 {
        return None;
    }
    Some((
        (bits & ((1 << INDEX_BITS) - 1)) as usize,
        bits >> INDEX_BITS,
    ))
}

/// Takes hold of a storage for the time of a call.
pub fn hold(handle: f64) -> Outcome<Held> {
    let Some((index, generation)) = split(handle) else {
        bail!("{handle} is no storage handle");
    };
    let Some(slot) = slot(index) else {
        bail!("storage handle {handle} was never given out");
    };
    let mut state = slot.state.load(Ordering::Acquire);
    loop {
        if state >> 32 != generation || state & LIVE == 0 || state & DOOMED != 0 {
            bail!("storage handle {handle} is stale: the storage was freed");
        }
        match slot.state.compare_exchange_weak(
            state,
            state + 1,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => break,
            Err(now) => state = now,
        }
    }
    let held = Held {
        index,
        address: slot.address.load(Ordering::Relaxed) as *mut u8,
        bytes: slot.bytes.load(Ordering::Relaxed),
        device: Device(slot.device.load(Ordering::Relaxed)),
        lent: state & LENT != 0,
    };
    if held.lent && LOSSES.load(Ordering::Acquire) != 0 {
        // On a line of its own: the lock is given back before `held` is.
        let loss = lenders().get(&index).and_then(|lender| lender.loss());
        if let Some(loss) = loss {
            return Err(Fault::Invalid(loss));
        }
    }
    Ok(held)
}

/// Who lends a storage its memory.
pub fn lender(held: &Held) -> Option<Arc<dyn Lender>> {
    lenders().get(&held.index).cloned()
}

/// Makes a storage of `bytes` bytes for `owner` and returns its handle.
pub fn allocate(owner: u32, bytes: f64, device: Device) -> Outcome<f64> {
    if !(bytes >= 0.0 && bytes.fract() == 0.0 && bytes < (1u64 << 52) as f64) {
        bail!("cannot allocate {bytes} bytes: the size must be a whole number from 0 to 2^52");
    }
    if device != Device::CPU {
        bail!("cannot allocate on {device}: this library was built without CUDA");
    }
    let bytes = bytes as usize;
    let address = take(bytes)? as usize;
    occupy(owner, address, bytes, device, None).inspect_err(|_| give(address as *mut u8, bytes))
}

/// The largest answer of a job that memory beyond the budget is taken for.
const SMALL_ANSWER: usize = 64 << 10;

/// A storage for what a job answers. Its work is done by then, so a small answer does not fail for the budget.
pub fn allocate_answer(owner: u32, bytes: usize) -> Outcome<f64> {
    if bytes > SMALL_ANSWER {
        return allocate(owner, bytes as f64, Device::CPU);
    }
    let address = take_from(bytes, false)? as usize;
    occupy(owner, address, bytes, Device::CPU, None)
        .inspect_err(|_| give(address as *mut u8, bytes))
}

/// Makes a storage of memory that a lender keeps alive as long; it does not count in the budget.
pub fn lend(owner: u32, address: usize, bytes: usize, lender: Arc<dyn Lender>) -> Outcome<f64> {
    occupy(owner, address, bytes, Device::CPU, Some(lender))
}

fn occupy(
    owner: u32,
    address: usize,
    bytes: usize,
    device: Device,
    lender: Option<Arc<dyn Lender>>,
) -> Outcome<f64> {
    let index = {
        let mut free = FREE.lock().unwrap_or_else(|e| e.into_inner());
        match free.indices.pop() {
            Some(i) => i as usize,
            None if (free.made as usize) < CHUNK * CHUNKS => {
                let i = free.made as usize;
                TABLE[i / CHUNK].get_or_init(|| Box::new([const { Slot::new() }; CHUNK]));
                free.made += 1;
                i
            }
            None => bail!(
                "cannot allocate: all {} storage handles are in use",
                CHUNK * CHUNKS
            ),
        }
    };
    let Some(slot) = slot(index) else {
        bail!("cannot allocate: storage slot {index} is missing");
    };
    slot.address.store(address, Ordering::Relaxed);
    slot.bytes.store(bytes, Ordering::Relaxed);
    slot.owner.store(owner, Ordering::Relaxed);
    slot.device.store(device.0, Ordering::Relaxed);
    let mut state = LIVE;
    if let Some(lender) = lender {
        state |= LENT;
        lenders().insert(index, lender);
    }
    let generation = slot.state.load(Ordering::Relaxed) >> 32;
    slot.state
        .store(generation << 32 | state, Ordering::Release);
    HANDLES.fetch_add(1, Ordering::Relaxed);
    Ok((generation << INDEX_BITS | index as u64) as f64)
}

/// Frees a storage; running calls that hold it finish first. A stale handle is an error.
pub fn free(handle: f64) -> Outcome {
    let Some((index, generation)) = split(handle) else {
        bail!("{handle} is no storage handle");
    };
    let Some(slot) = slot(index) else {
        bail!("storage handle {handle} was never given out");
    };
    let mut state = slot.state.load(Ordering::Acquire);
    loop {
        if state >> 32 != generation || state & LIVE == 0 || state & DOOMED != 0 {
            bail!("storage handle {handle} is stale: the storage was freed");
        }
        match slot.state.compare_exchange_weak(
            state,
            state | DOOMED,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => break,
            Err(now) => state = now,
        }
    }
    if state & USERS == 0 {
        reclaim(index, slot);
    }
    Ok(())
}

/// Frees every storage that `owner` still has, and says how many there were.
pub fn free_owner(owner: u32) -> usize {
    let made = FREE.lock().unwrap_or_else(|e| e.into_inner()).made as usize;
    let mut count = 0;
    for index in 0..made {
        let Some(slot) = slot(index) else { continue };
        let state = slot.state.load(Ordering::Acquire);
        if state & LIVE != 0 && slot.owner.load(Ordering::Relaxed) == owner {
            let handle = ((state >> 32) << INDEX_BITS | index as u64) as f64;
            count += usize::from(free(handle).is_ok());
        }
    }
    count
}

fn reclaim(index: usize, slot: &Slot) {
    let address = slot.address.swap(0, Ordering::Relaxed) as *mut u8;
    let bytes = slot.bytes.swap(0, Ordering::Relaxed);
    let state = slot.state.load(Ordering::Relaxed);
    let generation = ((state >> 32) + 1) & ((1 << 28) - 1);
    let lender = if state & LENT == 0 {
        give(address, bytes);
        None
    } else {
        lenders().remove(&index)
    };
    slot.state.store(generation << 32, Ordering::Release);
    HANDLES.fetch_sub(1, Ordering::Relaxed);
    // The last one gives the memory back.
    drop(lender);
    FREE.lock()
        .unwrap_or_else(|e| e.into_inner())
        .indices
        .push(index as u32);
}

// ---- the caching allocator -------------------------------------------------------------------

/// Free blocks of one size class. The one freed last is taken first, so what lies lowest is used least.
struct Class {
    blocks: Vec<usize>,
    /// The fewest that there were since the last trim: that many were not needed.
    idle: usize,
    /// Blocks cut from arenas whose pages went back to the system.
    cold: Vec<usize>,
}

/// Free blocks by size class: eight classes to a doubling, so at most an eighth is wasted.
struct Cache {
    classes: Vec<Class>,
    live: usize,
    cached: usize,
    peak: usize,
    budget: usize,
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
    planned: Planned::NONE,
});

/// The class of a size and the bytes that a block of the class has.
fn class_of(bytes: usize) -> (usize, usize) {
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
    /// Gives free blocks back to the system: all, or those that were not needed since the last time.
    fn trim(&mut self, all: bool) {
        for (number, class) in self.classes.iter_mut().enumerate() {
            let Some(size) = class_size(number) else {
                continue;
            };
            let count = if all { class.blocks.len() } else { class.idle };
            for address in class.blocks.drain(..count) {
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

fn take(bytes: usize) -> Outcome<*mut u8> {
    take_from(bytes, true)
}

/// A block; only where it `is_budgeted` may the budget refuse it.
fn take_from(bytes: usize, is_budgeted: bool) -> Outcome<*mut u8> {
    if bytes == 0 {
        return Ok(ALIGN as *mut u8);
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
        && let Some(address) = class.blocks.pop()
    {
        class.idle = class.idle.min(class.blocks.len());
        cache.cached -= size;
        cache.live += size;
        cache.peak = cache.peak.max(cache.live);
        return Ok(address as *mut u8);
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
    cache.live += size;
    cache.peak = cache.peak.max(cache.live);
    Ok(address)
}

fn give(address: *mut u8, bytes: usize) {
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
    cache.classes[class].blocks.push(address as usize);
}

/// Scratch memory from the same allocator and budget, given back when dropped.
pub struct Scratch {
    address: *mut u8,
    bytes: usize,
}

impl Scratch {
    /// Room for `count` elements of T, not initialised.
    pub fn new<T: Copy>(count: usize) -> Outcome<Scratch> {
        let bytes = count
            .checked_mul(size_of::<T>())
            .ok_or_else(|| Fault::OutOfMemory(format!("Cannot allocate {count} elements")))?;
        Ok(Scratch {
            address: take(bytes)?,
            bytes,
        })
    }

    pub fn as_ptr<T>(&self) -> *mut T {
        self.address.cast()
    }

    /// The memory as a slice of plain numbers.
    ///
    /// # Safety
    /// T must be a type for which any bit pattern is valid, and the scratch must have room for `count`.
    pub unsafe fn slice<T: Copy>(&mut self, count: usize) -> &mut [T] {
        assert!(count * size_of::<T>() <= self.bytes);
        // SAFETY: aligned to 64 bytes, long enough, exclusively ours.
        unsafe { core::slice::from_raw_parts_mut(self.address.cast(), count) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        give(self.address, self.bytes);
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
    fn a_handle_goes_stale_and_its_slot_is_reused_under_another_generation() {
        let a = allocate(1, 100.0, Device::CPU).unwrap();
        let held = hold(a).unwrap();
        free(a).unwrap();
        assert!(hold(a).is_err(), "doomed");
        assert!(free(a).is_err(), "freed twice");
        drop(held);
        assert!(hold(a).is_err(), "stale");
        for bad in [f64::NAN, -1.0, 0.5, 1e300, 16_000_000.0] {
            assert!(hold(bad).is_err(), "{bad}");
        }
        for bad in [f64::NAN, -1.0, 0.5, 1e300, f64::INFINITY] {
            assert!(allocate(1, bad, Device::CPU).is_err(), "{bad}");
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
            planned: Planned::NONE,
        };
        cache.classes.resize_with(number + 1, || Class {
            blocks: Vec::new(),
            idle: 0,
            cold: Vec::new(),
        });
        cache.classes[number].blocks = (0..count).map(|_| raw_allocate(size) as usize).collect();
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

    #[test]
    fn an_owner_takes_its_storages_along() {
        let a = allocate(77, 100.0, Device::CPU).unwrap();
        let b = allocate(78, 100.0, Device::CPU).unwrap();
        assert_eq!(free_owner(77), 1);
        assert!(hold(a).is_err());
        assert!(hold(b).is_ok());
        free(b).unwrap();
    }
}
