//! The order in which the interpreter computes a tape: sweeps over the steps, and what lies between them.

use crate::algebra::Value;
use crate::cycles::cancels;
use crate::op::Op;
use crate::tape::{Node, Tape};
use crate::ty::Domain;

/// Which phase of a run computes each node. The values of each step are computed in sweeps over time; what does not vary over
/// the steps is computed before, between and after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// For each node, its phase. Within a phase, nodes are computed in the order of the tape.
    pub phase: Vec<usize>,
    /// Number of phases; some may be empty.
    pub phases: usize,
}

/// What a phase computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseKind {
    /// Values that do not vary over the steps, each as a whole.
    Whole,
    /// Values of each step, step after step.
    Sweep {
        /// From the last step to the first.
        backward: bool,
    },
}

impl PhaseKind {
    /// The kind of a phase: whole values, a sweep forward, a sweep backward, and so on in turn.
    pub fn of(phase: usize) -> PhaseKind {
        match phase % 3 {
            0 => PhaseKind::Whole,
            turn => PhaseKind::Sweep {
                backward: turn == 2,
            },
        }
    }
}

impl Schedule {
    /// How many sweeps compute anything.
    pub fn sweeps(&self) -> usize {
        let sweep = |phase: &usize| PhaseKind::of(*phase) != PhaseKind::Whole;
        (0..self.phases)
            .filter(sweep)
            .filter(|p| self.phase.contains(p))
            .count()
    }
}

/// The most phases of a kind that a program may need. Real ones need a few; a program of a million ops could ask for as many.
const MOST_SWEEPS: usize = 1 << 10;

/// The most candidates that are looked at for the message about a value that is needed too early.
const MOST_CANDIDATES: usize = 64;

/// A recurrence that no schedule computes.
pub(crate) enum NoSchedule {
    /// Its delays, which point both ways in time.
    BothWays(Vec<Value>),
    /// It needs at some step what is known only after all of them.
    AfterTheSteps {
        /// The value.
        what: Value,
        /// The delays that need it, and that it depends on.
        states: Vec<Value>,
    },
}

/// Assigns every node to a phase, so that a value is computed before it is read.
pub(crate) fn schedule(nodes: &[Node]) -> Result<Schedule, NoSchedule> {
    let mut phase = vec![0usize; nodes.len()];
    // A longest-path relaxation. Only a delay, or a value that the steps hand on, begins a new sweep, so nothing needs more
    // phases than these ask for, unless a recurrence pushes its own nodes up for ever.
    let is_step = |v: usize| nodes[v].ty.domain == Domain::Step;
    let leaves = |i: usize| !is_step(i) && nodes[i].operands.iter().any(|v| is_step(v.index()));
    let begin = (0..nodes.len()).filter(|&i| matches!(nodes[i].op, Op::Delay(_)) || leaves(i));
    let most = 3 * (2 + begin.count().min(MOST_SWEEPS));
    loop {
        let mut moved = false;
        for (i, node) in nodes.iter().enumerate() {
            let mut p = phase[i].max(usize::from(is_step(i)));
            for (k, v) in node.operands.iter().enumerate() {
                let from = phase[v.index()];
                let forward = PhaseKind::of(from) == PhaseKind::Sweep { backward: false };
                let wrong_way = match node.op {
                    Op::Delay(d) if k == 0 && p <= from => (d > 0) != forward,
                    _ => false,
                };
                p = p.max(from + usize::from(wrong_way));
                // Steps are computed in sweeps, everything else between them.
                if is_step(i) && p.is_multiple_of(3) {
                    p += 1;
                } else if !is_step(i) {
                    p = p.next_multiple_of(3);
                }
            }
            moved |= p != phase[i];
            phase[i] = p;
        }
        if !moved {
            let phases = 1 + phase.iter().copied().max().unwrap_or(0);
            return Ok(Schedule { phase, phases });
        }
        if phase.iter().any(|p| *p > most) {
            let mut left: Vec<usize> = (0..nodes.len()).filter(|&i| leaves(i)).collect();
            left.sort_by_key(|&i| std::cmp::Reverse(phase[i]));
            return Err(match handed_back(nodes, &left) {
                Some((what, states)) => NoSchedule::AfterTheSteps { what, states },
                None => NoSchedule::BothWays(both_ways(nodes)),
            });
        }
    }
}

