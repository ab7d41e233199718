//! Every function against float64 over a sample of all float32 bit patterns; half formats against their definitions.

use super::*;

unsafe extern "C" {
    safe fn erf(x: f64) -> f64;
    safe fn erfc(x: f64) -> f64;
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

/// Checks all infinities, NaN, zeros, and a dense sample, against `bound` ulp.
fn check(name: &str, bound: f64, function: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN,
    ];
    let bits = (0..u64::from(u32::MAX))
        .step_by(STEP)
        .map(|bits| f32::from_bits(bits as u32));
    let (mut worst, mut at) = (0.0, 0.0);
    for x in special.into_iter().chain(bits) {
        let error = ulps(function(x), exact(f64::from(x)));
        if error > worst {
            (worst, at) = (error, x);
        }
    }
    println!("{name:14} {worst:6.3} ulp at {at:e}");
    assert!(
        worst <= bound,
        "{name}({at:e}) = {:e}, exact {:e}",
        function(at),
        exact(f64::from(at))
    );
}

const STEP: usize = 997;

#[test]
fn exponentials() {
    check("exp", 2.0, exp_f32, f64::exp);
    check("exp2", 2.0, exp2_f32, f64::exp2);
    check("expm1", 2.0, expm1_f32, f64::exp_m1);
}

#[test]
fn logarithms() {
    check("log", 2.0, log_f32, f64::ln);
    check("log2", 2.0, log2_f32, f64::log2);
    check("log10", 2.0, log10_f32, f64::log10);
    check("log1p", 2.0, log1p_f32, f64::ln_1p);
}

#[test]
fn inverses() {
    check("asin", 1.0, asin_f32, f64::asin);
    check("acos", 1.0, acos_f32, f64::acos);
    check("atan", 1.0, atan_f32, f64::atan);
    check("asinh", 1.0, asinh_f32, f64::asinh);
    check("acosh", 1.0, acosh_f32, f64::acosh);
    check("atanh", 1.0, atanh_f32, f64::atanh);
    check("sinh", 1.0, sinh_f32, f64::sinh);
    check("cosh", 1.0, cosh_f32, f64::cosh);
    // Both ways: what erf makes of the value must be the argument, to the slope that erf has there.
    for i in 1..200_000 {
        let y = i as f32 / 200_000.0;
        let x = f64::from(erfinv_f32(y));
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
        let exact = x + (erfc(x) - (1.0 - f64::from(y))) / slope;
        assert!(
            ulps(erfinv_f32(y), exact) <= 3.0,
            "erfinv({y}) = {x}, exact {exact}"
        );
        assert_eq!(erfinv_f32(-y), -erfinv_f32(y));
    }
    assert!(erfinv_f32(1.5).is_nan() && erfinv_f32(f32::NAN).is_nan());
    assert_eq!(erfinv_f32(-1.0), f32::NEG_INFINITY);
    assert!(ulps(erfinv_f32(1e-30), 0.5e-30 * std::f64::consts::PI.sqrt()) <= 3.0);

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
fn trigonometry() {
    let within = |f: fn(f64) -> f64| {
        move |x: f64| {
            if x.abs() > f64::from(TRIG_LIMIT) {
                f64::NAN
            } else {
                f(x)
            }
        }
    };
    let inside =
        |f: fn(f32) -> f32| move |x: f32| if x.abs() > TRIG_LIMIT { f32::NAN } else { f(x) };
    check("sin", 1.0, inside(sin_f32), within(f64::sin));
    check("cos", 1.0, inside(cos_f32), within(f64::cos));
    check("tan", 1.0, inside(tan_f32), within(f64::tan));

    let x: Vec<f32> = (0..5000)
        .map(|i| (i as f32 - 2500.0) * if i % 700 == 0 { 1e30 } else { 0.1 })
        .collect();
    let mut y = vec![0.0; x.len()];
    sin_slice(&x, &mut y);
    assert!(
        x.iter()
            .zip(&y)
            .all(|(&x, &y)| ulps(y, f64::from(x).sin()) <= 1.0)
    );
    tan_slice(&x, &mut y);
    assert!(
        x.iter()
            .zip(&y)
            .all(|(&x, &y)| ulps(y, f64::from(x).tan()) <= 1.0)
    );
    cos_slice(&[f32::INFINITY, 0.0], &mut y);
    assert!(y[0].is_nan() && y[1] == 1.0);
}

#[test]
fn activations() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    check("tanh", 2.0, tanh_f32, f64::tanh);
    check("sigmoid", 2.5, sigmoid_f32, sigmoid);
    check("silu", 3.0, silu_f32, |x| {
        if x == f64::NEG_INFINITY {
            0.0
        } else {
            x * sigmoid(x)
        }
    });
    check("softplus", 3.0, softplus_f32, |x| {
        if x > 40.0 { x } else { x.exp().ln_1p() }
    });
    check("erf", 2.0, erf_f32, |x| erf(x));
    check("normal_cdf", 6.0, normal_cdf_f32, |x| {
        0.5 * erfc(-x * SQRT_HALF_F64)
    });
    let gelu = |x: f64| {
        if x == f64::NEG_INFINITY {
            0.0
        } else {
            0.5 * x * erfc(-x * SQRT_HALF_F64)
        }
    };
    check("gelu", 6.0, gelu_f32, gelu);
    let gelu_tanh = |x: f64| {
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        if x < -30.0 { 0.0 } else { x * sigmoid(2.0 * u) }
    };
    check("gelu_tanh", 4.0, gelu_tanh_f32, gelu_tanh);
    check("rsqrt", 2.0, rsqrt_f32, |x| 1.0 / x.sqrt());
    check("sqrt", 0.5, sqrt_f32, f64::sqrt);
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
