//! Lanes of AVX2 with FMA, and of AVX-512. Each method is a few instructions, and is always inlined into a function that
//! was compiled for them.

use super::Lanes;
use core::arch::x86_64::*;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// Eight float32. Only for functions compiled for AVX2 and FMA.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Avx2(__m256);

/// Sixteen float32. Only for functions compiled for AVX-512 F, BW, DQ and VL.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Avx512(__m512);

macro_rules! operators {
    ($($lanes:ident: $add:ident, $sub:ident, $mul:ident, $div:ident);*) => { $(
        operators!(@ $lanes, Add, add, $add);
        operators!(@ $lanes, Sub, sub, $sub);
        operators!(@ $lanes, Mul, mul, $mul);
        operators!(@ $lanes, Div, div, $div);
        impl Neg for $lanes {
            type Output = $lanes;
            #[inline(always)]
            fn neg(self) -> $lanes {
                self.xor_bits($lanes::all(-0.0))
            }
        }
    )* };
    (@ $lanes:ident, $trait:ident, $method:ident, $intrinsic:ident) => {
        impl $trait for $lanes {
            type Output = $lanes;
            #[inline(always)]
            fn $method(self, other: $lanes) -> $lanes {
                // SAFETY: such lanes exist only in functions compiled for them; so below.
                unsafe { $lanes($intrinsic(self.0, other.0)) }
            }
        }
    };
}
operators!(
    Avx2: _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps;
    Avx512: _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps
);

/// Methods of one intrinsic; SAFETY: such lanes exist only in functions compiled for them.
macro_rules! methods {
    ($($name:ident($($arg:ident),*) = $value:expr;)*) => { $(
        #[inline(always)]
        fn $name(self $(, $arg: Self)*) -> Self {
            let x = self.0;
            $( let $arg = $arg.0; )*
            // SAFETY: as the macro says.
            unsafe { Self($value(x $(, $arg)*)) }
        }
    )* };
}

/// The mask of the first n lanes.
#[inline(always)]
fn first(n: usize) -> __m256i {
    // SAFETY: as for the operators; so below.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes)
    }
}

#[inline(always)]
fn first_mask(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as u16
}

impl Lanes for Avx2 {
    const COUNT: usize = 8;
    type Mask = __m256;

    #[inline(always)]
    fn all(x: f32) -> Avx2 {
        // SAFETY: as for the operators; so below.
        unsafe { Avx2(_mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Avx2 {
        // SAFETY: the caller's promise.
        unsafe { Avx2(_mm256_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_stream_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, n: usize, rest: f32) -> Avx2 {
        // SAFETY: lanes past n are not read; so below.
        unsafe {
            if n == Self::COUNT {
                return Self::load(from);
            }
            let mask = first(n);
            let some = _mm256_maskload_ps(from, mask);
            Avx2(_mm256_blendv_ps(
                _mm256_set1_ps(rest),
                some,
                _mm256_castsi256_ps(mask),
            ))
        }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, n: usize) {
        // SAFETY: as above.
        unsafe {
            if n == Self::COUNT {
                return self.store(to);
            }
            _mm256_maskstore_ps(to, first(n), self.0)
        }
    }
    #[inline(always)]
    fn total(self) -> f64 {
        unsafe {
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(self.0));
            let high = _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.0));
            let four = _mm256_add_pd(low, high);
            let pairs = _mm256_hadd_pd(four, four);
            let upper = _mm256_extractf128_pd::<1>(pairs);
            _mm_cvtsd_f64(_mm_add_sd(_mm256_castpd256_pd128(pairs), upper))
        }
    }
    #[inline(always)]
    fn most(self) -> f32 {
        unsafe {
            let low = _mm256_castps256_ps128(self.0);
            let four = _mm_max_ps(low, _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
    methods! {
        mul_add(b, c) = _mm256_fmadd_ps;
        fused(b, c) = _mm256_fmadd_ps;
        sqrt() = _mm256_sqrt_ps;
        abs() = |x| _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
        at_most(high) = |x, high| _mm256_min_ps(high, x);
        at_least(low) = |x, low| _mm256_max_ps(low, x);
        copysign(sign) = |x, sign| {
            let bit = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(bit, x), _mm256_and_ps(bit, sign))
        };
        xor_bits(other) = _mm256_xor_ps;
        and_bits(other) = _mm256_and_ps;
        add_bits(other) = |a, b| _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
        sub_bits(other) = |a, b| _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
        bits_to_float() = |x| _mm256_cvtepi32_ps(_mm256_castps_si256(x));
    }
    #[inline(always)]
    fn lt(self, other: Avx2) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0) }
    }
    #[inline(always)]
    fn equals(self, other: Avx2) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, other.0) }
    }
    #[inline(always)]
    fn is_nan(self) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0) }
    }
    #[inline(always)]
    fn select(mask: __m256, yes: Avx2, no: Avx2) -> Avx2 {
        unsafe { Avx2(_mm256_blendv_ps(no.0, yes.0, mask)) }
    }
    #[inline(always)]
    fn any(mask: __m256) -> bool {
        unsafe { _mm256_movemask_ps(mask) != 0 }
    }
    #[inline(always)]
    fn shl_bits<const N: u32>(self) -> Avx2 {
        let count = const { N as i64 };
        unsafe {
            Avx2(_mm256_castsi256_ps(_mm256_sll_epi32(
                _mm256_castps_si256(self.0),
                _mm_cvtsi64_si128(count),
            )))
        }
    }
    #[inline(always)]
    fn shr_bits<const N: u32>(self) -> Avx2 {
        let count = const { N as i64 };
        unsafe {
            Avx2(_mm256_castsi256_ps(_mm256_sra_epi32(
                _mm256_castps_si256(self.0),
                _mm_cvtsi64_si128(count),
            )))
        }
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 16]) -> Avx2 {
        unsafe {
            let index = _mm256_castps_si256(self.0);
            let low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), index);
            let high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr().add(8)), index);
            let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
            Avx2(_mm256_blendv_ps(low, high, upper))
        }
    }
}

