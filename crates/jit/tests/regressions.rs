//! Programs that were once compiled wrongly, as found by the generator and shrunk (see `tests/differential.rs`). Each
//! says what was wrong.

#[path = "regressions/lengths.rs"]
mod lengths;
#[path = "regressions/lower.rs"]
mod lower;
#[path = "regressions/wide.rs"]
mod wide;

use retrograd_check::Sample;
use retrograd_check::checks::{self, equal_lengths};
use retrograd_check::second::{Compared, second_order};
use retrograd_graph::Options;
use retrograd_jit::Target;
use retrograd_tape::{Domain, InputRole, Lengths, Map, Op, Recorder, Reduction, Shape, Tape};

/// All engines agree, at these sizes with inputs of this seed, for every target that this machine runs.
#[track_caller]
fn check(tape: &Tape, t: usize, b: usize, seed: u64) {
    ragged(tape, &vec![t; b], seed);
}

/// As [`check`], for rows of these lengths.
#[track_caller]
fn ragged(tape: &Tape, lengths: &[usize], seed: u64) {
    let lengths = Lengths::new(lengths.to_vec()).expect("the longest comes first");
    for target in Target::all_runnable() {
        let sample = Sample::over(tape, lengths.clone(), seed, target);
        for (check, _) in checks::ALL {
            let found = check(&sample);
            found.unwrap_or_else(|e| panic!("{target}: {e}\n{tape}"));
        }
    }
}

/// Tangents and products with Hessians are right, with these passes.
fn second(
    tape: &Tape,
    lengths: &Lengths,
    seed: u64,
    options: &Options,
) -> Result<Compared, String> {
    let sample = Sample::over(tape, lengths.clone(), seed, options.target);
    second_order(&sample, options)
}

/// Half way between two rows, the tape took the greater and compiled code the even one.
#[test]
fn a_row_number_half_way_between_two_is_rounded_to_even() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Scalar);
    let v1 = r.input("w1", InputRole::Param, Shape::Matrix(2, 1));
    let v2 = r.apply(Op::constant(0.0, Shape::Scalar), &[]);
    let v3 = r.apply(Op::Map(Map::Mul), &[v0, v2]);
    let v4 = r.apply(Op::Map(Map::Sigmoid), &[v3]);
    let v5 = r.apply(Op::Gather, &[v1, v4]);
    r.output("y", v5);
    check(&r.finish("case").unwrap(), 1, 1, 672209);
}

/// A state that begins with the first of its own next values: what reads boundary steps after the sequence waited for those
/// before it, and they for it.
#[test]
fn a_state_may_begin_with_the_first_of_its_next_values() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let y = x.tanh();
    let h = r.state("h", Shape::Vector(2), 3, Some(y.first()));
    r.next(h, y);
    r.output("y", h * y);
    r.loss(y.sum());
    let tape = r.finish("case").unwrap();
    check(&tape, 8, 1, 12_268_638);
    ragged(&tape, &[5, 2, 1, 0], 3);
}

/// A block of zeros beside a matrix had no array.
#[test]
fn the_gradient_of_columns_of_a_matrix_is_padded_with_zeros() {
    let r = Recorder::new();
    let v0 = r.input("s2", InputRole::Static, Shape::Matrix(3, 3));
    let v1 = r.apply(
        Op::Slice {
            axis: 1,
            start: 2,
            len: 1,
        },
        &[v0],
    );
    r.output("y0", v1);
    check(&r.finish("case").unwrap(), 2, 3, 2069089);
}

/// As above, with the columns of a weight matrix.
#[test]
fn columns_of_a_weight_matrix_may_be_a_weight_matrix() {
    let r = Recorder::new();
    let v0 = r.state("h2", Shape::Vector(1), 1, None);
    let v1 = r.input("w11", InputRole::Param, Shape::Matrix(1, 3));
    let v2 = r.apply(
        Op::Slice {
            axis: 1,
            start: 2,
            len: 1,
        },
        &[v1],
    );
    let v3 = r.apply(Op::MatVec { transposed: false }, &[v2, v0]);
    r.next(v0, v3);
    check(&r.finish("case").unwrap(), 3, 2, 7188562);
}

