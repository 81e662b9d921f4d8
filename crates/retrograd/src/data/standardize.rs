//! [`Standardizer`]: scales columns to mean 0 and standard deviation 1, measured on the training part alone.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{DataError, Series};

/// Mean and standard deviation of every column of the training part. Validation rows do not enter, since the model would learn from
/// them what it has to predict. Save it with a trained model to convert forecasts back to units.
///
/// ```
/// use retrograd::data::{Series, Standardizer};
///
/// let series = Series::new(vec!["rain".to_owned()], vec![1.0, 3.0, 100.0])?;
/// let standardizer = Standardizer::fit(&series, 0..2)?;
/// assert_eq!((standardizer.mean(), standardizer.scale()), (&[2.0][..], &[1.0][..]));
/// assert_eq!(standardizer.transform(&series)?.rows(), [-1.0, 1.0, 98.0]);
/// assert_eq!(standardizer.inverse_rows(&[0.5])?, [2.5]);
/// # Ok::<(), retrograd::data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedStandardizer")]
#[must_use]
pub struct Standardizer {
    names: Vec<String>,
    mean: Vec<f64>,
    scale: Vec<f64>,
}

/// A standardiser as stored in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedStandardizer {
    names: Vec<String>,
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl TryFrom<SavedStandardizer> for Standardizer {
    type Error = &'static str;

    fn try_from(
        SavedStandardizer { names, mean, scale }: SavedStandardizer,
    ) -> Result<Standardizer, Self::Error> {
        let sane = scale.iter().all(|s| s.is_finite() && *s > 0.0);
        match (names.len(), sane && mean.iter().all(|m| m.is_finite())) {
            (0, _) => Err("a standardiser has at least one column"),
            (n, _) if n != mean.len() || n != scale.len() => {
                Err("a standardiser has as many means and scales as names")
            }
            (_, false) => Err("means and scales are finite, and scales more than 0"),
            (_, true) => Ok(Standardizer { names, mean, scale }),
        }
    }
}

/// The greatest number of the training part and, with its inverse, the range of standard deviations: such numbers can be squared
/// and summed, here and in scores.
const MOST: f64 = 1e100;

impl Standardizer {
    /// Squares of standardised numbers below this fit into f32, with room for a sum of a hundred.
    pub(crate) const FARTHEST: f64 = 1e18;

    /// Measures the rows `training` of `series`. The scale is the population standard deviation (÷ N), or 1 for a column that is
    /// constant there.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if `training` is empty or reaches beyond the series, [`DataError::Scale`] if a column's numbers there
    /// or their deviation are too large or too small to be squared.
    pub fn fit(series: &Series, training: Range<usize>) -> Result<Self, DataError> {
        Self::fit_all(&[(series, training)])
    }

    /// Measures the training parts of several series of the same columns together.
    ///
    /// # Errors
    /// As [`Standardizer::fit`]; [`DataError::BadSeries`] if there is no series.
    pub fn fit_all(parts: &[(&Series, Range<usize>)]) -> Result<Self, DataError> {
        let Some((first, _)) = parts.first() else {
            return Err(DataError::BadSeries(
                "there is no series to measure".to_owned(),
            ));
        };
        for (series, training) in parts {
            if series.names() != first.names() {
                return Err(DataError::OtherColumns {
                    fitted: first.names().to_vec(),
                    found: series.names().to_vec(),
                });
            }
            series.check_range("training part", training)?;
        }
        let count = parts.iter().map(|(_, part)| part.len()).sum::<usize>() as f64;
        let (mut mean, mut scale) = (Vec::new(), Vec::new());
        for column in 0..first.columns() {
            let values = || {
                parts.iter().flat_map(move |(series, part)| {
                    series.column(column).skip(part.start).take(part.len())
                })
            };
            let wrong = |what, value, expected| DataError::Scale {
                column: first.names()[column].clone(),
                what,
                value,
                expected,
            };
            if let Some(value) = values().find(|v| v.abs() > MOST) {
                return Err(wrong(
                    "a number of the training part",
                    value,
                    "at most 1e100",
                ));
            }
            let centre = values().map(|v| v / count).sum::<f64>();
            // In units of the greatest distance, so that no square underflows.
            let most = values().map(|v| (v - centre).abs()).fold(0.0, f64::max);
            let share = |v: f64| if most > 0.0 { (v - centre) / most } else { 0.0 };
            let variance = values().map(|v| share(v).powi(2) / count).sum::<f64>();
            let deviation = most * variance.sqrt();
            // The mean of a constant is off by a few ulp: a deviation of that size is rounding, not signal.
            let constant = deviation <= 1e-12 * centre.abs() || deviation == 0.0;
            if !constant && deviation < 1.0 / MOST {
                let what = "the standard deviation of the training part";
                return Err(wrong(what, deviation, "0, or at least 1e-100"));
            }
            mean.push(centre);
            scale.push(if constant { 1.0 } else { deviation });
        }
        Ok(Self {
            names: first.names().to_vec(),
            mean,
            scale,
        })
    }

