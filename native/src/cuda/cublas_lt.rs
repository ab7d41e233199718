//! cuBLASLt, opened where it is found: matrix products with a bias and ReLU in one call. What its heuristic picks is kept
//! for each shape. Its matrices lie column by column; who calls sees to that.

use super::driver::{self, Address, Handle};
use super::libraries::{Factors, entries, version_text};
use crate::fault::{Fault, Outcome};
use core::ffi::{c_int, c_void};
use std::collections::HashMap;

/// Status of a function of cuBLASLt; 0 is success.
type Status = c_int;

const NAMES: [&str; 3] = ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"];

entries! {
    version = "cublasLtGetVersion" () -> usize;
    create = "cublasLtCreate" (*mut Handle) -> Status;
    desc_create = "cublasLtMatmulDescCreate" (*mut Handle, c_int, c_int) -> Status;
    desc_set = "cublasLtMatmulDescSetAttribute" (Handle, c_int, *const c_void, usize) -> Status;
    layout_create = "cublasLtMatrixLayoutCreate" (*mut Handle, c_int, u64, u64, i64) -> Status;
    layout_set = "cublasLtMatrixLayoutSetAttribute" (Handle, c_int, *const c_void, usize) -> Status;
    preference_create = "cublasLtMatmulPreferenceCreate" (*mut Handle) -> Status;
    preference_set = "cublasLtMatmulPreferenceSetAttribute" (Handle, c_int, *const c_void, usize) -> Status;
    preference_destroy = "cublasLtMatmulPreferenceDestroy" (Handle) -> Status;
    heuristic = "cublasLtMatmulAlgoGetHeuristic" (Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Heuristic, *mut c_int) -> Status;
    matmul = "cublasLtMatmul" (Handle, Handle, *const c_void, Address, Handle, Address, Handle, *const c_void, Address, Handle, Address, Handle, *const Algorithm, Address, usize, Handle) -> Status;
}

/// Numbers of the API: attributes, element types, kinds of sums, what is done at the end of a product.
mod api {
    use core::ffi::c_int;
    pub const TRANSPOSE_A: c_int = 3;
    pub const TRANSPOSE_B: c_int = 4;
    pub const EPILOGUE: c_int = 7;
    pub const BIAS_POINTER: c_int = 8;
    pub const BIAS_TYPE: c_int = 26;
    pub const BATCH_COUNT: c_int = 5;
    pub const BATCH_STRIDE: c_int = 6;
    pub const WORKSPACE_BYTES: c_int = 1;
    pub const ALIGNMENT: [c_int; 4] = [5, 6, 7, 8];
    pub const RELU: c_int = 2;
    pub const BIAS: c_int = 4;
    pub const DEFAULT: c_int = 1;
    pub const SUM_32F: c_int = 68;
    pub const SUM_64F: c_int = 70;
    pub const SUM_TF32: c_int = 77;
}

/// Element types by the API's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Type {
    F32 = 0,
    F64 = 1,
    F16 = 2,
    Bf16 = 14,
}

/// How an algorithm is written down; only the library can read it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Algorithm([u64; 8]);

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Heuristic {
    algorithm: Algorithm,
    workspace: usize,
    state: Status,
    waves: f32,
    reserved: [c_int; 4],
}
const _: () = assert!(size_of::<Heuristic>() == 96);

/// One factor or the result: columns of neighbours, or rows of them where transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrix {
    pub kind: Type,
    pub transposed: bool,
    /// Elements from one column (or row) to the next.
    pub leading: i64,
    /// Elements from one matrix of a batch to the next.
    pub batch_stride: i64,
    /// The largest power of two, up to 256, on whose multiple every column and matrix begins.
    pub alignment: u32,
}

/// D (m, n) = alpha · A (m, k) · B (k, n) + beta · D, plus a bias for each row, negatives as 0 where asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub batch: usize,
    pub a: Matrix,
    pub b: Matrix,
    pub d: Matrix,
    pub bias: Option<Type>,
    pub relu: bool,
    /// Whether float32 may be rounded to TF32.
    pub tf32: bool,
}

