//! Flags that are not known, that take something else, or that do not go together.

use super::{check, directory, mistake, usage};

pub(crate) const USAGE_ROWS: usize = 27;
pub(crate) const SETTING_ROWS: usize = 17;

fn invalid(value: &str, flag: &str, expected: &str) -> String {
    format!("error: invalid value '{value}' for '{flag}': {expected}")
}

#[test]
fn bad_usage() {
    let whole = |flag: &'static str, value: &'static str, name: &str, range: &str| {
        let expected = format!("expected a whole number {range}");
        usage(
            &[flag, value],
            &invalid(value, &format!("{flag} <{name}>"), &expected)[7..],
        )
    };
    let bad = |arguments: &[&'static str], flag: &str, expected: &str| {
        let value = arguments[arguments.len() - 1];
        usage(arguments, &invalid(value, flag, expected)[7..])
    };
    let set = "expected a dimension and a whole number from 1 to 1000000, as in H=32";
    let million = "from 1 to 1000000";
    let rows = [
        bad(
            &["--cell", "lstn"],
            "--cell <NAME|FILE.cell>",
            &format!(
                "there is no cell `lstn` (did you mean `lstm`?); the cells are {}, and files that end in .cell",
                cells()
            ),
        ),
        bad(
            &["--engine", "gpu"],
            "--engine <jit|tape>",
            "there is no engine `gpu`; the engines are `jit` and `tape`",
        ),
        whole("--hidden", "0", "N", "from 1 to 4096"),
        whole("--hidden", "4097", "N", "from 1 to 4096"),
        whole("--epochs", "0", "N", million),
        whole("--epochs", "18446744073709551616", "N", million),
        whole("--steps", "0", "N", million),
        whole("--steps", "1000001", "N", million),
        whole("--batch", "1.5", "N", million),
        whole("--batch", "18446744073709551615", "N", million),
        whole("--rows", "0", "N", "of at least 1"),
        bad(
            &["--learning-rate", "nan"],
            "--learning-rate <X>",
            "expected a number of more than 0",
        ),
        bad(
            &["--learning-rate", "inf"],
            "--learning-rate <X>",
            "expected a number of more than 0",
        ),
        bad(
            &["--learning-rate", "0"],
            "--learning-rate <X>",
            "expected a number of more than 0",
        ),
        bad(
            &["--dropout", "1"],
            "--dropout <P>",
            "expected a number of at least 0 and less than 1",
        ),
        bad(
            &["--validation", "1e400"],
            "--validation <X>",
            "expected a number of more than 0 and less than 1",
        ),
        bad(
            &["--seed", "1e3"],
            "--seed <N>",
            "invalid digit found in string",
        ),
        bad(
            &["--unroll", "33"],
            "--unroll <N>",
            "a loop can be unrolled by 1 to 32 steps, not by 33",
        ),
        bad(&["--set", "H=18446744073709551615"], "--set <NAME=N>", set),
        bad(&["--set", "H=0"], "--set <NAME=N>", set),
        bad(&["--set", "=3"], "--set <NAME=N>", set),
        bad(
            &["train", "--header", "maybe"],
            "--header <yes|no>",
            "expected `yes` or `no`",
        ),
        usage(
            &["--epoch", "3"],
            "unexpected argument '--epoch' found tip: a similar argument exists: '--epochs'",
        ),
        usage(
            &["train"],
            "the following required arguments were not provided: <--data <FILE.csv>|--manifest <FILE.csv>|--wav <DRY.wav> <WET.wav>>",
        ),
        usage(
            &["--data", "table.csv"],
            "unexpected argument '--data' found",
        ),
        usage(&["learn"], "unrecognized subcommand 'learn'"),
        usage(
            &["intuition", "--quick", "--full"],
            "the argument '--quick' cannot be used with '--full'",
        ),
    ];
    assert_eq!(rows.len(), USAGE_ROWS);
    check(&directory("usage"), &rows);
}

fn cells() -> String {
    let all: Vec<&str> = retrograd::zoo::names().collect();
    all.join(", ")
}

