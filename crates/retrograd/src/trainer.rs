//! Training: a cell, its parameters, an optimiser and the engine that runs it.

use std::ops::Range;
use std::time::Duration;

use retrograd_graph::Unroll;
use retrograd_tape::{Interpreter, Shape, Yield};

use crate::batch::{Batch, Feed, Purpose};
use crate::cell::Cell;
use crate::engine::{Engine, Float, Run, Settings, emptied, start};
use crate::error::Error;
use crate::optim::{Method, Optimizer, clip_scale, global_norm, positive};
use crate::stepper::StepperBuilder;

/// Trains a cell in numbers of type `T`. The same seed, batches and engine give bitwise the same parameters, for any
/// number of threads.
///
/// ```
/// use retrograd::{Adam, Batch, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 8)?;
/// let mut trainer = Trainer::new(cell, Adam::new(1e-2)).seed(1).build()?;
/// let batch = Batch::new(3, 1).with("x", vec![0.0, 0.1, 0.2]).with("next", vec![0.1, 0.2, 0.3]);
/// let first = trainer.step(&batch)?.loss;
/// for _ in 0..50 {
///     trainer.step(&batch)?;
/// }
/// assert!(trainer.evaluate(&batch)?.loss() < first);
/// # Ok::<(), retrograd::Error>(())
/// ```
pub struct Trainer<T: Float = f32> {
    cell: Cell,
    engine: Engine,
    runner: Box<dyn Run<T>>,
    optimizer: Optimizer<T>,
    clip: Option<f64>,
    /// Position of the loss among the outputs.
    loss: usize,
    feed: Feed<T>,
    /// The allocation of a run's list of inputs, for the next run; always empty.
    slices: Vec<&'static [T]>,
    params: Vec<T>,
    gradient: Vec<T>,
    /// Where each parameter lies in `params` and `gradient`, in the cell's order.
    ranges: Vec<Range<usize>>,
}

/// The settings of a [`Trainer`] to be; [`Trainer::new`] makes one.
#[derive(Clone, Debug)]
pub struct TrainerBuilder<T: Float = f32> {
    cell: Cell,
    method: Method,
    engine: Engine,
    seed: u64,
    threads: usize,
    unroll: Unroll,
    flush: bool,
    clip: Option<f64>,
    of: std::marker::PhantomData<T>,
}

/// What a training step found, before it changed the parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The step, the first being 1.
    pub step: u64,
    /// The loss of the batch.
    pub loss: f64,
    /// The norm of the gradient of all parameters, before clipping.
    pub gradient_norm: f64,
}

/// A parameter of a trainer and its present values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values<'a, T> {
    /// The parameter's name.
    pub name: &'a str,
    /// Its shape.
    pub shape: Shape,
    /// Its values, row-major.
    pub values: &'a [T],
}

/// What a run of the cell gave; see [`Trainer::evaluate`].
#[derive(Debug)]
pub struct Evaluation<'a, T: Float> {
    trainer: &'a Trainer<T>,
    differentiated: bool,
}

impl Trainer<f32> {
    /// A trainer's settings: [`Engine::Jit`], seed 0, one thread, no clipping, and f32 unless told otherwise.
    #[expect(
        clippy::new_ret_no_self,
        reason = "the settings come first, `build` makes the trainer"
    )]
    pub fn new(cell: Cell, method: impl Into<Method>) -> TrainerBuilder<f32> {
        TrainerBuilder {
            cell,
            method: method.into(),
            engine: Engine::default(),
            seed: 0,
            threads: 1,
            unroll: Unroll::AUTO,
            flush: true,
            clip: None,
            of: std::marker::PhantomData,
        }
    }
}

impl<T: Float> TrainerBuilder<T> {
    /// What runs the cell.
    #[must_use]
    pub fn engine(self, engine: Engine) -> Self {
        TrainerBuilder { engine, ..self }
    }

