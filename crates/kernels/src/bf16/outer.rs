//! Σ δ rᵀ over a whole sequence, of vectors rounded to bfloat16, and Σ δ, which is not rounded.
//!
//! As [`crate::outer`], where packing rounds: terms become lines of pairs of terms.
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
use crate::terms::{TILES, Terms, store_sum};
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
    panels * lines(true, k) * nr * words + TILES * tile_len(words, k) + CACHE_LINE / 2
}

fn panels_together(words: usize, nr: usize) -> usize {
    (PANEL_WORDS / (K_BLOCK / 2 * nr * words)).min(MAX_PANELS)
}

/// Words of a tile of δ: as lines, and for tiles of AMX as rows.
fn tile_len(words: usize, k: usize) -> usize {
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
            scratch: scratch.cast(),
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
    scratch: *mut u32,
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
        // The panels come last, so that tiles of δ have their place whatever their number.
        let tiles = self.scratch;
        let panels_at = TILES * tile_len(U::WORDS, kk);
        let panels_at = tiles.wrapping_add(panels_at.next_multiple_of(CACHE_LINE / 4));
        loop {
            let mut at = panels_at;
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
                    let lanes = U::S::LANES;
                    let registers = [0, lanes].map(|from| Columns {
                        from: next.1 + from,
                        n: cols.saturating_sub(from).min(lanes),
                        to: at.add(from),
                        width: nr,
                    });
                    let lines = self.lines(kk);
                    U::vectorize(RoundTerms::<U> {
                        terms,
                        columns: &registers,
                        lines,
                        sum: std::ptr::null_mut(),
                        add: false,
                        of: PhantomData,
                    });
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
            // SAFETY: the panels are behind the tiles.
            unsafe { self.some((k0, kk, then), add, bias, &panels, tiles) };
            bias = false;
        }
    }

    /// Lines of so many terms.
    fn lines(&self, kk: usize) -> usize {
        lines(self.tiles, kk)
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

    /// Rounds δ and multiplies it by the panels; with `bias`, also sums it. Meanwhile, the δ that comes next is prefetched,
    /// at last that of the terms from `then` on.
    ///
    /// # Safety
    /// As [`outer`]; `at` has room for [`TILES`] tiles.
    unsafe fn some(
        &self,
        (k0, kk, then): (usize, usize, usize),
        add: bool,
        bias: bool,
        panels: &[Option<RhsPanel<'_>>],
        at: *mut u32,
    ) {
        const { assert!(U::S::MR <= U::S::LANES, "a tile of δ fits a register") };
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
                let mut columns = [Columns::NONE; TILES];
                for t in t0..t1 {
                    let n = rows(t + 1) - rows(t);
                    columns[t - t0] = Columns {
                        from: rows(t),
                        n,
                        to: at.wrapping_add((t - t0) * tile_len(U::WORDS, kk)),
                        width: if self.tiles { TILE_ROWS } else { n },
                    };
                }
                let columns = &columns[..t1 - t0];
                let sum = match bias {
                    true => piece(pieces, rows(t0)),
                    false => std::ptr::null_mut(),
                };
                // SAFETY: these columns of δ exist, at most a register per tile; the piece contains them, because tiles end at
                // its boundaries; scratch has room for the tiles.
                unsafe {
                    U::vectorize(RoundTerms::<U> {
                        terms,
                        columns,
                        lines: self.lines(kk),
                        sum,
                        add,
                        of: PhantomData,
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
                    self.multiply((kk, add), panels, columns, &mut ahead);
                }
            }
            i = end;
        }
    }

    /// Multiplies tiles of δ, which follow each other, by the panels.
    ///
    /// # Safety
    /// As for `some`.
    unsafe fn multiply(
        &self,
        (kk, add): (usize, bool),
        panels: &[Option<RhsPanel<'_>>],
        deltas: &[Columns],
        ahead: &mut Streams<f32>,
    ) {
        let start = SumStart::adding(add);
        let row = deltas[0].from;
        // SAFETY: the caller guarantees scratch; a destination contains whole tiles, because tiles and panels end at its
        // boundaries.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if self.tiles {
                let lines = self.lines(kk);
                for tile in deltas {
                    super::tiles::transpose(tile.to, lines, tile.to.add(lines * TILE_ROWS));
                }
            }
            for p in panels.iter().flatten() {
                let blocks = list(p.rhs.dst, p.rhs.n_dst);
                let Some((c, ldc)) = place(blocks, row, p.col) else {
                    continue;
                };
                #[cfg(target_arch = "x86_64")]
                if self.tiles {
                    let lines = self.lines(kk);
                    super::tiles::outer(&super::tiles::OuterTiles {
                        lines,
                        a: deltas[0].to.add(lines * TILE_ROWS),
                        a_tile: tile_len(U::WORDS, kk),
                        b: p.at,
                        c,
                        ldc,
                        rows: deltas.iter().map(|tile| tile.n).sum(),
                        cols: p.cols,
                        start,
                    });
                    continue;
                }
                for &Columns { from, n, to, .. } in deltas {
                    let operands = Tile {
                        pairs: kk.div_ceil(2),
                        a: to,
                        a_row: 1,
                        a_pair: n * U::WORDS,
                        a_second: n,
                        b: p.at,
                        panel: 0,
                        c: c.add((from - row) * ldc),
                        ldc,
                        cols: p.cols,
                        start,
                        far: true,
                        ahead: match n < AHEAD_FROM {
                            true => Ahead::nothing(c),
                            false => ahead.pop().unwrap_or(Ahead::nothing(c)),
                        },
                    };
                    tile::<U>(n, 1, &operands);
                }
            }
        }
    }
}

