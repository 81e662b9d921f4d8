//! C[m, n] (+)= A[m, k] · B, or bias[n] + A · B, where B is Wᵀ or W.
//!
//! For compiled code, through a function pointer: no allocation, no unwinding. With packed weights the loop order is
//! rows in groups → K in blocks → panels → tiles of rows, so that a group's rows stay in L2 and all of them share a
//! panel's block; without packing, `unpacked` reads the weights in place. Rows of A that compete for one set of L1 are copied
//! first, a group's terms of a block at a time.
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
use std::mem::MaybeUninit;

/// Maximum number of tiles in a group of rows: 120 rows × 512 terms are 240 kB of f32, a quarter of L2.
const GROUP: usize = 10;

/// Distance between copied rows of A: no multiple of 4 KiB, and of f32 an odd number of cache lines.
const COPY_LD: usize = K_BLOCK + 16;
/// Room for the copies of a group, on the stack: 72 rows of f32. With 120 nothing is gained (docs/PERFORMANCE.md).
const COPIES: usize = 72 * COPY_LD * 4;
/// Fewest panels that a copy is read for.
const COPIED_FROM: usize = 5;

/// Ways of L1, and bytes from one line of a set to the next: of 48 KiB in 12 ways, as of 32 KiB in 8.
const L1_WAYS: usize = 8;
const L1_WAY: usize = 4096;

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
                let panels = whole.div_ceil(S::NR);
                let run = match collide::<S>(m, lda) && panels >= COPIED_FROM {
                    true => copied::<S>,
                    false => in_place::<S>,
                };
                run((m, k, whole), (a, lda), w.packed, backward, start, (c, ldc));
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

/// Whether the rows of A in a tile are so far apart that L1 does not hold a line of each.
fn collide<S: Simd>(m: usize, lda: usize) -> bool {
    S::MR.min(m) > L1_WAYS && (lda * size_of::<S::T>()).is_multiple_of(L1_WAY)
}

/// The columns in panels, with A where it lies.
#[inline(never)]
unsafe fn in_place<S: Simd>(
    sizes: (usize, usize, usize),
    a: (*const S::T, usize),
    b: *const S::T,
    backward: bool,
    start: SumStart<S::T>,
    c: (*mut S::T, usize),
) {
    // SAFETY: guaranteed by the caller.
    unsafe { packed::<S>(sizes, (a, None), b, backward, start, c) }
}

/// The columns in panels, with copies of A's rows.
#[inline(never)]
unsafe fn copied<S: Simd>(
    sizes: (usize, usize, usize),
    a: (*const S::T, usize),
    b: *const S::T,
    backward: bool,
    start: SumStart<S::T>,
    c: (*mut S::T, usize),
) {
    #[repr(align(64))]
    struct Room([MaybeUninit<u8>; COPIES]);
    let mut room = Room([const { MaybeUninit::uninit() }; COPIES]);
    let room = room.0.as_mut_ptr().cast();
    // SAFETY: guaranteed by the caller.
    unsafe { packed::<S>(sizes, (a, Some(room)), b, backward, start, c) }
}

/// The columns in panels, with tiles, and with A as it is or copied to where [`COPIES`] bytes are. Of m, k, n only n may be 0.
#[inline(always)]
unsafe fn packed<S: Simd>(
    (m, k, n): (usize, usize, usize),
    ((a, lda), room): ((*const S::T, usize), Option<*mut S::T>),
    b: *const S::T,
    backward: bool,
    start: SumStart<S::T>,
    (c, ldc): (*mut S::T, usize),
) {
    let tiles = m.div_ceil(S::MR);
    let wide = panels_at_once(m);
    let pieces = n.div_ceil(wide * S::NR);
    let most = match room {
        Some(_) => COPIES / (COPY_LD * size_of::<S::T>()) / S::MR,
        None => GROUP,
    };
    let groups = tiles.div_ceil(most);
    for g in 0..groups {
        let (t0, t1) = (part(tiles, groups, g), part(tiles, groups, g + 1));
        // Each tile prefetches a part of the next panel, so many numbers with each term: more at a time would wait for each
        // other.
        let step = S::NR.div_ceil(t1 - t0);
        for k0 in (0..k).step_by(K_BLOCK) {
            let kk = K_BLOCK.min(k - k0);
            let first = part(m, tiles, t0);
            let there = a.wrapping_add(first * lda + k0);
            let (a, lda) = match room {
                None => (there, lda),
                Some(room) => {
                    for i in 0..part(m, tiles, t1) - first {
                        // SAFETY: these rows and terms exist, and there is room for a group's.
                        unsafe {
                            let to = room.add(i * COPY_LD);
                            to.copy_from_nonoverlapping(there.add(i * lda), kk);
                        }
                    }
                    (room.cast_const(), COPY_LD)
                }
            };
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
                                a: a.add((i0 - first) * lda),
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
