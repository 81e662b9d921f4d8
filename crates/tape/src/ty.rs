//! Types of values: the shape that one example has at one time step, and the domain the value varies over.
//!
//! Batch and time are never part of a [`Shape`]; they are the [`Domain`].

use std::fmt;

use smallvec::{SmallVec, smallvec};

/// The shape of a value per example: a scalar, a vector of n, a row-major matrix of m rows and n columns, or h such
/// matrices, one after another.
///
/// ```
/// use retrograd_tape::Shape;
///
/// let weights = Shape::Matrix(8, 3);
/// assert_eq!((weights.len(), weights.rank(), weights.axis(1)), (24, 2, Some(3)));
/// assert_eq!(weights.to_string(), "[8,3]");
/// let heads = Shape::Tensor(4, 8, 3);
/// assert_eq!((heads.len(), heads.rank(), heads.without_axis(0)), (96, 3, Some(weights)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// One number.
    Scalar,
    /// `[n]`
    Vector(usize),
    /// `[m, n]`, row-major.
    Matrix(usize, usize),
    /// `[h, m, n]`, row-major: h matrices, say one per head.
    Tensor(usize, usize, usize),
}

impl Shape {
    /// The greatest rank that a shape can have.
    pub const MAX_RANK: usize = 3;

    /// The number of elements of a value of this shape; saturates at `usize::MAX`.
    pub fn len(self) -> usize {
        match self {
            Shape::Scalar => 1,
            Shape::Vector(n) => n,
            Shape::Matrix(m, n) => m.saturating_mul(n),
            Shape::Tensor(h, m, n) => h.saturating_mul(m).saturating_mul(n),
        }
    }

    /// True for a shape without elements, such as a vector of length 0.
    pub fn is_empty(self) -> bool {
        match self {
            Shape::Scalar => false,
            Shape::Vector(n) => n == 0,
            Shape::Matrix(m, n) => m == 0 || n == 0,
            Shape::Tensor(h, m, n) => h == 0 || m == 0 || n == 0,
        }
    }

    /// How many axes the shape has: 0 to 3.
    pub fn rank(self) -> usize {
        match self {
            Shape::Scalar => 0,
            Shape::Vector(_) => 1,
            Shape::Matrix(..) => 2,
            Shape::Tensor(..) => 3,
        }
    }

    /// The shape with these lengths, outermost first; `None` for more than three.
    pub fn from_axes(axes: &[usize]) -> Option<Shape> {
        match *axes {
            [] => Some(Shape::Scalar),
            [n] => Some(Shape::Vector(n)),
            [m, n] => Some(Shape::Matrix(m, n)),
            [h, m, n] => Some(Shape::Tensor(h, m, n)),
            _ => None,
        }
    }

    /// The lengths of the axes, outermost first.
    pub fn axes(self) -> SmallVec<[usize; 3]> {
        match self {
            Shape::Scalar => smallvec![],
            Shape::Vector(n) => smallvec![n],
            Shape::Matrix(m, n) => smallvec![m, n],
            Shape::Tensor(h, m, n) => smallvec![h, m, n],
        }
    }

    /// The length along `axis`, if there is such an axis.
    pub fn axis(self, axis: usize) -> Option<usize> {
        match (self, axis) {
            (Shape::Vector(n), 0) | (Shape::Matrix(n, _), 0) | (Shape::Matrix(_, n), 1) => Some(n),
            (Shape::Tensor(n, ..), 0) | (Shape::Tensor(_, n, _), 1) | (Shape::Tensor(.., n), 2) => {
                Some(n)
            }
            _ => None,
        }
    }

    /// The same shape with `len` along `axis`; an axis beyond its rank changes nothing.
    pub fn with_axis(self, axis: usize, len: usize) -> Shape {
        match (self, axis) {
            (Shape::Vector(_), 0) => Shape::Vector(len),
            (Shape::Matrix(_, n), 0) => Shape::Matrix(len, n),
            (Shape::Matrix(m, _), 1) => Shape::Matrix(m, len),
            (Shape::Tensor(_, m, n), 0) => Shape::Tensor(len, m, n),
            (Shape::Tensor(h, _, n), 1) => Shape::Tensor(h, len, n),
            (Shape::Tensor(h, m, _), 2) => Shape::Tensor(h, m, len),
            _ => self,
        }
    }

    /// The shape without `axis`, if there is such an axis.
    pub fn without_axis(self, axis: usize) -> Option<Shape> {
        let mut axes = self.axes();
        (axis < axes.len()).then(|| axes.remove(axis))?;
        Shape::from_axes(&axes)
    }

