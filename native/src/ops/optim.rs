//! Optimiser steps: one instruction updates all parameters of a group; lazy forms touch only some rows of a table.
//! Learning rate, moments' factors and step counts are read from cells when the instruction runs.
//!
//! Each rule is one function of one element: `step` with its gradient, `quiet` for a row whose momentum has died out.
//! Dense and lazy updates run the same functions in the same order, so that a row that is caught up step by step ends
//! with the same bits, however the catching up was divided.

use crate::device::Device;
use crate::dtype::{DType, Element, Number};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row};
use crate::ops::embedding::with_float;
use crate::ops::map::Shared;
use crate::{bail, pool, simd};

pub const ROWS: &[Row] = &[
    Row {
        name: "optim_step",
        outs: 1,
        ins: (3, 1 << 16),
        scalars: (3, 1 << 16),
        alias: false,
        run: dense,
        cuda: Some(cuda::dense),
    },
    Row {
        name: "grad_norm",
        outs: 1,
        ins: (0, 1 << 16),
        scalars: (2, 2),
        alias: false,
        run: norm::norm,
        cuda: Some(cuda::norm),
    },
    Row {
        name: "grad_scale",
        outs: 0,
        ins: (1, 1 << 16),
        scalars: (2, 2),
        alias: false,
        run: norm::scale,
        cuda: Some(cuda::scale),
    },
    Row {
        name: "grad_clamp",
        outs: 0,
        ins: (0, 1 << 16),
        scalars: (1, 1),
        alias: false,
        run: norm::clamp,
        cuda: Some(cuda::clamp),
    },
    Row {
        name: "grad_unscale",
        outs: 1,
        ins: (1, 1 << 16),
        scalars: (1, 1),
        alias: false,
        run: norm::unscale,
        cuda: Some(cuda::unscale),
    },
    Row {
        name: "lazy_step",
        outs: 1,
        ins: (7, 10),
        scalars: (3, 3),
        alias: false,
        run: lazy::step,
        cuda: Some(cuda::lazy_step),
    },
    Row {
        name: "lazy_read",
        outs: 1,
        ins: (4, 7),
        scalars: (3, 3),
        alias: false,
        run: lazy::read,
        cuda: Some(cuda::lazy_read),
    },
    Row {
        name: "lazy_sweep",
        outs: 1,
        ins: (3, 6),
        scalars: (3, 3),
        alias: false,
        run: lazy::sweep,
        cuda: Some(cuda::lazy_sweep),
    },
    Row {
        name: "rows_step",
        outs: 1,
        ins: (6, 7),
        scalars: (3, 3),
        alias: false,
        run: rows::step,
        cuda: Some(cuda::rows),
    },
];

mod cuda;
mod lazy;
mod norm;
mod rows;
mod rules;

/// Whether an operand of a row stays in the process's memory wherever the others lie: step counts and hyperparameters,
/// which are read when the instruction runs.
pub fn stays(row: &str, operand: usize) -> bool {
    match row {
        "optim_step" => operand < 2,
        "lazy_step" => matches!(operand, 6 | 7),
        "lazy_read" => operand == 4,
        "lazy_sweep" => operand == 3,
        "rows_step" => matches!(operand, 4 | 5),
        _ => false,
    }
}

/// Elements that one thread takes at a time.
const GRAIN: usize = 16 * 1024;

/// A type in which updates are computed.
pub(crate) trait Real:
    Number
    + core::ops::Sub<Output = Self>
    + core::ops::Div<Output = Self>
    + core::ops::Neg<Output = Self>
{
    fn sqrt(self) -> Self;
    fn of(x: f64) -> Self;
}

macro_rules! real {
    ($($t:ty),*) => { $( impl Real for $t {
        #[inline(always)]
        fn sqrt(self) -> $t { self.sqrt() }
        #[inline(always)]
        fn of(x: f64) -> $t { x as $t }
    } )* };
}
real!(f32, f64);

/// What one step needs beside the element's own values.
pub(crate) type Factors<C> = [C; 8];

/// An update rule. M, V, X: whether it keeps a first, a second, a third state; of Adam a first moment, a second moment,
/// the second moment's maximum.
pub(crate) trait Rule<C: Real> {
    const M: bool;
    const V: bool;
    const X: bool;
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, x: &mut C, g: C);
}

