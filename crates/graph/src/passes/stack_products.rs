//! *stack_products*: fewer, larger products.
//!
//! Inside one component only (fusing over its border would tie W x to U h and pull it back into the loop):
//!
//! - sums are put in order: products outside the recurrence first, then biases, then its own products, then the rest;
//! - products that are summed become one with joined operands: Σ Uᵢᵀ δᵢ = [U₁;U₂…]ᵀ [δ₁;δ₂…];
//! - products that share their operand become one with stacked weights, gates of one activation side by side:
//!   Wᵢ x = slice of [W₁;W₂…] x;
//! - slices of two such stacks that are added pairwise are slices of their sum, which is one accumulation; so are slices
//!   that biases are added to;
//! - weight gradients Σ δᵢ xᵀ and Σ δᵢ that share x become one of the joined δ.

use std::hash::Hash;

use retrograd_tape::{Algebra, Domain, Map, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::graph::{Graph, Rebuild, Rewrite, as_map, rebuild, rewrite};
use crate::passes::coarsest::coarsest;
use crate::passes::components::{Class, Components, components};
use crate::passes::legalize::sums_over_points;
use crate::passes::simplify::{concat, simplify, slice};
use crate::work::Allowance;

/// Fuses products. With `distribute` those of one component; without, for a plan that has one loop a direction, those of one
/// direction, and then W x + U h too is one product, of x and h copied side by side.
pub fn stack_products(g: &Graph, distribute: bool) -> Graph {
    let is_product = |&v: &Value| matches!(g.op_of(v), Op::MatVec { .. } | Op::Outer { .. });
    if !g.order().iter().any(is_product) {
        return g.clone();
    }
    let g = sums(g, distribute);
    let g = simplify(&stacks(&g, distribute), true);
    let g = add_stacks(g);
    let g = simplify(&gradients(&g, distribute), true);
    simplify(&bias_gradients(&g), true)
}

fn classes(g: &Graph, distribute: bool) -> Components {
    let fine = components(g).expect("checked before the first pass");
    if distribute { fine } else { coarsest(g, &fine) }
}

/// Values grouped by a key, the groups in the order in which their first member came.
struct InsertionOrder<K, V>(Vec<(K, Vec<V>)>, HashMap<K, usize>);

impl<K: Clone + Eq + Hash, V> InsertionOrder<K, V> {
    fn new() -> Self {
        InsertionOrder(Vec::new(), HashMap::default())
    }

    fn add(&mut self, key: K, v: V) {
        let next = self.0.len();
        match self.1.entry(key.clone()).or_insert(next) {
            k if *k < next => self.0[*k].1.push(v),
            _ => self.0.push((key, vec![v])),
        }
    }
}

/// A product of a weight matrix with a vector: transposed or not, matrix, vector.
fn weight_product(g: &Graph, v: Value) -> Option<(bool, Value, Value)> {
    let Op::MatVec { transposed } = *g.op_of(v) else {
        return None;
    };
    let xs = g.operands(v);
    let weighs = g.node(xs[0]).ty.domain == Domain::Once && g.node(xs[1]).ty.domain != Domain::Once;
    weighs.then_some((transposed, xs[0], xs[1]))
}

/// Operations a node that finding out what may be fused takes at most.
const EACH: usize = 64;

fn allowance(g: &Graph) -> Allowance {
    Allowance::of((1 << 18) + EACH * g.len())
}

/// Groups whose members can be computed together: none depends on another of its group, values carried by delays included, be it
/// by way of groups that come before, which are computed together too. `own` is the operand that a member does not share
/// with the others. Searched from both ends in turn: what weights depend on is little, and so is what depends on a
/// gradient. Where finding out takes too long, a group is left out.
fn independent(
    g: &Graph,
    groups: impl Iterator<Item = Vec<Value>>,
    own: impl Fn(Value) -> Option<Value>,
    left: &mut Allowance,
) -> Vec<Vec<Value>> {
    let mut kept: Vec<Vec<Value>> = Vec::new();
    let mut group_of: HashMap<Value, usize> = HashMap::default();
    for members in groups {
        let own = members.iter().filter_map(|&v| own(v));
        if are_apart(g, &members, own, (&kept, &group_of), left) {
            group_of.extend(members.iter().map(|&v| (v, kept.len())));
            kept.push(members);
        }
    }
    kept
}

/// True if none of the members is among what `from` depends on, where the members of each of the `kept` groups depend on each
/// other.
fn are_apart(
    g: &Graph,
    members: &[Value],
    from: impl Iterator<Item = Value>,
    (kept, group_of): (&[Vec<Value>], &HashMap<Value, usize>),
    left: &mut Allowance,
) -> bool {
    let sources: HashSet<Value> = from.collect();
    let targets: HashSet<Value> = members.iter().copied().collect();
    if !sources.is_disjoint(&targets) {
        return false;
    }
    let together = |v: Value| {
        group_of
            .get(&v)
            .map_or(&[][..], |&k| &kept[k])
            .iter()
            .copied()
    };
    let (mut seen_above, mut seen_below) = (sources.clone(), targets.clone());
    let mut above: Vec<Value> = sources.iter().copied().collect();
    let mut below: Vec<Value> = members.to_vec();
    while let (Some(v), Some(u)) = (above.pop(), below.pop()) {
        let needed: Vec<Value> = g.operands(v).into_iter().chain(together(v)).collect();
        let readers: Vec<Value> = g.users(u).chain(together(u)).collect();
        let meet = needed.iter().any(|x| targets.contains(x));
        if meet || readers.iter().any(|x| sources.contains(x)) {
            return false;
        }
        if !left.spend(needed.len() + readers.len() + 1) {
            return false;
        }
        above.extend(needed.into_iter().filter(|&x| seen_above.insert(x)));
        below.extend(readers.into_iter().filter(|&x| seen_below.insert(x)));
    }
    true
}

/// Which activation a product feeds: the first nonlinear op on a path of sums, products and slices. None if it takes too
/// long to find out.
fn activation(g: &Graph, v: Value, left: &mut Allowance) -> usize {
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

/// Products that can be stacked: same operand, orientation and component. Each group in the order of its stack.
fn stackable(g: &Graph, c: &Components) -> Vec<Vec<Value>> {
    let order = g.order();
    let mut groups = InsertionOrder::new();
    for &v in &order {
        if let Some((transposed, _, x)) = weight_product(g, v) {
            groups.add((transposed, x, c.class(v)), v);
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

/// Puts sums in order and joins the products that are summed.
fn sums(g: &Graph, distribute: bool) -> Graph {
    let c = classes(g, distribute);
    let order = g.order().into_iter();
    let place: HashMap<Value, usize> = order.enumerate().map(|(i, v)| (v, i)).collect();
    // Where a matrix stands in the forward stack: its transpose joins in the same order.
    let mut rank: HashMap<Value, usize> = HashMap::default();
    for group in stackable(g, &c) {
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
        for group in joinable(g, &c, &products, distribute) {
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
        // A stable order: what a hoisted product can begin with stands behind it, what the loop adds comes last.
        let bias = |t: Value| g.node(t).ty.domain == Domain::Once;
        let (biases, rest): (Vec<Value>, Vec<Value>) = rest.into_iter().partition(|&t| bias(t));
        joined.sort_by_key(|(class, _)| *class);
        let (hoisted, inside): (Vec<_>, Vec<_>) = joined
            .into_iter()
            .partition(|(class, _)| *class == Class::Parallel);
        let mut all: Vec<Value> = hoisted.into_iter().map(|(_, p)| p).collect();
        let biases: Vec<Value> = biases.into_iter().map(|t| r.get(t)).collect();
        // Several biases are one, made once.
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

/// Groups the summed products whose operands can stand side by side in one array: results of element-wise ops of one
/// component that no delay reads. All others would have to be copied there, which pays where it saves a product a step.
fn joinable(g: &Graph, c: &Components, products: &[Value], distribute: bool) -> Vec<Vec<Value>> {
    let mut groups = InsertionOrder::new();
    for &p in products {
        let (transposed, _, x) = weight_product(g, p).expect("only products come here");
        let delayed = g
            .users(x)
            .any(|u| matches!(g.op_of(u), Op::Delay(_) | Op::Boundary(_)));
        let single = g.users(p).count() == 1 && !g.is_output(p);
        let in_place = matches!(g.op_of(x), Op::Map(_)) && !delayed;
        let free = single && (in_place || !distribute);
        // What cannot be joined is a group of its own.
        let alone = (!free).then_some(p);
        groups.add((transposed, c.class(p), c.class(x), alone), p);
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

/// A set of nodes that are replaced together: each member becomes a slice of one node.
struct Together<'g, F> {
    /// For each member: its group.
    group_of: HashMap<Value, usize>,
    groups: Vec<Vec<Value>>,
    done: Vec<Option<Value>>,
    /// For each member: where it begins in the one node.
    start: HashMap<Value, usize>,
    axis: usize,
    /// The one node, from the new values of all members' operands.
    make: F,
    g: &'g Graph,
}

impl<'g, F: FnMut(&mut Rebuild<'_>, &[Value]) -> Value> Together<'g, F> {
    fn run(g: &'g Graph, groups: Vec<Vec<Value>>, axis: usize, make: F) -> Graph {
        let group_of = groups
            .iter()
            .enumerate()
            .flat_map(|(i, m)| m.iter().map(move |&v| (v, i)))
            .collect();
        let done = vec![None; groups.len()];
        let len = |m: Value| g.node(m).ty.shape.axis(axis);
        let mut start = HashMap::default();
        for members in &groups {
            let mut at = 0;
            for &m in members {
                start.insert(m, at);
                at += len(m).expect("members have the axis");
            }
        }
        rewrite(
            g,
            &mut Together {
                group_of,
                groups,
                done,
                start,
                axis,
                make,
                g,
            },
        )
    }
}

impl<F: FnMut(&mut Rebuild<'_>, &[Value]) -> Value> Rewrite for Together<'_, F> {
    fn rewrite(&mut self, r: &mut Rebuild<'_>, v: Value) -> Option<Value> {
        let k = *self.group_of.get(&v)?;
        let one = match self.done[k] {
            Some(one) => one,
            None => {
                let members = self.groups[k].clone();
                for &m in &members {
                    for x in self.g.operands(m) {
                        r.want(self, x);
                    }
                }
                let one = (self.make)(r, &members);
                self.done[k] = Some(one);
                one
            }
        };
        let len = self.g.node(v).ty.shape.axis(self.axis);
        let len = len.expect("members have the axis");
        Some(slice(&mut r.new, self.axis, self.start[&v], len, one))
    }
}

/// Stacks products that share their operand.
fn stacks(g: &Graph, distribute: bool) -> Graph {
    let groups = stackable(g, &classes(g, distribute));
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

/// Sums of slices of two stacks, or of a stack's slices and biases, part by part, become slices of one sum. Repeated for
/// further stacks, so many as one sum may have.
fn add_stacks(g: Graph) -> Graph {
    /// More stacks are added up as they are.
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

/// One more stack for each sum, if there is one.
fn add_stack(g: &Graph) -> Option<Graph> {
    // What is added to each stack: another, or a bias for each part.
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
    // Only whole stacks: something is added to every part, and to nothing else of it.
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

/// Weight gradients that share their right operand become one of the joined left operands.
fn gradients(g: &Graph, distribute: bool) -> Graph {
    let c = classes(g, distribute);
    let order = g.order();
    // The δ that already stand side by side, as a product joined them.
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
        // What sums over nothing is no weight gradient: joining it would save no product.
        if !matches!(g.op_of(xs[0]), Op::Map(_)) || !sums_over_points(g, v) {
            continue;
        }
        groups.add((to, xs[1], c.class(xs[0]), g.node(xs[0]).ty.domain), v);
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

/// The sum over time and batch of a part of a joined δ is a part of the sum of all of it.
fn bias_gradients(g: &Graph) -> Graph {
    let mut home: HashMap<Value, (Value, usize)> = HashMap::default();
    for v in g.order() {
        if matches!(g.op_of(v), Op::Concat { axis: 0 })
            && g.users(v)
                .any(|u| matches!(g.op_of(u), Op::Outer { .. }) && sums_over_points(g, u))
        {
            let mut at = 0;
            for x in g.operands(v) {
                home.entry(x).or_insert((v, at));
                at += g.node(x).ty.shape.axis(0).expect("parts have the axis");
            }
        }
    }
    let mut rule = |r: &mut Rebuild<'_>, v: Value| {
        let Op::SumTo(to) = *g.op_of(v) else {
            return None;
        };
        let x = g.operands(v)[0];
        let &(joined, start) = home.get(&x)?;
        if g.node(joined).ty.domain != g.node(x).ty.domain {
            return None;
        }
        let joined = r.want(&mut Unchanged, joined);
        let total = r.new.sum_to(joined, to);
        let len = g.node(x).ty.shape.axis(0)?;
        Some(slice(&mut r.new, 0, start, len, total))
    };
    rewrite(g, &mut rule)
}

/// Copies what is wanted. What a joined δ depends on holds no sum of it.
struct Unchanged;
impl Rewrite for Unchanged {
    fn rewrite(&mut self, _: &mut Rebuild<'_>, _: Value) -> Option<Value> {
        None
    }
}
