//! A series as a model reads it: columns by role, what is known ahead, and rows that were forecast.

use super::{Category, Columns, ForecastError};
use crate::data::Series;

/// A series, and what is known of the rows after it.
pub(super) struct View<'a> {
    columns: &'a Columns,
    pub(super) series: &'a Series,
    places: Vec<usize>,
    future: Option<(&'a Series, Vec<usize>)>,
    codes: Vec<Option<Codes<'a>>>,
    /// Rows after the series that were forecast, in its units, `[any, targets]`.
    pub(super) forecast: Vec<f64>,
}

/// The numbers of a column of categories in a series, and in the one after it, by the numbers that these have for them.
struct Codes<'a> {
    category: &'a Category,
    series: Option<Vec<f64>>,
    future: Option<Vec<f64>>,
}

impl Codes<'_> {
    fn of(&self, value: f64, future: bool) -> f64 {
        let codes = if future { &self.future } else { &self.series };
        match codes {
            Some(codes) => codes.get(value as usize).copied().unwrap_or(0.0),
            None => self.category.number_of(value),
        }
    }
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
            codes: Vec::new(),
            forecast: Vec::new(),
            columns,
            series,
        })
    }

    /// The same with columns of categories as a model numbers them.
    pub(super) fn with_categories(mut self, categories: &'a [Category]) -> View<'a> {
        if categories.is_empty() {
            return self;
        }
        let known = self.columns.past();
        let codes = self.columns.names().enumerate().map(|(column, name)| {
            let category = categories.iter().find(|c| c.column == *name)?;
            let future = self.future.as_ref().and_then(|(future, places)| {
                let place = places.get(column.checked_sub(known)?)?;
                category.numbers(future, *place)
            });
            Some(Codes {
                category,
                series: category.numbers(self.series, self.places[column]),
                future,
            })
        });
        self.codes = codes.collect();
        self
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
            let value = future.row(row)[places[column - known.start]];
            return self.coded(column, value, true);
        }
        let row = row.min(self.series.len() - 1);
        self.coded(column, self.series.row(row)[self.places[column]], false)
    }

    /// A number of the table as the model's.
    fn coded(&self, column: usize, value: f64, future: bool) -> f64 {
        match self.codes.get(column) {
            Some(Some(codes)) => codes.of(value, future),
            _ => value,
        }
    }

    /// Whether a value is missing.
    pub(super) fn is_missing(&self, row: usize, column: usize) -> bool {
        row < self.series.len() && self.series.is_missing(row, self.places[column])
    }
}
