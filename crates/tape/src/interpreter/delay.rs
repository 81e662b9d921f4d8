//! Delays and boundaries, and their transposes. A row is delayed on its own: its slots lie before its first step and
//! after its own last one.

use std::ops::Range;

use super::execute::Buffers;
use super::points::RunPoints;
use super::program::{BufferView, Instruction, InstructionKind};
use super::rows::{self as each, Total};
use crate::real::Real;
use crate::ty::Domain;

/// Where a delay finds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Step(usize),
    Init(usize),
}

/// Slot `i` of e, the sequence of a row's `t` steps with its |d| initial slots in front (d > 0) or behind: see
/// [`Op::Delay`](crate::Op::Delay).
fn extended(d: i32, t: usize, i: usize) -> From {
    let k = d.unsigned_abs() as usize;
    match (d > 0, i) {
        (true, i) if i < k => From::Init(i),
        (true, i) => From::Step(i - k),
        (false, i) if i < t => From::Step(i),
        (false, i) => From::Init(i - t),
    }
}

/// The slot of e that a delay reads at step `tick`, or a boundary at slot `tick`.
fn slot(d: i32, boundary: bool, t: usize, tick: usize) -> usize {
    match (d > 0, boundary) {
        (true, false) | (false, true) => tick,
        (true, true) => t + tick,
        (false, false) => tick + d.unsigned_abs() as usize,
    }
}

/// The `d` of a delay or a boundary, and which it is.
#[derive(Clone, Copy)]
pub(crate) struct Reads {
    pub(crate) d: i32,
    pub(crate) boundary: bool,
}

impl Reads {
    /// Where a row finds its value at `tick`.
    pub(super) fn of_row(self, points: &RunPoints, tick: usize, row: usize) -> From {
        let t = points.length(row);
        extended(self.d, t, slot(self.d, self.boundary, t, tick))
    }

    /// From row `start` on, the rows that find theirs in one place, and that place; of `end` rows at `tick`.
    fn group(
        self,
        points: &RunPoints,
        tick: usize,
        start: usize,
        end: usize,
    ) -> (Range<usize>, From) {
        let from = self.of_row(points, tick, start);
        // Rows of one length, or ones that all have the step, are neighbours, because the rows are sorted.
        let same = |row: usize| self.of_row(points, tick, row) == from;
        if same(end - 1) {
            return (start..end, from);
        }
        let rows = (start + 1..end).take_while(|&row| same(row)).count();
        (start..start + 1 + rows, from)
    }
}

impl<T: Real> Buffers<T> {
    /// The elements of some rows of a place within its buffer at a tick.
    fn rows_of(&self, place: &BufferView, tick: usize, rows: &Range<usize>) -> Range<usize> {
        let range = self.range(place, tick);
        match place.domain {
            Domain::Once => range,
            Domain::Row | Domain::BoundarySlots(_) | Domain::Step => {
                let n = place.shape.len();
                range.start + rows.start * n..range.start + rows.end * n
            }
        }
    }

    /// A delay or boundary at one tick.
    pub(crate) fn delay(
        &self,
        out: &mut [T],
        instr: &Instruction,
        dst: &BufferView,
        reads: Reads,
        tick: usize,
    ) {
        let end = self.points.rows_at(instr.work, tick);
        let mut next = 0;
        while next < end {
            let (rows, from) = reads.group(&self.points, tick, next, end);
            next = rows.end;
            let (from, at) = match from {
                From::Step(t) => (&instr.args[0], t),
                From::Init(k) => (&instr.args[1], k),
            };
            let to = self.rows_of(dst, tick, &rows);
            if from.buffer == dst.buffer {
                out.copy_within(self.rows_of(from, at, &rows), to.start);
                continue;
            }
            let n = dst.shape.len();
            let x = self.operand(from, self.rows_of(from, at, &rows), rows.len());
            each::copy_rows(&mut out[to], n, rows.len(), x, instr.accumulate);
        }
    }

    /// The transpose of a delay or boundary at one tick.
    pub(crate) fn back(&mut self, instr: &Instruction, tick: usize) {
        let InstructionKind::Back {
            d,
            boundary,
            x,
            init,
        } = instr.kind
        else {
            unreachable!("only called for the transpose of a delay")
        };
        let reads = Reads { d, boundary };
        let end = self.points.rows_at(instr.work, tick);
        let mut next = 0;
        while next < end {
            let (rows, to) = reads.group(&self.points, tick, next, end);
            next = rows.end;
            let (to, at) = match to {
                From::Step(t) => (x, t),
                From::Init(k) => (init, k),
            };
            if let Some(to) = to {
                self.add(&to, at, &instr.args[0], tick, rows);
            }
        }
    }

    /// to[at] += from[tick] in some rows; they are summed if `to` has only one.
    fn add(
        &mut self,
        to: &BufferView,
        at: usize,
        from: &BufferView,
        tick: usize,
        rows: Range<usize>,
    ) {
        let range = self.rows_of(to, at, &rows);
        let source = self.rows_of(from, tick, &rows);
        let mut out = std::mem::take(&mut self.data[to.buffer]);
        if to.buffer == from.buffer {
            // A state that keeps its value: its delay reads itself.
            for (o, x) in range.zip(source) {
                let x = out[x];
                out[o] += x;
            }
        } else {
            let n = from.shape.len();
            let mut sum = std::mem::take(&mut self.sums[to.buffer]);
            let x = self.operand(from, source, rows.len());
            match to.domain {
                Domain::Once | Domain::Row => {
                    let (data, sum) = (&mut out[..], &mut sum);
                    Total { data, sum }.rows(n, rows, x);
                }
                Domain::BoundarySlots(_) | Domain::Step => {
                    each::copy_rows(&mut out[range], n, rows.len(), x, true);
                }
            }
            self.sums[to.buffer] = sum;
        }
        self.data[to.buffer] = out;
    }
}
