//! C[m, n] (+)= A[m, k] · B, or bias[n] + A · B, where B is Wᵀ or W.
//!
//! For compiled code, through a function pointer: no allocation, no unwinding. With packed weights the loop order is
//! rows in groups → K in blocks → panels → tiles of rows, so that a group's rows stay in L2 and all of them share a
//! panel's block; without packing, `unpacked` reads the weights in place.
//!
//! Invariant: with packed weights an element of C depends only on its own row of A and column of B, bit for bit: K
//! blocks start at multiples of [`K_BLOCK`], whatever m is, and a column is one of the few of `extra` or none by W's size.

use crate::ahead::Ahead;
use crate::bf16;
use crate::extra::{Extra, whole};
use crate::micro::{K_BLOCK, ROWS, SumStart, TileArgs, panels_at_once, part, tile};
use crate::row::RowProduct;
use crate::simd::Simd;
use crate::types::{ADD, BACKWARD, IN_ORDER, Weights, list};
use crate::unpacked::{self, Way};

/// Maximum number of tiles in a group of rows: 120 rows × 512 terms are 240 kB of f32, a quarter of L2.
const GROUP: usize = 10;

/// See [`crate::ProductFn`].
///
/// # Safety
/// See [`crate::ProductFn`].
pub(crate) unsafe extern "C" fn product<S: Simd>(
    w: *const Weights<S::T>,
    m: usize,
    a: *const S::T,
    lda: usize,
    c: *mut S::T,
    ldc: usize,
    how: u32,
) {
    // SAFETY: guaranteed by the caller.
    unsafe { start::<S>(w, m, a, lda, SumStart::adding(how & ADD != 0), c, ldc, how) }
}

/// See [`crate::ProductFromFn`].
///
/// # Safety
/// See [`crate::ProductFromFn`].
pub(crate) unsafe extern "C" fn product_from<S: Simd>(
    w: *const Weights<S::T>,
    m: usize,
    a: *const S::T,
    lda: usize,
    bias: *const S::T,
    c: *mut S::T,
    ldc: usize,
    how: u32,
) {
    // SAFETY: guaranteed by the caller.
    unsafe { start::<S>(w, m, a, lda, SumStart::Bias(bias), c, ldc, how) }
}

/// Implements both kernels.
#[expect(
    clippy::too_many_arguments,
    reason = "three matrices with their strides"
)]
#[inline(always)]
unsafe fn start<S: Simd>(
    w: *const Weights<S::T>,
    m: usize,
    a: *const S::T,
    lda: usize,
    start: SumStart<S::T>,
    c: *mut S::T,
    ldc: usize,
    how: u32,
) {
    // SAFETY: the caller guarantees W and everything it refers to, A [m, k], C [m, n], the bias [n] and the instruction set.
    unsafe {
        let w = &*w;
        let (k, n) = (w.inner(), w.outer());
        let backward = how & BACKWARD != 0;
        if m == 0 || n == 0 {
            return;
        }
        if k == 0 {
            for i in 0..m {
                match start {
                    SumStart::Zero => c.add(i * ldc).write_bytes(0, n),
                    SumStart::Bias(row) => c.add(i * ldc).copy_from_nonoverlapping(row, n),
                    SumStart::Old => {}
                }
            }
        } else if let Some(unit) = w.unit
            && let Some(a) = bf16::as_f32::<S::T, _>(a)
        {
            let product = bf16::Multiply {
                m,
                k,
                n,
                a: a.cast(),
                lda,
                b: w.packed.cast(),
                start: start.cast(),
                c: c.cast(),
                ldc,
                backward,
            };
            bf16::product(S::ISA, unit, product);
        } else if w.packed.is_null() {
            let blocks = list(w.blocks, w.n_blocks);
            let way = Way {
                backward,
                in_order: how & IN_ORDER != 0,
            };
            unpacked::product::<S>(w.transposed, way, k, blocks, m, a, lda, start, c, ldc);
        } else {
            let whole = whole::<S::T>(k, n);
            // First: of one row, their long chains then run beside the panels'.
            if whole < n {
                let b = w.packed.add(whole.next_multiple_of(S::NR) * k);
                extra::<S>((m, k), (whole, n - whole), a, lda, b, start, c, ldc);
            }
            if m == 1 {
                let row = RowProduct::<S> {
                    k,
                    n: whole,
                    a,
                    b: w.packed,
                    start,
                    c,
                    backward,
                };
                row.run();
            } else {
                packed::<S>((m, k, whole), a, lda, w.packed, backward, start, c, ldc);
            }
        }
    }
}

