//! *fuse*: work that can run for all steps at once goes back into a recurrence where that lowers the numbers that cross
//! between loops, and so must be stored for all steps.
//!
//! Maximal distribution leaves a recurrence nothing but its own work. What reads it then needs all its values: the read-out
//! C q of a matrix memory would need every step's matrix. Three things are done about it, in this order:
//!
//! 1. Two recurrences in one direction become one loop, with the point-wise work between them, where less crosses then. Not
//!    if both have products with weights: each product's weights would push the other's out of cache in every step.
//! 2. *Consumers*: for each recurrence the part of its point-wise readers is taken in that leaves least to store. That is a
//!    minimum cut: a value that is computed on the recurrence's side and read on the other side costs its length.
//! 3. *Producers*: what only one recurrence reads joins it, if it takes no more to read than it makes: element-wise work,
//!    outer products, rows of a table. Two kinds stay out, for they would make the loop slower than a load does: a lane loop of its
//!    own, as of one number a row that is then repeated, which also keeps the recurrence from having time innermost; and, in
//!    an element-wise recurrence, an activation of what a product stored: outside, wide kernels compute it over many steps
//!    at once, in its operand's place (6.5 cycles for four sigmoids of f32 with 256-bit vectors, 12.3 in the loop, against
//!    half a cycle for the load; `jit/src/predict.rs`).
//!
//! A product with a weight is on neither side of these: what reads a hoisted product of a recurrence's values cannot join it,
//! so that nothing pulls a product into a loop.

use std::collections::{HashMap, HashSet};

use petgraph::Direction;
use petgraph::algo::dinics;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use retrograd_tape::{Domain, Op, Value};

use crate::passes::components::Class;
use crate::plan::build::{Classified, LoweringKind};
use crate::work::Allowance;

/// Joined work may be this much for each number that need not be stored: FLOPs that take about as long as writing a number
/// to memory and reading it back.
const WORK_A_NUMBER: usize = 8;

/// More than any cut costs.
const NEVER: usize = usize::MAX >> 16;

/// How a value gets to its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    /// At the same point.
    Here,
    /// At another step.
    Delay(i32),
    /// As it leaves at an end of the sequence.
    Boundary(i32),
    /// As what a delay begins with.
    Init,
}

/// One end of a read.
#[derive(Clone, Copy, Debug)]
struct Link {
    at: Value,
    via: Via,
}

/// What can be got to from some values.
struct Reached {
    /// By index of the value.
    seen: Vec<bool>,
    /// In order.
    all: Vec<Value>,
}

impl Reached {
    fn has(&self, v: Value) -> bool {
        self.seen[v.index()]
    }
}

/// Where everything is computed.
#[derive(Clone)]
struct Classes {
    /// By index of the value.
    class: Vec<Class>,
    /// What each recurrence computes, in order.
    members: Vec<Vec<Value>>,
}

impl Classes {
    fn of(&self, v: Value) -> Class {
        self.class[v.index()]
    }

    /// These values join recurrence `k`, whatever they were in.
    fn put(&mut self, net: &Net<'_, '_>, joined: &[Value], k: usize) {
        let mut from: Vec<usize> = Vec::new();
        for &v in joined {
            if let Class::Recurrent(i) = self.of(v)
                && i != k
            {
                from.push(i);
            }
            self.class[v.index()] = Class::Recurrent(k);
        }
        from.sort_unstable();
        from.dedup();
        for i in from {
            let class = &self.class;
            self.members[i].retain(|v| class[v.index()] == Class::Recurrent(i));
        }
        self.members[k].extend(joined);
        self.members[k].sort_unstable_by_key(|&v| net.place[v.index()]);
        self.members[k].dedup();
    }
}

struct Net<'f, 'g> {
    f: &'f Classified<'g>,
    /// By index of the value, as all of these: where it stands in the order.
    place: Vec<usize>,
    /// What each computed value reads, views looked through.
    reads: Vec<Vec<Link>>,
    /// What reads it.
    readers: Vec<Vec<Link>>,
    /// It is computed.
    computed: Vec<bool>,
}

/// Operations that any program may take.
const SMALL: usize = 1 << 21;

/// Operations a value, and the same a link between two, that finding what should join takes at most.
const EACH: usize = 32;

