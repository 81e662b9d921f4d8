//! Features of a program, for histograms of generated cases.

use std::collections::BTreeSet;

use super::calls::Call;
use crate::algebra::Value;
use crate::map::Map;
use crate::op::Op;
use crate::tape::{InputRole, Node, Output, OutputRole, Tape};
use crate::ty::{Domain, Shape, Type};

/// Kinds of program, as opposed to names of ops.
const KINDS: [&str; 35] = [
    "two recurrences",
    "states that feed each other",
    "|d| > 1",
    "negative d",
    "shared weights",
    "weights that are computed",
    "matrix states",
    "read-outs of matrix states",
    "scalar states",
    "learned initial states",
    "initial states of each row",
    "initial states that are computed",
    "products in initial states",
    "products of parameters",
    "products of static inputs",
    "parameters joined or cut",
    "static inputs",
    "products of each example",
    "concat of columns",
    "slice of columns",
    "loss",
    "weight of the loss",
    "an output that is a state",
    "an unused input",
    "outputs of lower domains",
    "values of three axes",
    "states of three axes",
    "a product per head",
    "a weight per head",
    "stretched axes",
    "steps that read what a row has of its steps",
    "a state that begins with what a row has of its steps",
    LOSS_OF_ROWS,
    LOSS_OF_THE_PROGRAM,
    WEIGHTED_LOSS,
];

// Names of values by which kinds of losses are known.
pub(super) const LOSS_OF_ROWS: &str = "a loss of rows";
pub(super) const LOSS_OF_THE_PROGRAM: &str = "a loss of the program";
pub(super) const WEIGHTED_LOSS: &str = "a loss with a weight of its own";

const NAMED: [&str; 3] = [LOSS_OF_ROWS, LOSS_OF_THE_PROGRAM, WEIGHTED_LOSS];

/// True for ops that work over any domain.
fn over_any_domain(op: &Op) -> bool {
    match op {
        Op::Map(_)
        | Op::Reduce(_)
        | Op::ReduceAxis { .. }
        | Op::Dot
        | Op::Broadcast(_)
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::MatVec { .. }
        | Op::Gather => true,
        Op::Input { .. }
        | Op::Constant { .. }
        | Op::Zeros(_)
        | Op::Outer { .. }
        | Op::Scatter { .. }
        | Op::Delay(_)
        | Op::Boundary(_)
        | Op::Spread(_)
        | Op::SumTo(_) => false,
    }
}

/// Names of domains, whatever their number of slots.
const DOMAINS: [&str; 4] = ["once", "row", "slots", "step"];

/// Ops that are bound to domains, and those domains: that of the work and, where it may differ, that of the result.
const BOUND: [&str; 33] = [
    "input over once",
    "input over row",
    "input over slots",
    "input over step",
    "spread over row",
    "spread over slots",
    "spread over step",
    "delay over step",
    "boundary over slots",
    "sum_to over row to once",
    "sum_to over slots to once",
    "sum_to over slots to row",
    "sum_to over step to once",
    "sum_to over step to row",
    "outer over once",
    "outer over row",
    "outer over slots",
    "outer over step",
    "outer over row to once",
    "outer over slots to once",
    "outer over slots to row",
    "outer over step to once",
    "outer over step to row",
    "scatter over once",
    "scatter over row",
    "scatter over slots",
    "scatter over step",
    "scatter over row to once",
    "scatter over slots to once",
    "scatter over slots to row",
    "scatter over step to once",
    "scatter over step to row",
    "const",
];

/// Every tag that [`tags_of`] can return: kinds of program, and ops with the domains that they may work over.
pub fn every_tag() -> Vec<String> {
    let over = Op::each()
        .filter(over_any_domain)
        .flat_map(|op| DOMAINS.map(|d| format!("{} over {d}", op.name())));
    let kinds = BOUND.into_iter().chain(KINDS);
    over.chain(kinds.map(str::to_string))
        .chain(Call::tags())
        .collect()
}

