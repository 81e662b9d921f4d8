//! What reading a table guesses: said in its notes, or refused with what to do.

use retrograd::data::{Csv, DataError, Header, IndexUnit, Note, Series, Standardizer};

use super::names;

fn notes(csv: &Csv, text: &str) -> Vec<String> {
    let series = csv.parse(text, "t.csv").unwrap();
    series.notes().iter().map(Note::to_string).collect()
}

fn refused(csv: &Csv, text: &str) -> String {
    csv.parse(text, "t.csv").unwrap_err().to_string()
}

#[test]
fn a_row_of_data_is_not_taken_for_names() {
    let rest = "Put names above it, or say `Header::None`, which calls the columns 1, 2, …; or `Header::Names` \
                if these are names";
    let like =
        "t.csv, line 1: expected a header line with column names, found what looks like data";
    let weather = "2012/01/01,0.0,12.8,drizzle\n2012/01/02,10.9,10.6,rain\n";
    assert_eq!(
        refused(&Csv::new(), weather),
        format!("{like} (2012/01/01, 0.0, 12.8, drizzle). {rest}")
    );
    for table in [
        "mon,3,4\ntue,5,6\n",
        "mon,,4\ntue,5,6\n",
        "2012,2013\n1,2\n",
        "a,\"1,000\"\nb,\"2,000\"\n",
        "2012-01-01,x\n2012-01-02,y\n",
    ] {
        let error = Csv::new().parse(table, "t.csv").unwrap_err();
        assert!(
            matches!(error, DataError::NoHeader { line: 1, .. }),
            "{table}: {error}"
        );
    }
    let none = Csv::new()
        .header(Header::None)
        .parse(weather, "t.csv")
        .unwrap();
    assert_eq!(none.names(), ["2", "3"]);
    assert_eq!(none.rows(), [0.0, 12.8, 10.9, 10.6]);
    assert_eq!(none.labels().unwrap()[0], "2012/01/01");
    let named = Csv::new()
        .header(Header::Names)
        .parse("mon,3\ntue,5\n", "t.csv")
        .unwrap();
    assert_eq!(
        (named.names(), named.rows()),
        (&names(&["3"])[..], &[5.0][..])
    );
}

#[test]
fn names_that_are_partly_numbers_are_noted() {
    let series = Csv::new()
        .parse("day,2019,total\nmon,3,4\n", "t.csv")
        .unwrap();
    assert_eq!(series.names(), ["2019", "total"]);
    assert_eq!(
        series.notes()[0].to_string(),
        "line 1 is taken for names of columns, though 2019 could be data; `Header::None` reads it as data"
    );
}

#[test]
fn columns_that_are_left_out_are_listed_with_the_reason() {
    let table = "day,kind,price,gap,,n\nmon,x,$1.50,,7,1\ntue,y,$2,,8,2\n";
    assert_eq!(
        notes(&Csv::new(), table),
        [
            "column \"day\" labels the rows",
            "column \"kind\" is left out: \"x\" (line 2) is not a number",
            "column \"price\" is left out: \"$1.50\" (line 2) is not a number",
            "column \"gap\" is left out: it has no values",
            "column 5 is left out: it has no name",
        ]
    );
    let asked = Csv::new().columns(["n"]);
    assert_eq!(notes(&asked, table), ["column \"day\" labels the rows"]);
    assert!(notes(&Csv::new(), "a,b\n1,2\n").is_empty());
    let wide = |first: &str, of: &str| {
        let of = (0..100).map(|k| of.replace('#', &k.to_string()));
        std::iter::once(first.to_owned())
            .chain(of)
            .collect::<Vec<_>>()
            .join(",")
    };
    let table = format!("{}\n{}\n", wide("n", "c#"), wide("1", "x"));
    let notes = notes(&Csv::new(), &table);
    assert_eq!(
        (notes.len(), &*notes[20]),
        (21, "80 more columns are left out")
    );
}

/// Hours from first to last, and a value each.
fn hours(name: &str, hours: impl Iterator<Item = u64>) -> String {
    let rows = hours.map(|h| format!("{},{}.5\n", 1_700_000_000 + 3600 * h, h % 5));
    format!("{name},price\n{}", rows.collect::<String>())
}

