//! Loops, and the tiles of time that they share with products.
//!
//! Invariant: code is called for steps that the first of its rows has. It computes itself how many of its rows have each
//! step; with time innermost, that is the same for all steps of a call.

use std::sync::atomic::{AtomicUsize, Ordering};

use retrograd_graph::plan::{Innermost, Item, Loop, LoopKind, SliceWork, Slices};
use retrograd_kernels::Kernels;
use retrograd_tape::Domain;

use super::cut::Division;
use super::halves::Divided;
use super::products::Columns;
use super::{PlanExecution, StepRange};
use crate::element::Element;

/// Maximal product of rows and steps that a recurrence with time innermost does at a time. A tile touches one cache
/// line per step, far apart from each other if there are many rows, and more of them than the hardware prefetches for
/// cost more than a state in memory does: of 64, 128, 256, 1024 and all, 64 is the fastest (docs/PERFORMANCE.md).
const INSIDE: usize = 64;

impl<T: Element> PlanExecution<'_, T> {
    /// Calls `f` for slices of the rows of an item, this many pieces at a time.
    fn over_slices(&self, work: SliceWork, pieces: usize, f: impl Fn(usize, usize) + Sync) {
        let rows = self.points.rows;
        let slice = Slices::of(self.plan.target).rows(work, size_of::<T>(), rows, pieces);
        let part = |i: usize| f(i * slice, rows.min((i + 1) * slice));
        self.share(pieces, rows.div_ceil(slice), part);
    }

    /// Calls `f` for slices of the rows of a recurrence or a time tile, as it is divided, with who divides its products.
    fn over_rows(
        &self,
        work: SliceWork,
        division: Division,
        f: impl Fn(usize, usize, Option<Divided<'_>>) + Sync,
    ) {
        match self.divided(division) {
            // This thread does all rows.
            Some(d) => d.during(|| self.over_slices(work, 1, |b0, b1| f(b0, b1, Some(d)))),
            None => self.over_slices(work, division.pieces(), |b0, b1| f(b0, b1, None)),
        }
    }

    /// Runs a loop; `item` is the same loop as an item.
    pub(super) fn run_loop(&self, l: &Loop, item: &Item, span: StepRange) {
        let (t0, t1) = match l.domain {
            Domain::Step => (span.t0, span.t1),
            other => (0, other.steps(0)),
        };
        let (steps, rows) = (t1 - t0, l.domain.rows(self.points.rows));
        let pieces = self.pieces(item, span);
        match l.kind {
            LoopKind::Recurrence { .. } => {
                let (work, division) = (self.efforts.of_slices(item), self.division(item, span));
                self.over_rows(work, division, |b0, b1, _| {
                    self.of_rows(l, (t0, t1), (b0, b1));
                });
            }
            LoopKind::Parallel if pieces <= 1 => self.of_rows(l, (t0, t1), (0, rows)),
            LoopKind::Parallel if steps >= rows => {
                let slice = steps.div_ceil(4 * pieces);
                self.share(pieces, steps.div_ceil(slice), |i| {
                    let from = t0 + i * slice;
                    self.of_rows(l, (from, t1.min(from + slice)), (0, rows));
                });
            }
            LoopKind::Parallel => {
                let slice = rows.div_ceil(4 * pieces);
                self.share(pieces, rows.div_ceil(slice), |i| {
                    let from = i * slice;
                    self.of_rows(l, (t0, t1), (from, rows.min(from + slice)));
                });
            }
        }
    }

    /// Runs a loop over those of some steps that rows b0 .. b1 have: a recurrence in its order, with time innermost where
    /// the steps of all rows lie at the same distance.
    fn of_rows(&self, l: &Loop, (t0, t1): (usize, usize), (b0, b1): (usize, usize)) {
        let f = self.code.of_loop(l.number);
        let call = |t0: usize, t1: usize, b1: usize| {
            // SAFETY: the frame's arrays have the lengths that the plan says, and hold the range. Loops write only at
            // their own points, and ranges given to different threads share none.
            unsafe { f.run(&self.frame, (t0, t1), (b0, b1)) }
        };
        let (LoopKind::Recurrence { reverse }, Innermost::Time(_)) = (l.kind, &l.inner) else {
            // No step that the first row lacks: there the code would count fewer rows than none.
            let end = match l.domain {
                Domain::Step => t1.min(self.points.length(b0)),
                _ => t1,
            };
            if t0 < end {
                call(t0, end, b1);
            }
            return;
        };
        let (table, lag) = (&self.workspace.table, self.access.lag(l.number));
        table.each_run((t0, t1), lag, reverse, |t0, t1, live| {
            let b1 = b1.min(live);
            if b0 < b1 {
                let most = (INSIDE / (b1 - b0)).max(1);
                in_blocks(most, reverse, (t0, t1), |t0, t1| call(t0, t1, b1));
            }
        });
    }

    /// Runs products, the loops over their results and the recurrence behind them, a few steps at a time; one item after the
    /// other if all steps are few.
    pub(super) fn time_tile(
        &mut self,
        kernels: &Kernels<T>,
        reverse: bool,
        (item, items): (&Item, &[Item]),
        span: StepRange,
    ) {
        let (steps, rows) = (span.t1 - span.t0, self.points.rows);
        let points = self.workspace.table.points(span.t0, span.t1);
        let sizes = (points, rows);
        if (self.efforts).is_one_tile((self.plan, item), sizes, size_of::<T>()) {
            for item in items {
                self.run_item(item, span);
            }
            return;
        }
        let (work, division) = (self.efforts.of_slices(item), self.division(item, span));
        let slices = Slices::of(self.plan.target);
        let most = slices.steps(self.plan, items, work, rows, size_of::<T>());
        let table = &self.workspace.table;
        let blocks = points.div_ceil(most * rows);
        // Points of a block.
        let length = steps.div_ceil(blocks) * rows;
        let made = AtomicUsize::new(0);
        self.over_rows(work, division, |b0, b1, divided| {
            let end = self.points.length(b0);
            for i in 0..blocks {
                let i = if reverse { blocks - 1 - i } else { i };
                let border = |i: usize| end.min(table.after(i * length, span.t0, span.t1));
                let steps = (border(i), border(i + 1));
                if steps.0 == steps.1 {
                    continue;
                }
                for item in items {
                    match item {
                        Item::Product { product, .. } => {
                            let calls = self.product_of_steps(
                                kernels,
                                (
                                    product,
                                    Columns::all(&self.workspace.weights[product.weight]),
                                ),
                                span,
                                steps,
                                (b0, b1),
                                divided,
                            );
                            made.fetch_add(calls, Ordering::Relaxed);
                        }
                        // The blocks come in the order of the recurrence.
                        Item::Loop(l) => self.of_rows(l, steps, (b0, b1)),
                        _ => unreachable!("a time tile has products and loops"),
                    }
                }
            }
        });
        self.calls.hoisted_products += made.into_inner();
    }
}

/// Calls `f` with blocks of at most `most` of the steps t0 .. t1, from the last to the first if `reverse`.
fn in_blocks(
    most: usize,
    reverse: bool,
    (t0, t1): (usize, usize),
    mut f: impl FnMut(usize, usize),
) {
    let blocks = (t1 - t0).div_ceil(most);
    for i in 0..blocks {
        let i = if reverse { blocks - 1 - i } else { i };
        let from = t0 + i * most;
        f(from, t1.min(from + most));
    }
}
