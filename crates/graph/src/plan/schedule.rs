//! Distributes the work over loops, in order: everything that can run over its whole domain at once does, and
//! recurrences run step after step.
//!
//! Loops are drafts here: they refer to values, not arrays. Each value counts down the number of others that it waits
//! for, so the cost of scheduling is proportional to the number of reads.

mod body;
mod defer;
mod family;
mod halves;
mod sink;
mod sums;

use std::collections::{BTreeMap, BTreeSet};

use retrograd_tape::{Domain, Op, Value};
use rustc_hash::FxHashMap as HashMap;

use crate::passes::components::Class;
use crate::plan::LoopKind;
use crate::plan::build::{Classified, LoweringKind};
use crate::work;
use family::Families;

/// The smallest piece of element-wise work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Atom {
    /// A value that is computed element by element, or a fold.
    Value(Value),
    /// Storing a part of a concatenation, given by its number, in its place.
    Part(Value, usize),
    /// Filling the boundary steps of a delayed value with its initial value; identified by a delay that reads them.
    Fill(Value),
}

/// A statement that refers to values.
#[derive(Clone, Debug)]
pub(crate) enum Draft {
    /// Atoms of one length in one lane loop.
    Region(usize, Vec<Atom>),
    /// A value with a statement of its own.
    Node(Value),
}

/// An item that refers to values.
#[derive(Clone, Debug)]
pub(crate) enum DraftItem {
    /// A loop.
    Loop(Domain, LoopKind, Vec<Draft>),
    /// A product over its whole domain.
    Product(Value),
    /// Sums of one left operand, or one other sum.
    Global(Vec<Value>),
}

/// The delays that represent the boundary steps of their operands: for each operand and direction, the longest.
pub(crate) fn fills(f: &Classified<'_>) -> Vec<Value> {
    let mut longest: Vec<(usize, Value)> = Vec::new();
    let mut known: HashMap<(Value, bool), usize> = HashMap::default();
    for &v in &f.order {
        if let &(Op::Delay(d) | Op::Boundary(d)) = f.g.op_of(v) {
            let x = f.g.operands(v)[0];
            let n = d.unsigned_abs() as usize;
            let k = *known.entry((x, d > 0)).or_insert(longest.len());
            match longest.get_mut(k) {
                Some(e) if e.0 >= n => {}
                Some(e) => *e = (n, v),
                None => longest.push((n, v)),
            }
        }
    }
    longest.into_iter().map(|e| e.1).collect()
}

fn is_delay(f: &Classified<'_>, v: Value) -> bool {
    matches!(f.g.op_of(v), Op::Delay(_) | Op::Boundary(_))
}

/// Whether a delay or boundary reads boundary steps before the sequence, not after it.
fn is_ahead(f: &Classified<'_>, v: Value) -> bool {
    matches!(f.g.op_of(v), Op::Delay(d) | Op::Boundary(d) if *d > 0)
}

/// An entry in the list of those that wait for something.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// A position in the order, or beyond those the number of a fill.
    who: usize,
    /// Whether it reads at its own point, so that one loop can compute both.
    here: bool,
    /// Whether the two are in one recurrence, which as a whole does not wait for itself.
    inside: bool,
}

/// Readers of a value beyond which it is not asked who or where they are: to ask that for each of them would take longer than
/// it is worth.
const MANY: usize = 256;

struct Scheduler<'f, 'g> {
    f: &'f Classified<'g>,
    /// Whether work within bodies moves down to what reads it.
    sink: bool,
    families: Families,
    fills: Vec<Value>,
    /// Position of each value in the order, indexed by value.
    place: Vec<usize>,
    /// Indexed by position or fill, like the next two: the entries that wait for it.
    waited: Vec<Vec<Waits>>,
    /// The number of things that it waits for.
    pending: Vec<usize>,
    /// The number of those that a parallel loop over its domain starting now could not compute before it.
    beyond: Vec<usize>,
    /// Positions that such a loop can compute.
    open: Vec<bool>,
    /// Of those, the values that are better computed later.
    late: Vec<bool>,
    /// Positions that have been computed.
    done: Vec<bool>,
    /// Positions opened since their domain was last visited, by domain.
    fresh: BTreeMap<Domain, BTreeSet<usize>>,
    /// Point-wise work that waits for nothing, by domain, including work that is better done later.
    ready: BTreeMap<Domain, BTreeSet<usize>>,
    products: BTreeSet<usize>,
    globals: BTreeSet<usize>,
    /// Sums that wait for nothing, by their left operand.
    sums: HashMap<Value, BTreeSet<usize>>,
    ready_fills: BTreeSet<usize>,
    /// The number of things that each recurrence waits for, and the values that it computes.
    outside: Vec<usize>,
    members: Vec<Vec<Value>>,
    recurrences: BTreeSet<usize>,
    /// The number of values and fills that are not done.
    left: usize,
    /// Of those, the ones of the forward half.
    early: usize,
    /// What waits for all of the forward half, by position or fill.
    late_half: Vec<usize>,
}

