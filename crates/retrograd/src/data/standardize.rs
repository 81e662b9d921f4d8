//! [`Standardizer`]: to mean 0 and standard deviation 1, as measured on the training part alone.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{DataError, Series};

/// Mean and standard deviation of every column of the training part. Validation rows never enter: the model would see
/// through them what it is to predict. Saved beside a trained model, it turns its numbers back into units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardizer {
    names: Vec<String>,
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Standardizer {
    /// Measures the rows `training` of `series`. The scale is the population standard deviation (÷ N); of a column that is
    /// constant there, it is 1.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if `training` is empty or reaches beyond the series.
    pub fn fit(series: &Series, training: Range<usize>) -> Result<Self, DataError> {
        series.check_range("training part", &training)?;
        let count = training.len() as f64;
        let (mut mean, mut scale) = (Vec::new(), Vec::new());
        for column in 0..series.columns() {
            let values = || {
                series
                    .column(column)
                    .skip(training.start)
                    .take(training.len())
            };
            let centre = values().map(|v| v / count).sum::<f64>();
            let variance = values().map(|v| (v - centre).powi(2) / count).sum::<f64>();
            let deviation = variance.sqrt();
            // The mean of a constant is off by a few ulp: a deviation of that size is rounding, not signal.
            let constant = deviation <= 1e-12 * centre.abs();
            mean.push(centre);
            scale.push(if constant || deviation == 0.0 {
                1.0
            } else {
                deviation
            });
        }
        Ok(Self {
            names: series.names().to_vec(),
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
    /// [`DataError::OtherColumns`] if the series has other columns than those that were measured.
    pub fn transform(&self, series: &Series) -> Result<Series, DataError> {
        self.check_columns(series)?;
        Ok(series.with_rows(self.transform_rows(series.rows())?))
    }

    /// The series in its own units again: x · scale + mean.
    ///
    /// # Errors
    /// [`DataError::OtherColumns`] if the series has other columns than those that were measured.
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
