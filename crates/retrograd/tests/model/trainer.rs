//! Runs once with each engine: see `on_tape` and `compiled`.

#[path = "trainer/descent.rs"]
mod descent;
#[path = "trainer/parameters.rs"]
mod parameters;

use super::ENGINE;
use retrograd::{Adam, Batch, Cell, Engine, Error, Extent, Sgd, StateSpec, Trainer, Unroll, zoo};

const LR: f64 = 0.01;

fn forecaster(name: &str) -> Cell {
    zoo::forecaster(zoo::find(name).expect("it is in the zoo"), 2, 4).expect("it is right")
}

fn trainer(cell: Cell) -> Trainer {
    let settings = Trainer::builder(cell, Adam::new(LR)).engine(ENGINE);
    settings.seed(1).build().expect("it is right")
}

/// T = 3, B = 2 of two columns.
fn batch() -> Batch {
    let wave = |shift: usize| (0..12).map(|i| ((i + shift) as f32 * 0.7).sin()).collect();
    Batch::new(Extent::steps(3).rows(2))
        .with("x", wave(0))
        .with("next", wave(4))
}

fn all(trainer: &Trainer) -> Vec<f32> {
    trainer
        .named_parameters()
        .flat_map(|p| p.values.to_vec())
        .collect()
}

#[test]
fn the_same_seed_trains_to_the_same_parameters() {
    let train = || {
        let mut trainer = trainer(forecaster("keepwrite"));
        let losses: Vec<f64> = (0..5)
            .map(|_| trainer.step(&batch()).unwrap().loss)
            .collect();
        (losses, all(&trainer))
    };
    assert_eq!(train(), train());
}

#[test]
fn unrolling_changes_no_bit_of_what_is_learned() {
    let trained = |unroll| {
        let method = Adam::new(1e-2);
        let trainer = Trainer::builder(forecaster("gru"), method).engine(ENGINE);
        let mut trainer = trainer.unroll(unroll).build().unwrap();
        for _ in 0..5 {
            trainer.step(&batch()).unwrap();
        }
        all(&trainer)
    };
    let once = trained(Unroll::NONE);
    for factor in [2, 5, 32] {
        assert_eq!(trained(Unroll::by(factor).unwrap()), once, "{factor}");
    }
    assert_eq!(trained(Unroll::AUTO), once);
}

#[test]
fn a_sine_is_learned() {
    let (t, b) = (40, 4);
    let wave = |shift: usize| -> Vec<f32> {
        let at = |i: usize| (((i / b + shift) as f32 * 0.3) + (i % b) as f32).sin();
        (0..t * b).map(at).collect()
    };
    let batch = Batch::new(Extent::steps(t).rows(b))
        .with("x", wave(0))
        .with("next", wave(1));
    let cell = zoo::forecaster(zoo::find("lstm").unwrap(), 1, 8).unwrap();
    let settings = Trainer::builder(cell, Adam::new(0.02))
        .engine(ENGINE)
        .seed(1);
    let mut trainer = settings.clip(1.0).build().unwrap();
    let first = trainer.step(&batch).unwrap().loss;
    for _ in 0..300 {
        trainer.step(&batch).unwrap();
    }
    let last = trainer.evaluate(&batch).unwrap().loss();
    assert!(first > 0.2 && last < 0.005, "from {first} to {last}");
}

