//! Forecasts of tables: windows, roles, horizons, intervals, backtests, files.
#![cfg(all(feature = "text", feature = "csv"))]
#![expect(
    clippy::single_range_in_vec_init,
    reason = "a range of rows for each of one series"
)]

mod categories;
mod looking;
mod series;

use retrograd::data::{Csv, Gaps, Panel, Series, Standardizer, Windows};
use retrograd::fit::Fit;
use retrograd::forecast::{Backtest, Columns, Examples, ForecastError, Model, Scaling, Setup};
use retrograd::random::{ChaCha8Rng, SeedableRng};
use retrograd::zoo::{self, ForecastLoss, Forecaster};
use retrograd::{Adam, Batch, Cell, Sgd, Trainer};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// Two columns, a wave and the wave two rows later.
fn waves(rows: usize) -> Panel {
    let wave = |t: usize| (t as f64 * 0.7).sin();
    let values = (0..rows).flat_map(|t| [wave(t), 10.0 + 3.0 * wave(t + 2)]);
    Series::new(names(&["a", "b"]), values.collect())
        .unwrap()
        .into()
}

fn all(panel: &Panel) -> Columns {
    Columns::of(panel.names(), None, &[], &[]).unwrap()
}

#[test]
fn windows_of_one_series_and_one_row_are_those_of_windows() {
    let panel = waves(120);
    let series = &panel.series()[0];
    let setup = Setup::fit(all(&panel), &panel, &[0..100])
        .unwrap()
        .steps(16);
    let standard = Standardizer::fit(series, 0..100)
        .unwrap()
        .transform(series)
        .unwrap();
    let windows = Windows::new(&standard, 0..100, 16).unwrap();
    let examples = Examples::new(&setup, &panel, &[0..100], false).unwrap();
    assert_eq!(examples.len(), windows.len());
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut order = examples.order(8, 4, 5).unwrap();
    for epoch in 0..3 {
        let expected: Vec<Batch> = windows
            .batches::<f32>(8, 4, &mut rng)
            .unwrap()
            .map(Batch::from)
            .collect();
        assert_eq!(order.epoch(epoch).collect::<Vec<_>>(), expected);
        // By its number, from any place.
        assert_eq!(
            examples
                .batches(8, 4, 5, epoch)
                .unwrap()
                .collect::<Vec<_>>(),
            expected
        );
    }
    assert_eq!(
        order.epoch(0).next(),
        examples.batches(8, 4, 5, 0).unwrap().next()
    );
}

/// A cell that forecasts by a linear map of a row, whose weights are set by hand.
fn linear(inputs: usize, outputs: usize) -> Cell {
    let cell = Cell::define("linear", |c| {
        let x = c.input("x", inputs);
        let y = c.param("W", (outputs, inputs)).matvec(x);
        c.output("y", y);
        c.loss(y.mse(c.target("next", outputs)));
    });
    cell.unwrap()
}

/// A model with these weights.
fn model(setup: &Setup, weights: &[f32]) -> Model {
    let cell = linear(setup.inputs(), setup.outputs());
    let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build().unwrap();
    trainer.set_parameters(weights).unwrap();
    Model::new(&trainer.checkpoint(), setup).unwrap()
}

#[test]
fn a_recursive_forecast_reads_itself_and_a_direct_one_does_not() {
    // A doubling series, in units whose mean is not 0.
    let series = Series::new(names(&["a"]), vec![1.0, -2.0, 4.0, -8.0, 16.0]).unwrap();
    let panel = Panel::from(series);
    let setup = Setup::fit(all(&panel), &panel, &[0..4]).unwrap();
    let (mean, scale) = (-1.25, 19.1875_f64.sqrt());
    let z = |x: f64| (x - mean) / scale;
    let forecast = |setup: &Setup, w: &[f32], horizon| {
        let forecasts = model(setup, w)
            .forecast(&panel, horizon, None, &[])
            .unwrap();
        forecasts[0].values.clone()
    };
    let near = |found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            // f32 in standardised units, a few roundings.
            assert!(
                (f - (mean + scale * e)).abs() < 1e-4,
                "{found:?} {expected:?}"
            );
        }
    };
    let x = z(16.0);
    near(
        &forecast(&setup, &[0.5], 3),
        &[0.5 * x, 0.25 * x, 0.125 * x],
    );
    let direct = setup.clone().horizon(3);
    near(
        &forecast(&direct, &[0.5, 0.1, -1.0], 3),
        &[0.5 * x, 0.1 * x, -x],
    );
    // Beyond what it forecasts at once: the third row from the first forecast, and so on.
    near(
        &forecast(&direct, &[0.5, 0.1, -1.0], 5),
        &[0.5 * x, 0.1 * x, -x, -0.5 * x, -0.1 * x],
    );
}

