//! *scratch*: finds the arrays that only carry a point's values from one statement of a loop to the next.
//!
//! A row's matrix that is multiplied by two vectors has an array, since a product reads its matrix from memory. If all
//! statements are done for one row before the next, as the second back end does, the arrays of all rows may be one place,
//! which stays in the first cache, where those of 32 rows would fill the second.

use cranelift_entity::{EntitySet, SecondaryMap};

use crate::plan::item::each_loop;
use crate::plan::spans::Spans;
use crate::plan::touch::{Touch, of_stmt};
use crate::plan::{BufferId, Innermost, Item, Loop, LoopKind, Plan, Storage, walk};
use retrograd_tape::Domain;

/// Fills in [`Loop::scratch`].
pub(crate) fn scratch(plan: &mut Plan) {
    let mut others: EntitySet<BufferId> = EntitySet::new();
    for (u, x) in &plan.buffers {
        let bordered = (x.front, x.back) != (0, 0);
        if x.storage != Storage::Workspace || x.domain == Domain::Once || bordered {
            others.insert(u);
        }
    }
    let mut stored = SecondaryMap::new();
    for item in walk(&plan.items) {
        match item {
            Item::Loop(l) => exclude(plan, l, &mut stored, &mut others),
            Item::TimeTile { .. } | Item::Sweep { .. } => {}
            item => {
                for a in item.accesses(&plan.weights) {
                    others.insert(a.view.buffer);
                }
            }
        }
    }
    each_loop(&mut plan.items, &mut |l| {
        let views = l.body.iter().flat_map(|s| s.stores());
        let mut own: Vec<BufferId> = views.map(|v| v.buffer).collect();
        own.sort_unstable();
        own.dedup();
        own.retain(|&u| !others.contains(u));
        l.scratch = own;
    });
}

/// Adds the arrays that the loop reads before it has stored what it reads, or at another step than its own.
fn exclude(
    plan: &Plan,
    l: &Loop,
    stored: &mut SecondaryMap<BufferId, Spans>,
    others: &mut EntitySet<BufferId>,
) {
    let in_time = matches!(l.inner, Innermost::Time(_));
    let mut touched: Vec<BufferId> = Vec::new();
    for s in &l.body {
        let visited =
            of_stmt(plan, l, s, &mut |Touch {
                                          view, len, write, ..
                                      }| {
                let own = &mut stored[view.buffer];
                let domain = plan.buffers[view.buffer].domain;
                // A recurrence has an array of one step for what its other steps do not need.
                let of_a_step =
                    matches!(l.kind, LoopKind::Recurrence { .. }) && domain == Domain::Row;
                let elsewhere =
                    view.shift != 0 || view.from_end || domain != l.domain && !of_a_step;
                if in_time || elsewhere || !write && !own.hold(view.offset, len) {
                    others.insert(view.buffer);
                }
                if write {
                    own.add(view.offset, len);
                    touched.push(view.buffer);
                }
                Ok(())
            });
        debug_assert!(visited.is_ok(), "no visit fails here");
    }
    touched.iter().for_each(|&u| stored[u].clear());
}
