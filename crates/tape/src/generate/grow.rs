//! A program under construction: appends values, tracks their types and estimated greatest magnitudes, finds operands.

use super::Choices;
use super::program::{FinalCall, GeneratedProgram, Made};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::tape::InputRole;
use crate::ty::{Domain, Shape, Type};

/// Sizes of axes: odd ones, powers of two, and their neighbours.
const SIZES: [usize; 11] = [1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33];

/// Numbers that a value per example and step may have; larger ones would only slow tests down.
pub(super) const MOST: usize = 72;

/// A program under construction.
pub(super) struct Grow<'c, 'b> {
    pub(super) c: &'c mut Choices<'b>,
    pub(super) program: GeneratedProgram,
    pub(super) types: Vec<Type>,
    /// Estimate of each value's greatest magnitude.
    pub(super) bounds: Vec<f64>,
    /// For values that only exist after the steps of a block of states, the last such block: steps of later ones may read them.
    after: Vec<Option<usize>>,
    /// The number of the present block of states.
    block: usize,
    /// The steps of later blocks do read such values; sample by sample they cannot be run.
    pub(super) rounds: bool,
    /// The domain of the values being generated: operands vary over this or less.
    level: Domain,
    /// The domain of most of the program's ops.
    focus: Domain,
    /// Sizes that axes of this program have, so that shapes meet.
    pub(super) sizes: Vec<usize>,
}

impl<'c, 'b> Grow<'c, 'b> {
    pub(super) fn new(c: &'c mut Choices<'b>) -> Grow<'c, 'b> {
        let sizes = (0..3).map(|_| c.pick(&SIZES)).collect();
        let slots = c.pick(&[1, 1, 2, 3]);
        let focus = match c.below(20) {
            0..=8 => Domain::Step,
            9..=11 => Domain::Once,
            12..=14 => Domain::Row,
            _ => Domain::BoundarySlots(slots),
        };
        let rounds = c.chance(40);
        Grow {
            c,
            program: GeneratedProgram::default(),
            types: Vec::new(),
            bounds: Vec::new(),
            after: Vec::new(),
            block: 0,
            rounds,
            level: Domain::Step,
            focus,
            sizes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.types.len()
    }

    pub(super) fn shape(&self, v: usize) -> Shape {
        self.types[v].shape
    }

    pub(super) fn domain(&self, v: usize) -> Domain {
        self.types[v].domain
    }

    pub(super) fn level(&self) -> Domain {
        self.level
    }

    /// Generates values over this domain.
    pub(super) fn over<T>(&mut self, level: Domain, make: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.level, level);
        let made = make(self);
        self.level = before;
        made
    }

    /// A domain to work over: usually the program's own.
    pub(super) fn some_level(&mut self) -> Domain {
        match self.c.below(8) {
            5 => Domain::Once,
            6 => Domain::Row,
            7 => Domain::Step,
            _ => self.focus,
        }
    }

    pub(super) fn push(&mut self, made: Made, ty: Type, bound: f64) -> usize {
        let leaves = |x: &usize| self.domain(*x) == Domain::Step && ty.domain != Domain::Step;
        let edge = matches!(ty.domain, Domain::BoundarySlots(_));
        let leaves = edge || made.operands().iter().any(leaves);
        let late = made.operands().iter().filter_map(|x| self.after[*x]).max();
        // What is computed from a late value in the steps is there with them.
        let after = match (leaves, ty.domain) {
            (true, _) => Some(self.block),
            (false, Domain::Step) => None,
            (false, _) => late,
        };
        self.after.push(after);
        debug_assert!(bound.is_finite(), "{made:?}");
        self.program.made.push(made);
        self.types.push(ty);
        self.bounds.push(bound);
        self.len() - 1
    }

    /// The steps of the next states may read what only exists after those of all states so far.
    pub(super) fn begin_block(&mut self) {
        self.block += 1;
    }

    /// There are states already.
    pub(super) fn later(&self) -> bool {
        self.block > 0
    }

    /// True for values that only exist after the steps of some states.
    pub(super) fn is_after(&self, v: usize) -> bool {
        self.after[v].is_some()
    }

    /// True for values that only exist after the steps of the present states: these may not read them.
    pub(super) fn is_too_late(&self, v: usize) -> bool {
        self.after[v].is_some_and(|block| !self.rounds || block >= self.block)
    }

    /// Records what is known about a value's magnitude.
    pub(super) fn bound_by(&mut self, v: usize, bound: f64) -> usize {
        self.bounds[v] = bound;
        v
    }

