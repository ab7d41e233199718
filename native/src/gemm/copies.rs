//! Packed B, once for each thread: what one core has written can take half a microsecond a line to reach another, and
//! where many rows are multiplied with it, packing twice costs less than that. A thread packs a part when it first
//! needs it, and multiplies from its own cache.

use super::pack::Buffer;
use crate::pool;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows of a product for each thread from which on it has a copy of its own.
const LEAST_ROWS: usize = 128;
/// Bytes of packed B at most: of more, threads that share a last-level cache had better have one copy there.
const MOST_BYTES: usize = 2 << 20;

/// The copy that a thread made last.
struct Held {
    product: u64,
    buffer: Option<Buffer>,
    bytes: usize,
    /// Parts that are packed.
    done: Vec<bool>,
}

thread_local! {
    static HELD: RefCell<Held> = const {
        RefCell::new(Held { product: 0, buffer: None, bytes: 0, done: Vec::new() })
    };
}

/// One product's B in parts.
pub struct Copies {
    product: u64,
    parts: usize,
    bytes: usize,
}

impl Copies {
    /// None where threads had better share one.
    pub fn new(rows: usize, parts: usize, bytes: usize) -> Option<Copies> {
        static PRODUCTS: AtomicU64 = AtomicU64::new(0);
        let suits = rows >= LEAST_ROWS * pool::threads() && bytes <= MOST_BYTES;
        suits.then(|| Copies {
            product: 1 + PRODUCTS.fetch_add(1, Ordering::Relaxed),
            parts,
            bytes,
        })
    }

    /// This thread's copy, for the task that begins; what its parts hold is up to [`Copies::pack`].
    pub fn begin<T>(&self) -> Result<*mut T, String> {
        HELD.with_borrow_mut(|held| {
            if held.product != self.product {
                if held.buffer.is_none() || held.bytes < self.bytes {
                    held.buffer = None;
                    held.buffer = Some(Buffer::take::<u8>(self.bytes)?);
                    held.bytes = self.bytes;
                }
                held.product = self.product;
                held.done.clear();
                held.done.resize(self.parts, false);
            }
            let buffer = held.buffer.as_ref().map(Buffer::get);
            buffer.ok_or_else(|| "No memory to pack matrices".into())
        })
    }

    /// Packs a part, unless this thread has; after [`Copies::begin`].
    pub fn pack(&self, part: usize, pack: impl FnOnce()) {
        HELD.with_borrow_mut(|held| {
            if !held.done[part] {
                pack();
                held.done[part] = true;
            }
        });
    }
}
