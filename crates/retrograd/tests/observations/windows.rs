//! How training windows are cut, laid out and drawn.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use retrograd::data::{DataError, Series, WindowBatch, Windows};

use super::names;

/// Row r is [r, -r].
fn counting(rows: usize) -> Series {
    let values = (0..rows)
        .flat_map(|row| [row as f64, -(row as f64)])
        .collect();
    Series::new(names(&["up", "down"]), values).unwrap()
}

#[test]
fn a_batch_is_time_major_and_its_target_is_the_row_after_its_input() {
    let series = counting(20);
    let windows = Windows::new(&series, 2..12, 3).unwrap();
    let batch: WindowBatch<f32> = windows.batch(&[2, 8]).unwrap();
    assert_eq!((batch.steps, batch.batch, batch.columns), (3, 2, 2));
    assert_eq!(
        batch.input,
        [2., -2., 8., -8., 3., -3., 9., -9., 4., -4., 10., -10.]
    );
    assert_eq!(
        batch.target,
        [3., -3., 9., -9., 4., -4., 10., -10., 5., -5., 11., -11.]
    );
    let double: WindowBatch<f64> = windows.batch(&[2, 8]).unwrap();
    assert!(
        double
            .input
            .iter()
            .zip(&batch.input)
            .all(|(a, b)| *a == f64::from(*b))
    );
    assert!(
        windows.batch::<f32>(&[9]).is_err(),
        "its last target would be row 12"
    );
    assert!(windows.batch::<f32>(&[1]).is_err());
}

#[test]
fn with_stride_one_an_epoch_sees_every_window_and_all_batches_are_full() {
    let series = counting(50);
    let windows = Windows::new(&series, 5..40, 4).unwrap();
    assert_eq!(windows.len(), 31);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let batches: Vec<WindowBatch<f32>> = windows.batches(8, 1, &mut rng).unwrap().collect();
    assert_eq!(batches.len(), windows.batches_per_epoch(8, 1).unwrap());
    let starts: Vec<usize> = batches.iter().flat_map(|b| b.starts.clone()).collect();
    assert_eq!(starts.len(), 32);
    assert_eq!(
        starts.iter().copied().collect::<BTreeSet<_>>(),
        (5..36).collect()
    );
    assert!(!starts.is_sorted());
}

#[test]
fn a_strided_epoch_has_its_count_whatever_the_offset_and_no_window_twice_in_a_batch() {
    let series = counting(300);
    let windows = Windows::new(&series, 0..300, 64).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let epoch = windows.batches::<f32>(9, 8, &mut rng).unwrap();
        assert_eq!(epoch.len(), 4, "236 starts, a stride of 8, batches of 9");
        for batch in epoch {
            let distinct: BTreeSet<_> = batch.starts.iter().copied().collect();
            assert_eq!(distinct.len(), 9);
            seen.extend(distinct);
        }
    }
    assert_eq!(
        seen,
        (0..236).collect(),
        "over the epochs every window is used"
    );
}

#[test]
fn the_same_seed_gives_the_same_batches() {
    let series = Series::seattle_weather();
    let windows = Windows::new(&series, 0..1169, 64).unwrap();
    let draw = |seed| -> Vec<WindowBatch<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        windows.batches(32, 8, &mut rng).unwrap().collect()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    assert_eq!(draw(7).len(), 5);
}

#[test]
fn a_batch_of_all_windows_is_possible_and_of_more_is_refused() {
    let series = counting(10);
    let windows = Windows::new(&series, 0..10, 4).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for stride in [1, 4, 100] {
        let batches: Vec<WindowBatch<f64>> =
            windows.batches(6, stride, &mut rng).unwrap().collect();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].starts.iter().collect::<BTreeSet<_>>().len(), 6);
    }
    let error = windows.batches::<f32>(7, 1, &mut rng).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the batch size is 7; expected at most the number of different windows, which is 6"
    );
    assert!(windows.batches::<f32>(0, 1, &mut rng).is_err());
    assert!(windows.batches::<f32>(1, 0, &mut rng).is_err());
}

#[test]
fn a_series_too_short_for_a_window_says_how_many_rows_it_needs() {
    let series = counting(10);
    let error = Windows::new(&series, 0..10, 10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the part to cut windows from has 10 rows; a window of 10 steps and the row after it needs at least 11"
    );
    assert_eq!(Windows::new(&series, 0..10, 9).unwrap().len(), 1);
    assert!(matches!(
        Windows::new(&series, 0..10, 0),
        Err(DataError::BadSetting { found: 0, .. })
    ));
    assert!(matches!(
        Windows::new(&series, 5..11, 1),
        Err(DataError::BadRange { .. })
    ));
}
