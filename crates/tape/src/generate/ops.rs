//! One op at a time, with operands for which it is defined.

use super::grow::{Grow, MOST};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::tape::InputRole;
use crate::ty::{Domain, Shape};

/// A limit of gradients that none exceeds.
pub(super) const UNLIMITED: f64 = 1e30;

impl Grow<'_, '_> {
    /// Appends one op, or a few that belong together, over one domain or another.
    pub(super) fn step(&mut self) -> usize {
        let level = self.some_level();
        self.over(level, Grow::step_here)
    }

    fn step_here(&mut self) -> usize {
        let v = match self.c.below(30) {
            0..=11 => {
                let m = self.c.pick(&Map::ALL);
                self.element_wise(m)
            }
            12 | 13 => self.rearrange(),
            14 | 15 => self.fold(),
            16..=18 => self.over_points(),
            19..=21 => self.along_axes(),
            22..=26 => self.composite(),
            _ => self.product(),
        };
        self.tame(v, 4.0)
    }

    /// A sum over all or some of the points of this domain, or an op that could sum but sums over nothing.
    pub(super) fn over_points(&mut self) -> usize {
        let all = [Domain::Once, Domain::Row, self.level()];
        let below = all.into_iter().filter(|d| d.within(self.level()));
        let mut below: Vec<Domain> = below.collect();
        below.dedup();
        let to = self.c.pick(&below);
        let v = match self.c.below(3) {
            0 => {
                let x = self.any();
                let x = self.in_all_points(x);
                self.op(Op::SumTo(to), &[x])
            }
            1 if self.c.chance(25) => {
                let a = self.matrix();
                let n = self.small();
                let b = self.like(self.shape(a).with_axis(1, n));
                if self.shape(a).len() * n > 2 * MOST {
                    return a;
                }
                let (a, b) = (self.in_all_points(a), self.in_all_points(b));
                self.op(Op::Outer { to }, &[a, b])
            }
            1 => {
                let (a, b) = (self.vector(), self.vector());
                self.op(Op::Outer { to }, &[a, b])
            }
            _ => {
                let rows = self.small();
                let index = self.index(rows);
                let v = self.vector();
                self.op(Op::Scatter { rows, to }, &[index, v])
            }
        };
        self.tame(v, 4.0)
    }

    /// The value at every point of this domain.
    pub(super) fn in_all_points(&mut self, x: usize) -> usize {
        match self.domain(x) == self.level() {
            true => x,
            false => self.op(Op::Spread(self.level()), &[x]),
        }
    }

    fn element_wise(&mut self, m: Map) -> usize {
        let x = self.any();
        let shape = self.shape(x);
        match m {
            Map::Exp | Map::Expm1 => {
                let x = self.tame(x, 1.5);
                self.map(m, &[x])
            }
            Map::Ln | Map::Sqrt | Map::Recip => {
                let x = self.positive(x);
                self.map(m, &[x])
            }
            Map::Log1p if self.c.chance(50) => {
                // Within -3/4 and 3/4.
                let x = self.map(Map::Tanh, &[x]);
                let most = self.constant(0.75, shape);
                let x = self.map(Map::Mul, &[x, most]);
                self.map(m, &[x])
            }
            Map::Log1p => {
                let x = self.positive(x);
                self.map(m, &[x])
            }
            Map::Div => {
                let y = self.like(shape);
                let y = self.positive(y);
                self.map(m, &[x, y])
            }
            Map::Pow => {
                let x = self.positive(x);
                let y = match self.c.below(3) {
                    0 => self.constant(2.0, shape),
                    1 => self.constant(-0.5, shape),
                    _ => {
                        let y = self.like(shape);
                        self.tame(y, 1.0)
                    }
                };
                self.map(m, &[x, y])
            }
            Map::Select => {
                let condition = self.condition(shape);
                let y = self.like(shape);
                self.map(m, &[condition, x, y])
            }
            Map::Lt | Map::Le | Map::Eq => {
                let c = self.comparison(m, x);
                let y = self.like(shape);
                self.map(Map::Mul, &[c, y])
            }
            Map::ClipGradient => {
                let most = self.c.pick(&[0.25, 1.0, UNLIMITED]);
                let most = self.constant(most, shape);
                self.map(m, &[x, most])
            }
            _ if m.row().arity == 1 => self.map(m, &[x]),
            _ => {
                let y = if self.c.chance(15) {
                    self.constant(0.75, shape)
                } else {
                    self.like(shape)
                };
                let xs = if self.c.chance(50) { [x, y] } else { [y, x] };
                self.map(m, &xs)
            }
        }
    }

