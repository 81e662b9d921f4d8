//! `retrograd predict`: forecasts the rows after a table, with intervals, as table, CSV, JSON and picture.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use retrograd::Checkpoint;
use retrograd::data::{Panel, printable};
use retrograd::files;
use retrograd::forecast::Forecast;
use retrograd_plot::{ForecastPanel, ForecastPlot};
use serde_json::json;

use super::ahead::drawn;
use super::args::with_flags;
use super::model::{ModelArgs, Opened};
use super::report::{LONGEST_NAME, note_lines, number, undrawn};
use super::told::Told;
use super::values::{between, whole};

/// Arguments of `retrograd predict`.
#[derive(Debug, clap::Args)]
pub(crate) struct Predict {
    #[command(flatten)]
    model: ModelArgs,
    /// For a model of labels, instead of --data: a table of files, as `train` reads it.
    #[arg(long, value_name = "FILE.csv", conflicts_with = "data")]
    manifest: Option<PathBuf>,
    /// Sends a recording through a model of an effect, sample by sample, and writes what comes out to --out.
    #[arg(long, value_name = "IN.wav", requires = "out", conflicts_with_all = ["data", "manifest", "horizon", "future", "plot"])]
    wav: Option<PathBuf>,
    /// Rows to forecast [default: as many as the model forecasts at once].
    #[arg(long, value_name = "N", value_parser = whole(1..=1_000_000))]
    horizon: Option<usize>,
    /// What is known ahead: a table like the other, with the columns that are known, for the rows after it.
    #[arg(long, value_name = "FILE.csv")]
    future: Option<PathBuf>,
    /// Shares of what comes that intervals should hold [default: 0.8,0.95].
    #[arg(long, value_name = "X,Y", value_delimiter = ',', value_parser = between(0.0, 1.0))]
    interval: Option<Vec<f64>>,
    /// Writes the forecast, or the labels with their probabilities, as CSV, or the recording as WAV.
    #[arg(long, value_name = "FILE.csv|OUT.wav")]
    out: Option<PathBuf>,
    /// Draws it behind the last rows of the table; of labels, who was taken for whom.
    #[arg(long, value_name = "FILE.png|FILE.svg")]
    plot: Option<PathBuf>,
    /// Prints the forecast as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Intervals unless others are asked for.
const INTERVALS: [f64; 2] = [0.8, 0.95];
/// Series that are printed; the CSV has all.
const PRINTED: usize = 5;
/// Rows of a plot, at most, that come before the forecast.
const BEFORE: usize = 120;

/// Forecasts, writes, and returns what is printed.
pub(super) fn run(args: &Predict) -> Result<String> {
    if let (Some(wav), Some(out)) = (&args.wav, &args.out) {
        return super::audio::predict(&args.model.model, wav, out, args.json);
    }
    let saved: Checkpoint = Checkpoint::read(&args.model.model)?;
    if retrograd::classify::Model::is_in(&saved) {
        return labels(args);
    }
    if args.manifest.is_some() {
        bail!("--manifest is for a model of labels; this one forecasts: `--data` names the rows");
    }
    let intervals = args.interval.clone().unwrap_or_else(|| INTERVALS.to_vec());
    let opened = args.model.open()?;
    let setup = opened.model.setup();
    let horizon = args.horizon.unwrap_or(setup.rows_ahead());
    let future = match &args.future {
        Some(path) => Some(opened.future(path)?),
        None if !setup.columns().known.is_empty() => bail!(
            "the model reads columns that are known ahead ({}); `--future FILE.csv` has them for the rows after the table",
            setup.columns().known.join(", ")
        ),
        None => None,
    };
    let panel = &opened.table.panel;
    let forecasts = opened
        .model
        .forecast(panel, horizon, future.as_ref(), &intervals)?;
    if let Some(path) = &args.out {
        let text = csv(&opened, &forecasts);
        files::replace(path, "csv", |beside| fs::write(beside, text))
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    if let Some(path) = &args.plot {
        draw(&plot(&opened, &forecasts[0]), path)?;
    }
    Ok(match args.json {
        true => as_json(&opened, &forecasts, future.as_ref()),
        false => text(args, &opened, &forecasts, future.as_ref()),
    })
}

/// Tells labels.
fn labels(args: &Predict) -> Result<String> {
    let forecasts = [
        ("--horizon", args.horizon.is_some()),
        ("--future", args.future.is_some()),
        ("--interval", args.interval.is_some()),
    ];
    if let Some((flag, _)) = forecasts.iter().find(|(_, given)| *given) {
        bail!(
            "{flag} is for forecasts, and this model tells labels of whole sequences; leave it out"
        );
    }
    let told = Told {
        args: &args.model,
        manifest: args.manifest.as_deref(),
        out: args.out.as_deref(),
        plot: args.plot.as_deref(),
        json: args.json,
    };
    told.run()
}

/// Writes a picture in the form that its name says.
pub(super) fn draw(plot: &ForecastPlot, path: &Path) -> Result<()> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("png") => plot.write_png(path)?,
        Some("svg") => plot.write_svg(path)?,
        _ => bail!("{}: a picture is a .png or an .svg file", path.display()),
    }
    Ok(())
}

