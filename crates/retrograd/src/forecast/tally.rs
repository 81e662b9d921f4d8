//! What the folds of a backtest add up to.

use std::ops::Range;

use super::model::Interval;
use super::rollout::Origin;
use super::view::View;
use super::{BacktestReport, Columns, Fold, ForecastError, Residuals, Score};
use crate::data::{DataError, Series};

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
pub(super) struct Tally<'c> {
    columns: &'c Columns,
    horizon: usize,
    /// The rows of a season.
    pub(super) season: usize,
    /// Of the model, persistence and the seasonal naive forecast.
    sums: [Sums; 3],
    folds: Vec<Fold>,
    counted: Vec<Counted>,
    origins: usize,
}

impl<'c> Tally<'c> {
    pub(super) fn new(columns: &'c Columns, horizon: usize, season: usize) -> Tally<'c> {
        let sums = |name| Sums::new(name, horizon, columns.targets.len());
        Tally {
            columns,
            horizon,
            season,
            sums: ["model", "persistence", "seasonal"].map(sums),
            folds: Vec::new(),
            counted: Vec::new(),
            origins: 0,
        }
    }

    /// Of each target of a series, the mean error of the seasonal naive forecast in the rows before the first origin.
    pub(super) fn scales(&self, view: &View<'_>, first: usize) -> Vec<Option<f64>> {
        let scale = |target| seasonal_error(view, target, first, self.season);
        (0..self.columns.targets.len()).map(scale).collect()
    }

    /// Adds a forecast, and the model's own intervals if it has any, of the rows from an origin on.
    pub(super) fn add(
        &mut self,
        (id, series): (&str, &Series),
        fold: usize,
        origin: &Origin<'_, '_>,
        (values, intervals): (Vec<f64>, Vec<Interval>),
        scales: &[Option<f64>],
    ) {
        let (n, row, season) = (scales.len(), origin.row, self.season);
        self.origins += 1;
        for (k, &forecast) in values.iter().enumerate() {
            let (ahead, target) = (k / n, k % n);
            let at = row + ahead;
            let there = !origin.view.is_missing(at, target);
            let past = |row: usize| origin.view.value(row, target, usize::MAX);
            let observed = past(at);
            self.folds.push(Fold {
                id: id.to_owned(),
                origin: label(series, row - 1),
                row: label(series, at),
                ahead: ahead + 1,
                column: self.columns.targets[target].clone(),
                forecast,
                observed: there.then_some(observed),
            });
            if !there {
                continue;
            }
            let guesses = [forecast, past(row - 1), past(row - season + ahead % season)];
            for (sums, guess) in self.sums.iter_mut().zip(guesses) {
                sums.add(k, observed - guess, scales[target]);
            }
            let inside = intervals.iter().map(|i| {
                let (low, high) = (i.low[k]?, i.high[k]?);
                Some((low..=high).contains(&observed))
            });
            self.counted.push(Counted {
                fold,
                row: ahead,
                target,
                error: (observed - forecast) / origin.scale.scale(target),
                inside: inside.collect(),
            });
        }
    }

    /// What it found in these parts of the series.
    pub(super) fn report(
        self,
        parts: &[Range<usize>],
        levels: &[f64],
    ) -> Result<BacktestReport, ForecastError> {
        let (n, horizon, season) = (self.columns.targets.len(), self.horizon, self.season);
        if self.origins == 0 {
            return Err(ForecastError::from(DataError::TooShort {
                part: "part to test on",
                rows: parts.iter().map(Range::len).max().unwrap_or(0),
                what: format!("a fold of {horizon} rows behind a season of {season}"),
                needed: horizon,
            }));
        }
        let mut residuals = Residuals::new(n);
        let errors = self.counted.iter();
        errors.for_each(|c| residuals.add(c.row, c.target, c.error));
        let coverage = coverage(&self.counted, levels, n);
        let mut scores: Vec<Score> = self.sums.into_iter().map(Sums::score).collect();
        let naive_mase = scores[2].mase.clone();
        scores.truncate(if season > 1 { 3 } else { 2 });
        Ok(BacktestReport {
            names: self.columns.targets.clone(),
            horizon,
            season,
            origins: self.origins,
            mase: scores[0].mase.clone(),
            naive_mase,
            scores,
            coverage,
            folds: self.folds,
            residuals,
        })
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
