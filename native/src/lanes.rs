//! Vectors of float32 for functions that are written once and compiled for each instruction set. AVX2 and AVX-512 lanes
//! fuse products with sums, and compute the same bits; one float32 alone, which serves the portable level and kernels
//! that LLVM vectorises itself, rounds twice there.

use crate::simd::{self, Level};
use crate::stream;
use core::ops::{Add, Div, Mul, Neg, Sub};

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

/// The most lanes of any kind.
pub const MOST: usize = 16;

/// Adding 1.5 · 2²³ rounds to the nearest integer and leaves it in the low bits.
pub const ROUND: f32 = 12_582_912.0;

/// Lanes of float32. What a name says of bits treats a lane as a 32-bit integer.
pub trait Lanes:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const COUNT: usize;
    type Mask: Copy;

    /// The same number in each lane.
    fn all(x: f32) -> Self;
    /// # Safety
    /// COUNT numbers can be read.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// COUNT numbers can be written.
    unsafe fn store(self, to: *mut f32);

    /// As `store`, past the caches; a `stream::fence` must follow. One number alone is stored as always.
    ///
    /// # Safety
    /// COUNT numbers can be written, aligned to their own size.
    unsafe fn stream(self, to: *mut f32);

    /// `n` numbers, no more than COUNT, and `rest` behind them.
    ///
    /// # Safety
    /// n numbers can be read.
    #[inline(always)]
    unsafe fn load_some(from: *const f32, n: usize, rest: f32) -> Self {
        // SAFETY: the caller's promise; the buffer has room for every kind of lanes.
        unsafe {
            if n == Self::COUNT {
                return Self::load(from);
            }
            let mut part = [rest; MOST];
            part.as_mut_ptr().copy_from_nonoverlapping(from, n);
            Self::load(part.as_ptr())
        }
    }
    /// The first n numbers, no more than COUNT.
    ///
    /// # Safety
    /// n numbers can be written.
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, n: usize) {
        // SAFETY: as above.
        unsafe {
            let mut part = [0.0f32; MOST];
            self.store(part.as_mut_ptr());
            to.copy_from_nonoverlapping(part.as_ptr(), n);
        }
    }
    /// The numbers one by one, the first COUNT of them.
    #[inline(always)]
    fn numbers(self) -> [f32; MOST] {
        let mut numbers = [0.0; MOST];
        // SAFETY: there is room for every kind of lanes.
        unsafe { self.store(numbers.as_mut_ptr()) };
        numbers
    }
    /// The sum of all lanes.
    #[inline(always)]
    fn total(self) -> f64 {
        let numbers = self.numbers().map(f64::from);
        let mut sums = [0.0; 4];
        for (i, x) in numbers.iter().enumerate() {
            sums[i % 4] += x;
        }
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }
    /// The greatest of all lanes; NaN is passed over.
    #[inline(always)]
    fn most(self) -> f32 {
        let mut most = f32::NEG_INFINITY;
        for &x in &self.numbers()[..Self::COUNT] {
            most = if x > most { x } else { most };
        }
        most
    }

    /// self · b + c, rounded once where the processor does.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// self · b + c, rounded once.
    fn fused(self, b: Self, c: Self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    /// The lower one; NaN where `self` is.
    fn at_most(self, high: Self) -> Self;
    /// The higher one; NaN where `self` is.
    fn at_least(self, low: Self) -> Self;
    /// The size of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;

    fn lt(self, other: Self) -> Self::Mask;
    fn equals(self, other: Self) -> Self::Mask;
    fn is_nan(self) -> Self::Mask;
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    fn any(mask: Self::Mask) -> bool;

    fn xor_bits(self, other: Self) -> Self;
    fn and_bits(self, other: Self) -> Self;
    fn add_bits(self, other: Self) -> Self;
    fn sub_bits(self, other: Self) -> Self;
    fn shl_bits<const N: u32>(self) -> Self;
    /// Arithmetic.
    fn shr_bits<const N: u32>(self) -> Self;
    /// The number that the bits are as an integer.
    fn bits_to_float(self) -> Self;
    /// `table[bits % 16]`
    fn lookup(self, table: &[f32; 16]) -> Self;

    #[inline(always)]
    fn all_bits(bits: u32) -> Self {
        Self::all(f32::from_bits(bits))
    }

    /// self · 2ⁿ, rounded once, for |self| in ½ … 2 and integers n in -252 … 252.
    #[inline(always)]
    fn scale(self, n: Self) -> Self {
        let bits = (n + Self::all(ROUND)).sub_bits(Self::all(ROUND));
        let half = bits.shr_bits::<1>();
        let power = |k: Self| k.add_bits(Self::all_bits(127)).shl_bits::<23>();
        self * power(half) * power(bits.sub_bits(half))
    }

    /// 2ⁿ for integers n in -126 … 127.
    #[inline(always)]
    fn power(n: Self) -> Self {
        (n + Self::all(ROUND))
            .shl_bits::<23>()
            .add_bits(Self::all(1.0))
    }

    /// self = m · 2ᵉ with m in ¾ … 1½, as (m, e), for positive numbers; (1, ±∞) for 0 and ∞, else NaN.
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let base = Self::all(0.75);
        let is_denormal = self.lt(Self::all(f32::MIN_POSITIVE));
        let scaled = Self::select(is_denormal, self * Self::all(8_388_608.0), self);
        let bits = scaled.sub_bits(base);
        let m = bits.and_bits(Self::all_bits(0x007f_ffff)).add_bits(base);
        let less = Self::select(is_denormal, Self::all(23.0), Self::all(0.0));
        let e = bits.shr_bits::<23>().bits_to_float() - less;
        let infinity = Self::all(f32::INFINITY);
        let is_zero = self.equals(Self::all(0.0));
        let e = Self::select(is_zero, -infinity, e);
        let e = Self::select(self.lt(infinity), e, self);
        let e = Self::select(self.lt(Self::all(0.0)), Self::all(f32::NAN), e);
        let is_number = Self::select(is_zero, infinity, self.abs()).lt(infinity);
        (Self::select(is_number, m, Self::all(1.0)), e)
    }

    /// `value`, but `zero` where x is 0, ∞ where x is ∞, and NaN where x is NaN or negative; ZERO is ±∞.
    #[inline(always)]
    fn at_limits<const NEGATIVE: bool>(value: Self, x: Self) -> Self {
        let zero = if NEGATIVE {
            f32::NEG_INFINITY
        } else {
            f32::INFINITY
        };
        let value = Self::select(x.lt(Self::all(f32::INFINITY)), value, x);
        let value = Self::select(x.lt(Self::all(0.0)), Self::all(f32::NAN), value);
        Self::select(x.equals(Self::all(0.0)), Self::all(zero), value)
    }

    /// floor(log₂ |self|) of normal numbers.
    #[inline(always)]
    fn exponent(self) -> Self {
        let bits = self.abs().shr_bits::<23>().bits_to_float();
        bits - Self::all(127.0)
    }

    /// Σ c[i] · selfⁱ by Horner's rule; `c` has the highest power first.
    #[inline(always)]
    fn polynomial<const N: usize>(self, c: [f32; N]) -> Self {
        let mut sum = Self::all(c[0]);
        let mut i = 1;
        while i < N {
            sum = sum.mul_add(self, Self::all(c[i]));
            i += 1;
        }
        sum
    }
}