/// Where everything over steps is computed when all that should has joined, by index of the value. Where finding that out
/// takes too long, what has not been tried stays apart.
/// `outline_activations`: wide kernels will compute activations of what products store.
pub(crate) fn fuse(f: &Classified<'_>, outline_activations: bool) -> Vec<Class> {
    let net = Net::new(f);
    let links: usize = net.reads.iter().map(Vec::len).sum();
    let mut left = Allowance::of(SMALL + EACH * (f.order.len() + links));
    let recurrences = f.components.reverse.len();
    let mut class = net.apart();
    let mut best = net.with_consumers(&class, &mut left);
    let mut least = net.stored(&best);
    let multiplies = |class: &Classes, k: usize| {
        (class.members[k].iter()).any(|&v| f.lowering(v) == LoweringKind::Product)
    };
    let mut product: Vec<bool> = (0..recurrences).map(|k| multiplies(&class, k)).collect();
    for j in 1..recurrences {
        for i in (0..j).rev() {
            if left.is_spent() {
                break;
            }
            let directions = &f.components.reverse;
            let empty = class.members[i].is_empty() || class.members[j].is_empty();
            if empty || directions[i] != directions[j] || product[i] && product[j] {
                continue;
            }
            let Some(merged) = net.merged(&class, i, j, &mut left) else {
                continue;
            };
            let joined = net.with_consumers(&merged, &mut left);
            let stored = net.stored(&joined);
            // What was not looked at to the end stays as it was.
            if left.spend(f.order.len()) && stored < least {
                (class, best, least) = (merged, joined, stored);
                product[i] |= product[j];
                break;
            }
        }
    }
    net.producers(&mut best, outline_activations);
    best.class
}

impl<'f, 'g> Net<'f, 'g> {
    fn new(f: &'f Classified<'g>) -> Self {
        let n = f.g.bound();
        let mut net = Net {
            f,
            place: vec![usize::MAX; n],
            reads: vec![Vec::new(); n],
            readers: vec![Vec::new(); n],
            computed: vec![false; n],
        };
        for (i, &v) in f.order.iter().enumerate() {
            net.place[v.index()] = i;
        }
        for &v in f
            .order
            .iter()
            .filter(|v| f.lowering(**v) != LoweringKind::View)
        {
            let mut links = Vec::new();
            let mut work: Vec<(Value, Via)> =
                (f.g.operands(v).iter()).map(|&x| (x, Via::Here)).collect();
            while let Some((x, via)) = work.pop() {
                if f.lowering(x) != LoweringKind::View {
                    links.push(Link { at: x, via });
                    net.readers[x.index()].push(Link { at: v, via });
                    continue;
                }
                let xs = f.g.operands(x);
                match *f.g.op_of(x) {
                    Op::Delay(d) => work.extend([(xs[0], Via::Delay(d)), (xs[1], Via::Init)]),
                    Op::Boundary(d) => work.extend([(xs[0], Via::Boundary(d)), (xs[1], Via::Init)]),
                    _ => work.extend(xs.iter().map(|&x| (x, via))),
                }
            }
            net.reads[v.index()] = links;
            net.computed[v.index()] = true;
        }
        net
    }

    /// As distribution leaves it.
    fn apart(&self) -> Classes {
        let f = self.f;
        let mut class = Classes {
            class: vec![Class::Parallel; f.g.bound()],
            members: vec![Vec::new(); f.components.reverse.len()],
        };
        for &v in &f.order {
            class.class[v.index()] = f.class(v);
            if let Class::Recurrent(k) = f.class(v)
                && self.computed[v.index()]
            {
                class.members[k].push(v);
            }
        }
        class
    }

    fn reads(&self, v: Value) -> &[Link] {
        &self.reads[v.index()]
    }

    fn readers(&self, v: Value) -> &[Link] {
        &self.readers[v.index()]
    }

    /// Work over steps that can be done point by point.
    fn is_pointwise(&self, v: Value) -> bool {
        let how = self.f.lowering(v);
        matches!(
            how,
            LoweringKind::Lane | LoweringKind::Fold | LoweringKind::Row | LoweringKind::Concat
        ) && self.f.domain(v) == Domain::Step
    }

    /// These values and all that is computed from them, in order; a loop counts as a whole. Nothing if that is too much.
    fn reached<'n>(
        &'n self,
        class: &Classes,
        from: &[Value],
        next: impl Fn(&'n Self, Value) -> &'n [Link],
        left: &mut Allowance,
    ) -> Option<Reached> {
        let mut seen = vec![false; self.place.len()];
        let mut all = from.to_vec();
        from.iter().for_each(|v| seen[v.index()] = true);
        let mut loops: HashSet<usize> = HashSet::new();
        let mut done = 0;
        while let Some(&v) = all.get(done) {
            done += 1;
            let links = next(self, v);
            let mut work = links.len() + 1;
            let mut add = |x: Value| {
                if !std::mem::replace(&mut seen[x.index()], true) {
                    all.push(x);
                }
            };
            links.iter().for_each(|l| add(l.at));
            if let Class::Recurrent(k) = class.of(v)
                && loops.insert(k)
            {
                work += class.members[k].len();
                class.members[k].iter().for_each(|&x| add(x));
            }
            if !left.spend(work) {
                return None;
            }
        }
        all.sort_unstable_by_key(|v| self.place[v.index()]);
        Some(Reached { seen, all })
    }

