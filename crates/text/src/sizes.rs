//! Sizes not yet known: the widths of dense layers, solved from the uses of their results.

use std::fmt;

use retrograd_tape::Shape;

use crate::source::Span;

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A number.
    Known(usize),
    /// The unknown with this number.
    Unknown(usize),
}

/// A shape whose sizes may be unknown; its number of axes is always known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Scalar,
    Vector(Size),
    Matrix(Size, Size),
    Tensor(Size, Size, Size),
}

/// Constraints on sizes other than equality.
#[derive(Clone, Debug)]
enum SizeConstraint {
    /// `total` is the sum of the parts.
    Sum { total: Size, parts: Vec<Size> },
    /// A slice ends within the size.
    AtLeast { size: Size, end: usize },
    /// Two shapes have equally many elements.
    SameCount { from: Form, to: Form },
}

/// Unknown sizes and the knowledge about them so far.
#[derive(Debug, Default)]
pub(crate) struct SizeSolver {
    /// The size that each unknown is equal to, if any.
    equal: Vec<Option<Size>>,
    needs: Vec<(SizeConstraint, Span)>,
}

impl From<Shape> for Form {
    fn from(shape: Shape) -> Form {
        match shape {
            Shape::Scalar => Form::Scalar,
            Shape::Vector(n) => Form::Vector(Size::Known(n)),
            Shape::Matrix(m, n) => Form::Matrix(Size::Known(m), Size::Known(n)),
            Shape::Tensor(h, m, n) => Form::Tensor(Size::Known(h), Size::Known(m), Size::Known(n)),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Known(n) => write!(f, "{n}"),
            Size::Unknown(_) => write!(f, "?"),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Scalar => write!(f, "a scalar"),
            Form::Vector(n) => write!(f, "[{n}]"),
            Form::Matrix(m, n) => write!(f, "[{m},{n}]"),
            Form::Tensor(h, m, n) => write!(f, "[{h},{m},{n}]"),
        }
    }
}

impl Form {
    /// The form with these sizes, at most three.
    pub(crate) fn of(sizes: &[Size]) -> Form {
        match *sizes {
            [] => Form::Scalar,
            [n] => Form::Vector(n),
            [m, n] => Form::Matrix(m, n),
            [h, m, n, ..] => Form::Tensor(h, m, n),
        }
    }

    /// The size along an axis.
    pub(crate) fn axis(self, axis: usize) -> Option<Size> {
        self.sizes().get(axis).copied()
    }

    /// How many axes the form has.
    pub(crate) fn rank(self) -> usize {
        self.sizes().len()
    }

    /// The same shape with another size along an axis.
    pub(crate) fn with_axis(self, axis: usize, n: Size) -> Form {
        let mut sizes = self.sizes();
        match sizes.get_mut(axis) {
            Some(size) => {
                *size = n;
                Form::of(&sizes)
            }
            None => self,
        }
    }

    /// The same shape without an axis.
    pub(crate) fn without_axis(self, axis: usize) -> Form {
        let mut sizes = self.sizes();
        sizes.remove(axis);
        Form::of(&sizes)
    }

    pub(crate) fn sizes(self) -> Vec<Size> {
        match self {
            Form::Scalar => vec![],
            Form::Vector(n) => vec![n],
            Form::Matrix(m, n) => vec![m, n],
            Form::Tensor(h, m, n) => vec![h, m, n],
        }
    }
}

impl SizeSolver {
    /// A new unknown.
    pub(crate) fn unknown(&mut self) -> Size {
        self.equal.push(None);
        Size::Unknown(self.equal.len() - 1)
    }

    /// The current knowledge of a size.
    pub(crate) fn get(&self, size: Size) -> Size {
        let mut size = size;
        while let Size::Unknown(k) = size {
            match self.equal[k] {
                Some(next) => size = next,
                None => break,
            }
        }
        size
    }

    /// The current knowledge of a shape.
    pub(crate) fn form(&self, form: Form) -> Form {
        let sizes: Vec<Size> = form.sizes().into_iter().map(|n| self.get(n)).collect();
        Form::of(&sizes)
    }

    /// A shape whose sizes are all known.
    pub(crate) fn shape(&self, form: Form) -> Option<Shape> {
        match self.form(form) {
            Form::Scalar => Some(Shape::Scalar),
            Form::Vector(Size::Known(n)) => Some(Shape::Vector(n)),
            Form::Matrix(Size::Known(m), Size::Known(n)) => Some(Shape::Matrix(m, n)),
            Form::Tensor(Size::Known(h), Size::Known(m), Size::Known(n)) => {
                Some(Shape::Tensor(h, m, n))
            }
            _ => None,
        }
    }

    /// Unifies two sizes; false if they differ.
    #[must_use]
    pub(crate) fn join(&mut self, a: Size, b: Size) -> bool {
        match (self.get(a), self.get(b)) {
            (a, b) if a == b => true,
            (Size::Unknown(k), other) | (other, Size::Unknown(k)) => {
                self.equal[k] = Some(other);
                true
            }
            _ => false,
        }
    }

