//! The last step of a product: scaling, adding to C, scale and bias of each column, ReLU, and the conversion to C's type.

use super::kernel::Ending;
use super::pack::{Float, copy_line};
use super::{Elem, MatMut};
use crate::math::{f32_to_bf16, f32_to_f16};

/// Options in the compute type, with scale and bias at hand and possibly along the rows of a transposed problem.
pub struct Finish<T> {
    pub alpha: T,
    pub beta: T,
    pub ending: Ending<T>,
}

// SAFETY: scale and bias are read only, and outlive the product.
unsafe impl<T> Sync for Finish<T> {}

impl<T: Float> Finish<T> {
    /// c = relu(scale · (alpha · x + beta · c) + bias) for `n` elements of row `i` from column `j`; x is contiguous and may be c.
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
                let Ending {
                    scale,
                    bias,
                    by_row,
                    relu,
                } = self.ending;
                let at = if by_row { i } else { j + start };
                let values = |from: *const T| {
                    std::slice::from_raw_parts(from.add(at), if by_row { 1 } else { part })
                };
                if !scale.is_null() {
                    let scales = values(scale).iter().cycle();
                    line.iter_mut()
                        .zip(scales)
                        .for_each(|(x, &scale)| *x = scale * *x);
                }
                if !bias.is_null() {
                    let biases = values(bias).iter().cycle();
                    line.iter_mut()
                        .zip(biases)
                        .for_each(|(x, &bias)| *x += bias);
                }
                if relu {
                    // NaN stays.
                    line.iter_mut()
                        .for_each(|x| *x = if *x < T::ZERO { T::ZERO } else { *x });
                }
                write_line(line, to, c.elem, c.cs);
            }
        }
    }

    /// Whether products are just written.
    pub fn is_bare(&self) -> bool {
        self.alpha == T::ONE && self.beta == T::ZERO && self.ending.is_none()
    }

    /// What tiles end with whose first row and column these are.
    ///
    /// # Safety
    /// The row and the column exist.
    pub unsafe fn ending_at(&self, row: usize, column: usize) -> Ending<T> {
        let at = if self.ending.by_row { row } else { column };
        let from = |values: *const T| {
            if values.is_null() {
                values
            } else {
                // SAFETY: there is one for each row, or column.
                unsafe { values.add(at) }
            }
        };
        Ending {
            scale: from(self.ending.scale),
            bias: from(self.ending.bias),
            ..self.ending
        }
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
