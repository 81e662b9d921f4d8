//! The order of two halves: all of the forward half comes before the backward half.

use retrograd_tape::Value;

use super::{Scheduler, is_ahead, is_delay};

impl Scheduler<'_, '_> {
    /// Counts the forward half, for which all of the backward half waits.
    pub(super) fn halve(&mut self, computed: &[usize]) {
        let (f, n) = (self.f, self.f.order.len());
        let late_fill = |&d: &Value| {
            // Boundary steps are filled when the first half that reads them needs them.
            let x = f.g.operands(d)[0];
            let mut users = f.g.users(x).filter(|&u| f.g.operands(u)[0] == x);
            users
                .all(|u| f.halves.is_late(u) || !is_delay(f, u) || is_ahead(f, u) != is_ahead(f, d))
        };
        let late = computed.iter().copied();
        let late = late.filter(|&i| f.halves.is_late(f.order[i]));
        let late_fills = (0..self.fills.len()).filter(|&k| late_fill(&self.fills[k]));
        if !f.halves.are_two() {
            self.early = self.left;
            return;
        }
        self.late_half = late.chain(late_fills.map(|k| n + k)).collect();
        self.early = self.left - self.late_half.len();
        for i in 0..self.late_half.len() {
            let who = self.late_half[i];
            self.pending[who] += 1;
            self.beyond[who] += 1;
            if let Some(k) = self.recurrence(who) {
                self.outside[k] += 1;
            }
        }
    }

    /// Lets the backward half begin.
    pub(super) fn open_late_half(&mut self) {
        for who in std::mem::take(&mut self.late_half) {
            self.no_longer_waits(who, false, false);
        }
    }
}
