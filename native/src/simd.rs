//! Instruction sets: what the processor has, what is used, and `simd!`, which compiles one function three times.
//! Kernels are plain loops that LLVM vectorises; hand-written intrinsics live only where that is not enough: gemm, and
//! elementary functions (lanes.rs).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// What kernels are compiled for. A level includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The base build: SSE2 on x86-64.
    Portable,
    /// AVX2 with FMA, F16C, BMI1 and BMI2 (Haswell, Zen).
    Avx2,
    /// AVX-512 F, BW, DQ, VL and CD (Skylake-X, Zen 4).
    Avx512,
}

const UNKNOWN: u8 = u8::MAX;
static LEVEL: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The level in use: the detected one, lowered by `TORO_SIMD=portable|avx2|avx512`.
#[inline(always)]
pub fn level() -> Level {
    decode(LEVEL.load(Ordering::Relaxed)).unwrap_or_else(choose)
}

/// The highest level this processor and operating system can run.
pub fn detected() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2")
            && has!("fma")
            && has!("f16c")
            && has!("bmi1")
            && has!("bmi2")
            && has!("lzcnt")
            && has!("popcnt");
        let avx512 = has!("avx512f")
            && has!("avx512bw")
            && has!("avx512dq")
            && has!("avx512vl")
            && has!("avx512cd");
        if avx2 && avx512 {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Portable
}

/// Uses `level` from now on, for tests and benchmarks. False, and nothing changes, if the processor cannot run it.
pub fn force(level: Level) -> bool {
    let possible = level <= detected();
    if possible {
        LEVEL.store(level as u8, Ordering::Relaxed);
    }
    possible
}

#[inline(always)]
fn decode(byte: u8) -> Option<Level> {
    match byte {
        0 => Some(Level::Portable),
        1 => Some(Level::Avx2),
        2 => Some(Level::Avx512),
        _ => None,
    }
}

#[cold]
fn choose() -> Level {
    let asked = match std::env::var("TORO_SIMD").as_deref() {
        Ok("portable") => Level::Portable,
        Ok("avx2") => Level::Avx2,
        _ => Level::Avx512,
    };
    let level = asked.min(detected());
    LEVEL.store(level as u8, Ordering::Relaxed);
    level
}

/// Dot products of bf16 pairs (`vdpbf16ps`), where the level in use is AVX-512.
pub fn has_avx512_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        level() == Level::Avx512 && std::arch::is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Dot products of int8 quadruples (`vpdpbusd`), where the level in use is AVX-512.
pub fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        level() == Level::Avx512 && std::arch::is_x86_feature_detected!("avx512vnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Matrix tiles for bf16 and int8, where the level in use is AVX-512 and the system lets this process use them.
pub fn has_amx() -> bool {
    static AMX: OnceLock<bool> = OnceLock::new();
    level() == Level::Avx512 && *AMX.get_or_init(request_amx)
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn request_amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    #[target_feature(enable = "xsave")]
    fn tiles_enabled() -> bool {
        // SAFETY: the caller has checked OSXSAVE.
        let state = unsafe { _xgetbv(0) };
        state & 0x6_0000 == 0x6_0000
    }

    const BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    let osxsave = __cpuid(1).ecx & 1 << 27 != 0;
    let amx = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & BF16_TILE_INT8 == BF16_TILE_INT8;
    // SAFETY: OSXSAVE implies XSAVE.
    if !amx || !osxsave || !unsafe { tiles_enabled() } {
        return false;
    }
    // Linux hands out the tile state on request: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
    let result: i64;
    // SAFETY: a system call that touches no memory of ours; rcx and r11 are what `syscall` overwrites.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") 158i64 => result, in("rdi") 0x1023, in("rsi") 18,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn request_amx() -> bool {
    false
}

/// Lanes as they are, hidden from LLVM between the loop that fills them and what joins them: else it carries them through
/// the loop in pairs that suit the joining.
#[inline(always)]
pub fn lanes<T>(lanes: T) -> T {
    core::hint::black_box(lanes)
}

/// At the end of a loop's body: LLVM vectorises within the body only. Else it takes one lane of several rounds together
/// where the order of sums does not matter, and gathers them one by one.
#[inline(always)]
pub fn step() {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}

/// Neighbours of at most 16 bytes as they are, in a register of their own: else LLVM may gather one of each of several such
/// from far apart, which costs more than all the rest.
#[inline(always)]
pub fn apart<T: Copy>(x: T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::__m128;
        if size_of::<T>() <= size_of::<__m128>() {
            let mut register = core::mem::MaybeUninit::<__m128>::zeroed();
            // SAFETY: the value fits, any bits are a vector, and the asm leaves the register as it is.
            unsafe {
                register.as_mut_ptr().cast::<T>().write(x);
                let mut vector = register.assume_init();
                core::arch::asm!("/* {0} */", inout(xmm_reg) vector, options(pure, nomem, nostack, preserves_flags));
                return core::mem::transmute_copy(&vector);
            }
        }
    }
    x
}

