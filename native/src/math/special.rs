//! Special functions of float64: gamma and its relatives, Bessel functions, the normal distribution, orthogonal
//! polynomials. float32 goes through them too. Each is a series, a continued fraction or an integral that converges
//! everywhere it is used; loops are bounded, so that no argument can hang.

use std::f64::consts::{FRAC_PI_4, LN_2, PI, SQRT_2};

unsafe extern "C" {
    // The C library's, which Rust's standard library links anyway but does not offer.
    safe fn erfc(x: f64) -> f64;
    safe fn lgamma(x: f64) -> f64;
    safe fn j0(x: f64) -> f64;
    safe fn j1(x: f64) -> f64;
    safe fn y0(x: f64) -> f64;
    safe fn y1(x: f64) -> f64;
}

const EULER: f64 = 0.577_215_664_901_532_9;
/// B₂ₖ / (2k)! for k = 1…12, in Euler and Maclaurin's formula.
const BERNOULLI: [f64; 12] = [
    1.0 / 12.0,
    -1.0 / 720.0,
    1.0 / 30_240.0,
    -1.0 / 1_209_600.0,
    1.0 / 47_900_160.0,
    -691.0 / 1_307_674_368_000.0,
    1.0 / 74_724_249_600.0,
    -3617.0 / 10_670_622_842_880_000.0,
    43_867.0 / 5_109_094_217_170_944_000.0,
    -174_611.0 / 802_857_662_698_291_200_000.0,
    77_683.0 / 14_101_100_039_391_805_440_000.0,
    -236_364_091.0 / 1_693_824_136_731_743_669_452_800_000.0,
];

/// The derivative of log Γ: reflection below 0, recurrence up to 10, then Stirling's series.
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.trunc() {
            return f64::NAN;
        }
        // The fraction first: π x itself would lose it for large x.
        return digamma(1.0 - x) - PI / (PI * x.fract()).tan();
    }
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    if x == f64::INFINITY {
        return x;
    }
    let z = 1.0 / (x * x);
    let series = z
        * (1.0 / 12.0
            - z * (1.0 / 120.0
                - z * (1.0 / 252.0
                    - z * (1.0 / 240.0 - z * (1.0 / 132.0 - z * (691.0 / 32_760.0))))));
    sum + x.ln() - 0.5 / x - series
}

/// The nth derivative of digamma, for n from 1: ±n! ζ(n + 1, x).
pub fn polygamma(n: f64, x: f64) -> f64 {
    if n == 0.0 {
        return digamma(x);
    }
    if n == 1.0 && x < 0.5 {
        // ζ's terms at small x are one large square; the reflection keeps negative arguments exact.
        let s = (PI * x.fract()).sin();
        return (PI / s).powi(2) - zeta(2.0, 1.0 - x);
    }
    let sign = if n % 2.0 == 0.0 { -1.0 } else { 1.0 };
    sign * lgamma(n + 1.0).exp() * zeta(n + 1.0, x)
}

/// Hurwitz's zeta function, Σ (k + q)⁻ˢ: ten terms, then Euler and Maclaurin's formula.
pub fn zeta(s: f64, q: f64) -> f64 {
    if s == 1.0 {
        return f64::INFINITY;
    }
    if s < 1.0 || s.is_nan() || q.is_nan() {
        return f64::NAN;
    }
    if q <= 0.0 {
        if q == q.floor() {
            return f64::INFINITY;
        }
        if s != s.floor() {
            return f64::NAN;
        }
    }
    let (mut sum, mut a, mut steps) = (q.powf(-s), q, 0);
    while steps < 10 || (a <= 10.0 && steps < 10_000) {
        steps += 1;
        a += 1.0;
        let term = a.powf(-s);
        sum += term;
        if term.abs() < sum.abs() * 1e-17 && a > 0.0 {
            return sum;
        }
    }
    let power = a.powf(-s);
    sum += power * a / (s - 1.0) - 0.5 * power;
    let (mut factor, mut term) = (s, power / a);
    for (k, b) in BERNOULLI.iter().enumerate() {
        let part = b * factor * term;
        sum += part;
        if part.abs() < sum.abs() * 1e-17 {
            break;
        }
        let j = 2.0 * k as f64;
        factor *= (s + j + 1.0) * (s + j + 2.0);
        term /= a * a;
    }
    sum
}

/// xᵃ e⁻ˣ / Γ(a + 1)
fn gamma_factor(a: f64, x: f64) -> f64 {
    if (a - x).abs() < 0.4 * a && a > 50.0 {
        // a log x - x - log Γ(a + 1) with what cancels taken out.
        let d = (x - a) / a;
        let z = 1.0 / (a * a);
        let stirling = (1.0 / 12.0 - z * (1.0 / 360.0 - z / 1260.0)) / a;
        return (a * (d.ln_1p() - d) - stirling).exp() / (2.0 * PI * a).sqrt();
    }
    (a * x.ln() - x - lgamma(a + 1.0)).exp()
}

