//! The rows of a table as series: each with its rows in the order of time, its gaps filled.

use std::collections::HashMap;

use super::category::Lists;
use super::gaps::fill;
use super::load::CsvTable;
use super::panel::Constant;
use super::records::cut;
use super::{DataError, Gaps, Note, Series};

/// The rows of the table that make a series, in the order of time.
pub(super) struct Group {
    pub(super) id: String,
    pub(super) rows: Vec<usize>,
}

impl CsvTable<'_> {
    /// The series of the table, in the order in which they first appear; one without a name if no column tells them apart.
    pub(super) fn groups(&self, id: Option<usize>) -> Result<Vec<Group>, DataError> {
        let mut groups: Vec<Group> = match id {
            None => vec![Group {
                id: String::new(),
                rows: (0..self.rows).collect(),
            }],
            Some(column) => {
                let mut groups: Vec<Group> = Vec::new();
                let mut known: HashMap<String, usize> = HashMap::new();
                for (row, id) in self.texts(column)?.into_iter().enumerate() {
                    let at = *known.entry(id).or_insert_with_key(|id| {
                        groups.push(Group {
                            id: id.clone(),
                            rows: Vec::new(),
                        });
                        groups.len() - 1
                    });
                    groups[at].rows.push(row);
                }
                groups
            }
        };
        if self.how.reversed {
            groups.iter_mut().for_each(|g| g.rows.reverse());
        }
        Ok(groups)
    }

    /// The texts of columns that are the same in all rows of a series.
    pub(super) fn constants(
        &self,
        columns: &[usize],
        groups: &[Group],
    ) -> Result<Vec<Constant>, DataError> {
        let mut group_of = vec![0; self.rows];
        for (k, group) in groups.iter().enumerate() {
            group.rows.iter().for_each(|&row| group_of[row] = k);
        }
        // Of each column and series, the text and the line of its first row.
        let mut found: Vec<Vec<Option<(String, u64)>>> =
            vec![vec![None; groups.len()]; columns.len()];
        let mut row = 0;
        self.each_row(|line, cells| {
            let group = group_of[row];
            row += 1;
            for (&column, found) in columns.iter().zip(&mut found) {
                let text = &cells[column];
                let Some((before, first)) = &found[group] else {
                    found[group] = Some((text.to_owned(), line));
                    continue;
                };
                if before != text {
                    let id = &groups[group].id;
                    return Err(DataError::NotConstant {
                        file: self.file.to_owned(),
                        line,
                        column: self.columns[column].name.clone().into(),
                        id: (!id.is_empty()).then(|| id.clone()),
                        found: cut(text).into(),
                        first: *first,
                        before: cut(before).into(),
                    });
                }
            }
            Ok(())
        })?;
        let constants = columns.iter().zip(found).map(|(&column, found)| {
            let (texts, lines) = found.into_iter().flatten().unzip::<_, u64, _, Vec<_>>();
            let place = |line| format!("{}, line {line}", self.file);
            Constant {
                name: self.columns[column].name.clone(),
                texts,
                lines: lines.into_iter().map(place).collect(),
            }
        });
        Ok(constants.collect())
    }

    /// A series of these columns; counts the gaps that were filled in each.
    pub(super) fn series(
        &self,
        chosen: &[usize],
        values: &[f64],
        group: &Group,
        filled: &mut [usize],
        lists: &Lists,
    ) -> Result<Series, DataError> {
        let n = chosen.len();
        let rows = group.rows.iter();
        let mut own: Vec<f64> = rows
            .flat_map(|row| values[row * n..][..n].iter().copied())
            .collect();
        let missing: Vec<bool> = own.iter().map(|v| v.is_nan()).collect();
        for (k, &column) in chosen.iter().enumerate() {
            let gaps = missing.iter().skip(k).step_by(n).filter(|m| **m).count();
            let how = match lists.has(column) {
                // There is nothing between two categories.
                true => Gaps::Forward,
                false => self.how.gaps,
            };
            if gaps > 0 && !fill(&mut own, k, n, how) {
                return Err(DataError::NothingToFill {
                    file: self.file.to_owned(),
                    column: self.columns[column].name.clone(),
                    id: (!group.id.is_empty()).then(|| group.id.clone()),
                });
            }
            filled[k] += gaps;
        }
        let names = chosen.iter().map(|&c| self.columns[c].name.clone());
        let series = lists.name(Series::new(names.collect(), own)?, chosen)?;
        match self.how.gaps {
            Gaps::Mask => series.with_missing(missing),
            Gaps::Refuse | Gaps::Forward | Gaps::Linear => Ok(series),
        }
    }

    /// Tells the gaps that were filled.
    pub(super) fn note_gaps(&self, chosen: &[usize], filled: &[usize], notes: &mut Vec<Note>) {
        for (&column, &gaps) in chosen.iter().zip(filled).filter(|(_, gaps)| **gaps > 0) {
            notes.push(Note::Filled {
                column: self.columns[column].name.clone(),
                gaps,
                how: self.how.gaps,
            });
        }
    }
}
