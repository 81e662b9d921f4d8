//! `retrograd bench`: a training step of a cell, compiled and interpreted, and against last time.

mod printed;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use retrograd::Precision;
use retrograd_measure::{Bench, Comparison, Measured, Setting};
use serde::{Deserialize, Serialize};

use super::choice::{Choice, SizeArgs};
use super::values::{between, whole};
use shape::Shape;

/// Arguments of `retrograd bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// The recurrent cell: a name that `retrograd cells` lists, or a cell file.
    #[arg(long, value_name = "NAME|FILE.cell", value_parser = Choice::parse)]
    cell: Choice,
    #[command(flatten)]
    sizes: SizeArgs,
    /// Shapes, separated by commas: rows x steps (32x100) with the sizes of the file, or units x rows x steps (128x32x100), where
    /// units are every size that the file gives as a number and --set does not.
    #[arg(
        long,
        value_name = "[Hx]BxT",
        value_delimiter = ',',
        default_value = "32x100"
    )]
    shapes: Vec<Shape>,
    /// Threads of compiled code; the interpreted tape has one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1..=1024))]
    threads: usize,
    /// What compiled products with weights multiply: numbers of `f32`, or of `bf16` (8 significant bits).
    #[arg(long, value_name = "f32|bf16", default_value_t = Precision::Full)]
    precision: Precision,
    /// Seconds for each engine and shape, in rounds that take turns.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.5, value_parser = between(0.0, 1e5))]
    secs: f64,
    /// Results of an earlier run (its --save), to be compared with: whether each time is less or more than then, beyond the noise.
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Writes the results to a file, for a later --baseline.
    #[arg(long, value_name = "FILE.json")]
    save: Option<PathBuf>,
    /// Draws the results as bars: an SVG or a PNG, by the name's ending.
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = picture)]
    plot: Option<PathBuf>,
    /// Prints the results as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The results of a run; what `--save` and `--json` write.
#[derive(Debug, Serialize, Deserialize)]
struct Results {
    measurements: Vec<Line>,
}

/// A shape.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    measured: Measured,
    /// Against the baseline, if it has the same shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    baseline: Option<Comparison>,
}

/// The largest file of results.
const MOST: u64 = 64 << 20;

/// Measures, and returns what is printed.
///
/// # Errors
/// A cell that cannot be read, compiled or trained; shapes that are too large; files that cannot be read or written.
pub(super) fn run(args: &BenchArgs) -> Result<String> {
    let before = args.baseline.as_deref().map(read).transpose()?;
    let text = args.cell.text()?;
    let set = args.sizes.of(&text)?;
    let mut cells = Vec::new();
    // A mistake is told before anything is measured.
    for shape in &args.shapes {
        let sizes = shape.sizes(&text, &set)?;
        cells.push((shape, text.cell(&sizes)?, sizes));
    }
    let bench = Bench::new(Setting {
        threads: args.threads,
        secs: args.secs,
        precision: args.precision,
    });
    let mut measurements = Vec::new();
    for (shape, cell, sizes) in &cells {
        let measured = bench
            .measure(cell, sizes, shape.extent())
            .with_context(|| shape.to_string())?;
        let earlier = before.as_ref().and_then(|before| {
            let lines = before.measurements.iter().map(|line| &line.measured);
            lines.rev().find(|then| measured.is_of(then))
        });
        let baseline = earlier.map(|then| measured.against(then)).transpose()?;
        measurements.push(Line { measured, baseline });
    }
    if let (Some(path), true) = (
        &args.baseline,
        measurements.iter().all(|l| l.baseline.is_none()),
    ) {
        bail!(
            "{} has none of these measurements: a cell of the same name, sizes, shape, threads and precision",
            path.display()
        );
    }
    let results = Results { measurements };
    let json = || serde_json::to_string_pretty(&results).map(|json| json + "\n");
    if let Some(path) = &args.save {
        fs::write(path, json()?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if let Some(path) = &args.plot {
        printed::plot(&results, path)?;
    }
    match args.json {
        true => Ok(json()?),
        false => Ok(printed::table(&results, args.baseline.as_deref())),
    }
}

/// The results of an earlier run.
fn read(path: &Path) -> Result<Results> {
    let name = path.display();
    let text = retrograd::files::read_text(path, MOST);
    let text = text.with_context(|| format!("{name} cannot be read"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{name} has no results of `retrograd bench --save`"))
}

/// The path of a picture.
fn picture(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|e| e.to_str()) {
        Some("svg" | "png") => Ok(path),
        _ => Err("expected a name that ends in .svg or .png".to_owned()),
    }
}