#[test]
fn a_copy_delayed_by_three_steps_is_learned_by_a_skip_recurrence() {
    let (t, b) = (12, 8);
    let noise = |i: usize| ((i * 7919 % 101) as f32 - 50.0) / 50.0;
    let x: Vec<f32> = (0..t * b).map(noise).collect();
    let mut target = vec![0.0; 3 * b];
    target.extend(&x[..(t - 3) * b]);
    let cell = Cell::define("copy", |c| {
        let x = c.input("x", 1);
        let h = c.state_with("h", 4, StateSpec::delay(3));
        let y = c.dense("y", 1, [h]);
        c.next(h, c.dense("h", 4, [x, h]));
        c.output("y", y);
        c.loss((y - c.target("copy", 1)).square().mean());
    })
    .unwrap();
    let batch = Batch::new(Extent::steps(t).rows(b))
        .with("x", x)
        .with("copy", target);
    let settings = Trainer::builder(cell, Adam::new(0.02)).engine(ENGINE);
    let mut trainer = settings.seed(3).build().unwrap();
    for _ in 0..400 {
        trainer.step(&batch).unwrap();
    }
    let last = trainer.evaluate(&batch).unwrap().loss();
    assert!(last < 1e-3, "{last}");
}

#[test]
fn a_step_is_the_optimisers_step_along_the_gradient() {
    let settings = Trainer::builder(forecaster("gru"), Sgd::new(0.5)).engine(ENGINE);
    let mut trainer = settings.double().seed(2).build().unwrap();
    let f64s = |name: &str| {
        batch()
            .array(name)
            .unwrap()
            .iter()
            .map(|&v| f64::from(v))
            .collect()
    };
    let batch = Batch::new(Extent::steps(3).rows(2))
        .with("x", f64s("x"))
        .with("next", f64s("next"));
    let before = trainer.parameter("new.h").unwrap().to_vec();
    let evaluation = trainer.differentiate(&batch).unwrap();
    let (loss, gradient) = (
        evaluation.loss(),
        evaluation.gradient("new.h").unwrap().to_vec(),
    );
    let report = trainer.step(&batch).unwrap();
    assert_eq!((report.step, report.loss), (1, loss));
    let after = trainer.parameter("new.h").unwrap();
    for ((a, b), g) in after.iter().zip(&before).zip(&gradient) {
        assert_eq!(*a, b - 0.5 * g);
    }
    // And the gradient is the loss's, by a central difference of error O(10⁻¹⁰).
    let mut moved = after.to_vec();
    let mut loss_at = |value: f64| {
        moved[3] = value;
        trainer.set_parameter("new.h", &moved).unwrap();
        trainer.evaluate(&batch).unwrap().loss()
    };
    let at = 0.25;
    let slope = (loss_at(at + 1e-5) - loss_at(at - 1e-5)) / 2e-5;
    loss_at(at);
    let gradient = trainer
        .differentiate(&batch)
        .unwrap()
        .gradient("new.h")
        .unwrap()[3];
    assert!((slope - gradient).abs() < 1e-8, "{slope}, {gradient}");
}

#[test]
fn clipping_bounds_what_a_step_changes() {
    let settings = Trainer::builder(forecaster("rnn"), Sgd::new(1.0)).engine(ENGINE);
    let mut trainer = settings.seed(1).clip(1e-2).build().unwrap();
    let before = all(&trainer);
    let report = trainer.step(&batch()).unwrap();
    assert!(report.gradient_norm > 1e-2);
    let squares = all(&trainer)
        .into_iter()
        .zip(before)
        .map(|(a, b)| f64::from(a - b).powi(2));
    let moved = squares.sum::<f64>().sqrt();
    // Each parameter is near 1 and rounded by 2⁻²⁴.
    assert!((moved - 1e-2).abs() < 1e-6, "{moved}");
}

#[test]
fn an_evaluation_gives_outputs_and_final_states() {
    let mut trainer = trainer(forecaster("keepwrite"));
    let evaluation = trainer.evaluate(&batch()).unwrap();
    assert_eq!(evaluation.output("y").map(<[f32]>::len), Some(3 * 2 * 2));
    assert_eq!(evaluation.output("h").map(<[f32]>::len), Some(2 * 4));
    assert_eq!(evaluation.output("c").map(<[f32]>::len), Some(2 * 4));
    assert_eq!(evaluation.output("z"), None);
    assert_eq!(evaluation.gradient("keep.x"), None);
}

