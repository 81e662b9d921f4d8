//! Distribution at its coarsest: instead of one loop per recurrence with parallel work outside, all work over steps is
//! done in *sweeps*, each one loop over time, alternating forward and backward, and every value is in the first sweep
//! that can compute it.
//!
//! Tests use it as the opposite extreme of distribution; it also serves to measure what distribution gains.

use retrograd_tape::{Domain, Op, Value};
use rustc_hash::FxHashMap as HashMap;

use crate::graph::Graph;
use crate::passes::components::{Class, Components};
use crate::passes::halves::Halves;

/// The sweeps of a graph as if they were its recurrences. Even ones run forward, odd ones backward. Those of the
/// backward half come after all of the forward half.
pub(crate) fn coarsest(g: &Graph, fine: &Components) -> Components {
    let halves = Halves::of(g);
    let (early, late): (Vec<Value>, Vec<Value>) =
        g.order().into_iter().partition(|&v| !halves.is_late(v));
    let mut sweep: HashMap<Value, usize> = HashMap::default();
    let mut end = 0;
    for half in [early, late] {
        end = place(g, fine, &half, &mut sweep, end);
    }
    Components::new(
        (g.order().into_iter().filter(|v| over_steps(g, *v)))
            .map(|v| (v, Class::Recurrent(sweep[&v])))
            .collect(),
        (0..end).map(|p| p % 2 == 1).collect(),
    )
}

fn over_steps(g: &Graph, v: Value) -> bool {
    g.node(v).ty.domain == Domain::Step
}

/// Places the values of one half in sweeps, from `start` on, and returns the sweep after the last.
fn place(
    g: &Graph,
    fine: &Components,
    order: &[Value],
    sweep: &mut HashMap<Value, usize>,
    start: usize,
) -> usize {
    // For a value over steps, its sweep; for any other, the first sweep that can read it.
    // A recurrence lies within one sweep as a whole.
    let first = |reverse: bool| start + (start + usize::from(reverse)) % 2;
    let mut least: Vec<usize> = fine.reverse.iter().map(|&r| first(r)).collect();
    loop {
        let mut changed = false;
        for &v in order {
            let mut p = (g.operands(v).iter().enumerate())
                .map(|(i, x)| earliest(g, sweep, v, i, *x))
                .max()
                .unwrap_or(0)
                .max(start);
            if let Class::Recurrent(k) = fine.class(v) {
                // Advance to the next sweep of its direction.
                p += (p + usize::from(fine.reverse[k])) % 2;
                p = p.max(least[k]);
                changed |= p > least[k];
                least[k] = p;
            }
            changed |= sweep.insert(v, p) != Some(p);
        }
        if !changed {
            break;
        }
    }
    let last = order
        .iter()
        .filter(|v| over_steps(g, **v))
        .map(|v| sweep[v]);
    last.max().map_or(start, |p| p + 1)
}

/// The first sweep that operand `i` of `v` permits.
fn earliest(g: &Graph, sweep: &HashMap<Value, usize>, v: Value, i: usize, x: Value) -> usize {
    let p = sweep.get(&x).copied().unwrap_or(0);
    if g.node(x).ty.domain != Domain::Step || matches!(g.op_of(x), Op::Input { .. }) {
        return p;
    }
    let done_by_then = match *g.op_of(v) {
        // Earlier steps are done in a forward loop, later ones in a backward loop.
        Op::Delay(d) if i == 0 => (d < 0) == (p % 2 == 1),
        // A sum over steps, or a value leaving at an end, must be complete.
        _ => g.node(v).ty.domain == Domain::Step,
    };
    if done_by_then { p } else { p + 1 }
}
