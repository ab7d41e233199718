//! What this machine can do at most, measured with two threads: multiply-adds in registers and traffic of 64 MB arrays.
//! One file without dependencies for x86-64 and Linux, compiled by `deno task bench`; prints GFLOP/s, GOP/s and GB/s
//! as JSON. `limits avx2` leaves AVX-512 and AMX out.

use std::arch::asm;
use std::arch::is_x86_feature_detected as has;
use std::arch::x86_64::*;
use std::hint::black_box;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Release},
};
use std::time::{Duration, Instant};

const THREADS: usize = 2;
/// How long each is tried: a shared machine is slow for tenths of a second.
const LASTS: Duration = Duration::from_secs(1);
/// Sums that are under way at once: enough to hide the latency of one.
const SUMS: usize = 12;
const ROUNDS: usize = 200_000;
const FLOATS: usize = 1 << 24;

/// Billions a second over both threads, best of several: `work` units are done by each thread in one call of `body`.
/// The clock runs from the moment both may begin until both are done: threads that take turns on one processor would
/// each seem to have all of it.
fn best(work: f64, body: &(dyn Fn(usize) + Sync)) -> f64 {
    let (turn, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut seconds = f64::INFINITY;
    std::thread::scope(|scope| {
        for thread in 1..THREADS {
            let (turn, done) = (&turn, &done);
            scope.spawn(move || {
                for next in 1.. {
                    while turn.load(Acquire) < next {
                        std::hint::spin_loop();
                    }
                    if turn.load(Acquire) == usize::MAX {
                        return;
                    }
                    body(thread);
                    done.fetch_add(1, Release);
                }
            });
        }
        let begin = Instant::now();
        let mut turns = 0;
        while begin.elapsed() < LASTS {
            turns += 1;
            let begin = Instant::now();
            turn.store(turns, Release);
            body(0);
            while done.load(Acquire) < turns * (THREADS - 1) {
                std::hint::spin_loop();
            }
            seconds = seconds.min(begin.elapsed().as_secs_f64());
        }
        turn.store(usize::MAX, Release);
    });
    work * THREADS as f64 / seconds / 1e9
}

macro_rules! multiply_adds {
    ($name:ident, $features:literal, $zero:expr, $step:expr) => {
        #[target_feature(enable = $features)]
        fn $name() {
            let mut sums = [$zero; SUMS];
            let (a, b) = black_box(($zero, $zero));
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = $step(*sum, a, b);
                }
            }
            black_box(sums);
        }
    };
}

multiply_adds!(fma_avx2, "avx2,fma", _mm256_setzero_ps(), |s, a, b| {
    _mm256_fmadd_ps(a, b, s)
});
multiply_adds!(fma_avx512, "avx512f", _mm512_setzero_ps(), |s, a, b| {
    _mm512_fmadd_ps(a, b, s)
});
multiply_adds!(
    dots_bf16,
    "avx512f,avx512bf16",
    _mm512_setzero_ps(),
    |s, a, b| {
        // SAFETY: the registers have the same width.
        unsafe {
            _mm512_dpbf16_ps(
                s,
                std::mem::transmute::<__m512, __m512bh>(a),
                std::mem::transmute::<__m512, __m512bh>(b),
            )
        }
    }
);
multiply_adds!(
    dots_int8,
    "avx512f,avx512vnni",
    _mm512_setzero_si512(),
    |s, a, b| _mm512_dpbusd_epi32(s, a, b)
);

/// Whether the system lets this process use AMX.
fn amx() -> bool {
    const BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    if __cpuid_count(7, 0).edx & BF16_TILE_INT8 != BF16_TILE_INT8 {
        return false;
    }
    let result: i64;
    // SAFETY: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) touches no memory of ours.
    unsafe {
        asm!("syscall", inlateout("rax") 158i64 => result, in("rdi") 0x1023, in("rsi") 18, lateout("rcx") _,
            lateout("r11") _, options(nostack));
    }
    result == 0
}

