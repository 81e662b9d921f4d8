//! The user's interface to a [`Var`]: operators, functions, reductions, and the composite functions of
//! [`crate::compose`].

mod axes;
mod complex;
mod einsum;
mod points;

use std::ops;
use std::panic::Location;

use crate::compose::{self, Composite};
use crate::map::Map;
use crate::op::{Op, Reduction};
use crate::record::Var;
use crate::ty::{Domain, Shape};

macro_rules! operators {
    ($($trait:ident $method:ident $map:ident),*) => {$(
        impl<'t> ops::$trait for Var<'t> {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, other: Var<'t>) -> Var<'t> {
                Var::apply(Op::Map(Map::$map), &[self, other], Location::caller())
            }
        }
        impl<'t> ops::$trait<f64> for Var<'t> {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, other: f64) -> Var<'t> {
                let Some(tape) = self.tape() else { return self };
                let other = tape.constant(other, Shape::Scalar);
                Var::apply(Op::Map(Map::$map), &[self, other], Location::caller())
            }
        }
        impl<'t> ops::$trait<Var<'t>> for f64 {
            type Output = Var<'t>;
            #[track_caller]
            fn $method(self, other: Var<'t>) -> Var<'t> {
                let Some(tape) = other.tape() else { return other };
                let this = tape.constant(self, Shape::Scalar);
                Var::apply(Op::Map(Map::$map), &[this, other], Location::caller())
            }
        }
    )*};
}
operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

impl<'t> ops::Neg for Var<'t> {
    type Output = Var<'t>;
    #[track_caller]
    fn neg(self) -> Var<'t> {
        Var::apply(Op::Map(Map::Neg), &[self], Location::caller())
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident $map:ident),*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(self) -> Var<'t> {
            Var::apply(Op::Map(Map::$map), &[self], Location::caller())
        }
    )*};
}

macro_rules! functions_of_two {
    ($($(#[$doc:meta])* $name:ident $map:ident),*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(self, other: Var<'t>) -> Var<'t> {
            Var::apply(Op::Map(Map::$map), &[self, other], Location::caller())
        }
    )*};
}

macro_rules! composites {
    ($($(#[$doc:meta])* $name:ident $composite:ident),*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub fn $name(self) -> Var<'t> {
            Var::record_composite(&Composite::$composite, &[self], 0.0, Location::caller())
        }
    )*};
}

impl<'t> Var<'t> {
    functions!(
        /// 1 / x
        recip Recip,
        /// eˣ
        exp Exp,
        /// eˣ - 1, accurate near 0, too.
        expm1 Expm1,
        /// Natural logarithm.
        ln Ln,
        /// ln(1 + x), accurate near 0, too.
        log1p Log1p,
        /// Square root.
        sqrt Sqrt,
        /// Absolute value.
        abs Abs,
        /// -1, 0 or 1.
        sign Sign,
        /// The greatest integer that is not greater. Its derivative is 0.
        floor Floor,
        /// The least integer that is not less. Its derivative is 0.
        ceil Ceil,
        /// The nearest integer, ½ to even. Its derivative is 0.
        round Round,
        /// The nearest bfloat16 number, ties to even: 8 bits of precision. Magnitudes below 2⁻¹²⁶ become 0. Its derivative
        /// is 1, as if nothing were rounded.
        round_bf16 RoundBf16,
        /// Sine of radians.
        sin Sin,
        /// Cosine of radians.
        cos Cos,
        /// Hyperbolic tangent.
        tanh Tanh,
        /// 1 / (1 + e⁻ˣ)
        sigmoid Sigmoid,
        /// The error function, 2/√π · ∫₀ˣ e^(-t²) dt.
        erf Erf,
        /// max(x, 0)
        relu Relu,
        /// ln(1 + eˣ)
        softplus Softplus,
        /// x / (1 + |x|)
        softsign Softsign,
        /// The value, flushed to 0 where its magnitude is below 2⁻¹²⁶, the least normal number of single precision.
        flush Flush,
        /// The value, through which no gradient passes.
        stop_gradient StopGradient
    );
    functions_of_two!(
        /// The greater, element by element.
        max Max,
        /// The lesser, element by element.
        min Min,
        /// selfᵒᵗʰᵉʳ for positive self.
        pow Pow,
        /// 1 where self < other, else 0.
        lt Lt,
        /// 1 where self ≤ other, else 0.
        le Le,
        /// 1 where self = other, else 0.
        equals Eq,
        /// This value with the derivative of `other`: a straight-through estimator, or the surrogate of a step. No gradient
        /// passes to this value itself.
        with_gradient WithGradient
    );

