//! Detects columns that are time, and whether time advances in them or goes back.
//!
//! Everything here is a guess about what a column means. A guess leaves a column out, with a note, or rejects a table; it never
//! changes a number.

use super::IndexUnit;

/// A moment to compare with others of the same column: year, month, day, hour, minute, second, billionths of a second.
type Moment = [u64; 7];

/// A column of numbers that is an index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct IndexColumn {
    pub(super) unit: IndexUnit,
    /// Whether it falls from row to row.
    pub(super) falls: bool,
}

/// The fewest rows by which a column counts as an index from equal distances alone.
pub(super) const EVEN_ROWS: usize = 8;
/// The fewest rows by which a column counts as time.
const TIME_ROWS: usize = 3;

/// Unix time from March 1973 to November 2286 in each unit; the ranges do not overlap.
const UNIX: [(f64, f64, IndexUnit); 4] = [
    (1e8, 1e10, IndexUnit::Seconds),
    (1e11, 1e13, IndexUnit::Milliseconds),
    (1e14, 1e16, IndexUnit::Microseconds),
    (1e17, 1e19, IndexUnit::Nanoseconds),
];

/// Whether a monotonic column of whole numbers is time or counts rows. Time is in the range of unix time and has mostly equal
/// distances (within a tenth of the median, to allow for gaps and jitter) or a name that says time; or it is year, month and day in
/// eight digits. A count has equal distances throughout; if it falls, its name must say count or time.
pub(super) fn index(name: &str, values: &[f64]) -> Option<IndexColumn> {
    if values.len() < TIME_ROWS || values.iter().any(|v| v.fract() != 0.0) {
        return None;
    }
    let distances: Vec<f64> = values.windows(2).map(|w| w[1] - w[0]).collect();
    let (rises, falls) = (
        distances.iter().any(|d| *d > 0.0),
        distances.iter().any(|d| *d < 0.0),
    );
    if rises == falls {
        return None;
    }
    let found = |unit| Some(IndexColumn { unit, falls });
    let within = |low: f64, high: f64| values.iter().all(|v| (low..high).contains(v));
    let scale = UNIX.iter().find(|(low, high, _)| within(*low, *high));
    if let Some((_, _, unit)) = scale
        && (called(name, &TIMES) || mostly_even(&distances))
    {
        return found(*unit);
    }
    let days = |v: &f64| moments(&format!("{v}"))[0].is_some();
    if within(1e7, 3e7) && values.iter().all(days) {
        return found(IndexUnit::Days);
    }
    let even = distances.iter().all(|d| *d == distances[0]);
    match even && values.len() >= EVEN_ROWS && (rises || called(name, &COUNTS)) {
        true => found(IndexUnit::Rows),
        false => None,
    }
}

/// Whether a column is time by its numbers, and falls.
pub(super) fn is_falling_time(name: &str, values: &[f64]) -> bool {
    index(name, values).is_some_and(|i| i.falls && i.unit != IndexUnit::Rows)
}

/// Words in the names of columns that are time, and of those that count.
const TIMES: [&str; 6] = ["time", "date", "epoch", "unix", "ts", "stamp"];
const COUNTS: [&str; 14] = [
    "time", "date", "epoch", "unix", "ts", "stamp", "year", "month", "day", "hour", "id", "index",
    "row", "step",
];

/// Whether a name is made of words one of which is, or ends in, one of these: `timestamp`, `open_time`, `ID`.
fn called(name: &str, words: &[&str]) -> bool {
    let name = name.to_lowercase();
    let mut parts = name.split(|c: char| !c.is_alphanumeric());
    parts.any(|part| {
        words
            .iter()
            .any(|w| part == *w || (w.len() > 2 && part.ends_with(w)))
    })
}

