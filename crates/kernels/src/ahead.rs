//! What a micro-kernel prefetches into L2 for those after it, while it computes.
//!
//! For `product`, whose next panel of weights no tile has read yet, and for `outer`, which computes nothing while it packs
//! terms and waits for them. Hardware prefetches along a row, but not from one short row to the next, nor into another
//! page.
//!
//! Invariant: prefetches read nothing and fault nowhere, so that an address may lie beyond its array.

use crate::memory::CACHE_LINE;
use crate::terms::Terms;

/// A line to prefetch into L2 with each term of a tile.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    /// The address prefetched with the first term.
    pub(crate) at: *const T,
    /// Elements from the address of one term to that of the next.
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

/// What is to be prefetched, line by line of a term; each goes through the terms in turn.
pub(crate) struct Streams<T> {
    all: [Ahead<T>; MOST_AHEAD],
    from: usize,
    end: usize,
}

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Self {
            all: [Ahead::nothing(std::ptr::null()); MOST_AHEAD],
            from: 0,
            end: 0,
        }
    }
}

impl<T> Streams<T> {
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

    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<Ahead<T>> {
        if self.from == self.end {
            return None;
        }
        self.from += 1;
        Some(self.all[(self.from - 1) % MOST_AHEAD])
    }
}
