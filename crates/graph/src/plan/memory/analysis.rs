//! Determines how long each array of a plan with sweeps must keep its steps, and what can be replayed instead.

use std::collections::{BTreeMap, BTreeSet};

use cranelift_entity::PrimaryMap;
use retrograd_tape::Domain;

use super::{Checkpointing, Lifetime, Memory};
use crate::plan::access::Access;
use crate::plan::cost::effort;
use crate::plan::{BufferId, Item, Plan, Storage, walk};

/// Numbers of a row that is recomputed, at least: one of fewer takes as long, because its operations wait for each other.
const LEAST: usize = 32;

/// One use of an array.
#[derive(Clone, Copy)]
struct Use {
    /// Number of the plan's item.
    item: usize,
    /// The sweep, if the item is one, and the item within it.
    sweep: Option<(usize, usize)>,
    /// Domain of the loop, if the item is one.
    domain: Option<Domain>,
    access: Access,
}

struct Analysis<'p> {
    plan: &'p Plan,
    /// Indexed by array.
    uses: PrimaryMap<BufferId, Vec<Use>>,
    /// The uses that write.
    writes: PrimaryMap<BufferId, Vec<Use>>,
    /// Item number and direction of each sweep.
    sweeps: Vec<(usize, bool)>,
}

impl Memory {
    /// Determines how long the arrays of a plan must keep their steps, after sweeps have been formed.
    pub(crate) fn of(plan: &Plan) -> Memory {
        let mut a = Analysis {
            plan,
            uses: plan.buffers.values().map(|_| Vec::new()).collect(),
            writes: plan.buffers.values().map(|_| Vec::new()).collect(),
            sweeps: Vec::new(),
        };
        for (i, item) in plan.items.iter().enumerate() {
            if let Item::Sweep { reverse, items } = item {
                let sweep = a.sweeps.len();
                a.sweeps.push((i, *reverse));
                for (k, inner) in items.iter().enumerate() {
                    a.note(i, Some((sweep, k)), inner);
                }
            } else {
                a.note(i, None, item);
            }
        }
        let lives: PrimaryMap<BufferId, Lives> = plan.buffers.keys().map(|u| a.lives(u)).collect();
        // Arrays that cross from one sweep to several others are replayed for the one with the most to keep.
        let mut pairs: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (x, buffer) in lives.values().zip(plan.buffers.values()) {
            if let Lives::Between(p, q) = *x {
                *pairs.entry((p, q)).or_default() += buffer.len;
            }
        }
        let mut chosen: Vec<(usize, usize)> = Vec::new();
        for (&(p, q), &len) in &pairs {
            let rivals = pairs.iter().filter(|(k, _)| k.0 == p);
            let most = rivals.max_by_key(|&(_, &n)| n).map_or(0, |r| *r.1);
            if len == most && chosen.last().is_none_or(|c| c.0 != p) {
                chosen.push((p, q));
            }
        }
        // An impossible replay leaves its arrays whole, which can affect whether others are possible: iterate until all
        // are.
        loop {
            let keep: PrimaryMap<BufferId, Lifetime> = (lives.iter())
                .map(|(u, x)| match *x {
                    Lives::Long => Lifetime::Whole,
                    // A replay overwrites the last block, which holds the last states.
                    Lives::In(p) => match chosen.iter().find(|pair| pair.0 == p) {
                        Some(&(_, q)) if a.leaves_after(u, q) => Lifetime::Whole,
                        _ => Lifetime::Block(p),
                    },
                    Lives::Between(p, q) => {
                        let k = chosen.iter().position(|&x| x == (p, q));
                        k.map_or(Lifetime::Whole, Lifetime::Replayed)
                    }
                })
                .collect();
            let found = chosen.iter().enumerate();
            let found = found.map(|(k, &pair)| a.replay(&keep, k, pair));
            let found: Vec<Option<Checkpointing>> = found.collect();
            match found.iter().position(Option::is_none) {
                Some(k) => {
                    chosen.remove(k);
                }
                None => {
                    let replays: Vec<Checkpointing> = found.into_iter().flatten().collect();
                    return Memory {
                        pays: a.pays(&keep, &replays),
                        keep,
                        replays,
                        sweep_numbers: a.sweep_numbers(),
                        streams: false,
                    };
                }
            }
        }
    }
}

