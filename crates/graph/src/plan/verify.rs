//! The plan's verifier: the invariants that execution relies on, including the unsafe code of `jit::exec` and the
//! kernels. Rules:
//!
//! 1. Arrays: inputs and outputs are numbered 0, 1, 2 …, each with one array, inputs' arrays first; only arrays of the
//!    program's own, over steps, have boundary steps.
//! 2. An input's array is never written.
//! 3. Every read and write lies within its array: within a point's numbers, within the steps and their boundary for any
//!    T of at least 1, and the array has the points, or fewer: a value of a lower domain is the same at all points of a
//!    higher one.
//! 4. A point stores at itself only: parallel loops at their own points, recurrences also in one step's arrays, loops
//!    over boundary slots beyond the sequence. A parallel loop reads what it stores at its own point only.
//! 5. Regions: operands are earlier instructions, as many as the op takes; no two stores overlap; stored values are
//!    read at the same lanes only. In all other statements, stores do not overlap reads, except that an activation may
//!    store exactly where it reads.
//! 6. Every value read is an input or was stored: by an earlier statement, by an earlier step of the recurrence, and at
//!    the boundary before the loop. At the end, all of each output is stored.
//! 7. Blocks tile the weight or weight gradient that they compose. A weight's arrays are of domain `once`.
//! 8. Weights are packed once, not in time tiles or sweeps, before their products, and do not change afterwards.
//! 9. Time innermost: one region in a recurrence, no folds; loads of what it stores are at the same lanes, and those of
//!    the previous step are exactly the carried ones.
//! 10. Time tiles: at least one product over steps, parallel loops over steps, then one recurrence in the time tile's
//!     direction; none needs what an earlier one computes in a later block.
//! 11. Sweeps: items over steps that suit the sweep's direction; none needs what an earlier one computes in a later
//!     block; no sweeps inside.
//! 12. Unrolling and numbers: recurrences do 1 to [`Unroll::MOST`] steps per iteration, other loops one; loops are not
//!     yet numbered, or numbered 0, 1, 2 … in plan order.
//! 13. Memory, once determined: an array that does not keep all steps is the program's own, over steps, and read in the
//!     sweeps that it is kept for; rings hold the boundary; replays go back through an earlier sweep. Loops have their
//!     numbers.
//! 14. The border, once all items are in place: no item before it reads a cotangent, and none behind it writes an
//!     output, the loss or a final state.
//!
//! Rule 6 says that a value was stored, not that it has not been overwritten: the plan interpreter compares numbers for
//! that.

mod border;
mod flow;
mod memory;

use retrograd_tape::Domain;

use crate::options::Unroll;
use crate::plan::access::{Access, goes_along, overlap};
use crate::plan::stmt::ROW;
use crate::plan::sweep::{Direction, direction};
use crate::plan::touch::{self, Touch};
use crate::plan::{
    BlockAt, Buffer, Carried, Fold, Innermost, Instr, Item, Loop, LoopId, LoopKind, Plan, Region,
    Stmt, Storage, View,
};
use crate::verify::Broken;
pub(crate) use border::border;

/// Checks all rules.
///
/// # Errors
/// The first rule that is broken.
pub fn verify(plan: &Plan) -> Result<(), Broken> {
    arrays(plan)?;
    for (w, weight) in &plan.weights {
        let once = |b: &BlockAt| {
            let buffer = plan.buffers.get(b.view.buffer);
            buffer.is_some_and(|x| x.domain == Domain::Once)
        };
        if !weight.blocks.iter().all(once) {
            return broken(7, format!("{w} has parts that are not of domain once"));
        }
        tiles(&weight.blocks, weight.rows, weight.cols)
            .or_else(|why| broken(7, format!("{w}: {why}")))?;
    }
    let mut numbers = Vec::new();
    for item in &plan.items {
        self::item(plan, item, &mut numbers)?;
    }
    let numbered = (0..).zip(&numbers).all(|(i, n)| i == n.as_u32());
    if !numbered && (numbers.iter().any(|n| n.as_u32() != 0) || !plan.memory.keep.is_empty()) {
        return broken(12, format!("loops are numbered {numbers:?}"));
    }
    flow::stored_before_read(plan)?;
    memory::memory(plan)
}