/// Where the operands of a product lie; a bias where the product has one.
#[derive(Clone, Copy)]
pub struct Places {
    pub a: Address,
    pub b: Address,
    pub d: Address,
    pub bias: Address,
}

/// What the library was told of a product, and what it picked for it.
struct Plan {
    desc: Handle,
    a: Handle,
    b: Handle,
    d: Handle,
    algorithm: Algorithm,
    workspace: usize,
}

/// The library with its handle in one device's context.
pub struct CublasLt {
    entries: Entries,
    handle: Handle,
    /// None for what the library has no algorithm for.
    plans: HashMap<Product, Option<Plan>>,
    workspace: Option<Address>,
}

// SAFETY: handles may be used from any thread in which the context is current; the lock around this sees to one at a time.
unsafe impl Send for CublasLt {}

/// What an algorithm may use beside its operands.
pub const WORKSPACE: usize = 32 << 20;

fn open() -> Result<Entries, String> {
    Entries::of(driver::open_any(&NAMES)?)
}

/// The library's version, or why it cannot be used.
pub fn version() -> Result<String, String> {
    // SAFETY: it takes nothing.
    open().map(|entries| version_text(unsafe { (entries.version)() }))
}

fn checked(symbol: &str, status: Status) -> Outcome {
    match status {
        0 => Ok(()),
        3 => Err(Fault::OutOfMemory(format!("{symbol} found no memory"))),
        _ => Err(Fault::Device(format!(
            "{symbol} failed with status {status}"
        ))),
    }
}

impl CublasLt {
    /// The library for the current context; None where it is not found or does not take this device.
    pub fn open() -> Option<CublasLt> {
        let entries = open().ok()?;
        let mut handle = core::ptr::null_mut();
        // SAFETY: the address of a value that outlives the call.
        (unsafe { (entries.create)(&mut handle) } == 0).then_some(CublasLt {
            entries,
            handle,
            plans: HashMap::new(),
            workspace: None,
        })
    }

    /// Runs a product on a stream; false where the library has no algorithm for it. `take` gives the workspace.
    ///
    /// # Safety
    /// The places hold matrices as described; the context that they belong to is current.
    pub unsafe fn run(
        &mut self,
        product: &Product,
        places: Places,
        (alpha, beta): (f64, f64),
        stream: Handle,
        take: impl FnOnce(usize) -> Outcome<Address>,
    ) -> Outcome<bool> {
        if !self.plans.contains_key(product) {
            let plan = self.plan(product)?;
            self.plans.insert(*product, plan);
        }
        let Some(Some(plan)) = self.plans.get(product) else {
            return Ok(false);
        };
        let workspace = match self.workspace {
            _ if plan.workspace == 0 => 0,
            Some(address) => address,
            None => *self.workspace.insert(take(WORKSPACE)?),
        };
        let factors = Factors::new([alpha, beta], product.d.kind == Type::F64);
        // SAFETY: the caller's promise; the plan's parts are the library's own.
        unsafe {
            if product.bias.is_some() {
                self.set_desc(plan.desc, api::BIAS_POINTER, &places.bias)?;
            }
            let status = (self.entries.matmul)(
                self.handle,
                plan.desc,
                factors.at(0),
                places.a,
                plan.a,
                places.b,
                plan.b,
                factors.at(1),
                places.d,
                plan.d,
                places.d,
                plan.d,
                &plan.algorithm,
                workspace,
                plan.workspace,
                stream,
            );
            checked("cublasLtMatmul", status).map(|()| true)
        }
    }

    /// # Safety
    /// A living description, and a value of the attribute's type.
    unsafe fn set_desc<T>(&self, desc: Handle, attribute: c_int, value: &T) -> Outcome {
        // SAFETY: the caller's promise.
        let status = unsafe {
            (self.entries.desc_set)(
                desc,
                attribute,
                core::ptr::from_ref(value).cast(),
                size_of::<T>(),
            )
        };
        checked("cublasLtMatmulDescSetAttribute", status)
    }

