//! One row times packed weights: C[1, n] = start + A[1, k] · B. For one row, reading the weights is the work, and only
//! a call's overhead can be saved.
//!
//! For `product`, which has tiles for more rows. Columns are processed in groups of up to eight registers, so that eight sums
//! in flight hide the latency of a fused multiply-add; a group's panels are read from front to back, side by side.
//!
//! Invariant: bit for bit the sums of `micro`'s tiles: K blocks start at multiples of [`K_BLOCK`], and a block's sum is
//! one ascending chain.

use crate::micro::{K_BLOCK, SumStart};
use crate::simd::{Simd, SimdOp};

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

impl<S: Simd> SimdOp for RowProduct<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let whole = self.n / (4 * S::NR);
        // SAFETY: the panels of columns j .. n exist, and a group is called only for columns that exist.
        unsafe {
            if self.backward {
                self.rest(whole * 4 * S::NR);
                for g in (0..whole).rev() {
                    self.group::<8, true>(g * 4 * S::NR);
                }
            } else {
                for g in 0..whole {
                    self.group::<8, true>(g * 4 * S::NR);
                }
                self.rest(whole * 4 * S::NR);
            }
        }
    }
}

impl<S: Simd> RowProduct<S> {
    /// The columns from `j` on, fewer than eight registers.
    #[inline(always)]
    unsafe fn rest(&self, j: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            match (self.n - j).div_ceil(S::LANES) {
                0 => {}
                1 => self.group::<1, false>(j),
                2 => self.group::<2, false>(j),
                3 | 4 => self.group::<4, false>(j),
                5 | 6 => self.group::<6, false>(j),
                _ => self.group::<8, false>(j),
            }
        }
    }

    /// Columns from `j` on: `V` whole registers, or only the existing columns unless `WHOLE`.
    #[inline(always)]
    unsafe fn group<const V: usize, const WHOLE: bool>(&self, j: usize) {
        let &RowProduct {
            k,
            n,
            a,
            b,
            start,
            c,
            ..
        } = self;
        let (panel, cols) = (k * S::NR, (V * S::LANES).min(n - j));
        // SAFETY: the group's panels are k·NR elements each, A has k, and C and the bias have `cols` from j on.
        unsafe {
            let b = b.add(j * k);
            let c = c.add(j);
            for k0 in (0..k).step_by(K_BLOCK) {
                let start = start.part(k0 == 0, j);
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
                for p in k0..k.min(k0 + K_BLOCK) {
                    let x = S::splat(*a.add(p));
                    for (v, acc) in acc.iter_mut().enumerate() {
                        let w = S::load(b.add(v / 2 * panel + v % 2 * S::LANES + p * S::NR));
                        *acc = S::fma(x, w, *acc);
                    }
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
}