    /// True if a loop in this direction has the value when its reader wants it.
    fn in_time(via: Via, reverse: bool) -> bool {
        match via {
            Via::Here => true,
            Via::Delay(d) => (d < 0) == reverse,
            Via::Boundary(_) | Via::Init => false,
        }
    }

    /// Recurrences `i` and `j`, which go one way, and what is between them as one, if one loop can compute them.
    fn merged(&self, class: &Classes, i: usize, j: usize, left: &mut Allowance) -> Option<Classes> {
        let reverse = self.f.components.reverse[i];
        let both = [class.members[i].as_slice(), &class.members[j]].concat();
        let below = self.reached(class, &both, Self::readers, left)?;
        let above = self.reached(class, &both, Self::reads, left)?;
        let mut inside = vec![false; self.place.len()];
        let mut all = both;
        all.iter().for_each(|v| inside[v.index()] = true);
        let own = all.len();
        for &v in below.all.iter().filter(|v| above.has(**v)) {
            if !std::mem::replace(&mut inside[v.index()], true) {
                all.push(v);
            }
        }
        let joins = |v: &Value| self.is_pointwise(*v) && class.of(*v) == Class::Parallel;
        let fits = |v: &Value| {
            let mut of_it = self.reads(*v).iter().filter(|l| inside[l.at.index()]);
            of_it.all(|l| Self::in_time(l.via, reverse))
        };
        if !all[own..].iter().all(joins) || !all.iter().all(fits) {
            return None;
        }
        let mut merged = class.clone();
        merged.put(self, &all, i);
        Some(merged)
    }

    /// Every recurrence with the readers that it takes in.
    fn with_consumers(&self, class: &Classes, left: &mut Allowance) -> Classes {
        let mut class = class.clone();
        for k in 0..self.f.components.reverse.len() {
            let Some(joined) = self.consumers(&class, k, left) else {
                break;
            };
            if joined.is_empty() {
                continue;
            }
            // What is stored of others depends on where their readers are, and, for parts, the readers of the whole.
            let mut touched = joined.clone();
            let mut from = 0;
            for _ in 0..2 {
                let to = touched.len();
                for at in from..to {
                    touched.extend(self.reads(touched[at]).iter().map(|l| l.at));
                }
                from = to;
            }
            touched.sort_unstable();
            touched.dedup();
            left.spend(2 * touched.len());
            let stored = |class: &Classes| -> usize {
                touched.iter().map(|&v| self.stored_of(class, v)).sum()
            };
            let before = stored(&class);
            let own: Vec<Class> = joined.iter().map(|&v| class.of(v)).collect();
            joined
                .iter()
                .for_each(|v| class.class[v.index()] = Class::Recurrent(k));
            let after = stored(&class);
            let work: usize = joined.iter().map(|&v| self.work(v)).sum();
            if after < before && work <= WORK_A_NUMBER * (before - after) {
                class.put(self, &joined, k);
            } else {
                let back = joined.iter().zip(own);
                back.for_each(|(v, own)| class.class[v.index()] = own);
            }
        }
        class
    }

    /// FLOPs a point.
    fn work(&self, v: Value) -> usize {
        let f = self.f;
        let operand = |i: usize| f.len(f.g.operands(v)[i]);
        match *f.g.op_of(v) {
            Op::Reduce(_) => operand(0),
            Op::Dot | Op::MatVec { .. } => 2 * operand(0),
            _ => f.len(v),
        }
    }

