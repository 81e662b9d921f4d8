//! Holds `docs/CELLS.md` to the zoo: it is printed from the heads of the cell files and from `benches/zoo.json`, which
//! `cargo run --release -p retrograd-bench --bin zoo -- --out benches/zoo.json` measures.
//!
//! `BLESS=1 cargo test --release -p retrograd --test cells_document` rewrites the page. Read what it wrote.
#![cfg(feature = "text")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use retrograd::zoo::{self, Entry};
use serde::Deserialize;

#[derive(Deserialize)]
struct Measurements {
    hidden: usize,
    rows: usize,
    steps: usize,
    isa: String,
    peak_gflops: f64,
    cells: Vec<Measured>,
}

#[derive(Deserialize)]
struct Measured {
    name: String,
    parameters: usize,
    by: String,
    min_ms: f64,
    read_memory_gbs: Option<f64>,
    ratio: f64,
}

/// The ratio that a cell should keep below.
const WANTED: f64 = 1.3;

/// Why cells do not.
/// From the items of `grid --items` at that shape.
const CAUSES: &[(&str, &str)] = &[
    (
        "rglru",
        "192 multiply-adds, a third of them in blocks of 32 x 32, for each unit's exp, expm1, softplus, square root and two sigmoids, where an LSTM has 1,024 for five such functions",
    ),
    (
        "slstm",
        "recurrent products are blocks of 32 x 32, so that a gate's number has 32 multiply-adds from h where an LSTM's has 128; exponential gates, stabiliser, normaliser and group norm come on top, in the loop of the backward recurrence (2.4 ms of 9)",
    ),
];

const HEAD: &str = "# The cells of the zoo

`use NAME` in a cell file makes one of them a layer, `--cell NAME` trains, checks and explains it on the command line, and
`zoo::find(\"NAME\")` finds it in the library. `cargo run --release -- cells` lists them; `cells show NAME` prints a cell with
its parameters, `cells show NAME --svg FILE.svg` draws it as below: products, element-wise ops and states (rounded) of a
step as it is written; `explain --cell NAME --svg` draws what the compiler makes of it. The files are in
`crates/retrograd/cells/`.

In the equations x is the input, a prime marks a new value (a state without one is that of the step before), ⊙ multiplies
element by element, σ is the sigmoid, LN layer normalisation, [a, b] a concatenation. Every cell agrees with an independent
implementation, values and all gradients, to 1e-10 in f64 and to 1e-5 of each array's greatest in f32
(`crates/retrograd/tests/zoo.rs`, `data/fixtures/zoo.py` in PyTorch and `papers.py` in JAX), and passes
`retrograd check` (`crates/retrograd/tests/testing.rs`).

This page is written by `BLESS=1 cargo test --release -p retrograd --test cells_document`.

";

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(name)
}

fn measurements() -> Measurements {
    let text = std::fs::read_to_string(path("benches/zoo.json")).expect("the file is there");
    serde_json::from_str(&text).expect("it is as the benchmark writes it")
}

/// What a cell is, with its equations.
fn section(out: &mut String, entry: &Entry) {
    let number = entry.number.map(|n| format!(" ({n})")).unwrap_or_default();
    let cell = entry.parsed().and_then(|t| t.cell(&[]));
    let cell = cell.expect("every file of the zoo is right");
    let text = entry.parsed().expect("it is right");
    let sizes = text
        .dimensions()
        .filter_map(|d| Some(format!("{d} = {}", text.default_of(d)?)));
    let sizes: Vec<String> = sizes.collect();
    let _ = write!(
        out,
        "### `{}`{number}\n\n{}. For {}.\n\n```text\n{}\n```\n\n<details><summary>Drawing</summary>\n\n![A step of {}](img/cells/{}.svg)\n\n</details>\n\n",
        entry.name,
        entry.description,
        entry.purpose,
        entry.equations(),
        entry.name,
        entry.name
    );
    if !entry.notes().is_empty() {
        let _ = write!(out, "{}\n\n", entry.notes());
    }
    let _ = write!(
        out,
        "{}. {} numbers in its parameters at {}.\n\n",
        entry.reference,
        cell.parameter_count(),
        sizes.join(", ")
    );
}