pub(crate) fn broken<T>(rule: usize, what: String) -> Result<T, Broken> {
    Err(Broken { rule, what })
}

fn arrays(plan: &Plan) -> Result<(), Broken> {
    let (mut inputs, mut outputs) = (0, 0);
    for (u, x) in plan.buffers.values().enumerate() {
        let numbered = match x.storage {
            Storage::Input(k) => {
                inputs += 1;
                k == u
            }
            Storage::Output(k) => {
                outputs += 1;
                k + 1 == outputs
            }
            Storage::Workspace => true,
        };
        let own_steps = x.domain == Domain::Step && x.storage == Storage::Workspace;
        if !numbered || x.len == 0 || !own_steps && (x.front, x.back) != (0, 0) {
            return broken(1, format!("array {u}, `{}`: {x:?}", x.name));
        }
    }
    debug_assert!(inputs + outputs <= plan.buffers.len());
    Ok(())
}

/// Why blocks do not tile a matrix of `rows` by `cols`, covering each number once.
fn tiles(blocks: &[BlockAt], rows: usize, cols: usize) -> Result<(), String> {
    let within = |b: &&BlockAt| b.row + b.rows <= rows && b.col + b.cols <= cols;
    let covered: usize = blocks.iter().map(|b| b.rows * b.cols).sum();
    let meet = |a: &BlockAt, b: &BlockAt| {
        a.row < b.row + b.rows
            && b.row < a.row + a.rows
            && a.col < b.col + b.cols
            && b.col < a.col + a.cols
    };
    let apart = |(i, a): (usize, &BlockAt)| !blocks[..i].iter().any(|b| meet(a, b));
    let tile = blocks.iter().all(|b| within(&b)) && covered == rows * cols;
    match tile && blocks.iter().enumerate().all(apart) {
        true => Ok(()),
        false => Err(format!("its parts are not {rows} x {cols}: {blocks:?}")),
    }
}

