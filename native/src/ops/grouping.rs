//! Grouping by key on CUDA: what gradients of rows, scattered writes and weighted counts have in common. Things with equal
//! keys come together in the order of the data, so that sums do not depend on time. The kernels are in grouping.cu.

use crate::cuda::{self, Gpu, Scratch, Shape};
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::ops::walk::cuda::{THREADS, launch_in};

/// As in grouping.cu.
pub const TILE: usize = 2048;
const DIGITS: usize = 64;
const BITS: u32 = 6;

#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    n: i64,
    tiles: i64,
    shift: i32,
    is_first: i32,
    limit: u64,
    keys: u64,
    keys_out: u64,
    order: u64,
    order_out: u64,
    counts: u64,
    starts: u64,
    count: u64,
}
const _: () = assert!(size_of::<Arguments>() == 88);

#[repr(C)]
#[derive(Clone, Copy)]
struct Scan {
    x: u64,
    n: i64,
}

/// What kernels see of groups; mirrors Groups in grouping.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    keys: u64,
    order: u64,
    starts: u64,
    count: u64,
}

/// Room for n keys (uint64) that a kernel of the caller's fills.
pub struct Keys {
    gpu: &'static Gpu,
    scratch: Scratch,
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
            scratch: Scratch::new(gpu, n * 8)?,
            n,
        })
    }

    pub fn address(&self) -> u64 {
        self.scratch.address()
    }
}

/// Things grouped by key.
pub struct Groups {
    keys: Scratch,
    order: Scratch,
    starts: Scratch,
    /// One int64: how many groups there are.
    count: Scratch,
}

impl Groups {
    /// Groups what has a key below the limit; keys from there on belong to no group and must not be above it.
    pub fn new(call: &Call, keys: Keys, limit: u64) -> Outcome<Groups> {
        let Keys {
            gpu,
            scratch: mut from,
            n,
        } = keys;
        let tiles = n.div_ceil(TILE);
        let mut to = Scratch::new(gpu, n * 8)?;
        let mut order = Scratch::new(gpu, n * 4)?;
        let mut order_to = Scratch::new(gpu, n * 4)?;
        let counts = Scratch::new(gpu, (tiles * DIGITS + 1) * 8)?;
        let starts = Scratch::new(gpu, (n + 1) * 4)?;
        let count = Scratch::new(gpu, 8)?;
        let mut a = Arguments {
            n: n as i64,
            tiles: tiles as i64,
            shift: 0,
            is_first: 1,
            limit,
            keys: 0,
            keys_out: 0,
            order: 0,
            order_out: 0,
            counts: counts.address(),
            starts: starts.address(),
            count: count.address(),
        };
        let bits = (u64::BITS - limit.leading_zeros()).max(1);
        for shift in (0..bits).step_by(BITS as usize) {
            (a.keys, a.keys_out) = (from.address(), to.address());
            (a.order, a.order_out) = (order.address(), order_to.address());
            a.shift = shift as i32;
            a.is_first = i32::from(shift == 0);
            launch_in(call, ("group_count", ""), tiles, &a)?;
            scan(gpu, counts.address(), tiles * DIGITS)?;
            launch_in(call, ("group_scatter", ""), tiles, &a)?;
            core::mem::swap(&mut from, &mut to);
            core::mem::swap(&mut order, &mut order_to);
        }
        a.keys = from.address();
        launch_in(call, ("group_heads", ""), tiles, &a)?;
        scan(gpu, counts.address(), tiles)?;
        launch_in(call, ("group_starts", ""), tiles.max(1), &a)?;
        Ok(Groups {
            keys: from,
            order,
            starts,
            count,
        })
    }

    pub fn view(&self) -> View {
        View {
            keys: self.keys.address(),
            order: self.order.address(),
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
