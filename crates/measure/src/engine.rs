//! The two engines behind one interface: a step, and the gradients it left.

use retrograd_tape::Extent;
use std::time::Duration;

use retrograd::Cell;
use retrograd_graph::{Options, plan::cost};
use retrograd_jit::predict::{Machine, run_shape};
use retrograd_jit::{
    CompileError, CompiledCell, Element, Executor, Purpose, RunError, try_reserve_total,
};
use retrograd_tape::{Input, InputRole, Interpreter, OutputRole, Real, Shape, TapeError};

use crate::work::{Goal, StepArrays, observed};

/// A step that an engine refuses: it needs too much memory, or an index is no row of its table.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Compiled code refuses it.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The tape does.
    #[error(transparent)]
    Tape(#[from] TapeError),
}

/// An engine that runs training steps.
pub trait Steps<T> {
    /// Runs one step.
    ///
    /// # Panics
    /// If the work is not that of the engine's cell.
    fn step(&mut self, work: &StepArrays<T>);

    /// Runs one step that may be too large.
    ///
    /// # Errors
    /// [`StepError`].
    fn try_step(&mut self, work: &StepArrays<T>) -> Result<(), StepError> {
        self.step(work);
        Ok(())
    }

    /// The last step's gradient of each parameter, by the parameter's name.
    fn gradients(&self) -> Vec<(String, Vec<T>)>;

    /// Bytes of the engine's arrays, not counting the caller's.
    fn workspace_bytes(&self) -> usize;

    /// Milliseconds to prepare the engine from the cell, without lazy work.
    fn compile_ms(&self) -> f64;

    /// Predicted seconds of a step on one thread, if there is a model.
    fn predicted_seconds(&self, _: &Machine, _: &StepArrays<T>) -> Option<f64> {
        None
    }
}

/// The part of a step that a compiled program computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// Outputs alone.
    Forward,
    /// Also the gradients of all parameters but matrices: the backward recurrence without weight gradients.
    Vectors,
    /// The whole step.
    Whole,
}

impl Portion {
    fn wants(self, input: &Input) -> bool {
        let matrix = matches!(input.ty.shape, Shape::Matrix(..) | Shape::Tensor(..));
        input.role == InputRole::Param
            && match self {
                Portion::Forward => false,
                Portion::Vectors => !matrix,
                Portion::Whole => true,
            }
    }
}

/// Machine code.
#[derive(Debug)]
pub struct JitEngine<T: Element> {
    executor: Executor<T>,
    /// One for each output of the compiled program; empty where it is not handed out.
    outputs: Vec<Vec<T>>,
    portion: Portion,
}

impl<T: Element> JitEngine<T> {
    /// Compiles the cell's step.
    ///
    /// # Errors
    /// Those of compiling.
    pub fn new(
        cell: &Cell,
        portion: Portion,
        threads: usize,
    ) -> Result<JitEngine<T>, CompileError> {
        JitEngine::with_options(cell, portion, threads, &Options::default())
    }

    /// Compiles the cell's step with the passes and plan stages that `options` want.
    ///
    /// # Errors
    /// Those of compiling.
    pub fn with_options(
        cell: &Cell,
        portion: Portion,
        threads: usize,
        options: &Options,
    ) -> Result<JitEngine<T>, CompileError> {
        JitEngine::for_goal(cell, Goal::Outputs, portion, threads, options)
    }

    /// Compiles a cell's step towards a goal.
    ///
    /// # Errors
    /// Those of compiling.
    pub fn for_goal(
        cell: &Cell,
        goal: Goal,
        portion: Portion,
        threads: usize,
        options: &Options,
    ) -> Result<JitEngine<T>, CompileError> {
        let tape = cell.tape();
        let wanted = tape.inputs().iter().filter(|i| portion.wants(i));
        let purpose = match portion {
            Portion::Forward => Purpose::Forward,
            Portion::Vectors | Portion::Whole => Purpose::Gradients {
                given: match goal {
                    Goal::Outputs => observed(tape).collect(),
                    Goal::Loss => Vec::new(),
                },
                loss: goal == Goal::Loss,
                wrt: wanted.map(|i| i.name.to_string()).collect(),
            },
        };
        let cell = CompiledCell::compile_with(tape, &purpose, options)?;
        Ok(JitEngine::of(&cell, portion, threads))
    }

    fn of(cell: &CompiledCell<T>, portion: Portion, threads: usize) -> JitEngine<T> {
        let mut executor = cell.executor();
        executor.set_threads(threads);
        JitEngine {
            executor,
            outputs: cell.outputs().iter().map(|_| Vec::new()).collect(),
            portion,
        }
    }

    /// The same code with a workspace of its own, elsewhere in memory.
    pub fn again(&self, threads: usize) -> JitEngine<T> {
        JitEngine::of(self.compiled(), self.portion, threads)
    }

    /// Bytes that a step will take.
    ///
    /// # Errors
    /// Those of a run.
    pub fn bytes(&self, extent: Extent) -> Result<usize, RunError> {
        Ok(self.executor.memory(extent, (&[], &[]))?.bytes)
    }

    /// Whether an output is what the step is made for.
    fn is_result(&self, role: OutputRole) -> bool {
        match self.portion {
            Portion::Forward => role == OutputRole::Output,
            Portion::Vectors | Portion::Whole => role == OutputRole::Gradient,
        }
    }

    /// The compiled program.
    pub fn compiled(&self) -> &CompiledCell<T> {
        self.executor.cell()
    }
}

