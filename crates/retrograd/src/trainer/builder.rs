//! [`TrainerBuilder`]: a trainer's settings.

use std::sync::Arc;

use retrograd_graph::Unroll;
use retrograd_tape::OutputRole;

use super::Trainer;
use super::descent::{Descent, DescentSettings, optimizer_state, trained};
use crate::batch::{Feed, Unpacked};
use crate::cell::Cell;
use crate::engine::{Engine, Runner, Settings, at_least_one_thread};
use crate::error::Error;
use crate::numbers::{Float, zeros};
use crate::optim::{AnyOptimizer, Constraint, Group, Optimizer, Schedule};
use crate::precision::Precision;
use crate::split::Splitter;

/// The settings of a [`Trainer`] to be; [`Trainer::builder`] makes one.
///
/// ```
/// use retrograd::{Engine, Sgd, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 2, 8)?;
/// let builder = Trainer::builder(cell, Sgd::new(0.1)).engine(Engine::Tape).seed(7).clip(1.0);
/// let trainer = builder.double().build()?; // in f64
/// assert_eq!(trainer.steps(), 0);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrainerBuilder<O, T: Float = f32> {
    optimizer: O,
    rest: Plain,
    of: std::marker::PhantomData<T>,
}

/// All of it that depends neither on the optimiser's type nor on the precision.
#[derive(Clone, Debug)]
struct Plain {
    cell: Cell,
    engine: Engine,
    seed: u64,
    threads: usize,
    unroll: Unroll,
    memory_budget: Option<usize>,
    flush: bool,
    precision: Precision,
    descent: DescentSettings,
    loss_outside: bool,
    input_gradients: Vec<String>,
}

impl Trainer<f32> {
    /// A trainer's settings: [`Engine::Jit`], seed 0, one thread, no clipping, f32.
    pub fn builder<O: Optimizer>(cell: Cell, optimizer: O) -> TrainerBuilder<O> {
        let rest = Plain {
            cell,
            engine: Engine::default(),
            seed: 0,
            threads: 1,
            unroll: Unroll::AUTO,
            memory_budget: None,
            flush: true,
            precision: Precision::Full,
            descent: DescentSettings::default(),
            loss_outside: false,
            input_gradients: Vec::new(),
        };
        TrainerBuilder {
            optimizer,
            rest,
            of: std::marker::PhantomData,
        }
    }
}