/// Schedules all work, and says how many items the forward half has: those of the backward half follow.
pub(crate) fn schedule(f: &Classified<'_>, sink: bool) -> (Vec<DraftItem>, usize) {
    let mut s = Scheduler::new(f, sink);
    let mut items = Vec::new();
    let mut border = None;
    while s.left > 0 {
        if s.early == 0 && border.is_none() {
            border = Some(items.len());
            s.open_late_half();
        }
        items.push(s.next());
    }
    let border = border.unwrap_or(items.len());
    (items, border)
}

impl<'f, 'g> Scheduler<'f, 'g> {
    fn new(f: &'f Classified<'g>, sink: bool) -> Self {
        let fills = fills(f);
        let (n, all) = (f.order.len(), f.order.len() + fills.len());
        let recurrences = f.components.reverse.len();
        let mut s = Scheduler {
            f,
            sink,
            families: Families::of(f),
            place: vec![usize::MAX; f.g.bound()],
            waited: vec![Vec::new(); all],
            pending: vec![0; all],
            beyond: vec![0; all],
            open: vec![false; n],
            late: vec![false; n],
            done: vec![false; n],
            fresh: BTreeMap::new(),
            ready: BTreeMap::new(),
            products: BTreeSet::new(),
            globals: BTreeSet::new(),
            sums: HashMap::default(),
            ready_fills: BTreeSet::new(),
            outside: vec![0; recurrences],
            members: vec![Vec::new(); recurrences],
            recurrences: BTreeSet::new(),
            left: fills.len(),
            early: 0,
            late_half: Vec::new(),
            fills,
        };
        for (i, &v) in f.order.iter().enumerate() {
            s.place[v.index()] = i;
        }
        let computed: Vec<usize> = (0..n).filter(|&i| s.is_computed(f.order[i])).collect();
        s.left += computed.len();
        s.wait(&computed);
        s.halve(&computed);
        for i in computed {
            if s.beyond[i] == 0 {
                s.opens(i);
            }
            if s.pending[i] == 0 {
                s.is_ready(i);
            }
        }
        let ready = (0..s.fills.len()).filter(|k| s.pending[n + k] == 0);
        s.ready_fills = ready.collect();
        let empty = |s: &Self, k: &usize| s.outside[*k] == 0 && !s.members[*k].is_empty();
        s.recurrences = (0..recurrences).filter(|k| empty(&s, k)).collect();
        s
    }

    fn is_computed(&self, v: Value) -> bool {
        !matches!(
            self.f.lowering(v),
            LoweringKind::View | LoweringKind::Accumulated
        )
    }

    /// Sets up the dependences: values wait for their operands and the boundary steps of these, fills for their initial
    /// values.
    fn wait(&mut self, computed: &[usize]) {
        let (f, n) = (self.f, self.f.order.len());
        // The fills of a value before and after the sequence, keyed by the value itself and by the product that completes it.
        let mut of: HashMap<(Value, usize), Vec<usize>> = HashMap::default();
        let mut of_itself: HashMap<(Value, usize), Vec<usize>> = HashMap::default();
        for (k, &d) in self.fills.iter().enumerate() {
            let x = f.g.operands(d)[0];
            let side = usize::from(!is_ahead(f, d));
            of_itself.entry((x, side)).or_default().push(n + k);
            of.entry((x, side)).or_default().push(n + k);
            if f.last(x) != x {
                of.entry((f.last(x), side)).or_default().push(n + k);
            }
        }
        for &i in computed {
            let v = f.order[i];
            let own = f.class(v);
            if let Class::Recurrent(k) = own {
                self.members[k].push(v);
            }
            let mut elsewhere: Vec<(Value, usize)> = Vec::new();
            for s in f.reads(v) {
                elsewhere.extend(s.sides().map(|side| (s.value, side)));
                if self.is_computed(s.value) {
                    let inside = own != Class::Parallel && f.class(s.value) == own;
                    self.add(self.place[s.value.index()], i, !s.elsewhere, inside);
                }
            }
            let fills = elsewhere.iter().filter_map(|x| of.get(x)).flatten();
            let fills: BTreeSet<usize> = fills.copied().collect();
            fills
                .into_iter()
                .for_each(|fill| self.add(fill, i, false, false));
        }
        for k in 0..self.fills.len() {
            let mut from = f.source(f.g.operands(self.fills[k])[1]);
            from.value = f.last(from.value);
            if self.is_computed(from.value) {
                self.add(self.place[from.value.index()], n + k, false, false);
            }
            let moved = from
                .sides()
                .filter_map(|side| of_itself.get(&(from.value, side)));
            for &fill in moved.flatten() {
                self.add(fill, n + k, false, false);
            }
        }
    }

