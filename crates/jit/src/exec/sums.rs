//! Sums over time and batch: weight gradients by the packed kernels, everything else by the kernels for vectors and
//! rows.
//!
//! Invariant: a sum has one order, however it is cut: pieces are rows of the batch, or of the result, or columns.

use std::sync::atomic::Ordering;

use retrograd_graph::plan::{BlockAt, Item, Rhs as PlanRhs, View};
use retrograd_kernels::{
    AlignedBuffer, BlockMut, Kernels, OuterArgs, OuterRhs, PieceMut, RowOuterArgs,
};
use retrograd_tape::{Domain, Real};

use super::code::unit;
use super::points::lag;
use super::{PlanExecution, SendPtr, StepRange, StridedPtr};
use crate::element::Element;

/// A sum to run: its points, and the number of pieces that it is cut into.
#[derive(Clone, Copy)]
struct SumRun<'a, T: retrograd_kernels::SimdElement> {
    kernels: &'a Kernels<T>,
    steps: usize,
    rows: usize,
    span: StepRange,
    pieces: usize,
}

/// A weight gradient: the left vectors with their length, the right-hand sides, and the destinations of Σ δ.
struct Gradient<'a> {
    domain: Domain,
    delta: (View, usize),
    /// Vectors are rounded.
    bf16: bool,
    rhs: &'a [PlanRhs],
    bias: &'a [BlockAt],
}

