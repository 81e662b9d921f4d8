//! The results, as text for people and as JSON for programs.

use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::presets::{NOTHING, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use retrograd::data::{Note, printable};
use retrograd::{Engine, zoo};
use retrograd_explain::Drawing;
use retrograd_graph::Graph;
use retrograd_study::baseline::Scores;
use serde_json::json;

use super::args::with_flags;
use super::choice::{SizeArgs, size_of_dimension};
use super::run::TrainingResults;
use super::train::Trained;

/// The width of tables in columns of a terminal.
pub(super) const WIDTH: u16 = 80;

/// The width of the column of cells' names.
const NAMES: u16 = 22;

/// Characters of a label or of a column's name.
pub(super) const LONGEST_NAME: usize = 32;

/// Characters of a note.
const LONGEST_NOTE: usize = 400;

/// The list of cells, by groups: what each is, and what it is for.
pub(super) fn cells() -> String {
    let mut out = String::new();
    for (group, cells) in zoo::groups() {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH);
        for cell in cells {
            let number = cell.number.map(|n| format!(" ({n})")).unwrap_or_default();
            table.add_row([
                format!("{}{number}", cell.name),
                format!("{}\n— {}", cell.description, cell.purpose),
            ]);
        }
        if let Some(names) = table.column_mut(0) {
            names.set_constraint(ColumnConstraint::Absolute(Width::Fixed(NAMES)));
        }
        let rows = table.to_string();
        let rows = rows.lines().map(|l| format!("{}\n", l.trim_end()));
        let _ = writeln!(out, "{group}\n{}", rows.collect::<String>());
    }
    out + "`retrograd cells show NAME` prints a cell, its paper and its equations.\n"
}

