//! Delays of every kind, differentiated by the interpreter and compared with finite differences.

use retrograd_tape::Extent;
use retrograd_tape::{Directions, InputRole, Interpreter, Recorder, Shape, Tape, gradcheck};

/// Numbers between -1 and 1 without a pattern.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count)
        .map(|i| {
            let x = (i * 7919 + seed * 104_729 + 1) as f64 * 0.618_033_988_749_895;
            2.0 * x.fract() - 1.0
        })
        .collect()
}

fn inputs(tape: &Tape, t: usize, b: usize) -> Vec<Vec<f64>> {
    tape.inputs()
        .iter()
        .enumerate()
        .map(|(i, input)| numbers(input.ty.numbers(t, b), i))
        .collect()
}

fn check(tape: &Tape, t: usize, b: usize) {
    let inputs = inputs(tape, t, b);
    let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
    let report = gradcheck(tape, t, b, &inputs, Directions::Coordinates, 1)
        .unwrap_or_else(|e| panic!("t {t}, b {b}: {e}\n{tape}"));
    assert!(report.checked > 0 && report.rejected == 0, "{report:?}");
}

#[derive(Clone, Copy, Debug)]
enum Init {
    Edge,
    Row,
    Learned,
}

fn recurrence(d: i32, init: Init) -> Tape {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let w = r.param("w", Shape::Matrix(3, 2));
    let u = r.param("u", Shape::Matrix(3, 3));
    let init = match init {
        Init::Edge => None,
        Init::Row => Some(r.input("h0", InputRole::Static, Shape::Vector(3))),
        Init::Learned => Some(r.param("h0", Shape::Vector(3))),
    };
    let h = r.state("h", Shape::Vector(3), d, init);
    let next = (w.matvec(x) + u.matvec(h)).tanh();
    let next = r.next(h, next);
    r.output("y", next * 2.0);
    r.loss((next * h).sum());
    r.finish("recurrence").unwrap()
}

#[test]
fn recurrences_of_any_delay_and_init_have_the_gradient_of_their_differences() {
    for d in [1, 2, 3, -1, -2] {
        for init in [Init::Edge, Init::Row, Init::Learned] {
            let tape = recurrence(d, init);
            for t in 1..6 {
                check(&tape, t, 2);
            }
        }
    }
}

#[test]
fn the_value_of_a_delay_is_that_of_its_definition() {
    for d in [1i32, 3, -1, -2] {
        let k = d.unsigned_abs() as usize;
        let r = Recorder::new();
        let x = r.input("x", InputRole::Sequence, Shape::Scalar);
        let s = r.state("s", Shape::Scalar, d, None);
        r.next(s, x);
        r.output("y", s);
        let tape = r.finish("shift").unwrap();
        for (t, b) in [(1, 1), (2, 3), (5, 2)] {
            let xs = numbers(t * b, 1);
            let init = numbers(k * b, 2);
            let mut run = Interpreter::<f64>::new(&tape);
            run.forward(Extent { steps: t, rows: b }, &[&xs, &init])
                .unwrap();
            let e = if d > 0 {
                [&init[..], &xs[..]]
            } else {
                [&xs[..], &init[..]]
            }
            .concat();
            let (y, last) = if d > 0 {
                (&e[..t * b], &e[t * b..])
            } else {
                (&e[k * b..], &e[..k * b])
            };
            assert_eq!(run.output(0), y);
            assert_eq!(run.output(1), last);
        }
    }
}

#[test]
fn two_sweeps_a_delay_of_a_delay_and_a_state_that_keeps_itself_are_differentiated() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    let w = r.param("w", Shape::Matrix(2, 2));
    let left = r.state("left", Shape::Vector(2), 1, None);
    let l = r.next(left, (x + w.matvec(left)).tanh());
    let right = r.state("right", Shape::Vector(2), -1, None);
    let rr = r.next(right, (l * x + w.matvec(right)).sigmoid());
    let again = r.state("again", Shape::Vector(2), 2, None);
    let a = r.next(again, (again + rr + left).sin());
    let shifted = r.state("shifted", Shape::Vector(2), -3, None);
    r.next(shifted, again);
    let fixed = r.state("fixed", Shape::Vector(2), 1, None);
    r.next(fixed, fixed);
    r.loss((a + shifted * right * fixed).square().mean());
    r.output("all", l + rr * a);
    let tape = r.finish("sweeps").unwrap();
    assert!(tape.schedule().sweeps() >= 3);
    for t in 1..6 {
        check(&tape, t, 2);
    }
}
