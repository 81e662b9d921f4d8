//! [`Csv`]: how a table of comma-separated values is to be read.

use std::io::{self, Read};
use std::path::Path;

use super::load::parse;
use super::{DataError, Series};
use crate::files::{read_all, read_or_receive};

/// How a CSV text is read: a header line, then one row of as many cells a line.
///
/// What a table does not say itself is guessed aloud ([`Series::notes`]) or refused. A byte order mark, CRLF, quoted cells,
/// blank lines and spaces around a cell are allowed; a gap, NaN or text in a value column is an error.
///
/// ```
/// use retrograd::data::Csv;
///
/// let table = "date,price,volume\n2024-01-02,101,\"2,500\"\n2024-01-01,100,\"1,000\"\n";
/// let series = Csv::new().reversed(true).thousands(true).parse(table, "shares.csv")?;
/// assert_eq!(series.names(), ["price", "volume"]);
/// assert_eq!(series.rows(), [100.0, 1000.0, 101.0, 2500.0]);
/// # Ok::<(), retrograd::data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Csv {
    pub(super) columns: Option<Vec<String>>,
    pub(super) header: Header,
    pub(super) reversed: bool,
    pub(super) thousands: bool,
    limit: u64,
}

/// What the first line of a table is.
///
/// ```
/// use retrograd::data::{Csv, DataError, Header};
///
/// let table = "1,10\n2,30\n";
/// assert!(matches!(Csv::new().parse(table, "rain.csv"), Err(DataError::NoHeader { .. })));
/// let series = Csv::new().header(Header::None).columns(["2"]).parse(table, "rain.csv")?;
/// assert_eq!(series.rows(), [10.0, 30.0]);
/// # Ok::<(), retrograd::data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Header {
    /// Names of columns, unless it looks like the data below it: that is refused.
    #[default]
    Guess,
    /// Names of columns, whatever it looks like.
    Names,
    /// Data: the columns are called "1", "2", ….
    None,
}

impl Default for Csv {
    fn default() -> Csv {
        Csv {
            columns: None,
            header: Header::Guess,
            reversed: false,
            thousands: false,
            limit: Csv::LIMIT,
        }
    }
}

impl Csv {
    /// Bytes that are read at most, unless [`Csv::limit`] says it: 512 MiB.
    pub const LIMIT: u64 = 512 << 20;

    /// Reads all columns of numbers, in the file's order.
    pub fn new() -> Csv {
        Csv::default()
    }

    /// These columns, in this order. Without, every named column that is numeric in the first row where it is not empty,
    /// unless it is an index: whole numbers that count rows or time. The first column that is not numeric labels the rows; if
    /// there is none, an index does, or else the file's first column unless it is a value column itself.
    pub fn columns<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Csv {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// What the first line is; guessed unless said.
    pub fn header(mut self, header: Header) -> Csv {
        self.header = header;
        self
    }

    /// Whether the file's last row is the first in time. A table whose dates go back is refused without.
    pub fn reversed(mut self, reversed: bool) -> Csv {
        self.reversed = reversed;
        self
    }

    /// Whether commas part thousands, as in `"1,000"`. A column of such numbers is refused without.
    pub fn thousands(mut self, thousands: bool) -> Csv {
        self.thousands = thousands;
        self
    }

    /// Bytes that are read at most, [`Csv::LIMIT`] unless said. The numbers take up to four times as many again.
    pub fn limit(mut self, bytes: u64) -> Csv {
        self.limit = bytes;
        self
    }

    /// Reads a file, or a pipe.
    ///
    /// # Errors
    /// Every variant of [`DataError`] that names a file; among them [`DataError::Unreadable`] for a directory or a device and
    /// [`DataError::TooLarge`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Series, DataError> {
        let path = path.as_ref();
        let bytes = read_or_receive(path, self.limit).map_err(|e| self.unreadable(path, e))?;
        self.bytes(&bytes, &path.display().to_string())
    }

    /// Reads all that `reader` has, such as standard input; `file` is what messages call it.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn read(&self, reader: impl Read, file: &str) -> Result<Series, DataError> {
        let bytes = read_all(reader, self.limit).map_err(|e| self.unreadable(file.as_ref(), e))?;
        self.bytes(&bytes, file)
    }

    /// Reads text; `file` is what messages call it.
    ///
    /// # Errors
    /// Every variant of [`DataError`] that names a file, except that it cannot be read.
    pub fn parse(&self, text: &str, file: &str) -> Result<Series, DataError> {
        parse(text, file, self)
    }

    fn unreadable(&self, path: &Path, cause: io::Error) -> DataError {
        match cause.kind() {
            io::ErrorKind::FileTooLarge => DataError::TooLarge {
                file: path.display().to_string(),
                limit: self.limit,
            },
            _ => DataError::Unreadable {
                path: path.to_owned(),
                cause,
            },
        }
    }

    fn bytes(&self, bytes: &[u8], file: &str) -> Result<Series, DataError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&b| b == b'\n').count() as u64;
            DataError::NotUtf8 {
                file: file.to_owned(),
                line,
            }
        })?;
        self.parse(text, file)
    }

    fn of(columns: Option<&[String]>) -> Csv {
        match columns {
            Some(names) => Csv::new().columns(names),
            None => Csv::new(),
        }
    }
}

impl Series {
    /// Reads a CSV file with a header line: these columns, or all that [`Csv::columns`] describes.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn from_csv_path(
        path: impl AsRef<Path>,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        Csv::of(columns).open(path)
    }

    /// Reads CSV from `reader`, such as standard input; `file` is what messages call it. See [`Series::from_csv_path`].
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn from_csv_reader(
        reader: impl Read,
        file: &str,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        Csv::of(columns).read(reader, file)
    }

    /// Reads CSV text; `file` is what messages call it. See [`Series::from_csv_path`].
    ///
    /// # Errors
    /// As [`Csv::parse`].
    pub fn from_csv_str(
        text: &str,
        file: &str,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        Csv::of(columns).parse(text, file)
    }

    /// The embedded daily weather of Seattle, 2012–2015: `[1461, 4]`, columns `precipitation` (mm), `temp_max` and
    /// `temp_min` (°C), `wind` (m/s), labelled by `date`. Source: NOAA; see data/README.md.
    pub fn seattle_weather() -> Self {
        let text = include_str!("../../data/seattle-weather.csv");
        let columns = ["precipitation", "temp_max", "temp_min", "wind"];
        let series = embedded(text, "seattle-weather.csv (embedded)", &columns);
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
    pub fn sunspots() -> Self {
        let text = include_str!("../../data/sunspots.csv");
        embedded(text, "sunspots.csv (embedded)", &["SUNACTIVITY"])
    }
}

/// A data set of ours, in which nothing is left to be guessed.
fn embedded(text: &str, file: &str, columns: &[&str]) -> Series {
    let series = Csv::new()
        .columns(columns.iter().copied())
        .parse(text, file);
    let series = series.unwrap_or_else(|e| panic!("the embedded data set is broken: {e}"));
    series.with_notes(Vec::new())
}
