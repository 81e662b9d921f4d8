//! The two number types that programs run in.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use crate::bf16;
use crate::erf::erf;
use crate::single;
use crate::trig;

mod sealed {
    use crate::gemm::MatrixMultiply;

    pub trait Sealed: MatrixMultiply {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`: arithmetic and the functions that the op table needs. Sealed.
///
/// ```
/// use retrograd_tape::Real;
///
/// fn logistic<T: Real>(x: T) -> T {
///     T::ONE / (T::ONE + (-x).exp())
/// }
/// assert_eq!((logistic(0.0_f32), logistic(0.0_f64)), (0.5, 0.5));
/// ```
pub trait Real:
    sealed::Sealed
    + Copy
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// NaN
    const NAN: Self;

    /// The nearest value.
    fn from_f64(x: f64) -> Self;
    /// The same value.
    fn to_f64(self) -> f64;
    /// eˣ
    fn exp(self) -> Self;
    /// eˣ - 1
    fn exp_m1(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// ln(1 + x)
    fn ln_1p(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// |x|
    fn abs(self) -> Self;
    /// 1 with the sign of x; NaN stays NaN.
    fn signum(self) -> Self;
    /// The greatest integer ≤ x.
    fn floor(self) -> Self;
    /// The least integer ≥ x.
    fn ceil(self) -> Self;
    /// The nearest integer, ½ to even.
    fn round(self) -> Self;
    /// The nearest bfloat16 number; see [`Map::RoundBf16`](crate::Map::RoundBf16).
    fn round_bf16(self) -> Self;
    /// Sine of radians.
    fn sin(self) -> Self;
    /// Cosine of radians.
    fn cos(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// selfʸ
    fn powf(self, y: Self) -> Self;
    /// The greater; if one is NaN, the other.
    fn max(self, other: Self) -> Self;
    /// True if NaN.
    fn is_nan(self) -> bool;
}

macro_rules! real {
    ($t:ident, $exp:path, $tanh:path, $sin:path, $cos:path, $bf16:path) => {
        impl Real for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const NAN: $t = $t::NAN;

            #[inline]
            fn from_f64(x: f64) -> $t {
                x as $t
            }
            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn exp(self) -> $t {
                $exp(self)
            }
            #[inline]
            fn exp_m1(self) -> $t {
                $t::exp_m1(self)
            }
            #[inline]
            fn ln(self) -> $t {
                $t::ln(self)
            }
            #[inline]
            fn ln_1p(self) -> $t {
                $t::ln_1p(self)
            }
            #[inline]
            fn sqrt(self) -> $t {
                $t::sqrt(self)
            }
            #[inline]
            fn abs(self) -> $t {
                $t::abs(self)
            }
            #[inline]
            fn signum(self) -> $t {
                $t::signum(self)
            }
            #[inline]
            fn floor(self) -> $t {
                $t::floor(self)
            }
            #[inline]
            fn ceil(self) -> $t {
                $t::ceil(self)
            }
            #[inline]
            fn round(self) -> $t {
                $t::round_ties_even(self)
            }
            #[inline]
            fn round_bf16(self) -> $t {
                $bf16(self)
            }
            #[inline]
            fn sin(self) -> $t {
                $sin(self)
            }
            #[inline]
            fn cos(self) -> $t {
                $cos(self)
            }
            #[inline]
            fn tanh(self) -> $t {
                $tanh(self)
            }
            #[inline]
            fn erf(self) -> $t {
                erf(f64::from(self)) as $t
            }
            #[inline]
            fn powf(self, y: $t) -> $t {
                $t::powf(self, y)
            }
            #[inline]
            fn max(self, other: $t) -> $t {
                $t::max(self, other)
            }
            #[inline]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
        }
    };
}
real!(
    f32,
    single::exp,
    single::tanh,
    f32::sin,
    f32::cos,
    bf16::round_f32
);
real!(
    f64,
    f64::exp,
    f64::tanh,
    trig::sin,
    trig::cos,
    bf16::round_f64
);
