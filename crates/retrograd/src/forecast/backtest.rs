//! [`Backtest`]: forecasts of rows that are known, from origins that roll over them, against simple ones.

use std::ops::Range;

use serde::Serialize;

use super::model::check_levels;
use super::rollout::Machine;
use super::view::View;
use super::{ForecastError, Head, Model, Residuals};
use crate::data::{DataError, Panel, Series, Spacing};

/// The settings of a backtest. Each origin is a fold: the model forecasts the rows after it from all rows before it, as persistence does
/// (each row as the last one) and the seasonal naive forecast (each as a season before). The model is not trained anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Backtest {
    horizon: usize,
    folds: usize,
    season: Option<usize>,
    levels: Vec<f64>,
    paths: usize,
}

/// The errors of a forecaster over all origins and series, in the columns' units.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Score {
    /// Who forecast: model, persistence, seasonal.
    pub name: String,
    /// The mean absolute error, `[horizon, n]`.
    pub mae: Vec<f64>,
    /// The root of the mean squared error, `[horizon, n]`.
    pub rmse: Vec<f64>,
    /// The mean absolute scaled error of each column over all horizons, `[n]`; None for a column without a scale.
    pub mase: Vec<Option<f64>>,
}

/// A number that was forecast, and what it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Fold {
    /// The series.
    pub id: String,
    /// The label of the last row that was known, or its number.
    pub origin: String,
    /// The label of the row, or its number.
    pub row: String,
    /// How many rows ahead it was, the next being 1.
    pub ahead: usize,
    /// The column.
    pub column: String,
    /// What was forecast.
    pub forecast: f64,
    /// What it was; None if it is missing.
    pub observed: Option<f64>,
}

/// What a backtest finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BacktestReport {
    /// The columns, `[n]`.
    pub names: Vec<String>,
    /// Rows ahead.
    pub horizon: usize,
    /// The rows of a season.
    pub season: usize,
    /// Folds over all series.
    pub origins: usize,
    /// The scores of the model, of persistence and, if a season is longer than a row, of the seasonal naive forecast.
    pub scores: Vec<Score>,
    /// The mean absolute scaled error of the model, `[n]`: over the mean error, in the rows before the first origin, of forecasting each
    /// as a season before (Hyndman & Koehler 2006).
    pub mase: Vec<Option<f64>>,
    /// The same of the seasonal naive forecast.
    pub naive_mase: Vec<Option<f64>>,
    /// For each level, the share of numbers inside their interval. Intervals of errors are those of the first half of the origins, and
    /// counted on the second; None if these are too few.
    pub coverage: Vec<(f64, Option<f64>)>,
    /// All that was forecast.
    pub folds: Vec<Fold>,
    /// The errors, in standardised units.
    #[serde(skip)]
    pub residuals: Residuals,
}

impl Backtest {
    /// So many rows ahead, from at most 50 origins of each series, with intervals of 80 %.
    pub fn new(horizon: usize) -> Backtest {
        Backtest {
            horizon,
            folds: 50,
            season: None,
            levels: vec![0.8],
            paths: 100,
        }
    }

    /// The greatest number of origins of a series, at least 1; they are spread evenly.
    #[must_use]
    pub fn folds(self, folds: usize) -> Backtest {
        Backtest {
            folds: folds.max(1),
            ..self
        }
    }

    /// The rows of a season. By default as the labels' [`Spacing`] has it, or 1.
    #[must_use]
    pub fn season(self, rows: usize) -> Backtest {
        Backtest {
            season: Some(rows.max(1)),
            ..self
        }
    }

    /// The levels of the intervals whose coverage is counted.
    #[must_use]
    pub fn levels(self, levels: &[f64]) -> Backtest {
        Backtest {
            levels: levels.to_vec(),
            ..self
        }
    }

    /// The origins from which rows of a part are forecast.
    fn origins(&self, part: &Range<usize>, first: usize) -> Vec<usize> {
        let start = part.start.max(first);
        let Some(more) = (part.end + 1).checked_sub(start + self.horizon) else {
            return Vec::new();
        };
        let count = more.min(self.folds);
        let spread = |k: usize| match count {
            0 | 1 => start,
            _ => start + k * (more - 1) / (count - 1),
        };
        (0..count).map(spread).collect()
    }
}

/// Sums of errors of one forecaster.
struct Sums {
    name: &'static str,
    absolute: Vec<f64>,
    squared: Vec<f64>,
    count: Vec<f64>,
    /// Of scaled errors, by column: sum and count.
    scaled: Vec<(f64, f64)>,
}