    /// What the parameters' beginnings and the masks are drawn from.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        TrainerBuilder { seed, ..self }
    }

    /// The number of threads, at least 1. The interpreted tape uses one.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        TrainerBuilder { threads, ..self }
    }

    /// How many steps a turn of a recurrence's compiled loop does, as [`Unroll::by`] allows; results are bitwise the same
    /// for any factor. The interpreted tape has no such loop.
    #[must_use]
    pub fn unroll(self, unroll: Unroll) -> Self {
        TrainerBuilder { unroll, ..self }
    }

    /// Scales gradients down whose norm, over all parameters, is greater than this.
    #[must_use]
    pub fn clip(self, norm: f64) -> Self {
        TrainerBuilder {
            clip: Some(norm),
            ..self
        }
    }

    /// Whether compiled code in f32 makes a state that decays, and its cotangent, 0 where it is below 2⁻¹²⁶, the least normal number;
    /// it does unless told otherwise here. Denormal numbers make loops several times slower.
    pub fn flush(self, flush: bool) -> Self {
        TrainerBuilder { flush, ..self }
    }

    /// Runs and trains the cell in f64.
    #[must_use]
    pub fn double(self) -> TrainerBuilder<f64> {
        TrainerBuilder {
            cell: self.cell,
            method: self.method,
            engine: self.engine,
            seed: self.seed,
            threads: self.threads,
            unroll: self.unroll,
            flush: self.flush,
            clip: self.clip,
            of: std::marker::PhantomData,
        }
    }

    /// Readies the engine and draws the parameters.
    ///
    /// # Errors
    /// [`Error::NoLoss`], [`Error::Setting`], and [`Error::Engine`] if the engine cannot run the cell.
    pub fn build(self) -> Result<Trainer<T>, Error> {
        let cell = self.cell;
        let outputs = cell.tape().outputs().iter();
        let loss = outputs.map(|o| o.role).position(|r| r == Yield::Loss);
        let loss = loss.ok_or_else(|| Error::NoLoss {
            cell: cell.name().to_owned(),
        })?;
        if self.threads == 0 {
            return Err(Error::Setting {
                what: "the number of threads",
                found: 0.0,
                expected: "at least 1",
            });
        }
        if let Some(norm) = self.clip {
            positive("the norm to clip gradients at", norm)?;
        }
        let mut end = 0;
        let ranges = cell.parameters().map(|p| {
            let start = end;
            end += p.shape.len();
            start..end
        });
        let ranges: Vec<Range<usize>> = ranges.collect();
        let params = cell.initial_parameters(self.seed);
        let params: Vec<T> = params.into_iter().map(T::from_f64).collect();
        let settings = Settings {
            threads: self.threads,
            unroll: self.unroll,
            flush: self.flush,
        };
        Ok(Trainer {
            engine: self.engine,
            runner: start(self.engine, &cell, settings)?,
            optimizer: Optimizer::new(self.method, params.len())?,
            clip: self.clip,
            loss,
            feed: Feed::new(&cell, self.seed),
            slices: Vec::new(),
            gradient: vec![T::ZERO; params.len()],
            params,
            ranges,
            cell,
        })
    }
}

impl<T: Float> Trainer<T> {
    /// One step of training on a batch: loss, gradient, clipping, and the optimiser's step. Masks are drawn anew.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`], [`Error::MissingInput`], [`Error::UnknownInput`], [`Error::InputLength`]; [`Error::Cell`] or [`Error::Run`] if
    /// an index is none; [`Error::NoWeight`] if all weights are 0; and [`Error::NonFinite`] if the loss or the gradient is no finite number. After an error, the parameters and the
    /// optimiser are as before.
    pub fn step(&mut self, batch: &Batch<T>) -> Result<Report, Error> {
        self.run(batch, Purpose::Train, true)?;
        let step = self.optimizer.steps() + 1;
        let loss = self.last_loss();
        let gradient_norm = global_norm(&self.gradient);
        for (what, value) in [("loss", loss), ("norm of the gradient", gradient_norm)] {
            if !value.is_finite() {
                return Err(Error::NonFinite { what, value, step });
            }
        }
        let scale = clip_scale(gradient_norm, self.clip);
        self.optimizer.step(&mut self.params, &self.gradient, scale);
        Ok(Report {
            step,
            loss,
            gradient_norm,
        })
    }

