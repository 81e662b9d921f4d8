//! Unrolling: an iteration of a recurrence's loop over time does several steps; the remainder is done one by one.
//!
//! Addresses then advance by constants within an iteration, and the loop overhead occurs once per iteration. Code grows
//! with the factor, never with T.

use crate::options::Unroll;
use crate::plan::item::each_loop;
use crate::plan::{Item, LoopKind};

/// Sets the unroll factor of every recurrence.
pub(crate) fn unroll(items: &mut [Item], wish: Unroll) {
    each_loop(items, &mut |l| {
        if matches!(l.kind, LoopKind::Recurrence { .. }) {
            l.unroll = wish.factor().unwrap_or(AUTO);
        }
    });
}

/// The factor if none is requested. With time innermost, none pays: the loop overhead overlaps with the step's work
/// (docs/PERFORMANCE.md). For loops with products, whose steps take some hundred cycles, `benches/benches/unroll.rs`
/// tells.
const AUTO: usize = 1;