    /// Unifies two shapes; false if they differ.
    #[must_use]
    pub(crate) fn join_forms(&mut self, a: Form, b: Form) -> bool {
        let (a, b) = (a.sizes(), b.sizes());
        a.len() == b.len() && a.iter().zip(b).all(|(&x, y)| self.join(x, y))
    }

    /// The shape of an element-wise result: axes of length 1 are broadcast to the other's length. `None` if they do not fit.
    pub(crate) fn stretch(&mut self, a: Form, b: Form) -> Option<Form> {
        if a.rank() != b.rank() {
            return None;
        }
        let mut sizes = Vec::new();
        for (a, b) in a.sizes().into_iter().zip(b.sizes()) {
            sizes.push(match (self.get(a), self.get(b)) {
                (Size::Known(1), n @ Size::Known(_)) | (n @ Size::Known(_), Size::Known(1)) => n,
                (a, b) => self.join(a, b).then_some(a)?,
            });
        }
        Some(self.form(Form::of(&sizes)))
    }

    /// The sum of sizes.
    pub(crate) fn sum(&mut self, parts: Vec<Size>, at: Span) -> Size {
        let known = parts.iter().map(|&p| match self.get(p) {
            Size::Known(n) => Some(n),
            Size::Unknown(_) => None,
        });
        if let Some(known) = known.collect::<Option<Vec<usize>>>() {
            return Size::Known(known.into_iter().fold(0, usize::saturating_add));
        }
        let total = self.unknown();
        self.needs.push((SizeConstraint::Sum { total, parts }, at));
        // Known sizes are used at once, so that messages say more.
        let _ = self.settle();
        self.get(total)
    }

    /// Requires that a slice of a size ends at `end`.
    pub(crate) fn at_least(&mut self, size: Size, end: usize, at: Span) {
        if !matches!(self.get(size), Size::Known(n) if n >= end) {
            self.needs.push((SizeConstraint::AtLeast { size, end }, at));
        }
    }

    /// A reshape.
    pub(crate) fn same_count(&mut self, from: Form, to: Form, at: Span) {
        let counts = [from, to].map(|f| self.shape(f).map(Shape::len));
        if counts[0].is_none() || counts[0] != counts[1] {
            self.needs
                .push((SizeConstraint::SameCount { from, to }, at));
        }
    }

    /// Propagates constraints until nothing changes.
    ///
    /// # Errors
    /// A constraint that cannot be met: its place, the problem and what was expected.
    pub(crate) fn settle(&mut self) -> Result<(), (Span, String, String)> {
        loop {
            let mut moved = false;
            let needs = std::mem::take(&mut self.needs);
            let mut wrong = Ok(());
            for (need, at) in &needs {
                match self.conclude(need) {
                    Ok(more) => moved |= more,
                    Err((message, label)) => {
                        wrong = wrong.and(Err((*at, message, label)));
                    }
                }
            }
            self.needs = needs;
            wrong?;
            if !moved {
                return Ok(());
            }
        }
    }

    /// True if something new was learned.
    fn conclude(&mut self, need: &SizeConstraint) -> Result<bool, (String, String)> {
        match need {
            SizeConstraint::Sum { total, parts } => {
                let mut known = 0usize;
                let mut open = Vec::new();
                for &p in parts {
                    match self.get(p) {
                        Size::Known(n) => known = known.saturating_add(n),
                        Size::Unknown(_) => open.push(p),
                    }
                }
                match (self.get(*total), open.as_slice()) {
                    (Size::Known(n), []) if n == known => Ok(false),
                    (Size::Known(n), []) => Err((
                        format!("the parts have {known} elements in all, but {n} are needed"),
                        format!("expected parts of {n} in all"),
                    )),
                    (Size::Unknown(_), []) => Ok(self.join(*total, Size::Known(known))),
                    (Size::Known(n), &[part]) => match n.checked_sub(known) {
                        Some(rest) if rest > 0 => Ok(self.join(part, Size::Known(rest))),
                        _ => Err((
                            format!("the other parts have {known} elements already, of {n} in all"),
                            "expected fewer".into(),
                        )),
                    },
                    _ => Ok(false),
                }
            }
            SizeConstraint::AtLeast { size, end } => match self.get(*size) {
                Size::Known(n) if n < *end => Err((
                    format!("the slice ends at {end}, but there are only {n} elements"),
                    format!("expected at most {n} as its end"),
                )),
                _ => Ok(false),
            },
            SizeConstraint::SameCount { from, to } => {
                let count = |f: Form, sizes: &SizeSolver| sizes.shape(f).map(Shape::len);
                match (count(*from, self), count(*to, self)) {
                    (Some(a), Some(b)) if a != b => Err((
                        format!("{a} elements cannot be reshaped to {b}"),
                        format!("expected a shape of {a} elements"),
                    )),
                    (None, Some(b)) => match self.form(*from) {
                        Form::Vector(n) => Ok(self.join(n, Size::Known(b))),
                        _ => Ok(false),
                    },
                    _ => Ok(false),
                }
            }
        }
    }
}
