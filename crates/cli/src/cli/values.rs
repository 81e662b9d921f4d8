//! Parsers of the values of flags; each says what it expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use retrograd::Unroll;
use retrograd::data::Header;
use retrograd::zoo::{self, Entry};

use super::choice::near;

/// A whole number in a range; `usize::MAX` as its end means none.
pub(super) fn whole(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<usize, String> + Clone {
    let expected = match *range.end() {
        usize::MAX => format!("a whole number of at least {}", range.start()),
        end => format!("a whole number from {} to {end}", range.start()),
    };
    move |text| parse(text, &expected, |n| range.contains(n))
}

/// More than `low` and less than `high`.
pub(super) fn between(low: f64, high: f64) -> impl Fn(&str) -> Result<f64, String> + Clone {
    let expected = match high {
        f64::MAX => format!("a number of more than {low}"),
        _ => format!("a number of more than {low} and less than {high}"),
    };
    move |text| parse(text, &expected, |x| *x > low && *x < high)
}

/// An unroll factor that the compiler supports.
pub(super) fn unroll(text: &str) -> Result<Unroll, String> {
    let expected = format!("a whole number from 1 to {}", Unroll::MOST);
    let factor = parse(text, &expected, |_: &usize| true)?;
    Unroll::by(factor).map_err(|e| e.to_string())
}

pub(super) fn header(text: &str) -> Result<Header, String> {
    match text {
        "yes" => Ok(Header::Names),
        "no" => Ok(Header::None),
        _ => Err("expected `yes` or `no`".to_owned()),
    }
}

/// A character of ASCII between cells.
pub(super) fn separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && *one != b'"' => Ok(*one),
        _ => Err("expected one character that is no letter, digit or quote, or `tab`".to_owned()),
    }
}

pub(super) fn decimal(text: &str) -> Result<u8, String> {
    match text {
        "." => Ok(b'.'),
        "," => Ok(b','),
        _ => Err("expected `.` or `,`".to_owned()),
    }
}

pub(super) fn dropout(text: &str) -> Result<f64, String> {
    let expected = "a number of at least 0 and less than 1";
    parse(text, expected, |p| (0.0..1.0).contains(p))
}

/// A cell of the zoo by its name.
pub(super) fn zoo_entry(name: &str) -> Result<&'static Entry, String> {
    zoo::find(name).ok_or_else(|| {
        let known: Vec<&str> = zoo::names().collect();
        let hint = near(name, zoo::names());
        format!(
            "there is no cell `{name}`{hint}; the cells are {}",
            known.join(", ")
        )
    })
}

fn parse<N: FromStr + Display>(
    text: &str,
    expected: &str,
    fits: impl Fn(&N) -> bool,
) -> Result<N, String> {
    let number = text.trim().parse().ok().filter(fits);
    number.ok_or_else(|| format!("expected {expected}"))
}
