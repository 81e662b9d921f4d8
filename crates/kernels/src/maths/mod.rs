//! Element-wise maths on vectors, each function written once for all that computes it: registers of the kernels, and the
//! two back ends of `retrograd-jit`.
//!
//! [`Math`] turns one op on vectors of `f32` or `f64` ([`Lane`]) into a few branch-free [operations](Vectors): a kernel
//! computes them at once on registers ([`Function`]), a back end emits them. Nothing is called, except by sine and cosine
//! beyond their reduction's range (see [`Math::sin`]). Results are the same bits wherever multiply and add are fused, and
//! the same wherever they are not.
//!
//! Every function guarantees:
//! - a NaN in an operand is a NaN in the result, through every clamp (`pow(NaN, 0)` and `pow(1, NaN)`, which are 1 as
//!   in `std`, and [`Math::select`], [`Math::lt`], [`Math::le`], [`Math::eq`] excepted);
//! - ±∞, ±0 and subnormal operands and results behave as in `std`; nothing is flushed to zero;
//! - the error stays below the constant beside the function ([`EXP_ULP`] and its siblings), in units of the last
//!   place of the correctly rounded result, with and without fused multiply-add.
//!
//! # Choosing operations
//!
//! [`Vectors::min`] and [`Vectors::max`] are the instructions of x86-64, which return the second operand where either is
//! NaN. So a clamp has its limit first and its value second, and NaN passes.
//!
//! Rounding to an integer n adds 1.5·2^23 (1.5·2^52 in `f64`): the sum's low mantissa bits are n, with no conversion
//! (which x86-64 lacks for 64-bit lanes), and a bias put into the same constant makes them the exponent field of a
//! power of two.
//!
//! Everything that kernels use is `#[inline(always)]`: it has to be compiled with the features of their instruction set.
//! Tables of coefficients are constants, so that loops over them are unrolled.

mod erf;
mod exp;
mod log;
mod parts;
pub mod polynomials;
mod pow;
mod registers;
mod round;
mod trig;
mod vectors;

pub use erf::ERF_ULP;
pub use exp::{EXP_ULP, EXPM1_ULP, SIGMOID_ULP, SOFTPLUS_ULP, TANH_ULP};
pub use log::{LN_ULP, LOG1P_ULP};
pub use pow::{POW_F32_ULP, POW_F64_ULP};
pub use registers::Function;
pub(crate) use registers::of;
pub use trig::{SIN_COS_FAST_F32, SIN_COS_FAST_F64, SIN_COS_ULP};
pub use vectors::{Called, Compare, Emitter, Rounding, Vectors};

/// Largest error of [`Math::softsign`], in ulp: half an ulp from the division, and up to half an ulp of the sum, which
/// is at most one ulp of the quotient.
pub const SOFTSIGN_ULP: f64 = 1.5;

/// The element type of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// `f32`.
    F32,
    /// `f64`.
    F64,
}

impl Lane {
    /// Bytes of one element.
    #[inline(always)]
    pub fn bytes(self) -> u32 {
        match self {
            Lane::F32 => 4,
            Lane::F64 => 8,
        }
    }

    /// Explicit mantissa bits.
    #[inline(always)]
    fn mantissa_bits(self) -> u32 {
        match self {
            Lane::F32 => 23,
            Lane::F64 => 52,
        }
    }

    /// All bits of an element.
    #[inline(always)]
    fn all_bits(self) -> u64 {
        match self {
            Lane::F32 => u64::from(u32::MAX),
            Lane::F64 => u64::MAX,
        }
    }

    /// The exponent's bias.
    #[inline(always)]
    fn bias(self) -> f64 {
        match self {
            Lane::F32 => 127.0,
            Lane::F64 => 1023.0,
        }
    }

