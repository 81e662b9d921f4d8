//! Runs that are killed or interrupted, and go on.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use retrograd::Checkpoint;

use super::{command, directory, future, json, refused, said, shops, train};

/// A run long enough to be stopped.
fn long(out: &str) -> Vec<&str> {
    let mut arguments = train(&["--checkpoint-every", "3", "--out", out]);
    let epochs = arguments.iter().position(|a| *a == "60").unwrap();
    arguments[epochs] = "400";
    arguments
}

/// All that training changes.
fn numbers(path: &Path) -> (u64, Vec<f32>, Option<String>) {
    let saved: Checkpoint = Checkpoint::read(path).unwrap();
    (
        saved.steps(),
        saved.parameters(),
        saved.note("fit").map(str::to_owned),
    )
}

fn begin(at: &Path, arguments: &[&str]) -> Child {
    let mut command = command(at, arguments);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    let at = directory("killed");
    said(&at, &long("whole"));
    let model = at.join("killed/model.safetensors");
    let mut child = begin(&at, &long("killed"));
    let mut kills = 0;
    for k in 0..50_u64 {
        std::thread::sleep(Duration::from_millis(15 + k * 7919 % 60));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if model.exists() {
            numbers(&model);
            child = begin(&at, &["resume", "killed/model.safetensors"]);
        } else {
            child = begin(&at, &long("killed"));
        }
    }
    assert!(child.wait().unwrap().success() && kills > 1, "{kills}");
    assert_eq!(
        numbers(&model),
        numbers(&at.join("whole/model.safetensors"))
    );
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let at = directory("interrupted");
    let mut arguments = long("out");
    let epochs = arguments.iter().position(|a| *a == "400").unwrap();
    arguments[epochs] = "100000";
    let child = begin(&at, &arguments);
    // Only a run that has begun has something to save.
    let model = at.join("out/model.safetensors");
    while !model.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    let last = err.trim_end().lines().last().unwrap();
    assert!(last.starts_with("stopped after step "), "{err}");
    assert!(
        last.ends_with("`retrograd resume out/model.safetensors` goes on"),
        "{err}"
    );
    // It is a model already.
    fs::write(at.join("next.csv"), future(7)).unwrap();
    let predicted = json(
        &at,
        &["predict", "out/model.safetensors", "--future", "next.csv"],
    );
    assert_eq!(
        predicted["forecasts"][0]["values"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
    // It goes on with the rows that it began with alone.
    let other = shops().replace("2,5", "2,6");
    fs::write(at.join("shops.csv"), other).unwrap();
    let message = refused(&at, &["resume", "out/model.safetensors"], 1);
    assert!(message.contains("the data are not those"), "{message}");
}
