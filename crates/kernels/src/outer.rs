//! Σ δ rᵀ over a whole sequence, for all right-hand sides of the same δ together, and Σ δ in the same pass.
//!
//! For weight and bias gradients. K = steps · rows is divided into blocks of [`K_BLOCK`]; in each, panels of the
//! right-hand sides are packed until they fill half of L2, then δ is packed a few tiles at a time and multiplied by all
//! of them. Panels restart at the column boundaries of the destination blocks, tiles at their row boundaries, so a tile
//! always lies in one destination, and nothing is scattered; but for a few columns before a boundary (`narrow`).
//!
//! Invariant: an element of a result is summed over K in ascending order in blocks that start at multiples of
//! [`K_BLOCK`], regardless of the range of rows and of the tile that contains it.

use crate::bf16;
use crate::micro::{SumStart, TileArgs, part, tile};
use crate::narrow::{NarrowTiles, PackColumns, most};
use crate::simd::Simd;
use crate::terms::{PackDelta, PackRhs, TILES, Terms, tile_len};
use crate::types::{BlockMut, OuterArgs, OuterRhs, PieceMut, list};
use std::marker::PhantomData;

/// Terms of a K block: a panel's block and a tile of δ fit L1 together (measured in `ceiling/`, Zen 4).
pub(crate) const K_BLOCK: usize = 256;
/// Bytes of panels packed together: half of a megabyte of L2.
const PANEL_BYTES: usize = 512 << 10;
/// Most panels packed together: the number that fills those bytes with AVX2; AVX-512 needs half as many.
const MAX_PANELS: usize = 32;
/// Preferred alignment of loads, in bytes.
const ALIGN: usize = 64;

/// Elements of scratch for `k` terms and panels of `n` columns in `runs` runs.
pub(crate) fn scratch_len<S: Simd>(k: usize, n: usize, runs: usize) -> usize {
    let k = k.min(K_BLOCK);
    // A run may end with half a panel and a few columns.
    let panels = (n / S::NR + 2 * runs.max(1)).min(panels_together::<S>());
    panels * k * S::NR + TILES * tile_len::<S>(k) + ALIGN / size_of::<S::T>()
}

/// The panels packed together.
fn panels_together<S: Simd>() -> usize {
    (PANEL_BYTES / (K_BLOCK * S::NR * size_of::<S::T>())).min(MAX_PANELS)
}

/// See [`crate::OuterFn`].
///
/// # Safety
/// See [`crate::OuterFn`].
pub(crate) unsafe extern "C" fn outer<S: Simd>(
    args: *const OuterArgs<S::T>,
    i0: usize,
    i1: usize,
    scratch: *mut S::T,
) {
    // SAFETY: the caller guarantees the arguments and everything they refer to, `scratch_len` elements of scratch (some
    // of which are used for its alignment), and the instruction set.
    unsafe {
        let args = &*args;
        let i1 = i1.min(args.m);
        if i0 >= i1 {
            return;
        }
        if let Some(unit) = args.unit
            && let Some(args) = bf16::as_f32::<S::T, _>(args)
        {
            return bf16::outer(S::ISA, unit, &*args.cast(), i0..i1, scratch.cast());
        }
        let scratch = scratch.add(scratch.align_offset(ALIGN).min(ALIGN / size_of::<S::T>()));
        let run = Outer::<S> {
            args,
            rhs: list(args.rhs, args.n_rhs),
            bias: list(args.bias, args.n_bias),
            rows: i0..i1,
            scratch,
            set: PhantomData,
        };
        let k = args.terms();
        // Runs once even without terms, to overwrite with zeros.
        run.block(0, K_BLOCK.min(k), args.add);
        for k0 in (K_BLOCK..k).step_by(K_BLOCK) {
            run.block(k0, K_BLOCK.min(k - k0), true);
        }
    }
}

/// Columns `col .. col + cols` of a right-hand side, packed at `at`: as a panel, or column by column if they are `narrow`.
struct RhsPanel<'a, T> {
    rhs: &'a OuterRhs<T>,
    col: usize,
    cols: usize,
    narrow: bool,
    at: *const T,
}

impl<T> OuterArgs<T> {
    /// Terms of each sum.
    ///
    /// # Safety
    /// The table of the steps must be valid, if there is one.
    pub(crate) unsafe fn terms(&self) -> usize {
        match self.starts.is_null() {
            true => self.steps * self.rows,
            // SAFETY: guaranteed by the caller.
            false => unsafe { (*self.starts.add(self.steps) - *self.starts) as usize },
        }
    }
}

