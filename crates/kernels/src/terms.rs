//! The vectors of a sequence, addressed by two strides, and their packing for the outer product.
//!
//! For `outer`: δ is packed into tiles, unless it is read where it lies, term by term, the rows of one micro-kernel; right-hand
//! sides are packed into panels. For the `outer` of bfloat16 operands, which packs as it rounds: where the terms are.
//!
//! Invariant: only the requested columns are read; the sums of δ run in ascending order over the terms of a block.

use crate::simd::{Simd, SimdOp};
use crate::types::OuterArgs;
use std::marker::PhantomData;

/// Tiles of δ packed together, so that a row of δ is read a few cache lines at a time.
pub(crate) const TILES: usize = 4;

/// Elements of a packed tile of δ. Whole registers are stored, so the last one extends beyond the tile.
pub(crate) fn tile_len<S: Simd>(k: usize) -> usize {
    k * S::MR + S::NR
}

/// Terms k0 .. k0 + kk of a sequence of vectors.
pub(crate) struct Terms<T> {
    ptr: *const T,
    step_stride: usize,
    row_stride: usize,
    rows: usize,
    /// Vectors before each step, and the steps by which this sequence's own positions lag behind; null if each step has
    /// `rows` rows.
    starts: *const i64,
    lag: usize,
    /// The step of the first term, if there is a table.
    from: usize,
    k0: usize,
    kk: usize,
}

impl<T> Clone for Terms<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Terms<T> {}

impl<T> Terms<T> {
    /// Where steps are spaced like rows, or a step is a row, one level replaces two.
    ///
    /// # Safety
    /// The table of the steps must be valid, if there is one.
    pub(crate) unsafe fn new(
        ptr: *const T,
        (step_stride, row_stride, lag): (usize, usize, usize),
        args: &OuterArgs<T>,
        k0: usize,
        kk: usize,
    ) -> Self {
        let OuterArgs {
            rows,
            steps,
            starts,
            ..
        } = *args;
        let mut terms = Self {
            ptr,
            step_stride,
            row_stride,
            rows,
            starts,
            lag,
            from: 0,
            k0,
            kk,
        };
        if starts.is_null() {
            if rows == 1 {
                (terms.rows, terms.row_stride) = (usize::MAX, step_stride);
            } else if step_stride == rows.wrapping_mul(row_stride) {
                terms.rows = usize::MAX;
            }
            return terms;
        }
        // SAFETY: guaranteed by the caller.
        unsafe {
            let dense = terms.before(steps) == terms.distance(steps);
            if dense && step_stride != 0 {
                (terms.rows, terms.starts) = (usize::MAX, std::ptr::null());
                return terms;
            }
            // The last step that begins at or before the first term.
            let (mut from, mut end) = (0, steps);
            while end - from > 1 {
                let middle = from.midpoint(end);
                match terms.before(middle) <= k0 {
                    true => from = middle,
                    false => end = middle,
                }
            }
            terms.from = from;
        }
        terms
    }

    /// Terms before step t.
    ///
    /// # Safety
    /// There must be a table.
    unsafe fn before(&self, t: usize) -> usize {
        // SAFETY: guaranteed by the caller.
        unsafe { (*self.starts.add(t) - *self.starts) as usize }
    }

    /// Rows of this sequence from the beginning of step 0 to that of step t.
    ///
    /// # Safety
    /// There must be a table.
    unsafe fn distance(&self, t: usize) -> usize {
        // SAFETY: guaranteed by the caller.
        unsafe { (*self.starts.add(t).sub(self.lag) - *self.starts.sub(self.lag)) as usize }
    }

    /// The first term and the distance of terms, if all follow each other at one distance: where [`run`](Self::run) finds them.
    pub(crate) fn evenly(&self) -> Option<(*const T, usize)> {
        let first = self.ptr.wrapping_add(self.k0.wrapping_mul(self.row_stride));
        (self.rows == usize::MAX && self.starts.is_null()).then_some((first, self.row_stride))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.kk
    }

    /// What `step` of [`run`](Self::run) is at first.
    pub(crate) fn first_step(&self) -> usize {
        self.from
    }

    /// The distance of terms that follow each other.
    pub(crate) fn distance_of_rows(&self) -> usize {
        self.row_stride
    }

    /// Term k0 + p, and the number of terms from it on that follow each other at `row_stride`: a two-level loop, which
    /// avoids a division per term. `step` is at first [`first_step`](Self::first_step).
    #[inline(always)]
    pub(crate) fn run(&self, p: usize, step: &mut usize) -> (*const T, usize) {
        if !self.starts.is_null() {
            return self.run_of_table(p, step);
        }
        let (t, b) = ((self.k0 + p) / self.rows, (self.k0 + p) % self.rows);
        let first = self
            .ptr
            .wrapping_add(t * self.step_stride + b * self.row_stride);
        (first, (self.rows - b).min(self.kk - p))
    }

    /// Term by term.
    pub(crate) fn one_by_one(self) -> OneByOne<T> {
        OneByOne {
            step: self.from,
            terms: self,
            p: 0,
            at: std::ptr::null(),
            left: 0,
        }
    }

