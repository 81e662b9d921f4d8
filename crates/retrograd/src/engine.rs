//! What runs a cell: machine code or the interpreted tape, behind one object-safe trait. All that knows a particular
//! engine stands in this file.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use retrograd_graph::{Options, Unroll};
use retrograd_jit::{CompiledCell, Element, Purpose, Stepper};
use retrograd_tape::{Input, Interpreter, Output, Real, Role, Tape, Yield};

use crate::cell::Cell;
use crate::error::Error;

/// `f32` or `f64`: the numbers that cells are run in.
pub trait Float: Real {
    /// Compiles a cell: there is machine code for exactly the two types that are [`Element`]s. (Were `Element` a bound
    /// of this trait, its `to_f64` and `Real`'s would be in each other's way wherever a `T: Float` is used.)
    #[doc(hidden)]
    fn compile(cell: &Cell, settings: Settings) -> Result<Box<dyn Run<Self>>, Error>;

    /// Compiles a cell for one sample of `b` rows after another; `inputs` are those of its tape.
    #[doc(hidden)]
    fn stepper(cell: &Cell, b: usize, inputs: &[&[Self]]) -> Result<Box<dyn Sampled<Self>>, Error>;
}

impl Float for f32 {
    fn compile(cell: &Cell, settings: Settings) -> Result<Box<dyn Run<f32>>, Error> {
        Ok(Box::new(OnJit::new(cell, settings)?))
    }

    fn stepper(cell: &Cell, b: usize, inputs: &[&[f32]]) -> Result<Box<dyn Sampled<f32>>, Error> {
        Ok(Box::new(Stepper::new(cell.tape(), b, inputs)?))
    }
}

impl Float for f64 {
    fn compile(cell: &Cell, settings: Settings) -> Result<Box<dyn Run<f64>>, Error> {
        Ok(Box::new(OnJit::new(cell, settings)?))
    }

    fn stepper(cell: &Cell, b: usize, inputs: &[&[f64]]) -> Result<Box<dyn Sampled<f64>>, Error> {
        Ok(Box::new(Stepper::new(cell.tape(), b, inputs)?))
    }
}

/// How compiled code is made and run. The interpreted tape has no use for any of it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// At most so many threads.
    pub threads: usize,
    /// Steps a turn of a recurrence's loop.
    pub unroll: Unroll,
    /// States that decay are flushed, in single precision.
    pub flush: bool,
}

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
pub trait Run<T> {
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

    /// Time spent on compiling so far; none if this engine does not compile.
    fn compile_time(&self) -> Option<Duration>;
}

/// A cell that takes one sample after another: [`retrograd_jit::Stepper`], whose methods these are.
pub trait Sampled<T> {
    /// What comes with a sample.
    fn inputs(&self) -> &[Input];
    /// What a sample gives.
    fn outputs(&self) -> &[Output];
    /// Takes a sample; outputs stay inside.
    fn step(&mut self, inputs: &[&[T]]) -> Result<(), Error>;
    /// Output `k` of the last sample.
    fn output(&self, k: usize) -> &[T];
    /// All states begin anew.
    fn reset(&mut self);
    /// Inputs that do not come with samples anew, in the order of the tape's; an empty slice leaves what is there.
    fn set_inputs(&mut self, inputs: &[&[T]]) -> Result<(), Error>;
    /// A state.
    fn state(&mut self, name: &str) -> Option<&[T]>;
    /// Sets a state.
    fn set_state(&mut self, name: &str, values: &[T]) -> Result<(), Error>;
}

impl<T: Element> Sampled<T> for Stepper<T> {
    fn inputs(&self) -> &[Input] {
        self.inputs()
    }
    fn outputs(&self) -> &[Output] {
        self.outputs()
    }
    fn step(&mut self, inputs: &[&[T]]) -> Result<(), Error> {
        Ok(self.step(inputs, &mut [])?)
    }
    fn output(&self, k: usize) -> &[T] {
        self.output(k)
    }
    fn reset(&mut self) {
        self.reset();
    }
    fn set_inputs(&mut self, inputs: &[&[T]]) -> Result<(), Error> {
        Ok(self.set_inputs(inputs)?)
    }
    fn state(&mut self, name: &str) -> Option<&[T]> {
        self.state(name)
    }
    fn set_state(&mut self, name: &str, values: &[T]) -> Result<(), Error> {
        Ok(self.set_state(name, values)?)
    }
}

