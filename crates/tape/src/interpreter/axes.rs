//! The interpreter's loops along axes: stretched, transposed and reduced values, and products with a matrix per index
//! of a first axis.

use super::rows::{Operand, Total, matvec_of_row, max, put_if};
use crate::op::Reduction;
use crate::real::Real;
use crate::sums::sum;

/// The elements of a value in the order of another shape: those of the result along three axes, and how far each axis
/// moves in the operand, 0 where it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strided {
    pub(crate) lens: [usize; 3],
    pub(crate) strides: [usize; 3],
}

impl Strided {
    /// The element of the operand that element `j` of the result is.
    pub(super) fn of(self, j: usize) -> usize {
        let [_, l1, l2] = self.lens;
        let [s0, s1, s2] = self.strides;
        let k = j / l2;
        k / l1 * s0 + k % l1 * s1 + j % l2 * s2
    }
}

/// The elements of each row, read with strides; a value of the operand has `n` elements.
pub(crate) fn strided<T: Real>(out: &mut [T], n: usize, x: Operand<'_, T>, s: Strided, add: bool) {
    let [l0, l1, l2] = s.lens;
    let [s0, s1, s2] = s.strides;
    for (r, out) in out.chunks_exact_mut(l0 * l1 * l2).enumerate() {
        let x = x.row(r, n);
        for (k, out) in out.chunks_exact_mut(l2).enumerate() {
            let from = k / l1 * s0 + k % l1 * s1;
            for (j, o) in out.iter_mut().enumerate() {
                put_if(o, x[from + j * s2], add);
            }
        }
    }
}

/// Reduces the middle axis of `before × n × after` elements of each row.
pub(crate) fn reduce_axis<T: Real>(
    kind: Reduction,
    out: &mut [T],
    (before, n, after): (usize, usize, usize),
    x: Operand<'_, T>,
    add: bool,
) {
    for (r, out) in out.chunks_exact_mut(before * after).enumerate() {
        let x = x.row(r, before * n * after);
        for (k, o) in out.iter_mut().enumerate() {
            let x = |i: usize| x[(k / after * n + i) * after + k % after];
            let y = match kind {
                Reduction::Sum => sum(n, x),
                Reduction::Mean => sum(n, x) / T::from_f64(n as f64),
                Reduction::Max => (1..n).map(x).fold(x(0), max),
            };
            put_if(o, y, add);
        }
    }
}

/// Several matrices of `m`×`n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) count: usize,
    pub(crate) m: usize,
    pub(crate) n: usize,
}

impl Heads {
    fn len(self) -> usize {
        self.count * self.m * self.n
    }
}

/// M·v, or Mᵀ·v, of each head of each row.
pub(crate) fn matvecs<T: Real>(
    out: &mut [T],
    heads: Heads,
    transposed: bool,
    matrix: Operand<'_, T>,
    v: Operand<'_, T>,
    add: bool,
) {
    let Heads { count, m, n } = heads;
    let (to, from) = if transposed { (n, m) } else { (m, n) };
    for (k, out) in out.chunks_exact_mut(to).enumerate() {
        let (row, head) = (k / count, k % count);
        let matrix = &matrix.row(row, heads.len())[head * m * n..][..m * n];
        let v = &v.row(row, count * from)[head * from..][..from];
        matvec_of_row(out, n, transposed, matrix, v, add);
    }
}

/// a bᵀ of each head of each row, or the sum over all rows if `out` has only one.
pub(crate) fn outers<T: Real>(
    out: &mut [T],
    heads: Heads,
    rows: usize,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    add: bool,
) {
    let Heads { count, m, n } = heads;
    if !add {
        out.fill(T::ZERO);
    }
    let single = out.len() == heads.len();
    for r in 0..rows {
        let at = if single { 0 } else { r * heads.len() };
        let (a, b) = (a.row(r, count * m), b.row(r, count * n));
        let matrices = out[at..][..heads.len()].chunks_exact_mut(m * n);
        for ((out, a), b) in matrices.zip(a.chunks_exact(m)).zip(b.chunks_exact(n)) {
            for (out, &a) in out.chunks_exact_mut(n).zip(a) {
                for (o, &b) in out.iter_mut().zip(b) {
                    *o += a * b;
                }
            }
        }
    }
}

impl<T: Real> Total<'_, T> {
    /// Adds a bᵀ of each head of each row, or their sum over all rows if there is a single shared value.
    pub(crate) fn outers(
        &mut self,
        heads: Heads,
        rows: usize,
        a: Operand<'_, T>,
        b: Operand<'_, T>,
    ) {
        let Heads { count, m, n } = heads;
        if self.data.len() != heads.len() {
            outers(&mut self.sum.part, heads, rows, a, b, true);
            return self.sum.added(self.data, 1);
        }
        let mut from = 0;
        while from < rows {
            let to = rows.min(from + self.sum.room());
            let (a, b) = (a.part(from..to, count * m), b.part(from..to, count * n));
            outers(&mut self.sum.part, heads, to - from, a, b, true);
            self.sum.added(self.data, to - from);
            from = to;
        }
    }
}