    fn comparison(&mut self, m: Map, x: usize) -> usize {
        let shape = self.shape(x);
        let y = match self.c.below(4) {
            0 => self.constant(0.125, shape),
            1 if m == Map::Eq => x,
            _ => self.like(shape),
        };
        self.map(m, &[x, y])
    }

    fn condition(&mut self, shape: Shape) -> usize {
        match self.c.below(4) {
            0 if self.level() == Domain::Step => self.input(InputRole::Mask, shape),
            0 | 1 => self.like(shape),
            k => {
                let m = [Map::Lt, Map::Le][k - 2];
                let x = self.like(shape);
                self.comparison(m, x)
            }
        }
    }

    fn rearrange(&mut self) -> usize {
        match self.c.below(10) {
            0 => {
                let n = 2 + self.c.below(2);
                let parts: Vec<usize> = (0..n).map(|_| self.vector()).collect();
                if parts.iter().map(|&p| self.shape(p).len()).sum::<usize>() > MOST {
                    return parts[0];
                }
                self.op(Op::Concat { axis: 0 }, &parts)
            }
            1 => {
                let a = self.matrix();
                let axis = self.c.below(2);
                let (m, n) = self.shape(a).as_matrix();
                let b = match self.c.below(3) {
                    0 => a,
                    1 => self.like(Shape::Matrix(m, n)),
                    _ => {
                        let k = self.small();
                        self.like(self.shape(a).with_axis(axis, k))
                    }
                };
                if self.shape(a).len() + self.shape(b).len() > MOST {
                    return a;
                }
                let parts = if self.c.chance(50) { [a, b] } else { [b, a] };
                self.op(Op::Concat { axis }, &parts)
            }
            2 | 3 => {
                let x = self.vector();
                self.slice(x, 0)
            }
            4 => {
                let x = self.matrix();
                let axis = self.c.below(2);
                self.slice(x, axis)
            }
            5 => {
                let x = self.any();
                let n = self.shape(x).len();
                let rows: Vec<usize> = (1..=n).filter(|m| n.is_multiple_of(*m)).collect();
                let m = self.c.pick(&rows);
                let to = match self.shape(x) {
                    Shape::Scalar => Shape::Vector(1),
                    Shape::Vector(1) => Shape::Scalar,
                    Shape::Vector(_) => Shape::Matrix(m, n / m),
                    Shape::Matrix(m, n) if self.c.chance(30) => Shape::Tensor(1, m, n),
                    Shape::Matrix(..) | Shape::Tensor(..) => Shape::Vector(n),
                };
                self.op(Op::Reshape(to), &[x])
            }
            6 => {
                let x = self.like(Shape::Scalar);
                let n = self.size();
                self.op(Op::Broadcast(Shape::Vector(n)), &[x])
            }
            7 => {
                let low = self.find(|g, v| {
                    g.domain(v) < g.level() && g.shape(v).len() <= MOST && !g.is_too_late(v)
                });
                let x = low.unwrap_or_else(|| {
                    let n = self.size();
                    self.input(InputRole::Param, Shape::Vector(n))
                });
                self.in_all_points(x)
            }
            _ => self.gather(),
        }
    }

    pub(super) fn slice(&mut self, x: usize, axis: usize) -> usize {
        let n = self.shape(x).axis(axis).unwrap_or(1);
        let start = self.c.below(n);
        let len = 1 + self.c.below(n - start);
        self.op(Op::Slice { axis, start, len }, &[x])
    }

    fn gather(&mut self) -> usize {
        let table = match self.c.below(4) {
            0 => self.matrix(),
            // Tables read over boundary slots, rows or once are of that domain, too.
            1 if self.level() != Domain::Step => self.matrix(),
            _ => {
                let (m, n) = (self.size(), self.size());
                let known = self
                    .find(|g, v| g.domain(v) == Domain::Once && g.shape(v) == Shape::Matrix(m, n));
                known.unwrap_or_else(|| self.input(InputRole::Param, Shape::Matrix(m, n)))
            }
        };
        let index = self.index(self.shape(table).as_matrix().0);
        self.op(Op::Gather, &[table, index])
    }

    /// A row number: an input of whole numbers, or computed.
    pub(super) fn index(&mut self, rows: usize) -> usize {
        let v = match (self.c.below(3), self.level()) {
            (0, Domain::Once | Domain::Row | Domain::Step) => self.fresh(Shape::Scalar),
            (1, Domain::Row | Domain::Step) => self.input(InputRole::Static, Shape::Scalar),
            _ => {
                let x = self.like(Shape::Scalar);
                let part = self.map(Map::Sigmoid, &[x]);
                let scale = self.constant(rows as f64 - 1.0, Shape::Scalar);
                self.map(Map::Mul, &[part, scale])
            }
        };
        self.bound_by(v, rows as f64)
    }

