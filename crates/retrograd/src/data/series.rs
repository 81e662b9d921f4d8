//! [`Series`]: named columns of finite numbers, one row per time step.

use std::ops::Range;
use std::sync::Arc;

use super::shown::shown;
use super::{DataError, Note};

/// A multivariate time series: `len` rows in the order of time, `n` named columns, every value finite.
///
/// ```
/// # #[cfg(feature = "csv")]
/// # fn main() -> Result<(), retrograd::data::DataError> {
/// use retrograd::data::{Series, Split};
///
/// let series = Series::from_csv_str("day,rain,sun\nmon,3,1\ntue,0,9\nwed,1,8\n", "sky.csv", None)?;
/// assert_eq!((series.len(), series.names()), (3, &["rain".to_owned(), "sun".to_owned()][..]));
/// assert_eq!(series.row(1), [0.0, 9.0]);
/// assert_eq!(series.labels().unwrap()[2], "wed");
/// let (training, validation) = series.split(Split::Count(1))?;
/// assert_eq!((training, validation), (0..2, 2..3));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "csv"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Series {
    names: Vec<String>,
    units: Vec<Option<String>>,
    rows: Vec<f64>,
    labels: Option<(String, Vec<String>)>,
    /// Which values were missing, `[len, n]`; empty if none was.
    missing: Vec<bool>,
    /// Of columns of categories, what each number stands for.
    categories: Vec<Option<Arc<[String]>>>,
    notes: Vec<Note>,
}

/// The number of last rows that are kept for validation.
///
/// ```
/// # #[cfg(feature = "csv")]
/// # fn main() -> Result<(), retrograd::data::DataError> {
/// use retrograd::data::{Series, Split};
///
/// let sunspots = Series::sunspots();
/// let (training, validation) = sunspots.split(Split::Fraction(0.2))?;
/// assert_eq!((training.len(), validation.len()), (247, 62));
/// assert!(sunspots.split(Split::Count(309)).is_err(), "nothing would be left for training");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "csv"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Split {
    /// A share of all rows, in (0, 1), rounded to whole rows.
    Fraction(f64),
    /// A number of rows.
    Count(usize),
}