    fn add(&mut self, what: usize, who: usize, here: bool, inside: bool) {
        work::note(1);
        self.waited[what].push(Waits { who, here, inside });
        self.pending[who] += 1;
        self.beyond[who] += 1;
        if let Some(k) = self.recurrence(who)
            && !inside
        {
            self.outside[k] += 1;
        }
    }

    /// The recurrence that computes the value at a position.
    fn recurrence(&self, who: usize) -> Option<usize> {
        match self.f.class(*self.f.order.get(who)?) {
            Class::Recurrent(k) => Some(k),
            Class::Parallel => None,
        }
    }

    /// The domain of the point-wise work at a position, if it is done for all points at once.
    fn pointwise(&self, who: usize) -> Option<Domain> {
        let f = self.f;
        let &v = f.order.get(who)?;
        let pointwise = matches!(
            f.lowering(v),
            LoweringKind::Lane | LoweringKind::Fold | LoweringKind::Concat | LoweringKind::Row
        );
        (pointwise && f.class(v) == Class::Parallel).then(|| f.domain(v))
    }

    /// A loop over its domain could compute position `i`; then it could also compute whatever waits for that alone.
    fn opens(&mut self, i: usize) {
        let Some(domain) = self.pointwise(i) else {
            return;
        };
        let mut work = vec![i];
        while let Some(i) = work.pop() {
            if std::mem::replace(&mut self.open[i], true) {
                continue;
            }
            self.fresh.entry(domain).or_default().insert(i);
            for w in 0..self.waited[i].len() {
                let Waits { who, here, .. } = self.waited[i][w];
                if here && self.pointwise(who) == Some(domain) {
                    self.beyond[who] -= 1;
                    work.extend((self.beyond[who] == 0).then_some(who));
                }
            }
        }
    }

    /// The value at place `i` waits for nothing.
    fn is_ready(&mut self, i: usize) {
        let f = self.f;
        let v = f.order[i];
        if let Some(domain) = self.pointwise(i) {
            self.ready.entry(domain).or_default().insert(i);
        } else if f.class(v) == Class::Parallel && f.lowering(v) == LoweringKind::Product {
            self.products.insert(i);
        } else if f.class(v) == Class::Parallel {
            self.globals.insert(i);
            let summed = f.unrounded(f.g.operands(v)[0]);
            self.sums.entry(summed).or_default().insert(i);
        }
    }

    /// A position or fill is done: its waiters no longer wait for it.
    fn finish(&mut self, what: usize) {
        self.left -= 1;
        self.early = self.early.saturating_sub(1);
        if let Some(done) = self.done.get_mut(what) {
            *done = true;
        }
        let was_open = self.open.get(what) == Some(&true);
        let domain = self.pointwise(what);
        for Waits { who, here, inside } in std::mem::take(&mut self.waited[what]) {
            work::note(1);
            let counted = was_open && here && self.pointwise(who) == domain;
            self.no_longer_waits(who, counted, inside);
        }
    }

    /// A position or fill waits for one thing less. `counted`: a parallel loop could compute that thing before it;
    /// `inside`: the two are in one recurrence.
    fn no_longer_waits(&mut self, who: usize, counted: bool, inside: bool) {
        let n = self.f.order.len();
        self.pending[who] -= 1;
        self.beyond[who] -= usize::from(!counted);
        if who >= n {
            if self.pending[who] == 0 {
                self.ready_fills.insert(who - n);
            }
            return;
        }
        if let Some(k) = self.recurrence(who) {
            self.outside[k] -= usize::from(!inside);
            if self.outside[k] == 0 {
                self.recurrences.insert(k);
            }
            return;
        }
        if self.beyond[who] == 0 {
            self.opens(who);
        }
        if self.pending[who] == 0 {
            self.is_ready(who);
        }
    }

