//! Training: a cell, its parameters, an optimiser and the engine that runs it.

pub(crate) mod builder;
mod carry;
mod descent;
mod explain;
mod find;
mod results;
mod split;
mod state;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Batch, Feed, RunMode, Unpacked, not_finite};
use crate::cell::Cell;
use crate::engine::{Engine, Runner, Settings, weighed};
use crate::error::Error;
use crate::numbers::{Float, emptied};
use crate::optim::{Objective, StepError, first_non_finite, global_norm};
use crate::precision::Precision;
use crate::split::Splitter;
use crate::stepper::StepperBuilder;

use descent::Descent;

pub use builder::TrainerBuilder;
pub use explain::Provenance;
pub use find::RateTest;
pub use results::{Evaluation, NamedParameter, Report};
pub use split::Update;
pub(crate) use state::TrainingState;

/// Trains a cell in numbers of type `T`. The same seed, batches and engine give bitwise the same parameters, with any number of
/// threads.
///
/// ```
/// use retrograd::{Adam, Batch, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 8)?;
/// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).seed(1).build()?;
/// let batch = Batch::new(Extent::steps(3)).with("x", vec![0.0, 0.1, 0.2]).with("next", vec![0.1, 0.2, 0.3]);
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
    settings: Settings,
    runner: Runner<T>,
    /// For runs in two halves, made when the first is requested.
    splitter: Option<Splitter<T>>,
    /// The inputs whose gradients runs in two halves return besides.
    input_gradients: Vec<String>,
    descent: Descent<T>,
    /// For each parameter, whether it is trained.
    trained: Vec<bool>,
    /// How often masks were drawn, and from which seed.
    draws: u64,
    seed: u64,
    /// The cell as it was before it became one whose states are all carried.
    declared: Option<Cell>,
    /// The position of the loss among the outputs.
    loss: Option<usize>,
    feed: Feed<T>,
    /// The allocation of the last run's list of inputs, reused by the next; always empty.
    slices: Vec<&'static [T]>,
    /// The outputs of the last run in the caller's arrangement, if the run had another.
    unpacked: Unpacked<T>,
    /// Runs in two halves share them until they change.
    parameters: Arc<Vec<T>>,
    gradient: Vec<T>,
    /// Where each parameter lies in `parameters` and `gradient`, in the cell's order.
    ranges: Vec<Range<usize>>,
}

impl<T: Float> Trainer<T> {
    /// One step of training on a batch: loss, gradient, clipping, and the optimiser's step. New masks are drawn.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`], [`Error::MissingInput`], [`Error::UnknownInput`], [`Error::InputLength`]; [`Error::Cell`] or
    /// [`Error::Run`] if an index is not a row of its table, or if the memory budget is too small; [`Error::NoWeight`] if the
    /// weights sum to 0; [`Error::NonFinite`] if the loss or the gradient is not finite, and [`Error::NonFiniteInput`] if the batch
    /// is the reason; [`Error::Overflow`] if the optimiser's memory would not be finite, and [`Error::Diverged`] if a parameter
    /// would not. After an error the parameters are unchanged, and so is the optimiser except after [`Error::Diverged`].
    #[inline(never)]
    pub fn step(&mut self, batch: &Batch<T>) -> Result<Report, Error> {
        let step = self.steps() + 1;
        let mode = self.next_draw();
        self.run(batch, mode, true)?;
        let loss = self.last_loss();
        let gradient_norm = global_norm(&self.gradient);
        for (what, value) in [("loss", loss), ("norm of the gradient", gradient_norm)] {
            if !value.is_finite() {
                let given = not_finite(&self.cell, batch);
                return Err(given.unwrap_or(Error::NonFinite { what, value, step }));
            }
        }
        self.move_parameters(step, loss, Some((batch, mode)))?;
        Ok(Report {
            step,
            loss,
            gradient_norm,
        })
    }

    /// The mode of a run of training, with masks of its own.
    fn next_draw(&mut self) -> RunMode {
        self.draws += 1;
        RunMode::Train { draw: self.draws }
    }

    /// Lets the optimiser do its step, which may ask for other points on `run`. After an error the parameters are unchanged.
    fn move_parameters(
        &mut self,
        step: u64,
        loss: f64,
        run: Option<(&Batch<T>, RunMode)>,
    ) -> Result<(), Error> {
        let mut failed = None;
        let (cell, runner, feed) = (&self.cell, &mut self.runner, &mut self.feed);
        let place = self.loss.unwrap_or_default();
        let mut objective = run.map(|(batch, mode)| {
            let failed = &mut failed;
            move |parameters: &[T], gradient: &mut [T]| {
                let mut inputs: Vec<&[T]> = Vec::new();
                let ran = (feed.inputs(cell, parameters, batch, mode, &mut inputs))
                    .and_then(|fed| runner.run(fed.points, &inputs, Some(gradient)));
                match ran {
                    Ok(()) => Ok(runner.output(place)[0].to_f64()),
                    Err(e) => {
                        *failed = Some(e);
                        Err(StepError::Objective)
                    }
                }
            }
        });
        let objective = objective.as_mut().map(|o| o as &mut dyn Objective<T>);
        let parameters = Arc::make_mut(&mut self.parameters);
        let moved = (self.descent).step(parameters, &mut self.gradient, loss, objective);
        let infinite = first_non_finite(parameters);
        match (moved, infinite, failed) {
            (Err(StepError::Objective), _, Some(error)) => Err(error),
            (Err(refused), ..) => Err(self.refused(refused, step)),
            (Ok(()), Some(at), _) => {
                let value = parameters[at].to_f64();
                self.descent.undo(parameters);
                let (parameter, element) = self.element(at);
                Err(Error::Diverged {
                    parameter,
                    element,
                    value,
                    step,
                })
            }
            (Ok(()), None, _) => self.descent.accept(parameters),
        }
    }

