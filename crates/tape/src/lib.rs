//! A small reverse-mode autodiff library: the op table, a tape that records it, and an interpreter that runs it.
//!
//! It is self-contained (it knows nothing of graphs, passes or machine code) and the oracle of everything above it.
//! Rosenbrock's function, with its value and gradient:
//!
//! ```
//! use retrograd_tape::{Recorder, Shape};
//!
//! let r = Recorder::new();
//! let x = r.param("x", Shape::Scalar);
//! let y = r.param("y", Shape::Scalar);
//! r.output("f", (1.0 - x).square() + 100.0 * (y - x.square()).square());
//! let tape = r.finish("rosenbrock")?;
//!
//! let (value, gradient) = tape.value_and_gradient(&[&[0.5], &[1.0]])?;
//! assert_eq!(value, 56.5);
//! assert_eq!(gradient, [[-151.0], [150.0]]);
//! # Ok::<(), retrograd_tape::TapeError>(())
//! ```
//!
//! A program with time has inputs per step and states ([`Recorder::state`]); [`Interpreter`] runs it over batch and
//! time, and [`gradcheck`] compares its gradients with central differences.
//!
//! Unsafe code is denied except for one call, that of the matrix product in `gemm.rs`.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

mod algebra;
mod bf16;
mod carry;
mod central_differences;
mod compose;
mod cycles;
mod erf;
mod error;
mod extent;
pub mod families;
#[cfg(feature = "faults")]
pub mod faults;
mod gemm;
#[cfg(feature = "generate")]
pub mod generate;
mod gradcheck;
mod infer;
mod interpreter;
mod lengths;
pub mod limits;
mod losses;
mod map;
mod observe;
mod op;
mod real;
mod record;
pub mod rules;
mod schedule;
mod single;
mod start;
mod sums;
mod tape;
mod term;
mod trig;
mod ty;
mod var;

pub use algebra::{Algebra, Value};
pub use carry::CarriedState;
pub use central_differences::{CentralDifferences, DifferenceQuotients};
pub use compose::Composite;
pub use cycles::{BothWays, cancels};
pub use error::TapeError;
pub use extent::Extent;
pub use gradcheck::{Directions, GradientReport, gradcheck, gradcheck_ragged};
pub use infer::TypeMismatch;
pub use interpreter::{Interpreter, NonFinite, OperandRange};
pub use lengths::Lengths;
pub use map::{Map, MapRow};
pub use observe::Observe;
pub use op::{Number, Op, Permutation, Reduction};
pub use real::Real;
pub use record::{LossReduction, Recorder, Var};
pub use schedule::{PhaseKind, Schedule};
pub use start::{Draw, Init, StartExpression};
pub use tape::{Input, InputRole, Node, Operands, Output, OutputRole, Place, Tape};
pub use ty::{Domain, Shape, Type};
