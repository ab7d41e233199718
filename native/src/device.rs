//! Where a storage lives. Device 0 is the CPU; 1 + i is CUDA device i.

/// A device number as it crosses the boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device(pub u32);

impl Device {
    pub const CPU: Device = Device(0);
    /// Asks for memory of the CPU that is pinned; the storage then lies on the CPU.
    pub const PINNED: Device = Device(1 << 16);
}

impl core::fmt::Display for Device {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            0 => f.write_str("cpu"),
            n => write!(f, "cuda:{}", n - 1),
        }
    }
}
