//! What a [`Var`] can do along its axes. Axes are counted from the outermost, from 0.

use std::panic::Location;

use crate::compose;
use crate::op::{Op, Permutation, Reduction};
use crate::record::Var;
use crate::ty::Shape;

impl<'t> Var<'t> {
    /// Sums along an axis, which is dropped; [`insert_axis`](Var::insert_axis) puts one of length 1 in its place.
    ///
    /// ```
    /// use retrograd_tape::{Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let w = r.param("w", Shape::Tensor(4, 8, 3));
    /// assert_eq!(w.sum_axis(1).shape(), Some(Shape::Matrix(4, 3)));
    /// let share = w / w.sum_axis(1).insert_axis(1);
    /// assert_eq!(share.shape(), w.shape(), "axes of length 1 are broadcast");
    /// ```
    #[track_caller]
    pub fn sum_axis(self, axis: usize) -> Var<'t> {
        self.reduce_axis(Reduction::Sum, axis, Location::caller())
    }

    /// Means along an axis, which is dropped.
    #[track_caller]
    pub fn mean_axis(self, axis: usize) -> Var<'t> {
        self.reduce_axis(Reduction::Mean, axis, Location::caller())
    }

    /// The greatest elements along an axis, which is dropped.
    #[track_caller]
    pub fn max_axis(self, axis: usize) -> Var<'t> {
        self.reduce_axis(Reduction::Max, axis, Location::caller())
    }

    fn reduce_axis(self, kind: Reduction, axis: usize, at: &'static Location<'static>) -> Var<'t> {
        Var::apply(Op::ReduceAxis { kind, axis }, &[self], at)
    }

    /// The same elements with an axis of length 1 in front of `axis`, or behind the last one. A value of rank 3 has
    /// no room for it, which is a mistake.
    #[track_caller]
    pub fn insert_axis(self, axis: usize) -> Var<'t> {
        let at = Location::caller();
        let Some(shape) = self.shape() else {
            return self;
        };
        let mut axes = shape.axes();
        if axis <= axes.len() {
            axes.insert(axis, 1);
            if let Some(to) = Shape::from_axes(&axes) {
                return Var::apply(Op::Reshape(to), &[self], at);
            }
        }
        self.misfit(
            "insert_axis",
            &format!("at most 2 axes, {axis} or more"),
            at,
        )
    }

    /// The axes in another order: axis k of the result is axis `order[k]` of this value. Axes that are not mentioned
    /// stay, as the last ones.
    #[track_caller]
    pub fn transpose(self, order: &[usize]) -> Var<'t> {
        let at = Location::caller();
        match Permutation::new(order) {
            Some(order) => Var::apply(Op::Transpose(order), &[self], at),
            None => {
                let named = format!("axes that {order:?} names once each");
                self.misfit("transpose", &named, at)
            }
        }
    }

    /// This value with axes of length 1 repeated to `shape`, of the same rank; a scalar is repeated to any shape.
    #[track_caller]
    pub fn expand(self, shape: Shape) -> Var<'t> {
        Var::apply(Op::Broadcast(shape), &[self], Location::caller())
    }

    /// Indices `start .. start + len` along an axis.
    #[track_caller]
    pub fn slice_axis(self, axis: usize, start: usize, len: usize) -> Var<'t> {
        Var::apply(Op::Slice { axis, start, len }, &[self], Location::caller())
    }

    /// Joins values along an axis.
    #[track_caller]
    pub fn concat_axis(axis: usize, parts: &[Var<'t>]) -> Var<'t> {
        Var::apply(Op::Concat { axis }, parts, Location::caller())
    }

    /// eˣⁱ ÷ Σ eˣʲ along an axis. NaN where all elements are -∞.
    #[track_caller]
    pub fn softmax_axis(self, axis: usize) -> Var<'t> {
        self.compose_along("softmax_axis", axis, Location::caller(), |x| {
            compose::softmax_axis(x, axis)
        })
    }

    /// ln Σ eˣⁱ along an axis, which is dropped.
    #[track_caller]
    pub fn logsumexp_axis(self, axis: usize) -> Var<'t> {
        self.compose_along("logsumexp_axis", axis, Location::caller(), |x| {
            compose::logsumexp_axis(x, axis)
        })
    }

    /// (x - mean) ÷ √(variance + eps) along an axis, without gain and bias.
    #[track_caller]
    pub fn layer_norm_axis(self, axis: usize, eps: f64) -> Var<'t> {
        self.compose_along("layer_norm_axis", axis, Location::caller(), |x| {
            compose::layer_norm_axis(x, axis, eps)
        })
    }

    /// x ÷ √(mean of x² + eps) along an axis, without gain.
    #[track_caller]
    pub fn rms_norm_axis(self, axis: usize, eps: f64) -> Var<'t> {
        self.compose_along("rms_norm_axis", axis, Location::caller(), |x| {
            compose::rms_norm_axis(x, axis, eps)
        })
    }

    /// Layer normalisation of each of `groups` equal parts along the first axis, without gain and bias.
    #[track_caller]
    pub fn group_norm(self, groups: usize, eps: f64) -> Var<'t> {
        let at = Location::caller();
        let divides = |n: usize| groups > 0 && n.is_multiple_of(groups);
        if let Some(shape) = self.shape()
            && !shape.axis(0).is_some_and(divides)
        {
            let parts = format!("a first axis that {groups} groups divide");
            return self.misfit("group_norm", &parts, at);
        }
        self.compose_along("group_norm", 0, at, |x| compose::group_norm(x, groups, eps))
    }

    /// The elements moved along an axis, round its end: what was at index k is at k + `shift`, modulo the axis's length.
    ///
    /// ```
    /// use retrograd_tape::{Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// r.output("y", r.param("x", Shape::Vector(4)).roll(1, 0));
    /// let tape = r.finish("rolled")?;
    /// let mut run = retrograd_tape::Interpreter::<f64>::new(&tape);
    /// run.forward(retrograd_tape::Extent::steps(1), &[&[1.0, 2.0, 3.0, 4.0]])?;
    /// assert_eq!(run.output(0), [4.0, 1.0, 2.0, 3.0]);
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    #[track_caller]
    pub fn roll(self, shift: i64, axis: usize) -> Var<'t> {
        let at = Location::caller();
        let Some(shape) = self.shape() else {
            return self;
        };
        let Some(n) = shape.axis(axis) else {
            return self.misfit("roll", &format!("a value with an axis {axis}"), at);
        };
        let by = shift.rem_euclid(n.max(1) as i64) as usize;
        if by == 0 {
            return self;
        }
        let part = |start, len| Var::apply(Op::Slice { axis, start, len }, &[self], at);
        let parts = [part(n - by, by), part(0, n - by)];
        Var::apply(Op::Concat { axis }, &parts, at)
    }

    /// The sums of the elements up to each one along an axis.
    #[track_caller]
    pub fn cumsum(self, axis: usize) -> Var<'t> {
        self.compose_along("cumsum", axis, Location::caller(), |x| {
            compose::cumsum(x, axis)
        })
    }

    /// The indices along an axis, which is dropped, of the first of the greatest elements, or of the first NaN. They have
    /// no derivative.
    #[track_caller]
    pub fn argmax_axis(self, axis: usize) -> Var<'t> {
        self.compose_along("argmax_axis", axis, Location::caller(), |x| {
            compose::argmax_axis(x, axis)
        })
    }

    /// What is at `index`, a scalar, along an axis, which is dropped: a column of a matrix, say. The index is rounded (½ to
    /// even) and has no derivative; one beyond the axis is an error of the run.
    ///
    /// ```
    /// use retrograd_tape::{Extent, InputRole, Interpreter, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let m = r.input("m", InputRole::Sequence, Shape::Matrix(2, 3));
    /// let k = r.input("k", InputRole::Sequence, Shape::Scalar);
    /// r.output("column", m.gather_axis(k, 1));
    /// r.output("corner", m.gather(k).gather(k));
    /// let tape = r.finish("parts")?;
    /// let mut run = Interpreter::<f64>::new(&tape);
    /// run.forward(Extent { steps: 1, rows: 1 }, &[&[0.0, 1.0, 2.0, 10.0, 11.0, 12.0], &[1.0]])?;
    /// assert_eq!((run.output(0), run.output(1)), (&[1.0, 11.0][..], &[11.0][..]));
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    #[track_caller]
    pub fn gather_axis(self, index: Var<'t>, axis: usize) -> Var<'t> {
        self.gather_along("gather_axis", index, axis, Location::caller())
    }

    /// The rows of a matrix are what the op gathers: the axis comes first, and the others are one until the end.
    pub(crate) fn gather_along(
        self,
        name: &str,
        index: Var<'t>,
        axis: usize,
        at: &'static Location<'static>,
    ) -> Var<'t> {
        let Some(shape) = self.shape() else {
            return self;
        };
        let Some((n, rest)) = shape.axis(axis).zip(shape.without_axis(axis)) else {
            return self.misfit(name, &format!("a value with an axis {axis}"), at);
        };
        if axis == 0 && shape.rank() == 2 {
            return Var::apply(Op::Gather, &[self, index], at);
        }
        let others = (0..shape.rank()).filter(|&k| k != axis);
        let order: Vec<usize> = std::iter::once(axis).chain(others).collect();
        let first = match Permutation::new(&order) {
            Some(order) if axis > 0 => Var::apply(Op::Transpose(order), &[self], at),
            _ => self,
        };
        let table = Var::apply(Op::Reshape(Shape::Matrix(n, rest.len())), &[first], at);
        let row = Var::apply(Op::Gather, &[table, index], at);
        match rest.rank() {
            1 => row,
            _ => Var::apply(Op::Reshape(rest), &[row], at),
        }
    }

    /// The vector `[n]` that is 1 at this index, a scalar, and 0 elsewhere. It has no derivative. As for
    /// [`gather`](Var::gather), the index is rounded, and one beyond the vector is an error of the run.
    #[track_caller]
    pub fn one_hot(self, n: usize) -> Var<'t> {
        let at = Location::caller();
        let (Some(tape), Some(ty)) = (self.tape(), self.ty()) else {
            return self;
        };
        let one = tape.constant(1.0, Shape::Vector(1));
        let (rows, to) = (n, ty.domain);
        let column = Var::apply(Op::Scatter { rows, to }, &[self, one], at);
        Var::apply(Op::Reshape(Shape::Vector(n)), &[column], at)
    }
}
