//! Order on CUDA; the kernels and how they work together are in sorting.cu.

use super::Slices;
use crate::bail;
use crate::cuda::{self, Gpu, Shape};
use crate::dtype::DType;
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::lines::{Lines, Part, THREADS};
use crate::ops::radix::{self, Pairs};

/// As in sorting.cu.
const SORT_TILE: usize = 2048;
/// Where no more of each slice is asked for, tiles are sorted level by level; else slices by radix.
const FEW: usize = 256;
/// Elements of slices that are sorted at a time, which bounds the memory beside.
const GROUP: usize = 1 << 25;

/// What kernels are given; mirrors Sort in sorting.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sort {
    lines: Lines,
    first_slice: i64,
    slices: i64,
    length: i64,
    tiles: i64,
    keep: i64,
    from: i64,
    keys: u64,
    sorted_keys: u64,
    places: u64,
    sorted_places: u64,
    is_descending: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Sort>() == 2624);

/// Slices that are put in order, in groups.
struct Sorter {
    gpu: &'static Gpu,
    dtype: DType,
    arguments: Sort,
}

impl Sorter {
    fn new(call: &Call, lines: Lines, dtype: DType, is_descending: bool) -> Outcome<Sorter> {
        let arguments = Sort {
            first_slice: 0,
            slices: lines.count() as i64,
            length: lines.length() as i64,
            tiles: 1,
            keep: 0,
            from: 0,
            keys: 0,
            sorted_keys: 0,
            places: 0,
            sorted_places: 0,
            is_descending: i32::from(is_descending),
            unused: 0,
            lines,
        };
        Ok(Sorter {
            gpu: cuda::gpu(call.device)?,
            dtype,
            arguments,
        })
    }

    fn key_bytes(&self) -> usize {
        if self.dtype.size() == 8 { 8 } else { 4 }
    }

    fn launch(&self, kernel: &'static str, a: &Sort, blocks: usize, threads: u32) -> Outcome {
        let suffix = match kernel {
            "sort_store" => "_all",
            _ if self.key_bytes() == 8 => "_u64",
            _ => "_u32",
        };
        let shape = Shape::line(cuda::blocks_for(blocks, 1, self.gpu), threads);
        // SAFETY: mirrors the kernels'; operands were checked and are held, pairs are as many as `tiled` and `radix`
        // say.
        unsafe { self.gpu.launch((kernel, suffix), shape, a) }
    }

    /// The first `keep` of each slice, by tiles: the memory of their places.
    fn tiled(&self, group: &mut Sort, keep: usize) -> Outcome<Pairs> {
        let (slices, n) = (group.slices as usize, group.length as usize);
        let tiles = n.div_ceil(SORT_TILE);
        let last = n - (tiles - 1) * SORT_TILE;
        let kept = (tiles - 1) * keep + last.min(keep);
        let pairs = Pairs::new(self.gpu, slices * kept, self.key_bytes())?;
        (group.tiles, group.keep) = (tiles as i64, keep as i64);
        (group.sorted_keys, group.sorted_places) = (pairs.keys(), pairs.places());
        let width = n.min(SORT_TILE).next_power_of_two();
        let threads = (width / 2).clamp(32, THREADS as usize) as u32;
        self.launch("sort_tiles", group, slices * tiles, threads)?;
        (group.keys, group.places) = (pairs.keys(), pairs.places());
        group.length = kept as i64;
        if tiles == 1 {
            Ok(pairs)
        } else {
            self.tiled(group, keep)
        }
    }

    /// All of each slice, by radix: the memory of their places. An order in `group.places` is kept among equal keys.
    fn radix(&self, group: &mut Sort) -> Outcome<Pairs> {
        let (slices, n) = (group.slices as usize, group.length as usize);
        let pairs = Pairs::new(self.gpu, slices * n, self.key_bytes())?;
        (group.sorted_keys, group.sorted_places) = (pairs.keys(), pairs.places());
        let blocks = (slices * n).div_ceil(THREADS as usize);
        self.launch("sort_keys", group, blocks, THREADS)?;
        let sorted = radix::sort(self.gpu, pairs, n, self.dtype.size(), true)?;
        group.places = sorted.places();
        Ok(sorted)
    }

