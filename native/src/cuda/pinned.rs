//! Pinned memory of the process: devices copy from and to it by themselves, while the process goes on. Blocks are kept
//! for reuse; one that a device may still work on comes back when the device has got that far.

use super::gpu::{Event, Gpu};
use super::gpu_of;
use crate::device::Device;
use crate::fault::{Fault, Outcome};
use crate::memory::{self, Lender, class_of};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// Memory comes in pages.
const LEAST: usize = 4096;
/// Past this, who wants a block waits for one that a device still works on rather than take new memory.
const MOST: usize = 256 << 20;

/// A block that somebody has, or a device works on.
struct Entry {
    class: usize,
    bytes: usize,
    /// Devices that were asked for a copy from or to it.
    users: Vec<Device>,
}

struct Pool {
    free: BTreeMap<usize, Vec<usize>>,
    /// By address.
    entries: BTreeMap<usize, Entry>,
    /// Blocks that nobody has any more, with what their devices must reach, oldest first.
    busy: VecDeque<(usize, Vec<Event>)>,
    bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: BTreeMap::new(),
    entries: BTreeMap::new(),
    busy: VecDeque::new(),
    bytes: 0,
});

fn lock() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(|e| e.into_inner())
}

impl Pool {
    /// Lets blocks be used again that devices are done with; waits for the oldest where asked to.
    fn reclaim(&mut self, wait: bool) {
        let mut wait = wait;
        while let Some((address, events)) = self.busy.front() {
            // A device that was lost works on nothing.
            let is_done = |event: &Event| match wait {
                true => event.wait().is_ok() || event.is_lost(),
                false => event.is_done().unwrap_or(true),
            };
            if !events.iter().all(is_done) {
                return;
            }
            wait = false;
            let address = *address;
            self.busy.pop_front();
            self.release(address);
        }
    }

    fn release(&mut self, address: usize) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.users.clear();
            self.free.entry(entry.class).or_default().push(address);
        }
    }

    /// Gives what nobody uses back to the driver.
    fn empty(&mut self, gpu: &Gpu) {
        for address in core::mem::take(&mut self.free).into_values().flatten() {
            if let Some(entry) = self.entries.remove(&address) {
                self.bytes -= entry.bytes;
                gpu.give_host(address as *mut u8);
            }
        }
    }

    /// The block in which so many bytes lie.
    fn around(&mut self, address: usize, bytes: usize) -> Option<&mut Entry> {
        let (&start, entry) = self.entries.range_mut(..=address).next_back()?;
        (address + bytes <= start + entry.bytes).then_some(entry)
    }
}

/// A pinned block in hand; it goes back to the pool when dropped.
pub struct Block {
    address: usize,
}

impl Block {
    /// A block of at least so many bytes, seen by every device.
    pub fn take(gpu: &Gpu, bytes: usize) -> Outcome<Block> {
        let (class, size) = class_of(bytes.max(LEAST));
        let mut pool = lock();
        pool.reclaim(false);
        loop {
            if let Some(address) = pool.free.get_mut(&class).and_then(Vec::pop) {
                return Ok(Block { address });
            }
            if pool.bytes + size <= MOST || pool.busy.is_empty() {
                break;
            }
            pool.reclaim(true);
        }
        let made = match gpu.take_host(size) {
            Err(Fault::OutOfMemory(_)) => {
                pool.empty(gpu);
                gpu.take_host(size)?
            }
            made => made?,
        };
        let address = made as usize;
        let entry = Entry {
            class,
            bytes: size,
            users: Vec::new(),
        };
        pool.entries.insert(address, entry);
        pool.bytes += size;
        Ok(Block { address })
    }

    pub fn address(&self) -> *mut u8 {
        self.address as *mut u8
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut pool = lock();
        let users = pool.entries.get_mut(&self.address);
        let users = users.map(|entry| core::mem::take(&mut entry.users));
        let marked = users.into_iter().flatten();
        let events: Vec<Event> = marked
            .filter_map(|device| gpu_of(device).and_then(|gpu| gpu.record(false)).ok())
            .collect();
        if events.is_empty() {
            pool.release(self.address);
        } else {
            pool.busy.push_back((self.address, events));
        }
    }
}

/// Notes that a device was asked for a copy from or to these bytes, if they are pinned.
pub fn mark(address: *const u8, bytes: usize, device: Device) -> bool {
    let mut pool = lock();
    let Some(entry) = pool.around(address as usize, bytes) else {
        return false;
    };
    if !entry.users.contains(&device) {
        entry.users.push(device);
    }
    true
}

/// What there is of pinned memory, in bytes.
pub fn bytes() -> usize {
    lock().bytes
}

/// Gives blocks that nobody uses back to the driver.
pub fn empty_cache(gpu: &Gpu) {
    let mut pool = lock();
    pool.reclaim(false);
    pool.empty(gpu);
}

impl Lender for Block {
    fn loss(&self) -> Option<String> {
        None
    }

    fn storage(self: Arc<Self>, owner: u32, at: usize, bytes: usize) -> Result<f64, String> {
        let address = self.address + at;
        memory::lend(owner, address, bytes, self).map_err(|fault| fault.text().into())
    }
}

/// A storage of pinned memory, which is the process's own otherwise.
pub fn allocate(owner: u32, bytes: usize) -> Outcome<f64> {
    let block = Arc::new(Block::take(gpu_of(Device(1))?, bytes)?);
    memory::lend(owner, block.address, bytes, block)
}
