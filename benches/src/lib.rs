//! What the benchmarks share: cells as the peers write them, their training step on both engines, and what the machine
//! can do at most. The binary `grid` prints all of it, one JSON line an engine and shape.
//!
//! A *step* here is one training step without the optimiser: forward over T steps of B rows from zero state, loss
//! Σ y·gy for fixed random gy, gradients of all weights and biases (not of the input). Weights count as changed before
//! every step: packing them is part of it.

pub mod agreement;
pub mod cells;
pub mod engine;
pub mod flops;
pub mod measure;
pub mod peak;
pub mod shape;
pub mod stream;
pub mod work;

/// The README's programs run as they stand there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
