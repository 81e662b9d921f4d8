//! Rule 14: what is on either side of the border between forward and backward half.

use retrograd_tape::InputRole;

use super::broken;
use crate::graph::Graph;
use crate::passes::halves::{Halves, is_early};
use crate::plan::{Plan, Storage};
use crate::verify::Broken;

/// Checks a plan of this graph.
///
/// # Errors
/// The border lies beyond the last item, the forward half reads a cotangent, or the backward half writes an output that
/// it should only read.
pub(crate) fn border(g: &Graph, plan: &Plan) -> Result<(), Broken> {
    if plan.border > plan.items.len() {
        return broken(14, format!("a border at {}", plan.border));
    }
    if !Halves::of(g).are_two() {
        return Ok(());
    }
    for (k, item) in plan.items.iter().enumerate() {
        for a in item.touched(&plan.weights) {
            let buffer = &plan.buffers[a.view.buffer];
            let wrong = match buffer.storage {
                Storage::Input(i) => k < plan.border && g.inputs()[i].role == InputRole::Cotangent,
                Storage::Output(o) => k >= plan.border && a.write && is_early(g.outputs()[o].role),
                Storage::Workspace => false,
            };
            if wrong {
                return broken(14, format!("item {k} touches `{}`", buffer.name));
            }
        }
    }
    Ok(())
}
