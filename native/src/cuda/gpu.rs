//! One CUDA device in use: its context, its stream, its kernels, its memory, and the alarm that kernels raise.
//! All work of a process on a device runs on one stream, in the order in which it was asked for.

use super::blocks::{Blocks, Source, Usage};
use super::driver::{Address, Driver, Handle};
use super::kernels;
use crate::fault::{Fault, Outcome};
use core::cell::Cell;
use core::ffi::{c_int, c_uint, c_void};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard};

/// What is known of a device before it is used.
#[derive(Clone, Debug)]
pub struct Facts {
    pub name: String,
    pub bytes: usize,
    /// Compute capability: 9 and 0 for sm_90.
    pub capability: (i32, i32),
    pub processors: u32,
    device: c_int,
}

/// Attributes by the driver's numbers.
const PROCESSORS: c_int = 16;
const MAJOR: c_int = 75;
const MINOR: c_int = 76;
const SHARED_PER_BLOCK: c_int = 8;

impl Facts {
    pub fn of(driver: &Driver, ordinal: c_int) -> Outcome<Facts> {
        let mut device = 0;
        let mut name = [0i8; 256];
        let mut bytes = 0usize;
        // SAFETY: addresses of values that outlive the calls; the name's length is passed.
        unsafe {
            driver.device_get(&mut device, ordinal)?;
            driver.device_name(name.as_mut_ptr().cast(), name.len() as c_int, device)?;
            driver.device_memory(&mut bytes, device)?;
        }
        let attribute = |number: c_int| -> Outcome<c_int> {
            let mut value = 0;
            // SAFETY: as above.
            unsafe { driver.device_attribute(&mut value, number, device)? };
            Ok(value)
        };
        let name = name.iter().take_while(|&&c| c != 0).map(|&c| c as u8);
        Ok(Facts {
            name: String::from_utf8_lossy(&name.collect::<Vec<u8>>()).into_owned(),
            bytes,
            capability: (attribute(MAJOR)?, attribute(MINOR)?),
            processors: attribute(PROCESSORS)?.max(1) as u32,
            device,
        })
    }
}

/// What a kernel leaves when data break a rule, as an index out of range does: the first one counts. Kernels go on
/// without it; who waits for the device next gets the error. Mirrored in cuda/device.cuh.
#[repr(C)]
pub struct Alarm {
    /// 0 for none, else one of those below.
    reason: u32,
    /// The opcode of the instruction.
    opcode: u32,
    value: i64,
    bound: i64,
}

const DIVISION_BY_ZERO: u32 = 2;
const NO_PROBABILITY: u32 = 3;
const BAD_WEIGHTS: u32 = 4;
const FEW_WEIGHTS: u32 = 5;

/// A device in use.
pub struct Gpu {
    driver: &'static Driver,
    pub facts: Facts,
    ordinal: u32,
    context: Handle,
    stream: Handle,
    modules: Vec<Handle>,
    functions: Mutex<HashMap<(&'static str, &'static str), Option<Function>>>,
    blocks: Mutex<Blocks>,
    alarm: *mut Alarm,
}

// SAFETY: the driver's handles may be used from any thread in which the context is current; `enter` sees to that. The
// alarm is read and cleared by volatile accesses only.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

#[derive(Clone, Copy)]
struct Function(Handle);
// SAFETY: a handle of the driver's, as above.
unsafe impl Send for Function {}

thread_local! {
    /// The context that is current in this thread.
    static CURRENT: Cell<Handle> = const { Cell::new(core::ptr::null_mut()) };
}

/// Work of this stream does not wait for work of the default stream, nor the other way round.
const NON_BLOCKING: c_uint = 1;
/// Pinned memory that every context sees, at an address that kernels can write to.
const PORTABLE_AND_MAPPED: c_uint = 1 | 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// How a kernel is launched.
#[derive(Clone, Copy)]
pub struct Shape {
    pub grid: [u32; 3],
    pub threads: u32,
    /// Bytes of shared memory beside what the kernel declares.
    pub shared: usize,
}

impl Shape {
    /// Blocks of so many threads in a row.
    pub fn line(blocks: usize, threads: u32) -> Shape {
        Shape {
            grid: [blocks.clamp(1, i32::MAX as usize) as u32, 1, 1],
            threads,
            shared: 0,
        }
    }
}

