//! *join*: work that can run for all steps at once goes back into a recurrence where that lowers the numbers that cross
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
//!    outer products, rows of a table. Two kinds stay out, for they would make the loop slower than a load does: a sweep of its
//!    own, as of one number a row that is then repeated, which also keeps the recurrence from having time inside; and, in
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
use crate::plan::build::{Facts, How};

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

/// Where everything is computed.
type Classes = HashMap<Value, Class>;

struct Net<'f, 'g> {
    f: &'f Facts<'g>,
    /// What each computed value reads, views looked through.
    reads: HashMap<Value, Vec<Link>>,
    /// What reads it.
    readers: HashMap<Value, Vec<Link>>,
}

/// Where everything over steps is computed when all that should has joined.
/// `wide`: there will be wide kernels.
pub(crate) fn join(f: &Facts<'_>, class: &Classes, wide: bool) -> Classes {
    let net = Net::new(f);
    let mut class = class.clone();
    let recurrences = f.components.reverse.len();
    let mut best = net.with_consumers(&class);
    let mut least = net.stored(&best);
    for j in 1..recurrences {
        for i in (0..j).rev() {
            let Some(merged) = net.merged(&class, i, j) else {
                continue;
            };
            let joined = net.with_consumers(&merged);
            let stored = net.stored(&joined);
            if stored < least {
                (class, best, least) = (merged, joined, stored);
                break;
            }
        }
    }
    net.producers(&mut best, wide);
    best
}

fn class_of(class: &Classes, v: Value) -> Class {
    class.get(&v).copied().unwrap_or(Class::Parallel)
}

impl<'f, 'g> Net<'f, 'g> {
    fn new(f: &'f Facts<'g>) -> Self {
        let mut net = Net {
            f,
            reads: HashMap::new(),
            readers: HashMap::new(),
        };
        for &v in f.order.iter().filter(|v| f.how(**v) != How::View) {
            let mut links = Vec::new();
            let mut work: Vec<(Value, Via)> =
                (f.g.operands(v).iter()).map(|&x| (x, Via::Here)).collect();
            while let Some((x, via)) = work.pop() {
                if f.how(x) != How::View {
                    links.push(Link { at: x, via });
                    net.readers.entry(x).or_default().push(Link { at: v, via });
                    continue;
                }
                let xs = f.g.operands(x);
                match *f.g.op_of(x) {
                    Op::Delay(d) => work.extend([(xs[0], Via::Delay(d)), (xs[1], Via::Init)]),
                    Op::Boundary(d) => work.extend([(xs[0], Via::Boundary(d)), (xs[1], Via::Init)]),
                    _ => work.extend(xs.iter().map(|&x| (x, via))),
                }
            }
            net.reads.insert(v, links);
        }
        net
    }

    fn reads(&self, v: Value) -> &[Link] {
        self.reads.get(&v).map_or(&[], Vec::as_slice)
    }

    fn readers(&self, v: Value) -> &[Link] {
        self.readers.get(&v).map_or(&[], Vec::as_slice)
    }

    /// Work over steps that can be done point by point.
    fn is_pointwise(&self, v: Value) -> bool {
        let how = self.f.how(v);
        matches!(how, How::Lane | How::Fold | How::Row | How::Concat)
            && self.f.domain(v) == Domain::Step
    }

    /// The members of a recurrence, in order.
    fn members(&self, class: &Classes, k: usize) -> Vec<Value> {
        let own =
            |v: &Value| class_of(class, *v) == Class::Recurrent(k) && self.reads.contains_key(v);
        self.f.order.iter().copied().filter(own).collect()
    }

    /// These values and all that is computed from them; a loop counts as a whole.
    fn reached<'n>(
        &'n self,
        class: &Classes,
        from: &[Value],
        next: impl Fn(&'n Self, Value) -> &'n [Link],
    ) -> HashSet<Value> {
        let mut seen: HashSet<Value> = from.iter().copied().collect();
        let mut work = from.to_vec();
        let mut loops: HashSet<usize> = HashSet::new();
        while let Some(v) = work.pop() {
            let mut more: Vec<Value> = next(self, v).iter().map(|l| l.at).collect();
            if let Class::Recurrent(k) = class_of(class, v)
                && loops.insert(k)
            {
                more.extend(self.members(class, k));
            }
            work.extend(more.into_iter().filter(|x| seen.insert(*x)));
        }
        seen
    }

