//! What a program holds, for histograms of generated cases.

use std::collections::BTreeSet;

use crate::algebra::Value;
use crate::map::Map;
use crate::op::Op;
use crate::tape::{Role, Tape, Yield};
use crate::ty::{Domain, Shape};

/// Kinds of program that are not an op's name.
const KINDS: [&str; 20] = [
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
    "static inputs",
    "products of each example",
    "concat of columns",
    "slice of columns",
    "loss",
    "weight of the loss",
    "an output that is a state",
    "an unused input",
    "outputs of lower domains",
];

/// Structural ops that programs hold.
const OPS: [&str; 19] = [
    "input",
    "const",
    "sum",
    "mean",
    "amax",
    "dot",
    "broadcast",
    "concat",
    "slice",
    "reshape",
    "matvec",
    "matvec_t",
    "outer",
    "gather",
    "scatter",
    "delay",
    "boundary",
    "spread",
    "sum_to",
];

/// Every tag that [`tags`] can give.
pub fn every_tag() -> Vec<&'static str> {
    let maps = Map::ALL.into_iter().map(|m| m.row().name);
    maps.chain(OPS).chain(KINDS).collect()
}

/// Names of the ops that an output depends on, and kinds of program.
pub fn tags(tape: &Tape) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let needed = ancestors(tape, tape.outputs().iter().map(|o| o.value));
    let nodes = || (tape.nodes().iter().enumerate()).filter(|(i, _)| needed[*i]);
    let ty = |v: Value| tape.node(v).ty;
    let mut delays = Vec::new();
    let carried = nodes().filter(|(_, n)| matches!(n.op, Op::Delay(_)));
    let carried: BTreeSet<usize> = carried.map(|(_, n)| n.operands[0].index()).collect();
    for (i, node) in nodes() {
        let xs = &node.operands;
        found.insert(node.op.name());
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
                    Shape::Matrix(..) => found.insert("matrix states"),
                };
                match ty(xs[1]).domain {
                    Domain::Once => found.insert("learned initial states"),
                    Domain::Row => found.insert("initial states of each row"),
                    Domain::Edge(_) | Domain::Step => false,
                };
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
            (Role::Param, 2..) => found.insert("shared weights"),
            (Role::Static, _) => found.insert("static inputs"),
            (Role::Weight, _) => found.insert("weight of the loss"),
            _ => false,
        };
    }
    for o in tape.outputs() {
        match (o.role, &tape.node(o.value).op) {
            (Yield::Loss, _) => found.insert("loss"),
            (Yield::Output, Op::Delay(_)) => found.insert("an output that is a state"),
            (Yield::Output, _) if ty(o.value).domain != Domain::Step => {
                found.insert("outputs of lower domains")
            }
            _ => false,
        };
    }
    recurrences(tape, &delays, &mut found);
    found
}

/// Which nodes the given ones need, themselves included.
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
