//! The command line: `args` parses it, `run` does the work, `report` and `ahead` format the results.
//!
//! Invariant: standard output gets the results and nothing else. A mistake is one paragraph on standard error, or for a cell file
//! the line with carets under it, and an exit code of 2 (usage) or 1 (cells, data, files, training); a check that a cell does not pass
//! prints its report and exits with 3. Guesses about the data are at
//! the head of the results, or in the JSON. Text from the user's files reaches the terminal without control characters.

mod again;
mod ahead;
mod args;
mod audio;
mod backtest;
mod bench;
mod cell;
mod check;
mod choice;
mod compare;
mod config;
mod explain;
mod interrupt;
mod intuition;
mod labelled;
mod labels;
mod model;
mod predict;
mod progress;
mod report;
mod resume;
mod run;
mod saved;
mod table;
mod timing;
mod told;
mod trace;
mod train;
mod values;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use retrograd::data::printable;

use args::{CellsCommand, Cli, Command, DataSource, RoleArgs, with_flags};
use labels::LabelArgs;
use run::{Ended, Request};

/// Exit code of bad usage; other mistakes exit with 1.
const USAGE: u8 = 2;
/// Exit code of `check` for a property that does not hold.
const NOT_RIGHT: u8 = 3;

/// Runs the process's command line.
pub(crate) fn main() -> ExitCode {
    let (line, args) = match parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let shown = match args.command {
        Some(Command::Train(train)) => {
            return training(Request {
                source: train.source(),
                roles: train.roles,
                labels: train.labels,
                options: train.options,
                command: line,
                resume: None,
            });
        }
        None => {
            return training(Request {
                source: DataSource::SeattleWeather,
                roles: RoleArgs::default(),
                labels: LabelArgs::default(),
                options: args.options,
                command: line,
                resume: None,
            });
        }
        Some(Command::Resume(args)) => match resume::request(&args) {
            Ok(request) => return training(request),
            Err(e) => Err(e),
        },
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
        Some(Command::Cells(args)) => match &args.command {
            None => Ok(report::cells()),
            Some(CellsCommand::Show { cell, sizes, svg }) => {
                report::cell(cell, sizes, svg.as_deref())
            }
        },
        Some(Command::Cell(command)) => cell::run(&command),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Predict(args)) => predict::run(&args),
        Some(Command::Backtest(args)) => backtest::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Intuition(args)) => intuition::run(&args),
        Some(Command::Explain(args)) => explain::explain(&args),
    };
    match shown {
        Ok(text) => print(&text),
        Err(e) => fail(&e),
    }
}

/// The command line with the flags of a file that it names, and what it means.
fn parse() -> Result<(Vec<String>, Cli), ExitCode> {
    let usage = |e: &clap::Error| match e.use_stderr() {
        true => {
            complain(&paragraph(&args::paragraph(e)));
            ExitCode::from(USAGE)
        }
        false => print(&e.render().to_string()),
    };
    let line: Vec<OsString> = std::env::args_os().collect();
    let line = config::with_file(line).map_err(|e| fail(&e))?;
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(&line);
    let matches = matches.map_err(|e| usage(&e))?;
    // It shares the flags of `train`, and has another one for this.
    if let Some(compare) = matches.subcommand_matches("compare")
        && compare.value_source("cell") == Some(ValueSource::CommandLine)
    {
        let message = "`compare` takes its cells as `--cells A,B,C`, not as `--cell`";
        return Err(usage(&command.error(ErrorKind::ArgumentConflict, message)));
    }
    let args = Cli::from_arg_matches(&matches).map_err(|e| usage(&e.format(&mut command)))?;
    args.check().map_err(|e| usage(&e))?;
    let told = line
        .iter()
        .skip(1)
        .map(|a| a.to_string_lossy().into_owned());
    Ok((told.collect(), args))
}

/// Trains, and prints what came of it.
fn training(request: Request) -> ExitCode {
    interrupt::watch();
    let json = request.options.json;
    match run::run(&request) {
        Ok(Ended::Rows(results)) if json => print(&report::json(&results)),
        Ok(Ended::Rows(results)) => print(&report::text(&results)),
        Ok(Ended::Ahead(results)) if json => print(&ahead::json(&results)),
        Ok(Ended::Ahead(results)) => print(&ahead::text(&results)),
        Ok(Ended::Labelled(results)) if json => print(&labelled::json(&results)),
        Ok(Ended::Labelled(results)) => print(&labelled::text(&results)),
        Ok(Ended::Audio(results)) if json => print(&audio::json(&results)),
        Ok(Ended::Audio(results)) => print(&audio::text(&results)),
        Ok(Ended::Stopped { step, model }) => {
            let model = model.display();
            complain(&paragraph(&format!(
                "stopped after step {step} and saved; `retrograd resume {model}` goes on"
            )));
            ExitCode::from(interrupt::CODE)
        }
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
