//! `retrograd compare`: several cells on the user's table, each with as many parameters and from several seeds.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use retrograd::CellText;
use retrograd::data::printable;
use retrograd::fit::Stopped;
use retrograd::forecast::{Backtest, BacktestReport, Examples, Model};
use retrograd_plot::{Figure, Range, RangePanel, RangePlot, Reference};
use retrograd_study::systems::nearest;
use serde_json::json;

use super::ahead::drawn;
use super::args::{DataSource, RoleArgs, TableArgs, TrainingArgs};
use super::choice::{Choice, Forecaster, SizeArgs, Widths};
use super::interrupt;
use super::labels::LabelArgs;
use super::predict::quoted;
use super::report::{LONGEST_NAME, note_lines, number};
use super::table::Table;
use super::train;
use super::values::whole;

/// Arguments of `retrograd compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    roles: RoleArgs,
    #[command(flatten)]
    labels: LabelArgs,
    /// Takes flags from a TOML file; those on the command line win.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
    /// The cells, separated by commas: names that `retrograd cells` lists, and cell files.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', default_value = "rnn,gru,lstm", value_parser = Choice::parse)]
    cells: Vec<Choice>,
    /// Parameters of each cell, as nearly as its size allows [default: those of the first cell with --hidden units]. A cell file
    /// without a dimension H stays as it is.
    #[arg(long, value_name = "N", value_parser = whole(1..=100_000_000))]
    parameters: Option<usize>,
    /// Runs of each cell, from --seed on.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole(1..=1000))]
    seeds: usize,
    #[command(flatten)]
    options: TrainingArgs,
}

impl Compare {
    /// Whether it names a table.
    pub(crate) fn has_table(&self) -> bool {
        self.table.path.is_some() || self.labels.manifest.is_some()
    }
}

/// A cell with its runs.
struct Compared {
    name: String,
    size: String,
    parameters: usize,
    runs: Vec<Run>,
}

/// A run.
struct Run {
    seed: u64,
    /// The mean absolute scaled error, mean over the columns that have one.
    mase: f64,
    /// The validation error at the end.
    error: f64,
    time: Duration,
}

/// Compares, writes pictures and numbers, and returns what is printed.
pub(super) fn run(args: &Compare) -> Result<String> {
    let options = &args.options;
    args.labels.check(&args.table, &args.roles, options)?;
    if args.labels.asked() {
        bail!(
            "cells are compared by their forecasts alone; train each on the labels with `retrograd train --label`, and the same --seed"
        );
    }
    let source = DataSource::File(Box::new(args.table.clone()));
    let table = Table::read(&source, &args.roles, options.rows)?;
    let options = &train::options(options, &table, &args.roles);
    let (training, validation) = table.split(options.validation)?;
    let columns = args.roles.of(&table.panel)?;
    let setup = train::setup(&table, &training, &args.roles, columns, options.steps)?;
    fs::create_dir_all(&options.out)
        .with_context(|| format!("{}: cannot be made", options.out.display()))?;
    interrupt::watch();
    let categories = setup.embeddings();
    let widths = train::widths(&setup, &categories);
    let of_first = || {
        Ok::<_, anyhow::Error>(
            sized(&args.cells[0], options, widths, None)?
                .cell
                .parameter_count(),
        )
    };
    let parameters = args.parameters.map_or_else(of_first, Ok)?;
    let (mut all, mut naive) = (Vec::new(), None);
    for choice in &args.cells {
        let forecaster = with_parameters(choice, options, widths, parameters)?;
        let setup = setup
            .clone()
            .ports(forecaster.ports())
            .head(forecaster.head.clone());
        let examples = Examples::new(&setup, &table.panel, &training, forecaster.once())?;
        let before =
            |part: &std::ops::Range<usize>| part.start.saturating_sub(setup.window())..part.end;
        let ranges: Vec<_> = validation.iter().map(before).collect();
        let ends = Examples::new(&setup, &table.panel, &ranges, forecaster.once())?;
        let mut runs = Vec::new();
        for k in 0..args.seeds as u64 {
            let seed = options.seed.wrapping_add(k);
            let options = TrainingArgs {
                seed,
                ..options.clone()
            };
            let mut trainer = train::trainer(&forecaster, &examples, &options)?;
            let measure =
                |trainer: &mut retrograd::Trainer| Ok(train::window_error(&ends, trainer)?);
            let trained = train::train(&mut trainer, &examples, &options, None, &measure)?;
            if trained.stopped == Stopped::Asked && interrupt::asked() {
                bail!("stopped; a comparison begins anew");
            }
            let model = Model::new(&trainer.checkpoint(), &setup)?;
            let report = model.backtest(
                &table.panel,
                &validation,
                &Backtest::new(setup.rows_ahead()),
            )?;
            runs.push(Run {
                seed,
                mase: mean(&report.mase),
                error: measure(&mut trainer)?,
                time: trained.time,
            });
            naive.get_or_insert(report);
        }
        all.push(Compared {
            name: choice_name(choice, &forecaster),
            size: forecaster.size.clone(),
            parameters: forecaster.cell.parameter_count(),
            runs,
        });
    }
    let naive = naive.context("there is nothing to compare")?;
    let files = write(args, &table, &all, &naive)?;
    Ok(match options.json {
        true => as_json(&table, &all, &naive, &files),
        false => text(&table, &all, &naive, &files),
    })
}

