//! *simplify*: constant folding, algebraic identities, common subexpressions and dead nodes.
//!
//! The identities are exact in floating point, or (a sum of zeros, a sum of n equal numbers) exact up to rounding.
//! x·0 is 0 only where the 0 is structural, that is, written or derived as a constant. What depends on a lower domain
//! alone is computed there: `spread` moves towards the outputs.

use retrograd_tape::{Algebra, Domain, Map, Op, Operands, Reduction, Shape, Type, Value};

use crate::graph::{Graph, as_map, constant, is_zero, rebuild_and_tell, zeros};

/// Simplifies until nothing changes. With `last` (no differentiation follows) `stop_gradient` goes too; until then, a value
/// whose adjoint is wanted stays a node of its own, whatever it equals.
pub fn simplify(g: &Graph, last: bool) -> Graph {
    let (mut g, mut changed) = round(g, last);
    for _ in 1..ROUNDS {
        if !changed {
            break;
        }
        (g, changed) = round(&g, last);
    }
    g
}

/// Most rounds. An op's rules see what its operands have become, so that a second round finds little and a third nothing;
/// each round's result is a program like any other.
const ROUNDS: usize = 32;

/// One round, and whether it changed anything.
fn round(g: &Graph, last: bool) -> (Graph, bool) {
    let mut delays: std::collections::HashMap<(Op, Operands), Value> = Default::default();
    let observed = g.observed();
    rebuild_and_tell(g, |r, v| {
        let op = *g.op_of(v);
        match op {
            Op::Input { .. } => None,
            Op::Delay(_) if observed.contains(&v) => None,
            op if observed.contains(&v) => {
                let xs = r.operands(v);
                Some(r.new.add(op, &xs, g.node(v).ty))
            }
            Op::Delay(_) => {
                // Equal delays are found here: their operands may only be compared in the old graph.
                let xs = g.operands(v);
                if is_zero(g, xs[0]) && is_zero(g, xs[1]) {
                    return Some(zeros(&mut r.new, g.node(v).ty));
                }
                match delays.get(&(op, xs.clone())) {
                    Some(&first) => Some(r.get(first)),
                    None => {
                        delays.insert((op, xs), v);
                        None
                    }
                }
            }
            op => {
                let xs = r.operands(v);
                Some(apply(&mut r.new, op, &xs, last))
            }
        }
    })
}

/// Applies an op, or gives the simpler value that equals its result.
fn apply(g: &mut Graph, op: Op, xs: &[Value], last: bool) -> Value {
    if let Some(v) = lower(g, op, xs, last) {
        return v;
    }
    let types: Vec<Type> = xs.iter().map(|&x| g.ty(x)).collect();
    let ty = op.infer(&types).expect("the operands fitted before");
    let simpler = match op {
        Op::Map(m) => map(g, m, xs, ty, last),
        Op::Reduce(r) => reduce(g, r, xs[0]),
        Op::Broadcast(shape) => match constant(g, xs[0]) {
            Some(c) => Some(g.constant(c, shape)),
            None if shape == Shape::Scalar => Some(xs[0]),
            None => None,
        },
        Op::Dot | Op::MatVec { .. } | Op::Outer { .. }
            if is_zero(g, xs[0]) || is_zero(g, xs[1]) =>
        {
            Some(zeros(g, ty))
        }
        Op::MatVec { .. } => scaled(g, op, xs, last),
        Op::Gather if is_zero(g, xs[0]) => Some(zeros(g, ty)),
        Op::Scatter { .. } if is_zero(g, xs[1]) => Some(zeros(g, ty)),
        Op::SumTo(to) if is_zero(g, xs[0]) || g.ty(xs[0]).domain == to => {
            Some(if g.ty(xs[0]).domain == to {
                xs[0]
            } else {
                zeros(g, ty)
            })
        }
        Op::Spread(to) => match *g.op_of(xs[0]) {
            _ if g.ty(xs[0]).domain == to => Some(xs[0]),
            Op::Spread(_) => {
                let inner = g.operands(xs[0])[0];
                Some(g.spread(inner, to))
            }
            _ => None,
        },
        Op::Boundary(_) if is_zero(g, xs[0]) && is_zero(g, xs[1]) => Some(zeros(g, ty)),
        Op::Reshape(shape) => reshape(g, shape, xs[0]),
        Op::Slice { axis, start, len } => Some(slice(g, axis, start, len, xs[0])),
        Op::Concat { axis } => Some(concat(g, axis, xs)),
        _ => None,
    };
    simpler.unwrap_or_else(|| g.op(op, xs))
}

