//! Names and cells from a user's file, made safe for messages, tables and plots.

/// Characters of a name in a message.
const NAME: usize = 40;
/// Names in a list of them.
const NAMES: usize = 20;

/// A text fit for one line: characters that move the cursor, break the line or change its direction are escaped, as in `\\n` or
/// `\\u{1b}`, and text beyond `most` characters is replaced by an ellipsis.
///
/// ```
/// use retrograd::data::printable;
///
/// assert_eq!(printable("rain\nin mm", 40), "rain\\nin mm");
/// assert_eq!(printable("precipitation", 6), "precip…");
/// ```
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (k, c) in text.chars().enumerate() {
        if k == most {
            out.push('…');
            break;
        }
        match c {
            _ if c.is_control() => out.extend(c.escape_default()),
            // Zero width, line ends, and what turns the direction; the last two are not allowed in XML.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

/// A name or cell in a message.
pub(super) fn shown(text: &str) -> String {
    printable(text, NAME)
}

/// Names in a message; of many only the first.
pub(super) fn list(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(NAMES).map(|n| shown(n)).collect();
    let rest = match names.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    first.join(", ") + &rest
}
