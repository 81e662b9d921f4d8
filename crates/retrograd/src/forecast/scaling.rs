//! [`Scaling`]: over which rows the mean and the deviation of a column are taken.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What columns are scaled by: their mean and standard deviation …
///
/// ```
/// use retrograd::forecast::Scaling;
///
/// assert_eq!("series".parse(), Ok(Scaling::Series));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scaling {
    /// … over the training parts of all series.
    #[default]
    Column,
    /// … over the training part of each series by itself, or of one that was not trained on over the rows before the forecast.
    /// Columns that are known ahead or static, and series of fewer than 8 such rows, are scaled as by [`Scaling::Column`].
    Series,
    /// … over the rows of each window before its forecast. The loss then counts the last step of a window alone, whose scale knows
    /// nothing of what is to be forecast; the deviation is at least a twentieth of the column's.
    Window,
}

impl Scaling {
    /// All of them.
    pub const ALL: [Scaling; 3] = [Scaling::Column, Scaling::Series, Scaling::Window];

    /// Its name: column, series, window.
    pub fn name(self) -> &'static str {
        match self {
            Scaling::Column => "column",
            Scaling::Series => "series",
            Scaling::Window => "window",
        }
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scaling {
    type Err = String;

    fn from_str(name: &str) -> Result<Scaling, String> {
        let found = Scaling::ALL.into_iter().find(|s| s.name() == name);
        found.ok_or_else(|| format!("scaling is per column, series or window, not per `{name}`"))
    }
}