/// Sixteen by sixteen sums of four tiles, from tiles that stay in registers.
macro_rules! tile_products {
    ($name:ident, $instruction:literal) => {
        fn $name() {
            #[repr(C, align(64))]
            struct Shapes([u8; 64]);
            let mut shapes = Shapes([0; 64]);
            shapes.0[0] = 1;
            for tile in 0..8 {
                shapes.0[16 + 2 * tile] = 64;
                shapes.0[48 + tile] = 16;
            }
            // SAFETY: `amx()` was asked; the shapes are legal, and tiles begin as zeros.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &shapes, options(nostack));
                for _ in 0..ROUNDS / 16 {
                    asm!(
                        concat!($instruction, " tmm0, tmm4, tmm6"), concat!($instruction, " tmm1, tmm4, tmm7"),
                        concat!($instruction, " tmm2, tmm5, tmm6"), concat!($instruction, " tmm3, tmm5, tmm7"),
                        options(nostack, nomem)
                    );
                }
                asm!("tilerelease", options(nostack));
            }
        }
    };
}

tile_products!(tiles_bf16, "tdpbf16ps");
tile_products!(tiles_int8, "tdpbssd");

fn main() {
    let wide = std::env::args().nth(1).as_deref() != Some("avx2");
    let avx512 = wide && has!("avx512f");
    assert!(has!("avx2") && has!("fma"), "needs AVX2");
    let rounds = (ROUNDS * SUMS) as f64;
    // SAFETY of the calls: the processor was asked for the instructions.
    let float32 = if avx512 {
        best(rounds * 32.0, &|_| unsafe { fma_avx512() })
    } else {
        best(rounds * 16.0, &|_| unsafe { fma_avx2() })
    };
    let tiles = (ROUNDS / 16 * 4) as f64;
    let (bfloat16, int8) = if avx512 && amx() {
        (
            best(tiles * 16384.0, &|_| tiles_bf16()),
            best(tiles * 32768.0, &|_| tiles_int8()),
        )
    } else {
        (
            if avx512 && has!("avx512bf16") {
                best(rounds * 64.0, &|_| unsafe { dots_bf16() })
            } else {
                float32
            },
            if avx512 && has!("avx512vnni") {
                best(rounds * 128.0, &|_| unsafe { dots_int8() })
            } else {
                // Products of int16 have twice the lanes.
                2.0 * float32
            },
        )
    };

    let arrays: Vec<Vec<f32>> = (0..3).map(|i| vec![i as f32 + 1.0; FLOATS]).collect();
    let addresses: Vec<usize> = arrays.iter().map(|array| array.as_ptr() as usize).collect();
    let part = FLOATS / THREADS;
    let read = best(4.0 * part as f64, &|thread| {
        // SAFETY: the threads read halves of an array.
        let array = unsafe {
            std::slice::from_raw_parts((addresses[0] as *const f32).add(thread * part), part)
        };
        unsafe { sum(array) };
    });
    let streamed = best(12.0 * part as f64, &|thread| {
        // SAFETY: the threads have halves of their own; the third array is not read.
        unsafe {
            let at = |i: usize| (addresses[i] as *mut f32).add(thread * part);
            add(at(0), at(1), at(2), part);
        }
    });
    println!(
        "{{\"float32\":{float32:.1},\"bfloat16\":{bfloat16:.1},\"int8\":{int8:.1},\"read\":{read:.1},\"streamed\":{streamed:.1}}}"
    );
}

#[target_feature(enable = "avx2")]
fn sum(array: &[f32]) {
    let mut sums = [_mm256_setzero_ps(); 8];
    for chunk in array.chunks_exact(64) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: inside the chunk.
            *sum = _mm256_add_ps(*sum, unsafe { _mm256_loadu_ps(chunk.as_ptr().add(8 * i)) });
        }
    }
    black_box(sums);
}

/// c = a + b past the caches.
#[target_feature(enable = "avx2")]
unsafe fn add(a: *const f32, b: *const f32, c: *mut f32, count: usize) {
    // SAFETY: the caller gives `count` elements each; stores are aligned once c is.
    unsafe {
        let start = c.align_offset(32);
        for i in (start..count - 7).step_by(8) {
            _mm256_stream_ps(
                c.add(i),
                _mm256_add_ps(_mm256_loadu_ps(a.add(i)), _mm256_loadu_ps(b.add(i))),
            );
        }
        _mm_sfence();
    }
}
