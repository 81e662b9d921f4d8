//! A cell of the caller's, measured on both engines in turn.

use std::time::Duration;

use retrograd::{Cell, Precision};
use retrograd_graph::Options;
use retrograd_jit::predict::Machine;
use retrograd_jit::{CompileError, machine_bytes};
use retrograd_kernels::peak::{isa, peak_gflops};
use retrograd_tape::limits::MAX_POINTS;
use retrograd_tape::{Extent, InputRole, OutputRole};
use serde::{Deserialize, Serialize};

use crate::engine::{JitEngine, Portion, StepError, Steps, TapeEngine};
use crate::flops;
use crate::times::{Spread, calls};
use crate::work::{Goal, StepArrays};

/// Rounds, in which the engines take turns, if there is time.
const ROUNDS: usize = 9;
/// The fewest, however long they take.
const FEWEST: usize = 3;

/// A cell that cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// No parameter to be trained.
    #[error("the cell `{cell}` has no parameters: there is no training step to measure")]
    NoParameters {
        /// The cell.
        cell: String,
    },
    /// Neither loss nor output.
    #[error(
        "the cell `{cell}` has neither a loss nor an output: a training step needs a `loss` line, or an `output` whose gradients are \
         given"
    )]
    NothingToTrain {
        /// The cell.
        cell: String,
    },
    /// No steps or rows, or too many.
    #[error(
        "T = {steps} steps of B = {rows} rows cannot be measured: expected at least 1 of each, and at most {MAX_POINTS} of both"
    )]
    Extent {
        /// Steps.
        steps: usize,
        /// Rows.
        rows: usize,
    },
    /// More memory than the machine has.
    #[error(
        "a step needs {needed} MiB, more than this process can have (the machine has {has} MiB): expected a smaller shape"
    )]
    Memory {
        /// MiB that it needs.
        needed: usize,
        /// MiB that there are.
        has: usize,
    },
    /// Two results that are not of the same measurement.
    #[error("{0}")]
    Other(String),
    /// The cell cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A step that an engine refuses.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// The machine and how long to measure.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Threads of compiled code; the tape has one.
    pub threads: usize,
    /// Seconds for each engine.
    pub secs: f64,
    /// What the products of compiled code multiply; the tape's are of f32.
    pub precision: Precision,
}

impl Setting {
    fn options(&self) -> Options {
        Options::default().with(|o| o.bf16 = self.precision.into())
    }
}

/// What measures: a machine whose rates are known.
#[derive(Clone, Debug)]
pub struct Bench {
    setting: Setting,
    machine: Machine,
    /// Of one thread, and of all.
    peaks: [f64; 2],
}

/// An engine's times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredEngine {
    /// Of all steps.
    #[serde(flatten)]
    pub times: Spread,
    /// The least time of each round. Rounds have memory of their own.
    pub rounds_ms: Vec<f64>,
    /// Steps.
    pub steps_measured: usize,
    /// Microseconds for each row and step, at the least time.
    pub us_per_row_step: f64,
    /// Of the products, at the least time; none if there are none.
    pub gflops: Option<f64>,
    /// `gflops` of the peak rate of its threads.
    pub peak_share: Option<f64>,
    /// MiB of its arrays.
    pub workspace_mb: f64,
    /// Milliseconds to prepare it from the recorded cell.
    pub compile_ms: f64,
}

/// A training step of a cell, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The cell's name.
    pub cell: String,
    /// The sizes that were set, as `H=128`.
    pub sizes: Vec<(String, usize)>,
    /// B.
    pub rows: usize,
    /// T.
    pub steps: usize,
    /// Numbers of all parameters.
    pub parameters: usize,
    /// Whether the loss is the cell's own, not Σ y·gy.
    pub own_loss: bool,
    /// Threads of compiled code.
    pub threads: usize,
    /// What the products of compiled code multiply.
    #[serde(default, skip_serializing_if = "Precision::is_full")]
    pub precision: Precision,
    /// The widest instructions of the machine.
    pub isa: String,
    /// Multiply-adds of those threads, GFLOP/s in f32, a multiply-add counting two.
    pub peak_gflops: f64,
    /// FLOPs of the step's products; other work is not counted.
    pub flops: f64,
    /// Machine code.
    pub compiled: MeasuredEngine,
    /// The interpreted tape, on one thread.
    pub interpreted: MeasuredEngine,
    /// Least time of the tape ÷ that of compiled code.
    pub speedup: f64,
    /// What the cost model expects of compiled code on one thread, milliseconds.
    pub predicted_ms: Option<f64>,
}

impl Bench {
    /// Measures the machine, for half a second.
    pub fn new(setting: Setting) -> Bench {
        let during = Duration::from_millis(200);
        let peaks = [1, setting.threads].map(|n| peak_gflops(n, during));
        Bench {
            machine: Machine {
                peak_gflops: peaks[0],
                ..Machine::measure_with(&setting.options())
            },
            setting,
            peaks,
        }
    }

