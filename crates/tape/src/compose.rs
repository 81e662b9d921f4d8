//! Composite functions: written over [`Term`], so that derivatives, passes and lowering see only primitives.

use crate::op::{Op, Reduction};
use crate::term::Term;
use crate::ty::Shape;

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
