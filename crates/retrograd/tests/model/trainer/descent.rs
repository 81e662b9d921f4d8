//! What goes with an optimiser's steps: groups, frozen parameters, limits, constraints, the average, schedules.

use super::{ENGINE, all, batch, forecaster};
use retrograd::optim::{Constraint, Group, Lbfgs, Lion, Optimizer, Schedule};
use retrograd::{Adam, Cell, Cotangents, Error, Sgd, Trainer, TrainerBuilder};

fn builder<O: Optimizer>(optimizer: O) -> TrainerBuilder<O> {
    Trainer::builder(forecaster("lstm"), optimizer)
        .engine(ENGINE)
        .seed(3)
}

/// For each parameter, its name and how far a step moved each element.
fn moved<O: Optimizer>(builder: TrainerBuilder<O>) -> Vec<(String, Vec<f32>)> {
    let mut trainer = builder.build().expect("right settings");
    let before = all(&trainer);
    trainer.step(&batch()).expect("it is finite");
    let mut at = 0;
    let parameter = |p: retrograd::NamedParameter<'_, f32>| {
        let old = &before[at..][..p.values.len()];
        at += old.len();
        let moved = p.values.iter().zip(old).map(|(new, old)| new - old);
        (p.name.to_owned(), moved.collect())
    };
    trainer.named_parameters().map(parameter).collect()
}

#[test]
fn groups_have_rates_and_decays_of_their_own_and_the_last_that_speaks_holds() {
    // Lion's steps are ± the rate, and with decay they subtract rate · λ · p.
    let groups = builder(Lion::new(0.125))
        .group(Group::new("*").learning_rate(0.5))
        .group(Group::new("*.bias").learning_rate(0.25))
        .group(Group::new("forget.*").weight_decay(0.0));
    let mut rates = std::collections::BTreeMap::new();
    for (name, moved) in moved(groups) {
        let expected = if name.ends_with(".bias") {
            0.125 * 0.25
        } else {
            0.125 * 0.5
        };
        // A sum of two numbers below 2 is exact to 2⁻²³.
        let near = |d: &f32| (d.abs() - expected).abs() < 2.4e-7 || *d == 0.0;
        assert!(moved.iter().all(near), "{name}: {moved:?}");
        rates.insert(name, expected);
    }
    assert!(rates.len() > 8, "{rates:?}");

    let plain = builder(Sgd::new(0.1));
    let decayed = builder(Sgd::new(0.1)).group(Group::new("forecast.h").weight_decay(0.5));
    let start = decayed.clone().build().expect("right");
    let start = start.parameter("forecast.h").expect("it has one").to_vec();
    for ((name, plain), (_, decayed)) in moved(plain).into_iter().zip(moved(decayed)) {
        if name != "forecast.h" {
            assert_eq!(plain, decayed, "{name}");
            continue;
        }
        for ((p, d), s) in plain.iter().zip(&decayed).zip(&start) {
            assert!(
                (d - (p - 0.05 * s)).abs() < 2.4e-7,
                "{d}, not {p} - 0.05 · {s}"
            );
        }
    }
}

#[test]
fn frozen_parameters_stay_and_the_others_move_as_if_they_were_not() {
    let free = moved(builder(Sgd::new(0.1)));
    let frozen = builder(Sgd::new(0.1))
        .freeze("*")
        .group(Group::new("forecast.*").frozen(false));
    for ((name, free), (_, frozen)) in free.into_iter().zip(moved(frozen)) {
        match name.starts_with("forecast.") {
            true => assert_eq!(frozen, free, "{name}"),
            false => assert!(frozen.iter().all(|d| *d == 0.0), "{name}: {frozen:?}"),
        }
    }
    // In two halves, too; decay and momentum do not move them either.
    let sgd = Sgd::new(0.1).momentum(0.9).weight_decay(0.1);
    let mut trainer = builder(sgd).freeze("forget.*").build().expect("right");
    let before = trainer.parameter("forget.h").expect("one").to_vec();
    let mut whole = builder(sgd).freeze("forget.*").build().expect("right");
    for _ in 0..3 {
        let batch = batch();
        let forward = trainer.forward(&batch).expect("right");
        let gradients = forward
            .backward(&Cotangents::new().with_loss(1.0))
            .expect("right");
        assert!(gradients.of("forget.h").is_none() && gradients.of("forecast.h").is_some());
        trainer.apply([gradients]).expect("it is finite");
        whole.step(&batch).expect("it is finite");
    }
    assert_eq!(trainer.parameter("forget.h"), Some(&before[..]));
    assert_eq!(all(&trainer), all(&whole));
}

#[test]
fn values_are_limited_before_norms() {
    let gradient = moved(builder(Sgd::new(1.0)));
    let limited = moved(builder(Sgd::new(1.0)).clip_value(1e-3));
    let mut reached = 0;
    for ((name, g), (_, l)) in gradient.iter().zip(&limited) {
        for (g, l) in g.iter().zip(l) {
            // Differences of numbers below 2.
            assert!(
                (l - g.clamp(-1e-3, 1e-3)).abs() < 2.4e-7,
                "{name}: {l} for {g}"
            );
            reached += usize::from(g.abs() > 1e-3);
        }
    }
    assert!(reached > 10, "{reached}");
    let both = moved(builder(Sgd::new(1.0)).clip_value(1e-3).clip(1e-3));
    let norm = |moved: &[(String, Vec<f32>)]| -> f64 {
        let all = moved.iter().flat_map(|(_, v)| v);
        all.map(|d| f64::from(*d).powi(2)).sum::<f64>().sqrt()
    };
    assert!(norm(&limited) > 2e-3 && (norm(&both) - 1e-3).abs() < 1e-5);
}

