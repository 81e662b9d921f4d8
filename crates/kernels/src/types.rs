//! The argument structures, with C layout so that compiled code can build them.
//!
//! For callers of the raw kernels. All strides and lengths are in elements. Nothing here owns memory.
//!
//! Invariant: a list of blocks *tiles* its matrix: every element belongs to exactly one block. Kernels rely on that.

use crate::bf16::Bf16Unit;

/// Flag for a product's last argument: add to the existing values.
pub const ADD: u32 = 1;
/// Flag for a product's last argument: read the weights from their end. If weights exceed a cache and are used
/// repeatedly, reading every other time from the end is faster, because the most recently read part is still cached.
/// It changes no result but that of unpacked transposed weights, whose sums then have another order.
pub const BACKWARD: u32 = 2;
/// Flag for a product's last argument: sums have one order whatever [`BACKWARD`] says, so that a result does not depend
/// on the number of products before. Unpacked transposed weights are then read forward.
pub const IN_ORDER: u32 = 4;

/// One row-major block of a larger matrix [R, C], by the address of its first element.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StridedBlock<P> {
    /// Its first element.
    pub ptr: P,
    /// Elements from one row of the block to the next.
    pub ld: usize,
    /// The position of its first row in the larger matrix.
    pub row: usize,
    /// The position of its first column in the larger matrix.
    pub col: usize,
    /// Rows of the block.
    pub rows: usize,
    /// Columns of the block.
    pub cols: usize,
}

/// A block to be read.
pub type Block<T> = StridedBlock<*const T>;

/// A block to be written.
pub type BlockMut<T> = StridedBlock<*mut T>;

/// A contiguous piece of a vector, to be written.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PieceMut<T> {
    /// Its first element.
    pub ptr: *mut T,
    /// Its position in the vector.
    pub start: usize,
    /// Its elements.
    pub len: usize,
}

/// A matrix W [rows, cols] to multiply by, given as the blocks that tile it and, if worthwhile, packed as well.
///
/// With `transposed == false` the product is C[m, rows] = A[m, cols] · Wᵀ (for each row of A a matrix-vector product),
/// with `transposed == true` it is C[m, cols] = A[m, rows] · W.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Weights<T> {
    /// Rows of W.
    pub rows: usize,
    /// Columns of W.
    pub cols: usize,
    /// Selects the product; a packing serves one of the two.
    pub transposed: bool,
    /// The blocks that tile W. Not read by a product if `packed` is not null.
    pub blocks: *const Block<T>,
    /// How many blocks.
    pub n_blocks: usize,
    /// Rounds W and what it is multiplied by to bfloat16, for f32 alone. The unit must be
    /// [available](Bf16Unit::available) to the kernels' instruction set, and W be packed.
    pub unit: Option<Bf16Unit>,
    /// Filled by [`crate::Kernels::pack`] of the same kernels, or null: then the product reads the blocks in place,
    /// which suits few rows of A. Alignment to 64 bytes makes it faster.
    pub packed: *const T,
}

impl<T> Weights<T> {
    /// An unpacked matrix in blocks. It holds their address.
    pub(crate) fn unpacked(
        rows: usize,
        cols: usize,
        transposed: bool,
        blocks: &[Block<T>],
    ) -> Self {
        Weights {
            rows,
            cols,
            transposed,
            blocks: blocks.as_ptr(),
            n_blocks: blocks.len(),
            unit: None,
            packed: std::ptr::null(),
        }
    }

    /// Terms of each sum of the product.
    pub fn inner(&self) -> usize {
        if self.transposed {
            self.rows
        } else {
            self.cols
        }
    }

    /// Columns of the product.
    pub fn outer(&self) -> usize {
        if self.transposed {
            self.cols
        } else {
            self.rows
        }
    }
}

