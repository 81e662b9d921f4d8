//! Parameters are set, saved and loaded.

use std::path::PathBuf;

use super::super::ENGINE;
use super::{all, batch, first_of_second, forecaster, trainer};
use retrograd::{Error, zoo};

fn in_temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("retrograd-{}-{ENGINE}-{name}", std::process::id()))
}

#[test]
fn parameters_are_set_by_name() {
    let mut trainer = trainer(forecaster("rnn"));
    trainer
        .set_parameter("h.bias", &[1.0, 2.0, 3.0, 4.0])
        .unwrap();
    assert_eq!(trainer.parameter("h.bias"), Some(&[1.0, 2.0, 3.0, 4.0][..]));
    let e = trainer.set_parameter("h.y", &[0.0]).expect_err("unknown");
    assert!(e.to_string().contains("`h.x`"), "{e}");
    let e = trainer
        .set_parameter("h.bias", &[0.0])
        .expect_err("too short");
    assert!(e.to_string().contains("[4], 4 values; found 1"), "{e}");
    let e = trainer.set_parameter("h.bias", &[0.0, f32::NAN, 0.0, 0.0]);
    assert!(matches!(
        e,
        Err(Error::NonFiniteParameter { element: 1, .. })
    ));
}

#[test]
fn saved_parameters_come_back_exactly() {
    let path = in_temporary("saved.json");
    let mut one = trainer(forecaster("gru_after"));
    one.step(&batch()).unwrap();
    one.save(&path).unwrap();
    let mut other = trainer(forecaster("gru_after"));
    assert_ne!(all(&one), all(&other));
    other.load(&path).unwrap();
    assert_eq!(all(&one), all(&other));

    let mut rnn = trainer(forecaster("rnn"));
    let before = all(&rnn);
    let e = rnn.load(&path).expect_err("another cell's");
    assert!(e.to_string().contains("`h.x` [4,2]"), "{e}");
    let cell = zoo::forecaster(zoo::find("gru_after").unwrap(), 2, 5).unwrap();
    let e = trainer(cell).load(&path).expect_err("another size");
    assert!(
        e.to_string()
            .contains("`reset.x` is [5, 2], in the file [4, 2]"),
        "{e}"
    );
    std::fs::write(&path, "{\"cell\": 3}").unwrap();
    assert!(matches!(rnn.load(&path), Err(Error::NotParameters { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(rnn.load(&path), Err(Error::File { .. })));
    assert_eq!(all(&rnn), before);
}

#[test]
fn all_parameters_are_set_at_once_or_not_at_all() {
    let mut trainer = trainer(forecaster("rnn"));
    let all: Vec<f32> = (0..trainer.parameters().len())
        .map(|i| i as f32 / 64.0)
        .collect();
    trainer.set_parameters(&all).unwrap();
    assert_eq!(trainer.parameters(), all);
    let first = trainer.named_parameters().next().unwrap();
    assert_eq!(first.values, &all[..first.shape.len()]);
    let e = trainer
        .set_parameters(&all[1..])
        .expect_err("one is missing");
    assert!(
        matches!(e, Error::ParameterCount { found, .. } if found == all.len() - 1),
        "{e}"
    );
    let mut wrong = all.clone();
    let second = first_of_second(&trainer);
    wrong[second + 1] = f32::NAN;
    let e = trainer.set_parameters(&wrong).expect_err("it is no number");
    assert!(
        matches!(&e, Error::NonFiniteParameter { name, element: 1, .. } if name == "h.h"),
        "{e}"
    );
    assert_eq!(trainer.parameters(), all);
}
