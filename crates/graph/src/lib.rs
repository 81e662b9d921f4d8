//! The step graph of a recurrent program, the passes that derive, split, fuse and distribute it, and the plan that says
//! what runs in which loop over which arrays.
#![forbid(unsafe_code)]

mod graph;
pub mod interpret;
mod options;
pub mod passes;
pub mod plan;
mod target;
pub mod text;
mod verify;
pub mod work;

pub use graph::{Graph, GraphNode};
pub use options::{Bf16, Options, Unroll, UnrollError};
pub use target::{Caches, Level, Target, UnknownTarget};
pub use verify::{Broken, verify};
