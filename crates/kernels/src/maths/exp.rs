//! eˣ and functions built on it: eˣ − 1, tanh, sigmoid, softplus.
//!
//! All write eˣ = 2ⁿ·eʳ with n an integer and r = x − n·ln 2, subtracted in two parts (Cody & Waite 1980, ch. 6;
//! the parts are those of FreeBSD's `e_expf.c` and `e_exp.c`, whose products with n are exact), and
//! eʳ by a polynomial. n comes out of one multiply-add as the exponent field of 2ⁿ (module [`super`]).
//!
//! The polynomials are minimax fits to the relative error of this very form, by our own Remez exchange in 60 digits;
//! each states its error before rounding. The measured errors are those of `cargo test --release -p retrograd-jit
//! --test vmath -- --ignored --nocapture --test-threads=2`, and of the kernels' `--test activate` on every `f32`.

use super::{Compare, Lane, Math, Vectors, polynomials, two_to};
use std::f64::consts::LOG2_E;

/// Largest error of [`Math::exp`], in ulp. Measured: 1.63 (every `f32`), 1.41 (4·10⁶ `f64`); without fused
/// multiply-add 1.53 (every `f32`).
pub const EXP_ULP: f64 = 2.0;
/// Largest error of [`Math::expm1`], in ulp. Measured: 1.69 (every `f32`), 2.14 (4·10⁶ `f64`); without fused
/// multiply-add 2.64 (5·10⁵ `f64`).
pub const EXPM1_ULP: f64 = 3.0;
/// Largest error of [`Math::tanh`], in ulp. Measured: 3.33 (every `f32`), 3.14 (4·10⁶ `f64`); without fused
/// multiply-add 3.36 (every `f32`).
pub const TANH_ULP: f64 = 4.0;
/// Largest error of [`Math::sigmoid`], in ulp, including its lower tail. Measured: 3.51 (every `f32`), 2.13 (4·10⁶
/// `f64`); without fused multiply-add 3.41 (every `f32`).
pub const SIGMOID_ULP: f64 = 4.0;
/// Largest error of [`Math::softplus`], in ulp. Measured: 3.75 (every `f32`), 3.31 (4·10⁶ `f64`); without
/// fused multiply-add 3.75 (every `f32`).
pub const SOFTPLUS_ULP: f64 = 4.0;

/// ln 2 in two parts; see [`polynomials`].
#[inline(always)]
pub(super) fn ln2_parts(lane: Lane) -> (f64, f64) {
    let [high, low] = match lane {
        Lane::F32 => polynomials::LN_2_F32,
        Lane::F64 => polynomials::LN_2_F64,
    };
    (high, low)
}

/// The polynomial of a precision.
#[inline(always)]
fn fit(lane: Lane, single: &'static [f64], double: &'static [f64]) -> &'static [f64] {
    match lane {
        Lane::F32 => single,
        Lane::F64 => double,
    }
}

