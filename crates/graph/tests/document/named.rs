//! What the pages name is there: files, the items that are said to be in them, and the pages that they link.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Pages that say where something is. (Results and designs may name what is gone, or not there yet.)
const PAGES: [&str; 12] = [
    "README.md",
    "docs/ADD-A-PASS.md",
    "docs/ADD-AN-OP.md",
    "docs/ARCHITECTURE.md",
    "docs/BENCH.md",
    "docs/CHECK.md",
    "docs/FORECASTING.md",
    "docs/IR.md",
    "docs/LANGUAGE.md",
    "docs/SECOND-AXIS.md",
    "docs/SEQUENCES.md",
    "docs/TESTING.md",
];

/// Files of the example of a pass, which is not in the tree.
const EXAMPLES: [&str; 2] = ["passes/narrow.rs", "narrow_slice.txt"];

const ENDINGS: [&str; 7] = [".rs", ".py", ".md", ".toml", ".txt", ".json", "/"];

/// A code span that begins with one of these is a path from the root, whatever its end.
const FOLDERS: [&str; 5] = ["crates/", "data/", "docs/", "fuzz/", "benches/"];

/// What stands between an item and its file.
const LINKS: [&str; 3] = ["in", "of", "("];

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The paths of all files below a folder, from the root, each after a `/`; builds and hidden folders aside.
fn files(folder: &Path, at: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let inside = format!("{at}/{name}");
        match path.is_dir() {
            true if name == "target" || name.starts_with('.') => {}
            true => files(&path, &inside, found),
            false => found.push(inside),
        }
    }
}

/// A page without its blocks of code, cut at its backticks: every second part is a code span.
fn parts(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
    let mut code = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !fence && !code
    });
    let prose: Vec<&str> = prose.collect();
    prose.join("\n").split('`').map(str::to_owned).collect()
}

fn is_path(span: &str) -> bool {
    let placeholder = |c: char| c.is_whitespace() || "*<>{}$…".contains(c);
    let path =
        ENDINGS.iter().any(|e| span.ends_with(e)) || FOLDERS.iter().any(|f| span.starts_with(f));
    path && !span.contains(placeholder)
}

/// The files that a path may mean: pages leave out what the context says, `crates/` and more.
fn meant<'f>(span: &str, all: &'f [String]) -> Vec<&'f str> {
    let end = format!("/{span}");
    let from_root = FOLDERS.iter().any(|f| span.starts_with(f));
    let fits = |file: &&str| match (from_root, span.ends_with('/')) {
        (true, true) => file.starts_with(&end),
        (true, false) => *file == end || file.starts_with(&format!("{end}/")),
        (false, true) => file.contains(&end),
        (false, false) => file.ends_with(&end),
    };
    all.iter().map(String::as_str).filter(fits).collect()
}

fn of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The last name of `name`, `Type::name`, `name()` or `name!`.
fn item(span: &str) -> Option<&str> {
    let path = span.trim_end_matches("()").trim_end_matches('!');
    let path_alone = path.chars().all(|c| of_a_name(c) || c == ':');
    let last = path.rsplit("::").next()?;
    let name = last.starts_with(|c: char| c.is_alphabetic() || c == '_');
    (path_alone && name).then_some(last)
}

/// True if a text has the name as a whole word.
fn has(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !before.ends_with(of_a_name) && !after.starts_with(of_a_name)
    })
}

#[test]
fn files_and_items_that_the_pages_name_exist() {
    let root = root();
    let mut all = Vec::new();
    files(&root, "", &mut all);
    let (mut wrong, mut named, mut items) = (Vec::new(), 0, 0);
    for page in PAGES {
        let parts = parts(page);
        for i in (1..parts.len()).step_by(2) {
            let span = parts[i].as_str();
            if !is_path(span) || EXAMPLES.contains(&span) {
                continue;
            }
            named += 1;
            let found = meant(span, &all);
            if found.is_empty() {
                wrong.push(format!("{page} names `{span}`, which is no file"));
                continue;
            }
            let between: Vec<&str> = parts[i - 1].split_whitespace().collect();
            let linked = span.ends_with(".rs") && LINKS.contains(&between.join(" ").as_str());
            let Some(name) = (i >= 3 && linked).then(|| item(&parts[i - 2])).flatten() else {
                continue;
            };
            items += 1;
            let text = |file: &&str| fs::read_to_string(root.join(&file[1..])).expect("text");
            if !found.iter().any(|file| has(&text(file), name)) {
                wrong.push(format!(
                    "{page} names `{name}` in `{span}`, which does not have it"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named > 300 && items > 20, "{named} files, {items} items");
}

/// A path without its `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(out.pop(), "{} leaves the tree", path.display()),
            other => out.push(other),
        }
    }
    out
}

#[test]
fn pages_link_what_exists_and_every_page_is_linked() {
    let of_docs = fs::read_dir(root().join("docs")).expect("a folder");
    let of_docs =
        of_docs.map(|entry| PathBuf::from("docs").join(entry.expect("it can be read").file_name()));
    let mut pages: Vec<PathBuf> = of_docs
        .filter(|page| page.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.sort();
    let mut linked = HashSet::new();
    for page in pages.iter().chain([&PathBuf::from("README.md")]) {
        let folder = page.parent().expect("a folder");
        let text = parts(&page.to_string_lossy());
        for part in text.iter().step_by(2) {
            for link in part.split("](").skip(1) {
                let link = link.split([')', '#']).next().unwrap_or_default();
                if link.is_empty() || link.starts_with("http") {
                    continue;
                }
                let to = plain(&folder.join(link));
                assert!(root().join(&to).exists(), "{} links {link}", page.display());
                if to != *page {
                    linked.insert(to);
                }
            }
        }
    }
    let alone: Vec<&PathBuf> = pages
        .iter()
        .filter(|page| !linked.contains(*page))
        .collect();
    assert!(alone.is_empty(), "no page links {alone:?}");
}
