//! Shared code of the benchmarks: cells as PyTorch and JAX programs write them, and whether both engines agree on them. What measures
//! them is `retrograd-measure`, which `retrograd bench` uses too. The binary `grid` prints all of it, one JSON line per engine
//! and shape.
//!
//! A *step* here is one training step without the optimiser: forward over T steps of B rows from zero state, loss
//! Σ y·gy for fixed random gy, gradients of all weights and biases (not of the input). Weights count as changed before
//! every step: packing them is part of it.

pub mod agreement;
pub mod cells;
pub mod stream;

pub use retrograd_measure::{engine, flops, peak, shape, times as measure, work};

/// The README's programs run as they stand there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
