//! The loop over rows, and the lane loop over a row's numbers: vectors first, the remainder one by one.

use std::collections::hash_map::Entry;

use cranelift::codegen::ir::ConstantData;
use cranelift::prelude::*;
use retrograd_graph::plan::{Loop, Stmt, View};
use retrograd_tape::Domain;
use rustc_hash::FxHashMap as HashMap;

use super::{Code, Width, trusted, views};
use crate::exec::points::lag;
use crate::vmath::{Cranelift, LaneTypes, Memory};
use retrograd_kernels::maths::Math;

/// Addresses of the views in a row.
pub(crate) struct RowAddresses {
    at: HashMap<View, Value>,
}

impl RowAddresses {
    /// Address of the first number in this row of one of the statements' views.
    pub(crate) fn address(&self, v: View) -> Value {
        self.at[&v]
    }
}

/// A position in a row: a byte offset from its first number, with the constant part separate, so that adjacent vectors
/// share an address.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) from: Value,
    plus: i32,
}

/// A value that a lane loop carries from vector to vector.
#[derive(Clone, Copy)]
pub(crate) struct CarriedValues {
    /// The neutral element that it starts from.
    pub(crate) start: Value,
    /// Whether it is a maximum instead of a sum.
    pub(crate) maximum: bool,
}

/// The body of a lane loop: maps position, width and carried values to the carried values' successors.
type LaneLoop<'s, C> = &'s mut dyn FnMut(&mut C, At, Width, &[Value]) -> Vec<Value>;

impl<'f> Code<'_, 'f, '_> {
    /// Statements for each row of the range at step `t`.
    pub(crate) fn over_rows(&mut self, l: &Loop, stmts: &[Stmt], t: Value) {
        let mut rest = stmts;
        while let Some(first) = rest.first() {
            let wide = self.possible(first);
            let alike = |s: &&Stmt| self.possible(s) == wide;
            let n = rest.iter().take_while(alike).count();
            if !(wide && self.emitted_rows(l, &rest[..n], t)) {
                self.rows_here(l.domain, &rest[..n], t);
            }
            rest = &rest[n..];
        }
    }

    /// Rows of neighbouring steps are contiguous: `body` is given a step and a number of rows from the first of the
    /// range on, once for all points of the range, or step by step if a cut by rows is not known here.
    pub(super) fn over_points(
        &mut self,
        views: &[View],
        body: &mut dyn FnMut(&mut Self, Value, Value),
    ) {
        let [t0, t1, b0, b1] = self.range;
        let rows = self.b.ins().isub(b1, b0);
        let mut whole = self.b.ins().icmp(IntCC::Equal, rows, self.rows);
        let (first, last) = (self.before(t0, 0), self.before(t1, 0));
        let all = self.b.ins().isub(last, first);
        // Rows may end at different steps, and boundary steps stand behind their ends.
        let mut lags: Vec<i64> = (views.iter())
            .map(|v| lag(&self.plan.buffers[v.buffer], *v))
            .collect();
        lags.sort_unstable();
        lags.dedup();
        for lag in lags.into_iter().filter(|&lag| lag != 0) {
            let (first, last) = (self.before(t0, -lag), self.before(t1, -lag));
            let own = self.b.ins().isub(last, first);
            let same = self.b.ins().icmp(IntCC::Equal, own, all);
            whole = self.b.ins().band(whole, same);
        }
        let steps = self.b.ins().isub(t1, t0);
        // As one step of all rows, or step by step.
        let one = self.imm(1);
        let iterations = self.b.ins().select(whole, one, steps);
        let zero = self.imm(0);
        self.count(zero, iterations, false, &mut |code, i| {
            let t = code.b.ins().iadd(t0, i);
            let live = code.live(t);
            let end = code.b.ins().smin(b1, live);
            let rows = code.b.ins().isub(end, b0);
            let rows = code.b.ins().select(whole, all, rows);
            body(code, t, rows);
        });
    }

