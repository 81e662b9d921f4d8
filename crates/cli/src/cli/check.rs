//! `retrograd check`: tests of a cell's compiled gradients.

use std::time::Duration;

use anyhow::Result;
use retrograd::testing::{CheckOptions, Report, Sizes, check_with};

use super::choice::{Choice, SizeArgs};
use super::values::{between, whole};

/// Arguments of `retrograd check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The recurrent cell: a name that `retrograd cells` lists, or a cell file.
    #[arg(long, value_name = "NAME|FILE.cell", value_parser = Choice::parse)]
    cell: Choice,
    #[command(flatten)]
    sizes: SizeArgs,
    /// Seed of all random numbers: the same seed checks the same cases.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Cases: sizes that are not set, rows, their lengths and values are drawn anew for each.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = whole(1..=1_000_000))]
    cases: usize,
    /// Seconds after which no case begins.
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, value_parser = between(0.0, 1e6))]
    time: f64,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checks a cell.
///
/// # Errors
/// A cell that cannot be read or compiled. A property that fails is in the report.
pub(super) fn check(args: &Check) -> Result<Report> {
    let text = args.cell.text()?;
    let set = args.sizes.of(&text)?;
    // A mistake in the file shows its line.
    text.cell(&set)?;
    let sizes = Sizes::of(&text);
    let sizes = set.iter().fold(sizes, |sizes, (d, n)| sizes.with(d, *n));
    let options = CheckOptions::default()
        .seed(args.seed)
        .cases(args.cases)
        .time(Duration::from_secs_f64(args.time));
    Ok(check_with(&sizes, &options)?)
}

/// The report as it is printed.
pub(super) fn printed(report: &Report, json: bool) -> String {
    match json {
        true => {
            let text = serde_json::to_string_pretty(report);
            format!("{}\n", text.expect("names and numbers are JSON"))
        }
        false => report.to_string(),
    }
}
