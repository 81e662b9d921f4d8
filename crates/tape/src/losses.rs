//! Losses: composite functions in forms that stay finite far out and keep their digits where a prediction is good.
//!
//! Those of each element are averaged by the caller, `huber(y, t).mean()`, who may weigh elements first. The target comes second in
//! all of them.

use std::panic::Location;

use crate::compose::{Composite, finite_or_zero, of_each};
use crate::op::Reduction;
use crate::record::Var;
use crate::term::Term;

/// ½ ln 2π
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

const fn of_two(name: &'static str, record: crate::compose::Record) -> Composite {
    Composite {
        arity: 2,
        ..of_each(name, record)
    }
}

impl Composite {
    /// The mean of (y − t)²
    pub const MSE: Composite = Composite {
        reduces: true,
        ..of_two("mse", |x, _| {
            let off = x[0] - x[1];
            (off * off).reduce(Reduction::Mean)
        })
    };

    /// The mean of |y − t|
    pub const MAE: Composite = Composite {
        reduces: true,
        ..of_two("mae", |x, _| (x[0] - x[1]).abs().reduce(Reduction::Mean))
    };

    /// ½ (y − t)² up to a distance of delta > 0, and from there the line that continues it (Huber 1964)
    pub const HUBER: Composite = Composite {
        attribute: Some(("delta", 1.0)),
        bounds: POSITIVE,
        ..of_two("huber", |x, delta| {
            let size = (x[0] - x[1]).abs();
            let near = size.min(size.constant(delta));
            near * (size - near * 0.5)
        })
    };

    /// ln cosh(y − t), as |d| + ln(1 + e^(−2|d|)) − ln 2
    pub const LOG_COSH: Composite = of_two("log_cosh", |x, _| {
        let size = (x[0] - x[1]).abs();
        size + (size * -2.0).softplus() - std::f64::consts::LN_2
    });

    /// −t ln σ(z) − (1 − t) ln(1 − σ(z)) of a logit z, as t softplus(−z) + (1 − t) softplus(z)
    pub const BINARY_CROSS_ENTROPY: Composite = of_two("binary_cross_entropy", |x, _| {
        let (z, t) = (x[0], x[1]);
        t * (-z).softplus() + (t.one() - t) * z.softplus()
    });

    /// q d for d = t − y ≥ 0, (q − 1) d below: its mean is least at the quantile 0 < q < 1 (Koenker & Bassett 1978). At d = 0 the
    /// slope is that of above
    pub const PINBALL: Composite = Composite {
        attribute: Some(("q", 0.5)),
        bounds: (0.0, 1.0),
        ..of_two("pinball", |x, q| {
            let d = x[1] - x[0];
            d.lt(d.constant(0.0)).select(d * (q - 1.0), d * q)
        })
    };

    /// The negative logarithm of a normal density at t, from mean and logarithm s of the variance: ½ (s + (y − t)² e⁻ˢ + ln 2π)
    pub const GAUSSIAN_NLL: Composite = Composite {
        arity: 3,
        ..of_each("gaussian_nll", |x, _| {
            let (off, s) = (x[0] - x[1], x[2]);
            (s + off * off * (-s).exp()) * 0.5 + HALF_LN_TAU
        })
    };

    /// The negative logarithm of Student's density with df > 0 degrees of freedom ν at t, from location and logarithm s of the scale:
    /// s + ½ (ν + 1) ln(1 + (y − t)² e⁻²ˢ ÷ ν) + ln Γ(ν/2) − ln Γ((ν + 1)/2) + ½ ln πν
    pub const STUDENT_T_NLL: Composite = Composite {
        arity: 3,
        attribute: Some(("df", 5.0)),
        bounds: POSITIVE,
        ..of_each("student_t_nll", |x, df| {
            let (off, s) = (x[0] - x[1], x[2]);
            let scaled = off * (-s).exp();
            let constant = ln_gamma(0.5 * df) - ln_gamma(0.5 * df + 0.5)
                + 0.5 * (std::f64::consts::PI * df).ln();
            s + (scaled * scaled / df).log1p() * (0.5 * (df + 1.0)) + constant
        })
    };

