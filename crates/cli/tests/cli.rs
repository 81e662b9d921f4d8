//! The program as a person or a script meets it.

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/cell_files.rs"]
mod cell_files;
#[path = "cli/check.rs"]
mod check;
mod shell;
#[path = "cli/trace.rs"]
mod trace;

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use shell::{command as retrograd, json, refused, run};

const HEADER: &str = "date,rain,sun";

/// A fresh directory for one test's files.
fn directory(test: &str) -> PathBuf {
    shell::directory(&format!("cli-{test}"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// 80 rows of two columns and a date, a wave and its slope.
fn table() -> String {
    let mut text = format!("{HEADER}\n");
    for day in 0..80 {
        let angle = f64::from(day) * 0.4;
        text += &format!("day {day},{:.4},{:.4}\n", angle.sin(), angle.cos());
    }
    text
}

const SMALL: [&str; 12] = [
    "--hidden", "6", "--epochs", "3", "--steps", "16", "--batch", "8", "--seed", "5", "--out",
    "out",
];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", "table.csv"], &SMALL[..], more].concat()
}

#[test]
fn json_has_its_keys_and_the_files_it_names_are_there() {
    let at = directory("json");
    fs::write(at.join("table.csv"), table()).unwrap();
    let results = json(&at, &train(&["--columns", "sun,rain", "--cell", "gru"]));
    assert_eq!(results["cell"], "gru");
    assert_eq!(results["engine"], "jit");
    for key in [
        "val_mse",
        "baseline_persistence_mse",
        "baseline_mean_mse",
        "baseline_ar7_mse",
        "compile_ms",
        "step_ms_jit",
        "step_ms_tape",
        "examples_per_second",
    ] {
        let value = results[key].as_f64();
        assert!(
            value.is_some_and(|v| v.is_finite() && v >= 0.0),
            "{key}: {value:?}"
        );
    }
    assert_eq!(results["notes"][0], "column \"date\" labels the rows");
    assert_eq!(results["columns"][0]["name"], "sun");
    assert!(results["columns"][1]["errors"]["ar7"]["rmse"].is_f64());
    let plots = results["plots"].as_array().unwrap();
    assert_eq!(plots.len(), 4);
    for plot in plots {
        assert!(at.join(plot.as_str().unwrap()).is_file(), "{plot}");
    }
    assert!(at.join(results["model"].as_str().unwrap()).is_file());
    let files = fs::read_dir(at.join("out")).unwrap().count();
    assert_eq!(files, 5, "and no half-written ones");
}

#[test]
fn without_a_command_the_weather_is_forecast_and_a_table_printed() {
    let at = directory("weather");
    let output = run(&at, &["--epochs", "2", "--hidden", "8"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert_eq!(err, "", "no progress bar unless on a terminal");
    for part in [
        "keepwrite on Seattle weather",
        "precipitation: RMSE, mm",
        "wind: RMSE, m/s",
        "persistence",
        "0.768",
        "1.146",
        "0.542",
        "compile time",
        "compiled",
        "interpreted",
        "retrograd-out/loss.png",
        "retrograd-out/forecast.svg",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "no colours unless on a terminal");
    for line in out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(at.join("retrograd-out/forecast.png").is_file());
}

#[test]
fn the_same_seed_gives_the_same_numbers_on_any_number_of_threads() {
    let at = directory("seed");
    fs::write(at.join("table.csv"), table()).unwrap();
    let error = |more: &[&str]| json(&at, &train(more))["val_mse"].clone();
    let first = error(&[]);
    assert_eq!(first, error(&[]));
    assert_eq!(first, error(&["--threads", "2"]));
    assert_eq!(first, error(&["--unroll", "3"]));
    let rounded = error(&["--precision", "bf16"]);
    assert_ne!(first, rounded);
    assert_eq!(rounded, error(&["--precision", "bf16", "--threads", "2"]));
    let (full, rounded) = (first.as_f64().unwrap(), rounded.as_f64().unwrap());
    // Seeds differ by 6 % (docs/PERFORMANCE.md).
    assert!((full - rounded).abs() < 0.05 * full, "{full} {rounded}");
    let mut other = train(&[]);
    let seed = other.iter().position(|a| *a == "5").unwrap();
    other[seed] = "6";
    assert_ne!(first, json(&at, &other)["val_mse"]);
}

#[test]
fn both_engines_end_at_the_same_validation_error() {
    let at = directory("engines");
    let error = |engine| {
        let arguments = ["--engine", engine, "--epochs", "12", "--hidden", "12"];
        let results = json(&at, &arguments);
        assert_eq!(results["engine"], engine);
        results["val_mse"].as_f64().unwrap()
    };
    let (jit, tape) = (error("jit"), error("tape"));
    assert!((jit - tape).abs() <= 0.01 * tape, "{jit}, {tape}");
}

#[test]
fn data_can_come_through_a_pipe() {
    let at = directory("pipe");
    let mut arguments = train(&["--json"]);
    arguments[2] = "-";
    let mut command = retrograd(&at, &arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(table().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(results["data"], "standard input");
}

#[test]
fn the_cells_are_listed() {
    let output = run(&directory("cells"), &["cells"]);
    assert!(output.status.success());
    for (group, cells) in retrograd::zoo::groups() {
        assert!(
            text(&output.stdout).contains(&format!("{group}\n")),
            "{group}"
        );
        for cell in cells {
            assert!(text(&output.stdout).contains(cell.name), "{}", cell.name);
        }
    }
}

#[test]
fn a_closed_pipe_is_no_mistake() {
    for arguments in [&["cells"], &["--help"]] {
        let mut command = retrograd(&directory("closed"), arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let mut message = String::new();
        let mut err = child.stderr.take().unwrap();
        err.read_to_string(&mut message).unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}: {message}");
        assert_eq!(message, "");
    }
}

#[test]
fn bad_usage_is_told_and_exits_with_2() {
    let at = directory("usage");
    let cases: [(&[&str], &str); 14] = [
        (
            &["--cell", "lstn"],
            "there is no cell `lstn` (did you mean `lstm`?); the cells are rnn, keepwrite,",
        ),
        (
            &["--cell", "transformer"],
            "there is no cell `transformer`; the cells are rnn,",
        ),
        (&["--engine", "gpu"], "the engines are `jit` and `tape`"),
        (&["--precision", "fp8"], "`f32` or `bf16`"),
        (
            &["--hidden", "0"],
            "'--hidden <N>': expected a whole number from 1 to 4096",
        ),
        (
            &["--epochs", "0"],
            "'--epochs <N>': expected a whole number from 1",
        ),
        (
            &["--threads", "0"],
            "'--threads <N>': expected a whole number from 1 to 1024",
        ),
        (
            &["--unroll", "0"],
            "a loop can be unrolled by 1 to 32 steps, not by 0",
        ),
        (
            &["--epochs", "many"],
            "invalid value 'many' for '--epochs <N>'",
        ),
        (
            &["--learning-rate", "nan"],
            "expected a number of more than 0",
        ),
        (
            &["--validation", "1"],
            "expected a number of more than 0 and less than 1",
        ),
        (&["--epoch", "3"], "unexpected argument '--epoch'"),
        (&["train"], "--data <FILE.csv>"),
        (&["learn"], "learn"),
    ];
    for (arguments, expected) in cases {
        let message = refused(&at, arguments, 2);
        assert!(message.contains(expected), "{message}\n{expected}");
    }
}

#[test]
fn bad_data_is_told_with_file_line_and_column_and_exits_with_1() {
    let at = directory("data");
    let with = |row: &str| table().replace("day 2,0.7174,0.6967", row);
    let cases: [(String, &[&str], &str); 9] = [
        (String::new(), &[], "table.csv: the file is empty"),
        (
            format!("{HEADER}\n"),
            &[],
            "table.csv: no data rows after the header on line 1",
        ),
        (
            table(),
            &["--columns", "rain,snu"],
            "there is no column \"snu\" (did you mean \"sun\"?); the columns are date, rain, sun",
        ),
        (
            with("day 2,0.7174"),
            &[],
            "table.csv, line 4: the row is too short: found 2 cells, expected 3",
        ),
        (
            with("day 2,0.7174,bright"),
            &[],
            "table.csv, line 4, column \"sun\": \"bright\" is not a number",
        ),
        (
            with("day 2,NaN,0.6967"),
            &[],
            "table.csv, line 4, column \"rain\": NaN is not a finite number",
        ),
        (
            with("day 2,,0.6967"),
            &[],
            "table.csv, line 4, column \"rain\": the value is missing",
        ),
        (
            table().lines().take(6).map(|l| format!("{l}\n")).collect(),
            &[],
            "the part before the first row to predict has 4 rows; the baseline \"ar7\" needs at least 7",
        ),
        (
            table(),
            &["--steps", "64"],
            "the training part has 64 rows; --steps 64 needs at least 65",
        ),
    ];
    for (table, more, expected) in cases {
        fs::write(at.join("table.csv"), table).unwrap();
        let arguments = [&["train", "--data", "table.csv"], more].concat();
        let message = refused(&at, &arguments, 1);
        assert!(message.contains(expected), "{message}\n{expected}");
    }
}

#[test]
fn files_that_cannot_be_read_or_written_and_diverging_training_exit_with_1() {
    let at = directory("files");
    let message = refused(&at, &["train", "--data", "none.csv"], 1);
    assert!(
        message.contains("none.csv: cannot be read: No such file"),
        "{message}"
    );

    fs::write(at.join("table.csv"), table()).unwrap();
    let message = refused(&at, &train(&["--batch", "100"])[..], 2);
    assert!(
        message.contains("'--batch <N>' cannot be used multiple times"),
        "{message}"
    );
    let arguments = ["train", "--data", "table.csv", "--batch", "100"];
    let message = refused(&at, &arguments, 1);
    assert!(
        message.contains("the batch size is 100; expected at most"),
        "{message}"
    );

    let arguments = ["train", "--data", "table.csv", "--out", "table.csv"];
    let message = refused(&at, &arguments, 1);
    assert!(message.contains("table.csv: cannot be made"), "{message}");

    let message = refused(&at, &train(&["--learning-rate", "1e30"]), 1);
    assert!(message.contains("at step 2"), "{message}");
    assert!(message.contains("A smaller learning rate"), "{message}");
}

#[test]
fn intuition_refuses_what_makes_no_sense() {
    let at = directory("intuition");
    let both = refused(&at, &["intuition", "--quick", "--full"], 2);
    assert!(
        both.contains("--full") && both.contains("--quick"),
        "{both}"
    );
    let threads = refused(&at, &["intuition", "--threads", "0"], 2);
    assert!(
        threads.contains("a whole number from 1 to 1024"),
        "{threads}"
    );
    fs::write(at.join("file"), "no directory").unwrap();
    let file = refused(&at, &["intuition", "--quick", "--out", "file"], 1);
    assert!(file.contains("file"), "{file}");
    fs::create_dir(at.join("other")).unwrap();
    fs::write(at.join("other/results.jsonl"), "{}\n").unwrap();
    let other = refused(&at, &["intuition", "--quick", "--out", "other"], 1);
    assert!(other.contains("results.jsonl, line 1"), "{other}");
}

#[test]
fn tables_are_read_as_the_flags_say() {
    let at = directory("flags");
    // Newest first, without a header, thousands parted by commas.
    let rows = table();
    let rows = rows.lines().skip(1).enumerate().map(|(k, line)| {
        let price = 1000.0 + 100.0 * f64::from(k as u32 * 7 % 11);
        let price = format!("{price:.0}");
        let (thousands, rest) = price.split_at(1);
        format!(
            "2024-{:02}-{:02},\"{thousands},{rest}\",{}\n",
            1 + k / 28,
            1 + k % 28,
            &line[line.len() - 5..]
        )
    });
    let mut rows: Vec<String> = rows.collect();
    rows.reverse();
    fs::write(at.join("table.csv"), rows.concat()).unwrap();
    let refused = |more: &[&str]| refused(&at, &train(more), 1);
    assert!(refused(&[]).contains("`--header no`"));
    assert!(refused(&["--header", "no"]).contains("`--thousands`"));
    assert!(refused(&["--header", "no", "--thousands"]).contains("`--reverse`"));
    let results = json(&at, &train(&["--header", "no", "--thousands", "--reverse"]));
    assert_eq!(results["rows"], 80);
    assert_eq!(results["columns"][0]["name"], "2");
    assert_eq!(
        results["notes"],
        serde_json::json!(["column \"1\" labels the rows"])
    );
}