#[test]
fn final_states_go_on_as_initial_states() {
    let mut trainer = trainer(forecaster("lstm"));
    let x = batch().array("x").unwrap().to_vec();
    let whole = trainer
        .predict(&Batch::new(Extent::steps(3).rows(2)).with("x", x.clone()))
        .unwrap();
    let expected = whole.output("y").unwrap()[8..].to_vec();
    let first = Batch::new(Extent::steps(2).rows(2)).with("x", x[..8].to_vec());
    let first = trainer.predict(&first).unwrap();
    let (h, c) = (
        first.output("h").unwrap().to_vec(),
        first.output("c").unwrap().to_vec(),
    );
    let second = Batch::new(Extent::steps(1).rows(2))
        .with("x", x[8..].to_vec())
        .with("h", h)
        .with("c", c);
    let found = trainer
        .predict(&second)
        .unwrap()
        .output("y")
        .unwrap()
        .to_vec();
    for (f, e) in found.iter().zip(&expected) {
        // The same sums, in blocks of other sizes: some ε of numbers below 1.
        assert!((f - e).abs() < 1e-6, "{found:?}, {expected:?}");
    }
}

/// y = mask ∘ x with a parameter that does nothing.
fn dropout(keep: f64) -> Cell {
    Cell::define("dropout", |c| {
        let x = c.input("x", 50);
        let y =
            x * c.mask("drop", 50, keep) * c.param_init("one", 50, retrograd::Init::Constant(1.0));
        c.output("y", y);
        c.loss(y.mean());
    })
    .unwrap()
}

#[test]
fn masks_are_drawn_for_training_and_are_one_otherwise() {
    let batch = Batch::new(Extent::steps(20).rows(10)).with("x", vec![1.0f32; 10_000]);
    let settings = Trainer::builder(dropout(0.8), Sgd::new(0.0))
        .engine(ENGINE)
        .seed(4);
    let mut trainer = settings.build().unwrap();
    let losses: Vec<f64> = (0..2).map(|_| trainer.step(&batch).unwrap().loss).collect();
    assert_ne!(losses[0], losses[1], "each step draws anew");
    for loss in losses {
        // Mean 1, standard error √(0.2/0.8/10⁴) = 0.005; four of them.
        assert!((loss - 1.0).abs() < 0.02, "{loss}");
    }
    assert_eq!(trainer.evaluate(&batch).unwrap().loss(), 1.0);
    let given = batch.with("drop", vec![0.5; 10_000]);
    assert_eq!(trainer.step(&given).unwrap().loss, 0.5);
}

#[test]
fn weights_are_ones_unless_given() {
    let cell = Cell::define("weighted", |c| {
        let x = c.input("x", ());
        let w = c.weight_input("w");
        c.weight(w);
        c.loss(x * c.param_init("one", (), retrograd::Init::Constant(1.0)));
    })
    .unwrap();
    let mut trainer = trainer(cell);
    let batch = Batch::new(Extent::steps(4)).with("x", vec![1.0, 2.0, 3.0, 4.0]);
    assert_eq!(trainer.evaluate(&batch).unwrap().loss(), 2.5);
    let weighted = batch.with("w", vec![0.0, 0.0, 1.0, 3.0]);
    assert_eq!(trainer.evaluate(&weighted).unwrap().loss(), 3.75);
}

#[test]
fn a_loss_that_is_no_number_leaves_everything_as_it_was() {
    let mut trainer = trainer(forecaster("irnn"));
    trainer.step(&batch()).unwrap();
    let before = all(&trainer);
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        let mut next = batch().array("next").unwrap().to_vec();
        next[5] = bad;
        let e = trainer
            .step(&batch().with("next", next))
            .expect_err("not finite");
        match bad.is_finite() {
            true => assert!(matches!(e, Error::NonFinite { step: 2, .. }), "{e}"),
            false => assert!(matches!(e, Error::NonFiniteInput { .. }), "{e}"),
        }
    }
    assert_eq!(all(&trainer), before);
    assert_eq!(trainer.step(&batch()).unwrap().step, 2);
}

