//! How a table writes its cells: the encoding, what separates cells, and how numbers are written.

use std::borrow::Cow;

use super::records::{is_missing, without_commas};
use super::{Csv, Note};

/// How the cells of a table are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Locale {
    pub(super) separator: u8,
    decimal: u8,
    thousands: bool,
    /// Whether one of the first two is a guess that has to be told.
    guessed: bool,
}

/// Rows from which is guessed.
const ROWS: usize = 1000;
/// What separates cells, other than a comma.
const SEPARATORS: [u8; 3] = *b"\t;|";
/// What stands between groups of three digits, beside point and comma.
const SPACES: [char; 4] = [' ', '\'', '\u{a0}', '\u{202f}'];

impl Locale {
    /// As the caller says or, where it does not say, as the first rows look.
    pub(super) fn of(text: &str, how: &Csv) -> Locale {
        let separator = how.separator.unwrap_or_else(|| separator(text));
        let decimal = match how.decimal {
            Some(decimal) => decimal,
            None if separator != b',' && has_decimal_commas(text, separator) => b',',
            None => b'.',
        };
        let guessed = (how.separator.is_none() && separator != b',')
            || (how.decimal.is_none() && decimal != b'.');
        Locale {
            separator,
            decimal,
            thousands: how.thousands,
            guessed,
        }
    }

    /// What was guessed and is not the usual.
    pub(super) fn note(&self) -> Option<Note> {
        self.guessed.then(|| Note::Locale {
            separator: char::from(self.separator),
            decimal: char::from(self.decimal),
        })
    }

    /// The number of a cell, if it is written as one.
    pub(super) fn number(&self, cell: &str) -> Option<f64> {
        self.plain(cell)?.parse().ok()
    }

    /// Whether a cell has digits in groups of three with commas between them, which are not read.
    pub(super) fn is_grouped(&self, cell: &str) -> bool {
        self.decimal == b'.' && !self.thousands && without_commas(cell).is_some()
    }

    /// The cell with a decimal point and without marks between thousands.
    fn plain<'c>(&self, cell: &'c str) -> Option<Cow<'c, str>> {
        if self.decimal == b'.' {
            if !self.thousands {
                return Some(Cow::Borrowed(cell));
            }
            return Some(match without_commas(cell).or_else(|| spaced(cell, '.')) {
                Some(bare) => Cow::Owned(bare),
                None => Cow::Borrowed(cell),
            });
        }
        // A point can only stand between thousands.
        let bare = match cell.contains('.') {
            true => ungrouped(cell, &['.'], ',')?,
            false => spaced(cell, ',').unwrap_or_else(|| cell.to_owned()),
        };
        Some(Cow::Owned(bare.replace(',', ".")))
    }
}

/// A number with spaces or apostrophes between thousands, without them.
fn spaced(cell: &str, decimal: char) -> Option<String> {
    ungrouped(cell, &SPACES, decimal)
}

/// A number with these marks between groups of three digits, without them.
fn ungrouped(cell: &str, marks: &[char], decimal: char) -> Option<String> {
    let (whole, fraction) = cell.split_once(decimal).unwrap_or((cell, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = whole.trim_start_matches(['+', '-']);
    let mut groups = unsigned.split(marks);
    let first = groups.next()?;
    let mut rest = groups.peekable();
    let grouped = (1..=3).contains(&first.len())
        && digits(first)
        && rest.peek().is_some()
        && rest.all(|g| g.len() == 3 && digits(g))
        && digits(fraction);
    let without = |text: &str| text.replace(marks, "");
    grouped.then(|| match cell.split_once(decimal) {
        Some((whole, fraction)) => format!("{}{decimal}{fraction}", without(whole)),
        None => without(cell),
    })
}

/// The cells of the first records, if the text can be read with this separator.
fn first_records(text: &str, separator: u8, most: usize) -> Vec<csv::StringRecord> {
    let reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let records = reader.into_records().filter_map(Result::ok);
    let blank = |r: &csv::StringRecord| r.iter().all(str::is_empty);
    records.filter(|r| !blank(r)).take(most).collect()
}

/// The first separator that all of the first lines have equally often; a comma if there is none.
fn separator(text: &str) -> u8 {
    const LINES: usize = 20;
    let even = |separator: &u8| {
        let records = first_records(text, *separator, LINES);
        let count = records.first().map_or(0, csv::StringRecord::len);
        count > 1 && records.iter().all(|r| r.len() == count)
    };
    // Where no line tells commas from another one evenly, the header may still have only one of them.
    let alone = |separator: &u8| {
        let of_header = |s: u8| {
            first_records(text, s, 1)
                .first()
                .map_or(0, csv::StringRecord::len)
        };
        of_header(*separator) > 1 && of_header(b',') < 2
    };
    let even = SEPARATORS.into_iter().find(even);
    let found = even.or_else(|| SEPARATORS.into_iter().find(alone));
    found.unwrap_or(b',')
}

/// Whether some cells can only be numbers with a decimal comma, and none only one with a decimal point.
fn has_decimal_commas(text: &str, separator: u8) -> bool {
    let mut commas = false;
    for record in first_records(text, separator, ROWS) {
        for cell in record.iter().filter(|cell| !is_missing(cell)) {
            let one = |mark: char| cell.matches(mark).count() == 1;
            let fraction = |mark: char| cell.rsplit_once(mark).map_or(0, |(_, f)| f.len());
            if one('.') && fraction('.') != 3 && cell.parse::<f64>().is_ok() {
                return false;
            }
            let turned = cell.replace('.', "").replace(',', ".");
            let number = one(',') && turned.parse::<f64>().is_ok();
            commas |= number && (fraction(',') != 3 || cell.contains('.'));
        }
    }
    commas
}

/// The text of a file: UTF-8, or UTF-16 with a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units = pairs.iter().map(|pair| unit(*pair));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.ok().filter(|_| odd.is_empty()).map(Cow::Owned)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}
