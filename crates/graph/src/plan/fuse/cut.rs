//! Consumers: the readers of a recurrence that leave least to store if computed in it, found by a minimum cut.

use std::collections::{HashMap, HashSet};

use petgraph::Direction;
use petgraph::algo::dinics;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use retrograd_tape::{Domain, Value};

use super::network::{Classes, Net, Via};
use crate::passes::components::Class;
use crate::work::Allowance;

/// Greater than the cost of any cut.
const NEVER: usize = usize::MAX >> 16;

impl Net<'_, '_> {
    /// The readers of recurrence `k` that leave least to store if they are computed in it, the smallest such set. Empty
    /// if the search takes too long.
    pub(super) fn consumers(
        &self,
        class: &Classes,
        k: usize,
        left: &mut Allowance,
    ) -> Option<Vec<Value>> {
        let f = self.f;
        let reverse = f.components.reverse[k];
        let members = &class.members[k];
        if members.is_empty() {
            return Some(Vec::new());
        }
        let below = self.reached(class, members, Self::readers, left)?;
        let mut inside = vec![false; self.place.len()];
        members.iter().for_each(|v| inside[v.index()] = true);
        let late = self.is_late(class, k);
        let joins = |v: &Value| {
            let here = class.of(*v) == Class::Parallel && f.halves.is_late(*v) == late;
            here && self.is_pointwise(*v)
        };
        let mut taken: Vec<Value> = below.all.iter().copied().filter(joins).collect();
        taken.iter().for_each(|v| inside[v.index()] = true);
        // A value that reads something of the recurrence computed elsewhere, or later, stays where it is.
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

    /// The values of `taken` that are on the recurrence's side of the minimum cut.
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
        // Two nodes per value: it is computed in the loop, and nothing outside needs it.
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
                    // A value leaving at the end is in the last step's array.
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
        // A flow visits every edge a few times, and each of its paths tries the source's edges from the first on.
        let paths = members.len() * taken.len() / 8;
        if !left.spend(8 * (net.node_count() + net.edge_count()) + paths) {
            return None;
        }
        let (_, flows) = dinics(&net, source, sink);
        // The source's side: the nodes that can still be reached from it.
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
}