    /// A size of this program.
    pub(super) fn size(&mut self) -> usize {
        let k = self.c.below(self.sizes.len());
        self.sizes[k]
    }

    /// A size of this program that is small enough for matrices per example.
    pub(super) fn small(&mut self) -> usize {
        self.size().min(8)
    }

    pub(super) fn input(&mut self, role: InputRole, shape: Shape) -> usize {
        let (letter, domain) = match role {
            InputRole::Param => ("w", Domain::Once),
            InputRole::Static => ("s", Domain::Row),
            InputRole::Target => ("target", Domain::Step),
            InputRole::Weight => ("weight", Domain::Step),
            InputRole::Mask => ("mask", Domain::Step),
            InputRole::Sequence
            | InputRole::Initial
            | InputRole::Cotangent
            | InputRole::Tangent => ("x", Domain::Step),
        };
        let name = format!("{letter}{}", self.len());
        let bound = match (role, shape) {
            (InputRole::Param, Shape::Matrix(m, n) | Shape::Tensor(_, m, n)) => {
                1.5 / (m.max(n) as f64).sqrt()
            }
            (InputRole::Weight, _) => 1.5,
            _ => 1.0,
        };
        // Every fifth place of an input has one with a range, within what all inputs have.
        let ranged = matches!(role, InputRole::Sequence | InputRole::Static) && self.len() % 5 == 4;
        let range = ranged.then_some(0.25..1.0);
        let made = Made::Input {
            name,
            role,
            shape,
            range,
        };
        self.push(made, Type::new(shape, domain), bound)
    }

    /// Its values are assumed to be within -1 ‥ 1: see [`Grow::next`].
    pub(super) fn state(&mut self, shape: Shape, d: i32, init: Option<usize>) -> usize {
        let name = format!("h{}", self.len());
        let made = Made::State {
            name,
            shape,
            d,
            init,
        };
        self.push(made, Type::new(shape, Domain::Step), 1.0)
    }

    pub(super) fn next(&mut self, state: usize, value: usize) {
        let value = self.tame(value, 1.0);
        self.program.ends.push(FinalCall::Next { state, value });
    }

    /// Applies an op; its operands must fit and lie where it is defined.
    pub(super) fn op(&mut self, op: Op, xs: &[usize]) -> usize {
        let types: Vec<Type> = xs.iter().map(|&x| self.types[x]).collect();
        let ty = op
            .infer(&types)
            .unwrap_or_else(|e| panic!("{op} of {types:?}: {e:?}"));
        let bound = self.bound(&op, xs, ty);
        let made = Made::Op {
            op,
            xs: xs.to_vec(),
        };
        self.push(made, ty, bound)
    }

    pub(super) fn map(&mut self, m: Map, xs: &[usize]) -> usize {
        self.op(Op::Map(m), xs)
    }

    /// An estimate: products of many terms grow like random sums.
    fn bound(&self, op: &Op, xs: &[usize], ty: Type) -> f64 {
        let b = |i: usize| self.bounds[xs[i]];
        let n = xs.first().map_or(1, |&x| self.shape(x).len()) as f64;
        match *op {
            Op::Constant { value, .. } => value.0.abs(),
            Op::Map(m) => match m {
                Map::Exp => b(0).exp(),
                Map::Expm1 => b(0).exp_m1(),
                Map::Ln => b(0).ln().max(1.5),
                Map::Log1p => b(0).ln_1p().max(1.5),
                Map::Sqrt => b(0).sqrt().max(1.0),
                Map::Recip => 4.0,
                Map::Div => 4.0 * b(0),
                Map::Pow => b(0).max(4.0),
                Map::Softplus => b(0) + 0.7,
                Map::Floor | Map::Ceil | Map::Round => b(0) + 1.0,
                // At most half a unit of the eighth place more.
                Map::RoundBf16 => b(0) * 1.004,
                Map::Add | Map::Sub => b(0) + b(1),
                Map::Mul => b(0) * b(1),
                Map::Max | Map::Min => b(0).max(b(1)),
                Map::Select => b(1).max(b(2)),
                Map::Neg | Map::Abs | Map::Relu | Map::Copy | Map::Flush => b(0),
                Map::StopGradient | Map::WithGradient | Map::ClipGradient => b(0),
                Map::Sign
                | Map::Sin
                | Map::Cos
                | Map::Tanh
                | Map::Sigmoid
                | Map::Erf
                | Map::Softsign => 1.0,
                Map::Lt | Map::Le | Map::Eq => 1.0,
            },
            Op::Reduce(Reduction::Sum) => n * b(0),
            Op::Dot => n.sqrt() * b(0) * b(1),
            Op::ReduceAxis {
                kind: Reduction::Sum,
                axis,
            } => self.shape(xs[0]).axis(axis).unwrap_or(1) as f64 * b(0),
            Op::MatVec { .. } => {
                let n = self.shape(xs[1]).as_matrix().1 as f64;
                let random = matches!(self.program.made[xs[0]], Made::Input { .. });
                (if random { n.sqrt() } else { n }) * b(0) * b(1)
            }
            Op::Outer { .. } => self.terms(op, xs, ty) * b(0) * b(1),
            Op::Scatter { .. } => self.terms(op, xs, ty) * b(1),
            Op::SumTo(_) => self.terms(op, xs, ty) * b(0),
            _ => xs.iter().map(|&x| self.bounds[x]).fold(0.0, f64::max),
        }
    }

