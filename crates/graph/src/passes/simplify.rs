//! *simplify*: constant folding, algebraic identities, common subexpressions and dead nodes.
//!
//! The identities are exact in floating point, including infinities, NaN and the sign of zero; docs/IR.md, "What
//! rewriting may change", lists the two that round differently (constants, a sum of n equal numbers). x·0 is 0 only for
//! the zeros of a derivative ([`Op::Zeros`]); a written 0 is a number like any other. Factors do not move across sums:
//! s (M x) overflows where (s M) x does not. Work that depends on a lower domain alone is done there: `spread` moves
//! towards the outputs.

mod along_axes;
mod vanish;

use retrograd_tape::{Algebra, Domain, Map, Op, Operands, Reduction, Shape, Type, Value};

use crate::graph::{Graph, as_map, constant, is_zero, rebuild_and_tell, zeros};
use vanish::vanishes;

/// Simplifies until nothing changes. With `last` (no differentiation follows) `stop_gradient` is removed too; until
/// then, a value whose adjoint is requested stays a node of its own, even if an equal one exists.
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

/// The most rounds: a second finds little, a third nothing, and after any of them the program is valid.
const ROUNDS: usize = 32;

/// One round, and whether it changed anything.
fn round(g: &Graph, last: bool) -> (Graph, bool) {
    let mut delays: rustc_hash::FxHashMap<(Op, Operands), Value> = Default::default();
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
                // Equal delays are merged here: their operands can only be compared in the old graph.
                let xs = g.operands(v);
                let ty = g.node(v).ty;
                if vanishes(g, op, &xs) {
                    return Some(zeros(&mut r.new, ty));
                }
                if let Some(c) = kept(g, &xs) {
                    let c = r.new.constant(c, ty.shape);
                    return Some(r.new.spread(c, ty.domain));
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

/// Applies an op, or returns a simpler value equal to its result.
fn apply(g: &mut Graph, op: Op, xs: &[Value], last: bool) -> Value {
    if let Some(v) = lower(g, op, xs, last) {
        return v;
    }
    let types: Vec<Type> = xs.iter().map(|&x| g.ty(x)).collect();
    let ty = op.infer(&types).expect("the operands fitted before");
    let simpler = match op {
        op if vanishes(g, op, xs) => Some(zeros(g, ty)),
        Op::Map(m) => map(g, m, xs, ty, last),
        Op::Reduce(r) => reduce(g, r, xs[0], last),
        Op::ReduceAxis { kind, axis } => along_axes::reduce_axis(g, kind, axis, xs[0], last),
        Op::Transpose(order) => along_axes::transpose(g, order, xs[0]),
        Op::MatVec { transposed } => along_axes::matvec(g, transposed, xs),
        Op::Broadcast(shape) => match constant(g, xs[0]) {
            Some(c) => Some(g.constant(c, shape)),
            None if shape == g.ty(xs[0]).shape => Some(xs[0]),
            None if matches!(g.op_of(xs[0]), Op::Broadcast(_)) => {
                let inner = g.operands(xs[0])[0];
                Some(g.broadcast(inner, shape))
            }
            None => None,
        },
        Op::SumTo(to) if g.ty(xs[0]).domain == to => Some(xs[0]),
        Op::Spread(to) => match *g.op_of(xs[0]) {
            _ if g.ty(xs[0]).domain == to => Some(xs[0]),
            Op::Spread(_) => {
                let inner = g.operands(xs[0])[0];
                Some(g.spread(inner, to))
            }
            _ => None,
        },
        Op::Boundary(_) => kept(g, xs).map(|c| {
            let c = g.constant(c, ty.shape);
            g.spread(c, ty.domain)
        }),
        Op::Reshape(shape) => reshape(g, shape, xs[0]),
        Op::Slice { axis, start, len } => Some(slice(g, axis, start, len, xs[0])),
        Op::Concat { axis } => Some(concat(g, axis, xs)),
        _ => None,
    };
    simpler.unwrap_or_else(|| g.op(op, xs))
}

/// The constant value of a state whose delay or boundary has these operands: its initial value, which it keeps.
fn kept(g: &Graph, xs: &[Value]) -> Option<f64> {
    let (x, init) = (constant(g, xs[0])?, constant(g, xs[1])?);
    (x.to_bits() == init.to_bits()).then_some(x)
}

/// Moves the op below the `spread` of its operands: it is computed in the lowest domain it varies over.
fn lower(g: &mut Graph, op: Op, xs: &[Value], last: bool) -> Option<Value> {
    if matches!(
        op,
        Op::Delay(_) | Op::Boundary(_) | Op::SumTo(_) | Op::Spread(_)
    ) {
        return None;
    }
    // Each point's cotangent is limited, not their sum.
    if op == Op::Map(Map::ClipGradient) && !last {
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
        let y = (m.row().eval)(&point);
        if !point.iter().chain([&y]).all(|&x| in_range(x)) {
            return None;
        }
        let c = g.constant(y, ty.shape);
        return Some(g.spread(c, ty.domain));
    }
    let typed = |g: &mut Graph, v: Value| g.spread(v, ty.domain);
    let is = |i: usize, c: f64| cs[i].is_some_and(|x| x.to_bits() == c.to_bits());
    match m {
        Map::Copy => Some(xs[0]),
        Map::StopGradient | Map::WithGradient | Map::ClipGradient if last => Some(typed(g, xs[0])),
        Map::Neg => as_map(g, xs[0], Map::Neg).map(|y| y[0]),
        Map::Add => {
            #[cfg(feature = "faults")]
            if retrograd_tape::faults::active(retrograd_tape::faults::Fault::DroppedTerm)
                && xs.iter().all(|&x| *g.op_of(x) == Op::Map(Map::Mul))
            {
                return Some(typed(g, xs[0]));
            }
            // x + 0 is x except for x = -0; x + -0 is x.
            if is_zero(g, xs[0]) || is(0, -0.0) {
                return Some(typed(g, xs[1]));
            }
            if is_zero(g, xs[1]) || is(1, -0.0) {
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
            // x - 0 is x; 0 - x is -x except for x = 0; -0 - x is -x.
            if is_zero(g, xs[1]) || is(1, 0.0) {
                return Some(typed(g, xs[0]));
            }
            if is_zero(g, xs[0]) || is(0, -0.0) {
                let v = g.map1(Map::Neg, xs[1]);
                return Some(typed(g, v));
            }
            let y = as_map(g, xs[1], Map::Neg)?;
            Some(g.map2(Map::Add, xs[0], y[0]))
        }
        Map::Mul => {
            for (c, other) in [(cs[0], xs[1]), (cs[1], xs[0])] {
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
        Map::Div if cs[1] == Some(1.0) => Some(typed(g, xs[0])),
        Map::Select => match cs[0] {
            Some(c) => Some(typed(g, if c != 0.0 { xs[1] } else { xs[2] })),
            None if xs[1] == xs[2] => Some(typed(g, xs[1])),
            None => None,
        },
        _ => None,
    }
}

/// True for a scalar repeated, as opposed to a value with stretched axes.
fn repeats_one(g: &Graph, v: Value) -> bool {
    let from = |v: Value| g.ty(g.operands(v)[0]).shape;
    matches!(g.op_of(v), Op::Broadcast(_)) && from(v) == Shape::Scalar
}

fn reduce(g: &mut Graph, r: Reduction, x: Value, last: bool) -> Option<Value> {
    let shape = g.ty(x).shape;
    if shape == Shape::Scalar {
        return Some(x);
    }
    // n equal numbers.
    let one = match *g.op_of(x) {
        Op::Broadcast(_) if repeats_one(g, x) => g.operands(x)[0],
        Op::Constant { value, .. } => g.constant(value.0, Shape::Scalar),
        _ => return None,
    };
    match r {
        // No partial sum is greater than the sum.
        Reduction::Sum => {
            let n = g.constant(shape.len() as f64, Shape::Scalar);
            Some(apply(g, Op::Map(Map::Mul), &[one, n], false))
        }
        // The sum behind the mean may overflow.
        Reduction::Mean => None,
        // The derivative is shared by the elements that equal the maximum, and NaN equals none.
        Reduction::Max => last.then_some(one),
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
            Some(reshaped(g, shape, inner))
        }
        Op::Broadcast(_) if repeats_one(g, x) => {
            let inner = g.operands(x)[0];
            Some(g.broadcast(inner, shape))
        }
        _ => None,
    }
}

/// The same elements in another shape, resolved through other reshapes; the value itself if it has that shape.
pub(crate) fn reshaped(g: &mut Graph, shape: Shape, x: Value) -> Value {
    reshape(g, shape, x).unwrap_or_else(|| g.op(Op::Reshape(shape), &[x]))
}

/// True for a number that is the same in both widths, up to rounding. Only such constants are folded: numbers outside
/// the range of `f32` are left to the program, which may run in `f32`.
fn in_range(y: f64) -> bool {
    y == 0.0
        || !y.is_finite()
        || (f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&y.abs())
}

/// A slice, resolved through the op that it slices.
pub(crate) fn slice(g: &mut Graph, axis: usize, start: usize, len: usize, x: Value) -> Value {
    let shape = g.ty(x).shape;
    if shape.axis(axis) == Some(len) {
        return x;
    }
    match *g.op_of(x) {
        Op::Constant { value, .. } => g.constant(value.0, shape.with_axis(axis, len)),
        Op::Broadcast(_) => {
            let inner = g.operands(x)[0];
            // An axis that is not stretched is cut before the others are.
            let inner = match g.ty(inner).shape.axis(axis) {
                Some(n) if n > 1 => slice(g, axis, start, len, inner),
                _ => inner,
            };
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

/// Maximal number of parts after nested concatenations are flattened: one doubled eighteen times would have a quarter
/// of a million.
const PARTS: usize = 1024;

/// A concatenation with nested concatenations flattened, and neighbouring zeros and neighbouring slices of one value
/// joined.
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

/// A sum with a concatenation (the adjoints of slices are padded with zeros) is the concatenation of the sums where the
/// parts of two either coincide or one of them is zero, or where zeros are left out that way and no piece is short.
fn add_concats(g: &mut Graph, a: Value, b: Value) -> Option<Value> {
    let axis = [a, b].into_iter().find_map(|v| match *g.op_of(v) {
        Op::Concat { axis } => Some(axis),
        _ => None,
    })?;
    let spans = |g: &Graph, v: Value| {
        let length = |p: Value| g.ty(p).shape.axis(axis).expect("parts have the axis");
        let mut at = 0;
        let mut spans = Vec::new();
        match *g.op_of(v) {
            Op::Concat { axis: own } if own == axis => {
                for p in g.operands(v) {
                    spans.push((at, length(p), p));
                    at += length(p);
                }
            }
            _ => spans.push((0, length(v), v)),
        }
        spans
    };
    let (xs, ys) = (spans(g, a), spans(g, b));
    let is_delay = |v: Value| matches!(g.op_of(v), Op::Delay(_));
    // A state that is put together from pieces cannot stay in registers.
    let cut = !is_delay(a) && !is_delay(b) && is_worth_cutting(g, axis, &xs, &ys);
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
            // Otherwise a part is taken whole or not at all; `concat` joins its pieces again.
            if !is_zero(g, v) && !cut && !covered(g, zeros, start, n) {
                return None;
            }
            parts.push(slice(g, axis, at - start, end - at, v));
        } else if xa == ya && xn == yn {
            parts.push(g.map2(Map::Add, x, y));
        } else if cut {
            let x = slice(g, axis, at - xa, end - at, x);
            let y = slice(g, axis, at - ya, end - at, y);
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

/// A part of a concatenation: where it begins, its length, and its value.
type Span = (usize, usize, Value);

/// Whether parts should be cut where those of the other end, so that nothing is added to zeros: a lane loop over each piece
/// costs less, if they are few and long.
fn is_worth_cutting(g: &Graph, axis: usize, xs: &[Span], ys: &[Span]) -> bool {
    let zero = |s: &Span| is_zero(g, s.2);
    if axis != 0 || !xs.iter().chain(ys).any(zero) {
        return false;
    }
    let row = xs.first().map_or(1, |s| g.ty(s.2).shape.len() / s.1.max(1));
    let mut ends: Vec<usize> = xs.iter().chain(ys).map(|s| s.0 + s.1).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut from = 0;
    ends.len() <= MOST_PIECES
        && ends.iter().all(|&end| {
            let n = end - std::mem::replace(&mut from, end);
            n * row >= LEAST_PIECE
        })
}

/// The most pieces that a sum is cut into, and the least numbers of each: a vector of single precision.
const MOST_PIECES: usize = 16;
const LEAST_PIECE: usize = 16;

/// True if all of `start .. start + n` is zero in `spans`.
fn covered(g: &Graph, spans: &[Span], start: usize, n: usize) -> bool {
    let first = spans.partition_point(|&(at, len, _)| at + len <= start);
    let meet = spans[first..].iter().take_while(|s| s.0 < start + n);
    meet.into_iter().all(|&(.., v)| is_zero(g, v))
}