    fn fold(&mut self) -> usize {
        let x = self.any();
        let n = self.shape(x).len();
        match self.c.below(6) {
            0 => {
                let x = self.tame(x, 16.0 / n as f64);
                self.op(Op::Reduce(Reduction::Sum), &[x])
            }
            1 => self.op(Op::Reduce(Reduction::Mean), &[x]),
            2 => self.op(Op::Reduce(Reduction::Max), &[x]),
            3 => {
                let y = if self.c.chance(25) {
                    x
                } else {
                    self.like(self.shape(x))
                };
                self.op(Op::Dot, &[x, y])
            }
            4 => self.softmax(x),
            _ => self.centred(x),
        }
    }

    pub(super) fn softmax(&mut self, x: usize) -> usize {
        let x = self.tame(x, 8.0);
        let shape = self.shape(x);
        let top = self.op(Op::Reduce(Reduction::Max), &[x]);
        let top = self.map(Map::StopGradient, &[top]);
        let top = self.op(Op::Broadcast(shape), &[top]);
        let shifted = self.map(Map::Sub, &[x, top]);
        let e = self.map(Map::Exp, &[shifted]);
        let e = self.bound_by(e, 1.0);
        let sum = self.op(Op::Reduce(Reduction::Sum), &[e]);
        let sum = self.op(Op::Broadcast(shape), &[sum]);
        let y = self.map(Map::Div, &[e, sum]);
        self.bound_by(y, 1.0)
    }

    /// Layer normalisation without gain.
    fn centred(&mut self, x: usize) -> usize {
        let x = self.tame(x, 8.0);
        let shape = self.shape(x);
        let mean = self.op(Op::Reduce(Reduction::Mean), &[x]);
        let mean = self.op(Op::Broadcast(shape), &[mean]);
        let centred = self.map(Map::Sub, &[x, mean]);
        let square = self.map(Map::Mul, &[centred, centred]);
        let variance = self.op(Op::Reduce(Reduction::Mean), &[square]);
        let eps = self.constant(0.25, Shape::Scalar);
        let sum = self.map(Map::Add, &[variance, eps]);
        let deviation = self.map(Map::Sqrt, &[sum]);
        let deviation = self.op(Op::Broadcast(shape), &[deviation]);
        let y = self.map(Map::Div, &[centred, deviation]);
        self.bound_by(y, 2.0)
    }

    fn product(&mut self) -> usize {
        match self.c.below(8) {
            0..=2 => {
                let (x, n) = (self.vector(), self.size());
                self.dense(x, n)
            }
            3 | 4 => self.affine(),
            5 | 6 => {
                let m = self.matrix();
                self.product_with(m)
            }
            _ => {
                let (m, n) = (self.small(), self.small());
                let (a, b) = (self.like(Shape::Vector(m)), self.like(Shape::Vector(n)));
                self.outer(a, b)
            }
        }
    }

    /// A matrix, or its transpose, times a vector.
    pub(super) fn product_with(&mut self, m: usize) -> usize {
        let m = self.tame(m, 1.0);
        let transposed = self.c.chance(50);
        let inner = |rows, cols| if transposed { rows } else { cols };
        let x = self.like(match self.shape(m) {
            Shape::Tensor(h, rows, cols) => Shape::Matrix(h, inner(rows, cols)),
            other => {
                let (rows, cols) = other.as_matrix();
                Shape::Vector(inner(rows, cols))
            }
        });
        self.op(Op::MatVec { transposed }, &[m, x])
    }

    /// A gate: the sum of products with two or three vectors, and a bias.
    pub(super) fn affine(&mut self) -> usize {
        let n = self.size();
        self.affine_of(n)
    }

    pub(super) fn affine_of(&mut self, n: usize) -> usize {
        let x = self.vector();
        let mut sum = self.dense(x, n);
        for _ in 0..1 + self.c.below(2) {
            let y = self.vector();
            let product = self.dense(y, n);
            sum = self.map(Map::Add, &[sum, product]);
        }
        if self.c.chance(60) {
            let bias = self.input(InputRole::Param, Shape::Vector(n));
            sum = self.map(Map::Add, &[sum, bias]);
        }
        if self.c.chance(50) {
            let m = self.c.pick(&[Map::Sigmoid, Map::Tanh]);
            sum = self.map(m, &[sum]);
        }
        sum
    }
}
