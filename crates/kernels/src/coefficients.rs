//! The constants of [`crate::functions`]: limits, the parts of ln 2, and polynomials.
//!
//! Invariant: every constant is rounded here, once, at compile time.

use crate::SimdElement;
use crate::polynomials::*;
use std::f64::consts::{LN_2, LOG2_E};
use std::ops::{Div, Neg, Sub};

/// Constants of an element type for eˣ and related functions.
pub(crate) trait Coefficients:
    SimdElement + Neg<Output = Self> + Sub<Output = Self> + Div<Output = Self>
{
    /// log₂ e ÷ 2, log₂ e and 2·log₂ e.
    const LOG2_E: [Self; 3];
    /// 1.5·2^m + the exponent's bias, where m is the number of mantissa bits. Adding it rounds to an integer, and the
    /// low bits of the sum are the exponent field of 2 to that integer.
    const ROUNDER: Self;
    /// ln 2 in two parts, both positive (FreeBSD's `e_expf.c` and `e_exp.c`). Products of the first with integers of 9
    /// bits (20 in `f64`) are exact; twice and half the parts have the same property.
    const LN_2: [Self; 2];
    /// Twice [`Self::LN_2`], negative.
    const MINUS_LN_4: [Self; 2];
    /// Half of [`Self::LN_2`], negative.
    const MINUS_HALF_LN_2: [Self; 2];
    /// −½·ln 2 in one part, which suffices for tanh with a fused multiply-add: |n| ≤ 27 in `f32`, so the error is at
    /// most 3·10⁻⁸, and that only for large e²ˣ.
    const MINUS_HALF_LN_2_WHOLE: Option<Self>;
    /// Beyond these eˣ is 0 or ∞: ln of half the least subnormal, and of the largest number.
    const EXP_RANGE: [Self; 2];
    /// Below the first sigmoid rounds to 0; well below the second it is already 1.
    const SIGMOID_RANGE: [Self; 2];
    /// s and c = 2ˢ: sigmoid scales its denominator by c, which keeps it finite down to the x at which the result
    /// rounds to 0.
    const SIGMOID_SCALE: [Self; 2];
    /// From here on tanh is 1, while e²ˣ is still finite.
    const TANH_LIMIT: Self;
    /// 0, 1 and 2.
    const SMALL: [Self; 3];
    /// (eʳ − 1 − r)/r² for |r| ≤ ln 2.
    const EXP_REST: &'static [Self];
    /// e⁻ʳ for |r| ≤ ½·ln 2.
    const EXP_MINUS: &'static [Self];
    /// (e²ʳ − 1)/r for |r| ≤ ¼·ln 2.
    const EXPM1: &'static [Self];
    /// (2·artanh(s/2) − s)/s³ as a polynomial in s², for 0 ≤ s ≤ 2/3.
    const ARTANH: &'static [Self];

    /// The lowest bits of the number moved to the exponent and sign fields.
    fn low_bits_to_exponent(self) -> Self;
}

impl Coefficients for f32 {
    const LOG2_E: [f32; 3] = narrow([LOG2_E / 2.0, LOG2_E, LOG2_E * 2.0]);
    const ROUNDER: f32 = 12_582_912.0 + 127.0;
    const LN_2: [f32; 2] = narrow(LN_2_F32);
    const MINUS_LN_4: [f32; 2] = narrow(scaled(LN_2_F32, -2.0, 1.0));
    const MINUS_HALF_LN_2: [f32; 2] = narrow(scaled(LN_2_F32, -0.5, 1.0));
    const MINUS_HALF_LN_2_WHOLE: Option<f32> = Some((-0.5 * LN_2) as f32);
    const EXP_RANGE: [f32; 2] = [-104.0, 89.0];
    const SIGMOID_RANGE: [f32; 2] = [-104.0, 60.0];
    const SIGMOID_SCALE: [f32; 2] = [-24.0, 1.0 / (1u32 << 24) as f32];
    const TANH_LIMIT: f32 = 9.1;
    const SMALL: [f32; 3] = [0.0, 1.0, 2.0];
    const EXP_REST: &'static [f32] = &narrow(rest::<8, 6>(EXP_F32));
    const EXP_MINUS: &'static [f32] = &narrow(scaled(EXP_HALF_F32, 1.0, -1.0));
    const EXPM1: &'static [f32] = &narrow(scaled(EXPM1_F32, 2.0, 2.0));
    const ARTANH: &'static [f32] = &narrow(scaled(ARTANH_F32, 0.25, 0.25));

    #[inline(always)]
    fn low_bits_to_exponent(self) -> f32 {
        f32::from_bits(self.to_bits() << 23)
    }
}

impl Coefficients for f64 {
    const LOG2_E: [f64; 3] = [LOG2_E / 2.0, LOG2_E, LOG2_E * 2.0];
    const ROUNDER: f64 = 6_755_399_441_055_744.0 + 1023.0;
    const LN_2: [f64; 2] = LN_2_F64;
    const MINUS_LN_4: [f64; 2] = scaled(LN_2_F64, -2.0, 1.0);
    const MINUS_HALF_LN_2: [f64; 2] = scaled(LN_2_F64, -0.5, 1.0);
    const MINUS_HALF_LN_2_WHOLE: Option<f64> = None;
    const EXP_RANGE: [f64; 2] = [-746.0, 710.0];
    const SIGMOID_RANGE: [f64; 2] = [-746.0, 600.0];
    const SIGMOID_SCALE: [f64; 2] = [-54.0, 1.0 / (1u64 << 54) as f64];
    const TANH_LIMIT: f64 = 19.1;
    const SMALL: [f64; 3] = [0.0, 1.0, 2.0];
    const EXP_REST: &'static [f64] = &rest::<14, 12>(EXP_F64);
    const EXP_MINUS: &'static [f64] = &scaled(EXP_HALF_F64, 1.0, -1.0);
    const EXPM1: &'static [f64] = &scaled(EXPM1_F64, 2.0, 2.0);
    const ARTANH: &'static [f64] = &scaled(ARTANH_F64, 0.25, 0.25);

    #[inline(always)]
    fn low_bits_to_exponent(self) -> f64 {
        f64::from_bits(self.to_bits() << 52)
    }
}

/// Coefficient i times first·ratioⁱ, where both are powers of two or signs: nothing rounds.
const fn scaled<const N: usize>(mut c: [f64; N], first: f64, ratio: f64) -> [f64; N] {
    let (mut i, mut factor) = (0, first);
    while i < N {
        c[i] *= factor;
        factor *= ratio;
        i += 1;
    }
    c
}

/// All but the first two, which are 1 and 1.
const fn rest<const N: usize, const M: usize>(c: [f64; N]) -> [f64; M] {
    let mut out = [0.0; M];
    let mut i = 0;
    while i < M {
        out[i] = c[i + 2];
        i += 1;
    }
    out
}

/// Rounded to `f32`.
const fn narrow<const N: usize>(c: [f64; N]) -> [f32; N] {
    let mut out = [0.0; N];
    let mut i = 0;
    while i < N {
        out[i] = c[i] as f32;
        i += 1;
    }
    out
}