/// One cell of the zoo as a file to begin with: its text below comments that say what it is, and its parameters at these sizes.
/// A drawing of its step is written to `svg`.
///
/// # Errors
/// Sizes that it does not have, a file that cannot be written.
pub(super) fn cell(entry: &zoo::Entry, sizes: &SizeArgs, svg: Option<&Path>) -> Result<String> {
    let text = entry.parsed()?;
    let cell = text.cell(&sizes.of(&text)?)?;
    if let Some(path) = svg {
        let drawing = Drawing::of(&Graph::from_tape(cell.tape())).titled(entry.name.to_owned());
        fs::write(path, drawing.svg())
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let number = entry.number.map(|n| format!(" ({n})")).unwrap_or_default();
    let mut out = format!(
        "{}{number}: {}
for {}
{}
group: {}

",
        entry.name, entry.description, entry.purpose, entry.reference, entry.group
    );
    let dims = text.dimensions().filter_map(|d| {
        let set = sizes.of(&text).ok()?;
        Some(format!("{d}={}", size_of_dimension(&text, &set, d)?))
    });
    let dims: Vec<String> = dims.collect();
    let count = cell.parameter_count();
    let _ = writeln!(
        out,
        "{count} numbers in its parameters at {}:",
        dims.join(", ")
    );
    for p in cell.parameter_specs() {
        let _ = writeln!(out, "  {:<20} {}", p.name, p.shape);
    }
    let comments = out.lines().map(|line| match line {
        "" => "#\n".to_owned(),
        line => format!("# {line}\n"),
    });
    Ok(comments.collect::<String>() + entry.text)
}

/// The results as one JSON object on one line.
pub(super) fn json(r: &TrainingResults) -> String {
    let columns = r.data.series.names().iter().enumerate().map(|(k, name)| {
        let forecasts = r.scores.iter().enumerate().map(|(at, s)| {
            let key = if at == 0 { "model" } else { &s.name };
            let errors = json!({"rmse": s.rmse_per_column[k], "mse": s.mse_per_column[k]});
            (key.to_owned(), errors)
        });
        let forecasts: serde_json::Map<_, _> = forecasts.collect();
        json!({"name": name, "unit": r.data.series.unit(k), "errors": forecasts})
    });
    let object = json!({
        "cell": r.forecaster.name,
        "engine": r.options.engine.name(),
        "data": r.data.name,
        "rows": r.data.series.len(),
        "training_rows": r.data.training.len(),
        "validation_rows": r.data.validation.len(),
        "columns": columns.collect::<Vec<_>>(),
        "hidden": r.forecaster.hidden,
        "parameters": r.forecaster.cell.parameter_count(),
        "epochs": r.options.epochs,
        "steps": r.steps,
        "batch": r.batch,
        "learning_rate": r.options.learning_rate,
        "dropout": r.forecaster.dropout,
        "seed": r.options.seed,
        "threads": r.options.threads,
        "training_steps": r.trained.losses.len(),
        "first_loss": r.trained.losses.first(),
        "last_loss": r.trained.losses.last(),
        "val_mse": r.scores[0].mse,
        "baseline_persistence_mse": r.scores[1].mse,
        "baseline_mean_mse": r.scores[2].mse,
        "baseline_ar7_mse": r.scores[3].mse,
        "compile_ms": milliseconds(r.compile),
        "step_ms_jit": milliseconds(r.timing.jit),
        "step_ms_tape": milliseconds(r.timing.tape),
        "training_seconds": r.trained.time.as_secs_f64(),
        "examples_per_second": rate(&r.trained, r.batch),
        "notes": r.data.series.notes().iter().map(|n| with_flags(&n.to_string())).collect::<Vec<_>>(),
        "plots": r.plots,
        "model": r.model,
    });
    format!("{object}\n")
}

/// The results for a person.
pub(super) fn text(r: &TrainingResults) -> String {
    let mut out = String::new();
    let (data, options) = (&r.data, &r.options);
    let label = |row: usize| match data.series.labels() {
        Some(labels) => printable(&labels[row], LONGEST_NAME),
        None => format!("row {row}"),
    };
    let part = |rows: &Range<usize>| {
        let (first, last) = (label(rows.start), label(rows.end - 1));
        format!("{} rows, {first} to {last}", rows.len())
    };
    let _ = write!(
        out,
        "{title}\n\n{}\
         training part    {}\n\
         validation part  {}\n\
         model            {}, {} parameters, seed {}\n\
         training         {} steps ({} epochs) of {} windows of {} rows\n                 \
         {} in {:.1} s, {:.0} examples (windows) a second\n\n\
         {}\n\n",
        note_lines(r.data.series.notes()),
        part(&data.training),
        part(&data.validation),
        r.forecaster.size,
        r.forecaster.cell.parameter_count(),
        options.seed,
        r.trained.losses.len(),
        options.epochs,
        r.batch,
        r.steps,
        engine(options.engine),
        r.trained.time.as_secs_f64(),
        rate(&r.trained, r.batch),
        choice(r),
        title = r.title(),
    );
    out.push_str(&errors(r));
    let (jit, tape) = (r.timing.jit, r.timing.tape);
    let _ = write!(
        out,
        "\ncompile time     {:.1} ms, training and forecasting programs\n\
         training step    {:.3} ms compiled, {:.3} ms interpreted: {:.1} times as fast\n                 \
         ({} windows of {} rows, fastest of several)\n",
        milliseconds(r.compile),
        milliseconds(jit),
        milliseconds(tape),
        tape.as_secs_f64() / jit.as_secs_f64(),
        r.batch,
        r.steps,
    );
    let mut heading = "plots";
    for path in &r.plots {
        let _ = writeln!(out, "{heading:<16} {}", path.display());
        heading = "";
    }
    let names = r.data.series.names().iter().map(String::as_str);
    out.push_str(&undrawn(names.chain([r.data.name.as_str()])));
    let _ = writeln!(out, "{:<16} {}", "model", r.model.display());
    out
}

/// A line about characters of names that a PNG shows as �; empty if all are drawn.
pub(super) fn undrawn<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let mut lacking: Vec<char> = Vec::new();
    for text in texts {
        for c in retrograd_plot::undrawable(text) {
            if !lacking.contains(&c) {
                lacking.push(c);
            }
        }
    }
    if lacking.is_empty() {
        return String::new();
    }
    let first: String = lacking.iter().take(SHOWN).collect();
    let more = if lacking.len() > SHOWN { " …" } else { "" };
    format!(
        "{:<16} no installed font draws {first}{more}: a PNG shows \u{fffd}, an SVG what its reader has\n",
        ""
    )
}

