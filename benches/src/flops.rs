//! The arithmetic of a step that counts: products with weights. For the cells of `peers.py` this is its 10·B·T·G·H².

use retrograd_tape::{Domain, InputRole, Node, Op, Tape, Value};

/// FLOPs of the products of one training step with T·B = `points`, a multiply-add counting two: forward, the weight's
/// gradient, and the operand's gradient if any parameter's gradient needs it.
pub fn of_step(tape: &Tape, points: usize) -> f64 {
    of_products(tape, points, |_| true)
}

/// Those of products with what is the same for all steps and rows: weights, not memories.
pub fn of_weights(tape: &Tape, points: usize) -> f64 {
    of_products(tape, points, |matrix| matrix.ty.domain == Domain::Once)
}

fn of_products(tape: &Tape, points: usize, counts: impl Fn(&Node) -> bool) -> f64 {
    let learned = depends_on_parameters(tape);
    let mut total = 0;
    for node in tape.nodes() {
        if let Op::MatVec { .. } = node.op {
            let (weight, v) = (tape.node(node.operands[0]), node.operands[1]);
            let products = if learned[v.index()] { 3 } else { 2 };
            let (rows, columns) = weight.ty.shape.as_matrix();
            let times = match node.ty.domain {
                Domain::Step => points,
                _ => 1,
            };
            if counts(weight) {
                total += 2 * products * rows * columns * times;
            }
        }
    }
    total as f64
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells;

    #[test]
    fn peers_cells_have_the_flops_that_peers_count() {
        for (name, gates) in cells::NAMES.into_iter().zip([4, 3, 4, 4, 4]) {
            let (h, b, t) = (24, 3, 7);
            let cell = cells::find(name, h).unwrap();
            let expected = (10 * b * t * gates * h * h) as f64;
            assert_eq!(of_step(cell.tape(), t * b), expected, "{name}");
        }
    }

    #[test]
    fn products_with_a_memory_are_none_with_weights() {
        let text =
            "cell both(x[4]; S[4, 4])\nS' = 0.5 * S + outer(x, x)\noutput y = dense[4](S' @ x)";
        let cell = retrograd::Cell::from_text(text, &[]).unwrap();
        let of = |count: fn(&Tape, usize) -> f64| count(cell.tape(), 10);
        // Only the layer depends on a parameter, and what it reads does not.
        assert_eq!((of(of_weights), of(of_step)), (640.0, 1280.0));
    }

    #[test]
    fn gates_written_one_by_one_count_as_the_stacked_ones() {
        let (stacked, single) = (cells::find("lstm", 8), cells::find("zoo/lstm", 8));
        let of = |cell: &retrograd::Cell| of_step(cell.tape(), 5);
        assert_eq!(of(&stacked.unwrap()), of(&single.unwrap()));
    }
}
