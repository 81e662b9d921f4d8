//! What runs a cell: machine code or the interpreted tape. All that knows a particular engine stands in this folder.

mod jit;
mod tape;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use retrograd_graph::Unroll;
use retrograd_jit::{Element, machine_bytes};
use retrograd_tape::{Extent, InputRole, Interpreter, Real, Tape};

use crate::cell::Cell;
use crate::error::Error;
use jit::OnJit;
use tape::OnTape;

/// `f32` or `f64`: the numbers that cells are run in. Arithmetic and functions are those of [`Real`]: `+ - * /`, comparisons,
/// `T::from_f64`, `to_f64`, `T::ZERO`, `T::ONE`, `sqrt`, `exp`, `ln`, `abs` and others.
///
/// ```
/// use retrograd::Float;
///
/// fn mean<T: Float>(values: &[T]) -> f64 {
///     values.iter().map(|v| v.to_f64()).sum::<f64>() / values.len() as f64
/// }
/// assert_eq!(mean(&[1.0_f32, 2.0]), 1.5);
/// ```
pub trait Float: Element + Real {}

impl Float for f32 {}
impl Float for f64 {}

/// Refuses to run on no thread.
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

/// So many zeros.
///
/// # Errors
/// [`Error::NoMemory`].
pub(crate) fn zeros<T: Float>(what: &'static str, len: usize) -> Result<Vec<T>, Error> {
    let mut values = reserved(what, len)?;
    values.resize(len, T::ZERO);
    Ok(values)
}

/// Room for so many numbers.
///
/// # Errors
/// [`Error::NoMemory`].
pub(crate) fn reserved<T>(what: &'static str, len: usize) -> Result<Vec<T>, Error> {
    let mut values = Vec::new();
    reserve(&mut values, what, len)?;
    Ok(values)
}

/// Room for so many numbers in all, if the machine has the memory: a user's number may decide how many.
///
/// # Errors
/// [`Error::NoMemory`].
pub(crate) fn reserve<T>(values: &mut Vec<T>, what: &'static str, len: usize) -> Result<(), Error> {
    let bytes = len.saturating_mul(size_of::<T>());
    let more = len.saturating_sub(values.len());
    match bytes <= machine_bytes() && values.try_reserve_exact(more).is_ok() {
        true => Ok(()),
        false => Err(Error::NoMemory { what, bytes }),
    }
}

/// How compiled code is made and run. The interpreted tape has no use for any of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// At most so many threads.
    pub(crate) threads: usize,
    /// Steps of an unrolled iteration of a recurrence's loop.
    pub(crate) unroll: Unroll,
    /// Whether what delays carry is flushed, in single precision.
    pub(crate) flush: bool,
    /// At most so many bytes beyond the caller's arrays.
    pub(crate) memory_budget: Option<usize>,
}

/// An error if a batch's weights sum to 0, which a loss that is no finite number may come from.
pub(crate) fn weighed<T: Float>(cell: &Cell, extent: Extent, inputs: &[&[T]]) -> Result<(), Error> {
    let tape = cell.tape();
    let Some(sum) = tape.loss_weight() else {
        return Ok(());
    };
    // Weights may be computed.
    let mut tape = Interpreter::<T>::with_gradients(tape, |_| false);
    tape.forward(extent, inputs)?;
    match tape.value(sum)?.iter().all(|w| w.to_f64() == 0.0) {
        true => Err(Error::NoWeight),
        false => Ok(()),
    }
}

/// What runs a cell.
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

/// A cell that is ready to run.
pub(crate) enum Runner<T: Float> {
    Jit(Box<OnJit<T>>),
    Tape(Box<OnTape<T>>),
}

impl<T: Float> Runner<T> {
    /// Makes a cell ready to run on an engine.
    pub(crate) fn new(engine: Engine, cell: &Cell, settings: Settings) -> Result<Self, Error> {
        Ok(match engine {
            Engine::Jit => Runner::Jit(Box::new(OnJit::new(cell, settings)?)),
            Engine::Tape => Runner::Tape(Box::new(OnTape::new(cell))),
        })
    }

    /// Runs T steps of B examples. `inputs` are in the order of the tape's inputs, their lengths checked by the
    /// caller; an empty slice for an initial state means zeros. With `gradient`, also writes the loss's gradient with
    /// respect to all parameters there, one after the other in the tape's order.
    pub(crate) fn run(
        &mut self,
        extent: Extent,
        inputs: &[&[T]],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        match self {
            Runner::Jit(runner) => runner.run(extent, inputs, gradient),
            Runner::Tape(runner) => runner.run(extent, inputs, gradient),
        }
    }

    /// The last run's output `i`, in the order of the tape's outputs.
    pub(crate) fn output(&self, i: usize) -> &[T] {
        match self {
            Runner::Jit(runner) => runner.output(i),
            Runner::Tape(runner) => runner.output(i),
        }
    }

    /// Time spent on compiling so far; none if this engine does not compile.
    pub(crate) fn compile_time(&self) -> Option<Duration> {
        match self {
            Runner::Jit(runner) => Some(runner.compile_time()),
            Runner::Tape(_) => None,
        }
    }
}

/// The parameters' positions among the tape's inputs.
fn parameter_inputs(tape: &Tape) -> impl Iterator<Item = usize> {
    let inputs = tape.inputs().iter().enumerate();
    inputs
        .filter(|(_, x)| x.role == InputRole::Param)
        .map(|(i, _)| i)
}

/// The vector's allocation without what it held, to be filled with borrows of another lifetime. Collecting a vector's own
/// elements, mapped to others of their layout, is done in place.
pub(crate) fn emptied<A, B>(mut vector: Vec<A>) -> Vec<B> {
    vector.clear();
    let none = vector.into_iter().map(|_| unreachable!("it is empty"));
    none.collect()
}

#[cfg(test)]
mod tests {
    use super::emptied;

    #[test]
    fn an_emptied_vector_keeps_its_allocation() {
        let (one, mut two) = ([1.0_f32], [2.0_f32]);
        let mut shared: Vec<&[f32]> = Vec::with_capacity(9);
        shared.push(&one);
        let at = shared.as_ptr().addr();
        let shared: Vec<&'static [f32]> = emptied(shared);
        assert_eq!((shared.as_ptr().addr(), shared.capacity()), (at, 9));
        let unique: Vec<&mut [f32]> = vec![&mut two];
        let at = unique.as_ptr().addr();
        let unique: Vec<&'static mut [f32]> = emptied(unique);
        assert_eq!((unique.as_ptr().addr(), unique.capacity()), (at, 1));
    }
}
