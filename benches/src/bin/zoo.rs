//! Measures the training step of every cell of the zoo against the standard LSTM's, and writes the ratios, which
//! `docs/CELLS.md` prints:
//!
//!     cargo run -q --release -p retrograd-bench --bin zoo -- --out benches/zoo.json
//!     cargo run -q --release -p retrograd-bench --bin zoo -- --cell gru,mlstm_heads --secs 2
//!
//! A cell whose work is products with weights is measured by its time per multiply-add of those products, the LSTM's being 1. A
//! cell with few of them for each number of its state (a matrix memory) is measured against what its products would take at the
//! LSTM's rate, and its state at the rate at which the machine reads memory: a step reads and writes it, and the backward step
//! reads it, and reads and writes its adjoint. All cells are measured in turns, several times, each with the LSTM right after it
//! for as long, and with the rate of memory if it is measured by its state: the least times and the greatest rate of those
//! moments count, because the speed of a shared machine changes within minutes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use retrograd::{Cell, Extent, zoo};
use retrograd_bench::engine::{JitEngine, Portion, Steps};
use retrograd_bench::measure::times;
use retrograd_bench::shape::HxBxT;
use retrograd_bench::work::StepArrays;
use retrograd_bench::{cells, flops};
use retrograd_kernels::peak::{isa, peak_gflops, read_gbs};
use retrograd_tape::OutputRole;
use serde::Serialize;

