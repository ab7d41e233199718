//! File jobs: reading tables, drawing PNG pictures, bytes of files into storages and back. A job
//! takes JSON and gives JSON and byte buffers back; formats of tensor files are TypeScript's, and
//! so are permission checks, before a path reaches this module.

mod aside;
mod background;
mod column;
mod csv;
pub mod file_writer;
mod mapping;
mod parquet;
mod png;
pub mod tensor_file;
mod time;

use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a job gives back: `buffers[i]` is what the numbers in `json` refer to.
#[derive(Debug)]
pub struct JobOutput {
    pub json: Value,
    pub buffers: Vec<Vec<u8>>,
}

type Job = fn(&Value) -> Result<JobOutput, String>;
/// A job that makes storages or opens files, which are its owner's.
type Making = fn(&Value, u32) -> Result<JobOutput, String>;

const JOBS: [(&str, Job); 14] = [
    ("parquet", parquet::read),
    ("csv", csv::read),
    ("png", png::render),
    ("sync", sync),
    ("closeFile", tensor_file::close),
    ("readParts", tensor_file::read),
    ("verifyParts", tensor_file::verify),
    ("checksum", tensor_file::checksum),
    ("writeHead", file_writer::head),
    ("writeParts", file_writer::write),
    ("writeEnd", file_writer::end),
    ("writeAbort", file_writer::abort),
    ("wait", background::wait),
    ("clean", aside::clean),
];
const MAKING: [(&str, Making); 5] = [
    ("openFile", tensor_file::open),
    ("mapFile", tensor_file::map),
    ("mapPart", tensor_file::part),
    ("writeBegin", file_writer::begin),
    ("start", background::start),
];

/// Runs one job for a thread. Every failure, also a panic inside a file format's crate, comes
/// back as a text that names the file.
pub fn run(kind: &str, request: &Value, owner: u32) -> Result<JobOutput, String> {
    let job = || {
        if let Some((_, job)) = JOBS.iter().find(|(name, _)| *name == kind) {
            return job(request);
        }
        if let Some((_, job)) = MAKING.iter().find(|(name, _)| *name == kind) {
            return job(request, owner);
        }
        let known: Vec<&str> = JOBS
            .map(|(name, _)| name)
            .into_iter()
            .chain(MAKING.map(|(name, _)| name))
            .collect();
        Err(format!(
            "Cannot run job \"{kind}\": known are {}",
            known.join(", ")
        ))
    };
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        let subject = request["path"].as_str().unwrap_or("the request");
        Err(format!(
            "Cannot run job {kind} on {subject}: the data is damaged ({reason})"
        ))
    })
}

/// Flushes a file, or with `directory` the entry list of a folder, to the disk.
fn sync(request: &Value) -> Result<JobOutput, String> {
    let path = path_of(request)?;
    let wanted = request["directory"].as_bool().unwrap_or(false);
    let fail = |error: std::io::Error| format!("Cannot sync {path}: {}", reason(&error));
    let file = std::fs::File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() != wanted {
        let (is, not) = if wanted {
            ("file", "directory")
        } else {
            ("directory", "file")
        };
        return Err(format!("Cannot sync {path}: it is a {is}, not a {not}"));
    }
    file.sync_all().map_err(fail)?;
    Ok(JobOutput {
        json: json!({}),
        buffers: Vec::new(),
    })
}

/// The request's `path`.
fn path_of(request: &Value) -> Result<&str, String> {
    text_of(request, "path")
}

fn text_of<'a>(request: &'a Value, name: &str) -> Result<&'a str, String> {
    request[name]
        .as_str()
        .ok_or_else(|| format!("Cannot run the job: its request has no {name}"))
}

/// An I/O error in our words, without the "(os error 2)" of the standard library.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        std::io::ErrorKind::PermissionDenied => {
            "the operating system refuses access to it".to_string()
        }
        std::io::ErrorKind::IsADirectory => "it is a directory".to_string(),
        _ => {
            let text = error.to_string();
            text.find(" (os error")
                .map_or(text.clone(), |at| text[..at].to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_job_is_an_error() {
        let error = run("dance", &json!({}), 1).unwrap_err();
        assert!(
            error.starts_with("Cannot run job \"dance\": known are parquet, csv, "),
            "{error}"
        );
    }

    #[test]
    fn a_job_without_path_is_an_error() {
        for kind in ["parquet", "csv", "sync", "openFile"] {
            assert!(run(kind, &json!({}), 1).unwrap_err().contains("no path"));
        }
    }

    #[test]
    fn sync_takes_files_and_folders() {
        let folder = std::env::temp_dir().join(format!("toro_sync_{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.bin");
        std::fs::write(&file, b"abc").unwrap();
        run("sync", &json!({ "path": file }), 1).unwrap();
        run("sync", &json!({ "path": folder, "directory": true }), 1).unwrap();
        let error = run("sync", &json!({ "path": folder }), 1).unwrap_err();
        assert!(error.ends_with("it is a directory, not a file"), "{error}");
        let error = run("sync", &json!({ "path": folder.join("none") }), 1).unwrap_err();
        assert!(error.ends_with("there is no such file"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
