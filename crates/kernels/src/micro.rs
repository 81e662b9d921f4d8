//! The micro-kernel: a few rows of A times a few registers of panel columns, the sum kept in registers.
//!
//! For the drivers of `product` and `outer`. Shapes: C[R, V·LANES] (+)= A[R, k] · B[k, V·LANES].
//!
//! Invariant: an element of C is the chain fma(a₀, b₀, s), fma(a₁, b₁, ·), … over k in ascending order, where s is 0 or the
//! column's bias; on request it is added to the old value at the end. So its value does not depend on R, V or its neighbours.

use crate::ahead::Ahead;
use crate::simd::{L1, L2, Simd, SimdOp, prefetch};

/// Terms of a K block: 12 rows of A and a panel's block then fit L1 and L2 together (measured in `ceiling/`, Zen 4).
pub(crate) const K_BLOCK: usize = 512;

/// Below this many terms the tile finishes before a prefetched line of C could arrive.
const PREFETCH_FROM: usize = 32;

/// The addend of a sum of products.
#[derive(Debug)]
pub(crate) enum SumStart<T> {
    /// Nothing: C is overwritten.
    Zero,
    /// The same row for every row of C, which is overwritten.
    Bias(*const T),
    /// The old C.
    Old,
}

impl<T> Clone for SumStart<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SumStart<T> {}

impl<T> SumStart<T> {
    /// `Old` or `Zero`.
    #[inline(always)]
    pub(crate) fn adding(add: bool) -> Self {
        if add { SumStart::Old } else { SumStart::Zero }
    }

    /// The same of another element type.
    #[inline(always)]
    pub(crate) fn cast<U>(self) -> SumStart<U> {
        match self {
            SumStart::Zero => SumStart::Zero,
            SumStart::Bias(row) => SumStart::Bias(row.cast()),
            SumStart::Old => SumStart::Old,
        }
    }

    /// The start for the columns from `j` on, for the first terms of the sums; for later terms it is `Old`.
    #[inline(always)]
    pub(crate) fn part(self, first: bool, j: usize) -> Self {
        if !first {
            return SumStart::Old;
        }
        match self {
            SumStart::Bias(row) => SumStart::Bias(row.wrapping_add(j)),
            SumStart::Zero | SumStart::Old => self,
        }
    }
}

/// One tile's operands. Strides in elements.
pub(crate) struct TileArgs<T> {
    /// Terms of each sum.
    pub(crate) k: usize,
    pub(crate) a: *const T,
    /// From one row of A to the next.
    pub(crate) a_row: usize,
    /// From one term of A to the next.
    pub(crate) a_col: usize,
    /// The first panel, at the first term.
    pub(crate) b: *const T,
    /// From one panel to the next.
    pub(crate) panel: usize,
    pub(crate) c: *mut T,
    pub(crate) ldc: usize,
    /// Columns of C to be written: at least 1, at most the tile's width.
    pub(crate) cols: usize,
    /// The addend of the sums; a bias points at the tile's first column.
    pub(crate) start: SumStart<T>,
    /// What to prefetch meanwhile; tiles of fewer than [`AHEAD_FROM`] rows ignore it.
    pub(crate) ahead: Ahead<T>,
}

/// Fewest rows of a tile that prefetches what is next: smaller ones have no cycles to spare.
pub(crate) const AHEAD_FROM: usize = 6;

impl<T> Clone for TileArgs<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// `R` rows × `V` registers; with `V` > 2 several panels side by side, with `V` = 1 the first half of one.
struct MicroKernel<'a, S: Simd, const R: usize, const V: usize>(&'a TileArgs<S::T>);

