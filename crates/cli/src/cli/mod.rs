//! The command line: `args` parses it, `run` does the work, `report` formats the results.
//!
//! Invariant: standard output gets the results and nothing else. A mistake is one paragraph on standard error, or for a cell file
//! the line with carets under it, and an exit code of 2 (usage) or 1 (cells, data, files, training); a check that a cell does not pass
//! prints its report and exits with 3. Guesses about the data are at
//! the head of the results, or in the JSON. Text from the user's files reaches the terminal without control characters.

mod args;
mod bench;
mod cell;
mod check;
mod choice;
mod explain;
mod intuition;
mod progress;
mod report;
mod run;
mod timing;
mod trace;
mod values;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use retrograd::data::printable;

use args::{CellsCommand, Cli, Command, DataSource, with_flags};

/// Exit code of bad usage; other mistakes exit with 1.
const USAGE: u8 = 2;
/// Exit code of `check` for a property that does not hold.
const NOT_RIGHT: u8 = 3;

/// Runs the process's command line.
pub(crate) fn main() -> ExitCode {
    let args = match Cli::try_parse() {
        Ok(args) => args,
        Err(e) if e.use_stderr() => {
            complain(&paragraph(&args::paragraph(&e)));
            return ExitCode::from(USAGE);
        }
        Err(help_or_version) => return print(&help_or_version.render().to_string()),
    };
    let (source, options) = match args.command {
        Some(Command::Cells(args)) => {
            let shown = match &args.command {
                None => Ok(report::cells()),
                Some(CellsCommand::Show { cell, sizes }) => report::cell(cell, sizes),
            };
            return match shown {
                Ok(text) => print(&text),
                Err(e) => fail(&e),
            };
        }
        Some(Command::Cell(command)) => {
            return match cell::run(&command) {
                Ok(text) => print(&text),
                Err(e) => fail(&e),
            };
        }
        Some(Command::Check(args)) => {
            return match check::check(&args) {
                Ok(report) => {
                    let code = print(&check::printed(&report, args.json));
                    match report.passed() {
                        true => code,
                        false => ExitCode::from(NOT_RIGHT),
                    }
                }
                Err(e) => fail(&e),
            };
        }
        Some(Command::Bench(args)) => {
            return match bench::run(&args) {
                Ok(text) => print(&text),
                Err(e) => fail(&e),
            };
        }
        Some(Command::Intuition(args)) => {
            return match intuition::run(&args) {
                Ok(text) => print(&text),
                Err(e) => fail(&e),
            };
        }
        Some(Command::Explain(args)) => {
            return match explain::explain(&args) {
                Ok(text) => print(&text),
                Err(e) => fail(&e),
            };
        }
        Some(Command::Train(train)) => (DataSource::File(train.table), train.options),
        None => (DataSource::SeattleWeather, args.options),
    };
    match run::run(&source, &options) {
        Ok(results) if options.json => print(&report::json(&results)),
        Ok(results) => print(&report::text(&results)),
        Err(e) => fail(&e),
    }
}

/// Says what went wrong.
fn fail(e: &anyhow::Error) -> ExitCode {
    match e.downcast_ref() {
        // Such a mistake shows itself, in several lines.
        Some(retrograd::Error::Text(shown)) => {
            let shown = shown.to_string();
            let lines = shown.trim_end().lines().map(paragraph);
            complain(&lines.collect::<Vec<_>>().join("\n"));
        }
        _ => complain(&paragraph(&with_flags(&format!("error: {}", causes(e))))),
    }
    ExitCode::FAILURE
}

/// A line fit for a terminal: names of files, columns and cells may contain anything, at any length.
fn paragraph(line: &str) -> String {
    const LONGEST: usize = 2000;
    printable(line, LONGEST)
}

/// An error and its causes on one line. The library's messages already end with their cause, which is not repeated.
fn causes(e: &anyhow::Error) -> String {
    e.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.is_empty() {
            true => cause,
            false if said.ends_with(&cause) => said,
            false => format!("{said}: {cause}"),
        }
    })
}

/// Prints to standard output. A pipe that is closed early is no error.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("error: standard output cannot be written: {e}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes one paragraph to standard error; failure to do so is ignored.
fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
