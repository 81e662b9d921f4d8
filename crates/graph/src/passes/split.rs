//! *split*: a product with a concatenation becomes a sum of products, one per operand, so that each can be hoisted out
//! of the time loop separately. Slices of a product, and the weight gradient of a concatenation, are split likewise.

use retrograd_tape::{Algebra, Map, Op, Operands, Value};

use crate::graph::{Graph, rebuild_and_tell};
use crate::passes::simplify::{concat, slice};
use crate::work::Allowance;

/// Nodes to which splitting may grow any program, however small.
const SMALL: usize = 1 << 14;

/// Splits products until none has a concatenation as its operand. A program that would grow excessively, as with an
/// outer product of two concatenations of hundreds of parts each, is left as it is.
pub fn split(g: &Graph) -> Graph {
    let mut left = Allowance::of(SMALL + 16 * g.len());
    let mut new: Option<Graph> = None;
    loop {
        let from = new.as_ref().unwrap_or(g);
        if !left.spend(from.len() + made(from)) {
            return g.clone();
        }
        let (next, changed) = once(from);
        if !changed {
            return next;
        }
        new = Some(next);
    }
}

/// How many parts the next round creates from the products that it splits.
fn made(g: &Graph) -> usize {
    let parts = |v: Value| match g.op_of(v) {
        Op::Concat { axis: 0 } => g.operands(v).len(),
        _ => 0,
    };
    let of = |v: Value| {
        let xs = g.operands(v);
        match g.op_of(v) {
            Op::MatVec { .. } => parts(xs[1]),
            Op::Outer { .. } => parts(xs[0]).max(parts(xs[1])),
            Op::SumTo(_) => parts(xs[0]),
            _ => 0,
        }
    };
    g.order().into_iter().map(of).sum()
}

/// Splits the products that can be split now, and returns whether there were any.
fn once(g: &Graph) -> (Graph, bool) {
    rebuild_and_tell(g, |r, v| {
        let op = *g.op_of(v);
        let xs = g.operands(v);
        match op {
            Op::MatVec { transposed } => {
                let parts = parts(g, xs[1])?;
                let m = r.get(xs[0]);
                let axis = usize::from(!transposed);
                let mut sum = None;
                for (start, len, part) in parts {
                    let part = r.get(part);
                    let block = slice(&mut r.new, axis, start, len, m);
                    let p = r.new.op(op, &[block, part]);
                    sum = Some(match sum {
                        None => p,
                        Some(s) => r.new.map2(Map::Add, s, p),
                    });
                }
                sum
            }
            Op::Outer { .. } => {
                let (k, parts) = match (parts(g, xs[0]), parts(g, xs[1])) {
                    (Some(p), _) => (0, p),
                    (_, Some(p)) => (1, p),
                    _ => return None,
                };
                let blocks: Vec<Value> = parts
                    .into_iter()
                    .map(|(_, _, part)| {
                        let mut ys: Operands = xs.iter().map(|&x| r.get(x)).collect();
                        // A part that does not vary over the whole domain still counts once per point of it.
                        let part = r.get(part);
                        ys[k] = r.new.spread(part, g.node(xs[k]).ty.domain);
                        r.new.op(op, &ys)
                    })
                    .collect();
                Some(concat(&mut r.new, k, &blocks))
            }
            Op::SumTo(_) => {
                let parts = parts(g, xs[0])?;
                let sums: Vec<Value> = parts
                    .into_iter()
                    .map(|(_, _, part)| {
                        let part = r.get(part);
                        let Op::SumTo(to) = op else {
                            unreachable!("matched above")
                        };
                        let part = r.new.spread(part, g.node(xs[0]).ty.domain);
                        r.new.sum_to(part, to)
                    })
                    .collect();
                Some(concat(&mut r.new, 0, &sums))
            }
            Op::Slice {
                axis: 0,
                start,
                len,
            } => {
                // A product of which only slices are used: each slice becomes a product of its own.
                let Op::MatVec { transposed } = *g.op_of(xs[0]) else {
                    return None;
                };
                let all_slices = !g.is_output(xs[0])
                    && g.users(xs[0])
                        .all(|u| matches!(g.op_of(u), Op::Slice { axis: 0, .. }));
                if !all_slices {
                    return None;
                }
                let ys = g.operands(xs[0]);
                let (m, x) = (r.get(ys[0]), r.get(ys[1]));
                let block = slice(&mut r.new, usize::from(transposed), start, len, m);
                Some(r.new.op(Op::MatVec { transposed }, &[block, x]))
            }
            _ => None,
        }
    })
}

/// The parts of a concatenation along axis 0: start, length, value.
fn parts(g: &Graph, v: Value) -> Option<Vec<(usize, usize, Value)>> {
    if !matches!(g.op_of(v), Op::Concat { axis: 0 }) {
        return None;
    }
    let mut at = 0;
    Some(
        g.operands(v)
            .iter()
            .map(|&p| {
                let n = g.node(p).ty.shape.axis(0).expect("parts have the axis");
                at += n;
                (at - n, n, p)
            })
            .collect(),
    )
}
