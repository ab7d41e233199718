//! Storages: a table of handles with generations and owners over a caching allocator with a budget.
//! A handle is `generation * 2^24 + index`, an integer that a double holds exactly.

use crate::device::Device;
use crate::fault::{Fault, Outcome};
use crate::{bail, cuda};
use cache::{Block, give, take, take_from};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

mod cache;
pub(crate) use cache::class_of;
pub use cache::{
    Scratch, empty_cache, plan_failures, planned_failures, reset_peak, set_budget, stats,
    trim_cache,
};

const INDEX_BITS: u32 = 24;
const CHUNK: usize = 4096;
const CHUNKS: usize = (1 << INDEX_BITS) / CHUNK;

/// `state` packs generation (28 bits), a doomed flag and the count of running calls that use it.
const DOOMED: u64 = 1 << 31;
const LIVE: u64 = 1 << 30;
/// The memory is lent by a `Lender`.
const LENT: u64 = 1 << 29;
/// Nobody has used the memory yet, and no cache holds it.
const COLD: u64 = 1 << 28;
const USERS: u64 = COLD - 1;

struct Slot {
    state: AtomicU64,
    address: AtomicUsize,
    bytes: AtomicUsize,
    /// When the allocator handed the memory out, for when it is given back.
    taken: AtomicU64,
    owner: AtomicU32,
    device: AtomicU32,
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            state: AtomicU64::new(0),
            address: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
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
    /// Nobody has used the memory before this call, and no cache holds it.
    pub is_cold: bool,
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

/// Takes hold of a storage in the process's own memory for the time of a call.
pub fn hold(handle: f64) -> Outcome<Held> {
    let held = hold_anywhere(handle)?;
    if held.device != Device::CPU {
        bail!(
            "storage handle {handle} lies on {}, where it must be on cpu",
            held.device
        );
    }
    Ok(held)
}

/// Takes hold of a storage for the time of a call. On another device than the CPU its address is the device's.
pub fn hold_anywhere(handle: f64) -> Outcome<Held> {
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
            (state & !COLD) + 1,
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
        is_cold: state & COLD != 0,
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
    let bytes = bytes as usize;
    if device == Device::PINNED {
        return cuda::pinned::allocate(owner, bytes);
    }
    if device != Device::CPU {
        let gpu = cuda::gpu(device)?;
        let address = if bytes == 0 { 0 } else { gpu.take(bytes)? };
        return occupy(owner, address as usize, bytes, device, Source::Allocator)
            .inspect_err(|_| give_back(device, address as usize, bytes, 0));
    }
    occupy_block(owner, take(bytes)?, bytes)
}

/// Where a storage's memory comes from.
enum Source {
    /// The device's allocator.
    Allocator,
    /// The process's own, with what it says of the block.
    Block(Block),
    Lender(Arc<dyn Lender>),
}

/// A storage of a block of the process's memory, which is given back where there can be none.
fn occupy_block(owner: u32, block: Block, bytes: usize) -> Outcome<f64> {
    let address = block.address as usize;
    occupy(owner, address, bytes, Device::CPU, Source::Block(block))
        .inspect_err(|_| give(block.address, bytes, block.taken))
}

/// Gives a storage's memory to the allocator that it came from.
fn give_back(device: Device, address: usize, bytes: usize, taken: u64) {
    if device == Device::CPU {
        give(address as *mut u8, bytes, taken);
    } else if bytes > 0
        && let Ok(gpu) = cuda::gpu(device)
    {
        gpu.give(address as cuda::Address, bytes);
    }
}

/// The largest answer of a job that memory beyond the budget is taken for.
const SMALL_ANSWER: usize = 64 << 10;

/// A storage for what a job answers. Its work is done by then, so a small answer does not fail for the budget.
pub fn allocate_answer(owner: u32, bytes: usize) -> Outcome<f64> {
    if bytes > SMALL_ANSWER {
        return allocate(owner, bytes as f64, Device::CPU);
    }
    occupy_block(owner, take_from(bytes, false)?, bytes)
}

/// Makes a storage of memory that a lender keeps alive as long; it does not count in the budget.
pub fn lend(owner: u32, address: usize, bytes: usize, lender: Arc<dyn Lender>) -> Outcome<f64> {
    occupy(owner, address, bytes, Device::CPU, Source::Lender(lender))
}

fn occupy(
    owner: u32,
    address: usize,
    bytes: usize,
    device: Device,
    source: Source,
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
    match source {
        Source::Allocator => {}
        Source::Block(block) => {
            slot.taken.store(block.taken, Ordering::Relaxed);
            state |= if block.is_cold { COLD } else { 0 };
        }
        Source::Lender(lender) => {
            state |= LENT;
            lenders().insert(index, lender);
        }
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
    let address = slot.address.swap(0, Ordering::Relaxed);
    let bytes = slot.bytes.swap(0, Ordering::Relaxed);
    let device = Device(slot.device.load(Ordering::Relaxed));
    let state = slot.state.load(Ordering::Relaxed);
    let generation = ((state >> 32) + 1) & ((1 << 28) - 1);
    let lender = if state & LENT == 0 {
        give_back(device, address, bytes, slot.taken.load(Ordering::Relaxed));
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn memory_is_cold_until_its_first_call_when_much_was_handed_out_since_its_last() {
        // No other test has blocks of this size.
        const BYTES: f64 = (11 << 20) as f64;
        let taken = |between: usize| {
            free(allocate(1, BYTES, Device::CPU).unwrap()).unwrap();
            for _ in 0..between {
                free(allocate(1, 4e6, Device::CPU).unwrap()).unwrap();
            }
            let again = allocate(1, BYTES, Device::CPU).unwrap();
            let cold = [hold(again).unwrap().is_cold, hold(again).unwrap().is_cold];
            free(again).unwrap();
            cold
        };
        assert_eq!(taken(9), [true, false]);
        let fresh = allocate(1, BYTES + 2e6, Device::CPU).unwrap();
        assert!(!hold(fresh).unwrap().is_cold, "fresh pages");
        free(fresh).unwrap();
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
