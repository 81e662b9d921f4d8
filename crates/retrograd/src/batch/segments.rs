//! [`Segment`]: a stretch of a row that a run treats as a row of its own; [`Packing`] arranges a batch's arrays for a
//! run over them.
//!
//! A batch whose rows differ in length, or whose states are reset within rows, runs as rows of different lengths
//! ([`Lengths`]): a row for each segment, with the points of its steps alone. What the engines read and write is
//! *packed*; the caller's arrays have all T steps of all B rows. This module is the only one that knows both.

use std::ops::Range;

use retrograd_tape::{Domain, Extent, InputRole, Lengths, Op, OutputRole, Tape, TapeError, Type};

use super::Batch;
use super::feed::exists;
use crate::error::Error;
use crate::numbers::{Float, reserve};

/// A stretch of a row's steps between resets: a sequence of its own. A row without resets is one segment, an empty row
/// too.
///
/// ```
/// use retrograd::{Batch, Extent, Segment};
///
/// // Rows of three steps and of two; the states of row 0 are reset before step 2. Resets are [T, B].
/// let resets = [false, false, /* step 1 */ false, false, /* step 2 */ true, false];
/// let batch = Batch::<f32>::new(Extent::steps(3).rows(2)).with_lengths(&[3, 2]).with_resets(&resets);
/// let segments = [(0, 0..2), (0, 2..3), (1, 0..2)].map(|(row, steps)| Segment { row, steps });
/// assert_eq!(batch.segments()?, segments);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    /// The row.
    pub row: usize,
    /// Its steps of that row.
    pub steps: Range<usize>,
}

/// The points of a run: all steps of all rows, or those that rows of different lengths have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Points<'a> {
    Full(Extent),
    Ragged(&'a Lengths),
}

impl Points<'_> {
    /// The number of elements of a value in such a run; saturates.
    pub(crate) fn numbers(self, ty: Type) -> usize {
        match self {
            Points::Full(extent) => ty.numbers(extent.steps, extent.rows),
            Points::Ragged(lengths) => lengths.numbers(ty),
        }
    }
}

/// How many of each a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) steps: usize,
    pub(crate) rows: usize,
    /// As many as rows if none is reset.
    pub(crate) segments: usize,
}

impl Counts {
    /// Those of a batch whose rows are one segment each.
    pub(crate) fn full(extent: Extent) -> Counts {
        Counts {
            steps: extent.steps,
            rows: extent.rows,
            segments: extent.rows,
        }
    }
}

/// How an array of the caller's is arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// No rows.
    Once,
    /// `[B, n]`: each segment has what its row has.
    Rows,
    /// `[segments, n]`.
    Segments,
    /// `[T, B, n]`.
    Steps,
    /// `[|d|, B, n]`, where the states of each row begin: only that segment has it.
    Starts {
        /// They begin at the end.
        reverse: bool,
    },
    /// `[|d|, B, n]`, where the states of each row end up.
    Finals {
        /// They begin at the end.
        reverse: bool,
    },
}

impl Arrangement {
    /// That of an input, and of its gradient.
    pub(crate) fn of_input(tape: &Tape, k: usize) -> Arrangement {
        let input = &tape.inputs()[k];
        match (input.ty.domain, input.role) {
            (Domain::Once, _) => Arrangement::Once,
            (Domain::Step, _) => Arrangement::Steps,
            (Domain::Row, InputRole::Static) => Arrangement::Rows,
            (Domain::Row, _) => Arrangement::Segments,
            (Domain::BoundarySlots(_), _) => {
                let mut nodes = tape.nodes().iter();
                let reads = |d: i32, start: &retrograd_tape::Value| d < 0 && *start == input.value;
                let reverse = nodes.any(
                    |n| matches!((&n.op, &n.operands[..]), (Op::Delay(d), [_, start]) if reads(*d, start)),
                );
                Arrangement::Starts { reverse }
            }
        }
    }

    /// That of an output, and of its cotangent.
    pub(crate) fn of_output(tape: &Tape, k: usize) -> Arrangement {
        let output = &tape.outputs()[k];
        let node = tape.node(output.value);
        match (output.role, &node.op) {
            (OutputRole::Final, Op::Boundary(d)) => Arrangement::Finals { reverse: *d < 0 },
            _ => Arrangement::of_value(node.ty),
        }
    }

    /// That of a value of a program.
    pub(crate) fn of_value(ty: Type) -> Arrangement {
        match ty.domain {
            Domain::Once => Arrangement::Once,
            Domain::Row => Arrangement::Segments,
            Domain::Step => Arrangement::Steps,
            Domain::BoundarySlots(_) => Arrangement::Starts { reverse: false },
        }
    }

