//! cuDNN's graphs: operations on tensors of four dims that the library makes one or few kernels of, described by
//! attributes of the backend's descriptors. A graph is sketched, a plan is picked for it, and a plan runs as often as it is
//! asked for.

use super::cudnn::Type;
use super::cudnn_numbers::{attribute, form, kind};
use super::cudnn_words::{No, Status, Words};
use super::driver::{self, Address, Handle};
use super::libraries::entries;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

/// The part of the library that graphs are in.
const PART: &str = "libcudnn_graph.so.9";

entries! {
    create = "cudnnBackendCreateDescriptor" (c_int, *mut Handle) -> Status;
    destroy = "cudnnBackendDestroyDescriptor" (Handle) -> Status;
    set = "cudnnBackendSetAttribute" (Handle, c_int, c_int, i64, *const c_void) -> Status;
    get = "cudnnBackendGetAttribute" (Handle, c_int, c_int, i64, *mut i64, *mut c_void) -> Status;
    finalize = "cudnnBackendFinalize" (Handle) -> Status;
    execute = "cudnnBackendExecute" (Handle, Handle, Handle) -> Status;
}

/// Heuristics: the good one, and the one that names whatever works.
const MODES: [c_int; 2] = [3, 2];
/// The note of an engine whose sums depend on time.
const NONDETERMINISTIC: c_int = 4;
/// More than an engine has notes.
const NOTES: usize = 32;

/// What is done to each element, by the API's numbers.
#[derive(Clone, Copy)]
pub enum Each {
    Add = 0,
    Multiply = 1,
    Divide = 6,
    Subtract = 9,
    Exp = 13,
    Log = 15,
    /// Whether x is at least b.
    IsAtLeast = 303,
    /// Its number along an axis.
    Number = 501,
    /// x where t, else b.
    Select = 601,
}

/// What is made of many elements, by the API's numbers.
#[derive(Clone, Copy)]
pub enum Join {
    Sum = 0,
    Greatest = 3,
}

/// Sizes or strides.
pub type Four = [i64; 4];

/// Strides of a dense tensor.
pub fn dense(sizes: Four) -> Four {
    let [_, b, c, d] = sizes;
    [b * c * d, c * d, d, 1]
}

/// A description that the library keeps, until it is dropped.
pub struct Descriptor {
    handle: Handle,
    destroy: unsafe extern "C" fn(Handle) -> Status,
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: made by the library, and used by nobody else. What it says to that is of no use to anybody.
        unsafe { (self.destroy)(self.handle) };
    }
}

/// What a plan is made for.
pub enum Device {
    /// That of a handle.
    Of(Handle),
    /// One that is described, and not there.
    #[cfg(test)]
    Described(Descriptor),
}

/// The part of the library that graphs are in.
pub struct Backend {
    entries: Entries,
    words: Words,
}

impl Backend {
    pub fn open(library: Handle, words: Words) -> Result<Backend, String> {
        // As for convolutions: a symbol that its part lacks ends the process when it is called.
        Entries::of(driver::open_any(&[PART])?)?;
        let entries = Entries::of(library)?;
        Ok(Backend { entries, words })
    }

    fn make(&self, kind: c_int) -> Result<Descriptor, No> {
        let mut handle = null_mut();
        // SAFETY: the address of a value that outlives the call.
        let status = unsafe { (self.entries.create)(kind, &mut handle) };
        self.words
            .described("cudnnBackendCreateDescriptor", status)?;
        Ok(Descriptor {
            handle,
            destroy: self.entries.destroy,
        })
    }

    /// Sets an attribute to values, which must be of the type that `form` says.
    fn set<T: Copy>(
        &self,
        to: &Descriptor,
        name: c_int,
        form: c_int,
        values: &[T],
    ) -> Result<(), No> {
        let (count, from) = (values.len() as i64, values.as_ptr().cast());
        // SAFETY: a description as made, and so many values of the attribute's type, which the library copies.
        let status = unsafe { (self.entries.set)(to.handle, name, form, count, from) };
        self.words.described("cudnnBackendSetAttribute", status)
    }

    fn link(&self, to: &Descriptor, name: c_int, part: &Descriptor) -> Result<(), No> {
        self.set(to, name, form::DESCRIPTOR, &[part.handle])
    }

    fn finish(&self, descriptor: &Descriptor) -> Result<(), No> {
        // SAFETY: a description as made.
        let status = unsafe { (self.entries.finalize)(descriptor.handle) };
        self.words.described("cudnnBackendFinalize", status)
    }

