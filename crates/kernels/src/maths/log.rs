//! ln x and ln(1 + x).
//!
//! x = 2ᵏ·m with √½ ≤ m < √2, so ln x = k·ln 2 + ln m, k·ln 2 in two parts (those of [`super::exp`]).
//! `f32`: ln(1 + f) = f − f²/2 + f³·P(f), the form of Cephes `logf`. `f64`: ln(1 + f) = 2·artanh(s), s = f/(2 + f), an
//! odd series, the form of fdlibm `e_log.c`. The polynomials are our own minimax fits.

use super::exp::ln2_parts;
use super::{Compare, Lane, Math, Vectors, two_to};
use std::f64::consts::FRAC_1_SQRT_2;

/// Largest error of [`Math::ln`], in ulp. Measured: 1.21 (every `f32`), 1.53 (4·10⁶ `f64`).
pub const LN_ULP: f64 = 2.0;
/// Largest error of [`Math::log1p`], in ulp. Measured: 1.74 (every `f32`), 1.92 (4·10⁶ `f64`); without fused
/// multiply-add 1.81 (5·10⁵ `f64`).
pub const LOG1P_ULP: f64 = 2.5;

impl<E: Vectors> Math<'_, E> {
    /// ln x; −∞ at ±0, NaN below.
    ///
    /// Within [`LN_ULP`], subnormal operands included.
    #[inline(always)]
    pub fn ln(&mut self, x: E::V) -> E::V {
        let (k, f) = self.exponent_and_fraction(x);
        let log = self.ln_of_parts(k, f);
        self.ln_edges(x, log)
    }

    /// ln(1 + x); −∞ at −1, NaN below.
    ///
    /// Within [`LOG1P_ULP`]. With u = 1 + x, rounded, and c = x − (u − 1), what was rounded off, u = 2ᵏ·m and
    /// ln(1 + x) = k·ln 2 + ln(1 + f), f = (m − 1) + c·2⁻ᵏ, which is x itself for k = 0. u − 1 is exact until c is no
    /// longer of account. A tiny x, whose half may not be a number of the precision, is its own result.
    #[inline(always)]
    pub fn log1p(&mut self, x: E::V) -> E::V {
        let one = self.constant(1.0);
        let u = self.add(one, x);
        let back = self.sub(u, one);
        let c = self.sub(x, back);
        let (field, m) = self.split_normal(u);
        let k = self.biased_to_float(field);
        // 2¹⁻ᵏ, whose exponent field is 0 at the greatest k, where 2⁻ᵏ would have a negative one; there c is 0.
        let top = self.bits(2 * self.lane.bias() as u64 + 1);
        let field = self.e.isub(self.lane, top, field);
        let twice_scale = self.e.shl(self.lane, field, self.lane.mantissa_bits());
        let f = self.sub(m, one);
        let twice_rest = self.mul(c, twice_scale);
        let half = self.constant(0.5);
        let f = self.fma(twice_rest, half, f);
        let log = self.ln_of_parts(k, f);
        let log = self.ln_edges(u, log);
        let size = self.abs(x);
        let tiny = self.constant(two_to(-60));
        let tiny = self.compare(Compare::Less, size, tiny);
        self.blend(tiny, x, log)
    }

    /// k·ln 2 + ln(1 + f) for √½ − 1 ≤ f < √2 − 1.
    #[inline(always)]
    fn ln_of_parts(&mut self, k: E::V, f: E::V) -> E::V {
        let (ln2_high, ln2_low) = ln2_parts(self.lane);
        let part = self.constant(ln2_low);
        let log = match self.lane {
            Lane::F32 => {
                // Relative error 2⁻²⁴·⁹ of the whole.
                let polynomial = self.polynomial(
                    f,
                    &[
                        -0.5,
                        0.333_339_12,
                        -0.250_013_38,
                        0.199_630_45,
                        -0.165_775_45,
                        0.149_149_37,
                        -0.142_678_93,
                        0.087_004_36,
                    ],
                );
                let square = self.mul(f, f);
                let low = self.mul(k, part);
                let tail = self.fma(square, polynomial, low);
                self.add(f, tail)
            }
            Lane::F64 => {
                let two = self.constant(2.0);
                let denominator = self.add(f, two);
                let s = self.div(f, denominator);
                let z = self.mul(s, s);
                // Relative error 2⁻⁵⁹ of the whole.
                let polynomial = self.polynomial(
                    z,
                    &[
                        0.333_333_333_333_336_76,
                        0.199_999_999_997_064,
                        0.142_857_143_714_437_92,
                        0.111_110_992_569_317_88,
                        0.090_917_839_030_151_63,
                        0.076_569_759_058_639_16,
                        0.073_985_154_089_952_66,
                    ],
                );
                let polynomial = self.mul(z, polynomial);
                let twice = self.add(s, s);
                let low = self.mul(k, part);
                let tail = self.fma(twice, polynomial, low);
                self.add(twice, tail)
            }
        };
        let part = self.constant(ln2_high);
        self.fma(k, part, log)
    }

    /// `log`, put right where x is not positive and finite.
    #[inline(always)]
    pub(super) fn ln_edges(&mut self, x: E::V, log: E::V) -> E::V {
        let infinity = self.constant(f64::INFINITY);
        let zero = self.constant(0.0);
        let finite = self.compare(Compare::Less, x, infinity);
        let log = self.blend(finite, log, x);
        let is_zero = self.compare(Compare::Equal, x, zero);
        let minus_infinity = self.constant(f64::NEG_INFINITY);
        let log = self.blend(is_zero, minus_infinity, log);
        let negative = self.compare(Compare::Less, x, zero);
        self.undefined(negative, log)
    }

    /// (k, m − 1) for a positive finite x = 2ᵏ·m, √½ ≤ m < √2. Anything, but no trap, for another x.
    #[inline(always)]
    pub(super) fn exponent_and_fraction(&mut self, x: E::V) -> (E::V, E::V) {
        let (least_normal, lift) = match self.lane {
            Lane::F32 => (f64::from(f32::MIN_POSITIVE), 24),
            Lane::F64 => (f64::MIN_POSITIVE, 54),
        };
        // A subnormal is lifted by 2^lift, which k takes back.
        let least = self.constant(least_normal);
        let subnormal = self.compare(Compare::Less, x, least);
        let factor = self.constant(two_to(lift));
        let lifted = self.mul(x, factor);
        let x = self.blend(subnormal, lifted, x);
        let lift = self.constant(f64::from(lift));
        let lift = self.masked(subnormal, lift);
        let (field, m) = self.split_normal(x);
        let k = self.biased_to_float(field);
        let k = self.sub(k, lift);
        let one = self.constant(1.0);
        (k, self.sub(m, one))
    }

    /// (k + the exponent's bias, as an integer; m) for a positive normal x = 2ᵏ·m, √½ ≤ m < √2.
    #[inline(always)]
    fn split_normal(&mut self, x: E::V) -> (E::V, E::V) {
        let lane = self.lane;
        let bits = lane.mantissa_bits();
        // With the bits of √½ as origin, the exponent field is k and the mantissa field the distance of m from √½
        // (the trick is FreeBSD's e_logf.c); 1's bits added keep the difference positive, the exponent being k + bias.
        let origin = lane.bits(FRAC_1_SQRT_2);
        let one = lane.bits(1.0);
        let shift = self.bits(one.wrapping_sub(origin));
        let shifted = self.e.iadd(self.lane, x, shift);
        let field = self.e.shr(self.lane, shifted, bits);
        let mask = self.bits((1 << bits) - 1);
        let mantissa = self.e.and(self.lane, shifted, mask);
        let origin = self.bits(origin);
        let m = self.e.iadd(self.lane, mantissa, origin);
        (field, m)
    }

    /// The integer `field` (of no more bits than an exponent) less the exponent's bias, as a float.
    #[inline(always)]
    fn biased_to_float(&mut self, field: E::V) -> E::V {
        // In the mantissa of 2^mantissa_bits, whose last place is 1, `field` is itself.
        let base = two_to(self.lane.mantissa_bits() as i32);
        let carrier = self.bits(self.lane.bits(base));
        let sum = self.e.or(self.lane, field, carrier);
        let base = self.constant(base + self.lane.bias());
        self.sub(sum, base)
    }
}
