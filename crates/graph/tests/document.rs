//! Holds `docs/IR.md` to the code. Its marked sections are printed from the op table, the derivative rules and the
//! module docs; its cells are parsed, and the blocks after them are the results. What the other pages name is there
//! (`document/named.rs`).
//!
//! `BLESS=1 cargo test -p retrograd-graph --test document` rewrites the sections and the blocks. Read what it wrote.

#[path = "document/named.rs"]
mod named;
#[path = "document/ops.rs"]
mod ops;
#[path = "document/source.rs"]
mod source;

use std::path::PathBuf;

use retrograd_graph::passes::simplify::simplify;
use retrograd_graph::{Graph, Options, Target, plan, text};

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/IR.md"))
}

/// The text of a marked section.
fn section(name: &str) -> String {
    let plan = concat!(
        include_str!("../src/plan/item.rs"),
        include_str!("../src/plan/stmt.rs")
    );
    let table = |enumeration: &str| source::table(plan, enumeration);
    match name {
        "element-wise ops" => ops::element_wise(),
        "structural ops" => ops::structural(),
        "rules" => source::between(include_str!("../src/verify.rs"), "//! 1. ", None),
        "plan rules" => source::between(include_str!("../src/plan/verify.rs"), "//! 1. ", None),
        "canonical form" => source::between(
            include_str!("../src/text/mod.rs"),
            "//! ```text\n//! graph ",
            Some("//! [`Graph::order`]"),
        ),
        "cell files" => source::between(
            include_str!("../../text/src/lib.rs"),
            "//! ```text\n//! file ",
            None,
        ),
        "items" => table("Item"),
        "statements" => table("Stmt"),
        "inner" => table("Innermost"),
        "instructions" => table("Instr"),
        other => panic!("docs/IR.md has a section `{other}`, which nothing prints"),
    }
}

/// Every marked section anew: what stands between `<!-- printed: NAME -->` and `<!-- end -->`.
fn with_sections(document: &str) -> String {
    let mut out = String::new();
    let mut rest = document;
    while let Some((before, after)) = rest.split_once("<!-- printed: ") {
        let (name, after) = after.split_once(" -->").expect("the mark is closed");
        let (_, after) = after.split_once("<!-- end -->").expect("the section ends");
        let text = section(name);
        out += &format!(
            "{before}<!-- printed: {name} -->\n{}\n<!-- end -->",
            text.trim()
        );
        rest = after;
    }
    out + rest
}

/// Every block that follows a `cell` block anew: its graph, its plan, or what is wrong with it.
fn with_blocks(document: &str) -> String {
    let mut out = String::new();
    let mut cell = None;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        let Some(kind) = line.strip_prefix("```").filter(|k| !k.is_empty()) else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        let body = body.join("\n") + "\n";
        let read = |cell: &Option<String>| {
            let cell = cell.as_deref().expect("a cell stands before it");
            retrograd_text::read_tape("cell", cell, &[]).map(|tape| Graph::from_tape(&tape))
        };
        let text = match kind {
            "cell" => {
                cell = Some(body.clone());
                body
            }
            "graph" => {
                let g = simplify(&read(&cell).unwrap_or_else(|e| panic!("{e}")), true);
                let printed = g.to_string();
                let again = text::parse_graph("graph", &printed);
                assert!(again.unwrap_or_else(|e| panic!("{e}")) == g, "{printed}");
                printed
            }
            "plan" => {
                let g = read(&cell).unwrap_or_else(|e| panic!("{e}"));
                // The documents tell of one target, whatever the machine, and of all stages: activations leave narrow
                // loops for kernels.
                let options = Options::verified().with(|o| {
                    o.target = Target::avx2();
                    o.wide_loops = false;
                });
                let g = retrograd_graph::passes::run(&g, &[], &options).expect("one direction");
                plan::plan(&g, &options).to_string()
            }
            "error" => {
                let e = read(&cell).err();
                e.expect("this cell is wrong")
                    .to_string()
                    .trim_end()
                    .to_owned()
                    + "\n"
            }
            _ => body,
        };
        out += &text;
        out += "```\n";
    }
    out
}

/// A `cell` block that no `error` block follows is read without one.
fn cells_are_right(document: &str) -> usize {
    let blocks: Vec<(&str, &str)> = (document.split("\n```").skip(1).step_by(2))
        .map(|block| block.split_once('\n').expect("a block has a first line"))
        .collect();
    let mut right = 0;
    for (i, (kind, body)) in blocks.iter().enumerate() {
        let wrong = blocks.get(i + 1).is_some_and(|next| next.0 == "error");
        if *kind == "cell" && !wrong {
            retrograd_text::read_tape("cell", body, &[]).unwrap_or_else(|e| panic!("{e}"));
            right += 1;
        }
    }
    right
}

/// The row that the document on adding an op shows is the one in the table.
#[test]
fn the_row_that_the_document_shows_is_the_one_of_the_table() {
    let document = include_str!("../../../docs/ADD-AN-OP.md");
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let table = squeezed(include_str!("../../tape/src/map/table.rs"));
    let (_, row) = document.split_once("```rust\n").expect("it shows one");
    let (row, _) = row.split_once("```").expect("the block ends");
    assert!(row.starts_with("Map::Softsign"));
    assert!(table.contains(&squeezed(row)), "{row}");
}

#[test]
fn the_reference_says_what_the_code_says() {
    let document = std::fs::read_to_string(path()).expect("docs/IR.md can be read");
    let anew = with_blocks(&with_sections(&document));
    assert!(cells_are_right(&anew) >= 3);
    if anew == document {
        return;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path(), anew).expect("docs/IR.md can be written");
        return;
    }
    let differs = (document.lines().zip(anew.lines())).find(|(a, b)| a != b);
    let (a, b) = differs.unwrap_or(("one of them ends", "before the other"));
    panic!(
        "docs/IR.md is not what the code says:\n  it has {a}\n  not    {b}\n\
         BLESS=1 cargo test -p retrograd-graph --test document rewrites it"
    );
}
