//! How long each array keeps its steps.
//!
//! Sweeps run over time one block of steps at a time. An array that is used in one sweep only holds one block, with the
//! boundary steps that the next block starts from. An array that crosses from a sweep to the one that goes back through
//! the same steps, as gates cross to the backward step, is kept whole, or, under a memory budget, recomputed: a
//! [`Checkpointing`] runs the part of the first sweep that it needs once more for each block, from states kept at the
//! blocks' borders. For T steps in blocks of K the memory is of the order K + T/K instead of T, the extra work at most
//! one more forward sweep. (Griewank & Walther, *Evaluating Derivatives*, 2nd ed., ch. 12: two levels of checkpoints.)
//!
//! All of this is known before anything runs: [`Plan::size`] of every array under a [`Layout`].

mod analysis;

use cranelift_entity::PrimaryMap;
use retrograd_tape::Domain;

use crate::plan::{Buffer, BufferId, Item, Plan, Storage};

/// How long an array of the program's own keeps its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the end of the run.
    Whole,
    /// For one block of the sweep of this number.
    Block(usize),
    /// For one block if a run replays, else until its end: the replay's number.
    Replayed(usize),
    /// This many steps, a power of two: each step overwrites the one that many steps before it.
    Ring(usize),
}

/// A part of a sweep that can be run again, block by block, right before the same blocks of a later sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointing {
    /// The sweep that is run again.
    pub sweep: usize,
    /// The sweep that needs it, which runs over time in the other direction.
    pub by: usize,
    /// The first sweep's items that are run again.
    pub items: Vec<usize>,
    /// Arrays whose boundary steps must be restored to their state at the start of the block.
    pub history: Vec<BufferId>,
    /// Arrays of one step that must be restored to their state at the start of the block.
    pub slots: Vec<BufferId>,
}

/// How long all arrays keep their steps.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// For each array.
    pub keep: PrimaryMap<BufferId, Lifetime>,
    /// The parts that can be replayed.
    pub replays: Vec<Checkpointing>,
    /// Whether a sequence that outgrows the caches is better replayed than kept: recomputing the values that cross between
    /// sweeps, in cache, costs less than storing them for all steps.
    pub pays: bool,
    /// Numbers of a point in all arrays over steps that the items of a sweep touch, of the sweep with the most.
    pub sweep_numbers: usize,
    /// Whether samples come one after another without end: the caller's arrays over steps hold the current step alone.
    pub streams: bool,
}

/// How a run for some T and B goes over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Steps per block, from 1 to T.
    pub block: usize,
    /// Whether everything that can be replayed is.
    pub replay: bool,
}

impl Layout {
    /// Number of blocks in `t` steps.
    pub fn blocks(&self, t: usize) -> usize {
        t.div_ceil(self.block)
    }
}

impl Plan {
    /// The sweeps in order: whether they go backward in time, and their items.
    pub fn sweeps(&self) -> impl Iterator<Item = (bool, &[Item])> {
        self.items.iter().filter_map(|i| match i {
            Item::Sweep { reverse, items } => Some((*reverse, items.as_slice())),
            _ => None,
        })
    }

    /// True if array `u` holds only one block of steps.
    pub fn is_block(&self, u: BufferId, layout: Layout) -> bool {
        match self.memory.keep[u] {
            Lifetime::Whole | Lifetime::Ring(_) => false,
            Lifetime::Block(_) => true,
            Lifetime::Replayed(_) => layout.replay,
        }
    }

    /// Capacity in steps of array `u`, of domain `step`, if it does not depend on the run: step t, boundary steps
    /// included, is stored at t modulo this power of two.
    pub fn ring(&self, u: BufferId) -> Option<usize> {
        match self.memory.keep[u] {
            Lifetime::Ring(steps) => Some(steps),
            Lifetime::Whole | Lifetime::Block(_) | Lifetime::Replayed(_) => {
                let theirs = self.buffers[u].storage != Storage::Workspace;
                (self.memory.streams && theirs).then_some(1)
            }
        }
    }

    /// Number of elements of array `u` for `t` steps and `b` rows.
    pub fn size(&self, u: BufferId, t: usize, b: usize, layout: Layout) -> usize {
        let x = &self.buffers[u];
        if let (Domain::Step, Some(steps)) = (x.domain, self.ring(u)) {
            return steps * b * x.len;
        }
        let steps = if self.is_block(u, layout) {
            layout.block.min(t)
        } else {
            t
        };
        x.size(steps, b)
    }

    /// Numbers of all arrays that keep one block in replaying runs, per step and row.
    pub fn block_numbers(&self) -> usize {
        (self.buffers.iter())
            .filter(|(u, _)| self.memory.keep[*u] != Lifetime::Whole)
            .map(|(_, buffer)| buffer.len)
            .sum()
    }

    /// Numbers that a replay keeps per block.
    pub fn checkpoint(&self, replay: &Checkpointing, b: usize) -> usize {
        let reverse = self.sweeps().nth(replay.sweep).is_some_and(|p| p.0);
        let history = replay.history.iter().map(|&u| {
            let x = &self.buffers[u];
            x.history(reverse) * x.len * b
        });
        let slots = replay.slots.iter().map(|&u| self.buffers[u].len * b);
        history.chain(slots).sum()
    }

    /// Numbers that all replays keep.
    pub fn checkpoints(&self, t: usize, b: usize, layout: Layout) -> usize {
        if !layout.replay {
            return 0;
        }
        let one: usize = self
            .memory
            .replays
            .iter()
            .map(|r| self.checkpoint(r, b))
            .sum();
        one.saturating_mul(layout.blocks(t))
    }

    /// Numbers of the program's own arrays, checkpoints included, without packed weights and the like.
    pub fn workspace(&self, t: usize, b: usize, layout: Layout) -> usize {
        let own = (self.buffers.iter()).filter(|(_, x)| x.storage == Storage::Workspace);
        own.map(|(u, _)| self.size(u, t, b, layout)).sum::<usize>() + self.checkpoints(t, b, layout)
    }
}

impl Buffer {
    /// Boundary steps on the side that a sweep starts from.
    pub fn history(&self, reverse: bool) -> usize {
        if reverse { self.back } else { self.front }
    }
}

impl Memory {
    /// For a plan for single samples: each value is kept until its last read and no longer.
    pub(crate) fn stream(plan: &Plan) -> Memory {
        let keep = plan.buffers.values().map(|x| match x.domain {
            Domain::Step if x.storage == Storage::Workspace => {
                Lifetime::Ring((x.front + 1).next_power_of_two())
            }
            _ => Lifetime::Whole,
        });
        Memory {
            keep: keep.collect(),
            replays: Vec::new(),
            pays: false,
            sweep_numbers: 0,
            streams: true,
        }
    }
}
