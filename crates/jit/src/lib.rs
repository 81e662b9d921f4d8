//! (being written)

pub mod vmath;
