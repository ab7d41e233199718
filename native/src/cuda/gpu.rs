//! One CUDA device in use: its context, its stream, its kernels, its memory, and the alarm that kernels raise.
//! All work of a process on a device runs on one stream, in the order in which it was asked for.

use super::blocks::{Blocks, Source, Usage};
use super::driver::{Address, Driver, Handle};
use super::kernels;
use super::libraries::Libraries;
use super::pinned;
use crate::device::Device;
use crate::fault::{Fault, Outcome};
use core::cell::Cell;
use core::ffi::{c_int, c_uint, c_void};
use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, OnceLock};

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
    /// Events that nobody has any more, of those without a time.
    events: Mutex<Vec<Idle>>,
    alarm: *mut Alarm,
    pub(super) libraries: Libraries,
    /// What the device was lost by.
    lost: OnceLock<String>,
}

// SAFETY: the driver's handles may be used from any thread in which the context is current; `enter` sees to that. The
// alarm is read and cleared by volatile accesses only.
unsafe impl Send for Gpu {}
// SAFETY: as above.
unsafe impl Sync for Gpu {}

#[derive(Clone, Copy)]
struct Function {
    handle: Handle,
    /// Bytes of shared memory that a launch may ask for.
    shared: usize,
}
// SAFETY: a handle of the driver's, as above.
unsafe impl Send for Function {}

/// An event that is recorded again by whoever needs one next.
struct Idle(Handle);
// SAFETY: a handle of the driver's, as above.
unsafe impl Send for Idle {}

thread_local! {
    /// The context that is current in this thread.
    static CURRENT: Cell<Handle> = const { Cell::new(core::ptr::null_mut()) };
}

/// Work of this stream does not wait for work of the default stream, nor the other way round.
const NON_BLOCKING: c_uint = 1;
/// Pinned memory that every context sees, at an address that kernels can write to.
const PORTABLE_AND_MAPPED: c_uint = 1 | 2;

