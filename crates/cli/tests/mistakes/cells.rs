//! Cell files with mistakes: the message's first line and its place. How the place is drawn is the renderer's.

use std::ffi::OsStr;
use std::fs;

use super::{MISTAKE, directory, run};

pub(crate) const ROWS: usize = 23;
pub(crate) const LIMIT_ROWS: usize = 6;

const HEAD: &str = "cell f(x[I]; h[H]) where I=2, H=3\n";
const NEXT: &str = "h' = tanh(dense(x, h))\n";
const TAIL: &str = "output y = dense(h')\ntarget next[I]\nloss mean(square(y - next))\n";

/// A cell with these lines for its state.
fn cell(lines: &str) -> String {
    format!("{HEAD}{lines}\n{TAIL}")
}

/// Another head.
fn head(head: &str) -> String {
    format!("{head}\n{NEXT}{TAIL}")
}

/// What goes wrong with this text and these arguments, if anything: the first line, where, and the exit code are as expected.
fn wrong(text: &str, more: &[&str], message: &str, place: &str) -> Option<String> {
    let at = directory(&format!("cell-{}", place.replace(':', "-")));
    fs::write(at.join("f.cell"), text).unwrap();
    let arguments = [&["train", "--data", "table.csv", "--cell", "f.cell"], more].concat();
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    match run(&at, &arguments, b"") {
        Ok((Some(MISTAKE), out, err))
            if out.is_empty()
                && err.lines().next() == Some(&format!("error: {message}"))
                && err.contains(&format!("f.cell:{place}")) =>
        {
            None
        }
        other => Some(format!(
            "{text}{more:?} {place}\n  {message}\n  {other:?}\n"
        )),
    }
}

