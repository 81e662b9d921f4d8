//! [`Difference`]: whether a model forecasts numbers, or how far they will be from numbers that are known.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Columns, ForecastError};
use crate::data::{Panel, Series};

/// Whether a model reads and forecasts the targets' numbers, or their differences from numbers that are known. A series whose level
/// wanders leaves the range in which a model was trained, its differences do not; and a model that has learned nothing then forecasts
/// as the simple forecast does that the difference is from.
///
/// ```
/// use retrograd::forecast::Difference;
///
/// assert_eq!("row".parse(), Ok(Difference::Row));
/// assert_eq!(Difference::Season(12).to_string(), "12");
/// assert_eq!("12".parse(), Ok(Difference::Season(12)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Difference {
    /// The numbers themselves.
    #[default]
    None,
    /// Reads how far a row is from the one before it, and forecasts how far those to come are from the last: 0 is persistence.
    Row,
    /// Reads how far a row is from the one so many rows (a season) before it, and forecasts how far those to come are from their last
    /// such row that is known: 0 is the seasonal naive forecast.
    Season(usize),
}

/// Origins and rows ahead by which a difference is measured, at most.
const ORIGINS: usize = 512;
const AHEAD: usize = 32;

impl Difference {
    /// The number of rows back to what is subtracted; 0 if nothing is.
    #[must_use]
    pub fn rows(self) -> usize {
        match self {
            Difference::None => 0,
            Difference::Row => 1,
            Difference::Season(rows) => rows.max(1),
        }
    }

    /// What of the numbers of a column is read at a row. Of a row with nothing so many rows before it, a difference is 0.
    pub(super) fn read(self, row: usize, value: impl Fn(usize) -> f64) -> f64 {
        match (self, row.checked_sub(self.rows())) {
            (Difference::None, _) => value(row),
            (_, Some(before)) => value(row) - value(before),
            (_, None) => 0.0,
        }
    }

    /// What the forecast of row `at + ahead` is a difference from, if the rows before `at` are known.
    pub(super) fn base(self, at: usize, ahead: usize, value: impl Fn(usize) -> f64) -> f64 {
        match self {
            Difference::None => 0.0,
            Difference::Season(_) if at >= self.rows() => {
                value(at - self.rows() + ahead % self.rows())
            }
            Difference::Row | Difference::Season(_) => value(at.saturating_sub(1)),
        }
    }

    /// The one that the training parts speak for, a range of rows for each series. The numbers themselves, unless the last row or that
    /// a season before is, on average over the targets and `horizon` rows ahead, less than half as far from what came as the mean of
    /// all rows whole seasons before: then what is nearer. Only the second half of each part is forecast.
    ///
    /// ```
    /// use retrograd::data::{Panel, Series};
    /// use retrograd::forecast::{Columns, Difference};
    ///
    /// let of = |f: fn(f64) -> f64| {
    ///     let rows = (0..100).map(|t| f(f64::from(t))).collect();
    ///     let panel = Panel::from(Series::new(vec!["x".to_owned()], rows)?);
    ///     let columns = Columns::of(panel.names(), None, &[], &[])?;
    ///     Ok::<_, retrograd::forecast::ForecastError>(Difference::best(&panel, &columns, &[0..100], 4, 7))
    /// };
    /// assert_eq!(of(|t| t.sin())?, Difference::None);
    /// assert_eq!(of(|t| t + t.sin())?, Difference::Row);
    /// assert_eq!(of(|t| 0.1 * t + 9.0 * (t * std::f64::consts::TAU / 7.0).sin())?, Difference::Season(7));
    /// # Ok::<(), retrograd::forecast::ForecastError>(())
    /// ```
    pub fn best(
        panel: &Panel,
        columns: &Columns,
        training: &[Range<usize>],
        horizon: usize,
        season: usize,
    ) -> Difference {
        let differences = [Difference::Row, Difference::Season(season)];
        // Of the mean so far, and of each difference.
        let mut errors = [0.0; 3];
        for (series, part) in panel.series().iter().zip(training) {
            for name in &columns.targets {
                let Some(column) = series.names().iter().position(|n| n == name) else {
                    continue;
                };
                let values: Vec<f64> = (series.column(column))
                    .skip(part.start)
                    .take(part.len())
                    .collect();
                if season.saturating_mul(2) <= values.len() {
                    add_errors(&values, horizon, differences, &mut errors);
                }
            }
        }
        let [mean, row, seasonal] = errors;
        match (row.min(seasonal) < 0.5 * mean, seasonal < row) {
            (false, _) => Difference::None,
            (true, false) => Difference::Row,
            (true, true) => Difference::Season(season),
        }
    }

