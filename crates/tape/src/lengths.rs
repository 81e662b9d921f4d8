//! [`Lengths`]: the points of a run whose rows have lengths of their own.

use crate::error::TapeError;
use crate::limits::MAX_POINTS;
use crate::ty::{Domain, Type};

/// The lengths of a run's rows, longest first.
///
/// A run over rows of different lengths has a point for each step that a row has, and none beyond its end. `live(t)`
/// rows have a step t: the first ones, because lengths never grow from row to row. So a row keeps its position from
/// step to step, and point (t, r) of an array over steps is its value number `offset(t) + r`, where `offset(t)` is the
/// number of points before step t. Equal lengths are the case `offset(t) = t · B`.
///
/// ```
/// use retrograd_tape::Lengths;
///
/// let lengths = Lengths::new(vec![3, 3, 1, 0])?;
/// assert_eq!((lengths.steps(), lengths.rows(), lengths.points()), (3, 4, 7));
/// assert_eq!([0, 1, 2].map(|t| lengths.live(t)), [3, 2, 2]);
/// assert_eq!([0, 1, 2, 3].map(|t| lengths.offset(t)), [0, 3, 5, 7]);
/// assert!(Lengths::new(vec![1, 3]).is_err()); // longest first
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lengths {
    lengths: Vec<usize>,
    /// Points before each step, and in total.
    offsets: Vec<usize>,
}

impl Lengths {
    /// The lengths of all rows in steps. A row may be empty, but not all of them.
    ///
    /// # Errors
    /// [`TapeError::Lengths`]: no points, lengths that grow from one row to the next, or more points than
    /// [`MAX_POINTS`].
    pub fn new(lengths: Vec<usize>) -> Result<Lengths, TapeError> {
        if let Some(row) = lengths.windows(2).position(|w| w[0] < w[1]) {
            let found = format!(
                "row {row} has {} steps and row {} has {}",
                lengths[row],
                row + 1,
                lengths[row + 1]
            );
            return Err(TapeError::Lengths(format!(
                "the longest row comes first, but {found}"
            )));
        }
        let points = lengths
            .iter()
            .try_fold(0_usize, |sum, &n| sum.checked_add(n));
        match points {
            Some(1..=MAX_POINTS) => {}
            Some(0) => return Err(TapeError::Lengths("no row has a step".into())),
            _ => {
                return Err(TapeError::Lengths(format!(
                    "they make more than {MAX_POINTS} points"
                )));
            }
        }
        let mut offsets = vec![0];
        let (mut at, mut live) = (0, lengths.len());
        for t in 0..lengths[0] {
            live = lengths[..live].partition_point(|&n| n > t);
            at += live;
            offsets.push(at);
        }
        Ok(Lengths { lengths, offsets })
    }

    /// T, the number of steps of the longest row.
    pub fn steps(&self) -> usize {
        self.offsets.len() - 1
    }

    /// B, the number of rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// The number of steps of each row.
    pub fn of_rows(&self) -> &[usize] {
        &self.lengths
    }

    /// Steps of all rows together.
    pub fn points(&self) -> usize {
        self.offsets[self.steps()]
    }

    /// Points before step `t`, which may be T.
    ///
    /// # Panics
    /// If there are fewer than `t` steps.
    pub fn offset(&self, t: usize) -> usize {
        self.offsets[t]
    }

    /// Number of rows that have a step `t`.
    ///
    /// # Panics
    /// If no row has it.
    pub fn live(&self, t: usize) -> usize {
        self.offsets[t + 1] - self.offsets[t]
    }

    /// The first step with at least this many points before it; T if there is none.
    pub fn step_after(&self, points: usize) -> usize {
        let before = &self.offsets[..self.steps()];
        before.partition_point(|&n| n < points)
    }

    /// Points of a domain in a run over these rows: k · B of `slots k`, which every row has, an empty one too.
    ///
    /// ```
    /// use retrograd_tape::{Domain, Lengths};
    ///
    /// let lengths = Lengths::new(vec![3, 1, 0])?;
    /// let domains = [Domain::Once, Domain::Row, Domain::BoundarySlots(2), Domain::Step];
    /// assert_eq!(domains.map(|d| lengths.points_of(d)), [1, 3, 6, 4]);
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    pub fn points_of(&self, domain: Domain) -> usize {
        match domain {
            Domain::Step => self.points(),
            Domain::Once | Domain::Row | Domain::BoundarySlots(_) => {
                domain.points(self.steps(), self.rows())
            }
        }
    }

    /// The number of elements of a value in a run over these rows; saturates at `usize::MAX`.
    pub fn numbers(&self, ty: Type) -> usize {
        self.points_of(ty.domain).saturating_mul(ty.shape.len())
    }

    /// The step and the row of point number `point`: the inverse of `offset(t) + r`.
    ///
    /// # Panics
    /// If there are no more than `point` points.
    pub fn step_and_row(&self, point: usize) -> (usize, usize) {
        assert!(point < self.points(), "a point of the run");
        let t = self.offsets.partition_point(|&before| before <= point) - 1;
        (t, point - self.offsets[t])
    }
}
