//! [`Columns`]: what the columns of a table are for.

use serde::{Deserialize, Serialize};

use super::ForecastError;
use crate::data::{DataError, Series};

/// What the columns of a table are for, in the order in which a model reads them.
///
/// ```
/// use retrograd::forecast::Columns;
///
/// let all = ["sold", "price", "staff", "size"].map(str::to_owned);
/// let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
/// let columns = Columns::of(&all, Some(&names(&["sold"])), &names(&["price"]), &names(&["size"]))?;
/// assert_eq!(columns.observed, ["staff"]);
/// assert_eq!(Columns::of(&all, None, &[], &[])?.targets, all);
/// # Ok::<(), retrograd::forecast::ForecastError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Those that are forecast; they are read, too.
    pub targets: Vec<String>,
    /// Those that are read as they become known, and not forecast.
    pub observed: Vec<String>,
    /// Those that are known ahead, such as prices or holidays: the forecast of a row reads them at that row.
    pub known: Vec<String>,
    /// Those that are the same in all rows of a series.
    pub statics: Vec<String>,
}

impl Columns {
    /// The roles of all columns: the targets are as given, or all that are nothing else; what is nothing is observed.
    ///
    /// # Errors
    /// [`ForecastError::Data`] for a name that is no column; [`ForecastError::Request`] for one in two roles, or if none is forecast.
    pub fn of(
        all: &[String],
        targets: Option<&[String]>,
        known: &[String],
        statics: &[String],
    ) -> Result<Columns, ForecastError> {
        let given = [targets.unwrap_or_default(), known, statics];
        let mut seen: Vec<&String> = Vec::new();
        for name in given.into_iter().flatten() {
            if !all.contains(name) {
                return Err(ForecastError::from(DataError::NoColumn {
                    name: name.clone(),
                    columns: all.to_vec(),
                }));
            }
            if seen.contains(&name) {
                return Err(ForecastError::Request(format!(
                    "column \"{name}\" is given two roles; a column is a target, known ahead or static"
                )));
            }
            seen.push(name);
        }
        let rest: Vec<String> = all.iter().filter(|n| !seen.contains(n)).cloned().collect();
        let (targets, observed) = match targets {
            Some(targets) => (targets.to_vec(), rest),
            None => (rest, Vec::new()),
        };
        if targets.is_empty() {
            return Err(ForecastError::Request(
                "no column is left to forecast; name one as a target".to_owned(),
            ));
        }
        Ok(Columns {
            targets,
            observed,
            known: known.to_vec(),
            statics: statics.to_vec(),
        })
    }

    /// All names, in the model's order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        let past = self.targets.iter().chain(&self.observed);
        past.chain(&self.known).chain(&self.statics)
    }

    /// Columns that are known up to now only: targets and observed ones.
    pub fn past(&self) -> usize {
        self.targets.len() + self.observed.len()
    }

    /// Numbers that a cell reads of a row, if it forecasts `horizon` rows at once and, where values may be `masked`, sees which were.
    pub fn width(&self, horizon: usize, masked: bool) -> usize {
        let marks = if masked { self.past() } else { 0 };
        self.past() + marks + self.known.len() * horizon + self.statics.len()
    }

    /// The places of the columns in a series.
    pub(super) fn places(&self, series: &Series) -> Result<Vec<usize>, ForecastError> {
        let place = |name: &String| {
            let found = series.names().iter().position(|n| n == name);
            found.ok_or_else(|| {
                ForecastError::from(DataError::NoColumn {
                    name: name.clone(),
                    columns: series.names().to_vec(),
                })
            })
        };
        self.names().map(place).collect()
    }
}
