//! The ten element types, and conversion between them and the three types kernels compute in:
//! float32 (for float32, bfloat16, float16), float64, and int64 (for all integers and bool).

/// An element type, numbered as in TypeScript's `DTYPES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DType {
    F32,
    F64,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

/// All element types in the order of their numbers.
pub const DTYPES: [DType; 10] = [
    DType::F32,
    DType::F64,
    DType::F16,
    DType::Bf16,
    DType::I64,
    DType::I32,
    DType::I16,
    DType::I8,
    DType::U8,
    DType::Bool,
];

impl DType {
    /// The type with this number, if there is one.
    pub fn from_code(code: f64) -> Option<DType> {
        DTYPES
            .get(code as usize)
            .copied()
            .filter(|d| f64::from(*d as u8) == code)
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::Bf16 | DType::I16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
        }
    }

    /// PyTorch's name.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::F16 => "float16",
            DType::Bf16 => "bfloat16",
            DType::I64 => "int64",
            DType::I32 => "int32",
            DType::I16 => "int16",
            DType::I8 => "int8",
            DType::U8 => "uint8",
            DType::Bool => "bool",
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::Bf16)
    }

    /// The type in which kernels compute values of this one.
    pub const fn compute(self) -> Compute {
        match self {
            DType::F32 | DType::F16 | DType::Bf16 => Compute::F32,
            DType::F64 => Compute::F64,
            _ => Compute::I64,
        }
    }
}

/// The type in which a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    F32,
    F64,
    I64,
}

/// bfloat16 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// IEEE half bits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub struct F16(pub u16);

/// A bool byte; any non-zero byte reads as true, only 0 and 1 are written.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub struct Bool(pub u8);

#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to nearest even; a NaN keeps its sign and stays a NaN.
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let b = x.to_bits();
    let rounded = (b.wrapping_add(0x7fff + ((b >> 16) & 1)) >> 16) as u16;
    if x.is_nan() {
        ((b >> 16) | 0x40) as u16
    } else {
        rounded
    }
}

#[inline(always)]
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h & 0x8000) << 16;
    let rest = u32::from(h & 0x7fff);
    // Shifted into place, the exponent is 112 too small; a multiplication by 2^112 mends it and
    // normalises denormals in one go. Inf and NaN need their exponent forced to the top.
    let magnitude = f32::from_bits(rest << 13) * f32::from_bits(0x7780_0000);
    let bits = if rest >= 0x7c00 {
        (rest << 13) | 0x7f80_0000
    } else {
        magnitude.to_bits()
    };
    f32::from_bits(sign | bits)
}

/// Rounds to nearest even, overflows to infinity, keeps NaN.
#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let b = x.to_bits();
    let sign = ((b >> 16) & 0x8000) as u16;
    let a = b & 0x7fff_ffff;
    // Below the smallest normal half, adding 0.5 lets the FPU round the denormal.
    let small = (f32::from_bits(a) + 0.5)
        .to_bits()
        .wrapping_sub(0x3f00_0000) as u16;
    let normal = (a.wrapping_add(0xc800_0fff).wrapping_add((a >> 13) & 1) >> 13) as u16;
    let magnitude = if a > 0x7f80_0000 {
        0x7e00
    } else if a >= 0x4780_0000 {
        0x7c00
    } else if a < 0x3880_0000 {
        small
    } else {
        normal
    };
    sign | magnitude
}

/// An element in memory.
pub trait Element: Copy + Send + Sync + 'static {
    fn to_f32(self) -> f32;
    fn to_f64(self) -> f64;
    fn to_i64(self) -> i64;
    fn from_f32(x: f32) -> Self;
    fn from_f64(x: f64) -> Self;
    fn from_i64(x: i64) -> Self;
}

macro_rules! number {
    ($($t:ty => $via:ident),*) => { $(
        impl Element for $t {
            #[inline(always)] fn to_f32(self) -> f32 { self as f32 }
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)] fn from_f32(x: f32) -> Self { number!(@$via x, $t) }
            #[inline(always)] fn from_f64(x: f64) -> Self { number!(@$via x, $t) }
            #[inline(always)] fn from_i64(x: i64) -> Self { x as $t }
        }
    )* };
    (@direct $x:expr, $t:ty) => { $x as $t };
    // Floats become narrow integers by way of int64, so that they wrap as PyTorch's casts do.
    (@wrap $x:expr, $t:ty) => { ($x as i64) as $t };
}
number!(f32 => direct, f64 => direct, i64 => direct, i32 => wrap, i16 => wrap, i8 => wrap, u8 => wrap);

