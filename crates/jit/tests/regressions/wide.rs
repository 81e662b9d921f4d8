//! Mistakes of the second back end.

use retrograd_tape::{Composite, Domain, InputRole, Map, Op, Recorder, Reduction, Shape, Var};

use super::check;

/// A number that had left its register was read for the last time by an instruction, and what had to leave for that
/// instruction's result was stored in its place before it.
#[test]
fn a_place_on_the_stack_is_not_reused_before_it_is_read() {
    let r = Recorder::new();
    let v0 = r.input("z5", InputRole::Static, Shape::Vector(8));
    let v1 = r.input("z8", InputRole::Static, Shape::Matrix(8, 8));
    let product = Op::MatVec { transposed: false };
    r.output("y", r.apply(product, &[v1, v0]));
    check(&r.finish("case").unwrap(), 1, 4, 1662761);
}

/// An instruction of three operands in a loop of more arrays than there are registers for pointers: the third pointer
/// took the register of the first. Also, what a loop keeps was not set where it began with a constant or a number.
#[test]
fn three_operands_of_an_instruction_have_three_pointers() {
    let r = Recorder::new();
    let n = Shape::Vector(260);
    let inputs: Vec<_> = (0..12)
        .map(|k| r.input(&format!("x{k}"), InputRole::Sequence, n))
        .collect();
    let scale = r.input("scale", InputRole::Sequence, Shape::Scalar);
    let products: Vec<_> = (0..12)
        .map(|k| (inputs[k] * inputs[(k + 1) % 12] + inputs[(k + 5) % 12]) * scale)
        .collect();
    let all = products.iter().copied().reduce(|a, b| a + b);
    let all = all.expect("twelve");
    r.output("y", all * products[3]);
    r.loss((all * 0.1).tanh().mean() + all.square().mean());
    check(&r.finish("case").unwrap(), 2, 3, 77);
}

/// Fourteen numbers that are the same for a whole row, in a loop over its vectors: more than 16 registers hold beside the
/// partial sums. Those that were read again in the loop were taken for values of the code before it.
#[test]
fn numbers_of_a_row_that_no_register_keeps_are_read_again() {
    let r = Recorder::new();
    let n = Shape::Vector(301);
    let x = r.input("x", InputRole::Sequence, n);
    let numbers: Vec<_> = (0..14)
        .map(|k| r.input(&format!("s{k}"), InputRole::Sequence, Shape::Scalar))
        .collect();
    let all = numbers.iter().fold(x, |y, &s| (y * s + x).tanh());
    r.output("y", all);
    r.loss((all * x).sum() + all.square().mean());
    check(&r.finish("case").unwrap(), 2, 3, 78);
}

/// As found: five folds of a row of 13 numbers.
#[test]
fn numbers_beside_five_folds_are_read_again() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(13));
    let v1 = r.input("z1", InputRole::Sequence, Shape::Scalar);
    let v2 = r.apply(Op::Broadcast(Shape::Vector(13)), &[v1]);
    let v3 = r.input("z3", InputRole::Sequence, Shape::Scalar);
    let v4 = r.apply(Op::Broadcast(Shape::Vector(13)), &[v3]);
    let v5 = r.apply(Op::Map(Map::Sigmoid), &[v2]);
    let entropy = Composite::by_name("class_cross_entropy").expect("it is one");
    let v6 = Var::composite(entropy, &[v2, v0, v5], 0.0);
    let v7 = r.input("x43", InputRole::Sequence, Shape::Vector(1));
    let v8 = r.input("w100", InputRole::Param, Shape::Matrix(1, 13));
    let v9 = r.apply(Op::MatVec { transposed: false }, &[v8, v4]);
    let v10 = r.apply(Op::Outer { to: Domain::Step }, &[v9, v7]);
    let v11 = r.apply(Op::Reduce(Reduction::Mean), &[v10]);
    r.output("rest", r.apply(Op::Map(Map::Add), &[v6, v11]));
    check(&r.finish("case").unwrap(), 1, 1, 1834296);
}
