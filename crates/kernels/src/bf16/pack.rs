//! Packing weights as bfloat16: blocks in, panels of pairs out.
//!
//! Panel j holds columns j·NR .. (j + 1)·NR of B (Wᵀ or W), zeros beyond the last column, line by line: line p has the terms
//! 2p and 2p + 1 of each column, zeros beyond the last term. Tiles take 16 lines at a time: for them, lines of zeros
//! follow up to a multiple of that.
//!
//! Invariant: reads run along rows of W. Blocks may begin and end in the middle of a pair.

use std::marker::PhantomData;

use super::emulated::round;
use super::unit::Unit;
use crate::simd::{Simd, SimdOp};
use crate::types::{Block, Weights, list};

/// Most columns of a panel, and of words of a line.
const MOST: usize = 32;

/// Lines of a panel.
pub(super) fn lines(tiles: bool, k: usize) -> usize {
    match tiles {
        true => k.div_ceil(32) * 16,
        false => k.div_ceil(2),
    }
}

/// Words of a packing.
pub(super) fn packed_len(words: usize, nr: usize, tiles: bool, k: usize, n: usize) -> usize {
    n.div_ceil(nr) * nr * lines(tiles, k) * words
}

/// See [`super::pack`].
///
/// # Safety
/// See [`super::pack`].
pub(super) unsafe fn pack<U: Unit>(w: &Weights<f32>, tiles: bool, out: *mut u32) {
    let (k, n) = (w.inner(), w.outer());
    let lines = lines(tiles, k);
    let (nr, line) = (U::S::NR, U::S::NR * U::WORDS);
    let panels = n.div_ceil(nr);
    // SAFETY: the caller guarantees the blocks, `packed_len` words of `out` and the unit.
    unsafe {
        if !n.is_multiple_of(nr) {
            out.add((panels - 1) * lines * line)
                .write_bytes(0, lines * line);
        }
        for panel in 0..panels {
            let from = panel * lines + k / 2;
            out.add(from * line).write_bytes(0, (lines - k / 2) * line);
        }
        for &block in list(w.blocks, w.n_blocks) {
            let of = PhantomData;
            match w.transposed {
                true => U::vectorize(Lines::<U>(PackBlock {
                    w: block,
                    lines,
                    out,
                    of,
                })),
                false => U::vectorize(Transpose::<U>(PackBlock {
                    w: block,
                    lines,
                    out,
                    of,
                })),
            }
        }
    }
}

struct PackBlock<U> {
    w: Block<f32>,
    /// Lines of a panel.
    lines: usize,
    out: *mut u32,
    of: PhantomData<U>,
}

impl<U: Unit> PackBlock<U> {
    /// The address of a column's word, or first word, in a line.
    fn at(&self, column: usize, line: usize) -> *mut u32 {
        let q = column % U::S::NR;
        let words = U::S::NR * U::WORDS;
        self.out
            .wrapping_add((column / U::S::NR * self.lines + line) * words + q)
    }

    /// Writes one term of a column.
    ///
    /// # Safety
    /// Both must exist.
    unsafe fn put(&self, column: usize, term: usize, x: f32) {
        let bits = round(x).to_bits();
        let (at, second) = (self.at(column, term / 2), term % 2);
        // SAFETY: guaranteed by the caller.
        unsafe {
            match U::WORDS {
                1 => *at.cast::<u16>().add(half(second)) = (bits >> 16) as u16,
                _ => *at.add(second * U::S::NR) = bits,
            }
        }
    }
}

/// The position of a term in the two halves of a word.
fn half(term: usize) -> usize {
    match cfg!(target_endian = "little") {
        true => term,
        false => 1 - term,
    }
}

/// Rounds the first columns of two terms into a panel's line, zeros behind them.
///
/// # Safety
/// Both must exist, and the machine must have the unit.
#[inline(always)]
unsafe fn line<U: Unit>(terms: [*const f32; 2], n: usize, to: *mut u32) {
    for at in [0, U::S::LANES] {
        let left = U::first(n.saturating_sub(at));
        let terms = terms.map(|term| term.wrapping_add(at));
        // SAFETY: guaranteed by the caller; a line has two registers.
        unsafe { U::pairs(terms, [left; 2], to.add(at), U::S::NR) };
    }
}

