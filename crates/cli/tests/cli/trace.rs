//! `--trace-nan`.

use std::fs;

use super::{directory, refused, run, table, text};

#[test]
fn where_a_loss_stopped_being_finite_is_shown_in_the_cell_file() {
    let at = directory("trace");
    fs::write(at.join("table.csv"), table()).unwrap();
    let cell = "cell root(x[I]; h[4]) where I=2
h' = tanh(dense(x, h))
output y = dense[I](h')
target next[I]
gap = mean(square(y - next)) - 1000
loss sqrt(gap)
";
    fs::write(at.join("root.cell"), cell).unwrap();
    let command = [
        "train",
        "--data",
        "table.csv",
        "--cell",
        "root.cell",
        "--epochs",
        "1",
    ];
    let said = refused(&at, &command, 1);
    assert!(said.contains("the loss became NaN at step 1"), "{said}");
    assert!(said.contains("--trace-nan"), "{said}");

    let output = run(&at, &[&command[..], &["--trace-nan"]].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(text(&output.stdout), "");
    let what = "(sqrt) becomes NaN at step 0, row 0: sqrt of `gap` = -9";
    assert!(
        said.starts_with("error: %") && said.contains(what),
        "{said}"
    );
    assert!(said.contains("root.cell:6:6"), "{said}");
    assert!(said.contains("6 | loss sqrt(gap)"), "{said}");
    assert!(said.contains("^^^^^^^^^ NaN appears here"), "{said}");
}

#[test]
fn a_model_that_is_not_finite_before_any_step_is_traced_too() {
    let at = directory("trace-first");
    fs::write(at.join("table.csv"), table()).unwrap();
    let cell = "cell fraction(x[I]; h[4]) where I=2
gate = tanh(dense(x, h))
h' = 0.5 * h + gate^1.5
output y = dense[I](h')
target next[I]
loss mean(square(y - next))
";
    fs::write(at.join("fraction.cell"), cell).unwrap();
    let command = [
        "train",
        "--data",
        "table.csv",
        "--cell",
        "fraction.cell",
        "--epochs",
        "1",
    ];
    let said = refused(&at, &command, 1);
    assert!(said.contains("the forecast is not finite"), "{said}");
    assert!(said.contains("--trace-nan"), "{said}");
    let output = run(&at, &[&command[..], &["--trace-nan"]].concat());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let what = "(pow) becomes NaN at step 0, row 0";
    assert!(said.contains(what), "{said}");
    assert!(said.contains("fraction.cell:3:16"), "{said}");
}
