//! Readers and operands with views resolved, and the numbers that a choice of loops must store for all steps.

use std::collections::HashSet;

use retrograd_tape::{Domain, Op, Value};

use crate::passes::components::Class;
use crate::plan::build::{Classified, LoweringKind};
use crate::work::Allowance;

/// How a value reaches its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// At the same point.
    Here,
    /// At another step.
    Delay(i32),
    /// As a value leaving at an end of the sequence.
    Boundary(i32),
    /// As the initial value of a delay.
    Init,
}

/// One end of a read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) at: Value,
    pub(super) via: Via,
}

/// The values reachable from some values.
pub(super) struct Reached {
    /// Indexed by value.
    pub(super) seen: Vec<bool>,
    /// In order.
    pub(super) all: Vec<Value>,
}

impl Reached {
    pub(super) fn has(&self, v: Value) -> bool {
        self.seen[v.index()]
    }
}

/// The class that each value is computed in.
#[derive(Clone)]
pub(super) struct Classes {
    /// Indexed by value.
    pub(super) class: Vec<Class>,
    /// The values that each recurrence computes, in order.
    pub(super) members: Vec<Vec<Value>>,
}

impl Classes {
    pub(super) fn of(&self, v: Value) -> Class {
        self.class[v.index()]
    }

    /// Moves these values to recurrence `k` from wherever they were.
    pub(super) fn put(&mut self, net: &Net<'_, '_>, joined: &[Value], k: usize) {
        let mut from: Vec<usize> = Vec::new();
        for &v in joined {
            if let Class::Recurrent(i) = self.of(v)
                && i != k
            {
                from.push(i);
            }
            self.class[v.index()] = Class::Recurrent(k);
        }
        from.sort_unstable();
        from.dedup();
        for i in from {
            let class = &self.class;
            self.members[i].retain(|v| class[v.index()] == Class::Recurrent(i));
        }
        self.members[k].extend(joined);
        self.members[k].sort_unstable_by_key(|&v| net.place[v.index()]);
        self.members[k].dedup();
    }
}

pub(super) struct Net<'f, 'g> {
    pub(super) f: &'f Classified<'g>,
    /// Indexed by value, like all vectors here: the position in the order.
    pub(super) place: Vec<usize>,
    /// The operands of each computed value, with views resolved.
    pub(super) reads: Vec<Vec<Link>>,
    /// Its readers.
    pub(super) readers: Vec<Vec<Link>>,
    /// Whether it is computed.
    pub(super) computed: Vec<bool>,
}

impl<'f, 'g> Net<'f, 'g> {
    pub(super) fn new(f: &'f Classified<'g>) -> Self {
        let n = f.g.bound();
        let mut net = Net {
            f,
            place: vec![usize::MAX; n],
            reads: vec![Vec::new(); n],
            readers: vec![Vec::new(); n],
            computed: vec![false; n],
        };
        for (i, &v) in f.order.iter().enumerate() {
            net.place[v.index()] = i;
        }
        for &v in f
            .order
            .iter()
            .filter(|v| f.lowering(**v) != LoweringKind::View)
        {
            let mut links = Vec::new();
            let mut work: Vec<(Value, Via)> =
                (f.g.operands(v).iter()).map(|&x| (x, Via::Here)).collect();
            while let Some((x, via)) = work.pop() {
                if f.lowering(x) != LoweringKind::View {
                    links.push(Link { at: x, via });
                    net.readers[x.index()].push(Link { at: v, via });
                    continue;
                }
                let xs = f.g.operands(x);
                match *f.g.op_of(x) {
                    Op::Delay(d) => work.extend([(xs[0], Via::Delay(d)), (xs[1], Via::Init)]),
                    Op::Boundary(d) => work.extend([(xs[0], Via::Boundary(d)), (xs[1], Via::Init)]),
                    _ => work.extend(xs.iter().map(|&x| (x, via))),
                }
            }
            net.reads[v.index()] = links;
            net.computed[v.index()] = true;
        }
        net
    }

    /// The classes after distribution.
    pub(super) fn apart(&self) -> Classes {
        let f = self.f;
        let mut class = Classes {
            class: vec![Class::Parallel; f.g.bound()],
            members: vec![Vec::new(); f.components.reverse.len()],
        };
        for &v in &f.order {
            class.class[v.index()] = f.class(v);
            if let Class::Recurrent(k) = f.class(v)
                && self.computed[v.index()]
            {
                class.members[k].push(v);
            }
        }
        class
    }

    /// Whether a recurrence belongs to the backward half: then all of it does.
    pub(super) fn is_late(&self, class: &Classes, k: usize) -> bool {
        let first = class.members[k].first();
        first.is_some_and(|&v| self.f.halves.is_late(v))
    }

    pub(super) fn reads(&self, v: Value) -> &[Link] {
        &self.reads[v.index()]
    }

    pub(super) fn readers(&self, v: Value) -> &[Link] {
        &self.readers[v.index()]
    }

    /// True for work over steps that can be done point by point.
    pub(super) fn is_pointwise(&self, v: Value) -> bool {
        let how = self.f.lowering(v);
        matches!(
            how,
            LoweringKind::Lane | LoweringKind::Fold | LoweringKind::Row | LoweringKind::Concat
        ) && self.f.domain(v) == Domain::Step
    }