/// P(a, x) by its series: Σ xᵏ / ((a + 1) … (a + k)).
fn gamma_series(a: f64, x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, a);
    for _ in 0..100_000 {
        k += 1.0;
        term *= x / k;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    gamma_factor(a, x) * sum
}

/// Q(a, x) by Legendre's continued fraction, after Lentz.
fn gamma_fraction(a: f64, x: f64) -> f64 {
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / if b == 0.0 { tiny } else { b };
    let mut h = d;
    for i in 1..100_000 {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        let nonzero = |v: f64| if v.abs() < tiny { tiny } else { v };
        d = 1.0 / nonzero(an * d + b);
        c = nonzero(b + an / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    gamma_factor(a, x) * a * h
}

/// The regularised lower incomplete gamma function P(a, x).
pub fn igamma(a: f64, x: f64) -> f64 {
    if a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 {
        return f64::NAN;
    }
    if a == 0.0 {
        return if x > 0.0 { 1.0 } else { f64::NAN };
    }
    if x == 0.0 {
        return 0.0;
    }
    if a.is_infinite() {
        return if x.is_infinite() { f64::NAN } else { 0.0 };
    }
    if x.is_infinite() {
        return 1.0;
    }
    if x < a + 1.0 {
        gamma_series(a, x)
    } else {
        1.0 - gamma_fraction(a, x)
    }
}

/// The regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x).
pub fn igammac(a: f64, x: f64) -> f64 {
    if a.is_nan() || x.is_nan() || a < 0.0 || x < 0.0 {
        return f64::NAN;
    }
    if a == 0.0 {
        return if x > 0.0 { 0.0 } else { f64::NAN };
    }
    if x == 0.0 {
        return 1.0;
    }
    if a.is_infinite() {
        return if x.is_infinite() { f64::NAN } else { 1.0 };
    }
    if x.is_infinite() {
        return 0.0;
    }
    if x < a + 1.0 {
        1.0 - gamma_series(a, x)
    } else {
        gamma_fraction(a, x)
    }
}

/// e^(-|x|) Iₙ(x) for n of 0 or 1: the power series, whose terms are all positive, up to 25, then the asymptotic one.
fn bessel_i_scaled(n: f64, x: f64) -> f64 {
    let (z, sign) = (x.abs(), if n == 1.0 { x.signum() } else { 1.0 });
    if z <= 25.0 {
        let q = z * z / 4.0;
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..200 {
            let k = f64::from(k);
            term *= q / (k * (k + n));
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return sign * if n == 1.0 { z / 2.0 } else { 1.0 } * sum * (-z).exp();
    }
    if z.is_infinite() {
        return 0.0 * sign;
    }
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        let k = f64::from(k);
        let odd = 2.0 * k - 1.0;
        let next = term * (odd * odd - 4.0 * n * n) / (8.0 * k * z);
        if next.abs() > f64::abs(term) || next.abs() < 1e-17 {
            break;
        }
        term = next;
        sum += term;
    }
    sign * sum / (2.0 * PI * z).sqrt()
}

/// The modified Bessel function I₀ times e^(-|x|).
pub fn i0e(x: f64) -> f64 {
    bessel_i_scaled(0.0, x)
}

/// The modified Bessel function I₁ times e^(-|x|).
pub fn i1e(x: f64) -> f64 {
    bessel_i_scaled(1.0, x)
}

/// eˣ y without an early overflow, for |x| of a scaled function.
fn unscaled(x: f64, y: f64) -> f64 {
    let half = (x.abs() / 2.0).exp();
    y * half * half
}

/// The modified Bessel function I₀.
pub fn i0(x: f64) -> f64 {
    if x.is_infinite() {
        f64::INFINITY
    } else {
        unscaled(x, i0e(x))
    }
}

/// The modified Bessel function I₁.
pub fn i1(x: f64) -> f64 {
    if x.is_infinite() {
        x
    } else {
        unscaled(x, i1e(x))
    }
}

/// ∫₀^∞ exp(-x (cosh t - 1)) cosh(νt) dt = eˣ K_ν(x), by the trapezoidal rule, which converges exponentially here.
fn bessel_k_integral(order: f64, x: f64) -> f64 {
    let h = 0.125;
    let mut sum = 0.5;
    for k in 1..400 {
        let t = h * f64::from(k);
        // 2 sinh²(t/2) = cosh t - 1 without cancellation.
        let s = (t / 2.0).sinh();
        let part = (-2.0 * x * s * s).exp() * (order * t).cosh();
        sum += part;
        if part < sum * 1e-17 {
            break;
        }
    }
    h * sum
}

/// The modified Bessel function K₀ times eˣ.
pub fn k0e(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY;
    }
    if x < 0.0 || x.is_nan() {
        return f64::NAN;
    }
    if x >= 1.0 {
        return bessel_k_integral(0.0, x);
    }
    let q = x * x / 4.0;
    let (mut term, mut harmonic, mut sum) = (1.0, 0.0, 0.0);
    for k in 1..30 {
        let k = f64::from(k);
        term *= q / (k * k);
        harmonic += 1.0 / k;
        sum += term * harmonic;
    }
    (sum - ((x / 2.0).ln() + EULER) * i0(x)) * x.exp()
}

/// The modified Bessel function K₁ times eˣ.
pub fn k1e(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY;
    }
    if x < 0.0 || x.is_nan() {
        return f64::NAN;
    }
    if x >= 1.0 {
        return bessel_k_integral(1.0, x);
    }
    let q = x * x / 4.0;
    let (mut term, mut harmonic, mut sum) = (1.0, 0.0, 1.0 - 2.0 * EULER);
    for k in 1..30 {
        let k = f64::from(k);
        term *= q / (k * (k + 1.0));
        harmonic += 1.0 / k;
        sum += term * (2.0 * harmonic + 1.0 / (k + 1.0) - 2.0 * EULER);
    }
    (1.0 / x + (x / 2.0).ln() * i1(x) - x / 4.0 * sum) * x.exp()
}

