//! Batches of rows of different lengths, and with states renewed within rows, against runs of each segment alone by the
//! tape: outputs, final states and all gradients. Padding is filled with NaN.

mod alone;

use alone::{Rows, cells, check, everything, numbers, rows};
use proptest::prelude::*;
use retrograd::{Batch, Cell, Domain, Engine, Error, Extent, InputRole, Sgd, Trainer, zoo};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn segments_are_what_they_are_alone(rows in rows()) {
        for (name, cell) in cells() {
            check(&cell, &rows).map_err(|e| TestCaseError::fail(format!("{name}: {e}")))?;
        }
    }
}

#[test]
fn rows_that_a_loop_over_time_once_took_for_equally_long() {
    for lengths in [vec![0, 1], vec![3, 1, 0]] {
        let rows = Rows {
            steps: lengths[0].max(1),
            lengths: Some(lengths),
            resets: None,
        };
        check(&everything(), &rows).expect("segments are what they are alone");
    }
}

/// A forecaster that takes a weight for every step.
fn weighted() -> Cell {
    Cell::define("weighted", |c| {
        let gru = zoo::find("gru").expect("it is in the zoo");
        let h = gru.layer(c, "gru", c.input("x", 2), 4);
        let y = c.dense("read", 1, [h]);
        c.output("y", y);
        c.loss((y - c.target("next", 1)).square().sum());
        c.weight(c.weight_input("weight"));
    })
    .expect("the equations fit together")
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

#[test]
fn training_is_that_with_weights_of_zero_in_the_padding() {
    let (t, b, lengths) = (7, 3, [4, 7, 1]);
    let live = |i: usize| i / b < lengths[i % b];
    let (x, next) = (numbers(t * b * 2, 1), numbers(t * b, 2));
    let batch = Batch::new(Extent::steps(t).rows(b))
        .with("x", single(&x))
        .with("next", single(&next));
    let weight = (0..t * b).map(|i| if live(i) { 1.0 } else { 0.0 });
    let padded = batch.clone().with("weight", weight.collect());
    let missing = |values: &[f64], n: usize| -> Vec<f32> {
        let there = values.iter().enumerate();
        there
            .map(|(i, &v)| if live(i / n) { v as f32 } else { f32::NAN })
            .collect()
    };
    let ragged = batch
        .with_lengths(&lengths)
        .with("x", missing(&x, 2))
        .with("next", missing(&next, 1));
    for engine in Engine::ALL {
        let build = || {
            let builder = Trainer::builder(weighted(), Sgd::new(0.1)).engine(engine);
            builder.seed(3).build().expect("it compiles")
        };
        let (mut with_weights, mut with_lengths) = (build(), build());
        for _ in 0..3 {
            let expected = with_weights.step(&padded).expect("it runs");
            let found = with_lengths.step(&ragged).expect("it runs");
            let near = |f: f64, e: f64| (f - e).abs() < 1e-5 * (1.0 + e.abs());
            assert!(near(found.loss, expected.loss), "{found:?}, {expected:?}");
            assert!(
                near(found.gradient_norm, expected.gradient_norm),
                "{engine}"
            );
        }
        let evaluation = with_lengths.evaluate(&ragged).expect("it runs");
        let y = evaluation.output("y").expect("an output");
        assert!((0..t * b).all(|i| (y[i] != 0.0) == live(i)), "{y:?}");
        // The padding is not looked at for numbers that are not finite either; a step is.
        let mut wrong = missing(&x, 2);
        wrong[(3 * b) * 2] = f32::INFINITY;
        match with_lengths.step(&ragged.clone().with("x", wrong)) {
            Err(Error::NonFiniteInput { t: 3, b: 0, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn lengths_and_resets_that_do_not_fit_are_errors() {
    let cell = weighted();
    let mut session = cell.program().build().expect("it compiles").session();
    let parameters = cell.initial_parameters(1).expect("they are finite");
    let batch = || {
        Batch::new(Extent::steps(2).rows(2))
            .with("x", vec![0.0; 8])
            .with("next", vec![0.0; 4])
    };
    for (batch, expected) in [
        (batch().with_lengths(&[1]), "the number of lengths"),
        (batch().with_lengths(&[1, 3]), "3 for row 1"),
        (batch().with_lengths(&[0, 0]), "at least one step"),
        (batch().with_resets(&[true]), "the number of resets"),
    ] {
        let error = session
            .run(&parameters, &batch)
            .expect_err("it does not fit");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn row_arrays_are_one_a_segment_and_errors_name_the_caller_s_step() {
    let cell = Cell::define("words", |c| {
        let (word, h) = (c.input("word", ()), c.state("h", 2));
        let h = c.next(h, 0.5 * h + c.param("table", (4, 2)).gather(word));
        c.output("end", h.last());
        let label = c.input_over("label", InputRole::Target, 2, Domain::Row);
        c.loss((h.last() - label).square().sum());
    })
    .expect("the equations fit together");
    let resets = [false, false, true, false, false, true];
    let batch = Batch::new(Extent::steps(3).rows(2)).with_resets(&resets);
    let batch = batch.with("word", vec![0.0, 1.0, 2.0, 3.0, 1.0, 2.0]);
    for engine in Engine::ALL {
        let builder = Trainer::builder(cell.clone(), Sgd::new(0.1)).engine(engine);
        let mut trainer = builder.seed(1).build().expect("it compiles");
        match trainer.step(&batch.clone().with("label", vec![0.0; 4])) {
            Err(Error::InputLength { expected, .. }) => assert_eq!(expected, "[segments = 4, 2]"),
            other => panic!("{other:?}"),
        }
        let given = batch.clone().with("label", vec![0.0; 8]);
        trainer.step(&given).expect("it runs");
        let evaluation = trainer.evaluate(&given).expect("it runs");
        assert_eq!(
            evaluation.output("end").map(<[f32]>::len),
            Some(8),
            "{engine}"
        );
        let wrong = given.with("word", vec![0.0, 1.0, 2.0, 3.0, 1.0, 7.0]);
        let error = trainer.step(&wrong).expect_err("there is no row 7");
        let message = error.to_string();
        assert!(
            message.contains("step 2") && message.contains("row 1"),
            "{message}"
        );
    }
}
