//! Complex numbers as pairs: a first axis of length 2 has the real and the imaginary parts. Linear recurrent units and
//! unitary cells are written with them; all are composites of real ops.

use std::panic::Location;

use crate::op::Op;
use crate::record::Var;
use crate::ty::Shape;

impl<'t> Var<'t> {
    /// The complex number of this absolute value and this angle in radians, element by element: `[n]` gives `[2, n]`.
    ///
    /// ```
    /// use retrograd_tape::{InputRole, Recorder, Shape};
    ///
    /// let r = Recorder::new(); // the linear recurrent unit (Orvieto et al. 2023), its recurrence
    /// let (nu, theta) = (r.param("nu", Shape::Vector(4)), r.param("theta", Shape::Vector(4)));
    /// let rotation = (-nu.exp()).exp().polar(theta.exp());
    /// let input = r.param("B", Shape::Tensor(2, 4, 3)).einsum("cnm,m->cn", r.input("x", InputRole::Sequence, Shape::Vector(3)));
    /// let h = r.state("h", Shape::Matrix(2, 4), 1, None);
    /// r.output("h'", r.next(h, rotation.complex_mul(h) + input));
    /// assert!(r.finish("lru").is_ok());
    /// ```
    #[track_caller]
    pub fn polar(self, angle: Var<'t>) -> Var<'t> {
        let at = Location::caller();
        let (re, im) = (self * angle.cos(), self * angle.sin());
        pair(re.insert_axis(0), im.insert_axis(0), at)
    }

    /// The product of complex numbers, element by element.
    #[track_caller]
    pub fn complex_mul(self, other: Var<'t>) -> Var<'t> {
        let at = Location::caller();
        let ([a, b], [c, d]) = (self.parts(), other.parts());
        pair(a * c - b * d, a * d + b * c, at)
    }

    /// The conjugates.
    #[track_caller]
    pub fn complex_conj(self) -> Var<'t> {
        let at = Location::caller();
        let [re, im] = self.parts();
        pair(re, -im, at)
    }

    /// The absolute values: `[2, n]` gives `[n]`. Their slope is infinite at 0.
    #[track_caller]
    pub fn complex_abs(self) -> Var<'t> {
        self.square().sum_axis(0).sqrt()
    }

    /// The real and the imaginary part, each with a first axis of length 1.
    #[track_caller]
    fn parts(self) -> [Var<'t>; 2] {
        match self.shape().map(|s| s.axis(0)) {
            Some(Some(2)) | None => [0, 1].map(|k| self.slice_axis(0, k, 1)),
            Some(_) => {
                let expected = "complex numbers, with a first axis of real and imaginary parts";
                let poison = self.misfit("complex", expected, Location::caller());
                [poison, poison]
            }
        }
    }
}

/// The pair of two parts.
fn pair<'t>(re: Var<'t>, im: Var<'t>, at: &'static Location<'static>) -> Var<'t> {
    let (Some(Shape::Matrix(..) | Shape::Tensor(..) | Shape::Vector(_)), Some(_)) =
        (re.shape(), im.shape())
    else {
        return re;
    };
    Var::apply(Op::Concat { axis: 0 }, &[re, im], at)
}
