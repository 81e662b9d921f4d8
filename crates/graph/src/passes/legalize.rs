//! *legalize*: inserts copies where a value needs an array of its own.
//!
//! It establishes what the plan assumes: everything that a product or a sum over points reads has an array (a
//! constant or a repeated scalar has none); the operand of every delay and boundary is a computed value (so that it
//! can be stored with boundary rows beside it), and all its delays in one direction have the same initial values; and
//! every output is computed into an array of its own, or is a slice of a sum that is cut into outputs. *simplify*
//! drops every `copy`, so all copies in a plan come from this pass. A delay of a reshaped value becomes the reshape
//! of a delay, which needs none.

use retrograd_tape::{Algebra, Domain, Map, Op, Shape, Type, Value};
use rustc_hash::FxHashMap as HashMap;

use crate::graph::{Graph, Rebuild, rebuild};
use crate::passes::simplify::reshaped;
use crate::plan::ROW;

/// Inserts the copies.
pub fn legalize(g: &Graph) -> Graph {
    outputs(&delays(&arrays(&reshapes(&sums(g)))))
}

/// Delays what a reshape reshapes, and reshapes it afterwards: a value that has an array needs no copy to be delayed.
fn reshapes(g: &Graph) -> Graph {
    let inner = |v: Value| {
        let x = g.operands(v)[0];
        let from = matches!(g.op_of(x), Op::Reshape(_)).then(|| g.operands(x)[0])?;
        (computed(g, from) && g.node(from).ty.domain == Domain::Step).then_some(from)
    };
    let delayed = |v: Value| matches!(g.op_of(v), Op::Delay(_) | Op::Boundary(_));
    if !g
        .order()
        .into_iter()
        .any(|v| delayed(v) && inner(v).is_some())
    {
        return g.clone();
    }
    let mut r = Rebuild::new(g);
    let mut waiting = Vec::new();
    for v in g.order() {
        let shape = g.node(v).ty.shape;
        let becomes = match (*g.op_of(v), delayed(v).then(|| inner(v)).flatten()) {
            (Op::Delay(d), Some(x)) => {
                let delay = r.new.open_delay(d, g.node(x).ty.shape);
                r.new.label(delay, g.node(v).name.clone(), None);
                waiting.push((delay, x, g.operands(v)[1]));
                delay
            }
            (op, Some(x)) => {
                // x comes before its boundary.
                let init = r.get(g.operands(v)[1]);
                let init = reshaped(&mut r.new, g.node(x).ty.shape, init);
                let x = r.get(x);
                r.new.op(op, &[x, init])
            }
            (_, None) => {
                r.copy(v);
                continue;
            }
        };
        let becomes = reshaped(&mut r.new, shape, becomes);
        r.set(v, becomes);
    }
    for (delay, x, init) in waiting {
        let init = r.get(init);
        let init = reshaped(&mut r.new, g.node(x).ty.shape, init);
        let x = r.get(x);
        r.new.close_delay(delay, x, init);
    }
    r.finish()
}

/// Removes sums over nothing, which *simplify* drops if it runs.
fn sums(g: &Graph) -> Graph {
    rebuild(g, |r, v| match g.op_of(v) {
        Op::SumTo(_) if !sums_over_points(g, v) => Some(r.get(g.operands(v)[0])),
        _ => None,
    })
}

fn copy_of(g: &mut Graph, v: Value) -> Value {
    let ty = g.node(v).ty;
    let name = g.node(v).name.clone();
    let copy = g.add(Op::Map(Map::Copy), &[v], ty);
    g.label(copy, name, None);
    copy
}

/// True if the plan gives the value an array of its own.
pub(crate) fn computed(g: &Graph, v: Value) -> bool {
    matches!(
        g.op_of(v),
        Op::Map(_)
            | Op::Reduce(_)
            | Op::Dot
            | Op::MatVec { .. }
            | Op::Gather
            | Op::Transpose(_)
            | Op::Concat { .. }
    )
}

