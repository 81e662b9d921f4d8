//! [`Csv`]: options for reading a table of comma-separated values.

use super::Gaps;

/// Options for reading CSV: a header line, then rows with the same number of cells, one per line.
///
/// Where a table is ambiguous, the reader guesses and reports it ([`Series::notes`](super::Series::notes)), or rejects the table. A byte order mark,
/// CRLF, quoted cells, blank lines and spaces around a cell are allowed; text in a value column is an error, and so is a gap or NaN
/// unless [`Csv::gaps`] says what becomes of it.
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
    pub(super) also: Vec<String>,
    pub(super) categorical: Vec<String>,
    pub(super) texts: Vec<String>,
    pub(super) header: Header,
    pub(super) reversed: bool,
    pub(super) thousands: bool,
    pub(super) separator: Option<u8>,
    pub(super) decimal: Option<u8>,
    pub(super) gaps: Gaps,
    pub(super) id: Option<String>,
    pub(super) time: Option<String>,
    pub(super) constant: Vec<String>,
    pub(super) optional: Vec<String>,
    pub(super) limit: u64,
}

/// The meaning of a table's first line.
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
    /// Column names; a line that looks like the data below it is rejected.
    #[default]
    Guess,
    /// Column names, whatever they look like.
    Names,
    /// Data: the columns are called "1", "2", ….
    None,
}

impl Default for Csv {
    fn default() -> Csv {
        Csv {
            columns: None,
            also: Vec::new(),
            categorical: Vec::new(),
            texts: Vec::new(),
            header: Header::Guess,
            reversed: false,
            thousands: false,
            separator: None,
            decimal: None,
            gaps: Gaps::Refuse,
            id: None,
            time: None,
            constant: Vec::new(),
            optional: Vec::new(),
            limit: Csv::LIMIT,
        }
    }
}

impl Csv {
    /// The default limit in bytes: 512 MiB.
    pub const LIMIT: u64 = 512 << 20;

    /// Reads all columns of numbers, in the file's order.
    pub fn new() -> Csv {
        Csv::default()
    }

