//! Reading and writing by tensors of indices: `index`, `index_put`, `take`.
//! Any number of dims are indexed at once; operands keep their strides; every index is checked before it is used.

use crate::dtype::{DType, Element, Number};
use crate::fault::{Fault, Outcome};
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::ops::map::Shared;
use crate::ops::walk::{Address, Walk, move_run};
use crate::{bail, pool, simd, stream, with_bits, with_dtype};
use std::sync::atomic::{AtomicU64, Ordering};

mod cuda;

pub const ROWS: &[Row] = &[
    Row {
        name: "index",
        outs: 1,
        ins: (2, 1 + MAX_DIMS),
        scalars: (3, 2 + MAX_DIMS),
        alias: false,
        run: index,
        cuda: Some(cuda::index),
    },
    Row {
        name: "index_put",
        outs: 1,
        ins: (2, 1 + MAX_DIMS),
        scalars: (5, 4 + MAX_DIMS),
        alias: false,
        run: index_put,
        cuda: Some(cuda::index_put),
    },
    Row {
        name: "take",
        outs: 1,
        ins: (2, 2),
        scalars: (0, 0),
        alias: false,
        run: take,
        cuda: Some(cuda::take),
    },
];

/// Elements that one thread moves at a time.
pub const GRAIN: usize = 16 * 1024;
/// Rows of at most this many bytes are asked for ahead of their turn; longer ones the processor prefetches itself.
const PREFETCH_BYTES: usize = 4096;
/// How many rows ahead.
const AHEAD: usize = 6;

// ---- indices --------------------------------------------------------------------------------

/// The type of an operand of indices, or an error.
pub fn check_index_dtype(call: &Call, idx: &Operand) -> Outcome {
    match idx.dtype {
        DType::I64 | DType::I32 => Ok(()),
        other => bail!(
            "{}: indices of {}, not int64 or int32",
            call.name,
            other.name()
        ),
    }
}

/// The index at an offset.
///
/// # Safety
/// The offset lies inside the operand, whose dtype is int64 or int32.
#[inline(always)]
pub unsafe fn index_at(idx: &Operand, offset: isize) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        if idx.dtype == DType::I64 {
            *idx.ptr.cast::<i64>().offset(offset)
        } else {
            i64::from(*idx.ptr.cast::<i32>().offset(offset))
        }
    }
}

/// An index from -size to size - 1 as one from 0 on.
#[inline(always)]
pub fn wrap(i: i64, size: usize) -> Option<usize> {
    inside(if i < 0 { i + size as i64 } else { i }, size)
}

/// An index from 0 to size - 1.
#[inline(always)]
pub fn inside(i: i64, size: usize) -> Option<usize> {
    (i >= 0 && i < size as i64).then_some(i as usize)
}

/// Collects the first bad index, in the order of the data, from any number of threads.
pub struct Fence(AtomicU64);

impl Default for Fence {
    fn default() -> Fence {
        Fence(AtomicU64::new(u64::MAX))
    }
}

impl Fence {
    #[cold]
    pub fn hit(&self, position: usize) {
        self.0.fetch_min(position as u64, Ordering::Relaxed);
    }

    /// Fails if an index was bad; `idx` is where the positions count.
    pub fn close(&self, name: &str, idx: &Operand, dim: usize, size: usize) -> Outcome {
        let position = self.0.load(Ordering::Relaxed);
        if position == u64::MAX {
            return Ok(());
        }
        let [offset] = Walk::<1>::new(idx.dims(), [idx.strides()]).offsets(position as usize);
        // SAFETY: a position that was met lies inside the operand.
        let i = unsafe { index_at(idx, offset) };
        Err(Fault::Index(format!(
            "Cannot {name}: index {i} is out of range for dim {dim} of size {size}"
        )))
    }
}

simd! {
    /// Whether n indices so many elements apart lie below `size`.
    unsafe fn all_inside<I: Element>(idx: *const I, stride: isize, n: usize, size: usize) -> bool {
        let mut outside = 0u64;
        // SAFETY: the caller gives the indices.
        unsafe {
            if stride == 1 {
                for i in 0..n {
                    let index = (*idx.add(i)).to_i64();
                    outside |= u64::from(index as u64 >= size as u64);
                }
            } else {
                for i in 0..n as isize {
                    let index = (*idx.offset(i * stride)).to_i64();
                    outside |= u64::from(index as u64 >= size as u64);
                }
            }
        }
        outside == 0
    }
}

