//! The ops of a step: their names, operands and result types. Derivatives are in [`crate::rules`] (and, for
//! element-wise ops, in the op's row of [`crate::map`]).

use std::fmt;

use smallvec::SmallVec;

use crate::map::Map;
use crate::ty::{Domain, Shape, Type};

/// An `f64` that compares and hashes by its bits, so that ops can be compared for common subexpressions.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
impl Eq for Number {}
impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.0.to_bits().hash(h);
    }
}

/// Reductions, of all elements of a value to a scalar per example or of the elements along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reduction {
    /// Σ x
    Sum,
    /// Σ x / n
    Mean,
    /// The greatest element; tied elements share the slope evenly (as PyTorch's `amax`). NaN if any is.
    Max,
}

/// An order of axes: axis k of the result is axis `axis(k)` of the operand.
///
/// ```
/// use retrograd_tape::{Permutation, Shape};
///
/// let order = Permutation::new(&[2, 0, 1]).expect("each axis is named once");
/// assert_eq!(order.apply(Shape::Tensor(4, 8, 3)), Some(Shape::Tensor(3, 4, 8)));
/// assert_eq!(order.inverse().apply(Shape::Tensor(3, 4, 8)), Some(Shape::Tensor(4, 8, 3)));
/// assert_eq!(Permutation::new(&[0, 0]), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permutation([u8; Shape::MAX_RANK]);

impl Permutation {
    /// The order that lists the operand's axes as given; axes that are not mentioned stay in place, as the last ones.
    /// `None` if the numbers given are not 0 … n - 1, each once, or are more than three.
    pub fn new(axes: &[usize]) -> Option<Permutation> {
        let mut all = [0, 1, 2];
        let named_once = |k: usize| axes.iter().filter(|&&a| a == k).count() == 1;
        if axes.len() > all.len() || !(0..axes.len()).all(named_once) {
            return None;
        }
        for (to, &axis) in all.iter_mut().zip(axes) {
            *to = axis as u8;
        }
        Some(Permutation(all))
    }

    /// The exchange of two axes.
    pub fn exchange(a: usize, b: usize) -> Option<Permutation> {
        let mut axes = [0, 1, 2];
        (a < axes.len() && b < axes.len()).then(|| axes.swap(a, b))?;
        Permutation::new(&axes)
    }

    /// Which axis of the operand becomes axis `k` of the result.
    pub fn axis(self, k: usize) -> usize {
        self.0.get(k).map_or(k, |&axis| usize::from(axis))
    }

    /// The order that leads back.
    #[must_use]
    pub fn inverse(self) -> Permutation {
        let mut back = [0; Shape::MAX_RANK];
        for k in 0..back.len() {
            back[self.axis(k)] = k as u8;
        }
        Permutation(back)
    }

    /// This order and then another one.
    #[must_use]
    pub fn then(self, next: Permutation) -> Permutation {
        Permutation([0, 1, 2].map(|k| self.axis(next.axis(k)) as u8))
    }

    /// The number of axes up to the last one that moves: 0, 2 or 3.
    pub fn moves(self) -> usize {
        (0..Shape::MAX_RANK)
            .rev()
            .find(|&k| self.axis(k) != k)
            .map_or(0, |k| k + 1)
    }

    /// The shape of the result; `None` if the operand lacks an axis that moves.
    pub fn apply(self, shape: Shape) -> Option<Shape> {
        if self.moves() > shape.rank() {
            return None;
        }
        let axes = shape.axes();
        let moved: SmallVec<[usize; 3]> = (0..axes.len()).map(|k| axes[self.axis(k)]).collect();
        Shape::from_axes(&moved)
    }
}

/// `1,0` or `0,2,1`: the axes up to the last one that moves.
impl fmt::Display for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for k in 0..self.moves().max(1) {
            let comma = if k == 0 { "" } else { "," };
            write!(f, "{comma}{}", self.axis(k))?;
        }
        Ok(())
    }
}