fn speed(out: &mut String, m: &Measurements) {
    let rates = || m.cells.iter().filter_map(|c| c.read_memory_gbs);
    let (slow, fast) = (
        rates().fold(f64::MAX, f64::min),
        rates().fold(0.0, f64::max),
    );
    let _ = write!(
        out,
        "## Speed

A training step in f32 with as many inputs as units, {} of them, {} rows and {} steps, on one thread ({}, {:.0} GFLOP/s of
multiply-adds in registers, {:.1} to {:.1} GB/s read from memory): `cargo run --release -p retrograd-bench --bin zoo -- --out
benches/zoo.json`. The ratio of a cell whose work is products with weights is its time per multiply-add of those products,
in the standard LSTM's. Of a cell with fewer than 64 of them for each number of its state it is the time over what
its products would take at the LSTM's rate and its state at the rate of memory: a step reads and writes it, and the backward
step reads it, and reads and writes its adjoint. LSTM and memory are measured in turns with each cell, for as long: the least
times and the greatest rate of the same moments, on a Zen 4 that others used, too, so that ratios of two runs differ by
up to a tenth. With its second core busy, that machine reads memory at 23 GB/s, not at 19; by that rate `rwkv7`,
`ttt_linear`, `titans` and `gated_deltanet`, which wait for the second cache as much as for memory, are at 1.35 to 1.42.

| cell | parameters | ms a step | measured by | ratio |
| --- | --- | --- | --- | --- |
",
        m.hidden, m.rows, m.steps, m.isa, m.peak_gflops, slow, fast
    );
    let by_name: BTreeMap<&str, &Measured> = m.cells.iter().map(|c| (&*c.name, c)).collect();
    for (_, cells) in zoo::groups() {
        for entry in cells {
            let Some(c) = by_name.get(entry.name) else {
                panic!("{} is not measured", entry.name)
            };
            let _ = writeln!(
                out,
                "| `{}` | {} | {:.2} | {} | {:.2} |",
                c.name, c.parameters, c.min_ms, c.by, c.ratio
            );
        }
    }
    let _ = write!(out, "\nAbove {WANTED} are:\n\n");
    for (name, cause) in CAUSES {
        let _ = writeln!(out, "- `{name}`: {cause}");
    }
}

fn page() -> String {
    let mut out = HEAD.to_owned();
    let _ = write!(out, "| group | cells |\n| --- | --- |\n");
    for (group, cells) in zoo::groups() {
        let names: Vec<String> = cells.iter().map(|c| format!("`{}`", c.name)).collect();
        let _ = writeln!(out, "| {group} | {} |", names.join(", "));
    }
    out.push('\n');
    for (group, cells) in zoo::groups() {
        let mut letters = group.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string());
        let _ = write!(
            out,
            "## {}{}\n\n",
            first.unwrap_or_default(),
            letters.as_str()
        );
        cells.iter().for_each(|entry| section(&mut out, entry));
    }
    speed(&mut out, &measurements());
    out
}

#[test]
fn the_page_is_that_of_the_cells() {
    let (path, page) = (path("docs/CELLS.md"), page());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).expect("it can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert!(
        found == page,
        "docs/CELLS.md is not that of the cells: {differs:?}; BLESS=1 rewrites it"
    );
}

#[test]
fn each_cell_that_is_slow_for_its_work_is_listed_with_its_cause() {
    let slow = measurements()
        .cells
        .into_iter()
        .filter(|c| c.ratio > WANTED);
    let mut slow: Vec<String> = slow.map(|c| c.name).collect();
    let mut known: Vec<&str> = CAUSES.iter().map(|(name, _)| *name).collect();
    slow.sort();
    known.sort_unstable();
    assert_eq!(slow, known);
}