impl Sums {
    fn new(name: &'static str, horizon: usize, n: usize) -> Sums {
        Sums {
            name,
            absolute: vec![0.0; horizon * n],
            squared: vec![0.0; horizon * n],
            count: vec![0.0; horizon * n],
            scaled: vec![(0.0, 0.0); n],
        }
    }

    fn add(&mut self, k: usize, error: f64, scale: Option<f64>) {
        self.absolute[k] += error.abs();
        self.squared[k] += error * error;
        self.count[k] += 1.0;
        let n = self.scaled.len();
        if let Some(scale) = scale {
            self.scaled[k % n].0 += error.abs() / scale;
            self.scaled[k % n].1 += 1.0;
        }
    }

    fn score(self) -> Score {
        let mean = |sums: &[f64]| -> Vec<f64> {
            let pairs = sums.iter().zip(&self.count);
            pairs.map(|(sum, n)| sum / n).collect()
        };
        let rmse = mean(&self.squared).into_iter().map(f64::sqrt).collect();
        let mase = self
            .scaled
            .iter()
            .map(|(sum, n)| (*n > 0.0).then(|| sum / n));
        Score {
            name: self.name.to_owned(),
            mae: mean(&self.absolute),
            rmse,
            mase: mase.collect(),
        }
    }
}

/// What all folds add to.
struct Tally {
    /// Of the model, persistence and the seasonal naive forecast.
    sums: [Sums; 3],
    folds: Vec<Fold>,
    counted: Vec<Counted>,
    origins: usize,
}

impl Tally {
    fn new(horizon: usize, n: usize) -> Tally {
        Tally {
            sums: ["model", "persistence", "seasonal"].map(|name| Sums::new(name, horizon, n)),
            folds: Vec::new(),
            counted: Vec::new(),
            origins: 0,
        }
    }
}

/// A number whose interval is to be counted.
struct Counted {
    fold: usize,
    row: usize,
    target: usize,
    /// The error in standardised units.
    error: f64,
    /// Whether it was inside, for each level, where the model itself has an interval.
    inside: Vec<Option<bool>>,
}

impl Model {
    /// Tests the model on a part of each series: forecasts from origins in it of rows in it. An empty part leaves a series out.
    ///
    /// # Errors
    /// [`ForecastError::Data`] if no part has a fold; else as [`forecast`](Model::forecast).
    pub fn backtest(
        &self,
        panel: &Panel,
        parts: &[Range<usize>],
        how: &Backtest,
    ) -> Result<BacktestReport, ForecastError> {
        let (horizon, columns) = (how.horizon, &self.setup.columns);
        let n = columns.targets.len();
        let mut machine = self.machine(horizon)?;
        check_levels(&how.levels)?;
        let season = how.season.or_else(|| season_of(panel)).unwrap_or(1);
        let mut tally = Tally::new(horizon, n);
        for ((id, series), part) in panel.ids().iter().zip(panel.series()).zip(parts) {
            if !part.is_empty() {
                series.check_range("part to test on", part)?;
                self.test(&mut machine, (id, series), part, (how, season), &mut tally)?;
            }
        }
        if tally.origins == 0 {
            return Err(ForecastError::Data(DataError::TooShort {
                part: "part to test on",
                rows: parts.iter().map(Range::len).max().unwrap_or(0),
                what: format!("a fold of {horizon} rows behind a season of {season}"),
                needed: horizon,
            }));
        }
        let mut residuals = Residuals::new(n);
        let errors = tally.counted.iter();
        errors.for_each(|c| residuals.add(c.row, c.target, c.error));
        let coverage = coverage(&tally.counted, &how.levels, n);
        let mut scores: Vec<Score> = tally.sums.into_iter().map(Sums::score).collect();
        let naive_mase = scores[2].mase.clone();
        scores.truncate(if season > 1 { 3 } else { 2 });
        Ok(BacktestReport {
            names: columns.targets.clone(),
            horizon,
            season,
            origins: tally.origins,
            mase: scores[0].mase.clone(),
            naive_mase,
            scores,
            coverage,
            folds: tally.folds,
            residuals,
        })
    }

