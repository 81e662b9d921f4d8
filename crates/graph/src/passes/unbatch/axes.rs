//! Stretched, reduced and transposed values.

use retrograd_tape::{Algebra, Map, Op, Permutation, Reduction, Shape, Value};

use super::{PARTS, Unbatch, inner_slice, many, rest, worth};
use crate::graph::Graph;
use crate::passes::simplify::{concat, reshaped, slice};
use crate::plan::ROW;

impl Unbatch {
    /// A value of which axes of length 1 are repeated to the shape `to`.
    pub(super) fn stretch(&mut self, g: &mut Graph, x: Value, to: Shape) -> Value {
        let from = g.ty(x).shape;
        if from == to {
            return x;
        }
        if from.len() == 1 {
            let x = reshaped(g, Shape::Scalar, x);
            return g.broadcast(x, to);
        }
        let count = to.axis(0).expect("it has axes");
        let (all, each) = (to.len(), to.len() / count);
        if from.axis(0) == Some(1) && count > 1 {
            let one = reshaped(g, rest(from), x);
            let one = self.stretch(g, one, rest(to));
            if worth(count, each) {
                return self.whole(g, vec![one; count], to);
            }
            return repeated(g, one, Repeat::Row, Shape::Matrix(count, each), to);
        }
        if from.len() == count && worth(count, each) {
            let parts = (0..count).map(|i| {
                let one = self.head(g, x, i);
                let one = reshaped(g, Shape::Scalar, one);
                g.broadcast(one, rest(to))
            });
            let parts = parts.collect();
            return self.whole(g, parts, to);
        }
        if from.axis(from.rank() - 1) == Some(1) {
            // Each number of an axis, or of two, that stay.
            let rows = Shape::Matrix(from.len(), all / from.len());
            let whole = repeated(g, x, Repeat::Numbers, rows, to);
            if from.rank() == 3 && worth(count, each) {
                let parts = self.stretched_heads(g, x, count, rest(to));
                self.parts.insert(whole, parts.into());
            }
            return whole;
        }
        if many::rather(count, to.axes()[1]) {
            return Unbatch::copies(g, x, to);
        }
        let parts = self.stretched_heads(g, x, count, rest(to));
        self.whole(g, parts, to)
    }

    /// Each index of the first axis, stretched to this shape.
    fn stretched_heads(&mut self, g: &mut Graph, x: Value, count: usize, to: Shape) -> Vec<Value> {
        (0..count)
            .map(|i| {
                let one = self.head(g, x, i);
                match (g.ty(one).shape, to) {
                    // As one matrix, which the loop of the whole head reads, not row by row.
                    (Shape::Matrix(rows, 1), Shape::Matrix(..)) if rows > 1 => {
                        repeated(g, one, Repeat::Numbers, to, to)
                    }
                    (Shape::Matrix(1, columns), Shape::Matrix(rows, _))
                        if rows > 1 && columns > 1 =>
                    {
                        let row = reshaped(g, Shape::Vector(columns), one);
                        repeated(g, row, Repeat::Row, to, to)
                    }
                    _ => self.stretch(g, one, to),
                }
            })
            .collect()
    }

    /// A reduction along an axis.
    pub(super) fn reduce(
        &mut self,
        g: &mut Graph,
        kind: Reduction,
        axis: usize,
        x: Value,
    ) -> Value {
        let shape = g.ty(x).shape;
        let to = shape.without_axis(axis).expect("it has the axis");
        let (before, after) = shape.around(axis);
        let n = shape.len() / (before * after);
        match (before, after) {
            _ if n == 1 => reshaped(g, to, x),
            (1, 1) => {
                let y = g.op(Op::Reduce(kind), &[x]);
                reshaped(g, to, y)
            }
            (1, _) => {
                let rows = match shape.axis(0) {
                    // The parts as they are, if there are any.
                    Some(first) if first == n => x,
                    _ => reshaped(g, Shape::Matrix(n, after), x),
                };
                let y = self.reduce_rows(g, kind, rows, n, after);
                reshaped(g, to, y)
            }
            (_, 1) => self.reduce_each(g, kind, x, (before, n), to),
            _ if many::rather(before, n) => {
                let y = Unbatch::reduce_between(g, many::together(kind), (before, n, after), x);
                mean(g, kind, n, y)
            }
            _ => {
                let parts: Vec<Value> = (0..before).map(|i| self.head(g, x, i)).collect();
                let parts = (parts.into_iter())
                    .map(|p| self.reduce(g, kind, 0, p))
                    .collect();
                self.whole(g, parts, to)
            }
        }
    }

