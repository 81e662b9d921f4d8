//! `retrograd check`.

use std::fs;

use super::{directory, json, refused, run, text};

const SMALL: [&str; 4] = ["--cases", "2", "--time", "60"];

#[test]
fn a_right_cell_passes_and_the_report_says_on_how_many_cases() {
    let at = directory("check");
    let report = json(&at, &[&["check", "--cell", "gru"], &SMALL[..]].concat());
    assert_eq!(
        (&report["name"], &report["cases"]),
        (&"gru".into(), &2.into())
    );
    let properties = report["properties"].as_array().unwrap();
    let names: Vec<&str> = properties
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    for name in [
        "differences",
        "plan",
        "f64",
        "f32",
        "bf16",
        "forward",
        "rows",
        "passes",
        "modes",
        "second",
        "stepper",
        "threads",
        "width",
        "halves",
        "budget",
        "resets",
        "saved",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for p in properties {
        assert!(
            p["failure"].is_null() && p["worst"].as_f64().unwrap() <= 1.0,
            "{p}"
        );
    }
    let compared = properties.iter().filter(|p| p["cases"] != 0).count();
    assert!(compared + 1 >= properties.len(), "{report}");
    // The same seed, the same cases.
    let again = json(&at, &[&["check", "--cell", "gru"], &SMALL[..]].concat());
    assert_eq!(report["properties"], again["properties"]);
}

#[test]
fn what_is_no_fault_is_told_and_passes() {
    let at = directory("findings");
    let cell = "cell odd(x[I]; h[4], back[4] delay -1) where I=2
param idle[3]
gate = sigmoid(dense(x) + 40)
h' = gate * h + 1.5 * h + 0.1 * dense(x, name=new)
back' = 0.5 * back + relu(h')
output y = back' + 0 * sum(idle)
";
    fs::write(at.join("odd.cell"), cell).unwrap();
    let command = [&["check", "--cell", "odd.cell"], &SMALL[..]].concat();
    let report = json(&at, &command);
    let findings = report["findings"].as_array().unwrap();
    let has = |kind: &str, name: Option<&str>| {
        let found = findings.iter().filter(|f| f["kind"] == kind);
        { found }.any(|f| name.is_none_or(|n| f["name"].as_str().unwrap().contains(n)))
    };
    assert!(has("no_influence", Some("idle")), "{findings:?}");
    assert!(has("saturated", Some("gate")), "{findings:?}");
    assert!(has("later_steps", Some("y")), "{findings:?}");
    let output = run(&at, &command);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("nothing depends on `idle`"));
}

#[test]
fn a_cell_that_cannot_be_checked_is_a_mistake() {
    let at = directory("check-mistakes");
    let message = refused(&at, &["check", "--cell", "lsmt"], 2);
    assert!(message.contains("did you mean `lstm`?"), "{message}");
    let message = refused(&at, &["check", "--cell", "lstm", "--cases", "0"], 2);
    assert!(
        message.contains("a whole number from 1 to 1000000"),
        "{message}"
    );
    let message = refused(&at, &["check", "--cell", "lstm", "--time=-1"], 2);
    assert!(message.contains("more than 0"), "{message}");
    let message = refused(&at, &["check"], 2);
    assert!(message.contains("--cell"), "{message}");
}

#[test]
fn a_new_cell_is_in_its_usual_form_and_passes() {
    let at = directory("cell-new");
    let printed = run(&at, &["cell", "new", "mine"]);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    assert!(
        text(&printed.stdout).starts_with("./mine.cell\n"),
        "{}",
        text(&printed.stdout)
    );
    assert!(
        run(&at, &["cell", "fmt", "--check", "mine.cell"])
            .status
            .success()
    );
    let report = json(&at, &["check", "--cell", "mine.cell", "--cases", "1"]);
    assert_eq!(report["name"], "mine");
    let message = refused(&at, &["cell", "new", "mine"], 1);
    assert!(message.contains("is there already"), "{message}");
    let message = refused(&at, &["cell", "new", "../mine"], 1);
    assert!(message.contains("no such name"), "{message}");
}

#[test]
fn fmt_changes_white_space_alone() {
    let at = directory("cell-fmt");
    let odd = "cell  odd( x[2];h[2] )\n\n\nh'=0.5*h+x   # decays\noutput y=h'";
    fs::write(at.join("odd.cell"), odd).unwrap();
    let message = refused(&at, &["cell", "fmt", "--check", "odd.cell"], 1);
    assert!(message.contains("odd.cell"), "{message}");
    assert_eq!(fs::read_to_string(at.join("odd.cell")).unwrap(), odd);
    let printed = run(&at, &["cell", "fmt", "odd.cell"]);
    assert_eq!(text(&printed.stdout), "odd.cell\n");
    let usual = "cell odd(x[2]; h[2])\n\nh' = 0.5 * h + x  # decays\noutput y = h'\n";
    assert_eq!(fs::read_to_string(at.join("odd.cell")).unwrap(), usual);
    assert!(
        run(&at, &["cell", "fmt", "--check", "odd.cell"])
            .status
            .success()
    );
}

#[test]
fn cells_show_tells_parameters_and_text() {
    let at = directory("cells-show");
    let output = run(&at, &["cells", "show", "gru", "--set", "H=5"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in ["arXiv:1406.1078", "H=5", "reset.h", "cell gru("] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    let entry = retrograd::zoo::find("gru").unwrap();
    assert!(shown.ends_with(entry.text), "{shown}");
    assert!(entry.text.contains("h' = z ⊙ h + (1 - z) ⊙ h~"));
    // What it prints is a file to begin with.
    std::fs::write(at.join("mine.cell"), shown).unwrap();
    let again = run(&at, &["explain", "--cell", "mine.cell", "--summary"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let output = run(&at, &["cells", "show", "gru", "--svg", "gru.svg"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let drawn = std::fs::read_to_string(at.join("gru.svg")).unwrap();
    assert!(
        drawn.starts_with("<svg") && drawn.contains("tanh"),
        "{drawn}"
    );
    refused(
        &at,
        &["cells", "show", "gru", "--svg", "nowhere/gru.svg"],
        1,
    );
    let message = refused(&at, &["cells", "show", "gur"], 2);
    assert!(message.contains("did you mean `gru`?"), "{message}");
}
