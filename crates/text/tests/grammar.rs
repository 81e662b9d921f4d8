//! The grammar for editors, `editors/retrograd.tmLanguage.json`: its words are the language's, and it tokenises every cell file.
//!
//! Its patterns are run as an editor runs them: at each place of a line the first pattern that matches there gives the scope,
//! else the line goes on behind its first character. Of lookaround they have at most a lookahead at the end.

use std::collections::BTreeSet;
use std::path::PathBuf;

use regex::Regex;
use retrograd_text::Vocabulary;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn grammar() -> Value {
    let path = root().join("editors/retrograd.tmLanguage.json");
    let text = std::fs::read_to_string(path).expect("the grammar is there");
    serde_json::from_str(&text).expect("it is JSON")
}

/// The words of a pattern's first alternatives, `(a|b|c)`.
fn words(grammar: &Value, rule: &str) -> BTreeSet<String> {
    let pattern = grammar["repository"][rule]["match"].as_str();
    let pattern = pattern.unwrap_or_else(|| panic!("no rule {rule}"));
    let list = Regex::new(r"\((?:\?:)?([a-z_0-9]+(?:\|[a-z_0-9]+)+)\)").expect("a pattern");
    let found = list
        .captures(pattern)
        .unwrap_or_else(|| panic!("no words in {pattern}"));
    found[1].split('|').map(str::to_owned).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn the_words_of_the_grammar_are_those_of_the_language() {
    let (grammar, own) = (grammar(), Vocabulary::new());
    assert_eq!(words(&grammar, "line"), set(&own.lines));
    assert_eq!(words(&grammar, "within"), set(&own.within));
    assert_eq!(words(&grammar, "domain"), set(&own.domains));
    assert_eq!(words(&grammar, "start"), set(&own.starts));
    assert_eq!(
        words(&grammar, "function"),
        set(&own.functions),
        "{}",
        own.functions.join("|")
    );
}

/// What the documentation of the language quotes in its grammar are its words.
#[test]
fn the_vocabulary_is_that_of_the_documented_grammar() {
    let text = include_str!("../src/lib.rs");
    let from = text.find("//! file     =").expect("a grammar");
    let to = text.find("//! NAME     =").expect("an end of it");
    let quoted = Regex::new("\"([a-z_]+)\"").expect("a pattern");
    let documented = quoted.captures_iter(&text[from..to]);
    let documented: BTreeSet<String> = documented.map(|c| c[1].to_owned()).collect();
    let own = Vocabulary::new();
    let all = [own.lines, own.within, own.domains, own.starts].concat();
    assert_eq!(documented, set(&all));
}

/// A rule: its pattern, what has to follow, and the scope of the whole match and of each capture.
struct Rule {
    pattern: Regex,
    follows: Option<Regex>,
    scopes: Vec<(usize, String)>,
}

fn rules(grammar: &Value) -> Vec<Rule> {
    let order = grammar["patterns"].as_array().expect("a list");
    let rule = |include: &Value| {
        let name = include["include"].as_str().expect("an include");
        let rule = &grammar["repository"][name.trim_start_matches('#')];
        let pattern = rule["match"]
            .as_str()
            .unwrap_or_else(|| panic!("no rule {name}"));
        let (pattern, follows) = match pattern.split_once("(?=") {
            Some((pattern, rest)) => {
                let rest = rest
                    .strip_suffix(')')
                    .expect("a lookahead stands at the end");
                (pattern, Some(format!("^(?:{rest})")))
            }
            None => (pattern, None),
        };
        let of = |p: &str| Regex::new(p).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut scopes = Vec::new();
        if let Some(scope) = rule["name"].as_str() {
            scopes.push((0, scope.to_owned()));
        }
        for (k, capture) in rule["captures"].as_object().into_iter().flatten() {
            let scope = capture["name"].as_str().expect("a scope");
            scopes.push((k.parse().expect("a number"), scope.to_owned()));
        }
        Rule {
            pattern: of(pattern),
            follows: follows.map(|p| of(&p)),
            scopes,
        }
    };
    order.iter().map(rule).collect()
}

/// The scopes of a line's parts.
fn tokens<'l>(rules: &[Rule], line: &'l str) -> Vec<(&'l str, String)> {
    let (mut at, mut found) = (0, Vec::new());
    while at < line.len() {
        let here = rules.iter().find_map(|rule| {
            let captures = rule.pattern.captures_at(line, at)?;
            let whole = captures.get(0)?;
            let followed = |r: &Regex| r.is_match(&line[whole.end()..]);
            let fits = whole.start() == at && !whole.is_empty();
            (fits && rule.follows.as_ref().is_none_or(followed)).then_some((rule, captures))
        });
        match here {
            Some((rule, captures)) => {
                for (k, scope) in &rule.scopes {
                    if let Some(part) = captures.get(*k) {
                        found.push((part.as_str(), scope.clone()));
                    }
                }
                at = captures.get(0).map_or(line.len(), |whole| whole.end());
            }
            None => {
                let first = line[at..].chars().next().expect("not at the end");
                if !first.is_whitespace() {
                    found.push((&line[at..at + first.len_utf8()], String::new()));
                }
                at += first.len_utf8();
            }
        }
    }
    found
}

