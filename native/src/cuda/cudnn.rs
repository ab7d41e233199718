//! cuDNN, opened where it is found: convolutions and their gradients by its long-standing calls, the algorithm that its
//! heuristic puts first kept for each shape. Attention goes through its graphs (cudnn_attention.rs).
//!
//! Numbers, structs and signatures were compared with the headers of cuDNN 9.28.1; version 9 is demanded, since status codes
//! are others before it.

use super::Scratch;
use super::cudnn_attention::{Attention, AttentionPlaces, Attentions};
use super::cudnn_words::{No, Status, Words};
use super::driver::{self, Address, Handle};
use super::libraries::{Factors, entries, version_text};
use crate::fault::{Fault, Outcome};
use core::ffi::{c_char, c_int, c_void};
use std::collections::HashMap;

const NAME: &str = "libcudnn.so.9";
/// The part that does convolutions. `libcudnn.so.9` opens its parts itself and aborts the process where one is missing, so
/// this one, which brings those that it needs, is opened before anything is called.
const PART: &str = "libcudnn_cnn.so.9";

type Search = unsafe extern "C" fn(
    Handle,
    Handle,
    Handle,
    Handle,
    Handle,
    c_int,
    *mut c_int,
    *mut Candidate,
) -> Status;
type Run = unsafe extern "C" fn(
    Handle,
    *const c_void,
    Handle,
    Address,
    Handle,
    Address,
    Handle,
    c_int,
    Address,
    usize,
    *const c_void,
    Handle,
    Address,
) -> Status;

entries! {
    version = "cudnnGetVersion" () -> usize;
    status_name = "cudnnGetErrorString" (Status) -> *const c_char;
    last_error = "cudnnGetLastErrorString" (*mut c_char, usize) -> ();
    create = "cudnnCreate" (*mut Handle) -> Status;
    destroy = "cudnnDestroy" (Handle) -> Status;
    set_stream = "cudnnSetStream" (Handle, Handle) -> Status;
    tensor_create = "cudnnCreateTensorDescriptor" (*mut Handle) -> Status;
    tensor_set = "cudnnSetTensorNdDescriptor" (Handle, c_int, c_int, *const c_int, *const c_int) -> Status;
    tensor_destroy = "cudnnDestroyTensorDescriptor" (Handle) -> Status;
    filter_create = "cudnnCreateFilterDescriptor" (*mut Handle) -> Status;
    filter_set = "cudnnSetFilterNdDescriptor" (Handle, c_int, c_int, c_int, *const c_int) -> Status;
    filter_destroy = "cudnnDestroyFilterDescriptor" (Handle) -> Status;
    convolution_create = "cudnnCreateConvolutionDescriptor" (*mut Handle) -> Status;
    convolution_set = "cudnnSetConvolutionNdDescriptor" (Handle, c_int, *const c_int, *const c_int, *const c_int, c_int, c_int) -> Status;
    convolution_groups = "cudnnSetConvolutionGroupCount" (Handle, c_int) -> Status;
    convolution_math = "cudnnSetConvolutionMathType" (Handle, c_int) -> Status;
    convolution_destroy = "cudnnDestroyConvolutionDescriptor" (Handle) -> Status;
    forward_search = "cudnnGetConvolutionForwardAlgorithm_v7" (Handle, Handle, Handle, Handle, Handle, c_int, *mut c_int, *mut Candidate) -> Status;
    data_search = "cudnnGetConvolutionBackwardDataAlgorithm_v7" (Handle, Handle, Handle, Handle, Handle, c_int, *mut c_int, *mut Candidate) -> Status;
    filter_search = "cudnnGetConvolutionBackwardFilterAlgorithm_v7" (Handle, Handle, Handle, Handle, Handle, c_int, *mut c_int, *mut Candidate) -> Status;
    forward = "cudnnConvolutionForward" (Handle, *const c_void, Handle, Address, Handle, Address, Handle, c_int, Address, usize, *const c_void, Handle, Address) -> Status;
    data = "cudnnConvolutionBackwardData" (Handle, *const c_void, Handle, Address, Handle, Address, Handle, c_int, Address, usize, *const c_void, Handle, Address) -> Status;
    filter = "cudnnConvolutionBackwardFilter" (Handle, *const c_void, Handle, Address, Handle, Address, Handle, c_int, Address, usize, *const c_void, Handle, Address) -> Status;
    add = "cudnnAddTensor" (Handle, *const c_void, Handle, Address, *const c_void, Handle, Address) -> Status;
}

/// Numbers of the API.
mod api {
    use core::ffi::c_int;
    /// The filter is not turned round.
    pub const CROSS_CORRELATION: c_int = 1;
    /// Row by row.
    pub const NCHW: c_int = 0;
    pub const DETERMINISTIC: c_int = 1;
    /// Lets float32 be rounded to TF32 on devices that have it.
    pub const DEFAULT_MATH: c_int = 0;
    pub const TENSOR_OP_MATH: c_int = 1;
    /// No tensor cores.
    pub const FMA_MATH: c_int = 3;
}

