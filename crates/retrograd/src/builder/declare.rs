//! What declarations say of states and shapes.

use retrograd_tape::{Shape, Var};

/// The delay and the initial value of a state.
///
/// ```
/// use retrograd::{Cell, StateSpec};
///
/// let cell = Cell::define("echo", |c| {
///     let x = c.input("x", 1);
///     let far = c.state_with("far", 1, StateSpec::delay(3).init_learned());
///     let next = c.next(far, x + 0.5 * far); // an echo three steps later
///     let back = c.state_with("back", 1, StateSpec::delay(-1)); // from the end of the sequence
///     c.next(back, 0.9 * back + x);
///     c.output("y", next + back);
/// })?;
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StateSpec<'t> {
    pub(super) delay: i32,
    pub(super) init: InitialState<'t>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum InitialState<'t> {
    Given,
    Learned,
    Value(Var<'t>),
}

impl<'t> StateSpec<'t> {
    /// The value `d` steps earlier; for d < 0, −d steps later, for a layer that reads the sequence from its end.
    pub fn delay(d: i32) -> StateSpec<'t> {
        StateSpec {
            delay: d,
            init: InitialState::Given,
        }
    }

    /// The initial value is a learned parameter `<state>.init`, the same for all examples. A batch cannot replace it.
    pub fn init_learned(self) -> StateSpec<'t> {
        StateSpec {
            init: InitialState::Learned,
            ..self
        }
    }

    /// The initial value is computed from static inputs, parameters or constants.
    pub fn init(self, v: Var<'t>) -> StateSpec<'t> {
        StateSpec {
            init: InitialState::Value(v),
            ..self
        }
    }
}

/// Types that convert to a shape: `()` for a scalar, `n` for a vector, `(m, n)` for a matrix of m rows, `(h, m, n)`
/// for h such matrices, and [`Shape`].
///
/// ```
/// use retrograd::{IntoShape, Shape};
///
/// assert_eq!(().into_shape(), Shape::Scalar);
/// assert_eq!(8.into_shape(), Shape::Vector(8));
/// assert_eq!((8, 3).into_shape(), Shape::Matrix(8, 3));
/// assert_eq!((4, 8, 3).into_shape(), Shape::Tensor(4, 8, 3));
/// ```
pub trait IntoShape {
    /// The shape.
    fn into_shape(self) -> Shape;
}

impl IntoShape for Shape {
    fn into_shape(self) -> Shape {
        self
    }
}
impl IntoShape for () {
    fn into_shape(self) -> Shape {
        Shape::Scalar
    }
}
impl IntoShape for usize {
    fn into_shape(self) -> Shape {
        Shape::Vector(self)
    }
}
impl IntoShape for (usize, usize) {
    fn into_shape(self) -> Shape {
        Shape::Matrix(self.0, self.1)
    }
}
impl IntoShape for (usize, usize, usize) {
    fn into_shape(self) -> Shape {
        Shape::Tensor(self.0, self.1, self.2)
    }
}
