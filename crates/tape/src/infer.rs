//! The type of an op's result, and the reasons why operands may not fit.

use std::fmt;

use crate::op::Op;
use crate::ty::{Domain, Shape, Type};

/// Why operands do not fit an op. The caller adds which node and where.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeMismatch {
    /// The wrong number of operands.
    Arity {
        /// The number that the op takes.
        expected: usize,
    },
    /// Shapes that do not match: the operand's index and the shape that would fit.
    Shape {
        /// Which operand.
        operand: usize,
        /// What would fit.
        expected: String,
    },
    /// Domains that do not match.
    Domain {
        /// Which operand.
        operand: usize,
        /// What would fit.
        expected: String,
    },
}

impl TypeMismatch {
    /// The type that would fit; `name` gives each operand's name.
    pub fn describe(&self, name: impl Fn(usize) -> String) -> String {
        match self {
            TypeMismatch::Arity { expected } => format!("it takes {expected} operands"),
            TypeMismatch::Shape { operand, expected }
            | TypeMismatch::Domain { operand, expected } => {
                format!("{} should be {expected}", name(*operand))
            }
        }
    }
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(|operand| format!("operand {operand}")))
    }
}

fn bad_shape<T>(operand: usize, expected: impl ToString) -> Result<T, TypeMismatch> {
    let expected = expected.to_string();
    Err(TypeMismatch::Shape { operand, expected })
}

fn bad_domain<T>(operand: usize, expected: impl ToString) -> Result<T, TypeMismatch> {
    let expected = expected.to_string();
    Err(TypeMismatch::Domain { operand, expected })
}

impl Op {
    /// The type of the result, or why the operands do not fit.
    pub fn infer(&self, xs: &[Type]) -> Result<Type, TypeMismatch> {
        let fits = match self.arity() {
            Some(n) => xs.len() == n,
            None => !xs.is_empty(),
        };
        if !fits {
            let expected = self.arity().unwrap_or(1);
            return Err(TypeMismatch::Arity { expected });
        }
        match *self {
            Op::Input { ty, .. } => Ok(ty),
            Op::Delay(d) | Op::Boundary(d) => self.infer_delay(d, xs),
            _ => {
                let mut joined = Domain::Once;
                for (i, x) in xs.iter().enumerate() {
                    joined = match joined.join(x.domain) {
                        Some(d) => d,
                        None => return bad_domain(i, format!("a domain that goes with {joined}")),
                    };
                }
                let shape = self.infer_shape(xs)?;
                let to = match *self {
                    Op::Outer { to } | Op::SumTo(to) if !to.within(joined) => {
                        return bad_domain(0, format!("a domain that contains {to}"));
                    }
                    Op::Scatter { to, .. } if !to.within(joined) => {
                        return bad_domain(1, format!("a domain that contains {to}"));
                    }
                    Op::Spread(to) if !joined.within(to) => {
                        return bad_domain(0, format!("a domain within {to}"));
                    }
                    Op::Outer { to } | Op::SumTo(to) | Op::Scatter { to, .. } | Op::Spread(to) => {
                        to
                    }
                    _ => joined,
                };
                Ok(Type::new(shape, to))
            }
        }
    }

    fn infer_delay(&self, d: i32, xs: &[Type]) -> Result<Type, TypeMismatch> {
        let slots = Domain::BoundarySlots(d.unsigned_abs() as usize);
        if d == 0 {
            return bad_domain(0, "a delay other than 0");
        }
        if xs[0].domain != Domain::Step {
            return bad_domain(0, "a value of each step");
        }
        if !xs[1].domain.within(slots) {
            return bad_domain(1, format!("a value of {slots} or less"));
        }
        if xs[1].shape != xs[0].shape {
            return bad_shape(1, xs[0].shape);
        }
        let domain = match self {
            Op::Delay(_) => Domain::Step,
            _ => slots,
        };
        Ok(Type::new(xs[0].shape, domain))
    }

