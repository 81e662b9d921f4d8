//! Distributes the work over loops, in order: everything that can run over its whole domain at once does, and the
//! recurrences step after step.
//!
//! Loops are drafts here: they name values, not arrays.

use std::collections::HashSet;

use retrograd_tape::{Domain, Op, Value};

use crate::passes::components::Class;
use crate::plan::Kind;
use crate::plan::build::{Facts, How};

/// The smallest piece of element-wise work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Atom {
    /// A value that is computed element by element, or a fold.
    Value(Value),
    /// A part of a concatenation, by its number, is stored in its place.
    Part(Value, usize),
    /// The boundary steps of a delayed value receive what it begins with: a delay that reads them stands for them.
    Fill(Value),
}

/// A statement that names values.
#[derive(Clone, Debug)]
pub(crate) enum Draft {
    /// Atoms of one length in one sweep.
    Region(usize, Vec<Atom>),
    /// A value with a statement of its own.
    Node(Value),
}

/// An item that names values.
#[derive(Clone, Debug)]
pub(crate) enum DraftItem {
    /// A loop.
    Loop(Domain, Kind, Vec<Draft>),
    /// A product over its whole domain.
    Product(Value),
    /// Sums of one left operand, or one other sum.
    Global(Vec<Value>),
}

/// The delays that stand for the boundary steps of their operands: one for each operand and direction, the longest.
pub(crate) fn fills(f: &Facts<'_>) -> Vec<Value> {
    let mut longest: Vec<(Value, bool, usize, Value)> = Vec::new();
    for &v in &f.order {
        if let &(Op::Delay(d) | Op::Boundary(d)) = f.g.op_of(v) {
            let x = f.g.operands(v)[0];
            let n = d.unsigned_abs() as usize;
            match longest.iter_mut().find(|e| e.0 == x && e.1 == (d > 0)) {
                Some(e) if e.2 >= n => {}
                Some(e) => (e.2, e.3) = (n, v),
                None => longest.push((x, d > 0, n, v)),
            }
        }
    }
    longest.into_iter().map(|e| e.3).collect()
}

struct Schedule<'f, 'g> {
    f: &'f Facts<'g>,
    fills: Vec<Value>,
    /// Computed values and fills that are done.
    done: HashSet<Value>,
    filled: HashSet<Value>,
}

/// Puts all work in order.
pub(crate) fn schedule(f: &Facts<'_>) -> Vec<DraftItem> {
    let mut s = Schedule {
        f,
        fills: fills(f),
        done: HashSet::new(),
        filled: HashSet::new(),
    };
    let mut items = Vec::new();
    let computed = |v: &Value| !matches!(f.how(*v), How::View | How::Absorbed);
    let mut left: Vec<Value> = f.order.iter().copied().filter(computed).collect();
    let mut fills_left = s.fills.clone();
    while !left.is_empty() || !fills_left.is_empty() {
        let parallel = |v: &&Value| f.class(**v) == Class::Parallel;
        let pointwise =
            |v: &Value| matches!(f.how(*v), How::Lane | How::Fold | How::Concat | How::Row);
        let ready_fill = fills_left.iter().copied().find(|&v| s.fill_ready(v));
        let ready = left.iter().filter(parallel);
        let ready = ready.filter(|v| pointwise(v) && s.ready(**v));
        let domains = ready
            .map(|&v| f.domain(v))
            .chain(ready_fill.map(|v| s.fill_domain(v)));
        let mut tried = Vec::new();
        let group = domains.into_iter().find_map(|domain| {
            if tried.contains(&domain) {
                return None;
            }
            tried.push(domain);
            let (mut group, fills) = s.group(domain, &left, &fills_left);
            let waiting = s.waiting(&group);
            group.retain(|v| !waiting.contains(v));
            (!group.is_empty() || !fills.is_empty()).then_some((domain, group, fills))
        });
        if let Some((domain, group, group_fills)) = group {
            let body = s.body(&group, &group_fills);
            s.done.extend(&group);
            s.filled.extend(&group_fills);
            left.retain(|v| !group.contains(v));
            fills_left.retain(|v| !group_fills.contains(v));
            items.push(DraftItem::Loop(domain, Kind::Parallel, body));
            continue;
        }
        let product = left
            .iter()
            .filter(parallel)
            .find(|v| f.how(**v) == How::Product && s.ready(**v))
            .copied();
        if let Some(v) = product {
            s.done.insert(v);
            left.retain(|x| *x != v);
            items.push(DraftItem::Product(v));
            continue;
        }
        let global = left
            .iter()
            .filter(parallel)
            .find(|v| f.how(**v) == How::Global && s.ready(**v))
            .copied();
        if let Some(v) = global {
            let together: Vec<Value> = left
                .iter()
                .copied()
                .filter(|&x| x == v || (s.ready(x) && sums_the_same(f, v, x)))
                .collect();
            s.done.extend(&together);
            left.retain(|x| !together.contains(x));
            items.push(DraftItem::Global(together));
            continue;
        }
        let recurrence = (0..f.components.reverse.len()).find(|&k| {
            let mut members = left
                .iter()
                .filter(|v| f.class(**v) == Class::Recurrent(k))
                .peekable();
            members.peek().is_some() && members.all(|&v| s.ready_in(v, k))
        });
        let k = recurrence.expect("the condensation of a graph has no cycle");
        let group: Vec<Value> = left
            .iter()
            .copied()
            .filter(|&v| f.class(v) == Class::Recurrent(k))
            .collect();
        let body = s.body(&group, &[]);
        s.done.extend(&group);
        left.retain(|v| !group.contains(v));
        items.push(DraftItem::Loop(
            Domain::Step,
            Kind::Recurrence {
                reverse: f.components.reverse[k],
            },
            body,
        ));
    }
    items
}

