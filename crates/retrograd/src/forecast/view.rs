//! A series as a model reads it: columns by role, what is known ahead, and rows that were forecast.

use super::{Columns, ForecastError};
use crate::data::Series;

/// A series, and what is known of the rows after it.
pub(super) struct View<'a> {
    columns: &'a Columns,
    pub(super) series: &'a Series,
    places: Vec<usize>,
    future: Option<(&'a Series, Vec<usize>)>,
    /// Rows after the series that were forecast, in its units, `[any, targets]`.
    pub(super) forecast: Vec<f64>,
}

impl<'a> View<'a> {
    /// A series, and the rows after it in which the columns known ahead are known.
    pub(super) fn new(
        columns: &'a Columns,
        series: &'a Series,
        future: Option<&'a Series>,
    ) -> Result<View<'a>, ForecastError> {
        let places = columns.places(series)?;
        let future = future.filter(|_| !columns.known.is_empty());
        let known = |future: &'a Series| {
            let only = Columns {
                targets: Vec::new(),
                observed: Vec::new(),
                known: columns.known.clone(),
                statics: Vec::new(),
            };
            Ok::<_, ForecastError>((future, only.places(future)?))
        };
        Ok(View {
            places,
            future: future.map(known).transpose()?,
            forecast: Vec::new(),
            columns,
            series,
        })
    }

    /// The rows for which the columns known ahead are known.
    pub(super) fn known_rows(&self) -> usize {
        match self.columns.known.is_empty() {
            true => usize::MAX,
            false => self.series.len() + self.future.as_ref().map_or(0, |(f, _)| f.len()),
        }
    }

    /// The value of a column, counted in the model's order, at a row; rows from `origin` on are those that were forecast. What is not
    /// known of a row after the last is that of the last.
    pub(super) fn value(&self, row: usize, column: usize, origin: usize) -> f64 {
        let targets = self.columns.targets.len();
        let known = self.columns.past()..self.columns.past() + self.columns.known.len();
        if column < targets && row >= origin {
            let at = (row - origin) * targets + column;
            if let Some(value) = self.forecast.get(at) {
                return *value;
            }
        }
        if row >= self.series.len()
            && known.contains(&column)
            && let Some((future, places)) = &self.future
        {
            let row = (row - self.series.len()).min(future.len() - 1);
            return future.row(row)[places[column - known.start]];
        }
        let row = row.min(self.series.len() - 1);
        self.series.row(row)[self.places[column]]
    }

    /// Whether a value is missing.
    pub(super) fn is_missing(&self, row: usize, column: usize) -> bool {
        row < self.series.len() && self.series.is_missing(row, self.places[column])
    }
}
