//! The two float types that kernels compute in, with the functions that losses and normalisations need of them.

use crate::dtype::Number;
use crate::lanes;
use crate::math;
use core::ops::{Div, Neg, Sub};

/// float32 or float64.
pub trait Real:
    Number + Sub<Output = Self> + Div<Output = Self> + Neg<Output = Self> + core::ops::AddAssign
{
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    /// From a float64, rounded.
    fn of(x: f64) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    /// 1 / (1 + e⁻ˣ)
    fn sigmoid(self) -> Self;
    /// `y = sigmoid(x)` of n numbers.
    ///
    /// # Safety
    /// There are n numbers of each, and the two do not overlap.
    unsafe fn sigmoid_all(x: *const Self, y: *mut Self, n: usize) {
        for i in 0..n {
            // SAFETY: the caller's promise; so below.
            unsafe { *y.add(i) = (*x.add(i)).sigmoid() };
        }
    }
    /// `y = tanh(x)` of n numbers.
    ///
    /// # Safety
    /// As above.
    unsafe fn tanh_all(x: *const Self, y: *mut Self, n: usize) {
        for i in 0..n {
            unsafe { *y.add(i) = (*x.add(i)).tanh() };
        }
    }
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const LOWEST: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn of(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn exp(self) -> f32 {
        math::exp_f32(self)
    }
    #[inline(always)]
    fn ln(self) -> f32 {
        math::log_f32(self)
    }
    #[inline(always)]
    fn tanh(self) -> f32 {
        math::tanh_f32(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> f32 {
        math::sigmoid_f32(self)
    }
    unsafe fn sigmoid_all(x: *const f32, y: *mut f32, n: usize) {
        crate::formula!(Sigmoid [x] { math::sigmoid(x) });
        unsafe { lanes::run::<1, false, _>(Sigmoid, [x; 3], y, n) }
    }
    unsafe fn tanh_all(x: *const f32, y: *mut f32, n: usize) {
        crate::formula!(Tanh [x] { math::tanh(x) });
        unsafe { lanes::run::<1, false, _>(Tanh, [x; 3], y, n) }
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const LOWEST: f64 = f64::NEG_INFINITY;
    #[inline(always)]
    fn of(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn exp(self) -> f64 {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> f64 {
        f64::ln(self)
    }
    #[inline(always)]
    fn tanh(self) -> f64 {
        f64::tanh(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> f64 {
        let e = f64::exp(-self.abs());
        (if self < 0.0 { e } else { 1.0 }) / (1.0 + e)
    }
}

/// Runs `$body` with `$C` bound to float32 or float64; fails for integers.
#[macro_export]
macro_rules! with_real {
    ($name:expr, $compute:expr, $C:ident => $body:expr) => {
        match $compute {
            $crate::dtype::Compute::F32 => {
                type $C = f32;
                $body
            }
            $crate::dtype::Compute::F64 => {
                type $C = f64;
                $body
            }
            $crate::dtype::Compute::I64 => $crate::bail!("{}: it takes floats only", $name),
        }
    };
}
