//! Sweeps, one block of steps at a time. Arrays have room for all steps here; an array that the plan keeps for one
//! block only is overwritten with NaN when the block is over, so that a later read shows.
//!
//! What survives are the boundary steps that a block starts from, of each row its own. A row that has ended where a block
//! begins no longer moves: a forward sweep keeps its last steps until they are read as its final states, and a backward
//! one its slots until the block is reached that holds its end.

use std::ops::Range;

use retrograd_tape::Real;

use super::PlanRun;
use crate::plan::{BufferId, Checkpointing, Item, Lifetime};

impl<T: Real> PlanRun<'_, T> {
    /// Runs a sweep.
    pub(super) fn sweep(&mut self, sweep: usize, reverse: bool, items: &[Item]) {
        let (plan, layout) = (self.plan, self.layout());
        let replays = if layout.replay {
            plan.memory.replays.as_slice()
        } else {
            &[]
        };
        let n = layout.blocks(self.t);
        for k in 0..n {
            let i = if reverse { n - 1 - k } else { k };
            let steps = i * layout.block..self.t.min((i + 1) * layout.block);
            if k > 0 {
                self.forget(sweep, reverse, &steps);
                for r in replays.iter().filter(|r| r.by == sweep) {
                    self.replay(r, steps.clone());
                }
            }
            for (number, r) in replays.iter().enumerate().filter(|r| r.1.sweep == sweep) {
                let states = self.states(r, &steps);
                let kept = states
                    .into_iter()
                    .map(|(u, at)| self.arrays[u][at].to_vec());
                let kept = kept.collect();
                self.kept.insert((number, steps.start), kept);
            }
            self.first = k == 0;
            for item in items {
                self.item(item, steps.clone());
            }
        }
        self.first = true;
    }

    /// Runs a part of an earlier sweep again for one block.
    fn replay(&mut self, replay: &Checkpointing, steps: Range<usize>) {
        let number = self.plan.memory.replays.iter().position(|r| r == replay);
        let kept = self.kept[&(number.expect("one of the plan's"), steps.start)].clone();
        let (reverse, items) = self.plan.sweeps().nth(replay.sweep).expect("its sweep");
        // Discards what the sweep computed the first time, or for the previous block.
        self.forget(replay.sweep, reverse, &(0..0));
        for ((u, at), values) in self.states(replay, &steps).into_iter().zip(kept) {
            self.arrays[u][at].copy_from_slice(&values);
        }
        for &i in &replay.items {
            self.item(&items[i], steps.clone());
        }
    }

    /// Overwrites the arrays that keep one block of a sweep, except the boundary steps that a block starts from.
    fn forget(&mut self, sweep: usize, reverse: bool, block: &Range<usize>) {
        let layout = self.layout();
        for (u, x) in &self.plan.buffers {
            let of = match self.plan.memory.keep[u] {
                Lifetime::Whole | Lifetime::Ring(_) => None,
                Lifetime::Block(p) => Some(p),
                Lifetime::Replayed(r) => Some(self.plan.memory.replays[r].sweep),
            };
            if of != Some(sweep) || !self.plan.is_block(u, layout) {
                continue;
            }
            let points: Vec<usize> = if block.is_empty() {
                Vec::new()
            } else {
                self.boundary(u, reverse, block)
            };
            let array = &mut self.arrays[u];
            let mut kept = vec![T::NAN; array.len()];
            for at in points.into_iter().map(|p| p * x.len..(p + 1) * x.len) {
                kept[at.clone()].copy_from_slice(&array[at]);
            }
            *array = kept;
        }
    }

    /// The points of an array, boundary steps included, that a block starts from: for each row the ones before its next
    /// step, or after its last one if the sweep is backward. A row that ends before that ends there.
    fn boundary(&self, u: BufferId, reverse: bool, block: &Range<usize>) -> Vec<usize> {
        let x = &self.plan.buffers[u];
        let of_row = |row: usize| {
            let steps = if reverse {
                let end = x.front + block.end.min(self.lengths[row]);
                end..end + x.back
            } else {
                let start = block.start.min(self.lengths[row]);
                start..start + x.front
            };
            steps.map(move |step| step * self.b + row)
        };
        (0..self.b).flat_map(of_row).collect()
    }

    /// The location of the states that a block of a replay starts from.
    fn states(
        &self,
        replay: &Checkpointing,
        block: &Range<usize>,
    ) -> Vec<(BufferId, Range<usize>)> {
        let (reverse, _) = self.plan.sweeps().nth(replay.sweep).expect("its sweep");
        let history = replay.history.iter().flat_map(|&u| {
            let n = self.plan.buffers[u].len;
            let points = self.boundary(u, reverse, block).into_iter();
            points.map(move |p| (u, p * n..(p + 1) * n))
        });
        let slots = replay.slots.iter().map(|&u| (u, 0..self.arrays[u].len()));
        history.chain(slots).collect()
    }
}
