//! The results of a training that forecasts several rows, several series, or some columns only; and the table of a backtest.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table as Drawn};
use retrograd::data::printable;
use retrograd::forecast::{BacktestReport, Difference, Head, Scaling, Score};
use retrograd_plot::{ForecastPanel, ForecastPlot, LossPlot};
use serde_json::{Value, json};

use super::args::TrainingArgs;
use super::report::{LONGEST_NAME, WIDTH, note_lines, number, rate, undrawn, without_rules_inside};
use super::run::AheadResults;
use super::table::Table;
use super::train::Trained;

/// Rows of a column's table.
const HORIZONS: usize = 8;
/// Rows of a plot.
const PLOTTED: usize = 120;

/// A table without lines between its rows, numbers to the right.
pub(super) fn drawn(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let mut table = Drawn::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    without_rules_inside(&table)
}

/// A backtest for a person.
pub(super) fn backtest(report: &BacktestReport) -> String {
    let n = report.names.len();
    let mut header = vec!["mean absolute error".to_owned()];
    header.extend(report.scores.iter().map(|s| s.name.clone()));
    let step = report.horizon.div_ceil(HORIZONS);
    let mut rows = Vec::new();
    for (c, name) in report.names.iter().enumerate() {
        let name = printable(name, LONGEST_NAME);
        let shown = (1..=report.horizon).filter(|h| *h == 1 || h.is_multiple_of(step));
        for ahead in shown {
            let rows_ahead = if ahead == 1 { "row" } else { "rows" };
            let of = |s: &Score| s.mae[(ahead - 1) * n + c];
            rows.push(marked(
                format!("{name}: {ahead} {rows_ahead} ahead"),
                report,
                of,
            ));
        }
        let scaled = |s: &Score| s.mase[c].unwrap_or(f64::NAN);
        rows.push(marked("  all: MASE".to_owned(), report, scaled));
    }
    let mut out = drawn(header, rows);
    let season = match report.season {
        1 => "the row before".to_owned(),
        n => format!("{n} rows before"),
    };
    let _ = write!(
        out,
        "\n* least error of the row; {} origins. persistence: as the last row{}.\nMASE: over the mean error of forecasting each row as {season}, in the rows\nbefore the first origin.\n",
        report.origins,
        match report.season {
            1 => String::new(),
            n => format!(";\nseasonal: as {n} rows before"),
        },
    );
    for (level, share) in &report.coverage {
        let _ = match share {
            Some(share) => writeln!(
                out,
                "{:.0} % intervals held {:.1} % of what came",
                100.0 * level,
                100.0 * share
            ),
            None => writeln!(
                out,
                "{:.0} % intervals: too few origins to know them",
                100.0 * level
            ),
        };
    }
    out
}

fn marked(name: String, report: &BacktestReport, of: impl Fn(&Score) -> f64) -> Vec<String> {
    let values: Vec<f64> = report.scores.iter().map(of).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let cells = values.iter().map(|v| match v.is_nan() {
        true => "none ".to_owned(),
        false => format!("{}{}", number(*v), if *v == least { '*' } else { ' ' }),
    });
    std::iter::once(name).chain(cells).collect()
}

/// A backtest for a program.
pub(super) fn backtest_json(report: &BacktestReport) -> Value {
    json!({
        "columns": report.names,
        "horizon": report.horizon,
        "season": report.season,
        "origins": report.origins,
        "scores": report.scores,
        "mase": report.mase,
        "coverage": report.coverage.iter().map(|(level, share)| json!({"level": level, "share": share})).collect::<Vec<_>>(),
    })
}

/// The results for a person.
pub(super) fn text(r: &AheadResults) -> String {
    let columns = r.setup.columns();
    let mut out = format!(
        "{} on {}\n\n{}",
        r.forecaster.name,
        r.name,
        note_lines(&r.notes)
    );
    let list = |names: &[String]| {
        let names: Vec<String> = names.iter().map(|n| printable(n, LONGEST_NAME)).collect();
        names.join(", ")
    };
    let mut line = |heading: &str, what: &str| {
        let _ = writeln!(out, "{heading:<16} {what}");
    };
    line("forecast", &list(&columns.targets));
    for (heading, names) in [
        ("observed", &columns.observed),
        ("known ahead", &columns.known),
        ("static", &columns.statics),
    ] {
        if !names.is_empty() {
            line(heading, &list(names));
        }
    }
    if r.series > 1 {
        line("series", &r.series.to_string());
    }
    if !r.left_out.is_empty() {
        let first: Vec<String> = r.left_out.iter().take(10).cloned().collect();
        let more = r.left_out.len() - first.len();
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        line(
            "not trained on",
            &format!("{}{rest}: too short for a window", list(&first)),
        );
    }
    let scale = match r.setup.scale_per() {
        Scaling::Window => "of each window",
        Scaling::Series if r.series > 1 => "of each series",
        _ => "of each column",
    };
    let read = match r.setup.differences() {
        Difference::Season(rows) => format!("differences from {rows} rows before"),
        Difference::Row => "differences from the last row".to_owned(),
        _ => "numbers".to_owned(),
    };
    line("scaled", &format!("{read}, by the deviation {scale}"));
    line("training part", &format!("{} rows", r.training_rows));
    line("validation part", &format!("{} rows", r.validation_rows));
    let at_once = match r.setup.rows_ahead() {
        1 => "one row at a time".to_owned(),
        n => format!("{n} rows at once"),
    };
    let _ = write!(
        out,
        "model            {}, {} parameters, seed {}; {at_once}\n\
         training         {} steps of {} windows of {} rows, {:.1} s, {:.0} examples a second\n\n",
        r.forecaster.size,
        r.forecaster.cell.parameter_count(),
        r.options.seed,
        r.trained.losses.len(),
        r.batch,
        r.setup.window(),
        r.trained.time.as_secs_f64(),
        rate(&r.trained, r.batch),
    );
    if r.options.patience.is_some_and(|n| n > 0) {
        out.push_str(
            "The model is that of the epoch with the least validation error, which is thus\n\
             somewhat too good; `retrograd backtest --retrain` is not.\n\n",
        );
    }
    out.push_str(&backtest(&r.report));
    out.push('\n');
    let mut heading = "plots";
    for path in &r.plots {
        let _ = writeln!(out, "{heading:<16} {}", path.display());
        heading = "";
    }
    let names = r.report.names.iter().chain([&r.name]);
    out.push_str(&undrawn(names.map(String::as_str)));
    let shown = r.model.display();
    let ahead = match columns.known.is_empty() {
        true => String::new(),
        false => " --future FILE.csv".to_owned(),
    };
    let _ = writeln!(
        out,
        "{:<16} {shown}\n\nretrograd predict {shown}{ahead}",
        "model"
    );
    out
}

