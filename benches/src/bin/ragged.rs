//! What rows of different lengths cost: loss and gradient of a layer over full batches, over rows of lengths 10 to 200 as they
//! are and padded to the longest, and over rows with resets. One JSON line a measurement; `benches/peers/packed_sequence.py`
//! measures PyTorch on the same rows.

use anyhow::{Context, Result};
use clap::Parser;
use retrograd::{Batch, Cell, Extent, Sgd, Trainer, zoo};
use serde::Serialize;

use retrograd_bench::measure::times;

/// Rows of lengths 10 to 200 against full batches of as many live steps, and rows with resets against rows without.
#[derive(Parser)]
struct Args {
    /// Cells of the zoo.
    #[arg(long, value_delimiter = ',', default_value = "lstm,mingru,sru")]
    cells: Vec<String>,
    /// H, the number of units and of inputs.
    #[arg(long, value_delimiter = ',', default_value = "32,128,512")]
    units: Vec<usize>,
    /// Rounds, in which the kinds of batches take turns; the minimum over all of them counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for each measurement.
    #[arg(long, default_value_t = 0.4)]
    secs: f64,
}

#[derive(Serialize)]
struct Line<'a> {
    cell: &'a str,
    units: usize,
    batch: &'a str,
    /// Rows × steps that the data has.
    live: usize,
    min_ms: f64,
    /// Microseconds for each row and step that the data has.
    us_per_live_step: f64,
}

/// The lengths of 32 rows, evenly spaced from 10 to 200 and in no order.
fn lengths() -> Vec<usize> {
    (0..32).map(|k| 10 + (k * 11 % 32) * 190 / 31).collect()
}

/// Steps before which rows are renewed: each with a chance of 1 in 20, but not the first.
fn resets(extent: Extent) -> Vec<bool> {
    let mut state = 1_u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8 < (1 << 24) / 20
    };
    let points = extent.steps * extent.rows;
    (0..points).map(|i| draw() && i >= extent.rows).collect()
}

/// A layer whose loss is the sum of its outputs' products with given numbers.
fn layer(name: &str, units: usize) -> Result<Cell> {
    let entry = zoo::find(name).with_context(|| format!("no cell {name}"))?;
    let cell = Cell::define(name, |c| {
        let y = entry.layer(c, "layer", c.input("x", units), units);
        c.output("y", y);
        c.loss((y * c.target("gy", units)).sum());
        c.sum_loss();
    });
    Ok(cell?)
}

fn batch(extent: Extent, units: usize) -> Batch<f32> {
    let count = extent.steps * extent.rows * units;
    let numbers = |seed: usize| (0..count).map(move |i| (0.7 * (i + seed) as f32).sin());
    Batch::new(extent)
        .with("x", numbers(0).collect())
        .with("gy", numbers(9).collect())
}

fn main() -> Result<()> {
    let args = Args::parse();
    for name in &args.cells {
        for &units in &args.units {
            let lengths = lengths();
            let live = lengths.iter().sum::<usize>();
            let most = lengths.iter().copied().max().unwrap_or_default();
            let longest = Extent::steps(most).rows(lengths.len());
            let full = Extent::steps(live / lengths.len()).rows(lengths.len());
            let episodes = Extent::steps(200).rows(16);
            let kinds = [
                ("full", full.steps * full.rows, batch(full, units)),
                ("ragged", live, batch(longest, units).with_lengths(&lengths)),
                ("padded", live, batch(longest, units)),
                ("16 rows", 16 * 200, batch(episodes, units)),
                (
                    "16 rows, resets",
                    16 * 200,
                    batch(episodes, units).with_resets(&resets(episodes)),
                ),
            ];
            let mut best = [f64::INFINITY; 5];
            let mut trainer = Trainer::builder(layer(name, units)?, Sgd::new(0.1)).build()?;
            for _ in 0..args.rounds {
                for (best, (_, _, batch)) in best.iter_mut().zip(&kinds) {
                    let mut failed = None;
                    let took = times(args.secs, || {
                        failed = trainer.differentiate(batch).err().or(failed.take());
                    });
                    failed.map_or(Ok(()), Err)?;
                    *best = best.min(took.min_ms);
                }
            }
            for (min_ms, (batch, live, _)) in best.iter().zip(&kinds) {
                let line = Line {
                    cell: name,
                    units,
                    batch,
                    live: *live,
                    min_ms: *min_ms,
                    us_per_live_step: 1e3 * min_ms / *live as f64,
                };
                println!("{}", serde_json::to_string(&line)?);
            }
        }
    }
    Ok(())
}