/// A number repeated to a matrix had no array to be joined from.
#[test]
fn a_repeated_number_may_stand_beside_a_matrix() {
    let r = Recorder::new();
    let v0 = r.input("z1", InputRole::Sequence, Shape::Matrix(1, 1));
    let v1 = r.input("z2", InputRole::Sequence, Shape::Scalar);
    let v2 = r.apply(Op::Broadcast(Shape::Matrix(1, 1)), &[v1]);
    let v3 = r.apply(Op::Concat { axis: 1 }, &[v2, v0]);
    r.output("l", v3);
    check(&r.finish("case").unwrap(), 2, 2, 3634345);
}

/// What a pass had made and not used was still a user of its operands.
#[test]
fn rows_of_an_outer_product_are_differentiated() {
    let r = Recorder::new();
    let v0 = r.input("z3", InputRole::Sequence, Shape::Vector(4));
    let v1 = r.input("z8", InputRole::Sequence, Shape::Vector(1));
    let v2 = r.apply(Op::Outer { to: Domain::Step }, &[v0, v1]);
    let v3 = r.apply(
        Op::Slice {
            axis: 0,
            start: 3,
            len: 1,
        },
        &[v2],
    );
    let v4 = r.apply(Op::Map(Map::Tanh), &[v3]);
    r.output("l", v4);
    check(&r.finish("case").unwrap(), 1, 1, 2847143);
}

/// As above, with products whose weights are sums.
#[test]
fn a_product_with_a_repeated_parameter_is_added_to_another() {
    let r = Recorder::new();
    let v0 = r.state("h2", Shape::Vector(1), 1, None);
    let v1 = r.input("w10", InputRole::Param, Shape::Matrix(1, 1));
    let v2 = r.input("z6", InputRole::Param, Shape::Scalar);
    let v3 = r.apply(Op::Map(Map::Add), &[v2, v2]);
    let v4 = r.apply(Op::Broadcast(Shape::Matrix(1, 1)), &[v3]);
    let v5 = r.apply(Op::MatVec { transposed: false }, &[v1, v0]);
    let v6 = r.apply(Op::MatVec { transposed: false }, &[v4, v0]);
    let v7 = r.apply(Op::Map(Map::Add), &[v5, v6]);
    r.next(v0, v7);
    check(&r.finish("case").unwrap(), 2, 1, 14507780);
}

/// The gradient of the table was summed over the steps, although each step has its own.
#[test]
fn rows_may_be_taken_from_a_matrix_of_each_step() {
    let r = Recorder::new();
    let v0 = r.input("z7", InputRole::Sequence, Shape::Matrix(3, 2));
    let v1 = r.input("x11", InputRole::Sequence, Shape::Scalar);
    let v2 = r.apply(Op::Gather, &[v0, v1]);
    r.output("l", v2);
    check(&r.finish("case").unwrap(), 4, 3, 15465775);
}

/// The same inside a recurrence could not be planned.
#[test]
fn rows_may_be_taken_from_a_matrix_state() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(1));
    let v1 = r.state("h2", Shape::Matrix(1, 1), 1, None);
    let v2 = r.input("x5", InputRole::Sequence, Shape::Scalar);
    let v3 = r.apply(Op::Gather, &[v1, v2]);
    let v4 = r.apply(Op::Outer { to: Domain::Step }, &[v0, v3]);
    r.next(v1, v4);
    check(&r.finish("case").unwrap(), 3, 2, 12592192);
}

/// The outer product lived in a joined array, which took the place of products that were still to be read.
#[test]
fn a_joined_array_takes_no_place_before_its_parts_are_computed() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(1));
    let v1 = r.state("h2", Shape::Scalar, 1, None);
    let v2 = r.input("w3", InputRole::Param, Shape::Matrix(1, 1));
    let v3 = r.apply(Op::MatVec { transposed: true }, &[v2, v0]);
    let v4 = r.apply(Op::Outer { to: Domain::Step }, &[v0, v3]);
    let v5 = r.apply(Op::Broadcast(Shape::Matrix(1, 1)), &[v1]);
    let v6 = r.apply(Op::Concat { axis: 0 }, &[v5, v4]);
    let v7 = r.apply(Op::Reduce(Reduction::Mean), &[v6]);
    r.next(v1, v1);
    r.loss(v7);
    check(&r.finish("case").unwrap(), 1, 1, 6325207);
}

