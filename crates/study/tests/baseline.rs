//! Baselines against values computed by hand, and against processes whose law is known.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use retrograd::data::{DataError, Series, Split, Standardizer};
use retrograd_study::baseline::{Baseline, BaselineError, score};

/// The names as owned strings.
fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

#[test]
fn persistence_and_mean_score_as_by_hand() {
    // Training rows (1, 10), (3, 30): means 2 and 20, standard deviations 1 and 10.
    let series = Series::new(names(&["a", "b"]), vec![1., 10., 3., 30., 6., 30., 4., 0.]).unwrap();
    let persistence = Baseline::Persistence.scores(&series, 0..2, 2..4).unwrap();
    // Errors of a: 3 and −2; of b: 0 and −30.
    assert_eq!(persistence.name, "persistence");
    assert!(close(&persistence.mse_per_column, &[6.5, 4.5], 1e-12));
    assert!(close(
        &persistence.rmse_per_column,
        &[6.5_f64.sqrt(), 450_f64.sqrt()],
        1e-12
    ));
    assert!((persistence.mse - 5.5).abs() < 1e-12);
    let mean = Baseline::Mean.scores(&series, 0..2, 2..4).unwrap();
    // Errors of a: 4 and 2; of b: 10 and −20.
    assert!(close(&mean.mse_per_column, &[10.0, 2.5], 1e-12));
    assert!(close(
        &mean.rmse_per_column,
        &[10_f64.sqrt(), 250_f64.sqrt()],
        1e-12
    ));
}

#[test]
fn the_autoregression_of_one_row_is_the_line_through_two_points() {
    // 1 → 2, 2 → 4: the next is twice the last.
    let series = Series::new(names(&["a"]), vec![1., 2., 4., 8., 20.]).unwrap();
    let ar1 = Baseline::Autoregression { lags: 1 };
    let predicted = ar1.predict(&series, 0..3, 3..5).unwrap();
    assert!(close(&predicted, &[8.0, 16.0], 1e-10), "{predicted:?}");
}

#[test]
fn ar7_recovers_a_noisefree_process_of_two_coupled_columns() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut rows = vec![0.0; 14];
    rows.iter_mut()
        .for_each(|v| *v = rng.random_range(-1.0..1.0));
    // Roots of modulus near 1, so that the process neither dies out nor explodes within 80 rows.
    for t in 7..80 {
        let at = |back: usize, column: usize| rows[(t - back) * 2 + column];
        let a = 1.2 * at(1, 0) - at(2, 0) + 0.02 * at(7, 1) + 5.0;
        let b = 0.02 * at(5, 0) + 0.9 * at(1, 1) - 0.98 * at(3, 1) + 0.1 * at(6, 1) - 1.0;
        rows.extend([a, b]);
    }
    let series = Series::new(names(&["a", "b"]), rows).unwrap();
    let scores = Baseline::Autoregression { lags: 7 }
        .scores(&series, 0..60, 60..80)
        .unwrap();
    assert!(scores.mse < 1e-12, "{scores:?}");
}

#[test]
fn ar7_of_a_noisy_process_has_the_error_of_its_noise() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    // Uniform on (−1, 1): variance 1/3.
    let mut values = vec![0.0; 7];
    for t in 7..6000 {
        let noise: f64 = rng.random_range(-1.0..1.0);
        values.push(0.6 * values[t - 1] - 0.3 * values[t - 7] + noise);
    }
    let series = Series::new(names(&["a"]), values).unwrap();
    let ar7 = Baseline::Autoregression { lags: 7 }
        .scores(&series, 0..4000, 4000..6000)
        .unwrap();
    let noise = (1.0_f64 / 3.0).sqrt();
    // The mean square of 2,000 draws varies by 2 % (uniform noise: √(4/45) ÷ ⅓ ÷ √2000); 4 of these, halved by the root.
    assert!(
        (ar7.rmse_per_column[0] / noise - 1.0).abs() < 0.04,
        "{ar7:?}"
    );
}