    /// A matrix of so many rows and columns as it lies in memory.
    fn layout(&self, x: &Matrix, (rows, columns): (usize, usize), batch: usize) -> Outcome<Handle> {
        let (rows, columns) = if x.transposed {
            (columns, rows)
        } else {
            (rows, columns)
        };
        let mut layout = core::ptr::null_mut();
        // SAFETY: addresses of values that outlive the calls, of the attributes' types.
        unsafe {
            let made = (self.entries.layout_create)(
                &mut layout,
                x.kind as c_int,
                rows as u64,
                columns as u64,
                x.leading,
            );
            checked("cublasLtMatrixLayoutCreate", made)?;
            let set = |attribute: c_int, value: *const c_void, bytes: usize| {
                let status = (self.entries.layout_set)(layout, attribute, value, bytes);
                checked("cublasLtMatrixLayoutSetAttribute", status)
            };
            let count = batch as i32;
            set(api::BATCH_COUNT, core::ptr::from_ref(&count).cast(), 4)?;
            set(
                api::BATCH_STRIDE,
                core::ptr::from_ref(&x.batch_stride).cast(),
                8,
            )?;
        }
        Ok(layout)
    }

    /// Asks the library for an algorithm. What it made stays for good: there are as many plans as shapes.
    fn plan(&self, p: &Product) -> Outcome<Option<Plan>> {
        let (sum, scale) = match p.d.kind {
            Type::F64 => (api::SUM_64F, Type::F64),
            _ if p.tf32 && p.a.kind == Type::F32 => (api::SUM_TF32, Type::F32),
            _ => (api::SUM_32F, Type::F32),
        };
        let mut desc = core::ptr::null_mut();
        // SAFETY: the address of a value that outlives the call.
        let made = unsafe { (self.entries.desc_create)(&mut desc, sum, scale as c_int) };
        checked("cublasLtMatmulDescCreate", made)?;
        let mut epilogue = 0;
        if p.relu {
            epilogue |= api::RELU;
        }
        if p.bias.is_some() {
            epilogue |= api::BIAS;
        }
        if epilogue == 0 {
            epilogue = api::DEFAULT;
        }
        // SAFETY: values of the attributes' types.
        unsafe {
            self.set_desc(desc, api::TRANSPOSE_A, &c_int::from(p.a.transposed))?;
            self.set_desc(desc, api::TRANSPOSE_B, &c_int::from(p.b.transposed))?;
            self.set_desc(desc, api::EPILOGUE, &epilogue)?;
            if let Some(kind) = p.bias {
                self.set_desc(desc, api::BIAS_TYPE, &(kind as c_int))?;
            }
        }
        let a = self.layout(&p.a, (p.m, p.k), p.batch)?;
        let b = self.layout(&p.b, (p.k, p.n), p.batch)?;
        let d = self.layout(&p.d, (p.m, p.n), p.batch)?;
        let mut preference = core::ptr::null_mut();
        let (mut found, mut count) = (Heuristic::default(), 0);
        // SAFETY: addresses of values that outlive the calls, of the attributes' types.
        let status = unsafe {
            let made = (self.entries.preference_create)(&mut preference);
            checked("cublasLtMatmulPreferenceCreate", made)?;
            let alignments = [p.a.alignment, p.b.alignment, p.d.alignment, p.d.alignment];
            let set = |attribute: c_int, value: *const c_void, bytes: usize| {
                let status = (self.entries.preference_set)(preference, attribute, value, bytes);
                checked("cublasLtMatmulPreferenceSetAttribute", status)
            };
            set(
                api::WORKSPACE_BYTES,
                core::ptr::from_ref(&WORKSPACE).cast(),
                8,
            )?;
            for (attribute, alignment) in api::ALIGNMENT.into_iter().zip(&alignments) {
                set(attribute, core::ptr::from_ref(alignment).cast(), 4)?;
            }
            let status = (self.entries.heuristic)(
                self.handle,
                desc,
                a,
                b,
                d,
                d,
                preference,
                1,
                &mut found,
                &mut count,
            );
            (self.entries.preference_destroy)(preference);
            status
        };
        // No algorithm is no error: the own kernel takes such a product.
        Ok(
            (status == 0 && count > 0 && found.state == 0).then_some(Plan {
                desc,
                a,
                b,
                d,
                algorithm: found.algorithm,
                workspace: found.workspace.min(WORKSPACE),
            }),
        )
    }
}
