//! The printed form of a graph: one op per line in a deterministic order, with everything that distinguishes two
//! graphs.

use std::fmt;

use retrograd_tape::{Domain, InputRole, Op, OutputRole, Value};
use rustc_hash::FxHashMap as HashMap;

use crate::graph::Graph;
use crate::text::cursor::as_name;

/// The roles as the lines of inputs name them.
pub(crate) const ROLES: [(InputRole, &str); 9] = [
    (InputRole::Param, "param"),
    (InputRole::Static, "static"),
    (InputRole::Sequence, "input"),
    (InputRole::Target, "target"),
    (InputRole::Weight, "weight"),
    (InputRole::Mask, "mask"),
    (InputRole::Initial, "initial"),
    (InputRole::Cotangent, "cotangent"),
    (InputRole::Tangent, "tangent"),
];

/// The keywords that lines of outputs begin with.
pub(crate) const YIELDS: [(OutputRole, &str); 6] = [
    (OutputRole::Output, "output"),
    (OutputRole::Loss, "loss"),
    (OutputRole::Final, "final"),
    (OutputRole::Gradient, "gradient"),
    (OutputRole::Tangent, "tangent"),
    (OutputRole::Observed, "observed"),
];

fn word<R: PartialEq>(table: &[(R, &'static str)], role: R) -> &'static str {
    let row = table.iter().find(|(r, _)| *r == role);
    row.expect("the table has all roles").1
}

/// The name of each value in the text: `%` and its place in the order.
pub(crate) fn numbers(order: &[Value]) -> HashMap<Value, String> {
    order
        .iter()
        .enumerate()
        .map(|(i, &v)| (v, format!("%{i}")))
        .collect()
}

/// One line: `%3: step [4] = matvec %1, %2  # name`.
pub(crate) fn line(g: &Graph, v: Value, names: &HashMap<Value, String>) -> String {
    let node = g.node(v);
    let mut s = format!("{}: {} = ", names[&v], node.ty);
    let mut own_name = None;
    match node.op {
        Op::Input { id, .. } => match g.inputs().get(id) {
            Some(input) => {
                s += &format!("{} {}", word(&ROLES, input.role), as_name(&input.name));
                own_name = Some(&input.name);
            }
            None => s += &format!("input ?{id}"),
        },
        op => {
            s += op.name();
            s += &attributes(&op);
        }
    }
    for (k, x) in g.operands(v).iter().enumerate() {
        s += if k == 0 { " " } else { ", " };
        s += names.get(x).map_or("?", |n| n.as_str());
    }
    match &node.name {
        Some(name) if Some(name) != own_name => s += &format!("  # {}", as_name(name)),
        _ => {}
    }
    s
}

/// An op's attributes, which are neither operands nor implied by the type of the result, preceded by a blank.
fn attributes(op: &Op) -> String {
    let along = |axis: usize| match axis {
        0 => String::new(),
        axis => format!(" axis={axis}"),
    };
    match *op {
        Op::Constant { value, .. }
            if value.0.is_nan() && value.0.to_bits() != f64::NAN.to_bits() =>
        {
            format!(" NaN {}", value.0.to_bits())
        }
        Op::Constant { value, .. } => format!(" {:?}", value.0),
        Op::Concat { axis } => along(axis),
        Op::ReduceAxis { axis, .. } => format!(" axis={axis}"),
        Op::Transpose(order) => format!(" {order}"),
        Op::Slice { axis, start, len } => format!(" {start}..{}{}", start + len, along(axis)),
        Op::Outer { to } | Op::Spread(to) | Op::SumTo(to) => format!(" {to}"),
        Op::Scatter { rows, to } => format!(" {rows} {to}"),
        Op::Delay(d) | Op::Boundary(d) => format!(" {d}"),
        // Implied by the table of inputs or by the result type.
        Op::Input { .. }
        | Op::Zeros(_)
        | Op::Map(_)
        | Op::Reduce(_)
        | Op::Dot
        | Op::Broadcast(_)
        | Op::Reshape(_)
        | Op::MatVec { .. }
        | Op::Gather => String::new(),
    }
}

/// Names of the domains; `slots` is followed by the number of slots.
pub(crate) const DOMAINS: [(&str, Option<Domain>); 4] = [
    ("once", Some(Domain::Once)),
    ("row", Some(Domain::Row)),
    ("step", Some(Domain::Step)),
    ("slots", None),
];

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.order();
        let names = numbers(&order);
        writeln!(f, "graph {}", as_name(self.name()))?;
        for v in order {
            writeln!(f, "  {}", line(self, v, &names))?;
        }
        for o in self.outputs() {
            let (role, name) = (word(&YIELDS, o.role), as_name(&o.name));
            writeln!(f, "  {role} {name} = {}", names[&o.value])?;
        }
        Ok(())
    }
}

/// Graphs are equal if they have the same name, inputs and outputs, and the nodes that the outputs need are the same
/// ops with the same operands and names. Node numbers, source lines and unneeded nodes are not compared.
impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        let (ours, theirs) = (self.order(), other.order());
        if ours.len() != theirs.len() {
            return false;
        }
        // Operands are equal if they have the same place.
        let place = |order: &[Value]| -> HashMap<Value, usize> {
            order.iter().enumerate().map(|(i, &v)| (v, i)).collect()
        };
        let (our_place, their_place) = (place(&ours), place(&theirs));
        let node = |(&a, &b): (&Value, &Value)| {
            let (x, y) = (self.node(a), other.node(b));
            let (xs, ys) = (self.operands(a), other.operands(b));
            x.op == y.op
                && x.ty == y.ty
                && x.name == y.name
                && xs.len() == ys.len()
                && (xs.iter().zip(&ys)).all(|(x, y)| our_place.get(x) == their_place.get(y))
        };
        let (ins, other_ins) = (self.inputs(), other.inputs());
        let (outs, other_outs) = (self.outputs(), other.outputs());
        self.name() == other.name()
            && ins.len() == other_ins.len()
            && outs.len() == other_outs.len()
            && (ins.iter().zip(other_ins))
                .all(|(a, b)| (&a.name, a.role, a.ty) == (&b.name, b.role, b.ty))
            && (outs.iter().zip(other_outs)).all(|(a, b)| {
                (&a.name, a.role) == (&b.name, b.role)
                    && our_place[&a.value] == their_place[&b.value]
            })
            && ours.iter().zip(&theirs).all(node)
    }
}
