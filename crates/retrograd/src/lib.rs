//! Retrograd compiles recurrent cells, written as equations, for CPUs, and trains them. This crate is what a user meets:
//! [`Cell::define`] to write one, [`zoo`] for well-known ones, [`Trainer`] to train them, and data, baselines and plots
//! around it.
#![forbid(unsafe_code)]

pub mod data;
pub mod files;
pub mod optim;
pub mod random;
pub mod zoo;

mod batch;
mod builder;
mod cell;
#[cfg(feature = "text")]
mod cellfile;
mod checkpoint;
mod dense;
mod engine;
mod error;
mod init;
mod program;
mod stepper;
mod trainer;

pub use batch::Batch;
pub use builder::{Builder, IntoShape, State};
pub use cell::{Cell, Parameter};
#[cfg(feature = "text")]
pub use cellfile::CellText;
pub use engine::{Engine, Float};
pub use error::Error;
pub use init::Init;
pub use optim::{Adam, Optimizer, Sgd};
pub use program::{Program, ProgramBuilder, Results, Session};
pub use retrograd_graph::{Unroll, UnrollError};
pub use retrograd_jit::{CompileError, RunError, StepperError};
pub use retrograd_tape::{Observe, Op, Real, Role, Shape, Tape, TapeError, Var};
pub use stepper::{Stepper, StepperBuilder};
pub use trainer::{Evaluation, NamedParameter, Report, Trainer, TrainerBuilder};

#[cfg(all(doctest, feature = "csv"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
