//! A few columns of an outer product beyond the last whole registers: a register of their own would be mostly empty. Here
//! rows of the result, which are elements of δ, lie side by side in a register instead, for two columns at a time.
//!
//! For `outer`. The tiles of δ are those of the whole columns; each column is packed by itself.
//!
//! Invariant: bit for bit the sums of `micro`'s tiles: one ascending chain per element.

use crate::simd::{Simd, SimdOp};
use crate::terms::{TILES, Terms, tile_len};
use std::marker::PhantomData;

/// Most columns at the end of a run that are done this way: for more, a register of columns costs less.
pub(crate) const fn most<S: Simd>() -> usize {
    S::LANES / 4
}

/// Packs columns `col .. col + cols` of the terms, one after another at `out`.
pub(crate) struct PackColumns<S: Simd> {
    pub(crate) terms: Terms<S::T>,
    pub(crate) col: usize,
    pub(crate) cols: usize,
    pub(crate) out: *mut S::T,
    pub(crate) set: PhantomData<S>,
}

impl<S: Simd> SimdOp for PackColumns<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let kk = self.terms.count();
        let (mut p, mut step) = (0, self.terms.first_step());
        while p < kk {
            let (first, run) = self.terms.run(p, &mut step);
            for q in 0..run {
                // SAFETY: the terms' columns exist; each has room for kk elements.
                unsafe {
                    let v = first.add(q * self.terms.distance_of_rows() + self.col);
                    for c in 0..self.cols {
                        *self.out.add(c * kk + p + q) = *v.add(c);
                    }
                }
            }
            p += run;
        }
    }
}

/// `Q` columns of some tiles of δ.
pub(crate) struct NarrowTiles<'a, S: Simd, const Q: usize> {
    /// Terms.
    pub(crate) k: usize,
    /// The tiles, side by side.
    pub(crate) a: *const S::T,
    /// Elements of δ in each tile, at most MR; 0 after the last tile.
    pub(crate) rows: &'a [usize; TILES],
    /// The columns' terms.
    pub(crate) b: [*const S::T; Q],
    /// Where the columns begin for the first row of each tile, or null, and the distance of rows there.
    pub(crate) c: [[(*mut S::T, usize); Q]; TILES],
    pub(crate) add: bool,
}

impl<S: Simd, const Q: usize> NarrowTiles<'_, S, Q> {
    /// # Safety
    /// Tiles, columns and destinations must be as described, the tiles with the slack of [`tile_len`], all [`TILES`] of
    /// them readable; the machine must have the instruction set.
    #[inline(always)]
    pub(crate) unsafe fn run(&self) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if S::MR <= S::LANES {
                S::vectorize(Registers::<S, Q, 1>(self));
            } else {
                S::vectorize(Registers::<S, Q, 2>(self));
            }
        }
    }
}

/// The same with the `V` registers of a row of a tile.
struct Registers<'a, S: Simd, const Q: usize, const V: usize>(&'a NarrowTiles<'a, S, Q>);

impl<S: Simd, const Q: usize, const V: usize> SimdOp for Registers<'_, S, Q, V> {
    #[expect(
        clippy::needless_range_loop,
        reason = "registers: loops over constants alone"
    )]
    #[inline(always)]
    unsafe fn run(self) {
        const { assert!(S::MR <= S::NR, "a row of a tile fits two registers") };
        let &NarrowTiles {
            k,
            a,
            rows,
            b,
            c,
            add,
            ..
        } = self.0;
        let tile = tile_len::<S>(k);
        // SAFETY: guaranteed by the caller: what is read beyond a tile's rows is the next term or its slack.
        unsafe {
            // All tiles, so that the sums are registers: those of tiles that there are not are not used.
            let mut acc = [[[S::zero(); Q]; V]; TILES];
            for p in 0..k {
                let y: [S::V; Q] = std::array::from_fn(|q| S::splat(*b[q].add(p)));
                for t in 0..TILES {
                    let row = a.add(t * tile + p * rows[t]);
                    for v in 0..V {
                        let x = S::load(row.add(v * S::LANES));
                        for q in 0..Q {
                            acc[t][v][q] = S::fma(x, y[q], acc[t][v][q]);
                        }
                    }
                }
            }
            for t in 0..TILES {
                for v in 0..V {
                    for q in 0..Q {
                        let n = rows[t].saturating_sub(v * S::LANES).min(S::LANES);
                        let mut sums = [S::T::default(); MOST_LANES];
                        S::store(sums.as_mut_ptr(), acc[t][v][q]);
                        let (to, ld) = c[t][q];
                        if to.is_null() {
                            continue;
                        }
                        for (r, &sum) in sums.iter().enumerate().take(n) {
                            let to = to.add((v * S::LANES + r) * ld);
                            *to = if add { *to + sum } else { sum };
                        }
                    }
                }
            }
        }
    }
}

/// Elements of any register.
const MOST_LANES: usize = 16;
