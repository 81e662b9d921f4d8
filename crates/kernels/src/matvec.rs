//! M x and Mᵀ x for one row-major matrix: products with a matrix that a row has of its own.
//!
//! Invariant: an element has the same bits on every instruction set that fuses multiply and add, and those of emitted
//! code: a dot product has the one order of `dots`. A sum of rows takes them by eight, in two chains.

use crate::dots::{LINE, RowGroups, dots, in_groups_of_dots};
use crate::simd::{Simd, SimdOp};
use std::marker::PhantomData;

/// See [`crate::MatVecFn`].
///
/// # Safety
/// See [`crate::MatVecFn`].
pub(crate) unsafe extern "C" fn matvec<S: Simd>(
    rows: usize,
    cols: usize,
    m: *const S::T,
    x: *const S::T,
    y: *mut S::T,
) {
    let op = Dots(Operands::<S> {
        rows,
        cols,
        m,
        x,
        y,
        set: PhantomData,
    });
    // SAFETY: guaranteed by the caller.
    unsafe { S::vectorize(op) }
}

/// As [`matvec`], with the transpose.
///
/// # Safety
/// See [`crate::MatVecFn`].
pub(crate) unsafe extern "C" fn matvec_transposed<S: Simd>(
    rows: usize,
    cols: usize,
    m: *const S::T,
    x: *const S::T,
    y: *mut S::T,
) {
    let op = Sums(Operands::<S> {
        rows,
        cols,
        m,
        x,
        y,
        set: PhantomData,
    });
    // SAFETY: guaranteed by the caller.
    unsafe { S::vectorize(op) }
}

/// The operands of a product: a matrix, row by row, and vectors.
struct Operands<S: Simd> {
    rows: usize,
    cols: usize,
    m: *const S::T,
    x: *const S::T,
    y: *mut S::T,
    set: PhantomData<S>,
}

/// M x.
struct Dots<S: Simd>(Operands<S>);

impl<S: Simd> SimdOp for Dots<S> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: guaranteed by the caller.
        unsafe { in_groups_of_dots::<S>(self.0.rows, false, &self) }
    }
}

impl<S: Simd> RowGroups for Dots<S> {
    #[inline(always)]
    unsafe fn rows<const Q: usize>(&self, r: usize, _first: bool) {
        let Operands { cols, m, x, y, .. } = self.0;
        // SAFETY: the rows have `cols` elements, as x has; y has an element for each row.
        unsafe {
            let found = dots::<S, Q>(m.add(r * cols), cols, cols, x);
            y.add(r).copy_from_nonoverlapping(found.as_ptr(), Q);
        }
    }
}

/// Mᵀ x.
struct Sums<S: Simd>(Operands<S>);

impl<S: Simd> SimdOp for Sums<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let mut j = 0;
        // SAFETY: guaranteed by the caller; these columns exist.
        unsafe {
            // Two sums for each vector, and a number of x: AVX-512 has 32 registers, other sets may have 16.
            if S::LANES * size_of::<S::T>() == LINE {
                j = self.strips::<8>(j);
            }
            j = self.strips::<4>(j);
            j = self.strips::<2>(j);
            while j < self.0.cols {
                self.columns::<1>(j);
                j += S::LANES;
            }
        }
    }
}

impl<S: Simd> Sums<S> {
    /// The sums of `V` whole vectors of columns from `j` on, as often as there are so many; returns the column after them.
    ///
    /// # Safety
    /// See [`crate::MatVecFn`].
    #[inline(always)]
    unsafe fn strips<const V: usize>(&self, mut j: usize) -> usize {
        while j + V * S::LANES <= self.0.cols {
            // SAFETY: guaranteed by the caller; so many columns exist.
            unsafe { self.columns::<V>(j) };
            j += V * S::LANES;
        }
        j
    }

    /// The sums of `V` whole vectors of columns from `j` on; a single one may have fewer.
    ///
    /// # Safety
    /// See [`crate::MatVecFn`]; column `j` exists, and if `V` is more than 1, all of these columns.
    #[inline(always)]
    unsafe fn columns<const V: usize>(&self, j: usize) {
        let mut r = 0;
        // SAFETY: guaranteed by the caller; these rows exist.
        unsafe {
            let mut sums = [S::zero(); V];
            while r + 8 <= self.0.rows {
                self.add::<8, V>(r, j, &mut sums);
                r += 8;
            }
            if self.0.rows & 4 != 0 {
                self.add::<4, V>(r, j, &mut sums);
                r += 4;
            }
            if self.0.rows & 2 != 0 {
                self.add::<2, V>(r, j, &mut sums);
                r += 2;
            }
            if self.0.rows & 1 != 0 {
                self.add::<1, V>(r, j, &mut sums);
            }
            for (v, sum) in sums.into_iter().enumerate() {
                let at = j + v * S::LANES;
                S::store_up_to(self.0.y.add(at), self.0.cols - at, sum);
            }
        }
    }

    /// Adds rows r .. r + Q, weighted, in two chains, which halve the latency.
    ///
    /// # Safety
    /// As [`columns`](Self::columns); these rows exist.
    #[inline(always)]
    unsafe fn add<const Q: usize, const V: usize>(&self, r: usize, j: usize, sums: &mut [S::V; V]) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let from = self.0.m.add(r * self.0.cols + j);
            let mut odd = [S::zero(); V];
            for q in 0..Q {
                let x = S::splat(*self.0.x.add(r + q));
                let row = from.add(q * self.0.cols);
                for v in 0..V {
                    let at = v * S::LANES;
                    let m = match V {
                        1 => S::load_up_to(row, self.0.cols - j),
                        _ => S::load(row.add(at)),
                    };
                    let chain = if q % 2 == 0 {
                        &mut sums[v]
                    } else {
                        &mut odd[v]
                    };
                    *chain = S::fma(m, x, *chain);
                }
            }
            for (sum, odd) in sums.iter_mut().zip(odd) {
                *sum = S::add(*sum, odd);
            }
        }
    }
}
