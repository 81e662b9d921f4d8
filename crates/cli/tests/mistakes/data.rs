//! Tables that cannot be read, or from which nothing could be learnt.

use std::fs;

use super::{check, directory, mistake, table};

pub(crate) const ROWS: usize = 36;

/// The table with another third row of data.
fn with(row: &str) -> String {
    table().replace("day 2,0.7174,0.6967", row)
}

/// 20 rows `k,value(k)` below a header.
fn of(header: &str, value: impl Fn(u32) -> String) -> String {
    let rows = (0..20).map(|k| format!("{}\n", value(k)));
    format!("{header}\n{}", rows.collect::<String>())
}

#[test]
fn tables() {
    let names = "Put names above it, or say `--header no`, which calls the columns 1, 2, …; or `--header yes` if these are names";
    let unit = "Give the column in another unit, take its logarithm, or leave it out";
    let commas = "has a comma in it; write numbers without commas, or say `--thousands` if they separate thousands";
    let row = "x.csv, line 4";
    let wide = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<String> = (0..1_000_000).map(cell).collect();
        cells.join(",")
    };
    let long = "x".repeat(1 << 20);
    let none: &[&str] = &[];
    let cases: [(Vec<u8>, &[&str], String); ROWS] = [
        (b"".into(), none, "x.csv: the file is empty; expected a header line and data rows".into()),
        (" \r\n\n".into(), none, "x.csv: the file is empty; expected a header line and data rows".into()),
        ("\n\na,b\n\n".into(), none, "x.csv: no data rows after the header on line 3".into()),
        ("1,2\n3,4\n".into(), none, format!("x.csv, line 1: expected a header line with column names, found only numbers (1, 2). {names}")),
        ("2012/01/01,0.5\n2012/01/02,0.7\n".into(), none, format!("x.csv, line 1: expected a header line with column names, found what looks like data (2012/01/01, 0.5). {names}")),
        ("day/a\nmon/1\n".into(), none, "x.csv: no column holds numbers; the columns are day/a (cells must be separated by commas)".into()),
        ("a,b,a\n1,2,3\n".into(), none, "x.csv, line 1: columns 1 and 3 are both named \"a\"".into()),
        (with("day 2,0.7174").into(), none, format!("{row}: the row is too short: found 2 cells, expected 3 as in the header")),
        (with("day 2,1,2,3").into(), none, format!("{row}: the row is too long: found 4 cells, expected 3 as in the header")),
        (with("day 2,0.7174,bright").into(), none, format!("{row}, column \"sun\": \"bright\" is not a number")),
        (with("day 2,0.7174,0x10").into(), none, format!("{row}, column \"sun\": \"0x10\" is not a number")),
        (with("day 2,NaN,0.6967").into(), none, format!("{row}, column \"rain\": NaN is not a finite number")),
        (with("day 2,-inf,0.6967").into(), none, format!("{row}, column \"rain\": -inf is not a finite number")),
        (with("day 2,1e400,0.6967").into(), none, format!("{row}, column \"rain\": 1e400 is not a finite number")),
        (with("day 2,,0.6967").into(), none, format!("{row}, column \"rain\": the value is missing; fill the gap, remove the row, or say `--gaps`")),
        (with("day 2,NA,0.6967").into(), none, format!("{row}, column \"rain\": the value is missing; fill the gap, remove the row, or say `--gaps`")),
        (with("day 2,\"1,000\",0.6967").into(), none, format!("{row}, column \"rain\": \"1,000\" {commas}")),
        ("day,n\nmon,\"1,000\"\n".into(), none, format!("x.csv, line 2, column \"n\": \"1,000\" {commas}")),
        (b"day,n\nmon,1\n\xff\xfe,2\n".into(), none, "x.csv, line 3: not UTF-8 text; save the file as CSV in UTF-8".into()),
        ("day,n\nmon,\"1\n".into(), none, "the series of 1 rows cannot be split with a fraction of 0.2 for validation; both parts need at least one row".into()),
        (of("day,n", |k| format!("2024-01-{:02},{}", 31 - k, k % 3)).into(), none, "x.csv: the rows are not in the order of time: column \"day\" goes back from 2024-01-31 (line 2) to 2024-01-30; `--reverse` reads the last row first".into()),
        (of("at,n", |k| format!("{},{}", 1_700_000_000 - 60 * k, k % 3)).into(), none, "x.csv: the rows are not in the order of time: column \"at\" goes back from 1700000000 (line 2) to 1699999940; `--reverse` reads the last row first".into()),
        (of("day,n", |k| format!("2024-01-{:02},{}", k + 1, k % 3)).into(), &["--reverse"], "x.csv: the rows are not in the order of time: column \"day\" goes back from 2024-01-20 (line 21) to 2024-01-19; leave `--reverse` out".into()),
        (of("id,epoch", |k| format!("{k},{}", 1_700_000_000 + 60 * k)).into(), none, "x.csv: no column is left to forecast: id, epoch only count rows or time; ask for one by name to forecast it".into()),
        (table().into(), &["--columns", "rain,snu"], "x.csv: there is no column \"snu\" (did you mean \"sun\"?); the columns are date, rain, sun".into()),
        (table().into(), &["--columns", "sun,sun"], "column \"sun\" is asked for twice".into()),
        (table().into(), &["--columns", "date"], "x.csv, line 2, column \"date\": \"day 0\" is not a number".into()),
        (of("n", |k| format!("{}e200", if k % 2 == 0 { 1 } else { -1 })).into(), none, format!("column \"n\": a number of the training part is 1e200; expected at most 1e100. {unit}")),
        (of("n", |k| format!("{}e-310", 1 + k % 2)).into(), none, format!("column \"n\": the standard deviation of the training part is 5e-311; expected 0, or at least 1e-100. {unit}")),
        (of("n", |k| if k == 19 { "1e30".into() } else { format!("{}", k % 2) }).into(), none, "row 19, column \"n\": 1e30 lies 2e30 standard deviations from the mean of the training part; expected less than 1e18. Mend the number, take the column's logarithm, or leave the column out".into()),
        (format!("{}\n{}\n", wide(&|k| format!("c{k}")), wide(&|k| (k % 7).to_string())).into(), none, "x: 1000000 columns of numbers; at most 1024 are forecast at a time: name them with --columns".into()),
        (format!("{}\n{}\n", wide(&|k| format!("c{k}")), wide(&|k| (k % 7).to_string())).into(), &["--columns", "d1"], "x.csv: there is no column \"d1\" (did you mean \"c1\"?); the columns are c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19 and 999980 more".into()),
        (format!("{long}\nmon\n").into(), none, format!("x.csv: no column holds numbers; the columns are {}… (cells must be separated by commas)", "x".repeat(40))),
        ("day,a\u{1b}[31m\nmon,\u{7}\nmon,1\n".into(), &["--columns", "a\u{1b}[31m"], "x.csv, line 2, column \"a\\u{1b}[31m\": \"\\u{7}\" is not a number".into()),
        ("a,b\n1,2\n".into(), &["--columns", ""], "x.csv: there is no column \"\" (did you mean \"a\"?); the columns are a, b".into()),
        (of("n", |k| (k % 3).to_string()).into(), &["--header", "no"], "x.csv: no column holds numbers; the columns are 1 (cells must be separated by commas)".into()),
    ];
    let at = directory("data");
    for (table, more, message) in cases {
        fs::write(at.join("x.csv"), table).unwrap();
        let arguments = [&["train", "--data", "x.csv"], more].concat();
        check(&at, &[mistake(&arguments, &message)]);
    }
}

