//! What a native call can report back: a kind, which decides the error class in TypeScript, and a text.

/// A failed call. The code crosses the boundary, the text goes into the caller's buffer.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// An instruction or argument that breaks a rule.
    Invalid(String),
    /// No memory within the budget.
    OutOfMemory(String),
    /// An index in the data lies outside its dimension.
    Index(String),
    /// A panic stopped at the boundary.
    Panic(String),
    /// A device that is missing, refused a call, or has no kernel for an op.
    Device(String),
    /// A device that failed and cannot be used any more.
    Lost(String),
}

impl Fault {
    /// The status code that the boundary returns; 0 is success.
    pub fn code(&self) -> i32 {
        match self {
            Fault::Invalid(_) => 1,
            Fault::OutOfMemory(_) => 2,
            Fault::Index(_) => 3,
            Fault::Panic(_) => 4,
            // 5 stands for a thread that is not registered.
            Fault::Device(_) => 6,
            Fault::Lost(_) => 7,
        }
    }

    /// The text for the caller.
    pub fn text(&self) -> &str {
        match self {
            Fault::Invalid(t)
            | Fault::OutOfMemory(t)
            | Fault::Index(t)
            | Fault::Panic(t)
            | Fault::Device(t)
            | Fault::Lost(t) => t,
        }
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Fault::Invalid(text)
    }
}

/// The result of everything behind the boundary.
pub type Outcome<T = ()> = Result<T, Fault>;

/// `bail!("…")` returns an `Invalid` fault.
#[macro_export]
macro_rules! bail {
    ($($t:tt)*) => { return Err($crate::fault::Fault::Invalid(format!($($t)*))) };
}
