//! CUDA devices: which there are, or why there are none; and the calls that the rest of the library makes of them.
//! The driver is opened when a device is first asked for, so the library loads on machines without one.

mod blocks;
mod cublas_lt;
mod cudnn;
mod cudnn_attention;
mod cudnn_graph;
mod cudnn_numbers;
#[cfg(test)]
mod cudnn_proof;
mod cudnn_words;
mod driver;
pub mod events;
mod gpu;
mod kernels;
mod libraries;
mod nvrtc;
pub mod pinned;

pub use cublas_lt::{Matrix as LtMatrix, Places as LtPlaces, Product as LtProduct, Type as LtType};
pub use cudnn::{Convolution, Pass, Sizes, Tensors, Type};
pub use cudnn_attention::{Attention, AttentionGradients, AttentionPlaces, Lie, Operands};
pub use driver::{Address, folders};
pub use gpu::{Alarm, Gpu, Shape};
pub use libraries::describe as describe_libraries;

use crate::device::Device;
use crate::fault::{Fault, Outcome};
use driver::Driver;
use gpu::Facts;
use serde_json::{Value, json};
use std::sync::OnceLock;

/// The driver and the devices that it knows.
struct Cuda {
    driver: &'static Driver,
    version: i32,
    devices: Vec<(Facts, OnceLock<Outcome<Gpu>>)>,
}

/// Why there is no CUDA, and the driver's version where one was found.
struct Absence {
    reason: String,
    version: Option<i32>,
}

/// 13000 as 13.0.
fn version_text(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn search() -> Result<Cuda, Absence> {
    let absent = |reason: String| Absence {
        reason,
        version: None,
    };
    let driver = Driver::open()
        .map_err(|why| absent(format!("no CUDA driver library was found ({why})")))?;
    // The table of entry points stays for good, as the library does.
    let driver: &'static Driver = Box::leak(Box::new(driver));
    let mut version = 0;
    // SAFETY: the address of a value that outlives the call.
    let asked = unsafe { driver.version(&mut version) };
    let found = |reason: String| Absence {
        reason,
        version: asked.is_ok().then_some(version),
    };
    let needs = format!("Toro needs one for CUDA {}", version_text(kernels::DRIVER));
    if asked.is_ok() && version < kernels::DRIVER {
        let has = version_text(version);
        return Err(found(format!("the driver is for CUDA {has}, {needs}")));
    }
    let missing = driver.missing();
    if !missing.is_empty() {
        let has = if asked.is_ok() {
            format!(" for CUDA {}", version_text(version))
        } else {
            String::new()
        };
        let missing = missing.join(", ");
        return Err(found(format!(
            "the driver{has} lacks {missing}; {needs} or newer"
        )));
    }
    let listed = || -> Outcome<Vec<(Facts, OnceLock<Outcome<Gpu>>)>> {
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            driver.init(0)?;
            driver.device_count(&mut count)?;
        }
        (0..count)
            .map(|i| Ok((Facts::of(driver, i)?, OnceLock::new())))
            .collect()
    };
    let devices = listed().map_err(|fault| found(fault.text().into()))?;
    if devices.is_empty() {
        return Err(found("the driver knows no device".into()));
    }
    if !kernels::are_there() {
        return Err(found(
            "this library was built without CUDA kernels (nvcc was not there)".into(),
        ));
    }
    Ok(Cuda {
        driver,
        version,
        devices,
    })
}

fn cuda() -> &'static Result<Cuda, Absence> {
    static CUDA: OnceLock<Result<Cuda, Absence>> = OnceLock::new();
    CUDA.get_or_init(search)
}

/// As `gpu`, for the parts of this module.
use gpu as gpu_of;

/// The device of a number, opened on first use.
pub fn gpu(device: Device) -> Outcome<&'static Gpu> {
    let cuda = match cuda() {
        Ok(cuda) => cuda,
        Err(absence) => {
            return Err(Fault::Device(format!(
                "Cannot use {device}: {}",
                absence.reason
            )));
        }
    };
    let ordinal = device.0.wrapping_sub(1);
    let Some((facts, opened)) = cuda.devices.get(ordinal as usize) else {
        return Err(Fault::Device(format!(
            "Cannot use {device}: there are {} CUDA devices",
            cuda.devices.len()
        )));
    };
    opened
        .get_or_init(|| Gpu::open(cuda.driver, facts.clone(), ordinal))
        .as_ref()
        .map_err(Clone::clone)
}

/// Devices that were used in this process.
fn opened() -> impl Iterator<Item = (u32, &'static Gpu)> {
    let devices = cuda()
        .as_ref()
        .map_or(&[] as &[_], |c| c.devices.as_slice());
    devices
        .iter()
        .enumerate()
        .filter_map(|(i, (_, opened))| Some((i as u32, opened.get()?.as_ref().ok()?)))
}

