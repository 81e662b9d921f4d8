//! Kinds of work, and what each asks of the machine.

use retrograd_tape::Map;

use crate::plan::WeightId;
use crate::plan::cycles::Effort;

/// Work of one kind, done a number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct CostTask {
    /// How often.
    pub times: usize,
    /// What.
    pub work: Work,
}

/// One call of a kernel, or one lane loop of emitted code over the rows of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// `rows` rows of `inner` numbers by a weight of `inner` × `outer`; with the weight packed, unless it is for one row.
    Product {
        /// Number of the weight in the plan.
        weight: WeightId,
        /// Rows at once.
        rows: usize,
        /// Numbers read a row.
        inner: usize,
        /// Numbers written a row.
        outer: usize,
        /// The weight lies packed.
        packed: bool,
        /// Its transpose is used.
        transposed: bool,
        /// It is called by a loop, at every step.
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
    /// A weight of so many numbers is packed.
    Pack {
        /// Numbers.
        numbers: usize,
    },
    /// An activation by a wide kernel.
    Activate {
        /// Which.
        map: Map,
        /// Rows at once.
        rows: usize,
        /// Numbers a row.
        len: usize,
    },
    /// Emitted element-wise code over rows of `lanes` numbers.
    LaneLoop {
        /// Rows.
        rows: usize,
        /// Numbers a row.
        lanes: usize,
        /// Loads a lane.
        loads: usize,
        /// Stores a lane.
        stores: usize,
        /// Ops a lane.
        ops: Vec<Map>,
        /// Sums over all lanes.
        folds: usize,
    },
    /// Emitted code over a matrix of each row's own: `numbers` multiply-adds, copies or stores a row.
    Matrix {
        /// Rows.
        rows: usize,
        /// Numbers a row.
        numbers: usize,
        /// FLOPs a number: 2 for a product, 1 for an outer product, 0 for a copy.
        flops: usize,
    },
    /// `points` vectors of `len` numbers are added up.
    Sum {
        /// Vectors.
        points: usize,
        /// Numbers.
        len: usize,
    },
}

impl Work {
    /// FLOPs of products, a multiply-add counting two. Element-wise work has none: see [`Work::ops`].
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

    /// Element-wise ops, an activation counting one.
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

    /// Numbers read and written, those of a weight once a call.
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

    /// What it costs in numbers stored and loaded: element-wise ops that take about as long as it does.
    pub fn effort(&self, cost: Effort) -> usize {
        // What is off by more than a rounding or two is a polynomial.
        let op = |m: &Map| {
            if m.row().ulp > 2.0 {
                cost.polynomial
            } else {
                1
            }
        };
        match self {
            Work::Product { .. } | Work::Outer { .. } => self.flops() / cost.flops,
            Work::Activate { rows, len, .. } => cost.polynomial * rows * len,
            Work::LaneLoop {
                rows,
                lanes,
                loads,
                stores,
                ops,
                folds,
            } => {
                let simple = loads + stores + cost.fold * folds;
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
