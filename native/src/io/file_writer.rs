//! Files that appear whole or not at all: written aside, flushed to the disk, then put in place of what was there.
//! The parts come from storages, with a checksum for each run of them (see `tensor_file`).
//!
//! The file written aside is locked for as long as its writer lives; one that nobody has locked was left by a process
//! that was killed, and is removed by the next writer to the same place.

use super::aside::{create_aside, family_of, is_of_family, lock_folder, remove_litter};
use super::background;
use super::tensor_file::{PIECE, answer, held, hex, inside, join, list, whole};
use super::{JobOutput, path_of, reason};
use crate::pool::{self, Shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use twox_hash::xxhash3_128;

/// After so many bytes the system is asked to begin with writing them to the disk.
const BEHIND: u64 = 32 << 20;
/// Bytes that are written at a time: the size of a large page.
const BLOCK: u64 = 2 << 20;

struct Writer {
    owner: u32,
    target: PathBuf,
    aside: PathBuf,
    /// None once closed.
    file: Option<File>,
    /// The same open file, which keeps its lock until the end.
    _lock: File,
    folder: File,
    is_durable: bool,
    at: u64,
    flushed: u64,
    /// Of the run that goes on: the checksums of whole pieces, and what is begun of the next.
    sums: Vec<u128>,
    tail: xxhash3_128::Hasher,
    tail_bytes: usize,
    /// The checksums of the runs that ended.
    known: Vec<String>,
    head: Option<Head>,
}

/// What stands at the file's begin and is completed at the end.
struct Head {
    bytes: Vec<u8>,
    /// Where the runs' checksums go, with a blank between any two.
    sums: usize,
    /// Where the head's own goes, which is taken with zeros in its place.
    sum: usize,
}

static WRITERS: Mutex<BTreeMap<u64, Arc<Mutex<Writer>>>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicUsize = AtomicUsize::new(1);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn writer(request: &Value) -> Result<Arc<Mutex<Writer>>, String> {
    let id = whole(&request["id"])? as u64;
    let found = lock(&WRITERS).get(&id).cloned();
    found.ok_or_else(|| format!("Cannot use writer {id}: it has ended"))
}

/// Waits for what a thread has running in the background, and forgets what it began and did not finish.
pub fn close_owner(owner: u32) {
    background::await_all(|of| of == owner);
    lock(&WRITERS).retain(|_, writer| lock(writer).owner != owner);
}

/// `{path, durable, lock}` → `{id}`: begins a file. With `lock` no other such writer works in the folder meanwhile.
pub fn begin(request: &Value, owner: u32) -> Result<JobOutput, String> {
    ignore_size_signal();
    let target = PathBuf::from(path_of(request)?);
    let fail = |error: Error| format!("Cannot write {}: {}", target.display(), reason(&error));
    let name = target
        .file_name()
        .ok_or_else(|| format!("Cannot write {}: it names no file", target.display()))?
        .to_string_lossy()
        .into_owned();
    let folder = match target.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    if target.is_dir() {
        return Err(fail(Error::from(ErrorKind::IsADirectory)));
    }
    let opened = File::open(&folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            format!("Cannot write {}: there is no such folder", target.display())
        }
        _ => fail(error),
    })?;
    if request["lock"] == json!(true) {
        lock_folder(&opened, &folder)?;
    }
    let family = family_of(&name).filter(|_| request["lock"] == json!(true));
    let is_litter = |of: &str| of == name || family.is_some_and(|stem| is_of_family(of, stem));
    remove_litter(&folder, is_litter).map_err(fail)?;
    let (file, held, aside) = create_aside(&folder, &name).map_err(fail)?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed) as u64;
    let writer = Writer {
        owner,
        target: target.clone(),
        aside,
        file: Some(file),
        _lock: held,
        folder: opened,
        is_durable: request["durable"] != json!(false),
        at: 0,
        flushed: 0,
        sums: Vec::new(),
        tail: xxhash3_128::Hasher::new(),
        tail_bytes: 0,
        known: Vec::new(),
        head: None,
    };
    lock(&WRITERS).insert(id, Arc::new(Mutex::new(writer)));
    answer(json!({ "id": id }))
}

