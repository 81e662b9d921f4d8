//! Columns of categories: the texts of their cells, and the numbers that stand for them.

use std::collections::HashMap;

use super::load::{ColumnKind, CsvTable};
use super::records::is_missing;
use super::{DataError, Gaps, Note, Series};

/// The categories of a table's columns, by column.
pub(super) struct Lists(Vec<(usize, List)>);

/// The categories of a column, in the order in which they first appear.
#[derive(Default)]
pub(super) struct List {
    texts: Vec<String>,
    places: HashMap<String, usize>,
}

impl Lists {
    pub(super) fn of(&mut self, column: usize) -> Option<&mut List> {
        let found = self.0.iter_mut().find(|(c, _)| *c == column);
        found.map(|(_, list)| list)
    }

    fn texts(&self, column: usize) -> Option<&[String]> {
        let found = self.0.iter().find(|(c, _)| *c == column);
        found.map(|(_, list)| &list.texts[..])
    }

    /// Whether a column is one of categories.
    pub(super) fn has(&self, column: usize) -> bool {
        self.texts(column).is_some()
    }

    /// A series of these columns with what their numbers stand for.
    pub(super) fn name(&self, series: Series, chosen: &[usize]) -> Result<Series, DataError> {
        let names = series.names().to_vec();
        let mut out = series;
        for (column, name) in chosen.iter().zip(&names) {
            if let Some(texts) = self.texts(*column) {
                out = out.with_categories(name, texts)?;
            }
        }
        Ok(out)
    }
}

impl CsvTable<'_> {
    /// The lists of those of these columns that are categories, empty yet.
    pub(super) fn lists(&self, chosen: &[usize]) -> Result<Lists, DataError> {
        let named = |names: &[String], column: usize| {
            let name = &self.columns[column].name;
            names.iter().any(|n| n.trim() == name)
        };
        let is = |column: &usize| {
            named(&self.how.categorical, *column)
                || (named(&self.how.texts, *column)
                    && self.columns[*column].kind == ColumnKind::Text)
        };
        let lists = chosen.iter().copied().filter(|c| is(c));
        Ok(Lists(lists.map(|c| (c, List::default())).collect()))
    }

    /// The number of a cell's category. A number is the same category however it is written.
    pub(super) fn category(
        &self,
        line: u64,
        cell: &str,
        column: usize,
        list: &mut List,
    ) -> Result<f64, DataError> {
        if is_missing(cell) {
            return match self.how.gaps {
                Gaps::Refuse => Err(DataError::Missing {
                    file: self.file.to_owned(),
                    line,
                    column: self.columns[column].name.clone(),
                }),
                Gaps::Forward | Gaps::Linear | Gaps::Mask => Ok(f64::NAN),
            };
        }
        let number = self.locale.number(cell).filter(|v| v.is_finite());
        let text = number.map_or_else(|| cell.to_owned(), |v| v.to_string());
        let next = list.texts.len();
        let place = *list.places.entry(text).or_insert_with_key(|text| {
            list.texts.push(text.clone());
            next
        });
        Ok(place as f64)
    }

    /// Tells which columns are categories.
    pub(super) fn note_categories(&self, chosen: &[usize], lists: &Lists, notes: &mut Vec<Note>) {
        for &column in chosen {
            if let Some(texts) = lists.texts(column) {
                notes.push(Note::Categories {
                    column: self.columns[column].name.clone(),
                    count: texts.len(),
                });
            }
        }
    }
}
