//! Outer products per row: Y_b [m, n] (+)= Σ over steps t of a(t, b) b(t, b)ᵀ, one matrix for every row b.
//!
//! For sums over time that produce one matrix per row, and, with one number on the left, for multiples of vectors.
//!
//! Invariant: an element is the chain s + a₀ b₀, · + a₁ b₁, … over steps in ascending order, where s is 0 or the old
//! value, and product and sum are rounded separately: the bits are the same with or without fused instructions, in
//! every tile and on every thread.

use crate::RowOuterArgs;
use crate::simd::{Simd, SimdOp};
use std::marker::PhantomData;

/// Rows of a tile.
const TILE: usize = 4;

/// Registers per row of a tile: its 8 sums hide an addition's latency and, with 2 of b and a number of a, fit 16 registers.
const WIDE: usize = 2;

/// See [`crate::RowOuterFn`].
///
/// # Safety
/// See [`crate::RowOuterFn`].
pub(crate) unsafe extern "C" fn row_outer<S: Simd>(
    args: *const RowOuterArgs<S::T>,
    b0: usize,
    b1: usize,
) {
    let op = RowOuter::<S> {
        // SAFETY: the caller guarantees the description.
        args: unsafe { *args },
        b0,
        b1,
        set: PhantomData,
    };
    // SAFETY: the caller guarantees the memory and the instruction set.
    unsafe { S::vectorize(op) }
}

struct RowOuter<S: Simd> {
    args: RowOuterArgs<S::T>,
    b0: usize,
    b1: usize,
    set: PhantomData<S>,
}

impl<S: Simd> SimdOp for RowOuter<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let mut x = self.args;
        if x.n == 1 {
            // A column has the memory layout of a row.
            std::mem::swap(&mut x.a, &mut x.b);
            std::mem::swap(&mut x.a_step, &mut x.b_step);
            std::mem::swap(&mut x.a_row, &mut x.b_row);
            std::mem::swap(&mut x.m, &mut x.n);
        }
        for row in self.b0..self.b1 {
            // SAFETY: the caller guarantees this row of all three arrays.
            let (a, b, y) = unsafe {
                (
                    x.a.add(row * x.a_row),
                    x.b.add(row * x.b_row),
                    x.y.add(row * x.y_row),
                )
            };
            let mut i = 0;
            while i < x.m {
                // SAFETY: rows i .. i + TILE, or one row, exist.
                i += unsafe {
                    if i + TILE <= x.m {
                        lines::<S, TILE>(&x, a.add(i), b, y.add(i * x.n));
                        TILE
                    } else {
                        lines::<S, 1>(&x, a.add(i), b, y.add(i * x.n));
                        1
                    }
                };
            }
        }
    }
}

/// R rows of one matrix: a, b and y point to step 0, a and y to the first of these rows.
///
/// # Safety
/// They must exist for all steps.
#[inline(always)]
unsafe fn lines<S: Simd, const R: usize>(
    x: &RowOuterArgs<S::T>,
    a: *const S::T,
    b: *const S::T,
    y: *mut S::T,
) {
    let mut j = 0;
    // SAFETY: each call covers columns j .. j + V·LANES, or the rest.
    unsafe {
        while j + WIDE * S::LANES <= x.n {
            tile::<S, R, WIDE>(x, a, b.add(j), y.add(j), x.n - j);
            j += WIDE * S::LANES;
        }
        while j < x.n {
            tile::<S, R, 1>(x, a, b.add(j), y.add(j), x.n - j);
            j += S::LANES;
        }
    }
}

/// R rows, V registers wide or, for V = 1, the first `n` columns of a register.
///
/// # Safety
/// As for [`lines`].
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const V: usize>(
    x: &RowOuterArgs<S::T>,
    a: *const S::T,
    b: *const S::T,
    y: *mut S::T,
    n: usize,
) {
    // SAFETY: the caller guarantees R rows and min(n, V·LANES) columns, at every step.
    unsafe {
        let mut sum = [[S::zero(); V]; R];
        if x.add {
            for (i, line) in sum.iter_mut().enumerate() {
                for (v, sum) in line.iter_mut().enumerate() {
                    *sum = S::load_up_to(y.add(i * x.n + v * S::LANES), n - v * S::LANES);
                }
            }
        }
        for t in 0..x.steps {
            let (a, b) = (a.add(t * x.a_step), b.add(t * x.b_step));
            let mut right = [S::zero(); V];
            for (v, right) in right.iter_mut().enumerate() {
                *right = S::load_up_to(b.add(v * S::LANES), n - v * S::LANES);
            }
            for (i, line) in sum.iter_mut().enumerate() {
                let left = S::splat(*a.add(i));
                for (sum, right) in line.iter_mut().zip(right) {
                    *sum = S::add(*sum, S::mul(left, right));
                }
            }
        }
        for (i, line) in sum.into_iter().enumerate() {
            for (v, sum) in line.into_iter().enumerate() {
                S::store_up_to(y.add(i * x.n + v * S::LANES), n - v * S::LANES, sum);
            }
        }
    }
}
