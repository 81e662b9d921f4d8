//! CSV text to a [`Series`]: which columns, which line, and what is wrong with which cell.
//!
//! Invariant: a cell of a chosen column either becomes a finite number or stops the load; nothing is skipped or filled. What
//! is guessed about a column is in the series' notes.
//!
//! The text is gone through several times, so that no more than it and the numbers is ever in memory.

use std::borrow::Cow;
use std::collections::HashMap;

use csv::StringRecord;

use super::shown::printable;
use super::times::{self, Index, Order};
use super::{Csv, DataError, Header, Note, Series};

/// Notes about columns that are left out, before the rest is only counted.
const MOST_NOTES: usize = 20;
/// Columns that are looked through for a name that is nearly the one that was asked for, and the longest name there.
const NEAREST_OF: usize = 1000;
const NEAREST_LENGTH: usize = 64;

/// A text with what is known of its columns.
struct Table<'t> {
    text: &'t str,
    file: &'t str,
    how: &'t Csv,
    /// The line of the header, or of the first row if there is none.
    line: u64,
    columns: Vec<Column>,
    rows: usize,
}

/// A column of the file.
struct Column {
    name: String,
    /// The first cell that is not missing, cut, and its line.
    first: Option<(u64, String)>,
    kind: Kind,
}

/// What a column's first cell that is not missing is. A gap in the first row must not hide a column.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Number,
    /// Digits in groups of three with commas between them.
    Thousands,
    Text,
    Blank,
}

/// Parses `text`; see [`Csv`] for the rules.
pub(super) fn parse(text: &str, file: &str, how: &Csv) -> Result<Series, DataError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table = Table::scan(text, file, how)?;
    let chosen = table.choose()?;
    let values = table.values(&chosen)?;
    let (chosen, values, indices) = table.without_indices(chosen, values)?;
    let label = table.label(&chosen, &indices);
    let labels = match label {
        Some(column) => Some(table.texts(column)?),
        None => None,
    };

    let mut notes = table.notes(&chosen, &indices, label);
    let names = chosen.iter().map(|&c| table.columns[c].name.clone());
    let mut series = Series::new(names.collect(), values)?;
    if let (Some(column), Some(labels)) = (label, labels) {
        series = series.with_labels(&table.columns[column].name, labels)?;
    }
    if how.reversed {
        series = series.reversed();
    }
    table.check_order(&series, &chosen, &indices, label, &mut notes)?;
    Ok(series.with_notes(notes))
}