impl Lanes for f32 {
    const COUNT: usize = 1;
    type Mask = bool;

    #[inline(always)]
    fn all(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { *to = self }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { *to = self }
    }
    #[inline(always)]
    fn mul_add(self, b: f32, c: f32) -> f32 {
        self * b + c
    }
    /// The product is exact in float64; the sum's second rounding hardly ever shows.
    #[inline(always)]
    fn fused(self, b: f32, c: f32) -> f32 {
        (f64::from(self) * f64::from(b) + f64::from(c)) as f32
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        self.sqrt()
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        self.abs()
    }
    #[inline(always)]
    fn at_most(self, high: f32) -> f32 {
        if self > high { high } else { self }
    }
    #[inline(always)]
    fn at_least(self, low: f32) -> f32 {
        if self < low { low } else { self }
    }
    #[inline(always)]
    fn copysign(self, sign: f32) -> f32 {
        self.copysign(sign)
    }
    #[inline(always)]
    fn lt(self, other: f32) -> bool {
        self < other
    }
    #[inline(always)]
    fn equals(self, other: f32) -> bool {
        self == other
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
    #[inline(always)]
    fn select(mask: bool, yes: f32, no: f32) -> f32 {
        if mask { yes } else { no }
    }
    #[inline(always)]
    fn any(mask: bool) -> bool {
        mask
    }
    #[inline(always)]
    fn xor_bits(self, other: f32) -> f32 {
        f32::from_bits(self.to_bits() ^ other.to_bits())
    }
    #[inline(always)]
    fn and_bits(self, other: f32) -> f32 {
        f32::from_bits(self.to_bits() & other.to_bits())
    }
    #[inline(always)]
    fn add_bits(self, other: f32) -> f32 {
        f32::from_bits(self.to_bits().wrapping_add(other.to_bits()))
    }
    #[inline(always)]
    fn sub_bits(self, other: f32) -> f32 {
        f32::from_bits(self.to_bits().wrapping_sub(other.to_bits()))
    }
    #[inline(always)]
    fn shl_bits<const N: u32>(self) -> f32 {
        f32::from_bits(self.to_bits() << N)
    }
    #[inline(always)]
    fn shr_bits<const N: u32>(self) -> f32 {
        f32::from_bits((self.to_bits() as i32 >> N) as u32)
    }
    #[inline(always)]
    fn bits_to_float(self) -> f32 {
        self.to_bits() as i32 as f32
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 16]) -> f32 {
        table[(self.to_bits() & 15) as usize]
    }
}