/// A file that grows past the process's limit is an error, no end by a signal.
fn ignore_size_signal() {
    static ONCE: OnceLock<()> = OnceLock::new();
    // SAFETY: plain data; a handler that someone has set stays.
    ONCE.get_or_init(|| unsafe {
        let mut now: libc::sigaction = core::mem::zeroed();
        if libc::sigaction(libc::SIGXFSZ, core::ptr::null(), &mut now) == 0
            && now.sa_sigaction == libc::SIG_DFL
        {
            now.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(libc::SIGXFSZ, &now, core::ptr::null_mut());
        }
    });
}

/// `{id, parts: [[handle, at, bytes, ends], …]}` → `{checksums}`: appends parts of storages. Parts form a run up to the
/// one that ends it; there is a checksum for each run that ends here.
pub fn write(request: &Value) -> Result<JobOutput, String> {
    let shared = writer(request)?;
    let mut writer = lock(&shared);
    let mut checksums = Vec::new();
    for fields in list(&request["parts"])? {
        let [handle, at, bytes, ends] = &list(fields)?[..] else {
            return Err("a part has not four fields".to_string());
        };
        let held = held(handle)?;
        let (at, bytes) = (whole(at)?, whole(bytes)?);
        inside(&held, at, bytes)?;
        // SAFETY: inside the storage, which is held.
        let content = unsafe { core::slice::from_raw_parts(held.address.add(at), bytes) };
        writer.append(content).map_err(|e| writer.failed(&e))?;
        if ends == &json!(true) {
            let sum = hex(writer.end_run());
            checksums.push(sum.clone());
            writer.known.push(sum);
        }
    }
    answer(json!({ "checksums": checksums }))
}

/// `{id, handle, bytes, sums, sum}`: the first bytes of the file. The end puts the checksums of the runs into them from
/// byte `sums` on, and at `sum` the checksum of these bytes with zeros there.
pub fn head(request: &Value) -> Result<JobOutput, String> {
    let shared = writer(request)?;
    let mut writer = lock(&shared);
    let held = held(&request["handle"])?;
    let bytes = whole(&request["bytes"])?;
    inside(&held, 0, bytes)?;
    let (sums, sum) = (whole(&request["sums"])?, whole(&request["sum"])?);
    if writer.at != 0 || sum.checked_add(32).is_none_or(|end| end > bytes) {
        return Err(writer.failed(&Error::from(ErrorKind::InvalidInput)));
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes)
        .map_err(|_| format!("there is no memory for a head of {bytes} bytes"))?;
    // SAFETY: inside the storage, which is held.
    copy.extend_from_slice(unsafe { core::slice::from_raw_parts(held.address, bytes) });
    writer.append(&copy).map_err(|e| writer.failed(&e))?;
    writer.end_run();
    writer.head = Some(Head {
        bytes: copy,
        sums,
        sum,
    });
    answer(json!({}))
}

/// `{id, remove}`: flushes the file, puts it in place and flushes the folder; then removes what it stands for now.
pub fn end(request: &Value) -> Result<JobOutput, String> {
    let shared = writer(request)?;
    let id = whole(&request["id"])? as u64;
    lock(&WRITERS).remove(&id);
    let mut writer = lock(&shared);
    writer.finish()?;
    if let Value::Array(paths) = &request["remove"] {
        for path in paths.iter().filter_map(Value::as_str) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(format!("Cannot remove {path}: {}", reason(&error)));
                }
                _ => {}
            }
        }
    }
    answer(json!({}))
}

/// `{id}`: leaves everything as it was.
pub fn abort(request: &Value) -> Result<JobOutput, String> {
    let id = whole(&request["id"])? as u64;
    lock(&WRITERS).remove(&id);
    answer(json!({}))
}

