//! Arrays, the views of them that are read and written, and weights composed of such views.

use cranelift_entity::{EntityRef, PrimaryMap, entity_impl};
use retrograd_tape::Domain;

/// The number of an array among a plan's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(u32);
entity_impl!(BufferId, "buffer");

impl BufferId {
    /// The array of input `k`: inputs have a plan's first ones, outputs the next.
    pub fn of_input(k: usize) -> BufferId {
        BufferId::new(k)
    }
}

/// The number of a weight among a plan's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(u32);
entity_impl!(WeightId, "W");

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
    /// Name in print-outs.
    pub name: String,
    /// The points that it has a value for.
    pub domain: Domain,
    /// Numbers per point.
    pub len: usize,
    /// Boundary steps before the first step (domain `step` only).
    pub front: usize,
    /// Boundary steps after the last step (domain `step` only).
    pub back: usize,
    /// Where it lives.
    pub storage: Storage,
}

impl Buffer {
    /// Number of elements for `t` steps and `b` rows.
    pub fn size(&self, t: usize, b: usize) -> usize {
        self.len * self.domain.points(self.front + t + self.back, b)
    }
}

/// A part of each point's value in a buffer, as a loop reads or writes it.
///
/// At point (t, b) of a loop, the view starts at `offset` in the value at a point of the buffer: that of row b if the
/// buffer has rows, and of step `t + shift` if it has steps, or, if `from_end`, of `T + t + shift` (in a loop over
/// boundary slots, t is the slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View {
    /// The array.
    pub buffer: BufferId,
    /// First number within a point's value.
    pub offset: usize,
    /// Steps relative to the loop's step.
    pub shift: i64,
    /// Counted from the sequence's end.
    pub from_end: bool,
}

impl View {
    /// The whole of a buffer, at the loop's own step.
    pub fn of(buffer: BufferId) -> View {
        View {
            buffer,
            offset: 0,
            shift: 0,
            from_end: false,
        }
    }
    /// The view shifted by `n` numbers within the point.
    pub fn plus(self, n: usize) -> View {
        View {
            offset: self.offset + n,
            ..self
        }
    }
}

/// The arrays of a plan.
pub type BufferMap = PrimaryMap<BufferId, Buffer>;

/// The weights of a plan.
pub type WeightMap = PrimaryMap<WeightId, Weight>;

/// A block of a matrix, at (`row`, `col`), stored row-major with `ld` numbers from row to row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockAt {
    /// First row of the block in the matrix.
    pub row: usize,
    /// First column.
    pub col: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// The location of its first number.
    pub view: View,
    /// Numbers from row to row.
    pub ld: usize,
}

/// A weight matrix as products use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Name in print-outs.
    pub name: String,
    /// Rows of the whole matrix.
    pub rows: usize,
    /// Columns of the whole matrix.
    pub cols: usize,
    /// Products use the transpose.
    pub transposed: bool,
    /// Products round it, and what they multiply by it, to bfloat16.
    pub bf16: bool,
    /// The blocks it is composed of, of domain `once`.
    pub blocks: Vec<BlockAt>,
}

impl Weight {
    /// Numbers that a product reads per row.
    pub fn inner(&self) -> usize {
        if self.transposed {
            self.rows
        } else {
            self.cols
        }
    }
    /// Numbers that a product writes per row.
    pub fn outer(&self) -> usize {
        if self.transposed {
            self.cols
        } else {
            self.rows
        }
    }
}
