//! [`Setup`]: how a table becomes what a cell reads, and what it forecasts becomes numbers again.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::scaling::Scaling;
use super::view::View;
use super::{Category, Columns, Difference, Embedding, ForecastError, Head};
use crate::data::{Panel, Series, Standardizer};

/// Rows from which a series' own scale is known.
const FEWEST: usize = 8;

/// The names under which a cell takes a window and returns a forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The input, of [`Columns::width`] numbers.
    pub input: String,
    /// The target: `horizon` rows of the columns to forecast, row by row.
    pub target: String,
    /// The output, of the same form.
    pub output: String,
}

impl Default for Ports {
    /// Those of a [`Forecaster`](crate::zoo::Forecaster): x, next, y.
    fn default() -> Ports {
        Ports {
            input: "x".to_owned(),
            target: "next".to_owned(),
            output: "y".to_owned(),
        }
    }
}

/// How a table becomes what a cell reads: roles, horizon, window, scaling. It is saved with the model.
///
/// ```
/// use retrograd::data::{Panel, Series};
/// use retrograd::forecast::{Columns, Setup};
///
/// let wave: Vec<f64> = (0..200).map(|t| (t as f64 * 0.3).sin()).collect();
/// let panel = Panel::from(Series::new(vec!["wave".to_owned()], wave)?);
/// let columns = Columns::of(panel.names(), None, &[], &[])?;
/// let setup = Setup::fit(columns, &panel, &[0..150])?.horizon(12).steps(30);
/// assert_eq!((setup.inputs(), setup.outputs()), (1, 12));
/// # Ok::<(), retrograd::forecast::ForecastError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Setup {
    pub(super) columns: Columns,
    pub(super) horizon: usize,
    pub(super) steps: usize,
    pub(super) scaling: Scaling,
    pub(super) masked: bool,
    pub(super) ports: Ports,
    pub(super) head: Head,
    /// Of all columns in the model's order, over all training parts.
    pub(super) standardizer: Standardizer,
    /// Of the columns that are categories, in the model's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) categories: Vec<Category>,
    /// Of each series, with its name, and where its training part ended.
    pub(super) own: Vec<Trained>,
    #[serde(default)]
    pub(super) difference: Difference,
    /// Of each target, how many times its scale the scale of its forecast is; none where nothing is subtracted.
    #[serde(default)]
    pub(super) reach: Vec<f64>,
}

/// A series that was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trained {
    pub(super) id: String,
    pub(super) standardizer: Standardizer,
    /// The rows up to the end of the training part, and the label of the last.
    pub(super) rows: usize,
    pub(super) last: Option<String>,
}

/// Means and scales of all columns in the model's order.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    mean: Vec<f64>,
    scale: Vec<f64>,
    difference: Difference,
    reach: Vec<f64>,
}

impl Scale {
    fn of(standardizer: &Standardizer, setup: &Setup) -> Scale {
        Scale {
            mean: standardizer.mean().to_vec(),
            scale: standardizer.scale().to_vec(),
            difference: setup.difference,
            reach: setup.reach.clone(),
        }
    }

    /// What is read of a column, in standardised units.
    fn read(&self, column: usize, x: f64) -> f64 {
        (x - self.mean[column]) / self.scale[column]
    }

    /// What the forecast of a target at row `at + ahead` is relative to, if the rows before `at` are known: those from `origin` on are
    /// forecasts.
    fn base(&self, view: &View<'_>, target: usize, at: (usize, usize), origin: usize) -> f64 {
        match self.difference {
            Difference::None => self.mean[target],
            some => some.base(at.0, at.1, |row| view.value(row, target, origin)),
        }
    }

    /// The number of a target at row `at + ahead` in standardised units, as it is to be forecast.
    pub(super) fn forwards(&self, view: &View<'_>, target: usize, at: (usize, usize)) -> f64 {
        let value = view.value(at.0 + at.1, target, usize::MAX);
        (value - self.base(view, target, at, usize::MAX)) / self.scale(target)
    }

    /// A standardised forecast in the target's units.
    pub(super) fn backwards(
        &self,
        view: &View<'_>,
        target: usize,
        at: (usize, usize),
        (origin, z): (usize, f64),
    ) -> f64 {
        z * self.scale(target) + self.base(view, target, at, origin)
    }

    /// The scale of a target's forecast.
    pub(super) fn scale(&self, target: usize) -> f64 {
        self.scale[target] * self.reach.get(target).copied().unwrap_or(1.0)
    }
}

