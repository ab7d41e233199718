//! The engine of all elementwise ops: one output, up to three inputs of any strides and dtypes.
//! Chunks of elements are brought into the compute type, run through the op's kernel, and stored; operands that
//! already are dense and of the compute type are used where they lie.

use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Scalar};
use crate::ops::moving;
use crate::ops::nest::{gather_run, scatter_run};
use crate::{bail, pool, stream, with_compute, with_dtype};
use core::mem::MaybeUninit;

pub mod cuda;

/// Elements brought into the first-level cache at a time.
pub const CHUNK: usize = 1024;
/// The same where the chunk is then streamed out: few enough for the processor to compute the next one meanwhile.
pub const STREAMED: usize = 512;
/// Elements that one thread takes at a time: about 5 µs of a cheap op, so that claiming costs nothing.
const GRAIN: usize = 32 * 1024;
const MOST: usize = 4;
/// Inputs that are read ahead at most.
const MOST_AHEAD: usize = 8;

/// `out[i] = op(a[i], b[i], c[i])` for n dense elements; `out` overlaps no input, so that loops vectorise, but that one of
/// lanes may have the output's very elements as an input: all are loaded before any is stored.
pub type Kernel<T> = unsafe fn(ins: [*const T; 3], out: *mut T, n: usize, scalars: &[Scalar]);

/// An op's kernels in the types it computes in.
pub struct Map {
    pub f32: Option<Kernel<f32>>,
    /// The same past the caches, for outputs that are written there: no buffer lies between, and what is computed hides
    /// behind what is moved. A `stream::fence` must follow.
    pub streamed: Option<Kernel<f32>>,
    pub f64: Option<Kernel<f64>>,
    pub i64: Option<Kernel<i64>>,
    pub bits: Option<Bits>,
    /// For bool, of which any byte but 0 is true.
    pub truths: Option<Kernel<u8>>,
}

/// Kernels for narrow integers, whose results have the low bits of those in int64.
pub struct Bits {
    pub u8: Kernel<u8>,
    pub u16: Kernel<u16>,
    pub u32: Kernel<u32>,
}

/// A number type picks its kernel out of a map.
pub trait Pick: Number {
    fn pick(map: &Map) -> Option<Kernel<Self>>;
    fn streamed(_: &Map) -> Option<Kernel<Self>> {
        None
    }
}
impl Pick for f32 {
    fn pick(map: &Map) -> Option<Kernel<f32>> {
        map.f32
    }
    fn streamed(map: &Map) -> Option<Kernel<f32>> {
        map.streamed
    }
}
impl Pick for f64 {
    fn pick(map: &Map) -> Option<Kernel<f64>> {
        map.f64
    }
}
impl Pick for i64 {
    fn pick(map: &Map) -> Option<Kernel<i64>> {
        map.i64
    }
}

/// The common index space of all operands: dims merged wherever every operand allows it.
pub struct Space {
    pub ndim: usize,
    pub dims: [usize; MAX_DIMS],
    pub strides: [[isize; MAX_DIMS]; MOST],
    pub numel: usize,
}

impl Space {
    /// Fails unless every operand has the first one's dims, or none at all.
    pub fn new(name: &str, operands: &[Operand]) -> Outcome<Space> {
        let dims = operands[0].dims();
        for (i, o) in operands.iter().enumerate() {
            if o.ndim != 0 && o.dims() != dims {
                bail!(
                    "{name}: operand {i} has dims {:?}, the output {:?}",
                    o.dims(),
                    dims
                );
            }
        }
        let strides = operands
            .iter()
            .map(|o| if o.ndim == 0 { &[] } else { o.strides() });
        Ok(Space::over(dims, strides))
    }

