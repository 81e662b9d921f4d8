//! The second back end where there is none.

use retrograd_graph::Target;
use retrograd_graph::plan::{Stmt, View};
use rustc_hash::FxHashMap as HashMap;

use crate::lower::{Recurrence, RowStride};
use retrograd_kernels::maths::Lane;

/// There is no instruction set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {}

impl Set {
    /// None.
    pub(crate) fn of(_: Target) -> Option<Set> {
        None
    }
}

/// Nothing is possible.
pub(crate) fn possible(_: Set, _: Lane, _: &Stmt) -> bool {
    false
}

/// No statements, no function.
pub(crate) fn function(
    _: Set,
    _: Lane,
    _: &[Stmt],
    _: &HashMap<View, usize>,
    _: &[RowStride],
) -> Option<Vec<u8>> {
    None
}

/// No recurrence, no function.
pub(crate) fn recurrence(_: Set, _: Lane, _: &Recurrence<'_>) -> Option<Vec<u8>> {
    None
}
