//! Composite functions: written over [`Term`], so that derivatives, passes and lowering see only primitives.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};
use std::fmt;

use crate::op::{Op, Reduction};
use crate::term::Term;
use crate::ty::Shape;

/// A composite function with a name, which [`Var::composite`](crate::Var::composite) records as the ops that it consists
/// of. Functions, and slopes where there are two, are those of PyTorch; values and slopes are finite far out, too.
pub struct Composite {
    /// What cell files call it.
    pub name: &'static str,
    /// Number of operands, which have one shape, or are scalars.
    pub arity: usize,
    /// The name and the default of its attribute, if it has one.
    pub attribute: Option<(&'static str, f64)>,
    /// It makes one number of vectors, instead of a number of each element.
    pub reduces: bool,
    /// The attribute lies between these.
    pub bounds: (f64, f64),
    pub(crate) record: Record,
}

/// From the operands and the attribute.
pub(crate) type Record = for<'a> fn(&[Term<'a>], f64) -> Term<'a>;

impl fmt::Debug for Composite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composite")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

pub(crate) const fn of_each(name: &'static str, record: Record) -> Composite {
    Composite {
        name,
        arity: 1,
        attribute: None,
        reduces: false,
        bounds: (f64::NEG_INFINITY, f64::INFINITY),
        record,
    }
}

impl Composite {
    /// x · sigmoid(x) (swish)
    pub const SILU: Composite = of_each("silu", |x, _| x[0] * x[0].sigmoid());

    /// x · ½ · (1 + erf(x/√2))
    pub const GELU: Composite = of_each("gelu", |x, _| {
        let upper = (x[0] * FRAC_1_SQRT_2).erf() + 1.0;
        x[0] * 0.5 * upper
    });

    /// [`Composite::GELU`], approximated by tanh: x · ½ · (1 + tanh(√(2/π) · (x + 0.044715 x³)))
    pub const GELU_TANH: Composite = of_each("gelu_tanh", |x, _| {
        let cubic = x[0] * x[0] * 0.044_715 + 1.0;
        let upper = (x[0] * (FRAC_2_SQRT_PI / SQRT_2) * cubic).tanh() + 1.0;
        x[0] * 0.5 * upper
    });

    /// x, or alpha · (eˣ - 1) for x ≤ 0
    pub const ELU: Composite = Composite {
        attribute: Some(("alpha", 1.0)),
        ..of_each("elu", |x, alpha| elu(x[0], alpha))
    };

    /// [`Composite::ELU`] with the alpha and the scale that keep mean 0 and variance 1 (Klambauer et al. 2017)
    pub const SELU: Composite = of_each("selu", |x, _| {
        elu(x[0], 1.673_263_242_354_377_2) * 1.050_700_987_355_480_5
    });

    /// (x + 3)/6, limited to 0 and 1
    pub const HARD_SIGMOID: Composite = of_each("hard_sigmoid", |x, _| {
        let x = x[0];
        let above = x.constant(3.0).le(x);
        above.select(x.constant(6.0), (x + 3.0).relu()) / 6.0
    });

    /// x, limited to -1 and 1
    pub const HARD_TANH: Composite = of_each("hard_tanh", |x, _| {
        let (x, one) = (x[0], x[0].one());
        let inner = x.le(-one).select(-one, x);
        one.le(x).select(one, inner)
    });

    /// x, or slope · x for x ≤ 0
    pub const LEAKY_RELU: Composite = Composite {
        attribute: Some(("slope", 0.01)),
        ..of_each("leaky_relu", |x, slope| {
            let x = x[0];
            x.constant(0.0).lt(x).select(x, x * slope)
        })
    };

    /// x · tanh(softplus(x))
    pub const MISH: Composite = of_each("mish", |x, _| x[0] * x[0].softplus().tanh());