impl<E: Vectors> Math<'_, E> {
    /// eˣ.
    ///
    /// Within [`EXP_ULP`], subnormal results included: with n even, 2ⁿ is applied as 2^(n/2) twice, and only the
    /// second product can leave the normal range.
    #[inline(always)]
    pub fn exp(&mut self, x: E::V) -> E::V {
        // Beyond these the result is 0 or ∞: ln of half the least subnormal, and of the largest number.
        let (low, high) = match self.lane {
            Lane::F32 => (-104.0, 89.0),
            Lane::F64 => (-746.0, 710.0),
        };
        let x = self.clamp(x, low, high);
        self.exp_clamped(x, None)
    }

    /// e^(x + low) for −104 ≤ x ≤ 89 (−746 ≤ x ≤ 710 in `f64`) and a tiny `low`.
    ///
    /// x = n·2·ln 2 + r with |r| ≤ ln 2: twice the usual range of r costs two terms more and saves the splitting of
    /// an integer.
    #[inline(always)]
    pub(super) fn exp_clamped(&mut self, x: E::V, low: Option<E::V>) -> E::V {
        let (ln2_high, ln2_low) = ln2_parts(self.lane);
        let (root, n) = self.power_of_two(x, LOG2_E / 2.0, 0.0);
        let part = self.constant(-2.0 * ln2_high);
        let r = self.fma(n, part, x);
        let part = self.constant(-2.0 * ln2_low);
        let r = match low {
            None => self.fma(n, part, r),
            Some(low) => {
                let low = self.fma(n, part, low);
                self.add(r, low)
            }
        };
        let coefficients = fit(self.lane, &polynomials::EXP_F32, &polynomials::EXP_F64);
        let power = if self.fma {
            self.polynomial(r, coefficients)
        } else {
            // 1 + (r + r²·q) has a smaller rounding error than Horner's rule throughout, which ends with 1 + r·p.
            let rest = self.polynomial(r, &coefficients[2..]);
            let square = self.mul(r, r);
            let power = self.fma(square, rest, r);
            let one = self.constant(1.0);
            self.add(power, one)
        };
        let power = self.mul(power, root);
        self.mul(power, root)
    }

    /// eˣ − 1.
    ///
    /// Within [`EXPM1_ULP`] everywhere. With eˣ = 2ⁿ·eʳ it is 2·(2ⁿ⁻¹·(eʳ − 1) − (½ − 2ⁿ⁻¹)), as in [`Math::tanh`]: the
    /// parts do not cancel, and 2ⁿ⁻¹ is finite where 2ⁿ is not. A tiny x, half of which may not be a number of the
    /// precision, is its own result.
    #[inline(always)]
    pub fn expm1(&mut self, x: E::V) -> E::V {
        // Beyond these the result is −1 or ∞.
        let (low, high) = match self.lane {
            Lane::F32 => (-30.0, 89.0),
            Lane::F64 => (-60.0, 710.0),
        };
        let limited = self.clamp(x, low, high);
        let (half_scale, n) = self.power_of_two(limited, LOG2_E, -1.0);
        let (ln2_high, ln2_low) = ln2_parts(self.lane);
        let part = self.constant(-ln2_high);
        let r = self.fma(n, part, limited);
        let part = self.constant(-ln2_low);
        let r = self.fma(n, part, r);
        let fit = fit(self.lane, &polynomials::EXPM1_F32, &polynomials::EXPM1_F64);
        let quotient = self.polynomial(r, fit);
        let scaled_r = self.mul(r, half_scale);
        let half = self.constant(0.5);
        let rest = self.sub(half, half_scale);
        let half_result = self.fms(scaled_r, quotient, rest);
        let result = self.add(half_result, half_result);
        let size = self.abs(x);
        let tiny = self.constant(two_to(-60));
        let tiny = self.compare(Compare::Less, size, tiny);
        self.blend(tiny, x, result)
    }

    /// (2^(n + shift), n as a float) for n = round(factor·x).
    #[inline(always)]
    fn power_of_two(&mut self, x: E::V, factor: f64, shift: f64) -> (E::V, E::V) {
        let factor = self.constant(factor);
        let rounder = self.constant(self.lane.magic() + self.lane.bias() + shift);
        let sum = self.fma(x, factor, rounder);
        let n = self.sub(sum, rounder);
        let bits = sum;
        let exponent = self.e.shl(self.lane, bits, self.lane.mantissa_bits());
        (exponent, n)
    }

    /// 1 ÷ (1 + e⁻ˣ).
    ///
    /// Within [`SIGMOID_ULP`] everywhere, also where the result is tiny or subnormal (½ + ½·tanh(x/2), the usual form
    /// with a rational tanh, would cancel there, and costs as much). With e⁻ˣ = 2ⁿ·eʳ it is c ÷ (c + eʳ·2ⁿ·c), where
    /// c = 2⁻²⁴ (2⁻⁵⁴ in `f64`) keeps the denominator finite down to the x at which the result rounds to 0, and
    /// costs nothing: c is in the bias of n.
    #[inline(always)]
    pub fn sigmoid(&mut self, x: E::V) -> E::V {
        let (low, high, shift) = match self.lane {
            Lane::F32 => (-104.0, 60.0, -24),
            Lane::F64 => (-746.0, 600.0, -54),
        };
        let x = self.clamp(x, low, high);
        let (ln2_high, ln2_low) = ln2_parts(self.lane);
        let (scale, n) = self.power_of_two(x, -LOG2_E, f64::from(shift));
        // minus_r = x + n·ln 2.
        let part = self.constant(ln2_high);
        let minus_r = self.fma(n, part, x);
        let part = self.constant(ln2_low);
        let minus_r = self.fma(n, part, minus_r);
        let fit = fit(
            self.lane,
            &polynomials::EXP_MINUS_F32,
            &polynomials::EXP_MINUS_F64,
        );
        let power = self.polynomial(minus_r, fit);
        let c = self.constant(two_to(shift));
        let denominator = self.fma(power, scale, c);
        self.div(c, denominator)
    }

    /// tanh x = u ÷ (u + 2), u = e²ˣ − 1.
    ///
    /// Within [`TANH_ULP`], never beyond ±1; ±0 and subnormals come out as they went in. With e²ˣ = 2ⁿ·e²ʳ and
    /// r = x − n·½·ln 2,
    /// u = 2ⁿ·(e²ʳ − 1) − (1 − 2ⁿ), whose parts cancel nowhere: for n = 0 the second vanishes (as 1 − 1 = +0, which
    /// leaves the sign of u = −0). An x that rounds to ±1 anyway is limited to where u is still finite.
    ///
    /// A rational tanh x = x·P(x²)/Q(x²) with four terms each would be 13 instructions to these 16 in `f32`, but
    /// rounds to 5 ulp just below 1.
    #[inline(always)]
    pub fn tanh(&mut self, x: E::V) -> E::V {
        let limit = match self.lane {
            Lane::F32 => 9.1,
            Lane::F64 => 19.1,
        };
        let x = self.clamp(x, -limit, limit);
        let (scale, n) = self.power_of_two(x, 2.0 * LOG2_E, 0.0);
        let r = match self.lane {
            // |n| ≤ 27, so that one rounded part of ln 2 is off by no more than 3e-8, and that for large u only.
            Lane::F32 if self.fma => {
                let half_ln2 = self.constant(-0.5 * std::f64::consts::LN_2);
                self.fma(n, half_ln2, x)
            }
            Lane::F32 | Lane::F64 => {
                let (high, low) = ln2_parts(self.lane);
                let part = self.constant(-0.5 * high);
                let r = self.fma(n, part, x);
                let part = self.constant(-0.5 * low);
                self.fma(n, part, r)
            }
        };
        let fit = fit(
            self.lane,
            &polynomials::EXPM1_TWICE_F32,
            &polynomials::EXPM1_TWICE_F64,
        );
        let quotient = self.polynomial(r, fit);
        let scaled_r = self.mul(r, scale);
        let one = self.constant(1.0);
        let rest = self.sub(one, scale);
        let u = self.fms(scaled_r, quotient, rest);
        let two = self.constant(2.0);
        let denominator = self.add(u, two);
        self.div(u, denominator)
    }

    /// ln(1 + eˣ) = max(x, 0) + ln(1 + t), t = e^−|x|.
    ///
    /// Within [`SOFTPLUS_ULP`] on both tails. ln(1 + t) = 2·artanh(t/(2 + t)), an odd series in s = 2t/(2 + t) ≤ 2/3
    /// that needs no exponent taken apart.
    #[inline(always)]
    pub fn softplus(&mut self, x: E::V) -> E::V {
        let sign = self.bits(self.lane.sign_bit());
        let down = self.e.or(self.lane, x, sign);
        let low = match self.lane {
            Lane::F32 => -104.0,
            Lane::F64 => -746.0,
        };
        let low = self.constant(low);
        let down = self.max_or_second(low, down);
        let t = self.exp_clamped(down, None);
        let two = self.constant(2.0);
        let denominator = self.add(t, two);
        let twice = self.add(t, t);
        let s = self.div(twice, denominator);
        let z = self.mul(s, s);
        let fit = fit(
            self.lane,
            &polynomials::ARTANH_WHOLE_F32,
            &polynomials::ARTANH_WHOLE_F64,
        );
        let tail = self.polynomial(z, fit);
        let tail = self.mul(tail, z);
        let log = self.fma(s, tail, s);
        let ramp = self.relu(x);
        self.add(ramp, log)
    }
}
