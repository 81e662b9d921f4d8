//! Categories from the command line: a column of texts is one where its role says so, and what is not known is told.

use std::fs;

use super::{directory, json, refused, run, said};

/// Two shops of different kinds, whose sales follow the kind of the day.
fn table(shops: &[(&str, &str)]) -> String {
    let mut out = "day,shop,type,kind,sold\n".to_owned();
    for day in 0..80 {
        for (k, (shop, of)) in shops.iter().enumerate() {
            let kind = ["work", "rest", "feast"][(day * 7 + day / 3 + k) % 3];
            let level = [10.0, 2.0, 30.0][(day * 7 + day / 3 + k) % 3];
            out += &format!("{day},{shop},{of},{kind},{}\n", level + k as f64);
        }
    }
    out
}

const TRAIN: [&str; 20] = [
    "train",
    "--data",
    "kinds.csv",
    "--id",
    "shop",
    "--target",
    "sold",
    "--known",
    "kind",
    "--static",
    "type",
    "--cell",
    "gru",
    "--hidden",
    "8",
    "--epochs",
    "300",
    "--steps",
    "10",
    "--learning-rate=0.02",
];

#[test]
fn texts_of_known_and_static_columns_are_categories() {
    let at = directory("categories");
    fs::write(
        at.join("kinds.csv"),
        table(&[("a", "kiosk"), ("b", "market")]),
    )
    .unwrap();
    let text = said(&at, &TRAIN);
    for part in [
        "column \"type\" holds 2 categories",
        "column \"kind\" holds 3 categories",
        "known ahead      kind",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // Other texts, in another order; one is not known.
    let future = "day,shop,kind\n80,a,feast\n80,b,strike\n81,a,work\n81,b,feast\n";
    fs::write(at.join("future.csv"), future).unwrap();
    let predict = [
        "predict",
        "retrograd-out/model.safetensors",
        "--future",
        "future.csv",
    ];
    let forecasts = json(&at, &predict);
    let value = forecasts["forecasts"][0]["values"][0].as_f64().unwrap();
    assert!((value - 30.0).abs() < 5.0, "{value}");
    let notes = forecasts["notes"].to_string();
    assert!(notes.contains("strike"), "{notes}");
    let text = said(&at, &predict);
    assert!(
        text.contains("does not know \"strike\", and reads it as the mean"),
        "{text}"
    );
    assert!(said(&at, &["backtest", "retrograd-out/model.safetensors"]).contains("MASE"));
    // It goes on with the same table of categories.
    said(&at, &["resume", "retrograd-out/model.safetensors"]);

    // A new shop of a kind that is not known.
    fs::write(at.join("new.csv"), table(&[("c", "fair")])).unwrap();
    fs::write(at.join("next.csv"), "day,shop,kind\n80,c,work\n").unwrap();
    let new = [
        "predict",
        "retrograd-out/model.safetensors",
        "--data",
        "new.csv",
        "--future",
        "next.csv",
    ];
    assert!(said(&at, &new).contains("does not know \"fair\""));
}

#[test]
fn the_id_can_be_a_category_and_a_target_cannot() {
    let at = directory("category-roles");
    fs::write(
        at.join("kinds.csv"),
        table(&[("a", "kiosk"), ("b", "market")]),
    )
    .unwrap();
    let with = |more: &[&'static str]| {
        let short = [
            "train",
            "--data",
            "kinds.csv",
            "--id",
            "shop",
            "--cell",
            "gru",
            "--hidden",
            "4",
            "--epochs",
            "2",
            "--steps",
            "10",
        ];
        [&short[..], more].concat()
    };
    let text = said(&at, &with(&["--target", "sold", "--categorical", "shop"]));
    assert!(
        text.contains("column \"shop\" holds 2 categories"),
        "{text}"
    );
    // Without targets, all columns of numbers are forecast.
    let text = said(&at, &with(&["--categorical", "type"]));
    assert!(
        text.contains("forecast         sold") && text.contains("observed         type"),
        "{text}"
    );
    let forecast = refused(
        &at,
        &with(&["--target", "sold,type", "--categorical", "type"]),
        1,
    );
    assert!(
        forecast.contains("holds categories, which are not forecast"),
        "{forecast}"
    );
    // A target that is a text is still told by its cell.
    let cell = refused(&at, &with(&["--target", "type"]), 1);
    assert!(
        cell.contains("line 2, column \"type\": \"kiosk\" is not a number"),
        "{cell}"
    );
    let own = "cell own(x[I]; h[H]) where I=1, H=4\nh' = tanh(dense(x, h))\noutput y = dense[1](h')\ntarget next[1]\nloss mean(square(y - next))\n";
    fs::write(at.join("own.cell"), own).unwrap();
    let mut own = with(&["--target", "sold", "--categorical", "type"]);
    let cell = own.iter().position(|a| *a == "gru").unwrap();
    own[cell] = "own.cell";
    own.retain(|a| *a != "--hidden" && *a != "4");
    assert!(refused(&at, &own, 1).contains("categories are for cells without a loss"));
    assert!(
        !run(&at, &with(&["--target", "sold", "--categorical", "none"]))
            .status
            .success()
    );
}
