//! *centred*: deviations from the mean add up to 0.
//!
//! x − mean(x), and its product with a number, are terms of the derivative of a variance. That derivative is summed again,
//! for the mean's own share, and the sum would have to wait for the variance's, which is a sum itself. Those terms are left
//! out. What remains is a sum beside the variance's, as in a layer norm's backward step by hand (Ba et al. 2016), which
//! takes two passes over a row, not three.
//!
//! Such a sum does not have the rounding error of the terms left out, and is not infinite or NaN because of them. A sum of
//! nothing else stays: its rounding error is what the program asks for. The deviations from a mean whose gradient is
//! stopped add up to 0, but their derivatives do not, so this runs after all derivations, when `stop_gradient` is gone.

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
        let (Reduction::Sum | Reduction::Mean, along) = reduction(op)? else {
            return None;
        };
        let x = r.operands(v)[0];
        match without(&mut r.new, along, x, LEVELS) {
            Left::All | Left::Nothing => None,
            Left::Terms(x) => Some(r.new.op(op, &[x])),
            Left::Negated(x) => {
                let sum = r.new.op(op, &[x]);
                Some(r.new.map1(Map::Neg, sum))
            }
        }
    })
}

/// Sums and products that are looked into, one within the other; what is deeper stays.
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

/// What is left of a value without its centred terms.
#[derive(Clone, Copy)]
enum Left {
    /// The value itself: it has none.
    All,
    Nothing,
    /// This sum.
    Terms(Value),
    /// This sum with the other sign.
    Negated(Value),
}

impl Left {
    fn negated(self) -> Left {
        match self {
            Left::Terms(x) => Left::Negated(x),
            Left::Negated(x) => Left::Terms(x),
            Left::All | Left::Nothing => self,
        }
    }
}

fn without(g: &mut Graph, along: Along, x: Value, levels: usize) -> Left {
    if is_centred(g, along, x, levels) {
        return Left::Nothing;
    }
    let Op::Map(m @ (Map::Add | Map::Sub | Map::Neg)) = *g.op_of(x) else {
        return Left::All;
    };
    let Some(levels) = levels.checked_sub(1) else {
        return Left::All;
    };
    let xs = g.operands(x);
    if m == Map::Neg {
        return without(g, along, xs[0], levels).negated();
    }
    let found = [xs[0], xs[1]].map(|x| (without(g, along, x, levels), x));
    if found.iter().all(|(left, _)| matches!(left, Left::All)) {
        return Left::All;
    }
    let [a, b] = found.map(|(left, x)| match left {
        Left::All => Left::Terms(x),
        less => less,
    });
    let b = if m == Map::Sub { b.negated() } else { b };
    match (a, b) {
        (Left::Terms(a), Left::Terms(b)) => Left::Terms(g.map2(Map::Add, a, b)),
        (Left::Terms(a), Left::Negated(b)) | (Left::Negated(b), Left::Terms(a)) => {
            Left::Terms(g.map2(Map::Sub, a, b))
        }
        (Left::Negated(a), Left::Negated(b)) => Left::Negated(g.map2(Map::Add, a, b)),
        (Left::Nothing | Left::All, other) | (other, Left::Nothing | Left::All) => other,
    }
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