/// True if both are weight gradients, or a bias gradient, of the same left operand.
fn sums_the_same(f: &Facts<'_>, v: Value, x: Value) -> bool {
    let left = |v: Value| match *f.g.op_of(v) {
        Op::Outer { to: Domain::Once } => {
            let xs = f.g.operands(v);
            let domain = f.domain(xs[0]).join(f.domain(xs[1]));
            (f.how(v) == How::Global).then_some((xs[0], domain, true))
        }
        Op::SumTo(Domain::Once) => Some((
            f.g.operands(v)[0],
            Some(f.domain(f.g.operands(v)[0])),
            false,
        )),
        _ => None,
    };
    match (left(v), left(x)) {
        // Sums alone are not worth a pass over δ in common.
        (Some((a, d, outer)), Some((b, e, other))) => a == b && d == e && (outer || other),
        _ => false,
    }
}

impl Schedule<'_, '_> {
    /// The fills that a value's delayed reads need.
    fn fills_read(&self, v: Value) -> impl Iterator<Item = Value> + '_ {
        let elsewhere: HashSet<Value> = self
            .f
            .reads(v)
            .iter()
            .filter(|s| s.elsewhere)
            .map(|s| s.value)
            .collect();
        self.fills.iter().copied().filter(move |&d| {
            let x = self.f.g.operands(d)[0];
            elsewhere.contains(&x) || elsewhere.contains(&self.f.last(x))
        })
    }

    fn is_there(&self, v: Value) -> bool {
        self.f.how(v) == How::View || self.done.contains(&v)
    }

    fn ready(&self, v: Value) -> bool {
        self.f.reads(v).iter().all(|s| self.is_there(s.value))
            && self.fills_read(v).all(|d| self.filled.contains(&d))
    }

    /// Ready once the rest of its recurrence is.
    fn ready_in(&self, v: Value, k: usize) -> bool {
        let inside = |x: Value| self.f.class(x) == Class::Recurrent(k);
        self.f
            .reads(v)
            .iter()
            .all(|s| inside(s.value) || self.is_there(s.value))
            && self.fills_read(v).all(|d| self.filled.contains(&d))
    }

    fn fill_domain(&self, d: Value) -> Domain {
        match *self.f.g.op_of(d) {
            Op::Delay(d) | Op::Boundary(d) => Domain::Edge(d.unsigned_abs() as usize),
            _ => unreachable!("fills are delays"),
        }
    }

    fn fill_ready(&self, d: Value) -> bool {
        let mut s = self.f.source(self.f.g.operands(d)[1]);
        s.value = self.f.last(s.value);
        let moved = self
            .fills
            .iter()
            .filter(|&&e| self.f.g.operands(e)[0] == s.value);
        self.is_there(s.value) && (!s.elsewhere || moved.clone().all(|e| self.filled.contains(e)))
    }

    /// Everything pointwise of a domain that can be done now, in one loop.
    fn group(&self, domain: Domain, left: &[Value], fills: &[Value]) -> (Vec<Value>, Vec<Value>) {
        let f = self.f;
        let mut group: Vec<Value> = Vec::new();
        for &v in left {
            let pointwise = matches!(f.how(v), How::Lane | How::Fold | How::Concat | How::Row);
            if !pointwise || f.class(v) != Class::Parallel || f.domain(v) != domain {
                continue;
            }
            let here = |s: &crate::plan::build::Source| {
                self.is_there(s.value) || (!s.elsewhere && group.contains(&s.value))
            };
            if f.reads(v).iter().all(here) && self.fills_read(v).all(|d| self.filled.contains(&d)) {
                group.push(v);
            }
        }
        let fills = fills
            .iter()
            .copied()
            .filter(|&d| self.fill_domain(d) == domain && self.fill_ready(d))
            .collect();
        (group, fills)
    }

    /// Members of a group that are better computed later: nothing needs them but element-wise work of the same domain that
    /// cannot be done yet, whose sweep then has them for nothing. Only what is made of one value over steps waits, so that
    /// no more is kept for it than it is itself.
    fn waiting(&self, group: &[Value]) -> Vec<Value> {
        let f = self.f;
        let mut waiting: Vec<Value> = Vec::new();
        for &v in group.iter().rev() {
            let domain = f.domain(v);
            if f.how(v) != How::Lane || domain != Domain::Step || f.g.is_output(v) {
                continue;
            }
            let over_steps = |s: &&crate::plan::build::Source| f.domain(s.value) == Domain::Step;
            let readers = f.readers(v);
            let later = |&(u, elsewhere): &(Value, bool)| {
                let here = group.contains(&u) && !waiting.contains(&u);
                !elsewhere
                    && f.how(u) == How::Lane
                    && f.class(u) == Class::Parallel
                    && f.domain(u) == domain
                    && !here
            };
            if f.reads(v).iter().filter(over_steps).count() <= 1
                && !readers.is_empty()
                && readers.iter().all(later)
            {
                waiting.push(v);
            }
        }
        waiting
    }

    /// The statements of a loop's body: element-wise work of one length in as few sweeps as its order allows.
    fn body(&self, group: &[Value], fills: &[Value]) -> Vec<Draft> {
        let f = self.f;
        let inside: HashSet<Value> = group.iter().copied().collect();
        let mut there: HashSet<Value> = HashSet::new();
        let mut atoms: Vec<Atom> = Vec::new();
        for &v in group {
            match f.how(v) {
                How::Concat => atoms.extend((0..f.g.operands(v).len()).map(|i| Atom::Part(v, i))),
                _ => atoms.push(Atom::Value(v)),
            }
        }
        atoms.extend(fills.iter().map(|&d| Atom::Fill(d)));
        let mut body = Vec::new();
        while !atoms.is_empty() {
            // Each operand of an atom: a value, and whether its lanes can be had from the same sweep.
            let own = |a: &Atom| matches!(a, Atom::Value(v) if matches!(f.how(*v), How::Row | How::Product));
            let open = |a: &Atom, region: &HashSet<Value>, there: &HashSet<Value>| {
                self.atom_reads(a).iter().all(|s| {
                    s.elsewhere
                        || !inside.contains(&s.value)
                        || there.contains(&s.value)
                        || (s.whole && region.contains(&s.value))
                })
            };
            let none = HashSet::new();
            if let Some(i) = atoms.iter().position(|a| own(a) && open(a, &none, &there)) {
                let Atom::Value(v) = atoms.remove(i) else {
                    unreachable!("only values have statements of their own")
                };
                there.insert(v);
                body.push(Draft::Node(v));
                continue;
            }
            let first = atoms
                .iter()
                .find(|a| !own(a) && open(a, &none, &there))
                .expect("a step has no cycle");
            let lanes = self.lanes(first);
            let mut region = HashSet::new();
            let mut taken = Vec::new();
            for a in &atoms {
                if !own(a) && self.lanes(a) == lanes && open(a, &region, &there) {
                    if let Atom::Value(v) = a
                        && f.how(*v) == How::Lane
                    {
                        region.insert(*v);
                    }
                    taken.push(*a);
                }
            }
            atoms.retain(|a| !taken.contains(a));
            for a in &taken {
                match a {
                    Atom::Value(v) => {
                        there.insert(*v);
                    }
                    Atom::Part(v, _) => {
                        if !atoms
                            .iter()
                            .any(|b| matches!(b, Atom::Part(w, _) if w == v))
                        {
                            there.insert(*v);
                        }
                    }
                    Atom::Fill(_) => {}
                }
            }
            body.push(Draft::Region(lanes, taken));
        }
        body
    }

    fn lanes(&self, a: &Atom) -> usize {
        let f = self.f;
        match a {
            Atom::Value(v) if f.how(*v) == How::Fold => f.len(f.g.operands(*v)[0]),
            Atom::Value(v) | Atom::Fill(v) => f.len(*v),
            Atom::Part(v, i) => f.len(f.g.operands(*v)[*i]),
        }
    }

    fn atom_reads(&self, a: &Atom) -> Vec<crate::plan::build::Source> {
        match a {
            Atom::Value(v) => self.f.reads(*v),
            Atom::Part(v, i) => {
                let mut s = self.f.source(self.f.g.operands(*v)[*i]);
                s.value = self.f.last(s.value);
                vec![s]
            }
            Atom::Fill(_) => Vec::new(),
        }
    }
}
