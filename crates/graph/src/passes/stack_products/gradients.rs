//! Weight gradients that share an operand, and gradients of biases that are parts of one sum.

use retrograd_tape::{Algebra, Op, Value};
use rustc_hash::FxHashMap as HashMap;

use super::groups::{InsertionOrder, Rules, Together, allowance, independent};
use crate::graph::{Graph, Rebuild, Rewrite, rewrite};
use crate::passes::halves::Halves;
use crate::passes::legalize::sums_over_points;
use crate::passes::simplify::{concat, slice};

/// Weight gradients that share their right operand become one of the joined left operands.
pub(super) fn gradients(g: &Graph, rules: Rules) -> Graph {
    let (c, halves) = (rules.classes(g), Halves::of(g));
    let order = g.order();
    // The δ that already lie side by side because a product joined them.
    let mut place: HashMap<Value, usize> = HashMap::default();
    for &v in order
        .iter()
        .filter(|&&v| matches!(g.op_of(v), Op::Concat { axis: 0 }))
    {
        for x in g.operands(v) {
            let next = place.len();
            place.entry(x).or_insert(next);
        }
    }
    let mut groups = InsertionOrder::new();
    for &v in &order {
        let Op::Outer { to } = *g.op_of(v) else {
            continue;
        };
        let xs = g.operands(v);
        // A gradient that sums over nothing is no weight gradient: joining it would save no product.
        if !matches!(g.op_of(xs[0]), Op::Map(_)) || !sums_over_points(g, v) {
            continue;
        }
        let (class, domain) = (c.class(xs[0]), g.node(xs[0]).ty.domain);
        groups.add((to, xs[1], class, domain, halves.is_late(v)), v);
    }
    let groups = groups
        .0
        .into_iter()
        .map(|(_, mut members)| {
            members.sort_by_key(|&v| place.get(&g.operands(v)[0]).copied().unwrap_or(usize::MAX));
            members
        })
        .filter(|members| members.len() > 1);
    let groups = independent(g, groups, |v| Some(g.operands(v)[0]), &mut allowance(g));
    Together::run(g, groups, 0, |r: &mut Rebuild<'_>, members: &[Value]| {
        let old = r.old;
        let lefts: Vec<Value> = members.iter().map(|&m| r.get(old.operands(m)[0])).collect();
        let left = concat(&mut r.new, 0, &lefts);
        let right = r.get(old.operands(members[0])[1]);
        r.new.op(*old.op_of(members[0]), &[left, right])
    })
}

/// Replaces the sum over time and batch of a part of a joined δ by a part of the sum of all of it.
pub(super) fn bias_gradients(g: &Graph) -> Graph {
    let halves = Halves::of(g);
    let mut place: HashMap<Value, (Value, usize)> = HashMap::default();
    let over_points = |v: Value| g.users(v).filter(|&u| sums_over_points(g, u));
    let is_outer = |u: Value| matches!(g.op_of(u), Op::Outer { .. });
    let is_sum = |u: Value| matches!(g.op_of(u), Op::SumTo(_));
    let joined = |v: &Value| matches!(g.op_of(*v), Op::Concat { axis: 0 });
    let order = g.order();
    // A weight gradient adds up its δ on the way. Where there is none, all parts are added up in any case.
    let with_outer = |v: &Value| over_points(*v).any(is_outer);
    let all_summed = |v: &Value| (g.operands(*v).iter()).all(|&x| over_points(x).any(is_sum));
    let first = order.iter().copied().filter(joined).filter(with_outer);
    let then = order.iter().copied().filter(joined).filter(all_summed);
    for v in first.chain(then) {
        let mut at = 0;
        for x in g.operands(v) {
            place.entry(x).or_insert((v, at));
            at += g.node(x).ty.shape.axis(0).expect("parts have the axis");
        }
    }
    let mut rule = |r: &mut Rebuild<'_>, v: Value| {
        let Op::SumTo(to) = *g.op_of(v) else {
            return None;
        };
        let x = g.operands(v)[0];
        let &(joined, start) = place.get(&x)?;
        let across = halves.is_late(joined) && !halves.is_late(v);
        if across || g.node(joined).ty.domain != g.node(x).ty.domain {
            return None;
        }
        let joined = r.want(&mut Unchanged, joined);
        let total = r.new.sum_to(joined, to);
        let len = g.node(x).ty.shape.axis(0)?;
        Some(slice(&mut r.new, 0, start, len, total))
    };
    rewrite(g, &mut rule)
}

/// Copies what is requested. The operands of a joined δ contain no sum of it.
struct Unchanged;
impl Rewrite for Unchanged {
    fn rewrite(&mut self, _: &mut Rebuild<'_>, _: Value) -> Option<Value> {
        None
    }
}
