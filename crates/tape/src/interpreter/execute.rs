//! Runs one instruction at one tick.

use super::check::BadIndex;
use std::ops::Range;

use super::axes::{self, Heads, Strided};
use super::delay::Reads;
use super::points::RunPoints;
use super::program::{BufferPlan, BufferView, Instruction, InstructionKind, Summed};
use super::rows::{self as each, Blocks, Operand, Total};
use crate::error::TapeError;
use crate::op::Op;
use crate::real::Real;
use crate::sums::CompensatedSum;
use crate::ty::{Domain, Shape};

/// The buffers and sizes of the present run.
#[derive(Clone, Debug)]
pub(crate) struct Buffers<T> {
    pub(crate) plans: Vec<BufferPlan>,
    pub(crate) data: Vec<Vec<T>>,
    /// State of the buffers in which terms of many points are accumulated; empty for others.
    pub(crate) sums: Vec<CompensatedSum<T>>,
    /// For each index, the number of rows of its table.
    pub(crate) tables: Vec<usize>,
    pub(crate) points: RunPoints,
}

impl<T: Real> Buffers<T> {
    /// The total number of elements of all buffers.
    pub(crate) fn numbers(&self) -> usize {
        let sums = self.sums.iter().map(|s| s.carry.len() + s.part.len());
        self.data.iter().map(Vec::len).chain(sums).sum()
    }

    /// Resizes the buffers to these sizes.
    ///
    /// # Errors
    /// If all buffers together exceed the budget or the memory that the machine can provide.
    #[inline(never)]
    pub(crate) fn allocate(
        &mut self,
        buffers: Range<usize>,
        budget: usize,
    ) -> Result<(), TapeError> {
        // Sizes of the buffer, its carry and its part. The product of all limits is far below 2¹²⁸.
        let sizes = |plan: &BufferPlan| -> [u128; 3] {
            let points = match (plan.one_step, plan.constant, plan.domain) {
                (true, _, domain) | (_, Some(_), domain) => domain.rows(self.points.rows()),
                (false, None, Domain::Step) => self.points.offset(self.points.steps()),
                (false, None, domain) => domain.points(0, self.points.rows()),
            };
            let size = points as u128 * plan.len as u128;
            match plan.summed {
                _ if !plan.used => [0; 3],
                Summed::No => [size, 0, 0],
                Summed::Terms => [size, size, 0],
                Summed::Products => [size; 3],
            }
        };
        let bytes = size_of::<T>() as u128;
        let (mut needed, mut new) = (self.numbers() as u128 * bytes, 0);
        for i in buffers.clone() {
            let lists = [&self.data[i], &self.sums[i].carry, &self.sums[i].part];
            for (list, size) in lists.into_iter().zip(sizes(&self.plans[i])) {
                needed = needed - list.len() as u128 * bytes + size * bytes;
                new += size.saturating_sub(list.capacity() as u128) * bytes;
            }
        }
        let too_much = TapeError::Memory {
            bytes: u64::try_from(needed).unwrap_or(u64::MAX),
        };
        if needed > budget as u128 {
            return Err(too_much);
        }
        // A single request for the total: many small requests may each be granted and together exceed the available memory.
        let new = usize::try_from(new).map_err(|_| too_much.clone())?;
        let mut probe: Vec<u8> = Vec::new();
        probe.try_reserve_exact(new).map_err(|_| too_much.clone())?;
        drop(probe);
        for i in buffers {
            let sizes = sizes(&self.plans[i]);
            let number = T::from_f64(self.plans[i].constant.unwrap_or(0.0));
            let sum = &mut self.sums[i];
            let lists = [&mut self.data[i], &mut sum.carry, &mut sum.part];
            for ((list, size), x) in lists.into_iter().zip(sizes).zip([number, T::ZERO, T::ZERO]) {
                // The buffer fits, because all of them together do.
                let size = size as usize;
                list.try_reserve_exact(size.saturating_sub(list.len()))
                    .map_err(|_| too_much.clone())?;
                list.resize(size, x);
            }
        }
        Ok(())
    }

    /// Releases all memory.
    pub(crate) fn free(&mut self) {
        self.data.iter_mut().for_each(|d| *d = Vec::new());
        self.sums
            .iter_mut()
            .for_each(|s| *s = CompensatedSum::default());
    }

    /// The range of a place within its buffer at a tick.
    pub(crate) fn range(&self, place: &BufferView, tick: usize) -> Range<usize> {
        let n = place.shape.len();
        let points = &self.points;
        match place.domain {
            Domain::Once => 0..n,
            Domain::Row => 0..points.rows() * n,
            Domain::BoundarySlots(_) => tick * points.rows() * n..(tick + 1) * points.rows() * n,
            Domain::Step => {
                let first = if self.plans[place.buffer].one_step {
                    0
                } else {
                    points.offset(tick)
                };
                first * n..(first + points.live(tick)) * n
            }
        }
    }

