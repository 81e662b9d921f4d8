//! Nests: a recurrence, the products that only it reads and what is done with them before it (an activation by a wide
//! kernel, say) go through time together, a block of steps at a time, so that what a product made is still in cache when
//! the steps read it.
//!
//! Hoisting is a matter of many rows at once, not of before-the-loop.

use retrograd_tape::Domain;

use crate::plan::access::{Access, conflict, goes_along};
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
        let follows = |l: &Loop| {
            let behind = [plan.items[to + 1].accesses(&plan.weights)];
            matches!(l.kind, Kind::Recurrence { .. }) && follow(&behind, &plan.items[i], plan)
        };
        if reader.is_some_and(|r| matches!(r, Item::Loop(l) if follows(l))) {
            plan.items[i..=to].rotate_left(1);
        }
    }
    let mut out: Vec<Item> = Vec::new();
    for item in std::mem::take(&mut plan.items) {
        if let Item::Loop(l) = &item
            && let Kind::Recurrence { reverse } = l.kind
        {
            let products = before(&out, l, plan);
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

/// How many of the last items go through time together with the recurrence behind them: products that it follows, and
/// loops over the steps of such products.
fn before(items: &[Item], l: &Loop, plan: &Plan) -> usize {
    let accesses = |i: &Item| i.accesses(&plan.weights);
    let mut members = vec![accesses(&Item::Loop(l.clone()))];
    let (mut count, mut products) = (0, 0);
    let Kind::Recurrence { reverse } = l.kind else {
        return 0;
    };
    for item in items.iter().rev() {
        let parallel =
            matches!(item, Item::Loop(p) if p.kind == Kind::Parallel && p.domain == Domain::Step);
        let own = accesses(item);
        // A loop belongs to what it is done to: all that it reads and writes, the recurrence and its products do too.
        let along = |m: &Vec<Access>| goes_along(&own, m, &plan.buffers, reverse);
        let joins =
            parallel && members.iter().any(|m| conflict(&own, m)) && members.iter().all(along);
        if !joins && !follow(&members, item, plan) {
            break;
        }
        count += 1;
        if !parallel {
            products = count;
        }
        members.push(own);
    }
    products
}

/// True if all that comes behind a product can run right behind it, step by step: it reads each result at its own step
/// only, and changes nothing that the product reads.
fn follow(members: &[Vec<Access>], item: &Item, plan: &Plan) -> bool {
    let Item::Product {
        domain: Domain::Step,
        product,
    } = item
    else {
        return false;
    };
    let own = item.accesses(&plan.weights);
    let all = || members.iter().flatten();
    let is_result = |a: &Access| a.view.buffer == product.y.buffer;
    let read = |u: usize| {
        own.iter()
            .any(|o| !o.write && !is_result(o) && o.view.buffer == u)
    };
    all().any(is_result)
        && all().all(|a| match is_result(a) {
            true => a.view.shift == 0 && !a.view.from_end,
            false => !a.write || !read(a.view.buffer),
        })
}
