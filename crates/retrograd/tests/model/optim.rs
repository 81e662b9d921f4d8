use retrograd::Error;
use retrograd::optim::{Adam, Optimizer, OptimizerState, Sgd, StepError, clip_scale, global_norm};

const GRADIENTS: [f64; 3] = [0.5, -2.0, 0.1];

/// The parameter after each step along [`GRADIENTS`].
fn path(optimizer: impl Optimizer, start: f64) -> Vec<f64> {
    let mut optimizer =
        OptimizerState::<_, f64>::new(optimizer, 1).expect("the settings are right");
    let mut p = [start];
    let steps = GRADIENTS.iter().map(|&g| {
        optimizer.step(&mut p, &[g], 1.0).expect("it is finite");
        p[0]
    });
    steps.collect()
}

/// A dozen operations a step, on numbers of a few units.
fn assert_near(found: &[f64], expected: &[f64]) {
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < 1e-14, "{found:?}, not {expected:?}");
    }
}

// The numbers in the first three tests are those of torch.optim.Adam, AdamW and SGD in float64 (torch 2).

#[test]
fn adam_takes_pytorchs_steps() {
    let expected = [0.900000002, 0.9559503510200555, 0.9960525887909307];
    assert_near(&path(Adam::new(0.1), 1.0), &expected);
}

#[test]
fn adam_with_weight_decay_takes_the_steps_of_pytorchs_adamw() {
    let adam = Adam::new(0.1)
        .betas(0.8, 0.9)
        .weight_decay(0.05)
        .epsilon(1e-3);
    let expected = [-3.0848003992015967, -3.0098074696771255, -2.954019851081535];
    assert_near(&path(adam, -3.0), &expected);
}

#[test]
fn momentum_takes_pytorchs_steps() {
    assert_near(
        &path(Sgd::new(0.1).momentum(0.9), 1.0),
        &[0.95, 1.105, 1.2345],
    );
}

#[test]
fn f32_follows_f64() {
    let mut optimizer = OptimizerState::<_, f32>::new(Adam::new(0.1), 2).expect("right");
    let mut p = [1.0f32, 1.0];
    for g in GRADIENTS {
        optimizer
            .step(&mut p, &[g as f32, 0.0], 1.0)
            .expect("it is finite");
    }
    // Three steps of a dozen roundings at 1: 36 · 2⁻²⁴ at most.
    assert!((f64::from(p[0]) - 0.9960525887909307).abs() < 2.2e-6);
    assert_eq!(p[1], 1.0);
}

#[test]
fn clipping_bounds_the_norm_and_keeps_the_direction() {
    let gradient = [3.0f32, 4.0];
    assert_eq!(global_norm(&gradient), 5.0);
    assert_eq!(clip_scale(5.0, Some(1.0)), 0.2);
    assert_eq!(clip_scale(5.0, Some(7.0)), 1.0);
    assert_eq!(clip_scale(5.0, None), 1.0);
    let mut optimizer = OptimizerState::new(Sgd::new(1.0), 2).expect("right");
    let mut p = [0.0f64; 2];
    optimizer
        .step(&mut p, &[3.0, 4.0], clip_scale(5.0, Some(1.0)))
        .expect("it is finite");
    assert_near(&p, &[-0.6, -0.8]);
}

#[test]
fn the_norm_is_finite_where_its_squares_are_not() {
    assert_eq!(global_norm(&[3e30f32, 4e30]) as f32, 5e30);
    let relative = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-15;
    assert!(
        relative(global_norm(&[3e200, -4e200]), 5e200),
        "squares of f64 overflow"
    );
    assert!(
        relative(global_norm(&[3e-200, -4e-200]), 5e-200),
        "or vanish"
    );
    assert_eq!(global_norm(&[f64::MAX]), f64::MAX);
    assert!(global_norm(&[f64::NAN, 1e200]).is_nan());
    assert_eq!(global_norm(&[f64::INFINITY, 1.0]), f64::INFINITY);
    assert_eq!(global_norm::<f64>(&[]), 0.0);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    fn refused(optimizer: impl Optimizer) {
        let e = OptimizerState::<_, f64>::new(optimizer, 1).expect_err("a wrong setting");
        assert!(matches!(e, Error::Setting { .. }), "{e:?}");
    }
    refused(Adam::new(-1.0));
    refused(Adam::new(f64::NAN));
    refused(Adam::new(0.1).betas(1.0, 0.9));
    refused(Adam::new(0.1).betas(0.9, -0.1));
    refused(Adam::new(0.1).weight_decay(-0.1));
    refused(Sgd::new(0.1).momentum(1.0));
}

#[test]
fn a_square_that_overflows_is_an_error_and_changes_nothing() {
    let mut adam = OptimizerState::<_, f32>::new(Adam::new(0.1), 100).expect("right");
    let (mut p, mut g) = (vec![1.0f32; 100], vec![0.5f32; 100]);
    adam.step(&mut p, &g, 1.0).expect("it is finite");
    let before = (format!("{adam:?}"), p.clone());
    g[77] = 2e19;
    let e = adam
        .step(&mut p, &g, 1.0)
        .expect_err("its square is infinite");
    let expected = StepError::Overflow {
        what: "Adam's mean squared gradient",
        element: 77,
    };
    assert_eq!(e, expected);
    assert_eq!((format!("{adam:?}"), p.clone()), before);
    // Clipped, it is no longer too large.
    adam.step(&mut p, &g, clip_scale(global_norm(&g), Some(1.0)))
        .expect("it is finite");
    assert!(p.iter().all(|p| p.is_finite()));
}

#[test]
fn moments_do_not_linger_in_denormal_numbers() {
    let mut adam = OptimizerState::<_, f32>::new(Adam::new(0.1), 1).expect("right");
    let mut p = [1.0f32];
    adam.step(&mut p, &[1e-30], 1.0).expect("it is finite");
    for _ in 0..2000 {
        adam.step(&mut p, &[0.0], 1.0).expect("it is finite");
    }
    // 1e-31 · 0.9²⁰⁰⁰ lies below the denormal numbers; after some 200 steps it would be one.
    let vectors = &adam.memory().vectors;
    assert!(vectors.iter().all(|(_, v)| v == &[0.0]), "{adam:?}");
}
