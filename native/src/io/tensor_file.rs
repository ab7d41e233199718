//! Byte ranges of files into storages, by several threads and with checksums, or mapped. Formats are TypeScript's.
//!
//! The checksum of a run of bytes is the XXH3-128 of the XXH3-128s of its pieces of 256 KiB, each as 16 big-endian
//! bytes: pieces can then be read, hashed and written by different threads. In text it is 32 hexadecimal digits.

use super::mapping::Mapping;
use super::{JobOutput, path_of, reason};
use crate::memory::{self, Held, Lender};
use crate::pool::{self, Shared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use twox_hash::XxHash3_128;

/// Bytes that are hashed at a time: they stay in the second-level cache between being read and being hashed.
pub const PIECE: usize = 256 << 10;
/// Pieces that a thread takes at a time.
const RUN: usize = 8;
/// From so many bytes on a file is mapped to be read.
const MAPPED: usize = 4 << 20;

/// The checksum out of those of the pieces.
pub fn join(pieces: &[u128]) -> u128 {
    let bytes: Vec<u8> = pieces.iter().flat_map(|sum| sum.to_be_bytes()).collect();
    XxHash3_128::oneshot(&bytes)
}

pub fn hex(sum: u128) -> String {
    format!("{sum:032x}")
}

// ---- open files ------------------------------------------------------------------------------

struct Opened {
    file: File,
    path: String,
    bytes: u64,
    owner: u32,
    mapping: Mutex<Weak<Mapping>>,
}

impl Opened {
    /// The file's mapping, which all that need one share.
    fn mapping(&self) -> Result<Arc<Mapping>, String> {
        let bytes = usize::try_from(self.bytes).map_err(|e| e.to_string())?;
        if bytes == 0 {
            return Err("it is empty".to_string());
        }
        let mut known = self.mapping.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(mapping) = known.upgrade() {
            return Ok(mapping);
        }
        let made = Mapping::new(&self.file, &self.path, bytes)?;
        *known = Arc::downgrade(&made);
        Ok(made)
    }
}

static FILES: Mutex<BTreeMap<u64, Arc<Opened>>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicUsize = AtomicUsize::new(1);

fn files() -> MutexGuard<'static, BTreeMap<u64, Arc<Opened>>> {
    FILES.lock().unwrap_or_else(|e| e.into_inner())
}

fn opened(request: &Value) -> Result<Arc<Opened>, String> {
    let id = whole(&request["id"])? as u64;
    let found = files().get(&id).cloned();
    found.ok_or_else(|| format!("Cannot use file {id}: it is not open"))
}

/// Closes what a thread left open.
pub fn close_owner(owner: u32) {
    files().retain(|_, file| file.owner != owner);
}

/// `{path}` → `{id, bytes}`.
pub fn open(request: &Value, owner: u32) -> Result<JobOutput, String> {
    let path = path_of(request)?;
    let fail = |error: std::io::Error| format!("Cannot open {path}: {}", reason(&error));
    // A pipe without a writer would hold the call up, so nothing is waited for.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(fail)?;
    let facts = file.metadata().map_err(fail)?;
    if !facts.is_file() {
        return Err(format!("Cannot open {path}: it is no file"));
    }
    let id = NEXT.fetch_add(1, Ordering::Relaxed) as u64;
    let bytes = facts.len();
    files().insert(
        id,
        Arc::new(Opened {
            file,
            path: path.to_string(),
            bytes,
            owner,
            mapping: Mutex::new(Weak::new()),
        }),
    );
    answer(json!({ "id": id, "bytes": bytes }))
}

/// `{id}`; what is mapped of the file stays.
pub fn close(request: &Value) -> Result<JobOutput, String> {
    let id = whole(&request["id"])? as u64;
    files().remove(&id);
    answer(json!({}))
}

// ---- parts -----------------------------------------------------------------------------------

/// A run of bytes, what its checksum must be, and whether every byte must be 0 or 1.
struct Part {
    at: u64,
    bytes: usize,
    sum: Option<u128>,
    is_bool: bool,
}

impl Part {
    /// From `[…, at, bytes, checksum or null, is bool]`.
    fn new(fields: &[Value]) -> Result<Part, String> {
        let [at, bytes, sum, is_bool] = fields else {
            return Err("a part has not four fields".to_string());
        };
        let sum = match sum {
            Value::Null => None,
            Value::String(text) if text.len() == 32 => {
                Some(u128::from_str_radix(text, 16).map_err(|_| format!("{text} is no checksum"))?)
            }
            other => return Err(format!("{other} is no checksum")),
        };
        Ok(Part {
            at: whole(at)? as u64,
            bytes: whole(bytes)?,
            sum,
            is_bool: is_bool == &Value::Bool(true),
        })
    }
}

