//! The sum of the vectors of a sequence: dst[n] (+)= Σ over steps t and rows b of src(t, b)[n].
//!
//! For bias gradients that no outer product computes along the way, and for sums over time or batch.
//!
//! Invariant: each element is summed in order, rows running fastest, and on request added to the old value at the end.

use crate::simd::{Simd, SimdOp};
use std::marker::PhantomData;

/// Registers summed side by side: enough sums in flight to hide an addition's latency, and 512 contiguous bytes per read.
const WIDE: usize = 8;

/// See [`crate::SumRowsFn`].
///
/// # Safety
/// See [`crate::SumRowsFn`].
pub(crate) unsafe extern "C" fn sum_rows<S: Simd>(
    src: *const S::T,
    step_stride: usize,
    row_stride: usize,
    steps: usize,
    rows: usize,
    n: usize,
    dst: *mut S::T,
    add: u32,
) {
    let op = SumRows::<S> {
        src,
        step_stride,
        row_stride,
        steps,
        rows,
        n,
        dst,
        add: add != 0,
        set: PhantomData,
    };
    // SAFETY: the caller guarantees the memory and the instruction set.
    unsafe { S::vectorize(op) }
}

struct SumRows<S: Simd> {
    src: *const S::T,
    step_stride: usize,
    row_stride: usize,
    steps: usize,
    rows: usize,
    n: usize,
    dst: *mut S::T,
    add: bool,
    set: PhantomData<S>,
}

impl<S: Simd> SimdOp for SumRows<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let mut j = 0;
        // SAFETY: each call covers columns j .. j + V·LANES (or the rest), which exist in every vector and in dst.
        unsafe {
            while j + WIDE * S::LANES <= self.n {
                self.columns::<WIDE>(j);
                j += WIDE * S::LANES;
            }
            while j < self.n {
                self.columns::<1>(j);
                j += S::LANES;
            }
        }
    }
}

impl<S: Simd> SumRows<S> {
    #[inline(always)]
    unsafe fn columns<const V: usize>(&self, j: usize) {
        let n = self.n - j;
        // SAFETY: V > 1 only where V whole registers exist; the parts cover the first n elements only.
        unsafe {
            let mut acc = [S::zero(); V];
            for t in 0..self.steps {
                for b in 0..self.rows {
                    let p = self.src.add(t * self.step_stride + b * self.row_stride + j);
                    for (v, acc) in acc.iter_mut().enumerate() {
                        let p = p.add(v * S::LANES);
                        *acc = S::add(
                            *acc,
                            if V > 1 {
                                S::load(p)
                            } else {
                                S::load_up_to(p, n)
                            },
                        );
                    }
                }
            }
            for (v, acc) in acc.into_iter().enumerate() {
                let (q, n) = (self.dst.add(j + v * S::LANES), n - v * S::LANES);
                S::store_up_to(
                    q,
                    n,
                    if self.add {
                        S::add(S::load_up_to(q, n), acc)
                    } else {
                        acc
                    },
                );
            }
        }
    }
}
