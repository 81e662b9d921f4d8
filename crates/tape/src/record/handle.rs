//! [`Var`], and the tape that it is on.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

use super::{Appender, Recorder};
use crate::algebra::Value;
use crate::compose::Composite;
use crate::error::TapeError;
use crate::map::Map;
use crate::op::{Number, Op};
use crate::tape::{Place, describe};
use crate::term::{SharedAlgebra, Term};
use crate::ty::{Shape, Type};

/// A handle of a recorded value; operators on it record more.
///
/// ```
/// use retrograd_tape::{Recorder, Shape};
///
/// let r = Recorder::new();
/// let w = r.param("w", Shape::Vector(2));
/// let bowl = (0.5 * w.square() + 1.0).sum().named("bowl");
/// assert_eq!((bowl.shape(), bowl.name().as_deref()), (Some(Shape::Scalar), Some("bowl")));
/// r.output("y", bowl);
/// let (value, gradient) = r.finish("bowl")?.value_and_gradient(&[&[1.0, 2.0]])?;
/// assert_eq!((value, &gradient[0][..]), (4.5, &[1.0, 2.0][..]));
/// # Ok::<(), retrograd_tape::TapeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Var<'t> {
    source: VarSource<'t>,
}

#[derive(Clone, Copy)]
enum VarSource<'t> {
    /// A value of a tape; without one it is poison, and an error has been recorded.
    On(&'t Recorder, Option<Value>),
    /// On no tape, because no operands determined one: poison, and the next use of it records the error.
    Nowhere(&'static Location<'static>),
}

impl fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tape(), self.value()) {
            (Some(tape), Some(v)) => {
                let nodes = &tape.inner.borrow().nodes;
                write!(f, "{}: {}", describe(nodes, v), nodes[v.index()].ty)
            }
            _ => write!(f, "poison"),
        }
    }
}

impl Recorder {
    /// The value of `v`; none if it is poison or not on this tape, which is then an error in the call of `op`.
    pub(super) fn own(
        &self,
        op: &str,
        v: Var<'_>,
        at: &'static Location<'static>,
    ) -> Option<Value> {
        let error = match v.source {
            VarSource::On(tape, value) if std::ptr::eq(tape, self) => return value,
            VarSource::On(tape, value) => TapeError::TwoTapes {
                op: op.into(),
                value: match value {
                    Some(v) => describe(&tape.inner.borrow().nodes, v),
                    None => "a mistaken value".into(),
                },
                at: *at,
            },
            VarSource::Nowhere(at) => TapeError::Empty {
                name: "concat".into(),
                needs: "at least one value",
                at: *at,
            },
        };
        self.fail(error).value()
    }
}

impl Recorder {
    /// Says which place of a text everything is recorded from until the next call; returns the place before.
    pub fn at_place(&self, place: Option<Place>) -> Option<Place> {
        std::mem::replace(&mut self.inner.borrow_mut().place, place)
    }

    /// The values, all of one shape: scalars, and axes of length 1 of operands of the same rank, are broadcast.
    /// None after a mistake.
    fn of_one_shape(
        &self,
        mut values: Vec<Value>,
        at: &'static Location<'static>,
    ) -> Option<Vec<Value>> {
        let shape = |v: &Value| self.inner.borrow().nodes[v.index()].ty.shape;
        if let Some(wide) = common(values.iter().map(shape)) {
            for v in values.iter_mut().filter(|v| repeats_to(shape(v), wide)) {
                *v = self.record(Op::Broadcast(wide), &[*v], at).value()?;
            }
        }
        Some(values)
    }

    /// Records a composite function of operands that fit.
    fn compose(
        &self,
        xs: &[Value],
        at: &'static Location<'static>,
        f: impl for<'a> FnOnce(&[Term<'a>]) -> Term<'a>,
    ) -> Var<'_> {
        let mut inner = self.inner.borrow_mut();
        let value = inner.room(at).map(|()| {
            let inner = &mut inner;
            let mut appender = Appender { inner, at };
            let algebra: SharedAlgebra<'_> = RefCell::new(&mut appender);
            let xs: Vec<Term<'_>> = xs.iter().map(|&x| Term::new(&algebra, x)).collect();
            f(&xs).value
        });
        Var::on(self, value)
    }
}

impl<'t> Var<'t> {
    pub(super) fn on(tape: &'t Recorder, value: Option<Value>) -> Var<'t> {
        Var {
            source: VarSource::On(tape, value),
        }
    }

    /// The tape that the value is on; `None` for a [`concat`](Var::concat) of nothing, which is on none.
    pub fn tape(self) -> Option<&'t Recorder> {
        match self.source {
            VarSource::On(tape, _) => Some(tape),
            VarSource::Nowhere(_) => None,
        }
    }

    /// The value's handle; `None` after a mistake.
    pub fn value(self) -> Option<Value> {
        match self.source {
            VarSource::On(_, value) => value,
            VarSource::Nowhere(_) => None,
        }
    }

