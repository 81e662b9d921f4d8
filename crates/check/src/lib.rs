//! Tests a program's compiled gradients: all engines against each other and against finite differences, on random sizes,
//! lengths of rows and values.
//!
//! [`check`] tries all [`PROPERTIES`] on a [`Subject`]; its [`Report`] says for each on how many cases it was compared, and
//! the greatest error in units of its tolerance. A failure is reduced to the smallest program, rows and numbers that still
//! show it, and traced to the first stage and value that is wrong. What is no fault is told apart ([`Skip`]): kinks, where
//! one rounding decides between two slopes; numbers that overflow on every engine; roundings that a chaotic program
//! enlarges.
//!
//! Users of the library have it as `retrograd::testing`, for cells and cell files. The comparisons underneath, [`checks`] and
//! [`second`] on a [`Sample`], serve tests of other kinds.
#![forbid(unsafe_code)]

pub mod agree;
mod bf16;
mod celltext;
mod check;
pub mod checks;
mod findings;
mod guarded;
mod lyapunov;
mod numerics;
mod outcome;
mod place;
mod property;
mod random;
mod report;
mod rows;
pub mod runs;
mod sample;
pub mod second;
mod shrink;
pub mod stepping;
mod subject;

pub use celltext::cell_text;
pub use check::{CheckError, CheckOptions, check};
pub use findings::{Finding, GradientFlow};
pub use numerics::Numerics;
pub use outcome::{Outcome, Skip};
pub use property::{PROPERTIES, Property};
pub use random::Random;
pub use report::{Failure, Least, Place, PropertyReport, Report};
pub use retrograd_graph::Target;
pub use rows::rows_are_independent;
pub use sample::Sample;
pub use subject::{DrawParameters, Program, Subject};
