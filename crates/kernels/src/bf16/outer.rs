//! Σ δ rᵀ over a whole sequence, of vectors rounded to bfloat16, and Σ δ, which is not rounded.
//!
//! As [`crate::outer`], whose packings this rounds: terms become pairs of terms.
//!
//! Invariant: an element of a result is summed over K in ascending order in blocks that start at multiples of [`K_BLOCK`],
//! regardless of the range of rows and of the tile that contains it.

use std::marker::PhantomData;
use std::ops::Range;

use super::micro::{Tile, tile};
use super::pack::lines;
use super::unit::Unit;
use crate::ahead::{Ahead, Streams};
use crate::destinations::{boundary, piece, place};
use crate::memory::CACHE_LINE;
use crate::micro::{AHEAD_FROM, SumStart, part};
use crate::simd::{Simd, SimdOp};
use crate::terms::{PackDelta, PackRhs, TILES, Terms};
use crate::types::{OuterArgs, OuterRhs, list};

/// Terms of a K block, a multiple of the 32 of a tile.
pub(crate) const K_BLOCK: usize = 512;
/// Words of panels packed together: half of a megabyte of L2.
const PANEL_WORDS: usize = 128 << 10;
/// Most panels packed together.
const MAX_PANELS: usize = 32;
/// Rows of a tile of AMX.
const TILE_ROWS: usize = 16;
/// Words that stores of whole registers may reach beyond.
const SLACK: usize = 32;

/// Words of scratch for `k` terms and panels of `nr` columns in `runs` runs.
pub(super) fn scratch_len(words: usize, nr: usize, k: usize, n: usize, runs: usize) -> usize {
    let k = k.min(K_BLOCK);
    let panels = (n / nr + runs.max(1)).min(panels_together(words, nr));
    panels * lines(true, k) * nr * words + rest(words, nr, k) + CACHE_LINE / 2
}

/// Words behind the panels: a panel before rounding, and tiles before and after.
fn rest(words: usize, nr: usize, k: usize) -> usize {
    k * nr + TILES * (tile_len(k) + rounded_len(words, k))
}

fn panels_together(words: usize, nr: usize) -> usize {
    (PANEL_WORDS / (K_BLOCK / 2 * nr * words)).min(MAX_PANELS)
}

/// Words of a tile of δ before it is rounded.
fn tile_len(k: usize) -> usize {
    k * TILE_ROWS + SLACK
}

/// Words of a rounded tile of δ: as lines, and for tiles of AMX as rows.
fn rounded_len(words: usize, k: usize) -> usize {
    2 * lines(true, k) * TILE_ROWS * words + SLACK
}

/// Columns `col .. col + cols` of a right-hand side, packed at `at`.
struct RhsPanel<'a> {
    rhs: &'a OuterRhs<f32>,
    col: usize,
    cols: usize,
    at: *const u32,
}

/// See [`super::outer`].
///
/// # Safety
/// See [`super::outer`].
pub(super) unsafe fn outer<U: Unit>(
    args: &OuterArgs<f32>,
    rows: Range<usize>,
    tiles: bool,
    scratch: *mut f32,
) {
    // SAFETY: the caller guarantees the arguments and everything they refer to, `scratch_len` elements of scratch (some
    // of which are used for its alignment), and the unit.
    unsafe {
        let scratch = scratch.add(scratch.align_offset(CACHE_LINE).min(CACHE_LINE / 4));
        let run = Outer::<U> {
            args,
            rhs: list(args.rhs, args.n_rhs),
            rows,
            tiles,
            scratch,
            of: PhantomData,
        };
        #[cfg(target_arch = "x86_64")]
        let _configured = tiles.then(|| super::tiles::whole());
        let k = args.terms();
        // Runs once even without terms, to overwrite with zeros.
        run.block(0, K_BLOCK.min(k), args.add);
        for k0 in (K_BLOCK..k).step_by(K_BLOCK) {
            run.block(k0, K_BLOCK.min(k - k0), true);
        }
    }
}

struct Outer<'a, U: Unit> {
    args: &'a OuterArgs<f32>,
    rhs: &'a [OuterRhs<f32>],
    rows: Range<usize>,
    tiles: bool,
    scratch: *mut f32,
    of: PhantomData<U>,
}

