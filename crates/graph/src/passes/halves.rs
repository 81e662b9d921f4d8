//! *halves*: an analysis of programs whose cotangents are inputs. What outputs, loss and final states need is the
//! forward half; all else, gradients above all, is the backward half. A run can stop between the two and wait for the
//! cotangents (`Plan::border`), so nothing may be computed together with what lies on the other side.
//!
//! Passes and plan stages that put work together ask this analysis. A program without cotangents has one half.

use retrograd_tape::{InputRole, OutputRole, Value};

use crate::graph::Graph;

/// The half of every value.
#[derive(Clone, Debug)]
pub(crate) struct Halves {
    /// Indexed by value; empty if there is one half.
    early: Vec<bool>,
}

impl Halves {
    /// The halves of a program, two if it has cotangents as inputs (and no tangents, which run with what they are
    /// tangents of).
    pub(crate) fn of(g: &Graph) -> Halves {
        let has = |role| g.inputs().iter().any(|i| i.role == role);
        if !has(InputRole::Cotangent) || has(InputRole::Tangent) {
            return Halves { early: Vec::new() };
        }
        let mut early = vec![false; g.bound()];
        let outputs = g.outputs().iter();
        let first = outputs.filter(|o| is_early(o.role)).map(|o| o.value);
        for v in g.above(first) {
            early[v.index()] = true;
        }
        Halves { early }
    }

    /// Whether there are two.
    pub(crate) fn are_two(&self) -> bool {
        !self.early.is_empty()
    }

    /// Whether a value belongs to the backward half.
    pub(crate) fn is_late(&self, v: Value) -> bool {
        self.are_two() && !self.early[v.index()]
    }
}

/// Whether an output of this role is computed by the forward half.
pub(crate) fn is_early(role: OutputRole) -> bool {
    match role {
        OutputRole::Output | OutputRole::Loss | OutputRole::Final => true,
        OutputRole::Gradient | OutputRole::Tangent | OutputRole::Observed => false,
    }
}
