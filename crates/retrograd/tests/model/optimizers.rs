//! A hundred steps of every optimiser and schedule against PyTorch and sources' equations (`data/fixtures/optimizers.py`).

use retrograd::optim::{
    Adam, Lbfgs, Lion, NAdam, Objective, Optimizer, OptimizerState, Plateau, RmsProp, Schedule,
    Sgd, StepError,
};
use retrograd::{Batch, Cell, Extent, Trainer};
use serde_json::Value as Json;

fn file() -> Json {
    let text = include_str!("../../../../data/fixtures/optimizers.json");
    serde_json::from_str(text).expect("JSON")
}

fn numbers(v: &Json) -> Vec<f64> {
    let list = v.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// The objective of the fixtures.
fn objective(x: &[f64], gradient: &mut [f64]) -> Result<f64, StepError> {
    let slopes = [1.0, 2.0, 3.0, 0.5];
    let mut loss = 0.0;
    gradient.fill(0.0);
    for (i, a) in slopes.into_iter().enumerate() {
        let next = (i + 1) % 4;
        loss += (a * x[i]).cos() + 0.5 * x[i] * x[i] + 0.1 * x[i] * x[next];
        gradient[i] += x[i] - a * (a * x[i]).sin() + 0.1 * x[next];
        gradient[next] += 0.1 * x[i];
    }
    Ok(loss)
}

/// The parameters after each step.
fn path(optimizer: impl Optimizer, start: &[f64], steps: usize) -> Vec<Vec<f64>> {
    let mut optimizer = OptimizerState::new(optimizer, start.len()).expect("right settings");
    let (mut x, mut gradient) = (start.to_vec(), vec![0.0; start.len()]);
    let mut path = Vec::new();
    for _ in 0..steps {
        let loss = objective(&x, &mut gradient).expect("it never fails");
        let stepped = optimizer.step_with(&mut x, &gradient, 1.0, loss, &mut objective);
        stepped.expect("it is finite");
        path.push(x.clone());
    }
    path
}

/// Along a path of n steps, each of fewer than 50 roundings of numbers up to 4, and a Jacobian of a step whose powers stay below 10
/// (all paths end in a minimum), the difference is below 50 · 4 · 10 · n · 2⁻⁵³ < 2.3·10⁻¹¹.
#[track_caller]
fn assert_path(name: &str, found: &[Vec<f64>], expected: &Json) {
    let expected = expected.as_array().expect("steps");
    assert_eq!((found.len(), expected.len()), (100, 100), "{name}");
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (f, e) in found.iter().zip(numbers(expected)) {
            assert!((f - e).abs() < 2.3e-11, "{name}, step {step}: {f}, not {e}");
        }
    }
}

#[test]
fn every_optimiser_takes_a_hundred_steps_of_its_fixture() {
    let file = file();
    let start = numbers(&file["start"]);
    let mut names = Vec::new();
    let mut check = |name: &'static str, path: Vec<Vec<f64>>| {
        assert_path(name, &path, &file["paths"][name]);
        names.push(name);
    };
    let adamw = Adam::new(0.05).betas(0.8, 0.99).epsilon(1e-4);
    let centred = RmsProp::new(0.01).decay(0.9).epsilon(0.1).momentum(0.5);
    let rmsprop = RmsProp::new(0.02).decay(0.9).epsilon(0.1);
    let nesterov = Sgd::new(0.02).momentum(0.9).nesterov();
    let nadam = NAdam::new(0.05).momentum_decay(0.02).weight_decay(0.1);
    let sgd = Sgd::new(0.02).momentum(0.9);
    check("sgd", path(Sgd::new(0.05), &start, 100));
    check("sgd momentum", path(sgd, &start, 100));
    check("sgd nesterov", path(nesterov, &start, 100));
    check(
        "sgd nesterov decay",
        path(nesterov.weight_decay(0.1), &start, 100),
    );
    check("rmsprop", path(RmsProp::new(0.02), &start, 100));
    check(
        "rmsprop centred momentum",
        path(centred.centred(), &start, 100),
    );
    check(
        "rmsprop decay",
        path(rmsprop.weight_decay(0.1), &start, 100),
    );
    check("adam", path(Adam::new(0.05), &start, 100));
    check("adamw", path(adamw.weight_decay(0.1), &start, 100));
    check("nadam", path(NAdam::new(0.05), &start, 100));
    check("nadam decay", path(nadam, &start, 100));
    check("lion", path(Lion::new(0.01).weight_decay(0.1), &start, 100));
    check(
        "lbfgs",
        path(Lbfgs::new().history(5).fixed(0.06), &start, 100),
    );
    let all = file["paths"].as_object().expect("paths").len();
    assert_eq!(names.len(), all, "{names:?}");
}