    /// An optimiser's error as one of the trainer's.
    fn refused(&self, error: StepError, step: u64) -> Error {
        match error {
            StepError::Overflow { what, element } => Error::Overflow {
                what,
                parameter: self.element(element).0,
                step,
            },
            StepError::Memory { needed, found } => Error::Setting {
                what: "the number of vectors that the optimiser remembers",
                found: found.to_string(),
                expected: format!("{needed}, as its `memory` should say"),
            },
            error @ (StepError::Inconsistent | StepError::NoObjective | StepError::Objective) => {
                Error::Setting {
                    what: "the optimiser's step",
                    found: error.to_string(),
                    expected: "a memory and an objective that fit".to_owned(),
                }
            }
        }
    }

    /// Runs the cell on a batch with all masks 1, and returns loss, outputs and final states.
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches. The loss may be infinite or NaN.
    #[inline(never)]
    pub fn evaluate(&mut self, batch: &Batch<T>) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation(batch, RunMode::Evaluate, false)
    }

    /// As [`Trainer::evaluate`], but targets may be missing: they count as zeros, and the loss is then meaningless. Numbers that
    /// are not finite are accepted.
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches.
    #[inline(never)]
    pub fn predict(&mut self, batch: &Batch<T>) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation(batch, RunMode::Predict, false)
    }

    /// As [`Trainer::predict`], but with masks drawn as in training, so that outputs of several samples spread as the model is
    /// unsure (Gal & Ghahramani 2016, section 4: Monte Carlo dropout). The same number gives the same masks, which are none of
    /// training's.
    ///
    /// ```
    /// use retrograd::{Batch, Extent, Sgd, Trainer, zoo};
    ///
    /// let cell = zoo::forecaster_with_dropout(zoo::find("gru").unwrap(), 1, 8, 0.5)?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).build()?;
    /// let batch = Batch::new(Extent::steps(3)).with("x", vec![0.1, 0.2, 0.3]);
    /// let mut samples = Vec::new();
    /// for k in [0, 1, 0] {
    ///     samples.push(trainer.sample(&batch, k)?.output("y").unwrap().to_vec());
    /// }
    /// assert!(samples[0] != samples[1] && samples[0] == samples[2]);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches.
    #[inline(never)]
    pub fn sample(&mut self, batch: &Batch<T>, sample: u64) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation(batch, RunMode::Sample { sample }, false)
    }

    /// As [`Trainer::evaluate`], and also computes the gradient of the loss with respect to the parameters; no parameter changes.
    /// For gradients of inputs, use a [`Program`](crate::Program).
    ///
    /// # Errors
    /// Those of [`Trainer::step`] for batches.
    #[inline(never)]
    pub fn differentiate(&mut self, batch: &Batch<T>) -> Result<Evaluation<'_, T>, Error> {
        self.evaluation(batch, RunMode::Evaluate, true)
    }

    /// The cell.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The precision of products.
    pub fn precision(&self) -> Precision {
        self.settings.precision
    }

    /// Time spent compiling so far: the training program is compiled at the start, the one for [`Trainer::evaluate`] and
    /// [`Trainer::predict`], and the one for [`Trainer::forward`], at their first call. None if the engine does not compile.
    pub fn compile_time(&self) -> Option<Duration> {
        let split = self.splitter.as_ref().and_then(Splitter::compile_time);
        let whole = self.runner.compile_time()?;
        Some(whole + split.unwrap_or_default())
    }

    /// The number of training steps so far.
    pub fn steps(&self) -> u64 {
        self.descent.optimizer.memory().steps
    }

    /// The step size of the next step: the optimiser's times the factor of the schedule, if there is one.
    pub fn learning_rate(&self) -> f64 {
        self.descent.optimizer.learning_rate()
    }

    /// Sets the optimiser's step size from here on, which a schedule multiplies.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is a finite number of at least 0.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        self.descent.set_base(learning_rate)
    }

    /// All parameters in the cell's order, by name.
    pub fn named_parameters(&self) -> impl Iterator<Item = NamedParameter<'_, T>> {
        let ranges = self.ranges.iter().cloned();
        self.cell
            .parameter_specs()
            .zip(ranges)
            .map(|(p, range)| NamedParameter {
                name: p.name,
                shape: p.shape,
                values: &self.parameters[range],
            })
    }

    /// The values of all parameters in one vector, parameter by parameter in the cell's order, each row-major.
    pub fn parameters(&self) -> &[T] {
        &self.parameters
    }

    /// Sets all parameters from such a vector; the optimiser keeps its memory.
    ///
    /// # Errors
    /// [`Error::ParameterCount`], [`Error::NonFiniteParameter`]. After an error the parameters are unchanged.
    #[inline(never)]
    pub fn set_parameters(&mut self, values: &[T]) -> Result<(), Error> {
        self.cell.check_count("parameters", values)?;
        if let Some(at) = first_non_finite(values) {
            let (name, element) = self.element(at);
            return Err(Error::NonFiniteParameter {
                name,
                element,
                value: values[at].to_f64(),
            });
        }
        Arc::make_mut(&mut self.parameters).copy_from_slice(values);
        Ok(())
    }

    /// The trained cell for streaming, sample by sample: see [`Stepper`](crate::Stepper). It copies the current parameters and does
    /// not follow further training.
    pub fn stepper(&self) -> StepperBuilder<'_, T> {
        self.cell
            .stepper(&self.parameters)
            .precision(self.precision())
    }

    /// One parameter's values, row-major.
    pub fn parameter(&self, name: &str) -> Option<&[T]> {
        self.named_parameters()
            .find(|p| p.name == name)
            .map(|p| p.values)
    }

    /// Sets one parameter; the optimiser keeps its memory.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`], [`Error::ParameterLength`], [`Error::NonFiniteParameter`].
    #[inline(never)]
    pub fn set_parameter(&mut self, name: &str, values: &[T]) -> Result<(), Error> {
        let Some(at) = self.cell.parameter_specs().position(|p| p.name == name) else {
            return Err(Error::UnknownParameter {
                name: name.to_owned(),
                known: self
                    .cell
                    .parameter_specs()
                    .map(|p| p.name.to_owned())
                    .collect(),
            });
        };
        let range = self.ranges[at].clone();
        if values.len() != range.len() {
            let shape = self
                .cell
                .parameter_specs()
                .nth(at)
                .map(|p| p.shape.to_string());
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
        Arc::make_mut(&mut self.parameters)[range].copy_from_slice(values);
        Ok(())
    }

    /// The parameter to which an element of the flat vector belongs, and the element's index in it.
    fn element(&self, at: usize) -> (String, usize) {
        let of = |(p, range): (crate::cell::ParameterSpec<'_>, &Range<usize>)| {
            range
                .contains(&at)
                .then(|| (p.name.to_owned(), at - range.start))
        };
        let mut all = self.cell.parameter_specs().zip(&self.ranges);
        // An optimiser of the user's may name any.
        all.find_map(of).unwrap_or(("?".to_owned(), at))
    }

    fn evaluation(
        &mut self,
        batch: &Batch<T>,
        mode: RunMode,
        differentiated: bool,
    ) -> Result<Evaluation<'_, T>, Error> {
        self.run(batch, mode, differentiated)?;
        Ok(Evaluation {
            trainer: self,
            differentiated,
        })
    }

    fn run(&mut self, batch: &Batch<T>, mode: RunMode, gradient: bool) -> Result<(), Error> {
        if mode.needs_targets() {
            self.has_loss()?;
        }
        self.run_cell(batch, mode, gradient)
    }

    /// As [`run`](Self::run), for a cell that may have no loss.
    fn run_cell(&mut self, batch: &Batch<T>, mode: RunMode, gradient: bool) -> Result<(), Error> {
        let mut inputs: Vec<&[T]> = std::mem::take(&mut self.slices);
        let feed = &mut self.feed;
        let fed = feed.inputs(&self.cell, &self.parameters, batch, mode, &mut inputs)?;
        let gradient = gradient.then_some(&mut self.gradient[..]);
        let ran = self.runner.run(fed.points, &inputs, gradient);
        let mut ran = ran.map_err(|e| fed.located(e));
        let loss = || self.loss.map_or(0.0, |k| self.runner.output(k)[0].to_f64());
        if ran.is_ok() && mode.needs_targets() && !loss().is_finite() {
            ran = weighed(&self.cell, fed.points, &inputs);
        }
        // After an error there is no telling what the outputs are.
        let packing = fed.packing.filter(|_| ran.is_ok());
        let ran = self.unpacked.prepare(self.cell.tape(), packing).and(ran);
        self.slices = emptied(inputs);
        ran
    }

    /// Output `i` of the last run, in the caller's arrangement.
    fn last_output(&self, i: usize) -> &[T] {
        let values = self.runner.output(i);
        self.unpacked.output(self.cell.tape(), i, values)
    }

    fn last_loss(&self) -> f64 {
        self.loss
            .map_or(f64::NAN, |k| self.runner.output(k)[0].to_f64())
    }
}

impl<T: Float> std::fmt::Debug for Trainer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("cell", &self.cell.name())
            .field("engine", &self.engine)
            .field("optimizer", self.descent.optimizer.settings())
            .field("parameters", &self.parameters.len())
            .finish_non_exhaustive()
    }
}
