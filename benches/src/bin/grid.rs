//! Measures training steps of recurrent cells, one JSON line per engine and shape, with the keys of `peers.py` and more:
//!
//!     cargo run -q --release -p retrograd-bench --bin grid -- --cell lstm --shapes 32x1x100,128x32x100 --threads 1
//!     cargo run -q --release -p retrograd-bench --bin grid -- --stepper --cell lstm --shapes 16x1x1000,64x1x1000,128x1x1000
//!     cargo run -q --release -p retrograd-bench --bin grid -- --peak

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use retrograd::Cell;
use retrograd_bench::agreement::Agreement;
use retrograd_bench::engine::{JitEngine, Portion, Steps, TapeEngine};
use retrograd_bench::measure::{peak_rss_mb, times};
use retrograd_bench::peak::Rates;
use retrograd_bench::shape::HxBxT;
use retrograd_bench::stream::{SampleStream, bound};
use retrograd_bench::work::StepArrays;
use retrograd_bench::{agreement, cells, flops};
use retrograd_graph::plan::cost;
use retrograd_graph::{Bf16, Options, Target};
use retrograd_jit::predict::Machine;
use retrograd_kernels::peak::{core_ghz, peak_gflops};
use retrograd_tape::Extent;
use serde::Serialize;

/// Measures training steps: forward from zero state, loss Σ y·gy, gradients of all weights and biases.
#[derive(Parser)]
struct Arguments {
    /// Cells: lstm, gru, keepwrite, lnlstm, peephole, a name of the zoo (zoo/lstm), a .cell file
    #[arg(long, value_delimiter = ',', default_value = "lstm")]
    cell: Vec<String>,
    /// Hidden units (and inputs) x rows x steps
    #[arg(long, value_delimiter = ',', default_value = "128x32x100")]
    shapes: Vec<HxBxT>,
    /// Threads that compiled code may use; the tape uses one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Operands of products with weights and of weight gradients
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionArg,
    /// The machine to compile for: avx2, avx512+bf16, …; the host's best by default
    #[arg(long)]
    target: Option<Target>,
    /// Optional passes to switch off: wide_loops, outline_activations, …
    #[arg(long, value_delimiter = ',', value_parser = switch)]
    without: Vec<&'static str>,
    /// Seconds a measurement
    #[arg(long, default_value_t = 1.0)]
    secs: f64,
    /// Engines; with both, their gradients are compared
    #[arg(long, value_delimiter = ',', default_value = "jit,tape")]
    engines: Vec<EngineArg>,
    /// Also time the compiled step in parts: forward, backward recurrence, weight gradients
    #[arg(long)]
    parts: bool,
    /// Also time the items of the compiled plan, one line each
    #[arg(long)]
    items: bool,
    /// Time samples one after another instead, T of them at a time
    #[arg(long)]
    stepper: bool,
    /// Print the machine's peak rates and nothing else
    #[arg(long)]
    peak: bool,
}

/// The name of an optional pass.
fn switch(name: &str) -> Result<&'static str, String> {
    let mut all = Options::SWITCHES.into_iter().map(|s| s.0);
    let names = || Options::SWITCHES.map(|s| s.0).join(", ");
    let known = all.find(|&known| known == name);
    known.ok_or_else(|| {
        format!(
            "there is no optional pass of this name; there are {}",
            names()
        )
    })
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    F32,
    Bf16,
}

