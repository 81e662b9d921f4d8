//! [`Panel`]: several series of the same columns.

use super::shown::shown;
use super::{DataError, Note, Series, Spacing};

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
    constants: Vec<Constant>,
}

/// A text of each series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) name: String,
    /// One of each series.
    pub(super) texts: Vec<String>,
    /// The file and the line of each series, to find it by; empty for what was not read from a table.
    pub(super) lines: Vec<String>,
}

impl Constant {
    /// That of some of the series.
    fn of(&self, kept: &[usize]) -> Constant {
        let of = |all: &[String]| kept.iter().filter_map(|&k| all.get(k).cloned()).collect();
        Constant {
            name: self.name.clone(),
            texts: of(&self.texts),
            lines: of(&self.lines),
        }
    }
}

impl From<Series> for Panel {
    fn from(series: Series) -> Panel {
        Panel {
            id_name: None,
            ids: vec![String::new()],
            series: vec![series],
            constants: Vec::new(),
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
            constants: Vec::new(),
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

    /// The panel with a text of each series, such as a label.
    ///
    /// ```
    /// use retrograd::data::{Panel, Series};
    ///
    /// let series = |rows: &[f64]| Series::new(vec!["level".to_owned()], rows.to_vec());
    /// let all = vec![("a".to_owned(), series(&[0.1, 0.3])?), ("b".to_owned(), series(&[0.2])?)];
    /// let clips = Panel::new("clip", all)?.with_constant("word", ["yes", "no"].map(str::to_owned).to_vec())?;
    /// assert_eq!(clips.constant("word").unwrap()[1], "no");
    /// assert!(clips.constant("speaker").is_none());
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::SliceLength`] unless there is one text for each series.
    pub fn with_constant(mut self, name: &str, texts: Vec<String>) -> Result<Panel, DataError> {
        if texts.len() != self.series.len() {
            return Err(DataError::SliceLength {
                what: format!("\"{}\", one of each series", shown(name)),
                found: texts.len(),
                expected: self.series.len(),
            });
        }
        self.constants.retain(|c| c.name != name);
        self.constants.push(Constant {
            name: name.to_owned(),
            texts,
            lines: Vec::new(),
        });
        Ok(self)
    }

    /// The texts of a column that is the same in all rows of a series, `[series]`: see [`Csv::constant`](super::Csv::constant).
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<&[String]> {
        let found = self.constants.iter().find(|c| c.name == name)?;
        Some(&found.texts)
    }

    /// The names of such columns.
    pub fn constants(&self) -> impl Iterator<Item = &str> {
        self.constants.iter().map(|c| &*c.name)
    }

    /// Where a series stands, for a message: its name, with file and line if it was read from a table.
    #[must_use]
    pub fn place(&self, series: usize) -> String {
        let id = format!("\"{}\"", shown(&self.ids[series]));
        let mut lines = self.constants.iter().filter_map(|c| c.lines.get(series));
        match lines.next() {
            Some(line) => format!("{id} ({line})"),
            None => id,
        }
    }

    #[cfg(feature = "csv")]
    pub(super) fn with_constants(self, constants: Vec<Constant>) -> Panel {
        Panel { constants, ..self }
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

    /// The rows of a season by the labels of the first series, see [`Spacing::season`].
    #[must_use]
    pub fn season(&self) -> Option<usize> {
        Spacing::of(self.series[0].labels()?)?.season()
    }

    /// The first rows of each series, as many as given for it; series of which that is none are left out.
    ///
    /// # Errors
    /// Those of [`Series::first`]; [`DataError::BadSeries`] if no rows are left.
    pub fn before(&self, rows: &[usize]) -> Result<Panel, DataError> {
        let (mut ids, mut series, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for (k, ((id, own), &rows)) in self.ids.iter().zip(&self.series).zip(rows).enumerate() {
            if rows > 0 {
                ids.push(id.clone());
                series.push(own.first(rows)?);
                kept.push(k);
            }
        }
        if series.is_empty() {
            return Err(DataError::BadSeries("no series has rows before".to_owned()));
        }
        let id_name = self.id_name.clone();
        let constants = self.constants.iter().map(|c| c.of(&kept));
        Ok(Panel {
            id_name,
            ids,
            series,
            constants: constants.collect(),
        })
    }

    /// The columns of a single series as series of one column each: a table with a column for each shop instead of a row for each shop
    /// and day. `id_name` is what the columns' names are called, such as "shop", and `name` what is counted, such as "sold".
    ///
    /// ```
    /// use retrograd::data::{Panel, Series};
    ///
    /// let wide = Series::new(vec!["north".into(), "south".into()], vec![3.0, 7.0, 4.0, 8.0])?;
    /// let panel = Panel::from(wide).columns_as_series("shop", "sold")?;
    /// assert_eq!(panel.ids(), ["north", "south"]);
    /// assert_eq!(panel.series()[1].rows(), [7.0, 8.0]);
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::BadSeries`] if there are several series already.
    pub fn columns_as_series(self, id_name: &str, name: &str) -> Result<Panel, DataError> {
        let one = self.into_one()?;
        let of = |column: usize| {
            let id = one.names()[column].clone();
            let series = one.select(std::slice::from_ref(&id))?;
            Ok((id, series.renamed(vec![name.to_owned()])))
        };
        let all = (0..one.columns()).map(of).collect::<Result<_, _>>()?;
        Panel::new(id_name, all)
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
