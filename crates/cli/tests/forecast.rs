//! A forecaster's way: a table of one's own, a model, a backtest, forecasts; stopped and gone on with.

#[path = "forecast/categories.rs"]
mod categories;
mod shell;
#[path = "forecast/stopped.rs"]
mod stopped;
#[path = "forecast/told.rs"]
mod told;

use std::fs;
use std::path::PathBuf;

use shell::{command, json, refused, run, said};

/// A fresh directory for one test's files, with the table.
fn directory(test: &str) -> PathBuf {
    let path = shell::directory(&format!("forecast-{test}"));
    fs::write(path.join("shops.csv"), shops()).unwrap();
    path
}

/// Two shops by day, with a week's rhythm, a price that is known ahead, gaps, semicolons and decimal commas.
fn shops() -> String {
    let mut text = "Datum;Laden;Umsatz;Preis;Notiz\n".to_owned();
    for day in 0..150 {
        for (shop, size) in [("Nord", 100.0), ("Süd", 900.0)] {
            let week = (std::f64::consts::TAU * f64::from(day % 7) / 7.0).sin();
            let price = if day % 5 == 0 { 2.5 } else { 2.0 };
            let noise = f64::from(day * 7919 % 101) / 1000.0;
            let sold = size * (1.0 + 0.3 * week + noise - 0.2 * (price - 2.0));
            let sold = match day % 37 {
                11 => String::new(),
                _ => format!("{sold:.2}").replace('.', ","),
            };
            let price = format!("{price:.1}").replace('.', ",");
            let month = 1 + day / 28;
            text += &format!(
                "{:02}.{month:02}.2024;{shop};{sold};{price};x\n",
                1 + day % 28
            );
        }
    }
    text
}

/// Reading the shops, and a model small enough for a test.
const READ: [&str; 8] = [
    "--id", "Laden", "--gaps", "linear", "--target", "Umsatz", "--known", "Preis",
];
const SMALL: [&str; 14] = [
    "--cell",
    "gru",
    "--hidden",
    "12",
    "--epochs",
    "60",
    "--steps",
    "21",
    "--batch",
    "16",
    "--horizon",
    "7",
    "--scale",
    "series",
];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", "shops.csv"], &READ[..], &SMALL, more].concat()
}

/// The week after the table.
fn future(rows: usize) -> String {
    let day = |k: usize| {
        format!(
            "{:02}.06.2024;Nord;2,0\n{:02}.06.2024;Süd;2,5\n",
            11 + k,
            11 + k
        )
    };
    format!(
        "Datum;Laden;Preis\n{}",
        (0..rows).map(day).collect::<String>()
    )
}