/// Element types by the API's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Type {
    F32 = 0,
    F64 = 1,
    F16 = 2,
    I32 = 4,
    Bf16 = 9,
    Bool = 11,
}

/// An algorithm as a search answers it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Candidate {
    algorithm: c_int,
    status: Status,
    milliseconds: f32,
    workspace: usize,
    determinism: c_int,
    math: c_int,
    reserved: [c_int; 3],
}
const _: () = assert!(size_of::<Candidate>() == 48);

/// More than any search has algorithms.
const CANDIDATES: usize = 16;
/// The largest workspace that an algorithm may want.
pub(super) const WORKSPACE: usize = 1 << 30;

/// What is computed from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// y from x and w.
    Forward,
    /// x from w and y.
    Data,
    /// w from x and y.
    Filter,
}

/// Sizes by batch, channels and two or three dims; those behind `rank` are of no meaning.
pub type Sizes = [c_int; 5];

/// A convolution of dense w (outs, ins of a group, kernel), x (batch, ins, input) and y (batch, outs, output).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    pub pass: Pass,
    pub kind: Type,
    /// 4 or 5.
    pub rank: usize,
    pub x: Sizes,
    pub x_strides: Sizes,
    pub w: Sizes,
    pub y: Sizes,
    pub y_strides: Sizes,
    /// Of the last dims of x and y, rank - 2 of them.
    pub stride: [c_int; 3],
    pub padding: [c_int; 3],
    pub dilation: [c_int; 3],
    pub groups: c_int,
    /// Whether the result's channels get a bias of the same type.
    pub bias: bool,
    /// Whether float32 may be rounded to TF32.
    pub tf32: bool,
}

/// Where the tensors lie, each on 16 bytes; a bias where the convolution has one.
#[derive(Clone, Copy)]
pub struct Tensors {
    pub x: Address,
    pub w: Address,
    pub y: Address,
    pub bias: Address,
}

/// A description that the library keeps, until it is dropped.
struct Description {
    handle: Handle,
    destroy: unsafe extern "C" fn(Handle) -> Status,
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: made by the library, and used by nobody else. What it says to that is of no use to anybody.
        unsafe { (self.destroy)(self.handle) };
    }
}

/// What the library was told of a convolution, and what was picked for it.
struct Plan {
    /// Both operands and the result, in the order of the calls.
    parts: [Description; 3],
    how: Description,
    bias: Option<Description>,
    algorithm: c_int,
    workspace: usize,
}

/// The library with its handle in one device's context, for one stream.
pub struct Cudnn {
    entries: Entries,
    words: Words,
    handle: Handle,
    /// None where the library has no graphs of attention that Toro would use.
    attentions: Option<Attentions>,
    /// None for what the library does not take.
    plans: HashMap<Convolution, Option<Plan>>,
}

// SAFETY: handles may be used from any thread in which the context is current; the lock around this sees to one at a time.
unsafe impl Send for Cudnn {}

/// The library as it was found.
pub(super) struct Found {
    entries: Entries,
    pub library: Handle,
    /// 92801 for 9.28.1.
    pub number: usize,
    pub words: Words,
}

pub(super) fn open() -> Result<Found, String> {
    let library = driver::open_any(&[NAME])?;
    // Entry points are looked for in the part too: a symbol that its part lacks ends the process when it is called.
    Entries::of(driver::open_any(&[PART])?)?;
    let entries = Entries::of(library)?;
    // SAFETY: it takes nothing.
    let number = unsafe { (entries.version)() };
    let version = version_text(number);
    if number / 10_000 != 9 {
        return Err(format!("it is version {version}, and Toro knows 9"));
    }
    let words = Words {
        status_name: entries.status_name,
        last_error: entries.last_error,
    };
    Ok(Found {
        entries,
        library,
        number,
        words,
    })
}

/// The library's version, or why it cannot be used.
pub fn version() -> Result<String, String> {
    open().map(|found| version_text(found.number))
}

impl Cudnn {
    /// The library for the current context and a stream of it.
    pub fn open(stream: Handle) -> Result<Cudnn, String> {
        let found = open()?;
        let attentions = Attentions::open(&found).ok();
        let Found { entries, words, .. } = found;
        let mut handle = core::ptr::null_mut();
        // SAFETY: the address of a value that outlives the call.
        let status = unsafe { (entries.create)(&mut handle) };
        if status != 0 {
            return Err(format!("cudnnCreate failed with status {status}"));
        }
        // SAFETY: the handle was made, the stream is the caller's.
        let status = unsafe { (entries.set_stream)(handle, stream) };
        if status != 0 {
            // SAFETY: the handle was made and is not used again.
            unsafe { (entries.destroy)(handle) };
            return Err(format!("cudnnSetStream failed with status {status}"));
        }
        Ok(Cudnn {
            entries,
            words,
            handle,
            attentions,
            plans: HashMap::new(),
        })
    }

