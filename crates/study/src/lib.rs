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

mod error;
mod job;
mod observed;
mod report;
mod runner;
mod store;
mod study;

pub use error::StudyError;
pub use job::{Job, Outcome};
pub use report::{Picture, Section, StudyReport, Table};
pub use runner::{Done, Progress};
pub use store::Store;
pub use study::{Scale, Study};