/// The label of a row that is forecast.
fn label(forecast: &Forecast, row: usize) -> String {
    match &forecast.labels {
        Some(labels) => labels[row].clone(),
        None => format!("+{}", row + 1),
    }
}

fn text(args: &Predict, opened: &Opened, forecasts: &[Forecast], future: Option<&Panel>) -> String {
    let mut out = note_lines(opened.table.panel.notes());
    for unknown in opened.unknown(future) {
        let _ = writeln!(out, "{:<16} {unknown}", "");
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let time = opened.table.panel.series()[0].label_name().unwrap_or("row");
    for forecast in forecasts.iter().take(PRINTED) {
        if !forecast.id.is_empty() {
            let _ = writeln!(out, "{}", printable(&forecast.id, LONGEST_NAME));
        }
        let n = forecast.names.len();
        let mut header = vec![
            printable(time, LONGEST_NAME),
            "column".to_owned(),
            "forecast".to_owned(),
        ];
        header.extend(
            forecast
                .intervals
                .iter()
                .map(|i| format!("{} % interval", percent(i.level))),
        );
        let mut rows = Vec::new();
        for (k, value) in forecast.values.iter().enumerate() {
            let name = printable(&forecast.names[k % n], LONGEST_NAME);
            let mut row = vec![
                printable(&label(forecast, k / n), LONGEST_NAME),
                name,
                number(*value),
            ];
            row.extend(
                forecast
                    .intervals
                    .iter()
                    .map(|i| match (i.low[k], i.high[k]) {
                        (Some(low), Some(high)) => format!("{} to {}", number(low), number(high)),
                        _ => "not known".to_owned(),
                    }),
            );
            rows.push(row);
        }
        let _ = writeln!(out, "{}\n", drawn(header, rows));
    }
    if forecasts.len() > PRINTED {
        let _ = writeln!(
            out,
            "and {} more series; `--out FILE.csv` has them all\n",
            forecasts.len() - PRINTED
        );
    }
    let unknown = |f: &Forecast| f.intervals.iter().any(|i| i.low.contains(&None));
    if forecasts.iter().any(unknown) {
        let kept = opened.model.residuals().map_or(0, |r| r.horizon());
        let _ = writeln!(
            out,
            "Intervals are quantiles of the errors in the training's backtest, which knows {kept} rows\nahead. More rows to validate on (`train --validation`) make more and wider ones known."
        );
    }
    for (heading, path, of) in [
        ("forecast", &args.out, String::new()),
        ("plot", &args.plot, only_first(&opened.table.panel)),
    ] {
        if let Some(path) = path {
            let _ = writeln!(out, "{heading:<16} {}{of}", path.display());
        }
    }
    if args.plot.is_some() {
        let first = &forecasts[0];
        let names = first.names.iter().chain([&first.id, &opened.table.name]);
        out.push_str(&undrawn(names.map(String::as_str)));
    }
    out
}

/// Which series a picture is of, if there are several.
pub(super) fn only_first(panel: &Panel) -> String {
    match panel.ids() {
        [first, _, ..] => format!(
            " (of \"{}\", the first of {} series)",
            printable(first, LONGEST_NAME),
            panel.ids().len()
        ),
        _ => String::new(),
    }
}

/// A share as a whole or broken number of percent.
fn percent(level: f64) -> String {
    let rounded = (1e4 * level).round() / 100.0;
    rounded.to_string()
}

/// A line for each number: series, row, rows ahead, column, forecast, ends of intervals.
fn csv(opened: &Opened, forecasts: &[Forecast]) -> String {
    let panel = &opened.table.panel;
    let mut header = Vec::new();
    header.extend(panel.id_name().map(quoted));
    let time = panel.series()[0]
        .label_name()
        .filter(|name| !name.is_empty());
    header.push(quoted(time.unwrap_or("row")));
    header.extend(["ahead", "column", "forecast"].map(str::to_owned));
    for interval in forecasts.iter().take(1).flat_map(|f| &f.intervals) {
        let level = percent(interval.level);
        header.extend([format!("low_{level}"), format!("high_{level}")]);
    }
    let mut out = header.join(",") + "\n";
    for forecast in forecasts {
        let n = forecast.names.len();
        for (k, value) in forecast.values.iter().enumerate() {
            let mut cells = Vec::new();
            cells.extend(panel.id_name().map(|_| quoted(&forecast.id)));
            cells.push(quoted(&label(forecast, k / n)));
            cells.push((k / n + 1).to_string());
            cells.push(quoted(&forecast.names[k % n]));
            cells.push(value.to_string());
            for interval in &forecast.intervals {
                let end = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
                cells.extend([end(interval.low[k]), end(interval.high[k])]);
            }
            out += &(cells.join(",") + "\n");
        }
    }
    out
}

/// A cell of CSV (RFC 4180).
pub(super) fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn as_json(opened: &Opened, forecasts: &[Forecast], future: Option<&Panel>) -> String {
    let notes = opened.table.panel.notes().iter();
    let notes = notes.map(|n| with_flags(&n.to_string()));
    let notes: Vec<String> = notes.chain(opened.unknown(future)).collect();
    let object = json!({"data": opened.table.name, "notes": notes, "forecasts": forecasts});
    format!("{object}\n")
}

/// The last rows of a series, and the forecast behind them with its first interval.
fn plot(opened: &Opened, forecast: &Forecast) -> ForecastPlot {
    let series = opened.table.panel.find(&forecast.id);
    let series = series.expect("it is one of the panel's");
    let n = forecast.names.len();
    let ahead = forecast.values.len() / n;
    let first = series.len() - series.len().min((4 * ahead).clamp(12, BEFORE));
    let known = first..series.len();
    let mut x_labels: Vec<String> = match series.labels() {
        Some(labels) => labels[known.clone()].to_vec(),
        None => known.clone().map(|row| row.to_string()).collect(),
    };
    x_labels.extend((0..ahead).map(|row| label(forecast, row)));
    let gap = |count: usize| std::iter::repeat_n(f64::NAN, count);
    let panel = |(c, name): (usize, &String)| {
        let column = series
            .names()
            .iter()
            .position(|s| s == name)
            .expect("it was read");
        let past = known.clone().map(|row| series.row(row)[column]);
        let values = (0..ahead).map(|row| forecast.values[row * n + c]);
        let ends = |row: usize| {
            let ends = forecast
                .intervals
                .first()
                .map(|i| (i.low[row * n + c], i.high[row * n + c]));
            match ends {
                Some((Some(low), Some(high))) => (low, high),
                _ => (f64::NAN, f64::NAN),
            }
        };
        let none = std::iter::repeat_n((f64::NAN, f64::NAN), known.len());
        ForecastPanel {
            name: name.clone(),
            unit: series.unit(column).map(str::to_owned),
            observed: past.chain(gap(ahead)).collect(),
            predicted: gap(known.len()).chain(values).collect(),
            band: none.chain((0..ahead).map(ends)).collect(),
        }
    };
    let of = match &*forecast.id {
        "" => opened.table.name.clone(),
        id => format!("{}, {}", opened.table.name, printable(id, LONGEST_NAME)),
    };
    let interval = forecast.intervals.first();
    let interval = interval.map(|i| format!(", with intervals of {} %", percent(i.level)));
    ForecastPlot {
        title: format!(
            "{} on {of}{}",
            opened.model.cell().name(),
            interval.unwrap_or_default()
        ),
        x_name: series
            .label_name()
            .filter(|l| !l.is_empty())
            .unwrap_or("row")
            .to_owned(),
        x_labels,
        panels: forecast.names.iter().enumerate().map(panel).collect(),
    }
}