/// (s M) x = s (M x) and (M ÷ s) x = (M x) ÷ s, where s is a number for each of the product's points: the scaled matrix
/// need not be.
fn scaled(g: &mut Graph, op: Op, xs: &[Value], last: bool) -> Option<Value> {
    let full = g.ty(xs[0]).domain.join(g.ty(xs[1]).domain)?;
    let number = |g: &Graph, v: Value| match g.op_of(v) {
        Op::Broadcast(_) if g.ty(v).domain == full => Some(g.operands(v)[0]),
        _ => None,
    };
    let (m, s, matrix) = match *g.op_of(xs[0]) {
        Op::Map(m @ (Map::Mul | Map::Div)) => {
            let ys = g.operands(xs[0]);
            match (number(g, ys[1]), number(g, ys[0])) {
                (Some(s), _) => (m, s, ys[0]),
                (None, Some(s)) if m == Map::Mul => (m, s, ys[1]),
                _ => return None,
            }
        }
        _ => return None,
    };
    let v = apply(g, op, &[matrix, xs[1]], last);
    let shape = g.ty(v).shape;
    let s = apply(g, Op::Broadcast(shape), &[s], last);
    Some(apply(g, Op::Map(m), &[v, s], last))
}

/// Σ A ∘ (u wᵀ) = u · A w, if `x` is such a product: the outer product need not be.
fn sum_with_outer(g: &mut Graph, x: Value) -> Option<Value> {
    let factors = as_map(g, x, Map::Mul)?;
    for (a, b) in [(factors[0], factors[1]), (factors[1], factors[0])] {
        let Op::Outer { to } = *g.op_of(b) else {
            continue;
        };
        if matches!(g.op_of(a), Op::Broadcast(_) | Op::Constant { .. }) {
            continue;
        }
        let uw = g.operands(b);
        let own = g.ty(uw[0]).domain.join(g.ty(uw[1]).domain);
        if own == Some(to) && to == g.ty(x).domain {
            let aw = apply(g, Op::MatVec { transposed: false }, &[a, uw[1]], false);
            return Some(apply(g, Op::Dot, &[uw[0], aw], false));
        }
    }
    None
}

/// Moves the op below the `spread` of its operands: it is computed in the lowest domain it varies over.
fn lower(g: &mut Graph, op: Op, xs: &[Value], last: bool) -> Option<Value> {
    if matches!(
        op,
        Op::Delay(_) | Op::Boundary(_) | Op::SumTo(_) | Op::Spread(_)
    ) {
        return None;
    }
    let bare: Operands = xs
        .iter()
        .map(|&x| {
            if matches!(g.op_of(x), Op::Spread(_)) {
                g.operands(x)[0]
            } else {
                x
            }
        })
        .collect();
    if bare.as_slice() == xs {
        return None;
    }
    let join = |vs: &[Value]| {
        vs.iter()
            .try_fold(Domain::Once, |d, &v| d.join(g.ty(v).domain))
    };
    let (full, low) = (join(xs)?, join(&bare)?);
    if full == low {
        return Some(apply(g, op, &bare, last));
    }
    if matches!(op, Op::Outer { .. } | Op::Scatter { .. }) {
        return None;
    }
    let v = apply(g, op, &bare, last);
    Some(g.spread(v, full))
}