#[test]
fn from_a_table_of_ones_own_to_a_forecast_with_intervals() {
    let at = directory("way");
    let text = said(&at, &train(&["--out", "out"]));
    for part in [
        "cells are separated by `;`, decimals by `,`",
        "column \"Notiz\" is left out: \"x\" (line 2) is not a number",
        "column \"Umsatz\": 8 gaps, filled on the line between their neighbours",
        "known ahead      Preis",
        "series           2",
        "7 rows at once",
        "Umsatz: 7 rows ahead",
        "retrograd predict out/model.safetensors",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 110),
        "{text}"
    );
    let files = fs::read_dir(at.join("out")).unwrap().count();
    assert_eq!(
        files, 5,
        "one model, four pictures, and no half-written ones"
    );

    let test = json(
        &at,
        &[
            "backtest",
            "out/model.safetensors",
            "--out",
            "tested.csv",
            "--plot",
            "tested.svg",
        ],
    );
    let mase = |name: &str| {
        let scores = test["scores"].as_array().unwrap();
        let found = scores.iter().find(|s| s["name"] == name).unwrap();
        found["mase"][0].as_f64().unwrap()
    };
    assert_eq!(test["season"], 7, "days have weeks");
    assert!(mase("model") < mase("persistence"), "{test}");
    assert!(
        test["coverage"][0]["share"].as_f64().unwrap() > 0.3,
        "{test}"
    );
    let tested = fs::read_to_string(at.join("tested.csv")).unwrap();
    assert!(
        tested.starts_with("Laden,origin,row,ahead,column,forecast,observed\nNord,"),
        "{tested}"
    );
    assert!(
        fs::read_to_string(at.join("tested.svg"))
            .unwrap()
            .contains("Umsatz")
    );

    let alone = refused(&at, &["predict", "out/model.safetensors"], 1);
    assert!(
        alone.contains("`--future FILE.csv`") && alone.contains("Preis"),
        "{alone}"
    );
    fs::write(at.join("next.csv"), future(7)).unwrap();
    let predict = ["predict", "out/model.safetensors", "--future", "next.csv"];
    let text = said(
        &at,
        &[&predict[..], &["--out", "f.csv", "--plot", "f.png"]].concat(),
    );
    for part in [
        "Nord",
        "Süd",
        "11.06.2024",
        "17.06.2024",
        "80 % interval",
        "95 % interval",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let csv = fs::read_to_string(at.join("f.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "Laden,Datum,ahead,column,forecast,low_80,high_80,low_95,high_95"
    );
    assert_eq!(lines.len(), 1 + 2 * 7);
    for line in &lines[1..] {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |k: usize| cells[k].parse::<f64>().unwrap();
        assert!(
            number(5) < number(4) && number(4) < number(6),
            "the interval holds the forecast: {line}"
        );
        let size = if cells[0] == "Nord" { 100.0 } else { 900.0 };
        assert!(
            (0.5 * size..1.7 * size).contains(&number(4)),
            "in the units of its series: {line}"
        );
    }
    assert!(fs::read(at.join("f.png")).unwrap().starts_with(b"\x89PNG"));
    fs::write(at.join("short.csv"), future(3)).unwrap();
    let short = refused(
        &at,
        &["predict", "out/model.safetensors", "--future", "short.csv"],
        1,
    );
    assert!(
        short.contains("known for 3 rows after the last; 7 are needed"),
        "{short}"
    );

    // Another table: one series, newer rows, other columns missing.
    let rows = shops();
    let one = rows
        .lines()
        .filter(|l| !l.contains("Süd"))
        .map(|l| l.rsplit_once(';').unwrap().0.to_owned() + "\n");
    fs::write(at.join("one.csv"), one.collect::<String>()).unwrap();
    let again = json(&at, &[&predict[..], &["--data", "one.csv"]].concat());
    let forecasts = again["forecasts"].as_array().unwrap();
    assert_eq!(forecasts.len(), 1);
    let first: f64 = lines[1].split(',').nth(4).unwrap().parse().unwrap();
    assert_eq!(
        forecasts[0]["values"][0].as_f64(),
        Some(first),
        "the same rows, the same forecast"
    );
}

#[test]
fn a_model_of_one_row_forecasts_many() {
    let at = directory("many");
    let mut table = "year,spots\n".to_owned();
    for year in 1800..2000 {
        let angle = f64::from(year) * 0.57;
        table += &format!("{year},{:.3}\n", 50.0 + 40.0 * angle.sin());
    }
    fs::write(at.join("spots.csv"), table).unwrap();
    let small = [
        "--cell",
        "gru",
        "--hidden",
        "8",
        "--epochs",
        "150",
        "--learning-rate",
        "0.01",
        "--dropout",
        "0",
        "--out",
        "out",
    ];
    let results = json(
        &at,
        &[&["train", "--data", "spots.csv"], &small[..]].concat(),
    );
    assert!(results["val_mse"].is_f64() && results["model"] == "out/model.safetensors");
    let predicted = json(
        &at,
        &[
            "predict",
            "out/model.safetensors",
            "--horizon",
            "12",
            "--interval",
            "0.5",
        ],
    );
    let forecast = &predicted["forecasts"][0];
    assert_eq!(forecast["labels"][11], "2011");
    let values = forecast["values"].as_array().unwrap();
    for (k, value) in values.iter().enumerate() {
        let truth = 50.0 + 40.0 * ((2000.0 + k as f64) * 0.57).sin();
        // Far less than the amplitude: it goes on with the wave by itself.
        assert!(
            (value.as_f64().unwrap() - truth).abs() < 20.0,
            "{k}: {value} {truth}"
        );
    }
    let interval = &forecast["intervals"][0];
    assert!(interval["low"][0].as_f64() < interval["high"][0].as_f64());
    let text = said(
        &at,
        &[
            "backtest",
            "out/model.safetensors",
            "--horizon",
            "5",
            "--season",
            "11",
        ],
    );
    assert!(
        text.contains("seasonal") && text.contains("spots: 5 rows ahead"),
        "{text}"
    );
}

#[test]
fn losses_with_distributions_forecast_intervals_of_their_own() {
    let at = directory("losses");
    for loss in ["gaussian", "student", "quantile"] {
        let out = ["--loss", loss, "--out", loss];
        said(&at, &train(&out));
        fs::write(at.join("next.csv"), future(7)).unwrap();
        let model = format!("{loss}/model.safetensors");
        let predicted = json(&at, &["predict", &model, "--future", "next.csv"]);
        let intervals = predicted["forecasts"][0]["intervals"].as_array().unwrap();
        let width = |k: usize| {
            let end = |which: &str| intervals[k][which][0].as_f64().unwrap();
            end("high") - end("low")
        };
        assert!(
            0.0 < width(0) && width(0) < width(1),
            "{loss}: {intervals:?}"
        );
    }
    // What is missing stays out of the loss, and each window has its own scale.
    let out = ["--gaps", "mask", "--scale", "window", "--out", "masked"];
    let arguments: Vec<&str> = train(&[]);
    let arguments: Vec<&str> = arguments
        .into_iter()
        .filter(|a| !["--gaps", "linear", "--scale", "series"].contains(a))
        .collect();
    let results = json(&at, &[&arguments[..], &out].concat());
    assert!(
        results["notes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|n| n == "column \"Umsatz\": 8 gaps, masked"),
        "{results}"
    );
}

#[test]
fn flags_come_from_a_file_and_the_command_line_wins() {
    let at = directory("config");
    let config = "data = \"shops.csv\"\nid = \"Laden\"\ngaps = \"ffill\"\ntarget = [\"Umsatz\"]\nknown = \"Preis\"\n\
                  cell = \"gru\"\nhidden = 5\nepochs = 2\nsteps = 14\nhorizon = 3\nlearning-rate = 0.01\nreverse = false\n";
    fs::write(at.join("job.toml"), config).unwrap();
    let results = json(
        &at,
        &[
            "train", "--config", "job.toml", "--out", "a", "--epochs", "3",
        ],
    );
    assert_eq!(
        (&results["epochs"], &results["horizon"], &results["steps"]),
        (&3.into(), &3.into(), &14.into())
    );
    assert_eq!(results["known"][0], "Preis");
    let by_flags = [
        "train",
        "--data",
        "shops.csv",
        "--id",
        "Laden",
        "--gaps",
        "ffill",
        "--target",
        "Umsatz",
        "--known",
        "Preis",
        "--cell",
        "gru",
        "--hidden",
        "5",
        "--epochs",
        "3",
        "--steps",
        "14",
        "--horizon",
        "3",
        "--learning-rate",
        "0.01",
        "--out",
        "b",
    ];
    assert_eq!(json(&at, &by_flags)["last_loss"], results["last_loss"]);
    for (text, message) in [
        (
            "epoch = 3",
            "there is no flag `epoch` (did you mean `epochs`?)",
        ),
        ("reverse = 1", "`reverse` is true or false"),
        ("epochs = ", "job.toml"),
        ("[train]\nepochs = 3", "there is no flag `train`"),
    ] {
        fs::write(at.join("job.toml"), text).unwrap();
        let arguments = ["train", "--config", "job.toml", "--data", "shops.csv"];
        let said = refused(&at, &arguments, 1);
        assert!(
            said.contains(message) && said.contains("job.toml"),
            "{said}"
        );
    }
    fs::write(at.join("job.toml"), "epochs = 0\ndata = \"shops.csv\"").unwrap();
    let said = refused(&at, &["train", "--config", "job.toml"], 2);
    assert!(said.contains("from 1 to 1000000"), "{said}");
    let missing = refused(&at, &["train", "--config", "none.toml"], 1);
    assert!(missing.contains("none.toml: cannot be read"), "{missing}");
}

#[test]
fn cells_are_compared_at_equal_parameters() {
    let at = directory("compare");
    fs::write(
        at.join("own.cell"),
        "cell own(x[I]; h[H]) where I=1, H=8\nh' = tanh(dense(x, h))\noutput h'\n",
    )
    .unwrap();
    let mut arguments = train(&[
        "--out",
        "out",
        "--cells",
        "rnn,lstm,own.cell",
        "--seeds",
        "2",
        "--parameters",
        "1500",
    ]);
    arguments[0] = "compare";
    let cell = arguments.iter().position(|a| *a == "--cell").unwrap();
    arguments.drain(cell..cell + 2);
    let results = json(&at, &arguments);
    let cells = results["cells"].as_array().unwrap();
    let names: Vec<&str> = cells.iter().map(|c| c["cell"].as_str().unwrap()).collect();
    assert_eq!(names, ["rnn", "lstm", "own"]);
    for cell in cells {
        let parameters = cell["parameters"].as_f64().unwrap();
        assert!((1350.0..1650.0).contains(&parameters), "{cell}");
        let runs = cell["runs"].as_array().unwrap();
        assert!(
            runs.len() == 2 && runs[0]["mase"] != runs[1]["mase"],
            "{cell}"
        );
    }
    assert!(results["naive"]["persistence"].is_f64() && results["naive"]["seasonal"].is_f64());
    for file in results["files"].as_array().unwrap() {
        assert!(at.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    let csv = fs::read_to_string(at.join("out/compare.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3 * 2);
}
