//! Σ δ rᵀ over a whole sequence, for all right-hand sides of the same δ together, and Σ δ in the same pass.
//!
//! For weight and bias gradients. K = steps · rows is divided into blocks of [`K_BLOCK`]; in each, panels of the
//! right-hand sides are packed until they fill half of L2, then δ is packed a few tiles at a time and multiplied by all
//! of them. If these are few panels, δ is read where it lies. Panels restart at the column boundaries of the destination
//! blocks, tiles at their row boundaries, so a tile always lies in one destination, and nothing is scattered; but for a few
//! columns before a boundary (`narrow`). A panel stays in L1 for the tiles of δ packed together. Meanwhile, what is packed
//! next is prefetched (`ahead`).
//!
//! Invariant: an element of a result is summed over K in ascending order in blocks that start at multiples of
//! [`K_BLOCK`], regardless of the range of rows and of the tile that contains it.

use crate::ahead::{Ahead, Streams};
use crate::bf16;
use crate::destinations::{boundary, piece, place};
use crate::memory::CACHE_LINE;
use crate::micro::{AHEAD_FROM, PACKED, SumStart, TERMS, TileArgs, part, tile};
use crate::narrow::{NarrowTiles, PackColumns, most};
use crate::simd::Simd;
use crate::terms::{PackDelta, PackRhs, TILES, Terms, tile_len};
use crate::types::{OuterArgs, OuterRhs, PieceMut, list};
use std::marker::PhantomData;

/// Terms of a K block (measured in `ceiling/`, Zen 4): with AVX-512 a panel's block and a tile of δ fit 48 KiB of L1 together,
/// and either alone 32 KiB.
const K_BLOCK: usize = 256;
/// Most panels for which δ is not packed, and most bytes from one term to the next: with more panels packing pays, and terms that
/// are farther apart compete for the same sets of L1 (docs/PERFORMANCE.md).
const IN_PLACE: (usize, usize) = (4, 2 << 10);
/// Bytes of panels packed together: half of a megabyte of L2.
const PANEL_BYTES: usize = 512 << 10;
/// Most panels packed together: the number that fills those bytes with AVX2; AVX-512 needs half as many.
const MAX_PANELS: usize = 32;

/// The terms that [`Kernels::outer`](crate::Kernels::outer) adds at a time: results are read and written once for each
/// block of so many, of f32 and f64 or of bfloat16 operands.
pub const fn outer_terms(bf16: bool) -> usize {
    match bf16 {
        false => K_BLOCK,
        true => bf16::OUTER_TERMS,
    }
}

/// Elements of scratch for `k` terms and panels of `n` columns in `runs` runs.
pub(crate) fn scratch_len<S: Simd>(k: usize, n: usize, runs: usize) -> usize {
    let k = k.min(K_BLOCK);
    // A run may end with half a panel and a few columns.
    let panels = (n / S::NR + 2 * runs.max(1)).min(panels_together::<S>());
    panels * k * S::NR + TILES * tile_len::<S>(k) + CACHE_LINE / size_of::<S::T>()
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
        let scratch = scratch.add(
            scratch
                .align_offset(CACHE_LINE)
                .min(CACHE_LINE / size_of::<S::T>()),
        );
        let run = Outer::<S> {
            args,
            rhs: list(args.rhs, args.n_rhs),
            bias: list(args.bias, args.n_bias),
            rows: i0..i1,
            scratch,
            set: PhantomData,
        };
        run.all(args.terms());
    }
}

/// Columns `col .. col + cols` of a right-hand side, packed as a panel, or column by column if they are `narrow`.
struct RhsPanel<'a, T> {
    rhs: &'a OuterRhs<T>,
    col: usize,
    cols: usize,
    narrow: bool,
}

/// A block of terms with the panels that are packed together.
struct Pass<'a, T> {
    k0: usize,
    kk: usize,
    panels: [Option<RhsPanel<'a, T>>; MAX_PANELS],
    /// After the panels: right-hand side and column.
    end: (usize, usize),
    /// Whether the block has had none before.
    first: bool,
}

impl<'a, T> Pass<'a, T> {
    /// Its panels, and where each is packed.
    fn packed(&self, at: *mut T, nr: usize) -> impl Iterator<Item = (&RhsPanel<'a, T>, *mut T)> {
        let each = self.kk * nr;
        let panels = self.panels.iter().flatten().enumerate();
        panels.map(move |(i, p)| (p, at.wrapping_add(i * each)))
    }

