//! What a program and a run may be as large as. Beyond these a typed error says which value it is and which limit.
//!
//! They are far above what is of use and far below where an index overflows; whether the memory of a run can be had is
//! another question, which [`TapeError::Memory`](crate::TapeError::Memory) answers.

/// Numbers of one value at one point (example and step): 2³¹ - 1.
pub const MAX_ELEMENTS: usize = i32::MAX as usize;

/// Steps of one delay, either way: 2²⁰. A state keeps so many initial slots for each example.
pub const MAX_DELAY: usize = 1 << 20;

/// Ops that a program is recorded with: 2²⁰. A composite function may go beyond by the few ops that it consists of, and
/// [`Recorder::finish`](crate::Recorder::finish) adds a handful for the loss and one for each state.
pub const MAX_OPS: usize = 1 << 20;

/// Points of one run of the interpreter, T × B: 2³¹ - 1.
pub const MAX_POINTS: usize = i32::MAX as usize;