#[test]
fn a_line_search_reaches_the_minimum_in_a_dozen_steps() {
    let start = numbers(&file()["start"]);
    let end = path(Lbfgs::new(), &start, 15).pop().expect("steps");
    let mut gradient = [0.0; 4];
    objective(&end, &mut gradient).expect("it never fails");
    assert!(gradient.iter().all(|g| g.abs() < 1e-7), "{gradient:?}");
    // At the minimum there is nothing lower, and steps stay where they are.
    let later = path(Lbfgs::new(), &start, 60).pop().expect("steps");
    assert!(later.iter().zip(&end).all(|(a, b)| (a - b).abs() < 1e-7));
}

#[test]
fn an_optimiser_that_needs_other_points_says_so() {
    let mut lbfgs = OptimizerState::new(Lbfgs::new(), 1).expect("right");
    let (mut x, error) = ([1.0], StepError::NoObjective);
    assert_eq!(lbfgs.step(&mut x, &[2.0], 1.0), Err(error));
    assert_eq!(x, [1.0]);
    struct Failing;
    impl Objective<f64> for Failing {
        fn evaluate(&mut self, _: &[f64], _: &mut [f64]) -> Result<f64, StepError> {
            Err(StepError::Objective)
        }
    }
    let failed = lbfgs.step_with(&mut x, &[2.0], 1.0, 1.0, &mut Failing);
    assert_eq!((failed, x), (Err(StepError::Objective), [1.0]));
    assert_eq!(lbfgs.memory().steps, 0);
}

#[test]
fn what_an_optimiser_remembers_makes_another_go_on_bitwise() {
    fn halves<O: Optimizer + Clone>(optimizer: O) {
        let start = [1.0, -2.0, 0.5, 3.0];
        let whole = path(optimizer.clone(), &start, 20);
        let mut first = OptimizerState::new(optimizer.clone(), 4).expect("right");
        let (mut x, mut gradient) = (start.to_vec(), vec![0.0; 4]);
        let mut go = |state: &mut OptimizerState<O, f64>| {
            for _ in 0..10 {
                let loss = objective(&x, &mut gradient).expect("it never fails");
                let stepped = state.step_with(&mut x, &gradient, 1.0, loss, &mut objective);
                stepped.expect("it is finite");
            }
            x.clone()
        };
        assert_eq!(go(&mut first), whole[9]);
        let mut second = OptimizerState::new(optimizer, 4).expect("right");
        second.set_memory(first.memory().clone()).expect("it fits");
        assert_eq!(go(&mut second), whole[19], "{second:?}");
    }
    halves(Sgd::new(0.02).momentum(0.9).nesterov());
    halves(RmsProp::new(0.01).momentum(0.5).centred());
    halves(Adam::adamw(0.05));
    halves(NAdam::new(0.05));
    halves(Lion::new(0.01));
    halves(Lbfgs::new().history(4));
    let adam = OptimizerState::<_, f64>::new(Adam::new(0.1), 4).expect("right");
    let mut nadam = OptimizerState::<_, f64>::new(NAdam::new(0.1), 4).expect("right");
    let error = nadam
        .set_memory(adam.memory().clone())
        .expect_err("another");
    assert!(error.to_string().contains("product of momenta"), "{error}");
}

#[test]
fn schedules_are_pytorchs() {
    let file = file();
    let metrics = numbers(&file["metrics"]);
    let plateau = Plateau {
        patience: 4,
        cooldown: 3,
        least: 0.05,
        ..Plateau::new(0.5)
    };
    let cosine = Schedule::Cosine {
        period: 10,
        growth: 2.0,
        least: 0.1,
    };
    let schedules = [
        ("step", Schedule::step(7, 0.5)),
        ("exponential", Schedule::exponential(0.97)),
        ("cosine", cosine),
        ("cosine equal", Schedule::cosine(10)),
        ("one cycle", Schedule::one_cycle(101)),
        ("warm-up", Schedule::Constant.warm_up(10)),
        ("plateau", Schedule::Plateau(plateau)),
    ];
    assert_eq!(
        schedules.len(),
        file["schedules"].as_object().expect("all").len()
    );
    for (name, schedule) in schedules {
        let cell = Cell::define("w", |c| c.loss(c.param("w", 1).square().sum())).expect("right");
        let sgd = Sgd::new(1.0);
        let builder = Trainer::builder(cell, sgd).schedule(schedule);
        let mut trainer = builder.double().build().expect("right");
        for (step, expected) in numbers(&file["schedules"][name]).into_iter().enumerate() {
            let found = trainer.learning_rate();
            // A chain of 100 products in PyTorch, whose last places differ from a power.
            let near = (found - expected).abs() <= 200.0 * f64::EPSILON * expected.max(1e-2);
            assert!(near, "{name}, step {step}: {found}, not {expected}");
            trainer
                .step(&Batch::new(Extent::steps(1)))
                .expect("it is finite");
            trainer.report_metric(metrics[step]).expect("it is finite");
        }
    }
}
