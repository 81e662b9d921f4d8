//! The verifier. Rules:
//!
//! 1. An op has as many operands as it takes, in slots 0, 1, 2 …, each filled once.
//! 2. Types: a node's shape and domain are those that its op infers from its operands ([`Op::infer`]); this covers the
//!    domains (only spread, sums, delays and boundaries lead from one to another).
//! 3. Without the first operands of delays the graph has no cycle.
//! 4. The inputs' table and the input nodes agree, one node per input.
//! 5. Names of inputs are unique, and so are names of outputs.
//! 6. Delays of one recurrence all point the same way in time. (A recurrence of both could be computed if all walks
//!    around it led to earlier steps, or all to later ones; it is rejected too, with another message.)

use petgraph::visit::EdgeRef;
use retrograd_tape::{Op, Type};

use crate::graph::Graph;
use crate::passes::components::components;

/// A broken rule, with its number and location.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: {what}")]
pub struct Broken {
    /// Number of the rule in the module's list.
    pub rule: usize,
    /// The node that breaks it, and how.
    pub what: String,
}

/// Checks all rules.
///
/// # Errors
/// The first rule that is broken.
pub fn verify(g: &Graph) -> Result<(), Broken> {
    let broken = |rule, what: String| Err(Broken { rule, what });
    for n in g.net().node_indices() {
        let v = retrograd_tape::Value(n.index() as u32);
        let edges = g.net().edges_directed(n, petgraph::Direction::Incoming);
        let mut edges: Vec<(usize, usize)> =
            edges.map(|e| (*e.weight(), e.source().index())).collect();
        edges.sort_unstable();
        let (slots, sources): (Vec<usize>, Vec<usize>) = edges.into_iter().unzip();
        let op = g.op_of(v);
        let count_fits = match op.arity() {
            Some(n) => n == slots.len(),
            None => !slots.is_empty(),
        };
        if !count_fits || slots.iter().enumerate().any(|(i, &s)| i != s) {
            return broken(
                1,
                format!("{} has operands in slots {slots:?}", g.describe(v)),
            );
        }
        let operands = g.operands(v);
        if !operands.iter().map(|x| x.index()).eq(sources) {
            return broken(1, format!("{} does not read its operands", g.describe(v)));
        }
        let types: Vec<Type> = operands.iter().map(|&x| g.node(x).ty).collect();
        match op.infer(&types) {
            Ok(ty) if ty == g.node(v).ty => {}
            Ok(ty) => {
                return broken(
                    2,
                    format!(
                        "{} is {}, but its op gives {ty}",
                        g.describe(v),
                        g.node(v).ty
                    ),
                );
            }
            Err(mismatch) => return broken(2, format!("{}: {mismatch:?}", g.describe(v))),
        }
        if let Op::Input { id, .. } = op
            && g.inputs().get(*id).map(|i| i.value) != Some(v)
        {
            return broken(
                4,
                format!("{} is not input {id} of the table", g.describe(v)),
            );
        }
    }
    let without_delays = g.net().filter_map(
        |_, _| Some(()),
        |e, slot| {
            let (_, to) = g.net().edge_endpoints(e).expect("the edge is there");
            (!(*slot == 0 && matches!(g.net()[to].op, Op::Delay(_)))).then_some(())
        },
    );
    if let Err(cycle) = petgraph::algo::toposort(&without_delays, None) {
        let v = retrograd_tape::Value(cycle.node_id().index() as u32);
        return broken(
            3,
            format!("{} depends on itself within a step", g.describe(v)),
        );
    }
    for i in g.inputs() {
        if !matches!(g.op_of(i.value), Op::Input { .. }) || g.node(i.value).ty != i.ty {
            return broken(4, format!("input `{}` and its node differ", i.name));
        }
    }
    if let Some((kind, name)) = named_twice(g) {
        return broken(5, format!("there already is {kind} `{name}`"));
    }
    match components(g) {
        Ok(_) => Ok(()),
        Err(e) => broken(6, e.to_string()),
    }
}

/// The first name that breaks rule 5, and what it names: `an input` or `an output`.
pub(crate) fn named_twice(g: &Graph) -> Option<(&'static str, &str)> {
    let twice = |names: &mut Vec<&'_ str>| {
        names.sort_unstable();
        names.windows(2).position(|w| w[0] == w[1])
    };
    let mut inputs: Vec<&str> = g.inputs().iter().map(|i| &*i.name).collect();
    let mut outputs: Vec<&str> = g.outputs().iter().map(|o| &*o.name).collect();
    if let Some(k) = twice(&mut inputs) {
        return Some(("an input", inputs[k]));
    }
    twice(&mut outputs).map(|k| ("an output", outputs[k]))
}
