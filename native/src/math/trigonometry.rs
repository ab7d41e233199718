//! Sine, cosine and tangent, and their inverses.

use crate::lanes::{Lanes, ROUND};
use crate::simd;
use std::f32::consts::{FRAC_2_PI, FRAC_PI_2, PI};

/// Largest |x| for which [`sin`], [`cos`] and [`tan`] hold.
pub const TRIG_LIMIT: f32 = 131_072.0;

/// π/2 in three parts of 24 bits, all of them positive, and π - (π as float32).
const HALF_PI: [f32; 3] = [
    f32::from_bits(0x3fc9_0fda),
    f32::from_bits(0x33a2_2168),
    f32::from_bits(0x27c2_34c4),
];
const PI_LOW: f32 = -8.742_278e-8;

/// x = r + n · π/2 with |r| up to 0.79, as (r, n + ROUND). Each step is exact or loses half a step of r.
#[inline(always)]
fn reduce<V: Lanes>(x: V) -> (V, V) {
    let t = x.mul_add(V::all(FRAC_2_PI), V::all(ROUND));
    let n = t - V::all(ROUND);
    let [a, b, c] = HALF_PI.map(|part| V::all(-part));
    (n.fused(c, n.fused(b, n.fused(a, x))), t)
}

/// sin and cos of |r| up to 0.79
#[inline(always)]
fn sin_cos_near_zero<V: Lanes>(r: V) -> (V, V) {
    let z = r * r;
    let p = z.polynomial([-1.950_788_1e-4, 8.332_106e-3, -1.666_665_4e-1]);
    let q = z.polynomial([2.443_142_5e-5, -1.388_730_5e-3, 4.166_664_6e-2]);
    let cos = (z * z).mul_add(q, z.mul_add(V::all(-0.5), V::all(1.0)));
    ((r * z).mul_add(p, r).copysign(r), cos)
}

/// Whether the lowest bit is set.
#[inline(always)]
fn is_odd<V: Lanes>(t: V) -> V::Mask {
    t.shl_bits::<31>().shr_bits::<1>().lt(V::all(0.0))
}

/// sin x for |x| up to [`TRIG_LIMIT`]
#[inline(always)]
pub fn sin<V: Lanes>(x: V) -> V {
    let (r, t) = reduce(x);
    let (sin, cos) = sin_cos_near_zero(r);
    let sign = t.shr_bits::<1>().shl_bits::<31>();
    V::select(is_odd(t), cos, sin).xor_bits(sign)
}

/// cos x for |x| up to [`TRIG_LIMIT`]
#[inline(always)]
pub fn cos<V: Lanes>(x: V) -> V {
    let (r, t) = reduce(x);
    let (sin, cos) = sin_cos_near_zero(r);
    let sign = t.add_bits(V::all_bits(1)).shr_bits::<1>().shl_bits::<31>();
    V::select(is_odd(t), sin, cos).xor_bits(sign)
}

/// tan x for |x| up to [`TRIG_LIMIT`]
#[inline(always)]
pub fn tan<V: Lanes>(x: V) -> V {
    let t = x.mul_add(V::all(FRAC_2_PI), V::all(ROUND));
    let n = t - V::all(ROUND);
    let [a, b, c] = HALF_PI.map(|part| V::all(-part));
    // As in `reduce`, with what rounding r has lost.
    let first = n.fused(a, x);
    let second = n * b;
    let r = first + second;
    let lost = ((first - r) + second) + n.fused(b, -second);
    let low = n.fused(c, lost);
    let z = r * r;
    let p = z.polynomial([
        4.465_064_5e-3,
        -8.797_675e-5,
        1.097_375_3e-2,
        2.122_982_8e-2,
        5.406_988e-2,
        1.333_257_7e-1,
        3.333_335_2e-1,
    ]);
    let tan = (r + (r * z).mul_add(p, low)).copysign(r);
    let is_odd = is_odd(t);
    V::select(is_odd, V::all(-1.0), tan) / V::select(is_odd, tan, V::all(1.0))
}