/// Tags of everything that the selected outputs depend on, as in [`every_tag`]: ops over domains, and kinds of program.
/// Ops over `once` count only if they depend on an input: without one they are a constant.
pub fn tags_of(tape: &Tape, pass: impl Fn(&Output) -> bool) -> BTreeSet<String> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut ops = BTreeSet::new();
    let outputs = || tape.outputs().iter().filter(|o| pass(o));
    let needed = ancestors(tape, outputs().map(|o| o.value));
    let varies = varying(tape);
    let nodes = || (tape.nodes().iter().enumerate()).filter(|(i, _)| needed[*i]);
    let ty = |v: Value| tape.node(v).ty;
    let mut delays = Vec::new();
    let carried = nodes().filter(|(_, n)| matches!(n.op, Op::Delay(_)));
    let carried: BTreeSet<usize> = carried.map(|(_, n)| n.operands[0].index()).collect();
    for (i, node) in nodes() {
        let xs = &node.operands;
        ops.extend(
            op_over(tape, i).filter(|_| varies[i] || matches!(node.op, Op::Constant { .. })),
        );
        found.extend(product(tape, node, &varies));
        match node.op {
            Op::Concat { .. } | Op::Slice { .. } | Op::Reshape(_)
                if node.ty.domain == Domain::Once && varies[i] =>
            {
                found.insert("parameters joined or cut");
            }
            _ => {}
        }
        match node.op {
            Op::Concat { axis: 1 } => {
                found.insert("concat of columns");
            }
            Op::Slice { axis: 1, .. } => {
                found.insert("slice of columns");
            }
            Op::MatVec { .. } if ty(xs[0]).domain != Domain::Once => {
                found.insert("products of each example");
                if carried.contains(&xs[0].index()) {
                    found.insert("read-outs of matrix states");
                }
            }
            Op::MatVec { .. } if !matches!(tape.node(xs[0]).op, Op::Input { .. }) => {
                found.insert("weights that are computed");
            }
            Op::Delay(d) => {
                delays.push(i);
                if d.unsigned_abs() > 1 {
                    found.insert("|d| > 1");
                }
                if d < 0 {
                    found.insert("negative d");
                }
                match node.ty.shape {
                    Shape::Scalar => found.insert("scalar states"),
                    Shape::Vector(_) => false,
                    Shape::Matrix(..) | Shape::Tensor(..) => found.insert("matrix states"),
                };
                match ty(xs[1]).domain {
                    Domain::Once => found.insert("learned initial states"),
                    Domain::Row => found.insert("initial states of each row"),
                    Domain::BoundarySlots(_) | Domain::Step => false,
                };
                found.extend(beginning(tape, xs[1], &varies));
            }
            _ => {}
        }
    }
    for input in tape.inputs() {
        let users = nodes()
            .flat_map(|(_, n)| &n.operands)
            .filter(|v| **v == input.value)
            .count();
        match (input.role, users) {
            (_, 0) => found.insert("an unused input"),
            (InputRole::Param, 2..) => found.insert("shared weights"),
            (InputRole::Static, _) => found.insert("static inputs"),
            (InputRole::Weight, _) => found.insert("weight of the loss"),
            _ => false,
        };
    }
    for o in outputs() {
        match (o.role, &tape.node(o.value).op) {
            (OutputRole::Loss, _) => found.insert("loss"),
            (OutputRole::Output, Op::Delay(_)) => found.insert("an output that is a state"),
            (OutputRole::Output, _) if ty(o.value).domain != Domain::Step => {
                found.insert("outputs of lower domains")
            }
            _ => false,
        };
    }
    recurrences(tape, &delays, &mut found);
    found.extend(nodes().filter_map(|(_, n)| shaped(tape, n)));
    let late = late(tape);
    let reads_late = |n: &Node| n.operands.iter().any(|x| late[x.index()]);
    for (_, node) in nodes().filter(|(_, n)| n.ty.domain == Domain::Step && reads_late(n)) {
        found.insert(match node.op {
            Op::Delay(_) => "a state that begins with what a row has of its steps",
            _ => "steps that read what a row has of its steps",
        });
    }
    let called = nodes().filter_map(|(_, n)| n.name.as_deref());
    ops.extend(called.filter_map(|name| match NAMED.contains(&name) {
        true => Some(name.to_string()),
        false => Call::tags().find(|tag| tag.split(" over ").next() == Some(name)),
    }));
    ops.extend(found.into_iter().map(str::to_string));
    ops
}

/// An op, the domain that it works over, and that of its result if it differs.
fn op_over(tape: &Tape, i: usize) -> impl Iterator<Item = String> {
    let node = &tape.nodes()[i];
    let name = |d: Domain| match d {
        Domain::Once => "once",
        Domain::Row => "row",
        Domain::BoundarySlots(_) => "slots",
        Domain::Step => "step",
    };
    let types: Vec<Type> = node.operands.iter().map(|&x| tape.node(x).ty).collect();
    let (work, result) = (node.op.work_domain(&types), node.ty.domain);
    let op = node.op.name();
    let over = match node.op {
        Op::Constant { .. } => Some(op.to_string()),
        // A sum over a single number, which the recorder leaves out.
        Op::SumTo(_) if work == result => None,
        _ if work == result => Some(format!("{op} over {}", name(work))),
        _ => Some(format!("{op} over {} to {}", name(work), name(result))),
    };
    over.into_iter()
}

