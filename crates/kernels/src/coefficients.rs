//! The constants of [`crate::functions`]: limits, the parts of ln 2, and polynomials.
//!
//! The polynomials are the minimax fits of `retrograd-jit`'s `vmath/exp.rs` (relative error, our own Remez exchange in
//! 60 digits), lowest power first; each states its error before rounding. So both engines compute the same values up
//! to rounding.
//!
//! Invariant: everything is rounded here, at compile time, once.

use crate::SimdElement;
use std::f64::consts::{LN_2, LOG2_E};
use std::ops::{Div, Neg, Sub};

/// What eˣ and its relatives need to know of an element type.
pub(crate) trait Coefficients:
    SimdElement + Neg<Output = Self> + Sub<Output = Self> + Div<Output = Self>
{
    /// log₂ e ÷ 2, log₂ e and 2·log₂ e.
    const LOG2_E: [Self; 3];
    /// 1.5·2^m + bias of the exponent, m the bits of the mantissa. A sum with it rounds to an integer, and the low bits
    /// of the sum are the exponent field of 2 to that integer.
    const ROUNDER: Self;
    /// ln 2 in two parts, both positive (FreeBSD's `e_expf.c` and `e_exp.c`). Products of the first with integers of
    /// 9 bits (20 in `f64`) are exact; twice and half the parts have the same property.
    const LN_2: [Self; 2];
    /// Twice [`Self::LN_2`], negative.
    const MINUS_LN_4: [Self; 2];
    /// Half of [`Self::LN_2`], negative.
    const MINUS_HALF_LN_2: [Self; 2];
    /// −½·ln 2 in one part, where that is good enough for tanh with a fused multiply-add: |n| ≤ 27 in `f32`, so that it is
    /// off by no more than 3·10⁻⁸, and that for large e²ˣ only.
    const MINUS_HALF_LN_2_WHOLE: Option<Self>;
    /// Beyond these eˣ is 0 or ∞: ln of half the least subnormal, and of the largest number.
    const EXP_RANGE: [Self; 2];
    /// Below the first sigmoid rounds to 0; above the second it has long been 1.
    const SIGMOID_RANGE: [Self; 2];
    /// s and c = 2ˢ, by which sigmoid scales its denominator, so that it is finite down to the x at which the result
    /// rounds to 0.
    const SIGMOID_SCALE: [Self; 2];
    /// From here on tanh is 1, and e²ˣ still finite.
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

    /// The lowest bits of the number moved to where its exponent and sign are.
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
    // Relative error of eʳ 2⁻²⁶·¹.
    const EXP_REST: &'static [f32] = &narrow([
        0.500_000_36,
        0.166_666_14,
        0.041_661_27,
        0.008_336_104,
        0.001_410_446_9,
        0.000_196_116,
    ]);
    // Relative error 2⁻²³·².
    const EXP_MINUS: &'static [f32] = &narrow(scaled(
        [
            1.0,
            1.0,
            0.499_992_31,
            0.166_671_16,
            0.041_890_33,
            0.008_312_501,
        ],
        1.0,
        -1.0,
    ));
    // Relative error 2⁻²⁶·²; the fit is in 2r.
    const EXPM1: &'static [f32] = &narrow(scaled(
        [
            1.0,
            0.499_999_97,
            0.166_665_43,
            0.041_667_2,
            0.008_366_58,
            0.001_388_251_1,
        ],
        2.0,
        2.0,
    ));
    // Relative error 2⁻²⁷·⁷ of the whole; the fit is in (s/2)².
    const ARTANH: &'static [f32] = &narrow(scaled(
        [0.333_332_1, 0.200_107_63, 0.140_009_03, 0.140_059_95],
        0.25,
        0.25,
    ));

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
    // Relative error of eʳ 2⁻⁵⁶·⁵.
    const EXP_REST: &'static [f64] = &[
        0.499_999_999_999_999_3,
        0.166_666_666_666_669_38,
        0.041_666_666_666_702_185,
        0.008_333_333_333_269_74,
        0.001_388_888_888_356_426_2,
        0.000_198_412_698_928_923_47,
        2.480_159_083_652_075_3e-5,
        2.755_730_062_068_281_6e-6,
        2.755_615_657_149_180_7e-7,
        2.505_503_650_021_797e-8,
        2.106_245_060_194_533e-9,
        1.593_553_028_336_054_2e-10,
    ];
    // Relative error 2⁻⁵⁷·⁹.
    const EXP_MINUS: &'static [f64] = &scaled(
        [
            1.0,
            1.0,
            0.500_000_000_000_001_1,
            0.166_666_666_666_664_1,
            0.041_666_666_666_529_73,
            0.008_333_333_333_494_98,
            0.001_388_888_894_375_989_3,
            0.000_198_412_695_057_660_4,
            2.480_149_294_966_484e-5,
            2.755_758_681_128_234_7e-6,
            2.763_030_624_796_187_4e-7,
            2.500_001_637_788_809e-8,
        ],
        1.0,
        -1.0,
    );
    // Relative error 2⁻⁵⁵·⁶; the fit is in 2r.
    const EXPM1: &'static [f64] = &scaled(
        [
            1.0,
            0.500_000_000_000_000_6,
            0.166_666_666_666_665_88,
            0.041_666_666_666_576_466,
            0.008_333_333_333_389_736,
            0.001_388_888_893_166_718_6,
            0.000_198_412_697_187_031_74,
            2.480_150_514_265_217_3e-5,
            2.755_740_769_460_470_5e-6,
            2.762_609_283_796_581_6e-7,
            2.505_377_254_870_313_3e-8,
        ],
        2.0,
        2.0,
    );
    // Relative error 2⁻⁵⁴·² of the whole; the fit is in (s/2)².
    const ARTANH: &'static [f64] = &scaled(
        [
            0.333_333_333_333_388_5,
            0.199_999_999_980_248_48,
            0.142_857_145_289_988_47,
            0.111_110_964_523_164_5,
            0.090_914_070_364_589_29,
            0.076_821_477_610_839_21,
            0.067_931_571_144_609_06,
            0.049_514_106_670_827_916,
            0.088_698_787_927_540_46,
        ],
        0.25,
        0.25,
    );

    #[inline(always)]
    fn low_bits_to_exponent(self) -> f64 {
        f64::from_bits(self.to_bits() << 52)
    }
}

const LN_2_F32: [f64; 2] = [0.693_145_751_953_125, 1.428_606_765_330_187e-6];
const LN_2_F64: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];

/// Coefficient i times first·ratioⁱ, powers of two or signs: nothing rounds.
const fn scaled<const N: usize>(mut c: [f64; N], first: f64, ratio: f64) -> [f64; N] {
    let (mut i, mut factor) = (0, first);
    while i < N {
        c[i] *= factor;
        factor *= ratio;
        i += 1;
    }
    c
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
