//! A cursor over one line of the canonical form, and the reader's error type.

use std::str::FromStr;

/// A mistake in the text of a graph: where it is, what is wrong, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {message}; expected {expected}")]
#[non_exhaustive]
pub struct ReadError {
    /// The caller's name for the text, usually a path.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What was expected.
    pub expected: String,
}

/// Reads one line from start to end, skipping blanks before tokens.
pub(crate) struct Cursor<'t> {
    /// The name of the text in errors.
    name: &'t str,
    line: usize,
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    /// At the start of a line with this number.
    pub(crate) fn new(name: &'t str, line: usize, text: &'t str) -> Cursor<'t> {
        Cursor {
            name,
            line,
            text,
            at: 0,
        }
    }

    /// The remainder of the line, from its next token.
    pub(crate) fn rest(&self) -> &'t str {
        self.text[self.at..].trim_start()
    }

    /// The line number, and the byte offset of the next token.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.line, self.text.len() - self.rest().len())
    }

    /// An error at a byte of this line.
    pub(crate) fn error(&self, at: usize, message: String, expected: &str) -> ReadError {
        ReadError {
            name: self.name.to_owned(),
            line: self.line,
            column: self.text[..at].chars().count() + 1,
            message,
            expected: expected.to_owned(),
        }
    }

    /// An error that says what was expected in place of the next token.
    pub(crate) fn unexpected<T>(&self, expected: &str) -> Result<T, ReadError> {
        let token = |rest: &'t str| match word_length(rest).max(number_length(rest)) {
            0 => rest.chars().next().map(|first| &rest[..first.len_utf8()]),
            n => Some(&rest[..n]),
        };
        let message = match token(self.rest()) {
            Some(found) => format!("unexpected {}", quoted(found)),
            None => "unexpected end of the line".to_owned(),
        };
        Err(self.error(self.place().1, message, expected))
    }

    /// Reads the first `n` bytes of [`Cursor::rest`]; returns them and their offset.
    fn read(&mut self, n: usize) -> (&'t str, usize) {
        let at = self.place().1;
        self.at = at + n;
        (&self.text[at..self.at], at)
    }

    /// Reads the sign if it comes next, and returns whether it did.
    pub(crate) fn take(&mut self, sign: &str) -> bool {
        let there = self.rest().starts_with(sign);
        if there {
            self.read(sign.len());
        }
        there
    }

    /// Reads this sign, or fails.
    pub(crate) fn expect(&mut self, sign: &str, what: &str) -> Result<(), ReadError> {
        match self.take(sign) {
            true => Ok(()),
            false => self.unexpected(&format!("`{sign}` {what}")),
        }
    }

    /// Reads the word if it comes next, and returns whether it did.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let n = word_length(self.rest());
        let there = &self.rest()[..n] == word;
        if there {
            self.read(n);
        }
        there
    }

    /// Reads a word of letters, digits and `_`; returns it and its offset.
    pub(crate) fn word(&mut self, what: &str) -> Result<(&'t str, usize), ReadError> {
        match word_length(self.rest()) {
            0 => self.unexpected(what),
            n => Ok(self.read(n)),
        }
    }

    /// Reads an integer that fits its type.
    pub(crate) fn whole<N: FromStr>(&mut self, what: &str) -> Result<N, ReadError> {
        let n = number_length(self.rest());
        match self.rest()[..n].parse() {
            Ok(number) => {
                self.read(n);
                Ok(number)
            }
            Err(_) => self.unexpected(what),
        }
    }

    /// Reads a finite number without a sign.
    pub(crate) fn number(&mut self) -> Result<f64, ReadError> {
        let n = number_length(self.rest());
        match self.rest()[..n].parse::<f64>() {
            Ok(x) if x.is_finite() => {
                self.read(n);
                Ok(x)
            }
            Ok(_) => {
                let message = format!("{} is too large for f64", quoted(&self.rest()[..n]));
                Err(self.error(self.place().1, message, "a smaller number, or `inf`"))
            }
            Err(_) => self.unexpected("a number"),
        }
    }

    /// Reads a name, which extends to the next blank or is a quoted string; returns it and its offset.
    pub(crate) fn name(&mut self, what: &str) -> Result<(String, usize), ReadError> {
        let rest = self.rest();
        let (name, n) = match rest.strip_prefix('"') {
            Some(inside) => match unquote(inside) {
                Some((name, n)) => (name, n + 1),
                None => {
                    let message = "a string that is not closed".to_owned();
                    let expected = "a closing `\"` on this line, and only escapes such as \\n";
                    return Err(self.error(self.place().1, message, expected));
                }
            },
            None => {
                let n = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..n].to_owned(), n)
            }
        };
        if n == 0 {
            return self.unexpected(what);
        }
        let at = self.read(n).1;
        Ok((name, at))
    }
}

/// A piece of the text for a message; a long one is cut after its beginning.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut chars = text.chars();
    let mut out = String::from("`");
    out.extend(chars.by_ref().take(LONGEST));
    if chars.next().is_some() {
        out.push('…');
    }
    out.push('`');
    out
}

fn word_length(rest: &str) -> usize {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    match rest.starts_with(|c: char| c.is_ascii_digit()) {
        true => 0,
        false => rest.find(|c| !part(c)).unwrap_or(rest.len()),
    }
}

/// Length of digits, a fraction, an exponent. In `0..4` the fraction has no digits, so that the number is `0`.
fn number_length(rest: &str) -> usize {
    let digits = |from: usize| {
        let rest = rest.get(from..).unwrap_or("");
        rest.bytes().take_while(u8::is_ascii_digit).count()
    };
    let mut n = digits(0);
    if n == 0 {
        return 0;
    }
    if rest[n..].starts_with('.') && digits(n + 1) > 0 {
        n += 1 + digits(n + 1);
    }
    if rest[n..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[n + 1..].starts_with(['+', '-']));
        if digits(n + 1 + sign) > 0 {
            n += 1 + sign + digits(n + 1 + sign);
        }
    }
    n
}

/// Reads a quoted string without its opening quote: returns the string, and the bytes up to and including the closing
/// quote.
fn unquote(rest: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = rest.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, i + 1)),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                '0' => out.push('\0'),
                c @ ('"' | '\\' | '\'') => out.push(c),
                'u' => {
                    let code = rest[i + 2..].strip_prefix('{')?;
                    let code = &code[..code.find('}')?];
                    out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                    // The opening brace, the digits and the closing brace.
                    chars.nth(code.chars().count() + 1);
                }
                _ => return None,
            },
            c => out.push(c),
        }
    }
    None
}

/// A name in the form that [`Cursor::name`] reads: quoted if it contains a character that would end it.
pub(crate) fn as_name(name: &str) -> String {
    let ends = |c: char| c.is_whitespace() || c.is_control() || "\"#\\".contains(c);
    match name.is_empty() || name.contains(ends) {
        true => format!("{name:?}"),
        false => name.to_owned(),
    }
}