impl Drop for Writer {
    fn drop(&mut self) {
        // What was put in place is no longer there.
        let _ = fs::remove_file(&self.aside);
    }
}

impl Writer {
    fn finish(&mut self) -> Result<(), String> {
        self.complete().map_err(|e| self.failed(&e))?;
        self.put_in_place().map_err(|e| self.failed(&e))
    }

    /// Completes the head, flushes and closes.
    fn complete(&mut self) -> Result<(), Error> {
        let file = self.file.take().ok_or(ErrorKind::NotConnected)?;
        if let Some(Head {
            mut bytes,
            sums,
            sum,
        }) = self.head.take()
        {
            let text = self.known.join(" ");
            let room = bytes.get_mut(sums..sums + text.len());
            room.ok_or(ErrorKind::InvalidInput)?
                .copy_from_slice(text.as_bytes());
            bytes[sum..sum + 32].fill(b'0');
            let pieces: Vec<u128> = bytes
                .chunks(PIECE)
                .map(xxhash3_128::Hasher::oneshot)
                .collect();
            bytes[sum..sum + 32].copy_from_slice(hex(join(&pieces)).as_bytes());
            file.write_all_at(&bytes, 0)?;
        }
        if self.is_durable {
            file.sync_all()?;
        }
        // SAFETY: the descriptor is ours and is not used again. A file system over a network may fail here only.
        if unsafe { libc::close(file.into_raw_fd()) } != 0 {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    /// Puts the file in place of what is there, if anything. Where the folder cannot be flushed, that comes back.
    fn put_in_place(&mut self) -> Result<(), Error> {
        let swapped = exchange(&self.aside, &self.target)?;
        if !swapped {
            fs::rename(&self.aside, &self.target)?;
        }
        if !self.is_durable {
            return Ok(());
        }
        let Err(error) = self.folder.sync_all() else {
            return Ok(());
        };
        let own = self
            ._lock
            .metadata()
            .map(|facts| (facts.dev(), facts.ino()));
        let there = fs::metadata(&self.target).map(|facts| (facts.dev(), facts.ino()));
        if own.is_ok() && own.ok() == there.ok() {
            if swapped {
                exchange(&self.aside, &self.target)?;
            } else {
                fs::remove_file(&self.target)?;
            }
        }
        Err(error)
    }

    fn failed(&self, error: &Error) -> String {
        format!("Cannot write {}: {}", self.target.display(), reason(error))
    }

    fn append(&mut self, content: &[u8]) -> Result<(), Error> {
        let file = self.file.as_ref().ok_or(ErrorKind::NotConnected)?;
        let mut from = 0;
        if self.tail_bytes > 0 {
            from = content.len().min(PIECE - self.tail_bytes);
            file.write_all_at(&content[..from], self.at)?;
            self.tail.write(&content[..from]);
            self.tail_bytes += from;
            if self.tail_bytes == PIECE {
                self.sums.push(self.tail.finish_128());
                self.tail = xxhash3_128::Hasher::new();
                self.tail_bytes = 0;
            }
        }
        let pieces = (content.len() - from) / PIECE;
        let mut sums = vec![0u128; pieces];
        let base = self.at + from as u64;
        let out = Shared(sums.as_mut_ptr());
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        // Writes that cover whole blocks of the file leave large pages in the system's cache, which are mapped at once
        // when the file is read. A piece is hashed with the block in which it ends.
        let write = |block: u64, first: u64, last: u64| {
            let start = first.max(block * BLOCK);
            let end = last.min((block + 1) * BLOCK);
            let (a, b) = ((start - base) as usize, (end - base) as usize);
            for number in a / PIECE..b / PIECE {
                let at = from + number * PIECE;
                let sum = xxhash3_128::Hasher::oneshot(&content[at..at + PIECE]);
                // SAFETY: each piece has a place of its own, inside `sums`.
                unsafe { *out.get().add(number) = sum };
            }
            if let Err(error) = file.write_all_at(&content[from + a..from + b], start) {
                lock(&failed).get_or_insert(error);
            }
        };
        // A stretch at a time, so that the disk has work from the first one on.
        let end = base + (pieces * PIECE) as u64;
        let mut first = base;
        while first < end {
            // At the end of a piece: what begins in a stretch is hashed there.
            let last = end.min(first + BEHIND);
            let (low, high) = (first / BLOCK, last.div_ceil(BLOCK));
            if background::is_background() {
                // The kernels of a training that goes on have the pool.
                for block in low..high {
                    write(block, first, last);
                }
            } else {
                pool::parallel((high - low) as usize, &|i| {
                    write(low + i as u64, first, last)
                });
            }
            if let Some(error) = lock(&failed).take() {
                return Err(error);
            }
            self.flushed = start_flush(file, self.flushed, last);
            first = last;
        }
        self.sums.extend(sums);
        let rest = &content[from + pieces * PIECE..];
        if !rest.is_empty() {
            file.write_all_at(rest, base + (pieces * PIECE) as u64)?;
            self.tail.write(rest);
            self.tail_bytes = rest.len();
        }
        self.at += content.len() as u64;
        Ok(())
    }

    fn end_run(&mut self) -> u128 {
        if self.tail_bytes > 0 {
            self.sums.push(self.tail.finish_128());
            self.tail = xxhash3_128::Hasher::new();
            self.tail_bytes = 0;
        }
        let sum = join(&self.sums);
        self.sums.clear();
        sum
    }
}

/// Exchanges two files; false where there is nothing to exchange with, or the file system cannot.
fn exchange(a: &Path, b: &Path) -> Result<bool, Error> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (a, b) = (text(a)?, text(b)?);
    // SAFETY: both are texts that end with a zero.
    let code = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if code == 0 {
        return Ok(true);
    }
    let error = Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => Ok(false),
        _ => Err(error),
    }
}

