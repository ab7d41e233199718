//! Random numbers by position: element i of a stream depends on (seed, offset, i) alone, so any cut into chunks, any
//! number of threads and any level of instructions give the same bits. Philox4x32-10 (Salmon et al. 2011, SC11).
//!
//! Layout, to be repeated by every other device. A stream is cut into blocks of 16 counters:
//! counter c of key (seed) is (c low, c high, offset low, offset high) and gives four words w0..w3.
//! - 32-bit draws: block b holds elements 64·b .. 64·b + 63; element 64·b + 16·l + i is word l of counter 16·b + i.
//! - 64-bit draws: block b holds elements 32·b .. 32·b + 31; element 32·b + 16·l + i is w(2l) + 2³² · w(2l+1) of
//!   counter 16·b + i.
//! - Normals come in pairs from the draws at positions i and i + 16 of the same block (l = 0 and 1, or 2 and 3), the
//!   cosine at the first and the sine at the second.

use crate::simd;

/// Counters whose words are computed together: one AVX-512 register per word.
const COUNTERS: usize = 16;
/// 32-bit words of a block.
pub const BLOCK: usize = 4 * COUNTERS;

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

/// Four random words for a counter and a key.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p = u64::from(MULTIPLIERS[0]) * u64::from(a);
        let q = u64::from(MULTIPLIERS[1]) * u64::from(c);
        (a, b, c, d) = (
            (q >> 32) as u32 ^ b ^ k0,
            q as u32,
            (p >> 32) as u32 ^ d ^ k1,
            p as u32,
        );
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [a, b, c, d]
}

/// The 64 words of a block, in the order of 32-bit draws.
#[inline(always)]
pub fn philox_block(seed: u64, offset: u64, block: u64) -> [u32; BLOCK] {
    let key = [seed as u32, (seed >> 32) as u32];
    let mut words = [0; BLOCK];
    for i in 0..COUNTERS {
        let counter = block.wrapping_mul(COUNTERS as u64).wrapping_add(i as u64);
        let counter = [
            counter as u32,
            (counter >> 32) as u32,
            offset as u32,
            (offset >> 32) as u32,
        ];
        let [a, b, c, d] = philox(counter, key);
        words[i] = a;
        words[COUNTERS + i] = b;
        words[2 * COUNTERS + i] = c;
        words[3 * COUNTERS + i] = d;
    }
    words
}

/// A float32 in [0, 1) with 24 random bits.
#[inline(always)]
pub fn unit_f32(word: u32) -> f32 {
    (word >> 8) as i32 as f32 * (1.0 / 16_777_216.0)
}

/// A float64 in [0, 1) with 53 random bits.
#[inline(always)]
pub fn unit_f64(low: u32, high: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
    bits as i64 as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// ln u for normal u up to 1, without fused steps: part of the stream's definition (coefficients: Cephes logf).
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn log_of_unit(u: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    const LN2: (f32, f32) = (0.693_359_375, -2.121_944_4e-4);
    let bits = u.to_bits().wrapping_sub(SQRT_HALF);
    let e = ((bits as i32) >> 23) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF)) - 1.0;
    let mut p = 7.037_683_6e-2;
    for c in [
        -1.151_461_0e-1,
        1.167_699_87e-1,
        -1.242_014_08e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333_1e-1,
    ] {
        p = p * f + c;
    }
    let tail = f * f * (f * p) - f * f * 0.5 + e * LN2.1;
    f + tail + e * LN2.0
}

/// Two independent standard normals (Box and Muller 1958) from two words.
#[inline(always)]
pub fn normal_pair_f32(first: u32, second: u32) -> (f32, f32) {
    // In (0, 1]: the logarithm is finite. 32 bits, for the tails: the largest normal is 6.66.
    let u = ((first >> 1) as i32 as f32 + 0.5) * (1.0 / 2_147_483_648.0);
    let radius = (-2.0 * log_of_unit(u)).sqrt();
    // The angle 2π · second / 2³² as quarter turns and a rest in [-½, ½) quarter turns, exact in integers.
    let quarter = second.wrapping_add(1 << 29) >> 30;
    let rest = (second << 2) as i32 as f32 * (1.0 / 4_294_967_296.0);
    let (sin, cos) = sin_cos_quarter(rest);
    let (x, y) = if quarter & 1 == 0 {
        (cos, sin)
    } else {
        (sin, cos)
    };
    let x = f32::from_bits(x.to_bits() ^ (quarter.wrapping_add(1) & 2) << 30);
    let y = f32::from_bits(y.to_bits() ^ (quarter & 2) << 30);
    (radius * x, radius * y)
}