/// As above, with an element-wise part that is computed in another loop.
#[test]
fn a_gradient_takes_the_place_of_products_only_when_they_are_read() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(1));
    let v1 = r.state("h3", Shape::Scalar, 1, None);
    let v2 = r.input("w8", InputRole::Param, Shape::Matrix(2, 1));
    let v3 = r.apply(Op::MatVec { transposed: false }, &[v2, v0]);
    let v4 = r.input("z5", InputRole::Param, Shape::Matrix(2, 1));
    let v5 = r.apply(Op::MatVec { transposed: false }, &[v4, v0]);
    let v6 = r.apply(Op::Map(Map::Add), &[v3, v3]);
    let v7 = r.apply(Op::Reduce(Reduction::Max), &[v5]);
    let v8 = r.apply(Op::Map(Map::Mul), &[v7, v1]);
    r.next(v1, v8);
    r.output("l", v6);
    r.weight(v1);
    check(&r.finish("case").unwrap(), 1, 1, 5762125);
}

/// A weight matrix that is stored as a whole was read in its parts, which are not.
#[test]
fn a_padded_matrix_may_be_multiplied_as_a_weight_and_as_a_value() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(1));
    let v1 = r.input("w37", InputRole::Param, Shape::Vector(6));
    let v2 = r.apply(Op::Outer { to: Domain::Step }, &[v1, v0]);
    let v3 = r.apply(
        Op::Slice {
            axis: 0,
            start: 5,
            len: 1,
        },
        &[v2],
    );
    let v4 = r.apply(Op::Reduce(Reduction::Mean), &[v3]);
    r.loss(v4);
    check(&r.finish("case").unwrap(), 1, 1, 12069343);
}

/// The joined gradient, which a delay reads, took the place of products that have no boundary steps beside them: the
/// initial cotangent was written past their array.
#[test]
fn a_gradient_that_is_delayed_takes_no_place_without_boundary_steps() {
    let r = Recorder::new();
    let v0 = r.state("h2", Shape::Vector(2), 1, None);
    let v1 = r.apply(
        Op::Slice {
            axis: 0,
            start: 1,
            len: 1,
        },
        &[v0],
    );
    let v2 = r.input("z4", InputRole::Param, Shape::Matrix(2, 1));
    let v3 = r.apply(Op::MatVec { transposed: false }, &[v2, v1]);
    let v4 = r.apply(Op::Map(Map::Add), &[v3, v3]);
    r.next(v0, v4);
    r.output("y0", v3);
    check(&r.finish("case").unwrap(), 1, 1, 15580780);
}

/// Both activations left their region, and the second was called before the first.
#[test]
fn an_activation_of_an_activation_comes_after_it() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(16));
    let v1 = r.apply(Op::Map(Map::Tanh), &[v0]);
    let v2 = r.apply(Op::Map(Map::Exp), &[v1]);
    r.output("y0", v1);
    r.output("y1", v2);
    check(&r.finish("case").unwrap(), 2, 3, 11429527);
}

/// The tape kept one transpose for constants of two shapes.
#[test]
fn constant_matrices_of_one_value_may_differ_in_shape() {
    let r = Recorder::new();
    let v0 = r.state("h5", Shape::Vector(1), 1, None);
    let v1 = r.apply(Op::constant(0.5, Shape::Matrix(1, 3)), &[]);
    let v2 = r.apply(Op::constant(0.5, Shape::Matrix(3, 1)), &[]);
    let v3 = r.apply(Op::MatVec { transposed: false }, &[v2, v0]);
    let v4 = r.apply(Op::MatVec { transposed: false }, &[v1, v3]);
    r.next(v0, v4);
    check(&r.finish("case").unwrap(), 1, 2, 3252877);
}

/// A slice of a concatenation became the part that it is, of a lower domain: the gradient's array lost its points.
#[test]
fn a_slice_of_zeros_beside_a_state_varies_over_the_steps() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(1));
    let v1 = r.state("h1", Shape::Vector(7), -1, None);
    let v2 = r.apply(Op::Concat { axis: 0 }, &[v1, v1, v0]);
    let v3 = r.apply(
        Op::Slice {
            axis: 0,
            start: 7,
            len: 7,
        },
        &[v2],
    );
    r.next(v1, v3);
    check(&r.finish("case").unwrap(), 1, 2, 3500717);
}