fn mostly_even(distances: &[f64]) -> bool {
    let mut sizes: Vec<f64> = distances.iter().map(|d| d.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let median = sizes[sizes.len() / 2];
    let near = sizes.iter().filter(|s| (*s - median).abs() <= 0.1 * median);
    2 * near.count() > sizes.len()
}

/// How the dates of a column follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DateOrder {
    /// They never go back, or are no dates.
    Kept,
    /// Some go back, the first in this row; more go on.
    Broken(usize),
    /// Most go back, the first in this row.
    Backwards(usize),
}

/// The order of dates. Of the readings that fit all of them (day or month first), the one that goes back least often counts.
pub(super) fn order<'a>(texts: impl Iterator<Item = &'a str>) -> DateOrder {
    #[derive(Clone, Copy)]
    struct Reading {
        before: Moment,
        rises: usize,
        falls: usize,
        first: usize,
    }
    let mut readings: [Option<Reading>; 2] = [None; 2];
    for (row, text) in texts.enumerate() {
        for (reading, moment) in readings.iter_mut().zip(moments(text)) {
            *reading = match (*reading, moment) {
                (None, Some(before)) if row == 0 => Some(Reading {
                    before,
                    rises: 0,
                    falls: 0,
                    first: 0,
                }),
                (Some(mut r), Some(now)) => {
                    if now > r.before {
                        r.rises += 1;
                    } else if now < r.before {
                        r.falls += 1;
                        if r.falls == 1 {
                            r.first = row;
                        }
                    }
                    r.before = now;
                    Some(r)
                }
                _ => None,
            };
        }
        if readings.iter().all(Option::is_none) {
            return DateOrder::Kept;
        }
    }
    match readings.into_iter().flatten().min_by_key(|r| r.falls) {
        Some(r) if r.falls > r.rises => DateOrder::Backwards(r.first),
        Some(r) if r.falls > 0 => DateOrder::Broken(r.first),
        _ => DateOrder::Kept,
    }
}

/// Whether a text is a date.
pub(super) fn is_date(text: &str) -> bool {
    moments(text).iter().any(Option::is_some)
}

/// A piece of a date.
#[derive(Clone, Copy, PartialEq)]
enum Piece {
    /// A number, its digits, and the character before it.
    Number(u64, usize, char),
    Month(u64),
}

/// The possible readings of a text as a date, with or without a time: day first, and month first. They are equal for dates that
/// begin with the year or name the month, and None for any other text.
fn moments(text: &str) -> [Option<Moment>; 2] {
    use Piece::{Month, Number};
    let Some((pieces, said)) = pieces(text) else {
        return [None; 2];
    };
    let one = |date: [u64; 3], rest: &[Piece]| [moment(date, rest, said); 2];
    match *pieces {
        [Number(n, 8, _), ref rest @ ..] => one([n / 10_000, n / 100 % 100, n % 100], rest),
        [Number(year, 4, _)] => one([year, 1, 1], &[]),
        [Number(year, 4, _), Number(month, ..) | Month(month)] => one([year, month, 1], &[]),
        [
            Number(year, 4, _),
            Number(month, ..) | Month(month),
            Number(day, ..),
            ref rest @ ..,
        ] => one([year, month, day], rest),
        [Month(month), Number(year, 4, _)] => one([year, month, 1], &[]),
        [
            Month(month),
            Number(day, ..),
            Number(year, 4, _),
            ref rest @ ..,
        ]
        | [
            Number(day, ..),
            Month(month),
            Number(year, 2 | 4, _),
            ref rest @ ..,
        ] => one([year, month, day], rest),
        [
            Number(a, 1 | 2, _),
            Number(b, 1 | 2, by),
            Number(year, digits @ (2 | 4), also),
            ref rest @ ..,
        ] if by == also && (by == '/' || (digits == 4 && matches!(by, '-' | '.' | ' '))) => [
            moment([year, b, a], rest, said),
            moment([year, a, b], rest, said),
        ],
        _ => [None; 2],
    }
}

