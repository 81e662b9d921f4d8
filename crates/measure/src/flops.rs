//! The arithmetic of a step that counts: products with weights. For the cells of `peers.py` this is its 10·B·T·G·H².

use retrograd_tape::{Domain, Extent, InputRole, Node, Op, Tape, Value};

/// FLOPs of the products of one training step, a multiply-add counting two: forward, the weight's gradient, and the operand's
/// gradient if any parameter's gradient needs it.
pub fn of_step(tape: &Tape, extent: Extent) -> f64 {
    of_products(tape, extent, |_| true)
}

/// Those of products with what is the same for all steps and rows: weights, not memories.
pub fn of_weights(tape: &Tape, extent: Extent) -> f64 {
    of_products(tape, extent, |matrix| matrix.ty.domain == Domain::Once)
}

fn of_products(tape: &Tape, extent: Extent, counts: impl Fn(&Node) -> bool) -> f64 {
    let (points, b) = (extent.steps * extent.rows, extent.rows);
    let learned = depends_on_parameters(tape);
    let mut total = 0.0;
    for node in tape.nodes() {
        if let Op::MatVec { .. } = node.op {
            let (weight, v) = (tape.node(node.operands[0]), node.operands[1]);
            let products = if learned[v.index()] { 3 } else { 2 };
            let (rows, columns) = weight.ty.shape.as_matrix();
            let times = match node.ty.domain {
                Domain::Step => points,
                Domain::Row => b,
                Domain::BoundarySlots(k) => k * b,
                Domain::Once => 1,
            };
            if counts(weight) {
                total += 2.0 * f64::from(products) * rows as f64 * columns as f64 * times as f64;
            }
        }
    }
    total
}

/// For every node, whether a parameter has an influence on it.
fn depends_on_parameters(tape: &Tape) -> Vec<bool> {
    let is_param = |node: &Node| {
        let input = |id: usize| tape.inputs()[id].role == InputRole::Param;
        matches!(node.op, Op::Input { id, .. } if input(id))
    };
    let mut found: Vec<bool> = tape.nodes().iter().map(is_param).collect();
    loop {
        let mut changed = false;
        for (i, node) in tape.nodes().iter().enumerate() {
            let from = |v: &Value| found[v.index()];
            // A delay's first operand may come later: hence until nothing changes.
            if !found[i] && node.operands.iter().any(from) {
                (found[i], changed) = (true, true);
            }
        }
        if !changed {
            return found;
        }
    }
}
