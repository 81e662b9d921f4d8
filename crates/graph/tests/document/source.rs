//! Doc comments of the source, as Markdown.

/// The lines of a module's doc from the one that begins with `from` up to the one that is `to`, or to the doc's end.
pub(crate) fn between(source: &str, from: &str, to: Option<&str>) -> String {
    let start = source.find(from).unwrap_or_else(|| panic!("no `{from}`"));
    let lines = source[start..].lines();
    let doc = lines.take_while(|l| l.starts_with("//!") && to.is_none_or(|to| !l.starts_with(to)));
    let plain: Vec<&str> = doc
        .map(|l| l.trim_start_matches("//!"))
        .map(|l| l.strip_prefix(' ').unwrap_or(l))
        .collect();
    unlinked(&plain.join("\n"))
}

/// Without the brackets of links between docs.
fn unlinked(text: &str) -> String {
    let text = text.replace("[`", "`").replace("`]", "`");
    // What a link leads to stands in parentheses behind it.
    let mut parts = text.split("`(super::");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.split_once(')').map_or(part, |(_, rest)| rest);
        text + "`" + rest
    })
}

/// Variants of an enumeration of a source, each with its doc.
pub(crate) fn variants(source: &str, enumeration: &str) -> Vec<(String, String)> {
    let head = format!("pub enum {enumeration} {{\n");
    let start = source.find(&head).unwrap_or_else(|| panic!("no `{head}`"));
    let body = &source[start + head.len()..];
    let mut doc = Vec::new();
    let mut out = Vec::new();
    for line in body.lines().take_while(|l| *l != "}") {
        // Deeper lines are fields.
        let Some(line) = line
            .strip_prefix("    ")
            .filter(|l| !l.starts_with([' ', '}']))
        else {
            continue;
        };
        match line.strip_prefix("/// ") {
            Some(text) => doc.push(text),
            None => {
                let end = line.find(|c: char| !c.is_alphanumeric());
                let name = line[..end.unwrap_or(line.len())].to_owned();
                out.push((name, unlinked(&doc.join(" "))));
                doc.clear();
            }
        }
    }
    assert!(!out.is_empty(), "{enumeration}");
    out
}

/// The variants as a table.
pub(crate) fn table(source: &str, enumeration: &str) -> String {
    let mut out = format!("| `{enumeration}` | |\n| --- | --- |\n");
    for (name, doc) in variants(source, enumeration) {
        out += &format!("| `{name}` | {} |\n", cell(&doc));
    }
    out
}

/// Text that can stand in a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