    /// The space of these dims; an operand without strides has the same element everywhere.
    pub fn over<'a>(dims: &[usize], operands: impl Iterator<Item = &'a [isize]>) -> Space {
        let mut all: [&[isize]; MOST] = [&[]; MOST];
        let mut count = 0;
        for strides in operands {
            all[count] = strides;
            count += 1;
        }
        let operands = &all[..count];
        let mut s = Space {
            ndim: 0,
            dims: [1; MAX_DIMS],
            strides: [[0; MAX_DIMS]; MOST],
            numel: dims.iter().product(),
        };
        // Filled from the innermost dim outwards, then turned round.
        for d in (0..dims.len()).rev() {
            if dims[d] == 1 {
                continue;
            }
            let stride = |k: usize| operands[k].get(d).copied().unwrap_or(0);
            let last = s.ndim.wrapping_sub(1);
            let merges = s.ndim > 0
                && (0..operands.len())
                    .all(|k| stride(k) == s.strides[k][last] * s.dims[last] as isize);
            if merges {
                s.dims[last] *= dims[d];
            } else {
                s.dims[s.ndim] = dims[d];
                for k in 0..operands.len() {
                    s.strides[k][s.ndim] = stride(k);
                }
                s.ndim += 1;
            }
        }
        s.dims[..s.ndim].reverse();
        for k in 0..operands.len() {
            s.strides[k][..s.ndim].reverse();
        }
        s
    }

    /// Whether operand 0, an output, should be written past the caches from a buffer.
    pub fn streams(&self, out: &Operand) -> bool {
        self.is_dense(0) && stream::pays_buffered(out)
    }

    /// Whether operand k lies row-major without gaps.
    fn is_dense(&self, k: usize) -> bool {
        let mut expected = 1isize;
        (0..self.ndim).rev().all(|d| {
            let fits = self.strides[k][d] == expected;
            expected *= self.dims[d] as isize;
            fits
        })
    }

    fn is_constant(&self, k: usize) -> bool {
        self.strides[k][..self.ndim].iter().all(|&s| s == 0)
    }

    /// Calls `run(offset, stride, at, length)` for each innermost run of the flat elements `from..from + n` of operand k.
    #[inline(always)]
    pub fn runs(
        &self,
        k: usize,
        from: usize,
        n: usize,
        mut run: impl FnMut(isize, isize, usize, usize),
    ) {
        // Nothing is there to walk, and a dim may be 0.
        if n == 0 {
            return;
        }
        if self.ndim == 0 {
            return run(0, 0, 0, n);
        }
        let mut index = [0usize; MAX_DIMS];
        let mut offset = 0isize;
        let mut rest = from;
        for d in (0..self.ndim).rev() {
            index[d] = rest % self.dims[d];
            rest /= self.dims[d];
            offset += index[d] as isize * self.strides[k][d];
        }
        let last = self.ndim - 1;
        let mut at = 0;
        while at < n {
            let length = (self.dims[last] - index[last]).min(n - at);
            run(offset, self.strides[k][last], at, length);
            at += length;
            if at == n {
                break;
            }
            // Only the first run starts inside a row; step to the next row.
            offset -= index[last] as isize * self.strides[k][last];
            index[last] = 0;
            let mut d = last;
            while d > 0 {
                d -= 1;
                index[d] += 1;
                offset += self.strides[k][d];
                if index[d] < self.dims[d] {
                    break;
                }
                offset -= self.dims[d] as isize * self.strides[k][d];
                index[d] = 0;
            }
        }
    }
}

/// Brings flat elements `from..from + n` of operand k into `out`.
///
/// # Safety
/// `out` has room for n; the operand was checked.
pub unsafe fn load<C: Number>(
    space: &Space,
    k: usize,
    o: &Operand,
    from: usize,
    n: usize,
    out: *mut C,
) {
    with_dtype!(o.dtype, E => space.runs(k, from, n, |offset, stride, at, length| {
        // SAFETY: offsets stay inside the checked operand.
        unsafe { gather_run::<E, C>(o.ptr.cast::<E>().offset(offset), stride, out.add(at), length) }
    }));
}

/// Stores n values as flat elements `from..from + n` of operand k.
///
/// # Safety
/// `x` has n values; the operand was checked.
pub unsafe fn store<C: Number>(
    space: &Space,
    k: usize,
    o: &Operand,
    from: usize,
    n: usize,
    x: *const C,
) {
    with_dtype!(o.dtype, E => space.runs(k, from, n, |offset, stride, at, length| {
        // SAFETY: offsets stay inside the checked operand.
        unsafe { scatter_run::<E, C>(x.add(at), o.ptr.cast::<E>().offset(offset), stride, length) }
    }));
}

