//! Vectors of float32 for functions that are written once and compiled for each instruction set. AVX2 and AVX-512 lanes
//! fuse products with sums, and compute the same bits; one float32 alone, which serves the portable level and kernels
//! that LLVM vectorises itself, rounds twice there.

use crate::simd::{self, Level};
use core::ops::{Add, Div, Mul, Neg, Sub};

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

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

/// [`run`] with lanes of one kind.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn each<V: Lanes, const N: usize, F: Formula<N>>(
    formula: F,
    ins: [*const f32; 3],
    out: *mut f32,
    n: usize,
) {
    const { assert!(N <= 3 && V::COUNT <= 16) };
    let whole = n - n % V::COUNT;
    let mut at = 0;
    while at < whole {
        let mut x = [V::all(0.0); N];
        // SAFETY: COUNT numbers from `at` on lie within n.
        unsafe {
            for (x, from) in x.iter_mut().zip(ins) {
                *x = V::load(from.add(at));
            }
            formula.value(x).store(out.add(at));
        }
        at += V::COUNT;
    }
    if whole < n {
        let rest = n - whole;
        let mut x = [V::all(0.0); N];
        let mut part = [1.0f32; 16];
        // SAFETY: a vector's numbers at most, of which `rest` come from the inputs and go to the output.
        unsafe {
            for (x, from) in x.iter_mut().zip(ins) {
                part.as_mut_ptr()
                    .copy_from_nonoverlapping(from.add(whole), rest);
                *x = V::load(part.as_ptr());
            }
            formula.value(x).store(part.as_mut_ptr());
            out.add(whole).copy_from_nonoverlapping(part.as_ptr(), rest);
        }
    }
}

/// A function of N numbers, written for lanes of any kind: see [`formula!`](crate::formula).
pub trait Formula<const N: usize>: Copy {
    fn value<V: Lanes>(self, x: [V; N]) -> V;
}

/// `out[i] = formula(a[i], b[i], c[i])` for n numbers, with the instructions of the level in use. A number's result does
/// not depend on its place.
///
/// # Safety
/// Each of the first N inputs has n numbers, `out` has room for as many and overlaps none.
pub unsafe fn run<const N: usize, F: Formula<N>>(
    formula: F,
    ins: [*const f32; 3],
    out: *mut f32,
    n: usize,
) {
    // SAFETY: a level is only ever in use if the processor has its instructions; the rest is the caller's promise.
    unsafe { run_at(simd::level(), formula, ins, out, n) }
}

/// [`run`] with the instructions of a level that the processor has.
///
/// # Safety
/// As for [`run`], and the processor has that level.
pub unsafe fn run_at<const N: usize, F: Formula<N>>(
    level: Level,
    formula: F,
    ins: [*const f32; 3],
    out: *mut f32,
    n: usize,
) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
    )]
    unsafe fn avx512<const N: usize, F: Formula<N>>(
        f: F,
        ins: [*const f32; 3],
        out: *mut f32,
        n: usize,
    ) {
        // SAFETY: the caller's promise, passed on; so below.
        unsafe { each::<Avx512, N, F>(f, ins, out, n) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn avx2<const N: usize, F: Formula<N>>(
        f: F,
        ins: [*const f32; 3],
        out: *mut f32,
        n: usize,
    ) {
        // SAFETY: as above.
        unsafe { each::<Avx2, N, F>(f, ins, out, n) }
    }
    // SAFETY: as above.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(formula, ins, out, n),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(formula, ins, out, n),
            _ => each::<f32, N, F>(formula, ins, out, n),
        }
    }
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