#[test]
fn constant_and_copied_columns_do_not_break_the_autoregression() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut values = Vec::new();
    let mut x = 0.0;
    for _ in 0..100 {
        x = 0.8 * x + rng.random_range(-1.0..1.0);
        values.extend([x, 2.0 * x + 1.0, 3.0]);
    }
    let series = Series::new(names(&["x", "copy", "still"]), values).unwrap();
    let ar7 = Baseline::Autoregression { lags: 7 }
        .scores(&series, 0..80, 80..100)
        .unwrap();
    assert!(ar7.mse_per_column[2] < 1e-20);
    assert!((ar7.mse_per_column[0] - ar7.mse_per_column[1]).abs() < 1e-9);
    assert!(ar7.mse < 1.0, "{ar7:?}");
    // Fewer rows than unknowns: the solution of least norm, finite.
    assert!(
        Baseline::Autoregression { lags: 7 }
            .scores(&series, 0..12, 80..100)
            .unwrap()
            .mse
            .is_finite()
    );
}

#[test]
fn baselines_are_fitted_without_the_validation_part() {
    let weather = Series::seattle_weather();
    let (train, _) = weather.split(Split::Count(292)).unwrap();
    let mut changed = weather.rows().to_vec();
    // From the second validation row on; the forecast of the first reads none of it.
    changed[(train.end + 1) * 4..].fill(1e6);
    let changed = Series::new(weather.names().to_vec(), changed).unwrap();
    let first = train.end..train.end + 1;
    for baseline in Baseline::ALL {
        let predict = |series| {
            baseline
                .predict(series, train.clone(), first.clone())
                .unwrap()
        };
        assert_eq!(predict(&weather), predict(&changed), "{}", baseline.name());
    }
}

#[test]
fn on_seattle_the_autoregression_beats_mean_and_persistence() {
    let weather = Series::seattle_weather();
    let (train, validation) = weather.split(Split::Fraction(0.2)).unwrap();
    let mse = |baseline: Baseline| {
        baseline
            .scores(&weather, train.clone(), validation.clone())
            .unwrap()
            .mse
    };
    let [persistence, mean, ar7] = Baseline::ALL.map(mse);
    println!("persistence {persistence:.4}, mean {mean:.4}, ar7 {ar7:.4}");
    assert!(ar7 < mean && ar7 < persistence);
    assert_eq!(
        Baseline::ALL.map(Baseline::name),
        ["persistence", "mean", "ar7"]
    );
}

#[test]
fn a_perfect_forecast_scores_zero_and_one_of_another_shape_is_refused() {
    let weather = Series::seattle_weather();
    let fitted = Standardizer::fit(&weather, 0..1000).unwrap();
    let perfect = score(
        "model",
        &weather.rows()[4000..],
        &weather,
        1000..1461,
        &fitted,
    )
    .unwrap();
    assert_eq!((perfect.mse, perfect.name.as_str()), (0.0, "model"));
    let error = score("model", &[0.0; 4], &weather, 1000..1461, &fitted).unwrap_err();
    assert_eq!(
        error.to_string(),
        "predictions of \"model\", [461 rows, 4 columns]: found 4 values, expected 1844"
    );
    assert!(score("model", &[], &weather, 1461..1461, &fitted).is_err());
}

#[test]
fn too_few_rows_are_an_error_that_says_how_many_it_takes() {
    let series = Series::new(names(&["a"]), (0..20).map(f64::from).collect()).unwrap();
    let ar7 = Baseline::Autoregression { lags: 7 };
    let short = ar7.predict(&series, 0..7, 10..12).unwrap_err();
    assert_eq!(
        short.to_string(),
        "the training part has 7 rows; an autoregression on the last 7 rows needs at least 8"
    );
    assert!(matches!(
        ar7.predict(&series, 0..10, 6..8),
        Err(BaselineError::Data(DataError::TooShort { needed: 7, .. }))
    ));
    assert!(Baseline::Persistence.predict(&series, 0..10, 0..8).is_err());
    assert!(Baseline::Mean.predict(&series, 0..10, 10..21).is_err());
}