/// Compiles a function for every level and picks one at run time.
///
/// ```ignore
/// simd! {
///     /// y += a * x
///     pub fn axpy<T: Element>(a: T, x: &[T], y: &mut [T]) {
///         for (y, &x) in y.iter_mut().zip(x) { *y = *y + a * x; }
///     }
/// }
/// ```
///
/// Takes one function (`unsafe` allowed) with plain argument names and generics of the form `T` or `T: Path`; one
/// `const N: usize` may come first. What the body calls must be `#[inline(always)]`, or it is compiled for the base level; the same
/// goes for closures that LLVM might not inline. Use `a * b + c` in bodies, never `mul_add`: without FMA that is a slow
/// library call, and with it results would differ between levels (functions over [`Lanes`](crate::lanes::Lanes) fuse).
/// The dispatch costs about a nanosecond: call it per slice, not per element.
#[macro_export]
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        $crate::__simd! { [$(#[$meta])*] [$vis] [] fn $($rest)* }
    };
    ($(#[$meta:meta])* $vis:vis unsafe fn $($rest:tt)*) => {
        $crate::__simd! { [$(#[$meta])*] [$vis] [unsafe] fn $($rest)* }
    };
}

/// The work behind [`simd!`]; first the generics are brought into one form, then the function is written out.
#[doc(hidden)]
#[macro_export]
macro_rules! __simd {
    ($head:tt $vis:tt $safety:tt fn $name:ident<const $size:ident : $kind:ty $(, $generic:ident $(: $bound:path)?)* $(,)?>
        $($rest:tt)*) => {
        $crate::__simd! { @ $head $vis $safety $name [const $size: $kind $(, $generic $(: $bound)?)*]
            [$size $(, $generic)*] $($rest)* }
    };
    ($head:tt $vis:tt $safety:tt fn $name:ident<$($generic:ident $(: $bound:path)?),+ $(,)?> $($rest:tt)*) => {
        $crate::__simd! { @ $head $vis $safety $name [$($generic $(: $bound)?),+] [$($generic),+] $($rest)* }
    };
    ($head:tt $vis:tt $safety:tt fn $name:ident $($rest:tt)*) => {
        $crate::__simd! { @ $head $vis $safety $name [] [] $($rest)* }
    };
    (@ [$($meta:tt)*] [$vis:vis] [$($safety:tt)?] $name:ident [$($generics:tt)*] [$($names:tt)*]
        ($($arg:ident : $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $($meta)*
        #[allow(clippy::too_many_arguments)]
        $vis $($safety)? fn $name<$($generics)*>($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            $($safety)? fn portable<$($generics)*>($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
            #[allow(clippy::too_many_arguments, unused_unsafe)]
            $($safety)? fn avx2<$($generics)*>($($arg: $type),*) $(-> $ret)? {
                // SAFETY: the caller's promise, passed on.
                unsafe { portable::<$($names)*>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
            #[allow(clippy::too_many_arguments, unused_unsafe)]
            $($safety)? fn avx512<$($generics)*>($($arg: $type),*) $(-> $ret)? {
                // SAFETY: the caller's promise, passed on.
                unsafe { portable::<$($names)*>($($arg),*) }
            }

            // SAFETY: a level is only ever in use if the processor has its instructions.
            #[allow(unused_unsafe)]
            unsafe {
                match $crate::simd::level() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512 => avx512::<$($names)*>($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx2 => avx2::<$($names)*>($($arg),*),
                    _ => portable::<$($names)*>($($arg),*),
                }
            }
        }
    };
}

/// The level belongs to the process: tests that change it, or need it to stay, take turns.
#[cfg(test)]
pub fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Scale {
        const BY: f32;
    }
    struct Three;
    impl Scale for Three {
        const BY: f32 = 3.0;
    }

    simd! {
        /// y += x * BY
        fn add_scaled<S: Scale>(x: &[f32], y: &mut [f32]) -> usize {
            for (y, &x) in y.iter_mut().zip(x) {
                *y += x * S::BY;
            }
            x.len()
        }
    }

    simd! {
        unsafe fn sum<const N: usize, T: Copy>(x: *const T, into: fn(T) -> f64) -> f64 {
            // SAFETY: the caller gives N readable elements.
            (0..N).map(|i| into(unsafe { *x.add(i) })).sum()
        }
    }

    simd! { fn plain(x: f32) -> f32 { x + 1.0 } }

    #[test]
    fn every_level_computes_the_same() {
        let _turn = turn();
        let before = level();
        let x: Vec<f32> = (0..103).map(|i| i as f32 * 0.37).collect();
        let mut results = Vec::new();
        for level in [Level::Portable, Level::Avx2, Level::Avx512] {
            if force(level) {
                let mut y = vec![1.0f32; 103];
                assert_eq!(add_scaled::<Three>(&x, &mut y), 103);
                results.push(y);
            }
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(plain(1.0), 2.0);
        // SAFETY: `x` has more than four elements.
        assert!((unsafe { sum::<4, f32>(x.as_ptr(), f64::from) } - 6.0 * 0.37).abs() < 1e-6);
        assert!(force(before));
        let _ = (has_amx(), has_vnni(), has_avx512_bf16());
    }
}
