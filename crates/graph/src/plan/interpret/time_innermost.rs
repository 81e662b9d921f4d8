//! Recurrences with time innermost: for each row, a few lanes at a time run through all steps.

use std::ops::Range;

use retrograd_tape::{Domain, Real};

use super::PlanRun;
use crate::plan::{Carried, Loop, LoopKind, Stmt};

impl<T: Real> PlanRun<'_, T> {
    /// Runs an element-wise recurrence. Carried values are read from memory at the first step only, and arrays without
    /// steps are written after the last, so that code relying on the array in between shows.
    pub(super) fn time_innermost(&mut self, l: &Loop, carried: &[Carried], steps: &Range<usize>) {
        let ([Stmt::Region(r)], LoopKind::Recurrence { reverse }) = (l.body.as_slice(), l.kind)
        else {
            panic!("plan: time is innermost a recurrence with more than one region");
        };
        assert!(r.folds.is_empty(), "plan: folds with time innermost");
        for row in 0..self.b {
            let mut order: Vec<usize> = (steps.start..steps.end.min(self.lengths[row])).collect();
            if reverse {
                order.reverse();
            }
            for first in (0..r.lanes).step_by(self.cut.lanes) {
                let vector = first..r.lanes.min(first + self.cut.lanes);
                let mut before: Option<Vec<Vec<T>>> = None;
                for &t in &order {
                    let p = (t, row);
                    let fixed = self.fixed(r, p);
                    let lanes: Vec<Vec<T>> = (vector.clone().enumerate())
                        .map(|(k, i)| {
                            let mut fixed = fixed.clone();
                            if let Some(before) = &before {
                                for c in carried {
                                    fixed[c.load] = Some(before[k][c.from]);
                                }
                            }
                            self.lane(r, &fixed, p, i)
                        })
                        .collect();
                    for (i, values) in vector.clone().zip(&lanes) {
                        for &(k, v) in &r.stores {
                            let each_step = self.plan.buffers[v.buffer].domain == Domain::Step;
                            if each_step || order.last() == Some(&t) {
                                self.put(v, p, i, values[k]);
                            }
                        }
                    }
                    before = Some(lanes);
                }
            }
        }
    }
}
