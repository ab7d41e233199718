//! The error function, its complement and its inverse, the normal distribution and GELU: polynomials on sixteen
//! intervals, looked up in registers, so that no step is lost to a division.

use super::exponential::{EXP, LN2_HIGH, LN2_LOW};
use crate::lanes::{Lanes, ROUND};
use std::f32::consts::{LN_2, LOG2_E};

/// erf k h + d = first + d · (slope + d · …), h = 65/256, for k = 0 … 15. Next to 0 erf is nearly 1.13 d, whose
/// factor would lose half a step as one float32: so d itself is set apart there.
#[rustfmt::skip]
const ERF: [[f32; 16]; 8] = [
    [0.0, -0.051299784, -0.19911775, -0.083898395, -0.075345, -0.06592835, -0.12751888, 0.15761779,
     0.0047462387, -0.21137267, -0.155755, 0.016977249, -0.0977508, -0.011095023, -0.15560864, -0.091012895],
    [0.112220086, 0.078426816, 0.0072420584, -0.054169033, -0.06827615, -0.044415474, -0.012299305, 0.007842193,
     0.013064013, 0.010020131, 0.005494062, 0.0023681475, 0.00083453633, 0.0002455403, 6.106375e-5, 1.2941221e-5],
    [0.0, 0.12880367, 0.18723598, 0.148981, 0.065795206, -0.008496257, -0.042617127, -0.05076182,
     -0.032519452, -0.01217185, -0.0037477869, -0.0031610974, 0.001545038, 4.9714745e-5, 0.0037536493, 0.0022149354],
    [-0.3761231, -0.30716577, -0.14076775, 0.033768374, 0.14252172, 0.16687444, 0.13449426, 0.08495037,
     0.044045314, 0.019170178, 0.0070928135, 0.002248635, 0.00061410596, 0.00014501928, 2.9694376e-5, 5.2832875e-6],
    [0.0, -0.2686167, -0.44278285, -0.4811425, -0.408535, -0.28586566, -0.16881011, -0.085152484,
     -0.037010126, -0.013947073, -0.004565475, -0.0012876613, -0.00033409146, -7.070989e-5, -3.631256e-5, -1.5765017e-5],
    [0.12837917, 1.0579296, 0.87189066, 0.63164157, 0.40223777, 0.22516376, 0.11079434, 0.047922574,
     0.018220749, 0.0060896976, 0.0017890758, 0.0004620248, 0.00010488305, 2.0929023e-5, 3.6710996e-6, 5.660399e-7],
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
     0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0, 0.280463, 0.5273385, 0.7186238, 0.84908605, 0.92740816, 0.9687964, 0.9880475,
     0.9959292, 0.99876946, 0.9996703, 0.9999218, 0.9999836, 0.99999696, 0.9999995, 0.99999994],
];

/// e^(t²) erfc t around the middles of sixteen intervals, quarters of the powers of two of t + ¾: the lowest two bits of
/// its exponent and the highest two of its fraction say which. The value at the middle comes last, in two parts.
#[rustfmt::skip]
const ERFC: [[f32; 16]; 8] = [
    [0.0019058478, 0.0005979167, 0.00021227796, 8.4443804e-5, 2.5039923e-5, 6.176326e-6, 1.8873574e-6, 6.683775e-7,
     1.827097e-7, 4.2496104e-8, 0.13785468, 0.09080782, 0.04620526, 0.020876756, 0.009982336, 0.005028583],
    [-0.0052162986, -0.0018514661, -0.00073926995, -0.0003279443, -0.00011306067, -3.3279477e-5, -1.1877609e-5, -4.841361e-6,
     -1.5818893e-6, -4.4908595e-7, -0.24950102, -0.16608699, -0.092945464, -0.04505636, -0.02301737, -0.012343311],
    [0.013377023, 0.005440608, 0.0024670255, 0.0012230005, 0.0004881565, 0.00017391566, 7.291933e-5, 3.4511824e-5,
     1.3284523e-5, 4.652353e-6, 0.41502112, 0.2890489, 0.17241295, 0.09053469, 0.0498275, 0.028618107],
    [-0.03292886, -0.015460051, -0.0080014365, -0.0044792453, -0.0021069557, -0.0009080341, -0.00044856916, -0.00024499345,
     -0.00011345917, -4.8791404e-5, -0.6382157, -0.4642973, -0.29541564, -0.1688296, -0.100913934, -0.06279255],
    [0.076151036, 0.041802753, 0.024937997, 0.015884371, 0.008878757, 0.0046613268, 0.002725274, 0.0017227274,
     0.0009627606, 0.0005094578, 0.86997324, 0.66520894, 0.4556124, 0.28658774, 0.18795693, 0.12788229],
    [-0.16362293, -0.106796466, -0.07434735, -0.054372262, -0.03645627, -0.02350345, -0.01634322, -0.0119959,
     -0.008112991, -0.005295135, -1.0117284, -0.8211862, -0.61398625, -0.4323618, -0.3158339, -0.23805849],
    [-3.1165254e-10, -4.350167e-9, -5.719169e-9, -1.3337199e-9, -2.8953286e-9, 9.105812e-10, 2.2824784e-9, -2.7031772e-9,
     -8.222158e-10, -1.562615e-9, -1.1554863e-8, -1.4992697e-8, -3.274814e-9, -1.4825875e-8, 1.3274665e-8, 9.027297e-9],
    [0.32158542, 0.25539568, 0.21080637, 0.17900115, 0.14558972, 0.11630271, 0.096698776, 0.08269506,
     0.06789492, 0.05478459, 0.93320626, 0.8191813, 0.68585724, 0.5568139, 0.46431157, 0.39569807],
];