impl<T: Element> JitEngine<T> {
    /// A step, with what the compiled program's `f` does with the arrays.
    fn with<R>(
        &mut self,
        work: &StepArrays<T>,
        f: impl FnOnce(&mut Executor<T>, &[&[T]], &mut [&mut [T]]) -> Result<R, RunError>,
    ) -> Result<R, RunError> {
        for k in 0..self.outputs.len() {
            if self.is_result(self.compiled().outputs()[k].role) {
                let len = self.compiled().output_len(k, work.extent);
                let output = &mut self.outputs[k];
                // Large pages, as a trainer's gradients have.
                try_reserve_total(output, len).expect("there is memory for the results");
                output.resize(len, T::ZERO);
            }
        }
        let given = work.cotangents.iter().flatten();
        let given = given.take(self.compiled().inputs().len() - work.inputs.len());
        let inputs: Vec<&[T]> = (work.inputs.iter().chain(given))
            .map(Vec::as_slice)
            .collect();
        let mut outputs: Vec<&mut [T]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
        f(&mut self.executor, &inputs, &mut outputs)
    }

    /// How a step of `t` steps of `b` rows goes through time.
    ///
    /// # Errors
    /// Those of a run.
    pub fn run_shape(&self, extent: Extent) -> Result<cost::RunShape, RunError> {
        let memory = self.executor.memory(extent, (&[], &[]))?;
        Ok(run_shape(extent, memory.layout()))
    }

    /// A step that tells how long each item of the plan took.
    ///
    /// # Panics
    /// If the work is not that of the engine's cell.
    pub fn time_items(&mut self, work: &StepArrays<T>) -> Vec<Duration> {
        let ran = self.with(work, |x, i, o| x.time_items(work.extent, i, o));
        ran.expect("the work is the cell's")
    }
}

impl<T: Element> Steps<T> for JitEngine<T> {
    fn step(&mut self, work: &StepArrays<T>) {
        self.try_step(work).expect("the work is the cell's");
    }

    fn try_step(&mut self, work: &StepArrays<T>) -> Result<(), StepError> {
        Ok(self.with(work, |x, i, o| x.run(work.extent, i, o))?)
    }

    fn gradients(&self) -> Vec<(String, Vec<T>)> {
        let outputs = self.compiled().outputs().iter().zip(&self.outputs);
        let gradients = outputs.filter(|(o, _)| o.role == OutputRole::Gradient);
        let named = gradients.map(|(o, values)| {
            let name = o
                .name
                .strip_prefix("grad(")
                .and_then(|n| n.strip_suffix(')'));
            let name = name.expect("gradients are called after their inputs");
            (name.to_owned(), values.clone())
        });
        named.collect()
    }

    fn workspace_bytes(&self) -> usize {
        self.executor.workspace_bytes()
    }

    fn compile_ms(&self) -> f64 {
        self.compiled().compile_time().as_secs_f64() * 1e3
    }

    fn predicted_seconds(&self, machine: &Machine, work: &StepArrays<T>) -> Option<f64> {
        let run = self.run_shape(work.extent).ok()?;
        Some(machine.run_seconds::<T>(self.compiled().plan(), run))
    }
}

/// The interpreted tape.
#[derive(Debug)]
pub struct TapeEngine<T: Real> {
    interpreter: Interpreter<T>,
    /// Position among the inputs, and name, of each parameter.
    parameters: Vec<(usize, String)>,
    compile_ms: f64,
}

impl<T: Real> TapeEngine<T> {
    /// Prepares the cell's step.
    pub fn new(cell: &Cell) -> TapeEngine<T> {
        let start = std::time::Instant::now();
        let interpreter = Interpreter::with_gradients(cell.tape(), |i| Portion::Whole.wants(i));
        TapeEngine::of(cell, interpreter, start)
    }

    /// The same with bfloat16 operands of products.
    pub fn of_bf16_products(cell: &Cell) -> TapeEngine<T> {
        let start = std::time::Instant::now();
        let wanted = |i: &Input| Portion::Whole.wants(i);
        let interpreter =
            Interpreter::of_bf16_products(cell.tape(), wanted, &[]).expect("no value is observed");
        TapeEngine::of(cell, interpreter, start)
    }

    fn of(cell: &Cell, interpreter: Interpreter<T>, start: std::time::Instant) -> TapeEngine<T> {
        let inputs = cell.tape().inputs().iter().enumerate();
        let parameters = inputs.filter(|(_, i)| Portion::Whole.wants(i));
        TapeEngine {
            interpreter,
            parameters: parameters.map(|(k, i)| (k, i.name.to_string())).collect(),
            compile_ms: start.elapsed().as_secs_f64() * 1e3,
        }
    }

    /// Limits the bytes of its arrays.
    pub fn set_budget(&mut self, bytes: usize) {
        self.interpreter.set_budget(bytes);
    }
}

impl<T: Real> Steps<T> for TapeEngine<T> {
    fn step(&mut self, work: &StepArrays<T>) {
        self.try_step(work).expect("the work is the cell's");
    }

    fn try_step(&mut self, work: &StepArrays<T>) -> Result<(), StepError> {
        let inputs: Vec<&[T]> = work.inputs.iter().map(Vec::as_slice).collect();
        let cotangents: Vec<Option<&[T]>> = work.cotangents.iter().map(Option::as_deref).collect();
        self.interpreter.forward(work.extent, &inputs)?;
        Ok(self.interpreter.backward(&cotangents)?)
    }

    fn gradients(&self) -> Vec<(String, Vec<T>)> {
        let gradient = |&(k, ref name): &(usize, String)| {
            Some((name.clone(), self.interpreter.gradient(k)?.to_vec()))
        };
        self.parameters.iter().filter_map(gradient).collect()
    }

    fn workspace_bytes(&self) -> usize {
        self.interpreter.bytes()
    }

    fn compile_ms(&self) -> f64 {
        self.compile_ms
    }
}
