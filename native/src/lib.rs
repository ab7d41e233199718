//! Toro's native core: decode and validate instructions, run them on the CPU, own the memory.
//! Data flows `abi` → `instruction` → `ops`; `memory`, `pool` and `simd` stand beside them.

pub mod abi;
pub mod cuda;
pub mod device;
pub mod dtype;
pub mod fault;
pub mod gemm;
pub mod instruction;
pub mod io;
pub mod jobs;
pub mod lanes;
pub mod math;
pub mod memory;
pub mod ops;
pub mod pool;
pub mod random;
pub mod simd;
pub mod stream;