#[test]
fn cell_files() {
    let rows: [(String, &[&str], &str, &str); ROWS] = [
        (
            String::new(),
            &[],
            "expected `cell` and its name, found the end of the text",
            "1:1",
        ),
        (
            "h = 3\n".into(),
            &[],
            "expected `cell` and its name, found `h`",
            "1:1",
        ),
        (
            cell("h' = tahn(dense(x, h))"),
            &[],
            "there is no function `tahn`",
            "2:6",
        ),
        (
            cell("h' = tanh(dense(x, h)"),
            &[],
            "expected an operator or `)`, found `output`",
            "3:1",
        ),
        (
            cell("h' = tanh(dense(x, g))"),
            &[],
            "there is no value `g`",
            "2:20",
        ),
        (
            cell("h' = tanh(dense(x, h))\nh' = dense(x)"),
            &[],
            "`h'` is given twice",
            "3:1",
        ),
        (
            cell("h' = dense(x)[0] + h"),
            &[],
            "nothing says how wide this is",
            "2:6",
        ),
        (
            cell("h' = tanh(x + h)"),
            &[],
            "`+` needs values of one shape, not [2] and [3]",
            "2:15",
        ),
        (
            cell("h' = tanh(x, h)"),
            &[],
            "`tanh` takes 1 operands, and here are 2",
            "2:6",
        ),
        (
            cell("h' = tanh(dense(x, h)) $ 3"),
            &[],
            "expected the end of the line, found `$`",
            "2:24",
        ),
        (
            cell("mask m[H] keep 1.5\nh' = tanh(dense(x, h)) * m"),
            &[],
            "a mask cannot keep with probability 1.5",
            "2:16",
        ),
        (
            format!("{HEAD}output y = dense(x)\ntarget next[I]\nloss mean(square(y - next))\n"),
            &[],
            "the state `h` has no next value",
            "1:14",
        ),
        (
            format!("{HEAD}{NEXT}output y = dense(h')\ntarget next[I]\n"),
            &[],
            "nothing says how wide this is",
            "3:12",
        ),
        (
            format!("{HEAD}{NEXT}output y = dense[2](h')\nloss mean(square(y))\n"),
            &[],
            "to forecast rows, a cell needs one target; this one has none",
            "1:6",
        ),
        (
            head("cell f(x[I]; h[H]) where I=2"),
            &[],
            "there is no dimension `H` with a value",
            "1:16",
        ),
        (
            head("cell f(x[I]; h[H]) where I=2, H=0"),
            &[],
            "`h` needs at least one element",
            "1:14",
        ),
        (
            head("cell f(x[I]; h[H]) where I=2, H=99999999999999999999"),
            &[],
            "100000000000000000000 is no size",
            "1:16",
        ),
        (
            head("cell f(x[3]; h[H]) where I=2, H=3"),
            &[],
            "`x` has 3 numbers, but the data has 2 columns",
            "1:8",
        ),
        (
            head("cell f(x[I], z[I]; h[H]) where I=2, H=3"),
            &[],
            "to forecast rows, a cell needs one input; this one has several",
            "1:14",
        ),
        (
            cell("h' = tanh(dense(x, h))"),
            &["--set", "I=7"],
            "`x` has 7 numbers, but the data has 2 columns",
            "1:8",
        ),
        (
            cell("h' = tanh(dense(x, h))"),
            &["--set", "Q=7"],
            "there is no dimension `Q` to set",
            "1:6",
        ),
        (
            format!("{HEAD}{NEXT}output y = h'\ntarget next[I]\nloss sum(h')\n"),
            &[],
            "no output is known to be the forecast: 0 have 2 numbers, as the data has",
            "3:8",
        ),
        (
            cell("h' = tanh(dense(x, h)) \u{7} 3"),
            &[],
            "expected the end of the line, found `␇`",
            "2:24",
        ),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(text, more, message, place)| wrong(text, more, message, place))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// Cells far beyond what can be compiled or held: refused, not tried.
#[test]
fn cells_beyond_all_limits() {
    let end = "target next[I]\nloss mean(square(y - next))\n";
    let doubled: String = (0..18)
        .map(|k| format!("v{} = concat(v{k}, v{k})\n", k + 1))
        .collect();
    let most = "which is more than the 2147483647 numbers that one value can have";
    let of = |lines: &str| format!("cell f(x[I]) where I=2\n{lines}{end}");
    let rows: [(String, &[&str], String, &str); LIMIT_ROWS] = [
        (
            of("param W[100000, 100000]\noutput y = x\n"),
            &[],
            format!("`W` would be [100000,100000], {most}"),
            "2:7",
        ),
        (
            of("param W[2147483648, 2]\noutput y = x\n"),
            &[],
            format!("`W` would be [2147483648,2], {most}"),
            "2:7",
        ),
        (
            format!(
                "cell f(x[I]; h[I] delay 2000000000) where I=2\nh' = x\noutput y = x + h\n{end}"
            ),
            &[],
            "`h` would be delayed by 2000000000 steps; at most 1048576 are possible".into(),
            "1:14",
        ),
        // The place is beyond what 16 bits count.
        (
            cell(&format!("h' = tanh(dense(x, h)){}+ g", " ".repeat(70_000))),
            &[],
            "there is no value `g`".into(),
            "2:70025",
        ),
        (
            cell("h' = tanh(dense(x, h)) * 1e400"),
            &[],
            "the number `1e400` is too large for f64".into(),
            "2:26",
        ),
        (
            cell("h' = tanh(dense(x, h))"),
            &["--set", "H=1000000"],
            format!("`h.h` would be [1000000,1000000], {most}"),
            "2:11",
        ),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(text, more, message, place)| wrong(text, more, message, place))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());

    // What is no more than memory has, but more than the limit of these tests.
    let at = directory("cell-concat");
    let text = of(&format!("v0 = x\n{doubled}output y = dense(v18)\n"));
    fs::write(at.join("f.cell"), text).unwrap();
    let arguments = ["train", "--data", "table.csv", "--cell", "f.cell"].map(OsStr::new);
    let (code, out, err) = run(&at, &arguments, b"").unwrap();
    assert_eq!((code, &*out), (Some(MISTAKE), ""), "{err}");
    if cfg!(target_os = "linux") {
        let message = "error: 32 steps of 32 rows need ";
        assert!(err.starts_with(message) && err.contains("GiB"), "{err}");
    }
}

/// Cells that the library runs, but that would know what they are to forecast.
#[test]
fn cells_that_need_later_rows() {
    let later = "cell f(x[I]; b[I] delay -1) where I=2\nb' = x\noutput y = 1 * b\ntarget next[I]\n\
                 loss mean(square(y - next))\n";
    let label = "cell f(x[I]; h[I]) where I=2\nh' = x\noutput y = h'\ntarget label[I] over row\n\
                 loss mean(square(last(h') - label))\n";
    let rows = [
        (
            later,
            "a forecast cannot know later rows: `b` reads the sequence from its end (delay -1)",
            "1:6",
        ),
        (
            label,
            "`label` has one value for all steps of a series",
            "4:8",
        ),
    ];
    let found: Vec<String> = (rows.into_iter())
        .filter_map(|(text, message, place)| wrong(text, &[], message, place))
        .collect();
    assert!(found.is_empty(), "{}", found.concat());
}
