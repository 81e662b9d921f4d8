//! One row times packed weights: C[1, n] = start + A[1, k] · B. For one row, reading the weights is the work; what can be
//! saved is a call's overhead, loads of A, and weights that are still in the first cache.
//!
//! For `product`, which has tiles for more rows. Columns are processed in groups of up to eight registers, so that eight sums
//! in flight hide the latency of a fused multiply-add; a group's panels are read from front to back, side by side.
//!
//! Invariant: bit for bit the sums of `micro`'s tiles: K blocks start at multiples of [`K_BLOCK`], and a block's sum is
//! one ascending chain.

use crate::micro::{K_BLOCK, SumStart, UNROLL};
use crate::simd::{Simd, SimdOp};

/// Registers of a group's sums, at most.
const REGISTERS: usize = 8;

/// Bytes of a first cache.
const L1_BYTES: usize = 32 << 10;

/// The operands; all sizes at least 1, but n, the columns in panels, which may be 0.
pub(crate) struct RowProduct<S: Simd> {
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) a: *const S::T,
    /// The panels.
    pub(crate) b: *const S::T,
    pub(crate) start: SumStart<S::T>,
    pub(crate) c: *mut S::T,
    /// Groups from the last to the first.
    pub(crate) backward: bool,
}

impl<S: Simd> RowProduct<S> {
    /// # Safety
    /// The machine has the instruction set; A has k numbers, the panels n columns of k, C and the bias n.
    #[inline(always)]
    pub(crate) unsafe fn run(&self) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            // One group of one block, as a sample of few units has, without the loops, which take more instructions than its
            // sums.
            let most = REGISTERS * S::LANES;
            if (1..=most).contains(&self.n) && self.k <= K_BLOCK {
                self.group(most, 0, 0).add();
            } else {
                self.groups();
            }
        }
    }

    /// # Safety
    /// As [`run`](Self::run).
    #[inline(never)]
    unsafe fn groups(&self) {
        // The next product reads the groups the other way, and so the last one again, which is still in the first cache if
        // it fits. Where that is a quarter of all or more, it makes up for what more groups cost, each a few cycles.
        let (most, half) = (REGISTERS * S::LANES, REGISTERS / 2 * S::LANES);
        let fits = |columns: usize| size_of::<S::T>() * columns * self.k <= L1_BYTES;
        let width = match !fits(most) && fits(half) && self.n <= 4 * half {
            true => half,
            false => most,
        };
        let groups = self.n.div_ceil(width);
        for g in 0..groups {
            let j = width * if self.backward { groups - 1 - g } else { g };
            for k0 in (0..self.k).step_by(K_BLOCK) {
                // SAFETY: guaranteed by the caller.
                unsafe { self.group(width, j, k0).add() };
            }
        }
    }

    /// At most `width` columns from `j` on, the terms from `k0` on.
    ///
    /// # Safety
    /// As [`run`](Self::run); the columns and terms exist.
    #[inline(always)]
    unsafe fn group(&self, width: usize, j: usize, k0: usize) -> Group<S> {
        // SAFETY: the group's panels are k·NR elements each, A has k, C and the bias have the columns from j on.
        unsafe {
            Group {
                terms: K_BLOCK.min(self.k - k0),
                cols: width.min(self.n - j),
                a: self.a.add(k0),
                b: self.b.add(j * self.k + k0 * S::NR),
                panel: self.k * S::NR,
                start: self.start.part(k0 == 0, j),
                c: self.c.add(j),
            }
        }
    }
}

/// A block of terms of up to eight registers of columns.
struct Group<S: Simd> {
    terms: usize,
    cols: usize,
    a: *const S::T,
    b: *const S::T,
    /// From one panel to the next.
    panel: usize,
    start: SumStart<S::T>,
    c: *mut S::T,
}

impl<S: Simd> Group<S> {
    /// Calls a function of its own for each number of registers, so that none prepares what only others need: for 64 columns
    /// and 32 terms, that took as many instructions as the sums.
    ///
    /// # Safety
    /// The machine has the instruction set, and the fields describe memory that may be accessed.
    #[inline(always)]
    unsafe fn add(&self) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            match (
                self.cols.div_ceil(S::LANES),
                self.cols.is_multiple_of(S::LANES),
            ) {
                (1, true) => self.columns::<1, true>(),
                (2, true) => self.columns::<2, true>(),
                (3, true) => self.columns::<3, true>(),
                (4, true) => self.columns::<4, true>(),
                (5, true) => self.columns::<5, true>(),
                (6, true) => self.columns::<6, true>(),
                (7, true) => self.columns::<7, true>(),
                (1, false) => self.columns::<1, false>(),
                (2, false) => self.columns::<2, false>(),
                (3 | 4, false) => self.columns::<4, false>(),
                (5 | 6, false) => self.columns::<6, false>(),
                (7 | 8, false) => self.columns::<8, false>(),
                _ => self.columns::<8, true>(),
            }
        }
    }

    /// Adds the products of term `p` of B with `x`, that term of A in all lanes; below `vectorize`.
    #[inline(always)]
    unsafe fn term<const V: usize>(&self, p: usize, x: S::V, acc: &mut [S::V; V]) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            for (v, acc) in acc.iter_mut().enumerate() {
                let at = v / 2 * self.panel + v % 2 * S::LANES + p * S::NR;
                *acc = S::fma(x, S::load(self.b.add(at)), *acc);
            }
        }
    }

    #[inline(always)]
    unsafe fn columns<const V: usize, const WHOLE: bool>(&self) {
        // SAFETY: guaranteed by the caller.
        unsafe { S::vectorize(Columns::<S, V, WHOLE>(self)) }
    }
}

/// The columns of a group: `V` whole registers, or only the existing columns unless `WHOLE`.
struct Columns<'a, S: Simd, const V: usize, const WHOLE: bool>(&'a Group<S>);

impl<S: Simd, const V: usize, const WHOLE: bool> SimdOp for Columns<'_, S, V, WHOLE> {
    #[inline(always)]
    unsafe fn run(self) {
        let &Group {
            terms,
            cols,
            a,
            start,
            c,
            ..
        } = self.0;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut acc = [S::zero(); V];
            if let SumStart::Bias(row) = start {
                for (v, acc) in acc.iter_mut().enumerate() {
                    let (row, at) = (row.wrapping_add(v * S::LANES), v * S::LANES);
                    if WHOLE {
                        *acc = S::load(row);
                    } else if at < cols {
                        *acc = S::load_up_to(row, cols - at);
                    }
                }
            }
            // Of 16 columns, a term is two instructions, beside three of the loop's own; and every load counts, of A too.
            let whole = terms / UNROLL * UNROLL;
            for p in (0..whole).step_by(UNROLL) {
                let xs: [S::V; UNROLL] = S::splats(a.add(p));
                for (q, x) in xs.into_iter().enumerate() {
                    self.0.term(p + q, x, &mut acc);
                }
            }
            for p in whole..terms {
                self.0.term(p, S::splat(*a.add(p)), &mut acc);
            }
            let add = matches!(start, SumStart::Old);
            for (v, acc) in acc.into_iter().enumerate() {
                let (to, at) = (c.wrapping_add(v * S::LANES), v * S::LANES);
                if WHOLE {
                    S::store(to, if add { S::add(S::load(to), acc) } else { acc });
                } else if at < cols {
                    let old = if add {
                        S::add(S::load_up_to(to, cols - at), acc)
                    } else {
                        acc
                    };
                    S::store_up_to(to, cols - at, old);
                }
            }
        }
    }
}
