//! Many series of different sizes that wander: differences, scales, trainings at each origin, and what comes of it on real ones.

use std::ops::Range;

use retrograd::data::{Csv, Gaps, Panel, Series, Split};
use retrograd::fit::Fit;
use retrograd::forecast::{
    Backtest, BacktestReport, Columns, Difference, Examples, ForecastError, Model, Scaling, Setup,
};
use retrograd::optim::Schedule;
use retrograd::{Adam, Batch, Cell, Sgd, Trainer, zoo};

use super::{all, names};

/// Says what it read k rows ago, of one column at a horizon.
fn echo(outputs: usize) -> Cell {
    Cell::define("echo", |c| {
        let x = c.input("x", 1);
        let y = c.param("w", retrograd::Shape::Matrix(outputs, 1)).matvec(x);
        c.output("y", y);
        c.loss((y - c.target("next", outputs)).square().mean());
    })
    .unwrap()
}

#[test]
fn what_people_write_for_a_missing_number_is_a_gap() {
    let words = [
        "", "-", "NA", "n/a", "#N/A", "#NV", "NULL", "None", "k.A.", "k. A.", "NaN",
    ];
    let rows = words.map(|word| format!("{word};1\n3;2\n")).concat();
    let csv = Csv::new()
        .gaps(Gaps::Mask)
        .parse(&format!("a;b\n5;0\n{rows}"), "words.csv");
    let series = csv.unwrap();
    let missing: Vec<bool> = (0..series.len())
        .map(|row| series.is_missing(row, 0))
        .collect();
    let expected = (0..23).map(|row| row % 2 == 1);
    assert_eq!(missing, expected.collect::<Vec<_>>());
}

/// 3, 5, 4, 8, …: numbers whose differences can be told by hand.
fn steps() -> Panel {
    let rows = vec![3.0, 5.0, 4.0, 8.0, 7.0, 11.0, 9.0, 14.0, 12.0, 15.0];
    Series::new(names(&["n"]), rows).unwrap().into()
}

fn differenced(panel: &Panel, difference: Difference, horizon: usize) -> Setup {
    let setup = Setup::fit(all(panel), panel, &[0..8]).unwrap();
    let setup = setup.horizon(horizon).steps(3);
    setup.difference(difference, panel, &[0..8]).unwrap()
}

fn of<'b>(batch: &'b Batch, name: &str) -> &'b [f32] {
    batch.array(name).unwrap()
}

#[test]
fn differences_are_read_and_forecast() {
    let panel = steps();
    // From the row before: 0, 2, -1, 4, -1, 4, -2, 5 of the training part.
    let read = [0.0_f64, 2.0, -1.0, 4.0, -1.0, 4.0, -2.0, 5.0];
    let mean = read.iter().sum::<f64>() / 8.0;
    let deviation = (read.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 8.0).sqrt();
    let setup = differenced(&panel, Difference::Row, 2);
    let examples = Examples::new(&setup, &panel, &[0..8], false).unwrap();
    let batch = examples.batch(&[1]).unwrap(); // rows 1, 2 and 3
    let x: Vec<f64> = [2.0, -1.0, 4.0].map(|d| (d - mean) / deviation).to_vec();
    for (found, expected) in of(&batch, "x").iter().zip(x) {
        assert!((f64::from(*found) - expected).abs() < 1e-6);
    }
    // Two rows ahead of each, as differences from it: 4 − 5, 8 − 5, 8 − 4, 7 − 4, 7 − 8, 11 − 8.
    let ahead = [-1.0, 3.0, 4.0, 3.0, -1.0, 3.0];
    let scale = ahead[0] / f64::from(of(&batch, "next")[0]);
    for (found, expected) in of(&batch, "next").iter().zip(ahead) {
        assert!((f64::from(*found) * scale - expected).abs() < 1e-5);
    }
    // By brute force: the root mean square of all differences one and two rows ahead in the training part.
    let n = panel.series()[0].rows();
    let far = (1..8).flat_map(|at| (at..(at + 2).min(8)).map(move |k| n[k] - n[at - 1]));
    let (sum, count) = far.fold((0.0, 0.0), |(s, c), d| (s + d * d, c + 1.0));
    assert!((scale - (sum / count).sqrt()).abs() < 1e-5, "{scale}");

    // From three rows before: rows 3 and 4 are 8 − 3 and 7 − 5; the forecast of 5 is from 4, that of 6 from 8.
    let setup = differenced(&panel, Difference::Season(3), 2);
    let examples = Examples::new(&setup, &panel, &[0..8], false).unwrap();
    let batch = examples.batch(&[2]).unwrap(); // rows 2, 3 and 4
    let next = of(&batch, "next");
    let ratio = f64::from(next[4]) / f64::from(next[5]);
    assert!(
        (ratio - (11.0 - 4.0) / (9.0 - 8.0)).abs() < 1e-5,
        "{next:?}"
    );
    let x = of(&batch, "x");
    let ratio = f64::from(x[1] - x[0]) / f64::from(x[2] - x[0]);
    assert!((ratio - 5.0 / 2.0).abs() < 1e-5, "row 2 has none: 0; {x:?}");
}

