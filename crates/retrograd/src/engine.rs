//! What runs a cell: machine code or the interpreted tape, behind one object-safe trait. All that knows a particular
//! engine stands in this file.

use std::fmt;
use std::str::FromStr;

use retrograd_tape::{Interpreter, Real, Role, Yield};

use crate::cell::Cell;
use crate::error::Error;

/// `f32` or `f64`: the numbers that cells are run in.
pub trait Float: Real {}
impl Float for f32 {}
impl Float for f64 {}

/// What runs a cell.
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
    type Err = String;

    fn from_str(s: &str) -> Result<Engine, String> {
        let found = Engine::ALL.into_iter().find(|e| e.name() == s);
        found.ok_or_else(|| format!("there is no engine `{s}`; the engines are `jit` and `tape`"))
    }
}

/// A cell that is ready to run.
pub(crate) trait Run<T>: Send {
    /// Runs `t` steps of `b` examples. `inputs` are in the order of the tape's inputs, their lengths checked by the
    /// caller; an empty slice for an initial state means zeros. With `gradient`, also writes the loss's gradient with
    /// respect to all parameters there, one after the other in the tape's order.
    fn run(
        &mut self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error>;

    /// The last run's output `i`, in the order of the tape's outputs.
    fn output(&self, i: usize) -> &[T];
}

/// Makes a cell ready to run on an engine, on at most `threads` threads where the engine can use them.
pub(crate) fn start<T: Float>(
    engine: Engine,
    cell: &Cell,
    threads: usize,
) -> Result<Box<dyn Run<T>>, Error> {
    let _ = threads;
    match engine {
        Engine::Jit => Err(Error::Engine {
            engine,
            cause: "not connected yet".to_owned(),
        }),
        Engine::Tape => Ok(Box::new(OnTape::<T>::new(cell))),
    }
}

/// [`Engine::Tape`].
struct OnTape<T: Float> {
    interpreter: Interpreter<T>,
    /// The parameters' positions among the inputs.
    params: Vec<usize>,
    /// For each output, whether it is the loss.
    is_loss: Vec<bool>,
}

impl<T: Float> OnTape<T> {
    fn new(cell: &Cell) -> OnTape<T> {
        let tape = cell.tape();
        let inputs = tape.inputs().iter().enumerate();
        let outputs = tape.outputs().iter();
        OnTape {
            interpreter: Interpreter::with_gradients(tape, |i| i.role == Role::Param),
            params: inputs
                .filter(|(_, x)| x.role == Role::Param)
                .map(|(i, _)| i)
                .collect(),
            is_loss: outputs.map(|o| o.role == Yield::Loss).collect(),
        }
    }
}

impl<T: Float> Run<T> for OnTape<T> {
    fn run(
        &mut self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        self.interpreter.forward(t, b, inputs)?;
        let Some(mut rest) = gradient else {
            return Ok(());
        };
        let one = [T::ONE];
        let cotangents: Vec<Option<&[T]>> = self
            .is_loss
            .iter()
            .map(|&is_loss| is_loss.then_some(&one[..]))
            .collect();
        self.interpreter.backward(&cotangents)?;
        for &i in &self.params {
            let (this, after) = rest.split_at_mut(inputs[i].len());
            match self.interpreter.gradient(i) {
                Some(values) => this.copy_from_slice(values),
                None => this.fill(T::ZERO),
            }
            rest = after;
        }
        Ok(())
    }

    fn output(&self, i: usize) -> &[T] {
        self.interpreter.output(i)
    }
}
