//! Comparisons of engines.
#![forbid(unsafe_code)]

pub mod agree;
pub mod checks;
mod guarded;
mod random;
pub mod runs;
mod sample;
pub mod second;
pub mod stepping;

pub use random::Random;
pub use sample::Sample;
