//! Which element-wise ops are computed in parts.

use retrograd_tape::{Op, Shape, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::worth;
use crate::graph::Graph;
use crate::passes::legalize::sums_over_points;

/// The element-wise ops that are connected, by operands with the same first axis, to a place where parts are cheaper
/// than the whole.
pub(super) fn in_parts(g: &Graph) -> HashSet<Value> {
    let order = g.order();
    let candidates: HashSet<Value> = (order.iter().copied()).filter(|&v| divides(g, v)).collect();
    let mut neighbours: HashMap<Value, Vec<Value>> = HashMap::default();
    let mut work: Vec<Value> = Vec::new();
    for &v in &order {
        if candidates.contains(&v) {
            for x in g.operands(v) {
                let x = source(g, x);
                if candidates.contains(&x) {
                    neighbours.entry(v).or_default().push(x);
                    neighbours.entry(x).or_default().push(v);
                } else if is_stretched(g, x) || is_outer_of_heads(g, x) {
                    work.push(v);
                }
            }
        }
        if let Op::ReduceAxis { axis, .. } = *g.op_of(v) {
            let x = g.operands(v)[0];
            let from = source(g, x);
            if folds(g, x, axis) && candidates.contains(&from) {
                work.push(from);
            }
        }
    }
    let mut found: HashSet<Value> = work.iter().copied().collect();
    while let Some(v) = work.pop() {
        let next = neighbours.get(&v).into_iter().flatten();
        work.extend(next.filter(|&&n| found.insert(n)));
    }
    found
}

/// The delays, and boundaries, of values in parts that are read part by part alone: they become one for each part.
pub(super) fn delays(g: &Graph, in_parts: &HashSet<Value>) -> HashSet<Value> {
    let order = g.order();
    let delayed = |v: Value| matches!(g.op_of(v), Op::Delay(_) | Op::Boundary(_));
    let of_parts = |v: Value| delayed(v) && in_parts.contains(&source(g, g.operands(v)[0]));
    let is_delay = |v: Value| matches!(g.op_of(v), Op::Delay(_));
    let mut found: HashSet<Value> = (order.iter().copied())
        .filter(|&v| of_parts(v) && is_delay(v) && by_part(g, v, in_parts))
        .collect();
    // A value is delayed as a whole or in parts.
    let whole: HashSet<Value> = (order.iter())
        .filter(|v| is_delay(**v) && !found.contains(v))
        .map(|&v| g.operands(v)[0])
        .collect();
    found.retain(|&v| !whole.contains(&g.operands(v)[0]));
    let moved: HashSet<Value> = found.iter().map(|&v| g.operands(v)[0]).collect();
    found.extend((order.into_iter()).filter(|&v| of_parts(v) && moved.contains(&g.operands(v)[0])));
    found
}

/// True if all that reads a value reads it part by part.
fn by_part(g: &Graph, v: Value, in_parts: &HashSet<Value>) -> bool {
    let mut work = vec![v];
    while let Some(x) = work.pop() {
        if g.is_output(x) {
            return false;
        }
        let first = |v: Value| g.node(v).ty.shape.axis(0);
        for u in g.users(x) {
            let heads = |of: Value| g.node(of).ty.shape.rank() == 3;
            let fits = match *g.op_of(u) {
                Op::Map(_) => in_parts.contains(&u),
                Op::MatVec { .. } => heads(g.operands(u)[0]),
                Op::Outer { .. } => heads(u),
                Op::ReduceAxis { axis, .. } => folds(g, x, axis),
                Op::Spread(_) | Op::Reshape(_) => {
                    work.push(u);
                    first(u) == first(x)
                }
                Op::Input { .. }
                | Op::Constant { .. }
                | Op::Zeros(_)
                | Op::Reduce(_)
                | Op::Dot
                | Op::Broadcast(_)
                | Op::Concat { .. }
                | Op::Slice { .. }
                | Op::Transpose(_)
                | Op::Gather
                | Op::Scatter { .. }
                | Op::Delay(_)
                | Op::Boundary(_)
                | Op::SumTo(_) => false,
            };
            if !fits {
                return false;
            }
        }
    }
    true
}

/// True if what is reduced lies side by side, part by part, so that each part is one fold.
fn folds(g: &Graph, x: Value, axis: usize) -> bool {
    let shape = g.node(x).ty.shape;
    axis > 0 && shape.around(axis) == (shape.axes()[0], 1)
}

/// True for an element-wise op whose result is worth computing in parts.
fn divides(g: &Graph, v: Value) -> bool {
    let shape = g.node(v).ty.shape;
    let count = shape.axis(0).unwrap_or(0);
    matches!(g.op_of(v), Op::Map(_)) && shape.rank() > 1 && worth(count, shape.len() / count)
}

/// What a value is, through views that leave the first axis as it is.
fn source(g: &Graph, v: Value) -> Value {
    let mut v = v;
    while let Op::Spread(_) | Op::Reshape(_) = g.op_of(v) {
        let x = g.operands(v)[0];
        if g.node(x).ty.shape.axis(0) != g.node(v).ty.shape.axis(0) {
            break;
        }
        v = x;
    }
    v
}

/// True for a value that is one number per part, or the same in all parts, or that is repeated within each part. What has
/// a number for each row is repeated lane by lane without parts.
fn is_stretched(g: &Graph, v: Value) -> bool {
    if !matches!(g.op_of(v), Op::Broadcast(_)) {
        return false;
    }
    let from = g.node(g.operands(v)[0]).ty.shape;
    let to = g.node(v).ty.shape;
    let stretched = |axis: usize| from.axis(axis) != to.axis(axis);
    from != Shape::Scalar
        && (stretched(0) || from.len() == to.axes()[0] || from.rank() == 3 && stretched(1))
}

/// True for an outer product of each head's own vectors: computed head by head, it needs no array where element-wise ops
/// read it part by part (*legalize*).
fn is_outer_of_heads(g: &Graph, v: Value) -> bool {
    matches!(g.op_of(v), Op::Outer { .. })
        && g.node(v).ty.shape.rank() == 3
        && !sums_over_points(g, v)
}
