//! Grouping by key on CUDA: what gradients of rows, scattered writes and weighted counts have in common. Things with equal
//! keys come together in the order of the data, so that sums do not depend on time. The kernels are in grouping.cu.

use crate::cuda::{self, Gpu, Scratch, Shape};
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::ops::radix::{self, Pairs};
use crate::ops::walk::cuda::{THREADS, launch_in};

/// As in grouping.cu.
pub const TILE: usize = 2048;
/// As in few.cuh.
const FEW_RUN: usize = 256;
const BUCKETS: usize = 256;
/// So many things one block groups in one launch, and it has the shared memory for it on every device.
const FEW: usize = 8192;

#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    n: i64,
    tiles: i64,
    limit: u64,
    keys: u64,
    counts: u64,
    starts: u64,
    count: u64,
}
const _: () = assert!(size_of::<Arguments>() == 56);

#[repr(C)]
#[derive(Clone, Copy)]
struct Scan {
    x: u64,
    n: i64,
}

/// What a kernel that groups few things at once is given; mirrors Few in few.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Few {
    n: i64,
    limit: u64,
    bytes: i64,
    keys: u64,
    order: u64,
    starts: u64,
    count: u64,
}
const _: () = assert!(size_of::<Few>() == 56);

impl Few {
    /// One block with a warp for each run.
    pub fn shape(&self) -> Shape {
        let warps = (self.n as usize).div_ceil(FEW_RUN).max(1);
        Shape {
            grid: [1; 3],
            threads: warps as u32 * 32,
            shared: warps * (FEW_RUN * 6 + BUCKETS * 4 + 4) + BUCKETS * 4,
        }
    }
}

/// What kernels see of groups; mirrors Groups in grouping.cuh.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct View {
    keys: u64,
    order: u64,
    starts: u64,
    count: u64,
}

/// Room for n keys (uint64) that a kernel of the caller's fills.
pub struct Keys {
    gpu: &'static Gpu,
    pairs: Pairs,
    n: usize,
}

impl Keys {
    pub fn new(call: &Call, n: usize) -> Outcome<Keys> {
        call.require(n < u32::MAX as usize, || {
            format!("{n} elements are too many to be put in order")
        })?;
        let gpu = cuda::gpu(call.device)?;
        Ok(Keys {
            gpu,
            pairs: Pairs::new(gpu, n, 8)?,
            n,
        })
    }

    pub fn address(&self) -> u64 {
        self.pairs.keys()
    }

    /// Groups that are yet to be made by a kernel, and what it is given; the keys come back where there are too many.
    pub fn few(self, limit: u64) -> Outcome<Result<(Groups, Few), Keys>> {
        if self.n > FEW || limit >= u64::from(u32::MAX) {
            return Ok(Err(self));
        }
        let Keys { gpu, pairs, n } = self;
        let groups = Groups {
            sorted: pairs,
            starts: Scratch::new(gpu, (n + 1) * 4)?,
            count: Scratch::new(gpu, 8)?,
        };
        let few = Few {
            n: n as i64,
            limit,
            bytes: bytes_of(limit) as i64,
            keys: groups.sorted.keys(),
            order: groups.sorted.places(),
            starts: groups.starts.address(),
            count: groups.count.address(),
        };
        Ok(Ok((groups, few)))
    }
}

/// Bytes that keys up to a limit have.
fn bytes_of(limit: u64) -> usize {
    (u64::BITS - limit.leading_zeros()).max(1).div_ceil(8) as usize
}

/// Things grouped by key.
pub struct Groups {
    sorted: Pairs,
    starts: Scratch,
    /// One int64: how many groups there are.
    count: Scratch,
}

impl Groups {
    /// Groups what has a key below the limit; keys from there on belong to no group and must not be above it.
    pub fn new(call: &Call, keys: Keys, limit: u64) -> Outcome<Groups> {
        let Keys { gpu, pairs, n } = match keys.few(limit)? {
            Ok((groups, few)) => {
                let gpu = cuda::gpu(call.device)?;
                // SAFETY: mirrors the kernel's parameter; it names scratch memory that is held.
                unsafe { gpu.launch(("group_few", ""), few.shape(), &few)? };
                return Ok(groups);
            }
            Err(keys) => keys,
        };
        let sorted = radix::sort(gpu, pairs, n, bytes_of(limit), false)?;
        let tiles = n.div_ceil(TILE);
        let counts = Scratch::new(gpu, (tiles + 1) * 8)?;
        let starts = Scratch::new(gpu, (n + 1) * 4)?;
        let count = Scratch::new(gpu, 8)?;
        let a = Arguments {
            n: n as i64,
            tiles: tiles as i64,
            limit,
            keys: sorted.keys(),
            counts: counts.address(),
            starts: starts.address(),
            count: count.address(),
        };
        launch_in(call, ("group_heads", ""), tiles, &a)?;
        scan(gpu, counts.address(), tiles)?;
        launch_in(call, ("group_starts", ""), tiles.max(1), &a)?;
        Ok(Groups {
            sorted,
            starts,
            count,
        })
    }

    pub fn view(&self) -> View {
        View {
            keys: self.sorted.keys(),
            order: self.sorted.places(),
            starts: self.starts.address(),
            count: self.count.address(),
        }
    }
}

/// Replaces each of n int64 by the sum of those before it; there is room for the sum of all behind them.
pub fn scan(gpu: &Gpu, x: u64, n: usize) -> Outcome {
    let a = Scan { x, n: n as i64 };
    // SAFETY: mirrors the kernel's parameter; the numbers lie in scratch memory that is held.
    unsafe { gpu.launch(("group_scan", ""), Shape::line(1, THREADS), &a) }
}
