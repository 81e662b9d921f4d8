//! Time tiles: a recurrence, the products that only it reads and the work on their results before it (such as an
//! activation by a wide kernel) run over time together, one block of steps at a time, so that a product's results are
//! still in cache when the steps read them.
//!
//! Hoisting is a matter of many rows at once, not of before-the-loop.

use retrograd_tape::Domain;

use crate::plan::access::{Access, conflict, goes_along, of_array};
use crate::plan::{Item, Loop, LoopKind, Plan};
use crate::work::Allowance;

/// Operations allowed for finding time tiles, for any plan and per access of its items.
const SMALL: usize = 1 << 20;
const EACH: usize = 64;

/// Forms the time tiles of a plan. If the search takes too long, the rest goes without.
pub(crate) fn time_tile(plan: &mut Plan) {
    let touched = plan.items.iter().map(|i| i.touched(&plan.weights));
    let mut touched: Vec<Vec<Access>> = touched.collect();
    let accesses: usize = touched.iter().map(Vec::len).sum();
    let mut left = Allowance::of(SMALL + EACH * accesses);
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
        let mut to = i;
        while left.spend(touched[i].len())
            && to + 1 < plan.items.len()
            && !conflict(&touched[i], &touched[to + 1])
        {
            to += 1;
        }
        let reader = plan.items.get(to + 1);
        let follows = |l: &Loop| {
            let behind = [touched[to + 1].as_slice()];
            matches!(l.kind, LoopKind::Recurrence { .. })
                && follow(&behind, &plan.items[i], &touched[i])
        };
        if !left.is_spent() && reader.is_some_and(|r| matches!(r, Item::Loop(l) if follows(l))) {
            left.spend(to - i);
            plan.items[i..=to].rotate_left(1);
            touched[i..=to].rotate_left(1);
        }
    }
    let mut out: Vec<Item> = Vec::new();
    // The accesses of the last items of `out`, back to the last time tile.
    let mut before: Vec<Vec<Access>> = Vec::new();
    for (item, own) in std::mem::take(&mut plan.items).into_iter().zip(touched) {
        if let Item::Loop(l) = &item
            && let LoopKind::Recurrence { reverse } = l.kind
        {
            let last = &out[out.len() - before.len()..];
            let products = together(last, &before, &own, reverse, plan, &mut left);
            if products > 0 {
                let mut items = out.split_off(out.len() - products);
                items.push(item);
                out.push(Item::TimeTile { reverse, items });
                before.clear();
                continue;
            }
        }
        out.push(item);
        before.push(own);
    }
    plan.items = out;
}

/// How many of the last items run over time together with the recurrence behind them: products that it follows, and
/// loops over the steps of such products. `touched` has the accesses of each, `own` those of the recurrence.
fn together(
    items: &[Item],
    touched: &[Vec<Access>],
    own: &[Access],
    reverse: bool,
    plan: &Plan,
    left: &mut Allowance,
) -> usize {
    let mut members = vec![own];
    let (mut count, mut products) = (0, 0);
    for (item, own) in items.iter().zip(touched).rev() {
        if !left.spend(members.len() * own.len()) {
            break;
        }
        let parallel = matches!(item, Item::Loop(p) if p.kind == LoopKind::Parallel && p.domain == Domain::Step);
        // A loop joins if the recurrence and its products also touch all that it reads and writes.
        let along = |m: &&[Access]| goes_along(own, m, &plan.buffers, reverse);
        let joins =
            parallel && members.iter().any(|m| conflict(own, m)) && members.iter().all(along);
        if !joins && !follow(&members, item, own) {
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

/// True if everything behind a product, which the item must be, can run right behind it, step by step: it reads each
/// result at its own step only, and changes nothing that the product reads.
fn follow(members: &[&[Access]], item: &Item, own: &[Access]) -> bool {
    let Item::Product {
        domain: Domain::Step,
        product,
    } = item
    else {
        return false;
    };
    let result = product.y.buffer;
    let at_step = |a: &Access| a.view.shift == 0 && !a.view.from_end;
    let reads = |a: &&Access| !a.write && a.view.buffer != result;
    let results = || members.iter().flat_map(|m| of_array(m, result));
    let changed = |a: &Access| {
        let mut others = members.iter().flat_map(|m| of_array(m, a.view.buffer));
        others.any(|o| o.write)
    };
    results().next().is_some() && results().all(at_step) && !own.iter().filter(reads).any(changed)
}
