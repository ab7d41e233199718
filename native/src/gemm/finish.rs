//! The last step of a product: scaling, adding to C, bias, ReLU, and the conversion to C's type.

use super::pack::{Float, copy_line};
use super::{Elem, MatMut};
use crate::math::{f32_to_bf16, f32_to_f16};

/// Options in the compute type, with the bias at hand and possibly along the rows of a transposed problem.
pub struct Finish<T> {
    pub alpha: T,
    pub beta: T,
    pub bias: *const T,
    pub bias_by_row: bool,
    pub relu: bool,
}

// SAFETY: the bias is read only, and outlives the product.
unsafe impl<T> Sync for Finish<T> {}

impl<T: Float> Finish<T> {
    /// c = relu(alpha · x + beta · c + bias) for `n` elements of row `i` from column `j`; x is contiguous and may be c.
    pub unsafe fn row(&self, x: *const T, c: &MatMut, i: usize, j: usize, n: usize) {
        // SAFETY: the caller stays inside both.
        unsafe {
            let mut line = [T::ZERO; 64];
            for start in (0..n).step_by(64) {
                let part = 64.min(n - start);
                let line = &mut line[..part];
                line.copy_from_slice(std::slice::from_raw_parts(x.add(start), part));
                let to = c.at(i, j + start);
                if self.alpha != T::ONE {
                    line.iter_mut().for_each(|x| *x = *x * self.alpha);
                }
                if self.beta != T::ZERO {
                    let mut old = [T::ZERO; 64];
                    copy_line(to, c.elem, c.cs, old.as_mut_ptr(), part);
                    line.iter_mut()
                        .zip(&old)
                        .for_each(|(x, &old)| *x += self.beta * old);
                }
                if !self.bias.is_null() && self.bias_by_row {
                    let bias = *self.bias.add(i);
                    line.iter_mut().for_each(|x| *x += bias);
                } else if !self.bias.is_null() {
                    let bias = std::slice::from_raw_parts(self.bias.add(j + start), part);
                    line.iter_mut().zip(bias).for_each(|(x, &bias)| *x += bias);
                }
                if self.relu {
                    // NaN stays.
                    line.iter_mut()
                        .for_each(|x| *x = if *x < T::ZERO { T::ZERO } else { *x });
                }
                write_line(line, to, c.elem, c.cs);
            }
        }
    }

    /// Whether tiles can do all of it while they write C.
    pub fn only_scales(&self) -> bool {
        self.bias.is_null() && !self.relu
    }
}

unsafe fn write_line<T: Float>(line: &[T], to: *mut u8, elem: Elem, step: isize) {
    let at = |i: usize| i as isize * step;
    // SAFETY: the caller gives line.len() places.
    unsafe {
        if step == 1 && elem == T::ELEM {
            return std::ptr::copy_nonoverlapping(line.as_ptr(), to.cast(), line.len());
        }
        for (i, x) in line.iter().enumerate() {
            match elem {
                Elem::F32 => *to.cast::<f32>().offset(at(i)) = x.to_f32(),
                Elem::F64 => *to.cast::<f64>().offset(at(i)) = x.to_f64(),
                Elem::Bf16 => *to.cast::<u16>().offset(at(i)) = f32_to_bf16(x.to_f32()),
                Elem::F16 => *to.cast::<u16>().offset(at(i)) = f32_to_f16(x.to_f32()),
            }
        }
    }
}
