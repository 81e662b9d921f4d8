//! A few rows of pairs times a few registers of columns, the sums kept in registers.
//!
//! Invariant: an element of C is the unit's chain over pairs in ascending order from 0 or the bias; on request it is added
//! to the old value at the end. So its value does not depend on the tile.

use super::unit::Unit;
use crate::ahead::Ahead;
use crate::micro::{AHEAD_EVERY, AHEAD_FROM, FetchC, REACHED, SumStart, UNROLL, own_register};
use crate::simd::{L2, Simd, SimdOp, prefetch};

/// One tile's operands. Strides in words, of C in elements.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) pairs: usize,
    pub(super) a: *const u32,
    /// From one row of A to the next.
    pub(super) a_row: usize,
    /// From one pair of A to the next.
    pub(super) a_pair: usize,
    /// From the first word of a pair of A to its second one.
    pub(super) a_second: usize,
    /// The first panel, at the first pair.
    pub(super) b: *const u32,
    /// From one panel to the next.
    pub(super) panel: usize,
    pub(super) c: *mut f32,
    pub(super) ldc: usize,
    /// Columns of C to be written: at least 1, at most the tile's width.
    pub(super) cols: usize,
    pub(super) start: SumStart<f32>,
    /// Whether C comes from beyond L1, as old values and weight gradients do.
    pub(super) far: bool,
    /// What to prefetch meanwhile, a line with each pair of terms; tiles of fewer than [`AHEAD_FROM`] rows ignore it.
    pub(super) ahead: Ahead<f32>,
}

/// Where the next pairs are.
struct Next {
    /// Of A: that of every third row.
    a: [*const u32; 4],
    b: *const u32,
    ahead: *const f32,
}

impl Next {
    /// Adds a pair of terms to the sums of a tile of `R` rows × `V` registers.
    ///
    /// # Safety
    /// A and all panels of B must have one more.
    #[inline(always)]
    unsafe fn pair<U: Unit, const R: usize, const V: usize>(
        &mut self,
        tile: &Tile,
        acc: &mut [[<U::S as Simd>::V; V]; R],
    ) {
        const { assert!(R <= 4 * REACHED) };
        // `Streams` count on a line for so many terms.
        const { assert!(AHEAD_EVERY == 2) };
        if R >= AHEAD_FROM {
            prefetch::<L2, _>(self.ahead);
            self.ahead = self.ahead.wrapping_add(tile.ahead.step);
        }
        let nr = U::S::NR;
        // SAFETY: as the caller guarantees.
        unsafe {
            let mut x = [U::load(self.b, nr); V];
            for (v, x) in x.iter_mut().enumerate().skip(1) {
                *x = U::load(self.b.add(v / 2 * tile.panel + v % 2 * U::S::LANES), nr);
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                let a = self.a[i / REACHED].add(i % REACHED * tile.a_row);
                for v in 0..V {
                    acc[v] = U::dot(acc[v], a, tile.a_second, x[v]);
                }
            }
        }
        let a_pair = tile.a_pair;
        self.a = self.a.map(|a| own_register(a.wrapping_add(a_pair)));
        self.b = self.b.wrapping_add(nr * U::WORDS);
    }
}

/// `R` rows × `V` registers.
struct MicroKernel<'a, U, const R: usize, const V: usize>(&'a Tile, std::marker::PhantomData<U>);

impl<U: Unit, const R: usize, const V: usize> SimdOp for MicroKernel<'_, U, R, V> {
    #[inline(always)]
    unsafe fn run(self) {
        let &Tile {
            pairs,
            a,
            a_row,
            b,
            c,
            ldc,
            cols,
            start,
            far,
            ahead,
            ..
        } = self.0;
        let lanes = U::S::LANES;
        // SAFETY: the tile describes R rows of pairs of A, panels of as many lines, and R rows of `cols` elements of C and
        // `cols` of the bias; every access below is within those.
        unsafe {
            let add = matches!(start, SumStart::Old);
            let mut fetch = FetchC::<U::S, R, V>::new(c, ldc, pairs, far);
            let mut acc = [[U::S::zero(); V]; R];
            if let SumStart::Bias(row) = start {
                for v in 0..V {
                    let n = cols.saturating_sub(v * lanes);
                    if n > 0 {
                        let x = U::flush(U::S::load_up_to(row.add(v * lanes), n));
                        acc.iter_mut().for_each(|acc| acc[v] = x);
                    }
                }
            }
            let mut next = Next {
                a: std::array::from_fn(|g| a.wrapping_add(REACHED * g * a_row)),
                b,
                ahead: ahead.at,
            };
            for after in (0..pairs / UNROLL).rev() {
                fetch.before(after);
                for _ in 0..UNROLL {
                    next.pair::<U, R, V>(self.0, &mut acc);
                }
            }
            for _ in 0..pairs % UNROLL {
                next.pair::<U, R, V>(self.0, &mut acc);
            }
            for (i, acc) in acc.into_iter().enumerate() {
                for (v, x) in acc.into_iter().enumerate() {
                    let n = cols.saturating_sub(v * lanes);
                    if n > 0 {
                        let q = c.add(i * ldc + v * lanes);
                        let sum = match add {
                            true => U::S::add(U::S::load_up_to(q, n), x),
                            false => x,
                        };
                        U::S::store_up_to(q, n, sum);
                    }
                }
            }
        }
    }
}

/// How many panels a tile of `rows` rows should take side by side: enough sums in flight to hide the latency of a step.
pub(super) fn panels_at_once(rows: usize) -> usize {
    match rows {
        1 => 4,
        2 | 3 => 2,
        _ => 1,
    }
}

/// Runs a tile of `rows` (1 ..= MR) rows over `panels` panels (1, or up to [`panels_at_once`] as a power of two).
///
/// # Safety
/// The tile's memory must be accessible as its fields say, and the machine must have the unit.
#[inline(always)]
pub(super) unsafe fn tile<U: Unit>(rows: usize, panels: usize, t: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (rows, panels) {
            (1, 4) => run::<U, 1, 8>(t),
            (1, 2) => run::<U, 1, 4>(t),
            (2, 2) => run::<U, 2, 4>(t),
            (3, 2) => run::<U, 3, 4>(t),
            _ if t.cols <= U::S::LANES => rows_of::<U, 1>(rows, t),
            _ => rows_of::<U, 2>(rows, t),
        }
    }
}

#[inline(always)]
unsafe fn run<U: Unit, const R: usize, const V: usize>(t: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { U::vectorize(MicroKernel::<U, R, V>(t, std::marker::PhantomData)) }
}

/// Makes `rows` a constant, so that the sums are kept in registers.
#[inline(always)]
unsafe fn rows_of<U: Unit, const V: usize>(rows: usize, t: &Tile) {
    debug_assert!((1..=U::S::MR).contains(&rows));
    let most = U::S::MR;
    // SAFETY: guaranteed by the caller.
    unsafe {
        match rows {
            1 => run::<U, 1, V>(t),
            2 => run::<U, 2, V>(t),
            3 => run::<U, 3, V>(t),
            4 => run::<U, 4, V>(t),
            5 if most >= 5 => run::<U, 5, V>(t),
            6 if most >= 6 => run::<U, 6, V>(t),
            7 if most >= 7 => run::<U, 7, V>(t),
            8 if most >= 8 => run::<U, 8, V>(t),
            9 if most >= 9 => run::<U, 9, V>(t),
            10 if most >= 10 => run::<U, 10, V>(t),
            11 if most >= 11 => run::<U, 11, V>(t),
            12 if most >= 12 => run::<U, 12, V>(t),
            _ => {}
        }
    }
}
