//! Gaps: what becomes of values that are missing.

use std::fmt;
use std::str::FromStr;

/// What becomes of a value that is missing: an empty cell, or one that says NA, N/A, null or NaN.
///
/// ```
/// use retrograd::data::{Csv, Gaps};
///
/// let table = "day,rain\n1,4\n2,\n3,NA\n4,1\n";
/// let read = |gaps| Csv::new().columns(["rain"]).gaps(gaps).parse(table, "rain.csv");
/// assert!(read(Gaps::Refuse).is_err());
/// assert_eq!(read(Gaps::Forward)?.rows(), [4.0, 4.0, 4.0, 1.0]);
/// assert_eq!(read(Gaps::Linear)?.rows(), [4.0, 3.0, 2.0, 1.0]);
/// let masked = read(Gaps::Mask)?;
/// assert!(masked.is_missing(1, 0) && masked.is_missing(2, 0) && !masked.is_missing(3, 0));
/// assert_eq!(masked.notes().last().unwrap().to_string(), "column \"rain\": 2 gaps, masked");
/// # Ok::<(), retrograd::data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gaps {
    /// The table is rejected.
    #[default]
    Refuse,
    /// The value before it; before the first one, the first.
    Forward,
    /// On the line between its neighbours; before the first value and after the last, that value.
    Linear,
    /// Filled as by [`Gaps::Forward`] and [marked](super::Series::is_missing): a model sees that it was missing, and is not asked to
    /// forecast it.
    Mask,
}

impl Gaps {
    /// All of them.
    pub const ALL: [Gaps; 4] = [Gaps::Refuse, Gaps::Forward, Gaps::Linear, Gaps::Mask];

    /// Its name: refuse, ffill, linear, mask.
    pub fn name(self) -> &'static str {
        match self {
            Gaps::Refuse => "refuse",
            Gaps::Forward => "ffill",
            Gaps::Linear => "linear",
            Gaps::Mask => "mask",
        }
    }

    /// What was done, for a note.
    pub(super) fn done(self) -> &'static str {
        match self {
            Gaps::Refuse => "refused",
            Gaps::Forward => "filled with the value before",
            Gaps::Linear => "filled on the line between their neighbours",
            Gaps::Mask => "masked",
        }
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Gaps {
    type Err = String;

    fn from_str(name: &str) -> Result<Gaps, String> {
        let found = Gaps::ALL.into_iter().find(|g| g.name() == name);
        found.ok_or_else(|| {
            let names = Gaps::ALL.map(Gaps::name).join(", ");
            format!("gaps are treated by one of {names}, not by `{name}`")
        })
    }
}

/// Fills the NaNs of a column, `values[at]`, `values[at + n]`, … in the order of time. False if there is no number to fill from.
#[cfg(feature = "csv")]
pub(super) fn fill(values: &mut [f64], at: usize, n: usize, gaps: Gaps) -> bool {
    let places: Vec<usize> = (at..values.len()).step_by(n).collect();
    let Some(first) = places.iter().map(|&p| values[p]).find(|v| !v.is_nan()) else {
        return false;
    };
    // Before the first number, the line to it is level.
    let mut before = first;
    for (k, &place) in places.iter().enumerate() {
        if values[place].is_nan() {
            let after = match gaps {
                Gaps::Linear => places[k..].iter().position(|&p| !values[p].is_nan()),
                Gaps::Refuse | Gaps::Forward | Gaps::Mask => None,
            };
            values[place] = match after {
                Some(ahead) => before + (values[places[k + ahead]] - before) / (ahead + 1) as f64,
                None => before,
            };
        }
        before = values[place];
    }
    true
}