    /// Runs the cell on a batch with all masks 1, and gives its loss, outputs and final states.
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches. The loss is given as it is, finite or not.
    pub fn evaluate(&mut self, batch: &Batch<T>) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation(batch, Purpose::Evaluate, false)
    }

    /// As [`Trainer::evaluate`], where targets may be missing: they count as zeros, and the loss means nothing then.
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches.
    pub fn predict(&mut self, batch: &Batch<T>) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation(batch, Purpose::Predict, false)
    }

    /// As [`Trainer::evaluate`], with the gradient of the loss besides; no parameter changes.
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches.
    pub fn differentiate(&mut self, batch: &Batch<T>) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation(batch, Purpose::Evaluate, true)
    }

    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// What runs it.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Time spent on compiling so far: training's program at the start, that of [`Trainer::evaluate`] and
    /// [`Trainer::predict`] at their first call. None if the engine does not compile.
    pub fn compile_time(&self) -> Option<Duration> {
        self.runner.compile_time()
    }

    /// The optimiser, with the steps made so far.
    pub fn optimizer(&self) -> &Optimizer<T> {
        &self.optimizer
    }

    /// Sets the learning rate from here on.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is a finite number of at least 0.
    pub fn set_rate(&mut self, rate: f64) -> Result<(), Error> {
        self.optimizer.set_rate(rate)
    }

    /// All parameters in the cell's order.
    pub fn params(&self) -> impl Iterator<Item = Values<'_, T>> {
        let ranges = self.ranges.iter().cloned();
        self.cell.parameters().zip(ranges).map(|(p, range)| Values {
            name: p.name,
            shape: p.shape,
            values: &self.params[range],
        })
    }

    /// All parameters' values, one parameter after the other.
    pub fn parameters(&self) -> &[T] {
        &self.params
    }

    /// The trained cell for one sample after another: see [`Stepper`](crate::Stepper). It has the parameters of now, and does
    /// not follow further training.
    pub fn stepper(&self) -> StepperBuilder<'_, T> {
        StepperBuilder::new(&self.cell, &self.params)
    }

    /// One parameter's values, row-major.
    pub fn param(&self, name: &str) -> Option<&[T]> {
        self.params().find(|p| p.name == name).map(|p| p.values)
    }

    /// Sets one parameter; the optimiser's memory of it stays.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`], [`Error::ParameterLength`], [`Error::NonFiniteParameter`].
    pub fn set_param(&mut self, name: &str, values: &[T]) -> Result<(), Error> {
        let Some(at) = self.cell.parameters().position(|p| p.name == name) else {
            return Err(Error::UnknownParameter {
                name: name.to_owned(),
                known: self.cell.parameters().map(|p| p.name.to_owned()).collect(),
            });
        };
        let range = self.ranges[at].clone();
        if values.len() != range.len() {
            let shape = self.cell.parameters().nth(at).map(|p| p.shape.to_string());
            return Err(Error::ParameterLength {
                name: name.to_owned(),
                shape: shape.unwrap_or_default(),
                expected: range.len(),
                found: values.len(),
            });
        }
        let numbers = values.iter().map(|v| v.to_f64());
        if let Some((element, value)) = numbers.enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(Error::NonFiniteParameter {
                name: name.to_owned(),
                element,
                value,
            });
        }
        self.params[range].copy_from_slice(values);
        Ok(())
    }

    fn evaluation(
        &mut self,
        batch: &Batch<T>,
        purpose: Purpose,
        differentiated: bool,
    ) -> Result<Evaluation<'_, T>, Error> {
        self.run(batch, purpose, differentiated)?;
        Ok(Evaluation {
            trainer: self,
            differentiated,
        })
    }

    fn run(&mut self, batch: &Batch<T>, purpose: Purpose, gradient: bool) -> Result<(), Error> {
        let mut inputs: Vec<&[T]> = std::mem::take(&mut self.slices);
        let feed = &mut self.feed;
        feed.inputs(&self.cell, &self.params, batch, purpose, &mut inputs)?;
        let gradient = gradient.then_some(&mut self.gradient[..]);
        let mut ran = self.runner.run(batch.t, batch.b, &inputs, gradient);
        let loss = || self.runner.output(self.loss)[0];
        if ran.is_ok() && purpose != Purpose::Predict && loss().to_f64().is_nan() {
            ran = weighed(&self.cell, batch.t, batch.b, &inputs);
        }
        self.slices = emptied(inputs);
        ran
    }

    fn last_loss(&self) -> f64 {
        self.runner.output(self.loss)[0].to_f64()
    }
}

/// An error if a batch's weights are all 0, which a loss that is no number may come from.
fn weighed<T: Float>(cell: &Cell, t: usize, b: usize, inputs: &[&[T]]) -> Result<(), Error> {
    let tape = cell.tape();
    let Some(sum) = tape.loss_weight() else {
        return Ok(());
    };
    // Weights may be computed.
    let mut tape = Interpreter::<T>::with_gradients(tape, |_| false);
    tape.forward(t, b, inputs)?;
    match tape.value(sum).iter().all(|w| w.to_f64() == 0.0) {
        true => Err(Error::NoWeight),
        false => Ok(()),
    }
}

impl<T: Float> std::fmt::Debug for Trainer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("cell", &self.cell.name())
            .field("engine", &self.engine)
            .field("optimizer", self.optimizer.method())
            .field("parameters", &self.params.len())
            .finish_non_exhaustive()
    }
}

impl<'a, T: Float> Evaluation<'a, T> {
    /// The loss of the batch.
    pub fn loss(&self) -> f64 {
        self.trainer.last_loss()
    }

    /// An output, `[T, B, shape]`, or under a state's name its final value, `[|d|, B, shape]`, to go on from.
    pub fn output(&self, name: &str) -> Option<&'a [T]> {
        let i = self.trainer.cell.tape().output(name)?;
        Some(self.trainer.runner.output(i))
    }

    /// The gradient of the loss with respect to a parameter, row-major; there is one after [`Trainer::differentiate`].
    pub fn gradient(&self, name: &str) -> Option<&'a [T]> {
        let at = self
            .trainer
            .cell
            .parameters()
            .position(|p| p.name == name)?;
        let range = self.trainer.ranges[at].clone();
        self.differentiated.then(|| &self.trainer.gradient[range])
    }
}