    /// The same by vectors of 128 bits.
    fn rows_here(&mut self, domain: Domain, stmts: &[Stmt], t: Value) {
        let mut all: Vec<View> = stmts.iter().flat_map(views).collect();
        all.sort_unstable();
        all.dedup();
        // Views that differ only in their offset share an address, that of the first of them.
        let mut steps: Vec<(View, Value, i64)> = Vec::new();
        let mut number: HashMap<View, usize> = HashMap::default();
        for v in &all {
            let plain = View { offset: 0, ..*v };
            if let Entry::Vacant(new) = number.entry(plain) {
                new.insert(steps.len());
                let (at, stride) = self.step_address(domain, plain, t);
                steps.push((plain, at, stride));
            }
        }
        let [.., b0, b1] = self.range;
        let bytes = i64::from(self.lane.bytes());
        self.count(b0, b1, false, &mut |code, b| {
            let rows: Vec<(View, Value)> = steps
                .iter()
                .map(|&(v, at, stride)| {
                    if stride == 0 {
                        return (v, at);
                    }
                    let far = code.b.ins().imul_imm_s(b, stride);
                    (v, code.b.ins().iadd(at, far))
                })
                .collect();
            let at = all
                .iter()
                .map(|v| {
                    let plain = View { offset: 0, ..*v };
                    let base = rows[number[&plain]].1;
                    (*v, code.b.ins().iadd_imm_s(base, v.offset as i64 * bytes))
                })
                .collect();
            let row = RowAddresses { at };
            stmts.iter().for_each(|s| code.row_stmt(s, &row));
        });
    }

    /// A statement for one row.
    fn row_stmt(&mut self, s: &Stmt, row: &RowAddresses) {
        let at = |v: &View| row.address(*v);
        match s {
            Stmt::Region(r) => self.region(r, row),
            Stmt::Product(_) | Stmt::Activate { .. } => unreachable!("these are for all rows"),
            Stmt::MatVec {
                rows,
                cols,
                transposed,
                m,
                x,
                y,
            } => self.matvec((*rows, *cols), *transposed, at(m), at(x), at(y)),
            Stmt::OuterRow {
                rows,
                cols,
                a,
                b,
                y,
            } => self.outer(*rows, *cols, at(a), at(b), at(y)),
            Stmt::Gather {
                rows,
                cols,
                m,
                index,
                y,
            } => self.gather(*rows, *cols, at(m), at(index), at(y)),
            Stmt::Scatter {
                rows,
                cols,
                index,
                v,
                y,
            } => self.scatter(*rows, *cols, at(index), at(v), at(y)),
            Stmt::Transpose { rows, cols, m, y } => {
                self.transpose(*rows, *cols, at(m), at(y));
            }
            Stmt::CopyBlock {
                rows,
                cols,
                from,
                to,
            } => self.copy_block(*rows, *cols, (at(&from.0), from.1), (at(&to.0), to.1)),
        }
    }

    /// Emits maths at the current position.
    pub(crate) fn math(&mut self) -> Math<'_, Cranelift<'f>> {
        Math::new(&mut self.b, self.lane, self.fma)
    }

    /// Runs `body` over `n` numbers: whole vectors, `iteration` (1, 2 or 4) of them per iteration of the loop, then what
    /// remains as a part of one. The body receives the position, the width and the carried values, and returns the
    /// carried values' successors. Returns what they have come to.
    ///
    /// Sums have one order, whatever the width of vectors: 64 bytes of partial sums, to which numbers are added in turn,
    /// and which are then halved until one vector is left ([`Code::across`] goes on).
    pub(crate) fn lane_loop(
        &mut self,
        n: usize,
        iteration: usize,
        carried: &[CarriedValues],
        body: LaneLoop<'_, Self>,
    ) -> Vec<Value> {
        const VECTOR: i64 = 16;
        /// Vectors of partial sums.
        const SUMS: usize = 4;
        let lanes = self.lane.lanes() as usize;
        let (vectors, rest) = (n / lanes, n % lanes);
        let iterations = vectors / iteration;
        let folds = carried.len();
        let start: Vec<Value> = carried.iter().map(|c| c.start).collect();
        let by = iteration as i64 * VECTOR;
        // Those that the next vectors add to come first.
        let mut sums = self.part(
            (0, iterations as i64 * by),
            by,
            Width::Full,
            &start.repeat(SUMS),
            &mut |code, at, width, sums| {
                let (first, others) = sums.split_at(iteration * folds);
                let next = (0..iteration).flat_map(|v| {
                    let plus = at.plus + (v as i64 * VECTOR) as i32;
                    body(code, At { plus, ..at }, width, &first[v * folds..][..folds])
                });
                let next: Vec<Value> = next.collect();
                others.iter().copied().chain(next).collect()
            },
        );
        sums.rotate_right(iterations * iteration % SUMS * folds);
        for v in iterations * iteration..vectors {
            let from = self.imm(v as i64 * VECTOR);
            let own = v % SUMS * folds;
            let at = At { from, plus: 0 };
            let next = body(self, at, Width::Full, &sums[own..][..folds]);
            sums[own..][..folds].copy_from_slice(&next);
        }
        if rest > 0 {
            let from = self.imm(vectors as i64 * VECTOR);
            let own = vectors % SUMS * folds;
            let at = At { from, plus: 0 };
            let next = body(self, at, Width::Part(rest), &sums[own..][..folds]);
            for (sum, next) in sums[own..][..folds].iter_mut().zip(next) {
                *sum = self.first_of(rest, next, *sum);
            }
        }
        let joined = (carried.iter().enumerate()).map(|(k, c)| {
            let own: Vec<Value> = sums.iter().skip(k).step_by(folds).copied().collect();
            let low = self.join(c.maximum, own[0], own[2]);
            let high = self.join(c.maximum, own[1], own[3]);
            self.join(c.maximum, low, high)
        });
        joined.collect()
    }