    /// The readers of recurrence `k` that leave least to store if they are computed in it: the fewest of them. Nothing if it
    /// takes too long to find them.
    fn consumers(&self, class: &Classes, k: usize, left: &mut Allowance) -> Option<Vec<Value>> {
        let f = self.f;
        let reverse = f.components.reverse[k];
        let members = &class.members[k];
        if members.is_empty() {
            return Some(Vec::new());
        }
        let below = self.reached(class, members, Self::readers, left)?;
        let mut inside = vec![false; self.place.len()];
        members.iter().for_each(|v| inside[v.index()] = true);
        let joins = |v: &Value| self.is_pointwise(*v) && class.of(*v) == Class::Parallel;
        let mut taken: Vec<Value> = below.all.iter().copied().filter(joins).collect();
        taken.iter().for_each(|v| inside[v.index()] = true);
        // What reads something of the recurrence that comes about elsewhere, or later, stays where it is.
        loop {
            let before = taken.len();
            if !left.spend(before) {
                return None;
            }
            taken.retain(|v| {
                let mut of_it = self.reads(*v).iter().filter(|l| below.has(l.at));
                let fits = of_it.all(|l| inside[l.at.index()] && Self::in_time(l.via, reverse));
                if !fits {
                    inside[v.index()] = false;
                }
                fits
            });
            if taken.len() == before {
                break;
            }
        }
        if taken.is_empty() {
            return Some(taken);
        }
        let cut = self.cut(class, k, &taken, left)?;
        taken.retain(|v| cut.contains(v));
        Some(taken)
    }

    /// Which of `taken` are on the recurrence's side of the minimum cut.
    fn cut(
        &self,
        class: &Classes,
        k: usize,
        taken: &[Value],
        left: &mut Allowance,
    ) -> Option<HashSet<Value>> {
        let f = self.f;
        let reverse = f.components.reverse[k];
        let members = &class.members[k];
        // Two nodes a value: it is computed in the loop, and nothing outside needs it.
        let mut net: DiGraph<(), usize> = DiGraph::new();
        let (source, sink) = (net.add_node(()), net.add_node(()));
        let mut node: HashMap<Value, (NodeIndex, NodeIndex)> = HashMap::new();
        for &v in members.iter().filter(|&&v| f.domain(v) == Domain::Step) {
            node.insert(v, (source, net.add_node(())));
        }
        for &v in taken {
            node.insert(v, (net.add_node(()), net.add_node(())));
        }
        for &v in members.iter().chain(taken) {
            let Some(&(made, local)) = node.get(&v) else {
                continue;
            };
            net.add_edge(local, made, NEVER);
            let mut leaves = f.g.is_output(v);
            for l in self.readers(v) {
                let long = self.is_long(l.via, reverse);
                match (l.via, node.get(&l.at)) {
                    (Via::Here | Via::Delay(_), Some(&(read, _))) if !long => {
                        if read != source {
                            net.add_edge(local, read, NEVER);
                        }
                    }
                    // What leaves at the end is in the last step's array.
                    (Via::Boundary(_), _) => leaves |= long,
                    _ => leaves = true,
                }
            }
            if leaves {
                net.add_edge(local, sink, NEVER);
            }
            if made == source {
                if !self.is_part(class, v) {
                    net.add_edge(source, local, f.len(v));
                }
                continue;
            }
            for l in self.reads(v) {
                if let Some(&(operand, _)) = node.get(&l.at)
                    && operand != source
                {
                    net.add_edge(made, operand, NEVER);
                }
            }
            if self.is_stored_outside(class, v) {
                // Unless all its readers join too.
                net.add_edge(source, local, f.len(v));
            } else {
                net.add_edge(made, local, f.len(v));
            }
        }
        // A flow goes over every edge a few times, and each of its paths tries the source's edges from the first on.
        let paths = members.len() * taken.len() / 8;
        if !left.spend(8 * (net.node_count() + net.edge_count()) + paths) {
            return None;
        }
        let (_, flows) = dinics(&net, source, sink);
        // The side of the source: what can still be reached from it.
        let mut reached: HashSet<NodeIndex> = HashSet::from([source]);
        let mut work = vec![source];
        while let Some(n) = work.pop() {
            let ahead = (net.edges_directed(n, Direction::Outgoing))
                .filter(|e| flows[e.id().index()] < *e.weight())
                .map(|e| e.target());
            let back = (net.edges_directed(n, Direction::Incoming))
                .filter(|e| flows[e.id().index()] > 0)
                .map(|e| e.source());
            let next: Vec<NodeIndex> = ahead.chain(back).collect();
            work.extend(next.into_iter().filter(|m| reached.insert(*m)));
        }
        let on_side = taken.iter().filter(|v| reached.contains(&node[v].0));
        Some(on_side.copied().collect())
    }

    /// A read for which one step's array is not enough.
    fn is_long(&self, via: Via, reverse: bool) -> bool {
        let one_step = if reverse { -1 } else { 1 };
        matches!(via, Via::Delay(d) | Via::Boundary(d) if d != one_step)
    }

