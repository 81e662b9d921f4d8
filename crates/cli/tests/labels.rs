//! Labelled sequences from the shell: a table or a manifest, a model, labels with their probabilities; stopped and gone on with.

#[path = "labels/mistakes.rs"]
mod mistakes;
mod shell;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use shell::{json, said};

const WORDS: [&str; 3] = ["rise", "fall", "hum, low"];

/// A recording of a word by a speaker: 9 to 29 rows of pitch and level.
fn clip(k: usize) -> (&'static str, String, Vec<[f64; 2]>) {
    let (word, speaker) = (k % 3, k / 6);
    let rows = 9 + k * 5 % 21;
    let voice = 100.0 + 15.0 * (speaker % 7) as f64;
    let row = |t: usize| {
        let way = t as f64 / rows as f64;
        let noise = ((k * 31 + t * 17) % 13) as f64 / 13.0;
        let pitch = [way, 1.0 - way, 0.5][word];
        [voice * (1.0 + 0.5 * pitch) + 5.0 * noise, 0.2 + 0.1 * noise]
    };
    (
        WORDS[word],
        format!("speaker {speaker}"),
        (0..rows).map(row).collect(),
    )
}

/// The table of clips from `first` on; labels as `label` says.
fn table(clips: std::ops::Range<usize>, label: impl Fn(&str) -> String) -> String {
    let mut out = "t,clip,word,speaker,pitch,level\n".to_owned();
    for k in clips {
        let (word, speaker, rows) = clip(k);
        for (t, [pitch, level]) in rows.iter().enumerate() {
            let word = label(word);
            writeln!(out, "{t},c{k},\"{word}\",{speaker},{pitch:.3},{level:.3}").unwrap();
        }
    }
    out
}

/// A fresh directory for one test's files, with the table.
fn directory(test: &str) -> PathBuf {
    let path = shell::directory(&format!("labels-{test}"));
    fs::write(path.join("clips.csv"), table(0..120, str::to_owned)).unwrap();
    path
}

const READ: [&str; 10] = [
    "train",
    "--data",
    "clips.csv",
    "--id",
    "clip",
    "--label",
    "word",
    "--group",
    "speaker",
    "--time",
];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let small = [
        "t",
        "--cell",
        "gru",
        "--hidden",
        "10",
        "--batch",
        "16",
        "--learning-rate",
        "0.02",
    ];
    [&READ[..], &small, more].concat()
}

fn refused(at: &Path, arguments: &[&str]) -> String {
    let (_, err) = shell::failed(at, arguments);
    err.trim_end().strip_prefix("error: ").unwrap().to_owned()
}

