//! Every function against float64 over a sample of all float32 bit patterns; half formats against their definitions.

use super::*;
use crate::lanes::{self, Lanes};
use crate::simd::{self, Level};

mod c {
    unsafe extern "C" {
        pub safe fn erf(x: f64) -> f64;
        pub safe fn erfc(x: f64) -> f64;
    }
}

const SQRT_HALF_F64: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// Distance from the exact value in units of the last place of a float32 of its size.
fn ulps(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if got.is_nan() && rounded.is_nan() || got == rounded {
        return 0.0;
    }
    if got.is_infinite() || rounded.is_infinite() {
        // One step early or late at the edge of the range counts as that step.
        let near = |x: f32| {
            if x.is_infinite() {
                f32::MAX.copysign(x)
            } else {
                x
            }
        };
        return if near(got) == near(rounded) {
            1.0
        } else {
            f64::INFINITY
        };
    }
    if got.is_nan() || rounded.is_nan() {
        return f64::INFINITY;
    }
    let size = rounded.abs().max(f32::MIN_POSITIVE);
    let ulp = f64::from(size) - f64::from(f32::from_bits(size.to_bits() - 1));
    (f64::from(got) - want).abs() / ulp
}

/// A function of one float32 as kernels run it, its bound in ulp, and the exact value.
struct Subject {
    name: &'static str,
    bound: f64,
    run: fn(Level, &[f32], &mut [f32]),
    exact: fn(f64) -> f64,
}

macro_rules! subjects {
    ($($name:ident $bound:literal $exact:expr;)*) => { vec![$( {
        $crate::formula!(Kernel [x] { $name(x) });
        Subject {
            name: stringify!($name),
            bound: $bound,
            run: |level, x, y| {
                assert!(x.len() <= y.len() && level <= simd::detected());
                // SAFETY: `y` has room for as many numbers as `x` has; the processor has the level.
                unsafe { lanes::run_at::<1, false, _>(level, Kernel, [x.as_ptr(); 3], y.as_mut_ptr(), x.len()) }
            },
            exact: $exact,
        }
    } ),*] };
}

/// NaN where the argument is too large for what comes before the slow way.
fn within(x: f64, value: f64) -> f64 {
    if x.abs() > f64::from(TRIG_LIMIT) {
        f64::NAN
    } else {
        value
    }
}

fn exact_sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn exact_cdf(x: f64) -> f64 {
    0.5 * c::erfc(-x * SQRT_HALF_F64)
}

fn exact_gelu_tanh(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    if x < -30.0 {
        0.0
    } else {
        x * exact_sigmoid(2.0 * u)
    }
}

/// By Newton's method from the value in float32.
fn exact_erfinv(y: f64) -> f64 {
    let t = y.abs();
    if t < 1e-6 {
        return y * std::f64::consts::PI.sqrt() / 2.0;
    }
    if t >= 1.0 || t.is_nan() {
        return if t == 1.0 {
            y * f64::INFINITY
        } else {
            f64::NAN
        };
    }
    let mut x = f64::from(erfinv(t as f32));
    for _ in 0..2 {
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
        x += (c::erfc(x) - (1.0 - t)) / slope;
    }
    x.copysign(y)
}

fn subjects() -> Vec<Subject> {
    subjects! {
        exp 2.0 f64::exp;
        exp2 2.0 f64::exp2;
        expm1 2.0 f64::exp_m1;
        log 2.0 f64::ln;
        log2 2.0 f64::log2;
        log10 2.0 f64::log10;
        log1p 2.0 f64::ln_1p;
        sin 2.0 |x| within(x, x.sin());
        cos 2.0 |x| within(x, x.cos());
        tan 2.0 |x| within(x, x.tan());
        asin 2.0 f64::asin;
        acos 2.0 f64::acos;
        atan 2.0 f64::atan;
        tanh 2.0 f64::tanh;
        atanh 2.0 f64::atanh;
        sigmoid 2.0 exact_sigmoid;
        silu 2.0 |x| if x == f64::NEG_INFINITY { 0.0 } else { x * exact_sigmoid(x) };
        softplus 2.0 |x| if x > 40.0 { x } else { x.exp().ln_1p() };
        erf 2.0 |x| c::erf(x);
        erfc 2.0 |x| c::erfc(x);
        erfinv 2.0 exact_erfinv;
        normal_cdf 3.0 exact_cdf;
        gelu 4.0 |x| if x == f64::NEG_INFINITY { 0.0 } else if x == f64::INFINITY { f64::NAN } else { x * exact_cdf(x) };
        gelu_tanh 2.0 |x| if x == f64::NEG_INFINITY { 0.0 } else { exact_gelu_tanh(x) };
        asinh_single 2.0 f64::asinh;
        acosh_single 2.0 f64::acosh;
        sinh_single 2.0 f64::sinh;
        cosh_single 2.0 f64::cosh;
    }
}

