//! [`Residuals`]: the errors of a backtest at each horizon, for the intervals of a forecast.

use serde::{Deserialize, Serialize};

use super::head::sample_quantile;

/// The errors of forecasts, what there was minus what was forecast, in standardised units: by rows ahead and target.
///
/// ```
/// use retrograd::forecast::Residuals;
///
/// let mut residuals = Residuals::new(1);
/// for error in [-2.0, 1.0, 0.0, 2.0, -1.0, 3.0, -3.0, 4.0, -4.0] {
///     residuals.add(0, 0, error);
/// }
/// assert_eq!(residuals.quantile(0, 0, 0.1), Some(-4.0));
/// assert_eq!(residuals.quantile(0, 0, 0.01), None, "of nine numbers");
/// assert_eq!(residuals.quantile(1, 0, 0.5), None, "no second row was forecast");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    targets: usize,
    /// Sorted, `[rows ahead, targets]` lists.
    errors: Vec<Vec<f64>>,
}

impl Residuals {
    /// None yet, of so many targets, at least one.
    pub fn new(targets: usize) -> Residuals {
        Residuals {
            targets: targets.max(1),
            errors: Vec::new(),
        }
    }

    /// Adds the error of a target so many rows ahead, the first being 0.
    pub fn add(&mut self, row: usize, target: usize, error: f64) {
        let at = row * self.targets + target;
        if self.errors.len() <= at {
            self.errors.resize(at + 1, Vec::new());
        }
        let list = &mut self.errors[at];
        let place = list.partition_point(|e| *e < error);
        list.insert(place, error);
    }

    /// A quantile of the errors; None if they are too few to have it.
    #[must_use]
    pub fn quantile(&self, row: usize, target: usize, p: f64) -> Option<f64> {
        let list = self.errors.get(row * self.targets + target)?;
        sample_quantile(list, p)
    }

    /// The number of rows ahead of which there are errors.
    #[must_use]
    pub fn horizon(&self) -> usize {
        self.errors.len().div_ceil(self.targets)
    }

    /// All numbers, list by list.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.errors.iter().flatten().copied()
    }

    /// The lengths of the lists.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.errors.iter().map(Vec::len).collect()
    }

    /// From numbers and lengths as of [`values`](Self::values) and [`counts`](Self::counts); None if they do not fit.
    pub(super) fn of(targets: usize, counts: &[usize], values: &[f32]) -> Option<Residuals> {
        let mut rest = values;
        let mut errors = Vec::with_capacity(counts.len());
        for &count in counts {
            let (these, after) = rest.split_at_checked(count)?;
            rest = after;
            errors.push(these.iter().map(|v| f64::from(*v)).collect());
        }
        (targets > 0 && rest.is_empty()).then_some(Residuals { targets, errors })
    }
}
