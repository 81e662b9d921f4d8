//! Identities of ops along axes.

use retrograd_tape::{Algebra, Domain, Map, Op, Permutation, Reduction, Shape, Value};

use super::{apply, constant, repeats_one, reshaped};
use crate::graph::Graph;

/// A reduction along an axis: that of the only axis is one of all elements, and one along an axis of length 1 moves
/// nothing.
pub(super) fn reduce_axis(
    g: &mut Graph,
    kind: Reduction,
    axis: usize,
    x: Value,
    last: bool,
) -> Option<Value> {
    let shape = g.ty(x).shape;
    let (n, to) = (shape.axis(axis)?, shape.without_axis(axis)?);
    // The derivative of a maximum is shared by the elements that equal it, and NaN equals none.
    let exact = kind != Reduction::Max || last;
    if to == Shape::Scalar {
        return Some(apply(g, Op::Reduce(kind), &[x], last));
    }
    if n == 1 && exact {
        return Some(reshaped(g, to, x));
    }
    let one = match constant(g, x) {
        Some(c) => g.constant(c, Shape::Scalar),
        None if repeats_one(g, x) => g.operands(x)[0],
        None => return None,
    };
    let one = match kind {
        Reduction::Sum => {
            let n = g.constant(n as f64, Shape::Scalar);
            apply(g, Op::Map(Map::Mul), &[one, n], false)
        }
        Reduction::Max if last => one,
        Reduction::Mean | Reduction::Max => return None,
    };
    let domain = g.ty(x).domain;
    let y = apply(g, Op::Broadcast(to), &[one], last);
    Some(g.spread(y, domain))
}

/// Axes in another order: orders compose, and equal elements have none.
pub(super) fn transpose(g: &mut Graph, order: Permutation, x: Value) -> Option<Value> {
    let shape = g.ty(x).shape;
    if order.moves() == 0 {
        return Some(x);
    }
    let to = order.apply(shape)?;
    let inner = g.operands(x).first().copied();
    match (*g.op_of(x), inner) {
        (Op::Constant { value, .. }, _) => Some(g.constant(value.0, to)),
        (Op::Broadcast(_), Some(scalar)) if repeats_one(g, x) => Some(g.broadcast(scalar, to)),
        (Op::Transpose(first), Some(inner)) => {
            let both = first.then(order);
            let simpler = transpose(g, both, inner);
            Some(simpler.unwrap_or_else(|| g.op(Op::Transpose(both), &[inner])))
        }
        (Op::Outer { to }, _) if exchanges_last(order, shape) => {
            let xs = g.operands(x);
            Some(g.op(Op::Outer { to }, &[xs[1], xs[0]]))
        }
        _ => None,
    }
}

/// A product with a transposed matrix is the other product with the matrix, and one with -M, if M is a point's own, is the
/// negative of that with M, so that not both have to be stored.
pub(super) fn matvec(g: &mut Graph, transposed: bool, xs: &[Value]) -> Option<Value> {
    let product = Op::MatVec { transposed };
    match *g.op_of(xs[0]) {
        Op::Transpose(order) if exchanges_last(order, g.ty(xs[0]).shape) => {
            let transposed = !transposed;
            let inner = g.operands(xs[0])[0];
            Some(g.op(Op::MatVec { transposed }, &[inner, xs[1]]))
        }
        Op::Map(Map::Neg) if g.ty(xs[0]).domain != Domain::Once => {
            let inner = g.operands(xs[0])[0];
            let positive = g.op(product, &[inner, xs[1]]);
            Some(g.map1(Map::Neg, positive))
        }
        _ => None,
    }
}

/// True for the exchange of the last two axes.
fn exchanges_last(order: Permutation, shape: Shape) -> bool {
    let rank = shape.rank();
    rank >= 2 && Permutation::exchange(rank - 2, rank - 1) == Some(order)
}
