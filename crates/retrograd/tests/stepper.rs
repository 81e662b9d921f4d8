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
    // A fork that takes other parameters multiplies the static input by these.
    let others: Vec<f32> = cell.initial_parameters(4).expect("it is small");
    let mut fork = c.fork();
    fork.set_parameters(&others).expect("they fit");
    let fresh = cell.stepper(&others).with("style", numbers(4, 1));
    let mut fresh = fresh.with("h", second).build().expect("it streams");
    let right = fresh.step(&[&x]).expect("it fits");
    assert_eq!(fork.step(&[&x]).expect("it fits"), right);
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

/// A cell with what only its loss needs: a target, a static input, a state.
fn supervised() -> Cell {
    Cell::define("supervised", |c| {
        let (x, h) = (c.input("x", 3), c.state("h", 8));
        let h = c.next(h, c.dense("h", 8, [x, h]).tanh());
        c.output("y", c.dense("read", 2, [h]));
        let (z, style) = (c.state("z", 8), c.static_input("style", 4));
        let z = c.next(z, c.dense("z", 8, [h, z, style]).tanh());
        let target = c.target("next", 2);
        c.loss((c.dense("other", 2, [z]) - target).square().mean());
    })
    .expect("it is right")
}

#[test]
fn what_reaches_no_output_is_not_asked_for() {
    let cell = supervised();
    let parameters: Vec<f32> = cell.initial_parameters(1).expect("it is small");
    let mut stepper = cell.stepper(&parameters).build().expect("it streams");
    assert_eq!(stepper.inputs().collect::<Vec<_>>(), ["x"]);
    assert!(stepper.state("h").is_some() && stepper.state("z").is_none());
    assert_eq!(stepper.step(&[&[0.1; 3]]).expect("it fits").len(), 2);
}

#[test]
fn loading_for_inference_compiles_nothing_but_the_stepper() {
    let compiled = retrograd::jit::functions_compiled;
    let cell = zoo::forecaster(zoo::find("lstm").expect("it is there"), 2, 8).expect("it is right");
    let path =
        std::env::temp_dir().join(format!("retrograd-inference-{}.json", std::process::id()));
    let before = compiled();
    let trainer = Trainer::builder(cell.clone(), Sgd::new(0.1))
        .seed(4)
        .build();
    let trainer = trainer.expect("it trains");
    let for_training = compiled() - before;
    trainer.save(&path).expect("it is written");

    let before = compiled();
    let parameters: Vec<f32> = cell.load_parameters(&path).expect("it is read");
    assert_eq!(parameters, trainer.parameters());
    assert_eq!(compiled() - before, 0);
    let mut stepper = cell.stepper(&parameters).build().expect("it streams");
    let for_inference = compiled() - before;
    // What the stepper calls, and no more, whatever else is done with it.
    let _ = retrograd::jit::Stepper::<f32>::new(cell.tape(), 1, &of_tape(&cell, &parameters));
    assert_eq!(compiled() - before, 2 * for_inference);
    assert!(0 < for_inference && for_inference < for_training);
    let mut fork = stepper.fork();
    fork.set_parameters(&parameters).expect("they fit");
    for stepper in [&mut stepper, &mut fork] {
        stepper.step(&[&[0.1, 0.2]]).expect("it fits");
        stepper.reset_row(0).expect("there is one");
    }
    assert_eq!(compiled() - before, 2 * for_inference);
    std::fs::remove_file(path).expect("it was written");
}

/// All inputs of the tape, parameters filled in.
fn of_tape<'a>(cell: &Cell, mut parameters: &'a [f32]) -> Vec<&'a [f32]> {
    let inputs = cell.tape().inputs().iter();
    let of = |i: &retrograd::tape::Input| match i.role {
        retrograd::InputRole::Param => {
            let (this, rest) = parameters.split_at(i.ty.shape.len());
            parameters = rest;
            this
        }
        _ => &[],
    };
    inputs.map(of).collect()
}

