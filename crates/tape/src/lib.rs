//! A small reverse-mode autodiff library: the op table, a tape that records it, and an interpreter that runs it.
//!
//! It stands alone (it knows nothing of graphs, passes or machine code) and is the oracle of everything above it.
#![deny(unsafe_code)]

mod algebra;
mod compose;
mod error;
mod gemm;
mod gradcheck;
mod interpreter;
mod map;
mod op;
mod real;
mod record;
pub mod rules;
mod single;
mod tape;
mod ty;
mod var;

pub use algebra::{Algebra, Value};
pub use error::TapeError;
pub use gradcheck::{Directions, Report, gradcheck};
pub use interpreter::Interpreter;
pub use map::{Map, MapRow, Slope};
pub use op::{Misfit, Number, Op, Reduction};
pub use real::Real;
pub use record::{LossReduction, Recorder, Var};
pub use tape::{Input, Node, Operands, Output, Role, Schedule, Tape, Yield};
pub use ty::{Domain, Shape, Type};