impl Setup {
    /// The setup of these columns, scaled by the training parts, a range of rows for each series: one row ahead, windows of 64 rows,
    /// [`Scaling::Column`], the mean squared error.
    ///
    /// # Errors
    /// Those of [`Standardizer::fit`].
    pub fn fit(
        columns: Columns,
        panel: &Panel,
        training: &[Range<usize>],
    ) -> Result<Setup, ForecastError> {
        let names: Vec<String> = columns.names().cloned().collect();
        let mut selected = Vec::with_capacity(panel.series().len());
        for series in panel.series() {
            selected.push(series.select(&names)?);
        }
        let parts: Vec<(&Series, Range<usize>)> =
            selected.iter().zip(training.iter().cloned()).collect();
        let own = panel.ids().iter().zip(&parts).map(|(id, (series, part))| {
            let standardizer = Standardizer::fit(series, part.clone())?;
            let last = series.labels().map(|l| l[part.end - 1].clone());
            Ok::<_, ForecastError>(Trained {
                id: id.clone(),
                standardizer,
                rows: part.end,
                last,
            })
        });
        Ok(Setup {
            own: own.collect::<Result<_, _>>()?,
            categories: Category::all(&columns, panel, training)?,
            standardizer: Standardizer::fit_all(&parts)?,
            masked: panel.series().iter().any(Series::has_missing),
            horizon: 1,
            steps: 64,
            scaling: Scaling::Column,
            ports: Ports::default(),
            head: Head::Point,
            difference: Difference::None,
            reach: Vec::new(),
            columns,
        })
    }

