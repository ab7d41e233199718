//! The CUDA driver library, opened when somebody asks for a device: where it is looked for, its entry points, and what
//! its status codes mean. A machine without it, or with one that lacks an entry point, gets an error that says so.

use crate::fault::{Fault, Outcome};
use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ffi::CString;
use std::path::PathBuf;

/// A handle of the driver's: context, stream, module, function.
pub type Handle = *mut c_void;
/// An address in device memory.
pub type Address = u64;

/// Names under which the driver library is opened, in this order, in each folder and then by the loader's own search.
const NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

/// Declares the entry points: the method's name, the driver's symbol, the parameters. Each is looked up once; a method
/// whose symbol the driver lacks is an error.
macro_rules! entries {
    ($($name:ident = $symbol:literal ($($arg:ident: $type:ty),*);)*) => {
        /// The entry points that were found.
        pub struct Driver {
            $($name: Option<unsafe extern "C" fn($($type),*) -> c_int>,)*
        }

        impl Driver {
            fn resolve(library: Handle) -> Driver {
                Driver {
                    // SAFETY: the symbol has this type in every driver (CUDA driver API, the versioned names).
                    $($name: unsafe { find(library, $symbol).map(|found| core::mem::transmute::<Handle, unsafe extern "C" fn($($type),*) -> c_int>(found)) },)*
                }
            }

            /// Entry points that this driver lacks.
            pub fn missing(&self) -> Vec<&'static str> {
                let mut missing = Vec::new();
                $(if self.$name.is_none() { missing.push($symbol); })*
                missing
            }

            $(
                /// # Safety
                /// Addresses must be what the driver expects; the context that they belong to is current.
                #[allow(clippy::too_many_arguments)]
                pub unsafe fn $name(&self, $($arg: $type),*) -> Outcome {
                    let Some(entry) = self.$name else {
                        return Err(Fault::Device(concat!("the CUDA driver lacks ", $symbol).into()));
                    };
                    // SAFETY: the caller's promise.
                    self.checked($symbol, unsafe { entry($($arg),*) })
                }
            )*
        }
    };
}

entries! {
    init = "cuInit" (flags: c_uint);
    version = "cuDriverGetVersion" (version: *mut c_int);
    device_count = "cuDeviceGetCount" (count: *mut c_int);
    device_get = "cuDeviceGet" (device: *mut c_int, ordinal: c_int);
    device_name = "cuDeviceGetName" (name: *mut c_char, length: c_int, device: c_int);
    device_memory = "cuDeviceTotalMem_v2" (bytes: *mut usize, device: c_int);
    device_attribute = "cuDeviceGetAttribute" (value: *mut c_int, attribute: c_int, device: c_int);
    context_retain = "cuDevicePrimaryCtxRetain" (context: *mut Handle, device: c_int);
    context_set = "cuCtxSetCurrent" (context: Handle);
    memory_info = "cuMemGetInfo_v2" (free: *mut usize, total: *mut usize);
    memory_take = "cuMemAlloc_v2" (address: *mut Address, bytes: usize);
    memory_give = "cuMemFree_v2" (address: Address);
    host_take = "cuMemHostAlloc" (address: *mut Handle, bytes: usize, flags: c_uint);
    host_give = "cuMemFreeHost" (address: Handle);
    upload = "cuMemcpyHtoDAsync_v2" (to: Address, from: *const c_void, bytes: usize, stream: Handle);
    download = "cuMemcpyDtoHAsync_v2" (to: *mut c_void, from: Address, bytes: usize, stream: Handle);
    copy = "cuMemcpyDtoDAsync_v2" (to: Address, from: Address, bytes: usize, stream: Handle);
    copy_peer = "cuMemcpyPeerAsync" (to: Address, to_context: Handle, from: Address, from_context: Handle, bytes: usize, stream: Handle);
    fill_bytes = "cuMemsetD8Async" (to: Address, value: u8, bytes: usize, stream: Handle);
    module_load = "cuModuleLoadData" (module: *mut Handle, image: *const c_void);
    module_open = "cuModuleLoad" (module: *mut Handle, path: *const c_char);
    module_function = "cuModuleGetFunction" (function: *mut Handle, module: Handle, name: *const c_char);
    function_attribute = "cuFuncSetAttribute" (function: Handle, attribute: c_int, value: c_int);
    launch = "cuLaunchKernel" (function: Handle, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint, stream: Handle, parameters: *mut *mut c_void, extra: *mut *mut c_void);
    stream_create = "cuStreamCreate" (stream: *mut Handle, flags: c_uint);
    stream_synchronize = "cuStreamSynchronize" (stream: Handle);
    stream_wait = "cuStreamWaitEvent" (stream: Handle, event: Handle, flags: c_uint);
    event_create = "cuEventCreate" (event: *mut Handle, flags: c_uint);
    event_destroy = "cuEventDestroy_v2" (event: Handle);
    event_record = "cuEventRecord" (event: Handle, stream: Handle);
    event_query = "cuEventQuery" (event: Handle);
    event_synchronize = "cuEventSynchronize" (event: Handle);
    event_elapsed = "cuEventElapsedTime" (milliseconds: *mut f32, from: Handle, to: Handle);
    error_name = "cuGetErrorName" (code: c_int, name: *mut *const c_char);
    error_text = "cuGetErrorString" (code: c_int, text: *mut *const c_char);
}

/// `cuModuleGetFunction` knows no kernel of that name.
pub const NOT_FOUND: c_int = 500;
/// `cuEventQuery`: the device has not come so far.
const NOT_READY: c_int = 600;
const OUT_OF_MEMORY: c_int = 2;
/// After one of these the context is of no more use: a kernel failed, or the device did.
const FATAL: [c_int; 17] = [
    4, 46, 214, 220, 226, 700, 702, 710, 713, 714, 715, 716, 717, 718, 719, 720, 721,
];

