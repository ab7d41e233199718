//! Registers of each instruction set, as the micro-kernels use them.

/// One register of elements.
pub trait Lanes {
    type T: Copy;
    type V: Copy;
    const N: usize;
    /// Rows of a full tile, with two registers of columns.
    const ROWS: usize;
    unsafe fn zero() -> Self::V;
    unsafe fn splat(x: Self::T) -> Self::V;
    unsafe fn load(p: *const Self::T) -> Self::V;
    /// The first `n` lanes from memory, zero in the others.
    unsafe fn load_part(p: *const Self::T, n: usize) -> Self::V;
    unsafe fn store(p: *mut Self::T, v: Self::V);
    unsafe fn store_part(p: *mut Self::T, v: Self::V, n: usize);
    /// a · b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// 0 for negative lanes; NaN stays.
    unsafe fn relu(a: Self::V) -> Self::V;
}

macro_rules! portable_lanes {
    ($name:ident, $t:ty, $n:literal) => {
        pub struct $name;
        impl Lanes for $name {
            type T = $t;
            type V = [$t; $n];
            const N: usize = $n;
            const ROWS: usize = 4;
            #[inline(always)]
            unsafe fn zero() -> Self::V {
                [0.0; $n]
            }
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self::V {
                [x; $n]
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self::V {
                // SAFETY: the caller gives N readable elements.
                unsafe { p.cast::<[$t; $n]>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn load_part(p: *const $t, n: usize) -> Self::V {
                // SAFETY: the caller gives n readable elements.
                std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
            }
            #[inline(always)]
            unsafe fn store(p: *mut $t, v: Self::V) {
                // SAFETY: the caller gives N writable elements.
                unsafe { p.cast::<[$t; $n]>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn store_part(p: *mut $t, v: Self::V, n: usize) {
                for (i, x) in v.into_iter().enumerate().take(n) {
                    // SAFETY: the caller gives n writable elements.
                    unsafe { *p.add(i) = x };
                }
            }
            #[inline(always)]
            unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] * b[i] + c[i])
            }
            #[inline(always)]
            unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] * b[i])
            }
            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] + b[i])
            }
            #[inline(always)]
            unsafe fn relu(a: Self::V) -> Self::V {
                a.map(|x| if x < 0.0 { 0.0 } else { x })
            }
        }
    };
}

portable_lanes!(PortableF32, f32, 4);
portable_lanes!(PortableF64, f64, 2);

#[cfg(target_arch = "x86_64")]
macro_rules! x86_lanes {
    ($name:ident, $t:ty, $v:ty, $n:literal, $rows:literal, $zero:ident, $splat:ident, $load:ident, $store:ident,
        $fma:ident, $mul:ident, $add:ident, $max:ident, $part_load:expr, $part_store:expr) => {
        pub struct $name;
        // SAFETY of all methods: the caller runs on a processor with the instructions and gives valid addresses.
        impl Lanes for $name {
            type T = $t;
            type V = $v;
            const N: usize = $n;
            const ROWS: usize = $rows;
            #[inline(always)]
            unsafe fn zero() -> $v {
                // SAFETY: as stated above.
                unsafe { $zero() }
            }
            #[inline(always)]
            unsafe fn splat(x: $t) -> $v {
                // SAFETY: as stated above.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> $v {
                // SAFETY: as stated above.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn load_part(p: *const $t, n: usize) -> $v {
                // SAFETY: as stated above; lanes past n are not read.
                unsafe { $part_load(p, n) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut $t, v: $v) {
                // SAFETY: as stated above.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            unsafe fn store_part(p: *mut $t, v: $v, n: usize) {
                // SAFETY: as stated above; lanes past n are not written.
                unsafe { $part_store(p, v, n) }
            }
            #[inline(always)]
            unsafe fn fma(a: $v, b: $v, c: $v) -> $v {
                // SAFETY: as stated above.
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            unsafe fn mul(a: $v, b: $v) -> $v {
                // SAFETY: as stated above.
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            unsafe fn add(a: $v, b: $v) -> $v {
                // SAFETY: as stated above.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            unsafe fn relu(a: $v) -> $v {
                // SAFETY: as stated above. The second operand is what a NaN gives.
                unsafe { $max($zero(), a) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub use x86::*;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    x86_lanes!(
        Avx512F32,
        f32,
        __m512,
        16,
        14,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_mul_ps,
        _mm512_add_ps,
        _mm512_max_ps,
        |p, n: usize| _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, p),
        |p, v, n: usize| _mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as u16, v)
    );
    x86_lanes!(
        Avx512F64,
        f64,
        __m512d,
        8,
        14,
        _mm512_setzero_pd,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_mul_pd,
        _mm512_add_pd,
        _mm512_max_pd,
        |p, n: usize| _mm512_maskz_loadu_pd(((1u32 << n) - 1) as u8, p),
        |p, v, n: usize| _mm512_mask_storeu_pd(p, ((1u32 << n) - 1) as u8, v)
    );
    x86_lanes!(
        Avx2F32,
        f32,
        __m256,
        8,
        6,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_mul_ps,
        _mm256_add_ps,
        _mm256_max_ps,
        |p, n: usize| _mm256_maskload_ps(p, mask32(n)),
        |p, v, n: usize| _mm256_maskstore_ps(p, mask32(n), v)
    );
    x86_lanes!(
        Avx2F64,
        f64,
        __m256d,
        4,
        6,
        _mm256_setzero_pd,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_fmadd_pd,
        _mm256_mul_pd,
        _mm256_add_pd,
        _mm256_max_pd,
        |p, n: usize| _mm256_maskload_pd(p, mask64(n)),
        |p, v, n: usize| _mm256_maskstore_pd(p, mask64(n), v)
    );

    #[inline(always)]
    unsafe fn mask32(n: usize) -> __m256i {
        // SAFETY: only called at the AVX2 level.
        unsafe {
            _mm256_cmpgt_epi32(
                _mm256_set1_epi32(n as i32),
                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            )
        }
    }

    #[inline(always)]
    unsafe fn mask64(n: usize) -> __m256i {
        // SAFETY: only called at the AVX2 level.
        unsafe { _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), _mm256_setr_epi64x(0, 1, 2, 3)) }
    }
}
