//! [`Term`]: a value of an [`Algebra`] with operators, in which derivative rules and composite functions read like the
//! mathematics they stand for.
//!
//! Ops are appended in the order in which Rust evaluates the expression, and the printed text of graphs shows that
//! order: a number on the left of an operator is therefore a [`Term::constant`], evaluated first.
//!
//! This file, `algebra.rs`, `op.rs` and `map/table.rs` necessarily name each other: the derivative in an op's row is an
//! expression in ops of the same table.

use std::cell::RefCell;
use std::ops::{self, Range};

use smallvec::SmallVec;

use crate::algebra::{Algebra, Value};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::ty::{Domain, Shape, Type};

/// The algebra that terms apply ops in.
pub(crate) type SharedAlgebra<'a> = RefCell<&'a mut (dyn Algebra + 'a)>;

/// A value and the algebra it belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Term<'a> {
    algebra: &'a SharedAlgebra<'a>,
    pub(crate) value: Value,
}

impl<'a> Term<'a> {
    pub(crate) fn new(algebra: &'a SharedAlgebra<'a>, value: Value) -> Term<'a> {
        Term { algebra, value }
    }

    pub(crate) fn ty(self) -> Type {
        self.algebra.borrow().ty(self.value)
    }

    pub(crate) fn shape(self) -> Shape {
        self.ty().shape
    }

    /// An op on one or more values of the same algebra.
    pub(crate) fn apply(op: Op, xs: &[Term<'a>]) -> Term<'a> {
        let values: SmallVec<[Value; 3]> = xs.iter().map(|x| x.value).collect();
        xs[0].with(|a| a.op(op, &values))
    }

    fn with(self, f: impl FnOnce(&mut dyn Algebra) -> Value) -> Term<'a> {
        let value = f(&mut **self.algebra.borrow_mut());
        Term { value, ..self }
    }

    fn map(self, m: Map) -> Term<'a> {
        Term::apply(Op::Map(m), &[self])
    }

    fn map2(self, m: Map, other: Term<'a>) -> Term<'a> {
        Term::apply(Op::Map(m), &[self, other])
    }

    /// A constant of this value's shape.
    pub(crate) fn constant(self, x: f64) -> Term<'a> {
        let shape = self.shape();
        self.with(|a| a.constant(x, shape))
    }

    /// A constant of another shape.
    pub(crate) fn filled(self, x: f64, shape: Shape) -> Term<'a> {
        self.with(|a| a.constant(x, shape))
    }

    /// 1 in this value's shape.
    pub(crate) fn one(self) -> Term<'a> {
        self.constant(1.0)
    }

    /// The zeros of a derivative ([`Op::Zeros`]).
    pub(crate) fn zeros(self, shape: Shape) -> Term<'a> {
        self.with(|a| a.zeros(shape))
    }

    pub(crate) fn recip(self) -> Term<'a> {
        self.map(Map::Recip)
    }
    pub(crate) fn exp(self) -> Term<'a> {
        self.map(Map::Exp)
    }
    pub(crate) fn expm1(self) -> Term<'a> {
        self.map(Map::Expm1)
    }
    pub(crate) fn ln(self) -> Term<'a> {
        self.map(Map::Ln)
    }
    pub(crate) fn sqrt(self) -> Term<'a> {
        self.map(Map::Sqrt)
    }
    pub(crate) fn abs(self) -> Term<'a> {
        self.map(Map::Abs)
    }
    pub(crate) fn sign(self) -> Term<'a> {
        self.map(Map::Sign)
    }
    pub(crate) fn floor(self) -> Term<'a> {
        self.map(Map::Floor)
    }
    pub(crate) fn sin(self) -> Term<'a> {
        self.map(Map::Sin)
    }
    pub(crate) fn cos(self) -> Term<'a> {
        self.map(Map::Cos)
    }
    pub(crate) fn sigmoid(self) -> Term<'a> {
        self.map(Map::Sigmoid)
    }
    pub(crate) fn tanh(self) -> Term<'a> {
        self.map(Map::Tanh)
    }
    pub(crate) fn erf(self) -> Term<'a> {
        self.map(Map::Erf)
    }
    pub(crate) fn relu(self) -> Term<'a> {
        self.map(Map::Relu)
    }
    pub(crate) fn log1p(self) -> Term<'a> {
        self.map(Map::Log1p)
    }
    pub(crate) fn min(self, other: Term<'a>) -> Term<'a> {
        self.map2(Map::Min, other)
    }
    pub(crate) fn softplus(self) -> Term<'a> {
        self.map(Map::Softplus)
    }
    pub(crate) fn stop_gradient(self) -> Term<'a> {
        self.map(Map::StopGradient)
    }
    pub(crate) fn pow(self, exponent: Term<'a>) -> Term<'a> {
        self.map2(Map::Pow, exponent)
    }
    /// 1 where this is less, else 0.
    pub(crate) fn lt(self, other: Term<'a>) -> Term<'a> {
        self.map2(Map::Lt, other)
    }
    /// 1 where this is less or equal, else 0.
    pub(crate) fn le(self, other: Term<'a>) -> Term<'a> {
        self.map2(Map::Le, other)
    }
    /// 1 where both are equal, else 0.
    pub(crate) fn equals(self, other: Term<'a>) -> Term<'a> {
        self.map2(Map::Eq, other)
    }
    /// `yes` where this is not 0, else `no`.
    pub(crate) fn select(self, yes: Term<'a>, no: Term<'a>) -> Term<'a> {
        Term::apply(Op::Map(Map::Select), &[self, yes, no])
    }

    pub(crate) fn reduce(self, r: Reduction) -> Term<'a> {
        Term::apply(Op::Reduce(r), &[self])
    }
    /// A reduction along an axis, which is dropped.
    pub(crate) fn reduce_axis(self, kind: Reduction, axis: usize) -> Term<'a> {
        Term::apply(Op::ReduceAxis { kind, axis }, &[self])
    }
    /// The same elements in another shape; the value itself if it has that shape.
    pub(crate) fn reshape(self, shape: Shape) -> Term<'a> {
        if self.shape() == shape {
            self
        } else {
            Term::apply(Op::Reshape(shape), &[self])
        }
    }
    /// This reduction of a value of shape `of` along `axis`, with that axis kept, of length 1.
    pub(crate) fn kept(self, of: Shape, axis: usize) -> Term<'a> {
        self.reshape(of.with_axis(axis, 1))
    }
    /// The sum over what a value of shape `from` was repeated along to get the shape `to`, which this value has.
    pub(crate) fn sum_stretched(self, from: Shape, to: Shape) -> Term<'a> {
        if from == Shape::Scalar {
            return self.sum();
        }
        let (from_axes, mut axes) = (from.axes(), to.axes());
        let mut sum = self;
        let mut end = axes.len();
        while end > 0 {
            let stretched = |k: usize| from_axes[k] == 1 && axes[k] != 1;
            if !stretched(end - 1) {
                end -= 1;
                continue;
            }
            // Neighbouring axes are summed as one.
            let start = (0..end).rev().take_while(|&k| stretched(k)).last();
            let start = start.expect("the last one is stretched");
            sum = sum.sum_middle(&axes, start..end);
            axes[start..end].fill(1);
            end = start;
        }
        sum.reshape(from)
    }
    /// The sum over neighbouring axes of a value whose elements are those of these axes.
    fn sum_middle(self, axes: &[usize], summed: Range<usize>) -> Term<'a> {
        let product = |part: &[usize]| part.iter().product::<usize>();
        let before = product(&axes[..summed.start]);
        let (n, after) = (product(&axes[summed.clone()]), product(&axes[summed.end..]));
        match (before, after) {
            (1, 1) => self.sum(),
            (1, _) => (self.reshape(Shape::Matrix(n, after))).reduce_axis(Reduction::Sum, 0),
            (_, 1) => (self.reshape(Shape::Matrix(before, n))).reduce_axis(Reduction::Sum, 1),
            _ => (self.reshape(Shape::Tensor(before, n, after))).reduce_axis(Reduction::Sum, 1),
        }
    }
    /// See [`Algebra::sum`].
    pub(crate) fn sum(self) -> Term<'a> {
        self.with(|a| a.sum(self.value))
    }
    /// See [`Algebra::broadcast`].
    pub(crate) fn broadcast(self, shape: Shape) -> Term<'a> {
        self.with(|a| a.broadcast(self.value, shape))
    }
    /// See [`Algebra::spread`].
    pub(crate) fn spread(self, to: Domain) -> Term<'a> {
        self.with(|a| a.spread(self.value, to))
    }
    /// See [`Algebra::sum_to`].
    pub(crate) fn sum_to(self, to: Domain) -> Term<'a> {
        self.with(|a| a.sum_to(self.value, to))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl<'a> ops::$trait for Term<'a> {
            type Output = Term<'a>;
            fn $method(self, other: Term<'a>) -> Term<'a> {
                self.map2(Map::$trait, other)
            }
        }
        impl<'a> ops::$trait<f64> for Term<'a> {
            type Output = Term<'a>;
            fn $method(self, other: f64) -> Term<'a> {
                self.map2(Map::$trait, self.constant(other))
            }
        }
    )*};
}
operators!(Add add, Sub sub, Mul mul, Div div);

impl<'a> ops::Neg for Term<'a> {
    type Output = Term<'a>;
    fn neg(self) -> Term<'a> {
        self.map(Map::Neg)
    }
}
