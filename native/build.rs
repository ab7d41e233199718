//! Has nvcc make one compressed fat binary of each `.cu` file under src, to be embedded in the library; those that are
//! fresh are kept. Without nvcc the library builds all the same and says that it has no CUDA kernels.
//!
//! nvcc is looked for in TORO_NVCC, CUDA_HOME, CUDA_PATH, the virtual environment, `.venv/cuda` of the checkout (which
//! `deno task cuda:setup` fills), and PATH. TORO_CUDA_ARCHS lists architectures: `90` (the default, quick to build) or
//! `release`, all of them and PTX for those to come.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

const RELEASE: &[&str] = &["80", "86", "89", "90", "100", "120"];
/// The oldest driver that is asked for where no kernels say which: that of the pinned nvcc.
const DRIVER: u32 = 13000;

fn main() {
    for variable in [
        "TORO_NVCC",
        "TORO_CUDA_ARCHS",
        "CUDA_HOME",
        "CUDA_PATH",
        "VIRTUAL_ENV",
    ] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let mut sources = Vec::new();
    walk(&root.join("src"), &mut sources);
    sources.sort();
    for source in &sources {
        println!("cargo:rerun-if-changed={}", source.display());
    }
    let (sources, headers): (Vec<_>, Vec<_>) = sources
        .into_iter()
        .partition(|path| path.extension().is_some_and(|e| e == "cu"));
    let table = match find(&root) {
        Some(nvcc) => compile(&nvcc, &root, &out, &sources, &headers),
        None => {
            println!("cargo:warning=nvcc was not found: building without CUDA kernels");
            table(&[], "", DRIVER)
        }
    };
    fs::write(out.join("kernels.rs"), table).expect("OUT_DIR can be written");
}

/// Kernels and their headers.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "cu" || e == "cuh") {
            found.push(path);
        }
    }
}

fn in_environment(environment: &Path) -> Option<PathBuf> {
    let pythons = fs::read_dir(environment.join("lib")).ok()?;
    pythons
        .flatten()
        .map(|python| python.path().join("site-packages/nvidia/cu13/bin/nvcc"))
        .find(|path| path.exists())
}

fn find(root: &Path) -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("TORO_NVCC") {
        // "none" builds without kernels where there is an nvcc.
        return (path != "none").then(|| path.into());
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable);
    let by_home = homes.map(|home| PathBuf::from(home).join("bin/nvcc"));
    let environment = variable("VIRTUAL_ENV").and_then(|e| in_environment(Path::new(&e)));
    let checkout = in_environment(&root.join("../.venv/cuda"));
    let paths = variable("PATH").unwrap_or_default();
    let on_path = env::split_paths(&paths).map(|folder| folder.join("nvcc"));
    by_home
        .chain(environment)
        .chain(checkout)
        .chain(on_path)
        .find(|path| path.exists())
}

/// The oldest driver for what this nvcc makes: that of its own major version.
fn driver_for(nvcc: &Path) -> u32 {
    let output = Command::new(nvcc).arg("--version").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let text = text.unwrap_or_else(|e| panic!("Cannot run {}: {e}", nvcc.display()));
    let release = text.split("release ").nth(1).unwrap_or_default();
    let major = release
        .split('.')
        .next()
        .and_then(|m| m.parse::<u32>().ok());
    major.map_or(DRIVER, |major| major * 1000)
}