#[test]
fn columns_known_ahead_are_read_at_the_row_that_is_forecast() {
    let values = (0..6).flat_map(|t| [f64::from(t), f64::from(t * t), 7.0]);
    let panel = Panel::from(Series::new(names(&["y", "price", "size"]), values.collect()).unwrap());
    let columns = Columns::of(
        panel.names(),
        Some(&names(&["y"])),
        &names(&["price"]),
        &names(&["size"]),
    )
    .unwrap();
    let setup = Setup::fit(columns, &panel, &[0..6]).unwrap().horizon(2);
    // y, price of both rows, size.
    assert_eq!((setup.inputs(), setup.outputs()), (4, 2));
    let picks = model(&setup, &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let future = Series::new(names(&["price"]), vec![100.0, -50.0]).unwrap();
    let forecast = picks
        .forecast(&panel, 2, Some(&future.into()), &[])
        .unwrap();
    let prices = Standardizer::fit(&panel.series()[0], 0..6).unwrap();
    let (mean, scale) = (prices.mean(), prices.scale());
    for (found, price) in forecast[0].values.iter().zip([100.0, -50.0]) {
        let expected = mean[0] + scale[0] * (price - mean[1]) / scale[1];
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
    let short = Series::new(names(&["price"]), vec![100.0]).unwrap();
    let error = picks
        .forecast(&panel, 2, Some(&short.into()), &[])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("known for 1 rows after the last; 2 are needed"),
        "{error}"
    );
    // The same two rows in a batch: the price of the next rows.
    let examples = Examples::new(&setup.steps(3), &panel, &[0..6], false).map(|_| ());
    assert!(examples.is_ok());
}

#[test]
fn an_observed_column_cannot_be_read_where_it_is_not_known() {
    let panel = waves(50);
    let columns = Columns::of(panel.names(), Some(&names(&["a"])), &[], &[]).unwrap();
    let setup = Setup::fit(columns, &panel, &[0..40]).unwrap();
    let reads = model(&setup, &[1.0, 0.0]);
    assert!(reads.forecast(&panel, 1, None, &[]).is_ok());
    let error = reads
        .forecast(&panel, 2, None, &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("column \"b\", which it does not forecast")
            && error.contains("horizon of 2"),
        "{error}"
    );
    let twice = Columns::of(panel.names(), Some(&names(&["a"])), &names(&["a"]), &[]);
    assert!(matches!(twice, Err(ForecastError::Request(_))));
}

#[test]
fn scales_are_of_columns_series_or_windows() {
    let series = |from: f64, by: f64| {
        let values = (0..8).map(|t| from + by * f64::from(t % 2)).collect();
        Series::new(names(&["v"]), values).unwrap()
    };
    let panel = Panel::new(
        "id",
        vec![
            ("low".into(), series(0.0, 2.0)),
            ("high".into(), series(100.0, 20.0)),
        ],
    )
    .unwrap();
    let setup = |scaling| {
        let setup = Setup::fit(all(&panel), &panel, &[0..8, 0..8]).unwrap();
        setup.steps(4).scaling(scaling)
    };
    let shown = |scaling| {
        let setup = setup(scaling);
        let examples = Examples::new(&setup, &panel, &[0..8, 0..8], false).unwrap();
        // The first window of each series: 4 of each.
        let batch = examples.batch(&[0, 4]).unwrap();
        let masked = if setup.needs_present() {
            "present"
        } else {
            "all there"
        };
        (batch, masked)
    };
    let of = |batch: &Batch, low: [f32; 4], high: [f32; 4]| {
        let both: Vec<f32> = low.iter().zip(high).flat_map(|(l, h)| [*l, h]).collect();
        format!("{batch:?}").contains(&format!("(\"x\", {both:?})"))
    };
    let (series_batch, masked) = shown(Scaling::Series);
    assert!(
        of(
            &series_batch,
            [-1.0, 1.0, -1.0, 1.0],
            [-1.0, 1.0, -1.0, 1.0]
        ),
        "{series_batch:?}"
    );
    assert_eq!(masked, "all there");
    let (column_batch, _) = shown(Scaling::Column);
    assert!(!of(
        &column_batch,
        [-1.0, 1.0, -1.0, 1.0],
        [-1.0, 1.0, -1.0, 1.0]
    ));
    let (window_batch, masked) = shown(Scaling::Window);
    assert_eq!(masked, "present");
    // The last step of each window counts alone.
    let present = vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
    assert!(window_batch.clone().with("present", present) == window_batch);
    // The deviation of the low series is less than a twentieth of the column's.
    assert!(!of(
        &window_batch,
        [-1.0, 1.0, -1.0, 1.0],
        [-1.0, 1.0, -1.0, 1.0]
    ));

    // A series that was not trained on has a scale of its own.
    let new = Panel::new("id", vec![("new".into(), series(5000.0, 1000.0))]).unwrap();
    let forecast = model(&setup(Scaling::Series), &[-1.0])
        .forecast(&new, 1, None, &[])
        .unwrap();
    assert!(
        (forecast[0].values[0] - 5000.0).abs() < 0.01,
        "{:?}",
        forecast[0].values
    );
}

#[test]
fn what_is_missing_is_seen_and_not_asked_for() {
    let table = "day,v\n1/1/24,1\n2/1/24,\n3/1/24,3\n4/1/24,4\n5/1/24,\n6/1/24,6\n";
    let panel = Csv::new()
        .columns(["v"])
        .gaps(Gaps::Mask)
        .parse_panel(table, "t.csv")
        .unwrap();
    let setup = Setup::fit(all(&panel), &panel, &[0..6]).unwrap().steps(3);
    assert!(setup.needs_present() && setup.inputs() == 2);
    let examples = Examples::new(&setup, &panel, &[0..6], false).unwrap();
    let batch = examples.batch(&[0]).unwrap();
    assert!(batch.clone().with("present", vec![0.0, 1.0, 1.0]) == batch);
    let cell = Forecaster::new(setup.inputs())
        .targets(1)
        .masked(true)
        .cell("m", |c, x| {
            let h = c.state("h", 3);
            c.next(h, c.dense("new", 3, [x, h]).tanh())
        });
    let mut trainer = Trainer::builder(cell.unwrap(), Sgd::new(0.1))
        .build()
        .unwrap();
    let loss = trainer.evaluate(&batch).unwrap().loss();
    // Whatever a missing target holds makes no difference.
    let other = batch.clone().with("next", {
        let evaluated = trainer.evaluate(&batch).unwrap();
        let y = evaluated.output("y").unwrap().to_vec();
        let mut next = y.clone();
        next[0] = 1e9;
        next
    });
    let other = trainer.evaluate(&other).unwrap().loss();
    assert!(other.abs() < 1e-12 && loss > 0.0, "{other} {loss}");
}

#[test]
fn a_backtest_scores_as_its_formulas_say() {
    // Seasons of 2: 0 10 1 11 2 12 …
    let values = (0..20).map(|t| f64::from(t / 2) + if t % 2 == 1 { 10.0 } else { 0.0 });
    let panel = Panel::from(Series::new(names(&["v"]), values.collect()).unwrap());
    let setup = Setup::fit(all(&panel), &panel, &[0..12]).unwrap();
    // The model repeats the last row.
    let report = model(&setup, &[1.0])
        .backtest(&panel, &[12..20], &Backtest::new(2).season(2).folds(100))
        .unwrap();
    assert_eq!((report.origins, report.horizon), (7, 2));
    let score = |name: &str| report.scores.iter().find(|s| s.name == name).unwrap();
    // One row ahead persistence is off by 10 or 9, seen from rows 12 … 18; two rows ahead by 1. A season before, always by 1.
    let expected = [(10.0 * 3.0 + 9.0 * 4.0) / 7.0, 1.0];
    for name in ["model", "persistence"] {
        for (found, expected) in score(name).mae.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{name}: {found} {expected}"
            );
        }
    }
    assert_eq!(score("seasonal").mae, [1.0, 1.0]);
    // The scale: rows 2 … 11 as a season before are off by 1.
    assert_eq!(score("seasonal").mase, [Some(1.0)]);
    let mase = report.mase[0].unwrap();
    assert!(
        (mase - f64::midpoint(expected[0], 1.0)).abs() < 1e-4,
        "{mase}"
    );
    assert_eq!(report.residuals.horizon(), 2);
    let fold = &report.folds[1];
    assert_eq!(
        (fold.ahead, &*fold.origin, &*fold.row, fold.observed),
        (2, "11", "13", Some(16.0))
    );
}

