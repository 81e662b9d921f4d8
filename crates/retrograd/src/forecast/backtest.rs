//! [`Backtest`]: forecasts of rows that are known, from origins that roll over them, against simple ones.

use std::ops::Range;

use serde::Serialize;

use super::model::check_levels;
use super::rollout::Machine;
use super::tally::Tally;
use super::view::View;
use super::{Columns, ForecastError, Head, Model, Residuals};
use crate::data::{Panel, Series};

/// The settings of a backtest. Each origin is a fold: the model forecasts the rows after it from all rows before it, as persistence does
/// (each row as the last one) and the seasonal naive forecast (each as a season before). The model is not trained anew, except
/// by [`retrained`](Backtest::retrained).
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

    /// The rows of a season. By default as the labels' [`Spacing`](crate::data::Spacing) has it, or 1.
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

    /// The rows of a season of a panel.
    fn season_of(&self, panel: &Panel) -> usize {
        let season = self.season.or_else(|| panel.season());
        season.unwrap_or(1)
    }

    /// Tests a way of training on a part of each series: `train` gets all rows before an origin, as a forecaster has them on that day,
    /// and returns a model, whose forecast of the rows after it is a fold. Origin `k` of all series is one training, so parts should end
    /// at one point in time. Intervals are those that the models give, and all of them are counted.
    ///
    /// ```
    /// # #[cfg(feature = "text")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use retrograd::data::{Panel, Series};
    /// use retrograd::fit::Fit;
    /// use retrograd::forecast::{Backtest, Columns, Examples, ForecastError, Model, Setup};
    /// use retrograd::{Adam, Trainer, zoo};
    ///
    /// let wave = (0..160).map(|t| (t as f64 * 0.5).sin()).collect();
    /// let panel = Panel::from(Series::new(vec!["wave".to_owned()], wave)?);
    /// let report = Backtest::new(4).folds(3).retrained(&panel, &[120..160], |before| {
    ///     let rows = 0..before.series()[0].len();
    ///     let columns = Columns::of(before.names(), None, &[], &[])?;
    ///     let setup = Setup::fit(columns, before, &[rows.clone()])?.steps(16);
    ///     let cell = zoo::forecaster(zoo::find("gru").unwrap(), setup.inputs(), 4)?;
    ///     let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
    ///     let examples = Examples::new(&setup, before, &[rows], false)?;
    ///     let mut order = examples.order(8, 8, 1)?;
    ///     Fit::new(20).run(&mut trainer, |epoch| order.epoch(epoch))?;
    ///     Model::new(&trainer.checkpoint(), &setup)
    /// })?;
    /// assert_eq!((report.origins, report.folds.len()), (3, 12));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "text"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// Those of `train`; [`ForecastError::Request`] if its models do not forecast the same columns; else as [`Model::backtest`].
    pub fn retrained<E: From<ForecastError>>(
        &self,
        panel: &Panel,
        parts: &[Range<usize>],
        mut train: impl FnMut(&Panel) -> Result<Model, E>,
    ) -> Result<BacktestReport, E> {
        check_levels(&self.levels)?;
        let season = self.season_of(panel);
        let mut starts = Vec::with_capacity(parts.len());
        for (series, part) in panel.series().iter().zip(parts) {
            let checked = match part.is_empty() {
                true => Ok(()),
                false => series.check_range("part to test on", part),
            };
            checked.map_err(ForecastError::from)?;
            starts.push(self.origins(part, season.max(1)));
        }
        let mut columns: Option<Columns> = None;
        let mut folds = Vec::new();
        for k in 0..starts.iter().map(Vec::len).max().unwrap_or(0) {
            // A series without such a fold is known up to its part, as it is without any.
            let rows = starts.iter().zip(parts);
            let rows = rows.map(|(s, part)| s.get(k).copied().unwrap_or(part.start));
            let model = train(
                &panel
                    .before(&rows.collect::<Vec<_>>())
                    .map_err(ForecastError::from)?,
            )?;
            let own = model.setup.columns.clone();
            if *columns.get_or_insert_with(|| own.clone()) != own {
                let why = "the models of a backtest forecast the same columns; these do not";
                return Err(ForecastError::Request(why.to_owned()).into());
            }
            folds.push(model);
        }
        let columns = columns.unwrap_or_else(|| Columns {
            targets: panel.names().to_vec(),
            observed: Vec::new(),
            known: Vec::new(),
            statics: Vec::new(),
        });
        let mut tally = Tally::new(&columns, self.horizon, season);
        for (k, model) in folds.iter().enumerate() {
            let mut machine = model.machine(self.horizon)?;
            for (at, (id, series)) in panel.ids().iter().zip(panel.series()).enumerate() {
                let Some(&start) = starts[at].get(k) else {
                    continue;
                };
                let mut view = View::new(&columns, series, None)?;
                let scales = tally.scales(&view, starts[at][0]);
                machine.walk(id, &mut view, &[start], |origin| {
                    let forecast = model.from(origin, self.horizon, &self.levels, self.paths)?;
                    tally.add((id, series), k, origin, forecast, &scales);
                    Ok(())
                })?;
            }
        }
        Ok(tally.report(parts, &self.levels)?)
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
        let mut machine = self.machine(horizon)?;
        check_levels(&how.levels)?;
        let season = how.season_of(panel);
        let mut tally = Tally::new(columns, horizon, season);
        for ((id, series), part) in panel.ids().iter().zip(panel.series()).zip(parts) {
            if !part.is_empty() {
                series.check_range("part to test on", part)?;
                self.test(&mut machine, (id, series), part, how, &mut tally)?;
            }
        }
        tally.report(parts, &how.levels)
    }

    /// The folds of one series.
    fn test(
        &self,
        machine: &mut Machine<'_>,
        (id, series): (&str, &Series),
        part: &Range<usize>,
        how: &Backtest,
        tally: &mut Tally<'_>,
    ) -> Result<(), ForecastError> {
        let mut view = self.setup.view(series, None)?;
        let first = machine.first().max(tally.season);
        let starts = how.origins(&(part.start..self.known_end(series, part, how)), first);
        let scales = tally.scales(&view, part.start.max(first));
        let mut fold = 0;
        machine.walk(id, &mut view, &starts, |origin| {
            let forecast = match self.setup.head {
                Head::Point => (origin.point(how.horizon)?, Vec::new()),
                _ => self.from(origin, how.horizon, &how.levels, how.paths)?,
            };
            tally.add((id, series), fold, origin, forecast, &scales);
            fold += 1;
            Ok(())
        })
    }

    /// The end of the rows that can be forecast: a direct forecast reads what is known ahead of all its rows.
    fn known_end(&self, series: &Series, part: &Range<usize>, how: &Backtest) -> usize {
        match self.setup.columns.known.is_empty() {
            true => part.end,
            false => {
                let end = (series.len() + how.horizon).saturating_sub(self.setup.horizon);
                part.end.min(end)
            }
        }
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