    /// Measures a training step of a cell, made with these sizes: its own loss, or Σ y·gy if it has none. The engines take
    /// turns, in rounds.
    ///
    /// ```
    /// use retrograd::{Cell, Extent, Precision};
    /// use retrograd_measure::{Bench, Setting};
    ///
    /// let cell = Cell::from_text("cell leak(x[8]; h[8])\nh' = tanh(dense(x, h))\noutput h'", &[])?;
    /// let bench = Bench::new(Setting { threads: 1, secs: 0.01, precision: Precision::Full });
    /// let found = bench.measure(&cell, &[], Extent::steps(10).rows(4))?;
    /// assert!(found.compiled.times.min_ms > 0.0 && found.predicted_ms.is_some());
    /// // W x: forward and its weight's gradient; U h: also the gradient of h.
    /// assert_eq!(found.flops, f64::from(2 * 8 * 8 * (2 + 3) * 10 * 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A cell without parameters, or without anything to differentiate; a step that takes more memory than there is; those of
    /// compiling.
    pub fn measure(
        &self,
        cell: &Cell,
        sizes: &[(&str, usize)],
        extent: Extent,
    ) -> Result<Measured, MeasureError> {
        let goal = trained(cell)?;
        let points = extent.steps.checked_mul(extent.rows);
        if points.is_none_or(|n| n == 0 || n > MAX_POINTS) {
            let Extent { steps, rows } = extent;
            return Err(MeasureError::Extent { steps, rows });
        }
        let threads = self.setting.threads;
        let work = StepArrays::of_cell(cell, extent, goal).map_err(too_much)?;
        let options = self.setting.options();
        let mut jit = JitEngine::<f32>::for_goal(cell, goal, Portion::Whole, threads, &options)?;
        let taken = jit.bytes(extent).map_err(StepError::from)?;
        jit.try_step(&work)?;
        let mut tape = TapeEngine::<f32>::new(cell);
        tape.set_budget(machine_bytes().saturating_sub(taken));
        tape.try_step(&work)?;

        let mut times = [Vec::new(), Vec::new()];
        let (start, share) = (std::time::Instant::now(), self.setting.secs / ROUNDS as f64);
        let late = || start.elapsed().as_secs_f64() > 3.0 * self.setting.secs;
        for round in 0..ROUNDS {
            if round >= FEWEST && late() {
                break;
            }
            // Elsewhere in memory, which has an influence of its own.
            jit = jit.again(threads);
            jit.step(&work);
            times[0].push(calls(share, || jit.step(&work)));
            tape.step(&work);
            times[1].push(calls(share, || tape.step(&work)));
        }
        let flops = flops::of_step(cell.tape(), extent);
        let engine = |engine: &dyn Steps<f32>, rounds: &[Vec<f64>], peak: f64| {
            measured(engine, rounds, (flops, peak, extent))
        };
        let compiled = engine(&jit, &times[0], self.peaks[1]);
        let interpreted = engine(&tape, &times[1], self.peaks[0]);
        Ok(Measured {
            cell: cell.name().to_owned(),
            sizes: sizes
                .iter()
                .map(|(name, n)| ((*name).to_owned(), *n))
                .collect(),
            rows: extent.rows,
            steps: extent.steps,
            parameters: cell.parameter_count(),
            own_loss: goal == Goal::Loss,
            threads,
            precision: self.setting.precision,
            isa: isa().to_owned(),
            peak_gflops: self.peaks[1],
            flops,
            speedup: interpreted.times.min_ms / compiled.times.min_ms,
            predicted_ms: jit.predicted_seconds(&self.machine, &work).map(|s| 1e3 * s),
            compiled,
            interpreted,
        })
    }
}

/// What a training step of a cell differentiates.
fn trained(cell: &Cell) -> Result<Goal, MeasureError> {
    let (tape, name) = (cell.tape(), cell.name().to_owned());
    if !tape.inputs().iter().any(|i| i.role == InputRole::Param) {
        return Err(MeasureError::NoParameters { cell: name });
    }
    let goal = Goal::of(cell);
    let outputs = tape.outputs().iter();
    match goal == Goal::Loss || outputs.into_iter().any(|o| o.role == OutputRole::Output) {
        true => Ok(goal),
        false => Err(MeasureError::NothingToTrain { cell: name }),
    }
}

fn too_much(bytes: usize) -> MeasureError {
    MeasureError::Memory {
        needed: bytes >> 20,
        has: machine_bytes() >> 20,
    }
}

fn measured(
    engine: &dyn Steps<f32>,
    rounds: &[Vec<f64>],
    (flops, peak, extent): (f64, f64, Extent),
) -> MeasuredEngine {
    let all: Vec<f64> = rounds.concat();
    let times = Spread::of(all.clone());
    let gflops = (flops > 0.0).then_some(flops / times.min_ms / 1e6);
    let least = |round: &Vec<f64>| round.iter().copied().fold(f64::INFINITY, f64::min);
    MeasuredEngine {
        times,
        rounds_ms: rounds.iter().map(least).collect(),
        steps_measured: all.len(),
        us_per_row_step: 1e3 * times.min_ms / (extent.steps * extent.rows) as f64,
        gflops,
        peak_share: gflops.map(|g| g / peak),
        workspace_mb: engine.workspace_bytes() as f64 / f64::from(1 << 20),
        compile_ms: engine.compile_ms(),
    }
}
