//! What can be wrong with a table of observations, said so that a person can mend it.

use std::path::PathBuf;

/// A mistake in the data or in what was asked of it. `file` is the path, or the name that was given to the text.
/// Lines are the file's physical lines, the first being 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        cause: std::io::Error,
    },
    /// The bytes are not UTF-8 text.
    #[error("{file}, line {line}: not UTF-8 text; save the file as CSV in UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// The line with the first byte that is not UTF-8.
        line: u64,
    },
    /// The CSV reader gave up.
    #[error("{file}: not readable as CSV: {cause}")]
    Malformed {
        /// The file.
        file: String,
        /// The reader's message.
        cause: String,
    },
    /// The file holds nothing but white space.
    #[error("{file}: the file is empty; expected a header line and data rows")]
    Empty {
        /// The file.
        file: String,
    },
    /// The first line is made of numbers, so the columns have no names.
    #[error(
        "{file}, line {line}: expected a header line with column names, found only numbers ({found})"
    )]
    NoHeader {
        /// The file.
        file: String,
        /// The line that should be the header.
        line: u64,
        /// What stands there.
        found: String,
    },
    /// A header without data.
    #[error("{file}: no data rows after the header on line {line}")]
    NoRows {
        /// The file.
        file: String,
        /// The header's line.
        line: u64,
    },
    /// No column was asked for by name, and none is numeric.
    #[error(
        "{file}: no column holds numbers; the columns are {} (cells must be separated by commas)",
        list(columns)
    )]
    NoNumericColumn {
        /// The file.
        file: String,
        /// All columns of the file.
        columns: Vec<String>,
    },
    /// A column was asked for that is not in the file.
    #[error(
        "{file}: there is no column \"{name}\"{}; the columns are {}",
        hint(nearest),
        list(columns)
    )]
    UnknownColumn {
        /// The file.
        file: String,
        /// The name that was asked for.
        name: String,
        /// A column whose name is nearly that, if there is one.
        nearest: Option<String>,
        /// All columns of the file.
        columns: Vec<String>,
    },
    /// Two columns of the file have one name.
    #[error("{file}, line {line}: columns {first} and {second} are both named \"{name}\"")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The header's line.
        line: u64,
        /// The name.
        name: String,
        /// Position of the first, counted from 1.
        first: usize,
        /// Position of the second, counted from 1.
        second: usize,
    },
    /// A column was asked for twice.
    #[error("column \"{name}\" is asked for twice")]
    RepeatedRequest {
        /// The name.
        name: String,
    },
    /// A list of no columns was asked for.
    #[error("no column is asked for; name at least one, or leave the list away to get all")]
    NoColumnRequested,
    /// A row has fewer or more cells than the header.
    #[error("{file}, line {line}: the row is too {}: found {found} cells, expected {expected} as in the header", if found < expected { "short" } else { "long" })]
    RowLength {
        /// The file.
        file: String,
        /// The line on which the row starts.
        line: u64,
        /// Cells in the row.
        found: usize,
        /// Cells in the header.
        expected: usize,
    },
    /// Text where a number should be.
    #[error("{file}, line {line}, column \"{column}\": {text:?} is not a number")]
    NotANumber {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column's name.
        column: String,
        /// The cell, cut to 40 characters.
        text: String,
    },
    /// NaN, an infinity, or a number too large for 64 bits.
    #[error("{file}, line {line}, column \"{column}\": {text} is not a finite number")]
    NotFinite {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column's name.
        column: String,
        /// The cell, cut to 40 characters.
        text: String,
    },
    /// An empty cell, or one that says NA, N/A or null.
    #[error(
        "{file}, line {line}, column \"{column}\": the value is missing; fill the gap or remove the row"
    )]
    Missing {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column's name.
        column: String,
    },
    /// Values were given to build a series from that do not make a finite `[len, n]` array.
    #[error("{0}")]
    BadSeries(String),
    /// The series has too few rows for what was asked.
    #[error("the {part} has {rows} rows; {what} needs at least {needed}")]
    TooShort {
        /// Which rows: "series", "training part".
        part: &'static str,
        /// How many there are.
        rows: usize,
        /// What needs more.
        what: String,
        /// How many it needs.
        needed: usize,
    },
    /// A split that leaves one part without rows, or a fraction outside (0, 1).
    #[error(
        "the series of {rows} rows cannot be split with {asked} for validation; both parts need at least one row"
    )]
    BadSplit {
        /// Rows of the series.
        rows: usize,
        /// What was asked for.
        asked: String,
    },
    /// A range of rows that is empty or reaches beyond the series.
    #[error(
        "the {part} is rows {start}..{end} of a series of {rows} rows; expected a range of at least one row inside it"
    )]
    BadRange {
        /// What the range is for.
        part: &'static str,
        /// Its first row.
        start: usize,
        /// One past its last row.
        end: usize,
        /// Rows of the series.
        rows: usize,
    },
    /// A standardiser meets a series with other columns than those it was fitted on.
    #[error(
        "the standardiser was fitted on the columns {}; the series has {}",
        list(fitted),
        list(found)
    )]
    OtherColumns {
        /// Columns that it was fitted on.
        fitted: Vec<String>,
        /// Columns of the series.
        found: Vec<String>,
    },
    /// A slice of rows has the wrong length.
    #[error("{what}: found {found} values, expected {expected}")]
    SliceLength {
        /// Which slice, with its shape.
        what: String,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// A batch, stride or number of steps that is zero, or a batch of more windows than there are.
    #[error("{what} is {found}; expected {expected}")]
    BadSetting {
        /// Which setting.
        what: &'static str,
        /// Its value.
        found: usize,
        /// What it may be.
        expected: String,
    },
    /// The least-squares fit of the autoregression did not converge.
    #[error("the least-squares autoregression on the last {lags} rows did not converge")]
    NoFit {
        /// Rows that the autoregression looks back on.
        lags: usize,
    },
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

fn hint(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!(" (did you mean \"{name}\"?)"),
        None => String::new(),
    }
}
