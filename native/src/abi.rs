//! The C boundary: a dozen symbols, frozen early. Each runs under a panic guard and reports a code;
//! the text of a failure goes, as UTF-8 behind its length in bytes, into the thread's own buffer.

use crate::bail;
use crate::device::Device;
use crate::fault::{Fault, Outcome};
use crate::instruction::{self, Call};
use crate::{cuda, memory, ops, pool, simd};
use core::cell::RefCell;
use core::sync::atomic::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock};

/// Everything the two sides must agree on beside the opcode table; part of the hash.
const ABI: &str =
    "1: words f64; open close alloc free execute write read memory option job table hash";
const MAX_THREADS: usize = 4096;

#[derive(Clone, Copy)]
struct Buffer {
    address: usize,
    words: usize,
}

static BUFFERS: Mutex<Vec<Option<Buffer>>> = Mutex::new(Vec::new());

thread_local! {
    static CALL: RefCell<Call> = const { RefCell::new(Call::new()) };
    /// The buffer that this thread used last, so that a call takes no lock.
    static LAST: core::cell::Cell<(u32, Buffer)> = const { core::cell::Cell::new((0, Buffer { address: 0, words: 0 })) };
}

fn buffer(thread: u32) -> Option<Buffer> {
    let (last, found) = LAST.get();
    if last == thread && thread != 0 {
        return Some(found);
    }
    let buffers = BUFFERS.lock().unwrap_or_else(|e| e.into_inner());
    let found = buffers
        .get((thread as usize).wrapping_sub(1))
        .copied()
        .flatten()?;
    LAST.set((thread, found));
    Some(found)
}

impl Buffer {
    /// The caller's words, copied out of reach of a caller that goes on writing.
    ///
    /// # Safety
    /// The registered buffer outlives its registration.
    unsafe fn words<'a>(self) -> &'a mut [f64] {
        // SAFETY: JavaScript keeps the registered array for good and is inside this call now.
        unsafe { core::slice::from_raw_parts_mut(self.address as *mut f64, self.words) }
    }

    fn write_text(self, text: &str) {
        // SAFETY: as in `words`; bytes behind the first word.
        let words = unsafe { self.words() };
        let room = (words.len() - 1) * 8;
        let mut length = text.len().min(room);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        words[0] = length as f64;
        // SAFETY: `length` bytes fit behind the first word.
        unsafe {
            core::ptr::copy_nonoverlapping(text.as_ptr(), words.as_mut_ptr().add(1).cast(), length)
        };
    }
}

/// Runs a call on the thread's buffer; a fault or a panic becomes a code and a text.
fn guard(thread: u32, body: impl FnOnce(Buffer) -> Outcome) -> i32 {
    let Some(buffer) = buffer(thread) else {
        return 5;
    };
    let losses = memory::LOSSES.load(Ordering::Relaxed);
    let fault = match catch_unwind(AssertUnwindSafe(|| body(buffer))) {
        // A mapped file that was cut short under the call gave it zeros.
        Ok(Ok(())) if memory::LOSSES.load(Ordering::Relaxed) != losses => {
            Fault::Invalid(memory::loss())
        }
        Ok(Ok(())) => return 0,
        Ok(Err(fault)) => fault,
        Err(panic) => Fault::Panic(panic_text(&*panic)),
    };
    buffer.write_text(fault.text());
    fault.code()
}

fn panic_text(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "Internal error: {}",
        text.unwrap_or("a panic without a text")
    )
}

/// The ids that a thread was registered under; when the thread ends, so does what it made.
struct Opened(RefCell<Vec<u32>>);

impl Drop for Opened {
    fn drop(&mut self) {
        for &thread in self.0.borrow().iter() {
            forget(thread);
        }
    }
}

thread_local! {
    static OPENED: Opened = const { Opened(RefCell::new(Vec::new())) };
}

/// Frees what a thread still has and gives its place away.
fn forget(thread: u32) {
    // First what is still being written out of its storages.
    crate::io::file_writer::close_owner(thread);
    let mut buffers = BUFFERS.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(entry) = buffers.get_mut((thread as usize).wrapping_sub(1))
        && entry.take().is_some()
    {
        memory::free_owner(thread);
        crate::io::tensor_file::close_owner(thread);
    }
}

/// Registers a thread's buffer of `words` doubles; returns its id from 1, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn toro_open(address: *mut f64, words: u32) -> u32 {
    if address.is_null() || words < 64 || !(address as usize).is_multiple_of(8) {
        return 0;
    }
    static HOOK: OnceLock<()> = OnceLock::new();
    // A panic is reported by its text; the default hook would print over the user's terminal too.
    HOOK.get_or_init(|| std::panic::set_hook(Box::new(|_| {})));
    let entry = Some(Buffer {
        address: address as usize,
        words: words as usize,
    });
    let mut buffers = BUFFERS.lock().unwrap_or_else(|e| e.into_inner());
    let place = buffers
        .iter()
        .position(Option::is_none)
        .unwrap_or(buffers.len());
    if place == MAX_THREADS {
        return 0;
    }
    if place == buffers.len() {
        buffers.push(None);
    }
    buffers[place] = entry;
    let thread = place as u32 + 1;
    OPENED.with(|opened| opened.0.borrow_mut().push(thread));
    thread
}