fn choice_name(choice: &Choice, forecaster: &Forecaster) -> String {
    match choice {
        Choice::Zoo(entry) => entry.name.to_owned(),
        Choice::File(_) => forecaster.name.clone(),
    }
}

/// A cell of so many units; None for its own.
fn sized(
    choice: &Choice,
    options: &TrainingArgs,
    widths: Widths,
    units: Option<usize>,
) -> Result<Forecaster> {
    let text = choice.text()?;
    let mut sizes = options.sizes.clone();
    if let (Some(units), Some(name)) = (units, dimension(choice, &text)) {
        sizes = match name {
            "H" => SizeArgs {
                hidden: Some(units),
                set: Vec::new(),
            },
            name => SizeArgs {
                hidden: None,
                set: vec![(name.to_owned(), units)],
            },
        };
    } else if dimension(choice, &text) != Some("H") {
        sizes.hidden = None;
    }
    choice.forecaster(widths, &sizes, &options.readout)
}

/// The dimension that counts a cell's units.
fn dimension(choice: &Choice, text: &CellText) -> Option<&'static str> {
    match choice {
        Choice::Zoo(entry) => Some(entry.units()),
        Choice::File(_) => text.dimensions().any(|d| d == "H").then_some("H"),
    }
}

/// A cell with as nearly as possible so many parameters.
fn with_parameters(
    choice: &Choice,
    options: &TrainingArgs,
    widths: Widths,
    parameters: usize,
) -> Result<Forecaster> {
    if dimension(choice, &choice.text()?).is_none() {
        return sized(choice, options, widths, None);
    }
    let count = |units| {
        Ok::<_, anyhow::Error>(
            sized(choice, options, widths, Some(units))?
                .cell
                .parameter_count(),
        )
    };
    let units = nearest(parameters, count)?;
    sized(choice, options, widths, Some(units))
}

fn mean(values: &[Option<f64>]) -> f64 {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    known.iter().sum::<f64>() / known.len() as f64
}

impl Compared {
    /// Least, mean and greatest of a number of its runs.
    fn spread(&self, of: impl Fn(&Run) -> f64) -> [f64; 3] {
        let values = || self.runs.iter().map(&of);
        let mean = values().sum::<f64>() / self.runs.len() as f64;
        let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        [
            values().fold(low, f64::min),
            mean,
            values().fold(high, f64::max),
        ]
    }
}

