//! Measurements that answer the question with which the project began: why gates, and why not one network? Each experiment has a
//! module; a [`Study`] is a list of runs of them.
//!
//! A run is a [`Job`]: its outcome depends on its settings alone. `store` keeps outcomes in a directory by the settings of their
//! jobs, [`Study::run`] computes missing ones, and [`Study::report`] describes and draws them. Every number in a report comes from
//! such an outcome.

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
