//! Unrolling: a turn of a recurrence's loop over time does several steps, what remains being done one by one.
//!
//! Addresses then advance by constants within a turn, and the loop's own work is done once a turn. Code grows with the
//! factor, never with T.

use crate::options::Unroll;
use crate::plan::{Item, Kind, Loop};

/// Sets the factor of every recurrence.
pub(crate) fn unroll(items: &mut [Item], wish: Unroll) {
    for item in items {
        match item {
            Item::Loop(l) if matches!(l.kind, Kind::Recurrence { .. }) => {
                l.unroll = wish.factor().unwrap_or_else(|| factor(l));
            }
            Item::Nest { items, .. } | Item::Phase { items, .. } => unroll(items, wish),
            _ => {}
        }
    }
}

/// The factor that pays.
fn factor(_: &Loop) -> usize {
    1
}