/// Work that is written for lanes of any kind.
pub trait Job {
    type Out;
    /// To be marked `#[inline(always)]`, so that it is compiled for the instructions of V.
    ///
    /// # Safety
    /// As the job says; the processor has the instructions of V.
    unsafe fn with<V: Lanes>(self) -> Self::Out;
}

/// Does a job with the instructions of the level in use.
///
/// # Safety
/// As the job says.
pub unsafe fn dispatch<J: Job>(job: J) -> J::Out {
    // SAFETY: a level is only ever in use if the processor has its instructions; the rest is the caller's promise.
    unsafe { dispatch_at(simd::level(), job) }
}

/// [`dispatch`] with the instructions of a level.
///
/// # Safety
/// As the job says, and the processor has that level.
pub unsafe fn dispatch_at<J: Job>(level: Level, job: J) -> J::Out {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
    )]
    unsafe fn avx512<J: Job>(job: J) -> J::Out {
        // SAFETY: the caller's promise, passed on; so below.
        unsafe { job.with::<Avx512>() }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn avx2<J: Job>(job: J) -> J::Out {
        // SAFETY: as above.
        unsafe { job.with::<Avx2>() }
    }
    // SAFETY: as above.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(job),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(job),
            _ => job.with::<f32>(),
        }
    }
}

