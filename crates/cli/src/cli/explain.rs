//! `retrograd explain`: how a cell is compiled, as text, with a summary first.

mod text;
mod units;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use retrograd::{Cell, Extent, Precision, Unroll};
use retrograd_explain::{Drawing, Explanation};
use retrograd_graph::{Graph, Options};
use retrograd_jit::Purpose;
use retrograd_jit::predict::Machine;
use retrograd_tape::{InputRole, OutputRole};

use super::choice::{Choice, SizeArgs, near};
use super::values::{unroll, whole};

/// The pass whose graph is drawn by default.
const DRAWN: &str = "stack_products";

/// Arguments of `retrograd explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The recurrent cell: a name that `retrograd cells` lists, or a cell file.
    #[arg(long, value_name = "NAME|FILE.cell", default_value = "keepwrite", value_parser = Choice::parse)]
    cell: Choice,
    #[command(flatten)]
    sizes: SizeArgs,
    /// Steps of a run.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole(1..=1_000_000_000))]
    steps: usize,
    /// Rows (examples) of a run.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole(1..=1_000_000))]
    batch: usize,
    /// Explains the forward step alone, as for forecasting, instead of a whole training step.
    #[arg(long)]
    forward: bool,
    /// Steps per iteration of loops over time [default: chosen by the compiler].
    #[arg(long, value_name = "N", value_parser = unroll)]
    unroll: Option<Unroll>,
    /// What products with weights multiply: numbers of `f32` or of `bf16`.
    #[arg(long, value_name = "f32|bf16", default_value_t = Precision::Full)]
    precision: Precision,
    /// Prints only the graph before and after this pass, or the plan for `plan`.
    #[arg(long, value_name = "PASS", conflicts_with = "summary")]
    pass: Option<String>,
    /// Leaves out the graphs.
    #[arg(long)]
    summary: bool,
    /// Writes a drawing for Graphviz: of the forward step after `stack_products` or, with --pass, of the explained program after
    /// that pass.
    #[arg(long, value_name = "FILE.dot")]
    dot: Option<PathBuf>,
    /// Writes the same drawing as an SVG image.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

/// Explains a cell, and writes the requested drawings.
pub(super) fn explain(args: &Explain) -> Result<String> {
    let (cell, size) = args.cell.explained(&args.sizes)?;
    let purpose = purpose(&cell, args.forward);
    let options = Options::default().with(|o| {
        o.unroll = args.unroll.unwrap_or_default();
        o.bf16 = args.precision.into();
    });
    let explained = Explanation::with(
        &cell,
        &purpose,
        &options,
        Extent::steps(args.steps).rows(args.batch),
    )?;
    let names = passes(&explained);
    if let Some(pass) = &args.pass
        && !names.contains(&pass.as_str())
    {
        let known: Vec<&str> = names;
        let hint = near(pass, known.iter().copied());
        bail!(
            "there is no pass `{pass}`{hint}; this program went through {}",
            known.join(", ")
        );
    }
    let what = if args.forward {
        "forward step"
    } else {
        "training step"
    };
    let title = format!("{}, {what}, {size}", cell.name());
    let mut out = match &args.pass {
        Some(pass) => {
            let mut out = format!("{title}\n");
            text::graphs(&mut out, &explained, Some(pass));
            out
        }
        None => {
            let machine = Machine::measure_with(&options);
            let parts = explained.parts(&machine);
            let mut out = format!("{title}\n\n");
            out += &text::summary(&cell, &explained, &parts, &machine);
            out += &text::products(&explained);
            out += &text::details(&explained, &parts);
            out += &text::memory(&explained);
            out += &text::steps(&explained);
            if !args.summary {
                text::graphs(&mut out, &explained, None);
            }
            out
        }
    };
    if args.dot.is_some() || args.svg.is_some() {
        let drawing = drawing(&cell, &explained, args, &size)?;
        for (path, text) in [
            (&args.dot, Drawing::dot as fn(&Drawing) -> String),
            (&args.svg, Drawing::svg),
        ] {
            if let Some(path) = path {
                write(path, &text(&drawing))?;
                let _ = writeln!(out, "\nwritten: {}", path.display());
            }
        }
    }
    Ok(out)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Gradients of the loss or, for a cell without one, of its outputs.
fn purpose(cell: &Cell, forward: bool) -> Purpose {
    let tape = cell.tape();
    let named = |role: OutputRole| {
        let outputs = tape.outputs().iter().filter(move |o| o.role == role);
        outputs.map(|o| o.name.to_string())
    };
    if forward {
        return Purpose::Forward;
    }
    if named(OutputRole::Loss).next().is_some() {
        return Purpose::Train;
    }
    let parameters = tape.inputs().iter().filter(|i| i.role == InputRole::Param);
    Purpose::Gradients {
        given: named(OutputRole::Output).collect(),
        loss: false,
        wrt: parameters.map(|i| i.name.to_string()).collect(),
    }
}

/// The names that `--pass` accepts, each once.
fn passes(explained: &Explanation) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in explained.trace() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names.push(text::PLAN);
    names
}

fn drawing(cell: &Cell, explained: &Explanation, args: &Explain, size: &str) -> Result<Drawing> {
    let last = |explained: &Explanation, pass: &str| {
        let trace = explained.trace();
        let at = trace.iter().rposition(|(name, _)| *name == pass);
        let (name, graph): &(&str, Graph) = &trace[at.unwrap_or(trace.len() - 1)];
        (*name, Drawing::of(graph))
    };
    let (what, (pass, drawing)) = match &args.pass {
        Some(pass) if !args.forward => ("training step", last(explained, pass)),
        Some(pass) => ("forward step", last(explained, pass)),
        None if args.forward => ("forward step", last(explained, DRAWN)),
        None => {
            let forward = Explanation::new(cell, &Purpose::Forward, explained.extent())?;
            ("forward step", last(&forward, DRAWN))
        }
    };
    Ok(drawing.titled(format!("{}: {what} after `{pass}`, {size}", cell.name())))
}
