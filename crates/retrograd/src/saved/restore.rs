//! Going on from a checkpoint.

use std::path::Path;

use super::{Array, Checkpoint, numbers};
use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::Float;
use crate::optim::OptimizerMemory;
use crate::trainer::{Trainer, TrainingState};

impl<T: Float> Trainer<T> {
    /// Goes on from a checkpoint: the next step is bitwise that of the run that was saved. Cell, optimiser and limits of the step must be
    /// those of the run; its schedule, learning rate and seed replace the trainer's.
    ///
    /// # Errors
    /// [`Error::OtherTraining`], which names the first difference. Then nothing has changed.
    #[inline(never)]
    pub fn restore(&mut self, saved: &Checkpoint<T>) -> Result<(), Error> {
        let other = |difference: String| Err(Error::OtherTraining { difference });
        let t = &saved.head.training;
        if let Some(difference) = saved.difference(self.cell()) {
            return other(difference);
        }
        for (what, found, expected) in [
            ("numbers", &t.numbers[..], numbers::<T>()),
            ("optimiser", &t.optimizer, self.optimizer_name()),
            ("limits of a step", &t.limits, self.limits()),
            (
                "precision of products",
                t.precision.name(),
                self.precision().name(),
            ),
        ] {
            if found != expected {
                return other(format!("its {what}: {found}; the trainer's: {expected}"));
            }
        }
        let current = self.training_state();
        let mut memory: OptimizerMemory<T> = current.memory.clone();
        memory.steps = t.steps;
        let names: Vec<&str> = memory.vectors.iter().map(|(name, _)| *name).collect();
        if !t.memory.iter().eq(&names) {
            return other(format!(
                "the optimiser remembered {:?}, not {names:?}",
                t.memory
            ));
        }
        for ((_, values), array) in memory.vectors.iter_mut().zip(&saved.optimizer) {
            values.clone_from(&array.values);
        }
        let named = memory.scalars.iter().map(|(name, _)| *name);
        if !t.scalars.iter().map(|(name, _)| &name[..]).eq(named) {
            return other("the optimiser remembered other numbers".to_owned());
        }
        for ((_, x), (_, saved)) in memory.scalars.iter_mut().zip(&t.scalars) {
            *x = *saved;
        }
        let state = TrainingState {
            parameters: saved.parameters(),
            draws: t.draws,
            seed: t.seed,
            memory,
            learning_rate: t.learning_rate,
            schedule: t.schedule.clone(),
            seen: t.seen.clone(),
            average: saved.averaged_parameters(),
        };
        self.set_training_state(state)?;
        let settings = self.optimizer_settings();
        if settings != t.settings {
            self.set_training_state(current)?;
            return other(format!(
                "its optimiser: {}; the trainer's: {settings}",
                t.settings
            ));
        }
        Ok(())
    }

    /// [`restore`](Self::restore) from the file of a checkpoint.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`] and of [`restore`](Self::restore).
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.restore(&Checkpoint::read(path)?)
    }
}

impl Cell {
    /// The parameters of a checkpoint, whatever they were trained with.
    pub(crate) fn take_parameters<T: Float>(&self, path: &Path) -> Result<Vec<T>, Error> {
        let saved = Checkpoint::read(path)?;
        match saved.difference(self) {
            None => Ok(saved.parameters()),
            Some(difference) => Err(Error::OtherParameters {
                path: path.to_owned(),
                cell: self.name().to_owned(),
                difference,
            }),
        }
    }
}

impl<T: Float> Checkpoint<T> {
    /// The first difference of the parameters from a cell's.
    fn difference(&self, cell: &Cell) -> Option<String> {
        let mut saved = self.parameters.iter();
        for p in cell.parameter_specs() {
            let expected = p.shape.axes();
            let Some(Array {
                name,
                shape,
                values,
            }) = saved.next()
            else {
                return Some(format!(
                    "the file has no parameter `{}` {}",
                    p.name, p.shape
                ));
            };
            if name != p.name {
                return Some(format!(
                    "the file has `{name}` in the place of `{}`",
                    p.name
                ));
            }
            if shape[..] != expected[..] {
                return Some(format!(
                    "parameter `{name}` is {expected:?}, in the file {shape:?}"
                ));
            }
            if let Some(v) = values.iter().find(|v| !v.to_f64().is_finite()) {
                return Some(format!(
                    "parameter `{name}` holds {v}, which is out of range"
                ));
            }
        }
        saved
            .next()
            .map(|a| format!("the file has a parameter `{}` besides", a.name))
    }
}
