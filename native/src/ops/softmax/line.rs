//! Lines of exponentials, which softmax and cross entropy are made of. float32 has them by lanes, with the output past
//! the caches where that pays; float64, and float32 without AVX, by plain loops (plain.rs).

use super::plain;
use crate::lanes::{self, AHEAD, Job, Lanes, produce};
use crate::math;
use crate::ops::real::Real;
use crate::stream::prefetch;
use core::mem::MaybeUninit;

/// Elements of which the greatest is found before they are summed.
const BLOCK: usize = 1024;
/// The longest line that stays in the first-level cache while another one is streamed out.
const SHORT: usize = 2048;

/// `count` lines of n elements, and how far apart they lie.
#[derive(Clone, Copy)]
pub struct Lines<C, const N: usize> {
    pub ins: [*const C; N],
    pub steps: [isize; N],
    pub out: *mut C,
    pub out_step: isize,
    pub n: usize,
    pub count: usize,
}

impl<C, const N: usize> Lines<C, N> {
    /// One line.
    pub fn one(ins: [*const C; N], out: *mut C, n: usize) -> Lines<C, N> {
        Lines {
            ins,
            steps: [0; N],
            out,
            out_step: 0,
            n,
            count: 1,
        }
    }

    /// Line k; the one after the last need not be an address of memory.
    #[inline(always)]
    fn at(&self, k: usize) -> ([*const C; N], *mut C) {
        let k = k as isize;
        (
            core::array::from_fn(
                #[inline(always)]
                |i| self.ins[i].wrapping_offset(k * self.steps[i]),
            ),
            self.out.wrapping_offset(k * self.out_step),
        )
    }
}

impl<const N: usize> Lines<f32, N> {
    /// Whether lines of V go out whole, so that one can be written while the next is computed.
    #[inline(always)]
    fn are_even<V: Lanes>(&self) -> bool {
        V::COUNT > 1
            && self.n.is_multiple_of(V::COUNT)
            && self.n <= SHORT
            && self.out.align_offset(64) == 0
            && self.out_step % 16 == 0
    }
}

/// The functions of lines. `streams` says that outputs go past the caches, and that a `stream::fence` follows.
pub trait Soft: Real {
    /// The greatest of n elements, NaN passed over, and `Σ exp(x - most)`; NaN where there is no such sum.
    ///
    /// # Safety
    /// There are n elements.
    unsafe fn exp_sum(x: *const Self, n: usize) -> (Self, f64) {
        // SAFETY: the caller's promise; so below.
        unsafe {
            let most = plain::max::<Self>(x, n);
            (
                most,
                plain::exp_sum::<Self>(x, core::ptr::null_mut(), n, most),
            )
        }
    }

    /// Softmax, or its logarithm.
    ///
    /// # Safety
    /// The lines' elements exist; so below.
    unsafe fn softmax(lines: Lines<Self, 1>, log: bool, _streams: bool) {
        for k in 0..lines.count {
            let ([x], y) = lines.at(k);
            unsafe { plain::softmax::<Self>(x, y, lines.n, log) }
        }
    }

    /// Softmax: `gx = y (g - Σ g y)`; its logarithm: `gx = g - exp(y) Σ g`. The inputs are g and y.
    ///
    /// # Safety
    /// As above.
    unsafe fn softmax_grad(lines: Lines<Self, 2>, log: bool, _streams: bool) {
        for k in 0..lines.count {
            let ([g, y], gx) = lines.at(k);
            unsafe { plain::softmax_grad::<Self>(g, y, gx, lines.n, log) }
        }
    }

    /// `out = a exp(x - lse) - b`, for one line.
    ///
    /// # Safety
    /// As above.
    unsafe fn spread(line: Lines<Self, 1>, [lse, a, b]: [Self; 3], _streams: bool) {
        unsafe { plain::spread::<Self>(line.ins[0], line.out, line.n, lse, a, b) }
    }
}

impl Soft for f64 {}
impl Soft for f32 {
    unsafe fn exp_sum(x: *const f32, n: usize) -> (f32, f64) {
        // SAFETY: the caller's promise; so below.
        unsafe { lanes::dispatch(ExpSum { x, n }) }
    }

    unsafe fn softmax(lines: Lines<f32, 1>, log: bool, streams: bool) {
        unsafe {
            if streams {
                lanes::dispatch(Softmax::<true> { lines, log })
            } else {
                lanes::dispatch(Softmax::<false> { lines, log })
            }
        }
    }

    unsafe fn softmax_grad(lines: Lines<f32, 2>, log: bool, streams: bool) {
        unsafe {
            if streams {
                lanes::dispatch(SoftmaxGrad::<true> { lines, log })
            } else {
                lanes::dispatch(SoftmaxGrad::<false> { lines, log })
            }
        }
    }

