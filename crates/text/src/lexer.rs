//! The lexer. Tokens are produced on demand; inside brackets line ends are ignored, and `#` begins a comment.

use std::sync::Arc;

use crate::error::TextError;
use crate::source::{Source, Span};

/// A token. Names and numbers are read from the text through their span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token {
    /// A letter or `_`, letters, digits, `_`, dots before one of these, and primes at the end.
    Name,
    /// Digits, with a fraction or an exponent: `2`, `2.`, `.5`, `1e-3`.
    Number(f64),
    /// A text in double quotes, on one line.
    Quoted,
    /// A sign of one or two characters.
    Sign(&'static str),
    /// The end of a line.
    Newline,
    /// The end of the text.
    End,
    /// Text that forms no token.
    Stray,
}

const SIGNS: [&str; 22] = [
    "..", "<=", ">=", "==", "(", ")", "[", "]", "{", "}", ",", ";", ":", "=", "+", "-", "*", "/",
    "@", "^", "<", ">",
];

/// Reads tokens from a text. Braces are no brackets here: lines end inside them.
#[derive(Clone, Debug)]
pub(crate) struct Lexer {
    pub(crate) source: Arc<Source>,
    at: usize,
    /// Open brackets.
    depth: usize,
    /// Where the last token ended.
    last: usize,
}

impl Lexer {
    pub(crate) fn new(source: &Arc<Source>) -> Lexer {
        Lexer {
            source: source.clone(),
            at: 0,
            depth: 0,
            last: 0,
        }
    }

    fn rest(&self) -> &str {
        &self.source.text[self.at..]
    }

    /// The text at a place.
    pub(crate) fn text(&self, span: Span) -> &str {
        &self.source.text[span.start..span.end]
    }

    /// The end of the last token, as an empty place.
    pub(crate) fn behind(&self) -> Span {
        Span {
            file: self.source.file,
            start: self.last,
            end: self.last,
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = |c: char| c.is_whitespace() && (c != '\n' || self.depth > 0);
            let mut n: usize = rest
                .chars()
                .take_while(|&c| blank(c))
                .map(char::len_utf8)
                .sum();
            if rest[n..].starts_with('#') {
                n += rest[n..].find('\n').unwrap_or(rest.len() - n);
            }
            if n == 0 {
                return;
            }
            self.at += n;
        }
    }

    /// The next token and its place.
    pub(crate) fn next(&mut self) -> (Token, Span) {
        self.skip_blanks();
        let start = self.at;
        let rest = &self.source.text[start..];
        let (token, n) = token(rest);
        match token {
            Token::Sign("(" | "[") => self.depth += 1,
            Token::Sign(")" | "]") => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.at += n;
        self.last = self.at;
        let (file, end) = (self.source.file, self.at);
        (token, Span { file, start, end })
    }

    /// The next token, without consuming it.
    pub(crate) fn peek(&self) -> (Token, Span) {
        let mut ahead = Lexer {
            source: self.source.clone(),
            ..*self
        };
        ahead.next()
    }

    /// True if this sign comes next, in which case it is consumed.
    pub(crate) fn take(&mut self, sign: &'static str) -> bool {
        let there = self.peek().0 == Token::Sign(sign);
        if there {
            self.next();
        }
        there
    }

    /// Consumes this sign.
    pub(crate) fn expect(&mut self, sign: &'static str, whence: &str) -> Result<Span, TextError> {
        let (token, span) = self.peek();
        if token == Token::Sign(sign) {
            self.next();
            return Ok(span);
        }
        Err(self.unexpected(&format!("`{sign}` {whence}")))
    }

    /// Consumes a name.
    pub(crate) fn name(&mut self, what: &str) -> Result<(String, Span), TextError> {
        match self.peek() {
            (Token::Name, span) => {
                self.next();
                Ok((self.text(span).to_owned(), span))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// True if the given word comes next, in which case it is consumed.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let (token, span) = self.peek();
        let there = token == Token::Name && self.text(span) == word;
        if there {
            self.next();
        }
        there
    }

    /// Skips empty lines.
    pub(crate) fn skip_newlines(&mut self) {
        while self.peek().0 == Token::Newline {
            self.next();
        }
    }

    /// Reports what was expected in place of the next token.
    pub(crate) fn unexpected(&self, expected: &str) -> TextError {
        let (token, span) = self.peek();
        let found = match token {
            Token::Newline => "the end of the line".to_owned(),
            Token::End => "the end of the text".to_owned(),
            _ => format!("`{}`", self.text(span)),
        };
        // The end of a line is reported at the end of the line's last token.
        let span = match token {
            Token::Newline | Token::End => self.behind(),
            _ => span,
        };
        let error = TextError::new(
            &self.source,
            span,
            format!("expected {expected}, found {found}"),
            format!("expected {expected}"),
        );
        match (token, self.depth) {
            (Token::Sign(";"), 0) => {
                error.help("lines end without a semicolon; sizes are parted by commas".into())
            }
            (Token::Sign(";"), _) => error.help("operands and sizes are parted by commas".into()),
            _ => error,
        }
    }
}

fn token(rest: &str) -> (Token, usize) {
    let Some(first) = rest.chars().next() else {
        return (Token::End, 0);
    };
    if first == '\n' {
        return (Token::Newline, 1);
    }
    if first.is_alphabetic() || first == '_' {
        return (Token::Name, name_length(rest));
    }
    let fraction = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if first.is_ascii_digit() || (first == '.' && fraction) {
        let n = number_length(rest.as_bytes());
        return match rest[..n].parse() {
            Ok(x) => (Token::Number(x), n),
            Err(_) => (Token::Stray, n),
        };
    }
    if first == '"' {
        let inside = &rest[1..];
        return match inside.find(['"', '\n']) {
            Some(n) if inside[n..].starts_with('"') => (Token::Quoted, n + 2),
            _ => (Token::Stray, 1),
        };
    }
    match SIGNS.iter().find(|s| rest.starts_with(**s)) {
        Some(sign) => (Token::Sign(sign), sign.len()),
        None => (Token::Stray, first.len_utf8()),
    }
}

fn name_length(rest: &str) -> usize {
    let mut n = 0;
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        let part = c.is_alphanumeric()
            || c == '_'
            || (c == '.'
                && chars
                    .peek()
                    .is_some_and(|&d| d.is_alphanumeric() || d == '_'));
        if !part {
            break;
        }
        n += c.len_utf8();
    }
    n + rest[n..].chars().take_while(|&c| c == '\'').count()
}

fn number_length(rest: &[u8]) -> usize {
    let digits = |from: usize| {
        let is_digit = |b: &&u8| b.is_ascii_digit();
        from + rest[from..].iter().take_while(is_digit).count()
    };
    let mut n = digits(0);
    // `1..3` is a range of two numbers.
    if rest.get(n) == Some(&b'.') && rest.get(n + 1) != Some(&b'.') {
        n = digits(n + 1);
    }
    if matches!(rest.get(n), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(n + 1), Some(b'+' | b'-')));
        let end = digits((n + 1 + sign).min(rest.len()));
        if end > n + 1 + sign {
            n = end;
        }
    }
    n
}
