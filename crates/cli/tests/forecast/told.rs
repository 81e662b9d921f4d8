//! What cannot be read or forecast is told, and what is too short is named.

use std::fs;

use super::{directory, future, json, refused, run, said, shops, train};

#[test]
fn files_that_are_no_model_are_told() {
    let at = directory("no-model");
    for (file, text) in [
        ("x.safetensors", "nothing"),
        ("x.json", "{\"cell\": \"gru\", \"parameters\": []}"),
    ] {
        fs::write(at.join(file), text).unwrap();
        for command in ["predict", "backtest", "resume"] {
            assert!(refused(&at, &[command, file], 1).contains(file));
        }
    }
    assert!(refused(&at, &["predict", "none.safetensors"], 1).contains("No such file"));
    let separator = refused(
        &at,
        &["train", "--data", "shops.csv", "--separator", "ab"],
        2,
    );
    assert!(separator.contains("one character"), "{separator}");
    let gaps = refused(&at, &["train", "--data", "shops.csv", "--gaps", "zero"], 2);
    assert!(gaps.contains("refuse, ffill, linear, mask"), "{gaps}");
    let missing = refused(&at, &["train", "--data", "shops.csv", "--id", "Laden"], 1);
    assert!(missing.contains("say `--gaps`"), "{missing}");
    let known = refused(
        &at,
        &[
            "train",
            "--data",
            "shops.csv",
            "--id",
            "Laden",
            "--gaps",
            "ffill",
            "--known",
            "Preiss",
        ],
        1,
    );
    assert!(known.contains("did you mean \"Preis\"?"), "{known}");
}

#[test]
fn series_too_short_are_named_and_forecast_all_the_same() {
    let at = directory("short");
    let mut table = shops();
    table += "10.06.2024;Ost;50,5;2,0;x\n";
    for day in 1..=9 {
        table += &format!("{day:02}.06.2024;West;7{day},0;2,0;x\n");
    }
    fs::write(at.join("shops.csv"), &table).unwrap();
    let mut arguments = train(&["--out", "out", "--patience", "3"]);
    let scale = arguments.iter().position(|a| *a == "series").unwrap();
    arguments[scale] = "column";
    let text = said(&at, &arguments);
    assert!(
        text.contains("not trained on   Ost, West: too short for a window"),
        "{text}"
    );
    let lone = future(7) + &future(7).replace("Nord", "Ost").replace("Süd", "West");
    let lone: Vec<&str> = lone.lines().collect();
    let (first, second) = lone.split_at(15);
    fs::write(
        at.join("next.csv"),
        [first, &second[1..]].concat().join("\n"),
    )
    .unwrap();
    let predict = ["predict", "out/model.safetensors", "--future", "next.csv"];
    let forecasts = json(&at, &predict);
    assert_eq!(forecasts["forecasts"].as_array().unwrap().len(), 4);
    // One that appears only now.
    let new = table
        .lines()
        .filter(|l| l.contains("Nord") || l.starts_with("Datum"));
    let new: String = new.map(|l| l.replace("Nord", "Ost") + "\n").collect();
    fs::write(at.join("new.csv"), new).unwrap();
    let forecasts = json(&at, &[&predict[..], &["--data", "new.csv"]].concat());
    assert_eq!(forecasts["forecasts"][0]["id"], "Ost");
    let far = refused(&at, &[&predict[..], &["--horizon", "8"]].concat(), 1);
    assert!(far.contains("8 are needed"), "{far}");
    fs::write(at.join("empty.csv"), "Datum;Laden;Umsatz;Preis\n").unwrap();
    let none = refused(&at, &[&predict[..], &["--data", "empty.csv"]].concat(), 1);
    assert!(none.contains("no data rows"), "{none}");
    let tested = refused(
        &at,
        &[
            "backtest",
            "out/model.safetensors",
            "--horizon",
            "40",
            "--season",
            "9000",
        ],
        1,
    );
    assert!(
        tested.contains("needs at least")
            || tested.contains("--future")
            || tested.contains("--data"),
        "{tested}"
    );
}

