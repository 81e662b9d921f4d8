//! Statements on matrices of one point: products, outer products, rows by index, copies of rectangles.

use cranelift::prelude::*;

use super::Code;
use super::points::CarriedValues;
use crate::frame::offset;
use crate::vmath::LaneTypes;

/// Matrices of at least this many numbers are multiplied by a kernel: emitted code reads one vector of 128 bits per
/// latency of a sum, a call costs about as much as 64 numbers take so.
pub(crate) const CALLED: usize = 128;

/// Vectors per iteration of a lane loop with a load or two.
const VECTORS: usize = 4;

impl Code<'_, '_, '_> {
    fn bytes(&self) -> i64 {
        i64::from(self.lane.bytes())
    }

    /// A loop over `0 .. n` for a constant `n`.
    fn times(&mut self, n: usize, body: &mut dyn FnMut(&mut Self, Value)) {
        let (lo, hi) = (self.imm(0), self.imm(n as i64));
        self.count(lo, hi, false, body);
    }

    fn element(&mut self, base: Value, i: Value, stride: usize) -> Value {
        let bytes = stride as i64 * self.bytes();
        let far = self.b.ins().imul_imm_s(i, bytes);
        self.b.ins().iadd(base, far)
    }

    /// y = m[rows, cols] · x, or mᵀ · x if `transposed`.
    pub(crate) fn matvec(
        &mut self,
        (rows, cols): (usize, usize),
        transposed: bool,
        m: Value,
        x: Value,
        y: Value,
    ) {
        if rows * cols >= CALLED {
            let callee = self.field(offset::MATVEC + offset::ADDRESS * i32::from(transposed));
            let (rows, cols) = (self.imm(rows as i64), self.imm(cols as i64));
            self.call(callee, &[rows, cols, m, x, y]);
        } else if transposed {
            self.matvec_by_columns(rows, cols, m, x, y);
        } else {
            self.matvec_by_rows(rows, cols, m, x, y);
        }
    }

    /// y[rows] = m[rows, cols] · x[cols]
    fn matvec_by_rows(&mut self, rows: usize, cols: usize, m: Value, x: Value, y: Value) {
        self.times(rows, &mut |code, i| {
            let line = code.element(m, i, cols);
            let zero = code.math().constant(0.0);
            let sum = CarriedValues {
                start: zero,
                maximum: false,
            };
            let totals = code.lane_loop(cols, VECTORS, &[sum], &mut |code, at, width, sum| {
                let (a, b) = (code.load(line, at, width), code.load(x, at, width));
                vec![code.math().fma(a, b, sum[0])]
            });
            let total = code.across(totals[0], false);
            let to = code.element(y, i, 1);
            code.store_first(total, to);
        });
    }

    /// y[cols] = m[rows, cols]ᵀ · x[rows]
    fn matvec_by_columns(&mut self, rows: usize, cols: usize, m: Value, x: Value, y: Value) {
        self.lane_loop(cols, 1, &[], &mut |code, at, width, _| {
            let zero = code.math().constant(0.0);
            let sum = code.fold_rows(rows, zero, &mut |code, i, sum| {
                let line = code.element(m, i, cols);
                let a = code.load(line, at, width);
                let from = code.element(x, i, 1);
                let b = code.splat(from);
                code.math().fma(a, b, sum)
            });
            code.store(sum, y, at, width);
            Vec::new()
        });
    }

    /// A loop over `0 .. n` that carries one vector.
    fn fold_rows(
        &mut self,
        n: usize,
        start: Value,
        body: &mut dyn FnMut(&mut Self, Value, Value) -> Value,
    ) -> Value {
        let (inside, exit) = (self.b.create_block(), self.b.create_block());
        let i = self.b.append_block_param(inside, types::I64);
        let sum = self.b.append_block_param(inside, self.lane.vector_type());
        let zero = self.imm(0);
        self.b.ins().jump(inside, &[zero.into(), start.into()]);
        self.b.switch_to_block(inside);
        let next = body(self, i, sum);
        let after = self.b.ins().iadd_imm_s(i, 1);
        let more = self
            .b
            .ins()
            .icmp_imm_s(IntCC::SignedLessThan, after, n as i64);
        self.b
            .ins()
            .brif(more, inside, &[after.into(), next.into()], exit, &[]);
        self.b.switch_to_block(exit);
        next
    }

    /// y[rows, cols] = a[rows] · b[cols]ᵀ
    pub(crate) fn outer(&mut self, rows: usize, cols: usize, a: Value, b: Value, y: Value) {
        self.times(rows, &mut |code, i| {
            let from = code.element(a, i, 1);
            let left = code.splat(from);
            let line = code.element(y, i, cols);
            code.lane_loop(cols, VECTORS, &[], &mut |code, at, width, _| {
                let right = code.load(b, at, width);
                let v = code.math().mul(left, right);
                code.store(v, line, at, width);
                Vec::new()
            });
        });
    }

    /// y[cols] = m[round(index)]; if there is no such row, the nearest one, with a mark in the frame.
    pub(crate) fn gather(&mut self, rows: usize, cols: usize, m: Value, index: Value, y: Value) {
        let line = self.line(rows, cols, m, index);
        self.copy(cols, line, y);
    }

    /// y[rows, cols] = 0, except y[round(index)] = v; as for `gather`.
    pub(crate) fn scatter(&mut self, rows: usize, cols: usize, index: Value, v: Value, y: Value) {
        self.lane_loop(rows * cols, VECTORS, &[], &mut |code, at, width, _| {
            let zero = code.math().constant(0.0);
            code.store(zero, y, at, width);
            Vec::new()
        });
        let line = self.line(rows, cols, y, index);
        self.copy(cols, v, line);
    }

    /// Address of the row of m that an index selects: the nearest integer, rounding half to even. If that is no row,
    /// the run is an error, which is marked in the frame; memory stays safe because the row is clamped to the existing
    /// ones.
    fn line(&mut self, rows: usize, cols: usize, m: Value, index: Value) -> Value {
        let at = self
            .b
            .ins()
            .load(self.lane.scalar_type(), super::trusted(), index, 0);
        let nearest = self.b.ins().nearest(at);
        // NaN becomes 0.
        let at = self.b.ins().fcvt_to_sint_sat(types::I64, nearest);
        let (zero, last) = (self.imm(0), self.imm(rows as i64 - 1));
        let at = self.b.ins().smax(at, zero);
        let at = self.b.ins().smin(at, last);
        // NaN is unequal to everything.
        let back = (self.b.ins()).fcvt_from_sint(self.lane.scalar_type(), at);
        let outside = self.b.ins().fcmp(FloatCC::NotEqual, nearest, back);
        let (mark, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(mark);
        self.b.ins().brif(outside, mark, &[], on, &[]);
        self.b.switch_to_block(mark);
        let one = self.imm(1);
        let to = self.frame;
        (self.b.ins()).store(super::trusted(), one, to, offset::OUTSIDE);
        self.b.ins().jump(on, &[]);
        self.b.switch_to_block(on);
        self.element(m, at, cols)
    }

    /// y[cols, rows] = m[rows, cols]ᵀ, number by number: the reads of one line of y are a line of m apart.
    pub(crate) fn transpose(&mut self, rows: usize, cols: usize, m: Value, y: Value) {
        self.times(cols, &mut |code, j| {
            let (column, line) = (code.element(m, j, 1), code.element(y, j, rows));
            code.times(rows, &mut |code, i| {
                let (from, to) = (code.element(column, i, cols), code.element(line, i, 1));
                let v = code.splat(from);
                code.store_first(v, to);
            });
        });
    }

    /// Copies a rectangle from one matrix to another; each is an address and its stride between rows in numbers.
    pub(crate) fn copy_block(
        &mut self,
        rows: usize,
        cols: usize,
        from: (Value, usize),
        to: (Value, usize),
    ) {
        self.times(rows, &mut |code, i| {
            let a = code.element(from.0, i, from.1);
            let b = code.element(to.0, i, to.1);
            code.copy(cols, a, b);
        });
    }

    fn copy(&mut self, n: usize, from: Value, to: Value) {
        self.lane_loop(n, VECTORS, &[], &mut |code, at, width, _| {
            let v = code.load(from, at, width);
            code.store(v, to, at, width);
            Vec::new()
        });
    }
}