    /// −Σ t ln softmax(z) of a vector of logits z and one of probabilities t, which are (1 − smoothing) t + smoothing/n if asked for
    /// (Szegedy et al. 2016, section 7). Where t is 0, z may be −∞
    pub const CROSS_ENTROPY: Composite = Composite {
        attribute: Some(("smoothing", 0.0)),
        bounds: SMOOTHING,
        reduces: true,
        ..of_two("cross_entropy", |x, smoothing| {
            cross_entropy(x[0], smooth(x[1], smoothing))
        })
    };

    /// [`Composite::CROSS_ENTROPY`] with a weight w of each class, −Σ w t ln softmax(z) ÷ Σ w t with the t of before smoothing: with the
    /// weight w · t, a loss is that of PyTorch
    pub const CLASS_CROSS_ENTROPY: Composite = Composite {
        arity: 3,
        attribute: Some(("smoothing", 0.0)),
        bounds: SMOOTHING,
        reduces: true,
        ..of_each("class_cross_entropy", |x, smoothing| {
            let (z, t, w) = (x[0], x[1], x[2]);
            let weight = (w * t).sum();
            let nothing = weight.equals(weight.constant(0.0));
            let weight = nothing.select(weight.one(), weight);
            cross_entropy(z, smooth(t, smoothing) * w) / weight
        })
    };
}

const POSITIVE: (f64, f64) = (0.0, f64::INFINITY);
/// 0 is allowed: the greatest number below it is the bound.
const SMOOTHING: (f64, f64) = (-f64::MIN_POSITIVE, 1.0);

fn smooth(t: Term<'_>, smoothing: f64) -> Term<'_> {
    match smoothing {
        0.0 => t,
        s => t * (1.0 - s) + s / t.shape().len() as f64,
    }
}

/// Σ a (ln Σ eᶻ − z), shifted by the greatest z.
fn cross_entropy<'a>(z: Term<'a>, a: Term<'a>) -> Term<'a> {
    let shift = finite_or_zero(z.reduce(Reduction::Max).stop_gradient());
    let z = z - shift.broadcast(z.shape());
    // 0 · ∞ is NaN; elsewhere a's slope is z, for a of 0, too.
    let hidden = z.equals(z.constant(f64::NEG_INFINITY)) * a.equals(a.constant(0.0));
    let counts = hidden.select(z.constant(0.0), z);
    z.exp().sum().ln() * a.sum() - (a * counts).sum()
}

/// ln Γ(x) for x > 0: Stirling's series (Abramowitz & Stegun 6.1.41) from 8 on, whose first term left out is below 10⁻¹⁵ there, after
/// the recurrence Γ(x) = Γ(x + 1)/x.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 8.0 {
        product *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let coefficients = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let series = coefficients.iter().rev().fold(0.0, |s, c| s * square + c);
    (x - 0.5) * x.ln() - x + HALF_LN_TAU + series / x - f64::ln(product)
}