#[test]
fn intervals_of_errors_hold_what_they_say() {
    // White noise of two sizes, forecast as its mean.
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let values: Vec<f64> = (0..4000)
        .map(|_| retrograd::random::RngExt::random_range(&mut rng, -1.0..1.0))
        .collect();
    let panel = Panel::from(Series::new(names(&["v"]), values).unwrap());
    let setup = Setup::fit(all(&panel), &panel, &[0..1000]).unwrap();
    let mut model = model(&setup, &[0.0]);
    let how = Backtest::new(1).folds(1000).levels(&[0.8]);
    let report = model.backtest(&panel, &[1000..2500], &how).unwrap();
    let (level, share) = report.coverage[0];
    // Four standard errors of a share of 500: 4 √(0.8 · 0.2 ÷ 500), twice for the quantiles of 500 themselves.
    let bound = 4.0 * (0.16_f64 / 500.0 * 2.0).sqrt();
    assert!(
        level == 0.8 && (share.unwrap() - 0.8).abs() < bound,
        "{share:?}"
    );
    let none = model.forecast(&panel, 1, None, &[0.8]).unwrap();
    assert_eq!(none[0].intervals[0].low, [None]);
    model.keep(&report);
    let forecast = &model.forecast(&panel, 1, None, &[0.8]).unwrap()[0];
    let (low, high) = (
        forecast.intervals[0].low[0].unwrap(),
        forecast.intervals[0].high[0].unwrap(),
    );
    // The tenth and the ninetieth percentile of the uniform distribution.
    assert!(
        (low + 0.8).abs() < 0.1 && (high - 0.8).abs() < 0.1,
        "{low} {high}"
    );
}