    /// This value, whose cotangent is limited to ±`most`, element by element and where this value is: at each point of its
    /// domain. Its tangents are not limited.
    #[track_caller]
    pub fn clip_gradient(self, most: f64) -> Var<'t> {
        let Some(tape) = self.tape() else { return self };
        let most = tape.constant(most, Shape::Scalar);
        let op = Op::Map(Map::ClipGradient);
        Var::apply(op, &[self, most], Location::caller())
    }

    /// `yes` where this is not 0, else `no`.
    #[track_caller]
    pub fn select(self, yes: Var<'t>, no: Var<'t>) -> Var<'t> {
        Var::apply(Op::Map(Map::Select), &[self, yes, no], Location::caller())
    }

    /// x²
    #[track_caller]
    pub fn square(self) -> Var<'t> {
        Var::apply(Op::Map(Map::Mul), &[self, self], Location::caller())
    }

    /// xⁿ by products, at most two for each binary digit of n, and for n < 0 the reciprocal of that; x⁰ is 1. See
    /// [`pow`](Var::pow) for other powers.
    ///
    /// ```
    /// use retrograd_tape::{Recorder, Shape};
    ///
    /// let r = Recorder::new();
    /// let x = r.param("x", Shape::Scalar);
    /// r.output("y", x.powi(3) + x.powi(-1));
    /// let (value, gradient) = r.finish("powers")?.value_and_gradient(&[&[-2.0]])?;
    /// assert_eq!((value, gradient[0][0]), (-8.5, 11.75)); // 3 x² - 1/x²
    /// # Ok::<(), retrograd_tape::TapeError>(())
    /// ```
    #[track_caller]
    pub fn powi(self, n: i32) -> Var<'t> {
        let at = Location::caller();
        let (Some(tape), Some(shape)) = (self.tape(), self.shape()) else {
            return self;
        };
        let (mut left, mut square, mut product) = (n.unsigned_abs(), self, None);
        while left > 0 {
            if left % 2 == 1 {
                product = Some(match product {
                    None => square,
                    Some(p) => Var::apply(Op::Map(Map::Mul), &[p, square], at),
                });
            }
            left /= 2;
            if left > 0 {
                square = Var::apply(Op::Map(Map::Mul), &[square, square], at);
            }
        }
        match product {
            None => tape.constant(1.0, shape),
            Some(p) if n < 0 => Var::apply(Op::Map(Map::Recip), &[p], at),
            Some(p) => p,
        }
    }

    /// Sum of all elements.
    #[track_caller]
    pub fn sum(self) -> Var<'t> {
        Var::apply(Op::Reduce(Reduction::Sum), &[self], Location::caller())
    }

    /// Mean of all elements.
    #[track_caller]
    pub fn mean(self) -> Var<'t> {
        Var::apply(Op::Reduce(Reduction::Mean), &[self], Location::caller())
    }

    /// The greatest element.
    #[track_caller]
    pub fn amax(self) -> Var<'t> {
        Var::apply(Op::Reduce(Reduction::Max), &[self], Location::caller())
    }

    /// Σ aᵢ·bᵢ
    #[track_caller]
    pub fn dot(self, other: Var<'t>) -> Var<'t> {
        Var::apply(Op::Dot, &[self, other], Location::caller())
    }

    /// This scalar, repeated.
    #[track_caller]
    pub fn broadcast(self, shape: Shape) -> Var<'t> {
        Var::apply(Op::Broadcast(shape), &[self], Location::caller())
    }

    /// Joins values along axis 0. Joining no values is a mistake, which is recorded when the result is first used.
    #[track_caller]
    pub fn concat(parts: &[Var<'t>]) -> Var<'t> {
        Var::apply(Op::Concat { axis: 0 }, parts, Location::caller())
    }

    /// Elements (or rows) `start .. start + len`.
    #[track_caller]
    pub fn slice(self, start: usize, len: usize) -> Var<'t> {
        Var::apply(
            Op::Slice {
                axis: 0,
                start,
                len,
            },
            &[self],
            Location::caller(),
        )
    }

    /// The same elements in another shape.
    #[track_caller]
    pub fn reshape(self, shape: Shape) -> Var<'t> {
        Var::apply(Op::Reshape(shape), &[self], Location::caller())
    }

    /// Matrix times vector.
    #[track_caller]
    pub fn matvec(self, v: Var<'t>) -> Var<'t> {
        Var::apply(
            Op::MatVec { transposed: false },
            &[self, v],
            Location::caller(),
        )
    }

    /// Transposed matrix times vector.
    #[track_caller]
    pub fn matvec_t(self, v: Var<'t>) -> Var<'t> {
        Var::apply(
            Op::MatVec { transposed: true },
            &[self, v],
            Location::caller(),
        )
    }

    /// a bᵀ, in the domain of the two.
    #[track_caller]
    pub fn outer(self, other: Var<'t>) -> Var<'t> {
        let domain = |v: Var<'t>| v.ty().map_or(Domain::Once, |ty| ty.domain);
        let (a, b) = (domain(self), domain(other));
        let to = a.join(b).unwrap_or(a);
        Var::apply(Op::Outer { to }, &[self, other], Location::caller())
    }

    /// Row `index` of this matrix (an embedding), or what else is at this index of the first axis: an element of a vector, a
    /// matrix of `[h, m, n]`. The index is a scalar; see [`gather_axis`](Var::gather_axis) for another axis.
    #[track_caller]
    pub fn gather(self, index: Var<'t>) -> Var<'t> {
        self.gather_along("gather", index, 0, Location::caller())
    }

    /// A composite function of as many values as it takes. The attribute is that of the function, if it has one.
    #[track_caller]
    pub fn composite(c: &Composite, xs: &[Var<'t>], attribute: f64) -> Var<'t> {
        Var::record_composite(c, xs, attribute, Location::caller())
    }

    pub(crate) fn record_composite(
        c: &Composite,
        xs: &[Var<'t>],
        attribute: f64,
        at: &'static Location<'static>,
    ) -> Var<'t> {
        if let Some((name, _)) = c.attribute
            && !(c.bounds.0 < attribute && attribute < c.bounds.1)
        {
            return xs[0].refuse_attribute(c, (name, attribute), at);
        }
        if let (true, [x]) = (c.reduces, xs) {
            return x.compose(c.name, at, |x| (c.record)(&[x], attribute));
        }
        if let Some(x) = xs.iter().find(|x| c.reduces && !x.is_vector(c.name, at)) {
            return x.nothing();
        }
        Var::compose_each(c.name, xs, at, |xs| (c.record)(xs, attribute))
    }

    composites!(
        /// x · sigmoid(x), also called swish.
        silu SILU,
        /// x · ½ · (1 + erf(x/√2))
        gelu GELU,
        /// [`gelu`](Var::gelu) approximated by tanh: x · ½ · (1 + tanh(√(2/π) · (x + 0.044715 x³)))
        gelu_tanh GELU_TANH,
        /// [`elu`](Var::elu) with an alpha of 1.673 and times 1.051, which keep mean 0 and variance 1.
        selu SELU,
        /// (x + 3)/6, limited to 0 and 1.
        hard_sigmoid HARD_SIGMOID,
        /// x, limited to -1 and 1.
        hard_tanh HARD_TANH,
        /// x · tanh(softplus(x))
        mish MISH,
        /// ln Σ eˣⁱ of a vector. A matrix is a mistake: see [`logsumexp_axis`](Var::logsumexp_axis).
        logsumexp LOGSUMEXP,
        /// The index of the first of the greatest elements of a vector, or of its first NaN. It has no derivative. A matrix is
        /// a mistake: see [`argmax_axis`](Var::argmax_axis).
        argmax ARGMAX
    );

    /// x, or alpha · (eˣ - 1) for x ≤ 0.
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Var<'t> {
        Var::record_composite(&Composite::ELU, &[self], alpha, Location::caller())
    }

    /// x, or slope · x for x ≤ 0.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Var<'t> {
        Var::record_composite(&Composite::LEAKY_RELU, &[self], slope, Location::caller())
    }

    /// self - other · floor(self/other), element by element: what is left of it, with the sign of other. `mod` in cell files.
    #[track_caller]
    pub fn modulo(self, other: Var<'t>) -> Var<'t> {
        Var::record_composite(&Composite::MOD, &[self, other], 0.0, Location::caller())
    }

    /// eˣⁱ ÷ Σ eˣʲ of a vector. NaN if all elements are -∞. A matrix is a mistake: see
    /// [`softmax_axis`](Var::softmax_axis).
    #[track_caller]
    pub fn softmax(self) -> Var<'t> {
        self.compose("softmax", Location::caller(), compose::softmax)
    }

    /// (x - mean) ÷ √(variance + eps) of a vector, without gain and bias. A matrix is a mistake: see
    /// [`layer_norm_axis`](Var::layer_norm_axis).
    #[track_caller]
    pub fn layer_norm(self, eps: f64) -> Var<'t> {
        self.compose("layer_norm", Location::caller(), |x| {
            compose::layer_norm(x, eps)
        })
    }
}
