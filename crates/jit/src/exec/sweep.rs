//! Runs sweeps one block of steps at a time: arrays that keep one block move along, and under a memory budget the
//! backward sweep runs part of the forward one again for each block.

use retrograd_graph::plan::{BufferId, Checkpointing, Item, Lifetime};

use super::{PlanExecution, StepRange};
use crate::element::Element;

impl<T: Element> PlanExecution<'_, T> {
    /// Moves arrays that keep one block to where their sweep starts, so that their initial states can be filled in.
    pub(super) fn begin(&mut self) {
        let last = (self.layout.blocks(self.t) - 1) * self.layout.block;
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
        let n = self.layout.blocks(self.t);
        let used = if self.layout.replay {
            plan.memory.replays.len()
        } else {
            0
        };
        let replays = plan.memory.replays[..used].iter().enumerate();
        for k in 0..n {
            let i = if reverse { n - 1 - k } else { k };
            let t0 = i * self.layout.block;
            let span = StepRange {
                t0,
                t1: self.t.min(t0 + self.layout.block),
                first: k == 0,
            };
            if k > 0 {
                self.move_along(sweep, reverse, span);
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
        }
    }

    /// Runs a part of an earlier sweep again for one block.
    fn replay(&mut self, number: usize, replay: &Checkpointing, block: usize, span: StepRange) {
        for u in self.plan.buffers.keys() {
            if self.keeps_block_of(u, replay.sweep) {
                self.keep_from(u, span.t0);
            }
        }
        self.checkpoint(number, replay, block, true);
        let (_, items) = self.plan.sweeps().nth(replay.sweep).expect("its sweep");
        for &i in &replay.items {
            self.item(&items[i], span);
        }
    }

    /// True if array `u` keeps one block at a time in sweep `sweep`.
    fn keeps_block_of(&self, u: BufferId, sweep: usize) -> bool {
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
        let x = &self.plan.buffers[u];
        let ws = &mut *self.workspace;
        ws.origins[u] = t0;
        // The would-be address of step 0: only steps that are kept are dereferenced.
        ws.bases[u] = ws.arrays[u].wrapping_sub(t0 * self.b * x.len);
    }

    /// Moves the arrays of a sweep to its next block, with the boundary steps that it starts from.
    fn move_along(&mut self, sweep: usize, reverse: bool, span: StepRange) {
        for u in self.plan.buffers.keys() {
            if !self.keeps_block_of(u, sweep) {
                continue;
            }
            let x = &self.plan.buffers[u];
            let (h, row) = (x.history(reverse), self.b * x.len);
            let old = self.workspace.origins[u];
            let (from, to) = if reverse {
                (x.front + span.t1 - old, x.front + span.t1 - span.t0)
            } else {
                (x.front + span.t0 - h - old, x.front - h)
            };
            debug_assert!((from.max(to) + h) * row <= self.workspace.own[u].len());
            let array = self.workspace.arrays[u];
            // SAFETY: the array keeps a block and its boundary steps; the previous block is adjacent in time, so both
            // keep the steps from its border on, at these positions.
            unsafe { std::ptr::copy(array.add(from * row), array.add(to * row), h * row) };
            self.keep_from(u, span.t0);
        }
    }

    /// Saves, or restores, the states that a block starts from.
    fn checkpoint(&mut self, number: usize, replay: &Checkpointing, block: usize, back: bool) {
        let (plan, b, n) = (self.plan, self.b, self.layout.blocks(self.t));
        let reverse = plan.sweeps().nth(replay.sweep).expect("its sweep").0;
        let one = plan.checkpoint(replay, b);
        let earlier = plan.memory.replays[..number].iter();
        let mut at: usize = earlier.map(|r| plan.checkpoint(r, b) * n).sum::<usize>() + block * one;
        let span_end = self.t.min((block + 1) * self.layout.block);
        let history = replay.history.iter().map(|&u| {
            let x = &plan.buffers[u];
            let (h, row) = (x.history(reverse), b * x.len);
            let first = if reverse {
                x.front + span_end - block * self.layout.block
            } else {
                x.front - h
            };
            (u, first * row, h * row)
        });
        let slots = replay
            .slots
            .iter()
            .map(|&u| (u, 0, b * plan.buffers[u].len));
        let ws = &mut *self.workspace;
        for (u, from, len) in history.chain(slots) {
            let kept = &mut ws.checkpoints[at..at + len];
            debug_assert!(from + len <= ws.own[u].len());
            // SAFETY: the array keeps this block with its boundary steps, or one step, and nobody else accesses it now.
            let place = unsafe { std::slice::from_raw_parts_mut(ws.arrays[u].add(from), len) };
            if back {
                place.copy_from_slice(kept);
            } else {
                kept.copy_from_slice(place);
            }
            at += len;
        }
    }
}