    unsafe fn spread(line: Lines<f32, 1>, [lse, a, b]: [f32; 3], streams: bool) {
        let formula = Spread { lse, a, b };
        let ins = [line.ins[0]; 3];
        unsafe {
            if streams {
                lanes::run::<1, true, _>(formula, ins, line.out, line.n)
            } else {
                lanes::run::<1, false, _>(formula, ins, line.out, line.n)
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Spread {
    lse: f32,
    a: f32,
    b: f32,
}

impl lanes::Formula<1> for Spread {
    #[inline(always)]
    fn value<V: Lanes>(self, [x]: [V; 1]) -> V {
        math::exp(x - V::all(self.lse)).mul_add(V::all(self.a), V::all(-self.b))
    }
}

/// The greatest of n numbers; NaN is passed over.
///
/// # Safety
/// There are n numbers.
#[inline(always)]
pub unsafe fn most_of<V: Lanes>(x: *const f32, n: usize) -> f32 {
    let mut most = [V::all(f32::NEG_INFINITY); 4];
    let mut at = 0;
    // SAFETY: the caller gives n numbers; so below.
    unsafe {
        while at + 4 * V::COUNT <= n {
            for (k, m) in most.iter_mut().enumerate() {
                // At least a NaN is as before.
                *m = m.at_least(V::load(x.add(at + k * V::COUNT)));
            }
            at += 4 * V::COUNT;
        }
        while at < n {
            let count = V::COUNT.min(n - at);
            most[0] = most[0].at_least(V::load_some(x.add(at), count, f32::NEG_INFINITY));
            at += count;
        }
    }
    (most[0].at_least(most[1]))
        .at_least(most[2].at_least(most[3]))
        .most()
}

/// `Σ term(at, count)` over n numbers: blocks in lanes, their sums in float64.
#[inline(always)]
pub fn sum_of<V: Lanes>(n: usize, mut term: impl FnMut(usize, usize) -> V) -> f64 {
    let (mut total, mut at) = (0.0, 0);
    while at < n {
        let end = n.min(at + 64 * V::COUNT);
        let mut sum = V::all(0.0);
        while at + V::COUNT <= end {
            sum = sum + term(at, V::COUNT);
            at += V::COUNT;
        }
        if at < end {
            sum = sum + term(at, end - at);
            at = end;
        }
        total += sum.total();
    }
    total
}

/// `x - most` where numbers are; -∞ behind them, so that they add nothing.
#[inline(always)]
unsafe fn below<V: Lanes>(x: *const f32, count: usize, most: V) -> V {
    // SAFETY: the caller gives `count` numbers.
    unsafe { V::load_some(x, count, f32::NEG_INFINITY) - most }
}

struct ExpSum {
    x: *const f32,
    n: usize,
}

impl Job for ExpSum {
    type Out = (f32, f64);
    /// Block by block, so that memory is read once: a greater number than before scales the sum down.
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) -> (f32, f64) {
        if V::COUNT == 1 {
            // SAFETY: the caller gives n numbers.
            return unsafe {
                let most = plain::max::<f32>(self.x, self.n);
                (
                    most,
                    plain::exp_sum::<f32>(self.x, core::ptr::null_mut(), self.n, most),
                )
            };
        }
        let (mut most, mut total) = (f32::NEG_INFINITY, 0.0f64);
        let mut from = 0;
        while from < self.n {
            let size = BLOCK.min(self.n - from);
            // SAFETY: the block lies within n.
            unsafe {
                let x = self.x.add(from);
                let here = most_of::<V>(x, size);
                if here > most {
                    total *= f64::from(most - here).exp();
                    most = here;
                }
                let high = V::all(most);
                let sum = sum_of::<V>(
                    size,
                    #[inline(always)]
                    |at, count| {
                        prefetch(x.wrapping_add(BLOCK + at));
                        math::exp(below(x.add(at), count, high))
                    },
                );
                // A block of -∞ before any number adds nothing, unless NaN is among it.
                if most > f32::NEG_INFINITY || (0..size).any(|i| (*x.add(i)).is_nan()) {
                    total += sum;
                }
            }
            from += size;
        }
        let total = if most == f32::NEG_INFINITY {
            f64::NAN
        } else {
            total
        };
        (most, total)
    }
}

struct Softmax<const STREAMED: bool> {
    lines: Lines<f32, 1>,
    log: bool,
}

impl<const STREAMED: bool> Job for Softmax<STREAMED> {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe {
            if STREAMED && !self.log && self.lines.are_even::<V>() {
                return self.in_turn::<V>();
            }
            for k in 0..self.lines.count {
                let ([x], y) = self.lines.at(k);
                if V::COUNT == 1 {
                    plain::softmax::<f32>(x, y, self.lines.n, self.log);
                } else {
                    self.line::<V>(x, y);
                }
            }
        }
    }
}

impl<const STREAMED: bool> Softmax<STREAMED> {
    #[inline(always)]
    unsafe fn line<V: Lanes>(&self, x: *const f32, y: *mut f32) {
        let n = self.lines.n;
        let room = if self.log || STREAMED {
            core::ptr::null_mut()
        } else {
            y
        };
        // SAFETY: the caller gives n numbers of each.
        unsafe {
            let most = V::all(most_of::<V>(x, n));
            let total = sum_of::<V>(
                n,
                #[inline(always)]
                |at, count| {
                    let e = math::exp(below(x.add(at), count, most));
                    if !room.is_null() {
                        e.store_some(room.add(at), count);
                    }
                    e
                },
            );
            let last = V::all(if self.log { total.ln() } else { 1.0 / total } as f32);
            produce::<V, STREAMED>(
                y,
                n,
                #[inline(always)]
                |at, count| {
                    if self.log {
                        below(x.add(at), count, most) - last
                    } else if room.is_null() {
                        // Once more, which takes less than writing through the caches.
                        math::exp(below(x.add(at), count, most)) * last
                    } else {
                        V::load_some(room.add(at), count, 0.0) * last
                    }
                },
            )
        }
    }

    /// Even lines: one goes out while the exponentials of the next are computed, which hides the writing.
    #[inline(always)]
    unsafe fn in_turn<V: Lanes>(&self) {
        let n = self.lines.n;
        let mut rooms = [const { MaybeUninit::<[f32; SHORT]>::uninit() }; 2];
        let mut scale = V::all(0.0);
        for k in 0..=self.lines.count {
            let (([x], _), ([next], _)) = (self.lines.at(k), self.lines.at(k + 1));
            let before = self.lines.at(k.wrapping_sub(1)).1;
            let [room, made] = [k, k + 1].map(|k| rooms[k % 2].as_mut_ptr().cast::<f32>());
            // SAFETY: the caller gives n numbers of each line; the rooms have as many.
            unsafe {
                if k == self.lines.count {
                    for at in (0..n).step_by(V::COUNT) {
                        (V::load(made.add(at)) * scale).stream(before.add(at));
                    }
                    return;
                }
                let most = V::all(most_of::<V>(x, n));
                let total = sum_of::<V>(
                    n,
                    #[inline(always)]
                    |at, _| {
                        prefetch(next.wrapping_add(at));
                        if k > 0 {
                            (V::load(made.add(at)) * scale).stream(before.add(at));
                        }
                        let e = math::exp(V::load(x.add(at)) - most);
                        e.store(room.add(at));
                        e
                    },
                );
                scale = V::all((1.0 / total) as f32);
            }
        }
    }
}

struct SoftmaxGrad<const STREAMED: bool> {
    lines: Lines<f32, 2>,
    log: bool,
}

impl<const STREAMED: bool> Job for SoftmaxGrad<STREAMED> {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe {
            if STREAMED && self.lines.are_even::<V>() {
                return self.in_turn::<V>();
            }
            for k in 0..self.lines.count {
                let ([g, y], gx) = self.lines.at(k);
                if V::COUNT == 1 {
                    plain::softmax_grad::<f32>(g, y, gx, self.lines.n, self.log);
                    continue;
                }
                let sum = sum_of::<V>(
                    self.lines.n,
                    #[inline(always)]
                    |at, count| self.term::<V>(g.add(at), y.add(at), count),
                );
                let sum = V::all(sum as f32);
                produce::<V, STREAMED>(
                    gx,
                    self.lines.n,
                    #[inline(always)]
                    |at, count| self.value::<V>(g.add(at), y.add(at), count, sum),
                );
            }
        }
    }
}

impl<const STREAMED: bool> SoftmaxGrad<STREAMED> {
    #[inline(always)]
    unsafe fn term<V: Lanes>(&self, g: *const f32, y: *const f32, count: usize) -> V {
        // SAFETY: the caller gives `count` numbers of each; so below.
        unsafe {
            let g = V::load_some(g, count, 0.0);
            if self.log {
                g
            } else {
                g * V::load_some(y, count, 0.0)
            }
        }
    }