/// Losses, each against a target.
///
/// ```
/// use retrograd_tape::{InputRole, Recorder, Shape};
///
/// let r = Recorder::new();
/// let z = r.param("logits", Shape::Vector(3));
/// let label = r.input("label", InputRole::Target, Shape::Scalar);
/// // A label below 0 does not count, and its one-hot vector is not read.
/// r.weighted_loss(z.cross_entropy(label.one_hot(3), 0.1), (0.0 * label).le(label));
/// let q = r.param("quantiles", Shape::Vector(2));
/// let next = r.input("next", InputRole::Target, Shape::Scalar);
/// r.loss(q.slice(0, 1).pinball(next, 0.1).mean() + q.slice(1, 1).pinball(next, 0.9).mean());
/// r.finish("losses")?;
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
impl<'t> Var<'t> {
    /// The mean of (self − target)² over the elements.
    #[track_caller]
    pub fn mse(self, target: Var<'t>) -> Var<'t> {
        self.against(&Composite::MSE, &[target], 0.0, Location::caller())
    }

    /// The mean of |self − target| over the elements. Its slope at 0 is 0.
    #[track_caller]
    pub fn mae(self, target: Var<'t>) -> Var<'t> {
        self.against(&Composite::MAE, &[target], 0.0, Location::caller())
    }

    /// Huber's loss of each element: half the square up to `delta` > 0, and from there the line that continues it.
    #[track_caller]
    pub fn huber(self, target: Var<'t>, delta: f64) -> Var<'t> {
        self.against(&Composite::HUBER, &[target], delta, Location::caller())
    }

    /// ln cosh(self − target) of each element.
    #[track_caller]
    pub fn log_cosh(self, target: Var<'t>) -> Var<'t> {
        self.against(&Composite::LOG_COSH, &[target], 0.0, Location::caller())
    }

    /// −t ln σ(z) − (1 − t) ln(1 − σ(z)) of each element, a logit z.
    #[track_caller]
    pub fn binary_cross_entropy(self, target: Var<'t>) -> Var<'t> {
        self.against(
            &Composite::BINARY_CROSS_ENTROPY,
            &[target],
            0.0,
            Location::caller(),
        )
    }

    /// The pinball loss of each element, a forecast of the quantile `q` between 0 and 1.
    #[track_caller]
    pub fn pinball(self, target: Var<'t>, q: f64) -> Var<'t> {
        self.against(&Composite::PINBALL, &[target], q, Location::caller())
    }

    /// The negative logarithm of a normal density at each element of the target: this is the mean, `log_variance` the logarithm of the
    /// variance.
    #[track_caller]
    pub fn gaussian_nll(self, target: Var<'t>, log_variance: Var<'t>) -> Var<'t> {
        let others = [target, log_variance];
        self.against(&Composite::GAUSSIAN_NLL, &others, 0.0, Location::caller())
    }

    /// The negative logarithm of Student's density with `df` > 0 degrees of freedom at each element of the target: this is the
    /// location, `log_scale` the logarithm of the scale.
    #[track_caller]
    pub fn student_t_nll(self, target: Var<'t>, log_scale: Var<'t>, df: f64) -> Var<'t> {
        let others = [target, log_scale];
        self.against(&Composite::STUDENT_T_NLL, &others, df, Location::caller())
    }

    /// −Σ t ln softmax(z) of a vector of logits z against probabilities t, often [one-hot](Var::one_hot), which `smoothing`, at least 0
    /// and less than 1, mixes with uniform ones. A z may be −∞ where its t is 0; if all are, it is NaN.
    #[track_caller]
    pub fn cross_entropy(self, target: Var<'t>, smoothing: f64) -> Var<'t> {
        self.against(
            &Composite::CROSS_ENTROPY,
            &[target],
            smoothing,
            Location::caller(),
        )
    }

    /// [`cross_entropy`](Var::cross_entropy) with a weight of each class, divided by the weight of the target: with
    /// `target.dot(weights)` as the weight of the loss, its mean is PyTorch's.
    #[track_caller]
    pub fn class_cross_entropy(self, target: Var<'t>, weights: Var<'t>, smoothing: f64) -> Var<'t> {
        let others = [target, weights];
        self.against(
            &Composite::CLASS_CROSS_ENTROPY,
            &others,
            smoothing,
            Location::caller(),
        )
    }

    fn against(
        self,
        c: &Composite,
        others: &[Var<'t>],
        attribute: f64,
        at: &'static Location<'static>,
    ) -> Var<'t> {
        let operands: Vec<Var<'t>> = std::iter::once(self)
            .chain(others.iter().copied())
            .collect();
        Var::record_composite(c, &operands, attribute, at)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_logarithm_of_gamma_is_that_of_factorials_and_of_the_root_of_pi() {
        let half = 0.5 * std::f64::consts::PI.ln();
        let values = [
            (0.5, half),
            (1.0, 0.0),
            (2.0, 0.0),
            (5.0, 24f64.ln()),
            (1e-8, 18.420_680_738_180_21),
        ];
        for (x, expected) in values {
            let found = super::ln_gamma(x);
            assert!(
                (found - expected).abs() < 1e-14 * expected.abs().max(1.0),
                "{x}: {found}"
            );
        }
        // 170! = 7.257415615307994e306
        assert!((super::ln_gamma(171.0) - 706.573_062_245_787_4).abs() < 1e-12);
    }
}