/// What a node's shapes make it.
fn shaped(tape: &Tape, node: &Node) -> Option<&'static str> {
    let operand = |k: usize| tape.node(node.operands[k]).ty;
    let of_three = |shape: Shape| matches!(shape, Shape::Tensor(..));
    match node.op {
        Op::MatVec { .. } if of_three(operand(0).shape) => Some(match operand(0).domain {
            Domain::Once => "a weight per head",
            _ => "a product per head",
        }),
        Op::Broadcast(_) if operand(0).shape != Shape::Scalar => Some("stretched axes"),
        Op::Delay(_) if of_three(node.ty.shape) => Some("states of three axes"),
        _ if of_three(node.ty.shape) => Some("values of three axes"),
        _ => None,
    }
}

/// Which nodes do not vary over the steps but depend on them.
fn late(tape: &Tape) -> Vec<bool> {
    let mut late = vec![false; tape.nodes().len()];
    for (i, node) in tape.nodes().iter().enumerate() {
        let of_steps = |x: &Value| tape.node(*x).ty.domain == Domain::Step || late[x.index()];
        late[i] = node.ty.domain != Domain::Step && node.operands.iter().any(of_steps);
    }
    late
}

/// Which nodes depend on an input.
fn varying(tape: &Tape) -> Vec<bool> {
    let mut varies = vec![false; tape.nodes().len()];
    for (i, node) in tape.nodes().iter().enumerate() {
        let input = matches!(node.op, Op::Input { .. } | Op::Delay(_));
        varies[i] = input || node.operands.iter().any(|x| varies[x.index()]);
    }
    varies
}

/// A product of values that do not vary by step.
fn product(tape: &Tape, node: &Node, varies: &[bool]) -> Option<&'static str> {
    let product = matches!(
        node.op,
        Op::MatVec { .. } | Op::Dot | Op::Outer { .. } | Op::Map(Map::Mul)
    );
    let xs = &node.operands;
    let domain = |k: usize| tape.node(xs[k]).ty.domain;
    if !product || !xs.iter().all(|x| varies[x.index()]) {
        return None;
    }
    match domain(0).join(domain(1)) {
        Some(Domain::Once) => Some("products of parameters"),
        Some(Domain::Row) => Some("products of static inputs"),
        _ => None,
    }
}

/// The initial value of a state, unless it is an input or a constant.
fn beginning(tape: &Tape, init: Value, varies: &[bool]) -> Vec<&'static str> {
    let computed = !matches!(tape.node(init).op, Op::Input { .. } | Op::Constant { .. });
    let mut found = Vec::new();
    if computed && varies[init.index()] {
        found.push("initial states that are computed");
        let needed = ancestors(tape, std::iter::once(init));
        let nodes = tape.nodes().iter().enumerate().filter(|(i, _)| needed[*i]);
        if nodes
            .into_iter()
            .any(|(_, n)| product(tape, n, varies).is_some())
        {
            found.push("products in initial states");
        }
    }
    found
}

/// The nodes that the given ones depend on, themselves included.
fn ancestors(tape: &Tape, from: impl Iterator<Item = Value>) -> Vec<bool> {
    let mut seen = vec![false; tape.nodes().len()];
    let mut work: Vec<Value> = from.collect();
    while let Some(v) = work.pop() {
        if !std::mem::replace(&mut seen[v.index()], true) {
            work.extend(&tape.node(v).operands);
        }
    }
    seen
}

fn recurrences(tape: &Tape, delays: &[usize], found: &mut BTreeSet<&'static str>) {
    let needs: Vec<Vec<bool>> = (delays.iter())
        .map(|&d| ancestors(tape, std::iter::once(tape.nodes()[d].operands[0])))
        .collect();
    let together = |a: usize, b: usize| needs[a][delays[b]] && needs[b][delays[a]];
    // The first delay of each recurrence.
    let first: Vec<usize> = (0..delays.len())
        .filter(|&a| together(a, a) && !(0..a).any(|b| together(a, b)))
        .collect();
    if first.len() > 1 {
        found.insert("two recurrences");
    }
    if (0..delays.len()).any(|a| (0..a).any(|b| together(a, b))) {
        found.insert("states that feed each other");
    }
}
