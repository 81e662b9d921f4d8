//! Measures training steps of recurrent cells: [`Measured`] for a cell of the caller's, as `retrograd bench` prints it; and the parts
//! that the comparison with other frameworks (`grid`) is made of.
//!
//! A *step* here is one training step without the optimiser: forward over T steps of B rows from zero state, the loss, and the
//! gradients of all parameters. Without a loss of its own, a cell is measured as a layer: loss Σ y·gy for fixed random gy.
//! Weights count as changed before every step: packing them is part of it.
#![forbid(unsafe_code)]

mod baseline;
mod cell;
pub mod engine;
pub mod flops;
pub mod peak;
pub mod shape;
pub mod times;
pub mod work;

pub use baseline::{Change, Comparison, Difference};
pub use cell::{Bench, MeasureError, Measured, MeasuredEngine, Setting};
