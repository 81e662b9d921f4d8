//! Ops along a long first axis: a node per index of it would make a short program a long one.

use retrograd_tape::{Algebra, Domain, Map, Permutation, Reduction, Shape, Value};

use super::{Unbatch, inner_slice};
use crate::graph::Graph;
use crate::passes::simplify::{concat, reshaped};

/// The longest first axis along which every index is computed by itself, whatever its size.
const FEW: usize = 64;

/// The longest if each index has more numbers than that.
const MOST: usize = 1024;

/// True if there are too many matrices in a value, for their size, for an op on each.
pub(super) fn are_many(matrices: Shape) -> bool {
    match matrices {
        Shape::Tensor(h, m, n) => h > MOST || h > FEW && m * n <= FEW,
        Shape::Scalar | Shape::Vector(_) | Shape::Matrix(..) => false,
    }
}

/// True if it takes fewer nodes to go over `n` indices of another axis than over the first one's.
pub(super) fn rather(h: usize, n: usize) -> bool {
    h > FEW && n < h
}

impl Unbatch {
    /// A product per head with the heads as the innermost axis: element-wise products of whole vectors of heads, and
    /// their sums.
    pub(super) fn many_products(&mut self, g: &mut Graph, transposed: bool, xs: &[Value]) -> Value {
        let (m, v) = (self.heads_last(g, xs[0]), self.heads_last(g, xs[1]));
        let shape = g.ty(m).shape;
        let (axis, between) = if transposed { (0, 1) } else { (1, 0) };
        let v = reshaped(g, shape.with_axis(between, 1), v);
        let v = self.stretch(g, v, shape);
        let products = self.times(g, m, v);
        let y = self.reduce(g, Reduction::Sum, axis, products);
        self.heads_first(g, y)
    }

    /// As [`many_products`](Unbatch::many_products), for outer products, summed to a domain.
    pub(super) fn many_outers(
        &mut self,
        g: &mut Graph,
        xs: &[Value],
        to: Domain,
        shape: Shape,
    ) -> Value {
        let order = Permutation::new(&[1, 2, 0]).expect("each axis once");
        let wide = order.apply(shape).expect("it has three axes");
        let mut factors = Vec::new();
        for (k, &x) in xs.iter().enumerate() {
            let x = self.heads_last(g, x);
            let x = reshaped(g, wide.with_axis(1 - k, 1), x);
            factors.push(self.stretch(g, x, wide));
        }
        let y = self.times(g, factors[0], factors[1]);
        // A product of values that do not vary over all points still counts once for each.
        let types = xs.iter().map(|&x| g.ty(x).domain);
        let work = types.fold(Domain::Once, |d, x| {
            d.join(x).expect("checked when recorded")
        });
        let y = g.spread(y, work);
        let y = g.sum_to(y, to);
        self.heads_first(g, y)
    }

    fn times(&mut self, g: &mut Graph, a: Value, b: Value) -> Value {
        match self.parts.contains_key(&a) || self.parts.contains_key(&b) {
            true => self.map(g, Map::Mul, &[a, b], g.ty(a).shape),
            false => g.map2(Map::Mul, a, b),
        }
    }

    /// The value with its first axis behind the others.
    fn heads_last(&mut self, g: &mut Graph, x: Value) -> Value {
        let order: &[usize] = match g.ty(x).shape.rank() {
            3 => &[1, 2, 0],
            _ => &[1, 0],
        };
        let order = Permutation::new(order).expect("each axis once");
        self.transpose(g, order, x)
    }

    /// The value with its last axis in front of the others.
    fn heads_first(&mut self, g: &mut Graph, x: Value) -> Value {
        let order: &[usize] = match g.ty(x).shape.rank() {
            3 => &[2, 0, 1],
            _ => &[1, 0],
        };
        let order = Permutation::new(order).expect("each axis once");
        self.transpose(g, order, x)
    }

    /// `x [h,n]` stretched to `[h,m,n]`: m copies side by side.
    pub(super) fn copies(g: &mut Graph, x: Value, to: Shape) -> Value {
        let (h, rest) = (to.axes()[0], to.axes()[1]);
        let flat = reshaped(g, Shape::Matrix(h, to.len() / (h * rest)), x);
        let joined = concat(g, 1, &vec![flat; rest]);
        reshaped(g, to, joined)
    }

    /// The reduction of `[h,n,after]` along its second axis, over the indices of that axis.
    pub(super) fn reduce_between(
        g: &mut Graph,
        together: Map,
        (h, n, after): (usize, usize, usize),
        x: Value,
    ) -> Value {
        let x = reshaped(g, Shape::Tensor(h, n, after), x);
        let first = inner_slice(g, 1, 0, 1, x);
        let y = (1..n).fold(first, |y, k| {
            let next = inner_slice(g, 1, k, 1, x);
            g.map2(together, y, next)
        });
        reshaped(g, Shape::Matrix(h, after), y)
    }

    /// `x [h,m,n]` with its last two axes exchanged, or its first two, over the indices of the second axis.
    pub(super) fn exchanged(g: &mut Graph, x: Value, last: bool) -> Value {
        let shape = g.ty(x).shape;
        let [h, m, n] = [0, 1, 2].map(|k| shape.axes()[k]);
        let rows = match last {
            true => Shape::Matrix(h * n, 1),
            false => Shape::Matrix(h, n),
        };
        let parts: Vec<Value> = (0..m)
            .map(|i| {
                let part = inner_slice(g, 1, i, 1, x);
                reshaped(g, rows, part)
            })
            .collect();
        match last {
            true => {
                let joined = concat(g, 1, &parts);
                reshaped(g, Shape::Tensor(h, n, m), joined)
            }
            false => {
                let joined = concat(g, 0, &parts);
                reshaped(g, Shape::Tensor(m, h, n), joined)
            }
        }
    }
}

/// The op that combines two elements of a reduction.
pub(super) fn together(kind: Reduction) -> Map {
    match kind {
        Reduction::Sum | Reduction::Mean => Map::Add,
        Reduction::Max => Map::Max,
    }
}
