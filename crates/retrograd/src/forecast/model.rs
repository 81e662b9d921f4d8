//! [`Model`]: a cell, its parameters and its setup: what a file holds and what forecasts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::category;
use super::examples::forecasts_once;
use super::head::sample_quantile;
use super::rollout::{Machine, Origin};
use super::{BacktestReport, ForecastError, Head, Residuals, Setup, reads_no_later_row};
use crate::cell::Cell;
use crate::data::{Panel, Series, Spacing};
use crate::error::Error;
use crate::random::stream;
use crate::saved::Checkpoint;

/// A trained cell that forecasts rows of tables; the [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) cell: Cell,
    pub(super) parameters: Vec<f32>,
    pub(super) setup: Setup,
    pub(super) once: bool,
    residuals: Option<Residuals>,
}

/// A forecast of the rows after a series.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Forecast {
    /// The name of the series; empty for a single one.
    pub id: String,
    /// The columns that are forecast, `[n]`.
    pub names: Vec<String>,
    /// A label for each row, if those of the series go on evenly, `[horizon]`.
    pub labels: Option<Vec<String>>,
    /// The forecast, `[horizon, n]` in the columns' units.
    pub values: Vec<f64>,
    /// Intervals, one for each level asked for.
    pub intervals: Vec<Interval>,
}

/// An interval that should hold a share of what comes, `[horizon, n]` in the columns' units; None where no interval is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Interval {
    /// The share, between 0 and 1.
    pub level: f64,
    /// The lower ends.
    pub low: Vec<Option<f64>>,
    /// The upper ends.
    pub high: Vec<Option<f64>>,
}

/// The notes and arrays of a file.
const SETUP: &str = "forecast";
const RESIDUALS: &str = "residuals";

#[derive(Serialize, Deserialize)]
struct Counts {
    targets: usize,
    counts: Vec<usize>,
}

/// Numbers of all paths together: 1 GiB.
const MOST_SAMPLED: usize = 1 << 27;
/// Paths that are drawn for the intervals of a forecast.
const PATHS: usize = 1000;

impl Setup {
    /// The note in which a checkpoint has it, for [`Fit::note`](crate::fit::Fit::note): key and text.
    #[must_use]
    pub fn note(&self) -> (&'static str, String) {
        let text = serde_json::to_string(self);
        (SETUP, text.expect("names and numbers are always JSON"))
    }
}

impl Model {
    /// The model of a run of training. Its parameters are those of the best epoch, if the run measured that; else their average, if it has
    /// one; else the last.
    ///
    /// # Errors
    /// [`ForecastError::Looks`] for a cell that is no forecaster; [`ForecastError::Request`] if it has not the setup's ports.
    pub fn new(saved: &Checkpoint, setup: &Setup) -> Result<Model, ForecastError> {
        let cell = saved.cell()?;
        reads_no_later_row(&cell, &setup.ports.output)?;
        let mut parameters = saved.chosen_parameters();
        cell.check_count("parameters", &parameters)?;
        for (k, category) in setup.categories.iter().enumerate() {
            let (name, rows) = (category::table(k), category.texts.len() + 1);
            let mut specs = cell.parameter_specs().zip(cell.parameter_ranges());
            if let Some((_, range)) = { &mut specs }.find(|(p, _)| p.name == name)
                && range.len() % rows == 0
            {
                category::average_unknown(&mut parameters[range], rows);
            }
        }
        let model = Model {
            once: forecasts_once(&cell, &setup.ports.output),
            cell,
            parameters,
            setup: setup.clone(),
            residuals: None,
        };
        model.check_ports()?;
        Ok(model)
    }

