//! Convolutions one product at a time: those of integers, in int64, wrapping; and of floats where windows are so wide that
//! no other way pays.

use super::super::dense::{self, Input, Output};
use super::Geometry;
use crate::dtype::Number;
use crate::fault::Outcome;

/// A number with `self + a · b`.
pub trait Exact: Number {
    fn plus(self, a: Self, b: Self) -> Self;
}

impl Exact for f32 {
    #[inline(always)]
    fn plus(self, a: f32, b: f32) -> f32 {
        self + a * b
    }
}

impl Exact for f64 {
    #[inline(always)]
    fn plus(self, a: f64, b: f64) -> f64 {
        self + a * b
    }
}

impl Exact for i64 {
    #[inline(always)]
    fn plus(self, a: i64, b: i64) -> i64 {
        self.wrapping_add(a.wrapping_mul(b))
    }
}

/// Calls `body(position of x, position of y)` for the tap `t` of each pair of positions that meet in it.
fn pairs(g: &Geometry, t: usize, mut body: impl FnMut(usize, usize)) {
    let tap = [
        t / g.kernel[2] / g.kernel[1],
        t / g.kernel[2] % g.kernel[1],
        t % g.kernel[2],
    ];
    let place = |d: usize, i: usize| {
        let at = (i * g.stride[d] + tap[d] * g.dilation[d]).wrapping_sub(g.padding[d]);
        (at < g.input[d]).then_some(at)
    };
    for a in 0..g.output[0] {
        let Some(x0) = place(0, a) else { continue };
        for b in 0..g.output[1] {
            let Some(x1) = place(1, b) else { continue };
            for c in 0..g.output[2] {
                let Some(x2) = place(2, c) else { continue };
                body(
                    (x0 * g.input[1] + x1) * g.input[2] + x2,
                    (a * g.output[1] + b) * g.output[2] + c,
                );
            }
        }
    }
}

pub fn forward<C: Exact>(
    g: &Geometry,
    to: &Output<C>,
    x: &Input<C>,
    w: &Input<C>,
    bias: Option<&Input<C>>,
) -> Outcome {
    let (x, w) = (x.all(), w.all());
    let (positions, places, taps) = (g.positions(), g.places(), g.taps());
    let channels = g.outs * g.groups;
    let work = positions.saturating_mul(g.ins.saturating_mul(taps));
    dense::each(g.batch * channels, work, &|i| {
        let (image, o) = (i / channels, i % channels);
        // SAFETY: this task's plane.
        let plane = unsafe { to.part(i * positions, positions) };
        plane.fill(bias.map_or(C::default(), |bias| bias.all()[o]));
        for c in 0..g.ins {
            let from = &x[((image * g.groups + o / g.outs) * g.ins + c) * places..][..places];
            for t in 0..taps {
                let factor = w[(o * g.ins + c) * taps + t];
                pairs(g, t, |a, b| {
                    plane[b] = plane[b].plus(factor, from[a]);
                });
            }
        }
        Ok(())
    })
}

pub fn input_grad<C: Exact>(
    g: &Geometry,
    to: &Output<C>,
    y: &Input<C>,
    w: &Input<C>,
    bias: Option<&Input<C>>,
) -> Outcome {
    let (y, w) = (y.all(), w.all());
    let (positions, places, taps) = (g.positions(), g.places(), g.taps());
    let channels = g.ins * g.groups;
    let work = positions.saturating_mul(g.outs.saturating_mul(taps));
    dense::each(g.batch * channels, work, &|i| {
        let (image, group, c) = (i / channels, i % channels / g.ins, i % g.ins);
        // SAFETY: this task's plane.
        let plane = unsafe { to.part(i * places, places) };
        plane.fill(bias.map_or(C::default(), |bias| bias.all()[i % channels]));
        for o in group * g.outs..(group + 1) * g.outs {
            let from = &y[(image * g.outs * g.groups + o) * positions..][..positions];
            for t in 0..taps {
                let factor = w[(o * g.ins + c) * taps + t];
                pairs(g, t, |a, b| {
                    plane[a] = plane[a].plus(factor, from[b]);
                });
            }
        }
        Ok(())
    })
}

pub fn weight_grad<C: Exact>(g: &Geometry, to: &Output<C>, y: &Input<C>, x: &Input<C>) -> Outcome {
    let (y, x) = (y.all(), x.all());
    let (positions, places, taps) = (g.positions(), g.places(), g.taps());
    let work = positions.saturating_mul(g.batch.saturating_mul(taps));
    dense::each(g.outs * g.groups * g.ins, work, &|i| {
        let (o, c) = (i / g.ins, i % g.ins);
        // SAFETY: this task's taps.
        let row = unsafe { to.part(i * taps, taps) };
        row.fill(C::default());
        for image in 0..g.batch {
            let g_plane = &y[(image * g.outs * g.groups + o) * positions..][..positions];
            let x_plane = &x[((image * g.groups + o / g.outs) * g.ins + c) * places..][..places];
            for (t, sum) in row.iter_mut().enumerate() {
                pairs(g, t, |a, b| {
                    *sum = sum.plus(g_plane[b], x_plane[a]);
                });
            }
        }
        Ok(())
    })
}
