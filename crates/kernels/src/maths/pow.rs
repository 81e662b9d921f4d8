//! xʸ = ±e^(y·ln|x|).
//!
//! An error of y·ln|x|, up to 745, is a relative error of the result, so ln|x| needs more bits than the result has: in
//! `f32` it is computed in `f64`, one half of the vector after the other; in `f64` as an unevaluated sum of two `f64`
//! (double-double; the building blocks are those of Dekker 1971).

use super::exp::ln2_parts;
use super::{Compare, Emitter, Lane, Math, two_to};

/// Largest error of [`Math::pow`] in `f32`, in ulp. Measured: 0.501 (8·10⁶ pairs).
pub const POW_F32_ULP: f64 = 1.0;
/// Largest error of [`Math::pow`] in `f64`, in ulp. Measured: 1.50 (8·10⁶ pairs), 1.63 without fused multiply-add.
pub const POW_F64_ULP: f64 = 3.0;

impl<E: Emitter> Math<'_, E> {
    /// xʸ as `std`'s `powf`: negative x with an integer y, else NaN; `pow(x, 0) = pow(1, y) = 1` even for NaN.
    ///
    /// Within [`POW_F32_ULP`] and [`POW_F64_ULP`].
    pub fn pow(&mut self, x: E::V, y: E::V) -> E::V {
        let magnitude = self.abs(x);
        let power = match self.lane {
            Lane::F64 => self.positive_power(magnitude, y),
            Lane::F32 => {
                let [x_low, x_high] = self.e.widen(magnitude);
                let [y_low, y_high] = self.e.widen(y);
                let mut wide = Math::new(self.e, Lane::F64, self.fma);
                let low = wide.positive_power_short(x_low, y_low);
                let high = wide.positive_power_short(x_high, y_high);
                self.e.narrow([low, high])
            }
        };
        self.power_edges(x, y, power)
    }

    /// xʸ for x ≥ 0, with the relative error of y·ln x.
    fn positive_power_short(&mut self, x: E::V, y: E::V) -> E::V {
        let log = self.ln(x);
        let product = self.mul(y, log);
        self.exp(product)
    }

    /// xʸ for x ≥ 0 by a double-double logarithm.
    fn positive_power(&mut self, x: E::V, y: E::V) -> E::V {
        let (high, low) = self.ln_double(x);
        let high = self.ln_edges(x, high);
        let (product, error) = self.two_product(y, high);
        let tail = self.fma(y, low, error);
        // If the product is infinite or NaN, its error is NaN; and far out the error does not matter.
        let bound = self.constant(1024.0);
        let size = self.abs(product);
        let inside = self.compare(Compare::Less, size, bound);
        let tail = self.masked(inside, tail);
        let product = self.clamp(product, -746.0, 710.0);
        self.exp_clamped(product, Some(tail))
    }

    /// ln x as high + low, for a positive finite x: relative error about 2⁻⁶⁵.
    fn ln_double(&mut self, x: E::V) -> (E::V, E::V) {
        let (k, f) = self.exponent_and_fraction(x);
        let two = self.constant(2.0);
        // s = f/(2 + f).
        let denominator = self.add(two, f);
        let back = self.sub(denominator, two);
        let denominator_low = self.sub(f, back);
        let inverse = self.recip(denominator);
        let s = self.mul(f, inverse);
        let (product, error) = self.two_product(s, denominator);
        let rest = self.sub(f, product);
        let rest = self.sub(rest, error);
        let rest = self.fnma(s, denominator_low, rest);
        let s_low = self.mul(rest, inverse);
        // z = s².
        let (z, z_error) = self.two_product(s, s);
        let twice_s = self.add(s, s);
        let z_low = self.fma(twice_s, s_low, z_error);
        // t = ⅓ + z·P(z).
        // Relative error of the whole 2⁻⁶⁶.
        let polynomial = self.polynomial(
            z,
            &[
                0.200_000_000_000_011_34,
                0.142_857_142_850_475_07,
                0.111_111_112_604_090_5,
                0.090_908_921_410_823_02,
                0.076_933_807_644_343_3,
                0.066_283_569_143_315_53,
                0.065_986_734_122_215_02,
            ],
        );
        let tail = self.mul(z, polynomial);
        let third = self.constant(1.0 / 3.0);
        let t = self.add(third, tail);
        let back = self.sub(t, third);
        let t_low = self.sub(tail, back);
        let third_low = self.constant(1.850_371_707_708_594e-17);
        let t_low = self.add(t_low, third_low);
        // u = z·t, ln(1 + f) = 2s + 2s·u.
        let (u, u_low) = self.two_product(z, t);
        let u_low = self.fma(z, t_low, u_low);
        let u_low = self.fma(z_low, t, u_low);
        let (w, w_low) = self.two_product(twice_s, u);
        let w_low = self.fma(twice_s, u_low, w_low);
        let twice_s_low = self.add(s_low, s_low);
        let w_low = self.fma(twice_s_low, u, w_low);
        let (log, low) = self.fast_two_sum(twice_s, w);
        let low = self.add(low, w_low);
        let low = self.add(low, twice_s_low);
        // + k·ln 2, whose first part is 0 or larger than log.
        let (ln2_high, ln2_low) = ln2_parts(Lane::F64);
        let part = self.constant(ln2_high);
        let scale = self.mul(k, part);
        let (log, error) = self.fast_two_sum(scale, log);
        let low = self.add(low, error);
        let part = self.constant(ln2_low);
        let low = self.fma(k, part, low);
        self.fast_two_sum(log, low)
    }

    /// `power` = |x|ʸ with the sign of xʸ, and the cases that are not e^(y·ln x).
    fn power_edges(&mut self, x: E::V, y: E::V, power: E::V) -> E::V {
        let zero = self.constant(0.0);
        let one = self.constant(1.0);
        // (−1)^±∞ = 1, where y·ln|x| is NaN: |x| = 1 and y not NaN.
        let magnitude = self.abs(x);
        let unit = self.compare(Compare::Equal, magnitude, one);
        let ordered = self.compare(Compare::Equal, y, y);
        let unit = self.e.both(self.lane, unit, ordered);
        let power = self.blend(unit, one, power);

        let whole = self.is_whole(y);
        let half = self.constant(0.5);
        let half_y = self.mul(y, half);
        let even = self.is_whole(half_y);
        let odd = self.e.without(self.lane, whole, even);
        let sign = self.sign_of(x);
        let sign = self.masked(odd, sign);
        let power = self.e.xor(self.lane, power, sign);
        // −∞ < x < 0 with a non-integer y.
        let minus_infinity = self.constant(f64::NEG_INFINITY);
        let negative = self.compare(Compare::Less, x, zero);
        let finite = self.compare(Compare::Less, minus_infinity, x);
        let negative = self.e.both(self.lane, negative, finite);
        let undefined = self.e.without(self.lane, negative, whole);
        let power = self.undefined(undefined, power);

        let no_power = self.compare(Compare::Equal, y, zero);
        let power = self.blend(no_power, one, power);
        let base_one = self.compare(Compare::Equal, x, one);
        self.blend(base_one, one, power)
    }

    /// Where y is an integer (±∞ included).
    fn is_whole(&mut self, y: E::V) -> E::M {
        let magnitude = self.abs(y);
        let base = self.constant(two_to(self.lane.mantissa_bits() as i32));
        let rounded = self.add(magnitude, base);
        let rounded = self.sub(rounded, base);
        let same = self.compare(Compare::Equal, rounded, magnitude);
        let large = self.compare(Compare::LessOrEqual, base, magnitude);
        self.e.either(self.lane, same, large)
    }

    /// (x·y rounded, its error).
    fn two_product(&mut self, x: E::V, y: E::V) -> (E::V, E::V) {
        let product = self.mul(x, y);
        if self.fma {
            return (product, self.fms(x, y, product));
        }
        let (x_high, x_low) = self.split(x);
        let (y_high, y_low) = self.split(y);
        let part = self.mul(x_high, y_high);
        let error = self.sub(part, product);
        let error = self.fma(x_high, y_low, error);
        let error = self.fma(x_low, y_high, error);
        (product, self.fma(x_low, y_low, error))
    }

    /// x in two halves of 26 bits (Veltkamp), |x| < 2⁹⁹⁶.
    fn split(&mut self, x: E::V) -> (E::V, E::V) {
        let factor = self.constant(134_217_729.0);
        let scaled = self.mul(x, factor);
        let above = self.sub(scaled, x);
        let high = self.sub(scaled, above);
        (high, self.sub(x, high))
    }

    /// (x + y rounded, its error) for |x| ≥ |y| or x = 0.
    fn fast_two_sum(&mut self, x: E::V, y: E::V) -> (E::V, E::V) {
        let sum = self.add(x, y);
        let back = self.sub(sum, x);
        (sum, self.sub(y, back))
    }
}