    /// Runs a convolution; false where the library does not take it, or there is no room for its workspace, which `take`
    /// gives.
    ///
    /// # Safety
    /// The places hold tensors as described; the context that they belong to is current.
    pub unsafe fn run(
        &mut self,
        c: &Convolution,
        tensors: &Tensors,
        take: impl FnOnce(usize) -> Outcome<Scratch>,
    ) -> Outcome<bool> {
        if !self.plans.contains_key(c) {
            let plan = match self.plan(c) {
                Ok(plan) => Some(plan),
                Err(No::Refusal) => None,
                Err(No::Failure(fault)) => return Err(fault),
            };
            self.plans.insert(*c, plan);
        }
        let Some(Some(plan)) = self.plans.get(c) else {
            return Ok(false);
        };
        let workspace = match take(plan.workspace) {
            Ok(workspace) => workspace,
            Err(Fault::OutOfMemory(_)) => return Ok(false),
            Err(fault) => return Err(fault),
        };
        // SAFETY: the caller's promise; the workspace is held until the work is in the stream, behind which its memory is
        // used again.
        match unsafe { self.ask(c, plan, tensors, workspace.address()) } {
            Ok(()) => Ok(true),
            Err(No::Failure(fault)) => Err(fault),
            Err(No::Refusal) => {
                self.plans.insert(*c, None);
                Ok(false)
            }
        }
    }

    /// Attends, as `run` convolves; false also where the library has no graphs for it.
    ///
    /// # Safety
    /// The places hold tensors as described; the context that they belong to is current.
    pub unsafe fn attend(
        &mut self,
        attention: &Attention,
        places: &AttentionPlaces,
        take: impl FnOnce(usize) -> Outcome<Scratch>,
    ) -> Outcome<bool> {
        let Some(attentions) = &mut self.attentions else {
            return Ok(false);
        };
        // SAFETY: the caller's promise.
        unsafe { attentions.run(self.handle, attention, places, take) }
    }

    /// # Safety
    /// As for `run`, with a workspace as the plan wants it.
    unsafe fn ask(
        &self,
        c: &Convolution,
        plan: &Plan,
        tensors: &Tensors,
        workspace: Address,
    ) -> Result<(), No> {
        let e = &self.entries;
        let &Tensors { x, w, y, bias } = tensors;
        let (symbol, run, places): (_, Run, _) = match c.pass {
            Pass::Forward => ("cudnnConvolutionForward", e.forward, [x, w, y]),
            Pass::Data => ("cudnnConvolutionBackwardData", e.data, [w, y, x]),
            Pass::Filter => ("cudnnConvolutionBackwardFilter", e.filter, [x, y, w]),
        };
        let factors = Factors::new([0.0, 1.0], c.kind == Type::F64);
        let (zero, one) = (factors.at(0), factors.at(1));
        let [a, b, result] = &plan.parts;
        // SAFETY: the caller's promise; the plan's parts are the library's own.
        unsafe {
            let status = run(
                self.handle,
                one,
                a.handle,
                places[0],
                b.handle,
                places[1],
                plan.how.handle,
                plan.algorithm,
                workspace,
                plan.workspace,
                zero,
                result.handle,
                places[2],
            );
            self.words.judged(symbol, status)?;
            if let Some(description) = &plan.bias {
                let status = (e.add)(
                    self.handle,
                    one,
                    description.handle,
                    bias,
                    one,
                    result.handle,
                    places[2],
                );
                self.words.judged("cudnnAddTensor", status)?;
            }
        }
        Ok(())
    }

    fn made(
        &self,
        symbol: &str,
        create: unsafe extern "C" fn(*mut Handle) -> Status,
        destroy: unsafe extern "C" fn(Handle) -> Status,
    ) -> Result<Description, No> {
        let mut handle = core::ptr::null_mut();
        // SAFETY: the address of a value that outlives the call.
        self.words.judged(symbol, unsafe { create(&mut handle) })?;
        Ok(Description { handle, destroy })
    }

    fn tensor(
        &self,
        kind: Type,
        rank: usize,
        sizes: &Sizes,
        strides: &Sizes,
    ) -> Result<Description, No> {
        let e = &self.entries;
        let made = self.made(
            "cudnnCreateTensorDescriptor",
            e.tensor_create,
            e.tensor_destroy,
        )?;
        // SAFETY: a description as made, and arrays of at least so many numbers.
        let status = unsafe {
            (e.tensor_set)(
                made.handle,
                kind as c_int,
                rank as c_int,
                sizes.as_ptr(),
                strides.as_ptr(),
            )
        };
        self.words.described("cudnnSetTensorNdDescriptor", status)?;
        Ok(made)
    }

