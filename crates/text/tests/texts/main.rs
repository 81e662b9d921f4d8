//! Random programs of functions, used cells, shared layers, repetitions and parts, against the same programs inlined by hand:
//! both are written by the generator, and must be the same tape.

mod draw;
mod long;
mod program;
mod short;

use std::collections::BTreeMap;

use draw::Choices;
use program::{Kind, Line, Program};
use proptest::prelude::*;
use retrograd_tape::{Recorder, Tape};
use retrograd_text::{CellFile, Found, parse_cell, parse_cell_with, record};

fn open(texts: &[(String, String)], program: &Program) -> CellFile {
    let read = parse_cell_with(&texts[0].0, &texts[0].1, &mut |wanted| {
        let name = match wanted.path {
            Some(path) => path.to_owned(),
            None => {
                let mut routines = program.routines.iter();
                let found = routines.find(|r| r.name == wanted.name);
                texts[found.expect("the zoo has it").file].0.clone()
            }
        };
        let text = texts.iter().find(|(n, _)| *n == name);
        let text = text.expect("it is one of the files").1.clone();
        Ok(Found { name, text })
    });
    read.unwrap_or_else(|e| panic!("{e}"))
}

fn tape(file: &CellFile) -> Tape {
    let r = Recorder::new();
    let places = record(file, &[], &r).unwrap_or_else(|e| panic!("{e}"));
    let tape = r.finish(file.name());
    tape.unwrap_or_else(|e| panic!("{}", places.locate(&e.to_string(), None)))
}

/// A tape without the names of values between inputs and outputs.
fn bare(tape: &Tape) -> Vec<String> {
    let text = tape.to_string();
    let line = |l: &str| match l.split_once("  # ") {
        Some((op, _)) if !op.contains("= input ") => op.to_owned(),
        _ => l.to_owned(),
    };
    text.lines().map(line).collect()
}

/// Compares the forms of a program, and the one text of all its files.
fn check(bytes: &[u8]) -> Program {
    let program = draw::draw(&mut Choices::new(bytes));
    let inlined = long::inline(&program);
    let penalty = inlined.parameters.get(program.penalty).map(String::as_str);
    let long = inlined.text(penalty);
    let texts = short::texts(&program, penalty);
    let shown = || {
        let all: Vec<String> = texts.iter().map(|(n, t)| format!("--- {n}\n{t}")).collect();
        format!("{}\n--- inlined by hand\n{long}", all.join("\n"))
    };
    let caught = std::panic::AssertUnwindSafe(|| {
        let short = open(&texts, &program);
        let alone = short.inlined(&[]).unwrap_or_else(|e| panic!("{e}"));
        let long = parse_cell("long.cell", &long).unwrap_or_else(|e| panic!("{e}"));
        let alone = parse_cell("alone.cell", &alone).unwrap_or_else(|e| panic!("{e}\n{alone}"));
        [tape(&short), tape(&long), tape(&alone)].map(|t| bare(&t))
    });
    let [short, long, alone] =
        std::panic::catch_unwind(caught).unwrap_or_else(|_| panic!("in\n{}", shown()));
    assert!(
        short == long,
        "{}\n{}\n---\n{}",
        shown(),
        short.join("\n"),
        long.join("\n")
    );
    assert!(
        short == alone,
        "{}\n{}\n---\n{}",
        shown(),
        short.join("\n"),
        alone.join("\n")
    );
    program
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn programs_are_what_they_are_inlined_by_hand(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..500)
    ) {
        check(&bytes);
    }
}

/// What the lines of a program are, by kind.
fn count(
    program: &Program,
    lines: &[Line],
    depth: usize,
    found: &mut BTreeMap<&'static str, usize>,
) {
    let mut add = |what| *found.entry(what).or_default() += 1;
    for line in lines {
        match line {
            Line::Let { value, .. } => {
                let shown = format!("{value:?}");
                for (part, what) in [
                    ("First", "an element"),
                    ("Rolled", "ranges"),
                    ("After", "an index in an expression"),
                ] {
                    if shown.contains(part) {
                        add(what);
                    }
                }
            }
            Line::Dense { operands, .. } => add(match operands.iter().all(|o| o.0.is_none()) {
                true => "a layer that calls operands by their names",
                false => "a layer that is told what operands are called",
            }),
            Line::Param { .. } => add(if depth > 0 {
                "a parameter of a round"
            } else {
                "a parameter"
            }),
            Line::State { learned: true, .. } => add("a learned beginning"),
            Line::State { .. } => add(if depth > 0 {
                "a state of a round"
            } else {
                "a state"
            }),
            Line::Next { .. } => {}
            Line::Call { routine, .. } => add(match (program.routines[*routine].kind, depth) {
                (Kind::Function, _) => "a function",
                (Kind::Cell, 0) => "a cell as a layer",
                (Kind::Cell, _) => "a cell in a repetition",
            }),
            Line::Share { routine: None, .. } => add("a shared dense layer"),
            Line::Share {
                routine: Some(r), ..
            } => add(match program.routines[*r].kind {
                Kind::Function => "a shared function",
                Kind::Cell => "a shared cell",
            }),
            Line::Apply { .. } => {}
            Line::For { range, .. } if range.0 == range.1 => add("no rounds"),
            Line::For { .. } if depth > 0 => add("a repetition in a repetition"),
            Line::For { .. } => add("a repetition"),
        }
    }
    for line in lines {
        if let Line::For { lines, .. } = line {
            count(program, lines, depth + 1, found);
        }
    }
}

/// Every kind of line is drawn, in at least one of fifty programs.
#[test]
fn all_of_the_language_is_drawn() {
    let mut found = BTreeMap::new();
    let mut state = 1_u64;
    let programs = 500;
    for _ in 0..programs {
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..400).map(|_| byte()).collect();
        let program = check(&bytes);
        let mut here = BTreeMap::new();
        for routine in &program.routines {
            count(&program, &routine.lines, 0, &mut here);
            if routine.decoy {
                here.insert("what only a cell's loss needs", 1);
            }
        }
        let own = program.routines.last().map(|r| r.name.clone());
        let names: Vec<&String> = program.routines.iter().map(|r| &r.name).collect();
        let unique: std::collections::BTreeSet<&&String> = names.iter().collect();
        if unique.len() < names.len() {
            here.insert("two routines of one name", 1);
        }
        if names.iter().any(|n| *n == "silu") && own.as_deref() != Some("silu") {
            here.insert("a routine called like a built-in function", 1);
        }
        for what in here.into_keys() {
            *found.entry(what).or_insert(0) += 1;
        }
    }
    println!("{found:#?}");
    assert_eq!(found.len(), 22, "{found:#?}");
    for (what, count) in found {
        assert!(
            count * 50 >= programs,
            "{what} is too rare: in {count} of {programs}"
        );
    }
}