/// Guesses made when data were read, one per line.
pub(super) fn note_lines(notes: &[Note]) -> String {
    let notes = notes.iter().enumerate();
    let lines = notes.map(|(k, note)| {
        let heading = if k == 0 { "data" } else { "" };
        format!(
            "{heading:<16} {}\n",
            printable(&with_flags(&note.to_string()), LONGEST_NOTE)
        )
    });
    lines.collect()
}

/// How the model was chosen, which a reader of validation errors must know.
fn choice(r: &TrainingResults) -> &'static str {
    match (r.options.patience, r.data.embedded) {
        (Some(1..), _) => {
            "The model is that of the epoch with the least validation error, which is thus\n\
             somewhat too good."
        }
        (None | Some(0), true) => {
            "The default settings were chosen on the training part alone: `retrograd --rows\n\
             1169` reads nothing else. The model is that of the last epoch; nothing was\n\
             chosen by the validation part."
        }
        (None | Some(0), false) => {
            "The model is that of the last epoch; nothing was chosen by the validation part."
        }
    }
}

/// The table of validation errors, and the number of columns won and lost.
fn errors(r: &TrainingResults) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    let names = r.scores.iter().map(|s| s.name.clone());
    table.set_header(std::iter::once("validation error".to_owned()).chain(names));
    let series = &r.data.series;
    for (k, name) in series.names().iter().enumerate() {
        let unit = series.unit(k).map_or(String::new(), |u| format!(", {u}"));
        let name = printable(name, LONGEST_NAME);
        table.add_row(row(&format!("{name}: RMSE{unit}"), &r.scores, |s| {
            s.rmse_per_column[k]
        }));
        table.add_row(row("  standardised MSE", &r.scores, |s| {
            s.mse_per_column[k]
        }));
    }
    table.add_row(row("all: standardised MSE", &r.scores, |s| s.mse));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = without_rules_inside(&table);
    out.push_str(
        "\n* least error of the row. Standardised: over the training part's variance.\n\
         persistence: as the row before; mean: of the training part; ar7: autoregression\n\
         on the last 7 rows, by least squares.\n\n",
    );
    let model = &r.scores[0];
    for scores in &r.scores[1..] {
        let pairs = || model.mse_per_column.iter().zip(&scores.mse_per_column);
        let (won, lost) = (
            pairs().filter(|(m, b)| m < b).count(),
            pairs().filter(|(m, b)| m > b).count(),
        );
        let verdict = match model.mse.total_cmp(&scores.mse) {
            std::cmp::Ordering::Less => "beats",
            std::cmp::Ordering::Equal => "equals",
            std::cmp::Ordering::Greater => "loses to",
        };
        let _ = writeln!(
            out,
            "{} {verdict} {}: {:.3} to {:.3}; {won} columns won, {lost} lost",
            model.name, scores.name, model.mse, scores.mse
        );
    }
    out
}

/// One row of numbers, the least marked.
fn row(name: &str, scores: &[Scores], value: impl Fn(&Scores) -> f64) -> Vec<String> {
    let least = scores.iter().map(&value).fold(f64::INFINITY, f64::min);
    let cells = scores.iter().map(|s| {
        let mark = if value(s) == least { '*' } else { ' ' };
        format!("{}{mark}", number(value(s)))
    });
    std::iter::once(name.to_owned()).chain(cells).collect()
}

/// Three decimals, or three significant digits for very small and large numbers.
pub(super) fn number(x: f64) -> String {
    match x.abs() {
        0.0 | 0.01..1e5 => format!("{x:.3}"),
        _ => format!("{x:.2e}"),
    }
}

/// The table's lines without the rules between rows.
pub(super) fn without_rules_inside(table: &Table) -> String {
    let text = table.trim_fmt();
    let lines: Vec<&str> = text.lines().collect();
    let rule = |line: &str| line.chars().all(|c| c == '─');
    let last = lines.len() - 1;
    let kept = lines.iter().enumerate();
    let kept = kept.filter(|(at, line)| *at == 0 || *at == last || !rule(line));
    kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n")
}

fn engine(engine: Engine) -> &'static str {
    match engine {
        Engine::Jit => "compiled,",
        Engine::Tape => "interpreted,",
    }
}

/// Windows per second.
pub(super) fn rate(trained: &Trained, batch: usize) -> f64 {
    match trained.timed {
        0 => 0.0,
        steps => (steps * batch) as f64 / trained.time.as_secs_f64(),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
