//! [`Algebra`]: anything that can apply an op to values. The tape, its backward program and the graph implement it, so
//! that derivative rules and composite functions are written once.

use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::ty::{Domain, Shape, Type};

/// A handle of a value in the [`Algebra`] that created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

impl Value {
    /// The handle as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Applies ops to values. Implementers provide [`op`](Algebra::op) and [`ty`](Algebra::ty); the rest follows.
pub trait Algebra {
    /// Applies `op`. The operands must fit (see [`Op::infer`]): rules are applied to checked values only.
    fn op(&mut self, op: Op, xs: &[Value]) -> Value;
    /// Shape and domain of a value.
    fn ty(&self, v: Value) -> Type;

    /// An element-wise op.
    fn op_map(&mut self, m: Map, xs: &[Value]) -> Value {
        self.op(Op::Map(m), xs)
    }
    /// An element-wise op of one operand.
    fn map1(&mut self, m: Map, x: Value) -> Value {
        self.op(Op::Map(m), &[x])
    }
    /// An element-wise op of two operands.
    fn map2(&mut self, m: Map, a: Value, b: Value) -> Value {
        self.op(Op::Map(m), &[a, b])
    }
    /// a · b, element by element.
    fn mul(&mut self, a: Value, b: Value) -> Value {
        self.map2(Map::Mul, a, b)
    }
    /// A constant of the given shape.
    fn constant(&mut self, value: f64, shape: Shape) -> Value {
        self.op(Op::constant(value, shape), &[])
    }
    /// Zeros of a derivative ([`Op::Zeros`]): unlike a constant 0 they stay 0 whatever they are multiplied by.
    fn zeros(&mut self, shape: Shape) -> Value {
        self.op(Op::Zeros(shape), &[])
    }
    /// A scalar repeated to `shape`; the value itself if it has that shape.
    fn broadcast(&mut self, v: Value, shape: Shape) -> Value {
        if self.ty(v).shape == shape {
            v
        } else {
            self.op(Op::Broadcast(shape), &[v])
        }
    }
    /// The sum of all elements per example, a scalar.
    fn sum(&mut self, v: Value) -> Value {
        if self.ty(v).shape == Shape::Scalar {
            v
        } else {
            self.op(Op::Reduce(Reduction::Sum), &[v])
        }
    }
    /// The value extended to the domain `to`, which contains its own: it is the same at every point of `to`.
    fn spread(&mut self, v: Value, to: Domain) -> Value {
        if self.ty(v).domain == to {
            v
        } else {
            self.op(Op::Spread(to), &[v])
        }
    }
    /// The sum over the part of the value's domain that `to` lacks.
    fn sum_to(&mut self, v: Value, to: Domain) -> Value {
        if self.ty(v).domain == to {
            v
        } else {
            self.op(Op::SumTo(to), &[v])
        }
    }
}