/// As above, where the part is a parameter and the program hands it out, step by step.
#[test]
fn a_slice_that_is_a_parameter_is_handed_out_for_every_step() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(2));
    let v1 = r.input("p1", InputRole::Param, Shape::Vector(3));
    let v2 = r.apply(Op::Concat { axis: 0 }, &[v0, v1]);
    let v3 = r.apply(
        Op::Slice {
            axis: 0,
            start: 2,
            len: 3,
        },
        &[v2],
    );
    r.output("y", v3);
    check(&r.finish("case").unwrap(), 3, 2, 1);
}

#[test]
fn an_activation_that_is_not_stored_reads_what_it_read_in_its_region() {
    let r = Recorder::new();
    let v0 = r.state("h2", Shape::Matrix(8, 2), -1, None);
    let v1 = r.apply(Op::Map(Map::Tanh), &[v0]);
    let v2 = r.apply(Op::Map(Map::Exp), &[v1]);
    let v3 = r.apply(Op::constant(-0.5, Shape::Matrix(8, 2)), &[]);
    let v4 = r.apply(Op::Map(Map::Pow), &[v2, v3]);
    let v5 = r.input("z14", InputRole::Sequence, Shape::Vector(8));
    let v6 = r.apply(Op::Reduce(Reduction::Mean), &[v4]);
    let v7 = r.apply(Op::Broadcast(Shape::Vector(2)), &[v6]);
    let v8 = r.apply(Op::Outer { to: Domain::Step }, &[v5, v7]);
    r.next(v0, v8);
    check(&r.finish("case").unwrap(), 1, 1, 6983559);
}

/// Without the passes that would do it once, a product with a vector that is the same for all rows is made in a loop: code
/// read rows behind the one there is.
#[test]
fn what_is_the_same_for_all_rows_is_multiplied_for_each() {
    let r = Recorder::new();
    let v0 = r.input("z0", InputRole::Sequence, Shape::Vector(1));
    let v1 = r.input("w23", InputRole::Param, Shape::Matrix(1, 1));
    let v2 = r.apply(Op::MatVec { transposed: true }, &[v1, v0]);
    let v3 = r.apply(Op::SumTo(Domain::Once), &[v2]);
    r.output("y0", v3);
    let tape = r.finish("case").unwrap();
    // The seed also says which pass is left out.
    for seed in 0..16 {
        check(&tape, 2, 3, seed);
    }
}