/// sin and cos of t · π/2 for |t| up to ½ (coefficients: Cephes sinf and cosf).
#[inline(always)]
fn sin_cos_quarter(t: f32) -> (f32, f32) {
    let r = t * std::f32::consts::FRAC_PI_2;
    let z = r * r;
    let sin = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * r + r;
    let cos = ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    (sin, cos)
}

/// Fills `out` with elements `first..first + out.len()` of a stream cut into blocks of `size` elements.
#[inline(always)]
fn fill_blocks<T: Copy, const SIZE: usize>(
    out: &mut [T],
    first: u64,
    zero: T,
    block: impl Fn(u64, &mut [T; SIZE]),
) {
    let size = SIZE as u64;
    let mut number = first / size;
    let skip = ((first % size) as usize).min(SIZE);
    let mut rest = out;
    if skip > 0 {
        let (head, tail) = rest.split_at_mut(rest.len().min(SIZE - skip));
        let mut whole = [zero; SIZE];
        block(number, &mut whole);
        head.copy_from_slice(&whole[skip..skip + head.len()]);
        rest = tail;
        number = number.wrapping_add(1);
    }
    let (blocks, tail) = rest.as_chunks_mut::<SIZE>();
    for whole in blocks {
        block(number, whole);
        number = number.wrapping_add(1);
    }
    if !tail.is_empty() {
        let mut whole = [zero; SIZE];
        block(number, &mut whole);
        tail.copy_from_slice(&whole[..tail.len()]);
    }
}

simd! {
    /// Random 32-bit words.
    pub fn fill_words(out: &mut [u32], seed: u64, offset: u64, first: u64) {
        fill_blocks(out, first, 0, #[inline(always)] |block, out: &mut [u32; BLOCK]| {
            *out = philox_block(seed, offset, block);
        });
    }
}

simd! {
    /// Uniform float32 in [0, 1), 24 bits.
    pub fn fill_uniform_f32(out: &mut [f32], seed: u64, offset: u64, first: u64) {
        fill_blocks(out, first, 0.0, #[inline(always)] |block, out: &mut [f32; BLOCK]| {
            let words = philox_block(seed, offset, block);
            for (x, word) in out.iter_mut().zip(words) {
                *x = unit_f32(word);
            }
        });
    }
}

simd! {
    /// Uniform float64 in [0, 1), 53 bits.
    pub fn fill_uniform_f64(out: &mut [f64], seed: u64, offset: u64, first: u64) {
        fill_blocks(out, first, 0.0, #[inline(always)] |block, out: &mut [f64; BLOCK / 2]| {
            let words = philox_block(seed, offset, block);
            for l in 0..2 {
                for i in 0..COUNTERS {
                    out[COUNTERS * l + i] = unit_f64(words[2 * COUNTERS * l + i], words[2 * COUNTERS * l + COUNTERS + i]);
                }
            }
        });
    }
}

simd! {
    /// Standard normal float32.
    pub fn fill_normal_f32(out: &mut [f32], seed: u64, offset: u64, first: u64) {
        fill_blocks(out, first, 0.0, #[inline(always)] |block, out: &mut [f32; BLOCK]| {
            let words = philox_block(seed, offset, block);
            for l in [0, 2 * COUNTERS] {
                for i in 0..COUNTERS {
                    let (x, y) = normal_pair_f32(words[l + i], words[l + COUNTERS + i]);
                    out[l + i] = x;
                    out[l + COUNTERS + i] = y;
                }
            }
        });
    }
}

