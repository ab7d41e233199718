//! Events that TypeScript knows by number: places in a device's work that one can ask for, wait for, and time.

use super::gpu::Event;
use super::gpu_of;
use crate::bail;
use crate::device::Device;
use crate::fault::{Fault, Outcome};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

static EVENTS: Mutex<(u32, BTreeMap<u32, Arc<Event>>)> = Mutex::new((0, BTreeMap::new()));

/// Two numbers of events fit into one that a double holds.
const MOST: u32 = 1 << 26;

fn lock() -> MutexGuard<'static, (u32, BTreeMap<u32, Arc<Event>>)> {
    EVENTS.lock().unwrap_or_else(|e| e.into_inner())
}

fn find(number: u64) -> Outcome<Arc<Event>> {
    let found = u32::try_from(number).ok();
    found
        .and_then(|n| lock().1.get(&n).cloned())
        .ok_or_else(|| Fault::Invalid(format!("event {number} was never recorded, or freed")))
}

/// Records an event behind all work of a device so far. `value` is twice the device's number, and 1 for one with a time.
pub fn record(value: u64) -> Outcome<f64> {
    let event = gpu_of(Device((value / 2) as u32))?.record(value % 2 == 1)?;
    let mut events = lock();
    if events.1.len() >= MOST as usize {
        bail!("all {MOST} events are in use");
    }
    while events.1.contains_key(&events.0) {
        events.0 = (events.0 + 1) % MOST;
    }
    let number = events.0;
    events.0 = (number + 1) % MOST;
    events.1.insert(number, Arc::new(event));
    Ok(f64::from(number))
}

/// Waits until the device has come to it.
pub fn wait(number: u64) -> Outcome<f64> {
    find(number)?.wait().map(|()| 0.0)
}

/// 1 when the device has come to it.
pub fn is_done(number: u64) -> Outcome<f64> {
    find(number)?
        .is_done()
        .map(|done| f64::from(u8::from(done)))
}

pub fn free(number: u64) -> Outcome<f64> {
    let event = find(number)?;
    lock().1.retain(|_, known| !Arc::ptr_eq(known, &event));
    Ok(0.0)
}

/// Milliseconds between two events, whose numbers are the halves of one.
pub fn elapsed(pair: u64) -> Outcome<f64> {
    let most = u64::from(MOST);
    let (from, to) = (find(pair / most)?, find(pair % most)?);
    from.until(&to)
}