    /// Reads as many values of an attribute as there are, up to the room for them; without room, only counts them.
    fn get<T: Copy>(
        &self,
        from: &Descriptor,
        name: c_int,
        form: c_int,
        room: &mut [T],
    ) -> Result<usize, No> {
        let mut count = 0;
        let to = if room.is_empty() {
            null_mut()
        } else {
            room.as_mut_ptr().cast()
        };
        let space = room.len() as i64;
        // SAFETY: a description as finished, and room for so many values of the attribute's type.
        let status = unsafe { (self.entries.get)(from.handle, name, form, space, &mut count, to) };
        self.words.described("cudnnBackendGetAttribute", status)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// A device by its properties as the library writes them.
    #[cfg(test)]
    pub fn described(&self, properties: &str) -> Result<Device, No> {
        let made = self.make(kind::PROPERTIES)?;
        self.set(
            &made,
            attribute::PROPERTIES_JSON,
            form::CHAR,
            properties.as_bytes(),
        )?;
        self.finish(&made)?;
        Ok(Device::Described(made))
    }

    /// Whether the sums of a configuration's engine do not depend on time.
    fn is_steady(&self, config: &Descriptor) -> Result<bool, No> {
        let engine = self.make(kind::ENGINE)?;
        self.get(
            config,
            attribute::CONFIG_ENGINE,
            form::DESCRIPTOR,
            &mut [engine.handle],
        )?;
        let mut notes = [0 as c_int; NOTES];
        let count = self.get(
            &engine,
            attribute::ENGINE_NOTES,
            form::NUMERICAL_NOTE,
            &mut notes,
        )?;
        Ok(!notes[..count.min(NOTES)].contains(&NONDETERMINISTIC))
    }

    /// The configurations that one heuristic names for a graph, best first.
    fn configurations(
        &self,
        graph: &Descriptor,
        mode: c_int,
        device: &Device,
    ) -> Result<Vec<Descriptor>, No> {
        let heuristic = self.make(kind::HEURISTIC)?;
        self.link(&heuristic, attribute::HEURISTIC_GRAPH, graph)?;
        self.set(
            &heuristic,
            attribute::HEURISTIC_MODE,
            form::HEURISTIC_MODE,
            &[mode],
        )?;
        match device {
            Device::Of(_) => {}
            #[cfg(test)]
            Device::Described(device) => {
                self.link(&heuristic, attribute::HEURISTIC_PROPERTIES, device)?
            }
        }
        self.finish(&heuristic)?;
        let (name, form) = (attribute::HEURISTIC_RESULTS, form::DESCRIPTOR);
        let count = self.get::<Handle>(&heuristic, name, form, &mut [])?;
        let made = (0..count)
            .map(|_| self.make(kind::CONFIG))
            .collect::<Result<Vec<_>, No>>();
        let mut made = made?;
        let mut handles: Vec<Handle> = made.iter().map(|d| d.handle).collect();
        if count > 0 {
            let filled = self.get(&heuristic, name, form, &mut handles)?;
            made.truncate(filled);
        }
        Ok(made)
    }

    /// A configuration made ready to run.
    fn prepared(&self, config: &Descriptor, device: &Device) -> Result<(Descriptor, usize), No> {
        let plan = self.make(kind::PLAN)?;
        match device {
            Device::Of(handle) => {
                self.set(&plan, attribute::PLAN_HANDLE, form::HANDLE, &[*handle])?
            }
            #[cfg(test)]
            Device::Described(device) => self.link(&plan, attribute::PLAN_PROPERTIES, device)?,
        }
        self.link(&plan, attribute::PLAN_CONFIG, config)?;
        self.finish(&plan)?;
        let mut bytes = [0i64];
        self.get(&plan, attribute::PLAN_WORKSPACE, form::INT64, &mut bytes)?;
        Ok((plan, usize::try_from(bytes[0]).unwrap_or(0)))
    }

    /// Runs a plan on the stream of its handle. Tensors are given by number, with where they lie or, of values, where the
    /// process has them.
    ///
    /// # Safety
    /// The places hold the plan's tensors, the workspace as many bytes as it wants; the handle's context is current.
    pub unsafe fn run(
        &self,
        handle: Handle,
        plan: &Plan,
        tensors: &[(i64, Address)],
        workspace: Address,
    ) -> Result<(), No> {
        let numbers: Vec<i64> = tensors.iter().map(|t| t.0).collect();
        let addresses: Vec<Address> = tensors.iter().map(|t| t.1).collect();
        let pack = self.make(kind::PACK)?;
        self.set(&pack, attribute::PACK_NUMBERS, form::INT64, &numbers)?;
        self.set(&pack, attribute::PACK_ADDRESSES, form::ADDRESS, &addresses)?;
        self.set(
            &pack,
            attribute::PACK_WORKSPACE,
            form::ADDRESS,
            &[workspace],
        )?;
        self.finish(&pack)?;
        // SAFETY: the caller's promise; descriptions as finished.
        let status = unsafe { (self.entries.execute)(handle, plan.plan.handle, pack.handle) };
        self.words.judged("cudnnBackendExecute", status)
    }
}

/// A graph made ready to run. What it was made of is kept as long.
pub struct Plan {
    plan: Descriptor,
    pub workspace: usize,
    _parts: Vec<Descriptor>,
}

/// A tensor of a sketch, by its place among what was made.
#[derive(Clone, Copy)]
pub struct Tensor(usize);

/// Numbers of tensors that lie nowhere begin here; those below are the caller's.
const VIRTUAL: i64 = 100;
/// Every tensor in memory begins on so many bytes.
pub const ALIGNMENT: u64 = 16;

/// A graph that is being described.
pub struct Sketch<'a> {
    backend: &'a Backend,
    made: Vec<Descriptor>,
    /// Those of `made` that are operations, in an order in which they can be done.
    operations: Vec<usize>,
    next: i64,
}