    /// What the model reads and forecasts of the targets: differences are scaled by those of the training parts, the ones that
    /// [`fit`](Self::fit) was given. After [`horizon`](Self::horizon), on which the scale of a forecast depends.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    pub fn difference(
        self,
        difference: Difference,
        panel: &Panel,
        training: &[Range<usize>],
    ) -> Result<Setup, ForecastError> {
        let targets = self.columns.targets.len();
        let names: Vec<String> = self.columns.names().cloned().collect();
        let mut read = Vec::with_capacity(panel.series().len());
        let mut whole = Vec::with_capacity(panel.series().len());
        for series in panel.series() {
            let series = series.select(&names)?;
            read.push(difference.of(&series, targets)?);
            whole.push(series);
        }
        let parts: Vec<_> = read.iter().zip(training.iter().cloned()).collect();
        let mut own = self.own;
        for (trained, (series, part)) in own.iter_mut().zip(&parts) {
            trained.standardizer = Standardizer::fit(series, part.clone())?;
        }
        let reach = |target: usize| {
            let series = whole.iter().zip(training).zip(&own);
            let of_part = series.map(|((series, part), own)| {
                let values = series.column(target).skip(part.start).take(part.len());
                (values.collect(), own.standardizer.scale()[target])
            });
            difference.reach(self.horizon, &of_part.collect::<Vec<_>>())
        };
        Ok(Setup {
            reach: match difference {
                Difference::None => Vec::new(),
                Difference::Row | Difference::Season(_) => (0..targets).map(reach).collect(),
            },
            standardizer: Standardizer::fit_all(&parts)?,
            difference,
            own,
            ..self
        })
    }

    /// Rows that are forecast at once from each row, at least 1. A model of one row forecasts more by reading its own forecasts.
    pub fn horizon(self, horizon: usize) -> Setup {
        Setup {
            horizon: horizon.max(1),
            ..self
        }
    }

    /// Rows of a training window, at least 1.
    pub fn steps(self, steps: usize) -> Setup {
        Setup {
            steps: steps.max(1),
            ..self
        }
    }

    /// How columns are scaled.
    pub fn scaling(self, scaling: Scaling) -> Setup {
        Setup { scaling, ..self }
    }

    /// The names of the cell's input, target and output.
    pub fn ports(self, ports: Ports) -> Setup {
        Setup { ports, ..self }
    }

    /// What the cell's outputs say of a distribution.
    pub fn head(self, head: Head) -> Setup {
        Setup { head, ..self }
    }

    /// What the columns are for.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The number of rows that are forecast at once.
    #[must_use]
    pub fn rows_ahead(&self) -> usize {
        self.horizon
    }

    /// The rows of a window.
    #[must_use]
    pub fn window(&self) -> usize {
        self.steps
    }

    /// The names of the cell's input, target and output.
    pub fn cell_ports(&self) -> &Ports {
        &self.ports
    }

    /// What the cell's outputs say of a distribution.
    pub fn distribution(&self) -> &Head {
        &self.head
    }

    /// How columns are scaled.
    #[must_use]
    pub fn scale_per(&self) -> Scaling {
        self.scaling
    }

    /// What the model reads and forecasts of the targets.
    #[must_use]
    pub fn differences(&self) -> Difference {
        self.difference
    }

    /// The numbers of the cell's input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.columns.width(self.horizon, self.masked)
    }

    /// The numbers of the cell's target and output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.columns.targets.len() * self.horizon
    }

    /// Whether the cell takes the target `present`, which says what of a target there is: where values are missing, and where the loss
    /// counts the last step of a window alone.
    #[must_use]
    pub fn needs_present(&self) -> bool {
        self.masked || self.scaling == Scaling::Window
    }

    /// The columns that are categories, with what they said in the rows that were trained on.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// How a cell reads the columns that are categories, in the order of [`categories`](Self::categories).
    #[must_use]
    pub fn embeddings(&self) -> Vec<Embedding> {
        let (past, known) = (self.columns.past(), self.columns.known.len());
        let places = |name: &String| -> Vec<usize> {
            let at = self.columns.names().position(|n| n == name);
            match at {
                Some(at) if at < past => vec![at],
                Some(at) if at < past + known => {
                    (0..self.horizon).map(|ahead| at + ahead * known).collect()
                }
                Some(at) => vec![at + (self.horizon - 1) * known],
                None => Vec::new(),
            }
        };
        let categories = self.categories.iter();
        categories
            .map(|c| Embedding::new(c, places(&c.column)))
            .collect()
    }

    /// What a panel says in columns of categories that was not trained on, with the column: the model reads all of it as the mean of what
    /// it knows.
    #[must_use]
    pub fn unknown(&self, panel: &Panel) -> Vec<(String, Vec<String>)> {
        let mut out = Vec::new();
        for category in &self.categories {
            let mut texts: Vec<String> = Vec::new();
            for series in panel.series() {
                let at = series.names().iter().position(|n| *n == category.column);
                let list = at.and_then(|at| Some((at, series.categories(at)?)));
                let Some((at, list)) = list else { continue };
                for code in series.column(at) {
                    let text = &list[code as usize];
                    if !category.texts.contains(text) && !texts.contains(text) {
                        texts.push(text.clone());
                    }
                }
            }
            if !texts.is_empty() {
                out.push((category.column.clone(), texts));
            }
        }
        out
    }

    /// A series as the model reads it, and what is known of the rows after it.
    pub(super) fn view<'a>(
        &'a self,
        series: &'a Series,
        future: Option<&'a Series>,
    ) -> Result<View<'a>, ForecastError> {
        let view = View::new(&self.columns, series, future)?;
        Ok(view.with_categories(&self.categories))
    }

    /// The means and scales for the series of a name, before the forecast of row `origin`.
    pub(super) fn scale(
        &self,
        id: &str,
        view: &View<'_>,
        origin: usize,
    ) -> Result<Scale, ForecastError> {
        let mut scale = Scale::of(&self.standardizer, self);
        let past = self.columns.past();
        match self.scaling {
            Scaling::Column => {}
            Scaling::Series => {
                let known = self.own.iter().find(|t| t.id == id);
                let own = match known {
                    Some(trained) if trained.rows >= FEWEST => Some(trained.standardizer.clone()),
                    None if origin >= FEWEST => {
                        let names: Vec<String> = self.columns.names().cloned().collect();
                        let series = view.series.select(&names)?;
                        let targets = self.columns.targets.len();
                        let read = self.difference.of(&series, targets)?;
                        Some(Standardizer::fit(&read, 0..origin)?)
                    }
                    _ => None,
                };
                if let Some(own) = own {
                    let own = Scale::of(&own, self);
                    scale.mean[..past].copy_from_slice(&own.mean[..past]);
                    scale.scale[..past].copy_from_slice(&own.scale[..past]);
                }
            }
            Scaling::Window => {
                let rows = origin.saturating_sub(self.steps)..origin;
                for column in 0..past {
                    let values = || rows.clone().map(|row| self.of(view, (row, column), origin));
                    let count = rows.len() as f64;
                    let mean = values().map(|v| v / count).sum::<f64>();
                    let variance = values().map(|v| (v - mean).powi(2) / count).sum::<f64>();
                    let least = 0.05 * scale.scale[column];
                    scale.mean[column] = mean;
                    scale.scale[column] = variance.sqrt().max(least);
                }
            }
        }
        for (column, name) in self.columns.names().enumerate() {
            if self.categories.iter().any(|c| c.column == *name) {
                (scale.mean[column], scale.scale[column]) = (0.0, 1.0);
            }
        }
        Ok(scale)
    }

    /// What is read of a column at a row, in its units.
    fn of(&self, view: &View<'_>, (row, column): (usize, usize), origin: usize) -> f64 {
        let value = |row| view.value(row, column, origin);
        match column < self.columns.targets.len() {
            true => self.difference.read(row, value),
            false => value(row),
        }
    }

    /// Appends the cell's input at a row; rows from `origin` on are those that were forecast.
    pub(super) fn read(
        &self,
        view: &View<'_>,
        scale: &Scale,
        (row, origin): (usize, usize),
        out: &mut Vec<f32>,
    ) {
        let (past, known) = (self.columns.past(), self.columns.known.len());
        let mut push = |column: usize, row: usize| {
            out.push(scale.read(column, self.of(view, (row, column), origin)) as f32);
        };
        (0..past).for_each(|column| push(column, row));
        for ahead in 1..=self.horizon {
            (past..past + known).for_each(|column| push(column, row + ahead));
        }
        (past + known..past + known + self.columns.statics.len())
            .for_each(|column| push(column, row));
        if self.masked {
            let present = |column| !(row < origin && view.is_missing(row, column));
            out.extend((0..past).map(|column| f32::from(present(column))));
        }
    }
}