    #[inline(always)]
    unsafe fn value<V: Lanes>(&self, g: *const f32, y: *const f32, count: usize, sum: V) -> V {
        unsafe {
            let (g, y) = (V::load_some(g, count, 0.0), V::load_some(y, count, 0.0));
            if self.log {
                g - math::exp(y) * sum
            } else {
                y * (g - sum)
            }
        }
    }

    /// Even lines: one goes out while the next is read.
    #[inline(always)]
    unsafe fn in_turn<V: Lanes>(&self) {
        let n = self.lines.n;
        let mut sum = V::all(0.0);
        for k in 0..=self.lines.count {
            let ([g, y], _) = self.lines.at(k);
            let ([old_g, old_y], gx) = self.lines.at(k.wrapping_sub(1));
            // SAFETY: the caller gives n numbers of each line.
            unsafe {
                if k == self.lines.count {
                    for at in (0..n).step_by(V::COUNT) {
                        self.value::<V>(old_g.add(at), old_y.add(at), V::COUNT, sum)
                            .stream(gx.add(at));
                    }
                    return;
                }
                let next = sum_of::<V>(
                    n,
                    #[inline(always)]
                    |at, _| {
                        prefetch(g.wrapping_add(at + AHEAD));
                        prefetch(y.wrapping_add(at + AHEAD));
                        if k > 0 {
                            self.value::<V>(old_g.add(at), old_y.add(at), V::COUNT, sum)
                                .stream(gx.add(at));
                        }
                        self.term::<V>(g.add(at), y.add(at), V::COUNT)
                    },
                );
                sum = V::all(next as f32);
            }
        }
    }
}