    /// The reduction of `n` rows, one upon the other.
    fn reduce_rows(
        &mut self,
        g: &mut Graph,
        kind: Reduction,
        x: Value,
        n: usize,
        len: usize,
    ) -> Value {
        let together = many::together(kind);
        let y = if n <= PARTS {
            let first = self.head(g, x, 0);
            (1..n).fold(first, |y, i| {
                let row = self.head(g, x, i);
                g.map2(together, y, row)
            })
        } else if kind == Reduction::Max {
            let x = reshaped(g, Shape::Matrix(n, len), x);
            halved(g, x, n, |g, x, start, len| slice(g, 0, start, len, x))
        } else {
            let x = reshaped(g, Shape::Matrix(n, len), x);
            let ones = g.constant(1.0, Shape::Vector(n));
            g.op(Op::MatVec { transposed: true }, &[x, ones])
        };
        mean(g, kind, n, y)
    }

    /// The reductions of rows of `n` numbers, each to one number.
    fn reduce_each(
        &mut self,
        g: &mut Graph,
        kind: Reduction,
        x: Value,
        (rows, n): (usize, usize),
        to: Shape,
    ) -> Value {
        if worth(rows, n) || kind == Reduction::Max && rows <= PARTS {
            let x = match g.ty(x).shape.axis(0) {
                Some(first) if first == rows => x,
                _ => reshaped(g, Shape::Matrix(rows, n), x),
            };
            let parts: Vec<Value> = (0..rows)
                .map(|i| {
                    let part = self.head(g, x, i);
                    g.op(Op::Reduce(kind), &[part])
                })
                .collect();
            let y = self.whole(g, parts, Shape::Vector(rows));
            return reshaped(g, to, y);
        }
        let x = reshaped(g, Shape::Matrix(rows, n), x);
        let y = if kind == Reduction::Max {
            halved(g, x, n, |g, x, start, len| inner_slice(g, 1, start, len, x))
        } else {
            let ones = g.constant(1.0, Shape::Vector(n));
            g.op(Op::MatVec { transposed: false }, &[x, ones])
        };
        let y = mean(g, kind, n, y);
        reshaped(g, to, y)
    }

    /// The axes in another order.
    pub(super) fn transpose(&mut self, g: &mut Graph, order: Permutation, x: Value) -> Value {
        let shape = g.ty(x).shape;
        let to = order.apply(shape).expect("checked when recorded");
        let long = |k: &usize| shape.axis(*k).is_some_and(|n| n > 1);
        let moved: Vec<usize> = (0..shape.rank())
            .map(|k| order.axis(k))
            .filter(long)
            .collect();
        if moved.is_sorted() {
            // Nothing moves in memory.
            return reshaped(g, to, x);
        }
        let axes = shape.axes();
        match [0, 1, 2].map(|k| order.axis(k)) {
            [0, 2, 1] if many::rather(axes[0], axes[1]) => Unbatch::exchanged(g, x, true),
            [0, 2, 1] => {
                let exchange = Permutation::exchange(0, 1).expect("two axes");
                let parts: Vec<Value> = (0..axes[0]).map(|i| self.head(g, x, i)).collect();
                let parts = (parts.into_iter())
                    .map(|p| self.transpose(g, exchange, p))
                    .collect();
                self.whole(g, parts, to)
            }
            [1, 0, 2] if shape.rank() == 3 && many::rather(axes[0], axes[1]) => {
                Unbatch::exchanged(g, x, false)
            }
            [1, 0, 2] if shape.rank() == 3 => {
                let parts: Vec<Value> = (0..axes[0]).map(|i| self.head(g, x, i)).collect();
                let joined = concat(g, 1, &parts);
                reshaped(g, to, joined)
            }
            [1, 0, 2] => matrix_transpose(g, x, 1, to),
            [1, 2, 0] => matrix_transpose(g, x, 1, to),
            [2, 0, 1] => matrix_transpose(g, x, 2, to),
            _ => {
                // [2,1,0]: first the two outer axes, then the last one in front of both.
                let outer = Permutation::exchange(0, 1).expect("two axes");
                let x = self.transpose(g, outer, x);
                let turn = Permutation::new(&[2, 0, 1]).expect("each axis once");
                self.transpose(g, turn, x)
            }
        }
    }
}