/// The Airy function Ai: its Maclaurin series near 0, K of order ⅓ above, the oscillating asymptotic series below.
pub fn airy_ai(x: f64) -> f64 {
    if x.is_nan() || x.is_infinite() {
        return if x > 0.0 { 0.0 } else { f64::NAN };
    }
    let zeta = 2.0 / 3.0 * x.abs() * x.abs().sqrt();
    if x > 1.5 {
        return (x / 3.0).sqrt() / PI * bessel_k_integral(1.0 / 3.0, zeta) * (-zeta).exp();
    }
    if x > -8.0 {
        let cube = x * x * x;
        let (mut f, mut g, mut a, mut b) = (1.0, x, 1.0, x);
        for k in 1..80 {
            let k = 3.0 * f64::from(k);
            a *= cube / (k * (k - 1.0));
            b *= cube / (k * (k + 1.0));
            f += a;
            g += b;
        }
        return 0.355_028_053_887_817_2 * f - 0.258_819_403_792_806_8 * g;
    }
    // Σ uₖ (±i ζ)⁻ᵏ, its real and imaginary parts.
    let (mut even, mut odd, mut u) = (1.0, 0.0, 1.0);
    for k in 1..30 {
        let n = f64::from(k);
        let next = u * (6.0 * n - 5.0) * (6.0 * n - 3.0) * (6.0 * n - 1.0)
            / (216.0 * n * (2.0 * n - 1.0) * zeta);
        if next > u || next < 1e-17 {
            break;
        }
        u = next;
        let sign = if k / 2 % 2 == 0 { 1.0 } else { -1.0 };
        if k % 2 == 0 {
            even += sign * u
        } else {
            odd += sign * u
        }
    }
    let phase = zeta - FRAC_PI_4;
    (phase.cos() * even + phase.sin() * odd) / (PI.sqrt() * (-x).sqrt().sqrt())
}

/// The Bessel function J₀.
pub fn bessel_j0(x: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { j0(x) }
}

/// The Bessel function J₁.
pub fn bessel_j1(x: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { j1(x) }
}

/// The Bessel function Y₀; NaN below 0.
pub fn bessel_y0(x: f64) -> f64 {
    if x < 0.0 || x.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        f64::NEG_INFINITY
    } else if x.is_infinite() {
        0.0
    } else {
        y0(x)
    }
}

/// The Bessel function Y₁; NaN below 0.
pub fn bessel_y1(x: f64) -> f64 {
    if x < 0.0 || x.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        f64::NEG_INFINITY
    } else if x.is_infinite() {
        0.0
    } else {
        y1(x)
    }
}

/// sin(x) / x
pub fn spherical_bessel_j0(x: f64) -> f64 {
    if x.is_infinite() {
        0.0
    } else if x == 0.0 {
        1.0
    } else {
        x.sin() / x
    }
}

/// exp(x²) erfc(x) without overflow where x is large.
pub fn erfcx(x: f64) -> f64 {
    if x < 25.0 {
        return (x * x).exp() * erfc(x);
    }
    let z = 0.5 / (x * x);
    (1.0 - z * (1.0 - z * (3.0 - z * 15.0))) / (x * PI.sqrt())
}

