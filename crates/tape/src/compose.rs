//! Composite functions: written over [`Term`], so that derivatives, passes and lowering see only primitives.

use crate::op::Reduction;
use crate::term::Term;

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
