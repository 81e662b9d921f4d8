//! Mistakes of the second back end.

use retrograd_tape::{InputRole, Op, Recorder, Shape};

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