/// Makes a cell ready to run on an engine.
pub(crate) fn start<T: Float>(
    engine: Engine,
    cell: &Cell,
    settings: Settings,
) -> Result<Box<dyn Run<T>>, Error> {
    match engine {
        Engine::Jit => T::compile(cell, settings),
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
    /// The allocation of a run's list of cotangents, for the next run; always empty.
    cotangents: Vec<Option<&'static [T]>>,
}

impl<T: Float> OnTape<T> {
    fn new(cell: &Cell) -> OnTape<T> {
        let tape = cell.tape();
        let outputs = tape.outputs().iter();
        OnTape {
            interpreter: Interpreter::with_gradients(tape, |i| i.role == Role::Param),
            params: params(tape).collect(),
            is_loss: outputs.map(|o| o.role == Yield::Loss).collect(),
            cotangents: Vec::new(),
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
        let mut cotangents: Vec<Option<&[T]>> = std::mem::take(&mut self.cotangents);
        cotangents.extend(self.is_loss.iter().map(|l| l.then_some(&one[..])));
        let ran = self.interpreter.backward(&cotangents);
        self.cotangents = emptied(cotangents);
        ran?;
        for &i in &self.params {
            let this = rest
                .split_off_mut(..inputs[i].len())
                .expect("it is as long as all parameters");
            match self.interpreter.gradient(i) {
                Some(values) => this.copy_from_slice(values),
                None => this.fill(T::ZERO),
            }
        }
        Ok(())
    }

    fn output(&self, i: usize) -> &[T] {
        self.interpreter.output(i)
    }

    fn compile_time(&self) -> Option<Duration> {
        None
    }
}

/// [`Engine::Jit`]. The program that also computes gradients is compiled at once, the one for outputs alone when it is
/// first needed.
struct OnJit<T: Element> {
    tape: Tape,
    settings: Settings,
    train: Program<T>,
    forward: Option<Program<T>>,
    /// Where the outputs of each run lie, in the order of the tape's outputs; both programs write here.
    values: Vec<Vec<T>>,
    /// The allocation of a run's list of slices, for the next run; always empty.
    slices: Vec<&'static mut [T]>,
}

/// A compiled program and where its outputs go.
struct Program<T: Element> {
    cell: CompiledCell<T>,
    /// For each output that is a gradient, its place in the vector of all parameters. The outputs before them are the tape's.
    gradients: Vec<Range<usize>>,
    /// Places in that vector of parameters that the loss does not depend on.
    zeros: Vec<Range<usize>>,
}

impl<T: Float + Element> OnJit<T> {
    fn new(cell: &Cell, settings: Settings) -> Result<OnJit<T>, Error> {
        let tape = cell.tape().clone();
        Ok(OnJit {
            train: Program::compile(&tape, &Purpose::Train, settings)?,
            forward: None,
            values: tape.outputs().iter().map(|_| Vec::new()).collect(),
            slices: Vec::new(),
            tape,
            settings,
        })
    }
}

impl<T: Float + Element> Program<T> {
    fn compile(tape: &Tape, purpose: &Purpose, settings: Settings) -> Result<Program<T>, Error> {
        let engine = |cause: retrograd_jit::CompileError| Error::Engine {
            engine: Engine::Jit,
            cause: cause.to_string(),
        };
        let options = Options {
            unroll: settings.unroll,
            flush: settings.flush,
            ..Options::default()
        };
        let mut cell = CompiledCell::compile_with(tape, purpose, &options).map_err(engine)?;
        cell.set_threads(settings.threads).map_err(engine)?;
        let mut end = 0;
        let places = params(tape).map(|i| {
            let input = &tape.inputs()[i];
            let start = end;
            end += input.ty.shape.len();
            (format!("grad({})", input.name), start..end)
        });
        let mut zeros: Vec<(String, Range<usize>)> = places.collect();
        let outputs = cell.outputs().iter().skip(tape.outputs().len());
        let gradients = outputs.map(|o| {
            let at = zeros.iter().position(|(name, _)| *name == *o.name);
            zeros.remove(at.expect("a gradient of a parameter")).1
        });
        let gradients: Vec<Range<usize>> = gradients.collect();
        assert!(
            gradients.is_sorted_by_key(|range| range.start),
            "gradients come in the order of the tape's inputs"
        );
        let zeros = zeros.into_iter().map(|(_, range)| range).collect();
        Ok(Program {
            cell,
            gradients,
            zeros,
        })
    }
}

impl<T: Float + Element> Run<T> for OnJit<T> {
    fn run(
        &mut self,
        t: usize,
        b: usize,
        inputs: &[&[T]],
        gradient: Option<&mut [T]>,
    ) -> Result<(), Error> {
        let program = match (&gradient, &mut self.forward) {
            (Some(_), _) => &mut self.train,
            (None, Some(forward)) => forward,
            (None, forward) => {
                let compiled = Program::compile(&self.tape, &Purpose::Forward, self.settings)?;
                forward.insert(compiled)
            }
        };
        let mut outputs: Vec<&mut [T]> = std::mem::take(&mut self.slices);
        for (k, values) in self.values.iter_mut().enumerate() {
            values.resize(program.cell.output_len(k, t, b), <T as Real>::ZERO);
            outputs.push(values);
        }
        if let Some(mut rest) = gradient {
            for range in &program.zeros {
                rest[range.clone()].fill(<T as Real>::ZERO);
            }
            let mut at = 0;
            for range in &program.gradients {
                let (_, after) = rest.split_at_mut(range.start - at);
                let (this, after) = after.split_at_mut(range.len());
                outputs.push(this);
                (rest, at) = (after, range.end);
            }
        }
        let ran = program.cell.run(t, b, inputs, &mut outputs);
        self.slices = emptied(outputs);
        Ok(ran?)
    }

    fn output(&self, i: usize) -> &[T] {
        &self.values[i]
    }

    fn compile_time(&self) -> Option<Duration> {
        let programs = [Some(&self.train), self.forward.as_ref()];
        let times = programs
            .into_iter()
            .flatten()
            .map(|p| p.cell.compile_time());
        Some(times.sum())
    }
}

/// The parameters' positions among the tape's inputs.
fn params(tape: &Tape) -> impl Iterator<Item = usize> {
    let inputs = tape.inputs().iter().enumerate();
    inputs
        .filter(|(_, x)| x.role == Role::Param)
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