    /// Reads a file that a training on a table wrote.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`], [`ForecastError::NoSetup`] for one without a setup, and those of [`new`](Self::new).
    pub fn open(path: impl AsRef<Path>) -> Result<Model, ForecastError> {
        let path = path.as_ref();
        let saved: Checkpoint = Checkpoint::read(path)?;
        let no_setup = || ForecastError::NoSetup {
            path: path.to_owned(),
        };
        let broken = |cause: serde_json::Error| {
            ForecastError::Cell(Error::NotParameters {
                path: path.to_owned(),
                cause: cause.into(),
            })
        };
        let setup = saved.note(SETUP).ok_or_else(no_setup)?;
        let setup: Setup = serde_json::from_str(setup).map_err(broken)?;
        let mut model = Model::new(&saved, &setup)?;
        if let (Some(note), Some(values)) = (saved.note(RESIDUALS), saved.array(RESIDUALS)) {
            let counts: Counts = serde_json::from_str(note).map_err(broken)?;
            model.residuals = Residuals::of(counts.targets, &counts.counts, values);
        }
        Ok(model)
    }

    /// A checkpoint with all that [`open`](Self::open) reads of it beside the cell and its parameters.
    #[must_use]
    pub fn keep_in(&self, saved: Checkpoint) -> Checkpoint {
        let (key, text) = self.setup.note();
        let saved = saved.with_note(key, &text);
        let Some(residuals) = &self.residuals else {
            return saved;
        };
        let counts = Counts {
            targets: self.setup.columns.targets.len(),
            counts: residuals.counts(),
        };
        let counts = serde_json::to_string(&counts).expect("numbers are always JSON");
        let values: Vec<f32> = residuals.values().map(|v| v as f32).collect();
        let saved = saved.with_note(RESIDUALS, &counts);
        saved.with_array(RESIDUALS, &values)
    }

    /// Keeps the errors of a backtest for intervals.
    pub fn keep(&mut self, report: &BacktestReport) {
        self.residuals = Some(report.residuals.clone());
    }

    /// The errors of the backtest that it keeps.
    pub fn residuals(&self) -> Option<&Residuals> {
        self.residuals.as_ref()
    }

    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// How a table is read.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Forecasts the rows after each series of a panel, with an interval for each level, such as 0.8. `future` has the columns that are
    /// known ahead, in rows that follow the series'. Intervals are the model's own quantiles, else those of 1000 sampled paths, or for
    /// a loss that knows no distribution the quantiles of the backtest's errors so many rows ahead.
    ///
    /// # Errors
    /// [`ForecastError::Request`] for a horizon of 0 or one that the model has not, a level that is none, or columns that are not known
    /// far enough ahead; [`ForecastError::Data`] for a panel without the model's columns.
    pub fn forecast(
        &self,
        panel: &Panel,
        horizon: usize,
        future: Option<&Panel>,
        levels: &[f64],
    ) -> Result<Vec<Forecast>, ForecastError> {
        let mut machine = self.machine(horizon)?;
        check_levels(levels)?;
        let mut out = Vec::with_capacity(panel.series().len());
        for (id, series) in panel.ids().iter().zip(panel.series()) {
            let ahead = match future {
                None => None,
                Some(future) => Some(future.find(id).ok_or_else(|| {
                    ForecastError::Request(format!("nothing is known ahead of the series \"{id}\""))
                })?),
            };
            let mut view = self.setup.view(series, ahead)?;
            let needed = series.len() + horizon.max(self.setup.horizon);
            if view.known_rows() < needed {
                let known = view.known_rows() - series.len();
                return Err(ForecastError::Request(format!(
                    "the columns that are known ahead ({}) are known for {known} rows after the last; {} are needed",
                    self.setup.columns.known.join(", "),
                    needed - series.len()
                )));
            }
            let mut forecast = None;
            machine.walk(id, &mut view, &[series.len()], |origin| {
                let (values, intervals) = self.from(origin, horizon, levels, PATHS)?;
                forecast = Some(Forecast {
                    id: id.clone(),
                    names: self.setup.columns.targets.clone(),
                    labels: labels_after(series, ahead, horizon),
                    values,
                    intervals,
                });
                Ok(())
            })?;
            out.extend(forecast);
        }
        Ok(out)
    }