fn cells() -> Vec<(PathBuf, String)> {
    let folders = ["cells", "tests/cells", "tests/papers"];
    let files = folders.iter().flat_map(|f| {
        let folder = std::fs::read_dir(root().join("crates/retrograd").join(f));
        folder
            .expect("the folder is there")
            .map(|e| e.expect("it can be read").path())
    });
    let cells = files.filter(|p| p.extension().is_some_and(|e| e == "cell"));
    let read = |p: PathBuf| {
        let text = std::fs::read_to_string(&p).expect("it can be read");
        (p, text)
    };
    cells.map(read).collect()
}

#[test]
fn every_cell_file_is_tokenised() {
    let (rules, own) = (rules(&grammar()), Vocabulary::new());
    let all = cells();
    assert!(all.len() > 30, "{}", all.len());
    let called = Regex::new(r"([\p{L}_][\w.]*)\s*\(").expect("a pattern");
    let number = Regex::new(r"^[\d.]").expect("a pattern");
    let (mut lines, mut functions) = (0, 0);
    for (path, text) in &all {
        for (k, line) in text.lines().enumerate() {
            let found = tokens(&rules, line);
            let at = format!("{}:{}: {line}\n{found:?}", path.display(), k + 1);
            let scope = |part: &str| {
                found
                    .iter()
                    .find(|(p, _)| *p == part)
                    .map(|(_, s)| s.as_str())
            };
            let strays = found.iter().filter(|(_, scope)| scope.is_empty());
            assert_eq!(strays.count(), 0, "{at}");
            let code = line.split('#').next().unwrap_or_default();
            // A word of the language at the beginning of a line, unless it is a name.
            let first = code.split_whitespace().next().unwrap_or_default();
            let equation = code.trim_start()[first.len()..]
                .trim_start()
                .starts_with('=');
            if own.lines.contains(&first) {
                let expected = if equation {
                    "variable.other.definition"
                } else {
                    "keyword.other"
                };
                assert_eq!(scope(first), Some(&*format!("{expected}.cell")), "{at}");
                lines += 1;
            }
            for call in called.captures_iter(code) {
                if own.functions.contains(&&call[1]) {
                    let known = (&call[1], "support.function.cell".to_owned());
                    assert!(found.contains(&known), "{}\n{at}", &call[1]);
                    functions += 1;
                }
            }
            for (part, scope) in found.iter().filter(|(part, _)| number.is_match(part)) {
                let expected = ["constant.numeric.cell", "keyword.operator.cell"];
                assert!(
                    expected.contains(&scope.as_str()),
                    "{part} is {scope}\n{at}"
                );
            }
        }
    }
    assert!(
        lines > 100 && functions > 200,
        "{lines} lines, {functions} functions"
    );
}

#[test]
fn a_line_of_each_kind() {
    let rules = rules(&grammar());
    let scopes = |line: &str| -> Vec<String> {
        let found = tokens(&rules, line).into_iter();
        found
            .map(|(part, scope)| format!("{part} {}", scope.trim_end_matches(".cell")))
            .collect()
    };
    assert_eq!(
        scopes("output = sigmoid(dense[4](x, h'))  # a gate"),
        [
            "output variable.other.definition",
            "= keyword.operator",
            "sigmoid support.function",
            "( punctuation",
            "dense support.function",
            "[ punctuation",
            "4 constant.numeric",
            "] punctuation",
            "( punctuation",
            "x variable.other",
            ", punctuation",
            "h' variable.other",
            ") punctuation",
            ") punctuation",
            "# a gate comment.line.number-sign",
        ]
    );
    assert_eq!(
        scopes("mask m[H] keep 0.9 over row"),
        [
            "mask keyword.other",
            "m variable.other",
            "[ punctuation",
            "H variable.other",
            "] punctuation",
            "keep storage.modifier",
            "0.9 constant.numeric",
            "over storage.modifier",
            "row support.constant",
        ]
    );
    assert_eq!(
        scopes("param w.init[2] init he_normal"),
        [
            "param keyword.other",
            "w.init variable.other",
            "[ punctuation",
            "2 constant.numeric",
            "] punctuation",
            "init storage.modifier",
            "he_normal support.constant",
        ]
    );
    assert_eq!(
        scopes("y = keep * mine(C, \"hij,hj->hi\") <= 1e-3")[..5],
        [
            "y variable.other.definition",
            "= keyword.operator",
            "keep variable.other",
            "* keyword.operator",
            "mine entity.name.function",
        ]
    );
    assert_eq!(
        scopes("cell deep(x[I]; h) where I=2")[..2],
        ["cell keyword.other", "deep entity.name.function"]
    );
}
