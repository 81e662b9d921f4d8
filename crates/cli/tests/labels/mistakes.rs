//! Flags that do not go together.

use super::{directory, refused, said, train};

#[test]
fn flags_that_do_not_go_together_are_refused_by_name() {
    let at = directory("mistakes");
    let forecasts: [&[&str]; 7] = [
        &["--target", "pitch"],
        &["--known", "pitch"],
        &["--static", "pitch"],
        &["--horizon", "3"],
        &["--scale", "series"],
        &["--loss", "huber"],
        &["--steps", "5"],
    ];
    for flags in forecasts {
        let error = refused(&at, &train(flags));
        let expected = format!(
            "{} is for forecasts, and --label learns the labels of whole sequences; leave one of them out",
            flags[0]
        );
        assert_eq!(error, expected);
    }
    for flags in [
        &["--group", "speaker"][..],
        &["--pool", "max"],
        &["--balance"],
        &["--smoothing", "0.1"],
    ] {
        let error = refused(
            &at,
            &[&["train", "--data", "clips.csv", "--id", "clip"], flags].concat(),
        );
        let expected = format!(
            "{} is for labelled sequences: `--label COLUMN` names the column of their labels",
            flags[0]
        );
        assert_eq!(error, expected);
    }
    let rows: [(&[&str], &str); 12] = [
        (
            &["train", "--data", "clips.csv", "--label", "word"],
            "--label needs `--id COLUMN`",
        ),
        (
            &["train", "--manifest", "clips.csv", "--id", "clip"],
            "--id tells the sequences of one table apart",
        ),
        (
            &["train", "--manifest", "clips.csv", "--data", "clips.csv"],
            "the argument '--manifest <FILE.csv>' cannot be used with '--data <FILE.csv>'",
        ),
        (
            &["train", "--manifest", "clips.csv"],
            "clips.csv: there is no column \"file\"",
        ),
        (
            &[
                "train",
                "--data",
                "clips.csv",
                "--id",
                "clip",
                "--label",
                "clip",
            ],
            "column \"clip\" cannot be both --id and --label",
        ),
        (
            &[
                "train",
                "--data",
                "clips.csv",
                "--id",
                "clip",
                "--label",
                "word",
                "--group",
                "word",
            ],
            "column \"word\" cannot be both --group and --label",
        ),
        (
            &[
                "train",
                "--data",
                "clips.csv",
                "--id",
                "clip",
                "--label",
                "wort",
            ],
            "clips.csv: there is no column \"wort\" (did you mean \"word\"?)",
        ),
        (
            &[
                "train",
                "--data",
                "clips.csv",
                "--id",
                "speaker",
                "--label",
                "word",
            ],
            "clips.csv, line 11, column \"word\": \"fall\", where line 2 has \"rise\"",
        ),
        (
            &[
                "train",
                "--data",
                "clips.csv",
                "--id",
                "clip",
                "--label",
                "word",
                "--pool",
                "median",
            ],
            "invalid value 'median' for '--pool <HOW>'",
        ),
        (
            &[
                "compare",
                "--data",
                "clips.csv",
                "--id",
                "clip",
                "--label",
                "word",
            ],
            "cells are compared by their forecasts alone",
        ),
        (
            &["train", "--label", "word"],
            "the following required arguments were not provided: <--data <FILE.csv>|--manifest <FILE.csv>|",
        ),
        (
            &["compare"],
            "the following required arguments were not provided: --data <FILE.csv>",
        ),
    ];
    for (arguments, expected) in rows {
        let error = refused(&at, arguments);
        assert!(error.starts_with(expected), "{arguments:?}\n{error}");
    }

    said(&at, &train(&["--epochs", "1", "--out", "out"]));
    let model = "out/model.safetensors";
    for flags in [
        &["--horizon", "3"][..],
        &["--future", "clips.csv"],
        &["--interval", "0.5"],
    ] {
        let error = refused(&at, &[&["predict", model], flags].concat());
        let expected = format!(
            "{} is for forecasts, and this model tells labels of whole sequences; leave it out",
            flags[0]
        );
        assert_eq!(error, expected);
    }
    let error = refused(&at, &["backtest", model]);
    assert!(
        error.starts_with("out/model.safetensors: it tells labels, and forecasts nothing"),
        "{error}"
    );
    let error = refused(
        &at,
        &["predict", model, "--data", "clips.csv", "--plot", "x.gif"],
    );
    assert_eq!(error, "x.gif: a picture is a .png or an .svg file");
    let forecast = [
        "train",
        "--data",
        "clips.csv",
        "--id",
        "clip",
        "--target",
        "pitch",
        "--epochs",
        "1",
        "--steps",
        "4",
        "--out",
        "other",
    ];
    said(&at, &forecast);
    let error = refused(
        &at,
        &[
            "predict",
            "other/model.safetensors",
            "--manifest",
            "clips.csv",
        ],
    );
    assert!(
        error.starts_with("--manifest is for a model of labels"),
        "{error}"
    );
}