    /// The next item: a loop over a domain with work for all points at once, else a product, else sums, else a
    /// recurrence.
    fn next(&mut self) -> DraftItem {
        let f = self.f;
        let mut domains: Vec<(usize, Domain)> = (self.ready.iter())
            .filter_map(|(domain, all)| Some((*all.first()?, *domain)))
            .collect();
        domains.sort_unstable();
        let fill = self.ready_fills.first().map(|&k| self.fill_domain(k));
        let domains = domains.into_iter().map(|d| d.1).chain(fill);
        for domain in domains {
            let group = self.group(domain);
            let own = |k: &usize| self.fill_domain(*k) == domain;
            let fills: Vec<usize> = self.ready_fills.iter().copied().filter(own).collect();
            if group.is_empty() && fills.is_empty() {
                continue;
            }
            let values: Vec<Value> = group.iter().map(|&i| f.order[i]).collect();
            let filled: Vec<Value> = fills.iter().map(|&k| self.fills[k]).collect();
            let body = self.body(&values, &filled);
            let ready = self.ready.entry(domain).or_default();
            group.iter().for_each(|i| {
                ready.remove(i);
            });
            fills.iter().for_each(|k| {
                self.ready_fills.remove(k);
            });
            group.into_iter().for_each(|i| self.finish(i));
            let n = f.order.len();
            fills.into_iter().for_each(|k| self.finish(n + k));
            // Dependences within the group are done too.
            let ready = self.ready.entry(domain).or_default();
            values.iter().for_each(|v| {
                ready.remove(&self.place[v.index()]);
            });
            return DraftItem::Loop(domain, LoopKind::Parallel, body);
        }
        if let Some(i) = self.products.pop_first() {
            self.finish(i);
            return DraftItem::Product(f.order[i]);
        }
        if let Some(&i) = self.globals.first() {
            let v = f.order[i];
            let summed = f.unrounded(f.g.operands(v)[0]);
            let together = sums::together(f, i, &self.sums[&summed]);
            for &x in &together {
                self.globals.remove(&x);
                if let Some(rest) = self.sums.get_mut(&summed) {
                    rest.remove(&x);
                }
            }
            together.iter().for_each(|&x| self.finish(x));
            return DraftItem::Global(together.into_iter().map(|x| f.order[x]).collect());
        }
        let k = self.recurrences.pop_first();
        let k = k.expect("the condensation of a graph has no cycle");
        let group = std::mem::take(&mut self.members[k]);
        let body = self.body(&group, &[]);
        for v in group {
            self.finish(self.place[v.index()]);
        }
        // A recurrence does not wait for itself.
        self.recurrences.remove(&k);
        let reverse = f.components.reverse[k];
        DraftItem::Loop(Domain::Step, LoopKind::Recurrence { reverse }, body)
    }

    fn body(&self, group: &[Value], fills: &[Value]) -> Vec<Draft> {
        let mut body = body::body(self.f, &self.families, group, fills);
        if self.sink {
            sink::sink(self.f, &self.families, &mut body);
        }
        body
    }

    fn fill_domain(&self, k: usize) -> Domain {
        match *self.f.g.op_of(self.fills[k]) {
            Op::Delay(d) | Op::Boundary(d) => Domain::BoundarySlots(d.unsigned_abs() as usize),
            _ => unreachable!("fills are delays"),
        }
    }

    /// Takes all point-wise work of a domain that one loop can do now, except what is better done later.
    fn group(&mut self, domain: Domain) -> BTreeSet<usize> {
        let f = self.f;
        let mut fresh = self.fresh.remove(&domain).unwrap_or_default();
        let mut group = BTreeSet::new();
        // Readers come after what they read.
        while let Some(i) = fresh.pop_last() {
            if !self.late[i] && self.waits(f.order[i]) {
                self.late[i] = true;
                continue;
            }
            self.late[i] = false;
            group.insert(i);
            // Its operands no longer wait.
            for s in f.reads(f.order[i]) {
                let x = self.place[s.value.index()];
                if self.late.get(x) == Some(&true) {
                    fresh.insert(x);
                }
            }
        }
        group
    }
}
