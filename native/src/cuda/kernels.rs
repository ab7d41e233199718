//! The kernels: fat binaries that build.rs had nvcc make of `src/**/*.cu`, one of each file, embedded in the library.
//! `TORO_CUDA_KERNELS` names a file to load in their place: kernels in the making, or those of the emulator.

use super::driver::{Driver, Handle};
use crate::fault::{Fault, Outcome};
use std::ffi::{CString, OsString};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}
pub use embedded::{ARCHITECTURES, DRIVER, FAMILIES};

/// A file that takes the place of the embedded kernels.
fn replacement() -> Option<OsString> {
    std::env::var_os("TORO_CUDA_KERNELS").filter(|path| !path.is_empty())
}

/// Whether there are kernels to load.
pub fn are_there() -> bool {
    !FAMILIES.is_empty() || replacement().is_some()
}

/// What is embedded, in words.
pub fn describe() -> String {
    if let Some(path) = replacement() {
        return format!("from {}", path.display());
    }
    if FAMILIES.is_empty() {
        return "none: built without nvcc".into();
    }
    let bytes: usize = FAMILIES.iter().map(|(_, image)| image.len()).sum();
    format!(
        "{} files for {ARCHITECTURES}, {:.1} MB",
        FAMILIES.len(),
        bytes as f64 / 1e6
    )
}

/// Loads all kernels into the current context.
pub fn load(driver: &Driver) -> Outcome<Vec<Handle>> {
    let mut module = core::ptr::null_mut();
    if let Some(path) = replacement() {
        let name = CString::new(path.as_encoded_bytes())
            .map_err(|_| Fault::Device("TORO_CUDA_KERNELS holds a zero".into()))?;
        // SAFETY: a path that ends in a zero.
        unsafe { driver.module_open(&mut module, name.as_ptr())? };
        return Ok(vec![module]);
    }
    let mut modules = Vec::new();
    for (_, image) in FAMILIES {
        // SAFETY: a whole fat binary; the driver copies what it needs.
        unsafe { driver.module_load(&mut module, image.as_ptr().cast())? };
        modules.push(module);
    }
    Ok(modules)
}

/// What to say of a kernel that is not among them.
pub fn absence((stem, suffix): (&str, &str)) -> Fault {
    Fault::Device(format!("there is no CUDA kernel {stem}{suffix} yet"))
}
