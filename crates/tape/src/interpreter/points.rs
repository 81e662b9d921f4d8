//! The points of a run: T × B of them, or those of rows that have lengths of their own.

use std::sync::Arc;

use crate::Extent;
use crate::lengths::Lengths;
use crate::ty::{Domain, Type};

/// The points of a run. Values over steps are packed, [`Lengths`] says how: the rows that have a step t are the first
/// `live(t)`, and their values lie one after another from `offset(t)` on. Rows of equal lengths are the case
/// `live(t) = B`, which needs no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunPoints {
    /// All rows have all steps.
    Full(Extent),
    /// Some row is shorter than another.
    Ragged(Arc<Lengths>),
}

impl RunPoints {
    /// The points of rows of these lengths; `before` are those of an earlier run, whose table is kept if it is the same.
    pub(crate) fn of(lengths: &Lengths, before: &RunPoints) -> RunPoints {
        let (steps, rows) = (lengths.steps(), lengths.rows());
        if lengths.points() == steps * rows {
            return RunPoints::Full(Extent { steps, rows });
        }
        match before {
            RunPoints::Ragged(table) if **table == *lengths => RunPoints::Ragged(table.clone()),
            _ => RunPoints::Ragged(Arc::new(lengths.clone())),
        }
    }

    /// T, the number of steps of the longest row.
    #[inline]
    pub(crate) fn steps(&self) -> usize {
        match self {
            RunPoints::Full(extent) => extent.steps,
            RunPoints::Ragged(lengths) => lengths.steps(),
        }
    }

    /// B, the number of rows.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        match self {
            RunPoints::Full(extent) => extent.rows,
            RunPoints::Ragged(lengths) => lengths.rows(),
        }
    }

    /// The number of rows that have step `t`, which are the first ones.
    #[inline]
    pub(crate) fn live(&self, t: usize) -> usize {
        match self {
            RunPoints::Full(extent) => extent.rows,
            RunPoints::Ragged(lengths) => lengths.live(t),
        }
    }

    /// The number of points before step `t`.
    #[inline]
    pub(crate) fn offset(&self, t: usize) -> usize {
        match self {
            RunPoints::Full(extent) => t * extent.rows,
            RunPoints::Ragged(lengths) => lengths.offset(t),
        }
    }

    /// The number of steps of a row.
    #[inline]
    pub(crate) fn length(&self, row: usize) -> usize {
        match self {
            RunPoints::Full(extent) => extent.steps,
            RunPoints::Ragged(lengths) => lengths.of_rows()[row],
        }
    }

    /// The number of ticks of a domain: see [`Domain::steps`].
    #[inline]
    pub(crate) fn ticks(&self, domain: Domain) -> usize {
        domain.steps(self.steps())
    }

    /// The number of rows that a domain has at a tick.
    #[inline]
    pub(crate) fn rows_at(&self, domain: Domain, tick: usize) -> usize {
        match domain {
            Domain::Once => 1,
            Domain::Row | Domain::BoundarySlots(_) => self.rows(),
            Domain::Step => self.live(tick),
        }
    }

    /// The number of elements of a value; saturates at `usize::MAX`.
    pub(crate) fn numbers(&self, ty: Type) -> usize {
        match self {
            RunPoints::Full(extent) => ty.numbers(extent.steps, extent.rows),
            RunPoints::Ragged(lengths) => lengths.numbers(ty),
        }
    }

    /// The tick and the row of point `i` of a domain.
    pub(crate) fn at(&self, domain: Domain, i: usize) -> (usize, usize) {
        match (self, domain) {
            (RunPoints::Ragged(lengths), Domain::Step) => lengths.step_and_row(i),
            _ => {
                let rows = domain.rows(self.rows());
                (i / rows, i % rows)
            }
        }
    }
}