    /// True if a value that is computed for all steps at once has an array over them.
    fn is_stored_outside(&self, class: &Classes, v: Value) -> bool {
        let f = self.f;
        let readers = self.readers(v);
        if f.g.is_output(v) {
            return true;
        }
        let beside = |l: &Link| l.via == Via::Here && class.of(l.at) == Class::Parallel;
        // A part is stored in its whole.
        let is_part = !readers.is_empty()
            && readers
                .iter()
                .all(|l| beside(l) && f.lowering(l.at) == LoweringKind::Concat);
        let in_lane_loop = |l: &Link| {
            beside(l)
                && matches!(
                    f.lowering(l.at),
                    LoweringKind::Lane | LoweringKind::Fold | LoweringKind::Concat
                )
        };
        let one_loop = readers.first().is_some_and(|first| {
            let loop_of = |l: &Link| class.of(l.at);
            let same = |l: &Link| l.via == Via::Here && loop_of(l) == loop_of(first);
            loop_of(first) != Class::Parallel && readers.iter().all(same)
        });
        match f.lowering(v) {
            LoweringKind::Lane => !readers.iter().all(in_lane_loop) && !one_loop,
            LoweringKind::View | LoweringKind::Accumulated | LoweringKind::Global => false,
            _ => !is_part,
        }
    }

    /// True if a value of a recurrence lives in a concatenation beside it that is stored for all steps.
    fn is_part(&self, class: &Classes, v: Value) -> bool {
        let f = self.f;
        let own = class.of(v);
        let whole = |l: &&Link| {
            l.via == Via::Here && f.lowering(l.at) == LoweringKind::Concat && class.of(l.at) == own
        };
        let leaves = |l: &Link| class.of(l.at) != own;
        (self.readers(v).iter().filter(whole))
            .any(|l| f.g.is_output(l.at) || self.readers(l.at).iter().any(leaves))
    }

    /// Numbers that are stored a row and step, by what is known before anything is scheduled.
    fn stored(&self, class: &Classes) -> usize {
        let all = self.f.order.iter();
        all.map(|&v| self.stored_of(class, v)).sum()
    }

    /// Those of a value.
    fn stored_of(&self, class: &Classes, v: Value) -> usize {
        let f = self.f;
        if f.domain(v) != Domain::Step || !self.computed[v.index()] {
            return 0;
        }
        let stored = match class.of(v) {
            Class::Parallel => self.is_stored_outside(class, v),
            own @ Class::Recurrent(k) => {
                let reverse = f.components.reverse[k];
                let local = |l: &Link| match l.via {
                    Via::Boundary(_) => !self.is_long(l.via, reverse),
                    Via::Init => false,
                    _ => class.of(l.at) == own && !self.is_long(l.via, reverse),
                };
                let leaves = f.g.is_output(v) || !self.readers(v).iter().all(local);
                leaves && !self.is_part(class, v)
            }
        };
        if stored { f.len(v) } else { 0 }
    }

    /// What only one recurrence reads joins it.
    fn producers(&self, class: &mut Classes, outline_activations: bool) {
        let f = self.f;
        let lane_wise = |v: &Value| {
            matches!(
                f.lowering(*v),
                LoweringKind::View | LoweringKind::Lane | LoweringKind::Concat
            )
        };
        let slow: HashSet<Class> = (f.order.iter())
            .filter(|v| !lane_wise(v))
            .map(|&v| class.of(v))
            .collect();
        for &v in f.order.iter().rev() {
            if !self.is_pointwise(v) || class.of(v) != Class::Parallel || f.g.is_output(v) {
                continue;
            }
            let operands = f.g.operands(v).into_iter();
            let takes: usize = (operands.filter(|&x| f.domain(x) == Domain::Step))
                .map(|x| f.len(x))
                .sum();
            let small = match f.lowering(v) {
                LoweringKind::Lane => {
                    let in_one_lane_loop =
                        |l: &Link| f.lowering(l.at) == LoweringKind::Lane && f.reads_whole(l.at, v);
                    self.readers(v).iter().any(in_one_lane_loop)
                }
                LoweringKind::Row => takes <= f.len(v) && self.work(v) <= WORK_A_NUMBER * f.len(v),
                _ => false,
            };
            let readers = self.readers(v);
            let Some(own) = readers.first().map(|l| class.of(l.at)) else {
                continue;
            };
            let pointwise = |l: &Link| self.is_pointwise(l.at) && l.via == Via::Here;
            if small
                && own != Class::Parallel
                && readers
                    .iter()
                    .all(|l| pointwise(l) && class.of(l.at) == own)
                && (slow.contains(&own) || !outline_activations || !f.is_wide_activation(v))
            {
                class.class[v.index()] = own;
            }
        }
    }
}