#[test]
fn what_is_no_file() {
    let at = directory("nofile");
    fs::create_dir(at.join("folder")).unwrap();
    let mut rows = vec![
        mistake(
            &["train", "--data", "none.csv"],
            "none.csv: cannot be read: No such file or directory (os error 2)",
        ),
        mistake(
            &["train", "--data", "folder"],
            "folder: cannot be read: it is a directory, not a file",
        ),
        mistake(
            &["train", "--data", "-"],
            "standard input: the file is empty; expected a header line and data rows",
        ),
        mistake(
            &["train", "--data", "table.csv", "--cell", "./folder"],
            "./folder: it is a directory, not a file",
        ),
        mistake(
            &["train", "--data", "table.csv", "--cell", "none.cell"],
            "none.cell: No such file or directory (os error 2)",
        ),
    ];
    if cfg!(target_os = "linux") {
        rows.push(mistake(
            &["train", "--data", "/dev/zero"],
            "/dev/zero: cannot be read: it is a device, not a file",
        ));
        rows.push(mistake(
            &["train", "--data", "table.csv", "--cell", "/dev/zero"],
            "/dev/zero: it is a device, not a file",
        ));
    }
    check(&at, &rows);
}

#[test]
fn a_batch_beyond_its_memory_is_told_before_anything_is_compiled() {
    let at = directory("memory");
    let value = |k: u32| format!("{},{},{}", k % 7, k % 5, k % 3);
    let rows: String = (0..60_000).map(|k| format!("{}\n", value(k))).collect();
    fs::write(at.join("x.csv"), format!("a,b,c\n{rows}")).unwrap();
    check(
        &at,
        &[mistake(
            &[
                "train", "--data", "x.csv", "--steps", "24000", "--batch", "24000",
            ],
            "batches of 24000 windows of 24000 steps of 3 numbers need 12.9 GiB; at most 1 GiB may be used",
        )],
    );
}
