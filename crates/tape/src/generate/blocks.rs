//! The structure of a whole program: inputs, blocks of states that run in one direction of time, outputs, loss.
//!
//! Values of earlier blocks are operands of later ones, never the reverse, so blocks may run in opposite directions
//! without any recurrence running both ways.

use super::Choices;
use super::grow::Grow;
use super::grow::MOST;
use super::program::{FinalCall, GeneratedProgram, Made};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::tape::InputRole;
use crate::ty::{Domain, Shape};

/// Draws a program.
pub(super) fn program(c: &mut Choices<'_>) -> GeneratedProgram {
    let mut g = Grow::new(c);
    let n = g.size();
    g.input(InputRole::Sequence, Shape::Vector(n));
    if g.c.chance(35) {
        let n = g.size();
        let shape = g.c.pick(&[Shape::Vector(n), Shape::Scalar]);
        g.input(InputRole::Static, shape);
    }
    if g.c.chance(30) {
        let n = g.size();
        let shape =
            g.c.pick(&[Shape::Vector(n), Shape::Scalar, Shape::Matrix(n.min(4), 3)]);
        let role =
            g.c.pick(&[InputRole::Sequence, InputRole::Param, InputRole::Mask]);
        g.input(role, shape);
    }
    let mut states = g.c.pick(&[1, 0, 1, 2, 2, 3, 3]);
    let blocks = 1 + g.c.below(3);
    for k in 0..blocks {
        let here = if k + 1 == blocks {
            states
        } else {
            states.min(1 + g.c.below(2))
        };
        states -= here;
        g.block(here);
    }
    g.begin_block();
    for _ in 0..g.c.below(5) {
        g.step();
    }
    g.bring_into_steps();
    g.outputs();
    g.program
}

impl Grow<'_, '_> {
    fn block(&mut self, states: usize) {
        let backward = self.c.chance(30);
        let mut begun = Vec::new();
        for _ in 0..states {
            let d = self.c.pick(&[1, 1, 1, 2, 3]);
            // A delay of two, backward, is as rare as it gets.
            let d = if backward { -(d.min(2)) } else { d };
            let n = self.size();
            let shape = match self.c.below(8) {
                0..=4 => Shape::Vector(n),
                5 => Shape::Scalar,
                6 if self.c.chance(50) => self.tensor_shape(),
                _ => Shape::Matrix(self.small(), self.small()),
            };
            let init = self.beginning(shape);
            begun.push((shape, d, init));
        }
        self.begin_block();
        let begun = begun.into_iter();
        let open: Vec<usize> = begun
            .map(|(shape, d, init)| self.state(shape, d, init))
            .collect();
        for _ in 0..5 + self.c.below(8) {
            self.step();
        }
        for i in 0..open.len() {
            let next = self.successor(open[i], &open);
            self.next(open[i], next);
            if self.shape(next).rank() >= 2 && self.c.chance(60) {
                self.product_with(next);
            }
            if self.c.chance(50) {
                self.step();
            }
        }
        for _ in 0..self.c.below(5) {
            self.step();
        }
    }

    /// The initial value of a state: zeros or given, an input, or computed before the steps.
    fn beginning(&mut self, shape: Shape) -> Option<usize> {
        let level = self.c.pick(&[Domain::Row, Domain::Once]);
        if self.rounds && self.later() && self.c.chance(90) {
            let v = self.of_the_steps(Some(shape));
            return Some(self.tame(v, 1.0));
        }
        let v = match self.c.below(9) {
            0..=3 => return None,
            4 => self.input(InputRole::Param, shape),
            5 => self.input(InputRole::Static, shape),
            6 => {
                // Some states share another's initial value.
                let same = |g: &Self, v: usize| g.shape(v) == shape;
                self.over(level, |g| g.find(same))?
            }
            7 => self.over(level, |g| {
                // A matrix too begins with a product.
                let v = g.made(shape);
                let m = g.c.pick(&[Map::Tanh, Map::Copy, Map::Sin]);
                g.map(m, &[v])
            }),
            _ => self.over(Domain::Row, |g| {
                let n = g.size();
                let s = g.input(InputRole::Static, Shape::Vector(n));
                match shape {
                    Shape::Vector(m) => g.dense(s, m),
                    Shape::Scalar => g.op(Op::Reduce(Reduction::Mean), &[s]),
                    Shape::Matrix(..) | Shape::Tensor(..) => {
                        let s = g.op(Op::Reduce(Reduction::Mean), &[s]);
                        g.op(Op::Broadcast(shape), &[s])
                    }
                }
            }),
        };
        Some(self.tame(v, 1.0))
    }

