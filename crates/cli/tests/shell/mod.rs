//! The program as the tests call it: a directory of its own, arguments, and what it prints.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A fresh directory for one test's files.
pub(crate) fn directory(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

pub(crate) fn command(at: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retrograd"));
    command.current_dir(at).args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn run(at: &Path, arguments: &[&str]) -> Output {
    command(at, arguments).output().unwrap()
}

/// What a run that must succeed prints, with nothing beside it.
pub(crate) fn said(at: &Path, arguments: &[&str]) -> String {
    let output = run(at, arguments);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {err}");
    assert_eq!(err, "", "{arguments:?}: nothing but results");
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON.
pub(crate) fn json(at: &Path, arguments: &[&str]) -> Value {
    let out = said(at, &[arguments, &["--json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

/// A run that must fail: its exit code, and its message, which is one paragraph and all that is printed.
pub(crate) fn failed(at: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(at, arguments);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {err}");
    assert!(err.starts_with("error: "), "{arguments:?}: {err}");
    assert_eq!(err.trim_end().lines().count(), 1, "{err}");
    (output.status.code(), err)
}

/// The message of a run that must fail with this code.
pub(crate) fn refused(at: &Path, arguments: &[&str], code: i32) -> String {
    let (found, err) = failed(at, arguments);
    assert_eq!(found, Some(code), "{arguments:?}: {err}");
    err
}