/// An op of the step graph.
///
/// ```
/// use retrograd_tape::{Domain, Op, Shape, Type};
///
/// let product = Op::MatVec { transposed: false };
/// let weights = Type::new(Shape::Matrix(8, 3), Domain::Once);
/// let x = Type::new(Shape::Vector(3), Domain::Step);
/// assert_eq!(product.infer(&[weights, x]), Ok(Type::new(Shape::Vector(8), Domain::Step)));
/// let misfit = product.infer(&[weights, weights]).unwrap_err();
/// assert_eq!(misfit.to_string(), "operand 1 should be [3]");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The `id`-th input of the program, of the stated type.
    Input {
        /// Index into the table of inputs.
        id: usize,
        /// Its type.
        ty: Type,
    },
    /// A constant, the same for every element; domain `once`.
    Constant {
        /// The value of every element.
        value: Number,
        /// The shape.
        shape: Shape,
    },
    /// Zeros that a derivative has where nothing depends on what is moved; domain `once`. They are 0 whatever they meet, so
    /// passes leave out what they are multiplied with; a written constant 0 obeys IEEE 754.
    Zeros(Shape),
    /// An element-wise op on operands of one shape.
    Map(Map),
    /// All elements to one scalar.
    Reduce(Reduction),
    /// The elements along one axis to one; the axis is dropped.
    ReduceAxis {
        /// What becomes of them.
        kind: Reduction,
        /// The axis.
        axis: usize,
    },
    /// Σ aᵢ·bᵢ over two values of one shape, a scalar.
    Dot,
    /// A scalar, or a value of the same rank with axes of length 1, repeated to a larger shape.
    Broadcast(Shape),
    /// Two or more values joined along an axis.
    Concat {
        /// Counted from the outermost; 1 for the columns of matrices.
        axis: usize,
    },
    /// A part of a value along an axis.
    Slice {
        /// Counted from the outermost; 1 for the columns of a matrix.
        axis: usize,
        /// First index.
        start: usize,
        /// Length, at least 1.
        len: usize,
    },
    /// The same elements, row-major, in another shape.
    Reshape(Shape),
    /// The same elements with the axes in another order.
    Transpose(Permutation),
    /// M·v of (M `[m,n]`, v `[n]`), or Mᵀ·v of (M `[m,n]`, v `[m]`). With one more axis in front of both, h such
    /// products side by side.
    MatVec {
        /// Use Mᵀ.
        transposed: bool,
    },
    /// Σ a bᵀ of (a `[m]`, b `[n]`) over all of their domain that `to` lacks: an outer product if it lacks nothing, a
    /// weight gradient if `to` is `once`. With one more axis in front of both, h such products side by side.
    Outer {
        /// The result's domain.
        to: Domain,
    },
    /// Row `round(i)` (½ to even) of M `[rows,n]` (operands M, i); an i that rounds to none of them is an error of the run.
    Gather,
    /// The adjoint of gather: Σ over what `to` lacks of the matrix that has v in row i and 0 elsewhere (operands i, v).
    Scatter {
        /// Rows of the result.
        rows: usize,
        /// The result's domain.
        to: Domain,
    },
    /// x as it was d steps earlier (later for d < 0), and init where there is no such step (operands x, init).
    /// With e = init ‖ x for d > 0: y_t = e_t. With e = x ‖ init for d < 0: y_t = e_{t+|d|}.
    Delay(i32),
    /// The |d| values that leave at the other end of a delay: e_T … e_{T+d-1} for d > 0, e_0 … e_{|d|-1} for d < 0.
    Boundary(i32),
    /// The value in a domain that contains its own.
    Spread(Domain),
    /// The sum over all of the value's domain that this one lacks.
    SumTo(Domain),
}

impl Op {
    /// True if the op gives constants when all its operands are constants: if it does not depend on an input or a state.
    pub fn is_constant_of_constants(&self) -> bool {
        !matches!(
            self,
            Op::Input { .. } | Op::Delay(_) | Op::Boundary(_) | Op::Gather | Op::Scatter { .. }
        )
    }

    /// One op of each name except inputs and element-wise ops, with minimal attributes.
    const STRUCTURAL: [Op; 23] = [
        Op::Constant {
            value: Number(0.0),
            shape: Shape::Scalar,
        },
        Op::Zeros(Shape::Scalar),
        Op::Reduce(Reduction::Sum),
        Op::Reduce(Reduction::Mean),
        Op::Reduce(Reduction::Max),
        Op::ReduceAxis {
            kind: Reduction::Sum,
            axis: 0,
        },
        Op::ReduceAxis {
            kind: Reduction::Mean,
            axis: 0,
        },
        Op::ReduceAxis {
            kind: Reduction::Max,
            axis: 0,
        },
        Op::Dot,
        Op::Broadcast(Shape::Scalar),
        Op::Concat { axis: 0 },
        Op::Slice {
            axis: 0,
            start: 0,
            len: 1,
        },
        Op::Reshape(Shape::Scalar),
        Op::Transpose(Permutation([1, 0, 2])),
        Op::MatVec { transposed: false },
        Op::MatVec { transposed: true },
        Op::Outer { to: Domain::Once },
        Op::Gather,
        Op::Scatter {
            rows: 1,
            to: Domain::Once,
        },
        Op::Delay(1),
        Op::Boundary(1),
        Op::Spread(Domain::Once),
        Op::SumTo(Domain::Once),
    ];