fn text(table: &Table, all: &[Compared], naive: &BacktestReport, files: &[PathBuf]) -> String {
    let notes = note_lines(table.panel.notes());
    let mut out = format!("{} cells on {}\n\n{notes}\n", all.len(), table.name);
    let header = [
        "cell",
        "parameters",
        "MASE",
        "least to greatest",
        "valid. error",
    ];
    let rows = all.iter().map(|c| {
        let [low, mean, high] = c.spread(|r| r.mase);
        vec![
            format!("{}, {}", printable(&c.name, LONGEST_NAME), c.size),
            c.parameters.to_string(),
            number(mean),
            format!("{} to {}", number(low), number(high)),
            number(c.spread(|r| r.error)[1]),
        ]
    });
    let of_naive = naive.scores[1..].iter().map(|s| {
        let none = String::new;
        vec![
            s.name.clone(),
            none(),
            number(mean(&s.mase)),
            none(),
            none(),
        ]
    });
    out += &drawn(
        header.map(str::to_owned).to_vec(),
        rows.chain(of_naive).collect(),
    );
    let _ = write!(
        out,
        "\n{} runs of each cell; MASE: mean absolute scaled error of {} rows ahead from {}\norigins, mean over the columns and runs; the validation error is squared, or\nthat of the distribution, in standardised units.\n\n",
        all[0].runs.len(),
        naive.horizon,
        naive.origins
    );
    let mut heading = "written";
    for path in files {
        let _ = writeln!(out, "{heading:<16} {}", path.display());
        heading = "";
    }
    out
}

fn as_json(table: &Table, all: &[Compared], naive: &BacktestReport, files: &[PathBuf]) -> String {
    let cells = all.iter().map(|c| {
        let runs = c.runs.iter().map(|r| {
            json!({"seed": r.seed, "mase": r.mase, "validation_error": r.error, "seconds": r.time.as_secs_f64()})
        });
        json!({"cell": c.name, "size": c.size, "parameters": c.parameters, "mase": c.spread(|r| r.mase)[1], "runs": runs.collect::<Vec<_>>()})
    });
    let naive_scores = naive.scores[1..].iter();
    let naive_scores = naive_scores.map(|s| (s.name.clone(), json!(mean(&s.mase))));
    let object = json!({
        "data": table.name,
        "horizon": naive.horizon,
        "origins": naive.origins,
        "cells": cells.collect::<Vec<_>>(),
        "naive": naive_scores.collect::<serde_json::Map<_, _>>(),
        "files": files,
    });
    format!("{object}\n")
}

/// Writes the picture and the numbers of all runs, and returns their paths.
fn write(
    args: &Compare,
    table: &Table,
    all: &[Compared],
    naive: &BacktestReport,
) -> Result<Vec<PathBuf>> {
    let ranges = all.iter().enumerate().map(|(kind, c)| {
        let [low, middle, high] = c.spread(|r| r.mase);
        Range {
            name: printable(&c.name, LONGEST_NAME),
            kind,
            low,
            middle,
            high,
        }
    });
    let reference = naive.scores.last().map(|s| Reference {
        name: s.name.clone(),
        loss: mean(&s.mase),
    });
    let panel = RangePanel {
        title: format!("{} runs of each cell", args.seeds),
        x_name: "mean absolute scaled error: mean, least and greatest".to_owned(),
        ranges: ranges.collect(),
        reference: reference.filter(|r| r.loss.is_finite()),
    };
    let figure = Figure::Ranges(RangePlot {
        title: format!("Forecasts of {}", table.name),
        panels: vec![panel],
    });
    let paths = ["compare.png", "compare.svg", "compare.csv"].map(|f| args.options.out.join(f));
    figure.write_png(&paths[0])?;
    let mut csv = "cell,parameters,seed,mase,validation_error,seconds\n".to_owned();
    for c in all {
        for r in &c.runs {
            let cells = [r.mase, r.error, r.time.as_secs_f64()].map(|x| x.to_string());
            let name = quoted(&c.name);
            let _ = writeln!(
                csv,
                "{name},{},{},{}",
                c.parameters,
                r.seed,
                cells.join(",")
            );
        }
    }
    for (path, text) in [(&paths[1], figure.svg()?), (&paths[2], csv)] {
        retrograd::files::replace(path, "tmp", |beside| fs::write(beside, text))
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(paths.to_vec())
}
