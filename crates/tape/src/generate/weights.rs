//! Products with weight matrices: new ones, ones used elsewhere, and ones computed from parameters.

use super::grow::Grow;
use crate::map::Map;
use crate::op::Op;
use crate::tape::InputRole;
use crate::ty::{Domain, Shape};

impl Grow<'_, '_> {
    /// A product of a weight matrix with a vector.
    pub(super) fn dense(&mut self, x: usize, n: usize) -> usize {
        let x = self.tame(x, 4.0);
        let inner = self.shape(x).len();
        let transposed = self.c.chance(25);
        let shape = if transposed {
            Shape::Matrix(inner, n)
        } else {
            Shape::Matrix(n, inner)
        };
        let w = self.weights(shape);
        self.op(Op::MatVec { transposed }, &[w, x])
    }

    /// A matrix of parameters: new, used before, or computed.
    fn weights(&mut self, shape: Shape) -> usize {
        let once = |g: &Self, v: usize| g.shape(v) == shape && g.domain(v) == Domain::Once;
        if self.c.chance(40)
            && let Some(w) = self.find(once)
        {
            return w;
        }
        let (m, n) = shape.as_matrix();
        let new = |g: &mut Self, shape| g.input(InputRole::Param, shape);
        match self.c.below(16) {
            9 => {
                let w = new(self, shape);
                self.map(Map::Tanh, &[w])
            }
            10 => {
                // Weight normalisation, of all rows together.
                let w = new(self, shape);
                let square = self.op(Op::Dot, &[w, w]);
                let c = self.constant(0.5, Shape::Scalar);
                let sum = self.map(Map::Add, &[square, c]);
                let norm = self.map(Map::Sqrt, &[sum]);
                let wide = self.op(Op::Broadcast(shape), &[norm]);
                self.map(Map::Div, &[w, wide])
            }
            11 => {
                let axis = self.c.below(2);
                let k = self.c.below(3);
                let whole = new(
                    self,
                    shape.with_axis(axis, shape.axis(axis).unwrap_or(1) + k + 1),
                );
                let (start, len) = (k, shape.axis(axis).unwrap_or(1));
                self.op(Op::Slice { axis, start, len }, &[whole])
            }
            12 | 13 if m.max(n) > 1 => {
                let axis = usize::from(m == 1 || n > 1 && self.c.chance(50));
                let (total, a) = (if axis == 0 { m } else { n }, self.c.below(32));
                let a = 1 + a % (total - 1);
                let parts = [a, total - a].map(|k| new(self, shape.with_axis(axis, k)));
                self.op(Op::Concat { axis }, &parts)
            }
            14 => {
                let (a, b) = (new(self, Shape::Vector(m)), new(self, Shape::Vector(n)));
                let w = self.op(Op::Outer { to: Domain::Once }, &[a, b]);
                self.tame(w, 0.5)
            }
            15 => {
                let flat = new(self, Shape::Vector(m * n));
                let w = self.op(Op::Reshape(shape), &[flat]);
                self.tame(w, 0.5)
            }
            _ => new(self, shape),
        }
    }
}