/// A right-hand side of [`OuterArgs`]: vectors r of `n` elements, and the destination of Σ δ rᵀ.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct OuterRhs<T> {
    /// The vector of step 0, row 0.
    pub ptr: *const T,
    /// From one step to the next.
    pub step_stride: usize,
    /// From one row to the next.
    pub row_stride: usize,
    /// See [`OuterArgs::starts`].
    pub lag: usize,
    /// Elements of a vector.
    pub n: usize,
    /// Blocks that tile the result [m, n].
    pub dst: *const BlockMut<T>,
    /// How many blocks.
    pub n_dst: usize,
}

/// The weight gradients of a sequence: Σ over steps t and rows b of δ(t,b) r(t,b)ᵀ for each right-hand side, and Σ δ.
/// Vector (t, b) starts at `ptr + t·step_stride + b·row_stride` and is contiguous.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct OuterArgs<T> {
    /// δ of step 0, row 0.
    pub delta: *const T,
    /// From one step of δ to the next.
    pub step_stride: usize,
    /// From one row of δ to the next.
    pub row_stride: usize,
    /// See [`starts`](Self::starts).
    pub lag: usize,
    /// Elements of a δ: rows of every result.
    pub m: usize,
    /// Steps.
    pub steps: usize,
    /// Rows (examples) of a step. The sums have steps · rows terms, rows running fastest.
    pub rows: usize,
    /// If steps have different numbers of rows: the number of vectors before each step, from `lag` steps before the first
    /// one (by the largest `lag`; this points to the first one's) up to and including the one after the last step.
    /// Step t has `starts[t + 1] - starts[t]` rows, and `rows` is not read. A vector's step stride, unless it is 0, is
    /// replaced by a table: step t begins `starts[t - lag] - starts[-lag]` rows after step 0. Null otherwise.
    pub starts: *const i64,
    /// The right-hand sides.
    pub rhs: *const OuterRhs<T>,
    /// How many right-hand sides; may be 0.
    pub n_rhs: usize,
    /// Pieces that make up Σ δ (m elements), or none if it is not needed.
    pub bias: *const PieceMut<T>,
    /// How many pieces.
    pub n_bias: usize,
    /// Rounds δ and the right-hand sides to bfloat16, but not for Σ δ; see [`Weights::unit`].
    pub unit: Option<Bf16Unit>,
    /// Add to the destinations, or overwrite them.
    pub add: bool,
}

/// Outer products per row: Y(b) [m, n] = Σ over steps t of a(t, b) b(t, b)ᵀ. Vector (t, b) starts at `ptr + t·step +
/// b·row` and is contiguous, as is each matrix.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RowOuterArgs<T> {
    /// Left vector of step 0, row 0.
    pub a: *const T,
    /// From one step of it to the next.
    pub a_step: usize,
    /// From one row of it to the next.
    pub a_row: usize,
    /// Elements of a left vector: rows of a matrix.
    pub m: usize,
    /// Right vector of step 0, row 0.
    pub b: *const T,
    /// From one step of it to the next.
    pub b_step: usize,
    /// From one row of it to the next.
    pub b_row: usize,
    /// Elements of a right vector: columns of a matrix.
    pub n: usize,
    /// The matrix of row 0.
    pub y: *mut T,
    /// From one row's matrix to the next.
    pub y_row: usize,
    /// Terms of each sum.
    pub steps: usize,
    /// Add to the matrices, or overwrite them.
    pub add: bool,
}

/// The slice of a pointer and a length; the pointer of an empty list may be arbitrary.
///
/// # Safety
/// `n` elements at `ptr` must be readable and unchanging for as long as the slice is used.
pub(crate) unsafe fn list<'a, U>(ptr: *const U, n: usize) -> &'a [U] {
    if n == 0 {
        return &[];
    }
    // SAFETY: guaranteed by the caller.
    unsafe { std::slice::from_raw_parts(ptr, n) }
}

// SAFETY: these, here and below, are descriptions; sending one to another thread touches no memory. The validity of the
// memory is guaranteed by the unsafe call of a kernel.
unsafe impl<T: Sync> Send for Block<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Block<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Send for BlockMut<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for BlockMut<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Send for PieceMut<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for PieceMut<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Send for Weights<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Weights<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Send for OuterRhs<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for OuterRhs<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Send for OuterArgs<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for OuterArgs<T> {}