/// The worst error of a function over these bit patterns at each level that the processor has.
fn worst_of(subject: &Subject, patterns: impl Iterator<Item = u32>) -> [(f64, f32); 3] {
    let levels = [Level::Portable, Level::Avx2, Level::Avx512];
    let levels = &levels[..=simd::detected() as usize];
    let mut worst = [(0.0, 0.0); 3];
    let mut patterns = patterns.map(f32::from_bits).peekable();
    let mut x = Vec::with_capacity(4096);
    let mut y = [const { [0.0; 4096] }; 3];
    while patterns.peek().is_some() {
        x.clear();
        x.extend(patterns.by_ref().take(4096));
        for (&level, y) in levels.iter().zip(&mut y) {
            (subject.run)(level, &x, y);
        }
        for (i, &x) in x.iter().enumerate() {
            let exact = (subject.exact)(f64::from(x));
            if exact.is_nan()
                && x.abs() > TRIG_LIMIT
                && ["sin", "cos", "tan"].contains(&subject.name)
            {
                continue;
            }
            for (l, y) in y.iter().enumerate().take(levels.len()) {
                let same_zero =
                    exact != 0.0 || x != 0.0 || y[i].is_sign_negative() == exact.is_sign_negative();
                let error = if same_zero {
                    ulps(y[i], exact)
                } else {
                    f64::INFINITY
                };
                if error > worst[l].0 {
                    worst[l] = (error, x);
                }
            }
            if levels.len() == 3 {
                let [_, a, b] = [y[0][i], y[1][i], y[2][i]];
                assert!(
                    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
                    "{}({x:e})",
                    subject.name
                );
            }
        }
    }
    worst
}

fn require(subject: &Subject, worst: [(f64, f32); 3]) {
    for (error, at) in worst {
        let name = subject.name;
        assert!(error <= subject.bound, "{name}({at:e}) is {error} ulp off");
    }
}

/// All infinities, NaN, zeros, and a dense sample.
#[test]
fn samples() {
    let special = [
        0.0,
        1.0,
        f32::INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN_POSITIVE,
        1e-45,
        88.722_84,
        89.0,
    ];
    let special = special.map(|x: f32| [x.to_bits(), (-x).to_bits()]);
    for subject in subjects() {
        let bits = (0..=u32::MAX).step_by(1021);
        let worst = worst_of(&subject, special.as_flattened().iter().copied().chain(bits));
        require(&subject, worst);
    }
}

/// Every float32, on two threads; TORO_MATH names one function to look at.
#[test]
#[ignore = "it takes minutes: deno task test:math"]
fn every_float32() {
    let only = std::env::var("TORO_MATH").unwrap_or_default();
    for subject in subjects() {
        if !only.is_empty() && subject.name != only {
            continue;
        }
        let part = |i: u32| worst_of(&subject, (i..=u32::MAX).step_by(2));
        let (mut worst, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| part(1));
            (part(0), other.join().expect("the other half ends"))
        });
        for (worst, other) in worst.iter_mut().zip(other) {
            if other.0 > worst.0 {
                *worst = other;
            }
        }
        let [portable, _, avx512] = worst;
        println!(
            "{:14} {:6.3} ulp at {:e}, portable {:6.3} ulp at {:e}",
            subject.name, avx512.0, avx512.1, portable.0, portable.1
        );
        require(&subject, worst);
    }
}

/// The ways of float64, one number after the other.
macro_rules! by_singles {
    ($($name:ident: $function:ident),*) => { $(
        #[inline(always)]
        fn $name<V: Lanes>(x: V) -> V {
            let mut lanes = [0.0; 16];
            // SAFETY: no kind of lanes has more than sixteen.
            unsafe {
                x.store(lanes.as_mut_ptr());
                V::load(lanes.map($function).as_ptr())
            }
        }
    )* };
}
by_singles!(asinh_single: asinh_f32, acosh_single: acosh_f32, sinh_single: sinh_f32, cosh_single: cosh_f32);

#[test]
fn a_number_does_not_depend_on_its_place() {
    let _turn = simd::turn();
    let before = simd::level();
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        if simd::force(level) {
            compare_places();
        }
    }
    assert!(simd::force(before));
}

fn compare_places() {
    crate::formula!(Sum [x, y, z] { exp(x) * y + z });
    let x: Vec<f32> = (0..100).map(|i| i as f32 * 0.1 - 5.0).collect();
    let mut whole = vec![0.0; 100];
    for n in (0..100).rev() {
        let (mut part, mut streamed) = (vec![0.0; 100], vec![0.0; 200]);
        let at = n % 37;
        // SAFETY: each has a hundred numbers, and behind `at` too.
        unsafe {
            let ins = [x.as_ptr(); 3];
            lanes::run::<3, false, _>(Sum, ins, whole.as_mut_ptr(), 100);
            lanes::run::<3, false, _>(Sum, ins, part.as_mut_ptr(), n);
            lanes::run::<3, true, _>(Sum, ins, streamed.as_mut_ptr().add(at), n);
        }
        crate::stream::fence();
        assert!(part[..n] == whole[..n] && part[n..].iter().all(|&x| x == 0.0));
        assert!(streamed[at..at + n] == whole[..n]);
        assert!(
            streamed[..at]
                .iter()
                .chain(&streamed[at + n..])
                .all(|&x| x == 0.0)
        );
    }
}