/// Fails unless every index lies in 0..size.
pub fn check_indices(call: &Call, idx: &Operand, dim: usize, size: usize) -> Outcome {
    check_index_dtype(call, idx)?;
    let fence = Fence::default();
    let walk = Walk::<1>::new(idx.dims(), [idx.strides()]);
    let shared = Shared(core::slice::from_ref(idx));
    pool::parallel_ranges(walk.numel, 4 * GRAIN, &|range| {
        let mut at = range.start;
        walk.runs(range.start, range.len(), |[o], [s], length| {
            let idx = shared.get(0);
            // SAFETY: the walk stays inside the operand.
            let good = unsafe {
                match idx.dtype {
                    DType::I64 => all_inside(idx.ptr.cast::<i64>().offset(o), s, length, size),
                    _ => all_inside(idx.ptr.cast::<i32>().offset(o), s, length, size),
                }
            };
            let is_bad = |&i: &usize| {
                // SAFETY: as above.
                inside(unsafe { index_at(idx, o + i as isize * s) }, size).is_none()
            };
            if !good && let Some(bad) = (0..length).find(is_bad) {
                fence.hit(at + bad);
            }
            at += length;
        });
    });
    fence.close(call.name, idx, dim, size)
}

// ---- the shape of an indexing -----------------------------------------------------------------

/// How a tensor x, of which some dims are indexed, meets the tensor of what is read or written.
/// That one has the dims of x that are not indexed, with those of the indices (B) put in at `at`.
struct Shape {
    n: usize,
    dims: [usize; MAX_DIMS],
    /// Strides of the other, of x, and of the flat number in B.
    other: [isize; MAX_DIMS],
    x: [isize; MAX_DIMS],
    flat: [isize; MAX_DIMS],
    /// Dims before B and B itself.
    split: usize,
}

impl Shape {
    fn new(
        call: &Call,
        x: &Operand,
        other: &Operand,
        indices: &[Operand],
        layout: &Layout,
    ) -> Outcome<Shape> {
        let (at, dims) = (layout.at, layout.dims.as_slice());
        let (b, k) = (indices[0].ndim, indices.len());
        let ascending = dims.len() == k
            && dims.windows(2).all(|w| w[0] < w[1])
            && dims.iter().all(|&d| d < x.ndim);
        let alike = indices.iter().all(|i| i.dims() == indices[0].dims());
        if !ascending || !alike || at > x.ndim - k || x.ndim - k + b > MAX_DIMS {
            bail!(
                "{}: dims {dims:?} of {:?} at {at} by {k} indices {:?}",
                call.name,
                x.dims(),
                indices[0].dims()
            );
        }
        let number = other.ndim == 0 && x.ndim - k + b > 0;
        let mut n = 0;
        let mut shape = [0usize; MAX_DIMS];
        let mut xs = [0isize; MAX_DIMS];
        let mut bs = [0isize; MAX_DIMS];
        let free: Vec<usize> = (0..x.ndim).filter(|d| !dims.contains(d)).collect();
        for &d in &free[..at] {
            (shape[n], xs[n]) = (x.dims()[d], x.strides()[d]);
            n += 1;
        }
        let mut flat: isize = indices[0].numel() as isize;
        for &size in indices[0].dims() {
            flat = if size == 0 { 0 } else { flat / size as isize };
            (shape[n], bs[n]) = (size, flat);
            n += 1;
        }
        let split = n;
        for &d in &free[at..] {
            (shape[n], xs[n]) = (x.dims()[d], x.strides()[d]);
            n += 1;
        }
        if !number && other.dims() != &shape[..n] {
            bail!(
                "{}: dims {:?}, wanted {:?}",
                call.name,
                other.dims(),
                &shape[..n]
            );
        }
        let mut os = [0isize; MAX_DIMS];
        if !number {
            os[..n].copy_from_slice(other.strides());
        }
        Ok(Shape {
            n,
            dims: shape,
            other: os,
            x: xs,
            flat: bs,
            split,
        })
    }
}

