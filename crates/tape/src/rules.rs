//! The derivative rules of all ops, written once over `Term`.
//!
//! A rule gives the product of a cotangent ([`vjp`]) or a tangent ([`jvp`]) with the derivative in one operand. Ops are
//! either element-wise (their row has the derivative), linear in each operand (forward mode applies the op itself, reverse
//! mode its transpose), or the maximum. The set is closed: a derivative uses ops of the same table, so it can be
//! differentiated again. (`clip_gradient` is none of these: its cotangent is not linear, and its tangent passes.) `delay` and `boundary` are linear, but their cotangents come from other steps: the caller, which
//! walks the steps, transposes them (see [`Op::Delay`]).

use std::cell::RefCell;

use smallvec::SmallVec;

use crate::algebra::{Algebra, Value};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::term::{SharedAlgebra, Term};
use crate::ty::Type;

/// The cotangent that operand `i` of `y = op(xs)` receives when `y`'s is `t`, in the operand's own domain. `None` if
/// the derivative is zero everywhere.
///
/// # Panics
/// For `delay` and `boundary`, which are not local to a step.
pub fn vjp(
    a: &mut dyn Algebra,
    op: &Op,
    xs: &[Value],
    y: Value,
    i: usize,
    t: Value,
) -> Option<Value> {
    let types: SmallVec<[Type; 3]> = xs.iter().map(|&x| a.ty(x)).collect();
    let algebra: SharedAlgebra<'_> = RefCell::new(a);
    let term = |v| Term::new(&algebra, v);
    let xs: SmallVec<[Term<'_>; 3]> = xs.iter().map(|&x| term(x)).collect();
    let t = transposed(op, &xs, term(y), i, term(t))?;
    // The result in the op's work domain is brought back to the operand's domain: repeated where the op summed, summed
    // where it repeated. Two of the transposes sum to the operand's domain themselves.
    if matches!((op, i), (Op::MatVec { .. } | Op::Gather, 0)) {
        return Some(t.value);
    }
    let t = t.spread(op.work_domain(&types));
    Some(t.sum_to(types[i].domain).value)
}

/// The transpose of `op` in operand `i`, applied to `t`, in the op's work domain.
fn transposed<'a>(
    op: &Op,
    xs: &[Term<'a>],
    y: Term<'a>,
    i: usize,
    t: Term<'a>,
) -> Option<Term<'a>> {
    let shape = || xs[i].shape();
    Some(match *op {
        Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => return None,
        #[cfg(feature = "faults")]
        Op::Map(Map::Tanh) if crate::faults::active(crate::faults::Fault::DerivativeRule) => {
            t * (y.one() - y)
        }
        Op::Map(m) => return (m.row().derivative)(xs, y, i, t),
        Op::Reduce(Reduction::Sum) => t.broadcast(shape()),
        Op::Reduce(Reduction::Mean) => (t * (1.0 / shape().len() as f64)).broadcast(shape()),
        Op::Reduce(Reduction::Max) => {
            let weights = max_weights(xs[0], y);
            t.broadcast(shape()) * weights
        }
        Op::ReduceAxis { kind, axis } => {
            let along = |t: Term<'a>| t.kept(shape(), axis).broadcast(shape());
            match kind {
                Reduction::Sum => along(t),
                Reduction::Mean => {
                    let n = shape().axis(axis).expect("checked when recorded");
                    along(t * (1.0 / n as f64))
                }
                Reduction::Max => along(t) * max_weights_along(xs[0], y, axis),
            }
        }
        Op::Dot => t.broadcast(shape()) * xs[1 - i],
        Op::Broadcast(to) => t.sum_stretched(shape(), to),
        Op::Concat { axis } => {
            let along = |x: &Term<'_>| x.shape().axis(axis).expect("checked when recorded");
            let (start, len) = (xs[..i].iter().map(along).sum(), along(&xs[i]));
            Term::apply(Op::Slice { axis, start, len }, &[t])
        }
        Op::Slice { axis, start, len } => {
            let total = shape().axis(axis).expect("checked when recorded");
            let zeros = |n: usize| (n > 0).then(|| t.zeros(shape().with_axis(axis, n)));
            let parts = [zeros(start), Some(t), zeros(total - start - len)];
            let parts: SmallVec<[Term<'_>; 3]> = parts.into_iter().flatten().collect();
            match parts[..] {
                [t] => t,
                _ => Term::apply(Op::Concat { axis }, &parts),
            }
        }
        Op::Reshape(_) => Term::apply(Op::Reshape(shape()), &[t]),
        Op::Transpose(order) => Term::apply(Op::Transpose(order.inverse()), &[t]),
        Op::MatVec { transposed } if i == 1 => {
            let transposed = !transposed;
            Term::apply(Op::MatVec { transposed }, &[xs[0], t])
        }
        Op::MatVec { transposed } => {
            let to = xs[0].ty().domain;
            let pair = if transposed { [xs[1], t] } else { [t, xs[1]] };
            Term::apply(Op::Outer { to }, &pair)
        }
        Op::Outer { .. } => Term::apply(Op::MatVec { transposed: i == 1 }, &[t, xs[1 - i]]),
        Op::Gather if i == 1 => return None,
        Op::Gather => {
            let (rows, to) = (shape().as_matrix().0, xs[0].ty().domain);
            Term::apply(Op::Scatter { rows, to }, &[xs[1], t])
        }
        Op::Scatter { .. } if i == 0 => return None,
        Op::Scatter { .. } => Term::apply(Op::Gather, &[t, xs[0]]),
        Op::Spread(_) | Op::SumTo(_) => t,
        Op::Delay(_) | Op::Boundary(_) => panic!("{op} is transposed by the caller"),
    })
}

/// The tangent that `y = op(xs)` receives from operand `i` alone when that operand's is `t`.
/// `None` if the derivative is zero everywhere. `delay` and `boundary` are linear in x and init together and need both
/// tangents at once: see the tangent pass.
///
/// # Panics
/// For `delay` and `boundary`.
pub fn jvp(
    a: &mut dyn Algebra,
    op: &Op,
    xs: &[Value],
    y: Value,
    i: usize,
    t: Value,
) -> Option<Value> {
    let algebra: SharedAlgebra<'_> = RefCell::new(a);
    let term = |v| Term::new(&algebra, v);
    let mut xs: SmallVec<[Term<'_>; 3]> = xs.iter().map(|&x| term(x)).collect();
    let (y, t) = (term(y), term(t));
    let tangent = match *op {
        Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => return None,
        // What limits cotangents is no linear map, so it has no transpose: a tangent passes as it is.
        Op::Map(Map::ClipGradient) => match i {
            0 => t.spread(y.ty().domain),
            _ => return None,
        },
        // In the domain of y, where the other operands may vary too.
        Op::Map(m) => (m.row().derivative)(&xs, y, i, t.spread(y.ty().domain))?,
        Op::Reduce(Reduction::Max) => Term::apply(Op::Dot, &[max_weights(xs[0], y), t]),
        Op::ReduceAxis {
            kind: Reduction::Max,
            axis,
        } => (max_weights_along(xs[0], y, axis) * t).reduce_axis(Reduction::Sum, axis),
        Op::Concat { .. } => {
            for (k, x) in xs.iter_mut().enumerate() {
                *x = if k == i { t } else { x.zeros(x.shape()) };
            }
            Term::apply(*op, &xs).spread(y.ty().domain)
        }
        Op::Gather if i == 1 => return None,
        Op::Scatter { .. } if i == 0 => return None,
        #[cfg(feature = "faults")]
        Op::MatVec { .. } if i == 0 && crate::faults::active(crate::faults::Fault::Tangent) => {
            return None;
        }
        Op::Reduce(Reduction::Sum | Reduction::Mean)
        | Op::ReduceAxis {
            kind: Reduction::Sum | Reduction::Mean,
            ..
        }
        | Op::Dot
        | Op::Broadcast(_)
        | Op::Slice { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::MatVec { .. }
        | Op::Outer { .. }
        | Op::Gather
        | Op::Scatter { .. }
        | Op::Spread(_)
        | Op::SumTo(_) => {
            xs[i] = t;
            Term::apply(*op, &xs)
        }
        Op::Delay(_) | Op::Boundary(_) => panic!("{op} is differentiated by the caller"),
    };
    Some(tangent.value)
}

/// The elements that attain the maximum `y` of `x`, as weights summing to 1.
fn max_weights<'a>(x: Term<'a>, y: Term<'a>) -> Term<'a> {
    let hit = x.equals(y.broadcast(x.shape()));
    hit / hit.sum().broadcast(x.shape())
}

/// The elements that attain the maximum `y` of `x` along an axis, as weights summing to 1.
fn max_weights_along<'a>(x: Term<'a>, y: Term<'a>, axis: usize) -> Term<'a> {
    let hit = x.equals(y.kept(x.shape(), axis).broadcast(x.shape()));
    let hits = hit.reduce_axis(Reduction::Sum, axis).kept(x.shape(), axis);
    hit / hits.broadcast(x.shape())
}
