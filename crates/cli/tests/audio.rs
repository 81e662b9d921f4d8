//! An effect from two WAV files to a model and a processed recording; stopped and gone on with; what is refused.

mod shell;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use retrograd::Checkpoint;
use retrograd::audio::{Clip, Format};
use serde_json::Value;
use shell::{command, refused, said};

/// Noise through a soft clipper behind a low-pass filter, 16 bits.
fn directory(test: &str) -> PathBuf {
    let at = shell::directory(&format!("audio-{test}"));
    let mut seed = 1_u32;
    let dry: Vec<f32> = (0..6000)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect();
    let mut low = 0.0;
    let wet = dry.iter().map(|x| {
        low += 0.4 * (x - low);
        0.9 * (3.0 * low).tanh()
    });
    let wet: Vec<f32> = wet.collect();
    for (name, samples) in [("dry.wav", dry), ("wet.wav", wet)] {
        let clip = Clip::new(8000, 1, samples)
            .unwrap()
            .with_format(Format::Int(16));
        clip.write(at.join(name)).unwrap();
    }
    at
}

const SMALL: [&str; 14] = [
    "train",
    "--wav",
    "dry.wav",
    "wet.wav",
    "--cell",
    "gru",
    "--set",
    "H=6",
    "--steps",
    "100",
    "--segment",
    "400",
    "--burn-in",
    "50",
];