/// What a job of kind `cuda` answers: driver, devices, kernels, or the reason why there are none.
pub fn describe() -> Value {
    let needed = version_text(kernels::DRIVER);
    let kernels = kernels::describe();
    match cuda() {
        Err(absence) => json!({
            "reason": absence.reason,
            "driver": absence.version.map(version_text),
            "minimumDriver": needed,
            "kernels": kernels,
            "devices": [],
        }),
        Ok(cuda) => json!({
            "reason": Value::Null,
            "driver": version_text(cuda.version),
            "minimumDriver": needed,
            "kernels": kernels,
            "devices": cuda.devices.iter().map(|(facts, _)| json!({
                "name": facts.name,
                "bytes": facts.bytes,
                "capability": format!("{}.{}", facts.capability.0, facts.capability.1),
                "processors": facts.processors,
            })).collect::<Vec<_>>(),
        }),
    }
}

/// What a job of kind `cuda_memory` answers: bytes by device, of those in use.
pub fn memory() -> Value {
    let of = |(ordinal, gpu): (u32, &Gpu)| {
        let usage = gpu.usage();
        json!({
            "device": ordinal,
            "liveBytes": usage.live,
            "cachedBytes": usage.cached,
            "peakBytes": usage.peak,
            "reservedPeakBytes": usage.reserved_peak,
            "allocations": usage.allocations,
            "pinnedBytes": pinned::bytes(),
            "totalBytes": gpu.facts.bytes,
        })
    };
    Value::Array(opened().map(of).collect())
}

/// Waits for a device.
pub fn synchronize(device: u32) -> Outcome {
    gpu(Device(device))?.synchronize()
}

/// Gives what every device keeps for reuse back to the driver.
pub fn empty_caches() -> Outcome {
    opened().try_for_each(|(_, gpu)| {
        pinned::empty_cache(gpu);
        gpu.empty_cache()
    })
}

/// Starts every device's peak anew.
pub fn reset_peaks() {
    opened().for_each(|(_, gpu)| gpu.reset_peak());
}

/// Copies bytes from one storage to another, on any two devices.
///
/// # Safety
/// Both places lie in held storages with so many bytes.
pub unsafe fn transfer(to: (Device, *mut u8), from: (Device, *const u8), bytes: usize) -> Outcome {
    if bytes == 0 {
        return Ok(());
    }
    let (target, source) = (to.1 as Address, from.1 as Address);
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match (to.0, from.0) {
            (Device::CPU, Device::CPU) => core::ptr::copy(from.1, to.1, bytes),
            (Device::CPU, of) => gpu(of)?.download(to.1, source, bytes)?,
            (of, Device::CPU) => gpu(of)?.upload(target, from.1, bytes)?,
            (a, b) if a == b => gpu(a)?.copy(target, source, bytes)?,
            (a, b) => gpu(a)?.copy_from(target, gpu(b)?, source, bytes)?,
        }
    }
    Ok(())
}

/// As `transfer`, but nobody waits for a copy between a device and pinned memory.
///
/// # Safety
/// As for `transfer`.
pub unsafe fn transfer_later(
    to: (Device, *mut u8),
    from: (Device, *const u8),
    bytes: usize,
) -> Outcome {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        match (to.0, from.0) {
            (Device::CPU, of) if of != Device::CPU && bytes > 0 => {
                gpu(of)?.download_later(to.1, from.1 as Address, bytes)
            }
            (of, Device::CPU) if of != Device::CPU && bytes > 0 => {
                gpu(of)?.upload_later(to.1 as Address, from.1, bytes)
            }
            _ => transfer(to, from, bytes),
        }
    }
}

/// How many blocks to launch for so many things when one takes `per_block` at a time: enough to fill the device several
/// times over; kernels go round for the rest.
pub fn blocks_for(things: usize, per_block: usize, gpu: &Gpu) -> usize {
    let most = gpu.facts.processors as usize * 32;
    things.div_ceil(per_block.max(1)).clamp(1, most)
}

/// Scratch memory of a device, given back when dropped: what runs later on the same stream may have it then.
pub struct Scratch {
    gpu: &'static Gpu,
    address: Address,
    bytes: usize,
}

impl Scratch {
    pub fn new(gpu: &'static Gpu, bytes: usize) -> Outcome<Scratch> {
        let address = if bytes == 0 { 0 } else { gpu.take(bytes)? };
        Ok(Scratch {
            gpu,
            address,
            bytes,
        })
    }

    pub fn address(&self) -> Address {
        self.address
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.gpu.give(self.address, self.bytes);
        }
    }
}
