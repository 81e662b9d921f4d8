//! The engines that run a cell: machine code and the interpreted tape. Only this folder knows a particular engine.

mod jit;
mod split;
mod tape;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use retrograd_jit::{Executor, RunError};
use retrograd_tape::{Input, Interpreter, Tape, TapeError, Value};

use crate::batch::Points;
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::Float;
use crate::precision::Precision;
use jit::OnJit;
use tape::OnTape;

pub(crate) use jit::{Settings, numbers};
pub(crate) use split::{Kept, Spare, SplitRunner};

/// Rejects zero threads.
pub(crate) fn at_least_one_thread(threads: usize) -> Result<(), Error> {
    match threads {
        0 => Err(Error::Setting {
            what: "the number of threads",
            found: "0".to_owned(),
            expected: "at least 1".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// An error if a batch's weights sum to 0, which explains a loss that is not finite.
pub(crate) fn weighed<T: Float>(
    cell: &Cell,
    points: Points<'_>,
    inputs: &[&[T]],
) -> Result<(), Error> {
    let tape = cell.tape();
    let Some(sum) = tape.loss_weight() else {
        return Ok(());
    };
    // Weights may be computed.
    let mut tape = Interpreter::<T>::with_gradients(tape, |_| false);
    interpret(&mut tape, points, inputs)?;
    match tape.value(sum)?.iter().all(|w| w.to_f64() == 0.0) {
        true => Err(Error::NoWeight),
        false => Ok(()),
    }
}

/// A tape, prepared to run with these products.
pub(crate) fn prepared<T: Float>(
    tape: &Tape,
    precision: Precision,
    wanted: impl Fn(&Input) -> bool,
    observed: &[Value],
) -> Result<Interpreter<T>, TapeError> {
    match precision {
        Precision::Full => Interpreter::observing(tape, wanted, observed),
        Precision::Bf16 => Interpreter::of_bf16_products(tape, wanted, observed),
    }
}

/// Runs the tape forward.
pub(crate) fn interpret<T: Float>(
    run: &mut Interpreter<T>,
    points: Points<'_>,
    inputs: &[&[T]],
) -> Result<(), TapeError> {
    match points {
        Points::Full(extent) => run.forward(extent, inputs),
        Points::Ragged(lengths) => run.forward_ragged(lengths, inputs),
    }
}

/// Runs compiled code. Of an index that is outside its table, compiled code only knows that there is one; the tape names it,
/// its example and its step.
pub(crate) fn execute<T: Float>(
    executor: &mut Executor<T>,
    tape: &Tape,
    points: Points<'_>,
    inputs: &[&[T]],
    outputs: &mut [&mut [T]],
) -> Result<(), Error> {
    let ran = match points {
        Points::Full(extent) => executor.run(extent, inputs, outputs),
        Points::Ragged(lengths) => executor.run_ragged(lengths, inputs, outputs),
    };
    named(ran, tape, points, inputs)
}

/// The result of a run of compiled code, with the tape's error for an index outside its table.
pub(crate) fn named<T: Float, R>(
    ran: Result<R, RunError>,
    tape: &Tape,
    points: Points<'_>,
    inputs: &[&[T]],
) -> Result<R, Error> {
    if let Err(RunError::ComputedIndex { .. } | RunError::Index { .. }) = ran {
        let inputs = &inputs[..tape.inputs().len()];
        match points {
            Points::Full(extent) => tape.check_indices(extent, inputs)?,
            Points::Ragged(lengths) => tape.check_indices_ragged(lengths, inputs)?,
        }
    }
    Ok(ran?)
}

/// The engine that runs a cell.
///
/// ```
/// use retrograd::Engine;
///
/// assert_eq!("tape".parse::<Engine>()?, Engine::Tape);
/// assert_eq!(Engine::default(), Engine::Jit);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Machine code, compiled for the cell.
    #[default]
    Jit,
    /// The tape, interpreted op by op: the oracle and the baseline.
    Tape,
}

impl Engine {
    /// Both engines.
    pub const ALL: [Engine; 2] = [Engine::Jit, Engine::Tape];

    /// Its name on the command line: `jit`, `tape`.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Jit => "jit",
            Engine::Tape => "tape",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = Error;

    fn from_str(s: &str) -> Result<Engine, Error> {
        let found = Engine::ALL.into_iter().find(|e| e.name() == s);
        found.ok_or_else(|| Error::UnknownEngine { name: s.to_owned() })
    }
}

/// A cell, ready to run on an engine.
pub(crate) enum Runner<T: Float> {
    Jit(Box<OnJit<T>>),
    Tape(Box<OnTape<T>>),
}

impl<T: Float> Runner<T> {
    /// Prepares a cell for an engine, with gradients of the parameters that are `trained`; `now` says that they are known to be needed.
    pub(crate) fn new(
        engine: Engine,
        cell: &Cell,
        settings: Settings,
        trained: &[bool],
        now: bool,
    ) -> Result<Self, Error> {
        Ok(match engine {
            Engine::Jit => Runner::Jit(Box::new(OnJit::new(cell, settings, trained, now)?)),
            Engine::Tape => Runner::Tape(Box::new(OnTape::new(cell, settings.precision, trained))),
        })
    }

    /// Runs a batch. `inputs` are in the order of the tape's inputs, and the caller has checked their lengths; an
    /// empty slice for an initial state means zeros. With `gradient`, also writes the gradient of the loss with respect to the flat
    /// vector of parameters there, zeros for those that are not trained.
    pub(crate) fn run(
        &mut self,
        points: Points<'_>,
        inputs: &[&[T]],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        match self {
            Runner::Jit(runner) => runner.run(points, inputs, gradient),
            Runner::Tape(runner) => runner.run(points, inputs, gradient),
        }
    }

    /// Output `i` of the last run, in the order of the tape's outputs.
    pub(crate) fn output(&self, i: usize) -> &[T] {
        match self {
            Runner::Jit(runner) => runner.output(i),
            Runner::Tape(runner) => runner.output(i),
        }
    }

    /// Time spent compiling so far; None if this engine does not compile.
    pub(crate) fn compile_time(&self) -> Option<Duration> {
        match self {
            Runner::Jit(runner) => Some(runner.compile_time()),
            Runner::Tape(_) => None,
        }
    }
}