fn compile(
    nvcc: &Path,
    root: &Path,
    out: &Path,
    sources: &[PathBuf],
    headers: &[PathBuf],
) -> String {
    let wanted = env::var("TORO_CUDA_ARCHS").unwrap_or_default();
    let is_release = wanted == "release";
    let listed: Vec<&str> = wanted.split(',').filter(|a| !a.is_empty()).collect();
    let architectures = match listed.as_slice() {
        _ if is_release => RELEASE,
        [] => &["90"],
        listed => listed,
    };
    let mut flags: Vec<String> = [
        "-std=c++17",
        "-O3",
        "-fatbin",
        "-Xfatbin=-compress-all,-compress-mode=size",
        "-Xptxas=-v",
    ]
    .map(String::from)
    .into();
    flags.push(format!("-I{}", root.join("src/cuda").display()));
    flags.extend(
        architectures
            .iter()
            .map(|a| format!("-gencode=arch=compute_{a},code=sm_{a}")),
    );
    if is_release {
        flags.push("-gencode=arch=compute_80,code=compute_80".into());
    }
    // What was made by another nvcc or otherwise is not fresh.
    let (stamp, how) = (out.join("how"), format!("{nvcc:?} {flags:?}"));
    let same = fs::read_to_string(&stamp).is_ok_and(|before| before == how);
    let newest = headers.iter().filter_map(|h| modified(h)).max();
    let is_fresh = |source: &Path, made: &Path| {
        same && modified(made).is_some_and(|at| newest < Some(at) && modified(source) < Some(at))
    };
    let target = |source: &Path| out.join(stem(source)).with_extension("fatbin");
    let stale: Vec<&PathBuf> = sources
        .iter()
        .filter(|s| !is_fresh(s, &target(s)))
        .collect();
    let _ = fs::remove_file(&stamp);
    let jobs = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok());
    for part in stale.chunks(jobs.unwrap_or(1).max(1)) {
        let running: Vec<_> = part
            .iter()
            .map(|&source| {
                let to = target(source);
                let _ = fs::remove_file(&to);
                (source, start(nvcc, &flags, source, &to), to)
            })
            .collect();
        for (source, child, to) in running {
            let output = child.wait_with_output().expect("nvcc was started");
            let report = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success(),
                "nvcc failed on {}:\n{report}",
                source.display()
            );
            if let Some(spill) = spill(&report) {
                let _ = fs::remove_file(&to);
                panic!("{}: {spill}", source.display());
            }
        }
    }
    fs::write(&stamp, how).expect("OUT_DIR can be written");
    let families: Vec<_> = sources.iter().map(|s| (stem(s), target(s))).collect();
    let mut names = architectures.join(", ");
    if is_release {
        names.push_str(" and PTX");
    }
    table(&families, &format!("sm {names}"), driver_for(nvcc))
}

fn start(nvcc: &Path, flags: &[String], source: &Path, to: &Path) -> Child {
    let mut command = Command::new(nvcc);
    command.args(flags).arg("-o").arg(to).arg(source);
    let child = command.stderr(Stdio::piped()).spawn();
    child.unwrap_or_else(|e| panic!("Cannot run {}: {e}", nvcc.display()))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

fn stem(source: &Path) -> String {
    let stem = source.file_stem().expect("a file has a name");
    stem.to_string_lossy().into_owned()
}

/// Bytes that may be put aside around calls of functions that are not inlined, which takes no loop longer. Most are those
/// of elementwise kernels in float64 on sm_120.
const CALL_BYTES: u32 = 80;

/// A kernel whose registers go to memory, which is slow for no reason that anybody sees.
fn spill(report: &str) -> Option<String> {
    let mut kernel = "";
    for line in report.lines() {
        if let Some(name) = line.split("Function properties for ").nth(1) {
            kernel = name;
        }
        let stores = line
            .split(", ")
            .find(|part| part.ends_with(" bytes spill stores"));
        let bytes = stores.and_then(|part| part.split(' ').next()?.parse::<u32>().ok());
        if bytes.is_some_and(|bytes| bytes > CALL_BYTES) {
            return Some(format!("{kernel} spills: {}", line.trim()));
        }
    }
    None
}

fn table(families: &[(String, PathBuf)], architectures: &str, driver: u32) -> String {
    let mut text = String::from("/// A fat binary of each file of kernels.\n");
    text.push_str("pub static FAMILIES: &[(&str, &[u8])] = &[\n");
    for (name, path) in families {
        let _ = writeln!(text, "    ({name:?}, include_bytes!({path:?})),");
    }
    text.push_str("];\n");
    let _ = writeln!(text, "pub const ARCHITECTURES: &str = {architectures:?};");
    let _ = writeln!(text, "/// The oldest driver that takes them.");
    let _ = writeln!(text, "pub const DRIVER: i32 = {driver};");
    text
}
