//! *centred*: what values differ from their mean by adds up to 0.
//!
//! x - mean(x), and its product with a number, are terms of the derivative of a variance. That derivative is summed again,
//! for the mean's own share, and the sum would have to wait for the variance's, which is a sum itself. Those terms are left
//! out. What is left is a sum beside the variance's, as in a layer norm's backward step by hand (Ba et al. 2016): a row is
//! gone through twice, not three times.
//!
//! Such a sum differs by the rounding of the terms left out, and does not become infinite or NaN because of them. One of
//! nothing else stays: its rounding is what the program asks for. The derivative would be another with a sum in its place,
//! so this runs after all derivations.

use retrograd_tape::{Algebra, Map, Op, Reduction, Shape, Value};

use crate::graph::{Graph, as_map, constant, rebuild};

/// Whether a value of the program is centred, in any way.
pub(crate) fn needed(g: &Graph) -> bool {
    let order = g.order();
    let mut all = order.iter().filter_map(|&v| as_map(g, v, Map::Sub));
    all.any(|xs| mean_of(g, xs[1]).is_some_and(|(of, _)| of == xs[0]))
}

/// Leaves centred terms out of sums.
pub fn centred(g: &Graph) -> Graph {
    rebuild(g, |r, v| {
        let op = *r.old.op_of(v);
        let (kind, along) = reduction(op)?;
        let x = r.operands(v)[0];
        let found = without(&mut r.new, along, x, LEVELS)?;
        let (left, negative) = found.filter(|_| kind != Reduction::Max)?;
        let sum = r.new.op(op, &[left]);
        Some(match negative {
            true => r.new.map1(Map::Neg, sum),
            false => sum,
        })
    })
}

/// Sums and products that are looked into, one within the other.
const LEVELS: usize = 8;

/// The numbers that a mean or a sum is taken of: all, or those along an axis.
type Along = Option<usize>;

fn reduction(op: Op) -> Option<(Reduction, Along)> {
    match op {
        Op::Reduce(kind) => Some((kind, None)),
        Op::ReduceAxis { kind, axis } => Some((kind, Some(axis))),
        _ => None,
    }
}

/// A sum of other terms, and whether it is to be subtracted.
type Signed = (Value, bool);

/// A sum without its centred terms, if it has any; within, `None` if nothing else is left.
fn without(g: &mut Graph, along: Along, x: Value, levels: usize) -> Option<Option<Signed>> {
    if is_centred(g, along, x, levels) {
        return Some(None);
    }
    let Op::Map(m @ (Map::Add | Map::Sub | Map::Neg)) = *g.op_of(x) else {
        return None;
    };
    let levels = levels.checked_sub(1)?;
    let xs = g.operands(x);
    let left: Vec<_> = xs.iter().map(|&x| without(g, along, x, levels)).collect();
    if left.iter().all(Option::is_none) {
        return None;
    }
    let terms = left.into_iter().zip(xs).enumerate();
    let signed = terms.filter_map(|(k, (left, x))| {
        let (x, negative) = left.unwrap_or(Some((x, false)))?;
        let subtracted = m == Map::Neg || m == Map::Sub && k == 1;
        Some((x, negative != subtracted))
    });
    Some(
        signed.reduce(|(a, minus_a), (b, minus_b)| match (minus_a, minus_b) {
            (true, false) => (g.map2(Map::Sub, b, a), false),
            (same, other) if same == other => (g.map2(Map::Add, a, b), same),
            _ => (g.map2(Map::Sub, a, b), false),
        }),
    )
}

/// Whether a value adds up to 0: what another differs from its mean by, or its product with a number.
fn is_centred(g: &Graph, along: Along, v: Value, levels: usize) -> bool {
    let (&Op::Map(m), Some(levels)) = (g.op_of(v), levels.checked_sub(1)) else {
        return false;
    };
    let xs = g.operands(v);
    let centred = |k: usize| is_centred(g, along, xs[k], levels);
    match m {
        Map::Sub => mean_of(g, xs[1]) == Some((xs[0], along)),
        Map::Neg => centred(0),
        Map::Mul => {
            repeats(g, along, xs[0]) && centred(1) || repeats(g, along, xs[1]) && centred(0)
        }
        Map::Div => repeats(g, along, xs[1]) && centred(0),
        _ => false,
    }
}

/// What a value is the repeated mean of, and along what.
fn mean_of(g: &Graph, v: Value) -> Option<(Value, Along)> {
    let Op::Broadcast(shape) = *g.op_of(v) else {
        return None;
    };
    let kept = g.operands(v)[0];
    let mean = match g.op_of(kept) {
        Op::Reshape(_) => g.operands(kept)[0],
        _ => kept,
    };
    let (kind, along) = reduction(*g.op_of(mean))?;
    // The axis alone is repeated, in its old place.
    let there = match along {
        None => g.ty(kept).shape == Shape::Scalar,
        Some(axis) => g.ty(kept).shape == shape.with_axis(axis, 1),
    };
    let of = g.operands(mean)[0];
    (kind == Reduction::Mean && there && g.ty(of).shape == shape).then_some((of, along))
}

/// Whether the numbers that a sum is taken of are all the same.
fn repeats(g: &Graph, along: Along, v: Value) -> bool {
    if constant(g, v).is_some() {
        return true;
    }
    let Op::Broadcast(_) = g.op_of(v) else {
        return false;
    };
    let from = g.ty(g.operands(v)[0]).shape;
    from == Shape::Scalar || along.is_some_and(|axis| from.axis(axis) == Some(1))
}
