//! *rematerialize*: values that are cheaper to recompute than to store are recomputed by their reader.
//!
//! A value that crosses from one recurrence to another is stored for all steps. If it is an element-wise op of values
//! that are stored anyway, as tanh c is of c in an LSTM, the reader computes it: 6 numbers per unit and step cross
//! instead of 7. (The standard form of rematerialisation: nodes are copied to the reader's side of a cut.)

use retrograd_tape::{Domain, Map, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::graph::Graph;
use crate::passes::components::{Class, Components, components};

/// Copies nodes to the recurrences that read them. The graph then has two equal nodes, so no rebuilding pass may
/// follow.
pub fn rematerialize(g: &Graph) -> Graph {
    let Ok(components) = components(g) else {
        return g.clone();
    };
    let side = sides(g, &components);
    let mut new = g.clone();
    let mut moved: HashSet<Value> = HashSet::default();
    for v in g.order() {
        let (&Op::Map(map), own @ Class::Recurrent(_)) = (g.op_of(v), components.class(v)) else {
            continue;
        };
        let (inside, across): (Vec<Value>, Vec<Value>) = g.users(v).partition(|u| side[u] == own);
        let element_wise = |u: &Value| matches!(g.op_of(*u), Op::Map(_));
        let recurrent = |u: &Value| side[u] != Class::Parallel;
        let only_crosses = !across.is_empty()
            && inside.iter().all(element_wise)
            && across.iter().all(|u| element_wise(u) && recurrent(u))
            && !g.is_output(v);
        let kept = |&x: &Value| is_kept(g, &side, own, x, v, &moved);
        if !is_cheap(map) || !only_crosses || !g.operands(v).iter().all(kept) {
            continue;
        }
        moved.insert(v);
        let mut readers: Vec<Class> = across.iter().map(|u| side[u]).collect();
        readers.sort_unstable();
        readers.dedup();
        for class in readers {
            let copy = new.add(*g.op_of(v), &g.operands(v), g.node(v).ty);
            for &u in across.iter().filter(|&u| side[u] == class) {
                new.replace_operand(u, v, copy);
            }
        }
    }
    new
}

/// Where each value is computed: in its recurrence, in the only recurrence that reads it, or for all steps at once.
fn sides(g: &Graph, components: &Components) -> HashMap<Value, Class> {
    let mut side: HashMap<Value, Class> = HashMap::default();
    for v in g.order().into_iter().rev() {
        let mut class = components.class(v);
        if class == Class::Parallel && matches!(g.op_of(v), Op::Map(_)) && !g.is_output(v) {
            // Delays of a recurrence come before it in the order and have no side yet: they keep their operand outside.
            let mut readers = g
                .users(v)
                .map(|u| side.get(&u).copied().unwrap_or(Class::Parallel));
            if let Some(first) = readers.next()
                && readers.all(|r| r == first)
                && !g
                    .users(v)
                    .any(|u| matches!(g.op_of(u), Op::Delay(_) | Op::Boundary(_)))
            {
                class = first;
            }
        }
        side.insert(v, class);
    }
    side
}

/// Cheaper to compute than to store and load in every step: arithmetic, and ops that have wide kernels.
fn is_cheap(map: Map) -> bool {
    !matches!(
        map,
        Map::Pow
            | Map::Expm1
            | Map::Ln
            | Map::Log1p
            | Map::Erf
            | Map::Sin
            | Map::Cos
            | Map::RoundBf16
    )
}

/// True if the value behind operand `x` is stored for all steps, whatever becomes of its reader `v`.
fn is_kept(
    g: &Graph,
    side: &HashMap<Value, Class>,
    own: Class,
    x: Value,
    v: Value,
    moved: &HashSet<Value>,
) -> bool {
    let mut x = x;
    while let Op::Broadcast(_) | Op::Reshape(_) | Op::Spread(_) | Op::Slice { axis: 0, .. } =
        g.op_of(x)
    {
        x = g.operands(x)[0];
    }
    let given = |op: &Op| matches!(op, Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_));
    if given(g.op_of(x)) || g.is_output(x) {
        return true;
    }
    match g.node(x).ty.domain {
        Domain::Once | Domain::Row => return true,
        Domain::BoundarySlots(_) => return false,
        Domain::Step => {}
    }
    if moved.contains(&x) || matches!(g.op_of(x), Op::Delay(_)) {
        return false;
    }
    let across = |u: Value| side[&u] != own && u != v;
    g.users(x).any(|u| match g.op_of(u) {
        Op::Boundary(_) => false,
        Op::Delay(_) => g
            .users(u)
            .any(|w| across(w) && !matches!(g.op_of(w), Op::Boundary(_))),
        _ => across(u),
    })
}
