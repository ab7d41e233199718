//! File jobs: reading tables, drawing PNG pictures, making files durable. A job takes JSON and
//! gives JSON and byte buffers back; no tensor is known here. Permission checks happen in
//! TypeScript before a path reaches this module.

mod column;
mod csv;
mod parquet;
mod png;
mod time;

use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a job gives back: `buffers[i]` is what the numbers in `json` refer to.
#[derive(Debug)]
pub struct JobOutput {
    pub json: Value,
    pub buffers: Vec<Vec<u8>>,
}

/// Runs one job: `parquet`, `csv`, `png` or `sync`. Every failure, also a panic inside a file
/// format's crate, comes back as a text that names the file.
pub fn run(kind: &str, request: &Value) -> Result<JobOutput, String> {
    let job: fn(&Value) -> Result<JobOutput, String> = match kind {
        "parquet" => parquet::read,
        "csv" => csv::read,
        "png" => png::render,
        "sync" => sync,
        _ => {
            return Err(format!(
                "Cannot run job \"{kind}\": known are parquet, csv, png and sync"
            ));
        }
    };
    catch_unwind(AssertUnwindSafe(|| job(request))).unwrap_or_else(|panic| {
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
    request["path"]
        .as_str()
        .ok_or_else(|| "Cannot run the job: its request has no path".to_string())
}

/// An I/O error in our words, without the "(os error 2)" of the standard library.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        std::io::ErrorKind::PermissionDenied => {
            "the operating system refuses access to it".to_string()
        }
        std::io::ErrorKind::IsADirectory => "it is a directory".to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_job_is_an_error() {
        let error = run("dance", &json!({})).unwrap_err();
        assert_eq!(
            error,
            "Cannot run job \"dance\": known are parquet, csv, png and sync"
        );
    }

    #[test]
    fn a_job_without_path_is_an_error() {
        for kind in ["parquet", "csv", "sync"] {
            assert!(run(kind, &json!({})).unwrap_err().contains("no path"));
        }
    }

    #[test]
    fn sync_takes_files_and_folders() {
        let folder = std::env::temp_dir().join(format!("toro_sync_{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.bin");
        std::fs::write(&file, b"abc").unwrap();
        run("sync", &json!({ "path": file })).unwrap();
        run("sync", &json!({ "path": folder, "directory": true })).unwrap();
        let error = run("sync", &json!({ "path": folder })).unwrap_err();
        assert!(error.ends_with("it is a directory, not a file"), "{error}");
        let error = run("sync", &json!({ "path": folder.join("none") })).unwrap_err();
        assert!(error.ends_with("there is no such file"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