    /// 1.5·2^mantissa_bits: adding it to a small number rounds that number to an integer.
    #[inline(always)]
    fn magic(self) -> f64 {
        match self {
            Lane::F32 => 12_582_912.0,
            Lane::F64 => 6_755_399_441_055_744.0,
        }
    }

    /// The bit that holds the sign.
    #[inline(always)]
    fn sign_bit(self) -> u64 {
        match self {
            Lane::F32 => 1 << 31,
            Lane::F64 => 1 << 63,
        }
    }

    /// `value`, rounded to the element type, as bits.
    #[inline(always)]
    fn bits(self, value: f64) -> u64 {
        match self {
            // The caller requests the rounding to the element type.
            Lane::F32 => u64::from((value as f32).to_bits()),
            Lane::F64 => value.to_bits(),
        }
    }
}

/// 2ⁿ, a normal number.
#[inline(always)]
pub(crate) const fn two_to(n: i32) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

/// Element-wise maths, computed or emitted by `e`.
pub struct Math<'a, E> {
    /// What computes or emits the operations.
    pub e: &'a mut E,
    /// The element type of operands and results.
    pub lane: Lane,
    /// Whether multiply and add are fused; else [`Math`] uses neither fused operations nor [`Vectors::round`].
    pub fma: bool,
}

impl<E> std::fmt::Debug for Math<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Math")
            .field("lane", &self.lane)
            .field("fma", &self.fma)
            .finish_non_exhaustive()
    }
}

/// Arithmetic, comparison and choice.
impl<'a, E: Vectors> Math<'a, E> {
    /// Maths on elements of type `lane` by `e`, which has fused operations if `fma`.
    #[inline(always)]
    pub fn new(e: &'a mut E, lane: Lane, fma: bool) -> Self {
        Math { e, lane, fma }
    }

    /// `value`, rounded to the element type, in every element.
    #[inline(always)]
    pub fn constant(&mut self, value: f64) -> E::V {
        self.bits(self.lane.bits(value))
    }

    /// −x; flips the sign of a NaN too.
    #[inline(always)]
    pub fn neg(&mut self, x: E::V) -> E::V {
        let sign = self.bits(self.lane.sign_bit());
        self.e.xor(self.lane, x, sign)
    }

    /// x + y.
    #[inline(always)]
    pub fn add(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.add(self.lane, x, y)
    }

    /// x − y.
    #[inline(always)]
    pub fn sub(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.sub(self.lane, x, y)
    }

    /// x·y.
    #[inline(always)]
    pub fn mul(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.mul(self.lane, x, y)
    }

    /// x ÷ y.
    #[inline(always)]
    pub fn div(&mut self, x: E::V, y: E::V) -> E::V {
        self.e.div(self.lane, x, y)
    }

    /// x·y + z, rounded once where the target can, else twice.
    #[inline(always)]
    pub fn fma(&mut self, x: E::V, y: E::V, z: E::V) -> E::V {
        if self.fma {
            self.e.fma(self.lane, x, y, z)
        } else {
            let xy = self.mul(x, y);
            self.add(xy, z)
        }
    }

    /// x·y − z, rounded as [`Math::fma`].
    #[inline(always)]
    pub fn fms(&mut self, x: E::V, y: E::V, z: E::V) -> E::V {
        if self.fma {
            self.e.fms(self.lane, x, y, z)
        } else {
            let xy = self.mul(x, y);
            self.sub(xy, z)
        }
    }

    /// z − x·y, rounded as [`Math::fma`].
    #[inline(always)]
    pub fn fnma(&mut self, x: E::V, y: E::V, z: E::V) -> E::V {
        if self.fma {
            self.e.fnma(self.lane, x, y, z)
        } else {
            let xy = self.mul(x, y);
            self.sub(z, xy)
        }
    }

    /// 1 ÷ x, correctly rounded.
    #[inline(always)]
    pub fn recip(&mut self, x: E::V) -> E::V {
        let one = self.constant(1.0);
        self.div(one, x)
    }

