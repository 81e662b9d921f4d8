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

/// Below this many terms, or pairs, the tile finishes before a prefetched line of C could arrive.
const PREFETCH_FROM: usize = 32;

/// Iterations between the last row of C that is prefetched and the end of a tile: 800 cycles with twelve rows. In 256 terms, L1
/// loses what was prefetched at the beginning.
const SLACK: usize = 8;

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
    /// From one row of A to the next, or from one term to the next; a packed A has none.
    pub(crate) lda: usize,
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

/// Terms of one iteration: additions to addresses compete with multiplications for the processor's ports.
pub(crate) const UNROLL: usize = 4;

/// Rows of A that x86-64's address modes reach from one address: those 0, 1 and 2 times `lda` behind it.
pub(crate) const REACHED: usize = 3;

/// Terms of an A by terms from one prefetch to the next: more at a time would wait for each other.
pub(crate) const AHEAD_EVERY: usize = 2;

/// How A lies: a row's terms follow each other, and rows are `lda` apart.
pub(crate) const ROWS: u8 = 0;
/// A term's numbers, one for each row, follow each other, and terms are `lda` apart.
pub(crate) const TERMS: u8 = 1;
/// The same without anything between terms.
pub(crate) const PACKED: u8 = 2;

/// Where the next terms are.
struct Next<S: Simd, const A: u8> {
    /// Of A: the first number, or that of every third row, or of each of an iteration's terms.
    a: [*const S::T; 4],
    b: *const S::T,
    ahead: *const S::T,
}

impl<S: Simd, const A: u8> Next<S, A> {
    /// Adds `U` terms to the sums of a tile of `R` rows × `V` registers.
    ///
    /// # Safety
    /// A and all panels of B must have as many more terms.
    #[inline(always)]
    unsafe fn terms<const R: usize, const V: usize, const U: usize>(
        &mut self,
        tile: &TileArgs<S::T>,
        acc: &mut [[S::V; V]; R],
    ) {
        const { assert!(R <= 4 * REACHED && UNROLL <= 4 && UNROLL.is_multiple_of(AHEAD_EVERY)) };
        let every = if A == ROWS { 1 } else { AHEAD_EVERY };
        // SAFETY: as the caller guarantees. Prefetches access nothing.
        unsafe {
            for u in 0..U {
                if R >= AHEAD_FROM && (u + 1) % every == 0 {
                    prefetch::<L2, _>(self.ahead);
                    self.ahead = self.ahead.wrapping_add(tile.ahead.step);
                }
                let mut x = [S::zero(); V];
                for (v, x) in x.iter_mut().enumerate() {
                    *x = S::load(
                        self.b
                            .add(v / 2 * tile.panel + v % 2 * S::LANES + u * S::NR),
                    );
                }
                for (i, acc) in acc.iter_mut().enumerate() {
                    let y = S::splat(*match A {
                        PACKED => self.a[0].add(u * R + i),
                        TERMS => self.a[u].add(i),
                        _ => self.a[i / REACHED].add(i % REACHED * tile.lda + u),
                    });
                    for v in 0..V {
                        acc[v] = S::fma(y, x[v], acc[v]);
                    }
                }
            }
        }
        let each = match A {
            PACKED => R,
            TERMS => tile.lda,
            _ => 1,
        };
        self.a = self.a.map(|a| own_register(a.wrapping_add(U * each)));
        self.b = self.b.wrapping_add(U * S::NR);
    }
}

/// The same address, of which the compiler knows nothing. Otherwise it would compute all addresses from one, term by term, or
/// keep one for each row, of which there are more than registers.
#[inline(always)]
pub(crate) fn own_register<T>(at: *const T) -> *const T {
    #[cfg(target_arch = "x86_64")]
    {
        let mut at = at;
        // SAFETY: there is no instruction. (`nomem` would be as true, but is a lint's suspicion where addresses are passed.)
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) at, options(pure, readonly, nostack, preserves_flags));
        }
        at
    }
    #[cfg(not(target_arch = "x86_64"))]
    at
}

/// Prefetches a tile of C, `R` rows × `V` registers, into L1: row by row so late that no line is gone when it is needed, and
/// none comes too late.
pub(crate) struct FetchC<S: Simd, const R: usize, const V: usize> {
    row: *const S::T,
    ldc: usize,
    /// Rows to be prefetched late.
    late: usize,
}

impl<S: Simd, const R: usize, const V: usize> FetchC<S, R, V> {
    /// For sums of `k` terms, or pairs of bfloat16 terms, if C is `far`: all at once if these are too few, or so few rows that they have no cycles to spare.
    #[inline(always)]
    pub(crate) fn new(c: *const S::T, ldc: usize, k: usize, far: bool) -> Self {
        let fetches = far && k >= PREFETCH_FROM;
        let late = fetches && R >= AHEAD_FROM && k / UNROLL >= R + SLACK;
        if fetches && !late {
            (0..R).for_each(|i| Self::row(c.wrapping_add(i * ldc)));
        }
        let late = if late { R } else { 0 };
        Self { row: c, ldc, late }
    }