/// `out[at..at + count] = value(at, count)` for n numbers: `count` is COUNT but at the ends. STREAMED goes past the caches.
/// The closure is to be `#[inline(always)]`, so that it is compiled for the instructions of V.
///
/// # Safety
/// `out` has room for n; where it is STREAMED, a `stream::fence` follows.
#[inline(always)]
pub unsafe fn produce<V: Lanes, const STREAMED: bool>(
    out: *mut f32,
    n: usize,
    value: impl Fn(usize, usize) -> V,
) {
    let mut at = 0;
    // SAFETY: `at + count` is n at most; what is streamed is aligned.
    unsafe {
        if STREAMED && V::COUNT > 1 {
            let head = out.align_offset(64).min(n);
            while at < head {
                let count = V::COUNT.min(head - at);
                value(at, count).store_some(out.add(at), count);
                at += count;
            }
        }
        while at + V::COUNT <= n {
            let v = value(at, V::COUNT);
            if STREAMED {
                v.stream(out.add(at));
            } else {
                v.store(out.add(at));
            }
            at += V::COUNT;
        }
        if at < n {
            value(at, n - at).store_some(out.add(at), n - at);
        }
    }
}

/// A function of N numbers, written for lanes of any kind: see [`formula!`](crate::formula).
pub trait Formula<const N: usize>: Copy {
    fn value<V: Lanes>(self, x: [V; N]) -> V;
}

/// How many numbers before their use an input of what is streamed is asked for.
pub const AHEAD: usize = 256;

/// A formula for n numbers.
struct Each<const N: usize, const STREAMED: bool, F> {
    formula: F,
    ins: [*const f32; 3],
    out: *mut f32,
    n: usize,
}

impl<const N: usize, const STREAMED: bool, F: Formula<N>> Job for Each<N, STREAMED, F> {
    type Out = ();
    #[inline(always)]
    unsafe fn with<V: Lanes>(self) {
        const { assert!(N <= 3 && V::COUNT <= MOST) };
        // SAFETY: the caller of `run_at` gives n numbers of each.
        unsafe {
            produce::<V, STREAMED>(
                self.out,
                self.n,
                #[inline(always)]
                |at, count| {
                    let mut x = [V::all(0.0); N];
                    for (x, from) in x.iter_mut().zip(self.ins) {
                        if STREAMED {
                            stream::prefetch(from.wrapping_add(at + AHEAD));
                        }
                        *x = V::load_some(from.add(at), count, 1.0);
                    }
                    self.formula.value(x)
                },
            )
        }
    }
}

/// `out[i] = formula(a[i], b[i], c[i])` for n numbers, with the instructions of the level in use. A number's result does
/// not depend on its place. STREAMED goes past the caches, and a `stream::fence` must follow.
///
/// # Safety
/// Each of the first N inputs has n numbers; `out` has room for as many, and overlaps none that it is not.
pub unsafe fn run<const N: usize, const STREAMED: bool, F: Formula<N>>(
    formula: F,
    ins: [*const f32; 3],
    out: *mut f32,
    n: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { run_at::<N, STREAMED, F>(simd::level(), formula, ins, out, n) }
}

/// [`run`] with the instructions of a level that the processor has.
///
/// # Safety
/// As for [`run`], and the processor has that level.
pub unsafe fn run_at<const N: usize, const STREAMED: bool, F: Formula<N>>(
    level: Level,
    formula: F,
    ins: [*const f32; 3],
    out: *mut f32,
    n: usize,
) {
    let job = Each::<N, STREAMED, F> {
        formula,
        ins,
        out,
        n,
    };
    // SAFETY: the caller's promise.
    unsafe { dispatch_at(level, job) }
}

/// Declares a [`Formula`](crate::lanes::Formula): `formula!(Name [x, y] { value in terms of x and y })`.
#[macro_export]
macro_rules! formula {
    ($name:ident $ins:tt { $value:expr }) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl $crate::lanes::Formula<{ $crate::formula!(@count $ins) }> for $name {
            #[inline(always)]
            fn value<V: $crate::lanes::Lanes>(self, $ins: [V; { $crate::formula!(@count $ins) }]) -> V {
                $value
            }
        }
    };
    (@count [$x:ident]) => { 1 };
    (@count [$x:ident, $y:ident]) => { 2 };
    (@count [$x:ident, $y:ident, $z:ident]) => { 3 };
}