    /// √x, correctly rounded; NaN below −0.
    #[inline(always)]
    pub fn sqrt(&mut self, x: E::V) -> E::V {
        self.e.sqrt(self.lane, x)
    }

    /// |x|.
    #[inline(always)]
    pub fn abs(&mut self, x: E::V) -> E::V {
        let magnitude = self.bits(!self.lane.sign_bit());
        self.e.and(self.lane, x, magnitude)
    }

    /// x, or 0 where |x| < 2⁻¹²⁶, the least normal number of single precision; NaN stays. Three instructions: in single
    /// precision on integers, which take a cycle each where a comparison of floats takes three or more, because
    /// recurrences wait for them.
    #[inline(always)]
    pub fn flush(&mut self, x: E::V) -> E::V {
        if self.lane == Lane::F64 {
            let least = self.constant(f64::from(f32::MIN_POSITIVE));
            let size = self.abs(x);
            let kept = self.compare(Compare::NotLess, size, least);
            return self.masked(kept, x);
        }
        // Numbers below the least normal one have a zero exponent field.
        let exponent = self.bits(u64::from(f32::INFINITY.to_bits()));
        let exponent = self.e.and(self.lane, x, exponent);
        let zero = self.bits(0);
        let small = self.e.iequal(self.lane, exponent, zero);
        self.e.unmasked(self.lane, small, x)
    }

    /// −1, 0 or 1; ±0 and NaN stay as they are.
    #[inline(always)]
    pub fn sign(&mut self, x: E::V) -> E::V {
        let magnitude = self.abs(x);
        let zero = self.constant(0.0);
        let nonzero = self.compare(Compare::Less, zero, magnitude);
        let one = self.constant(1.0);
        let signed_one = self.copy_sign(one, x);
        self.blend(nonzero, signed_one, x)
    }

    /// The lesser; NaN where either operand is. `min(−0, 0)` is y.
    #[inline(always)]
    pub fn min(&mut self, x: E::V, y: E::V) -> E::V {
        let lesser = self.min_or_second(x, y);
        self.nan_of(x, lesser)
    }

    /// The greater; NaN where either operand is. `max(−0, 0)` is y.
    #[inline(always)]
    pub fn max(&mut self, x: E::V, y: E::V) -> E::V {
        let greater = self.max_or_second(x, y);
        self.nan_of(x, greater)
    }

    /// x ÷ (1 + |x|), within [`SOFTSIGN_ULP`]; NaN for ±∞.
    #[inline(always)]
    pub fn softsign(&mut self, x: E::V) -> E::V {
        let one = self.constant(1.0);
        let size = self.abs(x);
        let denominator = self.add(one, size);
        self.div(x, denominator)
    }

    /// max(x, 0); NaN stays.
    #[inline(always)]
    pub fn relu(&mut self, x: E::V) -> E::V {
        let zero = self.constant(0.0);
        self.max_or_second(zero, x)
    }

    /// 1 where x < y, else 0.
    #[inline(always)]
    pub fn lt(&mut self, x: E::V, y: E::V) -> E::V {
        self.truth(Compare::Less, x, y)
    }

    /// 1 where x ≤ y, else 0.
    #[inline(always)]
    pub fn le(&mut self, x: E::V, y: E::V) -> E::V {
        self.truth(Compare::LessOrEqual, x, y)
    }

    /// 1 where x = y, else 0.
    #[inline(always)]
    pub fn eq(&mut self, x: E::V, y: E::V) -> E::V {
        self.truth(Compare::Equal, x, y)
    }

    /// x where c ≠ 0, else y; a NaN in c chooses x.
    #[inline(always)]
    pub fn select(&mut self, c: E::V, x: E::V, y: E::V) -> E::V {
        let zero = self.constant(0.0);
        let chosen = self.compare(Compare::NotEqual, c, zero);
        self.blend(chosen, x, y)
    }
}
