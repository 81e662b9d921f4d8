//! [`Fit`]: the loop of training, with validation, early stopping, checkpoints and logs. All that it does can be done by hand with a
//! [`Trainer`]: steps, [`report_metric`](Trainer::report_metric), [`checkpoint`](Trainer::checkpoint).

mod chunk;
mod csv;
mod events;
mod metrics;
mod state;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::numbers::Float;
use crate::saved::Checkpoint;
use crate::trainer::Trainer;

pub use chunk::Chunk;
pub use csv::CsvLog;
pub use events::EventLog;
pub use metrics::{EpochMetrics, History, Log, StepMetrics, Stopped};

use state::State;

type OnStep<'f, T> = dyn FnMut(&mut Trainer<T>, &StepMetrics) -> ControlFlow<()> + 'f;
type OnEpoch<'f, T> = dyn FnMut(&mut Trainer<T>, &EpochMetrics) -> ControlFlow<()> + 'f;
type Validate<'f, T> = dyn FnMut(&mut Trainer<T>) -> Result<f64, Error> + 'f;

/// Trains for some epochs.
///
/// ```
/// use retrograd::fit::{Fit, Stopped};
/// use retrograd::{Adam, Batch, Extent, Trainer, zoo};
///
/// let cell = zoo::forecaster(zoo::find("gru").unwrap(), 1, 8)?;
/// let mut trainer = Trainer::builder(cell, Adam::new(1e-2)).build()?;
/// let wave = |from: usize| -> Vec<f32> { (from..from + 20).map(|t| (t as f32 * 0.4).sin()).collect() };
/// let window = |from| Batch::new(Extent::steps(20)).with("x", wave(from)).with("next", wave(from + 1));
/// let held_out = window(500);
///
/// let history = Fit::new(60)
///     .validate(|trainer| Ok(trainer.evaluate(&held_out)?.loss()))
///     .stop_early(5)
///     .run(&mut trainer, |epoch| (0..8).map(move |k| window(20 * k + epoch as usize % 20)))?;
/// let best = history.best().unwrap();
/// assert!(best.validation.unwrap() < 0.1 * history.epochs[0].validation.unwrap());
/// assert!(history.stopped == Stopped::Early || history.epochs.len() == 60);
/// // The trainer has the parameters of the best epoch.
/// assert_eq!(trainer.evaluate(&held_out)?.loss(), best.validation.unwrap());
/// # Ok::<(), retrograd::Error>(())
/// ```
pub struct Fit<'f, T: Float = f32> {
    epochs: u64,
    validate: Option<Box<Validate<'f, T>>>,
    patience: Option<u64>,
    least_change: f64,
    averaged: bool,
    keep_last: bool,
    checkpoint: Option<(PathBuf, u64)>,
    anew: bool,
    notes: Vec<(String, String)>,
    logs: Vec<Box<dyn Log + 'f>>,
    on_step: Vec<Box<OnStep<'f, T>>>,
    on_epoch: Vec<Box<OnEpoch<'f, T>>>,
}

