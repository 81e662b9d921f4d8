//! The plan: which loop runs what over which arrays. The last stage before code, and the first that knows of memory.
//!
//! A plan is a list of [`Item`]s that run one after another: loops over a domain, recurrences over time, and products and
//! sums over a whole domain. Values that cross between them, and values that a delay reads, have arrays; a delayed reader
//! is an offset into the array it reads.

mod access;
mod assignment;
mod build;
pub mod cost;
pub mod cycles;
mod fuse;
mod interchange;
mod interpret;
mod memory;
mod outline_activations;
mod print;
mod region;
mod rename;
mod reuse;
mod schedule;
mod slices;
mod stages;
mod sweep;
mod time_tile;
mod unroll;
mod verify;

use retrograd_tape::{Domain, Map, Reduction};
use smallvec::SmallVec;

use crate::target::Target;

pub use interpret::{Blocking, InterpretError};
pub use memory::{Checkpointing, Layout, Lifetime, Memory};
pub use outline_activations::WIDE;
pub use rename::Renamed;
pub use slices::Slices;
pub use stages::{plan, stream};
pub use verify::verify;

/// Where an array lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// The caller's, read only: the input of this number.
    Input(usize),
    /// The caller's, written: the output of this number.
    Output(usize),
    /// The program's own.
    Workspace,
}

/// An array: one value of `len` numbers for each point of a domain, points outermost, time before rows.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// What it holds, for print-outs.
    pub name: String,
    /// The points it has a value for.
    pub domain: Domain,
    /// Numbers a point.
    pub len: usize,
    /// Boundary steps before the first step (domain `step` only).
    pub front: usize,
    /// Boundary steps after the last step (domain `step` only).
    pub back: usize,
    /// Where it lives.
    pub storage: Storage,
}

impl Buffer {
    /// Numbers in the array for `t` steps and `b` rows.
    pub fn size(&self, t: usize, b: usize) -> usize {
        self.len
            * match self.domain {
                Domain::Once => 1,
                Domain::Row => b,
                Domain::BoundarySlots(k) => k * b,
                Domain::Step => (self.front + t + self.back) * b,
            }
    }
}

/// A part of each point's value in a buffer, as a loop reads or writes it.
///
/// At point (t, b) of a loop the view starts at `offset` in the value of the buffer's point: row b if the buffer has rows,
/// and step `t + shift` if it has steps, or, `from_end`, `T + t + shift` (in a loop over boundary slots, t is the slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View {
    /// The array.
    pub buffer: usize,
    /// First number within a point's value.
    pub offset: usize,
    /// Steps away from the loop's.
    pub shift: i64,
    /// Counted from the sequence's end.
    pub from_end: bool,
}

impl View {
    /// The whole of a buffer, at the loop's own step.
    pub fn of(buffer: usize) -> View {
        View {
            buffer,
            offset: 0,
            shift: 0,
            from_end: false,
        }
    }
    /// The view `n` numbers further.
    pub fn plus(self, n: usize) -> View {
        View {
            offset: self.offset + n,
            ..self
        }
    }
}

/// A value inside a region, one vector of lanes at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Instr {
    /// The lanes of a view.
    Load(View),
    /// One number, repeated for all lanes.
    Splat(View),
    /// A constant.
    Const(f64),
    /// An element-wise op on earlier instructions.
    Map(Map, SmallVec<[usize; 3]>),
}

/// What a region sums up over its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// A reduction of one value.
    Reduce(Reduction),
    /// Σ aᵢ bᵢ
    Dot,
}

/// An element-wise loop over `lanes` numbers of one point: loads, ops, stores, in one lane loop.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// How many numbers.
    pub lanes: usize,
    /// In order; operands are earlier ones.
    pub instrs: Vec<Instr>,
    /// Which instruction's lanes go where.
    pub stores: Vec<(usize, View)>,
    /// Folds of instructions' lanes, into one number each.
    pub folds: Vec<(Fold, SmallVec<[usize; 2]>, View)>,
}

