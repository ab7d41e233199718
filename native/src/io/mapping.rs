//! Files mapped into memory as storages, and the guard for files that are cut short while they are mapped: reading
//! past the end of a file raises SIGBUS, which would end the process. The guard puts a page of zeros there and marks
//! the mapping as lost; the call that met it, and every later one that uses the mapping, is an error.

use crate::memory::{self, Lender};
use core::ffi::{c_int, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Where a mapping lies: the signal handler looks here, so there are no locks and no memory of its own.
struct Region {
    taken: AtomicBool,
    /// 0 while there is none.
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

const MOST: usize = 1024;
static REGIONS: [Region; MOST] = [const {
    Region {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        lost: AtomicBool::new(false),
    }
}; MOST];

/// A file in memory: pages are read when they are touched, and what is written to them stays private.
pub struct Mapping {
    path: String,
    address: usize,
    bytes: usize,
    region: &'static Region,
}

impl Mapping {
    /// Maps the first `bytes` bytes of a file, of which there must be some.
    pub fn new(file: &File, path: &str, bytes: usize) -> Result<Arc<Mapping>, String> {
        static GUARD: OnceLock<Result<(), String>> = OnceLock::new();
        GUARD.get_or_init(install).clone()?;
        let region = REGIONS
            .iter()
            .find(|region| !region.taken.swap(true, Ordering::AcqRel))
            .ok_or_else(|| format!("{MOST} files are mapped already"))?;
        // SAFETY: a new mapping of an open file; the kernel chooses the place.
        let address = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            region.taken.store(false, Ordering::Release);
            return Err(std::io::Error::last_os_error().to_string());
        }
        let address = address as usize;
        region.lost.store(false, Ordering::Relaxed);
        region
            .end
            .store(address + bytes.next_multiple_of(PAGE), Ordering::Relaxed);
        region.start.store(address, Ordering::Release);
        Ok(Arc::new(Mapping {
            path: path.to_string(),
            address,
            bytes,
            region,
        }))
    }

    /// Bytes of the file. They may change under the reader, as any file's.
    pub fn bytes(&self, at: usize, bytes: usize) -> &[u8] {
        assert!(at.checked_add(bytes).is_some_and(|end| end <= self.bytes));
        // SAFETY: inside the mapping, which lives as long as `self`; any bytes are valid.
        unsafe { core::slice::from_raw_parts((self.address + at) as *const u8, bytes) }
    }

    /// A storage of `bytes` bytes from byte `at` on. It keeps the mapping; the last one that is freed unmaps it.
    pub fn storage(
        mapping: Arc<Mapping>,
        owner: u32,
        at: usize,
        bytes: usize,
    ) -> Result<f64, String> {
        if at.checked_add(bytes).is_none_or(|end| end > mapping.bytes) {
            return Err(format!(
                "bytes {at} to {at}+{bytes} lie outside the {} that are mapped",
                mapping.bytes
            ));
        }
        let address = mapping.address + at;
        memory::lend(owner, address, bytes, mapping).map_err(|fault| fault.text().to_string())
    }
}

impl Lender for Mapping {
    fn loss(&self) -> Option<String> {
        self.region.lost.load(Ordering::Acquire).then(|| {
            format!(
                "Cannot use what was mapped of {}: the file was cut short meanwhile",
                self.path
            )
        })
    }

    fn storage(self: Arc<Self>, owner: u32, at: usize, bytes: usize) -> Result<f64, String> {
        Mapping::storage(self, owner, at, bytes)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.region.start.store(0, Ordering::Release);
        // SAFETY: mapped by `new` with this length; no storage refers to it any more.
        unsafe { libc::munmap(self.address as *mut c_void, self.bytes) };
        self.region.taken.store(false, Ordering::Release);
    }
}

const PAGE: usize = 4096;

/// What handled SIGBUS before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn install() -> Result<(), String> {
    // SAFETY: both structs are plain data, and the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut before: libc::sigaction = core::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, core::ptr::null(), &mut before) != 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
        let _ = BEFORE.set(before);
        let mut guard: libc::sigaction = core::mem::zeroed();
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
        guard.sa_sigaction = handler as *const () as usize;
        guard.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut guard.sa_mask);
        if libc::sigaction(libc::SIGBUS, &guard, core::ptr::null_mut()) != 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
    }
    Ok(())
}

/// Runs on the thread that touched the page; system calls and atomics only.
extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo; errno is the thread's own and is put back.
    unsafe {
        let errno = *libc::__errno_location();
        let address = (*info).si_addr() as usize;
        for region in &REGIONS {
            let start = region.start.load(Ordering::Acquire);
            if start == 0 || address < start || address >= region.end.load(Ordering::Relaxed) {
                continue;
            }
            let page = libc::mmap(
                (address & !(PAGE - 1)) as *mut c_void,
                PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            );
            if page == libc::MAP_FAILED {
                break;
            }
            region.lost.store(true, Ordering::Release);
            memory::LOSSES.fetch_add(1, Ordering::AcqRel);
            *libc::__errno_location() = errno;
            return;
        }
        // Not ours: what was there before decides; the access is tried again after it.
        match BEFORE.get() {
            Some(before)
                if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN =>
            {
                if before.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                        core::mem::transmute(before.sa_sigaction);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(c_int) = core::mem::transmute(before.sa_sigaction);
                    handler(signal);
                }
            }
            _ => {
                let mut default: libc::sigaction = core::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(libc::SIGBUS, &default, core::ptr::null_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storages_share_a_mapping_whose_file_may_be_cut() {
        let path = std::env::temp_dir().join(format!("toro_map_{}", std::process::id()));
        std::fs::write(&path, vec![7u8; 3 * PAGE]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let whole = Mapping::new(&file, "some.file", 3 * PAGE).unwrap();
        let a = Mapping::storage(whole.clone(), 1, 10, 20).unwrap();
        let b = Mapping::storage(whole.clone(), 1, PAGE, 2 * PAGE).unwrap();
        assert!(Mapping::storage(whole.clone(), 1, 2 * PAGE, PAGE + 1).is_err());
        let region = whole.region;
        drop(whole);
        let read = |handle: f64, at: usize| {
            let held = memory::hold(handle).unwrap();
            // SAFETY: inside the storage.
            unsafe { *held.address.add(at) }
        };
        assert_eq!((read(a, 0), read(b, 2 * PAGE - 1)), (7, 7));
        let held = memory::hold(b).unwrap();
        file.set_len(PAGE as u64).unwrap();
        // The last page is gone, and the guard puts zeros in its place.
        // SAFETY: inside the storage.
        assert_eq!(unsafe { *held.address.add(2 * PAGE - 1) }, 0);
        drop(held);
        for handle in [a, b] {
            let fault = memory::hold(handle).err().unwrap();
            assert!(fault.text().contains("some.file: the file was cut short"));
            assert!(region.taken.load(Ordering::Relaxed));
            memory::free(handle).unwrap();
        }
        assert!(!region.taken.load(Ordering::Relaxed));
        std::fs::remove_file(path).unwrap();
    }
}