/// A rule whose steps without a gradient are known beforehand.
pub(crate) trait Lazy<C: Real>: Rule<C> {
    /// Without a gradient it changes nothing.
    const IDLE: bool;
    /// Its steps without a gradient have no short form.
    const FOREVER: bool;
    /// A step without gradient where m is zero.
    fn quiet(k: &Factors<C>, p: &mut C, v: &mut C);
}

/// Adam and AdamW. L2: decay is part of the gradient (k7), else it shrinks p (k0). AMS: with the running maximum of v.
/// Factors: k0 1 - lr·decay, k1 -lr / (1 - β1ᵗ), k2 1 / √(1 - β2ᵗ), k3 1 - β1, k4 β2, k5 1 - β2, k6 eps, k7 decay.
pub(crate) struct Adam<const L2: bool, const AMS: bool>;

impl<C: Real, const L2: bool, const AMS: bool> Rule<C> for Adam<L2, AMS> {
    const M: bool = true;
    const V: bool = true;
    const X: bool = AMS;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, x: &mut C, g: C) {
        let g = if L2 { g + k[7] * *p } else { g };
        let shrunk = if L2 { *p } else { *p * k[0] };
        *m = *m + k[3] * (g - *m);
        *v = *v * k[4] + k[5] * g * g;
        let second = if AMS {
            // As torch.maximum: a NaN stays.
            *x = if *v <= *x { *x } else { *v };
            *x
        } else {
            *v
        };
        *p = shrunk + k[1] * *m / (second.sqrt() * k[2] + k[6]);
    }
}

impl<C: Real, const L2: bool, const AMS: bool> Lazy<C> for Adam<L2, AMS> {
    const IDLE: bool = false;
    const FOREVER: bool = L2;

    #[inline(always)]
    fn quiet(k: &Factors<C>, p: &mut C, v: &mut C) {
        *p = *p * k[0];
        *v = *v * k[4];
    }
}

/// SGD. MOM: with a momentum buffer m; NES: Nesterov's form; DECAY: decay is part of the gradient.
/// Factors: k0 -lr, k1 decay, k2 momentum, k3 1 - dampening, or 1 in the first step.
pub(crate) struct Sgd<const MOM: bool, const NES: bool, const DECAY: bool>;

impl<C: Real, const MOM: bool, const NES: bool, const DECAY: bool> Rule<C>
    for Sgd<MOM, NES, DECAY>
{
    const M: bool = MOM;
    const V: bool = false;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, _: &mut C, _: &mut C, g: C) {
        let g = if DECAY { g + k[1] * *p } else { g };
        let g = if MOM {
            *m = *m * k[2] + k[3] * g;
            if NES { g + k[2] * *m } else { *m }
        } else {
            g
        };
        *p = *p + k[0] * g;
    }
}

impl<C: Real, const MOM: bool, const NES: bool, const DECAY: bool> Lazy<C>
    for Sgd<MOM, NES, DECAY>
{
    const IDLE: bool = !MOM && !DECAY;
    const FOREVER: bool = MOM && DECAY;

    #[inline(always)]
    fn quiet(k: &Factors<C>, p: &mut C, _: &mut C) {
        if DECAY {
            *p = *p + k[0] * (k[1] * *p);
        }
    }
}

/// The sum of these flags is scalar 1 of an instruction.
pub(crate) const MAXIMIZE: i64 = 1;
const L2: i64 = 2;
const AMSGRAD: i64 = 4;
const MOMENTUM: i64 = 8;
const NESTEROV: i64 = 16;
const DECAY: i64 = 32;
const CENTERED: i64 = 64;

/// What scalar 0 of an instruction names, by its number.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Adam,
    Sgd,
    RmsProp,
    Adagrad,
    Adadelta,
    Adamax,
    Nadam,
    Radam,
    Rprop,
    Asgd,
    /// Adam whose moments of rows without gradient stand still.
    SparseAdam,
}

const KINDS: [Kind; 11] = [
    Kind::Adam,
    Kind::Sgd,
    Kind::RmsProp,
    Kind::Adagrad,
    Kind::Adadelta,
    Kind::Adamax,
    Kind::Nadam,
    Kind::Radam,
    Kind::Rprop,
    Kind::Asgd,
    Kind::SparseAdam,
];

#[derive(Clone, Copy)]
pub(crate) struct Which {
    kind: Kind,
    flags: i64,
}