/// A date with its time, if both are possible.
fn moment([year, month, day]: [u64; 3], rest: &[Piece], said: Said) -> Option<Moment> {
    let mut out = [year, month, day, 0, 0, 0, 0];
    // A fraction may be followed by an offset from UTC, which is left out: it is the same from row to row, or nearly.
    for (k, piece) in rest.iter().take(4).enumerate() {
        let Piece::Number(n, digits, before) = *piece else {
            return None;
        };
        match (k, before) {
            (3, '.' | ',') => out[6] = n * 10_u64.pow(9_usize.saturating_sub(digits) as u32),
            (3, _) => {}
            _ => out[3 + k] = n,
        }
    }
    match said.afternoon {
        Some(true) if out[3] < 12 => out[3] += 12,
        Some(false) if out[3] == 12 => out[3] = 0,
        _ => {}
    }
    let [_, month, day, hour, minute, second, _] = out;
    let months = if said.week { 53 } else { 12 };
    let possible = (1..=months).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 24
        && minute < 60
        && second <= 60;
    possible.then_some(out)
}

/// The meaning of words in a date.
#[derive(Clone, Copy, Default)]
struct Said {
    /// p.m. or a.m.
    afternoon: Option<bool>,
    /// That the number after the year is a week's.
    week: bool,
}

/// The pieces of a text that consists of numbers, months, days of the week and the separators of dates.
fn pieces(text: &str) -> Option<(Vec<Piece>, Said)> {
    const LONGEST: usize = 48;
    if text.len() > LONGEST {
        return None;
    }
    let (mut pieces, mut said, mut before) = (Vec::new(), Said::default(), ' ');
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        if c.is_ascii_digit() {
            let end = run(|c| c.is_ascii_digit());
            pieces.push(Piece::Number(rest[..end].parse().ok()?, end, before));
            rest = &rest[end..];
        } else if c.is_alphabetic() {
            let end = run(char::is_alphabetic);
            match word(&rest[..end].to_lowercase())? {
                Word::Month(m) => pieces.push(Piece::Month(m)),
                Word::Noon(after) => said.afternoon = Some(after),
                Word::Week => said.week = true,
                Word::Nothing => {}
            }
            rest = &rest[end..];
        } else if matches!(c, '-' | '/' | '.' | ':' | ',' | ' ' | '+' | '(' | ')') {
            rest = &rest[c.len_utf8()..];
        } else {
            return None;
        }
        before = c;
    }
    Some((pieces, said))
}

enum Word {
    Month(u64),
    Noon(bool),
    Week,
    Nothing,
}