/// A model that always says 0 forecasts as the simple forecast that it differs from; one that reads its own goes on so.
#[test]
fn zero_is_the_simple_forecast() {
    let panel = steps();
    for (difference, horizon, expected) in [
        (Difference::Row, 3, [15.0, 15.0, 15.0, 15.0, 15.0]),
        (Difference::Row, 1, [15.0, 15.0, 15.0, 15.0, 15.0]),
        (Difference::Season(4), 3, [9.0, 14.0, 12.0, 15.0, 9.0]),
        (Difference::Season(4), 1, [9.0, 14.0, 12.0, 15.0, 9.0]),
        (Difference::Season(4), 5, [9.0, 14.0, 12.0, 15.0, 9.0]),
    ] {
        let setup = differenced(&panel, difference, horizon);
        let mut trainer = Trainer::builder(echo(horizon), Sgd::new(0.1))
            .build()
            .unwrap();
        trainer.set_parameters(&vec![0.0; horizon]).unwrap();
        let model = Model::new(&trainer.checkpoint(), &setup).unwrap();
        let found = &model.forecast(&panel, 5, None, &[]).unwrap()[0].values;
        assert_eq!(*found, expected, "{difference} {horizon}");
        let test = Backtest::new(5).season(4);
        let report = model.backtest(&panel, &[4..10], &test).unwrap();
        let naive = if difference == Difference::Row { 1 } else { 2 };
        assert_eq!(
            report.scores[0].mae, report.scores[naive].mae,
            "{difference}"
        );
    }
}

/// What a model forecasts again is what it was told: a difference of 1 is one scale more, at every horizon.
#[test]
fn forecasts_add_up() {
    let panel = steps();
    let setup = differenced(&panel, Difference::Row, 1);
    // It says what it reads: the last difference goes on and on, less the mean that reading subtracts, by the other scale.
    let mut trainer = Trainer::builder(echo(1), Sgd::new(0.1)).build().unwrap();
    trainer.set_parameters(&[1.0]).unwrap();
    let model = Model::new(&trainer.checkpoint(), &setup).unwrap();
    let found = &model.forecast(&panel, 3, None, &[]).unwrap()[0].values;
    let read = [0.0_f64, 2.0, -1.0, 4.0, -1.0, 4.0, -2.0, 5.0];
    let mean = read.iter().sum::<f64>() / 8.0;
    let deviation = (read.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 8.0).sqrt();
    let reach = (read[1..].iter().map(|d| d * d).sum::<f64>() / 7.0).sqrt();
    let (mut last, mut value) = (3.0, 15.0);
    for forecast in found {
        last = (last - mean) / deviation * reach;
        value += last;
        assert!((forecast - value).abs() < 1e-4, "{forecast} {value}");
    }
}

#[test]
fn a_backtest_trains_at_each_origin_on_what_was_known_there() {
    let rows = |k: f64| (0..30).map(|t| f64::from(t) * k).collect();
    let series = |k: f64| Series::new(names(&["n"]), rows(k)).unwrap();
    let many = vec![("a".into(), series(1.0)), ("b".into(), series(10.0))];
    let panel = Panel::new("id", many).unwrap();
    let mut seen = Vec::new();
    let report: Result<BacktestReport, ForecastError> =
        Backtest::new(2)
            .folds(3)
            .retrained(&panel, &[20..30, 24..30], |before| {
                seen.push(before.series().iter().map(Series::len).collect::<Vec<_>>());
                let parts: Vec<Range<usize>> = before.series().iter().map(|s| 0..s.len()).collect();
                let setup = Setup::fit(all(before), before, &parts)?.horizon(2).steps(3);
                let setup = setup.scaling(Scaling::Series);
                let setup = setup.difference(Difference::Row, before, &parts)?;
                let mut trainer = Trainer::builder(echo(2), Sgd::new(0.1)).build()?;
                trainer.set_parameters(&[0.0, 0.0])?;
                Model::new(&trainer.checkpoint(), &setup)
            });
    let report = report.unwrap();
    assert_eq!(seen, [[20, 24], [24, 26], [28, 28]]);
    assert_eq!((report.origins, report.folds.len()), (6, 12));
    // Persistence is 1 and 2 off in units of a, 10 and 20 in those of b.
    assert_eq!(report.scores[0].mae, [5.5, 11.0]);
    // Every forecast is scaled by the mean step of its series: (1 + 2) ÷ 2.
    assert_eq!(report.mase, [Some(1.5)]);
    let refused = Backtest::new(2).retrained(&panel, &[20..31, 24..30], |_| unreachable!());
    assert!(matches!(refused, Err(ForecastError::Data(_))));
}