#[test]
fn constraints_hold_after_every_step() {
    let mut trainer = builder(Adam::new(0.5))
        .constrain("forget.h", Constraint::NonNegative)
        .constrain("forecast.*", Constraint::MaxNorm(0.25))
        .constrain("*.x", Constraint::UnitNorm)
        .build()
        .expect("right");
    for _ in 0..5 {
        trainer.step(&batch()).expect("it is finite");
        for p in trainer.named_parameters() {
            let row = p.shape.axes().last().copied().unwrap_or(1);
            for row in p.values.chunks(row) {
                let norm = row
                    .iter()
                    .map(|v| f64::from(*v).powi(2))
                    .sum::<f64>()
                    .sqrt();
                let unit = p.name.ends_with(".x");
                assert!(!unit || (norm - 1.0).abs() < 1e-6, "{}: {norm}", p.name);
                let non_negative = p.name == "forget.h";
                assert!(!non_negative || row.iter().all(|v| *v >= 0.0), "{}", p.name);
                assert!(
                    !p.name.starts_with("forecast.") || norm <= 0.25 + 1e-6,
                    "{}: {norm}",
                    p.name
                );
            }
        }
    }
}

#[test]
fn the_average_and_adams_path_are_pytorchs_in_a_trainer() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../data/fixtures/optimizers.json"))
            .expect("JSON");
    let numbers = |v: &serde_json::Value| -> Vec<f64> {
        let list = v.as_array().expect("a list");
        list.iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    let cell = Cell::define("objective", |c| {
        let w = c.param("w", 4);
        let part = |k: usize| w.slice(k, 1).sum();
        let slopes = [1.0, 2.0, 3.0, 0.5];
        for (k, a) in slopes.into_iter().enumerate() {
            let (this, next) = (part(k), part((k + 1) % 4));
            c.loss((a * this).cos() + 0.5 * this * this + 0.1 * this * next);
        }
    });
    let cell = cell.expect("right");
    let trainer = Trainer::builder(cell, Adam::new(0.05))
        .engine(ENGINE)
        .average(0.95);
    let mut trainer = trainer.double().build().expect("right");
    trainer
        .set_parameter("w", &numbers(&file["start"]))
        .expect("four");
    assert!(trainer.averaged_parameters().is_none());
    let nothing = retrograd::Batch::new(retrograd::Extent::steps(1));
    let expected = (file["paths"]["adam"].as_array().expect("steps").iter())
        .zip(file["average"].as_array().expect("steps"));
    for (step, (path, average)) in expected.enumerate() {
        trainer.step(&nothing).expect("it is finite");
        // As for the optimisers alone, see `optimizers`.
        let near = |a: &[f64], b: Vec<f64>| a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 2.3e-11);
        assert!(near(trainer.parameters(), numbers(path)), "step {step}");
        assert!(
            near(
                trainer.averaged_parameters().expect("one"),
                numbers(average)
            ),
            "step {step}"
        );
    }
    let own = trainer.parameters().to_vec();
    let inside = trainer.with_average(|t| t.parameters().to_vec());
    assert_eq!(Some(&inside[..]), trainer.averaged_parameters());
    assert_eq!(trainer.parameters(), own);
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let wrong = |e: Result<Trainer, Error>, says: &str| {
        let e = e.map(|_| ()).expect_err(says).to_string();
        assert!(e.contains(says), "{e}");
    };
    let sgd = || builder(Sgd::new(0.1));
    wrong(sgd().freeze("foget.*").build(), "foget");
    wrong(sgd().freeze("*").build(), "not frozen");
    wrong(
        sgd().group(Group::new("*").learning_rate(-1.0)).build(),
        "factor",
    );
    wrong(sgd().clip_value(0.0).build(), "value to clip");
    wrong(
        sgd().constrain("*", Constraint::MaxNorm(0.0)).build(),
        "norm of a constraint",
    );
    wrong(sgd().average(1.0).build(), "average");
    wrong(sgd().schedule(Schedule::step(0, 0.5)).build(), "at least 1");
    wrong(
        builder(Lbfgs::new())
            .group(Group::new("*").weight_decay(0.1))
            .build(),
        "Lbfgs",
    );
    let mut lbfgs = builder(Lbfgs::new()).build().expect("right");
    let batch = batch();
    let forward = lbfgs.forward(&batch).expect("right");
    let gradients = forward
        .backward(&Cotangents::new().with_loss(1.0))
        .expect("right");
    let before = all(&lbfgs);
    let e = lbfgs
        .apply([gradients])
        .expect_err("no other points")
        .to_string();
    assert!(e.contains("objective"), "{e}");
    assert_eq!(before, all(&lbfgs));
}

#[test]
fn a_range_test_leaves_everything_as_it_was() {
    let settings = builder(Adam::new(1e-3))
        .average(0.9)
        .schedule(Schedule::cosine(9).warm_up(3));
    let mut trainer = settings.clone().build().expect("right");
    let mut other = settings.build().expect("right");
    trainer.step(&batch()).expect("it is finite");
    other.step(&batch()).expect("it is finite");
    let test = trainer
        .test_learning_rates(&vec![batch(); 80], 1e-5..=1e3)
        .expect("right");
    assert!(test.losses.len() > 10 && test.suggestion().is_some());
    for _ in 0..10 {
        assert_eq!(trainer.learning_rate(), other.learning_rate());
        let reports =
            [trainer.step(&batch()), other.step(&batch())].map(|r| r.expect("it is finite"));
        assert_eq!(reports[0], reports[1]);
    }
    assert_eq!(all(&trainer), all(&other));
    assert_eq!(trainer.averaged_parameters(), other.averaged_parameters());
}
