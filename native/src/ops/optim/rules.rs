//! The update rules that have no lazy form. Each is one function of one element with its gradient; the factors of a step
//! are computed once per parameter, in float64. A decay factor k0 of zero is no decay, so that 0 · ∞ never arises.

use super::{Factors, HYPER, Kind, L2, Real, Rule, Which};

/// The gradient with its decay.
#[inline(always)]
fn decayed<C: Real>(g: C, p: C, decay: C) -> C {
    if decay == C::default() {
        g
    } else {
        g + decay * p
    }
}

/// Adagrad: m sum of squares. k0 decay, k1 -lr / (1 + (t - 1) · lr decay), k2 eps.
pub(crate) struct Adagrad;

impl<C: Real> Rule<C> for Adagrad {
    const M: bool = true;
    const V: bool = false;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, _: &mut C, _: &mut C, g: C) {
        let g = decayed(g, *p, k[0]);
        *m = *m + g * g;
        *p = *p + k[1] * g / (m.sqrt() + k[2]);
    }
}

/// Adadelta: m mean of squares of gradients, v of changes. k0 decay, k1 rho, k2 1 - rho, k3 eps, k4 -lr.
pub(crate) struct Adadelta;

impl<C: Real> Rule<C> for Adadelta {
    const M: bool = true;
    const V: bool = true;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, _: &mut C, g: C) {
        let g = decayed(g, *p, k[0]);
        *m = *m * k[1] + k[2] * g * g;
        let change = (*v + k[3]).sqrt() / (*m + k[3]).sqrt() * g;
        *v = *v * k[1] + k[2] * change * change;
        *p = *p + k[4] * change;
    }
}

/// RMSprop: m mean of squares, then, where the rule has them, a momentum buffer and a mean of gradients.
/// k0 decay, k1 alpha, k2 1 - alpha, k3 eps, k4 momentum, k5 -lr.
pub(crate) struct RmsProp<const CENTERED: bool, const MOM: bool>;

impl<C: Real, const CENTERED: bool, const MOM: bool> Rule<C> for RmsProp<CENTERED, MOM> {
    const M: bool = true;
    const V: bool = CENTERED || MOM;
    const X: bool = CENTERED && MOM;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, x: &mut C, g: C) {
        let (buffer, mean) = if MOM { (v, x) } else { (x, v) };
        let g = decayed(g, *p, k[0]);
        *m = *m * k[1] + k[2] * g * g;
        let spread = if CENTERED {
            *mean = *mean + k[2] * (g - *mean);
            *m - *mean * *mean
        } else {
            *m
        };
        let g = g / (spread.sqrt() + k[3]);
        if MOM {
            *buffer = *buffer * k[4] + g;
            *p = *p + k[5] * *buffer;
        } else {
            *p = *p + k[5] * g;
        }
    }
}

/// Adamax: m mean of gradients, v their largest size. k0 decay, k1 1 - β1, k2 β2, k3 eps, k4 -lr / (1 - β1ᵗ).
pub(crate) struct Adamax;

impl<C: Real> Rule<C> for Adamax {
    const M: bool = true;
    const V: bool = true;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, _: &mut C, g: C) {
        let g = decayed(g, *p, k[0]);
        *m = *m + k[1] * (g - *m);
        let (old, new) = (*v * k[2], (if g < C::default() { -g } else { g }) + k[3]);
        // As torch.maximum: a NaN stays.
        *v = if old >= new {
            old
        } else if old < new {
            new
        } else {
            old + new
        };
        *p = *p + k[4] * *m / *v;
    }
}

/// NAdam. L2: decay k0 joins the gradient, else p is multiplied by it. k1 1 - β1, k2 β2, k3 1 - β2, k4 1 / √(1 - β2ᵗ),
/// k5 eps, k6 and k7 the factors of gradient and momentum.
pub(crate) struct Nadam<const L2: bool>;

impl<C: Real, const L2: bool> Rule<C> for Nadam<L2> {
    const M: bool = true;
    const V: bool = true;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, _: &mut C, g: C) {
        let (g, shrunk) = if L2 {
            (decayed(g, *p, k[0]), *p)
        } else {
            (g, *p * k[0])
        };
        *m = *m + k[1] * (g - *m);
        *v = *v * k[2] + k[3] * g * g;
        let size = v.sqrt() * k[4] + k[5];
        *p = shrunk + k[6] * g / size + k[7] * *m / size;
    }
}

/// RAdam. L2 and k0 to k3 as in NAdam; k4 the factor of momentum, k5 eps, k6 1 where the step is divided by √v + eps.
pub(crate) struct Radam<const L2: bool>;

impl<C: Real, const L2: bool> Rule<C> for Radam<L2> {
    const M: bool = true;
    const V: bool = true;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, _: &mut C, g: C) {
        let (g, shrunk) = if L2 {
            (decayed(g, *p, k[0]), *p)
        } else {
            (g, *p * k[0])
        };
        *m = *m + k[1] * (g - *m);
        *v = *v * k[2] + k[3] * g * g;
        let size = if k[6] == C::default() {
            C::of(1.0)
        } else {
            v.sqrt() + k[5]
        };
        *p = shrunk + k[4] * *m / size;
    }
}

