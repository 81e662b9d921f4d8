//! Baselines that a model has to beat: three forecasts of the next row without a network, and the score of all forecasts.
//!
//! Everything here is in the series' own units; only [`Scores::mse`] and [`Scores::mse_per_column`] are standardised, by the
//! training part. All forecasts are for the same rows, the `targets`; the forecast of row i reads only rows before i.

use std::ops::Range;

use nalgebra::{DMatrix, SVD};
use serde::{Deserialize, Serialize};

use retrograd::data::{DataError, Series, Standardizer};

/// Why a baseline cannot forecast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// The series, or a request for it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The least-squares fit of the autoregression did not converge.
    #[error("the least-squares autoregression on the last {lags} rows did not converge")]
    NoFit {
        /// Rows that the autoregression reads.
        lags: usize,
    },
}

/// The errors of a forecast over one set of target rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The name of the forecast's author.
    pub name: String,
    /// Mean squared error of every column in standardised units, `[n]`.
    pub mse_per_column: Vec<f64>,
    /// Root of the mean squared error of every column in the column's own units, `[n]`.
    pub rmse_per_column: Vec<f64>,
    /// The mean of `mse_per_column`.
    pub mse: f64,
}

/// Scores a forecast of the rows `targets` of `series`. `predictions` is `[targets.len(), n]` in the series' own units,
/// row k being the forecast of row `targets.start + k`.
///
/// # Errors
/// [`DataError::BadRange`] if the targets are not rows of the series, [`DataError::SliceLength`] if the predictions do not fit
/// them, [`DataError::OtherColumns`] if the standardiser was fitted on other columns.
pub fn score(
    name: &str,
    predictions: &[f64],
    series: &Series,
    targets: Range<usize>,
    standardizer: &Standardizer,
) -> Result<Scores, DataError> {
    series.check_range("part to score", &targets)?;
    let (n, count) = (series.columns(), targets.len());
    if standardizer.names() != series.names() {
        return Err(DataError::OtherColumns {
            fitted: standardizer.names().to_vec(),
            found: series.names().to_vec(),
        });
    }
    if predictions.len() != count * n {
        return Err(DataError::SliceLength {
            what: format!("predictions of \"{name}\", [{count} rows, {n} columns]"),
            found: predictions.len(),
            expected: count * n,
        });
    }
    let mut squares = vec![0.0; n];
    for (predicted, row) in predictions.chunks_exact(n).zip(targets) {
        for ((square, p), observed) in squares.iter_mut().zip(predicted).zip(series.row(row)) {
            *square += (p - observed).powi(2);
        }
    }
    let rmse_per_column: Vec<f64> = squares.iter().map(|s| (s / count as f64).sqrt()).collect();
    let scaled = rmse_per_column.iter().zip(standardizer.scale());
    let mse_per_column: Vec<f64> = scaled.map(|(rmse, scale)| (rmse / scale).powi(2)).collect();
    let mse = mse_per_column.iter().sum::<f64>() / n as f64;
    Ok(Scores {
        name: name.to_owned(),
        mse_per_column,
        rmse_per_column,
        mse,
    })
}

/// A forecast of the next row without a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Row i is predicted as row i − 1.
    Persistence,
    /// Every row is predicted as the mean of the training part.
    Mean,
    /// A linear function of the last `lags` rows, all columns and an intercept, by least squares on the training part.
    Autoregression {
        /// Rows that it reads.
        lags: usize,
    },
}

impl Baseline {
    /// The three baselines of every run.
    pub const ALL: [Self; 3] = [
        Self::Persistence,
        Self::Mean,
        Self::Autoregression { lags: 7 },
    ];