/// The results for a program.
pub(super) fn json(r: &AheadResults) -> String {
    let columns = r.setup.columns();
    let notes = r
        .notes
        .iter()
        .map(|n| super::args::with_flags(&n.to_string()));
    let object = json!({
        "cell": r.forecaster.name,
        "data": r.name,
        "series": r.series,
        "left_out": r.left_out,
        "training_rows": r.training_rows,
        "validation_rows": r.validation_rows,
        "targets": columns.targets,
        "observed": columns.observed,
        "known": columns.known,
        "static": columns.statics,
        "horizon": r.setup.rows_ahead(),
        "scale": r.setup.scale_per().name(),
        "difference": r.setup.differences().to_string(),
        "parameters": r.forecaster.cell.parameter_count(),
        "epochs": r.options.epochs,
        "steps": r.setup.window(),
        "batch": r.batch,
        "seed": r.options.seed,
        "training_steps": r.trained.losses.len(),
        "first_loss": r.trained.losses.first(),
        "last_loss": r.trained.losses.last(),
        "validation_error": r.trained.validation.last().map(|v| v.1),
        "training_seconds": r.trained.time.as_secs_f64(),
        "examples_per_second": rate(&r.trained, r.batch),
        "backtest": backtest_json(&r.report),
        "notes": notes.collect::<Vec<_>>(),
        "plots": r.plots,
        "model": r.model,
    });
    format!("{object}\n")
}

/// Writes the pictures of a training, and returns their paths.
pub(super) fn plots(
    cell: &str,
    table: &Table,
    report: &BacktestReport,
    trained: &Trained,
    options: &TrainingArgs,
) -> Result<Vec<PathBuf>> {
    let loss_name = match (options.readout.loss, options.readout.head()) {
        (None, _) => "loss; validation: mean squared error (standardised units)".to_owned(),
        (Some(loss), Head::Point) => format!("training: {loss}; validation: mean squared error"),
        (Some(loss), _) => format!("{loss} (standardised units)"),
    };
    let loss = LossPlot {
        title: format!("{cell} on {}: loss by training step", table.name),
        loss_name,
        training: trained.losses.clone(),
        validation: trained.validation.clone(),
        references: Vec::new(),
    };
    let path = |file: &str| options.out.join(file);
    let paths = ["loss.png", "loss.svg", "forecast.png", "forecast.svg"].map(path);
    loss.write_png(&paths[0])?;
    loss.write_svg(&paths[1])?;
    let title = format!("{cell} on {}", table.name);
    let forecast = backtest_plot(&title, table, report);
    forecast.write_png(&paths[2])?;
    forecast.write_svg(&paths[3])?;
    Ok(paths.to_vec())
}

/// What was forecast the fewest rows ahead for each row of the first series, and what it was.
pub(super) fn backtest_plot(title: &str, table: &Table, report: &BacktestReport) -> ForecastPlot {
    let labels = table.panel.series()[0].label_name();
    let first = report.folds.first().map_or("", |f| f.id.as_str());
    let mut rows: Vec<&str> = Vec::new();
    let own = report.folds.iter().filter(|f| f.id == first);
    for fold in own.clone() {
        if !rows.contains(&fold.row.as_str()) {
            rows.push(&fold.row);
        }
    }
    // Folds come by origin, and their rows with them.
    let rows = rows.split_off(rows.len().saturating_sub(PLOTTED));
    let panel = |name: &String| {
        let of_row = |row: &&str| {
            let all = own.clone().filter(|f| f.row == *row && f.column == *name);
            all.min_by_key(|f| f.ahead)
        };
        let folds: Vec<_> = rows.iter().map(of_row).collect();
        ForecastPanel {
            name: name.clone(),
            unit: None,
            observed: folds
                .iter()
                .map(|f| f.and_then(|f| f.observed).unwrap_or(f64::NAN))
                .collect(),
            predicted: folds
                .iter()
                .map(|f| f.map_or(f64::NAN, |f| f.forecast))
                .collect(),
            band: Vec::new(),
        }
    };
    let of = match first {
        "" => String::new(),
        id => format!(" ({})", printable(id, LONGEST_NAME)),
    };
    ForecastPlot {
        title: format!("{title}{of}: each row from the last origin before it"),
        x_name: labels.filter(|l| !l.is_empty()).unwrap_or("row").to_owned(),
        x_labels: rows.iter().map(|r| (*r).to_owned()).collect(),
        panels: report.names.iter().map(panel).collect(),
    }
}
