//! Errors in tables of observations, with messages that tell a person what to correct.

use std::path::PathBuf;

use super::shown::{list, shown};
use crate::files::size;

/// A mistake in the data or in a request for it. `file` is the path, or the name given to the text. Lines are physical lines, the
/// first being 1. Messages show names and cells without control characters, shorten long ones, and of many names list only the
/// first.
///
/// ```
/// # #[cfg(feature = "csv")]
/// # fn main() -> Result<(), retrograd::data::DataError> {
/// use retrograd::data::{DataError, Series};
///
/// let error = Series::from_csv_str("day,rain\nmon,1\ntue,?\n", "rain.csv", None).unwrap_err();
/// assert!(matches!(error, DataError::NotANumber { line: 3, .. }));
/// assert_eq!(error.to_string(), "rain.csv, line 3, column \"rain\": \"?\" is not a number");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "csv"))]
/// # fn main() {}
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {cause}", path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// The operating system's message.
        #[source]
        cause: std::io::Error,
    },
    /// The file exceeds the size limit.
    #[error(
        "{file}: has more than the {} that are read; leave out rows or columns that are not needed", size(*limit)
    )]
    TooLarge {
        /// The file.
        file: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Arrays that exceed the memory limit, or the memory of the system.
    #[error("{what} need {}{}", size(*bytes), allowance(limit))]
    NoMemory {
        /// The arrays, with what makes them so large.
        what: String,
        /// Bytes that they need, at most [`u64::MAX`].
        bytes: u64,
        /// The limit in bytes; None if the system lacks the memory.
        limit: Option<u64>,
    },
    /// A file of a form that is read with a feature alone.
    #[error(
        "{file}: it is {form}, which is read with the feature `{feature}`: build with `--features {feature}`"
    )]
    NeedsFeature {
        /// The file.
        file: String,
        /// What it is.
        form: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// The bytes are not UTF-8 text.
    #[error("{file}, line {line}: not UTF-8 text; save the file as CSV in UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// The line with the first byte that is not UTF-8.
        line: u64,
    },
    /// The text is not CSV.
    #[error("{file}: not readable as CSV: {cause}")]
    Malformed {
        /// The file.
        file: String,
        /// The reader's message.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file holds nothing but white space.
    #[error("{file}: the file is empty; expected a header line and data rows")]
    Empty {
        /// The file.
        file: String,
    },
    /// The first line looks like the data below it, so the columns have no names.
    #[error(
        "{file}, line {line}: expected a header line with column names, found {} ({found}). Put names above it, or say \
         `Header::None`, which calls the columns 1, 2, …; or `Header::Names` if these are names", if *numbers { "only numbers" } else { "what looks like data" }
    )]
    NoHeader {
        /// The file.
        file: String,
        /// The line that should be the header.
        line: u64,
        /// The text there.
        found: String,
        /// Whether it consists of numbers alone.
        numbers: bool,
    },
    /// A header without data.
    #[error("{file}: no data rows after the header on line {line}")]
    NoRows {
        /// The file.
        file: String,
        /// The header's line.
        line: u64,
    },
    /// No column was requested by name, and none is numeric.
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
    /// No column was requested by name, and every numeric one is an index or a time.
    #[error(
        "{file}: no column is left to forecast: {} only count rows or time; ask for one by name to forecast it",
        list(columns)
    )]
    OnlyIndices {
        /// The file.
        file: String,
        /// The columns that are numeric.
        columns: Vec<String>,
    },
    /// Dates, or times as numbers, that go back from row to row.
    #[error(
        "{file}: the rows are not in the order of time: column \"{}\" goes back from {} (line {line}) to {}; {}", shown(column), shown(before), shown(after), turn(*reversed)
    )]
    Backwards {
        /// The file.
        file: String,
        /// The column with the dates or times.
        column: String,
        /// The line of the row before the first step back.
        line: u64,
        /// The text there.
        before: String,
        /// The text in the row after it.
        after: String,
        /// Whether the rows were read in reverse order.
        reversed: bool,
    },
    /// A requested column is not in the file.
    #[error(
        "{file}: there is no column \"{}\"{}; the columns are {}",
        shown(name),
        hint(nearest),
        list(columns)
    )]
    UnknownColumn {
        /// The file.
        file: String,
        /// The requested name.
        name: String,
        /// The column with the most similar name, if one is similar.
        nearest: Option<String>,
        /// All columns of the file.
        columns: Vec<String>,
    },
    /// Two columns of the file have one name.
    #[error(
        "{file}, line {line}: columns {first} and {second} are both named \"{}\"",
        shown(name)
    )]
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
    /// A column that a series does not have.
    #[error(
        "there is no column \"{}\"; the columns are {}",
        shown(name),
        list(columns)
    )]
    NoColumn {
        /// The requested name.
        name: String,
        /// The columns of the series.
        columns: Vec<String>,
    },
    /// A series without a number in a column, whose gaps cannot be filled.
    #[error(
        "{file}: column \"{}\" has no number{} to fill its gaps from",
        shown(column),
        in_series(id)
    )]
    NothingToFill {
        /// The file.
        file: String,
        /// The column's name.
        column: String,
        /// The series, if there are several.
        id: Option<String>,
    },
    /// A column was requested twice.
    #[error("column \"{}\" is asked for twice", shown(name))]
    RepeatedRequest {
        /// The name.
        name: String,
    },
    /// An empty list of columns was requested.
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
    #[error(
        "{file}, line {line}, column \"{}\": \"{text}\" is not a number",
        shown(column)
    )]
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
    /// A number with commas between its thousands.
    #[error(
        "{file}, line {line}, column \"{}\": \"{text}\" has a comma in it; write numbers without commas, or \
         say `Csv::thousands` if they separate thousands",
        shown(column)
    )]
    Thousands {
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
    #[error(
        "{file}, line {line}, column \"{}\": {text} is not a finite number",
        shown(column)
    )]
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
        "{file}, line {line}, column \"{}\": the value is missing; fill the gap, remove the row, or say `Csv::gaps`",
        shown(column)
    )]
    Missing {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column's name.
        column: String,
    },
    /// A column that should be the same in all rows of a series, and is not.
    #[error(
        "{file}, line {line}, column \"{}\": \"{found}\", where line {first} has \"{before}\"; it must be the same in all rows{}",
        shown(column),
        of_series(id)
    )]
    NotConstant {
        /// The file.
        file: String,
        /// The first line with another value.
        line: u64,
        /// The column's name.
        column: Box<str>,
        /// The series, if there are several.
        id: Option<String>,
        /// The value there, cut to 40 characters.
        found: Box<str>,
        /// The first line of the series.
        first: u64,
        /// The value there, cut to 40 characters.
        before: Box<str>,
    },
    /// A file that a manifest names twice.
    #[error(
        "{file}, line {line}: \"{text}\" is also in line {first}; a manifest names each file once"
    )]
    NamedTwice {
        /// The manifest.
        file: String,
        /// The second line.
        line: u64,
        /// The name, cut to 40 characters.
        text: String,
        /// The first line.
        first: u64,
    },
    /// A mistake in a file that a manifest names.
    #[error("{file}, line {line}: {cause}")]
    InManifest {
        /// The manifest.
        file: String,
        /// The line that names the file.
        line: u64,
        /// The mistake, with the name of the file.
        #[source]
        cause: Box<DataError>,
    },
    /// Values for a series that are not a finite `[len, n]` array.
    #[error("{0}")]
    BadSeries(String),
    /// The series has too few rows for a request.
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
        /// The requested split.
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
    /// A standardiser is applied to other columns than it was fitted on.
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
    /// A column whose numbers cannot be standardised: those of the training part, or their standard deviation, are too large or too
    /// small to be squared.
    #[error(
        "column \"{}\": {what} is {value:e}; expected {expected}. Give the column in another unit, take its logarithm, or leave it out",
        shown(column)
    )]
    Scale {
        /// The column's name.
        column: String,
        /// What is out of range.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A number so many standard deviations from the mean that its square does not fit into 32 bits.
    #[error(
        "row {row}, column \"{}\": {value:e} lies {deviations:.0e} standard deviations from the mean of the training part; expected \
         less than 1e18. Mend the number, take the column's logarithm, or leave the column out",
        shown(column)
    )]
    OutOfScale {
        /// The row, the first being 0.
        row: usize,
        /// The column's name.
        column: String,
        /// The number.
        value: f64,
        /// Its distance from the mean, in standard deviations.
        deviations: f64,
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
}

fn in_series(id: &Option<String>) -> String {
    match id {
        Some(id) => format!(" in the series \"{}\"", shown(id)),
        None => String::new(),
    }
}

fn of_series(id: &Option<String>) -> String {
    match id {
        Some(id) => format!(" of the series \"{}\"", shown(id)),
        None => String::new(),
    }
}

fn hint(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!(" (did you mean \"{}\"?)", shown(name)),
        None => String::new(),
    }
}

fn allowance(limit: &Option<u64>) -> String {
    match limit {
        Some(limit) => format!("; at most {} may be used", size(*limit)),
        None => ", which the system does not give".to_owned(),
    }
}

fn turn(reversed: bool) -> &'static str {
    match reversed {
        false => "`Csv::reversed` reads the last row first",
        true => "leave `Csv::reversed` out",
    }
}