    /// These values and all that is computed from them, in order; a loop counts as a whole. None if that is too much.
    pub(super) fn reached<'n>(
        &'n self,
        class: &Classes,
        from: &[Value],
        next: impl Fn(&'n Self, Value) -> &'n [Link],
        left: &mut Allowance,
    ) -> Option<Reached> {
        let mut seen = vec![false; self.place.len()];
        let mut all = from.to_vec();
        from.iter().for_each(|v| seen[v.index()] = true);
        let mut loops: HashSet<usize> = HashSet::new();
        let mut done = 0;
        while let Some(&v) = all.get(done) {
            done += 1;
            let links = next(self, v);
            let mut work = links.len() + 1;
            let mut add = |x: Value| {
                if !std::mem::replace(&mut seen[x.index()], true) {
                    all.push(x);
                }
            };
            links.iter().for_each(|l| add(l.at));
            if let Class::Recurrent(k) = class.of(v)
                && loops.insert(k)
            {
                work += class.members[k].len();
                class.members[k].iter().for_each(|&x| add(x));
            }
            if !left.spend(work) {
                return None;
            }
        }
        all.sort_unstable_by_key(|v| self.place[v.index()]);
        Some(Reached { seen, all })
    }

    /// True if a loop in this direction has the value when its reader needs it.
    pub(super) fn in_time(via: Via, reverse: bool) -> bool {
        match via {
            Via::Here => true,
            Via::Delay(d) => (d < 0) == reverse,
            Via::Boundary(_) | Via::Init => false,
        }
    }

    /// True for a read for which an array of one step is not enough.
    pub(super) fn is_long(&self, via: Via, reverse: bool) -> bool {
        let one_step = if reverse { -1 } else { 1 };
        matches!(via, Via::Delay(d) | Via::Boundary(d) if d != one_step)
    }

    /// True if a value that is computed for all steps at once has an array over them.
    pub(super) fn is_stored_outside(&self, class: &Classes, v: Value) -> bool {
        let f = self.f;
        let readers = self.readers(v);
        if f.g.is_output(v) {
            return true;
        }
        let beside = |l: &Link| l.via == Via::Here && class.of(l.at) == Class::Parallel;
        // A part is stored in its whole.
        let is_part = !readers.is_empty()
            && readers
                .iter()
                .all(|l| beside(l) && f.lowering(l.at) == LoweringKind::Concat);
        let in_lane_loop = |l: &Link| {
            beside(l)
                && matches!(
                    f.lowering(l.at),
                    LoweringKind::Lane | LoweringKind::Fold | LoweringKind::Concat
                )
        };
        let one_loop = readers.first().is_some_and(|first| {
            let loop_of = |l: &Link| class.of(l.at);
            let same = |l: &Link| l.via == Via::Here && loop_of(l) == loop_of(first);
            loop_of(first) != Class::Parallel && readers.iter().all(same)
        });
        match f.lowering(v) {
            LoweringKind::Lane => !readers.iter().all(in_lane_loop) && !one_loop,
            LoweringKind::View | LoweringKind::Accumulated | LoweringKind::Global => false,
            _ => !is_part,
        }
    }

    /// True if a value of a recurrence is stored in a concatenation beside it that is stored for all steps.
    pub(super) fn is_part(&self, class: &Classes, v: Value) -> bool {
        let f = self.f;
        let own = class.of(v);
        let whole = |l: &&Link| {
            l.via == Via::Here && f.lowering(l.at) == LoweringKind::Concat && class.of(l.at) == own
        };
        let reverse = matches!(own, Class::Recurrent(k) if f.components.reverse[k]);
        // What leaves at the end is in the last step's array, whether there are others or not.
        let leaves = |l: &Link| match l.via {
            Via::Boundary(_) => self.is_long(l.via, reverse),
            Via::Here | Via::Delay(_) | Via::Init => class.of(l.at) != own,
        };
        (self.readers(v).iter().filter(whole))
            .any(|l| f.g.is_output(l.at) || self.readers(l.at).iter().any(leaves))
    }

    /// Numbers stored per row and step, as far as is known before scheduling.
    pub(super) fn stored(&self, class: &Classes) -> usize {
        let all = self.f.order.iter();
        all.map(|&v| self.stored_of(class, v)).sum()
    }

    /// The stored numbers of one value.
    pub(super) fn stored_of(&self, class: &Classes, v: Value) -> usize {
        let f = self.f;
        if f.domain(v) != Domain::Step || !self.computed[v.index()] {
            return 0;
        }
        let stored = match class.of(v) {
            Class::Parallel => self.is_stored_outside(class, v),
            own @ Class::Recurrent(k) => {
                let reverse = f.components.reverse[k];
                let local = |l: &Link| match l.via {
                    Via::Boundary(_) => !self.is_long(l.via, reverse),
                    Via::Init => false,
                    _ => class.of(l.at) == own && !self.is_long(l.via, reverse),
                };
                let leaves = f.g.is_output(v) || !self.readers(v).iter().all(local);
                leaves && !self.is_part(class, v)
            }
        };
        if stored { f.len(v) } else { 0 }
    }
}