struct Outer<'a, S: Simd> {
    args: &'a OuterArgs<S::T>,
    rhs: &'a [OuterRhs<S::T>],
    bias: &'a [PieceMut<S::T>],
    rows: std::ops::Range<usize>,
    scratch: *mut S::T,
    set: PhantomData<S>,
}

impl<S: Simd> Outer<'_, S> {
    /// Terms k0 .. k0 + kk.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn block(&self, k0: usize, kk: usize, add: bool) {
        let (mut next, mut bias) = ((0, 0), true);
        loop {
            // Pack the next panels; `next` is where to continue: right-hand side and column.
            let mut at = self.scratch;
            let mut panels: [Option<RhsPanel<S::T>>; MAX_PANELS] = [const { None }; MAX_PANELS];
            for panel in panels.iter_mut().take(panels_together::<S>()) {
                while self.rhs.get(next.0).is_some_and(|r| next.1 >= r.n) {
                    next = (next.0 + 1, 0);
                }
                let Some(rhs) = self.rhs.get(next.0) else {
                    break;
                };
                // SAFETY: the caller guarantees the blocks; the panel's columns exist; scratch has room for them.
                unsafe {
                    let end =
                        boundary(list(rhs.dst, rhs.n_dst), rhs.n, |b| (b.col, b.cols), next.1);
                    let few = (end - next.1) % S::LANES;
                    let few = if few <= most::<S>() { few } else { 0 };
                    // Whole registers first.
                    let left = end - next.1 - few;
                    let narrow = left == 0;
                    let cols = if narrow { few } else { S::NR.min(left) };
                    let strides = (rhs.step_stride, rhs.row_stride, rhs.lag);
                    let terms = Terms::new(rhs.ptr, strides, self.args, k0, kk);
                    let (col, out, set) = (next.1, at, PhantomData);
                    if narrow {
                        S::vectorize(PackColumns::<S> {
                            terms,
                            col,
                            cols,
                            out,
                            set,
                        });
                    } else {
                        S::vectorize(PackRhs::<S> {
                            terms,
                            col,
                            cols,
                            out,
                            set,
                        });
                    }
                    *panel = Some(RhsPanel {
                        rhs,
                        col,
                        cols,
                        narrow,
                        at,
                    });
                    at = at.add(kk * S::NR);
                    next.1 += cols;
                }
            }
            let sums_left = bias && !self.bias.is_empty();
            if panels[0].is_none() && !sums_left {
                return;
            }
            // SAFETY: everything packed lies before `at`; the rest of scratch has room for TILES of δ.
            unsafe { self.tiles(k0, kk, add, bias, &panels, at) };
            bias = false;
        }
    }

    /// Packs δ and multiplies it by the panels; with `bias`, also sums it.
    ///
    /// # Safety
    /// As [`outer`]; `at` has room for [`TILES`] tiles.
    unsafe fn tiles(
        &self,
        k0: usize,
        kk: usize,
        add: bool,
        bias: bool,
        panels: &[Option<RhsPanel<S::T>>],
        at: *mut S::T,
    ) {
        let args = self.args;
        let strides = (args.step_stride, args.row_stride, args.lag);
        // SAFETY: the caller guarantees the table.
        let terms = unsafe { Terms::new(args.delta, strides, args, k0, kk) };
        let mut i = self.rows.start;
        while i < self.rows.end {
            let mut end = boundary(self.bias, self.rows.end, |p| (p.start, p.len), i);
            for r in self.rhs {
                // SAFETY: the caller guarantees the list.
                end = boundary(unsafe { list(r.dst, r.n_dst) }, end, |b| (b.row, b.rows), i);
            }
            let (from, n) = (i, end - i);
            let tiles = n.div_ceil(S::MR);
            for t0 in (0..tiles).step_by(TILES) {
                let t1 = tiles.min(t0 + TILES);
                let rows = |t| (from + part(n, tiles, t), from + part(n, tiles, t + 1));
                let col = rows(t0).0;
                let mut cols = [0; TILES];
                for t in t0..t1 {
                    cols[t - t0] = rows(t).1 - rows(t).0;
                }
                let sum = if bias {
                    piece(self.bias, col)
                } else {
                    std::ptr::null_mut()
                };
                let set = PhantomData;
                // SAFETY: these columns of δ exist, at most MR per tile; the piece contains them, because tiles end at
                // its boundaries; scratch has room for the tiles.
                unsafe {
                    S::vectorize(PackDelta::<S> {
                        terms,
                        col,
                        cols,
                        out: at,
                        tile: tile_len::<S>(kk),
                        sum,
                        add,
                        set,
                    })
                };
                for t in t0..t1 {
                    let (r0, r1) = rows(t);
                    for p in panels.iter().flatten().filter(|p| !p.narrow) {
                        // SAFETY: the destination contains the whole tile, because tiles and panels end at its boundaries.
                        unsafe {
                            let blocks = list(p.rhs.dst, p.rhs.n_dst);
                            let Some((c, ldc)) = place(blocks, r0, p.col) else {
                                continue;
                            };
                            let operands = TileArgs {
                                k: kk,
                                a: at.add((t - t0) * tile_len::<S>(kk)),
                                a_row: 1,
                                a_col: r1 - r0,
                                b: p.at,
                                panel: 0,
                                c,
                                ldc,
                                cols: p.cols,
                                start: SumStart::adding(add),
                            };
                            tile::<S>(r1 - r0, 1, &operands);
                        }
                    }
                }
                // SAFETY: as above; there is room for all tiles.
                unsafe { self.narrow(kk, add, panels, (at, &cols), |t| rows(t0 + t).0) };
            }
            i = end;
        }
    }
}