    /// The sum or the maximum.
    fn join(&mut self, maximum: bool, x: Value, y: Value) -> Value {
        match maximum {
            true => self.math().max(x, y),
            false => self.math().add(x, y),
        }
    }

    /// The first `n` elements of x, the others of y.
    fn first_of(&mut self, n: usize, x: Value, y: Value) -> Value {
        let bytes = n * self.lane.bytes() as usize;
        let mask: Vec<u8> = (0..16).map(|k| if k < bytes { 0xff } else { 0 }).collect();
        let mask = ConstantData::from(mask.as_slice());
        let mask = self.b.func.dfg.constants.insert(mask);
        let mask = self.b.ins().vconst(self.lane.vector_type(), mask);
        self.b.ins().bitselect(mask, x, y)
    }

    /// The sum or maximum of a vector's elements, in all elements: halves are joined until one element is left.
    pub(crate) fn across(&mut self, v: Value, maximum: bool) -> Value {
        let vector = self.lane.vector_type();
        let mut left: Vec<Value> = (0..self.lane.lanes() as u8)
            .map(|k| {
                let x = self.b.ins().extractlane(v, k);
                self.b.ins().splat(vector, x)
            })
            .collect();
        while left.len() > 1 {
            let upper = left.split_off(left.len() / 2);
            let pairs = left.iter().zip(&upper);
            left = pairs.map(|(&x, &y)| self.join(maximum, x, y)).collect();
        }
        left[0]
    }

