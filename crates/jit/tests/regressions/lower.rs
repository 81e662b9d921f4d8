//! Products of parameters, and of values of each row, with each other. Their derivatives are outer products that sum
//! over nothing, or over rows alone: they were joined like weight gradients, and cut into outputs as only a sum over
//! points can be.

use retrograd_graph::Options;
use retrograd_tape::{Domain, InputRole, Lengths, Map, Op, Recorder, Shape, Tape, Var};

use super::{ragged, second};

const MATRIX: Shape = Shape::Matrix(2, 2);
const VECTOR: Shape = Shape::Vector(2);

/// Everything: gradients on all engines, a stepper, tangents and products with Hessians.
#[track_caller]
fn everything(tape: &Tape) {
    for (of, seed) in [(&[1][..], 5), (&[4; 3], 1234), (&[4, 3, 1, 0], 1234)] {
        ragged(tape, of, seed);
        let lengths = Lengths::new(of.to_vec()).expect("the longest comes first");
        for options in [Options::default(), Options::none()] {
            second(tape, &lengths, seed, &options)
                .unwrap_or_else(|e| panic!("second derivatives: {e}\n{tape}"));
        }
    }
}

/// A program of a step's input `x [2]`, with the loss mean((y - next)²).
#[track_caller]
fn program(y: impl for<'t> Fn(&'t Recorder, Var<'t>) -> Var<'t>) {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, VECTOR);
    let y = y(&r, x);
    r.output("y", y);
    let next = r.input("next", InputRole::Target, y.shape().expect("it fits"));
    r.loss((y - next).square().mean());
    everything(&r.finish("lower").expect("it is a program"));
}

/// The smallest: x · ((A q)·(B q)).
#[test]
fn products_of_parameters_have_gradients_that_sum_over_nothing() {
    program(|r, x| {
        let (a, b) = (r.param("a", MATRIX), r.param("b", MATRIX));
        let q = r.param("q", VECTOR);
        x * a.matvec(q).dot(b.matvec(q)).broadcast(VECTOR)
    });
}

/// The same with a `q` that each row has: A and B have gradients that sum over rows alone.
#[test]
fn products_with_static_inputs_have_gradients_that_sum_over_rows() {
    program(|r, x| {
        let (a, b) = (r.param("a", MATRIX), r.param("b", MATRIX));
        let q = r.input("q", InputRole::Static, VECTOR);
        x * a.matvec(q).dot(b.matvec(q)).broadcast(VECTOR)
    });
}

/// The same with matrices that each row has: their gradients sum over nothing, or over steps alone.
#[test]
fn products_with_static_matrices_have_gradients_for_each_row() {
    for role in [InputRole::Static, InputRole::Param, InputRole::Sequence] {
        program(|r, x| {
            let a = r.input("a", InputRole::Static, MATRIX);
            let b = r.input("b", InputRole::Static, MATRIX);
            let q = r.input("q", role, VECTOR);
            x * a.matvec(q).dot(b.matvec(q)).broadcast(VECTOR)
        });
    }
}

#[test]
fn a_learned_vector_may_pass_through_gates() {
    for role in [InputRole::Param, InputRole::Static] {
        program(|r, x| {
            let (a, b) = (r.param("a", MATRIX), r.param("b", MATRIX));
            let q = r.input("q", role, VECTOR);
            x * a.matvec(q).sigmoid() * b.matvec(q).tanh()
        });
    }
}

#[test]
fn joined_parameters_may_be_multiplied_with_a_parameter() {
    for role in [InputRole::Param, InputRole::Static] {
        for axis in [0, 1] {
            program(|r, x| {
                let (a, b) = (r.param("a", MATRIX), r.param("b", MATRIX));
                let both = r.apply(Op::Concat { axis }, &[a, b]);
                let q = r.input("q", role, Shape::Vector(2 + 2 * axis));
                x * both.matvec(q).slice(0, 2)
            });
        }
    }
}

