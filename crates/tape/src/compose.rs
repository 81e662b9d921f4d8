//! Composite functions: primitives applied through [`Algebra`], so that derivatives, passes and lowering need to know
//! nothing of them.

use crate::algebra::{Algebra, Value};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::ty::Shape;

/// eˣⁱ ÷ Σ eˣʲ over all elements, shifted by the greatest one so that nothing overflows. The shift cancels in the result,
/// so no gradient needs to pass it.
pub(crate) fn softmax(a: &mut dyn Algebra, x: Value) -> Value {
    let shape = a.ty(x).shape;
    let top = a.op(Op::Reduce(Reduction::Max), &[x]);
    let top = a.map1(Map::StopGradient, top);
    let top = a.broadcast(top, shape);
    let shifted = a.map2(Map::Sub, x, top);
    let e = a.map1(Map::Exp, shifted);
    let total = a.sum(e);
    let total = a.broadcast(total, shape);
    a.map2(Map::Div, e, total)
}

/// Layer normalisation (Ba, Kiros & Hinton 2016, eq. 3) without gain and bias: (x - μ) ÷ √(σ² + eps), with the biased
/// variance over all elements.
pub(crate) fn layer_norm(a: &mut dyn Algebra, x: Value, eps: f64) -> Value {
    let shape = a.ty(x).shape;
    let mean = a.op(Op::Reduce(Reduction::Mean), &[x]);
    let mean = a.broadcast(mean, shape);
    let centred = a.map2(Map::Sub, x, mean);
    let square = a.mul(centred, centred);
    let variance = a.op(Op::Reduce(Reduction::Mean), &[square]);
    let eps = a.constant(eps, Shape::Scalar);
    let variance = a.map2(Map::Add, variance, eps);
    let deviation = a.map1(Map::Sqrt, variance);
    let scale = a.map1(Map::Recip, deviation);
    let scale = a.broadcast(scale, shape);
    a.mul(centred, scale)
}
