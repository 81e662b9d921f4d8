//! An index out of its table is an error that says which, where and what was found, whether it is given or computed.

use retrograd_tape::Extent;
use retrograd_tape::{Domain, InputRole, Interpreter, Op, Recorder, Shape, Tape, TapeError, Var};

/// The rows of `table` (5×2) that `index`, made of `word` (of so many numbers a step), says.
fn embedding(words: Shape, index: impl for<'t> FnOnce(Var<'t>) -> Var<'t>) -> Tape {
    let r = Recorder::new();
    let table = r.param("table", Shape::Matrix(5, 2));
    let word = r.input("word", InputRole::Sequence, words);
    r.loss(table.gather(index(word)).sum());
    r.finish("embedding").unwrap()
}

const TABLE: [f32; 10] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

#[test]
fn an_index_that_is_computed_is_checked_like_one_that_is_given() {
    type Case = (
        Shape,
        for<'t> fn(Var<'t>) -> Var<'t>,
        &'static str,
        &'static str,
    );
    let cases: [Case; 6] = [
        (Shape::Scalar, |x| x, "`word`", "6"),
        (
            Shape::Vector(1),
            |x| x.reshape(Shape::Scalar),
            "`word`",
            "6",
        ),
        (
            Shape::Scalar,
            |x| (x * 2.0).named("double"),
            "`double`",
            "12",
        ),
        (Shape::Scalar, |x| -x, "(neg)", "-6"),
        (Shape::Scalar, |x| (x - 5.0).ln() / 0.0, "(div)", "NaN"),
        (
            Shape::Vector(1),
            |x| Var::concat(&[x, x]).slice(1, 1).reshape(Shape::Scalar),
            "(slice)",
            "6",
        ),
    ];
    for (shape, index, name, number) in cases {
        let tape = embedding(shape, index);
        // All others are row 0, however they are computed: -0, 0 · 2, but ln(-5) is NaN at once.
        let mut words = [0.0; 6];
        words[5] = 6.0;
        let first = if number == "NaN" { 0 } else { 5 };
        let mut run = Interpreter::<f32>::new(&tape);
        let e = run
            .forward(Extent { steps: 3, rows: 2 }, &[&TABLE, &words])
            .unwrap_err();
        let TapeError::Index {
            index,
            row,
            step,
            found,
            rows,
            table,
        } = &e
        else {
            panic!("{e}");
        };
        assert!(index.contains(name), "{index} is not {name}");
        assert_eq!((row, step), (&Some(first % 2), &Some(first / 2)));
        assert_eq!((&found[..], *rows, &table[..]), (number, 5, "`table`"));
        assert_eq!(
            tape.check_indices(Extent { steps: 3, rows: 2 }, &[&TABLE, &words]),
            Err(e)
        );
        // There are no values of a run that was refused.
        assert_eq!(run.backward(&[Some(&[1.0])]), Err(TapeError::NotRun));
        if number != "NaN" {
            run.forward(Extent { steps: 3, rows: 2 }, &[&TABLE, &[0.0; 6]])
                .unwrap();
            run.backward(&[Some(&[1.0])]).unwrap();
            assert_eq!(run.gradient(0).unwrap()[..3], [1.0, 1.0, 0.0]);
            assert_eq!(
                tape.check_indices(Extent { steps: 3, rows: 2 }, &[&TABLE, &[0.0; 6]]),
                Ok(())
            );
        }
    }
}

#[test]
fn a_computed_index_is_rounded_and_then_has_to_be_a_row() {
    let tape = embedding(Shape::Scalar, |x| x * 0.5);
    let mut run = Interpreter::<f32>::new(&tape);
    // Halves go to the even neighbour; -0.5 to 0, 4.5 to 4.
    for (word, row) in [(-1.0, 0), (1.0, 0), (2.0, 1), (3.0, 2), (5.0, 2), (9.0, 4)] {
        run.forward(Extent { steps: 1, rows: 1 }, &[&TABLE, &[word]])
            .unwrap();
        assert_eq!(run.output(0)[0], (4 * row + 1) as f32, "{word}");
    }
    for word in [-1.001, 9.001, 1e30, -1e30, f32::INFINITY, f32::NAN] {
        let e = run
            .forward(Extent { steps: 1, rows: 1 }, &[&TABLE, &[word]])
            .unwrap_err();
        assert!(matches!(e, TapeError::Index { .. }), "{word}: {e}");
    }
}

#[test]
fn an_index_of_less_than_every_step_says_what_it_varies_over() {
    for (role, place) in [
        (InputRole::Param, (None, None)),
        (InputRole::Static, (Some(1), None)),
        (InputRole::Sequence, (Some(1), Some(0))),
    ] {
        let r = Recorder::new();
        let table = r.param("table", Shape::Matrix(5, 2));
        let at = r.input("at", role, Shape::Scalar);
        // Read at each step, whatever the index varies over.
        let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
        r.loss((table.gather(at + 0.0) * x).sum());
        let tape = r.finish("domains").unwrap();
        let at: &[f32] = match role {
            InputRole::Param => &[7.0],
            InputRole::Static => &[1.0, 7.0],
            _ => &[1.0, 7.0, 1.0, 1.0],
        };
        let e = tape
            .check_indices(Extent { steps: 2, rows: 2 }, &[&TABLE, at, &[1.0; 8]])
            .unwrap_err();
        match &e {
            TapeError::Index { row, step, .. } => assert_eq!((*row, *step), place, "{e}"),
            _ => panic!("{e}"),
        }
    }
}

#[test]
fn a_scatter_checks_its_index_too() {
    let r = Recorder::new();
    let at = r.input("at", InputRole::Sequence, Shape::Scalar);
    let v = r.input("v", InputRole::Sequence, Shape::Vector(2));
    let (rows, to) = (3, Domain::Once);
    r.output("sums", r.apply(Op::Scatter { rows, to }, &[at * 1.0, v]));
    let tape = r.finish("scatter").unwrap();
    let mut run = Interpreter::<f64>::new(&tape);
    let ones = [1.0; 6];
    let e = run
        .forward(Extent { steps: 3, rows: 1 }, &[&[0.0, 1.0, 3.0], &ones])
        .unwrap_err();
    assert!(e.to_string().contains("step 2 of row 0 it is 3"), "{e}");
    // Nothing of the run that was cut short is left.
    run.forward(Extent { steps: 3, rows: 1 }, &[&[0.0, 2.0, 2.0], &ones])
        .unwrap();
    assert_eq!(run.output(0), [1.0, 1.0, 0.0, 0.0, 2.0, 2.0]);
}