    /// The folds of one series.
    fn test(
        &self,
        machine: &mut Machine<'_>,
        (id, series): (&str, &Series),
        part: &Range<usize>,
        (how, season): (&Backtest, usize),
        tally: &mut Tally,
    ) -> Result<(), ForecastError> {
        let (horizon, columns) = (how.horizon, &self.setup.columns);
        let n = columns.targets.len();
        let mut view = self.setup.view(series, None)?;
        // A direct forecast reads what is known ahead of all its rows.
        let known_end = match columns.known.is_empty() {
            true => part.end,
            false => (series.len() + horizon).saturating_sub(self.setup.horizon),
        };
        let first = machine.first().max(season);
        let starts = how.origins(&(part.start..part.end.min(known_end)), first);
        let scale = |c| seasonal_error(&view, c, part.start.max(first), season);
        let scales: Vec<Option<f64>> = (0..n).map(scale).collect();
        let mut fold = 0;
        machine.walk(id, &mut view, &starts, |origin| {
            let (values, intervals) = match self.setup.head {
                Head::Point => (origin.point(horizon)?, Vec::new()),
                _ => self.from(origin, horizon, &how.levels, how.paths)?,
            };
            let row = origin.row;
            for (k, &forecast) in values.iter().enumerate() {
                let (ahead, target) = (k / n, k % n);
                let at = row + ahead;
                let there = !origin.view.is_missing(at, target);
                let past = |row: usize| origin.view.value(row, target, usize::MAX);
                let observed = past(at);
                tally.folds.push(Fold {
                    id: id.to_owned(),
                    origin: label(series, row - 1),
                    row: label(series, at),
                    ahead: ahead + 1,
                    column: columns.targets[target].clone(),
                    forecast,
                    observed: there.then_some(observed),
                });
                if !there {
                    continue;
                }
                let guesses = [forecast, past(row - 1), past(row - season + ahead % season)];
                for (sums, guess) in tally.sums.iter_mut().zip(guesses) {
                    sums.add(k, observed - guess, scales[target]);
                }
                let inside = intervals.iter().map(|i| {
                    let (low, high) = (i.low[k]?, i.high[k]?);
                    Some((low..=high).contains(&observed))
                });
                tally.counted.push(Counted {
                    fold,
                    row: ahead,
                    target,
                    error: (observed - forecast) / origin.scale.scale(target),
                    inside: inside.collect(),
                });
            }
            fold += 1;
            Ok(())
        })?;
        tally.origins += fold;
        Ok(())
    }

    /// Where the training part of a series ended, if the model was trained on it.
    #[must_use]
    pub fn trained_rows(&self, id: &str, series: &Series) -> Option<usize> {
        let trained = self.setup.own.iter().find(|t| t.id == id)?;
        // Another table may begin elsewhere: the last label says where it ended.
        match (&trained.last, series.labels()) {
            (Some(last), Some(labels)) => labels.iter().position(|l| l == last).map(|k| k + 1),
            _ => (trained.rows < series.len()).then_some(trained.rows),
        }
    }
}

/// The rows of a season by the labels of the first series.
fn season_of(panel: &Panel) -> Option<usize> {
    Spacing::of(panel.series()[0].labels()?)?.season()
}

/// The mean error of forecasting each row of a target before `end` as a season before; None if there is none, or it is 0.
fn seasonal_error(view: &View<'_>, target: usize, end: usize, season: usize) -> Option<f64> {
    let rows = season..end.min(view.series.len());
    let count = rows.len() as f64;
    let value = |row| view.value(row, target, usize::MAX);
    let sum: f64 = rows
        .map(|row| (value(row) - value(row - season)).abs())
        .sum();
    (count > 0.0 && sum > 0.0).then(|| sum / count)
}

/// The share inside the intervals; those of errors are of the first half of the folds.
fn coverage(counted: &[Counted], levels: &[f64], n: usize) -> Vec<(f64, Option<f64>)> {
    let half = counted.iter().map(|c| c.fold + 1).max().unwrap_or(0) / 2;
    let mut before = Residuals::new(n);
    let (first, second): (Vec<&Counted>, Vec<&Counted>) =
        counted.iter().partition(|c| c.fold < half);
    first
        .iter()
        .for_each(|c| before.add(c.row, c.target, c.error));
    let of_level = |(k, &level): (usize, &f64)| {
        let of_errors = |c: &&Counted| {
            let end = |p: f64| before.quantile(c.row, c.target, p);
            let (low, high) = (end((1.0 - level) / 2.0)?, end((1.0 + level) / 2.0)?);
            Some((low..=high).contains(&c.error))
        };
        let own = counted.iter().any(|c| !c.inside.is_empty());
        let inside: Vec<bool> = match own {
            true => counted.iter().filter_map(|c| c.inside[k]).collect(),
            false => second.iter().filter_map(of_errors).collect(),
        };
        let share = inside.iter().filter(|i| **i).count() as f64 / inside.len() as f64;
        (level, (!inside.is_empty()).then_some(share))
    };
    levels.iter().enumerate().map(of_level).collect()
}

fn label(series: &Series, row: usize) -> String {
    match series.labels() {
        Some(labels) => labels[row].clone(),
        None => row.to_string(),
    }
}