impl Which {
    pub fn new(call: &Call) -> Outcome<Which> {
        let (kind, flags) = (call.float(0), call.float(1));
        let known = (0.0..KINDS.len() as f64).contains(&kind) && kind.fract() == 0.0;
        if !known || !(0.0..128.0).contains(&flags) || flags.fract() != 0.0 {
            bail!(
                "{}: kind {kind} with flags {flags} is no update rule",
                call.name
            );
        }
        let which = Which {
            kind: KINDS[kind as usize],
            flags: flags as i64,
        };
        call.require(
            which.kind != Kind::SparseAdam || which.flags & !MAXIMIZE == 0,
            || format!("kind {kind} has no flags {flags}"),
        )?;
        Ok(which)
    }

    /// A rule that has a lazy form.
    pub fn lazy(call: &Call) -> Outcome<Which> {
        let which = Which::new(call)?;
        call.require(matches!(which.kind, Kind::Adam | Kind::Sgd), || {
            format!("kind {} has no lazy form", call.float(0))
        })?;
        Ok(which)
    }

    pub fn has(&self, flag: i64) -> bool {
        self.flags & flag != 0
    }

    /// Tensors of state beside each parameter.
    pub fn states(&self) -> usize {
        let one_if = |flag| usize::from(self.has(flag));
        match self.kind {
            Kind::Adam => 2 + one_if(AMSGRAD),
            Kind::Sgd => one_if(MOMENTUM),
            Kind::RmsProp => 1 + one_if(MOMENTUM) + one_if(CENTERED),
            Kind::Adagrad | Kind::Asgd => 1,
            _ => 2,
        }
    }

    /// Counters of its own that a rule keeps of each parameter, beside the step count.
    fn counters(&self) -> usize {
        match self.kind {
            Kind::Nadam => 1,
            Kind::Asgd => 2,
            _ => 0,
        }
    }

    /// Factors of step `t` of Adam and SGD, from the hyperparameters [lr, β1 | momentum, β2 | dampening, eps, decay, replay].
    pub fn factors(&self, h: &[f64; HYPER], t: f64) -> [f64; 8] {
        let [lr, a, b, eps, decay, _] = *h;
        if self.kind == Kind::Sgd {
            let fresh = if t == 1.0 { 1.0 } else { 1.0 - b };
            return [-lr, decay, a, fresh, 0.0, 0.0, 0.0, 0.0];
        }
        let (c1, c2) = (1.0 - a.powf(t), 1.0 - b.powf(t));
        // SparseAdam adds eps before the correction of the second moment.
        let (rate, second) = if self.kind == Kind::SparseAdam {
            (lr * c2.sqrt() / c1, 1.0)
        } else {
            (lr / c1, 1.0 / c2.sqrt())
        };
        [
            1.0 - lr * decay,
            -rate,
            second,
            1.0 - a,
            b,
            1.0 - b,
            eps,
            decay,
        ]
    }
}

/// Runs `$body` with `$K` bound to the type of a rule that has a lazy form.
macro_rules! with_rule {
    ($which:expr, $K:ident => $body:expr) => {{
        use $crate::ops::optim::{Adam, Kind, Sgd};
        let w = $which;
        match (
            w.kind != Kind::Sgd,
            w.has($crate::ops::optim::MOMENTUM),
            w.has($crate::ops::optim::NESTEROV),
            w.has($crate::ops::optim::DECAY),
        ) {
            (true, ..) => match (
                w.has($crate::ops::optim::L2),
                w.has($crate::ops::optim::AMSGRAD),
            ) {
                (false, false) => {
                    type $K = Adam<false, false>;
                    $body
                }
                (false, true) => {
                    type $K = Adam<false, true>;
                    $body
                }
                (true, false) => {
                    type $K = Adam<true, false>;
                    $body
                }
                (true, true) => {
                    type $K = Adam<true, true>;
                    $body
                }
            },
            (_, false, _, false) => {
                type $K = Sgd<false, false, false>;
                $body
            }
            (_, false, _, true) => {
                type $K = Sgd<false, false, true>;
                $body
            }
            (_, true, false, false) => {
                type $K = Sgd<true, false, false>;
                $body
            }
            (_, true, false, true) => {
                type $K = Sgd<true, false, true>;
                $body
            }
            (_, true, true, false) => {
                type $K = Sgd<true, true, false>;
                $body
            }
            (_, true, true, true) => {
                type $K = Sgd<true, true, true>;
                $body
            }
        }
    }};
}
pub(crate) use with_rule;

