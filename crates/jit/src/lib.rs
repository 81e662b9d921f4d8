//! Machine code for step graphs: loops are lowered by Cranelift, products and sums are calls into packed kernels.
//!
//! [`CompiledCell`] and [`Executor`], which runs it, are the interface; `lower` generates the code and contains no
//! unsafe code; `exec` runs it and is the only module that does.

mod arguments;
mod cell;
mod element;
mod error;
#[expect(
    unsafe_code,
    reason = "runs compiled code over raw addresses; its module docs say what keeps them valid"
)]
mod exec;
mod executor;
mod frame;
mod instances;
mod lower;
mod planned;
pub mod predict;
mod purpose;
mod split;
mod stepper;
pub mod vmath;
#[cfg_attr(not(target_arch = "x86_64"), path = "wide/none.rs")]
mod wide;

pub use cell::CompiledCell;
pub use element::Element;
pub use error::{CompileError, RunError, StepperError};
pub use exec::limit::machine_bytes;
pub use exec::{Calls, functions_compiled};
pub use executor::{Executor, RunMemory};
pub use purpose::Purpose;
pub use retrograd_graph::{Options, Target};
pub use retrograd_kernels::try_reserve_total;
pub use retrograd_tape::Observe;
pub use split::Residuals;
pub use stepper::Stepper;