    /// Shape and domain; `None` after a mistake.
    pub(crate) fn ty(self) -> Option<Type> {
        let (tape, v) = self.tape().zip(self.value())?;
        Some(tape.inner.borrow().nodes[v.index()].ty)
    }

    /// Shape per example; `None` after a mistake.
    pub fn shape(self) -> Option<Shape> {
        self.ty().map(|ty| ty.shape)
    }

    /// Names the value for messages and print-outs.
    pub fn named(self, name: &str) -> Var<'t> {
        if let Some((tape, v)) = self.tape().zip(self.value()) {
            let mut inner = tape.inner.borrow_mut();
            inner.nodes[v.index()]
                .name
                .get_or_insert_with(|| name.into());
        }
        self
    }

    /// Says where an input's numbers lie: `range.start` ≤ x < `range.end`. Tests draw them from there
    /// ([`generate::inputs`](crate), with the feature `generate`), and [`gradcheck`](crate::gradcheck) does not move them
    /// out of it. What a run is given is not checked, and an index needs no range: its table says it.
    ///
    /// ```
    /// use retrograd_tape::{InputRole, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let share = r.input("share", InputRole::Sequence, Shape::Vector(3)).bounded(0.0..1.0);
    /// r.output("surprise", -share.ln());
    /// assert_eq!(r.finish("surprise")?.inputs()[0].range, Some(0.0..1.0));
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Scalar);
    /// r.output("y", (2.0 * x).bounded(0.0..1.0)); // no input
    /// assert!(r.finish("wrong").is_err());
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    #[track_caller]
    pub fn bounded(self, range: Range<f64>) -> Var<'t> {
        let at = Location::caller();
        let Some((tape, v)) = self.tape().zip(self.value()) else {
            return self;
        };
        let mut inner = tape.inner.borrow_mut();
        let finite = range.start.is_finite() && range.end.is_finite();
        if let Op::Input { id, .. } = inner.nodes[v.index()].op
            && finite
            && range.start < range.end
        {
            inner.inputs[id].range = Some(range);
            return self;
        }
        let what = describe(&inner.nodes, v);
        inner.fail(TapeError::InputRange {
            what,
            from: Number(range.start),
            to: Number(range.end),
            at: *at,
        });
        Var::on(tape, None)
    }

    /// The value's name, if it has one.
    pub fn name(self) -> Option<Arc<str>> {
        let (tape, v) = self.tape().zip(self.value())?;
        tape.inner.borrow().nodes[v.index()].name.clone()
    }

    /// Applies the composite function `name` to a vector or a scalar.
    pub(crate) fn compose(
        self,
        name: &str,
        at: &'static Location<'static>,
        f: impl for<'a> FnOnce(Term<'a>) -> Term<'a>,
    ) -> Var<'t> {
        let Some((tape, v)) = self.tape().zip(self.value()) else {
            return self;
        };
        match self.is_vector(name, at) {
            true => tape.compose(&[v], at, |x| f(x[0])),
            false => Var::on(tape, None),
        }
    }

    /// Records a mistake if it has more than one axis.
    pub(crate) fn is_vector(self, name: &str, at: &'static Location<'static>) -> bool {
        let (Some((tape, v)), Some(ty)) = (self.tape().zip(self.value()), self.ty()) else {
            return true;
        };
        if ty.shape.rank() <= 1 {
            return true;
        }
        let mut inner = tape.inner.borrow_mut();
        let what = describe(&inner.nodes, v);
        inner.fail(TapeError::TypeMismatch {
            op: name.into(),
            operands: format!("{what} is {} {}", ty.shape, ty.domain),
            expected: format!("it should be a vector: `{name}_axis` is told along which axis"),
            at: *at,
        });
        false
    }

    /// No value, of the same tape.
    pub(crate) fn nothing(self) -> Var<'t> {
        self.tape().map_or(self, |tape| Var::on(tape, None))
    }

    /// Records that a composite function has an attribute out of its bounds.
    pub(crate) fn refuse_attribute(
        self,
        c: &Composite,
        (name, found): (&str, f64),
        at: &'static Location<'static>,
    ) -> Var<'t> {
        if let Some(tape) = self.tape() {
            let (low, high) = c.bounds;
            let expected = match (low, high) {
                (0.0, f64::INFINITY) => "it should be more than 0".to_owned(),
                (0.0, high) => format!("it should be more than 0 and less than {high}"),
                (_, high) => format!("it should be at least 0 and less than {high}"),
            };
            tape.inner.borrow_mut().fail(TapeError::TypeMismatch {
                op: c.name.into(),
                operands: format!("{name} is {found}"),
                expected,
                at: *at,
            });
        }
        self.nothing()
    }

    /// Applies a composite function of one number of each operand; scalars are broadcast as in [`Var::apply`].
    pub(crate) fn compose_each(
        name: &str,
        xs: &[Var<'t>],
        at: &'static Location<'static>,
        f: impl for<'a> FnOnce(&[Term<'a>]) -> Term<'a>,
    ) -> Var<'t> {
        let Some(tape) = xs.iter().find_map(|x| x.tape()) else {
            return xs[0];
        };
        let Some(values) = tape
            .own_all(name, xs, at)
            .and_then(|v| tape.of_one_shape(v, at))
        else {
            return Var::on(tape, None);
        };
        let mut inner = tape.inner.borrow_mut();
        let types: Vec<Type> = (values.iter()).map(|v| inner.nodes[v.index()].ty).collect();
        let misfit = |i: usize| {
            let both = [types[0], types[i]];
            Some((i, Op::Map(Map::Sub).infer(&both).err()?))
        };
        if let Some((other, misfit)) = (1..types.len()).find_map(misfit) {
            let what = |i: usize| describe(&inner.nodes, values[if i == 0 { 0 } else { other }]);
            let operand = |i: usize| format!("{} is {}", what(i), types[i].describe());
            let error = TapeError::TypeMismatch {
                op: name.into(),
                operands: format!("{}, {}", operand(0), operand(other)),
                expected: misfit.describe(what),
                at: *at,
            };
            inner.fail(error);
            return Var::on(tape, None);
        }
        drop(inner);
        tape.compose(&values, at, f)
    }

    /// Applies the composite function `name` to a value that must have this axis.
    pub(crate) fn compose_along(
        self,
        name: &str,
        axis: usize,
        at: &'static Location<'static>,
        f: impl for<'a> FnOnce(Term<'a>) -> Term<'a>,
    ) -> Var<'t> {
        let (Some((tape, v)), Some(ty)) = (self.tape().zip(self.value()), self.ty()) else {
            return self;
        };
        if ty.shape.axis(axis).is_none() {
            return self.misfit(name, &format!("a value with an axis {axis}"), at);
        }
        tape.compose(&[v], at, |x| f(x[0]))
    }

    /// Records that this value does not fit `op`; poison.
    pub(crate) fn misfit(
        self,
        op: &str,
        expected: &str,
        at: &'static Location<'static>,
    ) -> Var<'t> {
        self.misfit_of(op, &[self], &format!("it should be {expected}"), at)
    }

    /// Records that values do not fit `op`; poison.
    pub(crate) fn misfit_of(
        self,
        op: &str,
        xs: &[Var<'t>],
        expected: &str,
        at: &'static Location<'static>,
    ) -> Var<'t> {
        let Some(tape) = self.tape() else {
            return self;
        };
        let mut inner = tape.inner.borrow_mut();
        let shown = xs.iter().filter_map(|x| match x.source {
            VarSource::On(_, Some(v)) => {
                let ty = inner.nodes[v.index()].ty;
                Some(format!(
                    "{} is {}",
                    describe(&inner.nodes, v),
                    ty.describe()
                ))
            }
            VarSource::On(_, None) | VarSource::Nowhere(_) => None,
        });
        let operands: Vec<String> = shown.collect();
        inner.fail(TapeError::TypeMismatch {
            op: op.into(),
            operands: operands.join(", "),
            expected: expected.into(),
            at: *at,
        });
        Var::on(tape, None)
    }

    /// Applies an op at the user's line `at`. Scalars are repeated to the shape of the other element-wise operands, and
    /// axes of length 1 to those of others of the same rank.
    pub(crate) fn apply(op: Op, xs: &[Var<'t>], at: &'static Location<'static>) -> Var<'t> {
        let Some(tape) = xs.iter().find_map(|x| x.tape()) else {
            return xs.first().copied().unwrap_or(Var {
                source: VarSource::Nowhere(at),
            });
        };
        let values = tape.own_all(op.name(), xs, at);
        let values = match op {
            Op::Map(_) => values.and_then(|v| tape.of_one_shape(v, at)),
            _ => values,
        };
        match values {
            Some(values) => tape.record(op, &values, at),
            None => Var::on(tape, None),
        }
    }
}

/// The shape that element-wise operands are repeated to: that of the first that is no scalar, with the greater
/// lengths of others of its rank where an axis is 1.
fn common(shapes: impl Iterator<Item = Shape>) -> Option<Shape> {
    let wide = shapes.filter(|s| *s != Shape::Scalar);
    wide.reduce(|a, b| {
        if a.rank() != b.rank() {
            return a;
        }
        (0..a.rank()).fold(a, |shape, axis| match (a.axis(axis), b.axis(axis)) {
            (Some(1), Some(n)) => shape.with_axis(axis, n),
            _ => shape,
        })
    })
}

/// True if a value of another shape can be repeated to this one. What cannot is an error of the op.
fn repeats_to(own: Shape, to: Shape) -> bool {
    let fits = |axis: usize| own.axis(axis) == Some(1) || own.axis(axis) == to.axis(axis);
    let stretches = own.rank() == to.rank() && (0..own.rank()).all(fits);
    own != to && (own == Shape::Scalar || stretches)
}