/// Runs `$body` with `$K` bound to the type of any rule.
macro_rules! with_any_rule {
    ($which:expr, $K:ident => $body:expr) => {{
        use $crate::ops::optim::rules::{
            Adadelta, Adagrad, Adamax, Asgd, Nadam, Radam, RmsProp, Rprop,
        };
        use $crate::ops::optim::{Kind, L2};
        macro_rules! with {
            ($rule:ty) => {{
                type $K = $rule;
                $body
            }};
        }
        let w = $which;
        match w.kind {
            Kind::Adam | Kind::Sgd | Kind::SparseAdam => with_rule!(w, $K => $body),
            Kind::Adagrad => with!(Adagrad),
            Kind::Adadelta => with!(Adadelta),
            Kind::Adamax => with!(Adamax),
            Kind::Rprop => with!(Rprop),
            Kind::Asgd => with!(Asgd),
            Kind::Nadam if w.has(L2) => with!(Nadam<true>),
            Kind::Nadam => with!(Nadam<false>),
            Kind::Radam if w.has(L2) => with!(Radam<true>),
            Kind::Radam => with!(Radam<false>),
            Kind::RmsProp => match (w.has($crate::ops::optim::CENTERED), w.has($crate::ops::optim::MOMENTUM)) {
                (false, false) => with!(RmsProp<false, false>),
                (false, true) => with!(RmsProp<false, true>),
                (true, false) => with!(RmsProp<true, false>),
                (true, true) => with!(RmsProp<true, true>),
            },
        }
    }};
}

/// Hyperparameters of a group: lr, β1 or momentum, β2 or dampening, eps, weight decay, and how many steps without
/// gradient are replayed before momentum counts as gone. Other rules: `factors_of_rules` names what they read.
pub(crate) const HYPER: usize = 6;

pub(crate) fn hyper(call: &Call, o: &Operand) -> Outcome<[f64; HYPER]> {
    call.require(
        o.dtype == DType::F64 && o.numel() == HYPER && o.is_contiguous() && o.device == Device::CPU,
        || format!("hyperparameters are not {HYPER} float64 on the CPU"),
    )?;
    // SAFETY: six dense float64 lie there.
    Ok(unsafe { *o.ptr.cast::<[f64; HYPER]>() })
}

/// The address of the step count that scalar `i` names among the counts of `o`.
pub(crate) fn counter(call: &Call, o: &Operand, i: usize) -> Outcome<*mut f64> {
    let fits = o.dtype == DType::F64 && o.is_contiguous() && o.device == Device::CPU;
    call.require(fits, || {
        "step counts are not dense float64 on the CPU".into()
    })?;
    let index = call.count(i)?;
    call.require(index < o.numel(), || {
        format!("step count {index} is not among {}", o.numel())
    })?;
    // SAFETY: the index was just checked.
    Ok(unsafe { o.ptr.cast::<f64>().add(index) })
}

/// Fails where a dense operand that is written shares bytes with another operand.
pub(crate) fn apart(call: &Call, written: impl Fn(usize) -> bool) -> Outcome {
    let mut spans: Vec<(usize, usize, bool)> = Vec::with_capacity(call.all().len());
    for (i, o) in call.all().iter().enumerate() {
        call.require(o.is_contiguous(), || {
            format!("operand {i} is not contiguous")
        })?;
        let start = o.ptr as usize;
        if o.numel() > 0 {
            spans.push((start, start + o.numel() * o.dtype.size(), written(i)));
        }
    }
    spans.sort_unstable();
    let (mut any, mut changed) = (0, 0);
    for (start, end, writes) in spans {
        call.require(start >= if writes { any } else { changed }, || {
            "an operand that is written overlaps another".into()
        })?;
        any = any.max(end);
        if writes {
            changed = changed.max(end);
        }
    }
    Ok(())
}