/// Trains as `retrograd train --horizon 12` does without any other flag.
fn trained(panel: &Panel, horizon: usize, seed: u64) -> Result<Model, ForecastError> {
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for series in panel.series() {
        let (first, last) = series.split(Split::Fraction(0.2))?;
        training.push(first);
        validation.push(last);
    }
    let columns = Columns::of(panel.names(), None, &[], &[])?;
    let season = panel.season().unwrap_or(1);
    let difference = Difference::best(panel, &columns, &training, horizon, season);
    let rows = training[0].len();
    let setup = Setup::fit(columns, panel, &training)?.horizon(horizon);
    let setup = setup.steps(64.min(rows / 2)).scaling(Scaling::Series);
    let setup = setup.difference(difference, panel, &training)?;
    let cell = zoo::find("keepwrite").unwrap();
    let forecaster = zoo::Forecaster::new(setup.inputs()).targets(setup.outputs());
    let cell = forecaster
        .dropout(0.4)
        .cell("keepwrite", |c, x| cell.layer(c, "", x, 32))?;
    let examples = Examples::new(&setup, panel, &training, false)?;
    let before = validation
        .iter()
        .map(|part| part.start - setup.window()..part.end);
    let ends = Examples::new(&setup, panel, &before.collect::<Vec<_>>(), false)?;
    let steps = 100 * examples.batches_per_epoch(32, 8)?;
    let mut trainer = Trainer::builder(cell, Adam::new(3e-3))
        .seed(seed)
        .clip(1.0)
        .schedule(Schedule::cosine(steps as u64))
        .build()?;
    let mut order = examples.order(32, 8, seed)?;
    Fit::new(100)
        .validate(|trainer| Ok(ends.error(trainer, 256).expect("there are windows")))
        .stop_early(20)
        .run(&mut trainer, |epoch| order.epoch(epoch))?;
    let mut model = Model::new(&trainer.checkpoint(), &setup)?;
    let test = model.backtest(panel, &validation, &Backtest::new(horizon))?;
    model.keep(&test);
    Ok(model)
}

/// 23 series of employment, of which the settings were chosen on the years up to 2013: in 2014 and 2015, a model that is trained at
/// each of five origins beats the seasonal naive forecast, and its intervals hold what they say.
#[test]
fn twenty_three_series_are_forecast_better_than_by_the_year_before() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/us-employment.csv");
    let wide = Csv::new().open_panel(path).unwrap();
    let panel = wide.columns_as_series("industry", "employees").unwrap();
    assert_eq!((panel.series().len(), panel.rows()), (23, 23 * 120));
    assert_eq!(panel.season(), Some(12));
    let last_years = vec![96..120; 23];
    let test = Backtest::new(12).folds(5).levels(&[0.8]);
    let report: Result<BacktestReport, ForecastError> =
        test.retrained(&panel, &last_years, |before| trained(before, 12, 1));
    let report = report.unwrap();
    assert_eq!(report.origins, 5 * 23);
    let of_model = mean_by_series(&report, &panel, |fold, _| fold.forecast);
    let of_naive = mean_by_series(&report, &panel, |fold, series| {
        let labels = series.labels().unwrap();
        let row = labels.iter().position(|l| *l == fold.row).unwrap();
        series.row(row - 12)[0]
    });
    // By hand, from the forecasts themselves, as the report says.
    assert!((of_model - report.mase[0].unwrap()).abs() < 1e-9);
    assert!((of_naive - report.naive_mase[0].unwrap()).abs() < 1e-9);
    assert!(of_model < of_naive, "{of_model} {of_naive}");
    let held = report.coverage[0].1.unwrap();
    assert!((0.74..=0.86).contains(&held), "{held}");
}

/// The mean over the series of the mean absolute scaled error (Hyndman & Koehler 2006).
fn mean_by_series(
    report: &BacktestReport,
    panel: &Panel,
    forecast: impl Fn(&retrograd::forecast::Fold, &Series) -> f64,
) -> f64 {
    let all = panel.ids().iter().zip(panel.series()).map(|(id, series)| {
        let past = &series.rows()[..96];
        let steps = past.iter().skip(12).zip(past).map(|(a, b)| (a - b).abs());
        let scale = steps.sum::<f64>() / 84.0;
        let folds: Vec<_> = report.folds.iter().filter(|f| f.id == *id).collect();
        let errors = folds
            .iter()
            .map(|f| (f.observed.unwrap() - forecast(f, series)).abs());
        errors.sum::<f64>() / folds.len() as f64 / scale
    });
    all.sum::<f64>() / 23.0
}