    /// a - b · floor(a/b): what is left of a, with the sign of b
    pub const MOD: Composite = Composite {
        arity: 2,
        ..of_each("mod", |x, _| {
            let (a, b) = (x[0], x[1]);
            a - b * (a / b).floor()
        })
    };

    /// ln Σ eˣⁱ of a vector
    pub const LOGSUMEXP: Composite = Composite {
        reduces: true,
        ..of_each("logsumexp", |x, _| logsumexp(x[0]))
    };

    /// The index of the first of the greatest elements of a vector
    pub const ARGMAX: Composite = Composite {
        reduces: true,
        ..of_each("argmax", |x, _| argmax(x[0]))
    };

    /// All of them.
    pub const ALL: [&'static Composite; 22] = [
        &Composite::SILU,
        &Composite::GELU,
        &Composite::GELU_TANH,
        &Composite::ELU,
        &Composite::SELU,
        &Composite::HARD_SIGMOID,
        &Composite::HARD_TANH,
        &Composite::LEAKY_RELU,
        &Composite::MISH,
        &Composite::MOD,
        &Composite::LOGSUMEXP,
        &Composite::ARGMAX,
        &Composite::MSE,
        &Composite::MAE,
        &Composite::HUBER,
        &Composite::LOG_COSH,
        &Composite::BINARY_CROSS_ENTROPY,
        &Composite::PINBALL,
        &Composite::GAUSSIAN_NLL,
        &Composite::STUDENT_T_NLL,
        &Composite::CROSS_ENTROPY,
        &Composite::CLASS_CROSS_ENTROPY,
    ];

    /// The one of this name; `swish` is another of [`Composite::SILU`].
    pub fn by_name(name: &str) -> Option<&'static Composite> {
        let name = if name == "swish" { "silu" } else { name };
        Composite::ALL.into_iter().find(|c| c.name == name)
    }
}