    /// Combines unused values from before the steps with values of each step, so that the results of every step depend
    /// on them.
    fn bring_into_steps(&mut self) {
        let low = |g: &Self, v: &usize| g.domain(*v).within(Domain::Row) && !g.is_too_late(*v);
        let unused = self.unused();
        let unused: Vec<usize> = unused.into_iter().filter(|v| low(self, v)).collect();
        let mut sum: Option<usize> = None;
        for v in unused.into_iter().rev() {
            let v = self.tame(v, 2.0);
            let met = match (self.shape(v), self.c.below(3)) {
                (Shape::Matrix(..) | Shape::Tensor(..), 0) if self.shape(v).len() <= 4 * MOST => {
                    self.product_with(v)
                }
                (shape, 1) if shape.len() <= MOST => {
                    let x = self.like(shape);
                    let m = self.c.pick(&[Map::Mul, Map::Add, Map::Sub, Map::Max]);
                    self.map(m, &[x, v])
                }
                (Shape::Scalar, _) => v,
                _ => self.op(Op::Reduce(Reduction::Mean), &[v]),
            };
            let term = match self.shape(met) {
                Shape::Scalar => met,
                _ => self.op(Op::Reduce(Reduction::Mean), &[met]),
            };
            sum = Some(match sum {
                None => term,
                Some(sum) => self.map(Map::Add, &[sum, term]),
            });
        }
        if let Some(sum) = sum {
            let x = self.any();
            let shape = self.shape(x);
            let sum = self.tame(sum, 4.0);
            let all = match shape {
                Shape::Scalar => sum,
                _ => self.op(Op::Broadcast(shape), &[sum]),
            };
            let m = self.c.pick(&[Map::Mul, Map::Add]);
            let v = self.map(m, &[x, all]);
            self.tame(v, 4.0);
        }
    }

    /// The next value of a state.
    fn successor(&mut self, state: usize, open: &[usize]) -> usize {
        let shape = self.shape(state);
        let other = open
            .iter()
            .rev()
            .copied()
            .find(|&s| s != state && self.shape(s) == shape);
        match (self.c.below(12), other) {
            (0..=2, _) => {
                let v = self.candidate(shape);
                let v = self.with_another(v, state, open);
                self.map(Map::Tanh, &[v])
            }
            (3..=6, _) => {
                // z·h + (1 - z)·candidate
                let z = self.candidate(shape);
                let z = self.with_another(z, state, open);
                let z = self.map(Map::Sigmoid, &[z]);
                let v = self.candidate(shape);
                let v = self.tame(v, 1.0);
                let one = self.constant(1.0, shape);
                let rest = self.map(Map::Sub, &[one, z]);
                let kept = self.map(Map::Mul, &[z, state]);
                let new = self.map(Map::Mul, &[rest, v]);
                let sum = self.map(Map::Add, &[kept, new]);
                self.bound_by(sum, 1.0)
            }
            (7, _) => self.constant(0.5, shape),
            (8, Some(other)) => other,
            (9, _) => {
                let slice = |g: &Self, v: usize| match (g.shape(v), shape) {
                    (Shape::Vector(n), Shape::Vector(m)) => n > m,
                    _ => false,
                };
                match (self.find(slice), shape) {
                    (Some(x), Shape::Vector(len)) => {
                        let start = self.c.below(self.shape(x).len() - len + 1);
                        let axis = 0;
                        self.op(Op::Slice { axis, start, len }, &[x])
                    }
                    _ => self.input(InputRole::Sequence, shape),
                }
            }
            (10, _) if self.c.chance(20) => state,
            (11, _) if shape != Shape::Scalar => {
                // A step down an energy: the state learns.
                let slope = self.slope(state);
                let step = self.tame(slope, 0.5);
                self.map(Map::Sub, &[state, step])
            }
            _ => self.like(shape),
        }
    }

    /// Sometimes adds the contribution of another state of the block to a vector.
    fn with_another(&mut self, v: usize, state: usize, open: &[usize]) -> usize {
        let others: Vec<usize> = open.iter().copied().filter(|s| *s != state).collect();
        let shape = self.shape(v);
        if others.is_empty() || self.c.chance(30) {
            return v;
        }
        let other = self.c.pick(&others);
        let said = match (self.shape(other), shape) {
            (a, b) if a == b => other,
            (Shape::Vector(_), Shape::Vector(n)) => self.dense(other, n),
            (Shape::Scalar, _) => self.op(Op::Broadcast(shape), &[other]),
            _ => {
                let mean = self.op(Op::Reduce(Reduction::Mean), &[other]);
                if shape == Shape::Scalar {
                    mean
                } else {
                    self.op(Op::Broadcast(shape), &[mean])
                }
            }
        };
        self.map(Map::Add, &[v, said])
    }

    fn candidate(&mut self, shape: Shape) -> usize {
        match shape {
            Shape::Vector(n) if self.c.chance(70) => self.affine_of(n),
            Shape::Matrix(m, n) if self.c.chance(60) => {
                let (a, b) = (self.like(Shape::Vector(m)), self.like(Shape::Vector(n)));
                self.outer(a, b)
            }
            _ => self.like(shape),
        }
    }

