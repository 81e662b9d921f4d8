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
