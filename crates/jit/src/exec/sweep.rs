//! Runs sweeps one block of steps at a time: arrays that keep one block move along, and under a memory budget the
//! backward sweep runs part of the forward one again for each block.

use std::ops::Range;

use retrograd_graph::plan::{BufferId, Checkpointing, Item, Lifetime};

use super::blocks::Blocks;
use super::points::rows_before;
use super::{PlanExecution, StepRange};
use crate::element::Element;

impl<T: Element> PlanExecution<'_, T> {
    /// Moves arrays that keep one block to where their sweep starts, so that their initial states can be filled in.
    pub(super) fn begin(&mut self) {
        let blocks = Blocks::new(self.points, self.layout);
        let (last, _) = blocks.span(blocks.count() - 1);
        for (sweep, (reverse, _)) in self.plan.sweeps().enumerate() {
            for u in self.plan.buffers.keys() {
                if reverse && self.keeps_block_of(u, sweep) {
                    self.keep_from(u, last);
                }
            }
        }
    }

    /// Runs a sweep of the plan.
    pub(super) fn sweep(&mut self, sweep: usize, reverse: bool, items: &[Item]) {
        let plan = self.plan;
        let blocks = Blocks::new(self.points, self.layout);
        let n = blocks.count();
        let used = if self.layout.replay {
            plan.memory.replays.len()
        } else {
            0
        };
        let replays = plan.memory.replays[..used].iter().enumerate();
        for k in 0..n {
            let i = if reverse { n - 1 - k } else { k };
            let (t0, t1) = blocks.span(i);
            let span = StepRange {
                t0,
                t1,
                first: k == 0,
            };
            if k > 0 {
                self.move_along(sweep, reverse, span);
            }
            self.ends_into_block(sweep, reverse, span);
            if k > 0 {
                // The block that the other sweep ended with is still in memory when this sweep starts.
                for (number, replay) in replays.clone().filter(|r| r.1.by == sweep) {
                    self.replay(number, replay, i, span);
                }
            }
            for (number, replay) in replays.clone().filter(|r| r.1.sweep == sweep) {
                self.checkpoint(number, replay, i, false);
            }
            for item in items {
                self.item(item, span);
            }
            self.ends_of_block(sweep, reverse, span);
        }
    }

    /// Runs a part of an earlier sweep again for one block.
    fn replay(&mut self, number: usize, replay: &Checkpointing, block: usize, span: StepRange) {
        for u in self.plan.buffers.keys() {
            if self.keeps_block_of(u, replay.sweep) {
                self.keep_from(u, span.t0);
            }
        }
        #[cfg(feature = "faults")]
        let restored = !retrograd_tape::faults::active(retrograd_tape::faults::Fault::Replay);
        #[cfg(not(feature = "faults"))]
        let restored = true;
        if restored {
            self.checkpoint(number, replay, block, true);
        }
        let (reverse, items) = self.plan.sweeps().nth(replay.sweep).expect("its sweep");
        self.ends_into_block(replay.sweep, reverse, span);
        for &i in &replay.items {
            self.item(&items[i], span);
        }
    }

    /// True if array `u` keeps one block at a time in sweep `sweep`.
    pub(super) fn keeps_block_of(&self, u: BufferId, sweep: usize) -> bool {
        let theirs = !self.workspace.own[u].is_empty();
        theirs
            && self.plan.is_block(u, self.layout)
            && match self.plan.memory.keep[u] {
                Lifetime::Whole | Lifetime::Ring(_) => false,
                Lifetime::Block(p) => p == sweep,
                Lifetime::Replayed(r) => self.plan.memory.replays[r].sweep == sweep,
            }
    }

    /// Sets the first step that array `u` keeps to `t0`.
    fn keep_from(&mut self, u: BufferId, t0: usize) {
        self.workspace.keep_from(self.plan, self.points.rows, u, t0);
    }

    /// The position in array `u`, in rows, of the beginning of step `t`, if the array keeps steps from `origin` on.
    pub(super) fn position(&self, u: BufferId, t: i64, origin: usize) -> usize {
        let (x, table) = (&self.plan.buffers[u], &self.workspace.table);
        let before = table.before(t - x.back as i64) - table.before(origin as i64);
        (rows_before(x, self.points.rows) as i64 + before) as usize
    }

    /// The boundary steps that a block starts from: the rows of array `u` from these on, and their number, if the array
    /// keeps steps from `origin` on.
    fn history(
        &self,
        u: BufferId,
        reverse: bool,
        (t0, t1): (usize, usize),
        origin: usize,
    ) -> (usize, usize) {
        let h = self.plan.buffers[u].history(reverse) as i64;
        let from = if reverse { t1 as i64 } else { t0 as i64 - h };
        let first = self.position(u, from, origin);
        (first, self.position(u, from + h, origin) - first)
    }

    /// Moves the arrays of a sweep to its next block, with the boundary steps that it starts from.
    fn move_along(&mut self, sweep: usize, reverse: bool, span: StepRange) {
        for u in self.plan.buffers.keys() {
            if !self.keeps_block_of(u, sweep) {
                continue;
            }
            let len = self.plan.buffers[u].len;
            let steps = (span.t0, span.t1);
            let (from, n) = self.history(u, reverse, steps, self.workspace.origins[u]);
            let (to, _) = self.history(u, reverse, steps, span.t0);
            debug_assert!((from.max(to) + n) * len <= self.workspace.own[u].len());
            let array = self.workspace.arrays[u];
            // SAFETY: the array keeps a block and its boundary steps; the previous block is adjacent in time, so both
            // keep the steps from its border on, at these positions.
            unsafe { std::ptr::copy(array.add(from * len), array.add(to * len), n * len) };
            self.keep_from(u, span.t0);
        }
    }

    /// Saves, or restores, the states that a block starts from.
    fn checkpoint(&mut self, number: usize, replay: &Checkpointing, block: usize, back: bool) {
        let (plan, blocks) = (self.plan, Blocks::new(self.points, self.layout));
        let reverse = plan.sweeps().nth(replay.sweep).expect("its sweep").0;
        // Rows kept before this block, by all blocks, and by this one.
        let (before, all, b) = match &self.workspace.checkpoint_rows[..] {
            [] => {
                let rows = self.points.rows;
                (block * rows, blocks.count() * rows, rows)
            }
            sums => (
                sums[block],
                sums[blocks.count()],
                sums[block + 1] - sums[block],
            ),
        };
        let earlier = plan.memory.replays[..number].iter();
        let earlier: usize = earlier.map(|r| plan.checkpoint(r, 1) * all).sum();
        let mut at = earlier + plan.checkpoint(replay, 1) * before;
        let span = blocks.span(block);
        let t0 = span.0;
        for &u in &replay.history {
            let (first, n) = self.history(u, reverse, span, t0);
            let len = plan.buffers[u].len;
            self.save((u, first * len), at..at + n * len, back);
            at += n * len;
        }
        for &u in &replay.slots {
            let n = b * plan.buffers[u].len;
            self.save((u, 0), at..at + n, back);
            at += n;
        }
    }

    /// Saves some numbers of array `u` at this place among the checkpoints, or restores them.
    fn save(&mut self, (u, from): (BufferId, usize), at: Range<usize>, back: bool) {
        let ws = &mut *self.workspace;
        let kept = &mut ws.checkpoints[at];
        debug_assert!(from + kept.len() <= ws.own[u].len());
        // SAFETY: the array keeps this block with its boundary steps, or one step, and nobody else accesses it now.
        let place = unsafe { std::slice::from_raw_parts_mut(ws.arrays[u].add(from), kept.len()) };
        if back {
            place.copy_from_slice(kept);
        } else {
            kept.copy_from_slice(place);
        }
    }
}
