//! Losses: elementwise ones with their gradients, one line each; and cross entropy over classes, forward and backward
//! in one pass over the logits each.

mod cuda;

use super::nest::{Nest, Place};
use super::softmax::line::{Lines, Soft};
use crate::dtype::DType;
use crate::fault::{Fault, Outcome};
use crate::instruction::{Call, MAX_DIMS, Operand, Row};
use crate::memory::Scratch;
use crate::{pool, simd, stream, with_real};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Elementwise losses: value, and gradient with respect to x, whose upstream gradient g is scaled by p[0].
pub mod elementwise {
    use crate::math::{exp_f32, log_f32, log1p_f32, sigmoid_f32};

    fn exp_f64(x: f64) -> f64 {
        x.exp()
    }
    fn log_f64(x: f64) -> f64 {
        x.ln()
    }
    fn log1p_f64(x: f64) -> f64 {
        x.ln_1p()
    }
    fn sigmoid_f64(x: f64) -> f64 {
        let e = (-x.abs()).exp();
        (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
    }

    macro_rules! forms {
        ($($t:ident: $exp:ident, $log:ident, $log1p:ident, $sigmoid:ident);*) => { $(
            pub mod $t {
                use super::*;
                #[inline(always)]
                pub fn sign(x: $t) -> $t { if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x * 0.0 } }
                #[inline(always)]
                pub fn smooth(d: $t, beta: $t) -> $t {
                    let a = d.abs();
                    if a < beta { 0.5 * a * a / beta } else { a - 0.5 * beta }
                }
                #[inline(always)]
                pub fn smooth_slope(d: $t, beta: $t) -> $t {
                    if d.abs() < beta { d / beta } else { sign(d) }
                }
                #[inline(always)]
                pub fn huber(d: $t, delta: $t) -> $t {
                    let a = d.abs();
                    if a <= delta { 0.5 * a * a } else { delta * (a - 0.5 * delta) }
                }
                #[inline(always)]
                pub fn huber_slope(d: $t, delta: $t) -> $t {
                    if d.abs() <= delta { d } else { sign(d) * delta }
                }
                /// A logarithm that ends at -100, as PyTorch's binary cross entropy has it.
                #[inline(always)]
                pub fn log_from(x: $t) -> $t {
                    let l = $log(x);
                    if l < -100.0 { -100.0 } else { l }
                }
                #[inline(always)]
                pub fn bce(x: $t, t: $t) -> $t {
                    let rest = $log1p(-x);
                    let rest = if rest < -100.0 { -100.0 } else { rest };
                    (t - 1.0) * rest - t * log_from(x)
                }
                #[inline(always)]
                pub fn bce_slope(x: $t, t: $t) -> $t {
                    let v = (1.0 - x) * x;
                    (x - t) / if v < 1e-12 { 1e-12 } else { v }
                }
                /// `(1 - t) x + (1 + (w - 1) t) (log(1 + e^-|x|) + max(-x, 0))`
                #[inline(always)]
                pub fn bce_logits(x: $t, t: $t, w: $t) -> $t {
                    let rest = $log1p($exp(-x.abs())) + if x < 0.0 { -x } else { 0.0 };
                    (1.0 - t) * x + (1.0 + (w - 1.0) * t) * rest
                }
                #[inline(always)]
                pub fn bce_logits_slope(x: $t, t: $t) -> $t { $sigmoid(x) - t }
            }
        )* };
    }
    mod functions {
        use super::*;
        forms!(f32: exp_f32, log_f32, log1p_f32, sigmoid_f32; f64: exp_f64, log_f64, log1p_f64, sigmoid_f64);
    }
    use functions::{f32 as single, f64 as double};

    macro_rules! s {
        ($p:ident, $i:literal) => {
            $p[$i].float() as f32
        };
    }
    macro_rules! d {
        ($p:ident, $i:literal) => {
            $p[$i].float()
        };
    }

    /// Binary cross entropy of what must be probabilities.
    pub fn checked(call: &crate::instruction::Call) -> crate::fault::Outcome {
        super::require_probabilities(&call.ins()[0])?;
        crate::ops::map::run(call, &binary_cross_entropy::MAP)
    }

    /// The same on CUDA, where the kernel looks whether they are.
    pub fn on_cuda(call: &crate::instruction::Call) -> crate::fault::Outcome {
        crate::ops::map::cuda::run_with_alarm(call, "map_binary_cross_entropy")
    }

