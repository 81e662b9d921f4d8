//! Cell files of the user's.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{directory, json, refused, run, table, text};

const LSTM: &str = include_str!("../../../retrograd/tests/cells/lstm.cell");

#[test]
fn a_cell_file_trains_and_its_symbolic_sizes_follow_the_data_and_the_caller() {
    let at = directory("file");
    fs::write(at.join("table.csv"), table()).unwrap();
    // Other names than the zoo's, and a target whose dimension is another one.
    let renamed = LSTM
        .replace("x[I]", "seen[I]")
        .replace("(x,", "(seen,")
        .replace("target next[I]", "target soon[O]")
        .replace("y - next", "told - soon")
        .replace("output y = forecast", "output told = forecast")
        .replace("I=4", "I=4, O=I");
    fs::write(at.join("renamed.cell"), renamed).unwrap();
    let parameters = |h: usize| 4 * h * (2 + h + 1) + 2 * (h + 1);
    // Two epochs of what `train` says, without --hidden.
    let small = ["--epochs", "2", "--steps", "16", "--batch", "8", "--cell"];
    let run = |more: &[&str]| {
        let command = [&["train", "--data", "table.csv"], &small[..], more].concat();
        json(&at, &command)
    };
    for (more, hidden) in [
        (&["renamed.cell"][..], 64),
        (&["renamed.cell", "--set", "H=5"], 5),
        (&["./renamed.cell", "--hidden", "6"], 6),
    ] {
        let results = run(more);
        assert_eq!(results["cell"], "lstm", "{more:?}");
        assert_eq!(results["hidden"], hidden, "{more:?}");
        assert_eq!(results["parameters"], parameters(hidden), "{more:?}");
        assert!(results["val_mse"].is_f64(), "{more:?}");
    }
    let results = run(&["mlstm", "--set", "D=3"]);
    assert_eq!(results["hidden"], Value::Null);
}

/// A run whose cell file is at fault: the message shows its line.
fn shown(at: &Path, arguments: &[&str], parts: &[&str]) {
    let output = run(at, &[&["train", "--data", "table.csv"], arguments].concat());
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(text(&output.stdout), "", "{message}");
    assert!(message.starts_with("error: "), "{message}");
    for part in ["^", "expected"].iter().chain(parts) {
        assert!(message.contains(part), "{part} is missing in\n{message}");
    }
}

#[test]
fn a_mistake_in_a_cell_file_is_shown_with_file_line_caret_and_what_was_expected() {
    let at = directory("mistakes");
    fs::write(at.join("table.csv"), table()).unwrap();
    fs::write(at.join("lstm.cell"), LSTM).unwrap();
    let wrong = |name: &str, from: &str, to: &str| {
        assert!(LSTM.contains(from), "{from}");
        fs::write(at.join(name), LSTM.replace(from, to)).unwrap();
    };
    wrong("word.cell", "tanh(c')", "tahn(c')");
    wrong("fixed.cell", "x[I]", "x[3]");
    wrong("two.cell", "(x[I];", "(x[I], z[I];");
    wrong("blind.cell", "target next[I]", "static next[I]");
    let hidden = "output y = h'\ntarget next[I]\nloss mean(square(forecast - next))";
    wrong(
        "mute.cell",
        &LSTM[LSTM.find("output y =").unwrap()..],
        hidden,
    );
    let cell = |name: &str, parts: &[&str]| shown(&at, &["--cell", name], parts);
    cell(
        "word.cell",
        &["word.cell:11:15", "tahn", "did you mean `tanh`?"],
    );
    cell(
        "fixed.cell",
        &["fixed.cell:2:11", "but the data has 2 columns", "`x[2]`"],
    );
    cell("two.cell", &["two.cell:2:17", "one input"]);
    cell("blind.cell", &["one target", "`target next[I]`"]);
    cell("mute.cell", &["mute.cell:14:8", "one output of 2 numbers"]);
    let lstm = |more: &[&str], parts: &[&str]| {
        shown(&at, &[&["--cell", "lstm.cell"], more].concat(), parts);
    };
    lstm(&["--set", "I=7"], &["leave `--set I=…` out"]);
    lstm(&["--set", "Q=7"], &["no dimension `Q`", "I, H"]);
}

#[test]
fn settings_that_a_cell_does_not_take_are_refused() {
    let at = directory("settings");
    fs::write(at.join("table.csv"), table()).unwrap();
    fs::write(at.join("lstm.cell"), LSTM).unwrap();
    let cases: [(&[&str], &str, i32); 6] = [
        (
            &["lstm", "--set", "H=3"],
            "the cell `lstm` takes --hidden 3",
            1,
        ),
        (
            &["mlstm", "--hidden", "7"],
            "its dimensions are I, D: use --set",
            1,
        ),
        (
            &["lstm.cell", "--dropout", "0.1"],
            "mask kept[H] keep 0.6",
            1,
        ),
        (
            &["lstm.cell", "--set", "H=3", "--hidden", "4"],
            "the dimension H is set twice",
            1,
        ),
        (&["none.cell"], "none.cell: No such file", 1),
        (
            &["lstm.cell", "--set", "H=0"],
            "a whole number from 1 to 1000000, as in H=32",
            2,
        ),
    ];
    for (more, expected, code) in cases {
        let arguments = [&["train", "--data", "table.csv", "--cell"], more].concat();
        let message = refused(&at, &arguments, code);
        assert!(message.contains(expected), "{message}\n{expected}");
    }
}
