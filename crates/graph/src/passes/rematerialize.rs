//! *rematerialize*: values that are cheaper to recompute than to store are recomputed by their reader.
//!
//! A value that crosses from one recurrence to another is stored for all steps. If it is an element-wise op of values
//! that are stored anyway, as tanh c is of c in an LSTM, the reader computes it: 6 numbers per unit and step cross
//! instead of 7. Likewise what is computed for all steps at once and read by the backward step again, as a normalised
//! x is: its distance from the mean and the reciprocal of the deviation are kept for other derivatives. The arithmetic
//! that makes an operand from what is stored is copied too: what a delta rule leaves of a state, S - u kᵀ, is made from the
//! state and two vectors. (The standard form of rematerialisation: nodes are copied to the reader's side of a cut.)

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
        if !only_crosses {
            continue;
        }
        let Some(copied) = recipe(g, v, |x| is_kept(g, &side, x, v, late, &moved)) else {
            continue;
        };
        moved.insert(v);
        let mut readers: Vec<Side> = across.iter().map(|u| side[u]).collect();
        readers.sort_unstable();
        readers.dedup();
        for reader in readers {
            let mut copies: Vec<(Value, Value)> = Vec::new();
            for &x in &copied {
                let mut operands = g.operands(x);
                for o in &mut operands {
                    if let Some(&(_, copy)) = copies.iter().find(|(from, _)| from == o) {
                        *o = copy;
                    }
                }
                let copy = new.add(*g.op_of(x), &operands, g.node(x).ty);
                copies.push((x, copy));
            }
            let copy = copies[copies.len() - 1].1;
            for &u in across.iter().filter(|&u| side[u] == reader) {
                new.replace_operand(u, v, copy);
            }
        }
    }
    new
}

/// Most nodes that are copied for one value.
const MOST_COPIED: usize = 4;

/// The nodes to copy, operands first, so that `v` is computed from values that are `kept`: where an operand is not, the
/// arithmetic that makes it is copied too. `None` if there is no such way that reads no more than storing `v` moves.
fn recipe(g: &Graph, v: Value, kept: impl Fn(Value) -> bool) -> Option<Vec<Value>> {
    let (mut copied, mut read) = (Vec::new(), HashSet::default());
    let found = follow(g, v, &kept, &mut { MOST_COPIED }, &mut copied, &mut read);
    // Storing and loading it moves as much as loading two others.
    (found && (copied.len() == 1 || read.len() <= 2)).then_some(copied)
}

/// Adds `v` to the nodes to copy after those that it needs, and what is as long as it to what these read; false if some
/// operand can be neither read nor copied, or if nodes are not `left` for all.
fn follow(
    g: &Graph,
    v: Value,
    kept: &impl Fn(Value) -> bool,
    left: &mut usize,
    copied: &mut Vec<Value>,
    read: &mut HashSet<Value>,
) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    for x in g.operands(v) {
        match *g.op_of(x) {
            _ if copied.contains(&x) => {}
            Op::Broadcast(_) | Op::Constant { .. } if kept(x) => {}
            _ if kept(x) => {
                read.insert(x);
            }
            Op::Map(m) if is_arithmetic(m) && follow(g, x, kept, left, copied, read) => {}
            _ => return false,
        }
    }
    copied.push(v);
    true
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
    if moved.contains(&x) {
        return false;
    }
    let own = side[&v];
    let across = |u: Value| side[&u] != own && u != v && (!late || side[&u].late);
    let is_view = |op: &Op| {
        let of_all = matches!(op, Op::Broadcast(_) | Op::Reshape(_) | Op::Spread(_));
        of_all || matches!(op, Op::Delay(_) | Op::Slice { axis: 0, .. })
    };
    // Its readers, through views.
    let mut open = vec![x];
    while let Some(x) = open.pop() {
        for u in g.users(x) {
            match g.op_of(u) {
                Op::Boundary(_) => {}
                op if is_view(op) => open.push(u),
                _ if across(u) => return true,
                _ => {}
            }
        }
    }
    false
}