/// Packs a block of W whose rows are terms.
struct Lines<U>(PackBlock<U>);

impl<U: Unit> SimdOp for Lines<U> {
    #[inline(always)]
    unsafe fn run(self) {
        let Block {
            ptr,
            ld,
            row,
            col,
            rows,
            cols,
        } = self.0.w;
        let nr = U::S::NR;
        let mut r = 0;
        while r < rows {
            let term = row + r;
            let both = term.is_multiple_of(2) && r + 1 < rows;
            let from = ptr.wrapping_add(r * ld);
            let mut c = 0;
            while c < cols {
                let q = (col + c) % nr;
                let run = (nr - q).min(cols - c);
                // SAFETY: the block's elements exist; their places lie inside the packing. A run that does not fill its
                // line goes through one of its own.
                unsafe {
                    if !both {
                        for i in c..c + run {
                            self.0.put(col + i, term, *from.add(i));
                        }
                    } else {
                        let terms = [from.add(c), from.add(ld + c)];
                        let to = self.0.at(col + c, term / 2);
                        if run == nr {
                            line::<U>(terms, nr, to);
                        } else {
                            let mut own = [0; 2 * MOST];
                            line::<U>(terms, run, own.as_mut_ptr());
                            for k in 0..U::WORDS {
                                let part = own.as_ptr().add(k * nr);
                                to.add(k * nr).copy_from_nonoverlapping(part, run);
                            }
                        }
                    }
                }
                c += run;
            }
            r += if both { 2 } else { 1 };
        }
    }
}

/// Packs a block of W whose rows are columns of the product.
struct Transpose<U>(PackBlock<U>);

impl<U: Unit> SimdOp for Transpose<U> {
    #[inline(always)]
    unsafe fn run(self) {
        let Block {
            ptr,
            ld,
            row,
            col,
            rows,
            cols,
        } = self.0.w;
        let (nr, lanes) = (U::S::NR, U::S::LANES);
        // Whole pairs, and the terms before and after them.
        let first = (col % 2).min(cols);
        let pairs = (cols - first) / 2;
        let line = (col + first) / 2;
        let mut square = [0u32; MOST * MOST / 4];
        let mut r = 0;
        while r < rows {
            let q = (row + r) % nr;
            let run = (nr - q).min(rows - r);
            // SAFETY: rows r .. r + run of the block exist; their places are columns q .. q + run of one panel, whose words
            // follow each other line by line.
            unsafe {
                for i in r..r + run {
                    let from = ptr.add(i * ld);
                    if first == 1 {
                        self.0.put(row + i, col, *from);
                    }
                    if first + 2 * pairs < cols {
                        self.0.put(row + i, col + cols - 1, *from.add(cols - 1));
                    }
                }
                let to = self.0.at(row + r, line);
                // As many words of as many rows as a register has lanes.
                let step = lanes / U::WORDS;
                for p in (0..pairs).step_by(step) {
                    let some = step.min(pairs - p);
                    let words = some * U::WORDS;
                    let to = to.add(p * U::WORDS * nr);
                    for i in (0..run).step_by(lanes) {
                        let many = lanes.min(run - i);
                        for j in 0..many {
                            let from = ptr.add((r + i + j) * ld + first + 2 * p);
                            U::row(from, 2 * some, square.as_mut_ptr().add(j * lanes), some);
                        }
                        let (from, to) = (square.as_ptr(), to.add(i));
                        if many == lanes && words == lanes {
                            U::S::transpose(from.cast(), lanes, to.cast(), nr);
                        } else {
                            for w in 0..words {
                                for j in 0..many {
                                    *to.add(w * nr + j) = *from.add(j * lanes + w);
                                }
                            }
                        }
                    }
                }
            }
            r += run;
        }
    }
}