/// A matrix in parts: a block of it at (`row`, `col`), stored row-major with `ld` numbers from row to row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockAt {
    /// First row of the block in the whole.
    pub row: usize,
    /// First column.
    pub col: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Where its first number is.
    pub view: View,
    /// Numbers from row to row.
    pub ld: usize,
}

/// A weight matrix as products use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// For print-outs.
    pub name: String,
    /// Rows of the whole matrix.
    pub rows: usize,
    /// Columns of the whole matrix.
    pub cols: usize,
    /// Products use the transpose.
    pub transposed: bool,
    /// Its parts, of domain `once`.
    pub blocks: Vec<BlockAt>,
}

impl Weight {
    /// Numbers that a product reads a row.
    pub fn inner(&self) -> usize {
        if self.transposed {
            self.rows
        } else {
            self.cols
        }
    }
    /// Numbers that a product writes a row.
    pub fn outer(&self) -> usize {
        if self.transposed {
            self.cols
        } else {
            self.rows
        }
    }
}

/// One thing to do at every point of a loop.
#[derive(Clone, Debug)]
pub enum Stmt {
    /// An element-wise loop over a point's numbers.
    Region(Region),
    /// A product with a weight matrix, for all rows of the step at once.
    Product(Product),
    /// y = map(x) for a block of numbers in all rows of the step at once, by a precompiled kernel.
    Activate {
        /// One of [`WIDE`].
        map: Map,
        /// The operands.
        x: View,
        /// The results; may be the operands' place.
        y: View,
        /// How many numbers a row.
        len: usize,
    },
    /// A product with a matrix of the point's own.
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
    /// a bᵀ of a point's own vectors.
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
        /// A number.
        index: View,
        /// The result.
        y: View,
    },
    /// A matrix of zeros but for one row: y[clamp(round(index))] = v.
    Scatter {
        /// Rows of the matrix.
        rows: usize,
        /// Columns.
        cols: usize,
        /// A number.
        index: View,
        /// The row.
        v: View,
        /// The result.
        y: View,
    },
    /// A rectangle copied between two matrices.
    CopyBlock {
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// From, and its numbers from row to row.
        from: (View, usize),
        /// To, and its numbers from row to row.
        to: (View, usize),
    },
}

impl Stmt {
    /// What the statement reads, weights not counted.
    pub fn loads(&self) -> Vec<View> {
        match self {
            Stmt::Region(r) => {
                let views = r.instrs.iter().filter_map(|i| match i {
                    Instr::Load(v) | Instr::Splat(v) => Some(*v),
                    Instr::Const(_) | Instr::Map(..) => None,
                });
                views.collect()
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
            Stmt::CopyBlock { from, .. } => vec![from.0],
        }
    }

    /// What the statement writes.
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
            | Stmt::Scatter { y, .. } => vec![*y],
            Stmt::CopyBlock { to, .. } => vec![to.0],
        }
    }
}

/// y (+)= x · W: a row for each point.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Number of the weight.
    pub weight: usize,
    /// The rows.
    pub x: View,
    /// The results.
    pub y: View,
    /// Add to what is there.
    pub add: bool,
    /// A vector of domain `once` that every row of results begins with; never together with `add`.
    pub bias: Option<View>,
}

/// How a loop goes over its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// In any order.
    Parallel,
    /// Step after step, from the last to the first if `reverse`.
    Recurrence {
        /// Backward in time.
        reverse: bool,
    },
}

/// A load in a recurrence whose numbers the step before computed: it need not read them from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The instruction that loads.
    pub load: usize,
    /// The instruction whose value, one step before, it is.
    pub from: usize,
}

/// What is innermost where a recurrence goes over steps, rows and lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Innermost {
    /// Lanes: every statement is done in all rows of a step, then the next one.
    Lanes,
    /// Time: for each row, a few lanes at a time go through all steps of a run, the states in registers. The body is one
    /// region without folds whose stored arrays are read at the same lanes only. What it stores to arrays without steps it
    /// stores after a run's last step.
    Time(Vec<Carried>),
}