/// What `vfixupimmps` makes of each kind of number: 0 leaves the value, 2 is NaN kept, 3 a new NaN, 4 and 5 are -∞ and ∞.
const fn fixup(zero: i32) -> i32 {
    // QNaN, SNaN, 0, 1, -∞, ∞, negative, positive.
    2 | 2 << 4 | zero << 8 | 3 << 16 | 5 << 20 | 3 << 24
}

impl Lanes for Avx512 {
    const COUNT: usize = 16;
    type Mask = __mmask16;

    #[inline(always)]
    fn all(x: f32) -> Avx512 {
        unsafe { Avx512(_mm512_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Avx512 {
        // SAFETY: the caller's promise.
        unsafe { Avx512(_mm512_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_stream_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, n: usize, rest: f32) -> Avx512 {
        // SAFETY: lanes past n are not read; so below.
        unsafe {
            Avx512(_mm512_mask_loadu_ps(
                _mm512_set1_ps(rest),
                first_mask(n),
                from,
            ))
        }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, n: usize) {
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(to, first_mask(n), self.0) }
    }
    #[inline(always)]
    fn total(self) -> f64 {
        unsafe {
            let low = _mm512_cvtps_pd(_mm512_castps512_ps256(self.0));
            let high = _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(self.0));
            _mm512_reduce_add_pd(_mm512_add_pd(low, high))
        }
    }
    #[inline(always)]
    fn most(self) -> f32 {
        unsafe { _mm512_reduce_max_ps(self.0) }
    }
    methods! {
        mul_add(b, c) = _mm512_fmadd_ps;
        fused(b, c) = _mm512_fmadd_ps;
        sqrt() = _mm512_sqrt_ps;
        abs() = _mm512_abs_ps;
        at_most(high) = |x, high| _mm512_min_ps(high, x);
        at_least(low) = |x, low| _mm512_max_ps(low, x);
        copysign(sign) = |x, sign| {
            // sign bit ? sign : x
            let bit = _mm512_set1_epi32(i32::MIN);
            let (x, sign) = (_mm512_castps_si512(x), _mm512_castps_si512(sign));
            _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<0xca>(bit, sign, x))
        };
        xor_bits(other) = _mm512_xor_ps;
        and_bits(other) = _mm512_and_ps;
        add_bits(other) = |a, b| _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
        sub_bits(other) = |a, b| _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
        bits_to_float() = |x| _mm512_cvtepi32_ps(_mm512_castps_si512(x));
        scale(n) = _mm512_scalef_ps;
        exponent() = _mm512_getexp_ps;
    }
    #[inline(always)]
    fn power(n: Avx512) -> Avx512 {
        Avx512::all(1.0).scale(n)
    }
    #[inline(always)]
    fn split(self) -> (Avx512, Avx512) {
        unsafe {
            let m = _mm512_getmant_ps::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_NAN>(self.0);
            let e = _mm512_sub_ps(_mm512_getexp_ps(self.0), _mm512_getexp_ps(m));
            (Avx512(m), Avx512(e))
        }
    }
    #[inline(always)]
    fn at_limits<const NEGATIVE: bool>(value: Avx512, x: Avx512) -> Avx512 {
        let kinds = const { fixup(if NEGATIVE { 4 } else { 5 }) };
        unsafe {
            let kinds = _mm512_set1_epi32(kinds);
            Avx512(_mm512_fixupimm_ps::<0>(value.0, x.0, kinds))
        }
    }
    #[inline(always)]
    fn lt(self, other: Avx512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0) }
    }
    #[inline(always)]
    fn equals(self, other: Avx512) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0) }
    }
    #[inline(always)]
    fn is_nan(self) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0) }
    }
    #[inline(always)]
    fn select(mask: __mmask16, yes: Avx512, no: Avx512) -> Avx512 {
        unsafe { Avx512(_mm512_mask_blend_ps(mask, no.0, yes.0)) }
    }
    #[inline(always)]
    fn any(mask: __mmask16) -> bool {
        mask != 0
    }
    #[inline(always)]
    fn shl_bits<const N: u32>(self) -> Avx512 {
        unsafe {
            Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<N>(
                _mm512_castps_si512(self.0),
            )))
        }
    }
    #[inline(always)]
    fn shr_bits<const N: u32>(self) -> Avx512 {
        unsafe {
            Avx512(_mm512_castsi512_ps(_mm512_srai_epi32::<N>(
                _mm512_castps_si512(self.0),
            )))
        }
    }
    #[inline(always)]
    fn lookup(self, table: &[f32; 16]) -> Avx512 {
        unsafe {
            let table = _mm512_loadu_ps(table.as_ptr());
            Avx512(_mm512_permutexvar_ps(_mm512_castps_si512(self.0), table))
        }
    }
}