/// The rules about an item by itself.
fn item(plan: &Plan, item: &Item, numbers: &mut Vec<LoopId>) -> Result<(), Broken> {
    match item {
        Item::Loop(l) => {
            numbers.push(l.number);
            return self::r#loop(plan, l);
        }
        Item::TimeTile { reverse, items } => {
            time_tile(plan, *reverse, items)?;
            return items.iter().try_for_each(|i| self::item(plan, i, numbers));
        }
        Item::Sweep { reverse, items } => {
            for i in items {
                let fits = match direction(i) {
                    Direction::None => false,
                    Direction::Either => true,
                    Direction::Fixed(r) => r == *reverse,
                };
                if !fits || matches!(i, Item::Sweep { .. }) {
                    return broken(11, format!("a sweep has no place for {i:?}"));
                }
            }
            along(plan, *reverse, items).or_else(|what| broken(11, what))?;
            return items.iter().try_for_each(|i| self::item(plan, i, numbers));
        }
        _ => {}
    }
    touch::of_item(plan, item, &mut |t| places(plan, t))?;
    match item {
        Item::Product { domain, product: p } => {
            let rows = |v: View| {
                let of = plan.buffers[v.buffer].domain;
                match domain {
                    // One slot of each row: an array of one step has it too.
                    Domain::BoundarySlots(1) => {
                        matches!(of, Domain::Row | Domain::Step) || of == *domain
                    }
                    Domain::BoundarySlots(_) => of == Domain::Step || of == *domain,
                    Domain::Once | Domain::Row | Domain::Step => of == *domain,
                }
            };
            // A product over a domain treats its points as contiguous rows.
            if !rows(p.x) || plan.buffers[p.y.buffer].domain != *domain || p.y.shift != 0 {
                return broken(
                    3,
                    format!("{p:?} over {domain} reads or writes other points"),
                );
            }
            product(plan, p, false)
        }
        Item::Outer { len, rhs, bias, .. } => {
            let each = rhs.iter().map(|r| (&r.to, *len, r.len));
            let bias = (!bias.is_empty()).then_some((bias, 1, *len));
            for (to, rows, cols) in each.chain(bias) {
                tiles(to, rows, cols)
                    .or_else(|why| broken(7, format!("a weight gradient: {why}")))?;
            }
            Ok(())
        }
        Item::SumTo { len, parts, .. } => {
            match parts.iter().find(|b| b.rows != 1 || b.col + b.cols > *len) {
                Some(b) => broken(7, format!("{b:?} is no part of a sum of {len}")),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Rules 2, 3 and half of 4, for one access.
fn places(plan: &Plan, t: Touch) -> Result<(), Broken> {
    let v = t.view;
    let Some(x) = plan.buffers.get(v.buffer) else {
        return broken(3, format!("there is no array {}", v.buffer));
    };
    let say = |what: &str| {
        format!(
            "`{}`: {v:?}, {} numbers, over {}: {what}",
            x.name, t.len, t.domain
        )
    };
    if t.write && matches!(x.storage, Storage::Input(_)) {
        return broken(2, say("an input is written"));
    }
    if v.offset + t.len > x.len {
        return broken(3, say("beyond the numbers of a point"));
    }
    let (front, back) = (x.front as i64, x.back as i64);
    let there = match (t.domain, x.domain) {
        (_, Domain::Once)
        | (Domain::Row | Domain::BoundarySlots(_) | Domain::Step, Domain::Row) => true,
        (Domain::BoundarySlots(k), Domain::BoundarySlots(n)) => k == n,
        (Domain::Step, Domain::Step) => !v.from_end && -front <= v.shift && v.shift <= back,
        // The first of k slots, and the last, if there is one step only.
        (Domain::BoundarySlots(k), Domain::Step) => {
            let end = i64::from(v.from_end);
            -front <= v.shift + end && k as i64 + v.shift + end <= 1 + back
        }
        _ => false,
    };
    if !there {
        return broken(3, say("the array has no such point"));
    }
    let own = match (t.domain, x.domain) {
        (Domain::Step, Domain::Step) => v.shift == 0,
        (Domain::Step, Domain::Row) => t.in_iteration,
        (Domain::BoundarySlots(k), Domain::Step) if v.from_end => v.shift >= 0 && k > 0,
        (Domain::BoundarySlots(k), Domain::Step) => v.shift + k as i64 <= 0,
        (Domain::BoundarySlots(k), Domain::Row) => k == 1,
        (at, of) => at == of,
    };
    if t.write && !own {
        return broken(4, say("stored at a point that is not the loop's"));
    }
    Ok(())
}

fn r#loop(plan: &Plan, l: &Loop) -> Result<(), Broken> {
    let recurs = matches!(l.kind, LoopKind::Recurrence { .. });
    let most = if recurs { Unroll::MOST } else { 1 };
    if l.unroll == 0 || l.unroll > most {
        return broken(
            12,
            format!("an iteration of loop {} does {} steps", l.number, l.unroll),
        );
    }
    if recurs && l.domain != Domain::Step {
        return broken(4, format!("a recurrence over {}", l.domain));
    }
    let mut stored: Vec<View> = Vec::new();
    for s in &l.body {
        touch::of_stmt(plan, l, s, &mut |t| {
            if t.write && !recurs {
                stored.push(t.view);
            }
            places(plan, t)
        })?;
        statement(plan, s)?;
    }
    for s in l.body.iter().filter(|_| !stored.is_empty()) {
        for v in s.loads() {
            let other =
                |y: &&View| y.buffer == v.buffer && (y.shift, y.from_end) != (v.shift, v.from_end);
            if let Some(y) = stored.iter().find(other)
                && plan.buffers[v.buffer].domain == Domain::Step
                && l.domain == Domain::Step
            {
                let what = format!("a parallel loop stores {y:?} and reads {v:?}");
                return broken(4, what);
            }
        }
    }
    match &l.inner {
        Innermost::Lanes => Ok(()),
        Innermost::Time(carried) => time_innermost(plan, l, carried),
    }
}

/// Rule 5.
fn statement(plan: &Plan, s: &Stmt) -> Result<(), Broken> {
    match s {
        Stmt::Region(r) => region(plan, r),
        Stmt::Product(p) => product(plan, p, true),
        Stmt::Activate { x, y, len, .. } if x == y || !meet(plan, (*x, *len), (*y, *len)) => Ok(()),
        Stmt::Activate { x, y, .. } => broken(5, format!("an activation of {x:?} stores to {y:?}")),
        s => {
            let (mut read, mut stored) = (Vec::new(), Vec::new());
            touch::of_other(s, &mut |view, len, write| {
                let list = if write { &mut stored } else { &mut read };
                list.push((view, len));
                Ok(())
            })?;
            let over = |y: &(View, usize)| read.iter().any(|x| meet(plan, *x, *y));
            match stored.iter().any(over) {
                true => broken(5, format!("{s:?} stores over what it reads")),
                false => Ok(()),
            }
        }
    }
}

/// A product's results do not overlap its operands, in a step or in all.
fn product(plan: &Plan, p: &crate::plan::Product, at_step: bool) -> Result<(), Broken> {
    let w = &plan.weights[p.weight];
    let x = match at_step {
        true => p.x,
        false => View {
            shift: p.y.shift,
            from_end: p.y.from_end,
            ..p.x
        },
    };
    let over = meet(plan, (x, w.inner()), (p.y, w.outer()));
    match over || p.add && p.bias.is_some() {
        true => broken(5, format!("{p:?} is no product of rows into others")),
        false => Ok(()),
    }
}

fn region(plan: &Plan, r: &Region) -> Result<(), Broken> {
    let n = r.instrs.len();
    let earlier = |(i, instr): (usize, &Instr)| match instr {
        Instr::Map(m, xs) => xs.len() == m.row().arity && xs.iter().all(|&x| x < i),
        Instr::SplatRows(_, columns) | Instr::LoadRow(_, columns) => {
            *columns > 0 && columns.is_multiple_of(ROW) && r.lanes.is_multiple_of(*columns)
        }
        Instr::Load(_) | Instr::Splat(_) | Instr::Const(_) => true,
    };
    let fold = |f: &(Fold, smallvec::SmallVec<[usize; 2]>, View)| {
        let takes = match f.0 {
            Fold::Reduce(_) => 1,
            Fold::Dot => 2,
        };
        f.1.len() == takes && f.1.iter().all(|&x| x < n)
    };
    let formed = r.lanes > 0
        && r.instrs.iter().enumerate().all(earlier)
        && r.stores.iter().all(|s| s.0 < n)
        && r.folds.iter().all(fold);
    if !formed {
        return broken(5, format!("operands that are not there: {r:?}"));
    }
    for (i, &(_, y)) in r.stores.iter().enumerate() {
        let twice = |s: &&(usize, View)| meet(plan, (s.1, r.lanes), (y, r.lanes));
        if let Some(s) = r.stores[..i].iter().find(twice) {
            return broken(5, format!("a region stores {:?} and {y:?}", s.1));
        }
        for instr in &r.instrs {
            let Some((v, n)) = instr.reads(r.lanes) else {
                continue;
            };
            let aligned = matches!(instr, Instr::Load(_)) && v.offset == y.offset;
            if !aligned && meet(plan, (v, n), (y, r.lanes)) {
                let what = format!("a region stores {y:?} and reads {v:?} at other lanes");
                return broken(5, what);
            }
        }
    }
    Ok(())
}

/// True if parts of two views overlap at one point.
fn meet(plan: &Plan, (a, n): (View, usize), (b, m): (View, usize)) -> bool {
    let steps = || plan.buffers[a.buffer].domain == Domain::Step;
    a.buffer == b.buffer
        && overlap((a, n), (b, m))
        && ((a.shift, a.from_end) == (b.shift, b.from_end) || !steps())
}

/// Rule 9.
fn time_innermost(plan: &Plan, l: &Loop, carried: &[Carried]) -> Result<(), Broken> {
    let ([Stmt::Region(r)], LoopKind::Recurrence { reverse }) = (l.body.as_slice(), l.kind) else {
        return broken(
            9,
            format!("loop {} is no recurrence of one region", l.number),
        );
    };
    if !r.folds.is_empty() {
        return broken(9, format!("loop {} folds with time innermost", l.number));
    }
    let before = if reverse { 1 } else { -1 };
    let mut count = 0;
    for (load, instr) in r.instrs.iter().enumerate() {
        if let Instr::SplatRows(..) | Instr::LoadRow(..) = instr {
            return broken(
                9,
                format!("loop {} repeats rows with time innermost", l.number),
            );
        }
        let Some((v, n)) = instr.reads(r.lanes) else {
            continue;
        };
        for &(from, y) in r.stores.iter().filter(|s| s.1.buffer == v.buffer) {
            if !overlap((v, n), (y, r.lanes)) {
                continue;
            }
            let aligned = matches!(instr, Instr::Load(_)) && v.offset == y.offset;
            if !aligned || v.from_end {
                let what = format!("time innermost: {v:?} is read where {y:?} is stored");
                return broken(9, what);
            }
            let needed =
                plan.buffers[v.buffer].domain != Domain::Step || v.shift - y.shift == before;
            let found = carried.contains(&Carried { load, from });
            if needed != found {
                let what = format!("{v:?}, stored as {y:?}, is carried: {found}");
                return broken(9, what);
            }
            count += usize::from(found);
        }
    }
    match count == carried.len() {
        true => Ok(()),
        false => broken(9, format!("{carried:?} are not loads and stores of {r:?}")),
    }
}

/// Rule 10.
fn time_tile(plan: &Plan, reverse: bool, items: &[Item]) -> Result<(), Broken> {
    let product = |i: &Item| {
        let domain = Domain::Step;
        matches!(i, Item::Product { domain: d, .. } if *d == domain)
    };
    let before = |i: &Item| {
        product(i)
            || matches!(i, Item::Loop(l) if l.kind == LoopKind::Parallel && l.domain == Domain::Step)
    };
    let formed = match items {
        [first @ .., Item::Loop(last)] => {
            last.kind == LoopKind::Recurrence { reverse }
                && first.iter().all(before)
                && first.iter().any(product)
        }
        _ => false,
    };
    if !formed {
        let what = "a time tile is not products and loops over steps, then a recurrence";
        return broken(10, what.into());
    }
    along(plan, reverse, items).or_else(|what| broken(10, what))
}

/// Checks that items can run over time together, block by block.
fn along(plan: &Plan, reverse: bool, items: &[Item]) -> Result<(), String> {
    let mut all: Vec<(usize, Access)> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let mut of = item.accesses(&plan.weights);
        // Offsets within a point do not matter here.
        of.iter_mut().for_each(|a| a.view.offset = 0);
        all.extend(of.into_iter().map(|a| (i, a)));
    }
    let key = |(i, a): &(usize, Access)| (a.view.buffer, *i, a.view, a.write);
    all.sort_unstable_by_key(key);
    all.dedup_by_key(|a| key(a));
    for one in all.chunk_by(|a, b| a.1.view.buffer == b.1.view.buffer) {
        if !one.iter().any(|a| a.1.write) {
            continue;
        }
        for (k, (i, a)) in one.iter().enumerate() {
            for (_, b) in one[k + 1..].iter().filter(|b| b.0 > *i) {
                if !goes_along(&[*a], &[*b], &plan.buffers, reverse) {
                    let x: &Buffer = &plan.buffers[a.view.buffer];
                    return Err(format!(
                        "`{}` is needed of later blocks: {a:?}, then {b:?}",
                        x.name
                    ));
                }
            }
        }
    }
    Ok(())
}