    crate::maps! {
        mse_loss [x, t] (p; 0) { f32: (x - t) * (x - t); f64: (x - t) * (x - t) }
        mse_loss_grad [g, x, t] (p; 1) { f32: 2.0 * (x - t) * g * s!(p, 0); f64: 2.0 * (x - t) * g * d!(p, 0) }
        l1_loss [x, t] (p; 0) { f32: (x - t).abs(); f64: (x - t).abs() }
        l1_loss_grad [g, x, t] (p; 1) { f32: single::sign(x - t) * g * s!(p, 0); f64: double::sign(x - t) * g * d!(p, 0) }
        smooth_l1_loss [x, t] (p; 1) { f32: single::smooth(x - t, s!(p, 0)); f64: double::smooth(x - t, d!(p, 0)) }
        smooth_l1_loss_grad [g, x, t] (p; 2) {
            f32: single::smooth_slope(x - t, s!(p, 1)) * g * s!(p, 0);
            f64: double::smooth_slope(x - t, d!(p, 1)) * g * d!(p, 0)
        }
        huber_loss [x, t] (p; 1) { f32: single::huber(x - t, s!(p, 0)); f64: double::huber(x - t, d!(p, 0)) }
        huber_loss_grad [g, x, t] (p; 2) {
            f32: single::huber_slope(x - t, s!(p, 1)) * g * s!(p, 0);
            f64: double::huber_slope(x - t, d!(p, 1)) * g * d!(p, 0)
        }
        binary_cross_entropy [x, t] (p; 0) { f32: single::bce(x, t); f64: double::bce(x, t) }
        binary_cross_entropy_grad [g, x, t] (p; 1) {
            f32: single::bce_slope(x, t) * g * s!(p, 0);
            f64: double::bce_slope(x, t) * g * d!(p, 0)
        }
        bce_with_logits [x, t] (p; 0) { f32: single::bce_logits(x, t, 1.0); f64: double::bce_logits(x, t, 1.0) }
        bce_with_logits_grad [g, x, t] (p; 1) {
            f32: single::bce_logits_slope(x, t) * g * s!(p, 0);
            f64: double::bce_logits_slope(x, t) * g * d!(p, 0)
        }
        bce_with_logits_weighted [x, t, w] (p; 0) { f32: single::bce_logits(x, t, w); f64: double::bce_logits(x, t, w) }
    }
}

/// Fails where an element is not from 0 to 1.
fn require_probabilities(x: &Operand) -> Outcome {
    let mut loops = [(0, [0isize; 1]); MAX_DIMS];
    for (d, l) in loops[..x.ndim].iter_mut().enumerate() {
        *l = (x.dims()[d], [x.strides()[d]]);
    }
    let nest = Nest::<1>::new(&loops[..x.ndim]);
    let place = Place::of(x);
    let stray = AtomicUsize::new(usize::MAX);
    pool::parallel_ranges(nest.numel, 64 * 1024, &|range| {
        let mut buffer = [0.0f32; 512];
        nest.runs(
            range.start,
            range.len(),
            |[offset], [stride], at, length| {
                for from in (0..length).step_by(512) {
                    let n = 512.min(length - from);
                    // SAFETY: n checked elements.
                    unsafe {
                        place.gather(
                            offset + from as isize * stride,
                            stride,
                            buffer.as_mut_ptr(),
                            n,
                        )
                    };
                    if !all_probabilities(&buffer[..n]) {
                        stray.fetch_min(range.start + at + from, Ordering::Relaxed);
                    }
                }
            },
        );
    });
    match stray.into_inner() {
        usize::MAX => Ok(()),
        _ => Err(Fault::Index(
            "Cannot binaryCrossEntropy: an element of input is not from 0 to 1, as probabilities are\nHint: binaryCrossEntropyWithLogits takes raw scores".into(),
        )),
    }
}

simd! {
    fn all_probabilities(x: &[f32]) -> bool {
        let mut good = true;
        for &v in x {
            good &= (0.0..=1.0).contains(&v);
        }
        good
    }
}

/// What a target names: a class, or a row that is left out.
fn class_of(target: i64, classes: usize, ignored: i64) -> Result<Option<usize>, ()> {
    if target == ignored {
        Ok(None)
    } else if (0..classes as i64).contains(&target) {
        Ok(Some(target as usize))
    } else {
        Err(())
    }
}

/// Options of both directions, as scalars: reduction (0 none, 1 mean, 2 sum), ignored target, label smoothing, whether
/// the input holds log-probabilities already.
struct Options {
    reduction: usize,
    ignored: i64,
    smoothing: f64,
    log: bool,
}

