//! Work for all steps that a later loop had better do, because it alone reads it and keeps what it is computed from.

use retrograd_tape::{Domain, Value};

use super::{MANY, Scheduler};
use crate::passes::components::Class;
use crate::plan::build::LoweringKind;
use crate::work;

/// How many values, one read by the next, [`Scheduler::waits`] looks through.
const DEEP: usize = 3;

impl Scheduler<'_, '_> {
    /// True if a value that could be computed now is better computed later: only element-wise work of the same domain that
    /// cannot be done yet needs it, and that work's lane loop then computes it for free. Only values that this leaves hardly
    /// more numbers to keep for than they have themselves are deferred.
    pub(super) fn waits(&self, v: Value) -> bool {
        let f = self.f;
        if f.lowering(v) != LoweringKind::Lane || f.domain(v) != Domain::Step || f.g.is_output(v) {
            return false;
        }
        let readers = f.readers(v);
        work::note(readers.len());
        let own = f.len(v);
        !readers.is_empty()
            && readers.iter().all(|&r| self.is_later(r, v))
            && self.kept(v, DEEP) <= own + own / 16
    }

    /// Whether a reader of `v` is element-wise work of its domain that cannot be done yet, or is better done later.
    fn is_later(&self, (u, elsewhere): (Value, bool), v: Value) -> bool {
        let (f, place) = (self.f, self.place[u.index()]);
        !elsewhere
            && f.lowering(u) == LoweringKind::Lane
            && f.class(u) == Class::Parallel
            && f.domain(u) == f.domain(v)
            && (self.late[place] || !self.open[place])
            && !self.done[place]
    }

    /// The numbers of each step that have to be kept to compute `v` later: not those that other later work needs as well.
    fn kept(&self, v: Value, deep: usize) -> usize {
        let f = self.f;
        let mut all = f.reads(v);
        all.retain(|s| f.domain(s.value) == Domain::Step);
        all.sort_unstable_by_key(|s| s.value);
        all.dedup_by_key(|s| s.value);
        let of = |x: Value| {
            if f.g.users(x).nth(MANY).is_some() {
                return f.len(x).min(f.len(v));
            }
            let readers = f.readers(x);
            work::note(readers.len());
            let mut others = readers.iter().filter(|r| r.0 != v);
            if others.any(|&r| self.is_later(r, x)) {
                return 0;
            }
            // What serves `v` alone is computed later, too.
            let alone = deep > 0 && f.lowering(x) == LoweringKind::Lane && !f.g.is_output(x);
            let place = self.place[x.index()];
            let pending = self.pointwise(place) == Some(f.domain(v)) && !self.done[place];
            match alone && pending && readers.iter().all(|r| r.0 == v && !r.1) {
                true => self.kept(x, deep - 1),
                // Of a larger operand it reads a part.
                false => f.len(x).min(f.len(v)),
            }
        };
        all.iter().map(|s| of(s.value)).sum()
    }
}
