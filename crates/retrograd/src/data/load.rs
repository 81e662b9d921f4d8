//! CSV text to a [`Series`]: which columns, which line, and what is wrong with which cell.
//!
//! Invariant: a cell of a chosen column either becomes a finite number or stops the load; nothing is skipped, filled or
//! guessed.

use std::io::Read;
use std::path::Path;

use super::{DataError, Series};

impl Series {
    /// Reads a CSV file with a header line; see [`Series::from_csv_str`].
    ///
    /// # Errors
    /// Every variant of [`DataError`] that names a file.
    pub fn from_csv_path(
        path: impl AsRef<Path>,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        let path = path.as_ref();
        let unreadable = |cause| DataError::Unreadable {
            path: path.to_owned(),
            cause,
        };
        let bytes = std::fs::read(path).map_err(unreadable)?;
        Self::from_csv_bytes(&bytes, &path.display().to_string(), columns)
    }

    /// Reads CSV from `reader`, such as standard input; `file` is what messages call it. See [`Series::from_csv_str`].
    ///
    /// # Errors
    /// Every variant of [`DataError`] that names a file.
    pub fn from_csv_reader(
        mut reader: impl Read,
        file: &str,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .map_err(|cause| DataError::Unreadable {
                path: file.into(),
                cause,
            })?;
        Self::from_csv_bytes(&bytes, file, columns)
    }

    /// Reads CSV text: a header line, then one row of as many cells a line; `file` is what messages call it.
    ///
    /// With `columns`, those columns in that order. Without, every named column that is numeric in the first row where
    /// it is not empty. The first column that is not numeric labels the rows; if there is none, the file's first
    /// column does unless it is a value column itself. A byte order mark, CRLF, quoted cells, blank lines and spaces
    /// around a cell are allowed; a gap, NaN or text in a value column is an error.
    ///
    /// # Errors
    /// Every variant of [`DataError`] that names a file, except that it cannot be read.
    pub fn from_csv_str(
        text: &str,
        file: &str,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        parse(text, file, columns)
    }

    fn from_csv_bytes(
        bytes: &[u8],
        file: &str,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&b| b == b'\n').count() as u64;
            DataError::NotUtf8 {
                file: file.to_owned(),
                line,
            }
        })?;
        Self::from_csv_str(text, file, columns)
    }

    /// The embedded daily weather of Seattle, 2012–2015: `[1461, 4]`, columns `precipitation` (mm), `temp_max` and
    /// `temp_min` (°C), `wind` (m/s), labelled by `date`. Source: NOAA; see data/README.md.
    #[must_use]
    pub fn seattle_weather() -> Self {
        let text = include_str!("../../data/seattle-weather.csv");
        let columns = ["precipitation", "temp_max", "temp_min", "wind"].map(str::to_owned);
        let series = Self::from_csv_str(text, "seattle-weather.csv (embedded)", Some(&columns))
            .unwrap_or_else(|error| panic!("the embedded data set is broken: {error}"));
        series.with_units(|column| {
            let unit = match column {
                "precipitation" => "mm",
                "temp_max" | "temp_min" => "°C",
                "wind" => "m/s",
                _ => return None,
            };
            Some(unit.to_owned())
        })
    }

    /// The embedded yearly sunspot number, 1700–2008: `[309, 1]`, column `SUNACTIVITY` (a count), labelled by `YEAR`.
    /// Source: NOAA; see data/README.md.
    #[must_use]
    pub fn sunspots() -> Self {
        let text = include_str!("../../data/sunspots.csv");
        let columns = ["SUNACTIVITY".to_owned()];
        Self::from_csv_str(text, "sunspots.csv (embedded)", Some(&columns))
            .unwrap_or_else(|error| panic!("the embedded data set is broken: {error}"))
    }
}

/// A data row and the physical line on which it starts.
struct Row {
    line: u64,
    cells: csv::StringRecord,
}

/// Parses `text`; see [`Series::from_csv_str`] for the rules.
pub(super) fn parse(
    text: &str,
    file: &str,
    columns: Option<&[String]>,
) -> Result<Series, DataError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (header, rows) = records(text, file)?;
    let names: Vec<String> = header.cells.iter().map(str::to_owned).collect();
    check_header(&header, &names, file)?;
    if rows.is_empty() {
        return Err(DataError::NoRows {
            file: file.to_owned(),
            line: header.line,
        });
    }

    let numeric: Vec<bool> = (0..names.len())
        .map(|column| is_numeric(&rows, column))
        .collect();
    let chosen = match columns {
        Some(requested) => find_requested(requested, &names, file)?,
        None => (0..names.len())
            .filter(|&c| numeric[c] && !names[c].is_empty())
            .collect(),
    };
    if chosen.is_empty() {
        return Err(DataError::NoNumericColumn {
            file: file.to_owned(),
            columns: names,
        });
    }

    let mut values = Vec::with_capacity(rows.len() * chosen.len());
    for row in &rows {
        for &column in &chosen {
            values.push(number(row, column, &names[column], file)?);
        }
    }

    // A file such as "YEAR,SUNACTIVITY" has no text column: its first column labels the rows unless it is chosen itself.
    let label = (0..names.len())
        .find(|&c| !numeric[c] && !chosen.contains(&c))
        .or_else(|| (!chosen.contains(&0)).then_some(0));
    let chosen_names = chosen.iter().map(|&c| names[c].clone()).collect();
    let series = Series::new(chosen_names, values)?;
    match label {
        Some(c) => {
            let labels = rows.iter().map(|row| row.cells[c].to_owned()).collect();
            series.with_labels(&names[c], labels)
        }
        None => Ok(series),
    }
}