/// By `select` instead of a minimum, at whose tie each side takes half the slope. The branch that is not taken has an
/// operand of 0, so that its slope is finite and its product with 0 is 0.
fn elu(x: Term<'_>, alpha: f64) -> Term<'_> {
    let positive = x.constant(0.0).lt(x);
    let negative_part = positive.select(x.constant(0.0), x);
    positive.select(x, negative_part.expm1() * alpha)
}

/// Shifted by the greatest element, so that nothing overflows. The shift cancels, so no gradient needs to pass through
/// it.
fn logsumexp(x: Term<'_>) -> Term<'_> {
    let shift = finite_or_zero(x.reduce(Reduction::Max).stop_gradient());
    let e = (x - shift.broadcast(x.shape())).exp();
    e.sum().ln() + shift
}

/// The same along an axis.
pub(crate) fn logsumexp_axis(x: Term<'_>, axis: usize) -> Term<'_> {
    let shape = x.shape();
    let shift = finite_or_zero(x.reduce_axis(Reduction::Max, axis).stop_gradient());
    let e = (x - shift.kept(shape, axis).broadcast(shape)).exp();
    e.reduce_axis(Reduction::Sum, axis).ln() + shift
}

/// A shift by ∞ would make NaN of ∞ - ∞.
pub(crate) fn finite_or_zero(x: Term<'_>) -> Term<'_> {
    let finite = x.abs().lt(x.constant(f64::INFINITY));
    finite.select(x, x.constant(0.0))
}

/// eˣⁱ ÷ Σ eˣʲ over all elements, shifted by the greatest one so that nothing overflows. The shift cancels in the result,
/// so no gradient needs to pass through it.
pub(crate) fn softmax(x: Term<'_>) -> Term<'_> {
    let greatest = x.reduce(Reduction::Max).stop_gradient();
    let e = (x - greatest.broadcast(x.shape())).exp();
    e / e.sum().broadcast(x.shape())
}

/// Layer normalisation (Ba, Kiros & Hinton 2016, eq. 3) without gain and bias: (x - μ) ÷ √(σ² + eps), with the biased
/// variance over all elements.
pub(crate) fn layer_norm(x: Term<'_>, eps: f64) -> Term<'_> {
    let centred = x - x.reduce(Reduction::Mean).broadcast(x.shape());
    let variance = (centred * centred).reduce(Reduction::Mean);
    let deviation = (variance + eps).sqrt();
    centred * deviation.recip().broadcast(x.shape())
}

/// A reduction along an axis, repeated along it.
fn reduced<'a>(x: Term<'a>, kind: Reduction, axis: usize) -> Term<'a> {
    let shape = x.shape();
    x.reduce_axis(kind, axis).kept(shape, axis)
}

/// As [`softmax`], along an axis.
pub(crate) fn softmax_axis(x: Term<'_>, axis: usize) -> Term<'_> {
    let greatest = reduced(x, Reduction::Max, axis).stop_gradient();
    let e = (x - greatest.broadcast(x.shape())).exp();
    e / reduced(e, Reduction::Sum, axis).broadcast(x.shape())
}

/// As [`layer_norm`], along an axis.
pub(crate) fn layer_norm_axis(x: Term<'_>, axis: usize, eps: f64) -> Term<'_> {
    let centred = x - reduced(x, Reduction::Mean, axis).broadcast(x.shape());
    rms_norm_axis(centred, axis, eps)
}

/// Root mean square normalisation (Zhang & Sennrich 2019, eq. 4) without gain: x ÷ √(mean of x² + eps).
pub(crate) fn rms_norm_axis(x: Term<'_>, axis: usize, eps: f64) -> Term<'_> {
    let size = (reduced(x * x, Reduction::Mean, axis) + eps).sqrt();
    x * size.recip().broadcast(x.shape())
}

/// Group normalisation (Wu & He 2018, eq. 7) without gain and bias: [`layer_norm`] of each of `groups` equal parts of
/// the first axis.
pub(crate) fn group_norm(x: Term<'_>, groups: usize, eps: f64) -> Term<'_> {
    let shape = x.shape();
    let each = x.reshape(Shape::Matrix(groups, shape.len() / groups));
    layer_norm_axis(each, 1, eps).reshape(shape)
}

/// Sums of the elements up to each: those of 1, 2, 4 … neighbours (Hillis & Steele 1986), so that every addition is
/// one of whole values.
pub(crate) fn cumsum(x: Term<'_>, axis: usize) -> Term<'_> {
    let shape = x.shape();
    let n = shape.axis(axis).unwrap_or(1);
    let mut sum = x;
    let mut by = 1;
    while by < n {
        let (start, len) = (0, n - by);
        let before = Term::apply(Op::Slice { axis, start, len }, &[sum]);
        let nothing = x.filled(0.0, shape.with_axis(axis, by));
        sum = sum + Term::apply(Op::Concat { axis }, &[nothing, before]);
        by *= 2;
    }
    sum
}

/// The number of elements in front of the first of the greatest, or of the first NaN if there is one.
fn argmax(x: Term<'_>) -> Term<'_> {
    match x.shape() {
        Shape::Scalar => x.constant(0.0),
        shape => {
            let greatest = x.reduce(Reduction::Max);
            before_first(x, greatest.broadcast(shape), 0).sum()
        }
    }
}

/// As [`Composite::ARGMAX`], along an axis.
pub(crate) fn argmax_axis(x: Term<'_>, axis: usize) -> Term<'_> {
    let greatest = reduced(x, Reduction::Max, axis);
    before_first(x, greatest.broadcast(x.shape()), axis).reduce_axis(Reduction::Sum, axis)
}

/// 1 for the elements along an axis before the first that equals `greatest` or is NaN, else 0.
fn before_first<'a>(x: Term<'a>, greatest: Term<'a>, axis: usize) -> Term<'a> {
    let not_a_number = x.one() - x.equals(x);
    let hits = cumsum(x.equals(greatest) + not_a_number, axis);
    hits.lt(x.constant(0.5))
}