#[test]
fn a_column_of_times_is_forecast_only_if_it_is_asked_for() {
    let table = hours("clock", 0..12);
    let series = Csv::new().parse(&table, "t.csv").unwrap();
    assert_eq!(series.names(), ["price"]);
    assert_eq!(
        (series.label_name(), &*series.labels().unwrap()[1]),
        (Some("clock"), "1700003600")
    );
    assert_eq!(
        series.notes(),
        [Note::Index {
            column: "clock".to_owned(),
            unit: IndexUnit::Seconds,
            labels: true
        }]
    );
    assert_eq!(
        series.notes()[0].to_string(),
        "column \"clock\" is time in seconds since 1970: it labels the rows and is not forecast unless it is asked for by name"
    );
    let asked = Csv::new()
        .columns(["price", "clock"])
        .parse(&table, "t.csv")
        .unwrap();
    assert_eq!(asked.names(), ["price", "clock"]);
    assert_eq!(asked.notes(), []);
    let ids: String = (1..10).map(|k| format!("d{k},{k},{}\n", k % 2)).collect();
    assert_eq!(
        notes(&Csv::new(), &format!("day,id,x\n{ids}"))[1],
        "column \"id\" counts evenly: it is left out and is not forecast unless it is asked for by name"
    );
    let only: String = (1..10).map(|k| format!("{k}\n")).collect();
    assert_eq!(
        refused(&Csv::new(), &format!("id\n{only}")),
        "t.csv: no column is left to forecast: id only count rows or time; ask for one by name to forecast it"
    );
}

#[test]
fn rows_from_the_newest_to_the_oldest_are_refused_unless_they_are_turned() {
    let back = "day,x\n2024-01-03,3\n2024-01-02,2\n2024-01-01,1\n";
    let turned = Csv::new().reversed(true);
    assert_eq!(
        refused(&Csv::new(), back),
        "t.csv: the rows are not in the order of time: column \"day\" goes back from 2024-01-03 (line 2) to 2024-01-02; \
         `Csv::reversed` reads the last row first"
    );
    let series = turned.parse(back, "t.csv").unwrap();
    assert_eq!(series.rows(), [1.0, 2.0, 3.0]);
    assert_eq!(series.labels().unwrap()[0], "2024-01-01");
    let on = "day,x\n2024-01-01,1\n2024-01-02,2\n";
    assert_eq!(
        refused(&turned, on),
        "t.csv: the rows are not in the order of time: column \"day\" goes back from 2024-01-02 (line 3) to 2024-01-01; \
         leave `Csv::reversed` out"
    );
    // Times as numbers: as a column that is left out, one that is asked for, and one that labels.
    let table = hours("clock", (0..12).rev());
    for columns in [None, Some(vec!["price", "clock"]), Some(vec!["price"])] {
        let csv = columns
            .iter()
            .fold(Csv::new(), |csv, c| csv.columns(c.clone()));
        let message = refused(&csv, &table);
        assert!(
            message.contains("goes back from 1700039600 (line 2) to 1700036000"),
            "{message}"
        );
        let series = csv.reversed(true).parse(&table, "t.csv").unwrap();
        assert_eq!(series.row(0)[0], 0.5, "{columns:?}");
        assert!(
            refused(&csv_turned(&columns), &hours("clock", 0..12))
                .contains("leave `Csv::reversed`")
        );
    }
    let years: String = (0..9)
        .map(|k| format!("{},{}\n", 2008 - k, k % 2))
        .collect();
    assert!(refused(&Csv::new(), &format!("YEAR,n\n{years}")).contains("\"YEAR\" goes back"));
    let broken = "day,x\n2024-01-01,3\n2024-01-03,2\n2024-01-02,1\n2024-01-04,1\n";
    assert_eq!(
        notes(&Csv::new(), broken)[1],
        "column \"day\" goes back in line 4: the rows are taken in the order of the file"
    );
}

fn csv_turned(columns: &Option<Vec<&str>>) -> Csv {
    let csv = Csv::new().reversed(true);
    columns.iter().fold(csv, |csv, c| csv.columns(c.clone()))
}

