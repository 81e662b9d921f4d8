//! Parquet files that pyarrow wrote (`data/fixtures/parquet.py`) are the table that is in the CSV beside them.
#![cfg(feature = "csv")]

use std::path::PathBuf;

use retrograd::data::{Csv, DataError, Gaps};

fn fixture(name: &str) -> PathBuf {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/fixtures");
    PathBuf::from(fixtures).join(name)
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_the_feature_it_is_named() {
    let error = Csv::new().open(fixture("sales.parquet")).unwrap_err();
    assert!(matches!(error, DataError::NeedsFeature { .. }));
    assert!(
        error
            .to_string()
            .contains("sales.parquet: it is a Parquet file")
    );
    assert!(error.to_string().contains("--features parquet"));
    let _ = Gaps::Refuse;
}

#[cfg(feature = "parquet")]
#[test]
fn the_table_is_that_of_the_csv_beside_it() {
    let how = Csv::new()
        .gaps(Gaps::Linear)
        .columns(["sold", "staff", "open", "price"])
        .categorical(["shop"]);
    let (a, b) = (fixture("sales.parquet"), fixture("sales.csv"));
    let [parquet, csv] = [a, b].map(|path| how.open(path).unwrap());
    assert_eq!(parquet, csv);
    assert_eq!(parquet.labels().unwrap()[3], "2023-12-31");
    assert_eq!(parquet.categories(4).unwrap()[1], "süd, \"alt\"");
    assert_eq!(parquet.row(0), [-0.3, 0.0, 1.0, -0.2, 0.0]);
    // Several series, by a column.
    let panels = ["sales.parquet", "sales.csv"].map(|name| {
        let how = Csv::new().gaps(Gaps::Forward).id("shop").columns(["sold"]);
        how.open_panel(fixture(name)).unwrap()
    });
    assert_eq!(panels[0], panels[1]);
    // A gap is told by the row's place.
    let gap = Csv::new()
        .columns(["sold"])
        .open(fixture("sales.parquet"))
        .unwrap_err();
    assert!(matches!(gap, DataError::Missing { line: 9, .. }), "{gap}");
}

#[cfg(feature = "parquet")]
#[test]
fn files_that_cannot_be_read_are_told() {
    let zstd = Csv::new().open(fixture("sales-zstd.parquet")).unwrap_err();
    assert!(matches!(zstd, DataError::Malformed { .. }));
    assert!(zstd.to_string().to_lowercase().contains("zstd"), "{zstd}");
    let small = Csv::new()
        .limit(100)
        .open(fixture("sales.parquet"))
        .unwrap_err();
    assert!(matches!(small, DataError::TooLarge { .. }));
    let whole = std::fs::read(fixture("sales.parquet")).unwrap();
    for end in [4, 10, whole.len() / 2, whole.len() - 1] {
        assert!(Csv::new().read(&whole[..end], "cut").is_err());
    }
    // Bytes that were changed give a table or an error.
    for k in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[k] ^= 1 << (k % 8);
        let _ = Csv::new().gaps(Gaps::Linear).read(&bytes[..], "changed");
    }
}
