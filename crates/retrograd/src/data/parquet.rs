//! Parquet files, as the text that the reader of CSV takes: what that does with columns, dates, gaps and names is done with these, too.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet::basic::{LogicalType, TimeUnit};
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::{Csv, DataError, Header};

/// Bytes of text for one of the limit's: columns of Parquet are compressed.
const MORE: u64 = 4;

/// The rows of a file as CSV, and how that is to be read. Its line k + 1 is row k.
///
/// # Errors
/// [`DataError::Malformed`] for what is no such file or is compressed in a way that is not read; [`DataError::TooLarge`].
pub(super) fn text(bytes: &[u8], file: &str, how: &Csv) -> Result<(String, Csv), DataError> {
    // The crate panics on some damaged files. It holds nothing that outlives the call.
    let read = AssertUnwindSafe(|| read(bytes, file, how));
    catch_unwind(read).unwrap_or_else(|_| {
        Err(DataError::Malformed {
            file: file.to_owned(),
            cause: "the Parquet file is damaged".into(),
        })
    })
}

fn read(bytes: &[u8], file: &str, how: &Csv) -> Result<(String, Csv), DataError> {
    let broken = |cause: ParquetError| DataError::Malformed {
        file: file.to_owned(),
        cause: cause.into(),
    };
    let bytes = Bytes::copy_from_slice(bytes);
    let reader = SerializedFileReader::new(bytes).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let fields = schema.root_schema().get_fields();
    let names: Vec<&str> = fields.iter().map(|f| f.name()).collect();
    let in_nanoseconds: Vec<bool> = (fields.iter())
        .map(|f| match f.get_basic_info().logical_type_ref() {
            Some(LogicalType::Timestamp(kind)) => kind.unit == TimeUnit::NANOS,
            _ => false,
        })
        .collect();
    let mut table: Vec<Vec<Cell>> = names.iter().map(|_| Vec::new()).collect();
    let mut size = 0;
    for row in reader.get_row_iter(None).map_err(broken)? {
        let row = row.map_err(broken)?;
        for (k, (_, field)) in row.get_column_iter().enumerate() {
            let cell = Cell::of(field, in_nanoseconds[k]);
            size += cell.size();
            table[k].push(cell);
        }
        if size as u64 > how.limit.saturating_mul(MORE) {
            return Err(DataError::TooLarge {
                file: file.to_owned(),
                limit: how.limit,
            });
        }
    }
    let dates: Vec<bool> = (table.iter())
        .map(|column| column.iter().all(Cell::is_midnight))
        .collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        for (k, cell) in cells.enumerate() {
            let comma = if k > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{}\"", cell.replace('"', "\"\""));
        }
        out.push('\n');
    };
    line(&mut names.iter().map(|n| (*n).to_owned()));
    for row in 0..table.first().map_or(0, Vec::len) {
        let cells = table.iter().zip(&dates);
        line(&mut cells.map(|(column, dates)| column[row].text(*dates)));
    }
    let how = Csv {
        separator: Some(b','),
        decimal: Some(b'.'),
        header: Header::Names,
        thousands: false,
        ..how.clone()
    };
    Ok((out, how))
}

/// A cell.
enum Cell {
    Missing,
    Text(String),
    /// Nanoseconds since 1970.
    Time(i128),
}

impl Cell {
    fn of(field: &Field, in_nanoseconds: bool) -> Cell {
        const SECOND: i128 = 1_000_000_000;
        match field {
            Field::Null => Cell::Missing,
            Field::Bool(yes) => Cell::Text(u8::from(*yes).to_string()),
            Field::Str(text) => Cell::Text(text.clone()),
            Field::Float16(x) => Cell::Text(x.to_f32().to_string()),
            Field::Float(x) => Cell::Text(x.to_string()),
            Field::Double(x) => Cell::Text(x.to_string()),
            Field::Decimal(x) => Cell::Text(decimal(x)),
            Field::Date(days) => Cell::Time(i128::from(*days) * 86_400 * SECOND),
            Field::Long(t) if in_nanoseconds => Cell::Time(i128::from(*t)),
            Field::TimestampMillis(t) => Cell::Time(i128::from(*t) * 1_000_000),
            Field::TimestampMicros(t) => Cell::Time(i128::from(*t) * 1000),
            other => Cell::Text(other.to_string()),
        }
    }

    /// The bytes of its text, about.
    fn size(&self) -> usize {
        match self {
            Cell::Missing => 3,
            Cell::Text(text) => text.len() + 3,
            Cell::Time(_) => 22,
        }
    }

    fn is_midnight(&self) -> bool {
        match self {
            Cell::Time(t) => t.rem_euclid(86_400_000_000_000) == 0,
            Cell::Missing => true,
            Cell::Text(_) => false,
        }
    }

    /// As it stands in CSV; a time of a column of `dates` without its hours.
    fn text(&self, dates: bool) -> String {
        match self {
            Cell::Missing => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Time(t) => {
                let second = t.div_euclid(1_000_000_000);
                let (day, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
                let (year, month, date) = civil(day as i64);
                let mut out = format!("{year:04}-{month:02}-{date:02}");
                if !dates {
                    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
                    let _ = write!(out, " {h:02}:{m:02}:{s:02}");
                }
                out
            }
        }
    }
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, date)
}

/// A decimal number: its digits as a whole number, and how many are behind the point.
fn decimal(x: &Decimal) -> String {
    let bytes = x.data();
    if bytes.is_empty() || bytes.len() > 16 || !(0..=38).contains(&x.scale()) {
        return Field::Decimal(x.clone()).to_string();
    }
    let start = if bytes[0] & 0x80 != 0 { -1_i128 } else { 0 };
    let whole = bytes.iter().fold(start, |n, b| (n << 8) | i128::from(*b));
    let scale = usize::try_from(x.scale()).unwrap_or(0);
    let digits = format!("{:0>width$}", whole.unsigned_abs(), width = scale + 1);
    let (before, after) = digits.split_at(digits.len() - scale);
    let sign = if whole < 0 { "-" } else { "" };
    match after {
        "" => format!("{sign}{before}"),
        after => format!("{sign}{before}.{after}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{civil, decimal};
    use parquet::data_type::Decimal;

    #[test]
    fn days_and_decimals_are_those_of_the_calendar_and_of_hand() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (-25_509, (1900, 2, 28)),
            (-25_508, (1900, 3, 1)),
        ] {
            assert_eq!(civil(day), date);
        }
        for (value, scale, text) in [(12_345, 2, "123.45"), (-7, 3, "-0.007"), (40, 0, "40")] {
            assert_eq!(decimal(&Decimal::from_i64(value, 18, scale)), text);
        }
    }
}