#[test]
fn batches_that_do_not_fit_say_what_is_wrong() {
    let mut trainer = trainer(forecaster("rnn"));
    let mut message = |batch: Batch| {
        trainer
            .step(&batch)
            .expect_err("it does not fit")
            .to_string()
    };
    let x = || vec![0.0f32; 12];
    let cases = [
        (Batch::new(Extent::steps(0).rows(2)), "T = 0, B = 2"),
        (Batch::new(Extent::steps(3).rows(0)), "T = 3, B = 0"),
        (
            Batch::new(Extent::steps(3).rows(2)).with("x", x()),
            "target `next`, expected [T = 3, B = 2, 2]",
        ),
        (
            batch().with("x", vec![0.0; 11]),
            "`x` has 11 elements; expected 12, [T = 3, B = 2, 2]",
        ),
        (
            batch().with("h", vec![0.0; 3]),
            "`h` has 3 elements; expected 8, [B = 2, 4]",
        ),
        (
            batch().with("y", x()),
            "`y`, which the cell does not take; it takes `x`, `h` and `next`",
        ),
        (
            batch().with("h.x", x()),
            "`h.x`, which the cell does not take",
        ),
    ];
    for (batch, expected) in cases {
        let found = message(batch);
        assert!(found.contains(expected), "{found}\n{expected}");
    }
}

#[test]
fn windows_of_a_series_are_batches_of_a_forecaster() {
    let windows = retrograd::data::WindowBatch {
        steps: 3,
        batch: 2,
        columns: 2,
        input: batch().array("x").unwrap().to_vec(),
        target: batch().array("next").unwrap().to_vec(),
        starts: vec![0, 5],
    };
    assert_eq!(Batch::from(windows), batch());
}

