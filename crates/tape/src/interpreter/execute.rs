//! Runs one instruction at one tick.

use std::ops::Range;

use super::program::{Instr, Kind, Place, Plan, rows};
use super::rows::{self as each, Arg, Blocks};
use crate::op::Op;
use crate::real::Real;
use crate::ty::{Domain, Shape};

/// The buffers, and the sizes of the present run.
#[derive(Clone, Debug)]
pub(crate) struct Memory<T> {
    pub(crate) plans: Vec<Plan>,
    pub(crate) data: Vec<Vec<T>>,
    pub(crate) steps: usize,
    pub(crate) batch: usize,
}

/// Where a delay finds a value.
enum From {
    Step(usize),
    Init(usize),
}

/// Slot `i` of e, the sequence of `t` steps with its |d| initial slots in front (d > 0) or behind: see [`Op::Delay`].
fn extended(d: i32, t: usize, i: usize) -> From {
    let k = d.unsigned_abs() as usize;
    match (d > 0, i) {
        (true, i) if i < k => From::Init(i),
        (true, i) => From::Step(i - k),
        (false, i) if i < t => From::Step(i),
        (false, i) => From::Init(i - t),
    }
}

/// Which slot of e a delay reads at step `tick`, or a boundary at slot `tick`.
fn slot(d: i32, boundary: bool, t: usize, tick: usize) -> usize {
    match (d > 0, boundary) {
        (true, false) | (false, true) => tick,
        (true, true) => t + tick,
        (false, false) => tick + d.unsigned_abs() as usize,
    }
}

impl<T: Real> Memory<T> {
    /// Where in its buffer a place is at a tick.
    pub(crate) fn range(&self, place: &Place, tick: usize) -> Range<usize> {
        let n = place.shape.len();
        match place.domain {
            Domain::Once => 0..n,
            Domain::Row => 0..self.batch * n,
            Domain::Edge(_) | Domain::Step => {
                let size = self.batch * n;
                let tick = if self.plans[place.buffer].one_step {
                    0
                } else {
                    tick
                };
                tick * size..(tick + 1) * size
            }
        }
    }