/// Measures training steps of the zoo's cells against the standard LSTM's.
#[derive(Parser)]
struct Arguments {
    /// Cells; all if none is named
    #[arg(long, value_delimiter = ',')]
    cell: Vec<String>,
    /// Hidden units (and inputs) x rows x steps
    #[arg(long, default_value = "128x32x50")]
    shape: HxBxT,
    /// Seconds for each cell and for the LSTM beside it
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
    /// Writes the file as well
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The file.
#[derive(Serialize)]
struct Measurements {
    hidden: usize,
    rows: usize,
    steps: usize,
    isa: &'static str,
    peak_gflops: f64,
    cells: Vec<Measured>,
}

/// A cell.
#[derive(Serialize)]
struct Measured {
    name: String,
    parameters: usize,
    /// "products" or "state": what its time is measured by.
    by: &'static str,
    /// Of a training step, in f32 on one thread, the least.
    min_ms: f64,
    /// Of the standard LSTM's, measured in turns with it.
    lstm_ms: f64,
    /// GB/s read from memory, measured in turns with it if it is measured by its state.
    read_memory_gbs: Option<f64>,
    /// Multiply-adds with weights, forward and backward.
    multiply_adds: f64,
    /// Bytes of state that a step and its backward step move.
    state_bytes: f64,
    ratio: f64,
}

/// Multiply-adds with weights for each number of the state, forwards, from which on products are a cell's work. An LSTM has 4·H, a
/// matrix memory of H numbers a row about 1 for each number.
const PRODUCTS: f64 = 64.0;

/// Times in turns.
const ROUNDS: usize = 8;

/// Bytes of an array that no cache holds.
const BEYOND_CACHES: usize = 256 << 20;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let HxBxT {
        hidden,
        rows,
        steps,
    } = arguments.shape;
    let wanted =
        |e: &&zoo::Entry| arguments.cell.is_empty() || arguments.cell.iter().any(|c| c == e.name);
    let entries: Vec<&zoo::Entry> = zoo::ENTRIES.iter().filter(wanted).collect();
    let work = entries.iter().map(|e| Work::of(e, arguments.shape));
    let work = work.collect::<Result<Vec<Work>>>()?;
    // The cell's own, and the LSTM's beside it.
    let mut least = vec![[f64::MAX; 2]; entries.len()];
    let mut read = vec![None; entries.len()];
    for _ in 0..ROUNDS {
        for (k, entry) in entries.iter().enumerate() {
            let secs = arguments.secs / ROUNDS as f64;
            for (name, least) in [entry.name, "lstm"].iter().zip(&mut least[k]) {
                let mut load =
                    Load::new(name, arguments.shape).with_context(|| format!("the cell {name}"))?;
                *least = least.min(load.least(secs));
            }
            if work[k].is_by_state() {
                let now = read_gbs(1, BEYOND_CACHES, Duration::from_millis(100));
                read[k] = Some(now.max(read[k].unwrap_or(0.0)));
            }
        }
    }
    let mut measured = Vec::new();
    for (k, entry) in entries.iter().enumerate() {
        let found = measured_as(entry, &work[k], least[k], read[k])?;
        eprintln!("{} {:.2}", found.name, found.ratio);
        measured.push(found);
    }
    let file = Measurements {
        hidden,
        rows,
        steps,
        isa: isa(),
        peak_gflops: peak_gflops(1, Duration::from_millis(300)),
        cells: measured,
    };
    let text = serde_json::to_string_pretty(&file)? + "\n";
    match &arguments.out {
        Some(path) => fs::write(path, text).with_context(|| path.display().to_string()),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

/// A compiled cell with what it is run on.
struct Load {
    work: StepArrays<f32>,
    engine: JitEngine<f32>,
}

impl Load {
    fn new(name: &str, shape: HxBxT) -> Result<Load> {
        let entry = zoo::find(name).with_context(|| format!("there is no cell `{name}`"))?;
        let cell = cells::bare(entry, shape.hidden)?;
        Ok(Load {
            work: StepArrays::new(&cell, shape.steps, shape.rows),
            engine: JitEngine::new(&cell, Portion::Whole, 1)?,
        })
    }

    /// The least milliseconds of a step.
    fn least(&mut self, secs: f64) -> f64 {
        times(secs, || self.engine.step(&self.work)).min_ms
    }
}

/// What a cell's training step has to do.
struct Work {
    parameters: usize,
    /// Multiply-adds with weights, and those of the LSTM.
    multiply_adds: [f64; 2],
    /// Numbers of state of all points.
    numbers: f64,
}

impl Work {
    fn of(entry: &zoo::Entry, shape: HxBxT) -> Result<Work> {
        let extent = Extent::steps(shape.steps).rows(shape.rows);
        let lstm = zoo::find("lstm").context("there is no LSTM")?;
        let (own, lstm) = (
            cells::bare(entry, shape.hidden)?,
            cells::bare(lstm, shape.hidden)?,
        );
        let multiply_adds = [&own, &lstm].map(|c| flops::of_weights(c.tape(), extent) / 2.0);
        Ok(Work {
            parameters: own.parameter_count(),
            multiply_adds,
            numbers: (state_numbers(&own) * shape.steps * shape.rows) as f64,
        })
    }

    fn is_by_state(&self) -> bool {
        self.multiply_adds[0] / 3.0 / self.numbers < PRODUCTS
    }
}

/// What the least times of a cell and of the LSTM mean.
fn measured_as(
    entry: &zoo::Entry,
    work: &Work,
    [min_ms, lstm_ms]: [f64; 2],
    read_memory_gbs: Option<f64>,
) -> Result<Measured> {
    let state_bytes = work.numbers * (5 * size_of::<f32>()) as f64;
    let [products, of_lstm] = work.multiply_adds;
    let at_rate = products * lstm_ms / of_lstm;
    let (by, expected) = match read_memory_gbs {
        Some(rate) => ("state", at_rate + state_bytes / rate / 1e6),
        None => ("products", at_rate),
    };
    Ok(Measured {
        name: entry.name.to_owned(),
        parameters: work.parameters,
        by,
        min_ms,
        lstm_ms,
        read_memory_gbs,
        multiply_adds: products,
        state_bytes,
        ratio: min_ms / expected,
    })
}

/// The numbers of a row's states. A state that a cell begins itself is no input, but its next value is an output.
fn state_numbers(cell: &Cell) -> usize {
    let tape = cell.tape();
    let finals = tape.outputs().iter();
    let finals = finals.filter(|o| o.role == OutputRole::Final);
    finals.map(|o| tape.node(o.value).ty.numbers(1, 1)).sum()
}
