//! Unrolling: a turn of a recurrence's loop over time does several steps, what remains being done one by one.
//!
//! Addresses then advance by constants within a turn, and the loop's own work is done once a turn. Code grows with the
//! factor, never with T.

use crate::options::Unroll;
use crate::plan::{Inner, Item, Kind, Loop, Stmt};

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

/// Most instructions of a turn where time is inside.
const TURN: usize = 64;

/// The factor that pays.
fn factor(l: &Loop) -> usize {
    let instructions = |s: &Stmt| match s {
        Stmt::Region(r) => r.instrs.len() + r.stores.len(),
        _ => 0,
    };
    match l.inner {
        Inner::Lanes => 1,
        Inner::Time(_) => {
            let step: usize = l.body.iter().map(instructions).sum();
            [4, 2].into_iter().find(|u| u * step <= TURN).unwrap_or(1)
        }
    }
}