#[test]
fn settings_that_the_data_or_the_cell_do_not_allow() {
    let at = directory("settings");
    std::fs::write(
        at.join("lstm.cell"),
        include_str!("../../../retrograd/tests/cells/lstm.cell"),
    )
    .unwrap();
    std::fs::write(at.join("file"), "").unwrap();
    let train = |more: &[&'static str], message: &str| {
        mistake(&[&["train", "--data", "table.csv"], more].concat(), message)
    };
    let rows = [
        train(
            &["--cell", "lstm", "--set", "H=3"],
            "--set H=3 is for cell files; the cell `lstm` takes --hidden 3",
        ),
        train(
            &["--cell", "lstm.cell", "--dropout", "0.1"],
            "--dropout is for cells without a loss of their own; in `lstm` write a mask, as in `mask kept[H] keep 0.6`",
        ),
        train(
            &["--cell", "lstm.cell", "--set", "H=3", "--hidden", "4"],
            "the dimension H is set twice",
        ),
        train(
            &["--cell", "mlstm", "--hidden", "7"],
            "--hidden 7 sets the dimension H, which the cell `mlstm` does not have; its dimensions are I, D: use --set",
        ),
        train(
            &["--steps", "64"],
            "the training part has 64 rows; --steps 64 needs at least 65, a window and the row after it",
        ),
        train(
            &["--steps", "1000000"],
            "the training part has 64 rows; --steps 1000000 needs at least 1000001, a window and the row after it",
        ),
        train(
            &["--batch", "1000000"],
            "the batch size is 1000000; expected at most the number of different windows, which is 32",
        ),
        train(
            &["--rows", "18446744073709551615"],
            "the part to keep is rows 0..18446744073709551615 of a series of 80 rows; expected a range of at least one row inside it",
        ),
        train(
            &["--rows", "1"],
            "the series of 1 rows cannot be split with a fraction of 0.2 for validation; both parts need at least one row",
        ),
        train(
            &["--rows", "7"],
            "the part before the first row to predict has 6 rows; the baseline \"ar7\" needs at least 7",
        ),
        train(
            &["--validation", "1e-300"],
            "the series of 80 rows cannot be split with a fraction of 1e-300 for validation; both parts need at least one row",
        ),
        train(
            &["--out", "file"],
            "file: cannot be made: File exists (os error 17)",
        ),
        mistake(
            &["explain", "--pass", "fold"],
            "there is no pass `fold`; this program went through record, simplify, adjoint, flush, split, stack_products, legalize, rematerialize, plan",
        ),
        mistake(
            &["explain", "--cell", "lstm", "--set", "Q=3"],
            "the cell `lstm` has no dimension Q; its dimensions are I and H",
        ),
        mistake(
            &[
                "explain",
                "--steps",
                "1000000000",
                "--batch",
                "1000000",
                "--hidden",
                "4096",
            ],
            "1000000000 steps of 1000000 rows are more numbers than can be addressed",
        ),
        mistake(
            &["explain", "--cell", "lstm", "--set", "I=1000000"],
            "the dimension I is 1000000; the zoo's cells have at most 4096",
        ),
        mistake(
            &["explain", "--summary", "--svg", "no/such/file.svg"],
            "no/such/file.svg: cannot be written: No such file or directory (os error 2)",
        ),
    ];
    assert_eq!(rows.len(), SETTING_ROWS);
    check(&at, &rows);
}

#[test]
fn results_that_are_no_file_or_not_those_of_a_study() {
    let at = directory("results");
    std::fs::create_dir(at.join("other")).unwrap();
    std::fs::write(at.join("other/results.jsonl"), "{}\n").unwrap();
    let intuition = |out| ["intuition", "--quick", "--out", out];
    let mut rows = vec![mistake(
        &intuition("other"),
        "other/results.jsonl, line 1: not a result of a study; to begin anew, move the file away or choose another directory: \
         missing field `key` at line 1 column 2",
    )];
    #[cfg(target_os = "linux")]
    {
        std::fs::create_dir(at.join("device")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at.join("device/results.jsonl")).unwrap();
        rows.push(mistake(
            &intuition("device"),
            "device/results.jsonl: it is a device, not a file",
        ));
    }
    check(&at, &rows);
}