#[test]
fn from_a_table_of_clips_to_labels_with_probabilities() {
    let at = directory("way");
    let text = said(&at, &train(&["--epochs", "40", "--out", "out"]));
    for part in [
        "gru on clips: the word of each sequence",
        "column \"t\" labels the rows",
        "reads            pitch, level\n",
        "sequences        120 of 9 to 29 rows, 3 labels\n",
        "training part    96 sequences of 16 groups\n",
        "validation part  24 sequences of 4 groups: speaker ",
        "nothing was chosen by the validation part",
        "hum, low",
        "accuracy         ",
        "(always \"fall\": 33.3 %)",
        "macro F1         ",
        "out/confusion.png",
        "retrograd predict out/model.safetensors --data NEW.csv",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 110),
        "{text}"
    );
    assert_eq!(
        fs::read_dir(at.join("out")).unwrap().count(),
        5,
        "a model and four pictures"
    );
    assert!(
        fs::read(at.join("out/confusion.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
    let picture = fs::read_to_string(at.join("out/confusion.svg")).unwrap();
    roxmltree::Document::parse(&picture).unwrap();
    for part in ["true label", "label that was told", "hum, low", "Accuracy"] {
        assert!(picture.contains(part), "{part}");
    }

    // New clips, some without a label, and one with a label that was not there.
    let new = table(120..150, |word| match word {
        "fall" => String::new(),
        word => word.to_owned(),
    });
    fs::write(
        at.join("new.csv"),
        new.replace("c120,\"rise\"", "c120,\"whistle\""),
    )
    .unwrap();
    let predict = ["predict", "out/model.safetensors", "--data", "new.csv"];
    let more = ["--out", "told.csv", "--plot", "new.svg"];
    let text = said(&at, &[&predict[..], &more].concat());
    for part in [
        "and 10 more sequences",
        "whistle (not trained on)",
        "not scored       10 sequences",
        "told.csv",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let told = fs::read_to_string(at.join("told.csv")).unwrap();
    let mut lines = told.lines();
    let head = "clip,word,predicted,p_fall,\"p_hum, low\",p_rise";
    assert_eq!((lines.next(), told.lines().count()), (Some(head), 31));
    let object = json(&at, &predict);
    assert_eq!(
        object["labels"],
        serde_json::json!(["fall", "hum, low", "rise"])
    );
    let report = &object["report"];
    assert!(
        report["accuracy"].as_f64().unwrap() >= 18.0 / 20.0,
        "{report}"
    );
    assert_eq!(report["confusion"][3].as_array().unwrap().len(), 4);
    let first = &object["predictions"][0];
    let p: Vec<f64> = first["probabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_f64().unwrap())
        .collect();
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{first}");
    // The CSV has the same numbers.
    let cells: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!((cells[0], cells[1]), ("c120", "whistle"));
    assert_eq!(cells[3].parse::<f64>().unwrap(), p[0]);

    // Without labels there is nothing to score, and without a table its own.
    let bare: String = new
        .lines()
        .map(|l| {
            let cells: Vec<&str> = l.splitn(3, ',').collect();
            let rest = cells[2].rsplitn(4, ',').collect::<Vec<_>>();
            format!("{},{},{},{}\n", cells[0], cells[1], rest[1], rest[0])
        })
        .collect();
    fs::write(at.join("bare.csv"), bare).unwrap();
    let bare = ["predict", "out/model.safetensors", "--data", "bare.csv"];
    assert_eq!(json(&at, &bare)["report"], Value::Null);
    assert!(!said(&at, &bare).contains("accuracy"));
    let error = refused(&at, &[&bare[..], &["--plot", "x.png"]].concat());
    assert!(error.contains("the sequences have no labels"), "{error}");
    let own = said(&at, &["predict", "out/model.safetensors"]);
    assert!(
        own.contains("These are the sequences of the training"),
        "{own}"
    );
}

#[test]
fn a_manifest_of_files_is_learned_as_the_table_is() {
    let at = directory("manifest");
    let mut manifest = "file,label,group\n".to_owned();
    fs::create_dir_all(at.join("clips")).unwrap();
    for k in 0..120 {
        let (word, speaker, rows) = clip(k);
        let mut text = "t,pitch,level\n".to_owned();
        for (t, [pitch, level]) in rows.iter().enumerate() {
            writeln!(text, "{t},{pitch:.3},{level:.3}").unwrap();
        }
        fs::write(at.join(format!("clips/c{k}.csv")), text).unwrap();
        writeln!(manifest, "clips/c{k}.csv,\"{word}\",{speaker}").unwrap();
    }
    fs::write(at.join("words.csv"), manifest).unwrap();
    let small = [
        "--cell",
        "gru",
        "--hidden",
        "10",
        "--batch",
        "16",
        "--learning-rate",
        "0.02",
        "--epochs",
        "3",
    ];
    let read = [
        "train",
        "--manifest",
        "words.csv",
        "--time",
        "t",
        "--out",
        "files",
    ];
    let files = json(&at, &[&read[..], &small].concat());
    let whole = json(&at, &train(&["--epochs", "3", "--out", "table"]));
    for key in ["report", "training_steps", "last_loss", "counts", "columns"] {
        assert_eq!(files[key], whole[key], "{key}");
    }
    assert_eq!(files["group"], "group");
    let predict = [
        "predict",
        "files/model.safetensors",
        "--manifest",
        "words.csv",
    ];
    let told = json(&at, &predict);
    assert_eq!(told["predictions"][7]["id"], "clips/c7.csv");
    // One file by itself is one sequence, called like it.
    let one = json(
        &at,
        &[
            "predict",
            "files/model.safetensors",
            "--data",
            "clips/c7.csv",
        ],
    );
    assert_eq!(one["predictions"][0]["id"], "c7");
    // To the roundings of f32: sums of one row have another order than those of several.
    let p = |told: &Value| told["probabilities"][0].as_f64().unwrap();
    let off = p(&one["predictions"][0]) - p(&told["predictions"][7]);
    assert!(off.abs() < 30.0 * 10.0 * 6e-8, "{off}");
    assert_eq!(one["report"], Value::Null);
}

#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_bits() {
    let at = directory("resumed");
    let how = [
        "--epochs",
        "6",
        "--dropout",
        "0.2",
        "--balance",
        "--smoothing",
        "0.05",
        "--pool",
        "last",
        "--patience",
        "6",
    ];
    let whole = [&train(&how)[..], &["--out", "whole"]].concat();
    said(&at, &whole);
    let numbers = |name: &str| fs::read(at.join(name).join("model.safetensors")).unwrap();
    let parts = [
        &train(&how)[..],
        &["--out", "parts", "--checkpoint-every", "1"],
    ]
    .concat();
    let mut child = (shell::command(&at, &parts).stdout(Stdio::null()))
        .spawn()
        .unwrap();
    while !at.join("parts/model.safetensors").exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = said(&at, &["resume", "parts/model.safetensors"]);
    assert!(
        text.contains("rare labels weigh more") && text.contains("pooled by last"),
        "{text}"
    );
    assert!(text.contains("somewhat too good"), "{text}");
    // All but the command line, which is part of the file.
    let told = |name: &str| {
        json(
            &at,
            &[
                "predict",
                &format!("{name}/model.safetensors"),
                "--data",
                "clips.csv",
            ],
        )
    };
    assert_eq!(told("parts"), told("whole"));
    assert_ne!(numbers("parts").len(), 0);
    // Other labels are other data.
    fs::write(
        at.join("clips.csv"),
        table(0..120, |w| {
            if w == "rise" {
                "up".to_owned()
            } else {
                w.to_owned()
            }
        }),
    )
    .unwrap();
    let error = refused(&at, &["resume", "parts/model.safetensors"]);
    assert!(error.contains("the data are not those"), "{error}");
}

#[test]
fn a_file_of_flags_takes_the_same_keys() {
    let at = directory("config");
    let job = "data = \"clips.csv\"\nid = \"clip\"\nlabel = \"word\"\ngroup = \"speaker\"\ntime = \"t\"\npool = \"max\"\nbalance = true\n\
               smoothing = 0.1\nepochs = 2\ncell = \"gru\"\nhidden = 4\n";
    fs::write(at.join("job.toml"), job).unwrap();
    let found = json(&at, &["train", "--config", "job.toml", "--out", "out"]);
    assert_eq!(
        (&found["pool"], &found["group"]),
        (&"max".into(), &"speaker".into())
    );
    assert_eq!((&found["hidden"], &found["epochs"]), (&4.into(), &2.into()));
}

#[test]
fn cells_of_ones_own_are_taken_and_those_with_a_loss_refused() {
    let at = directory("cells");
    let own = "cell own(x[I]; h[H]) where I=2, H=6\nh' = tanh(dense(x, h))\noutput y = h'\n";
    fs::write(at.join("own.cell"), own).unwrap();
    fs::write(
        at.join("loss.cell"),
        format!("{own}target z[H]\nloss mean(square(y - z))\n"),
    )
    .unwrap();
    let read = |cell: &'static str| {
        let small = ["t", "--cell", cell, "--epochs", "2", "--out", "out"];
        [&READ[..], &small].concat()
    };
    let found = json(&at, &read("own.cell"));
    assert_eq!(
        (&found["cell"], &found["hidden"]),
        (&"own".into(), &6.into())
    );
    let error = refused(&at, &read("loss.cell"));
    assert!(
        error.starts_with("`own` has a loss of its own; labels are learned by"),
        "{error}"
    );
}