/// Columns of terms that become a register of each line, at most as many as that has lanes.
#[derive(Clone, Copy)]
struct Columns {
    from: usize,
    n: usize,
    /// Where the register of the first line is.
    to: *mut u32,
    /// Columns of a line.
    width: usize,
}

impl Columns {
    const NONE: Self = Columns {
        from: 0,
        n: 0,
        to: std::ptr::null_mut(),
        width: 0,
    };
}

/// Rounds columns of terms into `lines` lines, zeros behind the last term, and adds them up, not rounded, from `sum` on in turn
/// unless that is null.
struct RoundTerms<'a, U> {
    terms: Terms<f32>,
    /// 1 to [`TILES`].
    columns: &'a [Columns],
    lines: usize,
    sum: *mut f32,
    add: bool,
    of: PhantomData<U>,
}

impl<U: Unit> SimdOp for RoundTerms<'_, U> {
    #[inline(always)]
    unsafe fn run(self) {
        const { assert!(TILES == 4) };
        // SAFETY: guaranteed by the caller.
        unsafe {
            match *self.columns {
                [a] => self.all([a]),
                [a, b] => self.all([a, b]),
                [a, b, c] => self.all([a, b, c]),
                [a, b, c, d] => self.all([a, b, c, d]),
                _ => unreachable!("at most so many"),
            }
        }
    }
}

impl<U: Unit> RoundTerms<'_, U> {
    /// What is of each term stays in registers, as many as a constant says.
    ///
    /// # Safety
    /// The terms' columns and the lines must exist; a whole register of the last one is stored. `sum` must hold all columns.
    #[inline(always)]
    unsafe fn all<const N: usize>(&self, columns: [Columns; N]) {
        let (kk, sums) = (self.terms.count(), !self.sum.is_null());
        let lanes = columns.map(|c| U::first(c.n));
        let mut to = columns.map(|c| c.to);
        let mut terms = self.terms.one_by_one();
        // SAFETY: guaranteed by the caller. In ascending order a register's excess is overwritten by the next line.
        unsafe {
            let mut acc = [U::S::zero(); N];
            for _ in 0..kk / 2 {
                let pair = [terms.next(), terms.next()];
                for i in 0..N {
                    let Columns { from, n, width, .. } = columns[i];
                    let pair = pair.map(|term| term.wrapping_add(from));
                    if sums {
                        acc[i] = U::S::add(acc[i], U::S::load_up_to(pair[0], n));
                        acc[i] = U::S::add(acc[i], U::S::load_up_to(pair[1], n));
                    }
                    U::pairs(pair, [lanes[i]; 2], to[i], width);
                    to[i] = to[i].add(width * U::WORDS);
                }
            }
            if kk % 2 == 1 {
                let term = terms.next();
                for i in 0..N {
                    let Columns { from, n, width, .. } = columns[i];
                    let term = term.wrapping_add(from);
                    if sums {
                        acc[i] = U::S::add(acc[i], U::S::load_up_to(term, n));
                    }
                    U::pairs([term; 2], [lanes[i], U::first(0)], to[i], width);
                    to[i] = to[i].add(width * U::WORDS);
                }
            }
            let none = U::first(0);
            let mut sum = self.sum;
            for i in 0..N {
                let Columns { n, width, .. } = columns[i];
                for _ in kk.div_ceil(2)..self.lines {
                    U::pairs([std::ptr::null(); 2], [none; 2], to[i], width);
                    to[i] = to[i].add(width * U::WORDS);
                }
                if sums {
                    store_sum::<U::S>(sum, n, acc[i], self.add);
                    sum = sum.add(n);
                }
            }
        }
    }
}