    /// True if a loop in this direction has the value when its reader wants it.
    fn in_time(via: Via, reverse: bool) -> bool {
        match via {
            Via::Here => true,
            Via::Delay(d) => (d < 0) == reverse,
            Via::Boundary(_) | Via::Init => false,
        }
    }

    /// Recurrences `i` and `j` and what is between them as one, if one loop can compute them.
    fn merged(&self, class: &Classes, i: usize, j: usize) -> Option<Classes> {
        let reverse = self.f.components.reverse[i];
        let (a, b) = (self.members(class, i), self.members(class, j));
        let multiplies = |all: &[Value]| all.iter().any(|&v| self.f.how(v) == How::Product);
        if a.is_empty()
            || b.is_empty()
            || reverse != self.f.components.reverse[j]
            || multiplies(&a) && multiplies(&b)
        {
            return None;
        }
        let mut all: HashSet<Value> = a.iter().chain(&b).copied().collect();
        let both = [a, b].concat();
        let below = self.reached(class, &both, Self::readers);
        let above = self.reached(class, &both, Self::reads);
        let mut between: Vec<Value> = Vec::new();
        for &v in self
            .f
            .order
            .iter()
            .filter(|v| below.contains(v) && above.contains(v))
        {
            if all.insert(v) {
                between.push(v);
            }
        }
        let joins = |v: &Value| self.is_pointwise(*v) && class_of(class, *v) == Class::Parallel;
        let fits = |v: &Value| {
            let inside = self.reads(*v).iter().filter(|l| all.contains(&l.at));
            inside.clone().all(|l| Self::in_time(l.via, reverse))
        };
        if !between.iter().all(joins) || !all.iter().all(fits) {
            return None;
        }
        let mut merged = class.clone();
        merged.extend(all.into_iter().map(|v| (v, Class::Recurrent(i))));
        Some(merged)
    }

