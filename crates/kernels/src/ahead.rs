//! What a micro-kernel prefetches into L2 for those after it, while it computes.
//!
//! For `product`, whose next panel of weights no tile has read yet, and for `outer`, which computes nothing while it packs
//! terms and waits for them. Hardware prefetches along a row, but not from one short row to the next, nor into another
//! page.
//!
//! Invariant: prefetches read nothing and fault nowhere, so that an address may lie beyond its array.

use crate::memory::CACHE_LINE;
use crate::micro::{AHEAD_EVERY, UNROLL};
use crate::terms::Terms;

/// A line to prefetch into L2 with each term of a tile, or with every [`AHEAD_EVERY`] where A lies term by term; a term of
/// bfloat16 is a pair.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    /// The address prefetched first.
    pub(crate) at: *const T,
    /// Elements from one address to the next.
    pub(crate) step: usize,
}

impl<T> Clone for Ahead<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ahead<T> {}

impl<T> Ahead<T> {
    /// The same address again and again, of something that is there.
    pub(crate) fn nothing(at: *const T) -> Self {
        Self { at, step: 0 }
    }
}

/// Most lines of a term that wait to be prefetched: others are left out.
const MOST_AHEAD: usize = 128;

/// What tiles of `k` terms each are to prefetch, line by line of a term; each goes through the terms in turn.
pub(crate) struct Streams<T> {
    k: usize,
    all: [Ahead<T>; MOST_AHEAD],
    from: usize,
    end: usize,
    /// Tiles that have taken a share of the first of them.
    tiles: usize,
}

impl<T> Streams<T> {
    /// None, for tiles of `k` terms.
    pub(crate) fn none(k: usize) -> Self {
        Self {
            k,
            all: [Ahead::nothing(std::ptr::null()); MOST_AHEAD],
            from: 0,
            end: 0,
            tiles: 0,
        }
    }

    /// The lines of columns `col .. col + cols` of the terms, if these follow each other at one distance.
    pub(crate) fn push(&mut self, terms: &Terms<T>, col: usize, cols: usize) {
        let Some((first, step)) = terms.evenly() else {
            return;
        };
        let first = first.wrapping_add(col);
        let line = CACHE_LINE / size_of::<T>();
        let skip = first.addr() % CACHE_LINE / size_of::<T>();
        for i in 0..(skip + cols).div_ceil(line) {
            if self.end - self.from < MOST_AHEAD {
                let at = first.wrapping_add(i * line).wrapping_sub(skip);
                self.all[self.end % MOST_AHEAD] = Ahead { at, step };
                self.end += 1;
            }
        }
    }

    /// Forgets what has not been prefetched.
    pub(crate) fn clear(&mut self) {
        (self.from, self.tiles) = (self.end, 0);
    }

    /// What the next tile prefetches.
    pub(crate) fn pop(&mut self) -> Option<Ahead<T>> {
        if self.from == self.end {
            return None;
        }
        let first = self.all[self.from % MOST_AHEAD];
        // Terms that remain after whole iterations prefetch nothing.
        let lines = self.k / UNROLL * (UNROLL / AHEAD_EVERY);
        let at = first
            .at
            .wrapping_add((self.tiles * lines).wrapping_mul(first.step));
        self.tiles += 1;
        if self.tiles == AHEAD_EVERY {
            (self.from, self.tiles) = (self.from + 1, 0);
        }
        Some(Ahead { at, ..first })
    }
}
