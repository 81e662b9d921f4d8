//! Each rule of the plan's verifier is broken by at least one test.

#[path = "plan_verifier/items.rs"]
mod items;

use retrograd_graph::passes::adjoint::Differentiate;
use retrograd_graph::passes::{self, Derivation};
use retrograd_graph::plan::{
    BufferId, Innermost, Instr, Item, Lifetime, Loop, LoopId, LoopKind, Plan, Product, Region,
    Stmt, Storage, View, WeightId, plan, stream, verify,
};
use retrograd_graph::{Graph, Options, Target};
use retrograd_tape::Domain;

const LSTM: &str = "cell lstm(x[16]; h[16], c[16])
i = sigmoid(dense(x, h))
f = sigmoid(dense(x, h))
g = tanh(dense(x, h))
o = sigmoid(dense(x, h))
c' = f * c + i * g
h' = o * tanh(c')
output y = dense[2](h')
target next[2]
loss mean(square(y - next))
";

const MINGRU: &str = "cell mingru(x[2]; h[16])
z = sigmoid(dense(x))
new = dense(x)
h' = (1 - z) * h + z * new
loss mean(square(h'))
";

fn recorded(cell: &str) -> Graph {
    Graph::from_tape(&retrograd_text::read_tape("cell", cell, &[]).expect("it is a cell"))
}

/// For one target, whatever the machine, with narrow loops, whose plans have all stages.
fn options() -> Options {
    Options::verified().with(|o| {
        o.target = Target::avx2();
        o.wide_loops = false;
    })
}

/// The plan of a cell's training step.
fn trained(cell: &str) -> Plan {
    trained_with(cell, &options())
}

fn trained_with(cell: &str, options: &Options) -> Plan {
    let g = recorded(cell);
    let gradients = [Derivation::Adjoint(Differentiate::loss(&g))];
    plan(
        &passes::run(&g, &gradients, options).expect("it has gradients"),
        options,
    )
}

/// Calls `f` for every item until it has changed one.
fn change(items: &mut [Item], f: &mut dyn FnMut(&mut Item) -> bool) -> bool {
    items.iter_mut().any(|item| {
        f(item)
            || match item {
                Item::TimeTile { items, .. } | Item::Sweep { items, .. } => change(items, f),
                _ => false,
            }
    })
}

/// The rule that the change of an item breaks.
fn broken(mut plan: Plan, mut f: impl FnMut(&mut Item) -> bool) -> usize {
    verify(&plan).expect("a sound plan passes");
    assert!(change(&mut plan.items, &mut f), "nothing was changed");
    rule(&plan)
}

fn rule(plan: &Plan) -> usize {
    let e = verify(plan).expect_err("a rule is broken");
    assert!(e.to_string().starts_with(&format!("rule {}: ", e.rule)));
    e.rule
}

fn recurs(l: &Loop) -> bool {
    matches!(l.kind, LoopKind::Recurrence { .. })
}

/// The rule that the change of a region broke, of those in loops that `of` wants.
fn in_region(cell: &str, of: fn(&Loop) -> bool, f: fn(&mut Region) -> bool) -> usize {
    broken(trained(cell), |item| match item {
        Item::Loop(l) if of(l) => l.body.iter_mut().any(|s| match s {
            Stmt::Region(r) => f(r),
            _ => false,
        }),
        _ => false,
    })
}

fn in_loop(cell: &str, f: fn(&mut Loop) -> bool) -> usize {
    broken(trained(cell), |item| match item {
        Item::Loop(l) => f(l),
        _ => false,
    })
}

/// The number of the array with this name.
fn array(plan: &Plan, name: &str) -> BufferId {
    let mut arrays = plan.buffers.iter();
    let found = arrays.find(|(_, x)| x.name == name);
    found.expect("there is such an array").0
}

fn first_store(r: &mut Region) -> Option<&mut View> {
    r.stores.first_mut().map(|s| &mut s.1)
}

#[test]
fn rule_1_an_input_with_another_number() {
    let mut plan = trained(LSTM);
    plan.buffers[BufferId::of_input(0)].storage = Storage::Input(7);
    assert_eq!(rule(&plan), 1);
}

#[test]
fn rule_1_boundary_steps_of_the_callers() {
    let mut plan = trained(LSTM);
    plan.buffers[BufferId::of_input(0)].front = 1;
    assert_eq!(rule(&plan), 1);
}

#[test]
fn rule_2_an_input_is_written() {
    let x = array(&trained(LSTM), "x");
    let found = broken(trained(LSTM), |item| match item {
        Item::Loop(l) if recurs(l) => l.body.iter_mut().any(|s| match s {
            Stmt::Region(r) => first_store(r).map(|v| *v = View::of(x)).is_some(),
            _ => false,
        }),
        _ => false,
    });
    assert_eq!(found, 2);
}

#[test]
fn rule_3_beyond_a_points_numbers() {
    let found = in_region(LSTM, recurs, |r| {
        first_store(r).map(|v| v.offset += 1000).is_some()
    });
    assert_eq!(found, 3);
}

#[test]
fn rule_3_before_the_boundary() {
    let found = in_region(MINGRU, recurs, |r| {
        let mut loads = r.instrs.iter_mut().filter_map(|i| match i {
            Instr::Load(v) if v.shift != 0 => Some(v),
            _ => None,
        });
        loads.next().map(|v| v.shift -= 1).is_some()
    });
    assert_eq!(found, 3);
}

#[test]
fn rule_3_a_product_over_steps_of_what_has_none() {
    let mut plan = trained(LSTM);
    let x = array(&plan, "x");
    plan.buffers[x].domain = Domain::Row;
    assert_eq!(rule(&plan), 3);
}

#[test]
fn rule_4_a_parallel_loop_stores_in_one_steps_array() {
    // Sweeps would be broken too.
    let options = options().with(|o| o.sweeps = false);
    let mut plan = trained_with(LSTM, &options);
    let loops = plan.loops();
    let parallel = |l: &&&Loop| l.kind == LoopKind::Parallel && l.domain == Domain::Step;
    let stores = loops.iter().filter(parallel);
    let mut stores = stores.flat_map(|l| &l.body).flat_map(Stmt::stores);
    let own = |v: &View| plan.buffers[v.buffer].storage == Storage::Workspace;
    let u = stores.find(own).expect("there is such a loop").buffer;
    plan.buffers[u].domain = Domain::Row;
    assert_eq!(rule(&plan), 4);
}

#[test]
fn rule_4_a_parallel_loop_reads_what_another_of_its_points_stores() {
    let mut plan = trained(LSTM);
    plan.buffers.values_mut().for_each(|x| {
        if x.storage == Storage::Workspace && x.domain == Domain::Step {
            x.front += 1;
        }
    });
    assert!(change(&mut plan.items, &mut |item| match item {
        Item::Loop(l) if l.kind == LoopKind::Parallel && l.domain == Domain::Step => {
            l.body.iter_mut().any(|s| match s {
                Stmt::Region(r) if !r.stores.is_empty() => {
                    let shift = -1;
                    let earlier = View {
                        shift,
                        ..r.stores[0].1
                    };
                    r.instrs.push(Instr::Load(earlier));
                    true
                }
                _ => false,
            })
        }
        _ => false,
    }));
    assert_eq!(rule(&plan), 4);
}

#[test]
fn rule_5_an_operand_that_comes_later() {
    let found = in_region(LSTM, recurs, |r| {
        let n = r.instrs.len();
        let mut maps = r.instrs.iter_mut().filter_map(|i| match i {
            Instr::Map(_, xs) => Some(xs),
            _ => None,
        });
        maps.next().map(|xs| xs[0] = n).is_some()
    });
    assert_eq!(found, 5);
}

#[test]
fn rule_5_stored_twice() {
    let found = in_region(LSTM, recurs, |r| {
        let again = r.stores.first().copied();
        r.stores.extend(again);
        again.is_some()
    });
    assert_eq!(found, 5);
}

#[test]
fn rule_5_read_at_other_lanes_than_stored() {
    let found = in_region(LSTM, recurs, |r| {
        let stored = r.stores.first().map(|s| Instr::Splat(s.1));
        let any = stored.is_some();
        r.instrs.extend(stored);
        any
    });
    assert_eq!(found, 5);
}

/// Adds an instruction that repeats what a region loads.
fn repeats(r: &mut Region, how: fn(View) -> Instr) -> bool {
    let load = r.instrs.iter().find_map(|i| match i {
        Instr::Load(v) => Some(*v),
        _ => None,
    });
    r.instrs.extend(load.map(how));
    load.is_some()
}

#[test]
fn rule_5_rows_that_are_no_whole_vectors_or_do_not_divide_the_lanes() {
    let broken: [fn(&mut Region) -> bool; 4] = [
        |r| repeats(r, |v| Instr::SplatRows(v, 2)),
        |r| repeats(r, |v| Instr::LoadRow(v, 0)),
        |r| repeats(r, |v| Instr::LoadRow(v, 12)),
        |r| repeats(r, |v| Instr::SplatRows(v, 32)),
    ];
    for broken in broken {
        assert_eq!(in_region(LSTM, recurs, broken), 5);
    }
}

#[test]
fn rule_9_rows_are_not_repeated_with_time_innermost() {
    let found = in_region(MINGRU, recurs, |r| repeats(r, |v| Instr::SplatRows(v, 4)));
    assert_eq!(found, 9);
}

#[test]
fn rule_5_a_product_over_its_own_rows() {
    let found = in_loop(LSTM, |l| {
        l.body.iter_mut().any(|s| match s {
            Stmt::Product(p) => {
                p.x = p.y;
                true
            }
            _ => false,
        })
    });
    assert_eq!(found, 5);
}

/// Drops items that `f` does not want.
fn retain(items: &mut Vec<Item>, f: fn(&Item) -> bool) {
    items.retain(f);
    for item in items {
        if let Item::TimeTile { items, .. } | Item::Sweep { items, .. } = item {
            retain(items, f);
        }
    }
}

fn without(cell: &str, f: fn(&Item) -> bool) -> usize {
    let mut plan = trained(cell);
    retain(&mut plan.items, f);
    // Fewer loops have other numbers.
    let mut next = 0;
    change(&mut plan.items, &mut |item| {
        if let Item::Loop(l) = item {
            l.number = LoopId::from_u32(next);
            next += 1;
        }
        false
    });
    (plan.memory.keep.values_mut()).for_each(|k| *k = Lifetime::Whole);
    plan.memory.replays.clear();
    rule(&plan)
}

#[test]
fn rule_6_a_boundary_that_nothing_fills() {
    let filled =
        |i: &Item| !matches!(i, Item::Loop(l) if matches!(l.domain, Domain::BoundarySlots(_)));
    assert_eq!(without(MINGRU, filled), 6);
}

#[test]
fn rule_6_an_output_that_nothing_stores() {
    assert_eq!(without(LSTM, |i| !matches!(i, Item::Outer { .. })), 6);
}

#[test]
fn rule_6_a_part_that_nothing_stores() {
    // Half of what the recurrence stores in one place is not.
    let found = in_region(MINGRU, recurs, |r| {
        r.lanes /= 2;
        true
    });
    assert_eq!(found, 6);
}

#[test]
fn rule_6_read_by_a_step_before_any_stores_it() {
    let found = in_loop(LSTM, |l| {
        // The recurrence backward: what its last statement makes, its first ones read.
        let reverse = l.kind == LoopKind::Recurrence { reverse: true };
        if reverse {
            l.body.reverse();
        }
        reverse
    });
    assert_eq!(found, 6);
}

#[test]
fn rule_7_a_weight_with_a_gap() {
    let mut plan = trained(LSTM);
    plan.weights[WeightId::from_u32(0)].blocks.pop();
    assert_eq!(rule(&plan), 7);
}

#[test]
fn rule_7_a_weight_that_varies() {
    let mut plan = trained(LSTM);
    let x = array(&plan, "x");
    plan.weights[WeightId::from_u32(0)].blocks[0].view = View::of(x);
    assert_eq!(rule(&plan), 7);
}

#[test]
fn rule_7_a_gradient_with_a_gap() {
    let found = broken(trained(LSTM), |item| match item {
        Item::Outer { rhs, .. } => rhs[0].to.pop().is_some(),
        _ => false,
    });
    assert_eq!(found, 7);
}

#[test]
fn rule_8_not_packed() {
    assert_eq!(
        without(LSTM, |i| !matches!(i, Item::Pack(w) if w.as_u32() == 0)),
        8
    );
}

#[test]
fn rule_8_packed_twice() {
    let mut plan = trained(LSTM);
    plan.items.push(Item::Pack(WeightId::from_u32(0)));
    assert_eq!(rule(&plan), 8);
}

#[test]
fn rule_8_a_weight_that_is_not_there() {
    let mut plan = trained(LSTM);
    plan.items.push(Item::Pack(WeightId::from_u32(99)));
    assert_eq!(rule(&plan), 8);
}

#[test]
fn rule_8_a_weight_that_is_stored_once_more_after_it_was_packed() {
    let mut plan =
        trained("cell f(x[2]; h[2])\nparam a[2, 2]\nh' = tanh(a) @ h + x\nloss mean(h')");
    let store = |i: &&Item| matches!(i, Item::Loop(l) if l.domain == Domain::Once);
    let mut again = plan.items.iter().find(store).expect("tanh(a)").clone();
    if let Item::Loop(l) = &mut again {
        l.number = LoopId::from_u32(plan.loops().len() as u32);
    }
    plan.items.push(again);
    assert_eq!(rule(&plan), 8);
}

#[test]
fn rule_9_nothing_is_carried() {
    let found = in_loop(MINGRU, |l| match &mut l.inner {
        Innermost::Time(carried) => {
            carried.clear();
            true
        }
        Innermost::Lanes => false,
    });
    assert_eq!(found, 9);
}

#[test]
fn rule_9_another_value_is_carried() {
    let found = in_loop(MINGRU, |l| match &mut l.inner {
        Innermost::Time(carried) => {
            carried[0].from = carried[0].load;
            true
        }
        Innermost::Lanes => false,
    });
    assert_eq!(found, 9);
}

#[test]
fn rule_9_time_inside_of_products() {
    let found = in_loop(LSTM, |l| {
        l.inner = Innermost::Time(Vec::new());
        recurs(l)
    });
    assert_eq!(found, 9);
}

/// The rule that a change of the first time tile breaks.
fn in_nest(f: impl Fn(&mut bool, &mut Vec<Item>)) -> usize {
    broken(trained(LSTM), |item| match item {
        Item::TimeTile { reverse, items } => {
            f(reverse, items);
            true
        }
        _ => false,
    })
}