impl Driver {
    /// Opens the first driver library that is found, or says what stood in the way.
    pub fn open() -> Result<Driver, String> {
        let mut reasons = Vec::new();
        for path in places() {
            match open(&path) {
                Ok(library) => return Ok(Driver::resolve(library)),
                Err(reason) => reasons.push(reason),
            }
        }
        // The loader's own search comes last, and what it says of the plain name says most.
        Err(reasons
            .pop()
            .unwrap_or_else(|| "no CUDA driver library".into()))
    }

    fn checked(&self, symbol: &str, code: c_int) -> Outcome {
        if code == 0 {
            return Ok(());
        }
        let text = format!("{symbol} failed: {}", self.describe(code));
        Err(match code {
            OUT_OF_MEMORY => Fault::OutOfMemory(text),
            _ if FATAL.contains(&code) => Fault::Lost(text),
            _ => Fault::Device(text),
        })
    }

    /// A status code's name and text.
    fn describe(&self, code: c_int) -> String {
        let mut parts = Vec::new();
        for entry in [self.error_name, self.error_text].into_iter().flatten() {
            let mut text: *const c_char = core::ptr::null();
            // SAFETY: the driver writes the address of a constant, or leaves it null.
            let found = unsafe { entry(code, &mut text) == 0 && !text.is_null() };
            if found {
                // SAFETY: a constant of the driver's that ends in a zero.
                let text = unsafe { CStr::from_ptr(text) };
                parts.push(text.to_string_lossy().into_owned());
            }
        }
        parts.dedup();
        if parts.is_empty() {
            parts.push("CUDA error".into());
        }
        format!("{} ({code})", parts.join(": "))
    }

    /// Looks a kernel up; none of that name is no error.
    ///
    /// # Safety
    /// The module belongs to the current context.
    pub unsafe fn kernel(&self, module: Handle, name: &CStr) -> Outcome<Option<Handle>> {
        let Some(entry) = self.module_function else {
            return Err(Fault::Device(
                "the CUDA driver lacks cuModuleGetFunction".into(),
            ));
        };
        let mut function = core::ptr::null_mut();
        // SAFETY: the caller's promise; the name ends in a zero.
        match unsafe { entry(&mut function, module, name.as_ptr()) } {
            0 => Ok(Some(function)),
            NOT_FOUND => Ok(None),
            code => self.checked("cuModuleGetFunction", code).map(|()| None),
        }
    }

    /// Whether the device has come to an event.
    ///
    /// # Safety
    /// An event that is not destroyed yet.
    pub unsafe fn event_done(&self, event: Handle) -> Outcome<bool> {
        let Some(entry) = self.event_query else {
            return Err(Fault::Device("the CUDA driver lacks cuEventQuery".into()));
        };
        // SAFETY: the caller's promise.
        match unsafe { entry(event) } {
            NOT_READY => Ok(false),
            code => self.checked("cuEventQuery", code).map(|()| true),
        }
    }
}

/// Folders that may hold CUDA's libraries, in the order in which they are tried.
pub fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(paths) = std::env::var_os("TORO_CUDA_PATH") {
        folders.extend(std::env::split_paths(&paths).filter(|p| !p.as_os_str().is_empty()));
    }
    for variable in ["CUDA_HOME", "CUDA_PATH"] {
        if let Some(home) = std::env::var_os(variable).filter(|h| !h.is_empty()) {
            folders.push(PathBuf::from(home).join("lib64"));
        }
    }
    if let Some(environment) = std::env::var_os("VIRTUAL_ENV").filter(|e| !e.is_empty()) {
        let pythons = std::fs::read_dir(PathBuf::from(environment).join("lib"));
        for python in pythons.into_iter().flatten().flatten() {
            let packages = python.path().join("site-packages/nvidia");
            folders.push(packages.join("cu13/lib"));
            folders.push(packages.join("cudnn/lib"));
        }
    }
    folders.push(PathBuf::from("/usr/local/cuda/lib64"));
    folders
}

/// Every path under which the driver is tried.
fn places() -> Vec<PathBuf> {
    let found = folders()
        .into_iter()
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .filter(|path| path.exists());
    let by_loader = NAMES.iter().rev().map(PathBuf::from);
    found.chain(by_loader).collect()
}

/// Opens a library under the first of its names that is found, in the folders and then by the loader's own search, or says
/// what stood in the way.
pub fn open_any(names: &[&str]) -> Result<Handle, String> {
    let in_folders = folders()
        .into_iter()
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .filter(|path| path.exists());
    let by_loader = names.iter().map(PathBuf::from);
    let mut reasons = Vec::new();
    for path in in_folders.chain(by_loader) {
        match open(&path) {
            Ok(library) => return Ok(library),
            Err(reason) => reasons.push(reason),
        }
    }
    // What was found and could not be opened says most.
    Err(reasons.into_iter().next().unwrap_or_default())
}

fn open(path: &std::path::Path) -> Result<Handle, String> {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: a path that ends in a zero; the library stays open for good.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if !library.is_null() {
        return Ok(library);
    }
    // SAFETY: dlerror gives a text of this thread's that ends in a zero, or null.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return Err(format!("{} cannot be opened", path.display()));
    }
    // SAFETY: as above.
    Err(unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned())
}

/// The address of a symbol.
pub fn find(library: Handle, symbol: &str) -> Option<Handle> {
    let name = CString::new(symbol).ok()?;
    // SAFETY: an open library and a name that ends in a zero.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
