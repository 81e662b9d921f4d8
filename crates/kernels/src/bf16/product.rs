//! C[m, n] = start + A[m, k] · B of bfloat16 pairs: rows in groups, which are rounded once per K block, then panels, then
//! tiles of rows.
//!
//! Invariant: an element of C depends only on its own row of A and column of B, bit for bit.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::micro::{Tile, panels_at_once, tile};
use super::unit::Unit;
use super::{K_BLOCK, Multiply};
use crate::ahead::Ahead;
use crate::micro::{SumStart, part};
use crate::product::following;
use crate::simd::{Simd, SimdOp};

/// Words of a group of rows in a K block, 60 rows of pairs: 60 KiB, on the stack.
const GROUP_WORDS: usize = 60 * K_BLOCK / 2;

/// Rounds rows of A.
pub(super) struct Rows<U> {
    pub(super) rows: usize,
    /// Terms to read of each row.
    pub(super) n: usize,
    pub(super) a: *const f32,
    pub(super) lda: usize,
    pub(super) to: *mut u32,
    /// Words from row to row.
    pub(super) ld: usize,
    /// Pairs to write of each row.
    pub(super) pairs: usize,
    pub(super) of: PhantomData<U>,
}

impl<U: Unit> SimdOp for Rows<U> {
    #[inline(always)]
    unsafe fn run(self) {
        for i in 0..self.rows {
            // SAFETY: the rows exist on both sides.
            unsafe {
                let (from, to) = (self.a.add(i * self.lda), self.to.add(i * self.ld));
                U::row(from, self.n, to, self.pairs);
            }
        }
    }
}

/// See [`super::product`].
///
/// # Safety
/// See [`super::product`].
pub(super) unsafe fn product<U: Unit>(p: Multiply) {
    let (mr, nr) = (U::S::MR, U::S::NR);
    let row_words = K_BLOCK / 2 * U::WORDS;
    let most = GROUP_WORDS / row_words / mr;
    let mut scratch = [const { MaybeUninit::<u32>::uninit() }; GROUP_WORDS];
    let rounded: *mut u32 = scratch.as_mut_ptr().cast();
    let lines = p.k.div_ceil(2);
    let tiles = p.m.div_ceil(mr);
    let wide = panels_at_once(p.m);
    let pieces = p.n.div_ceil(wide * nr);
    let groups = tiles.div_ceil(most);
    for g in 0..groups {
        let (t0, t1) = (part(tiles, groups, g), part(tiles, groups, g + 1));
        let rows = |t: usize| part(p.m, tiles, t);
        let first = rows(t0);
        for k0 in (0..p.k).step_by(K_BLOCK) {
            let n = K_BLOCK.min(p.k - k0);
            let pairs = n.div_ceil(2);
            // SAFETY: these rows and terms exist, and a group's words fit.
            unsafe {
                U::vectorize(Rows::<U> {
                    rows: rows(t1) - first,
                    n,
                    a: p.a.add(first * p.lda + k0),
                    lda: p.lda,
                    to: rounded,
                    ld: row_words,
                    pairs,
                    of: PhantomData,
                });
            }
            for piece in 0..pieces {
                let piece = if p.backward {
                    pieces - 1 - piece
                } else {
                    piece
                };
                let mut j = piece * wide * nr;
                let end = p.n.min(j + wide * nr);
                while j < end {
                    let mut panels = wide;
                    while panels > 1 && end - j <= (panels - 1) * nr {
                        panels /= 2;
                    }
                    let cols = (panels * nr).min(end - j);
                    let block = |(j, k0): (usize, usize)| {
                        p.b.wrapping_add((j / nr * lines + k0 / 2) * nr * U::WORDS)
                    };
                    let next = following(p.backward, nr, (p.n, p.k), (j, cols), (k0, n));
                    // Each tile prefetches a part of it, so many words with each pair.
                    let step = (nr * U::WORDS).div_ceil(t1 - t0);
                    for t in t0..t1 {
                        // SAFETY: the rows of C and the panels from column j on exist.
                        unsafe {
                            let start = p.start.part(k0 == 0, j);
                            let operands = Tile {
                                pairs,
                                a: rounded.add((rows(t) - first) * row_words),
                                a_row: row_words,
                                a_pair: U::WORDS,
                                a_second: 1,
                                b: block((j, k0)),
                                panel: lines * nr * U::WORDS,
                                c: p.c.add(rows(t) * p.ldc + j),
                                ldc: p.ldc,
                                cols,
                                start,
                                far: matches!(start, SumStart::Old),
                                ahead: match next {
                                    Some(next) => Ahead {
                                        at: (block(next).cast::<f32>())
                                            .wrapping_add((t - t0) * pairs * step),
                                        step,
                                    },
                                    None => Ahead::nothing(p.a),
                                },
                            };
                            tile::<U>(rows(t + 1) - rows(t), panels, &operands);
                        }
                    }
                    j += cols;
                }
            }
        }
    }
}