impl Arguments {
    fn options(&self) -> Options {
        Options::default().with(|o| {
            o.target = self.target.unwrap_or(o.target);
            for (name, switch) in Options::SWITCHES {
                *switch(o) &= !self.without.contains(&name);
            }
            if self.precision == PrecisionArg::Bf16 {
                o.bf16 = Bf16::Kernels;
            }
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    Jit,
    Tape,
}

/// The keys of `peers.py`, then our own.
#[derive(Serialize)]
struct StepLine<'a> {
    #[serde(rename = "impl")]
    engine: &'static str,
    cell: &'a str,
    #[serde(rename = "I")]
    inputs: usize,
    #[serde(rename = "H")]
    hidden: usize,
    #[serde(rename = "B")]
    rows: usize,
    #[serde(rename = "T")]
    steps: usize,
    threads: usize,
    median_ms: f64,
    min_ms: f64,
    /// Recording the cell, compiling, and the first step.
    first_ms: f64,
    /// At the least time.
    gflops: f64,
    /// The process's so far.
    peak_rss_mb: Option<f64>,
    /// Part of `first_ms`.
    compile_ms: f64,
    /// `gflops` of what the machine's multiply-adds gave when the program started.
    peak_share: f64,
    /// What the cost model expects `peak_share` to be, on one thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted_share: Option<f64>,
    workspace_mb: f64,
    #[serde(flatten)]
    parts: Option<PortionTimes>,
}

/// Samples one after another.
#[derive(Serialize)]
struct SampleLine<'a> {
    #[serde(rename = "impl")]
    engine: &'static str,
    cell: &'a str,
    #[serde(rename = "I")]
    inputs: usize,
    #[serde(rename = "H")]
    hidden: usize,
    #[serde(rename = "B")]
    rows: usize,
    /// A sample's, the least.
    min_ns: f64,
    median_ns: f64,
    compile_ms: f64,
    /// The core's clock, from a chain of additions just before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    core_ghz: Option<f64>,
    /// A sample's, at the least time.
    #[serde(skip_serializing_if = "Option::is_none")]
    cycles: Option<f64>,
    /// Bytes of weight matrices ÷ 32 + 6 a unit, for one row.
    bound: f64,
    /// `cycles` ÷ `bound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// An item of the compiled plan.
#[derive(Serialize)]
struct ItemLine<'a> {
    cell: &'a str,
    shape: String,
    item: usize,
    min_us: f64,
    predicted_us: f64,
    /// Bytes of all arrays that it goes through.
    footprint: usize,
    /// What it does, and how often.
    work: Vec<String>,
}

/// Least times of programs that do less. Differences tell where time goes, roughly: less may fuse and stash otherwise.
#[derive(Serialize)]
struct PortionTimes {
    /// Outputs only; nothing is kept for a backward part.
    forward_ms: f64,
    /// Also gradients of vectors: all but the weight gradients of matrices.
    vectors_ms: f64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let threads = usize::from(arguments.threads);
    if arguments.peak {
        println!("{}", serde_json::to_string(&Rates::measure(threads))?);
        return Ok(());
    }
    if arguments.stepper {
        for cell in &arguments.cell {
            for &shape in &arguments.shapes {
                samples(&arguments, cell, shape)?;
            }
        }
        return Ok(());
    }
    let during = Duration::from_millis(200);
    let peak = [1, threads].map(|n| peak_gflops(n, during));
    let machine = Machine {
        peak_gflops: peak[0],
        ..Machine::measure_with(&arguments.options())
    };
    for cell in &arguments.cell {
        for &shape in &arguments.shapes {
            measure(&arguments, cell, shape, peak, &machine)?;
        }
    }
    Ok(())
}

/// Prints what a sample takes.
fn samples(arguments: &Arguments, name: &str, shape: HxBxT) -> Result<()> {
    let cell = cells::find(name, shape.hidden)?;
    let mut stream = SampleStream::new(&cell, &arguments.options(), shape.rows)?;
    let clock = || core_ghz(Duration::from_millis(50));
    let before = clock();
    let times = times(arguments.secs, || {
        (0..shape.steps).for_each(|_| stream.step())
    });
    // The lower of the two would flatter.
    let core_ghz = before.zip(clock()).map(|(a, b)| a.max(b));
    let of_sample = |ms: f64| ms * 1e6 / shape.steps as f64;
    let (min_ns, bound) = (of_sample(times.min_ms), bound(&cell, shape.hidden));
    let cycles = core_ghz.map(|ghz| ghz * min_ns);
    let line = SampleLine {
        engine: "retrograd-stepper",
        cell: name,
        inputs: shape.hidden,
        hidden: shape.hidden,
        rows: shape.rows,
        min_ns,
        median_ns: of_sample(times.median_ms),
        compile_ms: stream.stepper().compile_time().as_secs_f64() * 1e3,
        core_ghz,
        cycles,
        bound,
        ratio: cycles.map(|c| c / bound),
    };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

/// Prints the lines of one cell and shape. `peak` is that of one thread and of all.
fn measure(
    arguments: &Arguments,
    name: &str,
    shape: HxBxT,
    peak: [f64; 2],
    machine: &Machine,
) -> Result<()> {
    let cell = cells::find(name, shape.hidden)?;
    let work = StepArrays::new(&cell, shape.steps, shape.rows);
    let row = GridRow {
        arguments,
        name,
        shape,
        work: &work,
        machine,
        flops: flops::of_step(cell.tape(), work.extent),
    };
    let threads = usize::from(arguments.threads);
    let bf16 = arguments.precision == PrecisionArg::Bf16;
    let (mut jit, mut tape) = (None, None);
    if arguments.engines.contains(&EngineArg::Jit) {
        let parts = (arguments.parts).then(|| row.parts(&cell)).transpose()?;
        let options = arguments.options();
        let new = |cell: &Cell| {
            let whole = Portion::Whole;
            Ok(JitEngine::<f32>::with_options(
                cell, whole, threads, &options,
            )?)
        };
        jit = Some(row.print("retrograd-jit", threads, peak[1], parts, new)?);
    }
    if arguments.items {
        row.items(&cell)?;
    }
    if arguments.engines.contains(&EngineArg::Tape) {
        let new = |cell: &Cell| {
            Ok(match bf16 {
                true => TapeEngine::<f32>::of_bf16_products(cell),
                false => TapeEngine::<f32>::new(cell),
            })
        };
        tape = Some(row.print("retrograd-tape", 1, peak[0], None, new)?);
    }
    if let (Some(jit), Some(tape)) = (&jit, &tape)
        && bf16
    {
        return agreement::check_bf16(&cell, &work, jit, tape);
    }
    if let (Some(jit), Some(tape)) = (jit, tape) {
        match agreement::check(&cell, &work, &jit, &tape)? {
            Agreement::Close => {}
            Agreement::IllConditioned(error) => eprintln!(
                "{name} {shape}: gradients explode; in f32, on either engine, they are right to {error:.1e} only"
            ),
            Agreement::Overflow(parameters) => eprintln!(
                "{name} {shape}: gradients overflow f32 on both engines: {}",
                parameters.join(", ")
            ),
        }
    }
    Ok(())
}

/// A cell and shape to be measured.
struct GridRow<'a> {
    arguments: &'a Arguments,
    name: &'a str,
    shape: HxBxT,
    work: &'a StepArrays<f32>,
    machine: &'a Machine,
    flops: f64,
}

impl GridRow<'_> {
    /// Makes an engine from scratch, measures it, and prints the line.
    fn print<S: Steps<f32>>(
        &self,
        engine: &'static str,
        threads: usize,
        peak: f64,
        parts: Option<PortionTimes>,
        new: impl FnOnce(&Cell) -> Result<S>,
    ) -> Result<S> {
        let start = Instant::now();
        let mut steps = new(&cells::find(self.name, self.shape.hidden)?)?;
        steps.step(self.work);
        let first = start.elapsed();
        let times = times(self.arguments.secs, || steps.step(self.work));
        let gflops = self.flops / times.min_ms / 1e6;
        let line = StepLine {
            engine,
            cell: self.name,
            inputs: self.shape.hidden,
            hidden: self.shape.hidden,
            rows: self.shape.rows,
            steps: self.shape.steps,
            threads,
            median_ms: times.median_ms,
            min_ms: times.min_ms,
            first_ms: first.as_secs_f64() * 1e3,
            gflops,
            peak_rss_mb: peak_rss_mb(),
            compile_ms: steps.compile_ms(),
            peak_share: gflops / peak,
            predicted_share: steps
                .predicted_seconds(self.machine, self.work)
                .map(|s| self.flops / s / 1e9 / self.machine.peak_gflops),
            workspace_mb: steps.workspace_bytes() as f64 / f64::from(1 << 20),
            parts,
        };
        println!("{}", serde_json::to_string(&line)?);
        Ok(steps)
    }