/// Standard normal float64. Logarithm and sine are the system's, so this one is some ten times slower.
pub fn fill_normal_f64(out: &mut [f64], seed: u64, offset: u64, first: u64) {
    fill_blocks(out, first, 0.0, |block, out: &mut [f64; BLOCK / 2]| {
        let words = philox_block(seed, offset, block);
        for i in 0..COUNTERS {
            let u = 1.0 - unit_f64(words[i], words[COUNTERS + i]);
            let turn = unit_f64(words[2 * COUNTERS + i], words[3 * COUNTERS + i]);
            let radius = (-2.0 * u.ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * turn).sin_cos();
            out[i] = radius * cos;
            out[COUNTERS + i] = radius * sin;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 distribution.
    #[test]
    fn philox_gives_the_published_words() {
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    fn any_cut_gives_the_same<T: Copy + PartialEq + Default>(
        fill: impl Fn(&mut [T], u64, u64, u64),
    ) {
        for first in [0, 5, 1 << 40] {
            let mut whole = vec![T::default(); 1000];
            fill(&mut whole, 42, 3, first);
            for cut in [1, 7, 16, 63, 64, 65, 500, 999] {
                let mut parts = vec![T::default(); 1000];
                let (left, right) = parts.split_at_mut(cut);
                fill(left, 42, 3, first);
                fill(right, 42, 3, first + cut as u64);
                assert!(parts == whole);
            }
            let mut other = vec![T::default(); 1000];
            fill(&mut other, 42, 4, first);
            assert!(other != whole);
        }
    }

    #[test]
    fn elements_depend_on_their_position_only() {
        any_cut_gives_the_same::<u32>(fill_words);
        any_cut_gives_the_same::<f32>(fill_uniform_f32);
        any_cut_gives_the_same::<f64>(fill_uniform_f64);
        any_cut_gives_the_same::<f32>(fill_normal_f32);
        any_cut_gives_the_same::<f64>(fill_normal_f64);
    }

    /// Mean, variance, skewness, kurtosis and lag-one correlation of a large sample, against five standard errors.
    fn moments(x: &[f64], kurtosis: f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let moment = |p: i32| x.iter().map(|x| (x - mean).powi(p)).sum::<f64>() / n;
        let var = moment(2);
        assert!((var - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {var}");
        assert!(mean.abs() < 5.0 / n.sqrt(), "mean {mean}");
        assert!((moment(3)).abs() < 5.0 * (15.0 / n).sqrt(), "skewness");
        assert!(
            (moment(4) - kurtosis).abs() < 5.0 * (96.0 / n).sqrt(),
            "kurtosis {}",
            moment(4)
        );
        for lag in [1, 16, 32, 64] {
            let together = x.iter().zip(&x[lag..]).map(|(a, b)| a * b).sum::<f64>() / n;
            assert!(
                together.abs() < 5.0 / n.sqrt(),
                "correlation at {lag}: {together}"
            );
        }
    }

    #[test]
    fn distributions() {
        const N: usize = 1 << 20;
        let mut singles = vec![0f32; N];
        let mut doubles = vec![0f64; N];
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        fill_normal_f32(&mut singles, 1, 0, 0);
        moments(&wide(&singles), 3.0);
        fill_normal_f64(&mut doubles, 1, 0, 0);
        moments(&doubles, 3.0);
        let scale = 12f64.sqrt();
        fill_uniform_f32(&mut singles, 1, 0, 0);
        assert!(singles.iter().all(|x| (0.0..1.0).contains(x)));
        moments(
            &wide(&singles)
                .iter()
                .map(|x| (x - 0.5) * scale)
                .collect::<Vec<_>>(),
            1.8,
        );
        fill_uniform_f64(&mut doubles, 1, 0, 0);
        assert!(doubles.iter().all(|x| (0.0..1.0).contains(x)));
        moments(
            &doubles
                .iter()
                .map(|x| (x - 0.5) * scale)
                .collect::<Vec<_>>(),
            1.8,
        );
    }

    #[test]
    fn normal_pairs_match_float64() {
        for i in 0..200_000u32 {
            let [a, b, ..] = philox([i, 0, 0, 0], [0; 2]);
            let (a, b) = match i {
                0 => (0, 0),
                1 => (u32::MAX, u32::MAX),
                2 => (1 << 31, 1 << 29),
                _ => (a, b),
            };
            let (x, y) = normal_pair_f32(a, b);
            let u = (f64::from(a >> 1) + 0.5) / 2f64.powi(31);
            let radius = (-2.0 * u.ln()).sqrt();
            let angle = std::f64::consts::TAU * f64::from(b) / 2f64.powi(32);
            let error = (f64::from(x) - radius * angle.cos())
                .abs()
                .max((f64::from(y) - radius * angle.sin()).abs());
            // Next to 1, u has steps of 2⁻²⁴, which a small radius feels.
            assert!(error < 1e-6 + 6e-8 / radius, "{a:#x} {b:#x}: {x} {y}");
        }
    }
}