    /// Stores places `from..from + wanted` of each slice's order.
    fn store(&self, from: usize, wanted: usize) -> Outcome {
        let n = self.arguments.length as usize;
        let height = (GROUP / n.max(1)).max(1);
        let count = self.arguments.slices as usize;
        for first in (0..count).step_by(height) {
            let mut group = self.arguments;
            group.first_slice = first as i64;
            group.slices = height.min(count - first) as i64;
            let keep = from + wanted;
            let _order = if n <= SORT_TILE || keep <= FEW {
                self.tiled(&mut group, keep)?
            } else {
                self.radix(&mut group)?
            };
            self.finish(&mut group, from, wanted)?;
        }
        Ok(())
    }

    fn finish(&self, group: &mut Sort, from: usize, wanted: usize) -> Outcome {
        (group.from, group.keep) = (from as i64, wanted as i64);
        let things = group.slices as usize * wanted;
        self.launch(
            "sort_store",
            group,
            things.div_ceil(THREADS as usize),
            THREADS,
        )
    }
}

/// Stores `wanted` elements of each slice's order, from one on.
fn run(call: &Call, dim: usize, is_descending: bool, from: usize, wanted: usize) -> Outcome {
    let (out, x) = (call.outs(), &call.ins()[0]);
    let parts = [Part::of(&out[0]), Part::of(&out[1]), Part::of(x)];
    let lines = Lines::new(call, x.dims(), |d| d == dim, &parts)?;
    if wanted == 0 || lines.count() == 0 || lines.length() == 0 {
        return Ok(());
    }
    Sorter::new(call, lines, x.dtype, is_descending)?.store(from, wanted)
}

/// Where the least `wanted` of each line come from, the least first: operand 1 gets their places, operand 2 is read. There
/// are some lines, and each has so many elements.
pub fn first_places(call: &Call, lines: Lines, dtype: DType, wanted: usize) -> Outcome {
    if wanted == 0 {
        return Ok(());
    }
    Sorter::new(call, lines, dtype, false)?.store(0, wanted)
}

pub fn sort(call: &Call) -> Outcome {
    let (dim, flip) = (call.count(0)?, call.count(1)? == 1);
    let n = call.ins()[0].dims().get(dim).copied().unwrap_or(0);
    Slices::new(call, dim, n)?;
    run(call, dim, flip, 0, n)
}

/// What is not asked to be sorted is sorted all the same.
pub fn topk(call: &Call) -> Outcome {
    let (dim, flip) = (call.count(0)?, call.count(1)? == 1);
    let k = call.outs()[0].dims().get(dim).copied().unwrap_or(0);
    let n = Slices::new(call, dim, k)?.length;
    if k > n {
        bail!("topk: {k} of {n} elements");
    }
    run(call, dim, flip, 0, k)
}

pub fn kthvalue(call: &Call) -> Outcome {
    let (dim, k) = (call.count(0)?, call.count(1)?);
    let n = Slices::new(call, dim, 1)?.length;
    if k == 0 || k > n {
        bail!("kthvalue: number {k} of {n} elements");
    }
    run(call, dim, false, k - 1, 1)
}

/// out int64 (N) = the order that sorts the rows of x (N, W), the first element of each first: by one column after the
/// other from the last one on.
pub fn sort_rows(call: &Call, out: &Operand, x: &Operand) -> Outcome {
    let (n, width) = (x.dims()[0], x.dims()[1]);
    if n == 0 {
        return Ok(());
    }
    // Only the lines along the rows write, so the output stays in place along the other dim.
    let parts = [Part::NONE, Part::of(out), Part::of(x)];
    let lines = Lines::new(call, &[n, width.max(1)], |d| d == 0, &parts)?;
    let sorter = Sorter::new(call, lines, x.dtype, false)?;
    let mut group = sorter.arguments;
    group.slices = 1;
    let mut order: Option<Pairs> = None;
    for column in (0..width).rev() {
        group.first_slice = column as i64;
        let next = sorter.radix(&mut group)?;
        drop(order.replace(next));
    }
    group.first_slice = 0;
    sorter.finish(&mut group, 0, n)
}
