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