/// Has the system write what was appended up to `to`, beside what goes on here. Returns how far it was asked to.
fn start_flush(file: &File, from: u64, to: u64) -> u64 {
    if to - from < BEHIND {
        return from;
    }
    // SAFETY: the descriptor is open. It is a hint, so a failure does not matter: the flush at the end counts.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            from as i64,
            (to - from) as i64,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
    to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::memory;

    const OWNER: u32 = 4_000_002;

    /// A folder of its own, and a storage of so many bytes that count up.
    fn place(name: &str, bytes: usize) -> (PathBuf, f64) {
        let folder = std::env::temp_dir().join(format!("toro_{name}_{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let handle = memory::allocate(OWNER, bytes as f64, Device::CPU).unwrap();
        let held = memory::hold(handle).unwrap();
        for i in 0..bytes {
            // SAFETY: inside the storage.
            unsafe { *held.address.add(i) = (i * 3 + i / 1000) as u8 };
        }
        (folder, handle)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn begin_at(path: &Path) -> Value {
        begin(&json!({ "path": path }), OWNER).unwrap().json["id"].clone()
    }

    #[test]
    fn runs_have_one_checksum_however_they_are_cut() {
        let bytes = 3 * PIECE + 1234;
        let (folder, handle) = place("runs", bytes);
        let path = folder.join("a.bin");
        let id = begin_at(&path);
        let cuts = [0, 100, PIECE - 50, PIECE + 7, bytes - 1, bytes];
        let parts: Vec<Value> = cuts
            .windows(2)
            .map(|c| json!([handle, c[0], c[1] - c[0], c[1] == bytes]))
            .collect();
        let whole = json!([[handle, 0, bytes, true], [handle, 0, 0, true]]);
        let one = write(&json!({ "id": id, "parts": parts })).unwrap().json;
        let two = write(&json!({ "id": id, "parts": whole })).unwrap().json;
        assert_eq!(one["checksums"][0], two["checksums"][0]);
        assert_eq!(two["checksums"][1], hex(join(&[])));
        assert_eq!(names(&folder).len(), 1);
        assert!(!path.exists());
        end(&json!({ "id": id })).unwrap();
        assert_eq!(names(&folder), ["a.bin"]);
        let got = fs::read(&path).unwrap();
        assert_eq!(got[..bytes], got[bytes..]);
        assert!(
            end(&json!({ "id": id }))
                .unwrap_err()
                .contains("it has ended")
        );
        memory::free(handle).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_does_not_end_leaves_no_trace() {
        let (folder, handle) = place("trace", 10);
        let path = folder.join("a.bin");
        fs::write(&path, b"old").unwrap();
        let id = begin_at(&path);
        let part = |at: usize| json!({ "id": id, "parts": [[handle, at, 10, true]] });
        write(&part(0)).unwrap();
        assert!(write(&part(1)).unwrap_err().contains("lie outside"));
        abort(&json!({ "id": id })).unwrap();
        assert_eq!(names(&folder), ["a.bin"]);
        // An owner that no other test has.
        begin(&json!({ "path": path }), OWNER + 1).unwrap();
        assert_eq!(names(&folder).len(), 2);
        close_owner(OWNER + 1);
        assert_eq!(names(&folder), ["a.bin"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        memory::free(handle).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_head_gets_the_checksums_and_its_own() {
        let (folder, handle) = place("head", 100);
        let path = folder.join("a.bin");
        let id = begin_at(&path);
        let text = format!("{:33}{:32}", "", "");
        let head_of = memory::allocate(OWNER, 65.0, Device::CPU).unwrap();
        let held = memory::hold(head_of).unwrap();
        // SAFETY: the storage has 65 bytes.
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), held.address, 65) };
        let fields = json!({ "id": id, "handle": head_of, "bytes": 65, "sums": 0, "sum": 33 });
        head(&fields).unwrap();
        assert!(head(&fields).is_err());
        let parts = json!([[handle, 0, 100, true]]);
        let sums = write(&json!({ "id": id, "parts": parts })).unwrap().json;
        end(&json!({ "id": id })).unwrap();
        let mut got = fs::read(&path).unwrap();
        assert_eq!(
            &got[..32],
            sums["checksums"][0].as_str().unwrap().as_bytes()
        );
        let own = String::from_utf8(got[33..65].to_vec()).unwrap();
        got[33..65].fill(b'0');
        assert_eq!(own, hex(join(&[xxhash3_128::Hasher::oneshot(&got[..65])])));
        drop(held);
        memory::free(head_of).unwrap();
        memory::free(handle).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn steps_run_in_the_background_and_are_undone_after_a_failure() {
        let (folder, handle) = place("steps", 1000);
        let path = folder.join("a.bin");
        let id = begin_at(&path);
        let step = |kind: &str, bytes: usize| json!({ "kind": kind, "id": id, "parts": [[handle, 0, bytes, true]] });
        let undo = json!([step("writeAbort", 0)]);
        let bad = json!([
            step("writeParts", 1000),
            step("writeParts", 1001),
            step("writeEnd", 0)
        ]);
        let started = background::start(&json!({ "steps": bad, "undo": undo }), OWNER)
            .unwrap()
            .json;
        assert!(
            background::wait(&started)
                .unwrap_err()
                .contains("lie outside")
        );
        background::wait(&started).unwrap();
        assert!(names(&folder).is_empty());
        let id = begin_at(&path);
        let good = json!([{ "kind": "writeEnd", "id": id }]);
        background::start(&json!({ "steps": good, "undo": [] }), OWNER).unwrap();
        // What a thread leaves running is waited for when it ends.
        background::await_all(|owner| owner == OWNER);
        assert_eq!(names(&folder), ["a.bin"]);
        memory::free(handle).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