/// Trains a forecaster with a loss, and returns its model.
fn trained(loss: ForecastLoss, horizon: usize, panel: &Panel) -> Model {
    let setup = Setup::fit(all(panel), panel, &[0..300]).unwrap();
    let setup = setup.steps(16).horizon(horizon).head(loss.into());
    let cell = Forecaster::new(setup.inputs())
        .targets(setup.outputs())
        .loss(loss);
    let gru = zoo::find("gru").unwrap();
    let cell = cell.cell("gru", |c, x| gru.layer(c, "", x, 8)).unwrap();
    let mut trainer = Trainer::builder(cell, Adam::new(1e-2))
        .seed(1)
        .build()
        .unwrap();
    let examples = Examples::new(&setup, panel, &[0..300], false).unwrap();
    let mut order = examples.order(16, 4, 1).unwrap();
    Fit::new(40)
        .run(&mut trainer, |epoch| order.epoch(epoch))
        .unwrap();
    Model::new(&trainer.checkpoint(), &setup).unwrap()
}

#[test]
fn distributions_give_intervals_that_cover_and_widen() {
    // A random walk without a drift, in differences of a wave: noise of deviation 1 around it.
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let noise = |rng: &mut ChaCha8Rng| -> f64 {
        (0..12)
            .map(|_| retrograd::random::RngExt::random_range(rng, -0.5..0.5))
            .sum()
    };
    let values = (0..400).map(|t| 5.0 * (f64::from(t) * 0.5).sin() + noise(&mut rng));
    let panel = Panel::from(Series::new(names(&["v"]), values.collect()).unwrap());
    for loss in [
        ForecastLoss::Gaussian,
        ForecastLoss::StudentT,
        ForecastLoss::Quantile,
    ] {
        let model = trained(loss, 1, &panel);
        let report = model
            .backtest(
                &panel,
                &[300..400],
                &Backtest::new(2).folds(60).levels(&[0.8]),
            )
            .unwrap();
        let share = report.coverage[0].1.unwrap();
        assert!((0.65..=0.95).contains(&share), "{loss}: {share}");
        let forecast = &model.forecast(&panel, 8, None, &[0.5, 0.9]).unwrap()[0];
        let width = |level: usize, row: usize| {
            let interval = &forecast.intervals[level];
            interval.high[row].unwrap() - interval.low[row].unwrap()
        };
        assert!(
            (0..8).all(|row| 0.0 < width(0, row) && width(0, row) < width(1, row)),
            "{loss}"
        );
        assert_eq!(
            forecast,
            &model.forecast(&panel, 8, None, &[0.5, 0.9]).unwrap()[0],
            "drawn from a fixed stream"
        );
    }
}

#[test]
fn a_model_is_one_file() {
    let path = std::env::temp_dir().join(format!(
        "retrograd-forecast-{}.safetensors",
        std::process::id()
    ));
    let panel = waves(400);
    let mut model = trained(ForecastLoss::Squared, 3, &panel);
    let report = model
        .backtest(&panel, &[300..400], &Backtest::new(3))
        .unwrap();
    model.keep(&report);
    assert!(
        report.mase[0].unwrap() < 0.2,
        "it learnt the wave: {:?}",
        report.mase
    );
    let setup = model.setup().clone();
    let cell = model.cell().clone();
    let trainer = Trainer::builder(cell, Adam::new(1e-2)).build().unwrap();
    let other = trainer.checkpoint();
    other.write(&path).unwrap();
    assert!(matches!(
        Model::open(&path),
        Err(ForecastError::NoSetup { .. })
    ));
    model.keep_in(other).write(&path).unwrap();
    let mut opened = Model::open(&path).unwrap();
    assert_eq!(opened.setup(), &setup);
    assert_eq!(opened.residuals().map(|r| r.horizon()), Some(3));
    // In f32, but for their rounding as they were.
    opened.keep(&report);
    assert_eq!(opened.trained_rows("", &panel.series()[0]), Some(300));
    std::fs::remove_file(&path).unwrap();
}
