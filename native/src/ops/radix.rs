//! A sort by radix on CUDA, for what puts elements in order and what groups them by key. The kernels are in radix.cu.

use crate::cuda::{self, Address, Gpu, Scratch, Shape};
use crate::fault::Outcome;
use crate::ops::walk::cuda::THREADS;

/// As in radix.cu.
const TILE: usize = 4096;
const BUCKETS: usize = 256;
/// With so few tiles a block joins the counts of a slice, else one for each byte does.
const FEW: usize = 16;

#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    slices: i64,
    length: i64,
    tiles: i64,
    keys: u64,
    sorted_keys: u64,
    places: u64,
    sorted_places: u64,
    counts: u64,
    totals: u64,
    byte: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Arguments>() == 80);

/// Unsigned keys of 4 or 8 bytes, and as many places (uint32) of what they belong to.
pub struct Pairs {
    scratch: Scratch,
    elements: usize,
    key_bytes: usize,
}

impl Pairs {
    pub fn new(gpu: &'static Gpu, elements: usize, key_bytes: usize) -> Outcome<Pairs> {
        Ok(Pairs {
            scratch: Scratch::new(gpu, elements * (key_bytes + 4))?,
            elements,
            key_bytes,
        })
    }

    pub fn keys(&self) -> Address {
        self.scratch.address()
    }

    pub fn places(&self) -> Address {
        self.keys() + (self.elements * self.key_bytes) as u64
    }
}

/// Sorts slices of `length` by the lowest `bytes` of their keys; equal ones stay in the order in which they lie. Places are
/// those of the pairs or, unless `has_places`, where a key lies in its slice.
pub fn sort(
    gpu: &'static Gpu,
    pairs: Pairs,
    length: usize,
    bytes: usize,
    has_places: bool,
) -> Outcome<Pairs> {
    if pairs.elements == 0 {
        return Ok(pairs);
    }
    let (slices, tiles) = (pairs.elements / length, length.div_ceil(TILE));
    let rows = slices * BUCKETS;
    let joins = if tiles <= FEW { slices } else { rows };
    let counts = Scratch::new(gpu, rows * (tiles + 1) * 4)?;
    let mut from = pairs;
    let mut to = Pairs::new(gpu, from.elements, from.key_bytes)?;
    let suffix = if from.key_bytes == 8 { "_u64" } else { "_u32" };
    for byte in 0..bytes {
        let a = Arguments {
            slices: slices as i64,
            length: length as i64,
            tiles: tiles as i64,
            keys: from.keys(),
            sorted_keys: to.keys(),
            places: if has_places || byte > 0 {
                from.places()
            } else {
                0
            },
            sorted_places: to.places(),
            counts: counts.address(),
            totals: counts.address() + (rows * tiles * 4) as u64,
            byte: byte as i32,
            unused: 0,
        };
        for (kernel, blocks) in [
            (("radix_count", suffix), slices * tiles),
            (("radix_offsets", "_all"), joins),
            (("radix_place", suffix), slices * tiles),
        ] {
            let shape = Shape::line(cuda::blocks_for(blocks, 1, gpu), THREADS);
            // SAFETY: mirrors the kernels' parameter; the memory is scratch that is held, of the sizes above.
            unsafe { gpu.launch(kernel, shape, &a)? };
        }
        core::mem::swap(&mut from, &mut to);
    }
    Ok(from)
}