    /// Prints what each item of the plan does and how long it takes.
    fn items(&self, cell: &Cell) -> Result<()> {
        let options = self.arguments.options();
        let mut jit = JitEngine::<f32>::with_options(cell, Portion::Whole, 1, &options)?;
        let mut least: Vec<Duration> = jit.time_items(self.work);
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < self.arguments.secs {
            let times = jit.time_items(self.work);
            least = least
                .into_iter()
                .zip(times)
                .map(|(a, b)| a.min(b))
                .collect();
        }
        let plan = jit.compiled().plan();
        let (t, b) = (self.shape.steps, self.shape.rows);
        let run = jit.run_shape(Extent { steps: t, rows: b })?;
        for (number, (leaf, time)) in plan.leaves().into_iter().zip(least).enumerate() {
            let work = cost::tasks(plan, leaf, run);
            let line = ItemLine {
                cell: self.name,
                shape: self.shape.to_string(),
                item: number,
                min_us: time.as_secs_f64() * 1e6,
                predicted_us: self.machine.seconds::<f32>(plan, leaf, run) * 1e6,
                footprint: cost::footprint(plan, leaf.item, run) * size_of::<f32>(),
                work: work.iter().map(|w| format!("{w:?}")).collect(),
            };
            println!("{}", serde_json::to_string(&line)?);
        }
        Ok(())
    }

    fn parts(&self, cell: &Cell) -> Result<PortionTimes> {
        let least = |extent| {
            let threads = usize::from(self.arguments.threads);
            let options = self.arguments.options();
            let mut jit = JitEngine::<f32>::with_options(cell, extent, threads, &options)?;
            anyhow::Ok(times(self.arguments.secs, || jit.step(self.work)).min_ms)
        };
        Ok(PortionTimes {
            forward_ms: least(Portion::Forward)?,
            vectors_ms: least(Portion::Vectors)?,
        })
    }
}
