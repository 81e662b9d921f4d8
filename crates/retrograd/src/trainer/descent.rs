//! What a training step does with the gradient: limits, the optimiser at its scheduled rate, constraints, the average.

use std::ops::Range;

use crate::cell::Cell;
use crate::error::Error;
use crate::numbers::{Float, zeros};
use crate::optim::{
    AnyOptimizer, Average, Constrained, Constraint, Group, Objective, Optimizer, OptimizerState,
    Part, Schedule, Scheduled, StepError, clip_scale, global_norm, matches, not_negative, positive,
    setting,
};

/// The settings of a [`Descent`] to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct DescentSettings {
    pub(crate) clip: Option<f64>,
    pub(crate) clip_value: Option<f64>,
    pub(crate) groups: Vec<Group>,
    pub(crate) constraints: Vec<(String, Constraint)>,
    pub(crate) schedule: Schedule,
    pub(crate) average: Option<f64>,
}

/// An optimiser, and what goes with its steps.
#[derive(Debug)]
pub(crate) struct Descent<T: Float> {
    pub(crate) optimizer: Box<dyn AnyOptimizer<T>>,
    pub(crate) scheduled: Scheduled,
    pub(crate) average: Option<Average<T>>,
    clip: Option<f64>,
    clip_value: Option<f64>,
    /// The settings but for the schedule, for display.
    pub(crate) limits: String,
    frozen: Vec<Range<usize>>,
    constraints: Vec<Constrained>,
    /// The parameters before the last step.
    before: Vec<T>,
}

/// For each parameter of a cell, whether it is trained.
pub(crate) fn trained(cell: &Cell, settings: &DescentSettings) -> Vec<bool> {
    let frozen = |name: &str| {
        let mut groups = settings.groups.iter().rev();
        groups.find_map(|g| matches(&g.pattern, name).then_some(g.frozen?))
    };
    let parameters = cell.parameter_specs();
    parameters
        .map(|p| !frozen(p.name).unwrap_or(false))
        .collect()
}

impl<T: Float> Descent<T> {
    pub(crate) fn new(
        cell: &Cell,
        optimizer: Box<dyn AnyOptimizer<T>>,
        settings: DescentSettings,
    ) -> Result<Descent<T>, Error> {
        for (what, limit) in [
            ("the norm to clip gradients at", settings.clip),
            ("the value to clip gradients at", settings.clip_value),
        ] {
            limit.map_or(Ok(()), |limit| positive(what, limit))?;
        }
        settings.schedule.check()?;
        let limits = format!(
            "clip {:?} {:?}, groups {:?}, constraints {:?}, average {:?}",
            settings.clip,
            settings.clip_value,
            settings.groups,
            settings.constraints,
            settings.average
        );
        let n = cell.parameter_count();
        let mut constraints = Vec::new();
        for (pattern, constraint) in &settings.constraints {
            constraint.check()?;
            found(cell, pattern)?;
            let parameters = cell.parameter_specs().zip(cell.parameter_ranges());
            let these = parameters.filter(|(p, _)| matches(pattern, p.name));
            constraints
                .extend(these.map(|(p, range)| Constrained::new(*constraint, range, p.shape)));
        }
        let average = match settings.average {
            None => None,
            Some(decay) => {
                setting(
                    "the decay of the average",
                    decay,
                    "from 0 to less than 1",
                    |x| (0.0..1.0).contains(&x),
                )?;
                Some(Average {
                    decay,
                    values: zeros("the average of the parameters", n)?,
                    begun: false,
                })
            }
        };
        let trained = trained(cell, &settings).into_iter();
        let frozen = cell.parameter_ranges().zip(trained);
        let scheduled = Scheduled::new(settings.schedule, optimizer.learning_rate());
        let mut descent = Descent {
            optimizer,
            scheduled,
            average,
            clip: settings.clip,
            clip_value: settings.clip_value,
            limits,
            frozen: frozen.filter(|(_, t)| !t).map(|(r, _)| r).collect(),
            constraints,
            before: zeros("the parameters", n)?,
        };
        descent.schedule()?;
        Ok(descent)
    }

    /// Sets the optimiser's learning rate for the next step.
    pub(crate) fn schedule(&mut self) -> Result<(), Error> {
        let step = self.optimizer.memory().steps;
        self.optimizer.set_learning_rate(self.scheduled.rate(step))
    }

    /// Sets the learning rate that the schedule multiplies.
    pub(crate) fn set_base(&mut self, learning_rate: f64) -> Result<(), Error> {
        let before = self.scheduled.base;
        // The optimiser refuses what makes no sense, whatever the schedule makes of it.
        self.optimizer.set_learning_rate(learning_rate)?;
        self.scheduled.base = learning_rate;
        let set = self.schedule();
        if set.is_err() {
            self.scheduled.base = before;
            self.schedule()?;
        }
        set
    }

