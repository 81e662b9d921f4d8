//! Streaming, as a user meets it: a trained cell, sample by sample, forecasts what it forecasts for the whole sequence.

use retrograd::Extent;
use retrograd::{Adam, Batch, Cell, Error, Sgd, Trainer, zoo};

/// Numbers in ±0.5, the same every time.
fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n)
        .map(|i| ((i * 7 + seed * 13) as f32 * 0.7).sin() * 0.5)
        .collect()
}

/// The greatest difference.
fn off(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

/// A few dozen roundings of numbers of the order of 1, damped from step to step.
const NEAR: f32 = 64.0 * f32::EPSILON;

#[test]
fn a_trained_cell_forecasts_sample_by_sample_what_it_does_for_the_sequence() {
    let (t, b) = (12, 3);
    for entry in zoo::question() {
        let name = entry.name;
        let cell = zoo::forecaster(entry, 2, 16).expect("it is right");
        let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
            .seed(1)
            .build()
            .expect("it trains");
        let batch = Batch::new(Extent::steps(t).rows(b))
            .with("x", numbers(t * b * 2, 1))
            .with("next", numbers(t * b * 2, 2));
        for _ in 0..5 {
            trainer.step(&batch).expect("a step");
        }
        let mut stepper = trainer.stepper().rows(b).build().expect("it streams");
        assert_eq!(stepper.inputs().collect::<Vec<_>>(), ["x"]);
        let x = batch.array("x").expect("it is there");
        let mut found = Vec::new();
        for sample in x.chunks(b * 2) {
            found.extend(stepper.step(&[sample]).expect("it fits"));
        }
        let h = stepper.state("h").map(<[f32]>::to_vec);
        let right = trainer.predict(&batch).expect("it runs");
        let output = stepper.outputs().next().expect("it has one").to_owned();
        let forecast = right.output(&output).expect("its output");
        assert!(
            off(&found, forecast) <= NEAR,
            "{name}: {}",
            off(&found, forecast)
        );
        if let Some(h) = h {
            let last = right.output("h").expect("its state");
            assert!(off(&h, last) <= NEAR, "{name}: {}", off(&h, last));
        }
    }
}

#[test]
fn a_stepper_takes_other_parameters_and_goes_on() {
    let cell = zoo::forecaster(zoo::find("gru").expect("it is there"), 1, 8).expect("it is right");
    let start: Vec<f32> = cell.initial_parameters(1).expect("it is small");
    let mut trainer = Trainer::builder(cell.clone(), Sgd::new(0.1))
        .seed(1)
        .build()
        .expect("it trains");
    assert_eq!(trainer.parameters(), start);
    let mut old = trainer.stepper().build().expect("it streams");
    let batch = Batch::new(Extent::steps(4))
        .with("x", numbers(4, 1))
        .with("next", numbers(4, 2));
    trainer.step(&batch).expect("a step");
    let mut new = cell
        .stepper(trainer.parameters())
        .build()
        .expect("it streams");
    let x = [0.4];
    let first = old.step(&[&x]).expect("it fits").to_vec();
    assert_ne!(first, new.step(&[&x]).expect("it fits"));
    old.set_parameters(trainer.parameters()).expect("they fit");
    old.reset();
    new.reset();
    for _ in 0..3 {
        assert_eq!(
            old.step(&[&x]).expect("it fits"),
            new.step(&[&x]).expect("it fits")
        );
    }
    let wrong = old.set_parameters(&start[1..]);
    assert!(
        matches!(wrong, Err(Error::ParameterCount { .. })),
        "{wrong:?}"
    );
}

#[test]
fn static_inputs_are_given_once_and_masks_are_ones() {
    let cell = Cell::define("styled", |c| {
        let x = c.input("x", 3);
        let style = c.static_input("style", 4);
        let mask = c.mask("drop", 3, 0.5);
        let h = c.state("h", 16);
        let h = c.next(
            h,
            c.dense("h", 16, [x * mask, h]).tanh() + c.dense("s", 16, [style]),
        );
        c.output("y", h);
    })
    .expect("it is right");
    let parameters: Vec<f32> = cell.initial_parameters(3).expect("it is small");
    let missing = cell.stepper(&parameters).build();
    assert!(
        matches!(missing, Err(Error::MissingInput { .. })),
        "{missing:?}"
    );
    let other = cell
        .stepper(&parameters)
        .with("stile", vec![0.0; 4])
        .build();
    assert!(matches!(other, Err(Error::NotFixed { .. })), "{other:?}");
    let make = |style: Vec<f32>, h: Vec<f32>| {
        let stepper = cell.stepper(&parameters).with("style", style).with("h", h);
        stepper.build().expect("it streams")
    };
    let (mut a, mut b) = (
        make(numbers(4, 1), vec![0.0; 16]),
        make(numbers(4, 2), vec![0.0; 16]),
    );
    let x = numbers(3, 3);
    let first = a.step(&[&x]).expect("it fits").to_vec();
    assert!(off(&first, b.step(&[&x]).expect("it fits")) > 0.01);
    // What a step ended with, another stepper begins with.
    let second = a.step(&[&x]).expect("it fits").to_vec();
    let mut c = make(numbers(4, 1), first);
    assert_eq!(c.step(&[&x]).expect("it fits"), second);
    assert_eq!(c.output("y"), Some(&second[..]));
    assert_eq!(c.output("z"), None);
}

#[test]
fn a_cell_that_reads_from_the_end_says_which_state_does() {
    let text = "cell both(x[3]; h[8], r[8] delay -1)
h' = tanh(dense(x, h))
r' = tanh(dense(x, r))
output y = dense[2](h', r')
";
    let cell = retrograd::CellText::parse("both", text).expect("it parses");
    let cell = cell.cell(&[]).expect("it is right");
    let parameters = vec![0.1f32; cell.parameter_count()];
    let refused = cell.stepper(&parameters).build();
    let Err(Error::Stepper(e)) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        e.to_string()
            .contains("the state `r` reads the sequence from its end"),
        "{e}"
    );
}