    /// The number of elements of the caller's array of values of this type; saturates.
    pub(crate) fn numbers(self, ty: Type, counts: Counts) -> usize {
        let rows = match self {
            Arrangement::Segments => counts.segments,
            _ => counts.rows,
        };
        ty.numbers(counts.steps, rows)
    }
}

/// A segment in the order of a run, longest first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packed {
    row: usize,
    start: usize,
    /// Its number in order of row, then time.
    number: usize,
    /// The states begin here as given: forward, and in reverse.
    given: [bool; 2],
    /// The states of the row end here.
    last: [bool; 2],
}

/// The arrangement of a batch's arrays for a run over its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    extent: Extent,
    segments: Vec<Packed>,
    lengths: Lengths,
}

impl Packing {
    /// That of a batch, unless all rows have all steps and no states are reset within them.
    ///
    /// # Errors
    /// [`Error::Setting`] for lengths or resets that do not fit, or rows without any step.
    pub(crate) fn of<T>(batch: &Batch<T>) -> Result<Option<Packing>, Error> {
        if batch.lengths.is_none() && batch.resets.is_none() {
            return Ok(None);
        }
        let segments = batch.segments()?;
        let Extent { steps: t, rows: b } = batch.extent;
        let renewed = |row: usize| batch.resets.as_ref().is_some_and(|r| r[row]);
        let whole = |s: &Segment| s.steps == (0..t) && !renewed(s.row);
        if segments.len() == b && segments.iter().all(whole) {
            return Ok(None);
        }
        let row_of = |k: usize| segments.get(k).map(|s| s.row);
        let packed = segments.iter().enumerate().map(|(number, s)| {
            let first = s.steps.start == 0;
            let last = row_of(number + 1) != Some(s.row);
            let renewed = renewed(s.row) && !s.steps.is_empty();
            Packed {
                row: s.row,
                start: s.steps.start,
                number,
                given: [first && !renewed, last],
                last: [last, first],
            }
        });
        let mut order: Vec<Packed> = packed.collect();
        order.sort_by_key(|s| std::cmp::Reverse(segments[s.number].steps.len()));
        let lengths = order.iter().map(|s| segments[s.number].steps.len());
        let lengths = Lengths::new(lengths.collect())?;
        Ok(Some(Packing {
            extent: batch.extent,
            segments: order,
            lengths,
        }))
    }