/// The arcsine of s = |x| up to 9/16, and beyond of s = √((1 - |x|) / 2), which is half the arccosine of |x|, as
/// (whether it is the first, arcsine). `near` is |x| or x.
#[inline(always)]
fn asin_of_smaller<V: Lanes>(x: V, near: V) -> (V::Mask, V) {
    let t = x.abs();
    let is_near = t.lt(V::all(0.5625));
    let z = V::select(is_near, t * t, t.mul_add(V::all(-0.5), V::all(0.5)));
    let s = V::select(is_near, near, z.sqrt());
    let p = z.polynomial([
        4.748_375_7e-2,
        6.742_673_5e-3,
        3.401_073_8e-2,
        4.423_219_7e-2,
        7.502_098e-2,
        1.666_663_1e-1,
    ]);
    (is_near, (s * z).mul_add(p, s))
}

/// arcsin x
#[inline(always)]
pub fn asin<V: Lanes>(x: V) -> V {
    let (is_near, v) = asin_of_smaller(x, x.abs());
    let far = v.mul_add(V::all(-2.0), V::all(FRAC_PI_2)) + V::all(0.5 * PI_LOW);
    V::select(is_near, v, far).copysign(x)
}

/// arccos x
#[inline(always)]
pub fn acos<V: Lanes>(x: V) -> V {
    let (is_near, v) = asin_of_smaller(x, x);
    let near = V::all(FRAC_PI_2) - (v - V::all(0.5 * PI_LOW));
    let double = v + v;
    let negative = V::all(PI) - (double - V::all(PI_LOW));
    let far = V::select(x.lt(V::all(0.0)), negative, double);
    V::select(is_near, near, far)
}

/// arctan x
#[inline(always)]
pub fn atan<V: Lanes>(x: V) -> V {
    let t = x.abs();
    let is_far = V::all(1.0).lt(t);
    let s = V::select(is_far, V::all(1.0) / t, t);
    let z = s * s;
    let p = z.polynomial([
        2.919_756_3e-3,
        -1.636_423_7e-2,
        4.320_597_3e-2,
        -7.551_729e-2,
        1.066_578_6e-1,
        -1.421_100_3e-1,
        1.999_376_7e-1,
        -3.333_315_3e-1,
    ]);
    let v = (s * z).mul_add(p, s);
    let far = V::all(FRAC_PI_2) - (v - V::all(0.5 * PI_LOW));
    V::select(is_far, far, v).copysign(x)
}

macro_rules! trig_slice {
    ($name:ident, $fast:ident, $exact:expr, $line:literal) => {
        #[doc = $line]
        /// for any x: the few arguments past [`TRIG_LIMIT`] are looked for block by block and done one by one. STREAMED
        /// goes past the caches.
        ///
        /// # Safety
        /// n numbers can be read and written; the two do not overlap. Where it is STREAMED, a `stream::fence` follows.
        pub unsafe fn $name<const STREAMED: bool>(x: *const f32, y: *mut f32, n: usize) {
            $crate::formula!(Fast [x] { $fast(x) });
            for from in (0..n).step_by(BLOCK) {
                let size = BLOCK.min(n - from);
                // SAFETY: the block lies within n.
                unsafe {
                    let (x, y) = (x.add(from), y.add(from));
                    $crate::lanes::run::<1, STREAMED, _>(Fast, [x; 3], y, size);
                    if is_outside(x, size) {
                        for i in (0..size).filter(|&i| (*x.add(i)).abs() > TRIG_LIMIT) {
                            *y.add(i) = $exact(f64::from(*x.add(i))) as f32;
                        }
                    }
                }
            }
        }
    };
}

const BLOCK: usize = 1024;

simd! {
    /// Whether some number is past TRIG_LIMIT.
    unsafe fn is_outside(x: *const f32, n: usize) -> bool {
        let mut any = 0u32;
        for i in 0..n {
            // SAFETY: the caller gives n numbers.
            any |= u32::from(unsafe { (*x.add(i)).abs() } > TRIG_LIMIT);
        }
        any != 0
    }
}

trig_slice!(sin_slice, sin, f64::sin, "y = sin x");
trig_slice!(cos_slice, cos, f64::cos, "y = cos x");
trig_slice!(tan_slice, tan, f64::tan, "y = tan x");
