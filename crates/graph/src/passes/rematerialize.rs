//! *rematerialize*: values that are cheaper to recompute than to store are recomputed by their reader.
//!
//! A value that crosses from one recurrence to another is stored for all steps. If it is an element-wise op of values
//! that are stored anyway, as tanh c is of c in an LSTM, the reader computes it: 6 numbers per unit and step cross
//! instead of 7. Likewise what is computed for all steps at once and read by the backward step again, as a normalised
//! x is: its distance from the mean and the reciprocal of the deviation are kept for other derivatives. (The standard
//! form of rematerialisation: nodes are copied to the reader's side of a cut.)

use retrograd_tape::{Domain, Map, Op, Value};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

use crate::graph::Graph;
use crate::passes::components::{Class, Components, components};
use crate::passes::halves::is_early;

/// Where a value is computed: in its recurrence, or for all steps at once, before the backward step or with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Side {
    class: Class,
    late: bool,
}

/// Copies nodes to the side of a cut that reads them. The graph then has two equal nodes, so no rebuilding pass may
/// follow.
pub fn rematerialize(g: &Graph) -> Graph {
    let Ok(components) = components(g) else {
        return g.clone();
    };
    let side = sides(g, &components);
    let mut new = g.clone();
    let mut moved: HashSet<Value> = HashSet::default();
    for v in g.order() {
        let (&Op::Map(map), own) = (g.op_of(v), side[&v]) else {
            continue;
        };
        let recurrent = matches!(components.class(v), Class::Recurrent(_));
        // What is computed for all steps at once crosses only to the backward step.
        if !recurrent && (own.late || own.class != Class::Parallel) {
            continue;
        }
        let (inside, across): (Vec<Value>, Vec<Value>) =
            (g.users(v)).partition(|u| side[u] == own || !recurrent && !side[u].late);
        let element_wise = |u: &Value| matches!(g.op_of(*u), Op::Map(_));
        // Work for all steps at once reads from farther away than a recurrence: only arithmetic is cheaper there.
        let cheap = |u: &Value| match side[u].class {
            Class::Parallel => side[u].late && is_arithmetic(map),
            Class::Recurrent(_) => is_cheap(map),
        };
        let only_crosses = !across.is_empty()
            && inside.iter().all(element_wise)
            && across.iter().all(|u| element_wise(u) && cheap(u))
            && !g.is_output(v);
        let late = across.iter().any(|u| side[u].late);
        let kept = |&x: &Value| is_kept(g, &side, x, v, late, &moved);
        if !only_crosses || !g.operands(v).iter().all(kept) {
            continue;
        }
        moved.insert(v);
        let mut readers: Vec<Side> = across.iter().map(|u| side[u]).collect();
        readers.sort_unstable();
        readers.dedup();
        for reader in readers {
            let copy = new.add(*g.op_of(v), &g.operands(v), g.node(v).ty);
            for &u in across.iter().filter(|&u| side[u] == reader) {
                new.replace_operand(u, v, copy);
            }
        }
    }
    new
}

/// Where each value is computed: in its recurrence, in the only recurrence that reads it, or for all steps at once.
fn sides(g: &Graph, components: &Components) -> HashMap<Value, Side> {
    let first = g.outputs().iter().filter(|o| is_early(o.role));
    let early = g.above(first.map(|o| o.value));
    let mut side: HashMap<Value, Side> = HashMap::default();
    for v in g.order().into_iter().rev() {
        let mut class = components.class(v);
        if class == Class::Parallel && matches!(g.op_of(v), Op::Map(_)) && !g.is_output(v) {
            // Delays of a recurrence come before it in the order and have no side yet: they keep their operand outside.
            let mut readers = g
                .users(v)
                .map(|u| side.get(&u).map_or(Class::Parallel, |s| s.class));
            if let Some(first) = readers.next()
                && readers.all(|r| r == first)
                && !g
                    .users(v)
                    .any(|u| matches!(g.op_of(u), Op::Delay(_) | Op::Boundary(_)))
            {
                class = first;
            }
        }
        let late = !early.contains(&v);
        side.insert(v, Side { class, late });
    }
    side
}

/// One or two instructions.
fn is_arithmetic(map: Map) -> bool {
    matches!(
        map,
        Map::Add
            | Map::Sub
            | Map::Mul
            | Map::Neg
            | Map::Abs
            | Map::Relu
            | Map::Max
            | Map::Min
            | Map::Select
    )
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

/// True if the value behind operand `x` is stored for all steps, whatever becomes of its reader `v`; if `late`, until the
/// backward step.
fn is_kept(
    g: &Graph,
    side: &HashMap<Value, Side>,
    x: Value,
    v: Value,
    late: bool,
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
    let own = side[&v];
    let across = |u: Value| side[&u] != own && u != v && (!late || side[&u].late);
    g.users(x).any(|u| match g.op_of(u) {
        Op::Boundary(_) => false,
        Op::Delay(_) => g
            .users(u)
            .any(|w| across(w) && !matches!(g.op_of(w), Op::Boundary(_))),
        Op::Broadcast(_) | Op::Reshape(_) => g.users(u).any(across),
        _ => across(u),
    })
}