    /// A loop over the bytes from one position to another.
    pub(super) fn part(
        &mut self,
        (lo, hi): (i64, i64),
        by: i64,
        width: Width,
        carried: &[Value],
        body: LaneLoop<'_, Self>,
    ) -> Vec<Value> {
        if lo == hi {
            return carried.to_vec();
        }
        let start = self.imm(lo);
        let place = |from: Value| At { from, plus: 0 };
        if lo + by == hi {
            return body(self, place(start), width, carried);
        }
        let (inside, exit) = (self.b.create_block(), self.b.create_block());
        let vector = self.lane.vector_type();
        let at = self.b.append_block_param(inside, types::I64);
        let accumulators: Vec<Value> = carried
            .iter()
            .map(|_| self.b.append_block_param(inside, vector))
            .collect();
        let mut args = vec![start.into()];
        args.extend(carried.iter().map(|&c| codegen::ir::BlockArg::from(c)));
        self.b.ins().jump(inside, &args);
        self.b.switch_to_block(inside);
        let next = body(self, place(at), width, &accumulators);
        let after = self.b.ins().iadd_imm_s(at, by);
        let more = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, after, hi);
        let mut args = vec![after.into()];
        args.extend(next.iter().map(|&c| codegen::ir::BlockArg::from(c)));
        self.b.ins().brif(more, inside, &args, exit, &[]);
        self.b.switch_to_block(exit);
        next
    }

    /// The numbers at `base + at`.
    pub(crate) fn load(&mut self, base: Value, at: At, width: Width) -> Value {
        let from = self.b.ins().iadd(base, at.from);
        self.load_width(from, at.plus, width)
    }

    /// The numbers at a distance from an address.
    pub(super) fn load_width(&mut self, from: Value, far: i32, width: Width) -> Value {
        let Width::Part(n) = width else {
            return self.math().load(from, far);
        };
        let (scalar, bytes) = (self.lane.scalar_type(), self.lane.bytes() as i32);
        let mut element = |k: i32| {
            let at = far + k * bytes;
            self.b.ins().load(scalar, trusted(), from, at)
        };
        let elements: Vec<Value> = (0..n as i32).map(&mut element).collect();
        let mut v = self.math().constant(0.0);
        for (k, x) in elements.into_iter().enumerate() {
            v = self.b.ins().insertlane(v, x, k as u8);
        }
        v
    }

    /// Stores a vector or its first elements at a distance from an address.
    pub(super) fn store_width(&mut self, v: Value, to: Value, far: i32, width: Width) {
        let Width::Part(n) = width else {
            return self.math().store(v, to, far);
        };
        for k in 0..n {
            let x = self.b.ins().extractlane(v, k as u8);
            let at = far + k as i32 * self.lane.bytes() as i32;
            self.b.ins().store(trusted(), x, to, at);
        }
    }

    /// The number at an address, in all lanes.
    pub(crate) fn splat(&mut self, from: Value) -> Value {
        let one = self
            .b
            .ins()
            .load(self.lane.scalar_type(), trusted(), from, 0);
        self.b.ins().splat(self.lane.vector_type(), one)
    }

    /// Stores a vector, or its first elements.
    pub(crate) fn store(&mut self, v: Value, base: Value, at: At, width: Width) {
        let to = self.b.ins().iadd(base, at.from);
        self.store_width(v, to, at.plus, width);
    }

    /// The number of the row of `columns` lanes that a position lies in, in all lanes; the region has `lanes`.
    pub(crate) fn number_of_row(
        &mut self,
        base: Value,
        at: At,
        (lanes, columns): (usize, usize),
    ) -> Value {
        let (_, row) = self.row_of(at, lanes, columns);
        let far = (self.b.ins()).imul_imm_s(row, i64::from(self.lane.bytes()));
        let from = self.b.ins().iadd(base, far);
        self.splat(from)
    }

    /// The numbers at the position within the row of `columns` lanes that it lies in.
    pub(crate) fn same_row(
        &mut self,
        base: Value,
        at: At,
        (lanes, columns): (usize, usize),
        width: Width,
    ) -> Value {
        let bytes = columns as i64 * i64::from(self.lane.bytes());
        let (position, row) = self.row_of(at, lanes, columns);
        let start = self.b.ins().imul_imm_s(row, bytes);
        let from = self.b.ins().isub(position, start);
        self.load(base, At { from, plus: 0 }, width)
    }

    /// A position, and the row of `columns` lanes that it lies in.
    fn row_of(&mut self, at: At, lanes: usize, columns: usize) -> (Value, Value) {
        let bytes = columns as u64 * u64::from(self.lane.bytes());
        let all = lanes as u64 * u64::from(self.lane.bytes());
        let position = match at.plus {
            0 => at.from,
            plus => self.b.ins().iadd_imm_s(at.from, i64::from(plus)),
        };
        if bytes.is_power_of_two() {
            let row = (self.b.ins()).ushr_imm_u(position, i64::from(bytes.trailing_zeros()));
            return (position, row);
        }
        // ⌊p ÷ n⌋ is ⌊p ⌈2³² ÷ n⌉ ÷ 2³²⌋ as long as p n ≤ 2³²: what rounding up adds is less than 1 ÷ n.
        let row = match all.checked_mul(bytes).is_some_and(|most| most <= 1 << 32) {
            true => {
                let factor = (1u64 << 32).div_ceil(bytes);
                let scaled = self.b.ins().imul_imm_s(position, factor as i64);
                self.b.ins().ushr_imm_u(scaled, 32)
            }
            false => {
                let by = self.imm(bytes as i64);
                self.b.ins().udiv(position, by)
            }
        };
        (position, row)
    }

    /// Stores a vector's first lane at an address.
    pub(crate) fn store_first(&mut self, v: Value, to: Value) {
        let one = self.b.ins().extractlane(v, 0);
        self.b.ins().store(trusted(), one, to, 0);
    }
}