/// As `store` for at most a chunk of operand 0, past the caches; a `stream::fence` must follow. Meanwhile the next chunk of
/// `reads`, dense inputs, comes into the cache.
///
/// # Safety
/// `x` has n values; the operand was checked, and is dense.
pub unsafe fn stream_out<'a, C: Number>(
    o: &Operand,
    from: usize,
    n: usize,
    x: *const C,
    reads: impl Iterator<Item = &'a Operand>,
) {
    let line = 64 / o.dtype.size();
    let (mut ahead, mut count) = ([(core::ptr::null(), 0); MOST_AHEAD], 0);
    for (place, read) in ahead.iter_mut().zip(reads) {
        let size = read.dtype.size();
        *place = (
            read.ptr.cast_const().wrapping_add((from + n) * size),
            line * size,
        );
        count += 1;
    }
    let ahead = &ahead[..count];
    // SAFETY: as promised by the caller; the buffer has room for a chunk.
    with_dtype!(o.dtype, E => unsafe {
        let to = o.ptr.cast::<E>().add(from).cast();
        if o.dtype == C::DTYPE {
            return stream::copy_ahead(x.cast(), to, n * size_of::<E>(), ahead);
        }
        let mut stored = [const { MaybeUninit::<E>::uninit() }; CHUNK];
        scatter_run::<E, C>(x, stored.as_mut_ptr().cast(), 1, n);
        stream::copy_ahead(stored.as_ptr().cast(), to, n * size_of::<E>(), ahead);
    });
}

/// Rounds n values, at most a chunk, to what a dtype can hold.
///
/// # Safety
/// `x` has n values.
pub unsafe fn round<C: Number>(dtype: DType, x: *mut C, n: usize) {
    with_dtype!(dtype, E => {
        let mut stored = [const { MaybeUninit::<E>::uninit() }; CHUNK];
        // SAFETY: the buffer has room for a chunk.
        unsafe {
            scatter_run::<E, C>(x, stored.as_mut_ptr().cast(), 1, n);
            gather_run::<E, C>(stored.as_ptr().cast(), 1, x, n);
        }
    });
}

/// Operand addresses that threads share; each thread writes its own elements only.
#[derive(Clone, Copy)]
pub struct Shared<'a>(pub &'a [Operand]);
// SAFETY: operands are addresses of held storages; disjoint ranges are written by different threads.
unsafe impl Sync for Shared<'_> {}
// SAFETY: as above.
unsafe impl Send for Shared<'_> {}

impl Shared<'_> {
    pub fn get(&self, i: usize) -> &Operand {
        &self.0[i]
    }
}

/// Runs an elementwise instruction. Scalar 0 is the dtype to compute in; the op's own follow.
pub fn run(call: &Call, map: &Map) -> Outcome {
    if narrow(call, map) {
        return Ok(());
    }
    let compute = call.dtype(0)?.compute();
    with_compute!(compute, C => {
        let Some(kernel) = C::pick(map) else { bail!("{}: no kernel computes in {}", call.name, C::DTYPE.name()) };
        typed::<C>(call, kernel, C::streamed(map))
    })
}

/// Runs on bytes or narrow integers of one dtype where they lie, if every operand is such and dense.
fn narrow(call: &Call, map: &Map) -> bool {
    use DType::{Bool, I8, I16, I32, U8};
    let operands = call.all();
    let out = &operands[0];
    let is_narrow = matches!(out.dtype, Bool | U8 | I8 | I16 | I32);
    if !is_narrow || map.bits.is_none() && map.truths.is_none() {
        return false;
    }
    let fits = operands.iter().all(|o| {
        o.dtype == out.dtype
            && o.dims() == out.dims()
            && o.is_contiguous()
            && (o.ptr == out.ptr || !o.overlaps(out))
    });
    match (out.dtype, &map.bits, map.truths) {
        _ if !fits => return false,
        (Bool, _, Some(kernel)) => each(operands, kernel),
        (U8 | I8, Some(bits), _) => each(operands, bits.u8),
        (I16, Some(bits), _) => each(operands, bits.u16),
        (I32, Some(bits), _) => each(operands, bits.u32),
        _ => return false,
    }
    true
}

/// Runs a kernel without scalars over dense operands of its type.
fn each<T>(operands: &[Operand], kernel: Kernel<T>) {
    let shared = Shared(operands);
    pool::parallel_spans(operands[0].numel(), GRAIN, &|range| {
        let mut ins = [core::ptr::null::<T>(); 3];
        for (k, address) in ins.iter_mut().enumerate().take(shared.0.len() - 1) {
            *address = shared.get(k + 1).ptr.cast::<T>().wrapping_add(range.start);
        }
        let to = shared.get(0).ptr.cast::<T>().wrapping_add(range.start);
        // SAFETY: so many elements of each checked operand; ranges are disjoint.
        unsafe { kernel(ins, to, range.len(), &[]) };
    });
}

