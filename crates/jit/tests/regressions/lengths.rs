//! Rows of different lengths.

use retrograd_tape::{Domain, InputRole, Map, Op, Recorder, Shape};

use super::ragged;

/// With time inside, a loop must be called for runs of steps that all have the same rows; within a tile of time it was
/// not, and went on where a row had ended.
#[test]
fn a_tile_of_time_ends_where_each_of_its_rows_does() {
    for d in [1, -1] {
        let r = Recorder::new();
        let h = r.state("h", Shape::Vector(1), d, None);
        let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
        let w = r.param("w", Shape::Matrix(1, 1));
        r.next(h, w.matvec(x) * h);
        let tape = r.finish("case").unwrap();
        for lengths in [&[1, 0][..], &[2, 1], &[2, 1, 1, 0, 0]] {
            ragged(&tape, lengths, 10174179);
        }
    }
}

/// Kernels were called for a number of rows below zero, where those that a thread has have ended.
#[test]
fn threads_may_have_rows_that_have_all_ended() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(16));
    let s = r.input("s", InputRole::Static, Shape::Matrix(16, 16));
    let w = r.param("w", Shape::Matrix(16, 16));
    let y = (w.matvec(x.tanh()).sigmoid() + s.matvec(x)).tanh();
    r.output("y", y);
    r.output("sum", r.apply(Op::SumTo(Domain::Once), &[y.exp()]));
    r.output(
        "before",
        r.apply(
            Op::Delay(1),
            &[y, r.apply(Op::Map(Map::Neg), &[y.mean_to(Domain::Row)])],
        ),
    );
    let tape = r.finish("case").unwrap();
    let mut lengths = vec![0; 33];
    lengths[..5].copy_from_slice(&[13, 3, 2, 2, 1]);
    ragged(&tape, &lengths, 380096);
}
