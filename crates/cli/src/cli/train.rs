//! Training a forecaster on a table, and what is saved of it.

use std::cell::{Cell, RefCell};
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use retrograd::fit::{Chunk, Fit, Stopped};
use retrograd::forecast::{
    Columns, Difference, Embedding, Examples, ForecastError, Scaling, Setup,
};
use retrograd::optim::Schedule;
use retrograd::{Adam, Batch, Trainer};

use super::args::{RoleArgs, TrainingArgs};
use super::choice::{Forecaster, Widths};
use super::interrupt;
use super::progress::TrainingProgress;
use super::table::Table;
use super::trace;

/// Rows between the starts of an epoch's windows, from an offset that each epoch draws.
const STRIDE: usize = 8;
/// Default length and number of windows; a short series has shorter and fewer ones.
const STEPS: usize = 64;
const BATCH: usize = 32;
/// The norm to which gradients are clipped.
const CLIP: f64 = 1.0;

/// The course of training.
pub(super) struct Trained {
    /// The loss of every step. Of steps before the run went on, the mean of their epoch.
    pub(super) losses: Vec<f64>,
    /// Validation error by number of steps, once per epoch.
    pub(super) validation: Vec<(usize, f64)>,
    /// Time for training steps, without the validation between them.
    pub(super) time: Duration,
    /// The steps that this time was for.
    pub(super) timed: usize,
    /// How it ended.
    pub(super) stopped: Stopped,
}

/// Where a training is saved, and how it goes on.
pub(super) struct Saving {
    pub(super) path: PathBuf,
    /// Notes of the file: keys and texts.
    pub(super) notes: Vec<(String, String)>,
    /// Goes on from the file that is there.
    pub(super) resume: bool,
}

/// The setup for a table, but for the cell.
pub(super) fn setup(
    table: &Table,
    training: &[Range<usize>],
    roles: &RoleArgs,
    columns: Columns,
    steps: Option<usize>,
) -> Result<Setup> {
    let horizon = roles.horizon.unwrap_or(1);
    let rows = training.iter().map(Range::len).max().unwrap_or(0);
    let most = rows.saturating_sub(horizon).min(rows / 2);
    let steps = steps.unwrap_or(STEPS.min(most).max(1));
    if steps.saturating_add(horizon) > rows {
        let after = match horizon {
            1 => "the row after it".to_owned(),
            n => format!("the {n} rows after it"),
        };
        bail!(
            "the training part has {rows} rows; --steps {steps} needs at least {}, a window and {after}",
            steps + horizon
        );
    }
    let panel = &table.panel;
    // Without roles and horizons, rows are forecast as they are.
    let difference = match roles.difference {
        Some(difference) => difference,
        None if table.is_plain(roles) => Difference::None,
        None => {
            let season = panel.season().unwrap_or(1);
            Difference::best(panel, &columns, training, horizon, season)
        }
    };
    let scaling = roles.scale.unwrap_or(Scaling::Series);
    let setup = Setup::fit(columns, panel, training)?;
    let setup = setup.horizon(horizon).steps(steps).scaling(scaling);
    Ok(setup.difference(difference, panel, training)?)
}

/// Epochs without a better validation error after which a training stops, unless rows are forecast one by one.
const PATIENCE: usize = 20;

/// The options with what a table makes of those that are not given.
pub(super) fn options(given: &TrainingArgs, table: &Table, roles: &RoleArgs) -> TrainingArgs {
    let usual = (!table.is_plain(roles)).then_some(PATIENCE);
    TrainingArgs {
        patience: given.patience.or(usual),
        ..given.clone()
    }
}

/// The widths of a cell for a setup.
pub(super) fn widths<'a>(setup: &Setup, categories: &'a [Embedding]) -> Widths<'a> {
    Widths {
        categories,
        inputs: setup.inputs(),
        outputs: setup.outputs(),
        masked: setup.needs_present(),
    }
}

/// Windows of a batch: as requested, else by how many there are.
pub(super) fn batch(examples: &Examples<'_>, options: &TrainingArgs) -> usize {
    options.batch.unwrap_or(BATCH.min(examples.len()).max(1))
}

/// A trainer with the options' settings; the learning rate falls to zero as half a cosine over all steps.
pub(super) fn trainer(
    forecaster: &Forecaster,
    examples: &Examples<'_>,
    options: &TrainingArgs,
) -> Result<Trainer> {
    let each = examples.batches_per_epoch(batch(examples, options), STRIDE)?;
    trainer_of(forecaster.cell.clone(), each, options)
}

/// The same of a cell, for so many steps an epoch.
pub(super) fn trainer_of(
    cell: retrograd::Cell,
    each: usize,
    options: &TrainingArgs,
) -> Result<Trainer> {
    let steps = options.epochs.saturating_mul(each);
    let settings = Trainer::builder(cell, Adam::new(options.learning_rate));
    Ok(settings
        .engine(options.engine)
        .seed(options.seed)
        .threads(options.threads)
        .unroll(options.unroll.unwrap_or_default())
        .precision(options.precision)
        .clip(CLIP)
        .schedule(Schedule::cosine(steps as u64))
        .build()?)
}

/// Trains for all epochs; `measure` is the validation error. With patience, the trainer has the best epoch's parameters in the end.
pub(super) fn train(
    trainer: &mut Trainer,
    examples: &Examples<'_>,
    options: &TrainingArgs,
    saving: Option<&Saving>,
    measure: &dyn Fn(&mut Trainer) -> Result<f64>,
) -> Result<Trained> {
    let batch = batch(examples, options);
    let each = examples.batches_per_epoch(batch, STRIDE)?;
    let mut order = examples.order(batch, STRIDE, options.seed)?;
    let epoch = |n| order.epoch(n);
    train_on(trainer, (each, batch), epoch, options, saving, measure)
}

