//! Nests: a recurrence and the products that only it reads go through time together, a block of steps at a time, so that
//! what a product made is still in cache when the steps read it.
//!
//! Hoisting is a matter of many rows at once, not of before-the-loop.

use retrograd_tape::Domain;

use crate::plan::access::conflict;
use crate::plan::{Item, Kind, Loop, Plan};

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
        let accesses = |k: usize| plan.items[k].accesses(&plan.weights);
        let own = accesses(i);
        let mut to = i;
        while to + 1 < plan.items.len() && !conflict(&own, &accesses(to + 1)) {
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