macro_rules! half {
    ($($t:ident: $to:path, $from:path);*) => { $(
        impl Element for $t {
            #[inline(always)] fn to_f32(self) -> f32 { $to(self.0) }
            #[inline(always)] fn to_f64(self) -> f64 { f64::from($to(self.0)) }
            #[inline(always)] fn to_i64(self) -> i64 { $to(self.0) as i64 }
            #[inline(always)] fn from_f32(x: f32) -> Self { $t($from(x)) }
            #[inline(always)] fn from_f64(x: f64) -> Self { $t($from(x as f32)) }
            #[inline(always)] fn from_i64(x: i64) -> Self { $t($from(x as f32)) }
        }
    )* };
}
half!(Bf16: bf16_to_f32, f32_to_bf16; F16: f16_to_f32, f32_to_f16);

impl Element for Bool {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        if self.0 != 0 { 1.0 } else { 0.0 }
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        if self.0 != 0 { 1.0 } else { 0.0 }
    }
    #[inline(always)]
    fn to_i64(self) -> i64 {
        i64::from(self.0 != 0)
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Bool(u8::from(x != 0.0))
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        Bool(u8::from(x != 0.0))
    }
    #[inline(always)]
    fn from_i64(x: i64) -> Self {
        Bool(u8::from(x != 0))
    }
}

/// A type in which kernels compute.
pub trait Number:
    Element + Default + PartialOrd + core::ops::Add<Output = Self> + core::ops::Mul<Output = Self>
{
    const COMPUTE: Compute;
    const DTYPE: DType;
    fn load<E: Element>(x: E) -> Self;
    fn store<E: Element>(self) -> E;
}

macro_rules! compute {
    ($($t:ty: $c:expr, $d:expr, $to:ident, $from:ident);*) => { $(
        impl Number for $t {
            const COMPUTE: Compute = $c;
            const DTYPE: DType = $d;
            #[inline(always)] fn load<E: Element>(x: E) -> Self { x.$to() }
            #[inline(always)] fn store<E: Element>(self) -> E { E::$from(self) }
        }
    )* };
}
compute!(
    f32: Compute::F32, DType::F32, to_f32, from_f32;
    f64: Compute::F64, DType::F64, to_f64, from_f64;
    i64: Compute::I64, DType::I64, to_i64, from_i64
);

/// Runs `$body` with `$T` bound to the element type of `$dtype`.
#[macro_export]
macro_rules! with_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::dtype::DType::F64 => {
                type $T = f64;
                $body
            }
            $crate::dtype::DType::F16 => {
                type $T = $crate::dtype::F16;
                $body
            }
            $crate::dtype::DType::Bf16 => {
                type $T = $crate::dtype::Bf16;
                $body
            }
            $crate::dtype::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::dtype::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::dtype::DType::I16 => {
                type $T = i16;
                $body
            }
            $crate::dtype::DType::I8 => {
                type $T = i8;
                $body
            }
            $crate::dtype::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::dtype::DType::Bool => {
                type $T = $crate::dtype::Bool;
                $body
            }
        }
    };
}

/// Runs `$body` with `$C` bound to the compute type.
#[macro_export]
macro_rules! with_compute {
    ($compute:expr, $C:ident => $body:expr) => {
        match $compute {
            $crate::dtype::Compute::F32 => {
                type $C = f32;
                $body
            }
            $crate::dtype::Compute::F64 => {
                type $C = f64;
                $body
            }
            $crate::dtype::Compute::I64 => {
                type $C = i64;
                $body
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_types_survive_a_round_trip() {
        for bits in 0..=u16::MAX {
            let x = f16_to_f32(bits);
            assert!(x.is_nan() || f32_to_f16(x) == bits, "f16 {bits:#x}");
            let y = bf16_to_f32(bits);
            assert!(y.is_nan() || f32_to_bf16(y) == bits, "bf16 {bits:#x}");
        }
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(65519.0), 0x7bff);
        assert_eq!(f32_to_f16(2.0f32.powi(-25)), 0);
        assert_eq!(f32_to_f16(3.0 * 2.0f32.powi(-26)), 1);
        assert_eq!(f32_to_bf16(1.0 + 1.0 / 256.0), 0x3f80, "a tie goes to even");
    }
}
