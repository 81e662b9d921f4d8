//! One table of mistakes: flags, data, files and cells that the program must refuse, each with its whole message and exit code.
//!
//! A message says what is wrong, where, and what to do. None of them panics, aborts, hangs, or takes memory that nobody
//! agreed to: each runs with two gigabytes of address space (on Linux) and is given a minute, of which it needs far less than a
//! second; the machine may be busy.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "mistakes/cells.rs"]
mod cells;
#[path = "mistakes/data.rs"]
mod data;
#[path = "mistakes/flags.rs"]
mod flags;

/// KiB of address space.
const MEMORY: u32 = 2 << 20;
const TIME: Duration = Duration::from_secs(60);
/// Bad usage, and all other mistakes.
const USAGE: i32 = 2;
const MISTAKE: i32 = 1;

/// A fresh directory for one table's files.
fn directory(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("mistakes-{test}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("table.csv"), table()).unwrap();
    path
}

/// 80 rows of two columns and a day.
fn table() -> String {
    let row = |day: u32| {
        let angle = f64::from(day) * 0.4;
        format!("day {day},{:.4},{:.4}\n", angle.sin(), angle.cos())
    };
    format!("date,rain,sun\n{}", (0..80).map(row).collect::<String>())
}

/// The program under limits.
fn retrograd(at: &Path, arguments: &[&OsStr]) -> Child {
    let program = env!("CARGO_BIN_EXE_retrograd");
    let mut command = match cfg!(target_os = "linux") {
        true => {
            let mut shell = Command::new("sh");
            let script = format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"");
            shell.args(["-c", &script, program]);
            shell
        }
        false => Command::new(program),
    };
    command
        .current_dir(at)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Exit code, standard output and standard error of a run; or that it took too long.
fn run(
    at: &Path,
    arguments: &[&OsStr],
    input: &[u8],
) -> Result<(Option<i32>, String, String), String> {
    let mut child = retrograd(at, arguments);
    let mut stdin = child.stdin.take().unwrap();
    // Who does not read it closes it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |pipe: &mut dyn Read| {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let end = Instant::now() + TIME;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("takes more than {TIME:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = child.wait().unwrap();
    Ok((status.code(), read(&mut out), read(&mut err)))
}

/// A mistake: what is said on the command line, the exit code, and the message behind `error: `.
type Mistake<'a> = (Vec<&'a str>, i32, String);

/// Runs all, and tells of all that are not refused as they should be.
fn check(at: &Path, mistakes: &[Mistake<'_>]) {
    let mut wrong = String::new();
    for (arguments, code, message) in mistakes {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let expected = format!("error: {message}\n");
        match run(at, &arguments, b"") {
            Ok((found, out, err)) if found == Some(*code) && out.is_empty() && err == expected => {}
            other => wrong += &format!("{arguments:?} ({code})\n  {expected}  {other:?}\n"),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A mistake in usage: the message, and where more is said.
fn usage<'a>(arguments: &[&'a str], message: &str) -> Mistake<'a> {
    let message = format!("{message} (`retrograd --help` tells more)");
    (arguments.to_vec(), USAGE, message)
}

fn mistake<'a>(arguments: &[&'a str], message: &str) -> Mistake<'a> {
    (arguments.to_vec(), MISTAKE, message.to_owned())
}

#[test]
fn there_are_at_least_sixty_mistakes_in_the_tables() {
    let count =
        flags::USAGE_ROWS + flags::SETTING_ROWS + data::ROWS + cells::ROWS + cells::LIMIT_ROWS;
    assert!(count >= 60, "{count}");
}

#[test]
#[cfg(unix)]
fn names_that_are_not_utf8_are_told_and_json_refuses_them() {
    use std::os::unix::ffi::OsStrExt;
    let at = directory("utf8");
    let out = OsString::from(OsStr::from_bytes(b"o\xffut"));
    let run = |more: &[&str]| {
        let mut arguments: Vec<&OsStr> = ["train", "--data", "table.csv", "--epochs", "1", "--out"]
            .iter()
            .map(OsStr::new)
            .collect();
        arguments.push(&out);
        arguments.extend(more.iter().map(OsStr::new));
        limited(&at, &arguments)
    };
    let (code, out, err) = run(&["--json"]);
    assert_eq!(
        (code, &*out, &*err),
        (
            Some(MISTAKE),
            "",
            "error: --out o\u{fffd}ut: JSON cannot name files in a directory whose name is not UTF-8; choose another --out, or \
             leave --json out\n"
        )
    );
    let (code, out, err) = run(&[]);
    assert_eq!((code, &*err), (Some(0), ""));
    let note = "data             column \"date\" labels the rows\n";
    assert!(out.contains(note), "{out}");
    assert!(out.contains("o\u{fffd}ut/model.safetensors"), "{out}");
}

#[cfg(unix)]
fn limited(at: &Path, arguments: &[&OsStr]) -> (Option<i32>, String, String) {
    run(at, arguments, b"").unwrap()
}
