//! Unrolling: an iteration of a recurrence's loop over time does several steps, what remains being done one by one.
//!
//! Addresses then advance by constants within an iteration, and the loop's own work is done once an iteration. Code grows with the
//! factor, never with T.

use crate::options::Unroll;
use crate::plan::item::each_loop;
use crate::plan::{Item, LoopKind};

/// Sets the factor of every recurrence.
pub(crate) fn unroll(items: &mut [Item], wish: Unroll) {
    each_loop(items, &mut |l| {
        if matches!(l.kind, LoopKind::Recurrence { .. }) {
            l.unroll = wish.factor().unwrap_or(AUTO);
        }
    });
}

/// The factor where there is no wish. Where time is innermost, none pays: the loop's own work goes on beside the step's
/// (docs/PERFORMANCE.md). For loops with products, whose steps take some hundred cycles, `benches/benches/unroll.rs` tells.
const AUTO: usize = 1;