fn typed<C: Number>(call: &Call, kernel: Kernel<C>, streamed: Option<Kernel<C>>) -> Outcome {
    let operands = call.all();
    let count = operands.len();
    if let Some(n) = small_and_dense::<C>(operands) {
        let mut ins = [core::ptr::null::<C>(); 3];
        for (address, o) in ins.iter_mut().zip(&operands[1..]) {
            *address = o.ptr.cast_const().cast();
        }
        // SAFETY: every operand has n dense elements of C.
        unsafe { kernel(ins, operands[0].ptr.cast(), n, &call.scalars()[1..]) };
        return Ok(());
    }
    // A copy between layouts computes nothing.
    if call.name == "copy" && moving::moved(&operands[0], &operands[1]) {
        return Ok(());
    }
    let space = Space::new(call.name, operands)?;
    let scalars = &call.scalars()[1..];
    // An input that the output shares bytes with is brought into a buffer first: a kernel may take its loads and
    // stores for independent then. Lanes need that only where the elements are not the very same. That no other thread
    // writes what is still to be read holds only if the layouts agree, which TypeScript sees to.
    let is_plain = operands[0].dtype == C::DTYPE && space.is_dense(0);
    let direct = |k: usize| {
        operands[k].dtype == C::DTYPE
            && space.is_dense(k)
            && (k == 0
                || !operands[k].overlaps(&operands[0])
                || is_plain && streamed.is_some() && operands[k].ptr == operands[0].ptr)
    };
    // What the output shares with an input is in the cache already.
    let apart = !operands[1..].iter().any(|o| o.overlaps(&operands[0]));
    let (kernel, passes) = match streamed {
        Some(streamed) if apart && is_plain && stream::pays(&operands[0]) => (streamed, true),
        _ => (kernel, false),
    };
    let streams = passes || apart && space.streams(&operands[0]);
    let modes: [Mode; MOST] = core::array::from_fn(|k| match k {
        _ if k >= count => Mode::Absent,
        0 if streams && !passes => Mode::Streamed,
        _ if direct(k) => Mode::Direct,
        _ if k > 0 && space.is_constant(k) => Mode::Constant,
        _ => Mode::Buffered,
    });
    let is = |mode: Mode| modes.contains(&mode);
    let step = if is(Mode::Streamed) {
        STREAMED
    } else if is(Mode::Constant) || is(Mode::Buffered) {
        CHUNK
    } else {
        GRAIN
    };
    let shared = Shared(operands);
    let reads = || {
        (1..count)
            .filter(|&k| space.is_dense(k))
            .map(|k| shared.get(k))
    };
    pool::parallel_spans(space.numel, GRAIN, &|range| {
        let mut buffers = [const { MaybeUninit::<[C; CHUNK]>::uninit() }; MOST];
        for k in 1..count {
            if modes[k] == Mode::Constant {
                // SAFETY: the buffer has room for a chunk.
                unsafe {
                    load::<C>(
                        &space,
                        k,
                        shared.get(k),
                        range.start,
                        CHUNK.min(range.len()),
                        buffers[k].as_mut_ptr().cast(),
                    )
                };
            }
        }
        let mut from = range.start;
        while from < range.end {
            let n = step.min(range.end - from);
            let mut ins = [core::ptr::null::<C>(); 3];
            for k in 1..count {
                let o = shared.get(k);
                ins[k - 1] = match modes[k] {
                    // SAFETY: a dense operand has `numel` elements of C behind its address.
                    Mode::Direct => unsafe { o.ptr.cast::<C>().add(from) },
                    Mode::Buffered => {
                        // SAFETY: n is at most a chunk here.
                        unsafe { load::<C>(&space, k, o, from, n, buffers[k].as_mut_ptr().cast()) };
                        buffers[k].as_ptr().cast()
                    }
                    _ => buffers[k].as_ptr().cast(),
                };
            }
            let o = shared.get(0);
            if modes[0] == Mode::Direct {
                // SAFETY: as above, for the output.
                unsafe { kernel(ins, o.ptr.cast::<C>().add(from), n, scalars) };
            } else {
                let x: *mut C = buffers[0].as_mut_ptr().cast();
                // SAFETY: the buffer holds n results, then they are stored inside the checked output.
                unsafe {
                    kernel(ins, x, n, scalars);
                    if streams {
                        stream_out::<C>(o, from, n, x, reads());
                    } else {
                        store::<C>(&space, 0, o, from, n, x);
                    }
                }
            }
            from += n;
        }
        if streams {
            stream::fence();
        }
    });
    Ok(())
}