    /// One op of each name except inputs, with minimal attributes.
    pub fn each() -> impl Iterator<Item = Op> {
        let maps = Map::ALL.into_iter().map(Op::Map);
        maps.chain(Op::STRUCTURAL)
    }

    /// The op of this name, with minimal attributes, which readers of text replace by the actual ones.
    pub fn by_name(name: &str) -> Option<Op> {
        Op::each().find(|op| op.name() == name)
    }

    /// A constant op.
    pub fn constant(value: f64, shape: Shape) -> Op {
        Op::Constant {
            value: Number(value),
            shape,
        }
    }

    /// How many steps before the result's step operand `k` is read: the delay for a delay's first operand, else 0.
    pub fn steps_back(&self, k: usize) -> i64 {
        match *self {
            Op::Delay(d) if k == 0 => i64::from(d),
            _ => 0,
        }
    }

    /// The op's name in the text form, without its attributes.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input { .. } => "input",
            Op::Constant { .. } => "const",
            Op::Zeros(_) => "zeros",
            Op::Map(m) => m.row().name,
            Op::Reduce(Reduction::Sum) => "sum",
            Op::Reduce(Reduction::Mean) => "mean",
            Op::Reduce(Reduction::Max) => "amax",
            Op::ReduceAxis { kind, .. } => match kind {
                Reduction::Sum => "sum_axis",
                Reduction::Mean => "mean_axis",
                Reduction::Max => "amax_axis",
            },
            Op::Dot => "dot",
            Op::Broadcast(_) => "broadcast",
            Op::Concat { .. } => "concat",
            Op::Slice { .. } => "slice",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::MatVec { transposed: false } => "matvec",
            Op::MatVec { transposed: true } => "matvec_t",
            Op::Outer { .. } => "outer",
            Op::Gather => "gather",
            Op::Scatter { .. } => "scatter",
            Op::Delay(_) => "delay",
            Op::Boundary(_) => "boundary",
            Op::Spread(_) => "spread",
            Op::SumTo(_) => "sum_to",
        }
    }

    /// How many operands the op takes; `None` for "two or more".
    pub fn arity(&self) -> Option<usize> {
        match self {
            Op::Input { .. } | Op::Constant { .. } | Op::Zeros(_) => Some(0),
            Op::Map(m) => Some(m.row().arity),
            Op::Concat { .. } => None,
            Op::Dot | Op::MatVec { .. } | Op::Outer { .. } | Op::Gather | Op::Scatter { .. } => {
                Some(2)
            }
            Op::Delay(_) | Op::Boundary(_) => Some(2),
            Op::Reduce(_)
            | Op::ReduceAxis { .. }
            | Op::Broadcast(_)
            | Op::Slice { .. }
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Spread(_)
            | Op::SumTo(_) => Some(1),
        }
    }

    /// The domain in which the op does its work: that of its result, except where it sums over part of it.
    pub fn work_domain(&self, xs: &[Type]) -> Domain {
        match self {
            Op::Spread(to) => *to,
            Op::Input { ty, .. } => ty.domain,
            Op::Delay(_) => Domain::Step,
            Op::Boundary(d) => Domain::BoundarySlots(d.unsigned_abs() as usize),
            _ => xs
                .iter()
                .try_fold(Domain::Once, |d, x| d.join(x.domain))
                .unwrap_or(Domain::Step),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        match *self {
            Op::Input { id, .. } => write!(f, " {id}"),
            Op::Constant { value, .. } => write!(f, " {:?}", value.0),
            Op::Concat { axis } if axis > 0 => write!(f, " axis={axis}"),
            Op::ReduceAxis { axis, .. } => write!(f, " axis={axis}"),
            Op::Transpose(order) => write!(f, " {order}"),
            Op::Slice { axis, start, len } => {
                write!(f, " {start}..{}", start.saturating_add(len))?;
                if axis > 0 {
                    write!(f, " axis={axis}")
                } else {
                    Ok(())
                }
            }
            Op::Outer { to } | Op::Spread(to) | Op::SumTo(to) => write!(f, " {to}"),
            Op::Scatter { rows, to } => write!(f, " {rows} {to}"),
            Op::Delay(d) | Op::Boundary(d) => write!(f, " {d}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_op_is_found_by_its_name() {
        for op in Op::each() {
            assert_eq!(Op::by_name(op.name()), Some(op));
        }
    }
}
