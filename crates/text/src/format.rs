//! [`format`]: the text of a cell file in its usual form.
//!
//! Lines stay lines, and comments stay where they are; what changes is white space. Four spaces indent each open brace or
//! bracket; an operator has spaces around it but for `^`, `..`, a sign, and `=` within brackets or after `where`; a comma
//! has one behind it; empty lines come one at a time, and none at the beginning or end.
//!
//! Invariant: the tokens and comments are the same before and after, in the same lines, and what is formatted stays as it
//! is when formatted again.

use std::sync::Arc;

use crate::lexer::{Lexer, Token};
use crate::source::Source;

/// Words that an expression in brackets may follow after a space: `loss (y - next)^2` is no call.
const BEFORE_EXPRESSIONS: [&str; 10] = [
    "loss", "weight", "init", "output", "return", "in", "delay", "keep", "where", "over",
];

/// A part of a line, and whether white space came before it.
struct Piece<'t> {
    token: Token,
    text: &'t str,
    spaced: bool,
}

/// The text in its usual form; none if it is none of the language, which the parser says better.
///
/// ```
/// let text = "cell  leaky( x[2];h[2] ) where I = 2\n\n\nh'=0.9*h+( 1-0.9 )*tanh( x )# leaks\noutput y=h'";
/// assert_eq!(
///     retrograd_text::format(text).as_deref(),
///     Some("cell leaky(x[2]; h[2]) where I=2\n\nh' = 0.9 * h + (1 - 0.9) * tanh(x)  # leaks\noutput y = h'\n")
/// );
/// ```
pub fn format(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    // Open braces and brackets.
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    let mut blank = false;
    for line in text.lines() {
        let (code, comment) = split(line);
        let pieces = pieces(code)?;
        if pieces.is_empty() && comment.is_none() {
            blank = !out.is_empty();
            continue;
        }
        if std::mem::take(&mut blank) {
            out.push('\n');
        }
        let closing = pieces.iter().take_while(|p| is_closing(p)).count();
        let indent = (depth + brackets).saturating_sub(closing);
        out.push_str(&"    ".repeat(indent));
        written(&pieces, brackets, &mut out);
        if let Some(comment) = comment {
            if !pieces.is_empty() {
                out.push_str("  ");
            }
            out.push_str(comment.trim_end());
        }
        out.push('\n');
        for piece in &pieces {
            match piece.token {
                Token::Sign("{") => depth += 1,
                Token::Sign("}") => depth = depth.saturating_sub(1),
                Token::Sign("(" | "[") => brackets += 1,
                Token::Sign(")" | "]") => brackets = brackets.saturating_sub(1),
                _ => {}
            }
        }
    }
    Some(out)
}

fn is_closing(piece: &Piece<'_>) -> bool {
    matches!(piece.token, Token::Sign("}" | ")" | "]"))
}

/// The code of a line, and its comment.
fn split(line: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return (&line[..at], Some(&line[at..])),
            _ => {}
        }
    }
    (line, None)
}

/// The tokens of a line; none if some of it is no token.
fn pieces(code: &str) -> Option<Vec<Piece<'_>>> {
    let source = Arc::new(Source::new("format", code));
    let mut lexer = Lexer::new(&source);
    let mut found = Vec::new();
    let mut end = 0;
    loop {
        let (token, span) = lexer.next();
        match token {
            Token::End => return Some(found),
            Token::Stray => return None,
            Token::Newline => {}
            Token::Name | Token::Number(_) | Token::Quoted | Token::Sign(_) => found.push(Piece {
                token,
                text: &code[span.start..span.end],
                spaced: span.start > end,
            }),
        }
        end = span.end;
    }
}

/// Writes the tokens of a line with the spaces between them, in so many open brackets.
fn written(pieces: &[Piece<'_>], mut brackets: usize, out: &mut String) {
    let mut dims = false;
    for (i, piece) in pieces.iter().enumerate() {
        if i > 0 {
            let tight = dims || brackets > 0;
            if spaced(&pieces[..i], piece, tight) {
                out.push(' ');
            }
        }
        out.push_str(piece.text);
        match piece.token {
            Token::Sign("(" | "[") => brackets += 1,
            Token::Sign(")" | "]") => brackets = brackets.saturating_sub(1),
            Token::Name if piece.text == "where" => dims = true,
            _ => {}
        }
    }
}

/// True for a token that an operand ends with.
fn ends_operand(piece: &Piece<'_>) -> bool {
    match piece.token {
        Token::Name => !BEFORE_EXPRESSIONS.contains(&piece.text),
        Token::Number(_) | Token::Quoted | Token::Sign(")" | "]") => true,
        _ => false,
    }
}

/// True if the minus at the end of these tokens is a sign, not a difference.
fn is_negation(before: &[Piece<'_>]) -> bool {
    let [rest @ .., minus] = before else {
        return false;
    };
    minus.token == Token::Sign("-") && !rest.last().is_some_and(ends_operand)
}

/// Whether there is a space between the last of `before` and the next token. `tight`: `=` gives an attribute or a size.
fn spaced(before: &[Piece<'_>], next: &Piece<'_>, tight: bool) -> bool {
    let Some(last) = before.last() else {
        return false;
    };
    let binary =
        |sign: &str| matches!(sign, "+" | "*" | "/" | "@" | "<" | ">" | "<=" | ">=" | "==");
    match (last.token, next.token) {
        (Token::Sign("(" | "[" | "^" | ".."), _) => false,
        (_, Token::Sign(")" | "]" | "," | ";" | ":" | "^")) => false,
        (_, Token::Sign("..")) => false,
        _ if is_negation(before) => false,
        (Token::Sign("," | ";" | ":"), _) => true,
        (Token::Sign("="), _) | (_, Token::Sign("=")) => !tight,
        (Token::Sign("{" | "}"), _) | (_, Token::Sign("{" | "}")) => true,
        (Token::Sign(sign), _) if binary(sign) || sign == "-" => true,
        (_, Token::Sign(sign)) if binary(sign) || sign == "-" => true,
        // A call, sizes, an index; or an expression after a word.
        (Token::Name, Token::Sign("(" | "[")) => {
            next.spaced && BEFORE_EXPRESSIONS.contains(&last.text)
        }
        (_, Token::Sign("(" | "[")) => false,
        _ => true,
    }
}