impl<U: Unit> Outer<'_, U> {
    /// Terms k0 .. k0 + kk.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn block(&self, k0: usize, kk: usize, add: bool) {
        let nr = U::S::NR;
        let (mut next, mut bias) = ((0, 0), true);
        // The panels come last, so that the rest has its place whatever their number.
        let wide = self.scratch;
        let panels_at = wide.wrapping_add(rest(U::WORDS, nr, kk).next_multiple_of(CACHE_LINE / 4));
        loop {
            let mut at: *mut u32 = panels_at.cast();
            let mut panels: [Option<RhsPanel<'_>>; MAX_PANELS] = [const { None }; MAX_PANELS];
            for panel in panels.iter_mut().take(panels_together(U::WORDS, nr)) {
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
                    let cols = nr.min(end - next.1);
                    let strides = (rhs.step_stride, rhs.row_stride, rhs.lag);
                    let terms = Terms::new(rhs.ptr, strides, self.args, k0, kk);
                    U::S::vectorize(PackRhs::<U::S> {
                        terms,
                        col: next.1,
                        cols,
                        out: wide,
                        set: PhantomData,
                    });
                    let lines = self.round(wide, kk, (nr, nr), at);
                    *panel = Some(RhsPanel {
                        rhs,
                        col: next.1,
                        cols,
                        at,
                    });
                    at = at.add(lines * nr * U::WORDS);
                    next.1 += cols;
                }
            }
            let sums_left = bias && self.args.n_bias > 0;
            if panels[0].is_none() && !sums_left {
                return;
            }
            // What δ is packed from after this: the same terms for further panels, or the next ones.
            let more = self.rhs.iter().skip(next.0 + 1).any(|r| r.n > 0)
                || self.rhs.get(next.0).is_some_and(|r| next.1 < r.n);
            let then = if more { k0 } else { k0 + kk };
            // SAFETY: the panels are behind the rest of scratch.
            unsafe { self.some((k0, kk, then), add, bias, &panels, wide.add(kk * nr)) };
            bias = false;
        }
    }

    /// Rounds terms of `n` columns into lines, `width` columns apart; returns their number.
    ///
    /// # Safety
    /// Both must exist.
    unsafe fn round(
        &self,
        from: *const f32,
        kk: usize,
        (n, width): (usize, usize),
        to: *mut u32,
    ) -> usize {
        let lines = match self.tiles {
            true => lines(true, kk),
            false => kk.div_ceil(2),
        };
        // SAFETY: passed on to the caller.
        unsafe {
            U::vectorize(RoundLines::<U> {
                from,
                kk,
                n,
                width,
                to,
                lines,
                of: PhantomData,
            });
        }
        lines
    }

    /// The terms of δ.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn deltas(&self, k0: usize, kk: usize) -> Terms<f32> {
        let args = self.args;
        let strides = (args.step_stride, args.row_stride, args.lag);
        // SAFETY: passed on to the caller.
        unsafe { Terms::new(args.delta, strides, args, k0, kk) }
    }

    /// Packs δ and multiplies it by the panels; with `bias`, also sums it. Meanwhile, the δ that is packed next is prefetched,
    /// at last that of the terms from `then` on.
    ///
    /// # Safety
    /// As [`outer`]; `at` has room for [`TILES`] tiles before and after rounding.
    unsafe fn some(
        &self,
        (k0, kk, then): (usize, usize, usize),
        add: bool,
        bias: bool,
        panels: &[Option<RhsPanel<'_>>],
        at: *mut f32,
    ) {
        let args = self.args;
        // SAFETY: the caller guarantees the lists and the table.
        let (pieces, terms) = unsafe { (list(args.bias, args.n_bias), self.deltas(k0, kk)) };
        let mut ahead = Streams::none(kk);
        let most = if self.tiles { TILE_ROWS } else { U::S::MR };
        let mut i = self.rows.start;
        while i < self.rows.end {
            let mut end = boundary(pieces, self.rows.end, |p| (p.start, p.len), i);
            for r in self.rhs {
                // SAFETY: the caller guarantees the list.
                end = boundary(unsafe { list(r.dst, r.n_dst) }, end, |b| (b.row, b.rows), i);
            }
            let (from, n) = (i, end - i);
            let tiles = n.div_ceil(most);
            let rows = |t: usize| match self.tiles {
                // Whole tiles, and what is left.
                true => from + (t * TILE_ROWS).min(n),
                false => from + part(n, tiles, t),
            };
            for t0 in (0..tiles).step_by(TILES) {
                let t1 = tiles.min(t0 + TILES);
                let mut cols = [0; TILES];
                for t in t0..t1 {
                    cols[t - t0] = rows(t + 1) - rows(t);
                }
                let sum = match bias {
                    true => piece(pieces, rows(t0)),
                    false => std::ptr::null_mut(),
                };
                // SAFETY: these columns of δ exist, at most two registers per tile; the piece contains them, because
                // tiles end at its boundaries; scratch has room for the tiles.
                unsafe {
                    U::S::vectorize(PackDelta::<U::S> {
                        terms,
                        col: rows(t0),
                        cols,
                        pack: true,
                        out: at,
                        tile: tile_len(kk),
                        sum,
                        add,
                        set: PhantomData,
                    });
                    ahead.clear();
                    let (next, width) = (rows(t1), TILES * most);
                    if self.tiles {
                        // They prefetch nothing.
                    } else if next < self.rows.end {
                        ahead.push(&terms, next, width.min(self.rows.end - next));
                    } else if then < args.terms() {
                        let terms = self.deltas(then, K_BLOCK.min(args.terms() - then));
                        ahead.push(&terms, self.rows.start, width.min(self.rows.len()));
                    }
                    let rounded: *mut u32 = at.add(TILES * tile_len(kk)).cast();
                    self.multiply(
                        (kk, add),
                        panels,
                        (rows(t0), &cols[..t1 - t0]),
                        (at, rounded),
                        &mut ahead,
                    );
                }
            }
            i = end;
        }
    }

    /// Rounds tiles of δ, the first of which begins at `row`, and multiplies them by the panels.
    ///
    /// # Safety
    /// As for `some`.
    unsafe fn multiply(
        &self,
        (kk, add): (usize, bool),
        panels: &[Option<RhsPanel<'_>>],
        (row, cols): (usize, &[usize]),
        (wide, rounded): (*const f32, *mut u32),
        ahead: &mut Streams<f32>,
    ) {
        let start = SumStart::adding(add);
        let length = rounded_len(U::WORDS, kk);
        // SAFETY: the caller guarantees scratch; a destination contains whole tiles, because tiles and panels end at its
        // boundaries.
        unsafe {
            for (t, &n) in cols.iter().enumerate() {
                let width = if self.tiles { TILE_ROWS } else { n };
                let from = wide.add(t * tile_len(kk));
                let lines = self.round(from, kk, (n, width), rounded.add(t * length));
                #[cfg(target_arch = "x86_64")]
                if self.tiles {
                    let lines_at = rounded.add(t * length);
                    super::tiles::transpose(lines_at, lines, lines_at.add(lines * TILE_ROWS));
                }
                #[cfg(not(target_arch = "x86_64"))]
                let _ = lines;
            }
            for p in panels.iter().flatten() {
                let blocks = list(p.rhs.dst, p.rhs.n_dst);
                let Some((c, ldc)) = place(blocks, row, p.col) else {
                    continue;
                };
                #[cfg(target_arch = "x86_64")]
                if self.tiles {
                    let lines = lines(true, kk);
                    super::tiles::outer(&super::tiles::OuterTiles {
                        lines,
                        a: rounded.add(lines * TILE_ROWS),
                        a_tile: length,
                        b: p.at,
                        c,
                        ldc,
                        rows: cols.iter().sum(),
                        cols: p.cols,
                        start,
                    });
                    continue;
                }
                let mut first = 0;
                for (t, &n) in cols.iter().enumerate() {
                    let operands = Tile {
                        pairs: kk.div_ceil(2),
                        a: rounded.add(t * length),
                        a_row: 1,
                        a_pair: n * U::WORDS,
                        a_second: n,
                        b: p.at,
                        panel: 0,
                        c: c.add(first * ldc),
                        ldc,
                        cols: p.cols,
                        start,
                        ahead: match n < AHEAD_FROM {
                            true => Ahead::nothing(c),
                            false => ahead.pop().unwrap_or(Ahead::nothing(c)),
                        },
                    };
                    tile::<U>(n, 1, &operands);
                    first += n;
                }
            }
        }
    }
}

/// Rounds terms of `n` columns into lines of `width` columns, zeros behind the last term.
struct RoundLines<U> {
    from: *const f32,
    kk: usize,
    n: usize,
    width: usize,
    to: *mut u32,
    lines: usize,
    of: PhantomData<U>,
}

impl<U: Unit> SimdOp for RoundLines<U> {
    #[inline(always)]
    unsafe fn run(self) {
        let line = self.width * U::WORDS;
        // SAFETY: the terms and lines exist; whole registers reach into the next line, or the slack.
        unsafe {
            for p in 0..self.kk / 2 {
                let first = self.from.add(2 * p * self.n);
                U::line([first, first.add(self.n)], self.n, self.to.add(p * line));
            }
            let mut done = self.kk / 2;
            if self.kk % 2 == 1 {
                let first = self.from.add((self.kk - 1) * self.n);
                U::line([first, std::ptr::null()], self.n, self.to.add(done * line));
                done += 1;
            }
            if self.lines > done {
                let rest = (self.lines - done) * line;
                self.to.add(done * line).write_bytes(0, rest);
            }
        }
    }
}