    /// The columns' names, `[n]`.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns' means, `[n]`, in their units.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The columns' standard deviations, `[n]`, in their units; 1 for a constant column.
    #[must_use]
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// The series in standardised units: (x − mean) ÷ scale.
    ///
    /// # Errors
    /// [`DataError::OtherColumns`] if the series has other columns than the measured one, [`DataError::OutOfScale`] for a number of
    /// 1e18 standard deviations or more, whose square does not fit into f32.
    pub fn transform(&self, series: &Series) -> Result<Series, DataError> {
        self.check_columns(series)?;
        let (rows, n) = (self.transform_rows(series.rows())?, self.names.len());
        // Not `>=`: what overflows is out of scale too.
        let inside = |z: &f64| z.abs() < Self::FARTHEST;
        if let Some(at) = rows.iter().position(|z| !inside(z)) {
            return Err(DataError::OutOfScale {
                row: at / n,
                column: self.names[at % n].clone(),
                value: series.rows()[at],
                deviations: rows[at].abs(),
            });
        }
        Ok(series.with_rows(rows))
    }

    /// The series in its own units again: x · scale + mean.
    ///
    /// # Errors
    /// [`DataError::OtherColumns`] if the series has other columns than the measured one.
    pub fn inverse(&self, series: &Series) -> Result<Series, DataError> {
        self.check_columns(series)?;
        Ok(series.with_rows(self.inverse_rows(series.rows())?))
    }

    /// [`Standardizer::transform`] of bare rows, `[any, n]`.
    ///
    /// # Errors
    /// [`DataError::SliceLength`] if they are not whole rows of n.
    pub fn transform_rows(&self, rows: &[f64]) -> Result<Vec<f64>, DataError> {
        self.map_rows(rows, |x, mean, scale| (x - mean) / scale)
    }

    /// [`Standardizer::inverse`] of bare rows, `[any, n]`, such as a model's predictions.
    ///
    /// # Errors
    /// [`DataError::SliceLength`] if they are not whole rows of n.
    pub fn inverse_rows(&self, rows: &[f64]) -> Result<Vec<f64>, DataError> {
        self.map_rows(rows, |x, mean, scale| x * scale + mean)
    }

    fn map_rows(
        &self,
        rows: &[f64],
        map: impl Fn(f64, f64, f64) -> f64,
    ) -> Result<Vec<f64>, DataError> {
        let n = self.names.len();
        if !rows.len().is_multiple_of(n) {
            return Err(DataError::SliceLength {
                what: format!("rows of {n} columns"),
                found: rows.len(),
                expected: rows.len().next_multiple_of(n),
            });
        }
        let of_column = |(at, &x): (usize, &f64)| map(x, self.mean[at % n], self.scale[at % n]);
        Ok(rows.iter().enumerate().map(of_column).collect())
    }

    fn check_columns(&self, series: &Series) -> Result<(), DataError> {
        if series.names() == self.names {
            return Ok(());
        }
        Err(DataError::OtherColumns {
            fitted: self.names.clone(),
            found: series.names().to_vec(),
        })
    }
}
