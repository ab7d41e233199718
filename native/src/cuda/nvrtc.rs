//! NVRTC, opened for cuDNN: its graphs may need kernels compiled for their shape, and it looks for NVRTC by name only, which
//! finds it where it is open already. Toro's own kernels are compiled beforehand.

use super::driver;
use super::libraries::entries;
use core::ffi::c_int;

const NAMES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];

entries! {
    version = "nvrtcVersion" (*mut c_int, *mut c_int) -> c_int;
}

/// The library's version, or why it cannot be used. It stays open.
pub fn version() -> Result<String, String> {
    let entries = Entries::of(driver::open_any(&NAMES)?)?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the addresses of values that outlive the call.
    match unsafe { (entries.version)(&mut major, &mut minor) } {
        0 => Ok(format!("{major}.{minor}")),
        status => Err(format!("nvrtcVersion failed with status {status}")),
    }
}
