//! Limits on the size of a program and of a run. Beyond them, a typed error names the value and the limit.
//!
//! They are far above practical sizes and far below the point where an index overflows; whether a run's memory is
//! available is a separate question, which [`TapeError::Memory`](crate::TapeError::Memory) answers.

/// Numbers of one value at one point (example and step): 2³¹ - 1.
pub const MAX_ELEMENTS: usize = i32::MAX as usize;

/// Steps of one delay, either way: 2²⁰. A state keeps this many initial slots for each example.
pub const MAX_DELAY: usize = 1 << 20;

/// Recorded ops of a program: 2²⁰. A composite function may exceed this by the few ops that it consists of, and
/// [`Recorder::finish`](crate::Recorder::finish) adds a handful for the loss and one for each state.
pub const MAX_OPS: usize = 1 << 20;

/// Points of one run of the interpreter, T × B: 2³¹ - 1.
pub const MAX_POINTS: usize = i32::MAX as usize;
