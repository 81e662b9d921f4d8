//! The frame of the properties that need a cell, not only its program: cases of several seeds, up to the first failure.

use retrograd_check::{CheckError, Failure, Outcome, PropertyReport};
use retrograd_tape::Tape;

use crate::cell::Cell;
#[cfg(feature = "text")]
use crate::cellfile::CellText;
use crate::error::Error;
#[cfg(feature = "text")]
use crate::testing::Sizes;

/// What can be saved: a cell, but not a bare tape.
pub trait Restored {
    /// The cell of its own sizes; none for what has no parameters to be saved.
    ///
    /// # Errors
    /// Why there is no cell.
    fn restored(&self) -> Option<Result<Cell, Error>>;
}

impl Restored for Cell {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        Some(Ok(self.clone()))
    }
}

impl Restored for Tape {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        None
    }
}

#[cfg(feature = "text")]
impl Restored for CellText {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        Some(self.cell(&[]))
    }
}

#[cfg(feature = "text")]
impl Restored for Sizes<'_> {
    fn restored(&self) -> Option<Result<Cell, Error>> {
        Some(self.cell(&[]))
    }
}

/// A property of a cell.
pub(super) struct CellProperty {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// How many draws are tried.
    pub(super) cases: u64,
    /// The lengths of their rows.
    pub(super) lengths: &'static [usize],
    /// What a draw gives; an error of a run is a failure.
    pub(super) run: fn(&Cell, u64) -> Result<Outcome, Error>,
}

impl CellProperty {
    /// The report on the property; none for what is no cell.
    ///
    /// # Errors
    /// A subject that has no cell.
    pub(super) fn report(
        &self,
        subject: &dyn Restored,
        seed: u64,
    ) -> Result<Option<PropertyReport>, CheckError> {
        let Some(cell) = subject.restored() else {
            return Ok(None);
        };
        let cell = cell.map_err(|e| CheckError::Program {
            name: "cell".into(),
            why: e.to_string(),
        })?;
        let mut report = PropertyReport::new(self.name, self.about);
        for seed in seed..seed.saturating_add(self.cases) {
            let found = (self.run)(&cell, seed);
            match found.unwrap_or_else(|e| Outcome::Fails(e.to_string())) {
                Outcome::Holds(share) => {
                    report.cases += 1;
                    report.worst = report.worst.max(share);
                }
                Outcome::Skipped(skip) => *report.skipped.entry(skip).or_default() += 1,
                Outcome::Fails(message) => {
                    report.cases += 1;
                    report.failure = Some(Failure::new(seed, self.lengths.to_vec(), message));
                    break;
                }
            }
        }
        Ok(Some(report))
    }
}
