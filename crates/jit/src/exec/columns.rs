//! Parts of a weight that have some columns of its product each.
//!
//! Invariant: an element of a product depends on its own column of weights alone, so that a product by parts has the bits of
//! the whole one.

use retrograd_graph::plan::Weight;
use retrograd_kernels::{Block, CACHE_LINE, Kernels, SimdElement, Weights};

/// Blocks of a weight that is cut, at most.
pub(super) const BLOCKS: usize = 16;

/// Whether a weight can be cut: packed bfloat16 weights have an order of their own, and there is no room for the parts of
/// many blocks.
pub(super) fn can_be_cut(weight: &Weight) -> bool {
    !weight.bf16 && weight.blocks.len() <= BLOCKS
}

/// What parts are multiples of, but for the last one: whole panels, and whole cache lines of results.
pub(super) fn unit<T: SimdElement>(kernels: &Kernels<T>) -> usize {
    kernels.panel.next_multiple_of(CACHE_LINE / size_of::<T>())
}

/// The first column of part `i` of `parts`, of about the same size each, of n columns.
pub(super) fn border(n: usize, unit: usize, (i, parts): (usize, usize)) -> usize {
    match i == parts {
        true => n,
        false => n * i / parts / unit * unit,
    }
}

/// Bytes of packed columns that stay in L2 beside what they are multiplied with.
const PLACE: usize = 256 << 10;

/// How a weight is packed by parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    /// Columns of a part, at most.
    pub(super) columns: usize,
    /// Numbers that a part takes, at most.
    pub(super) numbers: usize,
}

impl Parts {
    /// Those of a weight.
    pub(super) fn of<T: SimdElement>(kernels: &Kernels<T>, weight: &Weight) -> Parts {
        let (k, n) = match weight.transposed {
            true => (weight.rows, weight.cols),
            false => (weight.cols, weight.rows),
        };
        let unit = unit(kernels);
        let columns = (PLACE / size_of::<T>() / k.max(1) / unit).max(1) * unit;
        let numbers = |n: usize| match weight.transposed {
            true => kernels.packed_len(k, n, true),
            false => kernels.packed_len(n, k, false),
        };
        // The last part may end a panel early, and have columns behind its panels.
        let last = numbers(columns - unit + n % unit);
        let numbers = numbers(columns).max(last);
        Parts {
            columns,
            numbers: numbers.next_multiple_of(CACHE_LINE / size_of::<T>()),
        }
    }
}

/// Calls `f` with the part of weights that has these columns of the product. Of packed weights, they begin a panel, and end
/// one unless they are the last; of others, there are at most [`BLOCKS`] blocks.
pub(super) fn with_columns<T: Copy>(
    w: &Weights<T>,
    (from, to): (usize, usize),
    f: impl FnOnce(&Weights<T>),
) {
    let (rows, cols) = match w.transposed {
        true => (w.rows, to - from),
        false => (to - from, w.cols),
    };
    let part = Weights { rows, cols, ..*w };
    if !w.packed.is_null() {
        let packed = w.packed.wrapping_add(from * w.inner());
        f(&Weights { packed, ..part });
        return;
    }
    let nothing = Block {
        ptr: std::ptr::null(),
        ld: 0,
        row: 0,
        col: 0,
        rows: 0,
        cols: 0,
    };
    let (mut blocks, mut n) = ([nothing; BLOCKS], 0);
    for k in 0..w.n_blocks {
        // SAFETY: whoever describes weights guarantees their list.
        let mut b = unsafe { *w.blocks.add(k) };
        let (first, len) = match w.transposed {
            true => (b.col, b.cols),
            false => (b.row, b.rows),
        };
        let (begin, end) = (first.max(from), (first + len).min(to));
        if begin >= end {
            continue;
        }
        let (skipped, len) = (begin - first, end - begin);
        if w.transposed {
            (b.ptr, b.col, b.cols) = (b.ptr.wrapping_add(skipped), begin - from, len);
        } else {
            let ptr = b.ptr.wrapping_add(skipped * b.ld);
            (b.ptr, b.row, b.rows) = (ptr, begin - from, len);
        }
        (blocks[n], n) = (b, n + 1);
    }
    f(&Weights {
        blocks: blocks.as_ptr(),
        n_blocks: n,
        ..part
    });
}