fn word(word: &str) -> Option<Word> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    const DAYS: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let begins = |whole: &&str| word.len() >= 3 && whole.starts_with(word);
    if let Some(at) = MONTHS.iter().position(&begins) {
        return Some(Word::Month(at as u64 + 1));
    }
    match word {
        "am" => Some(Word::Noon(false)),
        "pm" => Some(Word::Noon(true)),
        "t" | "z" | "utc" | "gmt" | "q" => Some(Word::Nothing),
        "w" => Some(Word::Week),
        _ if DAYS.iter().any(begins) => Some(Word::Nothing),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_compared_whatever_their_form() {
        let earlier_and_later = [
            ("2012/01/31", "2012/02/01"),
            ("2012-01-31 23:59:59", "2012-02-01 00:00:00"),
            ("2012-01-31T23:59:59.25Z", "2012-01-31T23:59:59.3Z"),
            ("31.01.2012", "01.02.2012"),
            ("1/31/2012", "2/1/2012"),
            ("1/31/12", "2/1/12"),
            ("Jan 31, 2012", "Feb 01, 2012"),
            ("31-Jan-2012", "01-Feb-2012"),
            ("Tuesday, 31 January 2012", "Wednesday, 1 February 2012"),
            ("20120131", "20120201"),
            ("2012Q1", "2012Q2"),
            ("2012-W52", "2013-W01"),
            ("2012", "2013"),
            ("Dec 2012", "Jan 2013"),
            ("1/31/2012 11:59 AM", "1/31/2012 12:00 PM"),
            ("2012-01-31 01:00:00+01:00", "2012-01-31 02:00:00+01:00"),
        ];
        for (a, b) in earlier_and_later {
            assert!(is_date(a) && is_date(b), "{a}, {b}");
            assert_eq!(order([a, b].into_iter()), DateOrder::Kept, "{a}, {b}");
            assert_eq!(
                order([b, a].into_iter()),
                DateOrder::Backwards(1),
                "{b}, {a}"
            );
        }
    }

    #[test]
    fn what_is_no_date_has_no_order() {
        for text in [
            "",
            "day 3",
            "mon",
            "12",
            "-5",
            "3.14",
            "1,000",
            "192.168.1.1",
            "12:30:45",
            "2012-13-01",
            "1e5",
            "$20",
            "v1.2.2012a",
            "99999999999999999999999999",
        ] {
            assert!(!is_date(text), "{text}");
        }
        assert_eq!(order(["day 3", "day 2"].into_iter()), DateOrder::Kept);
    }

    #[test]
    fn the_reading_that_goes_on_counts_and_a_step_back_is_found() {
        let days_first = ["01/02/2020", "02/02/2020", "01/03/2020"];
        assert_eq!(order(days_first.into_iter()), DateOrder::Kept);
        let broken = ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-02"];
        assert_eq!(order(broken.into_iter()), DateOrder::Broken(3));
        let mostly = ["2020-01-04", "2020-01-03", "2020-01-05", "2020-01-01"];
        assert_eq!(order(mostly.into_iter()), DateOrder::Backwards(1));
        assert_eq!(order(["2020", "2019", "x"].into_iter()), DateOrder::Kept);
    }

    #[test]
    fn indices_are_told_from_data() {
        let counts = |name: &str, values: &[f64]| index(name, values).map(|i| (i.unit, i.falls));
        let run = |first: f64, by: f64, n: usize| -> Vec<f64> {
            (0..n).map(|k| first + by * k as f64).collect()
        };
        assert_eq!(
            counts("a", &run(1.0, 1.0, 8)),
            Some((IndexUnit::Rows, false))
        );
        assert_eq!(counts("a", &run(1.0, 1.0, 7)), None, "too few to say");
        assert_eq!(counts("a", &run(9.0, -1.0, 9)), None, "data may well fall");
        assert_eq!(
            counts("Year", &run(2008.0, -1.0, 9)),
            Some((IndexUnit::Rows, true))
        );
        assert_eq!(counts("a", &run(0.5, 1.0, 9)), None, "not whole");
        assert_eq!(counts("a", &[5.0; 9]), None, "constant");
        for (unit, which) in [
            (1.0, IndexUnit::Seconds),
            (1e3, IndexUnit::Milliseconds),
            (1e6, IndexUnit::Microseconds),
            (1e9, IndexUnit::Nanoseconds),
        ] {
            let hours = run(1.6e9 * unit, 3600.0 * unit, 3);
            assert_eq!(counts("a", &hours), Some((which, false)));
        }
        let mut gaps = run(1.6e9, 86_400.0, 30);
        for (k, t) in gaps.iter_mut().enumerate() {
            *t += (k / 5) as f64 * 172_800.0 + (k % 3) as f64 * 60.0;
        }
        assert_eq!(counts("a", &gaps), Some((IndexUnit::Seconds, false)));
        let counter = [1.2e9, 1.3e9, 1.31e9, 1.6e9, 1.61e9];
        assert_eq!(counts("bytes", &counter), None, "a counter of bytes");
        assert_eq!(
            counts("open_time", &counter),
            Some((IndexUnit::Seconds, false))
        );
        let days = [20_191_230.0, 20_191_231.0, 20_200_102.0];
        assert_eq!(counts("a", &days), Some((IndexUnit::Days, false)));
        assert_eq!(
            counts("a", &[20_191_230.0, 20_191_240.0, 20_191_250.0]),
            None
        );
    }
}