    /// A short name: `persistence`, `mean`, `ar7`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Persistence => "persistence".to_owned(),
            Self::Mean => "mean".to_owned(),
            Self::Autoregression { lags } => format!("ar{lags}"),
        }
    }

    /// A name for tables and plots.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::Persistence => "persistence (next = last)".to_owned(),
            Self::Mean => "training mean".to_owned(),
            Self::Autoregression { lags } => format!("autoregression ({lags} rows)"),
        }
    }

    /// Forecasts the rows `targets`, `[targets.len(), n]`, fitted on the rows `training` alone.
    ///
    /// # Errors
    /// [`DataError::BadRange`] if a range is empty or not inside the series, [`DataError::TooShort`] if a target or the training part has
    /// not enough rows before it, [`BaselineError::NoFit`] if the least-squares fit fails.
    pub fn predict(
        self,
        series: &Series,
        training: Range<usize>,
        targets: Range<usize>,
    ) -> Result<Vec<f64>, BaselineError> {
        series.check_range("training part", &training)?;
        series.check_range("part to score", &targets)?;
        let lags = match self {
            Self::Persistence => 1,
            Self::Mean => 0,
            Self::Autoregression { lags } => lags,
        };
        if targets.start < lags {
            return Err(BaselineError::Data(DataError::TooShort {
                part: "part before the first row to predict",
                rows: targets.start,
                what: format!("the baseline \"{}\"", self.name()),
                needed: lags,
            }));
        }
        match self {
            Self::Persistence => Ok(targets
                .flat_map(|row| series.row(row - 1).iter().copied())
                .collect()),
            Self::Mean => {
                let standardizer = Standardizer::fit(series, training)?;
                Ok(targets
                    .flat_map(|_| standardizer.mean().iter().copied())
                    .collect())
            }
            Self::Autoregression { lags } => autoregression(series, training, targets, lags),
        }
    }

    /// [`Baseline::predict`], then [`score`] with the training part's standardiser.
    ///
    /// # Errors
    /// As [`Baseline::predict`].
    pub fn scores(
        self,
        series: &Series,
        training: Range<usize>,
        targets: Range<usize>,
    ) -> Result<Scores, BaselineError> {
        let predictions = self.predict(series, training.clone(), targets.clone())?;
        let standardizer = Standardizer::fit(series, training)?;
        let name = self.name();
        Ok(score(&name, &predictions, series, targets, &standardizer)?)
    }
}

/// Solves min ‖X A − Y‖ on the training part, where a row of X is 1 and the `lags` rows before the row of Y.
///
/// The columns are standardised first, so that their units do not decide what counts as rank-deficient. Singular
/// values below max(rows, columns) · ε · σ₁ count as zero (the rule of LAPACK's drivers as numpy uses it), which
/// gives the solution of least norm where columns are constant or copies of each other.
fn autoregression(
    series: &Series,
    training: Range<usize>,
    targets: Range<usize>,
    lags: usize,
) -> Result<Vec<f64>, BaselineError> {
    if training.len() <= lags {
        return Err(BaselineError::Data(DataError::TooShort {
            part: "training part",
            rows: training.len(),
            what: format!("an autoregression on the last {lags} rows"),
            needed: lags + 1,
        }));
    }
    let standardizer = Standardizer::fit(series, training.clone())?;
    let series = standardizer.transform(series)?;
    let n = series.columns();
    let design = |rows: Range<usize>| {
        let start = rows.start;
        DMatrix::from_fn(rows.len(), 1 + lags * n, |k, at| match at.checked_sub(1) {
            None => 1.0,
            Some(at) => series.row(start + k - 1 - at / n)[at % n],
        })
    };
    let fitted = training.start + lags..training.end;
    let observed = DMatrix::from_fn(fitted.len(), n, |k, c| series.row(fitted.start + k)[c]);
    let x = design(fitted);
    let longer_side = x.nrows().max(x.ncols()) as f64;
    let failed = || BaselineError::NoFit { lags };
    let svd = SVD::try_new(x, true, true, f64::EPSILON, 10_000).ok_or_else(failed)?;
    let tolerance = longer_side * f64::EPSILON * svd.singular_values.max();
    let coefficients = svd.solve(&observed, tolerance).map_err(|_| failed())?;
    let predicted = design(targets) * coefficients;
    // nalgebra is column-major: the transpose's storage is row-major [targets, n].
    Ok(standardizer.inverse_rows(predicted.transpose().as_slice())?)
}