/// A cell with a mask of each step, of each row, and of the program.
fn masked() -> Cell {
    let text = "cell masked(x[4]; h[4])
mask step[4] keep 0.5
mask row[4] keep 0.75 over row
mask once[4] keep 0.25 over once
h' = x
output y = h' * step
output z = h' * row
output w = h' * once
";
    let cell = retrograd::CellText::parse("masked", text).unwrap_or_else(|e| panic!("{e}"));
    cell.cell(&[]).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn masks_are_ones_unless_they_are_drawn_or_taken() {
    let cell = masked();
    let of = |stepper: &mut retrograd::Stepper<f32>, inputs: &[&[f32]]| -> Vec<Vec<f32>> {
        stepper.step(inputs).expect("it fits");
        let output = |name| stepper.output(name).expect("it has it").to_vec();
        ["y", "z", "w"].map(output).to_vec()
    };
    let ones: &[f32] = &[1.0; 8];
    let mut plain = cell.stepper(&[]).rows(2).build().expect("it streams");
    assert_eq!(plain.inputs().collect::<Vec<_>>(), ["x"]);
    assert_eq!(of(&mut plain, &[ones]), [ones, ones, ones]);

    let build = |seed| {
        let stepper = cell.stepper(&[]).rows(2).draw_masks(seed);
        stepper.build().expect("it streams")
    };
    let (mut drawn, mut same) = (build(1), build(1));
    let mut seen = vec![Vec::new(); 3];
    for sample in 0..400 {
        let found = of(&mut drawn, &[ones]);
        assert_eq!(found, of(&mut same, &[ones]), "the same seed");
        for (all, found) in seen.iter_mut().zip(found) {
            all.push(found);
        }
        if sample % 2 == 1 {
            drawn.reset_row(1).expect("there is one");
            same.reset_row(1).expect("there is one");
        }
    }
    let share = |masks: &[Vec<f32>], kept: f32| {
        let all: Vec<f32> = masks.concat();
        assert!(all.iter().all(|&m| m == 0.0 || m == kept), "{kept}");
        all.iter().filter(|&&m| m != 0.0).count() as f64 / all.len() as f64
    };
    // 3200 draws with probability ½ deviate by 0.009; 800, of ¾, by 0.015: five deviations.
    assert!((share(&seen[0], 2.0) - 0.5).abs() < 0.045);
    assert!(seen[0].windows(2).any(|w| w[0] != w[1]));
    let second: Vec<Vec<f32>> = seen[1].iter().map(|m| m[4..].to_vec()).collect();
    assert!((share(&second, 4.0 / 3.0) - 0.75).abs() < 0.08);
    assert!(
        second.chunks(2).all(|w| w[0] == w[1]),
        "until the row is renewed"
    );
    assert!(
        seen[1].iter().all(|m| m[..4] == seen[1][0][..4]),
        "the other row goes on"
    );
    assert!(seen[2].iter().all(|m| *m == seen[2][0]));
    drawn.reset();
    let other: Vec<Vec<f32>> = (0..20)
        .map(|_| {
            drawn.reset();
            of(&mut drawn, &[ones]).swap_remove(2)
        })
        .collect();
    assert!(
        other.iter().any(|m| *m != other[0]),
        "a reset draws them all"
    );

    let taken = cell
        .stepper(&[])
        .rows(2)
        .take_masks()
        .with("row", vec![3.0; 8]);
    let mut taken = taken.build().expect("it streams");
    assert_eq!(taken.inputs().collect::<Vec<_>>(), ["x", "step"]);
    let found = of(
        &mut taken,
        &[ones, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]],
    );
    assert_eq!(found[0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!((&found[1][..], &found[2][..]), (&[3.0; 8][..], ones));
}

#[test]
fn a_start_that_is_learned_is_given_to_the_stepper_of_a_carrying_cell() {
    let cell = Cell::define("sum", |c| {
        let start = retrograd::StateSpec::delay(2).init_learned();
        let h = c.state_with("h", 1, start);
        c.output("y", c.next(h, h + c.input("x", 1)));
    })
    .expect("it is right");
    let carrying = cell.carrying().expect("it can be carried");
    let mut stepper = carrying.stepper(&[5.0_f32]).build().expect("it streams");
    assert_eq!(stepper.step(&[&[1.0]]).expect("it fits"), [6.0]);
    let given = carrying.stepper(&[5.0_f32]).with("h", vec![10.0, 20.0]);
    let mut stepper = given.build().expect("it streams");
    assert_eq!(stepper.step(&[&[1.0]]).expect("it fits"), [11.0]);
    assert_eq!(stepper.step(&[&[1.0]]).expect("it fits"), [21.0]);
    stepper.reset();
    assert_eq!(stepper.step(&[&[1.0]]).expect("it fits"), [11.0]);
}