    /// The shape of an op's result, given the right number of operands.
    fn infer_shape(&self, xs: &[Type]) -> Result<Shape, TypeMismatch> {
        let shape = |i: usize| xs[i].shape;
        let scalar = |i: usize| match shape(i) {
            Shape::Scalar => Ok(()),
            _ => bad_shape(i, "a scalar"),
        };
        let vector = |i: usize| match shape(i) {
            Shape::Vector(n) => Ok(n),
            _ => bad_shape(i, "a vector"),
        };
        let matrix = |i: usize| match shape(i) {
            Shape::Matrix(m, n) => Ok((m, n)),
            _ => bad_shape(i, "a matrix"),
        };
        Ok(match *self {
            Op::Constant { shape, .. } | Op::Zeros(shape) => shape,
            Op::Map(_) | Op::Dot => {
                if let Some(i) = (1..xs.len()).find(|&i| shape(i) != shape(0)) {
                    return bad_shape(i, shape(0));
                }
                match self {
                    Op::Dot => Shape::Scalar,
                    _ => shape(0),
                }
            }
            Op::Reduce(_) if shape(0).is_empty() => return bad_shape(0, "at least one element"),
            Op::Reduce(_) => Shape::Scalar,
            Op::ReduceAxis { axis, .. } => match shape(0).without_axis(axis) {
                Some(_) if shape(0).is_empty() => return bad_shape(0, "at least one element"),
                Some(rest) => rest,
                None => return bad_shape(0, format!("a value with an axis {axis}")),
            },
            Op::Broadcast(to) => stretched(shape(0), to).map(|()| to)?,
            Op::Concat { axis } => {
                let mut total = 0;
                for (i, x) in xs.iter().enumerate() {
                    let Some(n) = x.shape.axis(axis) else {
                        return bad_shape(i, format!("a value with an axis {axis}"));
                    };
                    total = n.saturating_add(total);
                    if x.shape.with_axis(axis, 0) != shape(0).with_axis(axis, 0) {
                        return bad_shape(i, format!("{} but for axis {axis}", shape(0)));
                    }
                }
                shape(0).with_axis(axis, total)
            }
            Op::Slice { axis, start, len } => match shape(0).axis(axis) {
                Some(n) if len > 0 && start.checked_add(len).is_some_and(|end| end <= n) => {
                    shape(0).with_axis(axis, len)
                }
                _ => {
                    let needed = start.saturating_add(len.max(1));
                    return bad_shape(0, format!("at least {needed} along axis {axis}"));
                }
            },
            Op::Reshape(to) if to.len() != shape(0).len() => {
                return bad_shape(0, format!("{} elements", to.len()));
            }
            Op::Reshape(to) => to,
            Op::Transpose(order) => match order.apply(shape(0)) {
                Some(moved) => moved,
                None => return bad_shape(0, format!("a value of {} axes", order.moves())),
            },
            Op::MatVec { transposed } => matvec(shape(0), shape(1), transposed)?,
            Op::Outer { .. } => outer(shape(0), shape(1))?,
            Op::Gather => {
                let (rows, n) = matrix(0)?;
                if rows == 0 {
                    return bad_shape(0, "a matrix with rows");
                }
                scalar(1).map(|()| Shape::Vector(n))?
            }
            Op::Scatter { rows, .. } => {
                scalar(0)?;
                Shape::Matrix(rows, vector(1)?)
            }
            Op::Input { .. } | Op::Delay(_) | Op::Boundary(_) | Op::Spread(_) | Op::SumTo(_) => {
                shape(0)
            }
        })
    }
}

/// Checks that a value can be repeated to the shape `to`: a scalar, or one whose axes are equal or 1.
fn stretched(from: Shape, to: Shape) -> Result<(), TypeMismatch> {
    let fits = |(&a, &b): (&usize, &usize)| a == b || a == 1;
    if from == Shape::Scalar
        || from.rank() == to.rank() && from.axes().iter().zip(&to.axes()).all(fits)
    {
        return Ok(());
    }
    match to.rank() {
        0 => bad_shape(0, "a scalar"),
        _ => bad_shape(0, format!("a scalar, or {to} with any of its axes 1")),
    }
}

/// The shape of M·v, or of Mᵀ·v.
fn matvec(m: Shape, v: Shape, transposed: bool) -> Result<Shape, TypeMismatch> {
    let sides = |m, n| if transposed { (n, m) } else { (m, n) };
    let (inner, out) = match m {
        Shape::Matrix(m, n) => {
            let (out, inner) = sides(m, n);
            (Shape::Vector(inner), Shape::Vector(out))
        }
        Shape::Tensor(h, m, n) => {
            let (out, inner) = sides(m, n);
            (Shape::Matrix(h, inner), Shape::Matrix(h, out))
        }
        Shape::Scalar | Shape::Vector(_) => {
            return bad_shape(0, "a matrix, or several along a first axis");
        }
    };
    if v != inner {
        return bad_shape(1, inner);
    }
    Ok(out)
}

/// The shape of a bᵀ.
fn outer(a: Shape, b: Shape) -> Result<Shape, TypeMismatch> {
    match (a, b) {
        (Shape::Vector(m), Shape::Vector(n)) => Ok(Shape::Matrix(m, n)),
        (Shape::Vector(_), _) => bad_shape(1, "a vector"),
        (Shape::Matrix(h, m), Shape::Matrix(k, n)) if h == k => Ok(Shape::Tensor(h, m, n)),
        (Shape::Matrix(h, _), _) => bad_shape(1, format!("a matrix of {h} rows")),
        _ => bad_shape(0, "a vector, or several along a first axis"),
    }
}
