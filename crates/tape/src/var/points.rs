//! What a row or the whole program has of a value of each step: sums, means, the maximum, the last. They are values like
//! any other: usable in a loss per row, and in each step of another loop over the same steps.

use std::panic::Location;

use crate::map::Map;
use crate::op::Op;
use crate::record::Var;
use crate::ty::{Domain, Shape};

impl<'t> Var<'t> {
    /// The domain that the value varies over, unless it is poison.
    pub fn domain(self) -> Option<Domain> {
        self.ty().map(|ty| ty.domain)
    }

    /// The value in a domain that contains its own: the same at all points that its own lacks.
    #[track_caller]
    pub fn spread(self, to: Domain) -> Var<'t> {
        Var::apply(Op::Spread(to), &[self], Location::caller())
    }

    /// The sum over all of the value's domain that `to` lacks: `x.sum_to(Domain::Row)` of a value of each step is the sum
    /// over a row's steps.
    #[track_caller]
    pub fn sum_to(self, to: Domain) -> Var<'t> {
        Var::apply(Op::SumTo(to), &[self], Location::caller())
    }

    /// The mean over all of the value's domain that `to` lacks; 0 for a row without steps, which a run over rows of different
    /// [lengths](crate::Lengths) may have.
    ///
    /// ```
    /// use retrograd_tape::{Domain, InputRole, Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.input("x", InputRole::Sequence, Shape::Vector(3));
    /// let mean = x.mean_to(Domain::Row); // instance normalisation: by the mean and variance of a row's steps
    /// let centred = x - mean;
    /// let deviation = (centred.square().mean_to(Domain::Row) + 1e-5).sqrt();
    /// r.output("y", centred / deviation);
    /// assert!(r.finish("instance norm").is_ok());
    /// ```
    #[track_caller]
    pub fn mean_to(self, to: Domain) -> Var<'t> {
        let at = Location::caller();
        let (Some(tape), Some(ty)) = (self.tape(), self.ty()) else {
            return self.sum_to(to);
        };
        let one = tape.constant(1.0, Shape::Scalar);
        let ones = Var::apply(Op::Spread(ty.domain), &[one], at);
        let count = Var::apply(Op::SumTo(to), &[ones], at);
        // Only a row can be empty: 0 ÷ 1.
        let count = match (ty.domain, to) {
            (Domain::Step, Domain::Row) => {
                Var::apply(Op::Map(Map::Select), &[count, count, one], at)
            }
            _ => count,
        };
        let count = match ty.shape {
            Shape::Scalar => count,
            shape => Var::apply(Op::Broadcast(shape), &[count], at),
        };
        let sum = Var::apply(Op::SumTo(to), &[self], at);
        Var::apply(Op::Map(Map::Div), &[sum, count], at)
    }

    /// The value of a row's last step, zeros if it has none.
    #[track_caller]
    pub fn last(self) -> Var<'t> {
        self.end_of_row(1, Location::caller())
    }

    /// The value of a row's first step, zeros if it has none: the summary of what runs from the end to the beginning.
    #[track_caller]
    pub fn first(self) -> Var<'t> {
        self.end_of_row(-1, Location::caller())
    }

    fn end_of_row(self, d: i32, at: &'static Location<'static>) -> Var<'t> {
        let (Some(tape), Some(shape)) = (self.tape(), self.shape()) else {
            return self;
        };
        let none = tape.constant(0.0, shape);
        let slot = Var::apply(Op::Boundary(d), &[self, none], at);
        Var::apply(Op::SumTo(Domain::Row), &[slot], at)
    }

    /// The greatest value of a row's steps, element by element; ties share the slope as those of [`max`](Var::max) do. It is
    /// computed by a state of this name, which begins as −∞. Of a row without steps it is 0, as [`last`](Var::last) is, and
    /// the state's final value −∞, which it begins with.
    #[track_caller]
    pub fn max_over_steps(self, name: &str) -> Var<'t> {
        let at = Location::caller();
        let (Some(tape), Some(shape)) = (self.tape(), self.shape()) else {
            return self.sum_to(Domain::Row);
        };
        let least = tape.constant(f64::NEG_INFINITY, shape);
        let so_far = tape.state(name, shape, 1, Some(least));
        let next = Var::apply(Op::Map(Map::Max), &[so_far, self], at);
        tape.next(so_far, next).last()
    }
}