fn map(g: &mut Graph, m: Map, xs: &[Value], ty: Type, last: bool) -> Option<Value> {
    let cs: Vec<Option<f64>> = xs.iter().map(|&x| constant(g, x)).collect();
    if cs.iter().all(Option::is_some) {
        let point: Vec<f64> = cs.iter().flatten().copied().collect();
        let c = g.constant((m.row().eval)(&point), ty.shape);
        return Some(g.spread(c, ty.domain));
    }
    let typed = |g: &mut Graph, v: Value| g.spread(v, ty.domain);
    match m {
        Map::Copy => Some(xs[0]),
        Map::StopGradient if last => Some(xs[0]),
        Map::Neg => as_map(g, xs[0], Map::Neg).map(|y| y[0]),
        Map::Add => {
            if cs[0] == Some(0.0) {
                return Some(typed(g, xs[1]));
            }
            if cs[1] == Some(0.0) {
                return Some(typed(g, xs[0]));
            }
            if let Some(y) = as_map(g, xs[1], Map::Neg) {
                return Some(g.map2(Map::Sub, xs[0], y[0]));
            }
            if let Some(y) = as_map(g, xs[0], Map::Neg) {
                return Some(g.map2(Map::Sub, xs[1], y[0]));
            }
            add_concats(g, xs[0], xs[1])
        }
        Map::Sub => {
            if cs[1] == Some(0.0) {
                return Some(typed(g, xs[0]));
            }
            if cs[0] == Some(0.0) {
                let v = g.map1(Map::Neg, xs[1]);
                return Some(typed(g, v));
            }
            let y = as_map(g, xs[1], Map::Neg)?;
            Some(g.map2(Map::Add, xs[0], y[0]))
        }
        Map::Mul => {
            for (c, other) in [(cs[0], xs[1]), (cs[1], xs[0])] {
                if c == Some(0.0) {
                    return Some(zeros(g, ty));
                }
                if c == Some(1.0) {
                    return Some(typed(g, other));
                }
                if c == Some(-1.0) {
                    let v = g.map1(Map::Neg, other);
                    return Some(typed(g, v));
                }
            }
            // Signs move outwards, where they meet sums.
            for (x, other) in [(xs[0], xs[1]), (xs[1], xs[0])] {
                if let Some(y) = as_map(g, x, Map::Neg) {
                    let v = apply(g, Op::Map(Map::Mul), &[y[0], other], last);
                    return Some(apply(g, Op::Map(Map::Neg), &[v], last));
                }
            }
            None
        }
        Map::Div if cs[0] == Some(0.0) => Some(zeros(g, ty)),
        Map::Div if cs[1] == Some(1.0) => Some(typed(g, xs[0])),
        Map::Select => match cs[0] {
            Some(c) => Some(typed(g, if c != 0.0 { xs[1] } else { xs[2] })),
            None if xs[1] == xs[2] => Some(typed(g, xs[1])),
            None => None,
        },
        _ => None,
    }
}

fn reduce(g: &mut Graph, r: Reduction, x: Value) -> Option<Value> {
    let shape = g.ty(x).shape;
    if shape == Shape::Scalar {
        return Some(x);
    }
    if r == Reduction::Sum
        && let Some(v) = sum_with_outer(g, x)
    {
        return Some(v);
    }
    // n equal numbers.
    let one = match *g.op_of(x) {
        Op::Broadcast(_) => g.operands(x)[0],
        Op::Constant { value, .. } => g.constant(value.0, Shape::Scalar),
        _ => return None,
    };
    match r {
        Reduction::Sum => {
            let n = g.constant(shape.len() as f64, Shape::Scalar);
            Some(apply(g, Op::Map(Map::Mul), &[one, n], false))
        }
        Reduction::Mean | Reduction::Max => Some(one),
    }
}

fn reshape(g: &mut Graph, shape: Shape, x: Value) -> Option<Value> {
    if g.ty(x).shape == shape {
        return Some(x);
    }
    match *g.op_of(x) {
        Op::Constant { value, .. } => Some(g.constant(value.0, shape)),
        Op::Reshape(_) => {
            let inner = g.operands(x)[0];
            Some(reshape(g, shape, inner).unwrap_or_else(|| g.op(Op::Reshape(shape), &[inner])))
        }
        Op::Broadcast(_) => {
            let inner = g.operands(x)[0];
            Some(g.broadcast(inner, shape))
        }
        _ => None,
    }
}

/// A slice, looked up in what it slices.
pub(crate) fn slice(g: &mut Graph, axis: usize, start: usize, len: usize, x: Value) -> Value {
    let shape = g.ty(x).shape;
    if shape.axis(axis) == Some(len) {
        return x;
    }
    match *g.op_of(x) {
        Op::Constant { value, .. } => g.constant(value.0, shape.with_axis(axis, len)),
        Op::Broadcast(_) => {
            let inner = g.operands(x)[0];
            g.broadcast(inner, shape.with_axis(axis, len))
        }
        Op::Slice {
            axis: a, start: s, ..
        } if a == axis => {
            let inner = g.operands(x)[0];
            slice(g, axis, s + start, len, inner)
        }
        Op::Concat { axis: a } if a == axis => {
            let mut parts = Vec::new();
            let mut at = 0;
            for part in g.operands(x) {
                let n = g.ty(part).shape.axis(axis).expect("parts have the axis");
                let (lo, hi) = (start.max(at), (start + len).min(at + n));
                if lo < hi {
                    parts.push(slice(g, axis, lo - at, hi - lo, part));
                }
                at += n;
            }
            concat(g, axis, &parts)
        }
        _ => g.op(Op::Slice { axis, start, len }, &[x]),
    }
}

