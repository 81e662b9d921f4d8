//! Statements: what a loop does at each of its points.

use retrograd_tape::{Map, Reduction};
use smallvec::SmallVec;

use super::{View, WeightId};

/// A value inside a region, one vector of lanes at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Instr {
    /// The lanes of a view.
    Load(View),
    /// One number, repeated for all lanes.
    Splat(View),
    /// One number for each row of so many lanes, a multiple of [`ROW`], repeated along the row.
    SplatRows(View, usize),
    /// So many lanes, a multiple of [`ROW`], the same for every row.
    LoadRow(View, usize),
    /// A constant.
    Const(f64),
    /// An element-wise op on earlier instructions.
    Map(Map, SmallVec<[usize; 3]>),
}

/// What the lanes of a row that is repeated are a multiple of: no vector of 16 bytes then reaches from one row into the
/// next, in either precision.
pub const ROW: usize = 4;

impl Instr {
    /// The view that the instruction reads, and how many of its numbers, in a region of this many lanes.
    pub fn reads(&self, lanes: usize) -> Option<(View, usize)> {
        match *self {
            Instr::Load(v) => Some((v, lanes)),
            Instr::Splat(v) => Some((v, 1)),
            Instr::SplatRows(v, columns) => Some((v, lanes.checked_div(columns).unwrap_or(0))),
            Instr::LoadRow(v, columns) => Some((v, columns)),
            Instr::Const(_) | Instr::Map(..) => None,
        }
    }
}

/// A reduction over a region's lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// A reduction of one value.
    Reduce(Reduction),
    /// Σ aᵢ bᵢ
    Dot,
}

/// An element-wise loop over `lanes` numbers of one point: loads, ops and stores in one lane loop.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// Number of lanes.
    pub lanes: usize,
    /// In order; operands are earlier instructions.
    pub instrs: Vec<Instr>,
    /// Stores of instructions' lanes to views.
    pub stores: Vec<(usize, View)>,
    /// Folds of instructions' lanes, each to one number.
    pub folds: Vec<(Fold, SmallVec<[usize; 2]>, View)>,
}

/// An activation that precompiled kernels compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WideActivation {
    /// tanh x.
    Tanh,
    /// 1 ÷ (1 + e⁻ˣ).
    Sigmoid,
    /// eˣ.
    Exp,
    /// ln(1 + eˣ).
    Softplus,
}

impl WideActivation {
    /// All of them, each at the place of its discriminant.
    pub const ALL: [WideActivation; 4] = [
        WideActivation::Tanh,
        WideActivation::Sigmoid,
        WideActivation::Exp,
        WideActivation::Softplus,
    ];

    /// The one that is this element-wise op, if there is one.
    pub fn of(map: Map) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.map() == map)
    }

    /// The element-wise op that it is.
    pub fn map(self) -> Map {
        match self {
            WideActivation::Tanh => Map::Tanh,
            WideActivation::Sigmoid => Map::Sigmoid,
            WideActivation::Exp => Map::Exp,
            WideActivation::Softplus => Map::Softplus,
        }
    }
}

/// One unit of work at every point of a loop.
#[derive(Clone, Debug)]
pub enum Stmt {
    /// An element-wise loop over a point's numbers.
    Region(Region),
    /// A product with a weight matrix, for all rows of the step at once.
    Product(Product),
    /// y = map(x) for a block of numbers in all rows of the step at once, by a precompiled kernel.
    Activate {
        /// Which.
        map: WideActivation,
        /// The operands.
        x: View,
        /// The results; may be the operands' place.
        y: View,
        /// Numbers per row.
        len: usize,
    },
    /// A product with a matrix that the point has of its own.
    MatVec {
        /// Rows of the matrix.
        rows: usize,
        /// Columns.
        cols: usize,
        /// Use its transpose.
        transposed: bool,
        /// The matrix.
        m: View,
        /// The vector.
        x: View,
        /// The result.
        y: View,
    },
    /// a bᵀ of vectors that the point has of its own.
    OuterRow {
        /// Length of a.
        rows: usize,
        /// Length of b.
        cols: usize,
        /// Left vector.
        a: View,
        /// Right vector.
        b: View,
        /// The result.
        y: View,
    },
    /// A row of a matrix: y = m[clamp(round(index))].
    Gather {
        /// Rows of the matrix.
        rows: usize,
        /// Columns.
        cols: usize,
        /// The matrix.
        m: View,
        /// The index, a number.
        index: View,
        /// The result.
        y: View,
    },
    /// A matrix of zeros except for one row: y[clamp(round(index))] = v.
    Scatter {
        /// Rows of the matrix.
        rows: usize,
        /// Columns.
        cols: usize,
        /// The index, a number.
        index: View,
        /// The row.
        v: View,
        /// The result.
        y: View,
    },
    /// A matrix with its axes exchanged: y[j, i] = m[i, j].
    Transpose {
        /// Rows of the matrix.
        rows: usize,
        /// Columns.
        cols: usize,
        /// The matrix.
        m: View,
        /// The result.
        y: View,
    },
    /// A rectangle copied between two matrices.
    CopyBlock {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// Source, and its numbers from row to row.
        from: (View, usize),
        /// Destination, and its numbers from row to row.
        to: (View, usize),
    },
}

impl Stmt {
    /// The views that the statement reads, excluding weights.
    pub fn loads(&self) -> Vec<View> {
        match self {
            Stmt::Region(r) => {
                let views = r.instrs.iter().filter_map(|i| i.reads(r.lanes));
                views.map(|(view, _)| view).collect()
            }
            Stmt::Product(p) => [p.x]
                .into_iter()
                .chain(p.bias)
                .chain(p.add.then_some(p.y))
                .collect(),
            Stmt::Activate { x, .. } => vec![*x],
            Stmt::MatVec { m, x, .. } => vec![*m, *x],
            Stmt::OuterRow { a, b, .. } => vec![*a, *b],
            Stmt::Gather { m, index, .. } => vec![*m, *index],
            Stmt::Scatter { index, v, .. } => vec![*index, *v],
            Stmt::Transpose { m, .. } => vec![*m],
            Stmt::CopyBlock { from, .. } => vec![from.0],
        }
    }

    /// The views that the statement writes.
    pub fn stores(&self) -> Vec<View> {
        match self {
            Stmt::Region(r) => r
                .stores
                .iter()
                .map(|s| s.1)
                .chain(r.folds.iter().map(|f| f.2))
                .collect(),
            Stmt::Product(p) => vec![p.y],
            Stmt::Activate { y, .. }
            | Stmt::MatVec { y, .. }
            | Stmt::OuterRow { y, .. }
            | Stmt::Gather { y, .. }
            | Stmt::Transpose { y, .. }
            | Stmt::Scatter { y, .. } => vec![*y],
            Stmt::CopyBlock { to, .. } => vec![to.0],
        }
    }
}

/// y (+)= x · W: one row per point.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Number of the weight.
    pub weight: WeightId,
    /// The rows.
    pub x: View,
    /// The results.
    pub y: View,
    /// Add to the present values.
    pub add: bool,
    /// A vector of domain `once` that every row of results starts from; never together with `add`.
    pub bias: Option<View>,
}