/// The transpose of a value seen as a matrix whose rows are its first `outer` axes.
fn matrix_transpose(g: &mut Graph, x: Value, outer: usize, to: Shape) -> Value {
    let shape = g.ty(x).shape;
    let rows: usize = shape.axes()[..outer].iter().product();
    let x = reshaped(g, Shape::Matrix(rows, shape.len() / rows), x);
    let order = Permutation::exchange(0, 1).expect("two axes");
    let y = g.op(Op::Transpose(order), &[x]);
    reshaped(g, to, y)
}

/// What is repeated to a matrix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Every row is the same.
    Row,
    /// One number along each row.
    Numbers,
}

/// A row, or a number of each row, repeated to this matrix, in the shape `to`: lane by lane, if rows are whole vectors,
/// else by a product with ones.
fn repeated(g: &mut Graph, x: Value, what: Repeat, matrix: Shape, to: Shape) -> Value {
    let (rows, columns) = matrix.as_matrix();
    if columns.is_multiple_of(ROW) {
        let from = match what {
            Repeat::Row => Shape::Matrix(1, columns),
            Repeat::Numbers => Shape::Matrix(rows, 1),
        };
        let x = reshaped(g, from, x);
        let y = g.broadcast(x, matrix);
        return reshaped(g, to, y);
    }
    let x = reshaped(g, Shape::Vector(g.ty(x).shape.len()), x);
    let ones = |n| Op::constant(1.0, Shape::Vector(n));
    match what {
        Repeat::Row => {
            let ones = g.op(ones(rows), &[]);
            outer(g, ones, x, to)
        }
        Repeat::Numbers => {
            let ones = g.op(ones(columns), &[]);
            outer(g, x, ones, to)
        }
    }
}

/// a bᵀ of vectors in their own domain, in the shape `to`.
fn outer(g: &mut Graph, a: Value, b: Value, to: Shape) -> Value {
    let (da, db) = (g.ty(a).domain, g.ty(b).domain);
    let domain = da.join(db).expect("one of them is constant");
    let y = g.op(Op::Outer { to: domain }, &[a, b]);
    reshaped(g, to, y)
}

/// A sum as the mean, if that is asked for.
fn mean(g: &mut Graph, kind: Reduction, n: usize, sum: Value) -> Value {
    match kind {
        Reduction::Sum | Reduction::Max => sum,
        Reduction::Mean => {
            let shape = g.ty(sum).shape;
            let n = g.constant(n as f64, shape);
            g.map2(Map::Div, sum, n)
        }
    }
}

/// The greatest along an axis of length `n`: one half upon the other, until one is left. The result lacks the axis.
fn halved(
    g: &mut Graph,
    x: Value,
    n: usize,
    part: impl Fn(&mut Graph, Value, usize, usize) -> Value,
) -> Value {
    let (mut x, mut n) = (x, n);
    while n > 1 {
        // An odd length: the middle one is in both halves, which does not change the greatest.
        let half = n.div_ceil(2);
        let (low, high) = (part(g, x, 0, half), part(g, x, n - half, half));
        x = g.map2(Map::Max, low, high);
        n = half;
    }
    let len = g.ty(x).shape.len();
    reshaped(g, Shape::Vector(len), x)
}