    /// Upper bound on the points that an op sums over: see the sizes that [`super::generate`] draws.
    fn terms(&self, op: &Op, xs: &[usize], ty: Type) -> f64 {
        let types: Vec<Type> = xs.iter().map(|&x| self.types[x]).collect();
        let points = |d: Domain| d.points(13, 33) as f64;
        points(op.work_domain(&types)) / points(ty.domain)
    }

    /// The value, scaled or squashed down to this magnitude. Only values of moderate size are squashed: the slope of a
    /// squashed value grows from step to step.
    pub(super) fn tame(&mut self, v: usize, most: f64) -> usize {
        let bound = self.bounds[v];
        if bound <= most {
            return v;
        }
        let squash = if most >= 1.0 { self.c.below(3) } else { 2 };
        let to = if squash < 2 { most.max(3.0) } else { most };
        let v = if bound <= to {
            v
        } else {
            self.scaled(v, to / bound)
        };
        match squash {
            0 => self.map(Map::Tanh, &[v]),
            1 => self.map(Map::Sin, &[v]),
            _ => v,
        }
    }

    /// The value times the power of two below `by`, a scaling without rounding.
    fn scaled(&mut self, v: usize, by: f64) -> usize {
        let c = self.constant(by.log2().floor().exp2(), self.shape(v));
        self.map(Map::Mul, &[v, c])
    }

    pub(super) fn constant(&mut self, value: f64, shape: Shape) -> usize {
        self.op(Op::constant(value, shape), &[])
    }

    fn plus(&mut self, v: usize, c: f64) -> usize {
        let c = self.constant(c, self.shape(v));
        self.map(Map::Add, &[v, c])
    }

    /// A value of at least ¼, computed from this one.
    pub(super) fn positive(&mut self, v: usize) -> usize {
        let v = self.tame(v, 2.0);
        match self.c.below(5) {
            0 => {
                let square = self.map(Map::Mul, &[v, v]);
                self.plus(square, 0.5)
            }
            1 => {
                let soft = self.map(Map::Softplus, &[v]);
                self.plus(soft, 0.25)
            }
            2 => {
                let soft = self.map(Map::Sigmoid, &[v]);
                self.plus(soft, 0.5)
            }
            3 => {
                let small = self.map(Map::Tanh, &[v]);
                self.map(Map::Exp, &[small])
            }
            _ => {
                let size = self.map(Map::Abs, &[v]);
                self.plus(size, 1.0)
            }
        }
    }

    /// A value that passes the filter and is readable in the present domain, usually a recent one. Values that only
    /// exist after the steps are read over boundary slots and by ops on those, and by the steps of later states.
    pub(super) fn find(&mut self, pass: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let late = matches!(self.level, Domain::BoundarySlots(_));
        let found: Vec<usize> = (0..self.len())
            .rev()
            .filter(|&v| self.domain(v).within(self.level) && (late || !self.is_too_late(v)))
            .filter(|&v| pass(self, v))
            .collect();
        let near = if self.c.chance(30) { found.len() } else { 5 };
        (!found.is_empty()).then(|| found[self.c.below(near.min(found.len()))])
    }

    /// A new value over this domain that depends on no other.
    pub(super) fn fresh(&mut self, shape: Shape) -> usize {
        match self.level {
            Domain::Once => self.input(InputRole::Param, shape),
            Domain::Row => self.input(InputRole::Static, shape),
            Domain::Step => self.input(InputRole::Sequence, shape),
            Domain::BoundarySlots(k) => self.edge(k as i32, shape),
        }
    }