/// A replay had overwritten its last block.
#[test]
fn a_final_state_may_be_handed_out_after_a_replay() {
    let r = Recorder::new();
    let v0 = r.state("h4", Shape::Scalar, -2, None);
    let v1 = r.state("h5", Shape::Vector(1), -1, None);
    let v2 = r.state("h6", Shape::Scalar, -1, None);
    let v3 = r.apply(Op::Reduce(Reduction::Sum), &[v1]);
    let v4 = r.apply(Op::Broadcast(Shape::Vector(1)), &[v0]);
    let v5 = r.apply(Op::Map(Map::Tanh), &[v4]);
    r.next(v0, v2);
    r.next(v1, v5);
    r.next(v2, v2);
    r.loss(v3);
    check(&r.finish("case").unwrap(), 4, 1, 8849509);
}
/// Its one step's array got what a delay begins with after the loop, where that needs what the loop computes.
#[test]
fn what_a_delay_begins_with_is_written_before_its_loop() {
    let r = Recorder::new();
    let v0 = r.input("x0", InputRole::Sequence, Shape::Vector(1));
    let v1 = r.apply(Op::Map(Map::Sign), &[v0]);
    let v2 = r.input("s9", InputRole::Static, Shape::Vector(1));
    let v3 = r.apply(Op::Boundary(-1), &[v1, v2]);
    let to = Domain::BoundarySlots(1);
    let v4 = r.apply(Op::Outer { to }, &[v3, v2]);
    let v5 = r.input("z10", InputRole::Param, Shape::Scalar);
    let v6 = r.apply(Op::Gather, &[v4, v5]);
    let v7 = r.apply(Op::Map(Map::Sigmoid), &[v6]);
    r.output("after0", v7);
    check(&r.finish("case").unwrap(), 1, 1, 10201624);
}
/// Chaotic: a difference's truncation is more than its two widths tell.
#[test]
fn second_derivatives_of_a_chaotic_program_are_compared_where_differences_tell_them() {
    let r = Recorder::new();
    let v0 = r.input("w3", InputRole::Param, Shape::Matrix(1, 1));
    let v1 = r.input("w7", InputRole::Param, Shape::Vector(15));
    let v2 = r.input("w11", InputRole::Param, Shape::Matrix(1, 15));
    let v3 = r.apply(Op::MatVec { transposed: false }, &[v2, v1]);
    let v4 = r.state("h29", Shape::Vector(1), 1, None);
    let v5 = r.state("h30", Shape::Vector(1), 1, None);
    let v6 = r.apply(Op::Map(Map::Add), &[v5, v5]);
    let v7 = r.apply(Op::Map(Map::Tanh), &[v6]);
    let v8 = r.apply(Op::Map(Map::Add), &[v7, v4]);
    let v9 = r.apply(Op::MatVec { transposed: false }, &[v0, v3]);
    let v10 = r.apply(Op::Reduce(Reduction::Mean), &[v9]);
    let v11 = r.input("z29", InputRole::Param, Shape::Scalar);
    let v12 = r.apply(Op::Map(Map::Mul), &[v10, v11]);
    let v13 = r.apply(Op::Broadcast(Shape::Vector(1)), &[v12]);
    let v14 = r.apply(Op::Map(Map::Mul), &[v8, v13]);
    r.next(v4, v7);
    r.next(v5, v8);
    r.output("y0", v14);
    let tape = r.finish("case").unwrap();
    for t in [3, 11, 13] {
        for seed in [4868413, 1, 2] {
            let options = retrograd_graph::Options::default();
            let compared = second(&tape, &equal_lengths(t, 2), seed, &options)
                .unwrap()
                .differences;
            assert!(t > 3 || compared == [1, 1], "{compared:?}");
        }
    }
}

/// A matrix is packed, and what lies beside it in one array is stored later, which the plan's verifier took for a fault.
#[test]
fn a_scattered_matrix_may_be_a_weight_of_second_derivatives() {
    let r = Recorder::new();
    let v0 = r.input("z2", InputRole::Static, Shape::Vector(1));
    let v1 = r.input("z23", InputRole::Sequence, Shape::Vector(1));
    let v2 = r.input("s57", InputRole::Static, Shape::Scalar);
    let to = Domain::Once;
    let v3 = r.apply(Op::Scatter { rows: 1, to }, &[v2, v0]);
    let v4 = r.apply(Op::MatVec { transposed: true }, &[v3, v1]);
    let v5 = r.apply(Op::Reduce(Reduction::Mean), &[v4]);
    let v6 = r.apply(Op::Broadcast(Shape::Vector(1)), &[v5]);
    r.loss(r.apply(Op::Reduce(Reduction::Mean), &[v6]));
    let tape = r.finish("case").unwrap();
    let mut choices: Vec<(&str, Options)> = Options::each_off().collect();
    choices.extend([("nothing", Options::default()), ("all", Options::none())]);
    for (name, options) in choices {
        let found = second(&tape, &equal_lengths(1, 1), 3098341, &options);
        found.unwrap_or_else(|e| panic!("without {name}: {e}"));
    }
}

/// A bfloat16 weight of several blocks was packed by several threads, each of which cleared what the blocks share.
#[test]
fn blocks_of_a_bfloat16_weight_are_packed_by_one_thread() {
    let r = Recorder::new();
    let v0 = r.input("x11", InputRole::Sequence, Shape::Vector(8));
    let v1 = r.input("w14", InputRole::Param, Shape::Matrix(1, 4));
    let v2 = r.apply(Op::Concat { axis: 1 }, &[v1, v1]);
    let v3 = r.apply(Op::MatVec { transposed: false }, &[v2, v0]);
    r.output("after0", v3);
    check(&r.finish("case").unwrap(), 1, 1, 12538457);
}