/// An event that is only waited for.
const NO_TIME: c_uint = 2;
/// What every kernel may have of shared memory.
const SHARED: usize = 48 << 10;
/// Bytes that pass through one block of pinned memory.
const STAGED: usize = 16 << 20;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            events: Mutex::default(),
            alarm: alarm.cast(),
            libraries: Libraries::default(),
            lost: OnceLock::new(),
        })
    }

    fn device(&self) -> Device {
        Device(1 + self.ordinal)
    }

    /// Makes the device's context the current one of this thread.
    fn enter(&self) -> Outcome {
        if let Some(why) = self.lost.get() {
            return Err(self.loss(why));
        }
        if CURRENT.get() != self.context {
            // SAFETY: a context that stays retained for good.
            unsafe { self.driver.context_set(self.context)? };
            CURRENT.set(self.context);
        }
        Ok(())
    }

    /// Makes the context current; the stream on which everything runs.
    pub(super) fn entered(&self) -> Outcome<Handle> {
        self.enter().map(|()| self.stream)
    }

    fn loss(&self, why: &str) -> Fault {
        Fault::Lost(format!(
            "{} was lost: {why}; its tensors are gone, and this process cannot use it any more",
            self.device()
        ))
    }

    /// Remembers what the device was lost by: whatever is asked of it later fails for that.
    pub(super) fn noted<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        outcome.map_err(|fault| match fault {
            Fault::Lost(why) => self.loss(self.lost.get_or_init(|| why)),
            other => other,
        })
    }

    // ---- memory

    pub fn take(&self, bytes: usize) -> Outcome<Address> {
        self.enter()?;
        let taken = lock(&self.blocks).take(bytes, self);
        self.noted(taken)
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

    /// Copies bytes of the process into device memory; the source may change when this returns. They pass through pinned
    /// memory, or else the driver would wait for all work so far.
    ///
    /// # Safety
    /// `from` has so many bytes, and `to` is a place in a block with room for them.
    pub unsafe fn upload(&self, to: Address, from: *const u8, bytes: usize) -> Outcome {
        self.enter()?;
        for at in (0..bytes).step_by(STAGED) {
            let part = STAGED.min(bytes - at);
            let block = pinned::Block::take(self, part)?;
            pinned::mark(block.address(), part, self.device());
            // SAFETY: the block has room for the part, which lies in what the caller promises.
            let asked = unsafe {
                core::ptr::copy_nonoverlapping(from.add(at), block.address(), part);
                let to = to + at as Address;
                self.driver
                    .upload(to, block.address().cast(), part, self.stream)
            };
            self.noted(asked)?;
        }
        Ok(())
    }

    /// As `upload`; but pinned memory is read by the device when it comes so far.
    ///
    /// # Safety
    /// As for `upload`.
    pub unsafe fn upload_later(&self, to: Address, from: *const u8, bytes: usize) -> Outcome {
        self.enter()?;
        if !pinned::mark(from, bytes, self.device()) {
            // SAFETY: the caller's promise.
            return unsafe { self.upload(to, from, bytes) };
        }
        // SAFETY: the caller's promise; the block stays until the device is done with it.
        self.noted(unsafe { self.driver.upload(to, from.cast(), bytes, self.stream) })
    }

    /// Copies bytes of device memory into the process, after all work so far.
    ///
    /// # Safety
    /// As for `upload`, the other way round.
    pub unsafe fn download(&self, to: *mut u8, from: Address, bytes: usize) -> Outcome {
        self.enter()?;
        // SAFETY: the caller's promise.
        self.noted(unsafe {
            self.driver
                .download(to.cast::<c_void>(), from, bytes, self.stream)
        })?;
        self.synchronize()
    }

    /// As `download`; but into pinned memory the device writes when it comes so far: the bytes are there once an event
    /// behind this is done.
    ///
    /// # Safety
    /// As for `download`.
    pub unsafe fn download_later(&self, to: *mut u8, from: Address, bytes: usize) -> Outcome {
        self.enter()?;
        if !pinned::mark(to, bytes, self.device()) {
            // SAFETY: the caller's promise.
            return unsafe { self.download(to, from, bytes) };
        }
        // SAFETY: the caller's promise; the block stays until the device is done with it.
        self.noted(unsafe {
            self.driver
                .download(to.cast::<c_void>(), from, bytes, self.stream)
        })
    }

    /// Copies bytes within the device.
    ///
    /// # Safety
    /// Both places lie in blocks with so many bytes.
    pub unsafe fn copy(&self, to: Address, from: Address, bytes: usize) -> Outcome {
        self.enter()?;
        // SAFETY: the caller's promise.
        self.noted(unsafe { self.driver.copy(to, from, bytes, self.stream) })
    }

    /// Copies bytes from another device. Each device waits for the other, the process for neither.
    ///
    /// # Safety
    /// Both places lie in blocks with so many bytes.
    pub unsafe fn copy_from(
        &'static self,
        to: Address,
        other: &'static Gpu,
        from: Address,
        bytes: usize,
    ) -> Outcome {
        let written = other.record(false)?;
        self.enter()?;
        // SAFETY: the caller's promise; the event was recorded.
        let asked = unsafe {
            self.driver
                .stream_wait(self.stream, written.handle, 0)
                .and_then(|()| {
                    self.driver
                        .copy_peer(to, self.context, from, other.context, bytes, self.stream)
                })
        };
        self.noted(asked)?;
        let read = self.record(false)?;
        other.enter()?;
        // SAFETY: as above.
        other.noted(unsafe { other.driver.stream_wait(other.stream, read.handle, 0) })
    }

    // ---- pinned memory

    /// Pinned memory of the process that every device sees.
    pub fn take_host(&self, bytes: usize) -> Outcome<*mut u8> {
        self.enter()?;
        let mut address = core::ptr::null_mut();
        // SAFETY: the address of a value that outlives the call.
        let taken = unsafe {
            self.driver
                .host_take(&mut address, bytes, PORTABLE_AND_MAPPED)
        };
        self.noted(taken)?;
        Ok(address.cast())
    }

    /// Gives pinned memory back. What the driver says to that is of no use to anybody.
    pub fn give_host(&self, address: *mut u8) {
        if self.enter().is_ok() {
            // SAFETY: taken by `take_host`; nobody uses it any more.
            let _ = unsafe { self.driver.host_give(address.cast()) };
        }
    }

    // ---- work

    /// The kernel of a name in two parts, which may have so many bytes of shared memory.
    fn function(&self, name: (&'static str, &'static str), shared: usize) -> Outcome<Handle> {
        let mut functions = lock(&self.functions);
        let found = match functions.get_mut(&name) {
            Some(found) => found,
            None => {
                let found = self.find(name)?;
                functions.entry(name).or_insert(found)
            }
        };
        let Some(function) = found else {
            return Err(kernels::absence(name));
        };
        if shared > function.shared {
            // SAFETY: a kernel of this context's, which `enter` made current.
            self.noted(unsafe {
                self.driver
                    .function_attribute(function.handle, SHARED_PER_BLOCK, shared as c_int)
            })?;
            function.shared = shared;
        }
        Ok(function.handle)
    }

    fn find(&self, name: (&'static str, &'static str)) -> Outcome<Option<Function>> {
        let symbol = CString::new(format!("{}{}", name.0, name.1))
            .map_err(|_| Fault::Device("a kernel's name holds a zero".into()))?;
        for &module in &self.modules {
            // SAFETY: modules of this context, which `enter` made current.
            if let Some(handle) = self.noted(unsafe { self.driver.kernel(module, &symbol) })? {
                return Ok(Some(Function {
                    handle,
                    shared: SHARED,
                }));
            }
        }
        Ok(None)
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
        let function = self.function(name, shape.shared)?;
        let [x, y, z] = shape.grid;
        let mut parameters = [core::ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        // SAFETY: the caller's promise; the driver copies the arguments before it returns.
        let launched = unsafe {
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
        };
        self.noted(launched)
    }

    /// An event behind all work so far; with a time, if it is to be compared with others.
    pub fn record(&'static self, has_time: bool) -> Outcome<Event> {
        self.enter()?;
        let idle = if has_time {
            None
        } else {
            lock(&self.events).pop()
        };
        let mut event = Event {
            gpu: self,
            handle: idle.map_or(core::ptr::null_mut(), |idle| idle.0),
            has_time,
        };
        let flags = if has_time { 0 } else { NO_TIME };
        // SAFETY: the address of a value that outlives the call; the stream of this context.
        let recorded = unsafe {
            let made = match event.handle.is_null() {
                true => self.driver.event_create(&mut event.handle, flags),
                false => Ok(()),
            };
            made.and_then(|()| self.driver.event_record(event.handle, self.stream))
        };
        self.noted(recorded).map(|()| event)
    }

    /// Where kernels raise the alarm.
    pub fn alarm(&self) -> Address {
        self.alarm as Address
    }

    /// Waits for all work so far; an alarm that it raised is the error.
    pub fn synchronize(&self) -> Outcome {
        self.enter()?;
        // SAFETY: the stream of this context.
        self.noted(unsafe { self.driver.stream_synchronize(self.stream) })?;
        self.look_at_alarm()
    }

    /// An alarm that was raised is the error.
    fn look_at_alarm(&self) -> Outcome {
        // SAFETY: pinned memory of this size that stays; a kernel may write it only while it says that nothing is raised.
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

/// A place in a device's work.
pub struct Event {
    gpu: &'static Gpu,
    handle: Handle,
    has_time: bool,
}

// SAFETY: a handle of the driver's, which may be used from any thread in which the context is current.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Waits until the device has come to it; an alarm that its work raised is the error.
    pub fn wait(&self) -> Outcome {
        self.gpu.enter()?;
        // SAFETY: not destroyed yet.
        let waited = unsafe { self.gpu.driver.event_synchronize(self.handle) };
        self.gpu.noted(waited)?;
        self.gpu.look_at_alarm()
    }

    pub fn is_done(&self) -> Outcome<bool> {
        self.gpu.enter()?;
        // SAFETY: not destroyed yet.
        self.gpu
            .noted(unsafe { self.gpu.driver.event_done(self.handle) })
    }

    pub fn is_lost(&self) -> bool {
        self.gpu.lost.get().is_some()
    }

    /// Milliseconds from this event to another one of the same device; both must be done.
    pub fn until(&self, other: &Event) -> Outcome<f64> {
        if self.gpu.ordinal != other.gpu.ordinal {
            return Err(Fault::Device(format!(
                "Cannot elapsedTime between events of {} and {}: they must be of one device",
                self.gpu.device(),
                other.gpu.device()
            )));
        }
        self.gpu.enter()?;
        let mut milliseconds = 0.0f32;
        // SAFETY: the address of a value that outlives the call; neither event is destroyed yet.
        let asked = unsafe {
            self.gpu
                .driver
                .event_elapsed(&mut milliseconds, self.handle, other.handle)
        };
        self.gpu.noted(asked)?;
        Ok(f64::from(milliseconds))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.handle.is_null() || self.gpu.enter().is_err() {
            return;
        }
        if !self.has_time {
            // What waits for it waits for what it was recorded behind, whoever records it anew.
            lock(&self.gpu.events).push(Idle(self.handle));
            return;
        }
        // SAFETY: not destroyed yet; the driver keeps what its work still needs. What it says is of no use to anybody.
        let _ = unsafe { self.gpu.driver.event_destroy(self.handle) };
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
