//! *components*: the strongly connected components of the step graph, delays included.
//!
//! A component with a delay inside is a recurrence; it runs step after step, forward or backward in time. Everything
//! else is parallel over its domain.

use retrograd_tape::{BothWays, Op, Value, cancels};
use rustc_hash::FxHashMap as HashMap;

use crate::graph::Graph;

/// Where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// At all points of its domain at once.
    Parallel,
    /// In a recurrence, by its number.
    Recurrent(usize),
}

/// The recurrences of a graph.
#[derive(Clone, Debug)]
pub struct Components {
    class: HashMap<Value, Class>,
    /// For each recurrence, whether it runs from the last step to the first.
    pub reverse: Vec<bool>,
}

impl Components {
    pub(crate) fn new(class: HashMap<Value, Class>, reverse: Vec<bool>) -> Components {
        Components { class, reverse }
    }

    /// Where a node runs.
    pub fn class(&self, v: Value) -> Class {
        self.class.get(&v).copied().unwrap_or(Class::Parallel)
    }
}

/// Finds the recurrences, numbered in the order of their first nodes.
///
/// # Errors
/// A recurrence whose delays point both ways in time.
pub fn components(g: &Graph) -> Result<Components, BothWays> {
    let order = g.order();
    let place: HashMap<Value, usize> = order.iter().enumerate().map(|(i, &v)| (v, i)).collect();
    let mut found: Vec<Vec<Value>> = petgraph::algo::kosaraju_scc(g.net())
        .into_iter()
        .map(|c| {
            c.into_iter()
                .map(|n| Value(n.index() as u32))
                .filter(|v| place.contains_key(v))
                .collect::<Vec<_>>()
        })
        .filter(|c| c.len() > 1 || c.iter().any(|&v| g.operands(v).contains(&v)))
        .collect();
    found.sort_by_key(|c| c.iter().map(|v| place[v]).min());
    let mut out = Components {
        class: HashMap::default(),
        reverse: Vec::new(),
    };
    for (k, members) in found.iter().enumerate() {
        for &v in members {
            out.class.insert(v, Class::Recurrent(k));
        }
        // Only delays whose operand lies inside carry the recurrence.
        let mut delays: Vec<(Value, i32)> = members
            .iter()
            .filter_map(|&v| match g.op_of(v) {
                Op::Delay(d) if out.class(g.operands(v)[0]) == Class::Recurrent(k) => Some((v, *d)),
                _ => None,
            })
            .collect();
        delays.sort_by_key(|(v, _)| place[v]);
        let backward = delays.iter().filter(|(_, d)| *d < 0).count();
        if backward != 0 && backward != delays.len() {
            let states: Vec<String> = delays
                .iter()
                .map(|(v, d)| format!("{} (delay {d})", g.describe(*v)))
                .collect();
            let states = states.join(", ");
            return Err(BothWays::new(no_order(g, members), states));
        }
        out.reverse.push(backward > 0);
    }
    Ok(out)
}

/// True if no order of the steps can compute a recurrence.
fn no_order(g: &Graph, members: &[Value]) -> bool {
    let number: HashMap<Value, usize> = members.iter().enumerate().map(|(i, &v)| (v, i)).collect();
    let mut edges = Vec::new();
    for (&v, &to) in &number {
        for (k, x) in g.operands(v).iter().enumerate() {
            if let Some(&from) = number.get(x) {
                edges.push((from, to, g.op_of(v).steps_back(k)));
            }
        }
    }
    cancels(members.len(), &edges)
}