    /// The forecast and the intervals from an origin.
    pub(super) fn from(
        &self,
        origin: &mut Origin<'_, '_>,
        horizon: usize,
        levels: &[f64],
        paths: usize,
    ) -> Result<(Vec<f64>, Vec<Interval>), ForecastError> {
        let n = self.setup.columns.targets.len();
        let values = origin.point(horizon)?;
        let own = matches!(self.setup.head, Head::Quantiles(_)) && horizon <= self.setup.horizon;
        let mut sampled: Vec<Vec<f64>> = Vec::new();
        if self.setup.head != Head::Point && !own && !levels.is_empty() {
            if values.len().saturating_mul(paths) > MOST_SAMPLED {
                return Err(ForecastError::Request(format!(
                    "intervals of {} numbers are those of {paths} sampled paths, which are too many to keep; forecast fewer rows at a \
                     time, or ask for no interval",
                    values.len()
                )));
            }
            sampled.resize(values.len(), Vec::with_capacity(paths));
            let rng = &mut stream(origin.row as u64, "forecast", "paths");
            for _ in 0..paths {
                let path = origin.path(horizon, rng)?;
                sampled.iter_mut().zip(path).for_each(|(s, v)| s.push(v));
            }
            sampled.iter_mut().for_each(|s| s.sort_by(f64::total_cmp));
        }
        let end = |k: usize, p: f64| -> Option<f64> {
            let (row, target) = (k / n, k % n);
            if let Some(own) = origin.quantile(row, target, p) {
                return Some(own);
            }
            match sampled.get(k) {
                Some(sorted) => sample_quantile(sorted, p),
                None => {
                    let error = self.residuals.as_ref()?.quantile(row, target, p)?;
                    Some(values[k] + error * origin.scale.scale(target))
                }
            }
        };
        let interval = |level: &f64| Interval {
            level: *level,
            low: (0..values.len())
                .map(|k| end(k, (1.0 - level) / 2.0))
                .collect(),
            high: (0..values.len())
                .map(|k| end(k, (1.0 + level) / 2.0))
                .collect(),
        };
        let intervals = levels.iter().map(interval).collect();
        Ok((values, intervals))
    }

    pub(super) fn machine(&self, horizon: usize) -> Result<Machine<'_>, ForecastError> {
        if horizon == 0 {
            return Err(ForecastError::Request(
                "a forecast is of at least 1 row".to_owned(),
            ));
        }
        let machine = Machine::new(&self.cell, &self.parameters, &self.setup, self.once)?;
        machine.check(horizon)?;
        Ok(machine)
    }

    /// Checks that the cell reads and forecasts what the setup says.
    fn check_ports(&self) -> Result<(), ForecastError> {
        let (tape, setup) = (self.cell.tape(), &self.setup);
        let mut inputs = tape.inputs().iter();
        let input = inputs.find(|i| *i.name == *setup.ports.input);
        let mut outputs = tape.outputs().iter();
        let output = outputs.find(|o| *o.name == *setup.ports.output);
        let found = [
            input.map_or(0, |i| i.ty.shape.len()),
            output.map_or(0, |o| tape.node(o.value).ty.shape.len()),
        ];
        let expected = [setup.inputs(), setup.outputs()];
        match found == expected {
            true => Ok(()),
            false => Err(ForecastError::Request(format!(
                "the cell `{}` reads {} numbers of a row and forecasts {}; the table has {} to read and {} to forecast",
                self.cell.name(),
                found[0],
                found[1],
                expected[0],
                expected[1]
            ))),
        }
    }
}

pub(super) fn check_levels(levels: &[f64]) -> Result<(), ForecastError> {
    match levels.iter().find(|l| !(**l > 0.0 && **l < 1.0)) {
        Some(level) => Err(ForecastError::Request(format!(
            "an interval holds a share between 0 and 1, not {level}"
        ))),
        None => Ok(()),
    }
}

/// The labels of the rows after a series: those of the rows known ahead, or as its own go on.
fn labels_after(series: &Series, ahead: Option<&Series>, horizon: usize) -> Option<Vec<String>> {
    let known = ahead
        .and_then(Series::labels)
        .and_then(|l| l.get(..horizon));
    if let Some(known) = known {
        return Some(known.to_vec());
    }
    let labels = series.labels()?;
    Spacing::of(labels)?.after(labels, horizon)
}
