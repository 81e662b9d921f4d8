//! Products that share an operand as slices of one, and sums of such slices as slices of a sum.

use retrograd_tape::{Algebra, Domain, Map, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use super::groups::{InsertionOrder, Rules, Together, allowance, independent, weight_product};
use crate::graph::{Graph, Rebuild, as_map};
use crate::passes::components::Components;
use crate::passes::halves::Halves;
use crate::passes::simplify::concat;
use crate::work::Allowance;

/// The activation that a product feeds: the first nonlinear op on a path of sums, products and slices; none if the
/// search takes too long.
pub(super) fn activation(g: &Graph, v: Value, left: &mut Allowance) -> usize {
    let mut level = vec![v];
    let mut seen: HashSet<Value> = HashSet::default();
    for _ in 0..6 {
        let mut next = Vec::new();
        let mut best = None;
        for &x in &level {
            for u in g.users(x) {
                if !left.spend(1) {
                    return 0;
                }
                match *g.op_of(u) {
                    Op::Map(Map::Add | Map::Sub | Map::Mul | Map::Neg | Map::Div)
                    | Op::Slice { .. } => next.extend(seen.insert(u).then_some(u)),
                    Op::Map(m) => best = best.max(Some(m as usize + 1)),
                    _ => {}
                }
            }
        }
        if let Some(found) = best {
            return found;
        }
        level = next;
    }
    0
}

/// Products that can be stacked: same operand, orientation and component. Each group is in stacking order.
pub(super) fn stackable(g: &Graph, c: &Components, rules: Rules) -> Vec<Vec<Value>> {
    let order = g.order();
    let halves = Halves::of(g);
    let unrounded = rules.unrounded(g);
    let mut groups = InsertionOrder::new();
    for &v in &order {
        if let Some((transposed, w, x)) = weight_product(g, v) {
            let apart = unrounded.contains(&w);
            groups.add((transposed, x, c.class(v), halves.is_late(v), apart), v);
        }
    }
    let place: HashMap<Value, usize> = order.iter().enumerate().map(|(i, &v)| (v, i)).collect();
    let left = &mut allowance(g);
    let groups: Vec<Vec<Value>> = (groups.0.into_iter().map(|(_, members)| members))
        .filter(|members| members.len() > 1)
        .map(|mut members| {
            members.sort_by_cached_key(|&v| (std::cmp::Reverse(activation(g, v, left)), place[&v]));
            members
        })
        .collect();
    // Weights that are computed from one of the products cannot be stacked with it.
    independent(g, groups.into_iter(), |v| Some(g.operands(v)[0]), left)
}

/// Stacks products that share their operand.
pub(super) fn stacks(g: &Graph, rules: Rules) -> Graph {
    let groups = stackable(g, &rules.classes(g), rules);
    Together::run(g, groups, 0, |r: &mut Rebuild<'_>, members: &[Value]| {
        let old = r.old;
        let (transposed, _, x) =
            weight_product(old, members[0]).expect("only products are stacked");
        let matrices: Vec<Value> = members.iter().map(|&m| r.get(old.operands(m)[0])).collect();
        let m = concat(&mut r.new, usize::from(transposed), &matrices);
        let x = r.get(x);
        r.new.op(Op::MatVec { transposed }, &[m, x])
    })
}

/// Sums of slices of two stacks, or of a stack's slices and biases, part by part, become slices of one sum. Repeated
/// for further stacks, as one sum may have several.
pub(super) fn add_stacks(g: Graph) -> Graph {
    /// Further stacks are added without being merged.
    const ROUNDS: usize = 32;
    let mut g = g;
    for _ in 0..ROUNDS {
        match add_stack(&g) {
            Some(next) => g = next,
            None => break,
        }
    }
    g
}

/// Merges one more stack into each sum, if there is one.
pub(super) fn add_stack(g: &Graph) -> Option<Graph> {
    // What is added to each stack: another stack, or a bias for each part.
    let mut groups = InsertionOrder::new();
    let part = |x: Value| match g.op_of(x) {
        Op::Slice { axis: 0, start, .. } => Some((*start, g.operands(x)[0])),
        _ => None,
    };
    let summable = |v: Value| weight_product(g, v).is_some() || as_map(g, v, Map::Add).is_some();
    let single = |x: Value| g.users(x).count() == 1 && !g.is_output(x);
    for v in g.order() {
        let Some(xs) = as_map(g, v, Map::Add) else {
            continue;
        };
        let Some((start, p)) = part(xs[0]).filter(|&(_, p)| summable(p) && single(xs[0])) else {
            continue;
        };
        let other = match part(xs[1]) {
            Some((at, q))
                if at == start && summable(q) && single(xs[1]) && g.node(p).ty == g.node(q).ty =>
            {
                Some(q)
            }
            _ if g.node(xs[1]).ty.domain == Domain::Once && g.node(p).ty.domain != Domain::Once => {
                None
            }
            _ => continue,
        };
        groups.add((p, other), (start, v));
    }
    // Only whole stacks: every part has an addend, and no other slice of the stack has one.
    let groups = groups.0.into_iter().filter_map(|((p, q), mut parts)| {
        parts.sort_unstable();
        let total: usize = parts.iter().map(|&(_, v)| g.node(v).ty.shape.len()).sum();
        let whole = total == g.node(p).ty.shape.len();
        let only = [Some(p), q]
            .iter()
            .flatten()
            .all(|&s| g.users(s).count() == parts.len() && !g.is_output(s));
        (whole && only).then(|| parts.into_iter().map(|(_, v)| v).collect())
    });
    // A bias may be computed from another part.
    let shared = |v: Value| {
        let x = g.operands(v)[1];
        (g.node(x).ty.domain == Domain::Once).then_some(x)
    };
    let groups = independent(g, groups, shared, &mut allowance(g));
    if groups.is_empty() {
        return None;
    }
    Some(Together::run(
        g,
        groups,
        0,
        |r: &mut Rebuild<'_>, members: &[Value]| {
            let old = r.old;
            let second = |m: Value| old.operands(m)[1];
            let p = r.get(old.operands(old.operands(members[0])[0])[0]);
            let other = match *old.op_of(second(members[0])) {
                Op::Slice { axis: 0, .. }
                    if old.node(second(members[0])).ty.domain != Domain::Once =>
                {
                    r.get(old.operands(second(members[0]))[0])
                }
                _ => {
                    let biases: Vec<Value> = members.iter().map(|&m| r.get(second(m))).collect();
                    concat(&mut r.new, 0, &biases)
                }
            };
            r.new.map2(Map::Add, p, other)
        },
    ))
}