impl<O: Optimizer, T: Float> TrainerBuilder<O, T> {
    /// The engine that runs the cell.
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.rest.engine = engine;
        self
    }

    /// The seed of initial parameters and masks.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.rest.seed = seed;
        self
    }

    /// The number of threads, at least 1. The interpreted tape uses one.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.rest.threads = threads;
        self
    }

    /// The number of steps in an unrolled iteration of a recurrence's compiled loop, as [`Unroll::by`] allows; results are bitwise
    /// the same for any factor. The interpreted tape has no such loop.
    #[must_use]
    pub fn unroll(mut self, unroll: Unroll) -> Self {
        self.rest.unroll = unroll;
        self
    }

    /// Limits the memory of compiled code to this many bytes beyond parameters, batch and results: blocks of steps get shorter, and
    /// the backward step recomputes forward values instead of keeping them. Gradients are the same up to rounding. Without a
    /// budget, runs use the memory that makes them fastest. Whether a budget suffices depends on steps and rows: a run that needs
    /// more fails with [`RunError::Budget`](crate::RunError::Budget), which names the minimum. The interpreted tape ignores it.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.rest.memory_budget = Some(bytes);
        self
    }

    /// Scales down gradients whose norm, over all parameters, is greater than this.
    #[must_use]
    pub fn clip(mut self, norm: f64) -> Self {
        self.rest.descent.clip = Some(norm);
        self
    }

    /// Limits every element of the gradient to ±`most`, before its norm is.
    #[must_use]
    pub fn clip_value(mut self, most: f64) -> Self {
        self.rest.descent.clip_value = Some(most);
        self
    }

    /// Learning rate and weight decay of the parameters that match a pattern, or that they are frozen; see [`Group`]. Where several
    /// groups match, the last that says something holds.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.rest.descent.groups.push(group);
        self
    }

    /// Parameters that match a pattern stay as they are, and their gradients are not computed: `freeze("encoder.*")`.
    #[must_use]
    pub fn freeze(self, pattern: &str) -> Self {
        self.group(Group::new(pattern).frozen(true))
    }

    /// What the parameters that match a pattern are moved to after every step; see [`Constraint`].
    #[must_use]
    pub fn constrain(mut self, pattern: &str, constraint: Constraint) -> Self {
        self.rest
            .descent
            .constraints
            .push((pattern.to_owned(), constraint));
        self
    }

    /// The schedule of the learning rate; see [`Schedule`].
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.rest.descent.schedule = schedule;
        self
    }

    /// Keeps an exponential moving average of the parameters, θ̄ ← decay · θ̄ + (1 − decay) · θ after every step, beginning with the
    /// parameters after the first: [`Trainer::with_average`] runs the cell with it.
    #[must_use]
    pub fn average(mut self, decay: f64) -> Self {
        self.rest.descent.average = Some(decay);
        self
    }

    /// Whether compiled code in f32 sets a decaying state and its cotangent to 0 below 2⁻¹²⁶, the least normal number; by default
    /// it does. Denormal numbers make loops several times slower.
    #[must_use]
    pub fn flush(mut self, flush: bool) -> Self {
        self.rest.flush = flush;
        self
    }

    /// The precision of what products with weights multiply, on either engine, in training and in what the trainer computes
    /// otherwise; see [`Precision`]. By default nothing is rounded.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.rest.precision = precision;
        self
    }

    /// The caller computes the loss, or its derivatives, from the outputs: the cell needs none, and is trained by
    /// [`Trainer::forward`], [`Forward::backward`](crate::Forward::backward) and [`Trainer::apply`]. What
    /// [`Trainer::step`] runs is then compiled when it is first called.
    #[must_use]
    pub fn loss_outside(mut self) -> Self {
        self.rest.loss_outside = true;
        self
    }

    /// Lets [`Forward::backward`](crate::Forward::backward) also compute the gradients of these inputs, beside those of
    /// parameters and given initial states.
    #[must_use]
    pub fn input_gradients<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let names = names.into_iter().map(str::to_owned);
        self.rest.input_gradients.extend(names);
        self
    }

    /// Runs and trains the cell in f64.
    #[must_use]
    pub fn double(self) -> TrainerBuilder<O, f64> {
        TrainerBuilder {
            optimizer: self.optimizer,
            rest: self.rest,
            of: std::marker::PhantomData,
        }
    }

    /// Prepares the engine and draws the parameters.
    ///
    /// # Errors
    /// [`Error::NoLoss`], [`Error::Setting`], [`Error::NoMemory`], [`Error::NoSuchValue`] for gradients of no input, and [`Error::Compile`]
    /// if the cell cannot be compiled.
    pub fn build(self) -> Result<Trainer<T>, Error> {
        let state = optimizer_state(&self.rest.cell, self.optimizer, &self.rest.descent)?;
        self.rest.build(state)
    }
}

impl Plain {
    #[inline(never)]
    fn build<T: Float>(self, optimizer: Box<dyn AnyOptimizer<T>>) -> Result<Trainer<T>, Error> {
        let cell = self.cell;
        let outputs = cell.tape().outputs().iter();
        let loss = outputs.map(|o| o.role).position(|r| r == OutputRole::Loss);
        if loss.is_none() && !self.loss_outside {
            return Err(Error::NoLoss {
                cell: cell.name().to_owned(),
            });
        }
        at_least_one_thread(self.threads)?;
        let trained = trained(&cell, &self.descent);
        let descent = Descent::new(&cell, optimizer, self.descent)?;
        let parameters: Vec<T> = cell.initial_parameters(self.seed)?;
        let settings = Settings {
            threads: self.threads,
            unroll: self.unroll,
            memory_budget: self.memory_budget,
            flush: self.flush,
            precision: self.precision,
        };
        let mut splitter = None;
        if self.loss_outside || !self.input_gradients.is_empty() {
            let inputs = &self.input_gradients;
            splitter = Some(Splitter::new(
                &cell,
                self.engine,
                settings,
                &trained,
                inputs,
            )?);
        }
        Ok(Trainer {
            engine: self.engine,
            runner: Runner::new(self.engine, &cell, settings, &trained, !self.loss_outside)?,
            settings,
            splitter,
            input_gradients: self.input_gradients,
            descent,
            trained,
            draws: 0,
            seed: self.seed,
            declared: None,
            loss,
            feed: Feed::new(&cell, self.seed),
            slices: Vec::new(),
            unpacked: Unpacked::default(),
            gradient: zeros("the gradients", parameters.len())?,
            parameters: Arc::new(parameters),
            ranges: cell.parameter_ranges().collect(),
            cell,
        })
    }
}

/// What [`crate::instances`] lists.
pub(crate) fn instances<T: Float>() -> *const () {
    Plain::build::<T> as *const ()
}
