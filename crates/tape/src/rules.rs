//! The derivative rules of all ops, written once over [`Algebra`].
//!
//! A rule gives the product of a cotangent ([`vjp`]) or a tangent ([`jvp`]) with the derivative in one operand. Ops are
//! either element-wise (their row has the slope), linear in each operand (forward mode applies the op itself, reverse
//! mode its transpose), or the maximum. The set is closed: a derivative uses ops of the same table, so it can be
//! differentiated again. `delay` and `boundary` are linear, but their cotangents come from other steps: whoever walks the
//! steps transposes them (see [`Op::Delay`]).

use crate::algebra::{Algebra, Value};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::ty::{Shape, Type};

/// The cotangent that operand `i` of `y = op(xs)` receives when `y`'s is `t`, in the operand's own domain.
/// `None` if the derivative is zero everywhere.
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
    let raw = match *op {
        Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => None,
        Op::Map(m) => (m.row().derivative)(a, xs, y, i, t),
        Op::Reduce(Reduction::Sum) => {
            let shape = a.ty(xs[0]).shape;
            Some(a.broadcast(t, shape))
        }
        Op::Reduce(Reduction::Mean) => {
            let shape = a.ty(xs[0]).shape;
            let share = a.constant(1.0 / shape.len() as f64, Shape::Scalar);
            let t = a.mul(t, share);
            Some(a.broadcast(t, shape))
        }
        Op::Reduce(Reduction::Max) => {
            let weight = max_weights(a, xs[0], y);
            let shape = a.ty(xs[0]).shape;
            let t = a.broadcast(t, shape);
            Some(a.mul(t, weight))
        }
        Op::Dot => {
            let shape = a.ty(xs[0]).shape;
            let t = a.broadcast(t, shape);
            Some(a.mul(t, xs[1 - i]))
        }
        Op::Broadcast(_) => Some(a.sum(t)),
        Op::Concat { axis } => {
            let along = |a: &dyn Algebra, v| {
                a.ty(v)
                    .shape
                    .axis(axis)
                    .expect("checked when it was recorded")
            };
            let start = xs[..i].iter().map(|&v| along(a, v)).sum();
            let len = along(a, xs[i]);
            Some(a.op(Op::Slice { axis, start, len }, &[t]))
        }
        Op::Slice { axis, start, len } => {
            let shape = a.ty(xs[0]).shape;
            let total = shape.axis(axis).expect("checked when it was recorded");
            let mut parts = Vec::with_capacity(3);
            if start > 0 {
                parts.push(a.zeros(shape.with_axis(axis, start)));
            }
            parts.push(t);
            if start + len < total {
                parts.push(a.zeros(shape.with_axis(axis, total - start - len)));
            }
            Some(if parts.len() == 1 {
                t
            } else {
                a.op(Op::Concat { axis }, &parts)
            })
        }
        Op::Reshape(_) => {
            let shape = a.ty(xs[0]).shape;
            Some(a.op(Op::Reshape(shape), &[t]))
        }
        Op::MatVec { transposed } if i == 1 => Some(a.op(
            Op::MatVec {
                transposed: !transposed,
            },
            &[xs[0], t],
        )),
        Op::MatVec { transposed } => {
            let to = a.ty(xs[0]).domain;
            let pair = if transposed { [xs[1], t] } else { [t, xs[1]] };
            // It sums to the matrix's domain itself.
            return Some(a.op(Op::Outer { to }, &pair));
        }
        Op::Outer { .. } => Some(a.op(Op::MatVec { transposed: i == 1 }, &[t, xs[1 - i]])),
        Op::Gather if i == 1 => None,
        Op::Gather => {
            let Type { shape, domain } = a.ty(xs[0]);
            return Some(a.op(
                Op::Scatter {
                    rows: shape.as_matrix().0,
                    to: domain,
                },
                &[xs[1], t],
            ));
        }
        Op::Scatter { .. } if i == 0 => None,
        Op::Scatter { .. } => Some(a.op(Op::Gather, &[t, xs[0]])),
        Op::Spread(_) | Op::SumTo(_) => Some(t),
        Op::Delay(_) | Op::Boundary(_) => panic!("{op} is transposed by whoever walks the steps"),
    }?;
    // What the op did in its work domain comes back to the operand's: repeated where it was summed, summed where it was
    // repeated.
    let types: Vec<Type> = xs.iter().map(|&x| a.ty(x)).collect();
    let raw = a.spread(raw, op.work_domain(&types));
    Some(a.sum_to(raw, types[i].domain))
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
    match *op {
        Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => None,
        Op::Map(m) => {
            // In the domain of y, where the other operands may vary too.
            let domain = a.ty(y).domain;
            let t = a.spread(t, domain);
            (m.row().derivative)(a, xs, y, i, t)
        }
        Op::Reduce(Reduction::Max) => {
            let weight = max_weights(a, xs[0], y);
            Some(a.op(Op::Dot, &[weight, t]))
        }
        Op::Concat { .. } => {
            let parts: Vec<Value> = xs
                .iter()
                .enumerate()
                .map(|(k, &x)| match k == i {
                    true => t,
                    false => {
                        let shape = a.ty(x).shape;
                        a.zeros(shape)
                    }
                })
                .collect();
            let v = a.op(*op, &parts);
            let domain = a.ty(y).domain;
            Some(a.spread(v, domain))
        }
        Op::Gather if i == 1 => None,
        Op::Scatter { .. } if i == 0 => None,
        Op::Reduce(Reduction::Sum | Reduction::Mean)
        | Op::Dot
        | Op::Broadcast(_)
        | Op::Slice { .. }
        | Op::Reshape(_)
        | Op::MatVec { .. }
        | Op::Outer { .. }
        | Op::Gather
        | Op::Scatter { .. }
        | Op::Spread(_)
        | Op::SumTo(_) => {
            let mut with_t = xs.to_vec();
            with_t[i] = t;
            Some(a.op(*op, &with_t))
        }
        Op::Delay(_) | Op::Boundary(_) => {
            panic!("{op} is differentiated by whoever walks the steps")
        }
    }
}

/// Which elements reach the maximum `y` of `x`, their weights summing to 1.
fn max_weights(a: &mut dyn Algebra, x: Value, y: Value) -> Value {
    let shape = a.ty(x).shape;
    let top = a.broadcast(y, shape);
    let hit = a.map2(Map::Eq, x, top);
    let count = a.sum(hit);
    let count = a.broadcast(count, shape);
    a.map2(Map::Div, hit, count)
}