#[test]
fn a_vector_may_be_multiplied_with_a_parameter_that_is_repeated() {
    for role in [InputRole::Param, InputRole::Static] {
        let r = Recorder::new();
        let p = r.param("p", MATRIX);
        let one = r.input("one", role, Shape::Scalar);
        r.loss(p.matvec(one.broadcast(VECTOR)).tanh().sum());
        everything(&r.finish("hessian").expect("it is a program"));

        let r = Recorder::new();
        let p = r.input("p", role, MATRIX);
        let ones = r.constant(1.0, VECTOR);
        r.loss(p.matvec(ones).tanh().sum());
        everything(&r.finish("hessian").expect("it is a program"));
    }
}

/// What they begin with varies over nothing, over rows, or over boundary slots.
#[test]
fn matrix_states_may_begin_as_outer_products() {
    for (left, right) in [
        (InputRole::Param, InputRole::Param),
        (InputRole::Static, InputRole::Param),
        (InputRole::Static, InputRole::Static),
    ] {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, VECTOR);
        let [a, b] = ["a", "b"].map(|name| r.input(name, left, VECTOR));
        let q = r.input("q", right, VECTOR);
        let m = r.state("m", MATRIX, 1, Some(a.tanh().outer(q)));
        let n = r.state("n", MATRIX, 2, Some(b.sin().outer(q)));
        let m1 = r.next(m, 0.5 * m + x.outer(x));
        let n1 = r.next(n, (n * m1).tanh());
        r.output("y", n1.matvec(x));
        r.loss(n1.matvec(x).square().sum());
        everything(&r.finish("memories").expect("it is a program"));
    }
}

/// Slots of a delay's boundary are points like others: outer products there sum over nothing, over slots, or over all.
#[test]
fn outer_products_of_final_states_sum_over_what_they_say() {
    for to in [Domain::BoundarySlots(2), Domain::Row, Domain::Once] {
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, VECTOR);
        let u = r.input("u", InputRole::Sequence, VECTOR);
        let init = r.input("init", InputRole::Static, VECTOR);
        let [e, f] = [x, u].map(|v| r.apply(Op::Boundary(2), &[v.tanh(), init]));
        let (e, f) = (e.sin(), f.cos());
        let one = r.apply(Op::Outer { to }, &[e, f]);
        let two = r.apply(Op::Outer { to }, &[e * e, f]);
        let three = r.apply(Op::Outer { to }, &[f, f]);
        r.output("one", one);
        r.output("two", two * two);
        r.output("three", three.slice(1, 1));
        everything(&r.finish("edges").expect("it is a program"));
    }
}

/// A product over boundary slots of a state that has one step's array.
#[test]
fn a_final_state_may_be_multiplied_with_a_weight() {
    let r = Recorder::new();
    let v0 = r.input("w1", InputRole::Param, Shape::Vector(1));
    let v1 = r.input("z1", InputRole::Sequence, Shape::Vector(1));
    let v2 = r.apply(Op::Boundary(1), &[v1, v0]);
    let v3 = r.input("w5", InputRole::Param, Shape::Matrix(1, 1));
    let v4 = r.apply(Op::MatVec { transposed: false }, &[v3, v2]);
    r.output("after0", v4);
    everything(&r.finish("case").unwrap());
}

/// Without *simplify*, which makes one product of what is the same at all points: a product over all of them read rows behind
/// those that there are.
#[test]
fn what_is_repeated_at_every_point_may_be_multiplied_with_a_weight() {
    for (role, to) in [
        (InputRole::Param, Domain::Row),
        (InputRole::Param, Domain::Step),
        (InputRole::Static, Domain::BoundarySlots(2)),
        (InputRole::Static, Domain::Step),
    ] {
        let r = Recorder::new();
        let v0 = r.input("v", role, Shape::Vector(3));
        let v1 = r.apply(Op::Spread(to), &[v0]);
        let v2 = r.input("w", InputRole::Param, Shape::Matrix(2, 3));
        let v3 = r.apply(Op::MatVec { transposed: false }, &[v2, v1]);
        let v4 = r.input("u", InputRole::Param, Shape::Matrix(2, 2));
        let v5 = r.apply(Op::MatVec { transposed: true }, &[v4, v1.slice(1, 2)]);
        r.output("y", v3);
        r.output("z", v5);
        everything(&r.finish("case").unwrap());
    }
}

