//! NVIDIA's libraries on a device: which are wanted and found, and the calls that go to them. Without one the own kernels
//! do its work.

use super::cublas_lt::{self, CublasLt, Places, Product};
use super::cudnn::{self, Convolution, Cudnn, Tensors};
use super::cudnn_attention::{self, Attention, AttentionPlaces};
use super::gpu::{Gpu, lock};
use super::nvrtc;
use super::{Scratch, driver::Handle};
use crate::fault::Outcome;
use core::ffi::c_void;
use serde_json::{Value, json};
use std::sync::{Mutex, OnceLock};

/// Declares the entry points of a library, all of which must be there: the field, the symbol, the type.
macro_rules! entries {
    ($($name:ident = $symbol:literal ($($type:ty),*) -> $out:ty;)*) => {
        struct Entries {
            $($name: unsafe extern "C" fn($($type),*) -> $out,)*
        }

        impl Entries {
            /// Those of an open library, or the first one that it lacks.
            fn of(library: driver::Handle) -> Result<Entries, String> {
                let find = |symbol: &str| driver::find(library, symbol).ok_or_else(|| format!("it lacks {symbol}"));
                // SAFETY: the symbols have these types in the versions of the library that are looked for.
                Ok(unsafe { Entries {
                    $($name: core::mem::transmute::<driver::Handle, unsafe extern "C" fn($($type),*) -> $out>(find($symbol)?),)*
                } })
            }
        }
    };
}
pub(super) use entries;

/// Two factors as a library reads them: of float64 where that is what it computes in, else of float32.
pub struct Factors {
    narrow: [f32; 2],
    wide: [f64; 2],
    is_wide: bool,
}

impl Factors {
    pub fn new(wide: [f64; 2], is_wide: bool) -> Factors {
        Factors {
            narrow: wide.map(|x| x as f32),
            wide,
            is_wide,
        }
    }

    /// The address of one of them, good while they live.
    pub fn at(&self, i: usize) -> *const c_void {
        if self.is_wide {
            core::ptr::from_ref(&self.wide[i]).cast()
        } else {
            core::ptr::from_ref(&self.narrow[i]).cast()
        }
    }
}

/// 92801 as 9.28.1.
pub fn version_text(version: usize) -> String {
    let (major, minor) = (version / 10_000, version / 100 % 100);
    format!("{major}.{minor}.{}", version % 100)
}

/// The libraries of one device, each looked for when it is first asked for something; None where it is not wanted, not
/// found, or does not take the device.
#[derive(Default)]
pub struct Libraries {
    cublas_lt: OnceLock<Option<Mutex<CublasLt>>>,
    cudnn: OnceLock<Option<Mutex<Cudnn>>>,
}

const CUBLAS_LT: &str = "cuBLASLt";
const CUDNN: &str = "cuDNN";

/// Whether a library may be used: TORO_CUDA_LIBRARIES names those that may, `0` none; without it all may.
fn is_wanted(name: &str) -> bool {
    match std::env::var("TORO_CUDA_LIBRARIES") {
        Ok(names) if !names.is_empty() => names.split(',').any(|n| n.eq_ignore_ascii_case(name)),
        _ => true,
    }
}

/// What a job of kind `cuda_libraries` answers: each library's version, or why it is not used.
pub fn describe() -> Value {
    let of = |name: &str, library: &str, version: fn() -> Result<String, String>| {
        let found = if is_wanted(library) {
            version()
        } else {
            Err("TORO_CUDA_LIBRARIES does not name it".into())
        };
        json!({ "name": name, "version": found.as_ref().ok(), "reason": found.as_ref().err() })
    };
    json!([
        of(CUBLAS_LT, CUBLAS_LT, cublas_lt::version),
        of(CUDNN, CUDNN, cudnn::version),
        of("cuDNN attention", CUDNN, cudnn_attention::version),
        of("NVRTC", CUDNN, nvrtc::version),
    ])
}

impl Gpu {
    /// Has cuBLASLt multiply, behind all work so far; false where it is not there or has no algorithm for the product.
    ///
    /// # Safety
    /// The places hold matrices of this device as the product describes them.
    pub unsafe fn multiply(
        &'static self,
        product: &Product,
        places: Places,
        factors: (f64, f64),
    ) -> Outcome<bool> {
        let stream = self.entered()?;
        let library = self.libraries.cublas_lt.get_or_init(|| {
            let wanted = is_wanted(CUBLAS_LT);
            wanted.then(CublasLt::open).flatten().map(Mutex::new)
        });
        let Some(library) = library else {
            return Ok(false);
        };
        let take = |bytes| self.take(bytes);
        // SAFETY: the caller's promise; the context is current.
        let done = unsafe { lock(library).run(product, places, factors, stream, take) };
        self.noted(done)
    }

    /// cuDNN, with the context current; None where it is not wanted, not found, or does not take the device.
    fn cudnn(&'static self) -> Outcome<Option<&'static Mutex<Cudnn>>> {
        let stream: Handle = self.entered()?;
        let library = self.libraries.cudnn.get_or_init(|| {
            let opened = is_wanted(CUDNN).then(|| Cudnn::open(stream));
            opened.and_then(Result::ok).map(Mutex::new)
        });
        Ok(library.as_ref())
    }

    /// Has cuDNN convolve, behind all work so far; false where it is not there or does not take the convolution: what it
    /// should have written is to be written anew then.
    ///
    /// # Safety
    /// The places hold tensors of this device as the convolution describes them.
    pub unsafe fn convolve(
        &'static self,
        convolution: &Convolution,
        tensors: &Tensors,
    ) -> Outcome<bool> {
        let Some(library) = self.cudnn()? else {
            return Ok(false);
        };
        let take = |bytes| Scratch::new(self, bytes);
        // SAFETY: the caller's promise; the context is current.
        let done = unsafe { lock(library).run(convolution, tensors, take) };
        self.noted(done)
    }

    /// Has cuDNN attend, forward or backward, as `convolve`.
    ///
    /// # Safety
    /// The places hold tensors of this device as the attention describes them.
    pub unsafe fn attend(
        &'static self,
        attention: &Attention,
        places: &AttentionPlaces,
    ) -> Outcome<bool> {
        let Some(library) = self.cudnn()? else {
            return Ok(false);
        };
        let take = |bytes| Scratch::new(self, bytes);
        // SAFETY: the caller's promise; the context is current.
        let done = unsafe { lock(library).attend(attention, places, take) };
        self.noted(done)
    }
}