#[test]
fn an_index_beyond_the_vocabulary_is_refused() {
    let cell = Cell::define("words", |c| {
        let word = c.input("word", ());
        c.loss(c.embedding("table", 10, 4, word).mean());
    });
    let mut trainer = trainer(cell.unwrap());
    let words = |last| Batch::new(Extent::steps(2)).with("word", vec![3.0, last]);
    trainer.step(&words(9.0)).unwrap();
    for bad in [10.0, -1.0, 0.5, f32::NAN] {
        let e = trainer.step(&words(bad)).expect_err("no such row");
        assert!(e.to_string().contains("`word`"), "{e}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let with = || Trainer::builder(forecaster("rnn"), Adam::new(LR)).engine(ENGINE);
    assert!(matches!(
        with().threads(0).build(),
        Err(Error::Setting { .. })
    ));
    assert!(matches!(
        with().clip(0.0).build(),
        Err(Error::Setting { .. })
    ));
    let none = Cell::define("none", |c| {
        c.output("y", c.input("x", 1));
    });
    let e = Trainer::builder(none.unwrap(), Adam::new(LR))
        .engine(ENGINE)
        .build();
    assert!(matches!(e, Err(Error::NoLoss { .. })));
}

#[test]
fn engines_have_names() {
    for engine in Engine::ALL {
        assert_eq!(engine.name().parse::<Engine>().unwrap(), engine);
    }
    let e = "gpu".parse::<Engine>().unwrap_err().to_string();
    assert!(e.contains("`gpu`") && e.contains("`jit`"), "{e}");
}

/// Where the second parameter begins in the vector of all.
fn first_of_second(trainer: &Trainer) -> usize {
    trainer.named_parameters().next().unwrap().values.len()
}

#[test]
fn a_gradient_too_large_to_square_is_an_error_that_names_the_parameter() {
    let cell = Cell::define("steep", |c| {
        let w = c.param_init("w", (), retrograd::Init::Zeros);
        let x = c.input("x", ());
        c.loss(w * x);
    });
    let mut trainer = self::trainer(cell.unwrap());
    let e = trainer
        .step(&Batch::new(Extent::steps(1)).with("x", vec![2e19]))
        .expect_err("(2e19)² is infinite");
    assert!(
        matches!(&e, Error::Overflow { parameter, step: 1, .. } if parameter == "w"),
        "{e}"
    );
    assert_eq!((trainer.parameters(), trainer.steps()), (&[0.0][..], 0));
    trainer
        .step(&Batch::new(Extent::steps(1)).with("x", vec![2.0]))
        .unwrap();
    assert_eq!(trainer.steps(), 1);
}

#[test]
fn a_gradient_whose_squared_norm_overflows_is_clipped() {
    let cell = Cell::define("steep", |c| {
        let w = c.param_init("w", 2, retrograd::Init::Zeros);
        c.loss((w * c.input("x", 2)).sum());
    });
    let trainer = Trainer::builder(cell.unwrap(), Sgd::new(1.0)).engine(ENGINE);
    let mut trainer = trainer.clip(1.0).double().build().unwrap();
    let report = trainer
        .step(&Batch::new(Extent::steps(1)).with("x", vec![3e200, 4e200]))
        .unwrap();
    assert!((report.gradient_norm / 5e200 - 1.0).abs() < 1e-15);
    let right = [-0.6, -0.8];
    let near = |(p, r): (&f64, &f64)| (p - r).abs() < 1e-15;
    assert!(
        trainer.parameters().iter().zip(&right).all(near),
        "{:?}",
        trainer.parameters()
    );
}

/// One target of each row is missing, as NaN, under a weight of 0: training goes on as if it were not there. A batch of such
/// rows alone is refused with what is wrong with it.
#[test]
fn missing_targets_are_covered_by_a_weight_of_0_and_a_batch_of_them_alone_is_refused() {
    let cell = Cell::define("covered", |c| {
        let x = c.input("x", 2);
        let h = c.state("h", 3);
        let h = c.next(h, c.dense("h", 3, [x, h]).tanh());
        let y = c.dense("y", 2, [h]);
        c.loss((y - c.target("next", 2)).square().mean());
        c.weight(c.weight_input("w"));
    })
    .unwrap();
    let (t, b) = (3, 2);
    let batch = |missing: f32, w: Vec<f32>| {
        let targets = (0..t * b * 2).map(|k| if k / 2 % 3 == 1 { missing } else { 0.5 });
        let x = (0..t * b * 2).map(|k| k as f32 * 0.1).collect();
        let batch = Batch::new(Extent::steps(t).rows(b))
            .with("x", x)
            .with("w", w);
        batch.with("next", targets.collect())
    };
    for engine in Engine::ALL {
        let trained = |missing: f32| {
            let mut trainer = (Trainer::builder(cell.clone(), Adam::new(0.1)).engine(engine))
                .seed(1)
                .build()
                .unwrap();
            let w = (0..t * b).map(|p| f32::from(u8::from(p % 3 != 1)));
            let batch = batch(missing, w.collect());
            for _ in 0..3 {
                trainer.step(&batch).unwrap();
            }
            let before = trainer.parameters().to_vec();
            let none = batch.clone().with("w", vec![0.0; t * b]);
            for refused in [
                trainer.step(&none).map(|_| ()),
                trainer.evaluate(&none).map(|_| ()),
            ] {
                let refused = refused.unwrap_err();
                assert!(matches!(refused, Error::NoWeight), "{refused}");
                assert!(refused.to_string().contains("sum to 0"), "{refused}");
            }
            assert_eq!(trainer.parameters(), before);
            before
        };
        let right = trained(0.25);
        assert_eq!(trained(f32::NAN), right, "{engine}");
        assert_eq!(trained(f32::INFINITY), right, "{engine}");
    }
}
