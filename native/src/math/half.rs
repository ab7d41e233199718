//! bfloat16 and float16 to float32 and back: branch-free, rounded to nearest even, NaN stays NaN, denormals kept.

use crate::simd;

/// bfloat16 is the upper half of a float32.
#[inline(always)]
pub fn bf16_to_f32(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // A NaN whose payload sits in the lower half must not become an infinity: set the quiet bit.
    let nan = bits >> 16 | 0x40;
    (if x.is_nan() { nan } else { rounded }) as u16
}

#[inline(always)]
pub fn f16_to_f32(x: u16) -> f32 {
    const TWO_POW_112: f32 = f32::from_bits((127 + 112) << 23);
    let sign = u32::from(x & 0x8000) << 16;
    let magnitude = u32::from(x & 0x7fff);
    // The exponents' biases differ by 112; a product also brings denormals into shape.
    let value = (f32::from_bits(magnitude << 13) * TWO_POW_112).to_bits();
    let special = if magnitude >= 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(sign | value | special)
}

#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = bits >> 16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    // Normal: rebias, and round by adding just under half of the last place, or half if that place is odd.
    let normal = magnitude
        .wrapping_sub(112 << 23)
        .wrapping_add(0xfff + (magnitude >> 13 & 1))
        >> 13;
    // Denormal: adding ½ makes the float unit round at 2⁻²⁴, the last place of a float16 denormal.
    let denormal = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0.5f32.to_bits());
    let value = if magnitude < 113 << 23 {
        denormal
    } else {
        normal
    };
    let value = if magnitude >= 143 << 23 {
        0x7c00
    } else {
        value
    };
    let value = if magnitude > 0x7f80_0000 {
        0x7e00 | (magnitude >> 13 & 0x3ff)
    } else {
        value
    };
    (sign | value) as u16
}

macro_rules! convert_slice {
    ($name:ident, $convert:ident, $from:ty, $to:ty) => {
        simd! {
            /// Converts `x` into `y`, up to the shorter length.
            pub fn $name(x: &[$from], y: &mut [$to]) {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = $convert(x);
                }
            }
        }
    };
}

convert_slice!(bf16_to_f32_slice, bf16_to_f32, u16, f32);
convert_slice!(f16_to_f32_slice, f16_to_f32, u16, f32);
convert_slice!(f32_to_bf16_slice, f32_to_bf16, f32, u16);
convert_slice!(f32_to_f16_slice, f32_to_f16, f32, u16);