    /// A place's value in the first `rows` rows, all that the work has at a tick.
    pub(crate) fn read(&self, place: &BufferView, tick: usize, rows: usize) -> Operand<'_, T> {
        let mut range = self.range(place, tick);
        if place.domain == Domain::Row {
            // Rows that have no such step any more are left out.
            range.end = rows * place.shape.len();
        }
        self.operand(place, range, rows)
    }

    /// The value of `rows` rows of a place, which has this range of its buffer.
    pub(crate) fn operand(
        &self,
        place: &BufferView,
        range: Range<usize>,
        rows: usize,
    ) -> Operand<'_, T> {
        let s = &self.data[place.buffer][range];
        if self.plans[place.buffer].constant.is_some() {
            return Operand::Splat(s[0], s);
        }
        match place.domain {
            Domain::Once if rows > 1 && s.len() == 1 => Operand::Splat(s[0], s),
            Domain::Once if rows > 1 => Operand::Row(s),
            Domain::Once | Domain::Row | Domain::BoundarySlots(_) | Domain::Step => {
                Operand::Full(s)
            }
        }
    }

    /// # Errors
    /// An index out of its table; the table is then not read.
    #[inline(never)]
    pub(crate) fn run(&mut self, instr: &Instruction, tick: usize) -> Result<(), BadIndex<T>> {
        match (&instr.kind, &instr.dst) {
            (&InstructionKind::Index(index), _) => {
                let rows = self.points.rows_at(instr.work, tick);
                let found = self.read(&instr.args[0], tick, rows);
                if let Some((row, found)) = each::outside(rows, self.tables[index], found) {
                    return Err(BadIndex {
                        index,
                        tick,
                        row,
                        found,
                    });
                }
            }
            (InstructionKind::Op(op), Some(dst)) if instr.reduces() => {
                self.total(op, dst, instr, tick)
            }
            (InstructionKind::Op(op), Some(dst)) => {
                // The destination is taken out of its table while the operands are read from it.
                let mut out = std::mem::take(&mut self.data[dst.buffer]);
                match *op {
                    Op::Delay(d) | Op::Boundary(d) => {
                        let boundary = matches!(op, Op::Boundary(_));
                        self.delay(&mut out, instr, dst, Reads { d, boundary }, tick);
                    }
                    _ => {
                        let to = &mut out[self.range(dst, tick)];
                        self.op(op, to, dst.shape, instr, tick);
                    }
                }
                self.data[dst.buffer] = out;
            }
            (InstructionKind::Back { .. }, _) => self.back(instr, tick),
            (InstructionKind::Transpose, Some(dst)) => {
                if self.transposes() {
                    let mut out = std::mem::take(&mut self.data[dst.buffer]);
                    let from = &instr.args[0];
                    let matrix = &self.data[from.buffer][self.range(from, 0)];
                    each::transpose(&mut out, from.shape.as_matrix(), matrix);
                    self.data[dst.buffer] = out;
                }
            }
            (InstructionKind::Op(_) | InstructionKind::Transpose, None) => {
                unreachable!("a value has a destination")
            }
        }
        Ok(())
    }

    /// Adds the terms of one tick to a sum over points.
    fn total(&mut self, op: &Op, dst: &BufferView, instr: &Instruction, tick: usize) {
        let mut data = std::mem::take(&mut self.data[dst.buffer]);
        let mut sum = std::mem::take(&mut self.sums[dst.buffer]);
        let mut total = Total {
            data: &mut data,
            sum: &mut sum,
        };
        let rows = self.points.rows_at(instr.work, tick);
        let size = dst.shape.as_matrix();
        let arg = |i: usize| self.read(&instr.args[i], tick, rows);
        match op {
            Op::Outer { .. } => match heads(dst.shape) {
                Some(heads) => total.outers(heads, rows, arg(0), arg(1)),
                None => total.outer(size, rows, arg(0), arg(1)),
            },
            Op::Scatter { .. } => total.scatter(size, rows, arg(0), arg(1)),
            Op::SumTo(_) => total.rows(dst.shape.len(), 0..rows, arg(0)),
            Op::Input { .. }
            | Op::Zeros(_)
            | Op::Constant { .. }
            | Op::Map(_)
            | Op::Reduce(_)
            | Op::ReduceAxis { .. }
            | Op::Dot
            | Op::Broadcast(_)
            | Op::Concat { .. }
            | Op::Slice { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::MatVec { .. }
            | Op::Gather
            | Op::Delay(_)
            | Op::Boundary(_)
            | Op::Spread(_) => unreachable!("its result is in the domain that it works in"),
        }
        self.data[dst.buffer] = data;
        self.sums[dst.buffer] = sum;
    }

    /// Finishes the sums that instructions have added to.
    pub(crate) fn settle<'a>(&mut self, instrs: impl IntoIterator<Item = &'a Instruction>) {
        for (buffer, _) in instrs.into_iter().filter_map(Instruction::sums) {
            self.sums[buffer].settle(&mut self.data[buffer]);
        }
    }

    /// Whether transposed copies of matrices are made and used: they cost about as much as one row's step.
    fn transposes(&self) -> bool {
        self.points.rows() >= 4 && self.points.steps() >= 4
    }

    fn concat(&self, axis: usize, out: &mut [T], shape: Shape, instr: &Instruction, tick: usize) {
        let rows = self.points.rows_at(instr.work, tick);
        let (count, to_width) = along(shape, axis);
        let mut to = 0;
        for place in &instr.args {
            let (_, width) = along(place.shape, axis);
            let b = Blocks {
                count,
                width,
                to,
                to_width,
                from: 0,
                from_width: width,
            };
            let part = self.read(place, tick, rows);
            each::blocks(out, rows, part, b, instr.accumulate);
            to += width;
        }
    }

    fn op(&self, op: &Op, out: &mut [T], shape: Shape, instr: &Instruction, tick: usize) {
        let rows = self.points.rows_at(instr.work, tick);
        let n = shape.len();
        let add = instr.accumulate;
        let arg = |i: usize| self.read(&instr.args[i], tick, rows);
        let len = |i: usize| instr.args[i].shape.len();
        match *op {
            Op::Input { .. } => unreachable!("inputs are copied in before a run"),
            Op::Constant { value, .. } => out.fill(T::from_f64(value.0)),
            Op::Zeros(_) => out.fill(T::ZERO),
            Op::Map(m) => {
                let mut args = [Operand::Full(&[][..]); 3];
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
            Op::ReduceAxis { kind, axis } => {
                let from = instr.args[0].shape;
                let (before, after) = from.around(axis);
                let sizes = (before, from.axis(axis).unwrap_or(1), after);
                axes::reduce_axis(kind, out, sizes, arg(0), add);
            }
            Op::Dot => each::dot(out, len(0), arg(0), arg(1), add),
            Op::Broadcast(_) => {
                let from = stretch(instr.args[0].shape, shape);
                axes::strided(out, len(0), arg(0), from, add);
            }
            Op::Transpose(order) => {
                let from = instr.args[0].shape;
                let of = |k: usize| {
                    from.axis(order.axis(k))
                        .map(|_| from.around(order.axis(k)).1)
                };
                axes::strided(out, n, arg(0), along_axes(shape, of), add);
            }
            Op::Concat { axis } => self.concat(axis, out, shape, instr, tick),
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
                let of = instr.args[matrix].shape;
                match heads(of) {
                    Some(heads) => {
                        axes::matvecs(out, heads, transposed, arg(matrix), arg(1), add);
                    }
                    None => {
                        let size = of.as_matrix();
                        each::matvec(out, size, transposed, arg(matrix), arg(1), add);
                    }
                }
            }
            Op::Outer { .. } => match heads(shape) {
                Some(heads) => axes::outers(out, heads, rows, arg(0), arg(1), add),
                None => each::outer(out, shape.as_matrix(), rows, arg(0), arg(1), add),
            },
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

/// A value along an axis: its number of blocks, and the elements per block.
pub(super) fn along(shape: Shape, axis: usize) -> (usize, usize) {
    let count = shape.around(axis).0;
    (count, shape.len() / count.max(1))
}

/// The matrices of a tensor.
pub(super) fn heads(shape: Shape) -> Option<Heads> {
    match shape {
        Shape::Tensor(count, m, n) => Some(Heads { count, m, n }),
        Shape::Scalar | Shape::Vector(_) | Shape::Matrix(..) => None,
    }
}

/// How a value of another shape is read for a result of this one, where axis k of the result moves by `stride(k)`.
pub(super) fn along_axes(shape: Shape, stride: impl Fn(usize) -> Option<usize>) -> Strided {
    let (mut lens, mut strides) = ([1; 3], [0; 3]);
    // The last axes, because the innermost loop should be a long one.
    let first = lens.len() - shape.rank();
    for (k, len) in shape.axes().into_iter().enumerate() {
        (lens[first + k], strides[first + k]) = (len, stride(k).unwrap_or(0));
    }
    Strided { lens, strides }
}

/// How a value is read that is stretched to `to`.
pub(super) fn stretch(from: Shape, to: Shape) -> Strided {
    let moves = |k: usize| from.axis(k).filter(|&len| len > 1);
    along_axes(to, |k| moves(k).map(|_| from.around(k).1))
}