    /// The products of the lengths before `axis` and after it: seen as `[before, len, after]`, every axis is a middle
    /// one. Both saturate at `usize::MAX`.
    pub fn around(self, axis: usize) -> (usize, usize) {
        let axes = self.axes();
        let product = |part: &[usize]| part.iter().fold(1usize, |a, &n| a.saturating_mul(n));
        let axis = axis.min(axes.len());
        let after = axes.get(axis + 1..).map_or(1, product);
        (product(&axes[..axis]), after)
    }

    /// `[rows, columns]` of the shape seen as a matrix: a vector is one row, and the matrices of a tensor stand one
    /// below the other.
    pub fn as_matrix(self) -> (usize, usize) {
        match self {
            Shape::Scalar => (1, 1),
            Shape::Vector(n) => (1, n),
            Shape::Matrix(m, n) => (m, n),
            Shape::Tensor(h, m, n) => (h.saturating_mul(m), n),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Scalar => write!(f, "[]"),
            Shape::Vector(n) => write!(f, "[{n}]"),
            Shape::Matrix(m, n) => write!(f, "[{m},{n}]"),
            Shape::Tensor(h, m, n) => write!(f, "[{h},{m},{n}]"),
        }
    }
}

/// The points that a value varies over. The order is by inclusion: `Once < Row < Step` and `Row < BoundarySlots(k)`.
///
/// An operation on values of several domains happens in their [`join`](Domain::join): a value of a lower domain is the
/// same for every point of a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// A single value: parameters and values that depend on parameters alone.
    Once,
    /// One value per example: static inputs.
    Row,
    /// One value per example and boundary slot: the `k` steps before a sequence's beginning (or after its end) that a
    /// delay by `k` reads.
    BoundarySlots(usize),
    /// One value per example and time step.
    Step,
}

impl Domain {
    /// The least domain that contains both; none for boundary slots and steps, which have no common one.
    pub fn join(self, other: Domain) -> Option<Domain> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Domain::Once, d) | (d, Domain::Once) => Some(d),
            (Domain::Row, d) | (d, Domain::Row) => Some(d),
            _ => None,
        }
    }

    /// The number of steps of a domain in a run of `t`: a boundary slot counts as one, and a domain without steps has one.
    #[inline]
    pub fn steps(self, t: usize) -> usize {
        match self {
            Domain::Once | Domain::Row => 1,
            Domain::BoundarySlots(k) => k,
            Domain::Step => t,
        }
    }

    /// The number of rows of a domain at each of its steps in a run of `b`.
    #[inline]
    pub fn rows(self, b: usize) -> usize {
        match self {
            Domain::Once => 1,
            Domain::Row | Domain::BoundarySlots(_) | Domain::Step => b,
        }
    }

    /// The number of points of a domain at `t` steps of `b` rows; saturates at `usize::MAX`.
    #[inline]
    pub fn points(self, t: usize, b: usize) -> usize {
        self.steps(t).saturating_mul(self.rows(b))
    }

    /// True if every value of this domain is also one of `other`.
    pub fn within(self, other: Domain) -> bool {
        self.join(other) == Some(other)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Once => write!(f, "once"),
            Domain::Row => write!(f, "row"),
            Domain::BoundarySlots(k) => write!(f, "slots {k}"),
            Domain::Step => write!(f, "step"),
        }
    }
}

/// Shape and domain together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type {
    /// Shape per example.
    pub shape: Shape,
    /// The domain that the value varies over.
    pub domain: Domain,
}

impl Type {
    /// A type from its two parts.
    pub fn new(shape: Shape, domain: Domain) -> Type {
        Type { shape, domain }
    }

    /// The number of elements of a value at `t` steps of `b` rows; saturates at `usize::MAX`.
    #[inline]
    pub fn numbers(self, t: usize, b: usize) -> usize {
        self.domain.points(t, b).saturating_mul(self.shape.len())
    }

    /// For messages: `[3] over steps`.
    pub fn describe(self) -> String {
        let shape = self.shape;
        match self.domain {
            Domain::Once => shape.to_string(),
            Domain::Row => format!("{shape} over rows"),
            Domain::BoundarySlots(1) => format!("{shape} over rows, before or after all steps"),
            Domain::BoundarySlots(k) => {
                format!("{shape} over rows, {k} times before or after all steps")
            }
            Domain::Step => format!("{shape} over steps"),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.domain, self.shape)
    }
}