impl Options {
    fn of(call: &Call) -> Outcome<Options> {
        Ok(Options {
            reduction: call.count(0)?,
            ignored: call.int(1),
            smoothing: call.float(2),
            log: call.float(3) != 0.0,
        })
    }
}

/// Rows of K operands (R…) and the logits (R…, C): strides of the logits come last.
fn rows_of<const K: usize>(
    call: &Call,
    operands: [&Operand; K],
    logits: &Operand,
) -> Outcome<(Nest<K>, usize)> {
    call.require(logits.ndim >= 1, || "logits without classes".into())?;
    let (dims, last) = (logits.dims(), logits.ndim - 1);
    let mut loops = [(0, [0isize; K]); MAX_DIMS];
    for (i, o) in operands.iter().enumerate() {
        let fits = o.dims() == &dims[..last] || o.dims() == dims;
        call.require(fits, || {
            format!("operand {i} has dims {:?} for logits of {dims:?}", o.dims())
        })?;
    }
    for (d, l) in loops[..last].iter_mut().enumerate() {
        *l = (dims[d], core::array::from_fn(|k| operands[k].strides()[d]));
    }
    let rows = Nest::new(&loops[..last]);
    // An operand without elements has nothing to read, whatever its leading dims say.
    call.require(dims[last] > 0 || rows.numel == 0, || {
        "logits without classes".into()
    })?;
    Ok((rows, dims[last]))
}

fn weights(call: &Call, o: &Operand, classes: usize) -> Outcome<Vec<f64>> {
    if o.dims() == [0] && classes != 0 {
        return Ok(Vec::new());
    }
    call.require(o.dims() == [classes], || {
        format!("weights of dims {:?} for {classes} classes", o.dims())
    })?;
    let mut out = vec![0.0; classes];
    // SAFETY: a checked operand of so many elements.
    unsafe { Place::of(o).gather(0, o.strides()[0], out.as_mut_ptr(), classes) };
    Ok(out)
}

/// Remembers one target out of range.
struct Stray(AtomicUsize);

impl Stray {
    fn fault(&self, classes: usize, target: &Operand, nest: &Nest<3>, name: &str) -> Outcome {
        let row = self.0.load(Ordering::Relaxed);
        if row == usize::MAX {
            return Ok(());
        }
        let mut value = 0i64;
        // SAFETY: the row is one of the operand's.
        nest.runs(row, 1, |[_, t, _], _, _, _| unsafe {
            Place::of(target).gather(t, 1, &raw mut value, 1)
        });
        Err(Fault::Index(format!(
            "Cannot {name}: target {value} of row {row} is out of range for {classes} classes, it must be from 0 to {}",
            classes as i64 - 1
        )))
    }
}