    /// The points of the run.
    pub(crate) fn points(&self) -> Points<'_> {
        let (steps, rows) = (self.lengths.steps(), self.lengths.rows());
        match self.lengths.points() == steps * rows {
            true => Points::Full(Extent { steps, rows }),
            false => Points::Ragged(&self.lengths),
        }
    }

    /// How many of each the batch has.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            steps: self.extent.steps,
            rows: self.extent.rows,
            segments: self.segments.len(),
        }
    }

    /// Packs an array of values of this type: what a run reads.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn pack<T: Float>(
        &self,
        how: Arrangement,
        ty: Type,
        from: &[T],
        to: &mut Vec<T>,
    ) -> Result<(), Error> {
        let (count, n) = (self.points().numbers(ty), ty.shape.len());
        to.clear();
        reserve(to, "a batch's packed arrays", count)?;
        if how == Arrangement::Steps {
            // In the order of the run: nothing is written twice.
            self.pairs(how, ty, |outside, _| {
                to.extend_from_slice(&from[outside * n..][..n]);
            });
            return Ok(());
        }
        to.resize(count, T::ZERO);
        self.pairs(how, ty, |outside, inside| {
            to[inside * n..][..n].copy_from_slice(&from[outside * n..][..n]);
        });
        Ok(())
    }

    /// Unpacks an array that a run has written: zeros where there are no steps, and the sum over a row's segments for what
    /// all of them had.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(crate) fn unpack<T: Float>(
        &self,
        how: Arrangement,
        ty: Type,
        from: &[T],
        to: &mut Vec<T>,
    ) -> Result<(), Error> {
        let count = how.numbers(ty, self.counts());
        reserve(to, "the outputs", count)?;
        to.resize(count, T::ZERO);
        self.unpack_into(how, ty, from, to);
        Ok(())
    }

    /// As [`unpack`](Self::unpack), into a slice that is as long as the result.
    pub(crate) fn unpack_into<T: Float>(
        &self,
        how: Arrangement,
        ty: Type,
        from: &[T],
        to: &mut [T],
    ) {
        let n = ty.shape.len();
        match how {
            Arrangement::Rows => {
                to.fill(T::ZERO);
                self.pairs(how, ty, |outside, inside| {
                    let values = from[inside * n..][..n].iter();
                    for (to, &value) in to[outside * n..][..n].iter_mut().zip(values) {
                        *to += value;
                    }
                });
                return;
            }
            Arrangement::Steps => self.clear_padding(n, to),
            _ => to.fill(T::ZERO),
        }
        self.pairs(how, ty, |outside, inside| {
            to[outside * n..][..n].copy_from_slice(&from[inside * n..][..n]);
        });
    }

    /// Puts zeros where rows have no step.
    fn clear_padding<T: Float>(&self, n: usize, to: &mut [T]) {
        let Extent { steps, rows } = self.extent;
        let all = self.segments.iter().zip(self.lengths.of_rows());
        for (s, length) in all.filter(|(s, _)| s.last[0]) {
            for t in s.start + length..steps {
                to[(t * rows + s.row) * n..][..n].fill(T::ZERO);
            }
        }
    }

    /// Calls with the position in the caller's array and in the run's of each value of this type that both have.
    fn pairs(&self, how: Arrangement, ty: Type, mut pair: impl FnMut(usize, usize)) {
        let b = self.extent.rows;
        let all = self.segments.iter().enumerate();
        match how {
            Arrangement::Once => pair(0, 0),
            Arrangement::Rows => all.for_each(|(at, s)| pair(s.row, at)),
            Arrangement::Segments => all.for_each(|(at, s)| pair(s.number, at)),
            Arrangement::Steps => {
                for t in 0..self.lengths.steps() {
                    let offset = self.lengths.offset(t);
                    for (at, s) in self.segments[..self.lengths.live(t)].iter().enumerate() {
                        pair((s.start + t) * b + s.row, offset + at);
                    }
                }
            }
            Arrangement::Starts { reverse } | Arrangement::Finals { reverse } => {
                let Domain::BoundarySlots(slots) = ty.domain else {
                    unreachable!("it is that of slots")
                };
                let starts = matches!(how, Arrangement::Starts { .. });
                for (at, s) in all {
                    let has = if starts { s.given } else { s.last };
                    if has[usize::from(reverse)] {
                        for slot in 0..slots {
                            pair(slot * b + s.row, slot * self.segments.len() + at);
                        }
                    }
                }
            }
        }
    }

    /// The error of a run, with the caller's row and step.
    pub(crate) fn located(&self, mut error: TapeError) -> TapeError {
        if let TapeError::Index { row, step, .. } = &mut error {
            (*row, *step) = self.place(*row, *step);
        }
        error
    }

    /// The caller's row and step of a place in a run.
    pub(crate) fn place(
        &self,
        row: Option<usize>,
        step: Option<usize>,
    ) -> (Option<usize>, Option<usize>) {
        match row.and_then(|at| self.segments.get(at)) {
            Some(segment) => (Some(segment.row), step.map(|t| t + segment.start)),
            None => (row, step),
        }
    }
}

impl<T> Batch<T> {
    /// The segments of all rows, in order of row, then time: what row targets, row weights, row masks and row outputs are
    /// one of each.
    ///
    /// # Errors
    /// [`Error::Setting`] for lengths or resets that do not fit the batch's extent; [`Error::EmptyBatch`], and [`Error::Cell`] for
    /// more points than a run may have.
    #[inline(never)]
    pub fn segments(&self) -> Result<Vec<Segment>, Error> {
        let Extent { steps: t, rows: b } = self.extent;
        exists(self)?;
        let fits = |what, found: usize, count: usize, expected: &str| match found == count {
            true => Ok(()),
            false => Err(Error::Setting {
                what,
                found: found.to_string(),
                expected: format!("{count}, {expected}"),
            }),
        };
        if let Some(lengths) = &self.lengths {
            fits(
                "the number of lengths",
                lengths.len(),
                b,
                "one for each row",
            )?;
            if let Some(row) = lengths.iter().position(|&n| n > t) {
                return Err(Error::Setting {
                    what: "a row's length",
                    found: format!("{} for row {row}", lengths[row]),
                    expected: format!("at most T = {t}"),
                });
            }
            if lengths.iter().all(|&n| n == 0) {
                return Err(Error::EmptyBatch { t: 0, b });
            }
        }
        if let Some(resets) = &self.resets {
            let points = t.saturating_mul(b);
            fits("the number of resets", resets.len(), points, "[T, B]")?;
        }
        let mut segments = Vec::with_capacity(b);
        for row in 0..b {
            let length = self.lengths.as_ref().map_or(t, |l| l[row]);
            let resets = self.resets.as_deref().unwrap_or_default();
            let renewed = |step: &usize| resets.get(step * b + row).is_some_and(|&r| r);
            let mut start = 0;
            let last = if resets.is_empty() { 1 } else { length };
            for step in (1..last).filter(renewed) {
                segments.push(Segment {
                    row,
                    steps: start..step,
                });
                start = step;
            }
            segments.push(Segment {
                row,
                steps: start..length,
            });
        }
        Ok(segments)
    }
}
