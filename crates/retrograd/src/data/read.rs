//! Reading CSV from a file, a reader or a text, and the embedded data sets.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::Path;

use super::load::parse;
use super::locale::decode;
use super::{Csv, DataError, Panel, Series};
use crate::files::{read_all, read_or_receive};

impl Csv {
    /// Reads a file, or a pipe; with the feature `parquet` also a Parquet file, whose rows count as lines from line 2 on.
    ///
    /// # Errors
    /// Every variant of [`DataError`] that names a file; among them [`DataError::Unreadable`] for a directory or a device and
    /// [`DataError::TooLarge`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Series, DataError> {
        self.open_panel(path)?.into_one()
    }

    /// Reads from `reader`, such as standard input, to its end; messages call it `file`.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn read(&self, reader: impl Read, file: &str) -> Result<Series, DataError> {
        self.read_panel(reader, file)?.into_one()
    }

    /// Parses text; messages call it `file`.
    ///
    /// # Errors
    /// Every variant of [`DataError`] that names a file, except those for files that cannot be read.
    pub fn parse(&self, text: &str, file: &str) -> Result<Series, DataError> {
        self.parse_panel(text, file)?.into_one()
    }

    /// Reads a file, or a pipe, of several series, whose rows [`Csv::id`] tells apart; without it, of one.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn open_panel(&self, path: impl AsRef<Path>) -> Result<Panel, DataError> {
        let path = path.as_ref();
        let bytes = read_or_receive(path, self.limit).map_err(|e| self.unreadable(path, e))?;
        self.bytes(&bytes, &path.display().to_string())
    }

    /// [`Csv::open_panel`] of a reader.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn read_panel(&self, reader: impl Read, file: &str) -> Result<Panel, DataError> {
        let bytes = read_all(reader, self.limit).map_err(|e| self.unreadable(file.as_ref(), e))?;
        self.bytes(&bytes, file)
    }

    /// [`Csv::open_panel`] of text.
    ///
    /// # Errors
    /// As [`Csv::parse`].
    pub fn parse_panel(&self, text: &str, file: &str) -> Result<Panel, DataError> {
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

    /// The text of a file.
    pub(super) fn text(&self, path: &Path) -> Result<String, DataError> {
        let bytes = read_or_receive(path, self.limit).map_err(|e| self.unreadable(path, e))?;
        Ok(decoded(&bytes, &path.display().to_string())?.into_owned())
    }

    fn bytes(&self, bytes: &[u8], file: &str) -> Result<Panel, DataError> {
        if bytes.starts_with(b"PAR1") {
            #[cfg(feature = "parquet")]
            {
                let (text, how) = super::parquet::text(bytes, file, self)?;
                return parse(&text, file, &how);
            }
            #[cfg(not(feature = "parquet"))]
            return Err(DataError::NeedsFeature {
                file: file.to_owned(),
                form: "a Parquet file",
                feature: "parquet",
            });
        }
        parse(&decoded(bytes, file)?, file, self)
    }

    fn of(columns: Option<&[String]>) -> Csv {
        match columns {
            Some(names) => Csv::new().columns(names),
            None => Csv::new(),
        }
    }
}

/// The text of a file's bytes.
fn decoded<'b>(bytes: &'b [u8], file: &str) -> Result<Cow<'b, str>, DataError> {
    decode(bytes).ok_or_else(|| {
        let valid = std::str::from_utf8(bytes).map_or_else(|e| e.valid_up_to(), str::len);
        let before = &bytes[..valid];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count() as u64;
        DataError::NotUtf8 {
            file: file.to_owned(),
            line,
        }
    })
}

impl Series {
    /// Reads a CSV file with a header line: these columns, or by default those that [`Csv::columns`] describes.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn from_csv_path(
        path: impl AsRef<Path>,
        columns: Option<&[String]>,
    ) -> Result<Self, DataError> {
        Csv::of(columns).open(path)
    }

    /// Reads CSV from `reader`, such as standard input; messages call it `file`. See [`Series::from_csv_path`].
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

    /// Parses CSV text; messages call it `file`. See [`Series::from_csv_path`].
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

/// An embedded data set, without notes.
fn embedded(text: &str, file: &str, columns: &[&str]) -> Series {
    let series = Csv::new()
        .columns(columns.iter().copied())
        .parse(text, file);
    let series = series.unwrap_or_else(|e| panic!("the embedded data set is broken: {e}"));
    series.with_notes(Vec::new())
}
