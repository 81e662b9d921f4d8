//! Sweeps: everything that can run over time together does, one long block of steps at a time.
//!
//! Items over steps in one direction form a sweep as long as none needs what another computes in later blocks. An array
//! used only within a sweep then needs one block (`memory.rs`), whatever the length of the sequence, and the sweep's
//! states at its blocks' borders are all that is needed to run it again.
//!
//! An item without a direction goes where it is read: the loss's derivative with the backward sweep, so that it does
//! not cross from one sweep to the next.

use cranelift_entity::SecondaryMap;
use retrograd_tape::Domain;

use crate::plan::access::{Access, goes_along};
use crate::plan::{BufferId, Item, LoopKind, Plan};
use crate::work::Allowance;

/// The direction in time that an item needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Not over steps: it runs between sweeps.
    None,
    /// Its steps may come in any order.
    Either,
    /// From the last step to the first if true.
    Fixed(bool),
}

/// The direction in which an item runs over time.
pub(crate) fn direction(item: &Item) -> Direction {
    match item {
        Item::TimeTile { reverse, .. } | Item::Sweep { reverse, .. } => Direction::Fixed(*reverse),
        Item::Loop(l) => match l.kind {
            LoopKind::Recurrence { reverse } => Direction::Fixed(reverse),
            LoopKind::Parallel if l.domain == Domain::Step => Direction::Either,
            LoopKind::Parallel => Direction::None,
        },
        Item::Product { domain, .. }
        | Item::Outer { domain, .. }
        | Item::SumTo { domain, .. }
        | Item::OuterTo { domain, .. }
        | Item::Scatter { domain, .. } => match domain {
            Domain::Step => Direction::Either,
            _ => Direction::None,
        },
        Item::Pack(_) => Direction::None,
    }
}

/// The items of a plan that are still to be placed, with their dependences.
struct ItemOrder<'p> {
    plan: &'p Plan,
    direction: Vec<Direction>,
    accesses: Vec<Vec<Access>>,
    /// For each item, the earlier ones that it must come after.
    after: Vec<Vec<usize>>,
    /// For each item, the later ones that must come after it.
    before: Vec<Vec<usize>>,
    placed: Vec<bool>,
    allowance: Allowance,
}

/// Operations allowed for forming sweeps, for any plan and per access of its items.
const SMALL: usize = 1 << 20;
const EACH: usize = 128;

impl<'p> ItemOrder<'p> {
    fn new(plan: &'p Plan) -> ItemOrder<'p> {
        let touched = plan.items.iter().map(|i| i.touched(&plan.weights));
        let accesses: Vec<Vec<Access>> = touched.collect();
        let all: usize = accesses.iter().map(Vec::len).sum();
        let n = accesses.len();
        let mut order = ItemOrder {
            plan,
            direction: plan.items.iter().map(direction).collect(),
            placed: vec![false; n],
            after: vec![Vec::new(); n],
            before: vec![Vec::new(); n],
            accesses,
            allowance: Allowance::of(SMALL + EACH * all),
        };
        order.sort();
        order
    }

    /// Finds the dependences: an item comes after all earlier writers of what it accesses, and all earlier readers of
    /// what it writes.
    fn sort(&mut self) {
        let mut readers: SecondaryMap<BufferId, Vec<usize>> = SecondaryMap::new();
        let mut writers = readers.clone();
        for (j, own) in self.accesses.iter().enumerate() {
            let by_array = || own.chunk_by(|a, b| a.view.buffer == b.view.buffer);
            let writes = |all: &[Access]| all.iter().any(|a| a.write);
            let mut earlier: Vec<usize> = Vec::new();
            for all in by_array() {
                let u = all[0].view.buffer;
                earlier.extend(&writers[u]);
                if writes(all) {
                    earlier.extend(&readers[u]);
                }
            }
            for all in by_array() {
                let u = all[0].view.buffer;
                let list = if writes(all) {
                    &mut writers
                } else {
                    &mut readers
                };
                list[u].push(j);
            }
            if !self.allowance.spend(earlier.len()) {
                return;
            }
            earlier.sort_unstable();
            earlier.dedup();
            earlier.iter().for_each(|&i| self.before[i].push(j));
            self.after[j] = earlier;
        }
    }

    fn left(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.placed.len()).filter(|&i| !self.placed[i])
    }

    /// Remaining items that can run over time together in one direction, excluding `without`.
    fn together(&mut self, reverse: bool, without: &[usize]) -> Vec<usize> {
        let mut barred = flags(self.placed.len(), without);
        let mut is_member = vec![false; self.placed.len()];
        let mut members: Vec<usize> = Vec::new();
        let mut work = 0;
        for j in self.left() {
            let fits = match self.direction[j] {
                Direction::None => false,
                Direction::Either => true,
                Direction::Fixed(r) => r == reverse,
            };
            work += 1 + self.after[j].len();
            let follows = |&i: &usize| {
                self.placed[i]
                    || is_member[i]
                        && goes_along(
                            &self.accesses[i],
                            &self.accesses[j],
                            &self.plan.buffers,
                            reverse,
                        )
            };
            barred[j] = barred[j] || !fits || !self.after[j].iter().all(follows);
            if !barred[j] {
                is_member[j] = true;
                members.push(j);
            }
        }
        self.allowance.spend(work);
        members
    }

    fn is_fixed(&self, i: usize) -> bool {
        matches!(self.direction[i], Direction::Fixed(_))
    }

