//! The records of a CSV text with their line numbers, and the interpretation of a cell.

use csv::StringRecord;

use super::DataError;
use super::shown::printable;

/// Calls `each` with line number and cells of the header and of each data row, all of the header's length.
pub(super) fn records(
    text: &str,
    file: &str,
    separator: u8,
    mut each: impl FnMut(u64, &StringRecord) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let mut lines = Lines::new(text);
    let mut cells = StringRecord::new();
    let mut expected = None;
    loop {
        let more = reader.read_record(&mut cells);
        if !more.map_err(|error| DataError::Malformed {
            file: file.to_owned(),
            cause: error.into(),
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

/// What stands for a number that is missing, as spreadsheets and people write it.
const MISSING: [&str; 10] = [
    "", "-", "na", "n/a", "#n/a", "#nv", "null", "none", "k.a.", "k. a.",
];

/// Whether a cell is a gap.
pub(super) fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// A number with commas between thousands, such as "-1,234,567.8", without the commas.
pub(super) fn without_commas(cell: &str) -> Option<String> {
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
pub(super) fn cut(text: &str) -> String {
    printable(text, 40)
}