    /// One step along a gradient, which is limited in place. After an error the parameters are those of before.
    pub(crate) fn step(
        &mut self,
        parameters: &mut [T],
        gradient: &mut [T],
        loss: f64,
        objective: Option<&mut dyn Objective<T>>,
    ) -> Result<(), StepError> {
        if let Some(most) = self.clip_value.map(T::from_f64) {
            let limited = |g: T| match g {
                g if g > most => most,
                g if g < -most => -most,
                g => g,
            };
            gradient.iter_mut().for_each(|g| *g = limited(*g));
        }
        let scale = match self.clip {
            Some(_) => clip_scale(global_norm(gradient), self.clip),
            None => 1.0,
        };
        self.before.copy_from_slice(parameters);
        let moved = self
            .optimizer
            .step(parameters, gradient, scale, loss, objective);
        if moved.is_err() {
            self.undo(parameters);
            return moved;
        }
        self.constraints.iter().for_each(|c| c.project(parameters));
        for range in &self.frozen {
            parameters[range.clone()].copy_from_slice(&self.before[range.clone()]);
        }
        Ok(())
    }

    /// What follows a step whose parameters are finite.
    pub(crate) fn accept(&mut self, parameters: &[T]) -> Result<(), Error> {
        if let Some(average) = &mut self.average {
            average.update(parameters);
        }
        self.schedule()
    }

    /// The parameters before the last step.
    pub(crate) fn undo(&self, parameters: &mut [T]) {
        parameters.copy_from_slice(&self.before);
    }
}

/// The state of an optimiser of a cell's parameters.
pub(crate) fn optimizer_state<O: Optimizer, T: Float>(
    cell: &Cell,
    optimizer: O,
    settings: &DescentSettings,
) -> Result<Box<dyn AnyOptimizer<T>>, Error> {
    let parts = parts(cell, &optimizer, settings)?;
    let state = OptimizerState::with_parts(optimizer, cell.parameter_count(), parts)?;
    Ok(Box::new(state))
}

/// The trained parameters, those of equal settings that are neighbours together.
fn parts<O: Optimizer>(
    cell: &Cell,
    optimizer: &O,
    settings: &DescentSettings,
) -> Result<Vec<Part>, Error> {
    for group in &settings.groups {
        found(cell, &group.pattern)?;
        let differs = group.learning_rate.is_some() || group.weight_decay.is_some();
        if differs && !optimizer.has_groups() {
            return Err(Error::Setting {
                what: "the learning rate or weight decay of a group",
                found: format!("given for `{}`", group.pattern),
                expected: format!("none, as {} has no such groups", optimizer.name()),
            });
        }
        not_negative(
            "a group's factor of the learning rate",
            group.learning_rate.unwrap_or(0.0),
        )?;
        not_negative("a group's weight decay", group.weight_decay.unwrap_or(0.0))?;
    }
    let trained = trained(cell, settings);
    if !trained.is_empty() && !trained.contains(&true) {
        return Err(Error::Setting {
            what: "the number of parameters that are not frozen",
            found: "0".to_owned(),
            expected: "at least 1".to_owned(),
        });
    }
    let mut parts: Vec<Part> = Vec::new();
    let parameters = cell.parameter_specs().zip(cell.parameter_ranges());
    for ((p, range), trained) in parameters.zip(trained) {
        if !trained {
            continue;
        }
        let last = |of: fn(&Group) -> Option<f64>| {
            let mut groups = settings.groups.iter().rev();
            groups.find_map(|g| matches(&g.pattern, p.name).then(|| of(g))?)
        };
        let learning_rate = last(|g| g.learning_rate).unwrap_or(1.0);
        let part = Part::new(range.clone(), learning_rate, last(|g| g.weight_decay));
        match parts.last_mut() {
            Some(before)
                if before.range.end == range.start
                    && before.learning_rate == part.learning_rate
                    && before.weight_decay == part.weight_decay =>
            {
                before.range.end = range.end;
            }
            _ => parts.push(part),
        }
    }
    Ok(parts)
}

/// An error if a pattern matches no parameter.
fn found(cell: &Cell, pattern: &str) -> Result<(), Error> {
    match cell.parameter_specs().any(|p| matches(pattern, p.name)) {
        true => Ok(()),
        false => Err(Error::UnknownParameter {
            name: pattern.to_owned(),
            known: cell.parameter_specs().map(|p| p.name.to_owned()).collect(),
        }),
    }
}