/// Outputs: loss (0-d, or (R…) without a reduction), lse (R…; of the compute type), norm (0-d float64: the sum of
/// targets' weights). Inputs: logits (R…, C), target (R…) int64, weight (C) or empty.
fn forward<C: Soft>(call: &Call) -> Outcome {
    let ([loss, lse, norm], [logits, target, weight]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let o = Options::of(call)?;
    let (nest, classes) = rows_of(call, [lse, target, logits], logits)?;
    let rows = nest.numel;
    let each = o.reduction == 0;
    let fits = target.dtype == DType::I64
        && lse.dtype == C::DTYPE
        && norm.dtype == DType::F64
        && norm.ndim == 0;
    call.require(
        fits && (if each {
            loss.dims() == target.dims() && loss.is_contiguous()
        } else {
            loss.ndim == 0
        }),
        || {
            format!(
                "outputs of dims {:?}, {:?}, {:?}",
                loss.dims(),
                lse.dims(),
                norm.dims()
            )
        },
    )?;
    let w = weights(call, weight, classes)?;
    let step = logits.strides()[logits.ndim - 1];
    let direct = logits.dtype == C::DTYPE && (step == 1 || classes == 1);
    let (places, to) = ([lse, target, logits].map(Place::of), Place::of(loss));
    let grain = (32 * 1024usize).div_ceil(classes.max(1)).clamp(1, 4096);
    let tasks = rows.div_ceil(grain);
    let lines = Scratch::new::<C>(if direct { 0 } else { tasks * classes })?;
    let lines = Place {
        ptr: lines.as_ptr(),
        dtype: C::DTYPE,
    };
    let partial = Scratch::new::<(f64, f64)>(tasks)?;
    let sums = Place {
        ptr: partial.as_ptr(),
        dtype: DType::F64,
    };
    let stray = Stray(AtomicUsize::new(usize::MAX));
    pool::parallel_ranges(rows, grain, &|range| {
        let task = range.start / grain;
        let mut sum = (0.0f64, 0.0f64);
        nest.runs(range.start, range.len(), |offset, stride, at, length| {
            for i in 0..length {
                let [ol, ot, ox] = core::array::from_fn(|k| offset[k] + i as isize * stride[k]);
                let row = range.start + at + i;
                let class;
                // SAFETY: checked operands; the row's class is read as int64.
                unsafe {
                    class = *places[1].at(ot).cast::<i64>();
                    let x: *const C = if direct {
                        places[2].at(ox).cast()
                    } else {
                        let line = lines.at((task * classes) as isize).cast::<C>();
                        places[2].gather(ox, step, line, classes);
                        line
                    };
                    let (most, log_sum) = if o.log {
                        (C::ZERO, 0.0)
                    } else {
                        let (most, sum) = C::exp_sum(x, classes);
                        (most, sum.ln())
                    };
                    // Kept as one number: what the backward pass subtracts from each logit.
                    *places[0].at(ol).cast::<C>() = C::of(most.to_f64() + log_sum);
                    let minus = |c: usize| most.to_f64() - (*x.add(c)).to_f64() + log_sum;
                    let value = match class_of(class, classes, o.ignored) {
                        Ok(Some(t)) => {
                            let wt = if w.is_empty() { 1.0 } else { w[t] };
                            let mut value = (1.0 - o.smoothing) * wt * minus(t);
                            if o.smoothing != 0.0 {
                                let all: f64 = (0..classes)
                                    .map(|c| minus(c) * if w.is_empty() { 1.0 } else { w[c] })
                                    .sum();
                                value += o.smoothing / classes as f64 * all;
                            }
                            sum.1 += wt;
                            value
                        }
                        Ok(None) => 0.0,
                        Err(()) => {
                            stray.0.fetch_min(row, Ordering::Relaxed);
                            0.0
                        }
                    };
                    sum.0 += value;
                    if each {
                        to.scatter(row as isize, 1, &raw const value, 1);
                    }
                }
            }
        });
        // SAFETY: this task's own entry.
        unsafe { *sums.at(2 * task as isize).cast::<(f64, f64)>() = sum };
    });
    stray.fault(classes, target, &nest, "crossEntropy")?;
    let (mut value, mut count) = (0.0, 0.0);
    for task in 0..tasks {
        // SAFETY: every task wrote its entry.
        let (v, c) = unsafe { *partial.as_ptr::<(f64, f64)>().add(task) };
        value += v;
        count += c;
    }
    let value = if o.reduction == 1 {
        value / count
    } else {
        value
    };
    // SAFETY: outputs of one element.
    unsafe {
        *norm.ptr.cast::<f64>() = count;
        if !each {
            to.scatter(0, 1, &raw const value, 1);
        }
    }
    Ok(())
}

/// What is wrong with a gradient whose dims or types do not fit.
fn misfit(gx: &Operand, logits: &Operand) -> String {
    format!(
        "a gradient of dims {:?} for logits of {:?}",
        gx.dims(),
        logits.dims()
    )
}

/// Output gx (R…, C); inputs g (R…, strides 0 where it is one number), logits, target, lse, norm, weight. Scalars as
/// for `forward`.
fn backward<C: Soft>(call: &Call) -> Outcome {
    let (gx, [g, logits, target, lse, norm, weight]) = (&call.outs()[0], call.ins()) else {
        unreachable!()
    };
    let o = Options::of(call)?;
    let (nest, classes) = rows_of(call, [gx, g, logits, target, lse], logits)?;
    call.require(
        gx.dims() == logits.dims() && target.dtype == DType::I64 && lse.dtype == C::DTYPE,
        || misfit(gx, logits),
    )?;
    call.require(norm.dtype == DType::F64 && norm.ndim == 0, || "norm".into())?;
    let w = weights(call, weight, classes)?;
    let total_weight: f64 = if w.is_empty() {
        classes as f64
    } else {
        w.iter().sum()
    };
    // SAFETY: a checked float64 of no dims.
    let scale = if o.reduction == 1 {
        1.0 / unsafe { *norm.ptr.cast::<f64>() }
    } else {
        1.0
    };
    let last = logits.ndim - 1;
    let (sg, sx) = (gx.strides()[last], logits.strides()[last]);
    let places = [gx, g, logits, target, lse].map(Place::of);
    let readable = logits.dtype == C::DTYPE && (sx == 1 || classes == 1);
    let writable = gx.dtype == C::DTYPE && (sg == 1 || classes == 1);
    let streams = writable && w.is_empty() && !o.log && stream::pays_buffered(gx);
    let grain = (32 * 1024usize).div_ceil(classes.max(1)).clamp(1, 4096);
    let tasks = nest.numel.div_ceil(grain);
    let lines = Scratch::new::<C>(if readable && writable {
        0
    } else {
        tasks * classes * 2
    })?;
    let lines = Place {
        ptr: lines.as_ptr(),
        dtype: C::DTYPE,
    };
    let stray = AtomicUsize::new(usize::MAX);
    pool::parallel_ranges(nest.numel, grain, &|range| {
        let line = lines
            .at(if readable && writable {
                0
            } else {
                (range.start / grain * classes * 2) as isize
            })
            .cast::<C>();
        nest.runs(range.start, range.len(), |offset, stride, at, length| {
            for i in 0..length {
                let here: [isize; 5] = core::array::from_fn(|k| offset[k] + i as isize * stride[k]);
                // SAFETY: checked operands; two lines of this task's own.
                unsafe {
                    let mut up = 0.0f64;
                    places[1].gather(here[1], 0, &raw mut up, 1);
                    let x: *const C = if readable {
                        places[2].at(here[2]).cast()
                    } else {
                        places[2].gather(here[2], sx, line, classes);
                        line
                    };
                    let y: *mut C = if writable {
                        places[0].at(here[0]).cast()
                    } else {
                        line.add(classes)
                    };
                    let norm = *places[4].at(here[4]).cast::<C>();
                    match class_of(*places[3].at(here[3]).cast::<i64>(), classes, o.ignored) {
                        Ok(Some(t)) => {
                            let up = up * scale;
                            let wt = if w.is_empty() { 1.0 } else { w[t] };
                            let main = (1.0 - o.smoothing) * wt;
                            let each = o.smoothing / classes as f64;
                            let a = if o.log {
                                0.0
                            } else {
                                up * (main + each * total_weight)
                            };
                            if o.log {
                                for c in 0..classes {
                                    *y.add(c) = C::of(-up * each);
                                }
                            } else {
                                let b = if w.is_empty() { up * each } else { 0.0 };
                                let line = Lines::one([x], y, classes);
                                C::spread(line, [norm, C::of(a), C::of(b)], streams);
                            }
                            if !w.is_empty() && each != 0.0 {
                                for (c, wc) in w.iter().enumerate() {
                                    let v = if o.log { 0.0 } else { (*y.add(c)).to_f64() };
                                    *y.add(c) = C::of(v - up * each * wc);
                                }
                            }
                            *y.add(t) = *y.add(t) - C::of(up * main);
                        }
                        Ok(None) => {
                            for c in 0..classes {
                                *y.add(c) = C::ZERO;
                            }
                        }
                        Err(()) => {
                            stray.fetch_min(range.start + at + i, Ordering::Relaxed);
                            for c in 0..classes {
                                *y.add(c) = C::ZERO;
                            }
                        }
                    }
                    if !writable {
                        places[0].scatter(here[0], sg, y.cast_const(), classes);
                    }
                }
            }
        });
        if streams {
            stream::fence();
        }
    });
    match stray.into_inner() {
        usize::MAX => Ok(()),
        row => Err(Fault::Index(format!(
            "Cannot crossEntropy: the target of row {row} is out of range for {classes} classes"
        ))),
    }
}

pub const ROWS: &[Row] = &[
    Row {
        name: "probability_cross_entropy",
        outs: 1,
        ins: (2, 2),
        scalars: (1, 1),
        alias: false,
        run: elementwise::checked,
        cuda: Some(elementwise::on_cuda),
    },
    Row {
        name: "cross_entropy",
        outs: 3,
        ins: (3, 3),
        scalars: (4, 4),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[0].dtype.compute(), C => forward::<C>(call)),
        cuda: Some(cuda::forward),
    },
    Row {
        name: "cross_entropy_grad",
        outs: 1,
        ins: (6, 6),
        scalars: (4, 4),
        alias: false,
        run: |call| with_real!(call.name, call.ins()[1].dtype.compute(), C => backward::<C>(call)),
        cuda: Some(cuda::backward),
    },
];