/// e^(t²/2) Φ(-t) in the same way, by t + 1.
#[rustfmt::skip]
const NORMAL: [[f32; 16]; 6] = [
    [-0.0019901718, -0.00083859416, -0.00037475754, -0.0001776235, -6.8874884e-5, -2.2023785e-5, -8.276861e-6, -3.4541165e-6,
     -1.1530957e-6, -3.3380022e-7, -1.1850834e-7, -4.8179096e-8, -0.020092588, -0.011630294, -0.006953562, -0.00425349],
    [0.0061556264, 0.002856548, 0.0014154224, 0.00073924364, 0.00032568446, 0.00012234402, 5.3096832e-5, 2.5283285e-5,
     1.0023609e-5, 3.5204448e-6, 1.477337e-6, 6.9770675e-7, 0.048433416, 0.029187335, 0.018505333, 0.011926672],
    [-0.017529618, -0.0090749785, -0.0050312816, -0.002956976, -0.0014590378, -0.0006517774, -0.00032804188, -0.0001809017,
     -8.4282394e-5, -3.6276255e-5, -1.7991502e-5, -9.88164e-6, -0.10550758, -0.06781452, -0.0447435, -0.030247442],
    [0.046321724, 0.027176166, 0.01694718, 0.011120301, 0.0063871006, 0.003415732, 0.002013187, 0.0012765717,
     0.00071355863, 0.0003766227, 0.0002217034, 0.00014109343, 0.20550427, 0.14169052, 0.10015746, 0.07244118],
    [-0.11049187, -0.07478687, -0.05322542, -0.03944926, -0.026734244, -0.017327016, -0.012057464, -0.0088403905,
     -0.005961911, -0.0038753396, -0.0027146277, -0.002005033, -0.34221813, -0.25659063, -0.19684468, -0.15414304],
    [0.23076032, 0.18523167, 0.15365194, 0.13072473, 0.10634516, 0.084803395, 0.0703427, 0.060015675,
     0.04912255, 0.039506696, 0.033018973, 0.028352661, 0.45379323, 0.37960443, 0.32335618, 0.27977058],
];

/// Σ table[i][k] dⁱ, the highest power first.
#[inline(always)]
fn piece<V: Lanes, const N: usize>(k: V, d: V, table: &[[f32; 16]; N]) -> V {
    let mut sum = k.lookup(&table[0]);
    let mut i = 1;
    while i < N {
        sum = sum.mul_add(d, k.lookup(&table[i]));
        i += 1;
    }
    sum
}

/// Which quarter of a power of two t + start lies in, and how far from its middle.
#[inline(always)]
fn quarter<V: Lanes>(t: V, start: f32) -> (V, V) {
    let place = t + V::all(start);
    let top = place.and_bits(V::all_bits(0xffe0_0000));
    let middle = top.add_bits(V::all_bits(0x0010_0000));
    (place.shr_bits::<21>(), t - (middle - V::all(start)))
}

