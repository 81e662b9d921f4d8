//! What a table may look like, and what each mistake in it says.

use std::error::Error;

use retrograd::data::{DataError, Series, Split, Standardizer};

use super::names;

fn read(text: &str) -> Result<Series, DataError> {
    Series::from_csv_str(text, "t.csv", None)
}

/// The message of the error that `text` must give.
fn message(text: &str, columns: Option<&[&str]>) -> String {
    let columns = columns.map(names);
    match Series::from_csv_str(text, "t.csv", columns.as_deref()) {
        Ok(series) => panic!("no error, but {series:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn numeric_columns_are_values_and_the_first_text_column_labels_the_rows() {
    let series = read("day,a,kind,b\nmon,1,x,2\ntue,3,y,4.5\n").unwrap();
    assert_eq!(series.names(), ["a", "b"]);
    assert_eq!(series.rows(), [1.0, 2.0, 3.0, 4.5]);
    assert_eq!((series.len(), series.columns()), (2, 2));
    assert_eq!(series.row(1), [3.0, 4.5]);
    assert_eq!(series.column(1).collect::<Vec<_>>(), [2.0, 4.5]);
    assert_eq!(series.label_name(), Some("day"));
    assert_eq!(series.labels().unwrap(), ["mon", "tue"]);
}

#[test]
fn named_columns_come_in_the_order_asked_for() {
    let columns = names(&["b", " a "]);
    let series = Series::from_csv_str("day,a,b\nmon,1,2\n", "t.csv", Some(&columns)).unwrap();
    assert_eq!(series.names(), ["b", "a"]);
    assert_eq!(series.rows(), [2.0, 1.0]);
}

#[test]
fn without_a_text_column_the_first_column_labels_the_rows_unless_it_is_a_value() {
    let columns = names(&["n"]);
    let series = Series::from_csv_str("year,n\n1700,5\n", "t.csv", Some(&columns)).unwrap();
    assert_eq!(
        (series.label_name(), series.labels().unwrap()),
        (Some("year"), &names(&["1700"])[..])
    );
    assert_eq!(read("year,n\n1700,5\n").unwrap().labels(), None);
}

#[test]
fn bom_crlf_quotes_blank_lines_and_spaces_are_read_through() {
    let text = "\u{feff}\"day\", a ,\"b, c\"\r\n\r\n\"mon\", 1 ,\" 2\"\r\n  \r\ntue,+3e0,-.5";
    let series = read(text).unwrap();
    assert_eq!(series.names(), ["a", "b, c"]);
    assert_eq!(series.rows(), [1.0, 2.0, 3.0, -0.5]);
    assert_eq!(series.labels().unwrap(), ["mon", "tue"]);
}

#[test]
fn a_gap_in_the_first_row_does_not_hide_a_column() {
    let text = message("day,a,b\nmon,,1\ntue,2,3\n", None);
    assert!(
        text.contains("t.csv, line 2, column \"a\": the value is missing"),
        "{text}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_its_cause() {
    let error = Series::from_csv_path("/no/such/file.csv", None).unwrap_err();
    assert!(matches!(error, DataError::Unreadable { .. }));
    assert!(
        error
            .to_string()
            .starts_with("/no/such/file.csv: cannot be read: No such file")
    );
    let source = error.source().expect("the system's own error");
    assert!(source.is::<std::io::Error>());
}

#[test]
fn bytes_that_are_not_utf8_are_named_with_their_line() {
    let error = Series::from_csv_reader(&b"a\n1\n\xff\n"[..], "t.csv", None).unwrap_err();
    assert!(
        error.to_string().starts_with("t.csv, line 3: not UTF-8"),
        "{error}"
    );
}

#[test]
fn empty_files_and_files_of_a_header_alone_are_told_apart() {
    for text in ["", " \r\n\n", "\u{feff}"] {
        assert!(message(text, None).starts_with("t.csv: the file is empty"));
    }
    assert_eq!(
        message("\n\na,b\n\n", None),
        "t.csv: no data rows after the header on line 3"
    );
}

#[test]
fn a_table_without_a_header_says_so() {
    let text = message("1,2\n3,4\n", None);
    assert_eq!(
        text,
        "t.csv, line 1: expected a header line with column names, found only numbers (1, 2). Put names above it, or say \
         `Header::None`, which calls the columns 1, 2, …; or `Header::Names` if these are names"
    );
}

#[test]
fn an_unknown_column_names_the_ones_that_exist_and_the_nearest() {
    let text = message("day,temp_max,wind\nmon,1,2\n", Some(&["temp-Max"]));
    assert_eq!(
        text,
        "t.csv: there is no column \"temp-Max\" (did you mean \"temp_max\"?); the columns are day, temp_max, wind"
    );
    let far = message("day,temp_max,wind\nmon,1,2\n", Some(&["snow"]));
    assert_eq!(
        far,
        "t.csv: there is no column \"snow\"; the columns are day, temp_max, wind"
    );
}

#[test]
fn duplicate_columns_and_requests_are_refused() {
    let text = message("day,a,b,a\nmon,1,2,3\n", None);
    assert_eq!(text, "t.csv, line 1: columns 2 and 4 are both named \"a\"");
    let twice = message("a,b\n1,2\n", Some(&["a", "a"]));
    assert_eq!(twice, "column \"a\" is asked for twice");
    assert!(message("a,b\n1,2\n", Some(&[])).contains("no column is asked for"));
}

#[test]
fn a_short_or_long_row_is_named_by_its_physical_line() {
    for newline in ["\n", "\r\n"] {
        let short = message(
            &["day,a,b", "", "mon,1,2", "", "tue,1", ""].join(newline),
            None,
        );
        assert_eq!(
            short,
            "t.csv, line 5: the row is too short: found 2 cells, expected 3 as in the header"
        );
        let long = message(&["a,b", "1,2", "3,4,5"].join(newline), None);
        assert_eq!(
            long,
            "t.csv, line 3: the row is too long: found 3 cells, expected 2 as in the header"
        );
    }
}

#[test]
fn lines_inside_quoted_cells_count() {
    let text = message("note,a\n\"two\nlines\",1\nx,oops\n", None);
    assert_eq!(
        text,
        "t.csv, line 4, column \"a\": \"oops\" is not a number"
    );
}

#[test]
fn text_nan_infinity_and_gaps_are_named_by_line_and_column() {
    let with = |cell: &str| {
        message(
            &format!("\r\nday,a,wind\r\nmon,1,2\r\ntue,3,{cell}\r\n"),
            None,
        )
    };
    let at = "t.csv, line 4, column \"wind\": ";
    assert_eq!(with("strong"), format!("{at}\"strong\" is not a number"));
    assert_eq!(with("1.2.3"), format!("{at}\"1.2.3\" is not a number"));
    assert_eq!(with("NaN"), format!("{at}NaN is not a finite number"));
    assert_eq!(with("-inf"), format!("{at}-inf is not a finite number"));
    assert_eq!(with("1e400"), format!("{at}1e400 is not a finite number"));
    for gap in ["", "  ", "NA", "n/a", "null"] {
        assert!(
            with(gap).starts_with(&format!("{at}the value is missing")),
            "{gap}"
        );
    }
}

#[test]
fn a_table_without_numbers_names_its_columns_and_hints_at_the_separator() {
    let text = message("day/a\nmon/1\n", None);
    assert!(
        text.starts_with("t.csv: no column holds numbers; the columns are day/a"),
        "{text}"
    );
    assert!(text.contains("separated by commas"));
}

#[test]
fn columns_that_are_not_chosen_may_hold_anything() {
    let columns = names(&["a"]);
    assert!(Series::from_csv_str("a,b\n1,x\n2,NaN\n", "t.csv", Some(&columns)).is_ok());
}

#[test]
fn the_embedded_data_are_whole() {
    let weather = Series::seattle_weather();
    assert_eq!((weather.len(), weather.columns()), (1461, 4));
    assert_eq!(weather.row(1), [10.9, 10.6, 2.8, 4.5]);
    assert_eq!(weather.labels().unwrap()[1460], "2015/12/31");
    assert_eq!(weather.unit(2), Some("°C"));
    let sunspots = Series::sunspots();
    assert_eq!((sunspots.len(), sunspots.columns()), (309, 1));
    assert_eq!(sunspots.labels().unwrap()[308], "2008");
}

#[test]
fn a_split_keeps_time_order_and_leaves_no_part_empty() {
    let series = Series::new(names(&["a"]), (0..10).map(f64::from).collect()).unwrap();
    assert_eq!(series.split(Split::Fraction(0.2)).unwrap(), (0..8, 8..10));
    assert_eq!(series.split(Split::Count(3)).unwrap(), (0..7, 7..10));
    for bad in [
        Split::Count(0),
        Split::Count(10),
        Split::Fraction(f64::NAN),
        Split::Fraction(1.0),
    ] {
        assert!(matches!(
            series.split(bad),
            Err(DataError::BadSplit { rows: 10, .. })
        ));
    }
}

#[test]
fn a_series_of_bad_shape_or_values_is_refused() {
    assert!(Series::new(names(&["a", "b"]), vec![1.0; 3]).is_err());
    assert!(Series::new(vec![], vec![]).is_err());
    let error = Series::new(names(&["a", "b"]), vec![1.0, 2.0, 3.0, f64::NAN]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 1, column \"b\": NaN is not a finite number"
    );
    let series = Series::new(names(&["a"]), vec![1.0]).unwrap();
    assert!(series.with_labels("day", vec![]).is_err());
}

#[test]
fn the_standardiser_measures_the_training_part_only() {
    let values = |last: f64| vec![1.0, 7.0, 3.0, 7.0, 5.0, 7.0, last, last];
    let series = |last| Series::new(names(&["a", "still"]), values(last)).unwrap();
    let fitted = Standardizer::fit(&series(9.0), 0..3).unwrap();
    assert_eq!(fitted, Standardizer::fit(&series(-1e9), 0..3).unwrap());
    assert!((fitted.mean()[0] - 3.0).abs() < 1e-15);
    assert!((fitted.scale()[0] - (8.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    assert_eq!(fitted.scale()[1], 1.0, "a constant column is only shifted");
}

#[test]
fn a_constant_column_that_rounding_touches_has_scale_one() {
    let series = Series::new(names(&["a"]), vec![0.1; 1000]).unwrap();
    assert_eq!(Standardizer::fit(&series, 0..999).unwrap().scale(), [1.0]);
}

#[test]
fn the_standardiser_inverts_survives_json_and_refuses_other_columns() {
    let weather = Series::seattle_weather();
    let fitted = Standardizer::fit(&weather, 0..1169).unwrap();
    let standard = fitted.transform(&weather).unwrap();
    for column in 0..4 {
        let train: Vec<f64> = standard.column(column).take(1169).collect();
        let mean = train.iter().sum::<f64>() / 1169.0;
        let variance = train.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1169.0;
        assert!(mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-12);
    }
    let back = fitted.inverse(&standard).unwrap();
    assert!(
        back.rows()
            .iter()
            .zip(weather.rows())
            .all(|(a, b)| (a - b).abs() < 1e-12)
    );
    assert_eq!(
        (standard.labels(), standard.unit(0)),
        (weather.labels(), Some("mm"))
    );

    let json = serde_json::to_string(&fitted).unwrap();
    assert_eq!(serde_json::from_str::<Standardizer>(&json).unwrap(), fitted);

    let error = fitted.transform(&Series::sunspots()).unwrap_err();
    assert!(matches!(error, DataError::OtherColumns { .. }));
    assert!(
        error
            .to_string()
            .contains("precipitation, temp_max, temp_min, wind; the series has SUN")
    );
    assert!(fitted.inverse_rows(&[0.0; 5]).is_err());
    assert!(Standardizer::fit(&weather, 1460..1462).is_err());
}