/// Most parts that a concatenation has after nested ones have been joined to it: doubled eighteen times it would have a
/// quarter of a million.
const PARTS: usize = 1024;

/// A concatenation with nested ones, neighbouring zeros and neighbouring slices of one value joined.
pub(crate) fn concat(g: &mut Graph, axis: usize, xs: &[Value]) -> Value {
    let mut parts: Vec<Value> = Vec::new();
    let inner = |x: &Value| match *g.op_of(*x) {
        Op::Concat { axis: a } if a == axis => Some(g.operands(*x)),
        _ => None,
    };
    let parts_of = |x: &Value| inner(x).map_or(1, |all| all.len());
    let flat: Vec<Value> = match xs.iter().map(parts_of).sum::<usize>() <= PARTS.max(xs.len()) {
        true => xs
            .iter()
            .flat_map(|x| inner(x).map_or_else(|| vec![*x], |all| all.to_vec()))
            .collect(),
        false => xs.to_vec(),
    };
    for x in flat {
        let joined = parts.last().and_then(|&before| join(g, axis, before, x));
        match joined {
            Some(j) => *parts.last_mut().expect("there is one") = j,
            None => parts.push(x),
        }
    }
    match parts.as_slice() {
        [one] => *one,
        _ => g.op(Op::Concat { axis }, &parts),
    }
}

fn join(g: &mut Graph, axis: usize, a: Value, b: Value) -> Option<Value> {
    let (ta, tb) = (g.ty(a), g.ty(b));
    let len = ta.shape.axis(axis)? + tb.shape.axis(axis)?;
    match (*g.op_of(a), *g.op_of(b)) {
        (Op::Constant { value: x, .. }, Op::Constant { value: y, .. }) if x == y => {
            Some(g.constant(x.0, ta.shape.with_axis(axis, len)))
        }
        (
            Op::Slice {
                axis: i,
                start: s,
                len: n,
            },
            Op::Slice {
                axis: j, start: t, ..
            },
        ) if i == axis && j == axis && s + n == t && g.operands(a) == g.operands(b) => {
            let x = g.operands(a)[0];
            Some(slice(g, axis, s, len, x))
        }
        _ => None,
    }
}

/// The sum of two concatenations (the adjoints of slices are padded with zeros) is the concatenation of the sums where
/// their parts either coincide or one of them is zero.
fn add_concats(g: &mut Graph, a: Value, b: Value) -> Option<Value> {
    let (Op::Concat { axis }, Op::Concat { axis: other }) = (*g.op_of(a), *g.op_of(b)) else {
        return None;
    };
    if axis != other {
        return None;
    }
    let spans = |g: &Graph, v: Value| {
        let mut at = 0;
        let mut spans = Vec::new();
        for p in g.operands(v) {
            let n = g.ty(p).shape.axis(axis).expect("parts have the axis");
            spans.push((at, n, p));
            at += n;
        }
        spans
    };
    let (xs, ys) = (spans(g, a), spans(g, b));
    let (mut i, mut j) = (0, 0);
    let mut at = 0;
    let mut parts = Vec::new();
    while i < xs.len() {
        let ((xa, xn, x), (ya, yn, y)) = (xs[i], ys[j]);
        let (zero_x, zero_y) = (is_zero(g, x), is_zero(g, y));
        let end = (xa + xn).min(ya + yn);
        if zero_x || zero_y {
            let (v, start, n, zeros) = if zero_x {
                (y, ya, yn, &xs)
            } else {
                (x, xa, xn, &ys)
            };
            // A part that is not zero is taken whole or not at all; `concat` joins its pieces again.
            if !is_zero(g, v) && !covered(g, zeros, start, n) {
                return None;
            }
            parts.push(slice(g, axis, at - start, end - at, v));
        } else if xa == ya && xn == yn {
            parts.push(g.map2(Map::Add, x, y));
        } else {
            return None;
        }
        at = end;
        if at == xa + xn {
            i += 1;
        }
        if at == ya + yn {
            j += 1;
        }
    }
    Some(concat(g, axis, &parts))
}

/// True if all of `start .. start + n` is zero in `spans`.
fn covered(g: &Graph, spans: &[(usize, usize, Value)], start: usize, n: usize) -> bool {
    let first = spans.partition_point(|&(at, len, _)| at + len <= start);
    let meet = spans[first..].iter().take_while(|s| s.0 < start + n);
    meet.into_iter().all(|&(.., v)| is_zero(g, v))
}
