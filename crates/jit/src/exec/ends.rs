//! The ends of rows of different lengths: boundary steps are given and read by slot and row, but stand behind each row's
//! own last step.
//!
//! An item that reads or writes an array counted from its end uses, instead of the array, one with the last steps and the
//! boundary steps of each row. They are copied to and fro: for an array that keeps all steps right before and after that
//! item; for one that keeps a block of steps when the sweep reaches the block in which a row ends. Where all rows have one
//! length nothing is copied, because the steps of an array are such an array already.

use std::ops::Range;

use retrograd_graph::plan::{BufferId, Item};

use super::{PlanExecution, StepRange};
use crate::element::Element;

/// Which way ends are copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The boundary steps, to where they follow each row's last step.
    Into,
    /// The last steps of each row, from the array.
    From,
}

impl<T: Element> PlanExecution<'_, T> {
    /// Before an item runs: gathers the last steps that it reads.
    pub(super) fn ends_before(&mut self, item: &Item) {
        self.around(item, false, Way::From);
    }

    /// After an item has run: moves boundary steps that it wrote to where the rows end.
    pub(super) fn ends_after(&mut self, item: &Item) {
        self.around(item, true, Way::Into);
    }

    fn around(&mut self, item: &Item, written: bool, way: Way) {
        if !self.points.ragged() {
            return;
        }
        let access = self.access;
        for (u, write) in access.at_ends(item) {
            if write == written && !self.in_blocks(u) {
                self.copy_ends(u, 0..self.points.rows, way);
            }
        }
    }

    /// Before a sweep does a block: gives rows that end in it their boundary steps.
    pub(super) fn ends_into_block(&mut self, sweep: usize, reverse: bool, span: StepRange) {
        if reverse {
            self.of_block(sweep, span, Way::Into);
        }
    }

    /// After a sweep has done a block: keeps the last steps of rows that end in it.
    pub(super) fn ends_of_block(&mut self, sweep: usize, reverse: bool, span: StepRange) {
        if !reverse {
            self.of_block(sweep, span, Way::From);
        }
    }

    fn of_block(&mut self, sweep: usize, span: StepRange, way: Way) {
        if !self.points.ragged() {
            return;
        }
        // Rows without a step end where the first block begins.
        let most = match span.t0 {
            0 => self.points.rows,
            t0 => self.workspace.table.live(t0 as i64),
        };
        let least = match span.t1 == self.points.steps {
            true => 0,
            false => self.workspace.table.live(span.t1 as i64),
        };
        for u in self.plan.buffers.keys() {
            if !self.workspace.at_ends[u].is_empty() && self.keeps_block_of(u, sweep) {
                self.copy_ends(u, least..most, way);
            }
        }
    }

    /// True if array `u` keeps one block at a time.
    fn in_blocks(&self, u: BufferId) -> bool {
        !self.workspace.own[u].is_empty() && self.plan.is_block(u, self.layout)
    }

    fn copy_ends(&mut self, u: BufferId, rows: Range<usize>, way: Way) {
        let (x, all, origin) = (
            &self.plan.buffers[u],
            self.points.rows,
            self.workspace.origins[u],
        );
        let slots = match way {
            Way::Into => x.front..x.front + x.back,
            Way::From => 0..x.front,
        };
        for r in rows {
            let end = self.points.length(r) as i64;
            #[cfg(feature = "faults")]
            if way == Way::Into
                && (end as usize) < self.points.steps
                && retrograd_tape::faults::active(retrograd_tape::faults::Fault::ReverseRow)
            {
                continue;
            }
            for slot in slots.clone() {
                let step = end + slot as i64 - x.front as i64;
                let place = (self.position(u, step, origin) + r) * x.len;
                let slot = (slot * all + r) * x.len;
                let ws = &mut *self.workspace;
                let kept = &mut ws.at_ends[u][slot..slot + x.len];
                // SAFETY: the array keeps this step of the row, and nobody else accesses it now.
                let place =
                    unsafe { std::slice::from_raw_parts_mut(ws.arrays[u].add(place), x.len) };
                match way {
                    Way::Into => place.copy_from_slice(kept),
                    Way::From => kept.copy_from_slice(place),
                }
            }
        }
    }
}