    /// Work without a direction that comes before all remaining recurrences and that something between sweeps waits
    /// for, such as a sum of weights that the loss is divided by.
    fn ahead(&mut self) -> Vec<usize> {
        let left: Vec<usize> = self.left().collect();
        let mut wanted = vec![false; self.placed.len()];
        let mut early = vec![false; self.placed.len()];
        for &j in &left {
            let mut before = self.after[j].iter().filter(|&&i| !self.placed[i]);
            early[j] = !self.is_fixed(j) && before.all(|&i| early[i]);
        }
        for &j in left.iter().rev() {
            // Only work that later items wait for is worth a sweep of its own.
            let read_later = || self.before[j].iter().any(|&k| !self.placed[k]);
            if early[j] && self.direction[j] == Direction::None && read_later() {
                wanted[j] = true;
            }
            if wanted[j] {
                for &i in self.after[j].iter().filter(|&&i| early[i]) {
                    wanted[i] = true;
                }
            }
        }
        let steps = |&i: &usize| wanted[i] && self.direction[i] == Direction::Either;
        let ahead: Vec<usize> = left.into_iter().filter(steps).collect();
        let is_ahead = flags(self.placed.len(), &ahead);
        let without: Vec<usize> = self.left().filter(|&i| !is_ahead[i]).collect();
        self.together(false, &without)
    }

    /// The next sweep: its direction and items. Something remains, and all of it is over steps.
    fn next(&mut self) -> (bool, Vec<usize>) {
        let ahead = self.ahead();
        if !ahead.is_empty() {
            return (false, ahead);
        }
        let (forward, backward) = (self.together(false, &[]), self.together(true, &[]));
        let first = |members: &[usize]| members.iter().copied().find(|&i| self.is_fixed(i));
        let reverse = match (first(&forward), first(&backward)) {
            (Some(a), Some(b)) => b < a,
            (a, b) => a.is_none() && b.is_some(),
        };
        let members = if reverse { backward } else { forward };
        (reverse, self.without_late(reverse, members))
    }

    /// Leaves out items that no recurrence of the sweep needs but one of the next does, if they can run along with that
    /// one.
    fn without_late(&mut self, reverse: bool, members: Vec<usize>) -> Vec<usize> {
        let n = self.placed.len();
        let is_member = flags(n, &members);
        let needed_by = |wanted: &dyn Fn(usize) -> bool, among: &[usize]| {
            let mut needed = vec![false; n];
            for &j in among.iter().rev() {
                needed[j] = wanted(j) || self.before[j].iter().any(|&k| needed[k]);
            }
            needed
        };
        let here = needed_by(&|i| self.is_fixed(i), &members);
        let left: Vec<usize> = self.left().collect();
        let there = needed_by(&|i| self.is_fixed(i) && !is_member[i], &left);
        let (mut late, mut kept): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut is_late = vec![false; n];
        for &i in &members {
            // Readers of an item that is left out are left out too.
            is_late[i] = !here[i] && there[i] || self.after[i].iter().any(|&j| is_late[j]);
            if is_late[i] {
                late.push(i);
            } else {
                kept.push(i);
            }
        }
        if late.is_empty() || !kept.iter().any(|&i| self.is_fixed(i)) {
            return members;
        }
        kept.iter().for_each(|&i| self.placed[i] = true);
        let none: Vec<usize> = self.settle();
        let next = self.together(!reverse, &[]);
        kept.iter()
            .chain(&none)
            .for_each(|&i| self.placed[i] = false);
        let goes = flags(n, &next);
        let joined = late.iter().all(|&i| goes[i]) && next.iter().any(|&i| self.is_fixed(i));
        if joined { kept } else { members }
    }

    /// Places everything between sweeps that can run now, and returns it in order.
    fn settle(&mut self) -> Vec<usize> {
        let mut done = Vec::new();
        self.allowance.spend(self.placed.len());
        for i in 0..self.placed.len() {
            let ready = self.after[i].iter().all(|&j| self.placed[j]);
            if !self.placed[i] && self.direction[i] == Direction::None && ready {
                self.placed[i] = true;
                done.push(i);
            }
        }
        done
    }
}

/// The list as flags for `n` items.
fn flags(n: usize, list: &[usize]) -> Vec<bool> {
    let mut flags = vec![false; n];
    list.iter().for_each(|&i| flags[i] = true);
    flags
}

/// Forms the sweeps of a plan. If that takes too long, there are none: all work over steps is done for all steps at
/// once.
pub(crate) fn sweeps(plan: &mut Plan) {
    let mut order = ItemOrder::new(plan);
    let mut sequence: Vec<(Option<bool>, Vec<usize>)> = Vec::new();
    while order.placed.contains(&false) {
        if order.allowance.is_spent() {
            return;
        }
        let between = order.settle();
        sequence.extend(between.into_iter().map(|i| (None, vec![i])));
        if order.placed.contains(&false) {
            let (reverse, members) = order.next();
            members.iter().for_each(|&i| order.placed[i] = true);
            sequence.push((Some(reverse), members));
        }
    }
    let mut items: Vec<Option<Item>> = std::mem::take(&mut plan.items)
        .into_iter()
        .map(Some)
        .collect();
    let mut take = |i: usize| items[i].take().expect("each item has one place");
    plan.items = sequence
        .into_iter()
        .map(|(sweep, members)| match sweep {
            None => take(members[0]),
            Some(reverse) => Item::Sweep {
                reverse,
                items: members.into_iter().map(&mut take).collect(),
            },
        })
        .collect();
}