#[test]
fn a_window_is_encoded_both_ways_and_what_looks_ahead_is_refused() {
    let at = directory("both");
    let both = "use gru\ncell both(x[I]) where I=4, H=8, O=1\nlayer past = gru(x, H=H)\n\
                layer back = gru(x, H=H, reverse=1)\noutput y = dense[O](last(past), first(back))\n\
                target next[O] over row\nloss mean(square(y - next))\n";
    fs::write(at.join("both.cell"), both).unwrap();
    let mut arguments = train(&["--out", "out"]);
    let cell = arguments.iter().position(|a| *a == "gru").unwrap();
    arguments[cell] = "both.cell";
    let results = json(&at, &arguments);
    assert_eq!(
        (&results["cell"], &results["horizon"]),
        (&"both".into(), &7.into())
    );
    fs::remove_file(at.join("both.cell")).unwrap();
    fs::write(at.join("next.csv"), future(7)).unwrap();
    let predicted = json(
        &at,
        &["predict", "out/model.safetensors", "--future", "next.csv"],
    );
    assert_eq!(
        predicted["forecasts"].as_array().unwrap().len(),
        2,
        "without the file of the cell"
    );

    let ahead = both
        .replace("last(past), first(back)", "past, back")
        .replace(" over row", "");
    fs::write(at.join("both.cell"), ahead).unwrap();
    let output = run(&at, &arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && err.contains("a forecast cannot know later rows"),
        "{err}"
    );
}

/// Columns that are series, of which one wanders and the other is ten times as large.
#[test]
fn columns_are_series_and_a_backtest_trains_anew() {
    let at = directory("wide");
    let row = |t: usize| {
        let wave = (t as f64 * 0.7).sin();
        let (year, month) = (2000 + t / 12, 1 + t % 12);
        format!(
            "{year}-{month:02},{:.3},{:.3}\n",
            50.0 + t as f64 + wave,
            10.0 * (t as f64 - wave)
        )
    };
    let text = "month,north,south\n".to_owned() + &(0..96).map(row).collect::<String>();
    fs::write(at.join("wide.csv"), text).unwrap();
    let train = [
        "train",
        "--data",
        "wide.csv",
        "--wide",
        "--horizon",
        "4",
        "--cell",
        "rnn",
    ];
    let small = ["--hidden", "4", "--epochs", "20", "--out", "out"];
    let told = said(&at, &[&train[..], &small].concat());
    for part in [
        "series           2",
        "scaled           differences from the last row, by the deviation of each series",
        "`retrograd backtest --retrain` is not",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let model = "out/model.safetensors";
    let forecasts = json(&at, &["predict", model]);
    let ids = forecasts["forecasts"].as_array().unwrap().iter();
    let ids: Vec<&str> = ids.map(|f| f["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["north", "south"]);
    let again = json(&at, &["backtest", model, "--retrain", "--folds", "2"]);
    let once = json(&at, &["backtest", model, "--folds", "2"]);
    assert_eq!([&again["origins"], &once["origins"]], [4, 4]);
    // Another model for each origin: the first is of fewer rows than that of the file.
    assert_ne!(again["mase"], once["mase"]);
    // Persistence is what it was, up to the order in which errors are added.
    let persistence = |test: &serde_json::Value| test["scores"][1]["mae"][3].as_f64().unwrap();
    assert!((persistence(&again) - persistence(&once)).abs() < 1e-9);

    let none = json(
        &at,
        &[
            &train[..],
            &small,
            &["--difference", "none", "--patience", "0"],
        ]
        .concat(),
    );
    assert_eq!(
        (&none["difference"], &none["scale"]),
        (&"none".into(), &"series".into())
    );
    let wrong = refused(&at, &[&train[..], &["--difference", "week"]].concat(), 2);
    assert!(wrong.contains("`none`"), "{wrong}");
    let both = refused(&at, &[&train[..], &["--id", "month"]].concat(), 2);
    assert!(both.contains("--wide"), "{both}");
    let compare = ["compare", "--data", "wide.csv", "--wide", "--cell", "rnn"];
    let cell = refused(&at, &compare, 2);
    assert!(cell.contains("--cells A,B,C"), "{cell}");
}