impl<S: Simd, const R: usize, const V: usize> SimdOp for MicroKernel<'_, S, R, V> {
    #[inline(always)]
    unsafe fn run(self) {
        let &TileArgs {
            k,
            a,
            a_row,
            a_col,
            b,
            panel,
            c,
            ldc,
            cols,
            start,
            ahead,
        } = self.0;
        let add = matches!(start, SumStart::Old);
        // SAFETY: the tile describes R rows of k elements of A, panels of k·NR elements, and R rows of `cols` elements
        // of C and `cols` of the bias; every access below is within those. Prefetches access nothing.
        unsafe {
            if add && k >= PREFETCH_FROM {
                for i in 0..R {
                    for v in 0..V {
                        prefetch::<L1, _>(c.wrapping_add(i * ldc + v * S::LANES));
                    }
                    // Rows need not begin cache lines.
                    prefetch::<L1, _>(c.wrapping_add(i * ldc + V * S::LANES - 1));
                }
            }
            let mut acc = [[S::zero(); V]; R];
            if let SumStart::Bias(row) = start {
                for v in 0..V {
                    let n = cols.saturating_sub(v * S::LANES);
                    if n > 0 {
                        let x = S::load_up_to(row.add(v * S::LANES), n);
                        acc.iter_mut().for_each(|acc| acc[v] = x);
                    }
                }
            }
            for p in 0..k {
                if R >= AHEAD_FROM {
                    prefetch::<L2, _>(ahead.at.wrapping_add(p.wrapping_mul(ahead.step)));
                }
                let mut x = [S::zero(); V];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = S::load(b.add(v / 2 * panel + v % 2 * S::LANES + p * S::NR));
                }
                for (i, acc) in acc.iter_mut().enumerate() {
                    let y = S::splat(*a.add(i * a_row + p * a_col));
                    for v in 0..V {
                        acc[v] = S::fma(y, x[v], acc[v]);
                    }
                }
            }
            if cols == V * S::LANES {
                for (i, acc) in acc.into_iter().enumerate() {
                    for (v, x) in acc.into_iter().enumerate() {
                        let q = c.add(i * ldc + v * S::LANES);
                        S::store(q, if add { S::add(S::load(q), x) } else { x });
                    }
                }
            } else {
                for (i, acc) in acc.into_iter().enumerate() {
                    for (v, x) in acc.into_iter().enumerate() {
                        let n = cols.saturating_sub(v * S::LANES);
                        if n > 0 {
                            let q = c.add(i * ldc + v * S::LANES);
                            S::store_up_to(
                                q,
                                n,
                                if add {
                                    S::add(S::load_up_to(q, n), x)
                                } else {
                                    x
                                },
                            );
                        }
                    }
                }
            }
        }
    }
}

/// How many panels a tile of `rows` rows should take side by side: a few rows alone have too few sums in flight to hide
/// the latency of a fused multiply-add (4 cycles, one or two per cycle). One row has its own kernel: see `row`.
pub(crate) fn panels_at_once(rows: usize) -> usize {
    match rows {
        2 | 3 => 2,
        _ => 1,
    }
}

/// Runs a tile of `rows` (1 ..= MR) rows over `panels` panels (1, or up to [`panels_at_once`] as a power of two).
///
/// # Safety
/// The tile's memory must be accessible as its fields say, and the machine must have the instruction set.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd>(rows: usize, panels: usize, t: &TileArgs<S::T>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (rows, panels) {
            (2, 2) => S::vectorize(MicroKernel::<S, 2, 4>(t)),
            (3, 2) => S::vectorize(MicroKernel::<S, 3, 4>(t)),
            _ if t.cols <= S::LANES => rows_of::<S, 1>(rows, t),
            _ => rows_of::<S, 2>(rows, t),
        }
    }
}

/// Makes `rows` a constant, so that the sums are kept in registers.
#[inline(always)]
unsafe fn rows_of<S: Simd, const V: usize>(rows: usize, t: &TileArgs<S::T>) {
    debug_assert!((1..=S::MR).contains(&rows));
    // SAFETY: guaranteed by the caller.
    unsafe {
        match rows {
            1 => S::vectorize(MicroKernel::<S, 1, V>(t)),
            2 => S::vectorize(MicroKernel::<S, 2, V>(t)),
            3 => S::vectorize(MicroKernel::<S, 3, V>(t)),
            4 => S::vectorize(MicroKernel::<S, 4, V>(t)),
            5 if S::MR >= 5 => S::vectorize(MicroKernel::<S, 5, V>(t)),
            6 if S::MR >= 6 => S::vectorize(MicroKernel::<S, 6, V>(t)),
            7 if S::MR >= 7 => S::vectorize(MicroKernel::<S, 7, V>(t)),
            8 if S::MR >= 8 => S::vectorize(MicroKernel::<S, 8, V>(t)),
            9 if S::MR >= 9 => S::vectorize(MicroKernel::<S, 9, V>(t)),
            10 if S::MR >= 10 => S::vectorize(MicroKernel::<S, 10, V>(t)),
            11 if S::MR >= 11 => S::vectorize(MicroKernel::<S, 11, V>(t)),
            12 if S::MR >= 12 => S::vectorize(MicroKernel::<S, 12, V>(t)),
            _ => {}
        }
    }
}

/// The start of part `t` when `n` is divided into `tiles` nearly equal parts.
#[inline(always)]
pub(crate) fn part(n: usize, tiles: usize, t: usize) -> usize {
    n / tiles * t + (n % tiles).min(t)
}
