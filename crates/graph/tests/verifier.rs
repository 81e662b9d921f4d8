//! One test breaks each rule of the verifier.

use retrograd_graph::{Graph, verify};
use retrograd_tape::{Algebra, Domain, InputRole, Map, Op, OutputRole, Shape, Type, Value};

const STEP: Type = Type {
    shape: Shape::Vector(2),
    domain: Domain::Step,
};

/// A graph with an input of two numbers a step, and zeros to begin with.
fn started() -> (Graph, Value, Value) {
    let mut g = Graph::new("broken");
    let x = g.input("x", InputRole::Sequence, STEP);
    let zeros = g.constant(0.0, STEP.shape);
    (g, x, zeros)
}

/// The number of the broken rule, and what is said about it.
fn broken(g: &Graph) -> (usize, String) {
    let e = verify(g).expect_err("a rule is broken");
    (e.rule, e.what)
}

#[test]
fn a_sound_graph_passes() {
    let (mut g, x, zeros) = started();
    let h = g.open_delay(1, STEP.shape);
    let sum = g.op(Op::Map(Map::Add), &[x, h]);
    g.close_delay(h, sum, zeros);
    g.output("y", OutputRole::Output, sum);
    verify(&g).expect("all rules hold");
}

#[test]
fn rule_1_too_few_operands() {
    let (mut g, x, _) = started();
    g.add(Op::Map(Map::Add), &[x], STEP);
    assert_eq!(broken(&g).0, 1);
}

#[test]
fn rule_1_a_delay_that_is_open() {
    let (mut g, _, _) = started();
    g.open_delay(1, STEP.shape);
    assert_eq!(broken(&g).0, 1);
}

#[test]
fn rule_1_a_slot_filled_twice() {
    let (mut g, x, zeros) = started();
    let h = g.open_delay(1, STEP.shape);
    g.close_delay(h, x, zeros);
    g.close_delay(h, x, zeros);
    assert_eq!(broken(&g).0, 1);
}

#[test]
fn rule_2_a_shape_that_the_op_does_not_give() {
    let (mut g, x, _) = started();
    let ty = Type::new(Shape::Vector(3), Domain::Step);
    g.add(Op::Map(Map::Tanh), &[x], ty);
    let (rule, what) = broken(&g);
    assert_eq!(rule, 2);
    assert!(what.contains("[3]") && what.contains("[2]"), "{what}");
}

#[test]
fn rule_2_a_domain_that_the_op_does_not_lead_to() {
    let (mut g, x, _) = started();
    let ty = Type::new(STEP.shape, Domain::Once);
    g.add(Op::Map(Map::Tanh), &[x], ty);
    let (rule, what) = broken(&g);
    assert_eq!(rule, 2);
    assert!(what.contains("once") && what.contains("step"), "{what}");
}

#[test]
fn rule_2_operands_that_do_not_fit() {
    let (mut g, x, _) = started();
    let three = g.constant(1.0, Shape::Vector(3));
    g.add(Op::Map(Map::Add), &[x, three], STEP);
    assert_eq!(broken(&g).0, 2);
}

#[test]
fn rule_3_a_value_that_depends_on_itself_within_a_step() {
    let (mut g, x, _) = started();
    // `close_delay` fills slots 0 and 1 of any node.
    let sum = g.add(Op::Map(Map::Add), &[], STEP);
    let tanh = g.add(Op::Map(Map::Tanh), &[sum], STEP);
    g.close_delay(sum, tanh, x);
    assert_eq!(broken(&g).0, 3);
}

#[test]
fn rule_3_a_delay_that_begins_with_itself() {
    let (mut g, x, _) = started();
    let ty = Type::new(STEP.shape, Domain::BoundarySlots(1));
    let end = g.add(Op::Boundary(1), &[], ty);
    g.close_delay(end, x, end);
    assert_eq!(broken(&g).0, 3);
}

#[test]
fn rule_4_an_input_node_that_is_not_in_the_table() {
    let (mut g, _, _) = started();
    g.add(Op::Input { id: 7, ty: STEP }, &[], STEP);
    assert_eq!(broken(&g).0, 4);
}

#[test]
fn rule_4_two_nodes_of_one_input() {
    let (mut g, _, _) = started();
    g.add(Op::Input { id: 0, ty: STEP }, &[], STEP);
    assert_eq!(broken(&g).0, 4);
}

#[test]
fn rule_5_two_inputs_of_one_name() {
    let (mut g, _, _) = started();
    g.input("x", InputRole::Target, STEP);
    let (rule, what) = broken(&g);
    assert_eq!(rule, 5);
    assert!(what.contains("`x`"), "{what}");
}

#[test]
fn rule_5_two_outputs_of_one_name() {
    let (mut g, x, zeros) = started();
    g.output("y", OutputRole::Output, x);
    g.output("y", OutputRole::Output, zeros);
    assert_eq!(broken(&g).0, 5);
}

#[test]
fn rule_6_a_recurrence_that_runs_both_ways() {
    let (mut g, _, zeros) = started();
    let past = g.open_delay(1, STEP.shape);
    let future = g.open_delay(-1, STEP.shape);
    let sum = g.op(Op::Map(Map::Add), &[past, future]);
    g.close_delay(past, sum, zeros);
    g.close_delay(future, sum, zeros);
    g.label(past, Some("past".into()), None);
    g.label(future, Some("future".into()), None);
    g.output("y", OutputRole::Output, sum);
    let (rule, what) = broken(&g);
    assert_eq!(rule, 6);
    assert!(what.contains("past") && what.contains("future"), "{what}");
}