/// The first of these values, which the steps hand on, that the steps need, directly or not; and the delays between.
fn handed_back(nodes: &[Node], candidates: &[usize]) -> Option<(Value, Vec<Value>)> {
    let operands = |i: usize| nodes[i].operands.to_vec();
    for &i in candidates.iter().take(MOST_CANDIDATES) {
        let sources = reached(nodes.len(), operands(i), operands);
        if !sources[i] {
            continue;
        }
        let users = users(nodes);
        let behind = reached(nodes.len(), users[i].clone(), |k| users[k].clone());
        let between = |k: &usize| matches!(nodes[*k].op, Op::Delay(_)) && sources[*k] && behind[*k];
        let delays = (0..nodes.len()).filter(between).map(|k| Value(k as u32));
        return Some((Value(i as u32), delays.collect()));
    }
    None
}

/// The nodes that read each node.
fn users(nodes: &[Node]) -> Vec<Vec<Value>> {
    let mut users: Vec<Vec<Value>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for v in &node.operands {
            users[v.index()].push(Value(i as u32));
        }
    }
    users
}

/// The nodes that are reached from `first`.
fn reached(n: usize, first: Vec<Value>, next: impl Fn(usize) -> Vec<Value>) -> Vec<bool> {
    let mut seen = vec![false; n];
    let mut todo = first;
    while let Some(v) = todo.pop() {
        if !std::mem::replace(&mut seen[v.index()], true) {
            todo.extend(next(v.index()));
        }
    }
    seen
}

/// The delays of a recurrence (delays that depend on each other) that has delays in both directions.
fn both_ways(nodes: &[Node]) -> Vec<Value> {
    let steps = |node: &Node| match node.op {
        Op::Delay(d) => Some(d),
        _ => None,
    };
    let operands = |i: usize| nodes[i].operands.to_vec();
    let sources = |i: usize| reached(nodes.len(), operands(i), operands);
    let delays: Vec<usize> = (0..nodes.len())
        .filter(|&i| steps(&nodes[i]).is_some())
        .collect();
    let sources: Vec<Vec<bool>> = delays.iter().map(|&i| sources(i)).collect();
    for (a, &i) in delays.iter().enumerate() {
        let cycle: Vec<usize> = (delays.iter().enumerate())
            .filter(|&(b, &j)| sources[a][j] && sources[b][i])
            .map(|(_, &j)| j)
            .collect();
        let earlier = |j: &usize| steps(&nodes[*j]) > Some(0);
        if cycle.iter().any(earlier) && !cycle.iter().all(earlier) {
            return cycle.into_iter().map(|j| Value(j as u32)).collect();
        }
    }
    Vec::new()
}

/// True if no order of the steps can compute the recurrence formed by these delays of [`both_ways`].
pub(crate) fn no_order(nodes: &[Node], delays: &[Value]) -> bool {
    let Some(&first) = delays.first() else {
        return true;
    };
    let (users, n) = (users(nodes), nodes.len());
    let before = reached(n, vec![first], |i| nodes[i].operands.to_vec());
    let behind = reached(n, vec![first], |i| users[i].clone());
    let inside = |i: usize| before[i] && behind[i];
    let mut edges = Vec::new();
    for (i, node) in nodes.iter().enumerate().filter(|(i, _)| inside(*i)) {
        for (k, v) in node.operands.iter().enumerate() {
            if inside(v.index()) {
                edges.push((v.index(), i, node.op.steps_back(k)));
            }
        }
    }
    cancels(nodes.len(), &edges)
}

impl Tape {
    /// The phase of a run that computes each node. Recording has checked that such an order exists.
    pub fn schedule(&self) -> Schedule {
        match schedule(self.nodes()) {
            Ok(schedule) => schedule,
            Err(_) => unreachable!("checked when the tape was finished"),
        }
    }
}