    fn weight(&self, c: &Convolution) -> Result<Description, No> {
        let e = &self.entries;
        let made = self.made(
            "cudnnCreateFilterDescriptor",
            e.filter_create,
            e.filter_destroy,
        )?;
        // SAFETY: as in `tensor`.
        let status = unsafe {
            (e.filter_set)(
                made.handle,
                c.kind as c_int,
                api::NCHW,
                c.rank as c_int,
                c.w.as_ptr(),
            )
        };
        self.words.described("cudnnSetFilterNdDescriptor", status)?;
        Ok(made)
    }

    /// Stride, padding, dilation, groups, and in what the library may compute.
    fn how(&self, c: &Convolution, math: c_int) -> Result<Description, No> {
        let e = &self.entries;
        let made = self.made(
            "cudnnCreateConvolutionDescriptor",
            e.convolution_create,
            e.convolution_destroy,
        )?;
        let sums = match c.kind {
            Type::F64 => Type::F64,
            _ => Type::F32,
        };
        // SAFETY: as in `tensor`.
        unsafe {
            let status = (e.convolution_set)(
                made.handle,
                c.rank as c_int - 2,
                c.padding.as_ptr(),
                c.stride.as_ptr(),
                c.dilation.as_ptr(),
                api::CROSS_CORRELATION,
                sums as c_int,
            );
            self.words
                .described("cudnnSetConvolutionNdDescriptor", status)?;
            let status = (e.convolution_groups)(made.handle, c.groups);
            self.words
                .described("cudnnSetConvolutionGroupCount", status)?;
            let status = (e.convolution_math)(made.handle, math);
            self.words
                .described("cudnnSetConvolutionMathType", status)?;
        }
        Ok(made)
    }

    /// Describes a convolution and asks for an algorithm. What is made stays for good: there are as many plans as shapes.
    fn plan(&self, c: &Convolution) -> Result<Plan, No> {
        let e = &self.entries;
        let math = match c.kind {
            Type::F32 if !c.tf32 => api::FMA_MATH,
            Type::F16 | Type::Bf16 => api::TENSOR_OP_MATH,
            _ => api::DEFAULT_MATH,
        };
        let x = self.tensor(c.kind, c.rank, &c.x, &c.x_strides)?;
        let y = self.tensor(c.kind, c.rank, &c.y, &c.y_strides)?;
        let (w, how) = (self.weight(c)?, self.how(c, math)?);
        let channels = match c.pass {
            Pass::Data => c.x[1],
            _ => c.y[1],
        };
        let bias = if c.bias {
            let sizes = [1, channels, 1, 1, 1];
            let strides = [channels, 1, 1, 1, 1];
            Some(self.tensor(c.kind, c.rank, &sizes, &strides)?)
        } else {
            None
        };
        let (symbol, search, parts): (_, Search, _) = match c.pass {
            Pass::Forward => (
                "cudnnGetConvolutionForwardAlgorithm_v7",
                e.forward_search,
                [x, w, y],
            ),
            Pass::Data => (
                "cudnnGetConvolutionBackwardDataAlgorithm_v7",
                e.data_search,
                [w, y, x],
            ),
            Pass::Filter => (
                "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
                e.filter_search,
                [x, y, w],
            ),
        };
        let (mut found, mut count) = ([Candidate::default(); CANDIDATES], 0);
        // SAFETY: descriptions as made, and room for so many candidates.
        let status = unsafe {
            search(
                self.handle,
                parts[0].handle,
                parts[1].handle,
                how.handle,
                parts[2].handle,
                CANDIDATES as c_int,
                &mut count,
                found.as_mut_ptr(),
            )
        };
        self.words.described(symbol, status)?;
        let exact = math == api::FMA_MATH;
        // Sums that depend on time are the own kernels' work rather, and so is what wants too much room.
        let suits = |a: &&Candidate| {
            a.status == 0
                && a.determinism == api::DETERMINISTIC
                && a.workspace <= WORKSPACE
                && (!exact || a.math == api::DEFAULT_MATH || a.math == api::FMA_MATH)
        };
        let count = usize::try_from(count).unwrap_or(0).min(CANDIDATES);
        let best = found[..count].iter().find(suits).ok_or(No::Refusal)?;
        if !exact {
            // An algorithm is what it is together with its way of multiplying.
            // SAFETY: a description as made.
            let status = unsafe { (e.convolution_math)(how.handle, best.math) };
            self.words
                .described("cudnnSetConvolutionMathType", status)?;
        }
        Ok(Plan {
            parts,
            how,
            bias,
            algorithm: best.algorithm,
            workspace: best.workspace,
        })
    }
}
