//! Files that are written aside: what they are called, the locks that tell whose writer lives, and the removal of those
//! whose writers were killed.

use super::tensor_file::answer;
use super::{JobOutput, path_of, reason};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long another writer that holds the folder is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A new file, locked: one whose lock can be had belongs to nobody.
pub(super) fn create_aside(folder: &Path, name: &str) -> Result<(File, File, PathBuf), Error> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let aside = folder.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
        let file = match File::options().write(true).create_new(true).open(&aside) {
            // A process of the same number in another container.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        let made = flock(&file).and_then(|locked| {
            // Another writer may have taken it for litter before it was locked.
            let is_there = file.metadata()?.nlink() > 0;
            Ok((locked && is_there, file.try_clone()?))
        });
        match made {
            Ok((true, held)) => return Ok((file, held, aside)),
            Ok((false, _)) => continue,
            Err(error) => {
                let _ = fs::remove_file(&aside);
                return Err(error);
            }
        }
    }
}

/// Locks an open file for this opening of it, if nobody else has. A file system without locks counts as locked.
fn flock(file: &File) -> Result<bool, Error> {
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let error = Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EWOULDBLOCK) => Ok(false),
        Some(libc::ENOLCK | libc::EOPNOTSUPP | libc::ENOSYS | libc::EBADF | libc::EINVAL) => {
            Ok(true)
        }
        _ => Err(error),
    }
}

pub(super) fn lock_folder(folder: &File, path: &Path) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match flock(folder) {
            Ok(true) => return Ok(()),
            Ok(false) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Ok(false) => {
                return Err(format!(
                    "Cannot write into {}: another writer has held it for {} s",
                    path.display(),
                    PATIENCE.as_secs()
                ));
            }
            Err(error) => {
                return Err(format!(
                    "Cannot write into {}: {}",
                    path.display(),
                    reason(&error)
                ));
            }
        }
    }
}

/// The NAME in `.NAME.PID-NUMBER.tmp`.
fn aside_of(file: &str) -> Option<&str> {
    let inner = file.strip_prefix('.')?.strip_suffix(".tmp")?;
    let (of, numbers) = inner.rsplit_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_ours = numbers
        .split_once('-')
        .is_some_and(|(pid, number)| is_number(pid) && is_number(number));
    (is_ours && !of.is_empty()).then_some(of)
}

/// What the names of a checkpoint's files begin with, by that of its file or index.
pub(super) fn family_of(name: &str) -> Option<&str> {
    name.strip_suffix(".index.json")
        .unwrap_or(name)
        .strip_suffix(".safetensors")
}

/// Whether a name is `STEM-00001-of-00003.safetensors`, with a mark before the number or without, or the index.
pub(super) fn is_of_family(name: &str, stem: &str) -> bool {
    let Some(rest) = name.strip_prefix(stem) else {
        return false;
    };
    let Some(numbers) = rest.strip_suffix(".safetensors") else {
        return rest == ".safetensors.index.json";
    };
    // Signs of a mark and of two numbers of five digits: no other checkpoint's name has them all.
    let is_digit = |c: u8| c.is_ascii_digit();
    let is_mark = |mark: &str| mark.len() == 8 && mark.bytes().all(|c| c.is_ascii_hexdigit());
    let is_number = |number: &str| number.len() == 5 && number.bytes().all(is_digit);
    match *numbers.split('-').collect::<Vec<_>>() {
        ["", mark, of, "of", all] => is_mark(mark) && is_number(of) && is_number(all),
        ["", of, "of", all] => is_number(of) && is_number(all),
        _ => false,
    }
}

/// Removes files written aside whose writers are gone.
pub(super) fn remove_litter(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !aside_of(&entry.file_name().to_string_lossy()).is_some_and(&is_wanted) {
            continue;
        }
        // Without waiting for a pipe's writer.
        let opened = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(entry.path());
        let Ok(file) = opened else {
            // It is gone meanwhile, or is no business of ours.
            continue;
        };
        // SAFETY: the descriptor is open. Only a lock that was had for certain says that nobody writes.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// `{path}`: removes what killed processes left in a folder.
pub fn clean(request: &Value) -> Result<JobOutput, String> {
    let path = path_of(request)?;
    remove_litter(Path::new(path), |_| true)
        .map_err(|error| format!("Cannot clean {path}: {}", reason(&error)))?;
    answer(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_aside_are_told_from_others() {
        for (file, of) in [
            (".a.bin.12-3.tmp", Some("a.bin")),
            (".b.a.bin.12-3.tmp", Some("b.a.bin")),
            ("a.bin.12-3.tmp", None),
            (".a.bin.12-.tmp", None),
            (".12-3.tmp", None),
            (".a.12-3", None),
        ] {
            assert_eq!(aside_of(file), of, "{file}");
        }
        assert_eq!(family_of("a.safetensors.index.json"), Some("a"));
        assert_eq!(family_of("a.safetensors"), Some("a"));
        assert_eq!(family_of("a.pth"), None);
        for (name, expected) in [
            ("a-00001-of-00002.safetensors", true),
            ("a-0a1b2c3d-00001-of-00002.safetensors", true),
            ("a.safetensors.index.json", true),
            ("a-b-00001-of-00002.safetensors", false),
            ("a-00001-of-2.safetensors", false),
            ("ab-00001-of-00002.safetensors", false),
            ("a.safetensors", false),
        ] {
            assert_eq!(is_of_family(name, "a"), expected, "{name}");
        }
    }
}
