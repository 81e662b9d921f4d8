//! Tables of other locales, with gaps, and of several series.

use retrograd::data::{Csv, DataError, Gaps, Note, Series};

fn read(csv: &Csv, text: &str) -> Result<Series, DataError> {
    csv.parse(text, "t.csv")
}

fn notes(series: &Series) -> Vec<String> {
    series.notes().iter().map(Note::to_string).collect()
}

#[test]
fn separators_and_decimals_are_guessed_and_told() {
    let semicolons = read(
        &Csv::new(),
        "day;a, b;c\n1.2.2024;1,5;-2\n2.2.2024;1.000,25;3\n",
    )
    .unwrap();
    assert_eq!(semicolons.names(), ["a, b", "c"]);
    assert_eq!(semicolons.rows(), [1.5, -2.0, 1000.25, 3.0]);
    let guess = "cells are separated by `;`, decimals by `,`";
    assert_eq!(
        notes(&semicolons),
        [guess, "column \"day\" labels the rows"]
    );
    let tabs = read(&Csv::new(), "day\ta\nx\t1.5\ny\t2\n").unwrap();
    assert_eq!(tabs.rows(), [1.5, 2.0]);
    assert_eq!(
        notes(&tabs)[0],
        "cells are separated by tabs, decimals by `.`"
    );
    let points = read(&Csv::new(), "day;a\nx;1.5\ny;2\n").unwrap();
    assert_eq!(points.rows(), [1.5, 2.0]);
    // Commas are what is usual, and not told.
    let commas = read(&Csv::new(), "day,a;b\nx,1.5\n").unwrap();
    assert_eq!(
        (commas.names(), notes(&commas).len()),
        (&["a;b".to_owned()][..], 1)
    );
}

#[test]
fn what_is_said_is_not_guessed() {
    let table = "a;b\n1,5;2,5\n3,5;4,5\n";
    let csv = Csv::new().separator(b';').decimal(b',');
    let series = read(&csv, table).unwrap();
    assert_eq!(series.rows(), [1.5, 2.5, 3.5, 4.5]);
    assert!(notes(&series).is_empty());
    let quoted = read(&Csv::new().decimal(b','), "a,b\n\"1,5\",2\n").unwrap();
    assert_eq!(quoted.rows(), [1.5, 2.0]);
    // A point that parts no thousands is no number where decimals have commas.
    let wrong = read(&csv, "a;b\n1,5;2\n1.5;4\n").unwrap_err();
    assert!(
        matches!(wrong, DataError::NotANumber { line: 3, .. }),
        "{wrong}"
    );
    let spaces = read(&Csv::new().thousands(true), "a,b\n1 000,1'000.5\n").unwrap();
    assert_eq!(spaces.rows(), [1000.0, 1000.5]);
}

#[test]
fn files_in_utf_16_and_with_byte_order_marks_are_read() {
    let table = "tag;wärme\na;1,5\nb;2,5\n";
    let little = [0xff, 0xfe]
        .into_iter()
        .chain(table.encode_utf16().flat_map(u16::to_le_bytes));
    let big = [0xfe, 0xff]
        .into_iter()
        .chain(table.encode_utf16().flat_map(u16::to_be_bytes));
    let utf8 = [0xef, 0xbb, 0xbf].into_iter().chain(table.bytes());
    for bytes in [little.collect::<Vec<u8>>(), big.collect(), utf8.collect()] {
        let series = Csv::new().read(&bytes[..], "t.csv").unwrap();
        assert_eq!(
            (series.names(), series.rows()),
            (&["wärme".to_owned()][..], &[1.5, 2.5][..])
        );
    }
    let odd = Csv::new()
        .read(&[0xff, 0xfe, b'a'][..], "t.csv")
        .unwrap_err();
    assert!(matches!(odd, DataError::NotUtf8 { line: 1, .. }), "{odd}");
}

const GAPS: &str = "day,a,b\n1/1/24,,1\n2/1/24,2,NA\n3/1/24,,nan\n4/1/24,,4\n5/1/24,8,\n";

#[test]
fn gaps_are_filled_as_asked_and_counted() {
    let filled = |gaps| read(&Csv::new().gaps(gaps), GAPS).unwrap();
    let forward = filled(Gaps::Forward);
    assert_eq!(
        forward.rows(),
        [2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 4.0, 8.0, 4.0]
    );
    assert_eq!(
        notes(&forward)[1..],
        [
            "column \"a\": 3 gaps, filled with the value before",
            "column \"b\": 3 gaps, filled with the value before"
        ]
    );
    let linear = filled(Gaps::Linear);
    assert_eq!(
        linear.rows(),
        [2.0, 1.0, 2.0, 2.0, 4.0, 3.0, 6.0, 4.0, 8.0, 4.0]
    );
    let masked = filled(Gaps::Mask);
    assert_eq!(masked.rows(), forward.rows());
    let missing: Vec<bool> = (0..10).map(|k| masked.is_missing(k / 2, k % 2)).collect();
    assert_eq!(
        missing,
        [
            true, false, false, true, true, true, true, false, false, true
        ]
    );
    let refused = read(&Csv::new(), GAPS).unwrap_err().to_string();
    assert!(
        refused.contains("line 2, column \"a\": the value is missing"),
        "{refused}"
    );
    let none = read(
        &Csv::new().columns(["a", "b"]).gaps(Gaps::Linear),
        "a,b\n1,\n2,\n",
    )
    .unwrap_err();
    assert_eq!(
        none.to_string(),
        "t.csv: column \"b\" has no number to fill its gaps from"
    );
}

#[test]
fn several_series_are_told_apart_and_each_is_in_the_order_of_time() {
    let table = "shop,day,sold,week\nn,2024-01-01,3,1\ns,2024-01-01,7,1\nn,2024-01-02,,2\ns,2024-01-02,8,2\nn,2024-01-03,5,3\n";
    let csv = Csv::new().id("shop").columns(["sold"]).gaps(Gaps::Linear);
    let panel = csv.parse_panel(table, "t.csv").unwrap();
    assert_eq!(
        (panel.ids(), panel.id_name()),
        (&["n".to_owned(), "s".to_owned()][..], Some("shop"))
    );
    assert_eq!(panel.find("n").unwrap().rows(), [3.0, 4.0, 5.0]);
    assert_eq!(
        panel.find("s").unwrap().labels().unwrap(),
        ["2024-01-01", "2024-01-02"]
    );
    assert_eq!(panel.rows(), 5);
    let turned: String = table
        .lines()
        .take(1)
        .chain(table.lines().skip(1).collect::<Vec<_>>().into_iter().rev())
        .map(|l| format!("{l}\n"))
        .collect();
    let refused = csv.parse_panel(&turned, "t.csv").unwrap_err().to_string();
    assert_eq!(
        refused,
        "t.csv: the rows are not in the order of time: column \"day\" goes back from 2024-01-03 (line 2) to 2024-01-02; `Csv::reversed` reads the last row first"
    );
    let again = csv
        .clone()
        .reversed(true)
        .parse_panel(&turned, "t.csv")
        .unwrap();
    assert_eq!(again.find("n").unwrap().rows(), [3.0, 4.0, 5.0]);
    let unknown = Csv::new()
        .id("shp")
        .parse_panel(table, "t.csv")
        .unwrap_err();
    assert!(
        unknown.to_string().contains("did you mean \"shop\"?"),
        "{unknown}"
    );
}
