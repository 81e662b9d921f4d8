//! What a trainer carries from step to step, and what depends on it: the average of the parameters, metrics.

use std::sync::Arc;

use super::Trainer;
use crate::batch::Feed;
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::Float;
use crate::optim::{OptimizerMemory, Schedule, Seen};

/// All that training changes: from it, a run goes on bitwise as if it had never stopped.
#[derive(Clone, Debug)]
pub(crate) struct TrainingState<T> {
    pub(crate) parameters: Vec<T>,
    /// How often masks were drawn.
    pub(crate) draws: u64,
    pub(crate) seed: u64,
    pub(crate) memory: OptimizerMemory<T>,
    /// The learning rate that the schedule multiplies.
    pub(crate) learning_rate: f64,
    pub(crate) schedule: Schedule,
    pub(crate) seen: Seen,
    /// The average, once there was a step.
    pub(crate) average: Option<Vec<T>>,
}

impl<T: Float> Trainer<T> {
    /// Tells the schedule a metric, such as the loss of a validation set; the less, the better. A
    /// [`Schedule::Plateau`](crate::optim::Schedule::Plateau) lowers the learning rate when it has stopped falling; NaN is never
    /// better. Other schedules do not mind.
    ///
    /// ```
    /// use retrograd::optim::{Plateau, Schedule};
    /// use retrograd::{Sgd, Trainer, zoo};
    ///
    /// let plateau = Plateau { patience: 1, ..Plateau::new(0.5) };
    /// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(1.0)).schedule(Schedule::Plateau(plateau)).build()?;
    /// let mut rates = Vec::new();
    /// for loss in [3.0, 2.0, 2.5, 2.5] {
    ///     trainer.report_metric(loss)?;
    ///     rates.push(trainer.learning_rate());
    /// }
    /// assert_eq!(rates, [1.0, 1.0, 1.0, 0.5]);
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Setting`] if the learning rate would not be a finite number.
    #[inline(never)]
    pub fn report_metric(&mut self, metric: f64) -> Result<(), Error> {
        self.descent.scheduled.report(metric);
        self.descent.schedule()
    }

    /// The average of the parameters, in the order of [`parameters`](Self::parameters); none before the first step, or if
    /// [`TrainerBuilder::average`](crate::TrainerBuilder::average) did not ask for it.
    pub fn averaged_parameters(&self) -> Option<&[T]> {
        let average = self.descent.average.as_ref();
        average.filter(|a| a.begun).map(|a| &a.values[..])
    }

    /// Calls `run` with a trainer whose parameters are their average (or as they are, if there is none), to evaluate, predict or save
    /// them. Afterwards the parameters are as they were before.
    ///
    /// ```
    /// use retrograd::{Batch, Extent, Sgd, Trainer, zoo};
    ///
    /// let cell = zoo::forecaster(zoo::find("rnn").unwrap(), 1, 4)?;
    /// let mut trainer = Trainer::builder(cell, Sgd::new(0.1)).average(0.99).build()?;
    /// let batch = Batch::new(Extent::steps(2)).with("x", vec![0.1, 0.2]).with("next", vec![0.2, 0.3]);
    /// for _ in 0..3 {
    ///     trainer.step(&batch)?;
    /// }
    /// let averaged = trainer.with_average(|trainer| trainer.evaluate(&batch).map(|e| e.loss()))?;
    /// assert!(averaged > trainer.evaluate(&batch)?.loss(), "it lags behind");
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    pub fn with_average<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        let Some(average) = self.averaged_parameters().map(<[T]>::to_vec) else {
            return run(self);
        };
        let own = std::mem::replace(&mut self.parameters, Arc::new(average));
        let result = run(self);
        self.parameters = own;
        result
    }

    /// The cell as the caller declared it.
    pub(crate) fn declared_cell(&self) -> &Cell {
        self.declared.as_ref().unwrap_or(&self.cell)
    }

    pub(crate) fn optimizer_name(&self) -> &'static str {
        self.descent.optimizer.name()
    }

    /// The optimiser's settings for display, at the learning rate of the next step.
    pub(crate) fn optimizer_settings(&self) -> String {
        format!("{:?}", self.descent.optimizer.settings())
    }

    /// Clipping, groups, constraints and the decay of the average, for display.
    pub(crate) fn limits(&self) -> &str {
        &self.descent.limits
    }

    /// A copy of all that training changes.
    pub(crate) fn training_state(&self) -> TrainingState<T> {
        let descent = &self.descent;
        TrainingState {
            parameters: self.parameters.to_vec(),
            draws: self.draws,
            seed: self.seed,
            memory: descent.optimizer.memory().clone(),
            learning_rate: descent.scheduled.base,
            schedule: descent.scheduled.schedule.clone(),
            seen: descent.scheduled.seen.clone(),
            average: self.averaged_parameters().map(<[T]>::to_vec),
        }
    }

    /// Goes on from such a copy, which has as many parameters. After an error nothing has changed.
    pub(crate) fn set_training_state(&mut self, state: TrainingState<T>) -> Result<(), Error> {
        let descent = &mut self.descent;
        let before = descent.optimizer.memory().clone();
        let scheduled = descent.scheduled.clone();
        state.schedule.check()?;
        descent.optimizer.set_memory(state.memory)?;
        descent.scheduled.seen = state.seen;
        descent.scheduled.schedule = state.schedule;
        if let Err(e) = descent.set_base(state.learning_rate) {
            let base = scheduled.base;
            descent.scheduled = scheduled;
            descent.optimizer.set_memory(before)?;
            descent.set_base(base)?;
            return Err(e);
        }
        if let Some(average) = &mut descent.average {
            average.begun = state.average.is_some();
            if let Some(values) = state.average {
                average.values = values;
            }
        }
        self.parameters = Arc::new(state.parameters);
        self.draws = state.draws;
        if self.seed != state.seed {
            self.feed = Feed::new(&self.cell, state.seed);
            self.seed = state.seed;
        }
        Ok(())
    }
}
