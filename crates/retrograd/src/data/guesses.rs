//! Notes about a table that was read: columns left out, and rows that go back in time.

use super::load::{Column, ColumnKind, CsvTable};
use super::records::cut;
use super::times::{self, DateOrder, IndexColumn};
use super::{DataError, Header, Note, Series};

/// The number of notes about columns left out; further columns are only counted.
const MOST_NOTES: usize = 20;

impl CsvTable<'_> {
    /// Notes about columns that are left out or were guessed.
    pub(super) fn notes(
        &self,
        chosen: &[usize],
        indices: &[(usize, IndexColumn)],
        label: Option<usize>,
        apart: &[usize],
    ) -> Vec<Note> {
        let mut notes: Vec<Note> = self.locale.note().into_iter().collect();
        let numeric = |c: &&Column| self.locale.number(&c.name).is_some();
        let numeric: Vec<String> = self
            .columns
            .iter()
            .filter(numeric)
            .map(|c| c.name.clone())
            .collect();
        if self.how.header == Header::Guess && !numeric.is_empty() {
            notes.push(Note::NumericNames {
                names: numeric,
                line: self.line,
            });
        }
        if let Some(label) = label.filter(|l| !indices.iter().any(|i| i.0 == *l)) {
            notes.push(Note::Labels {
                column: self.columns[label].name.clone(),
            });
        }
        if self.how.columns.is_some() {
            return notes;
        }
        let mut taken = vec![None; self.columns.len()];
        chosen.iter().for_each(|&c| taken[c] = Some(None));
        indices
            .iter()
            .for_each(|&(c, index)| taken[c] = Some(Some(index)));
        let mut more = 0;
        for (k, (column, taken)) in self.columns.iter().zip(taken).enumerate() {
            let is_label = label == Some(k);
            let name = || column.name.clone();
            let note = match (taken, &column.first) {
                (Some(None), _) => continue,
                (Some(Some(index)), _) => Note::Index {
                    column: name(),
                    unit: index.unit,
                    labels: is_label,
                },
                (None, _) if is_label || apart.contains(&k) => continue,
                (None, None) => Note::Blank { column: name() },
                (None, Some((line, text))) => match column.kind {
                    ColumnKind::Number | ColumnKind::Thousands => Note::Unnamed { position: k + 1 },
                    ColumnKind::Text | ColumnKind::Blank => Note::Text {
                        column: name(),
                        line: *line,
                        text: text.clone(),
                    },
                },
            };
            match notes.len() < MOST_NOTES {
                true => notes.push(note),
                false => more += 1,
            }
        }
        if more > 0 {
            notes.push(Note::More { columns: more });
        }
        notes
    }

    /// Rejects rows that go back in time, by the dates of the labels or, if these are no dates, by a column of times.
    pub(super) fn check_order(
        &self,
        (series, rows): (&Series, &[usize]),
        chosen: &[usize],
        indices: &[(usize, IndexColumn)],
        label: Option<usize>,
        notes: &mut Vec<Note>,
    ) -> Result<(), DataError> {
        let labels = series.labels().unwrap_or_default();
        if let Some(label) = label
            && labels.first().is_some_and(|l| times::is_date(l))
        {
            match times::order(labels.iter().map(String::as_str)) {
                DateOrder::Kept => {}
                DateOrder::Broken(row) => notes.push(Note::Unordered {
                    column: self.columns[label].name.clone(),
                    line: self.line_of(rows[row])?,
                }),
                DateOrder::Backwards(row) => return Err(self.backwards(label, rows, row)?),
            }
            return Ok(());
        }
        // Where columns are asked for by name, times among them and a label of numbers are still times.
        let falls =
            |(c, index): &(usize, IndexColumn)| (index.falls != self.how.reversed).then_some(*c);
        let two = rows.len() > 1;
        let falling = indices.iter().find_map(falls).or_else(|| {
            let asked = |k: &usize| {
                let values: Vec<f64> = series.column(*k).collect();
                times::is_falling_time(&self.columns[chosen[*k]].name, &values)
            };
            let label = label.filter(|&label| {
                let values: Option<Vec<f64>> = labels.iter().map(|l| l.parse().ok()).collect();
                let name = &self.columns[label].name;
                let index = values.and_then(|v| times::index(name, &v));
                index.is_some_and(|i| i.falls)
            });
            label.or_else(|| (0..chosen.len()).find(asked).map(|k| chosen[k]))
        });
        match falling.filter(|_| two) {
            Some(column) => Err(self.backwards(column, rows, 1)?),
            None => Ok(()),
        }
    }

    /// The error that `row` of a series, which has these rows of the file, is earlier than the row before it.
    fn backwards(&self, column: usize, rows: &[usize], row: usize) -> Result<DataError, DataError> {
        let at = |row: usize| -> Result<(u64, String), DataError> {
            let (row, mut k, mut found) = (rows[row], 0, None);
            self.each_row(|line, cells| {
                if k == row {
                    found = Some((line, cut(&cells[column])));
                }
                k += 1;
                Ok(())
            })?;
            Ok(found.expect("a row of the series is one of the file"))
        };
        let ((line, before), (_, after)) = (at(row - 1)?, at(row)?);
        Ok(DataError::Backwards {
            file: self.file.to_owned(),
            column: self.columns[column].name.clone(),
            line,
            before,
            after,
            reversed: self.how.reversed,
        })
    }

    fn line_of(&self, row: usize) -> Result<u64, DataError> {
        let (mut k, mut found) = (0, self.line);
        self.each_row(|line, _| {
            if k == row {
                found = line;
            }
            k += 1;
            Ok(())
        })?;
        Ok(found)
    }
}
