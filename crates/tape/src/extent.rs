//! [`Extent`]: the size of a run in steps and rows.

use std::fmt;

/// T steps of B rows: the extent of a run. A row is one example, or one sequence, of a batch.
///
/// ```
/// use retrograd_tape::Extent;
///
/// let extent = Extent::steps(100).rows(32);
/// assert_eq!((extent.steps, extent.rows), (100, 32));
/// assert_eq!(Extent::steps(7).rows, 1);
/// assert_eq!(extent.to_string(), "100 steps of 32 rows");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// T, the number of steps.
    pub steps: usize,
    /// B, the number of rows.
    pub rows: usize,
}

impl Extent {
    /// `steps` steps of one row.
    pub const fn steps(steps: usize) -> Extent {
        Extent { steps, rows: 1 }
    }

    /// The same steps for `rows` rows.
    #[must_use]
    pub const fn rows(self, rows: usize) -> Extent {
        Extent { rows, ..self }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps of {} rows", self.steps, self.rows)
    }
}
