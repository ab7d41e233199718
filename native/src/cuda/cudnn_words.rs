//! What cuDNN answers, and what that means.

use crate::fault::Fault;
use core::ffi::{CStr, c_char, c_int};

/// Status of a function of cuDNN; 0 is success, thousands are categories.
pub type Status = c_int;

const BAD_PARAM: Status = 2;
const NOT_SUPPORTED: Status = 3;
const ALLOCATION_FAILED: [Status; 2] = [4003, 4004];

/// Why a call came to nothing.
pub enum No {
    /// The library does not take what was asked.
    Refusal,
    Failure(Fault),
}

/// What the library says of a call that came to nothing.
#[derive(Clone, Copy)]
pub struct Words {
    pub status_name: unsafe extern "C" fn(Status) -> *const c_char,
    pub last_error: unsafe extern "C" fn(*mut c_char, usize),
}

impl Words {
    /// What a status means. Whatever the category of refusals says, the own kernels take over.
    pub fn judged(&self, symbol: &str, status: Status) -> Result<(), No> {
        match status {
            0 => Ok(()),
            _ if status / 1000 == NOT_SUPPORTED => Err(No::Refusal),
            _ => Err(No::Failure(self.failure(symbol, status))),
        }
    }

    /// As `judged`, while a plan is made: a parameter that the library finds bad is one that it does not take.
    pub fn described(&self, symbol: &str, status: Status) -> Result<(), No> {
        match status / 1000 {
            BAD_PARAM => Err(No::Refusal),
            _ => self.judged(symbol, status),
        }
    }

    fn failure(&self, symbol: &str, status: Status) -> Fault {
        let mut last = [0 as c_char; 512];
        // SAFETY: the name is a constant that ends in a zero; the text has room for so many bytes, and ends in one as well.
        let (name, text) = unsafe {
            let name = (self.status_name)(status);
            (self.last_error)(last.as_mut_ptr(), last.len() - 1);
            let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy());
            (
                name.unwrap_or_default(),
                CStr::from_ptr(last.as_ptr()).to_string_lossy(),
            )
        };
        let colon = if text.is_empty() { "" } else { ": " };
        let text = format!("{symbol} failed: {name} ({status}){colon}{text}");
        if ALLOCATION_FAILED.contains(&status) {
            Fault::OutOfMemory(text)
        } else {
            Fault::Device(text)
        }
    }
}
