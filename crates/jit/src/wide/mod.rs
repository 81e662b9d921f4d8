//! The second back end: bodies of loops over rows and over time as AVX-512 or AVX2 code, emitted by ourselves, because
//! Cranelift's vectors have 128 bits on x86-64.
//!
//! Cranelift compiles the program; where a loop's body is possible here, its function calls one of ours with a table of
//! pointers. Values are those of the code that Cranelift would have emitted, bit for bit: both are made by
//! [`Math`](retrograd_kernels::maths::Math), and folds have one order (64 bytes of partial sums, halved until one is left).

mod allocate;
mod block;
mod called;
mod emit;
mod encode;
mod instructions;
mod known;
mod matrices;
mod moves;
mod pointers;
mod regions;
mod rows;
mod set;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use rows::{function, possible};
pub(crate) use set::Set;
pub(crate) use time::recurrence;
