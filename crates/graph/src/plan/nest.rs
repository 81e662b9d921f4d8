//! Nests: a recurrence and the products that only it reads go through time together, a block of steps at a time, so that
//! what a product made is still in cache when the steps read it.
//!
//! Hoisting is a matter of many rows at once, not of before-the-loop.

use std::collections::HashSet;

use retrograd_tape::Domain;

use crate::plan::{Item, Kind, Loop, Plan, Product, Stmt};

/// Buffers that an item reads and writes.
struct Touches {
    reads: HashSet<usize>,
    writes: HashSet<usize>,
}

impl Touches {
    fn of(plan: &Plan, item: &Item) -> Touches {
        let mut t = Touches {
            reads: HashSet::new(),
            writes: HashSet::new(),
        };
        let weight = |t: &mut Touches, w: usize| {
            t.reads
                .extend(plan.weights[w].blocks.iter().map(|b| b.view.buffer))
        };
        match item {
            Item::Pack(w) => weight(&mut t, *w),
            Item::Product { product, .. } => t.product(product, &mut |t, w| weight(t, w)),
            Item::Loop(l) => {
                for s in &l.body {
                    for v in s.loads() {
                        t.reads.insert(v.buffer);
                    }
                    for v in s.stores() {
                        t.writes.insert(v.buffer);
                    }
                    if let Stmt::Product(p) = s {
                        t.product(p, &mut |t, w| weight(t, w));
                    }
                }
            }
            Item::Outer {
                delta, rhs, bias, ..
            } => {
                t.reads.insert(delta.buffer);
                t.reads.extend(rhs.iter().map(|r| r.x.buffer));
                t.writes
                    .extend(rhs.iter().flat_map(|r| r.to.iter().map(|b| b.view.buffer)));
                t.writes.extend(bias.iter().map(|b| b.view.buffer));
            }
            Item::SumTo { x, parts, .. } => {
                t.reads.insert(x.buffer);
                t.writes.extend(parts.iter().map(|b| b.view.buffer));
            }
            Item::OuterTo { a, b, y, .. } => {
                t.reads.extend([a.0.buffer, b.0.buffer]);
                t.writes.insert(y.buffer);
            }
            Item::Scatter { index, v, y, .. } => {
                t.reads.extend([index.buffer, v.buffer]);
                t.writes.insert(y.buffer);
            }
            Item::Nest { items, .. } => {
                for i in items {
                    let inner = Touches::of(plan, i);
                    t.reads.extend(inner.reads);
                    t.writes.extend(inner.writes);
                }
            }
        }
        t
    }

    fn product(&mut self, p: &Product, weight: &mut dyn FnMut(&mut Touches, usize)) {
        self.reads.insert(p.x.buffer);
        self.reads.extend(p.bias.map(|b| b.buffer));
        self.writes.insert(p.y.buffer);
        weight(self, p.weight);
    }

    /// True if the two may not change places.
    fn conflicts(&self, other: &Touches) -> bool {
        let meet = |a: &HashSet<usize>, b: &HashSet<usize>| !a.is_disjoint(b);
        meet(&self.writes, &other.reads)
            || meet(&self.reads, &other.writes)
            || meet(&self.writes, &other.writes)
    }
}

/// Forms the nests of a plan.
pub(crate) fn nest(plan: &mut Plan) {
    // Each product over all steps moves down to the first item that it cannot pass.
    for i in (0..plan.items.len()).rev() {
        if !matches!(
            plan.items[i],
            Item::Product {
                domain: Domain::Step,
                ..
            }
        ) {
            continue;
        }
        let own = Touches::of(plan, &plan.items[i]);
        let mut to = i;
        while to + 1 < plan.items.len() && !own.conflicts(&Touches::of(plan, &plan.items[to + 1])) {
            to += 1;
        }
        let reader = plan.items.get(to + 1);
        if reader.is_some_and(|r| matches!(r, Item::Loop(l) if follows(l, &plan.items[i]))) {
            plan.items[i..=to].rotate_left(1);
        }
    }
    let mut out: Vec<Item> = Vec::new();
    for item in std::mem::take(&mut plan.items) {
        if let Item::Loop(l) = &item
            && let Kind::Recurrence { reverse } = l.kind
        {
            let products = out.iter().rev().take_while(|p| follows(l, p)).count();
            if products > 0 {
                let mut items = out.split_off(out.len() - products);
                items.push(item);
                out.push(Item::Nest { reverse, items });
                continue;
            }
        }
        out.push(item);
    }
    plan.items = out;
}

/// True if a recurrence can run right behind a product, step by step: it reads each result at its own step only, and
/// changes nothing that the product reads.
fn follows(l: &Loop, item: &Item) -> bool {
    let Item::Product {
        domain: Domain::Step,
        product,
    } = item
    else {
        return false;
    };
    let Kind::Recurrence { .. } = l.kind else {
        return false;
    };
    let mut used = false;
    for s in &l.body {
        for v in s.loads() {
            if v.buffer == product.y.buffer {
                used = true;
                if v.shift != 0 || v.from_end {
                    return false;
                }
            }
        }
        for v in s.stores() {
            if v.buffer == product.x.buffer {
                return false;
            }
            used |= v.buffer == product.y.buffer;
        }
    }
    used
}
