//! Retrograd compiles recurrent cells, written as equations, for CPUs, and trains them. This crate is what a user meets:
//! [`Cell::define`] to write one, [`zoo`] for well-known ones, [`Trainer`] to train them, and data, baselines and plots
//! around it.
#![forbid(unsafe_code)]

pub mod baseline;
pub mod data;
pub mod explain;
pub mod intuition;
pub mod optim;
pub mod plot;
pub mod zoo;

mod batch;
mod builder;
mod cell;
mod cellfile;
mod checkpoint;
mod dense;
mod engine;
mod error;
mod files;
mod init;
mod stepper;
mod trainer;

pub use batch::Batch;
pub use builder::{Builder, IntoShape, State};
pub use cell::{Cell, Parameter};
pub use cellfile::CellText;
pub use engine::{Engine, Float};
pub use error::Error;
pub use init::Init;
pub use optim::{Adam, Sgd};
pub use retrograd_graph::{Unroll, UnrollError};
pub use retrograd_tape::{Role, Shape, Var};
pub use stepper::{Stepper, StepperBuilder};
pub use trainer::{Evaluation, Report, Trainer, TrainerBuilder, Values};

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