simd! {
    /// One step of n elements.
    unsafe fn update<E: Element, C: Real, K: Rule<C>>(at: [*mut E; 5], n: usize, k: &Factors<C>, sign: C) {
        let [p, g, m, v, x] = at;
        let k = *k;
        for i in 0..n {
            // SAFETY: the caller hands in n elements of each tensor that the rule has.
            unsafe {
                let mut pi = C::load(*p.add(i));
                let gi = C::load(*g.add(i)) * sign;
                let mut mi = if K::M { C::load(*m.add(i)) } else { C::default() };
                let mut vi = if K::V { C::load(*v.add(i)) } else { C::default() };
                let mut xi = if K::X { C::load(*x.add(i)) } else { C::default() };
                K::step(&k, &mut pi, &mut mi, &mut vi, &mut xi, gi);
                *p.add(i) = pi.store();
                if K::M { *m.add(i) = mi.store(); }
                if K::V { *v.add(i) = vi.store(); }
                if K::X { *x.add(i) = xi.store(); }
            }
        }
    }
}

/// A step of all parameters of a group: the rule, tensors of each parameter, and each one's factors.
struct Dense {
    which: Which,
    per: usize,
    factors: Vec<[f64; 8]>,
}

/// Checks such a step, and counts it.
fn checked(call: &Call) -> Outcome<Dense> {
    let which = Which::new(call)?;
    let operands = call.all();
    let h = hyper(call, &operands[1])?;
    let per = 2 + which.states();
    let count = call.scalars().len() - 2;
    call.require(operands.len() == 2 + count * per, || {
        format!(
            "{} operands for {count} parameters of {per} tensors each",
            operands.len() - 2
        )
    })?;
    apart(call, |i| i != 1 && (i < 2 || (i - 2) % per != 1))?;
    let parameters = operands[0].numel() / (1 + which.counters());
    let mut counters = Vec::with_capacity(count);
    for i in 0..count {
        let set = &operands[2 + i * per..2 + (i + 1) * per];
        let p = &set[0];
        call.require(
            set.iter()
                .all(|o| o.numel() == p.numel() && o.dtype == p.dtype)
                && p.dtype.is_float(),
            || format!("the tensors of parameter {i} differ in size or dtype"),
        )?;
        counters.push(counter(call, &operands[0], 2 + i)?);
        call.require(call.count(2 + i)? < parameters, || {
            format!("step count {} is one of the rule's own", call.float(2 + i))
        })?;
    }
    let factors = counters
        .iter()
        // SAFETY: `counter` checked the address, and its index that the rule's own counters lie behind it.
        .map(|&t| unsafe {
            *t += 1.0;
            let mut own: [f64; 2] = core::array::from_fn(|k| {
                if k < which.counters() {
                    *t.add((k + 1) * parameters)
                } else {
                    0.0
                }
            });
            let factors = which.factors_of_rules(&h, *t, &mut own);
            for (k, &x) in own.iter().enumerate().take(which.counters()) {
                *t.add((k + 1) * parameters) = x;
            }
            factors
        })
        .collect();
    Ok(Dense {
        which,
        per,
        factors,
    })
}

/// One step of all parameters of a group. out: step counts, and after all of them the rule's own counters, kind by kind;
/// ins: hyperparameters, then of each parameter p, its
/// gradient and its states, all dense and of one shape and dtype. Scalars: kind, flags, then each one's step count.
fn dense(call: &Call) -> Outcome {
    let Dense {
        which,
        per,
        factors,
    } = checked(call)?;
    let operands = call.all();
    let mut starts = Vec::with_capacity(factors.len() + 1);
    let mut chunks = 0;
    for set in operands[2..].chunks(per) {
        starts.push(chunks);
        chunks += set[0].numel().div_ceil(GRAIN);
    }
    starts.push(chunks);
    let sign = if which.has(MAXIMIZE) { -1.0 } else { 1.0 };
    let (starts, factors, shared) = (&starts, &factors, Shared(operands));
    with_any_rule!(which, K => pool::parallel(chunks, &|chunk| {
        // Parameters without elements have no chunk of their own: take the last that starts here.
        let i = starts.partition_point(|&s| s <= chunk) - 1;
        let from = (chunk - starts[i]) * GRAIN;
        let n = GRAIN.min(shared.get(2 + i * per).numel() - from);
        with_float!(shared.get(2 + i * per).dtype, E, C => {
            let at: [*mut E; 5] = core::array::from_fn(|k| {
                if k < per { shared.get(2 + i * per + k).ptr.cast::<E>().wrapping_add(from) } else { core::ptr::null_mut() }
            });
            // SAFETY: all tensors of the parameter have its elements, and no two chunks share one.
            unsafe { update::<E, C, K>(at, n, &factors[i].map(C::of), C::of(sign)) };
        });
    }));
    Ok(())
}
