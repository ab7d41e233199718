//! Joining and padding: `cat` writes each input into its window of the output, `pad` widens a tensor by a constant
//! or by its own elements, `pad_backward` sums what padding repeated, `strided_sum` what overlapping views show.

use crate::dtype::{DType, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::ops::map::{self, Shared, Space};
use crate::ops::walk::{Address, Walk, move_run, stream_run};
use crate::{bail, pool, stream, with_bits, with_compute, with_dtype};
use core::mem::MaybeUninit;

mod cuda;

pub const ROWS: &[Row] = &[
    Row {
        name: "cat",
        outs: 1,
        ins: (1, 8192),
        scalars: (1, 1),
        alias: false,
        run: cat,
        cuda: Some(cuda::cat),
    },
    Row {
        name: "pad",
        outs: 1,
        ins: (2, 2),
        scalars: (1, 1 + 2 * MAX_DIMS),
        alias: false,
        run: pad,
        cuda: Some(cuda::pad),
    },
    Row {
        name: "pad_backward",
        outs: 1,
        ins: (1, 1),
        scalars: (1, 1 + 2 * MAX_DIMS),
        alias: false,
        run: pad_backward,
        cuda: Some(cuda::pad_backward),
    },
    Row {
        name: "strided_sum",
        outs: 1,
        ins: (1, 1),
        scalars: (1, 1 + MAX_DIMS),
        alias: false,
        run: strided_sum,
        cuda: Some(cuda::strided_sum),
    },
];

/// Elements that one thread takes at a time.
const GRAIN: usize = 32 * 1024;
/// Elements converted at a time.
const CHUNK: usize = 1024;

/// One input on its way into its window.
struct Part {
    input: usize,
    window: Operand,
    /// The first of its jobs among those of all parts.
    first: usize,
}

/// The inputs of a `cat`, each with its window of the output; checked.
fn windows(call: &Call) -> Outcome<Vec<(&Operand, Operand)>> {
    let out = &call.outs()[0];
    let dim = call.count(0)?;
    if dim >= out.ndim {
        bail!("cat: dim {dim} of an output of {} dims", out.ndim);
    }
    let mut at = 0;
    let mut windows = Vec::with_capacity(call.ins().len());
    for (i, x) in call.ins().iter().enumerate() {
        let fits =
            x.ndim == out.ndim && (0..x.ndim).all(|d| d == dim || x.dims()[d] == out.dims()[d]);
        if !fits || at + x.dims()[dim] > out.dims()[dim] {
            bail!(
                "cat: input {i} has dims {:?}, which do not fit {:?} at {at} of dim {dim}",
                x.dims(),
                out.dims()
            );
        }
        let length = x.dims()[dim];
        windows.push((x, out.narrowed(dim, at, length)));
        at += length;
    }
    if at != out.dims()[dim] {
        bail!(
            "cat: the inputs fill {at} of {} in dim {dim}",
            out.dims()[dim]
        );
    }
    Ok(windows)
}

/// out (…, Σ Nᵢ, …) = inputs (…, Nᵢ, …) one behind the other along scalar 0, converted where the dtypes differ.
fn cat(call: &Call) -> Outcome {
    let out = &call.outs()[0];
    let mut jobs = 0;
    let mut parts = Vec::with_capacity(call.ins().len());
    for (input, (x, window)) in windows(call)?.into_iter().enumerate() {
        parts.push(Part {
            input,
            window,
            first: jobs,
        });
        jobs += x.numel().div_ceil(GRAIN);
    }
    let shared = Shared(call.ins());
    let parts = Parts(parts);
    let streams = stream::pays(out);
    pool::parallel(jobs, &|job| {
        let parts = parts.get();
        let part = &parts[parts.partition_point(|p| p.first <= job) - 1];
        let x = shared.get(part.input);
        let from = (job - part.first) * GRAIN;
        // SAFETY: the window lies inside the output, as checked above; jobs write different elements.
        unsafe { copy_range(&part.window, x, from, GRAIN.min(x.numel() - from), streams) };
        if streams {
            stream::fence();
        }
    });
    Ok(())
}

struct Parts(Vec<Part>);
// SAFETY: addresses of held storages, written in disjoint ranges.
unsafe impl Sync for Parts {}
impl Parts {
    fn get(&self) -> &[Part] {
        &self.0
    }
}

/// Copies the flat elements `from..from + n` of `x` to those of `out`, converting where dtypes differ; where it
/// streams, a `stream::fence` must follow.
///
/// # Safety
/// Both operands were checked and have the same dims; nobody else writes these elements.
unsafe fn copy_range(out: &Operand, x: &Operand, from: usize, n: usize, streams: bool) {
    if out.dtype == x.dtype {
        let walk = Walk::<2>::new(out.dims(), [out.strides(), x.strides()]);
        with_bits!(out.dtype, B => walk.runs(from, n, |[o, i], [os, is], length| {
            // SAFETY: offsets stay inside the operands.
            unsafe {
                let (from, to) = (x.ptr.cast::<B>().offset(i), out.ptr.cast::<B>().offset(o));
                if streams {
                    stream_run(from, is, to, os, length);
                } else {
                    move_run(from, is, to, os, length);
                }
            }
        }));
        return;
    }
    let pair = [out.clone(), x.clone()];
    let Ok(space) = Space::new("cat", &pair) else {
        return;
    };
    with_compute!(converting(x, out).compute(), C => {
        let mut buffer = [const { MaybeUninit::<C>::uninit() }; CHUNK];
        let values: *mut C = buffer.as_mut_ptr().cast();
        for start in (from..from + n).step_by(CHUNK) {
            let count = CHUNK.min(from + n - start);
            // SAFETY: the buffer has room for a chunk, and the operands were checked.
            unsafe {
                map::load::<C>(&space, 1, x, start, count, values);
                map::store::<C>(&space, 0, out, start, count, values);
            }
        }
    });
}

/// The dtype in which elements of one operand become those of another.
fn converting(x: &Operand, out: &Operand) -> DType {
    if x.dtype.is_float() || !out.dtype.is_float() {
        widest(x.dtype, out.dtype)
    } else {
        out.dtype
    }
}

/// The dtype of the two that holds the other's values in its compute type.
fn widest(a: DType, b: DType) -> DType {
    if a == DType::F64 || (a.is_float() && !b.is_float()) {
        a
    } else {
        b
    }
}

// ---- padding --------------------------------------------------------------------------------

const CONSTANT: usize = 0;
const REFLECT: usize = 1;
const REPLICATE: usize = 2;

/// Which element of a dim of size n stands at place `i` (from minus the left pad on); None is the constant.
#[inline(always)]
fn source(mode: usize, i: isize, n: usize) -> Option<usize> {
    let n = n as isize;
    let inside = i >= 0 && i < n;
    let at = match mode {
        _ if inside => i,
        CONSTANT => return None,
        REFLECT => {
            if i < 0 {
                -i
            } else {
                2 * (n - 1) - i
            }
        }
        REPLICATE => i.clamp(0, n - 1),
        _ => i.rem_euclid(n),
    };
    Some(at as usize)
}

/// Scalars: mode, then the left and right pad of each dim. Gives the mode and the left pads.
fn geometry(call: &Call, inner: &Operand, outer: &Operand) -> Outcome<(usize, [isize; MAX_DIMS])> {
    let n = inner.ndim;
    let mode = call.count(0)?;
    if mode > 3 || outer.ndim != n || call.scalars().len() != 1 + 2 * n {
        bail!(
            "{}: mode {mode} of dims {:?} and {:?} with {} scalars",
            call.name,
            inner.dims(),
            outer.dims(),
            call.scalars().len()
        );
    }
    let mut left = [0isize; MAX_DIMS];
    for (d, left) in left.iter_mut().enumerate().take(n) {
        let (l, r) = (call.float(1 + 2 * d), call.float(2 + 2 * d));
        let size = inner.dims()[d] as f64;
        if l.fract() != 0.0 || r.fract() != 0.0 || size + l + r != outer.dims()[d] as f64 {
            bail!(
                "{}: dim {d} of size {size} padded by {l} and {r} is not {}",
                call.name,
                outer.dims()[d]
            );
        }
        // What is taken from elsewhere must be there.
        let most = match mode {
            CONSTANT => f64::INFINITY,
            REFLECT => (size - 1.0).max(0.0),
            REPLICATE => {
                if size > 0.0 {
                    f64::INFINITY
                } else {
                    0.0
                }
            }
            _ => size,
        };
        if l > most || r > most || !l.is_finite() || !r.is_finite() {
            bail!(
                "{}: dim {d} of size {size} cannot be padded by {l} and {r}",
                call.name
            );
        }
        *left = l as isize;
    }
    Ok((mode, left))
}

fn check_pad(out: &Operand, x: &Operand, value: &Operand) -> Outcome {
    if x.dtype != out.dtype || value.ndim != 0 || !matches!(value.dtype, DType::F64 | DType::I64) {
        bail!(
            "pad: {} into {}, with a constant of {} and {} dims",
            x.dtype.name(),
            out.dtype.name(),
            value.dtype.name(),
            value.ndim
        );
    }
    Ok(())
}

/// out = x widened (or, by negative pads, cut); input 1 is the constant, a number or a 0-d tensor.
fn pad(call: &Call) -> Outcome {
    let out = &call.outs()[0];
    let (x, value) = (&call.ins()[0], &call.ins()[1]);
    let (mode, left) = geometry(call, x, out)?;
    check_pad(out, x, value)?;
    let bits = constant(value, out.dtype)?;
    let shared = Shared(call.all());
    let last = x.ndim.wrapping_sub(1);
    let width = if x.ndim == 0 { 1 } else { out.dims()[last] };
    let rows = out.numel().checked_div(width).unwrap_or(0);
    pool::parallel_ranges(rows, (GRAIN / width.max(1)).max(1), &|range| {
        let (out, x) = (shared.get(0), shared.get(1));
        with_bits!(out.dtype, B => for row in range {
            // The row's place in the output, and the row of x that fills it, if one does.
            let (mut to, mut from, mut filled, mut rest) = (0isize, 0isize, true, row);
            for d in (0..last.min(x.ndim)).rev() {
                let i = rest % out.dims()[d];
                rest /= out.dims()[d];
                to += i as isize * out.strides()[d];
                match source(mode, i as isize - left[d], x.dims()[d]) {
                    Some(s) => from += s as isize * x.strides()[d],
                    None => filled = false,
                }
            }
            // SAFETY: every offset is inside the dims of its operand.
            unsafe {
                let to = out.ptr.cast::<B>().offset(to);
                if x.ndim == 0 {
                    *to = *x.ptr.cast::<B>();
                    continue;
                }
                let from = x.ptr.cast::<B>().offset(from);
                let (os, is) = (out.strides()[last], x.strides()[last]);
                let n = x.dims()[last];
                let begin = left[last].clamp(0, width as isize) as usize;
                let end = (left[last] + n as isize).clamp(begin as isize, width as isize) as usize;
                let fill = |i: usize| {
                    let s = if filled { source(mode, i as isize - left[last], n) } else { None };
                    let value = match s {
                        Some(s) => *from.offset(s as isize * is),
                        None => bits as B,
                    };
                    *to.offset(i as isize * os) = value;
                };
                if filled {
                    (0..begin).for_each(fill);
                    move_run(from.wrapping_offset((begin as isize - left[last]) * is), is, to.wrapping_offset(begin as isize * os), os, end - begin);
                    (end..width).for_each(fill);
                } else {
                    (0..width).for_each(fill);
                }
            }
        });
    });
    Ok(())
}

/// A number's bits in a dtype, in the low end of a word.
fn constant(value: &Operand, dtype: DType) -> Outcome<u64> {
    let mut bits = 0u64;
    let to = core::ptr::from_mut(&mut bits);
    // SAFETY: a checked operand of no dims has one element; `bits` has room for any element.
    with_dtype!(dtype, E => unsafe {
        match value.dtype {
            DType::F64 => to.cast::<E>().write((*value.ptr.cast::<f64>()).store()),
            DType::I64 => to.cast::<E>().write((*value.ptr.cast::<i64>()).store()),
            other => bail!("pad: a constant of {}", other.name()),
        }
    });
    Ok(bits)
}

fn check_pad_backward(gx: &Operand, g: &Operand) -> Outcome {
    if gx.dtype != g.dtype || !gx.dtype.is_float() {
        bail!("pad_backward: {} into {}", g.dtype.name(), gx.dtype.name());
    }
    Ok(())
}

/// gx = for each element of x, the sum of the gradients of the places that took it. g is wider than gx by the pads.
fn pad_backward(call: &Call) -> Outcome {
    let (gx, g) = (&call.outs()[0], &call.ins()[0]);
    let (mode, left) = geometry(call, gx, g)?;
    check_pad_backward(gx, g)?;
    // Leading dims that are not padded are independent of each other: threads share them out.
    let free = (0..gx.ndim)
        .take_while(|&d| gx.dims()[d] == g.dims()[d] && left[d] == 0)
        .count();
    let outer: usize = gx.dims()[..free].iter().product();
    let inner: usize = gx.dims()[free..].iter().product();
    let wide: usize = g.dims()[free..].iter().product();
    let shared = Shared(call.all());
    let scratch = crate::memory::Scratch::new::<f64>(outer * inner)?;
    let sums = Address::<f64>::new(scratch.as_ptr());
    pool::parallel_ranges(outer, (GRAIN / wide.max(1)).max(1), &|range| {
        let (gx, g) = (shared.get(0), shared.get(1));
        for o in range {
            // SAFETY: this thread's `inner` sums; offsets below lie inside dims.
            let sums =
                unsafe { core::slice::from_raw_parts_mut(sums.at((o * inner) as isize), inner) };
            sums.fill(0.0);
            let place = |x: &Operand| {
                let mut rest = o;
                (0..free).rev().fold(0isize, |offset, d| {
                    let i = rest % x.dims()[d];
                    rest /= x.dims()[d];
                    offset + i as isize * x.strides()[d]
                })
            };
            let (to, from) = (place(gx), place(g));
            with_dtype!(g.dtype, E => {
                for i in 0..wide {
                    let (mut rest, mut offset, mut at, mut scale, mut taken) = (i, from, 0usize, 1usize, true);
                    for d in (free..g.ndim).rev() {
                        let c = rest % g.dims()[d];
                        rest /= g.dims()[d];
                        offset += c as isize * g.strides()[d];
                        match source(mode, c as isize - left[d], gx.dims()[d]) {
                            Some(s) => at += s * scale,
                            None => taken = false,
                        }
                        scale *= gx.dims()[d];
                    }
                    if taken {
                        // SAFETY: `offset` lies inside g.
                        sums[at] += f64::load(unsafe { *g.ptr.cast::<E>().offset(offset) });
                    }
                }
                let mut rest = sums.iter();
                let walk = Walk::<1>::new(&gx.dims()[free..], [&gx.strides()[free..]]);
                walk.runs(0, inner, |[o], [s], length| for (i, sum) in rest.by_ref().take(length).enumerate() {
                    // SAFETY: the walk stays inside gx.
                    unsafe { *gx.ptr.cast::<E>().offset(to + o + i as isize * s) = sum.store() };
                });
            });
        }
    });
    Ok(())
}

/// The offset and the strides of a `strided_sum`, checked.
fn checked_strides(call: &Call) -> Outcome<(usize, [isize; MAX_DIMS])> {
    let (out, g) = (&call.outs()[0], &call.ins()[0]);
    let n = out.numel();
    if !out.is_contiguous()
        || out.dtype != g.dtype
        || !g.dtype.is_float()
        || call.scalars().len() != 1 + g.ndim
    {
        bail!(
            "strided_sum: {} {:?} into {} {:?}",
            g.dtype.name(),
            g.dims(),
            out.dtype.name(),
            out.dims()
        );
    }
    let offset = call.count(0)?;
    let mut strides = [0isize; MAX_DIMS];
    let mut reach = Some(offset);
    for (d, place) in strides.iter_mut().enumerate().take(g.ndim) {
        let stride = call.count(1 + d)?;
        *place = stride as isize;
        let step = stride.checked_mul(g.dims()[d].saturating_sub(1));
        reach = reach.and_then(|r| r.checked_add(step?));
    }
    if g.numel() > 0 && reach.is_none_or(|r| r >= n) {
        bail!(
            "strided_sum: dims {:?} with strides {:?} from {offset} reach past {n} elements",
            g.dims(),
            &strides[..g.ndim]
        );
    }
    Ok((offset, strides))
}

/// out, contiguous = for each place the sum of the elements of g that lie on it under other strides.
/// Scalars: offset, then a stride for each dim of g. Places may be met more than once; they are summed in order.
fn strided_sum(call: &Call) -> Outcome {
    let (offset, strides) = checked_strides(call)?;
    let (out, g) = (&call.outs()[0], &call.ins()[0]);
    let n = out.numel();
    let walk = Walk::<2>::new(g.dims(), [g.strides(), &strides[..g.ndim]]);
    with_compute!(g.dtype.compute(), C => with_dtype!(g.dtype, E => {
        // Halves are summed in float32.
        let direct = g.dtype == C::DTYPE;
        let scratch = crate::memory::Scratch::new::<C>(if direct { 0 } else { n })?;
        let sums: *mut C = if direct { out.ptr.cast() } else { scratch.as_ptr() };
        // SAFETY: both hold n elements; places were checked above.
        unsafe {
            for i in 0..n {
                *sums.add(i) = C::default();
            }
            walk.runs(0, walk.numel, |[from, to], [fs, ts], length| for i in 0..length as isize {
                let place = sums.offset(offset as isize + to + i * ts);
                *place += C::load(*g.ptr.cast::<E>().offset(from + i * fs));
            });
            if !direct {
                for i in 0..n {
                    *out.ptr.cast::<E>().add(i) = (*sums.add(i)).store();
                }
            }
        }
    }));
    Ok(())
}