/// The same on the batches of an epoch, of which there are so many of so many examples.
pub(super) fn train_on<I: Iterator<Item = Batch>>(
    trainer: &mut Trainer,
    (each, batch): (usize, usize),
    mut epoch: impl FnMut(u64) -> I,
    options: &TrainingArgs,
    saving: Option<&Saving>,
    measure: &dyn Fn(&mut Trainer) -> Result<f64>,
) -> Result<Trained> {
    // Of a model whose numbers are not finite before any step, a step says more than the forecast.
    if options.trace_nan
        && let Err(forecast) = measure(trainer)
    {
        let batch = epoch(0).next();
        return Err(match batch.as_ref().map(|b| trainer.step(b)) {
            Some(Err(step)) => trace::explained(step, trainer, batch.as_ref()),
            Some(Ok(_)) | None => forecast,
        });
    }
    let traced = RefCell::new(None);
    let explain = |e, trainer: &mut Trainer| trace::explained(e, trainer, traced.borrow().as_ref());
    let course = Course {
        options,
        each,
        batch,
        saving,
        measure,
        explain: &explain,
    };
    course.run(trainer, |n| {
        let traced = &traced;
        epoch(n).inspect(move |batch| {
            if options.trace_nan {
                *traced.borrow_mut() = Some(batch.clone());
            }
        })
    })
}

/// A training, but for what it runs on.
pub(super) struct Course<'a> {
    pub(super) options: &'a TrainingArgs,
    /// Steps of an epoch, and the examples of a step.
    pub(super) each: usize,
    pub(super) batch: usize,
    pub(super) saving: Option<&'a Saving>,
    /// The validation error.
    pub(super) measure: &'a dyn Fn(&mut Trainer) -> Result<f64>,
    /// What is said of an error of a step.
    pub(super) explain: &'a dyn Fn(retrograd::Error, &mut Trainer) -> anyhow::Error,
}

impl Course<'_> {
    /// Trains for all epochs on these batches, or chunks of long sequences.
    pub(super) fn run<I>(
        &self,
        trainer: &mut Trainer,
        mut batches: impl FnMut(u64) -> I,
    ) -> Result<Trained>
    where
        I: IntoIterator,
        I::Item: Into<Chunk>,
    {
        let Course { options, batch, .. } = *self;
        let steps = options.epochs.saturating_mul(self.each);
        let progress = TrainingProgress::new(steps, options.epochs);
        let first = (self.measure)(trainer)?;

        let (losses, begun) = (RefCell::new(Vec::new()), Cell::new(Instant::now()));
        let (time, failed) = (Cell::new(Duration::ZERO), RefCell::new(None));
        let fit = Fit::new(options.epochs as u64)
            .validate(|trainer| {
                Ok((self.measure)(trainer).unwrap_or_else(|e| {
                    failed.borrow_mut().get_or_insert(e);
                    f64::NAN
                }))
            })
            .on_epoch(|_, _| match failed.borrow().is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
            .on_step(|_, metrics| {
                time.set(time.get() + begun.get().elapsed());
                let mut losses = losses.borrow_mut();
                losses.push(metrics.loss);
                let epoch = metrics.epoch as usize + 1;
                progress.step(
                    metrics.step,
                    epoch,
                    metrics.loss,
                    losses.len() * batch,
                    time.get(),
                );
                match interrupt::asked() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
        let history = self.settings(fit).run(trainer, |epoch| {
            let begun = &begun;
            let batches = batches(epoch).into_iter();
            batches.inspect(move |_| begun.set(Instant::now()))
        });
        let history = history.map_err(|e| (self.explain)(e, trainer))?;
        if let Some(e) = failed.into_inner() {
            return Err(e);
        }
        let own = losses.into_inner();
        let timed = own.len();
        let done = trainer.steps() as usize;
        let mut losses = Vec::with_capacity(done);
        for epoch in &history.epochs {
            let end = (epoch.step as usize).min(done - timed);
            losses.resize(end.max(losses.len()), epoch.loss);
        }
        losses.resize(done - timed, own.first().copied().unwrap_or_default());
        losses.extend(own);
        let measured =
            (history.epochs.iter()).filter_map(|e| Some((e.step as usize, e.validation?)));
        Ok(Trained {
            losses,
            validation: std::iter::once((0, first)).chain(measured).collect(),
            time: time.get(),
            timed,
            stopped: history.stopped,
        })
    }

    /// The loop with early stopping, checkpoints and notes.
    fn settings<'f>(&self, mut fit: Fit<'f>) -> Fit<'f> {
        let options = self.options;
        fit = match options.patience {
            Some(patience @ 1..) => fit.stop_early(patience as u64),
            Some(0) | None => fit.keep_last(),
        };
        if let Some(saving) = self.saving {
            // Without a number of steps, only the end is saved.
            let every = options.checkpoint_every.map_or(u64::MAX, |n| n as u64);
            fit = fit.checkpoint(&saving.path, every);
            for (key, text) in &saving.notes {
                fit = fit.note(key, text);
            }
            if !saving.resume {
                fit = fit.anew();
            }
        }
        fit
    }
}

/// The validation error of a trainer: of forecasts at the ends of windows that end in rows to validate on.
pub(super) fn window_error(
    examples: &Examples<'_>,
    trainer: &mut Trainer,
) -> Result<f64, ForecastError> {
    /// Windows that are forecast from.
    const WINDOWS: usize = 256;
    examples.error(trainer, WINDOWS)
}