/// Forgets a thread's buffer and frees what the thread still has.
#[unsafe(no_mangle)]
pub extern "C" fn toro_close(thread: u32) -> i32 {
    if buffer(thread).is_none() {
        return 5;
    }
    LAST.set((
        0,
        Buffer {
            address: 0,
            words: 0,
        },
    ));
    // What was not opened here may be open under the same number elsewhere, so only this thread's list changes.
    OPENED.with(|opened| opened.0.borrow_mut().retain(|&t| t != thread));
    guard_without_buffer(|| forget(thread))
}

/// Runs what has no buffer to report into; a panic becomes its code.
fn guard_without_buffer(body: impl FnOnce()) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => 0,
        Err(_) => 4,
    }
}

/// Makes a storage; returns its handle, or minus the code.
#[unsafe(no_mangle)]
pub extern "C" fn toro_alloc(thread: u32, bytes: f64, device: u32) -> f64 {
    let mut handle = 0.0;
    let code = guard(thread, |_| {
        handle = memory::allocate(thread, bytes, Device(device))?;
        Ok(())
    });
    if code == 0 { handle } else { -f64::from(code) }
}

/// Frees the `count` storages whose handles stand in the buffer.
#[unsafe(no_mangle)]
pub extern "C" fn toro_free(thread: u32, count: u32) -> i32 {
    guard(thread, |buffer| {
        // SAFETY: registered and alive.
        let words = unsafe { buffer.words() };
        let Some(handles) = words.get(..count as usize) else {
            bail!(
                "cannot free {count} storages: the buffer has room for {}",
                words.len()
            );
        };
        let mut first = Ok(());
        for &handle in handles {
            let freed = memory::free(handle);
            if first.is_ok() {
                first = freed;
            }
        }
        first
    })
}

/// Runs the instructions in the first `words` words of the buffer.
#[unsafe(no_mangle)]
pub extern "C" fn toro_execute(thread: u32, words: u32) -> i32 {
    guard(thread, |buffer| {
        // SAFETY: registered and alive.
        let all = unsafe { buffer.words() };
        let Some(words) = all.get(..words as usize) else {
            bail!("cannot execute {words} words: the buffer has {}", all.len());
        };
        CALL.with_borrow_mut(|call| instruction::execute(words, call))
    })
}

fn range(
    thread: u32,
    handle: f64,
    offset: f64,
    data: *const u8,
    bytes: f64,
    copy: impl FnOnce((Device, *mut u8), usize) -> Outcome,
) -> i32 {
    guard(thread, |_| {
        let held = memory::hold_anywhere(handle)?;
        let whole = |x: f64| x >= 0.0 && x < (1u64 << 53) as f64 && x.fract() == 0.0;
        if !whole(offset) || !whole(bytes) || offset + bytes > held.bytes as f64 {
            bail!(
                "bytes {offset} to {offset}+{bytes} lie outside the storage of {} bytes",
                held.bytes
            );
        }
        if bytes > 0.0 && data.is_null() {
            bail!("cannot copy {bytes} bytes through an empty buffer");
        }
        if bytes > 0.0 {
            let place = held.address.wrapping_add(offset as usize);
            copy((held.device, place), bytes as usize)?;
        }
        Ok(())
    })
}

/// Copies `bytes` bytes of `data` into a storage.
///
/// # Safety
/// `data` has at least `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn toro_write(
    thread: u32,
    handle: f64,
    offset: f64,
    data: *const u8,
    bytes: f64,
) -> i32 {
    range(thread, handle, offset, data, bytes, |to, n| {
        // SAFETY: checked by `range`; the caller's buffer has at least `bytes` bytes by the ABI.
        unsafe { cuda::transfer(to, (Device::CPU, data), n) }
    })
}

/// Copies `bytes` bytes of a storage into `data`.
///
/// # Safety
/// `data` has room for at least `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn toro_read(
    thread: u32,
    handle: f64,
    offset: f64,
    data: *mut u8,
    bytes: f64,
) -> i32 {
    range(thread, handle, offset, data, bytes, |from, n| {
        // SAFETY: checked by `range`; the caller's buffer has at least `bytes` bytes by the ABI.
        unsafe { cuda::transfer((Device::CPU, data), (from.0, from.1), n) }
    })
}

/// Writes live, cached, peak and budget bytes and the count of handles into the buffer.
#[unsafe(no_mangle)]
pub extern "C" fn toro_memory(thread: u32) -> i32 {
    guard(thread, |buffer| {
        let s = memory::stats();
        // SAFETY: registered and alive.
        let words = unsafe { buffer.words() };
        for (word, x) in words
            .iter_mut()
            .zip([s.live, s.cached, s.peak, s.budget, s.handles])
        {
            *word = x as f64;
        }
        Ok(())
    })
}