    /// Whether δ, whose terms are so far apart, is multiplied where it lies: packing it costs more than it saves if it is read
    /// only a few times.
    fn reads_in_place(&self, step: usize) -> bool {
        let panels = || self.panels.iter().flatten();
        panels().count() <= IN_PLACE.0
            && panels().all(|p| !p.narrow)
            && step.saturating_mul(size_of::<T>()) <= IN_PLACE.1
    }
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

impl<'a, S: Simd> Outer<'a, S> {
    /// All `k` terms.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn all(&self, k: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            // One pass even without terms, to overwrite with zeros.
            let mut next = self.pass(0, k, None);
            while let Some(pass) = next {
                next = match self.pass(pass.k0, k, Some(pass.end)) {
                    None if pass.k0 + pass.kk < k => self.pass(pass.k0 + pass.kk, k, None),
                    more => more,
                };
                let end = self.pack(&pass);
                self.tiles(&pass, next.as_ref(), end);
            }
        }
    }

    /// The panels of the block from term `k0` on after those that ended `before`, at a right-hand side and column; `None`
    /// if nothing is left of it.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn pass(
        &self,
        k0: usize,
        k: usize,
        before: Option<(usize, usize)>,
    ) -> Option<Pass<'a, S::T>> {
        let (first, mut next) = (before.is_none(), before.unwrap_or((0, 0)));
        let mut panels = [const { None }; MAX_PANELS];
        for panel in panels.iter_mut().take(panels_together::<S>()) {
            while self.rhs.get(next.0).is_some_and(|r| next.1 >= r.n) {
                next = (next.0 + 1, 0);
            }
            let Some(rhs) = self.rhs.get(next.0) else {
                break;
            };
            // SAFETY: guaranteed by the caller.
            let blocks = unsafe { list(rhs.dst, rhs.n_dst) };
            let end = boundary(blocks, rhs.n, |b| (b.col, b.cols), next.1);
            let few = (end - next.1) % S::LANES;
            let few = if few <= most::<S>() { few } else { 0 };
            // Whole registers first.
            let left = end - next.1 - few;
            let narrow = left == 0;
            let cols = if narrow { few } else { S::NR.min(left) };
            let col = next.1;
            *panel = Some(RhsPanel {
                rhs,
                col,
                cols,
                narrow,
            });
            next.1 += cols;
        }
        let left = panels[0].is_some() || first && !self.bias.is_empty();
        left.then_some(Pass {
            k0,
            kk: K_BLOCK.min(k - k0),
            panels,
            end: next,
            first,
        })
    }

    /// The terms of a right-hand side in a pass.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn terms(&self, rhs: &OuterRhs<S::T>, pass: &Pass<'_, S::T>) -> Terms<S::T> {
        let strides = (rhs.step_stride, rhs.row_stride, rhs.lag);
        // SAFETY: the caller guarantees the table.
        unsafe { Terms::new(rhs.ptr, strides, self.args, pass.k0, pass.kk) }
    }

    /// The terms of δ in a pass.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn deltas(&self, pass: &Pass<'_, S::T>) -> Terms<S::T> {
        let args = self.args;
        let strides = (args.step_stride, args.row_stride, args.lag);
        // SAFETY: the caller guarantees the table.
        unsafe { Terms::new(args.delta, strides, args, pass.k0, pass.kk) }
    }

    /// Packs the panels of a pass; the rest of scratch begins at the end.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn pack(&self, pass: &Pass<'_, S::T>) -> *mut S::T {
        let mut end = self.scratch;
        for (panel, out) in pass.packed(self.scratch, S::NR) {
            let &RhsPanel { col, cols, .. } = panel;
            let set = PhantomData;
            // SAFETY: the caller guarantees the blocks; the panel's columns exist; scratch has room for them.
            unsafe {
                let terms = self.terms(panel.rhs, pass);
                if panel.narrow {
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
            }
            end = out.wrapping_add(pass.kk * S::NR);
        }
        end
    }

    /// The first boundary of a destination or of a piece of Σ δ after row `i`.
    ///
    /// # Safety
    /// As [`outer`].
    unsafe fn end_of_rows(&self, i: usize) -> usize {
        let mut end = boundary(self.bias, self.rows.end, |p| (p.start, p.len), i);
        for r in self.rhs {
            // SAFETY: the caller guarantees the list.
            end = boundary(unsafe { list(r.dst, r.n_dst) }, end, |b| (b.row, b.rows), i);
        }
        end
    }

    /// Packs δ, unless it is read where it lies, and multiplies it by the panels; in the first pass of a block, also sums it.
    /// Meanwhile, what comes next is prefetched: it lies beyond L2, and the machine would wait for it.
    ///
    /// # Safety
    /// As [`outer`]; the panels are packed, and `at` has room for [`TILES`] tiles.
    unsafe fn tiles(&self, pass: &Pass<'_, S::T>, next: Option<&Pass<'_, S::T>>, at: *mut S::T) {
        let kk = pass.kk;
        let add = pass.k0 > 0 || self.args.add;
        // SAFETY: as the caller guarantees.
        let terms = unsafe { self.deltas(pass) };
        let in_place = terms.evenly().filter(|t| pass.reads_in_place(t.1));
        let (mut ahead, mut panels_ahead) = (Streams::none(kk), Streams::none(kk));
        // Smaller tiles prefetch nothing.
        let prefetches = S::MR >= AHEAD_FROM;
        if let Some(next) = next.filter(|_| prefetches) {
            for panel in next.panels.iter().flatten() {
                // SAFETY: as the caller guarantees.
                panels_ahead.push(
                    &unsafe { self.terms(panel.rhs, next) },
                    panel.col,
                    panel.cols,
                );
            }
        }
        let mut i = self.rows.start;
        while i < self.rows.end {
            // SAFETY: as the caller guarantees.
            let end = unsafe { self.end_of_rows(i) };
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
                let sum = if pass.first {
                    piece(self.bias, col)
                } else {
                    std::ptr::null_mut()
                };
                let set = PhantomData;
                let tile_len = tile_len::<S>(kk);
                if in_place.is_none() || !sum.is_null() {
                    // SAFETY: these columns of δ exist, at most MR per tile; the piece contains them, because tiles end
                    // at its boundaries; scratch has room for the tiles.
                    unsafe {
                        S::vectorize(PackDelta::<S> {
                            terms,
                            col,
                            cols,
                            pack: in_place.is_none(),
                            out: at,
                            tile: tile_len,
                            sum,
                            add,
                            set,
                        })
                    };
                }
                // What is packed or read after these tiles comes first.
                ahead.clear();
                let width = TILES * S::MR;
                match (rows(t1 - 1).1, next) {
                    _ if !prefetches => {}
                    (col, _) if col < self.rows.end => {
                        ahead.push(&terms, col, width.min(self.rows.end - col));
                    }
                    (_, Some(next)) => {
                        // SAFETY: as the caller guarantees.
                        let terms = unsafe { self.deltas(next) };
                        let col = self.rows.start;
                        ahead.push(&terms, col, width.min(self.rows.end - col));
                    }
                    (_, None) => {}
                }
                let mut prefetched = |rows| match rows < AHEAD_FROM {
                    true => None,
                    false => ahead.pop().or_else(|| panels_ahead.pop()),
                };
                let panels = pass.packed(self.scratch, S::NR);
                for (p, packed) in panels.filter(|(p, _)| !p.narrow) {
                    for t in t0..t1 {
                        let (r0, r1) = rows(t);
                        // SAFETY: the destination contains the whole tile, because tiles and panels end at its boundaries; δ is
                        // packed, or has these columns of all terms, `step` apart.
                        unsafe {
                            let blocks = list(p.rhs.dst, p.rhs.n_dst);
                            let Some((c, ldc)) = place(blocks, r0, p.col) else {
                                continue;
                            };
                            let (a, lda) = match in_place {
                                Some((first, step)) => (first.wrapping_add(r0), step),
                                None => (at.add((t - t0) * tile_len).cast_const(), 0),
                            };
                            let operands = TileArgs {
                                k: kk,
                                a,
                                lda,
                                b: packed,
                                panel: 0,
                                c,
                                ldc,
                                cols: p.cols,
                                start: SumStart::adding(add),
                                ahead: prefetched(r1 - r0).unwrap_or(Ahead::nothing(c)),
                            };
                            match in_place {
                                Some(_) => tile::<S, TERMS>(r1 - r0, 1, &operands),
                                None => tile::<S, PACKED>(r1 - r0, 1, &operands),
                            }
                        }
                    }
                }
                // SAFETY: as above; there is room for all tiles.
                unsafe { self.narrow(pass, add, (at, &cols), |t| rows(t0 + t).0) };
            }
            i = end;
        }
    }

    /// The columns that are not in panels, two at a time, for the packed tiles of δ: their address, the rows of each, and the
    /// first of them.
    ///
    /// # Safety
    /// As [`outer`]; the destinations contain whole tiles.
    unsafe fn narrow(
        &self,
        pass: &Pass<'_, S::T>,
        add: bool,
        (a, rows): (*const S::T, &[usize; TILES]),
        first: impl Fn(usize) -> usize,
    ) {
        let kk = pass.kk;
        let mut all = (pass.packed(self.scratch, S::NR))
            .filter(|(p, _)| p.narrow)
            .flat_map(|(p, at)| (0..p.cols).map(move |c| (p, at, c)));
        // The address of a column, and of the column in each tile's rows.
        let column = |(p, at, c): (&RhsPanel<S::T>, *mut S::T, usize)| {
            let to = std::array::from_fn(|t| {
                // SAFETY: the caller guarantees the list.
                let blocks = unsafe { list(p.rhs.dst, p.rhs.n_dst) };
                let there = || place(blocks, first(t), p.col + c);
                let there = if rows[t] > 0 { there() } else { None };
                there.unwrap_or((std::ptr::null_mut(), 0))
            });
            (at.wrapping_add(c * kk).cast_const(), to)
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