/// The same as loops.
struct Plan {
    /// Over the dims before B and B itself: strides of the other, of x, and the flat number in B.
    rows: Walk<3>,
    /// Over the dims behind B: strides of the other and of x.
    inner: Walk<2>,
    /// For each element of B, where x's indexed dims lead.
    places: Scratch,
    count: usize,
}

impl Plan {
    fn new(
        call: &Call,
        x: &Operand,
        other: &Operand,
        indices: &[Operand],
        layout: &Layout,
    ) -> Outcome<Plan> {
        let Shape {
            n,
            dims,
            other: os,
            x: xs,
            flat,
            split,
        } = Shape::new(call, x, other, indices, layout)?;
        let rows = [&os[..split], &xs[..split], &flat[..split]];
        Ok(Plan {
            rows: Walk::new(&dims[..split], rows),
            inner: Walk::new(&dims[split..n], [&os[split..n], &xs[split..n]]),
            places: places(call, x, indices, layout)?,
            count: indices[0].numel(),
        })
    }

    fn places(&self) -> &[i64] {
        // SAFETY: filled with `count` numbers when the plan was made.
        unsafe { core::slice::from_raw_parts(self.places.as_ptr(), self.count) }
    }
}

/// For each element of the indices, the offset in x that they lead to.
fn places(call: &Call, x: &Operand, indices: &[Operand], layout: &Layout) -> Outcome<Scratch> {
    let dims = &layout.dims;
    let count = indices[0].numel();
    let scratch = Scratch::new::<i64>(count)?;
    let places = Address::<i64>::new(scratch.as_ptr());
    for (j, idx) in indices.iter().enumerate() {
        check_index_dtype(call, idx)?;
        let (size, stride) = (x.dims()[dims[j]], x.strides()[dims[j]] as i64);
        let fence = Fence::default();
        let walk = Walk::<1>::new(idx.dims(), [idx.strides()]);
        let shared = Shared(core::slice::from_ref(idx));
        pool::parallel_ranges(count, 4 * GRAIN, &|range| {
            let mut at = range.start;
            walk.runs(range.start, range.len(), |[o], [s], length| {
                for i in 0..length {
                    // SAFETY: the walk stays inside the operand; this thread's range of places.
                    unsafe {
                        let given = index_at(shared.get(0), o + i as isize * s);
                        let found = if layout.wraps {
                            wrap(given, size)
                        } else {
                            inside(given, size)
                        };
                        let place = places.at((at + i) as isize);
                        let step = match found {
                            Some(i) => i as i64 * stride,
                            None => {
                                fence.hit(at + i);
                                0
                            }
                        };
                        *place = if j == 0 { step } else { *place + step };
                    }
                }
                at += length;
            });
        });
        fence.close(call.name, idx, dims[j], size)?;
    }
    Ok(scratch)
}

/// Which dims are indexed, where B goes, and whether negative indices count from the end.
struct Layout {
    wraps: bool,
    at: usize,
    dims: Vec<usize>,
}

impl Layout {
    /// Scalars from `first` on: 1 when indices wrap, where B goes, then the indexed dims.
    fn new(call: &Call, first: usize) -> Outcome<Layout> {
        let dims: Outcome<Vec<usize>> = (first + 2..call.scalars().len())
            .map(|i| call.count(i))
            .collect();
        Ok(Layout {
            wraps: call.count(first)? == 1,
            at: call.count(first + 1)?,
            dims: dims?,
        })
    }
}

// ---- reading --------------------------------------------------------------------------------

simd! {
    /// `to[i · to_step] = from[i · step + places[i · place_step]]` for i below n.
    unsafe fn pick<B: Copy>(from: *const B, step: isize, places: &[i64], place_step: isize, to: *mut B, to_step: isize, n: usize) {
        // SAFETY: the caller gives the elements.
        unsafe {
            let places = places.as_ptr();
            if (step, place_step, to_step) == (0, 1, 1) {
                for i in 0..n {
                    *to.add(i) = *from.offset(*places.add(i) as isize);
                }
            } else {
                for i in 0..n as isize {
                    let place = *places.offset(i * place_step) as isize;
                    *to.offset(i * to_step) = *from.offset(i * step + place);
                }
            }
        }
    }
}