impl<'t> Table<'t> {
    /// Goes through the text once: the header, the number of rows, all as long as it, and what each column begins with.
    fn scan(text: &'t str, file: &'t str, how: &'t Csv) -> Result<Table<'t>, DataError> {
        let mut table = Table {
            text,
            file,
            how,
            line: 0,
            columns: Vec::new(),
            rows: 0,
        };
        let mut begun = false;
        records(text, file, |line, cells| {
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
                    kind: Kind::Blank,
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
                    column.kind = Kind::of(cell, how);
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
            let numbers = names().all(|name| name.parse::<f64>().is_ok());
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

    /// Whether the first line is like the rows below: numbers above numbers, dates above dates, and no name above either.
    fn header_is_data(&self) -> bool {
        let mut like = 0;
        for Column { name, first, kind } in &self.columns {
            let date = first.as_ref().is_some_and(|(_, cell)| times::is_date(cell));
            let same = match kind {
                Kind::Number => name.parse::<f64>().is_ok(),
                Kind::Thousands => without_commas(name).is_some(),
                Kind::Text if date => times::is_date(name),
                Kind::Text | Kind::Blank => continue,
            };
            match same {
                true => like += 1,
                false if is_missing(name) => {}
                false => return false,
            }
        }
        like > 0
    }

    /// The columns that are asked for or, without, all named ones of numbers.
    fn choose(&self) -> Result<Vec<usize>, DataError> {
        let chosen = match &self.how.columns {
            Some(requested) => self.find(requested)?,
            None => (0..self.columns.len())
                .filter(|&c| {
                    let column = &self.columns[c];
                    matches!(column.kind, Kind::Number | Kind::Thousands) && !column.name.is_empty()
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

    fn names(&self) -> Vec<String> {
        self.columns.iter().map(|c| c.name.clone()).collect()
    }

    fn find(&self, requested: &[String]) -> Result<Vec<usize>, DataError> {
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

    /// The column whose name is at most a third of its letters away, case aside.
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
    fn values(&self, chosen: &[usize]) -> Result<Vec<f64>, DataError> {
        let count = self.rows.saturating_mul(chosen.len());
        let mut values = Vec::new();
        self.reserve(&mut values, count)?;
        self.each_row(|line, cells| {
            for &column in chosen {
                values.push(self.number(line, &cells[column], column)?);
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// The cells of a column, `[rows]`.
    fn texts(&self, column: usize) -> Result<Vec<String>, DataError> {
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

    fn each_row(
        &self,
        mut row: impl FnMut(u64, &StringRecord) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut skipped = self.how.header == Header::None;
        records(
            self.text,
            self.file,
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
        if is_missing(cell) {
            let (file, column) = (file(), column());
            return Err(DataError::Missing { file, line, column });
        }
        let bare = match without_commas(cell) {
            Some(bare) if self.how.thousands => Cow::Owned(bare),
            _ => Cow::Borrowed(cell),
        };
        let value = bare.parse::<f64>();
        if let Ok(value) = value
            && value.is_finite()
        {
            return Ok(value);
        }
        let (file, column, text) = (file(), column(), cut(cell));
        Err(match (value, without_commas(cell)) {
            (Ok(_), _) => DataError::NotFinite {
                file,
                line,
                column,
                text,
            },
            (Err(_), Some(_)) => DataError::Thousands {
                file,
                line,
                column,
                text,
            },
            (Err(_), None) => DataError::NotANumber {
                file,
                line,
                column,
                text,
            },
        })
    }

    /// What is to be forecast: without those that only count rows or time, where no column is asked for by name.
    #[expect(clippy::type_complexity, reason = "columns, their numbers, indices")]
    fn without_indices(
        &self,
        chosen: Vec<usize>,
        values: Vec<f64>,
    ) -> Result<(Vec<usize>, Vec<f64>, Vec<(usize, Index)>), DataError> {
        if self.how.columns.is_some() {
            return Ok((chosen, values, Vec::new()));
        }
        let n = chosen.len();
        let index = |k: usize| {
            let values: Vec<f64> = values.iter().skip(k).step_by(n).copied().collect();
            times::index(&self.columns[chosen[k]].name, &values)
        };
        let found: Vec<Option<Index>> = (0..n).map(index).collect();
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
    fn label(&self, chosen: &[usize], indices: &[(usize, Index)]) -> Option<usize> {
        let mut taken = vec![false; self.columns.len()];
        chosen.iter().for_each(|&c| taken[c] = true);
        let text = |c: &usize| self.columns[*c].kind == Kind::Text && !taken[*c];
        let text = (0..self.columns.len()).find(text);
        text.or_else(|| indices.first().map(|i| i.0))
            .or_else(|| (!taken[0]).then_some(0))
    }

    /// What is left out of all columns, or guessed.
    fn notes(
        &self,
        chosen: &[usize],
        indices: &[(usize, Index)],
        label: Option<usize>,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        let numeric = |c: &&Column| c.name.parse::<f64>().is_ok();
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
                    counts: index.counts,
                    labels: is_label,
                },
                (None, _) if is_label => continue,
                (None, None) => Note::Blank { column: name() },
                (None, Some((line, text))) => match column.kind {
                    Kind::Number | Kind::Thousands => Note::Unnamed { position: k + 1 },
                    Kind::Text | Kind::Blank => Note::Text {
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

    /// Refuses rows that go back in time, as the labels' dates say or, where they are none, a column of times.
    fn check_order(
        &self,
        series: &Series,
        chosen: &[usize],
        indices: &[(usize, Index)],
        label: Option<usize>,
        notes: &mut Vec<Note>,
    ) -> Result<(), DataError> {
        let labels = series.labels().unwrap_or_default();
        if let Some(label) = label
            && labels.first().is_some_and(|l| times::is_date(l))
        {
            match times::order(labels.iter().map(String::as_str)) {
                Order::Kept => {}
                Order::Broken(row) => notes.push(Note::Unordered {
                    column: self.columns[label].name.clone(),
                    line: self.line_of(row)?,
                }),
                Order::Backwards(row) => return Err(self.backwards(label, row)?),
            }
            return Ok(());
        }
        // Where columns are asked for by name, times among them and a label of numbers are still times.
        let falls = |(c, index): &(usize, Index)| (index.falls != self.how.reversed).then_some(*c);
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
        match falling {
            Some(column) => Err(self.backwards(column, 1)?),
            None => Ok(()),
        }
    }

    /// The error that `row` is earlier than the row before it.
    fn backwards(&self, column: usize, row: usize) -> Result<DataError, DataError> {
        let at = |row| -> Result<(u64, String), DataError> {
            let (row, mut k, mut found) = (self.place(row), 0, None);
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

    /// Where a row of the series stands among those of the file.
    fn place(&self, row: usize) -> usize {
        match self.how.reversed {
            true => self.rows - 1 - row,
            false => row,
        }
    }

    fn line_of(&self, row: usize) -> Result<u64, DataError> {
        let (row, mut k, mut found) = (self.place(row), 0, self.line);
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

/// Calls `each` with the lines and cells of the header and the data rows, all of the header's length.
fn records(
    text: &str,
    file: &str,
    mut each: impl FnMut(u64, &StringRecord) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut lines = Lines::new(text);
    let mut cells = StringRecord::new();
    let mut expected = None;
    loop {
        let more = reader.read_record(&mut cells);
        if !more.map_err(|error| DataError::Malformed {
            file: file.to_owned(),
            cause: error.to_string(),
        })? {
            return Ok(());
        }
        let start = cells.position().map_or(0, csv::Position::byte) as usize;
        let line = lines.line_of_record(start);
        let Some(expected) = expected else {
            if cells.iter().any(|cell| !cell.is_empty()) {
                expected = Some(cells.len());
                each(line, &cells)?;
            }
            continue;
        };
        // A line of spaces reads as one empty cell: a blank line to the eye, and treated as one.
        if expected > 1 && cells.len() == 1 && cells[0].is_empty() {
            continue;
        }
        if cells.len() != expected {
            return Err(DataError::RowLength {
                file: file.to_owned(),
                line,
                found: cells.len(),
                expected,
            });
        }
        each(line, &cells)?;
    }
}

/// Counts physical lines. The csv crate's own line number is that of the end of the record before, which is wrong
/// behind blank lines and the line feed of CRLF.
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            counted: 0,
            line: 1,
        }
    }

    /// The line of the first byte at or after `start` that is no line end. Calls must come in the text's order.
    fn line_of_record(&mut self, start: usize) -> u64 {
        let blank = self.bytes[start..]
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        let here = start + blank;
        for at in self.counted..here {
            let next = self.bytes.get(at + 1);
            // CRLF counts once, at its line feed; a lone CR is a line end of its own.
            if self.bytes[at] == b'\n' || (self.bytes[at] == b'\r' && next != Some(&b'\n')) {
                self.line += 1;
            }
        }
        self.counted = here;
        self.line
    }
}

impl Kind {
    fn of(cell: &str, how: &Csv) -> Kind {
        match (cell.parse::<f64>(), without_commas(cell)) {
            (Ok(_), _) => Kind::Number,
            (_, Some(_)) if how.thousands => Kind::Number,
            (_, Some(_)) => Kind::Thousands,
            _ => Kind::Text,
        }
    }
}

fn is_missing(cell: &str) -> bool {
    ["", "na", "n/a", "null"]
        .iter()
        .any(|word| cell.eq_ignore_ascii_case(word))
}

/// A number whose thousands are parted by commas, such as "-1,234,567.8", without these.
fn without_commas(cell: &str) -> Option<String> {
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mut groups = whole.trim_start_matches(['+', '-']).split(',');
    let first = groups.next()?;
    let mut rest = groups.peekable();
    let grouped = (1..=3).contains(&first.len())
        && digits(first)
        && rest.peek().is_some()
        && rest.all(|g| g.len() == 3 && digits(g))
        && digits(fraction);
    grouped.then(|| cell.replace(',', ""))
}

/// The text as a message shows it: 40 characters at most.
fn cut(text: &str) -> String {
    printable(text, 40)
}
