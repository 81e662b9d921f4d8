//! Where a result's elements go: blocks of matrices, and pieces of a vector.
//!
//! For `outer`, of either precision.

use crate::types::{BlockMut, PieceMut};

/// The first boundary of any of the spans (start, length) after `at`, or `end` if that comes first.
pub(crate) fn boundary<B>(
    spans: &[B],
    end: usize,
    span: impl Fn(&B) -> (usize, usize),
    at: usize,
) -> usize {
    spans
        .iter()
        .map(span)
        .flat_map(|(start, len)| [start, start + len])
        .filter(|&e| e > at)
        .fold(end, usize::min)
}

/// The address of element (row, col), and the stride of its block's rows.
pub(crate) fn place<T>(blocks: &[BlockMut<T>], row: usize, col: usize) -> Option<(*mut T, usize)> {
    let holds =
        |b: &&BlockMut<T>| row.wrapping_sub(b.row) < b.rows && col.wrapping_sub(b.col) < b.cols;
    blocks.iter().find(holds).map(|b| {
        (
            b.ptr.wrapping_add((row - b.row) * b.ld + (col - b.col)),
            b.ld,
        )
    })
}

/// The address of element `at` of a vector in pieces, or null.
pub(crate) fn piece<T>(pieces: &[PieceMut<T>], at: usize) -> *mut T {
    let holds = |p: &&PieceMut<T>| at.wrapping_sub(p.start) < p.len;
    pieces
        .iter()
        .find(holds)
        .map_or(std::ptr::null_mut(), |p| p.ptr.wrapping_add(at - p.start))
}