fn arrays(g: &Graph) -> Graph {
    rebuild(g, |r, v| match g.op_of(v) {
        // No later pass removes multiplications by zeros: from here on they are a constant.
        Op::Zeros(shape) => Some(r.new.constant(0.0, *shape)),
        Op::MatVec { .. } if is_weight_product(g, v) => {
            let xs = g.operands(v);
            let (m, x) = (array(r, xs[0]), at_every_point(r, xs[1]));
            Some(r.new.op(*g.op_of(v), &[m, x]))
        }
        Op::Outer { .. } if is_element_wise_outer(g, v) => {
            let xs = g.operands(v);
            let (a, b) = (array(r, xs[0]), array(r, xs[1]));
            Some(element_wise_outer(&mut r.new, a, b, g.node(v).ty.shape))
        }
        Op::MatVec { .. }
        | Op::Outer { .. }
        | Op::Gather
        | Op::Transpose(_)
        | Op::Scatter { .. }
        | Op::SumTo(_)
        | Op::Slice { axis: 1, .. }
        | Op::Concat { axis: 1 } => {
            let xs: Vec<Value> = g.operands(v).iter().map(|&x| array(r, x)).collect();
            Some(r.new.op(*g.op_of(v), &xs))
        }
        // Rows are repeated from an array, as a whole.
        Op::Broadcast(to) if is_stretched(g, v) => {
            let x = array(r, g.operands(v)[0]);
            if to.as_matrix().1.is_multiple_of(ROW) || r.new.ty(x).shape.len() == 1 {
                return Some(r.new.op(*g.op_of(v), &[x]));
            }
            Some(repeated(&mut r.new, x, *to))
        }
        Op::Slice { axis: 0, .. } if stretches(g, g.operands(v)[0]) => {
            let x = array(r, g.operands(v)[0]);
            Some(r.new.op(*g.op_of(v), &[x]))
        }
        _ => None,
    })
}

/// True for a value with stretched axes, as opposed to a scalar repeated.
fn is_stretched(g: &Graph, v: Value) -> bool {
    let from = |v: Value| g.node(g.operands(v)[0]).ty.shape;
    matches!(g.op_of(v), Op::Broadcast(_)) && from(v) != Shape::Scalar
}

/// Rows that are no whole vectors, repeated by a product with ones. (*unbatch* makes such a product itself, but a later
/// pass may cut rows.)
fn repeated(g: &mut Graph, x: Value, to: Shape) -> Value {
    let Type { shape, domain } = g.ty(x);
    let (rows, columns) = to.as_matrix();
    let vector = reshaped(g, Shape::Vector(shape.len()), x);
    let ones = |g: &mut Graph, n: usize| {
        let ones = g.constant(1.0, Shape::Vector(n));
        g.map1(Map::Copy, ones)
    };
    let pair = match shape.axis(0) == Some(rows) {
        true => [vector, ones(g, columns)],
        false => [ones(g, rows), vector],
    };
    g.op(Op::Outer { to: domain }, &pair)
}

/// Numbers of a row of an outer product that its readers make themselves: whole vectors of 64 bytes, and no more of them than
/// the second back end holds.
const ROW_OF_OUTER: std::ops::RangeInclusive<usize> = 16..=256;

/// True for an outer product of a point's own vectors that element-wise work alone reads, and whose rows are whole vectors:
/// the loop that reads it repeats the vectors, and their product needs no array for that.
fn is_element_wise_outer(g: &Graph, v: Value) -> bool {
    let reads = |u: Value| matches!(g.op_of(u), Op::Map(_) | Op::Reduce(_) | Op::Dot);
    let (rows, columns) = g.node(v).ty.shape.as_matrix();
    !sums_over_points(g, v)
        && rows > 1
        && ROW_OF_OUTER.contains(&columns)
        && columns.is_multiple_of(*ROW_OF_OUTER.start())
        && !g.is_output(v)
        && g.users(v).all(reads)
}