/// The few columns beyond whole registers: so many from one on.
#[expect(
    clippy::too_many_arguments,
    reason = "three matrices with their strides"
)]
#[inline(never)]
unsafe fn extra<S: Simd>(
    (m, k): (usize, usize),
    (from, cols): (usize, usize),
    a: *const S::T,
    lda: usize,
    b: *const S::T,
    start: SumStart<S::T>,
    c: *mut S::T,
    ldc: usize,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let extra = Extra {
            k,
            cols,
            a,
            lda,
            b,
            start: start.part(true, from),
            c: c.add(from),
            ldc,
        };
        extra.run::<S>(m);
    }
}

/// The columns in panels, with tiles. Of m, k, n only n may be 0.
#[expect(
    clippy::too_many_arguments,
    reason = "three matrices with their strides"
)]
unsafe fn packed<S: Simd>(
    (m, k, n): (usize, usize, usize),
    a: *const S::T,
    lda: usize,
    b: *const S::T,
    backward: bool,
    start: SumStart<S::T>,
    c: *mut S::T,
    ldc: usize,
) {
    let tiles = m.div_ceil(S::MR);
    let wide = panels_at_once(m);
    let pieces = n.div_ceil(wide * S::NR);
    let groups = tiles.div_ceil(GROUP);
    for g in 0..groups {
        let (t0, t1) = (part(tiles, groups, g), part(tiles, groups, g + 1));
        // Each tile prefetches a part of the next panel, so many numbers with each term: more at a time would wait for each
        // other.
        let step = S::NR.div_ceil(t1 - t0);
        for k0 in (0..k).step_by(K_BLOCK) {
            let kk = K_BLOCK.min(k - k0);
            for piece in 0..pieces {
                let piece = if backward { pieces - 1 - piece } else { piece };
                let mut j = piece * wide * S::NR;
                let end = n.min(j + wide * S::NR);
                while j < end {
                    let mut panels = wide;
                    while panels > 1 && end - j <= (panels - 1) * S::NR {
                        panels /= 2;
                    }
                    let cols = (panels * S::NR).min(end - j);
                    let next = following(backward, S::NR, (n, k), (j, cols), (k0, kk));
                    for t in t0..t1 {
                        let (i0, i1) = (part(m, tiles, t), part(m, tiles, t + 1));
                        // SAFETY: rows i0..i1 of A and C exist; the panels from column j on have k·NR elements each.
                        unsafe {
                            let operands = TileArgs {
                                k: kk,
                                a: a.add(i0 * lda + k0),
                                lda,
                                b: b.add(j * k + k0 * S::NR),
                                panel: k * S::NR,
                                c: c.add(i0 * ldc + j),
                                ldc,
                                cols,
                                start: start.part(k0 == 0, j),
                                ahead: match next {
                                    Some((j, k0)) => Ahead {
                                        at: b.wrapping_add(
                                            j * k + k0 * S::NR + (t - t0) * kk * step,
                                        ),
                                        step,
                                    },
                                    _ => Ahead::nothing(a),
                                },
                            };
                            tile::<S, ROWS>(i1 - i0, panels, &operands);
                        }
                    }
                    j += cols;
                }
            }
        }
    }
}

/// The first column and term of the panel that is read after columns j .. j + cols of terms k0 .. k0 + kk: the one beside it,
/// or the first one of the next terms.
pub(crate) fn following(
    backward: bool,
    nr: usize,
    (n, k): (usize, usize),
    (j, cols): (usize, usize),
    (k0, kk): (usize, usize),
) -> Option<(usize, usize)> {
    let first = if backward { (n - 1) / nr * nr } else { 0 };
    match backward {
        true if j > 0 => Some((j - nr, k0)),
        false if j + cols < n => Some((j + cols, k0)),
        _ if k0 + kk < k => Some((first, k0 + kk)),
        _ => None,
    }
}