/// What is wrong with a part, by its number.
type Wrong = (usize, &'static str);

const TRUNCATED: &str = "truncated";
const CHECKSUM: &str = "checksum";
const NOT_BOOL: &str = "bool";

/// Visits every piece of the parts on the pool's threads. `piece(part, from, bytes)` gives the piece's content.
fn visit<'a>(
    parts: &[Part],
    piece: &(dyn Fn(usize, usize, usize) -> Result<&'a [u8], Value> + Sync),
) -> Result<(), Value> {
    let mut places = Vec::with_capacity(parts.len());
    let mut pieces = 0;
    for part in parts {
        places.push(pieces);
        pieces += part.bytes.div_ceil(PIECE);
    }
    let mut sums = vec![0u128; pieces];
    let out = Shared(sums.as_mut_ptr());
    let failed: Mutex<Option<Value>> = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let fail = |error: Value| {
        stop.store(true, Ordering::Relaxed);
        failed
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .get_or_insert(error);
    };
    pool::parallel_ranges(pieces, RUN, &|range| {
        for number in range {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // The last part that begins at or before the piece; parts without bytes have none.
            let index = places.partition_point(|&place| place <= number) - 1;
            let part = &parts[index];
            let from = (number - places[index]) * PIECE;
            match piece(index, from, PIECE.min(part.bytes - from)) {
                Err(error) => return fail(error),
                Ok(content) => {
                    if part.is_bool && content.iter().any(|&byte| byte > 1) {
                        return fail(wrong((index, NOT_BOOL)));
                    }
                    if part.sum.is_some() {
                        // SAFETY: each piece has a place of its own, inside `sums`.
                        unsafe { *out.get().add(number) = XxHash3_128::oneshot(content) };
                    }
                }
            }
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(error);
    }
    for (index, part) in parts.iter().enumerate() {
        let own = &sums[places[index]..places[index] + part.bytes.div_ceil(PIECE)];
        if part.sum.is_some_and(|sum| sum != join(own)) {
            return Err(wrong((index, CHECKSUM)));
        }
    }
    Ok(())
}

fn wrong((part, what): Wrong) -> Value {
    json!({ "part": part, "wrong": what })
}

/// An answer that says what is wrong with which part; any other failure is a text.
fn outcome(visited: Result<(), Value>, fine: Value) -> Result<JobOutput, String> {
    match visited {
        Ok(()) => answer(fine),
        Err(Value::String(text)) => Err(text),
        Err(wrong) => answer(wrong),
    }
}

/// `{id, parts: [[handle, to, at, bytes, checksum, is bool], …]}`: reads each into its storage from byte `to` on.
pub fn read(request: &Value) -> Result<JobOutput, String> {
    let opened = opened(request)?;
    let mut parts = Vec::new();
    let mut targets: Vec<Held> = Vec::new();
    let mut starts = Vec::new();
    for fields in list(&request["parts"])? {
        let fields = list(fields)?;
        let (Some(handle), Some(to)) = (fields.first(), fields.get(1)) else {
            return Err("a part has no storage".to_string());
        };
        let (part, to) = (Part::new(&fields[2..])?, whole(to)?);
        let held = held(handle)?;
        inside(&held, to, part.bytes)?;
        parts.push(part);
        // SAFETY: inside the storage.
        starts.push(Shared(unsafe { held.address.add(to) }));
        targets.push(held);
    }
    let total: usize = parts.iter().map(|part| part.bytes).sum();
    // Copied out of a mapping a gigabyte takes half the time; to map a file takes longer than to read a little.
    let mapping = if total < MAPPED {
        None
    } else {
        opened.mapping().ok()
    };
    let size = opened.bytes;
    let visited = visit(&parts, &|index, from, bytes| {
        // SAFETY: inside the storage that `targets` holds, as was checked; pieces do not overlap.
        let content =
            unsafe { core::slice::from_raw_parts_mut(starts[index].get().add(from), bytes) };
        let at = parts[index].at + from as u64;
        if at.checked_add(bytes as u64).is_none_or(|end| end > size) {
            return Err(wrong((index, TRUNCATED)));
        }
        if let Some(mapping) = &mapping {
            let source = mapping.bytes(at as usize, bytes);
            populate(source);
            content.copy_from_slice(source);
            return Ok(content);
        }
        match opened.file.read_exact_at(content, at) {
            Ok(()) => Ok(content),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(wrong((index, TRUNCATED)))
            }
            Err(error) => Err(Value::String(format!(
                "Cannot read {}: {}",
                opened.path,
                reason(&error)
            ))),
        }
    });
    drop(targets);
    if let Some(loss) = mapping.as_ref().and_then(|mapping| mapping.loss()) {
        return Err(loss);
    }
    outcome(visited, json!({}))
}

/// `{id}` → `{handle}`: the whole file, mapped.
pub fn map(request: &Value, owner: u32) -> Result<JobOutput, String> {
    let opened = opened(request)?;
    let fail = |why: String| format!("Cannot map {}: {why}", opened.path);
    let mapping = opened.mapping().map_err(fail)?;
    let handle = Mapping::storage(mapping, owner, 0, opened.bytes as usize).map_err(fail)?;
    answer(json!({ "handle": handle }))
}

/// `{from, part: [at, bytes, checksum, is bool]}` → `{handle}`: a storage for a part of a mapped one, checked.
pub fn part(request: &Value, owner: u32) -> Result<JobOutput, String> {
    let held = held(&request["from"])?;
    let part = Part::new(list(&request["part"])?)?;
    let (at, bytes) = (part.at as usize, part.bytes);
    if let Some(wrong) = check(&held, &[part])? {
        return answer(wrong);
    }
    let lender =
        memory::lender(&held).ok_or("Cannot take a part of a storage that is no file's")?;
    answer(json!({ "handle": lender.storage(owner, at, bytes)? }))
}

/// `{from, parts}`: checks parts of a storage.
pub fn verify(request: &Value) -> Result<JobOutput, String> {
    let held = held(&request["from"])?;
    let parts = list(&request["parts"])?.iter();
    let parts: Vec<Part> = parts
        .map(|fields| Part::new(list(fields)?))
        .collect::<Result<_, String>>()?;
    answer(check(&held, &parts)?.unwrap_or_else(|| json!({})))
}

fn check(held: &Held, parts: &[Part]) -> Result<Option<Value>, String> {
    for part in parts {
        inside(held, part.at as usize, part.bytes)?;
    }
    if parts.iter().all(|part| part.sum.is_none() && !part.is_bool) {
        return Ok(None);
    }
    let start = Shared(held.address);
    let is_lent = held.is_lent();
    let visited = visit(parts, &|index, from, bytes| {
        // SAFETY: inside the storage, as was checked, which the caller holds.
        let content = unsafe {
            core::slice::from_raw_parts(start.get().add(parts[index].at as usize + from), bytes)
        };
        if is_lent {
            populate(content);
        }
        Ok(content)
    });
    match visited {
        Ok(()) => Ok(None),
        Err(Value::String(text)) => Err(text),
        Err(wrong) => Ok(Some(wrong)),
    }
}

/// Brings the pages of mapped bytes in one call instead of a fault each. Where the kernel does not know it, or a page
/// cannot come, the access itself meets that.
fn populate(content: &[u8]) {
    let from = content.as_ptr() as usize & !4095;
    let bytes = content.as_ptr() as usize + content.len() - from;
    // SAFETY: inside the mapping; nothing is changed.
    unsafe { libc::madvise(from as *mut _, bytes, libc::MADV_POPULATE_READ) };
}

/// `{from, at, bytes}` → `{checksum}`: of a part of a storage.
pub fn checksum(request: &Value) -> Result<JobOutput, String> {
    let held = held(&request["from"])?;
    let (at, bytes) = (whole(&request["at"])?, whole(&request["bytes"])?);
    inside(&held, at, bytes)?;
    // SAFETY: inside the storage.
    let content = unsafe { core::slice::from_raw_parts(held.address.add(at), bytes) };
    let mut sums = vec![0u128; bytes.div_ceil(PIECE)];
    pool::parallel_slices(&mut sums, RUN, &|start, sums| {
        for (sum, number) in sums.iter_mut().zip(start..) {
            let from = number * PIECE;
            *sum = XxHash3_128::oneshot(&content[from..bytes.min(from + PIECE)]);
        }
    });
    answer(json!({ "checksum": hex(join(&sums)) }))
}

// ---- requests --------------------------------------------------------------------------------

pub fn answer(json: Value) -> Result<JobOutput, String> {
    Ok(JobOutput {
        json,
        buffers: Vec::new(),
    })
}

pub fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value
        .as_array()
        .ok_or_else(|| format!("the request has {value} where it needs a list"))
}

/// A whole number from 0 to 2^53.
pub fn whole(value: &Value) -> Result<usize, String> {
    match value.as_f64() {
        Some(x) if x >= 0.0 && x.fract() == 0.0 && x <= (1u64 << 53) as f64 => Ok(x as usize),
        _ => Err(format!(
            "the request has {value} where it needs a whole number"
        )),
    }
}

pub fn held(handle: &Value) -> Result<Held, String> {
    let handle = handle.as_f64().unwrap_or(f64::NAN);
    memory::hold(handle).map_err(|fault| fault.text().to_string())
}

pub fn inside(held: &Held, at: usize, bytes: usize) -> Result<(), String> {
    if at.checked_add(bytes).is_none_or(|end| end > held.bytes) {
        return Err(format!(
            "bytes {at} to {at}+{bytes} lie outside the storage of {} bytes",
            held.bytes
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    const OWNER: u32 = 4_000_001;

    fn storage(bytes: usize) -> f64 {
        memory::allocate(OWNER, bytes as f64, Device::CPU).unwrap()
    }

    fn sum_of(content: &[u8]) -> String {
        let pieces: Vec<u128> = content.chunks(PIECE).map(XxHash3_128::oneshot).collect();
        hex(join(&pieces))
    }

    #[test]
    fn parts_are_read_mapped_and_checked() {
        let path = std::env::temp_dir().join(format!("toro_parts_{}", std::process::id()));
        let content: Vec<u8> = (0..3 * PIECE + 77)
            .map(|i| (i * 7 + i / 251) as u8)
            .collect();
        std::fs::write(&path, &content).unwrap();
        let open = open(&json!({ "path": path }), OWNER).unwrap().json;
        assert_eq!(open["bytes"], content.len());
        let id = &open["id"];
        let (a, b) = (storage(100), storage(content.len()));
        let tail = &content[5..];
        let parts = json!([
            [a, 10, 3, 90, sum_of(&content[3..93]), false],
            [a, 0, 0, 0, sum_of(&[]), true],
            [b, 5, 5, tail.len(), sum_of(tail), false],
        ]);
        let done = read(&json!({ "id": id, "parts": parts })).unwrap().json;
        assert_eq!(done, json!({}));
        let got = held(&json!(b)).unwrap();
        // SAFETY: the storage has as many bytes.
        let bytes = unsafe { core::slice::from_raw_parts(got.address, content.len()) };
        assert_eq!(&bytes[5..], tail);
        let of_b = json!({ "from": b, "at": 5, "bytes": tail.len() });
        assert_eq!(checksum(&of_b).unwrap().json["checksum"], sum_of(tail));

        let whole = map(&json!({ "id": id }), OWNER).unwrap().json;
        let from = &whole["handle"];
        let wanted = json!({ "from": from, "part": [5, tail.len(), sum_of(tail), false] });
        assert!(part(&wanted, OWNER).unwrap().json["handle"].is_f64());
        for (fields, expected) in [
            (json!([5, tail.len(), sum_of(b"other"), false]), CHECKSUM),
            (json!([5, 100, null, true]), NOT_BOOL),
        ] {
            let wrong = json!({ "part": 0, "wrong": expected });
            let request = json!({ "from": from, "part": fields });
            assert_eq!(part(&request, OWNER).unwrap().json, wrong);
            let all = json!({ "from": from, "parts": [fields] });
            assert_eq!(verify(&all).unwrap().json, wrong);
            let mut parts = vec![json!(b), json!(0)];
            parts.extend(list(&fields).unwrap().iter().cloned());
            let request = json!({ "id": id, "parts": [parts] });
            assert_eq!(read(&request).unwrap().json, wrong);
        }
        let past = json!({ "id": id, "parts": [[b, 0, 100, content.len(), null, false]] });
        assert_eq!(read(&past).unwrap().json["wrong"], TRUNCATED);
        for bad in [
            json!([[a, 11, 3, 90, null, false]]),
            json!([[a, 0, 3, 90, "xyz", false]]),
            json!([[a, 0, -1, 90, null, false]]),
            json!([[a, 0]]),
            json!([[1e300, 0, 0, 1, null, false]]),
            json!(7),
        ] {
            assert!(read(&json!({ "id": id, "parts": bad })).is_err(), "{bad}");
        }
        close(&json!({ "id": id })).unwrap();
        assert!(map(&json!({ "id": id }), OWNER).is_err());
        assert_eq!(memory::free_owner(OWNER), 4);
        std::fs::remove_file(path).unwrap();
    }
}