/// The count of elements when there are few and every operand is a dense run of them in the compute type: what
/// small tensors are, for which building the index space would cost more than the op.
fn small_and_dense<C: Number>(operands: &[Operand]) -> Option<usize> {
    let [n] = *operands[0].dims() else {
        return None;
    };
    let fits = n < GRAIN
        && operands
            .iter()
            .all(|o| o.dtype == C::DTYPE && o.dims() == [n] && o.strides() == [1])
        && operands[1..].iter().all(|o| !o.overlaps(&operands[0]));
    fits.then_some(n)
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Absent,
    /// Dense and of the compute type: used in place.
    Direct,
    /// One value for all elements: brought in once.
    Constant,
    Buffered,
    /// An output that goes through a buffer past the caches.
    Streamed,
}

/// Declares rows of elementwise ops. Each op says, per compute type it has, its value in terms of its inputs:
/// `name [a, b] (p; 1) { f32: …; f64: …; i64: … }`, where `p` is the slice of the instruction's scalars, here one.
/// `lanes: …` in place of `f32: …` is a formula over any kind of [`Lanes`](crate::lanes::Lanes), V, in which `p` has lanes
/// too. `by: …` names a function of whole slices of float32. `bits: …` is a formula for [`Bits`], `truths: …` one for
/// bytes of bool.
#[macro_export]
macro_rules! maps {
    ($($(#[$doc:meta])* $name:ident $ins:tt ( $p:ident ; $scalars:literal ) { $($type:ident : $value:expr);* $(;)? })*) => {
        $( #[allow(unused_variables, unused_imports)]
        mod $name {
            use super::*;
            $( $crate::maps!(@kernel $type, $value, $ins, $p, $scalars); )*
            pub static MAP: $crate::ops::map::Map = {
                let mut map = $crate::ops::map::Map { f32: None, streamed: None, f64: None, i64: None, bits: None, truths: None };
                $( $crate::maps!(@field map, $type); )*
                map
            };
        } )*
        /// The rows' kernels by name.
        pub static MAPS: &[(&str, &$crate::ops::map::Map)] = &[$((stringify!($name), &$name::MAP)),*];
        pub const ROWS: &[$crate::instruction::Row] = &[$(
            $crate::instruction::Row {
                name: stringify!($name),
                outs: 1,
                ins: $crate::maps!(@arity $ins),
                scalars: (1 + $scalars, 1 + $scalars),
                alias: true,
                run: |call| $crate::ops::map::run(call, &$name::MAP),
                cuda: Some(|call| $crate::ops::map::cuda::run(call, concat!("map_", stringify!($name)))),
            }
        ),*];
    };
    (@kernel lanes, $value:expr, $ins:tt, $p:ident, $scalars:literal) => {
        $crate::maps!(@formula $value, $ins, $p, $scalars);
        /// # Safety
        /// As [`Kernel`]($crate::ops::map::Kernel).
        pub unsafe fn f32(ins: [*const f32; 3], out: *mut f32, n: usize, $p: &[$crate::instruction::Scalar]) {
            // SAFETY: the engine hands in n elements of each operand; the output overlaps none that it is not.
            unsafe { $crate::lanes::run::<_, false, _>(Formula(core::array::from_fn(|i| $p[i])), ins, out, n) }
        }
    };
    (@formula $value:expr, $ins:tt, $p:ident, $scalars:literal) => {
        /// The numbers that the formula needs.
        #[derive(Clone, Copy)]
        struct Formula([$crate::instruction::Scalar; $scalars]);
        impl $crate::lanes::Formula<{ $crate::formula!(@count $ins) }> for Formula {
            #[inline(always)]
            fn value<V: $crate::lanes::Lanes>(self, $ins: [V; { $crate::formula!(@count $ins) }]) -> V {
                let $p: [V; $scalars] = self.0.map(#[inline(always)] |p| V::all(p.float() as f32));
                $value
            }
        }
        /// # Safety
        /// As [`Kernel`]($crate::ops::map::Kernel); a `stream::fence` follows.
        pub unsafe fn streamed(ins: [*const f32; 3], out: *mut f32, n: usize, $p: &[$crate::instruction::Scalar]) {
            // SAFETY: as for the other kernels.
            unsafe { $crate::lanes::run::<_, true, _>(Formula(core::array::from_fn(|i| $p[i])), ins, out, n) }
        }
    };
    (@kernel bits, $value:expr, $ins:tt, $p:ident, $scalars:literal) => {
        $crate::maps!(@kernel u8, $value, $ins, $p, $scalars);
        $crate::maps!(@kernel u16, $value, $ins, $p, $scalars);
        $crate::maps!(@kernel u32, $value, $ins, $p, $scalars);
    };
    (@kernel by, $value:expr, $ins:tt, $p:ident, $scalars:literal) => {
        /// # Safety
        /// As [`Kernel`]($crate::ops::map::Kernel).
        pub unsafe fn f32(ins: [*const f32; 3], out: *mut f32, n: usize, _: &[$crate::instruction::Scalar]) {
            let by: unsafe fn([*const f32; 3], *mut f32, usize) = $value;
            // SAFETY: the engine hands in n elements of each operand; the output overlaps none.
            unsafe { by(ins, out, n) }
        }
    };
    (@kernel truths, $value:expr, $ins:tt, $p:ident, $scalars:literal) => {
        $crate::maps!(@write truths, u8, $value, $ins, $p, $scalars);
    };
    (@kernel $type:ident, $value:expr, $ins:tt, $p:ident, $scalars:literal) => {
        $crate::maps!(@write $type, $type, $value, $ins, $p, $scalars);
    };
    (@write $name:ident, $type:ident, $value:expr, $ins:tt, $p:ident, $scalars:literal) => {
        $crate::simd! {
            pub unsafe fn $name(ins: [*const $type; 3], out: *mut $type, n: usize, $p: &[$crate::instruction::Scalar]) {
                let [a0, a1, a2] = ins;
                // Copied, so that LLVM sees that the loop's stores do not change them.
                let $p: [$crate::instruction::Scalar; $scalars] = core::array::from_fn(|i| $p[i]);
                for i in 0..n {
                    let result = $crate::maps!(@value $value, i, $ins, a0, a1, a2);
                    // SAFETY: the engine hands in room for n elements.
                    unsafe { *out.add(i) = result };
                }
            }
        }
    };
    (@field $map:ident, lanes) => {
        $map.f32 = Some(f32);
        $map.streamed = Some(streamed);
    };
    (@field $map:ident, by) => { $map.f32 = Some(f32) };
    (@field $map:ident, bits) => {
        $map.bits = Some($crate::ops::map::Bits { u8, u16, u32 });
    };
    (@field $map:ident, $type:ident) => { $map.$type = Some($type) };
    (@arity []) => { (0, 0) };
    (@arity [$x:ident]) => { (1, 1) };
    (@arity [$x:ident, $y:ident]) => { (2, 2) };
    (@arity [$x:ident, $y:ident, $z:ident]) => { (3, 3) };
    (@value $value:expr, $i:ident, [], $a:ident, $b:ident, $c:ident) => { $value };
    (@value $value:expr, $i:ident, [$x:ident], $a:ident, $b:ident, $c:ident) => {{
        // SAFETY: the engine hands in n elements of each operand; so in the arms below.
        let $x = unsafe { *$a.add($i) };
        $value
    }};
    (@value $value:expr, $i:ident, [$x:ident, $y:ident], $a:ident, $b:ident, $c:ident) => {{
        // SAFETY: as above.
        let ($x, $y) = unsafe { (*$a.add($i), *$b.add($i)) };
        $value
    }};
    (@value $value:expr, $i:ident, [$x:ident, $y:ident, $z:ident], $a:ident, $b:ident, $c:ident) => {{
        // SAFETY: as above.
        let ($x, $y, $z) = unsafe { (*$a.add($i), *$b.add($i), *$c.add($i)) };
        $value
    }};
}