/// A loop over a domain.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Its place among the plan's loops, which is the number of its function.
    pub number: usize,
    /// The points.
    pub domain: Domain,
    /// Their order.
    pub kind: LoopKind,
    /// What is innermost.
    pub inner: Innermost,
    /// Steps that an iteration of the loop over time does, what remains being done one by one; 1 for loops that are no
    /// recurrences.
    pub unroll: usize,
    /// What is done at each, in order.
    pub body: Vec<Stmt>,
}

/// A right-hand side of a weight gradient.
#[derive(Clone, Debug)]
pub struct Rhs {
    /// The vectors.
    pub x: View,
    /// Their length.
    pub len: usize,
    /// Where the parts of Σ δ xᵀ go.
    pub to: Vec<BlockAt>,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub enum Item {
    /// A weight is brought into the order that products read it in; needed before products of more than one row.
    Pack(usize),
    /// A loop.
    Loop(Loop),
    /// A product over all points of a domain at once.
    Product {
        /// The points.
        domain: Domain,
        /// The product.
        product: Product,
    },
    /// Products over steps, loops over what they make, and the recurrence that reads it, which go through time together in
    /// blocks of steps, from the last to the first if `reverse`.
    TimeTile {
        /// Backward in time.
        reverse: bool,
        /// Products and parallel loops over steps, then one recurrence.
        items: Vec<Item>,
    },
    /// Work over steps that goes through time together, a long block of steps at a time ([`Layout`] says how long), from
    /// the last to the first if `reverse`.
    Sweep {
        /// Backward in time.
        reverse: bool,
        /// What is done for each block, in order.
        items: Vec<Item>,
    },
    /// Weight gradients: Σ δ xᵀ over all points of a domain, for every right-hand side that shares δ, and Σ δ.
    Outer {
        /// What is summed over.
        domain: Domain,
        /// The left vectors.
        delta: View,
        /// Their length.
        len: usize,
        /// The right-hand sides.
        rhs: Vec<Rhs>,
        /// Where the parts of Σ δ go; none if it is not wanted.
        bias: Vec<BlockAt>,
    },
    /// Σ x over what `to` lacks of `domain`.
    SumTo {
        /// What is summed over.
        domain: Domain,
        /// What remains.
        to: Domain,
        /// The values.
        x: View,
        /// Numbers a point.
        len: usize,
        /// Where the parts go; one row each.
        parts: Vec<BlockAt>,
    },
    /// Σ a bᵀ over what `to`, which is not `once`, lacks of `domain`.
    OuterTo {
        /// What is summed over.
        domain: Domain,
        /// What remains.
        to: Domain,
        /// Left vectors and their length.
        a: (View, usize),
        /// Right vectors and their length.
        b: (View, usize),
        /// The result.
        y: View,
    },
    /// Rows added up by index: `y[index] += v`.
    Scatter {
        /// What is summed over.
        domain: Domain,
        /// What remains.
        to: Domain,
        /// Rows of the result.
        rows: usize,
        /// Numbers a row.
        cols: usize,
        /// Which row.
        index: View,
        /// What is added to it.
        v: View,
        /// The result.
        y: View,
    },
}

/// A plan for one program, for any number of steps and rows.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program's name.
    pub name: String,
    /// The machine that it is for: whoever makes code of it, runs it or counts its cost goes by this.
    pub target: Target,
    /// All arrays.
    pub buffers: Vec<Buffer>,
    /// All weights of products.
    pub weights: Vec<Weight>,
    /// What to do, in order.
    pub items: Vec<Item>,
    /// For how long its arrays keep their steps.
    pub memory: Memory,
}

impl Plan {
    /// All loops, in the order in which they stand in the plan.
    pub fn loops(&self) -> Vec<&Loop> {
        fn collect<'p>(items: &'p [Item], out: &mut Vec<&'p Loop>) {
            for item in items {
                match item {
                    Item::Loop(l) => out.push(l),
                    Item::TimeTile { items, .. } | Item::Sweep { items, .. } => collect(items, out),
                    _ => {}
                }
            }
        }
        let mut out = Vec::new();
        collect(&self.items, &mut out);
        out
    }
}
