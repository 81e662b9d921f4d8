//! Ordering sums, and joining products that are summed.

use retrograd_tape::{Algebra, Domain, Map, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::groups::{InsertionOrder, Rules, weight_product};
use super::stacks::stackable;
use crate::graph::{Graph, Rebuild, as_map, rebuild};
use crate::passes::components::{Class, Components};
use crate::passes::simplify::concat;

/// Puts sums in order and joins the products that are summed.
pub(super) fn sums(g: &Graph, rules: Rules) -> Graph {
    let distribute = rules.distribute;
    let c = rules.classes(g);
    let unrounded = rules.unrounded(g);
    let order = g.order().into_iter();
    let place: HashMap<Value, usize> = order.enumerate().map(|(i, v)| (v, i)).collect();
    // The position of a matrix in the forward stack: its transpose joins in the same order.
    let mut rank: HashMap<Value, usize> = HashMap::default();
    for group in stackable(g, &c, rules) {
        for (i, &v) in group.iter().enumerate() {
            rank.entry(g.operands(v)[0]).or_insert(i);
        }
    }
    let inner = |v: Value| {
        let mut users = g.users(v);
        let only = users
            .next()
            .filter(|_| users.next().is_none() && !g.is_output(v));
        as_map(g, v, Map::Add).is_some() && only.is_some_and(|u| as_map(g, u, Map::Add).is_some())
    };
    rebuild(g, |r, v| {
        as_map(g, v, Map::Add)?;
        if inner(v) {
            return None;
        }
        let mut terms = Vec::new();
        flatten(g, v, &inner, &mut terms);
        if !terms.iter().any(|&t| weight_product(g, t).is_some()) {
            return None;
        }
        let (products, rest): (Vec<Value>, Vec<Value>) = terms.iter().partition(|&&t| {
            weight_product(g, t).is_some() && g.node(t).ty.domain == g.node(v).ty.domain
        });
        let mut joined: Vec<(Class, Value)> = Vec::new();
        for group in joinable(g, &c, &products, distribute, &unrounded) {
            let class = c.class(group[0]);
            let mut group = group;
            let rank = |p: Value| rank.get(&g.operands(p)[0]).copied().unwrap_or(usize::MAX);
            group.sort_by_key(|&p| match distribute {
                true => rank(p),
                // The same for all gates, so that they can be stacked.
                false => place[&g.operands(p)[1]],
            });
            joined.push((class, join(r, &group)));
        }
        // A stable order: terms that a hoisted product can start from come right after it, terms that the loop adds
        // come last.
        let bias = |t: Value| g.node(t).ty.domain == Domain::Once;
        let (biases, rest): (Vec<Value>, Vec<Value>) = rest.into_iter().partition(|&t| bias(t));
        joined.sort_by_key(|(class, _)| *class);
        let (hoisted, inside): (Vec<_>, Vec<_>) = joined
            .into_iter()
            .partition(|(class, _)| *class == Class::Parallel);
        let mut all: Vec<Value> = hoisted.into_iter().map(|(_, p)| p).collect();
        let biases: Vec<Value> = biases.into_iter().map(|t| r.get(t)).collect();
        // Several biases become one, computed once.
        let bias = biases.into_iter().reduce(|a, b| r.new.map2(Map::Add, a, b));
        let (before, after) = if all.is_empty() {
            (None, bias)
        } else {
            (bias, None)
        };
        all.extend(before);
        all.extend(inside.into_iter().map(|(_, p)| p));
        all.extend(after);
        let mut rest = rest;
        rest.sort_by_key(|&t| (c.class(t), g.node(t).ty.domain));
        all.extend(rest.into_iter().map(|t| r.get(t)));
        all.into_iter().reduce(|a, b| r.new.map2(Map::Add, a, b))
    })
}

/// The terms of a sum of sums, from left to right.
fn flatten(g: &Graph, v: Value, inner: &dyn Fn(Value) -> bool, out: &mut Vec<Value>) {
    let mut work: Vec<Value> = g.operands(v).into_iter().rev().collect();
    while let Some(x) = work.pop() {
        if inner(x) {
            work.extend(g.operands(x).into_iter().rev());
        } else {
            out.push(x);
        }
    }
}

/// Groups the summed products whose operands can lie side by side in one array: results of element-wise ops of one
/// component that no delay reads. All others would have to be copied there, which pays where it saves one product per
/// step.
fn joinable(
    g: &Graph,
    c: &Components,
    products: &[Value],
    distribute: bool,
    unrounded: &HashSet<Value>,
) -> Vec<Vec<Value>> {
    let mut groups = InsertionOrder::new();
    for &p in products {
        let (transposed, w, x) = weight_product(g, p).expect("only products come here");
        let delayed = g
            .users(x)
            .any(|u| matches!(g.op_of(u), Op::Delay(_) | Op::Boundary(_)));
        let single = g.users(p).count() == 1 && !g.is_output(p);
        let in_place = matches!(g.op_of(x), Op::Map(_)) && !delayed;
        let free = single && (in_place || !distribute);
        // A product that cannot be joined is a group of its own.
        let alone = (!free).then_some(p);
        let apart = (unrounded.contains(&w), unrounded.contains(&x));
        groups.add((transposed, c.class(p), c.class(x), alone, apart), p);
    }
    groups.0.into_iter().map(|(_, members)| members).collect()
}

fn join(r: &mut Rebuild<'_>, group: &[Value]) -> Value {
    if let [one] = group {
        return r.get(*one);
    }
    let g = r.old;
    let (transposed, ..) = weight_product(g, group[0]).expect("only products come here");
    let matrices: Vec<Value> = group.iter().map(|&p| r.get(g.operands(p)[0])).collect();
    let vectors: Vec<Value> = group.iter().map(|&p| r.get(g.operands(p)[1])).collect();
    let m = concat(&mut r.new, usize::from(!transposed), &matrices);
    let x = concat(&mut r.new, 0, &vectors);
    r.new.op(Op::MatVec { transposed }, &[m, x])
}