impl<T: Element> PlanExecution<'_, T> {
    /// Runs a sum of the plan.
    pub(super) fn sum(&mut self, kernels: &Kernels<T>, item: &Item, span: StepRange) {
        let pieces = self.pieces(item, span);
        match item {
            Item::Outer {
                domain,
                delta,
                len,
                bf16,
                rhs,
                bias,
            } => {
                let gradient = Gradient {
                    domain: *domain,
                    delta: (*delta, *len),
                    bf16: *bf16,
                    rhs,
                    bias,
                };
                let sum = self.whole(kernels, *domain, (span, pieces));
                self.weight_gradient(sum, &gradient);
            }
            Item::SumTo {
                domain,
                to,
                x,
                parts,
                ..
            } => self.in_runs(kernels, *domain, (span, pieces), &[*x], |sum| {
                self.sum_to(sum, *to, *x, parts);
            }),
            Item::OuterTo {
                domain,
                to,
                a,
                b,
                y,
            } => {
                debug_assert_eq!(*to, Domain::Row);
                self.in_runs(kernels, *domain, (span, pieces), &[a.0, b.0], |sum| {
                    self.outer_to(sum, *a, *b, *y);
                });
            }
            Item::Scatter {
                domain,
                to,
                rows,
                cols,
                index,
                v,
                y,
            } => self.in_runs(kernels, *domain, (span, pieces), &[*index, *v], |sum| {
                self.scatter(sum, *to, (*rows, *cols), (*index, *v), *y);
            }),
            Item::Pack(_)
            | Item::Loop(_)
            | Item::TimeTile { .. }
            | Item::Sweep { .. }
            | Item::Product { .. } => {
                unreachable!("no sums")
            }
        }
    }

    /// A sum over all of a span, whose rows may have different lengths.
    fn whole<'k>(
        &self,
        kernels: &'k Kernels<T>,
        domain: Domain,
        (span, pieces): (StepRange, usize),
    ) -> SumRun<'k, T> {
        SumRun {
            kernels,
            steps: domain.steps(span.t1 - span.t0),
            rows: domain.rows(self.points.rows),
            span,
            pieces,
        }
    }

    /// Calls `f` with the parts of a sum in order, in each of which all steps have the same rows, at the same distances in
    /// the arrays of the views. Rows beyond those of the first part have no terms, and sums of them start as zero.
    fn in_runs<'k>(
        &self,
        kernels: &'k Kernels<T>,
        domain: Domain,
        (span, pieces): (StepRange, usize),
        views: &[View],
        f: impl Fn(SumRun<'k, T>),
    ) {
        let whole = self.whole(kernels, domain, (span, pieces));
        if domain != Domain::Step || !self.points.ragged() {
            return f(whole);
        }
        let over_steps = |v: &&View| self.plan.buffers[v.buffer].domain == Domain::Step;
        let lags = views.iter().filter(over_steps);
        let lags = lags.map(|v| lag(&self.plan.buffers[v.buffer], *v));
        let most = lags.max().unwrap_or(0) as usize;
        if span.first {
            // All results begin as sums of no terms.
            let none = StepRange {
                t1: span.t0,
                ..span
            };
            f(SumRun {
                steps: 0,
                span: none,
                ..whole
            });
        }
        let table = &self.workspace.table;
        table.each_run((span.t0, span.t1), most, false, |t0, t1, rows| {
            let span = StepRange {
                t0,
                t1,
                first: false,
            };
            f(SumRun {
                steps: t1 - t0,
                rows,
                span,
                ..whole
            });
        });
    }

    /// Σ δ xᵀ, cut by the rows of the results.
    fn weight_gradient(&mut self, sum: SumRun<'_, T>, gradient: &Gradient<'_>) {
        let (kernels, span) = (sum.kernels, sum.span);
        let (delta, len) = gradient.delta;
        let over_steps = gradient.domain == Domain::Step;
        let d = self.strided(delta, span.t0);
        let mut lists = std::mem::take(&mut self.workspace.lists);
        lists.blocks.clear();
        lists.sides.clear();
        lists.pieces.clear();
        for x in gradient.rhs.iter().flat_map(|r| &r.to) {
            lists.blocks.push(BlockMut {
                ptr: self.strided(x.view, span.t0).at,
                ld: x.ld,
                row: x.row,
                col: x.col,
                rows: x.rows,
                cols: x.cols,
            });
        }
        let mut blocks = lists.blocks.as_slice();
        for r in gradient.rhs {
            let x = self.strided(r.x, span.t0);
            let (own, rest) = blocks.split_at(r.to.len());
            blocks = rest;
            lists.sides.push(OuterRhs {
                ptr: x.at,
                step_stride: x.step,
                row_stride: x.row,
                lag: self.lag(r.x),
                n: r.len,
                dst: own.as_ptr(),
                n_dst: own.len(),
            });
        }
        for x in gradient.bias {
            lists.pieces.push(PieceMut {
                ptr: self.strided(x.view, span.t0).at,
                start: x.col,
                len: x.cols,
            });
        }
        let args = OuterArgs {
            delta: d.at,
            step_stride: d.step,
            row_stride: d.row,
            lag: self.lag(delta),
            m: len,
            steps: sum.steps,
            rows: sum.rows,
            starts: match over_steps && self.points.ragged() {
                true => self.workspace.table.step_0().wrapping_add(span.t0),
                false => std::ptr::null(),
            },
            rhs: lists.sides.as_ptr(),
            n_rhs: lists.sides.len(),
            bias: lists.pieces.as_ptr(),
            n_bias: lists.pieces.len(),
            unit: gradient.bf16.then(|| unit(self.plan.target)),
            add: !span.first,
        };
        let pieces = sum.pieces.min(self.workspace.scratch.len());
        let scratch = &mut self.workspace.scratch[..pieces];
        let slice = len.div_ceil(pieces).next_multiple_of(kernels.tile_rows);
        let args = SendPtr(&args);
        let scratch = SendPtr(scratch.as_mut_ptr());
        let part = |i: usize| {
            let args = &args;
            // SAFETY: each part has the scratch of its number, which no other part touches.
            let s: &mut AlignedBuffer<T> = unsafe { &mut *{ &scratch }.0.add(i) };
            let (i0, i1) = ((i * slice).min(len), ((i + 1) * slice).min(len));
            #[cfg(feature = "faults")]
            let i1 = i1 - lost(i, pieces, i1 - i0);
            if i0 < i1 {
                // SAFETY: all vectors and destinations lie in arrays of checked length; each part writes its own rows
                // of the results, and has a scratch of its own, of the length that the kernels require.
                unsafe { (kernels.outer)(args.0, i0, i1, s.as_mut_ptr()) };
            }
        };
        self.share(pieces, pieces, part);
        self.workspace.lists = lists;
    }

    /// The steps by which a view's entries of the table lag behind.
    fn lag(&self, v: View) -> usize {
        let buffer = &self.plan.buffers[v.buffer];
        match buffer.domain {
            Domain::Step if !v.from_end => lag(buffer, v) as usize,
            _ => 0,
        }
    }

    /// Sums of vectors: a single one, cut by columns, or one per row, cut by rows.
    fn sum_to(&self, sum: SumRun<'_, T>, to: Domain, x: View, parts: &[BlockAt]) {
        let x = self.strided(x, sum.span.t0);
        // The domains below a step are `row` and `once`.
        let (sums, over) = match to {
            Domain::Once => (1, sum.rows),
            _ => (sum.rows, 1),
        };
        for part in parts {
            let places = SendPtr((x, self.strided(part.view, sum.span.t0)));
            let cols = part.cols;
            // Rows and columns of the result.
            let some = |r0: usize, r1: usize, c0: usize, c1: usize| {
                let (x, y) = { &places }.0;
                // SAFETY: the vectors lie in arrays of checked length; parts share no number of the results.
                unsafe {
                    let (src, dst) = (x.at.add(part.col + c0), y.at.add(c0));
                    match (x.step, x.row) {
                        (0, 0) if sum.steps > 0 => sum.multiples(
                            steps_as_number(sum.steps * over),
                            src,
                            dst,
                            y,
                            (r0, r1),
                            c1 - c0,
                        ),
                        _ => sum.vectors(over, (src, x), (dst, y), (r0, r1), c1 - c0),
                    }
                }
            };
            if sums == 1 {
                self.cut(cols, sum.pieces, LINE, |c0, c1| some(0, 1, c0, c1));
            } else {
                self.cut(sums, sum.pieces, 1, |r0, r1| some(r0, r1, 0, cols));
            }
        }
    }

    /// Σ a bᵀ for each row separately, cut by rows.
    fn outer_to(&self, sum: SumRun<'_, T>, a: (View, usize), b: (View, usize), y: View) {
        let (m, n) = (a.1, b.1);
        let (a, b) = (
            self.strided(a.0, sum.span.t0),
            self.strided(b.0, sum.span.t0),
        );
        let y = self.strided(y, sum.span.t0);
        let args = RowOuterArgs {
            a: a.at,
            a_step: a.step,
            a_row: a.row,
            m,
            b: b.at,
            b_step: b.step,
            b_row: b.row,
            n,
            y: y.at,
            y_row: y.row,
            steps: sum.steps,
            add: !sum.span.first,
        };
        let args = SendPtr(args);
        self.cut(sum.rows, sum.pieces, 1, |b0, b1| {
            let args = &{ &args }.0;
            // SAFETY: vectors and matrices of these rows lie in arrays of checked length; each part writes its own
            // rows.
            unsafe { (sum.kernels.row_outer)(args, b0, b1) }
        });
    }

    /// Vectors added to rows of a table by index. If each row of the batch has a table, the work is cut by batch rows;
    /// if there is one table, by its rows: every piece visits all points, and so keeps their order.
    fn scatter(
        &self,
        sum: SumRun<'_, T>,
        to: Domain,
        (lines, cols): (usize, usize),
        (index, v): (View, View),
        y: View,
    ) {
        let views = [index, v, y].map(|v| self.strided(v, sum.span.t0));
        let views = SendPtr(views);
        let some = |r0: usize, r1: usize, l0: usize, l1: usize| {
            let [i, v, y] = { &views }.0;
            if sum.span.first {
                let tables = if to == Domain::Once { 0..1 } else { r0..r1 };
                for r in tables {
                    // SAFETY: these rows of a table exist, and are this piece's own.
                    unsafe {
                        let from = y.at.add(r * y.row + l0 * cols);
                        std::slice::from_raw_parts_mut(from, (l1 - l0) * cols)
                    }
                    .fill(T::default());
                }
            }
            for t in 0..sum.steps {
                for r in r0..r1 {
                    // SAFETY: step t and row r of index and vector exist, and so does the line.
                    unsafe {
                        let at = *i.at.add(t * i.step + r * i.row);
                        let Some(line) = at.row_of(lines) else {
                            self.frame.outside.store(1, Ordering::Relaxed);
                            continue;
                        };
                        if (l0..l1).contains(&line) {
                            let from = v.at.add(t * v.step + r * v.row);
                            let to = y.at.add(r * y.row + line * cols);
                            (sum.kernels.sum_rows)(from, 0, 0, 1, 1, cols, to, 1);
                        }
                    }
                }
            }
        };
        match to {
            Domain::Once => self.cut(lines, sum.pieces, 1, |l0, l1| some(0, sum.rows, l0, l1)),
            _ => self.cut(sum.rows, sum.pieces, 1, |r0, r1| some(r0, r1, 0, lines)),
        }
    }
}

