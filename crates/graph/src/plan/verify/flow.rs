//! Rules 6 and 8: every value read was stored, and packed weights are not changed afterwards.

use cranelift_entity::{EntitySet, PrimaryMap, SecondaryMap};
use retrograd_tape::Domain;

use super::broken;
use crate::plan::spans::Spans;
use crate::plan::touch::{self, Touch, of_stmt};
use crate::plan::{BufferId, Item, Loop, LoopKind, Plan, Stmt, Storage, View, WeightId};
use crate::verify::Broken;

/// The stored part of an array.
#[derive(Clone, Debug, Default)]
struct Stored {
    /// At every point; for arrays over steps, at every step of the sequence.
    inside: Spans,
    /// By an earlier step of the current loop.
    before: Spans,
    /// At boundary steps, from the sequence outward.
    front: Vec<Spans>,
    back: Vec<Spans>,
}

struct DataFlow<'p> {
    plan: &'p Plan,
    arrays: PrimaryMap<BufferId, Stored>,
    packed: EntitySet<WeightId>,
    /// The numbers of each array that a packing has read.
    frozen: SecondaryMap<BufferId, Spans>,
}

/// Rules 6 and 8.
pub(super) fn stored_before_read(plan: &Plan) -> Result<(), Broken> {
    let arrays = plan.buffers.values().map(|x| {
        let mut s = Stored {
            front: vec![Spans::default(); x.front],
            back: vec![Spans::default(); x.back],
            ..Stored::default()
        };
        if matches!(x.storage, Storage::Input(_)) {
            s.inside.add(0, x.len);
        }
        s
    });
    let mut flow = DataFlow {
        plan,
        arrays: arrays.collect(),
        packed: EntitySet::new(),
        frozen: SecondaryMap::new(),
    };
    (plan.items.iter()).try_for_each(|i| flow.item(i, true))?;
    for (x, s) in plan.buffers.values().zip(flow.arrays.values()) {
        if matches!(x.storage, Storage::Output(_)) && !s.inside.hold(0, x.len) {
            return broken(
                6,
                format!("output `{}` is stored in {:?} only", x.name, s.inside),
            );
        }
    }
    Ok(())
}

impl DataFlow<'_> {
    fn item(&mut self, item: &Item, outermost: bool) -> Result<(), Broken> {
        match item {
            Item::TimeTile { items, .. } | Item::Sweep { items, .. } => {
                return items.iter().try_for_each(|i| self.item(i, false));
            }
            Item::Loop(l) => return self.run(l),
            Item::Product { product, .. } => self.product(product.weight)?,
            Item::Pack(w) => {
                if !self.packed.insert(*w) || !outermost {
                    return broken(8, format!("{w} is packed again, or for each block"));
                }
                touch::weight(self.plan, *w, &mut |t| {
                    self.frozen[t.view.buffer].add(t.view.offset, t.len);
                    Ok(())
                })?;
            }
            _ => {}
        }
        touch::of_item(self.plan, item, &mut |t| self.touch(t, None))
    }

    fn product(&self, w: WeightId) -> Result<(), Broken> {
        match self.packed.contains(w) {
            true => Ok(()),
            false => broken(8, format!("a product with {w}, which is not packed")),
        }
    }

    fn run(&mut self, l: &Loop) -> Result<(), Broken> {
        let plan = self.plan;
        let reverse = match l.kind {
            LoopKind::Parallel => None,
            LoopKind::Recurrence { reverse } => Some(reverse),
        };
        // Later steps find what one step stores.
        let each = |s: &Stmt, f: &mut dyn FnMut(Touch)| {
            of_stmt(plan, l, s, &mut |t| {
                f(t);
                Ok(())
            })
        };
        if reverse.is_some() {
            for s in &l.body {
                each(s, &mut |t| {
                    if t.write {
                        let before = &mut self.arrays[t.view.buffer].before;
                        before.add(t.view.offset, t.len);
                    }
                })?;
            }
        }
        for s in &l.body {
            if let Stmt::Product(p) = s {
                self.product(p.weight)?;
            }
            of_stmt(plan, l, s, &mut |t| self.touch(t, reverse))?;
        }
        if reverse.is_some() {
            for s in &l.body {
                each(s, &mut |t| {
                    if t.write {
                        self.arrays[t.view.buffer].before.clear();
                    }
                })?;
            }
        }
        Ok(())
    }

    fn touch(&mut self, t: Touch, reverse: Option<bool>) -> Result<(), Broken> {
        let View {
            buffer,
            offset,
            shift,
            from_end,
        } = t.view;
        let x = &self.plan.buffers[buffer];
        let s = &mut self.arrays[buffer];
        let slots = match t.domain {
            Domain::BoundarySlots(k) => k as i64,
            Domain::Once | Domain::Row | Domain::Step => 1,
        };
        let at_edge = x.domain == Domain::Step && matches!(t.domain, Domain::BoundarySlots(_));
        if t.write {
            if self.frozen[buffer].meet(offset, t.len) {
                return broken(8, format!("`{}` is stored after it was packed", x.name));
            }
            if !at_edge {
                s.inside.add(offset, t.len);
                return Ok(());
            }
            // Rule 3 has checked that the steps exist.
            for k in shift..shift + slots {
                let place = match from_end {
                    true => &mut s.back[k as usize],
                    false => &mut s.front[(-1 - k) as usize],
                };
                place.add(offset, t.len);
            }
            return Ok(());
        }
        let hold = |x: &Spans| x.hold(offset, t.len);
        let steps = x.domain == Domain::Step;
        // The farthest steps that are read before the first and after the last, for sequences of one step.
        let (front, back) = match (steps, at_edge) {
            (false, _) => (0, 0),
            (true, false) => (-shift, shift),
            (true, true) => {
                let end = i64::from(from_end);
                (-shift - end, shift + slots - 1 + end - 1)
            }
        };
        // Earlier steps of the loop itself are behind it in its direction.
        let behind = match reverse {
            None => false,
            Some(reverse) if steps => {
                if reverse {
                    shift > 0
                } else {
                    shift < 0
                }
            }
            Some(_) => false,
        };
        let inside = hold(&s.inside) || behind && hold(&s.before);
        let needs_inside = !at_edge || from_end && shift < 0 || !from_end && shift + slots > 0;
        let edges = s.front[..front.max(0) as usize].iter();
        let edges = edges.chain(&s.back[..back.max(0) as usize]);
        match (inside || !needs_inside) && edges.into_iter().all(hold) {
            true => Ok(()),
            false => broken(
                6,
                format!(
                    "`{}` is read before it is stored: {:?}, {} numbers over {}",
                    x.name, t.view, t.len, t.domain
                ),
            ),
        }
    }
}