/// `a bᵀ` as a product of the repeated vectors.
fn element_wise_outer(g: &mut Graph, a: Value, b: Value, to: Shape) -> Value {
    let (rows, columns) = to.as_matrix();
    let a = reshaped(g, Shape::Matrix(rows, 1), a);
    let b = reshaped(g, Shape::Matrix(1, columns), b);
    let (a, b) = (g.broadcast(a, to), g.broadcast(b, to));
    g.map2(Map::Mul, a, b)
}

/// True for a view of a value with stretched axes.
fn stretches(g: &Graph, v: Value) -> bool {
    let mut v = v;
    while let Op::Slice { .. } | Op::Reshape(_) | Op::Spread(_) = g.op_of(v) {
        v = g.operands(v)[0];
    }
    is_stretched(g, v)
}

/// True if `v` is a product of a matrix of domain `once` with vectors: it may be one product over all points.
fn is_weight_product(g: &Graph, v: Value) -> bool {
    let xs = g.operands(v);
    let domain = |k: usize| g.node(xs[k]).ty.domain;
    matches!(g.op_of(v), Op::MatVec { .. })
        && domain(0) == Domain::Once
        && domain(1) != Domain::Once
}

/// As [`array`], with a copy also where there are fewer vectors than points: a product over a domain treats its points'
/// vectors as contiguous rows. (*simplify* leaves no such case: it computes a product of equal vectors once.)
fn at_every_point(r: &mut Rebuild<'_>, x: Value) -> Value {
    let op = *r.old.op_of(x);
    match op {
        Op::Spread(_) => {
            let there = r.get(x);
            r.new.map1(Map::Copy, there)
        }
        Op::Slice { axis: 0, .. } | Op::Reshape(_) => {
            let inner = at_every_point(r, r.old.operands(x)[0]);
            r.new.op(op, &[inner])
        }
        _ => array(r, x),
    }
}

/// The new value of `x`, with a copy where it has no array.
fn array(r: &mut Rebuild<'_>, x: Value) -> Value {
    let op = *r.old.op_of(x);
    match op {
        Op::Constant { .. } | Op::Zeros(_) | Op::Broadcast(_) => {
            let there = r.get(x);
            r.new.map1(Map::Copy, there)
        }
        Op::Slice { .. } | Op::Reshape(_) | Op::Spread(_) => {
            let inner = array(r, r.old.operands(x)[0]);
            r.new.op(op, &[inner])
        }
        Op::Concat { .. } if r.old.node(x).ty.shape.rank() == 2 => {
            let parts: Vec<Value> = r.old.operands(x).iter().map(|&p| array(r, p)).collect();
            r.new.op(op, &parts)
        }
        _ => r.get(x),
    }
}

fn delays(g: &Graph) -> Graph {
    // Which initial values share an array: keyed by operand, direction, initial value, and length where that varies by
    // slot.
    let mut arrays: HashMap<(Value, bool), (Value, usize)> = HashMap::default();
    let mut copies: HashMap<(Value, bool, Value, usize), ()> = HashMap::default();
    let fits = |arrays: &HashMap<(Value, bool), (Value, usize)>, x: Value, d: i32, init: Value| {
        let slots = if matches!(g.node(init).ty.domain, Domain::BoundarySlots(_)) {
            d.unsigned_abs() as usize
        } else {
            0
        };
        match arrays.get(&(x, d > 0)) {
            None => (true, slots),
            Some(&(other, n)) => (other == init && n == slots, slots),
        }
    };
    for v in g.order() {
        if let &(Op::Delay(d) | Op::Boundary(d)) = g.op_of(v) {
            let xs = g.operands(v);
            let (ok, slots) = fits(&arrays, xs[0], d, xs[1]);
            if computed(g, xs[0]) && ok {
                arrays.insert((xs[0], d > 0), (xs[1], slots));
            } else {
                copies.insert((xs[0], d > 0, xs[1], slots), ());
            }
        }
    }
    if copies.is_empty() {
        return g.clone();
    }
    let mut r = Rebuild::new(g);
    let mut made: HashMap<(Value, bool, Value, usize), Value> = HashMap::default();
    let mut waiting = Vec::new();
    for v in g.order() {
        let key = |d: i32| {
            let xs = g.operands(v);
            let slots = if matches!(g.node(xs[1]).ty.domain, Domain::BoundarySlots(_)) {
                d.unsigned_abs() as usize
            } else {
                0
            };
            (xs[0], d > 0, xs[1], slots)
        };
        match *g.op_of(v) {
            Op::Input { .. } => {}
            Op::Delay(d) if copies.contains_key(&key(d)) => {
                let n = r.new.open_delay(d, g.node(v).ty.shape);
                r.set(v, n);
                waiting.push((n, key(d)));
            }
            Op::Boundary(d) if copies.contains_key(&key(d)) => {
                // x comes before its boundary, so the copy can be made here.
                let k = key(d);
                let x = r.get(k.0);
                let copy = *made.entry(k).or_insert_with(|| copy_of(&mut r.new, x));
                let init = r.get(k.2);
                let ty = g.node(v).ty;
                let b = r.new.add(Op::Boundary(d), &[copy, init], ty);
                r.set(v, b);
            }
            _ => {
                r.copy(v);
            }
        }
    }
    for (n, k) in waiting {
        let x = r.get(k.0);
        let copy = *made.entry(k).or_insert_with(|| copy_of(&mut r.new, x));
        let init = r.get(k.2);
        r.new.close_delay(n, copy, init);
    }
    r.finish()
}

