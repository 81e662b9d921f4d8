//! [`Job`] is one run of an experiment, [`Outcome`] its result.

use retrograd::Engine;
use serde::{Deserialize, Serialize};

use crate::StudyError;
use crate::{flow, memory, next, saturation};

/// One run of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Error flow before training.
    Flow(flow::FlowJob),
    /// Saturation before training.
    Saturation(saturation::SaturationJob),
    /// Training on a task.
    Memory(memory::MemoryJob),
    /// Training on a series.
    Next(next::NextJob),
}

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Of [`Job::Flow`].
    Flow(flow::Curves),
    /// Of [`Job::Saturation`].
    Saturation(saturation::SaturationCurve),
    /// Of [`Job::Memory`].
    Memory(memory::Learned),
    /// Of [`Job::Next`].
    Next(next::Forecast),
}

impl Job {
    /// Everything that its outcome depends on, as one line of text.
    pub fn key(&self) -> String {
        let settings = serde_json::to_string(self).expect("settings are always JSON");
        format!("{} {settings}", self.edition())
    }

    /// Increased for a kind of job when a change of code changes its measurements: older results of that kind are then recomputed.
    fn edition(&self) -> u32 {
        match self {
            Job::Flow(_) | Job::Saturation(_) => 2,
            Job::Memory(job) if job.look.is_some() => 2,
            Job::Memory(_) | Job::Next(_) => 1,
        }
    }

    /// Runs the job.
    ///
    /// # Errors
    /// Those of the experiment.
    pub fn run(&self, engine: Engine) -> Result<Outcome, StudyError> {
        Ok(match self {
            Job::Flow(job) => Outcome::Flow(job.run(engine)?),
            Job::Saturation(job) => Outcome::Saturation(job.run(engine)?),
            Job::Memory(job) => Outcome::Memory(job.run(engine)?),
            Job::Next(job) => Outcome::Next(job.run(engine)?),
        })
    }

    /// An upper estimate of its multiplications, to order jobs and estimate times.
    pub fn cost(&self) -> f64 {
        /// Compiling, in multiplications.
        const COMPILING: f64 = 1e8;
        let product = |factors: &[usize]| factors.iter().map(|&f| f as f64).product::<f64>();
        COMPILING
            + match self {
                Job::Flow(j) => 6.0 * product(&[j.parameters, j.extent.steps, j.extent.rows]),
                Job::Saturation(j) => product(&[j.parameters, j.extent.steps, j.extent.rows]),
                Job::Memory(j) => {
                    let step = product(&[j.parameters, j.task.steps(j.lag), j.training.rows]);
                    3.0 * step * j.training.limit as f64
                }
                Job::Next(j) => 3.0 * product(&[j.parameters, j.window, j.batch, j.steps]),
            }
    }
}