/// Which dims an `index` indexes, checked.
fn checked_index(call: &Call) -> Outcome<Layout> {
    let layout = Layout::new(call, 0)?;
    let (out, x, indices) = (&call.outs()[0], &call.ins()[0], &call.ins()[1..]);
    if out.dtype != x.dtype || out.ndim + indices.len() != x.ndim + indices[0].ndim {
        bail!(
            "{}: {} {:?} from {} {:?}",
            call.name,
            out.dtype.name(),
            out.dims(),
            x.dtype.name(),
            x.dims()
        );
    }
    Ok(layout)
}

/// out (…, B, …) = x at the indices. Inputs: x, then an operand of indices (B) for each indexed dim.
fn index(call: &Call) -> Outcome {
    let layout = checked_index(call)?;
    let (out, x, indices) = (&call.outs()[0], &call.ins()[0], &call.ins()[1..]);
    let plan = Plan::new(call, x, out, indices, &layout)?;
    let (rows, inner) = (&plan.rows, &plan.inner);
    let width = inner.numel;
    if width == 0 || rows.numel == 0 {
        return Ok(());
    }
    // Long rows are cut up too, so that few of them keep all threads busy.
    let slice = width.min(16 * GRAIN);
    let slices = width.div_ceil(slice);
    let height = (GRAIN / width).max(1);
    let dense = inner.ndim == 0
        || (inner.ndim == 1 && inner.strides[0][0] == 1 && inner.strides[1][0] == 1);
    let ahead = if width > 1 && width * x.dtype.size() <= PREFETCH_BYTES {
        AHEAD
    } else {
        0
    };
    let dtype = x.dtype;
    let bytes = width * dtype.size();
    let shared = Shared(call.all());
    let plan = Sharing(&plan);
    pool::parallel(rows.numel.div_ceil(height) * slices, &|job| {
        let (row, from) = (job / slices * height, job % slices * slice);
        let n = slice.min(width - from);
        let places = plan.get().places();
        with_bits!(dtype, B => {
            let to: *mut B = shared.get(0).ptr.cast();
            let base: *const B = shared.get(1).ptr.cast();
            rows.runs(row, height.min(rows.numel - row), |[o, x, b], [os, xs, bs], length| {
                if width == 1 {
                    // SAFETY: as below.
                    unsafe { pick(base.offset(x), xs, &places[b as usize..], bs, to.offset(o), os, length) };
                    return;
                }
                for i in 0..length as isize {
                    // SAFETY: places were checked; walks stay inside the dims of their operands.
                    unsafe {
                        let source = base.offset(x + i * xs + places[(b + i * bs) as usize] as isize);
                        let target = to.offset(o + i * os);
                        if ahead > 0 && i + (ahead as isize) < length as isize {
                            let next = i + ahead as isize;
                            stream::prefetch_bytes(base.wrapping_offset(x + next * xs + places[(b + next * bs) as usize] as isize).cast(), bytes);
                        }
                        if dense {
                            core::ptr::copy_nonoverlapping(source.add(from), target.add(from), n);
                        } else {
                            inner.runs(from, n, |[t, s], [ts, ss], n| move_run(source.offset(s), ss, target.offset(t), ts, n));
                        }
                    }
                }
            });
        });
    });
    Ok(())
}

struct Sharing<'a>(&'a Plan);
// SAFETY: the places are only read.
unsafe impl Sync for Sharing<'_> {}
impl Sharing<'_> {
    fn get(&self) -> &Plan {
        self.0
    }
}