impl<S: Simd> Outer<'_, S> {
    /// The columns that are not in panels, two at a time, for the packed tiles of δ: their address, the rows of each, and the
    /// first of them.
    ///
    /// # Safety
    /// As [`outer`]; the destinations contain whole tiles.
    unsafe fn narrow(
        &self,
        kk: usize,
        add: bool,
        panels: &[Option<RhsPanel<S::T>>],
        (a, rows): (*const S::T, &[usize; TILES]),
        first: impl Fn(usize) -> usize,
    ) {
        let mut all = (panels.iter().flatten())
            .filter(|p| p.narrow)
            .flat_map(|p| (0..p.cols).map(move |c| (p, c)));
        // The address of a column, and of the column in each tile's rows.
        let column = |(p, c): (&RhsPanel<S::T>, usize)| {
            let to = std::array::from_fn(|t| {
                // SAFETY: the caller guarantees the list.
                let blocks = unsafe { list(p.rhs.dst, p.rhs.n_dst) };
                let there = || place(blocks, first(t), p.col + c);
                let there = if rows[t] > 0 { there() } else { None };
                there.unwrap_or((std::ptr::null_mut(), 0))
            });
            (p.at.wrapping_add(c * kk), to)
        };
        while let Some(one) = all.next() {
            let (b, to): (_, [(*mut S::T, usize); TILES]) = column(one);
            // SAFETY: the columns' terms are packed, and the destinations are where the tiles' rows are.
            unsafe {
                match all.next().map(column) {
                    Some((b2, to2)) => NarrowTiles::<S, 2> {
                        k: kk,
                        a,
                        rows,
                        b: [b, b2],
                        c: std::array::from_fn(|t| [to[t], to2[t]]),
                        add,
                    }
                    .run(),
                    None => NarrowTiles::<S, 1> {
                        k: kk,
                        a,
                        rows,
                        b: [b],
                        c: to.map(|to| [to]),
                        add,
                    }
                    .run(),
                }
            }
        }
    }
}

/// The first boundary of any of the spans (start, length) after `at`, or `end` if that comes first.
pub(crate) fn boundary<B>(
    spans: &[B],
    end: usize,
    span: impl Fn(&B) -> (usize, usize),
    at: usize,
) -> usize {
    spans
        .iter()
        .map(span)
        .flat_map(|(start, len)| [start, start + len])
        .filter(|&e| e > at)
        .fold(end, usize::min)
}

/// The address of element (row, col), and the stride of its block's rows.
pub(crate) fn place<T>(blocks: &[BlockMut<T>], row: usize, col: usize) -> Option<(*mut T, usize)> {
    let holds =
        |b: &&BlockMut<T>| row.wrapping_sub(b.row) < b.rows && col.wrapping_sub(b.col) < b.cols;
    blocks.iter().find(holds).map(|b| {
        (
            b.ptr.wrapping_add((row - b.row) * b.ld + (col - b.col)),
            b.ld,
        )
    })
}

/// The address of element `at` of a vector in pieces, or null.
pub(crate) fn piece<T>(pieces: &[PieceMut<T>], at: usize) -> *mut T {
    let holds = |p: &&PieceMut<T>| at.wrapping_sub(p.start) < p.len;
    pieces
        .iter()
        .find(holds)
        .map_or(std::ptr::null_mut(), |p| p.ptr.wrapping_add(at - p.start))
}