#[test]
fn angles() {
    let sides = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        3e-39,
        -2e20,
        0.3,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    for y in sides {
        for x in sides {
            let exact = f64::from(y).atan2(f64::from(x));
            let got = atan2_f32(y, x);
            assert!(
                ulps(got, exact) <= 1.0,
                "atan2({y}, {x}) = {got}, exact {exact}"
            );
            assert!(got.is_nan() || got.is_sign_negative() == exact.is_sign_negative());
        }
    }
}

#[test]
fn huge_angles() {
    let x: Vec<f32> = (0..5000)
        .map(|i| (i as f32 - 2500.0) * if i % 700 == 0 { 1e30 } else { 0.1 })
        .chain([f32::INFINITY, 131_072.0, 131_073.0])
        .collect();
    type Way = (unsafe fn(*const f32, *mut f32, usize), fn(f64) -> f64);
    let ways: [Way; 3] = [
        (sin_slice::<false>, f64::sin),
        (cos_slice::<false>, f64::cos),
        (tan_slice::<false>, f64::tan),
    ];
    for (run, exact) in ways {
        let mut y = vec![0.0; x.len()];
        // SAFETY: both have as many numbers.
        unsafe { run(x.as_ptr(), y.as_mut_ptr(), x.len()) };
        for (&x, &y) in x.iter().zip(&y) {
            assert!(ulps(y, exact(f64::from(x))) <= 2.0, "{x}: {y}");
        }
    }
}

/// Checks a dense sample against `bound` ulp.
fn check(name: &str, bound: f64, function: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) {
    for bits in (0..=u32::MAX).step_by(9973) {
        let x = f32::from_bits(bits);
        let error = ulps(function(x), exact(f64::from(x)));
        assert!(error <= bound, "{name} of {x:e} is {error} ulp off");
    }
}

#[test]
fn roots() {
    check("rsqrt", 2.0, rsqrt_f32, |x| 1.0 / x.sqrt());
}

#[test]
fn powers() {
    for y in [
        0.0,
        0.5,
        -0.5,
        1.0,
        2.0,
        3.0,
        -1.0,
        -3.0,
        2.5,
        1e-3,
        127.0,
        1e9,
        1e-40,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ] {
        check(
            &format!("pow {y}"),
            1.0,
            |x| pow_f32(x, y),
            |x| x.powf(f64::from(y)),
        );
    }
    for x in [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        0.7,
        -0.7,
        1e-42,
        3e38,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ] {
        check(
            &format!("{x} pow"),
            1.0,
            |y| pow_f32(x, y),
            |y| f64::from(x).powf(y),
        );
    }
}

#[test]
fn halves() {
    for bits in 0..=u16::MAX {
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
        let size = match exponent {
            0 => fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
        };
        let want = if bits >> 15 == 1 { -size } else { size } as f32;
        let got = f16_to_f32(bits);
        assert!(
            got == want && got.is_sign_negative() == (bits >> 15 == 1)
                || got.is_nan() && want.is_nan()
        );
        if got.is_nan() {
            assert!(f16_to_f32(f32_to_f16(got)).is_nan());
        } else {
            assert_eq!(f32_to_f16(got), bits);
        }
        let wide = bf16_to_f32(bits);
        if wide.is_nan() {
            assert!(bf16_to_f32(f32_to_bf16(wide)).is_nan());
        } else {
            assert_eq!(f32_to_bf16(wide), bits);
        }
    }
    // Nearest, ties to even: the result is as near as both neighbours, and even if as near as one.
    for bits in (0..0x7f80_0000u32).step_by(61) {
        let x = f64::from(f32::from_bits(bits));
        type Pair = (fn(f32) -> u16, fn(u16) -> f32, f64);
        let pairs: [Pair; 2] = [
            (f32_to_f16, f16_to_f32, 65520.0),
            (f32_to_bf16, bf16_to_f32, f64::MAX),
        ];
        for (narrow, widen, limit) in pairs {
            let half = narrow(x as f32);
            let y = f64::from(widen(half));
            if y.is_infinite() {
                assert!(x >= limit.min(3.39e38), "{x:e}");
                continue;
            }
            for other in [half.wrapping_sub(1), half + 1] {
                let distance = (f64::from(widen(other)) - x).abs();
                assert!(
                    (y - x).abs() < distance
                        || (y - x).abs() == distance && half & 1 == 0
                        || distance.is_nan()
                );
            }
        }
    }
    assert!(bf16_to_f32(f32_to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    assert!(f16_to_f32(f32_to_f16(f32::from_bits(0xff80_0001))).is_nan());
    let mut out = [0u16; 3];
    f32_to_f16_slice(&[1.0, 65520.0, -2.5e-8], &mut out);
    assert_eq!(out, [0x3c00, 0x7c00, 0x8000]);
}
