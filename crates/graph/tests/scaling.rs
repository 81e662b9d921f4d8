//! How the work of passes and planner grows with a program, counted in operations and never in time; and that no short
//! program causes much of it.

use retrograd_graph::passes::adjoint::Differentiate;
use retrograd_graph::passes::{self, Derivation};
use retrograd_graph::plan::{self, Plan};
use retrograd_graph::{Graph, Options, work};
use retrograd_tape::{InputRole, Recorder, Shape, Tape, Var, families};

/// The plan of a program with the gradients of its loss, the nodes that it was made from, and the operations that it took.
fn planned(tape: &Tape) -> (Plan, usize, u64) {
    let before = work::done();
    let g = Graph::from_tape(tape);
    let what = [Derivation::Adjoint(Differentiate::loss(&g))];
    // The verifiers' own work is not what is measured.
    let options = Options::default().with(|o| o.verify = false);
    let last = passes::run(&g, &what, &options).expect("it can be differentiated");
    let plan = plan::plan(&last, &options);
    (plan, last.len(), work::done() - before)
}

/// Twice the program is no more than 2.5 times the work: sorting has its logarithm, searches end with their allowance.
#[track_caller]
fn grows_in_proportion(family: fn(usize) -> Tape, n: usize) {
    let (_, _, once) = planned(&family(n));
    let (_, nodes, twice) = planned(&family(2 * n));
    assert!(
        2 * twice <= 5 * once,
        "{once} operations for {n}, {twice} for twice as many, which are {nodes} nodes"
    );
}

#[test]
fn work_grows_in_proportion_to_independent_states() {
    grows_in_proportion(families::states, 500);
}

#[test]
fn work_grows_in_proportion_to_layers() {
    grows_in_proportion(families::layers, 32);
}

#[test]
fn work_grows_in_proportion_to_equations() {
    grows_in_proportion(families::equations, 2500);
}

/// Operations that no program of a kilobyte may take: a second's at 120 ns each.
const SECOND: u64 = 1 << 23;

fn scalar<'t>(r: &'t Recorder) -> (Var<'t>, Var<'t>) {
    let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    (x, r.param("w", Shape::Scalar))
}

/// Asserts of a short program with one more value, the loss, that it takes less than a second, and that its plan is sound.
#[track_caller]
fn is_quick(name: &str, record: impl for<'t> Fn(&'t Recorder) -> Var<'t>) {
    let r = Recorder::new();
    let loss = record(&r);
    r.loss(loss);
    let tape = r.finish(name).expect("a program");
    let (plan, nodes, work) = planned(&tape);
    assert!(work < SECOND, "{name}: {work} operations for {nodes} nodes");
    plan::verify(&plan).unwrap_or_else(|e| panic!("{name}: {e}"));
}

#[test]
fn squares_of_squares_are_quick() {
    is_quick("squares", |r| {
        let (x, w) = scalar(r);
        let h = r.state("h", Shape::Scalar, 1, None);
        let mut y = (w * h + x).tanh();
        for _ in 0..100 {
            y = (y * y).sin();
        }
        r.next(h, y).square()
    });
}

#[test]
fn sums_of_hundreds_of_products_are_quick() {
    is_quick("sums", |r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
        let h = r.state("h", Shape::Vector(3), 1, None);
        let w = r.param("w", Shape::Matrix(3, 3));
        let mut y = h;
        for _ in 0..100 {
            y = w.matvec(y) + w.matvec(x) + y;
        }
        r.next(h, y.tanh()).square().sum()
    });
}

#[test]
fn states_that_read_each_other_in_a_row_are_quick() {
    is_quick("row", |r| {
        let (x, w) = scalar(r);
        let mut y = x;
        for k in 0..60 {
            // Forward and backward in turn: as many sweeps.
            let d = if k % 2 == 0 { 1 } else { -1 };
            let h = r.state(&format!("h.{k}"), Shape::Scalar, d, None);
            y = r.next(h, (w * h + y).tanh());
        }
        y.square()
    });
}

#[test]
fn thousands_of_heads_are_quick() {
    is_quick("heads", |r| {
        let (heads, m, n) = (1 << 12, 2, 3);
        let x = r.input("x", InputRole::Sequence, Shape::Matrix(heads, n));
        let w = r.param("w", Shape::Tensor(heads, m, n));
        let h = r.state("h", Shape::Matrix(heads, m), 1, None);
        let y = w.matvec(x + w.matvec_t(h)).softmax_axis(1);
        let all = (w * y.insert_axis(2) + y.outer(x)).transpose(&[0, 2, 1]);
        r.next(
            h,
            all.max_axis(1).layer_norm_axis(0, 0.1) * all.sum_axis(2).mean_axis(1).insert_axis(1),
        )
        .square()
        .mean()
    });
}

#[test]
fn wide_concatenations_are_quick() {
    is_quick("wide", |r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
        let h = r.state("h", Shape::Vector(1), 1, None);
        let w = r.param("w", Shape::Matrix(1, 300));
        let all = Var::concat(&[x + h, x * h].repeat(150));
        r.next(h, w.matvec(all).tanh()).square().sum()
    });
}

#[test]
fn slices_of_wide_concatenations_are_quick() {
    is_quick("slices", |r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
        let w = r.param("w", Shape::Vector(1));
        let all = Var::concat(&[x * w, x + w].repeat(150));
        let parts: Vec<Var<'_>> = (0..300).map(|k| all.slice(k, 1).tanh()).collect();
        Var::concat(&parts).square().sum()
    });
}

#[test]
fn outer_products_of_wide_concatenations_are_quick() {
    is_quick("outer", |r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
        let w = r.param("w", Shape::Vector(1));
        let (a, b) = (x * w, x + w);
        let all = Var::concat(&[a, b].repeat(75));
        let square = all.outer(Var::concat(&[b, a].repeat(75)));
        square.matvec(all).square().sum()
    });
}

#[test]
fn concatenations_doubled_again_and_again_are_quick() {
    is_quick("doubled", |r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(1));
        let w = r.param("w", Shape::Vector(1));
        let mut y = x * w;
        for k in 0..18 {
            // Not a sum of itself, which would be one value.
            y = Var::concat(&[y, if k % 2 == 0 { y.tanh() } else { y }]);
        }
        y.square().sum()
    });
}

#[test]
fn weights_doubled_again_and_again_are_quick() {
    is_quick("weights", |r| {
        let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
        let mut w = r.param("w", Shape::Matrix(1, 2));
        for _ in 0..14 {
            w = Var::concat(&[w, w]);
        }
        w.matvec(x).square().sum()
    });
}

#[test]
fn delays_of_one_value_by_many_steps_are_quick() {
    is_quick("delays", |r| {
        let (x, w) = scalar(r);
        let mut y = x * w;
        let h: Vec<Var<'_>> = (1..60)
            .map(|d| r.state(&format!("h.{d}"), Shape::Scalar, d, None))
            .collect();
        for &h in &h {
            y = y + w * h;
        }
        let y = y.tanh();
        h.into_iter().for_each(|h| {
            r.next(h, y);
        });
        y.square()
    });
}

#[test]
fn the_same_program_takes_the_same_work() {
    let tape = families::layers(3);
    let (_, _, first) = planned(&tape);
    let (_, _, second) = planned(&tape);
    assert_eq!(first, second);
}
