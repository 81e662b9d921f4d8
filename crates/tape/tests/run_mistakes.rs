//! What a user can do wrong in running a program, and what is said then.

use retrograd_tape::{
    CentralDifferences, Directions, Extent, InputRole, Interpreter, Recorder, Shape, TapeError,
    Value, gradcheck,
};

#[test]
fn a_run_checks_sizes_lengths_and_indices() {
    let r = Recorder::new();
    let table = r.param("table", Shape::Matrix(3, 2));
    let word = r.input("word", InputRole::Sequence, Shape::Scalar);
    let s = r.state("s", Shape::Vector(2), 1, None);
    let next = r.next(s, s + table.gather(word));
    r.loss(next.sum());
    let tape = r.finish("run").unwrap();
    let mut run = Interpreter::<f32>::new(&tape);
    let (table, words) = (vec![0.5; 6], vec![0.0, 1.0, 2.0, 2.0]);
    let said = |result: Result<(), TapeError>, parts: &[&str]| {
        let text = result.expect_err("it should be refused").to_string();
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing in: {text}");
        }
    };
    said(run.backward(&[None, None]), &["run forward first"]);
    said(run.forward_frozen(&[]), &["run forward first"]);
    said(
        run.forward(Extent { steps: 0, rows: 2 }, &[&table, &[], &[]]),
        &["at least one step"],
    );
    said(
        run.forward(Extent { steps: 2, rows: 0 }, &[&table, &[], &[]]),
        &["at least one example"],
    );
    said(
        run.forward(Extent { steps: 2, rows: 2 }, &[&table, &words]),
        &["3 inputs", "2 were given"],
    );
    said(
        run.forward(Extent { steps: 2, rows: 2 }, &[&table[1..], &words, &[]]),
        &["`table`", "6", "[3,2]", "5"],
    );
    said(
        run.forward(Extent { steps: 2, rows: 2 }, &[&table, &words[1..], &[]]),
        &["`word`", "4", "T × B", "3"],
    );
    said(
        run.forward(Extent { steps: 2, rows: 2 }, &[&table, &[], &[]]),
        &["`word`", "0 were given"],
    );
    said(
        run.forward(Extent { steps: 2, rows: 2 }, &[&table, &words, &[1.0]]),
        &["`s`", "4", "1 × B × [2]"],
    );
    for wrong in [3.0, -1.0, 0.5, f32::NAN] {
        let words = [0.0, 1.0, wrong, 2.0];
        let text = wrong.to_string();
        said(
            run.forward(Extent { steps: 2, rows: 2 }, &[&table, &words, &[]]),
            &["`word`", "3 rows", "step 1 of row 0", "`table`", &text],
        );
    }
    run.forward(Extent { steps: 2, rows: 2 }, &[&table, &words, &[]])
        .unwrap();
    said(run.backward(&[None]), &["2 cotangents", "1 were given"]);
    said(
        run.backward(&[Some(&[1.0, 2.0]), None]),
        &["`loss`", "one number", "2"],
    );
    run.backward(&[Some(&[1.0]), None]).unwrap();
}

#[test]
fn what_a_run_does_not_have_is_an_error_and_no_panic() {
    let r = Recorder::new();
    let x = r.input("x", InputRole::Sequence, Shape::Vector(2));
    r.loss(x.square().sum());
    let tape = r.finish("run").unwrap();
    let nowhere = Value(u32::MAX);
    let observing = |v| Interpreter::<f64>::observing(&tape, |_| true, &[v]);
    assert!(matches!(
        observing(nowhere),
        Err(TapeError::NoSuch { what: "value", .. })
    ));
    let mut run = observing(tape.find("x").unwrap()).unwrap();
    assert_eq!(run.value(Value(0)), Err(TapeError::NotRun));
    run.forward(Extent { steps: 1, rows: 1 }, &[&[1.0, 2.0]])
        .unwrap();
    assert!(matches!(run.value(nowhere), Err(TapeError::NoSuch { .. })));
    assert_eq!(run.value(Value(0)), Ok(vec![1.0, 2.0]));
    assert_eq!(
        run.adjoint(nowhere),
        Err(TapeError::NotObserved {
            value: u32::MAX as usize
        })
    );
    assert!(matches!(
        run.forward(
            Extent {
                steps: usize::MAX,
                rows: 3
            },
            &[&[]]
        ),
        Err(TapeError::TooManyPoints { .. })
    ));
    let check = |inputs: &[&[f64]]| gradcheck(&tape, 1, 1, inputs, Directions::Random(3), 1);
    assert!(matches!(check(&[]), Err(TapeError::Count { .. })));
    assert!(matches!(check(&[&[1.0]]), Err(TapeError::Length { .. })));
    let all = Directions::Random(usize::MAX);
    assert!(gradcheck(&tape, usize::MAX, usize::MAX, &[&[1.0]], all, 1).is_err());
    let mut differences = CentralDifferences::new(&tape, 1, 1, &[&[1.0, 2.0]]).unwrap();
    for wrong in [
        vec![],
        vec![vec![]],
        vec![vec![0.0; 3]],
        vec![vec![0.0; 2]; 2],
    ] {
        assert!(
            differences.along(&wrong, |_| Ok(Vec::new())).is_err(),
            "{wrong:?}"
        );
    }
    assert!(
        differences
            .along(&[vec![0.0; 2]], |_| Ok(Vec::new()))
            .is_ok()
    );
}