#[test]
fn from_two_recordings_to_a_model_and_a_third() {
    let at = directory("way");
    let more = ["--epochs", "60", "--learning-rate", "0.01", "--json"];
    let text = said(&at, &[&SMALL[..], &more].concat());
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&told["rate"], &told["segment"], &told["burn_in"]),
        (&8000.into(), &400.into(), &50.into())
    );
    assert_eq!(told["held_out_samples"], 1200);
    let esr = told["held_out"]["esr"].as_f64().unwrap();
    let dry = told["held_out_dry"]["esr"].as_f64().unwrap();
    assert!(esr < 0.05 && esr < 0.2 * dry, "{esr} {dry}");
    assert!(told["real_time_factor"].as_f64().unwrap() > 1.0);
    for plot in told["plots"].as_array().unwrap() {
        assert!(at.join(plot.as_str().unwrap()).exists());
    }

    // What is told is what a listener computes of the file that predict writes, but for its 16 bits.
    let model = "retrograd-out/model.safetensors";
    let text = said(
        &at,
        &["predict", model, "--wav", "dry.wav", "--out", "heard.wav"],
    );
    assert!(
        text.contains("0.75 s at 8000 Hz through gru") && text.contains("heard.wav"),
        "{text}"
    );
    let (heard, wet) = (
        Clip::read(at.join("heard.wav")).unwrap(),
        Clip::read(at.join("wet.wav")).unwrap(),
    );
    assert_eq!(heard.format(), Format::Int(16));
    let (mut error, mut signal) = (0.0, 0.0);
    for (y, t) in heard.samples().iter().zip(wet.samples()).skip(4800) {
        error += f64::from(t - y).powi(2);
        signal += f64::from(*t).powi(2);
    }
    assert!(
        (error / signal - esr).abs() < 1e-5,
        "{} {esr}",
        error / signal
    );

    let person = said(
        &at,
        &[
            &SMALL[..],
            &["--epochs", "1", "--out", "other", "--loss", "mse"],
        ]
        .concat(),
    );
    for part in [
        "gru from dry.wav to wet.wav",
        "0.75 s at 8000 Hz, mono to mono",
        "held out         the last 0.15 s",
        "6 hidden units",
        "with pre-emphasis",
        "times as fast as real time",
        "retrograd predict other/model.safetensors --wav IN.wav --out OUT.wav",
    ] {
        assert!(person.contains(part), "{part}\n{person}");
    }
    let faster = Clip::new(44_100, 1, vec![0.5; 100]).unwrap();
    faster.write(at.join("faster.wav")).unwrap();
    let rate = refused(
        &at,
        &["predict", model, "--wav", "faster.wav", "--out", "x.wav"],
        1,
    );
    assert!(
        rate.contains("faster.wav")
            && rate.contains("trained at 8000 Hz")
            && rate.contains("44100 Hz"),
        "{rate}"
    );
    assert!(!at.join("x.wav").exists());
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_goes_on_bitwise() {
    let at = directory("killed");
    let long = |out| {
        [
            &SMALL[..],
            &["--epochs", "150", "--checkpoint-every", "5", "--out", out],
        ]
        .concat()
    };
    said(&at, &long("whole"));
    let model = at.join("killed/model.safetensors");
    let begin = |arguments: &[&str]| {
        let mut command = command(&at, arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut child, mut kills) = (begin(&long("killed")), 0);
    for k in 0..20_u64 {
        std::thread::sleep(std::time::Duration::from_millis(60 + k * 7919 % 90));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        child = match model.exists() {
            true => begin(&["resume", "killed/model.safetensors"]),
            false => begin(&long("killed")),
        };
    }
    assert!(child.wait().unwrap().success() && kills > 1, "{kills}");
    let read = |name: &str| -> Checkpoint { Checkpoint::read(at.join(name)).unwrap() };
    let (killed, whole) = (
        read("killed/model.safetensors"),
        read("whole/model.safetensors"),
    );
    assert_eq!(
        (killed.steps(), killed.parameters()),
        (whole.steps(), whole.parameters())
    );
    assert_eq!(killed.note("fit"), whole.note("fit"));

    // Other recordings are refused, and the same ones elsewhere are taken.
    fs::rename(at.join("dry.wav"), at.join("moved.wav")).unwrap();
    let resume = ["resume", "killed/model.safetensors"];
    assert!(refused(&at, &resume, 1).contains("dry.wav"));
    said(
        &at,
        &[&resume[..], &["--wav", "moved.wav", "wet.wav"]].concat(),
    );
    let other = refused(
        &at,
        &[&resume[..], &["--wav", "wet.wav", "moved.wav"]].concat(),
        1,
    );
    assert!(
        other.contains("not those that the training began with"),
        "{other}"
    );
    assert!(
        refused(&at, &[&resume[..], &["--data", "x.csv"]].concat(), 1)
            .contains("--wav DRY.wav WET.wav")
    );
}

#[test]
fn a_file_of_flags_and_a_cell_of_ones_own() {
    let at = directory("own");
    let flags = "wav = [\"dry.wav\", \"wet.wav\"]\ncell = \"own.cell\"\nepochs = 2\nsteps = 100\nsegment = 400\n";
    fs::write(at.join("job.toml"), flags).unwrap();
    let own = "cell own(x[I]; h[H]) where I=1, H=4\nh' = tanh(dense(x, h))\noutput y = dense[I](h') + x\ntarget wet[I]\nloss mean(square(y - wet))\n";
    fs::write(at.join("own.cell"), own).unwrap();
    let text = said(&at, &["train", "--config", "job.toml"]);
    assert!(text.contains("own from dry.wav to wet.wav"), "{text}");
    let predict = [
        "predict",
        "retrograd-out/model.safetensors",
        "--wav",
        "dry.wav",
        "--out",
        "y.wav",
    ];
    said(&at, &predict);
    let loss = refused(&at, &["train", "--config", "job.toml", "--loss", "esr"], 1);
    assert!(loss.contains("`own` has one"), "{loss}");
}

#[test]
fn what_does_not_go_together_is_told() {
    let at = directory("told");
    let with = |more: &[&'static str]| [&SMALL[..], more].concat();
    for (arguments, code, part) in [
        (vec!["train", "--wav", "dry.wav"], 2, "2 values required"),
        (with(&["--data", "x.csv"]), 2, "cannot be used with"),
        (with(&["--horizon", "3"]), 2, "cannot be used with"),
        (with(&["--emphasis", "1.5"]), 2, "--emphasis"),
        (with(&["--rows", "30"]), 1, "--rows is for tables"),
        (with(&["--dropout", "0.2"]), 1, "--dropout is for tables"),
        (with(&["--loss", "huber"]), 1, "esr or mse"),
        (with(&["--batch", "999"]), 1, "999 are needed"),
        (with(&["--validation", "0.9999"]), 1, "are needed"),
        (
            vec!["train", "--wav", "dry.wav", "none.wav", "--cell", "gru"],
            1,
            "none.wav",
        ),
        (
            vec![
                "train",
                "--wav",
                "dry.wav",
                "wet.wav",
                "--segment",
                "150",
                "--steps",
                "100",
            ],
            1,
            "no whole number",
        ),
        (
            vec!["predict", "m.safetensors", "--wav", "dry.wav"],
            2,
            "--out",
        ),
        (
            vec![
                "predict",
                "m.safetensors",
                "--wav",
                "dry.wav",
                "--out",
                "x.mp3",
            ],
            1,
            ".wav file",
        ),
        (
            vec!["train", "--data", "x.csv", "--emphasis", "0.5"],
            2,
            "cannot be used with",
        ),
    ] {
        let err = refused(&at, &arguments, code);
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
}
