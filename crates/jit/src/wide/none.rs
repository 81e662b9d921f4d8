//! The second back end where there is none.

use retrograd_graph::plan::{Region, Stmt, View};
use rustc_hash::FxHashMap as HashMap;

use crate::vmath::Lane;

/// Nothing is possible.
pub(crate) fn possible(_: Lane, _: &Stmt) -> bool {
    false
}

/// No statements, no function.
pub(crate) fn function(
    _: Lane,
    _: &[Stmt],
    _: &HashMap<View, usize>,
    _: &[i64],
) -> Option<Vec<u8>> {
    None
}

/// What would be accessed.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "nobody reads it here")]
pub(crate) enum Access {
    Stream { pointer: usize, offset: usize },
    Fixed { pointer: usize, offset: usize },
}

/// What would be emitted.
#[allow(dead_code, reason = "nobody reads it here")]
pub(crate) struct Recurrence<'a> {
    pub(crate) region: &'a Region,
    pub(crate) loads: Vec<Option<Access>>,
    pub(crate) stores: Vec<Access>,
    pub(crate) carried: Vec<(usize, Option<(usize, Access)>)>,
    pub(crate) streams: Vec<(bool, usize)>,
    pub(crate) steps: usize,
    pub(crate) strides: Vec<i64>,
}

/// No recurrence, no function.
pub(crate) fn recurrence(_: Lane, _: &Recurrence<'_>) -> Option<Vec<u8>> {
    None
}
