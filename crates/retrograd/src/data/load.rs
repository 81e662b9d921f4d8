//! CSV text to a [`Series`]: chooses columns, parses cells, and locates mistakes.
//!
//! Invariant: a cell of a chosen column either becomes a finite number, is a gap of which the caller said what becomes of it, or
//! stops the load; nothing is skipped. Guesses about columns are reported in the series' notes.
//!
//! The text is scanned several times, so that nothing but the text and the numbers is ever in memory.

use std::collections::HashMap;

use csv::StringRecord;

use super::category::Lists;
use super::group::Group;
use super::locale::Locale;
use super::records::{cut, is_missing, records, without_commas};
use super::times::{self, IndexColumn};
use super::{Csv, DataError, Gaps, Header, Panel};

/// The number of columns that are searched for a similar name, and the longest name that is compared.
const NEAREST_OF: usize = 1000;
const NEAREST_LENGTH: usize = 64;

/// A text and its columns.
pub(super) struct CsvTable<'t> {
    text: &'t str,
    pub(super) file: &'t str,
    pub(super) how: &'t Csv,
    pub(super) locale: Locale,
    /// The line of the header, or of the first row if there is none.
    pub(super) line: u64,
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
}

/// A column of the file.
pub(super) struct Column {
    pub(super) name: String,
    /// The first cell that is not missing, cut, and its line.
    pub(super) first: Option<(u64, String)>,
    pub(super) kind: ColumnKind,
}

/// The kind of a column's first cell that is not missing. A gap in the first row must not hide a column.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ColumnKind {
    Number,
    /// Digits in groups of three with commas between them.
    Thousands,
    Text,
    Blank,
}

/// Parses `text`; see [`Csv`] for the rules.
pub(super) fn parse(text: &str, file: &str, how: &Csv) -> Result<Panel, DataError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table = CsvTable::scan(text, file, how)?;
    let (id, time) = (table.named(&how.id)?, table.named(&how.time)?);
    let constants = table.constant_columns()?;
    // Columns that are neither numbers nor labels of rows.
    let apart: Vec<usize> = id.into_iter().chain(constants.iter().copied()).collect();
    let chosen = table.choose(&apart, time)?;
    let mut lists = table.lists(&chosen)?;
    let values = table.values(&chosen, &mut lists)?;
    let groups = table.groups(id)?;
    let constants = table.constants(&constants, &groups)?;
    let (chosen, values, indices) = table.without_indices(chosen, values, &groups)?;
    let label = time.or_else(|| table.label(&chosen, &indices, &apart));
    let labels = match label {
        Some(column) => Some(table.texts(column)?),
        None => None,
    };
    let mut notes = table.notes(&chosen, &indices, label, &apart);
    let mut series = Vec::with_capacity(groups.len());
    let mut filled = vec![0; chosen.len()];
    for group in groups {
        let one = table.series(&chosen, &values, &group, &mut filled, &lists)?;
        let one = match (label, &labels) {
            (Some(column), Some(labels)) => {
                let labels = group.rows.iter().map(|&row| labels[row].clone()).collect();
                one.with_labels(&table.columns[column].name, labels)?
            }
            _ => one,
        };
        table.check_order((&one, &group.rows), &chosen, &indices, label, &mut notes)?;
        series.push((group.id, one));
    }
    table.note_gaps(&chosen, &filled, &mut notes);
    table.note_categories(&chosen, &lists, &mut notes);
    match id {
        Some(id) => {
            let noted = series
                .into_iter()
                .map(|(name, s)| (name, s.with_notes(notes.clone())));
            let panel = Panel::new(&table.columns[id].name, noted.collect())?;
            Ok(panel.with_constants(constants))
        }
        None => {
            let (_, only) = series.remove(0);
            Ok(Panel::from(only.with_notes(notes)).with_constants(constants))
        }
    }
}