impl<'a> Sketch<'a> {
    pub fn new(backend: &'a Backend) -> Sketch<'a> {
        Sketch {
            backend,
            made: Vec::new(),
            operations: Vec::new(),
            next: VIRTUAL,
        }
    }

    fn keep(&mut self, made: Descriptor) -> usize {
        self.made.push(made);
        self.made.len() - 1
    }

    fn add(
        &mut self,
        number: i64,
        kind: Type,
        (sizes, strides): (Four, Four),
        alignment: i64,
        flag: Option<c_int>,
    ) -> Result<Tensor, No> {
        let b = self.backend;
        let made = b.make(kind::TENSOR)?;
        b.set(
            &made,
            attribute::TENSOR_TYPE,
            form::DATA_TYPE,
            &[kind as c_int],
        )?;
        b.set(&made, attribute::TENSOR_SIZES, form::INT64, &sizes)?;
        b.set(&made, attribute::TENSOR_STRIDES, form::INT64, &strides)?;
        b.set(&made, attribute::TENSOR_NUMBER, form::INT64, &[number])?;
        b.set(
            &made,
            attribute::TENSOR_ALIGNMENT,
            form::INT64,
            &[alignment],
        )?;
        if let Some(flag) = flag {
            b.set(&made, flag, form::BOOLEAN, &[true])?;
        }
        b.finish(&made)?;
        Ok(Tensor(self.keep(made)))
    }

    /// One that lies in memory.
    pub fn tensor(
        &mut self,
        number: i64,
        kind: Type,
        sizes: Four,
        strides: Four,
    ) -> Result<Tensor, No> {
        self.add(number, kind, (sizes, strides), ALIGNMENT as i64, None)
    }

    /// A float32 that the process has.
    pub fn value(&mut self, number: i64) -> Result<Tensor, No> {
        let (ones, flag) = ([1; 4], Some(attribute::TENSOR_IS_VALUE));
        self.add(number, Type::F32, (ones, ones), 4, flag)
    }

    /// One that lies nowhere.
    pub fn between(&mut self, kind: Type, sizes: Four, strides: Four) -> Result<Tensor, No> {
        self.next += 1;
        let flag = Some(attribute::TENSOR_IS_VIRTUAL);
        self.add(self.next, kind, (sizes, strides), ALIGNMENT as i64, flag)
    }

    fn operation(&mut self, kind: c_int, parts: &[(c_int, usize)]) -> Result<(), No> {
        let b = self.backend;
        let made = b.make(kind)?;
        for &(name, part) in parts {
            b.link(&made, name, &self.made[part])?;
        }
        b.finish(&made)?;
        let at = self.keep(made);
        self.operations.push(at);
        Ok(())
    }

    /// y of each element of x, and of b and t where the operation has them; `axis` for `Each::Number`.
    pub fn each(
        &mut self,
        what: Each,
        math: Type,
        (x, y): (Tensor, Tensor),
        b: Option<Tensor>,
        t: Option<Tensor>,
        axis: Option<i64>,
    ) -> Result<(), No> {
        let backend = self.backend;
        let how = backend.make(kind::POINTWISE)?;
        backend.set(
            &how,
            attribute::POINTWISE_MODE,
            form::POINTWISE_MODE,
            &[what as c_int],
        )?;
        backend.set(
            &how,
            attribute::POINTWISE_MATH,
            form::DATA_TYPE,
            &[math as c_int],
        )?;
        if let Some(axis) = axis {
            backend.set(&how, attribute::POINTWISE_AXIS, form::INT64, &[axis])?;
        }
        backend.finish(&how)?;
        let how = self.keep(how);
        let mut parts = vec![
            (attribute::POINTWISE_DESCRIPTOR, how),
            (attribute::POINTWISE_X, x.0),
            (attribute::POINTWISE_Y, y.0),
        ];
        parts.extend(b.map(|b| (attribute::POINTWISE_B, b.0)));
        parts.extend(t.map(|t| (attribute::POINTWISE_T, t.0)));
        self.operation(kind::POINTWISE_OPERATION, &parts)
    }

    /// c = a b, of the last two dims, summed in float32.
    pub fn multiply(&mut self, a: Tensor, b: Tensor, c: Tensor) -> Result<(), No> {
        let backend = self.backend;
        let how = backend.make(kind::MATMUL)?;
        backend.set(
            &how,
            attribute::MATMUL_TYPE,
            form::DATA_TYPE,
            &[Type::F32 as c_int],
        )?;
        backend.finish(&how)?;
        let how = self.keep(how);
        let parts = [
            (attribute::MATMUL_A, a.0),
            (attribute::MATMUL_B, b.0),
            (attribute::MATMUL_C, c.0),
            (attribute::MATMUL_DESCRIPTOR, how),
        ];
        self.operation(kind::MATMUL_OPERATION, &parts)
    }

    /// y of x, of which y has fewer elements along some dims.
    pub fn join(&mut self, what: Join, x: Tensor, y: Tensor) -> Result<(), No> {
        let backend = self.backend;
        let how = backend.make(kind::REDUCTION)?;
        let operator = [what as c_int];
        backend.set(
            &how,
            attribute::REDUCTION_OPERATOR,
            form::REDUCTION_OPERATOR,
            &operator,
        )?;
        backend.set(
            &how,
            attribute::REDUCTION_TYPE,
            form::DATA_TYPE,
            &[Type::F32 as c_int],
        )?;
        backend.finish(&how)?;
        let how = self.keep(how);
        let parts = [
            (attribute::REDUCTION_X, x.0),
            (attribute::REDUCTION_Y, y.0),
            (attribute::REDUCTION_DESCRIPTOR, how),
        ];
        self.operation(kind::REDUCTION_OPERATION, &parts)
    }

    /// y is x with its last two dims swapped.
    pub fn turn(&mut self, x: Tensor, y: Tensor) -> Result<(), No> {
        let parts = [(attribute::RESHAPE_X, x.0), (attribute::RESHAPE_Y, y.0)];
        self.operation(kind::RESHAPE_OPERATION, &parts)
    }

    /// The first plan that can be made of the graph whose sums do not depend on time and whose workspace is no larger than
    /// `most`. What fails while there are others is passed over.
    pub fn plan(mut self, device: &Device, most: usize) -> Result<Plan, No> {
        let b = self.backend;
        let graph = b.make(kind::GRAPH)?;
        let operations: Vec<Handle> = self
            .operations
            .iter()
            .map(|&i| self.made[i].handle)
            .collect();
        b.set(
            &graph,
            attribute::GRAPH_OPERATIONS,
            form::DESCRIPTOR,
            &operations,
        )?;
        match device {
            Device::Of(handle) => {
                b.set(&graph, attribute::GRAPH_HANDLE, form::HANDLE, &[*handle])?
            }
            #[cfg(test)]
            Device::Described(_) => {}
        }
        b.finish(&graph)?;
        // Of what stood in the way a failure counts only where there was nothing else.
        let (mut failure, mut any) = (No::Refusal, false);
        for mode in MODES {
            let found = match b.configurations(&graph, mode, device) {
                Err(No::Refusal) => continue,
                found => found?,
            };
            for config in found {
                let (plan, workspace) = match b.prepared(&config, device) {
                    Ok(made) => made,
                    Err(No::Failure(fault)) if matches!(failure, No::Refusal) => {
                        failure = No::Failure(fault);
                        continue;
                    }
                    Err(_) => continue,
                };
                any = true;
                if workspace <= most && b.is_steady(&config)? {
                    self.made.extend([graph, config]);
                    return Ok(Plan {
                        plan,
                        workspace,
                        _parts: self.made,
                    });
                }
            }
        }
        Err(if any { No::Refusal } else { failure })
    }
}