    #[inline(never)]
    fn run_of_table(&self, p: usize, step: &mut usize) -> (*const T, usize) {
        let term = self.k0 + p;
        // SAFETY: `new` demands a table of all steps; one of them has the term.
        unsafe {
            while self.before(*step + 1) <= term {
                *step += 1;
            }
            let rows = match self.step_stride {
                0 => 0,
                _ => self.distance(*step),
            };
            let first = rows + term - self.before(*step);
            let left = self.before(*step + 1) - term;
            let first = self.ptr.wrapping_add(first * self.row_stride);
            (first, left.min(self.kk - p))
        }
    }
}

/// Terms one after the other.
pub(crate) struct OneByOne<T> {
    terms: Terms<T>,
    p: usize,
    step: usize,
    at: *const T,
    /// Terms from this one on that follow each other at one distance.
    left: usize,
}

impl<T> OneByOne<T> {
    /// The next of the [`count`](Terms::count) terms.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> *const T {
        if self.left == 0 {
            (self.at, self.left) = self.terms.run(self.p, &mut self.step);
        }
        let at = self.at;
        self.at = at.wrapping_add(self.terms.row_stride);
        (self.p, self.left) = (self.p + 1, self.left - 1);
        at
    }
}

/// Packs columns of the terms into a panel, with zeros beyond them.
pub(crate) struct PackRhs<S: Simd> {
    pub(crate) terms: Terms<S::T>,
    pub(crate) col: usize,
    pub(crate) cols: usize,
    pub(crate) out: *mut S::T,
    pub(crate) set: PhantomData<S>,
}

impl<S: Simd> SimdOp for PackRhs<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let (n0, n1) = (self.cols, self.cols.saturating_sub(S::LANES));
        let whole = self.cols == S::NR;
        let mut to = self.out;
        let (mut p, mut step) = (0, self.terms.from);
        while p < self.terms.kk {
            let (first, run) = self.terms.run(p, &mut step);
            // SAFETY: the terms' columns col .. col + cols exist; a part is at most that; the panel has kk·NR elements.
            unsafe {
                for q in 0..run {
                    let v = first.add(q * self.terms.row_stride + self.col);
                    if whole {
                        S::store(to, S::load(v));
                        S::store(to.add(S::LANES), S::load(v.add(S::LANES)));
                    } else {
                        S::store(to, S::load_up_to(v, n0));
                        let high = if n1 > 0 {
                            S::load_part(v.add(S::LANES), n1)
                        } else {
                            S::zero()
                        };
                        S::store(to.add(S::LANES), high);
                    }
                    to = to.add(S::NR);
                }
            }
            p += run;
        }
    }
}

/// Packs columns of the terms from `col` on into tiles side by side if `pack`, and adds them up in `sum` unless that is null.
pub(crate) struct PackDelta<S: Simd> {
    pub(crate) terms: Terms<S::T>,
    pub(crate) col: usize,
    /// Columns of each tile, at most MR; 0 after the last tile.
    pub(crate) cols: [usize; TILES],
    pub(crate) pack: bool,
    pub(crate) out: *mut S::T,
    /// Elements from one tile to the next.
    pub(crate) tile: usize,
    pub(crate) sum: *mut S::T,
    pub(crate) add: bool,
    pub(crate) set: PhantomData<S>,
}

impl<S: Simd> SimdOp for PackDelta<S> {
    #[inline(always)]
    unsafe fn run(self) {
        const { assert!(S::MR <= S::NR, "a row of a tile fits two registers") };
        let (cols, pack) = (self.cols, self.pack);
        let tile = self.tile;
        let (mut p, mut step) = (0, self.terms.from);
        // SAFETY: the terms' columns exist and parts do not exceed them. Whole registers are stored; the excess is
        // overwritten by the next term or lies in the slack of `tile_len`. `sum` holds all the columns.
        unsafe {
            // Registers, hence the loops over constants and no iterator over a part of them.
            let mut acc = [[S::zero(); 2]; TILES];
            while p < self.terms.kk {
                let (first, run) = self.terms.run(p, &mut step);
                for q in 0..run {
                    let mut v = first.add(q * self.terms.row_stride + self.col);
                    for t in 0..TILES {
                        if cols[t] == 0 {
                            break;
                        }
                        let to = self.out.add(t * tile + (p + q) * cols[t]);
                        let low = S::load_up_to(v, cols[t]);
                        acc[t][0] = S::add(acc[t][0], low);
                        if pack {
                            S::store(to, low);
                        }
                        if cols[t] > S::LANES {
                            let high = S::load_up_to(v.add(S::LANES), cols[t] - S::LANES);
                            acc[t][1] = S::add(acc[t][1], high);
                            if pack {
                                S::store(to.add(S::LANES), high);
                            }
                        }
                        v = v.add(cols[t]);
                    }
                }
                p += run;
            }
            if self.sum.is_null() {
                return;
            }
            let mut sum = self.sum;
            for t in 0..TILES {
                for (v, &acc) in acc[t].iter().enumerate() {
                    let n = cols[t].saturating_sub(v * S::LANES);
                    if n > 0 {
                        store_sum::<S>(sum.add(v * S::LANES), n, acc, self.add);
                    }
                }
                sum = sum.add(cols[t]);
            }
        }
    }
}

/// Stores the first `n` lanes of sums, or adds them to what is there.
///
/// # Safety
/// min(n, LANES) numbers must exist there, and the machine must have the instruction set.
#[inline(always)]
pub(crate) unsafe fn store_sum<S: Simd>(to: *mut S::T, n: usize, sum: S::V, add: bool) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let old = if add { S::load_up_to(to, n) } else { S::zero() };
        S::store_up_to(to, n, S::add(old, sum));
    }
}
