//! Packing weights: blocks in, panels out.
//!
//! For `product`. Panel j holds columns j·NR .. (j + 1)·NR of B (Wᵀ or W), zeros beyond the last column, term by term:
//! element (p, q) is at (j·k + p)·NR + q. So a micro-kernel reads it from front to back. A few columns beyond whole
//! registers follow the panels (`extra`).
//!
//! Invariant: reads run along rows of W. Packing along columns costs as much as a training step (`ceiling/`).

use crate::bf16;
use crate::extra;
use crate::simd::{Simd, SimdOp};
use crate::types::{Block, Weights, list};
use std::marker::PhantomData;

/// Rows of W copied together: as many streams as a prefetcher follows, with output in bursts of 1 kB.
const ROWS: usize = 8;

/// Elements of a packing with panels of `nr` columns, two registers.
pub(crate) fn packed_len<T>(nr: usize, rows: usize, cols: usize, transposed: bool) -> usize {
    let (k, n) = if transposed {
        (rows, cols)
    } else {
        (cols, rows)
    };
    let whole = extra::whole::<T>(k, n);
    whole.div_ceil(nr) * nr * k + extra::packed_len::<T>(nr / 2, k, n - whole)
}

/// See [`crate::PackFn`].
///
/// # Safety
/// See [`crate::PackFn`].
pub(crate) unsafe extern "C" fn pack<S: Simd>(w: *const Weights<S::T>, out: *mut S::T) {
    // SAFETY: the caller guarantees W, its blocks and `packed_len` elements of `out`.
    unsafe {
        let w = &*w;
        if let Some(unit) = w.unit
            && let Some(w) = bf16::as_f32::<S::T, _>(w)
        {
            return bf16::pack(S::ISA, unit, &*w.cast(), out.cast());
        }
        let (k, n) = (w.inner(), w.outer());
        let whole = extra::whole::<S::T>(k, n);
        let panels = whole.next_multiple_of(S::NR) * k;
        out.add(panels)
            .write_bytes(0, extra::packed_len::<S::T>(S::LANES, k, n - whole));
        let used = whole % S::NR;
        if used > 0 {
            let last = out.add((whole - used) * k);
            for p in 0..k {
                last.add(p * S::NR + used).write_bytes(0, S::NR - used);
            }
        }
        for &block in list(w.blocks, w.n_blocks) {
            extra::pack::<S>(block, w.transposed, k, (whole, n), out.add(panels));
            // The rest of it is in panels.
            let mut block = block;
            match w.transposed {
                true => block.cols = block.cols.min(whole.saturating_sub(block.col)),
                false => block.rows = block.rows.min(whole.saturating_sub(block.row)),
            }
            if w.transposed {
                S::vectorize(PackCopy::<S> {
                    w: block,
                    k,
                    out,
                    set: PhantomData,
                });
            } else {
                S::vectorize(Transpose::<S> {
                    w: block,
                    k,
                    out,
                    set: PhantomData,
                });
            }
        }
    }
}

/// Packs a block of W into panels of W.
struct PackCopy<S: Simd> {
    w: Block<S::T>,
    k: usize,
    out: *mut S::T,
    set: PhantomData<S>,
}

impl<S: Simd> SimdOp for PackCopy<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let Block {
            ptr,
            ld,
            row,
            col,
            rows,
            cols,
        } = self.w;
        for r0 in (0..rows).step_by(ROWS) {
            let mut c = 0;
            while c < cols {
                let q = (col + c) % S::NR;
                let run = (S::NR - q).min(cols - c);
                // SAFETY: the block's elements exist; their places in the panels lie inside `packed_len`.
                unsafe {
                    let to = self.out.add((col + c - q) * self.k + q);
                    for r in r0..rows.min(r0 + ROWS) {
                        let (from, to) = (ptr.add(r * ld + c), to.add((row + r) * S::NR));
                        if run == S::NR {
                            S::store(to, S::load(from));
                            S::store(to.add(S::LANES), S::load(from.add(S::LANES)));
                        } else {
                            to.copy_from_nonoverlapping(from, run);
                        }
                    }
                }
                c += run;
            }
        }
    }
}

/// Packs a block of W into panels of Wᵀ.
struct Transpose<S: Simd> {
    w: Block<S::T>,
    k: usize,
    out: *mut S::T,
    set: PhantomData<S>,
}

impl<S: Simd> SimdOp for Transpose<S> {
    #[inline(always)]
    unsafe fn run(self) {
        let Block {
            ptr,
            ld,
            row,
            col,
            rows,
            cols,
        } = self.w;
        let mut r = 0;
        while r < rows {
            let q = (row + r) % S::NR;
            let run = (S::NR - q).min(rows - r);
            // SAFETY: rows r .. r + run of the block exist; their places are columns q .. q + run of one panel.
            unsafe {
                let from = ptr.add(r * ld);
                let to = self.out.add((row + r - q) * self.k + col * S::NR + q);
                let (whole_rows, whole_cols) = (run - run % S::LANES, cols - cols % S::LANES);
                for p in (0..whole_cols).step_by(S::LANES) {
                    for i in (0..whole_rows).step_by(S::LANES) {
                        S::transpose(from.add(i * ld + p), ld, to.add(p * S::NR + i), S::NR);
                    }
                    for i in whole_rows..run {
                        for p in p..p + S::LANES {
                            *to.add(p * S::NR + i) = *from.add(i * ld + p);
                        }
                    }
                }
                for i in 0..run {
                    for p in whole_cols..cols {
                        *to.add(p * S::NR + i) = *from.add(i * ld + p);
                    }
                }
            }
            r += run;
        }
    }
}