/// Reads an option (NaN) or sets it; the value that holds comes back in the buffer's first word.
/// 0 memory budget, 1 threads, 2 SIMD level (0 portable, 1 AVX2, 2 AVX-512), 3 empty the cache, 4 reset the peak,
/// 5 trim the cache, 8 wait for a device, 9 to 13 as in cuda/events.rs, 14 TF32; for tests 7 lets so many allocations fail in a row once as many as 6 says have passed.
#[unsafe(no_mangle)]
pub extern "C" fn toro_option(thread: u32, key: u32, value: f64) -> i32 {
    guard(thread, |buffer| {
        let set = !value.is_nan();
        if set && !(value >= 0.0 && value.fract() == 0.0 && value < (1u64 << 53) as f64) {
            bail!("option {key} cannot be {value}: it must be a whole number");
        }
        let now = match key {
            0 => {
                if set {
                    memory::set_budget(value as usize);
                }
                memory::stats().budget as f64
            }
            1 => {
                if set {
                    pool::set_threads(value as usize);
                }
                pool::threads() as f64
            }
            2 => {
                if set {
                    let level = [
                        simd::Level::Portable,
                        simd::Level::Avx2,
                        simd::Level::Avx512,
                    ];
                    let Some(&level) = level.get(value as usize) else {
                        bail!("SIMD level {value} is unknown")
                    };
                    if !simd::force(level) {
                        bail!("SIMD level {level:?} is not supported by this processor");
                    }
                }
                f64::from(simd::level() as u8)
            }
            3 => {
                memory::empty_cache();
                cuda::empty_caches()?;
                0.0
            }
            4 => {
                memory::reset_peak();
                cuda::reset_peaks();
                0.0
            }
            5 => {
                memory::trim_cache();
                0.0
            }
            6 | 7 => {
                let wanted = set.then_some(value as u64);
                let (after, count) = if key == 6 {
                    (wanted, None)
                } else {
                    (None, wanted)
                };
                memory::plan_failures(after, count);
                let (after, count) = memory::planned_failures();
                (if key == 6 { after } else { count }) as f64
            }
            8 => {
                if set && value > 0.0 {
                    cuda::synchronize(value as u32)?;
                }
                0.0
            }
            9 => cuda::events::record(value as u64)?,
            10 => cuda::events::wait(value as u64)?,
            11 => cuda::events::is_done(value as u64)?,
            12 => cuda::events::free(value as u64)?,
            13 => cuda::events::elapsed(value as u64)?,
            14 => f64::from(u8::from(crate::ops::matmul::tf32(
                set.then_some(value != 0.0),
            ))),
            _ => bail!("option {key} is unknown"),
        };
        // SAFETY: registered and alive.
        let words = unsafe { buffer.words() };
        words[0] = now;
        Ok(())
    })
}

/// Runs a job that takes time: files, pictures, facts about the machine. `request` is JSON with a field `kind`.
/// The result is a storage that holds [u32 length of JSON][JSON][buffers, each from a multiple of 64 bytes on];
/// it starts with {"error": …} when the job failed. Returns its handle, or minus a code. May run on any thread.
///
/// # Safety
/// `request` has `bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn toro_job(thread: u32, request: *const u8, bytes: u32) -> f64 {
    let run = || -> Result<Vec<u8>, String> {
        if request.is_null() {
            return Err("the job has no request".into());
        }
        // SAFETY: the caller's buffer has `bytes` bytes by the ABI.
        let text = unsafe { core::slice::from_raw_parts(request, bytes as usize) };
        crate::jobs::run(text, thread)
    };
    let losses = memory::LOSSES.load(Ordering::Relaxed);
    let blob = catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(panic_text(&*panic)))
        .and_then(|blob| {
            let same = memory::LOSSES.load(Ordering::Relaxed) == losses;
            if same { Ok(blob) } else { Err(memory::loss()) }
        })
        .unwrap_or_else(|error| crate::jobs::failure(&error));
    let placed = memory::allocate_answer(thread, blob.len()).and_then(|handle| {
        let held = memory::hold(handle)?;
        // SAFETY: just allocated with this length.
        unsafe { core::ptr::copy_nonoverlapping(blob.as_ptr(), held.address, blob.len()) };
        Ok(handle)
    });
    placed.unwrap_or_else(|fault| -f64::from(fault.code()))
}

/// The opcode table as JSON text into the buffer, for the generator.
#[unsafe(no_mangle)]
pub extern "C" fn toro_table(thread: u32) -> i32 {
    guard(thread, |buffer| {
        let names: Vec<&str> = ops::table().iter().map(|row| row.name).collect();
        buffer.write_text(&serde_json::json!({ "abi": ABI, "ops": names }).to_string());
        Ok(())
    })
}

/// FNV-1a of the ABI's description and the opcode table, compared when the library opens.
#[unsafe(no_mangle)]
pub extern "C" fn toro_hash() -> u32 {
    let mut hash = 0x811c_9dc5u32;
    let mut eat = |text: &str| {
        for b in text.bytes().chain([b'\n']) {
            hash = (hash ^ u32::from(b)).wrapping_mul(0x0100_0193);
        }
    };
    eat(ABI);
    for row in ops::table() {
        eat(&format!(
            "{} {} {:?} {:?}",
            row.name, row.outs, row.ins, row.scalars
        ));
    }
    hash
}
