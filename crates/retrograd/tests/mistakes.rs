//! Calls of the library with numbers that no memory holds or no arithmetic bears: typed errors, with their whole messages.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use retrograd::data::{DataError, Series, Split, Standardizer, Windows};
use retrograd::{Adam, Batch, Cell, Extent, Trainer};

const MOST: usize = usize::MAX;

fn series(rows: usize) -> Series {
    let values = (0..rows).map(|r| (r % 7) as f64);
    Series::new(vec!["rain".to_owned()], values.collect()).unwrap()
}

/// The message of an error.
fn said<T>(result: Result<T, impl std::error::Error>) -> String {
    match result {
        Ok(_) => panic!("no error"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn series_windows_and_standardisers() {
    let short = series(10);
    let windows = Windows::new(&short, 0..10, 4).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let rows = [
        (
            said(Series::new(vec![], vec![1.0])),
            "a series of 0 columns cannot be made from 1 values; expected whole rows, at least one",
        ),
        (
            said(Series::new(vec!["a".to_owned()], vec![])),
            "a series of 1 columns cannot be made from 0 values; expected whole rows, at least one",
        ),
        (
            said(Series::new(vec!["a\n".to_owned()], vec![f64::INFINITY])),
            "row 0, column \"a\\n\": inf is not a finite number",
        ),
        (
            said(short.first(MOST)),
            "the part to keep is rows 0..18446744073709551615 of a series of 10 rows; expected a range of at least one row inside it",
        ),
        (
            said(short.split(Split::Count(MOST))),
            "the series of 10 rows cannot be split with 18446744073709551615 rows for validation; both parts need at least one row",
        ),
        (
            said(short.split(Split::Fraction(f64::INFINITY))),
            "the series of 10 rows cannot be split with a fraction of inf for validation; both parts need at least one row",
        ),
        (
            said(short.clone().with_labels("day", vec![])),
            "row labels: found 0 values, expected 10",
        ),
        (
            said(Standardizer::fit(&short, MOST - 1..MOST)),
            "the training part is rows 18446744073709551614..18446744073709551615 of a series of 10 rows; expected a range of at least one row inside it",
        ),
        (
            said(Windows::new(&short, 0..10, MOST)),
            "the part to cut windows from has 10 rows; a window of 18446744073709551615 steps and the row after it needs at least 18446744073709551615",
        ),
        (
            said(Windows::new(&short, 0..MOST, 1)),
            "the part to cut windows from is rows 0..18446744073709551615 of a series of 10 rows; expected a range of at least one row inside it",
        ),
        (
            said(windows.batches::<f32>(MOST, 1, &mut rng)),
            "the batch size is 18446744073709551615; expected at most the number of different windows, which is 6",
        ),
        (
            said(windows.batches::<f32>(1, 0, &mut rng)),
            "the stride between windows is 0; expected at least 1",
        ),
        (
            said(windows.batch::<f32>(&[MOST])),
            "the window is rows 18446744073709551615..18446744073709551615 of a series of 10 rows; expected a range of at least one row inside it",
        ),
        (
            said(windows.clone().limit(100).batches::<f32>(6, 1, &mut rng)),
            "batches of 6 windows of 4 steps of 1 numbers need 192 bytes; at most 100 bytes may be used",
        ),
    ];
    for (found, expected) in rows {
        assert_eq!(found, expected);
    }
    assert!(
        windows.batches::<f32>(6, MOST, &mut rng).is_ok(),
        "a stride beyond the end"
    );
}

#[test]
fn batches_that_no_memory_holds_are_refused_before_they_are_made() {
    let long = series(200_000);
    let windows = Windows::new(&long, 0..200_000, 100_000).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert_eq!(
        said(windows.batches::<f32>(100_000, 1, &mut rng)),
        "batches of 100000 windows of 100000 steps of 1 numbers need 74.5 GiB; at most 1 GiB may be used"
    );
    let starts = vec![0; 1 << 40 >> 20];
    assert!(matches!(
        windows.batch::<f64>(&starts),
        Err(DataError::NoMemory {
            limit: Some(Windows::LIMIT),
            ..
        })
    ));
    // Drawing so many different windows is quick too.
    let narrow = Windows::new(&long, 0..200_000, 1).unwrap();
    let start = std::time::Instant::now();
    let batch = narrow
        .batches::<f32>(199_999, 8, &mut rng)
        .unwrap()
        .next()
        .unwrap();
    assert_eq!(batch.starts.len(), 199_999);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

fn cell() -> Cell {
    let text = "cell f(x[I]; h[H]) where I=2, H=3
        h' = tanh(dense(x, h))
        output y = dense(h')
        target next[I]
        loss mean(square(y - next))";
    Cell::from_text(text, &[]).unwrap()
}

#[test]
fn parameters_from_what_is_no_file_of_them() {
    let mut trainer: Trainer = Trainer::builder(cell(), Adam::new(0.1)).build().unwrap();
    let directory = std::env::temp_dir().join(format!("retrograd-mistakes-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("model.json");
    let at = |text: &str| format!("{}: {text}", path.display());
    for (text, expected) in [
        (
            "",
            "not a file of parameters: EOF while parsing a value at line 1 column 0",
        ),
        (
            "[]",
            "not a file of parameters: invalid length 0, expected struct Saved with 2 elements at line 1 column 2",
        ),
        (
            "{\"cell\":\"f\"}",
            "not a file of parameters: missing field `parameters` at line 1 column 12",
        ),
        (
            "{\"cell\":\"f\",\"parameters\":[]}",
            "these parameters are not those of the cell `f`: the file has no parameter `dense.weight` [3, 5]",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let found = said(trainer.load(&path));
        // The names of parameters are the cell's.
        let expected = at(expected);
        let same = expected.split("`dense").next().unwrap();
        assert!(found.starts_with(same), "{found}\n{expected}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(
        said(trainer.load(&path)),
        at("it is a directory, not a file")
    );
    if cfg!(target_os = "linux") {
        assert_eq!(
            said(trainer.load("/dev/zero")),
            "/dev/zero: it is a device, not a file"
        );
        // 65 MiB of nothing, which takes no place on disk.
        std::fs::remove_dir(&path).unwrap();
        std::fs::File::create(&path)
            .unwrap()
            .set_len(65 << 20)
            .unwrap();
        assert_eq!(
            said(trainer.load(&path)),
            at("it has more than the 64 MiB that are read")
        );
    }
    std::fs::remove_dir_all(&directory).unwrap();
    let batch = Batch::new(Extent::steps(0));
    assert_eq!(
        said(trainer.step(&batch)),
        "a batch needs at least one step and one example; found T = 0, B = 1"
    );
}

#[test]
#[ignore = "the limits on sizes of cells are another change's"]
fn sizes_of_cells_beyond_all_limits() {
    let text = "cell f(x[I]; h[H]) where I=2, H=3
        h' = tanh(dense(x, h))
        output y = dense(h')";
    for n in [usize::MAX, usize::MAX / 8, 1 << 31, 10_000_000] {
        assert!(Cell::from_text(text, &[("H", n)]).is_err(), "{n}");
    }
    let mut trainer: Trainer = Trainer::builder(cell(), Adam::new(0.1)).build().unwrap();
    let batch = Batch::new(Extent::steps(usize::MAX).rows(2))
        .with("x", vec![])
        .with("next", vec![]);
    assert!(trainer.step(&batch).is_err(), "T · B overflows");
}
