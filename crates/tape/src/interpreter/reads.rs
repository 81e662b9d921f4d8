//! Which elements of its operands an element of a result is computed from.

use super::axes::Heads;
use super::execute::{along, along_axes, heads, stretch};
use super::program::{BufferView, Instruction, InstructionKind};
use crate::map::Map;
use crate::op::Op;

/// Every `step`-th element of an operand, from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Elements {
    start: usize,
    step: usize,
    count: usize,
}

const NONE: Elements = Elements {
    start: 0,
    step: 0,
    count: 0,
};

fn one(start: usize) -> Elements {
    Elements {
        start,
        step: 1,
        count: 1,
    }
}

fn every(start: usize, step: usize, count: usize) -> Elements {
    Elements { start, step, count }
}

impl Elements {
    pub(super) fn each(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.start + i * self.step)
    }
}

/// The elements of operand `k`, in the same row, that element `j` of an instruction's result is computed from. `number` are
/// the operands' elements: they decide what a selection or an index reads. Delays are not asked.
pub(super) fn reads(
    instr: &Instruction,
    k: usize,
    j: usize,
    number: &dyn Fn(usize, usize) -> f64,
) -> Elements {
    let from = instr.args[k].shape;
    let op = match instr.kind {
        InstructionKind::Op(op) => op,
        InstructionKind::Transpose => {
            let (m, n) = from.as_matrix();
            return one(j % m * n + j / m);
        }
        InstructionKind::Back { .. } | InstructionKind::Index(_) => return NONE,
    };
    let to = instr.dst.map_or(from, |dst| dst.shape);
    match op {
        Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => NONE,
        Op::Map(Map::Select) => match (k, number(0, j) != 0.0) {
            (1, true) | (2, false) => one(j),
            _ => NONE,
        },
        Op::Map(Map::WithGradient | Map::ClipGradient) if k == 1 => NONE,
        Op::Map(_) | Op::Reshape(_) | Op::Spread(_) | Op::SumTo(_) => one(j),
        Op::Reduce(_) | Op::Dot => every(0, 1, from.len()),
        Op::ReduceAxis { axis, .. } => {
            let (_, after) = from.around(axis);
            let n = from.axis(axis).unwrap_or(1);
            every(j / after * n * after + j % after, after, n)
        }
        Op::Broadcast(_) => one(stretch(from, to).of(j)),
        Op::Transpose(order) => {
            let of = |k: usize| {
                let axis = order.axis(k);
                from.axis(axis).map(|_| from.around(axis).1)
            };
            one(along_axes(to, of).of(j))
        }
        Op::Concat { axis } => {
            let width = |place: &BufferView| along(place.shape, axis).1;
            let before: usize = instr.args[..k].iter().map(width).sum();
            let (_, to_width) = along(to, axis);
            let (at, own) = (j % to_width, width(&instr.args[k]));
            match (before..before + own).contains(&at) {
                true => one(j / to_width * own + at - before),
                false => NONE,
            }
        }
        Op::Slice { axis, start, len } => {
            let (_, from_width) = along(from, axis);
            let unit = from_width / from.axis(axis).unwrap_or(1);
            let width = len * unit;
            one(j / width * from_width + start * unit + j % width)
        }
        // A third operand is the transpose of the first.
        Op::MatVec { .. } if k > 1 => NONE,
        Op::MatVec { transposed } => {
            let of = instr.args[0].shape;
            let Heads { m, n, .. } = heads(of).unwrap_or_else(|| {
                let (m, n) = of.as_matrix();
                Heads { count: 1, m, n }
            });
            match (transposed, k) {
                (false, 0) => every(j * n, 1, n),
                (false, _) => every(j / m * n, 1, n),
                (true, 0) => every(j / n * m * n + j % n, n, m),
                (true, _) => every(j / n * m, 1, m),
            }
        }
        Op::Outer { .. } => {
            let Heads { m, n, .. } = heads(to).unwrap_or_else(|| {
                let (m, n) = to.as_matrix();
                Heads { count: 1, m, n }
            });
            match k {
                0 => one(j / n),
                _ => one(j / (m * n) * n + j % n),
            }
        }
        Op::Gather if k == 1 => NONE,
        Op::Gather => one(number(1, 0).round_ties_even() as usize * to.len() + j),
        Op::Scatter { .. } if k == 0 => NONE,
        Op::Scatter { .. } => {
            let (_, n) = to.as_matrix();
            match number(0, 0).round_ties_even() as usize == j / n {
                true => one(j % n),
                false => NONE,
            }
        }
        Op::Delay(_) | Op::Boundary(_) => NONE,
    }
}
