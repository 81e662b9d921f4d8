//! `retrograd backtest`: a saved model on rows that it was not trained on, against simple forecasts.

use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use retrograd::files;
use retrograd::forecast::{Backtest, BacktestReport};
use serde_json::json;

use super::again::Again;
use super::ahead::{backtest, backtest_json, backtest_plot};
use super::args::with_flags;
use super::model::{ModelArgs, Opened};
use super::predict::{draw, only_first, quoted};
use super::report::note_lines;
use super::values::{between, whole};

/// Arguments of `retrograd backtest`.
#[derive(Debug, clap::Args)]
pub(crate) struct BacktestArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Rows ahead to forecast from each origin [default: as many as the model forecasts at once].
    #[arg(long, value_name = "N", value_parser = whole(1..=10_000))]
    horizon: Option<usize>,
    /// Origins of each series, spread evenly over the rows that the model was not trained on [default: 50, or 5 with --retrain].
    #[arg(long, value_name = "N", value_parser = whole(1..=1_000_000))]
    folds: Option<usize>,
    /// Trains anew for each origin, on the rows before it, as `train` did: what the forecasts would have been if a model had been made
    /// at each of them.
    #[arg(long)]
    retrain: bool,
    /// Rows of a season, for the seasonal naive forecast [default: a week of days, a day of hours, a year of months, by the dates].
    #[arg(long, value_name = "N", value_parser = whole(1..=1_000_000))]
    season: Option<usize>,
    /// Shares of what came whose intervals are counted.
    #[arg(long, value_name = "X,Y", value_delimiter = ',', default_value = "0.8,0.95", value_parser = between(0.0, 1.0))]
    interval: Vec<f64>,
    /// Writes all forecasts and what came as CSV.
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Draws the forecasts of the first series.
    #[arg(long, value_name = "FILE.png|FILE.svg")]
    plot: Option<PathBuf>,
    /// Prints the results as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The share of a series that the model was not trained on on which it is tested: its last fifth.
const LAST: f64 = 0.2;

/// Tests, writes, and returns what is printed.
pub(super) fn run(args: &BacktestArgs) -> Result<String> {
    let opened = args.model.open()?;
    let (panel, model) = (&opened.table.panel, &opened.model);
    let horizon = args.horizon.unwrap_or(model.setup().rows_ahead());
    let part = |(id, series): (&String, &retrograd::data::Series)| -> Range<usize> {
        let last = series.len() - (LAST * series.len() as f64).ceil() as usize;
        let start = model.trained_rows(id, series).unwrap_or(last);
        start.min(series.len() - 1)..series.len()
    };
    let parts: Vec<Range<usize>> = panel.ids().iter().zip(panel.series()).map(part).collect();
    if parts.iter().all(|part| part.len() < horizon) {
        bail!(
            "no series has {horizon} rows behind those that the model was trained on; `--data` names a table with newer ones"
        );
    }
    let usual = if args.retrain { 5 } else { 50 };
    let how = Backtest::new(horizon)
        .folds(args.folds.unwrap_or(usual))
        .levels(&args.interval);
    let how = match args.season {
        Some(season) => how.season(season),
        None => how,
    };
    let report = match args.retrain {
        true => {
            let again = Again::of(&args.model.model)?;
            how.retrained(panel, &parts, |before| again.train(before))?
        }
        false => model.backtest(panel, &parts, &how)?,
    };
    if let Some(path) = &args.out {
        let text = csv(&report, panel.id_name());
        files::replace(path, "csv", |beside| fs::write(beside, text))
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    let title = format!("{} on {}", model.cell().name(), opened.table.name);
    if let Some(path) = &args.plot {
        draw(&backtest_plot(&title, &opened.table, &report), path)?;
    }
    Ok(match args.json {
        true => as_json(&opened, &report),
        false => {
            let notes = note_lines(panel.notes());
            let mut out = format!("{title}\n\n{notes}\n{}", backtest(&report));
            for (heading, path, of) in [
                ("forecasts", &args.out, String::new()),
                ("plot", &args.plot, only_first(panel)),
            ] {
                if let Some(path) = path {
                    let _ = writeln!(out, "{heading:<16} {}{of}", path.display());
                }
            }
            out
        }
    })
}

fn as_json(opened: &Opened, report: &BacktestReport) -> String {
    let notes = opened.table.panel.notes().iter();
    let notes: Vec<String> = notes.map(|n| with_flags(&n.to_string())).collect();
    let mut object = backtest_json(report);
    object["data"] = json!(opened.table.name);
    object["notes"] = json!(notes);
    format!("{object}\n")
}

/// A line for each number that was forecast.
fn csv(report: &BacktestReport, id: Option<&str>) -> String {
    let mut header: Vec<String> = id.map(quoted).into_iter().collect();
    let rest = ["origin", "row", "ahead", "column", "forecast", "observed"];
    header.extend(rest.map(str::to_owned));
    let mut out = header.join(",") + "\n";
    for fold in &report.folds {
        let mut cells: Vec<String> = id.map(|_| quoted(&fold.id)).into_iter().collect();
        cells.extend([
            quoted(&fold.origin),
            quoted(&fold.row),
            fold.ahead.to_string(),
            quoted(&fold.column),
            fold.forecast.to_string(),
            fold.observed.map_or(String::new(), |x| x.to_string()),
        ]);
        out += &(cells.join(",") + "\n");
    }
    out
}