#[test]
fn turning_a_series_turns_rows_and_labels_and_twice_is_none() {
    let series = Series::new(names(&["a", "b"]), vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let series = series.with_labels("day", names(&["mon", "tue"])).unwrap();
    let turned = series.clone().reversed();
    assert_eq!(turned.rows(), [3.0, 4.0, 1.0, 2.0]);
    assert_eq!(turned.labels().unwrap(), names(&["tue", "mon"]));
    assert_eq!(turned.reversed(), series);
}

#[test]
fn numbers_with_commas_are_refused_or_read_never_dropped() {
    let table = "day,n\nmon,\"1,000\"\ntue,\"-12,345.5\"\nwed,7\n";
    let message = "\"1,000\" has a comma in it; write numbers without commas, or say `Csv::thousands` if they separate thousands";
    assert_eq!(
        refused(&Csv::new(), table),
        format!("t.csv, line 2, column \"n\": {message}")
    );
    // Not in the first row either.
    let later = "day,n\nmon,7\ntue,\"1,000\"\n";
    assert_eq!(
        refused(&Csv::new(), later),
        format!("t.csv, line 3, column \"n\": {message}")
    );
    let series = Csv::new().thousands(true).parse(table, "t.csv").unwrap();
    assert_eq!(series.rows(), [1000.0, -12345.5, 7.0]);
    for other in [
        "1,00",
        "1,0000",
        ",100",
        "1,000,",
        "1,000.5.5",
        "1,000e3",
        "0x1,000",
    ] {
        let table = format!("day,x,n\nmon,1,\"{other}\"\n");
        let series = Csv::new().thousands(true).parse(&table, "t.csv").unwrap();
        assert_eq!(series.names(), ["x"], "{other}");
        assert!(series.notes()[1].to_string().contains("is not a number"));
    }
}

#[test]
fn columns_that_cannot_be_squared_are_refused_with_what_to_do() {
    let fit = |values: &[f64]| {
        let series = Series::new(names(&["flow"]), values.to_vec()).unwrap();
        Standardizer::fit(&series, 0..values.len())
    };
    let advice = "Give the column in another unit, take its logarithm, or leave it out";
    assert_eq!(
        fit(&[1e200, -1e200]).unwrap_err().to_string(),
        format!(
            "column \"flow\": a number of the training part is 1e200; expected at most 1e100. {advice}"
        )
    );
    assert_eq!(
        fit(&[1e-310, -1e-310]).unwrap_err().to_string(),
        format!(
            "column \"flow\": the standard deviation of the training part is 1e-310; expected 0, or at least 1e-100. {advice}"
        )
    );
    for small in [1e-90, 1.0, 1e90] {
        let fitted = fit(&[small, -small]).unwrap();
        assert!((fitted.scale()[0] / small - 1.0).abs() < 1e-12, "{small:e}");
    }
    assert_eq!(fit(&[1e99; 7]).unwrap().scale(), [1.0]);

    let series = Series::new(names(&["flow"]), vec![1.0, 3.0, 1e200]).unwrap();
    let error = Standardizer::fit(&series, 0..2)
        .unwrap()
        .transform(&series)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 2, column \"flow\": 1e200 lies 1e200 standard deviations from the mean of the training part; expected less than \
         1e18. Mend the number, take the column's logarithm, or leave the column out"
    );
}

#[test]
fn a_standardiser_from_a_file_fits_together_or_is_refused() {
    for (text, expected) in [
        (
            r#"{"names":[],"mean":[],"scale":[]}"#,
            "at least one column",
        ),
        (
            r#"{"names":["a"],"mean":[],"scale":[1]}"#,
            "as many means and scales",
        ),
        (r#"{"names":["a"],"mean":[1],"scale":[0]}"#, "more than 0"),
    ] {
        let error = serde_json::from_str::<Standardizer>(text)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn names_and_cells_in_messages_are_short_and_have_no_control_characters() {
    let long = "x".repeat(1 << 20);
    let message = refused(
        &Csv::new(),
        &format!("day,a\u{1b}[2J{long}\nmon,\u{7}\nmon,1\n"),
    );
    assert!(
        message.len() < 300 && !message.contains(char::is_control),
        "{message}"
    );
    let message = refused(&Csv::new().columns([&*long]), "day,a\nmon,1\n");
    assert!(message.len() < 300, "{message}");
}

#[test]
fn a_million_columns_are_read_or_refused_within_a_second_of_work() {
    let row =
        |cell: &dyn Fn(usize) -> String| (0..1_000_000).map(cell).collect::<Vec<_>>().join(",");
    let table = format!(
        "{}\n{}\n",
        row(&|k| format!("c{k}")),
        row(&|_| "1".to_owned())
    );
    let start = std::time::Instant::now();
    let message = refused(&Csv::new().columns(["d1"]), &table);
    assert!(
        message.ends_with("c18, c19 and 999980 more") && message.len() < 300,
        "{message}"
    );
    assert_eq!(
        Csv::new().parse(&table, "t.csv").unwrap().columns(),
        1_000_000
    );
    let twice = table.replacen("c999999\n", "c3\n", 1);
    let message = refused(&Csv::new(), &twice);
    assert_eq!(
        message,
        "t.csv, line 1: columns 4 and 1000000 are both named \"c3\""
    );
    // Pairs of names would take minutes; a debug build on a busy machine takes seconds.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn more_than_the_limit_is_not_read() {
    let csv = Csv::new().limit(1 << 20);
    let endless = csv
        .read(std::io::repeat(b'1'), "standard input")
        .unwrap_err();
    assert_eq!(
        endless.to_string(),
        "standard input: has more than the 1 MiB that are read; leave out rows or columns that are not needed"
    );
    let message = csv.open(std::env::temp_dir()).unwrap_err().to_string();
    assert!(
        message.ends_with("cannot be read: it is a directory, not a file"),
        "{message}"
    );
    #[cfg(target_os = "linux")]
    assert_eq!(
        csv.open("/dev/zero").unwrap_err().to_string(),
        "/dev/zero: cannot be read: it is a device, not a file"
    );
}