impl Gpu {
    pub fn open(driver: &'static Driver, facts: Facts, ordinal: u32) -> Outcome<Gpu> {
        let (mut context, mut stream, mut alarm) = (
            core::ptr::null_mut(),
            core::ptr::null_mut(),
            core::ptr::null_mut(),
        );
        // SAFETY: addresses of values that outlive the calls.
        unsafe {
            driver.context_retain(&mut context, facts.device)?;
            driver.context_set(context)?;
            CURRENT.set(context);
            driver.stream_create(&mut stream, NON_BLOCKING)?;
            driver.host_take(&mut alarm, size_of::<Alarm>(), PORTABLE_AND_MAPPED)?;
            core::ptr::write_bytes(alarm.cast::<u8>(), 0, size_of::<Alarm>());
        }
        let keeps = std::env::var("TORO_CUDA_CACHE").as_deref() != Ok("0");
        Ok(Gpu {
            driver,
            modules: kernels::load(driver)?,
            facts,
            ordinal,
            context,
            stream,
            functions: Mutex::default(),
            blocks: Mutex::new(Blocks::new(keeps)),
            alarm: alarm.cast(),
        })
    }

    /// Makes the device's context the current one of this thread.
    fn enter(&self) -> Outcome {
        if CURRENT.get() != self.context {
            // SAFETY: a context that stays retained for good.
            unsafe { self.driver.context_set(self.context)? };
            CURRENT.set(self.context);
        }
        Ok(())
    }

    // ---- memory

    pub fn take(&self, bytes: usize) -> Outcome<Address> {
        self.enter()?;
        lock(&self.blocks).take(bytes, self)
    }

    /// Takes a block back. What the driver says to that is of no use to anybody.
    pub fn give(&self, address: Address, bytes: usize) {
        if self.enter().is_ok() {
            let _ = lock(&self.blocks).give(address, bytes, self);
        }
    }

    pub fn usage(&self) -> Usage {
        lock(&self.blocks).usage()
    }

    pub fn reset_peak(&self) {
        lock(&self.blocks).reset_peak();
    }

    /// Gives free blocks back to the driver.
    pub fn empty_cache(&self) -> Outcome {
        self.enter()?;
        lock(&self.blocks).empty(self)
    }

    /// Free and all bytes of the device.
    fn memory(&self) -> Outcome<(usize, usize)> {
        self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: addresses of values that outlive the call.
        unsafe { self.driver.memory_info(&mut free, &mut total)? };
        Ok((free, total))
    }

    // ---- copies

    /// Copies bytes of the process into device memory; the source may change when this returns.
    ///
    /// # Safety
    /// `from` has so many bytes, and `to` is a place in a block with room for them.
    pub unsafe fn upload(&self, to: Address, from: *const u8, bytes: usize) -> Outcome {
        self.enter()?;
        // SAFETY: the caller's promise. The driver stages pageable memory before it returns.
        unsafe {
            self.driver
                .upload(to, from.cast::<c_void>(), bytes, self.stream)
        }
    }

    /// Copies bytes of device memory into the process, after all work so far.
    ///
    /// # Safety
    /// As for `upload`, the other way round.
    pub unsafe fn download(&self, to: *mut u8, from: Address, bytes: usize) -> Outcome {
        self.enter()?;
        // SAFETY: the caller's promise.
        unsafe {
            self.driver
                .download(to.cast::<c_void>(), from, bytes, self.stream)?
        };
        self.synchronize()
    }

    /// Copies bytes within the device.
    ///
    /// # Safety
    /// Both places lie in blocks with so many bytes.
    pub unsafe fn copy(&self, to: Address, from: Address, bytes: usize) -> Outcome {
        self.enter()?;
        // SAFETY: the caller's promise.
        unsafe { self.driver.copy(to, from, bytes, self.stream) }
    }

    /// Copies bytes from another device, and waits for both.
    ///
    /// # Safety
    /// Both places lie in blocks with so many bytes.
    pub unsafe fn copy_from(
        &self,
        to: Address,
        other: &Gpu,
        from: Address,
        bytes: usize,
    ) -> Outcome {
        other.synchronize()?;
        self.enter()?;
        // SAFETY: the caller's promise; the other device has done what it was asked for.
        unsafe {
            self.driver
                .copy_peer(to, self.context, from, other.context, bytes, self.stream)?
        };
        self.synchronize()
    }