impl<'t> CsvTable<'t> {
    /// Scans the text once, for the header, the number of rows, and the first cell of each column; all rows must be as long as the
    /// header.
    pub(super) fn scan(
        text: &'t str,
        file: &'t str,
        how: &'t Csv,
    ) -> Result<CsvTable<'t>, DataError> {
        let mut table = CsvTable {
            text,
            file,
            how,
            locale: Locale::of(text, how),
            line: 0,
            columns: Vec::new(),
            rows: 0,
        };
        let mut begun = false;
        let locale = table.locale;
        records(text, file, locale.separator, |line, cells| {
            let is_header = !begun && how.header != Header::None;
            if !begun {
                begun = true;
                table.line = line;
                let column = |(k, cell): (usize, &str)| Column {
                    name: match is_header {
                        true => cell.to_owned(),
                        false => (k + 1).to_string(),
                    },
                    first: None,
                    kind: ColumnKind::Blank,
                };
                table.columns = cells.iter().enumerate().map(column).collect();
            }
            if is_header {
                return Ok(());
            }
            table.rows += 1;
            let unknown = |(column, _): &(&mut Column, &str)| column.first.is_none();
            for (column, cell) in table.columns.iter_mut().zip(cells).filter(unknown) {
                if !is_missing(cell) {
                    column.kind = ColumnKind::of(cell, &locale);
                    column.first = Some((line, cut(cell)));
                }
            }
            Ok(())
        })?;
        let file = || file.to_owned();
        if !begun {
            return Err(DataError::Empty { file: file() });
        }
        table.check_header()?;
        if table.rows == 0 {
            return Err(DataError::NoRows {
                file: file(),
                line: table.line,
            });
        }
        Ok(table)
    }

    fn check_header(&self) -> Result<(), DataError> {
        let names = || self.columns.iter().map(|c| &*c.name);
        if self.how.header == Header::Guess {
            let numbers = names().all(|name| self.locale.number(name).is_some());
            if numbers || self.header_is_data() {
                let first: Vec<String> = names().take(12).map(cut).collect();
                return Err(DataError::NoHeader {
                    file: self.file.to_owned(),
                    line: self.line,
                    found: cut(&first.join(", ")),
                    numbers,
                });
            }
        }
        let mut seen = HashMap::with_capacity(self.columns.len());
        for (second, name) in names().enumerate().filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = seen.insert(name, second) {
                return Err(DataError::DuplicateColumn {
                    file: self.file.to_owned(),
                    line: self.line,
                    name: name.to_owned(),
                    first: first + 1,
                    second: second + 1,
                });
            }
        }
        Ok(())
    }

    /// Whether the first line looks like the rows below: numbers above numbers, dates above dates, and no name above either.
    fn header_is_data(&self) -> bool {
        let mut like = 0;
        for Column { name, first, kind } in &self.columns {
            let date = first.as_ref().is_some_and(|(_, cell)| times::is_date(cell));
            let same = match kind {
                ColumnKind::Number => self.locale.number(name).is_some(),
                ColumnKind::Thousands => without_commas(name).is_some(),
                ColumnKind::Text if date => times::is_date(name),
                ColumnKind::Text | ColumnKind::Blank => continue,
            };
            match same {
                true => like += 1,
                false if is_missing(name) => {}
                false => return false,
            }
        }
        like > 0
    }

    /// The requested columns or, by default, all named columns of numbers but these.
    fn choose(&self, apart: &[usize], time: Option<usize>) -> Result<Vec<usize>, DataError> {
        let also = self.also()?;
        let chosen: Vec<usize> = match &self.how.columns {
            Some(requested) => {
                let mut all = self.find(requested)?;
                let more: Vec<usize> = also.into_iter().filter(|c| !all.contains(c)).collect();
                all.extend(more);
                all
            }
            None => (0..self.columns.len())
                .filter(|&c| {
                    let column = &self.columns[c];
                    let numbers = matches!(column.kind, ColumnKind::Number | ColumnKind::Thousands)
                        && !column.name.is_empty();
                    let other = apart.contains(&c) || time == Some(c);
                    also.contains(&c) || (numbers && !other)
                })
                .collect(),
        };
        match chosen.is_empty() {
            true => Err(DataError::NoNumericColumn {
                file: self.file.to_owned(),
                columns: self.names(),
            }),
            false => Ok(chosen),
        }
    }

    /// The columns that are read besides.
    fn also(&self) -> Result<Vec<usize>, DataError> {
        let mut all = Vec::new();
        for names in [&self.how.also, &self.how.categorical, &self.how.texts] {
            let found = match names.is_empty() {
                true => Vec::new(),
                false => self.find(names)?,
            };
            found.into_iter().for_each(|c| {
                if !all.contains(&c) {
                    all.push(c);
                }
            });
        }
        Ok(all)
    }

    /// The columns that are the same in all rows of a series.
    fn constant_columns(&self) -> Result<Vec<usize>, DataError> {
        let there = |name: &&String| self.columns.iter().any(|c| c.name == name.trim());
        let optional = self.how.optional.iter().filter(there);
        let names: Vec<String> = self.how.constant.iter().chain(optional).cloned().collect();
        match names.is_empty() {
            true => Ok(Vec::new()),
            false => self.find(&names),
        }
    }

    /// The place of a column that the caller names.
    fn named(&self, name: &Option<String>) -> Result<Option<usize>, DataError> {
        let found = name
            .as_ref()
            .map(|name| self.find(std::slice::from_ref(name)));
        Ok(found.transpose()?.map(|found| found[0]))
    }

    fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }

    pub(super) fn find(&self, requested: &[String]) -> Result<Vec<usize>, DataError> {
        if requested.is_empty() {
            return Err(DataError::NoColumnRequested);
        }
        let places = self.columns.iter().enumerate().rev();
        let places: HashMap<&str, usize> = places.map(|(k, c)| (&*c.name, k)).collect();
        let mut taken = vec![false; self.columns.len()];
        let place = |name: &String| {
            let Some(&column) = places.get(name.trim()) else {
                return Err(DataError::UnknownColumn {
                    file: self.file.to_owned(),
                    name: name.clone(),
                    nearest: self.nearest(name),
                    columns: self.names(),
                });
            };
            match std::mem::replace(&mut taken[column], true) {
                true => Err(DataError::RepeatedRequest { name: name.clone() }),
                false => Ok(column),
            }
        };
        requested.iter().map(place).collect()
    }

    /// The column whose name differs in at most a third of its letters, ignoring case.
    fn nearest(&self, name: &str) -> Option<String> {
        let wanted = name.trim().to_lowercase();
        if wanted.len() > NEAREST_LENGTH {
            return None;
        }
        let names = self.columns.iter().take(NEAREST_OF).map(|c| &c.name);
        names
            .filter(|n| n.len() <= NEAREST_LENGTH)
            .map(|n| (strsim::osa_distance(&wanted, &n.to_lowercase()), n))
            .filter(|(distance, n)| *distance <= n.chars().count().div_ceil(3))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, n)| n.clone())
    }

    /// The numbers of these columns, `[rows, n]`.
    fn values(&self, chosen: &[usize], lists: &mut Lists) -> Result<Vec<f64>, DataError> {
        let count = self.rows.saturating_mul(chosen.len());
        let mut values = Vec::new();
        self.reserve(&mut values, count)?;
        self.each_row(|line, cells| {
            for &column in chosen {
                let cell = &cells[column];
                values.push(match lists.of(column) {
                    Some(list) => self.category(line, cell, column, list)?,
                    None => self.number(line, cell, column)?,
                });
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// The cells of a column, `[rows]`.
    pub(super) fn texts(&self, column: usize) -> Result<Vec<String>, DataError> {
        let mut texts = Vec::new();
        self.reserve(&mut texts, self.rows)?;
        self.each_row(|_, cells| {
            texts.push(cells[column].to_owned());
            Ok(())
        })?;
        Ok(texts)
    }

    fn reserve<T>(&self, values: &mut Vec<T>, count: usize) -> Result<(), DataError> {
        values
            .try_reserve_exact(count)
            .map_err(|_| DataError::NoMemory {
                what: format!("{}: {} rows", self.file, self.rows),
                bytes: (count as u64).saturating_mul(size_of::<T>() as u64),
                limit: None,
            })
    }

    pub(super) fn each_row(
        &self,
        mut row: impl FnMut(u64, &StringRecord) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut skipped = self.how.header == Header::None;
        records(
            self.text,
            self.file,
            self.locale.separator,
            |line, cells| match std::mem::replace(&mut skipped, true) {
                true => row(line, cells),
                false => Ok(()),
            },
        )
    }

    fn number(&self, line: u64, cell: &str, column: usize) -> Result<f64, DataError> {
        let (file, column) = (
            || self.file.to_owned(),
            || self.columns[column].name.clone(),
        );
        let nan = self.how.gaps != Gaps::Refuse && cell.eq_ignore_ascii_case("nan");
        if is_missing(cell) || nan {
            let (file, column) = (file(), column());
            return match self.how.gaps {
                Gaps::Refuse => Err(DataError::Missing { file, line, column }),
                Gaps::Forward | Gaps::Linear | Gaps::Mask => Ok(f64::NAN),
            };
        }
        let value = self.locale.number(cell);
        if let Some(value) = value.filter(|v| v.is_finite()) {
            return Ok(value);
        }
        let (file, column, text) = (file(), column(), cut(cell));
        Err(match (value, self.locale.is_grouped(cell)) {
            (Some(_), _) => DataError::NotFinite {
                file,
                line,
                column,
                text,
            },
            (None, true) => DataError::Thousands {
                file,
                line,
                column,
                text,
            },
            (None, false) => DataError::NotANumber {
                file,
                line,
                column,
                text,
            },
        })
    }

    /// The columns to forecast: if none was requested by name, leaves out those that only count these rows or time.
    #[expect(clippy::type_complexity, reason = "columns, their numbers, indices")]
    fn without_indices(
        &self,
        chosen: Vec<usize>,
        values: Vec<f64>,
        groups: &[Group],
    ) -> Result<(Vec<usize>, Vec<f64>, Vec<(usize, IndexColumn)>), DataError> {
        if self.how.columns.is_some() {
            return Ok((chosen, values, Vec::new()));
        }
        let (n, also) = (chosen.len(), self.also()?);
        let index = |k: usize| {
            if also.contains(&chosen[k]) {
                return None;
            }
            // In the file's order: how a count that falls is refused depends on it.
            let of = |Group { rows, .. }: &Group| {
                let values: Vec<f64> = match self.how.reversed {
                    true => rows.iter().rev().map(|row| values[row * n + k]).collect(),
                    false => rows.iter().map(|row| values[row * n + k]).collect(),
                };
                times::index(&self.columns[chosen[k]].name, &values)
            };
            // What happens to count in one series is data if it does not in most of them.
            let most = groups.iter().map(|g| g.rows.len()).max().unwrap_or(0);
            let longest = groups.iter().find(|g| g.rows.len() == most);
            let index = longest.and_then(of)?;
            let enough = |g: &&Group| g.rows.len() >= most.min(times::EVEN_ROWS);
            let counts = groups.iter().filter(enough).filter(|g| of(g).is_some());
            (2 * counts.count() >= groups.iter().filter(enough).count()).then_some(index)
        };
        let found: Vec<Option<IndexColumn>> = (0..n).map(index).collect();
        if found.iter().all(Option::is_none) {
            return Ok((chosen, values, Vec::new()));
        }
        if found.iter().all(Option::is_some) {
            return Err(DataError::OnlyIndices {
                file: self.file.to_owned(),
                columns: chosen
                    .iter()
                    .map(|&c| self.columns[c].name.clone())
                    .collect(),
            });
        }
        let data = |(k, _): &(usize, f64)| found[k % n].is_none();
        let values = values.into_iter().enumerate().filter(data);
        let indices = chosen.iter().zip(&found);
        let indices = indices.filter_map(|(&c, index)| Some((c, (*index)?)));
        let left = chosen.iter().zip(&found).filter(|(_, i)| i.is_none());
        Ok((
            left.map(|(&c, _)| c).collect(),
            values.map(|(_, v)| v).collect(),
            indices.collect(),
        ))
    }

    /// The column that labels the rows. A file such as "YEAR,SUNACTIVITY" has no text column.
    fn label(
        &self,
        chosen: &[usize],
        indices: &[(usize, IndexColumn)],
        apart: &[usize],
    ) -> Option<usize> {
        let mut taken = vec![false; self.columns.len()];
        chosen.iter().for_each(|&c| taken[c] = true);
        apart.iter().for_each(|&c| taken[c] = true);
        let text = |c: &usize| self.columns[*c].kind == ColumnKind::Text && !taken[*c];
        let text = (0..self.columns.len()).find(text);
        text.or_else(|| indices.first().map(|i| i.0))
            .or_else(|| (!taken[0]).then_some(0))
    }
}

impl ColumnKind {
    fn of(cell: &str, locale: &Locale) -> ColumnKind {
        match (locale.number(cell), locale.is_grouped(cell)) {
            (Some(_), _) => ColumnKind::Number,
            (None, true) => ColumnKind::Thousands,
            (None, false) => ColumnKind::Text,
        }
    }
}