/// Without *simplify* it was neither a sum nor its operand.
#[test]
fn a_sum_over_nothing_is_its_operand() {
    for (role, to) in [
        (InputRole::Param, Domain::Once),
        (InputRole::Static, Domain::Row),
        (InputRole::Sequence, Domain::Step),
    ] {
        let r = Recorder::new();
        let v0 = r.input("z0", role, VECTOR);
        let v1 = r.apply(Op::SumTo(to), &[v0]);
        r.output("y0", v1);
        r.output("y1", v1 * v1);
        everything(&r.finish("case").unwrap());
    }
    // Nor had it an array where its operand has none.
    let r = Recorder::new();
    let v0 = r.input("p", InputRole::Param, Shape::Scalar);
    let v1 = r.apply(Op::SumTo(Domain::Once), &[v0.broadcast(MATRIX)]);
    let v2 = r.apply(Op::SumTo(Domain::Once), &[r.constant(0.25, MATRIX)]);
    let x = r.input("x", InputRole::Sequence, VECTOR);
    let (axis, start, len) = (1, 0, 1);
    r.output("y0", r.apply(Op::Slice { axis, start, len }, &[v1]));
    r.output("y1", v2.matvec(x));
    everything(&r.finish("case").unwrap());
}

/// In one loop a direction: the gradient's product began with what is known after the loop only.
#[test]
fn a_product_begins_with_nothing_that_is_known_after_its_loop() {
    let r = Recorder::new();
    let v0 = r.input("z3", InputRole::Sequence, MATRIX);
    let v1 = r.input("z4", InputRole::Param, MATRIX);
    let v2 = r.input("s18", InputRole::Static, Shape::Scalar);
    let v3 = r.apply(Op::Gather, &[v0, v2]);
    let v4 = r.apply(Op::SumTo(Domain::Once), &[v3]);
    let v5 = r.apply(Op::Map(Map::Tanh), &[v4]);
    let v6 = r.apply(Op::MatVec { transposed: false }, &[v1, v3]);
    r.output("y1", v6);
    r.output("after1", v5);
    everything(&r.finish("case").unwrap());
}

/// Two pairs of products, each with a weight that is computed from one of the other pair: stacking both had no end.
#[test]
fn stacks_whose_weights_depend_on_each_other_are_not_both_made() {
    let r = Recorder::new();
    let [x, u] = ["x", "u"].map(|name| r.input(name, InputRole::Static, VECTOR));
    let [w, v] = ["w", "v"].map(|name| r.param(name, MATRIX));
    let q = r.param("q", VECTOR);
    let weight = |y| r.apply(Op::SumTo(Domain::Once), &[y]).tanh().outer(q);
    let (wx, vu) = (w.matvec(x), v.matvec(u));
    r.output("one", wx * weight(vu).matvec(x));
    r.output("two", vu * weight(wx).matvec(u));
    everything(&r.finish("stacks").expect("it is a program"));
}

/// A bias of one part of a stack that is computed from another part.
#[test]
fn biases_that_depend_on_a_part_of_their_stack_are_not_stacked() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Static, VECTOR);
    let [w, v] = ["w", "v"].map(|name| r.param(name, MATRIX));
    let b = r.param("b", VECTOR);
    let one = w.matvec(x) + b;
    let two = v.matvec(x) + r.apply(Op::SumTo(Domain::Once), &[one]).tanh();
    r.output("one", one.sin());
    r.output("two", two.sin());
    everything(&r.finish("biases").expect("it is a program"));
}