    // ---- work

    /// The kernel of a name in two parts, if it is there.
    fn function(&self, name: (&'static str, &'static str)) -> Outcome<Option<Function>> {
        if let Some(&found) = lock(&self.functions).get(&name) {
            return Ok(found);
        }
        let symbol = CString::new(format!("{}{}", name.0, name.1))
            .map_err(|_| Fault::Device("a kernel's name holds a zero".into()))?;
        let mut found = None;
        for &module in &self.modules {
            // SAFETY: modules of this context, which `enter` made current.
            if let Some(handle) = unsafe { self.driver.kernel(module, &symbol)? } {
                found = Some(Function(handle));
                break;
            }
        }
        lock(&self.functions).insert(name, found);
        Ok(found)
    }

    /// Launches the kernel whose name is given in two parts, behind all work so far.
    ///
    /// # Safety
    /// `arguments` is the one parameter of the kernel, field by field, and names memory of this device only.
    pub unsafe fn launch<A: Copy>(
        &self,
        name: (&'static str, &'static str),
        shape: Shape,
        arguments: &A,
    ) -> Outcome {
        self.enter()?;
        let Some(Function(function)) = self.function(name)? else {
            return Err(kernels::absence(name));
        };
        let [x, y, z] = shape.grid;
        let mut parameters = [core::ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        // SAFETY: the caller's promise; the driver copies the arguments before it returns.
        unsafe {
            if shape.shared > 48 << 10 {
                self.driver.function_attribute(
                    function,
                    SHARED_PER_BLOCK,
                    shape.shared as c_int,
                )?;
            }
            self.driver.launch(
                function,
                x,
                y,
                z,
                shape.threads,
                1,
                1,
                shape.shared as c_uint,
                self.stream,
                parameters.as_mut_ptr(),
                core::ptr::null_mut(),
            )
        }
    }

    /// Where kernels raise the alarm.
    pub fn alarm(&self) -> Address {
        self.alarm as Address
    }

    /// Waits for all work so far; an alarm that it raised is the error.
    pub fn synchronize(&self) -> Outcome {
        self.enter()?;
        // SAFETY: the stream of this context.
        unsafe { self.driver.stream_synchronize(self.stream)? };
        // SAFETY: pinned memory of this size that stays; kernels that might write it have ended.
        let alarm = unsafe { core::ptr::read_volatile(self.alarm) };
        if alarm.reason == 0 {
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { core::ptr::write_bytes(self.alarm.cast::<u8>(), 0, size_of::<Alarm>()) };
        let name = crate::ops::table()
            .get(alarm.opcode as usize)
            .map_or("op", |row| row.name);
        let device = self.ordinal;
        Err(match alarm.reason {
            DIVISION_BY_ZERO => Fault::Invalid(format!(
                "{name}: an integer was divided by zero on cuda:{device}"
            )),
            NO_PROBABILITY => Fault::Index(format!(
                "{name}: an element of input is not from 0 to 1, as probabilities are, on cuda:{device}"
            )),
            BAD_WEIGHTS => Fault::Invalid(format!(
                "{name}: the weights of row {} must be finite, not negative, and not all zero, on cuda:{device}",
                alarm.value
            )),
            FEW_WEIGHTS => Fault::Invalid(format!(
                "{name}: row {} has too few weights above zero for {} samples without replacement, on cuda:{device}",
                alarm.value, alarm.bound
            )),
            _ => Fault::Index(format!(
                "{name}: index {} is out of range for {} on cuda:{device}",
                alarm.value, alarm.bound
            )),
        })
    }
}

impl Source for Gpu {
    fn take(&self, bytes: usize) -> Outcome<Address> {
        let mut address = 0;
        // SAFETY: the context is current.
        unsafe { self.driver.memory_take(&mut address, bytes)? };
        Ok(address)
    }

    fn give(&self, address: Address) -> Outcome {
        // SAFETY: a block of this device's; the driver waits for work that uses it.
        unsafe { self.driver.memory_give(address) }
    }

    fn report(&self) -> String {
        match self.memory() {
            Ok((free, total)) => format!("{free} of {total} bytes are free"),
            Err(_) => format!("{} bytes are there", self.facts.bytes),
        }
    }
}
