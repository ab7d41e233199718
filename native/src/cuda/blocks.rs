//! The caching allocator of a device: blocks by the size classes of the CPU's, kept for reuse. All work of a device
//! runs on one stream, so a block can be handed out again while kernels that use it are still to run: they run first.

use super::driver::Address;
use crate::fault::{Fault, Outcome};
use crate::memory::class_of;

/// What a device's memory is used for, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub live: usize,
    pub cached: usize,
    pub peak: usize,
    /// The most that was live and cached together, which is what the driver gave.
    pub reserved_peak: usize,
    /// Blocks that were asked of the driver.
    pub allocations: usize,
}

/// Free blocks by size class, and what is in use.
pub struct Blocks {
    classes: Vec<Vec<Address>>,
    usage: Usage,
    /// Whether freed blocks are kept. Without, every storage is a block of its own size, which sanitizers can watch.
    keeps: bool,
}

/// Where blocks come from and go to.
pub trait Source {
    fn take(&self, bytes: usize) -> Outcome<Address>;
    fn give(&self, address: Address) -> Outcome;
    /// What the device says of its memory, for the text of an error.
    fn report(&self) -> String;
}

impl Blocks {
    pub fn new(keeps: bool) -> Blocks {
        Blocks {
            classes: Vec::new(),
            usage: Usage::default(),
            keeps,
        }
    }

    pub fn usage(&self) -> Usage {
        self.usage
    }

    pub fn reset_peak(&mut self) {
        self.usage.peak = self.usage.live;
        self.usage.reserved_peak = self.usage.live + self.usage.cached;
    }

    fn size(&self, bytes: usize) -> (usize, usize) {
        if self.keeps {
            class_of(bytes)
        } else {
            (0, bytes)
        }
    }

    /// A block of at least so many bytes, from the cache if it has one.
    pub fn take(&mut self, bytes: usize, source: &impl Source) -> Outcome<Address> {
        let (class, size) = self.size(bytes);
        let kept = self.classes.get_mut(class).and_then(Vec::pop);
        if kept.is_some() {
            self.usage.cached -= size;
        }
        let address = match kept {
            Some(address) => address,
            None => self.fresh(size, source).map_err(|fault| match fault {
                Fault::OutOfMemory(_) => Fault::OutOfMemory(self.shortage(bytes, source)),
                other => other,
            })?,
        };
        self.usage.live += size;
        let Usage { live, cached, .. } = self.usage;
        self.usage.peak = self.usage.peak.max(live);
        self.usage.reserved_peak = self.usage.reserved_peak.max(live + cached);
        Ok(address)
    }

    /// A block from the driver; when it has none, what lies in the cache goes back first.
    fn fresh(&mut self, size: usize, source: &impl Source) -> Outcome<Address> {
        self.usage.allocations += 1;
        match source.take(size) {
            Err(Fault::OutOfMemory(_)) if self.usage.cached > 0 => {
                self.empty(source)?;
                source.take(size)
            }
            taken => taken,
        }
    }

    fn shortage(&self, bytes: usize, source: &impl Source) -> String {
        let Usage {
            live, cached, peak, ..
        } = self.usage;
        format!(
            "Cannot allocate {bytes} bytes: {live} live, {cached} cached and {peak} peak bytes on a device of which {}",
            source.report()
        )
    }

    /// Takes a block back that was taken for so many bytes.
    pub fn give(&mut self, address: Address, bytes: usize, source: &impl Source) -> Outcome {
        let (class, size) = self.size(bytes);
        self.usage.live -= size;
        if !self.keeps {
            return source.give(address);
        }
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Vec::new);
        }
        self.usage.cached += size;
        self.classes[class].push(address);
        Ok(())
    }

    /// Gives every free block back to the driver.
    pub fn empty(&mut self, source: &impl Source) -> Outcome {
        for class in &mut self.classes {
            for address in class.drain(..) {
                source.give(address)?;
            }
        }
        self.usage.cached = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    /// A device of so many bytes.
    struct Device {
        room: usize,
        blocks: RefCell<BTreeMap<Address, usize>>,
        next: Cell<Address>,
    }

    impl Device {
        fn of(room: usize) -> Device {
            Device {
                room,
                blocks: RefCell::default(),
                next: Cell::new(256),
            }
        }
    }

    impl Source for Device {
        fn take(&self, bytes: usize) -> Outcome<Address> {
            let used: usize = self.blocks.borrow().values().sum();
            if used + bytes > self.room {
                return Err(Fault::OutOfMemory("full".into()));
            }
            let address = self.next.get();
            self.next.set(address + bytes as Address);
            self.blocks.borrow_mut().insert(address, bytes);
            Ok(address)
        }
        fn give(&self, address: Address) -> Outcome {
            let found = self.blocks.borrow_mut().remove(&address);
            assert!(found.is_some(), "a block of the driver's");
            Ok(())
        }
        fn report(&self) -> String {
            "10 of 20 bytes are free".into()
        }
    }

    #[test]
    fn a_freed_block_is_used_again_and_the_cache_makes_room() {
        let device = Device::of(4096);
        let mut blocks = Blocks::new(true);
        let a = blocks.take(1000, &device).unwrap();
        blocks.give(a, 1000, &device).unwrap();
        assert_eq!(blocks.usage().live, 0);
        assert_eq!(blocks.usage().allocations, 1);
        assert_eq!(blocks.take(1000, &device), Ok(a), "of the same class");
        blocks.give(a, 1000, &device).unwrap();
        // No room beside the cached block: it goes back to the driver first.
        let b = blocks.take(3500, &device).unwrap();
        assert_eq!(device.blocks.borrow().len(), 1);
        assert_eq!(blocks.usage().cached, 0);
        let fault = blocks.take(2000, &device).unwrap_err();
        assert_eq!(
            fault.text(),
            "Cannot allocate 2000 bytes: 3584 live, 0 cached and 3584 peak bytes on a device of which 10 of 20 bytes are free"
        );
        blocks.give(b, 3500, &device).unwrap();
        let usage = blocks.usage();
        assert_eq!((usage.peak, usage.reserved_peak), (3584, 3584));
        blocks.empty(&device).unwrap();
        blocks.reset_peak();
        assert_eq!(blocks.usage().reserved_peak, 0);
        assert!(device.blocks.borrow().is_empty());
    }

    #[test]
    fn without_a_cache_blocks_have_their_own_size() {
        let device = Device::of(4096);
        let mut blocks = Blocks::new(false);
        let a = blocks.take(1001, &device).unwrap();
        assert_eq!(device.blocks.borrow().get(&a), Some(&1001));
        blocks.give(a, 1001, &device).unwrap();
        assert!(device.blocks.borrow().is_empty());
    }
}
