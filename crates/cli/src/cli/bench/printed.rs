//! Results as a table and as bars.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table};
use retrograd::Precision;
use retrograd_measure::{Change, Comparison, Difference, Measured, MeasuredEngine};
use retrograd_plot::{Bar, BarPanel, BarPlot, Figure};

use super::{Line, Results};

/// The results as text.
pub(super) fn table(results: &Results, baseline: Option<&Path>) -> String {
    let mut out = String::new();
    if let Some(line) = results.measurements.first() {
        let m = &line.measured;
        let loss = match m.own_loss {
            true => "its own loss",
            false => "loss Σ y·gy of its outputs, for given gy",
        };
        let threads = match m.threads {
            1 => "1 thread".to_owned(),
            n => format!("{n} threads"),
        };
        let products = products(m);
        let _ = writeln!(
            out,
            "{}: a training step in f32{products} (forward, {loss}, gradients of all parameters; no optimiser)\n\
             {threads}, {}, peak {:.1} GFLOP/s\n",
            m.cell, m.isa, m.peak_gflops
        );
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "",
        "",
        "min",
        "quartiles",
        "row·step",
        "GFLOP/s",
        "of peak",
        "compiling",
        "memory",
    ]);
    for line in &results.measurements {
        let m = &line.measured;
        for (name, engine) in [("compiled", &m.compiled), ("interpreted", &m.interpreted)] {
            let shape = if name == "compiled" {
                title(m)
            } else {
                String::new()
            };
            table.add_row(row(shape, name, engine));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(out, "{}\n", table.trim_fmt());
    for line in &results.measurements {
        let m = &line.measured;
        let _ = write!(
            out,
            "{}: {:.2} times as fast as the interpreted tape",
            title(m),
            m.speedup
        );
        if let Some(predicted) = m.predicted_ms {
            let share = m.flops / predicted / 1e6 / m.peak_gflops;
            let on = if m.threads > 1 { " on one thread" } else { "" };
            let _ = write!(out, "; predicted {}{on}", ms(predicted));
            if m.flops > 0.0 && m.threads == 1 {
                let _ = write!(out, ", {:.0} % of the peak", 100.0 * share);
            }
        }
        let _ = writeln!(out);
        if let (Some(baseline), Some(path)) = (&line.baseline, baseline) {
            let _ = writeln!(out, "  {}", compared(baseline, path));
        }
    }
    out
}

/// What compiled products multiply, if it is not what the step is in.
fn products(m: &Measured) -> &'static str {
    match m.precision {
        Precision::Full => "",
        Precision::Bf16 => ", with bfloat16 operands in compiled products",
    }
}

fn row(shape: String, name: &str, engine: &MeasuredEngine) -> [String; 9] {
    let times = engine.times;
    let rate = engine.gflops.map(|g| format!("{g:.1}"));
    let share = engine.peak_share.map(|s| format!("{:.0} %", 100.0 * s));
    [
        shape,
        name.to_owned(),
        ms(times.min_ms),
        format!(
            "{} … {} … {}",
            ms(times.q1_ms),
            ms(times.median_ms),
            ms(times.q3_ms)
        ),
        ms(engine.us_per_row_step / 1e3),
        rate.unwrap_or_else(|| "-".to_owned()),
        share.unwrap_or_else(|| "-".to_owned()),
        ms(engine.compile_ms),
        format!("{:.1} MiB", engine.workspace_mb),
    ]
}

/// The shape: `H=128 B=32 T=100`.
fn title(m: &Measured) -> String {
    let sizes = m.sizes.iter().map(|(name, n)| format!("{name}={n} "));
    format!("{}B={} T={}", sizes.collect::<String>(), m.rows, m.steps)
}

/// A time with three digits and a unit.
fn ms(ms: f64) -> String {
    let (number, unit) = match ms {
        ms if ms >= 1e3 => (ms / 1e3, "s"),
        ms if ms >= 1.0 => (ms, "ms"),
        ms if ms >= 1e-3 => (ms * 1e3, "µs"),
        ms => (ms * 1e6, "ns"),
    };
    match number {
        n if n >= 100.0 => format!("{n:.0} {unit}"),
        n if n >= 10.0 => format!("{n:.1} {unit}"),
        n => format!("{n:.2} {unit}"),
    }
}

/// What has changed.
fn compared(with: &Comparison, path: &Path) -> String {
    let percent = |ratio: f64| format!("{:+.1} %", 100.0 * (ratio - 1.0));
    let said = |what: &str, d: &Difference| {
        let range = format!("{} … {}", percent(d.low), percent(d.high));
        match d.change {
            Change::Faster => format!("{what} is faster: time {} ({range})", percent(d.ratio)),
            Change::Slower => format!("{what} is slower: time {} ({range})", percent(d.ratio)),
            Change::NotMeasurable => {
                format!("{what}: no difference measurable ({range})")
            }
        }
    };
    format!(
        "against {}: {}; {}; the machine's peak {}",
        path.display(),
        said("compiled code", &with.compiled),
        said("the tape", &with.interpreted),
        percent(with.peak)
    )
}

/// Draws the results.
pub(super) fn plot(results: &Results, path: &Path) -> Result<()> {
    let panels = results.measurements.iter().map(panel).collect();
    let title = results.measurements.first().map(|l| {
        let products = products(&l.measured);
        format!("{}: a training step in f32{products}", l.measured.cell)
    });
    let figure = Figure::Bars(BarPlot {
        title: title.unwrap_or_default(),
        panels,
    });
    match path.extension().and_then(|e| e.to_str()) {
        Some("png") => figure.write_png(path)?,
        _ => {
            let svg = figure.svg()?;
            fs::write(path, svg)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    Ok(())
}

fn panel(line: &Line) -> BarPanel {
    let m = &line.measured;
    let bar = |name: &str, kind: usize, engine: &MeasuredEngine| {
        let rate = engine.gflops.map(|g| format!(", {g:.1} GFLOP/s"));
        let share = engine
            .peak_share
            .map(|s| format!(", {:.0} % of peak", 100.0 * s));
        Bar {
            name: name.to_owned(),
            kind,
            value: engine.times.min_ms,
            range: Some((engine.times.q1_ms, engine.times.q3_ms)),
            note: [Some(ms(engine.times.min_ms)), rate, share]
                .into_iter()
                .flatten()
                .collect(),
        }
    };
    let predicted = m.predicted_ms.map(|predicted| Bar {
        name: "predicted".to_owned(),
        kind: 3,
        value: predicted,
        range: None,
        note: ms(predicted),
    });
    let mut bars = vec![bar("compiled", 1, &m.compiled)];
    bars.extend(predicted);
    bars.push(bar("interpreted", 6, &m.interpreted));
    BarPanel {
        title: title(m),
        x_name: "milliseconds: the least, and the quartiles of all".to_owned(),
        bars,
    }
}
