//! Products directly from row-major weight blocks, for few rows of A: dot products forward, sums of rows backward.
//!
//! For `product` when nothing is packed. For one row the work is reading the weights, so they are read once, in order,
//! up to eight rows at a time: as many sums in flight, as many streams for the prefetcher.
//!
//! Weights that do not fit L2 benefit from being read from their end every other time (`backward`): the most recently
//! read part is still cached.
//!
//! Invariant: an element of C depends on its own row of A, not on m, and has the same bits on every instruction set that
//! fuses multiply and add. A dot product with a block has the one order of `dots`. A sum of rows takes them by eight, in two
//! chains; its order is fixed by the list of blocks and, unless it is to be in order, the direction in which they are read.

use crate::dots::{RowGroups, dots, in_groups, in_groups_of_dots};
use crate::micro::SumStart;
use crate::simd::{Simd, SimdOp};
use crate::types::Block;
use std::marker::PhantomData;

/// How weights are read.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// From their end.
    pub(crate) backward: bool,
    /// Sums of rows have the same order in both directions: transposed blocks are read forward. Dot products have one
    /// order anyway.
    pub(crate) in_order: bool,
}

/// C[m, n] = `start` + A[m, k] · Wᵀ (or · W, `transposed`), all sizes at least 1.
///
/// # Safety
/// The blocks must tile W and be readable; A and C must have m rows, a bias n elements; the machine must support the set.
#[expect(
    clippy::too_many_arguments,
    reason = "three matrices with their strides"
)]
pub(crate) unsafe fn product<S: Simd>(
    transposed: bool,
    Way { backward, in_order }: Way,
    k: usize,
    blocks: &[Block<S::T>],
    m: usize,
    a: *const S::T,
    lda: usize,
    start: SumStart<S::T>,
    c: *mut S::T,
    ldc: usize,
) {
    let backward = backward && !(transposed && in_order);
    // Blocks that begin a sum come first: they overwrite (unless told to add), the others add. So C needs no zeroing.
    for first in [true, false] {
        for i in 0..blocks.len() {
            // Blocks that add to a dot product do it in their order.
            let from_end = backward && (first || transposed);
            let w = blocks[if from_end { blocks.len() - 1 - i } else { i }];
            let (k0, j0, terms) = if transposed {
                (w.row, w.col, w.rows)
            } else {
                (w.col, w.row, w.cols)
            };
            let begins = match backward && transposed {
                true => k0 + terms == k,
                false => k0 == 0,
            };
            if w.rows == 0 || w.cols == 0 || first != begins {
                continue;
            }
            let start = start.part(first, j0);
            // SAFETY: the block lies inside W, so the offsets lie inside A's and C's rows.
            unsafe {
                let (a, c) = (a.add(k0), c.add(j0));
                let product = BlockProduct::<S> {
                    w,
                    backward,
                    m,
                    a,
                    lda,
                    start,
                    c,
                    ldc,
                    set: PhantomData,
                };
                if transposed {
                    S::vectorize(Sums(product));
                } else {
                    S::vectorize(Dots(product));
                }
            }
        }
    }
}

/// A product with one block, by rows of the block.
struct BlockProduct<S: Simd> {
    w: Block<S::T>,
    backward: bool,
    m: usize,
    a: *const S::T,
    lda: usize,
    start: SumStart<S::T>,
    c: *mut S::T,
    ldc: usize,
    set: PhantomData<S>,
}

/// C[i, r] = start + Σ_p A[i, p] W[r, p] of one block.
struct Dots<S: Simd>(BlockProduct<S>);

impl<S: Simd> SimdOp for Dots<S> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: guaranteed by the caller.
        unsafe { in_groups_of_dots::<S>(self.0.w.rows, self.0.backward, &self) }
    }
}

impl<S: Simd> RowGroups for Dots<S> {
    /// For every row of A; the sums of rows are independent, so which is first does not matter.
    #[inline(always)]
    unsafe fn rows<const Q: usize>(&self, r: usize, _first: bool) {
        let Block { ptr, ld, cols, .. } = self.0.w;
        // SAFETY: the block has `cols` columns and rows r .. r + Q, A rows of `cols` elements, C columns r .. r + Q.
        unsafe {
            let w = ptr.add(r * ld);
            for i in 0..self.0.m {
                let x = self.0.a.add(i * self.0.lda);
                let mut sums = dots::<S, Q>(w, ld, cols, x);
                let c = self.0.c.add(i * self.0.ldc + r);
                let from = match self.0.start {
                    SumStart::Zero => None,
                    SumStart::Bias(row) => Some(row.add(r)),
                    SumStart::Old => Some(c.cast_const()),
                };
                // Through arrays, so that they take few instructions.
                if let Some(from) = from {
                    let mut old = [S::T::default(); Q];
                    from.copy_to_nonoverlapping(old.as_mut_ptr(), Q);
                    for (sum, old) in sums.iter_mut().zip(old) {
                        *sum = old + *sum;
                    }
                }
                c.copy_from_nonoverlapping(sums.as_ptr(), Q);
            }
        }
    }
}

/// C[i, j] = start + Σ_r A[i, r] W[r, j] of one block.
struct Sums<S: Simd>(BlockProduct<S>);

impl<S: Simd> SimdOp for Sums<S> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: guaranteed by the caller.
        unsafe { in_groups::<8>(self.0.w.rows, self.0.backward, &self) }
    }
}

impl<S: Simd> RowGroups for Sums<S> {
    /// Adds the rows, weighted, to every row of C.
    #[inline(always)]
    unsafe fn rows<const Q: usize>(&self, r: usize, first: bool) {
        let Block { ptr, ld, cols, .. } = self.0.w;
        let start = self.0.start.part(first, 0);
        // SAFETY: the block has `cols` columns and rows r .. r + Q, C rows of `cols` elements, A columns r .. r + Q.
        unsafe {
            let w = ptr.add(r * ld);
            for i in 0..self.0.m {
                let c = self.0.c.add(i * self.0.ldc);
                let mut x = [S::zero(); Q];
                for (q, x) in x.iter_mut().enumerate() {
                    *x = S::splat(*self.0.a.add(i * self.0.lda + r + q));
                }
                let mut j = 0;
                while j < cols {
                    let n = cols - j;
                    // Two chains, which halve the latency.
                    let mut even = match start {
                        SumStart::Zero => S::zero(),
                        SumStart::Bias(row) => S::load_up_to(row.add(j), n),
                        SumStart::Old => S::load_up_to(c.add(j), n),
                    };
                    let mut odd = S::zero();
                    for (q, &x) in x.iter().enumerate() {
                        let v = S::load_up_to(w.add(q * ld + j), n);
                        if q % 2 == 0 {
                            even = S::fma(v, x, even);
                        } else {
                            odd = S::fma(v, x, odd);
                        }
                    }
                    S::store_up_to(c.add(j), n, S::add(even, odd));
                    j += S::LANES;
                }
            }
        }
    }
}