    fn outputs(&mut self) {
        let mut taken: Vec<usize> = Vec::new();
        for _ in 0..1 + self.c.below(3) {
            let v = match self.c.below(8) {
                6 => self.find(|g, v| g.domain(v) < Domain::Step && g.shape(v).len() <= MOST),
                7 => Some(self.over_points()),
                5 => self.find(|g, v| {
                    let made = &g.program.made[v];
                    matches!(made, Made::State { .. })
                }),
                _ => Some(self.any()),
            };
            // One value may be output twice.
            if let Some(v) = v.filter(|v| !taken.contains(v) || v % 4 == 0) {
                let name = format!("y{}", taken.len());
                taken.push(v);
                self.program.ends.push(FinalCall::Output { name, value: v });
            }
        }
        if self.c.chance(40)
            && let Some(value) = self.total()
        {
            let name = "rest".into();
            self.program.ends.push(FinalCall::Output { name, value });
        }
        if self.c.chance(75) {
            self.loss();
        }
        self.hand_out_what_is_after();
    }

    /// Outputs of unused values that only exist after the steps: one per domain, of the whole value or its mean.
    fn hand_out_what_is_after(&mut self) {
        let mut sums: Vec<(Domain, usize)> = Vec::new();
        for v in self.unused() {
            if !self.is_after(v) {
                continue;
            }
            let domain = self.domain(v);
            let v = match self.shape(v) {
                Shape::Scalar => v,
                _ => self.op(Op::Reduce(Reduction::Mean), &[v]),
            };
            match sums.iter_mut().find(|(d, _)| *d == domain) {
                Some((_, sum)) => *sum = self.map(Map::Add, &[*sum, v]),
                None => sums.push((domain, v)),
            }
        }
        for (k, (_, value)) in sums.into_iter().enumerate() {
            let name = format!("after{k}");
            self.program.ends.push(FinalCall::Output { name, value });
        }
    }

    /// Unused values other than inputs.
    fn unused(&self) -> Vec<usize> {
        let mut used = vec![false; self.len()];
        for made in &self.program.made {
            made.operands().iter().for_each(|&x| used[x] = true);
        }
        for end in &self.program.ends {
            end.operands().for_each(|x| used[x] = true);
        }
        let input = |v: &usize| matches!(self.program.made[*v], Made::Input { .. });
        (0..used.len()).filter(|v| !used[*v] && !input(v)).collect()
    }

    /// The sum of most unused values, so that little of a program is dead.
    fn total(&mut self) -> Option<usize> {
        let unused = self.unused().into_iter().filter(|v| !self.is_after(*v));
        let unused: Vec<usize> = unused.collect();
        let mut total: Option<usize> = None;
        for v in unused.into_iter().rev() {
            if self.c.chance(20) {
                continue;
            }
            let shape = self.shape(v);
            let v = self.tame(v, 4.0);
            let term = match self.c.below(3) {
                0 => {
                    let target = self.input(InputRole::Target, shape);
                    let error = self.map(Map::Sub, &[v, target]);
                    let square = self.map(Map::Mul, &[error, error]);
                    self.op(Op::Reduce(Reduction::Mean), &[square])
                }
                _ => self.op(Op::Reduce(Reduction::Mean), &[v]),
            };
            total = Some(match total {
                Some(sum) => self.map(Map::Add, &[sum, term]),
                None => term,
            });
        }
        total
    }

    fn square(&mut self) -> usize {
        let v = self.like(Shape::Scalar);
        let v = self.tame(v, 2.0);
        self.map(Map::Mul, &[v, v])
    }

    fn loss(&mut self) {
        let total = self.total();
        let loss = total.unwrap_or_else(|| {
            let x = self.any();
            self.op(Op::Reduce(Reduction::Mean), &[x])
        });
        self.program.ends.push(FinalCall::Loss(loss));
        if self.c.chance(15) {
            let second = self.like(Shape::Scalar);
            self.program.ends.push(FinalCall::Loss(second));
        }
        if self.c.chance(35) {
            let weight = self.input(InputRole::Weight, Shape::Scalar);
            self.program.ends.push(FinalCall::Weight(weight));
        }
        // Losses of rows and of the program, and one that is weighed apart.
        if self.c.chance(50) {
            let level = self.c.pick(&[Domain::Row, Domain::Once]);
            let loss = self.over(level, Grow::square);
            self.program.ends.push(FinalCall::Loss(loss));
        }
        if self.c.chance(20) {
            let loss = self.square();
            let weight = self.input(InputRole::Weight, Shape::Scalar);
            self.program.ends.push(FinalCall::Weighted { loss, weight });
        }
        if self.c.chance(30) {
            self.program.ends.push(FinalCall::Sum);
        }
    }
}