impl<'f, T: Float> Fit<'f, T> {
    /// So many epochs, without any of the rest.
    pub fn new(epochs: u64) -> Fit<'f, T> {
        Fit {
            epochs,
            validate: None,
            patience: None,
            least_change: 0.0,
            averaged: false,
            keep_last: false,
            checkpoint: None,
            anew: false,
            notes: Vec::new(),
            logs: Vec::new(),
            on_step: Vec::new(),
            on_epoch: Vec::new(),
        }
    }

    /// What is measured after each epoch; the less, the better. It goes to [`Trainer::report_metric`], and at the end the trainer gets
    /// the parameters of the epoch in which it was least. A number that is not finite counts as missing.
    #[must_use]
    pub fn validate(
        mut self,
        measure: impl FnMut(&mut Trainer<T>) -> Result<f64, Error> + 'f,
    ) -> Self {
        self.validate = Some(Box::new(measure));
        self
    }

    /// Validates, and ends with, the [average](crate::TrainerBuilder::average) of the parameters.
    #[must_use]
    pub fn averaged(self) -> Self {
        Fit {
            averaged: true,
            ..self
        }
    }

    /// Only measures the validation, and ends with the parameters of the last epoch.
    #[must_use]
    pub fn keep_last(self) -> Self {
        Fit {
            keep_last: true,
            ..self
        }
    }

    /// Ends when so many epochs in a row have not been better than the best before.
    #[must_use]
    pub fn stop_early(self, patience: u64) -> Self {
        Fit {
            patience: Some(patience),
            ..self
        }
    }

    /// By how much an epoch has to be better than the best to count as better; 0 unless given.
    #[must_use]
    pub fn least_change(self, least_change: f64) -> Self {
        Fit {
            least_change,
            ..self
        }
    }

    /// Writes a [`Checkpoint`] to a path every so many steps and at the end, and goes on from the one that is there at the start. The
    /// batches of an epoch must then be the same whenever they are asked for; the resumed run is bitwise the one that never stopped.
    #[must_use]
    pub fn checkpoint(mut self, path: impl AsRef<Path>, every: u64) -> Self {
        self.checkpoint = Some((path.as_ref().to_owned(), every));
        self
    }

    /// Begins anew where a checkpoint is there already: it is replaced by the first one that is written.
    #[must_use]
    pub fn anew(self) -> Self {
        Fit { anew: true, ..self }
    }

    /// A note that all its checkpoints have: how data were scaled, what the columns are; see [`Checkpoint::with_note`].
    #[must_use]
    pub fn note(mut self, key: &str, text: &str) -> Self {
        self.notes.push((key.to_owned(), text.to_owned()));
        self
    }

    /// Also writes all metrics to a log: [`CsvLog`], [`EventLog`], or one of your own.
    #[must_use]
    pub fn log(mut self, log: impl Log + 'f) -> Self {
        self.logs.push(Box::new(log));
        self
    }

    /// Called after each step; [`ControlFlow::Break`] ends the training after it.
    #[must_use]
    pub fn on_step(
        mut self,
        call: impl FnMut(&mut Trainer<T>, &StepMetrics) -> ControlFlow<()> + 'f,
    ) -> Self {
        self.on_step.push(Box::new(call));
        self
    }

    /// Called after each epoch; [`ControlFlow::Break`] ends the training.
    #[must_use]
    pub fn on_epoch(
        mut self,
        call: impl FnMut(&mut Trainer<T>, &EpochMetrics) -> ControlFlow<()> + 'f,
    ) -> Self {
        self.on_epoch.push(Box::new(call));
        self
    }

    /// Trains. `batches` returns the batches of an epoch, the first being epoch 0; or [`Chunk`]s of long sequences, whose states are
    /// carried from one to the next.
    ///
    /// # Errors
    /// Those of [`Trainer::step`] and [`Trainer::step_carrying`], of the validation, of [`Trainer::restore`] for the checkpoint that is
    /// there, and [`Error::File`] for checkpoints and logs; [`Error::Setting`] for early stopping without a validation, an epoch
    /// without batches, or a chunk that goes on where none was before.
    pub fn run<I>(
        mut self,
        trainer: &mut Trainer<T>,
        mut batches: impl FnMut(u64) -> I,
    ) -> Result<History, Error>
    where
        I: IntoIterator,
        I::Item: Into<Chunk<T>>,
    {
        self.check()?;
        let mut state = self.begin(trainer)?;
        let mut stopped = state.stopped;
        while stopped.is_none() && state.epoch < self.epochs {
            stopped = self.epoch(trainer, &mut state, &mut batches)?;
            if stopped.is_none() {
                stopped = self.end_epoch(trainer, &mut state)?;
            }
        }
        let stopped = stopped.unwrap_or(Stopped::Epochs);
        // A callback may end it in the middle of an epoch, to go on later.
        state.stopped = (stopped == Stopped::Early).then_some(stopped);
        if let Some((path, _)) = &self.checkpoint {
            self.saved(&state, trainer).write(path)?;
        }
        if let Some(best) = &state.best {
            trainer.set_parameters(&best.parameters)?;
        } else if let Some(average) = trainer.averaged_parameters().filter(|_| self.averaged) {
            let average = average.to_vec();
            trainer.set_parameters(&average)?;
        }
        Ok(History {
            epochs: state.history,
            stopped,
        })
    }

    fn check(&self) -> Result<(), Error> {
        let setting = |what, found: String, expected: &str| {
            Err(Error::Setting {
                what,
                found,
                expected: expected.to_owned(),
            })
        };
        if self.patience.is_some() && self.validate.is_none() {
            return setting(
                "early stopping",
                "no validation".to_owned(),
                "what to measure",
            );
        }
        if let Some((_, 0)) = self.checkpoint {
            let what = "the number of steps from checkpoint to checkpoint";
            return setting(what, "0".to_owned(), "at least 1");
        }
        crate::optim::not_negative("the least change of the metric", self.least_change)
    }

    /// The state at the start, from the checkpoint if there is one.
    fn begin(&mut self, trainer: &mut Trainer<T>) -> Result<State<T>, Error> {
        let there = self.checkpoint.as_ref().filter(|_| !self.anew);
        let there = there.filter(|(path, _)| path.exists());
        let state = match there {
            None => State::new(),
            Some((path, _)) => {
                let saved = Checkpoint::read(path)?;
                let mut state = State::of(&saved)?;
                trainer.restore(&saved)?;
                state.restore_carry(&saved, trainer)?;
                state
            }
        };
        for log in &mut self.logs {
            log.begin(trainer.steps(), state.epoch)?;
        }
        Ok(state)
    }

    /// A checkpoint with the loop's notes.
    fn saved(&self, state: &State<T>, trainer: &Trainer<T>) -> Checkpoint<T> {
        let notes = self.notes.iter();
        notes.fold(state.checkpoint(trainer), |saved, (key, text)| {
            saved.with_note(key, text)
        })
    }

    /// The rest of an epoch.
    fn epoch<I>(
        &mut self,
        trainer: &mut Trainer<T>,
        state: &mut State<T>,
        batches: &mut impl FnMut(u64) -> I,
    ) -> Result<Option<Stopped>, Error>
    where
        I: IntoIterator,
        I::Item: Into<Chunk<T>>,
    {
        let done = usize::try_from(state.batches).unwrap_or(usize::MAX);
        for batch in batches(state.epoch).into_iter().skip(done) {
            let learning_rate = trainer.learning_rate();
            let report = batch.into().step(trainer, &mut state.carry)?;
            state.batches += 1;
            state.loss += report.loss;
            let metrics = StepMetrics {
                step: report.step,
                epoch: state.epoch,
                loss: report.loss,
                gradient_norm: report.gradient_norm,
                learning_rate,
            };
            for log in &mut self.logs {
                log.step(&metrics)?;
            }
            let mut go_on = true;
            for call in &mut self.on_step {
                go_on &= call(trainer, &metrics).is_continue();
            }
            if let Some((path, every)) = &self.checkpoint
                && report.step.is_multiple_of(*every)
            {
                self.saved(state, trainer).write(path)?;
            }
            if !go_on {
                return Ok(Some(Stopped::Asked));
            }
        }
        if state.batches == 0 {
            return Err(Error::Setting {
                what: "the number of batches of an epoch",
                found: "0".to_owned(),
                expected: "at least 1".to_owned(),
            });
        }
        Ok(None)
    }

    /// Validation, and what follows from it.
    fn end_epoch(
        &mut self,
        trainer: &mut Trainer<T>,
        state: &mut State<T>,
    ) -> Result<Option<Stopped>, Error> {
        let averaged = self.averaged;
        let measured = self.validate.as_mut().map(|measure| match averaged {
            true => trainer.with_average(measure),
            false => measure(trainer),
        });
        let validation = measured.transpose()?;
        if let Some(metric) = validation {
            trainer.report_metric(metric)?;
        }
        let validation = validation.filter(|metric| metric.is_finite());
        let before = match self.keep_last {
            true => (state.history.iter().filter_map(|e| e.validation)).min_by(f64::total_cmp),
            false => state.best.as_ref().map(|best| best.metric),
        };
        let better = |metric: f64| before.is_none_or(|b| metric < b - self.least_change);
        let is_best = validation.is_some_and(better);
        if let (true, Some(metric), false) = (is_best, validation, self.keep_last) {
            let average = trainer.averaged_parameters().filter(|_| averaged);
            state.best = Some(state::Best {
                metric,
                parameters: average.unwrap_or(trainer.parameters()).to_vec(),
            });
        }
        state.waited = if is_best { 0 } else { state.waited + 1 };
        let metrics = EpochMetrics {
            epoch: state.epoch,
            step: trainer.steps(),
            loss: state.loss / state.batches as f64,
            validation,
            is_best,
        };
        state.history.push(metrics);
        state.epoch += 1;
        (state.batches, state.loss) = (0, 0.0);
        for log in &mut self.logs {
            log.epoch(&metrics)?;
        }
        let mut go_on = true;
        for call in &mut self.on_epoch {
            go_on &= call(trainer, &metrics).is_continue();
        }
        let early = self
            .patience
            .is_some_and(|patience| state.waited >= patience);
        Ok(match (early, go_on) {
            (true, _) => Some(Stopped::Early),
            (_, false) => Some(Stopped::Asked),
            (false, true) => None,
        })
    }
}

impl<T: Float> std::fmt::Debug for Fit<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fit")
            .field("epochs", &self.epochs)
            .field("patience", &self.patience)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}