/// Rprop: m the gradient before, v the step's size. k0 and k1 the factors of the size, k2 and k3 its bounds.
pub(crate) struct Rprop;

impl<C: Real> Rule<C> for Rprop {
    const M: bool = true;
    const V: bool = true;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, v: &mut C, _: &mut C, g: C) {
        let (zero, one) = (C::default(), C::of(1.0));
        let same = g * *m;
        let factor = if same > zero {
            k[1]
        } else if same < zero {
            k[0]
        } else {
            one
        };
        let size = *v * factor;
        let size = if size < k[2] { k[2] } else { size };
        *v = if size > k[3] { k[3] } else { size };
        // Where the sign has turned this step waits.
        let g = if same < zero { zero } else { g };
        *p = if g > zero {
            *p - *v
        } else if g < zero {
            *p + *v
        } else {
            *p
        };
        *m = g;
    }
}

/// Averaged SGD: m the average. k0 1 - λ·η, k1 -η, k2 μ, k3 decay.
pub(crate) struct Asgd;

impl<C: Real> Rule<C> for Asgd {
    const M: bool = true;
    const V: bool = false;
    const X: bool = false;

    #[inline(always)]
    fn step(k: &Factors<C>, p: &mut C, m: &mut C, _: &mut C, _: &mut C, g: C) {
        let g = decayed(g, *p, k[3]);
        *p = *p * k[0] + k[1] * g;
        *m = if k[2] == C::of(1.0) {
            *p
        } else {
            *m + (*p - *m) * k[2]
        };
    }
}

/// PyTorch keeps a rule's own counters as float32.
fn narrow(x: f64) -> f64 {
    f64::from(x as f32)
}

impl Which {
    /// Factors of step `t` of the rules here, from the hyperparameters; `own` are the rule's counters of one parameter.
    pub(super) fn factors_of_rules(&self, h: &[f64; HYPER], t: f64, own: &mut [f64]) -> [f64; 8] {
        let [lr, a, b, eps, decay, more] = *h;
        // How decay enters where it may be of either kind.
        let decay_in = if self.has(L2) {
            decay
        } else {
            1.0 - lr * decay
        };
        match self.kind {
            Kind::Adagrad => [
                decay,
                -(lr / (1.0 + (t - 1.0) * a)),
                eps,
                0.0,
                0.0,
                0.0,
                0.0,
                0.0,
            ],
            Kind::Adadelta => [decay, a, 1.0 - a, eps, -lr, 0.0, 0.0, 0.0],
            Kind::RmsProp => [decay, a, 1.0 - a, eps, b, -lr, 0.0, 0.0],
            Kind::Adamax => [
                decay,
                1.0 - a,
                b,
                eps,
                -(lr / (1.0 - a.powf(t))),
                0.0,
                0.0,
                0.0,
            ],
            Kind::Nadam => {
                let mu = |t: f64| a * (1.0 - 0.5 * 0.96f64.powf(t * more));
                let (now, next) = (mu(t), mu(t + 1.0));
                own[0] = narrow(own[0] as f32 as f64 * narrow(now));
                [
                    decay_in,
                    1.0 - a,
                    b,
                    1.0 - b,
                    1.0 / (1.0 - b.powf(t)).sqrt(),
                    eps,
                    -lr * (1.0 - now) / (1.0 - own[0]),
                    -lr * next / (1.0 - own[0] * next),
                ]
            }
            Kind::Radam => {
                let (c1, c2) = (1.0 - a.powf(t), 1.0 - b.powf(t));
                let most = 2.0 / (1.0 - b) - 1.0;
                let rho = most - 2.0 * t * b.powf(t) / c2;
                let adaptive = rho > 5.0;
                let by = if adaptive {
                    let r = (rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho);
                    r.sqrt() * c2.sqrt()
                } else {
                    1.0
                };
                let flag = f64::from(u8::from(adaptive));
                [
                    decay_in,
                    1.0 - a,
                    b,
                    1.0 - b,
                    -(lr / c1) * by,
                    eps,
                    flag,
                    0.0,
                ]
            }
            Kind::Rprop => [a, b, eps, decay, 0.0, 0.0, 0.0, 0.0],
            Kind::Asgd => {
                let (eta, mu) = (own[0], own[1]);
                // The next step's: [lr, λ, α, t0, decay].
                own[0] = narrow(lr / (1.0 + a * lr * t).powf(b));
                own[1] = narrow(1.0 / (t - eps).max(1.0));
                [1.0 - a * eta, -eta, mu, decay, 0.0, 0.0, 0.0, 0.0]
            }
            Kind::Adam | Kind::Sgd | Kind::SparseAdam => self.factors(h, t),
        }
    }
}