    /// Every recurrence with the readers that it takes in.
    fn with_consumers(&self, class: &Classes) -> Classes {
        let mut class = class.clone();
        for k in 0..self.f.components.reverse.len() {
            let joined = self.consumers(&class, k);
            if joined.is_empty() {
                continue;
            }
            let mut with = class.clone();
            with.extend(joined.iter().map(|&v| (v, Class::Recurrent(k))));
            let work: usize = joined.iter().map(|&v| self.work(v)).sum();
            let (before, after) = (self.stored(&class), self.stored(&with));
            if after < before && work <= WORK_A_NUMBER * (before - after) {
                class = with;
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

    /// The readers of recurrence `k` that leave least to store if they are computed in it: the fewest of them.
    fn consumers(&self, class: &Classes, k: usize) -> Vec<Value> {
        let f = self.f;
        let reverse = f.components.reverse[k];
        let members = self.members(class, k);
        let below = self.reached(class, &members, Self::readers);
        let mut inside: HashSet<Value> = members.iter().copied().collect();
        let mut taken: Vec<Value> = (f.order.iter().copied())
            .filter(|&v| {
                below.contains(&v) && self.is_pointwise(v) && class_of(class, v) == Class::Parallel
            })
            .collect();
        inside.extend(&taken);
        // What reads something of the recurrence that comes about elsewhere, or later, stays where it is.
        loop {
            let before = taken.len();
            taken.retain(|v| {
                let of_it = self.reads(*v).iter().filter(|l| below.contains(&l.at));
                let fits = of_it
                    .clone()
                    .all(|l| inside.contains(&l.at) && Self::in_time(l.via, reverse));
                if !fits {
                    inside.remove(v);
                }
                fits
            });
            if taken.len() == before {
                break;
            }
        }
        if taken.is_empty() {
            return taken;
        }
        // Two nodes a value: it is computed in the loop, and nothing outside needs it.
        let mut net: DiGraph<(), usize> = DiGraph::new();
        let (source, sink) = (net.add_node(()), net.add_node(()));
        let mut node: HashMap<Value, (NodeIndex, NodeIndex)> = HashMap::new();
        for &v in members.iter().filter(|&&v| f.domain(v) == Domain::Step) {
            node.insert(v, (source, net.add_node(())));
        }
        for &v in &taken {
            node.insert(v, (net.add_node(()), net.add_node(())));
        }
        for &v in members.iter().chain(&taken) {
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
        taken.retain(|v| reached.contains(&node[v].0));
        taken
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
        let beside = |l: &Link| l.via == Via::Here && class_of(class, l.at) == Class::Parallel;
        // A part is stored in its whole.
        let is_part = !readers.is_empty()
            && readers
                .iter()
                .all(|l| beside(l) && f.how(l.at) == How::Concat);
        let in_sweep =
            |l: &Link| beside(l) && matches!(f.how(l.at), How::Lane | How::Fold | How::Concat);
        let one_loop = readers.first().is_some_and(|first| {
            let loop_of = |l: &Link| class_of(class, l.at);
            let same = |l: &Link| l.via == Via::Here && loop_of(l) == loop_of(first);
            loop_of(first) != Class::Parallel && readers.iter().all(same)
        });
        match f.how(v) {
            How::Lane => !readers.iter().all(in_sweep) && !one_loop,
            How::View | How::Absorbed | How::Global => false,
            _ => !is_part,
        }
    }

    /// True if a value of a recurrence lives in a concatenation beside it that is stored for all steps.
    fn is_part(&self, class: &Classes, v: Value) -> bool {
        let f = self.f;
        let own = class_of(class, v);
        let whole = |l: &&Link| {
            l.via == Via::Here && f.how(l.at) == How::Concat && class_of(class, l.at) == own
        };
        let leaves = |l: &Link| class_of(class, l.at) != own;
        (self.readers(v).iter().filter(whole))
            .any(|l| f.g.is_output(l.at) || self.readers(l.at).iter().any(leaves))
    }

    /// Numbers that are stored a row and step, by what is known before anything is scheduled.
    fn stored(&self, class: &Classes) -> usize {
        let f = self.f;
        let over_steps = |v: &&Value| f.domain(**v) == Domain::Step && f.how(**v) != How::View;
        let stored = |v: &Value| match class_of(class, *v) {
            Class::Parallel => self.is_stored_outside(class, *v),
            own @ Class::Recurrent(k) => {
                let local = |l: &Link| match l.via {
                    Via::Boundary(_) => !self.is_long(l.via, f.components.reverse[k]),
                    Via::Init => false,
                    _ => {
                        class_of(class, l.at) == own
                            && !self.is_long(l.via, f.components.reverse[k])
                    }
                };
                let leaves = f.g.is_output(*v) || !self.readers(*v).iter().all(local);
                leaves && !self.is_part(class, *v)
            }
        };
        (f.order.iter().filter(over_steps))
            .filter(|v| stored(v))
            .map(|&v| f.len(v))
            .sum()
    }

    /// What only one recurrence reads joins it.
    fn producers(&self, class: &mut Classes, wide: bool) {
        let f = self.f;
        let lane_wise = |v: &Value| matches!(f.how(*v), How::View | How::Lane | How::Concat);
        let slow: HashSet<Class> = (f.order.iter())
            .filter(|v| !lane_wise(v))
            .map(|&v| class_of(class, v))
            .collect();
        for &v in f.order.iter().rev() {
            if !self.is_pointwise(v) || class_of(class, v) != Class::Parallel || f.g.is_output(v) {
                continue;
            }
            let operands = f.g.operands(v).into_iter();
            let takes: usize = (operands.filter(|&x| f.domain(x) == Domain::Step))
                .map(|x| f.len(x))
                .sum();
            let small = match f.how(v) {
                How::Lane => {
                    let in_one_sweep =
                        |l: &Link| f.how(l.at) == How::Lane && f.reads_whole(l.at, v);
                    self.readers(v).iter().any(in_one_sweep)
                }
                How::Row => takes <= f.len(v) && self.work(v) <= WORK_A_NUMBER * f.len(v),
                _ => false,
            };
            let readers = self.readers(v);
            let Some(own) = readers.first().map(|l| class_of(class, l.at)) else {
                continue;
            };
            let pointwise = |l: &Link| self.is_pointwise(l.at) && l.via == Via::Here;
            if small
                && own != Class::Parallel
                && readers
                    .iter()
                    .all(|l| pointwise(l) && class_of(class, l.at) == own)
                && (slow.contains(&own) || !wide || !f.is_wide_activation(v))
            {
                class.insert(v, own);
            }
        }
    }
}
