//! Groups of nodes that can be computed together, and the one node that replaces each.

use std::hash::Hash;

use retrograd_tape::{Domain, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::graph::{Graph, Rebuild, Rewrite, rewrite};
use crate::passes::coarsest::coarsest;
use crate::passes::components::{Components, components};
use crate::passes::round::constants;
use crate::passes::simplify::slice;
use crate::work::Allowance;

/// Which products may be one.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Only those of one component.
    pub(super) distribute: bool,
    /// Operands of products are rounded, but for those with constants.
    pub(super) rounds: bool,
}

impl Rules {
    pub(super) fn classes(self, g: &Graph) -> Components {
        let fine = components(g).expect("checked before the first pass");
        match self.distribute {
            true => fine,
            false => coarsest(g, &fine),
        }
    }

    /// The values whose products are not rounded, while others are: these must not be one.
    pub(super) fn unrounded(self, g: &Graph) -> HashSet<Value> {
        match self.rounds {
            true => constants(g),
            false => HashSet::default(),
        }
    }
}

/// Values grouped by a key; the groups are in the order of their first members.
pub(super) struct InsertionOrder<K, V>(pub(super) Vec<(K, Vec<V>)>, HashMap<K, usize>);

impl<K: Clone + Eq + Hash, V> InsertionOrder<K, V> {
    pub(super) fn new() -> Self {
        InsertionOrder(Vec::new(), HashMap::default())
    }

    pub(super) fn add(&mut self, key: K, v: V) {
        let next = self.0.len();
        match self.1.entry(key.clone()).or_insert(next) {
            k if *k < next => self.0[*k].1.push(v),
            _ => self.0.push((key, vec![v])),
        }
    }
}

/// The parts of a product of a weight matrix with a vector: transposed or not, matrix, vector.
pub(super) fn weight_product(g: &Graph, v: Value) -> Option<(bool, Value, Value)> {
    let Op::MatVec { transposed } = *g.op_of(v) else {
        return None;
    };
    let xs = g.operands(v);
    let weighs = g.node(xs[0]).ty.domain == Domain::Once && g.node(xs[1]).ty.domain != Domain::Once;
    weighs.then_some((transposed, xs[0], xs[1]))
}

/// Maximal number of operations per node spent on finding out what may be stacked.
const EACH: usize = 64;

pub(super) fn allowance(g: &Graph) -> Allowance {
    Allowance::of((1 << 18) + EACH * g.len())
}

/// The groups whose members can be computed together: no member depends on another of its group, values carried by
/// delays included, even through earlier groups, which are computed together too. `own` is the operand that a member
/// does not share with the others. The search alternates between both ends: weights depend on little, and little
/// depends on a gradient. A group whose search takes too long is left out.
pub(super) fn independent(
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

/// True if `from` depends on none of the members, where the members of each of the `kept` groups count as depending on
/// each other.
pub(super) fn are_apart(
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

/// Nodes that are replaced together: each member becomes a slice of one node.
pub(super) struct Together<'g, F> {
    /// The group of each member.
    group_of: HashMap<Value, usize>,
    groups: Vec<Vec<Value>>,
    done: Vec<Option<Value>>,
    /// Each member's offset in the one node.
    start: HashMap<Value, usize>,
    axis: usize,
    /// Builds the one node from the new values of all members' operands.
    make: F,
    g: &'g Graph,
}

impl<'g, F: FnMut(&mut Rebuild<'_>, &[Value]) -> Value> Together<'g, F> {
    pub(super) fn run(g: &'g Graph, groups: Vec<Vec<Value>>, axis: usize, make: F) -> Graph {
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