    /// A place's value at a tick of a domain with `rows` rows.
    pub(crate) fn read(&self, place: &Place, tick: usize, rows: usize) -> Arg<'_, T> {
        let s = &self.data[place.buffer][self.range(place, tick)];
        if self.plans[place.buffer].constant.is_some() {
            return Arg::Splat(s[0], s);
        }
        match place.domain {
            Domain::Once if rows > 1 && s.len() == 1 => Arg::Splat(s[0], s),
            Domain::Once if rows > 1 => Arg::Row(s),
            Domain::Once | Domain::Row | Domain::Edge(_) | Domain::Step => Arg::Full(s),
        }
    }

    pub(crate) fn run(&mut self, instr: &Instr, tick: usize) {
        match (&instr.kind, &instr.dst) {
            (Kind::Op(op), Some(dst)) => {
                // The destination is out of the table while the operands are read from it.
                let mut out = std::mem::take(&mut self.data[dst.buffer]);
                match *op {
                    Op::Delay(d) => self.delay(&mut out, instr, dst, d, false, tick),
                    Op::Boundary(d) => self.delay(&mut out, instr, dst, d, true, tick),
                    _ => {
                        let to = &mut out[self.range(dst, tick)];
                        self.op(op, to, dst.shape, instr, tick);
                    }
                }
                self.data[dst.buffer] = out;
            }
            (
                Kind::Back {
                    d,
                    boundary,
                    x,
                    init,
                },
                _,
            ) => {
                let (to, at) = match extended(*d, self.steps, slot(*d, *boundary, self.steps, tick))
                {
                    From::Step(t) => (x, t),
                    From::Init(k) => (init, k),
                };
                if let Some(to) = to {
                    self.add(to, at, &instr.args[0], tick);
                }
            }
            (Kind::Transpose, Some(dst)) => {
                if self.transposes() {
                    let mut out = std::mem::take(&mut self.data[dst.buffer]);
                    let from = &instr.args[0];
                    let matrix = &self.data[from.buffer][self.range(from, 0)];
                    each::transpose(&mut out, from.shape.as_matrix(), matrix);
                    self.data[dst.buffer] = out;
                }
            }
            (Kind::Op(_) | Kind::Transpose, None) => unreachable!("a value has a destination"),
        }
    }

    /// Whether transposed copies of matrices are made and used: they cost about as much as a step of one row.
    fn transposes(&self) -> bool {
        self.batch >= 4 && self.steps >= 4
    }

    /// to[at] += from[tick], rows added up where `to` has one alone.
    fn add(&mut self, to: &Place, at: usize, from: &Place, tick: usize) {
        let range = self.range(to, at);
        let mut out = std::mem::take(&mut self.data[to.buffer]);
        if to.buffer == from.buffer {
            // A state that keeps its value: its delay reads itself.
            let source = self.range(from, tick);
            for (o, x) in range.zip(source) {
                let x = out[x];
                out[o] += x;
            }
        } else {
            let n = from.shape.len();
            let x = self.read(from, tick, self.batch);
            each::copy_rows(&mut out[range], n, self.batch, x, true);
        }
        self.data[to.buffer] = out;
    }

    fn delay(
        &self,
        out: &mut [T],
        instr: &Instr,
        dst: &Place,
        d: i32,
        boundary: bool,
        tick: usize,
    ) {
        let (from, at) = match extended(d, self.steps, slot(d, boundary, self.steps, tick)) {
            From::Step(t) => (&instr.args[0], t),
            From::Init(k) => (&instr.args[1], k),
        };
        let to = self.range(dst, tick);
        if from.buffer == dst.buffer {
            out.copy_within(self.range(from, at), to.start);
            return;
        }
        let n = dst.shape.len();
        let x = self.read(from, at, self.batch);
        each::copy_rows(&mut out[to], n, self.batch, x, instr.accumulate);
    }

    fn op(&self, op: &Op, out: &mut [T], shape: Shape, instr: &Instr, tick: usize) {
        let rows = rows(instr.work, self.batch);
        let n = shape.len();
        let add = instr.accumulate;
        let arg = |i: usize| self.read(&instr.args[i], tick, rows);
        let len = |i: usize| instr.args[i].shape.len();
        match *op {
            Op::Input { .. } => unreachable!("inputs are copied in before a run"),
            Op::Constant { value, .. } => out.fill(T::from_f64(value.0)),
            Op::Zeros(_) => out.fill(T::ZERO),
            Op::Map(m) => {
                let mut args = [Arg::Full(&[][..]); 3];
                for (i, a) in args.iter_mut().enumerate().take(instr.args.len()) {
                    *a = arg(i);
                }
                if add {
                    each::map::<T, true>(m, out, n, &args);
                } else {
                    each::map::<T, false>(m, out, n, &args);
                }
            }
            Op::Reduce(r) => each::reduce(r, out, len(0), arg(0), add),
            Op::Dot => each::dot(out, len(0), arg(0), arg(1), add),
            Op::Broadcast(_) => each::broadcast(out, n, arg(0), add),
            Op::Concat { axis } => {
                let (count, to_width) = along(shape, axis);
                let mut to = 0;
                for (i, place) in instr.args.iter().enumerate() {
                    let (_, width) = along(place.shape, axis);
                    let b = Blocks {
                        count,
                        width,
                        to,
                        to_width,
                        from: 0,
                        from_width: width,
                    };
                    each::blocks(out, rows, arg(i), b, add);
                    to += width;
                }
            }
            Op::Slice { axis, start, len } => {
                let (count, from_width) = along(instr.args[0].shape, axis);
                let unit = from_width / instr.args[0].shape.axis(axis).unwrap_or(1);
                let b = Blocks {
                    count,
                    width: len * unit,
                    to: 0,
                    to_width: len * unit,
                    from: start * unit,
                    from_width,
                };
                each::blocks(out, rows, arg(0), b, add);
            }
            Op::MatVec { transposed } => {
                let (matrix, transposed) = if instr.args.len() == 3 && self.transposes() {
                    (2, !transposed)
                } else {
                    (0, transposed)
                };
                let size = instr.args[matrix].shape.as_matrix();
                each::matvec(out, size, transposed, arg(matrix), arg(1), add);
            }
            Op::Outer { .. } => {
                each::outer(out, shape.as_matrix(), rows, arg(0), arg(1), add);
            }
            Op::Gather => {
                let size = instr.args[0].shape.as_matrix();
                each::gather(out, size, arg(0), arg(1), add);
            }
            Op::Scatter { .. } => {
                each::scatter(out, shape.as_matrix(), rows, arg(0), arg(1), add);
            }
            Op::Reshape(_) | Op::Spread(_) | Op::SumTo(_) => {
                each::copy_rows(out, n, rows, arg(0), add);
            }
            Op::Delay(_) | Op::Boundary(_) => unreachable!("run as a delay"),
        }
    }
}

/// A value along an axis: how many blocks it consists of, and elements a block.
fn along(shape: Shape, axis: usize) -> (usize, usize) {
    let count = if axis == 0 { 1 } else { shape.as_matrix().0 };
    (count, shape.len() / count.max(1))
}