/// erf x
#[inline(always)]
pub fn erf<V: Lanes>(x: V) -> V {
    const H: f32 = 65.0 / 256.0;
    let t = x.abs().at_most(V::all(3.935));
    let k = t.mul_add(V::all(1.0 / H), V::all(ROUND));
    let d = (k - V::all(ROUND)).mul_add(V::all(-H), t);
    let [rest @ .., slope, first]: &[[f32; 16]; 8] = &ERF;
    let line = d.mul_add(k.lookup(slope), k.lookup(first));
    piece(k, d, rest).mul_add(d, line).copysign(x)
}

/// e^(-scale t²) as (1 + e) · 2ⁿ. An error of t² would be one of the exponent: it is kept in two parts.
#[inline(always)]
fn gauss<V: Lanes>(t: V, scale: f32) -> (V, V) {
    let square = t * t;
    let lost = t.fused(t, -square) * V::all(-scale);
    let x = square * V::all(-scale);
    let n = x.mul_add(V::all(LOG2_E), V::all(ROUND)) - V::all(ROUND);
    let r = n.mul_add(V::all(-LN2_HIGH), x) + n.mul_add(V::all(-LN2_LOW), lost);
    let [rest @ .., _]: [f32; 7] = EXP;
    (r.polynomial(rest) * r, n)
}

/// erfc x = 1 - erf x, accurate down to the smallest numbers
#[inline(always)]
pub fn erfc<V: Lanes>(x: V) -> V {
    let t = x.abs().at_most(V::all(10.4));
    let (e, n) = gauss(t, 1.0);
    let (k, d) = quarter(t, 0.75);
    let [rest @ .., first]: &[[f32; 16]; 8] = &ERFC;
    let near = piece(k, d, rest) + k.lookup(first);
    let tail = near.mul_add(e, near).scale(n);
    V::select(x.lt(V::all(0.0)), V::all(2.0) - tail, tail)
}

/// Φ(-|x|) as p · 2ⁿ
#[inline(always)]
fn normal_tail<V: Lanes>(x: V) -> (V, V) {
    let t = x.abs().at_most(V::all(14.6));
    let (e, n) = gauss(t, 0.5);
    let (k, d) = quarter(t, 1.0);
    let near = piece(k, d, &NORMAL);
    (near.mul_add(e, near), n)
}

/// Φ(x), the standard normal distribution function, within 3 ulp
#[inline(always)]
pub fn normal_cdf<V: Lanes>(x: V) -> V {
    let (p, n) = normal_tail(x);
    let tail = p.scale(n);
    V::select(x.lt(V::all(0.0)), tail, V::all(1.0) - tail)
}

/// x · Φ(x), the exact GELU, within 4 ulp, also where 1 + erf would cancel; NaN at ∞
#[inline(always)]
pub fn gelu<V: Lanes>(x: V) -> V {
    let (p, n) = normal_tail(x);
    // The tail is zero past -15; the limit keeps large · tiny away.
    let tail = (x.at_least(V::all(-20.0)) * p).scale(n);
    V::select(V::all(0.0).lt(x), x - tail, tail)
}

/// The inverse of erf: x times a polynomial of -ln(1 - x²), past 5 of its root
#[inline(always)]
pub fn erfinv<V: Lanes>(x: V) -> V {
    let one = V::all(1.0);
    let u = x.fused(-x, one);
    let (m, e) = u.split();
    let f = m - one;
    let q = f.polynomial([
        -0.064_677_04,
        0.140_161_2,
        -0.173_852_52,
        0.201_220_6,
        -0.249_765_96,
        0.333_295_64,
        -0.500_002_3,
    ]);
    let w = e.mul_add(V::all(-LN_2), -(f * f).mul_add(q, f));
    let p = (w - one).polynomial([
        -8.188_096e-9,
        1.349_338e-7,
        -4.979_18e-7,
        -4.428_221_5e-6,
        3.817_344_6e-5,
        1.003_828_4e-4,
        -2.376_414_1e-3,
        4.250_566e-3,
        2.478_328_8e-1,
        1.127_374_4,
    ]);
    let is_far = V::all(5.0).lt(w);
    // Few numbers lie there.
    let p = if V::any(is_far) {
        let v = w.sqrt() - V::all(3.0);
        let far = v.polynomial([
            1.169_309_4e-4,
            -3.089_68e-4,
            -6.098_019e-5,
            1.484_427_1e-3,
            -3.593_301_2e-3,
            5.687_329e-3,
            -7.638_768e-3,
            9.445_157e-3,
            1.001_675_1,
            2.832_976_8,
        ]);
        V::select(is_far, far, p)
    } else {
        p
    };
    V::at_limits::<false>(x * p, u).copysign(x)
}