    /// Before an iteration, [`UNROLL`] terms or pairs, after which so many follow.
    #[inline(always)]
    pub(crate) fn before(&mut self, after: usize) {
        if R >= AHEAD_FROM {
            // Without a branch: the same row again and again until it is time, or throughout, and at last the one behind the tile.
            Self::row(self.row);
            let step = if after.wrapping_sub(SLACK) < self.late {
                self.ldc
            } else {
                0
            };
            self.row = own_register(self.row.wrapping_add(step));
        }
    }

    #[inline(always)]
    fn row(at: *const S::T) {
        for v in 0..V {
            prefetch::<L1, _>(at.wrapping_add(v * S::LANES));
        }
        // Rows need not begin cache lines.
        prefetch::<L1, _>(at.wrapping_add(V * S::LANES - 1));
    }
}

/// `R` rows × `V` registers; with `V` > 2 several panels side by side, with `V` = 1 the first half of one. `A` says how A lies.
struct MicroKernel<'a, S: Simd, const R: usize, const V: usize, const A: u8>(&'a TileArgs<S::T>);

impl<S: Simd, const R: usize, const V: usize, const A: u8> SimdOp for MicroKernel<'_, S, R, V, A> {
    #[inline(always)]
    unsafe fn run(self) {
        let &TileArgs {
            k,
            a,
            lda,
            b,
            c,
            ldc,
            cols,
            start,
            ahead,
            ..
        } = self.0;
        let add = matches!(start, SumStart::Old);
        // SAFETY: the tile describes R rows of k elements of A, panels of k·NR elements, and R rows of `cols` elements
        // of C and `cols` of the bias; every access below is within those. Prefetches access nothing.
        unsafe {
            // What is not by rows is a weight gradient, which comes from as far where it is overwritten.
            let mut fetch = FetchC::<S, R, V>::new(c, ldc, k, add || A != ROWS);
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
            let mut next = Next::<S, A> {
                a: std::array::from_fn(|g| match A {
                    PACKED => a,
                    TERMS => a.wrapping_add(g * lda),
                    _ => a.wrapping_add(REACHED * g * lda),
                }),
                b,
                ahead: ahead.at,
            };
            for after in (0..k / UNROLL).rev() {
                fetch.before(after);
                next.terms::<R, V, UNROLL>(self.0, &mut acc);
            }
            for _ in 0..k % UNROLL {
                next.terms::<R, V, 1>(self.0, &mut acc);
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
pub(crate) unsafe fn tile<S: Simd, const A: u8>(rows: usize, panels: usize, t: &TileArgs<S::T>) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (rows, panels) {
            (2, 2) => S::vectorize(MicroKernel::<S, 2, 4, A>(t)),
            (3, 2) => S::vectorize(MicroKernel::<S, 3, 4, A>(t)),
            _ if t.cols <= S::LANES => rows_of::<S, 1, A>(rows, t),
            _ => rows_of::<S, 2, A>(rows, t),
        }
    }
}

/// Makes `rows` a constant, so that the sums are kept in registers.
#[inline(always)]
unsafe fn rows_of<S: Simd, const V: usize, const A: u8>(rows: usize, t: &TileArgs<S::T>) {
    debug_assert!((1..=S::MR).contains(&rows));
    // SAFETY: guaranteed by the caller.
    unsafe {
        match rows {
            1 => S::vectorize(MicroKernel::<S, 1, V, A>(t)),
            2 => S::vectorize(MicroKernel::<S, 2, V, A>(t)),
            3 => S::vectorize(MicroKernel::<S, 3, V, A>(t)),
            4 => S::vectorize(MicroKernel::<S, 4, V, A>(t)),
            5 if S::MR >= 5 => S::vectorize(MicroKernel::<S, 5, V, A>(t)),
            6 if S::MR >= 6 => S::vectorize(MicroKernel::<S, 6, V, A>(t)),
            7 if S::MR >= 7 => S::vectorize(MicroKernel::<S, 7, V, A>(t)),
            8 if S::MR >= 8 => S::vectorize(MicroKernel::<S, 8, V, A>(t)),
            9 if S::MR >= 9 => S::vectorize(MicroKernel::<S, 9, V, A>(t)),
            10 if S::MR >= 10 => S::vectorize(MicroKernel::<S, 10, V, A>(t)),
            11 if S::MR >= 11 => S::vectorize(MicroKernel::<S, 11, V, A>(t)),
            12 if S::MR >= 12 => S::vectorize(MicroKernel::<S, 12, V, A>(t)),
            _ => {}
        }
    }
}

/// The start of part `t` when `n` is divided into `tiles` nearly equal parts.
#[inline(always)]
pub(crate) fn part(n: usize, tiles: usize, t: usize) -> usize {
    n / tiles * t + (n % tiles).min(t)
}
