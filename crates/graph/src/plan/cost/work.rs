//! Kinds of work, and the cost of each.

use retrograd_tape::Map;

use crate::plan::WeightId;
use crate::plan::cycles::Effort;

/// Work of one kind, done a number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct CostTask {
    /// Number of repetitions.
    pub times: usize,
    /// The work of each.
    pub work: Work,
}

/// One call of a kernel, or one lane loop of emitted code over the rows of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// `rows` rows of `inner` numbers times a weight of `inner` × `outer`, packed unless it is for one row.
    Product {
        /// Number of the weight in the plan.
        weight: WeightId,
        /// Rows at once.
        rows: usize,
        /// Numbers read per row.
        inner: usize,
        /// Numbers written per row.
        outer: usize,
        /// Whether the weight is packed.
        packed: bool,
        /// Whether its transpose is used.
        transposed: bool,
        /// Whether a loop calls it at every step.
        inside: bool,
    },
    /// Σ δ xᵀ over `terms` points, for right-hand sides of `cols` numbers together.
    Outer {
        /// Points that are summed over.
        terms: usize,
        /// Numbers of δ.
        len: usize,
        /// Numbers of all right-hand sides.
        cols: usize,
    },
    /// Packing a weight of this size.
    Pack {
        /// Numbers.
        numbers: usize,
    },
    /// An activation by a wide kernel.
    Activate {
        /// The activation.
        map: Map,
        /// Rows at once.
        rows: usize,
        /// Numbers per row.
        len: usize,
    },
    /// Emitted element-wise code over rows of `lanes` numbers.
    LaneLoop {
        /// Rows.
        rows: usize,
        /// Numbers per row.
        lanes: usize,
        /// Loads per lane.
        loads: usize,
        /// Stores per lane.
        stores: usize,
        /// Ops per lane.
        ops: Vec<Map>,
        /// Folds over all lanes.
        folds: usize,
    },
    /// Emitted code over a matrix that each row has of its own: `numbers` multiply-adds, copies or stores per row.
    Matrix {
        /// Rows.
        rows: usize,
        /// Numbers per row.
        numbers: usize,
        /// FLOPs per number: 2 for a product, 1 for an outer product, 0 for a copy.
        flops: usize,
    },
    /// Adding up `points` vectors of `len` numbers.
    Sum {
        /// Vectors.
        points: usize,
        /// Numbers.
        len: usize,
    },
}

impl Work {
    /// FLOPs of products; a multiply-add counts as two. Element-wise work has none: see [`Work::ops`].
    pub fn flops(&self) -> usize {
        match *self {
            Work::Product {
                rows, inner, outer, ..
            } => 2 * rows * inner * outer,
            Work::Outer { terms, len, cols } => 2 * terms * len * cols,
            Work::Matrix {
                rows,
                numbers,
                flops,
            } => rows * numbers * flops,
            Work::Pack { .. }
            | Work::Activate { .. }
            | Work::LaneLoop { .. }
            | Work::Sum { .. } => 0,
        }
    }

    /// Element-wise ops; an activation counts as one.
    pub fn ops(&self) -> usize {
        match self {
            Work::Activate { rows, len, .. } => rows * len,
            Work::LaneLoop {
                rows,
                lanes,
                ops,
                folds,
                ..
            } => rows * lanes * (ops.len() + folds),
            Work::Sum { points, len } => points * len,
            Work::Product { .. } | Work::Outer { .. } | Work::Pack { .. } | Work::Matrix { .. } => {
                0
            }
        }
    }

    /// Numbers read and written; those of a weight are counted once per call.
    pub fn numbers(&self) -> usize {
        match *self {
            Work::Product {
                rows, inner, outer, ..
            } => rows * (inner + outer) + inner * outer,
            Work::Outer { terms, len, cols } => terms * (len + cols) + len * cols,
            Work::Pack { numbers } => 2 * numbers,
            Work::Activate { rows, len, .. } => 2 * rows * len,
            Work::LaneLoop {
                rows,
                lanes,
                loads,
                stores,
                ..
            } => rows * lanes * (loads + stores),
            Work::Matrix { rows, numbers, .. } => rows * numbers,
            Work::Sum { points, len } => (points + 1) * len,
        }
    }

    /// The cost in units of numbers stored and loaded: element-wise ops that take about as long count the same. A row of
    /// fewer than `least` numbers counts as one of so many.
    pub fn effort(&self, cost: Effort, least: usize) -> usize {
        // An op with an error of more than a rounding or two is a polynomial.
        let op = |m: &Map| {
            if m.row().ulp > 2.0 {
                cost.polynomial
            } else {
                1
            }
        };
        match self {
            Work::Product { .. } | Work::Outer { .. } => self.flops() / cost.flops,
            Work::Activate { rows, len, .. } => cost.polynomial * rows * (*len).max(least),
            Work::LaneLoop {
                rows,
                lanes,
                loads,
                stores,
                ops,
                folds,
            } => {
                let simple = loads + stores + cost.fold * folds;
                let lanes = (*lanes).max(least);
                rows * lanes * (ops.iter().map(op).sum::<usize>() + simple)
            }
            Work::Matrix {
                rows,
                numbers,
                flops,
            } => rows * numbers * flops.max(&1),
            Work::Sum { points, len } => points * len,
            Work::Pack { numbers } => *numbers,
        }
    }

    /// Calls of precompiled kernels.
    pub fn calls(&self) -> usize {
        match self {
            Work::LaneLoop { .. } | Work::Matrix { .. } => 0,
            _ => 1,
        }
    }
}