/// True if `v` is a sum over points of its operands: it varies over less than they do together. An outer product is
/// none if `to` covers everything that they vary over, as in the gradient of a matrix of parameters that is multiplied
/// by a parameter.
pub(crate) fn sums_over_points(g: &Graph, v: Value) -> bool {
    let types: Vec<Type> = g.operands(v).iter().map(|&x| g.node(x).ty).collect();
    let sum = matches!(
        g.op_of(v),
        Op::Outer { .. } | Op::Scatter { .. } | Op::SumTo(_)
    );
    sum && g.op_of(v).work_domain(&types) != g.node(v).ty.domain
}

/// True if `v` is a sum over points that is cut into outputs and has no other use.
pub(crate) fn cut_into_outputs(g: &Graph, v: Value) -> bool {
    let sums = matches!(
        *g.op_of(v),
        Op::Outer { to: Domain::Once } | Op::SumTo(Domain::Once)
    ) && sums_over_points(g, v);
    let mut covered = 0;
    let mut seen = rustc_hash::FxHashSet::default();
    sums && !g.is_output(v)
        && g.users(v).all(|u| {
            covered += g.node(u).ty.shape.len();
            let slice = matches!(g.op_of(u), Op::Slice { axis: 0, .. });
            slice && g.times_output(u) == 1 && g.users(u).next().is_none() && seen.insert(u)
        })
        && covered == g.node(v).ty.shape.len()
}

fn outputs(g: &Graph) -> Graph {
    // Not a rebuild: that would merge two copies of one value.
    let mut new = g.clone();
    let mut taken = rustc_hash::FxHashSet::default();
    // Slices that are outputs in place stay, and a value with a copy of an output is not cut: the first answer is kept.
    let mut cut: HashMap<Value, bool> = HashMap::default();
    for k in 0..new.outputs().len() {
        let v = new.outputs()[k].value;
        let in_place = match new.op_of(v) {
            Op::Slice { axis: 0, .. } => {
                let sum = new.operands(v)[0];
                *cut.entry(sum)
                    .or_insert_with(|| cut_into_outputs(&new, sum))
            }
            Op::Outer { to: Domain::Once } | Op::SumTo(Domain::Once) => {
                new.users(v).next().is_none()
            }
            _ => {
                let shared = new.users(v).any(|u| {
                    matches!(
                        new.op_of(u),
                        Op::Delay(_) | Op::Boundary(_) | Op::Concat { .. } | Op::Map(Map::Add)
                    )
                });
                computed(&new, v) && !shared && !matches!(new.op_of(v), Op::Concat { .. })
            }
        };
        if !in_place || !taken.insert(v) {
            let copy = copy_of(&mut new, v);
            new.set_output(k, copy);
        }
    }
    new.prune();
    new
}