impl Series {
    /// A series from values in memory. `rows` is `[len, n]`, row-major, n = `names.len()`.
    ///
    /// # Errors
    /// [`DataError::BadSeries`] if there is no column or no row, if the length is no multiple of n, or if a value is
    /// not finite.
    pub fn new(names: Vec<String>, rows: Vec<f64>) -> Result<Self, DataError> {
        let n = names.len();
        if n == 0 || rows.is_empty() || !rows.len().is_multiple_of(n) {
            let values = rows.len();
            return Err(DataError::BadSeries(format!(
                "a series of {n} columns cannot be made from {values} values; expected whole rows, at least one"
            )));
        }
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            return Err(DataError::BadSeries(format!(
                "row {}, column \"{}\": {} is not a finite number",
                at / n,
                shown(&names[at % n]),
                rows[at]
            )));
        }
        Ok(Self {
            units: vec![None; n],
            categories: vec![None; n],
            names,
            rows,
            labels: None,
            missing: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// The same series with a mark at each value that was missing and has been filled, `[len, n]`: such values are neither
    /// forecast nor scored.
    ///
    /// ```
    /// use retrograd::data::Series;
    ///
    /// let series = Series::new(vec!["rain".to_owned()], vec![3.0, 3.0, 1.0])?.with_missing(vec![false, true, false])?;
    /// assert!(series.is_missing(1, 0) && series.has_missing());
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::SliceLength`] unless there are `len` · n marks.
    pub fn with_missing(mut self, missing: Vec<bool>) -> Result<Self, DataError> {
        if missing.len() != self.rows.len() {
            return Err(DataError::SliceLength {
                what: "marks of missing values".to_owned(),
                found: missing.len(),
                expected: self.rows.len(),
            });
        }
        self.missing = match missing.contains(&true) {
            true => missing,
            false => Vec::new(),
        };
        Ok(self)
    }

    /// Whether a value was missing.
    #[must_use]
    pub fn is_missing(&self, row: usize, column: usize) -> bool {
        let at = row * self.columns() + column;
        self.missing.get(at).copied().unwrap_or(false)
    }

    /// Whether any value was missing.
    #[must_use]
    pub fn has_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The same series with a column of categories, whose numbers are the places of its texts in a list.
    ///
    /// ```
    /// use retrograd::data::Series;
    ///
    /// let series = Series::new(vec!["kind".to_owned()], vec![1.0, 0.0, 1.0])?;
    /// let series = series.with_categories("kind", &["kiosk".to_owned(), "market".to_owned()])?;
    /// assert_eq!(series.categories(0).unwrap()[1], "market");
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::NoColumn`]; [`DataError::BadSeries`] for a number that is no place in the list.
    pub fn with_categories(mut self, column: &str, texts: &[String]) -> Result<Self, DataError> {
        let Some(at) = self.names.iter().position(|n| n == column) else {
            return Err(DataError::NoColumn {
                name: column.to_owned(),
                columns: self.names,
            });
        };
        let place = |v: f64| v >= 0.0 && v < texts.len() as f64 && v.fract() == 0.0;
        if let Some(v) = self.column(at).find(|v| !place(*v)) {
            let shown = shown(column);
            return Err(DataError::BadSeries(format!(
                "column \"{shown}\": {v} is no place among {} categories",
                texts.len()
            )));
        }
        self.categories[at] = Some(texts.into());
        Ok(self)
    }

    /// What the numbers of a column stand for, if it is one of categories.
    ///
    /// # Panics
    /// If `column` is not below n.
    #[must_use]
    pub fn categories(&self, column: usize) -> Option<&[String]> {
        self.categories[column].as_deref()
    }

    /// The same series with a label for every row, such as a date; `name` is the name of the labels.
    ///
    /// # Errors
    /// [`DataError::SliceLength`] unless there are `len` labels.
    pub fn with_labels(mut self, name: &str, labels: Vec<String>) -> Result<Self, DataError> {
        if labels.len() != self.len() {
            return Err(DataError::SliceLength {
                what: "row labels".to_owned(),
                found: labels.len(),
                expected: self.len(),
            });
        }
        self.labels = Some((name.to_owned(), labels));
        Ok(self)
    }

    /// The same series with units, from `unit_of` by column name; they are used in plots only.
    pub fn with_units(mut self, unit_of: impl Fn(&str) -> Option<String>) -> Self {
        self.units = self.names.iter().map(|name| unit_of(name)).collect();
        self
    }

    /// Number of rows.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a series has at least one row")]
    pub fn len(&self) -> usize {
        self.rows.len() / self.names.len()
    }

    /// Number of columns, n.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.names.len()
    }

    /// The columns' names, `[n]`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The unit of a column, if known.
    ///
    /// # Panics
    /// If `column` is not below n.
    #[must_use]
    pub fn unit(&self, column: usize) -> Option<&str> {
        self.units[column].as_deref()
    }

    /// All values, `[len, n]`, row-major.
    #[must_use]
    pub fn rows(&self) -> &[f64] {
        &self.rows
    }

    /// One row, `[n]`.
    ///
    /// # Panics
    /// If `row` is not below `len`.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.rows[row * self.columns()..][..self.columns()]
    }

    /// The values of one column, `[len]`.
    ///
    /// # Panics
    /// If `column` is not below n.
    pub fn column(&self, column: usize) -> impl ExactSizeIterator<Item = f64> + '_ {
        assert!(
            column < self.columns(),
            "column {column} of {}",
            self.columns()
        );
        self.rows
            .iter()
            .skip(column)
            .step_by(self.columns())
            .copied()
    }

    /// The rows' labels, `[len]`, if there are any.
    #[must_use]
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_ref().map(|(_, labels)| labels.as_slice())
    }

    /// The name of the labels: that of the column that they come from.
    #[must_use]
    pub fn label_name(&self) -> Option<&str> {
        self.labels.as_ref().map(|(name, _)| name.as_str())
    }

    /// What was guessed or left out when the series was read; empty for a series that was not read from a table.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    #[cfg(feature = "csv")]
    pub(super) fn with_notes(self, notes: Vec<Note>) -> Self {
        Self { notes, ..self }
    }

    /// The same rows and labels in reverse order, for a table whose newest row comes first.
    pub fn reversed(self) -> Self {
        let n = self.columns();
        let mut rows = self.rows;
        rows.reverse();
        rows.chunks_exact_mut(n).for_each(<[f64]>::reverse);
        let mut labels = self.labels;
        if let Some((_, labels)) = &mut labels {
            labels.reverse();
        }
        let mut missing = self.missing;
        missing.reverse();
        missing.chunks_exact_mut(n).for_each(<[bool]>::reverse);
        Self {
            rows,
            labels,
            missing,
            names: self.names,
            units: self.units,
            categories: self.categories,
            notes: self.notes,
        }
    }

    /// The first `rows` rows.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if there are fewer, or if `rows` is 0.
    pub fn first(&self, rows: usize) -> Result<Self, DataError> {
        self.part(0..rows)
    }

    /// The rows of a range.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if it is empty or reaches beyond the series.
    pub fn part(&self, range: Range<usize>) -> Result<Self, DataError> {
        self.check_range("part to keep", &range)?;
        let labels = self.labels.as_ref();
        let n = self.columns();
        let cells = range.start * n..range.end * n;
        let missing = self.missing.get(cells.clone()).unwrap_or_default();
        let part = Self {
            names: self.names.clone(),
            units: self.units.clone(),
            rows: self.rows[cells].to_vec(),
            labels: labels.map(|(name, labels)| (name.clone(), labels[range].to_vec())),
            missing: Vec::new(),
            categories: self.categories.clone(),
            notes: self.notes.clone(),
        };
        match missing.is_empty() {
            true => Ok(part),
            false => part.with_missing(missing.to_vec()),
        }
    }

    /// These columns, in this order.
    ///
    /// ```
    /// use retrograd::data::Series;
    ///
    /// let names = ["rain", "sun"].map(str::to_owned).to_vec();
    /// let series = Series::new(names, vec![3.0, 1.0, 0.0, 9.0])?;
    /// assert_eq!(series.select(&["sun".to_owned()])?.rows(), [1.0, 9.0]);
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::NoColumn`] for a name that no column has.
    pub fn select(&self, names: &[String]) -> Result<Self, DataError> {
        let place = |name: &String| {
            let found = self.names.iter().position(|n| n == name);
            found.ok_or_else(|| DataError::NoColumn {
                name: name.clone(),
                columns: self.names.clone(),
            })
        };
        let places: Vec<usize> = names.iter().map(place).collect::<Result<_, _>>()?;
        let rows = self.rows.chunks_exact(self.columns());
        let rows = rows.flat_map(|row| places.iter().map(|&c| row[c]));
        let mut out = Self::new(names.to_vec(), rows.collect())?;
        out.units = places.iter().map(|&c| self.units[c].clone()).collect();
        let categories = places.iter().map(|&c| self.categories[c].clone());
        out.categories = categories.collect();
        out.labels.clone_from(&self.labels);
        out.notes.clone_from(&self.notes);
        let missing = |row| places.iter().map(move |&c| self.is_missing(row, c));
        out.with_missing((0..self.len()).flat_map(missing).collect())
    }

    /// The same columns under other names, as many.
    pub(super) fn renamed(self, names: Vec<String>) -> Self {
        debug_assert_eq!(names.len(), self.names.len());
        Self { names, ..self }
    }

    /// The ranges of training rows and of the validation rows after them, in the order of time.
    ///
    /// # Errors
    /// [`DataError::BadSplit`] if a part would be empty.
    pub fn split(&self, validation: Split) -> Result<(Range<usize>, Range<usize>), DataError> {
        let rows = self.len();
        let (count, asked) = match validation {
            Split::Fraction(share) => {
                let sane = share > 0.0 && share < 1.0;
                let count = if sane {
                    (share * rows as f64).round() as usize
                } else {
                    0
                };
                (count, format!("a fraction of {share:?}"))
            }
            Split::Count(count) => (count, format!("{count} rows")),
        };
        if count == 0 || count >= rows {
            return Err(DataError::BadSplit { rows, asked });
        }
        Ok((0..rows - count, rows - count..rows))
    }

    /// The same names, units and labels with other values of the same shape; for [`super::Standardizer`].
    pub(super) fn with_rows(&self, rows: Vec<f64>) -> Self {
        assert_eq!(rows.len(), self.rows.len(), "another shape");
        Self {
            rows,
            ..self.clone()
        }
    }

    /// Checks that `range` is not empty and lies inside the series; messages call it `part`.
    ///
    /// # Errors
    /// [`DataError::BadRange`].
    pub fn check_range(&self, part: &'static str, range: &Range<usize>) -> Result<(), DataError> {
        if range.start < range.end && range.end <= self.len() {
            return Ok(());
        }
        Err(DataError::BadRange {
            part,
            start: range.start,
            end: range.end,
            rows: self.len(),
        })
    }
}