/// The extent of an array's uses.
enum Lives {
    /// Everywhere, or in a way that does not fit blocks.
    Long,
    /// In one sweep, and where its initial states come in and its final ones leave.
    In(usize),
    /// In two sweeps that run over the same steps in both directions.
    Between(usize, usize),
}

impl Analysis<'_> {
    /// See [`Memory::sweep_numbers`].
    fn sweep_numbers(&self) -> usize {
        let within = |p: usize, u: BufferId| {
            let mut uses = self.uses[u].iter();
            uses.any(|x| x.sweep.is_some_and(|s| s.0 == p))
        };
        let of = |p: usize| {
            let buffers = self.plan.buffers.iter();
            let touched = buffers.filter(|(u, x)| x.domain == Domain::Step && within(p, *u));
            touched.map(|(_, x)| x.len).sum::<usize>()
        };
        (0..self.sweeps.len()).map(of).max().unwrap_or(0)
    }

    fn note(&mut self, item: usize, sweep: Option<(usize, usize)>, it: &Item) {
        let domain = match it {
            Item::Loop(l) => Some(l.domain),
            _ => None,
        };
        for access in it.touched(&self.plan.weights) {
            let u = access.view.buffer;
            let used = Use {
                item,
                sweep,
                domain,
                access,
            };
            self.uses[u].push(used);
            if access.write {
                self.writes[u].push(used);
            }
        }
    }

    fn lives(&self, u: BufferId) -> Lives {
        let buffer = &self.plan.buffers[u];
        let uses = &self.uses[u];
        let touched: BTreeSet<usize> = uses.iter().filter_map(|x| Some(x.sweep?.0)).collect();
        let mut touched = touched.into_iter();
        let (Some(p), q, None) = (touched.next(), touched.next(), touched.next()) else {
            return Lives::Long;
        };
        let (start, reverse) = self.sweeps[p];
        let end = match q {
            Some(q) if self.sweeps[q].1 == reverse => return Lives::Long,
            Some(q) => self.sweeps[q].0,
            None => self.plan.items.len(),
        };
        let made = |x: &Use| x.access.write && x.sweep.is_some_and(|(i, _)| i == p);
        let one_sided = buffer.history(!reverse) == 0;
        if buffer.storage != Storage::Workspace
            || buffer.domain != Domain::Step
            || !one_sided
            || !uses.iter().any(made)
        {
            return Lives::Long;
        }
        let fits = uses.iter().all(|x| {
            let v = x.access.view;
            // Steps ahead of the item's own, in the direction of the first sweep.
            let ahead = if reverse { -v.shift } else { v.shift };
            match (x.sweep, x.access.write) {
                (Some(_), true) => !v.from_end && v.shift == 0,
                (Some(_), false) => {
                    !v.from_end && ahead <= 0 && -ahead <= buffer.history(reverse) as i64
                }
                // Initial states come in before the first block, final states leave from the last.
                (None, write) => {
                    let at_start = v.from_end == reverse;
                    let edge = matches!(x.domain, Some(Domain::BoundarySlots(_)));
                    let beyond = if reverse { v.shift >= 0 } else { v.shift < 0 };
                    edge && beyond
                        && if write {
                            at_start && x.item < start
                        } else {
                            !at_start && start < x.item && x.item < end
                        }
                }
            }
        });
        match (fits, q) {
            (false, _) => Lives::Long,
            (true, None) => Lives::In(p),
            (true, Some(q)) => Lives::Between(p, q),
        }
    }

    /// True if the final states of array `u` are read after sweep `q`, outside of sweeps.
    fn leaves_after(&self, u: BufferId, q: usize) -> bool {
        let after = |x: &Use| x.sweep.is_none() && x.item > self.sweeps[q].0;
        self.uses[u].iter().any(after)
    }

    /// True if the replays cost less than the stores that they save, if these go to memory.
    fn pays(&self, keep: &PrimaryMap<BufferId, Lifetime>, replays: &[Checkpointing]) -> bool {
        let efforts = replays.iter().flat_map(|r| {
            let Item::Sweep { items, .. } = &self.plan.items[self.sweeps[r.sweep].0] else {
                unreachable!("sweeps are sweeps")
            };
            r.items.iter().map(|&i| effort(self.plan, &items[i], LEAST))
        });
        let crossing: usize = (self.plan.buffers.iter())
            .filter(|(u, _)| matches!(keep[*u], Lifetime::Replayed(_)))
            .map(|(_, buffer)| buffer.len)
            .sum();
        let efforts: usize = efforts.sum();
        crossing > 0 && efforts <= self.plan.target.cycles().effort.crossing * crossing
    }

    /// The part of sweep `p` that must run again to provide the values that cross to `q`, if that is possible.
    fn replay(
        &self,
        keep: &PrimaryMap<BufferId, Lifetime>,
        k: usize,
        (p, q): (usize, usize),
    ) -> Option<Checkpointing> {
        let Item::Sweep { items, reverse } = &self.plan.items[self.sweeps[p].0] else {
            unreachable!("sweeps are sweeps")
        };
        let (start, end) = (self.sweeps[p].0, self.sweeps[q].0);
        let in_p = |x: &Use| x.sweep.filter(|&(i, _)| i == p).map(|(_, item)| item);
        let writers = |u: BufferId| self.writes[u].iter();
        let mut again: BTreeSet<usize> = BTreeSet::new();
        let mut wanted: Vec<BufferId> = (keep.keys())
            .filter(|&u| keep[u] == Lifetime::Replayed(k))
            .collect();
        let mut seen: BTreeSet<BufferId> = wanted.iter().copied().collect();
        let mut slots = Vec::new();
        while let Some(u) = wanted.pop() {
            for item in writers(u).filter_map(in_p) {
                if !again.insert(item) {
                    continue;
                }
                if !matches!(
                    items[item],
                    Item::Loop(_) | Item::TimeTile { .. } | Item::Product { .. }
                ) {
                    return None;
                }
                // Its inputs must be unchanged, and its outputs are written as a whole.
                for a in items[item].touched(&self.plan.weights) {
                    let r = a.view.buffer;
                    let buffer = &self.plan.buffers[r];
                    let made_here: Vec<usize> = writers(r).filter_map(in_p).collect();
                    let made_elsewhere =
                        |x: &&Use| in_p(x).is_none() && x.item > start && x.item <= end;
                    if made_here.is_empty() {
                        // The input must still exist, and be unchanged.
                        if keep[r] != Lifetime::Whole || writers(r).any(|x| made_elsewhere(&x)) {
                            return None;
                        }
                        continue;
                    }
                    let steps = buffer.domain == Domain::Step;
                    // Other items may have filled in its initial states, or overwrite it after reading it.
                    let only_here = writers(r).all(|x| {
                        let fills =
                            x.item < start && matches!(x.domain, Some(Domain::BoundarySlots(_)));
                        in_p(x).is_some() || fills || steps && x.item == end
                    });
                    if !only_here {
                        return None;
                    }
                    if seen.insert(r) {
                        wanted.push(r);
                    }
                }
            }
        }
        // One-step arrays that the part writes: those that it reads first carry a value from step to step.
        let carry: BTreeSet<BufferId> = again.iter().flat_map(|&i| carried(&items[i])).collect();
        for (u, buffer) in &self.plan.buffers {
            let by_again = |x: &Use| in_p(x).is_some_and(|i| again.contains(&i));
            if buffer.storage != Storage::Workspace || !writers(u).any(by_again) {
                continue;
            }
            let steps = buffer.domain == Domain::Step;
            // Nothing may later read what the replay overwrites.
            let wanted_later = self.uses[u]
                .iter()
                .any(|x| x.item >= end && in_p(x).is_none());
            if !steps && wanted_later {
                return None;
            }
            if !steps && carry.contains(&u) {
                slots.push(u);
            }
        }
        let history = keep.keys().filter(|&u| {
            let window =
                matches!(keep[u], Lifetime::Block(i) if i == p) || keep[u] == Lifetime::Replayed(k);
            let by_again = writers(u).filter_map(in_p).any(|i| again.contains(&i));
            window && by_again && self.plan.buffers[u].history(*reverse) > 0
        });
        Some(Checkpointing {
            sweep: p,
            by: q,
            items: again.iter().copied().collect(),
            history: history.collect(),
            slots,
        })
    }
}

/// The arrays that a loop of the item reads before it writes them.
fn carried(item: &Item) -> BTreeSet<BufferId> {
    let mut all = BTreeSet::new();
    for item in walk(std::slice::from_ref(item)) {
        let Item::Loop(l) = item else { continue };
        let mut written = BTreeSet::new();
        for s in &l.body {
            let loads = s.loads().into_iter().map(|v| v.buffer);
            all.extend(loads.filter(|u| !written.contains(u)));
            written.extend(s.stores().into_iter().map(|v| v.buffer));
        }
    }
    all
}
