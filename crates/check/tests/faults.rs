//! Deliberately wrong compilers: `check` finds each fault within twenty seconds, reduces it to at most five ops, and names
//! the place. `cargo test --release -p retrograd-check --features faults --test faults`

use std::time::{Duration, Instant};

use retrograd_check::{CheckOptions, Failure, Report, check};
use retrograd_tape::faults::{Fault, inject, none};
use retrograd_tape::{InputRole, Recorder, Shape, Tape};

/// What must be said of a fault: the property that fails first, the stage, the pass, and the op.
struct Expected {
    property: &'static str,
    stage: &'static str,
    pass: Option<&'static str>,
    op: &'static str,
}

const MOST_OPS: usize = 5;
const TIME: Duration = Duration::from_secs(20);

fn first(report: &Report) -> (&str, &Failure) {
    let mut failures = report.failures();
    failures
        .next()
        .unwrap_or_else(|| panic!("nothing is found:\n{report}"))
}

/// A cell with gates, two states, one of which has a delay of its own, and two dense layers.
fn cell() -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
    let s = r.input("s", InputRole::Static, Shape::Vector(5));
    let w = r.param("w", Shape::Matrix(5, 3));
    let u = r.param("u", Shape::Matrix(5, 5));
    let b = r.param("b", Shape::Vector(5));
    let h = r.state("h", Shape::Vector(5), 1, None);
    let far = r.state("far", Shape::Vector(5), 2, None);
    let back = r.state("back", Shape::Vector(5), -1, None);
    let z = w.matvec(x) + u.matvec(h) + b;
    let keep = z.sigmoid();
    let new = (u.matvec(far) + (s * 0.5).sin()).tanh();
    let h = r.next(h, keep * h + (1.0 - keep) * new);
    r.next(far, (h + 0.5 * far).tanh());
    let back = r.next(back, 0.5 * back + h);
    r.output("y", w.matvec_t(back));
    r.loss(h.square().mean());
    r.finish("gated").expect("it can be recorded")
}

/// A layer of more units than whole vectors, and enough for a kernel of its own.
fn wide() -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
    let w = r.param("w", Shape::Matrix(21, 3));
    let u = r.param("u", Shape::Matrix(21, 21));
    let h = r.state("h", Shape::Vector(21), 1, None);
    let keep = (w.matvec(x) + u.matvec(h)).sigmoid();
    let next = r.next(h, 0.5 * (keep + h));
    r.output("y", next);
    r.finish("wide").expect("it can be recorded")
}

/// A cell without what runs backward, so that a stepper takes it; its far state looks three steps back.
fn streamed() -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
    let w = r.param("w", Shape::Matrix(4, 3));
    let h = r.state("h", Shape::Vector(4), 1, None);
    let far = r.state("far", Shape::Vector(4), 3, None);
    let next = r.next(h, (w.matvec(x) + 0.5 * h * far).tanh());
    r.next(far, next - 0.5 * far);
    r.output("y", next);
    r.finish("rings").expect("it can be recorded")
}

fn found(fault: Fault, tape: &Tape, expected: &Expected) {
    let start = Instant::now();
    let report = {
        let _wrong = inject(fault);
        let options = CheckOptions::default()
            .cases(1000)
            .time(TIME)
            .findings(false);
        // As a person would ask for it: until it is found.
        check(tape, &options.until_failure()).expect("it compiles")
    };
    let took = start.elapsed();
    let (property, failure) = first(&report);
    println!("{fault:?} in {took:?}: {property}: {failure}");
    let least = failure.least.as_ref().expect("it is reduced");
    let place = failure.place.as_ref().expect("it is traced");
    assert_eq!(property, expected.property, "{report}");
    assert!(least.ops <= MOST_OPS, "{} ops\n{report}", least.ops);
    assert_eq!(place.stage, expected.stage, "{report}");
    assert_eq!(place.pass.as_deref(), expected.pass, "{report}");
    let node = place.node.as_deref().unwrap_or_default();
    assert!(
        node.contains(expected.op),
        "{node} is no {}\n{report}",
        expected.op
    );
    assert!(took < TIME, "{took:?}");
    // The same program is right when the compiler is.
    let _right = none();
    let options = CheckOptions::default().cases(2).time(TIME).findings(false);
    check(tape, &options).expect("it compiles").assert();
}

macro_rules! faults {
    ($($test:ident: $fault:ident in $tape:expr => $property:literal, $stage:literal, $pass:expr, $op:literal;)*) => {$(
        #[test]
        fn $test() {
            let (property, stage, pass, op) = ($property, $stage, $pass, $op);
            found(Fault::$fault, &$tape, &Expected { property, stage, pass, op });
        }
    )*};
}

faults! {
    a_wrong_derivative_rule: DerivativeRule in cell() => "differences", "rule", None, "tanh";
    a_pass_that_drops_a_term: DroppedTerm in cell() => "plan", "pass", Some("simplify"), "add";
    a_kernel_that_misses_the_last_lane: LastLane in wide() => "f64", "code", None, "sigmoid";
    a_boundary_of_two_steps: BoundaryOfTwo in cell() => "plan", "pass", Some("adjoint"), "delay 2";
    a_reverse_layer_of_a_ragged_row: ReverseRow in cell() => "f64", "rows", None, "delay";
    a_replay_within_a_budget: Replay in cell() => "budget", "replay", None, "delay";
    a_ring_that_wraps: Ring in streamed() => "stepper", "stepper", None, "delay";
    a_race_between_threads: Race in cell() => "threads", "threads", None, "";
    an_error_in_f32_only: Single in cell() => "f32", "f32", None, "sin";
    a_tangent_that_takes_a_matrix_for_a_constant: Tangent in cell() => "modes", "tangent", None, "matvec";
}
