//! Ops along axes: values of rank 3, stretched, transposed and reduced values, products with a matrix per head.

use super::grow::{Grow, MOST};
use crate::map::Map;
use crate::op::{Op, Permutation, Reduction};
use crate::tape::InputRole;
use crate::ty::{Domain, Shape};

impl Grow<'_, '_> {
    /// A shape of rank 3 that is small enough for a value of each step.
    pub(super) fn tensor_shape(&mut self) -> Shape {
        let (h, m, n) = (1 + self.c.below(3), self.small(), self.small());
        Shape::Tensor(h, m, n.min(MOST / (h * m)).max(1))
    }

    /// A value of rank 3 of this domain, small enough for one per example.
    pub(super) fn tensor(&mut self) -> usize {
        let is = |g: &Self, v: usize| {
            let here = g.domain(v) != Domain::Once || g.level() == Domain::Once;
            g.shape(v).rank() == 3 && g.shape(v).len() <= MOST && here
        };
        if !self.c.chance(30)
            && let Some(v) = self.find(is)
        {
            return v;
        }
        let shape = self.tensor_shape();
        match self.c.below(4) {
            0 if self.level() != Domain::Once => self.input(InputRole::Static, shape),
            0 | 1 => self.fresh(shape),
            _ => self.made(shape),
        }
    }

    /// A new value of this shape, computed from others.
    pub(super) fn made_tensor(&mut self, h: usize, m: usize, n: usize) -> usize {
        match self.c.below(3) {
            0 => {
                let x = self.like(Shape::Vector(h * m * n));
                self.op(Op::Reshape(Shape::Tensor(h, m, n)), &[x])
            }
            1 => self.stretched(Shape::Tensor(h, m, n)),
            _ => {
                let (a, b) = (
                    self.like(Shape::Matrix(h, m)),
                    self.like(Shape::Matrix(h, n)),
                );
                self.outer(a, b)
            }
        }
    }

    /// A value of which some axes, or none, are repeated to this shape.
    fn stretched(&mut self, to: Shape) -> usize {
        let mut from = to;
        for axis in 0..to.rank() {
            if self.c.chance(50) {
                from = from.with_axis(axis, 1);
            }
        }
        let x = self.like(Shape::Vector(from.len()));
        let x = self.op(Op::Reshape(from), &[x]);
        self.op(Op::Broadcast(to), &[x])
    }

    /// A matrix or a value of rank 3, and one of its axes.
    fn with_axes(&mut self) -> (usize, usize) {
        let x = match self.c.chance(40) {
            true => self.matrix(),
            false => self.tensor(),
        };
        (x, self.c.below(self.shape(x).rank()))
    }

    pub(super) fn along_axes(&mut self) -> usize {
        match self.c.below(16) {
            k @ 0..=4 => {
                let (sum, mean, max) = (Reduction::Sum, Reduction::Mean, Reduction::Max);
                let kind = [sum, mean, mean, max, max][k];
                let (x, axis) = self.with_axes();
                let n = self.shape(x).axis(axis).unwrap_or(1);
                let x = match kind {
                    Reduction::Sum => self.tame(x, 16.0 / n as f64),
                    Reduction::Mean | Reduction::Max => x,
                };
                self.op(Op::ReduceAxis { kind, axis }, &[x])
            }
            5..=7 => {
                let (x, a) = self.with_axes();
                let b = self.c.below(self.shape(x).rank());
                let mut order = Permutation::exchange(a, b).expect("axes of the value");
                if self.shape(x).rank() == 3 && self.c.chance(40) {
                    let turn = Permutation::new(&[1, 2, 0]).expect("each once");
                    order = order.then(turn);
                }
                self.op(Op::Transpose(order), &[x])
            }
            8 | 9 => {
                let (x, _) = self.with_axes();
                let y = self.stretched(self.shape(x));
                let m = self.c.pick(&[Map::Mul, Map::Add, Map::Sub, Map::Max]);
                self.map(m, &[x, y])
            }
            10 | 11 => {
                let m = match self.c.below(3) {
                    0 => self.tensor(),
                    1 => {
                        let shape = self.tensor_shape();
                        self.input(InputRole::Param, shape)
                    }
                    _ => {
                        let shape = self.tensor_shape();
                        let w = self.input(InputRole::Param, shape);
                        self.map(Map::Tanh, &[w])
                    }
                };
                self.product_with(m)
            }
            12 => {
                let (x, axis) = self.with_axes();
                self.slice(x, axis)
            }
            13 => self.joined(),
            14 => self.softmax_along(),
            _ => {
                // A transposed weight, or one that was put together otherwise.
                let (m, n) = (self.small(), self.small());
                let w = self.input(InputRole::Param, Shape::Matrix(m, n));
                let order = Permutation::exchange(0, 1).expect("two axes");
                let w = self.op(Op::Transpose(order), &[w]);
                self.product_with(w)
            }
        }
    }

    /// Two values side by side along an axis of rank 3.
    fn joined(&mut self) -> usize {
        let a = self.tensor();
        let axis = self.c.below(3);
        let b = match self.c.chance(50) {
            true => a,
            false => {
                let k = self.small();
                let shape = self.shape(a).with_axis(axis, k);
                if shape.len() > MOST {
                    return a;
                }
                self.like(shape)
            }
        };
        if self.shape(a).len() + self.shape(b).len() > MOST {
            return a;
        }
        let parts = if self.c.chance(50) { [a, b] } else { [b, a] };
        self.op(Op::Concat { axis }, &parts)
    }

    fn softmax_along(&mut self) -> usize {
        let (x, axis) = self.with_axes();
        let x = self.tame(x, 8.0);
        let shape = self.shape(x);
        let kept = |g: &mut Self, v: usize| {
            let v = g.op(Op::Reshape(shape.with_axis(axis, 1)), &[v]);
            g.op(Op::Broadcast(shape), &[v])
        };
        let reduced = |g: &mut Self, kind: Reduction, v: usize| {
            let v = g.op(Op::ReduceAxis { kind, axis }, &[v]);
            match kind {
                Reduction::Max => g.map(Map::StopGradient, &[v]),
                Reduction::Sum | Reduction::Mean => v,
            }
        };
        let top = reduced(self, Reduction::Max, x);
        let top = kept(self, top);
        let shifted = self.map(Map::Sub, &[x, top]);
        let e = self.map(Map::Exp, &[shifted]);
        let e = self.bound_by(e, 1.0);
        let sum = reduced(self, Reduction::Sum, e);
        let sum = kept(self, sum);
        let y = self.map(Map::Div, &[e, sum]);
        self.bound_by(y, 1.0)
    }
}