    /// Reads these columns, in this order. By default, reads every named column that is numeric in the first row where it is not
    /// empty, except an index: whole numbers that count rows or time. The first column that is not numeric labels the rows; if
    /// there is none, an index does, or else the file's first column unless it is a value column itself.
    pub fn columns<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Csv {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Reads these columns besides, even if they only count rows or time.
    ///
    /// ```
    /// use retrograd::data::Csv;
    ///
    /// let rows: String = (1..=9).map(|week| format!("{week},{}\n", week * week % 7)).collect();
    /// let table = format!("week,sold\n{rows}");
    /// assert_eq!(Csv::new().parse(&table, "sales.csv")?.names(), ["sold"]);
    /// assert_eq!(Csv::new().also(["week"]).parse(&table, "sales.csv")?.names(), ["week", "sold"]);
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    pub fn also<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Csv {
        self.also.extend(names.into_iter().map(Into::into));
        self
    }

    /// Also reads these columns, whatever they hold, as categories: what a cell says is one of a list, and stands for nothing but
    /// itself. A gap, if gaps are allowed, is the category before.
    ///
    /// ```
    /// use retrograd::data::Csv;
    ///
    /// let table = "day,kind,sold\n1,kiosk,3\n2,market,7\n3,kiosk,4\n";
    /// let series = Csv::new().columns(["sold"]).categorical(["kind"]).parse(table, "sales.csv")?;
    /// assert_eq!((series.row(1), series.categories(1).unwrap()), (&[7.0, 1.0][..], &["kiosk".to_owned(), "market".to_owned()][..]));
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    pub fn categorical<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Csv {
        self.categorical.extend(names.into_iter().map(Into::into));
        self
    }

    /// Also reads these columns: as [categories](Csv::categorical) if the first cell that is not missing is no number.
    pub fn texts<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Csv {
        self.texts.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets the meaning of the first line, which is guessed by default.
    pub fn header(mut self, header: Header) -> Csv {
        self.header = header;
        self
    }

    /// Whether the file's last row is the first in time. Otherwise, a table whose dates go back is rejected.
    pub fn reversed(mut self, reversed: bool) -> Csv {
        self.reversed = reversed;
        self
    }

    /// Whether commas separate thousands, as in `"1,000"`. Otherwise, a column of such numbers is rejected.
    pub fn thousands(mut self, thousands: bool) -> Csv {
        self.thousands = thousands;
        self
    }

    /// The character between cells, in ASCII. By default a comma, unless the first lines have tabs, semicolons or bars, equally many
    /// each.
    pub fn separator(mut self, separator: u8) -> Csv {
        self.separator = Some(separator);
        self
    }

    /// The decimal mark: `b'.'` or `b','`. With a decimal comma, points, spaces and apostrophes may stand between thousands. By default
    /// a comma if cells are separated by something else and some can only be such numbers.
    ///
    /// ```
    /// use retrograd::data::Csv;
    ///
    /// let table = "day;price\n01.02.2024;1.234,5\n02.02.2024;987\n";
    /// let series = Csv::new().parse(table, "prices.csv")?;
    /// assert_eq!(series.rows(), [1234.5, 987.0]);
    /// let guess = "cells are separated by `;`, decimals by `,`";
    /// assert_eq!(series.notes()[0].to_string(), guess);
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    pub fn decimal(mut self, decimal: u8) -> Csv {
        self.decimal = Some(decimal);
        self
    }

    /// What becomes of missing values; by default, a table with one is rejected.
    pub fn gaps(mut self, gaps: Gaps) -> Csv {
        self.gaps = gaps;
        self
    }

    /// The column that says to which series a row belongs; see [`Csv::open_panel`].
    pub fn id(mut self, column: impl Into<String>) -> Csv {
        self.id = Some(column.into());
        self
    }

    /// The column that labels the rows, such as their dates; by default the first that is not numeric.
    pub fn time(mut self, column: impl Into<String>) -> Csv {
        self.time = Some(column.into());
        self
    }

    /// Columns of text that are the same in all rows of a series, such as its label or who speaks: see
    /// [`Panel::constant`](super::Panel::constant). They are not read as numbers, even if they are some.
    ///
    /// ```
    /// use retrograd::data::Csv;
    ///
    /// let table = "clip,word,level\na,yes,0.1\na,yes,0.3\nb,no,0.2\n";
    /// let clips = Csv::new().id("clip").constant(["word"]).parse_panel(table, "clips.csv")?;
    /// assert_eq!(clips.constant("word").unwrap(), ["yes", "no"]);
    /// assert_eq!(clips.series()[0].rows(), [0.1, 0.3]);
    /// let broken = table.replace("a,yes,0.3", "a,no,0.3");
    /// let error = Csv::new().id("clip").constant(["word"]).parse_panel(&broken, "clips.csv").unwrap_err();
    /// let expected = "clips.csv, line 3, column \"word\": \"no\", where line 2 has \"yes\"; it must be the same in all rows of the \
    ///     series \"a\"";
    /// assert_eq!(error.to_string(), expected);
    /// # Ok::<(), retrograd::data::DataError>(())
    /// ```
    pub fn constant<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Csv {
        self.constant.extend(columns.into_iter().map(Into::into));
        self
    }

    /// As [`Csv::constant`], for columns that need not be there: labels of what may have none yet.
    pub fn optional<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Csv {
        self.optional.extend(columns.into_iter().map(Into::into));
        self
    }

    /// The greatest number of bytes to read, [`Csv::LIMIT`] by default. The parsed numbers take up to four times as much memory
    /// again.
    pub fn limit(mut self, bytes: u64) -> Csv {
        self.limit = bytes;
        self
    }
}
