//! [`Note`]: a guess made while reading a table.

use std::fmt;

use super::Gaps;
use super::shown::{list, shown};

/// A guess about a table, or a column left out of it. It displays as one line.
///
/// ```
/// # #[cfg(feature = "csv")]
/// # fn main() -> Result<(), retrograd::data::DataError> {
/// use retrograd::data::Series;
///
/// let table = "day,sky,rain\nmon,grey,3\ntue,blue,0\n";
/// let series = Series::from_csv_str(table, "rain.csv", None)?;
/// let notes: Vec<String> = series.notes().iter().map(|n| n.to_string()).collect();
/// assert_eq!(notes, [
///     "column \"day\" labels the rows",
///     "column \"sky\" is left out: \"grey\" (line 2) is not a number",
/// ]);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "csv"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The column that labels the rows.
    Labels {
        /// Its name.
        column: String,
    },
    /// A column left out because it holds text.
    Text {
        /// Its name.
        column: String,
        /// The line of its first cell that is not missing.
        line: u64,
        /// That cell, cut to 40 characters.
        text: String,
    },
    /// A column left out because it is empty.
    Blank {
        /// Its name.
        column: String,
    },
    /// A column of numbers left out because it has no name.
    Unnamed {
        /// Its position, the first being 1.
        position: usize,
    },
    /// A column of numbers that only counts rows or time: it is forecast only if requested by name.
    Index {
        /// Its name.
        column: String,
        /// What it counts in.
        unit: IndexUnit,
        /// Whether it labels the rows.
        labels: bool,
    },
    /// Further columns left out, if there are many.
    More {
        /// How many.
        columns: usize,
    },
    /// Column names that are numbers, in a line that is taken for the header because other names are not.
    NumericNames {
        /// The names.
        names: Vec<String>,
        /// The header's line.
        line: u64,
    },
    /// How cells and numbers are written, where that was guessed and is not with commas between cells and decimal points.
    Locale {
        /// What separates cells.
        separator: char,
        /// What separates decimals.
        decimal: char,
    },
    /// Gaps that were filled or masked.
    Filled {
        /// The column.
        column: String,
        /// How many.
        gaps: usize,
        /// What became of them.
        how: Gaps,
    },
    /// A column that holds categories, not numbers.
    Categories {
        /// Its name.
        column: String,
        /// How many different ones.
        count: usize,
    },
    /// Dates that mostly advance but go back somewhere. The rows are taken in the file's order.
    Unordered {
        /// The column with the dates.
        column: String,
        /// The line of the first row that is earlier than the row before it.
        line: u64,
    },
}

/// The unit that an index column counts in.
///
/// ```
/// # #[cfg(feature = "csv")]
/// # fn main() -> Result<(), retrograd::data::DataError> {
/// use retrograd::data::{IndexUnit, Note, Series};
///
/// let table = "time,rain\n1700000000,3\n1700000060,0\n1700000120,1\n1700000180,0\n";
/// let series = Series::from_csv_str(table, "rain.csv", None)?;
/// let (column, unit, labels) = ("time".to_owned(), IndexUnit::Seconds, true);
/// assert_eq!(series.notes(), [Note::Index { column, unit, labels }]);
/// assert_eq!(series.names(), ["rain"]);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "csv"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexUnit {
    /// Whole numbers at equal distances, such as row numbers or years.
    Rows,
    /// Days, written as eight digits.
    Days,
    /// Seconds since 1970.
    Seconds,
    /// Thousandths of a second since 1970.
    Milliseconds,
    /// Millionths of a second since 1970.
    Microseconds,
    /// Billionths of a second since 1970.
    Nanoseconds,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Labels { column } => write!(f, "column \"{}\" labels the rows", shown(column)),
            Note::Text { column, line, text } => write!(
                f,
                "column \"{}\" is left out: \"{text}\" (line {line}) is not a number",
                shown(column)
            ),
            Note::Blank { column } => {
                let column = shown(column);
                write!(f, "column \"{column}\" is left out: it has no values")
            }
            Note::Unnamed { position } => {
                write!(f, "column {position} is left out: it has no name")
            }
            Note::Index {
                column,
                unit,
                labels,
            } => {
                let does = match labels {
                    true => "it labels the rows",
                    false => "it is left out",
                };
                write!(
                    f,
                    "column \"{}\" {unit}: {does} and is not forecast unless it is asked for by name",
                    shown(column)
                )
            }
            Note::More { columns } => write!(f, "{columns} more columns are left out"),
            Note::NumericNames { names, line } => write!(
                f,
                "line {line} is taken for names of columns, though {} could be data; `Header::None` reads it as data",
                list(names)
            ),
            Note::Locale { separator, decimal } => {
                let separator = match separator {
                    '\t' => "tabs".to_owned(),
                    other => format!("`{other}`"),
                };
                write!(
                    f,
                    "cells are separated by {separator}, decimals by `{decimal}`"
                )
            }
            Note::Filled { column, gaps, how } => {
                let s = if *gaps == 1 { "" } else { "s" };
                write!(
                    f,
                    "column \"{}\": {gaps} gap{s}, {}",
                    shown(column),
                    how.done()
                )
            }
            Note::Categories { column, count } => {
                let s = if *count == 1 { "y" } else { "ies" };
                write!(f, "column \"{}\" holds {count} categor{s}", shown(column))
            }
            Note::Unordered { column, line } => write!(
                f,
                "column \"{}\" goes back in line {line}: the rows are taken in the order of the file",
                shown(column)
            ),
        }
    }
}

impl fmt::Display for IndexUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IndexUnit::Rows => "counts evenly",
            IndexUnit::Days => "is days as eight digits",
            IndexUnit::Seconds => "is time in seconds since 1970",
            IndexUnit::Milliseconds => "is time in milliseconds since 1970",
            IndexUnit::Microseconds => "is time in microseconds since 1970",
            IndexUnit::Nanoseconds => "is time in nanoseconds since 1970",
        })
    }
}