impl<T: Element> SumRun<'_, T> {
    /// Rows `rows` of a result: Σ over steps and `over` rows of vectors from `src` on, `n` columns at `dst`.
    ///
    /// # Safety
    /// They must lie in their arrays, and nobody else may touch these results.
    unsafe fn vectors(
        &self,
        over: usize,
        (src, x): (*mut T, StridedPtr<T>),
        (dst, y): (*mut T, StridedPtr<T>),
        rows: (usize, usize),
        n: usize,
    ) {
        let add = u32::from(!self.span.first);
        for r in rows.0..rows.1 {
            // SAFETY: passed on to the caller.
            unsafe {
                let (src, dst) = (src.add(r * x.row), dst.add(r * y.row));
                (self.kernels.sum_rows)(src, x.step, x.row, self.steps, over, n, dst, add);
            }
        }
    }

    /// As [`vectors`](Self::vectors), for a vector that is the same at all of `points` points, such as the default
    /// weight of a loss: multiplied by their number.
    ///
    /// # Safety
    /// As there.
    unsafe fn multiples(
        &self,
        points: T,
        src: *mut T,
        dst: *mut T,
        y: StridedPtr<T>,
        rows: (usize, usize),
        n: usize,
    ) {
        let args = RowOuterArgs {
            a: &points,
            a_step: 0,
            a_row: 0,
            m: 1,
            b: src.cast_const(),
            b_step: 0,
            b_row: 0,
            n,
            y: dst,
            y_row: y.row,
            steps: 1,
            add: !self.span.first,
        };
        // SAFETY: passed on to the caller.
        unsafe { (self.kernels.row_outer)(&args, rows.0, rows.1) }
    }
}

fn steps_as_number<T: Element>(n: usize) -> T {
    <T as Real>::from_f64(n as f64)
}

/// What a piece loses to a race with the next.
#[cfg(feature = "faults")]
fn lost(i: usize, pieces: usize, n: usize) -> usize {
    let races = retrograd_tape::faults::active(retrograd_tape::faults::Fault::Race);
    usize::from(races && pieces > 1 && i == 0 && n > 0)
}

/// Minimal number of columns of a piece: a cache line of the smaller numbers.
const LINE: usize = 16;

impl<T: Element> PlanExecution<'_, T> {
    /// Calls `f` for parts of `0..n`, of lengths that are multiples of `unit` except the last, this many at a time.
    fn cut(&self, n: usize, pieces: usize, unit: usize, f: impl Fn(usize, usize) + Sync) {
        let slice = n.div_ceil(pieces).next_multiple_of(unit);
        let part = |i: usize| {
            let (from, to) = (i * slice, n.min((i + 1) * slice));
            #[cfg(feature = "faults")]
            let to = to - lost(i, pieces, to.saturating_sub(from));
            f(from, to);
        };
        match n {
            0 => {}
            n => self.share(pieces, n.div_ceil(slice), part),
        }
    }
}
