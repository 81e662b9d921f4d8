//! [`Found`]: the results that a report is made from.

use crate::{Store, Study};

/// A study whose every job has an outcome.
pub(super) struct Found<'a> {
    pub(super) study: &'a Study,
    pub(super) store: &'a Store,
}