/// The normal distribution function.
pub fn ndtr(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// Its logarithm, exact far below 0.
pub fn log_ndtr(x: f64) -> f64 {
    if x < -1.0 {
        (0.5 * erfcx(-x / SQRT_2)).ln() - 0.5 * x * x
    } else {
        (-0.5 * erfc(x / SQRT_2)).ln_1p()
    }
}

/// Its inverse: a rational start (Hastings), then Halley's steps.
pub fn ndtri(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return if p == 0.0 {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    let (tail, sign) = if p < 0.5 { (p, 1.0) } else { (1.0 - p, -1.0) };
    let t = (-2.0 * tail.ln()).sqrt();
    let start = (2.515_517 + t * (0.802_853 + t * 0.010_328))
        / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    let mut x = start - t;
    for _ in 0..3 {
        let u = (ndtr(x) - tail) * (2.0 * PI).sqrt() * (0.5 * x * x).exp();
        x -= u / (1.0 + x * u / 2.0);
    }
    sign * x
}

/// -x log x
pub fn entr(x: f64) -> f64 {
    if x.is_nan() {
        x
    } else if x > 0.0 {
        -x * x.ln()
    } else if x == 0.0 {
        0.0
    } else {
        f64::NEG_INFINITY
    }
}

/// x log(1 + y), 0 where x is 0 and y a number
pub fn xlog1py(x: f64, y: f64) -> f64 {
    if y.is_nan() {
        y
    } else if x == 0.0 {
        0.0
    } else {
        x * y.ln_1p()
    }
}

/// log₂(2ᵃ + 2ᵇ) without overflow.
pub fn logaddexp2(a: f64, b: f64) -> f64 {
    if a == b && a.is_infinite() {
        return a;
    }
    let top = if a > b || a.is_nan() { a } else { b };
    top + (-(a - b).abs()).exp2().ln_1p() / LN_2
}

/// The most steps of a polynomial's recurrence; beyond them the value is NaN.
const MOST_STEPS: f64 = 100_000.0;

/// Orthogonal polynomials of degree n by their recurrences. Kinds: Chebyshev's T, U, V, W, then those shifted to [0, 1],
/// Hermite's H and He, Laguerre's L, Legendre's P.
pub fn polynomial(kind: usize, x: f64, degree: f64) -> f64 {
    let n = degree.trunc();
    if n < 0.0 {
        return 0.0;
    }
    if x.is_nan() || n.is_nan() {
        return f64::NAN;
    }
    if (4..8).contains(&kind) {
        return polynomial(kind - 4, 2.0 * x - 1.0, degree);
    }
    if kind < 4 && x.abs() < 1.0 && n > 8.0 {
        let angle = x.acos();
        let half = angle / 2.0;
        return match kind {
            0 => (n * angle).cos(),
            1 => ((n + 1.0) * angle).sin() / angle.sin(),
            2 => ((n + 0.5) * angle).cos() / half.cos(),
            _ => ((n + 0.5) * angle).sin() / half.sin(),
        };
    }
    if n > MOST_STEPS {
        return f64::NAN;
    }
    let first = match kind {
        0 | 9 | 11 => x,
        1 | 8 => 2.0 * x,
        2 => 2.0 * x - 1.0,
        3 => 2.0 * x + 1.0,
        _ => 1.0 - x,
    };
    if n == 0.0 {
        return 1.0;
    }
    let (mut p, mut q, mut k) = (1.0, first, 1.0);
    while k < n && !f64::is_nan(q) {
        let next = match kind {
            8 => 2.0 * x * q - 2.0 * k * p,
            9 => x * q - k * p,
            10 => ((2.0 * k + 1.0 - x) * q - k * p) / (k + 1.0),
            11 => ((2.0 * k + 1.0) * x * q - k * p) / (k + 1.0),
            _ => 2.0 * x * q - p,
        };
        p = q;
        q = next;
        k += 1.0;
    }
    q
}

/// The magnitude's greatest common divisor.
pub fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as i64
}

/// The magnitude's least common multiple, 0 where either is.
pub fn lcm(a: i64, b: i64) -> i64 {
    match gcd(a, b) {
        0 => 0,
        d => (a / d).wrapping_mul(b).wrapping_abs(),
    }
}

/// The mantissa in [0.5, 1) and the exponent of x = m · 2ᵉ.
pub fn frexp(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    // Denormals are brought up first.
    let (scaled, shift) = if x.abs() < f64::MIN_POSITIVE {
        (x * 2f64.powi(64), -64)
    } else {
        (x, 0)
    };
    let bits = scaled.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    let mantissa = f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52));
    (mantissa, exponent + shift)
}

/// The next number of a format after a, given as its bits below a sign bit, towards b.
pub fn next_after(a: f64, b: f64, bits: u64, sign: u64, tiny: bool) -> Option<u64> {
    if a == b {
        return None;
    }
    if tiny {
        return Some(if b < 0.0 { sign | 1 } else { 1 });
    }
    Some(if (a < b) == (a > 0.0) {
        bits + 1
    } else {
        bits - 1
    })
}