fn checked_take(call: &Call) -> Outcome {
    let (out, x, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    if out.dtype != x.dtype || out.dims() != idx.dims() {
        bail!(
            "take: {:?} from {:?} by {:?}",
            out.dims(),
            x.dims(),
            idx.dims()
        );
    }
    check_index_dtype(call, idx)
}

/// out (I) = x at indices (I) that count its elements row-major.
fn take(call: &Call) -> Outcome {
    checked_take(call)?;
    let (out, x, idx) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let (size, dtype) = (x.numel(), x.dtype);
    let fence = Fence::default();
    let walk = Walk::<2>::new(idx.dims(), [out.strides(), idx.strides()]);
    let elements = Walk::<1>::new(x.dims(), [x.strides()]);
    let shared = Shared(call.all());
    pool::parallel_ranges(walk.numel, GRAIN, &|range| {
        with_bits!(dtype, B => {
            let mut at = range.start;
            walk.runs(range.start, range.len(), |[o, i], [os, is], length| {
                for j in 0..length as isize {
                    // SAFETY: the walk stays inside out and indices, and the index was wrapped into x.
                    unsafe {
                        match wrap(index_at(shared.get(2), i + j * is), size) {
                            Some(place) => {
                                let [from] = elements.offsets(place);
                                *shared.get(0).ptr.cast::<B>().offset(o + j * os) = *shared.get(1).ptr.cast::<B>().offset(from);
                            }
                            None => fence.hit(at + j as usize),
                        }
                    }
                }
                at += length;
            });
        })
    });
    fence.close(call.name, idx, 0, size)
}

// ---- writing --------------------------------------------------------------------------------

/// The type in which elements of a type are summed.
pub trait Summed: Element {
    type Sum: Number;
}
macro_rules! summed {
    ($($t:ty => $c:ty),*) => { $( impl Summed for $t { type Sum = $c; } )* };
}
summed!(f32 => f32, f64 => f64, crate::dtype::F16 => f32, crate::dtype::Bf16 => f32, i64 => i64, i32 => i64, i16 => i64, i8 => i64, u8 => i64, crate::dtype::Bool => i64);

/// Which of `parts` threads has to do with a place: the same for every call, so that order within a place is kept.
#[inline(always)]
pub fn part_of(place: i64, parts: usize) -> usize {
    ((((place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) * parts as u64) >> 32) as usize
}

/// Which dims an `index_put` indexes, and whether it adds; checked.
fn checked_put(call: &Call) -> Outcome<(Layout, bool)> {
    let (x, values) = (&call.outs()[0], &call.ins()[0]);
    let number = values.ndim == 0 && matches!(values.dtype, DType::F64 | DType::I64);
    if values.dtype != x.dtype && !number {
        bail!("index_put: {} into {}", values.dtype.name(), x.dtype.name());
    }
    Ok((Layout::new(call, 2)?, call.count(0)? == 1))
}

/// x (the output, in place) at the indices = values, or += alpha * values. Inputs: values (…, B, …) or a number, then
/// the indices. Scalars: 1 to accumulate, alpha, then as for `index`. Where a place is met more than once the last
/// value stays, or all are summed in order, halves in float32: the same for any number of threads.
fn index_put(call: &Call) -> Outcome {
    let (layout, accumulate) = checked_put(call)?;
    let (x, values, indices) = (&call.outs()[0], &call.ins()[0], &call.ins()[1..]);
    let number = values.ndim == 0 && matches!(values.dtype, DType::F64 | DType::I64);
    let plan = Plan::new(call, x, values, indices, &layout)?;
    let work = plan.rows.numel * plan.inner.numel;
    if work == 0 {
        return Ok(());
    }
    // Each thread does the places that are its own, in the order of the data.
    let parts = pool::threads().min(work.div_ceil(2 * GRAIN));
    let alpha = call.scalars()[1];
    let shared = Shared(call.all());
    let plan = Sharing(&plan);
    let failed = std::sync::Mutex::new(Ok(()));
    with_dtype!(x.dtype, E => {
        let fixed: Option<E> = number.then(|| fixed_value::<E>(values));
        let alpha: <E as Summed>::Sum = <E as Summed>::Sum::load(if x.dtype.is_float() { alpha.float() } else { alpha.int() as f64 });
        pool::parallel(parts, &|part| {
            let (x, values) = (shared.get(0), shared.get(1));
            let job = Job { x: x.ptr.cast::<E>(), values: values.ptr.cast::<E>(), fixed, alpha, part, parts };
            if accumulate && size_of::<E>() == 2 && x.dtype.is_float() {
                if let Err(fault) = job.add_halves(plan.get()) {
                    *failed.lock().unwrap_or_else(|e| e.into_inner()) = Err(fault);
                }
            } else {
                job.write(plan.get(), accumulate);
            }
        });
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner())
}

/// A number operand in an element type.
pub fn fixed_value<E: Element>(value: &Operand) -> E {
    // SAFETY: a checked operand of no dims has one element of its dtype.
    unsafe {
        if value.dtype == DType::I64 {
            (*value.ptr.cast::<i64>()).store()
        } else {
            (*value.ptr.cast::<f64>()).store()
        }
    }
}

/// One thread's share of an `index_put`.
struct Job<E: Summed> {
    x: *mut E,
    values: *const E,
    fixed: Option<E>,
    alpha: E::Sum,
    part: usize,
    parts: usize,
}

impl<E: Summed> Job<E> {
    #[inline(always)]
    fn mine(&self, place: i64) -> bool {
        self.parts == 1 || part_of(place, self.parts) == self.part
    }

    fn write(&self, plan: &Plan, accumulate: bool) {
        let places = plan.places();
        plan.rows
            .runs(0, plan.rows.numel, |[v, x, b], [vs, xs, bs], length| {
                for i in 0..length as isize {
                    let place = places[(b + i * bs) as usize];
                    if !self.mine(place) {
                        continue;
                    }
                    // SAFETY: places were checked; walks stay inside the dims of their operands.
                    unsafe {
                        let target = self.x.offset(x + i * xs + place as isize);
                        let source = self.values.wrapping_offset(v + i * vs);
                        plan.inner.runs(0, plan.inner.numel, |[s, t], [ss, ts], n| {
                            let (target, source) = (target.offset(t), source.wrapping_offset(s));
                            match (accumulate, self.fixed) {
                                (false, None) => move_run(source, ss, target, ts, n),
                                (false, Some(value)) => {
                                    (0..n as isize).for_each(|j| *target.offset(j * ts) = value)
                                }
                                (true, fixed) => {
                                    for j in 0..n as isize {
                                        let value = fixed.unwrap_or_else(|| *source.offset(j * ss));
                                        let to = target.offset(j * ts);
                                        *to = (E::Sum::load(*to)
                                            + self.alpha * E::Sum::load(value))
                                        .store();
                                    }
                                }
                            }
                        });
                    }
                }
            });
    }

    /// Sums of halves are held in float32 until a place is done: the places in order, each with its values in order.
    fn add_halves(&self, plan: &Plan) -> Outcome {
        let places = plan.places();
        let mut order: Vec<usize> = (0..places.len())
            .filter(|&b| self.mine(places[b]))
            .collect();
        order.sort_by_key(|&b| places[b]);
        let width = plan.inner.numel;
        let mut scratch = Scratch::new::<E::Sum>(width)?;
        // SAFETY: numbers; the scratch has this room.
        let sums: &mut [E::Sum] = unsafe { scratch.slice(width) };
        let before = plan.rows.numel / plan.count;
        for p in 0..before {
            for group in order.chunk_by(|&a, &b| places[a] == places[b]) {
                let [_, x, _] = plan.rows.offsets(p * plan.count);
                let target = self.x.wrapping_offset(x + places[group[0]] as isize);
                let mut at = 0;
                // SAFETY: as in `write`.
                unsafe {
                    plan.inner.runs(0, width, |[_, t], [_, ts], n| {
                        for j in 0..n as isize {
                            sums[at] = E::Sum::load(*target.offset(t + j * ts));
                            at += 1;
                        }
                    });
                    for &b in group {
                        let [v, _, _] = plan.rows.offsets(p * plan.count + b);
                        let mut at = 0;
                        plan.inner.runs(0, width, |[s, _], [ss, _], n| {
                            for j in 0..n as isize {
                                let value = self
                                    .fixed
                                    .unwrap_or_else(|| *self.values.offset(v + s + j * ss));
                                sums[at] = sums[at] + self.alpha * E::Sum::load(value);
                                at += 1;
                            }
                        });
                    }
                    let mut at = 0;
                    plan.inner.runs(0, width, |[_, t], [_, ts], n| {
                        for j in 0..n as isize {
                            *target.offset(t + j * ts) = sums[at].store();
                            at += 1;
                        }
                    });
                }
            }
        }
        Ok(())
    }
}