/// The header and the data rows, all of the header's length.
fn records(text: &str, file: &str) -> Result<(Row, Vec<Row>), DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut lines = Lines::new(text);
    let mut header: Option<Row> = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let cells = record.map_err(|error| DataError::Malformed {
            file: file.to_owned(),
            cause: error.to_string(),
        })?;
        let start = cells.position().map_or(0, csv::Position::byte) as usize;
        let row = Row {
            line: lines.line_of_record(start),
            cells,
        };
        let Some(header) = &header else {
            if row.cells.iter().any(|cell| !cell.is_empty()) {
                header = Some(row);
            }
            continue;
        };
        let expected = header.cells.len();
        // A line of spaces reads as one empty cell: a blank line to the eye, and treated as one.
        if expected > 1 && row.cells.len() == 1 && row.cells[0].is_empty() {
            continue;
        }
        if row.cells.len() != expected {
            return Err(DataError::RowLength {
                file: file.to_owned(),
                line: row.line,
                found: row.cells.len(),
                expected,
            });
        }
        rows.push(row);
    }
    let header = header.ok_or_else(|| DataError::Empty {
        file: file.to_owned(),
    })?;
    Ok((header, rows))
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

fn check_header(header: &Row, names: &[String], file: &str) -> Result<(), DataError> {
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(DataError::NoHeader {
            file: file.to_owned(),
            line: header.line,
            found: cut(&names.join(", ")),
        });
    }
    for (second, name) in names.iter().enumerate() {
        let first = names[..second].iter().position(|earlier| earlier == name);
        if let Some(first) = first.filter(|_| !name.is_empty()) {
            return Err(DataError::DuplicateColumn {
                file: file.to_owned(),
                line: header.line,
                name: name.clone(),
                first: first + 1,
                second: second + 1,
            });
        }
    }
    Ok(())
}

/// Whether the column's first cell that is not missing is a number. A gap in the first row must not hide a column.
fn is_numeric(rows: &[Row], column: usize) -> bool {
    rows.iter()
        .map(|row| &row.cells[column])
        .find(|cell| !is_missing(cell))
        .is_some_and(|cell| cell.parse::<f64>().is_ok())
}

fn find_requested(
    requested: &[String],
    names: &[String],
    file: &str,
) -> Result<Vec<usize>, DataError> {
    if requested.is_empty() {
        return Err(DataError::NoColumnRequested);
    }
    let mut chosen = Vec::with_capacity(requested.len());
    for name in requested {
        let found = names.iter().position(|n| n == name.trim());
        let column = found.ok_or_else(|| DataError::UnknownColumn {
            file: file.to_owned(),
            name: name.clone(),
            nearest: nearest(name, names),
            columns: names.to_vec(),
        })?;
        if chosen.contains(&column) {
            return Err(DataError::RepeatedRequest { name: name.clone() });
        }
        chosen.push(column);
    }
    Ok(chosen)
}

/// The column whose name is at most a third of its letters away, case aside.
fn nearest(name: &str, names: &[String]) -> Option<String> {
    let wanted = name.trim().to_lowercase();
    names
        .iter()
        .map(|n| (strsim::osa_distance(&wanted, &n.to_lowercase()), n))
        .filter(|(distance, n)| *distance <= n.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, n)| n.clone())
}

fn number(row: &Row, column: usize, name: &str, file: &str) -> Result<f64, DataError> {
    let cell = &row.cells[column];
    let (file, line, column) = (file.to_owned(), row.line, name.to_owned());
    if is_missing(cell) {
        return Err(DataError::Missing { file, line, column });
    }
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(DataError::NotFinite {
            file,
            line,
            column,
            text: cut(cell),
        }),
        Err(_) => Err(DataError::NotANumber {
            file,
            line,
            column,
            text: cut(cell),
        }),
    }
}

fn is_missing(cell: &str) -> bool {
    ["", "na", "n/a", "null"]
        .iter()
        .any(|word| cell.eq_ignore_ascii_case(word))
}

/// The text as a message shows it: 40 characters at most.
fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
