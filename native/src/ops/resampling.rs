//! Planes brought to another size: x (B, S…) → y (B, O…) over the last one to three dims. Along each dim an element of y
//! is a weighted sum of a few elements of x; a table of these is made once per dim, the dims are done one after another,
//! and the gradient uses the same tables the other way round.

mod cuda;

use super::dense::{self, Input, Output};
use crate::dtype::{Compute, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::memory::Scratch;
use crate::{bail, simd, with_compute};

const NEAREST: usize = 0;
const NEAREST_EXACT: usize = 1;
const LINEAR: usize = 2;
const CUBIC: usize = 3;
/// Sizes up to here are exact in float64.
const LARGEST: usize = 1 << 31;
const LARGEST_TABLE: usize = 1 << 27;

/// For each of the places along a dim of y, the places of x that it sums and their weights.
struct Table<C> {
    input: usize,
    output: usize,
    /// `taps` for each place of y.
    taps: usize,
    places: Vec<usize>,
    weights: Vec<C>,
}

/// What a table is made of.
#[derive(Clone, Copy)]
struct Form {
    mode: usize,
    align: bool,
    antialias: bool,
    /// Coordinates are rounded to float32, as PyTorch's are for all but float64.
    single: bool,
}

impl Form {
    /// How many elements of x an element of y is made of at most.
    fn taps(self, input: usize, step: f64) -> usize {
        match self.mode {
            _ if self.antialias => {
                let radius = if self.mode == LINEAR { 1.0 } else { 2.0 };
                ((radius * step.max(1.0)).ceil() as usize)
                    .saturating_mul(2)
                    .saturating_add(1)
                    .min(input)
            }
            NEAREST | NEAREST_EXACT => 1,
            LINEAR => 2,
            _ => 4,
        }
    }

    fn round(self, x: f64) -> f64 {
        if self.single { f64::from(x as f32) } else { x }
    }

    /// Places of x from one place of y to the next; a given scale is that of y to x.
    fn step(self, input: usize, output: usize, scale: f64) -> f64 {
        let given = if scale > 0.0 {
            1.0 / scale
        } else {
            input as f64 / output as f64
        };
        if !self.align || self.mode < LINEAR {
            self.round(given)
        } else if output > 1 {
            self.round((input - 1) as f64 / (output - 1) as f64)
        } else {
            0.0
        }
    }
}

/// Weights of the four places around a point, t behind the second. Source: Keys 1981, with a = -0.75.
pub fn cubic(t: f64) -> [f64; 4] {
    let near = |x: f64| (1.25 * x - 2.25) * x * x + 1.0;
    let far = |x: f64| ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

impl<C: Number> Table<C> {
    fn new(form: Form, input: usize, output: usize, scale: f64) -> Table<C> {
        let step = form.step(input, output, scale);
        let taps = form.taps(input, step);
        let mut table = Table {
            input,
            output,
            taps,
            places: vec![0; output * taps],
            weights: vec![C::from_f64(0.0); output * taps],
        };
        for o in 0..output {
            let places = &mut table.places[o * taps..][..taps];
            let weights = &mut table.weights[o * taps..][..taps];
            let mut put = |i: usize, place: usize, weight: f64| {
                places[i] = place.min(input - 1);
                weights[i] = C::from_f64(weight);
            };
            let centre = if form.align {
                form.round(step * o as f64)
            } else {
                form.round(step * (o as f64 + 0.5) - 0.5)
            };
            match form.mode {
                _ if form.antialias => smooth(form, step, o, input, taps, &mut put),
                NEAREST => put(0, form.round(step * o as f64) as usize, 1.0),
                NEAREST_EXACT => put(0, form.round(step * (o as f64 + 0.5)) as usize, 1.0),
                LINEAR => {
                    let at = centre.max(0.0);
                    let first = (at as usize).min(input - 1);
                    let t = form.round(at - first as f64).clamp(0.0, 1.0);
                    put(0, first, form.round(1.0 - t));
                    put(1, first + 1, t);
                }
                _ => {
                    let first = centre.floor();
                    for (i, weight) in cubic(form.round(centre - first)).into_iter().enumerate() {
                        put(i, (first + i as f64 - 1.0).max(0.0) as usize, weight);
                    }
                }
            }
        }
        table
    }
}

/// Weights of a filter as wide as the step, so that no element of x is passed over.
fn smooth(
    form: Form,
    step: f64,
    o: usize,
    input: usize,
    taps: usize,
    put: &mut impl FnMut(usize, usize, f64),
) {
    let stretch = step.max(1.0);
    let radius = if form.mode == LINEAR { 1.0 } else { 2.0 } * stretch;
    let filter = |x: f64| {
        let x = x.abs();
        match form.mode {
            LINEAR => (1.0 - x).max(0.0),
            // a = -0.5, as in Pillow.
            _ if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            _ if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            _ => 0.0,
        }
    };
    let centre = form.round(step * (o as f64 + 0.5));
    let first = ((centre - radius + 0.5).max(0.0) as usize).min(input);
    let end = ((centre + radius + 0.5).max(0.0) as usize).min(input);
    let count = end.saturating_sub(first).min(taps);
    let weight = |i: usize| filter(((first + i) as f64 - centre + 0.5) / stretch);
    let total: f64 = (0..count).map(weight).sum();
    for i in 0..count {
        put(
            i,
            first + i,
            if total == 0.0 { 0.0 } else { weight(i) / total },
        );
    }
}

simd! {
    /// `y[j] += w x[j]`
    unsafe fn add_row<C: Number>(y: *mut C, x: *const C, w: C, n: usize) {
        // SAFETY: the caller gives n elements of both, which do not overlap.
        unsafe {
            for j in 0..n { *y.add(j) = *y.add(j) + w * *x.add(j); }
        }
    }
}

simd! {
    /// `y[j] = w x[j]`
    unsafe fn set_row<C: Number>(y: *mut C, x: *const C, w: C, n: usize) {
        // SAFETY: as in `add_row`.
        unsafe {
            for j in 0..n { *y.add(j) = w * *x.add(j); }
        }
    }
}

/// x (outer, L, inner) → y (outer, M, inner) by a table; `back`: from M to L.
fn along<C: Number>(t: &Table<C>, back: bool, outer: usize, inner: usize, x: &[C], y: &mut [C]) {
    let (from, to) = if back {
        y.fill(C::from_f64(0.0));
        (t.output, t.input)
    } else {
        (t.input, t.output)
    };
    for a in 0..outer {
        let x = &x[a * from * inner..][..from * inner];
        let y = &mut y[a * to * inner..][..to * inner];
        for o in 0..t.output {
            let taps = o * t.taps..(o + 1) * t.taps;
            let (places, weights) = (&t.places[taps.clone()], &t.weights[taps]);
            if inner == 1 {
                if back {
                    for (&i, &w) in places.iter().zip(weights) {
                        y[i] = y[i] + w * x[o];
                    }
                } else {
                    let mut sum = weights[0] * x[places[0]];
                    for (&i, &w) in places.iter().zip(weights).skip(1) {
                        sum = sum + w * x[i];
                    }
                    y[o] = sum;
                }
                continue;
            }
            for (tap, (&i, &w)) in places.iter().zip(weights).enumerate() {
                let (here, there) = if back { (i, o) } else { (o, i) };
                let to = y[here * inner..][..inner].as_mut_ptr();
                let from = x[there * inner..][..inner].as_ptr();
                // SAFETY: `inner` elements of both.
                unsafe {
                    if tap == 0 && !back {
                        set_row(to, from, w, inner);
                    } else {
                        add_row(to, from, w, inner);
                    }
                }
            }
        }
    }
}

/// A checked call: what its tables are made of, and the sizes, step and scale of each dim.
struct Plan {
    form: Form,
    /// Of x, and of y.
    input: Vec<usize>,
    output: Vec<usize>,
    scales: Vec<f64>,
}

impl Plan {
    /// Scalars: mode, whether corners align, whether to smooth, then a scale for each dim or 0. `small` has x's dims,
    /// `large` y's, of which one is the output.
    fn new(call: &Call, compute: Compute, small: &Operand, large: &Operand) -> Outcome<Plan> {
        let d = small.ndim.wrapping_sub(1);
        let (mode, align, antialias) = (call.count(0)?, call.float(1) != 0.0, call.float(2) != 0.0);
        let fits = (1..=3).contains(&d)
            && large.ndim == small.ndim
            && small.dims()[0] == large.dims()[0]
            && call.scalars().len() == 3 + d
            && mode <= CUBIC
            && !(antialias && mode < LINEAR)
            && (compute != Compute::I64 || mode < LINEAR)
            && small.dims()[1..]
                .iter()
                .chain(&large.dims()[1..])
                .all(|&n| n < LARGEST);
        call.require(fits, || {
            format!(
                "mode {mode} from dims {:?} to {:?}",
                small.dims(),
                large.dims()
            )
        })?;
        let (out, input) = (&call.outs()[0], &call.ins()[0]);
        if out.numel() > 0 && input.numel() == 0 {
            bail!("{}: there are no elements to take", call.name);
        }
        let plan = Plan {
            form: Form {
                mode,
                align,
                antialias,
                single: compute != Compute::F64,
            },
            input: small.dims()[1..].to_vec(),
            output: large.dims()[1..].to_vec(),
            scales: (0..d).map(|i| call.float(3 + i)).collect(),
        };
        for (i, &scale) in plan.scales.iter().enumerate() {
            // A scale that is far from the sizes would ask for endless filters.
            call.require((0.0..=1e9).contains(&scale), || format!("scale {scale}"))?;
            if out.numel() == 0 {
                continue;
            }
            let (n, m) = (plan.input[i], plan.output[i]);
            let taps = plan.form.taps(n, plan.form.step(n, m, scale));
            call.require(
                m.checked_mul(taps).is_some_and(|n| n <= LARGEST_TABLE),
                || format!("a table of {m} times {taps} weights"),
            )?;
        }
        Ok(plan)
    }

    /// The table of a dim.
    fn table<C: Number>(&self, i: usize) -> Table<C> {
        Table::new(self.form, self.input[i], self.output[i], self.scales[i])
    }

    /// The dims in the order in which they are done: the last first; back the other way.
    fn order(&self, back: bool) -> Vec<usize> {
        let dims = 0..self.input.len();
        if back {
            dims.collect()
        } else {
            dims.rev().collect()
        }
    }
}

fn resample<C: Number>(call: &Call, small: &Operand, large: &Operand, back: bool) -> Outcome {
    let plan = Plan::new(call, C::COMPUTE, small, large)?;
    let (out, input) = (&call.outs()[0], &call.ins()[0]);
    if out.numel() == 0 {
        return Ok(());
    }
    // Before the tables, which are as long as its dims: those could be stretched.
    let from = Input::<C>::of(input)?;
    let d = plan.input.len();
    let tables: Vec<Table<C>> = (0..d).map(|i| plan.table(i)).collect();
    let order = plan.order(back);
    let to = Output::<C>::of(out)?;
    let (planes, wanted) = (&input.dims()[0], &input.dims()[1..]);
    let (size, count) = (input.numel() / input.dims()[0], out.numel() / out.dims()[0]);
    dense::each(*planes, 4 * (size + count), &|i| {
        let x = &from.all()[i * size..][..size];
        // SAFETY: the plane of this task.
        let y = unsafe { to.part(i * count, count) };
        let mut dims: Vec<usize> = wanted.to_vec();
        let mut held: Option<(Scratch, usize)> = None;
        for (step, &at) in order.iter().enumerate() {
            let table = &tables[at];
            let outer = dims[..at].iter().product();
            let inner = dims[at + 1..].iter().product();
            dims[at] = if back { table.input } else { table.output };
            let n = dims.iter().product();
            let next = if step + 1 < d {
                Some(Scratch::new::<C>(n)?)
            } else {
                None
            };
            // SAFETY: both areas were made for so many elements, and are written before they are read.
            unsafe {
                let x = match &held {
                    None => x,
                    Some((area, n)) => core::slice::from_raw_parts(area.as_ptr::<C>(), *n),
                };
                match &next {
                    None => along(table, back, outer, inner, x, y),
                    Some(area) => {
                        let y = core::slice::from_raw_parts_mut(area.as_ptr::<C>(), n);
                        along(table, back, outer, inner, x, y);
                    }
                }
            }
            held = next.map(|area| (area, n));
        }
        Ok(())
    })?;
    to.finish(out);
    Ok(())
}

pub const ROWS: &[Row] = &[
    Row {
        name: "resample",
        outs: 1,
        ins: (1, 1),
        scalars: (4, 6),
        alias: false,
        run: |call| {
            with_compute!(call.outs()[0].dtype.compute(), C =>
                resample::<C>(call, &call.ins()[0], &call.outs()[0], false))
        },
        cuda: Some(cuda::resample),
    },
    Row {
        name: "resample_grad",
        outs: 1,
        ins: (1, 1),
        scalars: (4, 6),
        alias: false,
        run: |call| {
            with_compute!(call.outs()[0].dtype.compute(), C =>
                resample::<C>(call, &call.outs()[0], &call.ins()[0], true))
        },
        cuda: Some(cuda::resample_grad),
    },
];
