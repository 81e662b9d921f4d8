//! The printed form of a graph: one op a line in a deterministic order, operands by number or name.

use std::collections::HashMap;
use std::fmt;

use retrograd_tape::{Op, Value};

use crate::graph::Graph;

/// What lines call each value: `%` and its place in the order.
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
    match node.op {
        Op::Input { id, .. } => s += &format!("input {}", g.inputs()[id].name),
        op => s += &op.to_string(),
    }
    for (k, x) in g.operands(v).iter().enumerate() {
        s += if k == 0 { " " } else { ", " };
        s += names.get(x).map_or("?", |n| n.as_str());
    }
    match &node.name {
        Some(name) if !matches!(node.op, Op::Input { .. }) => s += &format!("  # {name}"),
        _ => {}
    }
    s
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.order();
        let names = numbers(&order);
        writeln!(f, "graph {}", self.name())?;
        for v in order {
            writeln!(f, "  {}", line(self, v, &names))?;
        }
        for o in self.outputs() {
            writeln!(f, "  output {} = {}", o.name, names[&o.value])?;
        }
        Ok(())
    }
}
