//! [`Panel`]: several series of the same columns.

use super::shown::shown;
use super::{DataError, Note, Series};

/// Several series of the same columns, each with a name: sales of shops, counters of machines.
///
/// ```
/// # #[cfg(feature = "csv")]
/// # fn main() -> Result<(), retrograd::data::DataError> {
/// use retrograd::data::Csv;
///
/// let table = "shop,day,sold\nnorth,mon,3\nsouth,mon,7\nnorth,tue,4\n";
/// let panel = Csv::new().id("shop").parse_panel(table, "sales.csv")?;
/// assert_eq!(panel.ids(), ["north", "south"]);
/// assert_eq!(panel.series()[0].rows(), [3.0, 4.0]);
/// assert_eq!(panel.find("south").map(|s| s.len()), Some(1));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "csv"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Panel {
    id_name: Option<String>,
    ids: Vec<String>,
    series: Vec<Series>,
}

impl From<Series> for Panel {
    fn from(series: Series) -> Panel {
        Panel {
            id_name: None,
            ids: vec![String::new()],
            series: vec![series],
        }
    }
}

impl Panel {
    /// Series with their names; `id_name` is what the names are called, such as "shop".
    ///
    /// # Errors
    /// [`DataError::BadSeries`] if there are none, if two have one name, or if their columns differ.
    pub fn new(id_name: &str, series: Vec<(String, Series)>) -> Result<Panel, DataError> {
        let (ids, series): (Vec<String>, Vec<Series>) = series.into_iter().unzip();
        let bad = |what: String| Err(DataError::BadSeries(what));
        let Some(first) = series.first() else {
            return bad("a panel has at least one series".to_owned());
        };
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = ids.iter().find(|id| !seen.insert(*id)) {
            return bad(format!("two series are called \"{}\"", shown(twice)));
        }
        if let Some(other) = series.iter().position(|s| s.names() != first.names()) {
            return bad(format!(
                "the series \"{}\" has other columns than \"{}\"",
                shown(&ids[other]),
                shown(&ids[0])
            ));
        }
        Ok(Panel {
            id_name: Some(id_name.to_owned()),
            ids,
            series,
        })
    }

    /// What the names of the series are called; None for a single series without a name.
    #[must_use]
    pub fn id_name(&self) -> Option<&str> {
        self.id_name.as_deref()
    }

    /// The names of the series; that of a single series may be empty.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The series, in the order in which they first appear.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// The series of a name.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Series> {
        let at = self.ids.iter().position(|known| known == id)?;
        Some(&self.series[at])
    }

    /// The columns' names, which all series share.
    #[must_use]
    pub fn names(&self) -> &[String] {
        self.series[0].names()
    }

    /// The rows of all series together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.series.iter().map(Series::len).sum()
    }

    /// What was guessed or left out when the table was read.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        self.series[0].notes()
    }

    /// The only series.
    ///
    /// # Errors
    /// [`DataError::BadSeries`] if there are several.
    pub fn into_one(self) -> Result<Series, DataError> {
        let mut series = self.series;
        match series.len() {
            1 => Ok(series.remove(0)),
            n => Err(DataError::BadSeries(format!(
                "the table holds {n} series, and one is expected"
            ))),
        }
    }

    /// Each series through a function, under the same names.
    ///
    /// # Errors
    /// Those of the function.
    pub fn map<E>(self, each: impl FnMut(Series) -> Result<Series, E>) -> Result<Panel, E> {
        let series = self.series.into_iter().map(each);
        Ok(Panel {
            series: series.collect::<Result<_, E>>()?,
            ..self
        })
    }
}
