//! Rules of whole items: time tiles, sweeps, numbers of loops, memory.

use super::*;

#[test]
fn rule_10_a_nest_without_its_recurrence() {
    assert_eq!(in_nest(|_, items| drop(items.pop())), 10);
}

#[test]
fn rule_10_a_nest_without_a_product() {
    let products = |i: &Item| !matches!(i, Item::Product { .. });
    assert_eq!(in_nest(|_, items| items.retain(products)), 10);
}

#[test]
fn rule_10_a_product_that_needs_a_later_block() {
    let h = array(&trained(LSTM), "h'");
    let found = in_nest(|_, items| {
        for item in items {
            if let Item::Product { product, .. } = item {
                let Product { x, .. } = product;
                let (buffer, shift) = (h, -1);
                *x = View {
                    buffer,
                    shift,
                    ..*x
                };
            }
        }
    });
    assert_eq!(found, 10);
}

#[test]
fn rule_11_a_sweep_in_the_other_direction() {
    let found = broken(trained(LSTM), |item| match item {
        Item::Sweep { reverse, items }
            if items.iter().any(|i| matches!(i, Item::TimeTile { .. })) =>
        {
            *reverse = !*reverse;
            true
        }
        _ => false,
    });
    assert_eq!(found, 11);
}

#[test]
fn rule_11_a_packing_in_a_sweep() {
    let found = broken(trained(LSTM), |item| match item {
        Item::Sweep { items, .. } => {
            items.insert(0, Item::Pack(WeightId::from_u32(0)));
            true
        }
        _ => false,
    });
    assert_eq!(found, 11);
}

#[test]
fn rule_12_an_iteration_of_no_steps() {
    let found = in_loop(LSTM, |l| {
        l.unroll = 0;
        recurs(l)
    });
    assert_eq!(found, 12);
}

#[test]
fn rule_12_two_loops_of_one_number() {
    let found = in_loop(LSTM, |l| {
        l.number = LoopId::from_u32(l.number.as_u32() + 1);
        l.number.as_u32() == 2
    });
    assert_eq!(found, 12);
}

#[test]
fn rule_13_an_input_kept_for_a_block() {
    let mut plan = trained(LSTM);
    plan.memory.keep[BufferId::of_input(0)] = Lifetime::Block(0);
    assert_eq!(rule(&plan), 13);
}

#[test]
fn rule_13_kept_for_another_sweep() {
    let mut plan = trained(LSTM);
    let block = |k: &&mut Lifetime| matches!(k, Lifetime::Block(_));
    let keep = plan.memory.keep.values_mut().find(block);
    *keep.expect("something lives in one sweep") = Lifetime::Block(0);
    let moved = rule(&plan);
    let keep = plan.memory.keep.values().skip(1).copied();
    plan.memory.keep = keep.collect();
    assert_eq!((moved, rule(&plan)), (13, 13));
}

#[test]
fn rule_13_a_replay_of_itself() {
    let mut plan = trained(LSTM);
    plan.memory.replays[0].by = plan.memory.replays[0].sweep;
    assert_eq!(rule(&plan), 13);
}

#[test]
fn rule_13_a_ring_that_is_too_short() {
    let g = recorded("cell late(x[2]; h[3])\nh' = tanh(dense(x, h))\noutput y = h'\n");
    let streamed = passes::stream::stream(&g).expect("it streams").graph;
    let options = Options::verified().streaming().with(|o| o.reuse = false);
    let mut plan = stream(
        &passes::run(&streamed, &[], &options).expect("it runs"),
        &options,
    );
    verify(&plan).expect("a sound plan passes");
    let ring = |k: &&mut Lifetime| matches!(k, Lifetime::Ring(n) if *n > 1);
    let keep = plan.memory.keep.values_mut().find(ring);
    *keep.expect("the state has a ring") = Lifetime::Ring(1);
    assert_eq!(rule(&plan), 13);
}