    /// A series with its first columns as they are read.
    pub(super) fn of(self, series: &Series, targets: usize) -> Result<Series, ForecastError> {
        let n = series.columns();
        let value = |k: usize| match k % n < targets {
            true => self.read(k / n, |row| series.row(row)[k % n]),
            false => series.rows()[k],
        };
        let rows = (0..series.rows().len()).map(value).collect();
        Ok(Series::new(series.names().to_vec(), rows)?)
    }

    /// How many times as far what is forecast is from 0 as a scale, root mean square over the rows ahead: over all series, each with
    /// the numbers of its part and its scale. 1 where nothing is known.
    pub(super) fn reach(self, horizon: usize, series: &[(Vec<f64>, f64)]) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for (values, scale) in series {
            each_ahead(values.len(), 1, horizon, |at, ahead| {
                let far = values[at + ahead] - self.base(at, ahead, |row| values[row]);
                sum += (far / scale).powi(2);
                count += 1.0;
            });
        }
        let reach = (sum / count).sqrt();
        match reach.is_finite() && reach > 0.0 {
            true => reach,
            false => 1.0,
        }
    }
}

/// Goes through origins from `first` on and the rows ahead of them, spread evenly where they are many.
fn each_ahead(rows: usize, first: usize, horizon: usize, mut each: impl FnMut(usize, usize)) {
    let step = rows.div_ceil(ORIGINS).max(1);
    for at in (first..rows).step_by(step) {
        for ahead in (0..horizon.min(rows - at)).step_by(horizon.div_ceil(AHEAD).max(1)) {
            each(at, ahead);
        }
    }
}

/// Adds the errors of simple forecasts over the deviation of the numbers.
fn add_errors(values: &[f64], horizon: usize, all: [Difference; 2], errors: &mut [f64; 3]) {
    let [_, season] = all;
    // Sums of all rows so many seasons before, that row included.
    let mut sums: Vec<f64> = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        let before = row.checked_sub(season.rows());
        sums.push(value + before.map_or(0.0, |row| sums[row]));
    }
    let whole = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|v| (v - whole).powi(2)).sum::<f64>();
    let deviation = (squares / values.len() as f64).sqrt();
    if !(deviation.is_finite() && deviation > 0.0) {
        return;
    }
    each_ahead(values.len(), values.len() / 2, horizon, |at, ahead| {
        let guess = |d: Difference| d.base(at, ahead, |row| values[row]);
        let mean = season.base(at, ahead, |row| {
            sums[row] / (row / season.rows() + 1) as f64
        });
        for (error, guess) in errors.iter_mut().zip([mean, guess(all[0]), guess(season)]) {
            *error += (values[at + ahead] - guess).abs() / deviation;
        }
    });
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::None => f.write_str("none"),
            Difference::Row => f.write_str("row"),
            Difference::Season(rows) => rows.fmt(f),
        }
    }
}

impl FromStr for Difference {
    type Err = String;

    fn from_str(text: &str) -> Result<Difference, String> {
        match (text, text.parse()) {
            ("none", _) => Ok(Difference::None),
            ("row", _) => Ok(Difference::Row),
            (_, Ok(rows)) if (1..=1_000_000).contains(&rows) => Ok(Difference::Season(rows)),
            _ => Err(format!(
                "a difference is `none`, from the last `row`, or from the row so many rows before, as in 12, and not `{text}`"
            )),
        }
    }
}