    /// The values that leave a delay by `k`, or by -k.
    fn edge(&mut self, k: i32, shape: Shape) -> usize {
        let known = |g: &Self, v: usize| g.shape(v) == shape && g.domain(v) == Domain::Step;
        let x = self.over(Domain::Step, |g| match g.c.chance(60) {
            true => g.find(known).unwrap_or_else(|| g.fresh(shape)),
            false => g.fresh(shape),
        });
        let x = self.tame(x, 4.0);
        let init = match self.c.below(4) {
            0 => self.constant(0.0, shape),
            1 => self.input(InputRole::Param, shape),
            2 => self.input(InputRole::Static, shape),
            _ => self.over(Domain::Row, |g| {
                let v = g.like(shape);
                g.tame(v, 4.0)
            }),
        };
        let d = if self.c.chance(30) { -k } else { k };
        self.op(Op::Boundary(d), &[x, init])
    }

    /// Any value but large matrices, usually one of exactly this domain.
    pub(super) fn any(&mut self) -> usize {
        let low = self.c.chance(10);
        let found = self.find(|g, v| (low || g.domain(v) == g.level) && g.shape(v).len() <= MOST);
        found.unwrap_or_else(|| {
            let n = self.size();
            self.fresh(Shape::Vector(n))
        })
    }

    /// A vector of this domain.
    pub(super) fn vector(&mut self) -> usize {
        let is = |g: &Self, v: usize| {
            matches!(g.shape(v), Shape::Vector(n) if n <= MOST) && g.domain(v) == g.level
        };
        self.find(is).unwrap_or_else(|| {
            let n = self.size();
            self.fresh(Shape::Vector(n))
        })
    }

    /// A matrix of this domain; where there are steps, or slots, perhaps one per example.
    pub(super) fn matrix(&mut self) -> usize {
        let is = |g: &Self, v: usize| {
            let here = g.domain(v) != Domain::Once || g.level == Domain::Once;
            g.shape(v).rank() == 2 && g.shape(v).len() <= MOST && here
        };
        if !self.c.chance(30)
            && let Some(v) = self.find(is)
        {
            return v;
        }
        let (m, n) = (self.small(), self.small());
        match self.c.below(4) {
            0 if self.level != Domain::Once => self.input(InputRole::Static, Shape::Matrix(m, n)),
            0 | 1 => self.fresh(Shape::Matrix(m, n)),
            _ => {
                let (a, b) = (self.like(Shape::Vector(m)), self.like(Shape::Vector(n)));
                self.outer(a, b)
            }
        }
    }

    pub(super) fn outer(&mut self, a: usize, b: usize) -> usize {
        let to = self.domain(a).join(self.domain(b)).unwrap_or(Domain::Step);
        self.op(Op::Outer { to }, &[a, b])
    }

    /// A value of this shape, usually of exactly this domain.
    pub(super) fn like(&mut self, shape: Shape) -> usize {
        let here = self.c.chance(85);
        let found = self.find(|g, v| g.shape(v) == shape && (!here || g.domain(v) == g.level));
        match (found, self.c.below(8)) {
            (Some(v), 0..=5) => v,
            (_, 6) if shape != Shape::Scalar => {
                let one = self.like(Shape::Scalar);
                self.op(Op::Broadcast(shape), &[one])
            }
            (_, 7) if shape.rank() < 2 => match self.c.below(3) {
                0 => self.input(InputRole::Param, shape),
                1 if self.level != Domain::Once => self.input(InputRole::Static, shape),
                _ => self.fresh(shape),
            },
            _ => self.made(shape),
        }
    }

    /// A new value of this shape, computed from others.
    pub(super) fn made(&mut self, shape: Shape) -> usize {
        match shape {
            Shape::Scalar => {
                let x = self.any();
                let fold = self.c.pick(&[Reduction::Mean, Reduction::Max]);
                if self.shape(x) == Shape::Scalar {
                    return x;
                }
                self.op(Op::Reduce(fold), &[x])
            }
            Shape::Vector(n) => {
                let x = self.vector();
                self.dense(x, n)
            }
            Shape::Matrix(m, n) => {
                let (a, b) = (self.like(Shape::Vector(m)), self.like(Shape::Vector(n)));
                self.outer(a, b)
            }
            Shape::Tensor(h, m, n) => self.made_tensor(h, m, n),
        }
    }
}
