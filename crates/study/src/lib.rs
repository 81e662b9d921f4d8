//! The question that the project began with, answered by measurement: why gates, and why not one network? Each experiment
//! has a module; this one puts together which runs a [`Study`] has.
//!
//! A run is a [`Job`]: its settings say all about it, so that its outcome depends on nothing else. `store` keeps the
//! outcomes of a directory under their jobs' settings, [`Study::run`] makes what is missing, and [`Study::report`] draws and
//! tells what there is. Every number of a report comes from such an outcome.

#![forbid(unsafe_code)]

pub mod baseline;
pub mod flow;
pub mod memory;
pub mod next;
pub mod saturation;
pub mod systems;
pub mod tasks;

mod observed;
mod report;
mod runner;
mod store;
mod study;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use report::{Picture, Section, StudyReport, Table};
pub use runner::{Done, Progress};
pub use store::Store;
pub use study::{Scale, Study};

use retrograd::Engine;
use retrograd::Error;
use retrograd::data::DataError;
use retrograd_plot::PlotError;

/// Why a study could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A cell, its training or its parameters.
    #[error(transparent)]
    Cell(#[from] Error),
    /// A series.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A baseline.
    #[error(transparent)]
    Baseline(#[from] baseline::BaselineError),
    /// A picture.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A file or directory that cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        cause: std::io::Error,
    },
    /// A file of results with a line that is none.
    #[error("{}, line {line}: not a result of a study; to begin anew, move the file away or choose another directory: {cause}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// The line, the first being 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// A report of a study that has not ended.
    #[error("{missing} of the {of} jobs of the study have no result yet")]
    Missing {
        /// Jobs without a result.
        missing: usize,
        /// All jobs.
        of: usize,
    },
}

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

/// What a job gives.
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
    /// All that its outcome depends on, as one line of text.
    pub fn key(&self) -> String {
        let settings = serde_json::to_string(self).expect("settings are always JSON");
        format!("{} {settings}", self.edition())
    }

    /// Raised for a kind of job whenever what it measures is changed otherwise than by its settings: older results of
    /// that kind are then made anew.
    fn edition(&self) -> u32 {
        match self {
            Job::Flow(_) | Job::Saturation(_) => 2,
            Job::Memory(job) if job.look.is_some() => 2,
            Job::Memory(_) | Job::Next(_) => 1,
        }
    }

    /// Runs it.
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

    /// About how many multiplications it takes at most: to order jobs by, and for estimates.
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
